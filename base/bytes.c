/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"

#include <string.h>

static const uint8_t nothing[1];	/* so that an empty message still has an address */

struct rd
rd_init(const void *data, size_t len)
{
	const uint8_t *p = len > 0 ? data : nothing;

	return (struct rd){ .p = p, .end = p + len };
}

void
rd_fail(struct rd *r)
{
	r->failed = true;
	r->p = r->end;
}

size_t
rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}

bool
rd_ok(const struct rd *r)
{
	return !r->failed;
}

bool
rd_done(const struct rd *r)
{
	return !r->failed && r->p == r->end;
}

const uint8_t *
rd_bytes(struct rd *r, size_t len)
{
	const uint8_t *at = r->p;

	if (r->failed || len > rd_left(r)) {
		rd_fail(r);
		return NULL;
	}
	r->p += len;
	return at;
}

/* The next `n` bytes (at most 8) as a number. */
static uint64_t
rd_number(struct rd *r, size_t n)
{
	const uint8_t *b = rd_bytes(r, n);
	uint64_t v = 0;

	for (size_t i = 0; b != NULL && i < n; i++)
		v = v << 8 | b[i];
	return v;
}

uint8_t
rd_u8(struct rd *r)
{
	return (uint8_t)rd_number(r, 1);
}

uint16_t
rd_u16(struct rd *r)
{
	return (uint16_t)rd_number(r, 2);
}

uint32_t
rd_u32(struct rd *r)
{
	return (uint32_t)rd_number(r, 4);
}

uint64_t
rd_u64(struct rd *r)
{
	return rd_number(r, 8);
}

void
rd_copy(struct rd *r, void *to, size_t len)
{
	const uint8_t *b = rd_bytes(r, len);

	if (len == 0)
		return;			/* `to` may be NULL then */
	if (b != NULL)
		memcpy(to, b, len);
	else
		memset(to, 0, len);
}

struct rd
rd_sub(struct rd *r, size_t len)
{
	const uint8_t *b = rd_bytes(r, len);

	if (b == NULL)
		return (struct rd){ .p = nothing, .end = nothing, .failed = true };
	return (struct rd){ .p = b, .end = b + len };
}

void
rd_skip(struct rd *r, size_t len)
{
	(void)rd_bytes(r, len);
}

struct wr
wr_init(void *buf, size_t cap)
{
	uint8_t *p = buf;

	return (struct wr){ .base = p, .p = p, .end = cap > 0 ? p + cap : p };
}

size_t
wr_len(const struct wr *w)
{
	return (size_t)(w->p - w->base);
}

size_t
wr_left(const struct wr *w)
{
	return w->failed ? 0 : (size_t)(w->end - w->p);
}

bool
wr_ok(const struct wr *w)
{
	return !w->failed;
}

uint8_t *
wr_room(struct wr *w, size_t len)
{
	uint8_t *at = w->p;

	if (w->failed || len > wr_left(w)) {
		w->failed = true;
		return NULL;
	}
	w->p += len;
	return at;
}

static void
number_put(uint8_t *to, uint64_t v, size_t n)
{
	for (size_t i = n; i > 0; i--, v >>= 8)
		to[i - 1] = (uint8_t)v;
}

static void
wr_number(struct wr *w, uint64_t v, size_t n)
{
	uint8_t *to = wr_room(w, n);

	if (to != NULL)
		number_put(to, v, n);
}

void
wr_u8(struct wr *w, uint8_t v)
{
	wr_number(w, v, 1);
}

void
wr_u16(struct wr *w, uint16_t v)
{
	wr_number(w, v, 2);
}

void
wr_u32(struct wr *w, uint32_t v)
{
	wr_number(w, v, 4);
}

void
wr_u64(struct wr *w, uint64_t v)
{
	wr_number(w, v, 8);
}

void
wr_bytes(struct wr *w, const void *data, size_t len)
{
	uint8_t *to = wr_room(w, len);

	if (to != NULL && len > 0)
		memcpy(to, data, len);
}

void
wr_zero(struct wr *w, size_t len)
{
	uint8_t *to = wr_room(w, len);

	if (to != NULL)
		memset(to, 0, len);
}

static void
wr_put(struct wr *w, size_t at, uint64_t v, size_t n)
{
	if (w->failed || at > wr_len(w) || n > wr_len(w) - at) {
		w->failed = true;
		return;
	}
	number_put(w->base + at, v, n);
}

void
wr_put_u8(struct wr *w, size_t at, uint8_t v)
{
	wr_put(w, at, v, 1);
}

void
wr_put_u16(struct wr *w, size_t at, uint16_t v)
{
	wr_put(w, at, v, 2);
}

void
wr_put_u32(struct wr *w, size_t at, uint32_t v)
{
	wr_put(w, at, v, 4);
}
