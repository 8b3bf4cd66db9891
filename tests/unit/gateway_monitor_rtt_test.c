/* SPDX-License-Identifier: MIT */
#include "gateway/monitor_rtt.h"
#include "tests/unit/unit.h"

static usec_t
ask_and_answer(struct mon_rtt *r, usec_t now, usec_t rtt)
{
	ck_assert(mon_rtt_answer(r, mon_rtt_ask(r, now), now + rtt));
	return now + rtt;
}

/* RFC 6298 2.2: srtt = R, rttvar = R / 2; 2.3: alpha = 1/8, beta = 1/4. */
START_TEST(round_trips_are_those_of_rfc_6298)
{
	struct mon_rtt r;

	mon_rtt_init(&r, 7);
	ck_assert_uint_eq(mon_rtt_wait(&r, 0), MON_WAIT_FIRST);
	ask_and_answer(&r, 1000, USEC_MS(80));
	ck_assert_uint_eq(r.srtt, USEC_MS(80));
	ck_assert_uint_eq(r.rttvar, USEC_MS(40));
	ck_assert_uint_eq(mon_rtt_wait(&r, 0), USEC_MS(240));
	ask_and_answer(&r, USEC_S(1), USEC_MS(88));
	ck_assert_uint_eq(r.rttvar, USEC_MS(32));	/* 3/4 40 + 1/4 8 */
	ck_assert_uint_eq(r.srtt, USEC_MS(81));		/* 7/8 80 + 1/8 88 */
	ck_assert_uint_eq(r.jitter, 500);		/* 8 ms / 16 */
	for (unsigned i = 0; i < 100; i++)
		ask_and_answer(&r, USEC_S(2 + i), USEC_MS(80));
	ck_assert_uint_lt(mon_rtt_wait(&r, 0), USEC_MS(105));	/* srtt + srtt / 4 */
	ck_assert_uint_ge(mon_rtt_wait(&r, 0), USEC_MS(100));
}
END_TEST

START_TEST(an_answer_counts_once_and_late)
{
	struct mon_rtt r;
	uint32_t first, seq = 0;

	mon_rtt_init(&r, UINT32_MAX - 3);		/* numbers wrap */
	ck_assert(!mon_rtt_answer(&r, UINT32_MAX - 4, 10));	/* never asked */
	ck_assert(!mon_rtt_answer(&r, UINT32_MAX - 3, 10));
	first = mon_rtt_ask(&r, 1000);
	for (unsigned i = 1; i < MON_RTT_RING; i++)
		seq = mon_rtt_ask(&r, 1000 + i);
	ck_assert(mon_rtt_answer(&r, first, USEC_S(60)));
	ck_assert_uint_eq(r.srtt, USEC_S(60) - 1000);
	ck_assert(!mon_rtt_answer(&r, first, USEC_S(60)));
	ck_assert(mon_rtt_answer(&r, seq, USEC_S(60)));
	ck_assert_uint_eq(mon_rtt_open_since(&r), 0);	/* newer than all */
	ck_assert(mon_rtt_answer(&r, first + 1, USEC_S(60)));	/* overtaken */
	ck_assert_uint_eq(mon_rtt_open_since(&r), 0);
	mon_rtt_ask(&r, USEC_S(61));
	ck_assert_uint_eq(mon_rtt_open_since(&r), USEC_S(61));
	ck_assert(!mon_rtt_answer(&r, first, USEC_S(62)));	/* forgotten */
	ck_assert(!mon_rtt_answer(&r, seq + 2, USEC_S(62)));	/* not asked yet */
	ck_assert(!mon_rtt_answer(&r, 12345, USEC_S(62)));
}
END_TEST

/* An overdue question on a path that is heard: the round trip is at least so long now. */
START_TEST(what_is_overdue_and_heard_lengthens_the_wait)
{
	struct mon_rtt r;
	uint32_t late;

	mon_rtt_init(&r, 0);
	for (unsigned i = 0; i < 50; i++)
		ask_and_answer(&r, USEC_S(i), USEC_MS(1));
	ck_assert_uint_eq(mon_rtt_wait(&r, 0), MON_WAIT_MIN);
	late = mon_rtt_ask(&r, USEC_S(60));
	ck_assert_uint_eq(mon_rtt_wait(&r, USEC_S(59)), MON_WAIT_MIN);	/* not heard since */
	ck_assert_uint_eq(mon_rtt_wait(&r, USEC_S(60) + USEC_MS(700)), USEC_MS(700));
	ck_assert_uint_eq(mon_rtt_wait(&r, USEC_S(99)), MON_WAIT_PROVEN);
	mon_rtt_ask(&r, USEC_S(61));			/* the oldest counts */
	ck_assert_uint_eq(mon_rtt_wait(&r, USEC_S(61)), USEC_S(1));
	ask_and_answer(&r, USEC_S(62), USEC_MS(1));	/* lost then, not late */
	ck_assert_uint_eq(mon_rtt_wait(&r, USEC_S(63)), MON_WAIT_MIN);
	ck_assert(mon_rtt_answer(&r, late, USEC_S(63)));
}
END_TEST

/* A queue grows by a second in a second: each round trip is twice the last and more. */
START_TEST(a_growing_queue_is_followed)
{
	struct mon_rtt r;

	mon_rtt_init(&r, 0);
	for (unsigned i = 0; i < 50; i++)
		ask_and_answer(&r, USEC_S(i), USEC_MS(1));
	ask_and_answer(&r, USEC_S(60), USEC_MS(250));
	ck_assert_uint_ge(mon_rtt_wait(&r, 0), USEC_MS(600));
	for (unsigned i = 0; i < 60; i++)
		ask_and_answer(&r, USEC_S(61 + i), USEC_MS(250));
	ck_assert_uint_le(mon_rtt_wait(&r, 0), USEC_MS(320));	/* it grows no more */
}
END_TEST

START_TEST(loss_is_counted_without_outages)
{
	struct mon_rtt r;
	usec_t now = 0;

	mon_rtt_init(&r, 0);
	ck_assert_uint_eq(mon_rtt_loss(&r, 0), 0);
	for (unsigned i = 0; i < 300; i++, now += USEC_S(2)) {
		if (i % 5 == 0)
			mon_rtt_ask(&r, now);
		else
			ask_and_answer(&r, now, 1000);
	}
	ck_assert_uint_eq(mon_rtt_loss(&r, now), 200);
	ck_assert_uint_eq(mon_rtt_need(&r, now), 8);
	for (unsigned i = 0; i < 50; i++, now += USEC_S(2))
		mon_rtt_ask(&r, now);			/* a streak: loss or death?  Not loss yet */
	ck_assert_uint_eq(mon_rtt_loss(&r, now), 200);
	mon_rtt_void(&r);
	ask_and_answer(&r, now, 1000);
	ck_assert_uint_le(mon_rtt_loss(&r, now), 250);
	for (unsigned i = 0; i < 100; i++, now += USEC_S(2))
		ask_and_answer(&r, now, 1000);
	ck_assert_uint_eq(mon_rtt_loss(&r, now), 0);
	ck_assert_uint_eq(mon_rtt_need(&r, now), MON_NEED_MIN);
}
END_TEST

/* The number of questions makes chance verdicts rarer than one in 100,000 up to a third lost. */
START_TEST(questions_follow_loss)
{
	struct mon_rtt r;
	unsigned need, last = 0;
	usec_t now = 0;
	double chance;

	for (unsigned lost = 0; lost <= 100; lost++) {
		mon_rtt_init(&r, 0);
		for (unsigned i = 0; i < 100; i++, now += USEC_S(2)) {
			if (i < lost)
				mon_rtt_ask(&r, now);
			else
				ask_and_answer(&r, now, 1000);
		}
		need = mon_rtt_need(&r, now);
		if (lost < 100)
			ck_assert_uint_ge(need, last);
		ck_assert_uint_le(need, MON_NEED_MAX);
		last = need;
		chance = 1;
		for (unsigned i = 0; i < need; i++)
			chance *= lost / 100.0;
		if (lost <= 38)
			ck_assert_msg(chance < 1.01e-5, "%u %%: %u questions", lost, need);
	}
	ck_assert_uint_eq(last, MON_NEED_MIN);		/* all lost and no answer: not loss */
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, round_trips_are_those_of_rfc_6298);
	tcase_add_test(t, an_answer_counts_once_and_late);
	tcase_add_test(t, what_is_overdue_and_heard_lengthens_the_wait);
	tcase_add_test(t, a_growing_queue_is_followed);
	tcase_add_test(t, loss_is_counted_without_outages);
	tcase_add_test(t, questions_follow_loss);
}

UNIT_MAIN("gateway_monitor_rtt", fill)
