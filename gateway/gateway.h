/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_GATEWAY_H
#define TANDEM_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/map.h"
#include "base/pkt.h"
#include "gateway/config.h"
#include "gateway/hostlink.h"
#include "gateway/jobs.h"
#include "gateway/loop.h"
#include "gateway/monitor.h"
#include "gateway/own.h"
#include "gateway/workers.h"
#include "ike/ike.h"
#include "tun/netlink.h"

/*
 * The engine process: it owns the configuration, the machines (IKE, monitor), the workers and
 * the control socket, and carries the actions of one to another.  gateway.c is the map of that;
 * sockets.c has control's side of the UDP sockets; connection.c turns a configured connection
 * into devices, routes, guards and paths; share.c says which workers serve it; uplink.c follows
 * addresses, carriers and MTUs, own.c what of the host a peer must not claim to be; reload.c
 * applies a new configuration.
 * All of it runs in the control thread.
 */
struct control;
struct gw;

enum { SOCK_IKE4, SOCK_IKE6, SOCK_NATT4, SOCK_NATT6, SOCK_N };

struct gw_connection;

struct gw_tunnel {
	uint32_t id;			/* never reused while the process lives */
	unsigned index;			/* 0-based place in the connection */
	struct gw_connection *c;
	const struct config_tunnel *conf;
	bool up;
	usec_t since;			/* of up / down */
	char reason[IKE_REASON_MAX];	/* why it is down */
	struct endpoint local, remote;	/* outer, as ESP goes now */
	uint32_t spi_in[WORKERS_MAX];	/* by resource: of the Child SA that it sends by, or 0 */
	enum aead_id aead;		/* of the Child SAs; AEAD_NONE before the first */
	unsigned outer_mtu;		/* of the route to the peer, or configured */
	bool present, carrier;		/* its outside address is there; its uplink has carrier */
	char uplink[IFNAMSIZ];		/* whose filter was loosened, with host: manage */
	usec_t heard;			/* last_in of the newest sample */
};

enum gw_link {
	GW_LINK_ASKED,			/* the broker has not set it up yet: news are of our own doing */
	GW_LINK_UP,
	GW_LINK_DOWN,			/* somebody else set it down */
};

struct gw_connection {
	uint32_t id;
	const struct config_connection *conf;	/* in gw.config */
	uint16_t device;		/* index at the workers */
	unsigned home;			/* the worker that serves it */
	uint64_t serves;		/* all that do: the home alone, or those that share it */
	unsigned queues;		/* of the device that are open, when it has several */
	uint64_t sharing;		/* slots of the others that take part now */
	bool device_open;
	unsigned device_tries;		/* to open it that failed since it last was */
	usec_t device_at;		/* the next try, or USEC_NEVER */
	char device_why[160];		/* why it is not open, in a sentence; "" */
	unsigned ifindex;		/* of the device when it was last set up */
	enum gw_link link;		/* as the kernel's news say */
	unsigned mtu;			/* of the device, 0: not set yet */
	struct own own;			/* what its peer must not claim to be */
	uint8_t bucket[ESP_BUCKETS];	/* the monitor's choice */
	char why[128];			/* its reason */
	struct heap_node sample;	/* when to look at the counters */
	bool asleep;			/* nothing flows: the worker says when something does */
	bool woken;			/* it did, and the monitor has not been asked since */
	bool touched;			/* the monitor was told or did something: ask it again when */
	struct gw_connection *next_touched;
	struct gw_tunnel t[CONFIG_TUNNELS];
	struct gw_connection *next;
};

/* A Child SA as control sees it, by our SPI. */
struct gw_sa {
	uint32_t tunnel, spi_in, spi_out;
	uint8_t resource;		/* whose it is (RFC 9611) */
	struct esp_sa *out;		/* lent to the workers that send by it; NULL: none could be */
	struct esp_sa *in;		/* its worker's; for its counters until it comes back */
	bool used;			/* IKE has said once that it may be used */
	struct endpoint local, remote;
	enum aead_id aead;
};

/* A worker, as control waits for it. */
struct gw_worker {
	struct gw *g;
	struct loop_fd *on;
	int sock[2];			/* port 4500, v4 and v6; -1: not open */
	unsigned load;			/* connections that it serves */
};

struct gw_conf {
	char config_path[CONFIG_PATH_MAX];
	char socket_path[108];		/* "": as configured, else the default */
	int broker;			/* our end of the pair */
};

struct gw {
	const struct gw_conf *conf;
	struct loop *loop;
	struct secrets *secrets;
	struct aead_set *aeads;
	struct rng rng;
	struct config *config;
	const struct config *next;	/* while a reload is applied: what comes; else NULL */
	struct ike *ike;
	struct monitor *monitor;
	struct workers *workers;
	struct gw_worker worker[WORKERS_MAX];
	struct jobs *jobs;
	struct hostlink *host;
	struct nl *nl, *news;
	struct control *control;
	struct gw_connection *connections;	/* in configured order */
	struct map *tunnels;		/* id -> gw_tunnel */
	struct map *sas;		/* spi_in -> gw_sa */
	struct map *lent;		/* address of an esp_sa that a worker may have -> its gw_sa */
	struct heap samples;
	struct gw_connection *touched;
	uint32_t next_id;
	uint64_t devices[WORKER_DEVICES / 64];	/* indices in use */
	int sock[SOCK_N];		/* -1: not open */
	unsigned sockets_asked;		/* of the broker, not answered yet */
	uint16_t port, natt_port;	/* of ours, as they were at start */
	char socket[sizeof(((struct config *)0)->socket)];	/* likewise, as configured */
	struct batch in, trains;	/* for what comes on port 500, on port 4500 */
	usec_t device_at;		/* the earliest try to open a device, or USEC_NEVER */
	usec_t look_at, look_next;	/* at the uplinks: when (or USEC_NEVER), and not before */
	struct loop_fd *on_strays, *on_jobs, *on_news, *on_ike[SOCK_N], *on_signal[3];
	usec_t started, stop_at;	/* stop_at: 0 while running, then when patience ends */
	bool ready;			/* the sockets are open, the connections there */
	bool stopping, undone;		/* undone: the broker has done HOST_STOP */
	int exit_code;
};

/* Run the engine until it is told to stop.  Returns the exit code of the process. */
int		gw_run(const struct gw_conf *conf);

/* ---- gateway.c ---- */
struct gw_tunnel *gw_tunnel_find(struct gw *g, uint32_t id);
struct gw_connection *gw_connection_find(struct gw *g, const char *name);
struct gw_connection *gw_connection_by_id(struct gw *g, uint32_t id);
/* The monitor dealt with this connection, or with the one of this tunnel (0: none). */
void		gw_touch(struct gw *g, uint32_t connection, uint32_t tunnel);
/* Log, and tell `tandem watch`.  `t` may be NULL. */
void		gw_event(struct gw *g, const char *event, const struct gw_connection *c,
		    const struct gw_tunnel *t, const char *text);
void		gw_monitor(struct gw *g, const struct mon_fact *f);	/* feed, with now */
void		gw_ike(struct gw *g, const struct ike_fact *f);
void		gw_stop(struct gw *g);
void		gw_news(struct gw *g);			/* read the kernel's */
/* Post to the workers: an inbound SA to the one that its SPI names, a probe to the tunnel's home,
 * all else to each that serves `c` (NULL: the tunnel is gone, only its home and the one that the
 * SPI names may still know it). */
void		gw_esp(struct gw *g, const struct gw_connection *c, const struct esp_cmd *cmd);
/* Post to the workers of a set. */
void		gw_esp_to(struct gw *g, uint64_t set, const struct esp_cmd *cmd);
/* What a worker's engine tells goes to the machine that it concerns, or back to whom it belongs. */
void		gw_esp_fact(struct gw *g, const struct esp_event *ev);

#define GW_COOKIE_HOST	0		/* the broker's answers that belong to no connection */

/* ---- sockets.c ---- */
bool		sockets_init(struct gw *g);	/* false: no memory */
void		sockets_fini(struct gw *g);
void		sockets_ask(struct gw *g);	/* of the broker; needs the workers */
bool		sockets_opened(struct gw *g, const struct host_answer *a);	/* false (logged): fail */
bool		sockets_strays(struct gw *g);	/* true: there may be more */

/* ---- carry.c ---- */
void		gw_drain(struct gw *g, usec_t now);	/* all actions of the machines */
void		gw_sa_back(struct gw *g, struct esp_sa *back);	/* a worker gave it back */
/* A worker could not be given it, or has ended: freed after the last, and not lent again. */
void		gw_sa_lost(struct gw *g, struct esp_sa *lost);

/* ---- connection.c ---- */
/* False (logged): no memory or no device index. */
bool		connection_add(struct gw *g, const struct config_connection *conf);
void		connection_del(struct gw *g, struct gw_connection *c);
/* Take over a changed configuration without touching SAs; `rekey`: suites or lifetimes differ. */
void		connection_change(struct gw *g, struct gw_connection *c,
		    const struct config_connection *conf, bool rekey);
/* Make the path anew (selection, MTU or configuration changed) and give it to the workers. */
void		connection_path(struct gw *g, struct gw_connection *c);
/* The device's MTU from its tunnels' suites and outer MTUs; sets it where it changed. */
void		connection_mtu(struct gw *g, struct gw_connection *c);
bool		connection_carries(const struct gw_connection *c, unsigned index);	/* has a bucket */
void		tunnel_ike_set(struct gw *g, struct gw_tunnel *t);

/* ---- device.c ---- */
/* Ask for all that the connection has on the host; what is there already stays as it is. */
void		device_up(struct gw *g, struct gw_connection *c);
void		device_down(struct gw *g, struct gw_connection *c);
void		device_set(struct gw *g, const struct gw_connection *c);	/* up, with c->mtu */
/* Routes and guards from those of the former configuration to those of the new one. */
void		device_routes(struct gw *g, struct gw_connection *c,
		    const struct config_connection *from);
/* The device by which the peer is reached: with `host: manage` its reverse-path filter is
 * loosened. */
void		device_uplink(struct gw *g, struct gw_tunnel *t, const char *device);
/* With `host: manage` the host forwards what the connection carries; repeating it does no harm. */
void		device_forwarding(struct gw *g, const struct gw_connection *c);
void		device_answer(struct gw *g, uint32_t cookie, const struct host_answer *a);
/* Try again to open the devices whose time has come; sets g->device_at. */
void		device_retry(struct gw *g, usec_t now);
/* News of a link (NULL: some were lost).  What somebody did to a device of ours is mended: made
 * anew when it was deleted or renamed; when it was down and is up again, what the kernel took off
 * it meanwhile comes back.  Down it is left while somebody wants it so. */
void		device_news(struct gw *g, const struct nl_link *link, bool gone);

/* ---- share.c ---- */
void		share_choose(struct gw *g, struct gw_connection *c);	/* its workers */
void		share_end(struct gw *g, const struct gw_connection *c);	/* they have one less */
void		share_ask(struct gw *g, const struct gw_connection *c, struct host_request *q);
/* The descriptor of an answer goes to its worker.  False: no memory, it is still the caller's. */
bool		share_opened(struct gw *g, struct gw_connection *c, const struct host_answer *a);
void		share_close(struct gw *g, const struct gw_connection *c);	/* the workers let it go */
/* A tunnel came up, a worker sends by another Child SA, or what is known of a peer's window
 * changed: which of them may take part? */
void		share_look(struct gw *g, struct gw_connection *c);
unsigned	share_n(const struct gw_connection *c);	/* of its workers; they are IKE's resources */
uint64_t	share_set(const struct gw *g, const struct gw_connection *c, uint64_t resources);

/* ---- sample.c ---- */
void		sample_due(struct gw *g, usec_t now);		/* look where it is time */
void		sample_sleepers(struct gw *g);			/* look where traffic has begun */
void		sample_when(struct gw *g, usec_t now);	/* when next, for all that were touched */

/* ---- uplink.c ---- */
void		uplink_look(struct gw *g);	/* addresses, carriers, MTUs of all tunnels, now */

/* ---- reload.c ---- */
/* Load the file again and apply what changed.  False: errors; what was stays. */
bool		gw_reload(struct gw *g, struct config_errors *errors, struct config_errors *warnings,
		    char *summary, size_t cap);

#endif
