/* SPDX-License-Identifier: MIT */
#include "base/aead.h"

#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/aead_impl.h"
#include "base/log.h"
#include "base/secret.h"

static const struct aead_info infos[AEAD_N] = {
/*					     name             enc salt auth iv icv block cbc */
	[AEAD_AES_GCM_16_128] =		   { "aes128gcm16",      16, 4,  0,  8, 16,  4, false },
	[AEAD_AES_GCM_16_256] =		   { "aes256gcm16",      32, 4,  0,  8, 16,  4, false },
	[AEAD_CHACHA20_POLY1305] =	   { "chacha20poly1305", 32, 4,  0,  8, 16,  4, false },
	[AEAD_AES_CBC_128_HMAC_SHA2_256] = { "aes128-sha256",    16, 0, 32, 16, 16, 16, true },
	[AEAD_AES_CBC_128_HMAC_SHA2_384] = { "aes128-sha384",    16, 0, 48, 16, 24, 16, true },
	[AEAD_AES_CBC_128_HMAC_SHA2_512] = { "aes128-sha512",    16, 0, 64, 16, 32, 16, true },
	[AEAD_AES_CBC_256_HMAC_SHA2_256] = { "aes256-sha256",    32, 0, 32, 16, 16, 16, true },
	[AEAD_AES_CBC_256_HMAC_SHA2_384] = { "aes256-sha384",    32, 0, 48, 16, 24, 16, true },
	[AEAD_AES_CBC_256_HMAC_SHA2_512] = { "aes256-sha512",    32, 0, 64, 16, 32, 16, true },
};

struct offer {
	enum aead_id id;
	const struct aead_impl *impl;
};

/* Sanitizers do not see what assembly does: their builds use it only where it is asked for. */
#ifdef __has_feature		/* clang's way to say it */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define AEAD_PORTABLE
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(AEAD_PORTABLE)
#define IMB_CHOSEN	false
#else
#define IMB_CHOSEN	true
#endif

static const struct offer imb_offers[] = {
#ifdef HAVE_IPSEC_MB
	{ AEAD_AES_GCM_16_128, &aead_impl_imb_gcm128 },
	{ AEAD_AES_GCM_16_256, &aead_impl_imb_gcm256 },
	{ AEAD_CHACHA20_POLY1305, &aead_impl_imb_chacha },
#endif
	{ AEAD_NONE, NULL },
};

/* Who can do what on every processor, the preferred one first. */
static const struct offer offers[] = {
	{ AEAD_AES_GCM_16_128, &aead_impl_openssl },
	{ AEAD_AES_GCM_16_256, &aead_impl_openssl },
	{ AEAD_CHACHA20_POLY1305, &aead_impl_openssl },
	{ AEAD_CHACHA20_POLY1305, &aead_impl_sodium },
	{ AEAD_AES_CBC_128_HMAC_SHA2_256, &aead_impl_openssl_cbc },
	{ AEAD_AES_CBC_128_HMAC_SHA2_384, &aead_impl_openssl_cbc },
	{ AEAD_AES_CBC_128_HMAC_SHA2_512, &aead_impl_openssl_cbc },
	{ AEAD_AES_CBC_256_HMAC_SHA2_256, &aead_impl_openssl_cbc },
	{ AEAD_AES_CBC_256_HMAC_SHA2_384, &aead_impl_openssl_cbc },
	{ AEAD_AES_CBC_256_HMAC_SHA2_512, &aead_impl_openssl_cbc },
	{ AEAD_NONE, NULL },
};

const struct aead_info *
aead_info(enum aead_id id)
{
	return (unsigned)id < AEAD_N && infos[id].name != NULL ? &infos[id] : NULL;
}

/*
 * The self-test.  Key, IV, aad, tail and text are runs of counting bytes from KAT_KEY and
 * so on; the ICV depends on all of them and on the ciphertext.
 */
#define KAT_KEY		0x00
#define KAT_AAD		0x50
#define KAT_IV		0xa0
#define KAT_TAIL	0xe0
#define KAT_TEXT	0x10
#define KAT_LEN		48

static const uint8_t kat_icv[AEAD_N][AEAD_ICV_MAX] = {
	[AEAD_AES_GCM_16_128] = {
		0x30, 0xb7, 0xdc, 0xb7, 0xe9, 0x6b, 0x00, 0x2b, 0x4a, 0x14, 0xa9, 0x4e,
		0x58, 0xd8, 0x7e, 0x2a,
	},
	[AEAD_AES_GCM_16_256] = {
		0x77, 0x5e, 0x04, 0xdb, 0x48, 0x4f, 0x4a, 0x96, 0xf7, 0x40, 0x0e, 0x1a,
		0x41, 0x34, 0x20, 0xc1,
	},
	[AEAD_CHACHA20_POLY1305] = {
		0xff, 0x5c, 0x48, 0x02, 0xb1, 0x02, 0xb8, 0xa6, 0x0e, 0xa2, 0xda, 0xc9,
		0x7a, 0xa3, 0x90, 0xb0,
	},
	[AEAD_AES_CBC_128_HMAC_SHA2_256] = {
		0x7f, 0x85, 0x41, 0x3d, 0xf2, 0xf4, 0x28, 0x1a, 0x6c, 0x48, 0x3c, 0xd6,
		0x0c, 0x85, 0x94, 0x84,
	},
	[AEAD_AES_CBC_128_HMAC_SHA2_384] = {
		0xbe, 0x93, 0xec, 0x97, 0xe8, 0x96, 0x61, 0x5c, 0x10, 0x93, 0xb7, 0x4f,
		0x2d, 0x50, 0x59, 0x94, 0x7c, 0xc3, 0x5f, 0xc2, 0x0d, 0x61, 0x75, 0xce,
	},
	[AEAD_AES_CBC_128_HMAC_SHA2_512] = {
		0x20, 0x86, 0x76, 0xb3, 0x2a, 0x3a, 0xf5, 0x55, 0xff, 0x17, 0x26, 0x15,
		0xd3, 0xf5, 0xea, 0x77, 0x37, 0xc6, 0xe8, 0x07, 0xce, 0x0e, 0x99, 0x3d,
		0x53, 0xc0, 0x43, 0x96, 0xe7, 0x13, 0xc1, 0x0a,
	},
	[AEAD_AES_CBC_256_HMAC_SHA2_256] = {
		0xe3, 0x60, 0xe1, 0x66, 0x33, 0x3e, 0x37, 0xb0, 0xc7, 0x15, 0x2c, 0xc3,
		0x4f, 0x6e, 0x87, 0x42,
	},
	[AEAD_AES_CBC_256_HMAC_SHA2_384] = {
		0x82, 0x93, 0xb2, 0x69, 0x64, 0x31, 0x1e, 0x92, 0x33, 0x7a, 0xc4, 0x59,
		0x0c, 0xd9, 0xd0, 0x4e, 0x29, 0xe4, 0xe1, 0xba, 0x43, 0xc1, 0xaa, 0xf8,
	},
	[AEAD_AES_CBC_256_HMAC_SHA2_512] = {
		0xf1, 0x3e, 0x3d, 0xfc, 0xe3, 0xf4, 0xc9, 0x80, 0x7b, 0xb0, 0x62, 0x10,
		0xa0, 0xf5, 0x76, 0x6d, 0x82, 0x19, 0xc0, 0x94, 0xc7, 0xf3, 0x51, 0x8f,
		0xb2, 0x47, 0x74, 0xf7, 0x62, 0x9a, 0x17, 0x3f,
	},
};

static void
count_from(uint8_t first, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(first + i);
}

static bool
self_test(struct aead_scratch *s, const struct aead_key *k)
{
	const struct aead_info *info = aead_info(k->id);
	uint8_t aad[12], iv[AEAD_IV_MAX], tail[4], plain[KAT_LEN], text[KAT_LEN], icv[AEAD_ICV_MAX];
	struct aead_op op = { .aad = aad, .aad_len = sizeof(aad), .iv = iv, .tail = tail,
		.tail_len = info->cbc ? sizeof(tail) : 0, .src = text, .dst = text,
		.len = KAT_LEN, .icv = icv };

	count_from(KAT_AAD, aad, sizeof(aad));
	count_from(KAT_IV, iv, sizeof(iv));
	count_from(KAT_TAIL, tail, sizeof(tail));
	count_from(KAT_TEXT, plain, KAT_LEN);
	memcpy(text, plain, KAT_LEN);
	if (!k->impl->seal(k, s, &op) || memcmp(icv, kat_icv[k->id], info->icv_len) != 0 ||
	    !k->impl->open(k, s, &op) || memcmp(text, plain, KAT_LEN) != 0)
		return false;
	icv[info->icv_len - 1] ^= 1;		/* and it must be able to say no */
	return !k->impl->open(k, s, &op);
}

/* Take an implementation, if it works. */
static void
try(struct aead_set *set, struct aead_scratch *s, const struct offer *o)
{
	const struct aead_info *info = aead_info(o->id);
	uint8_t bytes[AEAD_KEY_MAX];
	struct aead_key k;

	count_from(KAT_KEY, bytes, sizeof(bytes));
	set->impl[o->id] = o->impl;
	(void)aead_key_init(&k, set, o->id, bytes,
	    (size_t)info->enc_len + info->salt_len + info->auth_len);
	if (!self_test(s, &k)) {
		set->impl[o->id] = NULL;
		log_event(LOG_LEVEL_ERROR, "aead-self-test", "algorithm=%s by=%s result=failed",
		    info->name, o->impl->name);
	}
	aead_key_fini(&k);
}

/* For each algorithm take the first implementation that works. */
static void
choose(struct aead_set *set, struct aead_scratch *s, const struct offer *o, const char *only)
{
	for (; o->impl != NULL; o++) {
		if (set->impl[o->id] == NULL && (only == NULL || strcmp(only, o->impl->name) == 0))
			try(set, s, o);
	}
}

static struct aead_set *
set_new(const char *only)
{
	struct aead_set *set = calloc(1, sizeof(*set));
	struct aead_scratch *s;
	unsigned n = 0;

	if (set == NULL)
		return NULL;
	set->serial = calloc(1, sizeof(*set->serial));
	s = aead_scratch_new(set);
	if (set->serial != NULL && s != NULL && sodium_init() >= 0 &&
	    aead_openssl_init(&set->openssl)) {
		if (only != NULL || IMB_CHOSEN)
			set->imb = aead_imb_new();
		if (set->imb != NULL)
			choose(set, s, imb_offers, only);
		choose(set, s, offers, only);
	}
	aead_scratch_free(s);
	for (int id = AEAD_NONE + 1; id < AEAD_N; id++)
		n += set->impl[id] != NULL;
	if (n == 0 || (only == NULL && n < AEAD_N - 1)) {
		aead_set_free(set);
		return NULL;
	}
	return set;
}

struct aead_set *
aead_set_new(void)
{
	return set_new(NULL);
}

struct aead_set *
aead_set_new_only(const char *provider)
{
	return set_new(provider);
}

void
aead_set_free(struct aead_set *s)
{
	if (s == NULL)
		return;
	aead_openssl_fini(&s->openssl);
	aead_imb_free(s->imb);
	free(s->serial);
	free(s);
}

const char *
aead_set_provider(const struct aead_set *s, enum aead_id id)
{
	return aead_info(id) != NULL && s->impl[id] != NULL ? s->impl[id]->name : NULL;
}

bool
aead_key_init(struct aead_key *k, const struct aead_set *s, enum aead_id id, const uint8_t *key,
    size_t len)
{
	const struct aead_info *info = aead_info(id);

	memset(k, 0, sizeof(*k));
	if (info == NULL || s->impl[id] == NULL ||
	    len != (size_t)info->enc_len + info->salt_len + info->auth_len)
		return false;
	k->set = s;
	k->impl = s->impl[id];
	k->serial = __atomic_add_fetch(s->serial, 1, __ATOMIC_RELAXED);
	k->id = id;
	memcpy(k->enc, key, info->enc_len);
	memcpy(k->salt, key + info->enc_len, info->salt_len);
	memcpy(k->auth, key + info->enc_len + info->salt_len, info->auth_len);
	if (k->impl->expand != NULL)
		k->impl->expand(k);
	return true;
}

void
aead_key_fini(struct aead_key *k)
{
	secret_wipe(k, sizeof(*k));
}

struct aead_scratch *
aead_scratch_new(const struct aead_set *s)
{
	struct aead_scratch *scratch = aligned_alloc(alignof(struct aead_scratch), sizeof(*scratch));

	if (scratch == NULL)
		return NULL;
	memset(scratch, 0, sizeof(*scratch));
	scratch->set = s;
	return scratch;
}

void
aead_scratch_free(struct aead_scratch *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < AEAD_SLOTS; i++) {
		aead_slot_fini(&s->seal[i]);
		aead_slot_fini(&s->open[i]);
	}
	aead_imb_free(s->imb);
	secret_wipe(s, sizeof(*s));
	free(s);
}

/* What an implementation may rely on.  A key that was refused or wiped is of AEAD_NONE. */
static inline bool
op_is_right(const struct aead_key *k, const struct aead_scratch *s, const struct aead_op *op)
{
	const struct aead_info *info = &infos[k->id];

	if (info->name == NULL || k->set != s->set || op->iv == NULL || op->icv == NULL)
		return false;
	if ((op->len | op->aad_len | op->tail_len) > INT_MAX)
		return false;
	if ((op->len > 0 && (op->src == NULL || op->dst == NULL)) ||
	    (op->aad_len > 0 && op->aad == NULL) || (op->tail_len > 0 && op->tail == NULL))
		return false;
	return info->cbc ? op->len % 16 == 0 : op->tail_len == 0;
}

bool
aead_seal(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	return op_is_right(k, s, op) && k->impl->seal(k, s, op);
}

bool
aead_open(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	return op_is_right(k, s, op) && k->impl->open(k, s, op);
}
