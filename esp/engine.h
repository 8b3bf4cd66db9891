/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_ENGINE_H
#define TANDEM_ESP_ENGINE_H

#include "base/map.h"
#include "esp/event.h"
#include "esp/mtu.h"
#include "esp/path.h"
#include "esp/probe.h"
#include "esp/seal.h"

/* The inside of struct esp: engine.c moves packets, command.c changes what they meet. */
enum {
	ENGINE_OWN_LEN = 9216,		/* largest packet of our own making, bytes */
	ENGINE_OWN_N = BATCH_PKTS,	/* such packets in one call */
	ENGINE_ASKED_MAX = 256,		/* probes that wait for esp_pending() */
	ENGINE_TOO_BIG_RATE = 100,	/* packet-too-big answers a second, and at once */
	ENGINE_TOO_BIG_BURST = 50,
	ENGINE_STRAY_RATE = 10,		/* ESP_EV_STRAY a second, and at once */
	ENGINE_STRAY_BURST = 20,
};

#define ENGINE_LINGER	USEC_S(5)	/* an inbound SA after its delete (DESIGN 3) */
#define ENGINE_MOVED	USEC_S(1)	/* ESP_EV_MOVED again to the same place */

/* A packet that passed all checks and waits for its number. */
struct esp_job {
	struct pkt *p;
	struct esp_tunnel *t;
};

struct esp {
	struct aead_scratch *scratch;
	struct map *sa_in;		/* SPI -> struct esp_sa */
	struct map *devs;		/* device -> struct path_dev, owned */
	struct tunnels tunnels;
	struct events events;
	struct esp_sa *linger, **linger_end;	/* dropped inbound SAs, first to end first */
	struct probe probe;
	struct esp_probe asked[ENGINE_ASKED_MAX];	/* a ring */
	unsigned asked_head, asked_n;
	struct batch own;		/* buffers of what we make; reused by each call */
	struct esp_job job[BATCH_PKTS];
	unsigned jobs;
	struct limit too_big, stray;
	usec_t now;			/* as last told */
	uint16_t next_id;		/* v4 identification of packets we cut in spite of DF */

	stat_t out_packets, out_bytes, out_made, out_sent;
	stat_t in_packets, in_made, in_delivered, in_answered;
	stat_t drop[DROP_N], events_lost;
};

/* Count one drop, of the tunnel too where it is known (else NULL). */
static inline void
engine_drop(struct esp *e, struct esp_tunnel *t, enum drop why)
{
	stat_add(&e->drop[why], 1);
	if (t != NULL)
		stat_add(&t->drops, 1);
}

#endif
