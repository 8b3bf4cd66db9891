/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TEST_ESP_MODEL_H
#define TANDEM_TEST_ESP_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * A reference model of the receiver of RFC 4303 appendix A, written from the text of A2 and
 * apart from the product: its two cases, with Th, Tl, Bl as named there, in 32-bit arithmetic,
 * and a plain set of all numbers ever accepted in place of a bitmap.  Slow on purpose.
 *
 * Numbers that never came are counted from the same set: those below a place that are not in it.
 *
 * Where the RFC is silent: case B with Th = 0 would give a high half of -1; nothing lies
 * below number 0, so the high half stays 0.
 */
#define MODEL_SET	(1u << 19)

struct model {
	uint32_t Th, Tl, W;
	bool esn;
	uint64_t *seen;				/* open addressing, 0 is free */
};

static inline void
model_init(struct model *m, uint32_t window, bool esn)
{
	*m = (struct model){ .W = window, .esn = esn };
	m->seen = calloc(MODEL_SET, sizeof(*m->seen));
	if (m->seen == NULL)
		abort();
}

static inline void
model_fini(struct model *m)
{
	free(m->seen);
}

static inline uint64_t *
model_place(const struct model *m, uint64_t n)
{
	uint64_t i = (n ^ n >> 29) * 0xff51afd7ed558ccdu >> 40;

	while (m->seen[i % MODEL_SET] != 0 && m->seen[i % MODEL_SET] != n)
		i++;
	return &m->seen[i % MODEL_SET];
}

/* A2.2 */
static inline uint64_t
model_number(const struct model *m, uint32_t Seql)
{
	uint32_t Bl = m->Tl - m->W + 1, Seqh;

	if (!m->esn)
		return Seql;
	if (m->Tl >= m->W - 1) {		/* case A: the window lies in one subspace */
		if (Seql >= Bl)
			Seqh = m->Th;
		else
			Seqh = m->Th + 1;
	} else {				/* case B: it lies in two */
		if (Seql >= Bl)
			Seqh = m->Th == 0 ? 0 : m->Th - 1;
		else
			Seqh = m->Th;
	}
	return (uint64_t)Seqh << 32 | Seql;
}

static inline bool
model_is_new(const struct model *m, uint64_t n)
{
	uint64_t T = (uint64_t)m->Th << 32 | m->Tl;

	if (n == 0)
		return false;
	if (n > T)
		return true;
	if (n + m->W <= T)
		return false;
	return *model_place(m, n) == 0;
}

/* How many of the numbers from..to-1 were never accepted. */
static inline uint64_t
model_missing(const struct model *m, uint64_t from, uint64_t to)
{
	uint64_t n = 0;

	for (uint64_t i = from; i < to; i++)
		n += *model_place(m, i) == 0;
	return n;
}

static inline void
model_accept(struct model *m, uint64_t n)
{
	uint64_t T = (uint64_t)m->Th << 32 | m->Tl;

	*model_place(m, n) = n;
	if (n > T) {
		m->Th = (uint32_t)(n >> 32);
		m->Tl = (uint32_t)n;
	}
}

#endif
