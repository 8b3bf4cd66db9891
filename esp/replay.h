/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_REPLAY_H
#define TANDEM_ESP_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The receiver's window over sequence numbers (RFC 4303 3.4.3 and appendix A), for 32-bit
 * numbers and for extended ones (ESN) of which only the low half is on the wire.
 *
 * The order of use is the rule that keeps it safe: infer the number, ask whether it is new,
 * check the ICV, and only then mark.  Nothing that did not authenticate moves the window.
 */
#define REPLAY_WINDOW_MIN	64
#define REPLAY_WINDOW_MAX	8192		/* packets */
#define REPLAY_WORD		64		/* bits of a word of the ring */

struct replay {
	uint64_t top;			/* highest number marked; 0: none yet */
	uint64_t *ring;			/* a bit a number, (mask + 1) words; borrowed */
	uint32_t mask;			/* words - 1, words a power of two */
	uint32_t window;		/* packets */
	bool esn;
};

/* Words of 64 bits that a window needs: one more than it covers, so that the word the top
 * stands in may be partly ahead of the window. */
size_t		replay_words(uint32_t window);
/* `ring` has replay_words(window) words and is cleared here; window is within the bounds. */
void		replay_init(struct replay *r, uint64_t *ring, uint32_t window, bool esn);
/* The numbers below the top that are neither seen nor given up: what an SA that ends adds. */
uint64_t	replay_unseen(const struct replay *r);

/* The three that each packet needs. */

/*
 * The full number of a packet that carries `low`; 0, which is never new, when there is none.
 * RFC 4303 A2.2 in one sentence: the full number is the smallest one not left of the window
 * that ends in `low`.  The two cases there are this sentence with the window inside one
 * 2^32 stretch, and across the border of two.  At the start nothing lies left of the window.
 */
static inline uint64_t
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

static inline bool
replay_is_new(const struct replay *r, uint64_t seq)
{
	if (seq == 0)
		return false;
	if (seq > r->top)
		return true;
	if (r->top - seq >= r->window)
		return false;
	return (r->ring[(seq / REPLAY_WORD) & r->mask] >> (seq % REPLAY_WORD) & 1) == 0;
}

/* The top goes from one word of the ring to a later one: those between are cleared. */
uint64_t	replay_advance(struct replay *r, uint64_t from, uint64_t to);

/*
 * Only for a number that is new and whose packet authenticated.  Returns how many numbers are
 * given up by it: never seen, and left of the window for good.  They are counted when the ring
 * needs their place, a word at a time: when the top has come as far as the ring is long.
 */
static inline uint64_t
replay_mark(struct replay *r, uint64_t seq)
{
	uint64_t word = seq / REPLAY_WORD, from = r->top / REPLAY_WORD, lost = 0;

	if (seq > r->top) {
		if (word != from)
			lost = replay_advance(r, from, word);
		r->top = seq;
	}
	r->ring[word & r->mask] |= UINT64_C(1) << (seq % REPLAY_WORD);
	return lost;
}

#endif
