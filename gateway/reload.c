/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/gateway.h"

static const struct config_connection *
find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->connection_n; i++)
		if (strcmp(config->connection[i].name, name) == 0)
			return &config->connection[i];
	return NULL;
}

/* Connections in which nothing changed live on; they only look at the new value from now on. */
static void
repoint(struct gw *g, const struct config *to)
{
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next) {
		const struct config_connection *conf = find(to, c->conf->name);

		if (conf == NULL)
			continue;
		c->conf = conf;
		for (unsigned i = 0; i < conf->tunnels_n; i++)
			c->t[i].conf = &conf->tunnel[i];
	}
}

/* The order of the file is the order of status. */
static void
reorder(struct gw *g, const struct config *to)
{
	struct gw_connection *rest = g->connections, *c, **from, **last = &g->connections;

	for (size_t i = 0; i < to->connection_n; i++) {
		for (from = &rest; *from != NULL; from = &(*from)->next)
			if ((*from)->conf == &to->connection[i])
				break;
		if ((c = *from) == NULL)	/* there was no room for it */
			continue;
		*from = c->next;
		*last = c;
		last = &c->next;
	}
	*last = rest;
}

static void
apply(struct gw *g, const struct config_op *op, const struct config *to)
{
	struct gw_connection *c = op->from != NULL ? gw_connection_find(g, op->from->name) : NULL;

	if (c == NULL && op->from != NULL && op->to != NULL) {	/* there was no room for it */
		(void)connection_add(g, op->to);
		return;
	}
	switch (op->kind) {
	case CONFIG_ADD:
		(void)connection_add(g, op->to);
		return;
	case CONFIG_DEL:
		if (c != NULL)
			connection_del(g, c);
		return;
	case CONFIG_LIVE:
	case CONFIG_REKEY:
		connection_change(g, c, op->to, op->kind == CONFIG_REKEY);
		return;
	case CONFIG_RESTART:
		connection_del(g, c);
		(void)connection_add(g, op->to);
		return;
	case CONFIG_GATEWAY_LIVE:
	case CONFIG_GATEWAY_RESTART:		/* what else changed beside the ports is done */
		log_level_set(to->log);
		return;
	}
}

static const char *
op_name(enum config_op_kind kind)
{
	switch (kind) {
	case CONFIG_ADD:
		return "added";
	case CONFIG_DEL:
		return "removed";
	case CONFIG_LIVE:
		return "changed in place";
	case CONFIG_REKEY:
		return "changed and rekeyed";
	case CONFIG_RESTART:
		return "negotiated anew";
	case CONFIG_GATEWAY_LIVE:
		return "changed in place";
	case CONFIG_GATEWAY_RESTART:
		return "needs a restart of the daemon";
	}
	return "";
}

static void
summarize(const struct config_op *op, char *summary, size_t cap)
{
	const struct config_connection *c = op->to != NULL ? op->to : op->from;
	size_t n = strlen(summary);

	snprintf(summary + n, cap - n, "%s%s: %s%s%s%s", n > 0 ? "; " : "",
	    c != NULL ? c->name : "gateway", op_name(op->kind), op->what[0] != '\0' ? " (" : "",
	    op->what, op->what[0] != '\0' ? ")" : "");
}

/* What there was no memory for, now or at a reload before, is tried again. */
static void
add_missing(struct gw *g, const struct config *to, char *summary, size_t cap)
{
	for (size_t i = 0; i < to->connection_n; i++) {
		const struct config_connection *c = &to->connection[i];
		size_t n = strlen(summary);

		if (gw_connection_find(g, c->name) == NULL)
			snprintf(summary + n, cap - n, "%s%s: %s", n > 0 ? "; " : "", c->name,
			    connection_add(g, c) ? "added" : "there is no room for it");
	}
}

bool
gw_reload(struct gw *g, struct config_errors *errors, struct config_errors *warnings,
    char *summary, size_t cap)
{
	struct config *from = g->config, *to;
	struct config_op *ops;
	size_t n, max;

	summary[0] = '\0';
	*errors = *warnings = (struct config_errors){ 0 };
	if (!g->ready || g->stopping) {
		log_event(LOG_LEVEL_WARN, "reload-refused", "error=\"starting or stopping\"");
		return false;
	}
	to = config_load(g->conf->config_path, g->secrets, errors, warnings);
	for (size_t i = 0; i < errors->n; i++)
		log_event(LOG_LEVEL_ERROR, "reload-refused", "error=\"%s\"", errors->line[i]);
	if (to == NULL)
		return false;
	max = from->connection_n + to->connection_n + 2;	/* one each, and the gateway's */
	ops = calloc(max, sizeof(*ops));
	if (ops == NULL) {
		config_free(to);
		return false;
	}
	/* Of what takes a restart, that counts which runs, not what an earlier reload has read. */
	from->port = g->port;
	from->natt_port = g->natt_port;
	memcpy(from->socket, g->socket, sizeof(from->socket));
	n = config_diff(from, to, ops, max);
	g->next = to;
	for (size_t i = 0; i < n; i++) {	/* removals are the first of them */
		summarize(&ops[i], summary, cap);
		apply(g, &ops[i], to);
	}
	add_missing(g, to, summary, cap);
	repoint(g, to);
	reorder(g, to);
	g->config = to;
	g->next = NULL;
	config_free(from);
	free(ops);
	/* `host` or the networks of a connection may have changed. */
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next)
		device_forwarding(g, c);
	if (summary[0] == '\0')
		snprintf(summary, cap, "nothing changed");
	log_event(LOG_LEVEL_NOTICE, "reloaded", "what=\"%s\"", summary);
	uplink_look(g);
	return true;
}
