/* SPDX-License-Identifier: MIT */
/*
 * Which workers serve a connection.  Usually one, its home.  With `workers: N` up to N share what
 * it sends: its device has a queue for each, and the kernel keeps a flow on one of them.  They
 * share the outbound SAs, so packets of different flows overtake one another on the way to the
 * peer, by as much as a worker was held up; a peer with a small replay window would drop them.
 * So the further queues take part only while the window of each peer that is up is known.
 *
 * What comes in is opened by the home alone, which uses the inbound SAs.  It writes to a queue of
 * its own, from which nothing is read: from the others the kernel would learn by which queue to
 * send the answers, and all would go by the home's.
 *
 *	slot		0		1 .. n - 1		n
 *	worker		home		the next ones		home
 *			reads		read, when shared	writes
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "tun/tun.h"

#define WINDOW_WIDE	1024		/* packets of a peer's window, for sharing */

static unsigned
sharers(const struct gw_connection *c)
{
	return (unsigned)__builtin_popcountll(c->serves);
}

/* The home has the fewest connections; the others are those behind it. */
void
share_choose(struct gw *g, struct gw_connection *c)
{
	unsigned n = workers_n(g->workers), want = c->conf->workers;

	for (unsigned i = 1; i < n; i++)
		if (g->worker[i].load < g->worker[c->home].load)
			c->home = i;
	for (unsigned i = 0; i == 0 || (i < want && i < n); i++) {
		c->serves |= workers_bit((c->home + i) % n);
		g->worker[(c->home + i) % n].load++;
	}
}

void
share_end(struct gw *g, const struct gw_connection *c)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if ((c->serves & workers_bit(i)) != 0)
			g->worker[i].load--;
}

void
share_ask(struct gw *g, const struct gw_connection *c, struct host_request *q)
{
	unsigned n = sharers(c);

	q->slots = n > 1 ? n + 1 : 0;
	for (q->slot = 0; q->slot == 0 || q->slot < q->slots; q->slot++)
		if (!hostlink_ask(g->host, q, c->id))
			log_event(LOG_LEVEL_ERROR, "no-memory", "connection=%s what=\"host request\"",
			    c->conf->name);
}

bool
share_opened(struct gw *g, struct gw_connection *c, const struct host_answer *a)
{
	unsigned n = sharers(c), slot = a->what.slot;
	struct worker_cmd cmd = { .kind = WORKER_DEVICE_ADD, .index = c->device, .fd = a->fd };
	unsigned worker = (c->home + slot) % workers_n(g->workers);

	if (slot > 0)			/* an engine before us may have left it attached */
		(void)tun_queue(a->fd, false);
	if (slot == n && n > 1) {
		cmd.kind = WORKER_DEVICE_WRITER;
		worker = c->home;
	}
	if (!worker_post(workers_at(g->workers, worker), &cmd))
		return false;
	c->device_open = c->device_open || slot == 0;
	c->queues++;
	share_look(g, c);
	return true;
}

/* Of the peer of a tunnel; 0: not known. */
static unsigned
window_of(const struct gw *g, const struct gw_tunnel *t)
{
	struct ike_status *st;
	bool tandem;

	if (t->c->conf->peer_window != 0)
		return t->c->conf->peer_window;
	st = calloc(1, sizeof(*st));
	tandem = st != NULL && ike_status(g->ike, t->id, st) && st->peer_is_tandem;
	free(st);
	return tandem ? WINDOW_WIDE : 0;
}

void
share_look(struct gw *g, struct gw_connection *c)
{
	unsigned n = sharers(c), up = 0;
	bool wide = true;

	if (n < 2 || c->queues <= n)
		return;
	for (unsigned i = 0; i < c->conf->tunnels_n; i++) {
		up += c->t[i].up;
		wide = wide && (!c->t[i].up || window_of(g, &c->t[i]) >= WINDOW_WIDE);
	}
	if (up == 0 || wide == c->shared)
		return;
	c->shared = wide;
	log_event(LOG_LEVEL_NOTICE, "workers", "connection=%s sharing=%u what=\"%s\"", c->conf->name,
	    wide ? n : 1, wide ? "the peers' replay windows are wide enough" :
	    "a peer's replay window is small or not known: see peer-window");
	for (unsigned i = 1; i < n; i++)
		(void)worker_post(workers_at(g->workers, (c->home + i) % workers_n(g->workers)),
		    &(struct worker_cmd){ .kind = WORKER_DEVICE_QUEUE, .index = c->device, .on = wide });
}
