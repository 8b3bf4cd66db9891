/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_UNIT_GATEWAY_WORDS_H
#define TANDEM_UNIT_GATEWAY_WORDS_H

#include <stdio.h>
#include <string.h>

#include "gateway/gateway.h"

#include "unit.h"

/*
 * For tests that play all neighbours of one small source: what those are told is written down,
 * a word each, and looked at as a whole.  A worker's address is its number and one.
 */
static char words[512];

static inline void
say(const char *fmt, unsigned a, unsigned b)
{
	size_t n = strlen(words);

	snprintf(words + n, sizeof(words) - n, fmt, a, b);
}

/* So much was said since the last time. */
static inline void
expect(const char *said)
{
	ck_assert_str_eq(words, said);
	words[0] = '\0';
}

static inline unsigned
index_of(const struct worker *w)
{
	return (unsigned)(uintptr_t)w - 1;
}

__typeof__(workers_at) __wrap_workers_at;

struct worker *
__wrap_workers_at(const struct workers *ws, unsigned index)
{
	(void)ws;
	return (struct worker *)(uintptr_t)(index + 1);
}

#endif
