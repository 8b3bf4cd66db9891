/* SPDX-License-Identifier: MIT */
#include "ike/cookie.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct rng_seeded seeded;

static struct ike
machine(void)
{
	struct ike ike = { .now = USEC_S(5) };

	ike.env.rng = rng_seeded(&seeded, 1);
	return ike;
}

static const uint8_t nonce[32] = { 1, 2, 3 };

static struct cookie_in
about(void)
{
	return (struct cookie_in){ { nonce, sizeof(nonce) }, 0x1122334455667788,
	    { AF_INET, { 192, 0, 2, 9 } } };
}

/* Taken from whom it was given to, and from nobody else. */
START_TEST(a_cookie_is_bound)
{
	struct ike ike = machine();
	struct cookie_in in = about(), other;
	uint8_t cookie[COOKIE_LEN];
	struct slice s = { cookie, COOKIE_LEN };

	ck_assert(cookie_make(&ike, &in, cookie));
	ck_assert(cookie_is_ours(&ike, &in, s));
	other = in;
	other.spi_i++;
	ck_assert(!cookie_is_ours(&ike, &other, s));
	other = in;
	other.ip.b[3]++;
	ck_assert(!cookie_is_ours(&ike, &other, s));
	other = in;
	other.ni.len--;
	ck_assert(!cookie_is_ours(&ike, &other, s));
	for (size_t i = 0; i < COOKIE_LEN; i++) {
		cookie[i] ^= 1;
		ck_assert(!cookie_is_ours(&ike, &in, s));
		cookie[i] ^= 1;
		ck_assert(!cookie_is_ours(&ike, &in, (struct slice){ cookie, i }));
	}
	ck_assert(cookie_is_ours(&ike, &in, s));
}
END_TEST

/* The secret changes each minute; the one before is taken, older ones are not. */
START_TEST(a_cookie_ages)
{
	struct ike ike = machine();
	struct cookie_in in = about();
	uint8_t first[COOKIE_LEN], second[COOKIE_LEN];

	ck_assert(cookie_make(&ike, &in, first));
	ike.now += USEC_S(59);
	ck_assert(cookie_make(&ike, &in, second));
	ck_assert_mem_eq(first, second, COOKIE_LEN);
	ike.now += USEC_S(1);
	ck_assert(cookie_make(&ike, &in, second));
	ck_assert_mem_ne(first, second, COOKIE_LEN);
	ck_assert(cookie_is_ours(&ike, &in, (struct slice){ first, COOKIE_LEN }));
	ck_assert(cookie_is_ours(&ike, &in, (struct slice){ second, COOKIE_LEN }));
	ike.now += USEC_S(60);
	ck_assert(!cookie_is_ours(&ike, &in, (struct slice){ first, COOKIE_LEN }));
	ck_assert(cookie_is_ours(&ike, &in, (struct slice){ second, COOKIE_LEN }));
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, a_cookie_is_bound);
	tcase_add_test(tc, a_cookie_ages);
}

UNIT_MAIN("ike/cookie", fill)
