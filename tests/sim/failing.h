/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_SIM_FAILING_H
#define TANDEM_SIM_FAILING_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Allocations that fail, each in turn, for the programs that the Makefile links with --wrap.
 * A program says by failing_now() which ones count: those of the product, by this thread.
 *
 *	failing_each(fn): fn() again and again, the k-th of its allocations failing
 */
static bool	failing_now(void);

static unsigned long failing_countdown;		/* 0: none fails any more */
static unsigned long failing_asked;

static inline bool
failing(void)
{
	if (!failing_now())
		return false;
	failing_asked++;
	return failing_countdown > 0 && --failing_countdown == 0;
}

void	*__real_malloc(size_t n);
void	*__real_calloc(size_t n, size_t size);
void	*__real_realloc(void *p, size_t n);
char	*__real_strdup(const char *s);
void	*__wrap_malloc(size_t n);
void	*__wrap_calloc(size_t n, size_t size);
void	*__wrap_realloc(void *p, size_t n);
char	*__wrap_strdup(const char *s);
int	__wrap_asprintf(char **to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int	__wrap___asprintf_chk(char **to, int flag, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));

void *
__wrap_malloc(size_t n)
{
	return failing() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return failing() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
	return failing() ? NULL : __real_realloc(p, n);
}

char *
__wrap_strdup(const char *s)
{
	return failing() ? NULL : __real_strdup(s);
}

int
__wrap_asprintf(char **to, const char *fmt, ...)
{
	va_list ap;
	int n = -1;

	*to = NULL;
	va_start(ap, fmt);
	if (!failing())
		n = vasprintf(to, fmt, ap);
	va_end(ap);
	return n;
}

/* What a fortified build makes of it. */
int
__wrap___asprintf_chk(char **to, int flag, const char *fmt, ...)
{
	va_list ap;
	int n = -1;

	(void)flag;
	*to = NULL;
	va_start(ap, fmt);
	if (!failing())
		n = vasprintf(to, fmt, ap);
	va_end(ap);
	return n;
}

/* How often it failed. */
static inline unsigned long
failing_each(void (*fn)(void))
{
	failing_countdown = 0;
	fn();
	for (unsigned long k = 1;; k++) {
		failing_countdown = k;
		fn();
		if (failing_countdown > 0) {
			failing_countdown = 0;
			return k - 1;
		}
	}
}

#endif
