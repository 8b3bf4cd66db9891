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
 * Of the datagrams that come by a socket, ESP of this worker goes to the engine.  The kernel
 * brings each to the right socket (udp_open_shared()), but by the first of a train only: what
 * begins with the non-ESP marker (RFC 3948 2.2) and ESP of another worker goes to control as a
 * stray, a copy, bounded and counted, and control hands ESP on; NAT keepalives (2.3) end here.
 * What the kernel refuses to take is counted with the engine's drops.
 *
 * workers.h has the set of them.
 */
struct worker;

/* Whose a datagram on an ESP port is: the worker of its SPI (0 where it is too short for one). */
#define WORKER_CONTROL	(-1)		/* IKE, behind the non-ESP marker */
#define WORKER_NOBODY	(-2)		/* a NAT keepalive */
int		worker_of(const void *data, size_t len, unsigned workers);

#define WORKER_DEVICES	4096		/* device indices are below */
#define WORKER_SOCKETS	4
#define WORKER_MTU_MAX	9216		/* bytes: the largest inside MTU of a device */
#define WORKER_STRAY_MAX 4080		/* bytes of a datagram that can be handed to control */

enum worker_cmd_kind {
	WORKER_ESP,			/* esp: for the engine */
	WORKER_DEVICE_ADD,		/* index, fd: the worker owns the descriptor now */
	WORKER_DEVICE_WRITER,		/* index, fd: what the worker writes goes here instead; owned */
	WORKER_DEVICE_QUEUE,		/* index, on: take part in reading it, or not (tun_queue()) */
	WORKER_DEVICE_DEL,		/* index: closes it, both descriptors */
	WORKER_SOCKET,			/* index, fd, port: the worker reads and writes it, control may */
					/* send on it; it stays control's, to be closed after */
					/* worker_free(); fd -1: let go of it */
};

struct worker_cmd {
	enum worker_cmd_kind kind;
	unsigned index;
	int fd;
	uint16_t port;
	bool on;
	struct esp_cmd esp;
};

/* A datagram on an ESP port that is not the worker's that read it. */
struct worker_stray {
	struct endpoint local, remote;
	uint16_t len, socket;
	uint8_t tos;
	uint8_t data[WORKER_STRAY_MAX];
};

/* Starts the thread of worker `index` of `workers`, with all signals blocked.  `aeads` outlives
 * it.  NULL (logged): no memory, descriptor or thread. */
struct worker	*worker_new(unsigned index, unsigned workers, const struct aead_set *aeads,
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
/* Give it a datagram that came elsewhere.  False: too long, or no room; it counts as a drop of the engine's,
 * in-no-buffer. */
bool		worker_hand(struct worker *w, const struct worker_stray *s);
int		worker_fd(const struct worker *w);	/* readable: events, strays or traffic */
void		worker_fd_clear(struct worker *w);	/* before taking them */
/*
 * Make worker_fd readable with the next packet that leaves this device, once: control sleeps
 * till then.  Look at the counters after this call, not before: packets from before it are in
 * them, those behind it wake.
 */
void		worker_wake_on_traffic(struct worker *w, unsigned device);
bool		worker_has_woken(const struct worker *w, unsigned device);	/* or was never asked */
/* Has any of them since the last call? */
bool		worker_any_woken(struct worker *w);

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
uint64_t	worker_strays_lost(const struct worker *w);	/* IKE: too long, or no room */

#endif
