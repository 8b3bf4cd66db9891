/* SPDX-License-Identifier: MIT */
#include "ike/rekeyx.h"

#include "ike/collide.h"
#include "tests/unit/ike_exchange_rig.h"

#define ASK	"CREATE_CHILD_SA 2 08: SK{SA Nonce KE}"

/* Of the IKE SAs of an end the one that is not `sa`; NULL: there is none. */
static struct ike_sa *
other_than(struct rig *r, unsigned e, const struct ike_sa *sa)
{
	size_t pos = 0;
	uint64_t key;
	void *p;

	while (map_each(r->end[e].ike->sas, &pos, &key, &p))
		if (p != sa)
			return p;
	return NULL;
}

/* The SPI in the last message's SA payload. */
static uint64_t
spi_in_sa(struct rig *r, unsigned e)
{
	uint8_t plain[RIG_DATAGRAM];
	struct rd body;
	struct sa sa;
	struct msg m;

	rig_read(r, e, plain, &m);
	ck_assert(msg_find(&m, PLD_SA, &body) && sa_parse(body, &sa));
	ck_assert_uint_eq(sa.n, 1);
	ck_assert_uint_eq(sa.p[0].spi_len, 8);
	ck_assert_uint_eq(sa.p[0].proto, PROTO_IKE);
	return sa.p[0].spi;
}

/* Both ends can talk by the one IKE SA that is left, whose message IDs start at 0. */
static void
check_heir(struct rig *r, unsigned by)
{
	rig_agree(r);
	for (unsigned e = 0; e < 2; e++) {
		ck_assert(rig_status(r, e)->initiator == (e == by));
		ck_assert_uint_eq(rig_status(r, e)->ike_rekeys, 1);
		ck_assert_uint_eq(rig_sa(r, e)->spi, rig_sa(r, 1 - e)->peer_spi);
		ck_assert_ptr_null(strstr(r->end[e].acts, "down"));
		r->end[e].acts[0] = '\0';
	}
	rig_tell(r, by, IKE_ASK);
	rig_said(r, by, "INFORMATIONAL 0 08: SK{}");
	rig_carry(r, by);
	rig_said(r, 1 - by, "INFORMATIONAL 0 20: SK{}");
	rig_carry(r, 1 - by);
	rig_did(r, by, "send alive");
}

/* 1.3.2, 2.18: the whole ladder by either end.  Child SAs go over untouched; whoever rekeyed
 * is the initiator of the new one, and deletes the old one in itself. */
START_TEST(an_heir_takes_over)
{
	static const char *const ladder[2][4] = {
		{ ASK, "CREATE_CHILD_SA 2 20: SK{SA Nonce KE}", "INFORMATIONAL 3 08: SK{D(IKE)}",
		  "INFORMATIONAL 3 20: SK{}" },
		{ "CREATE_CHILD_SA 0 00: SK{SA Nonce KE}", "CREATE_CHILD_SA 0 28: SK{SA Nonce KE}",
		  "INFORMATIONAL 1 00: SK{D(IKE)}", "INFORMATIONAL 1 28: SK{}" },
	};
	unsigned a = (unsigned)_i, b = 1 - a;
	struct ike_sa *old[2], *heir[2];
	struct ike_keys keys;
	uint64_t spi;
	struct rig r;

	rig_up(&r, 1);
	for (unsigned e = 0; e < 2; e++)
		old[e] = rig_sa(&r, e);
	keys = old[a]->keys->k;
	rig_rekey(&r, a, true);
	rig_did(&r, a, "work send");
	rig_said(&r, a, ladder[a][0]);
	spi = spi_in_sa(&r, a);
	rig_carry(&r, a);
	rig_did(&r, b, "alive work send");
	rig_said(&r, b, ladder[a][1]);
	heir[b] = other_than(&r, b, old[b]);
	ck_assert_uint_eq(spi_in_sa(&r, b), heir[b]->spi);
	ck_assert_uint_eq(heir[b]->peer_spi, spi);
	ck_assert_int_eq(old[b]->state, SA_REKEYED);
	ck_assert_int_eq(heir[b]->state, SA_UP);

	rig_carry(&r, b);
	rig_did(&r, a, "alive work send");
	rig_said(&r, a, ladder[a][2]);
	ck_assert_int_eq(old[a]->state, SA_DELETING);
	heir[a] = other_than(&r, a, old[a]);
	ck_assert_ptr_nonnull(heir[a]->children);
	ck_assert_ptr_null(old[a]->children);
	ck_assert_mem_eq(heir[a]->keys->k.ei, heir[b]->keys->k.ei, 36);
	ck_assert_mem_ne(heir[a]->keys->k.ei, keys.ei, 32);
	ck_assert_mem_ne(heir[a]->keys->k.sk_d, keys.sk_d, 32);

	rig_carry(&r, a);
	rig_did(&r, b, "alive send");
	rig_said(&r, b, ladder[a][3]);
	rig_carry(&r, b);
	rig_did(&r, a, "alive");
	check_heir(&r, a);
	rig_rekey(&r, b, false);		/* and its SK_d makes Child SAs */
	rig_pump(&r);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* 2.18: the new keys come from the old SK_d, the fresh secret, the nonces and the new SPIs. */
static void
expect_keys(struct ike_keys *keys, const struct ike_sa *old, const struct ike_job *job)
{
	const struct nego *n = old->theirs;
	struct kdf_in in = { .ni = { n->ni, 32 }, .nr = { n->nr, 32 },
	    .shared = { job->ke.shared, 32 }, .spi_i = n->ike.spi, .spi_r = n->heir_spi };

	ck_assert_int_eq(job->ke.result, KE_DERIVED);
	ck_assert(ike_keys_rekey(keys, &old->suite, &in, &old->keys->k));
}

/* Late computations, and a repeated request: worked on once, answered with the same bytes. */
START_TEST(a_request_is_worked_on_once)
{
	struct rig_datagram ask, grant;
	struct ike_sa *old, *heir;
	struct ike_keys keys;
	struct ike_job job;
	struct rig r;

	rig_up(&r, 2);
	old = rig_sa(&r, 1);
	r.end[0].late = r.end[1].late = true;
	rig_rekey(&r, 0, true);
	rig_did(&r, 0, "work");
	rig_work(&r, 0);
	ask = *rig_last(&r, 0);
	rig_carry(&r, 0);
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "alive work");
	job = *r.end[1].job[0];
	ike_job_run(&job);
	expect_keys(&keys, old, &job);
	rig_work(&r, 1);
	heir = other_than(&r, 1, old);
	ck_assert_mem_eq(heir->keys->k.sk_d, keys.sk_d, 32);
	ck_assert_mem_eq(heir->keys->k.ei, keys.ei, 36);
	ck_assert_mem_eq(heir->keys->k.er, keys.er, 36);
	grant = *rig_last(&r, 1);
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "send send");
	ck_assert_uint_eq(rig_last(&r, 1)->len, grant.len);
	ck_assert_mem_eq(rig_last(&r, 1)->data, grant.data, grant.len);
	rig_carry(&r, 1);
	rig_did(&r, 0, "send alive work");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 2);
	rig_work(&r, 0);
	rig_pump(&r);
	check_heir(&r, 0);
	rig_fini(&r);
}
END_TEST

/* The old one still hears, but makes nothing any more (2.25.2). */
START_TEST(the_old_one_makes_nothing)
{
	struct ike_sa *old;
	struct rig r;

	rig_up(&r, 3);
	old = rig_sa(&r, 0);
	rig_rekey(&r, 0, true);
	rig_carry(&r, 0);
	rig_write(&r, old, X_CREATE_CHILD_SA, false, 3);
	sa_write_ike(msg_add(&r.mw, PLD_SA), r.end[0].conf.ike, 1, 0x1234);
	msg_add_bytes(&r.mw, PLD_NONCE, (struct slice){ r.end[0].conf.psk, 16 });
	rig_post(&r);
	rig_said(&r, 1, "CREATE_CHILD_SA 3 20: SK{N(TEMPORARY_FAILURE)}");
	rig_write(&r, old, X_INFORMATIONAL, false, 4);
	rig_post(&r);
	rig_said(&r, 1, "INFORMATIONAL 4 20: SK{}");
	ck_assert(rig_status(&r, 1)->up);
	rig_fini(&r);
}
END_TEST

/* Who does not delete what it has rekeyed is helped after a minute. */
START_TEST(the_old_one_does_not_stay)
{
	struct rig r;

	rig_up(&r, 4);
	rig_rekey(&r, 0, true);
	rig_carry(&r, 0);
	rig_lose(&r, 1);
	ck_assert_int_eq(rig_sa(&r, 1)->state, SA_REKEYED);
	r.now += USEC_S(60) - 1;
	rig_tick(&r, 1);
	ck_assert_int_eq(rig_sa(&r, 1)->state, SA_REKEYED);
	r.now++;
	rig_tick(&r, 1);
	rig_said(&r, 1, "INFORMATIONAL 0 00: SK{D(IKE)}");
	rig_fini(&r);
}
END_TEST

/* 1.3.2: another group; the same proposals and the same SPI with it. */
START_TEST(another_group_is_wanted)
{
	struct rig r;

	rig_up(&r, 5);
	r.end[0].conf.ike_n = 2;
	r.end[0].conf.ike[1] = r.end[0].conf.ike[0];
	r.end[0].conf.ike[1].group = r.end[1].conf.ike[0].group = KE_ECP_384;
	rig_set(&r, 1);
	rig_set(&r, 0);
	rig_rekey(&r, 0, true);
	rig_carry(&r, 0);
	rig_said(&r, 1, "CREATE_CHILD_SA 2 20: SK{N(INVALID_KE_PAYLOAD:0014)}");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 1);
	rig_carry(&r, 1);
	rig_said(&r, 0, "CREATE_CHILD_SA 3 08: SK{SA Nonce KE}");
	rig_pump(&r);
	check_heir(&r, 0);
	ck_assert_int_eq(rig_status(&r, 1)->ike.group, KE_ECP_384);
	rig_fini(&r);
}
END_TEST

/* Refused: what there was stays, and is rekeyed again, soon where the peer is only busy. */
START_TEST(a_refusal_leaves_the_old_one)
{
	static const struct { uint16_t type; usec_t from, to; } refusals[] = {
		{ N_TEMPORARY_FAILURE, USEC_S(1), USEC_S(3) },
		{ N_NO_PROPOSAL_CHOSEN, USEC_S(20), USEC_S(30) },
		{ N_NO_ADDITIONAL_SAS, USEC_S(20), USEC_S(30) },
		{ N_INVALID_KE_PAYLOAD, USEC_S(20), USEC_S(30) },	/* that names no group */
	};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		for (uint64_t seed = 0; seed < 8; seed++) {
			struct ike_sa *sa;
			struct rig r;

			rig_up(&r, seed);
			rig_rekey(&r, 0, true);
			rig_lose(&r, 0);
			rig_listen(LOG_LEVEL_INFO);
			rig_post_notify(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, 2,
			    refusals[i].type);
			sa = rig_sa(&r, 0);
			rig_told("ike-rekey-failed");
			rig_told(notify_name(refusals[i].type));
			ck_assert_int_eq(sa->state, SA_UP);
			ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 1);
			ck_assert_uint_ge(sa->rekey_at, r.now + refusals[i].from);
			ck_assert_uint_lt(sa->rekey_at, r.now + refusals[i].to);
			rig_sa(&r, 1)->x.in_id = 3;
			rig_pass(&r, refusals[i].to, true);
			check_heir(&r, 0);
			rig_fini(&r);
		}
}
END_TEST

/* 2.25.2: while one end is at work on its Child SA, or the other has asked already. */
START_TEST(a_busy_end_says_so)
{
	struct rig r;

	rig_up(&r, 7);
	rig_rekey(&r, 1, false);
	rig_rekey(&r, 0, true);
	rig_carry(&r, 0);
	rig_said(&r, 1, "CREATE_CHILD_SA 2 20: SK{N(TEMPORARY_FAILURE)}");
	rig_pump(&r);
	rig_pass(&r, USEC_S(10), true);
	check_heir(&r, 0);
	ck_assert_uint_eq(rig_status(&r, 0)->child_rekeys, 1);
	rig_fini(&r);
}
END_TEST

/* ---- in the name of an end ---- */

struct letter {
	const char *what;
	uint16_t group;			/* of KE; 0: as is right */
	size_t nonce_len, ke_len;	/* 0: as is right */
	bool zero, other_suite, second, no_spi, broken_sa, two_nonces;
	const char *answer;
};

static void
write_payloads(struct rig *r, const struct letter *l)
{
	static const uint8_t bytes[2][300] = { { 9, 9, 9 }, { 0 } };
	struct ike_suite suite = rig_conf(0).ike[0];
	struct pld_ke ke = { l->group ? l->group : 31, bytes[l->zero], l->ke_len ? l->ke_len : 32 };
	struct wr *w = msg_add(&r->mw, PLD_SA);

	if (l->other_suite)
		suite.enc = AEAD_AES_GCM_16_128;
	suite.group = l->second ? KE_ECP_256 : suite.group;
	if (l->second)
		sa_write_ike_choice(w, &(struct ike_choice){ .num = 2, .suite = suite }, 0x1234);
	else
		sa_write_ike(w, &suite, 1, l->no_spi ? 0 : 0x123456789abcdef0);
	if (l->broken_sa)
		wr_u8(w, 0);
	for (unsigned i = 0; i < 1u + l->two_nonces; i++)
		pld_nonce_write(msg_add(&r->mw, PLD_NONCE),
		    (struct slice){ bytes[0], l->nonce_len ? l->nonce_len : 32 });
	pld_ke_write(msg_add(&r->mw, PLD_KE), &ke);
}

#define SYNTAX	"N(INVALID_SYNTAX)"

static const struct letter letters[] = {
	{ .what = "sound", .answer = "SA Nonce KE" },
	{ .what = "a short nonce", .nonce_len = 15, .answer = SYNTAX },
	{ .what = "two nonces", .two_nonces = true, .answer = SYNTAX },
	{ .what = "a broken SA", .broken_sa = true, .answer = SYNTAX },
	{ .what = "a short KE", .ke_len = 31, .answer = SYNTAX },
	{ .what = "KE that is zero", .zero = true, .answer = SYNTAX },
	{ .what = "another suite", .other_suite = true, .answer = "N(NO_PROPOSAL_CHOSEN)" },
	{ .what = "another group of ours", .second = true, .answer = "N(NO_PROPOSAL_CHOSEN)" },
	{ .what = "no SPI", .no_spi = true, .answer = "N(NO_PROPOSAL_CHOSEN)" },
	{ .what = "KE of another group", .group = 19, .ke_len = 64,
	    .answer = "N(INVALID_KE_PAYLOAD:001f)" },
	{ .what = "KE by another name", .group = 19, .answer = "N(INVALID_KE_PAYLOAD:001f)" },
};
#define LETTERS	(sizeof(letters) / sizeof(letters[0]))

/* A request is refused by what is wrong with it, and leaves nothing. */
START_TEST(a_request_is_refused_by_its_fault)
{
	for (size_t i = 0; i < LETTERS; i++) {
		char text[RIG_TEXT];
		struct rig r;

		rig_up(&r, 8);
		rig_write(&r, rig_sa(&r, 0), X_CREATE_CHILD_SA, false, 2);
		write_payloads(&r, &letters[i]);
		rig_post(&r);
		snprintf(text, sizeof(text), "CREATE_CHILD_SA 2 20: SK{%s}", letters[i].answer);
		rig_said(&r, 1, text);
		rig_did(&r, 1, i == 0 || letters[i].zero ? "alive work send" : "alive send");
		ck_assert_msg(rig_totals(&r, 1).ike_sas == (i == 0 ? 2 : 1), "%s",
		    letters[i].what);
		ck_assert_uint_eq(rig_totals(&r, 1).jobs, 0);
		ck_assert_uint_eq(rig_status(&r, 1)->ike_rekeys, i == 0);
		rig_fini(&r);
	}
}
END_TEST

/* After an answer that is not what we offered the peer has an heir that we cannot speak to:
 * the tunnel is opened anew. */
START_TEST(an_answer_is_checked)
{
	for (size_t i = 0; i < LETTERS; i++) {
		struct rig r;

		rig_init(&r, 9);
		r.end[0].conf.ike_n = 2;
		r.end[0].conf.ike[1] = r.end[0].conf.ike[0];
		r.end[0].conf.ike[1].group = KE_ECP_256;
		rig_bring_up(&r);
		rig_rekey(&r, 0, true);
		rig_said(&r, 0, ASK);
		rig_write(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, true, 2);
		write_payloads(&r, &letters[i]);
		rig_post(&r);
		if (letters[i].two_nonces) {	/* as a refusal: the old one stays */
			ck_assert_int_eq(rig_sa(&r, 0)->state, SA_UP);
			rig_fini(&r);
			continue;
		}
		rig_said(&r, 0, "INFORMATIONAL 3 08: SK{D(IKE)}");
		ck_assert_int_eq(rig_sa(&r, 0)->state, SA_DELETING);
		ck_assert_msg(rig_status(&r, 0)->up == (i == 0), "%s", letters[i].what);
		ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, i == 0 ? 2 : 1);
		rig_fini(&r);
	}
}
END_TEST

/* ---- both at once ---- */

/* 2.8.2: both requests cross: both answer, both have two heirs, one of them inherits; it is
 * not the one with the lowest of the four nonces, and the same at both ends. */
START_TEST(of_two_heirs_one_inherits)
{
	unsigned won[2] = { 0, 0 };

	for (uint64_t seed = 0; seed < 12; seed++) {
		unsigned winner;
		struct ike_sa *a, *b;
		struct rig r;

		rig_up(&r, seed);
		rig_rekey(&r, 0, true);
		rig_rekey(&r, 1, true);
		rig_carry(&r, 0);
		rig_carry(&r, 1);
		rig_said(&r, 0, "CREATE_CHILD_SA 0 28: SK{SA Nonce KE}");
		rig_said(&r, 1, "CREATE_CHILD_SA 2 20: SK{SA Nonce KE}");
		ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 3);
		b = ike_sa_find(r.end[0].ike, rig_sa(&r, 0)->rival_spi);
		a = ike_sa_find(r.end[1].ike, rig_sa(&r, 1)->rival_spi);
		winner = collide_lower(&a->low, &b->low);	/* a: of end 0's request */
		won[winner]++;
		rig_pump(&r);
		check_heir(&r, winner);
		rig_fini(&r);
	}
	ck_assert(won[0] > 0 && won[1] > 0);
}
END_TEST

/* Both at once, and our answer is lost for good: the peer, which has its own, deletes the old
 * one, and what it has made inherits. */
START_TEST(the_rival_inherits_where_ours_fails)
{
	struct ike_sa *old[2];
	struct rig r;

	rig_up(&r, 11);
	for (unsigned e = 0; e < 2; e++)
		old[e] = rig_sa(&r, e);
	rig_rekey(&r, 0, true);
	rig_lose(&r, 0);
	rig_rekey(&r, 1, true);
	rig_carry(&r, 1);
	ck_assert_uint_ne(old[0]->rival_spi, 0);
	if (_i == 0) {
		rig_carry(&r, 0);		/* end 1 has its heir and deletes the old one */
		rig_said(&r, 1, "INFORMATIONAL 1 00: SK{D(IKE)}");
		rig_pump(&r);
	} else {
		rig_post_notify(&r, old[1], X_CREATE_CHILD_SA, 2, N_NO_PROPOSAL_CHOSEN);
		ck_assert_int_eq(old[0]->state, SA_REKEYED);
		ck_assert_uint_eq(rig_status(&r, 0)->ike_rekeys, 1);
		rig_pump(&r);
	}
	check_heir(&r, 1);
	rig_fini(&r);
}
END_TEST

/* The peer asks for what we have not asked for yet: ours is forgotten. */
START_TEST(who_has_not_asked_yet_stands_back)
{
	bool child = _i == 1;
	struct rig r;

	rig_up(&r, 12);
	r.end[0].late = true;
	rig_rekey(&r, 0, !child);
	rig_rekey(&r, 1, true);
	rig_carry(&r, 1);
	rig_did(&r, 0, "work alive work");
	r.end[0].late = false;
	rig_work(&r, 0);
	rig_pump(&r);
	rig_agree(&r);
	ck_assert_uint_eq(rig_status(&r, 0)->ike_rekeys, 1);
	ck_assert_uint_eq(rig_status(&r, 0)->child_rekeys, child);	/* by the heir */
	rig_fini(&r);
}
END_TEST

/* ... or for a Child SA: that is finished first, then ours is asked for. */
START_TEST(what_the_peer_has_begun_comes_first)
{
	struct rig r;

	rig_up(&r, 15);
	r.end[0].late = true;
	rig_rekey(&r, 0, true);
	rig_rekey(&r, 1, false);
	rig_carry(&r, 1);
	rig_did(&r, 0, "work alive work");
	rig_work(&r, 0);
	rig_did(&r, 0, "in1 send");
	r.end[0].late = false;
	rig_pump(&r);
	check_heir(&r, 0);
	ck_assert_uint_eq(rig_status(&r, 0)->child_rekeys, 1);
	rig_fini(&r);
}
END_TEST

/* A Child SA that is missed meanwhile is asked for in the heir, and the wait costs nothing. */
START_TEST(the_heir_asks_for_what_is_missed)
{
	uint64_t timers;
	struct rig r;

	rig_up(&r, 16);
	for (unsigned e = 0; e < 2; e++) {
		struct ike_sa *sa = rig_sa(&r, e);

		child_drop_all(sa, "lost");
		ike_sa_step(sa);
		rig_drain(&r, e);
	}
	r.end[0].late = true;
	rig_rekey(&r, 1, true);
	rig_carry(&r, 1);
	r.end[0].acts[0] = '\0';
	timers = rig_totals(&r, 0).timers;
	r.now += USEC_S(5);
	rig_tick(&r, 0);
	rig_did(&r, 0, "");
	ck_assert_uint_le(rig_totals(&r, 0).timers, timers + 1);
	r.end[0].late = false;
	rig_work(&r, 0);
	rig_pump(&r);
	rig_pass(&r, USEC_S(2), true);
	rig_agree(&r);
	ck_assert_uint_eq(rig_status(&r, 0)->ike_rekeys, 1);
	rig_fini(&r);
}
END_TEST

/* A peer that deletes the IKE SA which we rekey, and has made no heir, wants it to end. */
START_TEST(a_delete_ends_a_rekey)
{
	struct rig r;

	rig_up(&r, 13);
	rig_rekey(&r, 0, true);
	rig_lose(&r, 0);
	rig_tell(&r, 1, IKE_CLOSE);
	r.end[0].acts[0] = '\0';
	rig_carry(&r, 1);
	rig_did(&r, 0, "alive send drop0 down");
	ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
	ck_assert_uint_eq(rig_totals(&r, 0).jobs, 0);
	rig_fini(&r);
}
END_TEST

/* Closed in the middle of our rekey: the heir is finished first, then both are deleted. */
START_TEST(a_close_waits_for_the_heir)
{
	struct rig r;

	rig_up(&r, 14);
	rig_rekey(&r, 0, true);
	rig_tell(&r, 0, IKE_CLOSE);
	rig_did(&r, 0, "work send drop0 down");
	if (_i == 1) {				/* or there will be no heir */
		rig_lose(&r, 0);
		rig_sa(&r, 1)->x.in_id = 3;
		rig_post_notify(&r, rig_sa(&r, 1), X_CREATE_CHILD_SA, 2, N_TEMPORARY_FAILURE);
		rig_said(&r, 0, "INFORMATIONAL 3 08: SK{D(IKE)}");
	}
	rig_pump(&r);
	for (unsigned e = 0; e < 2; e++) {
		ck_assert_uint_eq(rig_totals(&r, e).ike_sas, 0);
		ck_assert_uint_eq(rig_totals(&r, e).child_sas, 0);
	}
	ck_assert_str_eq(rig_status(&r, 0)->state, "closed");
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, an_heir_takes_over, 0, 2);
	tcase_add_test(tc, a_request_is_worked_on_once);
	tcase_add_test(tc, the_old_one_makes_nothing);
	tcase_add_test(tc, the_old_one_does_not_stay);
	tcase_add_test(tc, another_group_is_wanted);
	tcase_add_test(tc, a_refusal_leaves_the_old_one);
	tcase_add_test(tc, a_busy_end_says_so);
	tcase_add_test(tc, a_request_is_refused_by_its_fault);
	tcase_add_test(tc, an_answer_is_checked);
	tcase_add_test(tc, of_two_heirs_one_inherits);
	tcase_add_loop_test(tc, the_rival_inherits_where_ours_fails, 0, 2);
	tcase_add_loop_test(tc, who_has_not_asked_yet_stands_back, 0, 2);
	tcase_add_test(tc, what_the_peer_has_begun_comes_first);
	tcase_add_test(tc, the_heir_asks_for_what_is_missed);
	tcase_add_test(tc, a_delete_ends_a_rekey);
	tcase_add_loop_test(tc, a_close_waits_for_the_heir, 0, 2);
}

UNIT_MAIN("ike/rekeyx", fill)
