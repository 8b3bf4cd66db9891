/* SPDX-License-Identifier: MIT */
#include "ike/ike.h"

#include "tests/unit/ike_exchange_rig.h"

/* ---- time ---- */

START_TEST(an_engine_without_tunnels_sleeps)
{
	struct ike_status st;
	struct ike_action a;
	struct ike_totals t;
	struct rig r;

	rig_init(&r, 1);
	ck_assert(ike_deadline(r.end[0].ike) == USEC_NEVER);
	ike_tick(r.end[0].ike, USEC_S(1000));
	ck_assert(!ike_next(r.end[0].ike, &a));
	ck_assert(!ike_status(r.end[0].ike, RIG_T, &st));
	for (enum ike_fact_kind kind = IKE_TUNNEL_DEL; kind <= IKE_MOVED; kind++)
		if (kind != IKE_DATAGRAM)	/* of a tunnel that is not there */
			rig_tell(&r, 0, kind);
	rig_tell(&r, 0, IKE_STOP);
	rig_did(&r, 0, "");
	t = rig_totals(&r, 0);
	ck_assert(t.ike_sas == 0 && t.jobs == 0 && t.datagrams_out == 0 && t.timers == 0);
	rig_fini(&r);
	ike_free(NULL);
}
END_TEST

/* Early ticks do nothing; the deadline is when something is due, and not before. */
START_TEST(a_tick_is_in_time)
{
	struct rig r;

	rig_init(&r, 2);
	rig_set(&r, 0);
	ck_assert_uint_eq(ike_deadline(r.end[0].ike), r.now);
	rig_tick(&r, 0);
	rig_did(&r, 0, "work send");
	ck_assert_uint_eq(ike_deadline(r.end[0].ike), r.now + USEC_MS(500));
	r.now += USEC_MS(500) - 1;
	rig_tick(&r, 0);
	rig_did(&r, 0, "");
	r.now++;
	rig_tick(&r, 0);
	rig_did(&r, 0, "send");
	ck_assert_uint_eq(rig_totals(&r, 0).retransmits, 1);
	ck_assert_uint_eq(rig_totals(&r, 0).timers, 2);
	rig_fini(&r);
}
END_TEST

/* ---- determinism ---- */

/* All that two engines send in a life with rekeys of both kinds, as one number. */
static uint64_t
a_life(uint64_t seed)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	struct rig r;

	rig_init(&r, seed);
	rig_start(&r);
	for (unsigned step = 0; step < 6; step++) {
		for (bool more = true; more;) {
			more = false;
			for (unsigned e = 0; e < 2; e++) {
				const struct rig_end *d = &r.end[e];
				const struct rig_datagram *g = &d->box[d->carried % RIG_BOX];

				if (d->carried == d->sent)
					continue;
				for (size_t i = 0; i < g->len; i++)
					sum = (sum ^ g->data[i]) * UINT64_C(0x100000001b3);
				more = rig_carry(&r, e);
			}
		}
		rig_rekey(&r, step & 1, step > 2);
	}
	rig_fini(&r);
	return sum;
}

START_TEST(the_same_seed_gives_the_same_bytes)
{
	ck_assert_uint_eq(a_life(3), a_life(3));
	ck_assert_uint_ne(a_life(3), a_life(4));
}
END_TEST

/* ---- datagrams ---- */

static void
inject(struct rig *r, unsigned e, uint16_t port, struct slice data)
{
	struct rig_datagram g = { .from = rig_at(1 - e, port), .to = rig_at(e, port) };

	g.len = data.len;
	memcpy(g.data, data.p, data.len);
	rig_inject(r, e, &g);
}

/* R16: every length of nothing, with and without a marker: counted, no answer.  One byte on
 * 4500 is a keepalive, and no fault. */
START_TEST(what_is_too_short_is_dropped)
{
	static const uint8_t zero[64];
	struct rig r;

	rig_up(&r, 5);
	for (size_t len = 0; len <= 32; len++) {
		inject(&r, 1, 500, (struct slice){ zero, len });
		inject(&r, 1, 4500, (struct slice){ zero, len });
	}
	ck_assert_uint_eq(rig_totals(&r, 1).dropped, 2 * 33 - 1);
	ck_assert_uint_eq(rig_totals(&r, 1).datagrams_in, 2 + 2 * 33);
	rig_did(&r, 1, "");
	rig_fini(&r);
}
END_TEST

/* A message reaches its IKE SA by both SPIs, the direction and the marker; with one of them
 * wrong, or a byte of it, it does not. */
START_TEST(a_message_finds_its_ike_sa)
{
	struct rig_datagram ask, bent;
	uint64_t dropped;
	struct rig r;

	rig_up(&r, 6);
	rig_tell(&r, 0, IKE_ASK);
	ask = *rig_last(&r, 0);
	dropped = rig_totals(&r, 1).dropped;
	for (size_t i = 0; i < ask.len; i++) {
		if (i == 4 + 17)		/* the version: another test */
			continue;
		bent = ask;
		bent.data[i] ^= i == 4 + 19 ? IKE_F_INITIATOR : 0x40;
		rig_inject(&r, 1, &bent);
		rig_did(&r, 1, "");
		ck_assert_uint_eq(rig_totals(&r, 1).dropped, ++dropped);
	}
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "alive send");
	rig_fini(&r);
}
END_TEST

/* R28: a word in the clear is a reason to ask, now and then, where it is about this IKE SA:
 * not with another peer's SPI, nor our own message turned round. */
START_TEST(a_word_in_the_clear_may_provoke_a_question)
{
	struct rig_datagram g = { .from = rig_at(0, 4500), .to = rig_at(1, 4500) };
	struct ike_hdr h = { .exchange = X_INFORMATIONAL, .flags = IKE_F_INITIATOR };
	struct ike_sa *sa;
	struct rig r;

	rig_up(&r, 17);
	sa = rig_sa(&r, 1);
	h.spi_i = sa->peer_spi ^ (_i == 1);
	h.spi_r = sa->spi;
	if (_i == 2)
		h = (struct ike_hdr){ .spi_i = sa->spi, .spi_r = sa->peer_spi,
		    .exchange = X_INFORMATIONAL };
	msg_start(&r.mw, g.data + 4, sizeof(g.data) - 4, &h);
	msg_add_notify(&r.mw, N_INVALID_IKE_SPI, NULL, 0);
	g.len = 4 + msg_end(&r.mw);
	rig_inject(&r, 1, &g);
	rig_did(&r, 1, _i == 0 ? "send" : "");
	if (_i == 0)
		rig_said(&r, 1, "INFORMATIONAL 0 00: SK{}");
	rig_pump(&r);
	r.end[1].acts[0] = '\0';
	r.now += USEC_S(10) - 1;
	rig_inject(&r, 1, &g);
	rig_did(&r, 1, "");
	r.now++;
	rig_inject(&r, 1, &g);
	rig_did(&r, 1, _i == 0 ? "send" : "");
	ck_assert(rig_status(&r, 1)->up);
	rig_fini(&r);
}
END_TEST

/* ---- orders ---- */

/* Closed it stays down until it is opened; as a responder it answers again only then. */
START_TEST(close_and_open)
{
	struct rig r;

	rig_up(&r, 7);
	rig_tell(&r, 0, IKE_CLOSE);
	rig_pump(&r);
	ck_assert_str_eq(rig_status(&r, 0)->state, "closed");
	ck_assert_str_eq(rig_status(&r, 0)->reason, "closed by command");
	ck_assert(ike_deadline(r.end[0].ike) == USEC_NEVER);
	rig_tell(&r, 0, IKE_OPEN);
	ck_assert_uint_eq(ike_deadline(r.end[0].ike), r.now);
	rig_tick(&r, 0);
	rig_pump(&r);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* Taken out of the configuration: deleted at the peer, forgotten here at once. */
START_TEST(a_tunnel_is_taken_out)
{
	struct ike_status st;
	struct rig r;

	rig_up(&r, 8);
	rig_tell(&r, 0, IKE_TUNNEL_DEL);
	rig_did(&r, 0, "drop0 down send");
	rig_said(&r, 0, "INFORMATIONAL 2 08: SK{D(IKE)}");
	ck_assert_uint_eq(rig_last(&r, 0)->at, 4);
	ck_assert(!ike_status(r.end[0].ike, RIG_T, &st));
	rig_pump(&r);
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	ck_assert(!rig_status(&r, 1)->up);
	rig_fini(&r);
}
END_TEST

/* Stop: all is deleted at the peers, half-open ones go without a word, nothing is opened or
 * answered any more. */
START_TEST(stop_ends_all)
{
	struct rig_datagram opening;
	struct rig r;

	rig_init(&r, 9);
	rig_start(&r);
	opening = *rig_last(&r, 0);
	if (_i == 0) {
		rig_carry(&r, 0);
		r.end[1].acts[0] = '\0';
		rig_tell(&r, 1, IKE_STOP);
		rig_did(&r, 1, "");
	} else {
		rig_pump(&r);
		r.end[1].acts[0] = '\0';
		rig_tell(&r, 1, IKE_STOP);
		rig_did(&r, 1, "drop0 down send");
		ck_assert_str_eq(r.end[1].reason, "the gateway stops");
		rig_said(&r, 1, "INFORMATIONAL 0 00: SK{D(IKE)}");
		rig_pump(&r);
		r.end[1].acts[0] = '\0';
	}
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	rig_inject(&r, 1, &opening);
	rig_did(&r, 1, "");
	rig_tell(&r, 1, IKE_OPEN);
	rig_tick(&r, 1);
	rig_did(&r, 1, "");
	rig_fini(&r);
}
END_TEST

/* 2.4: after so long without a word, a question; an authenticated packet puts it off.  A peer
 * that does not answer for 31.5 s is dead. */
START_TEST(silence_is_asked_about)
{
	struct rig r;

	rig_init(&r, 10);
	r.end[0].conf.liveness = USEC_S(30);
	rig_bring_up(&r);
	rig_pass(&r, USEC_S(20), false);
	rig_tell(&r, 0, IKE_HEARD);
	rig_pass(&r, USEC_S(30) - 1, false);
	rig_did(&r, 0, "");
	rig_pass(&r, 1, false);
	rig_did(&r, 0, "send");
	rig_said(&r, 0, "INFORMATIONAL 2 08: SK{}");
	rig_pass(&r, USEC_MS(31499), false);
	ck_assert(rig_status(&r, 0)->up);
	rig_pass(&r, USEC_MS(1), false);
	ck_assert(!rig_status(&r, 0)->up);
	ck_assert_str_eq(r.end[0].reason, "the peer does not answer any more");
	rig_fini(&r);
}
END_TEST

/* Asked while a request is out already: that one is repeated, not more often than each 200 ms. */
START_TEST(a_question_hurries_what_is_out)
{
	struct rig_datagram first;
	struct rig r;

	rig_up(&r, 11);
	rig_rekey(&r, 0, false);
	first = *rig_last(&r, 0);
	r.end[0].acts[0] = '\0';
	r.now += USEC_MS(199);
	rig_tell(&r, 0, IKE_ASK);
	rig_did(&r, 0, "");
	r.now += USEC_MS(1);
	rig_tell(&r, 0, IKE_ASK);
	rig_did(&r, 0, "send");
	ck_assert_mem_eq(rig_last(&r, 0)->data, first.data, first.len);
	rig_fini(&r);
}
END_TEST

/* The outside address goes and comes back: no attempt without it, what is up is left alone. */
START_TEST(an_address_goes_and_comes)
{
	struct ike_fact f = { .kind = IKE_ADDRESS, .tunnel = RIG_T };
	struct rig r;

	rig_init(&r, 12);
	rig_start(&r);
	rig_fact(&r, 0, &f);
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
	ck_assert_str_eq(rig_status(&r, 0)->state, "no address");
	ck_assert(ike_deadline(r.end[0].ike) == USEC_NEVER);
	rig_lose(&r, 0);
	f.present = true;
	rig_fact(&r, 0, &f);
	rig_tick(&r, 0);
	rig_pump(&r);
	rig_agree(&r);
	f.present = false;
	rig_fact(&r, 0, &f);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* R27: ESP of the peer comes from elsewhere: its port may move; its address only where any
 * may be the peer's. */
START_TEST(the_peer_moves)
{
	struct ike_fact f = { .kind = IKE_MOVED, .tunnel = RIG_T };
	struct rig r;

	rig_init(&r, 13);
	if (_i == 1)
		r.end[1].conf.remote = (struct ip){ .family = AF_UNSPEC };
	rig_bring_up(&r);
	f.remote = rig_at(0, 4500);
	rig_fact(&r, 1, &f);
	rig_did(&r, 1, "");
	f.remote.port = 40001;
	rig_fact(&r, 1, &f);
	rig_did(&r, 1, "endpoint");
	ck_assert(endpoint_equal(&r.end[1].endpoint, &f.remote));
	f.remote.ip.b[3] = 99;
	rig_fact(&r, 1, &f);
	rig_did(&r, 1, _i == 0 ? "" : "endpoint");
	ck_assert_uint_eq(rig_status(&r, 1)->remote.ip.b[3], _i == 0 ? 1 : 99);
	ck_assert_uint_eq(rig_status(&r, 1)->remote.port, 40001);
	rig_fini(&r);
}
END_TEST

/* A rekey of what is not there, or begun already, is no order. */
START_TEST(a_rekey_is_ordered_once)
{
	struct rig r;

	rig_init(&r, 14);
	rig_set(&r, 1);
	rig_rekey(&r, 1, false);
	rig_rekey(&r, 1, true);
	rig_did(&r, 1, "");
	rig_bring_up(&r);
	rig_rekey(&r, 0, _i == 1);
	rig_rekey(&r, 0, _i == 1);
	rig_did(&r, 0, "work send");
	rig_pump(&r);
	rig_agree(&r);
	ck_assert_uint_eq(rig_status(&r, 0)->child_rekeys, _i == 0);
	ck_assert_uint_eq(rig_status(&r, 0)->ike_rekeys, _i == 1);
	rig_fini(&r);
}
END_TEST

/* ... and when it is refused it is not begun again at once, because it was ordered twice. */
START_TEST(a_refused_rekey_is_not_ordered_again)
{
	struct rig r;

	rig_up(&r, 18);
	rig_rekey(&r, 0, true);
	rig_rekey(&r, 0, true);
	r.end[0].acts[0] = '\0';
	rig_post_notify(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, 2, N_NO_PROPOSAL_CHOSEN);
	rig_did(&r, 0, "alive");
	rig_fini(&r);
}
END_TEST

/* ---- work and memory ---- */

/* A computation comes back when whoever asked for it is gone: freed, and nothing else. */
START_TEST(work_comes_back_too_late)
{
	struct rig r;

	rig_init(&r, 15);
	r.end[0].late = true;
	rig_start(&r);
	ck_assert_uint_eq(rig_totals(&r, 0).jobs, 1);
	rig_tell(&r, 0, _i == 0 ? IKE_CLOSE : IKE_TUNNEL_DEL);
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
	ck_assert_uint_eq(rig_totals(&r, 0).jobs, 1);
	r.end[0].acts[0] = '\0';
	rig_work(&r, 0);
	rig_did(&r, 0, "");
	ck_assert_uint_eq(rig_totals(&r, 0).jobs, 0);
	rig_fini(&r);
}
END_TEST

/* Freed in any state, with actions that nobody took and work that never came back: what is
 * left in secret memory is asserted by rig_fini(). */
START_TEST(an_engine_is_freed_at_any_time)
{
	for (unsigned stop = 0; stop < 12; stop++) {
		struct rig r;

		rig_init(&r, stop);
		rig_start(&r);
		for (unsigned i = 0; i < stop; i++) {
			if (i == 4)
				rig_rekey(&r, 0, false);
			if (i == 8)
				rig_rekey(&r, 1, true);
			rig_carry(&r, i & 1);
		}
		r.end[0].late = r.end[1].late = true;
		rig_rekey(&r, 0, stop & 1);
		/* One more datagram, whose actions are left in the queue. */
		for (unsigned e = 0; e < 2; e++) {
			struct rig_end *d = &r.end[e];
			struct rig_datagram *g = &d->box[d->carried % RIG_BOX];

			if (d->carried < d->sent)
				ike_input(r.end[1 - e].ike, r.now, &(struct ike_fact){
					.kind = IKE_DATAGRAM, .local = g->to, .remote = g->from,
					.data = g->data, .len = g->len });
		}
		rig_fini(&r);
	}
}
END_TEST

/* What status shows of a tunnel that is up is what both ends have agreed. */
START_TEST(status_shows_what_is)
{
	const struct ike_status *a, *b;
	struct rig r;

	rig_init(&r, 16);
	r.end[0].conf.ike_life = USEC_S(1000);
	r.end[0].conf.child_life = USEC_S(100);
	rig_set(&r, 1);
	ck_assert_str_eq(rig_status(&r, 1)->state, "waiting");
	rig_bring_up(&r);
	a = rig_status(&r, 0);
	b = rig_status(&r, 1);
	ck_assert_str_eq(a->state, "up");
	ck_assert(a->initiator && !b->initiator && a->peer_is_tandem && b->peer_is_tandem);
	ck_assert(!a->nat_local && !a->nat_remote);
	ck_assert(a->spi_i == b->spi_i && a->spi_r == b->spi_r && a->spi_i != a->spi_r);
	ck_assert(a->child_spi_in == b->child_spi_out && a->child_spi_out == b->child_spi_in);
	ck_assert(endpoint_equal(&a->local, &b->remote) && endpoint_equal(&a->remote, &b->local));
	ck_assert(ike_suite_equal(&a->ike, &b->ike) && a->esp.esn && a->esp.group == KE_NONE);
	ck_assert(id_equal(&a->peer_id, &r.end[1].conf.local_id));
	ck_assert_uint_eq(a->ike_since, USEC_S(1));
	ck_assert_uint_ge(a->ike_rekey_at, USEC_S(1 + 750));
	ck_assert_uint_lt(a->ike_rekey_at, USEC_S(1 + 830));
	ck_assert_uint_ge(a->child_rekey_at, USEC_S(1 + 75));
	ck_assert_uint_lt(a->child_rekey_at, USEC_S(1 + 83));
	ck_assert(b->ike_rekey_at == 0 && b->child_rekey_at == 0);
	ck_assert_str_eq(a->reason, "");
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, an_engine_without_tunnels_sleeps);
	tcase_add_test(tc, a_tick_is_in_time);
	tcase_add_test(tc, the_same_seed_gives_the_same_bytes);
	tcase_add_test(tc, what_is_too_short_is_dropped);
	tcase_add_test(tc, a_message_finds_its_ike_sa);
	tcase_add_loop_test(tc, a_word_in_the_clear_may_provoke_a_question, 0, 3);
	tcase_add_test(tc, close_and_open);
	tcase_add_test(tc, a_tunnel_is_taken_out);
	tcase_add_loop_test(tc, stop_ends_all, 0, 2);
	tcase_add_test(tc, silence_is_asked_about);
	tcase_add_test(tc, a_question_hurries_what_is_out);
	tcase_add_test(tc, an_address_goes_and_comes);
	tcase_add_loop_test(tc, the_peer_moves, 0, 2);
	tcase_add_loop_test(tc, a_rekey_is_ordered_once, 0, 2);
	tcase_add_test(tc, a_refused_rekey_is_not_ordered_again);
	tcase_add_loop_test(tc, work_comes_back_too_late, 0, 2);
	tcase_add_test(tc, an_engine_is_freed_at_any_time);
	tcase_add_test(tc, status_shows_what_is);
}

UNIT_MAIN("ike/ike", fill)
