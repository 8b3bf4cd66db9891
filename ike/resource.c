/* SPDX-License-Identifier: MIT */
#include "ike/resource.h"
#include "ike/ts.h"

#define MORE_FIRST	USEC_S(1)	/* after the first Child SA: two openings at once are one then */
#define MORE_SECOND	USEC_S(2)	/* the end that was asked waits so much longer */
#define MORE_AGAIN	USEC_S(20)	/* after a loss, plus up to 10 s */

unsigned
resource_n(const struct tunnel *t)
{
	unsigned n = t->conf.resources;

	return n < 1 ? 1 : n < IKE_RESOURCES_MAX ? n : IKE_RESOURCES_MAX;
}

bool
resource_is_served(const struct ike_sa *sa, unsigned resource)
{
	const struct child *c = sa->children;

	while (c != NULL && (c->resource != resource || !child_is_live(c)))
		c = c->next;
	return c != NULL;
}

unsigned
resource_missing(const struct ike_sa *sa)
{
	unsigned k = 0;

	while (resource_is_served(sa, k))
		k++;
	return k;
}

bool
resource_is_full(const struct ike_sa *sa)
{
	unsigned n = 0;

	for (const struct child *c = sa->children; c != NULL; c = c->next)
		n += child_is_live(c);
	return !sa->many || n >= 2 * resource_n(sa->tunnel);
}

usec_t
resource_due(const struct ike_sa *sa)
{
	const struct tunnel *t = sa->tunnel;

	if (!sa->many || sa->no_more || t == NULL || t->out == NULL || sa != ike_sa_main(t) ||
	    resource_missing(sa) >= resource_n(t))
		return USEC_NEVER;
	return sa->more_at;
}

bool
resource_fits(const struct child *c)
{
	const struct child *first = c->sa->tunnel->out;
	struct ts_list local, remote, l, r;

	if (first == NULL)
		return true;
	local = child_ts_local(first);
	remote = child_ts_remote(first);
	l = child_ts_local(c);
	r = child_ts_remote(c);
	return c->suite.enc == first->suite.enc && c->suite.esn == first->suite.esn &&
	    ts_list_equal(&l, &local) && ts_list_equal(&r, &remote);
}

/* Empty: which resource it is for is ours to know. */
void
resource_write(const struct child *c, struct msg_wr *mw, bool info)
{
	if (info && resource_n(c->sa->tunnel) > 1)
		msg_add_notify(mw, N_SA_RESOURCE_INFO, NULL, 0);
}

void
resource_begin(struct ike_sa *sa, bool info)
{
	sa->many = info && resource_n(sa->tunnel) > 1;
	sa->more_at = usec_add(sa->ike->now, MORE_FIRST + (sa->initiator ? 0 : MORE_SECOND));
}

void
resource_lose(const struct child *c)
{
	struct ike_sa *sa = c->sa;

	if (!sa->many || !child_is_live(c))
		return;
	sa->more_at = usec_add(sa->ike->now, MORE_AGAIN + rng_below(&sa->ike->env.rng, 10000000));
	sa->no_more = false;
}
