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

#include "base/bytes.h"
#include "esp/seal.h"

#define AAD_MAX		12

_Static_assert(crypto_shorthash_siphashx24_BYTES == AEAD_IV_MAX, "CBC IV is one hash");
_Static_assert(crypto_shorthash_siphashx24_KEYBYTES == ESP_SA_IV_KEY, "key of that hash");

struct bound {				/* what is authenticated besides the text */
	uint8_t aad[AAD_MAX], tail[4];
	size_t aad_len, tail_len;
};

static void
bind_number(const struct esp_sa *sa, uint64_t seq, struct bound *b)
{
	struct wr w = wr_init(b->aad, sizeof(b->aad));
	struct wr tail = wr_init(b->tail, sizeof(b->tail));

	wr_u32(&w, sa->spi);
	if (sa->esn && !sa->cbc)
		wr_u32(&w, (uint32_t)(seq >> 32));
	wr_u32(&w, (uint32_t)seq);
	if (sa->esn && sa->cbc)
		wr_u32(&tail, (uint32_t)(seq >> 32));
	b->aad_len = wr_len(&w);
	b->tail_len = wr_len(&tail);
}

static void
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
seal_packet(const struct esp_sa *sa, struct aead_scratch *s, struct pkt *p, uint64_t seq)
{
	size_t head = SEAL_ESP_HEAD + (size_t)sa->iv_len;
	size_t text = (p->len + SEAL_TRAILER + sa->block - 1) / sa->block * sa->block;
	size_t pad = text - p->len - SEAL_TRAILER;
	uint8_t *body = pkt_data(p);
	struct bound b;
	struct aead_op op;
	struct wr w;

	if (p->off < head || text - p->len + sa->icv_len > pkt_room(p))
		return DROP_OUT_NO_BUFFER;
	w = wr_init(body + p->len, pad + SEAL_TRAILER);
	for (size_t i = 1; i <= pad; i++)
		wr_u8(&w, (uint8_t)i);
	wr_u8(&w, (uint8_t)pad);
	wr_u8(&w, body[0] >> 4 == 6 ? IPPROTO_OF_V6 : IPPROTO_OF_V4);
	w = wr_init(body - head, head);
	wr_u32(&w, sa->spi);
	wr_u32(&w, (uint32_t)seq);
	write_iv(&w, sa, seq);
	bind_number(sa, seq, &b);
	op = (struct aead_op){ .aad = b.aad, .aad_len = b.aad_len,
		.iv = body - sa->iv_len, .tail = b.tail, .tail_len = b.tail_len,
		.src = body, .dst = body, .len = text, .icv = body + text };
	if (!aead_seal(&sa->key, s, &op))
		return DROP_OUT_SEAL;
	p->off -= (uint32_t)head;
	p->len = (uint32_t)(head + text + sa->icv_len);
	return PASS;
}

/* RFC 4303 2.4: the padding counts 1, 2, 3.  Looked at because it must; it is authentic. */
static bool
strip_trailer(struct pkt *p, struct opened *o)
{
	struct rd r = rd_init(pkt_data(p), p->len);
	uint8_t pad;

	rd_skip(&r, p->len - SEAL_TRAILER);
	pad = rd_u8(&r);
	o->next = rd_u8(&r);
	if (!rd_ok(&r) || (size_t)pad + SEAL_TRAILER > p->len)
		return false;
	p->len -= (uint32_t)pad + SEAL_TRAILER;
	r = rd_init(pkt_data(p) + p->len, pad);
	for (unsigned i = 1; i <= pad; i++)
		if (rd_u8(&r) != i)
			return false;
	return true;
}

enum drop
open_packet(struct esp_sa *sa, struct aead_scratch *s, struct pkt *p, struct opened *o)
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
	if (text % sa->block != 0)
		return DROP_IN_SHORT;
	rd_skip(&r, 4);				/* SPI: how the SA was found */
	o->seq = replay_infer(&sa->replay, rd_u32(&r));
	if (!replay_is_new(&sa->replay, o->seq))
		return DROP_IN_REPLAY;
	bind_number(sa, o->seq, &b);
	op = (struct aead_op){ .aad = b.aad, .aad_len = b.aad_len,
		.iv = body - sa->iv_len, .tail = b.tail, .tail_len = b.tail_len,
		.src = body, .dst = body, .len = text, .icv = body + text };
	if (!aead_open(&sa->key, s, &op))
		return DROP_IN_AUTH;
	o->newest = o->seq > sa->replay.top;
	replay_mark(&sa->replay, o->seq);
	stat_set(&sa->seq, sa->replay.top);
	p->off += (uint32_t)head;
	p->len = (uint32_t)text;
	return strip_trailer(p, o) ? PASS : DROP_IN_PADDING;
}
