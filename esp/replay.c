/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "esp/replay.h"

/*
 * The bitmap is a ring of words indexed by the number itself, so that moving the window
 * clears words instead of shifting bits: a step costs O(1), a jump at most the ring.
 * A word is cleared when the top enters it; the ring is one word larger than the window,
 * so what is cleared lies left of the window already.
 */

#define WORD_BITS	64

size_t
replay_words(uint32_t window)
{
	size_t n = 1;

	while (n * WORD_BITS < (size_t)window + WORD_BITS)
		n *= 2;
	return n;
}

void
replay_init(struct replay *r, uint64_t *ring, uint32_t window, bool esn)
{
	*r = (struct replay){ .ring = ring, .window = window, .esn = esn };
	r->mask = (uint32_t)replay_words(window) - 1;
	memset(ring, 0, replay_words(window) * sizeof(*ring));
}

/*
 * RFC 4303 A2.2 in one sentence: the full number is the smallest one not left of the window
 * that ends in `low`.  The two cases there are this sentence with the window inside one
 * 2^32 stretch, and across the border of two.  At the start nothing lies left of the window.
 */
uint64_t
replay_infer(const struct replay *r, uint32_t low)
{
	uint64_t bottom, seq;

	if (!r->esn)
		return low;
	bottom = r->top < r->window ? 0 : r->top - r->window + 1;
	seq = (bottom & ~(uint64_t)UINT32_MAX) | low;
	if (seq >= bottom)
		return seq;
	return seq > UINT64_MAX - (UINT64_C(1) << 32) ? 0 : seq + (UINT64_C(1) << 32);
}

bool
replay_is_new(const struct replay *r, uint64_t seq)
{
	if (seq == 0)
		return false;
	if (seq > r->top)
		return true;
	if (r->top - seq >= r->window)
		return false;
	return (r->ring[(seq / WORD_BITS) & r->mask] >> (seq % WORD_BITS) & 1) == 0;
}

void
replay_mark(struct replay *r, uint64_t seq)
{
	uint64_t word = seq / WORD_BITS, from = r->top / WORD_BITS;

	if (seq > r->top) {
		if (word - from > r->mask)
			from = word - r->mask - 1;
		while (from < word)
			r->ring[++from & r->mask] = 0;
		r->top = seq;
	}
	r->ring[word & r->mask] |= UINT64_C(1) << (seq % WORD_BITS);
}
