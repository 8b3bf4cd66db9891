/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>

#include "esp/tunnel.h"

static unsigned
chain_of(uint32_t id)
{
	return (id * UINT32_C(2654435761)) >> 22 & (TUNNEL_CHAINS - 1);
}

void
tunnels_init(struct tunnels *ts)
{
	for (unsigned i = 0; i < TUNNEL_CHAINS; i++)
		atomic_init(&ts->chain[i], NULL);
	ts->spare = NULL;
}

void
tunnels_fini(struct tunnels *ts)
{
	struct esp_tunnel *t, *next;

	for (unsigned i = 0; i < TUNNEL_CHAINS; i++) {
		for (t = atomic_load(&ts->chain[i]); t != NULL; t = next) {
			next = atomic_load(&t->next);
			free(t);
		}
	}
	for (t = ts->spare; t != NULL; t = next) {
		next = t->spare;
		free(t);
	}
	tunnels_init(ts);
}

struct esp_tunnel *
tunnels_find(const struct tunnels *ts, uint32_t id)
{
	struct esp_tunnel *t;

	t = atomic_load_explicit(&ts->chain[chain_of(id)], memory_order_acquire);
	while (t != NULL && atomic_load_explicit(&t->id, memory_order_relaxed) != id)
		t = atomic_load_explicit(&t->next, memory_order_acquire);
	return t;
}

/* A used entry is cleared field by field: a late reader may still look at its atomics. */
static void
clear(struct esp_tunnel *t)
{
	t->refs = 0;
	t->gone = false;
	t->out = NULL;
	t->dev = NULL;
	t->slot = NULL;
	t->local = t->remote = (struct endpoint){ .port = 0 };
	t->socket = 0;
	t->moved_at = 0;
	stat_set(&t->out_packets, 0);
	stat_set(&t->out_bytes, 0);
	stat_set(&t->in_packets, 0);
	stat_set(&t->in_bytes, 0);
	stat_set(&t->drops, 0);
	stat_set(&t->gaps, 0);
	stat_set(&t->last_out, 0);
	stat_set(&t->last_in, 0);
}

struct esp_tunnel *
tunnels_get(struct tunnels *ts, uint32_t id)
{
	_Atomic(struct esp_tunnel *) *chain = &ts->chain[chain_of(id)];
	struct esp_tunnel *t = tunnels_find(ts, id);

	if (t != NULL) {
		t->gone = false;
		return t;
	}
	t = ts->spare;
	if (t != NULL)
		ts->spare = t->spare;
	else if ((t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	clear(t);
	atomic_store_explicit(&t->id, id, memory_order_relaxed);
	atomic_store_explicit(&t->next, atomic_load_explicit(chain, memory_order_relaxed),
	    memory_order_release);
	atomic_store_explicit(chain, t, memory_order_release);
	return t;
}

void
tunnels_unref(struct tunnels *ts, struct esp_tunnel *t, unsigned n)
{
	_Atomic(struct esp_tunnel *) *at = &ts->chain[chain_of(atomic_load(&t->id))];

	assert(t->refs >= n);
	t->refs -= n;
	if (!t->gone || t->refs > 0)
		return;
	while (atomic_load_explicit(at, memory_order_relaxed) != t)
		at = &atomic_load_explicit(at, memory_order_relaxed)->next;
	atomic_store_explicit(at, atomic_load_explicit(&t->next, memory_order_relaxed),
	    memory_order_release);
	t->spare = ts->spare;
	ts->spare = t;
}
