/* SPDX-License-Identifier: MIT */
#include "gateway/workers.h"

#include <sched.h>
#include <stdlib.h>

#include "tun/host.h"

_Static_assert(WORKERS_MAX + 1 <= HOST_SLOTS_MAX, "a socket for each worker, and one for control");
_Static_assert(WORKERS_MAX <= 64, "a set of workers is a word");

struct workers {
	unsigned n;
	struct worker *w[WORKERS_MAX];
};

unsigned
workers_wanted(unsigned configured)
{
	cpu_set_t set;
	int cores = 1;

	if (configured == 0 && sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = CPU_COUNT(&set);
	if (configured == 0)
		configured = cores > 0 ? (unsigned)cores : 1;
	return configured < WORKERS_MAX ? configured : WORKERS_MAX;
}

struct workers *
workers_new(unsigned n, const struct aead_set *aeads, const uint8_t probe_key[16])
{
	struct workers *ws = calloc(1, sizeof(*ws));

	if (ws == NULL)
		return NULL;
	for (; ws->n < n; ws->n++) {
		ws->w[ws->n] = worker_new(ws->n, n, aeads, probe_key);
		if (ws->w[ws->n] == NULL) {
			workers_free(ws, NULL, NULL);
			return NULL;
		}
	}
	return ws;
}

void
workers_free(struct workers *ws, void (*drop)(void *arg, const struct esp_event *ev), void *arg)
{
	if (ws == NULL)
		return;
	for (unsigned i = 0; i < ws->n; i++)
		worker_free(ws->w[i], drop, arg);
	free(ws);
}

unsigned
workers_n(const struct workers *ws)
{
	return ws->n;
}

struct worker *
workers_at(const struct workers *ws, unsigned index)
{
	return ws->w[index];
}

bool
workers_flush(struct workers *ws)
{
	bool all = true;

	for (unsigned i = 0; i < ws->n; i++)
		all = worker_flush(ws->w[i]) && all;
	return all;
}

void
workers_wake_on_traffic(struct workers *ws, uint64_t set, unsigned device)
{
	for (unsigned i = 0; i < ws->n; i++)
		if ((set & workers_bit(i)) != 0)
			worker_wake_on_traffic(ws->w[i], device);
}

bool
workers_has_woken(const struct workers *ws, uint64_t set, unsigned device)
{
	bool woken = false;

	for (unsigned i = 0; i < ws->n; i++)
		if ((set & workers_bit(i)) != 0)
			woken = worker_has_woken(ws->w[i], device) || woken;
	return woken;
}

bool
workers_any_woken(struct workers *ws)
{
	bool any = false;

	for (unsigned i = 0; i < ws->n; i++)
		any = worker_any_woken(ws->w[i]) || any;
	return any;
}

void
workers_stats(const struct workers *ws, struct esp_stats *st)
{
	struct esp_stats one;

	*st = (struct esp_stats){ .out_packets = 0 };
	for (unsigned i = 0; i < ws->n; i++) {
		worker_stats(ws->w[i], &one);
		st->out_packets += one.out_packets;
		st->out_bytes += one.out_bytes;
		st->out_sent += one.out_sent;
		st->out_made += one.out_made;
		st->in_packets += one.in_packets;
		st->in_delivered += one.in_delivered;
		st->in_made += one.in_made;
		st->in_answered += one.in_answered;
		st->made += one.made;
		st->events_lost += one.events_lost;
		for (unsigned d = 0; d < DROP_N; d++)
			st->drop[d] += one.drop[d];
	}
}

void
workers_batches(const struct workers *ws, struct worker_batches *b)
{
	struct worker_batches one;

	*b = (struct worker_batches){ .refused = 0 };
	for (unsigned i = 0; i < ws->n; i++) {
		worker_batches(ws->w[i], &one);
		for (unsigned k = 0; k < WORKER_SIZES; k++) {
			b->send[k] += one.send[k];
			b->recv[k] += one.recv[k];
			b->write[k] += one.write[k];
			b->read[k] += one.read[k];
		}
		b->refused += one.refused;
	}
}

bool
workers_tunnel_stats(const struct workers *ws, uint64_t set, uint32_t tunnel,
    struct esp_tunnel_stats *st)
{
	struct esp_tunnel_stats one;
	bool found = false;

	*st = (struct esp_tunnel_stats){ .drops = 0 };
	for (unsigned i = 0; i < ws->n; i++) {
		if ((set & workers_bit(i)) == 0 || !worker_tunnel_stats(ws->w[i], tunnel, &one))
			continue;
		found = true;
		st->out_packets += one.out_packets;
		st->out_bytes += one.out_bytes;
		st->in_packets += one.in_packets;
		st->in_bytes += one.in_bytes;
		st->drops += one.drops;
		st->gaps += one.gaps;
		st->last_out = one.last_out > st->last_out ? one.last_out : st->last_out;
		st->last_in = one.last_in > st->last_in ? one.last_in : st->last_in;
	}
	return found;
}
