/* SPDX-License-Identifier: MIT */
#include <netinet/in.h>
#include <string.h>

#include "esp/inner.h"

#include "base/rng.h"
#include "unit.h"

/*
 * The sums of sum.c against RFC 1071 as it is written: word by word.  What processors without AVX2
 * take is compiled a second time, under other names, since no processor runs both.
 */
__typeof__(inner_sum) portable_sum;
__typeof__(inner_sum_end) portable_sum_end;
__typeof__(inner_sum_pseudo) portable_sum_pseudo;
__typeof__(inner_sum_replace) portable_sum_replace;

#undef __x86_64__
#define inner_sum		portable_sum
#define inner_sum_end		portable_sum_end
#define inner_sum_pseudo	portable_sum_pseudo
#define inner_sum_replace	portable_sum_replace
#include "esp/sum.c"
#undef inner_sum
#undef inner_sum_end
#undef inner_sum_pseudo
#undef inner_sum_replace

enum { LARGE = (1 << 20) + 4096 + 33 };	/* beyond what lanes hold without carrying */

static uint8_t buf[LARGE + 64];

static uint16_t
plain(const uint8_t *p, size_t len, uint32_t sum)
{
	uint64_t acc = sum;

	for (size_t i = 0; i < len; i++)
		acc += (uint64_t)p[i] << (i % 2 == 0 ? 8 : 0);
	while (acc >> 16 != 0)
		acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)acc;
}

/* Two forms of zero are one number. */
#define same(a, b)	ck_assert_msg((a) % 0xffff == (b) % 0xffff, "%#x, not %#x", (a), (b))

static void
agree(const uint8_t *p, size_t len, uint32_t sum)
{
	uint16_t want = plain(p, len, sum);

	same((unsigned)(uint16_t)~inner_sum_end(inner_sum(p, len, sum)), want);
	same((unsigned)(uint16_t)~portable_sum_end(portable_sum(p, len, sum)), want);
	ck_assert_uint_eq(inner_sum_end(inner_sum(p, len, sum)),
	    portable_sum_end(portable_sum(p, len, sum)));
}

/* Each length, odd ones too, at each place relative to a word, with random and with full bytes. */
START_TEST(every_length_and_place_agrees)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 5);

	for (int full = 0; full < 3; full++) {
		if (full == 0)
			rng_fill(&rng, buf, 4096);
		else
			memset(buf, full == 1 ? 0xff : 0, 4096);
		for (size_t len = 0; len < 300; len++)
			for (size_t at = 0; at < 33; at++)
				agree(buf + at, len, len % 7 == 0 ? 0xffffffff : (uint32_t)len * 77777);
	}
}
END_TEST

/* Full bytes in more than a block: a lane that overflowed would lose its carry. */
START_TEST(no_carry_is_lost)
{
	memset(buf, 0xff, sizeof(buf));
	for (size_t less = 0; less < 70; less += 3)
		agree(buf + less % 5, LARGE - less, 0xffffffff);
	buf[LARGE / 2] = 0;
	agree(buf, LARGE, 0);
}
END_TEST

/* A packet with its checksum in it sums up to nothing. */
START_TEST(a_sum_checks_itself)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 9);

	for (int i = 0; i < 2000; i++) {
		size_t len = 2 + rng_below(&rng, 1500), at = rng_below(&rng, (uint32_t)len / 2) * 2;
		uint16_t csum;

		rng_fill(&rng, buf, len);
		buf[at] = buf[at + 1] = 0;
		csum = inner_sum_end(inner_sum(buf, len, 0));
		buf[at] = (uint8_t)(csum >> 8);
		buf[at + 1] = (uint8_t)csum;
		ck_assert_uint_eq(inner_sum_end(inner_sum(buf, len, 0)), 0);
		buf[rng_below(&rng, (uint32_t)len)] ^= (uint8_t)(1 << rng_below(&rng, 8));
		ck_assert_uint_ne(inner_sum_end(inner_sum(buf, len, 0)), 0);
	}
}
END_TEST

/* RFC 1624: another word in a packet is another checksum, without a look at the rest. */
START_TEST(a_replaced_word_needs_no_second_look)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, 11);

	for (int i = 0; i < 5000; i++) {
		size_t at = rng_below(&rng, 10) * 2;
		uint16_t csum, was, is = i % 3 == 0 ? (i % 2 != 0 ? 0xffff : 0) : (uint16_t)rng_u32(&rng);

		rng_fill(&rng, buf, 20);
		if (i % 4 == 0)
			memset(buf, 0, 20);
		csum = inner_sum_end(inner_sum(buf, 20, 0));
		was = (uint16_t)(buf[at] << 8 | buf[at + 1]);
		buf[at] = (uint8_t)(is >> 8);
		buf[at + 1] = (uint8_t)is;
		same((unsigned)inner_sum_replace(csum, was, is),
		    (unsigned)inner_sum_end(inner_sum(buf, 20, 0)));
		ck_assert_uint_eq(inner_sum_replace(csum, was, is), portable_sum_replace(csum, was, is));
	}
}
END_TEST

/* The pseudo-headers of RFC 768 and RFC 8200 8.1. */
START_TEST(the_pseudo_header_is_that_of_the_rfcs)
{
	struct ip src, dst;
	uint8_t v4[12] = { 10, 1, 2, 3, 192, 0, 2, 200, 0, 17, 0x12, 0x34 };
	uint8_t v6[40] = { [34] = 0x00, [35] = 0x00, [39] = 6 };

	ck_assert(ip_parse("10.1.2.3", &src) && ip_parse("192.0.2.200", &dst));
	same((unsigned)(uint16_t)~inner_sum_end(inner_sum_pseudo(&src, &dst, 17, 0x1234)),
	    plain(v4, sizeof(v4), 0));
	ck_assert(ip_parse("2001:db8::fffe:1", &src) && ip_parse("fd00::ffff", &dst));
	memcpy(v6, src.b, 16);
	memcpy(v6 + 16, dst.b, 16);
	v6[33] = 1;				/* 70,000 bytes: a jumbo's length has 32 bits */
	v6[34] = 0x11;
	v6[35] = 0x70;
	same((unsigned)(uint16_t)~inner_sum_end(inner_sum_pseudo(&src, &dst, 6, 70000)),
	    plain(v6, sizeof(v6), 0));
	ck_assert_uint_eq(inner_sum_pseudo(&src, &dst, 6, 70000),
	    portable_sum_pseudo(&src, &dst, 6, 70000));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, every_length_and_place_agrees);
	tcase_add_test(t, no_carry_is_lost);
	tcase_add_test(t, a_sum_checks_itself);
	tcase_add_test(t, a_replaced_word_needs_no_second_look);
	tcase_add_test(t, the_pseudo_header_is_that_of_the_rfcs);
}

UNIT_MAIN("esp_sum", fill)
