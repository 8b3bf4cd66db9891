/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * The one global outside main: every part of the program speaks, and none should have to
 * carry a logger about to do so.  The level is read without a lock; a sink is called by
 * one thread at a time and must not log.
 */
static struct {
	pthread_mutex_t lock;
	log_sink *sink;
	void *arg;
	bool stamp;
	_Atomic int max;
} the_log = { .lock = PTHREAD_MUTEX_INITIALIZER, .max = LOG_LEVEL_INFO };

static const char *const level_words[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

#define LEVELS	(sizeof(level_words) / sizeof(level_words[0]))

const char *
log_level_name(enum log_level level)
{
	return (unsigned)level < LEVELS ? level_words[level] : "?";
}

void
log_to(log_sink *sink, void *arg)
{
	pthread_mutex_lock(&the_log.lock);
	the_log.sink = sink;
	the_log.arg = arg;
	pthread_mutex_unlock(&the_log.lock);
}

void
log_stamp(bool on)
{
	pthread_mutex_lock(&the_log.lock);
	the_log.stamp = on;
	pthread_mutex_unlock(&the_log.lock);
}

void
log_level_set(enum log_level max)
{
	atomic_store_explicit(&the_log.max, (int)max, memory_order_relaxed);
}

bool
log_is_on(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&the_log.max, memory_order_relaxed);
}

bool
log_level_parse(const char *word, enum log_level *level)
{
	for (size_t i = 0; i < LEVELS; i++) {
		if (strcmp(word, level_words[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* "2026-01-31T23:59:59.123Z " */
static void
stamp_write(char *buf, size_t cap)
{
	struct timespec now;
	struct tm tm;
	char seconds[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, cap, "%s.%03dZ ", seconds, (int)(now.tv_nsec / 1000000));
}

/* One write a line, so that lines of two processes on one terminal stay whole. */
static void
stderr_line(enum log_level level, const char *line)
{
	char stamp[48] = "", out[LOG_LINE_MAX + 64];
	int n;

	if (the_log.stamp)
		stamp_write(stamp, sizeof(stamp));
	n = snprintf(out, sizeof(out), "%s%s %s\n", stamp, level_words[level], line);
	if (n > 0 && (size_t)n < sizeof(out))
		(void)fwrite(out, 1, (size_t)n, stderr);
}

void
log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	size_t used;
	va_list ap;
	int n;

	if (!log_is_on(level))
		return;
	n = snprintf(line, sizeof(line), "%s ", event);
	used = n < 0 ? 0 : (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
	va_start(ap, fmt);
	n = vsnprintf(line + used, sizeof(line) - used, fmt, ap);
	va_end(ap);
	if (n < 0)
		line[used] = '\0';
	else if ((size_t)n >= sizeof(line) - used)
		memcpy(line + sizeof(line) - 4, "...", 4);	/* cut: say so */
	n = (int)strlen(line);
	if (n > 0 && line[n - 1] == ' ')
		line[n - 1] = '\0';		/* an event without values */
	for (char *c = line; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';		/* whatever slipped through: one event, one line */
	}
	pthread_mutex_lock(&the_log.lock);
	if (the_log.sink != NULL)
		the_log.sink(the_log.arg, level, line);
	else
		stderr_line(level, line);
	pthread_mutex_unlock(&the_log.lock);
}

/* One byte as it stands in a quoted string: itself, or an escape.  Returns its length. */
static size_t
escape(uint8_t byte, char out[5])
{
	if (byte == '"' || byte == '\\')
		return (size_t)snprintf(out, 5, "\\%c", byte);
	if (byte < ' ' || byte > '~')
		return (size_t)snprintf(out, 5, "\\x%02x", byte);
	out[0] = (char)byte;
	return 1;
}

const char *
log_quote(const void *text, size_t len, char *buf, size_t cap)
{
	static const char cut[] = "...\"";
	const uint8_t *in = text;
	char piece[5];
	size_t n = 0, safe = 1, used = 0;

	if (cap < 1 + sizeof(cut)) {
		if (cap > 0)
			buf[0] = '\0';
		return cap > 0 ? buf : "";
	}
	buf[used++] = '"';
	for (size_t i = 0; i < len; i++, used += n) {
		n = escape(in[i], piece);
		if (used + n + 2 > cap) {
			memcpy(buf + safe, cut, sizeof(cut));
			return buf;
		}
		memcpy(buf + used, piece, n);
		if (used + n + sizeof(cut) <= cap)
			safe = used + n;	/* the last place where "..." would still fit */
	}
	memcpy(buf + used, "\"", 2);
	return buf;
}
