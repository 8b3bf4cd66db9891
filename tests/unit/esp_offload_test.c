/* SPDX-License-Identifier: MIT */
#include "esp_burst.h"

/*
 * The property: whatever goes in at one engine's device, as single packets and super-packets
 * mixed, comes out at the other's device the same byte for byte and, within a flow, in the same
 * order, once the kernel has split what comes as super-packets.  And what splitting does with
 * packets that are too big, or none.
 */

/* What a sender may do to a packet that makes it different from its neighbours. */
static void
spoil(struct world *w, uint8_t *p, size_t len)
{
	bool v6 = p[0] >> 4 == 6;
	size_t up = v6 ? 40 : 20;

	switch (rng_below(&w->rng, 12)) {
	case 0:					/* a bad checksum of the upper layer */
		p[len - 1] ^= 0x40;
		break;
	case 1:					/* a fragment */
		if (!v6) {
			put16(p + 6, rng_below(&w->rng, 2) != 0 ? 0x2000 : 0x2000 | rng_below(&w->rng, 100));
			put16(p + 10, 0);
			put16(p + 10, sum_of(p, 20, 0));
		}
		break;
	case 2:					/* no UDP checksum */
		if (!v6 && p[9] == 17)
			put16(p + up + 6, 0);
		break;
	case 3:					/* a bad IP checksum */
		if (!v6)
			p[10] ^= 1;
		break;
	case 4:					/* another protocol */
		p[v6 ? 6 : 9] = OTHER_PROTO;
		if (!v6) {
			put16(p + 10, 0);
			put16(p + 10, sum_of(p, 20, 0));
		}
		break;
	case 5:					/* a UDP length that lies, under a right checksum */
		if (p[v6 ? 6 : 9] == 17) {
			put16(p + up + 4, get16(p + up + 4) - 1);
			put16(p + up + 6, 0);
			put16(p + up + 6, upper_sum(p, len));
		}
		break;
	case 6:					/* urgent, reserved bits */
		if (p[v6 ? 6 : 9] == 6)
			p[up + 12] |= 2;
		break;
	default:
		break;
	}
}

/* Some change between one burst of a flow and the next. */
static void
vary(struct world *w, struct burst *b)
{
	switch (rng_below(&w->rng, 24)) {
	case 0: b->tos = (uint8_t)rng_u32(&w->rng); break;
	case 1: b->ttl = (uint8_t)(1 + rng_below(&w->rng, 255)); break;
	case 2: b->ack += rng_below(&w->rng, 5000); break;
	case 3: b->window = (uint16_t)rng_u32(&w->rng); break;
	case 4: b->seq += rng_below(&w->rng, 3000); break;		/* lost or repeated */
	case 5: b->options = b->udp ? 0 : 4 * rng_below(&w->rng, 11); break;
	case 6: b->option = (uint8_t)rng_u32(&w->rng); break;
	case 7: b->id = (uint16_t)rng_u32(&w->rng); break;
	case 8: b->df = !b->df; break;
	case 9: b->size = (uint16_t)(1 + rng_below(&w->rng, 1300)); break;
	default: break;
	}
	b->flags = TCP_ACK;
	if (rng_below(&w->rng, 4) == 0)
		b->flags |= TCP_PSH;
	if (rng_below(&w->rng, 12) == 0)
		b->flags |= (uint8_t)(1u << rng_below(&w->rng, 8));
	b->flags &= (uint8_t)~2;		/* SYN would have its MSS clamped: not this test's */
}

/* A burst of a flow as a super-packet or as its packets, maybe out of order and spoilt. */
static void
offer(struct world *w, struct burst *b)
{
	static uint8_t buf[PKT_MAX + 1];
	unsigned n;
	size_t len, most = 60000 - burst_head(b);
	uint8_t *in;
	struct pkt *p;

	vary(w, b);
	b->payload = (size_t)b->size * rng_below(&w->rng, 40) + rng_below(&w->rng, b->size + 1u);
	if (rng_below(&w->rng, 8) == 0)
		b->payload = rng_below(&w->rng, 2) * (size_t)rng_below(&w->rng, b->size + 1u);
	if (rng_below(&w->rng, 2) == 0)
		b->payload -= b->payload % b->size;	/* so that the next may follow */
	b->payload = b->payload > most ? most : b->payload;
	n = burst_n(b);
	if (w->sent.n + n > STREAM_MAX - 100)
		return;
	if (n > 1 && rng_below(&w->rng, 3) != 0) {
		len = segment(b, ~0u, buf);
		if ((p = give(w, buf, len)) == NULL)
			return;
		p->gso = b->udp ? PKT_GSO_UDP : PKT_GSO_TCP;
		p->segment = b->size;
		p->csum = PKT_CSUM_PARTIAL;
		p->csum_start = b->v6 ? 40 : 20;
		p->csum_offset = b->udp ? 6 : 16;
		for (unsigned k = 0; k < n; k++) {
			len = segment(b, k, buf);
			stream_add(&w->sent, buf, len);
		}
	} else {
		bool shuffled = rng_below(&w->rng, 6) == 0, spoilt = rng_below(&w->rng, 6) == 0;

		for (unsigned k = 0; k < n && w->dev.n < w->dev.cap; k++) {
			len = segment(b, shuffled ? k ^ (n % 2 == 0) : k, buf);
			in = stream_add(&w->sent, buf, len);
			if (spoilt)
				spoil(w, in, len);
			ck_assert_ptr_nonnull(give(w, in, len));
		}
	}
	b->seq += (uint32_t)b->payload;
	b->id = (uint16_t)(b->id + n);
}

/* The packets of some flows in turn. */
static void
weave(struct world *w, unsigned flows)
{
	static uint8_t buf[PKT_MAX + 1];
	struct burst *b[3];
	size_t len;

	for (unsigned i = 0; i < 3; i++) {
		b[i] = &w->flow[(i + rng_below(&w->rng, 2) * 3) % flows];
		vary(w, b[i]);
		b[i]->payload = (size_t)b[i]->size * 5;
	}
	for (unsigned k = 0; k < 5; k++) {
		for (unsigned i = 0; i < 3 && w->dev.n < w->dev.cap; i++) {
			if (flows < 3 && i > 0)
				continue;
			len = segment(b[i], k, buf);
			stream_add(&w->sent, buf, len);
			ck_assert_ptr_nonnull(give(w, buf, len));
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		b[i]->seq += (uint32_t)b[i]->payload;
		b[i]->id = (uint16_t)(b[i]->id + 5);
	}
}

/* Without super-packets at the receiver the order of all is kept. */
static void
compare_order(const struct world *w)
{
	ck_assert_uint_eq(w->got.used, w->sent.used);
	ck_assert_mem_eq(w->got.mem, w->sent.mem, w->sent.used);
}

START_TEST(the_stream_is_the_same)
{
	static struct world w;
	unsigned takes = (unsigned)_i % 4, flows, bursts = 0;

	world_init(&w, 77 + (uint64_t)_i, rig_suites[_i % RIG_SUITES], takes);
	flows = 1 + rng_below(&w.rng, FLOWS);
	for (int round = 0; round < (RIG_SLOW ? 8 : 12); round++) {
		w.sent.n = w.got.n = 0;
		w.sent.used = w.got.used = 0;
		bursts = 1 + rng_below(&w.rng, 30);
		for (unsigned i = 0; i < bursts; i++)
			if (rng_below(&w.rng, 6) == 0 && w.sent.n < STREAM_MAX - 100)
				weave(&w, flows);
			else
				offer(&w, &w.flow[rng_below(&w.rng, flows)]);
		pass(&w);
		compare(&w);
		if (takes == 0)
			compare_order(&w);
	}
	ck_assert(takes == 0 ? w.supers == 0 : true);
	world_fini(&w);
}
END_TEST

/* ---- packets that follow, but by another way ------------------------------------------------ */

/* Packet k of the burst as the peer of side 1 sends it by its last Child SA; the IP header says
 * that it is `cut` bytes shorter, TCP's checksum that it is not. */
static void
arrives(struct rig *r, const struct burst *b, unsigned k, uint8_t next, uint8_t tos, unsigned cut)
{
	static struct forge g;
	uint8_t inner[2048];
	size_t len = segment(b, k, inner);

	put16(inner + 2, (unsigned)len - cut);
	put16(inner + 10, 0);
	put16(inner + 10, sum_of(inner, 20, 0));
	forge_inner(&g, r->child[0].aead, inner, len, next);
	g.seq = 5 + k;
	rig_forge_also(r, 0, &g)->tos = tos;
}

/*
 * What continues a flow goes a short way, without a look at selectors, addresses and ECN.  It may
 * only if it came as the packet before: by the same SA, with the same outer TOS and next header.
 */
START_TEST(a_follower_is_judged_for_itself)
{
	static const struct {
		const char *by;			/* a new Child SA, for this network of the peer */
		uint8_t next, tos;
		unsigned cut;
		unsigned packets;		/* that come out, super or not */
		enum drop why;			/* of the second; DROP_N: it came */
	} cases[] = {
		{ NULL, 4, 0, 0, 1, DROP_N },
		{ "10.1.0.0/16", 4, 0, 0, 1, DROP_N },
		{ "10.1.7.0/24", 4, 0, 0, 1, DROP_IN_SELECTOR },
		{ NULL, 41, 0, 0, 1, DROP_IN_INNER },
		{ NULL, 59, 0, 0, 1, DROP_IN_DUMMY },
		{ NULL, 50, 0, 0, 1, DROP_IN_PROTO },
		{ NULL, 4, ECN_CE, 0, 2, DROP_N },
		{ NULL, 4, 0, 10, 2, DROP_N },
	};
	struct burst b = { .host = 20, .ttl = 64, .flags = TCP_ACK, .tos = ECN_ECT0, .size = 1000,
		.payload = 2000 };
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	esp_device(r.e[1], 8, ESP_TAKES_TCP);
	rig_child(&r, AEAD_AES_GCM_16_256, true, 1, 0);
	arrives(&r, &b, 0, 4, 0, 0);
	if (cases[_i].by != NULL) {
		rig_child(&r, AEAD_AES_GCM_16_256, true, 1, 1);
		r.child[1].ts_remote = ts_one(cases[_i].by);
		rig_install(&r, 1, 0);
	}
	arrives(&r, &b, 1, cases[_i].next, cases[_i].tos, cases[_i].cut);
	rig_in(&r, 1);
	ck_assert_uint_eq(r.inner.n, cases[_i].packets);
	ck_assert_uint_eq(r.inner.pkt[0].len,
	    cases[_i].packets == 1 && cases[_i].why == DROP_N ? 2040 : 1040);
	if (cases[_i].packets == 2) {
		ck_assert_uint_eq(pkt_data(&r.inner.pkt[1])[1], cases[_i].tos == ECN_CE ? ECN_CE : ECN_ECT0);
		ck_assert_uint_eq(r.inner.pkt[1].len, 1040 - cases[_i].cut);
	}
	if (cases[_i].why != DROP_N)
		ck_assert_uint_eq(rig_drops(&r, 1, cases[_i].why), 1);
	rig_fini(&r);
}
END_TEST

/* ---- packets that are too big --------------------------------------------------------------- */

/* A super-packet for a tunnel of 1438 whose packets would be larger. */
static struct pkt *
too_big(struct world *w, struct burst *b, bool df)
{
	static uint8_t buf[PKT_MAX + 1];
	struct pkt *p;

	b->df = df;
	b->size = 1450;
	b->payload = 1450 * 10;
	p = give(w, buf, segment(b, ~0u, buf));
	p->gso = b->udp ? PKT_GSO_UDP : PKT_GSO_TCP;
	p->segment = b->size;
	p->csum = PKT_CSUM_PARTIAL;
	return p;
}

START_TEST(too_big_with_df_is_answered)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = RIG_PKTS };
	struct batch back = { .pkt = views[1], .cap = RIG_PKTS };
	struct burst b = { .host = 20, .ttl = 64, .flags = TCP_ACK,
		.v6 = _i % 2 != 0, .udp = _i / 2 != 0 };
	static struct world w;
	const uint8_t *quoted;

	world_init(&w, 5, AEAD_AES_GCM_16_256, 3);
	(void)too_big(&w, &b, true);
	ck_assert(esp_out(w.r.e[0], w.r.now, &w.dev, &wire, &back));
	ck_assert_uint_eq(wire.n, 0);
	ck_assert_uint_eq(back.n, 1);
	ck_assert_uint_eq(rig_drops(&w.r, 0, DROP_OUT_TOO_BIG), 10);
	/* what is quoted is the packet that the sender would have sent */
	quoted = pkt_data(&back.pkt[0]) + (b.v6 ? 48 : 28);
	ck_assert_uint_eq(get16(quoted + (b.v6 ? 4 : 2)), burst_head(&b) + 1450 - (b.v6 ? 40 : 0));
	rig_balance(&w.r);
	world_fini(&w);
}
END_TEST

/* TCP over v4 without DF is split smaller: the bytes are the same. */
START_TEST(too_big_tcp_is_split_smaller)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = RIG_PKTS };
	struct batch back = { .pkt = views[1], .cap = RIG_PKTS };
	struct burst b = { .host = 20, .ttl = 64, .flags = TCP_ACK | TCP_FIN };
	static struct world w;
	size_t at = 0;

	world_init(&w, 5, AEAD_AES_GCM_16_256, 0);
	(void)too_big(&w, &b, false);
	ck_assert(esp_out(w.r.e[0], w.r.now, &w.dev, &wire, &back));
	ck_assert_uint_eq(back.n, 0);
	carry(&w, &wire);
	receive(&w);
	ck_assert_uint_eq(w.got.n, 11);
	for (unsigned i = 0; i < w.got.n; i++) {
		const uint8_t *p = w.got.mem + w.got.p[i].at;
		size_t len = w.got.p[i].len;

		ck_assert_uint_le(len, 1438);
		ck_assert(sum_of(p, 20, 0) == 0 && upper_sum(p, len) == 0);
		ck_assert_uint_eq(p[33], TCP_ACK | (i == 10 ? TCP_FIN : 0));
		ck_assert_uint_eq(get16(p + 24) << 16 | get16(p + 26), at);
		for (size_t k = 40; k < len; k++, at++)
			ck_assert_uint_eq(p[k], (uint8_t)(at * 31 + (at >> 8)));
	}
	ck_assert_uint_eq(at, 14500);
	rig_balance(&w.r);
	world_fini(&w);
}
END_TEST

/* A datagram's border is its user's: UDP without DF leaves in fragments. */
START_TEST(too_big_udp_is_cut)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = RIG_PKTS };
	struct batch back = { .pkt = views[1], .cap = RIG_PKTS };
	struct burst b = { .host = 20, .ttl = 64, .udp = true };
	static struct world w;

	world_init(&w, 5, AEAD_AES_GCM_16_256, 3);
	(void)too_big(&w, &b, false);
	ck_assert(esp_out(w.r.e[0], w.r.now, &w.dev, &wire, &back));
	carry(&w, &wire);
	receive(&w);
	ck_assert_uint_eq(w.got.n, 20);
	for (unsigned i = 0; i < w.got.n; i++)
		ck_assert_uint_eq((get16(w.got.mem + w.got.p[i].at + 6) & 0x2000) != 0, i % 2 == 0);
	rig_balance(&w.r);
	world_fini(&w);
}
END_TEST

/* A header that says one thing of a packet that is another. */
START_TEST(super_packets_that_are_none_are_dropped)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = RIG_PKTS };
	struct batch back = { .pkt = views[1], .cap = RIG_PKTS };
	static uint8_t buf[PKT_MAX + 1];
	struct burst b = { .host = 20, .ttl = 64, .flags = TCP_ACK, .size = 1000, .payload = 5000 };
	static struct world w;
	struct pkt *p;

	world_init(&w, 5, AEAD_AES_GCM_16_256, 3);
	for (unsigned i = 0; i < 5; i++) {
		p = give(&w, buf, segment(&b, ~0u, buf));
		p->gso = i == 0 ? PKT_GSO_UDP : PKT_GSO_TCP;
		p->segment = i == 1 ? 0 : 1000;
		if (i == 2)
			pkt_data(p)[32] = 0x40;		/* a TCP header of 16 bytes */
		if (i == 3)
			put16(pkt_data(p) + 6, 0x2000);	/* a fragment */
		if (i == 4)
			put16(pkt_data(p) + 2, 40);	/* no payload */
	}
	ck_assert(esp_out(w.r.e[0], w.r.now, &w.dev, &wire, &back));
	ck_assert_uint_eq(wire.n, 0);
	ck_assert_uint_eq(rig_drops(&w.r, 0, DROP_OUT_SHORT), 5);
	rig_balance(&w.r);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, the_stream_is_the_same, 0, RIG_SLOW ? 24 : 60);
	tcase_add_loop_test(tc, a_follower_is_judged_for_itself, 0, 8);
	tcase_add_loop_test(tc, too_big_with_df_is_answered, 0, 4);
	tcase_add_test(tc, too_big_tcp_is_split_smaller);
	tcase_add_test(tc, too_big_udp_is_cut);
	tcase_add_test(tc, super_packets_that_are_none_are_dropped);
}

UNIT_MAIN("esp_offload", fill)
