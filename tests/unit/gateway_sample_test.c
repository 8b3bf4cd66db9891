/* SPDX-License-Identifier: MIT */
#include "gateway_tap.h"

/* When the counters of the worker are looked at, and who is told what they show.  The monitor
 * says when (tap.sample_at), the worker when something flows (tap.woken). */

static struct gw *const g = &tap.r.g;

static void
setup(void)
{
	tap_new(tap_yaml);
	for (unsigned i = 0; i < 2 * CONFIG_TUNNELS; i++) {
		tunnel(i)->up = true;
		tap.counted[i] = true;
	}
	sample_due(g, tap.now);			/* the first look, as after the start */
	sample_when(g, tap.now);
	(void)heard_of("");
}

static void
traffic(unsigned of, usec_t in, usec_t out)
{
	tap.traffic[of].last_in = in;
	tap.traffic[of].last_out = out;
}

static void
due(usec_t at)
{
	tap.sample_at = at;
	gw_touch(g, tunnel(0)->c->id, 0);
	sample_when(g, tap.now);
}

/* A new connection is looked at once without being asked for. */
START_TEST(each_connection_is_looked_at_first)
{
	tap_free();
	tap_new(tap_yaml);
	for (unsigned i = 0; i < 2 * CONFIG_TUNNELS; i++) {
		tunnel(i)->up = i != 2;
		tap.counted[i] = i != 3;
	}
	ck_assert_uint_le(heap_deadline(&g->samples), tap.now);
	(void)heard_of("");
	tunnel(0)->c->touched = tunnel(2)->c->touched = false;
	g->touched = NULL;
	sample_due(g, tap.now);
	/* not of one that is down, nor of one that the worker does not know */
	expect_said("", "mon sample office/1 in=0 out=0\nmon sample office/2 in=0 out=0\n");
	/* the monitor is asked about all of them again */
	ck_assert(tunnel(0)->c->touched && tunnel(2)->c->touched);
	sample_due(g, tap.now);
	expect_said("", "");
}
END_TEST

/* Both are told of what came in, IKE only when something did. */
START_TEST(what_came_in_is_heard_by_both)
{
	traffic(1, 500, 600);
	due(tap.now + 10);
	tap.now += 10;
	sample_due(g, tap.now);
	expect_said("", "mon sample office/1 in=0 out=0\n"
	    "ike heard office/2\nmon sample office/2 in=500 out=600\n");
	traffic(1, 500, 700);
	due(tap.now + 10);
	tap.now += 10;
	sample_due(g, tap.now);
	expect_said("ike", "");
	ck_assert_uint_eq(tunnel(1)->heard, 500);
}
END_TEST

/* Exactly when the monitor wants it; a time that has passed is soon, not at once and for ever. */
START_TEST(the_monitor_says_when)
{
	due(tap.now + USEC_MS(50));
	ck_assert_uint_eq(heap_deadline(&g->samples), tap.now + USEC_MS(50));
	sample_due(g, tap.now + USEC_MS(50) - 1);
	expect_said("", "");
	sample_due(g, tap.now + USEC_MS(50));
	ck_assert_ptr_nonnull(strstr(heard_of("mon"), "office/2"));
	ck_assert_uint_eq(heap_deadline(&g->samples), USEC_NEVER);
	due(tap.now);
	ck_assert_uint_eq(heap_deadline(&g->samples), tap.now + USEC_MS(1));
	due(0);
	ck_assert_uint_eq(heap_deadline(&g->samples), tap.now + USEC_MS(1));
	ck_assert_ptr_null(g->touched);
	ck_assert(!tunnel(0)->c->touched);
}
END_TEST

/* Nothing flows: the worker is asked to say when something does, once, and what came before it was
 * asked is seen by one more look. */
START_TEST(an_idle_connection_sleeps)
{
	due(tap.now + 10);
	(void)heard_of("");
	traffic(0, 0, 900);
	due(USEC_NEVER);
	expect_said("", "worker wake\nmon sample office/1 in=0 out=900\n"
	    "mon sample office/2 in=0 out=0\n");
	ck_assert(tunnel(0)->c->asleep);
	ck_assert_uint_eq(heap_deadline(&g->samples), USEC_NEVER);
	due(USEC_NEVER);
	expect_said("", "");
	sample_sleepers(g);			/* nothing has flown yet */
	expect_said("", "");
}
END_TEST

START_TEST(traffic_wakes_it)
{
	ck_assert(tunnel(0)->c->asleep && tunnel(2)->c->asleep);
	traffic(0, 0, 900);
	tap.woken = true;
	tap.counted[2] = tap.counted[3] = false;	/* nothing to be had */
	sample_sleepers(g);
	expect_said("", "mon sample office/1 in=0 out=900\nmon sample office/2 in=0 out=0\n");
	ck_assert(!tunnel(2)->c->asleep && tunnel(2)->c->touched);
	ck_assert(!tunnel(0)->c->asleep && tunnel(0)->c->touched);
	sample_sleepers(g);			/* it is awake */
	expect_said("", "");
	tap.sample_at = tap.now + USEC_MS(50);	/* the monitor is interested: as it says */
	sample_when(g, tap.now);
	ck_assert_uint_eq(heap_deadline(&g->samples), tap.now + USEC_MS(50));
	expect_said("", "");
}
END_TEST

/* Traffic of a connection that is down interests nobody: each packet must not wake us. */
START_TEST(dull_traffic_does_not_wake_often)
{
	tap.woken = true;
	sample_sleepers(g);
	(void)heard_of("");
	sample_when(g, tap.now);		/* the monitor: never */
	expect_said("", "");
	ck_assert_uint_eq(heap_deadline(&g->samples), tap.now + USEC_MS(100));
	ck_assert(!tunnel(0)->c->asleep);
	sample_sleepers(g);
	expect_said("", "");
	tap.now += USEC_MS(100);
	sample_due(g, tap.now);
	sample_when(g, tap.now);		/* and then it sleeps again */
	ck_assert_ptr_nonnull(strstr(heard_of("worker"), "worker wake\n"));
	ck_assert(tunnel(0)->c->asleep && tunnel(2)->c->asleep);
}
END_TEST

/* Touched is who the monitor dealt with, by a tunnel or by itself; once, however often. */
START_TEST(only_who_was_touched_is_asked_about)
{
	gw_touch(g, 0, tunnel(3)->id);
	gw_touch(g, tunnel(2)->c->id, 0);
	gw_touch(g, 4711, 4712);		/* nobody */
	gw_touch(g, 0, 0);
	ck_assert_ptr_eq(g->touched, tunnel(2)->c);
	ck_assert_ptr_null(g->touched->next_touched);
	tap.sample_at = tap.now + 5;
	sample_when(g, tap.now);
	ck_assert(!tunnel(2)->c->asleep && tunnel(0)->c->asleep);
	tap.now += 5;
	sample_due(g, tap.now);
	ck_assert_int_eq(strncmp(heard_of("mon"), "mon sample branch/1", 19), 0);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, tap_free);
	tcase_add_test(t, each_connection_is_looked_at_first);
	tcase_add_test(t, what_came_in_is_heard_by_both);
	tcase_add_test(t, the_monitor_says_when);
	tcase_add_test(t, an_idle_connection_sleeps);
	tcase_add_test(t, traffic_wakes_it);
	tcase_add_test(t, dull_traffic_does_not_wake_often);
	tcase_add_test(t, only_who_was_touched_is_asked_about);
}

UNIT_MAIN("gateway/sample", fill)
