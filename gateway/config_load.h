/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_CONFIG_LOAD_H
#define TANDEM_GATEWAY_CONFIG_LOAD_H

#include "gateway/config.h"
#include "gateway/keys.h"
#include "gateway/mistakes.h"
#include "gateway/yaml.h"

/*
 * What config.c (which reads) and config_check.c (which judges) share while a text becomes a
 * configuration: the values so far, and for each the place where it was written.
 */
struct seen {
	struct place at;		/* of the connection's name, or of the tunnel */
	const struct yaml_node *value[KEY_N];	/* NULL: not written */
	bool meant[KEY_N];		/* a misspelt word was probably this key: not missed too */
};

struct load_connection {
	enum key_preset preset;
	struct seen seen;
	struct seen tunnel[CONFIG_TUNNELS];	/* with what the connection says for both */
};

struct load {
	struct config *c;
	struct mistakes m;
	struct seen gateway;
	struct load_connection *connection;	/* as many as c->connection */
};

/* Where a value was written, else the place of what should have it. */
struct place	seen_at(const struct seen *s, enum key_id k);

/* What no single value shows: contradictions within a connection and between connections.
 * Values that could not be read are absent (AF_UNSPEC, 0) and give no second mistake. */
void		config_check(struct load *l);
/* The part of it that concerns addresses: networks, inside links, outside addresses. */
void		config_check_blocks(struct load *l);

#endif
