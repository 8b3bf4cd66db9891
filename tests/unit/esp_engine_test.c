/* SPDX-License-Identifier: MIT */
/* Of esp/in.c and the way out in engine.c; drops and sequence numbers are in its neighbours. */
#include "esp/engine.h"
#include "esp_rig.h"

/* ---- round trips ---------------------------------------------------------------------- */

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

/* ---- paths ---------------------------------------------------------------------------- */

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

/* ---- size ----------------------------------------------------------------------------- */

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

/* ---- echo ----------------------------------------------------------------------------- */

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

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, round_trip, 0, RIG_SUITES);
	tcase_add_test(tc, wire_is_addressed);
	tcase_add_test(tc, dscp_is_copied_where_asked);
	tcase_add_test(tc, ecn_arrives);
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
}

UNIT_MAIN("esp_engine", fill)
