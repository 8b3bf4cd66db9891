/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Open addressing with linear probing.  A deleted entry leaves a mark behind (`value` is
 * then the map itself, which no user can have put there) so that a walk is not disturbed;
 * marks go when the table is made anew.
 */
struct entry {
	uint64_t key;
	void *value;			/* NULL: never used */
};

struct map {
	struct entry *entry;
	size_t cap;			/* a power of two */
	size_t n;			/* live */
	size_t taken;			/* live and marks */
	uint64_t salt;
};

#define CAP_MIN	16

struct map *
map_new(uint64_t salt)
{
	struct map *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->entry = calloc(CAP_MIN, sizeof(struct entry));
	if (m->entry == NULL) {
		free(m);
		return NULL;
	}
	m->cap = CAP_MIN;
	m->salt = salt;
	return m;
}

void
map_free(struct map *m)
{
	if (m != NULL)
		free(m->entry);
	free(m);
}

/* Every bit of key and salt moves every bit of the place. */
static size_t
place_of(const struct map *m, uint64_t key)
{
	uint64_t x = key ^ m->salt;

	for (int round = 0; round < 2; round++) {
		x ^= x >> 32;
		x *= 0x9e3779b97f4a7c15u;	/* 2^64 / the golden ratio: odd, well mixed */
		x += m->salt;
	}
	return (size_t)(x ^ x >> 32) & (m->cap - 1);
}

static bool
is_live(const struct map *m, const struct entry *e)
{
	return e->value != NULL && e->value != (const void *)m;
}

static struct entry *
find(const struct map *m, uint64_t key)
{
	for (size_t i = place_of(m, key); m->entry[i].value != NULL; i = (i + 1) & (m->cap - 1)) {
		if (m->entry[i].key == key && is_live(m, &m->entry[i]))
			return &m->entry[i];
	}
	return NULL;
}

/* Put a key that is not there where a place is free. */
static void
insert(struct map *m, uint64_t key, void *value)
{
	size_t i = place_of(m, key);

	while (is_live(m, &m->entry[i]))
		i = (i + 1) & (m->cap - 1);
	if (m->entry[i].value == NULL)
		m->taken++;
	m->n++;
	m->entry[i] = (struct entry){ .key = key, .value = value };
}

static bool
rebuild(struct map *m)
{
	struct entry *old = m->entry, *fresh;
	size_t old_cap = m->cap, cap = CAP_MIN;

	while (cap < m->n * 4)
		cap *= 2;
	fresh = calloc(cap, sizeof(struct entry));
	if (fresh == NULL)
		return false;
	m->entry = fresh;
	m->cap = cap;
	m->n = m->taken = 0;
	for (size_t i = 0; i < old_cap; i++) {
		if (is_live(m, &old[i]))
			insert(m, old[i].key, old[i].value);
	}
	free(old);
	return true;
}

bool
map_put(struct map *m, uint64_t key, void *value)
{
	struct entry *e = find(m, key);

	assert(value != NULL && value != m);
	if (e != NULL) {
		e->value = value;
		return true;
	}
	if (m->taken >= m->cap / 4 * 3 && !rebuild(m))
		return false;
	insert(m, key, value);
	return true;
}

void *
map_get(const struct map *m, uint64_t key)
{
	const struct entry *e = find(m, key);

	return e != NULL ? e->value : NULL;
}

void *
map_del(struct map *m, uint64_t key)
{
	struct entry *e = find(m, key);
	void *value;

	if (e == NULL)
		return NULL;
	value = e->value;
	e->value = m;
	m->n--;
	return value;
}

size_t
map_n(const struct map *m)
{
	return m->n;
}

bool
map_each(const struct map *m, size_t *pos, uint64_t *key, void **value)
{
	while (*pos < m->cap) {
		const struct entry *e = &m->entry[(*pos)++];

		if (is_live(m, e)) {
			if (key != NULL)
				*key = e->key;
			*value = e->value;
			return true;
		}
	}
	return false;
}
