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
 */
#define PKT_HEADROOM	128		/* bytes in front: virtio-net header, UDP, ESP, IV */
#define PKT_TAILROOM	64		/* bytes behind: padding, trailer, ICV */

enum pkt_csum {
	PKT_CSUM_DONE,			/* checksums inside are complete */
	PKT_CSUM_PARTIAL,		/* the kernel's NEEDS_CSUM: finish at csum_start + csum_offset */
};

struct pkt {
	uint8_t *buf;			/* start of the buffer */
	uint32_t cap;			/* its size, bytes */
	uint32_t off, len;		/* the packet: buf[off .. off + len) */
	uint16_t segment;		/* size of the pieces of a super-packet; 0: one packet */
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

/*
 * A bounded run of packets with the buffers behind them, allocated once.
 * pkt[0 .. n) are in use; buffers stay with their slot.
 */
struct batch {
	struct pkt *pkt;
	unsigned n, cap;
	uint8_t *mem;			/* all buffers, owned */
};

#define BATCH_PKTS	64

/* `buf_len` 0: a batch of views, whose packets point into buffers of another.  False: no memory. */
bool	batch_init(struct batch *b, unsigned cap, size_t buf_len);
void	batch_fini(struct batch *b);
/* The next free packet with off at PKT_HEADROOM and len 0, or NULL when the batch is full. */
struct pkt *batch_next(struct batch *b);
/* Undo the last batch_next(). */
void	batch_unget(struct batch *b);
void	batch_reset(struct batch *b);
/* Bytes that may still follow the packet in its buffer. */
size_t	pkt_room(const struct pkt *p);

#endif
