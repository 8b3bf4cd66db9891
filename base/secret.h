/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_SECRET_H
#define TANDEM_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A pool of memory for keys: regions that are locked (not swapped), left out of core
 * dumps and surrounded by guard pages, cut into slots of a few sizes, wiped when freed.
 * Control thread only.  Where the limit of locked memory is reached the pool logs it once
 * and goes on with memory that is undumpable but may be swapped.
 */
struct secrets;

#define SECRET_MAX	8192		/* bytes, the largest slot: a struct child_sa fits */

struct secrets	*secrets_new(void);		/* NULL: no memory */
void		secrets_free(struct secrets *s);	/* wipes all that is left */
void		*secret_alloc(struct secrets *s, size_t len);	/* zeroed; 64-byte aligned; NULL: no memory */
void		secret_free(struct secrets *s, void *p);	/* wipes; NULL is fine; twice is our bug */
size_t		secrets_used(const struct secrets *s);	/* slots in use: for leak checks */
bool		secrets_locked(const struct secrets *s);	/* all regions are locked in memory */

/* Wipe, and compare in constant time; for stack and embedded buffers. */
void		secret_wipe(void *p, size_t len);
bool		secret_equal(const void *a, const void *b, size_t len);

#endif
