/* SPDX-License-Identifier: MIT */
/* Of base/aead.c and each of its providers: aead_imb.c, aead_openssl.c and aead_sodium.c. */
#include "base/aead.h"

#include <pthread.h>
#include <string.h>

#include "aead_providers.h"
#include "base/rng.h"
#include "json_vectors.h"
#include "unit.h"

/* Loop tests count through the algorithms of all providers. */
enum {
	EACH_N = PROVIDERS_N * AEAD_N,
	CHOSEN = -1,			/* not a provider: what a gateway would use */
};

/* A key, scratch and buffers for one algorithm. */
struct bench {
	struct aead_set *set;
	struct aead_scratch *scratch;
	struct aead_key key;
	const struct aead_info *info;
	uint8_t aad[64], iv[AEAD_IV_MAX], tail[64], in[256], out[256], icv[AEAD_ICV_MAX];
	struct aead_op op;
};

/* False: there is nothing to test, because the provider is not here or does not have it. */
static bool
bench_init(struct bench *b, int provider, enum aead_id id, const uint8_t *key)
{
	memset(b, 0, sizeof(*b));
	b->set = provider == CHOSEN ? aead_set_new() : provider_set(provider);
	if (b->set == NULL || aead_set_provider(b->set, id) == NULL) {
		aead_set_free(b->set);
		return false;
	}
	b->scratch = aead_scratch_new(b->set);
	ck_assert_ptr_nonnull(b->scratch);
	b->info = aead_info(id);
	ck_assert(aead_key_init(&b->key, b->set, id, key,
	    (size_t)b->info->enc_len + b->info->salt_len + b->info->auth_len));
	b->op = (struct aead_op){ .aad = b->aad, .iv = b->iv, .tail = b->tail, .src = b->in,
		.dst = b->out, .icv = b->icv };
	return true;
}

static void
bench_fini(struct bench *b)
{
	aead_key_fini(&b->key);
	aead_scratch_free(b->scratch);
	aead_set_free(b->set);
}

/* Random key and packet; which depends on the algorithm alone. */
static bool
bench_random(struct bench *b, int provider, enum aead_id id)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, (uint64_t)id);
	uint8_t key[AEAD_KEY_MAX];

	rng_fill(&rng, key, sizeof(key));
	if (aead_info(id) == NULL || !bench_init(b, provider, id, key))
		return false;
	rng_fill(&rng, b->aad, sizeof(b->aad));
	rng_fill(&rng, b->iv, sizeof(b->iv));
	rng_fill(&rng, b->tail, sizeof(b->tail));
	rng_fill(&rng, b->in, sizeof(b->in));
	b->op.aad_len = 12;
	b->op.tail_len = b->info->cbc ? 4 : 0;
	b->op.len = 64;
	return true;
}

static bool
bench_loop(struct bench *b, int i)
{
	return bench_random(b, i / AEAD_N, (enum aead_id)(i % AEAD_N));
}

/* What is checked against numbers that others published. */
struct known {
	enum aead_id id;
	const char *key, *iv, *aad, *text, *cipher, *icv;
};

/* AEADs: `key` ends with the salt, the first four bytes of the published nonce. */
static const struct known known[] = {
	{ AEAD_AES_GCM_16_128,		/* The Galois/Counter Mode of Operation, test case 3 */
	    "feffe9928665731c6d6a8f9467308308" "cafebabe", "facedbaddecaf888", "",
	    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
	    "4d5c2af327cd64a62cf35abd2ba6fab4" },
	{ AEAD_AES_GCM_16_128,		/* test case 4 */
	    "feffe9928665731c6d6a8f9467308308" "cafebabe", "facedbaddecaf888",
	    "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
	    "5bc94fbc3221a5db94fae95ae7121a47" },
	{ AEAD_AES_GCM_16_256,		/* test case 16 */
	    "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308" "cafebabe",
	    "facedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	    "76fc6ece0f4e1768cddf8853bb2d551b" },
	{ AEAD_CHACHA20_POLY1305,	/* RFC 8439 2.8.2 */
	    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f" "07000000",
	    "4041424344454647", "50515253c0c1c2c3c4c5c6c7",
	    "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	    "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	    "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	    "637265656e20776f756c642062652069742e",
	    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	    "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	    "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	    "3ff4def08e4b7a9de576d26586cec64b6116",
	    "1ae10b594f09e26a7e902ecbd0600691" },
};

static void
known_check(const struct known *k, int provider)
{
	uint8_t key[AEAD_KEY_MAX], cipher[256], icv[AEAD_ICV_MAX];
	struct bench b;

	memset(key, 0, sizeof(key));
	(void)unhex(k->key, key, sizeof(key));
	if (!bench_init(&b, provider, k->id, key))
		return;
	(void)unhex(k->iv, b.iv, sizeof(b.iv));
	b.op.aad_len = unhex(k->aad, b.aad, sizeof(b.aad));
	b.op.len = unhex(k->text, b.in, sizeof(b.in));
	ck_assert_uint_eq(unhex(k->cipher, cipher, sizeof(cipher)), b.op.len);
	ck_assert(aead_seal(&b.key, b.scratch, &b.op));
	ck_assert_mem_eq(b.out, cipher, b.op.len);
	if (k->icv != NULL) {
		ck_assert_uint_eq(unhex(k->icv, icv, sizeof(icv)), b.info->icv_len);
		ck_assert_mem_eq(b.icv, icv, b.info->icv_len);
	}
	b.op.src = b.op.dst = cipher;
	ck_assert(aead_open(&b.key, b.scratch, &b.op));
	ck_assert_mem_eq(cipher, b.in, b.op.len);
	bench_fini(&b);
}

START_TEST(aeads_agree_with_what_is_published)
{
	known_check(&known[_i % 4], _i / 4);
}
END_TEST

/* Lengths from nothing to a super-packet: each around the strides of vectorised code. */
static size_t
next_len(size_t len, size_t block)
{
	size_t step = len < 2100 ? 1 : len < 9000 ? 253 : 14057;

	return (len + step + block - 1) / block * block;
}

/* What two providers make of one packet is the same, and each opens what the other sealed. */
static void
two_agree(struct bench *one, struct bench *other, size_t len, size_t aad_len)
{
	static uint8_t text[1 << 16], a[1 << 16], b[1 << 16];

	for (size_t i = 0; i < len; i++)
		text[i] = (uint8_t)(i * 7 + len);
	one->op.len = other->op.len = len;
	one->op.aad_len = other->op.aad_len = aad_len;
	one->op.src = other->op.src = text;
	one->op.dst = a;
	other->op.dst = b;
	ck_assert(aead_seal(&one->key, one->scratch, &one->op));
	ck_assert(aead_seal(&other->key, other->scratch, &other->op));
	ck_assert_msg(memcmp(a, b, len) == 0, "%s: text of %zu", one->info->name, len);
	ck_assert_msg(memcmp(one->icv, other->icv, one->info->icv_len) == 0, "%s: ICV of %zu + %zu",
	    one->info->name, aad_len, len);
	one->op.src = one->op.dst = b;
	ck_assert(aead_open(&one->key, one->scratch, &one->op));
	ck_assert_msg(memcmp(b, text, len) == 0, "%s: opened %zu", one->info->name, len);
	one->icv[len % 16] ^= 0x10;
	one->op.src = a;
	ck_assert(!aead_open(&one->key, one->scratch, &one->op));
}

START_TEST(providers_agree_at_every_length)
{
	enum aead_id id = (enum aead_id)(_i % AEAD_N);
	struct bench one, other;

	if (_i / AEAD_N == 1 || !bench_loop(&one, _i))
		return;
	ck_assert(bench_random(&other, 1, id));
	for (size_t len = 0; len < 1 << 16; len = next_len(len, one.info->cbc ? 16 : 1))
		two_agree(&one, &other, len, len < 2100 ? len % (sizeof(one.aad) + 1) : 12);
	bench_fini(&one);
	bench_fini(&other);
}
END_TEST

/* The cipher alone; the HMAC key is zero and its result not looked at here. */
static const struct known known_cbc[] = {
	{ AEAD_AES_CBC_128_HMAC_SHA2_256,	/* RFC 3602 4, case 1 */
	    "06a9214036b8a15b512e03d534120006", "3dafba429d9eb430b422da802c9fac41", "",
	    "53696e676c6520626c6f636b206d7367", "e353779c1079aeb82708942dbe77181a", NULL },
	{ AEAD_AES_CBC_128_HMAC_SHA2_512,	/* case 2 */
	    "c286696d887c9aa0611bbb3e2025a45a", "562e17996d093d28ddb3ba695a2e6f58", "",
	    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	    "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1", NULL },
	{ AEAD_AES_CBC_256_HMAC_SHA2_384,	/* NIST SP 800-38A F.2.5, two blocks */
	    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
	    "000102030405060708090a0b0c0d0e0f", "",
	    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
	    "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d", NULL },
};

START_TEST(cbc_agrees_with_what_is_published)
{
	known_check(&known_cbc[_i], 1);
}
END_TEST

/*
 * RFC 4231 cases 2 to 4.  A packet without text is authenticated as aad, IV and tail, so the
 * published data is cut into these; a key shorter than ours is the same key filled with
 * zeros (RFC 2104 2).
 */
static const struct {
	const char *key, *data, *sha256, *sha384, *sha512;
} known_hmac[] = {
	{ "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
	    "5bdcc146bf60754e6a042426089575c7",
	    "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47",
	    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554" },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	    "dddddddddddddddddddddddddddddddddddddddddddddddddd"
	    "dddddddddddddddddddddddddddddddddddddddddddddddddd",
	    "773ea91e36800e46854db8ebd09181a7",
	    "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9feb",
	    "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39" },
	{ "0102030405060708090a0b0c0d0e0f10111213141516171819",
	    "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
	    "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
	    "82558a389a443c0ea4cc819899f2083a",
	    "3e8a69b7783c25851933ab6290af6ca77a9981480850009c",
	    "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db" },
};

START_TEST(hmac_agrees_with_what_is_published)
{
	static const enum aead_id ids[] = { AEAD_AES_CBC_128_HMAC_SHA2_256,
		AEAD_AES_CBC_256_HMAC_SHA2_384, AEAD_AES_CBC_256_HMAC_SHA2_512 };

	for (int h = 0; h < 3; h++) {
		const char *want = h == 0 ? known_hmac[_i].sha256 : h == 1 ? known_hmac[_i].sha384 :
		    known_hmac[_i].sha512;
		uint8_t key[AEAD_KEY_MAX] = { 0 }, data[64], icv[AEAD_ICV_MAX];
		size_t len = unhex(known_hmac[_i].data, data, sizeof(data));
		struct bench b;

		(void)unhex(known_hmac[_i].key, key + aead_info(ids[h])->enc_len, 64);
		ck_assert(bench_init(&b, 1, ids[h], key));
		b.op.aad = data;
		b.op.aad_len = 5;
		memcpy(b.iv, data + 5, 16);
		b.op.tail = data + 21;
		b.op.tail_len = len - 21;
		ck_assert_uint_eq(unhex(want, icv, sizeof(icv)), b.info->icv_len);
		ck_assert(aead_seal(&b.key, b.scratch, &b.op));
		ck_assert_mem_eq(b.icv, icv, b.info->icv_len);
		ck_assert(aead_open(&b.key, b.scratch, &b.op));
		bench_fini(&b);
	}
}
END_TEST

START_TEST(what_is_sealed_opens_in_place_and_apart)
{
	struct bench b;
	uint8_t copy[256];

	if (!bench_loop(&b, _i))
		return;
	for (size_t len = 0; len <= sizeof(b.in); len += b.info->block) {
		b.op.len = len;
		b.op.src = b.in;
		b.op.dst = b.out;
		ck_assert(aead_seal(&b.key, b.scratch, &b.op));
		ck_assert(len < 8 || memcmp(b.in, b.out, len) != 0);
		memcpy(copy, b.in, len);
		b.op.src = b.op.dst = copy;
		ck_assert(aead_seal(&b.key, b.scratch, &b.op));
		ck_assert_mem_eq(copy, b.out, len);
		ck_assert(aead_open(&b.key, b.scratch, &b.op));
		ck_assert_mem_eq(copy, b.in, len);
		memset(copy, 0, sizeof(copy));
		b.op.src = b.out;
		ck_assert(aead_open(&b.key, b.scratch, &b.op));
		ck_assert_mem_eq(copy, b.in, len);
	}
	bench_fini(&b);
}
END_TEST

/* Flip every bit in turn of a part of the packet; none may pass. */
static void
flips_refused(struct bench *b, uint8_t *part, size_t len)
{
	for (size_t i = 0; i < len * 8; i++) {
		part[i / 8] ^= (uint8_t)(1 << i % 8);
		ck_assert_msg(!aead_open(&b->key, b->scratch, &b->op), "%s: bit %zu passed",
		    b->info->name, i);
		part[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

START_TEST(any_bit_flipped_is_refused)
{
	struct bench b;
	uint8_t plain[256];

	if (!bench_loop(&b, _i))
		return;
	ck_assert(aead_seal(&b.key, b.scratch, &b.op));
	b.op.src = b.out;
	b.op.dst = plain;
	flips_refused(&b, b.aad, b.op.aad_len);
	flips_refused(&b, b.iv, b.info->iv_len);
	flips_refused(&b, b.out, b.op.len);
	flips_refused(&b, b.tail, b.op.tail_len);
	flips_refused(&b, b.icv, b.info->icv_len);
	ck_assert(aead_open(&b.key, b.scratch, &b.op));
	ck_assert_mem_eq(plain, b.in, b.op.len);
	bench_fini(&b);
}
END_TEST

/* CBC: what did not authenticate is never decrypted. */
START_TEST(cbc_does_not_decrypt_before_it_knows)
{
	struct bench b;
	uint8_t plain[256], before[256];

	ck_assert(bench_random(&b, 1, AEAD_AES_CBC_256_HMAC_SHA2_256));
	ck_assert(aead_seal(&b.key, b.scratch, &b.op));
	b.icv[3] ^= 4;
	memset(plain, 0x77, sizeof(plain));
	memset(before, 0x77, sizeof(before));
	b.op.src = b.out;
	b.op.dst = plain;
	ck_assert(!aead_open(&b.key, b.scratch, &b.op));
	ck_assert_mem_eq(plain, before, sizeof(plain));
	bench_fini(&b);
}
END_TEST

START_TEST(wrong_lengths_are_refused)
{
	struct bench b;
	struct aead_key k;
	uint8_t key[AEAD_KEY_MAX + 1] = { 0 };

	if (!bench_loop(&b, _i))
		return;
	for (size_t len = 0; len <= sizeof(key); len++) {
		ck_assert(aead_key_init(&k, b.set, b.key.id, key, len) ==
		    (len == (size_t)b.info->enc_len + b.info->salt_len + b.info->auth_len));
		if (k.serial == 0)		/* a key that was refused does not work */
			ck_assert(!aead_seal(&k, b.scratch, &b.op));
	}
	b.op.len = 17;
	ck_assert(aead_seal(&b.key, b.scratch, &b.op) == !b.info->cbc);
	b.op.len = (size_t)1 << 32;		/* more than the libraries' int */
	ck_assert(!aead_seal(&b.key, b.scratch, &b.op));
	ck_assert(!aead_open(&b.key, b.scratch, &b.op));
	b.op.len = 32;
	b.op.tail_len = 4;
	ck_assert(aead_seal(&b.key, b.scratch, &b.op) == b.info->cbc);
	bench_fini(&b);
	ck_assert(!aead_key_init(&k, b.set, AEAD_NONE, key, 0));
	ck_assert(!aead_key_init(&k, b.set, AEAD_N, key, 0));
}
END_TEST

/*
 * One scratch meets more keys than it keeps, of all algorithms, some gone and made again in
 * the same place: each packet is still sealed with its own key.
 */
START_TEST(a_scratch_does_not_mix_up_keys)
{
	enum { KEYS = 60, STEPS = 1500 };
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 9);
	struct aead_set *set = provider_set(_i);
	struct aead_scratch *s = set != NULL ? aead_scratch_new(set) : NULL;
	struct aead_key key[KEYS] = { 0 };
	uint8_t bytes[AEAD_KEY_MAX], text[32], icv[32], icv2[32], iv[16] = { 0 };
	struct aead_op op = { .iv = iv, .src = text, .dst = text, .len = 32, .icv = icv };

	for (int step = 0; set != NULL && step < STEPS; step++) {
		uint32_t i = rng_below(&rng, KEYS);
		enum aead_id id = (enum aead_id)(1 + rng_below(&rng, AEAD_N - 1));
		const struct aead_info *info = aead_info(id);
		struct aead_scratch *fresh;

		if (aead_set_provider(set, id) == NULL)
			continue;
		if (key[i].serial == 0 || rng_below(&rng, 4) == 0) {
			aead_key_fini(&key[i]);
			rng_fill(&rng, bytes, sizeof(bytes));
			ck_assert(aead_key_init(&key[i], set, id, bytes,
			    (size_t)info->enc_len + info->salt_len + info->auth_len));
		}
		memset(text, 0, sizeof(text));
		ck_assert(aead_seal(&key[i], s, &op));
		/* a scratch that has seen nothing else must agree */
		fresh = aead_scratch_new(set);
		memset(text, 0, sizeof(text));
		op.icv = icv2;
		ck_assert(aead_seal(&key[i], fresh, &op));
		op.icv = icv;
		ck_assert_mem_eq(icv, icv2, aead_info(key[i].id)->icv_len);
		aead_scratch_free(fresh);
		ck_assert(aead_open(&key[i], s, &op));
	}
	aead_scratch_free(s);
	aead_set_free(set);
}
END_TEST

START_TEST(another_sets_scratch_is_refused)
{
	struct bench a, b;

	ck_assert(bench_random(&a, CHOSEN, AEAD_AES_GCM_16_128));
	ck_assert(bench_random(&b, CHOSEN, AEAD_AES_GCM_16_128));
	ck_assert(!aead_seal(&a.key, b.scratch, &a.op));
	ck_assert(aead_seal(&a.key, a.scratch, &a.op));
	bench_fini(&a);
	bench_fini(&b);
	aead_scratch_free(NULL);
	aead_set_free(NULL);
}
END_TEST

START_TEST(the_table_is_complete)
{
	struct aead_set *set = aead_set_new();

	ck_assert_ptr_null(aead_info(AEAD_NONE));
	ck_assert_ptr_null(aead_info(AEAD_N));
	ck_assert_ptr_null(aead_info((enum aead_id)-1));
	ck_assert_ptr_null(aead_set_provider(set, AEAD_NONE));
	for (int id = 1; id < AEAD_N; id++) {
		const struct aead_info *info = aead_info((enum aead_id)id);

		ck_assert_ptr_nonnull(info);
		ck_assert_uint_le(info->enc_len + info->salt_len + info->auth_len, AEAD_KEY_MAX);
		ck_assert_uint_le(info->iv_len, AEAD_IV_MAX);
		ck_assert_uint_le(info->icv_len, AEAD_ICV_MAX);
		ck_assert_ptr_nonnull(aead_set_provider(set, (enum aead_id)id));
	}
	aead_set_free(set);
}
END_TEST

/* One key, two threads, a scratch each. */
static void *
seal_many(void *arg)
{
	struct aead_key *k = arg;
	struct aead_scratch *s = aead_scratch_new(k->set);
	uint8_t iv[AEAD_IV_MAX] = { 0 }, text[64], icv[AEAD_ICV_MAX];
	struct aead_op op = { .iv = iv, .src = text, .dst = text, .len = sizeof(text), .icv = icv };

	for (int i = 0; i < 2000; i++) {
		memset(text, 0, sizeof(text));
		ck_assert(aead_seal(k, s, &op));
		ck_assert(aead_open(k, s, &op));
		ck_assert_uint_eq(text[5], 0);
	}
	aead_scratch_free(s);
	return NULL;
}

START_TEST(threads_share_a_key)
{
	struct bench b;
	pthread_t a, c;

	if (!bench_loop(&b, _i))
		return;
	ck_assert_int_eq(pthread_create(&a, NULL, seal_many, &b.key), 0);
	ck_assert_int_eq(pthread_create(&c, NULL, seal_many, &b.key), 0);
	pthread_join(a, NULL);
	pthread_join(c, NULL);
	bench_fini(&b);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_loop_test(t, aeads_agree_with_what_is_published, 0, 4 * PROVIDERS_N);
	tcase_add_loop_test(t, providers_agree_at_every_length, 0, EACH_N);
	tcase_add_loop_test(t, cbc_agrees_with_what_is_published, 0, 3);
	tcase_add_loop_test(t, hmac_agrees_with_what_is_published, 0, 3);
	tcase_add_loop_test(t, what_is_sealed_opens_in_place_and_apart, 0, EACH_N);
	tcase_add_loop_test(t, any_bit_flipped_is_refused, 0, EACH_N);
	tcase_add_test(t, cbc_does_not_decrypt_before_it_knows);
	tcase_add_loop_test(t, wrong_lengths_are_refused, 0, EACH_N);
	tcase_add_loop_test(t, a_scratch_does_not_mix_up_keys, 0, PROVIDERS_N);
	tcase_add_test(t, another_sets_scratch_is_refused);
	tcase_add_test(t, the_table_is_complete);
	tcase_add_loop_test(t, threads_share_a_key, 0, EACH_N);
}

UNIT_MAIN("base/aead", fill)
