/* SPDX-License-Identifier: MIT */
#include "esp/tunnel.h"

#include <pthread.h>

#include "base/rng.h"
#include "unit.h"

#define IDS	5000

START_TEST(found_and_forgotten)
{
	static struct tunnels ts;
	struct esp_tunnel *t, *again;

	tunnels_init(&ts);
	for (uint32_t id = 0; id < IDS; id++) {
		t = tunnels_get(&ts, id * 1024);	/* ids with a pattern */
		ck_assert_ptr_nonnull(t);
		stat_add(&t->out_packets, id);
	}
	for (uint32_t id = 0; id < IDS; id++) {
		t = tunnels_find(&ts, id * 1024);
		ck_assert_ptr_nonnull(t);
		ck_assert_uint_eq(stat_get(&t->out_packets), id);
		ck_assert_ptr_eq(tunnels_get(&ts, id * 1024), t);
	}
	ck_assert_ptr_null(tunnels_find(&ts, 1));
	for (uint32_t id = 0; id < IDS; id += 2) {
		t = tunnels_find(&ts, id * 1024);
		t->refs = 2;
		t->gone = true;
		tunnels_unref(&ts, t, 1);
		ck_assert_ptr_eq(tunnels_find(&ts, id * 1024), t);
		tunnels_unref(&ts, t, 1);
		ck_assert_ptr_null(tunnels_find(&ts, id * 1024));
	}
	for (uint32_t id = 1; id < IDS; id += 2)
		ck_assert_uint_eq(stat_get(&tunnels_find(&ts, id * 1024)->out_packets), id);
	/* used again, clean */
	again = tunnels_get(&ts, 77);
	ck_assert_uint_eq(stat_get(&again->out_packets), 0);
	ck_assert(!again->gone && again->refs == 0);
	/* one that is gone but asked for again stays */
	again->gone = true;
	ck_assert_ptr_eq(tunnels_get(&ts, 77), again);
	tunnels_unref(&ts, again, 0);
	ck_assert_ptr_eq(tunnels_find(&ts, 77), again);
	tunnels_fini(&ts);
}
END_TEST

struct shared {
	struct tunnels ts;
	atomic_bool stop;
};

static void *
reader(void *arg)
{
	struct shared *s = arg;
	uint64_t found = 0, i = 0;
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 1);

	while (!atomic_load(&s->stop) || i < 1000) {
		struct esp_tunnel *t = tunnels_find(&s->ts, rng_below(&rng, 64));

		if (t != NULL)
			found += stat_get(&t->out_packets) > 0;
		i++;
	}
	return (void *)(uintptr_t)(found + 1);
}

/* Control reads while the worker adds and removes: nothing is freed under it. */
START_TEST(read_by_another_thread)
{
	static struct shared s;
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 2);
	pthread_t thread;
	void *result;

	tunnels_init(&s.ts);
	ck_assert_int_eq(pthread_create(&thread, NULL, reader, &s), 0);
	for (int i = 0; i < 200000; i++) {
		struct esp_tunnel *t = tunnels_get(&s.ts, rng_below(&rng, 64));

		stat_add(&t->out_packets, 1);
		if (rng_below(&rng, 2) == 0) {
			t->gone = true;
			tunnels_unref(&s.ts, t, 0);
		}
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, &result);
	ck_assert_ptr_nonnull(result);
	tunnels_fini(&s.ts);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, found_and_forgotten);
	tcase_add_test(tc, read_by_another_thread);
}

UNIT_MAIN("esp_tunnel", fill)
