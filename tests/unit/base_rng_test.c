/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include <string.h>

#include "unit.h"

START_TEST(one_seed_is_one_stream)
{
	struct rng_seeded sa, sb, sc;
	struct rng a = rng_seeded(&sa, 1), b = rng_seeded(&sb, 1), c = rng_seeded(&sc, 2);
	uint8_t x[100], y[100], z[100];

	rng_fill(&a, x, sizeof(x));
	rng_fill(&b, y, sizeof(y));
	rng_fill(&c, z, sizeof(z));
	ck_assert_mem_eq(x, y, sizeof(x));
	ck_assert_mem_ne(x, z, sizeof(x));
	rng_fill(&a, y, sizeof(y));
	ck_assert_mem_ne(x, y, sizeof(x));	/* it goes on */
	ck_assert_uint_eq(sa.counter, 2);
	rng_fill(&a, NULL, 0);
}
END_TEST

START_TEST(the_system_does_not_repeat_itself)
{
	struct rng r = rng_system();

	ck_assert_uint_ne(rng_u64(&r), rng_u64(&r));
}
END_TEST

/* Feeds chosen words. */
struct words {
	const uint32_t *next;
};

static void
words_fill(void *arg, void *buf, size_t len)
{
	struct words *w = arg;

	ck_assert_uint_eq(len, sizeof(uint32_t));
	memcpy(buf, w->next++, len);
}

/* 2^32 mod 3 is 1: the word 0 would make 0 likelier than 1 and 2, so it is drawn again. */
START_TEST(below_has_no_bias)
{
	static const uint32_t drawn[] = { 0, 1, UINT32_MAX, 0, 0, 5 };
	struct words w = { drawn };
	struct rng r = { words_fill, &w };

	ck_assert_uint_eq(rng_below(&r, 3), 1);
	ck_assert_uint_eq(rng_below(&r, 3), 0);
	ck_assert_uint_eq(rng_below(&r, 3), 2);
	ck_assert_ptr_eq(w.next, drawn + 6);
}
END_TEST

START_TEST(below_is_below_and_reaches_all)
{
	struct rng_seeded state;
	struct rng r = rng_seeded(&state, 5);
	unsigned hits[10] = { 0 };

	for (int i = 0; i < 10000; i++) {
		uint32_t v = rng_below(&r, 10);

		ck_assert_uint_lt(v, 10);
		hits[v]++;
	}
	for (int i = 0; i < 10; i++)
		ck_assert_msg(hits[i] > 850 && hits[i] < 1150, "%d came %u times", i, hits[i]);
	ck_assert_uint_eq(rng_below(&r, 1), 0);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, one_seed_is_one_stream);
	tcase_add_test(t, the_system_does_not_repeat_itself);
	tcase_add_test(t, below_has_no_bias);
	tcase_add_test(t, below_is_below_and_reaches_all);
}

UNIT_MAIN("base/rng", fill)
