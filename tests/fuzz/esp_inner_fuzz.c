/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "esp/mtu.h"
#include "esp/probe.h"

/*
 * An inner packet as a peer may send it once it is authentic: viewed, and given to everything
 * that reads or changes one.  The first byte is the outer TOS, the second chooses the MTU.
 */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t out[70000];

static void
cut_up(const struct pkt *p, const struct inner *in, unsigned mtu)
{
	struct pkt part = { .buf = out, .cap = sizeof(out) };
	unsigned parts = 0;
	size_t at = 0, all = 0;

	if (!mtu_can_cut(in, mtu) || !mtu_exceeds(in, mtu))
		return;
	do {
		at = mtu_cut(p, in, at, 1, &part, mtu);
		assert(part.len > INNER_V4_HEAD && part.len <= mtu);
		all += part.len - INNER_V4_HEAD;
		parts++;
	} while (at != 0);
	assert(parts == mtu_parts(in, mtu) && all == in->len - INNER_V4_HEAD);
}

static void
change(struct pkt *p, struct inner *in, uint8_t tos, unsigned mtu)
{
	static const uint8_t key[PROBE_KEY] = "fuzz";
	struct pkt answer = { .buf = out, .cap = sizeof(out) };
	struct ip from = { .family = in->src.family, .b = { 10, 1, 2, 3 } };
	uint32_t was = p->len;
	struct probe probe;
	struct inner again;
	uint64_t token;

	assert(p->len == in->len && in->head <= in->len);
	assert(!in->has_port || !in->frag);
	assert(!in->later || in->frag);
	mtu_clamp(p, in, mtu);
	cut_up(p, in, mtu);
	if (mtu_too_big(p, in, mtu, &from, &answer))
		assert(inner_parse(&answer, &again) && ip_equal(&again.dst, &in->src));
	if (inner_ecn_arrive(p, in, tos))
		assert(inner_parse(p, &again) && again.tos == in->tos);
	probe_init(&probe, key);
	(void)probe_match(&probe, p, in, &token);
	if (probe_is_request(p, in)) {
		probe_answer(p, in);
		assert(inner_parse(p, &again) && !probe_is_request(p, &again));
		assert(ip_equal(&again.src, &in->src) && ip_equal(&again.dst, &in->dst));
	}
	assert(p->len == was);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct inner in;
	struct pkt p;

	if (len < 2)
		return 0;
	p = (struct pkt){ .cap = (uint32_t)(len - 2), .len = (uint32_t)(len - 2) };
	p.buf = malloc(len);
	if (p.buf == NULL)
		return 0;
	memcpy(p.buf, data + 2, len - 2);
	if (inner_parse(&p, &in))
		change(&p, &in, data[0], 28 + data[1] * 8u);
	p.csum = PKT_CSUM_PARTIAL;
	p.csum_start = data[0];
	p.csum_offset = data[1];
	(void)inner_finish_csum(&p);
	free(p.buf);
	return 0;
}
