/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TUN_NETLINK_H
#define TANDEM_TUN_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * rtnetlink by libmnl: links, addresses, routes.  All calls return 0 or -errno of the kernel;
 * what is already there (-EEXIST) or already gone (-ENODEV for a link, -EADDRNOTAVAIL for an
 * address, -ESRCH for a route) is told apart by the caller.  Changing needs CAP_NET_ADMIN;
 * looking and watching do not.  A `struct nl` serves one thread.
 */
struct nl;

struct nl	*nl_open(void);				/* NULL with errno set */
void		nl_close(struct nl *nl);		/* NULL is fine */

int	nl_link_set(struct nl *nl, const char *name, bool up, unsigned mtu);	/* mtu 0: as it is */
/* Of a new device: its group, its transmit queue, and no IPv6 link-local address. */
int	nl_link_dress(struct nl *nl, const char *name, unsigned group, unsigned txqlen);
int	nl_link_del(struct nl *nl, unsigned ifindex);
int	nl_link_del_group(struct nl *nl, unsigned group);	/* all of a group in one request */

struct nl_link {
	char name[IFNAMSIZ];
	unsigned ifindex, mtu, group, txqlen;
	bool up, carrier;		/* set up by the administrator; may carry */
	bool tun;			/* a TUN or TAP device */
};
int	nl_link_get(struct nl *nl, const char *name, struct nl_link *link);	/* -ENODEV */
/* All links of a group.  Returns how many there are (of which `out` has at most `max`) or -errno;
 * -EINTR: the list changed under every look at it, so nothing is known. */
int	nl_link_list(struct nl *nl, unsigned group, struct nl_link *out, unsigned max);

/* An address of a device; `address` has its host bits, `peer` AF_UNSPEC or the other end's.
 * IPv6 without duplicate address detection: there is nobody to ask. */
int	nl_addr(struct nl *nl, bool add, const char *name, const struct prefix *address,
	    const struct ip *peer);

struct nl_route {
	struct prefix to;
	char device[IFNAMSIZ];		/* "" with unreachable */
	struct ip source;		/* preferred source; AF_UNSPEC: none */
	unsigned metric, table, protocol;	/* table 0: main */
	bool unreachable;
};
/* Add one that is not there (else -EEXIST, also when the one there is somebody else's and only
 * prefix and metric agree), or delete exactly it: prefix, device, metric, protocol, type. */
int	nl_route(struct nl *nl, bool add, const struct nl_route *r);
/* All routes of a protocol number, main table, both families.  Returns how many there are (of
 * which `out` has at most `max`) or -errno; -EINTR as above. */
int	nl_route_list(struct nl *nl, unsigned protocol, struct nl_route *out, unsigned max);

/* The route the kernel would take to `to` (from `from`, or as it chooses with AF_UNSPEC). */
struct nl_way {
	char device[IFNAMSIZ];
	struct ip source;		/* the address it would send from */
	unsigned mtu;			/* as configured, of the route or else of the device; what ICMP */
					/* made the kernel believe does not count */
	bool gateway;			/* through a router; else on the link */
	bool carrier;			/* of the device */
};
/* -ENETUNREACH, -EHOSTUNREACH, -EACCES: there is none, or one that says no, or (also -EINVAL)
 * `from` is not an address of this host. */
int	nl_way(struct nl *nl, const struct ip *to, const struct ip *from, struct nl_way *way);
/* Is an address configured on this host (and not tentative)?  Its device's name, MTU and carrier
 * and the address itself go to *way, which may be NULL. */
bool	nl_has_address(struct nl *nl, const struct ip *ip, struct nl_way *way);
/* All addresses of this host that are not tentative, both families, in no order, each with its
 * host bits and the length of its network.  Returns how many there are (of which `out` has at
 * most `max`) or -errno; -EINTR: the list changed under every look at it, so nothing is known. */
int	nl_address_list(struct nl *nl, struct prefix *out, unsigned max);

/*
 * News of links, addresses and routes: a socket of its own to poll on.  nl_news() drains it and
 * says that something changed (the caller then looks again at what it depends on).  `each` (NULL:
 * nobody) is told how a link was at the moment of each of its news, in order, so that one which
 * was down for an instant is seen; link NULL: some news were lost, between those told and now.
 */
typedef void nl_link_fn(void *arg, const struct nl_link *link, bool gone);

struct nl	*nl_watch(void);			/* NULL with errno set */
int		nl_fd(const struct nl *nl);
bool		nl_news(struct nl *nl, nl_link_fn *each, void *arg);

#endif
