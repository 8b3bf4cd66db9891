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
 */
enum host_op {
	HOST_TUN_OPEN = 1,		/* name -> fd; an existing device of ours: its kept fd */
	HOST_TUN_CLOSE,			/* name: the device and all over it goes */
	HOST_LINK_SET,			/* name, up, mtu */
	HOST_ADDR_ADD, HOST_ADDR_DEL,	/* name, prefix (host bits kept: the address), peer */
	HOST_ROUTE_ADD, HOST_ROUTE_DEL,	/* prefix, name or unreachable, metric, source; our protocol */
	HOST_UDP_OPEN,			/* local endpoint, name = bound device or "" -> fd (kept by broker) */
	HOST_UDP_CLOSE,			/* local endpoint, name */
	HOST_SYSCTL_SET,		/* sysctl (enum), name of interface, value; old one remembered */
	HOST_LIST,			/* -> one answer a kept object, last has more = false */
	HOST_STOP,			/* clean stop: undo all (`keep_guards`: unreachable routes stay) */
	HOST_READY,			/* the engine is up: for sd_notify and the start limiter */
};

enum host_sysctl {
	HOST_SYSCTL_FORWARD4 = 1,	/* net.ipv4.ip_forward */
	HOST_SYSCTL_FORWARD6,		/* net.ipv6.conf.all.forwarding */
	HOST_SYSCTL_RP_FILTER,		/* net.ipv4.conf.NAME.rp_filter */
	HOST_SYSCTL_LINKDOWN,		/* net.ipv4/6.conf.NAME.ignore_routes_with_linkdown */
};

#define HOST_ROUTE_PROTO	0x7d	/* RTA protocol number of our routes (125) */
#define HOST_LINK_GROUP		0x7d	/* link group of our devices */
#define HOST_GUARD_METRIC	4294967290u	/* worst: any other route wins */

struct host_request {
	uint32_t id;			/* of the caller's choosing; comes back in the answer */
	enum host_op op;
	char name[IFNAMSIZ];
	struct prefix prefix;		/* with host bits, where an address is meant */
	struct ip peer, source;		/* AF_UNSPEC: none */
	struct endpoint local;
	unsigned mtu, metric, fwmark;
	enum host_sysctl sysctl;
	int value;
	bool up, unreachable, keep_guards;
};

struct host_answer {
	uint32_t id;
	enum host_op op;
	int err;			/* 0 or -errno */
	bool more;			/* HOST_LIST: another follows */
	bool existed;			/* it was there already */
	unsigned ifindex;
	int fd;				/* in the receiver's process; -1: none */
	struct host_request what;	/* HOST_LIST: the request that would make it */
	char text[160];			/* a sentence when err is set */
};

/* Send and receive over the pair.  0, or -errno; -EPIPE: the other end is gone; -EAGAIN on a
 * non-blocking socket.  A request of the wrong size is -EPROTO.  `fd` is duplicated by the kernel. */
int	host_send_request(int sock, const struct host_request *q);
int	host_recv_request(int sock, struct host_request *q);
int	host_send_answer(int sock, const struct host_answer *a);
int	host_recv_answer(int sock, struct host_answer *a);

#endif
