/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "aead_providers.h"
#include "base/aead.h"
#include "base/secret.h"
#include "json_vectors.h"
#include "unit.h"

/*
 * The Wycheproof vectors of the algorithms in aead, through our own seal and open.  What
 * does not fit is a nonce of another length, a key longer than ours, and (for HMAC) a
 * message shorter than the IV that our HMAC always covers.
 */
#define TEXT_MAX	2048

struct ctx {
	struct aead_set *set;
	struct aead_scratch *scratch;
	enum aead_id id;		/* HMAC: which */
};

/* False: the provider is not here. */
static bool
ctx_init(struct ctx *c, int provider)
{
	c->set = provider_set(provider);
	if (c->set == NULL)
		return false;
	c->scratch = aead_scratch_new(c->set);
	ck_assert_ptr_nonnull(c->scratch);
	return true;
}

static void
ctx_fini(struct ctx *c)
{
	aead_scratch_free(c->scratch);
	aead_set_free(c->set);
}

static bool
aead_case(const json_t *group, const json_t *test, void *arg)
{
	struct ctx *c = arg;
	uint8_t key[AEAD_KEY_MAX], nonce[12], aad[TEXT_MAX], msg[TEXT_MAX], ct[TEXT_MAX],
	    tag[16], text[TEXT_MAX], icv[16];
	struct aead_op op = { .aad = aad, .iv = nonce + 4, .src = msg, .dst = text, .icv = icv };
	bool valid = vector_is(test, "result", "valid");
	long long id = vector_number(test, "tcId");
	enum aead_id aead = c->id;
	struct aead_key k;
	size_t n;

	if (vector_number(group, "ivSize") != 96 || vector_number(group, "tagSize") != 128 ||
	    vector_number(group, "keySize") == 192)
		return false;
	if (aead == AEAD_NONE)
		aead = vector_number(group, "keySize") == 128 ? AEAD_AES_GCM_16_128 :
		    AEAD_AES_GCM_16_256;
	n = vector_bytes(test, "key", key, 32);
	ck_assert_uint_eq(vector_bytes(test, "iv", nonce, sizeof(nonce)), 12);
	memcpy(key + n, nonce, 4);
	ck_assert(aead_key_init(&k, c->set, aead, key, n + 4));
	op.aad_len = vector_bytes(test, "aad", aad, sizeof(aad));
	op.len = vector_bytes(test, "msg", msg, sizeof(msg));
	ck_assert_uint_eq(vector_bytes(test, "ct", ct, sizeof(ct)), op.len);
	ck_assert_uint_eq(vector_bytes(test, "tag", tag, sizeof(tag)), 16);
	ck_assert(aead_seal(&k, c->scratch, &op));
	ck_assert_msg((memcmp(icv, tag, 16) == 0 && memcmp(text, ct, op.len) == 0) == valid,
	    "case %lld: sealed otherwise", id);
	op.src = ct;
	op.icv = tag;
	ck_assert_msg(aead_open(&k, c->scratch, &op) == valid, "case %lld: open", id);
	ck_assert_msg(!valid || memcmp(text, msg, op.len) == 0, "case %lld: text", id);
	aead_key_fini(&k);
	return true;
}

START_TEST(aes_gcm)
{
	struct ctx c = { .id = AEAD_NONE };

	if (!ctx_init(&c, _i))
		return;
	vectors_each("wycheproof/aes_gcm_test.json", 316, 133, aead_case, &c);
	ctx_fini(&c);
}
END_TEST

START_TEST(chacha20_poly1305)
{
	struct ctx c = { .id = AEAD_CHACHA20_POLY1305 };

	if (!ctx_init(&c, _i))
		return;
	vectors_each("wycheproof/chacha20_poly1305_test.json", 325, 316, aead_case, &c);
	ctx_fini(&c);
}
END_TEST

/* The length without PKCS#5 padding, or -1 when the padding is wrong. */
static int
unpadded(const uint8_t *text, size_t len)
{
	uint8_t pad = len > 0 ? text[len - 1] : 0;

	if (pad == 0 || pad > 16)
		return -1;
	for (size_t i = len - pad; i < len; i++) {
		if (text[i] != pad)
			return -1;
	}
	return (int)(len - pad);
}

/*
 * Our CBC neither pads nor opens what does not authenticate.  So the test pads and unpads,
 * and makes the ICV of a published ciphertext by sealing an empty packet whose tail it is:
 * HMAC sees the same bytes.
 */
static bool
cbc_case(const json_t *group, const json_t *test, void *arg)
{
	struct ctx *c = arg;
	uint8_t key[AEAD_KEY_MAX] = { 0 }, iv[16], msg[TEXT_MAX], ct[TEXT_MAX], text[TEXT_MAX],
	    icv[AEAD_ICV_MAX];
	struct aead_op op = { .iv = iv, .icv = icv, .dst = text };
	bool valid = vector_is(test, "result", "valid");
	long long id = vector_number(test, "tcId");
	struct aead_key k;
	size_t n, len, pad;
	int back;

	if (vector_number(group, "keySize") == 192)
		return false;
	n = vector_bytes(test, "key", key, 32);
	ck_assert(aead_key_init(&k, c->set, n == 16 ? AEAD_AES_CBC_128_HMAC_SHA2_256 :
	    AEAD_AES_CBC_256_HMAC_SHA2_256, key, n + 32));
	(void)vector_bytes(test, "iv", iv, sizeof(iv));
	len = vector_bytes(test, "msg", msg, sizeof(msg) - 16);
	op.tail = ct;
	op.tail_len = vector_bytes(test, "ct", ct, sizeof(ct));
	op.src = ct;
	ck_assert(aead_seal(&k, c->scratch, &op));
	op.len = op.tail_len;
	op.tail_len = 0;
	if (op.len % 16 != 0) {
		ck_assert(!valid && !aead_open(&k, c->scratch, &op));
		return true;
	}
	ck_assert_msg(aead_open(&k, c->scratch, &op), "case %lld: open", id);
	back = unpadded(text, op.len);
	ck_assert_msg((back == (int)len && memcmp(text, msg, len) == 0) == valid, "case %lld", id);
	pad = 16 - len % 16;
	memset(msg + len, (int)pad, pad);
	op.src = msg;
	op.len = len + pad;
	ck_assert(aead_seal(&k, c->scratch, &op));
	ck_assert_msg(!valid || memcmp(text, ct, op.len) == 0, "case %lld: sealed otherwise", id);
	aead_key_fini(&k);
	return true;
}

START_TEST(aes_cbc)
{
	struct ctx c = { .id = AEAD_NONE };

	ck_assert(ctx_init(&c, 1));
	vectors_each("wycheproof/aes_cbc_pkcs5_test.json", 216, 144, cbc_case, &c);
	ctx_fini(&c);
}
END_TEST

static bool
hmac_case(const json_t *group, const json_t *test, void *arg)
{
	struct ctx *c = arg;
	const struct aead_info *info = aead_info(c->id);
	uint8_t key[AEAD_KEY_MAX + 64] = { 0 }, msg[TEXT_MAX], tag[64], icv[AEAD_ICV_MAX];
	size_t key_len = vector_bytes(test, "key", key + info->enc_len, 128);
	size_t len = vector_bytes(test, "msg", msg, sizeof(msg));
	size_t tag_len = vector_bytes(test, "tag", tag, sizeof(tag));
	struct aead_op op = { .iv = msg, .tail = msg + 16, .tail_len = len - 16, .icv = icv };
	bool valid = vector_is(test, "result", "valid"), same;
	long long id = vector_number(test, "tcId");
	struct aead_key k;

	(void)group;
	if (key_len > info->auth_len || len < 16 || tag_len < info->icv_len)
		return false;
	if (!valid && tag_len > info->icv_len)
		return false;		/* what is wrong may lie in the part that we cut off */
	ck_assert(aead_key_init(&k, c->set, c->id, key, (size_t)info->enc_len + info->auth_len));
	ck_assert(aead_seal(&k, c->scratch, &op));
	same = secret_equal(icv, tag, info->icv_len);
	ck_assert_msg(same == valid, "case %lld: seal", id);
	op.icv = tag;
	ck_assert_msg(aead_open(&k, c->scratch, &op) == valid, "case %lld: open", id);
	aead_key_fini(&k);
	return true;
}

START_TEST(hmac)
{
	static const struct {
		const char *file;
		enum aead_id id;
	} files[] = {
		{ "wycheproof/hmac_sha256_test.json", AEAD_AES_CBC_128_HMAC_SHA2_256 },
		{ "wycheproof/hmac_sha384_test.json", AEAD_AES_CBC_256_HMAC_SHA2_384 },
		{ "wycheproof/hmac_sha512_test.json", AEAD_AES_CBC_256_HMAC_SHA2_512 },
	};
	struct ctx c = { .id = files[_i].id };

	ck_assert(ctx_init(&c, 1));
	vectors_each(files[_i].file, 174, 53, hmac_case, &c);
	ctx_fini(&c);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_loop_test(t, aes_gcm, 0, 2);
	tcase_add_loop_test(t, chacha20_poly1305, 0, PROVIDERS_N);
	tcase_add_test(t, aes_cbc);
	tcase_add_loop_test(t, hmac, 0, 3);
}

UNIT_MAIN("base/aead vectors", fill)
