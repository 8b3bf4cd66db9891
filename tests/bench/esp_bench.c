/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench.h"
#include "esp/esp.h"
#include "esp/seal.h"

/*
 * What ESP adds to its cipher, one core, batches of 64 packets in hot buffers, nanoseconds a
 * packet in layers, each with what is below it:
 *	aead	aead_seal() and aead_open() alone, over the same bytes in the same places
 *	esp	seal_packet() and open_packet(): header, IV, padding, replay window
 *	engine	esp_out() and esp_in(): parsing, path, selectors, numbers, counters, trains
 *	super	the engine with one TCP super-packet: split, checksums made, checked, joined
 * The kernel is in none of them.  `x aead` is the way out and in together, as a multiple of the
 * cipher; clocks are of the time-stamp counter.
 *
 *	make bench && build/plain/bench/esp_bench
 */
enum { N = 64, BUF = 2048, CHUNK = 4, TRAIN = 44 };

struct side {
	struct secrets *sec;
	struct aead_set *aeads;
	struct aead_scratch *scratch;
	struct esp *e;
	struct esp_sa *out, *in;	/* of their own: the engine holds another pair */
	size_t len;			/* of an inner packet */
	struct batch plain, wire, inner, back;
	struct batch super;		/* one super-packet */
	uint8_t *sealed, *opened;	/* N buffers each, one behind the other */
	uint64_t seq;
};

static void
need(bool ok)
{
	if (!ok) {
		fputs("esp_bench: something that must work does not\n", stderr);
		abort();
	}
}

static void
command(struct side *s, struct esp_cmd cmd)
{
	need(esp_command(s->e, 1, &cmd));
}

static struct esp_path *
path(void)
{
	struct esp_path *p = calloc(1, sizeof(*p));

	need(p != NULL && (p->sources = calloc(1, sizeof(*p->sources))) != NULL);
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
	s->in = esp_sa_in_new(s->sec, s->aeads, &c);
	s->out = esp_sa_out_new(s->sec, s->aeads, &c, 0);
	s->seq = 0;
	need(s->in != NULL && s->out != NULL);
	command(s, (struct esp_cmd){ .kind = ESP_CMD_SA_IN, .sa = esp_sa_in_new(s->sec, s->aeads, &c) });
	command(s, (struct esp_cmd){ .kind = ESP_CMD_SA_OUT,
	    .sa = esp_sa_out_new(s->sec, s->aeads, &c, 0) });
	command(s, (struct esp_cmd){ .kind = ESP_CMD_ENDPOINT, .tunnel = 1, .remote = remote });
	command(s, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = path() });
}

static void
remove_all(struct side *s)
{
	struct esp_event ev;

	esp_sa_free(s->sec, s->in);
	esp_sa_free(s->sec, s->out);
	command(s, (struct esp_cmd){ .kind = ESP_CMD_STOP });
	while (esp_event(s->e, &ev)) {
		if (ev.kind == ESP_EV_SA_BACK)
			esp_sa_free(s->sec, ev.sa);
		else if (ev.kind == ESP_EV_PATH_BACK)
			esp_path_free(ev.path);
	}
}

/* UDP packets of one flow.  Sealing leaves them as they are. */
static void
fill(struct side *s)
{
	static const uint8_t head[28] = { 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 1,
		10, 2, 0, 1, 1, 2, 3, 4 };

	batch_reset(&s->plain);
	for (unsigned i = 0; i < N; i++) {
		struct pkt *p = batch_next(&s->plain);
		uint8_t *to = pkt_data(p);

		memcpy(to, head, sizeof(head));
		to[2] = (uint8_t)(s->len >> 8);
		to[3] = (uint8_t)s->len;
		p->len = (uint32_t)s->len;
	}
}

/* ---- the cipher alone ------------------------------------------------------------------ */

struct bare {
	struct aead_op op;
	size_t head, step;
	_Alignas(16) uint8_t aad[16];
	_Alignas(16) uint8_t tail[16];
};

static void
bare_init(struct bare *b, const struct side *s)
{
	const struct esp_sa *sa = s->out;

	memset(b, 0, sizeof(*b));
	b->head = SEAL_ESP_HEAD + (size_t)sa->iv_len;
	b->step = seal_len(sa, s->len);
	b->op = (struct aead_op){ .aad = b->aad, .aad_len = sa->cbc ? 8 : 12, .tail = b->tail,
		.tail_len = sa->cbc ? 4 : 0, .len = b->step - b->head - sa->icv_len };
}

static void
bare_seal(struct side *s)
{
	struct bare b;

	bare_init(&b, s);
	for (unsigned i = 0; i < N; i++) {
		uint8_t *to = s->sealed + i * b.step;

		memcpy(to + SEAL_ESP_HEAD, &(uint64_t){ s->seq + i }, sizeof(uint64_t));
		b.op.iv = to + SEAL_ESP_HEAD;
		b.op.src = pkt_data(&s->plain.pkt[i]);
		b.op.dst = to + b.head;
		b.op.icv = b.op.dst + b.op.len;
		need(aead_seal(&s->out->key, s->scratch, &b.op));
	}
}

static void
bare_open(struct side *s)
{
	struct bare b;

	bare_init(&b, s);
	for (unsigned i = 0; i < N; i++) {
		uint8_t *from = s->sealed + i * b.step;

		b.op.iv = from + SEAL_ESP_HEAD;
		b.op.src = from + b.head;
		b.op.dst = s->opened + i * b.op.len;
		b.op.icv = from + b.head + b.op.len;
		need(aead_open(&s->in->key, s->scratch, &b.op));
	}
}

/* ---- ESP alone ------------------------------------------------------------------------- */

static void
esp_seal(struct side *s)
{
	size_t step = seal_len(s->out, s->len);

	for (unsigned i = 0; i < N; i++) {
		struct seal x = { .body = pkt_data(&s->plain.pkt[i]), .len = s->len, .seq = ++s->seq,
			.to = s->sealed + i * step };

		need(seal_packet(s->out, s->scratch, &x) == PASS);
	}
}

static void
esp_open(struct side *s)
{
	size_t step = seal_len(s->out, s->len);
	struct opened o;

	for (unsigned i = 0; i < N; i++) {
		struct pkt p = { .buf = s->sealed + i * step, .cap = (uint32_t)step,
			.len = (uint32_t)step };

		need(open_packet(s->in, s->scratch, &p, s->opened + i * step, &o) == PASS);
	}
}

/* ---- the engine ------------------------------------------------------------------------ */

static void
engine_out(struct side *s)
{
	need(esp_out(s->e, 1, &s->plain, &s->wire, &s->back));
}

static void
engine_in(struct side *s)
{
	need(esp_in(s->e, 1, &s->wire, &s->inner, &s->back));
	need(s->inner.n == N);
}

/* ---- the engine, of a TCP super-packet -------------------------------------------------- */

/* As the kernel gives it: TRAIN packets of s->len bytes in one, their checksum still partial. */
static void
fill_super(struct side *s)
{
	static const uint8_t head[52] = { 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 1, 0, 1,
		10, 2, 0, 1, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10, 1, 0, 0, 0, 0, 0,
		1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2 };
	uint16_t segment = (uint16_t)(s->len - sizeof(head));
	size_t len = sizeof(head) + (size_t)TRAIN * segment;
	struct pkt *p;

	batch_reset(&s->super);
	p = batch_next(&s->super);
	memcpy(pkt_data(p), head, sizeof(head));
	pkt_data(p)[2] = (uint8_t)(len >> 8);
	pkt_data(p)[3] = (uint8_t)len;
	p->len = (uint32_t)len;
	p->gso = PKT_GSO_TCP;
	p->segment = segment;
	p->segments = TRAIN;
	p->head_len = sizeof(head);
	p->csum = PKT_CSUM_PARTIAL;
	p->csum_start = 20;
	p->csum_offset = 16;
}

static void
super_out(struct side *s)
{
	need(esp_out(s->e, 1, &s->super, &s->wire, &s->back));
}

static void
super_in(struct side *s)
{
	need(esp_in(s->e, 1, &s->wire, &s->inner, &s->back));
	need(s->inner.n == 1 && s->inner.pkt[0].segments == TRAIN);
}

/* Nanoseconds a packet, out and in.  Splitting spoils the super-packet: it is made anew. */
static void
measure_super(struct side *s, double ns[2])
{
	uint64_t best[2] = { UINT64_MAX, UINT64_MAX }, t[3];

	for (int round = 0; round < BENCH_ROUNDS * 16; round++) {
		fill_super(s);
		s->wire.n = s->inner.n = s->back.n = 0;
		t[0] = bench_ns();
		super_out(s);
		t[1] = bench_ns();
		super_in(s);
		t[2] = bench_ns();
		for (int k = 0; k < 2; k++)
			best[k] = t[k + 1] - t[k] < best[k] ? t[k + 1] - t[k] : best[k];
	}
	for (int k = 0; k < 2; k++)
		ns[k] = (double)best[k] / TRAIN;
}

struct layer {
	void (*out)(struct side *), (*in)(struct side *);
	double ns[2];			/* a packet, out and in: the least of many rounds */
};

/* One layer after the other in each round, so that a processor that changes its pace does for all. */
static void
measure(struct side *s, struct layer *layers, unsigned n)
{
	uint64_t spent[2], t[3];

	fill(s);
	for (int round = 0; round < BENCH_ROUNDS * 12; round++) {
		struct layer *l = &layers[round % (int)n];

		spent[0] = spent[1] = 0;
		for (int i = 0; i < CHUNK; i++) {
			s->wire.n = s->inner.n = s->back.n = 0;
			t[0] = bench_ns();
			l->out(s);
			t[1] = bench_ns();
			l->in(s);
			t[2] = bench_ns();
			spent[0] += t[1] - t[0];
			spent[1] += t[2] - t[1];
		}
		for (int k = 0; k < 2; k++)
			if (l->ns[k] == 0 || (double)spent[k] / (N * CHUNK) < l->ns[k])
				l->ns[k] = (double)spent[k] / (N * CHUNK);
	}
}

static void
row(struct side *s, enum aead_id id, size_t len, double ghz)
{
	struct layer l[] = { { bare_seal, bare_open, { 0 } }, { esp_seal, esp_open, { 0 } },
		{ engine_out, engine_in, { 0 } } };
	double super[2], sum;

	s->len = len;
	install(s, id);
	measure(s, l, sizeof(l) / sizeof(l[0]));
	measure_super(s, super);
	sum = l[0].ns[0] + l[0].ns[1];
	printf("%-16s %-10s %5zu", aead_info(id)->name, aead_set_provider(s->aeads, id), len);
	for (int k = 0; k < 2; k++)
		printf("  %6.1f %6.1f %6.1f %6.1f", l[0].ns[k], l[1].ns[k], l[2].ns[k], super[k]);
	printf("  %5.2f %6.2f  %5.0f %5.0f\n", (l[1].ns[0] + l[1].ns[1]) / sum,
	    (l[2].ns[0] + l[2].ns[1]) / sum, l[2].ns[0] * ghz, l[2].ns[1] * ghz);
	remove_all(s);
}

int
main(void)
{
	static const uint8_t key[16] = "bench";
	struct side s = { .sec = secrets_new(), .aeads = aead_set_new() };
	double ghz = bench_ghz();

	s.e = esp_new(s.aeads, key);
	s.scratch = aead_scratch_new(s.aeads);
	esp_device(s.e, 0, ESP_TAKES_TCP);
	s.sealed = malloc(N * BUF);
	s.opened = malloc(N * BUF);
	need(s.e != NULL && s.scratch != NULL && s.sealed != NULL && s.opened != NULL &&
	    batch_init(&s.plain, N, BUF) && batch_init(&s.super, 1, PKT_BUF) && batch_init(&s.wire, N, 0) &&
	    batch_init(&s.inner, N, 0) && batch_init(&s.back, N, 0));
	memset(s.sealed, 0, N * BUF);
	memset(s.opened, 0, N * BUF);
	printf("%-16s %-10s %5s  %27s  %27s  %12s  %11s\n", "", "", "", "out: ns a packet",
	    "in: ns a packet", "x aead", "clocks");
	printf("%-16s %-10s %5s  %6s %6s %6s %6s  %6s %6s %6s %6s  %5s %6s  %5s %5s   TSC %.2f GHz\n", "suite",
	    "by", "bytes", "aead", "esp", "engine", "super", "aead", "esp", "engine", "super", "esp",
	    "engine", "out", "in", ghz);
	for (int id = AEAD_NONE + 1; id < AEAD_N; id++) {
		row(&s, (enum aead_id)id, 64, ghz);
		row(&s, (enum aead_id)id, 1400, ghz);
	}
	esp_free(s.e);
	batch_fini(&s.plain);
	batch_fini(&s.super);
	batch_fini(&s.wire);
	batch_fini(&s.inner);
	batch_fini(&s.back);
	free(s.sealed);
	free(s.opened);
	aead_scratch_free(s.scratch);
	aead_set_free(s.aeads);
	secrets_free(s.sec);
	return EXIT_SUCCESS;
}
