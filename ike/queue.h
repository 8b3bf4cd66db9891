/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_QUEUE_H
#define TANDEM_IKE_QUEUE_H

#include "ike/ike.h"

/*
 * The actions that wait for the host, in order.  Room is reserved when an IKE SA, a Child SA
 * or a tunnel is made, so that what must not be lost (SA_IN before the answer, SA_DROP at the
 * end) cannot fail later for want of memory; a datagram may, and then counts as lost on the
 * way.  The host drains the queue after each call, so it is bounded by what one call does.
 */
struct note;

struct queue {
	struct note *note;		/* a ring */
	size_t head, n, cap;
	size_t reserved;		/* places promised to the objects that exist */
	void *held;			/* what the last action popped points into */
};

#define QUEUE_PER_OBJECT	8	/* actions that one call can cause about one object */

void	queue_fini(struct queue *q);	/* frees what was not popped, child SAs excepted */
bool	queue_reserve(struct queue *q);	/* for one more object; false: no memory */
void	queue_release(struct queue *q);	/* one object less */

/* An IKE_SEND: local, remote, data and len of `a`; the bytes are copied, behind the non-ESP
 * marker where `marker`.  Without memory it is lost, as on the way. */
void	queue_send(struct queue *q, const struct ike_action *a, bool marker);
/* Any other action; of `a` all but `data` and `reason` is kept; `reason` where it is set. */
void	queue_put(struct queue *q, const struct ike_action *a);
bool	queue_pop(struct queue *q, struct ike_action *a);

#endif
