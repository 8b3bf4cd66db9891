/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>

#include "esp/engine.h"
#include "esp_rig.h"

/* ---- numbers -------------------------------------------------------------------------- */

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

/* ---- R23: one SA, eight workers: no number and so no IV twice ------------------------- */

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
		/* all of one size: one train */
		ck_assert_uint_eq(wire.n, 1);
		ck_assert_uint_eq(views[0].segments, n);
		for (unsigned i = 0; i < n; i++) {
			struct rd r = rd_init(pkt_data(&views[0]) + (size_t)i * views[0].segment, 16);
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
		sent += n;
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

/* ---- R27 ------------------------------------------------------------------------------ */

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
		r.in.pkt[0].remote.port += (uint16_t)i;	/* however often it changes */
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

/* ---- what never came ------------------------------------------------------------------- */

static uint64_t
gaps_of(const struct rig *r)
{
	struct esp_tunnel_stats st;

	ck_assert(esp_tunnel_stats(r->e[1], 1, &st));
	return st.gaps;
}

/* Lost and disordered on the way: the tunnel counts what was lost, all of it once its SA has
 * ended, and says nothing of what only came late. */
START_TEST(what_never_came_is_counted)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 5);
	uint64_t lost = 0;
	struct esp_event ev;
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_128, _i != 0);
	for (int round = 0; round < 200; round++) {
		batch_reset(&r.in);
		for (int i = 0; i < 32; i++)
			rig_add(&r, 0, &flow_v4, 100);
		rig_out(&r, 0);
		rig_carry(&r);
		ck_assert_uint_eq(r.in.n, 32);
		while (round < 199 && rng_below(&rng, 3) != 0) {
			struct pkt *p = &r.in.pkt[rng_below(&rng, r.in.n)], gone = *p;

			*p = r.in.pkt[--r.in.n];
			r.in.pkt[r.in.n] = gone;	/* its buffer is the batch's */
			lost++;
		}
		rig_in(&r, 1);
		ck_assert_uint_le(gaps_of(&r), lost);
	}
	ck_assert_uint_gt(lost, 200);
	ck_assert_uint_gt(gaps_of(&r), lost / 2);	/* most have left the window by now */
	rig_cmd(&r, 1, (struct esp_cmd){ .kind = ESP_CMD_SA_DROP, .tunnel = 1,
	    .spi = 0x2001, .peer_spi = 0x1001 });
	r.now += USEC_S(6);
	esp_tick(r.e[1], r.now);
	ck_assert(!rig_event(&r, 1, &ev));
	ck_assert_uint_eq(gaps_of(&r), lost);
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

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, numbers_end, 0, 2);
	tcase_add_test(tc, no_iv_twice);
	tcase_add_test(tc, only_the_newest_moves);
	tcase_add_loop_test(tc, what_never_came_is_counted, 0, 2);
	tcase_add_test(tc, strays_are_few);
}

UNIT_MAIN("esp_engine_numbers", fill)
