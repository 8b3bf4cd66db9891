/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "esp/replay.h"

/*
 * The bitmap is a ring of words indexed by the number itself, so that moving the window
 * clears words instead of shifting bits: a step costs O(1), a jump at most the ring.
 * A word is cleared when the top enters it; the ring is one word larger than the window,
 * so what is cleared lies left of the window already.  What is not set in a word by then is
 * of packets that never came: they are counted there, once in 64 numbers, and a packet pays
 * nothing for it.  A word that stands for no numbers yet is full, so that nothing is missing.
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
	memset(ring, 0xff, replay_words(window) * sizeof(*ring));
	ring[0] = 1;			/* there is no number 0 to wait for */
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

static unsigned
holes(uint64_t word)
{
	unsigned n = 0;

	for (uint64_t left = ~word; left != 0; left &= left - 1)
		n++;
	return n;
}

/* The top goes from one word to a later one: those between are cleared.  What was missing in
 * their places before, and in words that the jump leaves out altogether, is given up. */
static uint64_t
advance(struct replay *r, uint64_t from, uint64_t to)
{
	uint64_t lost = 0;

	if (to - from > r->mask) {
		lost = (to - r->mask - 1 - from) * WORD_BITS;
		from = to - r->mask - 1;
	}
	while (from < to) {
		uint64_t *w = &r->ring[++from & r->mask];

		lost += holes(*w);
		*w = 0;
	}
	return lost;
}

uint64_t
replay_mark(struct replay *r, uint64_t seq)
{
	uint64_t word = seq / WORD_BITS, from = r->top / WORD_BITS, lost = 0;

	if (seq > r->top) {
		if (word != from)
			lost = advance(r, from, word);
		r->top = seq;
	}
	r->ring[word & r->mask] |= UINT64_C(1) << (seq % WORD_BITS);
	return lost;
}

uint64_t
replay_unseen(const struct replay *r)
{
	uint64_t top = r->top / WORD_BITS, n = 0;

	for (uint64_t w = 0; w <= r->mask; w++)
		if (w != (top & r->mask))
			n += holes(r->ring[w]);
	/* above the top nothing is missing */
	return n + holes(r->ring[top & r->mask] | ~(uint64_t)1 << (r->top % WORD_BITS));
}
