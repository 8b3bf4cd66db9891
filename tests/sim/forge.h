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

#endif
