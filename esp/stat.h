/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_STAT_H
#define TANDEM_ESP_STAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/usec.h"

/*
 * Counters that the worker writes and control samples.  One writer each, so a relaxed load
 * and a relaxed store do: no locked instruction for a packet.  stat_add_shared() is for the
 * few that several workers write (those of an outbound SA).
 */
typedef _Atomic uint64_t stat_t;

static inline uint64_t
stat_get(const stat_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void
stat_set(stat_t *c, uint64_t v)
{
	atomic_store_explicit(c, v, memory_order_relaxed);
}

static inline void
stat_add(stat_t *c, uint64_t n)
{
	stat_set(c, stat_get(c) + n);
}

static inline void
stat_add_shared(stat_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

/* A token bucket on `now`: at most `burst` at once and `rate` a second in the long run.
 * All zero is a full bucket. */
struct limit {
	usec_t at;			/* when the spent tokens will all be back */
};

static inline bool
limit_take(struct limit *l, usec_t now, unsigned rate, unsigned burst)
{
	usec_t one = USEC_S(1) / rate;

	if (l->at < now)
		l->at = now;
	if (l->at - now > one * (burst - 1))
		return false;
	l->at += one;
	return true;
}

#endif
