/* SPDX-License-Identifier: MIT */
/*
 * The ESP packet (RFC 4303 section 2):
 *
 *	SPI | sequence, low half | IV 8, 16 | inner packet | 1 2 3 .. | pad length | next | ICV
 *	'--------- aad ---------'           '----------------- encrypted -----------------'
 *
 * With ESN the high half of the number is authenticated but not sent: AEADs have it in the
 * AAD between SPI and low half (RFC 4106 section 5), HMAC has it behind the text (RFC 4303
 * 2.2.1).
 *
 * IV of the counter ciphers: the 64-bit sequence number.  It never repeats under a key,
 * because the number comes from one atomic counter that stops at its end.
 * IV of CBC must be unpredictable to one who chooses plaintext (RFC 3602 section 3, NIST SP
 * 800-38A appendix C): it is a keyed pseudo-random function of the number, SipHash-2-4 with
 * 128 bits of output, under a key derived one-way from the SA's cipher key.  Encrypting the
 * number under the cipher key itself, as that appendix has it, would serve as well; the
 * derived key keeps the two uses apart and costs a tenth of a microsecond less.
 */
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "esp/seal.h"

_Static_assert(crypto_shorthash_siphashx24_BYTES == AEAD_IV_MAX, "CBC IV is one hash");
_Static_assert(crypto_shorthash_siphashx24_KEYBYTES == ESP_SA_IV_KEY, "key of that hash");

/* What is authenticated besides the text.  Each is written by one store, because the cipher
 * loads it at once, and waits where it was written in parts (aead.h). */
typedef uint32_t words_t __attribute__((vector_size(16)));

struct bound {
	words_t aad, tail;
	size_t aad_len, tail_len;
};

static inline void
bind_number(const struct esp_sa *sa, uint64_t seq, struct bound *b)
{
	uint32_t spi = htobe32(sa->spi), low = htobe32((uint32_t)seq);
	uint32_t high = htobe32((uint32_t)(seq >> 32));
	bool between = sa->esn && !sa->cbc;

	b->aad = (words_t){ spi, between ? high : low, low };
	b->aad_len = between ? 12 : 8;
	b->tail = (words_t){ high };
	b->tail_len = sa->esn && sa->cbc ? 4 : 0;
}

static inline void
write_iv(struct wr *w, const struct esp_sa *sa, uint64_t seq)
{
	uint8_t number[8], *iv;
	struct wr n = wr_init(number, sizeof(number));

	if (!sa->cbc) {
		wr_u64(w, seq);
		return;
	}
	wr_u64(&n, seq);
	iv = wr_room(w, AEAD_IV_MAX);
	if (iv != NULL)
		crypto_shorthash_siphashx24(iv, number, sizeof(number), sa->iv_key);
}

enum drop
seal_packet(const struct esp_sa *sa, struct aead_scratch *s, const struct seal *x)
{
	size_t head = SEAL_ESP_HEAD + (size_t)sa->iv_len, text = seal_text_len(sa, x->len);
	size_t pad = text - x->len - SEAL_TRAILER;
	uint8_t behind[SEAL_TRAILER_MAX], *trailer = x->body + x->len;
	struct wr w = wr_init(trailer, pad + SEAL_TRAILER);
	struct bound b;
	struct aead_op op;
	bool ok;

	memcpy(behind, trailer, sizeof(behind));
	for (size_t i = 1; i <= pad; i++)
		wr_u8(&w, (uint8_t)i);
	wr_u8(&w, (uint8_t)pad);
	wr_u8(&w, x->body[0] >> 4 == 6 ? IPPROTO_OF_V6 : IPPROTO_OF_V4);
	w = wr_init(x->to, head);
	wr_u32(&w, sa->spi);
	wr_u32(&w, (uint32_t)x->seq);
	write_iv(&w, sa, x->seq);
	bind_number(sa, x->seq, &b);
	op = (struct aead_op){ .aad = (const uint8_t *)&b.aad, .aad_len = b.aad_len,
		.iv = x->to + SEAL_ESP_HEAD, .tail = (const uint8_t *)&b.tail, .tail_len = b.tail_len,
		.src = x->body, .dst = x->to + head, .len = text, .icv = x->to + head + text };
	ok = aead_seal(&sa->key, s, &op);
	if (x->body != x->to + head)
		memcpy(trailer, behind, sizeof(behind));
	return ok ? PASS : DROP_OUT_SEAL;
}

/* RFC 4303 2.4: the padding counts 1, 2, 3.  Looked at because it must; it is authentic. */
static bool
strip_trailer(struct opened *o)
{
	struct rd r = rd_init(o->body, o->len);
	uint8_t pad;

	rd_skip(&r, o->len - SEAL_TRAILER);
	pad = rd_u8(&r);
	o->next = rd_u8(&r);
	if (!rd_ok(&r) || (size_t)pad + SEAL_TRAILER > o->len)
		return false;
	o->len -= (size_t)pad + SEAL_TRAILER;
	r = rd_init(o->body + o->len, pad);
	for (unsigned i = 1; i <= pad; i++)
		if (rd_u8(&r) != i)
			return false;
	return true;
}

enum drop
open_packet(struct esp_sa *sa, struct aead_scratch *s, const struct pkt *p, uint8_t *to,
    struct opened *o)
{
	size_t head = SEAL_ESP_HEAD + (size_t)sa->iv_len;
	struct rd r = rd_init(pkt_data(p), p->len);
	struct bound b;
	struct aead_op op;
	uint8_t *body;
	size_t text;

	if (p->len < head + sa->block + sa->icv_len)
		return DROP_IN_SHORT;
	body = pkt_data(p) + head;
	text = p->len - head - sa->icv_len;
	if ((text & (sa->block - 1u)) != 0)
		return DROP_IN_SHORT;
	rd_skip(&r, 4);				/* SPI: how the SA was found */
	o->seq = replay_infer(&sa->replay, rd_u32(&r));
	if (!replay_is_new(&sa->replay, o->seq))
		return DROP_IN_REPLAY;
	o->body = to != NULL ? to : body;
	o->len = text;
	bind_number(sa, o->seq, &b);
	op = (struct aead_op){ .aad = (const uint8_t *)&b.aad, .aad_len = b.aad_len,
		.iv = body - sa->iv_len, .tail = (const uint8_t *)&b.tail, .tail_len = b.tail_len,
		.src = body, .dst = o->body, .len = text, .icv = body + text };
	if (!aead_open(&sa->key, s, &op))
		return DROP_IN_AUTH;
	o->newest = o->seq > sa->replay.top;
	o->gaps = replay_mark(&sa->replay, o->seq);
	stat_set(&sa->seq, sa->replay.top);
	return strip_trailer(o) ? PASS : DROP_IN_PADDING;
}
