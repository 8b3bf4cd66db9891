/* SPDX-License-Identifier: MIT */
#include "tests/unit/gateway_monitor_world.h"

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

	for (unsigned seed = _i * 125u; seed < _i * 125u + UNIT_SEEDS(125u); seed++) {
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
		if (seed % 4 >= 2) {		/* and again before anyone returned */
			w_run(&w, w.now + USEC_S(3));
			w_set_cut(&w, 0, true);
			w_run(&w, w.now + USEC_S(12));
			w_set_cut(&w, 0, false);
		}
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

/* Does the tunnel work, in the words of `status`? */
static bool
works(const struct world *w, unsigned e)
{
	enum mon_verdict v = w_verdict(w, e, 0);

	return v != MON_V_DEAD && v != MON_V_UPLINK && v != MON_V_DOWN;
}

/* From the moment that the path is back both ends say the same of the tunnel, hold time and all. */
START_TEST(both_ends_tell_the_same_story)
{
	struct world w;
	usec_t end, apart;

	for (unsigned seed = 0; seed < 20; seed++) {
		w_init(&w, seed, USEC_MS(20));
		W_END(e)
			w_traffic(&w, e, USEC_MS(1));
		w_run(&w, w.now + USEC_S(1) + rng_below(&w.rng, 1000000));
		if (seed % 2 == 0)
			w_set_cut(&w, 0, true);
		else
			w.link[0][seed / 2 % 2].cut = true;
		w_run(&w, w.now + USEC_S(1) + rng_below(&w.rng, 8000000));
		ck_assert(!works(&w, 0) && !works(&w, 1));
		w_set_cut(&w, 0, false);
		apart = 0;
		for (end = w.now + USEC_S(30); w.now < end; w_run(&w, w.now + USEC_MS(50)))
			apart += works(&w, 0) != works(&w, 1) ? USEC_MS(50) : 0;
		ck_assert_msg(apart <= USEC_S(1), "seed %u: %.0f ms apart", seed, MS(apart));
		W_END(e)
			ck_assert(w_verdict(&w, e, 0) == MON_V_UP && w_live(&w, e) == 0);
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
		if (!h->by_echo)
			ck_assert_uint_le(w.end[0].probes[0], 300);
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

/* A host that looks at its counters for other reasons sees our questions: they are no traffic. */
START_TEST(our_own_questions_are_no_traffic)
{
	struct world w;

	w_init_raw(&w, 1, USEC_MS(30), USEC_S(10), W_MUM);
	W_TUN(t)
		w_up(&w, t);
	for (unsigned i = 0; i < 600; i++) {
		w_run(&w, w.now + USEC_S(1));
		w_sample(&w, 0);
		ck_assert(monitor_sample_at(w.end[0].m, 1) == USEC_NEVER);
	}
	ck_assert_uint_eq(w.end[0].asks, 0);
	w_fini(&w);
}
END_TEST

/* Only what we send is lost, and the stranger goes on sending: routine questions show it. */
START_TEST(a_mute_tunnel_is_found)
{
	struct mon_status st;
	struct world w;
	usec_t cut, worst = 0;

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
		if (w.end[0].selected_at - cut > worst)
			worst = w.end[0].selected_at - cut;
		ck_assert(monitor_status(w.end[0].m, w_id(0), &st));
		ck_assert_uint_eq(st.verdict, MON_V_DEAD);
		w.link[0][0].cut = false;
		w_run(&w, w.now + USEC_S(25));
		ck_assert_uint_eq(w_live(&w, 0), 0);
		ck_assert_uint_eq(w_moves(&w, 0), 2);
		w_fini(&w);
	}
	printf("# mute tunnel: left after at most %.1f s\n", MS(worst) / 1000);
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

static void
fill(TCase *t)
{
	tcase_add_loop_test(t, both_ends_converge, 0, 4);
	tcase_add_test(t, contradicting_verdicts_do_not_play_ping_pong);
	tcase_add_test(t, both_ends_return_together);
	tcase_add_test(t, both_ends_tell_the_same_story);
	tcase_add_loop_test(t, strangers_do_not_confuse_it, 0, HABITS);
	tcase_add_test(t, our_own_questions_are_no_traffic);
	tcase_add_test(t, a_mute_tunnel_is_found);
	tcase_add_test(t, half_dead_is_negotiated_anew);
}

UNIT_MAIN("gateway_monitor_peer", fill)
