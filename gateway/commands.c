/* SPDX-License-Identifier: MIT */
/* What the verbs of the control socket do in the daemon. */
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
	return json_pack("{s:b, s:i, s:s}", "ok", 1, "schema", TANDEM_SCHEMA, "what", what);
}

/* NULL: found; else the answer that says why not. */
static json_t *
find_target(struct gw *g, const json_t *q, struct target *t)
{
	const char *text = json_string_value(json_object_get(q, "target")), *slash;
	char name[CONFIG_NAME_MAX];
	char *end;
	unsigned long n;

	if (text == NULL)
		return control_error("which connection? give its name, or name/tunnel");
	slash = strrchr(text, '/');
	snprintf(name, sizeof(name), "%.*s",
	    slash != NULL ? (int)(slash - text) : (int)strlen(text), text);
	t->c = gw_connection_find(g, name);
	if (t->c == NULL)
		return control_error("no connection is named \"%s\"; tandem status lists them", name);
	t->one = slash != NULL;
	t->first = 0;
	t->last = t->c->conf->tunnels_n - 1;
	if (!t->one)
		return NULL;
	n = strtoul(slash + 1, &end, 10);
	if (*end != '\0' || n < 1 || n > t->c->conf->tunnels_n)
		return control_error("\"%s\" has no tunnel \"%s\"; they are numbered 1 to %u",
		    name, slash + 1, t->c->conf->tunnels_n);
	t->first = t->last = (unsigned)n - 1;
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
	const char *only = json_string_value(json_object_get(q, "target"));

	if (only != NULL && gw_connection_find(g, only) == NULL)
		return control_error("no connection is named \"%s\"", only);
	return status_json(g, only);
}

static json_t *
do_up(struct gw *g, const json_t *q)
{
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
	bool ike = json_is_true(json_object_get(q, "ike"));

	return each_tunnel(g, q, &(struct ike_fact){ .kind = IKE_REKEY, .ike_sa = ike },
	    ike ? "rekeying the IKE SA" : "rekeying the Child SA");
}

/* Would the monitor follow?  NULL, or the answer that says why not. */
static json_t *
may_choose(struct gw *g, const struct gw_connection *c, unsigned index)
{
	const struct gw_tunnel *t = &c->t[index - 1];
	struct mon_status m;

	if (c->conf->policy == MON_PINNED)
		return control_error("the policy of \"%s\" is pinned: change 'pin' and reload",
		    c->conf->name);
	if (!t->up)
		return control_error("tunnel %u is down: %s", index, t->reason);
	if (monitor_status(g->monitor, t->id, &m) &&
	    (m.verdict == MON_V_DEAD || m.verdict == MON_V_UPLINK))
		return control_error("tunnel %u carries nothing: %s", index, m.reason);
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
	if (json_is_true(json_object_get(q, "auto")))
		f.index = 0;
	else if (t.one)
		f.index = t.first + 1;
	else
		f.index = connection_carries(t.c, 0) ? 2 : 1;
	if (f.index != 0 && (err = may_choose(g, t.c, f.index)) != NULL)
		return err;
	gw_monitor(g, &f);
	return ok(f.index == 0 ? "the policy decides again" : f.index == 1 ?
	    "traffic goes by tunnel 1" : "traffic goes by tunnel 2");
}

static json_t *
lines(const struct config_errors *e)
{
	json_t *a = json_array();

	for (size_t i = 0; i < e->n; i++)
		json_array_append_new(a, json_string(e->line[i]));
	return a;
}

static json_t *
do_reload(struct gw *g, const json_t *q)
{
	struct config_errors errors = { 0 }, warnings = { 0 };
	char summary[4096];
	bool good = gw_reload(g, &errors, &warnings, summary, sizeof(summary));
	json_t *a = good ? ok(summary) :
	    control_error("the configuration has %zu mistakes; what was running goes on", errors.n);

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

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verb, verbs[i].verb) == 0)
			return verbs[i].answer(g, request);
	return control_error("unknown verb \"%s\"", verb);
}
