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

size_t
replay_words(uint32_t window)
{
	size_t n = 1;

	while (n * REPLAY_WORD < (size_t)window + REPLAY_WORD)
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

static unsigned
holes(uint64_t word)
{
	unsigned n = 0;

	for (uint64_t left = ~word; left != 0; left &= left - 1)
		n++;
	return n;
}

/* What was missing in the places of words that are cleared now, and in words that the jump leaves
 * out altogether, is given up. */
uint64_t
replay_advance(struct replay *r, uint64_t from, uint64_t to)
{
	uint64_t lost = 0;

	if (to - from > r->mask) {
		lost = (to - r->mask - 1 - from) * REPLAY_WORD;
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
replay_unseen(const struct replay *r)
{
	uint64_t top = r->top / REPLAY_WORD, n = 0;

	for (uint64_t w = 0; w <= r->mask; w++)
		if (w != (top & r->mask))
			n += holes(r->ring[w]);
	/* above the top nothing is missing */
	return n + holes(r->ring[top & r->mask] | ~(uint64_t)1 << (r->top % REPLAY_WORD));
}
