/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_WORKERS_H
#define TANDEM_GATEWAY_WORKERS_H

#include "gateway/config.h"
#include "gateway/worker.h"

/*
 * All workers, as control sees them.
 *
 * Who does what.  A connection is served by one worker, its home; its device is read there.  An
 * inbound SA is used by the worker that is `SPI mod workers`; our SPIs are chosen so that this
 * is the home (the id of a tunnel mod workers is its home, see struct ike_env), also after a
 * rekey.  Several workers may serve a connection, see share.c: they share its path, and its
 * outbound SAs unless each has its own.
 *
 * Sets of workers are bit masks.
 */
struct workers;

#define WORKERS_MAX	CONFIG_WORKERS_MAX

static inline uint64_t
workers_bit(unsigned index)
{
	return UINT64_C(1) << index;
}

/* How many there are to be: `configured`, or as many as there are cores for us to run on. */
unsigned	workers_wanted(unsigned configured);
/* Starts n (1..WORKERS_MAX) of them; NULL (logged) when not all of them did. */
struct workers	*workers_new(unsigned n, const struct aead_set *aeads,
		    const uint8_t probe_key[16]);
/* worker_free() of each. */
void		workers_free(struct workers *ws,
		    void (*drop)(void *arg, const struct esp_event *ev), void *arg);
unsigned	workers_n(const struct workers *ws);
struct worker	*workers_at(const struct workers *ws, unsigned index);

/* Post the commands that waited; false: some still wait. */
bool		workers_flush(struct workers *ws);
/* As of one worker, but of a device at all of a set; it has woken when one of them has. */
void		workers_wake_on_traffic(struct workers *ws, uint64_t set, unsigned device);
bool		workers_has_woken(const struct workers *ws, uint64_t set, unsigned device);
bool		workers_any_woken(struct workers *ws);

/* Sums over all of them, and for a tunnel over those that serve it. */
void		workers_stats(const struct workers *ws, struct esp_stats *st);
void		workers_batches(const struct workers *ws, struct worker_batches *b);
bool		workers_tunnel_stats(const struct workers *ws, uint64_t set, uint32_t tunnel,
		    struct esp_tunnel_stats *st);	/* false: unknown to all */

#endif
