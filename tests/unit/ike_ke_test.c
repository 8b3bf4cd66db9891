/* SPDX-License-Identifier: MIT */
#include "ike/ke.h"

#include <openssl/bn.h>
#include <string.h>

#include "base/secret.h"
#include "json_vectors.h"
#include "unit.h"

static struct ke a, b;

/* A private key given as bytes; shorter ones are padded on the left, longer ones cut there. */
static void
private_set(struct ke *ke, enum ke_group g, const uint8_t *key, size_t len)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 1);
	size_t want;

	ke_draw(ke, g, &rng);
	want = ke->private_len;
	memset(ke->private_key, 0, sizeof(ke->private_key));
	if (len >= want)
		memcpy(ke->private_key, key + len - want, want);
	else
		memcpy(ke->private_key + want - len, key, len);
}

static void
private_hex(struct ke *ke, enum ke_group g, const char *hex)
{
	uint8_t key[KE_PRIVATE_MAX];

	private_set(ke, g, key, unhex(hex, key, sizeof(key)));
}

static enum ke_result
derive(struct ke *ke, const uint8_t *peer, size_t len)
{
	ck_assert(ke_peer_set(ke, (struct slice){ peer, len }));
	return ke_derive(ke);
}

/* Both ends find the same secret, of the length the group has. */
START_TEST(both_ends_agree)
{
	static const size_t lens[KE_N][2] = {	/* public, shared */
		[KE_MODP_2048] = { 256, 256 }, [KE_MODP_3072] = { 384, 384 },
		[KE_MODP_4096] = { 512, 512 }, [KE_ECP_256] = { 64, 32 },
		[KE_ECP_384] = { 96, 48 }, [KE_ECP_521] = { 132, 66 },
		[KE_CURVE25519] = { 32, 32 },
	};
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 7);

	ke_draw(&a, _i, &rng);
	ke_draw(&b, _i, &rng);
	ck_assert_mem_ne(a.private_key, b.private_key, a.private_len);
	ck_assert_int_eq(ke_generate(&a), KE_GENERATED);
	ck_assert_int_eq(ke_generate(&b), KE_GENERATED);
	ck_assert_uint_eq(a.public_len, lens[_i][0]);
	ck_assert_uint_eq(ke_public_len(_i), lens[_i][0]);
	ck_assert_uint_eq(ke_shared_len(_i), lens[_i][1]);
	ck_assert_int_eq(derive(&a, b.public_value, b.public_len), KE_DERIVED);
	ck_assert_int_eq(derive(&b, a.public_value, a.public_len), KE_DERIVED);
	ck_assert_uint_eq(a.shared_len, lens[_i][1]);
	ck_assert_uint_eq(b.shared_len, lens[_i][1]);
	ck_assert_mem_eq(a.shared, b.shared, a.shared_len);
	ke_fini(&a);
	for (size_t i = 0; i < sizeof(a); i++)
		ck_assert_uint_eq(((const uint8_t *)&a)[i], 0);
}
END_TEST

/* The same seed gives the same bytes: no other source of randomness is in play. */
START_TEST(the_seed_decides)
{
	struct rng_seeded sa, sb;
	struct rng ra = rng_seeded(&sa, 42), rb = rng_seeded(&sb, 42);

	ke_draw(&a, _i, &ra);
	ke_draw(&b, _i, &rb);
	ck_assert_int_eq(ke_generate(&a), KE_GENERATED);
	ck_assert_int_eq(ke_generate(&b), KE_GENERATED);
	ck_assert_mem_eq(a.public_value, b.public_value, a.public_len);
	ck_assert_uint_eq(rng_u64(&ra), rng_u64(&rb));
}
END_TEST

/* R14: exact length, or not taken. */
START_TEST(lengths_are_exact)
{
	static const uint8_t value[KE_PUBLIC_MAX + 1];
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 7);

	ke_draw(&a, _i, &rng);
	for (size_t len = 0; len <= sizeof(value); len++)
		ck_assert_int_eq(ke_peer_set(&a, (struct slice){ value, len }),
		    len == ke_public_len(_i));
	ck_assert_uint_eq(a.peer_len, 0);
	ck_assert_int_eq(ke_derive(&a), KE_FAILED);	/* nothing to derive from */
	ck_assert_uint_eq(a.shared_len, 0);
}
END_TEST

START_TEST(no_group_has_no_lengths)
{
	ck_assert_uint_eq(ke_public_len(KE_NONE), 0);
	ck_assert_uint_eq(ke_public_len(KE_N), 0);
	ck_assert_uint_eq(ke_shared_len(KE_N), 0);
	memset(&a, 0, sizeof(a));
	ck_assert_int_eq(ke_generate(&a), KE_FAILED);
	ck_assert_int_eq(ke_derive(&a), KE_FAILED);
	ck_assert(!ke_peer_set(&a, (struct slice){ NULL, 0 }));
}
END_TEST

static BIGNUM *
prime(enum ke_group g)
{
	switch (g) {
	case KE_MODP_2048:
		return BN_get_rfc3526_prime_2048(NULL);
	case KE_MODP_3072:
		return BN_get_rfc3526_prime_3072(NULL);
	default:
		return BN_get_rfc3526_prime_4096(NULL);
	}
}

/* R14, RFC 6989 2.1: y of 0, 1, p - 1, p, p + 1 and all ones are refused; 2 and p - 2 are not. */
START_TEST(modp_refuses_what_leaks)
{
	static const struct {
		bool from_p;
		int add;
		bool ok;
	} cases[] = {
		{ false, 0, false }, { false, 1, false }, { false, 2, true }, { true, -2, true },
		{ true, -1, false }, { true, 0, false }, { true, 1, false },
	};
	size_t len = ke_public_len(_i);
	uint8_t y[KE_PUBLIC_MAX];
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 9);

	ke_draw(&a, _i, &rng);
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		BIGNUM *v = cases[k].from_p ? prime(_i) : BN_new();

		if (!cases[k].from_p)
			BN_zero(v);
		if (cases[k].add >= 0)
			BN_add_word(v, (BN_ULONG)cases[k].add);
		else
			BN_sub_word(v, (BN_ULONG)-cases[k].add);
		ck_assert_int_eq(BN_bn2binpad(v, y, (int)len), (int)len);
		ck_assert_msg(derive(&a, y, len) == (cases[k].ok ? KE_DERIVED : KE_REFUSED),
		    "case %zu", k);
		ck_assert_uint_eq(a.shared_len, cases[k].ok ? len : 0);
		BN_free(v);
	}
	memset(y, 0xff, sizeof(y));
	ck_assert_int_eq(derive(&a, y, len), KE_REFUSED);
}
END_TEST

/* Computed apart, from the primes' definition in RFC 3526: first and last 8 bytes. */
static const struct {
	enum ke_group group;
	const char *public_ends[2], *shared_ends[2];
} modp[] = {
	{ KE_MODP_2048, { "45a73ffb252077b3", "196f2f084d2bdfdc" },
	  { "48ab770a36c4b4de", "4cf93a40b097591e" } },
	{ KE_MODP_3072, { "2b7039257aaed6f4", "0aa0ef401d1cfd61" },
	  { "c7cf78635ec30f6a", "84b1d90cd00ca664" } },
	{ KE_MODP_4096, { "03693aac2a7e4b3b", "1adedf5443afefd6" },
	  { "794d778bb04da074", "4c7fd9a6fc5c2846" } },
};

static void
check_ends(const uint8_t *value, size_t len, const char *const ends[2])
{
	uint8_t want[8];

	(void)unhex(ends[0], want, 8);
	ck_assert_mem_eq(value, want, 8);
	(void)unhex(ends[1], want, 8);
	ck_assert_mem_eq(value + len - 8, want, 8);
}

START_TEST(modp_vectors)
{
	size_t len = ke_public_len(modp[_i].group);
	uint8_t x[64] = { 0x80 }, y[64] = { 0x90 };

	for (unsigned i = 1; i < sizeof(x); i++) {
		x[i] = (uint8_t)i;
		y[i] = (uint8_t)(0xff - i);
	}
	private_set(&a, modp[_i].group, x, 0);
	memcpy(a.private_key, x, a.private_len);
	private_set(&b, modp[_i].group, y, 0);
	memcpy(b.private_key, y, b.private_len);
	ck_assert_int_eq(ke_generate(&a), KE_GENERATED);
	check_ends(a.public_value, len, modp[_i].public_ends);
	ck_assert_int_eq(ke_generate(&b), KE_GENERATED);
	ck_assert_int_eq(derive(&a, b.public_value, len), KE_DERIVED);
	check_ends(a.shared, len, modp[_i].shared_ends);
}
END_TEST

/* A secret that begins with a zero byte keeps it (RFC 7296 2.14: padded to the prime). */
START_TEST(a_short_secret_is_padded)
{
	uint8_t x[32] = { 0x80 }, y[32] = { 0x90 }, want[8];

	x[30] = 1118 >> 8;
	x[31] = 1118 & 0xff;
	for (unsigned i = 1; i < sizeof(y); i++)
		y[i] = (uint8_t)(0xff - i);
	private_set(&a, KE_MODP_2048, x, sizeof(x));
	private_set(&b, KE_MODP_2048, y, sizeof(y));
	ck_assert_int_eq(ke_generate(&b), KE_GENERATED);
	ck_assert_int_eq(derive(&a, b.public_value, 256), KE_DERIVED);
	(void)unhex("0022799c591fdb3f", want, sizeof(want));
	ck_assert_uint_eq(a.shared_len, 256);
	ck_assert_mem_eq(a.shared, want, sizeof(want));
}
END_TEST

/* RFC 5903 section 8 and RFC 7748 section 6.1. */
static const struct {
	enum ke_group group;
	const char *i, *gi, *r, *gr, *shared;
} curves[] = {
	{ KE_ECP_256,
	  "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
	  "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
	  "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
	  "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
	  "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
	  "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
	  "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de" },
	{ KE_ECP_384,
	  "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655"
	  "e35b538041e649ee3faef896783ab194",
	  "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6"
	  "de3ac808acb4bdb4c88732aee95f41aa"
	  "9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38e"
	  "eb9fcff3c2c947dae69b4c634573a81c",
	  "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942"
	  "e0308312916b8ed2960e4bd55a7448fc",
	  "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d"
	  "0d1ac43a0336def96fda41d0774a3571"
	  "dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1ff"
	  "f83fa40142209dff5eaad96db9e6386c",
	  "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4"
	  "d603135569b9e9d09cf5d4a270f59746" },
	{ KE_CURVE25519,
	  "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
	  "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
	  "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
	  "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
	  "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742" },
};

START_TEST(curve_vectors)
{
	uint8_t want[KE_PUBLIC_MAX];
	size_t n;

	private_hex(&a, curves[_i].group, curves[_i].i);
	ck_assert_int_eq(ke_generate(&a), KE_GENERATED);
	n = unhex(curves[_i].gi, want, sizeof(want));
	ck_assert_uint_eq(n, a.public_len);
	ck_assert_mem_eq(a.public_value, want, n);
	private_hex(&b, curves[_i].group, curves[_i].r);
	ck_assert_int_eq(ke_generate(&b), KE_GENERATED);
	(void)unhex(curves[_i].gr, want, sizeof(want));
	ck_assert_mem_eq(b.public_value, want, n);
	ck_assert_int_eq(derive(&a, b.public_value, n), KE_DERIVED);
	n = unhex(curves[_i].shared, want, sizeof(want));
	ck_assert_uint_eq(n, a.shared_len);
	ck_assert_mem_eq(a.shared, want, n);
}
END_TEST

/* R14: off the curve, coordinates at or above the prime, zeros. */
START_TEST(ecp_refuses_what_is_no_point)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 3);
	size_t len = ke_public_len(_i), half = len / 2;
	uint8_t xy[KE_PUBLIC_MAX];

	ke_draw(&b, _i, &rng);
	ck_assert_int_eq(ke_generate(&b), KE_GENERATED);
	ke_draw(&a, _i, &rng);
	for (size_t at = 0; at < len; at++) {
		memcpy(xy, b.public_value, len);
		xy[at] ^= 1;
		ck_assert_msg(derive(&a, xy, len) == KE_REFUSED, "byte %zu", at);
	}
	memset(xy, 0, len);
	ck_assert_int_eq(derive(&a, xy, len), KE_REFUSED);
	memset(xy, 0xff, len);
	ck_assert_int_eq(derive(&a, xy, len), KE_REFUSED);
	memcpy(xy, b.public_value, len);
	memset(xy, 0xff, half);
	ck_assert_int_eq(derive(&a, xy, len), KE_REFUSED);
	ck_assert_int_eq(derive(&a, b.public_value, len), KE_DERIVED);
}
END_TEST

/* Scalars in [1, n - 1] only: candidates that are zero or not below n are drawn again. */
struct script {
	unsigned fills;
	uint8_t first;
};

static void
script_fill(void *arg, void *buf, size_t len)
{
	struct script *s = arg;

	memset(buf, s->fills++ == 0 ? s->first : 0x11, len);
}

START_TEST(scalars_out_of_range_are_drawn_again)
{
	static const uint8_t firsts[] = { 0x00, 0xff };

	for (size_t k = 0; k < 2; k++) {
		struct script s = { .first = firsts[k] };
		struct rng rng = { .fill = script_fill, .arg = &s };

		ke_draw(&a, _i, &rng);
		ck_assert_uint_eq(s.fills, 2);
		ck_assert_uint_eq(a.private_key[1], 0x11);
	}
}
END_TEST

static bool
x25519_case(const json_t *group, const json_t *test, void *arg)
{
	uint8_t peer[32], key[32], want[32], zero[32] = { 0 };
	enum ke_result r;

	(void)group;
	(void)arg;
	ck_assert_uint_eq(vector_bytes(test, "private", key, 32), 32);
	ck_assert_uint_eq(vector_bytes(test, "public", peer, 32), 32);
	ck_assert_uint_eq(vector_bytes(test, "shared", want, 32), 32);
	private_set(&a, KE_CURVE25519, key, 32);
	r = derive(&a, peer, 32);
	if (memcmp(want, zero, 32) == 0) {
		ck_assert_msg(r == KE_REFUSED, "case %lld", vector_number(test, "tcId"));
		return true;
	}
	ck_assert_msg(r == KE_DERIVED && memcmp(a.shared, want, 32) == 0, "case %lld",
	    vector_number(test, "tcId"));
	return true;
}

START_TEST(wycheproof_x25519)
{
	vectors_each("wycheproof/x25519_test.json", 518, 518, x25519_case, NULL);
}
END_TEST

static const struct curve {
	const char *file, *header;	/* DER of a SubjectPublicKeyInfo up to the point's x */
	enum ke_group group;
	size_t cases, fit;
} files[] = {
	{ "wycheproof/ecdh_secp256r1_test.json",
	  "3059301306072a8648ce3d020106082a8648ce3d03010703420004", KE_ECP_256, 612, 349 },
	{ "wycheproof/ecdh_secp384r1_test.json",
	  "3076301006072a8648ce3d020106052b8104002203620004", KE_ECP_384, 1047, 790 },
	{ "wycheproof/ecdh_secp521r1_test.json",
	  "30819b301006072a8648ce3d020106052b810400230381860004", KE_ECP_521, 916, 651 },
};

/* Points that are well wrapped and uncompressed; the rest is about DER, which IKE has not. */
static bool
ecdh_case(const json_t *group, const json_t *test, void *arg)
{
	const struct curve *c = arg;
	uint8_t der[8192], header[64], key[128], want[128];
	size_t len = vector_bytes(test, "public", der, sizeof(der));
	size_t n = unhex(c->header, header, sizeof(header)), key_len;
	long long id = vector_number(test, "tcId");
	enum ke_result r;

	(void)group;
	if (len != n + ke_public_len(c->group) || memcmp(der, header, n) != 0)
		return false;
	key_len = vector_bytes(test, "private", key, sizeof(key));
	private_set(&a, c->group, key, key_len);
	r = derive(&a, der + n, len - n);
	if (!vector_is(test, "result", "valid")) {	/* "acceptable": an altered point */
		ck_assert_msg(r == KE_REFUSED, "case %lld", id);
		return true;
	}
	ck_assert_msg(r == KE_DERIVED, "case %lld", id);
	ck_assert_uint_eq(vector_bytes(test, "shared", want, sizeof(want)), a.shared_len);
	ck_assert_msg(memcmp(a.shared, want, a.shared_len) == 0, "case %lld", id);
	return true;
}

START_TEST(wycheproof_ecdh)
{
	struct curve c = files[_i];

	vectors_each(c.file, c.cases, c.fit, ecdh_case, &c);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_loop_test(t, both_ends_agree, 1, KE_N);
	tcase_add_loop_test(t, the_seed_decides, 1, KE_N);
	tcase_add_loop_test(t, lengths_are_exact, 1, KE_N);
	tcase_add_test(t, no_group_has_no_lengths);
	tcase_add_loop_test(t, modp_refuses_what_leaks, KE_MODP_2048, KE_MODP_4096 + 1);
	tcase_add_loop_test(t, modp_vectors, 0, 3);
	tcase_add_test(t, a_short_secret_is_padded);
	tcase_add_loop_test(t, curve_vectors, 0, (int)(sizeof(curves) / sizeof(curves[0])));
	tcase_add_loop_test(t, ecp_refuses_what_is_no_point, KE_ECP_256, KE_ECP_521 + 1);
	tcase_add_loop_test(t, scalars_out_of_range_are_drawn_again, KE_ECP_256, KE_ECP_384 + 1);
	tcase_add_test(t, wycheproof_x25519);
	tcase_add_loop_test(t, wycheproof_ecdh, 0, 3);
}

UNIT_MAIN("ike/ke", fill)
