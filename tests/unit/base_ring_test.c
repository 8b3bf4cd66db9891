/* SPDX-License-Identifier: MIT */
#include "base/ring.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>

#include "unit.h"

struct msg {
	uint64_t number, twice;
	uint8_t tail[5];		/* an odd length: slots do not align by luck */
} __attribute__((packed));

START_TEST(it_holds_its_capacity_in_order)
{
	struct ring *r = ring_new(sizeof(uint32_t), 8);
	uint32_t v, in = 0, out = 0;

	ck_assert_ptr_nonnull(r);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 8; i++, in++)
			ck_assert(ring_put(r, &in));
		ck_assert(!ring_put(r, &in));
		ck_assert_uint_eq(ring_used(r), 8);
		for (int i = 0; i < 1 + round % 8; i++) {
			ck_assert(ring_get(r, &v));
			ck_assert_uint_eq(v, out++);
		}
		ck_assert_uint_eq(ring_used(r), in - out);
		while (ring_get(r, &v))
			ck_assert_uint_eq(v, out++);
		ck_assert_uint_eq(in, out);
		ck_assert_uint_eq(ring_used(r), 0);
	}
	ring_free(r);
}
END_TEST

#define MESSAGES	100000

static void *
produce(void *arg)
{
	for (uint64_t i = 1; i <= MESSAGES; i++) {
		struct msg m = { .number = i, .twice = 2 * i, .tail = { (uint8_t)i } };

		while (!ring_put(arg, &m))
			sched_yield();
	}
	return NULL;
}

/* Two threads: every message arrives once, whole and in order. */
START_TEST(nothing_is_lost_between_threads)
{
	struct ring *r = ring_new(sizeof(struct msg), 64);
	pthread_t producer;
	struct msg m;

	ck_assert_ptr_nonnull(r);
	ck_assert_int_eq(pthread_create(&producer, NULL, produce, r), 0);
	for (uint64_t i = 1; i <= MESSAGES; i++) {
		while (!ring_get(r, &m))
			sched_yield();
		ck_assert_uint_eq(m.number, i);
		ck_assert_uint_eq(m.twice, 2 * i);
		ck_assert_uint_eq(m.tail[0], (uint8_t)i);
		if (i % 1024 == 0)
			ck_assert_uint_le(ring_used(r), 64);
	}
	pthread_join(producer, NULL);
	ck_assert(!ring_get(r, &m));
	ring_free(r);
}
END_TEST

START_TEST(a_size_that_cannot_be_is_refused)
{
	ck_assert_ptr_null(ring_new(SIZE_MAX / 2, 8));
	ck_assert_ptr_null(ring_new(SIZE_MAX / 8 + 2, 8));	/* 8, were it let wrap */
	ck_assert_ptr_null(ring_new(1, SIZE_MAX / 2 + 1));
	ring_free(NULL);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, it_holds_its_capacity_in_order);
	tcase_add_test(t, nothing_is_lost_between_threads);
	tcase_add_test(t, a_size_that_cannot_be_is_refused);
}

UNIT_MAIN("base/ring", fill)
