/* SPDX-License-Identifier: MIT */
#include "ike/init.h"

#include "ike/cookie.h"
#include "tests/unit/ike_exchange_rig.h"

#define NATS	" N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) V"
#define OPENING	"IKE_SA_INIT 0 08: SA KE Nonce" NATS
#define AGAIN	"IKE_SA_INIT 0 08: N(COOKIE) SA KE Nonce" NATS
#define ANSWER	"IKE_SA_INIT 0 20: SA KE Nonce" NATS

static void
check_natt(const struct msg *m, const struct endpoint *to)
{
	static const struct endpoint nowhere = { .ip = { .family = AF_INET } };
	uint8_t source[NATT_HASH_LEN], destination[NATT_HASH_LEN];

	ck_assert(natt_hash(m->h.spi_i, m->h.spi_r, &nowhere, source));
	ck_assert(natt_hash(m->h.spi_i, m->h.spi_r, to, destination));
	ck_assert_mem_eq(msg_notify(m, N_NAT_DETECTION_SOURCE_IP)->data.p, source, 20);
	ck_assert_mem_eq(msg_notify(m, N_NAT_DETECTION_DESTINATION_IP)->data.p, destination, 20);
	ck_assert_uint_eq(msg_body(m, PLD_V).len, sizeof(VENDOR_ID) - 1);
	ck_assert_mem_eq(msg_body(m, PLD_V).p, VENDOR_ID, sizeof(VENDOR_ID) - 1);
}

/* A notify in the clear to the initiator, as an answer to its opening. */
static void
notify(struct rig *r, uint16_t type, struct slice data)
{
	struct ike_hdr h = { .spi_i = rig_sa(r, 0)->spi, .exchange = X_IKE_SA_INIT,
	    .flags = IKE_F_RESPONSE };
	struct rig_datagram g = { .from = rig_at(1, 500), .to = rig_at(0, 500) };

	msg_start(&r->mw, g.data, sizeof(g.data), &h);
	msg_add_notify(&r->mw, type, data.p, data.len);
	g.len = msg_end(&r->mw);
	rig_inject(r, 0, &g);
}

/* What is in both messages, byte for byte where it is not random; where they go; what follows. */
START_TEST(an_opening_and_its_answer)
{
	uint8_t plain[RIG_DATAGRAM];
	struct endpoint at[2] = { rig_at(0, 500), rig_at(1, 500) };
	struct sa offer;
	struct rd body;
	struct rig r;
	struct msg m;

	rig_init(&r, 1);
	r.end[0].conf.ike_n = 2;
	r.end[0].conf.ike[1] = (struct ike_suite){ AEAD_AES_GCM_16_128, PRF_HMAC_SHA2_384,
	    KE_ECP_256 };
	rig_start(&r);
	rig_did(&r, 0, "work send");
	rig_said(&r, 0, OPENING);
	ck_assert(endpoint_equal(&rig_last(&r, 0)->from, &at[0]));
	ck_assert(endpoint_equal(&rig_last(&r, 0)->to, &at[1]));
	ck_assert_int_eq(rig_sa(&r, 0)->state, SA_INIT_SENT);
	rig_read(&r, 0, plain, &m);
	ck_assert_uint_eq(m.h.spi_i, rig_sa(&r, 0)->spi);
	ck_assert_uint_eq(m.h.spi_r, 0);
	check_natt(&m, &at[1]);
	msg_find(&m, PLD_SA, &body);
	ck_assert(sa_parse(body, &offer) && offer.n == 2 && offer.p[0].spi_len == 0);

	rig_carry(&r, 0);
	rig_did(&r, 1, "work send");
	rig_said(&r, 1, ANSWER);
	ck_assert(endpoint_equal(&rig_last(&r, 1)->to, &at[0]));
	ck_assert_int_eq(rig_sa(&r, 1)->state, SA_INIT_DONE);
	ck_assert_uint_eq(rig_totals(&r, 1).half_open, 1);
	rig_read(&r, 1, plain, &m);
	ck_assert_uint_eq(m.h.spi_i, rig_sa(&r, 0)->spi);
	ck_assert_uint_eq(m.h.spi_r, rig_sa(&r, 1)->spi);
	check_natt(&m, &at[0]);
	msg_find(&m, PLD_SA, &body);
	ck_assert(sa_parse(body, &offer) && offer.n == 1 && offer.p[0].num == 1);
	ck_assert_uint_eq(msg_body(&m, PLD_NONCE).len, NONCE_LEN);

	rig_carry(&r, 1);
	rig_did(&r, 0, "work send");
	ck_assert_int_eq(rig_sa(&r, 0)->state, SA_AUTH_SENT);
	ck_assert(rig_sa(&r, 0)->peer_is_tandem && rig_sa(&r, 1)->peer_is_tandem);
	rig_fini(&r);
}
END_TEST

/* Computations elsewhere: nothing leaves before them, and what is repeated meanwhile is not
 * begun anew. */
START_TEST(nothing_leaves_before_its_work)
{
	struct rig_datagram ask;
	struct kdf_in in;
	struct ike_keys keys;
	struct ike_job job;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r, 2);
	r.end[0].late = r.end[1].late = true;
	rig_start(&r);
	rig_did(&r, 0, "work");
	rig_work(&r, 0);
	rig_did(&r, 0, "send");
	ask = *rig_last(&r, 0);
	rig_carry(&r, 0);
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "work");
	sa = rig_sa(&r, 1);
	job = *r.end[1].job[0];
	ike_job_run(&job);
	in = (struct kdf_in){ { sa->theirs->ni, 32 }, { sa->theirs->nr, 32 },
	    { job.ke.shared, 32 }, sa->peer_spi, sa->spi };
	ck_assert(ike_keys_init(&keys, &r.end[1].conf.ike[0], &in));	/* 2.14 */
	rig_work(&r, 1);
	rig_did(&r, 1, "send");
	ck_assert_mem_eq(sa->keys->k.sk_d, keys.sk_d, 32);
	ck_assert_mem_eq(sa->keys->k.ei, keys.ei, 36);
	ck_assert_mem_eq(sa->keys->k.er, keys.er, 36);
	rig_carry(&r, 1);
	ck_assert_int_eq(rig_sa(&r, 0)->state, SA_KEYING);
	rig_inject(&r, 0, rig_last(&r, 1));	/* the answer once more */
	rig_did(&r, 0, "work");
	rig_work(&r, 0);
	rig_did(&r, 0, "send");
	r.end[0].late = r.end[1].late = false;
	rig_pump(&r);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* 2.1: a repeated opening gets the stored bytes and makes nothing; another under its name and
 * from its address, nothing at all; the same from elsewhere is another one. */
START_TEST(a_repeated_opening_gets_the_same_answer)
{
	struct rig_datagram ask, answer;
	struct rig r;

	rig_init(&r, 3);
	rig_start(&r);
	ask = *rig_last(&r, 0);
	rig_carry(&r, 0);
	answer = *rig_last(&r, 1);
	rig_did(&r, 1, "work send");
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "send");
	ck_assert_uint_eq(rig_last(&r, 1)->len, answer.len);
	ck_assert_mem_eq(rig_last(&r, 1)->data, answer.data, answer.len);
	ask.data[ask.len - 1] ^= 1;		/* in the vendor ID */
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 1);
	ask.from.port++;
	rig_inject(&r, 1, &ask);
	rig_did(&r, 1, "work send");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 2);
	rig_fini(&r);
}
END_TEST

/* 2.23: both ends float to 4500 after the first exchange; or begin there, with the marker. */
START_TEST(the_opening_floats_to_4500)
{
	static const uint8_t marker[4];
	struct endpoint at[2] = { rig_at(0, 4500), rig_at(1, 4500) };
	struct rig r;

	rig_init(&r, 4);
	r.end[0].conf.remote_port = _i == 0 ? 500 : 4500;
	rig_start(&r);
	ck_assert_uint_eq(rig_last(&r, 0)->to.port, _i == 0 ? 500 : 4500);
	ck_assert_uint_eq(rig_last(&r, 0)->at, _i == 0 ? 0 : 4);
	rig_carry(&r, 0);
	ck_assert(endpoint_equal(&rig_last(&r, 1)->to, &rig_last(&r, 0)->from));
	rig_carry(&r, 1);
	ck_assert(endpoint_equal(&rig_last(&r, 0)->from, &at[0]));
	ck_assert(endpoint_equal(&rig_last(&r, 0)->to, &at[1]));
	ck_assert_mem_eq(rig_last(&r, 0)->data, marker, 4);
	rig_pump(&r);
	rig_agree(&r);
	ck_assert(endpoint_equal(&r.end[1].child[0]->remote, &at[0]));
	ck_assert(endpoint_equal(&r.end[1].child[0]->local, &at[1]));
	rig_fini(&r);
}
END_TEST

/* 2.6: nothing is kept for who has not shown a cookie; with it comes the same opening again. */
START_TEST(a_cookie_is_asked_for_and_shown)
{
	struct rig_datagram first, far;
	struct slice all, rest;
	struct ike_totals t;
	struct rig r;

	rig_init(&r, 5);
	r.end[1].ike->env.half_open_cookie = 0;
	rig_start(&r);
	first = *rig_last(&r, 0);
	rig_carry(&r, 0);
	rig_did(&r, 1, "send");
	rig_said(&r, 1, "IKE_SA_INIT 0 20: N(COOKIE)");
	t = rig_totals(&r, 1);
	ck_assert(t.ike_sas == 0 && t.half_open == 0 && t.jobs == 0 && t.cookies_sent == 1);
	ck_assert_uint_le(rig_last(&r, 1)->len, first.len);
	rig_carry(&r, 1);
	rig_said(&r, 0, AGAIN);
	all = (struct slice){ rig_last(&r, 0)->data, rig_last(&r, 0)->len };
	ck_assert_uint_eq(all.len, first.len + 8 + COOKIE_LEN);
	rest = (struct slice){ all.p + 28 + 8 + COOKIE_LEN, first.len - 28 };
	ck_assert_mem_eq(rest.p, first.data + 28, rest.len);
	ck_assert_mem_eq(all.p, first.data, 16);
	far = *rig_last(&r, 0);
	far.from.ip.b[3] = 9;			/* somebody else shows it */
	rig_set(&r, 1);
	tunnel_find(r.end[1].ike, RIG_T)->conf.remote = (struct ip){ .family = AF_UNSPEC };
	rig_inject(&r, 1, &far);
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	tunnel_find(r.end[1].ike, RIG_T)->conf.remote = r.end[1].conf.remote;
	rig_pump(&r);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

/* Whoever asks for cookies without end is not followed without end. */
START_TEST(cookies_without_end_are_not_followed)
{
	uint8_t cookie[64] = { 1 };
	struct rig r;

	rig_init(&r, 6);
	rig_start(&r);
	for (unsigned i = 0; i < 20; i++) {
		cookie[1] = (uint8_t)i;
		notify(&r, N_COOKIE, (struct slice){ cookie, sizeof(cookie) });
	}
	ck_assert_uint_eq(r.end[0].sent, 1 + 8);
	rig_said(&r, 0, AGAIN);
	rig_fini(&r);
}
END_TEST

/* 2.7: the responder says which group it wants; all proposals come again with it.  With
 * cookies on, the cookie stays good (2.6.1). */
START_TEST(another_group_is_wanted)
{
	struct slice sa[2];
	uint8_t plain[RIG_DATAGRAM];
	struct pld_ke ke;
	struct rd body;
	struct rig r;
	struct msg m[2];

	rig_init(&r, 7);
	r.end[0].conf.ike_n = 2;
	r.end[0].conf.ike[1] = r.end[0].conf.ike[0];
	r.end[0].conf.ike[1].group = r.end[1].conf.ike[0].group = KE_ECP_256;
	r.end[1].ike->env.half_open_cookie = _i == 0 ? 100 : 0;
	rig_start(&r);
	rig_read(&r, 0, plain, &m[0]);
	sa[0] = msg_body(&m[0], PLD_SA);
	if (_i == 1) {
		rig_carry(&r, 0);
		rig_carry(&r, 1);
	}
	rig_carry(&r, 0);
	rig_said(&r, 1, "IKE_SA_INIT 0 20: N(INVALID_KE_PAYLOAD:0013)");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	ck_assert_uint_eq(rig_totals(&r, 1).jobs, 0);
	r.end[0].acts[0] = '\0';
	r.end[0].late = true;
	rig_carry(&r, 1);
	rig_did(&r, 0, "work");
	ck_assert_int_eq(rig_sa(&r, 0)->state, SA_NEW);
	r.end[0].late = false;
	rig_work(&r, 0);
	rig_said(&r, 0, _i == 0 ? OPENING : AGAIN);
	rig_read(&r, 0, plain, &m[1]);
	sa[1] = msg_body(&m[1], PLD_SA);
	ck_assert_uint_eq(sa[0].len, sa[1].len);
	ck_assert_mem_eq(sa[0].p, sa[1].p, sa[0].len);
	msg_find(&m[1], PLD_KE, &body);
	ck_assert(pld_ke_parse(body, &ke) && ke.group == 19 && ke.len == 64);
	rig_pump(&r);
	rig_agree(&r);
	ck_assert_int_eq(rig_status(&r, 0)->ike.group, KE_ECP_256);
	ck_assert_uint_eq(rig_totals(&r, 1).cookies_sent, _i == 1);
	rig_fini(&r);
}
END_TEST

/* 2.21.1: a refusal in the clear may be anybody's: told once, and a better answer is waited
 * for.  Both logs say what was offered, what is wanted, and which option to change. */
START_TEST(a_refusal_is_told_and_outwaited)
{
	struct rig_datagram first;
	struct rig r;

	rig_init(&r, 8);
	r.end[1].conf.ike[0] = (struct ike_suite){ AEAD_AES_CBC_128_HMAC_SHA2_256,
	    PRF_HMAC_SHA2_256, KE_ECP_384 };
	rig_listen(LOG_LEVEL_INFO);
	rig_start(&r);
	first = *rig_last(&r, 0);
	rig_carry(&r, 0);
	rig_did(&r, 1, "send");
	rig_said(&r, 1, "IKE_SA_INIT 0 20: N(NO_PROPOSAL_CHOSEN)");
	ck_assert_uint_eq(rig_totals(&r, 1).ike_sas, 0);
	rig_told("ike-no-proposal peer=192.0.2.1:500 "
	    "offered=\"AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519\" "
	    "accepted=\"aes128-sha256-ecp384\" tunnel=site/1 option=ike");
	r.end[0].acts[0] = '\0';
	rig_carry(&r, 1);
	rig_did(&r, 0, "");
	ck_assert_int_eq(rig_sa(&r, 0)->state, SA_INIT_SENT);
	rig_told("notify=NO_PROPOSAL_CHOSEN offered=\"aes256gcm16-prfsha256-curve25519\" "
	    "option=ike");
	ck_assert_str_eq(rig_status(&r, 0)->reason, "the peer refuses our opening "
	    "(NO_PROPOSAL_CHOSEN); we offer aes256gcm16-prfsha256-curve25519 (option ike)");
	rig_lines[0] = '\0';
	rig_inject(&r, 0, rig_last(&r, 1));
	ck_assert_ptr_null(strstr(rig_lines, "ike-refused"));
	rig_pass(&r, USEC_MS(500), false);
	ck_assert_uint_eq(rig_last(&r, 0)->len, first.len);
	ck_assert_mem_eq(rig_last(&r, 0)->data, first.data, first.len);
	if (_i == 0) {				/* nobody else answers */
		rig_lose(&r, 0);
		rig_pass(&r, USEC_MS(29499), false);
		ck_assert_int_eq(rig_sa(&r, 0)->state, SA_INIT_SENT);
		rig_pass(&r, USEC_MS(1), false);
		ck_assert_uint_eq(rig_totals(&r, 0).ike_sas, 0);
		ck_assert_ptr_nonnull(strstr(rig_status(&r, 0)->reason, "NO_PROPOSAL_CHOSEN"));
	} else {
		r.end[1].conf.ike[0] = r.end[0].conf.ike[0];
		rig_set(&r, 1);
		rig_pump(&r);
		rig_agree(&r);
	}
	rig_fini(&r);
}
END_TEST

/* Groups that the peer may not ask for: not offered, the one that it has, none, malformed. */
START_TEST(a_group_that_is_not_ours_is_not_taken)
{
	static const struct { uint8_t data[3]; size_t len; } wants[] = {
		{ { 0, 14 }, 2 }, { { 0, 31 }, 2 }, { { 0, 0 }, 2 }, { { 255, 255 }, 2 },
		{ { 0 }, 1 }, { { 0 }, 0 }, { { 0, 19, 0 }, 3 },
	};
	struct rig r;

	rig_init(&r, 13);
	r.end[0].conf.ike_n = 2;
	r.end[0].conf.ike[1] = r.end[0].conf.ike[0];
	r.end[0].conf.ike[1].group = KE_ECP_256;
	rig_start(&r);
	rig_listen(LOG_LEVEL_INFO);
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		rig_lines[0] = '\0';
		notify(&r, N_INVALID_KE_PAYLOAD, (struct slice){ wants[i].data, wants[i].len });
		rig_told("option=ike");
		ck_assert_uint_eq(r.end[0].sent, 1);
		ck_assert_int_eq(rig_sa(&r, 0)->state, SA_INIT_SENT);
	}
	rig_pump(&r);
	rig_agree(&r);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, an_opening_and_its_answer);
	tcase_add_test(tc, nothing_leaves_before_its_work);
	tcase_add_test(tc, a_repeated_opening_gets_the_same_answer);
	tcase_add_loop_test(tc, the_opening_floats_to_4500, 0, 2);
	tcase_add_test(tc, a_cookie_is_asked_for_and_shown);
	tcase_add_test(tc, cookies_without_end_are_not_followed);
	tcase_add_loop_test(tc, another_group_is_wanted, 0, 2);
	tcase_add_test(tc, a_group_that_is_not_ours_is_not_taken);
	tcase_add_loop_test(tc, a_refusal_is_told_and_outwaited, 0, 2);
}

UNIT_MAIN("ike/init", fill)
