/* SPDX-License-Identifier: MIT */
#include <openssl/core_names.h>
#include <string.h>

#include "base/aead_impl.h"
#include "base/secret.h"

static const char *const cipher_names[AEAD_N] = {
	[AEAD_AES_GCM_16_128] = "AES-128-GCM",
	[AEAD_AES_GCM_16_256] = "AES-256-GCM",
	[AEAD_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
	[AEAD_AES_CBC_128_HMAC_SHA2_256] = "AES-128-CBC",
	[AEAD_AES_CBC_128_HMAC_SHA2_384] = "AES-128-CBC",
	[AEAD_AES_CBC_128_HMAC_SHA2_512] = "AES-128-CBC",
	[AEAD_AES_CBC_256_HMAC_SHA2_256] = "AES-256-CBC",
	[AEAD_AES_CBC_256_HMAC_SHA2_384] = "AES-256-CBC",
	[AEAD_AES_CBC_256_HMAC_SHA2_512] = "AES-256-CBC",
};

bool
aead_openssl_init(struct aead_openssl *o)
{
	for (int id = AEAD_NONE + 1; id < AEAD_N; id++) {
		o->cipher[id] = EVP_CIPHER_fetch(NULL, cipher_names[id], NULL);
		if (o->cipher[id] == NULL)
			return false;
	}
	o->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	return o->hmac != NULL;
}

void
aead_openssl_fini(struct aead_openssl *o)
{
	for (int id = 0; id < AEAD_N; id++)
		EVP_CIPHER_free(o->cipher[id]);
	EVP_MAC_free(o->hmac);
	memset(o, 0, sizeof(*o));
}

/* OpenSSL wipes what it expanded. */
void
aead_slot_fini(struct aead_slot *slot)
{
	EVP_CIPHER_CTX_free(slot->cipher);
	EVP_MAC_CTX_free(slot->mac);
	memset(slot, 0, sizeof(*slot));
}

/* HMAC's key length names its hash: both are the same for all that is offered (RFC 4868 2.1). */
static const char *
digest_name(size_t auth_len)
{
	return auth_len == 32 ? "SHA256" : auth_len == 48 ? "SHA384" : "SHA512";
}

/* Contexts for another algorithm; they stay when only the key changes. */
static bool
slot_setup(struct aead_slot *slot, const struct aead_key *k, bool seal)
{
	const struct aead_openssl *o = &k->set->openssl;

	aead_slot_fini(slot);
	slot->cipher = EVP_CIPHER_CTX_new();
	if (slot->cipher == NULL ||
	    EVP_CipherInit_ex2(slot->cipher, o->cipher[k->id], NULL, NULL, seal, NULL) != 1)
		return false;
	if (aead_info(k->id)->cbc) {
		slot->mac = EVP_MAC_CTX_new(o->hmac);
		if (slot->mac == NULL || EVP_CIPHER_CTX_set_padding(slot->cipher, 0) != 1)
			return false;
	}
	slot->id = k->id;
	return true;
}

static bool
slot_rekey(struct aead_slot *slot, const struct aead_key *k, bool seal)
{
	const struct aead_info *info = aead_info(k->id);
	OSSL_PARAM digest[2] = { OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end() };

	slot->serial = 0;
	if (slot->id != k->id && !slot_setup(slot, k, seal))
		return false;
	if (EVP_CipherInit_ex2(slot->cipher, NULL, k->enc, NULL, seal, NULL) != 1)
		return false;
	if (info->cbc) {
		digest[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		    (char *)(uintptr_t)digest_name(info->auth_len), 0);
		if (EVP_MAC_init(slot->mac, k->auth, info->auth_len, digest) != 1)
			return false;
	}
	slot->serial = k->serial;
	return true;
}

/* The slot that holds this key expanded for this direction; NULL when OpenSSL fails. */
static struct aead_slot *
slot_for(const struct aead_key *k, struct aead_scratch *s, bool seal)
{
	struct aead_slot *slot = (seal ? s->seal : s->open) + k->serial % AEAD_SLOTS;

	if (slot->serial == k->serial || slot_rekey(slot, k, seal))
		return slot;
	return NULL;
}

/* Feed `len` bytes to the cipher, which writes as many to `dst` (NULL: they are AAD). */
static bool
update(EVP_CIPHER_CTX *ctx, uint8_t *dst, const uint8_t *src, size_t len)
{
	int out;

	return len == 0 ||
	    (EVP_CipherUpdate(ctx, dst, &out, src, (int)len) == 1 && (size_t)out == len);
}

/* Nonce: salt, then the IV on the wire (RFC 4106 4, RFC 7634 2). */
static EVP_CIPHER_CTX *
aead_start(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op, bool seal)
{
	struct aead_slot *slot = slot_for(k, s, seal);
	uint8_t nonce[12];

	if (slot == NULL)
		return NULL;
	memcpy(nonce, k->salt, 4);
	memcpy(nonce + 4, op->iv, 8);
	if (EVP_CipherInit_ex2(slot->cipher, NULL, NULL, nonce, seal, NULL) != 1 ||
	    !update(slot->cipher, NULL, op->aad, op->aad_len) ||
	    !update(slot->cipher, op->dst, op->src, op->len))
		return NULL;
	return slot->cipher;
}

static bool
seal_aead(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	EVP_CIPHER_CTX *ctx = aead_start(k, s, op, true);
	uint8_t rest[EVP_MAX_BLOCK_LENGTH];
	int none;

	return ctx != NULL && EVP_CipherFinal_ex(ctx, rest, &none) == 1 && none == 0 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, op->icv) == 1;
}

static bool
open_aead(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	EVP_CIPHER_CTX *ctx = aead_start(k, s, op, false);
	uint8_t rest[EVP_MAX_BLOCK_LENGTH];
	int none;

	return ctx != NULL && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, op->icv) == 1 &&
	    EVP_CipherFinal_ex(ctx, rest, &none) == 1 && none == 0;
}

const struct aead_impl aead_impl_openssl = { "openssl", NULL, seal_aead, open_aead };

/* The whole HMAC of aad, IV, `text` and tail; the ICV is its left part (RFC 4868 2.3). */
static bool
hmac(struct aead_slot *slot, const struct aead_op *op, const uint8_t *text, uint8_t out[64])
{
	size_t len;

	return EVP_MAC_init(slot->mac, NULL, 0, NULL) == 1 &&
	    EVP_MAC_update(slot->mac, op->aad, op->aad_len) == 1 &&
	    EVP_MAC_update(slot->mac, op->iv, aead_info(slot->id)->iv_len) == 1 &&
	    EVP_MAC_update(slot->mac, text, op->len) == 1 &&
	    EVP_MAC_update(slot->mac, op->tail, op->tail_len) == 1 &&
	    EVP_MAC_final(slot->mac, out, &len, 64) == 1;
}

static bool
seal_cbc(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	struct aead_slot *slot = slot_for(k, s, true);
	uint8_t mac[64];

	if (slot == NULL ||
	    EVP_CipherInit_ex2(slot->cipher, NULL, NULL, op->iv, 1, NULL) != 1 ||
	    !update(slot->cipher, op->dst, op->src, op->len) || !hmac(slot, op, op->dst, mac))
		return false;
	memcpy(op->icv, mac, aead_info(k->id)->icv_len);
	return true;
}

static bool
open_cbc(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	struct aead_slot *slot = slot_for(k, s, false);
	uint8_t mac[64];

	return slot != NULL && hmac(slot, op, op->src, mac) &&
	    secret_equal(mac, op->icv, aead_info(k->id)->icv_len) &&
	    EVP_CipherInit_ex2(slot->cipher, NULL, NULL, op->iv, 0, NULL) == 1 &&
	    update(slot->cipher, op->dst, op->src, op->len);
}

const struct aead_impl aead_impl_openssl_cbc = { "openssl", NULL, seal_cbc, open_cbc };
