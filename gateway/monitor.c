/* SPDX-License-Identifier: MIT */
#include "gateway/monitor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/monitor_state.h"

/*
 * The public face of the failover monitor: connections and tunnels by name, facts in, actions
 * out.  What is to be done is kept as flags and values in the connection and its tunnels, and
 * connections with something to fetch stand in a queue: it cannot overflow, and what is
 * overtaken by newer news is not said at all.
 */

struct monitor *
monitor_new(const struct rng *rng)
{
	struct monitor *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->rng = *rng;
	heap_init(&m->timers);
	m->out_last = &m->out_first;
	m->tuns = map_new(rng_u64(rng));
	m->conns = map_new(rng_u64(rng));
	if (m->tuns == NULL || m->conns == NULL) {
		monitor_free(m);
		return NULL;
	}
	return m;
}

void
monitor_free(struct monitor *m)
{
	uint64_t key;
	size_t pos;
	void *v;

	if (m == NULL)
		return;
	for (pos = 0; m->tuns != NULL && map_each(m->tuns, &pos, &key, &v);)
		free(v);
	for (pos = 0; m->conns != NULL && map_each(m->conns, &pos, &key, &v);)
		free(v);
	map_free(m->tuns);
	map_free(m->conns);
	heap_fini(&m->timers);
	free(m);
}

void
mon_queue(struct monitor *m, struct mon_conn *c)
{
	if (c->queued)
		return;
	c->queued = true;
	c->next_out = NULL;
	*m->out_last = c;
	m->out_last = &c->next_out;
}

static void
unqueue(struct monitor *m, struct mon_conn *c)
{
	struct mon_conn **p;

	if (!c->queued)
		return;
	for (p = &m->out_first; *p != c;)
		p = &(*p)->next_out;
	*p = c->next_out;
	if (*p == NULL)
		m->out_last = p;
	c->queued = false;
}

/* ---- connections ------------------------------------------------------------------------ */

static void
tunnel_del(struct monitor *m, struct mon_tun *t)
{
	heap_remove(&m->timers, &t->timer);
	map_del(m->tuns, t->id);
	free(t);
}

static struct mon_tun *
tunnel_new(struct monitor *m, uint32_t id)
{
	struct mon_tun *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->id = id;
	t->v = MON_V_UP;
	t->since = m->now;
	t->routine_at = t->ask_at = t->verdict_at = USEC_NEVER;
	t->told_until = t->close_at = t->look_at = USEC_NEVER;
	mon_rtt_init(&t->rtt, rng_u32(&m->rng));
	snprintf(t->reason, sizeof(t->reason), "not established yet");
	if (!heap_set(&m->timers, &t->timer, USEC_NEVER - 1)) {
		free(t);
		return NULL;
	}
	if (!map_put(m->tuns, id, t)) {
		heap_remove(&m->timers, &t->timer);
		free(t);
		return NULL;
	}
	return t;
}

static struct mon_conn *
conn_new(struct monitor *m, const struct mon_conf *conf)
{
	struct mon_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	memset(c->bucket, MON_NONE, sizeof(c->bucket));
	if (!map_put(m->conns, conf->connection, c)) {
		free(c);
		return NULL;
	}
	return c;
}

static usec_t
at_least(usec_t v, usec_t min)
{
	return v > min ? v : min;
}

static bool
listed(const struct mon_tun *t, struct mon_tun *const *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i] == t)
			return true;
	return false;
}

/* The tunnels of `conf`: those that are there already, and new ones.  All or nothing. */
static bool
tunnels_for(struct monitor *m, struct mon_conn *c, const struct mon_conf *conf,
    struct mon_tun **list)
{
	for (unsigned i = 0; i < conf->n; i++) {
		struct mon_tun *t = map_get(m->tuns, conf->tunnel[i]);

		assert(t == NULL || t->c == c);		/* a tunnel has one connection */
		if (t == NULL)
			t = tunnel_new(m, conf->tunnel[i]);
		if (t == NULL) {
			while (i-- > 0)
				if (list[i]->c == NULL)
					tunnel_del(m, list[i]);
			return false;
		}
		list[i] = t;
	}
	return true;
}

/* Everything that names a tunnel by its place follows it to its new place. */
static void
renumber(struct mon_conn *c, struct mon_tun *const *list, unsigned n)
{
	uint8_t place[MON_TUNNELS + 1];
	uint32_t told = 0;

	for (unsigned i = 0; i < MON_TUNNELS; i++) {
		place[i] = MON_NONE;
		for (unsigned j = 0; i < c->conf.n && j < n; j++)
			if (c->t[i] == list[j])
				place[i] = (uint8_t)j;
		if (place[i] != MON_NONE && (c->told >> i & 1))
			told |= UINT32_C(1) << place[i];
	}
	for (unsigned b = 0; b < sizeof(c->bucket); b++)
		if (c->bucket[b] != MON_NONE)
			c->bucket[b] = place[c->bucket[b]];
	if (c->chosen != 0)
		c->chosen = place[c->chosen - 1] == MON_NONE ? 0 : place[c->chosen - 1] + 1u;
	c->told = told;
	c->out_tell = 0;
	c->retell = true;
}

static void
conn_set(struct monitor *m, usec_t now, const struct mon_conf *conf)
{
	struct mon_conn *c = map_get(m->conns, conf->connection);
	struct mon_tun *list[MON_TUNNELS];
	bool fresh = c == NULL;

	assert(conf->n > 0 && conf->n <= MON_TUNNELS && conf->pin < conf->n);
	if (fresh)
		c = conn_new(m, conf);
	if (c == NULL || !tunnels_for(m, c, conf, list)) {
		if (fresh)
			free(map_del(m->conns, conf->connection));
		return;
	}
	renumber(c, list, conf->n);
	for (unsigned i = 0; i < c->conf.n; i++)
		if (!listed(c->t[i], list, conf->n))
			tunnel_del(m, c->t[i]);
	c->conf = *conf;
	c->conf.spacing = at_least(conf->spacing, MON_SPACING_MIN);
	c->conf.silence = at_least(conf->silence, MON_SILENCE_MIN);
	c->conf.idle = at_least(conf->idle, 2 * c->conf.spacing);
	for (unsigned i = 0; i < conf->n; i++) {
		c->t[i] = list[i];
		list[i]->c = c;
		list[i]->index = i;
		list[i]->echo = conf->echo[i];
		list[i]->by_echo &= conf->echo[i];
	}
	snprintf(c->reason, sizeof(c->reason), "configured");
	c->out_select = true;
	mon_queue(m, c);
	mon_reselect(m, c, now, "configured");
}

static void
conn_del(struct monitor *m, uint32_t id)
{
	struct mon_conn *c = map_del(m->conns, id);

	if (c == NULL)
		return;
	unqueue(m, c);
	for (unsigned i = 0; i < c->conf.n; i++)
		tunnel_del(m, c->t[i]);
	free(c);
}

/* ---- facts ------------------------------------------------------------------------------ */

static void
choose(struct monitor *m, struct mon_conn *c, usec_t now, unsigned index)
{
	char why[64];

	if (index > c->conf.n || c->conf.policy == MON_PINNED)
		return;
	if (index != 0 && mon_told_answers(c->t[index - 1]))
		mon_tun_told(m, c->t[index - 1], now, false);	/* it works; a person decides */
	if (index != 0 && !mon_well(c->t[index - 1]))
		return;
	c->chosen = index;
	if (index == 0)			/* "back to policy" means now, not after a hold time */
		for (unsigned i = 0; i < c->conf.n; i++)
			c->t[i]->hold_until = 0;
	snprintf(why, sizeof(why), index != 0 ? "tunnel %u was chosen by hand" : "by policy again",
	    index);
	mon_reselect(m, c, now, why);
}

static void
told(struct monitor *m, struct mon_conn *c, usec_t now, unsigned index)
{
	if (index > c->conf.n)
		return;			/* the peer counts other tunnels than we do */
	if (index != 0) {
		mon_tun_told(m, c->t[index - 1], now, true);
		return;
	}
	for (unsigned i = 0; i < c->conf.n; i++)
		mon_tun_told(m, c->t[i], now, false);
}

static void
conn_fact(struct monitor *m, usec_t now, const struct mon_fact *f)
{
	struct mon_conn *c = map_get(m->conns, f->connection);

	if (f->kind == MON_DEL)
		conn_del(m, f->connection);
	else if (c != NULL && f->kind == MON_CHOOSE)
		choose(m, c, now, f->index);
	else if (c != NULL)
		told(m, c, now, f->index);
}

void
monitor_input(struct monitor *m, usec_t now, const struct mon_fact *f)
{
	struct mon_tun *t = map_get(m->tuns, f->tunnel);

	m->now = now;
	switch (f->kind) {
	case MON_SET:
		conn_set(m, now, f->conf);
		return;
	case MON_DEL:
	case MON_TOLD:
	case MON_CHOOSE:
		conn_fact(m, now, f);
		return;
	case MON_UP:
		if (t != NULL)
			mon_tun_up(m, t, now);
		return;
	case MON_DOWN:
		if (t != NULL)
			mon_tun_down(m, t, now);
		return;
	case MON_SAMPLE:
		if (t != NULL)
			mon_tun_sample(m, t, now, f->last_in, f->last_out);
		return;
	case MON_ALIVE:
		if (t != NULL)
			mon_tun_alive(m, t, now);
		return;
	case MON_ECHO:
		if (t != NULL)
			mon_tun_echo(m, t, now, f->token, usec_min(f->at, now));
		return;
	case MON_CARRIER:
		if (t != NULL)
			mon_tun_carrier(m, t, now, f->present);
		return;
	}
}

void
monitor_tick(struct monitor *m, usec_t now)
{
	struct heap_node *n;

	m->now = now;
	while (heap_deadline(&m->timers) <= now) {
		n = m->timers.node[0];	/* stays in the heap: being moved there cannot fail */
		mon_tun_due(m, heap_entry(n, struct mon_tun, timer), now);
	}
}

usec_t
monitor_deadline(const struct monitor *m)
{
	usec_t at = heap_deadline(&m->timers);

	return at == USEC_NEVER - 1 ? USEC_NEVER : at;
}

usec_t
monitor_sample_at(const struct monitor *m, uint32_t connection)
{
	const struct mon_conn *c = map_get(m->conns, connection);
	usec_t at = USEC_NEVER;

	for (unsigned i = 0; c != NULL && i < c->conf.n; i++)
		at = usec_min(at, mon_tun_sample_at(c->t[i]));
	return at;
}

/* ---- actions ---------------------------------------------------------------------------- */

static bool
next_of_tunnel(struct mon_tun *t, struct mon_action *a)
{
	a->tunnel = t->id;
	a->index = t->index + 1;
	if (t->out_verdict) {
		t->out_verdict = false;
		a->kind = MON_VERDICT;
		a->verdict = mon_tun_verdict(t);
		snprintf(a->reason, sizeof(a->reason), "%s", t->reason);
	} else if (t->out_probe) {
		t->out_probe = false;
		a->kind = MON_PROBE;
		a->token = t->out_token;
	} else if (t->out_ask) {
		t->out_ask = false;
		a->kind = MON_ASK;
	} else if (t->out_close) {
		t->out_close = false;
		a->kind = MON_CLOSE;
	} else {
		return false;
	}
	return true;
}

/* The choice first: it is what users wait for.  Then the news to the peer. */
static bool
next_of(struct mon_conn *c, struct mon_action *a)
{
	*a = (struct mon_action){ .connection = c->conf.connection };
	if (c->out_select) {
		c->out_select = false;
		a->kind = MON_SELECT;
		a->index = c->bucket[0] == MON_NONE ? 0 : c->bucket[0] + 1u;
		a->tunnel = a->index != 0 ? c->t[a->index - 1]->id : 0;
		memcpy(a->bucket, c->bucket, sizeof(a->bucket));
		snprintf(a->reason, sizeof(a->reason), "%s", c->reason);
		return true;
	}
	if (c->out_tell_none || c->out_tell != 0) {
		a->kind = MON_TELL;
		a->tunnel = c->tell_by;
		while (!c->out_tell_none && !(c->out_tell >> a->index++ & 1))
			continue;
		if (!c->out_tell_none)
			c->out_tell &= ~(UINT32_C(1) << (a->index - 1));
		c->out_tell_none = false;
		return true;
	}
	for (unsigned i = 0; i < c->conf.n; i++)
		if (next_of_tunnel(c->t[i], a))
			return true;
	return false;
}

bool
monitor_next(struct monitor *m, struct mon_action *a)
{
	struct mon_conn *c;

	while ((c = m->out_first) != NULL) {
		if (next_of(c, a))
			return true;
		unqueue(m, c);
	}
	return false;
}

/* ---- what `status` shows ---------------------------------------------------------------- */

bool
monitor_status(const struct monitor *m, uint32_t tunnel, struct mon_status *st)
{
	const struct mon_tun *t = map_get(m->tuns, tunnel);

	if (t == NULL)
		return false;
	*st = (struct mon_status){
		.verdict = mon_tun_verdict(t), .since = t->since, .live = mon_live(t),
		.by_echo = t->by_echo, .rtt = t->rtt.srtt, .rttvar = t->rtt.rttvar,
		.jitter = t->rtt.jitter, .loss_permille = mon_rtt_loss(&t->rtt, m->now),
		.asked = t->rtt.asked, .last_heard = t->heard,
	};
	snprintf(st->reason, sizeof(st->reason), "%s", t->reason);
	if (st->verdict == MON_V_ASKING) {
		st->since = t->round_at;
		snprintf(st->reason, sizeof(st->reason), "silent; %u of %u questions asked",
		    t->round, t->need);
	}
	return true;
}

bool
monitor_moves(const struct monitor *m, uint32_t connection, unsigned *n, usec_t *last)
{
	const struct mon_conn *c = map_get(m->conns, connection);

	if (c == NULL)
		return false;
	*n = c->moves;
	*last = c->moved_at;
	return true;
}

const char *
mon_verdict_name(enum mon_verdict v)
{
	static const char *const names[] = {
		[MON_V_DOWN] = "down", [MON_V_UP] = "up", [MON_V_ASKING] = "asking",
		[MON_V_DEAD] = "dead", [MON_V_HELD] = "held", [MON_V_UPLINK] = "uplink",
	};

	return names[v];
}
