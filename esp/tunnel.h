/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_TUNNEL_H
#define TANDEM_ESP_TUNNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "esp/esp.h"
#include "esp/stat.h"

/*
 * What a worker knows of each tunnel, by its id.
 *
 * Control looks up counters here while the worker adds and removes, without a lock: an entry
 * is never freed before the table is, only used again, and links and ids are atomic.  A
 * reader who is overtaken may miss an entry or find it emptied, and asks again next time.
 */
#define TUNNEL_CHAINS	1024		/* a power of two */

struct path_dev;

struct esp_tunnel {
	_Atomic uint32_t id;
	_Atomic(struct esp_tunnel *) next;	/* in its chain */
	struct esp_tunnel *spare;	/* in the list of entries to use again */
	unsigned refs;			/* SAs and places in paths that point here */
	bool gone;			/* TUNNEL_DEL came: ends with the last reference */

	struct esp_sa *out;		/* what it sends by, or NULL: down */
	struct path_dev *dev;		/* whose path it is in, or NULL */
	const struct esp_path_tunnel *slot;	/* its line there */
	struct endpoint local, remote;	/* AF_UNSPEC until ESP_CMD_ENDPOINT */
	uint16_t socket;
	usec_t moved_at;		/* last ESP_EV_MOVED since ESP_CMD_ENDPOINT; 0: none */

	stat_t out_packets, out_bytes, in_packets, in_bytes, drops, last_out, last_in;
	stat_t gaps;			/* of all its inbound SAs, ended ones too */
};

struct tunnels {
	_Atomic(struct esp_tunnel *) chain[TUNNEL_CHAINS];
	struct esp_tunnel *spare;
};

void	tunnels_init(struct tunnels *ts);
void	tunnels_fini(struct tunnels *ts);
struct esp_tunnel *tunnels_find(const struct tunnels *ts, uint32_t id);	/* any thread */
/* Found or made, `gone` taken back; NULL: no memory. */
struct esp_tunnel *tunnels_get(struct tunnels *ts, uint32_t id);
/* Drop one reference, or none was held (n 0); the entry ends when it is gone and unused. */
void	tunnels_unref(struct tunnels *ts, struct esp_tunnel *t, unsigned n);

#endif
