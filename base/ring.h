/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_RING_H
#define TANDEM_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A bounded queue of fixed-size messages between exactly one producer thread and one
 * consumer thread.  Lock-free; head and tail live on cache lines of their own.  A
 * message that carries a pointer says in its type who owns it then.
 */
struct ring;

struct ring	*ring_new(size_t msg_len, size_t capacity);	/* capacity: a power of two; NULL: no memory */
void		ring_free(struct ring *r);
bool		ring_put(struct ring *r, const void *msg);	/* false: full */
bool		ring_get(struct ring *r, void *msg);		/* false: empty */
size_t		ring_used(const struct ring *r);		/* a moment's view */

#endif
