/* SPDX-License-Identifier: MIT */
/*
 * Which workers serve a connection.  Usually one, its home.  With `workers: N` up to N share what
 * it sends: its device has a queue for each, and the kernel keeps a flow on one of them.
 *
 * Where the peer takes a Child SA for each (RFC 9611; they are the resources of IKE, 0 the home),
 * each sends by its own and opens what comes by the one of the same number.  Otherwise they share
 * the outbound SA, so packets of different flows overtake one another on the way to the peer, by as
 * much as a worker was held up; a peer with a small replay window would drop them.  So a further
 * queue takes part only while it has a Child SA of its own to each peer that is up, or that peer's
 * window is known to be wide.
 *
 * Who opens writes to a queue that all of them have for that, from which nothing is read: from the
 * others the kernel would learn by which queue to send the answers, and all flows would go by the
 * worker that the peer's happen to arrive at.
 *
 *	slot		0		1 .. n - 1		n
 *	worker		home		the next ones		all
 *			reads		read, when shared	write
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "tun/tun.h"

#define WINDOW_WIDE	1024		/* packets of a peer's window, for sharing */

unsigned
share_n(const struct gw_connection *c)
{
	return (unsigned)__builtin_popcountll(c->serves);
}

static struct worker *
worker_at(const struct gw *g, const struct gw_connection *c, unsigned slot)
{
	return workers_at(g->workers, (c->home + slot) % workers_n(g->workers));
}

uint64_t
share_set(const struct gw *g, const struct gw_connection *c, uint64_t resources)
{
	uint64_t set = 0;

	for (unsigned k = 0; k < share_n(c); k++)
		if ((resources >> k & 1) != 0)
			set |= workers_bit((c->home + k) % workers_n(g->workers));
	return set;
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
	unsigned n = share_n(c);

	q->slots = n > 1 ? n + 1 : 0;
	for (q->slot = 0; q->slot == 0 || q->slot < q->slots; q->slot++)
		if (!hostlink_ask(g->host, q, c->id))
			log_event(LOG_LEVEL_ERROR, "no-memory", "connection=%s what=\"host request\"",
			    c->conf->name);
}

/* The further ones have it twice; who could not be given it writes to the queue that it reads. */
static bool
give_writer(struct gw *g, const struct gw_connection *c, int fd)
{
	struct worker_cmd cmd = { .kind = WORKER_DEVICE_WRITER, .index = c->device, .fd = fd };

	if (!worker_post(worker_at(g, c, 0), &cmd))
		return false;
	for (unsigned i = 1; i < share_n(c); i++) {
		cmd.fd = tun_dup(fd);
		if (cmd.fd >= 0 && worker_post(worker_at(g, c, i), &cmd))
			continue;
		log_event(LOG_LEVEL_ERROR, "no-writer", "connection=%s slot=%u error=\"%s\"",
		    c->conf->name, i, strerror(cmd.fd < 0 ? -cmd.fd : ENOMEM));
		if (cmd.fd >= 0)
			close(cmd.fd);
	}
	return true;
}

bool
share_opened(struct gw *g, struct gw_connection *c, const struct host_answer *a)
{
	unsigned n = share_n(c), slot = a->what.slot;
	struct worker_cmd cmd = { .kind = WORKER_DEVICE_ADD, .index = c->device, .fd = a->fd };

	if (slot > 0)			/* an engine before us may have left it attached */
		(void)tun_queue(a->fd, false);
	if (slot == n && n > 1) {
		if (!give_writer(g, c, a->fd))
			return false;
	} else if (!worker_post(worker_at(g, c, slot), &cmd)) {
		return false;
	}
	c->device_open = c->device_open || slot == 0;
	c->queues++;
	share_look(g, c);
	return true;
}

void
share_close(struct gw *g, const struct gw_connection *c)
{
	for (unsigned i = 0; i < workers_n(g->workers); i++)
		if ((c->serves & workers_bit(i)) != 0)
			(void)worker_post(workers_at(g->workers, i), &(struct worker_cmd){
			    .kind = WORKER_DEVICE_DEL, .index = c->device });
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

/* A resource sends by a Child SA by which no other does. */
static bool
has_own(const struct gw_tunnel *t, unsigned slot)
{
	for (unsigned k = 0; k < share_n(t->c); k++)
		if (k != slot && t->spi_in[k] == t->spi_in[slot])
			return false;
	return true;
}

/* The slots of the further queues that may take part by each tunnel that is up; false: none is. */
static bool
may_share(const struct gw *g, const struct gw_connection *c, uint64_t *slots)
{
	bool up = false;

	*slots = ((UINT64_C(1) << (share_n(c) - 1)) - 1) << 1;
	for (unsigned i = 0; i < c->conf->tunnels_n; i++) {
		if (!c->t[i].up)
			continue;
		up = true;
		if (window_of(g, &c->t[i]) >= WINDOW_WIDE)
			continue;
		for (unsigned k = 1; k < share_n(c); k++)
			if (!has_own(&c->t[i], k))
				*slots &= ~(UINT64_C(1) << k);
	}
	return up;
}

void
share_look(struct gw *g, struct gw_connection *c)
{
	unsigned n = share_n(c), sharing;
	uint64_t slots, changed;

	if (n < 2 || c->queues <= n || !may_share(g, c, &slots) || slots == c->sharing)
		return;
	changed = slots ^ c->sharing;
	c->sharing = slots;
	sharing = 1 + (unsigned)__builtin_popcountll(slots);
	log_event(LOG_LEVEL_NOTICE, "workers", "connection=%s sharing=%u what=\"%s\"", c->conf->name,
	    sharing, sharing == n ? "the peers' replay windows are wide enough, or each worker has a "
	    "Child SA of its own" : "a peer's replay window is small or not known (see peer-window), "
	    "and it has no Child SA for each worker");
	for (unsigned k = 1; k < n; k++)
		if ((changed >> k & 1) != 0)
			(void)worker_post(worker_at(g, c, k), &(struct worker_cmd){
			    .kind = WORKER_DEVICE_QUEUE, .index = c->device,
			    .on = (slots >> k & 1) != 0 });
}
