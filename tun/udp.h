/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TUN_UDP_H
#define TANDEM_TUN_UDP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/pkt.h"

/*
 * UDP sockets in batches.  A socket is bound to the wildcard address or to one address;
 * IP_PKTINFO tells the local address of what comes and chooses that of what goes.  TOS comes
 * and goes with each datagram.  DF is set and the kernel's path MTU ignored
 * (IP_PMTUDISC_PROBE).
 *
 * ICMP errors are not asked for (no IP_RECVERR): anybody can forge one, and a socket that is
 * not connected then reports none.  Should the kernel report one all the same, it is skipped.
 */
#define UDP_BUFFER	(4 * 1024 * 1024)	/* bytes, asked for each way */

/* Bind a socket of family at->ip.family (the wildcard: ip bytes zero).  V6ONLY.  `device`
 * NULL or a name for SO_BINDTODEVICE; `fwmark` 0: none (needs CAP_NET_ADMIN).  Buffers are
 * forced to UDP_BUFFER where allowed, else they are what net.core.rmem_max allows.
 * Returns the descriptor (non-blocking, close-on-exec) or -errno (-EADDRINUSE: port taken,
 * -EADDRNOTAVAIL: no such address here, -ENODEV: no such device). */
int	udp_open(const struct endpoint *at, const char *device, unsigned fwmark);

/* Receive until the batch is full or nothing is there.  Sets local, remote, tos, socket.
 * local.port is `port`.  A datagram that did not fit (PKT_TAILROOM is left behind each) comes
 * with len 0, to be counted as malformed.  Returns how many, or -errno when there were none. */
int	udp_recv(int fd, unsigned socket, uint16_t port, struct batch *b);
/*
 * Send b->pkt[from .. from + n) of one socket, several by one call, each from its `local`
 * address (AF_UNSPEC or zeros: the kernel chooses) to its `remote` with its `tos`.
 *
 * Returns how many the kernel took before the first refusal (the refused one's -errno goes to
 * *err, 0 when all went); the caller counts it, skips it and goes on.  -EMSGSIZE: larger than
 * the device's MTU; -EAGAIN: the send buffer is full; -ENETUNREACH, -EHOSTUNREACH: no route;
 * -EPERM: a packet filter; -EINVAL: `local` is not an address of this host.
 */
unsigned udp_send(int fd, struct batch *b, unsigned from, unsigned n, int *err);
/* One datagram, for control.  0 or -errno as above. */
int	udp_send_one(int fd, const struct endpoint *local, const struct endpoint *remote,
	    const void *data, size_t len);

#endif
