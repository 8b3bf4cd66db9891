/* SPDX-License-Identifier: MIT */
#include "esp_burst.h"

/*
 * What is joined and what is not, through the coalescer's own functions; that whole streams come
 * out as they went in is in esp_offload_test.
 */
enum { SLOTS = 2 * CO_FLOWS + 2, SLOT = 2048, BOTH = ESP_TAKES_TCP | ESP_TAKES_UDP };

static struct coalesce co;
static uint8_t slot[SLOTS][SLOT];	/* what is joined stays where it is */
static struct pkt batch[SLOTS];
static unsigned slots, batch_n;

static void
setup(void)
{
	coalesce_reset(&co);
	slots = batch_n = 0;
}

/* A packet on its way to device 8, as esp_in() would have it.  True: it was joined. */
static bool
arrives(const uint8_t *data, size_t len, unsigned takes)
{
	struct pkt p = { .buf = slot[slots], .cap = SLOT, .off = 64, .len = (uint32_t)len,
		.device = 8 };
	struct co_seen seen;
	struct inner in;

	ck_assert_uint_lt(slots, SLOTS);
	memcpy(slot[slots++] + 64, data, len);
	ck_assert(inner_parse(&p, &in));
	coalesce_look(&p, &in, takes, &seen);
	if (coalesce_join(&co, &p, &seen))
		return true;
	batch[batch_n] = p;
	coalesce_open(&co, &batch[batch_n++], &seen);
	return false;
}

/* Packet k of the burst. */
static bool
comes(const struct burst *b, unsigned k)
{
	uint8_t data[SLOT];

	return arrives(data, segment(b, k, data), BOTH);
}

static struct burst
burst_of(unsigned host, bool v6, bool udp)
{
	return (struct burst){ .v6 = v6, .udp = udp, .host = host, .ttl = 60, .flags = TCP_ACK,
	    .id = 0xfffe, .window = 500, .size = 100, .seq = 0xffffff80, .ack = 77, .df = true,
	    .payload = 450 };
}

/* Both families, both protocols: five packets are one, the last shorter, and split again they are
 * what they were. */
START_TEST(what_continues_is_joined)
{
	struct burst b = burst_of(1, _i % 2 != 0, _i / 2 != 0);
	struct stream was, is;
	uint8_t data[SLOT];

	stream_init(&was);
	stream_init(&is);
	for (unsigned k = 0; k < 5; k++) {
		stream_add(&was, data, segment(&b, k, data));
		ck_assert(comes(&b, k) == (k > 0));
	}
	ck_assert_uint_eq(batch_n, 1);
	coalesce_finish(&batch[0]);
	ck_assert_uint_eq(batch[0].gso, b.udp ? PKT_GSO_UDP : PKT_GSO_TCP);
	ck_assert_uint_eq(batch[0].segment, 100);
	unfold(&batch[0], &is);
	ck_assert_uint_eq(is.n, 5);
	ck_assert_uint_eq(is.used, was.used);
	ck_assert_mem_eq(is.mem, was.mem, was.used);
	free(was.mem);
	free(is.mem);
}
END_TEST

/* One packet is given on as it is. */
START_TEST(one_alone_is_no_super_packet)
{
	struct burst b = burst_of(1, false, false);

	ck_assert(!comes(&b, 0));
	coalesce_finish(&batch[0]);
	ck_assert_uint_eq(batch[0].gso, PKT_GSO_NONE);
	ck_assert_uint_eq(batch[0].csum, PKT_CSUM_DONE);
	ck_assert_ptr_null(batch[0].more);
}
END_TEST

static void
differ_tos(struct burst *b) { b->tos = 4; }
static void
differ_ttl(struct burst *b) { b->ttl = 61; }
static void
differ_ack(struct burst *b) { b->ack++; }
static void
differ_window(struct burst *b) { b->window++; }
static void
differ_seq(struct burst *b) { b->seq++; }
static void
differ_id(struct burst *b) { b->id++; }
static void
differ_df(struct burst *b) { b->df = false; }
static void
differ_option(struct burst *b) { b->option = 2; }
static void
differ_options(struct burst *b) { b->options = 8; }
static void
differ_fin(struct burst *b) { b->flags |= TCP_FIN; b->payload = 200; }
static void
differ_urgent(struct burst *b) { b->flags |= TCP_URG; }
static void
differ_ece(struct burst *b) { b->flags |= TCP_ECE; }
static void
differ_cwr(struct burst *b) { b->flags |= TCP_CWR; b->seq += 100; b->id++; }
static void
differ_host(struct burst *b) { b->host = 2; }

/* Anything that a split would not make again keeps a packet by itself. */
START_TEST(what_differs_is_not_joined)
{
	static void (*const differ[])(struct burst *) = { differ_tos, differ_ttl, differ_ack,
		differ_window, differ_seq, differ_id, differ_df, differ_option, differ_options, differ_fin,
		differ_urgent, differ_ece, differ_cwr, differ_host };
	struct burst b = burst_of(1, false, false), other;

	b.options = 4;
	b.option = 1;
	for (size_t i = 0; i < sizeof(differ) / sizeof(differ[0]); i++) {
		setup();
		other = b;
		differ[i](&other);
		ck_assert(!comes(&b, 0));
		ck_assert_msg(!comes(&other, differ[i] == differ_cwr ? 0 : 1), "difference %zu", i);
		ck_assert_uint_eq(batch_n, 2);
	}
}
END_TEST

/* What the kernel gets as a super-packet it does not verify: so we do. */
START_TEST(a_wrong_checksum_is_not_joined)
{
	uint8_t data[2][SLOT];
	struct burst b = burst_of(1, false, _i != 0);
	size_t len = segment(&b, 0, data[0]);

	ck_assert_uint_eq(segment(&b, 1, data[1]), len);
	for (unsigned wrong = 0; wrong < 2; wrong++) {
		for (size_t at = 0; at < 2; at++) {		/* the payload's, the IP header's */
			setup();
			data[wrong][at == 0 ? len - 1 : 10] ^= 0x40;
			ck_assert(!arrives(data[0], len, BOTH));
			ck_assert_msg(!arrives(data[1], len, BOTH), "%u %zu", wrong, at);
			data[wrong][at == 0 ? len - 1 : 10] ^= 0x40;
		}
	}
	setup();
	ck_assert(!arrives(data[0], len, BOTH));
	ck_assert(arrives(data[1], len, BOTH));
}
END_TEST

/* A shorter one, and one with PSH, are the last of a super-packet; a longer one begins another. */
START_TEST(what_ends_a_super_packet)
{
	struct burst b = burst_of(1, false, false), more;

	for (unsigned k = 0; k < 5; k++)
		(void)comes(&b, k);			/* the last has 50 bytes */
	more = b;
	more.seq += 450;
	more.id = (uint16_t)(more.id + 5);
	more.payload = 200;
	ck_assert(!comes(&more, 0));
	setup();
	b.payload = 200;
	b.flags |= TCP_PSH;
	ck_assert(!comes(&b, 0));
	ck_assert(comes(&b, 1));			/* with PSH */
	more = b;
	more.seq += 200;
	more.id = (uint16_t)(more.id + 2);
	ck_assert(!comes(&more, 0));
	setup();
	b.flags = TCP_ACK;
	ck_assert(!comes(&b, 0));
	more = b;
	more.seq += 100;
	more.id++;
	more.size = 101;
	ck_assert(!comes(&more, 0));
}
END_TEST

START_TEST(only_what_the_device_takes)
{
	for (unsigned takes = 0; takes < 4; takes++) {
		for (unsigned udp = 0; udp < 2; udp++) {
			struct burst b = burst_of(1, false, udp != 0);
			uint8_t data[SLOT];
			bool may = (takes & (udp ? ESP_TAKES_UDP : ESP_TAKES_TCP)) != 0;

			setup();
			ck_assert(!arrives(data, segment(&b, 0, data), takes));
			ck_assert(arrives(data, segment(&b, 1, data), takes) == may);
		}
	}
}
END_TEST

/* A packet that cannot be joined ends its flow: what comes later must stand behind it, and not in
 * the super-packet in front of it.  Other flows go on. */
START_TEST(order_within_a_flow_is_kept)
{
	struct burst b = burst_of(1, false, false), other = burst_of(2, false, false), odd = b;

	odd.flags |= TCP_URG;
	ck_assert(!comes(&b, 0));
	ck_assert(!comes(&other, 0));
	ck_assert(!comes(&odd, 1));
	ck_assert(!comes(&b, 2));			/* behind the odd one, and not the first's next */
	ck_assert(comes(&other, 1));
	ck_assert(comes(&b, 3));			/* of the new one */
	ck_assert_uint_eq(batch_n, 4);
}
END_TEST

/* A fragment has no ports: it may be of any flow, so it ends them all. */
START_TEST(a_fragment_ends_every_flow)
{
	struct burst b = burst_of(1, false, false), other = burst_of(2, false, false);
	struct burst third = burst_of(3, false, true);
	uint8_t data[SLOT];
	size_t len = segment(&third, 0, data);

	put16(data + 6, 0x2000);
	put16(data + 10, 0);
	put16(data + 10, sum_of(data, 20, 0));
	ck_assert(!comes(&b, 0));
	ck_assert(!comes(&other, 0));
	ck_assert(comes(&other, 1));
	ck_assert(!arrives(data, len, BOTH));
	ck_assert(!comes(&b, 1));
	ck_assert(!comes(&other, 2));
}
END_TEST

/* As many as there is room for grow side by side; of one more the newest does. */
START_TEST(there_is_room_for_so_many_flows)
{
	struct burst b[CO_FLOWS + 1];

	for (unsigned h = 0; h <= CO_FLOWS; h++)
		b[h] = burst_of(1 + h, false, false);
	for (unsigned h = 0; h < CO_FLOWS; h++)
		ck_assert(!comes(&b[h], 0));
	for (unsigned h = 0; h < CO_FLOWS; h++)
		ck_assert_msg(comes(&b[h], 1), "flow %u", h);
	setup();
	for (unsigned h = 0; h <= CO_FLOWS; h++)
		ck_assert(!comes(&b[h], 0));
	ck_assert(comes(&b[CO_FLOWS], 1));
}
END_TEST

/* Where the next packet of the flow would lie, and how much header it has; nowhere else. */
START_TEST(the_next_place_is_guessed)
{
	struct burst b = burst_of(1, false, false);
	const uint8_t *end = slot[0] + 64 + 40 + 100;

	ck_assert_uint_eq(coalesce_guess(&co, end), 0);
	ck_assert(!comes(&b, 0));
	ck_assert(comes(&b, 1));
	end = slot[1] + 64 + 40 + 100;
	ck_assert_uint_eq(coalesce_guess(&co, end), 40);
	ck_assert_uint_eq(coalesce_guess(&co, end + 1), 0);
	coalesce_reset(&co);
	ck_assert_uint_eq(coalesce_guess(&co, end), 0);
	b.size = 39;				/* a header would cover the one that it is compared with */
	b.payload = 3 * 39;
	ck_assert(!comes(&b, 0));
	ck_assert(comes(&b, 1));
	ck_assert_uint_eq(coalesce_guess(&co, slot[3] + 64 + 40 + 39), 0);
}
END_TEST

static const struct { bool v6, udp; uint16_t size; } plain[] = {
	{ false, false, 1386 }, { true, false, 1366 }, { false, true, 1400 }, { true, true, 1200 },
};

/* A full super-packet arrives as one, or as two where 64 packets or 64 KiB end it. */
START_TEST(a_burst_stays_together)
{
	static struct world w;
	static uint8_t buf[PKT_MAX + 1];
	struct burst b = { .v6 = plain[_i].v6, .udp = plain[_i].udp, .size = plain[_i].size,
		.host = 20, .ttl = 64, .flags = TCP_ACK | TCP_PSH, .seq = 0xfffff000, .id = 0xfff0,
		.df = true };
	struct pkt *p;
	size_t len;

	world_init(&w, 5, AEAD_AES_GCM_16_256, 3);
	b.payload = (65535 - 100) / b.size * b.size;
	len = segment(&b, ~0u, buf);
	p = give(&w, buf, len);
	p->gso = b.udp ? PKT_GSO_UDP : PKT_GSO_TCP;
	p->segment = b.size;
	p->csum = PKT_CSUM_PARTIAL;
	for (unsigned k = 0; k < burst_n(&b); k++) {
		len = segment(&b, k, buf);
		stream_add(&w.sent, buf, len);
	}
	ck_assert_uint_le(out_of(&w), 2);
	/* and the same as single packets */
	for (unsigned k = 0; k < burst_n(&b); k++) {
		len = segment(&b, k, buf);
		(void)give(&w, buf, len);
	}
	ck_assert_uint_le(out_of(&w), 3);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, what_continues_is_joined, 0, 4);
	tcase_add_test(tc, one_alone_is_no_super_packet);
	tcase_add_test(tc, what_differs_is_not_joined);
	tcase_add_loop_test(tc, a_wrong_checksum_is_not_joined, 0, 2);
	tcase_add_test(tc, what_ends_a_super_packet);
	tcase_add_test(tc, only_what_the_device_takes);
	tcase_add_test(tc, order_within_a_flow_is_kept);
	tcase_add_test(tc, a_fragment_ends_every_flow);
	tcase_add_test(tc, there_is_room_for_so_many_flows);
	tcase_add_test(tc, the_next_place_is_guessed);
	tcase_add_loop_test(tc, a_burst_stays_together, 0, 4);
}

UNIT_MAIN("esp_coalesce", fill)
