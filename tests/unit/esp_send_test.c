/* SPDX-License-Identifier: MIT */
#include "esp_burst.h"

/*
 * Which datagrams share a train, and that none is lost where there is no room.  Numbers, their end
 * and the counters of send.c are in esp_engine_numbers_test and esp_engine_drops_test.
 */

/* Equal packets of one tunnel leave as one train; a longer one begins another. */
START_TEST(equal_packets_make_trains)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = RIG_PKTS };
	struct batch back = { .pkt = views[1], .cap = RIG_PKTS };
	struct rig r;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (unsigned i = 0; i < 130; i++)
		rig_add(&r, 0, &flow_v4, 64);
	rig_add(&r, 0, &flow_v4, 40);			/* shorter: completes the train */
	rig_add(&r, 0, &flow_v4, 40);
	rig_add(&r, 0, &flow_v6, 100);			/* longer: another */
	ck_assert(esp_out(r.e[0], r.now, &r.in, &wire, &back));
	ck_assert_uint_eq(wire.n, 5);
	ck_assert_uint_eq(wire.pkt[0].segments, 64);
	ck_assert_uint_eq(wire.pkt[1].segments, 64);
	ck_assert_uint_eq(wire.pkt[2].segments, 3);
	ck_assert_uint_eq(wire.pkt[3].segments, 1);
	ck_assert_uint_eq(wire.pkt[3].segment, 0);
	ck_assert_uint_eq(wire.pkt[4].segments, 1);
	rig_fini(&r);
}
END_TEST

/* What the trains carry, in order: lengths of datagrams. */
static unsigned
lengths(const struct batch *wire, unsigned *len, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < wire->n; i++) {
		unsigned step = wire->pkt[i].segment != 0 ? wire->pkt[i].segment : wire->pkt[i].len;

		ck_assert(wire->pkt[i].segments == 1 || wire->pkt[i].segment != 0);
		ck_assert_uint_eq(((uintptr_t)wire->pkt[i].buf + wire->pkt[i].off) % 4, 0);
		for (unsigned at = 0; at < wire->pkt[i].len; at += step) {
			ck_assert_uint_lt(n, max);
			len[n++] = wire->pkt[i].len - at < step ? wire->pkt[i].len - at : step;
		}
	}
	return n;
}

/* Other ECN bits are another TOS outside, and a socket sends a train with one. */
START_TEST(another_tos_begins_another_train)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = RIG_PKTS };
	struct batch back = { .pkt = views[1], .cap = RIG_PKTS };
	struct flow ect = flow_v4;
	struct rig r;

	ect.tos = 2;
	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (int i = 0; i < 6; i++)
		rig_add(&r, 0, i / 2 == 1 ? &ect : &flow_v4, 64);
	ck_assert(esp_out(r.e[0], r.now, &r.in, &wire, &back));
	ck_assert_uint_eq(wire.n, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(wire.pkt[i].segments, 2);
		ck_assert_uint_eq(wire.pkt[i].tos & 3, i == 1 ? 2 : 0);
	}
	rig_fini(&r);
}
END_TEST

/* However little the caller takes at once, all of it leaves, in order. */
START_TEST(small_batches_lose_nothing)
{
	static struct pkt views[2][RIG_PKTS];
	struct batch wire = { .pkt = views[0], .cap = 1 + (unsigned)_i };
	struct batch back = { .pkt = views[1], .cap = RIG_PKTS };
	unsigned len[RIG_PKTS], n = 0, one = 0;
	struct rig r;
	bool done;

	rig_init(&r, AEAD_AES_GCM_16_256, true);
	for (unsigned i = 0; i < 40; i++)
		rig_add(&r, 0, &flow_v4, 64 + i % 5 * 16);
	do {
		wire.n = back.n = 0;
		done = esp_out(r.e[0], r.now, &r.in, &wire, &back);
		ck_assert_uint_le(wire.n, wire.cap);
		n += lengths(&wire, len + n, RIG_PKTS - n);
		rig_balance(&r);
	} while (!done);
	ck_assert_uint_eq(n, 40);
	for (unsigned i = 0; i < n; i++) {
		if (i == 0)
			one = len[0];
		ck_assert_uint_eq(len[i], one + i % 5 * 16);
	}
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, equal_packets_make_trains);
	tcase_add_test(tc, another_tos_begins_another_train);
	tcase_add_loop_test(tc, small_batches_lose_nothing, 0, 5);
}

UNIT_MAIN("esp_send", fill)
