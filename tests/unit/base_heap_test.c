/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include "base/rng.h"
#include "unit.h"

#define NODES	200

struct timer {
	int before;			/* so that the node is not the first member */
	struct heap_node node;
};

/* Whatever is set, moved and removed, what pops is always the earliest of what is in. */
START_TEST(the_earliest_pops_first)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 7);
	struct timer t[NODES] = { 0 };
	struct heap h;

	heap_init(&h);
	for (int step = 0; step < 5000; step++) {
		struct timer *one = &t[rng_below(&rng, NODES)];
		usec_t least = USEC_NEVER, at = rng_below(&rng, 1000);
		size_t in = 0;

		switch (rng_below(&rng, 4)) {
		case 0:
			heap_remove(&h, &one->node);
			break;
		case 1:
			(void)heap_pop_due(&h, at);
			break;
		default:
			ck_assert(heap_set(&h, &one->node, at));
			break;
		}
		for (int i = 0; i < NODES; i++) {
			if (t[i].node.index == 0)
				continue;
			in++;
			least = usec_min(least, t[i].node.at);
			ck_assert_ptr_eq(h.node[t[i].node.index - 1], &t[i].node);
		}
		ck_assert_uint_eq(h.n, in);
		ck_assert_uint_eq(heap_deadline(&h), least);
	}
	heap_fini(&h);
}
END_TEST

START_TEST(what_is_not_due_does_not_pop)
{
	struct timer t = { 0 };
	struct heap h;

	heap_init(&h);
	ck_assert_uint_eq(heap_deadline(&h), USEC_NEVER);
	ck_assert_ptr_null(heap_pop_due(&h, USEC_NEVER));
	ck_assert(heap_set(&h, &t.node, 100));
	ck_assert_ptr_null(heap_pop_due(&h, 99));
	ck_assert_uint_eq(heap_deadline(&h), 100);
	ck_assert_ptr_eq(heap_entry(heap_pop_due(&h, 100), struct timer, node), &t);
	ck_assert_ptr_null(heap_pop_due(&h, 100));
	heap_remove(&h, &t.node);	/* not in it: fine */
	heap_fini(&h);
}
END_TEST

START_TEST(never_removes)
{
	struct timer t = { 0 };
	struct heap h;

	heap_init(&h);
	ck_assert(heap_set(&h, &t.node, USEC_NEVER));
	ck_assert_uint_eq(h.n, 0);
	ck_assert(heap_set(&h, &t.node, 5));
	ck_assert(heap_set(&h, &t.node, USEC_NEVER));
	ck_assert_uint_eq(h.n, 0);
	ck_assert_uint_eq(t.node.index, 0);
	ck_assert_uint_eq(heap_deadline(&h), USEC_NEVER);
	heap_fini(&h);
}
END_TEST

START_TEST(deadlines_saturate)
{
	ck_assert_uint_eq(usec_add(5, USEC_S(2)), 2000005);
	ck_assert_uint_eq(usec_add(USEC_NEVER, 1), USEC_NEVER);
	ck_assert_uint_eq(usec_add(1, USEC_NEVER), USEC_NEVER);
	ck_assert_uint_eq(usec_add(USEC_NEVER - 1, 1), USEC_NEVER);
	ck_assert_uint_eq(usec_add(0, USEC_NEVER), USEC_NEVER);
	ck_assert_uint_eq(usec_min(3, USEC_NEVER), 3);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, the_earliest_pops_first);
	tcase_add_test(t, what_is_not_due_does_not_pop);
	tcase_add_test(t, never_removes);
	tcase_add_test(t, deadlines_saturate);
}

UNIT_MAIN("base/heap", fill)
