/* SPDX-License-Identifier: MIT */
#include "ike/resource.h"

#include "tests/unit/ike_exchange_rig.h"

#define INFO	"N(SA_RESOURCE_INFO)"
#define MORE(id) "CREATE_CHILD_SA " id ": SK{SA Nonce KE TSi TSr " INFO "}"

/* Both ends up, with so many resources, and nothing asked for yet. */
static void
up(struct rig *r, unsigned a, unsigned b)
{
	rig_init(r, a * 10 + b);
	r->end[0].conf.resources = a;
	r->end[1].conf.resources = b;
	rig_bring_up(r);
}

/* Child SAs of the first IKE SA of an end: so many live, and by which each resource sends. */
static void
expect(struct rig *r, unsigned e, unsigned live, const char *senders)
{
	const struct ike_sa *sa = rig_sa(r, e);
	char text[RIG_TEXT] = "";
	unsigned n = 0;

	for (const struct child *c = sa->children; c != NULL; c = c->next)
		n += child_is_live(c);
	ck_assert_uint_eq(n, live);
	for (unsigned k = 0; k < resource_n(sa->tunnel); k++)
		for (const struct child *c = sa->children; c != NULL; c = c->next)
			if ((c->serves >> k & 1) != 0)
				rig_say(text, "%u", c->resource);
	ck_assert_str_eq(text, senders);
}

/* Each inbound SPI belongs to the worker behind its tunnel's by the resource. */
static void
expect_spis(struct rig *r, unsigned e)
{
	const struct ike_sa *sa = rig_sa(r, e);

	for (const struct child *c = sa->children; c != NULL; c = c->next)
		ck_assert_uint_eq(c->spi_in % 3,
		    (RIG_T + c->resource % resource_n(sa->tunnel)) % 3);
}

/* The wire of the first Child SA: who has several offers, who has too answers. */
START_TEST(support_is_offered_and_answered)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned a = i & 1 ? 2 : 1, b = i & 2 ? 2 : 1;
		char text[RIG_TEXT];
		struct rig r;

		rig_init(&r, i);
		r.end[0].conf.resources = a;
		r.end[1].conf.resources = b;
		rig_start(&r);
		rig_carry(&r, 0);
		rig_carry(&r, 1);
		snprintf(text, sizeof(text), "SA TSi TSr%s}", a > 1 ? " " INFO : "");
		ck_assert_msg(strstr(rig_last(&r, 0)->text, text) != NULL, "%s", rig_last(&r, 0)->text);
		rig_carry(&r, 0);
		snprintf(text, sizeof(text), "SA TSi TSr%s}", a > 1 && b > 1 ? " " INFO : "");
		ck_assert_msg(strstr(rig_last(&r, 1)->text, text) != NULL, "%s", rig_last(&r, 1)->text);
		rig_carry(&r, 1);
		for (unsigned e = 0; e < 2; e++)
			ck_assert_int_eq(rig_sa(&r, e)->many, a > 1 && b > 1);
		rig_fini(&r);
	}
}
END_TEST

/* The end that opened asks for one more, a second later; the other learns by its next word that
 * it arrived, and then each resource sends by its own. */
START_TEST(one_for_each)
{
	struct rig r;

	rig_init(&r, 1);
	r.end[0].conf.resources = r.end[1].conf.resources = 2;
	rig_start(&r);
	rig_pump(&r);
	rig_did(&r, 0, "work send work send in0 out0:3 up");
	rig_did(&r, 1, "work send in0 send out0:3 up");
	rig_pass(&r, USEC_MS(900), true);
	rig_did(&r, 0, "");
	rig_pass(&r, USEC_MS(200), false);
	rig_did(&r, 0, "work send");
	rig_said(&r, 0, MORE("2 08"));
	rig_carry(&r, 0);
	rig_did(&r, 1, "alive work in1 send");
	rig_said(&r, 1, MORE("2 20"));
	expect(&r, 1, 2, "00");			/* the answer may be lost */
	rig_carry(&r, 1);
	rig_did(&r, 0, "alive work in1 out1:2 send");
	rig_said(&r, 0, "INFORMATIONAL 3 08: SK{}");
	rig_carry(&r, 0);
	rig_did(&r, 1, "alive out1:2 send");
	rig_pump(&r);
	for (unsigned e = 0; e < 2; e++) {
		expect(&r, e, 2, "01");
		expect_spis(&r, e);
		r.end[e].acts[0] = '\0';
		ck_assert_uint_eq(r.end[e].child[1]->resource, 1);
		ck_assert_mem_ne(r.end[e].child[0]->key_in, r.end[e].child[1]->key_in, 32);
	}
	rig_pass(&r, USEC_S(60), true);			/* and that is all */
	for (unsigned e = 0; e < 2; e++)
		rig_did(&r, e, "");
	rig_fini(&r);
}
END_TEST

/* Each end has one for each of its resources, whoever opened; the one with fewer receives more. */
START_TEST(the_end_with_more_asks_too)
{
	static const struct { unsigned n[2], all; const char *senders[2]; } cases[] = {
		{ { 2, 2 }, 2, { "01", "01" } },
		{ { 4, 2 }, 4, { "0123", "01" } },
		{ { 2, 4 }, 4, { "01", "0123" } },
		{ { 5, 2 }, 4, { "01230", "01" } },	/* twice two, and no more */
		{ { 2, 5 }, 4, { "01", "01230" } },
		{ { 3, 64 }, 6, { "012", NULL } },
		{ { 2, 1 }, 1, { "00", "0" } },
		{ { 1, 2 }, 1, { "0", "00" } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig r;

		up(&r, cases[i].n[0], cases[i].n[1]);
		rig_pass(&r, USEC_S(30), true);
		for (unsigned e = 0; e < 2; e++) {
			if (cases[i].senders[e] != NULL)
				expect(&r, e, cases[i].all, cases[i].senders[e]);
			expect_spis(&r, e);
			ck_assert_uint_eq(rig_totals(&r, e).child_sas, cases[i].all);
			ck_assert_uint_eq(rig_totals(&r, e).ike_sas, 1);
			ck_assert_uint_eq(rig_status(&r, e)->child_rekeys, 0);
		}
		rig_fini(&r);
	}
}
END_TEST

/* A refusal disturbs nothing: no more are asked for, or later, by what it says. */
START_TEST(a_refusal_disturbs_nothing)
{
	static const struct { uint16_t type; bool again; } cases[] = {
		{ N_TS_MAX_QUEUE, false }, { N_NO_ADDITIONAL_SAS, false },
		{ N_NO_PROPOSAL_CHOSEN, false }, { N_TS_UNACCEPTABLE, false },
		{ N_CHILD_SA_NOT_FOUND, false }, { 8000, false }, { N_TEMPORARY_FAILURE, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned sent;
		struct rig r;

		up(&r, 2, 2);
		rig_pass(&r, USEC_MS(1100), false);
		rig_said(&r, 0, MORE("2 08"));
		rig_lose(&r, 0);
		rig_post_notify(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, 2, cases[i].type);
		expect(&r, 0, 1, "00");
		ck_assert(rig_status(&r, 0)->up && rig_sa(&r, 0)->state == SA_UP);
		ck_assert_int_eq(rig_sa(&r, 0)->req.kind, REQ_NONE);
		ck_assert_uint_eq(rig_totals(&r, 0).child_sas, 1);
		ck_assert_uint_eq(rig_totals(&r, 0).openings_failed, 0);
		sent = r.end[0].sent;
		rig_pass(&r, USEC_MS(800), false);	/* a second at least */
		ck_assert_uint_eq(r.end[0].sent, sent);
		rig_pass(&r, USEC_MS(1100), false);	/* before the other end asks */
		ck_assert_int_eq(rig_sa(&r, 0)->no_more, !cases[i].again);
		rig_fini(&r);
	}
}
END_TEST

/* An answer of no use is given back, and the IKE SA stays; another try comes later. */
START_TEST(a_bad_answer_is_given_back)
{
	for (unsigned i = 0; i < 2; i++) {
		struct ts_list other = rig_net("10.0.0.0/8"), all = rig_net("0.0.0.0/0");
		struct esp_choice choice = { 1, 0x12345678,
			{ AEAD_AES_GCM_16_256, KE_CURVE25519, true } };
		static const uint8_t bytes[32] = { 9 };
		struct rig r;

		up(&r, 2, 2);
		rig_pass(&r, USEC_MS(1100), false);
		rig_lose(&r, 0);
		rig_write(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, true, 2);
		sa_write_esp_choice(msg_add(&r.mw, PLD_SA), &choice, 0x12345678);
		pld_nonce_write(msg_add(&r.mw, PLD_NONCE), (struct slice){ bytes, 32 });
		if (i == 0)
			pld_ke_write(msg_add(&r.mw, PLD_KE), &(struct pld_ke){ 31, bytes, 32 });
		ts_write(msg_add(&r.mw, PLD_TSI), i == 0 ? &other : &all);	/* narrower; no KE */
		ts_write(msg_add(&r.mw, PLD_TSR), &all);
		rig_post(&r);
		rig_said(&r, 0, "INFORMATIONAL 3 08: SK{D(ESP:1)}");
		expect(&r, 0, 1, "00");
		ck_assert(rig_status(&r, 0)->up && rig_sa(&r, 0)->more_at >= r.now + USEC_S(20));
		ck_assert_uint_eq(rig_totals(&r, 0).openings_failed, 0);
		rig_fini(&r);
	}
}
END_TEST

/* What a request for one more is answered with. */
START_TEST(a_request_for_more_is_judged)
{
	enum { INFO_BIT = 1, NARROW = 2, NO_FIRST = 4, SUITE = 8 };
	static const struct { unsigned n, what; const char *answer; } cases[] = {
		{ 2, INFO_BIT, "SA Nonce KE TSi TSr " INFO },
		{ 2, 0, "N(NO_ADDITIONAL_SAS)" },
		{ 1, 0, "N(NO_ADDITIONAL_SAS)" },
		{ 1, INFO_BIT, "N(TS_MAX_QUEUE)" },
		{ 2, INFO_BIT | NARROW, "N(TS_UNACCEPTABLE)" },
		{ 2, INFO_BIT | SUITE, "N(TS_UNACCEPTABLE)" },
		{ 1, INFO_BIT | NO_FIRST, "SA Nonce KE TSi TSr" },
		{ 2, INFO_BIT | NO_FIRST, "SA Nonce KE TSi TSr " INFO },
		{ 2, NO_FIRST, "SA Nonce KE TSi TSr" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned what = cases[i].what;
		struct ts_list ts = rig_net((what & NARROW) != 0 ? "10.0.0.0/8" : "0.0.0.0/0");
		struct esp_suite suite = { AEAD_AES_GCM_16_256, KE_CURVE25519, (what & SUITE) == 0 };
		static const uint8_t bytes[32] = { 9 };
		char text[RIG_TEXT];
		struct rig r;

		up(&r, cases[i].n, cases[i].n);
		if ((what & NO_FIRST) != 0)
			child_drop(rig_sa(&r, 1)->children, "test");
		rig_write(&r, rig_sa(&r, 0), X_CREATE_CHILD_SA, false, 2);
		sa_write_esp(msg_add(&r.mw, PLD_SA), &suite, 1, 0x12345678, true);
		pld_nonce_write(msg_add(&r.mw, PLD_NONCE), (struct slice){ bytes, 32 });
		pld_ke_write(msg_add(&r.mw, PLD_KE), &(struct pld_ke){ 31, bytes, 32 });
		ts_write(msg_add(&r.mw, PLD_TSI), &ts);
		ts_write(msg_add(&r.mw, PLD_TSR), &ts);
		if ((what & INFO_BIT) != 0)
			msg_add_notify(&r.mw, N_SA_RESOURCE_INFO, "worker 7", 8);
		rig_post(&r);
		snprintf(text, sizeof(text), "CREATE_CHILD_SA 2 20: SK{%s}", cases[i].answer);
		rig_said(&r, 1, text);
		ck_assert_int_eq(rig_sa(&r, 1)->state, SA_UP);
		ck_assert_uint_eq(rig_totals(&r, 1).child_sas,
		    cases[i].answer[0] == 'S' && (what & NO_FIRST) == 0 ? 2 : 1);
		rig_fini(&r);
	}
}
END_TEST

/* Both ask at once: the original initiator's stands, and one pair is made, not two. */
START_TEST(both_ask_at_once)
{
	struct rig r;

	up(&r, 2, 2);
	rig_sa(&r, 1)->more_at = rig_sa(&r, 0)->more_at;
	for (unsigned e = 0; e < 2; e++)
		ike_sa_step(rig_sa(&r, e));
	rig_pass(&r, USEC_MS(1000), false);
	rig_said(&r, 0, MORE("2 08"));
	rig_said(&r, 1, MORE("0 00"));
	rig_carry(&r, 1);
	rig_said(&r, 0, "CREATE_CHILD_SA 0 28: SK{N(TEMPORARY_FAILURE)}");
	rig_pass(&r, USEC_S(30), true);
	for (unsigned e = 0; e < 2; e++)
		expect(&r, e, 2, "01");
	rig_fini(&r);
}
END_TEST

/* A successor inherits the resource, and so the worker; the other goes on as it was. */
START_TEST(each_is_rekeyed_into_its_resource)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned e = i & 1, which = i / 2;
		struct child *c;
		uint32_t spi;
		struct rig r;

		up(&r, 2, 2);
		rig_pass(&r, USEC_S(10), true);
		for (c = rig_sa(&r, e)->children; c->resource != which; c = c->next)
			;
		spi = c->spi_in;
		rig_fact(&r, e, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = RIG_T,
		    .spi_out = c->spi_out });
		ck_assert_ptr_nonnull(strstr(rig_last(&r, e)->text,
		    "SK{N(REKEY_SA) SA Nonce KE TSi TSr " INFO "}"));
		r.end[0].acts[0] = r.end[1].acts[0] = '\0';
		rig_pump(&r);
		rig_did(&r, e, which == 0 ? "alive work in2 out2:1 send alive drop0" :
		    "alive work in2 out2:2 send alive drop1");
		rig_did(&r, 1 - e, which == 0 ? "alive work in2 send alive out2:1 send drop0" :
		    "alive work in2 send alive out2:2 send drop1");
		for (unsigned k = 0; k < 2; k++) {
			expect(&r, k, 2, "01");
			expect_spis(&r, k);
		}
		ck_assert_ptr_null(child_find(r.end[e].ike, spi));
		rig_fini(&r);
	}
}
END_TEST

/* By order all that are sent by are rekeyed, one after the other; the IKE SA takes all along. */
START_TEST(an_order_is_for_all_of_them)
{
	struct rig r;

	up(&r, 3, 3);
	rig_pass(&r, USEC_S(10), true);
	rig_rekey(&r, 1, false);
	rig_pump(&r);
	ck_assert_uint_eq(rig_status(&r, 0)->child_rekeys, 3);
	rig_rekey(&r, 0, true);
	rig_pump(&r);
	for (unsigned e = 0; e < 2; e++) {
		expect(&r, e, 3, "012");
		ck_assert(rig_sa(&r, e)->many && rig_status(&r, e)->ike_rekeys == 1);
		ck_assert_uint_eq(rig_totals(&r, e).child_sas, 3);
	}
	rig_pass(&r, USEC_S(60), true);
	ck_assert_uint_eq(rig_totals(&r, 0).child_sas, 3);
	rig_fini(&r);
}
END_TEST

/* One that goes leaves its resource to the first's, and another is asked for, but not at once;
 * when the first goes, what there is takes its place meanwhile and the tunnel stays up. */
START_TEST(a_lost_one_is_replaced_later)
{
	for (unsigned which = 0; which < 2; which++) {
		struct child *c;
		struct rig r;

		up(&r, 2, 2);
		rig_pass(&r, USEC_S(10), true);
		for (c = rig_sa(&r, 1)->children; c->resource != which; c = c->next)
			;
		child_state(c, CHILD_DELETING);
		rig_sa(&r, 1)->more_at = USEC_NEVER;	/* who deletes it has his reasons */
		r.end[0].acts[0] = '\0';
		ike_sa_step(rig_sa(&r, 1));
		rig_drain(&r, 1);
		rig_pump(&r);
		rig_did(&r, 0, which == 0 ? "alive send out1:1 drop0" : "alive send out0:2 drop1");
		for (unsigned e = 0; e < 2; e++) {
			expect(&r, e, 1, which == 0 ? "11" : "00");
			ck_assert(rig_status(&r, e)->up);
		}
		rig_pass(&r, USEC_S(19), true);
		expect(&r, 0, 1, which == 0 ? "11" : "00");
		rig_pass(&r, USEC_S(32), true);
		for (unsigned e = 0; e < 2; e++)
			expect(&r, e, 2, "01");
		rig_fini(&r);
	}
}
END_TEST

/* Who was told that it has enough asks again when it has one less. */
START_TEST(enough_is_for_as_long_as_it_is_true)
{
	struct child *c;
	struct rig r;

	up(&r, 5, 2);
	rig_pass(&r, USEC_S(10), true);
	ck_assert(rig_sa(&r, 0)->no_more && !rig_sa(&r, 1)->no_more);
	for (c = rig_sa(&r, 1)->children; c->resource != 1; c = c->next)
		;
	child_state(c, CHILD_DELETING);
	ike_sa_step(rig_sa(&r, 1));
	rig_drain(&r, 1);
	rig_pump(&r);
	ck_assert(!rig_sa(&r, 0)->no_more);
	rig_pass(&r, USEC_S(40), true);
	ck_assert_uint_eq(rig_totals(&r, 0).child_sas, 4);
	ck_assert(rig_sa(&r, 0)->no_more);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, support_is_offered_and_answered);
	tcase_add_test(tc, one_for_each);
	tcase_add_test(tc, the_end_with_more_asks_too);
	tcase_add_test(tc, a_refusal_disturbs_nothing);
	tcase_add_test(tc, a_bad_answer_is_given_back);
	tcase_add_test(tc, a_request_for_more_is_judged);
	tcase_add_test(tc, both_ask_at_once);
	tcase_add_test(tc, each_is_rekeyed_into_its_resource);
	tcase_add_test(tc, an_order_is_for_all_of_them);
	tcase_add_test(tc, a_lost_one_is_replaced_later);
	tcase_add_test(tc, enough_is_for_as_long_as_it_is_true);
}

UNIT_MAIN("ike/resource", fill)
