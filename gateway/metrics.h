/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_METRICS_H
#define TANDEM_GATEWAY_METRICS_H

#include <jansson.h>
#include <stdio.h>

/*
 * The counters and gauges of a gateway, made from its status: whoever asks for metrics costs the
 * daemon one status and no more.  A status that lacks something, or has it of another type, gives
 * metrics without it; nothing that is not known is shown as 0.
 *
 * Returns
 *	{"ok": true, "schema": 1, "metrics": [{"name", "type", "help", "samples": [...]}, ...]}
 * where a sample is {"labels": {...}, "value": N}, and one of a histogram is {"labels": {...},
 * "buckets": [{"le": N or null for infinity, "count": N}, ...], "sum": N, "count": N} with
 * cumulative counts.  NULL: no memory.
 */
json_t	*metrics_of_status(const json_t *status);
/* The same in the text exposition format of Prometheus, version 0.0.4. */
void	metrics_print(const json_t *metrics, FILE *to);

#endif
