/* SPDX-License-Identifier: MIT */
#include "tests/unit/gateway_monitor_world.h"

#define MS(us)	((double)(us) / 1000)

static int
by_size(const void *a, const void *b)
{
	usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;

	return (x > y) - (x < y);
}

static void
figures(const char *what, usec_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_size);
	printf("# %s: median %.0f ms, p95 %.0f, max %.0f (%zu runs)\n", what, MS(v[n / 2]),
	    MS(v[n * 95 / 100]), MS(v[n - 1]), n);
}

/* ---- a silent cut ------------------------------------------------------------------------ */

#define CUTS	200

/* The live tunnel is cut at a random moment of a steady stream both ways, RTT 1 to 50 ms. */
START_TEST(a_silent_cut_is_left_within_600_ms)
{
	static usec_t verdict[2 * CUTS], gap[2 * CUTS];
	struct world w;
	usec_t cut;

	for (unsigned seed = 0; seed < CUTS; seed++) {
		w_init(&w, seed, USEC_MS(1) + seed * USEC_MS(49) / CUTS);
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_MS(500));
		w_run(&w, w.now + rng_below(&w.rng, 2000000));
		ck_assert_uint_eq(w_deaths(&w), 0);
		cut = w.now;
		w_set_cut(&w, 0, true);
		w_run(&w, w.now + USEC_S(2));
		W_END(e) {
			ck_assert_uint_eq(w_live(&w, e), 1);
			ck_assert_uint_eq(w_moves(&w, e), 1);
			ck_assert_uint_eq(w_verdict(&w, e, 1), MON_V_UP);
			verdict[2 * seed + e] = w.end[e].selected_at - cut;
			gap[2 * seed + e] = w.end[e].gap;
		}
		w_fini(&w);
	}
	figures("silent cut, verdict", verdict, 2 * CUTS);
	figures("silent cut, gap in the stream", gap, 2 * CUTS);
	ck_assert_uint_le(verdict[CUTS], USEC_MS(600));
	ck_assert_uint_le(verdict[2 * CUTS - 1], USEC_MS(800));
	ck_assert_uint_ge(verdict[0], USEC_MS(400));
	ck_assert_uint_le(gap[2 * CUTS - 1], USEC_MS(800));
}
END_TEST

/* Sparse traffic: a line every 50 ms that is answered; and a stream in one direction only. */
START_TEST(a_silent_cut_is_found_with_little_traffic)
{
	static usec_t verdict[CUTS];
	struct world w;
	usec_t cut;

	for (unsigned seed = 0; seed < CUTS; seed++) {
		w_init(&w, seed, USEC_MS(20));
		w.answered = seed % 2 == 0;
		w_traffic(&w, 0, USEC_MS(50));
		w_run(&w, w.now + USEC_S(1) + rng_below(&w.rng, 1000000));
		cut = w.now;
		w_set_cut(&w, 0, true);
		w_run(&w, w.now + USEC_S(2));
		W_END(e)
			ck_assert_uint_eq(w_live(&w, e), 1);
		verdict[seed] = w.end[0].selected_at - cut;
		w_fini(&w);
	}
	figures("silent cut, a packet every 50 ms, verdict", verdict, CUTS);
	ck_assert_uint_le(verdict[CUTS - 1], USEC_MS(800));
}
END_TEST

/* Only one direction is cut: the end that hears nothing tells the other, who hears all. */
START_TEST(a_cut_of_one_direction_moves_both)
{
	static usec_t verdict[2 * 50];
	struct world w;
	usec_t cut;

	for (unsigned seed = 0; seed < 50; seed++) {
		w_init(&w, seed, USEC_MS(20));
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(1) + rng_below(&w.rng, 1000000));
		cut = w.now;
		w.link[0][seed % 2].cut = true;
		w_run(&w, w.now + USEC_S(2));
		W_END(e) {
			ck_assert_uint_eq(w_live(&w, e), 1);
			ck_assert_uint_eq(w_moves(&w, e), 1);
			verdict[2 * seed + e] = w.end[e].selected_at - cut;
		}
		w_fini(&w);
	}
	figures("one direction cut, verdict", verdict, 100);
	ck_assert_uint_le(verdict[99], USEC_MS(800));
}
END_TEST

/* Nothing flows: a dead standby is found by routine questions, before it is needed. */
START_TEST(a_dead_standby_is_found_while_idle)
{
	static usec_t verdict[50];
	struct mon_status st;
	struct world w;
	usec_t cut;

	for (unsigned seed = 0; seed < 50; seed++) {
		w_init(&w, seed, USEC_MS(20));
		w_run(&w, w.now + rng_below(&w.rng, 2000000));
		cut = w.now;
		w_set_cut(&w, 1, true);
		w_run(&w, w.now + USEC_S(10));
		ck_assert(monitor_status(w.end[0].m, w_id(1), &st));
		ck_assert_uint_eq(st.verdict, MON_V_DEAD);
		verdict[seed] = st.since - cut;
		W_END(e)
			ck_assert_uint_eq(w_moves(&w, e), 0);
		w_fini(&w);
	}
	figures("dead standby, verdict", verdict, 50);
	ck_assert_uint_le(verdict[49], USEC_S(8));
}
END_TEST

/* ---- never for delay --------------------------------------------------------------------- */

struct load {
	const char *name;
	usec_t every[2];
	bool answered;
};

static const struct load loads[] = {
	{ "1000 a second both ways", { USEC_MS(1), USEC_MS(1) }, false },
	{ "one way", { USEC_MS(2), 0 }, false },
	{ "a line every 50 ms", { USEC_MS(50), 0 }, true },
	{ "a line a second", { USEC_S(1), 0 }, true },
	{ "nothing", { 0, 0 }, false },
};
#define LOADS	(sizeof(loads) / sizeof(loads[0]))

static void
load_start(struct world *w, const struct load *l)
{
	w->answered = l->answered;
	W_END(e)
		w_traffic(w, e, l->every[e]);
}

START_TEST(long_paths_are_not_dead)
{
	static const usec_t rtts[] = { USEC_MS(300), USEC_MS(800), USEC_MS(2500) };
	const struct load *l = &loads[_i];
	struct world w;

	for (unsigned i = 0; i < 3; i++) {
		for (unsigned seed = 0; seed < 4; seed++) {
			w_init(&w, seed, rtts[i]);
			W_TUN(t)
				W_END(e)
					w.link[t][e].jitter = seed % 2 * rtts[i] / 4;
			load_start(&w, l);
			w_run(&w, w.now + USEC_S(60));
			ck_assert_msg(w_deaths(&w) == 0, "%s, %.0f ms: %u verdicts", l->name,
			    MS(rtts[i]), w_deaths(&w));
			ck_assert_uint_eq(w_moves(&w, 0) + w_moves(&w, 1), 0);
			w_fini(&w);
		}
	}
}
END_TEST

/* On a long path a cut is found too, in its own time. */
START_TEST(a_cut_of_a_long_path_is_found)
{
	static const usec_t rtts[] = { USEC_MS(300), USEC_MS(800) };
	struct world w;
	usec_t cut;

	for (unsigned i = 0; i < 2; i++) {
		w_init(&w, i, rtts[i]);
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(3));
		cut = w.now;
		w_set_cut(&w, 0, true);
		w_run(&w, w.now + USEC_S(4));
		W_END(e) {
			ck_assert_uint_eq(w_live(&w, e), 1);
			ck_assert_uint_le(w.end[e].selected_at - cut, 2 * rtts[i] + USEC_MS(600));
		}
		printf("# round trip %.0f ms: verdict after %.0f ms\n", MS(rtts[i]),
		    MS(w.end[0].selected_at - cut));
		w_fini(&w);
	}
}
END_TEST

/* A 10 Mbit/s uplink whose second of queue is kept full by TCP inside the tunnel. */
START_TEST(a_full_queue_is_not_dead)
{
	bool shared = _i % 2;
	struct world w;

	for (unsigned seed = 0; seed < 3; seed++) {
		w_init(&w, seed, USEC_MS(1));
		W_TUN(t) {
			w.link[t][0].own = (struct w_queue){ .rate = 10000000, .depth = USEC_S(1) };
			if (shared)
				w.link[t][0].queue = &w.link[0][0].own;
		}
		w_tcp_start(&w);
		w_run(&w, w.now + USEC_S(20));
		ck_assert_uint_gt(w.link[0][0].own.busy_until, w.now + USEC_MS(300));
		w_run(&w, w.now + USEC_S(40));
		ck_assert_msg(w_deaths(&w) == 0, "shared %d, seed %u: %s", shared, seed,
		    w.end[0].reason);
		ck_assert_uint_gt(w.tcp.acked, 30000);
		w_fini(&w);
	}
}
END_TEST

/* Others fill the queue: the round trip goes from 1 ms to 1 s within a second, and stays. */
START_TEST(a_queue_that_others_fill_is_not_dead)
{
	const struct load *l = &loads[_i];
	struct world w;

	for (unsigned seed = 0; seed < 40; seed++) {
		w_init(&w, seed, USEC_MS(1));
		load_start(&w, l);
		w_run(&w, w.now + USEC_S(1) + rng_below(&w.rng, 2000000));
		W_TUN(t) {
			if (t == 1 && seed % 2)
				continue;
			w.link[t][0].swell_from = w.now;
			w.link[t][0].swell_for = w.link[t][0].swell_to = USEC_S(1);
		}
		w_run(&w, w.now + USEC_S(30));
		ck_assert_msg(w_deaths(&w) == 0, "%s, seed %u: %u verdicts", l->name, seed,
		    w_deaths(&w));
		w_fini(&w);
	}
}
END_TEST

/* A fifth of all packets is lost, both ways, on both tunnels. */
START_TEST(loss_is_not_death)
{
	const struct load *l = &loads[_i];
	struct mon_status st;
	struct world w;
	unsigned deaths = 0;

	for (unsigned seed = 0; seed < 4; seed++) {
		w_init(&w, seed, USEC_MS(20));
		W_TUN(t)
			W_END(e)
				w.link[t][e].loss = 200;
		w_run(&w, w.now + USEC_S(300));		/* to learn it */
		W_END(e)
			w.end[e].dead[0] = w.end[e].dead[1] = 0;
		load_start(&w, l);
		w_run(&w, w.now + USEC_S(_i == 0 ? 30 : 300));
		deaths += w_deaths(&w);
		ck_assert(monitor_status(w.end[0].m, w_id(0), &st));
		ck_assert_uint_ge(st.loss_permille, 200);
		ck_assert_uint_le(st.loss_permille, 520);
		w_fini(&w);
	}
	printf("# a fifth lost, %s: %u false verdicts\n", l->name, deaths);
	ck_assert_uint_eq(deaths, 0);
}
END_TEST

START_TEST(an_idle_hour_is_quiet)
{
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w.end[e].probes[0] = w.end[e].probes[1] = w.end[e].selects = w.end[e].asks = 0;
	w_run(&w, w.now + USEC_S(3600));
	ck_assert_uint_eq(w_deaths(&w), 0);
	W_END(e) {
		ck_assert_uint_eq(w.end[e].selects, 0);
		ck_assert_uint_eq(w.end[e].asks, 0);
		ck_assert(w.end[e].sample_at == USEC_NEVER);
		W_TUN(t) {
			ck_assert_uint_ge(w.end[e].probes[t], 1700);
			ck_assert_uint_le(w.end[e].probes[t], 1900);
		}
	}
	w_fini(&w);
}
END_TEST

/* However silent it is, nobody is asked faster than every 100 ms. */
START_TEST(questions_are_bounded)
{
	struct world w;
	unsigned before;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_run(&w, w.now + USEC_S(1));
	for (unsigned round = 0; round < 100; round++) {
		before = w.end[0].probes[0];
		W_TUN(t)
			w_set_cut(&w, t, rng_below(&w.rng, 2));
		w_run(&w, w.now + USEC_S(1));
		ck_assert_uint_le(w.end[0].probes[0] - before, 11);
	}
	w_fini(&w);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_silent_cut_is_left_within_600_ms);
	tcase_add_test(t, a_silent_cut_is_found_with_little_traffic);
	tcase_add_test(t, a_cut_of_one_direction_moves_both);
	tcase_add_test(t, a_dead_standby_is_found_while_idle);
	tcase_add_loop_test(t, long_paths_are_not_dead, 0, LOADS);
	tcase_add_test(t, a_cut_of_a_long_path_is_found);
	tcase_add_loop_test(t, a_full_queue_is_not_dead, 0, 2);
	tcase_add_loop_test(t, a_queue_that_others_fill_is_not_dead, 0, LOADS);
	tcase_add_loop_test(t, loss_is_not_death, 0, LOADS);
	tcase_add_test(t, an_idle_hour_is_quiet);
	tcase_add_test(t, questions_are_bounded);
}

UNIT_MAIN("gateway_monitor", fill)
