/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_ENGINE_H
#define TANDEM_ESP_ENGINE_H

#include "base/map.h"
#include "esp/event.h"
#include "esp/mtu.h"
#include "esp/offload.h"
#include "esp/path.h"
#include "esp/probe.h"
#include "esp/seal.h"

/* The inside of struct esp: engine.c moves packets, command.c changes what they meet. */
enum {
	ENGINE_OWN_LEN = 9216,		/* largest packet of our own making, bytes */
	ENGINE_OWN_N = BATCH_PKTS,	/* such packets in one call */
	ENGINE_OUT = 256 * 1024,	/* sealed packets of one call, bytes */
	ENGINE_IN = 256 * 1024,		/* opened packets of one call, bytes */
	ENGINE_TRAIN = 65507,		/* datagrams in a row, bytes: what UDP over IPv4 takes */
	ENGINE_GAP = 32,		/* in front of an opened packet: its virtio-net header */
	ENGINE_HEAD_MAX = 128,		/* a TCP segment's headers that we guess at */
	ENGINE_ASKED_MAX = 256,		/* probes that wait for esp_pending() */
	ENGINE_TOO_BIG_RATE = 100,	/* packet-too-big answers a second, and at once */
	ENGINE_TOO_BIG_BURST = 50,
	ENGINE_STRAY_RATE = 10,		/* ESP_EV_STRAY a second, and at once */
	ENGINE_STRAY_BURST = 20,
};

#define ENGINE_LINGER	USEC_S(5)	/* an inbound SA after its delete (DESIGN 3) */
#define ENGINE_MOVED	USEC_S(1)	/* ESP_EV_MOVED of one tunnel again */

/* A packet, super or not, that passed all checks and waits for its numbers. */
struct esp_job {
	struct split s;
	unsigned n;			/* packets of s to be sealed now */
	struct esp_tunnel *t;
	uint8_t tos;			/* of the datagrams */
};

/* What stands in a call's send buffer and what waits to. */
struct esp_outbuf {
	uint8_t *mem;			/* ENGINE_OUT bytes */
	size_t used, due;		/* bytes; `due` is the bound of what the jobs will take */
	unsigned due_n;			/* ... and of the trains they will make */
	const struct esp_tunnel *t;	/* whose train is the last one, or NULL: it is complete */
	size_t size;			/* of its datagrams */
};

/* What a packet's verdict depends on beside its own header. */
struct came {
	const struct esp_sa *sa;
	uint8_t tos;			/* of the datagram */
	uint8_t next;			/* ESP next header */
};

/* Where opened packets of a call are written, one behind the other. */
struct esp_inbuf {
	uint8_t *mem;			/* ENGINE_IN bytes */
	size_t used;
	uint8_t saved[ENGINE_HEAD_MAX];	/* what a guess overwrote */
	unsigned guess;			/* bytes of it */
	struct came came;		/* how the packet did that ends there */
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
	struct esp_outbuf out;
	struct esp_inbuf inb;
	struct coalesce co;
	uint8_t takes[ESP_DEVICES];	/* ESP_TAKES_ flags */
	unsigned at;			/* how far the call before came in its batch */
	size_t at_off;			/* in: in that train */
	struct esp_job rest;		/* out: of that super-packet; rest.s.n 0: none */
	uint32_t last_spi;		/* in: of last_sa, if that is not NULL */
	struct esp_sa *last_sa;
	struct limit too_big, stray;
	usec_t now;			/* as last told */
	uint16_t next_id;		/* v4 identification of packets we cut in spite of DF */

	stat_t out_packets, out_bytes, out_made, out_sent;
	stat_t in_packets, in_made, in_delivered, in_answered;
	stat_t out_rest;		/* of out_packets: those that e->rest holds */
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

/* May this packet leave by this tunnel?  PASS or the reason. */
enum drop	engine_may_leave(const struct esp_tunnel *t, const struct inner *in);

#endif
