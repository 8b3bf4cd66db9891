/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_H
#define TANDEM_IKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/aead.h"
#include "base/child.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/usec.h"
#include "ike/payload.h"	/* struct ike_id */
#include "ike/proposal.h"	/* struct ike_suite, struct esp_suite */

/*
 * IKEv2 (RFC 7296) for all tunnels of a gateway, as a machine: facts and the time go in,
 * actions come out.  No clock, socket, thread or random source inside.  The host's loop is
 *
 *	ike_input(ike, now, &fact);  or  ike_tick(ike, now);
 *	while (ike_next(ike, &action)) carry it out;
 *	sleep until ike_deadline(ike);
 *
 * Control thread only.
 */
struct ike;
struct ike_job;

struct ike_env {
	struct rng rng;
	struct secrets *secrets;	/* keys and child_sa come from here; outlives the machine */
	const struct aead_set *aeads;
	unsigned workers;		/* our inbound SPIs say whose they are: SPI mod workers = */
					/* (tunnel id + resource mod resources) mod workers */
	unsigned half_open_cookie;	/* half-open SAs from which cookies are asked; 0: always */
	unsigned half_open_max;		/* hard bound on half-open SAs of strangers */
};

struct ike	*ike_new(const struct ike_env *env);	/* NULL: no memory */
void		ike_free(struct ike *ike);

#define IKE_SUITES_MAX	16		/* proposals in one SA payload (R18) */
#define IKE_NAME_MAX	96
#define IKE_RESOURCES_MAX 64		/* a set of them is a word */

/* What is configured about one tunnel.  Copied by IKE_TUNNEL_SET. */
struct ike_tunnel {
	uint32_t id;			/* never 0; the key of every fact and action */
	uint32_t connection;		/* tunnels of one connection share it */
	char name[IKE_NAME_MAX];	/* "office-aws/1": for the log */
	struct ip local;		/* outside address; AF_UNSPEC: whatever the kernel picks */
	struct ip remote;		/* AF_UNSPEC: any (such a tunnel only answers) */
	uint16_t local_port, local_natt_port;	/* ours: 500 and 4500 unless configured */
	uint16_t remote_port;		/* where the opening goes: 500, or 4500 to start there */
	struct ike_id local_id, remote_id;
	const uint8_t *psk;		/* borrowed during the call, kept in secret memory */
	size_t psk_len;
	struct ike_suite ike[IKE_SUITES_MAX];
	unsigned ike_n;
	struct esp_suite esp[IKE_SUITES_MAX];
	unsigned esp_n;
	struct ts_list ts_local, ts_remote;
	bool start;			/* open it, and again whenever it is lost */
	uint16_t window;		/* ESP replay window, packets */
	unsigned resources;		/* workers that share it: above 1 the peer is asked for a Child */
					/* SA for each (RFC 9611); at most IKE_RESOURCES_MAX */
	usec_t ike_life, child_life;	/* hard ends; rekeying starts at a random 75-83 % */
	usec_t liveness;		/* ask after so long without a word; 0: never */
	usec_t retry_max;		/* cap of the back-off between attempts */
};

enum ike_fact_kind {
	IKE_TUNNEL_SET,			/* conf: add, or replace what is configured (live SAs stay */
					/* where identities, secret and addresses are unchanged) */
	IKE_TUNNEL_DEL,			/* tunnel: delete its SAs at the peer and forget it */
	IKE_DATAGRAM,			/* local, remote, data: with the non-ESP marker on 4500 */
	IKE_OPEN,			/* tunnel: bring it up now, also after IKE_CLOSE */
	IKE_CLOSE,			/* tunnel: delete its SAs; stay down until IKE_OPEN (or, as */
					/* a responder, until the peer opens when `start` is not set) */
	IKE_REKEY,			/* tunnel: its Child SAs that are sent by, or (`spi_out` not 0) */
					/* the one of that SPI of the peer's; `ike_sa`: its IKE SA */
	IKE_ASK,			/* tunnel: a liveness question now */
	IKE_HEARD,			/* tunnel: an authenticated ESP packet came (puts off liveness) */
	IKE_TELL,			/* tunnel: say to the peer in this tunnel's IKE SA which tunnel */
					/* of the connection is dead (`index`, the 1-based place of the */
					/* tunnel in the configuration of both; 0: none is) */
	IKE_ADDRESS,			/* tunnel, present: its outside address has come or gone */
	IKE_MOVED,			/* tunnel, remote: ESP of the peer now comes from there (R27) */
	IKE_WORK_DONE,			/* job: from the pool; owned by the machine again */
	IKE_STOP,			/* delete all SAs at the peers; nothing is opened any more */
};

struct ike_fact {
	enum ike_fact_kind kind;
	uint32_t tunnel;
	const struct ike_tunnel *conf;
	struct endpoint local, remote;
	const uint8_t *data;
	size_t len;
	bool ike_sa, present;
	uint8_t index;
	uint32_t spi_out;
	struct ike_job *job;
};

enum ike_action_kind {
	IKE_SEND,			/* local, remote, data, len: one datagram */
	IKE_SA_IN,			/* child: accept it.  Yours now: secret_free() it at the end */
	IKE_SA_OUT,			/* tunnel, spi_in, resources: those of this set send by this */
					/* Child SA from now on; the others go on by theirs */
	IKE_SA_DROP,			/* tunnel, spi_in: stop sending by it; it is deleted */
	IKE_UP,				/* tunnel: IKE SA and Child SA are there */
	IKE_DOWN,			/* tunnel, reason: no Child SA is left */
	IKE_ALIVE,			/* tunnel: a protected message of the peer arrived */
	IKE_TOLD,			/* tunnel, index: the peer says that tunnel is dead (0: none) */
	IKE_WORK,			/* job: run ike_job_run() on it and give it back */
	IKE_ENDPOINT,			/* tunnel, local, remote: ESP now goes there */
};

#define IKE_REASON_MAX	256

struct ike_action {
	enum ike_action_kind kind;
	uint32_t tunnel;
	uint32_t spi_in;
	uint64_t resources;		/* SA_OUT: bit k: resource k */
	struct endpoint local, remote;
	const uint8_t *data;		/* valid until the next call on the machine */
	size_t len;
	struct child_sa *child;
	struct ike_job *job;
	uint8_t index;
	char reason[IKE_REASON_MAX];	/* DOWN: a sentence for a person */
};

void	ike_input(struct ike *ike, usec_t now, const struct ike_fact *fact);
void	ike_tick(struct ike *ike, usec_t now);		/* early calls do nothing */
usec_t	ike_deadline(const struct ike *ike);		/* or USEC_NEVER; O(1) */
bool	ike_next(struct ike *ike, struct ike_action *action);	/* false: nothing to do */

/* The long computation of a job: any thread, touches nothing but the job. */
void	ike_job_run(struct ike_job *job);

/* What `status` shows of one tunnel.  Times are the machine's; 0 where there is none. */
struct ike_status {
	const char *state;		/* "down", "connecting", "authenticating", "up", ... */
	bool up, initiator;		/* initiator: of the IKE SA */
	bool nat_local, nat_remote;	/* a NAT really is in front of us / the peer */
	bool peer_is_tandem;
	uint64_t spi_i, spi_r;
	uint32_t child_spi_in, child_spi_out;
	struct endpoint local, remote;
	struct ike_id peer_id;
	struct ike_suite ike;
	struct esp_suite esp;
	usec_t ike_since, child_since, ike_rekey_at, child_rekey_at, next_try_at;
	unsigned ike_rekeys, child_rekeys, attempts;
	struct ts_list ts_local, ts_remote;
	char reason[IKE_REASON_MAX];	/* why it is down, or what the last attempt met */
};

bool	ike_status(const struct ike *ike, uint32_t tunnel, struct ike_status *st);	/* false: unknown */

/* Counters of the whole machine, for `status` and tests of leaks. */
struct ike_totals {
	size_t ike_sas, child_sas, half_open, jobs;
	uint64_t datagrams_in, datagrams_out, retransmits, cookies_sent, dropped, auth_failed;
	uint64_t unanswered;		/* exchanges that the peer never answered */
	uint64_t openings_failed;	/* attempts at a tunnel, for whatever reason */
	uint64_t rekeys_failed;		/* refused, or answered with what is of no use */
	uint64_t timers;		/* that came due: what ticks have cost so far */
};
void	ike_totals(const struct ike *ike, struct ike_totals *t);

#endif
