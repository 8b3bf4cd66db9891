/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_BYTES_H
#define TANDEM_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Bounded cursors over network bytes, big-endian.  They are the only code that
 * does arithmetic on what comes from or goes to the wire.
 *
 * Both have a sticky error: a reader asked for more than it has fails, yields
 * zeros from then on and has nothing left, so loops end; a writer asked to write
 * past its buffer fails and writes nothing more.  Read straight through, ask once.
 *
 * They are here whole, not only declared, because every packet goes through them: the compiler
 * then sees that a run of reads needs one look at the length.
 */
struct rd {
	const uint8_t *p, *end;
	bool failed;
};

static inline struct rd
rd_init(const void *data, size_t len)
{
	static const uint8_t nothing[1];	/* so that an empty message still has an address */
	const uint8_t *p = len > 0 ? (const uint8_t *)data : nothing;

	return (struct rd){ .p = p, .end = p + len };
}

/* Make it fail: for a value that the caller finds wrong. */
static inline void
rd_fail(struct rd *r)
{
	r->failed = true;
	r->p = r->end;
}

static inline size_t
rd_left(const struct rd *r)			/* bytes, 0 after a failure */
{
	return (size_t)(r->end - r->p);
}

static inline bool
rd_ok(const struct rd *r)			/* has not failed */
{
	return !r->failed;
}

static inline bool
rd_done(const struct rd *r)			/* has not failed and nothing is left */
{
	return !r->failed && r->p == r->end;
}

/* The next `len` bytes, borrowed from the message; NULL when there are fewer. */
static inline const uint8_t *
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

static inline uint8_t
rd_u8(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 1);

	return b != NULL ? b[0] : 0;
}

static inline uint16_t
rd_u16(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 2);
	uint16_t v = 0;

	if (b != NULL)
		memcpy(&v, b, sizeof(v));
	return be16toh(v);
}

static inline uint32_t
rd_u32(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 4);
	uint32_t v = 0;

	if (b != NULL)
		memcpy(&v, b, sizeof(v));
	return be32toh(v);
}

static inline uint64_t
rd_u64(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 8);
	uint64_t v = 0;

	if (b != NULL)
		memcpy(&v, b, sizeof(v));
	return be64toh(v);
}

/* Copy the next `len` bytes to `to`; zeros `to` when there are fewer. */
static inline void
rd_copy(struct rd *r, void *to, size_t len)
{
	const uint8_t *b = rd_bytes(r, len);

	if (len == 0)
		return;				/* `to` may be NULL then */
	if (b != NULL)
		memcpy(to, b, len);
	else
		memset(to, 0, len);
}

static inline void
rd_skip(struct rd *r, size_t len)
{
	(void)rd_bytes(r, len);
}

/* A child over the next `len` bytes, which the parent skips; cannot see past them.
 * When there are fewer, both fail. */
static inline struct rd
rd_sub(struct rd *r, size_t len)
{
	const uint8_t *b = rd_bytes(r, len);
	struct rd child = rd_init(b, b != NULL ? len : 0);

	child.failed = b == NULL;
	return child;
}

struct wr {
	uint8_t *base, *p, *end;
	bool failed;
};

static inline struct wr
wr_init(void *buf, size_t cap)
{
	uint8_t *p = (uint8_t *)buf;

	return (struct wr){ .base = p, .p = p, .end = cap > 0 ? p + cap : p };
}

static inline size_t
wr_len(const struct wr *w)			/* bytes written so far */
{
	return (size_t)(w->p - w->base);
}

static inline size_t
wr_left(const struct wr *w)
{
	return w->failed ? 0 : (size_t)(w->end - w->p);
}

static inline bool
wr_ok(const struct wr *w)
{
	return !w->failed;
}

/* Room for `len` bytes that the caller fills; NULL when there is none. */
static inline uint8_t *
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

/* `n` bytes, the last of `v` in network order, at `to`, which may be NULL: nowhere. */
static inline void
bytes_put(uint8_t *to, uint64_t v, size_t n)
{
	v = htobe64(v);
	if (to != NULL)
		memcpy(to, (const uint8_t *)&v + sizeof(v) - n, n);
}

static inline void
wr_u8(struct wr *w, uint8_t v)
{
	bytes_put(wr_room(w, 1), v, 1);
}

static inline void
wr_u16(struct wr *w, uint16_t v)
{
	bytes_put(wr_room(w, 2), v, 2);
}

static inline void
wr_u32(struct wr *w, uint32_t v)
{
	bytes_put(wr_room(w, 4), v, 4);
}

static inline void
wr_u64(struct wr *w, uint64_t v)
{
	bytes_put(wr_room(w, 8), v, 8);
}

static inline void
wr_bytes(struct wr *w, const void *data, size_t len)
{
	uint8_t *to = wr_room(w, len);

	if (to != NULL && len > 0)
		memcpy(to, data, len);
}

static inline void
wr_zero(struct wr *w, size_t len)
{
	uint8_t *to = wr_room(w, len);

	if (to != NULL && len > 0)
		memset(to, 0, len);
}

/* The place of `n` bytes at offset `at` of what was written before; NULL when it is outside,
 * which fails the writer. */
static inline uint8_t *
bytes_written(struct wr *w, size_t at, size_t n)
{
	if (w->failed || at > wr_len(w) || n > wr_len(w) - at) {
		w->failed = true;
		return NULL;
	}
	return w->base + at;
}

/* Overwrite at offset `at` what was written before; fails the writer when it is outside. */
static inline void
wr_put_u8(struct wr *w, size_t at, uint8_t v)
{
	bytes_put(bytes_written(w, at, 1), v, 1);
}

static inline void
wr_put_u16(struct wr *w, size_t at, uint16_t v)
{
	bytes_put(bytes_written(w, at, 2), v, 2);
}

static inline void
wr_put_u32(struct wr *w, size_t at, uint32_t v)
{
	bytes_put(bytes_written(w, at, 4), v, 4);
}

#endif
