/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_MONITOR_H
#define TANDEM_GATEWAY_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/usec.h"

/*
 * The failover monitor: a machine for all connections.  Silence is a reason to ask; only an
 * unanswered question is a reason to leave.  Facts about tunnels go in, questions and choices
 * come out.  Control thread only; no clock inside.  docs/failover.md tells the whole story.
 *
 * The host's loop: feed all that is waiting (echoes first, then samples that are due), tick,
 * drain monitor_next(), sleep until the earliest of monitor_deadline() and the
 * monitor_sample_at() of the connections.  The order is not required, it saves time: a verdict
 * waits up to 20 ms for a sample that is not older than the moment it falls due, and a tick
 * that comes late (a busy host) gives what is still in the rings that time as well.
 *
 * Nothing here fails loudly: a connection for which there is no memory at MON_SET is not
 * watched (monitor_status() says false); facts about unknown tunnels are ignored.
 */
struct monitor;

#define MON_TUNNELS	8		/* of one connection */
#define MON_NONE	0xff

enum mon_policy {
	MON_ACTIVE_STANDBY,		/* the first that is well, by configured order */
	MON_ACTIVE_ACTIVE,		/* all that are well, by flow hash */
	MON_PINNED,			/* tunnel `pin` and no other */
};

struct mon_conf {
	uint32_t connection;		/* never 0 */
	char name[96];
	unsigned n;
	uint32_t tunnel[MON_TUNNELS];	/* ids, in order of preference */
	bool echo[MON_TUNNELS];		/* there is an inside (or configured) address to ask; */
					/* without one a tunnel is judged by IKE liveness alone */
	enum mon_policy policy;
	unsigned pin;			/* index, for MON_PINNED */
	usec_t hold;			/* before returning to a preferred tunnel */
	usec_t silence;			/* 200 ms: out but not in for so long asks */
	usec_t spacing;			/* 100 ms: between the three questions */
	usec_t idle;			/* 2 s: between questions to idle and standby tunnels */
};

enum mon_fact_kind {
	MON_SET,			/* conf: add or replace a connection; what is known of its */
					/* tunnels (by id) is kept.  A tunnel id belongs to one */
					/* connection.  Always answered by a MON_SELECT. */
	MON_DEL,			/* connection, with its tunnels */
	MON_UP, MON_DOWN,		/* tunnel: by IKE: it has a Child SA, it has none */
	MON_SAMPLE,			/* tunnel: last_in, last_out: times of the newest packets */
					/* (authenticated; sent); 0 never */
	MON_ALIVE,			/* tunnel: a protected IKE message came.  Ends questioning, */
					/* does not revive a tunnel whose ESP is judged dead */
	MON_ECHO,			/* tunnel by whose SA it came, token, at: an answer */
	MON_TOLD,			/* connection, index (1-based, 0 none): the peer's verdict */
	MON_CARRIER,			/* tunnel, present: its uplink lost or got its carrier/address */
	MON_CHOOSE,			/* connection, index (1-based; 0: back to policy): `failover`; */
					/* ignored for a tunnel that is not well, and for MON_PINNED. */
					/* Holds until that tunnel dies. */
};

struct mon_fact {
	enum mon_fact_kind kind;
	const struct mon_conf *conf;
	uint32_t connection, tunnel;
	uint64_t token;
	usec_t at, last_in, last_out;
	unsigned index;
	bool present;
};

enum mon_action_kind {
	MON_PROBE,			/* tunnel, token: send an echo by it */
	MON_ASK,			/* tunnel: a liveness question by IKE */
	MON_SELECT,			/* connection: bucket[] as below; reason */
	MON_TELL,			/* connection, index of a dead tunnel (0: forget what was told), */
					/* by `tunnel`, which is well */
	MON_CLOSE,			/* tunnel: IKE answers but nothing comes by ESP, for long, while */
					/* another tunnel is well: negotiate it anew */
	MON_VERDICT,			/* tunnel, index, verdict, reason: it changed (for the log; */
					/* MON_V_ASKING, which comes and goes, is not reported) */
};

enum mon_verdict {
	MON_V_DOWN,			/* no Child SA */
	MON_V_UP,			/* carries, or would */
	MON_V_ASKING,			/* silent; a question is out */
	MON_V_DEAD,			/* did not answer, or the peer says so */
	MON_V_HELD,			/* well again, but within its hold time */
	MON_V_UPLINK,			/* no carrier below it; or fell silent with all the others: */
					/* it keeps its traffic, which goes on when the path returns */
};

struct mon_action {
	enum mon_action_kind kind;
	uint32_t connection, tunnel;
	uint64_t token;
	unsigned index;			/* 1-based place of the tunnel; SELECT: who has bucket 0 */
	enum mon_verdict verdict;
	uint8_t bucket[256];		/* 0-based index of the tunnel for each flow hash, or MON_NONE */
	char reason[128];		/* "tunnel 1: no answer to 3 questions in 310 ms" */
};

struct monitor	*monitor_new(const struct rng *rng);	/* copied; NULL: no memory */
void		monitor_free(struct monitor *m);
void		monitor_input(struct monitor *m, usec_t now, const struct mon_fact *f);
void		monitor_tick(struct monitor *m, usec_t now);
usec_t		monitor_deadline(const struct monitor *m);
/* Actions are kept as state, not as messages: what was not fetched is replaced by what is
 * newer, so the queue is bounded by the number of tunnels. */
bool		monitor_next(struct monitor *m, struct mon_action *a);
/* When control should next sample the counters of a connection's tunnels: soon while
 * traffic flows or a verdict is near, USEC_NEVER while idle (the worker then says when
 * traffic starts).  Look again after every fact, tick and action of the connection. */
usec_t		monitor_sample_at(const struct monitor *m, uint32_t connection);

struct mon_status {
	enum mon_verdict verdict;
	usec_t since;			/* of the verdict */
	bool live;			/* carries traffic (some buckets) */
	bool by_echo;			/* judged by echo; else by IKE liveness only */
	usec_t rtt, rttvar, jitter;	/* RFC 6298, RFC 3550 6.4.1; 0: no answer yet */
	unsigned loss_permille;		/* over the last 100 questions, those of outages left out */
	unsigned asked;			/* questions so far */
	usec_t last_heard;
	char reason[128];		/* of the verdict */
};
bool		monitor_status(const struct monitor *m, uint32_t tunnel, struct mon_status *st);
/* How often traffic went from one tunnel to another so far, and when the last time was. */
bool		monitor_moves(const struct monitor *m, uint32_t connection, unsigned *n, usec_t *last);
const char	*mon_verdict_name(enum mon_verdict v);

#endif
