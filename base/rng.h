/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_RNG_H
#define TANDEM_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/*
 * Where random bytes come from.  The gateway injects the kernel's; the simulated
 * world injects a stream made from a seed, so that a run can be repeated.
 */
struct rng {
	void (*fill)(void *arg, void *buf, size_t len);
	void *arg;
};

void		rng_fill(const struct rng *r, void *buf, size_t len);
uint32_t	rng_u32(const struct rng *r);
uint64_t	rng_u64(const struct rng *r);
/* Uniform in [0, n), n > 0, without modulo bias. */
uint32_t	rng_below(const struct rng *r, uint32_t n);

/* The kernel's random numbers (libsodium randombytes_buf). */
struct rng	rng_system(void);

/* A deterministic stream (ChaCha20 keyed by the seed; each call has a nonce of its own, so the
 * bytes depend on how they are asked for).  For tests only. */
struct rng_seeded {
	uint8_t key[32];
	uint64_t counter;
};
struct rng	rng_seeded(struct rng_seeded *state, uint64_t seed);	/* borrows `state` */

#endif
