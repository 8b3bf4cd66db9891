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
 */
struct worker;

#define WORKER_DEVICES	4096		/* device indices are below */
#define WORKER_SOCKETS	4
#define WORKER_STRAY_MAX 4080		/* bytes of a datagram that can be handed to control */

enum worker_cmd_kind {
	WORKER_ESP,			/* esp: for the engine */
	WORKER_DEVICE_ADD,		/* index, fd: the worker owns the descriptor now */
	WORKER_DEVICE_DEL,		/* index: closes it */
	WORKER_SOCKET,			/* index, fd, port: the worker reads it; control may send on it; */
					/* fd -1: stop reading */
	WORKER_STOP,			/* give back everything and end */
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

struct worker	*worker_new(unsigned index, const struct aead_set *aeads, const uint8_t probe_key[16]);
/* Stops and joins the thread; `drop` gets each event that still carries something. */
void		worker_free(struct worker *w, void (*drop)(void *arg, const struct esp_event *ev),
		    void *arg);

/* Control's side. */
bool		worker_post(struct worker *w, const struct worker_cmd *cmd);	/* false: no memory */
void		worker_flush(struct worker *w);			/* commands that waited */
bool		worker_event(struct worker *w, struct esp_event *ev);
bool		worker_stray(struct worker *w, struct worker_stray *s);
int		worker_fd(const struct worker *w);		/* readable: events or strays */
void		worker_fd_clear(struct worker *w);		/* before taking them */
/* Make worker_fd readable at the next packet that leaves a device: control sleeps till then. */
void		worker_wake_on_traffic(struct worker *w);
bool		worker_traffic(struct worker *w);		/* that packet has come; asks once */

bool		worker_tunnel_stats(const struct worker *w, uint32_t tunnel, struct esp_tunnel_stats *st);
void		worker_stats(const struct worker *w, struct esp_stats *st);
uint64_t	worker_strays_lost(const struct worker *w);

#endif
