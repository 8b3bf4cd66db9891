/* SPDX-License-Identifier: MIT */
#include "esp/mtu.h"

#include "base/rng.h"
#include "esp_rig.h"

static uint8_t buf[RIG_BUF], answer_buf[RIG_BUF];

static struct pkt
pkt_of(uint8_t *in, size_t len)
{
	return (struct pkt){ .buf = in, .cap = RIG_BUF, .len = (uint32_t)len };
}

/* Figures worked out by hand from RFC 4303 and the header sizes. */
START_TEST(formula)
{
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_GCM_16_256, 1500, AF_INET), 1438);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_GCM_16_128, 1500, AF_INET6), 1418);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_CHACHA20_POLY1305, 1500, AF_INET), 1438);
	/* 1500 - 20 - 8 - 8 - 16 - 16 = 1432, 89 blocks, 1424, less 2 */
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_CBC_256_HMAC_SHA2_256, 1500, AF_INET), 1422);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_CBC_128_HMAC_SHA2_384, 1500, AF_INET), 1422);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_CBC_128_HMAC_SHA2_512, 1500, AF_INET), 1406);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_GCM_16_256, 0, AF_INET), 0);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_GCM_16_256, 62, AF_INET), 0);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_GCM_16_256, 64, AF_INET), 2);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_NONE, 1500, AF_INET), 0);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_N, 1500, AF_INET), 0);
	ck_assert_uint_eq(esp_inside_mtu(AEAD_AES_GCM_16_256, 1500, AF_UNSPEC), 0);
}
END_TEST

/* The formula is exact: what it allows fits the outer MTU, one byte more does not. */
START_TEST(formula_is_what_seal_does)
{
	struct rig r;

	rig_init(&r, rig_suites[_i], false);
	for (unsigned outer = 1400; outer < 1440; outer++) {
		unsigned inside = esp_inside_mtu(rig_suites[_i], outer, AF_INET);

		for (unsigned more = 0; more < 2; more++) {
			batch_reset(&r.in);
			rig_add(&r, 0, &flow_v4, inside + more);
			rig_out(&r, 0);
			ck_assert_uint_eq(r.wire.n, 1);
			ck_assert_int_eq(r.wire.pkt[0].len + 20 + 8 <= outer, more == 0);
		}
	}
	rig_fini(&r);
}
END_TEST

/* A TCP packet with these options, header length to match. */
static size_t
tcp_write(bool v6, uint8_t flags, const uint8_t *opts, size_t opts_len)
{
	struct flow f = v6 ? flow_v6 : flow_v4;
	size_t head = v6 ? 40 : 20, len = head + 20 + opts_len + 3;

	f.proto = 6;
	packet_write(buf, len, &f);
	memcpy(buf + head + 20, opts, opts_len);
	buf[head + 12] = (uint8_t)((20 + opts_len) / 4 << 4);
	buf[head + 13] = flags;
	put16(buf + head + 16, 0);
	put16(buf + head + 16, upper_sum(buf, len));
	return len;
}

static const struct { uint8_t len, at; uint8_t opts[16]; } mss_options[] = {
	{ 4, 2, { 2, 4, 0x05, 0xb4 } },
	{ 8, 3, { 1, 2, 4, 0x05, 0xb4, 1, 1, 0 } },			/* odd place */
	{ 12, 6, { 1, 3, 3, 7, 2, 4, 0x05, 0xb4, 4, 2, 0, 0 } },
	{ 12, 5, { 3, 3, 7, 2, 4, 0x05, 0xb4, 4, 2, 1, 0, 0 } },	/* odd place */
	{ 16, 14, { 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 2, 4, 0x05, 0xb4 } },
};
#define MSS_OPTIONS	((int)(sizeof(mss_options) / sizeof(mss_options[0])))

START_TEST(clamps_syn)
{
	for (int v6 = 0; v6 < 2; v6++) {
		for (unsigned mtu = 600; mtu < 1600; mtu += 1 + mtu % 5) {
			unsigned fit = mtu - (v6 ? 60 : 40), want = fit < 1460 ? fit : 1460;
			size_t len = tcp_write(v6, mtu % 2 != 0 ? 0x02 : 0x12, mss_options[_i].opts,
			    mss_options[_i].len);
			size_t at = (v6 ? 60u : 40u) + mss_options[_i].at;
			struct pkt p = pkt_of(buf, len);
			struct inner in;

			ck_assert(inner_parse(&p, &in));
			mtu_clamp(&p, &in, mtu);
			ck_assert_uint_eq(get16(buf + at), want);
			ck_assert_uint_eq(upper_sum(buf, len), 0);
		}
	}
}
END_TEST

/* Everything that must be left as it is, to the byte. */
static const struct { uint8_t flags, len; uint8_t opts[16]; } untouched[] = {
	{ 0x10, 4, { 2, 4, 0x05, 0xb4 } },		/* no SYN */
	{ 0x02, 4, { 2, 4, 0x01, 0x00 } },		/* small already */
	{ 0x02, 0, { 0 } },				/* none */
	{ 0x02, 4, { 0, 4, 0x05, 0xb4 } },		/* ends before */
	{ 0x02, 4, { 2, 3, 0x05, 0xb4 } },		/* wrong length */
	{ 0x02, 4, { 2, 0, 0x05, 0xb4 } },		/* no progress */
	{ 0x02, 4, { 3, 9, 0x05, 0xb4 } },		/* past the end */
	{ 0x02, 4, { 1, 1, 2, 4 } },			/* cut off */
	{ 0x02, 4, { 1, 1, 1, 2 } },			/* cut off */
	{ 0x02, 4, { 3, 1, 2, 4 } },			/* length 1 */
};

START_TEST(leaves_the_rest)
{
	uint8_t was[256];

	for (int v6 = 0; v6 < 2; v6++) {
		size_t len = tcp_write(v6, untouched[_i].flags, untouched[_i].opts, untouched[_i].len);
		struct pkt p = pkt_of(buf, len);
		struct inner in;

		memcpy(was, buf, len);
		ck_assert(inner_parse(&p, &in));
		mtu_clamp(&p, &in, 1000);
		ck_assert_mem_eq(buf, was, len);
	}
}
END_TEST

/* Cut short by an honest length, a data offset that lies, a fragment, not TCP: no reading
 * past the end, no change. */
START_TEST(clamp_survives_nonsense)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 9);
	struct inner in;

	for (int i = 0; i < 5000; i++) {
		size_t len = tcp_write(i % 2, 0x02, mss_options[i % MSS_OPTIONS].opts,
		    mss_options[i % MSS_OPTIONS].len), head = i % 2 ? 40 : 20;
		size_t cut = head + rng_below(&rng, (uint32_t)(len - head + 1));
		uint8_t *tight;
		struct pkt p;

		buf[head + 12] = (uint8_t)rng_u32(&rng);
		put16(buf + (i % 2 ? 4 : 2), (unsigned)(i % 2 ? cut - 40 : cut));
		tight = malloc(cut);
		memcpy(tight, buf, cut);
		p = (struct pkt){ .buf = tight, .cap = (uint32_t)cut, .len = (uint32_t)cut };
		ck_assert(inner_parse(&p, &in));
		mtu_clamp(&p, &in, 1000);
		free(tight);
	}
}
END_TEST

START_TEST(exceeds)
{
	struct inner in = { .src.family = AF_INET, .len = 1438 };

	ck_assert(!mtu_exceeds(&in, 1438));
	ck_assert(mtu_exceeds(&in, 1437));
	ck_assert(!mtu_exceeds(&in, 0));
	in.src.family = AF_INET6;
	ck_assert(mtu_exceeds(&in, 1437));
	in.len = 1280;
	ck_assert(!mtu_exceeds(&in, 1000));
	in.len = 1281;
	ck_assert(mtu_exceeds(&in, 1000));
}
END_TEST

START_TEST(too_big_v4)
{
	struct flow f = flow_v4;
	struct ip from = ip_of("169.254.1.1"), dst;
	struct pkt p, a = pkt_of(answer_buf, 0);
	struct inner in, error;

	f.frag = IP4_DF;
	packet_write(buf, 1500, &f);
	p = pkt_of(buf, 1500);
	ck_assert(inner_parse(&p, &in));
	ck_assert(mtu_too_big(&p, &in, 1438, &from, &a));
	ck_assert_uint_eq(a.len, 576);
	ck_assert(inner_parse(&a, &error));
	ck_assert_uint_eq(sum_of(answer_buf, 20, 0), 0);
	ck_assert_uint_eq(upper_sum(answer_buf, a.len), 0);
	ck_assert_uint_eq(answer_buf[20], 3);
	ck_assert_uint_eq(answer_buf[21], 4);
	ck_assert_uint_eq(get16(answer_buf + 26), 1438);
	ck_assert_mem_eq(answer_buf + 28, buf, 548);
	dst = ip_of(f.src);
	ck_assert(ip_equal(&error.dst, &dst) && ip_equal(&error.src, &from));
}
END_TEST

START_TEST(too_big_v6)
{
	struct ip from = ip_of("fd00:1::1"), dst = ip_of(flow_v6.src);
	struct pkt p, a = pkt_of(answer_buf, 0);
	struct inner in, error;
	unsigned mtu = _i == 0 ? 1418 : 1000;

	packet_write(buf, 1500, &flow_v6);
	p = pkt_of(buf, 1500);
	ck_assert(inner_parse(&p, &in));
	ck_assert(mtu_too_big(&p, &in, mtu, &from, &a));
	ck_assert_uint_eq(a.len, 1280);
	ck_assert(inner_parse(&a, &error));
	ck_assert_uint_eq(upper_sum(answer_buf, a.len), 0);
	ck_assert_uint_eq(answer_buf[40], 2);
	ck_assert_uint_eq(answer_buf[41], 0);
	ck_assert_uint_eq(get16(answer_buf + 46), mtu < 1280 ? 1280 : mtu);
	ck_assert_mem_eq(answer_buf + 48, buf, 1232);
	ck_assert(ip_equal(&error.dst, &dst) && ip_equal(&error.src, &from));
}
END_TEST

static const struct { const char *src, *dst; uint8_t proto, type; uint16_t frag; } quiet[] = {
	{ "10.1.0.9", "10.2.0.9", 1, 3, IP4_DF }, { "10.1.0.9", "10.2.0.9", 1, 11, IP4_DF },
	{ "10.1.0.9", "10.2.0.9", 1, 12, IP4_DF }, { "10.1.0.9", "10.2.0.9", 1, 5, IP4_DF },
	{ "10.1.0.9", "10.2.0.9", 1, 3, IP4_DF | IP4_MF },
	{ "10.1.0.9", "10.2.0.9", 17, 0, IP4_DF | 100 },	/* later fragment */
	{ "10.1.0.9", "224.0.0.5", 17, 0, IP4_DF }, { "10.1.0.9", "255.255.255.255", 17, 0, IP4_DF },
	{ "0.0.0.0", "10.2.0.9", 17, 0, IP4_DF }, { "224.1.1.1", "10.2.0.9", 17, 0, IP4_DF },
	{ "2001:db8:1::9", "2001:db8:2::9", 58, 1, 0 }, { "2001:db8:1::9", "2001:db8:2::9", 58, 2, 0 },
	{ "ff02::1", "2001:db8:2::9", 17, 0, 0 }, { "::", "2001:db8:2::9", 17, 0, 0 },
};

START_TEST(no_error_about)
{
	struct flow f = { .src = quiet[_i].src, .dst = quiet[_i].dst, .proto = quiet[_i].proto,
		.sport = (uint16_t)(quiet[_i].type << 8), .frag = quiet[_i].frag };
	struct ip from;
	struct pkt p, a = pkt_of(answer_buf, 0);
	struct inner in;

	packet_write(buf, 1500, &f);
	p = pkt_of(buf, 1500);
	ck_assert(inner_parse(&p, &in));
	from = ip_of(in.src.family == AF_INET ? "169.254.1.1" : "fd00:1::1");
	ck_assert(!mtu_too_big(&p, &in, 1400, &from, &a));
	/* and an echo request in its place is answered, so it is this that made the difference */
	f = in.src.family == AF_INET ? flow_v4 : flow_v6;
	f.proto = in.src.family == AF_INET ? 1 : 58;
	f.sport = in.src.family == AF_INET ? 0x0800 : 0x8000;
	packet_write(buf, 1500, &f);
	p = pkt_of(buf, 1500);
	ck_assert(inner_parse(&p, &in));
	ck_assert(mtu_too_big(&p, &in, 1400, &from, &a));
}
END_TEST

/* All sizes at some MTUs: the parts fit, carry the bytes once and in order, and say so. */
START_TEST(cuts)
{
	static const unsigned mtus[] = { 28, 68, 576, 1279, 1437 };
	unsigned mtu = mtus[_i];

	for (size_t len = mtu + 1; len < 3000; len += 1 + len % 29) {
		/* whole packets, and last and middle fragments of others */
		for (unsigned word = 0; word < 3; word++) {
			static const uint16_t words[] = { 0, 100, IP4_MF | 50 };
			struct flow f = flow_v4;
			size_t at = 0, next, got = 0;
			unsigned parts = 0;
			struct inner in, one;
			struct pkt p, part;

			f.frag = words[word];
			if (word == 2 && (len - 20) % 8 != 0)
				continue;
			packet_write(buf, len, &f);
			p = pkt_of(buf, len);
			ck_assert(inner_parse(&p, &in));
			ck_assert(mtu_can_cut(&in, mtu));
			do {
				part = pkt_of(answer_buf, 0);
				next = mtu_cut(&p, &in, at, 0x1234, &part, mtu);
				parts++;
				ck_assert_uint_le(part.len, mtu);
				ck_assert_uint_eq(sum_of(answer_buf, 20, 0), 0);
				ck_assert(inner_parse(&part, &one));
				ck_assert_uint_eq(get16(answer_buf + 4), 0x1234);
				ck_assert_uint_eq(one.frag_word & IP4_OFFSET,
				    (f.frag & IP4_OFFSET) + at / 8);
				ck_assert_int_eq((one.frag_word & IP4_MF) != 0,
				    next != 0 || (f.frag & IP4_MF) != 0);
				ck_assert_mem_eq(answer_buf + 20, buf + 20 + at, part.len - 20);
				got += part.len - 20;
				ck_assert(next == 0 || next == at + part.len - 20);
				at = next;
			} while (next != 0);
			ck_assert_uint_eq(got, len - 20);
			ck_assert_uint_eq(parts, mtu_parts(&in, mtu));
		}
	}
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, formula);
	tcase_add_loop_test(tc, formula_is_what_seal_does, 0, RIG_SUITES);
	tcase_add_loop_test(tc, clamps_syn, 0, MSS_OPTIONS);
	tcase_add_loop_test(tc, leaves_the_rest, 0, sizeof(untouched) / sizeof(untouched[0]));
	tcase_add_test(tc, clamp_survives_nonsense);
	tcase_add_test(tc, exceeds);
	tcase_add_test(tc, too_big_v4);
	tcase_add_loop_test(tc, too_big_v6, 0, 2);
	tcase_add_loop_test(tc, no_error_about, 0, sizeof(quiet) / sizeof(quiet[0]));
	tcase_add_loop_test(tc, cuts, 0, 5);
}

UNIT_MAIN("esp_mtu", fill)
