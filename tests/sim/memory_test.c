/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include "base/log.h"
#include "tests/sim/failing.h"
#include "tests/unit/unit.h"

/*
 * R12: an allocation of the engines fails, each in turn, in opening, both rekeys and closing.
 * Nothing crashes or leaks (world_fini() looks for secrets, LeakSanitizer for the rest), and
 * afterwards the tunnel comes up.
 */
static bool
failing_now(void)
{
	return world_in_engine;
}

/* A short life. */
static void
live(void)
{
	unsigned long k = failing_countdown;
	struct world w;

	failing_countdown = 0;
	world_init(&w, 1, 2);
	w.work_max = USEC_MS(3);
	failing_countdown = k;
	world_pair(&w, 1, 1);
	world_run(&w, USEC_S(2));
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1 });
	world_run(&w, USEC_S(2));
	world_fact(&w, 1, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1, .ike_sa = true });
	world_run(&w, USEC_S(2));
	world_tell(&w, 0, IKE_CLOSE, 1);
	world_run(&w, USEC_S(2));
	k = failing_countdown;
	failing_countdown = 0;
	world_pair(&w, 1, 1);		/* a tunnel that could not be set is set now */
	world_tell(&w, 0, IKE_OPEN, 1);
	ck_assert_msg(world_run_until_agreed(&w, 1, USEC_S(120)), "allocation %lu", k);
	world_fini(&w);
	failing_countdown = k;
}

/* "no memory" a hundred times is no news here. */
static void
silence(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

START_TEST(every_allocation_may_fail)
{
	log_to(silence, NULL);
	ck_assert_uint_gt(failing_each(live), 50);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, every_allocation_may_fail);
}

UNIT_MAIN("sim/memory", fill)
