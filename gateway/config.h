/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_CONFIG_H
#define TANDEM_GATEWAY_CONFIG_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/usec.h"
#include "gateway/monitor.h"
#include "ike/ike.h"

/*
 * The configuration as a value: made whole from YAML text, then never changed.  Every key has
 * its effective value here, whether written, from a preset, or the default.
 */
#define CONFIG_TUNNELS		2	/* of one connection, for now both required */
#define CONFIG_NAME_MAX		64
#define CONFIG_PATH_MAX		1024
#define CONFIG_WORKERS_MAX 64
#define CONFIG_KEYS		48	/* at least KEY_N of keys.h */
#define CONFIG_PSK_MIN		8	/* bytes of a secret */
#define CONFIG_PSK_MAX		4096	/* bytes of its file */

enum config_guard { GUARD_ON, GUARD_ALWAYS, GUARD_OFF };
enum config_host { HOST_CHECK, HOST_MANAGE };
enum config_selectors { SELECTORS_ANY, SELECTORS_NETWORKS };

/* Where each value was written: `line` by key (enum key_id), 0: not in the file, so it is of
 * the preset, the default, or follows from other values.  For config_print() only. */
struct config_origin {
	uint32_t line[CONFIG_KEYS];
};

struct config_tunnel {
	struct ip local;		/* outside; AF_UNSPEC: as the kernel routes */
	struct ip remote;
	uint16_t remote_port;		/* 500 or 4500 */
	struct ip inside_local[2], inside_peer[2];	/* v4, v6; AF_UNSPEC: none */
	uint8_t inside_len[2];		/* prefix length of the inside link: 30 or 31, 126 or 127 */
	struct ip probe;		/* address the monitor asks; default inside_peer, v4 first; */
					/* AF_UNSPEC: none, judged by IKE liveness alone */
	struct ike_id local_id, remote_id;
	const uint8_t *psk;		/* in secret memory, owned by the config */
	size_t psk_len;
	char psk_file[CONFIG_PATH_MAX];	/* as written: relative to the folder of the file */
	struct config_origin origin;
};

struct config_connection {
	char name[CONFIG_NAME_MAX];
	char preset[16];		/* "aws", "tandem" or "" */
	char device[IFNAMSIZ];		/* "td-office-aws": default from the name, stable and unique */
	struct prefix *networks;	/* the remote site's; owned */
	size_t networks_n;
	struct prefix *local_networks;	/* ours, where configured (else selectors 0/0); owned */
	size_t local_networks_n;
	enum config_selectors selectors;
	struct ts_list ts_local, ts_remote;	/* what is proposed */
	struct ike_suite ike[IKE_SUITES_MAX];
	unsigned ike_n;
	struct esp_suite esp[IKE_SUITES_MAX];
	unsigned esp_n;			/* each `esn` is already false where the key esn is */
	bool esn;
	bool start;			/* mode: start or add */
	usec_t ike_life, child_life, retry_max;
	usec_t liveness;		/* 0: never ask */
	uint16_t window;		/* replay-window, packets */
	unsigned workers;		/* that share what it sends */
	unsigned peer_window;		/* packets; 0: as the peer is known */
	enum mon_policy policy;
	unsigned pin;			/* 0-based */
	usec_t hold;			/* fail-back hold time */
	unsigned outer_mtu;		/* 0: that of the route */
	unsigned metric;		/* of the routes, 1 or more */
	bool clamp_mss, copy_dscp;
	enum config_guard guard;
	struct config_tunnel tunnel[CONFIG_TUNNELS];
	unsigned tunnels_n;
	unsigned line;			/* of its name in the file */
	struct config_origin origin;
};

struct config {
	char *file;			/* as it was named; owned */
	enum log_level log;
	enum config_host host;		/* host: check (default) or manage */
	char socket[108];		/* control socket, absolute; "": that of the command line */
	uint16_t port, natt_port;	/* 500, 4500 */
	unsigned workers;		/* 0: one for each core that we may use */
	struct config_connection *connection;	/* owned, in file order */
	size_t connection_n;
	struct secrets *secrets;	/* borrowed: where the psk live */
	struct config_origin origin;
};

/* All mistakes of a text, not the first only, by line: "file:line:column: sentence". */
struct config_errors {
	size_t n;
	char **line;			/* owned */
};
void		config_errors_free(struct config_errors *e);

/*
 * Read a file; paths in it are relative to its folder.  NULL: see `errors`, never empty then.
 * Warnings (works, but a person should look) go to `warnings` also on success.  Both are
 * overwritten: they need no initial value, and config_errors_free() afterwards in any case.
 * Nothing on the host is looked at but the file and the files of secrets.
 */
struct config	*config_load(const char *path, struct secrets *s, struct config_errors *errors,
		    struct config_errors *warnings);
/* The same from memory, for tests and fuzzing; `name` stands for the file in messages, and
 * its folder is where paths begin. */
struct config	*config_parse(const char *name, const char *text, size_t len, struct secrets *s,
		    struct config_errors *errors, struct config_errors *warnings);
void		config_free(struct config *c);		/* wipes its secrets; NULL is fine */
/*
 * Each effective value with where it came from (file:line, preset, default, "from KEY"), for
 * `tandem check`: a table for people, or one JSON object on one line.  Never a secret.
 *
 *	{"schema": 1, "file": F, "gateway": KEYS, "connections": [
 *	    {"name": N, "keys": KEYS, "tunnels": [KEYS, KEYS]}]}
 *	KEYS: {"KEY": {"value": V, "from": "file:line" ...}, ...}
 *
 * V is what may be written for the key in a configuration (a string, number, true or false,
 * or a list), so the values alone make an equal configuration.
 */
void		config_print(const struct config *c, FILE *to, bool json);

/* Whether this network of the connection gets a guard route (design 6): as `guard` says, but
 * never for a default route or one in pieces (host_is_default()): it would cut off the host. */
bool		config_guards(const struct config_connection *c, const struct prefix *network);

/*
 * What a reload has to do.  Connections are matched by name.  What is in none of the
 * operations is untouched.
 */
enum config_op_kind {
	CONFIG_ADD,			/* new connection */
	CONFIG_DEL,			/* gone */
	CONFIG_LIVE,			/* same tunnels and SAs: routes, policy, probes, timers differ */
	CONFIG_REKEY,			/* suites, lifetimes, window: the next rekey (done now) takes it */
	CONFIG_RESTART,			/* addresses, identities, secrets, selectors, device: anew */
	CONFIG_GATEWAY_LIVE,		/* log level, host: */
	CONFIG_GATEWAY_RESTART,		/* ports, socket: needs a restart of the daemon; said so */
};
struct config_op {
	enum config_op_kind kind;
	const struct config_connection *from, *to;	/* NULL where there is none */
	char what[128];			/* the keys that differ: "networks, hold", "remote of */
					/* tunnel 2", ending in "..." where it does not fit */
};
/*
 * Operations in the order in which to carry them out: CONFIG_DEL first, so that what it held
 * (a device, a network) is free for what comes, then changes of the gateway, then additions
 * and changes in the order of the new file.  A connection has one operation, of the strongest
 * class of its changed keys (live, rekey, restart), the gateway one of each class.  Secrets are
 * compared by content, and so is everything else: a value moved from a preset to the file is no
 * change.  Returns the number of operations, at most `max`; connections of both, and two more,
 * are always enough.
 */
size_t		config_diff(const struct config *from, const struct config *to,
		    struct config_op *ops, size_t max);

#endif
