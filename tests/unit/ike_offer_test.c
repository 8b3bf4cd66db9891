/* SPDX-License-Identifier: MIT */
#include "ike/offer.h"

#include <string.h>

#include "base/rng.h"
#include "tests/unit/unit.h"

#define CAP	4096

static const enum ke_group groups[] = {
	KE_MODP_2048, KE_MODP_3072, KE_MODP_4096, KE_ECP_256, KE_ECP_384, KE_ECP_521,
	KE_CURVE25519,
};
#define GROUPS	(sizeof(groups) / sizeof(groups[0]))

/* A message in the clear, written by msg_add() between begin and finish, and parsed. */
struct letter {
	uint8_t buf[CAP];
	struct msg_wr mw;
	struct msg m;
};

static void
begin(struct letter *l)
{
	struct ike_hdr h = { .spi_i = 1, .exchange = X_IKE_SA_INIT, .flags = IKE_F_INITIATOR };

	msg_start(&l->mw, l->buf, sizeof(l->buf), &h);
}

static void
finish(struct letter *l)
{
	size_t len = msg_end(&l->mw);

	ck_assert_uint_gt(len, 0);
	ck_assert_int_eq(msg_parse(l->buf, len, &l->m), MSG_OK);
}

static void
write_ke(struct letter *l, uint16_t group, size_t len)
{
	static const uint8_t value[600] = { 7 };
	struct pld_ke ke = { group, value, len };

	begin(l);
	pld_ke_write(msg_add(&l->mw, PLD_KE), &ke);
	finish(l);
}

static void
draw(struct ike_job *job, struct nego *n, enum ke_group group)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 1);

	memset(job, 0, sizeof(*job));
	memset(n, 0, sizeof(*n));
	ke_draw(&job->ke, group, &rng);
	n->job = job;
	n->group = group;
}

/* Nonce, then the public value where there is a key exchange; the other end takes both. */
START_TEST(what_is_written_is_taken)
{
	static uint8_t nonce[NONCE_LEN] = { 1, 2, 3 };
	uint8_t to[NONCE_MAX];
	struct ike_job ours, theirs;
	struct nego n, peer;
	struct letter l;
	uint16_t len;

	draw(&ours, &n, KE_ECP_256);
	draw(&theirs, &peer, KE_ECP_256);
	ck_assert_int_eq(ke_generate(&ours.ke), KE_GENERATED);
	begin(&l);
	offer_write_ke(&n, &l.mw, (struct slice){ nonce, sizeof(nonce) });
	finish(&l);
	ck_assert_uint_eq(l.m.n, 2);
	ck_assert_uint_eq(l.m.payload[0].type, PLD_NONCE);
	ck_assert_uint_eq(l.m.payload[1].type, PLD_KE);
	ck_assert(offer_take_nonce(&l.m, to, &len));
	ck_assert_uint_eq(len, sizeof(nonce));
	ck_assert_mem_eq(to, nonce, len);
	ck_assert_int_eq(offer_ke_group(&l.m), KE_ECP_256);
	ck_assert(offer_take_ke(&l.m, &peer));
	ck_assert_uint_eq(theirs.ke.peer_len, ours.ke.public_len);
	ck_assert_mem_eq(theirs.ke.peer, ours.ke.public_value, ours.ke.public_len);

	n.job = NULL;				/* no PFS: a nonce alone */
	begin(&l);
	offer_write_ke(&n, &l.mw, (struct slice){ nonce, sizeof(nonce) });
	finish(&l);
	ck_assert_uint_eq(l.m.n, 1);
	ck_assert_uint_eq(l.m.payload[0].type, PLD_NONCE);
	ck_assert_int_eq(offer_ke_group(&l.m), KE_NONE);
	ck_assert(!offer_take_ke(&l.m, &peer));
	ke_fini(&ours.ke);
	ke_fini(&theirs.ke);
}
END_TEST

/* 2.10: 16 to 256 bytes, and nothing is written past them. */
START_TEST(nonces_have_bounds)
{
	static const uint8_t bytes[NONCE_MAX + 50] = { 9 };
	uint8_t to[NONCE_MAX + 1];
	struct letter l;
	uint16_t got;

	for (size_t len = 0; len <= sizeof(bytes); len++) {
		bool sound = len >= NONCE_MIN && len <= NONCE_MAX;

		begin(&l);
		msg_add_bytes(&l.mw, PLD_NONCE, (struct slice){ bytes, len });
		finish(&l);
		memset(to, 0xee, sizeof(to));
		got = 0;
		ck_assert_msg(offer_take_nonce(&l.m, to, &got) == sound, "%zu bytes", len);
		ck_assert_uint_eq(got, sound ? len : 0);
		ck_assert_uint_eq(to[sound ? len : 0], 0xee);
	}
	write_ke(&l, 31, 32);			/* no nonce at all */
	ck_assert(!offer_take_nonce(&l.m, to, &got));
}
END_TEST

/* R14: the group of the key exchange and exactly its length, else nothing is taken. */
START_TEST(public_values_have_one_length)
{
	for (size_t g = 0; g < GROUPS; g++) {
		size_t right = ke_public_len(groups[g]);
		uint16_t wire = ke_group_wire(groups[g]);
		struct ike_job job;
		struct letter l;
		struct nego n;

		draw(&job, &n, groups[g]);
		for (size_t len = right - 1; len <= right + 1; len++) {
			write_ke(&l, wire, len);
			ck_assert_msg(offer_take_ke(&l.m, &n) == (len == right), "%s, %zu bytes",
			    ke_group_name(groups[g]), len);
			ck_assert_uint_eq(job.ke.peer_len, len == right ? right : 0);
		}
		job.ke.peer_len = 0;
		write_ke(&l, wire == 31 ? 19 : 31, right);
		ck_assert(!offer_take_ke(&l.m, &n));
		write_ke(&l, 0, right);
		ck_assert(!offer_take_ke(&l.m, &n));
		ck_assert_uint_eq(job.ke.peer_len, 0);
		n.job = NULL;
		write_ke(&l, wire, right);
		ck_assert(!offer_take_ke(&l.m, &n));
		ke_fini(&job.ke);
	}
}
END_TEST

/* The group asked for by a KE payload, from its wire number; all others are unknown. */
START_TEST(groups_have_numbers)
{
	static const struct { uint16_t wire; enum ke_group group; } known[] = {
		{ 0, KE_NONE }, { 14, KE_MODP_2048 }, { 15, KE_MODP_3072 }, { 16, KE_MODP_4096 },
		{ 19, KE_ECP_256 }, { 20, KE_ECP_384 }, { 21, KE_ECP_521 }, { 31, KE_CURVE25519 },
	};
	size_t at = 0;
	struct letter l;

	for (uint32_t wire = 0; wire <= UINT16_MAX; wire += wire < 100 ? 1 : 97) {
		enum ke_group want = KE_N;

		if (at < sizeof(known) / sizeof(known[0]) && known[at].wire == wire)
			want = known[at++].group;
		write_ke(&l, (uint16_t)wire, 32);
		ck_assert_msg(offer_ke_group(&l.m) == want, "group %u", wire);
	}
	ck_assert_uint_eq(at, sizeof(known) / sizeof(known[0]));
	begin(&l);				/* a KE payload without a value names no group */
	msg_add_bytes(&l.mw, PLD_KE, (struct slice){ (const uint8_t *)"\0\x1f\0\0", 4 });
	finish(&l);
	ck_assert_int_eq(offer_ke_group(&l.m), KE_NONE);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, what_is_written_is_taken);
	tcase_add_test(tc, nonces_have_bounds);
	tcase_add_test(tc, public_values_have_one_length);
	tcase_add_test(tc, groups_have_numbers);
}

UNIT_MAIN("ike/offer", fill)
