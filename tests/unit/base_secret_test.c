/* SPDX-License-Identifier: MIT */
#include "base/secret.h"

#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/child.h"
#include "base/log.h"
#include "unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

static const size_t sizes[] = { 0, 1, 63, 64, 65, 100, 129, 1000, 2049, 4096, 4097, SECRET_MAX };

#define SIZES	(sizeof(sizes) / sizeof(sizes[0]))

_Static_assert(sizeof(struct child_sa) <= SECRET_MAX, "a negotiated Child SA lives in a slot");

START_TEST(slots_are_zeroed_aligned_and_apart)
{
	struct secrets *s = secrets_new();
	uint8_t *p[SIZES][20];

	ck_assert_ptr_nonnull(s);
	for (size_t i = 0; i < SIZES; i++) {
		for (size_t j = 0; j < 20; j++) {
			p[i][j] = secret_alloc(s, sizes[i]);
			ck_assert_ptr_nonnull(p[i][j]);
			ck_assert_uint_eq((uintptr_t)p[i][j] % 64, 0);
			for (size_t k = 0; k < sizes[i]; k++)
				ck_assert_uint_eq(p[i][j][k], 0);
			memset(p[i][j], (int)(i * 20 + j), sizes[i]);
		}
	}
	ck_assert_uint_eq(secrets_used(s), SIZES * 20);
	for (size_t i = 0; i < SIZES; i++) {
		for (size_t j = 0; j < 20; j++) {
			for (size_t k = 0; k < sizes[i]; k++)
				ck_assert_uint_eq(p[i][j][k], (uint8_t)(i * 20 + j));
			secret_free(s, p[i][j]);
		}
	}
	ck_assert_uint_eq(secrets_used(s), 0);
	secret_free(s, NULL);
	secrets_free(s);
	secrets_free(NULL);
}
END_TEST

/* What comes back from a slot that was used is zero: it was wiped when it was freed. */
START_TEST(a_freed_secret_is_wiped)
{
	struct secrets *s = secrets_new();

	for (size_t i = 1; i < SIZES; i++) {
		uint8_t *p = secret_alloc(s, sizes[i]), *q;

		memset(p, 0xa5, sizes[i]);
		secret_free(s, p);
		q = secret_alloc(s, sizes[i]);
		ck_assert_ptr_eq(p, q);		/* else this test sees nothing */
		for (size_t k = 0; k < sizes[i]; k++)
			ck_assert_uint_eq(q[k], 0);
		secret_free(s, q);
	}
	secrets_free(s);
}
END_TEST

START_TEST(what_is_too_large_is_refused)
{
	struct secrets *s = secrets_new();

	ck_assert_ptr_null(secret_alloc(s, SECRET_MAX + 1));
	ck_assert_ptr_null(secret_alloc(s, SIZE_MAX));
	ck_assert_uint_eq(secrets_used(s), 0);
	secrets_free(s);
}
END_TEST

/* Does the mapping that holds `p` have this flag of proc(5) smaps? */
static bool
map_has_flag(const void *p, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	uintptr_t from, to;
	bool inside = false, has = false;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			inside = from <= (uintptr_t)p && (uintptr_t)p < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			has = strstr(line, flag) != NULL;
	}
	fclose(f);
	return has;
}

START_TEST(secrets_stay_out_of_dumps_and_swap)
{
	struct secrets *s = secrets_new();
	void *p = secret_alloc(s, 32);

	ck_assert(map_has_flag(p, " dd "));
#ifndef SANITIZED	/* they make mlock() do nothing */
	if (secrets_locked(s))
		ck_assert(map_has_flag(p, " lo "));
#endif
	secret_free(s, p);
	secrets_free(s);
}
END_TEST

static void
count_line(void *arg, enum log_level level, const char *line)
{
	ck_assert_int_eq(level, LOG_LEVEL_WARN);
	ck_assert_int_eq(strncmp(line, "secret-not-locked ", 18), 0);
	++*(int *)arg;
}

/* Without leave to lock memory it works on, and says so once. */
START_TEST(no_lock_is_said_once)
{
	struct rlimit none = { 0, 0 };
	struct secrets *s = secrets_new();
	int lines = 0;

	log_to(count_line, &lines);
	ck_assert(secrets_locked(s));
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
#ifndef SANITIZED
	if (geteuid() == 0)		/* the limit does not bind root */
		ck_assert_int_eq(seteuid(65534), 0);
	for (size_t i = 0; i < SIZES; i++)
		ck_assert_ptr_nonnull(secret_alloc(s, sizes[i]));
	ck_assert(!secrets_locked(s));
	ck_assert_int_eq(lines, 1);
#endif
	secrets_free(s);
}
END_TEST

#ifndef SANITIZED	/* they end the process in their own way */
/* The byte before the first slot of a region, and the byte behind the last, are guarded. */
START_TEST(an_overrun_meets_a_guard)
{
	struct secrets *s = secrets_new();
	uint8_t *p = secret_alloc(s, SECRET_MAX), *last = p;

	for (int i = 1; i < 8; i++)
		last = secret_alloc(s, SECRET_MAX);
	ck_assert_ptr_eq(last, p + 7 * SECRET_MAX);
	if (_i == 0)
		*(volatile uint8_t *)(p - 1) = 1;
	else
		*(volatile uint8_t *)(last + SECRET_MAX) = 1;
}
END_TEST

START_TEST(a_second_free_is_our_bug)
{
	struct secrets *s = secrets_new();
	void *p = secret_alloc(s, 10);

	secret_free(s, p);
	secret_free(s, p);
}
END_TEST
#endif

START_TEST(comparison_and_wiping)
{
	uint8_t a[40], b[40];

	memset(a, 1, sizeof(a));
	memset(b, 1, sizeof(b));
	ck_assert(secret_equal(a, b, sizeof(a)));
	for (size_t i = 0; i < sizeof(a) * 8; i++) {
		b[i / 8] ^= (uint8_t)(1 << i % 8);
		ck_assert(!secret_equal(a, b, sizeof(a)));
		b[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	ck_assert(secret_equal(a, b, 0));
	b[39] = 9;
	ck_assert(secret_equal(a, b, 39));
	secret_wipe(a, 39);
	for (size_t i = 0; i < 39; i++)
		ck_assert_uint_eq(a[i], 0);
	ck_assert_uint_eq(a[39], 1);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, slots_are_zeroed_aligned_and_apart);
	tcase_add_test(t, a_freed_secret_is_wiped);
	tcase_add_test(t, what_is_too_large_is_refused);
	tcase_add_test(t, secrets_stay_out_of_dumps_and_swap);
	tcase_add_test(t, no_lock_is_said_once);
#ifndef SANITIZED
	tcase_add_loop_test_raise_signal(t, an_overrun_meets_a_guard, SIGSEGV, 0, 2);
	tcase_add_test_raise_signal(t, a_second_free_is_our_bug, SIGABRT);
#endif
	tcase_add_test(t, comparison_and_wiping);
}

UNIT_MAIN("base/secret", fill)
