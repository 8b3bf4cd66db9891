/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/aead.h"
#include "bench.h"

/*
 * What sealing and opening one packet costs with each algorithm and each provider, one core,
 * hot buffers, in place: nanoseconds at 64, 512 and 1,400 bytes (for CBC the next multiple of
 * its block).  AAD and IV as ESP has them.
 *
 *	make bench && build/plain/bench/base_aead_bench
 */
enum { CALLS = 500, SIZES = 3 };

static const size_t sizes[SIZES] = { 64, 512, 1400 };

struct bench {
	struct aead_key key;
	struct aead_scratch *scratch;
	struct aead_op op;
	uint8_t aad[16];		/* 12 used: the library loads 16, and waits for stores there */
	uint8_t iv[AEAD_IV_MAX], icv[AEAD_ICV_MAX];
	_Alignas(64) uint8_t text[2048];
};

static void
seal_many(struct bench *b)
{
	for (int i = 0; i < CALLS; i++) {
		memcpy(b->iv, &(uint64_t){ (uint64_t)i }, sizeof(uint64_t));
		if (!aead_seal(&b->key, b->scratch, &b->op))
			abort();
	}
}

/* Always the same packet: opened into another buffer. */
static void
open_many(struct bench *b)
{
	static _Alignas(64) uint8_t out[2048];
	struct aead_op op = b->op;

	op.dst = out;
	for (int i = 0; i < CALLS; i++)
		if (!aead_open(&b->key, b->scratch, &op))
			abort();
}

static double
least(struct bench *b, void (*many)(struct bench *))
{
	uint64_t best = UINT64_MAX, t;

	for (int r = 0; r < BENCH_ROUNDS; r++) {
		t = bench_ns();
		many(b);
		t = bench_ns() - t;
		best = t < best ? t : best;
	}
	return (double)best / CALLS;
}

static void
row(const struct aead_set *set, enum aead_id id)
{
	static const uint8_t key[AEAD_KEY_MAX] = { 1, 2, 3 };
	static struct bench b;
	const struct aead_info *info = aead_info(id);
	double ns[2][SIZES];

	b.scratch = aead_scratch_new(set);
	if (b.scratch == NULL || !aead_key_init(&b.key, set, id, key,
	    (size_t)info->enc_len + info->salt_len + info->auth_len))
		abort();
	for (int i = 0; i < SIZES; i++) {
		b.op = (struct aead_op){ .aad = b.aad, .aad_len = info->cbc ? 8 : 12, .iv = b.iv,
			.src = b.text, .dst = b.text, .icv = b.icv,
			.len = (sizes[i] + info->block - 1) / info->block * info->block };
		ns[0][i] = least(&b, seal_many);
		ns[1][i] = least(&b, open_many);
	}
	printf("%-16s %-10s %7.1f %7.1f %7.1f   %7.1f %7.1f %7.1f\n", info->name,
	    aead_set_provider(set, id), ns[0][0], ns[0][1], ns[0][2], ns[1][0], ns[1][1], ns[1][2]);
	aead_key_fini(&b.key);
	aead_scratch_free(b.scratch);
}

int
main(void)
{
	static const char *const providers[] = { "ipsec-mb", "openssl", "libsodium" };

	printf("%-16s %-10s %23s   %23s   ns a packet\n%-16s %-10s %7d %7d %7d   %7d %7d %7d\n",
	    "", "", "seal", "open", "algorithm", "by", 64, 512, 1400, 64, 512, 1400);
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
		struct aead_set *set = aead_set_new_only(providers[i]);

		if (set == NULL)
			printf("%-16s %-10s not here\n", "", providers[i]);
		for (int id = 1; set != NULL && id < AEAD_N; id++)
			if (aead_set_provider(set, (enum aead_id)id) != NULL)
				row(set, (enum aead_id)id);
		aead_set_free(set);
	}
	return EXIT_SUCCESS;
}
