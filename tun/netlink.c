/* SPDX-License-Identifier: MIT */
#include "tun/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_LEN	32768		/* bytes: what the kernel fills at most with a dump */
#define REQUEST_LEN	512
#define DUMP_TRIES	4		/* a table may change while it is listed */

struct nl {
	struct mnl_socket *s;
	uint32_t seq;
	char reply[REPLY_LEN] __attribute__((aligned(8)));
};

static struct nl *
open_socket(int flags, unsigned groups)
{
	struct nl *nl = calloc(1, sizeof(*nl));
	int err;

	if (nl == NULL)
		return NULL;
	nl->s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);
	if (nl->s != NULL && mnl_socket_bind(nl->s, groups, MNL_SOCKET_AUTOPID) == 0)
		return nl;
	err = errno;
	nl_close(nl);
	errno = err;
	return NULL;
}

struct nl *
nl_open(void)
{
	return open_socket(0, 0);
}

void
nl_close(struct nl *nl)
{
	if (nl == NULL)
		return;
	if (nl->s != NULL)
		mnl_socket_close(nl->s);
	free(nl);
}

/* The rest of an answer that was given up. */
static bool
is_stale(const struct nl *nl)
{
	struct nlmsghdr h;

	memcpy(&h, nl->reply, sizeof(h));
	return h.nlmsg_seq != nl->seq;
}

/*
 * Send one request and hand each message of the answer to `each` (MNL_CB_OK: go on).  A
 * single answer ends at its ACK, a dump at its end; one that the kernel marks as torn
 * is -EINTR.
 */
static int
talk(struct nl *nl, struct nlmsghdr *h, mnl_cb_t each, void *arg)
{
	unsigned port = mnl_socket_get_portid(nl->s);
	ssize_t n;
	int r = MNL_CB_OK;

	h->nlmsg_seq = ++nl->seq;
	h->nlmsg_flags |= NLM_F_REQUEST;
	if ((h->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		h->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(nl->s, h, h->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(nl->s, nl->reply, sizeof(nl->reply));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < (ssize_t)sizeof(struct nlmsghdr) || is_stale(nl))
			continue;
		r = mnl_cb_run(nl->reply, (size_t)n, nl->seq, port, each, arg);
	}
	return r < 0 ? -errno : 0;
}

/* ---- links ------------------------------------------------------------------------------- */

static struct nlmsghdr *
link_request(char *buf, uint16_t type, const char *name, struct ifinfomsg **info)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	*info = mnl_nlmsg_put_extra_header(h, sizeof(**info));
	(*info)->ifi_family = AF_UNSPEC;
	if (name != NULL)
		mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return h;
}

int
nl_link_set(struct nl *nl, const char *name, bool up, unsigned mtu)
{
	char buf[REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_NEWLINK, name, &info);

	info->ifi_change = IFF_UP;
	info->ifi_flags = up ? IFF_UP : 0;
	if (mtu != 0)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	return talk(nl, h, NULL, NULL);
}

int
nl_link_dress(struct nl *nl, const char *name, unsigned group, unsigned txqlen)
{
	char buf[REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_NEWLINK, name, &info);
	struct nlattr *families, *v6;
	int err;

	mnl_attr_put_u32(h, IFLA_GROUP, group);
	mnl_attr_put_u32(h, IFLA_TXQLEN, txqlen);
	if ((err = talk(nl, h, NULL, NULL)) != 0)
		return err;
	h = link_request(buf, RTM_NEWLINK, name, &info);
	families = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	v6 = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, v6);
	mnl_attr_nest_end(h, families);
	err = talk(nl, h, NULL, NULL);
	return err == -EAFNOSUPPORT ? 0 : err;	/* a kernel or a host without IPv6 */
}

int
nl_link_del(struct nl *nl, unsigned ifindex)
{
	char buf[REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_DELLINK, NULL, &info);

	info->ifi_index = (int)ifindex;
	return ifindex == 0 ? -ENODEV : talk(nl, h, NULL, NULL);
}

int
nl_link_del_group(struct nl *nl, unsigned group)
{
	char buf[REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_DELLINK, NULL, &info);

	mnl_attr_put_u32(h, IFLA_GROUP, group);
	return group == 0 ? -EINVAL : talk(nl, h, NULL, NULL);	/* 0 is everybody's */
}

static void
link_kind(const struct nlattr *linkinfo, struct nl_link *l)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, linkinfo) {
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			l->tun = strcmp(mnl_attr_get_str(a), "tun") == 0;
	}
}

static void
link_read(const struct nlmsghdr *h, struct nl_link *l)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	memset(l, 0, sizeof(*l));
	l->ifindex = (unsigned)info->ifi_index;
	l->up = (info->ifi_flags & IFF_UP) != 0;
	mnl_attr_for_each(a, h, sizeof(*info)) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			strncpy(l->name, mnl_attr_get_str(a), sizeof(l->name) - 1);
			break;
		case IFLA_MTU:
			l->mtu = mnl_attr_get_u32(a);
			break;
		case IFLA_GROUP:
			l->group = mnl_attr_get_u32(a);
			break;
		case IFLA_TXQLEN:
			l->txqlen = mnl_attr_get_u32(a);
			break;
		case IFLA_CARRIER:
			l->carrier = l->up && mnl_attr_get_u8(a) != 0;
			break;
		case IFLA_LINKINFO:
			link_kind(a, l);
			break;
		}
	}
}

static int
link_one(const struct nlmsghdr *h, void *arg)
{
	if (h->nlmsg_type == RTM_NEWLINK)
		link_read(h, arg);
	return MNL_CB_OK;
}

static int
link_get(struct nl *nl, const char *name, unsigned ifindex, struct nl_link *l)
{
	char buf[REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_GETLINK, name, &info);
	int err;

	info->ifi_index = (int)ifindex;
	memset(l, 0, sizeof(*l));
	err = talk(nl, h, link_one, l);
	return err == 0 && l->ifindex == 0 ? -ENODEV : err;
}

int
nl_link_get(struct nl *nl, const char *name, struct nl_link *l)
{
	return link_get(nl, name, 0, l);
}

/* Where a list is gathered: `n` counts all, also those past `max`. */
struct gather {
	unsigned want, n, max;
	void *out;
};

static int
link_gather(const struct nlmsghdr *h, void *arg)
{
	struct gather *g = arg;
	struct nl_link l;

	if (h->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	link_read(h, &l);
	if (l.group != g->want)
		return MNL_CB_OK;
	if (g->n < g->max)
		((struct nl_link *)g->out)[g->n] = l;
	g->n++;
	return MNL_CB_OK;
}

int
nl_link_list(struct nl *nl, unsigned group, struct nl_link *out, unsigned max)
{
	struct gather g;
	char buf[REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h;
	int err = -EINTR;

	for (unsigned i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
		g = (struct gather){ .want = group, .max = max, .out = out };
		h = link_request(buf, RTM_GETLINK, NULL, &info);
		h->nlmsg_flags = NLM_F_DUMP;
		err = talk(nl, h, link_gather, &g);
	}
	return err == 0 ? (int)g.n : err;
}

/* ---- addresses --------------------------------------------------------------------------- */

int
nl_addr(struct nl *nl, bool add, const char *name, const struct prefix *address,
    const struct ip *peer)
{
	char buf[REQUEST_LEN];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *m;
	size_t len = ip_len(address->ip.family);
	const struct ip *other = peer != NULL && peer->family == address->ip.family ? peer :
	    &address->ip;
	unsigned ifindex = if_nametoindex(name);

	if (ifindex == 0)
		return -ENODEV;
	if (len == 0)
		return -EAFNOSUPPORT;
	h->nlmsg_type = add ? RTM_NEWADDR : RTM_DELADDR;
	h->nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifa_family = address->ip.family;
	m->ifa_prefixlen = address->len;
	m->ifa_index = ifindex;
	if (address->ip.family == AF_INET6)
		mnl_attr_put_u32(h, IFA_FLAGS, IFA_F_NODAD);
	mnl_attr_put(h, IFA_LOCAL, len, address->ip.b);
	mnl_attr_put(h, IFA_ADDRESS, len, other->b);
	return talk(nl, h, NULL, NULL);
}

struct seek_address {
	const struct ip *ip;
	unsigned ifindex;
};

static int
address_seek(const struct nlmsghdr *h, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct seek_address *s = arg;
	const struct nlattr *a, *local = NULL, *any = NULL;
	uint32_t flags = m->ifa_flags;

	if (h->nlmsg_type != RTM_NEWADDR || m->ifa_family != s->ip->family)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		if (mnl_attr_get_type(a) == IFA_LOCAL)
			local = a;
		else if (mnl_attr_get_type(a) == IFA_ADDRESS)
			any = a;
		else if (mnl_attr_get_type(a) == IFA_FLAGS)
			flags = mnl_attr_get_u32(a);
	}
	if (local == NULL)
		local = any;
	if (local != NULL && mnl_attr_get_payload_len(local) == ip_len(s->ip->family) &&
	    memcmp(mnl_attr_get_payload(local), s->ip->b, ip_len(s->ip->family)) == 0 &&
	    (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) == 0)
		s->ifindex = m->ifa_index;
	return MNL_CB_OK;
}

bool
nl_has_address(struct nl *nl, const struct ip *ip, struct nl_way *way)
{
	struct seek_address s = { .ip = ip };
	char buf[REQUEST_LEN];
	struct nlmsghdr *h;
	struct ifaddrmsg *m;
	struct nl_link l;
	int err = -EINTR;

	for (unsigned i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
		h = mnl_nlmsg_put_header(buf);
		h->nlmsg_type = RTM_GETADDR;
		h->nlmsg_flags = NLM_F_DUMP;
		m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
		m->ifa_family = ip->family;
		s.ifindex = 0;
		err = talk(nl, h, address_seek, &s);
	}
	if (err != 0 || s.ifindex == 0 || link_get(nl, NULL, s.ifindex, &l) != 0)
		return false;
	if (way != NULL) {
		memset(way, 0, sizeof(*way));
		memcpy(way->device, l.name, sizeof(way->device));
		way->source = *ip;
		way->mtu = l.mtu;
		way->carrier = l.carrier;
	}
	return true;
}

/* ---- routes ------------------------------------------------------------------------------ */

int
nl_route(struct nl *nl, bool add, const struct nl_route *r)
{
	char buf[REQUEST_LEN];
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
	return talk(nl, h, NULL, NULL);
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
	struct gather *g = arg;
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
	struct gather g, before = { .want = protocol, .max = max, .out = out };
	char buf[REQUEST_LEN];
	struct nlmsghdr *h;
	struct rtmsg *m;
	int err;

	for (unsigned f = 0; f < 2; f++, before = g) {
		err = -EINTR;
		for (unsigned i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
			g = before;
			h = mnl_nlmsg_put_header(buf);
			h->nlmsg_type = RTM_GETROUTE;
			h->nlmsg_flags = NLM_F_DUMP;
			m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
			m->rtm_family = families[f];
			err = talk(nl, h, route_gather, &g);
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
	char buf[REQUEST_LEN];
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
	if ((err = talk(nl, h, way_read, f)) != 0)
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
	if ((err = link_get(nl, NULL, f.oif, &l)) != 0)
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

/* ---- news -------------------------------------------------------------------------------- */

struct nl *
nl_watch(void)
{
	return open_socket(SOCK_NONBLOCK, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
	    RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
}

int
nl_fd(const struct nl *nl)
{
	return mnl_socket_get_fd(nl->s);
}

bool
nl_news(struct nl *nl)
{
	bool changed = false;

	/* Bounded: under a storm of news the rest is for the next turn of the loop. */
	for (unsigned i = 0; i < 256; i++) {
		if (mnl_socket_recvfrom(nl->s, nl->reply, sizeof(nl->reply)) < 0 && errno != ENOBUFS) {
			if (errno == EINTR)
				continue;
			break;
		}
		changed = true;		/* ENOBUFS: some were lost, so something did change */
	}
	return changed;
}
