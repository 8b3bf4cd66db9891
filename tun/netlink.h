/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TUN_NETLINK_H
#define TANDEM_TUN_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

/* rtnetlink by libmnl: links, addresses, routes.  All calls return 0 or -errno; what is
 * already there (-EEXIST) or already gone is told apart by the caller.  Changing needs
 * CAP_NET_ADMIN; watching does not. */
struct nl;

struct nl	*nl_open(void);				/* NULL with errno set */
void		nl_close(struct nl *nl);
int	nl_link_set(struct nl *nl, const char *name, bool up, unsigned mtu);	/* mtu 0: as it is */
int	nl_link_del_group(struct nl *nl, unsigned group);	/* all of a group in one request */
int	nl_addr(struct nl *nl, bool add, const char *name, const struct prefix *address,
	    const struct ip *peer);

struct nl_route {
	struct prefix to;
	char device[IFNAMSIZ];		/* "" with unreachable */
	struct ip source;		/* preferred source; AF_UNSPEC: none */
	unsigned metric, table, protocol;	/* table 0: main */
	bool unreachable;
};
int	nl_route(struct nl *nl, bool add, const struct nl_route *r);
/* All routes of a protocol number, main table, both families.  Returns the count (<= max) or -errno. */
int	nl_route_list(struct nl *nl, unsigned protocol, struct nl_route *out, unsigned max);

/* The route the kernel would take: device, source address, MTU (of route or device), gateway there or not. */
struct nl_way {
	char device[IFNAMSIZ];
	struct ip source;
	unsigned mtu;
	bool carrier;			/* of the device */
};
int	nl_way(struct nl *nl, const struct ip *to, const struct ip *from, struct nl_way *way);
/* Is an address configured on this host (and not tentative)?  Its device's name and carrier go to *way. */
bool	nl_has_address(struct nl *nl, const struct ip *ip, struct nl_way *way);

/* News of links, addresses and routes: a socket of its own to poll on.  nl_news() drains it and says
 * that something changed (the caller then looks again at what it depends on). */
struct nl	*nl_watch(void);
int		nl_fd(const struct nl *nl);
bool		nl_news(struct nl *nl);

#endif
