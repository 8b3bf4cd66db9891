/* SPDX-License-Identifier: MIT */
#include "ike/childx.h"
#include "ike/collide.h"
#include "ike/inform.h"
#include "ike/rekeyx.h"
#include "ike/resource.h"
#include "ike/task.h"

/* The peer replaces it just now: what is to be made is made in the heir. */
static bool
is_moving(const struct ike_sa *sa)
{
	return sa->theirs != NULL && sa->theirs->heir_spi != 0;
}

/* There is no Child SA for traffic, and we are to have one. */
static bool
misses_child(const struct ike_sa *sa)
{
	const struct tunnel *t = sa->tunnel;

	return sa->children == NULL && t != NULL && t->wanted && t->out == NULL &&
	    sa == ike_sa_main(t);
}

usec_t
task_retry_at(const struct ike_sa *sa)
{
	if (sa->state != SA_UP || sa->req.kind != REQ_NONE || sa->x.out != NULL || is_moving(sa))
		return USEC_NEVER;
	return usec_min(misses_child(sa) ? sa->retry_at : USEC_NEVER, resource_due(sa));
}

/* A Child SA that we are to delete, or to rekey; NULL: none. */
static struct child *
find_child(const struct ike_sa *sa, bool rekey)
{
	for (struct child *c = sa->children; c != NULL; c = c->next) {
		if (rekey && c->want_rekey && c->state == CHILD_UP && !c->lost)
			return c;
		if (!rekey && c->state == CHILD_DELETING && !c->delete_sent)
			return c;
	}
	return NULL;
}

static void
next_when_up(struct ike_sa *sa)
{
	struct child *c;

	if (sa->want_tell)
		inform_tell(sa);
	else if ((c = find_child(sa, false)) != NULL)
		inform_delete_child(sa, c);
	else if (sa->want_rekey && collide_may_rekey_ike(sa))
		rekeyx_start(sa);
	else if (!is_moving(sa) && (c = find_child(sa, true)) != NULL)
		childx_start(sa, c);
	else if (!is_moving(sa) && misses_child(sa) && sa->ike->now >= sa->retry_at)
		childx_start(sa, NULL);
	else if (!is_moving(sa) && sa->ike->now >= resource_due(sa))
		childx_start_more(sa);
	else if (sa->want_ask)
		inform_ask(sa);
}

void
task_next(struct ike_sa *sa)
{
	if (sa->req.kind != REQ_NONE || sa->x.out != NULL)
		return;
	if (sa->state == SA_UP)
		next_when_up(sa);
	else if (sa->state == SA_DELETING)
		inform_close(sa);
}
