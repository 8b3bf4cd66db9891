/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_RESOURCE_H
#define TANDEM_IKE_RESOURCE_H

#include "ike/sa.h"

/*
 * One Child SA for each resource (RFC 9611).  Resources are the workers that share a tunnel.
 * With several of them we put SA_RESOURCE_INFO beside the first Child SA, and a peer that answers
 * with it takes more of the same.  The end that opened asks for what it misses, one at a time;
 * the other end for what it misses still, a little later, so that pairs are not made twice.
 *
 * Which resource a Child SA is for each end decides for itself, and a successor inherits it.  The
 * first is the one that a tunnel needs, by which every resource may send; whatever becomes of the
 * others disturbs nothing.  The peer may have twice as many as we have resources, so that the
 * end with more workers has one for each; those beyond ours are received by only.
 */

/* How many the tunnel has, at least 1. */
unsigned	resource_n(const struct tunnel *t);
/* One of the IKE SA's live Child SAs is for it. */
bool		resource_is_served(const struct ike_sa *sa, unsigned resource);
/* The first that is not. */
unsigned	resource_missing(const struct ike_sa *sa);
/* The peer has as many Child SAs as it may. */
bool		resource_is_full(const struct ike_sa *sa);
/* When we are to ask for one more; USEC_NEVER: not. */
usec_t		resource_due(const struct ike_sa *sa);
/* Whether a Child SA in the making may stand beside the first: what it carries and how is equal. */
bool		resource_fits(const struct child *c);
/* SA_RESOURCE_INFO, where `info` and we have several. */
void		resource_write(const struct child *c, struct msg_wr *mw, bool info);
/* The first Child SA is there; `info`: the peer sent SA_RESOURCE_INFO beside it. */
void		resource_begin(struct ike_sa *sa, bool info);
/* `c` is to be dropped: another is asked for, but not at once, as the peer had its reasons. */
void		resource_lose(const struct child *c);

#endif
