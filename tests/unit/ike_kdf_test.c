/* SPDX-License-Identifier: MIT */
#include "ike/kdf.h"

#include <string.h>

#include "json_vectors.h"
#include "unit.h"

#define BYTES_MAX	512

static uint8_t ni[BYTES_MAX], nr[BYTES_MAX], gir[BYTES_MAX], gir_new[BYTES_MAX];
static struct ike_keys keys;
static struct child_sa child;

static struct slice
slice(const uint8_t *p, size_t len)
{
	return (struct slice){ .p = p, .len = len };
}

static void
check_hex(const uint8_t *got, size_t len, const char *hex)
{
	uint8_t want[BYTES_MAX];

	ck_assert_uint_eq(unhex(hex, want, sizeof(want)), len);
	ck_assert_mem_eq(got, want, len);
}

/* RFC 4231 test cases 1, 2 and 6 (a key longer than a block), the text in two parts. */
static const struct {
	enum prf_id id;
	unsigned key_case;
	const char *want;
} hmacs[] = {
	{ PRF_HMAC_SHA2_256, 1, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
	{ PRF_HMAC_SHA2_256, 2, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
	{ PRF_HMAC_SHA2_256, 6, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
	{ PRF_HMAC_SHA2_384, 1, "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
	  "faea9ea9076ede7f4af152e8b2fa9cb6" },
	{ PRF_HMAC_SHA2_512, 2, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
	  "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737" },
};

START_TEST(prf_is_hmac)
{
	static const char *const texts[] = { "", "Hi There", "what do ya want for nothing?", "", "",
		"", "Test Using Larger Than Block-Size Key - Hash Key First" };
	uint8_t key[131], out[PRF_LEN_MAX];
	const char *text = texts[hmacs[_i].key_case];
	struct slice k = { .p = key, .len = 20 };
	struct slice parts[3];

	memset(key, hmacs[_i].key_case == 1 ? 0x0b : 0xaa, sizeof(key));
	if (hmacs[_i].key_case == 2)
		k = slice((const uint8_t *)"Jefe", 4);
	if (hmacs[_i].key_case == 6)
		k.len = 131;
	parts[0] = slice((const uint8_t *)text, 3);
	parts[1] = slice(NULL, 0);
	parts[2] = slice((const uint8_t *)text + 3, strlen(text) - 3);
	ck_assert(prf(hmacs[_i].id, k, parts, 3, out));
	check_hex(out, prf_len(hmacs[_i].id), hmacs[_i].want);
}
END_TEST

/* Values computed apart, with another HMAC, from the formulas of RFC 7296. */
static struct kdf_in
small_in(void)
{
	struct kdf_in in = { .ni = { ni, 32 }, .nr = { nr, 16 }, .shared = { gir, 32 } };

	for (unsigned i = 0; i < 32; i++) {
		ni[i] = (uint8_t)(1 + i);
		nr[i] = (uint8_t)(0x41 + i);
		gir[i] = (uint8_t)(0x80 + i);
	}
	in.spi_i = 0x0123456789abcdef;
	in.spi_r = 0xfedcba9876543210;
	return in;
}

#define SK_D	"ce021f247a38e36ac76061df42d0f7cd863cb0c42a2247210e66a7a9078b2803"

START_TEST(keys_of_an_ike_sa)
{
	struct ike_suite s = { AEAD_AES_CBC_128_HMAC_SHA2_256, PRF_HMAC_SHA2_256, KE_CURVE25519 };
	struct kdf_in in = small_in();
	uint8_t seed[PRF_LEN_MAX];

	ck_assert(kdf_skeyseed(s.prf, &in, seed));
	check_hex(seed, 32, "94af47655883ce1b59477bc4b67c819352d2ec39059021e93d7f62f2a1979a32");
	ck_assert(ike_keys_init(&keys, &s, &in));
	ck_assert_uint_eq(keys.prf_len, 32);
	ck_assert_uint_eq(keys.key_len, 48);
	check_hex(keys.sk_d, 32, SK_D);
	check_hex(keys.ei, 48, "27b476b7e73af4ef8af7e4c0562a95fc"
	    "a203b486a105aad55a203c1ef454993c70be521690d543161cc6b0afc970b99f");
	check_hex(keys.er, 48, "d1bb364f3d5426d764cfc295be185ac5"
	    "3a44d47b491bf07ea0d3179d79e3ee178b2a4b6420c95c7ce789194cc0370fdb");
	check_hex(keys.sk_pi, 32,
	    "9a27547a360cd956e8dbd8046ba32ad14eb1049478373ccf75af176a77a751bf");
	check_hex(keys.sk_pr, 32,
	    "91c92c1495a637c1c3f3e2b854e524e1e3c8bda9f934ce234ab4995187e0f765");
	ike_keys_fini(&keys);
	for (size_t i = 0; i < sizeof(keys); i++)
		ck_assert_uint_eq(((const uint8_t *)&keys)[i], 0);
}
END_TEST

/* The exchange's initiator sends with the first half, whoever we are. */
START_TEST(keys_of_a_child_sa)
{
	struct ike_suite s = { AEAD_AES_CBC_128_HMAC_SHA2_256, PRF_HMAC_SHA2_256, KE_CURVE25519 };
	struct kdf_in in = small_in();
	const char *const first[] = {
		"20991836cb9752e1bf935342e05b8e086d42a8d1ed2c4585c022ed33afdf406e4d208ee3",
		"11997385cf98c006b66b4fb475b410b9b53585341349e3b788335ed163b945bba3dd267f",
	};
	const char *const second[] = {
		"1742043bc44312da87c472a7adcdb97dc4ac5196dea17fb426fdfa2d72ee007f85e04739",
		"45a14fdb49dca339ed289e451a33f7e28c61f773315514ae55628f6a192b30b1e1a8caa4",
	};

	ck_assert(ike_keys_init(&keys, &s, &in));
	for (unsigned pfs = 0; pfs < 2; pfs++) {
		in.shared.len = pfs ? 32 : 0;
		child = (struct child_sa){ .aead = AEAD_AES_GCM_16_256, .initiator = true };
		ck_assert(kdf_child(&keys, &in, &child));
		ck_assert_uint_eq(child.key_len, 36);
		check_hex(child.key_out, 36, first[pfs]);
		check_hex(child.key_in, 36, second[pfs]);
		child = (struct child_sa){ .aead = AEAD_AES_GCM_16_256, .initiator = false };
		ck_assert(kdf_child(&keys, &in, &child));
		check_hex(child.key_in, 36, first[pfs]);
		check_hex(child.key_out, 36, second[pfs]);
	}
}
END_TEST

/* 2.18: the old PRF makes the seed, the new one the keys. */
START_TEST(a_rekey_mixes_both_prfs)
{
	struct ike_suite olds = { AEAD_AES_CBC_128_HMAC_SHA2_256, PRF_HMAC_SHA2_256, KE_CURVE25519 };
	struct ike_suite news = { AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_512, KE_ECP_384 };
	struct kdf_in in = small_in();
	struct ike_keys fresh, split;
	uint8_t seed[PRF_LEN_MAX];

	ck_assert(ike_keys_init(&keys, &olds, &in));
	ck_assert(kdf_skeyseed_rekey(PRF_HMAC_SHA2_256, slice(keys.sk_d, 32), &in, seed));
	check_hex(seed, 32, "122f8c453f7c96fa99728b8252ba1ea26886c5d2cf16370cb4468fc9bd80a460");
	ck_assert(kdf_split(&split, &news, &in, slice(seed, 32)));
	ck_assert(ike_keys_rekey(&fresh, &news, &in, &keys));
	ck_assert_uint_eq(fresh.prf_len, 64);
	ck_assert_uint_eq(fresh.key_len, 36);
	ck_assert_mem_eq(&fresh, &split, sizeof(fresh));
	ck_assert_mem_ne(fresh.sk_d, keys.sk_d, 32);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	struct ike_suite s = { AEAD_NONE, PRF_HMAC_SHA2_256, KE_CURVE25519 };
	struct kdf_in in = small_in();
	uint8_t out[255 * 32 + 1];

	ck_assert(!ike_keys_init(&keys, &s, &in));
	s.enc = AEAD_AES_GCM_16_128;
	s.prf = PRF_NONE;
	ck_assert(!ike_keys_init(&keys, &s, &in));
	s.prf = PRF_N;
	ck_assert(!ike_keys_init(&keys, &s, &in));
	s.prf = PRF_HMAC_SHA2_256;
	in.ni.len = NONCE_MAX + 1;
	ck_assert(!ike_keys_init(&keys, &s, &in));
	in.ni.len = 32;
	ck_assert(ike_keys_init(&keys, &s, &in));
	child.aead = AEAD_N;
	ck_assert(!kdf_child(&keys, &in, &child));
	ck_assert(prf_plus(s.prf, in.ni, in.nr, out, 255 * 32));
	ck_assert(!prf_plus(s.prf, in.ni, in.nr, out, 255 * 32 + 1));	/* the counter is one byte */
}
END_TEST

/* The set of key derivations: SKEYSEED, all keys, rekey, Child KEYMAT with and without PFS. */
static const struct {
	const char *name;
	enum prf_id id;
	enum aead_id aead;
} sets[] = {
	{ "sha256", PRF_HMAC_SHA2_256, AEAD_AES_CBC_256_HMAC_SHA2_256 },
	{ "sha384", PRF_HMAC_SHA2_384, AEAD_AES_CBC_256_HMAC_SHA2_384 },
	{ "sha512", PRF_HMAC_SHA2_512, AEAD_AES_CBC_256_HMAC_SHA2_512 },
};

/* SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr against derived bytes. */
static void
check_split(const struct ike_keys *k, const uint8_t *dkm)
{
	const struct aead_info *info = aead_info(k->enc);
	struct rd r = rd_init(dkm, BYTES_MAX);

	ck_assert_mem_eq(rd_bytes(&r, k->prf_len), k->sk_d, k->prf_len);
	ck_assert_mem_eq(rd_bytes(&r, info->auth_len), k->ei + info->enc_len, info->auth_len);
	ck_assert_mem_eq(rd_bytes(&r, info->auth_len), k->er + info->enc_len, info->auth_len);
	ck_assert_mem_eq(rd_bytes(&r, info->enc_len), k->ei, info->enc_len);
	ck_assert_mem_eq(rd_bytes(&r, info->enc_len), k->er, info->enc_len);
	ck_assert_mem_eq(rd_bytes(&r, k->prf_len), k->sk_pi, k->prf_len);
	ck_assert_mem_eq(rd_bytes(&r, k->prf_len), k->sk_pr, k->prf_len);
}

static void
check_child(const json_t *test, const char *field, const struct kdf_in *in)
{
	uint8_t want[BYTES_MAX];

	(void)vector_bytes(test, field, want, sizeof(want));
	child.initiator = true;
	ck_assert(kdf_child(&keys, in, &child));
	ck_assert_mem_eq(child.key_out, want, child.key_len);
	ck_assert_mem_eq(child.key_in, want + child.key_len, child.key_len);
}

static void
derivation(const json_t *test, unsigned set)
{
	struct ike_suite s = { sets[set].aead, sets[set].id, KE_MODP_2048 };
	uint8_t want[BYTES_MAX], got[BYTES_MAX], seed[PRF_LEN_MAX], spi[16];
	struct kdf_in in = { .ni = { ni, vector_bytes(test, "nInit", ni, BYTES_MAX) },
		.nr = { nr, vector_bytes(test, "nResp", nr, BYTES_MAX) },
		.shared = { gir, vector_bytes(test, "gir", gir, BYTES_MAX) } };
	struct rd r = rd_init(spi, 16);
	uint8_t text[2 * BYTES_MAX + 16];
	struct wr w = wr_init(text, sizeof(text));
	size_t n;

	(void)vector_bytes(test, "spiInit", spi, 8);
	(void)vector_bytes(test, "spiResp", spi + 8, 8);
	in.spi_i = rd_u64(&r);
	in.spi_r = rd_u64(&r);
	ck_assert(kdf_skeyseed(s.prf, &in, seed));
	ck_assert_uint_eq(vector_bytes(test, "sKeySeed", want, BYTES_MAX), prf_len(s.prf));
	ck_assert_mem_eq(seed, want, prf_len(s.prf));
	wr_bytes(&w, ni, in.ni.len);
	wr_bytes(&w, nr, in.nr.len);
	wr_bytes(&w, spi, 16);
	n = vector_bytes(test, "derivedKeyingMaterial", want, BYTES_MAX);
	ck_assert(prf_plus(s.prf, slice(seed, prf_len(s.prf)), slice(text, wr_len(&w)), got, n));
	ck_assert_mem_eq(got, want, n);
	ck_assert(ike_keys_init(&keys, &s, &in));
	check_split(&keys, want);
	child.aead = s.enc;
	in.shared = slice(gir_new, vector_bytes(test, "girNew", gir_new, BYTES_MAX));
	check_child(test, "derivedKeyingMaterialDh", &in);
	ck_assert(kdf_skeyseed_rekey(s.prf, slice(keys.sk_d, keys.prf_len), &in, got));
	(void)vector_bytes(test, "sKeySeedReKey", want, BYTES_MAX);
	ck_assert_mem_eq(got, want, prf_len(s.prf));
	in.shared.len = 0;
	check_child(test, "derivedKeyingMaterialChild", &in);
}

START_TEST(vectors)
{
	json_t *root = vectors_load("ikev2-kdf/ikev2_kdf_vectors.json", 48), *test;
	size_t i, fit = 0;

	if (root == NULL)
		return;
	ck_assert_uint_eq(json_array_size(json_object_get(root, "tests")), 48);
	json_array_foreach(json_object_get(root, "tests"), i, test) {
		for (unsigned set = 0; set < 3; set++) {
			if (!vector_is(test, "hashAlg", sets[set].name))
				continue;
			derivation(test, set);
			fit++;
		}
	}
	ck_assert_uint_eq(fit, 36);	/* all but SHA-1, which we do not have */
	json_decref(root);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_loop_test(t, prf_is_hmac, 0, (int)(sizeof(hmacs) / sizeof(hmacs[0])));
	tcase_add_test(t, keys_of_an_ike_sa);
	tcase_add_test(t, keys_of_a_child_sa);
	tcase_add_test(t, a_rekey_mixes_both_prfs);
	tcase_add_test(t, what_cannot_be_is_refused);
	tcase_add_test(t, vectors);
}

UNIT_MAIN("ike/kdf", fill)
