/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TUN_HOST_H
#define TANDEM_TUN_HOST_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * The privileged requests, in plain kernel terms: what the engine asks of the broker.  One
 * struct a request, one struct an answer, over a SOCK_SEQPACKET pair; descriptors travel by
 * SCM_RIGHTS.  The broker checks every field before it acts (names within bounds and ours,
 * prefixes well formed, sysctls from a fixed list) and keeps a record of all it made, so
 * that a new engine can ask what exists and a clean stop can undo exactly that.
 *
 * Requests are carried out and answered in order.  Asking for what is there already is fine:
 * err 0, `existed`, and for TUN and UDP the kept descriptor.  Undoing what is not there is
 * -ENOENT.  A new engine asks for all that it wants as if nothing existed and then says
 * HOST_READY: what an engine before it had (or a daemon that crashed: its guards and its
 * sysctls) and it did not ask for again is undone at that moment, and not before.
 */
enum host_op {
	HOST_TUN_OPEN = 1,		/* name, slot, slots -> fd, ifindex; rp_filter loose, no */
					/* link-local; slots: queues, see tun_open_queue() */
	HOST_TUN_CLOSE,			/* name: the device and all over it goes */
	HOST_LINK_SET,			/* name, up, mtu (0: as it is) */
	HOST_ADDR_ADD,			/* name, prefix (host bits kept: the address) */
	HOST_ROUTE_ADD, HOST_ROUTE_DEL,	/* prefix, name or unreachable, metric; our protocol */
	HOST_UDP_OPEN,			/* local endpoint, any address of a family, slot, slots -> fd; one */
					/* of a set with others in it: all anew; below 1024 only 500 */
					/* and the ports configured at the daemon's start */
	HOST_UDP_CLOSE,			/* local endpoint: its whole set */
	HOST_SYSCTL_SET,		/* sysctl (enum), name of interface, value; old one remembered */
	HOST_LIST,			/* -> one answer an object (`what`, no fd; a device's link */
					/* settings are in it), then one with more = false, what.op 0 */
	HOST_STOP,			/* clean stop: undo all; guards with keep_guards stay */
	HOST_READY,			/* the engine is up and has asked for all it wants */
};
#define HOST_OP_MAX	HOST_READY

enum host_sysctl {
	HOST_SYSCTL_FORWARD4 = 1,	/* net.ipv4.ip_forward; value 1 */
	HOST_SYSCTL_FORWARD6,		/* net.ipv6.conf.all.forwarding; value 1 */
	HOST_SYSCTL_RP_FILTER,		/* net.ipv4.conf.NAME.rp_filter; value 2; not of "all" */
	HOST_SYSCTL_LINKDOWN,		/* net.ipv4/6.conf.NAME.ignore_routes_with_linkdown; 0 or 1; */
					/* our devices only */
};
#define HOST_SYSCTL_MAX	HOST_SYSCTL_LINKDOWN

#define HOST_SLOTS_MAX	65
#define HOST_ROUTE_PROTO	0x7d	/* RTA protocol number of our routes (125) */
#define HOST_LINK_GROUP		0x7d	/* link group of our devices */
#define HOST_GUARD_METRIC	4294967290u	/* worst: any other route wins */

struct host_request {
	uint32_t id;			/* of the caller's choosing; comes back in the answer */
	enum host_op op;
	char name[IFNAMSIZ];
	struct prefix prefix;		/* with host bits, where an address is meant */
	struct endpoint local;
	unsigned mtu;			/* 0, or 68..65535 */
	unsigned metric;		/* unreachable: 0 or HOST_GUARD_METRIC, which both mean the latter */
	unsigned slots, slot;		/* how many sockets share the place (control's and one a */
					/* worker; 0: it is not shared), or how many queues a device */
					/* has (0: a plain one), and which of them; in order */
	enum host_sysctl sysctl;	/* 0 where it is not meant */
	int value;
	bool up;
	bool unreachable;		/* a guard route; never where host_is_default() */
	bool keep_guards;		/* HOST_ROUTE_ADD of a guard: it stays after a clean stop; */
					/* HOST_STOP: all of them do */
};

struct host_answer {
	uint32_t id;
	enum host_op op;
	int err;			/* 0 or -errno */
	bool more;			/* HOST_LIST: another follows */
	bool existed;			/* it was there already */
	unsigned ifindex;
	int fd;				/* in the receiver's process, which owns it; -1: none */
	struct host_request what;	/* the request answered; HOST_LIST: the one that would make it */
	char text[160];			/* a sentence when err is set */
};

/*
 * Send and receive over the pair.  0, or -errno; -EPIPE: the other end is gone; -EAGAIN on a
 * non-blocking socket.  What is received is checked for form: the size, the range of each enum,
 * a NUL in each text, 0 or 1 in each bool, lengths of prefixes, a descriptor where and only
 * where there should be one.  Else -EPROTO; descriptors that came along are closed.
 * host_send_answer() leaves a->fd with the caller: the kernel duplicates it.  An answer whose
 * descriptor finds no room in our table comes with err -EMFILE and a sentence.
 */
int	host_send_request(int sock, const struct host_request *q);
int	host_recv_request(int sock, struct host_request *q);
int	host_send_answer(int sock, const struct host_answer *a);
int	host_recv_answer(int sock, struct host_answer *a);

/* A default route, or the like in pieces (half of IPv4, all of the IPv6 Internet): what is
 * unreachable by it cuts the host off, so it gets no guard. */
bool	host_is_default(const struct prefix *p);

const char *host_op_name(enum host_op op);	/* "tun-open"; "unknown" when out of range */

#endif
