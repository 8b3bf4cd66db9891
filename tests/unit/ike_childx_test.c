/* SPDX-License-Identifier: MIT */
#include "ike/childx.h"

#include "ike/collide.h"
#include "tests/unit/ike_exchange_rig.h"

/* CREATE_CHILD_SA for Child SAs, and with ike_authx_test.c what terms.c says of them. */

#define ASK	"CREATE_CHILD_SA 2 08: SK{N(REKEY_SA) SA Nonce KE TSi TSr}"
#define GRANT	"CREATE_CHILD_SA 2 20: SK{SA Nonce KE TSi TSr}"

static struct child *
child_of(struct rig *r, unsigned e, unsigned no)
{
	return child_find(r->end[e].ike, r->end[e].child[no]->spi_in);
}

/* The SPI of the last message's REKEY_SA, and of the first in its Delete. */
static uint32_t
rekey_spi(struct rig *r, unsigned e)
{
	uint8_t plain[RIG_DATAGRAM];
	const struct pld_notify *n;
	struct msg m;

	rig_read(r, e, plain, &m);
	n = msg_notify(&m, N_REKEY_SA);
	ck_assert(n != NULL && n->proto == PROTO_ESP && n->data.len == 0);
	return pld_notify_esp_spi(n);
}

static uint32_t
delete_spi(struct rig *r, unsigned e)
{
	uint8_t plain[RIG_DATAGRAM];
	struct pld_delete d;
	struct rd body;
	struct msg m;

	rig_read(r, e, plain, &m);
	ck_assert(msg_find(&m, PLD_D, &body) && pld_delete_parse(body, &d) && d.n == 1);
	return pld_delete_spi(&d, 0);
}

/* 1.3.3, 2.8: the whole ladder, by either end, with and without a key exchange of its own.
 * The responder takes the new one in before its answer leaves and sends by it when the peer is
 * known to have it; the old one goes when both have said so. */
START_TEST(a_rekey_makes_before_it_breaks)
{
	static const char *const flags[2][2] = { { "2 08", "2 20" }, { "0 00", "0 28" } };
	static const char *const next[2][2] = { { "3 08", "3 20" }, { "1 00", "1 28" } };
	unsigned a = _i & 1, b = 1 - a;		/* a rekeys */
	bool pfs = _i < 2;
	char text[RIG_TEXT];
	struct rig r;

	rig_init(&r, 1);
	for (unsigned e = 0; e < 2 && !pfs; e++)
		r.end[e].conf.esp[0].group = KE_NONE;
	rig_bring_up(&r);
	rig_rekey(&r, a, false);
	rig_did(&r, a, pfs ? "work send" : "send");
	snprintf(text, sizeof(text), "CREATE_CHILD_SA %s: SK{N(REKEY_SA) SA Nonce %sTSi TSr}",
	    flags[a][0], pfs ? "KE " : "");
	rig_said(&r, a, text);
	ck_assert_uint_eq(rekey_spi(&r, a), r.end[a].child[0]->spi_in);
	ck_assert_int_eq(child_of(&r, a, 0)->state, CHILD_REKEYING);

	rig_carry(&r, a);
	rig_did(&r, b, pfs ? "alive work in1 send" : "alive in1 send");
	snprintf(text, sizeof(text), "CREATE_CHILD_SA %s: SK{SA Nonce %sTSi TSr}", flags[a][1],
	    pfs ? "KE " : "");
	rig_said(&r, b, text);
	ck_assert_int_eq(child_of(&r, b, 0)->state, CHILD_REKEYED);

	rig_carry(&r, b);
	rig_did(&r, a, pfs ? "alive work in1 out1 send" : "alive in1 out1 send");
	snprintf(text, sizeof(text), "INFORMATIONAL %s: SK{D(ESP:1)}", next[a][0]);
	rig_said(&r, a, text);
	ck_assert_uint_eq(delete_spi(&r, a), r.end[a].child[0]->spi_in);

	rig_carry(&r, a);
	rig_did(&r, b, "alive out1 send drop0");
	snprintf(text, sizeof(text), "INFORMATIONAL %s: SK{D(ESP:1)}", next[a][1]);
	rig_said(&r, b, text);
	ck_assert_uint_eq(delete_spi(&r, b), r.end[b].child[0]->spi_in);
	rig_carry(&r, b);
	rig_did(&r, a, "alive drop0");
	rig_agree(&r);
	for (unsigned e = 0; e < 2; e++)
		ck_assert_uint_eq(rig_status(&r, e)->child_rekeys, 1);
	ck_assert_mem_ne(r.end[0].child[0]->key_in, r.end[0].child[1]->key_in, 32);
	rig_fini(&r);
}
END_TEST

/* Late computations: nothing is said before them, and the request repeated meanwhile is
 * neither answered nor begun anew. */
START_TEST(nothing_is_granted_before_its_work)
{
	struct child_sa want = { .aead = AEAD_AES_GCM_16_256 };
	const struct nego *n;
	struct ike_job job;
	struct kdf_in in;
	struct rig r;

	rig_up(&r, 2);
	r.end[0].late = r.end[1].late = true;
	rig_rekey(&r, 0, false);
	rig_did(&r, 0, "work");
	rig_work(&r, 0);
	rig_did(&r, 0, "send");
	rig_carry(&r, 0);
	rig_inject(&r, 1, rig_last(&r, 0));
	rig_did(&r, 1, "alive work");
	job = *r.end[1].job[0];
	ike_job_run(&job);
	n = rig_sa(&r, 1)->theirs;
	in = (struct kdf_in){ .ni = { n->ni, 32 }, .nr = { n->nr, 32 },
	    .shared = { job.ke.shared, 32 } };
	ck_assert(kdf_child(&rig_sa(&r, 1)->keys->k, &in, &want));	/* 2.17 */
	rig_work(&r, 1);
	rig_did(&r, 1, "in1 send");
	ck_assert_uint_eq(r.end[1].child[1]->key_len, want.key_len);
	ck_assert_mem_eq(r.end[1].child[1]->key_in, want.key_in, want.key_len);
	ck_assert_mem_eq(r.end[1].child[1]->key_out, want.key_out, want.key_len);
	rig_carry(&r, 1);
	rig_did(&r, 0, "alive work");
	rig_work(&r, 0);
	rig_did(&r, 0, "in1 out1 send");
	rig_pump(&r);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* 2.1, 2.2: the same request once more gets the stored bytes; after the next one, nothing. */
START_TEST(a_repeated_request_gets_the_same_answer)
{
	struct rig_datagram ask, grant;
	struct rig r;

	rig_up(&r, 3);
	rig_rekey(&r, 0, false);
	ask = *rig_last(&r, 0);
	rig_carry(&r, 0);
	grant = *rig_last(&r, 1);
	rig_did(&r, 1, "alive work in1 send");
	for (unsigned i = 0; i < 3; i++) {
		rig_inject(&r, 1, &ask);
		rig_did(&r, 1, "send");
		ck_assert_uint_eq(rig_last(&r, 1)->len, grant.len);
		ck_assert_mem_eq(rig_last(&r, 1)->data, grant.data, grant.len);
	}
	rig_pump(&r);
	rig_did(&r, 1, "alive out1 send drop0");
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "");
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* 1.3: another group is wanted: the whole offer again with it, under another SPI. */
START_TEST(another_group_is_wanted)
{
	struct rig r;
	uint32_t spi;

	rig_init(&r, 4);
	r.end[0].conf.esp_n = 2;
	r.end[0].conf.esp[1] = r.end[0].conf.esp[0];
	r.end[0].conf.esp[1].group = r.end[1].conf.esp[0].group = KE_ECP_384;
	rig_bring_up(&r);
	rig_rekey(&r, 0, false);
	spi = rig_sa(&r, 0)->mine->child_spi;
	rig_carry(&r, 0);
	rig_said(&r, 1, "CREATE_CHILD_SA 2 20: SK{N(INVALID_KE_PAYLOAD:0014)}");
	ck_assert_uint_eq(rig_totals(&r, 1).child_sas, 1);
	rig_carry(&r, 1);
	rig_said(&r, 0, "CREATE_CHILD_SA 3 08: SK{N(REKEY_SA) SA Nonce KE TSi TSr}");
	ck_assert_uint_eq(rekey_spi(&r, 0), r.end[0].child[0]->spi_in);
	ck_assert_ptr_null(child_find(r.end[0].ike, spi));
	rig_pump(&r);
	rig_agree(&r);
	ck_assert_int_eq(rig_status(&r, 1)->esp.group, KE_ECP_384);
	rig_fini(&r);
}
END_TEST

/* A peer that never finds a group right is not asked for ever, and what there was stays. */
START_TEST(groups_are_not_tried_without_end)
{
	static const uint8_t wanted[2][2] = { { 0, 19 }, { 0, 31 } };
	struct rig r;
	unsigned i;

	rig_init(&r, 5);
	r.end[0].conf.esp_n = 2;
	r.end[0].conf.esp[1] = r.end[0].conf.esp[0];
	r.end[0].conf.esp[1].group = KE_ECP_256;
	rig_bring_up(&r);
	rig_rekey(&r, 0, false);
	for (i = 0; rig_sa(&r, 0)->req.kind == REQ_CHILD_REKEY && i < 10; i++) {
		rig_write(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, true, 2 + i);
		msg_add_notify(&r.mw, N_INVALID_KE_PAYLOAD, wanted[i & 1], 2);
		rig_post(&r);
	}
	ck_assert_uint_eq(i, 1 + 3);
	ck_assert_int_eq(child_of(&r, 0, 0)->state, CHILD_UP);
	ck_assert(rig_status(&r, 0)->up);
	rig_fini(&r);
}
END_TEST

/* Refused by what is configured: both logs say what is offered and what is taken; the old one
 * stays in charge and is asked for again after 20 to 30 s. */
START_TEST(a_refused_rekey_leaves_the_old_one)
{
	struct rig r;

	rig_up(&r, 6);
	if (_i == 0)
		r.end[1].conf.esp[0] = (struct esp_suite){ AEAD_AES_CBC_256_HMAC_SHA2_256,
		    KE_CURVE25519, false };
	else
		r.end[1].conf.ts_local = rig_net("2001:db8::/32");
	rig_set(&r, 1);
	rig_listen(LOG_LEVEL_INFO);
	rig_rekey(&r, 0, false);
	rig_carry(&r, 0);
	rig_did(&r, 1, "alive send");
	rig_said(&r, 1, _i == 0 ? "CREATE_CHILD_SA 2 20: SK{N(NO_PROPOSAL_CHOSEN)}" :
	    "CREATE_CHILD_SA 2 20: SK{N(TS_UNACCEPTABLE)}");
	rig_told(_i == 0 ? "child-no-proposal tunnel=site/1" : "child-no-selectors tunnel=site/1");
	rig_told(_i == 0 ? "accepted=\"aes256-sha256-curve25519-noesn\" option=esp" :
	    "offered=\"0.0.0.0/0 === 0.0.0.0/0\" accepted=\"0.0.0.0/0 === 2001:db8::/32\" "
	    "option=networks");
	r.end[0].acts[0] = '\0';
	rig_carry(&r, 1);
	rig_did(&r, 0, "alive");
	rig_told(_i == 0 ? "the peer refuses the Child SA (NO_PROPOSAL_CHOSEN; option esp)" :
	    "the peer refuses the Child SA (TS_UNACCEPTABLE; option networks)");
	ck_assert_int_eq(child_of(&r, 0, 0)->state, CHILD_UP);
	ck_assert_uint_ge(child_of(&r, 0, 0)->rekey_at, r.now + USEC_S(20));
	ck_assert_uint_lt(child_of(&r, 0, 0)->rekey_at, r.now + USEC_S(30));
	rig_agree(&r);
	rig_pass(&r, USEC_S(30), false);
	rig_said(&r, 0, "CREATE_CHILD_SA 3 08: SK{N(REKEY_SA) SA Nonce KE TSi TSr}");
	rig_fini(&r);
}
END_TEST

/* 2.25: the peer is busy: the same again after 1 to 3 s. */
START_TEST(a_busy_peer_is_asked_again)
{
	struct rig r;

	rig_up(&r, 7);
	rig_rekey(&r, 1, true);			/* what it is busy with */
	rig_rekey(&r, 0, false);
	rig_carry(&r, 0);
	rig_said(&r, 1, "CREATE_CHILD_SA 2 20: SK{N(TEMPORARY_FAILURE)}");
	rig_lose(&r, 1);			/* its own request is late */
	rig_post_notify(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, 2, N_TEMPORARY_FAILURE);
	ck_assert_int_eq(child_of(&r, 0, 0)->state, CHILD_UP);
	ck_assert_uint_ge(child_of(&r, 0, 0)->rekey_at, r.now + USEC_S(1));
	ck_assert_uint_lt(child_of(&r, 0, 0)->rekey_at, r.now + USEC_S(3));
	rig_pass(&r, USEC_S(10), true);
	rig_agree(&r);
	ck_assert_uint_eq(rig_status(&r, 0)->child_rekeys, 1);
	ck_assert_uint_eq(rig_status(&r, 0)->ike_rekeys, 1);
	rig_fini(&r);
}
END_TEST

/* 2.25: the peer does not have what we rekey: it goes, and another is asked for. */
START_TEST(what_the_peer_has_not_goes)
{
	struct rig r;

	rig_up(&r, 8);
	child_drop(child_of(&r, 1, 0), "lost");
	rig_drain(&r, 1);
	rig_rekey(&r, 0, false);
	rig_carry(&r, 0);
	rig_said(&r, 1, "CREATE_CHILD_SA 2 20: SK{N(CHILD_SA_NOT_FOUND)}");
	r.end[0].acts[0] = '\0';
	rig_carry(&r, 1);
	rig_did(&r, 0, "alive drop0 down");
	ck_assert_str_eq(r.end[0].reason, "the peer does not have the Child SA any more");
	rig_pass(&r, USEC_MS(999), true);
	rig_did(&r, 0, "");
	rig_pass(&r, USEC_MS(501), false);
	rig_said(&r, 0, "CREATE_CHILD_SA 3 08: SK{SA Nonce KE TSi TSr}");
	rig_pump(&r);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* A Child SA that replaces none and is refused makes its IKE SA useless: anew. */
START_TEST(without_a_child_there_is_no_use)
{
	struct rig r;

	rig_up(&r, 9);
	child_drop(child_of(&r, 0, 0), "lost");
	ike_sa_step(rig_sa(&r, 0));
	rig_drain(&r, 0);
	rig_pass(&r, USEC_MS(1500), false);
	rig_said(&r, 0, "CREATE_CHILD_SA 2 08: SK{SA Nonce KE TSi TSr}");
	rig_carry(&r, 0);
	rig_said(&r, 1, "CREATE_CHILD_SA 2 20: SK{N(NO_ADDITIONAL_SAS)}");
	rig_carry(&r, 1);
	rig_said(&r, 0, "INFORMATIONAL 3 08: SK{D(IKE)}");
	ck_assert_str_eq(rig_status(&r, 0)->reason,
	    "the peer refuses the Child SA (NO_ADDITIONAL_SAS; option esp)");
	rig_pass(&r, USEC_S(3), true);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* ---- in the name of an end ---- */

struct letter {
	const char *what;
	uint32_t without;		/* P_* */
	uint16_t group;			/* of KE; 0: as is right */
	size_t nonce_len, ke_len;	/* 0: as is right */
	bool zero, other_suite, other_group, second, broken_sa, broken_ts, small_spi, critical;
	bool other_tsi, other_tsr, fresh;
	uint32_t rekey;			/* 0: the one that there is */
	const char *answer;
};

static void
write_payloads(struct rig *r, const struct letter *l)
{
	static const uint8_t bytes[2][300] = { { 9, 9, 9 }, { 0 } };
	struct esp_suite suite = { l->other_suite ? AEAD_AES_GCM_16_128 : AEAD_AES_GCM_16_256,
	    l->other_group ? KE_ECP_256 : KE_CURVE25519, false };
	struct esp_choice second = { 2, 0x12345678, { AEAD_AES_GCM_16_256, KE_ECP_256, true } };
	struct ts_list all = rig_net("0.0.0.0/0"), other = rig_net("2001:db8::/32");
	struct pld_ke ke = { l->group ? l->group : 31, bytes[l->zero],
	    l->ke_len ? l->ke_len : 32 };
	struct wr *w = msg_add(&r->mw, PLD_SA);

	if (l->second)
		sa_write_esp_choice(w, &second, 0x12345678);
	else
		sa_write_esp(w, &suite, 1, l->small_spi ? 255 : 0x12345678, true);
	if (l->broken_sa)
		wr_u8(w, 0);
	pld_nonce_write(msg_add(&r->mw, PLD_NONCE),
	    (struct slice){ bytes[0], l->nonce_len ? l->nonce_len : 32 });
	if ((l->without & P_KE) == 0)
		pld_ke_write(msg_add(&r->mw, PLD_KE), &ke);
	ts_write(msg_add(&r->mw, PLD_TSI), l->other_tsi ? &other : &all);
	if ((l->without & P_TSR) == 0)
		ts_write(msg_add(&r->mw, PLD_TSR), l->other_tsr ? &other : &all);
	if (l->broken_ts)
		wr_u8(&r->mw.w, 0);
	if (l->critical) {
		size_t at = wr_len(&r->mw.w);

		msg_add_bytes(&r->mw, 202, (struct slice){ bytes[0], 4 });
		wr_put_u8(&r->mw.w, at + 1, 0x80);
	}
}

/* What a request may be refused with, by what is wrong with it; what there was stays. */
START_TEST(a_request_is_refused_by_its_fault)
{
	static const struct letter letters[] = {
		{ .what = "sound", .answer = "SA Nonce KE TSi TSr" },
		{ .what = "a short nonce", .nonce_len = 15, .answer = "N(INVALID_SYNTAX)" },
		{ .what = "a long nonce", .nonce_len = 257, .answer = "N(INVALID_SYNTAX)" },
		{ .what = "no TSr", .without = P_TSR, .answer = "N(INVALID_SYNTAX)" },
		{ .what = "a broken SA", .broken_sa = true, .answer = "N(INVALID_SYNTAX)" },
		{ .what = "a short KE", .ke_len = 31, .answer = "N(INVALID_SYNTAX)" },
		{ .what = "KE that is zero", .zero = true, .answer = "N(INVALID_SYNTAX)" },
		{ .what = "KE of another group", .group = 19, .ke_len = 64,
		    .answer = "N(INVALID_KE_PAYLOAD:001f)" },
		{ .what = "no KE", .without = P_KE, .answer = "N(INVALID_KE_PAYLOAD:001f)" },
		{ .what = "another group", .other_group = true, .answer = "N(NO_PROPOSAL_CHOSEN)" },
		{ .what = "another suite", .other_suite = true, .answer = "N(NO_PROPOSAL_CHOSEN)" },
		{ .what = "a reserved SPI", .small_spi = true, .answer = "N(NO_PROPOSAL_CHOSEN)" },
		{ .what = "other TSi", .other_tsi = true, .answer = "N(TS_UNACCEPTABLE)" },
		{ .what = "other TSr", .other_tsr = true, .answer = "N(TS_UNACCEPTABLE)" },
		{ .what = "a broken TSr", .broken_ts = true, .answer = "N(INVALID_SYNTAX)" },
		{ .what = "an unknown SPI", .rekey = 0x777, .answer = "N(CHILD_SA_NOT_FOUND)" },
		{ .what = "one more", .fresh = true, .answer = "N(NO_ADDITIONAL_SAS)" },
		{ .what = "critical", .critical = true,
		    .answer = "N(UNSUPPORTED_CRITICAL_PAYLOAD:ca)" },
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
		const struct letter *l = &letters[i];
		char text[RIG_TEXT];
		uint8_t spi[4];
		struct wr w = wr_init(spi, sizeof(spi));
		struct rig r;

		rig_up(&r, 10);
		wr_u32(&w, l->rekey ? l->rekey : r.end[0].child[0]->spi_in);
		rig_write(&r, rig_sa(&r, 0), X_CREATE_CHILD_SA, false, 2);
		if (!l->fresh)
			pld_notify_write(msg_add(&r.mw, PLD_N), &(struct pld_notify){
				.proto = PROTO_ESP, .type = N_REKEY_SA, .spi = { spi, 4 } });
		write_payloads(&r, l);
		rig_post(&r);
		snprintf(text, sizeof(text), "CREATE_CHILD_SA 2 20: SK{%s}", l->answer);
		rig_said(&r, 1, text);
		rig_did(&r, 1, i == 0 ? "alive work in1 send" : l->zero ? "alive work send" :
		    "alive send");
		ck_assert_msg(r.end[1].child_n == (i == 0 ? 2 : 1), "%s", l->what);
		ck_assert_uint_eq(rig_totals(&r, 1).child_sas, i == 0 ? 2 : 1);
		ck_assert_int_eq(child_of(&r, 1, 0)->state, i == 0 ? CHILD_REKEYED : CHILD_UP);
		ck_assert_uint_eq(rig_status(&r, 1)->child_spi_in, r.end[1].child[0]->spi_in);
		if (l->rekey != 0) {		/* it is told which */
			uint8_t plain[RIG_DATAGRAM];
			struct msg m;

			rig_read(&r, 1, plain, &m);
			ck_assert_uint_eq(pld_notify_esp_spi(&m.notify[0]), l->rekey);
			ck_assert_uint_eq(m.notify[0].proto, PROTO_ESP);
		}
		rig_fini(&r);
	}
}
END_TEST

/* An answer that is not what we offered: the peer has something now, so it is told to delete
 * that; what there was stays in charge. */
START_TEST(an_answer_is_checked)
{
	static const struct letter letters[] = {
		{ .what = "sound" },
		{ .what = "a short nonce", .nonce_len = 15 },
		{ .what = "a broken SA", .broken_sa = true },
		{ .what = "a short KE", .ke_len = 31 },
		{ .what = "KE that is zero", .zero = true },
		{ .what = "KE of another group", .group = 19, .ke_len = 64 },
		{ .what = "KE by another name", .group = 19 },
		{ .what = "no KE", .without = P_KE },
		{ .what = "another group", .other_group = true },
		{ .what = "another suite", .other_suite = true },
		{ .what = "another group of ours", .second = true },
		{ .what = "other TSi", .other_tsi = true },
		{ .what = "other TSr", .other_tsr = true },
		{ .what = "a broken TSr", .broken_ts = true },
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
		struct rig r;
		uint32_t spi;

		rig_init(&r, 11);
		r.end[0].conf.esp_n = 2;
		r.end[0].conf.esp[1] = r.end[0].conf.esp[0];
		r.end[0].conf.esp[1].group = KE_ECP_256;
		rig_bring_up(&r);
		rig_rekey(&r, 0, false);
		rig_said(&r, 0, ASK);
		spi = rig_sa(&r, 0)->mine->child_spi;
		r.end[0].acts[0] = '\0';
		rig_write(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, true, 2);
		write_payloads(&r, &letters[i]);
		rig_post(&r);
		rig_said(&r, 0, "INFORMATIONAL 3 08: SK{D(ESP:1)}");
		ck_assert_msg(r.end[0].child_n == (i == 0 ? 2 : 1), "%s", letters[i].what);
		ck_assert_uint_eq(delete_spi(&r, 0), i == 0 ? r.end[0].child[0]->spi_in : spi);
		ck_assert_int_eq(child_of(&r, 0, 0)->state, i == 0 ? CHILD_DELETING : CHILD_UP);
		if (i > 0)
			rig_did(&r, 0, letters[i].zero ? "alive work send" : "alive send");
		rig_write(&r, rig_sa(&r, 1), X_INFORMATIONAL, true, 3);
		rig_post(&r);
		ck_assert_uint_eq(rig_totals(&r, 0).child_sas, 1);
		rig_fini(&r);
	}
}
END_TEST

/* ---- both at once ---- */

/* 2.8.1: both requests cross.  One pair of SAs is left, not the one with the lowest of the
 * four nonces; nobody is without one in between. */
START_TEST(of_two_rekeys_one_stays)
{
	unsigned won[2] = { 0, 0 };

	for (uint64_t seed = 0; seed < 12; seed++) {
		const struct child *c[2];
		unsigned winner;
		struct rig r;

		rig_up(&r, seed);
		rig_rekey(&r, 0, false);
		rig_rekey(&r, 1, false);
		rig_carry(&r, 0);
		rig_carry(&r, 1);
		rig_said(&r, 1, GRANT);		/* as usual */
		rig_said(&r, 0, "CREATE_CHILD_SA 0 28: SK{SA Nonce KE TSi TSr}");
		ck_assert_uint_eq(rig_totals(&r, 0).child_sas, 3);
		c[0] = child_of(&r, 1, 1);	/* as end 1 has it from end 0's request */
		c[1] = child_of(&r, 0, 1);
		winner = collide_lower(&c[0]->low, &c[1]->low);
		won[winner]++;
		rig_pump(&r);
		rig_agree(&r);
		for (unsigned e = 0; e < 2; e++) {
			ck_assert_ptr_null(strstr(r.end[e].acts, "down"));
			ck_assert(r.end[e].child[rig_child_no(&r.end[e],
			    rig_status(&r, e)->child_spi_in)]->initiator == (e == winner));
		}
		rig_fini(&r);
	}
	ck_assert(won[0] > 0 && won[1] > 0);
}
END_TEST

/* The peer asks for what we have not asked for yet: ours is forgotten, its work unused. */
START_TEST(who_has_not_asked_yet_stands_back)
{
	struct rig r;

	rig_up(&r, 13);
	r.end[0].late = true;
	rig_rekey(&r, 0, false);
	rig_rekey(&r, 1, false);
	rig_carry(&r, 1);
	rig_did(&r, 0, "work alive work");
	rig_work(&r, 0);
	rig_did(&r, 0, "in1 send");
	r.end[0].late = false;
	rig_pump(&r);
	rig_agree(&r);
	for (unsigned e = 0; e < 2; e++)
		ck_assert_uint_eq(rig_status(&r, e)->child_rekeys, 1);
	rig_fini(&r);
}
END_TEST

/* What we were about to rekey is deleted while the key is computed: nothing is asked. */
START_TEST(what_is_gone_is_not_rekeyed)
{
	struct rig r;

	rig_up(&r, 14);
	r.end[0].late = true;
	rig_rekey(&r, 0, false);
	rig_write(&r, rig_sa(&r, 1), X_INFORMATIONAL, false, 0);
	pld_delete_write(msg_add(&r.mw, PLD_D), PROTO_ESP, &r.end[1].child[0]->spi_in, 1);
	rig_post(&r);
	rig_did(&r, 0, "work alive send drop0 down");
	rig_work(&r, 0);
	rig_did(&r, 0, "");
	ck_assert_int_eq(rig_sa(&r, 0)->req.kind, REQ_NONE);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, a_rekey_makes_before_it_breaks, 0, 4);
	tcase_add_test(tc, nothing_is_granted_before_its_work);
	tcase_add_test(tc, a_repeated_request_gets_the_same_answer);
	tcase_add_test(tc, another_group_is_wanted);
	tcase_add_test(tc, groups_are_not_tried_without_end);
	tcase_add_loop_test(tc, a_refused_rekey_leaves_the_old_one, 0, 2);
	tcase_add_test(tc, a_busy_peer_is_asked_again);
	tcase_add_test(tc, what_the_peer_has_not_goes);
	tcase_add_test(tc, without_a_child_there_is_no_use);
	tcase_add_test(tc, a_request_is_refused_by_its_fault);
	tcase_add_test(tc, an_answer_is_checked);
	tcase_add_test(tc, of_two_rekeys_one_stays);
	tcase_add_test(tc, who_has_not_asked_yet_stands_back);
	tcase_add_test(tc, what_is_gone_is_not_rekeyed);
}

UNIT_MAIN("ike/childx", fill)
