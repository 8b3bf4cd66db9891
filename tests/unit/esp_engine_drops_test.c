/* SPDX-License-Identifier: MIT */
#include "esp/engine.h"
#include "esp_rig.h"

/* ---- each drop once, by name ---------------------------------------------------------- */

static void
add_plain(struct scene *s)
{
	rig_add(&s->r, 0, &flow_v4, 100);
}

static void
out_short(struct scene *s)
{
	rig_add(&s->r, 0, &flow_v4, 100)->len = 99;
	rig_out(&s->r, 0);
}

static void
out_no_tunnel(struct scene *s)
{
	rig_cmd(&s->r, 0, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 1,
	    .spi = 0x1001, .peer_spi = 0x2001 });
	add_plain(s);
	rig_out(&s->r, 0);
}

static void
out_selector(struct scene *s)
{
	rig_child(&s->r, AEAD_AES_GCM_16_256, true, 1, 3);
	s->r.child[0].ts_remote = ts_one("10.2.0.0/24");
	s->r.child[0].ts_local = ts_one("10.1.1.0/24");
	rig_install(&s->r, 0, 0);
	add_plain(s);
	rig_out(&s->r, 0);
}

static void
out_too_big(struct scene *s)
{
	struct flow f = flow_v4;

	f.frag = IP4_DF;
	rig_add(&s->r, 0, &f, 1439);
	rig_out(&s->r, 0);
	ck_assert_uint_eq(s->r.inner.n, 1);
}

static void
out_seq_end(struct scene *s)
{
	rig_child(&s->r, AEAD_AES_GCM_16_256, false, 1, 3);
	rig_install(&s->r, 0, UINT32_MAX);
	add_plain(s);
	rig_out(&s->r, 0);
}

static void
out_no_buffer(struct scene *s)
{
	rig_add(&s->r, 0, &flow_v4, 100);
	s->r.wire.cap = 0;
	rig_out(&s->r, 0);
	s->r.wire.cap = RIG_PKTS;
}

static void
out_seal(struct scene *s)
{
	struct esp_sa *sa = tunnels_find(&s->r.e[0]->tunnels, 1)->out;
	enum aead_id was = sa->key.id;

	sa->key.id = AEAD_NONE;			/* stands for a library that fails */
	add_plain(s);
	rig_out(&s->r, 0);
	sa->key.id = was;
}

static void
out_send(struct scene *s)
{
	add_plain(s);
	rig_out(&s->r, 0);
	ck_assert_uint_eq(s->r.wire.n, 1);
	esp_count_drop(s->r.e[0], DROP_OUT_SEND, 1);
}

static void
arrive(struct scene *s)
{
	rig_out(&s->r, 0);
	ck_assert_uint_eq(s->r.wire.n, 1);
	rig_carry(&s->r);
}

static void
in_short(struct scene *s)
{
	add_plain(s);
	arrive(s);
	s->r.in.pkt[0].len = 7;
	rig_in(&s->r, 1);
}

static void
in_no_sa(struct scene *s)
{
	add_plain(s);
	arrive(s);
	pkt_data(&s->r.in.pkt[0])[0] ^= 0x80;
	rig_in(&s->r, 1);
}

static void
in_replay(struct scene *s)
{
	struct batch wire;

	add_plain(s);
	rig_out(&s->r, 0);
	wire = s->r.wire;
	s->r.wire.pkt[wire.n++] = wire.pkt[0];
	s->r.wire.n = 2;				/* the same datagram twice */
	rig_carry(&s->r);
	rig_in(&s->r, 1);
	ck_assert_uint_eq(s->r.inner.n, 1);
	s->r.inner.n = 0;
}

static void
in_auth(struct scene *s)
{
	add_plain(s);
	arrive(s);
	pkt_data(&s->r.in.pkt[0])[30] ^= 1;
	rig_in(&s->r, 1);
}

static void
in_padding(struct scene *s)
{
	packet_write(s->inner, 100, &flow_v4);
	rig_child(&s->r, AEAD_AES_GCM_16_256, true, 1, 0);
	forge_inner(&s->g, AEAD_AES_GCM_16_256, s->inner, 100, 4);
	s->g.text[s->g.len - 2] = 200;
	s->g.seq = 5;
	rig_forge(&s->r, 0, &s->g);
	rig_in(&s->r, 1);
}

static void
in_dummy(struct scene *s)
{
	memset(s->inner, 0xaa, 100);
	in_forged(s, 100, 59);
}

static void
in_proto(struct scene *s)
{
	packet_write(s->inner, 100, &flow_v4);
	in_forged(s, 100, 17);
}

static void
in_inner(struct scene *s)
{
	packet_write(s->inner, 100, &flow_v4);
	in_forged(s, 99, 4);
}

static void
in_selector(struct scene *s)
{
	struct esp_sa *sa;
	struct child_sa *c = &s->r.child[1];

	rig_child(&s->r, AEAD_AES_GCM_16_256, true, 1, 0);
	c->ts_remote = ts_one("10.1.7.0/24");
	sa = esp_sa_in_new(s->r.sec, s->r.aeads, c);
	rig_cmd(&s->r, 1, (struct esp_cmd){ .kind = ESP_CMD_SA_IN, .sa = sa });
	add_plain(s);
	arrive(s);
	rig_in(&s->r, 1);
}

static void
in_source(struct scene *s)
{
	struct flow f = flow_v4;

	f.src = "10.9.0.9";				/* another spoke's */
	rig_add(&s->r, 0, &f, 100);
	arrive(s);
	rig_in(&s->r, 1);
}

/* A router that reports its groups, as it does when the device comes up. */
static void
in_link(struct scene *s)
{
	struct flow f = flow_v6;

	f.src = "::";
	f.dst = "ff02::16";
	rig_add(&s->r, 0, &f, 100);
	arrive(s);
	rig_in(&s->r, 1);
}

static void
in_own(struct scene *s)
{
	struct flow f = flow_v4;

	f.src = "10.2.0.1";				/* the receiver's */
	rig_add(&s->r, 0, &f, 100);
	arrive(s);
	rig_in(&s->r, 1);
}

static void
in_ecn(struct scene *s)
{
	add_plain(s);
	arrive(s);
	s->r.in.pkt[0].tos = 3;
	rig_in(&s->r, 1);
}

static void
in_probe(struct scene *s)
{
	ask(&s->r, 1, 1, 0xfeedbeef12345678, 0, false);
	rig_carry(&s->r);
	rig_in(&s->r, 0);			/* answers by itself */
	ck_assert_uint_eq(s->r.wire.n, 1);
	ck_assert_uint_eq(s->r.inner.n, 0);
	rig_carry(&s->r);
	rig_in(&s->r, 1);
}

static void
in_no_buffer(struct scene *s)
{
	add_plain(s);
	arrive(s);
	s->r.inner.cap = 0;
	rig_in(&s->r, 1);
	s->r.inner.cap = RIG_PKTS;
}

static void
in_device(struct scene *s)
{
	add_plain(s);
	arrive(s);
	rig_in(&s->r, 1);
	ck_assert_uint_eq(s->r.inner.n, 1);
	s->r.inner.n = 0;
	esp_count_drop(s->r.e[1], DROP_IN_DEVICE, 1);
}

static const struct { enum drop why; void (*play)(struct scene *); } drops[] = {
	{ DROP_OUT_SHORT, out_short }, { DROP_OUT_NO_TUNNEL, out_no_tunnel },
	{ DROP_OUT_SELECTOR, out_selector }, { DROP_OUT_TOO_BIG, out_too_big },
	{ DROP_OUT_SEQ_END, out_seq_end }, { DROP_OUT_NO_BUFFER, out_no_buffer },
	{ DROP_OUT_SEAL, out_seal }, { DROP_OUT_SEND, out_send }, { DROP_IN_SHORT, in_short },
	{ DROP_IN_NO_SA, in_no_sa }, { DROP_IN_REPLAY, in_replay }, { DROP_IN_AUTH, in_auth },
	{ DROP_IN_PADDING, in_padding }, { DROP_IN_DUMMY, in_dummy }, { DROP_IN_PROTO, in_proto },
	{ DROP_IN_INNER, in_inner }, { DROP_IN_SELECTOR, in_selector },
	{ DROP_IN_SOURCE, in_source }, { DROP_IN_LINK, in_link }, { DROP_IN_OWN, in_own }, { DROP_IN_ECN, in_ecn },
	{ DROP_IN_PROBE, in_probe }, { DROP_IN_NO_BUFFER, in_no_buffer },
	{ DROP_IN_DEVICE, in_device },
};

_Static_assert(sizeof(drops) / sizeof(drops[0]) == DROP_N, "every reason has its scene");

/* The scene's packet is dropped for this reason, once, at one end, and for no other. */
START_TEST(drop_by_name)
{
	static struct scene s;
	enum drop why = drops[_i].why;
	int side = why < DROP_IN_SHORT ? 0 : 1;

	rig_init(&s.r, AEAD_AES_GCM_16_256, true);
	drops[_i].play(&s);
	for (unsigned d = 0; d < DROP_N; d++) {
		uint64_t n = rig_drops(&s.r, 0, d) + rig_drops(&s.r, 1, d);

		ck_assert_msg(n == (d == why ? 1 : 0), "%s: %s is %d", drop_info(why)->name,
		    drop_info(d)->name, (int)n);
	}
	ck_assert_uint_eq(rig_drops(&s.r, side, why), 1);
	ck_assert(side == 0 || s.r.inner.n == 0);
	rig_fini(&s.r);
}
END_TEST

/* ---- R11, R16: every length of datagram ----------------------------------------------- */

START_TEST(every_length_of_datagram)
{
	struct rig r;
	uint64_t refused;

	rig_init(&r, rig_suites[_i], true);
	for (uint32_t n = 0; n < 200; n++) {
		batch_reset(&r.in);
		rig_add(&r, 0, n % 2 != 0 ? &flow_v6 : &flow_v4, 90);
		rig_out(&r, 0);
		rig_carry(&r);
		if (n >= r.in.pkt[0].len)
			continue;
		r.in.pkt[0].len = n;
		rig_in(&r, 1);
		ck_assert_uint_eq(r.inner.n, 0);
		refused = rig_drops(&r, 1, DROP_IN_SHORT) + rig_drops(&r, 1, DROP_IN_AUTH);
		ck_assert_uint_eq(refused, n + 1);
	}
	rig_fini(&r);
}
END_TEST

/* Every truncation of an inner packet, in honest ESP: refused by its own reason. */
START_TEST(every_length_of_inner)
{
	static struct scene s;
	size_t full = 90;

	rig_init(&s.r, rig_suites[_i], true);
	rig_child(&s.r, rig_suites[_i], true, 1, 0);
	for (size_t n = 0; n <= full; n++) {
		packet_write(s.inner, full, &flow_v6);
		forge_inner(&s.g, rig_suites[_i], s.inner, n, 41);
		s.g.seq = n + 1;
		rig_forge(&s.r, 0, &s.g);
		rig_in(&s.r, 1);
		ck_assert_int_eq(s.r.inner.n, n == full);
	}
	ck_assert_uint_eq(rig_drops(&s.r, 1, DROP_IN_INNER), full);
	rig_fini(&s.r);
}
END_TEST

/* TFC padding (RFC 4303 2.7): what the inner length leaves over is thrown away. */
START_TEST(tfc_padding_is_cut_off)
{
	static struct scene s;

	rig_init(&s.r, AEAD_AES_GCM_16_256, true);
	packet_write(s.inner, 90, &flow_v4);
	memset(s.inner + 90, 0x5a, 900);
	in_forged(&s, 990, 4);
	ck_assert_uint_eq(s.r.inner.n, 1);
	ck_assert_uint_eq(s.r.inner.pkt[0].len, 90);
	ck_assert_mem_eq(pkt_data(&s.r.inner.pkt[0]), s.inner, 90);
	rig_fini(&s.r);
}
END_TEST

/* The next header and the version agree, or it is nothing. */
START_TEST(next_header_is_believed)
{
	static struct scene s;

	rig_init(&s.r, AEAD_AES_GCM_16_256, true);
	packet_write(s.inner, 90, &flow_v4);
	in_forged(&s, 90, 41);
	ck_assert_uint_eq(rig_drops(&s.r, 1, DROP_IN_INNER), 1);
	rig_fini(&s.r);
}
END_TEST

/* ---- in = out + drops, whatever comes ------------------------------------------------- */

static void
random_packet(struct rig *r, const struct rng *rng, int side)
{
	static const char *const src[] = { "10.1.0.9", "10.2.0.9", "10.1.0.1", "10.9.9.9", "127.0.0.1",
		"2001:db8:1::9", "2001:db8:2::9", "fd00:1::1", "fd00:2::2" };
	static const char *const dst[] = { "10.2.0.9", "10.1.0.9", "169.254.1.2", "169.254.2.2",
		"224.0.0.1", "2001:db8:2::9", "2001:db8:1::9", "fd00:1::2", "fd00:2::1" };
	static const uint8_t protos[] = { 1, 6, 17, 47, 58 };
	bool v6 = rng_below(rng, 2) != 0;
	struct flow f = { .src = src[v6 ? 5 + rng_below(rng, 4) : rng_below(rng, 5)],
		.dst = dst[v6 ? 5 + rng_below(rng, 4) : rng_below(rng, 5)],
		.proto = protos[rng_below(rng, 5)], .tos = (uint8_t)rng_u32(rng),
		.sport = (uint16_t)rng_u32(rng), .dport = (uint16_t)rng_u32(rng) };
	struct pkt *p;

	if (rng_below(rng, 3) == 0)
		f.sport = v6 ? 0x8000 : 0x0800;
	if (rng_below(rng, 4) == 0)
		f.frag = (uint16_t)(rng_u32(rng) & 0x60ff);
	p = rig_add(r, side, &f, rng_below(rng, 8) == 0 ? 1400 + rng_below(rng, 4000) :
	    (v6 ? 40u : 20u) + rng_below(rng, 1400));
	if (rng_below(rng, 20) == 0)
		p->len -= rng_below(rng, p->len);
	if (rng_below(rng, 30) == 0)
		p->device = 99;
	if (rng_below(rng, 10) == 0)
		pkt_data(p)[rng_below(rng, p->len)] ^= (uint8_t)rng_u32(rng);
}

START_TEST(balance)
{
	struct rig r;
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 4000 + (uint64_t)_i);
	struct esp_event ev;
	uint64_t arrived = 0;

	rig_init(&r, rig_suites[_i % RIG_SUITES], _i % 2 != 0);
	for (int round = 0; round < (RIG_SLOW ? 60 : 300); round++) {
		int side = (int)rng_below(&rng, 2);
		unsigned n = rng_below(&rng, 100);

		r.now += rng_below(&rng, 100000);
		batch_reset(&r.in);
		for (unsigned i = 0; i < n; i++)
			random_packet(&r, &rng, side);
		r.wire.cap = rng_below(&rng, 4) == 0 ? rng_below(&rng, 64) : RIG_PKTS;
		rig_out(&r, side);
		r.wire.cap = RIG_PKTS;
		if (rng_below(&rng, 3) == 0) {
			r.wire.n = 0;
			ask(&r, side, 1 + rng_below(&rng, 3), rng_u64(&rng),
			    (uint16_t)rng_below(&rng, 12000), rng_below(&rng, 2) != 0);
		}
		rig_carry(&r);
		for (unsigned i = 0; i < r.in.n; i++) {
			struct pkt *p = &r.in.pkt[i];

			if (rng_below(&rng, 20) == 0)
				pkt_data(p)[rng_below(&rng, p->len)] ^= 1;
			if (rng_below(&rng, 20) == 0)
				p->len = rng_below(&rng, p->len);
			p->tos = (uint8_t)rng_u32(&rng);
		}
		r.inner.cap = rng_below(&rng, 4) == 0 ? rng_below(&rng, 64) : RIG_PKTS;
		rig_in(&r, 1 - side);
		arrived += r.inner.n;
		r.inner.cap = RIG_PKTS;
		if (rng_below(&rng, 10) == 0) {
			esp_count_drop(r.e[0], (enum drop)rng_below(&rng, DROP_N), 0);
			rig_child(&r, rig_suites[rng_below(&rng, RIG_SUITES)], true, 1 + rng_below(&rng, 2),
			    (uint32_t)round + 1);
			rig_install(&r, 0, 0);
			rig_install(&r, 1, 0);
		}
		esp_tick(r.e[0], r.now);
		while (rig_event(&r, 0, &ev) || rig_event(&r, 1, &ev))
			;
		rig_balance(&r);
	}
	ck_assert_uint_gt(arrived, 100);		/* some did get through */
	rig_fini(&r);
}
END_TEST

/* The identities hold for every reason that the owner may count. */
START_TEST(owner_counts_balance)
{
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (int i = 0; i < 10; i++)
		ck_assert_ptr_nonnull(rig_send(&r, i % 2, i % 2 != 0 ? &flow_v4_back : &flow_v4, 100));
	for (unsigned d = 0; d < DROP_N; d++) {
		esp_count_drop(r.e[0], d, 3);
		rig_balance(&r);
	}
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, drop_by_name, 0, DROP_N);
	tcase_add_loop_test(tc, every_length_of_datagram, 0, RIG_SUITES);
	tcase_add_loop_test(tc, every_length_of_inner, 0, RIG_SUITES);
	tcase_add_test(tc, tfc_padding_is_cut_off);
	tcase_add_test(tc, next_header_is_believed);
	tcase_add_loop_test(tc, balance, 0, 2 * RIG_SUITES);
	tcase_add_test(tc, owner_counts_balance);
}

UNIT_MAIN("esp_engine_drops", fill)
