/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ike/resource.h"
#include "ike/sa.h"
#include "ike/tunnel.h"

/*
 * Child SAs, and which of them a tunnel sends by.
 *
 * The host receives by all that were given to it and sends by one.  child_pick() chooses that
 * one whenever something changed: first of all one that the peer is known to have (a
 * responder's answer may be lost on the way), then one that is not about to be deleted, then
 * one of the IKE SA that wins a duel, then the youngest.  So nothing is sent into a Child SA
 * that the peer cannot read while there is another, and the order that DESIGN 5 asks for at a
 * rekey (SA_IN new, answer, SA_OUT new, SA_DROP old) follows.
 *
 * Where workers share the tunnel each has its own choice, see resource.h: of its own Child SAs
 * and the one that the first sends by.
 */
#define CHILD_SPI_MIN	256		/* 1..255 are reserved (RFC 4303 2.1) */
#define CHILD_RETRY	USEC_S(1)	/* a lost Child SA is not asked for sooner */

static const char *const state_names[] = {
	[CHILD_REQUESTED] = "requested",
	[CHILD_UP] = "up",
	[CHILD_REKEYING] = "rekeying",
	[CHILD_REKEYED] = "rekeyed",
	[CHILD_DELETING] = "deleting",
};

const char *
child_state_name(enum child_state state)
{
	return state_names[state];
}

void
child_state(struct child *c, enum child_state state)
{
	c->state = state;
}

/* Random, of the worker whose number is `owner` mod workers, not in use. */
static uint32_t
new_spi(struct ike *ike, uint64_t owner)
{
	uint32_t workers = ike->env.workers > 0 ? ike->env.workers : 1;
	uint32_t spi;

	do {
		spi = rng_u32(&ike->env.rng);
		spi -= spi % workers;
		spi += (uint32_t)(owner % workers);
	} while (spi < CHILD_SPI_MIN || map_get(ike->children, spi) != NULL);
	return spi;
}

struct child *
child_new(struct ike_sa *sa, bool initiator, unsigned resource)
{
	const struct tunnel *t = sa->tunnel;
	struct ike *ike = sa->ike;
	struct child *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->spi_in = new_spi(ike, (uint64_t)t->conf.id + resource % resource_n(t));
	if (!queue_reserve(&ike->queue)) {
		free(c);
		return NULL;
	}
	if (!map_put(ike->children, c->spi_in, c)) {
		queue_release(&ike->queue);
		free(c);
		return NULL;
	}
	c->sa = sa;
	c->resource = resource;
	c->initiator = c->known = initiator;
	c->serial = ++ike->serial;
	c->rekey_at = c->hard_at = USEC_NEVER;
	c->next = sa->children;
	sa->children = c;
	ike->totals.child_sas++;
	return c;
}

bool
child_ts(struct child *c, const struct ts_list *local, const struct ts_list *remote)
{
	struct ts *ts = calloc(local->n + remote->n, sizeof(*ts));

	if (ts == NULL)
		return false;
	memcpy(ts, local->ts, local->n * sizeof(*ts));
	memcpy(ts + local->n, remote->ts, remote->n * sizeof(*ts));
	free(c->ts);
	c->ts = ts;
	c->local_n = local->n;
	c->remote_n = remote->n;
	return true;
}

static struct ts_list
ts_list_of(const struct ts *ts, unsigned n)
{
	struct ts_list l = { .n = n };

	memcpy(l.ts, ts, n * sizeof(*ts));
	return l;
}

struct ts_list
child_ts_local(const struct child *c)
{
	return ts_list_of(c->ts, c->local_n);
}

struct ts_list
child_ts_remote(const struct child *c)
{
	return ts_list_of(c->ts + c->local_n, c->remote_n);
}

static struct child_sa *
child_sa_new(const struct child *c, const struct nego *n)
{
	const struct ike_sa *sa = c->sa;
	struct ike *ike = sa->ike;
	struct child_sa *cs = secret_alloc(ike->env.secrets, sizeof(*cs));
	struct kdf_in in = nego_kdf(n);

	if (cs == NULL)
		return NULL;
	cs->tunnel = sa->tunnel->conf.id;
	cs->spi_in = c->spi_in;
	cs->spi_out = c->spi_out;
	cs->aead = c->suite.enc;
	cs->esn = c->suite.esn;
	cs->initiator = c->initiator;
	cs->resource = (uint8_t)c->resource;
	cs->window = sa->tunnel->conf.window;
	cs->local = sa->local;
	cs->remote = sa->remote;
	cs->ts_local = child_ts_local(c);
	cs->ts_remote = child_ts_remote(c);
	if (!kdf_child(&sa->keys->k, &in, cs)) {
		secret_free(ike->env.secrets, cs);
		return NULL;
	}
	return cs;
}

bool
child_install(struct child *c, const struct nego *n)
{
	struct ike *ike = c->sa->ike;
	struct tunnel *t = c->sa->tunnel;
	struct child_sa *cs = child_sa_new(c, n);
	usec_t life = t->conf.child_life;

	if (cs == NULL)
		return false;
	queue_put(&ike->queue, &(struct ike_action){
		.kind = IKE_SA_IN, .tunnel = t->conf.id, .spi_in = c->spi_in, .child = cs,
	});
	c->installed = true;
	c->since = ike->now;
	c->rekey_at = ike_life_rekey(ike, life);
	c->hard_at = life == 0 ? USEC_NEVER : usec_add(ike->now, life);
	child_state(c, CHILD_UP);
	return true;
}

void
child_known(struct child *c)
{
	if (c->known || !c->installed)
		return;
	c->known = true;
	child_pick(c->sa->tunnel);
}

void
child_known_all(struct ike_sa *sa)
{
	struct child *next;

	for (struct child *c = sa->children; c != NULL; c = next) {
		next = c->next;
		child_known(c);
	}
}

bool
child_is_live(const struct child *c)
{
	return (c->state == CHILD_UP || c->state == CHILD_REKEYING) && c->installed && !c->lost;
}

bool
child_have(const struct tunnel *t)
{
	for (const struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		for (const struct child *c = sa->children; c != NULL; c = c->next)
			if (c->installed && c->state != CHILD_DELETING)
				return true;
	return false;
}

/* What counts first is in the highest bit. */
static unsigned
rank(const struct ike_sa *main_sa, const struct child *c, unsigned k)
{
	bool live = child_is_live(c);

	return (c->known ? 32u : 0) | (c->state != CHILD_DELETING ? 16u : 0) |
	    (c->resource == k ? 8u : 0) | (live ? 4u : 0) | (c->sa == main_sa ? 2u : 0) |
	    ((c->serves >> k & 1) != 0 && !live ? 1u : 0);
}

static bool
better(const struct ike_sa *main_sa, const struct child *a, const struct child *b, unsigned k)
{
	unsigned ra = rank(main_sa, a, k), rb = rank(main_sa, b, k);

	return ra != rb ? ra > rb : a->serial > b->serial;
}

/* For resource 0 any will do where it has none; the others have their own, or its. */
static struct child *
best_for(const struct tunnel *t, const struct ike_sa *main_sa, unsigned k)
{
	struct child *best = NULL;

	for (struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		for (struct child *c = sa->children; c != NULL; c = c->next)
			if (c->installed && (k == 0 || c->resource == k || c == t->out) &&
			    (best == NULL || better(main_sa, c, best, k)))
				best = c;
	return best;
}

static void
give(struct tunnel *t, struct child *to, unsigned k)
{
	uint64_t bit = UINT64_C(1) << k;

	if ((to->serves & bit) != 0)
		return;
	for (struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		for (struct child *c = sa->children; c != NULL; c = c->next)
			c->serves &= ~bit;
	to->serves |= bit;
	to->fresh |= bit;
}

static void
tell_host(struct tunnel *t, struct child *c)
{
	if (c->fresh == 0)
		return;
	queue_put(&t->ike->queue, &(struct ike_action){
		.kind = IKE_SA_OUT, .tunnel = t->conf.id, .spi_in = c->spi_in,
		.resources = c->fresh,
	});
	c->fresh = 0;
}

void
child_pick(struct tunnel *t)
{
	const struct ike_sa *main_sa = ike_sa_main(t);
	struct child *first = best_for(t, main_sa, 0);

	if (first == NULL)
		return;
	t->out = first;
	give(t, first, 0);
	for (unsigned k = 1; k < resource_n(t); k++)
		give(t, best_for(t, main_sa, k), k);
	tell_host(t, first);
	for (struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		for (struct child *c = sa->children; c != NULL; c = c->next)
			tell_host(t, c);
	tunnel_came_up(t);
}

static void
unlink_child(struct child *c)
{
	struct child **p = &c->sa->children;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	map_del(c->sa->ike->children, c->spi_in);
}

void
child_free(struct child *c)
{
	struct ike *ike = c->sa->ike;

	unlink_child(c);
	free(c->ts);
	queue_release(&ike->queue);
	ike->totals.child_sas--;
	free(c);
}

/* A successor that comes to nothing leaves its predecessor in charge. */
static void
restore_predecessor(const struct child *c)
{
	struct child *old = child_find(c->sa->ike, c->replaces);

	if (c->lost || old == NULL || old->state != CHILD_REKEYED)
		return;
	child_state(old, CHILD_UP);
	old->rekey_at = usec_add(c->sa->ike->now, USEC_S(10));
}

void
child_drop(struct child *c, const char *why)
{
	struct ike_sa *sa = c->sa;
	struct tunnel *t = sa->tunnel;
	struct ike *ike = sa->ike;
	uint32_t spi_in = c->spi_in;
	bool installed = c->installed;

	restore_predecessor(c);
	resource_lose(c);
	c->installed = false;
	if (t != NULL && c->serves != 0) {
		t->out = t->out != c ? t->out : NULL;
		child_pick(t);
	}
	child_free(c);
	if (sa->children == NULL)
		sa->retry_at = usec_add(ike->now, CHILD_RETRY + rng_below(&ike->env.rng, 500000));
	if (!installed || t == NULL)
		return;
	queue_put(&ike->queue, &(struct ike_action){
		.kind = IKE_SA_DROP, .tunnel = t->conf.id, .spi_in = spi_in,
	});
	if (t->out == NULL)
		tunnel_went_down(t, why);
}

void
child_drop_all(struct ike_sa *sa, const char *why)
{
	while (sa->children != NULL)
		child_drop(sa->children, why);
}

void
child_move_all(struct ike_sa *from, struct ike_sa *to)
{
	struct child **end = &to->children;

	while (*end != NULL)
		end = &(*end)->next;
	*end = from->children;
	from->children = NULL;
	for (struct child *c = to->children; c != NULL; c = c->next)
		c->sa = to;
}

struct child *
child_find(const struct ike *ike, uint32_t spi_in)
{
	return spi_in == 0 ? NULL : map_get(ike->children, spi_in);
}

struct child *
child_by_out(struct ike_sa *sa, uint32_t spi_out)
{
	struct ike_sa *first = sa->tunnel != NULL ? sa->tunnel->sas : sa;

	for (struct ike_sa *s = first; s != NULL; s = s->next)
		for (struct child *c = s->children; c != NULL; c = c->next)
			if (c->installed && c->spi_out == spi_out)
				return c;
	return NULL;
}

usec_t
child_deadline(const struct child *c)
{
	return usec_min(c->rekey_at, c->hard_at);
}
