/* SPDX-License-Identifier: MIT */
/* Of gateway/monitor_select.c, and monitor_tunnel.c: what IKE, kernel and peer say of a tunnel. */
#include "tests/unit/gateway_monitor_world.h"

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

/* Both dead: there is nothing to choose, in whichever place the one with the traffic stands. */
START_TEST(a_tie_moves_nothing)
{
	struct world w;

	w_init(&w, 1, USEC_MS(20));
	W_END(e) {
		w_traffic(&w, e, USEC_MS(1));
		w_fact(&w, e, (struct mon_fact){ .kind = MON_CHOOSE, .connection = 1, .index = 2 });
	}
	w_run(&w, w.now + USEC_S(2));
	W_TUN(t)
		w_set_cut(&w, t, true);
	w_run(&w, w.now + USEC_S(4));
	W_END(e) {
		ck_assert_uint_eq(w_verdict(&w, e, 1), MON_V_UPLINK);
		ck_assert_uint_eq(w_live(&w, e), 1);
		ck_assert_uint_eq(w_moves(&w, e), 1);	/* the one by hand */
	}
	w_fini(&w);
}
END_TEST

/* Cut and healed: the tunnel is held from `*heard` on. */
static void
hold_begins(struct world *w, unsigned seed, usec_t *heard)
{
	struct mon_status st;

	w_init(w, seed, USEC_MS(20));
	W_END(e)
		w_traffic(w, e, USEC_MS(1));
	w_run(w, w->now + USEC_S(1));
	w_set_cut(w, 0, true);
	w_run(w, w->now + USEC_S(2));
	w_set_cut(w, 0, false);
	w_run(w, w->now + USEC_S(3));
	ck_assert(monitor_status(w->end[0].m, w_id(0), &st));
	ck_assert_uint_eq(st.verdict, MON_V_HELD);
	*heard = st.since;
}

/* It falls silent again shortly before its hold time ends: nobody returns to it. */
START_TEST(nobody_returns_to_silence)
{
	struct world w;
	usec_t heard;

	for (unsigned seed = 0; seed < 20; seed++) {
		hold_begins(&w, seed, &heard);
		w_run(&w, heard + USEC_MS(10000 - 2500));
		w_set_cut(&w, 0, true);
		w_run(&w, w.now + USEC_S(15));
		W_END(e)
			ck_assert_uint_eq(w_moves(&w, e), 1);
		w_fini(&w);
	}
}
END_TEST

/* A hold time is a time of being well: five dead seconds within it begin it anew. */
START_TEST(a_hold_time_begins_anew)
{
	struct world w;
	usec_t heard;

	for (unsigned seed = 0; seed < 20; seed++) {
		hold_begins(&w, seed, &heard);
		w_run(&w, heard + USEC_S(4));
		w_set_cut(&w, 0, true);
		w_run(&w, w.now + USEC_S(5));
		w_set_cut(&w, 0, false);
		w_run(&w, w.now + USEC_S(5));
		W_END(e)
			ck_assert_uint_eq(w_moves(&w, e), 1);
		w_run(&w, w.now + USEC_S(15));
		W_END(e)
			ck_assert_uint_eq(w_live(&w, e), 0);
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
	w_set_cut(&w, 0, true);
	w_run(&w, w.now + USEC_S(10));
	choose.index = 1;				/* dead: the former choice stays */
	w_fact(&w, 0, choose);
	w_set_cut(&w, 0, false);
	w_run(&w, w.now + USEC_S(30));
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

static void
fill(TCase *t)
{
	tcase_add_test(t, carrier_loss_moves_both_at_once);
	tcase_add_test(t, a_tunnel_that_is_down_owns_nothing);
	tcase_add_test(t, when_both_fail_nothing_flaps);
	tcase_add_test(t, what_recovers_alone_is_taken_at_once);
	tcase_add_test(t, a_tie_moves_nothing);
	tcase_add_test(t, nobody_returns_to_silence);
	tcase_add_test(t, a_hold_time_begins_anew);
	tcase_add_test(t, a_flapping_link_moves_little);
	tcase_add_test(t, active_active_moves_only_what_was_lost);
	tcase_add_test(t, lost_flows_are_spread);
	tcase_add_test(t, pinned_stays_where_it_is);
	tcase_add_test(t, a_choice_by_hand_lasts_until_its_tunnel_dies);
	tcase_add_test(t, reload_keeps_what_is_known);
}

UNIT_MAIN("gateway_monitor_select", fill)
