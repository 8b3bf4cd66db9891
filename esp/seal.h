/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_SEAL_H
#define TANDEM_ESP_SEAL_H

#include "esp/sa.h"

/* What a function over one packet says when there is nothing to drop. */
#define PASS		DROP_N

enum {
	SEAL_ESP_HEAD = 8,		/* SPI and sequence number, bytes */
	SEAL_TRAILER = 2,		/* pad length and next header */
};

/*
 * Turn the inner packet in p into an ESP packet, in place.  `seq` is a number that
 * esp_sa_take() gave for this packet alone.  PASS, DROP_OUT_NO_BUFFER (not enough room in front
 * or behind: p is untouched) or DROP_OUT_SEAL.
 */
enum drop	seal_packet(const struct esp_sa *sa, struct aead_scratch *s, struct pkt *p,
		    uint64_t seq);

struct opened {
	uint64_t seq;
	uint8_t next;			/* next header: of what p holds then */
	bool newest;			/* its number is above all before it */
};

/*
 * Turn the ESP packet in p, which begins with its SPI, into what it carries, in place,
 * padding and trailer removed (TFC padding is not: the inner length decides).  The replay
 * window is asked before the ICV and moved only after it.
 * PASS, or one of DROP_IN_SHORT, DROP_IN_REPLAY, DROP_IN_AUTH (p is unspecified then) and
 * DROP_IN_PADDING (authentic and marked, but malformed).
 */
enum drop	open_packet(struct esp_sa *sa, struct aead_scratch *s, struct pkt *p,
		    struct opened *o);

#endif
