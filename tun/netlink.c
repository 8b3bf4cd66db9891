/* SPDX-License-Identifier: MIT */
#include "tun/netlink_impl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

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

/* Is the end of the answer in here?  For one that libmnl does not want to see any more. */
static bool
ends(const struct nl *nl, ssize_t n)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)nl->reply;
	int left = (int)n;

	for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return true;
	}
	return false;
}

int
nl_talk(struct nl *nl, struct nlmsghdr *h, mnl_cb_t each, void *arg)
{
	unsigned port = mnl_socket_get_portid(nl->s);
	bool torn = false;
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
		if (!torn)
			r = mnl_cb_run(nl->reply, (size_t)n, nl->seq, port, each, arg);
		/* libmnl gives up at the first message of a torn dump, but as long as its rest is not
		 * read the kernel answers every other dump with EBUSY. */
		if (torn || (r < 0 && errno == EINTR)) {
			torn = true;
			r = ends(nl, n) ? MNL_CB_STOP : MNL_CB_OK;
		}
	}
	if (torn)
		return -EINTR;
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
	char buf[NL_REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_NEWLINK, name, &info);

	info->ifi_change = IFF_UP;
	info->ifi_flags = up ? IFF_UP : 0;
	if (mtu != 0)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	return nl_talk(nl, h, NULL, NULL);
}

int
nl_link_dress(struct nl *nl, const char *name, unsigned group, unsigned txqlen)
{
	char buf[NL_REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_NEWLINK, name, &info);
	struct nlattr *families, *v6;
	int err;

	mnl_attr_put_u32(h, IFLA_GROUP, group);
	mnl_attr_put_u32(h, IFLA_TXQLEN, txqlen);
	if ((err = nl_talk(nl, h, NULL, NULL)) != 0)
		return err;
	h = link_request(buf, RTM_NEWLINK, name, &info);
	families = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	v6 = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, v6);
	mnl_attr_nest_end(h, families);
	err = nl_talk(nl, h, NULL, NULL);
	return err == -EAFNOSUPPORT ? 0 : err;	/* a kernel or a host without IPv6 */
}

int
nl_link_del(struct nl *nl, unsigned ifindex)
{
	char buf[NL_REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_DELLINK, NULL, &info);

	info->ifi_index = (int)ifindex;
	return ifindex == 0 ? -ENODEV : nl_talk(nl, h, NULL, NULL);
}

int
nl_link_del_group(struct nl *nl, unsigned group)
{
	char buf[NL_REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_DELLINK, NULL, &info);

	mnl_attr_put_u32(h, IFLA_GROUP, group);
	return group == 0 ? -EINVAL : nl_talk(nl, h, NULL, NULL);	/* 0 is everybody's */
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

int
nl_link_by(struct nl *nl, const char *name, unsigned ifindex, struct nl_link *l)
{
	char buf[NL_REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h = link_request(buf, RTM_GETLINK, name, &info);
	int err;

	info->ifi_index = (int)ifindex;
	memset(l, 0, sizeof(*l));
	err = nl_talk(nl, h, link_one, l);
	return err == 0 && l->ifindex == 0 ? -ENODEV : err;
}

int
nl_link_get(struct nl *nl, const char *name, struct nl_link *l)
{
	return nl_link_by(nl, name, 0, l);
}

static int
link_gather(const struct nlmsghdr *h, void *arg)
{
	struct nl_gather *g = arg;
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
	struct nl_gather g;
	char buf[NL_REQUEST_LEN];
	struct ifinfomsg *info;
	struct nlmsghdr *h;
	int err = -EINTR;

	for (unsigned i = 0; i < NL_DUMP_TRIES && err == -EINTR; i++) {
		g = (struct nl_gather){ .want = group, .max = max, .out = out };
		h = link_request(buf, RTM_GETLINK, NULL, &info);
		h->nlmsg_flags = NLM_F_DUMP;
		err = nl_talk(nl, h, link_gather, &g);
	}
	return err == 0 ? (int)g.n : err;
}

/* ---- addresses --------------------------------------------------------------------------- */

int
nl_addr(struct nl *nl, bool add, const char *name, const struct prefix *address,
    const struct ip *peer)
{
	char buf[NL_REQUEST_LEN];
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
	return nl_talk(nl, h, NULL, NULL);
}

/* The address of a message of a list; false: it is none, or none that may be used yet. */
static bool
address_read(const struct nlmsghdr *h, struct ip *ip)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *local = NULL, *any = NULL;
	uint32_t flags = m->ifa_flags;

	if (h->nlmsg_type != RTM_NEWADDR)
		return false;
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
	memset(ip, 0, sizeof(*ip));
	ip->family = m->ifa_family;
	if (local == NULL || ip_len(ip->family) == 0 ||
	    mnl_attr_get_payload_len(local) != ip_len(ip->family))
		return false;
	memcpy(ip->b, mnl_attr_get_payload(local), ip_len(ip->family));
	return (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) == 0;
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
	struct ip ip;

	if (address_read(h, &ip) && ip_equal(&ip, s->ip))
		s->ifindex = m->ifa_index;
	return MNL_CB_OK;
}

static int
address_gather(const struct nlmsghdr *h, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct prefix p = { .len = m->ifa_prefixlen };
	struct nl_gather *g = arg;

	if (!address_read(h, &p.ip))
		return MNL_CB_OK;
	if (g->n < g->max)
		((struct prefix *)g->out)[g->n] = p;
	g->n++;
	return MNL_CB_OK;
}

static struct nlmsghdr *
address_list_request(char buf[NL_REQUEST_LEN], uint8_t family)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *m;

	h->nlmsg_type = RTM_GETADDR;
	h->nlmsg_flags = NLM_F_DUMP;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifa_family = family;
	return h;
}

int
nl_address_list(struct nl *nl, struct prefix *out, unsigned max)
{
	struct nl_gather g;
	char buf[NL_REQUEST_LEN];
	int err = -EINTR;

	for (unsigned i = 0; i < NL_DUMP_TRIES && err == -EINTR; i++) {
		g = (struct nl_gather){ .max = max, .out = out };
		err = nl_talk(nl, address_list_request(buf, AF_UNSPEC), address_gather, &g);
	}
	return err == 0 ? (int)g.n : err;
}

bool
nl_has_address(struct nl *nl, const struct ip *ip, struct nl_way *way)
{
	struct seek_address s = { .ip = ip };
	char buf[NL_REQUEST_LEN];
	struct nl_link l;
	int err = -EINTR;

	for (unsigned i = 0; i < NL_DUMP_TRIES && err == -EINTR; i++) {
		s.ifindex = 0;
		err = nl_talk(nl, address_list_request(buf, ip->family), address_seek, &s);
	}
	if (err != 0 || s.ifindex == 0 || nl_link_by(nl, NULL, s.ifindex, &l) != 0)
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

/* The links among the news in the buffer.  A bridge's news of its ports are not the links' own. */
static void
tell_links(const struct nl *nl, ssize_t n, nl_link_fn *each, void *arg)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)nl->reply;
	const struct ifinfomsg *info;
	struct nl_link l;

	for (int left = (int)n; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		if (h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK)
			continue;
		info = mnl_nlmsg_get_payload(h);
		if (info->ifi_family != AF_UNSPEC)
			continue;
		link_read(h, &l);
		each(arg, &l, h->nlmsg_type == RTM_DELLINK);
	}
}

bool
nl_news(struct nl *nl, nl_link_fn *each, void *arg)
{
	bool changed = false;
	ssize_t n = 0;

	/* Bounded: under a storm of news the rest is for the next turn of the loop. */
	for (unsigned i = 0; i < 256; i++) {
		n = mnl_socket_recvfrom(nl->s, nl->reply, sizeof(nl->reply));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ENOBUFS)
			break;
		changed = true;		/* ENOBUFS: some were lost, so something did change */
		if (n < 0)
			nl->lost = true;
		else if (each != NULL)
			tell_links(nl, n, each, arg);
	}
	/* The kernel says it before what it kept, and keeps nothing until that is read. */
	if (n < 0 && nl->lost && each != NULL)
		each(arg, NULL, false);
	nl->lost = nl->lost && n >= 0;
	return changed;
}
