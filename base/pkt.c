/* SPDX-License-Identifier: MIT */
#include "base/pkt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_ALIGN	64		/* bytes: a cache line */

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

bool
batch_init_shared(struct batch *b, unsigned cap, size_t bytes)
{
	assert(bytes >= PKT_BUF && bytes <= UINT32_MAX);
	if (!batch_init(b, cap, 0))
		return false;
	b->mem = calloc(1, bytes);
	if (b->mem == NULL) {
		batch_fini(b);
		return false;
	}
	b->shared = bytes;
	return true;
}

void
batch_fini(struct batch *b)
{
	free(b->pkt);
	free(b->mem);
	memset(b, 0, sizeof(*b));
}

bool
batch_is_full(const struct batch *b)
{
	return b->n == b->cap || (b->shared != 0 && b->shared - b->used < PKT_BUF);
}

struct pkt *
batch_next(struct batch *b)
{
	struct pkt *p;

	if (batch_is_full(b))
		return NULL;
	p = &b->pkt[b->n++];
	if (b->shared != 0) {
		p->buf = b->mem + b->used;
		p->cap = (uint32_t)(b->shared - b->used);
	}
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
	b->used = 0;
}

void
batch_trim(struct batch *b)
{
	struct pkt *p = &b->pkt[b->n - 1];
	size_t want = (size_t)p->off + p->len + PKT_TAILROOM;

	assert(b->shared != 0 && b->n > 0 && want <= p->cap);
	p->cap = (uint32_t)want;
	b->used += (want + BATCH_ALIGN - 1) / BATCH_ALIGN * BATCH_ALIGN;
	if (b->used > b->shared)
		b->used = b->shared;
}

size_t
pkt_room(const struct pkt *p)
{
	return (size_t)p->cap - p->off - p->len;
}
