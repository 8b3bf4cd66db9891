/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static void
configure(struct world *w, unsigned g, uint32_t id)
{
	struct ike_tunnel c = world_conf(w, g, 1, 1 - g);

	c.id = id;
	c.liveness = 0;
	c.start = g == 0;
	c.local_id.type = c.remote_id.type = ID_KEY_ID;
	c.local_id.len = c.remote_id.len = 12;
	snprintf((char *)c.local_id.data, 12, "%u-%u", g, id);
	snprintf((char *)c.remote_id.data, 12, "%u-%u", 1 - g, id);
	world_set(w, g, &c);
}

/* Thousands of tunnels between two gates, told apart by identity alone. */
static void
crowd(struct world *w, unsigned n)
{
	for (unsigned g = 0; g < 2; g++)
		w->gate[g].table = false;
	for (uint32_t id = 1; id <= n; id++)
		for (unsigned g = 0; g < 2; g++) {
			configure(w, g, id);
			if (id % 50 == 0)
				world_run(w, USEC_MS(25));
		}
	world_run(w, USEC_S(5));
	for (unsigned g = 0; g < 2; g++) {
		ck_assert_uint_eq(w->gate[g].ups, n);
		ck_assert_uint_eq(gate_totals(&w->gate[g]).ike_sas, n);
	}
}

/* Sanitizers look at the same code; the number is of the plain build. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY	1000
#else
#define MANY	10000
#endif

/* What one rekey costs among n idle tunnels: timers touched and datagrams, at both ends. */
static uint64_t
cost_of_a_rekey(unsigned n)
{
	struct ike_totals a, b, c, d;
	struct world w;

	world_init(&w, 1, 2);
	crowd(&w, n);
	a = gate_totals(&w.gate[0]);
	b = gate_totals(&w.gate[1]);
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = n / 2 });
	world_run(&w, USEC_S(3600));
	c = gate_totals(&w.gate[0]);
	d = gate_totals(&w.gate[1]);
	ck_assert_uint_eq(c.datagrams_out - a.datagrams_out, 2);
	world_fini(&w);
	return c.timers - a.timers + d.timers - b.timers;
}

/* An hour among 10,000 idle SAs costs as many looks at a timer as among 10. */
START_TEST(idle_tunnels_cost_nothing)
{
	uint64_t few = cost_of_a_rekey(10), many = cost_of_a_rekey(MANY);

	ck_assert_uint_eq(few, many);
	ck_assert_uint_le(many, 10);
}
END_TEST

/* 500 peers open at once: all come up, and soon. */
START_TEST(five_hundred_at_once)
{
	struct world w;

	world_init(&w, 2, 2);
	crowd(&w, 500);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).half_open, 0);
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_STOP });
	world_run(&w, USEC_S(1));
	ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 0);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).ike_sas, 0);
	world_fini(&w);
}
END_TEST

/* A hub that only answers has crashed and is back: when its peers ask, each is told that it does
 * not know them, and opens anew. */
START_TEST(a_crashed_hub_has_all_back_soon)
{
	enum { N = 300 };
	struct world w;

	world_init(&w, 3, 2);
	crowd(&w, N);
	world_crash(&w, 1);
	for (uint32_t id = 1; id <= N; id++)
		configure(&w, 1, id);
	w.gate[1].ups = 0;
	for (uint32_t id = 1; id <= N; id++)
		world_tell(&w, 0, IKE_ASK, id);
	world_run(&w, USEC_S(5));
	ck_assert_uint_eq(w.gate[1].ups, N);
	ck_assert_uint_eq(w.gate[0].downs, 0);
	world_run(&w, USEC_S(60));
	for (unsigned g = 0; g < 2; g++)
		ck_assert_uint_eq(gate_totals(&w.gate[g]).ike_sas, N);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, idle_tunnels_cost_nothing);
	tcase_add_test(tc, five_hundred_at_once);
	tcase_add_test(tc, a_crashed_hub_has_all_back_soon);
}

UNIT_MAIN("sim/crowd", fill)
