/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_WORKER_H
#define TANDEM_GATEWAY_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "esp/esp.h"

/*
 * A worker: a thread that moves packets between TUN devices and UDP sockets through an ESP
 * engine.  Control posts commands and takes events; each way one ring and one eventfd.  What
 * the ring has no room for waits in a list on control's side; events wait in the engine.
 *
 * Of the datagrams that come by a socket, ESP goes to the engine; what begins with the non-ESP
 * marker (RFC 3948 2.2) comes to control as a stray, bounded and counted; NAT keepalives
 * (2.3) end here.  What the kernel refuses to take is counted with the engine's drops.
 */
struct worker;

#define WORKER_DEVICES	4096		/* device indices are below */
#define WORKER_SOCKETS	4
#define WORKER_MTU_MAX	9216		/* bytes: the largest inside MTU of a device */
#define WORKER_STRAY_MAX 4080		/* bytes of a datagram that can be handed to control */

enum worker_cmd_kind {
	WORKER_ESP,			/* esp: for the engine */
	WORKER_DEVICE_ADD,		/* index, fd: the worker owns the descriptor now */
	WORKER_DEVICE_DEL,		/* index: closes it */
	WORKER_SOCKET,			/* index, fd, port: the worker reads and writes it, control may */
					/* send on it; it stays control's, to be closed after */
					/* worker_free(); fd -1: let go of it */
};

struct worker_cmd {
	enum worker_cmd_kind kind;
	unsigned index;
	int fd;
	uint16_t port;
	struct esp_cmd esp;
};

/* A datagram on an ESP port that is not ESP: IKE behind the non-ESP marker (RFC 3948 2.2). */
struct worker_stray {
	struct endpoint local, remote;
	uint16_t len;
	uint8_t data[WORKER_STRAY_MAX];
};

/* Starts the thread, with all signals blocked.  `aeads` outlives it.  NULL (logged): no memory,
 * descriptor or thread. */
struct worker	*worker_new(unsigned index, const struct aead_set *aeads,
		    const uint8_t probe_key[16]);
/* Ends the thread at once; commands that it has not seen are not carried out.  `drop` gets
 * each SA and each path that it held or was to have, and the events that were not taken.
 * Descriptors of devices are closed.  w NULL is fine. */
void		worker_free(struct worker *w, void (*drop)(void *arg, const struct esp_event *ev),
		    void *arg);

/*
 * Control's side.  Commands are carried out in the order of worker_post().  False: no memory,
 * and what the command carries is still the caller's.
 */
bool		worker_post(struct worker *w, const struct worker_cmd *cmd);
/* Post the commands that waited for room; call it in every round.  False: some still wait, so
 * come again within milliseconds; the worker does not say when it has room. */
bool		worker_flush(struct worker *w);
bool		worker_event(struct worker *w, struct esp_event *ev);	/* false: none */
bool		worker_stray(struct worker *w, struct worker_stray *s);	/* false: none */
int		worker_fd(const struct worker *w);	/* readable: events, strays or traffic */
void		worker_fd_clear(struct worker *w);	/* before taking them */
/*
 * Make worker_fd readable with the next packet that leaves this device, once: control sleeps
 * till then.  Look at the counters after this call, not before: packets from before it are in
 * them, those behind it wake.
 */
void		worker_wake_on_traffic(struct worker *w, unsigned device);
bool		worker_has_woken(const struct worker *w, unsigned device);	/* or was never asked */

/* Counters, at any time: see esp.h. */
bool		worker_tunnel_stats(const struct worker *w, uint32_t tunnel,
		    struct esp_tunnel_stats *st);
void		worker_stats(const struct worker *w, struct esp_stats *st);
/* How much crosses a border of the kernel at once: bucket i counts what is from 2^i below
 * 2^(i+1), the last also all above; behind the buckets stands the sum of the sizes. */
#define WORKER_BUCKETS	17
#define WORKER_SIZES	(WORKER_BUCKETS + 1)
struct worker_batches {
	uint64_t send[WORKER_SIZES];	/* datagrams of a train sent */
	uint64_t recv[WORKER_SIZES];	/* datagrams of a train received */
	uint64_t write[WORKER_SIZES];	/* bytes of a packet written to a device */
	uint64_t read[WORKER_SIZES];	/* bytes of a packet read from a device */
	uint64_t refused;		/* trains that the kernel did not take as such */
};
void		worker_batches(const struct worker *w, struct worker_batches *b);
uint64_t	worker_strays_lost(const struct worker *w);	/* too long, or no room */

#endif
