/* SPDX-License-Identifier: MIT */
/*
 * Splitting.  The packets are made where the super-packet lies: the first is its beginning, and
 * each other header is copied over the end of the payload before it, which is encrypted and
 * gone by then.  What differs from packet to packet is what the kernel's own segmentation
 * makes differ: lengths, IPv4 identification, TCP sequence number, FIN and PSH only in the
 * last, CWR only in the first (RFC 3168 6.1.2), and the checksums.
 */
#include <string.h>

#include "base/bytes.h"
#include "esp/offload.h"

enum {
	PROTO_TCP = 6, PROTO_UDP = 17,
	TCP_HEAD = 20, TCP_SEQ_AT = 4, TCP_FLAGS_AT = 12, TCP_CSUM_AT = 16,
	TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80,
	UDP_HEAD = 8, UDP_LEN_AT = 4, UDP_CSUM_AT = 6,
	V4_LEN_AT = 2, V4_ID_AT = 4, V4_CSUM_AT = 10, V6_LEN_AT = 4,
};

/* The place of the upper layer's header is known; is it whole, and what goes with it? */
static bool
read_upper(struct split *s, const struct pkt *p, const struct inner *in)
{
	struct rd r = rd_init(pkt_data(p), p->len);
	uint16_t flags;

	rd_skip(&r, in->head);
	if (s->gso == PKT_GSO_UDP) {
		rd_skip(&r, UDP_HEAD);
		s->head = (uint16_t)(in->head + UDP_HEAD);
		return rd_ok(&r) && in->proto == PROTO_UDP;
	}
	rd_skip(&r, TCP_SEQ_AT);
	s->seq = rd_u32(&r);
	rd_skip(&r, 4);				/* acknowledgement */
	flags = rd_u16(&r);
	s->flags = (uint8_t)flags;
	s->head = (uint16_t)(in->head + (flags >> 12) * 4);
	return rd_ok(&r) && in->proto == PROTO_TCP && flags >> 12 >= TCP_HEAD / 4;
}

bool
split_init(struct split *s, struct pkt *p, const struct inner *in)
{
	*s = (struct split){ .at = pkt_data(p), .left = p->len, .n = 1, .first = true,
		.gso = p->gso, .size = p->segment, .ip_head = in->head };
	if (s->gso == PKT_GSO_NONE)
		return true;
	if (in->frag || s->size == 0 || !read_upper(s, p, in) || s->head >= p->len)
		return false;
	s->left = p->len - s->head;
	s->n = (s->left + s->size - 1u) / s->size;
	s->v6 = in->src.family == AF_INET6;
	s->pseudo = inner_sum_pseudo(&in->src, &in->dst, in->proto, 0);
	if (s->v6)
		return true;
	s->id = inner_get_u16(p, V4_ID_AT);
	inner_put_u16(p, V4_LEN_AT, 0);
	inner_put_u16(p, V4_ID_AT, 0);
	inner_put_u16(p, V4_CSUM_AT, 0);
	s->ip_sum = inner_sum(pkt_data(p), s->ip_head, 0);
	return true;
}

void
split_resize(struct split *s, uint16_t size)
{
	s->size = size;
	s->n = (s->left + size - 1u) / size;
}

unsigned
split_longest(const struct split *s)
{
	if (s->gso == PKT_GSO_NONE)
		return s->left;
	return s->head + (s->left < s->size ? s->left : s->size);
}

size_t
split_bytes(const struct split *s)
{
	return s->gso == PKT_GSO_NONE ? s->left : (size_t)s->n * s->head + s->left;
}

/* Lengths, numbers, flags; the header's checksum. */
static void
write_head(struct split *s, struct wr *w, size_t len, bool last)
{
	uint16_t total = (uint16_t)len;
	uint8_t flags = s->flags;

	if (s->v6) {
		wr_put_u16(w, V6_LEN_AT, (uint16_t)(total - INNER_V6_HEAD));
	} else {
		wr_put_u16(w, V4_LEN_AT, total);
		wr_put_u16(w, V4_ID_AT, s->id);
		wr_put_u16(w, V4_CSUM_AT, inner_sum_end(s->ip_sum + total + s->id));
		s->id++;
	}
	if (s->gso == PKT_GSO_UDP) {
		wr_put_u16(w, (size_t)s->ip_head + UDP_LEN_AT, (uint16_t)(total - s->ip_head));
		return;
	}
	flags &= (uint8_t)~((last ? 0 : TCP_FIN | TCP_PSH) | (s->first ? 0 : TCP_CWR));
	wr_put_u32(w, (size_t)s->ip_head + TCP_SEQ_AT, s->seq);
	wr_put_u8(w, (size_t)s->ip_head + TCP_FLAGS_AT + 1, flags);
	s->seq += s->size;
}

static void
write_csum(const struct split *s, struct wr *w, size_t len)
{
	size_t at = (size_t)s->ip_head + (s->gso == PKT_GSO_UDP ? UDP_CSUM_AT : TCP_CSUM_AT);
	size_t upper = len - s->ip_head;
	uint16_t csum;

	wr_put_u16(w, at, 0);
	csum = inner_sum_end(inner_sum(s->at + s->ip_head, upper, s->pseudo + (uint32_t)upper));
	/* a UDP checksum of 0 would mean "none" */
	wr_put_u16(w, at, csum == 0 && s->gso == PKT_GSO_UDP ? 0xffff : csum);
}

uint8_t *
split_next(struct split *s, size_t *len)
{
	size_t take = s->left < s->size ? s->left : s->size;
	struct wr w;

	s->n--;
	if (s->gso == PKT_GSO_NONE) {
		*len = s->left;
		return s->at;
	}
	if (!s->first) {
		memmove(s->at + s->size, s->at, s->head);
		s->at += s->size;
	}
	s->left -= (uint32_t)take;
	*len = s->head + take;
	w = wr_init(s->at, s->head);
	(void)wr_room(&w, s->head);
	write_head(s, &w, *len, s->left == 0);
	write_csum(s, &w, *len);
	s->first = false;
	return s->at;
}
