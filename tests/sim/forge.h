/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_SIM_FORGE_H
#define TANDEM_SIM_FORGE_H

#include "ike/sa.h"
#include "tests/sim/world.h"

/*
 * Messages that no engine of ours would send: in the clear with the SPIs of an IKE SA, or
 * sealed with its keys, as a peer who went mad (or was taken over) could.
 */
struct forge {
	struct world *w;
	struct ike_sa *as;		/* in whose name: an IKE SA of one of the gates */
	struct msg_wr mw;
	uint8_t buf[8192];
	uint8_t exchange;
	bool response;
	uint32_t id;
};

/* The only IKE SA of a gate (of its first, by age, when there are several). */
struct ike_sa	*forge_sa(struct gate *g);
/* Begin a message; add payloads to f->mw; send it to the other gate (0 <-> 1). */
void		forge_start(struct forge *f);
void		forge_send(struct forge *f);		/* sealed: needs keys */
void		forge_send_clear(struct forge *f);

/* What gates send: a weather whose drop is this keeps the last datagram of gate `g`. */
struct tape {
	unsigned gate;
	unsigned n;			/* datagrams of that gate */
	size_t len;
	uint8_t data[4096];		/* without the marker */
	uint8_t exchange_lost;		/* datagrams of this exchange are lost; 0: none */
};
bool		tape_record(void *tape, const struct ike_action *a);
/* Open what is on the tape with the keys of `sa` (its receiver). */
bool		tape_open(const struct tape *t, struct ike_sa *sa, uint8_t *plain, struct msg *m);

/*
 * A peer that writes its messages otherwise: what a gate sends in one kind of message is taken
 * apart, changed by the test, sealed again with the right keys and delivered in its place, as
 * if that gate had meant it.  (In IKE_SA_INIT it then remembers what it "sent", for AUTH.)
 *
 *	tamper_start(&t, &w);			sets the weather
 *	tamper_run(&t, USEC_S(1));
 */
#define TAMPER_PARTS	100
#define TAMPER_BODY	4096

struct part {
	uint8_t type;
	bool critical;
	size_t len;
	uint8_t body[TAMPER_BODY];
};

struct tamper {
	struct world *w;
	unsigned from;			/* whose messages */
	uint8_t exchange;
	bool response;
	void (*change)(struct tamper *t);	/* works on part[]; NULL: nothing is changed */
	void *arg;
	unsigned n;			/* messages that were changed */
	unsigned parts_n;
	struct part part[TAMPER_PARTS];
	uint64_t iv;
	struct bytes *last;		/* an IKE_SA_INIT as changed */
	struct {
		struct endpoint from, to;
		size_t len;
		uint8_t data[4 + 65535];
	} held;				/* len 0: nothing waits */
};

void		tamper_start(struct tamper *t, struct world *w);
void		tamper_run(struct tamper *t, usec_t span);
void		tamper_stop(struct tamper *t);	/* fair weather again */

#endif
