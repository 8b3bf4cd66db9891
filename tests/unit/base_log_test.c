/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

/* The last line, and how many there were. */
struct catch {
	unsigned n;
	enum log_level level;
	char line[LOG_LINE_MAX * 2];
};

static void
catch_line(void *arg, enum log_level level, const char *line)
{
	struct catch *c = arg;

	c->n++;
	c->level = level;
	snprintf(c->line, sizeof(c->line), "%s", line);
}

START_TEST(an_event_is_one_line)
{
	struct catch c = { 0 };

	log_to(catch_line, &c);
	log_event(LOG_LEVEL_NOTICE, "tunnel-up", "tunnel=%s spi=%08x", "a/1", 0xabcu);
	ck_assert_str_eq(c.line, "tunnel-up tunnel=a/1 spi=00000abc");
	ck_assert_int_eq(c.level, LOG_LEVEL_NOTICE);
	log_event(LOG_LEVEL_NOTICE, "ready", "%s", "");
	ck_assert_str_eq(c.line, "ready");
	log_event(LOG_LEVEL_NOTICE, "x", "v=%s", "two\nlines\r\t\033[1m\x7f");
	ck_assert_str_eq(c.line, "x v=two?lines???[1m?");
	ck_assert_uint_eq(c.n, 3);
}
END_TEST

START_TEST(levels_filter)
{
	struct catch c = { 0 };
	enum log_level level = LOG_LEVEL_ERROR;

	log_to(catch_line, &c);
	log_event(LOG_LEVEL_DEBUG, "x", "a=1");		/* not by default */
	ck_assert_uint_eq(c.n, 0);
	log_level_set(LOG_LEVEL_DEBUG);
	ck_assert(log_is_on(LOG_LEVEL_DEBUG));
	log_event(LOG_LEVEL_DEBUG, "x", "a=1");
	ck_assert_uint_eq(c.n, 1);
	log_level_set(LOG_LEVEL_WARN);
	ck_assert(log_is_on(LOG_LEVEL_WARN));
	ck_assert(!log_is_on(LOG_LEVEL_NOTICE));
	log_event(LOG_LEVEL_NOTICE, "x", "a=1");
	ck_assert_uint_eq(c.n, 1);
	ck_assert(log_level_parse("debug", &level));
	ck_assert_int_eq(level, LOG_LEVEL_DEBUG);
	ck_assert(log_level_parse("warn", &level));
	ck_assert_int_eq(level, LOG_LEVEL_WARN);
	ck_assert(!log_level_parse("", &level));
	ck_assert(!log_level_parse("warning", &level));
	ck_assert(!log_level_parse("Debug", &level));
}
END_TEST

START_TEST(a_long_line_is_cut_and_says_so)
{
	struct catch c = { 0 };
	char value[3 * LOG_LINE_MAX];

	memset(value, 'v', sizeof(value));
	log_to(catch_line, &c);
	/* exactly as long as fits, then one more */
	log_event(LOG_LEVEL_NOTICE, "x", "%.*s", LOG_LINE_MAX - 3, value);
	ck_assert_uint_eq(strlen(c.line), LOG_LINE_MAX - 1);
	ck_assert_int_eq(c.line[LOG_LINE_MAX - 2], 'v');
	log_event(LOG_LEVEL_NOTICE, "x", "%.*s", LOG_LINE_MAX - 2, value);
	ck_assert_uint_eq(strlen(c.line), LOG_LINE_MAX - 1);
	ck_assert_str_eq(c.line + LOG_LINE_MAX - 5, "v...");
	log_event(LOG_LEVEL_NOTICE, "x", "%.*s", (int)sizeof(value), value);
	ck_assert_uint_eq(strlen(c.line), LOG_LINE_MAX - 1);
}
END_TEST

START_TEST(quoted_text_cannot_forge)
{
	char buf[64], tight[12];

	ck_assert_str_eq(log_quote("plain text", 10, buf, sizeof(buf)), "\"plain text\"");
	ck_assert_str_eq(log_quote("a\" b=\\\n\0\xff", 9, buf, sizeof(buf)),
	    "\"a\\\" b=\\\\\\x0a\\x00\\xff\"");
	ck_assert_str_eq(log_quote("", 0, buf, sizeof(buf)), "\"\"");
	ck_assert_str_eq(log_quote(NULL, 0, buf, sizeof(buf)), "\"\"");
	ck_assert_str_eq(log_quote("123456789", 9, tight, sizeof(tight)), "\"123456789\"");
	ck_assert_str_eq(log_quote("1234567890", 10, tight, sizeof(tight)), "\"123456...\"");
	ck_assert_str_eq(log_quote("12345\n\n\n", 8, tight, sizeof(tight)), "\"12345...\"");
}
END_TEST

/* For every room: ends, is quoted whole, has no byte that is not printable, stays inside. */
START_TEST(quoting_stays_in_its_buffer)
{
	uint8_t all[256];
	char buf[600];

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i * 151);
	for (size_t cap = 1; cap < sizeof(buf); cap += 1 + cap / 16) {
		for (size_t len = 0; len <= sizeof(all); len += 1 + len / 8) {
			const char *q;
			size_t n;

			memset(buf, 0x01, sizeof(buf));
			q = log_quote(all, len, buf, cap);
			n = strlen(q);
			ck_assert_uint_lt(n, cap);
			ck_assert_int_eq(buf[cap], 0x01);
			ck_assert(n == 0 || (n >= 2 && q[0] == '"' && q[n - 1] == '"'));
			ck_assert(n == 0 || cap < 6 || n >= 2);
			for (size_t i = 0; i < n; i++)
				ck_assert(q[i] >= ' ' && q[i] <= '~');
		}
	}
	ck_assert_str_eq(log_quote("x", 1, NULL, 0), "");
}
END_TEST

/* Run `log_event` with the default sink and read back what it wrote. */
static void
stderr_of(bool stamp, char *buf, size_t cap)
{
	int fd[2], keep = dup(2);
	ssize_t n;

	ck_assert_int_eq(pipe(fd), 0);
	dup2(fd[1], 2);
	log_to(NULL, NULL);
	log_stamp(stamp);
	log_event(LOG_LEVEL_WARN, "x", "a=%d", 1);
	dup2(keep, 2);
	n = read(fd[0], buf, cap - 1);
	ck_assert_int_gt(n, 0);
	buf[n] = '\0';
	close(fd[0]);
	close(fd[1]);
	close(keep);
}

START_TEST(standard_error_gets_level_and_time)
{
	char buf[200];
	regex_t re;

	stderr_of(false, buf, sizeof(buf));
	ck_assert_str_eq(buf, "warn x a=1\n");
	stderr_of(true, buf, sizeof(buf));
	ck_assert_int_eq(regcomp(&re, "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:"
	    "[0-6][0-9][.][0-9]{3}Z warn x a=1\n$", REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&re, buf, 0, NULL, 0) == 0, "%s", buf);
	regfree(&re);
}
END_TEST

#define LINES	2000

static void *
talk(void *arg)
{
	for (int i = 0; i < LINES; i++) {
		log_event(LOG_LEVEL_INFO, "talk", "who=%s n=%d", (const char *)arg, i);
		log_level_set(i % 2 == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	}
	return NULL;
}

/* The sink counts without a lock of its own: it is called by one thread at a time. */
START_TEST(threads_take_turns)
{
	struct catch c = { 0 };
	pthread_t a, b;

	log_to(catch_line, &c);
	ck_assert_int_eq(pthread_create(&a, NULL, talk, "a"), 0);
	ck_assert_int_eq(pthread_create(&b, NULL, talk, "b"), 0);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	ck_assert_uint_eq(c.n, 2 * LINES);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, an_event_is_one_line);
	tcase_add_test(t, levels_filter);
	tcase_add_test(t, a_long_line_is_cut_and_says_so);
	tcase_add_test(t, quoted_text_cannot_forge);
	tcase_add_test(t, quoting_stays_in_its_buffer);
	tcase_add_test(t, standard_error_gets_level_and_time);
	tcase_add_test(t, threads_take_turns);
}

UNIT_MAIN("base/log", fill)
