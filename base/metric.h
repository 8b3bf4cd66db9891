/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_METRIC_H
#define TANDEM_BASE_METRIC_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Why a packet was dropped.  One table gives each reason its name (status, metrics, docs)
 * and its meaning; in every direction packets in = packets out + the sum of these.
 */
enum drop {
	/* out: from a device to the network */
	DROP_OUT_SHORT,			/* not an IP packet, or its lengths are wrong */
	DROP_OUT_NO_TUNNEL,		/* no tunnel of the path is up */
	DROP_OUT_SELECTOR,		/* not covered by the SA's traffic selectors (RFC 4301 5.1) */
	DROP_OUT_TOO_BIG,		/* DF set and larger than the inside MTU; answered */
	DROP_OUT_SEQ_END,		/* the SA's sequence numbers are used up */
	DROP_OUT_NO_BUFFER,
	DROP_OUT_SEAL,			/* the cipher library failed */
	DROP_OUT_SEND,			/* the kernel did not take the datagram */
	/* in: from the network to a device */
	DROP_IN_SHORT,			/* too short for ESP */
	DROP_IN_NO_SA,			/* unknown SPI */
	DROP_IN_REPLAY,			/* seen before or left of the window */
	DROP_IN_AUTH,			/* ICV wrong */
	DROP_IN_PADDING,		/* trailer malformed */
	DROP_IN_DUMMY,			/* next header 59 (RFC 4303 2.6): not a fault */
	DROP_IN_PROTO,			/* next header is not 4 or 41 */
	DROP_IN_INNER,			/* inner packet malformed */
	DROP_IN_SELECTOR,		/* inner addresses outside the SA's selectors (RFC 4301 5.2) */
	DROP_IN_SOURCE,			/* inner source is not one this connection may send */
	DROP_IN_LINK,			/* the same, multicast to its own link: not a fault */
	DROP_IN_OWN,			/* inner source is an address of our own */
	DROP_IN_ECN,			/* outer CE with inner not-ECT (RFC 6040 4.2) */
	DROP_IN_PROBE,			/* echo of the monitor: consumed, not a fault */
	DROP_IN_NO_BUFFER,
	DROP_IN_DEVICE,			/* the device did not take it */
	DROP_N,
};

struct drop_info {
	const char *name;		/* "in-replay" */
	const char *help;		/* one line */
	bool usual;			/* not a fault: `status` does not trouble people with it */
};

const struct drop_info *drop_info(enum drop d);	/* NULL when out of range */

static inline bool
drop_is_out(enum drop d)
{
	return d < DROP_IN_SHORT;
}

#endif
