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
 * Nothing here allocates, locks, logs or reads a clock for a packet; commands may allocate.
 *
 * Super-packets of the device are split while they are sealed, and opened packets of a flow
 * coalesced, so that 64 KiB cross each border of the kernel at once (offload.h).
 */
struct esp;
struct esp_sa;				/* one direction of a Child SA; memory of control's */
struct esp_path;

/* ---- what control makes ------------------------------------------------------------- */

/*
 * The two halves of a negotiated Child SA.  Both take what they need from `child` (which may
 * be freed afterwards) and live in secret memory.  NULL: no memory, or the suite is unknown or
 * key_len does not suit it.  A window outside 64..8192 is brought inside.
 * `seq` is the last sequence number used (0 for a new SA; tests preset it).
 *
 * An inbound SA is installed in one worker.  An outbound SA may be installed in several at
 * once, which share its counter; each gives it back, and control frees it after the last.
 */
struct esp_sa	*esp_sa_in_new(struct secrets *s, const struct aead_set *a,
		    const struct child_sa *c);
struct esp_sa	*esp_sa_out_new(struct secrets *s, const struct aead_set *a,
		    const struct child_sa *c, uint64_t seq);
/* Wipes; NULL is fine. */
void		esp_sa_free(struct secrets *s, struct esp_sa *sa);
/* Control's count of the workers that have it: so many more before it is handed over (and one
 * less where that fails); each time that it comes back is one less.  True: that was the last.
 * Who is given an outbound SA that it has gives it back once, and has it still. */
void		esp_sa_lend(struct esp_sa *sa, unsigned workers);
bool		esp_sa_return(struct esp_sa *sa);
bool		esp_sa_is_lent(const struct esp_sa *sa);
uint32_t	esp_sa_spi(const struct esp_sa *sa);	/* of the direction: ours (in), theirs (out) */
uint32_t	esp_sa_tunnel(const struct esp_sa *sa);

/* Counters of one SA: written by its workers, sampled by control (relaxed atomics), valid as
 * long as the SA is; after SA_BACK they are final. */
struct esp_sa_stats {
	uint64_t packets, bytes;	/* inner packets and bytes; in: with padding */
	uint64_t seq;			/* highest sequence number, full 64 bits */
	usec_t last;			/* when the last packet was sealed / opened; 0 never */
	uint64_t gaps;			/* in: numbers whose packets never came: they left the window
					 * unseen, or were not seen when the SA ended */
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
	unsigned mtu;			/* inside MTU, bytes; 0: not known, nothing is too big */
};

/*
 * What a device carries: its tunnels and, for each of 256 flow hashes, which of them takes
 * it.  One representation for active/standby (all buckets alike), active/active and pinned.
 * Immutable once handed over, so several workers may have the same: a change is a new path;
 * the old one comes back by ESP_EV_PATH_BACK from each.  Control allocates with malloc;
 * esp_path_free() frees the lists too.
 *
 * A packet for a tunnel's inside peer always leaves by that tunnel.  A bucket whose tunnel has
 * no outbound SA (or no endpoint) drops: which other tunnel takes over is control's to say.
 * What comes in by any of the tunnels goes to the device, if its inner source is an
 * inside_peer of the path or in `sources`, and neither an inside_local nor in `own`, nor in
 * `lan` while no longer prefix of `sources` has it.
 */
struct esp_path {
	uint16_t device;
	unsigned users;			/* control's count of the workers that have it */
	unsigned n;			/* 0..ESP_PATH_TUNNELS */
	struct esp_path_tunnel t[ESP_PATH_TUNNELS];
	uint8_t bucket[ESP_BUCKETS];	/* index into t, or ESP_BUCKET_NONE: drop */
	struct prefix *sources;		/* what the peer may send from (R26); owned */
	size_t sources_n;
	struct ip *own;			/* our own addresses, sorted by ip_cmp: never a valid */
	size_t own_n;			/* inner source of what comes in; owned */
	struct prefix *lan;		/* networks on our side; looked at one by one; owned */
	size_t lan_n;
	bool clamp_mss;			/* lower the MSS of SYNs, both ways, to the least of the
					 * tunnels, so that a failover changes nothing for TCP */
	bool copy_df;			/* true, the usual: a v4 packet with DF that is too big is
					 * answered (RFC 1191).  false: DF is ignored, it is cut.
					 * The outer DF is always set (DESIGN 4). */
	bool copy_dscp;			/* to the outer header, RFC 2983; ECN always by RFC 6040 */
};
void	esp_path_free(struct esp_path *p);	/* NULL is fine */

/* ---- commands (control -> worker) ---------------------------------------------------- */

enum esp_cmd_kind {
	ESP_CMD_SA_IN,			/* sa: accept it; the engine holds it until SA_BACK */
	ESP_CMD_SA_OUT,			/* sa: send by it; replaces the tunnel's former one (SA_BACK) */
	ESP_CMD_SA_DROP,		/* tunnel, spi (ours), peer_spi: out stops at once (if it is
					 * still the one in use), in lingers 5 s */
	ESP_CMD_PATH_SET,		/* path: replaces that of its device */
	ESP_CMD_PATH_DEL,		/* device */
	ESP_CMD_ENDPOINT,		/* tunnel, local, remote, socket: where its datagrams
					 * go; before the first, nothing leaves */
	ESP_CMD_PROBE,			/* probe: send an echo request by this tunnel */
	ESP_CMD_TUNNEL_DEL,		/* tunnel: give back its SAs and forget it (its counters when
					 * no path names it any more) */
	ESP_CMD_STOP,			/* give back everything, forget all tunnels */
};

/* An echo of the monitor: told from users' pings by `ident` and a keyed payload. */
struct esp_probe {
	uint32_t tunnel;
	struct ip from, to;		/* inside addresses, both within the selectors */
	uint64_t token;			/* unique to this question; comes back in the answer */
	uint16_t pad_to;		/* total inner length for path-MTU probes, up to 9,216,
					 * whatever the tunnel's mtu says; 0: small (44 or 64) */
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
	ESP_EV_SA_BACK,			/* sa, tunnel, spi: control owns it again */
	ESP_EV_PATH_BACK,		/* path */
	ESP_EV_ECHO,			/* tunnel (by whose SA it came back), token, at */
	ESP_EV_MOVED,			/* tunnel, remote: the newest authentic packet came from
					 * there, not from the endpoint set; repeated at most
					 * once a second.  The engine itself changes nothing. */
	ESP_EV_STRAY,			/* spi, remote: a datagram of an SPI that is not ours; few a
					 * second, the rest only counted */
	ESP_EV_SEQ_LOW,			/* tunnel, spi (theirs): rekey now.  Once an SA, at 3/4 of 2^32
					 * numbers, with ESN at 2^36; the end is 2^32 - 1 and 2^37 */
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

/* NULL: no memory. */
struct esp	*esp_new(const struct aead_set *aeads, const uint8_t probe_key[16]);
/* Everything must have been given back (ESP_CMD_STOP and the events taken). */
void		esp_free(struct esp *e);

/* False: no memory; nothing changed and what the command carries is still the caller's.
 * Never for DROP, DEL, STOP and PROBE. */
bool		esp_command(struct esp *e, usec_t now, const struct esp_cmd *cmd);
/* Events in order; false: none.  Their room is reserved: installing an SA or a path can
 * never be answered by a lost SA_BACK.  Of the others 256 wait; more are counted as lost. */
bool		esp_event(struct esp *e, struct esp_event *ev);
void		esp_tick(struct esp *e, usec_t now);		/* lingering SAs end */
usec_t		esp_deadline(const struct esp *e);

/*
 * What a device can be given besides single packets; nothing at first.  Devices are counted
 * from 0 to ESP_DEVICES - 1.
 */
#define ESP_DEVICES	4096
enum { ESP_TAKES_TCP = 1, ESP_TAKES_UDP = 2 };	/* super-packets of these */
void		esp_device(struct esp *e, unsigned device, unsigned takes);

/*
 * Output batches have no memory of their own: only `pkt`, `n` and `cap`.  They are appended to
 * from their `n` (so reset them before) with views into the buffers of the engine, valid until
 * the next call of any of these three.
 *
 * esp_out() and esp_in() return false when the engine's buffers or the output batches are full
 * before `in` is through: deal with the output, reset it, and call again with the same `in`,
 * unchanged, before anything else.  An output batch that is full from the start is our own
 * fault; what would go there is dropped and counted.
 *
 * Out: `in` are whole IP packets or super-packets from devices (pkt.device says which), with
 * PKT_TAILROOM behind; a checksum left PARTIAL is completed.  They are changed.  `wire` gets
 * them sealed and in order, equal-sized ones of a tunnel as trains (pkt.segment), with local,
 * remote, socket, tunnel and tos; `back` gets what goes back to the device (packet too big).
 * A v4 packet without DF that is larger than its tunnel's mtu leaves in pieces.
 */
bool		esp_out(struct esp *e, usec_t now, struct batch *in, struct batch *wire,
		    struct batch *back);
/*
 * In: `in` are UDP payloads (SPI first), single or in trains, with remote and tos as received.
 * `inner` gets the decrypted packets with their device, as super-packets where the device takes
 * them, with room for the virtio-net header in front; `wire` what goes straight back by the
 * tunnel (answers to echo requests for the tunnel's own inside address).
 */
bool		esp_in(struct esp *e, usec_t now, struct batch *in, struct batch *inner,
		    struct batch *wire);
/* Is there an inbound SA of this SPI?  For the worker that looks at its commands once more. */
bool		esp_knows(const struct esp *e, uint32_t spi);
/* Datagrams that an ESP_CMD_PROBE made; call after esp_command(), until it adds none. */
void		esp_pending(struct esp *e, struct batch *wire);

/*
 * Counters, sampled by control from another thread (relaxed atomics); of a super-packet each
 * packet in it is counted.  Between calls
 *	out_packets + out_made = out_sent + the drops out
 *	in_packets + in_made = in_delivered + in_answered + the drops in
 */
struct esp_stats {
	uint64_t out_packets, out_bytes;	/* taken from devices */
	uint64_t out_sent;			/* given to wire */
	uint64_t out_made;			/* of our own making: probes, echo answers, and what
						 * a packet that we cut makes beyond one */
	uint64_t in_packets;			/* datagrams taken */
	uint64_t in_delivered;			/* given to devices */
	uint64_t in_made;			/* of our own making: packet too big */
	uint64_t in_answered;			/* echo requests that we answered */
	uint64_t made;				/* out_made + in_made */
	uint64_t events_lost;			/* news that found the queue full */
	uint64_t drop[DROP_N];
};
void		esp_stats(const struct esp *e, struct esp_stats *st);

/* Of one tunnel: what the monitor and `status` look at; from any thread.  False: unknown
 * tunnel (or overtaken by its end). */
struct esp_tunnel_stats {
	uint64_t out_packets, out_bytes;	/* sealed */
	uint64_t in_packets, in_bytes;		/* authentic, whatever became of them */
	uint64_t drops;
	uint64_t gaps;				/* of its inbound SAs, ended ones too */
	usec_t last_out, last_in;		/* user or probe traffic; 0 never */
};
bool		esp_tunnel_stats(const struct esp *e, uint32_t tunnel, struct esp_tunnel_stats *st);
/* The engine's owner (its thread) counts packets that the kernel refused: DROP_OUT_SEND after
 * they were counted as sent, DROP_IN_DEVICE after delivered.  Any other reason is of packets
 * that did not come to the engine. */
void		esp_count_drop(struct esp *e, enum drop why, unsigned n);

#endif
