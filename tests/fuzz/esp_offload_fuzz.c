/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "esp/esp.h"
#include "esp/offload.h"

/*
 * Super-packets.  The first byte says which way the rest goes:
 *	0	gso, segment size, then a super-packet of the device: split to its end
 *	1..	packets of a peer, each behind its length: coalesced, and split again, which must
 *		give as many packets and bytes
 */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { TAIL = 64, PKTS = 64 };

static void
split(struct rd r)
{
	struct pkt p = { .csum = PKT_CSUM_PARTIAL };
	size_t one, all = 0, expected, left;
	struct inner in;
	struct split s;
	uint8_t *at;

	p.gso = rd_u8(&r) % 3;
	p.segment = rd_u16(&r);
	left = rd_left(&r);
	if (!rd_ok(&r) || left > PKT_MAX)
		return;
	p.buf = malloc(left + TAIL);
	if (p.buf == NULL)
		abort();
	p.cap = (uint32_t)(left + TAIL);
	p.len = (uint32_t)left;
	rd_copy(&r, p.buf, left);
	if (inner_parse(&p, &in) && split_init(&s, &p, &in)) {
		expected = split_bytes(&s);
		while (s.n > 0) {
			assert(split_longest(&s) > 0);
			at = split_next(&s, &one);
			assert(at >= p.buf && at + one <= p.buf + p.len);
			all += one;
		}
		assert(all == expected && (s.gso == PKT_GSO_NONE || s.left == 0));
	}
	free(p.buf);
}

/* The packet in one stretch, as the device gets it. */
static size_t
flatten(const struct pkt *p, uint8_t *to)
{
	size_t n = p->len;

	memcpy(to, pkt_data(p), n);
	for (const struct pkt_piece *x = p->more; x != NULL; x = x->next) {
		assert(n + x->len <= PKT_MAX);
		memcpy(to + n, x->data, x->len);
		n += x->len;
	}
	return n;
}

/* Packets and bytes of a super-packet, counted by splitting it. */
static void
count(struct pkt *p, size_t *packets, size_t *bytes)
{
	static uint8_t buf[PKT_MAX + TAIL];
	struct pkt flat = *p;
	struct inner in;
	struct split s;
	size_t len;

	flat.buf = buf;
	flat.cap = sizeof(buf);
	flat.off = 0;
	flat.len = (uint32_t)flatten(p, buf);
	len = flat.len;
	assert(inner_parse(&flat, &in) && flat.len == len && split_init(&s, &flat, &in));
	assert(p->gso == PKT_GSO_NONE || (s.n >= 2 && s.n == p->segments));
	*packets += s.n;
	*bytes += split_bytes(&s);
}

static void
coalesce(struct rd r)
{
	static struct coalesce c;
	static struct pkt pkt[PKTS];
	size_t packets[2] = { 0 }, bytes[2] = { 0 };
	unsigned n = 0;
	uint8_t *mem = malloc(rd_left(&r) + 1);

	if (mem == NULL)
		abort();
	coalesce_reset(&c);
	for (size_t at = 0; rd_left(&r) > 0 && packets[0] < PKTS; ) {
		struct pkt p = { .buf = mem, .off = (uint32_t)at };
		struct co_seen seen;
		struct inner in;

		p.len = rd_u16(&r);
		p.len = p.len < rd_left(&r) ? p.len : (uint32_t)rd_left(&r);
		p.cap = (uint32_t)at + p.len;
		rd_copy(&r, mem + at, p.len);
		at += p.len;
		if (p.len == 0 || !inner_parse(&p, &in))
			continue;
		packets[0]++;
		bytes[0] += p.len;
		coalesce_look(&p, &in, ESP_TAKES_TCP | ESP_TAKES_UDP, &seen);
		if (coalesce_join(&c, &p, &seen))
			continue;
		pkt[n] = p;
		coalesce_open(&c, &pkt[n++], &seen);
	}
	for (unsigned i = 0; i < n; i++) {
		coalesce_finish(&pkt[i]);
		count(&pkt[i], &packets[1], &bytes[1]);
	}
	assert(packets[0] == packets[1] && bytes[0] == bytes[1]);
	free(mem);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd r = rd_init(data, len);
	uint8_t kind = rd_u8(&r);

	if (!rd_ok(&r))
		return 0;
	if (kind == 0)
		split(r);
	else
		coalesce(r);
	return 0;
}
