/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_LOG_H
#define TANDEM_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR,		/* something that was asked for cannot be had */
	LOG_LEVEL_WARN,			/* works, but a person should look */
	LOG_LEVEL_NOTICE,		/* tunnels up and down, failover, reload */
	LOG_LEVEL_INFO,			/* negotiations, rekeys */
	LOG_LEVEL_DEBUG,		/* each message */
};

/*
 * One event a line: `EVENT key=value key="value with spaces" ...`.  `event` is a
 * constant of lower-case words joined by dashes; `fmt` makes the key=value part.
 * Strings of a peer's making go through LOG_QUOTE so that they cannot forge a line.
 * Lines end at LOG_LINE_MAX bytes.  Never called by workers for a packet; never
 * given a secret.  Thread-safe.
 */
#define LOG_LINE_MAX	1024

void	log_event(enum log_level level, const char *event, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));

/* Copy `text` (of `len` bytes, any bytes) to buf as a quoted, escaped, printable string. */
const char *log_quote(const void *text, size_t len, char *buf, size_t cap);

/* Where lines go: by default standard error with a level word in front.  `sink` gets the
 * finished line without a newline.  NULL restores the default.  Call before threads start.
 * A sink is called by one thread at a time and must not log. */
typedef void log_sink(void *arg, enum log_level level, const char *line);
void	log_to(log_sink *sink, void *arg);
void	log_level_set(enum log_level max);
bool	log_level_parse(const char *word, enum log_level *level);
const char *log_level_name(enum log_level level);	/* "error", "warn", ... */
bool	log_is_on(enum log_level level);
/* Put the wall-clock time (RFC 3339, ms) in front of each line of the default sink. */
void	log_stamp(bool on);

#endif
