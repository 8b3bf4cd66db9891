/* SPDX-License-Identifier: MIT */
/*
 * The message around the payloads.  Bytes of a stranger pass here first, so the order of
 * things is the point of this file:
 *
 *	header -> outer chain -> [SK: authenticate, decrypt -> inner chain] -> handler
 *
 * The outer chain of a protected message is only measured: what lies beside SK is refused
 * and SK's own text stays out of reach until its ICV has passed.  The ICV covers all bytes
 * from the IKE header to the end of the ciphertext, so nothing before SK can be altered
 * either (RFC 7296 3.14, RFC 5282 5.1).
 */
#include "ike/message.h"

#include <string.h>

#define PLD_HDR_LEN	4
#define PLD_CRITICAL	0x80

const char *
msg_verdict_name(enum msg_verdict v)
{
	switch (v) {
	case MSG_OK:
		return "ok";
	case MSG_SHORT:
		return "short";
	case MSG_OLD:
		return "old-version";
	case MSG_VERSION:
		return "new-version";
	case MSG_SYNTAX:
		return "syntax";
	case MSG_CRITICAL:
		return "unknown-critical-payload";
	case MSG_ICV:
		return "icv";
	}
	return "?";
}

enum msg_verdict
msg_parse_header(const uint8_t *data, size_t len, struct ike_hdr *h)
{
	struct rd r = rd_init(data, len);

	h->spi_i = rd_u64(&r);
	h->spi_r = rd_u64(&r);
	h->next = rd_u8(&r);
	h->version = rd_u8(&r);
	h->exchange = rd_u8(&r);
	h->flags = rd_u8(&r);
	h->id = rd_u32(&r);
	h->len = rd_u32(&r);
	if (!rd_ok(&r))
		return MSG_SHORT;
	if (h->version >> 4 < IKE_VERSION >> 4)
		return MSG_OLD;
	if (h->version >> 4 > IKE_VERSION >> 4)
		return MSG_VERSION;
	return h->len == len && len <= MSG_LEN_MAX ? MSG_OK : MSG_SHORT;
}

/* Keep one known payload.  False: a bound is exceeded, or it is a broken notify. */
static bool
keep(struct msg *m, uint8_t type, struct rd body)
{
	unsigned bit = type - PLD_SA;

	if (m->n >= MSG_PAYLOADS_MAX || (type == PLD_CERT && m->count[bit] >= MSG_CERT_MAX))
		return false;
	if (type == PLD_N) {
		if (m->notify_n >= MSG_NOTIFY_MAX ||
		    !pld_notify_parse(body, &m->notify[m->notify_n]))
			return false;
		m->notify_n++;
	}
	m->payload[m->n++] = (struct msg_payload){ .type = type, .body = body };
	m->count[bit]++;
	m->present |= P_BIT(type);
	return true;
}

/*
 * Walk a chain whose first payload has type `type`.  It must end where the bytes end.  A
 * protected payload ends an outer chain whatever its next-payload byte says, for that byte
 * is about the text inside (3.14).  Unknown payloads count for the bound too.
 */
static enum msg_verdict
walk(struct msg *m, struct rd r, uint8_t type)
{
	unsigned seen = 0;

	while (type != PLD_NONE) {
		uint8_t next = rd_u8(&r), flags = rd_u8(&r);
		uint16_t len = rd_u16(&r);
		struct rd body;

		if (!rd_ok(&r) || len < PLD_HDR_LEN || ++seen > MSG_PAYLOADS_MAX)
			return MSG_SYNTAX;
		body = rd_sub(&r, len - PLD_HDR_LEN);
		if (!rd_ok(&body))
			return MSG_SYNTAX;
		if (type == PLD_SKF || (type == PLD_SK && (m->opened || seen > 1)))
			return MSG_SYNTAX;
		if (pld_is_known(type)) {
			if (!keep(m, type, body))
				return MSG_SYNTAX;
		} else if ((flags & PLD_CRITICAL) != 0 && m->critical == 0) {
			m->critical = type;
		}
		if (type == PLD_SK) {
			m->sk_at = m->raw.len - rd_left(&r) - rd_left(&body);
			m->sk_first = next;
			next = PLD_NONE;
		}
		type = next;
	}
	if (!rd_done(&r))
		return MSG_SYNTAX;
	return m->critical != 0 ? MSG_CRITICAL : MSG_OK;
}

enum msg_verdict
msg_parse(const uint8_t *data, size_t len, struct msg *m)
{
	struct rd r = rd_init(data, len);
	enum msg_verdict v;

	memset(m, 0, sizeof(*m));
	v = msg_parse_header(data, len, &m->h);
	if (v != MSG_OK)
		return v;
	m->raw = (struct slice){ .p = data, .len = len };
	rd_skip(&r, IKE_HDR_LEN);
	return walk(m, r, m->h.next);
}

/* Where the parts of an SK payload lie.  False: too short for the algorithm. */
static bool
sk_layout(const struct msg *m, const struct aead_key *k, struct aead_op *op)
{
	const struct aead_info *info = aead_info(k->id);
	struct rd r = rd_init(m->raw.p, m->raw.len);

	if (info == NULL || m->sk_at == 0)
		return false;
	op->aad_len = m->sk_at;
	op->aad = rd_bytes(&r, op->aad_len);
	op->iv = rd_bytes(&r, info->iv_len);
	if (rd_left(&r) < info->icv_len)
		return false;
	op->len = rd_left(&r) - info->icv_len;
	op->src = rd_bytes(&r, op->len);
	op->icv = (uint8_t *)(uintptr_t)rd_bytes(&r, info->icv_len);	/* only compared */
	/* at least the pad length byte; CBC only in whole blocks */
	return rd_done(&r) && op->len >= 1 && (!info->cbc || op->len % info->block == 0);
}

enum msg_verdict
msg_open(const struct msg *outer, const struct msg_cipher *c, uint8_t *plain, size_t cap,
    struct msg *inner)
{
	struct aead_op op = { 0 };
	size_t pad;

	memset(inner, 0, sizeof(*inner));
	inner->h = outer->h;
	inner->raw = outer->raw;
	if (!sk_layout(outer, c->key, &op))
		return MSG_ICV;
	if (op.len > cap)
		return MSG_SYNTAX;
	op.dst = plain;
	if (!aead_open(c->key, c->scratch, &op))
		return MSG_ICV;
	inner->opened = true;
	pad = plain[op.len - 1];
	if (pad + 1 > op.len)
		return MSG_SYNTAX;
	return walk(inner, rd_init(plain, op.len - pad - 1), outer->sk_first);
}

bool
msg_find(const struct msg *m, uint8_t type, struct rd *body)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (m->payload[i].type == type) {
			*body = m->payload[i].body;
			return true;
		}
	}
	*body = rd_init(NULL, 0);
	return false;
}

struct slice
msg_body(const struct msg *m, uint8_t type)
{
	struct rd body;
	struct slice s;

	(void)msg_find(m, type, &body);
	s.len = rd_left(&body);
	s.p = rd_bytes(&body, s.len);
	return s;
}

const struct pld_notify *
msg_notify(const struct msg *m, uint16_t type)
{
	for (unsigned i = 0; i < m->notify_n; i++) {
		if (m->notify[i].type == type)
			return &m->notify[i];
	}
	return NULL;
}

const struct pld_notify *
msg_error(const struct msg *m)
{
	for (unsigned i = 0; i < m->notify_n; i++) {
		if (m->notify[i].type < N_STATUS_MIN)
			return &m->notify[i];
	}
	return NULL;
}

unsigned
msg_count(const struct msg *m, uint8_t type)
{
	return pld_is_known(type) ? m->count[type - PLD_SA] : 0;
}

#define NEXT_AT		16	/* offsets in the IKE header */
#define LEN_AT		24

void
msg_start(struct msg_wr *mw, void *buf, size_t cap, const struct ike_hdr *h)
{
	*mw = (struct msg_wr){ .w = wr_init(buf, cap < MSG_LEN_MAX ? cap : MSG_LEN_MAX) };
	mw->next_at = NEXT_AT;
	wr_u64(&mw->w, h->spi_i);
	wr_u64(&mw->w, h->spi_r);
	wr_u8(&mw->w, PLD_NONE);
	wr_u8(&mw->w, IKE_VERSION);
	wr_u8(&mw->w, h->exchange);
	wr_u8(&mw->w, h->flags);
	wr_u32(&mw->w, h->id);
	wr_u32(&mw->w, 0);
}

/* Fill in the length of the open payload. */
static void
payload_close(struct msg_wr *mw)
{
	if (mw->pld_at != 0)
		wr_put_u16(&mw->w, mw->pld_at + 2, (uint16_t)(wr_len(&mw->w) - mw->pld_at));
	mw->pld_at = 0;
}

struct wr *
msg_add(struct msg_wr *mw, uint8_t type)
{
	payload_close(mw);
	wr_put_u8(&mw->w, mw->next_at, type);
	mw->next_at = mw->pld_at = wr_len(&mw->w);
	wr_u8(&mw->w, PLD_NONE);
	wr_u8(&mw->w, 0);
	wr_u16(&mw->w, 0);
	return &mw->w;
}

void
msg_start_sk(struct msg_wr *mw, const struct msg_cipher *c)
{
	const struct aead_info *info = aead_info(c->key->id);

	(void)msg_add(mw, PLD_SK);
	mw->sk_at = mw->pld_at;
	mw->pld_at = 0;			/* its length is known when it is sealed */
	wr_zero(&mw->w, info != NULL ? info->iv_len : SIZE_MAX);
}

void
msg_add_notify(struct msg_wr *mw, uint16_t type, const void *data, size_t len)
{
	struct pld_notify n = { .type = type, .data = { .p = data, .len = len } };

	pld_notify_write(msg_add(mw, PLD_N), &n);
}

void
msg_add_bytes(struct msg_wr *mw, uint8_t type, struct slice body)
{
	wr_bytes(msg_add(mw, type), body.p, body.len);
}

size_t
msg_end(struct msg_wr *mw)
{
	payload_close(mw);
	wr_put_u32(&mw->w, LEN_AT, (uint32_t)wr_len(&mw->w));
	return wr_ok(&mw->w) && mw->sk_at == 0 ? wr_len(&mw->w) : 0;
}

bool
msg_iv(const struct aead_key *k, uint64_t *counter, const struct rng *rng, uint8_t iv[AEAD_IV_MAX])
{
	const struct aead_info *info = aead_info(k->id);
	struct wr w = wr_init(iv, AEAD_IV_MAX);

	memset(iv, 0, AEAD_IV_MAX);
	if (info == NULL)
		return false;
	if (info->cbc) {
		rng_fill(rng, iv, info->iv_len);
		return true;
	}
	if (*counter == UINT64_MAX)
		return false;
	wr_u64(&w, (*counter)++);
	return true;
}

size_t
msg_seal(struct msg_wr *mw, const struct msg_cipher *c, const uint8_t iv[AEAD_IV_MAX])
{
	const struct aead_info *info = aead_info(c->key->id);
	struct aead_op op = { 0 };
	size_t text_at, pad;

	if (info == NULL || mw->sk_at == 0)
		return 0;
	payload_close(mw);
	text_at = mw->sk_at + PLD_HDR_LEN + info->iv_len;
	/* A stream cipher needs no padding here: blocks of 4 are ESP's alignment, not IKE's. */
	pad = info->cbc ? (info->block - (wr_len(&mw->w) - text_at + 1) % info->block) %
	    info->block : 0;
	wr_zero(&mw->w, pad);
	wr_u8(&mw->w, (uint8_t)pad);
	op.len = wr_len(&mw->w) - text_at;
	op.icv = wr_room(&mw->w, info->icv_len);
	wr_put_u16(&mw->w, mw->sk_at + 2, (uint16_t)(wr_len(&mw->w) - mw->sk_at));
	wr_put_u32(&mw->w, LEN_AT, (uint32_t)wr_len(&mw->w));
	if (!wr_ok(&mw->w))
		return 0;
	memcpy(mw->w.base + mw->sk_at + PLD_HDR_LEN, iv, info->iv_len);
	op.aad = mw->w.base;
	op.aad_len = mw->sk_at + PLD_HDR_LEN;
	op.iv = mw->w.base + op.aad_len;
	op.src = op.dst = mw->w.base + text_at;
	return aead_seal(c->key, c->scratch, &op) ? wr_len(&mw->w) : 0;
}
