/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_UNIT_JSON_TEXT_H
#define TANDEM_UNIT_JSON_TEXT_H

#include <jansson.h>

#include "unit.h"

/* The value of a text; the caller's. */
static inline json_t *
parse(const char *text)
{
	json_error_t err;
	json_t *o = json_loads(text, JSON_DECODE_ANY, &err);

	ck_assert_msg(o != NULL, "%s at %d", err.text, err.position);
	return o;
}

#endif
