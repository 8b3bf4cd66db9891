/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "esp/esp.h"

/*
 * What a packet costs in the ESP engine, one core: nanoseconds a packet for esp_out() and
 * esp_in() with batches of 64, for each suite, at 64 and 1,400 inner bytes.  The checks, the
 * path and the replay window are in it; the kernel is not.  `make bench`
 * builds it.
 *
 * Each figure is the least of ROUNDS rounds: what the code takes, not what the machine had
 * to do besides.
 */
enum { BATCH = 64, BATCHES = 200, ROUNDS = 7, BUF = 2048 };

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct side {
	struct secrets *sec;
	struct aead_set *aeads;
	struct esp *e;
};

static void
command(struct side *s, struct esp_cmd cmd)
{
	if (!esp_command(s->e, 1, &cmd))
		abort();
}

static struct esp_path *
path(void)
{
	struct esp_path *p = calloc(1, sizeof(*p));

	if (p == NULL || (p->sources = calloc(1, sizeof(*p->sources))) == NULL)
		abort();
	p->n = p->sources_n = 1;
	p->t[0].tunnel = 1;
	p->t[0].mtu = 1438;
	(void)prefix_parse("10.1.0.0/16", true, p->sources);
	p->clamp_mss = p->copy_df = true;
	return p;
}

/* One engine whose outbound SA is its own inbound one: it talks to itself. */
static void
install(struct side *s, enum aead_id aead)
{
	const struct aead_info *info = aead_info(aead);
	struct child_sa c = { .tunnel = 1, .spi_in = 7, .spi_out = 7, .aead = aead, .esn = true,
		.window = 1024 };
	struct rng rng = rng_system();
	struct endpoint remote = { .ip = { .family = AF_INET, .b = { 192, 0, 2, 1 } }, .port = 4500 };
	struct prefix all;

	(void)prefix_parse("0.0.0.0/0", true, &all);
	c.ts_local.n = c.ts_remote.n = 1;
	c.ts_local.ts[0] = c.ts_remote.ts[0] = ts_from_prefix(&all);
	c.key_len = (uint16_t)(info->enc_len + info->salt_len + info->auth_len);
	rng_fill(&rng, c.key_in, c.key_len);
	memcpy(c.key_out, c.key_in, c.key_len);
	command(s, (struct esp_cmd){ .kind = ESP_CMD_SA_IN, .sa = esp_sa_in_new(s->sec, s->aeads, &c) });
	command(s, (struct esp_cmd){ .kind = ESP_CMD_SA_OUT,
	    .sa = esp_sa_out_new(s->sec, s->aeads, &c, 0) });
	command(s, (struct esp_cmd){ .kind = ESP_CMD_ENDPOINT, .tunnel = 1, .remote = remote });
	command(s, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = path() });
}

static void
drain(struct side *s)
{
	struct esp_event ev;

	while (esp_event(s->e, &ev)) {
		if (ev.kind == ESP_EV_SA_BACK)
			esp_sa_free(s->sec, ev.sa);
		else if (ev.kind == ESP_EV_PATH_BACK)
			esp_path_free(ev.path);
	}
}

static void
fill(struct batch *in, size_t len)
{
	static const uint8_t head[20] = { 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 1,
		10, 2, 0, 1 };

	batch_reset(in);
	for (unsigned i = 0; i < BATCH; i++) {
		struct pkt *p = batch_next(in);

		memcpy(pkt_data(p), head, sizeof(head));
		pkt_data(p)[2] = (uint8_t)(len >> 8);
		pkt_data(p)[3] = (uint8_t)len;
		p->len = (uint32_t)len;
	}
}

static unsigned
datagrams(const struct batch *wire)
{
	unsigned n = 0;

	for (unsigned i = 0; i < wire->n; i++)
		n += wire->pkt[i].segments;
	return n;
}

/* Nanoseconds a packet, out and in; the wire is the same memory. */
static void
measure(struct side *s, struct batch *in, size_t len, double ns[2])
{
	struct pkt views[3][BATCH];
	struct batch wire = { .pkt = views[0], .cap = BATCH }, inner = { .pkt = views[1], .cap = BATCH };
	struct batch back = { .pkt = views[2], .cap = BATCH };
	uint64_t t[3], spent[2];

	ns[0] = ns[1] = 1e9;
	for (int round = 0; round < ROUNDS; round++) {
		spent[0] = spent[1] = 0;
		for (int i = 0; i < BATCHES; i++) {
			fill(in, len);
			wire.n = inner.n = back.n = 0;
			t[0] = clock_ns();
			esp_out(s->e, 1, in, &wire, &back);
			t[1] = clock_ns();
			if (datagrams(&wire) != BATCH)
				abort();
			wire.mem = NULL;
			esp_in(s->e, 1, &wire, &inner, &back);
			t[2] = clock_ns();
			if (inner.n != BATCH)
				abort();
			spent[0] += t[1] - t[0];
			spent[1] += t[2] - t[1];
		}
		for (int k = 0; k < 2; k++)
			if ((double)spent[k] / (BATCH * BATCHES) < ns[k])
				ns[k] = (double)spent[k] / (BATCH * BATCHES);
	}
}

int
main(void)
{
	static const uint8_t key[16] = "bench";
	struct side s = { .sec = secrets_new(), .aeads = aead_set_new() };
	struct batch in;

	s.e = esp_new(s.aeads, key);
	if (s.e == NULL || !batch_init(&in, BATCH, BUF))
		return EXIT_FAILURE;
	printf("%-16s %-10s %9s %9s %9s %9s   ns a packet\n", "suite", "by", "out 64", "in 64",
	    "out 1400", "in 1400");
	for (enum aead_id id = AEAD_NONE + 1; id < AEAD_N; id++) {
		double ns[2][2];

		install(&s, id);
		measure(&s, &in, 64, ns[0]);
		measure(&s, &in, 1400, ns[1]);
		printf("%-16s %-10s %9.0f %9.0f %9.0f %9.0f\n", aead_info(id)->name,
		    aead_set_provider(s.aeads, id), ns[0][0], ns[0][1], ns[1][0], ns[1][1]);
		command(&s, (struct esp_cmd){ .kind = ESP_CMD_STOP });
		drain(&s);
	}
	esp_free(s.e);
	batch_fini(&in);
	aead_set_free(s.aeads);
	secrets_free(s.sec);
	return EXIT_SUCCESS;
}
