/* SPDX-License-Identifier: MIT */
#include "ike/send.h"

#include "tests/unit/ike_rig.h"

static struct rig_letter letter;

/* Header: SPIs by the role in the IKE SA, not in the exchange; message ID by direction. */
START_TEST(the_header_of_a_message)
{
	for (unsigned i = 0; i < 4; i++) {
		bool initiator = (i & 1) != 0, response = (i & 2) != 0;
		struct ike_sa *sa;
		struct ike_hdr *h = &letter.m.h;
		struct msg_wr mw;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, SA_UP, initiator);
		sa->x.out_id = 41;
		sa->x.in_id = 57;
		xchg_begin(&sa->x);
		send_start(sa, &mw, X_CREATE_CHILD_SA, response);
		msg_add_notify(&mw, N_INITIAL_CONTACT, "abc", 3);
		ck_assert(response ? send_reply(sa, &mw) : send_request(sa, &mw, XCHG_UP));
		rig_read(&r, sa, &letter);
		ck_assert_uint_eq(h->spi_i, initiator ? sa->spi : sa->peer_spi);
		ck_assert_uint_eq(h->spi_r, initiator ? sa->peer_spi : sa->spi);
		ck_assert_uint_eq(h->exchange, X_CREATE_CHILD_SA);
		ck_assert_uint_eq(h->flags, (initiator ? IKE_F_INITIATOR : 0) |
		    (response ? IKE_F_RESPONSE : 0));
		ck_assert_uint_eq(h->id, response ? 57 : 41);
		ck_assert(letter.m.present == P_N && letter.m.notify[0].data.len == 3);
		rig_fini(&r);
	}
}
END_TEST

/* A request goes to the peer's endpoint, is kept, and is asked again as its pace says. */
START_TEST(a_request_is_kept_until_answered)
{
	static const usec_t ends[] = {
		[XCHG_OPEN] = USEC_S(30), [XCHG_UP] = USEC_MS(31500), [XCHG_CLOSE] = USEC_MS(5500),
	};

	for (unsigned pace = 0; pace < 3; pace++) {
		struct ike_sa *sa;
		struct msg_wr mw;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		sa->ask_remote.port = 1;		/* of answers only */
		send_start(sa, &mw, X_INFORMATIONAL, false);
		ck_assert(send_request(sa, &mw, pace));
		rig_read(&r, sa, &letter);
		ck_assert(endpoint_equal(&letter.local, &sa->local));
		ck_assert(endpoint_equal(&letter.remote, &sa->remote));
		ck_assert_uint_eq(sa->x.out->len, letter.len - 4);
		ck_assert_mem_eq(sa->x.out->data, letter.data + 4, letter.len - 4);
		ck_assert_uint_eq(sa->x.at, RIG_NOW + USEC_MS(500));
		ck_assert_uint_eq(sa->x.end, RIG_NOW + ends[pace]);
		ck_assert_uint_eq(r.ike->totals.datagrams_out, 1);
		rig_fini(&r);
	}
}
END_TEST

/* The same bytes, not sealed anew; to where the peer is by now; counted. */
START_TEST(a_request_once_more)
{
	struct rig_letter first;
	struct ike_sa *sa;
	struct msg_wr mw;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	send_start(sa, &mw, X_INFORMATIONAL, false);
	ck_assert(send_request(sa, &mw, XCHG_UP));
	rig_read(&r, sa, &first);
	sa->remote.port = 5555;
	send_again(sa);
	rig_read(&r, sa, &letter);
	ck_assert_uint_eq(letter.len, first.len);
	ck_assert_mem_eq(letter.data, first.data, first.len);
	ck_assert_uint_eq(letter.remote.port, 5555);
	ck_assert_uint_eq(r.ike->totals.retransmits, 1);
	ck_assert_uint_eq(r.ike->totals.datagrams_out, 2);
	ck_assert_uint_eq(sa->iv, 1);
	rig_fini(&r);
}
END_TEST

/* An answer goes to where its request came from, a repetition to where that came from. */
START_TEST(an_answer_goes_where_it_was_asked)
{
	struct endpoint there = { rig_ip(77), 7777 }, other = { rig_ip(78), 7878 };
	struct rig_letter first;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	sa->x.in_id = 3;
	sa->ask_remote = there;
	xchg_begin(&sa->x);
	ck_assert(send_reply_notify(sa, X_INFORMATIONAL, N_TEMPORARY_FAILURE));
	rig_read(&r, sa, &first);
	ck_assert(endpoint_equal(&first.remote, &there));
	ck_assert(endpoint_equal(&first.local, &sa->ask_local));
	ck_assert_uint_eq(sa->x.in_id, 4);
	ck_assert(!sa->x.busy && sa->x.reply != NULL && sa->x.out == NULL);
	r.ike->remote = other;
	send_reply_again(sa);
	rig_read(&r, sa, &letter);
	ck_assert(endpoint_equal(&letter.remote, &other));
	ck_assert_uint_eq(letter.len, first.len);
	ck_assert_mem_eq(letter.data, first.data, first.len);
	ck_assert_uint_eq(r.ike->totals.retransmits, 0);
	rig_fini(&r);
}
END_TEST

START_TEST(answers_of_one_notify)
{
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	xchg_begin(&sa->x);
	ck_assert(send_reply_notify(sa, X_CREATE_CHILD_SA, N_NO_PROPOSAL_CHOSEN));
	rig_read(&r, sa, &letter);
	ck_assert_uint_eq(letter.m.notify_n, 1);
	ck_assert_uint_eq(letter.m.notify[0].type, N_NO_PROPOSAL_CHOSEN);
	ck_assert_uint_eq(letter.m.notify[0].data.len, 0);
	xchg_begin(&sa->x);
	ck_assert(send_reply_data(sa, X_CREATE_CHILD_SA, N_INVALID_KE_PAYLOAD,
	    (struct slice){ (const uint8_t *)"\0\23", 2 }));
	rig_read(&r, sa, &letter);
	ck_assert_uint_eq(letter.m.n, 1);
	ck_assert_uint_eq(letter.m.notify[0].type, N_INVALID_KE_PAYLOAD);
	ck_assert_uint_eq(letter.m.notify[0].data.len, 2);
	ck_assert_mem_eq(letter.m.notify[0].data.p, "\0\23", 2);
	rig_fini(&r);
}
END_TEST

/* R23: requests and answers draw from one counter, and a used-up one ends the IKE SA. */
START_TEST(no_iv_twice)
{
	uint64_t before = 0;
	struct ike_sa *sa;
	struct msg_wr mw;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	for (unsigned i = 0; i < 6; i++) {
		struct rd rd;
		uint64_t iv;

		if (i % 2 == 0) {
			send_start(sa, &mw, X_INFORMATIONAL, false);
			ck_assert(send_request(sa, &mw, XCHG_UP));
			xchg_answered(&sa->x);
		} else {
			xchg_begin(&sa->x);
			ck_assert(send_reply_notify(sa, X_INFORMATIONAL, N_INVALID_SYNTAX));
		}
		rig_read(&r, sa, &letter);
		rd = rd_init(letter.data + 4 + IKE_HDR_LEN + 4, 8);
		iv = rd_u64(&rd);
		ck_assert(i == 0 || iv == before + 1);
		before = iv;
	}
	sa->iv = UINT64_MAX;
	xchg_begin(&sa->x);
	ck_assert(!send_reply_notify(sa, X_INFORMATIONAL, N_INVALID_SYNTAX));
	ck_assert_int_eq(sa->state, SA_GONE);
	ck_assert(rig_said(&r, "ike-dead") && rig_said(&r, "could not be built"));
	ck_assert_uint_eq(rig_drain(&r), 0);
	ike_sa_settle(r.ike);
	rig_fini(&r);
}
END_TEST

/* What does not fit is not sent, neither as request nor as answer; nothing is kept of it. */
START_TEST(what_does_not_fit_ends_the_ike_sa)
{
	static const uint8_t much[40000];

	for (unsigned response = 0; response < 2; response++) {
		struct ike_sa *sa;
		struct msg_wr mw;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		xchg_begin(&sa->x);
		send_start(sa, &mw, X_INFORMATIONAL, response != 0);
		msg_add_bytes(&mw, PLD_V, (struct slice){ much, sizeof(much) });
		msg_add_bytes(&mw, PLD_V, (struct slice){ much, sizeof(much) });
		ck_assert(response != 0 ? !send_reply(sa, &mw) : !send_request(sa, &mw, XCHG_UP));
		ck_assert_int_eq(sa->state, SA_GONE);
		ck_assert(sa->x.out == NULL && sa->x.reply == NULL);
		ck_assert_uint_eq(r.ike->totals.datagrams_out, 0);
		ck_assert_uint_eq(rig_drain(&r), 0);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

/* RFC 3948 2.2: the marker on our NAT traversal ports, whatever the peer's port is. */
START_TEST(the_marker_goes_by_our_port)
{
	static const uint16_t ports[] = { 499, 500, 4499, 4500, 4501 };
	struct endpoint local = { .ip = rig_ip(1) }, remote = { rig_ip(2), 4500 };
	struct ike_action a;
	struct rig r;

	rig_init(&r);
	for (size_t i = 0; i < 5; i++) {
		bool natt = ports[i] == 4500;

		local.port = ports[i];
		remote.port = natt ? 500 : 4500;
		ck_assert_int_eq(send_is_natt_port(r.ike, local.port), natt);
		send_bytes(r.ike, &local, &remote, (struct slice){ (const uint8_t *)"xyz", 3 });
		a = rig_expect(&r, IKE_SEND);
		ck_assert(endpoint_equal(&a.local, &local) && endpoint_equal(&a.remote, &remote));
		ck_assert_uint_eq(a.len, natt ? 7 : 3);
		ck_assert_mem_eq(a.data, natt ? "\0\0\0\0xyz" : "xyz", a.len);
	}
	rig_fini(&r);
}
END_TEST

/* Ports are learned from tunnels and never forgotten; the table holds 16. */
START_TEST(ports_are_learned)
{
	struct ike_tunnel conf;
	struct rig r;

	rig_init(&r);
	conf = r.conf;
	for (unsigned i = 1; i <= 16; i++) {
		conf.id = 100 + i;
		conf.local_natt_port = (uint16_t)(6000 + i);
		tunnel_set(r.ike, &conf);
		ck_assert_int_eq(send_is_natt_port(r.ike, conf.local_natt_port), i < 16);
		ck_assert_int_eq(rig_said(&r, "too many different NAT traversal ports"), i == 16);
	}
	for (unsigned i = 1; i <= 16; i++)
		tunnel_del(tunnel_find(r.ike, 100 + i));
	for (unsigned i = 1; i < 16; i++)
		ck_assert(send_is_natt_port(r.ike, (uint16_t)(6000 + i)));
	ck_assert(send_is_natt_port(r.ike, 4500));
	rig_fini(&r);
}
END_TEST

/* RFC 3948 2.3: one byte without a marker, also on port 4500. */
START_TEST(a_keepalive_is_one_byte)
{
	struct ike_action a;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	send_keepalive(sa);
	a = rig_expect(&r, IKE_SEND);
	ck_assert(a.len == 1 && a.data[0] == 0xff);
	ck_assert(endpoint_equal(&a.local, &sa->local) && endpoint_equal(&a.remote, &sa->remote));
	ck_assert_uint_eq(r.ike->totals.datagrams_out, 1);
	ck_assert(sa->x.out == NULL && sa->iv == 0);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, the_header_of_a_message);
	tcase_add_test(tc, a_request_is_kept_until_answered);
	tcase_add_test(tc, a_request_once_more);
	tcase_add_test(tc, an_answer_goes_where_it_was_asked);
	tcase_add_test(tc, answers_of_one_notify);
	tcase_add_test(tc, no_iv_twice);
	tcase_add_test(tc, what_does_not_fit_ends_the_ike_sa);
	tcase_add_test(tc, the_marker_goes_by_our_port);
	tcase_add_test(tc, ports_are_learned);
	tcase_add_test(tc, a_keepalive_is_one_byte);
}

UNIT_MAIN("ike/send", fill)
