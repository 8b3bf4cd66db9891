/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_UNIT_H
#define TANDEM_UNIT_H

#include <check.h>
#include <stdlib.h>

/*
 * Every unit test file is a program: it defines one function that fills a test
 * case, and ends with UNIT_MAIN(name, function).  The timeout of a single test is
 * set here and nowhere else; sanitizer builds are several times slower.
 */
#define UNIT_TIMEOUT_S	240

/* Under a sanitizer too, memory that cannot be had is NULL and not the end of the test. */
#define UNIT_OPTIONS	"allocator_may_return_null=1"
const char	*__asan_default_options(void);
const char	*__tsan_default_options(void);

const char *
__asan_default_options(void)
{
	return UNIT_OPTIONS;
}

const char *
__tsan_default_options(void)
{
	return UNIT_OPTIONS;
}

/* The next of 65,536 numbers of which few mean anything: all of them, but with a sanitizer, to
 * whom one is like the other, only all small ones. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNIT_NEXT(i)	((i) + ((i) < 1024 ? 1 : 61))
#define UNIT_SEEDS(n)	((n) / 5)	/* likewise of rounds that are all alike */
#else
#define UNIT_NEXT(i)	((i) + 1)
#define UNIT_SEEDS(n)	(n)
#endif

#define UNIT_MAIN(name, fill)						\
int									\
main(void)								\
{									\
	Suite *suite = suite_create(name);				\
	TCase *tcase = tcase_create(name);				\
	SRunner *runner = srunner_create(suite);			\
	int failed;							\
									\
	tcase_set_timeout(tcase, UNIT_TIMEOUT_S);			\
	fill(tcase);							\
	suite_add_tcase(suite, tcase);					\
	srunner_run_all(runner, CK_NORMAL);				\
	failed = srunner_ntests_failed(runner);				\
	srunner_free(runner);						\
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;		\
}

#endif
