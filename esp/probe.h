/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_PROBE_H
#define TANDEM_ESP_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "esp/esp.h"
#include "esp/inner.h"

/*
 * The monitor's questions: ICMP echo (RFC 792, RFC 4443) that only we can have asked.  The
 * payload is the token and SipHash of it under a key that changes with every start, so an
 * answer is told from users' pings without keeping a list, and nobody can make one up.
 */
#define PROBE_KEY	16			/* bytes */

struct probe {
	uint8_t key[PROBE_KEY];
	uint16_t ident;				/* of our echoes */
};

void	probe_init(struct probe *pr, const uint8_t key[PROBE_KEY]);
/* Write the request at p (its off is set, room behind it).  False: the addresses are not of
 * one family, or pad_to is more than the buffer holds. */
bool	probe_write(const struct probe *pr, const struct esp_probe *ask, struct pkt *p);
/* Is this an answer to one of ours?  *token is then the question's. */
bool	probe_match(const struct probe *pr, const struct pkt *p, const struct inner *in,
	    uint64_t *token);
/* An echo request that we may answer as it stands: whole, without IP options. */
bool	probe_is_request(const struct pkt *p, const struct inner *in);
/* Turn it into the answer, in place; `in` is turned too. */
void	probe_answer(struct pkt *p, struct inner *in);

#endif
