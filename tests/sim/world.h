/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_SIM_WORLD_H
#define TANDEM_SIM_WORLD_H

#include "base/addr.h"
#include "base/child.h"
#include "base/rng.h"
#include "base/usec.h"
#include "ike/ike.h"
#include "ike/ts.h"

/*
 * A world of gateways in one process: a clock that jumps from event to event, a network with
 * weather, a pool for long computations, all from one seed.  Gateways here are IKE engines
 * with a table in the place of ESP: it records SA_IN, SA_OUT and SA_DROP, asserts their order
 * and lets a test compare the keys of both ends.
 *
 *	world_init(&w, seed, 2);
 *	world_tunnel(&w, 0, 1, 1, conf);  ...
 *	world_run(&w, USEC_S(10));
 *	ck_assert(world_agree(&w, 0, 1, 1));
 *	world_fini(&w);				asserts that nothing is left
 */
#define WORLD_GATES	3
#define GATE_SAS	64		/* Child SAs of a gateway with a table */
#define GATE_RESOURCES	8		/* of a tunnel */

struct world;

/* A datagram under way. */
struct flight {
	usec_t at;
	uint64_t seq;			/* the order of sending decides between equals */
	struct endpoint from, to;	/* as the receiver sees them */
	uint8_t *data;
	size_t len;
};

/* What happens to datagrams.  Zero is fair weather: 10 ms and no loss. */
struct weather {
	usec_t delay;			/* one way; 0: 10 ms */
	usec_t jitter;			/* up to so much more by seed: reorders */
	uint64_t loss;			/* bit k: the k-th datagram from now on is lost; */
	bool rotate;			/* after 64 again from bit 0, else no more loss */
	unsigned dup_percent, loss_percent;	/* by seed */
	/* True: it is lost.  Sees what was sent, before any NAT. */
	bool (*drop)(void *arg, const struct ike_action *a);
	void *arg;
};

struct gate_sa {
	struct child_sa *child;		/* NULL: free */
	usec_t dropped_at;		/* 0: in use.  ESP still takes what comes for 5 s */
};

struct gate {
	struct world *w;
	unsigned index;
	struct ip ip;			/* outside address; second tunnels add 16 to the last byte */
	struct ip nat;			/* AF_UNSPEC: no NAT in front */
	uint16_t nat_shift;		/* what the NAT adds to ports */
	struct rng_seeded rng;
	struct secrets *secrets;
	struct ike *ike;
	bool table;			/* false: Child SAs are freed at once (thousands) */
	struct gate_sa sa[GATE_SAS];
	uint32_t out[32];		/* by tunnel id: spi_in of the Child SA sent by; 0 none */
	uint32_t out_of[32][GATE_RESOURCES];	/* the same for each resource; [0] is out */
	unsigned resources[32];		/* by tunnel id */
	bool up[32];
	unsigned ups, downs, told_n, alive, installed, dropped, endpoints;
	uint8_t told;
	char reason[IKE_REASON_MAX];	/* of the last IKE_DOWN */
	struct endpoint endpoint;	/* of the last IKE_ENDPOINT */
	uint64_t sent;
	struct ike_status status;
};

struct work {
	usec_t at;
	struct ike_job *job;
	unsigned gate;
};

struct world {
	usec_t now;
	uint64_t seed;
	struct rng_seeded rng_state;
	struct rng rng;
	unsigned gates_n;
	struct gate gate[WORLD_GATES];
	struct weather weather;
	uint64_t weather_n;		/* datagrams since the weather was set */
	usec_t work_max;		/* jobs take up to so long, by seed; 0: at once */
	struct flight *flight;		/* a heap */
	size_t flights_n, flights_cap;
	struct work *work;
	size_t works_n, works_cap;
	uint64_t seq;
	uint64_t digest;		/* of all datagrams sent, with time and place */
	bool esp;			/* send an ESP packet each 10 ms each way, count the lost */
	usec_t esp_at;
	uint64_t esp_sent, esp_lost;
};

extern bool	world_in_engine;	/* an engine is at work: for tests that fail allocations */

void		world_init(struct world *w, uint64_t seed, unsigned gates);
/* Frees all; asserts that no secret and no job is left. */
void		world_fini(struct world *w);
void		world_weather(struct world *w, const struct weather *weather);
/* A gate forgets all, its tunnels too, and has a new engine. */
void		world_crash(struct world *w, unsigned g);

/* A configuration of tunnel `id` of gate `g` to gate `peer`, to be changed before world_set():
 * addresses of the gates (the second tunnel has others), identities from them, one suite with
 * curve25519, start. */
struct ike_tunnel world_conf(const struct world *w, unsigned g, uint32_t id, unsigned peer);
void		world_set(struct world *w, unsigned g, const struct ike_tunnel *conf);
/* world_conf() and world_set() for both ends; `start`: bit 0 gate a, bit 1 gate b. */
void		world_pair(struct world *w, uint32_t id, unsigned start);
void		world_fact(struct world *w, unsigned g, const struct ike_fact *fact);
void		world_tell(struct world *w, unsigned g, enum ike_fact_kind kind, uint32_t tunnel);
/* A datagram out of nowhere. */
void		world_inject(struct world *w, unsigned g, const struct endpoint *from,
		    const struct endpoint *to, struct slice data);

/* Let time pass: so much, or until the next event.  False: nothing will ever happen. */
void		world_run(struct world *w, usec_t span);
bool		world_step(struct world *w, usec_t until);
/* Run until both ends of a tunnel agree, at most so long. */
bool		world_run_until_agreed(struct world *w, uint32_t tunnel, usec_t span);

/* Both ends have exactly one Child SA of the tunnel in use, send by it, and their keys fit. */
bool		world_agree(const struct world *w, uint32_t tunnel);
/* The same where workers share it (RFC 9611): `n` Child SAs in use at both ends, all of which fit,
 * and each resource sends by one of its own. */
bool		world_agree_each(const struct world *w, uint32_t tunnel, unsigned n);
/* Each Child SA in use has its counterpart, with keys that fit, or is not in use. */
bool		world_keys_fit(const struct world *w, uint32_t tunnel);
unsigned	gate_live(const struct gate *g, uint32_t tunnel);	/* Child SAs in use */
struct child_sa	*gate_child(const struct gate *g, uint32_t spi_in);
struct ike_totals gate_totals(const struct gate *g);
/* Valid until the next call for the same gate. */
const struct ike_status *gate_status(struct gate *g, uint32_t tunnel);

#endif
