/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_BYTES_H
#define TANDEM_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bounded cursors over network bytes, big-endian.  They are the only code that
 * does arithmetic on what comes from or goes to the wire.
 *
 * Both have a sticky error: a reader asked for more than it has fails, yields
 * zeros from then on and has nothing left, so loops end; a writer asked to write
 * past its buffer fails and writes nothing more.  Read straight through, ask once.
 */
struct rd {
	const uint8_t *p, *end;
	bool failed;
};

struct rd	rd_init(const void *data, size_t len);
uint8_t		rd_u8(struct rd *r);
uint16_t	rd_u16(struct rd *r);
uint32_t	rd_u32(struct rd *r);
uint64_t	rd_u64(struct rd *r);
/* The next `len` bytes, borrowed from the message; NULL when there are fewer. */
const uint8_t	*rd_bytes(struct rd *r, size_t len);
/* Copy the next `len` bytes to `to`; zeros `to` when there are fewer. */
void		rd_copy(struct rd *r, void *to, size_t len);
/* A child over the next `len` bytes, which the parent skips; cannot see past them.
 * When there are fewer, both fail. */
struct rd	rd_sub(struct rd *r, size_t len);
void		rd_skip(struct rd *r, size_t len);
/* Make it fail: for a value that the caller finds wrong. */
void		rd_fail(struct rd *r);
size_t		rd_left(const struct rd *r);		/* bytes, 0 after a failure */
bool		rd_ok(const struct rd *r);		/* has not failed */
bool		rd_done(const struct rd *r);		/* has not failed and nothing is left */

struct wr {
	uint8_t *base, *p, *end;
	bool failed;
};

struct wr	wr_init(void *buf, size_t cap);
void		wr_u8(struct wr *w, uint8_t v);
void		wr_u16(struct wr *w, uint16_t v);
void		wr_u32(struct wr *w, uint32_t v);
void		wr_u64(struct wr *w, uint64_t v);
void		wr_bytes(struct wr *w, const void *data, size_t len);
void		wr_zero(struct wr *w, size_t len);
/* Room for `len` bytes that the caller fills; NULL when there is none. */
uint8_t		*wr_room(struct wr *w, size_t len);
size_t		wr_len(const struct wr *w);		/* bytes written so far */
size_t		wr_left(const struct wr *w);
bool		wr_ok(const struct wr *w);
/* Overwrite at offset `at` what was written before; fails the writer when it is outside. */
void		wr_put_u8(struct wr *w, size_t at, uint8_t v);
void		wr_put_u16(struct wr *w, size_t at, uint16_t v);
void		wr_put_u32(struct wr *w, size_t at, uint32_t v);

#endif
