/* SPDX-License-Identifier: MIT */
#include "ike/authx.h"

#include "tests/unit/ike_exchange_rig.h"

#define PROOF	"IKE_AUTH 1 08: SK{IDi AUTH N(INITIAL_CONTACT) IDr SA TSi TSr}"
#define ANSWER	"IKE_AUTH 1 20: SK{IDr AUTH SA TSi TSr}"
#define FAILED	"IKE_AUTH 1 20: SK{N(AUTHENTICATION_FAILED)}"

static const struct ike_id other = { .type = ID_FQDN, .len = 5, .data = "other" };

/* As far as the initiator's proof, which waits; `hear` keeps the log of what follows. */
static void
until_proof(struct rig *r, bool hear)
{
	rig_start(r);
	rig_carry(r, 0);
	rig_carry(r, 1);
	rig_said(r, 0, PROOF);
	r->end[0].acts[0] = r->end[1].acts[0] = '\0';
	if (hear)
		rig_listen(LOG_LEVEL_INFO);
}

/* What AUTH of a captured message must be (2.15), from the bytes that were on the wire. */
static void
check_proof(const struct rig_datagram init[2], const struct ike_sa *sa, const struct msg *m)
{
	bool by_i = (m->h.flags & IKE_F_RESPONSE) == 0;
	const struct rig_datagram *own = &init[by_i ? 0 : 1], *far = &init[by_i ? 1 : 0];
	const struct ike_keys *k = &sa->keys->k;
	struct slice psk = { (const uint8_t *)"a secret of both", 16 };
	uint8_t want[PRF_LEN_MAX];
	struct pld_auth auth;
	struct auth_in in;
	struct rd body;
	struct msg f;

	ck_assert_int_eq(msg_parse(far->data, far->len, &f), MSG_OK);
	in = (struct auth_in){ .prf = PRF_HMAC_SHA2_256, .message = { own->data, own->len },
	    .nonce = msg_body(&f, PLD_NONCE), .sk_p = { by_i ? k->sk_pi : k->sk_pr, 32 },
	    .id = msg_body(m, by_i ? PLD_IDI : PLD_IDR) };
	ck_assert(auth_psk_make(&in, psk, want));
	msg_find(m, PLD_AUTH, &body);
	ck_assert(pld_auth_parse(body, &auth));
	ck_assert_uint_eq(auth.method, AUTH_METHOD_PSK);
	ck_assert_uint_eq(auth.len, 32);
	ck_assert_mem_eq(auth.data, want, 32);
}

static void
check_id(const struct msg *m, uint8_t type, const struct ike_id *id)
{
	struct ike_id came;
	struct rd body;

	ck_assert(msg_find(m, type, &body) && pld_id_parse(body, &came));
	ck_assert(id_equal(&came, id));
}

/* Both messages, what they prove, and the order in which each end takes the Child SA: the
 * responder has it before its answer leaves (2.8). */
START_TEST(each_proves_who_it_is)
{
	struct rig_datagram init[2];
	uint8_t plain[RIG_DATAGRAM];
	struct sa offer;
	struct rd body;
	struct rig r;
	struct msg m;

	rig_init(&r, 1);
	rig_start(&r);
	init[0] = *rig_last(&r, 0);
	rig_carry(&r, 0);
	init[1] = *rig_last(&r, 1);
	rig_carry(&r, 1);
	r.end[0].acts[0] = r.end[1].acts[0] = '\0';
	rig_said(&r, 0, PROOF);
	rig_read(&r, 0, plain, &m);
	check_proof(init, rig_sa(&r, 0), &m);
	check_id(&m, PLD_IDI, &r.end[0].conf.local_id);
	check_id(&m, PLD_IDR, &r.end[1].conf.local_id);
	msg_find(&m, PLD_SA, &body);
	ck_assert(sa_parse(body, &offer) && offer.n == 1 && offer.p[0].spi_len == 4);
	for (unsigned i = 0; i < offer.p[0].n; i++)	/* no group in IKE_AUTH */
		ck_assert_uint_ne(offer.p[0].t[i].type, TRANSFORM_KE);

	rig_carry(&r, 0);
	rig_did(&r, 1, "in0 send out0 up");
	rig_said(&r, 1, ANSWER);
	rig_read(&r, 1, plain, &m);
	check_proof(init, rig_sa(&r, 0), &m);
	check_id(&m, PLD_IDR, &r.end[1].conf.local_id);
	rig_carry(&r, 1);
	rig_did(&r, 0, "in0 out0 up");
	ck_assert_ptr_null(rig_sa(&r, 0)->opening);
	ck_assert_ptr_null(rig_sa(&r, 1)->opening);
	ck_assert(id_equal(&rig_status(&r, 1)->peer_id, &r.end[0].conf.local_id));
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* 2.1, 2.2: once more gets the stored bytes, and is not worked on. */
START_TEST(a_repeated_proof_gets_the_same_answer)
{
	struct rig_datagram proof, answer;
	struct rig r;

	rig_init(&r, 2);
	until_proof(&r, false);
	proof = *rig_last(&r, 0);
	rig_carry(&r, 0);
	answer = *rig_last(&r, 1);
	rig_did(&r, 1, "in0 send out0 up");
	rig_inject(&r, 1, &proof);
	rig_did(&r, 1, "send");
	ck_assert_uint_eq(rig_last(&r, 1)->len, answer.len);
	ck_assert_mem_eq(rig_last(&r, 1)->data, answer.data, answer.len);
	rig_pump(&r);
	rig_did(&r, 0, "in0 out0 up");
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* A wrong secret: one answer, repeated as it was; no second chance in the same IKE SA. */
START_TEST(another_secret_is_refused)
{
	struct rig_datagram proof, answer;
	struct rig r;

	rig_init(&r, 3);
	r.end[1].conf.psk = (const uint8_t *)"a secret of none";
	until_proof(&r, true);
	proof = *rig_last(&r, 0);
	rig_carry(&r, 0);
	rig_did(&r, 1, "send");
	rig_said(&r, 1, FAILED);
	answer = *rig_last(&r, 1);
	ck_assert_int_eq(rig_sa(&r, 1)->state, SA_REFUSED);
	ck_assert_uint_eq(rig_totals(&r, 1).auth_failed, 1);
	rig_told("auth-failed tunnel=? peer=192.0.2.1");
	rig_told("the peer's proof is wrong: the pre-shared keys differ (option psk-file)");
	ck_assert_ptr_null(strstr(rig_lines, "a secret of"));
	r.end[1].conf.psk = r.end[0].conf.psk;
	rig_set(&r, 1);
	rig_inject(&r, 1, &proof);
	rig_did(&r, 1, "send");
	ck_assert_mem_eq(rig_last(&r, 1)->data, answer.data, answer.len);
	rig_write(&r, rig_sa(&r, 0), X_IKE_AUTH, false, 2);
	rig_post(&r);
	rig_did(&r, 1, "");
	rig_carry(&r, 1);
	rig_did(&r, 0, "");
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
	ck_assert_str_eq(rig_status(&r, 0)->reason, "the peer refuses us "
	    "(AUTHENTICATION_FAILED): we are end-0 and expect end-1 "
	    "(options local-id, remote-id, psk-file)");
	rig_lose(&r, 1);
	rig_pass(&r, USEC_S(10), true);
	rig_agree(&r);				/* the next attempt, by the right secret */
	rig_fini(&r);
}
END_TEST

/* Who we do not expect, and who expects somebody else, whichever end is configured so. */
START_TEST(another_identity_is_refused)
{
	static const char *const said[] = {
		"the peer says it is other and asks for end-1; site/1 expects end-0 and is end-1",
		"the peer says it is end-0 and asks for other; site/1 expects end-0 and is end-1",
		"the peer says it is end-0 and asks for end-1; site/1 expects other and is end-1",
	};
	struct rig r;

	rig_init(&r, 4);
	if (_i == 0)
		r.end[0].conf.local_id = other;
	else if (_i == 1)
		r.end[0].conf.remote_id = other;
	else
		r.end[1].conf.remote_id = other;
	until_proof(&r, true);
	rig_carry(&r, 0);
	rig_did(&r, 1, "send");
	rig_said(&r, 1, FAILED);
	rig_told(said[_i]);
	rig_told("(options remote-id, local-id)");
	ck_assert_uint_eq(rig_totals(&r, 1).auth_failed, 1);
	rig_fini(&r);
}
END_TEST

/* Of two tunnels between the same addresses the one of the peer's identity is taken, with its
 * secret. */
START_TEST(the_tunnel_is_found_by_identity)
{
	struct rig r;

	rig_init(&r, 5);
	r.end[1].conf.id = 2;
	r.end[1].conf.remote_id = other;
	r.end[1].conf.psk = (const uint8_t *)"a secret of none";
	rig_set(&r, 1);
	r.end[1].conf = rig_conf(1);
	rig_bring_up(&r);
	ck_assert_uint_eq(r.end[1].child[0]->tunnel, 1);
	ck_assert_uint_eq(r.end[1].child[0]->spi_in % 3, 1);
	rig_fini(&r);
}
END_TEST

/* ---- in the name of an end ---- */

struct claim {
	const char *what;
	const struct ike_id *id;	/* NULL: its own */
	const char *psk;		/* NULL: the right one */
	uint8_t method;			/* 0: PSK */
	bool empty, broken_id;		/* AUTH, ID without data */
	uint32_t without;		/* P_* */
	uint8_t critical;		/* one more payload, critical */
	uint16_t notify;		/* in the place of SA, TSi, TSr */
};

static void
write_proof(struct rig *r, const struct ike_sa *sa, const struct claim *c)
{
	const struct ike_tunnel *conf = &r->end[sa->initiator ? 0 : 1].conf;
	const struct nego *n = sa->initiator ? sa->mine : sa->theirs;
	const struct bytes *init = sa->initiator ? sa->opening->request : sa->opening->response;
	const struct ike_keys *k = &sa->keys->k;
	struct slice psk = { (const uint8_t *)(c->psk ? c->psk : "a secret of both"), 16 };
	uint8_t id[64], proof[PRF_LEN_MAX];
	struct wr w = wr_init(id, sizeof(id));
	struct pld_auth auth = { c->method ? c->method : AUTH_METHOD_PSK, proof,
	    c->empty ? 0 : 32 };
	struct auth_in in = { .prf = k->prf, .message = { init->data, init->len },
	    .nonce = { sa->initiator ? n->nr : n->ni, 32 },
	    .sk_p = { sa->initiator ? k->sk_pi : k->sk_pr, 32 } };

	pld_id_write(&w, c->id ? c->id : &conf->local_id);
	in.id = (struct slice){ id, c->broken_id ? 4 : wr_len(&w) };
	ck_assert(auth_psk_make(&in, psk, proof));
	msg_add_bytes(&r->mw, sa->initiator ? PLD_IDI : PLD_IDR, in.id);
	if ((c->without & P_AUTH) == 0)
		pld_auth_write(msg_add(&r->mw, PLD_AUTH), &auth);
}

/* IKE_AUTH of end `e`, which has computed its keys. */
static void
claim(struct rig *r, unsigned e, const struct claim *c)
{
	struct ike_sa *sa = rig_sa(r, e);
	const struct ike_tunnel *conf = &r->end[e].conf;
	size_t at;

	rig_write(r, sa, X_IKE_AUTH, e == 1, 1);
	write_proof(r, sa, c);
	if (c->notify != 0) {
		msg_add_notify(&r->mw, c->notify, NULL, 0);
	} else {
		sa_write_esp(msg_add(&r->mw, PLD_SA), conf->esp, 1, 0x12345678, false);
		ts_write(msg_add(&r->mw, PLD_TSI), &conf->ts_local);
		if ((c->without & P_TSR) == 0)
			ts_write(msg_add(&r->mw, PLD_TSR), &conf->ts_remote);
	}
	at = wr_len(&r->mw.w);
	if (c->critical != 0) {
		msg_add_bytes(&r->mw, c->critical, (struct slice){ other.data, 5 });
		wr_put_u8(&r->mw.w, at + 1, 0x80);
	}
	rig_post(r);
}

/* What a proof must be, and what is answered where it is not. */
START_TEST(a_proof_that_is_none_is_refused)
{
	static const struct { struct claim c; const char *answer; } claims[] = {
		{ { .what = "sound" }, ANSWER },
		{ { .what = "another secret", .psk = "a secret of none" }, FAILED },
		{ { .what = "another identity", .id = &other }, FAILED },
		{ { .what = "another method", .method = AUTH_METHOD_SIGNATURE }, FAILED },
		{ { .what = "an empty proof", .empty = true }, FAILED },
		{ { .what = "no proof: EAP", .without = P_AUTH }, FAILED },
		{ { .what = "no TSr", .without = P_TSR },
		    "IKE_AUTH 1 20: SK{N(INVALID_SYNTAX)}" },
		{ { .what = "an empty identity", .broken_id = true },
		    "IKE_AUTH 1 20: SK{N(INVALID_SYNTAX)}" },
		{ { .what = "critical", .critical = 201 },
		    "IKE_AUTH 1 20: SK{N(UNSUPPORTED_CRITICAL_PAYLOAD:c9)}" },
	};

	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		struct rig r;

		rig_init(&r, 6);
		until_proof(&r, true);
		rig_lose(&r, 0);
		claim(&r, 0, &claims[i].c);
		rig_said(&r, 1, claims[i].answer);
		ck_assert_msg(r.end[1].child_n == (i == 0), "%s", claims[i].c.what);
		ck_assert_int_eq(rig_sa(&r, 1)->state, i == 0 ? SA_UP : SA_REFUSED);
		if (claims[i].c.without == P_AUTH)
			rig_told("it wants EAP");
		rig_fini(&r);
	}
}
END_TEST

/* The responder's proof is judged before anything of the Child SA is used; a peer that has an
 * IKE SA now is told to delete it. */
START_TEST(an_answer_that_proves_nothing_is_refused)
{
	static const struct { struct claim c; const char *why; bool delete; } claims[] = {
		{ { .what = "another secret", .psk = "a secret of none" }, "psk-file", true },
		{ { .what = "another method", .method = AUTH_METHOD_RSA }, "psk-file", true },
		{ { .what = "an empty proof", .empty = true }, "psk-file", true },
		{ { .what = "another identity", .id = &other },
		    "the peer says it is other, expected end-1 (option remote-id)", true },
		{ { .what = "an empty identity", .broken_id = true }, "remote-id", true },
		{ { .what = "another secret, no child", .psk = "a secret of none",
		    .notify = N_TS_UNACCEPTABLE }, "psk-file", true },
		{ { .what = "no child", .notify = N_TS_UNACCEPTABLE },
		    "(TS_UNACCEPTABLE; option networks)", true },
		{ { .what = "no proof", .without = P_AUTH }, "malformed", false },
		{ { .what = "critical", .critical = 201 }, "malformed", false },
	};

	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		struct rig r;

		rig_init(&r, 7);
		until_proof(&r, false);
		claim(&r, 1, &claims[i].c);
		ck_assert_msg(strstr(rig_status(&r, 0)->reason, claims[i].why) != NULL,
		    "%s: \"%s\"", claims[i].c.what, rig_status(&r, 0)->reason);
		rig_did(&r, 0, claims[i].delete ? "send" : "");
		if (claims[i].delete)
			rig_said(&r, 0, "INFORMATIONAL 2 08: SK{D(IKE)}");
		else
			ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
		ck_assert_uint_eq(rig_totals(&r, 0).child_sas, 0);
		rig_fini(&r);
	}
}
END_TEST

/* 1.2, 2.21.2: who they are is agreed but not what to protect: proof and error; the initiator
 * then deletes the IKE SA.  Both logs name what each has, and the option. */
START_TEST(no_child_can_be_agreed)
{
	struct rig r;

	rig_init(&r, 8);
	if (_i == 0)
		r.end[1].conf.esp[0].enc = AEAD_AES_GCM_16_128;
	else
		r.end[1].conf.ts_remote = rig_net("10.3.0.0/16");
	r.end[0].conf.ts_local = rig_net("10.1.0.0/16");
	until_proof(&r, true);
	rig_carry(&r, 0);
	rig_did(&r, 1, "send");
	rig_said(&r, 1, _i == 0 ? "IKE_AUTH 1 20: SK{IDr AUTH N(NO_PROPOSAL_CHOSEN)}" :
	    "IKE_AUTH 1 20: SK{IDr AUTH N(TS_UNACCEPTABLE)}");
	rig_told(_i == 0 ? "offered=\"ESP:AES_GCM_16_256/ESN|NO_ESN\" "
	    "accepted=\"aes128gcm16-curve25519\" option=esp" :
	    "offered=\"10.1.0.0/16 === 0.0.0.0/0\" accepted=\"10.3.0.0/16 === 0.0.0.0/0\" "
	    "option=networks");
	rig_carry(&r, 1);
	rig_did(&r, 0, "send");
	rig_told(_i == 0 ? "notify=NO_PROPOSAL_CHOSEN offered=\"aes256gcm16-curve25519\" "
	    "selectors=\"10.1.0.0/16 === 0.0.0.0/0\" option=esp" :
	    "notify=TS_UNACCEPTABLE offered=\"aes256gcm16-curve25519\" "
	    "selectors=\"10.1.0.0/16 === 0.0.0.0/0\" option=networks");
	ck_assert_str_eq(rig_status(&r, 0)->reason, _i == 0 ?
	    "the peer refuses the Child SA (NO_PROPOSAL_CHOSEN; option esp)" :
	    "the peer refuses the Child SA (TS_UNACCEPTABLE; option networks)");
	rig_said(&r, 0, "INFORMATIONAL 2 08: SK{D(IKE)}");
	rig_carry(&r, 0);
	rig_said(&r, 1, "INFORMATIONAL 2 20: SK{}");
	rig_carry(&r, 1);
	for (unsigned e = 0; e < 2; e++)
		ck_assert_uint_eq(rig_totals(&r, e).ike_sas + rig_totals(&r, e).child_sas, 0);
	rig_fini(&r);
}
END_TEST

/* 2.9: the answer holds what both allow, and both go by it. */
START_TEST(selectors_are_narrowed)
{
	struct ts_list l = rig_net("10.1.0.0/16"), came;
	uint8_t plain[RIG_DATAGRAM];
	struct rd body;
	struct rig r;
	struct msg m;

	rig_init(&r, 9);
	r.end[1].conf.ts_remote = l;
	until_proof(&r, false);
	rig_carry(&r, 0);
	rig_read(&r, 1, plain, &m);
	msg_find(&m, PLD_TSI, &body);
	ck_assert(ts_parse(body, &came) && ts_list_equal(&came, &l));
	rig_pump(&r);
	rig_agree(&r);
	ck_assert(ts_list_equal(&r.end[0].child[0]->ts_local, &l));
	ck_assert(ts_list_equal(&rig_status(&r, 0)->ts_local, &l));
	rig_fini(&r);
}
END_TEST

/* An answer wider than what we (now) want is not narrowed: no Child SA, and no IKE SA. */
START_TEST(selectors_are_never_widened)
{
	struct rig r;

	rig_init(&r, 10);
	until_proof(&r, false);
	r.end[0].conf.ts_local = rig_net("10.1.0.0/16");
	rig_set(&r, 0);
	rig_carry(&r, 0);
	rig_carry(&r, 1);
	rig_did(&r, 0, "send");
	rig_said(&r, 0, "INFORMATIONAL 2 08: SK{D(IKE)}");
	ck_assert_str_eq(rig_status(&r, 0)->reason,
	    "the peer's answer about the Child SA is not what we offered");
	rig_fini(&r);
}
END_TEST

/* 2.4: a peer that has started anew knows nothing of before: what there was goes at once,
 * after the new one is there. */
START_TEST(initial_contact_ends_what_was_before)
{
	struct rig r;

	rig_up(&r, 11);
	r.now += USEC_S(5);
	rig_restart(&r, 0, 99);
	until_proof(&r, false);
	rig_carry(&r, 0);
	rig_did(&r, 1, "in1 send out1 drop0");
	rig_carry(&r, 1);
	rig_agree(&r);
	ck_assert(rig_status(&r, 0)->up);
	rig_fini(&r);
}
END_TEST

/* Both open at once: each says INITIAL_CONTACT, and neither ends what the other has made.
 * After a second one is left, and traffic never had none. */
START_TEST(initial_contact_spares_the_same_moment)
{
	struct rig_datagram proof;
	struct rig r;

	rig_init(&r, 12);
	r.end[1].conf.start = true;
	rig_start(&r);
	rig_tick(&r, 1);
	for (unsigned i = 0; i < 2; i++) {
		rig_carry(&r, 0);
		rig_carry(&r, 1);
	}
	proof = *rig_last(&r, 1);		/* each has answered the other's opening */
	ck_assert_str_eq(proof.text, PROOF);
	rig_lose(&r, 1);
	r.now += USEC_MS(10);
	rig_carry(&r, 0);
	rig_carry(&r, 1);
	ck_assert(rig_status(&r, 0)->up && rig_status(&r, 1)->up);
	rig_inject(&r, 0, &proof);
	rig_pump(&r);
	for (unsigned e = 0; e < 2; e++) {
		ck_assert_uint_eq(rig_totals(&r, e).ike_sas, 2);
		ck_assert_uint_eq(rig_totals(&r, e).child_sas, 2);
	}
	rig_pass(&r, USEC_S(2), true);
	rig_agree(&r);
	for (unsigned e = 0; e < 2; e++)
		ck_assert_ptr_null(strstr(r.end[e].acts, "down"));
	rig_fini(&r);
}
END_TEST

/* While an IKE SA of the tunnel is still up, a new one does not say INITIAL_CONTACT. */
START_TEST(initial_contact_is_not_said_twice)
{
	struct rig r;

	rig_up(&r, 13);
	rig_rekey(&r, 0, true);
	rig_lose(&r, 0);
	rig_tell(&r, 0, IKE_CLOSE);		/* it must first come to the end of its rekey */
	ck_assert_int_eq(rig_sa(&r, 0)->state, SA_UP);
	rig_tell(&r, 0, IKE_OPEN);
	rig_tick(&r, 0);
	rig_carry(&r, 0);
	rig_carry(&r, 1);
	rig_said(&r, 0, "IKE_AUTH 1 08: SK{IDi AUTH IDr SA TSi TSr}");
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, each_proves_who_it_is);
	tcase_add_test(tc, a_repeated_proof_gets_the_same_answer);
	tcase_add_test(tc, another_secret_is_refused);
	tcase_add_loop_test(tc, another_identity_is_refused, 0, 3);
	tcase_add_test(tc, the_tunnel_is_found_by_identity);
	tcase_add_test(tc, a_proof_that_is_none_is_refused);
	tcase_add_test(tc, an_answer_that_proves_nothing_is_refused);
	tcase_add_loop_test(tc, no_child_can_be_agreed, 0, 2);
	tcase_add_test(tc, selectors_are_narrowed);
	tcase_add_test(tc, selectors_are_never_widened);
	tcase_add_test(tc, initial_contact_ends_what_was_before);
	tcase_add_test(tc, initial_contact_spares_the_same_moment);
	tcase_add_test(tc, initial_contact_is_not_said_twice);
}

UNIT_MAIN("ike/authx", fill)
