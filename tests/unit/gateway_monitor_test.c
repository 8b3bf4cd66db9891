/* SPDX-License-Identifier: MIT */
/* Of gateway/monitor_ask.c (silence, questions, verdicts), and monitor.c around it. */
#include "tests/unit/gateway_monitor_world.h"

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

/* Cut after cut of whichever is live: one verdict does not make the next one slower. */
START_TEST(twenty_cuts_in_a_row)
{
	static usec_t verdict[2 * 20 * 5];
	struct mon_status st;
	struct world w;
	unsigned n = 0, live;
	usec_t cut;

	for (unsigned seed = 0; seed < 5; seed++) {
		w_init_raw(&w, seed, USEC_MS(10), USEC_S(3), W_TANDEM);
		W_TUN(t)
			w_up(&w, t);
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(5));
		for (unsigned i = 0; i < 20; i++) {
			live = w_live(&w, 0);
			ck_assert_uint_eq(w_live(&w, 1), live);
			w_run(&w, w.now + rng_below(&w.rng, 1000000));
			cut = w.now;
			w_set_cut(&w, live, true);
			w_run(&w, w.now + USEC_S(2) + rng_below(&w.rng, 1000000));
			W_END(e) {
				ck_assert_uint_eq(w_live(&w, e), !live);
				verdict[n++] = w.end[e].selected_at - cut;
			}
			w_set_cut(&w, live, false);
			w_run(&w, w.now + (i % 2 ? USEC_S(2) : USEC_S(10)));
		}
		ck_assert(monitor_status(w.end[0].m, w_id(0), &st));
		ck_assert_uint_le(st.loss_permille, 20);
		w_fini(&w);
	}
	figures("twenty cuts in a row, verdict", verdict, n);
	ck_assert_uint_le(verdict[n - 1], USEC_MS(600));
}
END_TEST

/* One question is lost on a busy tunnel: lost or late?  The next comes soon, and tells. */
START_TEST(a_lost_question_is_followed_by_another)
{
	struct world w;
	unsigned n;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_run(&w, w.now + USEC_S(3));
	w.link[0][0].lose_echoes = 1;
	while (w.link[0][0].lose_echoes > 0)
		w_run(&w, w.now + USEC_MS(50));
	n = w.end[0].probes[0];
	w_run(&w, w.now + USEC_MS(500));
	ck_assert_uint_eq(w.end[0].probes[0], n + 1);
	w.link[0][0].lose_echoes = 1000;		/* but not for ever */
	w_run(&w, w.now + USEC_S(9));
	ck_assert_uint_le(w.end[0].probes[0], n + 1 + 5 + 2 + 1);
	w_fini(&w);
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

	for (unsigned i = 0; i < 4; i++) {
		w_init(&w, i, rtts[i % 2]);
		w_run(&w, w.now + (i < 2 ? 0 : USEC_S(180)));
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(3));
		cut = w.now;
		w_set_cut(&w, 0, true);
		w_run(&w, w.now + USEC_S(4));
		W_END(e) {
			ck_assert_uint_eq(w_live(&w, e), 1);
			ck_assert_uint_le(w.end[e].selected_at - cut, 2 * rtts[i % 2] + USEC_MS(600));
		}
		printf("# round trip %.0f ms, known for %s: verdict after %.0f ms\n", MS(rtts[i % 2]),
		    i < 2 ? "seconds" : "minutes", MS(w.end[0].selected_at - cut));
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

/* ---- the host ---------------------------------------------------------------------------- */

/* A host that was away for seconds ticks first and reads its rings afterwards. */
START_TEST(a_late_tick_is_no_verdict)
{
	struct monitor *m;
	struct mon_action a;
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_run(&w, w.now + USEC_S(1));
	w_set_cut(&w, 0, true);
	w_run(&w, w.now + USEC_MS(450));		/* three questions are out */
	ck_assert_uint_eq(w_verdict(&w, 0, 0), MON_V_ASKING);
	m = w.end[0].m;
	monitor_tick(m, w.now + USEC_S(3));
	ck_assert_uint_eq(w_verdict(&w, 0, 0), MON_V_ASKING);
	while (monitor_next(m, &a))
		ck_assert(a.kind == MON_PROBE);
	monitor_input(m, w.now + USEC_S(3), &(struct mon_fact){ .kind = MON_SAMPLE,
	    .tunnel = w_id(0), .last_in = w.now + USEC_MS(20), .last_out = w.now });
	ck_assert_uint_eq(w_verdict(&w, 0, 0), MON_V_UP);
	w_fini(&w);
}
END_TEST

/* The same, but it looks at its counters first, and the worker is as late as it is. */
START_TEST(a_late_look_is_no_verdict)
{
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_run(&w, w.now + USEC_S(1));
	w_set_cut(&w, 0, true);
	w_run(&w, w.now + USEC_MS(450));
	w.now += USEC_S(3);
	w_sample(&w, 0);
	monitor_tick(w.end[0].m, w.now);
	ck_assert_uint_eq(w_verdict(&w, 0, 0), MON_V_ASKING);
	w.end[0].last_in[0] = w.now;
	w.now += USEC_MS(10);
	w_sample(&w, 0);
	ck_assert_uint_eq(w_verdict(&w, 0, 0), MON_V_UP);
	w_fini(&w);
}
END_TEST

/* Nobody fetches the actions: they are replaced, not heaped up. */
START_TEST(actions_do_not_pile_up)
{
	struct mon_action a;
	struct world w;
	unsigned n = 0;

	w_init(&w, 1, USEC_MS(20));
	for (unsigned i = 0; i < 10000; i++) {
		w.now += USEC_MS(100);
		monitor_tick(w.end[0].m, w.now);
		monitor_input(w.end[0].m, w.now, &(struct mon_fact){ .kind = i % 2 ? MON_UP : MON_DOWN,
		    .tunnel = w_id(i / 2 % 2) });
	}
	while (monitor_next(w.end[0].m, &a))
		n++;
	ck_assert_uint_le(n, 12);
	w_fini(&w);
}
END_TEST

/* What a peer may say wrong: tokens nobody sent, indexes of no tunnel. */
START_TEST(nonsense_of_the_peer_is_ignored)
{
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	w_run(&w, w.now + USEC_S(5));
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t token = i % 3 ? rng_u64(&w.rng) : (uint64_t)w_id(i % 2) << 32 | rng_u32(&w.rng);

		w_fact(&w, 0, (struct mon_fact){ .kind = MON_ECHO, .tunnel = w_id(i % 2),
		    .token = token, .at = rng_u64(&w.rng) });
		w_fact(&w, 0, (struct mon_fact){ .kind = MON_TOLD, .connection = i % 3,
		    .index = 3 + rng_u32(&w.rng) % 1000 });
		w_fact(&w, 0, (struct mon_fact){ .kind = MON_ECHO, .tunnel = 77, .token = token });
	}
	w_run(&w, w.now + USEC_S(5));
	ck_assert_uint_eq(w_deaths(&w), 0);
	ck_assert_uint_eq(w_moves(&w, 0), 0);
	w_fini(&w);
}
END_TEST

#define MANY	2000

/* Many idle tunnels wake the host in shared slots, and cost what is due, not what exists. */
START_TEST(many_idle_tunnels_share_slots)
{
	struct rng_seeded seeded;
	struct rng rng = rng_seeded(&seeded, 1);
	struct monitor *m = monitor_new(&rng);
	unsigned wakes = 0, probes = 0;
	struct mon_action a;
	usec_t now = USEC_S(10), end;

	for (uint32_t i = 1; i <= MANY; i++) {
		struct mon_conf conf = { .connection = i, .n = 1, .tunnel = { i }, .echo = { true },
		    .hold = USEC_S(10), .silence = USEC_MS(200), .spacing = USEC_MS(100),
		    .idle = USEC_S(2) };

		monitor_input(m, now, &(struct mon_fact){ .kind = MON_SET, .conf = &conf });
		monitor_input(m, now, &(struct mon_fact){ .kind = MON_UP, .tunnel = i });
	}
	for (end = now + USEC_S(20); (now = monitor_deadline(m)) < end; wakes++) {
		monitor_tick(m, now);
		while (monitor_next(m, &a))
			probes += a.kind == MON_PROBE;
	}
	printf("# %d idle tunnels: %u questions and %u wake-ups in 20 s\n", MANY, probes, wakes);
	ck_assert_uint_ge(probes, MANY * 9);
	ck_assert_uint_le(probes, MANY * 16);
	ck_assert_uint_le(wakes, 20 * 20 + 10);
	monitor_free(m);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_silent_cut_is_left_within_600_ms);
	tcase_add_test(t, twenty_cuts_in_a_row);
	tcase_add_test(t, a_lost_question_is_followed_by_another);
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
	tcase_add_test(t, a_late_tick_is_no_verdict);
	tcase_add_test(t, a_late_look_is_no_verdict);
	tcase_add_test(t, actions_do_not_pile_up);
	tcase_add_test(t, nonsense_of_the_peer_is_ignored);
	tcase_add_test(t, many_idle_tunnels_share_slots);
}

UNIT_MAIN("gateway_monitor", fill)
