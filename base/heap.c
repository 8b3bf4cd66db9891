/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <stdlib.h>

/* node[0] is the root; a node's `index` is its place plus one. */

void
heap_init(struct heap *h)
{
	*h = (struct heap){ 0 };
}

void
heap_fini(struct heap *h)
{
	free(h->node);
	*h = (struct heap){ 0 };
}

static void
place(struct heap *h, struct heap_node *n, size_t i)
{
	h->node[i] = n;
	n->index = i + 1;
}

/* Move `n`, for which place `i` is free, towards the root or the leaves to where it belongs. */
static void
settle(struct heap *h, struct heap_node *n, size_t i)
{
	size_t child;

	for (; i > 0 && n->at < h->node[(i - 1) / 2]->at; i = (i - 1) / 2)
		place(h, h->node[(i - 1) / 2], i);
	for (; (child = 2 * i + 1) < h->n; i = child) {
		if (child + 1 < h->n && h->node[child + 1]->at < h->node[child]->at)
			child++;
		if (h->node[child]->at >= n->at)
			break;
		place(h, h->node[child], i);
	}
	place(h, n, i);
}

static bool
grow(struct heap *h)
{
	size_t cap = h->cap > 0 ? h->cap * 2 : 16;
	struct heap_node **node = reallocarray(h->node, cap, sizeof(struct heap_node *));

	if (node == NULL)
		return false;
	h->node = node;
	h->cap = cap;
	return true;
}

bool
heap_set(struct heap *h, struct heap_node *n, usec_t at)
{
	if (at == USEC_NEVER) {
		heap_remove(h, n);
		return true;
	}
	if (n->index == 0 && h->n == h->cap && !grow(h))
		return false;
	n->at = at;
	settle(h, n, n->index == 0 ? h->n++ : n->index - 1);
	return true;
}

void
heap_remove(struct heap *h, struct heap_node *n)
{
	size_t i = n->index - 1;
	struct heap_node *last;

	if (n->index == 0)
		return;
	n->index = 0;
	n->at = USEC_NEVER;
	last = h->node[--h->n];
	if (last != n)
		settle(h, last, i);
}

usec_t
heap_deadline(const struct heap *h)
{
	return h->n > 0 ? h->node[0]->at : USEC_NEVER;
}

struct heap_node *
heap_pop_due(struct heap *h, usec_t now)
{
	struct heap_node *n;

	if (h->n == 0 || h->node[0]->at > now)
		return NULL;
	n = h->node[0];
	heap_remove(h, n);
	return n;
}
