/* SPDX-License-Identifier: MIT */
#include "esp/seal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include "esp_rig.h"

/*
 * Vectors: what the product seals is taken apart here with OpenSSL and libsodium directly, and
 * the other way round, by code that knows RFC 4303, 4106, 7634, 3602 and 4868 but nothing of
 * the product.  Keys are in KEYMAT order.
 */
struct parts {
	uint32_t spi;
	uint64_t seq;
	bool esn;
	const uint8_t *key;
	const struct aead_info *info;
};

static const EVP_CIPHER *
cipher_of(const struct aead_info *info)
{
	if (info->cbc)
		return info->enc_len == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
	return info->enc_len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

static const EVP_MD *
hash_of(const struct aead_info *info)
{
	return info->icv_len == 16 ? EVP_sha256() : info->icv_len == 24 ? EVP_sha384() : EVP_sha512();
}

static void
be32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v & 0xffff);
}

/* AAD of an AEAD: SPI, high half if ESN, low half. */
static size_t
aad_of(const struct parts *k, uint8_t *aad)
{
	be32(aad, k->spi);
	if (!k->esn) {
		be32(aad + 4, (uint32_t)k->seq);
		return 8;
	}
	be32(aad + 4, (uint32_t)(k->seq >> 32));
	be32(aad + 8, (uint32_t)k->seq);
	return 12;
}

/* ICV of HMAC: ESP header, IV, ciphertext, then the high half. */
static void
hmac_of(const struct parts *k, const uint8_t *esp, size_t len, uint8_t *icv)
{
	uint8_t text[4096], full[64];
	unsigned full_len = 0;

	memcpy(text, esp, len);
	if (k->esn) {
		be32(text + len, (uint32_t)(k->seq >> 32));
		len += 4;
	}
	ck_assert_ptr_nonnull(HMAC(hash_of(k->info), k->key + k->info->enc_len,
	    k->info->auth_len, text, len, full, &full_len));
	ck_assert_uint_ge(full_len, k->info->icv_len);
	memcpy(icv, full, k->info->icv_len);
}

/* Independent decryption of a whole ESP packet; true when it authenticates. */
static bool
reference_open(const struct parts *k, const uint8_t *esp, size_t len, uint8_t *text, size_t *text_len)
{
	size_t head = 8u + k->info->iv_len, n = len - head - k->info->icv_len;
	const uint8_t *body = esp + head, *icv = body + n;
	uint8_t aad[12], nonce[12], mac[64];
	EVP_CIPHER_CTX *ctx;
	int out = 0;
	bool ok;

	*text_len = n;
	memcpy(nonce, k->key + k->info->enc_len, 4);
	memcpy(nonce + 4, esp + 8, 8);
	if (k->info->cbc) {
		hmac_of(k, esp, head + n, mac);
		if (memcmp(mac, icv, k->info->icv_len) != 0)
			return false;
		ctx = EVP_CIPHER_CTX_new();
		ok = EVP_DecryptInit_ex(ctx, cipher_of(k->info), NULL, k->key, esp + 8) == 1 &&
		    EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
		    EVP_DecryptUpdate(ctx, text, &out, body, (int)n) == 1;
		EVP_CIPHER_CTX_free(ctx);
		return ok && out == (int)n;
	}
	if (k->info->enc_len == 32 && strstr(k->info->name, "chacha") != NULL)
		return crypto_aead_chacha20poly1305_ietf_decrypt_detached(text, NULL, body, n, icv,
		    aad, aad_of(k, aad), nonce, k->key) == 0;
	memcpy(mac, icv, 16);
	ctx = EVP_CIPHER_CTX_new();
	ok = EVP_DecryptInit_ex(ctx, cipher_of(k->info), NULL, k->key, nonce) == 1 &&
	    EVP_DecryptUpdate(ctx, NULL, &out, aad, (int)aad_of(k, aad)) == 1 &&
	    EVP_DecryptUpdate(ctx, text, &out, body, (int)n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, 16, mac) == 1 &&
	    EVP_DecryptFinal_ex(ctx, text + n, &out) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

/* Independent encryption of `text` (padding and trailer in it) into `esp`; returns its length. */
static size_t
reference_seal(const struct parts *k, const uint8_t *text, size_t n, uint8_t *esp)
{
	size_t head = 8u + k->info->iv_len;
	uint8_t aad[12], nonce[12], *body = esp + head, *icv = body + n;
	unsigned long long icv_len;
	EVP_CIPHER_CTX *ctx;
	int out = 0;

	be32(esp, k->spi);
	be32(esp + 4, (uint32_t)k->seq);
	randombytes_buf(esp + 8, k->info->iv_len);
	memcpy(nonce, k->key + k->info->enc_len, 4);
	memcpy(nonce + 4, esp + 8, 8);
	if (strstr(k->info->name, "chacha") != NULL) {
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(body, icv, &icv_len, text, n, aad,
		    aad_of(k, aad), NULL, nonce, k->key);
		return head + n + 16;
	}
	ctx = EVP_CIPHER_CTX_new();
	if (k->info->cbc) {
		ck_assert_int_eq(EVP_EncryptInit_ex(ctx, cipher_of(k->info), NULL, k->key, esp + 8), 1);
		EVP_CIPHER_CTX_set_padding(ctx, 0);
		ck_assert_int_eq(EVP_EncryptUpdate(ctx, body, &out, text, (int)n), 1);
		hmac_of(k, esp, head + n, icv);
	} else {
		ck_assert_int_eq(EVP_EncryptInit_ex(ctx, cipher_of(k->info), NULL, k->key, nonce), 1);
		EVP_EncryptUpdate(ctx, NULL, &out, aad, (int)aad_of(k, aad));
		ck_assert_int_eq(EVP_EncryptUpdate(ctx, body, &out, text, (int)n), 1);
		EVP_EncryptFinal_ex(ctx, body + n, &out);
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, icv);
	}
	EVP_CIPHER_CTX_free(ctx);
	return head + n + k->info->icv_len;
}

struct bench {
	struct rig r;				/* for its pool and set; its engines stay idle */
	struct aead_scratch *scratch;
	struct esp_sa *out, *in;
	struct parts k;
	struct pkt p;
	uint8_t buf[PKT_HEADROOM + 2048 + PKT_TAILROOM];
};

/* Side 0 sends, side 1 receives; `seq` was the last number before. */
static void
bench_init(struct bench *b, enum aead_id aead, bool esn, uint64_t seq)
{
	rig_init_bare(&b->r);
	rig_child(&b->r, aead, esn, 1, 0);
	b->scratch = aead_scratch_new(b->r.aeads);
	b->out = esp_sa_out_new(b->r.sec, b->r.aeads, &b->r.child[0], seq);
	b->in = esp_sa_in_new(b->r.sec, b->r.aeads, &b->r.child[1]);
	ck_assert(b->scratch != NULL && b->out != NULL && b->in != NULL);
	b->k = (struct parts){ .spi = b->r.child[0].spi_out, .seq = seq + 1, .esn = esn,
		.key = b->r.child[0].key_out, .info = aead_info(aead) };
	if (seq > 0)
		replay_mark(&b->in->replay, seq);
}

static void
bench_packet(struct bench *b, const struct flow *f, size_t len)
{
	b->p = (struct pkt){ .buf = b->buf, .cap = sizeof(b->buf), .off = PKT_HEADROOM,
		.len = (uint32_t)len };
	packet_write(pkt_data(&b->p), len, f);
}

/* b->p becomes its ESP packet. */
static enum drop
seal_in_place(struct bench *b, const struct esp_sa *sa, uint64_t seq)
{
	uint32_t head = 8u + sa->iv_len;
	struct seal x = { .body = pkt_data(&b->p), .len = b->p.len, .seq = seq,
		.to = pkt_data(&b->p) - head };
	enum drop why = seal_packet(sa, b->scratch, &x);

	b->p.off -= head;
	b->p.len = (uint32_t)seal_len(sa, b->p.len);
	return why;
}

/* b->p becomes what its ESP packet carries. */
static enum drop
open_in_place(struct bench *b, struct opened *o)
{
	enum drop why = open_packet(b->in, b->scratch, &b->p, NULL, o);

	if (why == PASS) {
		b->p.off = (uint32_t)(o->body - b->p.buf);
		b->p.len = (uint32_t)o->len;
	}
	return why;
}

static void
bench_fini(struct bench *b)
{
	esp_sa_free(b->r.sec, b->out);
	esp_sa_free(b->r.sec, b->in);
	aead_scratch_free(b->scratch);
	rig_fini(&b->r);
}

/* Numbers at which the high half is 0, 1, many, and about to change. */
static const uint64_t last_numbers[] = { 0, 0xfffffffe, 0xffffffff, 0x100000000, 0x1234567800,
	0x1fffffffff - 1 };
#define LAST_N		((int)(sizeof(last_numbers) / sizeof(last_numbers[0])))

static uint64_t
last_number(int i, bool esn)
{
	return esn ? last_numbers[i] : (uint32_t)last_numbers[i] & 0x7fffffff;
}

START_TEST(sealed_as_the_rfcs_say)
{
	static struct bench b;
	uint8_t text[4096], inner[2048];
	size_t n;

	for (int i = 0; i < LAST_N * 2; i++) {
		bool esn = i % 2 != 0;

		bench_init(&b, rig_suites[_i], esn, last_number(i / 2, esn));
		for (size_t len = 40; len < 80; len++) {
			const struct flow *f = len % 2 != 0 ? &flow_v6 : &flow_v4;

			bench_packet(&b, f, len);
			memcpy(inner, pkt_data(&b.p), len);
			ck_assert_int_eq(seal_in_place(&b, b.out, b.k.seq), PASS);
			ck_assert(reference_open(&b.k, pkt_data(&b.p), b.p.len, text, &n));
			ck_assert_uint_eq(get16(pkt_data(&b.p)) << 16 | get16(pkt_data(&b.p) + 2), b.k.spi);
			ck_assert_uint_eq(n % b.k.info->block, 0);
			ck_assert_uint_eq(text[n - 1], f == &flow_v6 ? 41 : 4);
			ck_assert_uint_eq(len + text[n - 2] + 2, n);
			ck_assert_uint_lt(text[n - 2], b.k.info->block);
			ck_assert_mem_eq(text, inner, len);
			for (unsigned pad = 1; pad <= text[n - 2]; pad++)
				ck_assert_uint_eq(text[len + pad - 1], pad);
		}
		bench_fini(&b);
	}
}
END_TEST

START_TEST(opens_what_the_rfcs_say)
{
	static struct bench b;
	static struct forge g;
	uint8_t inner[2048];
	struct opened o;

	for (int i = 0; i < LAST_N * 2; i++) {
		bool esn = i % 2 != 0;

		bench_init(&b, rig_suites[_i], esn, last_number(i / 2, esn));
		packet_write(inner, 100, &flow_v4);
		forge_inner(&g, rig_suites[_i], inner, 100, 4);
		bench_packet(&b, &flow_v4, 100);
		b.p.len = (uint32_t)reference_seal(&b.k, g.text, g.len, pkt_data(&b.p));
		ck_assert_int_eq(open_in_place(&b, &o), PASS);
		ck_assert_uint_eq(o.seq, b.k.seq);
		ck_assert_uint_eq(o.next, 4);
		ck_assert(o.newest);
		ck_assert_uint_eq(b.p.len, 100);
		ck_assert_mem_eq(pkt_data(&b.p), inner, 100);
		bench_fini(&b);
	}
}
END_TEST

/* The high half is authenticated: a packet of another 2^32 does not pass for this one. */
START_TEST(high_half_is_in_the_icv)
{
	static struct bench b;
	struct opened o;

	bench_init(&b, rig_suites[_i], true, UINT64_C(5) << 32);
	bench_packet(&b, &flow_v4, 100);
	ck_assert_int_eq(seal_in_place(&b, b.out, b.k.seq + (UINT64_C(1) << 32)), PASS);
	ck_assert_int_eq(open_in_place(&b, &o), DROP_IN_AUTH);
	ck_assert(replay_is_new(&b.in->replay, b.k.seq));
	bench_fini(&b);
}
END_TEST

/* No truncation and no flipped bit passes, and none moves the window. */
START_TEST(truncated_and_altered_are_refused)
{
	static struct bench b;
	static uint8_t sealed[2048];
	struct opened o;
	uint32_t len;
	enum drop why;

	bench_init(&b, rig_suites[_i], true, 0);
	bench_packet(&b, &flow_v4, 100);
	ck_assert_int_eq(seal_in_place(&b, b.out, 3), PASS);
	len = b.p.len;
	memcpy(sealed, pkt_data(&b.p), len);
	for (uint32_t n = 8; n < len; n++) {
		/* in a buffer of just this size, for the address sanitizer */
		uint8_t *tight = malloc(n);

		memcpy(tight, sealed, n);
		b.p = (struct pkt){ .buf = tight, .cap = n, .len = n };
		why = open_in_place(&b, &o);
		ck_assert_msg(why == DROP_IN_SHORT || why == DROP_IN_AUTH, "%u bytes: %d", n, (int)why);
		ck_assert_uint_eq(b.in->replay.top, 0);
		free(tight);
	}
	for (uint32_t bit = 32; bit < len * 8; bit++) {	/* the SPI is how the SA was found */
		bench_packet(&b, &flow_v4, 100);
		memcpy(pkt_data(&b.p), sealed, len);
		b.p.len = len;
		pkt_data(&b.p)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_eq(open_in_place(&b, &o), DROP_IN_AUTH);
		ck_assert_uint_eq(b.in->replay.top, 0);
	}
	bench_packet(&b, &flow_v4, 100);
	memcpy(pkt_data(&b.p), sealed, len);
	b.p.len = len;
	ck_assert_int_eq(open_in_place(&b, &o), PASS);
	memcpy(pkt_data(&b.p) - 8 - b.k.info->iv_len, sealed, len);
	b.p.off -= 8u + b.k.info->iv_len;
	b.p.len = len;
	ck_assert_int_eq(open_in_place(&b, &o), DROP_IN_REPLAY);
	bench_fini(&b);
}
END_TEST

/* Trailers that authenticate but lie. */
START_TEST(bad_trailers_are_refused)
{
	static struct bench b;
	static struct forge g;
	struct opened o;
	size_t block = aead_info(rig_suites[_i])->block, n = 5 * block;

	bench_init(&b, rig_suites[_i], false, 0);
	for (int pad = 0; pad < 256; pad++) {
		for (int wrong = 0; wrong < 2; wrong++) {
			enum drop want = (size_t)pad + 2 > n || (wrong && pad > 0) ?
			    DROP_IN_PADDING : PASS;

			bench_packet(&b, &flow_v4, 100);
			for (size_t i = 0; i < n; i++)
				g.text[i] = (uint8_t)(i + 3 + (size_t)pad - n);
			if (wrong && (size_t)pad + 2 <= n)
				g.text[n - 3] ^= 1;
			g.text[n - 2] = (uint8_t)pad;
			g.text[n - 1] = 4;
			b.p.len = (uint32_t)reference_seal(&b.k, g.text, n, pkt_data(&b.p));
			ck_assert_msg(open_in_place(&b, &o) == want,
			    "pad %d wrong %d", pad, wrong);
			b.k.seq++;
		}
	}
	bench_fini(&b);
}
END_TEST

/* RFC 4303 2.4: the text ends on four bytes; an AEAD would not mind, we do. */
START_TEST(ragged_text_is_refused)
{
	static struct bench b;
	uint8_t text[64];
	struct opened o;

	if (aead_info(rig_suites[_i])->cbc)		/* cannot even be made */
		return;
	memset(text, 0, sizeof(text));
	bench_init(&b, rig_suites[_i], false, 0);
	for (size_t n = 60; n <= 64; n++) {
		bench_packet(&b, &flow_v4, 100);
		b.p.len = (uint32_t)reference_seal(&b.k, text, n, pkt_data(&b.p));
		ck_assert_int_eq(open_in_place(&b, &o),
		    n % 4 == 0 ? PASS : DROP_IN_SHORT);
		b.k.seq++;
	}
	bench_fini(&b);
}
END_TEST

/* Sealed elsewhere, the packet and what lies behind it are as before, and nothing is written
 * beyond the length that was foretold; opened elsewhere, likewise. */
START_TEST(writes_only_where_it_should)
{
	static struct bench b;
	static uint8_t before[sizeof(b.buf)], to[2048], text[2048];
	struct seal x = { .seq = 1, .to = to };
	struct opened o;
	struct pkt p;

	bench_init(&b, rig_suites[_i], true, 0);
	for (size_t len = 40; len < 80; len++, x.seq++) {
		memset(b.buf, 0xa5, sizeof(b.buf));
		memset(to, 0x5a, sizeof(to));
		memset(text, 0x11, sizeof(text));
		bench_packet(&b, &flow_v4, len);
		memcpy(before, b.buf, sizeof(b.buf));
		x.body = pkt_data(&b.p);
		x.len = len;
		ck_assert_int_eq(seal_packet(b.out, b.scratch, &x), PASS);
		ck_assert_mem_eq(before, b.buf, sizeof(b.buf));
		for (size_t i = seal_len(b.out, len); i < sizeof(to); i++)
			ck_assert_uint_eq(to[i], 0x5a);
		p = (struct pkt){ .buf = to, .cap = sizeof(to), .len = (uint32_t)seal_len(b.out, len) };
		ck_assert_int_eq(open_packet(b.in, b.scratch, &p, text + 100, &o), PASS);
		ck_assert_ptr_eq(o.body, text + 100);
		ck_assert_uint_eq(o.len, len);
		ck_assert_mem_eq(o.body, pkt_data(&b.p), len);
		for (size_t i = 0; i < sizeof(text); i++)
			ck_assert(text[i] == 0x11 || (i >= 100 && i < 100 + p.len));
	}
	bench_fini(&b);
}
END_TEST

static int
compare_iv(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* R23: CBC IVs do not repeat, do not count, and change in every bit. */
START_TEST(cbc_iv_is_unpredictable)
{
	enum { N = 20000 };
	static uint8_t iv[N][16];
	static struct bench b;
	unsigned flips[128] = { 0 };

	bench_init(&b, AEAD_AES_CBC_128_HMAC_SHA2_256, _i != 0, 0);
	for (unsigned i = 0; i < N; i++) {
		bench_packet(&b, &flow_v4, 64);
		ck_assert_int_eq(seal_in_place(&b, b.out, i + 1), PASS);
		memcpy(iv[i], pkt_data(&b.p) + 8, 16);
		for (unsigned bit = 0; i > 0 && bit < 128; bit++)
			flips[bit] += ((iv[i][bit / 8] ^ iv[i - 1][bit / 8]) >> bit % 8) & 1;
	}
	/* each bit flips half of the time: 20,000 tosses, within 7 standard deviations */
	for (unsigned bit = 0; bit < 128; bit++)
		ck_assert_msg(flips[bit] > N / 2 - 500 && flips[bit] < N / 2 + 500,
		    "bit %u flips %u times of %d", bit, flips[bit], N);
	qsort(iv, N, 16, compare_iv);
	for (unsigned i = 1; i < N; i++)
		ck_assert_int_ne(compare_iv(iv[i - 1], iv[i]), 0);
	bench_fini(&b);
}
END_TEST

/* Another SA has other IVs for the same numbers: they come from its key. */
START_TEST(cbc_iv_depends_on_the_key)
{
	uint8_t iv[2][16];

	for (uint32_t gen = 0; gen < 2; gen++) {
		static struct bench b;
		struct esp_sa *sa;

		bench_init(&b, AEAD_AES_CBC_256_HMAC_SHA2_512, false, 0);
		rig_child(&b.r, AEAD_AES_CBC_256_HMAC_SHA2_512, false, 1, gen);
		sa = esp_sa_out_new(b.r.sec, b.r.aeads, &b.r.child[0], 0);
		bench_packet(&b, &flow_v4, 64);
		ck_assert_int_eq(seal_in_place(&b, sa, 1), PASS);
		memcpy(iv[gen], pkt_data(&b.p) + 8, 16);
		esp_sa_free(b.r.sec, sa);
		bench_fini(&b);
	}
	ck_assert_mem_ne(iv[0], iv[1], 16);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, sealed_as_the_rfcs_say, 0, RIG_SUITES);
	tcase_add_loop_test(tc, opens_what_the_rfcs_say, 0, RIG_SUITES);
	tcase_add_loop_test(tc, high_half_is_in_the_icv, 0, RIG_SUITES);
	tcase_add_loop_test(tc, truncated_and_altered_are_refused, 0, RIG_SUITES);
	tcase_add_loop_test(tc, bad_trailers_are_refused, 0, RIG_SUITES);
	tcase_add_loop_test(tc, ragged_text_is_refused, 0, RIG_SUITES);
	tcase_add_loop_test(tc, writes_only_where_it_should, 0, RIG_SUITES);
	tcase_add_loop_test(tc, cbc_iv_is_unpredictable, 0, 2);
	tcase_add_test(tc, cbc_iv_depends_on_the_key);
}

UNIT_MAIN("esp_seal", fill)
