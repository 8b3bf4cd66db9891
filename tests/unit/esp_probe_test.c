/* SPDX-License-Identifier: MIT */
#include "esp/probe.h"

#include "esp_rig.h"

static uint8_t buf[RIG_BUF];

static struct pkt
empty(void)
{
	return (struct pkt){ .buf = buf, .cap = 9216 };
}

static struct esp_probe
question(bool v6, uint64_t token, uint16_t pad_to)
{
	return (struct esp_probe){ .tunnel = 1, .from = inside_of(0, 1, v6), .to = inside_of(1, 1, v6),
		.token = token, .pad_to = pad_to };
}

static struct probe
asker(const char *key)
{
	struct probe pr;
	uint8_t bytes[16] = { 0 };

	memcpy(bytes, key, strlen(key));
	probe_init(&pr, bytes);
	return pr;
}

/* Well-formed to the checksum, of the size asked for; its answer matches, it itself does not. */
START_TEST(asks_and_matches)
{
	static const uint16_t pads[] = { 0, 1, 44, 45, 64, 65, 600, 1438, 9000, 9216 };
	struct probe pr = asker("key"), stranger = asker("kez");

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(pads) / sizeof(pads[0]); i++) {
			unsigned least = v6 ? 64 : 44;
			struct esp_probe q = question(v6, 0xabcdef0012340000 + i, pads[i]);
			struct pkt p = empty();
			struct inner in;
			uint64_t token = 0;

			ck_assert(probe_write(&pr, &q, &p));
			ck_assert_uint_eq(p.len, pads[i] > least ? pads[i] : least);
			ck_assert(inner_parse(&p, &in));
			ck_assert(ip_equal(&in.src, &q.from) && ip_equal(&in.dst, &q.to));
			ck_assert_uint_eq(upper_sum(buf, p.len), 0);
			ck_assert(v6 || sum_of(buf, 20, 0) == 0);
			ck_assert(probe_is_request(&p, &in));
			ck_assert(!probe_match(&pr, &p, &in, &token));
			buf[v6 ? 7 : 8] = 3;		/* TTL, as travelled */
			if (!v6) {
				put16(buf + 10, 0);
				put16(buf + 10, sum_of(buf, 20, 0));
			}
			probe_answer(&p, &in);
			ck_assert(inner_parse(&p, &in));
			ck_assert(ip_equal(&in.src, &q.to) && ip_equal(&in.dst, &q.from));
			ck_assert_uint_eq(upper_sum(buf, p.len), 0);
			ck_assert(v6 || sum_of(buf, 20, 0) == 0);
			ck_assert_uint_eq(buf[v6 ? 7 : 8], 64);
			ck_assert(!probe_is_request(&p, &in));
			ck_assert(probe_match(&pr, &p, &in, &token));
			ck_assert_uint_eq(token, q.token);
			ck_assert(!probe_match(&stranger, &p, &in, &token));
		}
	}
}
END_TEST

/* One changed bit of type, ident, token or hash, or one byte short: not ours. */
START_TEST(no_near_miss_matches)
{
	struct probe pr = asker("key");
	struct esp_probe q = question(_i != 0, 0x0102030405060708, 0);
	size_t head = _i != 0 ? 40 : 20;
	struct pkt p = empty();
	struct inner in;
	uint64_t token;

	ck_assert(probe_write(&pr, &q, &p));
	ck_assert(inner_parse(&p, &in));
	probe_answer(&p, &in);
	for (size_t bit = 0; bit < 24 * 8; bit++) {
		bool counts = bit < 16 || (bit >= 32 && bit < 48) || bit >= 64;

		buf[head + bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert(inner_parse(&p, &in));
		ck_assert_int_eq(probe_match(&pr, &p, &in, &token), !counts);
		buf[head + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = head; len < head + 24; len++) {
		put16(buf + (_i != 0 ? 4 : 2), (unsigned)(_i != 0 ? len - 40 : len));
		p.len = (uint32_t)len;
		ck_assert(inner_parse(&p, &in));
		ck_assert(!probe_match(&pr, &p, &in, &token));
	}
}
END_TEST

START_TEST(cannot_ask)
{
	struct probe pr = asker("key");
	struct esp_probe q = question(false, 1, 0);
	struct pkt p = empty();

	q.to = inside_of(1, 1, true);
	ck_assert(!probe_write(&pr, &q, &p));
	q = question(false, 1, 9217);
	ck_assert(!probe_write(&pr, &q, &p));
	q = question(false, 1, 0);
	q.from = q.to = (struct ip){ .family = 0 };
	ck_assert(!probe_write(&pr, &q, &p));
}
END_TEST

/* Not to be answered by us: options, extension headers, fragments, too short. */
START_TEST(leaves_requests_to_the_kernel)
{
	struct flow f = { .src = "10.1.0.9", .dst = "10.2.0.9", .proto = 1, .sport = 0x0800 };
	struct inner in;
	struct pkt p = empty();

	packet_write(buf, 84, &f);
	p.len = 84;
	ck_assert(inner_parse(&p, &in) && probe_is_request(&p, &in));
	f.frag = IP4_MF;
	packet_write(buf, 84, &f);
	ck_assert(inner_parse(&p, &in) && !probe_is_request(&p, &in));
	f.frag = 0;
	packet_write(buf, 84, &f);
	buf[0] = 0x46;
	memmove(buf + 24, buf + 20, 60);
	memset(buf + 20, 1, 4);
	ck_assert(inner_parse(&p, &in) && !probe_is_request(&p, &in));
	packet_write(buf, 27, &f);
	put16(buf + 20, 0x0800);
	p.len = 27;
	ck_assert(inner_parse(&p, &in) && !probe_is_request(&p, &in));
	f.sport = 0x0d00;				/* timestamp */
	p.len = 84;
	packet_write(buf, 84, &f);
	ck_assert(inner_parse(&p, &in) && !probe_is_request(&p, &in));
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, asks_and_matches);
	tcase_add_loop_test(tc, no_near_miss_matches, 0, 2);
	tcase_add_test(tc, cannot_ask);
	tcase_add_test(tc, leaves_requests_to_the_kernel);
}

UNIT_MAIN("esp_probe", fill)
