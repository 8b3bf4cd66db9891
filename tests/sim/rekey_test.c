/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static void
rekey(struct world *w, unsigned g, bool ike_sa)
{
	world_fact(w, g, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1, .ike_sa = ike_sa });
}

/* One tunnel, up, with ESP packets each way. */
static void
begin(struct world *w, uint64_t seed)
{
	world_init(w, seed, 2);
	world_pair(w, 1, 1);
	ck_assert(world_run_until_agreed(w, 1, USEC_S(10)));
	world_run(w, USEC_S(1));
	w->esp = true;
	w->esp_at = w->now;
}

/* One of each is left, nothing was lost, nobody was down. */
static void
check_end(const struct world *w, const char *what)
{
	ck_assert_msg(world_agree(w, 1), "%s, seed %u", what, (unsigned)w->seed);
	for (unsigned g = 0; g < 2; g++) {
		struct ike_totals t = gate_totals(&w->gate[g]);

		ck_assert_msg(t.ike_sas == 1 && t.child_sas == 1 && t.jobs == 0,
		    "%s, seed %u: gate %u has %zu IKE SAs, %zu Child SAs, %zu jobs", what,
		    (unsigned)w->seed, g, t.ike_sas, t.child_sas, t.jobs);
		ck_assert_uint_eq(w->gate[g].downs, 0);
	}
	ck_assert_uint_gt(w->esp_sent, 100);
	ck_assert_msg(w->esp_lost == 0, "%s, seed %u: %u packets lost", what, (unsigned)w->seed,
	    (unsigned)w->esp_lost);
}

/* Either end rekeys either SA: new keys, no packet lost, nothing left over. */
START_TEST(either_end_rekeys_either)
{
	for (unsigned k = 0; k < 4; k++) {
		struct child_sa old;
		struct world w;

		begin(&w, k);
		old = *gate_child(&w.gate[0], w.gate[0].out[1]);
		rekey(&w, k & 1, k >= 2);
		world_run(&w, USEC_S(3));
		check_end(&w, "rekey");
		ck_assert((gate_child(&w.gate[0], w.gate[0].out[1])->spi_in == old.spi_in) ==
		    (k >= 2));
		for (unsigned g = 0; g < 2; g++) {
			const struct ike_status *st = gate_status(&w.gate[g], 1);

			ck_assert_uint_eq(st->child_rekeys, k < 2);
			ck_assert_uint_eq(st->ike_rekeys, k >= 2);
			if (k >= 2)
				ck_assert(st->initiator == (g == (k & 1)));
		}
		world_fini(&w);
	}
}
END_TEST

/* Rekeys of both kinds by either end, many times, in any weather that leaves the peer there. */
START_TEST(many_rekeys_lose_nothing)
{
	struct world w;

	begin(&w, 5);
	world_weather(&w, &(struct weather){ .jitter = USEC_MS(30), .dup_percent = 20,
	    .loss_percent = 10 });
	w.work_max = USEC_MS(20);
	for (unsigned i = 0; i < 120; i++) {
		rekey(&w, i & 1, i % 6 == 5);
		world_run(&w, USEC_S(12));
		check_end(&w, "many");
	}
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->child_rekeys, 100);
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->ike_rekeys, 20);
	world_fini(&w);
}
END_TEST

/* Two rekeys at nearly the same time: what is left is one of each, whoever yields. */
static void
collide(uint64_t seed, bool first_ike, bool second_ike, unsigned loss)
{
	struct world w;
	char what[64];

	begin(&w, seed);
	w.work_max = seed % 3 == 0 ? 0 : USEC_MS(15);
	world_weather(&w, &(struct weather){
		.delay = USEC_MS(20), .jitter = USEC_MS(seed % 5 * 10) + 1, .dup_percent = seed % 30,
		.loss_percent = loss });
	rekey(&w, seed & 1, first_ike);
	world_run(&w, USEC_MS(seed / 2 % 60));
	rekey(&w, !(seed & 1), second_ike);
	world_run(&w, USEC_S(75));
	snprintf(what, sizeof(what), "%s against %s, loss %u", first_ike ? "ike" : "child",
	    second_ike ? "ike" : "child", loss);
	check_end(&w, what);
	world_fini(&w);
}

START_TEST(collisions_settle)
{
	for (uint64_t seed = 0; seed < 150; seed++)
		collide(seed, _i & 1, _i >> 1 & 1, seed < 100 ? 0 : 15);
}
END_TEST

/* Both ends with short lives and no orders: they rekey by themselves for hours. */
START_TEST(lives_end_in_time)
{
	for (uint64_t seed = 0; seed < 4; seed++) {
		struct world w;

		world_init(&w, seed, 2);
		w.work_max = USEC_MS(5);
		for (unsigned g = 0; g < 2; g++) {
			struct ike_tunnel c = world_conf(&w, g, 1, 1 - g);

			c.child_life = USEC_S(60);
			c.ike_life = USEC_S(200);
			world_set(&w, g, &c);
		}
		world_run(&w, USEC_S(5));
		w.esp = true;
		w.esp_at = w.now;
		world_run(&w, USEC_S(3600));
		/* The end may fall into a rekey: let it finish. */
		ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
		ck_assert_uint_eq(w.esp_lost, 0);
		ck_assert_uint_eq(w.gate[0].downs + w.gate[1].downs, 0);
		ck_assert_uint_ge(gate_status(&w.gate[0], 1)->child_rekeys, 3600 / 50);
		ck_assert_uint_le(gate_status(&w.gate[0], 1)->child_rekeys, 3600 / 42);
		ck_assert_uint_ge(gate_status(&w.gate[0], 1)->ike_rekeys, 3600 / 167);
		ck_assert_uint_le(gate_totals(&w.gate[0]).ike_sas, 2);
		world_fini(&w);
	}
}
END_TEST

/* CREATE_CHILD_SA requests of either end get lost, so nothing can be rekeyed. */
static bool
no_create_child(void *arg, const struct ike_action *a)
{
	size_t at = a->local.port == 4500 ? 4 : 0;

	(void)arg;
	return a->len > at + 20 && a->data[at + 18] == 36;
}

/* Where a rekey never comes through the peer is dead after half a minute, and it is opened
 * anew, with IKE_AUTH. */
START_TEST(a_rekey_that_fails_opens_anew)
{
	struct world w;

	begin(&w, 9);
	world_weather(&w, &(struct weather){ .drop = no_create_child });
	rekey(&w, 0, false);
	world_run(&w, USEC_S(30));
	ck_assert_uint_eq(w.gate[0].downs, 0);
	world_run(&w, USEC_S(5));
	ck_assert_uint_eq(w.gate[0].downs, 1);
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(10)));
	ck_assert_uint_eq(gate_totals(&w.gate[1]).ike_sas, 1);
	world_fini(&w);
}
END_TEST

/* At the hard end a Child SA goes and another is asked for in the same IKE SA. */
START_TEST(the_hard_end_is_hard)
{
	struct ike_tunnel c;
	struct world w;
	uint64_t spi;

	world_init(&w, 11, 2);
	for (unsigned g = 0; g < 2; g++) {
		c = world_conf(&w, g, 1, 1 - g);
		c.start = g == 0;
		c.child_life = g == 0 ? USEC_S(100) : USEC_S(1000);
		c.esp[0].group = g == 0 ? KE_ECP_256 : KE_CURVE25519;	/* no rekey can be agreed */
		world_set(&w, g, &c);
	}
	world_run(&w, USEC_S(99));
	ck_assert(world_agree(&w, 1));
	spi = gate_status(&w.gate[0], 1)->spi_i;
	ck_assert_uint_eq(w.gate[0].downs, 0);
	world_run(&w, USEC_S(4));
	ck_assert_uint_eq(w.gate[0].downs, 1);
	ck_assert_uint_eq(w.gate[1].downs, 1);
	/* A Child SA in the old IKE SA is refused for the same reason: IKE_AUTH makes one. */
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(20)));
	ck_assert(gate_status(&w.gate[0], 1)->spi_i != spi);
	world_fini(&w);
}
END_TEST

/* When the Child SA is gone, both want one and ask at once: one comes to be. */
START_TEST(a_lost_child_comes_back_once)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct world w;
		uint64_t spi;

		world_init(&w, seed, 2);
		for (unsigned g = 0; g < 2; g++) {
			struct ike_tunnel c = world_conf(&w, g, 1, 1 - g);

			c.child_life = USEC_S(100);
			c.start = true;
			world_set(&w, g, &c);
		}
		world_run(&w, USEC_S(50));
		spi = gate_status(&w.gate[0], 1)->spi_i;
		world_weather(&w, &(struct weather){ .drop = no_create_child });
		world_run(&w, USEC_S(50));	/* both rekey in vain, then it ends for both */
		world_weather(&w, &(struct weather){ .delay = USEC_MS(1 + seed * 20) });
		ck_assert_msg(world_run_until_agreed(&w, 1, USEC_S(60)), "seed %u", (unsigned)seed);
		world_run(&w, USEC_S(20));
		ck_assert(world_agree(&w, 1));
		ck_assert_uint_eq(gate_totals(&w.gate[0]).child_sas, 1);
		(void)spi;
		world_fini(&w);
	}
}
END_TEST

/* The peer has another configuration by now: what there is stays, and the failure is counted. */
START_TEST(a_rekey_that_is_refused_changes_nothing)
{
	struct world w;
	struct ike_tunnel c;

	begin(&w, 3);
	c = world_conf(&w, 1, 1, 0);
	c.start = false;
	c.esp[0].enc = AEAD_AES_GCM_16_128;
	world_set(&w, 1, &c);
	rekey(&w, 0, false);
	world_run(&w, USEC_S(3));
	check_end(&w, "refused");
	ck_assert_uint_eq(gate_totals(&w.gate[0]).rekeys_failed, 1);
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->child_rekeys, 0);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, either_end_rekeys_either);
	tcase_add_test(tc, many_rekeys_lose_nothing);
	tcase_add_loop_test(tc, collisions_settle, 0, 4);
	tcase_add_test(tc, lives_end_in_time);
	tcase_add_test(tc, a_rekey_that_fails_opens_anew);
	tcase_add_test(tc, a_rekey_that_is_refused_changes_nothing);
	tcase_add_test(tc, the_hard_end_is_hard);
	tcase_add_test(tc, a_lost_child_comes_back_once);
}

UNIT_MAIN("sim/rekey", fill)
