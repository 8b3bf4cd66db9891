/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_AEAD_H
#define TANDEM_BASE_AEAD_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Authenticated encryption as ESP and the IKE SK payload use it: the AEADs of RFC 4106,
 * 7634 and 5282, and AES-CBC with HMAC-SHA2 (RFC 3602, 4868) behind the same two calls.
 */
enum aead_id {
	AEAD_NONE,
	AEAD_AES_GCM_16_128,
	AEAD_AES_GCM_16_256,
	AEAD_CHACHA20_POLY1305,
	AEAD_AES_CBC_128_HMAC_SHA2_256,
	AEAD_AES_CBC_128_HMAC_SHA2_384,
	AEAD_AES_CBC_128_HMAC_SHA2_512,
	AEAD_AES_CBC_256_HMAC_SHA2_256,
	AEAD_AES_CBC_256_HMAC_SHA2_384,
	AEAD_AES_CBC_256_HMAC_SHA2_512,
	AEAD_N,
};

#define AEAD_KEY_MAX	(32 + 64)	/* bytes: AES-256 and HMAC-SHA2-512 keys */
#define AEAD_IV_MAX	16
#define AEAD_ICV_MAX	32

/* What is fixed about an algorithm; one table holds them all. */
struct aead_info {
	const char *name;		/* "aes256gcm16", "aes128-sha256": as people configure them */
	uint8_t enc_len;		/* cipher key, bytes */
	uint8_t salt_len;		/* 4 for AEADs: follows the cipher key in KEYMAT */
	uint8_t auth_len;		/* HMAC key, bytes; 0 for AEADs */
	uint8_t iv_len;			/* on the wire: 8 or 16 */
	uint8_t icv_len;		/* 16, 24 or 32 */
	uint8_t block;			/* plaintext is padded to a multiple: 4 (1 in IKE) or 16 */
	bool cbc;			/* IV must be unpredictable; else a counter */
};

const struct aead_info *aead_info(enum aead_id id);	/* NULL for AEAD_NONE and out of range */

/*
 * `aead_set` is made once at start: for each algorithm the implementation chosen by CPU
 * and self-test.  It is read-only afterwards and shared by all threads.
 */
struct aead_set;
struct aead_set	*aead_set_new(void);			/* NULL: a self-test failed (logged) or no memory */
void		aead_set_free(struct aead_set *s);
/*
 * The same with the implementations of one provider: for tests and benchmarks.  What it does
 * not have, no key can be made for.  NULL also when it is not here at all: not built in, or
 * not for this processor.
 */
struct aead_set	*aead_set_new_only(const char *provider);
/* Who implements it: "ipsec-mb", "openssl", "libsodium"; NULL: nobody, or aead_info() is. */
const char	*aead_set_provider(const struct aead_set *s, enum aead_id id);

/*
 * An expanded key: read-only after aead_key_init() and usable by several threads at once,
 * each with a scratch of its own.  It holds key bytes: keep it in secret memory and call
 * aead_key_fini(), which wipes.  Of the implementations that expand a key themselves the
 * result is in `wide`; the first cache line and that is what a packet touches.
 */
#define AEAD_WIDE	1280		/* bytes: GCM round keys and powers of H, 1,008 to 1,264 */

struct aead_impl;
struct aead_key {
	alignas(64) const struct aead_set *set;
	const struct aead_impl *impl;	/* the set's for `id` */
	uint64_t serial;		/* unique in the process: lets a scratch keep what it prepared */
	enum aead_id id;
	uint8_t salt[4], enc[32], auth[64];
	alignas(64) uint8_t wide[AEAD_WIDE];
};

/* `key` is in KEYMAT order but for CBC: cipher key, salt, then HMAC key (auth_len bytes).
 * (RFC 7296 2.17 takes encryption before integrity from KEYMAT, so this is that order.)
 * False when `len` is not enc_len + salt_len + auth_len, or nobody in the set has it. */
bool	aead_key_init(struct aead_key *k, const struct aead_set *s, enum aead_id id,
	    const uint8_t *key, size_t len);
void	aead_key_fini(struct aead_key *k);

/*
 * Working memory of one thread, for keys of this set.  Where the implementation keeps
 * expanded keys to itself (OpenSSL), it has the last few (in memory of the library's, wiped
 * when another key takes the place): a key lives on here after aead_key_fini() until then,
 * or until aead_scratch_free().  It allocates when it first meets an algorithm.  NULL: no
 * memory.
 */
struct aead_scratch;
struct aead_scratch *aead_scratch_new(const struct aead_set *s);
void	aead_scratch_free(struct aead_scratch *s);	/* wipes */

/*
 * One packet.  `src` and `dst` may be the same place but must not overlap otherwise.
 * `len` is the text without ICV (for CBC a multiple of 16).  ICV = f(aad, iv, text, tail):
 * AEADs authenticate `aad` and need tail_len 0; HMAC covers aad, iv, ciphertext and tail
 * (ESP puts the high half of an ESN there, RFC 4303 2.2.1).
 * Fast where the 16 bytes from `aad` on were written by one store, or long ago: libraries load
 * 12 bytes as part of 16 (10 ns a packet of 64 bytes).
 */
struct aead_op {
	const uint8_t *aad, *iv, *tail;
	size_t aad_len, tail_len;
	const uint8_t *src;
	uint8_t *dst;
	size_t len;
	uint8_t *icv;			/* written by seal, compared by open */
};

/* False only for our own misuse (lengths, a key of another set), or when the library fails. */
bool	aead_seal(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op);
/* False: it does not authenticate; dst is then unspecified and must not be looked at.
 * CBC checks the HMAC first and decrypts only what passed. */
bool	aead_open(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op);

#endif
