/* SPDX-License-Identifier: MIT */
#include "base/pkt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool
batch_init(struct batch *b, unsigned cap, size_t buf_len)
{
	size_t bytes;

	assert(cap > 0 && (buf_len == 0 || buf_len >= PKT_HEADROOM) && buf_len <= UINT32_MAX);
	memset(b, 0, sizeof(*b));
	if (__builtin_mul_overflow((size_t)cap, buf_len, &bytes))
		return false;
	b->pkt = calloc(cap, sizeof(struct pkt));
	b->mem = bytes > 0 ? calloc(1, bytes) : NULL;
	if (b->pkt == NULL || (b->mem == NULL && bytes > 0)) {
		batch_fini(b);
		return false;
	}
	b->cap = cap;
	for (unsigned i = 0; i < cap && bytes > 0; i++) {
		b->pkt[i].buf = b->mem + i * buf_len;
		b->pkt[i].cap = (uint32_t)buf_len;
	}
	return true;
}

void
batch_fini(struct batch *b)
{
	free(b->pkt);
	free(b->mem);
	memset(b, 0, sizeof(*b));
}

struct pkt *
batch_next(struct batch *b)
{
	struct pkt *p;

	if (b->n == b->cap)
		return NULL;
	p = &b->pkt[b->n++];
	*p = (struct pkt){ .buf = p->buf, .cap = p->cap, .off = PKT_HEADROOM };
	return p;
}

void
batch_unget(struct batch *b)
{
	assert(b->n > 0);
	b->n--;
}

void
batch_reset(struct batch *b)
{
	b->n = 0;
}

size_t
pkt_room(const struct pkt *p)
{
	return (size_t)p->cap - p->off - p->len;
}
