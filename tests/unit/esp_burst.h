/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_UNIT_ESP_BURST_H
#define TANDEM_UNIT_ESP_BURST_H

#include "esp/offload.h"

#include "esp_rig.h"

/*
 * Bursts of packets through two engines face to face, as single packets and as super-packets.
 * The kernel's part is played here by code that knows nothing of the product's: segment() makes
 * packet k of a burst, and unfold() splits what a device is given.
 *
 * A flow is known by the last byte of its source address; each has a generator of its own, so
 * that packets of many flows mix.
 */
enum {
	FLOWS = 12, STREAM_MAX = 4096, STREAM_BYTES = 8 << 20, FIRST_HOST = 10, OTHER_PROTO = 50,
	TCP_FIN = 1, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32, TCP_ECE = 64, TCP_CWR = 128,
};

/* Packets one behind the other. */
struct stream {
	uint8_t *mem;
	size_t used;
	struct { size_t at, len; } p[STREAM_MAX];
	unsigned n;
};

static inline void
stream_init(struct stream *s)
{
	memset(s, 0, sizeof(*s));
	s->mem = malloc(STREAM_BYTES);
	ck_assert_ptr_nonnull(s->mem);
}

static inline uint8_t *
stream_add(struct stream *s, const uint8_t *data, size_t len)
{
	uint8_t *to = s->mem + s->used;

	ck_assert(s->n < STREAM_MAX && s->used + len <= STREAM_BYTES);
	memcpy(to, data, len);
	s->p[s->n].at = s->used;
	s->p[s->n++].len = len;
	s->used += len;
	return to;
}

/* The flow of a packet; what was given another protocol is of another flow. */
static inline unsigned
flow_of(const uint8_t *ip)
{
	bool v4 = ip[0] >> 4 == 4;

	return (v4 ? ip[15] : ip[23]) + (ip[v4 ? 9 : 6] == OTHER_PROTO ? 128u : 0);
}

static inline void
put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v & 0xffff);
}

/* ---- a burst of a flow: the packets that one super-packet stands for -------------------- */

struct burst {
	bool v6, udp;
	unsigned host;			/* the flow */
	uint8_t tos, ttl, flags;
	uint16_t id, window, size;	/* size: payload of a packet */
	uint32_t seq, ack;
	bool df;
	size_t options;			/* of TCP, bytes */
	uint8_t option;			/* what they are filled with */
	size_t payload;			/* of all packets */
};

static inline size_t
burst_head(const struct burst *b)
{
	return (b->v6 ? 40u : 20u) + (b->udp ? 8u : 20u + b->options);
}

static inline unsigned
burst_n(const struct burst *b)
{
	return b->payload == 0 ? 1 : (unsigned)((b->payload + b->size - 1) / b->size);
}

static inline void
burst_ip(const struct burst *b, uint8_t *to, size_t len, unsigned k)
{
	memset(to, 0, burst_head(b));
	if (b->v6) {
		put32(to, 0x60000000u | (uint32_t)b->tos << 20 | 0x12345);
		put16(to + 4, (unsigned)(len - 40));
		to[6] = b->udp ? 17 : 6;
		to[7] = b->ttl;
		memcpy(to + 8, ip_of("2001:db8:1::").b, 16);
		to[23] = (uint8_t)b->host;
		memcpy(to + 24, ip_of("2001:db8:2::9").b, 16);
		return;
	}
	to[0] = 0x45;
	to[1] = b->tos;
	put16(to + 2, (unsigned)len);
	put16(to + 4, (b->id + k) & 0xffff);
	put16(to + 6, b->df ? 0x4000 : 0);
	to[8] = b->ttl;
	to[9] = b->udp ? 17 : 6;
	memcpy(to + 12, ip_of("10.1.0.0").b, 4);
	to[15] = (uint8_t)b->host;
	memcpy(to + 16, ip_of("10.2.0.9").b, 4);
	put16(to + 10, sum_of(to, 20, 0));
}

/* Packet k of the burst, complete; k ~0: all of it in one, its checksum left to be finished. */
static inline size_t
segment(const struct burst *b, unsigned k, uint8_t *to)
{
	bool all = k == ~0u, last = all || k == burst_n(b) - 1;
	size_t from = all ? 0 : (size_t)k * b->size, head = burst_head(b), up = b->v6 ? 40 : 20;
	size_t take = last ? b->payload - from : b->size, len = head + take;
	uint8_t flags = b->flags;
	uint8_t *tcp = to + up;
	unsigned csum;

	burst_ip(b, to, len, all ? 0 : k);
	put16(tcp, 1000);
	put16(tcp + 2, 2000);
	for (size_t i = 0; i < take; i++)
		to[head + i] = (uint8_t)((from + i) * 31 + ((from + i) >> 8) + b->seq);
	if (b->udp) {
		put16(tcp + 4, (unsigned)(len - up));
	} else {
		if (!last)
			flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
		if (!all && k > 0)
			flags &= (uint8_t)~TCP_CWR;
		put32(tcp + 4, b->seq + (uint32_t)from);
		put32(tcp + 8, b->ack);
		tcp[12] = (uint8_t)((20 + b->options) << 2);
		tcp[13] = flags;
		put16(tcp + 14, b->window);
		if (flags & TCP_URG)
			put16(tcp + 18, 7);
		memset(tcp + 20, b->option, b->options);
	}
	if (all) {				/* the pseudo-header's sum, folded, not inverted */
		size_t n = b->v6 ? 32 : 8;

		csum = (uint16_t)~sum_of(to + up - n, n, (uint32_t)(len - up) + (b->udp ? 17 : 6));
	} else {
		csum = upper_sum(to, len);
		if (csum == 0 && b->udp)
			csum = 0xffff;
	}
	put16(tcp + (b->udp ? 6 : 16), csum);
	return len;
}

/* ---- what the kernel makes of what the engine gives a device ---------------------------- */

static inline size_t
flatten(const struct pkt *p, uint8_t *to)
{
	size_t len = p->len;

	memcpy(to, pkt_data(p), p->len);
	for (const struct pkt_piece *x = p->more; x != NULL; x = x->next) {
		ck_assert_uint_le(len + x->len, PKT_MAX);
		memcpy(to + len, x->data, x->len);
		len += x->len;
	}
	return len;
}

/* Split a super-packet as the kernel's segmentation does, after looking whether it is one. */
static inline void
unfold(const struct pkt *p, struct stream *out)
{
	static uint8_t all[PKT_MAX + 1], one[PKT_MAX + 1];
	size_t len = flatten(p, all), up, head, n = 0;
	bool v6 = all[0] >> 4 == 6, udp = p->gso == PKT_GSO_UDP;
	unsigned id = get16(all + 4);
	uint8_t *field;
	uint32_t seq;

	if (p->gso == PKT_GSO_NONE) {
		ck_assert(p->more == NULL && p->segment == 0 && p->csum == PKT_CSUM_DONE);
		stream_add(out, all, len);
		return;
	}
	up = v6 ? 40 : 20;
	head = up + (udp ? 8u : (all[up + 12] >> 4) * 4u);
	field = all + up + (udp ? 6 : 16);
	ck_assert_uint_eq(p->head_len, head);
	ck_assert_uint_eq(p->csum, PKT_CSUM_PARTIAL);
	ck_assert_uint_eq(p->csum_start, up);
	ck_assert_uint_eq(p->csum_offset, udp ? 6 : 16);
	ck_assert_uint_eq(get16(all + (v6 ? 4 : 2)), v6 ? len - 40 : len);
	ck_assert(v6 || sum_of(all, 20, 0) == 0);
	ck_assert(!udp || get16(all + up + 4) == len - up);
	ck_assert_uint_gt(len, head + p->segment);	/* else the kernel refuses it */
	/* the field is the pseudo-header's sum */
	ck_assert_uint_eq(get16(field), (uint16_t)~sum_of(all + up - (v6 ? 32 : 8), v6 ? 32 : 8,
	    (uint32_t)(len - up) + (udp ? 17 : 6)));
	seq = get16(all + up + 4) << 16 | get16(all + up + 6);
	for (size_t at = head; at < len; at += p->segment, n++) {
		size_t take = len - at < p->segment ? len - at : p->segment;

		memcpy(one, all, head);
		memcpy(one + head, all + at, take);
		put16(one + (v6 ? 4 : 2), (unsigned)(head + take - (v6 ? 40 : 0)));
		if (!v6) {
			put16(one + 4, (id + (unsigned)n) & 0xffff);
			put16(one + 10, 0);
			put16(one + 10, sum_of(one, 20, 0));
		}
		if (udp) {
			put16(one + up + 4, (unsigned)(8 + take));
		} else {
			put32(one + up + 4, seq + (uint32_t)(at - head));
			if (at + take < len)
				one[up + 13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
			if (n > 0)
				one[up + 13] &= (uint8_t)~TCP_CWR;
		}
		put16(one + up + (udp ? 6 : 16), 0);
		put16(one + up + (udp ? 6 : 16), upper_sum(one, head + take));
		if (udp && get16(one + up + 6) == 0)
			put16(one + up + 6, 0xffff);
		stream_add(out, one, head + take);
	}
	ck_assert_uint_eq(n, p->segments);
	ck_assert_uint_le(n, PKT_SEGMENTS);
}

/* ---- the world ---------------------------------------------------------------------------- */

struct world {
	struct rig r;
	struct rng_seeded state;
	struct rng rng;
	struct burst flow[FLOWS];	/* how each goes on */
	struct stream sent, got;
	struct batch dev;		/* super-packets: shared memory */
	struct batch net;		/* trains */
	unsigned supers;		/* that came out */
};

static inline void
world_init(struct world *w, uint64_t seed, enum aead_id aead, unsigned takes)
{
	memset(w, 0, sizeof(*w));
	rig_init(&w->r, aead, true);
	w->rng = rng_seeded(&w->state, seed);
	stream_init(&w->sent);
	stream_init(&w->got);
	ck_assert(batch_init_shared(&w->dev, 64, 8u << 20));
	ck_assert(batch_init(&w->net, 512, PKT_BUF));
	esp_device(w->r.e[1], 8, takes);
	for (unsigned i = 0; i < FLOWS; i++)
		w->flow[i] = (struct burst){ .host = FIRST_HOST + i, .v6 = i % 2 != 0, .udp = i % 3 == 0,
			.ttl = 60, .window = 500, .df = i % 5 != 0, .id = (uint16_t)rng_u32(&w->rng),
			.seq = rng_u32(&w->rng), .ack = rng_u32(&w->rng),
			.size = (uint16_t)(1 + rng_below(&w->rng, i % 4 == 0 ? 60 : 1300)) };
}

static inline void
world_fini(struct world *w)
{
	batch_fini(&w->dev);
	batch_fini(&w->net);
	free(w->sent.mem);
	free(w->got.mem);
	rig_fini(&w->r);
}

static inline struct pkt *
give(struct world *w, const uint8_t *data, size_t len)
{
	struct pkt *p = batch_next(&w->dev);

	if (p == NULL)
		return NULL;
	memcpy(pkt_data(p), data, len);
	p->len = (uint32_t)len;
	p->device = 7;
	batch_trim(&w->dev);
	return p;
}

/* Trains arrive as they left, or cut in two as a receiver's GRO may see them, or singly. */
static inline void
carry(struct world *w, const struct batch *wire)
{
	for (unsigned i = 0; i < wire->n; i++) {
		const struct pkt *t = &wire->pkt[i];
		size_t step = t->segment != 0 ? t->segment : t->len, run;

		for (size_t at = 0; at < t->len; at += run) {
			struct pkt *p = batch_next(&w->net);

			ck_assert_ptr_nonnull(p);
			run = rng_below(&w->rng, 3) != 0 ? t->len : step * (1 + rng_below(&w->rng, 64));
			run = run > t->len - at ? t->len - at : run;
			memcpy(pkt_data(p), pkt_data(t) + at, run);
			p->len = (uint32_t)run;
			p->segment = run > step ? (uint16_t)step : 0;
			p->remote = t->local;
			p->local = t->remote;
			p->tos = t->tos & 3 & -((t->tos & 3) != 3);
		}
	}
}

static inline void
receive(struct world *w)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch inner = { .pkt = views[0], .cap = 1 + rng_below(&w->rng, 100) };
	struct batch wire = { .pkt = views[1], .cap = RIG_PKTS };
	bool done;

	do {
		inner.n = wire.n = 0;
		done = esp_in(w->r.e[1], w->r.now, &w->net, &inner, &wire);
		for (unsigned i = 0; i < inner.n; i++) {
			ck_assert_uint_ge(inner.pkt[i].off, 16);	/* the virtio-net header's */
			w->supers += inner.pkt[i].gso != PKT_GSO_NONE;
			unfold(&inner.pkt[i], &w->got);
		}
		ck_assert_uint_eq(wire.n, 0);
		rig_balance(&w->r);
	} while (!done);
	batch_reset(&w->net);
}

/* w->dev through both engines. */
static inline void
pass(struct world *w)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = 1 + rng_below(&w->rng, 100) };
	struct batch back = { .pkt = views[1], .cap = RIG_PKTS };
	bool done;

	do {
		wire.n = back.n = 0;
		done = esp_out(w->r.e[0], w->r.now, &w->dev, &wire, &back);
		ck_assert_uint_eq(back.n, 0);
		carry(w, &wire);
		rig_balance(&w->r);
		if (w->net.n > 150 || done || rng_below(&w->rng, 2) == 0)
			receive(w);
	} while (!done);
	batch_reset(&w->dev);
}

/* Every flow's packets, in order, are what was sent; no packet more, none less. */
static inline void
compare(const struct world *w)
{
	unsigned next[256] = { 0 };
	const struct stream *s = &w->sent;

	ck_assert_uint_eq(w->got.n, s->n);
	for (unsigned i = 0; i < w->got.n; i++) {
		const uint8_t *got = w->got.mem + w->got.p[i].at;
		unsigned flow = flow_of(got), k = next[flow];

		while (k < s->n && flow_of(s->mem + s->p[k].at) != flow)
			k++;
		ck_assert_msg(k < s->n, "packet %u of flow %u was never sent", i, flow);
		ck_assert_msg(w->got.p[i].len == s->p[k].len, "packet %u of flow %u: %zu bytes, not %zu", i,
		    flow, w->got.p[i].len, s->p[k].len);
		ck_assert_mem_eq(got, s->mem + s->p[k].at, s->p[k].len);
		next[flow] = k + 1;
	}
}

/* What is to be given goes through; how many super-packets came out. */
static inline unsigned
out_of(struct world *w)
{
	w->supers = 0;
	w->got.n = 0;
	w->got.used = 0;
	pass(w);
	compare(w);
	return w->supers;
}

#endif
