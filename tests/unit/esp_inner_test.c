/* SPDX-License-Identifier: MIT */
#include "esp/inner.h"

#include "base/rng.h"
#include "esp_rig.h"

static uint8_t buf[RIG_BUF];

static struct pkt
pkt_of(size_t len)
{
	return (struct pkt){ .buf = buf, .cap = sizeof(buf), .len = (uint32_t)len };
}

START_TEST(reads_v4)
{
	struct flow f = flow_v4;
	struct inner in;
	struct pkt p;
	struct ip src = ip_of(f.src), dst = ip_of(f.dst);

	f.tos = 0xb9;
	packet_write(buf, 100, &f);
	p = pkt_of(100 + 30);				/* TFC padding behind */
	ck_assert(inner_parse(&p, &in));
	ck_assert_uint_eq(p.len, 100);
	ck_assert(ip_equal(&in.src, &src) && ip_equal(&in.dst, &dst));
	ck_assert_uint_eq(in.proto, 17);
	ck_assert_uint_eq(in.tos, 0xb9);
	ck_assert_uint_eq(in.head, 20);
	ck_assert(in.has_port && in.sport == 1000 && in.dport == 2000);
	ck_assert(!in.frag && !in.later && !in.df);
}
END_TEST

START_TEST(reads_v6)
{
	struct flow f = flow_v6;
	struct inner in;
	struct pkt p;

	f.tos = 0xb9;
	f.proto = 6;
	packet_write(buf, 100, &f);
	p = pkt_of(100 + 30);
	ck_assert(inner_parse(&p, &in));
	ck_assert_uint_eq(p.len, 100);
	ck_assert_uint_eq(in.tos, 0xb9);
	ck_assert_uint_eq(in.head, 40);
	ck_assert(in.has_port && in.sport == 1000 && in.dport == 2000);
	ck_assert(in.df && !in.frag);
}
END_TEST

/* flags and offset, fragment, later */
static const struct { uint16_t word; bool frag, later, df; } frags[] = {
	{ 0, false, false, false }, { IP4_DF, false, false, true }, { IP4_MF, true, false, false },
	{ 1, true, true, false }, { IP4_MF | 185, true, true, false }, { 0x1fff, true, true, false },
};

START_TEST(fragments_have_no_ports)
{
	struct flow f = flow_v4;
	struct inner in;
	struct pkt p;

	f.frag = frags[_i].word;
	packet_write(buf, 100, &f);
	p = pkt_of(100);
	ck_assert(inner_parse(&p, &in));
	ck_assert_int_eq(in.frag, frags[_i].frag);
	ck_assert_int_eq(in.later, frags[_i].later);
	ck_assert_int_eq(in.df, frags[_i].df);
	ck_assert_int_eq(in.has_port, !frags[_i].frag);
}
END_TEST

/* A v6 packet of `n` extension headers of kind `kind`, then UDP. */
static struct pkt
v6_chain(unsigned n, uint8_t kind, uint16_t frag)
{
	size_t at = 40;

	packet_write(buf, 40 + n * 8 + 16, &flow_v6);
	memset(buf + 40, 0, n * 8 + 16);
	buf[6] = n > 0 ? kind : 17;
	for (unsigned i = 0; i < n; i++, at += 8) {
		buf[at] = i + 1 < n ? kind : 17;
		if (kind == 44)
			put16(buf + at + 2, frag);
		if (kind == 51)
			buf[at + 1] = 0;		/* 8 bytes in AH's units */
	}
	put16(buf + at, 1000);
	put16(buf + at + 2, 2000);
	return pkt_of(40 + n * 8 + 16);
}

START_TEST(steps_over_extension_headers)
{
	static const uint8_t kinds[] = { 0, 43, 60, 51, 44 };
	struct inner in;

	for (unsigned k = 0; k < sizeof(kinds); k++) {
		for (unsigned n = 0; n < 12; n++) {
			struct pkt p = v6_chain(n, kinds[k], 0);

			ck_assert(inner_parse(&p, &in));
			/* more than 8 are not followed: then no port is known, and no truth told */
			ck_assert_int_eq(in.has_port, n < 8);
			ck_assert(n >= 8 || (in.proto == 17 && in.sport == 1000 && in.dport == 2000));
			ck_assert(n >= 8 || in.head == 40 + n * 8);
			ck_assert(!in.frag);
		}
	}
}
END_TEST

START_TEST(v6_fragments)
{
	struct inner in;
	struct pkt p = v6_chain(1, 44, 1);		/* first: more follow */

	ck_assert(inner_parse(&p, &in));
	ck_assert(in.frag && !in.later && !in.has_port && in.proto == 17);
	p = v6_chain(1, 44, 185 << 3);			/* last */
	ck_assert(inner_parse(&p, &in));
	ck_assert(in.frag && in.later && !in.has_port && in.proto == 17);
}
END_TEST

START_TEST(icmp_packs_type_and_code)
{
	struct flow f = flow_v4;
	struct inner in;
	struct pkt p;

	f.proto = 1;
	f.sport = 0x0304;
	packet_write(buf, 64, &f);
	p = pkt_of(64);
	ck_assert(inner_parse(&p, &in));
	ck_assert(in.has_port && in.sport == 0x0304 && in.dport == 0x0304);
	buf[9] = 58;				/* ICMPv6 in v4 is no ICMP */
	p = pkt_of(64);
	ck_assert(inner_parse(&p, &in));
	ck_assert(!in.has_port && !inner_is_icmp(&in));
}
END_TEST

/* R16, R20: whatever is cut off is refused, and nothing behind the packet is read. */
START_TEST(every_truncation_is_refused)
{
	struct flow f = _i % 2 != 0 ? flow_v6 : flow_v4;
	size_t full = 120;
	struct inner in;

	if (_i < 2)
		packet_write(buf, full, &f);
	else
		full = v6_chain(5, _i == 2 ? 60 : 51, 0).len;
	for (size_t n = 0; n <= full; n++) {
		uint8_t *tight = malloc(n + 1);
		struct pkt p = { .buf = tight, .cap = (uint32_t)n, .len = (uint32_t)n };

		memcpy(tight, buf, n);
		tight = realloc(tight, n > 0 ? n : 1);
		p.buf = tight;
		ck_assert_int_eq(inner_parse(&p, &in), n == full);
		free(tight);
	}
}
END_TEST

/* The upper layer may be cut by an honest total length: then there are no ports. */
START_TEST(short_upper_layers_have_no_ports)
{
	struct inner in;

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t n = 0; n < 8; n++) {
			size_t len = (v6 ? 40 : 20) + n;
			struct pkt p;

			packet_write(buf, 100, v6 ? &flow_v6 : &flow_v4);
			if (v6)
				put16(buf + 4, (unsigned)n);
			else
				put16(buf + 2, (unsigned)len);
			p = pkt_of(100);
			ck_assert(inner_parse(&p, &in));
			ck_assert_uint_eq(p.len, len);
			ck_assert_int_eq(in.has_port, n >= 4);
		}
	}
}
END_TEST

START_TEST(lying_lengths_are_refused)
{
	struct inner in;
	struct pkt p;

	for (unsigned total = 0; total < 200; total++) {
		packet_write(buf, 100, &flow_v4);
		put16(buf + 2, total);
		p = pkt_of(100);
		ck_assert_int_eq(inner_parse(&p, &in), total >= 20 && total <= 100);
	}
	for (unsigned ihl = 0; ihl < 16; ihl++) {
		packet_write(buf, 40, &flow_v4);
		buf[0] = (uint8_t)(0x40 | ihl);
		p = pkt_of(40);
		ck_assert_int_eq(inner_parse(&p, &in), ihl >= 5 && ihl <= 10);
	}
	for (unsigned version = 0; version < 16; version++) {
		packet_write(buf, 100, &flow_v4);
		buf[0] = (uint8_t)(version << 4 | 5);
		p = pkt_of(100);
		if (version != 6)
			ck_assert_int_eq(inner_parse(&p, &in), version == 4);
	}
	for (unsigned ext = 0; ext < 256; ext++) {
		p = v6_chain(1, 60, 0);
		buf[41] = (uint8_t)ext;
		ck_assert_int_eq(inner_parse(&p, &in), ext <= 2);	/* 8 + 16 bytes are there */
	}
}
END_TEST

/* ---- ECN, RFC 6040 figure 4, written down again as the RFC prints it --------------------- */

enum { NOT = 0, E1 = 1, E0 = 2, CE = 3, DROP = -1 };
static const int figure4[4][4] = {		/* [inner][outer], columns Not, ECT1, ECT0, CE */
	[NOT] = { NOT, NOT, NOT, DROP },
	[E0] = { E0, E1, E0, CE },
	[E1] = { E1, E1, E1, CE },
	[CE] = { CE, CE, CE, CE },
};

START_TEST(ecn_table)
{
	for (unsigned tos = 0; tos < 256; tos++) {
		for (unsigned i = 0; i < 8; i++) {
			unsigned outer = (i & 3) | (i < 4 ? 0 : 0xb8);
			struct flow f = _i != 0 ? flow_v6 : flow_v4;
			int want = figure4[tos & 3][outer & 3];
			struct inner in;
			struct pkt p;

			f.tos = (uint8_t)tos;
			packet_write(buf, 60, &f);
			p = pkt_of(60);
			ck_assert(inner_parse(&p, &in));
			ck_assert_int_eq(inner_ecn_arrive(&p, &in, (uint8_t)outer), want != DROP);
			if (want == DROP)
				continue;
			ck_assert_uint_eq(in.tos, (tos & 0xfc) | (unsigned)want);
			f.tos = in.tos;
			p = pkt_of(60);
			ck_assert(inner_parse(&p, &in));
			ck_assert_uint_eq(in.tos, f.tos);
			ck_assert(_i != 0 || sum_of(buf, 20, 0) == 0);
			ck_assert_uint_eq(upper_sum(buf, 60), 0);
		}
	}
}
END_TEST

START_TEST(ecn_departs)
{
	for (unsigned tos = 0; tos < 256; tos++) {
		ck_assert_uint_eq(inner_outer_tos((uint8_t)tos, true), tos);
		ck_assert_uint_eq(inner_outer_tos((uint8_t)tos, false), tos & 3);
	}
}
END_TEST

/* ---- checksums --------------------------------------------------------------------------- */

START_TEST(sums_agree)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 5);

	for (int i = 0; i < 3000; i++) {
		size_t len = rng_below(&rng, 70), at;
		uint16_t was, now = (uint16_t)rng_u32(&rng), csum;

		rng_fill(&rng, buf, sizeof(buf) < 100 ? sizeof(buf) : 100);
		if (i % 5 == 0)
			memset(buf, i % 2 != 0 ? 0xff : 0, 100);
		csum = inner_sum_end(inner_sum(buf, len, 0));
		ck_assert_uint_eq(csum, sum_of(buf, len, 0));
		if (len < 2)
			continue;
		at = rng_below(&rng, (uint32_t)(len / 2)) * 2;
		was = (uint16_t)get16(buf + at);
		put16(buf + at, now);
		csum = inner_sum_replace(csum, was, now);
		/* two forms of zero are one number */
		ck_assert_uint_eq(csum % 0xffff, sum_of(buf, len, 0) % 0xffff);
	}
}
END_TEST

START_TEST(finishes_what_the_kernel_left)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct flow f = v6 ? flow_v6 : flow_v4;
		size_t head = v6 ? 40 : 20;
		struct ip src = ip_of(f.src), dst = ip_of(f.dst);
		struct pkt p;

		for (int proto = 6; proto <= 17; proto += 11) {
			f.proto = (uint8_t)proto;
			packet_write(buf, 101, &f);
			p = pkt_of(101);
			p.csum = PKT_CSUM_PARTIAL;
			p.csum_start = (uint16_t)head;
			p.csum_offset = proto == 6 ? 16 : 6;
			put16(buf + head + p.csum_offset, (uint16_t)~inner_sum_end(
			    inner_sum_pseudo(&src, &dst, f.proto, 101 - head)));
			ck_assert(inner_finish_csum(&p));
			ck_assert_uint_eq(upper_sum(buf, 101), 0);
			ck_assert_uint_eq(p.csum, PKT_CSUM_DONE);
			p.csum = PKT_CSUM_PARTIAL;
			for (unsigned start = 0; start < 70000; start += 197) {
				p.csum_start = (uint16_t)start;
				p.csum = PKT_CSUM_PARTIAL;
				ck_assert_int_eq(inner_finish_csum(&p),
				    (uint16_t)start + p.csum_offset + 2u <= 101);
			}
		}
	}
}
END_TEST

START_TEST(hosts)
{
	static const struct { const char *text; bool host; } t[] = {
		{ "10.0.0.1", true }, { "169.254.1.1", true }, { "223.255.255.255", true },
		{ "0.0.0.0", false }, { "0.1.2.3", false }, { "127.0.0.1", false },
		{ "127.9.9.9", false }, { "224.0.0.1", false }, { "240.0.0.1", false },
		{ "255.255.255.255", false }, { "2001:db8::1", true }, { "fe80::1", true },
		{ "fd00::1", true }, { "::", false }, { "::1", false }, { "::2", true },
		{ "ff02::1", false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ip ip = ip_of(t[i].text);

		ck_assert_msg(inner_is_host(&ip) == t[i].host, "%s", t[i].text);
	}
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, reads_v4);
	tcase_add_test(tc, reads_v6);
	tcase_add_loop_test(tc, fragments_have_no_ports, 0, sizeof(frags) / sizeof(frags[0]));
	tcase_add_test(tc, steps_over_extension_headers);
	tcase_add_test(tc, v6_fragments);
	tcase_add_test(tc, icmp_packs_type_and_code);
	tcase_add_loop_test(tc, every_truncation_is_refused, 0, 4);
	tcase_add_test(tc, short_upper_layers_have_no_ports);
	tcase_add_test(tc, lying_lengths_are_refused);
	tcase_add_loop_test(tc, ecn_table, 0, 2);
	tcase_add_test(tc, ecn_departs);
	tcase_add_test(tc, sums_agree);
	tcase_add_test(tc, finishes_what_the_kernel_left);
	tcase_add_test(tc, hosts);
}

UNIT_MAIN("esp_inner", fill)
