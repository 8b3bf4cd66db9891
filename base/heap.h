/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_HEAP_H
#define TANDEM_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/usec.h"

/*
 * A heap of deadlines.  Nodes are embedded in what they time; the heap holds pointers
 * to them and grows its array as nodes are first inserted, so that later moves of a
 * deadline cannot fail.  O(log n) to set, O(1) to look.  A node starts out zeroed; it is
 * taken out before its memory goes away.
 */
struct heap_node {
	usec_t at;
	size_t index;			/* 1-based place in the heap, 0 when not in it */
};

struct heap {
	struct heap_node **node;
	size_t n, cap;
};

void	heap_init(struct heap *h);
void	heap_fini(struct heap *h);		/* does not touch the nodes */
/* Insert or move to deadline `at`; USEC_NEVER removes.  False: no memory (insert only). */
bool	heap_set(struct heap *h, struct heap_node *n, usec_t at);
void	heap_remove(struct heap *h, struct heap_node *n);	/* fine when not in it */
usec_t	heap_deadline(const struct heap *h);	/* the earliest, or USEC_NEVER */
/* The earliest node when it is due at `now`, removed; else NULL. */
struct heap_node *heap_pop_due(struct heap *h, usec_t now);

#define heap_entry(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
