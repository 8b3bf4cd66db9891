/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_MAP_H
#define TANDEM_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A hash map from a 64-bit key (an SPI, a tunnel id) to a pointer that it does not own.
 * Keys are chosen by us or mixed with `salt`, so a stranger cannot make chains.
 */
struct map;

struct map	*map_new(uint64_t salt);		/* NULL: no memory */
void		map_free(struct map *m);
/* Replaces; `value` is not NULL.  False: no memory (never when it replaces).  Not during a walk. */
bool		map_put(struct map *m, uint64_t key, void *value);
void		*map_get(const struct map *m, uint64_t key);	/* NULL: not there */
void		*map_del(struct map *m, uint64_t key);	/* what was there, or NULL */
size_t		map_n(const struct map *m);
/* Walk in no order: start with *pos = 0; false at the end.  Deleting keys is fine; `key` may be NULL. */
bool		map_each(const struct map *m, size_t *pos, uint64_t *key, void **value);

#endif
