/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "esp/esp.h"
#include "esp/mtu.h"

enum {
	PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_ICMP6 = 58,
	UDP_HEAD = 8, ESP_HEAD = 8, ESP_TRAILER = 2,
	TCP_HEAD = 20, TCP_FLAGS_AT = 12, TCP_CSUM_AT = 16, TCP_SYN = 2,
	TCP_OPT_END = 0, TCP_OPT_NOP = 1, TCP_OPT_MSS = 2,
	MSS_MIN = 64,			/* below this a clamp would do more harm than good */
	V4_CSUM_AT = 10,
	V4_ERROR_MAX = 576,		/* an ICMPv4 error in all, RFC 1812 4.3.2.3 */
	TTL = 64,
	V4_UNREACHABLE = 3, V4_NEEDS_FRAG = 4, V6_TOO_BIG = 2,
};

unsigned
esp_inside_mtu(enum aead_id aead, unsigned outer_mtu, uint8_t outer_family)
{
	const struct aead_info *info = aead_info(aead);
	unsigned head = outer_family == AF_INET ? INNER_V4_HEAD : INNER_V6_HEAD, text;

	if (info == NULL || (outer_family != AF_INET && outer_family != AF_INET6))
		return 0;
	head += UDP_HEAD + ESP_HEAD + info->iv_len + info->icv_len;
	if (outer_mtu <= head)
		return 0;
	text = (outer_mtu - head) / info->block * info->block;
	return text > ESP_TRAILER ? text - ESP_TRAILER : 0;
}

/* Where the MSS value of a SYN is, from the packet's first byte; 0: there is none. */
static size_t
find_mss(const struct pkt *p, const struct inner *in)
{
	struct rd r = rd_init(pkt_data(p), p->len), opts;
	size_t at = (size_t)in->head + TCP_HEAD;
	uint16_t flags;
	uint8_t kind, len;

	rd_skip(&r, (size_t)in->head + TCP_FLAGS_AT);
	flags = rd_u16(&r);
	rd_skip(&r, TCP_HEAD - TCP_FLAGS_AT - 2);
	if (!rd_ok(&r) || (flags & TCP_SYN) == 0 || flags >> 12 < TCP_HEAD / 4)
		return 0;
	opts = rd_sub(&r, (flags >> 12) * 4u - TCP_HEAD);
	while (rd_left(&opts) > 0) {
		kind = rd_u8(&opts);
		if (kind == TCP_OPT_END)
			return 0;
		if (kind == TCP_OPT_NOP) {
			at++;
			continue;
		}
		len = rd_u8(&opts);
		if (!rd_ok(&opts) || len < 2 || rd_left(&opts) < len - 2u)
			return 0;
		if (kind == TCP_OPT_MSS)
			return len == 4 ? at + 2 : 0;
		rd_skip(&opts, len - 2u);
		at += len;
	}
	return 0;
}

static uint16_t
swap(uint16_t v)
{
	return (uint16_t)(v << 8 | v >> 8);
}

void
mtu_clamp(struct pkt *p, const struct inner *in, unsigned mtu)
{
	unsigned ip = in->src.family == AF_INET ? INNER_V4_HEAD : INNER_V6_HEAD;
	size_t at, csum_at = (size_t)in->head + TCP_CSUM_AT;
	uint16_t was, is, csum;

	if (in->proto != PROTO_TCP || in->frag || mtu < ip + TCP_HEAD + MSS_MIN)
		return;
	if (mtu - ip - TCP_HEAD > UINT16_MAX)
		return;
	is = (uint16_t)(mtu - ip - TCP_HEAD);
	at = find_mss(p, in);
	if (at == 0 || (was = inner_get_u16(p, at)) <= is)
		return;
	inner_put_u16(p, at, is);
	/* Options have no alignment: at an odd place the value adds to the sum byte-swapped. */
	if ((at - in->head) % 2 != 0) {
		was = swap(was);
		is = swap(is);
	}
	csum = inner_sum_replace(inner_get_u16(p, csum_at), was, is);
	inner_put_u16(p, csum_at, csum);
}

bool
mtu_exceeds(const struct inner *in, unsigned mtu)
{
	if (mtu == 0 || in->len <= mtu)
		return false;
	return in->src.family == AF_INET || in->len > MTU_V6_MIN;
}

/* An ICMP message that must not be answered by an error. */
static bool
is_icmp_error(const struct pkt *p, const struct inner *in)
{
	uint8_t type = (uint8_t)(in->sport >> 8);

	if (!inner_is_icmp(in))
		return false;
	if (!in->has_port) {			/* a first fragment: look */
		if (p->len < in->head + 1u)
			return true;
		type = (uint8_t)(inner_get_u16(p, in->head) >> 8);
	}
	if (in->src.family == AF_INET6)
		return type < 128;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static void
write_v4_error(struct wr *w, const struct pkt *p, const struct inner *in, unsigned mtu,
    const struct ip *from)
{
	size_t quote = p->len, icmp;

	if (quote > V4_ERROR_MAX - INNER_V4_HEAD - INNER_ICMP_HEAD)
		quote = V4_ERROR_MAX - INNER_V4_HEAD - INNER_ICMP_HEAD;
	icmp = INNER_ICMP_HEAD + quote;
	wr_u16(w, 0x45c0);			/* precedence 6, RFC 1812 4.3.2.5 */
	wr_u16(w, (uint16_t)(INNER_V4_HEAD + icmp));
	wr_u16(w, 0);
	wr_u16(w, IP4_DF);
	wr_u8(w, TTL);
	wr_u8(w, PROTO_ICMP);
	wr_u16(w, 0);
	wr_bytes(w, from->b, 4);
	wr_bytes(w, in->src.b, 4);
	wr_u8(w, V4_UNREACHABLE);
	wr_u8(w, V4_NEEDS_FRAG);
	wr_u16(w, 0);
	wr_u16(w, 0);
	wr_u16(w, (uint16_t)mtu);
	wr_bytes(w, pkt_data(p), quote);
	if (!wr_ok(w))
		return;
	wr_put_u16(w, V4_CSUM_AT, inner_sum_end(inner_sum(w->base, INNER_V4_HEAD, 0)));
	wr_put_u16(w, INNER_V4_HEAD + 2,
	    inner_sum_end(inner_sum(w->base + INNER_V4_HEAD, icmp, 0)));
}

static void
write_v6_error(struct wr *w, const struct pkt *p, const struct inner *in, unsigned mtu,
    const struct ip *from)
{
	size_t quote = p->len, icmp;

	if (quote > MTU_V6_MIN - INNER_V6_HEAD - INNER_ICMP_HEAD)
		quote = MTU_V6_MIN - INNER_V6_HEAD - INNER_ICMP_HEAD;
	icmp = INNER_ICMP_HEAD + quote;
	wr_u32(w, UINT32_C(6) << 28);
	wr_u16(w, (uint16_t)icmp);
	wr_u8(w, PROTO_ICMP6);
	wr_u8(w, TTL);
	wr_bytes(w, from->b, 16);
	wr_bytes(w, in->src.b, 16);
	wr_u8(w, V6_TOO_BIG);
	wr_u8(w, 0);
	wr_u16(w, 0);
	wr_u32(w, mtu < MTU_V6_MIN ? MTU_V6_MIN : mtu);
	wr_bytes(w, pkt_data(p), quote);
	if (!wr_ok(w))
		return;
	wr_put_u16(w, INNER_V6_HEAD + 2, inner_sum_end(inner_sum(w->base + INNER_V6_HEAD, icmp,
	    inner_sum_pseudo(from, &in->src, PROTO_ICMP6, icmp))));
}

bool
mtu_too_big(const struct pkt *p, const struct inner *in, unsigned mtu, const struct ip *from,
    struct pkt *answer)
{
	bool v4 = in->src.family == AF_INET;
	struct wr w;

	if (in->later || is_icmp_error(p, in) || !inner_is_host(&in->src) ||
	    (v4 && !inner_is_host(&in->dst)))
		return false;
	answer->len = 0;
	w = wr_init(pkt_data(answer), pkt_room(answer));
	if (v4)
		write_v4_error(&w, p, in, mtu, from);
	else
		write_v6_error(&w, p, in, mtu, from);
	answer->len = (uint32_t)wr_len(&w);
	return wr_ok(&w);
}

bool
mtu_can_cut(const struct inner *in, unsigned mtu)
{
	return in->src.family == AF_INET && in->head == INNER_V4_HEAD &&
	    mtu >= INNER_V4_HEAD + 8;
}

unsigned
mtu_parts(const struct inner *in, unsigned mtu)
{
	unsigned left = in->len - INNER_V4_HEAD, step = (mtu - INNER_V4_HEAD) & ~7u, n = 1;

	for (; left > mtu - INNER_V4_HEAD; left -= step)
		n++;
	return n;
}

size_t
mtu_cut(const struct pkt *p, const struct inner *in, size_t at, uint16_t id, struct pkt *part,
    unsigned mtu)
{
	size_t left = in->len - INNER_V4_HEAD - at, take = (mtu - INNER_V4_HEAD) & ~7u;
	uint16_t word = (uint16_t)((in->frag_word & (IP4_OFFSET | IP4_MF)) + at / 8);
	bool last = left <= mtu - INNER_V4_HEAD;
	struct wr w;

	if (last)
		take = left;
	else
		word |= IP4_MF;
	part->len = 0;
	w = wr_init(pkt_data(part), pkt_room(part));
	wr_bytes(&w, pkt_data(p), INNER_V4_HEAD);
	wr_bytes(&w, pkt_data(p) + INNER_V4_HEAD + at, take);
	wr_put_u16(&w, 2, (uint16_t)(INNER_V4_HEAD + take));
	wr_put_u16(&w, 4, id);
	wr_put_u16(&w, 6, word);
	wr_put_u16(&w, V4_CSUM_AT, 0);
	wr_put_u16(&w, V4_CSUM_AT, inner_sum_end(inner_sum(w.base, INNER_V4_HEAD, 0)));
	part->len = (uint32_t)wr_len(&w);
	return last ? 0 : at + take;
}
