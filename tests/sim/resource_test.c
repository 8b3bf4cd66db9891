/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/forge.h"
#include "tests/unit/unit.h"

/* One Child SA for each worker of both ends (RFC 9611), in all weathers. */

static void
configure(struct world *w, uint64_t seed, unsigned a, unsigned b, unsigned start)
{
	const unsigned n[2] = { a, b };

	world_init(w, seed, 2);
	for (unsigned g = 0; g < 2; g++) {
		struct ike_tunnel c = world_conf(w, g, 1, 1 - g);

		c.start = (start >> g & 1) != 0;
		c.resources = n[g];
		world_set(w, g, &c);
	}
}

static bool
run_until_each(struct world *w, unsigned n, usec_t span)
{
	usec_t until = w->now + span;

	while (!world_agree_each(w, 1, n))
		if (!world_step(w, until))
			return false;
	return true;
}

static void
rekey(struct world *w, unsigned g, bool ike_sa)
{
	world_fact(w, g, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1, .ike_sa = ike_sa });
}

/* With ESP of every worker each way. */
static void
begin(struct world *w, uint64_t seed, unsigned a, unsigned b, unsigned n)
{
	configure(w, seed, a, b, 1 + seed % 3);
	ck_assert_msg(run_until_each(w, n, USEC_S(60)), "seed %u: %u and %u of %u",
	    (unsigned)seed, gate_live(&w->gate[0], 1), gate_live(&w->gate[1], 1), n);
	world_run(w, USEC_S(12));		/* a duel, and what it leaves, is over */
	w->esp = true;
	w->esp_at = w->now;
}

static void
check_end(const struct world *w, unsigned n, const char *what)
{
	ck_assert_msg(world_agree_each(w, 1, n), "%s, seed %u: %u and %u of %u", what,
	    (unsigned)w->seed, gate_live(&w->gate[0], 1), gate_live(&w->gate[1], 1), n);
	for (unsigned g = 0; g < 2; g++) {
		struct ike_totals t = gate_totals(&w->gate[g]);

		ck_assert_msg(t.ike_sas == 1 && t.child_sas == n && t.jobs == 0,
		    "%s, seed %u: gate %u has %zu IKE SAs, %zu Child SAs, %zu jobs", what,
		    (unsigned)w->seed, g, t.ike_sas, t.child_sas, t.jobs);
		ck_assert_uint_eq(w->gate[g].downs, 0);
	}
	ck_assert_msg(w->esp_lost == 0, "%s, seed %u: %u of %u packets lost", what,
	    (unsigned)w->seed, (unsigned)w->esp_lost, (unsigned)w->esp_sent);
}

static const struct { unsigned a, b, n; } sizes[] = {
	{ 2, 2, 2 }, { 4, 2, 4 }, { 2, 4, 4 }, { 3, 3, 3 }, { 8, 8, 8 },
};
#define SIZES	(sizeof(sizes) / sizeof(sizes[0]))

/* Whoever opens, or both at once, and whatever is lost meanwhile. */
START_TEST(each_worker_gets_its_own)
{
	for (size_t i = 0; i < SIZES; i++) {
		for (unsigned seed = 0; seed < 24; seed++) {
			struct world w;
			bool each;

			configure(&w, seed, sizes[i].a, sizes[i].b, 1 + seed % 3);
			w.work_max = seed % 2 == 0 ? 0 : USEC_MS(30);
			world_weather(&w, &(struct weather){ .jitter = USEC_MS(seed % 4 * 10) + 1,
			    .dup_percent = seed % 25, .loss_percent = seed < 8 ? 0 : 15 });
			world_run(&w, USEC_S(60));
			world_weather(&w, &(struct weather){ .delay = 0 });
			world_run(&w, USEC_S(60));
			each = gate_live(&w.gate[0], 1) >= sizes[i].n &&
			    gate_live(&w.gate[0], 1) <= 2 * sizes[i].n &&
			    world_agree_each(&w, 1, gate_live(&w.gate[0], 1));
			ck_assert_msg(each, "%u and %u, seed %u: %u and %u", sizes[i].a, sizes[i].b,
			    seed, gate_live(&w.gate[0], 1), gate_live(&w.gate[1], 1));
			if (seed < 8)		/* in fair weather no pair is made twice */
				ck_assert_uint_eq(gate_live(&w.gate[0], 1), sizes[i].n);
			ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 1);
			world_fini(&w);
		}
	}
}
END_TEST

/* A peer that knows nothing of it, or has one worker: one Child SA, by which all send. */
START_TEST(an_end_with_one_worker_has_one)
{
	for (unsigned seed = 0; seed < 6; seed++) {
		struct world w;

		configure(&w, seed, 1 + seed % 2, 2 - seed % 2, 1 + seed % 3);
		world_run(&w, USEC_S(120));
		ck_assert(world_agree(&w, 1));
		for (unsigned g = 0; g < 2; g++) {
			ck_assert_uint_eq(gate_totals(&w.gate[g]).child_sas, 1);
			for (unsigned k = 0; k < w.gate[g].resources[1]; k++)
				ck_assert_uint_eq(w.gate[g].out_of[1][k], w.gate[g].out[1]);
		}
		world_fini(&w);
	}
}
END_TEST

/* Rekeys of all of them and of the IKE SA by either end, many times, in any weather. */
START_TEST(rekeys_lose_nothing)
{
	struct world w;

	begin(&w, (uint64_t)_i, sizes[_i % 4].a, sizes[_i % 4].b, sizes[_i % 4].n);
	world_weather(&w, &(struct weather){ .jitter = USEC_MS(30), .dup_percent = 20,
	    .loss_percent = 10 });
	w.work_max = USEC_MS(20);
	for (unsigned i = 0; i < 30; i++) {
		rekey(&w, i & 1, i % 6 == 5);
		world_run(&w, USEC_S(40));
		check_end(&w, sizes[_i % 4].n, "rekey");
	}
	world_fini(&w);
}
END_TEST

/* Both ends rekey all of them at nearly the same time, or one the IKE SA. */
START_TEST(collisions_settle)
{
	for (unsigned seed = 0; seed < 40; seed++) {
		struct world w;

		begin(&w, seed, 2, 2, 2);
		w.work_max = seed % 3 == 0 ? 0 : USEC_MS(15);
		world_weather(&w, &(struct weather){ .delay = USEC_MS(20),
		    .jitter = USEC_MS(seed % 5 * 10) + 1, .dup_percent = seed % 30,
		    .loss_percent = seed < 25 ? 0 : 15 });
		rekey(&w, seed & 1, seed % 4 == 3);
		world_run(&w, USEC_MS(seed / 2 % 60));
		rekey(&w, !(seed & 1), seed % 7 == 3);
		world_run(&w, USEC_S(90));
		check_end(&w, 2, "collision");
		world_fini(&w);
	}
}
END_TEST

/* With short lives and no orders they rekey by themselves for an hour, each on its own. */
START_TEST(lives_end_in_time)
{
	struct world w;

	world_init(&w, 3, 2);
	w.work_max = USEC_MS(5);
	for (unsigned g = 0; g < 2; g++) {
		struct ike_tunnel c = world_conf(&w, g, 1, 1 - g);

		c.resources = 3;
		c.child_life = USEC_S(60);
		c.ike_life = USEC_S(200);
		world_set(&w, g, &c);
	}
	world_run(&w, USEC_S(30));
	w.esp = true;
	w.esp_at = w.now;
	world_run(&w, USEC_S(3600));
	ck_assert(run_until_each(&w, 3, USEC_S(20)));
	ck_assert_uint_eq(w.esp_lost, 0);
	ck_assert_uint_gt(gate_status(&w.gate[0], 1)->child_rekeys, 3 * 3600 / 60);
	ck_assert_uint_eq(w.gate[0].downs + w.gate[1].downs, 0);
	world_fini(&w);
}
END_TEST

/* ---- a peer that is taken over ---- */

/* `old`: in the place of the one of that SPI, or 0: beside what there is. */
static void
ask_more(struct forge *f, uint32_t id, uint32_t spi, uint32_t old)
{
	static const uint8_t bytes[32] = { 9 };
	const struct esp_suite suite = { AEAD_AES_GCM_16_256, KE_CURVE25519, true };
	struct pld_notify rekey = { .proto = PROTO_ESP, .type = N_REKEY_SA };
	uint8_t old_spi[4];
	struct wr w = wr_init(old_spi, sizeof(old_spi));
	struct ts_list all = world_conf(f->w, 0, 1, 1).ts_local;

	f->exchange = X_CREATE_CHILD_SA;
	f->id = id;
	forge_start(f);
	wr_u32(&w, old);
	rekey.spi = (struct slice){ old_spi, sizeof(old_spi) };
	if (old != 0)
		pld_notify_write(msg_add(&f->mw, PLD_N), &rekey);
	sa_write_esp(msg_add(&f->mw, PLD_SA), &suite, 1, spi, true);
	pld_nonce_write(msg_add(&f->mw, PLD_NONCE), (struct slice){ bytes, 32 });
	pld_ke_write(msg_add(&f->mw, PLD_KE), &(struct pld_ke){ 31, bytes, 32 });
	ts_write(msg_add(&f->mw, PLD_TSI), &all);
	ts_write(msg_add(&f->mw, PLD_TSR), &all);
	msg_add_notify(&f->mw, N_SA_RESOURCE_INFO, bytes, 32);
	forge_send(f);
	world_run(f->w, USEC_MS(11));		/* until the answer is there */
}

/* It asks for a thousand more: it gets twice our workers, and no byte beyond. */
START_TEST(what_a_peer_can_make_us_create_is_bounded)
{
	static struct forge f;
	size_t before = 0;
	uint32_t id;
	struct world w;

	configure(&w, 1, 2, 2, 1);
	ck_assert(run_until_each(&w, 2, USEC_S(20)));
	world_run(&w, USEC_S(2));
	f = (struct forge){ .w = &w, .as = forge_sa(&w.gate[0]) };
	id = f.as->x.out_id;
	for (unsigned i = 0; i < 1000; i++) {
		ask_more(&f, id + i, 0x10000 + i, 0);
		if (i == 10)
			before = mallinfo2().uordblks;
	}
	ck_assert_uint_eq(forge_sa(&w.gate[1])->x.in_id, id + 1000);	/* it was answered each time */
	ck_assert_uint_eq(gate_totals(&w.gate[1]).child_sas, 4);
	ck_assert_uint_eq(gate_live(&w.gate[1], 1), 4);
	ck_assert_uint_eq(secrets_used(w.gate[1].secrets), 1 + 1 + 4);	/* PSK, IKE SA, Child SAs */
	ck_assert_uint_le(mallinfo2().uordblks, before + 8192);
	ck_assert(forge_sa(&w.gate[1])->state == SA_UP && w.gate[1].downs == 0);
	world_fini(&w);
}
END_TEST

/* It replaces one on and on, and deletes nothing: at some time it has to. */
START_TEST(what_is_replaced_is_to_be_deleted)
{
	static struct forge f;
	uint32_t id, old;
	struct world w;

	configure(&w, 2, 2, 2, 1);
	ck_assert(run_until_each(&w, 2, USEC_S(20)));
	world_run(&w, USEC_S(2));
	f = (struct forge){ .w = &w, .as = forge_sa(&w.gate[0]) };
	id = f.as->x.out_id;
	old = w.gate[0].out[1];
	for (unsigned i = 0; i < 1000; i++) {
		size_t had = gate_totals(&w.gate[1]).child_sas;

		ask_more(&f, id + i, 0x10000 + i, old);
		if (gate_totals(&w.gate[1]).child_sas > had)
			old = 0x10000 + i;
	}
	ck_assert_uint_eq(gate_totals(&w.gate[1]).child_sas, 2 + 16 + 2 * 2);
	ck_assert(forge_sa(&w.gate[1])->state == SA_UP && w.gate[1].downs == 0);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, each_worker_gets_its_own);
	tcase_add_test(tc, an_end_with_one_worker_has_one);
	tcase_add_loop_test(tc, rekeys_lose_nothing, 0, 8);
	tcase_add_test(tc, collisions_settle);
	tcase_add_test(tc, lives_end_in_time);
	tcase_add_test(tc, what_a_peer_can_make_us_create_is_bounded);
	tcase_add_test(tc, what_is_replaced_is_to_be_deleted);
}

UNIT_MAIN("sim/resource", fill)
