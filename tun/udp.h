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
#define UDP_BUFFER	(16 * 1024 * 1024)	/* bytes, asked for each way */
#define UDP_TRAIN	65507			/* bytes of a train of datagrams: what IPv4 takes at once */

/* Bind a socket of family at->ip.family (the wildcard: ip bytes zero).  V6ONLY.  `device`
 * NULL or a name for SO_BINDTODEVICE; `fwmark` 0: none (needs CAP_NET_ADMIN).  Buffers are
 * forced to UDP_BUFFER where allowed, else they are what net.core.rmem_max allows.
 * Returns the descriptor (non-blocking, close-on-exec) or -errno (-EADDRINUSE: port taken,
 * -EADDRNOTAVAIL: no such address here, -ENODEV: no such device). */
int	udp_open(const struct endpoint *at, const char *device, unsigned fwmark);
/*
 * The same for socket `slot` of a set on the same place (SO_REUSEPORT), opened in order: control's
 * is 0, then comes that of each of `workers` workers (0: it is not shared).  A small classic BPF
 * program sends what begins with the non-ESP marker (four zero bytes, RFC 3948 2.2) and what is
 * shorter than that to the first, all else by its SPI mod workers to the others.
 *
 * It is a hint: the kernel looks at the head of a train only, and looks up trains' sockets by a
 * hash while it merges datagrams, so every socket of the set should have udp_gro() alike.  A set
 * that loses a socket changes its order: it is closed and opened as a whole.  Slot 0 finds the
 * place taken (-EADDRINUSE) by whomever; the others join, if they are of the same user.
 */
int	udp_open_shared(const struct endpoint *at, const char *device, unsigned fwmark,
	    unsigned workers, unsigned slot);

/*
 * Let the kernel hand over trains of datagrams of one flow and one size (UDP_GRO), or stop it:
 * for a socket that is read into buffers of PKT_BUF.  Returns 0 or -errno (-ENOPROTOOPT: the
 * kernel is older than Linux 5.0, and each datagram comes alone).
 */
int	udp_gro(int fd, bool on);

/* Receive until the batch is full or nothing is there.  Sets local, remote, tos, socket; of a
 * train also segment and segments.  local.port is `port`.  What did not fit (PKT_TAILROOM is
 * left behind each) comes with len 0, to be counted as malformed.  Returns how many, or -errno
 * when there were none. */
int	udp_recv(int fd, unsigned socket, uint16_t port, struct batch *b);

/*
 * How trains leave by a socket (UDP_SEGMENT): all zero at first.  A route whose device cannot
 * finish checksums refuses them (EIO), and an old kernel does not know them; then the next
 * UDP_PLAIN trains go as single datagrams before another is tried, for routes change.
 */
#define UDP_PLAIN	4096
struct udp_tx {
	unsigned plain;			/* trains that still go as single datagrams */
	uint64_t refused;		/* trains that the kernel did not take as such */
};

/*
 * Send b->pkt[from .. from + n) of one socket, several by one call, each from its `local`
 * address (AF_UNSPEC or zeros: the kernel chooses) to its `remote` with its `tos`.  Trains are
 * at most PKT_SEGMENTS datagrams and UDP_TRAIN bytes.
 *
 * What the kernel refuses is skipped.  Returns how many datagrams (those in trains too) it
 * refused; *err is the last reason, 0 when all went: -EMSGSIZE: larger than the device's MTU;
 * -EAGAIN: the send buffer is full; -ENETUNREACH, -EHOSTUNREACH: no route; -EPERM: a packet
 * filter; -EINVAL: `local` is not an address of this host.
 */
unsigned udp_send(int fd, struct udp_tx *tx, const struct batch *b, unsigned from, unsigned n,
	    int *err);
/* One datagram, for control.  0 or -errno as above. */
int	udp_send_one(int fd, const struct endpoint *local, const struct endpoint *remote,
	    const void *data, size_t len);

#endif
