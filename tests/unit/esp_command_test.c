/* SPDX-License-Identifier: MIT */
#include "esp/engine.h"
#include "esp_rig.h"

/* The next event must be this thing given back; frees it. */
static void
expect_sa_back(struct rig *r, int side, uint32_t spi)
{
	struct esp_event ev;

	ck_assert(esp_event(r->e[side], &ev));
	ck_assert_int_eq(ev.kind, ESP_EV_SA_BACK);
	ck_assert_uint_eq(ev.spi, spi);
	ck_assert_uint_eq(esp_sa_spi(ev.sa), spi);
	rig_free_back(r, &ev);
}

static void
expect_nothing(struct rig *r, int side)
{
	struct esp_event ev;

	ck_assert(!esp_event(r->e[side], &ev));
}

/* A rekey as it goes on the wire: the old inbound SA serves on, then lingers, then is gone. */
START_TEST(rekey_and_linger)
{
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	batch_reset(&r.in);
	for (int i = 0; i < 3; i++)
		rig_add(&r, 0, &flow_v4, 100);
	rig_out(&r, 0);					/* three by the old SA, on their way */
	{
		struct batch late = r.in;

		rig_carry(&r);
		late = r.in;
		r.in = (struct batch){ .cap = 0 };
		ck_assert(batch_init(&r.in, RIG_PKTS, RIG_BUF));

		rig_child(&r, AEAD_CHACHA20_POLY1305, true, 1, 9);
		rig_install(&r, 0, 0);
		rig_install(&r, 1, 0);
		expect_sa_back(&r, 0, 0x2001);		/* the old outbound ones, at once */
		expect_sa_back(&r, 1, 0x1001);
		ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));

		ck_assert_uint_eq(esp_deadline(r.e[1]), USEC_NEVER);
		rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 1,
		    .spi = 0x2001, .peer_spi = 0x1001 });
		expect_nothing(&r, 1);			/* the new outbound one is not meant */
		ck_assert_uint_eq(esp_deadline(r.e[1]), r.now + USEC_S(5));
		batch_fini(&r.in);
		r.in = late;
		late.n = 1;
		r.in.n = 1;
		rig_in(&r, 1);
		ck_assert_uint_eq(r.inner.n, 1);	/* late, but welcome */
		r.now += USEC_S(5) - 1;
		esp_tick(r.e[1], r.now);
		expect_nothing(&r, 1);
		/* told twice: the end does not move */
		rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 1,
		    .spi = 0x2001, .peer_spi = 0x1001 });
		r.now++;
		esp_tick(r.e[1], r.now);
		expect_sa_back(&r, 1, 0x2001);
		ck_assert_uint_eq(esp_deadline(r.e[1]), USEC_NEVER);
		r.in.pkt[0] = r.in.pkt[1];
		r.in.n = 1;
		rig_in(&r, 1);
		ck_assert_uint_eq(r.inner.n, 0);
		ck_assert_uint_eq(rig_drops(&r, 1, DROP_IN_NO_SA), 1);
	}
	ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));
	ck_assert_ptr_nonnull(rig_send(&r, 1, &flow_v4_back, 100));
	rig_fini(&r);
}
END_TEST

/* A delete without successor: nothing more goes out, at once; the other tunnel is not asked. */
START_TEST(drop_stops_out_at_once)
{
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 1, .spi = 0x1001,
	    .peer_spi = 0x2001 });
	expect_sa_back(&r, 0, 0x2001);
	ck_assert_ptr_null(rig_send(&r, 0, &flow_v4, 100));
	ck_assert_uint_eq(rig_drops(&r, 0, DROP_OUT_NO_TUNNEL), 1);
	/* a worker that has not the inbound half stops as well */
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 2, .spi = 0x9999,
	    .peer_spi = 0x2002 });
	expect_sa_back(&r, 0, 0x2002);
	rig_fini(&r);
}
END_TEST

START_TEST(lingering_end_in_order)
{
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (uint32_t gen = 1; gen <= 3; gen++) {
		rig_child(&r, AEAD_AES_GCM_16_256, true, 1, gen);
		rig_install(&r, 0, 0);
		expect_sa_back(&r, 0, 0x2001 + (gen - 1) * 16);
	}
	for (uint32_t gen = 0; gen < 3; gen++) {
		rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 1,
		    .spi = 0x1001 + gen * 16, .peer_spi = 0 });
		r.now += USEC_S(1);
	}
	r.now += USEC_S(2);				/* 5, 4 and 3 s after their deletes */
	esp_tick(r.e[0], r.now);
	expect_sa_back(&r, 0, 0x1001);
	expect_nothing(&r, 0);
	/* the last in the list goes early, with its tunnel; then another is appended */
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_TUNNEL_DEL, .tunnel = 1 });
	{
		struct esp_event ev;
		int backs = 0;

		while (esp_event(r.e[0], &ev)) {
			ck_assert_int_eq(ev.kind, ESP_EV_SA_BACK);
			rig_free_back(&r, &ev);
			backs++;
		}
		ck_assert_int_eq(backs, 4);		/* two lingering, one in use, one out */
	}
	ck_assert_uint_eq(esp_deadline(r.e[0]), USEC_NEVER);
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 2, .spi = 0x1002,
	    .peer_spi = 0x2002 });
	ck_assert_uint_eq(esp_deadline(r.e[0]), r.now + USEC_S(5));
	rig_fini(&r);
}
END_TEST

/* The same SPI again: the newer serves, the older comes back. */
START_TEST(same_spi_replaces)
{
	struct rig r;
	struct esp_sa *sa;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_child(&r, AEAD_AES_GCM_16_256, true, 1, 0);
	sa = esp_sa_in_new(r.sec, r.aeads, &r.child[1]);
	rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_SA_IN, .sa = sa });
	expect_sa_back(&r, 1, 0x2001);
	ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));
	rig_fini(&r);
}
END_TEST

/* Everything comes back by STOP, however much it is, though nobody takes events meanwhile. */
START_TEST(stop_gives_back_everything)
{
	enum { MANY = 1500 };
	struct rig r;
	struct esp_event ev;
	unsigned in = 0, out = 0, paths = 0;

	rig_init_bare(&r);
	for (uint32_t i = 0; i < MANY; i++) {
		rig_child(&r, AEAD_AES_GCM_16_128, true, 1 + i % 700, 100 + i);
		r.child[0].spi_in = 0x10000 + i;
		rig_install(&r, 0, 0);
	}
	for (int i = 0; i < 300; i++)
		rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = rig_path(0) });
	/* news meanwhile have their own room */
	for (int i = 0; i < 2 * EVENTS_NEWS; i++) {
		struct esp_event news = { .kind = ESP_EV_ECHO };

		ck_assert_int_eq(events_news(&r.e[0]->events, &news), i < EVENTS_NEWS);
	}
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_STOP });
	while (esp_event(r.e[0], &ev)) {
		if (ev.kind == ESP_EV_SA_BACK)
			*(esp_sa_spi(ev.sa) >= 0x10000 ? &in : &out) += 1;
		paths += ev.kind == ESP_EV_PATH_BACK;
		rig_free_back(&r, &ev);
	}
	ck_assert_uint_eq(in, MANY);
	ck_assert_uint_eq(out, MANY);
	ck_assert_uint_eq(paths, 301);
	rig_fini(&r);
}
END_TEST

/* A tunnel forgotten is unknown; one that a path names stays until the path goes. */
START_TEST(tunnel_del_forgets)
{
	struct rig r;
	struct esp_tunnel_stats st;
	struct esp_event ev;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));
	ck_assert(esp_tunnel_stats(r.e[0], 1, &st));
	ck_assert_uint_eq(st.out_packets, 1);
	ck_assert_uint_eq(st.out_bytes, 100);
	ck_assert(!esp_tunnel_stats(r.e[0], 55, &st));
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_TUNNEL_DEL, .tunnel = 1 });
	ck_assert(!rig_event(&r, 0, &ev));
	ck_assert(esp_tunnel_stats(r.e[0], 1, &st));
	ck_assert_ptr_null(rig_send(&r, 0, &flow_v4, 100));
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_PATH_DEL, .device = 7 });
	ck_assert(!esp_tunnel_stats(r.e[0], 1, &st));
	ck_assert(esp_tunnel_stats(r.e[0], 2, &st));
	/* a new one of the same name begins at zero, and works */
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = rig_path(0) });
	ck_assert(esp_tunnel_stats(r.e[0], 1, &st));
	ck_assert_uint_eq(st.out_packets, 0);
	ck_assert_ptr_null(rig_send(&r, 0, &flow_v4, 100));
	rig_endpoint(&r, 0, 1);
	rig_child(&r, AEAD_AES_GCM_16_256, true, 1, 4);
	rig_install(&r, 0, 0);
	rig_install(&r, 1, 0);
	ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));
	/* nothing to forget: fine */
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_TUNNEL_DEL, .tunnel = 4711 });
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_PATH_DEL, .device = 4711 });
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 4711, .spi = 4711 });
	rig_fini(&r);
}
END_TEST

/* Without an endpoint nothing leaves, and nobody is told that the peer moved. */
START_TEST(no_endpoint_no_traffic)
{
	struct rig r;
	struct esp_event ev;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_cmd(&r, 0, (struct esp_cmd){ .kind = ESP_CMD_ENDPOINT, .tunnel = 1 });
	ck_assert_ptr_null(rig_send(&r, 0, &flow_v4, 100));
	ck_assert_uint_eq(rig_drops(&r, 0, DROP_OUT_NO_TUNNEL), 1);
	ck_assert_ptr_nonnull(rig_send(&r, 1, &flow_v4_back, 100));
	ck_assert(!rig_event(&r, 0, &ev));
	rig_fini(&r);
}
END_TEST

/* Authentic traffic of a tunnel that no path names has nowhere to go. */
START_TEST(no_path_no_delivery)
{
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_PATH_DEL, .device = 8 });
	ck_assert_ptr_null(rig_send(&r, 0, &flow_v4, 100));
	ck_assert_uint_eq(rig_drops(&r, 1, DROP_IN_DEVICE), 1);
	rig_fini(&r);
}
END_TEST

/* A tunnel that moves to another device's path: what comes goes there. */
START_TEST(tunnel_changes_device)
{
	struct rig r;
	struct esp_path *p = rig_path(1), *less = rig_path(1);

	p->device = 20;
	less->n = 0;
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
	rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = less });
	ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));
	ck_assert_uint_eq(r.inner.pkt[0].device, 20);
	rig_fini(&r);
}
END_TEST

/* What was accepted by the path before says nothing. */
START_TEST(a_new_path_judges_sources_anew)
{
	struct esp_path *path;
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	ck_assert_ptr_nonnull(rig_send(&r, 0, &flow_v4, 100));
	path = rig_path(1);
	path->sources[0] = prefix_of("10.1.7.0/24");
	rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = path });
	ck_assert_ptr_null(rig_send(&r, 0, &flow_v4, 100));
	ck_assert_uint_eq(rig_drops(&r, 1, DROP_IN_SOURCE), 1);
	rig_fini(&r);
}
END_TEST

/* More questions than fit: all counted, those that fit all asked, however small `wire` is. */
START_TEST(many_probes)
{
	struct rig r;
	unsigned sent = 0;
	struct esp_stats st;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (unsigned i = 0; i < ENGINE_ASKED_MAX + 10; i++) {
		struct esp_cmd cmd = { .kind = ESP_CMD_PROBE, .probe = { .tunnel = i < 100 ? 77 : 1,
			.token = i, .from = inside_of(0, 1, false), .to = inside_of(1, 1, false) } };

		rig_cmd(&r, 0, cmd);
	}
	r.wire.cap = 10;
	do {
		rig_pending(&r, 0);
		rig_balance(&r);
		sent += r.wire.n;
	} while (r.wire.n > 0);
	r.wire.cap = RIG_PKTS;
	ck_assert_uint_eq(sent, ENGINE_ASKED_MAX - 100);
	esp_stats(r.e[0], &st);
	ck_assert_uint_eq(st.made, ENGINE_ASKED_MAX + 10);
	ck_assert_uint_eq(st.drop[DROP_OUT_NO_TUNNEL], 100);
	ck_assert_uint_eq(st.drop[DROP_OUT_NO_BUFFER], 10);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, rekey_and_linger);
	tcase_add_test(tc, drop_stops_out_at_once);
	tcase_add_test(tc, lingering_end_in_order);
	tcase_add_test(tc, same_spi_replaces);
	tcase_add_test(tc, stop_gives_back_everything);
	tcase_add_test(tc, tunnel_del_forgets);
	tcase_add_test(tc, no_endpoint_no_traffic);
	tcase_add_test(tc, no_path_no_delivery);
	tcase_add_test(tc, tunnel_changes_device);
	tcase_add_test(tc, a_new_path_judges_sources_anew);
	tcase_add_test(tc, many_probes);
}

UNIT_MAIN("esp_command", fill)
