/* SPDX-License-Identifier: MIT */
#include "ike/exchange.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct bytes *
text(const char *s)
{
	return bytes_dup(s, strlen(s));
}

/* An established SA is given up after half a minute, and asked at growing intervals. */
START_TEST(a_request_is_repeated_and_given_up)
{
	static const usec_t at[] = { 500, 1500, 3500, 7500, 15500, 23500, 31500 };
	enum xchg_due due;
	struct xchg x;
	size_t n = 0;

	xchg_init(&x, 7, 0);
	ck_assert(xchg_deadline(&x) == USEC_NEVER);
	xchg_request(&x, 0, text("ask"), XCHG_UP);
	for (usec_t now = 0; x.out != NULL; now += USEC_MS(100)) {
		due = xchg_tick(&x, now);
		if (due == XCHG_NOTHING)
			continue;
		ck_assert_uint_lt(n, 7);
		ck_assert_uint_eq(now, USEC_MS(at[n]));
		ck_assert(due == (n == 6 ? XCHG_GIVE_UP : XCHG_RESEND));
		n++;
	}
	ck_assert_uint_eq(n, 7);
	ck_assert_uint_eq(x.out_id, 7);
	xchg_fini(&x);
}
END_TEST

START_TEST(only_the_answer_awaited_counts)
{
	struct xchg x;

	xchg_init(&x, 0, 0);
	ck_assert(xchg_judge(&x, true, 0) == XCHG_STALE);
	xchg_request(&x, 0, text("ask"), XCHG_UP);
	ck_assert(xchg_judge(&x, true, 1) == XCHG_STALE);
	ck_assert(xchg_judge(&x, true, UINT32_MAX) == XCHG_STALE);
	ck_assert(xchg_judge(&x, true, 0) == XCHG_ANSWER);
	xchg_answered(&x);
	ck_assert(xchg_judge(&x, true, 0) == XCHG_STALE);
	ck_assert_uint_eq(x.out_id, 1);
	xchg_fini(&x);
}
END_TEST

/* A request is worked on once; repeated, it gets the stored answer, and only the last does. */
START_TEST(a_request_is_never_processed_twice)
{
	struct xchg x;

	xchg_init(&x, 0, 5);
	for (uint32_t id = 0; id < 12; id++)
		ck_assert((xchg_judge(&x, false, id) == XCHG_NEW) == (id == 5));
	ck_assert(xchg_judge(&x, false, 4) == XCHG_STALE);	/* nothing stored yet */
	xchg_begin(&x);
	ck_assert(xchg_judge(&x, false, 5) == XCHG_BUSY);
	xchg_reply(&x, text("five"));
	ck_assert(xchg_judge(&x, false, 5) == XCHG_REPEAT);
	ck_assert(xchg_judge(&x, false, 6) == XCHG_NEW);
	ck_assert(xchg_judge(&x, false, 4) == XCHG_STALE);
	xchg_begin(&x);
	ck_assert(xchg_judge(&x, false, 5) == XCHG_STALE);
	xchg_reply(&x, text("six"));
	ck_assert_mem_eq(x.reply->data, "six", 3);
	ck_assert(xchg_judge(&x, false, 6) == XCHG_REPEAT);
	xchg_fini(&x);
}
END_TEST

/* Hurrying asks again at once, not too often, and does not put off the end. */
START_TEST(a_hurry_keeps_the_end)
{
	struct xchg x;
	usec_t end;

	xchg_init(&x, 0, 0);
	ck_assert(!xchg_hurry(&x, 0));
	xchg_request(&x, 0, text("ask"), XCHG_UP);
	end = x.end;
	ck_assert(!xchg_hurry(&x, USEC_MS(199)));
	ck_assert(xchg_hurry(&x, USEC_MS(200)));
	ck_assert(!xchg_hurry(&x, USEC_MS(399)));
	for (usec_t now = USEC_MS(400); now < end; now += USEC_MS(200)) {
		ck_assert(xchg_tick(&x, now) == XCHG_NOTHING);
		ck_assert(xchg_hurry(&x, now));
	}
	ck_assert(xchg_tick(&x, end) == XCHG_GIVE_UP);
	xchg_fini(&x);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, a_request_is_repeated_and_given_up);
	tcase_add_test(tc, only_the_answer_awaited_counts);
	tcase_add_test(tc, a_request_is_never_processed_twice);
	tcase_add_test(tc, a_hurry_keeps_the_end);
}

UNIT_MAIN("ike/exchange", fill)
