/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_SEAL_H
#define TANDEM_ESP_SEAL_H

#include "esp/sa.h"

/* What a function over one packet says when there is nothing to drop. */
#define PASS		DROP_N

enum {
	SEAL_ESP_HEAD = 8,		/* SPI and sequence number, bytes */
	SEAL_TRAILER = 2,		/* pad length and next header */
	SEAL_BLOCK_MAX = 16,
	/* behind an inner packet: the most that padding and trailer take */
	SEAL_TRAILER_MAX = SEAL_BLOCK_MAX - 1 + SEAL_TRAILER,
};

/*
 * One packet to be sealed: `body` of `len` bytes becomes an ESP packet of seal_len() bytes at
 * `to`.  The two do not overlap, or the body lies where the encrypted one will.  The
 * SEAL_TRAILER_MAX bytes behind the body are used; they are as before when `to` is elsewhere.
 */
struct seal {
	uint8_t *body;
	size_t len;
	uint64_t seq;			/* that esp_sa_take() gave for this packet alone */
	uint8_t *to;
};
/* The inner packet with its padding and trailer; a block is a power of two. */
static inline size_t
seal_text_len(const struct esp_sa *sa, size_t len)
{
	return (len + SEAL_TRAILER + sa->block - 1u) & ~(size_t)(sa->block - 1u);
}

static inline size_t
seal_len(const struct esp_sa *sa, size_t len)
{
	return SEAL_ESP_HEAD + (size_t)sa->iv_len + seal_text_len(sa, len) + sa->icv_len;
}

/* PASS or DROP_OUT_SEAL. */
enum drop	seal_packet(const struct esp_sa *sa, struct aead_scratch *s, const struct seal *x);

struct opened {
	uint8_t *body;			/* what the packet carried: at `to` */
	size_t len;
	uint64_t seq;
	uint8_t next;			/* next header: of the body */
	bool newest;			/* its number is above all before it */
	uint64_t gaps;			/* numbers given up by it (replay_mark) */
};

/*
 * Write what the ESP packet in p, which begins with its SPI, carries to `to`, which has room
 * for p->len bytes and does not overlap it; NULL: where it lies.  Padding and trailer are
 * removed (TFC padding is not: the inner length decides).  The replay window is asked before
 * the ICV and moved only after it.
 * PASS, or one of DROP_IN_SHORT, DROP_IN_REPLAY, DROP_IN_AUTH (what is at `to` is unspecified
 * then) and DROP_IN_PADDING (authentic and marked, but malformed).
 */
enum drop	open_packet(struct esp_sa *sa, struct aead_scratch *s, const struct pkt *p,
		    uint8_t *to, struct opened *o);

#endif
