/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_H
#define TANDEM_ESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/aead.h"
#include "base/child.h"
#include "base/metric.h"
#include "base/pkt.h"
#include "base/secret.h"
#include "base/usec.h"

/*
 * ESP (RFC 4303) in tunnel mode inside UDP (RFC 3948), as a function of batches.  One
 * `struct esp` belongs to one worker thread; control makes and frees what it works with
 * (SAs, paths) and hands it over by commands; the engine hands it back by events.
 *
 * Nothing here allocates, locks, logs or reads a clock for a packet.
 */
struct esp;
struct esp_sa;				/* one direction of a Child SA; memory of control's */
struct esp_path;

/* ---- what control makes ------------------------------------------------------------- */

/*
 * The two halves of a negotiated Child SA.  Both take what they need from `child` (which may
 * be freed afterwards) and live in secret memory.  NULL: no memory.
 * `seq` is the last sequence number used (0 for a new SA; tests preset it).
 */
struct esp_sa	*esp_sa_in_new(struct secrets *s, const struct aead_set *a, const struct child_sa *c);
struct esp_sa	*esp_sa_out_new(struct secrets *s, const struct aead_set *a, const struct child_sa *c,
		    uint64_t seq);
void		esp_sa_free(struct secrets *s, struct esp_sa *sa);	/* wipes; NULL is fine */
uint32_t	esp_sa_spi(const struct esp_sa *sa);	/* of the direction: ours (in), theirs (out) */
uint32_t	esp_sa_tunnel(const struct esp_sa *sa);

/* Counters of one SA: written by its worker, sampled by control (relaxed atomics). */
struct esp_sa_stats {
	uint64_t packets, bytes;	/* inner packets and bytes */
	uint64_t seq;			/* highest sequence number, full 64 bits */
	usec_t last;			/* when the last packet was sealed / opened; 0 never */
};
void		esp_sa_stats(const struct esp_sa *sa, struct esp_sa_stats *st);

/* The largest inner packet for a suite over an outer MTU (DESIGN 4); 0 when nothing fits. */
unsigned	esp_inside_mtu(enum aead_id aead, unsigned outer_mtu, uint8_t outer_family);

#define ESP_PATH_TUNNELS	8
#define ESP_BUCKETS		256
#define ESP_BUCKET_NONE		0xff

/* A tunnel as a path sees it. */
struct esp_path_tunnel {
	uint32_t tunnel;
	struct ip inside_local[2];	/* v4, v6; AF_UNSPEC: none */
	struct ip inside_peer[2];
	unsigned mtu;			/* inside MTU */
};

/*
 * What a device carries: its tunnels and, for each of 256 flow hashes, which of them takes
 * it.  One representation for active/standby (all buckets alike), active/active and pinned.
 * Immutable once handed over: a change is a new path; the old one comes back by
 * ESP_EV_PATH_BACK.  Control allocates with malloc; esp_path_free() frees the lists too.
 */
struct esp_path {
	uint16_t device;
	unsigned n;
	struct esp_path_tunnel t[ESP_PATH_TUNNELS];
	uint8_t bucket[ESP_BUCKETS];	/* index into t, or ESP_BUCKET_NONE: drop */
	struct prefix *sources;		/* what the peer may send from (R26); owned */
	size_t sources_n;
	struct ip *own;			/* our own addresses, sorted by ip_cmp: never a valid */
	size_t own_n;			/* inner source of what comes in; owned */
	bool clamp_mss;
	bool copy_df, copy_dscp;	/* RFC 4301 8.1, RFC 2983; ECN always by RFC 6040 */
};
void	esp_path_free(struct esp_path *p);

/* ---- commands (control -> worker) ---------------------------------------------------- */

enum esp_cmd_kind {
	ESP_CMD_SA_IN,			/* sa: accept it; the engine holds it until SA_BACK */
	ESP_CMD_SA_OUT,			/* sa: send by it; replaces the tunnel's former one (SA_BACK) */
	ESP_CMD_SA_DROP,		/* spi (ours), peer_spi: out stops at once, in lingers 5 s */
	ESP_CMD_PATH_SET,		/* path: replaces that of its device */
	ESP_CMD_PATH_DEL,		/* device */
	ESP_CMD_ENDPOINT,		/* tunnel, local, remote, socket: where its datagrams go */
	ESP_CMD_PROBE,			/* probe: send an echo request by this tunnel */
	ESP_CMD_TUNNEL_DEL,		/* tunnel: forget it and give back all it has */
	ESP_CMD_STOP,			/* give back everything */
};

/* An echo of the monitor: told from users' pings by `ident` and a keyed payload. */
struct esp_probe {
	uint32_t tunnel;
	struct ip from, to;		/* inside addresses, both within the selectors */
	uint64_t token;			/* unique to this question; comes back in the answer */
	uint16_t pad_to;		/* total inner length for path-MTU probes; 0: small */
};

struct esp_cmd {
	enum esp_cmd_kind kind;
	uint32_t tunnel, spi, peer_spi;
	uint16_t device, socket;
	struct esp_sa *sa;
	struct esp_path *path;
	struct endpoint local, remote;
	struct esp_probe probe;
};

/* ---- events (worker -> control) ------------------------------------------------------ */

enum esp_event_kind {
	ESP_EV_SA_BACK,			/* sa: control owns it again; `final` its counters */
	ESP_EV_PATH_BACK,		/* path */
	ESP_EV_ECHO,			/* tunnel (by whose SA it came back), token, at */
	ESP_EV_MOVED,			/* tunnel, remote: the newest authentic packet came from there */
	ESP_EV_STRAY,			/* a datagram that is not ours: counted, see esp_stats */
	ESP_EV_SEQ_LOW,			/* tunnel, spi: rekey now: limit of numbers or AEAD use is near */
};

struct esp_event {
	enum esp_event_kind kind;
	uint32_t tunnel, spi;
	uint64_t token;
	usec_t at;
	struct esp_sa *sa;
	struct esp_path *path;
	struct endpoint remote;
};

/* ---- the engine (worker thread) ------------------------------------------------------ */

struct esp	*esp_new(const struct aead_set *aeads, const uint8_t probe_key[16]);	/* NULL: no memory */
/* Everything must have been given back (ESP_CMD_STOP and the events taken). */
void		esp_free(struct esp *e);

void		esp_command(struct esp *e, usec_t now, const struct esp_cmd *cmd);
/* Events in order; false: none.  Their room is reserved: installing an SA or a path can
 * never be answered by a lost SA_BACK. */
bool		esp_event(struct esp *e, struct esp_event *ev);
void		esp_tick(struct esp *e, usec_t now);		/* lingering SAs end */
usec_t		esp_deadline(const struct esp *e);

/*
 * Out: `in` are whole IP packets from devices (pkt.device says which), with PKT_HEADROOM in
 * front and PKT_TAILROOM behind.  They are sealed in place; `wire` (a batch without memory of
 * its own) is filled with views of them, addressed and with socket, tos and DF handling, in
 * order within a flow; `back` gets what goes back to the device (packet too big), from the
 * engine's own buffers.  Views are valid until the next call.  wire->cap must be >= in->n.
 */
void		esp_out(struct esp *e, usec_t now, struct batch *in, struct batch *wire,
		    struct batch *back);
/*
 * In: `in` are UDP payloads (SPI first).  `inner` gets views of the decrypted packets with
 * their device; `wire` what goes straight back by the tunnel (answers to echo requests for
 * the tunnel's own inside address).
 */
void		esp_in(struct esp *e, usec_t now, struct batch *in, struct batch *inner,
		    struct batch *wire);
/* Datagrams that an ESP_CMD_PROBE made; call after esp_command(). */
void		esp_pending(struct esp *e, struct batch *wire);

/* Counters, sampled by control from another thread (relaxed atomics). */
struct esp_stats {
	uint64_t out_packets, out_bytes;	/* taken from devices */
	uint64_t out_sent, in_packets, in_delivered;
	uint64_t made;				/* packets of our own making: echo, too big */
	uint64_t drop[DROP_N];
};
void		esp_stats(const struct esp *e, struct esp_stats *st);

/* Of one tunnel: what the monitor and `status` look at.  False: unknown tunnel. */
struct esp_tunnel_stats {
	uint64_t out_packets, out_bytes, in_packets, in_bytes, drops;
	usec_t last_out, last_in;		/* user or probe traffic; 0 never */
};
bool		esp_tunnel_stats(const struct esp *e, uint32_t tunnel, struct esp_tunnel_stats *st);
/* The engine's owner counts a packet that the kernel refused (device or socket). */
void		esp_count_drop(struct esp *e, enum drop why, unsigned n);

#endif
