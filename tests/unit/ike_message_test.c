/* SPDX-License-Identifier: MIT */
#include "ike/message.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static uint8_t buf[MSG_LEN_MAX + 16], plain[MSG_LEN_MAX + 16];
static struct msg outer, inner;
static const struct ike_hdr hdr = {
	.spi_i = 0x1122334455667788, .spi_r = 0x99aabbccddeeff00, .exchange = X_INFORMATIONAL,
	.flags = IKE_F_INITIATOR | IKE_F_RESPONSE, .id = 0x01020304,
};

/* One key of every algorithm and what it takes to use it. */
struct bench {
	struct aead_set *set;
	struct aead_key key;
	struct msg_cipher c;
	struct rng_seeded seed;
	struct rng rng;
	uint64_t counter;
	const struct aead_info *info;
};

static void
bench_init(struct bench *b, enum aead_id id)
{
	uint8_t key[AEAD_KEY_MAX];

	memset(b, 0, sizeof(*b));
	b->set = aead_set_new();
	ck_assert_ptr_nonnull(b->set);
	b->info = aead_info(id);
	b->rng = rng_seeded(&b->seed, id);
	rng_fill(&b->rng, key, sizeof(key));
	ck_assert(aead_key_init(&b->key, b->set, id, key,
	    (size_t)b->info->enc_len + b->info->salt_len + b->info->auth_len));
	b->c.key = &b->key;
	b->c.scratch = aead_scratch_new(b->set);
	ck_assert_ptr_nonnull(b->c.scratch);
}

static void
bench_fini(struct bench *b)
{
	aead_scratch_free(b->c.scratch);
	aead_key_fini(&b->key);
	aead_set_free(b->set);
}

static const uint8_t spi[] = { 1, 2, 3, 4 };

/* A protected message with a delete and `n` bytes of vendor id (0: a delete alone). */
static size_t
sealed(struct bench *b, size_t n)
{
	const uint32_t gone = 0x01020304;
	uint8_t iv[AEAD_IV_MAX];
	struct msg_wr mw;

	msg_start(&mw, buf, sizeof(buf), &hdr);
	msg_start_sk(&mw, &b->c);
	pld_delete_write(msg_add(&mw, PLD_D), PROTO_ESP, &gone, 1);
	if (n > 0)
		wr_zero(msg_add(&mw, PLD_V), n);
	ck_assert(msg_iv(&b->key, &b->counter, &b->rng, iv));
	return msg_seal(&mw, &b->c, iv);
}

START_TEST(a_clear_message_reads_back)
{
	const uint8_t ke[] = { 1, 2, 3 }, nonce[32] = { 7 };
	struct msg_wr mw;
	struct rd body;
	struct pld_ke k;
	size_t len;

	msg_start(&mw, buf, sizeof(buf), &hdr);
	pld_ke_write(msg_add(&mw, PLD_KE), &(struct pld_ke){ .group = 31, .data = ke, .len = 3 });
	msg_add_bytes(&mw, PLD_NONCE, (struct slice){ nonce, sizeof(nonce) });
	msg_add_notify(&mw, N_COOKIE, spi, 4);
	msg_add_notify(&mw, N_NO_PROPOSAL_CHOSEN, NULL, 0);
	len = msg_end(&mw);
	ck_assert_uint_eq(len, IKE_HDR_LEN + 4 + 4 + 3 + 4 + 32 + 4 + 4 + 4 + 4 + 4);
	ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
	ck_assert(outer.h.spi_i == hdr.spi_i && outer.h.spi_r == hdr.spi_r);
	ck_assert_uint_eq(outer.h.exchange, X_INFORMATIONAL);
	ck_assert_uint_eq(outer.h.flags, hdr.flags);
	ck_assert_uint_eq(outer.h.id, hdr.id);
	ck_assert_uint_eq(outer.h.len, len);
	ck_assert_uint_eq(outer.present, P_KE | P_NONCE | P_N);
	ck_assert_uint_eq(outer.n, 4);
	ck_assert_uint_eq(msg_count(&outer, PLD_N), 2);
	ck_assert_uint_eq(msg_count(&outer, PLD_SA), 0);
	ck_assert(msg_find(&outer, PLD_KE, &body) && pld_ke_parse(body, &k));
	ck_assert_mem_eq(k.data, ke, 3);
	ck_assert_uint_eq(msg_body(&outer, PLD_NONCE).len, 32);
	ck_assert_uint_eq(msg_body(&outer, PLD_IDI).len, 0);
	ck_assert_ptr_eq(msg_notify(&outer, N_COOKIE), &outer.notify[0]);
	ck_assert_ptr_eq(msg_error(&outer), &outer.notify[1]);
	ck_assert_ptr_null(msg_notify(&outer, N_REKEY_SA));
	ck_assert(!outer.opened && outer.sk_at == 0);
	/* R16: every shorter datagram is refused, whatever its header then says */
	for (size_t cut = 0; cut < len; cut++) {
		ck_assert_int_eq(msg_parse(buf, cut, &outer), MSG_SHORT);
		if (cut < IKE_HDR_LEN)
			continue;
		memcpy(plain, buf, cut);
		plain[24] = plain[25] = 0;
		plain[26] = (uint8_t)(cut >> 8);
		plain[27] = (uint8_t)cut;
		ck_assert_int_eq(msg_parse(plain, cut, &outer), MSG_SYNTAX);
	}
	ck_assert_int_eq(msg_parse(buf, len + 1, &outer), MSG_SHORT);
}
END_TEST

START_TEST(versions)
{
	struct msg_wr mw;
	size_t len;

	msg_start(&mw, buf, sizeof(buf), &hdr);
	len = msg_end(&mw);
	ck_assert_uint_eq(len, IKE_HDR_LEN);
	ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
	for (unsigned v = 0; v < 256; v++) {
		enum msg_verdict want = v >> 4 < 2 ? MSG_OLD : v >> 4 > 2 ? MSG_VERSION : MSG_OK;

		buf[17] = (uint8_t)v;
		ck_assert_int_eq(msg_parse(buf, len, &outer), want);
		ck_assert(outer.h.spi_i == hdr.spi_i);
	}
}
END_TEST

/* A chain of `n` payloads of a type, each with a body of `body` bytes. */
static enum msg_verdict
chain(unsigned n, uint8_t type, size_t body)
{
	struct msg_wr mw;

	msg_start(&mw, buf, sizeof(buf), &hdr);
	for (unsigned i = 0; i < n; i++)
		wr_zero(msg_add(&mw, type), body);
	return msg_parse(buf, msg_end(&mw), &outer);
}

/* R18: each bound, and one more. */
START_TEST(bounds)
{
	ck_assert_int_eq(chain(MSG_PAYLOADS_MAX, PLD_V, 0), MSG_OK);
	ck_assert_int_eq(chain(MSG_PAYLOADS_MAX + 1, PLD_V, 0), MSG_SYNTAX);
	ck_assert_int_eq(chain(MSG_PAYLOADS_MAX, 200, 0), MSG_OK);
	ck_assert_uint_eq(outer.n, 0);
	ck_assert_int_eq(chain(MSG_PAYLOADS_MAX + 1, 200, 0), MSG_SYNTAX);
	ck_assert_int_eq(chain(MSG_NOTIFY_MAX, PLD_N, 4), MSG_OK);
	ck_assert_int_eq(chain(MSG_NOTIFY_MAX + 1, PLD_N, 4), MSG_SYNTAX);
	ck_assert_int_eq(chain(1, PLD_N, 3), MSG_SYNTAX);
	ck_assert_int_eq(chain(MSG_CERT_MAX, PLD_CERT, 1), MSG_OK);
	ck_assert_int_eq(chain(MSG_CERT_MAX + 1, PLD_CERT, 1), MSG_SYNTAX);
	ck_assert_int_eq(chain(1, PLD_V, MSG_LEN_MAX - IKE_HDR_LEN - 4), MSG_OK);
	ck_assert_int_eq(chain(1, PLD_V, MSG_LEN_MAX - IKE_HDR_LEN - 3), MSG_SHORT);
}
END_TEST

/* R16: a payload length below its own header's makes no progress and is refused. */
START_TEST(a_length_that_makes_no_progress_is_refused)
{
	for (uint8_t len = 0; len < 4; len++) {
		ck_assert_int_eq(chain(2, PLD_V, 4), MSG_OK);
		buf[IKE_HDR_LEN + 3] = len;
		ck_assert_int_eq(msg_parse(buf, IKE_HDR_LEN + 16, &outer), MSG_SYNTAX);
	}
}
END_TEST

START_TEST(unknown_payloads_are_skipped_unless_critical)
{
	struct msg_wr mw;
	size_t len, at;

	for (unsigned type = 1; type < 256; type++) {
		if (pld_is_known((uint8_t)type))
			continue;
		msg_start(&mw, buf, sizeof(buf), &hdr);
		msg_add_bytes(&mw, PLD_V, (struct slice){ spi, 4 });
		at = IKE_HDR_LEN + 8;
		msg_add_bytes(&mw, (uint8_t)type, (struct slice){ spi, 4 });
		msg_add_bytes(&mw, PLD_NONCE, (struct slice){ spi, 4 });
		len = msg_end(&mw);
		ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
		ck_assert_uint_eq(outer.present, P_V | P_NONCE);
		buf[at + 1] = 0x7f;	/* reserved bits are no critical bit */
		ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
		buf[at + 1] = 0x80;
		ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_CRITICAL);
		ck_assert_uint_eq(outer.critical, type);
		buf[at + 1] = 0;
		buf[IKE_HDR_LEN + 1] = 0x80;	/* known: the bit is ignored, 2.5 */
		ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
	}
}
END_TEST

START_TEST(a_protected_message_reads_back)
{
	struct bench b;
	struct rd body;
	struct pld_delete d;
	size_t len;

	bench_init(&b, (enum aead_id)_i);
	for (size_t n = 0; n < 40; n++) {
		len = sealed(&b, n);
		ck_assert_uint_gt(len, 0);
		ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
		ck_assert_uint_eq(outer.present, P_SK);
		ck_assert_int_eq(msg_open(&outer, &b.c, plain, len, &inner), MSG_OK);
		ck_assert(inner.opened && !outer.opened);
		ck_assert_uint_eq(inner.present, n > 0 ? P_D | P_V : P_D);
		ck_assert_uint_eq(inner.h.id, hdr.id);
		ck_assert(msg_find(&inner, PLD_D, &body) && pld_delete_parse(body, &d));
		ck_assert_uint_eq(pld_delete_spi(&d, 0), 0x01020304);
		ck_assert_uint_eq(msg_body(&inner, PLD_V).len, n);
	}
	bench_fini(&b);
}
END_TEST

START_TEST(an_empty_protected_message_reads_back)
{
	uint8_t iv[AEAD_IV_MAX];
	struct msg_wr mw;
	struct bench b;
	size_t len;

	bench_init(&b, (enum aead_id)_i);
	msg_start(&mw, buf, sizeof(buf), &hdr);
	msg_start_sk(&mw, &b.c);
	ck_assert(msg_iv(&b.key, &b.counter, &b.rng, iv));
	len = msg_seal(&mw, &b.c, iv);
	ck_assert_uint_eq(len, IKE_HDR_LEN + 4 + b.info->iv_len + (b.info->cbc ? 16 : 1) +
	    b.info->icv_len);
	ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
	ck_assert_int_eq(msg_open(&outer, &b.c, plain, len, &inner), MSG_OK);
	ck_assert_uint_eq(inner.present, 0);
	bench_fini(&b);
}
END_TEST

/* R9: no altered byte, and no missing one, leads to a plaintext. */
START_TEST(any_flipped_byte_is_noticed)
{
	struct bench b;
	size_t len;

	bench_init(&b, (enum aead_id)_i);
	len = sealed(&b, 5);
	for (size_t at = 0; at < len; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			enum msg_verdict v;

			buf[at] ^= (uint8_t)(1u << bit);
			v = msg_parse(buf, len, &outer);
			if (v == MSG_OK)
				v = msg_open(&outer, &b.c, plain, sizeof(plain), &inner);
			ck_assert_msg(v != MSG_OK, "byte %zu bit %u", at, bit);
			ck_assert_msg(!inner.opened && inner.n == 0, "byte %zu bit %u", at, bit);
			buf[at] ^= (uint8_t)(1u << bit);
		}
	}
	for (size_t cut = IKE_HDR_LEN; cut < len; cut++) {
		memcpy(plain, buf, cut);
		plain[26] = (uint8_t)(cut >> 8);
		plain[27] = (uint8_t)cut;
		if (cut >= IKE_HDR_LEN + 4) {
			plain[IKE_HDR_LEN + 2] = (uint8_t)((cut - IKE_HDR_LEN) >> 8);
			plain[IKE_HDR_LEN + 3] = (uint8_t)(cut - IKE_HDR_LEN);
		}
		if (msg_parse(plain, cut, &outer) == MSG_OK)
			ck_assert_int_eq(msg_open(&outer, &b.c, plain + 32768, 32768, &inner),
			    MSG_ICV);
	}
	bench_fini(&b);
}
END_TEST

/* Seal `text` as the inside of SK by hand, its first payload being of type `first`. */
static enum msg_verdict
open_text(struct bench *b, uint8_t first, const uint8_t *text, size_t text_len)
{
	struct aead_op op = { .aad = buf, .aad_len = IKE_HDR_LEN + 4 };
	struct wr w;
	struct msg_wr mw;
	size_t len;

	msg_start(&mw, buf, sizeof(buf), &hdr);
	msg_start_sk(&mw, &b->c);
	w = mw.w;
	op.iv = buf + op.aad_len;
	op.src = op.dst = wr_room(&w, text_len);
	op.len = text_len;
	memcpy(op.dst, text, text_len);
	op.icv = wr_room(&w, b->info->icv_len);
	len = wr_len(&w);
	wr_put_u32(&w, 24, (uint32_t)len);
	wr_put_u8(&w, IKE_HDR_LEN, first);
	wr_put_u16(&w, IKE_HDR_LEN + 2, (uint16_t)(len - IKE_HDR_LEN));
	ck_assert(wr_ok(&w) && aead_seal(&b->key, b->c.scratch, &op));
	ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
	return msg_open(&outer, &b->c, plain, sizeof(plain), &inner);
}

/* What authenticates but is broken inside is a syntax error, not a plaintext. */
START_TEST(broken_insides)
{
	struct bench b;
	const uint8_t pad_all[] = { 0, 0, 0, 3 }, pad_more[] = { 0, 0, 0, 4 }, pad_255[] = { 255 };
	const uint8_t vendor[] = { 0, 0, 0, 4, 0 }, critical[] = { 0, 0x80, 0, 4, 0 };
	const uint8_t rest[] = { 0, 0, 0, 4, 0, 0 };

	bench_init(&b, AEAD_AES_GCM_16_256);
	ck_assert_int_eq(open_text(&b, 0, pad_all, 4), MSG_OK);
	ck_assert_int_eq(open_text(&b, 0, pad_more, 4), MSG_SYNTAX);
	ck_assert_int_eq(open_text(&b, 0, pad_255, 1), MSG_SYNTAX);
	ck_assert_int_eq(open_text(&b, PLD_V, pad_all, 4), MSG_SYNTAX);
	ck_assert_int_eq(open_text(&b, PLD_V, vendor, 5), MSG_OK);
	ck_assert_int_eq(open_text(&b, 0, vendor, 5), MSG_SYNTAX);
	ck_assert_int_eq(open_text(&b, PLD_V, rest, 6), MSG_SYNTAX);
	ck_assert_int_eq(open_text(&b, PLD_SK, vendor, 5), MSG_SYNTAX);
	ck_assert_int_eq(open_text(&b, PLD_SKF, vendor, 5), MSG_SYNTAX);
	ck_assert_int_eq(open_text(&b, 60, vendor, 5), MSG_OK);
	ck_assert_int_eq(open_text(&b, 60, critical, 5), MSG_CRITICAL);
	ck_assert_uint_eq(inner.critical, 60);
	bench_fini(&b);
}
END_TEST

/* SK stands alone: nothing before it, nothing after it, and no fragments. */
START_TEST(payloads_beside_sk_are_refused)
{
	struct msg_wr mw;

	for (unsigned type = 33; type < 60; type++) {
		msg_start(&mw, buf, sizeof(buf), &hdr);
		wr_zero(msg_add(&mw, (uint8_t)type), 8);
		wr_zero(msg_add(&mw, PLD_SK), 40);
		ck_assert_int_eq(msg_parse(buf, msg_end(&mw), &outer), MSG_SYNTAX);
		msg_start(&mw, buf, sizeof(buf), &hdr);
		wr_zero(msg_add(&mw, PLD_SK), 40);
		wr_zero(msg_add(&mw, (uint8_t)type), 8);
		ck_assert_int_eq(msg_parse(buf, msg_end(&mw), &outer), MSG_SYNTAX);
	}
	ck_assert_int_eq(chain(1, PLD_SKF, 60), MSG_SYNTAX);
	ck_assert_int_eq(chain(1, PLD_SK, 60), MSG_OK);
}
END_TEST

START_TEST(msg_open_wants_sk_and_room)
{
	struct bench b;
	size_t len;

	bench_init(&b, AEAD_AES_CBC_256_HMAC_SHA2_256);
	ck_assert_int_eq(chain(1, PLD_V, 100), MSG_OK);
	ck_assert_int_eq(msg_open(&outer, &b.c, plain, sizeof(plain), &inner), MSG_ICV);
	for (size_t n = 0; n < 80; n++) {
		ck_assert_int_eq(chain(1, PLD_SK, n), MSG_OK);
		ck_assert_int_eq(msg_open(&outer, &b.c, plain, sizeof(plain), &inner), MSG_ICV);
	}
	len = sealed(&b, 64);
	ck_assert_int_eq(msg_parse(buf, len, &outer), MSG_OK);
	ck_assert_int_eq(msg_open(&outer, &b.c, plain, 64, &inner), MSG_SYNTAX);
	bench_fini(&b);
}
END_TEST

START_TEST(the_writer_says_when_it_does_not_fit)
{
	struct msg_wr mw;
	struct bench b;
	uint8_t iv[AEAD_IV_MAX] = { 0 };
	size_t need;

	for (size_t cap = 0; cap < IKE_HDR_LEN + 8; cap++) {
		msg_start(&mw, buf, cap, &hdr);
		wr_zero(msg_add(&mw, PLD_V), 4);
		ck_assert_uint_eq(msg_end(&mw), 0);
	}
	bench_init(&b, AEAD_AES_CBC_128_HMAC_SHA2_512);
	need = IKE_HDR_LEN + 4 + 16 + 16 + 32;
	for (size_t cap = 0; cap <= need; cap++) {
		msg_start(&mw, buf, cap, &hdr);
		msg_start_sk(&mw, &b.c);
		wr_zero(msg_add(&mw, PLD_V), 4);
		ck_assert_uint_eq(msg_seal(&mw, &b.c, iv), cap == need ? need : 0);
	}
	msg_start(&mw, buf, sizeof(buf), &hdr);
	ck_assert_uint_eq(msg_seal(&mw, &b.c, iv), 0);	/* not begun as a protected message */
	msg_start(&mw, buf, sizeof(buf), &hdr);
	msg_start_sk(&mw, &b.c);
	ck_assert_uint_eq(msg_end(&mw), 0);		/* begun as one: never in the clear */
	bench_fini(&b);
}
END_TEST

/* R23: a counter that never repeats for AEADs, random bytes for CBC. */
START_TEST(ivs)
{
	uint8_t iv[AEAD_IV_MAX], last[AEAD_IV_MAX] = { 0xff };
	struct bench b;

	bench_init(&b, AEAD_CHACHA20_POLY1305);
	for (uint64_t i = 0; i < 1000; i++) {
		struct rd r;

		ck_assert(msg_iv(&b.key, &b.counter, &b.rng, iv));
		r = rd_init(iv, 8);
		ck_assert_uint_eq(rd_u64(&r), i);
	}
	b.counter = UINT64_MAX;
	ck_assert(!msg_iv(&b.key, &b.counter, &b.rng, iv));
	bench_fini(&b);
	bench_init(&b, AEAD_AES_CBC_256_HMAC_SHA2_512);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert(msg_iv(&b.key, &b.counter, &b.rng, iv));
		ck_assert_mem_ne(iv, last, 8);
		ck_assert_mem_ne(iv + 8, last + 8, 8);
		memcpy(last, iv, sizeof(last));
	}
	ck_assert_uint_eq(b.counter, 0);
	bench_fini(&b);
}
END_TEST

static enum msg_verdict
parse_file(const char *dir, const char *name)
{
	char path[1200];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s", path);
	len = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	return msg_parse(buf, len, &outer);
}

/* Messages of other implementations, from public captures: all of version 2 are understood. */
START_TEST(captured_messages_are_understood)
{
	const char *root = getenv("TANDEM_VECTORS");
	struct dirent *e;
	char dir[900];
	unsigned v1 = 0, v2 = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/seeds", root != NULL ? root : "../shared/vectors");
	d = opendir(dir);
	if (d == NULL) {
		printf("skipped: 84 vector cases of seeds\n");
		return;
	}
	while ((e = readdir(d)) != NULL) {
		bool old = strncmp(e->d_name, "v1-", 3) == 0;

		if (!old && strncmp(e->d_name, "v2-", 3) != 0)
			continue;
		ck_assert_msg(parse_file(dir, e->d_name) == (old ? MSG_OLD : MSG_OK), "%s",
		    e->d_name);
		v1 += old;
		v2 += !old;
	}
	closedir(d);
	ck_assert_uint_eq(v1, 28);
	ck_assert_uint_eq(v2, 56);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_clear_message_reads_back);
	tcase_add_test(t, versions);
	tcase_add_test(t, bounds);
	tcase_add_test(t, a_length_that_makes_no_progress_is_refused);
	tcase_add_test(t, unknown_payloads_are_skipped_unless_critical);
	tcase_add_loop_test(t, a_protected_message_reads_back, 1, AEAD_N);
	tcase_add_loop_test(t, an_empty_protected_message_reads_back, 1, AEAD_N);
	tcase_add_loop_test(t, any_flipped_byte_is_noticed, 1, AEAD_N);
	tcase_add_test(t, broken_insides);
	tcase_add_test(t, payloads_beside_sk_are_refused);
	tcase_add_test(t, msg_open_wants_sk_and_room);
	tcase_add_test(t, the_writer_says_when_it_does_not_fit);
	tcase_add_test(t, ivs);
	tcase_add_test(t, captured_messages_are_understood);
}

UNIT_MAIN("ike/message", fill)
