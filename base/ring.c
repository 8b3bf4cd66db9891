/* SPDX-License-Identifier: MIT */
#include "base/ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * `put` and `got` count messages since the beginning and wrap with their type; their
 * difference is what the ring holds.  Each is written by one thread only.  A thread keeps
 * the other's counter as it last saw it and looks again only when that seems to say
 * "full" or "empty", so that a cache line does not travel for every message.
 *
 * The release store of a counter publishes (put) or gives back (get) a slot, and pairs
 * with the acquire load of the other thread.
 */
#define LINE	64			/* bytes of a cache line */

struct ring {
	_Alignas(LINE) atomic_size_t put;	/* the producer's line */
	size_t got_seen;
	_Alignas(LINE) atomic_size_t got;	/* the consumer's line */
	size_t put_seen;
	_Alignas(LINE) size_t msg_len;		/* constant */
	size_t capacity;
	_Alignas(LINE) uint8_t slot[];
};

struct ring *
ring_new(size_t msg_len, size_t capacity)
{
	struct ring *r;
	size_t bytes;

	assert(msg_len > 0 && capacity > 0 && (capacity & (capacity - 1)) == 0);
	if (__builtin_mul_overflow(msg_len, capacity, &bytes) ||
	    __builtin_add_overflow(bytes, sizeof(*r) + LINE - 1, &bytes))
		return NULL;
	r = aligned_alloc(LINE, bytes / LINE * LINE);
	if (r == NULL)
		return NULL;
	memset(r, 0, bytes / LINE * LINE);
	r->msg_len = msg_len;
	r->capacity = capacity;
	return r;
}

void
ring_free(struct ring *r)
{
	free(r);
}

static uint8_t *
slot_at(struct ring *r, size_t count)
{
	return r->slot + (count & (r->capacity - 1)) * r->msg_len;
}

bool
ring_put(struct ring *r, const void *msg)
{
	size_t put = atomic_load_explicit(&r->put, memory_order_relaxed);

	if (put - r->got_seen == r->capacity) {
		r->got_seen = atomic_load_explicit(&r->got, memory_order_acquire);
		if (put - r->got_seen == r->capacity)
			return false;
	}
	memcpy(slot_at(r, put), msg, r->msg_len);
	atomic_store_explicit(&r->put, put + 1, memory_order_release);
	return true;
}

bool
ring_get(struct ring *r, void *msg)
{
	size_t got = atomic_load_explicit(&r->got, memory_order_relaxed);

	if (got == r->put_seen) {
		r->put_seen = atomic_load_explicit(&r->put, memory_order_acquire);
		if (got == r->put_seen)
			return false;
	}
	memcpy(msg, slot_at(r, got), r->msg_len);
	atomic_store_explicit(&r->got, got + 1, memory_order_release);
	return true;
}

size_t
ring_used(const struct ring *r)
{
	/* `got` first: it can only have grown since, so the difference is never negative;
	 * nor is it shown larger than the ring. */
	size_t got = atomic_load_explicit(&r->got, memory_order_acquire);
	size_t used = atomic_load_explicit(&r->put, memory_order_acquire) - got;

	return used < r->capacity ? used : r->capacity;
}
