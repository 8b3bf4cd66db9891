/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_SEND_H
#define TANDEM_ESP_SEND_H

#include "esp/engine.h"

/*
 * The send buffer: packets that may leave wait as jobs, take their numbers together, and are
 * sealed one behind the other, so that equal-sized ones of a tunnel leave as one train.
 */

/* The buffer is empty, as each call of the engine begins. */
void	send_reset(struct esp *e);
/* A job of one plain packet. */
struct esp_job send_single(const struct pkt *p, struct esp_tunnel *t);
/* How many of the job's packets find room in the buffer and in `wire`, whatever their sizes. */
unsigned send_room(const struct esp *e, const struct batch *wire, const struct esp_job *job);
/* Take job->n of its packets; there is room for them.  The job as it stands when they are sealed
 * is what send_flush() returns, if it was the last. */
void	send_add(struct esp *e, const struct esp_job *job, struct batch *wire);
/* Number and seal all that waits.  Returns the last job, advanced; it is valid until the next
 * send_add(). */
const struct esp_job *send_flush(struct esp *e, struct batch *wire);

#endif
