/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_TUNNEL_H
#define TANDEM_IKE_TUNNEL_H

#include "ike/sa.h"

/*
 * What is configured about a tunnel, and the will to have it up: when to open, when to try
 * again, which tunnel a stranger's message may be about.
 */

/* IKE_TUNNEL_SET: add or replace. */
void		tunnel_set(struct ike *ike, const struct ike_tunnel *conf);
/* IKE_TUNNEL_DEL: its IKE SAs are deleted at the peer; the tunnel is freed now. */
void		tunnel_del(struct tunnel *t);
void		tunnel_free(struct tunnel *t);		/* without a word; for ike_free() */
struct tunnel	*tunnel_find(const struct ike *ike, uint32_t id);	/* or NULL */

void		tunnel_open(struct tunnel *t);		/* IKE_OPEN */
void		tunnel_close(struct tunnel *t, const char *why);	/* IKE_CLOSE, IKE_STOP */
void		tunnel_present(struct tunnel *t, bool present);	/* IKE_ADDRESS */
/* Open it beside the IKE SA that there is, whose peer seems to have lost it; one at a time. */
void		tunnel_again(struct tunnel *t);
/* Decide whether to open, and set the timer. */
void		tunnel_kick(struct tunnel *t);
void		tunnel_timeout(struct tunnel *t);
/* An attempt of ours has failed: the next one waits longer. */
void		tunnel_failed(struct tunnel *t, const char *why);
/* An IKE SA that was up has ended. */
void		tunnel_lost(struct tunnel *t, const struct ike_sa *sa);
/* An IKE SA is up: attempts that have not come as far as IKE_AUTH are given up. */
void		tunnel_won(struct tunnel *t, const struct ike_sa *sa);
/* What the host sends by has been chosen for the first time / is gone. */
void		tunnel_came_up(struct tunnel *t);
void		tunnel_went_down(struct tunnel *t, const char *why);

/* Whether a peer may talk to us about it from `remote` to `local`. */
bool		tunnel_answers(const struct tunnel *t, const struct ip *local,
		    const struct ip *remote);
/*
 * Walk the tunnels that answer (local, remote): those with exactly that remote address first,
 * then those with any.  Start with NULL; NULL at the end.
 */
struct tunnel	*tunnel_candidate(struct ike *ike, const struct endpoint *local,
		    const struct endpoint *remote, struct tunnel *after);
bool		tunnel_has_suite(const struct tunnel *t, const struct ike_suite *suite);
uint64_t	tunnel_ip_key(const struct ip *ip);	/* of the maps keyed by an address */
/* Whether the peer of an IKE SA may move from one endpoint to another (R27). */
bool		tunnel_may_move(const struct tunnel *t, const struct endpoint *from,
		    const struct endpoint *to);

#endif
