/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_FSM_H
#define TANDEM_IKE_FSM_H

#include "ike/sa.h"

/*
 * The tables: what may come when, what it must and may carry, who handles it, what follows
 * (R1, R17).  A peer's request is judged against the state of the IKE SA, an answer and the
 * end of a computation against our outstanding request.  Whatever no rule allows is refused.
 */

/* What a handler reports; the message is done with when it returns. */
enum verdict {
	V_NEXT,				/* go to the rule's next state */
	V_STAY,				/* as it is, or the handler has assigned the state */
	V_SYNTAX,			/* malformed: INVALID_SYNTAX to a request */
};

/* A datagram for an IKE SA that exists (not an IKE_SA_INIT request). */
void	fsm_datagram(struct ike_sa *sa, const uint8_t *data, size_t len);
/* Its job has come back: of the peer's exchange or of ours. */
void	fsm_work(struct ike_sa *sa, bool theirs);
/* The payloads of an IKE_SA_INIT request are as they must be. */
bool	fsm_opening_is_sound(const struct msg *m);

#endif
