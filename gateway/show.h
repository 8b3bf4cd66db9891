/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_SHOW_H
#define TANDEM_GATEWAY_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * The JSON of the control socket as text for people; `colour` only on a terminal.  Whatever is
 * missing or of another type is shown as "-" or left out; control characters as "?".
 */
void	show_status(const json_t *status, FILE *to, bool colour);
void	show_event(const json_t *event, FILE *to, bool colour);	/* nothing for one without time */

#endif
