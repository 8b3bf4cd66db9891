/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BENCH_H
#define TANDEM_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

/*
 * What the micro-benchmarks share.  They measure on a machine that others use too: each
 * figure is the least of many short rounds, which is what the code takes, not what the
 * machine had to do besides.
 */
enum { BENCH_ROUNDS = 60 };

static inline uint64_t
bench_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Clocks of the time-stamp counter in a nanosecond (not the core's own clock, which may run
 * faster): 0 where there is none. */
#ifdef __x86_64__
static inline double
bench_ghz(void)
{
	uint64_t ns = bench_ns(), tsc = __builtin_ia32_rdtsc(), now;

	while ((now = bench_ns()) - ns < 20000000)
		;
	return (double)(__builtin_ia32_rdtsc() - tsc) / (double)(now - ns);
}
#else
static inline double
bench_ghz(void)
{
	return 0;
}
#endif

#endif
