/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_PKT_H
#define TANDEM_BASE_PKT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * A packet: a stretch of a buffer with room in front and behind, so that headers and
 * trailers are added in place.  It does not own the buffer; a batch's pool does.
 *
 * A super-packet is several packets in one, as the kernel's offloads make them:
 *  - inner (gso TCP or UDP): one header, then the payloads of `segments` packets, `segment`
 *    bytes each, the last maybe shorter;
 *  - of datagrams (gso NONE): `segments` whole datagrams of `segment` bytes, the last maybe
 *    shorter.
 */
#define PKT_HEADROOM	128		/* bytes in front: virtio-net header, UDP, ESP, IV */
#define PKT_TAILROOM	64		/* bytes behind: padding, trailer, ICV */
#define PKT_MAX		65535		/* the longest packet, super-packets too */
#define PKT_BUF		(PKT_HEADROOM + PKT_MAX + 1 + PKT_TAILROOM)
#define PKT_SEGMENTS	64		/* in a super-packet of our making */

enum pkt_csum {
	PKT_CSUM_DONE,			/* checksums inside are complete */
	PKT_CSUM_PARTIAL,		/* the kernel's NEEDS_CSUM: finish at csum_start + csum_offset */
};

enum pkt_gso {
	PKT_GSO_NONE,
	PKT_GSO_TCP,
	PKT_GSO_UDP,
};

/* More of a packet, elsewhere. */
struct pkt_piece {
	uint8_t *data;
	size_t len;
	struct pkt_piece *next;
};

struct pkt {
	uint8_t *buf;			/* start of the buffer */
	uint32_t cap;			/* its size, bytes */
	uint32_t off, len;		/* the packet: buf[off .. off + len), without `more` */
	struct pkt_piece *more;		/* what follows behind it, or NULL; packets to devices only */
	uint16_t segment;		/* size of the pieces of a super-packet; 0: one packet */
	uint16_t segments;		/* packets in it; 0 is 1 too */
	uint16_t head_len;		/* gso: bytes of its header */
	uint8_t gso;			/* enum pkt_gso */
	uint8_t csum;			/* enum pkt_csum */
	uint8_t tos;			/* outer TOS / traffic class, in and out */
	uint16_t csum_start, csum_offset;
	uint16_t device;		/* index of the TUN device it came from or goes to */
	uint16_t socket;		/* index of the UDP socket it came by or leaves by */
	uint32_t tunnel;		/* out: whose datagram this is */
	struct endpoint local, remote;	/* outer addresses of a datagram */
};

static inline uint8_t *
pkt_data(const struct pkt *p)
{
	return p->buf + p->off;
}

/* The datagram of a train that begins at `at` of its data; of a single one, at 0: itself. */
static inline struct pkt
pkt_datagram(const struct pkt *train, size_t at)
{
	struct pkt one = *train;

	one.off += (uint32_t)at;
	one.len -= (uint32_t)at;
	if (one.segment != 0 && one.len > one.segment)
		one.len = one.segment;
	return one;
}

/*
 * A bounded run of packets with the buffers behind them, allocated once.
 * pkt[0 .. n) are in use; buffers stay with their slot.
 */
struct batch {
	struct pkt *pkt;
	unsigned n, cap;
	uint8_t *mem;			/* all buffers, owned */
	size_t shared, used;		/* bytes of `mem` that packets share, and have taken */
};

#define BATCH_PKTS	64

/* `buf_len` 0: a batch of views, whose packets point into buffers of another.  False: no memory. */
bool	batch_init(struct batch *b, unsigned cap, size_t buf_len);
/*
 * A batch whose packets lie one behind the other in `bytes` of memory, so that many small ones
 * or few large ones fill as little cache as they can.  batch_next() gives what is left of it,
 * NULL when that is less than a PKT_BUF; call batch_trim() when the packet has its length.
 */
bool	batch_init_shared(struct batch *b, unsigned cap, size_t bytes);
void	batch_fini(struct batch *b);
/* The next free packet with off at PKT_HEADROOM and len 0, or NULL when the batch is full. */
struct pkt *batch_next(struct batch *b);
/* Undo the last batch_next(). */
void	batch_unget(struct batch *b);
void	batch_reset(struct batch *b);
bool	batch_is_full(const struct batch *b);		/* batch_next() would give NULL */
/* Of a shared batch: the last packet keeps its headroom, itself and PKT_TAILROOM. */
void	batch_trim(struct batch *b);
/* Bytes that may still follow the packet in its buffer. */
size_t	pkt_room(const struct pkt *p);

#endif
