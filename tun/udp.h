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
 */

/* Bind a socket of family at->ip.family (the wildcard: ip bytes zero).  V6ONLY.  `device`
 * NULL or a name for SO_BINDTODEVICE; `fwmark` 0: none.  Receive buffer forced to 4 MiB where allowed.
 * Returns the descriptor (non-blocking, close-on-exec) or -errno (-EADDRINUSE: port taken). */
int	udp_open(const struct endpoint *at, const char *device, unsigned fwmark);

/* Receive until the batch is full or nothing is there.  Sets local, remote, tos, socket.
 * local.port is `port`.  Returns how many, or -errno. */
int	udp_recv(int fd, unsigned socket, uint16_t port, struct batch *b);
/* Send b->pkt[from .. from + n) of one socket, several by one call.  Returns how many the kernel took before
 * the first refusal (the refused one's -errno goes to *err, 0 when all went); the caller
 * counts it, skips it and goes on. */
unsigned udp_send(int fd, struct batch *b, unsigned from, unsigned n, int *err);
/* One datagram, for control. */
int	udp_send_one(int fd, const struct endpoint *local, const struct endpoint *remote,
	    const void *data, size_t len);

#endif
