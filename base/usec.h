/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_USEC_H
#define TANDEM_BASE_USEC_H

#include <stdint.h>

/*
 * Monotonic time in microseconds since an arbitrary start.  Only the event loop
 * and the workers read a clock; everything else is told `now`.
 */
typedef uint64_t usec_t;

#define USEC_NEVER	UINT64_MAX	/* a deadline that does not come */
#define USEC_MS(n)	((usec_t)(n) * 1000)
#define USEC_S(n)	((usec_t)(n) * 1000000)

/* The earlier of two deadlines. */
static inline usec_t
usec_min(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* now + delay, saturating at USEC_NEVER. */
static inline usec_t
usec_add(usec_t now, usec_t delay)
{
	return now > USEC_NEVER - delay ? USEC_NEVER : now + delay;
}

#endif
