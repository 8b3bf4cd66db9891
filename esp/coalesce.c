/* SPDX-License-Identifier: MIT */
/*
 * Coalescing.  A packet joins an earlier one of its flow when splitting the two again gives
 * both: the header is the same byte for byte, but for lengths, checksums, a sequence number and
 * an IPv4 identification that continue, and PSH in the last.  A payload shorter than the first
 * can only be the last.
 *
 * A flow's place in the batch is that of its first packet, so a packet that cannot be joined
 * must end the flow: whatever comes later then stands behind it.
 */
#include <string.h>

#include "base/bytes.h"
#include "esp/esp.h"
#include "esp/offload.h"

enum {
	PROTO_TCP = 6, PROTO_UDP = 17,
	TCP_HEAD = 20, TCP_SEQ_AT = 4, TCP_ACK_AT = 8, TCP_FLAGS_AT = 13, TCP_WINDOW_AT = 14,
	TCP_CSUM_AT = 16, TCP_URGENT_AT = 18,
	TCP_PSH = 0x08, TCP_ACK = 0x10,
	UDP_HEAD = 8, UDP_LEN_AT = 4, UDP_CSUM_AT = 6,
	V4_LEN_AT = 2, V4_ID_AT = 4, V4_FRAG_AT = 6, V4_PROTO_AT = 9, V4_CSUM_AT = 10, V4_ADDR_AT = 12,
	V6_LEN_AT = 4, V6_NEXT_AT = 6, V6_ADDR_AT = 8,
};

void
coalesce_reset(struct coalesce *c)
{
	for (unsigned i = 0; i < CO_FLOWS; i++)
		c->flow[i].first = NULL;
	c->hot = NULL;
	c->pieces = 0;
}

/* Only ever compared with its like: equal flows, equal hashes.  0: no ports, thus all flows. */
static uint32_t
flow_hash(const struct pkt *p, const struct inner *in)
{
	return ((uint32_t)inner_flow(in) ^ (uint32_t)p->device << 16) | 1;
}

/* Plain data: ACK, maybe PSH, nothing else. */
static bool
look_tcp(struct rd *r, struct co_seen *seen)
{
	uint16_t flags;

	seen->seq = rd_u32(r);
	rd_skip(r, 4);
	flags = rd_u16(r);
	rd_skip(r, TCP_HEAD - TCP_WINDOW_AT);
	if (!rd_ok(r) || flags >> 12 < TCP_HEAD / 4 || (flags & 0xfff & ~TCP_PSH) != TCP_ACK)
		return false;
	seen->head = (uint16_t)(seen->ip_head + (flags >> 12) * 4);
	seen->ends = (flags & TCP_PSH) != 0;
	seen->gso = PKT_GSO_TCP;
	return true;
}

/* With a checksum, and as long as it says. */
static bool
look_udp(struct rd *r, const struct pkt *p, struct co_seen *seen)
{
	uint16_t len = rd_u16(r), csum = rd_u16(r);

	seen->head = (uint16_t)(seen->ip_head + UDP_HEAD);
	seen->gso = PKT_GSO_UDP;
	return rd_ok(r) && csum != 0 && len == p->len - seen->ip_head;
}

void
coalesce_look(const struct pkt *p, const struct inner *in, unsigned takes, struct co_seen *seen)
{
	struct rd r = rd_init(pkt_data(p), p->len);
	bool v4 = in->src.family == AF_INET, good = false;

	*seen = (struct co_seen){ .ip_head = in->head, .hash = 1 };
	if (in->has_port)
		seen->hash = flow_hash(p, in);
	else if (in->frag)
		seen->hash = 0;
	if (!in->has_port || in->head != (v4 ? INNER_V4_HEAD : INNER_V6_HEAD))
		return;
	rd_skip(&r, in->head + 4u);
	if (in->proto == PROTO_TCP && (takes & ESP_TAKES_TCP) != 0)
		good = look_tcp(&r, seen);
	else if (in->proto == PROTO_UDP && (takes & ESP_TAKES_UDP) != 0)
		good = look_udp(&r, p, seen);
	if (!good || seen->head >= p->len) {
		seen->gso = PKT_GSO_NONE;
		return;
	}
	seen->payload = (uint16_t)(p->len - seen->head);
	seen->id = v4 ? inner_get_u16(p, V4_ID_AT) : 0;
}

/* TCP options are short and often equal: a call of memcmp() costs more than comparing them. */
static bool
same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint16_t x, y, differ = 0;

	for (; len >= sizeof(x); len -= sizeof(x), a += sizeof(x), b += sizeof(x)) {
		memcpy(&x, a, sizeof(x));
		memcpy(&y, b, sizeof(y));
		differ |= x ^ y;
	}
	return differ == 0 && (len == 0 || *a == *b);
}

/* Are all headers but for what may differ the same?  Both have the same length and kind. */
static bool
same_head(const uint8_t *a, const uint8_t *b, const struct co_seen *seen)
{
	unsigned up = seen->ip_head;
	bool ip;

	if (a[0] >> 4 == 4)
		ip = memcmp(a, b, V4_LEN_AT) == 0 &&
		    memcmp(a + V4_FRAG_AT, b + V4_FRAG_AT, V4_CSUM_AT - V4_FRAG_AT) == 0 &&
		    memcmp(a + V4_ADDR_AT, b + V4_ADDR_AT, INNER_V4_HEAD - V4_ADDR_AT) == 0;
	else
		ip = memcmp(a, b, V6_LEN_AT) == 0 &&
		    memcmp(a + V6_NEXT_AT, b + V6_NEXT_AT, INNER_V6_HEAD - V6_NEXT_AT) == 0;
	if (!ip || memcmp(a + up, b + up, 4) != 0)
		return false;
	if (seen->gso == PKT_GSO_UDP)
		return true;
	return memcmp(a + up + TCP_ACK_AT, b + up + TCP_ACK_AT, TCP_FLAGS_AT - TCP_ACK_AT) == 0 &&
	    memcmp(a + up + TCP_WINDOW_AT, b + up + TCP_WINDOW_AT, TCP_CSUM_AT - TCP_WINDOW_AT) == 0 &&
	    same_bytes(a + up + TCP_URGENT_AT, b + up + TCP_URGENT_AT,
	    seen->head - up - TCP_URGENT_AT);
}

/* The checksums of a packet without IP options.  The addresses, which the pseudo-header is made
 * of, stand right in front of what the upper layer's covers: one pass over both. */
static bool
csum_is_right(const uint8_t *data, size_t len, size_t ip_head)
{
	bool v4 = data[0] >> 4 == 4;
	size_t at = v4 ? V4_ADDR_AT : V6_ADDR_AT;
	uint32_t sum = data[v4 ? V4_PROTO_AT : V6_NEXT_AT] + (uint32_t)(len - ip_head);

	if (v4 && inner_sum_end(inner_sum(data, INNER_V4_HEAD, 0)) != 0)
		return false;
	return inner_sum_end(inner_sum(data + at, len - at, sum)) == 0;
}

static struct co_flow *
find(struct coalesce *c, uint32_t hash)
{
	for (unsigned i = 0; i < CO_FLOWS; i++)
		if (c->flow[i].first != NULL && c->flow[i].hash == hash)
			return &c->flow[i];
	return NULL;
}

static void
end(struct coalesce *c, struct co_flow *f)
{
	f->first = NULL;
	if (c->hot == f)
		c->hot = NULL;
}

/* Of the first packet, once: until another joins it, it stands alone in one stretch. */
static bool
is_checked(struct co_flow *f)
{
	if (!f->checked)
		f->checked = csum_is_right(pkt_data(f->first), f->first->len, f->first->csum_start);
	return f->checked;
}

static bool
continues(struct co_flow *f, const struct pkt *p, const struct co_seen *seen)
{
	struct pkt *first = f->first;
	unsigned segments = first->segments > 1 ? first->segments : 1;

	if (seen->gso == PKT_GSO_NONE || first->gso != seen->gso || first->head_len != seen->head ||
	    first->device != p->device || seen->payload > first->segment ||
	    segments == PKT_SEGMENTS || f->total + seen->payload > PKT_MAX)
		return false;
	if (pkt_data(p)[0] >> 4 == 4 && seen->id != f->id)
		return false;
	if (seen->gso == PKT_GSO_TCP && seen->seq != f->seq)
		return false;
	if (!same_head(pkt_data(first), pkt_data(p), seen))
		return false;
	return is_checked(f) && csum_is_right(pkt_data(p), p->len, seen->ip_head);
}

/* Put the payload behind what the flow has; false: no piece is left. */
static bool
append(struct coalesce *c, struct co_flow *f, uint8_t *data, size_t len)
{
	struct pkt_piece *piece;

	if (data == f->end) {
		if (f->last != NULL)
			f->last->len += len;
		else
			f->first->len += (uint32_t)len;
		f->end += len;
		return true;
	}
	if (c->pieces == CO_PIECES)
		return false;
	piece = &c->piece[c->pieces++];
	*piece = (struct pkt_piece){ .data = data, .len = len };
	if (f->last != NULL)
		f->last->next = piece;
	else
		f->first->more = piece;
	f->last = piece;
	f->end = data + len;
	return true;
}

/* It continues the flow: is there room for it? */
static bool
grow(struct coalesce *c, struct co_flow *f, const struct pkt *p, const struct co_seen *seen)
{
	struct pkt *first = f->first;

	if (!append(c, f, pkt_data(p) + seen->head, seen->payload))
		return false;
	first->segments = (uint16_t)(first->segments > 1 ? first->segments + 1 : 2);
	f->total += seen->payload;
	f->seq += seen->payload;
	f->id++;
	c->hot = f;
	if (seen->ends)
		pkt_data(first)[seen->ip_head + TCP_FLAGS_AT] |= TCP_PSH;
	if (seen->ends || seen->payload < first->segment)
		end(c, f);
	return true;
}

bool
coalesce_join(struct coalesce *c, const struct pkt *p, const struct co_seen *seen)
{
	struct co_flow *f;

	if (seen->hash == 0) {			/* a fragment: of whatever flow */
		for (unsigned i = 0; i < CO_FLOWS; i++)
			end(c, &c->flow[i]);
		return false;
	}
	f = find(c, seen->hash);
	if (f == NULL)
		return false;
	if (continues(f, p, seen) && grow(c, f, p, seen))
		return true;
	end(c, f);
	return false;
}

/* Read p as a packet of the flow, which it may not be: continues() tells.  False: it is not. */
static bool
look_like(const struct co_flow *f, const struct pkt *p, struct co_seen *seen)
{
	const struct pkt *first = f->first;
	struct rd r = rd_init(pkt_data(p), p->len);
	bool v4 = pkt_data(first)[0] >> 4 == 4;
	uint16_t len;

	if (p->len <= first->head_len)
		return false;
	*seen = (struct co_seen){ .hash = f->hash, .ip_head = first->csum_start };
	rd_skip(&r, v4 ? V4_LEN_AT : V6_LEN_AT);
	len = rd_u16(&r);
	seen->id = v4 ? rd_u16(&r) : 0;
	if (len + (v4 ? 0u : INNER_V6_HEAD) != p->len)
		return false;
	r = rd_init(pkt_data(p), p->len);
	rd_skip(&r, seen->ip_head + 4u);
	seen->payload = (uint16_t)(p->len - first->head_len);
	return first->gso == PKT_GSO_TCP ? look_tcp(&r, seen) : look_udp(&r, p, seen);
}

bool
coalesce_follow(struct coalesce *c, struct pkt *p)
{
	struct co_flow *f = c->hot;
	struct co_seen seen;

	if (f == NULL || !look_like(f, p, &seen))
		return false;
	p->device = f->first->device;
	return continues(f, p, &seen) && grow(c, f, p, &seen);
}

void
coalesce_open(struct coalesce *c, struct pkt *p, const struct co_seen *seen)
{
	struct co_flow *f = NULL;

	c->hot = NULL;
	if (seen->gso == PKT_GSO_NONE || seen->ends)
		return;
	for (unsigned i = 0; i < CO_FLOWS && f == NULL; i++)
		if (c->flow[i].first == NULL)
			f = &c->flow[i];
	if (f == NULL)
		f = &c->flow[c->turn++ % CO_FLOWS];
	p->gso = seen->gso;			/* taken back by coalesce_finish() if it stays alone */
	p->segment = seen->payload;
	p->segments = 1;
	p->head_len = seen->head;
	p->csum_start = seen->ip_head;
	*f = (struct co_flow){ .first = p, .hash = seen->hash, .total = p->len,
		.seq = seen->seq + seen->payload, .id = (uint16_t)(seen->id + 1),
		.end = pkt_data(p) + p->len };
	c->hot = f;
}

unsigned
coalesce_guess(struct coalesce *c, const uint8_t *at)
{
	struct co_flow *f = c->hot;

	/* What is opened there must not hide the first one's header, by which it is judged. */
	if (f == NULL || f->end != at || f->first->segment < f->first->head_len)
		return 0;
	/* Now, because what is opened there hides its end. */
	if (!is_checked(f)) {
		end(c, f);
		return 0;
	}
	return f->first->head_len;
}

/* The upper layer's checksum field holds the sum of the pseudo-header: the kernel, or the
 * device that it leaves by, does the rest for each packet. */
static void
put_partial(struct pkt *p, size_t total)
{
	const uint8_t *data = pkt_data(p);
	bool v4 = data[0] >> 4 == 4, udp = p->gso == PKT_GSO_UDP;
	uint32_t upper = (uint32_t)total - p->csum_start, sum = upper + (udp ? PROTO_UDP : PROTO_TCP);

	sum = v4 ? inner_sum(data + V4_ADDR_AT, 8, sum) : inner_sum(data + V6_ADDR_AT, 32, sum);
	p->csum = PKT_CSUM_PARTIAL;
	p->csum_offset = udp ? UDP_CSUM_AT : TCP_CSUM_AT;
	inner_put_u16(p, (size_t)p->csum_start + p->csum_offset, (uint16_t)~inner_sum_end(sum));
	if (udp)
		inner_put_u16(p, (size_t)p->csum_start + UDP_LEN_AT, (uint16_t)upper);
}

void
coalesce_finish(struct pkt *p)
{
	size_t total = p->len;

	if (p->segments < 2) {
		p->gso = PKT_GSO_NONE;
		p->segment = 0;
		return;
	}
	for (const struct pkt_piece *x = p->more; x != NULL; x = x->next)
		total += x->len;
	if (pkt_data(p)[0] >> 4 == 4) {
		inner_put_u16(p, V4_LEN_AT, (uint16_t)total);
		inner_put_u16(p, V4_CSUM_AT, 0);
		inner_put_u16(p, V4_CSUM_AT, inner_sum_end(inner_sum(pkt_data(p), INNER_V4_HEAD, 0)));
	} else {
		inner_put_u16(p, V6_LEN_AT, (uint16_t)(total - INNER_V6_HEAD));
	}
	put_partial(p, total);
}
