/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>

#include "esp/engine.h"
#include "esp_rig.h"

/* ---- round trips ------------------------------------------------------------------------- */

START_TEST(round_trip)
{
	static const size_t sizes[] = { 20, 28, 29, 30, 31, 40, 41, 63, 64, 65, 100, 512, 576, 1279,
		1280, 1399, 1400, 1401, 1402, 1403, 1405, 1406 };

	for (int i = 0; i < 4; i++) {
		struct rig r;
		const struct flow *f = i % 2 != 0 ? &flow_v6 : &flow_v4;
		static uint8_t want[2048];

		rig_init(&r, rig_suites[_i], i / 2 != 0);
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			const struct pkt *p;

			if (f == &flow_v6 && sizes[k] < 40)
				continue;
			packet_write(want, sizes[k], f);
			p = rig_send(&r, 0, f, sizes[k]);
			ck_assert_ptr_nonnull(p);
			ck_assert_uint_eq(p->len, sizes[k]);
			ck_assert_mem_eq(pkt_data(p), want, sizes[k]);
			ck_assert_uint_eq(p->device, 8);
			ck_assert_uint_eq(p->tunnel, 1);
			/* room for what the device wants in front */
			ck_assert_uint_ge(p->off, 24);
		}
		rig_fini(&r);
	}
}
END_TEST

START_TEST(wire_is_addressed)
{
	struct rig r;
	struct flow f = flow_v4;
	struct endpoint local = outer_of(0, 1), remote = outer_of(1, 1);

	f.tos = 0xb8 | 2;
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_add(&r, 0, &f, 100);
	rig_out(&r, 0);
	ck_assert_uint_eq(r.wire.n, 1);
	ck_assert(endpoint_equal(&r.wire.pkt[0].local, &local));
	ck_assert(endpoint_equal(&r.wire.pkt[0].remote, &remote));
	ck_assert_uint_eq(r.wire.pkt[0].socket, 31);
	ck_assert_uint_eq(r.wire.pkt[0].tunnel, 1);
	ck_assert_uint_eq(r.wire.pkt[0].tos, 2);	/* ECN always, DSCP only where asked */
	rig_fini(&r);
}
END_TEST

START_TEST(dscp_is_copied_where_asked)
{
	struct rig r;
	struct esp_path *p = rig_path(0);
	struct flow f = flow_v6;

	f.tos = 0xb8 | 1;
	p->copy_dscp = true;
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
	rig_add(&r, 0, &f, 100);
	rig_out(&r, 0);
	ck_assert_uint_eq(r.wire.pkt[0].tos, 0xb9);
	rig_fini(&r);
}
END_TEST

/* Congestion on the outer path shows inside; the inner TTL is as it was. */
START_TEST(ecn_arrives)
{
	struct rig r;
	struct flow f = flow_v4;

	f.tos = 2;
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_add(&r, 0, &f, 100);
	rig_out(&r, 0);
	r.wire.pkt[0].tos = 3;
	rig_carry(&r);
	rig_in(&r, 1);
	ck_assert_uint_eq(r.inner.n, 1);
	ck_assert_uint_eq(pkt_data(&r.inner.pkt[0])[1], 3);
	ck_assert_uint_eq(sum_of(pkt_data(&r.inner.pkt[0]), 20, 0), 0);
	ck_assert_uint_eq(pkt_data(&r.inner.pkt[0])[8], 63);
	rig_fini(&r);
}
END_TEST

/* ---- each drop once, by name ------------------------------------------------------------- */

struct scene {
	struct rig r;
	struct forge g;
	uint8_t inner[2048];
};

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
	struct pkt *p = rig_add(&s->r, 0, &flow_v4, 100);

	memmove(p->buf, pkt_data(p), p->len);
	p->off = 0;
	rig_out(&s->r, 0);
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

/* A bad peer's packet: `inner` under next header `next`. */
static void
in_forged(struct scene *s, size_t len, uint8_t next)
{
	rig_child(&s->r, AEAD_AES_GCM_16_256, true, 1, 0);
	forge_inner(&s->g, AEAD_AES_GCM_16_256, s->inner, len, next);
	s->g.seq = 5;
	rig_forge(&s->r, 0, &s->g);
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
ask(struct rig *r, int side, unsigned tunnel, uint64_t token, uint16_t pad_to, bool v6)
{
	struct esp_cmd cmd = { .kind = ESP_CMD_PROBE, .probe = { .tunnel = tunnel, .token = token,
		.from = inside_of(side, tunnel, v6), .to = inside_of(1 - side, tunnel, v6),
		.pad_to = pad_to } };

	rig_cmd(r, side, cmd);
	batch_reset(&r->wire);
	esp_pending(r->e[side], &r->wire);
	rig_balance(r);
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
	{ DROP_IN_SOURCE, in_source }, { DROP_IN_OWN, in_own }, { DROP_IN_ECN, in_ecn },
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

/* ---- R11, R16: every length of datagram ---------------------------------------------------- */

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

/* ---- paths --------------------------------------------------------------------------------- */

/* Flows spread over the buckets; one flow stays; a fragment goes with its addresses. */
START_TEST(buckets_spread_and_hold)
{
	struct rig r;
	struct esp_path *p = rig_path(0);
	unsigned by[3] = { 0 };

	for (unsigned b = 0; b < ESP_BUCKETS; b++)
		p->bucket[b] = b % 4 == 0 ? 1 : 0;
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
	for (int i = 0; i < 4000; i++) {
		struct flow f = i % 2 != 0 ? flow_v6 : flow_v4;
		uint32_t first;

		f.sport = (uint16_t)(1024 + i);
		batch_reset(&r.in);
		rig_add(&r, 0, &f, 100);
		rig_add(&r, 0, &f, 700);
		rig_out(&r, 0);
		first = r.wire.pkt[0].tunnel;
		ck_assert_uint_eq(r.wire.pkt[1].tunnel, first);
		by[first]++;
	}
	ck_assert_msg(by[2] > 800 && by[2] < 1200, "a quarter of 4000 flows: %u", by[2]);
	batch_reset(&r.in);
	for (unsigned i = 0; i < 20; i++) {
		struct flow f = flow_v4;

		f.sport = (uint16_t)i;			/* payload, in a later fragment */
		f.frag = i == 0 ? IP4_MF : (uint16_t)i;
		rig_add(&r, 0, &f, 100);
	}
	rig_out(&r, 0);
	for (unsigned i = 1; i < 20; i++)
		ck_assert_uint_eq(r.wire.pkt[i].tunnel, r.wire.pkt[0].tunnel);
	rig_fini(&r);
}
END_TEST

/* To a tunnel's inside peer always by that tunnel, down or not. */
START_TEST(inside_peer_pins)
{
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (unsigned tunnel = 1; tunnel <= 2; tunnel++) {
		for (int v6 = 0; v6 < 2; v6++) {
			struct flow f = v6 ? flow_v6 : flow_v4;
			char dst[RIG_LONG];
			struct ip ip = inside_of(1, tunnel, v6);

			f.dst = ip_str(&ip, dst);
			batch_reset(&r.in);
			rig_add(&r, 0, &f, 100);
			rig_out(&r, 0);
			ck_assert_uint_eq(r.wire.n, 1);
			ck_assert_uint_eq(r.wire.pkt[0].tunnel, tunnel);
		}
	}
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 2,
	    .spi = 0x1002, .peer_spi = 0x2002 });
	{
		struct flow f = flow_v4;

		f.dst = "169.254.2.2";
		batch_reset(&r.in);
		rig_add(&r, 0, &f, 100);
		rig_out(&r, 0);
	}
	ck_assert_uint_eq(r.wire.n, 0);
	ck_assert_uint_eq(rig_drops(&r, 0, DROP_OUT_NO_TUNNEL), 1);
	rig_fini(&r);
}
END_TEST

/* Failover: a new path and the flow is on the other tunnel; inbound goes on by both. */
START_TEST(failover_is_a_path)
{
	struct rig r;
	struct esp_path *p = rig_path(0);
	struct esp_event ev;

	memset(p->bucket, 1, sizeof(p->bucket));
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));
	ck_assert_uint_eq(r.inner.pkt[0].tunnel, 1);
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
	ck_assert(esp_event(r.e[0], &ev));
	ck_assert_int_eq(ev.kind, ESP_EV_PATH_BACK);
	ck_assert_ptr_ne(ev.path, p);
	esp_path_free(ev.path);
	ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));
	ck_assert_uint_eq(r.inner.pkt[0].tunnel, 2);
	ck_assert_ptr_nonnull(rig_send(&r, 1, &flow_v4_back, 100));	/* answers still by 1 */
	ck_assert_uint_eq(r.inner.pkt[0].tunnel, 1);
	rig_fini(&r);
}
END_TEST

/* R26 again, over all that matters: what a peer may send from. */
static const struct { const char *src; int drop; } sources[] = {
	{ "10.1.0.9", -1 }, { "10.1.255.255", -1 }, { "169.254.1.1", -1 }, { "169.254.2.1", -1 },
	{ "10.2.0.9", DROP_IN_SOURCE }, { "10.0.255.255", DROP_IN_SOURCE },
	{ "192.168.1.1", DROP_IN_SOURCE }, { "169.254.3.1", DROP_IN_SOURCE },
	{ "127.0.0.1", DROP_IN_SOURCE }, { "224.0.0.1", DROP_IN_SOURCE },
	{ "0.0.0.0", DROP_IN_SOURCE }, { "255.255.255.255", DROP_IN_SOURCE },
	{ "10.2.0.1", DROP_IN_OWN }, { "169.254.1.2", DROP_IN_OWN }, { "169.254.2.2", DROP_IN_OWN },
	{ "2001:db8:1::9", -1 }, { "fd00:1::1", -1 }, { "fd00:2::1", -1 },
	{ "2001:db8:3::9", DROP_IN_SOURCE }, { "::1", DROP_IN_SOURCE }, { "fe80::1", DROP_IN_SOURCE },
	{ "ff02::1", DROP_IN_SOURCE }, { "::", DROP_IN_SOURCE },
	{ "2001:db8:2::1", DROP_IN_OWN }, { "fd00:1::2", DROP_IN_OWN },
};

START_TEST(inner_sources)
{
	struct flow f = strchr(sources[_i].src, ':') != NULL ? flow_v6 : flow_v4;
	const struct pkt *p;
	struct rig r;

	f.src = sources[_i].src;
	rig_init(&r, AEAD_CHACHA20_POLY1305, true);
	p = rig_send(&r, 0, &f, 100);
	ck_assert_int_eq(p != NULL, sources[_i].drop < 0);
	if (sources[_i].drop >= 0)
		ck_assert_uint_eq(rig_drops(&r, 1, (enum drop)sources[_i].drop), 1);
	rig_fini(&r);
}
END_TEST

/* ---- size ---------------------------------------------------------------------------------- */

START_TEST(too_big_is_answered_within_the_rate)
{
	struct rig r;
	unsigned answers = 0;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (int round = 0; round < 30; round++) {
		batch_reset(&r.in);
		for (int i = 0; i < 10; i++)
			rig_add(&r, 0, &flow_v6, 1439);
		rig_out(&r, 0);
		ck_assert_uint_eq(r.wire.n, 0);
		for (unsigned i = 0; i < r.inner.n; i++) {
			ck_assert_uint_eq(r.inner.pkt[i].device, 7);
			ck_assert_uint_eq(upper_sum(pkt_data(&r.inner.pkt[i]), r.inner.pkt[i].len), 0);
		}
		answers += r.inner.n;
	}
	ck_assert_uint_eq(answers, 50);
	r.now += USEC_MS(100);
	batch_reset(&r.in);
	for (int i = 0; i < 20; i++)
		rig_add(&r, 0, &flow_v6, 1439);
	rig_out(&r, 0);
	ck_assert_uint_eq(r.inner.n, 10);
	ck_assert_uint_eq(rig_drops(&r, 0, DROP_OUT_TOO_BIG), 320);
	rig_fini(&r);
}
END_TEST

/* Without DF (or where DF is to be ignored) it is cut, and arrives in parts that make it up. */
START_TEST(cut_without_df)
{
	struct rig r;
	struct flow f = flow_v4;
	struct esp_path *p = rig_path(0);
	static uint8_t whole[3000], got[4000];
	size_t have = 0;

	f.frag = _i != 0 ? IP4_DF : 0;
	p->copy_df = false;
	p->t[0].mtu = 1000;
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
	packet_write(whole, 2900, &f);
	rig_add(&r, 0, &f, 2900);
	rig_add(&r, 0, &f, 1000);
	rig_out(&r, 0);
	ck_assert_uint_eq(r.wire.n, 4);
	rig_carry(&r);
	rig_in(&r, 1);
	ck_assert_uint_eq(r.inner.n, 4);
	for (unsigned i = 0; i < 3; i++) {
		const uint8_t *data = pkt_data(&r.inner.pkt[i]);
		size_t at = (get16(data + 6) & 0x1fff) * 8;

		ck_assert_uint_eq(sum_of(data, 20, 0), 0);
		ck_assert_uint_eq(get16(data + 6) & 0x4000, 0);
		ck_assert_uint_le(r.inner.pkt[i].len, 1000);
		memcpy(got + at, data + 20, r.inner.pkt[i].len - 20);
		have += r.inner.pkt[i].len - 20;
	}
	ck_assert_uint_eq(have, 2880);
	ck_assert_mem_eq(got, whole + 20, 2880);
	rig_fini(&r);
}
END_TEST

START_TEST(mss_is_clamped_both_ways)
{
	struct rig r;
	struct esp_path *p = rig_path(1);
	struct flow f = flow_v4;

	f.proto = 6;
	p->t[1].mtu = 1300;			/* the least of the path counts, not the live one's */
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
	for (int way = 0; way < 2; way++) {
		struct pkt *syn;
		uint8_t *tcp;
		unsigned want[2] = { 1398, 1260 };	/* leaving side 0, entering side 1 */

		batch_reset(&r.in);
		if (way == 1)
			f = (struct flow){ .src = "10.2.0.9", .dst = "10.1.0.9", .proto = 6 };
		syn = rig_add(&r, way, &f, 44);
		tcp = pkt_data(syn) + 20;
		tcp[12] = 0x60;
		tcp[13] = 2;
		memcpy(tcp + 20, "\x02\x04\x05\xb4", 4);
		put16(tcp + 16, 0);
		put16(tcp + 16, upper_sum(pkt_data(syn), 44));
		rig_out(&r, way);
		rig_carry(&r);
		rig_in(&r, 1 - way);
		ck_assert_uint_eq(r.inner.n, 1);
		tcp = pkt_data(&r.inner.pkt[0]) + 20;
		ck_assert_uint_eq(get16(tcp + 22), want[1]);
		ck_assert_uint_eq(upper_sum(pkt_data(&r.inner.pkt[0]), 44), 0);
	}
	rig_fini(&r);
}
END_TEST

/* ---- echo ---------------------------------------------------------------------------------- */

START_TEST(probe_and_answer)
{
	struct rig r;
	struct esp_event ev;
	struct esp_tunnel_stats st;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (int v6 = 0; v6 < 2; v6++) {
		for (unsigned tunnel = 1; tunnel <= 2; tunnel++) {
			uint64_t token = 0x1122334455660000u + tunnel + (unsigned)v6 * 16;

			r.now += USEC_MS(10);
			ask(&r, 0, tunnel, token, v6 ? 1300 : 0, v6);
			ck_assert_uint_eq(r.wire.n, 1);
			rig_carry(&r);
			rig_in(&r, 1);
			ck_assert_uint_eq(r.inner.n, 0);
			ck_assert_uint_eq(r.wire.n, 1);
			ck_assert_uint_eq(r.wire.pkt[0].tunnel, tunnel);
			rig_carry(&r);
			rig_in(&r, 0);
			ck_assert_uint_eq(r.inner.n, 0);
			ck_assert(rig_event(&r, 0, &ev));
			ck_assert_int_eq(ev.kind, ESP_EV_ECHO);
			ck_assert_uint_eq(ev.token, token);
			ck_assert_uint_eq(ev.tunnel, tunnel);
			ck_assert_uint_eq(ev.at, r.now);
			ck_assert(esp_tunnel_stats(r.e[0], tunnel, &st));
			ck_assert_uint_eq(st.last_in, r.now);
			ck_assert_uint_eq(st.last_out, r.now);
		}
	}
	rig_fini(&r);
}
END_TEST

/* The answer comes back by the other tunnel: it counts for the one it came by. */
START_TEST(answer_by_the_other_tunnel)
{
	struct rig r;
	struct esp_event ev;
	struct esp_path *p = rig_path(1);

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	/* a foreign peer: answers by its own kernel, and its path leads by tunnel 2 */
	memset(p->bucket, 1, sizeof(p->bucket));
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++)
			p->t[i].inside_local[k] = p->t[i].inside_peer[k] = (struct ip){ .family = 0 };
	p->sources_n = 1;
	p->sources[0] = prefix_of("0.0.0.0/0");
	rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
	ask(&r, 0, 1, 77, 0, false);
	rig_carry(&r);
	rig_in(&r, 1);
	ck_assert_uint_eq(r.inner.n, 1);		/* goes to its kernel */
	{
		uint8_t reply[64], ip[4];
		struct pkt *q;
		size_t len = r.inner.pkt[0].len;

		memcpy(reply, pkt_data(&r.inner.pkt[0]), len);
		memcpy(ip, reply + 12, 4);
		memcpy(reply + 12, reply + 16, 4);
		memcpy(reply + 16, ip, 4);
		reply[20] = 0;
		batch_reset(&r.in);
		q = rig_add(&r, 1, &flow_v4, len);
		memcpy(pkt_data(q), reply, len);
	}
	rig_out(&r, 1);
	ck_assert_uint_eq(r.wire.pkt[0].tunnel, 2);
	rig_carry(&r);
	rig_in(&r, 0);
	ck_assert(rig_event(&r, 0, &ev));
	ck_assert_uint_eq(ev.token, 77);
	ck_assert_uint_eq(ev.tunnel, 2);
	rig_fini(&r);
}
END_TEST

/* Users' pings and made-up answers are not ours. */
START_TEST(other_echoes_pass)
{
	struct rig r;
	struct flow f = { .src = "10.1.0.9", .dst = "10.2.0.9", .proto = 1 };

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	f.sport = 0x0800;
	ck_assert_ptr_nonnull(rig_send(&r, 0, &f, 84));	/* a request to a host */
	f.sport = 0;
	ck_assert_ptr_nonnull(rig_send(&r, 0, &f, 84));	/* and an answer */
	f = (struct flow){ .src = "10.1.0.9", .dst = "169.254.2.2", .proto = 1, .sport = 0x0800 };
	ck_assert_ptr_null(rig_send(&r, 0, &f, 84));	/* to tunnel 2's own address, by 2 */
	ck_assert_uint_eq(r.wire.n, 1);
	f.dst = "10.2.0.1";				/* another of its addresses: the kernel's */
	ck_assert_ptr_nonnull(rig_send(&r, 0, &f, 84));
	rig_fini(&r);
}
END_TEST

/* A request to tunnel 2's address that comes by tunnel 1 goes to the kernel. */
START_TEST(answers_only_for_the_tunnel_it_came_by)
{
	static struct scene s;
	struct flow f = { .src = "10.1.0.9", .dst = "169.254.2.2", .proto = 1, .sport = 0x0800 };

	rig_init(&s.r, AEAD_AES_GCM_16_256, true);
	packet_write(s.inner, 84, &f);
	in_forged(&s, 84, 4);				/* by tunnel 1 */
	ck_assert_uint_eq(s.r.wire.n, 0);
	ck_assert_uint_eq(s.r.inner.n, 1);
	rig_fini(&s.r);
}
END_TEST

/* A stranger in the peer's LAN cannot ask by our mouth: the source check comes first. */
START_TEST(echo_from_nowhere_is_not_answered)
{
	struct rig r;
	struct flow f = { .src = "10.9.0.9", .dst = "169.254.1.2", .proto = 1, .sport = 0x0800 };

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	ck_assert_ptr_null(rig_send(&r, 0, &f, 84));
	ck_assert_uint_eq(r.wire.n, 0);
	ck_assert_uint_eq(rig_drops(&r, 1, DROP_IN_SOURCE), 1);
	rig_fini(&r);
}
END_TEST

/* ---- numbers ------------------------------------------------------------------------------- */

/* R25: the end is hard, and control hears of it once, in time. */
START_TEST(numbers_end)
{
	struct rig r;
	bool esn = _i != 0;
	uint64_t soft = esn ? ESP_ESN_SOFT : ESP_SEQ_SOFT, hard = esn ? ESP_ESN_HARD : ESP_SEQ_HARD;
	struct esp_event ev;
	struct esp_sa_stats st;

	rig_init_bare(&r);
	rig_child(&r, AEAD_AES_GCM_16_256, esn, 1, 0);
	rig_install(&r, 0, soft - 10);
	for (int i = 0; i < 3; i++) {
		batch_reset(&r.in);
		for (int k = 0; k < 8; k++)
			rig_add(&r, 0, &flow_v4, 60);
		rig_out(&r, 0);
		ck_assert_uint_eq(r.wire.n, 8);
		ck_assert_int_eq(rig_event(&r, 0, &ev), i == 1);
		ck_assert(i != 1 || (ev.kind == ESP_EV_SEQ_LOW && ev.tunnel == 1 && ev.spi == 0x2001));
	}
	rig_child(&r, AEAD_AES_GCM_16_256, esn, 1, 1);
	rig_install(&r, 0, hard - 10);
	for (int i = 0; i < 4; i++) {
		batch_reset(&r.in);
		for (int k = 0; k < 8; k++)
			rig_add(&r, 0, &flow_v4, 60);
		rig_out(&r, 0);
		ck_assert_uint_eq(r.wire.n, i == 0 ? 8 : i == 1 ? 2 : 0);
		if (i == 1)
			ck_assert_uint_eq(get16(pkt_data(&r.wire.pkt[1]) + 6), hard & 0xffff);
	}
	ck_assert_uint_eq(rig_drops(&r, 0, DROP_OUT_SEQ_END), 22);
	esp_sa_stats(tunnels_find(&r.e[0]->tunnels, 1)->out, &st);
	ck_assert_uint_eq(st.seq, hard);
	rig_fini(&r);
}
END_TEST

/* ---- R23: one SA, eight workers: no number and so no IV twice ------------------------------- */

#define THREADS		8
#define PER_THREAD	(RIG_SLOW ? 20000 : 1000000)

struct crowd {
	struct rig *r;
	struct esp *e[THREADS];
	_Atomic uint64_t *seen;			/* a bit a number */
	_Atomic unsigned twice, sent;
	int next;
	pthread_mutex_t lock;
};

static void *
crowd_worker(void *arg)
{
	struct crowd *c = arg;
	struct pkt views[64], backs[1];
	struct batch in, wire = { .pkt = views, .cap = 64 }, back = { .pkt = backs, .cap = 1 };
	struct esp *e;
	unsigned sent = 0, twice = 0;

	pthread_mutex_lock(&c->lock);
	e = c->e[c->next++];
	pthread_mutex_unlock(&c->lock);
	if (!batch_init(&in, 64, PKT_HEADROOM + 64 + PKT_TAILROOM))
		return NULL;
	while (sent < (unsigned)PER_THREAD) {
		unsigned n = 1 + (sent * 7) % 64;

		batch_reset(&in);
		for (unsigned i = 0; i < n; i++) {
			struct pkt *p = batch_next(&in);

			memcpy(pkt_data(p), "\x45\0\0\x28\0\0\0\0\x40\x11\0\0\x0a\1\0\x09\x0a\2\0\x09", 20);
			p->len = 40;
			p->device = 7;
		}
		wire.n = back.n = 0;
		esp_out(e, 1, &in, &wire, &back);
		for (unsigned i = 0; i < wire.n; i++) {
			struct rd r = rd_init(pkt_data(&wire.pkt[i]), 16);
			uint64_t iv, bit;
			uint32_t low;

			rd_skip(&r, 4);
			low = rd_u32(&r);
			iv = rd_u64(&r);
			bit = UINT64_C(1) << iv % 64;
			if ((uint32_t)iv != low || iv > (uint64_t)THREADS * (PER_THREAD + 64) ||
			    (atomic_fetch_or(&c->seen[iv / 64], bit) & bit) != 0)
				twice++;
		}
		sent += wire.n;
	}
	atomic_fetch_add(&c->twice, twice);
	atomic_fetch_add(&c->sent, sent);
	batch_fini(&in);
	return NULL;
}

START_TEST(no_iv_twice)
{
	static const uint8_t key[16] = "crowd";
	struct rig r;
	struct crowd c = { .r = &r, .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread[THREADS];
	struct esp_sa *sa;
	struct esp_event ev;
	struct esp_sa_stats st;

	rig_init_bare(&r);
	rig_child(&r, AEAD_AES_GCM_16_128, true, 1, 0);
	sa = esp_sa_out_new(r.sec, r.aeads, &r.child[0], 0);
	c.seen = calloc((size_t)THREADS * (PER_THREAD + 64) / 64 + 1, sizeof(*c.seen));
	ck_assert(sa != NULL && c.seen != NULL);
	for (int i = 0; i < THREADS; i++) {
		struct esp_cmd cmds[] = {
			{ .kind = ESP_CMD_PATH_SET, .path = rig_path(0) },
			{ .kind = ESP_CMD_ENDPOINT, .tunnel = 1, .remote = outer_of(1, 1) },
			{ .kind = ESP_CMD_SA_OUT, .sa = sa },
		};

		c.e[i] = esp_new(r.aeads, key);
		for (int k = 0; k < 3; k++)
			ck_assert(esp_command(c.e[i], 1, &cmds[k]));
	}
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, crowd_worker, &c), 0);
	/* control samples meanwhile */
	for (int i = 0; i < 1000; i++) {
		struct esp_stats stats;
		struct esp_tunnel_stats ts;

		esp_sa_stats(sa, &st);
		esp_stats(c.e[i % THREADS], &stats);
		ck_assert(esp_tunnel_stats(c.e[i % THREADS], 1, &ts));
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(c.twice, 0);
	ck_assert_uint_ge(c.sent, THREADS * PER_THREAD);
	esp_sa_stats(sa, &st);
	ck_assert_uint_eq(st.packets, c.sent);
	ck_assert_uint_eq(st.seq, c.sent);
	for (int i = 0; i < THREADS; i++) {
		int backs = 0;

		ck_assert(esp_command(c.e[i], 1, &(struct esp_cmd){ .kind = ESP_CMD_STOP }));
		while (esp_event(c.e[i], &ev)) {
			backs += ev.kind == ESP_EV_SA_BACK && ev.sa == sa;
			if (ev.kind == ESP_EV_PATH_BACK)
				esp_path_free(ev.path);
		}
		ck_assert_int_eq(backs, 1);
		esp_free(c.e[i]);
	}
	esp_sa_free(r.sec, sa);
	free(c.seen);
	rig_fini(&r);
}
END_TEST

/* ---- R27 ----------------------------------------------------------------------------------- */

START_TEST(only_the_newest_moves)
{
	struct rig r;
	struct esp_event ev;
	struct endpoint away = { .ip = ip_of("198.51.100.7"), .port = 1234 };

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	batch_reset(&r.in);
	for (int i = 0; i < 3; i++)
		rig_add(&r, 0, &flow_v4, 100);
	rig_out(&r, 0);
	rig_carry(&r);
	r.in.n = 3;
	/* number 3 from home, then 1 (old, but new to us) and 3 again (replayed) from away */
	r.in.pkt[1].remote = away;
	{
		struct pkt first = r.in.pkt[0];

		r.in.pkt[0] = r.in.pkt[2];
		r.in.pkt[2] = first;
		r.in.pkt[2].remote = away;
	}
	rig_in(&r, 1);
	ck_assert_uint_eq(r.inner.n, 3);
	ck_assert(!rig_event(&r, 1, &ev));
	/* altered: not authentic */
	batch_reset(&r.in);
	rig_add(&r, 0, &flow_v4, 100);
	rig_out(&r, 0);
	rig_carry(&r);
	r.in.pkt[0].remote = away;
	pkt_data(&r.in.pkt[0])[40] ^= 1;
	rig_in(&r, 1);
	ck_assert(!rig_event(&r, 1, &ev));
	/* the newest, from away: told once, again after a second, and nothing changed here */
	for (int i = 0; i < 12; i++) {
		batch_reset(&r.in);
		rig_add(&r, 0, &flow_v4, 100);
		rig_out(&r, 0);
		rig_carry(&r);
		r.in.pkt[0].remote = away;
		rig_in(&r, 1);
		ck_assert_int_eq(rig_event(&r, 1, &ev), i == 0 || i == 10);
		if (i == 0)
			ck_assert(ev.kind == ESP_EV_MOVED && ev.tunnel == 1 &&
			    endpoint_equal(&ev.remote, &away));
		r.now += USEC_MS(100);
	}
	batch_reset(&r.in);
	rig_add(&r, 1, &flow_v4_back, 100);
	rig_out(&r, 1);
	away = outer_of(0, 1);
	ck_assert(endpoint_equal(&r.wire.pkt[0].remote, &away));
	rig_fini(&r);
}
END_TEST

/* A storm of strangers costs events a few a second, and is counted whole. */
START_TEST(strays_are_few)
{
	struct rig r;
	struct esp_event ev;
	unsigned told = 0;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	batch_reset(&r.in);
	for (int i = 0; i < 200; i++) {
		struct pkt *p = batch_next(&r.in);

		memset(pkt_data(p), 0x77, 80);
		p->len = 80;
	}
	for (int i = 0; i < 5; i++)
		rig_in(&r, 1);
	ck_assert_uint_eq(rig_drops(&r, 1, DROP_IN_NO_SA), 1000);
	while (rig_event(&r, 1, &ev)) {
		ck_assert_int_eq(ev.kind, ESP_EV_STRAY);
		ck_assert_uint_eq(ev.spi, 0x77777777);
		told++;
	}
	ck_assert_uint_eq(told, ENGINE_STRAY_BURST);
	ck_assert(!esp_knows(r.e[1], 0x77777777) && esp_knows(r.e[1], 0x2001));
	rig_fini(&r);
}
END_TEST

/* ---- in = out + drops, whatever comes ------------------------------------------------------ */

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
	tcase_add_loop_test(tc, round_trip, 0, RIG_SUITES);
	tcase_add_test(tc, wire_is_addressed);
	tcase_add_test(tc, dscp_is_copied_where_asked);
	tcase_add_test(tc, ecn_arrives);
	tcase_add_loop_test(tc, drop_by_name, 0, DROP_N);
	tcase_add_loop_test(tc, every_length_of_datagram, 0, RIG_SUITES);
	tcase_add_loop_test(tc, every_length_of_inner, 0, RIG_SUITES);
	tcase_add_test(tc, tfc_padding_is_cut_off);
	tcase_add_test(tc, next_header_is_believed);
	tcase_add_test(tc, buckets_spread_and_hold);
	tcase_add_test(tc, inside_peer_pins);
	tcase_add_test(tc, failover_is_a_path);
	tcase_add_loop_test(tc, inner_sources, 0, sizeof(sources) / sizeof(sources[0]));
	tcase_add_test(tc, too_big_is_answered_within_the_rate);
	tcase_add_loop_test(tc, cut_without_df, 0, 2);
	tcase_add_test(tc, mss_is_clamped_both_ways);
	tcase_add_test(tc, probe_and_answer);
	tcase_add_test(tc, answer_by_the_other_tunnel);
	tcase_add_test(tc, other_echoes_pass);
	tcase_add_test(tc, answers_only_for_the_tunnel_it_came_by);
	tcase_add_test(tc, echo_from_nowhere_is_not_answered);
	tcase_add_loop_test(tc, numbers_end, 0, 2);
	tcase_add_test(tc, no_iv_twice);
	tcase_add_test(tc, only_the_newest_moves);
	tcase_add_test(tc, strays_are_few);
	tcase_add_loop_test(tc, balance, 0, 2 * RIG_SUITES);
	tcase_add_test(tc, owner_counts_balance);
}

UNIT_MAIN("esp_engine", fill)
