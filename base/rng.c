/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void
rng_fill(const struct rng *r, void *buf, size_t len)
{
	if (len > 0)
		r->fill(r->arg, buf, len);
}

uint32_t
rng_u32(const struct rng *r)
{
	uint32_t v;

	rng_fill(r, &v, sizeof(v));
	return v;
}

uint64_t
rng_u64(const struct rng *r)
{
	uint64_t v;

	rng_fill(r, &v, sizeof(v));
	return v;
}

uint32_t
rng_below(const struct rng *r, uint32_t n)
{
	uint32_t v, skip;

	assert(n > 0);
	skip = -n % n;			/* 2^32 mod n: what is left is a multiple of n */
	do {
		v = rng_u32(r);
	} while (v < skip);
	return v % n;
}

static void
system_fill(void *arg, void *buf, size_t len)
{
	(void)arg;
	randombytes_buf(buf, len);
}

struct rng
rng_system(void)
{
	if (sodium_init() < 0)
		abort();		/* no random numbers: nothing that follows would be safe */
	return (struct rng){ .fill = system_fill };
}

/* Each call is a stream of its own: the counter is the nonce. */
static void
seeded_fill(void *arg, void *buf, size_t len)
{
	struct rng_seeded *state = arg;
	uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

	for (size_t i = 0; i < sizeof(nonce); i++)
		nonce[i] = (uint8_t)(state->counter >> 8 * i);
	state->counter++;
	crypto_stream_chacha20(buf, len, nonce, state->key);
}

struct rng
rng_seeded(struct rng_seeded *state, uint64_t seed)
{
	memset(state, 0, sizeof(*state));
	for (size_t i = 0; i < sizeof(seed); i++)
		state->key[i] = (uint8_t)(seed >> 8 * i);
	return (struct rng){ .fill = seeded_fill, .arg = state };
}
