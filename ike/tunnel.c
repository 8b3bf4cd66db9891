/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ike/collide.h"
#include "ike/init.h"
#include "ike/send.h"
#include "ike/tunnel.h"

#define SETTLED		USEC_S(10)	/* up for so long: the next loss is a new story */
#define RETRY_FIRST	USEC_S(1)
#define RETRY_MAX	USEC_S(60)	/* where retry_max is not configured */

/* ---- addresses ---- */

uint64_t
tunnel_ip_key(const struct ip *ip)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ ip->family;	/* FNV-1a; the map salts it */

	for (size_t i = 0; i < sizeof(ip->b); i++)
		h = (h ^ ip->b[i]) * UINT64_C(0x100000001b3);
	return h;
}

static const struct ip nobody;			/* AF_UNSPEC: the key of remote: any */

static uint64_t
conf_key(const struct ike_tunnel *conf)
{
	return tunnel_ip_key(ip_is_any(&conf->remote) ? &nobody : &conf->remote);
}

static uint64_t
remote_key(const struct tunnel *t)
{
	return conf_key(&t->conf);
}

/*
 * Tunnels with the same remote address are a chain in the order of configuration; the first
 * knows the last, so that thousands with `remote: any` are not walked to add one.
 */
static void
remote_unlink(struct tunnel *t)
{
	struct map *m = t->ike->by_remote;
	struct tunnel *first = map_get(m, remote_key(t)), *before = NULL, *p;

	for (p = first; p != NULL && p != t; p = p->next_remote)
		before = p;
	if (p == NULL)
		return;
	if (before != NULL) {
		before->next_remote = t->next_remote;
		if (first->last_remote == t)
			first->last_remote = before;
	} else if (t->next_remote == NULL) {
		map_del(m, remote_key(t));
	} else {
		t->next_remote->last_remote = t->last_remote;
		(void)map_put(m, remote_key(t), t->next_remote);	/* replaces: no memory */
	}
	t->next_remote = NULL;
}

static bool
remote_link(struct tunnel *t)
{
	struct map *m = t->ike->by_remote;
	struct tunnel *first = map_get(m, remote_key(t));

	t->next_remote = NULL;
	t->last_remote = t;
	if (first == NULL) {
		if (!map_put(m, remote_key(t), t))
			t->last_remote = NULL;		/* in no chain */
		return t->last_remote != NULL;
	}
	first->last_remote->next_remote = t;
	first->last_remote = t;
	return true;
}

/* Remembered for good: a delete may have to be repeated after its tunnel is forgotten. */
static void
natt_port_learn(struct ike *ike, uint16_t port)
{
	size_t max = sizeof(ike->natt_ports.port) / sizeof(ike->natt_ports.port[0]);

	if (send_is_natt_port(ike, port))
		return;
	if (ike->natt_ports.n == max) {
		log_event(LOG_LEVEL_ERROR, "ike-port",
		    "port=%u reason=\"too many different NAT traversal ports\"", port);
		return;
	}
	ike->natt_ports.port[ike->natt_ports.n++] = port;
}

bool
tunnel_answers(const struct tunnel *t, const struct ip *local, const struct ip *remote)
{
	if (t->ike->stopping || (t->closed && t->conf.start))
		return false;
	if (!ip_is_any(&t->conf.local) && !ip_equal(&t->conf.local, local))
		return false;
	return ip_is_any(&t->conf.remote) || ip_equal(&t->conf.remote, remote);
}

struct tunnel *
tunnel_candidate(struct ike *ike, const struct endpoint *local, const struct endpoint *remote,
    struct tunnel *after)
{
	bool any = after != NULL && ip_is_any(&after->conf.remote);
	struct tunnel *t;

	if (after != NULL)
		t = after->next_remote;
	else
		t = map_get(ike->by_remote, tunnel_ip_key(&remote->ip));
	for (;;) {
		for (; t != NULL; t = t->next_remote)
			if (tunnel_answers(t, &local->ip, &remote->ip))
				return t;
		if (any)
			return NULL;
		any = true;
		t = map_get(ike->by_remote, tunnel_ip_key(&nobody));
	}
}

bool
tunnel_has_suite(const struct tunnel *t, const struct ike_suite *suite)
{
	for (unsigned i = 0; i < t->conf.ike_n; i++)
		if (ike_suite_equal(&t->conf.ike[i], suite))
			return true;
	return false;
}

bool
tunnel_may_move(const struct tunnel *t, const struct endpoint *from, const struct endpoint *to)
{
	return ip_equal(&from->ip, &to->ip) || ip_is_any(&t->conf.remote);
}

/* ---- configuration ---- */

struct tunnel *
tunnel_find(const struct ike *ike, uint32_t id)
{
	return map_get(ike->tunnels, id);
}

/* What an IKE SA was authenticated with and for: where it changes, SAs do not stay. */
static bool
same_peer(const struct ike_tunnel *a, const struct ike_tunnel *b)
{
	return id_equal(&a->local_id, &b->local_id) && id_equal(&a->remote_id, &b->remote_id) &&
	    ip_equal(&a->local, &b->local) && ip_equal(&a->remote, &b->remote) &&
	    a->local_port == b->local_port && a->local_natt_port == b->local_natt_port &&
	    a->remote_port == b->remote_port && a->connection == b->connection &&
	    a->psk_len == b->psk_len && secret_equal(a->psk, b->psk, a->psk_len);
}

static uint8_t *
psk_copy(struct ike *ike, const struct ike_tunnel *conf)
{
	uint8_t *psk = secret_alloc(ike->env.secrets, conf->psk_len > 0 ? conf->psk_len : 1);

	if (psk != NULL && conf->psk_len > 0)
		memcpy(psk, conf->psk, conf->psk_len);
	return psk;
}

static struct tunnel *
tunnel_new(struct ike *ike, uint32_t id)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->ike = ike;
	t->conf.id = id;
	t->try_at = t->duel_at = USEC_NEVER;
	t->present = true;
	if (queue_reserve(&ike->queue)) {
		if (heap_set(&ike->tunnel_timers, &t->timer, ike->now)) {
			if (map_put(ike->tunnels, id, t))
				return t;
			heap_remove(&ike->tunnel_timers, &t->timer);
		}
		queue_release(&ike->queue);
	}
	free(t);
	return NULL;
}

/* Take the new values; `psk` is ours already.  With the same remote it keeps its place in the
 * chain: a reload does not change which tunnel is tried first. */
static void
configure(struct tunnel *t, const struct ike_tunnel *conf, uint8_t *psk)
{
	struct ike *ike = t->ike;
	bool stays = t->last_remote != NULL && remote_key(t) == conf_key(conf);

	if (t->conf.psk != NULL) {
		if (!stays)
			remote_unlink(t);
		secret_free(ike->env.secrets, (void *)(uintptr_t)t->conf.psk);
	}
	t->conf = *conf;
	t->conf.psk = psk;
	if (!stays && !remote_link(t))
		log_event(LOG_LEVEL_ERROR, "ike-tunnel",
		    "tunnel=%s reason=\"no memory: it will not answer\"", t->conf.name);
	natt_port_learn(ike, conf->local_natt_port);
}

void
tunnel_set(struct ike *ike, const struct ike_tunnel *conf)
{
	struct tunnel *t = tunnel_find(ike, conf->id);
	bool fresh = t == NULL;
	uint8_t *psk = psk_copy(ike, conf);
	struct ike_sa *next;

	if (fresh)
		t = tunnel_new(ike, conf->id);
	if (psk == NULL || t == NULL) {
		log_event(LOG_LEVEL_ERROR, "ike-tunnel", "tunnel=%s reason=\"no memory\"",
		    conf->name);
		secret_free(ike->env.secrets, psk);
		if (fresh && t != NULL)
			tunnel_free(t);
		return;
	}
	if (!fresh && !same_peer(&t->conf, conf)) {
		t->try_at = USEC_NEVER;
		for (struct ike_sa *sa = t->sas; sa != NULL; sa = next) {
			next = sa->next;
			ike_sa_close(sa, "the configuration has changed");
		}
		t->attempts = 0;
	}
	if (fresh || conf->start != t->conf.start)
		t->wanted = conf->start && !t->closed;
	configure(t, conf, psk);
	t->try_at = USEC_NEVER;
	tunnel_kick(t);
}

void
tunnel_free(struct tunnel *t)
{
	struct ike *ike = t->ike;

	while (t->sas != NULL) {
		if (t->sas->state <= SA_UP)	/* nothing of it works without its tunnel */
			ike_sa_state(t->sas, SA_GONE);
		ike_sa_join(t->sas, NULL);
	}
	if (t->conf.psk != NULL) {
		remote_unlink(t);
		secret_free(ike->env.secrets, (void *)(uintptr_t)t->conf.psk);
	}
	heap_remove(&ike->tunnel_timers, &t->timer);
	map_del(ike->tunnels, t->conf.id);
	queue_release(&ike->queue);
	free(t);
}

void
tunnel_del(struct tunnel *t)
{
	tunnel_close(t, "the tunnel was taken out of the configuration");
	for (struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		ike_sa_step(sa);	/* the delete leaves while its ports are still known */
	tunnel_free(t);
}

/* ---- the will to be up ---- */

void
tunnel_reason(struct tunnel *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->reason, sizeof(t->reason), fmt, ap);
	va_end(ap);
}

/* An IKE SA that is there or may come to be. */
static bool
is_live(const struct ike_sa *sa)
{
	return sa->state <= SA_UP && sa->close_why == NULL;
}

static bool
has_live(const struct tunnel *t)
{
	for (const struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		if (is_live(sa))
			return true;
	return false;
}

static bool
may_open(const struct tunnel *t)
{
	return t->wanted && t->present && !t->closed && !t->ike->stopping &&
	    !ip_is_any(&t->conf.remote) && t->conf.ike_n > 0 && !has_live(t);
}

void
tunnel_kick(struct tunnel *t)
{
	if (!may_open(t))
		t->try_at = USEC_NEVER;
	else if (t->try_at == USEC_NEVER)
		t->try_at = t->ike->now;
	(void)heap_set(&t->ike->tunnel_timers, &t->timer, usec_min(t->try_at, t->duel_at));
}

/* 1 s, 2 s, 4 s .. retry_max, each a quarter more or less. */
static usec_t
back_off(struct tunnel *t)
{
	usec_t max = t->conf.retry_max > 0 ? t->conf.retry_max : RETRY_MAX;
	usec_t wait = RETRY_FIRST << (t->attempts < 10 ? t->attempts : 10);

	wait = usec_min(wait, max);
	return wait / 4 * 3 + wait / 2000 * rng_below(&t->ike->env.rng, 1001);
}

void
tunnel_failed(struct tunnel *t, const char *why)
{
	usec_t wait = back_off(t);

	t->attempts++;
	t->ike->totals.openings_failed++;
	t->try_at = usec_add(t->ike->now, wait);
	if (t->out != NULL)
		return;
	tunnel_reason(t, "%s", why);
	story_tunnel(t, LOG_LEVEL_INFO, "tunnel-retry", "attempt=%u wait=%.1fs reason=\"%s\"",
	    t->attempts, (double)wait / 1e6, why);
}

void
tunnel_lost(struct tunnel *t, const struct ike_sa *sa)
{
	if (t->ike->now >= usec_add(sa->up_since, SETTLED) ||
	    (t->up_at != 0 && t->ike->now >= usec_add(t->up_at, SETTLED)))
		t->attempts = 0;
	else
		t->attempts++;
	if (t->attempts > 0)
		t->try_at = usec_add(t->ike->now, back_off(t));
	else
		t->try_at = usec_add(t->ike->now, rng_below(&t->ike->env.rng, 200000));
}

void
tunnel_won(struct tunnel *t, const struct ike_sa *winner)
{
	for (struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		if (sa != winner && sa->state < SA_AUTH_SENT) {
			story(sa, LOG_LEVEL_DEBUG, "ike-abandon",
			    "reason=\"the peer's own opening came through first\"");
			ike_sa_state(sa, SA_GONE);
		}
	collide_duel(t);
	tunnel_kick(t);
}

void
tunnel_came_up(struct tunnel *t)
{
	if (t->up_at != 0)
		return;
	t->up_at = t->ike->now > 0 ? t->ike->now : 1;
	t->reason[0] = '\0';
	queue_put(&t->ike->queue, &(struct ike_action){ .kind = IKE_UP, .tunnel = t->conf.id });
	story_tunnel(t, LOG_LEVEL_NOTICE, "tunnel-up", "attempts=%u", t->attempts);
}

void
tunnel_went_down(struct tunnel *t, const char *why)
{
	struct ike_action a = { .kind = IKE_DOWN, .tunnel = t->conf.id };

	if (t->up_at == 0)
		return;
	tunnel_reason(t, "%s", why);
	t->up_at = 0;
	memcpy(a.reason, t->reason, sizeof(a.reason));
	queue_put(&t->ike->queue, &a);
	story_tunnel(t, LOG_LEVEL_NOTICE, "tunnel-down", "reason=\"%s\"", why);
}

void
tunnel_timeout(struct tunnel *t)
{
	usec_t now = t->ike->now;

	if (now >= t->duel_at)
		collide_duel_end(t);
	if (now >= t->try_at && may_open(t)) {
		t->try_at = USEC_NEVER;
		init_open(t);
	}
	tunnel_kick(t);
}

void
tunnel_open(struct tunnel *t)
{
	t->closed = false;
	t->wanted = true;
	t->attempts = 0;
	t->try_at = USEC_NEVER;
	tunnel_kick(t);
}

void
tunnel_close(struct tunnel *t, const char *why)
{
	struct ike_sa *next;

	t->closed = true;
	t->wanted = false;
	for (struct ike_sa *sa = t->sas; sa != NULL; sa = next) {
		next = sa->next;
		ike_sa_close(sa, why);
	}
	tunnel_reason(t, "%s", why);
	tunnel_kick(t);
}

void
tunnel_present(struct tunnel *t, bool present)
{
	struct ike_sa *next;

	if (t->present == present)
		return;
	t->present = present;
	t->attempts = 0;
	t->try_at = USEC_NEVER;
	if (!present) {
		for (struct ike_sa *sa = t->sas; sa != NULL; sa = next) {
			next = sa->next;
			if (sa->state < SA_UP)
				ike_sa_state(sa, SA_GONE);
		}
		tunnel_reason(t, "the outside address is not there");
	}
	tunnel_kick(t);
}
