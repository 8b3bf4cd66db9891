/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/bytes.h"
#include "esp/inner.h"

enum {
	V6_HOP = 0, V6_ROUTING = 43, V6_FRAGMENT = 44, V6_AH = 51, V6_DEST = 60,
	PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_DCCP = 33, PROTO_ICMP6 = 58,
	PROTO_SCTP = 132, PROTO_MH = 135, PROTO_UDPLITE = 136,
	V6_EXT_MAX = 8,			/* extension headers we follow; more: no known protocol */
	V4_CSUM_AT = 10,		/* header checksum */
};

/* `len` is that of the family, as a constant: it is known here, and ip_len() is a call. */
static inline void
read_ip(struct rd *r, uint8_t family, size_t len, struct ip *ip)
{
	*ip = (struct ip){ .family = family };
	rd_copy(r, ip->b, len);
}

bool
inner_is_icmp(const struct inner *in)
{
	return in->proto == (in->src.family == AF_INET ? PROTO_ICMP : PROTO_ICMP6);
}

static inline uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

static inline uint64_t
mix_ip(uint64_t h, const struct ip *ip)
{
	uint64_t half[2];

	_Static_assert(sizeof(half) == sizeof(ip->b), "an address is two halves");
	memcpy(half, ip->b, sizeof(half));
	h = mix(h, half[0]);
	return ip->family == AF_INET ? h : mix(h, half[1]);
}

uint64_t
inner_flow(const struct inner *in)
{
	bool ports = in->has_port && !inner_is_icmp(in);
	uint64_t h = mix((uint64_t)in->src.family << 8 | in->proto,
	    ports ? (uint64_t)in->sport << 16 | in->dport : 0);

	return mix_ip(mix_ip(h, &in->src), &in->dst);
}

/*
 * Ports for the selectors (RFC 4301 4.4.1.1).  A fragment has none even where we could read
 * them: then all fragments of a packet are judged alike.  A header too short to hold them
 * has none either.  (A reader handed over would go through memory, stored in parts and loaded
 * as one, for which the processor waits; that is why it is bytes.)
 */
static void
read_ports(const uint8_t *data, size_t len, struct inner *in)
{
	struct rd r = rd_init(data, len);

	if (in->frag)
		return;
	switch (in->proto) {
	case PROTO_TCP:
	case PROTO_UDP:
	case PROTO_DCCP:
	case PROTO_SCTP:
	case PROTO_UDPLITE:
		in->sport = rd_u16(&r);
		in->dport = rd_u16(&r);
		in->has_port = rd_ok(&r);
		break;
	case PROTO_ICMP:
	case PROTO_ICMP6:
		if (!inner_is_icmp(in))
			break;
		in->sport = in->dport = rd_u16(&r);
		in->has_port = rd_ok(&r);
		break;
	case PROTO_MH:
		rd_skip(&r, 2);
		in->sport = in->dport = (uint16_t)(rd_u8(&r) << 8);
		in->has_port = rd_ok(&r);
		break;
	default:
		break;
	}
}

static inline bool
parse_v4(struct rd r, struct inner *in)
{
	size_t all = rd_left(&r), len;
	const uint8_t *head = rd_bytes(&r, INNER_V4_HEAD);
	struct rd h;
	uint8_t first;

	if (head == NULL)
		return false;
	h = rd_init(head, INNER_V4_HEAD);	/* all reads fit, as the compiler can see */
	first = rd_u8(&h);
	in->tos = rd_u8(&h);
	in->len = rd_u16(&h);
	rd_skip(&h, 2);				/* identification */
	in->frag_word = rd_u16(&h);
	rd_skip(&h, 1);				/* TTL */
	in->proto = rd_u8(&h);
	rd_skip(&h, 2);				/* checksum */
	read_ip(&h, AF_INET, 4, &in->src);
	read_ip(&h, AF_INET, 4, &in->dst);
	in->head = (uint16_t)((first & 15) * 4);
	if (in->head < INNER_V4_HEAD || in->len < in->head || in->len > all)
		return false;
	in->later = (in->frag_word & IP4_OFFSET) != 0;
	in->frag = in->later || (in->frag_word & IP4_MF) != 0;
	in->df = (in->frag_word & IP4_DF) != 0;
	rd_skip(&r, in->head - INNER_V4_HEAD);
	len = (size_t)in->len - in->head;
	read_ports(rd_bytes(&r, len), len, in);
	return true;
}

/* One extension header; false when it is none that we step over. */
static bool
step_v6(struct rd *r, struct inner *in)
{
	uint8_t was = in->proto;
	uint16_t word;
	size_t len;

	if (was != V6_HOP && was != V6_ROUTING && was != V6_FRAGMENT && was != V6_DEST &&
	    was != V6_AH)
		return false;
	in->proto = rd_u8(r);
	len = rd_u8(r);
	if (was == V6_FRAGMENT) {
		word = rd_u16(r);
		rd_skip(r, 4);			/* identification */
		in->later = (word & 0xfff8) != 0;
		/* an atomic fragment (RFC 6946) is a whole packet */
		in->frag = in->later || (word & 1) != 0;
		in->head = (uint16_t)(in->head + 8);
		return !in->later && rd_ok(r);
	}
	len = was == V6_AH ? (len + 2) * 4 : (len + 1) * 8;
	rd_skip(r, len - 2);
	in->head = (uint16_t)(in->head + len);
	return rd_ok(r);
}

static bool
parse_v6(struct rd r, struct inner *in)
{
	struct rd body;
	uint32_t word = rd_u32(&r);
	size_t left;
	int i;

	in->tos = (uint8_t)(word >> 20);
	in->len = rd_u16(&r);
	in->proto = rd_u8(&r);
	rd_skip(&r, 1);				/* hop limit */
	read_ip(&r, AF_INET6, 16, &in->src);
	read_ip(&r, AF_INET6, 16, &in->dst);
	body = rd_sub(&r, in->len);		/* a jumbogram has 0 here: nothing we carry */
	if (!rd_ok(&body))
		return false;
	in->len += INNER_V6_HEAD;
	in->head = INNER_V6_HEAD;
	in->df = true;
	for (i = 0; i < V6_EXT_MAX && step_v6(&body, in); i++)
		;
	if (!rd_ok(&body))
		return false;
	left = rd_left(&body);
	if (!in->later && i < V6_EXT_MAX)
		read_ports(rd_bytes(&body, left), left, in);
	return true;
}

bool
inner_parse(struct pkt *p, struct inner *in)
{
	struct rd r = rd_init(pkt_data(p), p->len), peek = r;
	bool ok;

	*in = (struct inner){ .proto = 0 };
	switch (rd_u8(&peek) >> 4) {
	case 4:
		ok = parse_v4(r, in);
		break;
	case 6:
		ok = parse_v6(r, in);
		break;
	default:
		return false;
	}
	if (ok)
		p->len = in->len;
	return ok;
}

bool
inner_is_host(const struct ip *ip)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (ip_is_any(ip))
		return false;
	if (ip->family == AF_INET)
		return ip->b[0] != 0 && ip->b[0] != 127 && ip->b[0] < 224;
	return ip->b[0] != 0xff && memcmp(ip->b, loopback6, sizeof(loopback6)) != 0;
}

bool
inner_is_link_multicast(const struct ip *ip)
{
	if (ip->family == AF_INET)
		return ip->b[0] == 224 && ip->b[1] == 0 && ip->b[2] == 0;
	return ip->b[0] == 0xff && ((ip->b[1] & 0x0f) == 1 || (ip->b[1] & 0x0f) == 2);
}

uint16_t
inner_get_u16(const struct pkt *p, size_t at)
{
	struct rd r = rd_init(pkt_data(p), p->len);

	rd_skip(&r, at);
	return rd_u16(&r);
}

void
inner_put_u16(struct pkt *p, size_t at, uint16_t v)
{
	struct wr w = wr_init(pkt_data(p), p->len);

	(void)wr_room(&w, p->len);
	wr_put_u16(&w, at, v);
}

bool
inner_finish_csum(struct pkt *p)
{
	size_t at = (size_t)p->csum_start + p->csum_offset;
	uint16_t csum;

	if (p->csum != PKT_CSUM_PARTIAL)
		return true;
	if (at + 2 > p->len)
		return false;
	csum = inner_sum_end(inner_sum(pkt_data(p) + p->csum_start, p->len - p->csum_start, 0));
	/* a UDP checksum of 0 would mean "none"; for TCP both say the same */
	inner_put_u16(p, at, csum == 0 ? 0xffff : csum);
	p->csum = PKT_CSUM_DONE;
	return true;
}

uint8_t
inner_outer_tos(uint8_t inner_tos, bool copy_dscp)
{
	return copy_dscp ? inner_tos : inner_tos & ECN_MASK;
}

/* RFC 6040 figure 4, row: inner, column: outer, in code order Not, ECT1, ECT0, CE. */
#define ECN_DROP	0xff
static const uint8_t ecn_arrive[4][4] = {
	[ECN_NOT] = { ECN_NOT, ECN_NOT, ECN_NOT, ECN_DROP },
	[ECN_ECT1] = { ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE },
	[ECN_ECT0] = { ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE },
	[ECN_CE] = { ECN_CE, ECN_CE, ECN_CE, ECN_CE },
};

bool
inner_ecn_arrive(struct pkt *p, struct inner *in, uint8_t outer_tos)
{
	uint8_t is = ecn_arrive[in->tos & ECN_MASK][outer_tos & ECN_MASK];
	uint16_t was_word, word;

	if (is == ECN_DROP)
		return false;
	is |= in->tos & (uint8_t)~ECN_MASK;
	if (is == in->tos)
		return true;
	was_word = inner_get_u16(p, 0);
	if (in->src.family == AF_INET) {
		word = (uint16_t)((was_word & 0xff00) | is);
		inner_put_u16(p, V4_CSUM_AT,
		    inner_sum_replace(inner_get_u16(p, V4_CSUM_AT), was_word, word));
	} else {
		word = (uint16_t)((was_word & 0xf00f) | is << 4);
	}
	inner_put_u16(p, 0, word);
	in->tos = is;
	return true;
}
