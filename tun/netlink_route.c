/* SPDX-License-Identifier: MIT */
#include "tun/netlink_impl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

int
nl_route(struct nl *nl, bool add, const struct nl_route *r)
{
	char buf[NL_REQUEST_LEN];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	size_t len = ip_len(r->to.ip.family);
	unsigned ifindex = 0, table = r->table != 0 ? r->table : RT_TABLE_MAIN;
	struct rtmsg *m;

	if (len == 0)
		return -EAFNOSUPPORT;
	if (!r->unreachable && (ifindex = if_nametoindex(r->device)) == 0)
		return -ENODEV;
	h->nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE;
	h->nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = r->to.ip.family;
	m->rtm_dst_len = r->to.len;
	m->rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
	m->rtm_protocol = (uint8_t)r->protocol;
	m->rtm_type = r->unreachable ? RTN_UNREACHABLE : RTN_UNICAST;
	m->rtm_scope = r->unreachable || r->to.ip.family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	mnl_attr_put(h, RTA_DST, len, r->to.ip.b);
	mnl_attr_put_u32(h, RTA_TABLE, table);
	if (r->metric != 0)
		mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
	if (ifindex != 0)
		mnl_attr_put_u32(h, RTA_OIF, ifindex);
	if (r->source.family == r->to.ip.family)
		mnl_attr_put(h, RTA_PREFSRC, len, r->source.b);
	return nl_talk(nl, h, NULL, NULL);
}

/* What we look at of a route. */
struct route_view {
	const struct rtmsg *m;
	const uint8_t *dst, *prefsrc;
	unsigned oif, metric, table, mtu;
	bool gateway;
};

static void
route_read(const struct nlmsghdr *h, struct route_view *v)
{
	const struct nlattr *a, *in;
	size_t len;

	memset(v, 0, sizeof(*v));
	v->m = mnl_nlmsg_get_payload(h);
	v->table = v->m->rtm_table;
	len = ip_len(v->m->rtm_family);
	mnl_attr_for_each(a, h, sizeof(*v->m)) {
		switch (mnl_attr_get_type(a)) {
		case RTA_DST:
			v->dst = mnl_attr_get_payload_len(a) == len ? mnl_attr_get_payload(a) : NULL;
			break;
		case RTA_PREFSRC:
			v->prefsrc = mnl_attr_get_payload_len(a) == len ? mnl_attr_get_payload(a) : NULL;
			break;
		case RTA_OIF:
			v->oif = mnl_attr_get_u32(a);
			break;
		case RTA_PRIORITY:
			v->metric = mnl_attr_get_u32(a);
			break;
		case RTA_TABLE:
			v->table = mnl_attr_get_u32(a);
			break;
		case RTA_GATEWAY:
		case RTA_VIA:
			v->gateway = true;
			break;
		case RTA_METRICS:
			mnl_attr_for_each_nested(in, a) {
				if (mnl_attr_get_type(in) == RTAX_MTU)
					v->mtu = mnl_attr_get_u32(in);
			}
			break;
		}
	}
}

static int
route_gather(const struct nlmsghdr *h, void *arg)
{
	struct nl_gather *g = arg;
	struct route_view v;
	struct nl_route r;

	if (h->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	route_read(h, &v);
	if (v.table != RT_TABLE_MAIN || v.m->rtm_protocol != g->want ||
	    (v.m->rtm_flags & RTM_F_CLONED) != 0)
		return MNL_CB_OK;
	memset(&r, 0, sizeof(r));
	r.to.ip.family = v.m->rtm_family;
	r.to.len = v.m->rtm_dst_len;
	if (v.dst != NULL)
		memcpy(r.to.ip.b, v.dst, ip_len(v.m->rtm_family));
	if (v.prefsrc != NULL) {
		r.source.family = v.m->rtm_family;
		memcpy(r.source.b, v.prefsrc, ip_len(v.m->rtm_family));
	}
	r.metric = v.metric;
	r.table = v.table;
	r.protocol = v.m->rtm_protocol;
	r.unreachable = v.m->rtm_type == RTN_UNREACHABLE;
	if (v.oif != 0 && !r.unreachable)	/* IPv6 says "lo" of an unreachable one */
		(void)if_indextoname(v.oif, r.device);
	if (g->n < g->max)
		((struct nl_route *)g->out)[g->n] = r;
	g->n++;
	return MNL_CB_OK;
}

int
nl_route_list(struct nl *nl, unsigned protocol, struct nl_route *out, unsigned max)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct nl_gather g, before = { .want = protocol, .max = max, .out = out };
	char buf[NL_REQUEST_LEN];
	struct nlmsghdr *h;
	struct rtmsg *m;
	int err;

	for (unsigned f = 0; f < 2; f++, before = g) {
		err = -EINTR;
		for (unsigned i = 0; i < NL_DUMP_TRIES && err == -EINTR; i++) {
			g = before;
			h = mnl_nlmsg_put_header(buf);
			h->nlmsg_type = RTM_GETROUTE;
			h->nlmsg_flags = NLM_F_DUMP;
			m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
			m->rtm_family = families[f];
			err = nl_talk(nl, h, route_gather, &g);
		}
		if (err != 0)
			return err;
	}
	return (int)before.n;
}

/* One answer to "which way?"; copied out of the reply. */
struct found {
	bool any, gateway;
	uint8_t type;
	struct ip source;
	unsigned oif, mtu;
};

static int
way_read(const struct nlmsghdr *h, void *arg)
{
	struct found *f = arg;
	struct route_view v;

	if (h->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	route_read(h, &v);
	*f = (struct found){
		.any = true, .gateway = v.gateway, .type = v.m->rtm_type, .oif = v.oif, .mtu = v.mtu,
	};
	if (v.prefsrc != NULL) {
		f->source.family = v.m->rtm_family;
		memcpy(f->source.b, v.prefsrc, ip_len(v.m->rtm_family));
	}
	return MNL_CB_OK;
}

static int
ask_way(struct nl *nl, const struct ip *to, const struct ip *from, unsigned flags, struct found *f)
{
	char buf[NL_REQUEST_LEN];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	size_t len = ip_len(to->family);
	struct rtmsg *m;
	int err;

	h->nlmsg_type = RTM_GETROUTE;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = to->family;
	m->rtm_dst_len = (uint8_t)(len * 8);
	m->rtm_flags = flags;
	mnl_attr_put(h, RTA_DST, len, to->b);
	if (from->family == to->family && !ip_is_any(from)) {
		m->rtm_src_len = (uint8_t)(len * 8);
		mnl_attr_put(h, RTA_SRC, len, from->b);
	}
	memset(f, 0, sizeof(*f));
	if ((err = nl_talk(nl, h, way_read, f)) != 0)
		return err;
	return f->any ? 0 : -ENETUNREACH;
}

int
nl_way(struct nl *nl, const struct ip *to, const struct ip *from, struct nl_way *way)
{
	struct found f, configured;
	struct nl_link l;
	int err;

	memset(way, 0, sizeof(*way));
	if (ip_len(to->family) == 0)
		return -EAFNOSUPPORT;
	if ((err = ask_way(nl, to, from, 0, &f)) != 0)
		return err;
	if (f.type != RTN_UNICAST && f.type != RTN_LOCAL)
		return f.type == RTN_PROHIBIT ? -EACCES : -EHOSTUNREACH;
	if ((err = nl_link_by(nl, NULL, f.oif, &l)) != 0)
		return err;
	memcpy(way->device, l.name, sizeof(way->device));
	way->carrier = l.carrier;
	way->gateway = f.gateway;
	way->source = from->family == to->family && !ip_is_any(from) ? *from : f.source;
	/* The answer above may carry an MTU learnt from ICMP; the table's own entry does not. */
	way->mtu = l.mtu;
	if (ask_way(nl, to, from, RTM_F_FIB_MATCH, &configured) == 0 && configured.mtu != 0 &&
	    configured.mtu < l.mtu)
		way->mtu = configured.mtu;
	return 0;
}
