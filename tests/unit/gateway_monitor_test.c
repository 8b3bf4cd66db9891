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

/* ---- what IKE, the kernel and the peer say ----------------------------------------------- */

/* The end that sees the carrier go leaves at once; the other when it is told. */
START_TEST(carrier_loss_moves_both_at_once)
{
	struct world w;
	usec_t cut;

	for (unsigned seed = 0; seed < 20; seed++) {
		w_init(&w, seed, USEC_MS(40));
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(1) + rng_below(&w.rng, 1000000));
		cut = w.now;
		w_set_cut(&w, 0, true);
		w_fact(&w, 0, (struct mon_fact){ .kind = MON_CARRIER, .tunnel = w_id(0) });
		w_run(&w, w.now + USEC_S(1));
		ck_assert_uint_eq(w.end[0].selected_at, cut);
		ck_assert_uint_le(w.end[1].selected_at, cut + USEC_MS(25));
		ck_assert_uint_eq(w_verdict(&w, 0, 0), MON_V_UPLINK);
		W_END(e)
			ck_assert_uint_eq(w_live(&w, e), 1);
		w_set_cut(&w, 0, false);
		w_fact(&w, 0, (struct mon_fact){ .kind = MON_CARRIER, .tunnel = w_id(0),
		    .present = true });
		w_run(&w, w.now + USEC_S(8));
		ck_assert_uint_eq(w_live(&w, 0), 1);		/* held */
		w_run(&w, w.now + USEC_S(12));
		W_END(e) {
			ck_assert_uint_eq(w_live(&w, e), 0);
			ck_assert_uint_eq(w_moves(&w, e), 2);
		}
		w_fini(&w);
	}
}
END_TEST

/* No carrier on either, or no Child SA: nobody owns traffic; the first that is back gets it. */
START_TEST(a_tunnel_that_is_down_owns_nothing)
{
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_CARRIER, .tunnel = w_id(0) });
	ck_assert_uint_eq(w_live(&w, 0), 1);
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_DOWN, .tunnel = w_id(1) });
	for (unsigned b = 0; b < 256; b++)
		ck_assert_uint_eq(w.end[0].bucket[b], MON_NONE);
	ck_assert_uint_eq(w_verdict(&w, 0, 1), MON_V_DOWN);
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_UP, .tunnel = w_id(1) });
	ck_assert_uint_eq(w_live(&w, 0), 1);		/* held, but there is nothing better */
	w_fini(&w);
}
END_TEST

/* Both fail together: it is the uplink, nothing moves, and traffic goes on when it is back. */
START_TEST(when_both_fail_nothing_flaps)
{
	struct world w;

	for (unsigned seed = 0; seed < 50; seed++) {
		w_init(&w, seed, USEC_MS(20));
		w.link[1][0].delay += seed % 3 * USEC_MS(40);	/* alike or not */
		w.link[1][1].delay += seed % 3 * USEC_MS(40);
		w_run(&w, w.now + USEC_S(60));
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(1) + rng_below(&w.rng, 1000000));
		W_TUN(t)
			w_set_cut(&w, t, true);
		w_run(&w, w.now + USEC_S(2) + rng_below(&w.rng, 4000000));
		W_END(e) {
			W_TUN(t)
				ck_assert_uint_eq(w_verdict(&w, e, t), MON_V_UPLINK);
			ck_assert_uint_eq(w_live(&w, e), 0);
			w.end[e].got = 0;
		}
		W_TUN(t)
			w_set_cut(&w, t, false);
		w_run(&w, w.now + USEC_MS(12));
		W_END(e)
			ck_assert_uint_gt(w.end[e].got, 0);
		w_run(&w, w.now + USEC_S(30));
		W_END(e) {
			ck_assert_msg(w_moves(&w, e) == 0, "seed %u: %s", seed, w.end[e].reason);
			W_TUN(t)
				ck_assert_uint_eq(w_verdict(&w, e, t), MON_V_UP);
		}
		w_fini(&w);
	}
}
END_TEST

/* After both failed only the other comes back: it gets the traffic without waiting for a hold. */
START_TEST(what_recovers_alone_is_taken_at_once)
{
	struct world w;

	for (unsigned seed = 0; seed < 20; seed++) {
		w_init(&w, seed, USEC_MS(20));
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(1));
		W_TUN(t)
			w_set_cut(&w, t, true);
		w_run(&w, w.now + USEC_S(5) + rng_below(&w.rng, 1000000));
		w_set_cut(&w, 1, false);
		w_run(&w, w.now + USEC_S(2));
		W_END(e) {
			ck_assert_uint_eq(w_live(&w, e), 1);
			ck_assert_uint_eq(w_moves(&w, e), 1);
		}
		w_fini(&w);
	}
}
END_TEST

/* A link that comes and goes for half an hour: traffic leaves it, and returns once a hold time. */
START_TEST(a_flapping_link_moves_little)
{
	struct world w;
	unsigned most = 0, before[2];
	bool cut = false;

	for (unsigned seed = 0; seed < 4; seed++) {
		w_init(&w, seed, USEC_MS(20));
		W_END(e)
			w_traffic(&w, e, USEC_MS(10));
		for (unsigned minute = 0; minute < 30; minute++) {
			usec_t end = w.now + USEC_S(60);

			W_END(e)
				before[e] = w_moves(&w, e);
			while (w.now < end) {
				cut = !cut;
				w_set_cut(&w, 0, cut);
				w_run(&w, w.now + USEC_MS(200) + rng_below(&w.rng,
				    seed % 2 ? 14000000 : 3000000));
			}
			W_END(e)
				if (w_moves(&w, e) - before[e] > most)
					most = w_moves(&w, e) - before[e];
		}
		w_fini(&w);
	}
	printf("# flapping link: at most %u moves a minute\n", most);
	ck_assert_uint_le(most, 12);
	ck_assert_uint_ge(most, 1);
}
END_TEST

/* ---- two ends ---------------------------------------------------------------------------- */

static void
mischief(struct world *w)
{
	unsigned t = rng_below(&w->rng, 2), e = rng_below(&w->rng, 2);

	switch (rng_below(&w->rng, 8)) {
	case 0:
	case 1:
		w_set_cut(w, t, true);
		return;
	case 2:
	case 3:
		w_set_cut(w, t, false);
		return;
	case 4:
		w->link[t][e].cut = true;		/* one direction */
		return;
	case 5:
		w->link[t][e].loss = rng_below(&w->rng, 400);
		return;
	case 6:			/* a verdict that is wrong, or was true a moment ago */
		w_fact(w, e, (struct mon_fact){ .kind = MON_TOLD, .connection = 1,
		    .index = rng_below(&w->rng, 4) });
		return;
	case 7:
		w_fact(w, e, (struct mon_fact){ .kind = MON_CARRIER, .tunnel = w_id(t),
		    .present = rng_below(&w->rng, 2) });
		return;
	}
}

static void
heal(struct world *w)
{
	W_TUN(t) {
		w_set_cut(w, t, false);
		W_END(e) {
			w->link[t][e].loss = 0;
			w_fact(w, e, (struct mon_fact){ .kind = MON_CARRIER, .tunnel = w_id(t),
			    .present = true });
		}
	}
}

/* Whatever happens: with one path whole both ends use it; with both whole both return. */
START_TEST(both_ends_converge)
{
	struct world w;
	unsigned whole;

	for (unsigned seed = _i * 125u; seed < _i * 125u + 125; seed++) {
		w_init_raw(&w, seed, USEC_MS(10 + seed % 40), USEC_S(4), W_TANDEM);
		W_TUN(t)
			w_up(&w, t);
		W_END(e)
			w_traffic(&w, e, USEC_MS(10));
		w_run(&w, w.now + USEC_S(4));
		for (unsigned n = 0; n < 12; n++) {
			mischief(&w);
			w_run(&w, w.now + rng_below(&w.rng, 3000000));
		}
		whole = rng_below(&w.rng, 2);
		heal(&w);
		w_set_cut(&w, !whole, true);
		w_run(&w, w.now + USEC_S(18));
		W_END(e)
			w.end[e].gap = 0;
		w_run(&w, w.now + USEC_S(15));
		W_END(e) {
			ck_assert_msg(w_live(&w, e) == whole, "seed %u: end %u sends by %u, whole is %u",
			    seed, e, w_live(&w, e), whole);
			ck_assert_msg(w.end[e].gap < USEC_MS(100), "seed %u: a gap of %.0f ms", seed,
			    MS(w.end[e].gap));
		}
		heal(&w);
		w_run(&w, w.now + USEC_S(40));
		W_END(e) {
			ck_assert_msg(w_live(&w, e) == 0, "seed %u: end %u did not return: %s", seed, e,
			    w.end[e].reason);
			W_TUN(t)
				ck_assert_msg(w_verdict(&w, e, t) == MON_V_UP, "seed %u: end %u tunnel %u: %s",
				    seed, e, t, mon_verdict_name(w_verdict(&w, e, t)));
		}
		w_fini(&w);
	}
}
END_TEST

/* Each end says that another tunnel is dead: both keep what they hear, nobody goes to and fro. */
START_TEST(contradicting_verdicts_do_not_play_ping_pong)
{
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_run(&w, w.now + USEC_S(1));
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_TOLD, .connection = 1, .index = 1 });
	w_fact(&w, 1, (struct mon_fact){ .kind = MON_TOLD, .connection = 1, .index = 2 });
	ck_assert_uint_eq(w_live(&w, 0), 1);
	ck_assert_uint_eq(w_live(&w, 1), 0);
	w_run(&w, w.now + USEC_S(60));
	ck_assert_uint_eq(w_moves(&w, 0), 2);		/* there, and back after hold time */
	ck_assert_uint_eq(w_moves(&w, 1), 0);
	ck_assert_uint_eq(w_deaths(&w), 2);		/* those two */
	ck_assert_uint_eq(w.end[0].tells + w.end[1].tells, 0);	/* what is told is not echoed */
	w_fini(&w);
}
END_TEST

/* After a real cut both ends return, and together: the one with the longer hold time decides. */
START_TEST(both_ends_return_together)
{
	struct world w;
	usec_t apart;

	for (unsigned seed = 0; seed < 20; seed++) {
		w_init(&w, seed, USEC_MS(20));
		w.conf.hold = USEC_S(5);
		w_fact(&w, seed % 2, (struct mon_fact){ .kind = MON_SET, .conf = &w.conf });
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(1) + rng_below(&w.rng, 1000000));
		w_set_cut(&w, 0, true);
		w_run(&w, w.now + USEC_S(2) + rng_below(&w.rng, 8000000));
		w_set_cut(&w, 0, false);
		w_run(&w, w.now + USEC_S(25));
		W_END(e) {
			ck_assert_uint_eq(w_live(&w, e), 0);
			ck_assert_uint_eq(w_moves(&w, e), 2);
			ck_assert_uint_ge(w.end[e].tells, 2);
		}
		apart = w.end[0].selected_at > w.end[1].selected_at ?
		    w.end[0].selected_at - w.end[1].selected_at :
		    w.end[1].selected_at - w.end[0].selected_at;
		ck_assert_msg(apart <= USEC_S(3), "seed %u: %.0f ms apart", seed, MS(apart));
		ck_assert_uint_le(w.end[0].gap, USEC_MS(800));
		w_fini(&w);
	}
}
END_TEST

/* ---- strangers --------------------------------------------------------------------------- */

struct habit {
	const char *name;
	enum w_stranger first, then;	/* how it answers, and after a while */
	unsigned by;			/* the tunnel it sends by */
	bool by_echo;			/* we can judge tunnel 0 by echo at the end */
	usec_t within;			/* a cut of both directions of tunnel 0 is found */
};

static const struct habit habits[] = {
	{ "answers as asked", W_BY_SAME, W_BY_SAME, 0, true, USEC_MS(800) },
	{ "answers as asked, sends by the other", W_BY_SAME, W_BY_SAME, 1, true, USEC_MS(800) },
	{ "answers by the other", W_BY_OTHER, W_BY_OTHER, 0, false, USEC_S(20) },
	{ "answers and sends by the other", W_BY_OTHER, W_BY_OTHER, 1, false, USEC_S(20) },
	{ "moves all to the other", W_BY_SAME, W_BY_OTHER, 1, true, USEC_MS(800) },
	{ "answers no echo", W_MUM, W_MUM, 0, false, USEC_S(20) },
	{ "answers no echo, sends by the other", W_MUM, W_MUM, 1, false, USEC_S(20) },
};
#define HABITS	(sizeof(habits) / sizeof(habits[0]))

START_TEST(strangers_do_not_confuse_it)
{
	const struct habit *h = &habits[_i];
	struct mon_status st;
	struct world w;
	usec_t cut;

	for (unsigned seed = 0; seed < 10; seed++) {
		w_init_raw(&w, seed, USEC_MS(30), USEC_S(10), h->first);
		W_TUN(t)
			w_up(&w, t);
		w_run(&w, w.now + USEC_S(5));
		w_traffic(&w, 0, USEC_MS(2));
		w_traffic(&w, 1, USEC_MS(2));
		w_run(&w, w.now + USEC_S(5));
		w.end[1].stranger = h->then;
		w.end[1].stranger_by = h->by;
		w_run(&w, w.now + USEC_S(120));
		ck_assert_msg(w_deaths(&w) == 0, "%s: %u verdicts", h->name, w_deaths(&w));
		ck_assert_uint_eq(w_moves(&w, 0), 0);
		ck_assert_uint_eq(w_live(&w, 0), 0);
		ck_assert(monitor_status(w.end[0].m, w_id(0), &st));
		ck_assert_msg(st.by_echo == h->by_echo, "%s", h->name);
		ck_assert_uint_le(w.end[0].asks, 90);
		cut = w.now;
		w_set_cut(&w, 0, true);
		w_run(&w, w.now + USEC_S(25));
		ck_assert_msg(w_live(&w, 0) == 1, "%s: did not move", h->name);
		ck_assert_msg(w.end[0].selected_at - cut <= h->within, "%s: %.0f ms", h->name,
		    MS(w.end[0].selected_at - cut));
		w_fini(&w);
	}
}
END_TEST

/* Only what we send is lost, and the stranger goes on sending: routine questions show it. */
START_TEST(a_mute_tunnel_is_found)
{
	struct mon_status st;
	struct world w;
	usec_t cut;

	for (unsigned seed = 0; seed < 10; seed++) {
		w_init_raw(&w, seed, USEC_MS(30), USEC_S(10), W_BY_SAME);
		W_TUN(t)
			w_up(&w, t);
		w_run(&w, w.now + USEC_S(5));
		W_END(e)
			w_traffic(&w, e, USEC_MS(2));
		w_run(&w, w.now + USEC_S(5));
		cut = w.now;
		w.link[0][0].cut = true;
		w_run(&w, w.now + USEC_S(25));
		ck_assert_uint_eq(w_live(&w, 0), 1);
		ck_assert_uint_le(w.end[0].selected_at - cut, USEC_S(20));
		ck_assert(monitor_status(w.end[0].m, w_id(0), &st));
		ck_assert_uint_eq(st.verdict, MON_V_DEAD);
		w.link[0][0].cut = false;
		w_run(&w, w.now + USEC_S(25));
		ck_assert_uint_eq(w_live(&w, 0), 0);
		ck_assert_uint_eq(w_moves(&w, 0), 2);
		w_fini(&w);
	}
}
END_TEST

/* IKE passes, ESP does not: negotiated anew once, and then not trusted before it is heard. */
START_TEST(half_dead_is_negotiated_anew)
{
	struct mon_fact alive = { .kind = MON_ALIVE, .tunnel = w_id(0) };
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w_traffic(&w, e, USEC_MS(2));
	w_run(&w, w.now + USEC_S(1));
	w_set_cut(&w, 0, true);
	for (unsigned i = 0; i < 14; i++) {
		w_run(&w, w.now + USEC_S(1));
		w_fact(&w, 0, alive);
		ck_assert_uint_eq(w_verdict(&w, 0, 0), i < 10 ? MON_V_DEAD : MON_V_DOWN);
	}
	ck_assert_uint_eq(w.end[0].closes, 1);
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_UP, .tunnel = w_id(0) });
	w.end[0].up[0] = true;
	for (unsigned i = 0; i < 60; i++) {
		w_run(&w, w.now + USEC_S(1));
		w_fact(&w, 0, alive);
		ck_assert_uint_eq(w_live(&w, 0), 1);
	}
	w.end[1].up[0] = true;
	w_fact(&w, 1, (struct mon_fact){ .kind = MON_UP, .tunnel = w_id(0) });
	w_set_cut(&w, 0, false);
	w_run(&w, w.now + USEC_S(30));
	ck_assert_uint_eq(w_live(&w, 0), 0);
	w_fini(&w);
}
END_TEST

/* ---- policies ---------------------------------------------------------------------------- */

static void
shares(const struct world *w, unsigned e, unsigned share[2])
{
	share[0] = share[1] = 0;
	for (unsigned b = 0; b < 256; b++) {
		ck_assert_uint_lt(w->end[e].bucket[b], 2);
		share[w->end[e].bucket[b]]++;
	}
}

START_TEST(active_active_moves_only_what_was_lost)
{
	struct world w;
	uint8_t before[256];
	unsigned share[2];

	w_init(&w, 1, USEC_MS(20));
	w.conf.policy = MON_ACTIVE_ACTIVE;
	W_END(e)
		w_fact(&w, e, (struct mon_fact){ .kind = MON_SET, .conf = &w.conf });
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_run(&w, w.now + USEC_S(1));
	shares(&w, 0, share);
	ck_assert_uint_eq(share[0], 128);
	memcpy(before, w.end[0].bucket, sizeof(before));
	w_set_cut(&w, 1, true);
	w_run(&w, w.now + USEC_S(1));
	shares(&w, 0, share);
	ck_assert_uint_eq(share[0], 256);
	w_set_cut(&w, 1, false);
	w_run(&w, w.now + USEC_S(5));
	shares(&w, 0, share);
	ck_assert_uint_eq(share[0], 256);		/* held */
	w_run(&w, w.now + USEC_S(15));
	ck_assert_mem_eq(before, w.end[0].bucket, sizeof(before));
	ck_assert_uint_eq(w_moves(&w, 0), 3);		/* the new policy, away, back */
	w_fini(&w);
}
END_TEST

/* Of three, the lost tunnel's flows are spread over the others, and theirs stay. */
START_TEST(lost_flows_are_spread)
{
	struct rng_seeded seeded;
	struct rng rng = rng_seeded(&seeded, 1);
	struct monitor *m = monitor_new(&rng);
	struct mon_conf conf = { .connection = 9, .n = 3, .tunnel = { 1, 2, 3 },
	    .policy = MON_ACTIVE_ACTIVE, .hold = USEC_S(1) };
	struct mon_action a, now = { 0 };
	uint8_t before[256];
	unsigned share[3] = { 0 };

	monitor_input(m, 1000, &(struct mon_fact){ .kind = MON_SET, .conf = &conf });
	for (unsigned i = 1; i <= 3; i++)
		monitor_input(m, 1000, &(struct mon_fact){ .kind = MON_UP, .tunnel = i });
	while (monitor_next(m, &a))
		now = a.kind == MON_SELECT ? a : now;
	memcpy(before, now.bucket, sizeof(before));
	monitor_input(m, 2000, &(struct mon_fact){ .kind = MON_DOWN, .tunnel = 2 });
	while (monitor_next(m, &a))
		now = a.kind == MON_SELECT ? a : now;
	for (unsigned b = 0; b < 256; b++) {
		share[now.bucket[b]]++;
		ck_assert(before[b] == 1 ? now.bucket[b] != 1 : now.bucket[b] == before[b]);
	}
	ck_assert_uint_ge(share[0], 120);
	ck_assert_uint_ge(share[2], 120);
	monitor_free(m);
}
END_TEST

START_TEST(pinned_stays_where_it_is)
{
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	w.conf.policy = MON_PINNED;
	w.conf.pin = 1;
	W_END(e)
		w_fact(&w, e, (struct mon_fact){ .kind = MON_SET, .conf = &w.conf });
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_run(&w, w.now + USEC_S(1));
	w_set_cut(&w, 1, true);
	w_run(&w, w.now + USEC_S(5));
	ck_assert_uint_eq(w_verdict(&w, 0, 1), MON_V_DEAD);
	ck_assert_uint_eq(w_live(&w, 0), 1);
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_DOWN, .tunnel = w_id(1) });
	ck_assert_uint_eq(w_live(&w, 0), MON_NONE);
	w_fini(&w);
}
END_TEST

/* By hand to tunnel 2: it stays until that one dies, and then policy has its way again. */
START_TEST(a_choice_by_hand_lasts_until_its_tunnel_dies)
{
	struct mon_fact choose = { .kind = MON_CHOOSE, .connection = 1, .index = 2 };
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_run(&w, w.now + USEC_S(1));
	w_fact(&w, 0, choose);
	ck_assert_uint_eq(w_live(&w, 0), 1);
	w_run(&w, w.now + USEC_S(60));
	ck_assert_uint_eq(w_live(&w, 0), 1);
	ck_assert_uint_eq(w_deaths(&w), 0);
	w_set_cut(&w, 1, true);
	w_run(&w, w.now + USEC_S(2));
	ck_assert_uint_eq(w_live(&w, 0), 0);
	w_fact(&w, 0, choose);				/* dead: not taken */
	ck_assert_uint_eq(w_live(&w, 0), 0);
	w_set_cut(&w, 1, false);
	w_run(&w, w.now + USEC_S(30));
	ck_assert_uint_eq(w_live(&w, 0), 0);
	w_fact(&w, 0, choose);
	ck_assert_uint_eq(w_live(&w, 0), 1);
	choose.index = 0;
	w_fact(&w, 0, choose);
	ck_assert_uint_eq(w_live(&w, 0), 0);
	choose.index = 3;				/* no such tunnel */
	w_fact(&w, 0, choose);
	ck_assert_uint_eq(w_live(&w, 0), 0);
	w_fini(&w);
}
END_TEST

/* A reload that turns the order round keeps what is known and where flows are. */
START_TEST(reload_keeps_what_is_known)
{
	struct mon_status st;
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	W_END(e)
		w_traffic(&w, e, USEC_MS(1));
	w_set_cut(&w, 0, true);
	w_run(&w, w.now + USEC_S(2));
	ck_assert_uint_eq(w_verdict(&w, 0, 0), MON_V_DEAD);
	w.conf.tunnel[0] = w_id(1);
	w.conf.tunnel[1] = w_id(0);
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_SET, .conf = &w.conf });
	ck_assert_uint_eq(w_live(&w, 0), 0);		/* the same tunnel, now in the first place */
	ck_assert_uint_eq(w_moves(&w, 0), 1);
	ck_assert_uint_eq(w_verdict(&w, 0, 0), MON_V_DEAD);
	w.conf.n = 1;
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_SET, .conf = &w.conf });
	ck_assert(!monitor_status(w.end[0].m, w_id(0), &st));
	ck_assert(monitor_status(w.end[0].m, w_id(1), &st));
	ck_assert(st.live);
	w_fact(&w, 0, (struct mon_fact){ .kind = MON_DEL, .connection = 1 });
	ck_assert(!monitor_status(w.end[0].m, w_id(1), &st));
	ck_assert(monitor_deadline(w.end[0].m) == USEC_NEVER);
	ck_assert(monitor_sample_at(w.end[0].m, 1) == USEC_NEVER);
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
	tcase_add_test(t, carrier_loss_moves_both_at_once);
	tcase_add_test(t, a_tunnel_that_is_down_owns_nothing);
	tcase_add_test(t, when_both_fail_nothing_flaps);
	tcase_add_test(t, what_recovers_alone_is_taken_at_once);
	tcase_add_test(t, a_flapping_link_moves_little);
	tcase_add_loop_test(t, both_ends_converge, 0, 4);
	tcase_add_test(t, contradicting_verdicts_do_not_play_ping_pong);
	tcase_add_test(t, both_ends_return_together);
	tcase_add_loop_test(t, strangers_do_not_confuse_it, 0, HABITS);
	tcase_add_test(t, a_mute_tunnel_is_found);
	tcase_add_test(t, half_dead_is_negotiated_anew);
	tcase_add_test(t, active_active_moves_only_what_was_lost);
	tcase_add_test(t, lost_flows_are_spread);
	tcase_add_test(t, pinned_stays_where_it_is);
	tcase_add_test(t, a_choice_by_hand_lasts_until_its_tunnel_dies);
	tcase_add_test(t, reload_keeps_what_is_known);
	tcase_add_test(t, a_late_tick_is_no_verdict);
	tcase_add_test(t, actions_do_not_pile_up);
	tcase_add_test(t, nonsense_of_the_peer_is_ignored);
	tcase_add_test(t, many_idle_tunnels_share_slots);
}

UNIT_MAIN("gateway_monitor", fill)
