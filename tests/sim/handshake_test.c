/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"
#include "tests/unit/unit.h"

/* One end opens, the other answers: one IKE SA, one Child SA, the same keys. */
START_TEST(two_ends_come_to_agree)
{
	struct world w;

	world_init(&w, 1, 2);
	world_pair(&w, 1, 1);
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
	ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 1);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).ike_sas, 1);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).half_open, 0);
	ck_assert_uint_eq(w.gate[0].ups, 1);
	ck_assert_uint_eq(w.gate[1].ups, 1);
	ck_assert_str_eq(gate_status(&w.gate[0], 1).state, "up");
	ck_assert(gate_status(&w.gate[0], 1).initiator);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, two_ends_come_to_agree);
}

UNIT_MAIN("sim/handshake", fill)
