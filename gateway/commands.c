/* SPDX-License-Identifier: MIT */
/* What the verbs of the control socket do in the daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/control.h"
#include "gateway/gateway.h"
#include "gateway/status.h"
#include "gateway/version.h"

/* What a request names: a connection, or one tunnel of it ("office", "office/2"). */
struct target {
	struct gw_connection *c;
	unsigned first, last;		/* tunnels, 0-based, inclusive */
	bool one;			/* a tunnel was named */
};

static json_t *
ok(const char *what)
{
	return json_pack("{s:b, s:i, s:o}", "ok", 1, "schema", TANDEM_SCHEMA, "what",
	    control_text(what));
}

/* The 1-based number that `text` is, whole; 0: none of `max`. */
static unsigned
tunnel_number(const char *text, unsigned max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	return text[0] >= '1' && text[0] <= '9' && *end == '\0' && n <= max ? (unsigned)n : 0;
}

/* NULL: found; else the answer that says why not. */
static json_t *
find_target(struct gw *g, const json_t *q, struct target *t)
{
	const char *text = json_string_value(json_object_get(q, "target")), *slash;
	char name[CONFIG_NAME_MAX];
	unsigned n;
	size_t len;

	if (text == NULL)
		return control_error("which connection? give its name, or name/tunnel");
	slash = strrchr(text, '/');
	len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	t->c = len < sizeof(name) ? gw_connection_find(g, name) : NULL;
	if (t->c == NULL)
		return control_error("no connection is named \"%s\"; tandem status lists them", name);
	t->one = slash != NULL;
	t->first = 0;
	t->last = t->c->conf->tunnels_n - 1;
	if (!t->one)
		return NULL;
	n = tunnel_number(slash + 1, t->c->conf->tunnels_n);
	if (n == 0)
		return control_error("\"%s\" has no tunnel \"%s\"; they are numbered 1 to %u",
		    name, slash + 1, t->c->conf->tunnels_n);
	t->first = t->last = n - 1;
	return NULL;
}

static json_t *
each_tunnel(struct gw *g, const json_t *q, struct ike_fact *f, const char *what)
{
	struct target t;
	json_t *err = find_target(g, q, &t);

	if (err != NULL)
		return err;
	for (unsigned i = t.first; i <= t.last; i++) {
		f->tunnel = t.c->t[i].id;
		gw_ike(g, f);
	}
	return ok(what);
}

static json_t *
do_status(struct gw *g, const json_t *q)
{
	const json_t *target = json_object_get(q, "target");
	const char *only = json_string_value(target);

	if (target != NULL && only == NULL)
		return control_error("\"target\" is the name of a connection");
	if (only != NULL && gw_connection_find(g, only) == NULL)
		return control_error(strchr(only, '/') != NULL ? "no connection is named \"%s\"; "
		    "status takes a connection, not one of its tunnels" :
		    "no connection is named \"%s\"; tandem status lists them", only);
	return status_json(g, only);
}

static json_t *
do_up(struct gw *g, const json_t *q)
{
	struct target t;
	json_t *err = find_target(g, q, &t);
	bool up = true;

	if (err != NULL)
		return err;
	for (unsigned i = t.first; i <= t.last; i++)
		up = up && t.c->t[i].up;
	if (up)
		return ok("up already");
	return each_tunnel(g, q, &(struct ike_fact){ .kind = IKE_OPEN }, "opening");
}

static json_t *
do_down(struct gw *g, const json_t *q)
{
	return each_tunnel(g, q, &(struct ike_fact){ .kind = IKE_CLOSE }, "closing");
}

static json_t *
do_rekey(struct gw *g, const json_t *q)
{
	bool ike = json_is_true(json_object_get(q, "ike")), up = false;
	struct target t;
	json_t *err = find_target(g, q, &t);

	if (err != NULL)
		return err;
	for (unsigned i = t.first; i <= t.last; i++)
		up = up || t.c->t[i].up;
	if (!up)
		return control_error("%s is down: there is nothing to rekey",
		    json_string_value(json_object_get(q, "target")));
	return each_tunnel(g, q, &(struct ike_fact){ .kind = IKE_REKEY, .ike_sa = ike },
	    ike ? "rekeying the IKE SA" : "rekeying the Child SA");
}

/* Why traffic cannot be sent by this tunnel now; NULL: it can. */
static json_t *
why_not(struct gw *g, const struct gw_tunnel *t)
{
	struct mon_status st;

	if (t->c->conf->policy == MON_PINNED)
		return control_error("%s is pinned to tunnel %u by its policy", t->c->conf->name,
		    t->c->conf->pin + 1);
	if (!t->up)
		return control_error("tunnel %u is down: %s", t->index + 1,
		    t->reason[0] != '\0' ? t->reason : "it is still being opened");
	if (monitor_status(g->monitor, t->id, &st) &&
	    (st.verdict == MON_V_DEAD || st.verdict == MON_V_UPLINK))
		return control_error("tunnel %u does not carry: %s", t->index + 1, st.reason);
	return NULL;
}

/* Without a tunnel: away from the one that carries now. */
static json_t *
do_failover(struct gw *g, const json_t *q)
{
	struct mon_fact f = { .kind = MON_CHOOSE };
	struct target t;
	json_t *err = find_target(g, q, &t);

	if (err != NULL)
		return err;
	f.connection = t.c->id;
	if (json_is_true(json_object_get(q, "auto"))) {
		if (t.one)
			return control_error("back to the policy goes the whole connection: name %s alone",
			    t.c->conf->name);
		gw_monitor(g, &f);
		return ok("the policy decides again");
	}
	f.index = t.one ? t.first + 1 : connection_carries(t.c, 0) ? 2 : 1;
	if ((err = why_not(g, &t.c->t[f.index - 1])) != NULL)
		return err;
	gw_monitor(g, &f);
	return ok(f.index == 1 ? "traffic goes by tunnel 1" : "traffic goes by tunnel 2");
}

static json_t *
lines(const struct config_errors *e)
{
	json_t *a = json_array();

	for (size_t i = 0; i < e->n; i++)
		json_array_append_new(a, control_text(e->line[i]));
	return a;
}

static json_t *
do_reload(struct gw *g, const json_t *q)
{
	struct config_errors errors = { 0 }, warnings = { 0 };
	char summary[4096];
	bool good = gw_reload(g, &errors, &warnings, summary, sizeof(summary));
	json_t *a = good ? ok(summary) :
	    errors.n == 0 ? control_error("the daemon is starting, stopping or out of memory") :
	    control_error("the configuration has %zu mistake%s; what was running goes on",
	    errors.n, errors.n == 1 ? "" : "s");

	(void)q;
	json_object_set_new(a, "errors", lines(&errors));
	json_object_set_new(a, "warnings", lines(&warnings));
	config_errors_free(&errors);
	config_errors_free(&warnings);
	return a;
}

static json_t *
do_version(struct gw *g, const json_t *q)
{
	(void)g, (void)q;
	return json_pack("{s:b, s:i, s:s}", "ok", 1, "schema", TANDEM_SCHEMA,
	    "version", TANDEM_VERSION);
}

static const struct {
	const char *verb;
	json_t *(*answer)(struct gw *g, const json_t *request);
} verbs[] = {
	{ "status",	do_status },
	{ "up",		do_up },
	{ "down",	do_down },
	{ "rekey",	do_rekey },
	{ "failover",	do_failover },
	{ "reload",	do_reload },
	{ "version",	do_version },
};

json_t *
control_answer(struct gw *g, const json_t *request)
{
	const char *verb = json_string_value(json_object_get(request, "verb"));

	for (size_t i = 0; verb != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verb, verbs[i].verb) == 0)
			return verbs[i].answer(g, request);
	return control_error("unknown verb \"%s\"", verb != NULL ? verb : "");
}
