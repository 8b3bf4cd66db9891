/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ike/collide.h"
#include "ike/rekeyx.h"
#include "ike/sa.h"
#include "ike/send.h"
#include "ike/task.h"
#include "ike/tunnel.h"

/*
 * The life of an IKE SA outside its exchanges: birth, timers, end.
 *
 * Its end has three faces.  ike_sa_close(): we want it to end and tell the peer.
 * ike_sa_dead(): it has ended already, the peer is silent or knows.  ike_sa_settle(): the
 * memory goes, after the message in progress is done with it.
 */
#define HALF_OPEN_LIFE	USEC_S(30)	/* a responder waits so long for IKE_AUTH */
#define REFUSED_LIFE	USEC_S(10)	/* a failed SA repeats its last answer so long */
#define REKEYED_LIFE	USEC_S(60)	/* the peer has so long to delete what it rekeyed */
#define DELETING_LIFE	USEC_S(8)	/* our delete is repeated so long */
#define CHILD_WAIT	USEC_S(1)	/* an SA without a Child SA asks for one no sooner */
#define KEEPALIVE_EVERY	USEC_S(20)	/* RFC 3948 2.3 */

static const char *const state_names[] = {
	[SA_NEW] = "opening",
	[SA_INIT_SENT] = "connecting",
	[SA_KEYING] = "computing keys",
	[SA_INIT_DONE] = "half-open",
	[SA_AUTH_SENT] = "authenticating",
	[SA_UP] = "up",
	[SA_REKEYED] = "rekeyed",
	[SA_DELETING] = "deleting",
	[SA_REFUSED] = "refused",
	[SA_GONE] = "gone",
};

const char *
ike_sa_state_name(enum sa_state state)
{
	return state_names[state];
}

static uint64_t
new_spi(struct ike *ike)
{
	uint64_t spi;

	do
		spi = rng_u64(&ike->env.rng);
	while (spi == 0 || map_get(ike->sas, spi) != NULL);
	return spi;
}

struct ike_sa *
ike_sa_new(struct ike *ike, struct tunnel *t, bool initiator)
{
	struct ike_sa *sa = calloc(1, sizeof(*sa));

	if (sa == NULL)
		return NULL;
	sa->ike = ike;
	sa->initiator = initiator;
	sa->spi = new_spi(ike);
	sa->born = ike->now;
	sa->rekey_at = sa->hard_at = sa->retry_at = sa->keepalive_at = USEC_NEVER;
	sa->linger_at = USEC_NEVER;
	xchg_init(&sa->x, 0, 0);
	if (!queue_reserve(&ike->queue)) {
		free(sa);
		return NULL;
	}
	if (!map_put(ike->sas, sa->spi, sa) ||
	    !heap_set(&ike->sa_timers, &sa->timer, usec_add(ike->now, HALF_OPEN_LIFE))) {
		map_del(ike->sas, sa->spi);
		queue_release(&ike->queue);
		free(sa);
		return NULL;
	}
	ike->totals.ike_sas++;
	if (t != NULL)
		ike_sa_join(sa, t);
	return sa;
}

void
ike_sa_join(struct ike_sa *sa, struct tunnel *t)
{
	if (sa->tunnel != NULL) {
		struct ike_sa **p = &sa->tunnel->sas;

		while (*p != sa)
			p = &(*p)->next;
		*p = sa->next;
		sa->next = NULL;
	}
	sa->tunnel = t;
	if (t == NULL)
		return;
	sa->next = t->sas;
	t->sas = sa;
	memcpy(sa->name, t->conf.name, sizeof(sa->name));
}

struct ike_sa *
ike_sa_find(const struct ike *ike, uint64_t spi)
{
	return spi == 0 ? NULL : map_get(ike->sas, spi);
}

void
ike_sa_state(struct ike_sa *sa, enum sa_state state)
{
	struct ike *ike = sa->ike;

	sa->state = state;
	switch (state) {
	case SA_REFUSED:
		sa->linger_at = usec_add(ike->now, REFUSED_LIFE);
		break;
	case SA_INIT_DONE:
		sa->linger_at = usec_add(ike->now, HALF_OPEN_LIFE);
		break;
	case SA_REKEYED:
		sa->linger_at = usec_add(ike->now, REKEYED_LIFE);
		break;
	case SA_DELETING:
		sa->linger_at = usec_add(ike->now, DELETING_LIFE);
		break;
	case SA_GONE:
		if (!sa->on_doomed) {
			sa->on_doomed = true;
			sa->doomed = ike->doomed;
			ike->doomed = sa;
		}
		break;
	case SA_NEW:
	case SA_INIT_SENT:
	case SA_KEYING:
	case SA_AUTH_SENT:
	case SA_UP:
		sa->linger_at = USEC_NEVER;
		break;
	}
}

bool
ike_sa_keys(struct ike_sa *sa, struct sa_keys *keys)
{
	const struct aead_set *set = sa->ike->env.aeads;
	const struct ike_keys *k = &keys->k;
	const uint8_t *out = sa->initiator ? k->ei : k->er;
	const uint8_t *in = sa->initiator ? k->er : k->ei;

	if (!aead_key_init(&keys->out, set, k->enc, out, k->key_len) ||
	    !aead_key_init(&keys->in, set, k->enc, in, k->key_len))
		return false;
	sa->keys = keys;
	return true;
}

/* Count it under its address, or no longer. */
void
ike_sa_half_open(struct ike_sa *sa, bool half_open)
{
	struct ike *ike = sa->ike;
	uintptr_t n;

	if (sa->half_open == half_open)
		return;
	sa->half_open = half_open;
	if (half_open) {
		sa->source_key = tunnel_ip_key(&sa->remote.ip);
		ike->totals.half_open++;
		n = (uintptr_t)map_get(ike->sources, sa->source_key);
		(void)map_put(ike->sources, sa->source_key, (void *)(n + 1));
		return;
	}
	ike->totals.half_open--;
	n = (uintptr_t)map_get(ike->sources, sa->source_key);
	if (n <= 1)
		map_del(ike->sources, sa->source_key);
	else
		(void)map_put(ike->sources, sa->source_key, (void *)(n - 1));
}

usec_t
ike_life_rekey(struct ike *ike, usec_t life)
{
	if (life == 0 || life == USEC_NEVER)
		return USEC_NEVER;
	return usec_add(ike->now, life / 100 * 75 + life / 100000 * rng_below(&ike->env.rng, 8000));
}

void
ike_sa_up(struct ike_sa *sa)
{
	struct ike *ike = sa->ike;
	usec_t life = sa->tunnel->conf.ike_life;

	ike_sa_half_open(sa, false);
	ike_sa_state(sa, SA_UP);
	sa->up_since = sa->heard = ike->now;
	sa->retry_at = usec_add(ike->now, CHILD_WAIT);
	sa->rekey_at = ike_life_rekey(ike, life);
	sa->hard_at = life == 0 ? USEC_NEVER : usec_add(ike->now, life);
	sa->keepalive_at = sa->natt.nat_local ? usec_add(ike->now, KEEPALIVE_EVERY) : USEC_NEVER;
}

struct ike_sa *
ike_sa_main(const struct tunnel *t)
{
	struct ike_sa *best = NULL;

	for (struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		if (sa->state == SA_UP && (best == NULL || collide_better(sa, best)))
			best = sa;
	return best;
}

/* The peer has keys for it, so it is owed a delete. */
static bool
peer_may_have_it(const struct ike_sa *sa)
{
	return sa->state == SA_AUTH_SENT || sa->state == SA_UP || sa->state == SA_REKEYED;
}

void
ike_sa_close(struct ike_sa *sa, const char *why)
{
	if (sa->state == SA_DELETING || sa->state == SA_REFUSED || sa->state == SA_GONE)
		return;
	if (!peer_may_have_it(sa)) {
		ike_sa_dead(sa, why);
		return;
	}
	child_drop_all(sa, why);
	ike_sa_drop_theirs(sa);
	sa->x.busy = false;		/* asked again, the peer is told that it is too late */
	if (sa->req.kind == REQ_IKE_REKEY && sa->req.wait != WAIT_KEY) {
		/* The peer may have moved to the heir already: finish it, then close both. */
		sa->close_why = why;
		sa->rekey_at = sa->hard_at = sa->keepalive_at = USEC_NEVER;
		return;
	}
	ike_sa_drop_mine(sa);
	story(sa, LOG_LEVEL_INFO, "ike-close", "reason=\"%s\"", why);
	if (sa->tunnel != NULL && sa->state == SA_UP)
		tunnel_lost(sa->tunnel, sa);
	ike_sa_state(sa, SA_DELETING);	/* what is out must be answered before the delete goes */
	if (sa->tunnel != NULL)
		tunnel_kick(sa->tunnel);
}

void
ike_sa_dead(struct ike_sa *sa, const char *why)
{
	struct tunnel *t = sa->tunnel;
	bool attempt = sa->initiator && sa->state < SA_UP && t != NULL;

	if (sa->state == SA_GONE)
		return;
	child_drop_all(sa, why);
	if (attempt || sa->state == SA_UP)
		story(sa, LOG_LEVEL_INFO, attempt ? "ike-failed" : "ike-dead",
		    "state=\"%s\" reason=\"%s\"", ike_sa_state_name(sa->state), why);
	if (attempt)
		tunnel_failed(t, why);
	else if (t != NULL && sa->state == SA_UP)
		tunnel_lost(t, sa);
	ike_sa_state(sa, SA_GONE);
}

/* ---- timers ---- */

static usec_t
liveness_at(const struct ike_sa *sa)
{
	const struct tunnel *t = sa->tunnel;
	usec_t heard;

	if (sa->state != SA_UP || t == NULL || t->conf.liveness == 0 ||
	    sa->req.kind != REQ_NONE)
		return USEC_NEVER;
	heard = t->heard > sa->heard ? t->heard : sa->heard;
	return usec_add(heard, t->conf.liveness);
}

static usec_t
deadline(const struct ike_sa *sa)
{
	usec_t at = usec_min(xchg_deadline(&sa->x), sa->linger_at);

	if (sa->state != SA_UP)
		return at;
	at = usec_min(at, usec_min(sa->rekey_at, sa->hard_at));
	at = usec_min(at, usec_min(sa->keepalive_at, liveness_at(sa)));
	at = usec_min(at, task_retry_at(sa));
	for (const struct child *c = sa->children; c != NULL; c = c->next)
		at = usec_min(at, child_deadline(c));
	return at;
}

void
ike_sa_step(struct ike_sa *sa)
{
	if (sa->state == SA_GONE)
		return;
	task_next(sa);
	if (sa->state != SA_GONE)
		(void)heap_set(&sa->ike->sa_timers, &sa->timer, deadline(sa));
}

/* The peer has not answered for as long as we are patient. */
static void
give_up(struct ike_sa *sa)
{
	char refusal[IKE_REASON_MAX];

	sa->ike->totals.unanswered++;
	switch (sa->state) {
	case SA_INIT_SENT:
		if (sa->opening != NULL && sa->opening->refusal_logged) {
			memcpy(refusal, sa->tunnel->reason, sizeof(refusal));
			ike_sa_dead(sa, refusal);
			break;
		}
		ike_sa_dead(sa, "the peer does not answer IKE_SA_INIT (is it there, and are UDP "
		    "500 and 4500 open?)");
		break;
	case SA_AUTH_SENT:
		ike_sa_dead(sa, "the peer does not answer IKE_AUTH (is UDP 4500 open?)");
		break;
	case SA_UP:
		rekeyx_on_delete(sa);	/* the peer's heir, where there is one, is another matter */
		ike_sa_dead(sa, "the peer does not answer any more");
		break;
	case SA_NEW:
	case SA_KEYING:
	case SA_INIT_DONE:
	case SA_REKEYED:
	case SA_DELETING:
	case SA_REFUSED:
	case SA_GONE:
		ike_sa_dead(sa, "no answer");
		break;
	}
}

static void
child_timers(struct ike_sa *sa)
{
	usec_t now = sa->ike->now;
	struct child *next;

	for (struct child *c = sa->children; c != NULL; c = next) {
		next = c->next;
		if (now >= c->hard_at) {
			c->hard_at = USEC_NEVER;
			story(sa, LOG_LEVEL_WARN, "child-expired", "spi_in=%08x", c->spi_in);
			child_state(c, CHILD_DELETING);
		} else if (now >= c->rekey_at) {
			c->rekey_at = USEC_NEVER;
			c->want_rekey = true;
		}
	}
}

static void
up_timers(struct ike_sa *sa)
{
	usec_t now = sa->ike->now;

	if (now >= sa->hard_at) {
		rekeyx_on_delete(sa);	/* the peer's heir, where there is one, goes on */
		ike_sa_close(sa, "the lifetime of the IKE SA has ended");
		return;
	}
	if (now >= sa->rekey_at) {
		sa->rekey_at = USEC_NEVER;
		sa->want_rekey = true;
	}
	if (now >= sa->keepalive_at) {
		sa->keepalive_at = usec_add(now, KEEPALIVE_EVERY);
		send_keepalive(sa);
	}
	if (now >= liveness_at(sa))
		sa->want_ask = true;
	child_timers(sa);
}

void
ike_sa_timeout(struct ike_sa *sa)
{
	usec_t now = sa->ike->now;

	switch (xchg_tick(&sa->x, now)) {
	case XCHG_NOTHING:
		break;
	case XCHG_RESEND:
		send_again(sa);
		break;
	case XCHG_GIVE_UP:
		give_up(sa);
		break;
	}
	if (sa->state == SA_REKEYED && now >= sa->linger_at)
		ike_sa_close(sa, "the peer did not delete the IKE SA that it rekeyed");
	else if (sa->state != SA_GONE && now >= sa->linger_at)
		ike_sa_state(sa, SA_GONE);
	if (sa->state == SA_UP)
		up_timers(sa);
	ike_sa_step(sa);
}

/* ---- exchanges in progress ---- */

struct nego *
nego_new(struct ike *ike)
{
	(void)ike;
	return calloc(1, sizeof(struct nego));
}

void
nego_free(struct nego *n)
{
	if (n == NULL)
		return;
	job_drop(n->job);
	free(n);
}

struct kdf_in
nego_kdf(const struct nego *n)
{
	struct kdf_in in = {
		.ni = { n->ni, n->ni_len },
		.nr = { n->nr, n->nr_len },
	};

	if (n->job != NULL)
		in.shared = (struct slice){ n->job->ke.shared, n->job->ke.shared_len };
	return in;
}

void
low_set(struct low *low, const struct nego *n)
{
	size_t min = n->ni_len < n->nr_len ? n->ni_len : n->nr_len;
	int c = memcmp(n->ni, n->nr, min);
	bool ni = c != 0 ? c < 0 : n->ni_len < n->nr_len;

	low->len = ni ? n->ni_len : n->nr_len;
	memcpy(low->b, ni ? n->ni : n->nr, low->len);
}

/* What an unfinished exchange has made goes with it. */
static void
nego_undo(struct ike *ike, struct nego *n)
{
	struct child *c = child_find(ike, n->child_spi);
	struct ike_sa *heir = ike_sa_find(ike, n->heir_spi);

	if (c != NULL && c->state == CHILD_REQUESTED)
		child_free(c);
	if (heir != NULL && heir->state == SA_NEW)
		ike_sa_state(heir, SA_GONE);
	nego_free(n);
}

void
ike_sa_drop_mine(struct ike_sa *sa)
{
	if (sa->mine != NULL)
		nego_undo(sa->ike, sa->mine);
	sa->mine = NULL;
	sa->req = (struct request){ .kind = REQ_NONE };
}

void
ike_sa_drop_theirs(struct ike_sa *sa)
{
	if (sa->theirs != NULL)
		nego_undo(sa->ike, sa->theirs);
	sa->theirs = NULL;
}

/* ---- end ---- */

static void
opening_free(struct ike_sa *sa)
{
	struct opening *o = sa->opening;

	if (o == NULL)
		return;
	if (o->key != 0 && map_get(sa->ike->openings, o->key) == sa)
		map_del(sa->ike->openings, o->key);
	free(o->request);
	free(o->response);
	free(o);
	sa->opening = NULL;
}

void
ike_sa_opened(struct ike_sa *sa)
{
	opening_free(sa);
}

void
ike_sa_free(struct ike_sa *sa)
{
	struct ike *ike = sa->ike;

	while (sa->children != NULL)
		child_free(sa->children);
	ike_sa_drop_mine(sa);
	ike_sa_drop_theirs(sa);
	ike_sa_half_open(sa, false);
	opening_free(sa);
	ike_sa_join(sa, NULL);
	xchg_fini(&sa->x);
	heap_remove(&ike->sa_timers, &sa->timer);
	map_del(ike->sas, sa->spi);
	if (sa->keys != NULL) {
		aead_key_fini(&sa->keys->in);
		aead_key_fini(&sa->keys->out);
		ike_keys_fini(&sa->keys->k);
		secret_free(ike->env.secrets, sa->keys);
	}
	queue_release(&ike->queue);
	ike->totals.ike_sas--;
	free(sa);
}

void
ike_sa_settle(struct ike *ike)
{
	struct ike_sa *sa;
	struct tunnel *t;

	while ((sa = ike->doomed) != NULL) {
		ike->doomed = sa->doomed;
		t = sa->tunnel;
		ike_sa_free(sa);		/* may doom another */
		if (t != NULL)
			tunnel_kick(t);
	}
}
