/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_MONITOR_STATE_H
#define TANDEM_GATEWAY_MONITOR_STATE_H

#include "base/heap.h"
#include "base/map.h"
#include "gateway/monitor.h"
#include "gateway/monitor_rtt.h"

/*
 * What the files of the monitor share, and nobody else sees:
 *
 *	monitor.c		the public face: facts in, actions out
 *	monitor_ask.c		when to ask, what an answer means, verdicts
 *	monitor_tunnel.c	what IKE, the kernel and the peer say about a tunnel
 *	monitor_select.c	which tunnel takes which flow, and what the peer is told
 *	monitor_rtt.c		the questions of one tunnel as numbers
 */
#define MON_SPACING_MIN		USEC_MS(20)	/* nobody is asked faster, whatever is configured */
#define MON_SILENCE_MIN		USEC_MS(50)
#define MON_SAMPLE_EVERY	USEC_MS(50)
#define MON_SAMPLE_STOP		USEC_S(1)	/* no sampling after so long without traffic */
#define MON_SHADOW		USEC_MS(10)	/* a packet so soon after our question is the question */
#define MON_GRACE		USEC_MS(20)	/* a verdict waits so long for news in the rings */
#define MON_LATE		USEC_MS(50)	/* a tick so late says the host was busy */
#define MON_PATIENCE		USEC_MS(150)	/* fleeing waits so long for an answer of the refuge */
#define MON_TOGETHER		USEC_S(1)	/* verdicts within it are one event: the uplink */
#define MON_GRID		USEC_MS(50)	/* routine questions share these slots */
#define MON_ROUTINE_SPAN	6		/* quarters of an idle period: what three questions take */
#define MON_YOUNG		4		/* first questions, asked four times as often */
#define MON_MUTE		5		/* idle periods without proof that our packets arrive */
#define MON_CLOSE_AFTER		USEC_S(10)	/* a tunnel dead for so long is negotiated anew */

struct mon_conn;

struct mon_tun {
	struct heap_node timer;
	struct mon_conn *c;
	unsigned index;
	uint32_t id;

	/* what IKE, the kernel and the peer say */
	bool up, ever_up, no_carrier, echo;
	bool told;			/* the peer says it is dead */
	usec_t told_until;		/* believed no longer than this; NEVER: not answering yet, */
					/* see mon_told_answers() */

	/* our verdict: MON_V_UP, ASKING, DEAD or UPLINK (of silence); the rest follows */
	enum mon_verdict v;
	usec_t since;
	char reason[128];
	bool by_echo;			/* has answered by its own SA since it came up */
	bool mute;			/* dead because our packets get lost; theirs prove nothing */
	bool doubt;			/* closed for silence: not trusted before it is heard */
	usec_t hold_until;		/* 0: not held */

	/* silence */
	usec_t heard;			/* newest authenticated packet */
	usec_t proven;			/* newest proof that what we send arrives */
	usec_t last_in, last_out, sampled_at;
	usec_t user_out;		/* newest packet that is not our own question */
	usec_t flowing_until;		/* sample until then */
	usec_t waiting;			/* since when traffic goes out unanswered; 0: it does not */

	/* questions */
	struct mon_rtt rtt;
	usec_t asked_at;		/* the newest question left */
	usec_t routine_at;		/* next routine question */
	usec_t ask_at;			/* next question of a round; NEVER: no round sends */
	usec_t verdict_at;		/* NEVER: no verdict is near */
	bool graced;			/* the verdict was put off for newer facts ... */
	usec_t look_at;			/* ... for a sample, wanted since then; NEVER: not for one */
	unsigned round, need;		/* asked in this round, of how many */
	usec_t round_at;		/* when the round began */
	uint32_t round_of;		/* the tunnel whose silence began it */
	unsigned unheard, unproven;	/* questions since heard, since proven */
	usec_t unheard_at;		/* the first of them */
	unsigned hurried;		/* early routine questions in a row */
	usec_t quiet_until;		/* IKE-judged: no new round before */
	usec_t ike_asked_at, ike_alive_at;
	usec_t close_at;
	unsigned young;			/* first questions left to ask */

	/* actions to fetch */
	bool out_probe, out_ask, out_close, out_verdict;
	uint64_t out_token;
};

struct mon_conn {
	struct mon_conf conf;
	struct mon_tun *t[MON_TUNNELS];
	uint8_t bucket[256];
	unsigned chosen;		/* 1-based; 0: by policy */
	unsigned moves;
	usec_t moved_at;
	uint32_t told;			/* bit i: the peer was told that tunnel i is dead */
	bool retell;			/* say it again: by an IKE SA that is new */

	/* actions to fetch */
	struct mon_conn *next_out;
	bool queued, out_select, out_tell_none;
	uint32_t out_tell;		/* bit i: say that tunnel i is dead */
	uint32_t tell_by;		/* tunnel id */
	char reason[128];
};

struct monitor {
	struct rng rng;
	usec_t now;			/* of the newest fact or tick */
	struct heap timers;
	struct map *tuns, *conns;
	struct mon_conn *out_first, **out_last;
};

/* monitor.c */
void	mon_queue(struct monitor *m, struct mon_conn *c);	/* it has an action to fetch */

/* monitor_tunnel.c */
void	mon_tun_up(struct monitor *m, struct mon_tun *t, usec_t now);
void	mon_tun_down(struct monitor *m, struct mon_tun *t, usec_t now);
void	mon_tun_carrier(struct monitor *m, struct mon_tun *t, usec_t now, bool present);
void	mon_tun_told(struct monitor *m, struct mon_tun *t, usec_t now, bool dead);
/* Told that it is dead, but it has answered a question since: the peer, too, only holds it. */
bool	mon_told_answers(const struct mon_tun *t);

/* monitor_ask.c */
void	mon_tun_sample(struct monitor *m, struct mon_tun *t, usec_t now, usec_t in, usec_t out);
void	mon_tun_alive(struct monitor *m, struct mon_tun *t, usec_t now);
void	mon_tun_echo(struct monitor *m, struct mon_tun *by, usec_t now, uint64_t token, usec_t at);
void	mon_tun_due(struct monitor *m, struct mon_tun *t, usec_t now);
void	mon_tun_arm(struct monitor *m, struct mon_tun *t);	/* after every change */
void	mon_ask(struct monitor *m, struct mon_tun *t, usec_t now);	/* one question now */
void	mon_stop_asking(struct mon_tun *t);	/* its round is over; what is out may be answered */
/* The verdict is a new one: since now, because of `why`. */
void	mon_note(struct monitor *m, struct mon_tun *t, usec_t now, const char *why);
/* mon_reselect() because of `what` about this tunnel. */
void	mon_reselect_for(struct monitor *m, struct mon_tun *t, usec_t now, const char *what);
usec_t	mon_tun_sample_at(const struct mon_tun *t);
bool	mon_overdue(const struct mon_tun *t, usec_t now);	/* a question is, nothing was heard */
enum mon_verdict mon_tun_verdict(const struct mon_tun *t);	/* as others see it */

/* monitor_select.c */
bool	mon_usable(const struct mon_tun *t);	/* has a Child SA and a carrier */
bool	mon_well(const struct mon_tun *t);	/* ... and no verdict against it */
bool	mon_live(const struct mon_tun *t);	/* carries some flows */
/* Reconsider who takes what, and what the peer ought to know.  `why` goes to a SELECT. */
void	mon_reselect(struct monitor *m, struct mon_conn *c, usec_t now, const char *why);

#endif
