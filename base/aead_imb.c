/* SPDX-License-Identifier: MIT */
/*
 * intel-ipsec-mb.  AES-GCM by its direct functions: they need the expanded key, which lies in
 * the aead_key, and a context, which is the thread's; the manager is then only a table of
 * functions, and one serves all threads.  ChaCha20-Poly1305 by its jobs, which for one packet
 * at a time are a quarter faster than its direct functions: they need a manager for each
 * thread, made when the thread meets its first such packet.  AES-CBC with HMAC is not here:
 * its lanes live on eight packets at once, and one alone is slower than with OpenSSL.
 *
 * Its assembly reads and writes what sanitizers cannot see, which is why their builds do not
 * choose it (aead.c), and why a test puts its buffers against inaccessible pages.
 */
#include "base/aead_impl.h"

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#include <string.h>

#include "base/secret.h"

#define NONCE_LEN	12
#define TAG_LEN		16
#define CPU_NEEDED	(IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ)

_Static_assert(sizeof(struct gcm_key_data) <= AEAD_WIDE, "an expanded key fits");
_Static_assert(sizeof(struct gcm_context_data) <= AEAD_IMB_CTX, "a context fits");

/* A manager, or NULL: no memory, a processor it does not know, or its own self-test failed. */
static IMB_MGR *
manager_new(void)
{
	IMB_MGR *m = alloc_mb_mgr(0);

	if (m == NULL)
		return NULL;
	init_mb_mgr_auto(m, NULL);
	if (imb_get_errno(m) != 0 || (m->features & CPU_NEEDED) != CPU_NEEDED ||
	    ((m->features & IMB_FEATURE_SELF_TEST) != 0 &&
	    (m->features & IMB_FEATURE_SELF_TEST_PASS) == 0)) {
		free_mb_mgr(m);
		return NULL;
	}
	return m;
}

struct IMB_MGR *
aead_imb_new(void)
{
	return manager_new();
}

void
aead_imb_free(struct IMB_MGR *m)
{
	if (m != NULL)
		free_mb_mgr(m);
}

/*
 * Salt, then the IV on the wire (RFC 4106 4, RFC 7634 2).  Put together in a register and
 * stored at once: what is loaded as a whole soon after it was stored in parts makes the
 * processor wait, here for a tenth of a small packet's time.
 */
typedef uint64_t nonce_t __attribute__((vector_size(16)));

static inline nonce_t
nonce_of(const struct aead_key *k, const struct aead_op *op)
{
	uint32_t salt;
	uint64_t iv;

	memcpy(&salt, k->salt, sizeof(salt));
	memcpy(&iv, op->iv, sizeof(iv));
	return (nonce_t){ salt | iv << 32, iv >> 32 };
}

/* In constant time, and without the call that secret_equal() would be. */
static inline bool
tag_equal(const uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static const struct gcm_key_data *
gcm_key(const struct aead_key *k)
{
	return (const void *)k->wide;
}

static void
gcm128_expand(struct aead_key *k)
{
	IMB_AES128_GCM_PRE(k->set->imb, k->enc, (struct gcm_key_data *)(void *)k->wide);
}

static void
gcm256_expand(struct aead_key *k)
{
	IMB_AES256_GCM_PRE(k->set->imb, k->enc, (struct gcm_key_data *)(void *)k->wide);
}

/* These functions return nothing: of arguments that aead.c has checked they refuse none. */
static inline bool
gcm_seal(aes_gcm_enc_dec_t f, const struct aead_key *k, struct aead_scratch *s,
    const struct aead_op *op)
{
	nonce_t nonce = nonce_of(k, op);

	f(gcm_key(k), (void *)s->imb_ctx, op->dst, op->src, op->len, (const uint8_t *)&nonce,
	    op->aad, op->aad_len, op->icv, TAG_LEN);
	return true;
}

static inline bool
gcm_open(aes_gcm_enc_dec_t f, const struct aead_key *k, struct aead_scratch *s,
    const struct aead_op *op)
{
	nonce_t nonce = nonce_of(k, op);
	uint8_t tag[TAG_LEN];

	f(gcm_key(k), (void *)s->imb_ctx, op->dst, op->src, op->len, (const uint8_t *)&nonce,
	    op->aad, op->aad_len, tag, TAG_LEN);
	return tag_equal(tag, op->icv);
}

static bool
gcm128_seal(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	return gcm_seal(k->set->imb->gcm128_enc, k, s, op);
}

static bool
gcm128_open(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	return gcm_open(k->set->imb->gcm128_dec, k, s, op);
}

static bool
gcm256_seal(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	return gcm_seal(k->set->imb->gcm256_enc, k, s, op);
}

static bool
gcm256_open(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	return gcm_open(k->set->imb->gcm256_dec, k, s, op);
}

/*
 * One job, done when it comes back: this suite has no lanes to wait for.  The job borrows the
 * key; no copy of it stays in the manager.
 */
static bool
chacha_job(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op, bool seal,
    uint8_t *tag)
{
	nonce_t nonce = nonce_of(k, op);
	IMB_JOB *job;

	if (s->imb == NULL && (s->imb = manager_new()) == NULL)
		return false;
	job = IMB_GET_NEXT_JOB(s->imb);
	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	job->chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->enc_keys = job->dec_keys = k->enc;
	job->key_len_in_bytes = 32;
	job->src = op->src;
	job->dst = op->dst;
	job->cipher_start_src_offset_in_bytes = job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = op->len;
	job->iv = (const uint8_t *)&nonce;
	job->iv_len_in_bytes = NONCE_LEN;
	job->u.CHACHA20_POLY1305.aad = op->aad;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = op->aad_len;
	job->auth_tag_output = tag;
	job->auth_tag_output_len_in_bytes = TAG_LEN;
	job = IMB_SUBMIT_JOB(s->imb);
	return job != NULL && job->status == IMB_STATUS_COMPLETED;
}

static bool
chacha_seal(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	return chacha_job(k, s, op, true, op->icv);
}

static bool
chacha_open(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	uint8_t tag[TAG_LEN];

	return chacha_job(k, s, op, false, tag) && tag_equal(tag, op->icv);
}

const struct aead_impl aead_impl_imb_gcm128 = {
	"ipsec-mb", gcm128_expand, gcm128_seal, gcm128_open
};
const struct aead_impl aead_impl_imb_gcm256 = {
	"ipsec-mb", gcm256_expand, gcm256_seal, gcm256_open
};
const struct aead_impl aead_impl_imb_chacha = { "ipsec-mb", NULL, chacha_seal, chacha_open };

#else
struct IMB_MGR *
aead_imb_new(void)
{
	return NULL;
}

void
aead_imb_free(struct IMB_MGR *m)
{
	(void)m;
}
#endif
