/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071).  The sum of 16-bit words is the same in either byte order
 * but for the order of its own bytes (2 B there), so words are added as the host reads them and
 * many at a time: a lane of 32 bits adds up 16-bit halves without a carry getting lost.
 *
 * Every payload goes through here once out and once in, which is why it is worth a version for
 * each width of vectors; the widest needs no rest, because its loads can be masked.
 */
#include <netinet/in.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "esp/inner.h"

typedef uint32_t lanes4 __attribute__((vector_size(16)));
typedef uint32_t lanes8 __attribute__((vector_size(32)));

enum {
	SUM_BLOCK	= 32768 * sizeof(lanes8),	/* bytes after which a lane could overflow */
	SUM_WIDE	= 64,			/* shorter than this is not worth vectors */
	SUM_WIDE_BLOCK	= 65536,		/* bytes after which the lanes' sum could */
};

/* `len` bytes, a multiple of 32. */
static uint64_t
sum_block4(const uint8_t *p, size_t len)
{
	lanes4 low = { 0 }, high = { 0 }, v;
	uint64_t acc = 0;

	for (; len > 0; len -= sizeof(v), p += sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		low += v & 0xffff;
		high += v >> 16;
	}
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		acc += (uint64_t)low[i] + high[i];
	return acc;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint64_t
sum_block8(const uint8_t *p, size_t len)
{
	lanes8 low = { 0 }, high = { 0 }, v;
	uint64_t acc = 0;

	for (; len > 0; len -= sizeof(v), p += sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		low += v & 0xffff;
		high += v >> 16;
	}
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		acc += (uint64_t)low[i] + high[i];
	return acc;
}

static uint64_t
sum_block(const uint8_t *p, size_t len)
{
	return __builtin_cpu_supports("avx2") ? sum_block8(p, len) : sum_block4(p, len);
}

/* Any number of bytes up to SUM_WIDE_BLOCK. */
__attribute__((target("avx512bw"))) static uint64_t
sum_wide(const uint8_t *p, size_t len)
{
	const __m512i mask = _mm512_set1_epi32(0xffff);
	__m512i low = _mm512_setzero_si512(), high = low, v;

	for (; len >= sizeof(v); len -= sizeof(v), p += sizeof(v)) {
		v = _mm512_loadu_si512(p);
		low = _mm512_add_epi32(low, _mm512_and_si512(v, mask));
		high = _mm512_add_epi32(high, _mm512_srli_epi32(v, 16));
	}
	v = _mm512_maskz_loadu_epi8((UINT64_C(1) << len) - 1, p);
	low = _mm512_add_epi32(low, _mm512_and_si512(v, mask));
	high = _mm512_add_epi32(high, _mm512_srli_epi32(v, 16));
	return (uint32_t)_mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
}

static bool
has_wide(void)
{
	return __builtin_cpu_supports("avx512bw");
}
#else
static uint64_t
sum_block(const uint8_t *p, size_t len)
{
	return sum_block4(p, len);
}

static uint64_t
sum_wide(const uint8_t *p, size_t len)
{
	return sum_block4(p, len);
}

static bool
has_wide(void)
{
	return false;
}
#endif

static uint64_t
sum_rest(const uint8_t *p, size_t len)
{
	uint64_t acc = 0;
	uint32_t four;
	uint16_t two;

	for (; len >= sizeof(four); len -= sizeof(four), p += sizeof(four)) {
		memcpy(&four, p, sizeof(four));
		acc += four;
	}
	if (len >= sizeof(two)) {
		memcpy(&two, p, sizeof(two));
		acc += two;
		len -= sizeof(two);
		p += sizeof(two);
	}
	if (len > 0) {				/* one byte: the other of its word is 0 */
		two = 0;
		memcpy(&two, p, 1);
		acc += two;
	}
	return acc;
}

static uint64_t
fold(uint64_t acc)
{
	acc = (acc & 0xffffffff) + (acc >> 32);
	acc = (acc & 0xffff) + (acc >> 16);	/* 18 bits */
	acc = (acc & 0xffff) + (acc >> 16);
	return (acc & 0xffff) + (acc >> 16);
}

uint32_t
inner_sum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;
	uint64_t acc = 0;
	size_t n;

	for (; len >= SUM_WIDE && has_wide(); len -= n, p += n) {
		n = len < SUM_WIDE_BLOCK ? len : SUM_WIDE_BLOCK;
		acc += sum_wide(p, n);
	}
	for (; len >= sizeof(lanes8); len -= n, p += n) {
		n = (len < SUM_BLOCK ? len : SUM_BLOCK) / sizeof(lanes8) * sizeof(lanes8);
		acc += sum_block(p, n);
	}
	acc += sum_rest(p, len);
	return (uint32_t)fold(ntohs((uint16_t)fold(acc)) + (uint64_t)sum);
}

uint16_t
inner_sum_end(uint32_t sum)
{
	return (uint16_t)~fold(sum);
}

uint32_t
inner_sum_pseudo(const struct ip *src, const struct ip *dst, uint8_t proto, size_t len)
{
	uint32_t sum = inner_sum(src->b, ip_len(src->family), 0);

	return inner_sum(dst->b, ip_len(dst->family), sum) + proto + (uint32_t)len;
}

uint16_t
inner_sum_replace(uint16_t csum, uint16_t was, uint16_t is)
{
	return inner_sum_end((uint32_t)(uint16_t)~csum + (uint16_t)~was + is);
}
