/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/log.h"
#include "ike/collide.h"
#include "ike/resource.h"
#include "ike/tunnel.h"

#define DUEL_LASTS	USEC_S(1)
#define DUEL_OVERDUE	USEC_S(10)
#define REPLACED_MAX	16		/* Child SAs that the peer has replaced and not deleted yet, */
					/* beyond one for each that it may have */

bool
collide_lower(const struct low *a, const struct low *b)
{
	size_t min = a->len < b->len ? a->len : b->len;
	int c = memcmp(a->b, b->b, min);

	return c != 0 ? c < 0 : a->len < b->len;
}

/* We are replacing the IKE SA, and the peer cannot know that it is too late to stop that. */
static bool
rekeying_ike(const struct ike_sa *sa)
{
	return sa->req.kind == REQ_IKE_REKEY && sa->req.wait != WAIT_KEY;
}

/* Who replaces on and on and deletes nothing would fill our memory. */
static bool
is_littered(const struct ike_sa *sa)
{
	unsigned max = REPLACED_MAX + 2 * resource_n(sa->tunnel), n = 0;

	for (const struct child *c = sa->children; c != NULL; c = c->next)
		n += c->state == CHILD_REKEYED;
	return n >= max;
}

enum collide
collide_child_rekey(const struct ike_sa *sa, const struct child *old)
{
	if (old == NULL)
		return COLLIDE_NOT_FOUND;
	if (sa->state != SA_UP || rekeying_ike(sa) || sa->theirs != NULL || is_littered(sa))
		return COLLIDE_TEMPORARY;
	switch (old->state) {
	case CHILD_UP:
	case CHILD_REKEYING:		/* answer as usual, the nonces decide (2.25.1) */
		return COLLIDE_GO;
	case CHILD_REQUESTED:
	case CHILD_REKEYED:
	case CHILD_DELETING:
		return COLLIDE_TEMPORARY;
	}
	return COLLIDE_TEMPORARY;
}

enum collide
collide_child_new(const struct ike_sa *sa, bool info)
{
	if (sa->state != SA_UP || rekeying_ike(sa))
		return COLLIDE_TEMPORARY;
	if (child_have(sa->tunnel) && !info)
		return COLLIDE_NO_MORE;
	if (child_have(sa->tunnel) && resource_is_full(sa))
		return COLLIDE_ENOUGH;
	/* Both ends miss one and ask at once: the original initiator's request stands. */
	if ((sa->req.kind == REQ_CHILD_NEW || sa->req.kind == REQ_CHILD_MORE) &&
	    sa->req.wait != WAIT_KEY && sa->initiator)
		return COLLIDE_TEMPORARY;
	return COLLIDE_GO;
}

static bool
child_busy(const struct ike_sa *sa)
{
	switch (sa->req.kind) {
	case REQ_CHILD_NEW:
	case REQ_CHILD_MORE:
	case REQ_CHILD_REKEY:
		return sa->req.wait != WAIT_KEY;
	case REQ_CHILD_DELETE:
		return true;
	case REQ_NONE:
	case REQ_INIT:
	case REQ_AUTH:
	case REQ_IKE_REKEY:
	case REQ_IKE_DELETE:
	case REQ_ASK:
	case REQ_TELL:
		return false;
	}
	return false;
}

enum collide
collide_ike_rekey(const struct ike_sa *sa)
{
	if (sa->state != SA_UP || sa->close_why != NULL || child_busy(sa) ||
	    sa->theirs != NULL || sa->rival_spi != 0)
		return COLLIDE_TEMPORARY;
	return COLLIDE_GO;
}

bool
collide_may_rekey_ike(const struct ike_sa *sa)
{
	if (sa->theirs != NULL || sa->rival_spi != 0)
		return false;
	for (const struct child *c = sa->children; c != NULL; c = c->next)
		if (c->state != CHILD_UP)
			return false;
	return true;
}

/* The peer's successor of the same Child SA, finished or being made. */
static struct child *
find_rival(const struct child *ours)
{
	for (struct child *c = ours->sa->children; c != NULL; c = c->next)
		if (c != ours && !c->initiator && c->replaces == ours->replaces)
			return c;
	return NULL;
}

void
collide_child_end(struct child *ours, struct child *old)
{
	struct child *rival = ours->replaces != 0 ? find_rival(ours) : NULL;

	if (rival == NULL) {
		if (old != NULL)
			child_state(old, CHILD_DELETING);
		return;
	}
	if (collide_lower(&ours->low, &rival->low)) {
		story(ours->sa, LOG_LEVEL_INFO, "child-collision",
		    "spi_in=%08x stays=%08x reason=\"both ends rekeyed at once; ours yields\"",
		    ours->spi_in, rival->spi_in);
		ours->lost = true;
		child_state(ours, CHILD_DELETING);
		if (old != NULL)
			child_state(old, CHILD_REKEYED);
		return;
	}
	story(ours->sa, LOG_LEVEL_INFO, "child-collision",
	    "spi_in=%08x stays=%08x reason=\"both ends rekeyed at once; the peer's yields\"",
	    rival->spi_in, ours->spi_in);
	rival->lost = true;
	if (old != NULL)
		child_state(old, CHILD_DELETING);
}

struct ike_sa *
collide_ike_winner(struct ike_sa *ours, struct ike_sa *theirs)
{
	bool yield = collide_lower(&ours->low, &theirs->low);

	story(ours, LOG_LEVEL_INFO, "ike-collision", "reason=\"both ends rekeyed the IKE SA at "
	    "once; %s yields\"", yield ? "ours" : "the peer's");
	return yield ? theirs : ours;
}

bool
collide_better(const struct ike_sa *a, const struct ike_sa *b)
{
	if (a->born > b->up_since)
		return true;
	if (b->born > a->up_since)
		return false;
	return collide_lower(&b->low, &a->low);
}

static unsigned
count_up(const struct tunnel *t)
{
	unsigned n = 0;

	for (const struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		n += sa->state == SA_UP && sa->close_why == NULL;
	return n;
}

void
collide_duel(struct tunnel *t)
{
	if (count_up(t) < 2) {
		t->duel_at = USEC_NEVER;
		return;
	}
	t->duel_since = t->ike->now;
	t->duel_at = usec_add(t->ike->now, DUEL_LASTS);
}

void
collide_duel_end(struct tunnel *t)
{
	bool overdue = t->ike->now >= usec_add(t->duel_since, DUEL_OVERDUE);
	const struct ike_sa *best = ike_sa_main(t);
	struct ike_sa *next;

	t->duel_at = USEC_NEVER;
	for (struct ike_sa *sa = t->sas; sa != NULL; sa = next) {
		next = sa->next;
		if (sa->state != SA_UP || sa == best || sa->close_why != NULL)
			continue;
		if (!sa->initiator && !overdue) {
			t->duel_at = usec_add(t->duel_since, DUEL_OVERDUE);
			continue;
		}
		ike_sa_close(sa, "another IKE SA of this tunnel stays");
		ike_sa_step(sa);
	}
}
