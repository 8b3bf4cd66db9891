/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_HOSTLINK_H
#define TANDEM_GATEWAY_HOSTLINK_H

#include <stdbool.h>

#include "gateway/loop.h"
#include "tun/host.h"

/*
 * The engine's end of the pair to the broker.  Requests are queued and carried out in order;
 * each answer arrives as a fact: `answer` is called with it and with the `cookie` of its
 * request (more than once for HOST_LIST).  A descriptor in it is then the handler's.
 *
 * When the broker is gone, `gone` is called once, from the loop or from inside
 * hostlink_ask(); what was asked is not answered any more.
 */
struct hostlink;

typedef void hostlink_answer_fn(void *arg, uint32_t cookie, const struct host_answer *a);
typedef void hostlink_gone_fn(void *arg);	/* the broker is dead: end */

struct hostlink_handlers {
	hostlink_answer_fn *answer;
	hostlink_gone_fn *gone;
	void *arg;
};

/* The socket stays the caller's.  NULL: no memory. */
struct hostlink	*hostlink_new(struct loop *l, int sock, const struct hostlink_handlers *h);
void		hostlink_free(struct hostlink *k);	/* not inside the handlers; NULL is fine */
/* Queue a request; `q->id` is set here.  `cookie` comes back with the answer.  False: no memory,
 * or the broker is gone.  Fine inside the handlers. */
bool		hostlink_ask(struct hostlink *k, struct host_request *q, uint32_t cookie);
size_t		hostlink_pending(const struct hostlink *k);	/* not answered yet */

#endif
