/* SPDX-License-Identifier: MIT */
#include "ike/inform.h"

#include "tests/unit/ike_exchange_rig.h"

static void
check_deletes(struct rig *r, unsigned e, const uint32_t *spis, unsigned n)
{
	uint8_t plain[RIG_DATAGRAM];
	struct pld_delete d;
	struct rd body;
	struct msg m;

	rig_read(r, e, plain, &m);
	ck_assert(msg_find(&m, PLD_D, &body) && pld_delete_parse(body, &d));
	ck_assert_uint_eq(d.proto, PROTO_ESP);
	ck_assert_uint_eq(d.n, n);
	for (unsigned i = 0; i < n; i++)
		ck_assert_uint_eq(pld_delete_spi(&d, i), spis[i]);
}

/* A Delete of end 0 that its engine knows nothing of. */
static void
post_delete(struct rig *r, const uint32_t *spis, uint16_t n)
{
	rig_write(r, rig_sa(r, 0), X_INFORMATIONAL, false, 2);
	pld_delete_write(msg_add(&r->mw, PLD_D), PROTO_ESP, spis, n);
	rig_post(r);
}

/* 1.4, 2.4: an empty message asks, an empty one answers; both prove that the peer lives. */
START_TEST(a_question_and_its_answer)
{
	static const char *const text[2][2] = {
		{ "INFORMATIONAL 2 08: SK{}", "INFORMATIONAL 2 20: SK{}" },
		{ "INFORMATIONAL 0 00: SK{}", "INFORMATIONAL 0 28: SK{}" },
	};
	struct rig_datagram ask, answer;
	unsigned a = (unsigned)_i, b = 1 - a;
	struct rig r;

	rig_up(&r, 1);
	rig_tell(&r, a, IKE_ASK);
	rig_did(&r, a, "send");
	rig_said(&r, a, text[a][0]);
	ask = *rig_last(&r, a);
	rig_carry(&r, a);
	rig_did(&r, b, "alive send");
	rig_said(&r, b, text[a][1]);
	answer = *rig_last(&r, b);
	rig_inject(&r, b, &ask);		/* 2.1: the stored bytes, and no proof of life */
	rig_did(&r, b, "send");
	ck_assert_mem_eq(rig_last(&r, b)->data, answer.data, answer.len);
	rig_carry(&r, b);
	rig_did(&r, a, "alive");
	ck_assert_int_eq(rig_sa(&r, a)->req.kind, REQ_NONE);
	rig_inject(&r, a, &answer);		/* 2.2: of an exchange that is over */
	rig_did(&r, a, "");
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* Which tunnel is dead is said to another Tandem only, and taken from one only. */
START_TEST(a_word_about_a_dead_tunnel)
{
	struct ike_fact f = { .kind = IKE_TELL, .tunnel = RIG_T, .index = 2 };
	struct rig r;

	rig_up(&r, 2);
	rig_fact(&r, 0, &f);
	rig_did(&r, 0, "send");
	rig_said(&r, 0, "INFORMATIONAL 2 08: SK{N(41774:02)}");
	if (_i == 1)
		rig_sa(&r, 1)->peer_is_tandem = false;
	rig_carry(&r, 0);
	rig_did(&r, 1, _i == 0 ? "alive told2 send" : "alive send");
	rig_said(&r, 1, "INFORMATIONAL 2 20: SK{}");
	rig_carry(&r, 1);
	rig_did(&r, 0, "alive");
	rig_fact(&r, 1, &f);
	rig_did(&r, 1, _i == 0 ? "send" : "");
	rig_fini(&r);
}
END_TEST

/* Two bytes, or none, are no word of ours: ignored, and answered. */
START_TEST(a_word_of_a_wrong_length)
{
	static const uint8_t data[2] = { 1, 1 };
	struct rig r;

	rig_up(&r, 3);
	rig_write(&r, rig_sa(&r, 0), X_INFORMATIONAL, false, 2);
	msg_add_notify(&r.mw, N_TANDEM_DEAD, data, _i == 0 ? 0 : 2);
	rig_post(&r);
	rig_did(&r, 1, "alive send");
	rig_fini(&r);
}
END_TEST

/* 1.4.1: who deletes names its own inbound SPI, who answers the other of the pair; the
 * receiver answers before it lets go, the sender keeps it until then. */
START_TEST(a_child_is_deleted)
{
	struct rig r;

	rig_up(&r, 4);
	child_state(child_find(r.end[0].ike, r.end[0].child[0]->spi_in), CHILD_DELETING);
	ike_sa_step(rig_sa(&r, 0));
	rig_drain(&r, 0);
	rig_did(&r, 0, "send");
	rig_said(&r, 0, "INFORMATIONAL 2 08: SK{D(ESP:1)}");
	check_deletes(&r, 0, &r.end[0].child[0]->spi_in, 1);
	rig_carry(&r, 0);
	rig_did(&r, 1, "alive send drop0 down");
	rig_said(&r, 1, "INFORMATIONAL 2 20: SK{D(ESP:1)}");
	check_deletes(&r, 1, &r.end[1].child[0]->spi_in, 1);
	ck_assert_str_eq(r.end[1].reason, "the peer deleted the Child SA");
	rig_carry(&r, 1);
	rig_did(&r, 0, "alive drop0 down");
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 1);
	rig_fini(&r);
}
END_TEST

/* 1.4.1: both delete the same pair at once: each answer is empty. */
START_TEST(a_child_is_deleted_by_both)
{
	struct rig r;

	rig_up(&r, 5);
	for (unsigned e = 0; e < 2; e++) {
		child_state(child_find(r.end[e].ike, r.end[e].child[0]->spi_in), CHILD_DELETING);
		ike_sa_step(rig_sa(&r, e));
		rig_drain(&r, e);
		rig_did(&r, e, "send");
	}
	rig_carry(&r, 0);
	rig_carry(&r, 1);
	rig_said(&r, 1, "INFORMATIONAL 2 20: SK{}");
	rig_said(&r, 0, "INFORMATIONAL 0 28: SK{}");
	for (unsigned e = 0; e < 2; e++)
		rig_did(&r, e, "alive send drop0 down");
	rig_pump(&r);
	for (unsigned e = 0; e < 2; e++)
		ck_assert_uint_eq(rig_totals(&r, e).child_sas, 0);
	rig_fini(&r);
}
END_TEST

/* Of two that the peer deletes we have deleted one ourselves: the answer names the other. */
START_TEST(an_answer_names_what_it_must)
{
	uint32_t spis[2];
	struct rig r;

	rig_up(&r, 15);
	rig_rekey(&r, 0, false);
	spis[0] = r.end[0].child[0]->spi_in;
	spis[1] = rig_sa(&r, 0)->mine->child_spi;
	rig_carry(&r, 0);
	child_state(child_find(r.end[1].ike, r.end[1].child[0]->spi_in), CHILD_DELETING);
	ike_sa_step(rig_sa(&r, 1));
	rig_drain(&r, 1);
	rig_said(&r, 1, "INFORMATIONAL 0 00: SK{D(ESP:1)}");
	r.end[1].acts[0] = '\0';
	rig_write(&r, rig_sa(&r, 0), X_INFORMATIONAL, false, 3);
	pld_delete_write(msg_add(&r.mw, PLD_D), PROTO_ESP, spis, 2);
	rig_post(&r);
	rig_did(&r, 1, "alive out1 send drop0 drop1 down");
	rig_said(&r, 1, "INFORMATIONAL 3 20: SK{D(ESP:1)}");
	check_deletes(&r, 1, &r.end[1].child[1]->spi_in, 1);
	rig_fini(&r);
}
END_TEST

/* R21: SPIs that are unknown, ours, given twice, or more than there can be. */
START_TEST(a_delete_of_what_is_not_there)
{
	uint32_t spis[200] = { 0 };
	uint16_t n = 0;
	struct rig r;

	rig_up(&r, 6);
	switch (_i) {
	case 0:					/* unknown */
		spis[n++] = 0x777;
		break;
	case 1:					/* the receiver's own inbound one */
		spis[n++] = r.end[1].child[0]->spi_in;
		break;
	case 2:					/* twice, among others */
		spis[n++] = 0x777;
		spis[n++] = r.end[0].child[0]->spi_in;
		spis[n++] = r.end[0].child[0]->spi_in;
		break;
	case 3:					/* the last of very many */
		n = 200;
		spis[199] = r.end[0].child[0]->spi_in;
		break;
	default:				/* none at all */
		break;
	}
	post_delete(&r, spis, n);
	if (_i == 2 || _i == 3) {
		rig_did(&r, 1, "alive send drop0 down");
		rig_said(&r, 1, "INFORMATIONAL 2 20: SK{D(ESP:1)}");
		check_deletes(&r, 1, &r.end[1].child[0]->spi_in, 1);
	} else {
		rig_did(&r, 1, "alive send");
		rig_said(&r, 1, "INFORMATIONAL 2 20: SK{}");
	}
	rig_fini(&r);
}
END_TEST

/* Deletes in two payloads, one of them of AH, which we never have. */
START_TEST(a_delete_in_two_payloads)
{
	struct rig r;
	struct wr *w;

	rig_up(&r, 7);
	rig_write(&r, rig_sa(&r, 0), X_INFORMATIONAL, false, 2);
	w = msg_add(&r.mw, PLD_D);
	wr_u8(w, PROTO_AH);
	wr_u8(w, 4);
	wr_u16(w, 1);
	wr_u32(w, r.end[0].child[0]->spi_in);
	if (_i == 1)
		pld_delete_write(msg_add(&r.mw, PLD_D), PROTO_ESP, &r.end[0].child[0]->spi_in, 1);
	rig_post(&r);
	rig_did(&r, 1, _i == 0 ? "alive send" : "alive send drop0 down");
	rig_said(&r, 1, _i == 0 ? "INFORMATIONAL 2 20: SK{}" : "INFORMATIONAL 2 20: SK{D(ESP:1)}");
	rig_fini(&r);
}
END_TEST

/* A malformed Delete deletes nothing, nor does what stands before it in the same message. */
START_TEST(a_malformed_delete_deletes_nothing)
{
	struct rig r;
	struct wr *w;

	rig_up(&r, 8);
	rig_write(&r, rig_sa(&r, 0), X_INFORMATIONAL, false, 2);
	pld_delete_write(msg_add(&r.mw, PLD_D), PROTO_ESP, &r.end[0].child[0]->spi_in, 1);
	w = msg_add(&r.mw, PLD_D);
	wr_u8(w, _i == 0 ? PROTO_ESP : 9);
	wr_u8(w, 4);
	wr_u16(w, 2);
	wr_u32(w, r.end[0].child[0]->spi_in);
	rig_post(&r);
	rig_did(&r, 1, "alive send");
	rig_said(&r, 1, "INFORMATIONAL 2 20: SK{N(INVALID_SYNTAX)}");
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* What INFORMATIONAL must not carry, and a critical payload that nobody knows: told so. */
START_TEST(a_foreign_payload_is_refused)
{
	struct rig r;
	size_t at;

	rig_up(&r, 9);
	rig_write(&r, rig_sa(&r, 0), X_INFORMATIONAL, false, 2);
	at = wr_len(&r.mw.w);
	msg_add_bytes(&r.mw, _i == 0 ? PLD_NONCE : 203, (struct slice){ r.end[0].conf.psk, 16 });
	if (_i != 0)
		wr_put_u8(&r.mw.w, at + 1, _i == 1 ? 0x80 : 0);
	rig_post(&r);
	rig_did(&r, 1, "alive send");
	rig_said(&r, 1, _i == 0 ? "INFORMATIONAL 2 20: SK{N(INVALID_SYNTAX)}" :
	    _i == 1 ? "INFORMATIONAL 2 20: SK{N(UNSUPPORTED_CRITICAL_PAYLOAD:cb)}" :
	    "INFORMATIONAL 2 20: SK{}");
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* 1.4.1: the IKE SA is deleted with all it has: an empty answer, then the end; repeated, it
 * meets nobody. */
START_TEST(an_ike_sa_is_deleted)
{
	struct rig_datagram ask;
	struct rig r;

	rig_up(&r, 10);
	rig_tell(&r, 0, IKE_CLOSE);
	rig_did(&r, 0, "drop0 down send");
	ck_assert_str_eq(r.end[0].reason, "closed by command");
	rig_said(&r, 0, "INFORMATIONAL 2 08: SK{D(IKE)}");
	ask = *rig_last(&r, 0);
	rig_carry(&r, 0);
	rig_did(&r, 1, "alive send drop0 down");
	ck_assert_str_eq(r.end[1].reason, "the peer deleted the IKE SA");
	rig_said(&r, 1, "INFORMATIONAL 2 20: SK{}");
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "");
	rig_carry(&r, 1);
	rig_did(&r, 0, "alive");
	for (unsigned e = 0; e < 2; e++)
		ck_assert_uint_eq(rig_totals(&r, e).ike_sas + rig_totals(&r, e).child_sas, 0);
	rig_fini(&r);
}
END_TEST

/* Both close at once: each answers the other, and all is gone. */
START_TEST(an_ike_sa_is_deleted_by_both)
{
	struct rig r;

	rig_up(&r, 11);
	rig_tell(&r, 0, IKE_CLOSE);
	rig_tell(&r, 1, IKE_CLOSE);
	rig_carry(&r, 0);
	rig_carry(&r, 1);
	rig_said(&r, 1, "INFORMATIONAL 2 20: SK{}");
	rig_pump(&r);
	for (unsigned e = 0; e < 2; e++) {
		ck_assert_uint_eq(rig_totals(&r, e).ike_sas, 0);
		ck_assert_ptr_null(strstr(strstr(r.end[e].acts, "down") + 1, "down"));
	}
	rig_fini(&r);
}
END_TEST

/* An answer that never comes: repeated as it was for 5.5 s, then it does not matter. */
START_TEST(a_delete_is_repeated_and_given_up)
{
	struct rig_datagram first;
	struct rig r;

	rig_up(&r, 12);
	rig_tell(&r, 0, IKE_CLOSE);
	first = *rig_last(&r, 0);
	rig_pass(&r, USEC_MS(5499), false);
	ck_assert_uint_gt(rig_totals(&r, 0).retransmits, 2);
	ck_assert_uint_eq(rig_last(&r, 0)->len, first.len);
	ck_assert_mem_eq(rig_last(&r, 0)->data, first.data, first.len);
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 1);
	rig_pass(&r, USEC_MS(1), false);
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
	rig_fini(&r);
}
END_TEST

/* IKE and Child SA in one message: the answer is empty. */
START_TEST(a_delete_of_both_kinds)
{
	struct rig r;

	rig_up(&r, 13);
	rig_write(&r, rig_sa(&r, 0), X_INFORMATIONAL, false, 2);
	pld_delete_write(msg_add(&r.mw, PLD_D), PROTO_ESP, &r.end[0].child[0]->spi_in, 1);
	pld_delete_write(msg_add(&r.mw, PLD_D), PROTO_IKE, NULL, 0);
	rig_post(&r);
	rig_did(&r, 1, "alive send drop0 down");
	rig_said(&r, 1, "INFORMATIONAL 2 20: SK{}");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	rig_fini(&r);
}
END_TEST

/* 2.21.2: the peer says, after all, that our proof is wrong: the IKE SA ends.  Another error
 * is no reason. */
START_TEST(a_late_refusal_of_our_proof)
{
	struct rig r;

	rig_up(&r, 14);
	rig_write(&r, rig_sa(&r, 1), X_INFORMATIONAL, false, 0);
	msg_add_notify(&r.mw, _i == 0 ? N_AUTHENTICATION_FAILED : N_INVALID_SELECTORS, NULL, 0);
	rig_post(&r);
	rig_did(&r, 0, _i == 0 ? "alive send drop0 down" : "alive send");
	rig_said(&r, 0, "INFORMATIONAL 0 28: SK{}");
	if (_i == 0)
		ck_assert_str_eq(r.end[0].reason,
		    "the peer refuses our proof (options local-id, psk-file)");
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, _i);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, a_question_and_its_answer, 0, 2);
	tcase_add_loop_test(tc, a_word_about_a_dead_tunnel, 0, 2);
	tcase_add_loop_test(tc, a_word_of_a_wrong_length, 0, 2);
	tcase_add_test(tc, a_child_is_deleted);
	tcase_add_test(tc, a_child_is_deleted_by_both);
	tcase_add_test(tc, an_answer_names_what_it_must);
	tcase_add_loop_test(tc, a_delete_of_what_is_not_there, 0, 5);
	tcase_add_loop_test(tc, a_delete_in_two_payloads, 0, 2);
	tcase_add_loop_test(tc, a_malformed_delete_deletes_nothing, 0, 2);
	tcase_add_loop_test(tc, a_foreign_payload_is_refused, 0, 3);
	tcase_add_test(tc, an_ike_sa_is_deleted);
	tcase_add_test(tc, an_ike_sa_is_deleted_by_both);
	tcase_add_test(tc, a_delete_is_repeated_and_given_up);
	tcase_add_test(tc, a_delete_of_both_kinds);
	tcase_add_loop_test(tc, a_late_refusal_of_our_proof, 0, 2);
}

UNIT_MAIN("ike/inform", fill)
