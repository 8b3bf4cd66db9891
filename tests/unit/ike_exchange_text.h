/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TEST_IKE_EXCHANGE_TEXT_H
#define TANDEM_TEST_IKE_EXCHANGE_TEXT_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ike/message.h"
#include "tests/unit/unit.h"

/* A message as a line of text, read without the parser that is under test; and the log. */
#define RIG_TEXT	512

__attribute__((format(printf, 2, 3))) static inline void
rig_say(char *text, const char *fmt, ...)
{
	size_t n = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text + n, RIG_TEXT - n, fmt, ap);
	va_end(ap);
	ck_assert_uint_lt(strlen(text), RIG_TEXT - 1);
}

static inline void
rig_say_body(char *text, uint8_t type, struct rd body)
{
	struct pld_notify n;
	struct pld_delete d;

	if (type == PLD_N) {
		ck_assert(pld_notify_parse(body, &n));
		if (n.type >= N_PRIVATE_MIN)
			rig_say(text, "N(%u", n.type);
		else
			rig_say(text, "N(%s", notify_name(n.type));
		for (size_t i = 0; n.data.len <= 2 && i < n.data.len; i++)
			rig_say(text, "%s%02x", i == 0 ? ":" : "", n.data.p[i]);
		rig_say(text, ")");
	} else if (type == PLD_D) {
		ck_assert(pld_delete_parse(body, &d));
		rig_say(text, d.proto == PROTO_IKE ? "D(IKE)" : "D(ESP:%u)", d.n);
	} else {
		rig_say(text, "%s", pld_name(type));
	}
}

/* The chain as it lies there, read without the parser that is under test. */
static inline void
rig_say_chain(char *text, uint8_t type, struct rd r)
{
	for (bool first = true; type != PLD_NONE; first = false) {
		uint8_t next = rd_u8(&r), bits = rd_u8(&r);
		uint16_t len = rd_u16(&r);
		struct rd body = rd_sub(&r, len - 4u);

		ck_assert(rd_ok(&r) && len >= 4);
		ck_assert_uint_eq(bits & 0x7f, 0);	/* RESERVED */
		rig_say(text, first ? "" : " ");
		rig_say_body(text, type, body);
		rig_say(text, (bits & 0x80) != 0 ? "!" : "");
		type = next;
	}
	ck_assert(rd_done(&r));
}

/* ---- the log ---- */

static char rig_lines[1 << 15];

static inline void
rig_sink(void *arg, enum log_level level, const char *line)
{
	size_t n = strlen(rig_lines);

	(void)arg;
	(void)snprintf(rig_lines + n, sizeof(rig_lines) - n, "%s %s\n",
	    log_level_name(level), line);
}

/* After rig_init(): from now on lines are kept. */
static inline void
rig_listen(enum log_level level)
{
	rig_lines[0] = '\0';
	log_level_set(level);
	log_to(rig_sink, NULL);
}

static inline void
rig_told(const char *what)
{
	ck_assert_msg(strstr(rig_lines, what) != NULL, "no \"%s\" in the log:\n%s", what,
	    rig_lines);
}

#endif
