/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_COLLIDE_H
#define TANDEM_IKE_COLLIDE_H

#include "ike/sa.h"

/*
 * Who yields when both ends do something at once (RFC 7296 2.8.1, 2.8.2, 2.25), decided from
 * the three states alone.
 */
enum collide {
	COLLIDE_GO,			/* do what the peer asks */
	COLLIDE_TEMPORARY,		/* TEMPORARY_FAILURE: it is to try again later */
	COLLIDE_NO_MORE,		/* NO_ADDITIONAL_SAS: one Child SA a tunnel */
	COLLIDE_ENOUGH,			/* TS_MAX_QUEUE: no more of the same (RFC 9611) */
	COLLIDE_NOT_FOUND,		/* CHILD_SA_NOT_FOUND */
};

/* The peer wants a Child SA in the place of `old` (NULL: it names one that we do not have). */
enum collide	collide_child_rekey(const struct ike_sa *sa, const struct child *old);
/* The peer wants a Child SA beside what there is; `info`: for a resource of its own (RFC 9611). */
enum collide	collide_child_new(const struct ike_sa *sa, bool info);
/* The peer wants to rekey the IKE SA. */
enum collide	collide_ike_rekey(const struct ike_sa *sa);
/* Whether we may start to rekey the IKE SA now. */
bool		collide_may_rekey_ike(const struct ike_sa *sa);

/* True: a is lower than b, so what a made is what yields. */
bool		collide_lower(const struct low *a, const struct low *b);

/*
 * Our rekey of a Child SA has come through as `ours`, in the place of `old` (NULL: gone).
 * Where the peer has made a successor too, one of them is marked lost; each end deletes
 * what it is to delete: the loser by its maker, `old` by the maker of the winner.
 */
void		collide_child_end(struct child *ours, struct child *old);
/* The same for IKE SAs: of our heir and the peer's the one that survives. */
struct ike_sa	*collide_ike_winner(struct ike_sa *ours, struct ike_sa *theirs);

/*
 * Two IKE SAs of one tunnel (both ends opened at once): a is the one to stay, rather than b.
 * Where one began when the other had long been up, the younger; else the one without the
 * lowest of the four nonces.  Both ends come to the same answer.
 */
bool		collide_better(const struct ike_sa *a, const struct ike_sa *b);
/* There may be two now: start the clock.  And its end: the loser is deleted, by its initiator
 * after a second, by the other end if it is still there ten seconds later. */
void		collide_duel(struct tunnel *t);
void		collide_duel_end(struct tunnel *t);

#endif
