/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_MONITOR_RTT_H
#define TANDEM_GATEWAY_MONITOR_RTT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/usec.h"

/*
 * The questions of one tunnel: when each was asked, which were answered, and what that says
 * about the path: round trip (RFC 6298), jitter (RFC 3550 6.4.1), loss, and how long to wait
 * before silence means something.
 *
 * A question is known by its sequence number.  The newest MON_RTT_RING are remembered; an
 * answer may come as late as it likes within them and still counts, since every question has
 * a number of its own (no ambiguity in the sense of Karn's algorithm).
 */
#define MON_RTT_RING	128		/* a power of two, >= MON_RTT_LOSS */
#define MON_RTT_LOSS	100		/* loss is over so many */

#define MON_WAIT_MIN	USEC_MS(100)	/* the least time an answer is given */
#define MON_WAIT_FIRST	USEC_S(1)	/* ... while no answer was ever seen (RFC 6298 2.1) */
#define MON_WAIT_PROVEN	USEC_S(3)	/* the most that one overdue question proves, see wait */

#define MON_NEED_MIN	3		/* questions that must go unanswered ... */
#define MON_NEED_MAX	12		/* ... on a path that loses a third of them */

struct mon_rtt {
	usec_t srtt, rttvar, jitter;	/* 0: no answer yet */
	usec_t last;			/* the newest round trip */
	uint32_t next;			/* sequence number of the next question */
	uint32_t asked;			/* saturating */
	uint32_t open;			/* the first question after the newest answered one */
	usec_t sent[MON_RTT_RING];
	uint8_t fate[MON_RTT_RING];
};

void		mon_rtt_init(struct mon_rtt *r, uint32_t first);	/* any first number */
/* The Child SA is new: forget the round trips and what is still open, go on counting. */
void		mon_rtt_renew(struct mon_rtt *r);
/* A question leaves now; returns its number. */
uint32_t	mon_rtt_ask(struct mon_rtt *r, usec_t now);
/* Its answer, come at `at`.  False: no such question, too old, or answered before. */
bool		mon_rtt_answer(struct mon_rtt *r, uint32_t seq, usec_t at);
/* The path is judged dead: its open questions tell of the outage, not of loss. */
void		mon_rtt_void(struct mon_rtt *r);
/*
 * How long an answer may take before its lack means something:
 *
 *	max(100 ms, srtt + max(4 rttvar, srtt / 4), 2.5 last where it rises, heard - asked)
 *
 * The quarter is the clock granularity G of RFC 6298: on a steady path rttvar goes to
 * nothing, and a long path shall not be called dead for its first queue.  Where
 * the last round trip is far above the mean a queue is filling: one that grows by a second in
 * a second doubles the round trip from each question to the next, faster than a mean of RFC
 * 6298 can follow.  The last term is
 * the age that the oldest overdue question had when the tunnel was last `heard`: if the
 * path carried something then, either that question was lost or a round trip takes at least
 * so long now.  It grows only while the tunnel is heard, so it never puts off the verdict
 * on a dead path by more than the path's own delay (or a lost question, until the next is
 * answered; at most MON_WAIT_PROVEN).
 */
usec_t		mon_rtt_wait(const struct mon_rtt *r, usec_t heard);
/* When the oldest question without an answer, newer than every answer, left; 0: none. */
usec_t		mon_rtt_open_since(const struct mon_rtt *r);
/* Lost questions per thousand of the last 100: overdue ones, after which another was answered. */
unsigned	mon_rtt_loss(const struct mon_rtt *r, usec_t now);
/*
 * How many questions in a row must go unanswered: 3, more on a path that loses packets
 * anyway, so that chance alone makes a verdict less than about once in 100,000 rounds.
 */
unsigned	mon_rtt_need(const struct mon_rtt *r, usec_t now);

#endif
