/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/log.h"
#include "esp/esp.h"
#include "gateway/monitor.h"
#include "tests/sim/failing.h"
#include "tests/unit/unit.h"

/*
 * R12: an allocation fails, each in turn, of IKE and of OpenSSL below it in opening, both rekeys
 * and closing, of the monitor, of ESP.  Nothing crashes or leaks (secrets are counted, LeakSanitizer sees the rest),
 * and afterwards the tunnel comes up.  For what is above the machines see scarce_test.c.
 */
static bool armed;			/* outside of a world */

static bool
failing_now(void)
{
	return world_in_engine || armed;
}

static bool by_openssl;			/* suites that OpenSSL computes alone */

static void
pair(struct world *w)
{
	for (unsigned g = 0; g < 2; g++) {
		struct ike_tunnel c = world_conf(w, g, 1, 1 - g);

		if (by_openssl) {
			c.ike[0] = (struct ike_suite){ AEAD_AES_CBC_256_HMAC_SHA2_256,
			    PRF_HMAC_SHA2_256, KE_ECP_256 };
			c.esp[0] = (struct esp_suite){ AEAD_AES_CBC_256_HMAC_SHA2_256, KE_ECP_256,
			    false };
		}
		c.start = g == 0;
		world_set(w, g, &c);
	}
}

/* A short life. */
static void
live(void)
{
	unsigned long k = failing_countdown;
	struct world w;

	failing_countdown = 0;
	world_init(&w, 1, 2);
	w.work_max = USEC_MS(3);
	failing_countdown = k;
	pair(&w);
	world_run(&w, USEC_S(2));
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1 });
	world_run(&w, USEC_S(2));
	world_fact(&w, 1, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1, .ike_sa = true });
	world_run(&w, USEC_S(2));
	world_tell(&w, 0, IKE_CLOSE, 1);
	world_run(&w, USEC_S(2));
	k = failing_countdown;
	failing_countdown = 0;
	pair(&w);			/* a tunnel that could not be set is set now */
	world_tell(&w, 0, IKE_OPEN, 1);
	ck_assert_msg(world_run_until_agreed(&w, 1, USEC_S(120)), "allocation %lu", k);
	world_fini(&w);
	failing_countdown = k;
}

/* "no memory" a hundred times is no news here. */
static void
silence(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

/* OpenSSL's allocations are among them. */
static void *
ossl_malloc(size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return malloc(n);
}

static void *
ossl_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return realloc(p, n);
}

static void
ossl_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	free(p);
}

START_TEST(every_allocation_may_fail)
{
	log_to(silence, NULL);
	by_openssl = _i != 0;
	ck_assert_uint_gt(failing_each(live), 500);
}
END_TEST

/* ---- the monitor ------------------------------------------------------------------------ */

static void
watch_all(void)
{
	struct mon_conf conf = { .connection = 1, .name = "office", .n = 2, .tunnel = { 1, 2 },
	    .echo = { true, true }, .hold = USEC_S(30), .silence = USEC_MS(200),
	    .spacing = USEC_MS(100), .idle = USEC_S(2) };
	struct rng rng = rng_system();
	struct mon_action a;
	struct monitor *m;
	struct mon_status st;
	usec_t now = USEC_S(1);
	bool known;

	armed = true;
	m = monitor_new(&rng);
	for (unsigned i = 0; m != NULL && i < 3; i++) {
		conf.connection = i % 2 + 1;
		conf.tunnel[0] = 2 * conf.connection - 1;
		conf.tunnel[1] = 2 * conf.connection;
		conf.n = i < 2 ? 2 : 1;
		monitor_input(m, now, &(struct mon_fact){ .kind = MON_SET,
			.connection = conf.connection, .conf = &conf });
		for (unsigned t = 1; t <= 4; t++)
			monitor_input(m, now, &(struct mon_fact){ .kind = MON_UP, .tunnel = t });
		for (unsigned k = 0; k < 20; k++, now += USEC_MS(100)) {
			monitor_input(m, now, &(struct mon_fact){ .kind = MON_SAMPLE, .tunnel = 1,
				.last_out = now });
			monitor_tick(m, now);
			while (monitor_next(m, &a))
				;
		}
	}
	armed = false;
	/* Watched with both tunnels, or not at all. */
	for (unsigned c = 1; m != NULL && c <= 2; c++) {
		known = monitor_status(m, 2 * c - 1, &st);
		ck_assert(c == 1 || known == monitor_status(m, 2 * c, &st));
	}
	monitor_free(m);
}

START_TEST(a_connection_is_watched_or_not)
{
	ck_assert_uint_ge(failing_each(watch_all), 8);
}
END_TEST

/* ---- ESP -------------------------------------------------------------------------------- */

static struct secrets *pool;
static struct aead_set *aeads;

static void
child_of(struct child_sa *c, uint32_t spi)
{
	struct prefix all;

	memset(c, 0, sizeof(*c));
	ck_assert(prefix_parse("0.0.0.0/0", true, &all));
	c->tunnel = 1;
	c->spi_in = spi;
	c->spi_out = spi + 1;
	c->aead = AEAD_AES_GCM_16_256;
	c->window = 1024;
	c->key_len = 36;
	c->ts_local.n = c->ts_remote.n = 1;
	c->ts_local.ts[0] = c->ts_remote.ts[0] = ts_from_prefix(&all);
}

static struct esp_path *
path_of(void)
{
	struct esp_path *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->device = 7;
	p->n = 1;
	p->t[0].tunnel = 1;
	return p;
}

/* Give a command; what it did not take is still ours. */
static void
give(struct esp *e, struct esp_cmd cmd)
{
	if (cmd.kind == ESP_CMD_PATH_SET ? cmd.path == NULL : cmd.kind <= ESP_CMD_SA_OUT &&
	    cmd.sa == NULL)
		return;
	if (e != NULL && esp_command(e, USEC_S(1), &cmd))
		return;
	if (cmd.kind == ESP_CMD_PATH_SET)
		esp_path_free(cmd.path);
	else if (cmd.kind <= ESP_CMD_SA_OUT)
		esp_sa_free(pool, cmd.sa);
}

static void
esp_life(void)
{
	static const uint8_t key[16];
	struct child_sa c[2];
	struct esp_event ev;
	struct esp *e;
	bool stopped;

	child_of(&c[0], 0x1000);
	child_of(&c[1], 0x2000);
	armed = true;
	e = esp_new(aeads, key);
	for (unsigned i = 0; i < 2; i++) {
		give(e, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = path_of() });
		give(e, (struct esp_cmd){ .kind = ESP_CMD_ENDPOINT, .tunnel = 1 });
		give(e, (struct esp_cmd){ .kind = ESP_CMD_SA_IN,
			.sa = esp_sa_in_new(pool, aeads, &c[i]) });
		give(e, (struct esp_cmd){ .kind = ESP_CMD_SA_OUT,
			.sa = esp_sa_out_new(pool, aeads, &c[i], 0) });
	}
	stopped = e == NULL ||
	    esp_command(e, USEC_S(1), &(struct esp_cmd){ .kind = ESP_CMD_STOP });
	armed = false;
	ck_assert(stopped);
	/* Each comes back once; the pool says whether all did. */
	while (e != NULL && esp_event(e, &ev)) {
		if (ev.kind == ESP_EV_SA_BACK)
			esp_sa_free(pool, ev.sa);
		else if (ev.kind == ESP_EV_PATH_BACK)
			esp_path_free(ev.path);
	}
	ck_assert_uint_eq(secrets_used(pool), 0);
	if (e != NULL)
		esp_free(e);
}

START_TEST(esp_gives_everything_back)
{
	pool = secrets_new();
	aeads = aead_set_new();
	ck_assert_uint_ge(failing_each(esp_life), 15);
	aead_set_free(aeads);
	secrets_free(pool);
}
END_TEST

static void
fill(TCase *tc)
{
	if (CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free) != 1)
		abort();
	tcase_add_loop_test(tc, every_allocation_may_fail, 0, 2);
	tcase_add_test(tc, a_connection_is_watched_or_not);
	tcase_add_test(tc, esp_gives_everything_back);
}

UNIT_MAIN("sim/memory", fill)
