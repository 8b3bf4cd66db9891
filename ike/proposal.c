/* SPDX-License-Identifier: MIT */
/*
 * SA payloads.  What we offer, what we answer and what we check is first a struct proposal in
 * wire numbers, made from a suite by the tables below; so writing, choosing and checking
 * compare the same things, and a number that is in no table cannot be chosen.
 */
#include "ike/proposal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ike/payload.h"

#define N_ELEM(a)	(sizeof(a) / sizeof((a)[0]))

/* IANA ids of what an aead_id stands for. */
static const struct {
	uint16_t encr, key_bits, integ;	/* key_bits 0: no KEY_LENGTH attribute (RFC 7634) */
} aeads[AEAD_N] = {
	[AEAD_AES_GCM_16_128] = { 20, 128, 0 },
	[AEAD_AES_GCM_16_256] = { 20, 256, 0 },
	[AEAD_CHACHA20_POLY1305] = { 28, 0, 0 },
	[AEAD_AES_CBC_128_HMAC_SHA2_256] = { 12, 128, 12 },
	[AEAD_AES_CBC_128_HMAC_SHA2_384] = { 12, 128, 13 },
	[AEAD_AES_CBC_128_HMAC_SHA2_512] = { 12, 128, 14 },
	[AEAD_AES_CBC_256_HMAC_SHA2_256] = { 12, 256, 12 },
	[AEAD_AES_CBC_256_HMAC_SHA2_384] = { 12, 256, 13 },
	[AEAD_AES_CBC_256_HMAC_SHA2_512] = { 12, 256, 14 },
};

static const uint16_t prf_wire[PRF_N] = {
	[PRF_HMAC_SHA2_256] = 5,
	[PRF_HMAC_SHA2_384] = 6,
	[PRF_HMAC_SHA2_512] = 7,
};

static const uint16_t ke_wire[KE_N] = {
	[KE_NONE] = 0,
	[KE_MODP_2048] = 14,
	[KE_MODP_3072] = 15,
	[KE_MODP_4096] = 16,
	[KE_ECP_256] = 19,
	[KE_ECP_384] = 20,
	[KE_ECP_521] = 21,
	[KE_CURVE25519] = 31,
};

/*
 * Names for the log, of what peers are known to offer: the words of the configuration, also those
 * that it refuses as weak; in capitals, IANA's names of what it has no word for.
 */
static const struct {
	uint8_t type;
	uint16_t id;
	uint16_t key_bits;		/* 0: any; else the name says it */
	const char *name;
} names[] = {
	{ 1, 20, 256, "aes256gcm16" }, { 1, 20, 128, "aes128gcm16" },
	{ 1, 28, 0, "chacha20poly1305" }, { 1, 12, 256, "aes256" }, { 1, 12, 128, "aes128" },
	{ 1, 2, 0, "des" }, { 1, 3, 0, "3des" }, { 1, 11, 0, "null" }, { 1, 12, 0, "AES_CBC" },
	{ 1, 13, 0, "AES_CTR" }, { 1, 14, 0, "AES_CCM_8" }, { 1, 15, 0, "AES_CCM_12" },
	{ 1, 16, 0, "AES_CCM_16" }, { 1, 18, 0, "AES_GCM_8" }, { 1, 19, 0, "AES_GCM_12" },
	{ 1, 20, 0, "AES_GCM_16" }, { 1, 21, 0, "NULL_AES_GMAC" }, { 1, 23, 0, "CAMELLIA_CBC" },
	{ 2, 1, 0, "prfmd5" }, { 2, 2, 0, "prfsha1" }, { 2, 4, 0, "PRF_AES128_XCBC" },
	{ 2, 5, 0, "prfsha256" }, { 2, 6, 0, "prfsha384" },
	{ 2, 7, 0, "prfsha512" }, { 2, 8, 0, "PRF_AES128_CMAC" },
	{ 3, 0, 0, "NONE" }, { 3, 1, 0, "md5" }, { 3, 2, 0, "sha1" },
	{ 3, 5, 0, "AES_XCBC_96" }, { 3, 8, 0, "AES_CMAC_96" }, { 3, 12, 0, "sha256" },
	{ 3, 13, 0, "sha384" }, { 3, 14, 0, "sha512" },
	{ 4, 0, 0, "NONE" }, { 4, 1, 0, "modp768" }, { 4, 2, 0, "modp1024" },
	{ 4, 5, 0, "modp1536" }, { 4, 14, 0, "modp2048" }, { 4, 15, 0, "modp3072" },
	{ 4, 16, 0, "modp4096" }, { 4, 17, 0, "MODP_6144" }, { 4, 18, 0, "MODP_8192" },
	{ 4, 19, 0, "ecp256" }, { 4, 20, 0, "ecp384" }, { 4, 21, 0, "ecp521" },
	{ 4, 22, 0, "modp1024s160" }, { 4, 23, 0, "modp2048s224" }, { 4, 24, 0, "modp2048s256" },
	{ 4, 28, 0, "ECP_256_BP" }, { 4, 29, 0, "ECP_384_BP" }, { 4, 30, 0, "ECP_512_BP" },
	{ 4, 31, 0, "curve25519" }, { 4, 32, 0, "CURVE_448" },
	{ 4, 35, 0, "ML_KEM_512" }, { 4, 36, 0, "ML_KEM_768" }, { 4, 37, 0, "ML_KEM_1024" },
	{ 5, 0, 0, "noesn" }, { 5, 1, 0, "esn" },
};

uint16_t
ke_group_wire(enum ke_group g)
{
	return (unsigned)g < KE_N ? ke_wire[g] : 0;
}

enum ke_group
ke_group_from_wire(uint16_t id)
{
	for (unsigned g = KE_NONE; g < KE_N; g++) {
		if (ke_wire[g] == id)
			return g;
	}
	return KE_N;
}

#define ATTR_KEY_LENGTH	14
#define ATTR_AF		0x8000		/* a 2-byte value follows, else a length and a value */

static bool
transform_parse(struct rd *r, bool last, struct transform *t)
{
	uint8_t more = rd_u8(r);
	uint16_t len;
	struct rd body;

	rd_skip(r, 1);			/* RESERVED */
	len = rd_u16(r);
	if (!rd_ok(r) || len < 8 || more != (last ? 0 : 3))
		return false;
	body = rd_sub(r, len - 4);
	memset(t, 0, sizeof(*t));
	t->type = rd_u8(&body);
	rd_skip(&body, 1);		/* RESERVED */
	t->id = rd_u16(&body);
	while (rd_left(&body) > 0) {
		uint16_t attr = rd_u16(&body), value = rd_u16(&body);

		if ((attr & ATTR_AF) == 0)
			rd_skip(&body, value);
		if (attr == (ATTR_AF | ATTR_KEY_LENGTH) && t->key_bits == 0 && value > 0)
			t->key_bits = value;
		else
			t->odd = true;
	}
	return rd_done(&body);
}

/* One proposal; *more: it says that another follows. */
static bool
proposal_parse(struct rd *r, struct proposal *p, bool *more)
{
	uint8_t mark = rd_u8(r);
	uint16_t len;
	struct rd body;

	rd_skip(r, 1);			/* RESERVED */
	len = rd_u16(r);
	*more = mark == 2;
	if (!rd_ok(r) || len < 8 || (mark != 0 && mark != 2))
		return false;
	body = rd_sub(r, len - 4);
	memset(p, 0, sizeof(*p));
	p->num = rd_u8(&body);
	p->proto = rd_u8(&body);
	p->spi_len = rd_u8(&body);
	p->n = rd_u8(&body);
	if (p->spi_len == 4)
		p->spi = rd_u32(&body);
	else if (p->spi_len == 8)
		p->spi = rd_u64(&body);
	else
		rd_skip(&body, p->spi_len);
	if (!rd_ok(&body) || p->n > SA_TRANSFORMS_MAX)
		return false;
	for (unsigned i = 0; i < p->n; i++) {
		if (!transform_parse(&body, i + 1 == p->n, &p->t[i]))
			return false;
	}
	return rd_done(&body);
}

bool
sa_parse(struct rd body, struct sa *sa)
{
	bool more = true;

	for (sa->n = 0; more && sa->n < SA_PROPOSALS_MAX; sa->n++) {
		if (!proposal_parse(&body, &sa->p[sa->n], &more))
			return false;
	}
	return !more && rd_done(&body);
}

static void
proposal_write(struct wr *w, const struct proposal *p, bool last)
{
	size_t at = wr_len(w);

	wr_u8(w, last ? 0 : 2);
	wr_u8(w, 0);
	wr_u16(w, 0);			/* length, below */
	wr_u8(w, p->num);
	wr_u8(w, p->proto);
	wr_u8(w, p->spi_len);
	wr_u8(w, (uint8_t)p->n);
	if (p->spi_len == 4)
		wr_u32(w, (uint32_t)p->spi);
	else if (p->spi_len == 8)
		wr_u64(w, p->spi);
	for (unsigned i = 0; i < p->n; i++) {
		const struct transform *t = &p->t[i];

		wr_u8(w, i + 1 == p->n ? 0 : 3);
		wr_u8(w, 0);
		wr_u16(w, t->key_bits != 0 ? 12 : 8);
		wr_u8(w, t->type);
		wr_u8(w, 0);
		wr_u16(w, t->id);
		if (t->key_bits != 0) {
			wr_u16(w, ATTR_AF | ATTR_KEY_LENGTH);
			wr_u16(w, t->key_bits);
		}
	}
	wr_put_u16(w, at + 2, (uint16_t)(wr_len(w) - at));
}

static void
transform_add(struct proposal *p, uint8_t type, uint16_t id, uint16_t key_bits)
{
	p->t[p->n++] = (struct transform){ .type = type, .id = id, .key_bits = key_bits };
}

static struct proposal
from_ike(const struct ike_suite *s, uint8_t num, uint64_t spi)
{
	struct proposal p = { .num = num, .proto = PROTO_IKE, .spi = spi };

	p.spi_len = spi != 0 ? 8 : 0;
	transform_add(&p, TRANSFORM_ENCR, aeads[s->enc].encr, aeads[s->enc].key_bits);
	if (aeads[s->enc].integ != 0)	/* an AEAD has none, RFC 5282 section 8 */
		transform_add(&p, TRANSFORM_INTEG, aeads[s->enc].integ, 0);
	transform_add(&p, TRANSFORM_PRF, prf_wire[s->prf], 0);
	transform_add(&p, TRANSFORM_KE, ke_wire[s->group], 0);
	return p;
}

/* `both`: offer ESN and, after it, no ESN. */
static struct proposal
from_esp(const struct esp_suite *s, uint8_t num, uint32_t spi, bool both)
{
	struct proposal p = { .num = num, .proto = PROTO_ESP, .spi_len = 4, .spi = spi };

	transform_add(&p, TRANSFORM_ENCR, aeads[s->enc].encr, aeads[s->enc].key_bits);
	if (aeads[s->enc].integ != 0)
		transform_add(&p, TRANSFORM_INTEG, aeads[s->enc].integ, 0);
	if (s->group != KE_NONE)
		transform_add(&p, TRANSFORM_KE, ke_wire[s->group], 0);
	if (s->esn)
		transform_add(&p, TRANSFORM_ESN, 1, 0);
	if (!s->esn || both)
		transform_add(&p, TRANSFORM_ESN, 0, 0);
	return p;
}

void
sa_write_ike(struct wr *w, const struct ike_suite *s, unsigned n, uint64_t spi)
{
	for (unsigned i = 0; i < n; i++) {
		struct proposal p = from_ike(&s[i], (uint8_t)(i + 1), spi);

		proposal_write(w, &p, i + 1 == n);
	}
}

void
sa_write_esp(struct wr *w, const struct esp_suite *s, unsigned n, uint32_t spi, bool groups)
{
	for (unsigned i = 0; i < n; i++) {
		struct esp_suite one = s[i];
		struct proposal p;

		if (!groups)
			one.group = KE_NONE;
		p = from_esp(&one, (uint8_t)(i + 1), spi, true);
		proposal_write(w, &p, i + 1 == n);
	}
}

void
sa_write_ike_choice(struct wr *w, const struct ike_choice *c, uint64_t spi)
{
	struct proposal p = from_ike(&c->suite, c->num, spi);

	proposal_write(w, &p, true);
}

void
sa_write_esp_choice(struct wr *w, const struct esp_choice *c, uint32_t spi)
{
	struct proposal p = from_esp(&c->suite, c->num, spi, false);

	proposal_write(w, &p, true);
}

static unsigned
count(const struct proposal *p, uint8_t type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->n; i++)
		n += p->t[i].type == type;
	return n;
}

static bool
has(const struct proposal *p, uint8_t type, uint16_t id, uint16_t key_bits)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct transform *t = &p->t[i];

		if (t->type == type && t->id == id && t->key_bits == key_bits && !t->odd)
			return true;
	}
	return false;
}

/* NONE of an optional type: said, or left out (3.3.3). */
static bool
has_none(const struct proposal *p, uint8_t type)
{
	return count(p, type) == 0 || has(p, type, 0, 0);
}

/* A type that is none of the first `last` ones, or `but`, makes a proposal unacceptable
 * (3.3.6): the peer wants something that we would not do. */
static bool
types_known(const struct proposal *p, uint8_t last, uint8_t but)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (p->t[i].type == 0 || p->t[i].type > last || p->t[i].type == but)
			return false;
	}
	return true;
}

static bool
has_aead(const struct proposal *p, enum aead_id id)
{
	if (!has(p, TRANSFORM_ENCR, aeads[id].encr, aeads[id].key_bits))
		return false;
	return aeads[id].integ != 0 ? has(p, TRANSFORM_INTEG, aeads[id].integ, 0) :
	    has_none(p, TRANSFORM_INTEG);
}

/* Proposal `p` contains suite `s` whole. */
static bool
fits_ike(const struct proposal *p, const struct ike_suite *s, struct ike_choice *c)
{
	if (p->proto != PROTO_IKE || (p->spi_len != 0 && p->spi_len != 8) ||
	    !types_known(p, TRANSFORM_KE, 0) || !has_aead(p, s->enc) ||
	    !has(p, TRANSFORM_PRF, prf_wire[s->prf], 0) ||
	    !has(p, TRANSFORM_KE, ke_wire[s->group], 0))
		return false;
	*c = (struct ike_choice){ .num = p->num, .spi = p->spi, .suite = *s };
	return true;
}

#define ESP_SPI_MIN	256		/* below are reserved, RFC 4303 section 2.1 */

static bool
fits_esp(const struct proposal *p, const struct esp_suite *s, struct esp_choice *c)
{
	if (p->proto != PROTO_ESP || p->spi_len != 4 || p->spi < ESP_SPI_MIN ||
	    !types_known(p, TRANSFORM_ESN, TRANSFORM_PRF) || !has_aead(p, s->enc))
		return false;
	*c = (struct esp_choice){ .num = p->num, .spi = (uint32_t)p->spi, .suite = *s };
	c->suite.esn = s->esn && has(p, TRANSFORM_ESN, 1, 0);
	return c->suite.esn || has(p, TRANSFORM_ESN, 0, 0);
}

static bool
fits_group(const struct proposal *p, enum ke_group g)
{
	return g != KE_NONE ? has(p, TRANSFORM_KE, ke_wire[g], 0) : has_none(p, TRANSFORM_KE);
}

bool
sa_choose_ike(const struct sa *sa, const struct ike_suite *ours, unsigned n, struct ike_choice *c)
{
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = 0; j < sa->n; j++) {
			if (fits_ike(&sa->p[j], &ours[i], c))
				return true;
		}
	}
	return false;
}

bool
sa_choose_esp(const struct sa *sa, const struct esp_suite *ours, unsigned n, bool groups,
    struct esp_choice *c)
{
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = 0; j < sa->n; j++) {
			if ((groups && !fits_group(&sa->p[j], ours[i].group)) ||
			    !fits_esp(&sa->p[j], &ours[i], c))
				continue;
			if (!groups)
				c->suite.group = KE_NONE;
			return true;
		}
	}
	return false;
}

/* An answer: one proposal, at most one transform a type, under a number of ours. */
static bool
is_answer(const struct sa *sa, unsigned n)
{
	const struct proposal *p = &sa->p[0];

	if (sa->n != 1 || p->num == 0 || p->num > n)
		return false;
	for (unsigned i = 0; i < p->n; i++) {
		if (count(p, p->t[i].type) != 1)
			return false;
	}
	return true;
}

bool
sa_check_ike(const struct sa *sa, const struct ike_suite *ours, unsigned n, struct ike_choice *c)
{
	return is_answer(sa, n) && fits_ike(&sa->p[0], &ours[sa->p[0].num - 1], c);
}

bool
sa_check_esp(const struct sa *sa, const struct esp_suite *ours, unsigned n, bool groups,
    struct esp_choice *c)
{
	struct esp_suite offered;

	if (!is_answer(sa, n))
		return false;
	offered = ours[sa->p[0].num - 1];
	if (!groups)
		offered.group = KE_NONE;
	return fits_group(&sa->p[0], offered.group) && fits_esp(&sa->p[0], &offered, c);
}

/* Text that ends in "..." where it would not fit. */
struct text {
	char *buf;
	size_t at, cap;
	bool full;
};

static void __attribute__((format(printf, 2, 3)))
text_add(struct text *t, const char *fmt, ...)
{
	char piece[64];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	(void)vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	len = strlen(piece);
	if (t->full || t->at + len + sizeof("...") > t->cap) {
		if (!t->full)
			(void)snprintf(t->buf + t->at, t->cap - t->at, "...");
		t->full = true;
		return;
	}
	memcpy(t->buf + t->at, piece, len + 1);
	t->at += len;
}

static void
transform_text(struct text *t, const struct transform *tr)
{
	static const char *const kinds[] = { "TYPE", "ENCR", "PRF", "INTEG", "KE", "ESN" };

	for (size_t i = 0; i < N_ELEM(names); i++) {
		if (names[i].type != tr->type || names[i].id != tr->id ||
		    (names[i].key_bits != 0 && names[i].key_bits != tr->key_bits))
			continue;
		text_add(t, "%s", names[i].name);
		if (names[i].key_bits == 0 && tr->key_bits != 0)
			text_add(t, "_%u", tr->key_bits);
		return;
	}
	if (tr->type < N_ELEM(kinds) && tr->type > 0)
		text_add(t, "%s_%u", kinds[tr->type], tr->id);
	else
		text_add(t, "TYPE%u_%u", tr->type, tr->id);
	if (tr->key_bits != 0)
		text_add(t, "_%u", tr->key_bits);
}

/* The transforms of one proposal whose type is from `low` to `high`, alternatives by '|'. */
static void
type_text(struct text *t, const struct proposal *p, uint8_t low, uint8_t high)
{
	const char *sep = t->at > 0 && strchr(" :", t->buf[t->at - 1]) == NULL ? "-" : "";

	for (unsigned i = 0; i < p->n; i++) {
		if (p->t[i].type < low || p->t[i].type > high)
			continue;
		text_add(t, "%s", sep);
		transform_text(t, &p->t[i]);
		sep = "|";
	}
}

/* As people write suites: one PRF over the hash of the one integrity algorithm goes unsaid. */
static bool
prf_implied(const struct proposal *p)
{
	if (count(p, TRANSFORM_PRF) != 1 || count(p, TRANSFORM_INTEG) != 1)
		return false;
	for (unsigned i = PRF_HMAC_SHA2_256; i < PRF_N; i++)
		if (has(p, TRANSFORM_PRF, prf_wire[i], 0))
			return has(p, TRANSFORM_INTEG, prf_wire[i] + 7u, 0);
	return false;
}

/* Likewise ESN with the choice to do without: what a suite without a word of it offers. */
static bool
esn_implied(const struct proposal *p)
{
	return count(p, TRANSFORM_ESN) == 2 && has(p, TRANSFORM_ESN, 0, 0) &&
	    has(p, TRANSFORM_ESN, 1, 0);
}

const char *
sa_str(const struct sa *sa, char *buf, size_t cap)
{
	static const char *const protos[] = { "PROTO?:", "", "AH:", "" };
	struct text t = { .buf = buf, .cap = cap };

	(void)snprintf(buf, cap, "%s", "");
	for (unsigned i = 0; i < sa->n && !t.full; i++) {
		const struct proposal *p = &sa->p[i];

		text_add(&t, "%s%s", i > 0 ? ", " : "",
		    p->proto < N_ELEM(protos) ? protos[p->proto] : protos[0]);
		type_text(&t, p, TRANSFORM_ENCR, TRANSFORM_ENCR);
		type_text(&t, p, TRANSFORM_INTEG, TRANSFORM_INTEG);
		if (!prf_implied(p))
			type_text(&t, p, TRANSFORM_PRF, TRANSFORM_PRF);
		type_text(&t, p, TRANSFORM_KE, TRANSFORM_KE);
		if (!esn_implied(p))
			type_text(&t, p, TRANSFORM_ESN, TRANSFORM_ESN);
		type_text(&t, p, TRANSFORM_ESN + 1, UINT8_MAX);
	}
	return buf;
}
