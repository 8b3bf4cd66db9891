/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_KEYS_H
#define TANDEM_GATEWAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "gateway/config.h"
#include "gateway/mistakes.h"

/*
 * The one table of configuration keys.  The loader, `tandem check`, the reload, the manual
 * page and docs/configuration.md all come from it: a key is added here and nowhere else.
 */
enum key_id {
	/* of the gateway */
	KEY_LOG,
	KEY_HOST,
	KEY_CONTROL,
	KEY_PORT,
	KEY_NATT_PORT,
	KEY_WORKERS,
	KEY_CONNECTIONS,
	/* of a connection */
	KEY_PRESET,
	KEY_NETWORKS,
	KEY_LOCAL_NETWORKS,
	KEY_SELECTORS,
	KEY_DEVICE,
	KEY_MODE,
	KEY_IKE,
	KEY_ESP,
	KEY_ESN,
	KEY_IKE_LIFETIME,
	KEY_LIFETIME,
	KEY_LIVENESS,
	KEY_RETRY_MAX,
	KEY_REPLAY_WINDOW,
	KEY_SHARE,
	KEY_PEER_WINDOW,
	KEY_POLICY,
	KEY_PIN,
	KEY_HOLD,
	KEY_MTU,
	KEY_METRIC,
	KEY_MSS_CLAMP,
	KEY_COPY_DSCP,
	KEY_GUARD,
	KEY_TUNNELS,
	/* of a tunnel */
	KEY_REMOTE,
	KEY_REMOTE_PORT,
	KEY_INSIDE,
	KEY_PSK_FILE,
	KEY_LOCAL,
	KEY_LOCAL_ID,
	KEY_REMOTE_ID,
	KEY_PROBE,
	KEY_N,
};

enum key_home { HOME_GATEWAY, HOME_CONNECTION, HOME_TUNNEL };

enum key_type {
	TYPE_WORD,			/* one of `words` */
	TYPE_BOOL,			/* true or false, nothing else */
	TYPE_NUMBER,			/* decimal, min..max, or one of `words` */
	TYPE_DURATION,			/* "8h", "200ms", "3600"; usec_t min..max, or one of `words` */
	TYPE_ADDRESS,			/* an IP address that one host may have */
	TYPE_PREFIXES,			/* address blocks */
	TYPE_INSIDE,			/* addresses with the length of their link, one a family */
	TYPE_ID,			/* an IKE identity */
	TYPE_PATH,			/* a file name; min 1: absolute */
	TYPE_DEVICE,			/* the name of a network interface */
	TYPE_IKE_SUITES, TYPE_ESP_SUITES,
	TYPE_CONNECTIONS, TYPE_TUNNELS,	/* the two that hold other keys */
};

enum key_preset { PRESET_NONE, PRESET_AWS, PRESET_TANDEM, PRESET_N };

struct key_word {
	const char *word;		/* NULL ends a list */
	uint64_t value;
};

struct key {
	const char *name;
	enum key_home home;		/* the struct that it is a member of */
	enum key_type type;
	bool shared;			/* of a tunnel, but may be written once for both */
	bool required;
	size_t at, size;		/* the member: offset and size in bytes */
	size_t count_at;		/* of lists: the offset of their count */
	uint64_t min, max;		/* numbers, durations (usec); lists: items */
	const struct key_word *words;
	const char *value[PRESET_N];	/* default, and what presets say instead; as written in a */
					/* file, items of a list apart by spaces; NULL: the default's */
	const char *follows;		/* what an absent value follows from: "local" */
	enum config_op_kind reload;	/* what a change of it needs */
	const char *also;		/* what people write for it elsewhere, apart by spaces */
	const char *doc;		/* a line of documentation */
};

extern const struct key keys[KEY_N];
extern const struct key_word key_presets[];

/* The text of an absent key under a preset, or NULL when it has none. */
const char	*key_default(const struct key *k, enum key_preset preset);
/* May the key be written at this level? */
bool		key_fits(const struct key *k, enum key_home level);
/* A key that may be written at this level, or NULL. */
const struct key *key_find(const char *name, enum key_home level);
/* Say that a word is no key of this level, and what it could have meant.  Returns the key that
 * it proposes, or NULL: that one then need not be missed too. */
const struct key *key_unknown(struct mistakes *m, struct place at, const char *name,
		    enum key_home level);
/* "a number from 64 to 8192", "start or add": for messages.  Returns buf. */
#define KEY_EXPECTED_LEN	112
const char	*key_expected(const struct key *k, char *buf);
/* "live", "rekey", "restart", "daemon restart": what a change of it needs, for people. */
const char	*key_reload_name(const struct key *k);

/* usec_t as people write it, in the largest unit that fits: "8h", "90s", "200ms". */
#define DURATION_LEN	32
const char	*duration_str(usec_t t, char *buf);
/* False: not a duration.  Saturates far above any bound of the table. */
bool		duration_parse(const char *text, usec_t *t);

/* The table as text for people, as the tables of docs/configuration.md, or as the list of
 * the manual page tandem.yaml(5). */
enum keys_format { KEYS_TEXT, KEYS_MARKDOWN, KEYS_MAN };
void		keys_print(FILE *to, enum keys_format format);
/* The same for programs, an array with an object a key: name, level (gateway, connection, tunnel),
 * shared, required, expected, default, presets, change, doc.  New; NULL: no memory. */
json_t		*keys_table_json(void);

#endif
