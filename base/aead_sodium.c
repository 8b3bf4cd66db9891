/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <string.h>

#include "base/aead_impl.h"

/* ChaCha20-Poly1305 has no key to expand: the scratch is not used. */

static void
nonce_of(const struct aead_key *k, const struct aead_op *op, uint8_t nonce[12])
{
	memcpy(nonce, k->salt, 4);
	memcpy(nonce + 4, op->iv, 8);
}

static bool
seal(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	uint8_t nonce[12];

	(void)s;
	nonce_of(k, op, nonce);
	return crypto_aead_chacha20poly1305_ietf_encrypt_detached(op->dst, op->icv, NULL, op->src,
	    op->len, op->aad, op->aad_len, NULL, nonce, k->enc) == 0;
}

static bool
open(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	uint8_t nonce[12];

	(void)s;
	nonce_of(k, op, nonce);
	return crypto_aead_chacha20poly1305_ietf_decrypt_detached(op->dst, NULL, op->src, op->len,
	    op->icv, op->aad, op->aad_len, nonce, k->enc) == 0;
}

const struct aead_impl aead_impl_sodium = { "libsodium", NULL, seal, open };
