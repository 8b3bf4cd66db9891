/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_STATUS_H
#define TANDEM_GATEWAY_STATUS_H

#include <jansson.h>

/*
 * The state of the gateway as JSON: what `tandem status --json` prints and the text of
 * `tandem status` is made from.  Times are seconds (`_s`) or milliseconds (`_ms`); a value
 * that is not known is null.
 */
struct gw;

enum gw_health { GW_UP, GW_DEGRADED, GW_DOWN };		/* exit codes 0, 3, 4 */

/* "up", "degraded", "down"; NULL: no such state. */
const char	*status_health_name(enum gw_health h);
/* `only`: the name of one connection, or NULL for all. */
json_t		*status_json(struct gw *g, const char *only);

#endif
