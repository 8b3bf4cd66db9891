/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_WORKER_IMPL_H
#define TANDEM_GATEWAY_WORKER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/ring.h"
#include "gateway/worker.h"
#include "tun/tun.h"
#include "tun/udp.h"

/*
 * The inside of struct worker: worker.c is its loop and carries out commands, worker_out.c and
 * worker_in.c move packets, worker_control.c is what the control thread calls.
 */
enum {
	CMD_RING	= 1024,
	EVENT_RING	= 1024,
	STRAY_RING	= 64,
	/* Buffers of a worker, bytes: 192 KiB read from devices, 16 trains of 64 KiB received, and
	 * the engine's 256 KiB each way and 600 KiB for packets of its own: 2.4 MiB in all, of
	 * which only what traffic needs is ever touched. */
	DEVICE_BUF	= 3 * 65536,
	RECV_PKTS	= 16,		/* datagrams, or trains, of one receive call */
	RECV_TRAINS	= 4,		/* ... when trains come: each may be 64 KiB */
	VIEWS		= 256,		/* outputs of one call of the engine */
	ASKED_AT_ONCE	= 64,		/* questions; the engine keeps more of them than that */
	ROUNDS		= 4,		/* batches from one descriptor before the next has its turn */
	EPOLL_EVENTS	= 64,
	RETRY_MS	= 10,		/* after a command found no memory or an event no room */
};

enum source { SOURCE_CMD, SOURCE_DEVICE, SOURCE_SOCKET };

/* Counters with one writer, sampled by control. */
typedef _Atomic uint64_t tally_t;

struct tallies {
	tally_t send[WORKER_SIZES], recv[WORKER_SIZES];
	tally_t write[WORKER_SIZES], read[WORKER_SIZES];
	tally_t refused;
};

/* Commands that found the ring full, in order; control's own. */
struct waiting {
	struct waiting *next;
	struct worker_cmd cmd;
};

struct worker {
	unsigned index, workers;	/* which of how many */
	pthread_t thread;
	bool running;
	struct esp *esp;
	struct ring *cmds, *events, *strays, *handed;
	int cmd_fd, event_fd, epoll;
	_Atomic bool quit;
	_Atomic bool wake[WORKER_DEVICES];	/* set by control, lowered with the next packet */
	_Atomic bool woke;			/* one was lowered; control lowers this */
	_Atomic uint64_t strays_lost;
	_Atomic uint64_t hand_lost;		/* control's: what had no room in `handed` */
	struct waiting *wait_head, **wait_tail;

	/* The worker's own from here on. */
	bool told;			/* control is to look */
	bool behind;			/* events found the ring full */
	bool holds;
	struct worker_cmd held;		/* a command that found no memory; those behind it wait */
	struct tun_port device[WORKER_DEVICES];
	int writer[WORKER_DEVICES];	/* what is written goes here; -1: to the device */
	struct { int fd; uint16_t port; struct udp_tx tx; } socket[WORKER_SOCKETS];
	struct batch dev, net;		/* read from a device, received */
	struct batch esp_in;		/* views of what of `net` is ESP */
	struct batch wire, inner;	/* views of what leaves */
	struct tallies tallies;
	struct worker_stray stray;
};
/* Wake whoever waits for an eventfd. */
static inline void
worker_raise(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static inline void
worker_lower(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
}

static inline void
tally(tally_t *t, uint64_t n)
{
	atomic_store_explicit(t, atomic_load_explicit(t, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

static inline void
tally_size(tally_t bucket[WORKER_SIZES], size_t n)
{
	unsigned i = n > 1 ? 63 - (unsigned)__builtin_clzll(n) : 0;

	tally(&bucket[i < WORKER_BUCKETS ? i : WORKER_BUCKETS - 1], 1);
	tally(&bucket[WORKER_BUCKETS], n);
}

static inline unsigned
segments(const struct pkt *p)
{
	return p->segments > 1 ? p->segments : 1;
}

/* ---- worker.c ---- */
void	*worker_run(void *arg);			/* the thread */
bool	worker_watch(struct worker *w, int fd, enum source source, unsigned index);
void	worker_device_del(struct worker *w, unsigned index);
void	worker_obey(struct worker *w, usec_t now);	/* all commands that are there */

/* ---- worker_out.c ---- */
void	worker_from_device(struct worker *w, unsigned index, usec_t now);
void	worker_send(struct worker *w, struct batch *b);		/* by the sockets; empties b */
void	worker_write(struct worker *w, struct batch *b);	/* to the devices; empties b */
void	worker_send_pending(struct worker *w);		/* what commands made the engine say */

/* ---- worker_in.c ---- */
void	worker_from_socket(struct worker *w, unsigned index, usec_t now);
void	worker_from_control(struct worker *w, usec_t now);	/* what it handed on */

#endif
