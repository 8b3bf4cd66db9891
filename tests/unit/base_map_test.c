/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include "base/rng.h"
#include "unit.h"

#define KEYS	500

/* A map and a plain array agree after every step, through growth and many deletions. */
START_TEST(it_agrees_with_an_array)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 3);
	struct map *m = map_new(rng_u64(&rng));
	static int things[KEYS];
	void *model[KEYS] = { 0 };
	size_t n = 0;

	ck_assert_ptr_nonnull(m);
	for (int step = 0; step < 50000; step++) {
		uint32_t k = rng_below(&rng, KEYS), probe = rng_below(&rng, KEYS);
		void *value = &things[rng_below(&rng, KEYS)];

		if (rng_below(&rng, 2) == 0) {
			ck_assert(map_put(m, k, value));
			n += model[k] == NULL;
			model[k] = value;
		} else {
			ck_assert_ptr_eq(map_del(m, k), model[k]);
			n -= model[k] != NULL;
			model[k] = NULL;
		}
		ck_assert_ptr_eq(map_get(m, probe), model[probe]);
		ck_assert_uint_eq(map_n(m), n);
	}
	for (uint32_t k = 0; k < KEYS; k++)
		ck_assert_ptr_eq(map_get(m, k), model[k]);
	map_free(m);
}
END_TEST

/* Every key is met once, though the walk deletes what it meets. */
START_TEST(a_walk_may_delete_what_it_meets)
{
	static int things[KEYS];
	struct map *m = map_new(1);
	bool seen[KEYS] = { false };
	size_t pos = 0, met = 0;
	uint64_t key;
	void *value;

	for (uint64_t k = 0; k < KEYS; k++)
		ck_assert(map_put(m, k << 32, &things[k]));
	while (map_each(m, &pos, &key, &value)) {
		ck_assert_uint_lt(key >> 32, KEYS);
		ck_assert(!seen[key >> 32]);
		ck_assert_ptr_eq(value, &things[key >> 32]);
		seen[key >> 32] = true;
		met++;
		if ((key >> 32) % 3 != 0)
			ck_assert_ptr_eq(map_del(m, key), value);
	}
	ck_assert_uint_eq(met, KEYS);
	ck_assert_uint_eq(map_n(m), (KEYS + 2) / 3);
	for (uint64_t k = 0; k < KEYS; k++)
		ck_assert_ptr_eq(map_get(m, k << 32), k % 3 == 0 ? &things[k] : NULL);
	map_free(m);
}
END_TEST

/* Putting and deleting for ever neither fills the table with marks nor hangs a search. */
START_TEST(churn_does_not_wear_it_out)
{
	static int thing;
	struct map *m = map_new(42);

	for (uint64_t k = 0; k < 200000; k++) {
		ck_assert(map_put(m, k, &thing));
		ck_assert_ptr_eq(map_del(m, k), &thing);
		ck_assert_ptr_null(map_get(m, k));
	}
	ck_assert_uint_eq(map_n(m), 0);
	map_free(m);
	map_free(NULL);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, it_agrees_with_an_array);
	tcase_add_test(t, a_walk_may_delete_what_it_meets);
	tcase_add_test(t, churn_does_not_wear_it_out);
}

UNIT_MAIN("base/map", fill)
