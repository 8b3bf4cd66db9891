/* SPDX-License-Identifier: MIT */
#include "ike/kdf.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/secret.h"

#define PART_MAX	1024		/* bytes of one input: a nonce, an SPI pair, a g^ir */

static const struct {
	size_t len;
	const char *digest;
} prfs[PRF_N] = {
	[PRF_HMAC_SHA2_256] = { 32, "SHA256" },
	[PRF_HMAC_SHA2_384] = { 48, "SHA384" },
	[PRF_HMAC_SHA2_512] = { 64, "SHA512" },
};

size_t
prf_len(enum prf_id id)
{
	return (unsigned)id < PRF_N ? prfs[id].len : 0;
}

bool
prf(enum prf_id id, struct slice key, const struct slice *parts, unsigned n, uint8_t *out)
{
	static const uint8_t none[1];	/* an empty key still wants an address */
	size_t want = prf_len(id), len = 0;
	EVP_MAC *mac = want > 0 ? EVP_MAC_fetch(NULL, "HMAC", NULL) : NULL;
	EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	OSSL_PARAM params[2];
	bool ok;

	if (ctx == NULL) {
		EVP_MAC_free(mac);
		return false;
	}
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
	    (char *)(uintptr_t)prfs[id].digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	ok = EVP_MAC_init(ctx, key.len > 0 ? key.p : none, key.len, params) == 1;
	for (unsigned i = 0; ok && i < n; i++)
		ok = parts[i].len == 0 || EVP_MAC_update(ctx, parts[i].p, parts[i].len) == 1;
	ok = ok && EVP_MAC_final(ctx, out, &len, want) == 1 && len == want;
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	if (!ok && want > 0)
		secret_wipe(out, want);
	return ok;
}

/* prf+ over a seed in pieces (at most 4): T1 = prf(K, S | 1), Ti = prf(K, Ti-1 | S | i). */
static bool
expand(enum prf_id id, struct slice key, const struct slice seed[4], uint8_t *out, size_t len)
{
	size_t n = prf_len(id), done = 0;
	uint8_t t[PRF_LEN_MAX], i = 0;
	bool ok = n > 0 && len <= 255 * n;

	while (ok && done < len) {
		size_t take = len - done < n ? len - done : n;
		struct slice parts[6];

		parts[0] = (struct slice){ .p = t, .len = i > 0 ? n : 0 };
		memcpy(&parts[1], seed, 4 * sizeof(*seed));
		i++;
		parts[5] = (struct slice){ .p = &i, .len = 1 };
		ok = prf(id, key, parts, 6, t);
		if (ok)
			memcpy(out + done, t, take);
		done += take;
	}
	secret_wipe(t, sizeof(t));
	if (!ok)
		secret_wipe(out, len);
	return ok;
}

bool
prf_plus(enum prf_id id, struct slice key, struct slice seed, uint8_t *out, size_t len)
{
	const struct slice pieces[4] = { seed };

	return expand(id, key, pieces, out, len);
}

static bool
in_is_sound(const struct kdf_in *in)
{
	return in->ni.len <= NONCE_MAX && in->nr.len <= NONCE_MAX && in->shared.len <= PART_MAX;
}

bool
kdf_skeyseed(enum prf_id id, const struct kdf_in *in, uint8_t *out)
{
	uint8_t nonces[2 * NONCE_MAX];
	struct wr w = wr_init(nonces, sizeof(nonces));

	if (!in_is_sound(in))
		return false;
	wr_bytes(&w, in->ni.p, in->ni.len);
	wr_bytes(&w, in->nr.p, in->nr.len);
	return prf(id, (struct slice){ .p = nonces, .len = wr_len(&w) }, &in->shared, 1, out);
}

bool
kdf_skeyseed_rekey(enum prf_id old, struct slice sk_d, const struct kdf_in *in, uint8_t *out)
{
	const struct slice parts[3] = { in->shared, in->ni, in->nr };

	return in_is_sound(in) && prf(old, sk_d, parts, 3, out);
}

/* Read the lengths of a suite.  False when it is not complete. */
static bool
keys_shape(struct ike_keys *k, const struct ike_suite *s, const struct aead_info **info)
{
	memset(k, 0, sizeof(*k));
	*info = aead_info(s->enc);
	if (*info == NULL || prf_len(s->prf) == 0)
		return false;
	k->prf = s->prf;
	k->enc = s->enc;
	k->prf_len = (uint8_t)prf_len(s->prf);
	k->key_len = (uint8_t)((*info)->enc_len + (*info)->salt_len + (*info)->auth_len);
	return true;
}

bool
kdf_split(struct ike_keys *k, const struct ike_suite *s, const struct kdf_in *in,
    struct slice skeyseed)
{
	uint8_t keymat[3 * PRF_LEN_MAX + 2 * AEAD_KEY_MAX], spis[16];
	const struct slice seed[4] = { in->ni, in->nr, { .p = spis, .len = sizeof(spis) } };
	const struct aead_info *info;
	struct wr w = wr_init(spis, sizeof(spis));
	struct rd r;
	size_t enc_len;
	bool ok;

	wr_u64(&w, in->spi_i);
	wr_u64(&w, in->spi_r);
	if (!keys_shape(k, s, &info) || !in_is_sound(in))
		return false;
	enc_len = (size_t)info->enc_len + info->salt_len;
	r = rd_init(keymat, (size_t)3 * k->prf_len + (size_t)2 * k->key_len);
	ok = expand(s->prf, skeyseed, seed, keymat, rd_left(&r));
	if (ok) {
		/* SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr, 2.14 */
		rd_copy(&r, k->sk_d, k->prf_len);
		rd_copy(&r, k->ei + enc_len, info->auth_len);
		rd_copy(&r, k->er + enc_len, info->auth_len);
		rd_copy(&r, k->ei, enc_len);
		rd_copy(&r, k->er, enc_len);
		rd_copy(&r, k->sk_pi, k->prf_len);
		rd_copy(&r, k->sk_pr, k->prf_len);
		ok = rd_done(&r);
	}
	secret_wipe(keymat, sizeof(keymat));
	if (!ok)
		ike_keys_fini(k);
	return ok;
}

bool
ike_keys_init(struct ike_keys *k, const struct ike_suite *s, const struct kdf_in *in)
{
	uint8_t seed[PRF_LEN_MAX];
	bool ok;

	memset(k, 0, sizeof(*k));
	ok = kdf_skeyseed(s->prf, in, seed) &&
	    kdf_split(k, s, in, (struct slice){ .p = seed, .len = prf_len(s->prf) });
	secret_wipe(seed, sizeof(seed));
	return ok;
}

bool
ike_keys_rekey(struct ike_keys *k, const struct ike_suite *s, const struct kdf_in *in,
    const struct ike_keys *old)
{
	struct slice sk_d = { .p = old->sk_d, .len = old->prf_len };
	uint8_t seed[PRF_LEN_MAX];
	bool ok;

	memset(k, 0, sizeof(*k));
	ok = kdf_skeyseed_rekey(old->prf, sk_d, in, seed) &&
	    kdf_split(k, s, in, (struct slice){ .p = seed, .len = prf_len(old->prf) });
	secret_wipe(seed, sizeof(seed));
	return ok;
}

void
ike_keys_fini(struct ike_keys *k)
{
	secret_wipe(k, sizeof(*k));
}

bool
kdf_child(const struct ike_keys *k, const struct kdf_in *in, struct child_sa *child)
{
	const struct aead_info *info = aead_info(child->aead);
	const struct slice seed[4] = { in->shared, in->ni, in->nr };
	struct slice sk_d = { .p = k->sk_d, .len = k->prf_len };
	uint8_t keymat[2 * AEAD_KEY_MAX];
	size_t len;
	bool ok;

	if (info == NULL || !in_is_sound(in))
		return false;
	len = (size_t)info->enc_len + info->salt_len + info->auth_len;
	ok = expand(k->prf, sk_d, seed, keymat, 2 * len);
	if (ok) {
		/* the exchange's initiator sends with the first half */
		memcpy(child->initiator ? child->key_out : child->key_in, keymat, len);
		memcpy(child->initiator ? child->key_in : child->key_out, keymat + len, len);
		child->key_len = (uint16_t)len;
	}
	secret_wipe(keymat, sizeof(keymat));
	return ok;
}
