/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_RIG_H
#define TANDEM_GATEWAY_RIG_H

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/gateway.h"
#include "unit.h"

/*
 * A gateway without sockets and devices, as gateway.c makes one: its machines, its worker, and
 * the configuration that the test writes.  The other end of the broker's pair is the test's.
 */
#ifndef RIG_WORKERS
#define RIG_WORKERS	1
#endif

struct rig {
	struct gw g;
	struct gw_conf conf;
	char dir[64];
	int broker;
};

static inline void
rig_file(const struct rig *r, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%.60s/%s", r->dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(path, 0600), 0);
}

static inline void
rig_answer(void *arg, uint32_t cookie, const struct host_answer *a)
{
	device_answer(arg, cookie, a);
}

static inline void
rig_gone(void *arg)
{
	(void)arg;
	ck_abort_msg("the broker is gone");
}

static inline void
rig_back(void *arg, const struct esp_event *ev)
{
	struct gw *g = arg;

	if (ev->kind == ESP_EV_SA_BACK)
		gw_sa_lost(g, ev->sa);
	else if (ev->kind == ESP_EV_PATH_BACK)
		esp_path_free(ev->path);
}

static inline void
rig_machines(struct gw *g)
{
	static const uint8_t key[16] = "a key of probes.";
	struct ike_env env = { .workers = RIG_WORKERS, .half_open_cookie = 32, .half_open_max = 1024 };

	g->rng = rng_system();
	env.rng = g->rng;
	env.secrets = g->secrets = secrets_new();
	env.aeads = g->aeads = aead_set_new();
	g->ike = ike_new(&env);
	g->monitor = monitor_new(&g->rng);
	g->tunnels = map_new(1);
	g->sas = map_new(2);
	g->lent = map_new(3);
	g->nl = nl_open();
	g->jobs = jobs_new(1);
	g->workers = workers_new(RIG_WORKERS, g->aeads, key);
	heap_init(&g->samples);
	ck_assert(g->ike != NULL && g->monitor != NULL && g->nl != NULL && g->workers != NULL &&
	    g->jobs != NULL && g->tunnels != NULL && g->sas != NULL && g->lent != NULL);
}

static inline void
rig_broker(struct rig *r)
{
	struct hostlink_handlers h = { rig_answer, rig_gone, &r->g };
	int pair[2];

	r->g.loop = loop_new();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	r->broker = pair[1];
	r->conf.broker = pair[0];
	r->g.host = hostlink_new(r->g.loop, pair[0], &h);
	ck_assert(r->g.loop != NULL && r->g.host != NULL);
}

/* All but the connections.  A file "key" with a secret is there for the configuration. */
static inline void
rig_new(struct rig *r, const char *yaml)
{
	struct config_errors errors, warnings;
	struct gw *g = &r->g;

	memset(r, 0, sizeof(*r));
	g->conf = &r->conf;
	g->started = loop_now();
	g->look_at = USEC_NEVER;
	for (int i = 0; i < SOCK_N; i++)
		g->sock[i] = -1;
	strcpy(r->dir, "/tmp/tandem-gateway-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	rig_file(r, "key", "a shared secret\n");
	rig_file(r, "tandem.yaml", yaml);
	snprintf(r->conf.config_path, sizeof(r->conf.config_path), "%.60s/tandem.yaml", r->dir);
	rig_machines(g);
	rig_broker(r);
	g->config = config_load(r->conf.config_path, g->secrets, &errors, &warnings);
	ck_assert_msg(g->config != NULL, "%s", errors.n > 0 ? errors.line[0] : "?");
	config_errors_free(&errors);
	config_errors_free(&warnings);
	g->port = g->config->port;
	g->natt_port = g->config->natt_port;
}

/* What the gateway does when its sockets are open. */
static inline void
rig_begin(struct rig *r)
{
	struct gw *g = &r->g;

	for (size_t i = 0; i < g->config->connection_n; i++)
		ck_assert(connection_add(g, &g->config->connection[i]));
	g->ready = true;
}

static inline void
rig_free_sas(struct gw *g)
{
	size_t pos = 0;
	void *v;

	while (map_each(g->sas, &pos, NULL, &v)) {
		esp_sa_free(g->secrets, ((struct gw_sa *)v)->out);
		free(v);
	}
}

/* No secret may be left. */
static inline void
rig_free(struct rig *r)
{
	struct gw *g = &r->g;
	struct gw_connection *c;
	char command[100];

	hostlink_free(g->host);
	jobs_free(g->jobs, NULL, NULL);
	workers_free(g->workers, rig_back, g);
	rig_free_sas(g);
	ike_free(g->ike);
	monitor_free(g->monitor);
	heap_fini(&g->samples);
	map_free(g->sas);
	map_free(g->lent);
	map_free(g->tunnels);
	nl_close(g->nl);
	while ((c = g->connections) != NULL) {
		g->connections = c->next;
		own_free(&c->own);
		free(c);
	}
	config_free(g->config);
	loop_free(g->loop);
	aead_set_free(g->aeads);
	ck_assert_uint_eq(secrets_used(g->secrets), 0);
	secrets_free(g->secrets);
	close(r->broker);
	close(r->conf.broker);
	snprintf(command, sizeof(command), "rm -r %.60s", r->dir);
	ck_assert_int_eq(system(command), 0);
}

#endif
