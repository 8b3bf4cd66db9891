/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <stdlib.h>

#include "base/log.h"
#include "tests/unit/unit.h"

/*
 * R12: an allocation of the engines fails, each in turn, in opening, both rekeys and closing.
 * Nothing crashes or leaks (world_fini() looks for secrets, LeakSanitizer for the rest), and
 * afterwards the tunnel comes up.  The Makefile links this test with --wrap for the three.
 */
void	*__real_malloc(size_t n);
void	*__real_calloc(size_t n, size_t size);
void	*__real_realloc(void *p, size_t n);
void	*__wrap_malloc(size_t n);
void	*__wrap_calloc(size_t n, size_t size);
void	*__wrap_realloc(void *p, size_t n);

static unsigned long countdown;			/* 0: none fails any more */
static unsigned long asked;

static bool
fails(void)
{
	if (!world_in_engine)
		return false;
	asked++;
	return countdown > 0 && --countdown == 0;
}

void *
__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

/* A short life; the k-th allocation of it fails (0: none).  Returns how many there were. */
static unsigned long
live(unsigned long k)
{
	struct world w;

	world_init(&w, 1, 2);
	w.work_max = USEC_MS(3);
	asked = 0;
	countdown = k;
	world_pair(&w, 1, 1);
	world_run(&w, USEC_S(2));
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1 });
	world_run(&w, USEC_S(2));
	world_fact(&w, 1, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1, .ike_sa = true });
	world_run(&w, USEC_S(2));
	world_tell(&w, 0, IKE_CLOSE, 1);
	world_run(&w, USEC_S(2));
	countdown = 0;
	world_pair(&w, 1, 1);		/* a tunnel that could not be set is set now */
	world_tell(&w, 0, IKE_OPEN, 1);
	ck_assert_msg(world_run_until_agreed(&w, 1, USEC_S(120)), "allocation %lu", k);
	world_fini(&w);
	return asked;
}

/* "no memory" a hundred times is no news here. */
static void
silence(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

START_TEST(every_allocation_may_fail)
{
	unsigned long n;

	log_to(silence, NULL);
	n = live(0);
	ck_assert_uint_gt(n, 50);
	for (unsigned long k = 1; k <= n; k++)
		(void)live(k);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, every_allocation_may_fail);
}

UNIT_MAIN("sim/memory", fill)
