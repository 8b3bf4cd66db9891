/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "esp/probe.h"

enum {
	ECHO4_REQUEST = 8, ECHO4_REPLY = 0, ECHO6_REQUEST = 128, ECHO6_REPLY = 129,
	PROTO_ICMP = 1, PROTO_ICMP6 = 58,
	PROBE_TTL = 64,
	PROBE_PAYLOAD = 16,			/* token and its hash */
	V4_CSUM_AT = 10, ICMP_CSUM_AT = 2,
};

_Static_assert(crypto_shorthash_KEYBYTES == PROBE_KEY, "SipHash key");
_Static_assert(crypto_shorthash_BYTES == 8, "SipHash output");

static uint64_t
keyed(const struct probe *pr, const char *what, uint64_t token)
{
	uint8_t text[16] = { 0 }, hash[crypto_shorthash_BYTES];
	struct wr w = wr_init(text, sizeof(text));
	struct rd r = rd_init(hash, sizeof(hash));

	wr_bytes(&w, what, 4);
	wr_u64(&w, token);
	crypto_shorthash(hash, text, sizeof(text), pr->key);
	return rd_u64(&r);
}

void
probe_init(struct probe *pr, const uint8_t key[PROBE_KEY])
{
	memcpy(pr->key, key, PROBE_KEY);
	pr->ident = (uint16_t)keyed(pr, "id  ", 0);
}

static void
write_head(struct wr *w, const struct esp_probe *ask, size_t icmp_len)
{
	bool v4 = ask->from.family == AF_INET;

	if (v4) {
		wr_u16(w, 0x4500);
		wr_u16(w, (uint16_t)(INNER_V4_HEAD + icmp_len));
		wr_u16(w, 0);		/* identification: none is needed with DF, RFC 6864 */
		wr_u16(w, IP4_DF);
		wr_u8(w, PROBE_TTL);
		wr_u8(w, PROTO_ICMP);
		wr_u16(w, 0);
	} else {
		wr_u32(w, UINT32_C(6) << 28);
		wr_u16(w, (uint16_t)icmp_len);
		wr_u8(w, PROTO_ICMP6);
		wr_u8(w, PROBE_TTL);
	}
	wr_bytes(w, ask->from.b, ip_len(ask->from.family));
	wr_bytes(w, ask->to.b, ip_len(ask->to.family));
}

bool
probe_write(const struct probe *pr, const struct esp_probe *ask, struct pkt *p)
{
	bool v4 = ask->from.family == AF_INET;
	size_t head = v4 ? INNER_V4_HEAD : INNER_V6_HEAD, icmp = INNER_ICMP_HEAD + PROBE_PAYLOAD;
	struct wr w;
	uint32_t sum = 0;

	if (ask->from.family != ask->to.family || ip_len(ask->from.family) == 0)
		return false;
	if (ask->pad_to > head + icmp)
		icmp = ask->pad_to - head;
	p->len = 0;
	w = wr_init(pkt_data(p), pkt_room(p));
	write_head(&w, ask, icmp);
	wr_u8(&w, v4 ? ECHO4_REQUEST : ECHO6_REQUEST);
	wr_u8(&w, 0);
	wr_u16(&w, 0);
	wr_u16(&w, pr->ident);
	wr_u16(&w, (uint16_t)ask->token);
	wr_u64(&w, ask->token);
	wr_u64(&w, keyed(pr, "echo", ask->token));
	wr_zero(&w, icmp - INNER_ICMP_HEAD - PROBE_PAYLOAD);
	if (!wr_ok(&w))
		return false;
	if (v4)
		wr_put_u16(&w, V4_CSUM_AT, inner_sum_end(inner_sum(w.base, head, 0)));
	else
		sum = inner_sum_pseudo(&ask->from, &ask->to, PROTO_ICMP6, icmp);
	wr_put_u16(&w, head + ICMP_CSUM_AT, inner_sum_end(inner_sum(w.base + head, icmp, sum)));
	p->len = (uint32_t)wr_len(&w);
	return true;
}

bool
probe_match(const struct probe *pr, const struct pkt *p, const struct inner *in, uint64_t *token)
{
	struct rd r = rd_init(pkt_data(p), p->len);
	uint16_t reply = in->src.family == AF_INET ? ECHO4_REPLY : ECHO6_REPLY;

	if (!in->has_port || !inner_is_icmp(in) || in->sport != reply << 8)
		return false;
	rd_skip(&r, in->head + 4u);		/* type, code, checksum */
	if (rd_u16(&r) != pr->ident)
		return false;
	rd_skip(&r, 2);				/* sequence: part of the token */
	*token = rd_u64(&r);
	return rd_u64(&r) == keyed(pr, "echo", *token) && rd_ok(&r);
}

bool
probe_is_request(const struct pkt *p, const struct inner *in)
{
	bool v4 = in->src.family == AF_INET;
	uint16_t request = v4 ? ECHO4_REQUEST : ECHO6_REQUEST;

	return in->has_port && inner_is_icmp(in) && in->sport == request << 8 &&
	    in->head == (v4 ? INNER_V4_HEAD : INNER_V6_HEAD) &&
	    p->len >= in->head + (uint32_t)INNER_ICMP_HEAD;
}

void
probe_answer(struct pkt *p, struct inner *in)
{
	bool v4 = in->src.family == AF_INET;
	size_t at = v4 ? 12 : 8, n = ip_len(in->src.family), ttl_at = v4 ? 8 : 6;
	uint16_t was = inner_get_u16(p, in->head), is = v4 ? ECHO4_REPLY << 8 : ECHO6_REPLY << 8;
	uint16_t ttl_was = inner_get_u16(p, ttl_at), ttl_is;
	struct wr w = wr_init(pkt_data(p) + at, 2 * n);
	struct ip ip = in->src;

	/* Swapping the addresses changes neither checksum: a sum has no order. */
	in->src = in->dst;
	in->dst = ip;
	wr_bytes(&w, in->src.b, n);
	wr_bytes(&w, in->dst.b, n);
	inner_put_u16(p, in->head, is);
	inner_put_u16(p, in->head + ICMP_CSUM_AT,
	    inner_sum_replace(inner_get_u16(p, in->head + ICMP_CSUM_AT), was, is));
	in->sport = in->dport = is;
	/* A packet of our own begins its life anew. */
	ttl_is = v4 ? (uint16_t)(PROBE_TTL << 8 | (ttl_was & 0xff)) :
	    (uint16_t)((ttl_was & 0xff00) | PROBE_TTL);
	inner_put_u16(p, ttl_at, ttl_is);
	if (v4)
		inner_put_u16(p, V4_CSUM_AT,
		    inner_sum_replace(inner_get_u16(p, V4_CSUM_AT), ttl_was, ttl_is));
}
