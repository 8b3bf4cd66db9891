/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_KDF_H
#define TANDEM_IKE_KDF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/aead.h"
#include "base/child.h"
#include "ike/payload.h"
#include "ike/proposal.h"

/*
 * Key derivation, RFC 7296 sections 2.13, 2.14, 2.17 and 2.18.  All functions return false
 * only when the library fails or a length is out of range, which is ours to log; their output
 * is then wiped.  Nothing is kept between calls.
 */
#define PRF_LEN_MAX	64

size_t	prf_len(enum prf_id id);	/* bytes of output and of preferred key; 0 for PRF_NONE */

/* prf(key, parts...) to `out`, prf_len() bytes. */
bool	prf(enum prf_id id, struct slice key, const struct slice *parts, unsigned n, uint8_t *out);

/* prf+(key, seed), `len` bytes, at most 255 * prf_len() (2.13); `out` is none of the inputs. */
bool	prf_plus(enum prf_id id, struct slice key, struct slice seed, uint8_t *out, size_t len);

/* What the two ends have exchanged.  For a rekey and for a Child SA: the nonces, SPIs and
 * roles of the exchange that makes it. */
struct kdf_in {
	struct slice ni, nr;		/* nonces, NONCE_MIN..NONCE_MAX */
	struct slice shared;		/* g^ir, padded to the group's length; may be empty for a */
					/* Child SA without PFS */
	uint64_t spi_i, spi_r;		/* of the new IKE SA; unused for a Child SA */
};

/* Keys of an IKE SA.  Keep it in secret memory. */
struct ike_keys {
	enum prf_id prf;
	enum aead_id enc;
	uint8_t prf_len;		/* of sk_d, sk_pi, sk_pr */
	uint8_t key_len;		/* of ei, er */
	uint8_t sk_d[PRF_LEN_MAX];
	uint8_t sk_pi[PRF_LEN_MAX], sk_pr[PRF_LEN_MAX];
	/* SK_ei with SK_ai, SK_er with SK_ar, in the order that aead_key_init() wants: cipher
	 * key, salt, HMAC key.  `ei` protects what the original initiator sends. */
	uint8_t ei[AEAD_KEY_MAX], er[AEAD_KEY_MAX];
};

/* The first IKE SA: SKEYSEED = prf(Ni | Nr, g^ir), then the seven keys. */
bool	ike_keys_init(struct ike_keys *k, const struct ike_suite *s, const struct kdf_in *in);
/* A rekeyed IKE SA: SKEYSEED = prf(SK_d(old), g^ir | Ni | Nr) by the old PRF, the rest by the
 * new one (2.18).  `k` is not `old`. */
bool	ike_keys_rekey(struct ike_keys *k, const struct ike_suite *s, const struct kdf_in *in,
	    const struct ike_keys *old);
void	ike_keys_fini(struct ike_keys *k);		/* wipes */

/*
 * Keys of a Child SA: KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr), initiator to responder first,
 * encryption before integrity (2.17).  Reads child->aead and child->initiator (we sent the
 * request that makes it), fills key_in, key_out and key_len.
 */
bool	kdf_child(const struct ike_keys *k, const struct kdf_in *in, struct child_sa *child);

/* The two seeds, apart for tests by vector.  `out` of prf_len() bytes. */
bool	kdf_skeyseed(enum prf_id id, const struct kdf_in *in, uint8_t *out);
bool	kdf_skeyseed_rekey(enum prf_id old, struct slice sk_d, const struct kdf_in *in,
	    uint8_t *out);
/* The seven keys from a SKEYSEED of `seed_len` bytes. */
bool	kdf_split(struct ike_keys *k, const struct ike_suite *s, const struct kdf_in *in,
	    struct slice skeyseed);

#endif
