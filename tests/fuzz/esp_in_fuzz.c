/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "esp/esp.h"

/*
 * The whole engine.  The first byte says as what the rest comes:
 *	0	a datagram, as it stands
 *	1	a datagram of our SPI: the rest follows the SPI
 *	2..	the plaintext of an authentic packet of our SA, trailer included (a bad peer)
 *	0x80..	a packet from the device
 * After each the sums of counters must hold, and what was delivered must be a packet.
 */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { SPI = 0x11223344, BUF = 4096, ROOM = BUF - PKT_HEADROOM - PKT_TAILROOM };

static struct secrets *sec;
static struct aead_set *aeads;
static struct aead_scratch *scratch;
static struct aead_key key;
static struct esp *e;
static struct batch in;
static struct pkt views[2][8];

static struct child_sa
child(void)
{
	struct child_sa c = { .tunnel = 1, .spi_in = SPI, .spi_out = 0x55667788,
		.aead = AEAD_AES_GCM_16_128, .esn = true, .window = 64, .key_len = 20 };
	struct prefix p;

	c.ts_local.n = c.ts_remote.n = 2;
	(void)prefix_parse("0.0.0.0/0", true, &p);
	c.ts_local.ts[0] = c.ts_remote.ts[0] = ts_from_prefix(&p);
	(void)prefix_parse("::/0", true, &p);
	c.ts_local.ts[1] = c.ts_remote.ts[1] = ts_from_prefix(&p);
	return c;
}

static void
command(struct esp_cmd cmd)
{
	if (!esp_command(e, 1000000, &cmd))
		abort();
}

static struct esp_path *
path(void)
{
	struct esp_path *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	p->n = 1;
	p->t[0].tunnel = 1;
	p->t[0].mtu = 1300;
	(void)ip_parse("169.254.1.1", &p->t[0].inside_local[0]);
	(void)ip_parse("169.254.1.2", &p->t[0].inside_peer[0]);
	(void)ip_parse("fd00::1", &p->t[0].inside_local[1]);
	(void)ip_parse("fd00::2", &p->t[0].inside_peer[1]);
	p->sources = calloc(2, sizeof(*p->sources));
	if (p->sources == NULL)
		abort();
	p->sources_n = 2;
	(void)prefix_parse("0.0.0.0/0", true, &p->sources[0]);
	(void)prefix_parse("::/0", true, &p->sources[1]);
	p->clamp_mss = true;
	return p;
}

static void
end(void)
{
	struct esp_event ev;

	command((struct esp_cmd){ .kind = ESP_CMD_STOP });
	while (esp_event(e, &ev)) {
		if (ev.kind == ESP_EV_SA_BACK)
			esp_sa_free(sec, ev.sa);
		else if (ev.kind == ESP_EV_PATH_BACK)
			esp_path_free(ev.path);
	}
	assert(secrets_used(sec) == 0);
}

/* A fresh pair of SAs for every input, so that each meets the same state. */
static void
begin(void)
{
	struct child_sa c = child();
	struct endpoint remote = { .ip = { .family = AF_INET, .b = { 192, 0, 2, 1 } }, .port = 4500 };

	command((struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = path() });
	command((struct esp_cmd){ .kind = ESP_CMD_ENDPOINT, .tunnel = 1, .remote = remote });
	command((struct esp_cmd){ .kind = ESP_CMD_SA_IN, .sa = esp_sa_in_new(sec, aeads, &c) });
	command((struct esp_cmd){ .kind = ESP_CMD_SA_OUT, .sa = esp_sa_out_new(sec, aeads, &c, 0) });
}

static void
start(void)
{
	static const uint8_t probe_key[16] = "fuzz";
	struct child_sa c = child();

	if (e != NULL)
		return;
	sec = secrets_new();
	aeads = aead_set_new();
	scratch = aead_scratch_new(aeads);
	e = esp_new(aeads, probe_key);
	if (e == NULL || !batch_init(&in, 1, BUF) ||
	    !aead_key_init(&key, aeads, c.aead, c.key_in, c.key_len))
		abort();
}

/* Encrypt the text as the peer would, with number 1. */
static void
forge(struct pkt *p, const uint8_t *text, size_t len)
{
	static const uint8_t aad[12] = { 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 0, 0, 0, 1 };
	struct wr w = wr_init(pkt_data(p), 16);
	struct aead_op op = { .aad = aad, .aad_len = 12, .iv = pkt_data(p) + 8, .src = text,
		.dst = pkt_data(p) + 16, .len = len, .icv = pkt_data(p) + 16 + len };

	wr_u32(&w, SPI);
	wr_u32(&w, 1);
	wr_u64(&w, 99);
	if (!aead_seal(&key, scratch, &op))
		abort();
	p->len = (uint32_t)(16 + len + 16);
}

static void
check(const struct batch *inner)
{
	struct esp_stats st;
	uint64_t out = 0, arrived = 0;

	esp_stats(e, &st);
	for (unsigned d = 0; d < DROP_N; d++)
		*(d < DROP_IN_SHORT ? &out : &arrived) += st.drop[d];
	assert(st.out_packets + st.out_made == st.out_sent + out);
	assert(st.in_packets + st.in_made == st.in_delivered + st.in_answered + arrived);
	for (unsigned i = 0; i < inner->n; i++) {
		const struct pkt *p = &inner->pkt[i];

		assert((size_t)p->off + p->len <= p->cap && p->len >= 20);
		assert(pkt_data(p)[0] >> 4 == 4 || pkt_data(p)[0] >> 4 == 6);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct batch wire = { .pkt = views[0], .cap = 8 }, inner = { .pkt = views[1], .cap = 8 };
	struct pkt *p;
	uint8_t kind;

	if (len < 1 || len > ROOM)
		return 0;
	kind = *data++;
	len--;
	start();
	begin();
	batch_reset(&in);
	p = batch_next(&in);
	p->tos = kind & 3;
	if (kind < 2) {
		memcpy(pkt_data(p), "\x11\x22\x33\x44", 4);
		memcpy(pkt_data(p) + kind * 4, data, len);
		p->len = (uint32_t)len + kind * 4u;
	} else if (kind < 0x80) {
		forge(p, data, len / 4 * 4);
	} else {
		memcpy(pkt_data(p), data, len);
		p->len = (uint32_t)len;
	}
	if (kind < 0x80)
		esp_in(e, 1000000, &in, &inner, &wire);
	else
		esp_out(e, 1000000, &in, &wire, &inner);
	check(&inner);
	end();
	return 0;
}
