/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <string.h>

#include "tests/unit/unit.h"

static void
begin(struct world *w, uint64_t seed, unsigned start)
{
	world_init(w, seed, 2);
	world_pair(w, 1, start);
	ck_assert(world_run_until_agreed(w, 1, USEC_S(10)));
	world_run(w, USEC_S(5));
}

static void
check_empty(const struct world *w)
{
	for (unsigned g = 0; g < 2; g++) {
		struct ike_totals t = gate_totals(&w->gate[g]);

		ck_assert_uint_eq(t.ike_sas, 0);
		ck_assert_uint_eq(t.child_sas, 0);
		ck_assert_uint_eq(t.jobs, 0);
		ck_assert_uint_eq(w->gate[g].out[1], 0);
		ck_assert_uint_eq(w->gate[g].ups, w->gate[g].downs);
	}
}

/* Closed, it is gone at both ends and stays so until it is opened again. */
START_TEST(closed_is_closed)
{
	struct world w;

	begin(&w, 1, 1);
	world_tell(&w, 0, IKE_CLOSE, 1);
	ck_assert_uint_eq(w.gate[0].downs, 1);
	world_run(&w, USEC_S(1));
	check_empty(&w);
	ck_assert_ptr_nonnull(strstr(w.gate[1].reason, "peer"));
	world_run(&w, USEC_S(300));
	check_empty(&w);
	/* The end that only waits may not open it either; the one that closed it may. */
	world_tell(&w, 1, IKE_OPEN, 1);
	world_run(&w, USEC_S(40));
	ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 0);
	ck_assert_uint_eq(w.gate[1].ups, 1);
	world_tell(&w, 0, IKE_OPEN, 1);
	world_run(&w, USEC_S(5));
	ck_assert(world_agree(&w, 1));
	world_fini(&w);
}
END_TEST

/* Closed at any moment of a rekey, by either end: nothing is left at either. */
START_TEST(closed_in_the_middle_of_a_rekey)
{
	for (unsigned k = 0; k < 200; k++) {
		struct world w;

		begin(&w, k, 1);
		w.work_max = USEC_MS(10);
		world_fact(&w, k & 1, &(struct ike_fact){
		    .kind = IKE_REKEY, .tunnel = 1, .ike_sa = (k & 4) != 0 });
		if ((k & 8) != 0)
			world_fact(&w, !(k & 1), &(struct ike_fact){
			    .kind = IKE_REKEY, .tunnel = 1, .ike_sa = (k & 16) != 0 });
		world_run(&w, USEC_MS(k / 2));
		if ((k & 2) != 0)
			world_tell(&w, 1, IKE_CLOSE, 1);
		world_tell(&w, 0, IKE_CLOSE, 1);
		world_run(&w, USEC_S(12));
		check_empty(&w);
		world_fini(&w);
	}
}
END_TEST

/* And while it comes up. */
START_TEST(closed_while_it_comes_up)
{
	for (unsigned k = 0; k < 100; k++) {
		struct world w;

		world_init(&w, k, 2);
		w.work_max = USEC_MS(5);
		world_pair(&w, 1, 1 + k % 3);
		world_run(&w, USEC_MS(k));
		world_tell(&w, k & 1, IKE_CLOSE, 1);
		world_tell(&w, !(k & 1), IKE_CLOSE, 1);
		world_run(&w, USEC_S(40));
		check_empty(&w);
		ck_assert_uint_eq(gate_totals(&w.gate[0]).half_open, 0);
		world_fini(&w);
	}
}
END_TEST

/* The end that waits closes: the other opens again, and is let in.  That is soon, however
 * long it had to try before it was up. */
START_TEST(closed_by_the_one_that_waits)
{
	struct world w;

	world_init(&w, 2, 2);
	world_weather(&w, &(struct weather){ .loss = UINT64_MAX, .rotate = true });
	world_pair(&w, 1, 1);
	world_run(&w, USEC_S(400));
	world_weather(&w, &(struct weather){ .loss = 0 });
	world_run(&w, USEC_S(100));
	ck_assert(world_agree(&w, 1));
	world_tell(&w, 1, IKE_CLOSE, 1);
	world_run(&w, USEC_MS(500));
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_eq(w.gate[0].ups, 2);
	world_fini(&w);
}
END_TEST

START_TEST(stop_tells_the_peers)
{
	struct world w;

	begin(&w, 3, 1);
	world_pair(&w, 2, 1);
	world_run(&w, USEC_S(3));
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_STOP });
	world_run(&w, USEC_MS(100));
	check_empty(&w);
	ck_assert_uint_eq(w.gate[1].downs, 2);
	world_run(&w, USEC_S(100));
	check_empty(&w);
	world_fini(&w);
}
END_TEST

START_TEST(a_removed_tunnel_is_deleted_at_the_peer)
{
	struct world w;
	struct ike_status st;

	begin(&w, 4, 1);
	world_tell(&w, 0, IKE_TUNNEL_DEL, 1);
	ck_assert(!ike_status(w.gate[0].ike, 1, &st));
	ck_assert_uint_eq(w.gate[0].downs, 1);
	world_run(&w, USEC_S(1));
	check_empty(&w);
	world_fini(&w);
}
END_TEST

/* A peer that falls silent is asked, and dead half a minute later; then opened anew. */
START_TEST(a_silent_peer_is_dead)
{
	struct world w;

	begin(&w, 5, 1);
	world_weather(&w, &(struct weather){ .loss = UINT64_MAX, .rotate = true });
	world_run(&w, USEC_S(30) + USEC_S(31) - USEC_S(5));
	ck_assert_uint_eq(w.gate[0].downs, 0);
	world_run(&w, USEC_S(6));
	ck_assert_uint_eq(w.gate[0].downs, 1);
	ck_assert_uint_eq(w.gate[1].downs, 1);
	ck_assert_ptr_nonnull(strstr(w.gate[0].reason, "does not answer"));
	ck_assert_uint_eq(gate_totals(&w.gate[1]).ike_sas, 0);
	ck_assert_uint_eq(gate_totals(&w.gate[0]).unanswered, 1);
	ck_assert_uint_eq(gate_totals(&w.gate[0]).openings_failed, 0);
	world_weather(&w, &(struct weather){ .loss = 0 });
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
	world_fini(&w);
}
END_TEST

/* ESP of the peer is as good as an answer: no question is asked. */
START_TEST(esp_proves_life)
{
	struct world w;
	uint64_t sent;

	begin(&w, 6, 1);
	sent = w.gate[0].sent;
	for (unsigned i = 0; i < 30; i++) {
		world_run(&w, USEC_S(10));
		world_tell(&w, 0, IKE_HEARD, 1);
		world_tell(&w, 1, IKE_HEARD, 1);
	}
	ck_assert_uint_eq(w.gate[0].sent, sent);
	world_run(&w, USEC_S(31));
	ck_assert_uint_gt(w.gate[0].sent + w.gate[1].sent, sent);
	ck_assert(world_agree(&w, 1));
	world_fini(&w);
}
END_TEST

/* IKE_ASK asks now, and again at once when a question is out already. */
START_TEST(a_question_now)
{
	struct world w;
	unsigned alive;
	uint64_t sent;

	begin(&w, 7, 1);
	alive = w.gate[0].alive;
	world_tell(&w, 0, IKE_ASK, 1);
	world_run(&w, USEC_MS(25));
	ck_assert_uint_eq(w.gate[0].alive, alive + 1);
	world_weather(&w, &(struct weather){ .loss = UINT64_MAX });
	world_tell(&w, 0, IKE_ASK, 1);
	world_run(&w, USEC_S(4));
	sent = w.gate[0].sent;
	world_tell(&w, 0, IKE_ASK, 1);
	world_tell(&w, 0, IKE_ASK, 1);
	ck_assert_uint_eq(w.gate[0].sent, sent + 1);
	world_fini(&w);
}
END_TEST

/* The peer has crashed and opens anew: its old SA is a ghost and goes without a gap. */
START_TEST(a_peer_that_started_anew)
{
	struct world w;

	begin(&w, 8, 2);
	world_crash(&w, 1);
	world_pair(&w, 1, 2);		/* the other end: nothing changes */
	world_run(&w, USEC_S(2));
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_eq(w.gate[0].downs, 0);
	ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 1);
	ck_assert_uint_eq(gate_totals(&w.gate[0]).child_sas, 1);
	world_fini(&w);
}
END_TEST

/* The peer has crashed and only answers: it does not know our IKE SA, and says so when we ask.
 * Another one is there in a second, beside ours, which then goes. */
START_TEST(a_peer_that_forgot_us)
{
	struct world w;

	begin(&w, 9, 1);
	world_crash(&w, 1);
	world_pair(&w, 1, 1);
	world_tell(&w, 0, IKE_ASK, 1);
	world_run(&w, USEC_S(1));
	ck_assert(w.gate[1].up[1]);
	ck_assert_uint_eq(w.gate[0].downs, 0);
	world_run(&w, USEC_S(15));
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 1);
	ck_assert_uint_eq(gate_totals(&w.gate[0]).child_sas, 1);
	world_fini(&w);
}
END_TEST

/* A reload touches only what changed. */
START_TEST(a_reload_keeps_what_did_not_change)
{
	struct ike_tunnel c;
	struct world w;
	uint64_t spi;

	begin(&w, 9, 1);
	spi = gate_status(&w.gate[0], 1)->spi_i;
	c = world_conf(&w, 0, 1, 1);
	c.liveness = USEC_S(10);
	c.ike[0].enc = AEAD_CHACHA20_POLY1305;
	world_set(&w, 0, &c);
	world_run(&w, USEC_S(5));
	ck_assert(world_agree(&w, 1));
	ck_assert(gate_status(&w.gate[0], 1)->spi_i == spi);
	ck_assert_uint_eq(w.gate[0].downs, 0);
	/* The secret does matter. */
	c = world_conf(&w, 0, 1, 1);
	c.psk = (const uint8_t *)"a newer secret!!";
	world_set(&w, 0, &c);
	ck_assert_uint_eq(w.gate[0].downs, 1);
	c = world_conf(&w, 1, 1, 0);
	c.start = false;
	c.psk = (const uint8_t *)"a newer secret!!";
	world_set(&w, 1, &c);
	world_run(&w, USEC_S(5));
	ck_assert(world_agree(&w, 1));
	ck_assert(gate_status(&w.gate[0], 1)->spi_i != spi);
	ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 1);
	world_fini(&w);
}
END_TEST

/* An address that is not there is waited for, without a datagram. */
START_TEST(an_address_is_waited_for)
{
	struct world w;
	struct ike_tunnel c;

	world_init(&w, 10, 2);
	c = world_conf(&w, 0, 1, 1);
	c.start = false;
	world_set(&w, 0, &c);
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_ADDRESS, .tunnel = 1 });
	c.start = true;
	world_set(&w, 0, &c);
	world_run(&w, USEC_S(100));
	ck_assert_uint_eq(w.gate[0].sent, 0);
	ck_assert_str_eq(gate_status(&w.gate[0], 1)->state, "no address");
	c = world_conf(&w, 1, 1, 0);
	c.start = false;
	world_set(&w, 1, &c);
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_ADDRESS, .tunnel = 1, .present = true });
	world_run(&w, USEC_S(1));
	ck_assert(world_agree(&w, 1));
	world_fini(&w);
}
END_TEST

/* Nobody there: tries without end, with pauses that grow to the cap and differ by seed. */
START_TEST(tries_never_end)
{
	struct world w;
	uint64_t hour;

	world_init(&w, 11, 2);
	world_pair(&w, 1, 1);
	world_weather(&w, &(struct weather){ .loss = UINT64_MAX, .rotate = true });
	world_run(&w, USEC_S(3600));
	hour = w.gate[0].sent;
	ck_assert_uint_gt(hour, 3600 / 100 * 9);
	ck_assert_uint_lt(hour, 3600 / 60 * 10);
	world_run(&w, USEC_S(3600 * 20));
	ck_assert_uint_gt(w.gate[0].sent, 15 * hour);
	ck_assert_uint_gt(gate_status(&w.gate[0], 1)->attempts, 700);
	ck_assert_ptr_nonnull(strstr(gate_status(&w.gate[0], 1)->reason, "IKE_SA_INIT"));
	world_weather(&w, &(struct weather){ .loss = 0 });
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(80)));
	world_fini(&w);
}
END_TEST

/* The word about a dead tunnel arrives, also when it is lost at first. */
START_TEST(the_peer_is_told)
{
	struct world w;

	begin(&w, 12, 1);
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_TELL, .tunnel = 1, .index = 2 });
	world_run(&w, USEC_MS(15));
	ck_assert_uint_eq(w.gate[1].told_n, 1);
	ck_assert_uint_eq(w.gate[1].told, 2);
	world_run(&w, USEC_S(1));
	world_weather(&w, &(struct weather){ .loss = 3 });
	world_fact(&w, 1, &(struct ike_fact){ .kind = IKE_TELL, .tunnel = 1, .index = 1 });
	world_fact(&w, 1, &(struct ike_fact){ .kind = IKE_TELL, .tunnel = 1, .index = 0 });
	world_run(&w, USEC_S(5));
	ck_assert_uint_eq(w.gate[0].told_n, 2);
	ck_assert_uint_eq(w.gate[0].told, 0);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, closed_is_closed);
	tcase_add_test(tc, closed_in_the_middle_of_a_rekey);
	tcase_add_test(tc, closed_while_it_comes_up);
	tcase_add_test(tc, closed_by_the_one_that_waits);
	tcase_add_test(tc, stop_tells_the_peers);
	tcase_add_test(tc, a_removed_tunnel_is_deleted_at_the_peer);
	tcase_add_test(tc, a_silent_peer_is_dead);
	tcase_add_test(tc, esp_proves_life);
	tcase_add_test(tc, a_question_now);
	tcase_add_test(tc, a_peer_that_started_anew);
	tcase_add_test(tc, a_peer_that_forgot_us);
	tcase_add_test(tc, a_reload_keeps_what_did_not_change);
	tcase_add_test(tc, an_address_is_waited_for);
	tcase_add_test(tc, tries_never_end);
	tcase_add_test(tc, the_peer_is_told);
}

UNIT_MAIN("sim/life", fill)
