/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TUN_NETLINK_IMPL_H
#define TANDEM_TUN_NETLINK_IMPL_H

#include <libmnl/libmnl.h>

#include "tun/netlink.h"

/* What the files of netlink share; for nobody else. */
#define NL_REPLY_LEN	32768		/* bytes: what the kernel fills at most with a dump */
#define NL_REQUEST_LEN	512
#define NL_DUMP_TRIES	4		/* a table may change while it is listed: -EINTR */

struct nl {
	struct mnl_socket *s;
	uint32_t seq;
	bool lost;			/* news, and nobody was told yet */
	char reply[NL_REPLY_LEN] __attribute__((aligned(8)));
};

/* Where a list is gathered: `n` counts all, also those past `max`. */
struct nl_gather {
	unsigned want, n, max;
	void *out;
};

/*
 * Send one request and hand each message of the answer to `each` (MNL_CB_OK: go on), which may
 * be NULL.  A single answer ends at its ACK, a dump at its end; a dump that the kernel marks as
 * torn is read to its end, without `each`, and is -EINTR.
 */
int	nl_talk(struct nl *nl, struct nlmsghdr *h, mnl_cb_t each, void *arg);
/* A link by name, or by index when `name` is NULL. */
int	nl_link_by(struct nl *nl, const char *name, unsigned ifindex, struct nl_link *l);

#endif
