/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ike/sa.h"

/*
 * Log lines of the IKE machine: always who first, then what.  They take values and accept
 * what is absent (R19).
 */
#define STRANGER_LINES	20		/* in STRANGER_TIME */
#define STRANGER_TIME	USEC_S(10)

void
story(const struct ike_sa *sa, int level, const char *event, const char *fmt, ...)
{
	bool known = sa->name[0] != '\0';	/* a responder learns it from IKE_AUTH */
	char text[LOG_LINE_MAX], peer[ENDPOINT_STRLEN];
	va_list ap;

	if (!log_is_on((enum log_level)level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event((enum log_level)level, event, "%s%s%speer=%s ike=%016llx_%c%s%s",
	    known ? "tunnel=" : "", sa->name, known ? " " : "", endpoint_str(&sa->remote, peer),
	    (unsigned long long)sa->spi, sa->initiator ? 'i' : 'r', text[0] != '\0' ? " " : "",
	    text);
}

void
story_tunnel(const struct tunnel *t, int level, const char *event, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	va_list ap;

	if (!log_is_on((enum log_level)level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event((enum log_level)level, event, "tunnel=%s %s", t->conf.name, text);
}

void
story_stranger(struct ike *ike, const char *event, const char *fmt, ...)
{
	char text[LOG_LINE_MAX], peer[ENDPOINT_STRLEN];
	va_list ap;

	if (!log_is_on(LOG_LEVEL_INFO))
		return;
	if (ike->now >= usec_add(ike->stranger_at, STRANGER_TIME)) {
		ike->stranger_at = ike->now;
		ike->stranger_n = 0;
	}
	if (ike->stranger_n++ >= STRANGER_LINES)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event(LOG_LEVEL_INFO, event, "peer=%s %s", endpoint_str(&ike->remote, peer), text);
}
