/* SPDX-License-Identifier: MIT */
#include "base/secret.h"

#include <assert.h>
#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

/*
 * A region is an inaccessible page, some pages of slots of one size, and another
 * inaccessible page.  What is known about a region is kept outside of it, so that an
 * overrun meets a guard page or another secret, never a pointer of ours.  Under
 * AddressSanitizer free slots are poisoned.
 */
#define SLOT_MIN	64
#define CLASSES		8		/* 64, 128 .. SECRET_MAX */
#define REGION_SLOTS	8		/* at least, in a region */
#define REGION_MIN	16384		/* bytes at least */

_Static_assert(SLOT_MIN << (CLASSES - 1) == SECRET_MAX, "the classes end at SECRET_MAX");

struct region {
	struct region *next;
	uint8_t *slots;
	size_t len;			/* bytes of slots */
	size_t slot_len;
	size_t used_n;
	bool used[];			/* one a slot */
};

struct secrets {
	struct region *regions[CLASSES];
	size_t page;
	size_t used_n;
	bool unlocked;			/* a region could not be locked; logged */
};

struct secrets *
secrets_new(void)
{
	struct secrets *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->page = (size_t)sysconf(_SC_PAGESIZE);
	return s;
}

static void
region_free(const struct secrets *s, struct region *r)
{
	ASAN_UNPOISON_MEMORY_REGION(r->slots, r->len);
	secret_wipe(r->slots, r->len);
	munmap(r->slots - s->page, r->len + 2 * s->page);	/* unlocks too */
	free(r);
}

void
secrets_free(struct secrets *s)
{
	if (s == NULL)
		return;
	for (int c = 0; c < CLASSES; c++) {
		for (struct region *r = s->regions[c], *next; r != NULL; r = next) {
			next = r->next;
			region_free(s, r);
		}
	}
	free(s);
}

static void
region_protect(struct secrets *s, struct region *r)
{
	if (madvise(r->slots, r->len, MADV_DONTDUMP) != 0)
		log_event(LOG_LEVEL_WARN, "secret-dumpable", "error=\"%s\"", strerror(errno));
	if (mlock(r->slots, r->len) == 0 || s->unlocked)
		return;
	s->unlocked = true;
	log_event(LOG_LEVEL_WARN, "secret-not-locked",
	    "error=\"%s\" hint=\"keys may be swapped to disk; raise the limit of locked memory\"",
	    strerror(errno));
}

static struct region *
region_new(struct secrets *s, size_t slot_len)
{
	size_t len = slot_len * REGION_SLOTS;
	struct region *r;
	uint8_t *map;

	if (len < REGION_MIN)
		len = REGION_MIN;
	len = (len + s->page - 1) / s->page * s->page;
	r = calloc(1, sizeof(*r) + len / slot_len * sizeof(r->used[0]));
	if (r == NULL)
		return NULL;
	map = mmap(NULL, len + 2 * s->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		goto no_map;
	if (mprotect(map + s->page, len, PROT_READ | PROT_WRITE) != 0)
		goto no_access;
	r->slots = map + s->page;
	r->len = len;
	r->slot_len = slot_len;
	region_protect(s, r);
	ASAN_POISON_MEMORY_REGION(r->slots, r->len);
	return r;
no_access:
	munmap(map, len + 2 * s->page);
no_map:
	free(r);
	return NULL;
}

static void *
region_take(struct region *r)
{
	size_t i = 0;
	uint8_t *p;

	while (r->used[i])
		i++;
	r->used[i] = true;
	r->used_n++;
	p = r->slots + i * r->slot_len;
	ASAN_UNPOISON_MEMORY_REGION(p, r->slot_len);
	return p;
}

void *
secret_alloc(struct secrets *s, size_t len)
{
	struct region *r;
	int c = 0;

	if (len > SECRET_MAX)
		return NULL;
	while ((size_t)SLOT_MIN << c < len)
		c++;
	for (r = s->regions[c]; r != NULL; r = r->next) {
		if (r->used_n < r->len / r->slot_len)
			break;
	}
	if (r == NULL) {
		r = region_new(s, (size_t)SLOT_MIN << c);
		if (r == NULL)
			return NULL;
		r->next = s->regions[c];
		s->regions[c] = r;
	}
	s->used_n++;
	return region_take(r);
}

/* Slots are zero when they are free: fresh from the kernel, or wiped here. */
void
secret_free(struct secrets *s, void *p)
{
	struct region *r = NULL;
	size_t at;

	if (p == NULL)
		return;
	for (int c = 0; r == NULL && c < CLASSES; c++) {
		r = s->regions[c];
		while (r != NULL && (uintptr_t)p - (uintptr_t)r->slots >= r->len)
			r = r->next;
	}
	assert(r != NULL);		/* not ours */
	at = (size_t)((uint8_t *)p - r->slots);
	assert(at % r->slot_len == 0 && r->used[at / r->slot_len]);
	secret_wipe(p, r->slot_len);
	ASAN_POISON_MEMORY_REGION(p, r->slot_len);
	r->used[at / r->slot_len] = false;
	r->used_n--;
	s->used_n--;
}

size_t
secrets_used(const struct secrets *s)
{
	return s->used_n;
}

bool
secrets_locked(const struct secrets *s)
{
	return !s->unlocked;
}

void
secret_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}

bool
secret_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}
