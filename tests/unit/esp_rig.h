/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TEST_ESP_RIG_H
#define TANDEM_TEST_ESP_RIG_H

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "esp/esp.h"
#include "unit.h"

/*
 * Two engines face to face, as the tests of ESP want them:
 *
 *	10.1/16, 2001:db8:1::/48 -- side 0 ==== tunnel 1 ==== side 1 -- 10.2/16, 2001:db8:2::/48
 *	own 10.1.0.1, 2001:db8:1::1      \==== tunnel 2 ====/          own 10.2.0.1, 2001:db8:2::1
 *
 * Inside addresses of tunnel N: 169.254.N.1 and .2, fd00:N::1 and ::2 (side 0 has 1).
 * Device 7 on side 0, device 8 on side 1; all buckets on tunnel 1.
 */
#define RIG_PKTS	256
#define RIG_BUF		10240
#define RIG_LONG	64			/* longest address text */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RIG_SLOW	1			/* a sanitizer build: the short form */
#else
#define RIG_SLOW	0
#endif

static const enum aead_id rig_suites[] = {
	AEAD_AES_GCM_16_128, AEAD_AES_GCM_16_256, AEAD_CHACHA20_POLY1305,
	AEAD_AES_CBC_128_HMAC_SHA2_256, AEAD_AES_CBC_128_HMAC_SHA2_384,
	AEAD_AES_CBC_128_HMAC_SHA2_512, AEAD_AES_CBC_256_HMAC_SHA2_256,
	AEAD_AES_CBC_256_HMAC_SHA2_384, AEAD_AES_CBC_256_HMAC_SHA2_512,
};
#define RIG_SUITES	((int)(sizeof(rig_suites) / sizeof(rig_suites[0])))

struct rig {
	struct secrets *sec;
	struct aead_set *aeads;
	struct esp *e[2];
	usec_t now;
	struct batch in;			/* has memory */
	struct batch wire, inner;		/* single packets; `cap` is what the engine is given */
	uint8_t *kept[2];			/* where those lie */
	size_t kept_len[2];
	struct child_sa child[2];		/* as made last, for each side */
};

static inline struct ip
ip_of(const char *text)
{
	struct ip ip;

	ck_assert_msg(ip_parse(text, &ip), "%s", text);
	return ip;
}

static inline struct prefix
prefix_of(const char *text)
{
	struct prefix p;

	ck_assert(prefix_parse(text, true, &p));
	return p;
}

static inline struct endpoint
outer_of(int side, unsigned tunnel)
{
	char text[RIG_LONG];

	snprintf(text, sizeof(text), "192.0.2.%u", (unsigned)side * 100 + tunnel);
	return (struct endpoint){ .ip = ip_of(text), .port = 4500 };
}

static inline struct ip
inside_of(int side, unsigned tunnel, bool v6)
{
	char text[RIG_LONG];

	snprintf(text, sizeof(text), v6 ? "fd00:%u::%d" : "169.254.%u.%d", tunnel, side + 1);
	return ip_of(text);
}

static inline struct ts_list
ts_all(void)
{
	struct ts_list l = { .n = 2 };
	struct prefix v4 = prefix_of("0.0.0.0/0"), v6 = prefix_of("::/0");

	l.ts[0] = ts_from_prefix(&v4);
	l.ts[1] = ts_from_prefix(&v6);
	return l;
}

static inline struct ts_list
ts_one(const char *prefix)
{
	struct ts_list l = { .n = 1 };
	struct prefix p = prefix_of(prefix);

	l.ts[0] = ts_from_prefix(&p);
	return l;
}

/* The two halves of one negotiated Child SA; `gen` sets its keys and SPIs apart. */
static inline void
rig_child(struct rig *r, enum aead_id aead, bool esn, unsigned tunnel, uint32_t gen)
{
	const struct aead_info *info = aead_info(aead);
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, gen * 100 + tunnel);
	struct child_sa *a = &r->child[0], *b = &r->child[1];

	memset(a, 0, sizeof(*a));
	a->tunnel = tunnel;
	a->spi_in = 0x1000 + gen * 16 + tunnel;
	a->spi_out = 0x2000 + gen * 16 + tunnel;
	a->aead = aead;
	a->esn = esn;
	a->window = 1024;
	a->key_len = (uint16_t)(info->enc_len + info->salt_len + info->auth_len);
	rng_fill(&rng, a->key_in, a->key_len);
	rng_fill(&rng, a->key_out, a->key_len);
	a->ts_local = a->ts_remote = ts_all();
	*b = *a;
	b->spi_in = a->spi_out;
	b->spi_out = a->spi_in;
	memcpy(b->key_in, a->key_out, sizeof(b->key_in));
	memcpy(b->key_out, a->key_in, sizeof(b->key_out));
}

static inline void
rig_cmd(struct rig *r, int side, struct esp_cmd cmd)
{
	ck_assert(esp_command(r->e[side], r->now, &cmd));
}

/* Install what rig_child() made: both directions, one side; `seq` preset for out. */
static inline void
rig_install(struct rig *r, int side, uint64_t seq)
{
	struct child_sa *c = &r->child[side];
	struct esp_sa *in = esp_sa_in_new(r->sec, r->aeads, c);
	struct esp_sa *out = esp_sa_out_new(r->sec, r->aeads, c, seq);

	ck_assert(in != NULL && out != NULL);
	ck_assert_uint_eq(esp_sa_spi(in), c->spi_in);
	ck_assert_uint_eq(esp_sa_spi(out), c->spi_out);
	rig_cmd(r, side, (struct esp_cmd){ .kind = ESP_CMD_SA_IN, .sa = in });
	rig_cmd(r, side, (struct esp_cmd){ .kind = ESP_CMD_SA_OUT, .sa = out });
}

static inline int
rig_cmp_ip(const void *a, const void *b)
{
	return ip_cmp(a, b);
}

static inline struct esp_path *
rig_path(int side)
{
	struct esp_path *p = calloc(1, sizeof(*p));

	ck_assert_ptr_nonnull(p);
	p->device = (uint16_t)(7 + side);
	p->n = 2;
	for (unsigned i = 0; i < 2; i++) {
		p->t[i].tunnel = i + 1;
		p->t[i].mtu = 1438;
		for (int v6 = 0; v6 < 2; v6++) {
			p->t[i].inside_local[v6] = inside_of(side, i + 1, v6);
			p->t[i].inside_peer[v6] = inside_of(1 - side, i + 1, v6);
		}
	}
	p->sources = calloc(2, sizeof(*p->sources));
	p->own = calloc(2, sizeof(*p->own));
	ck_assert(p->sources != NULL && p->own != NULL);
	p->sources_n = p->own_n = 2;
	p->sources[0] = prefix_of(side == 0 ? "10.2.0.0/16" : "10.1.0.0/16");
	p->sources[1] = prefix_of(side == 0 ? "2001:db8:2::/48" : "2001:db8:1::/48");
	p->own[0] = ip_of(side == 0 ? "10.1.0.1" : "10.2.0.1");
	p->own[1] = ip_of(side == 0 ? "2001:db8:1::1" : "2001:db8:2::1");
	qsort(p->own, 2, sizeof(*p->own), rig_cmp_ip);
	p->clamp_mss = p->copy_df = true;
	return p;
}

static inline void
rig_endpoint(struct rig *r, int side, unsigned tunnel)
{
	rig_cmd(r, side, (struct esp_cmd){ .kind = ESP_CMD_ENDPOINT, .tunnel = tunnel,
	    .local = outer_of(side, tunnel), .remote = outer_of(1 - side, tunnel),
	    .socket = (uint16_t)(30 + tunnel) });
}

#define RIG_KEPT	(8 << 20)		/* bytes of output of one call of rig_out(), rig_in() */
#define RIG_KEPT_PKTS	8192

static inline void
rig_view(struct rig *r, int which, struct batch *b)
{
	*b = (struct batch){ .cap = RIG_PKTS };
	b->pkt = calloc(RIG_KEPT_PKTS, sizeof(*b->pkt));
	r->kept[which] = calloc(1, RIG_KEPT);
	ck_assert(b->pkt != NULL && r->kept[which] != NULL);
}

static inline void
rig_forget(struct rig *r)
{
	r->wire.n = r->inner.n = 0;
	r->kept_len[0] = r->kept_len[1] = 0;
}

/* A copy of `len` bytes of p from `at`, as a packet of its own. */
static inline void
rig_keep(struct rig *r, int which, const struct pkt *p, size_t at, size_t len)
{
	struct batch *b = which == 0 ? &r->wire : &r->inner;
	struct pkt *k = &b->pkt[b->n++];
	size_t all = PKT_HEADROOM + len + PKT_TAILROOM;

	ck_assert_uint_le(b->n, RIG_KEPT_PKTS);
	ck_assert_uint_le(r->kept_len[which] + all, RIG_KEPT);
	*k = *p;
	k->buf = r->kept[which] + r->kept_len[which];
	k->cap = (uint32_t)all;
	k->off = PKT_HEADROOM;
	k->len = (uint32_t)len;
	k->segment = k->segments = 0;
	memcpy(pkt_data(k), pkt_data(p) + at, len);
	r->kept_len[which] += all;
}

/* What a call of the engine gave, train by train, as single datagrams and packets. */
static inline void
rig_take(struct rig *r, const struct batch *wire, const struct batch *inner)
{
	for (unsigned i = 0; i < wire->n; i++) {
		const struct pkt *p = &wire->pkt[i];
		size_t step = p->segment != 0 ? p->segment : p->len;
		unsigned n = 0;

		for (size_t at = 0; at < p->len; at += step, n++)
			rig_keep(r, 0, p, at, p->len - at < step ? p->len - at : step);
		ck_assert_uint_eq(n, p->segments);
		ck_assert(n <= PKT_SEGMENTS && p->len <= 65507);
	}
	for (unsigned i = 0; i < inner->n; i++)
		rig_keep(r, 1, &inner->pkt[i], 0, inner->pkt[i].len);
}

/* Engines, paths and endpoints, but no SA. */
static inline void
rig_init_bare(struct rig *r)
{
	static const uint8_t key[2][16] = { "left probe key..", "right probe key." };

	memset(r, 0, sizeof(*r));
	r->now = USEC_S(100);
	r->sec = secrets_new();
	r->aeads = aead_set_new();
	ck_assert(r->sec != NULL && r->aeads != NULL);
	ck_assert(batch_init(&r->in, RIG_PKTS, RIG_BUF));
	rig_view(r, 0, &r->wire);
	rig_view(r, 1, &r->inner);
	for (int side = 0; side < 2; side++) {
		r->e[side] = esp_new(r->aeads, key[side]);
		ck_assert_ptr_nonnull(r->e[side]);
		rig_cmd(r, side, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = rig_path(side) });
		rig_endpoint(r, side, 1);
		rig_endpoint(r, side, 2);
	}
}

static inline void
rig_init(struct rig *r, enum aead_id aead, bool esn)
{
	rig_init_bare(r);
	for (unsigned tunnel = 1; tunnel <= 2; tunnel++) {
		rig_child(r, aead, esn, tunnel, 0);
		rig_install(r, 0, 0);
		rig_install(r, 1, 0);
	}
}

/* What an owner does with the events of things given back. */
static inline void
rig_free_back(struct rig *r, const struct esp_event *ev)
{
	if (ev->kind == ESP_EV_SA_BACK)
		esp_sa_free(r->sec, ev->sa);
	else if (ev->kind == ESP_EV_PATH_BACK)
		esp_path_free(ev->path);
}

/* The next event that is not a thing given back; such are freed on the way. */
static inline bool
rig_event(struct rig *r, int side, struct esp_event *ev)
{
	while (esp_event(r->e[side], ev)) {
		if (ev->kind != ESP_EV_SA_BACK && ev->kind != ESP_EV_PATH_BACK)
			return true;
		rig_free_back(r, ev);
	}
	return false;
}

static inline void
rig_balance(const struct rig *r)
{
	struct esp_stats st;
	uint64_t out = 0, in = 0;

	for (int side = 0; side < 2; side++) {
		esp_stats(r->e[side], &st);
		out = in = 0;
		for (unsigned d = 0; d < DROP_N; d++)
			*(d < DROP_IN_SHORT ? &out : &in) += st.drop[d];
		ck_assert_uint_eq(st.out_packets + st.out_made, st.out_sent + out);
		ck_assert_uint_eq(st.in_packets + st.in_made,
		    st.in_delivered + st.in_answered + in);
	}
}

static inline void
rig_fini(struct rig *r)
{
	struct esp_event ev;

	rig_balance(r);
	for (int side = 0; side < 2; side++) {
		rig_cmd(r, side, (struct esp_cmd){ .kind = ESP_CMD_STOP });
		while (rig_event(r, side, &ev))
			;
		esp_free(r->e[side]);
	}
	ck_assert_uint_eq(secrets_used(r->sec), 0);
	free(r->wire.pkt);
	free(r->inner.pkt);
	free(r->kept[0]);
	free(r->kept[1]);
	batch_fini(&r->in);
	aead_set_free(r->aeads);
	secrets_free(r->sec);
}

static inline uint64_t
rig_drops(const struct rig *r, int side, enum drop why)
{
	struct esp_stats st;

	esp_stats(r->e[side], &st);
	return st.drop[why];
}

/* ---- packets ---------------------------------------------------------------------------- */

/* A checksum of the tests' own, apart from the product's. */
static inline uint16_t
sum_of(const uint8_t *data, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

struct flow {
	const char *src, *dst;
	uint8_t proto, tos;
	uint16_t sport, dport;		/* ICMP: type and code, in sport */
	uint16_t frag;			/* v4: flags and offset */
};

static const struct flow flow_v4 = { .src = "10.1.0.9", .dst = "10.2.0.9", .proto = 17,
	.sport = 1000, .dport = 2000 };
static const struct flow flow_v6 = { .src = "2001:db8:1::9", .dst = "2001:db8:2::9", .proto = 17,
	.sport = 1000, .dport = 2000 };
static const struct flow flow_v4_back = { .src = "10.2.0.9", .dst = "10.1.0.9", .proto = 17,
	.sport = 2000, .dport = 1000 };

/* Sum of the upper layer with its pseudo-header: 0 when the checksum in it is right. */
static inline uint16_t
upper_sum(const uint8_t *ip, size_t len)
{
	bool v6 = ip[0] >> 4 == 6;
	size_t head = v6 ? 40 : (ip[0] & 15) * 4u;
	uint8_t proto = v6 ? ip[6] : ip[9];
	uint32_t sum = 0;

	if (proto != 1) {
		for (size_t i = v6 ? 8 : 12; i < head; i++)
			sum += i % 2 == 0 ? (uint32_t)ip[i] << 8 : ip[i];
		sum += proto + (uint32_t)(len - head);
	}
	return sum_of(ip + head, len - head, sum);
}

static inline void
put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static inline unsigned
get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* A packet of `len` bytes in all at `to`, checksums right, its payload numbered. */
static inline void
packet_write(uint8_t *to, size_t len, const struct flow *f)
{
	struct ip src = ip_of(f->src), dst = ip_of(f->dst);
	bool v6 = src.family == AF_INET6;
	size_t head = v6 ? 40 : 20, csum_at;

	memset(to, 0, len);
	for (size_t i = head; i < len; i++)
		to[i] = (uint8_t)(i * 7);
	if (v6) {
		to[0] = (uint8_t)(0x60 | f->tos >> 4);
		to[1] = (uint8_t)(f->tos << 4);
		put16(to + 4, (unsigned)(len - 40));
		to[6] = f->proto;
		to[7] = 63;
		memcpy(to + 8, src.b, 16);
		memcpy(to + 24, dst.b, 16);
	} else {
		to[0] = 0x45;
		to[1] = f->tos;
		put16(to + 2, (unsigned)len);
		put16(to + 4, 0x7788);
		put16(to + 6, f->frag);
		to[8] = 63;
		to[9] = f->proto;
		memcpy(to + 12, src.b, 4);
		memcpy(to + 16, dst.b, 4);
		put16(to + 10, sum_of(to, 20, 0));
	}
	if (len < head + 8)
		return;
	put16(to + head, f->sport);
	if (f->proto != 1 && f->proto != 58)
		put16(to + head + 2, f->dport);
	if (f->proto == 6 && len >= head + 20)
		to[head + 12] = 0x50;
	csum_at = head + (f->proto == 6 ? 16 : f->proto == 17 ? 6 : 2);
	if (f->proto == 17)
		put16(to + head + 4, (unsigned)(len - head));
	if ((f->proto == 6 && len < head + 20) || (f->frag & 0x3fff) != 0)
		return;
	put16(to + csum_at, 0);
	put16(to + csum_at, upper_sum(to, len));
}

/* Put one more packet of side's device into r->in. */
static inline struct pkt *
rig_add(struct rig *r, int side, const struct flow *f, size_t len)
{
	struct pkt *p = batch_next(&r->in);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_le(PKT_HEADROOM + len + PKT_TAILROOM, RIG_BUF);
	packet_write(pkt_data(p), len, f);
	p->len = (uint32_t)len;
	p->device = (uint16_t)(7 + side);
	return p;
}

/* r->in through side's engine: r->wire and r->inner (packet too big). */
static inline void
rig_out(struct rig *r, int side)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = r->wire.cap };
	struct batch inner = { .pkt = views[1], .cap = r->inner.cap };
	bool done;

	rig_forget(r);
	do {
		wire.n = inner.n = 0;
		done = esp_out(r->e[side], r->now, &r->in, &wire, &inner);
		rig_take(r, &wire, &inner);
		rig_balance(r);
	} while (!done);
}

/* What is on the wire arrives: copied to r->in, addresses as the receiver sees them. */
static inline void
rig_carry(struct rig *r)
{
	struct batch in;

	ck_assert(batch_init(&in, RIG_PKTS, RIG_BUF));
	for (unsigned i = 0; i < r->wire.n; i++) {
		const struct pkt *w = &r->wire.pkt[i];
		struct pkt *p = batch_next(&in);

		memcpy(pkt_data(p), pkt_data(w), w->len);
		p->len = w->len;
		p->tos = w->tos;
		p->local = w->remote;
		p->remote = w->local;
	}
	batch_fini(&r->in);
	r->in = in;
	batch_reset(&r->wire);
}

/* r->in through side's engine: r->inner, and r->wire (answers). */
static inline void
rig_in(struct rig *r, int side)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = r->wire.cap };
	struct batch inner = { .pkt = views[1], .cap = r->inner.cap };
	bool done;

	rig_forget(r);
	do {
		wire.n = inner.n = 0;
		done = esp_in(r->e[side], r->now, &r->in, &inner, &wire);
		rig_take(r, &wire, &inner);
		rig_balance(r);
	} while (!done);
}

/* The probes that wait, as datagrams in r->wire. */
static inline void
rig_pending(struct rig *r, int side)
{
	static struct pkt views[RIG_PKTS];
	struct batch wire = { .pkt = views, .cap = r->wire.cap }, none = { .n = 0 };

	rig_forget(r);
	esp_pending(r->e[side], &wire);
	rig_take(r, &wire, &none);
}

/* One packet from `side` all the way; NULL when it did not arrive. */
static inline const struct pkt *
rig_send(struct rig *r, int side, const struct flow *f, size_t len)
{
	batch_reset(&r->in);
	rig_add(r, side, f, len);
	rig_out(r, side);
	rig_carry(r);
	rig_in(r, 1 - side);
	return r->inner.n == 1 ? &r->inner.pkt[0] : NULL;
}

/* What a bad peer sends: any text under the keys of side's last rig_child(), as it stands. */
struct forge {
	uint8_t text[RIG_BUF];			/* inner packet, padding, trailer */
	size_t len;				/* of text; a multiple of the block */
	uint64_t seq;
};

/* Inner packet and regular padding for the suite, next header `next`. */
static inline void
forge_inner(struct forge *g, enum aead_id aead, const void *inner, size_t len, uint8_t next)
{
	size_t block = aead_info(aead)->block, pad = 0;

	memcpy(g->text, inner, len);
	while ((len + pad + 2) % block != 0) {
		g->text[len + pad] = (uint8_t)(pad + 1);
		pad++;
	}
	g->text[len + pad] = (uint8_t)pad;
	g->text[len + pad + 1] = next;
	g->len = len + pad + 2;
}

/* Encrypt it by base/aead alone, without the product's seal; r->in then holds this packet too. */
static inline struct pkt *
rig_forge_also(struct rig *r, int side, const struct forge *g)
{
	const struct child_sa *c = &r->child[side];
	const struct aead_info *info = aead_info(c->aead);
	struct aead_scratch *scratch = aead_scratch_new(r->aeads);
	uint8_t aad[12], hi[4], *data;
	struct aead_key key;
	struct aead_op op;
	struct pkt *p = batch_next(&r->in);

	data = pkt_data(p);
	ck_assert(aead_key_init(&key, r->aeads, c->aead, c->key_out, c->key_len));
	put16(data, c->spi_out >> 16);
	put16(data + 2, c->spi_out & 0xffff);
	put16(data + 4, (unsigned)(g->seq >> 16) & 0xffff);
	put16(data + 6, (unsigned)g->seq & 0xffff);
	put16(hi, (unsigned)(g->seq >> 48));
	put16(hi + 2, (unsigned)(g->seq >> 32) & 0xffff);
	for (unsigned i = 0; i < info->iv_len; i++)
		data[8 + i] = (uint8_t)(g->seq >> (8 * (i % 8)));
	memcpy(aad, data, 4);
	op = (struct aead_op){ .aad = aad, .aad_len = 8, .iv = data + 8, .src = g->text,
		.dst = data + 8 + info->iv_len, .len = g->len,
		.icv = data + 8 + info->iv_len + g->len };
	if (c->esn && !info->cbc) {
		memcpy(aad + 4, hi, 4);
		op.aad_len = 12;
	} else if (c->esn) {
		op.tail = hi;
		op.tail_len = 4;
	}
	memcpy(aad + op.aad_len - 4, data + 4, 4);
	ck_assert(aead_seal(&key, scratch, &op));
	p->len = (uint32_t)(8 + info->iv_len + g->len + info->icv_len);
	p->remote = outer_of(side, c->tunnel);
	aead_key_fini(&key);
	aead_scratch_free(scratch);
	return p;
}

static inline void
rig_forge(struct rig *r, int side, const struct forge *g)
{
	batch_reset(&r->in);
	(void)rig_forge_also(r, side, g);
}

/* ---- scenes: a rig and a bad peer ------------------------------------------------------- */

struct scene {
	struct rig r;
	struct forge g;
	uint8_t inner[2048];
};

/* A bad peer's packet: `inner` under next header `next`. */
static inline void
in_forged(struct scene *s, size_t len, uint8_t next)
{
	rig_child(&s->r, AEAD_AES_GCM_16_256, true, 1, 0);
	forge_inner(&s->g, AEAD_AES_GCM_16_256, s->inner, len, next);
	s->g.seq = 5;
	rig_forge(&s->r, 0, &s->g);
	rig_in(&s->r, 1);
}

/* The monitor of `side` asks by this tunnel; r->wire has the question. */
static inline void
ask(struct rig *r, int side, unsigned tunnel, uint64_t token, uint16_t pad_to, bool v6)
{
	struct esp_cmd cmd = { .kind = ESP_CMD_PROBE, .probe = { .tunnel = tunnel, .token = token,
		.from = inside_of(side, tunnel, v6), .to = inside_of(1 - side, tunnel, v6),
		.pad_to = pad_to } };

	rig_cmd(r, side, cmd);
	rig_pending(r, side);
	rig_balance(r);
}

#endif
