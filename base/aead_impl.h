/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_AEAD_IMPL_H
#define TANDEM_BASE_AEAD_IMPL_H

#include <openssl/evp.h>

#include "base/aead.h"

/*
 * Between aead.c, which chooses, and the files that implement.  Not for use outside base.
 *
 * `seal` and `open` are called with lengths already checked against aead_info(), pointers to
 * all that has a length, and a key and a scratch of one set.
 */
struct aead_impl {
	const char *name;		/* "openssl" */
	void (*expand)(struct aead_key *k);	/* fills k->wide; NULL: it has no use for it */
	bool (*seal)(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op);
	bool (*open)(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op);
};

/* The algorithms that OpenSSL was asked for once, so that no packet looks one up. */
struct aead_openssl {
	EVP_CIPHER *cipher[AEAD_N];
	EVP_MAC *hmac;
};

struct aead_set {
	const struct aead_impl *impl[AEAD_N];	/* the chosen ones */
	struct aead_openssl openssl;
	struct IMB_MGR *imb;		/* of ipsec-mb: functions only, read-only; NULL: not here */
	uint64_t *serial;		/* last one given out; atomic.  Apart: the set is const to users */
};

/*
 * Keys as OpenSSL has expanded them, found by serial.  A hub's worker meets a few peers in
 * turn, so there are several slots; which one is serial modulo their number.
 */
#define AEAD_SLOTS	16

struct aead_slot {
	uint64_t serial;		/* 0: none */
	enum aead_id id;		/* what the contexts are set up for */
	EVP_CIPHER_CTX *cipher;
	EVP_MAC_CTX *mac;		/* CBC only */
};

#define AEAD_IMB_CTX	128		/* bytes: ipsec-mb's GCM context, asserted there */

struct aead_scratch {
	alignas(64) uint8_t imb_ctx[AEAD_IMB_CTX];
	const struct aead_set *set;
	struct IMB_MGR *imb;		/* made when first needed */
	struct aead_slot seal[AEAD_SLOTS], open[AEAD_SLOTS];
};

bool	aead_openssl_init(struct aead_openssl *o);	/* false: OpenSSL lacks one of them */
void	aead_openssl_fini(struct aead_openssl *o);
void	aead_slot_fini(struct aead_slot *slot);

struct IMB_MGR	*aead_imb_new(void);	/* NULL: not built in, no such processor, no memory */
void	aead_imb_free(struct IMB_MGR *m);	/* NULL is fine */

extern const struct aead_impl aead_impl_openssl;	/* AES-GCM, ChaCha20-Poly1305 */
extern const struct aead_impl aead_impl_openssl_cbc;
extern const struct aead_impl aead_impl_sodium;		/* ChaCha20-Poly1305 */
extern const struct aead_impl aead_impl_imb_gcm128, aead_impl_imb_gcm256, aead_impl_imb_chacha;

#endif
