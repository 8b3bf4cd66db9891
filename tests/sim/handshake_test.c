/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <string.h>

#include "tests/unit/unit.h"

/* One end opens, the other answers: one IKE SA, one Child SA, the same keys. */
START_TEST(two_ends_come_to_agree)
{
	struct world w;

	world_init(&w, 1, 2);
	world_pair(&w, 1, 1);
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
	for (unsigned g = 0; g < 2; g++) {
		struct ike_totals t = gate_totals(&w.gate[g]);

		ck_assert_uint_eq(t.ike_sas, 1);
		ck_assert_uint_eq(t.child_sas, 1);
		ck_assert_uint_eq(t.half_open, 0);
		ck_assert_uint_eq(t.jobs, 0);
		ck_assert_uint_eq(w.gate[g].ups, 1);
		ck_assert_str_eq(gate_status(&w.gate[g], 1)->state, "up");
		ck_assert(gate_status(&w.gate[g], 1)->peer_is_tandem);
		ck_assert(!gate_status(&w.gate[g], 1)->nat_local);
		ck_assert(!gate_status(&w.gate[g], 1)->nat_remote);
	}
	ck_assert(gate_status(&w.gate[0], 1)->initiator);
	ck_assert(!gate_status(&w.gate[1], 1)->initiator);
	ck_assert_uint_eq(w.gate[0].sent + w.gate[1].sent, 4);
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->remote.port, 4500);
	ck_assert_uint_eq(gate_status(&w.gate[1], 1)->remote.port, 4500);
	world_fini(&w);
}
END_TEST

/* Every cipher of IKE and ESP, every PRF and every group, each at least once. */
START_TEST(every_suite_comes_up)
{
	for (unsigned i = 0; i < 9; i++) {
		struct ike_suite ike = { AEAD_AES_GCM_16_128 + i, PRF_HMAC_SHA2_256 + i % 3,
		    KE_MODP_2048 + i % 7 };
		struct esp_suite esp = { AEAD_AES_GCM_16_128 + (i + 4) % 9,
		    i % 8, i % 2 == 0 };
		struct world w;

		world_init(&w, i, 2);
		for (unsigned g = 0; g < 2; g++) {
			struct ike_tunnel c = world_conf(&w, g, 1, 1 - g);

			c.start = g == 0;
			c.ike[0] = ike;
			c.esp[0] = esp;
			world_set(&w, g, &c);
		}
		ck_assert_msg(world_run_until_agreed(&w, 1, USEC_S(5)), "suite %u", i);
		ck_assert(ike_suite_equal(&ike, &(struct ike_suite){
		    gate_status(&w.gate[1], 1)->ike.enc, gate_status(&w.gate[1], 1)->ike.prf,
		    gate_status(&w.gate[1], 1)->ike.group }));
		ck_assert_uint_eq(gate_status(&w.gate[0], 1)->esp.enc, esp.enc);
		ck_assert(gate_status(&w.gate[0], 1)->esp.esn == esp.esn);
		world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1 });
		world_run(&w, USEC_S(2));
		ck_assert_msg(world_agree(&w, 1), "suite %u after a rekey", i);
		ck_assert_uint_eq(gate_status(&w.gate[0], 1)->esp.group, esp.group);
		world_fact(&w, 1, &(struct ike_fact){
		    .kind = IKE_REKEY, .tunnel = 1, .ike_sa = true });
		world_run(&w, USEC_S(2));
		ck_assert_msg(world_agree(&w, 1), "suite %u after an IKE rekey", i);
		ck_assert_uint_eq(gate_status(&w.gate[0], 1)->ike_rekeys, 1);
		world_fini(&w);
	}
}
END_TEST

/* IPv6 outside. */
START_TEST(over_ipv6)
{
	struct world w;

	world_init(&w, 3, 2);
	for (unsigned g = 0; g < 2; g++)
		ck_assert(ip_parse(g == 0 ? "2001:db8::1" : "2001:db8::2", &w.gate[g].ip));
	world_pair(&w, 1, 1);
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
	ck_assert(!gate_status(&w.gate[0], 1)->nat_local);
	ck_assert_uint_eq(gate_child(&w.gate[1], w.gate[1].out[1])->remote.ip.family, AF_INET6);
	world_fini(&w);
}
END_TEST

/* Whatever is lost of the first twelve datagrams, both settle, and with the same keys. */
START_TEST(every_loss_pattern_settles)
{
	for (uint64_t loss = 1024 * (uint64_t)_i; loss < 1024 * (uint64_t)(_i + 1); loss++) {
		struct world w;

		world_init(&w, loss, 2);
		world_weather(&w, &(struct weather){ .loss = loss });
		world_pair(&w, 1, 1);
		ck_assert_msg(world_run_until_agreed(&w, 1, USEC_S(120)), "loss %#llx",
		    (unsigned long long)loss);
		ck_assert(world_keys_fit(&w, 1));
		world_run(&w, USEC_S(15));
		ck_assert_msg(world_agree(&w, 1), "loss %#llx: later", (unsigned long long)loss);
		ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 1);
		ck_assert_uint_eq(gate_totals(&w.gate[1]).child_sas, 1);
		world_fini(&w);
	}
}
END_TEST

/* Duplicates, reordering, random loss and late computations, by seed. */
START_TEST(bad_weather_does_not_matter)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct world w;

		world_init(&w, seed, 2);
		w.work_max = seed % 2 == 0 ? 0 : USEC_MS(300);
		world_weather(&w, &(struct weather){
			.jitter = USEC_MS(400), .dup_percent = 40, .loss_percent = seed % 40 });
		world_pair(&w, 1, 1 + seed % 3);
		ck_assert_msg(world_run_until_agreed(&w, 1, USEC_S(300)), "seed %u", (unsigned)seed);
		ck_assert(world_keys_fit(&w, 1));
		world_fini(&w);
	}
}
END_TEST

/* Both open at once: in the end one IKE SA and one Child SA a tunnel. */
START_TEST(both_at_once_end_in_one)
{
	for (uint64_t seed = 100 * (uint64_t)_i; seed < 100 * (uint64_t)(_i + 1); seed++) {
		struct world w;

		world_init(&w, seed, 2);
		w.work_max = seed % 3 == 0 ? 0 : USEC_MS(20);
		world_weather(&w, &(struct weather){
			.delay = USEC_MS(1 + seed % 50), .jitter = USEC_MS(seed % 7 * 10) + 1,
			.loss = seed % 4 == 3 ? seed * 0x9e3779b97f4a7c15u & 0xff : 0 });
		world_pair(&w, 1, 3);
		if (seed % 5 == 0)
			world_run(&w, USEC_MS(seed % 60));
		world_pair(&w, 2, 3);
		world_run(&w, USEC_S(5));
		/* The losers are forgotten; not one that jitter brought after the winner was up. */
		for (unsigned g = 0; g < 2 && seed % 4 != 3 && seed % 7 == 0; g++)
			ck_assert_msg(gate_totals(&w.gate[g]).half_open == 0 &&
			    gate_totals(&w.gate[g]).ike_sas == 2, "seed %u: %zu half open, %zu IKE SAs",
			    (unsigned)seed, gate_totals(&w.gate[g]).half_open,
			    gate_totals(&w.gate[g]).ike_sas);
		world_run(&w, USEC_S(35));
		for (uint32_t t = 1; t <= 2; t++)
			ck_assert_msg(world_agree(&w, t), "seed %u tunnel %u", (unsigned)seed, t);
		for (unsigned g = 0; g < 2; g++) {
			ck_assert_uint_eq(gate_totals(&w.gate[g]).ike_sas, 2);
			ck_assert_uint_eq(gate_totals(&w.gate[g]).child_sas, 2);
			ck_assert_msg(w.gate[g].downs == 0, "seed %u: went down", (unsigned)seed);
		}
		world_fini(&w);
	}
}
END_TEST

/* The same seed twice gives the same datagrams, byte for byte; another seed, others. */
START_TEST(a_run_can_be_repeated)
{
	uint64_t digest[3];

	for (unsigned i = 0; i < 3; i++) {
		struct world w;

		world_init(&w, i == 2 ? 78 : 77, 2);
		w.work_max = USEC_MS(50);
		world_weather(&w, &(struct weather){
			.jitter = USEC_MS(100), .dup_percent = 20, .loss_percent = 20 });
		world_pair(&w, 1, 3);
		world_pair(&w, 2, 1);
		world_run(&w, USEC_S(30));
		world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1 });
		world_fact(&w, 1, &(struct ike_fact){
			.kind = IKE_REKEY, .tunnel = 2, .ike_sa = true });
		world_run(&w, USEC_S(60));
		digest[i] = w.digest;
		world_fini(&w);
	}
	ck_assert(digest[0] == digest[1]);
	ck_assert(digest[0] != digest[2]);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, two_ends_come_to_agree);
	tcase_add_test(tc, every_suite_comes_up);
	tcase_add_test(tc, over_ipv6);
	tcase_add_loop_test(tc, every_loss_pattern_settles, 0, 4);
	tcase_add_test(tc, bad_weather_does_not_matter);
	tcase_add_loop_test(tc, both_at_once_end_in_one, 0, 2);
	tcase_add_test(tc, a_run_can_be_repeated);
}

UNIT_MAIN("sim/handshake", fill)
