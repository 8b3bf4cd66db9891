/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_OFFLOAD_H
#define TANDEM_ESP_OFFLOAD_H

#include "esp/inner.h"

/*
 * Super-packets: one header and the payloads of many packets behind it.  Splitting makes the
 * packets that the kernel would have made of it; coalescing joins packets only where the
 * kernel, splitting again, makes the same bytes.  Neither copies a payload.
 */

/* ---- out: split ---------------------------------------------------------------------- */

/*
 * A walk over the packets of a super-packet (of any other packet: over itself).  Each is made
 * in the buffer of the super-packet: its header is written in front of its payload, over the
 * end of the one before, so that one must be done with before the next is asked for.
 */
struct split {
	uint8_t *at;			/* the header of the packet made last, or of the first */
	uint32_t left;			/* bytes of payload behind it that are in no packet yet */
	unsigned n;			/* packets still to come */
	bool first;			/* none was made yet */
	bool v6;
	uint8_t gso;
	uint8_t flags;			/* TCP: of the super-packet */
	uint16_t head, ip_head;		/* bytes of all headers, of those in front of TCP or UDP */
	uint16_t size;			/* payload of a packet, bytes; the last may have less */
	uint16_t id;			/* v4: identification of the next */
	uint32_t seq;			/* TCP: of the next */
	uint32_t ip_sum, pseudo;	/* sums of what stays the same: v4 header, pseudo-header */
};

/* False: it is not what p->gso says, or has no payload. */
bool	split_init(struct split *s, struct pkt *p, const struct inner *in);
/* Make the packets smaller (TCP only: a datagram's border is its user's). */
void	split_resize(struct split *s, uint16_t size);
/* The length of the longest packet, of all packets together. */
unsigned split_longest(const struct split *s);
size_t	split_bytes(const struct split *s);
/* The next packet, checksums right; *len is its length.  Only while s->n > 0. */
uint8_t	*split_next(struct split *s, size_t *len);

/* ---- in: coalesce -------------------------------------------------------------------- */

/*
 * Packets on their way to a device.  Each is either joined to an earlier one of its flow, or
 * appended to the batch by the caller and shown to coalesce_open().  A packet that may not
 * grow (any but plain TCP data and UDP) ends the growth of its flow, so that the order within a
 * flow is kept.  Checksums are verified before anything is joined, because what the kernel gets
 * as a super-packet it does not verify.
 */
enum { CO_FLOWS = 8, CO_PIECES = 1024 };

struct co_flow {
	struct pkt *first;		/* in the batch; NULL: unused */
	struct pkt_piece *last;		/* the last of first->more */
	const uint8_t *end;		/* of its payload in memory */
	uint32_t hash;
	uint32_t seq;			/* TCP: of what may follow */
	uint32_t total;			/* bytes of the super-packet */
	uint16_t id;			/* v4: of what may follow */
	bool checked;			/* the checksums of the first are right */
};

struct coalesce {
	struct co_flow flow[CO_FLOWS];
	unsigned turn;			/* which one is given up for a new flow */
	struct co_flow *hot;		/* the one that grew last, or NULL */
	struct pkt_piece piece[CO_PIECES];
	unsigned pieces;
};

/* What a packet is to the coalescer. */
struct co_seen {
	uint32_t hash, seq;
	uint16_t head, ip_head, id;
	uint16_t payload;		/* bytes */
	uint8_t gso;			/* PKT_GSO_NONE: cannot be joined */
	bool ends;			/* PSH: nothing follows in the same super-packet */
};

void	coalesce_reset(struct coalesce *c);
/* `takes`: ESP_TAKES_ flags of the packet's device. */
void	coalesce_look(const struct pkt *p, const struct inner *in, unsigned takes,
	    struct co_seen *seen);
/* True: p's payload, which stays where it is, now belongs to an earlier packet. */
bool	coalesce_join(struct coalesce *c, const struct pkt *p, const struct co_seen *seen);
/*
 * The same for a packet of which nothing is known but that it was opened where coalesce_guess()
 * hoped for it.  True says that its header is the one of that flow's first packet but for
 * lengths, numbers and PSH: what was judged of addresses, ports and TOS holds for it too.
 * False: nothing has changed, and it goes the long way.
 */
bool	coalesce_follow(struct coalesce *c, struct pkt *p);
/* `p` was appended to the batch, where it stays until coalesce_reset(). */
void	coalesce_open(struct coalesce *c, struct pkt *p, const struct co_seen *seen);
/* How many bytes of header the next packet probably has, if `at` is where the payload that
 * grew last ends; else 0. */
unsigned coalesce_guess(struct coalesce *c, const uint8_t *at);
/* Complete the headers of a packet of the batch, to be given to the kernel. */
void	coalesce_finish(struct pkt *p);

#endif
