/* SPDX-License-Identifier: MIT */
#include "base/aead.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "aead_providers.h"
#include "unit.h"

/*
 * The assembly behind seal and open is invisible to sanitizers.  So each buffer of a packet,
 * and the key, lies between two inaccessible pages: once with its end at the one behind, once
 * with its start at the one in front; a read or a write past it ends the program.  On its
 * other side are canaries.  All providers, also in sanitizer builds.
 */
enum { PAGES = 20, CANARY = 0xa5, TEXT_MAX = 16 * 4096, NEAR = 512 };

struct fence {
	uint8_t *first, *end;		/* what may be touched */
	uint8_t *at;			/* the buffer in it */
	size_t len;
};

static void
fence_init(struct fence *f)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, (PAGES + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(map != MAP_FAILED);
	f->first = map + page;
	f->end = f->first + PAGES * page;
	ck_assert_int_eq(mprotect(f->first, PAGES * page, PROT_READ | PROT_WRITE), 0);
	memset(f->first, CANARY, PAGES * page);
}

static uint8_t *
fence_put(struct fence *f, size_t len, bool at_end)
{
	f->at = at_end ? f->end - len : f->first;
	f->len = len;
	return f->at;
}

/* libcheck reports each assertion that it meets: so none a byte. */
static size_t
canaries_gone(const uint8_t *from, const uint8_t *to)
{
	size_t gone = 0;

	for (; from < to; from++)
		gone += *from != CANARY;
	return gone;
}

/* The canaries live; then all is canary again. */
static void
fence_check(struct fence *f, const char *what)
{
	size_t front = (size_t)(f->at - f->first), behind = (size_t)(f->end - f->at) - f->len;
	size_t gone;

	front = front < NEAR ? front : NEAR;
	behind = behind < NEAR ? behind : NEAR;
	gone = canaries_gone(f->at - front, f->at) +
	    canaries_gone(f->at + f->len, f->at + f->len + behind);
	ck_assert_msg(gone == 0, "%s of %zu bytes: %zu canaries are gone", what, f->len, gone);
	memset(f->at, CANARY, f->len);
}

struct rig {
	struct aead_set *set;
	struct aead_scratch *scratch;
	const struct aead_info *info;
	struct fence key, aad, iv, tail, src, dst, icv;
	struct aead_key *k;
};

static void
seal_and_open(struct rig *r, size_t len, size_t aad_len, bool at_end)
{
	struct aead_op op = { .len = len, .aad_len = aad_len, .tail_len = r->info->cbc ? 4 : 0 };
	uint8_t *text = fence_put(&r->src, len, at_end);
	bool good = true;

	for (size_t i = 0; i < len; i++)
		text[i] = (uint8_t)(i + len);
	op.aad = fence_put(&r->aad, aad_len, at_end);
	op.iv = fence_put(&r->iv, r->info->iv_len, at_end);
	op.tail = fence_put(&r->tail, op.tail_len, at_end);
	op.icv = fence_put(&r->icv, r->info->icv_len, at_end);
	op.src = text;
	op.dst = fence_put(&r->dst, len, at_end);
	ck_assert(aead_seal(r->k, r->scratch, &op));
	memset(text, CANARY, len);
	op.src = op.dst;				/* back, from one buffer to the other */
	op.dst = text;
	ck_assert(aead_open(r->k, r->scratch, &op));
	for (size_t i = 0; i < len; i++)
		good &= text[i] == (uint8_t)(i + len);
	ck_assert(good);
	op.src = op.dst;				/* and in place */
	ck_assert(aead_seal(r->k, r->scratch, &op));
	ck_assert(aead_open(r->k, r->scratch, &op));
	fence_check(&r->src, "src");
	fence_check(&r->dst, "dst");
	fence_check(&r->icv, "icv");
	fence_check(&r->aad, "aad");
	fence_check(&r->iv, "iv");
	fence_check(&r->tail, "tail");
}

static size_t
next_len(const struct rig *r, size_t len)
{
	size_t step = len < 1100 ? 1 : len < 1560 ? 7 : 3001, block = r->info->cbc ? 16 : 1;

	return (len + step + block - 1) / block * block;
}

static void
run(struct rig *r, bool at_end)
{
	uint8_t key[AEAD_KEY_MAX] = { 1, 2, 3 };

	r->k = (void *)fence_put(&r->key, sizeof(*r->k), at_end);
	ck_assert(aead_key_init(r->k, r->set, (enum aead_id)(r->info - aead_info(1) + 1), key,
	    (size_t)r->info->enc_len + r->info->salt_len + r->info->auth_len));
	for (size_t len = 0; len <= TEXT_MAX; len = next_len(r, len))
		seal_and_open(r, len, len % 3 == 0 ? 12 : len % 40, at_end);
	aead_key_fini(r->k);
	fence_check(&r->key, "key");
}

START_TEST(nothing_outside_is_touched)
{
	struct rig r = { .set = provider_set(_i / AEAD_N) };
	struct fence *const fences[] = { &r.key, &r.aad, &r.iv, &r.tail, &r.src, &r.dst, &r.icv };

	r.info = aead_info((enum aead_id)(_i % AEAD_N));
	if (r.set == NULL || aead_set_provider(r.set, (enum aead_id)(_i % AEAD_N)) == NULL) {
		aead_set_free(r.set);
		return;
	}
	r.scratch = aead_scratch_new(r.set);
	ck_assert_ptr_nonnull(r.scratch);
	for (size_t i = 0; i < sizeof(fences) / sizeof(fences[0]); i++)
		fence_init(fences[i]);
	run(&r, true);
	run(&r, false);
	aead_scratch_free(r.scratch);
	aead_set_free(r.set);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_loop_test(t, nothing_outside_is_touched, 1, PROVIDERS_N * AEAD_N);
}

UNIT_MAIN("base/aead guard", fill)
