/* SPDX-License-Identifier: MIT */
#include "ike/init.h"

#include "tests/unit/ike_exchange_rig.h"

/* IKE_SA_INIT as somebody else writes it: what is taken, what is told, what costs nothing. */

struct letter {
	const char *what;
	struct ike_hdr h;
	uint32_t without, twice;	/* P_* */
	size_t nonce_len, ke_len;	/* 0: as is right */
	uint16_t group;			/* 0: as is right */
	uint8_t extra, extra_bits;	/* one more payload and the bits of its header */
	bool other_suite, two_proposals, zero, no_natt, far;
};

static void
write_payloads(struct rig *r, const struct letter *l)
{
	static const uint8_t bytes[2][300] = { { 9, 9, 9 }, { 0 } };
	struct ike_suite suite[2] = { rig_conf(0).ike[0], rig_conf(0).ike[0] };
	struct pld_ke ke = { l->group ? l->group : 31, bytes[l->zero],
	    l->ke_len ? l->ke_len : 32 };
	struct slice nonce = { bytes[0], l->nonce_len ? l->nonce_len : 32 };

	if (l->other_suite)
		suite[0].enc = AEAD_AES_GCM_16_128;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t put = i == 0 ? ~l->without : l->twice;

		if ((put & P_SA) != 0)
			sa_write_ike(msg_add(&r->mw, PLD_SA), suite,
			    l->two_proposals ? 2 : 1, 0);
		if ((put & P_KE) != 0)
			pld_ke_write(msg_add(&r->mw, PLD_KE), &ke);
		if ((put & P_NONCE) != 0)
			pld_nonce_write(msg_add(&r->mw, PLD_NONCE), nonce);
	}
}

/* To end `e`, from the other. */
static void
write_to(struct rig *r, unsigned e, const struct letter *l)
{
	struct rig_datagram g = { .from = rig_at(1 - e, 500), .to = rig_at(e, 500) };
	size_t at;

	if (l->far)
		g.from.ip.b[3] = 77;
	msg_start(&r->mw, g.data, sizeof(g.data), &l->h);
	write_payloads(r, l);
	if (!l->no_natt)
		ck_assert(natt_write(&r->mw, l->h.spi_i, l->h.spi_r, &g.to));
	at = r->mw.w.p - r->mw.w.base;
	if (l->extra != 0)
		msg_add_bytes(&r->mw, l->extra, (struct slice){ (const uint8_t *)"extra", 5 });
	g.len = msg_end(&r->mw);
	ck_assert_uint_gt(g.len, 0);
	if (l->extra != 0)
		g.data[at + 1] = l->extra_bits;
	if (l->h.version != 0)
		g.data[17] = l->h.version;
	rig_inject(r, e, &g);
}

#define ASK	.exchange = X_IKE_SA_INIT, .flags = IKE_F_INITIATOR

/* R16, R17: an opening that is none costs nothing and is not answered. */
START_TEST(what_is_no_opening_is_dropped)
{
	static const struct letter letters[] = {
		{ .what = "no SPI", .h = { ASK } },
		{ .what = "an SPI of ours", .h = { .spi_i = 7, .spi_r = 8, ASK } },
		{ .what = "a message ID", .h = { .spi_i = 7, .id = 1, ASK } },
		{ .what = "not of an initiator", .h = { .spi_i = 7, .exchange = X_IKE_SA_INIT } },
		{ .what = "no SA", .h = { .spi_i = 7, ASK }, .without = P_SA },
		{ .what = "no KE", .h = { .spi_i = 7, ASK }, .without = P_KE },
		{ .what = "no nonce", .h = { .spi_i = 7, ASK }, .without = P_NONCE },
		{ .what = "two SA", .h = { .spi_i = 7, ASK }, .twice = P_SA },
		{ .what = "two KE", .h = { .spi_i = 7, ASK }, .twice = P_KE },
		{ .what = "two nonces", .h = { .spi_i = 7, ASK }, .twice = P_NONCE },
		{ .what = "a foreign payload", .h = { .spi_i = 7, ASK }, .extra = PLD_TSI },
		{ .what = "a short nonce", .h = { .spi_i = 7, ASK }, .nonce_len = 15 },
		{ .what = "a long nonce", .h = { .spi_i = 7, ASK }, .nonce_len = 257 },
		{ .what = "a short public value", .h = { .spi_i = 7, ASK }, .ke_len = 31 },
		{ .what = "a public value that is zero", .h = { .spi_i = 7, ASK }, .zero = true },
		{ .what = "from a stranger", .h = { .spi_i = 7, ASK }, .far = true },
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
		struct ike_totals t;
		struct rig r;

		rig_init(&r, 9);
		rig_set(&r, 1);
		write_to(&r, 1, &letters[i]);
		t = rig_totals(&r, 1);
		ck_assert_msg(r.end[1].sent == 0 && t.ike_sas == 0 && t.half_open == 0 &&
		    t.jobs == 0, "%s", letters[i].what);
		rig_did(&r, 1, letters[i].zero ? "work" : "");
		rig_fini(&r);
	}
}
END_TEST

/* ... and the same without a fault is answered, with payloads unknown but not critical too. */
START_TEST(a_sound_opening_is_answered)
{
	struct letter l = { .h = { .spi_i = 7, ASK }, .nonce_len = _i == 0 ? 16 : 256,
	    .extra = _i == 0 ? 0 : 200 };
	struct rig r;

	rig_init(&r, 10);
	rig_set(&r, 1);
	write_to(&r, 1, &l);
	rig_said(&r, 1, "IKE_SA_INIT 0 20: SA KE Nonce N(NAT_DETECTION_SOURCE_IP) "
	    "N(NAT_DETECTION_DESTINATION_IP) V");
	rig_fini(&r);
}
END_TEST

/* What the initiator takes for no answer leaves it waiting, and the true one is taken. */
START_TEST(what_is_no_answer_is_outwaited)
{
	static const struct letter letters[] = {
		{ .what = "no SPI", .h = { .spi_r = 0 } },
		{ .what = "another group", .h = { .spi_r = 8 }, .group = 19, .ke_len = 64 },
		{ .what = "another suite", .h = { .spi_r = 8 }, .other_suite = true },
		{ .what = "a group by another name", .h = { .spi_r = 8 }, .group = 19 },
		{ .what = "two SA", .h = { .spi_r = 8 }, .twice = P_SA },
		{ .what = "two proposals", .h = { .spi_r = 8 }, .two_proposals = true },
		{ .what = "a short nonce", .h = { .spi_r = 8 }, .nonce_len = 15 },
		{ .what = "a short public value", .h = { .spi_r = 8 }, .ke_len = 31 },
		{ .what = "from elsewhere", .h = { .spi_r = 8 }, .far = true },
		{ .what = "of another exchange", .h = { .spi_r = 8, .exchange = X_IKE_AUTH } },
		{ .what = "of another ID", .h = { .spi_r = 8, .id = 1 } },
		{ .what = "critical", .h = { .spi_r = 8 }, .extra = 200, .extra_bits = 0x80 },
		{ .what = "only notifies", .h = { .spi_r = 8 },
		    .without = P_SA | P_KE | P_NONCE },
	};
	struct rig r;

	rig_init(&r, 11);
	rig_start(&r);
	rig_did(&r, 0, "work send");
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
		struct letter l = letters[i];

		l.h.spi_i = rig_sa(&r, 0)->spi;
		l.h.flags = IKE_F_RESPONSE;
		if (l.h.exchange == 0)
			l.h.exchange = X_IKE_SA_INIT;
		write_to(&r, 0, &l);
		ck_assert_msg(rig_sa(&r, 0)->state == SA_INIT_SENT && r.end[0].sent == 1, "%s",
		    l.what);
	}
	rig_pump(&r);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* A public value that fails its check, and a peer that could not carry ESP in UDP: the end. */
START_TEST(an_answer_that_ends_the_attempt)
{
	struct letter l = { .h = { .spi_r = 8, .exchange = X_IKE_SA_INIT,
	    .flags = IKE_F_RESPONSE }, .zero = _i == 0, .no_natt = _i == 1 };
	struct rig r;

	rig_init(&r, 12);
	rig_start(&r);
	l.h.spi_i = rig_sa(&r, 0)->spi;
	write_to(&r, 0, &l);
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
	ck_assert_uint_eq(r.end[0].sent, 1);
	ck_assert_ptr_nonnull(strstr(rig_status(&r, 0)->reason, _i == 0 ?
	    "public value is not valid" : "no NAT detection"));
	ck_assert_uint_eq(rig_status(&r, 0)->attempts, 1);
	rig_fini(&r);
}
END_TEST

/* 2.5: told what is wrong, ten times a second at most, never in answer to an answer. */
START_TEST(what_we_do_not_speak_is_told)
{
	struct letter l = { .h = { .spi_i = 7, ASK } };
	struct rig r;

	rig_init(&r, 14);
	rig_set(&r, 1);
	if (_i == 0) {
		l.extra = 200;
		l.extra_bits = 0x80;
	} else {
		l.h.version = 0x30;
	}
	for (unsigned i = 0; i < 15; i++)
		write_to(&r, 1, &l);
	ck_assert_uint_eq(r.end[1].sent, 10);
	rig_said(&r, 1, _i == 0 ? "IKE_SA_INIT 0 20: N(UNSUPPORTED_CRITICAL_PAYLOAD:c8)" :
	    "IKE_SA_INIT 0 20: N(INVALID_MAJOR_VERSION)");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	ck_assert_uint_eq(rig_totals(&r, 1).dropped, 15);
	r.now += USEC_S(1);
	write_to(&r, 1, &l);
	ck_assert_uint_eq(r.end[1].sent, 11);
	l.h.flags = IKE_F_RESPONSE;
	write_to(&r, 1, &l);
	ck_assert_uint_eq(r.end[1].sent, 11);
	if (_i == 1) {			/* as to who has opened an IKE SA: the other flag */
		l.h = (struct ike_hdr){ .spi_i = 7, .spi_r = 8, .exchange = X_INFORMATIONAL,
		    .version = 0x30, .id = 5 };
		write_to(&r, 1, &l);
		rig_said(&r, 1, "INFORMATIONAL 5 28: N(INVALID_MAJOR_VERSION)");
	}
	rig_fini(&r);
}
END_TEST

/* Nothing can be carried to a peer without NAT detection: refused, without state. */
START_TEST(an_opening_without_nat_detection_is_refused)
{
	struct letter l = { .h = { .spi_i = 7, ASK }, .no_natt = true };
	struct rig r;

	rig_init(&r, 15);
	rig_set(&r, 1);
	rig_listen(LOG_LEVEL_INFO);
	write_to(&r, 1, &l);
	rig_said(&r, 1, "IKE_SA_INIT 0 20: N(NO_PROPOSAL_CHOSEN)");
	rig_told("ike-no-natt");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	ck_assert_uint_eq(rig_totals(&r, 1).half_open, 0);
	rig_fini(&r);
}
END_TEST

/* R18, R29: half-open SAs have a hard bound, and one address less than all of them. */
START_TEST(half_open_is_bounded)
{
	struct letter l = { .h = { ASK } };
	struct rig r;

	rig_init(&r, 16);
	r.end[1].ike->env.half_open_max = _i == 0 ? 5 : 80;
	rig_set(&r, 1);
	for (uint64_t spi = 1; spi <= 30; spi++) {
		l.h.spi_i = spi;
		write_to(&r, 1, &l);
		rig_lose(&r, 1);
	}
	ck_assert_uint_eq(rig_totals(&r, 1).half_open, _i == 0 ? 5 : 20);
	rig_pass(&r, USEC_S(30), false);	/* they are not kept for ever */
	ck_assert_uint_eq(rig_totals(&r, 1).half_open, 0);
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, what_is_no_opening_is_dropped);
	tcase_add_loop_test(tc, a_sound_opening_is_answered, 0, 2);
	tcase_add_test(tc, what_is_no_answer_is_outwaited);
	tcase_add_loop_test(tc, an_answer_that_ends_the_attempt, 0, 2);
	tcase_add_loop_test(tc, what_we_do_not_speak_is_told, 0, 2);
	tcase_add_test(tc, an_opening_without_nat_detection_is_refused);
	tcase_add_loop_test(tc, half_open_is_bounded, 0, 2);
}

UNIT_MAIN("ike/init by strangers", fill)
