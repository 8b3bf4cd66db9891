/* SPDX-License-Identifier: MIT */
#include "gateway/monitor_rtt.h"

#include <string.h>

enum fate {
	FATE_VOID,			/* never asked, or asked in an outage */
	FATE_OPEN,			/* asked; an answer may come */
	FATE_ANSWERED,
};

static unsigned
slot(uint32_t seq)
{
	return seq % MON_RTT_RING;
}

void
mon_rtt_init(struct mon_rtt *r, uint32_t first)
{
	memset(r, 0, sizeof(*r));
	r->next = r->open = first;
}

void
mon_rtt_renew(struct mon_rtt *r)
{
	mon_rtt_void(r);
	r->srtt = r->rttvar = r->jitter = r->last = 0;
}

uint32_t
mon_rtt_ask(struct mon_rtt *r, usec_t now)
{
	uint32_t seq = r->next++;

	r->sent[slot(seq)] = now;
	r->fate[slot(seq)] = FATE_OPEN;
	if (r->asked < UINT32_MAX)
		r->asked++;
	if (r->next - r->open > MON_RTT_RING)
		r->open = r->next - MON_RTT_RING;
	return seq;
}

static usec_t
distance(usec_t a, usec_t b)
{
	return a > b ? a - b : b - a;
}

/* RFC 6298 2.2 and 2.3; RFC 3550 6.4.1 with round trips in place of transit times. */
static void
measure(struct mon_rtt *r, usec_t rtt)
{
	if (rtt == 0)
		rtt = 1;		/* 0 says "no answer yet" */
	if (r->srtt == 0) {
		r->srtt = rtt;
		r->rttvar = rtt / 2;
	} else {
		r->jitter = r->jitter - r->jitter / 16 + distance(rtt, r->last) / 16;
		r->rttvar = r->rttvar - r->rttvar / 4 + distance(r->srtt, rtt) / 4;
		r->srtt = r->srtt - r->srtt / 8 + rtt / 8;
		if (r->srtt == 0)
			r->srtt = 1;
	}
	r->last = rtt;
}

bool
mon_rtt_answer(struct mon_rtt *r, uint32_t seq, usec_t at)
{
	uint32_t age = r->next - seq;		/* 1: the newest */

	if (age == 0 || age > MON_RTT_RING || age > r->asked)
		return false;
	if (r->fate[slot(seq)] == FATE_ANSWERED)
		return false;
	r->fate[slot(seq)] = FATE_ANSWERED;
	measure(r, at > r->sent[slot(seq)] ? at - r->sent[slot(seq)] : 0);
	if (r->next - r->open >= age)
		r->open = seq + 1;
	return true;
}

void
mon_rtt_void(struct mon_rtt *r)
{
	for (unsigned i = 0; i < MON_RTT_RING; i++)
		if (r->fate[i] == FATE_OPEN)
			r->fate[i] = FATE_VOID;
	r->open = r->next;
}

usec_t
mon_rtt_open_since(const struct mon_rtt *r)
{
	return r->open == r->next ? 0 : r->sent[slot(r->open)];
}

usec_t
mon_rtt_wait(const struct mon_rtt *r, usec_t heard)
{
	usec_t since = mon_rtt_open_since(r), wait;

	if (r->srtt == 0)
		return MON_WAIT_FIRST;
	wait = 4 * r->rttvar > r->srtt / 4 ? 4 * r->rttvar : r->srtt / 4;
	wait += r->srtt;
	if (r->last > r->srtt + r->srtt / 2 && wait < r->last * 5 / 2)
		wait = r->last * 5 / 2;
	if (since != 0 && heard > since && wait < heard - since)
		wait = usec_min(heard - since, MON_WAIT_PROVEN);
	return wait > MON_WAIT_MIN ? wait : MON_WAIT_MIN;
}

/* Of the newest 100 questions: how many were lost, and of how many. */
static unsigned
lost(const struct mon_rtt *r, usec_t now, unsigned *of)
{
	usec_t patience = mon_rtt_wait(r, 0);
	unsigned n = 0;

	if (patience < MON_WAIT_FIRST)
		patience = MON_WAIT_FIRST;
	*of = 0;
	for (uint32_t age = 1; age <= MON_RTT_LOSS && age <= r->asked; age++) {
		unsigned i = slot(r->next - age);

		if (age <= r->next - r->open)
			continue;	/* a streak without an answer: loss only if one follows */
		if (r->fate[i] == FATE_VOID)
			continue;
		if (r->fate[i] == FATE_OPEN && now < usec_add(r->sent[i], patience))
			continue;
		n += r->fate[i] == FATE_OPEN;
		(*of)++;
	}
	return n;
}

unsigned
mon_rtt_loss(const struct mon_rtt *r, usec_t now)
{
	unsigned of, n = lost(r, now, &of);

	return of > 0 ? n * 1000 / of : 0;
}

unsigned
mon_rtt_need(const struct mon_rtt *r, usec_t now)
{
	/* The least n with loss^n below 10^-5, by loss in permille. */
	static const struct { unsigned permille, need; } steps[] = {
		{ 20, 3 }, { 50, 4 }, { 90, 5 }, { 140, 6 }, { 190, 7 }, { 230, 8 },
		{ 270, 9 }, { 310, 10 }, { 350, 11 },
	};
	unsigned of, n = lost(r, now, &of);

	n = n * 1000 / (of < MON_RTT_LOSS / 2 ? MON_RTT_LOSS / 2 : of);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (n <= steps[i].permille)
			return steps[i].need;
	return MON_NEED_MAX;
}
