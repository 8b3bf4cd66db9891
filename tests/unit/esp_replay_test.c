/* SPDX-License-Identifier: MIT */
#include "esp/replay.h"

#include "base/rng.h"
#include "esp_model.h"
#include "unit.h"

#define RING_MAX	512			/* words: enough for the largest window */

/* Window sizes at the edges, off the word size, and the usual one. */
static const uint32_t windows[] = { 64, 65, 100, 127, 128, 1000, 1024, 8191, 8192 };
#define WINDOWS_N	((int)(sizeof(windows) / sizeof(windows[0])))

/* What a sender may do next: mostly go on, sometimes jump, go back, or come near 2^32. */
static uint64_t
wander(const struct rng *rng, uint64_t at, uint32_t window)
{
	uint64_t border = ((at >> 32) + 1) << 32;

	switch (rng_below(rng, 16)) {
	case 0:
		return border + rng_below(rng, 2 * window) - window;
	case 1:
		return at + rng_below(rng, 3 * window);
	case 2:
		return at + rng_u32(rng) / 2;	/* half the space: what A2 can follow */
	case 3: case 4: case 5: case 6:
		return at > window ? at - rng_below(rng, window + 2) : at;
	case 7:
		return at;
	default:
		return at + 1;
	}
}

/* R24: the product and the model agree on the number, on newness, and after every mark. */
START_TEST(agrees_with_the_model)
{
	uint32_t window = windows[_i / 2];
	bool esn = _i % 2 != 0;
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 1000 + (uint64_t)_i);
	uint64_t ring[RING_MAX], sent = 0, full, borders = 0;
	struct replay r;
	struct model m;

	ck_assert_uint_le(replay_words(window), RING_MAX);
	replay_init(&r, ring, window, esn);
	model_init(&m, window, esn);
	for (int i = 0; i < 200000; i++) {
		uint64_t next = wander(&rng, sent, window);

		if (!esn && next > UINT32_MAX)
			next = sent;
		full = replay_infer(&r, (uint32_t)next);
		if (full != model_number(&m, (uint32_t)next))
			ck_abort_msg("W %u step %d: %#llx is not %#llx", window, i,
			    (unsigned long long)full, (unsigned long long)model_number(&m, (uint32_t)next));
		if (replay_is_new(&r, full) != model_is_new(&m, full))
			ck_abort_msg("W %u step %d: number %#llx, top %#llx", window, i,
			    (unsigned long long)full, (unsigned long long)r.top);
		/* only a packet whose number was inferred right would authenticate */
		if (full != next || !replay_is_new(&r, full))
			continue;
		borders += next >> 32 != sent >> 32;
		if (next > sent)
			sent = next;
		if (rng_below(&rng, 8) == 0)
			continue;		/* it did not authenticate: nothing may move */
		replay_mark(&r, full);
		model_accept(&m, full);
	}
	ck_assert(!esn || borders > 100);	/* the walk did cross 2^32, often */
	model_fini(&m);
}
END_TEST

START_TEST(window_is_exact)
{
	uint32_t window = windows[_i];
	uint64_t ring[RING_MAX];
	struct replay r;

	replay_init(&r, ring, window, true);
	replay_mark(&r, 100000);
	ck_assert(replay_is_new(&r, 100000 - window + 1));
	ck_assert(!replay_is_new(&r, 100000 - window));
	ck_assert(!replay_is_new(&r, 100000));
	ck_assert(replay_is_new(&r, 100001));
	for (uint64_t n = 100000 - window + 1; n < 100000; n++) {
		bool was = replay_is_new(&r, n);

		replay_mark(&r, n);
		if (!was || replay_is_new(&r, n))
			ck_abort_msg("window %u, number %d", window, (int)n);
	}
}
END_TEST

/* A sender's next number on a path that loses, reorders within and beyond the window, and jumps. */
static uint64_t
lossy(const struct rng *rng, uint64_t top, uint32_t window)
{
	switch (rng_below(rng, 400)) {
	case 0:
		return top + rng_below(rng, 3 * window);
	case 1:
		return top + rng_below(rng, 70 * 64);
	case 2: case 3: case 4: case 5: case 6: case 7: case 8: case 9: case 10: case 11: case 12:
		return top > 2 * window ? top - rng_below(rng, 2 * window) : top + 1;
	default:
		return top + 1 + (rng_below(rng, 20) == 0 ? rng_below(rng, 4) : 0);
	}
}

/*
 * What is given up is what the model never saw, in the words that the ring no longer has; with
 * what is unseen at the end it is all that never came.  Nothing counts twice, and what came late
 * but within the window does not count at all.
 */
START_TEST(gaps_are_those_of_the_model)
{
	uint32_t window = windows[_i / 2];
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 77 + (uint64_t)_i);
	uint64_t ring[RING_MAX], given_up = 0, upto = 1, missing = 0, late = 0;
	/* with ESN it crosses 2^32 on the way */
	uint64_t base = _i % 2 != 0 ? (UINT64_C(1) << 32) - 20000 : 0;
	struct replay r;
	struct model m;

	replay_init(&r, ring, window, base != 0);
	model_init(&m, window, base != 0);
	if (base != 0) {		/* everything before the base is missing */
		given_up = replay_mark(&r, base);
		model_accept(&m, base);
		upto = 64 * (base / 64 - r.mask);
		missing = upto - 1;
	}
	for (int i = 0; i < 100000; i++) {
		uint64_t seq = lossy(&rng, r.top, window), words = seq / 64;

		if (!replay_is_new(&r, seq))
			continue;
		late += seq < r.top;
		if (seq > r.top && words > r.mask && 64 * (words - r.mask) > upto) {
			missing += model_missing(&m, upto, 64 * (words - r.mask));
			upto = 64 * (words - r.mask);
		}
		given_up += replay_mark(&r, seq);
		model_accept(&m, seq);
		if (given_up != missing)
			ck_abort_msg("W %u step %d: %llu given up, %llu missing", window, i,
			    (unsigned long long)given_up, (unsigned long long)missing);
	}
	ck_assert_uint_gt(late, 100);
	ck_assert_uint_gt(missing, 5000);
	ck_assert_uint_eq(replay_unseen(&r), model_missing(&m, upto, r.top));
	model_fini(&m);
}
END_TEST

START_TEST(in_order_nothing_is_missing)
{
	uint64_t ring[RING_MAX];
	struct replay r;

	replay_init(&r, ring, windows[_i], false);
	ck_assert_uint_eq(replay_unseen(&r), 0);
	for (uint64_t n = 1; n <= 50000; n++)
		if (replay_mark(&r, n) != 0 || replay_unseen(&r) != 0)
			ck_abort_msg("window %u, number %d", windows[_i], (int)n);
}
END_TEST

/* A jump of any length forgets the ring, and nothing of it shines through. */
START_TEST(jumps_clear_the_ring)
{
	uint64_t ring[RING_MAX], top = 5000;
	struct replay r;

	replay_init(&r, ring, 1024, true);
	for (uint64_t n = top - 1023; n <= top; n++)
		replay_mark(&r, n);
	top += (uint64_t)_i * 61 + 1;
	replay_mark(&r, top);
	for (uint64_t n = top - 1023; n < top; n++)
		if (replay_is_new(&r, n) != (n > 5000))
			ck_abort_msg("jump %d, number %d", _i, (int)(n - 5000));
}
END_TEST

START_TEST(zero_and_the_end_are_never_new)
{
	uint64_t ring[RING_MAX];
	struct replay r;

	replay_init(&r, ring, 64, false);
	ck_assert_uint_eq(replay_infer(&r, 0), 0);
	ck_assert(!replay_is_new(&r, 0));
	replay_init(&r, ring, 64, true);
	ck_assert(!replay_is_new(&r, replay_infer(&r, 0)));
	replay_mark(&r, UINT64_MAX - 10);
	ck_assert_uint_eq(replay_infer(&r, UINT32_MAX), UINT64_MAX);
	ck_assert_uint_eq(replay_infer(&r, 5), 0);	/* would be past 2^64: there is none */
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, agrees_with_the_model, 0, WINDOWS_N * 2);
	tcase_add_loop_test(tc, window_is_exact, 0, WINDOWS_N);
	tcase_add_loop_test(tc, gaps_are_those_of_the_model, 0, WINDOWS_N * 2);
	tcase_add_loop_test(tc, in_order_nothing_is_missing, 0, WINDOWS_N);
	tcase_add_loop_test(tc, jumps_clear_the_ring, 0, 60);
	tcase_add_test(tc, zero_and_the_end_are_never_new);
}

UNIT_MAIN("esp_replay", fill)
