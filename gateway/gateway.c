/* SPDX-License-Identifier: MIT */
/*
 * The map of the program.  Facts come from sockets, the worker, the broker, the kernel's news
 * and control clients; each goes to a machine; after every round the machines are drained here
 * and each action is carried (carry.c) to where it belongs:
 *
 *	IKE      SEND -> socket            SA_IN, SA_OUT, SA_DROP -> workers
 *	         UP, DOWN, ALIVE, TOLD -> monitor            WORK -> pool
 *	monitor  PROBE, SELECT -> workers  ASK, TELL, CLOSE -> IKE
 *	worker   ECHO -> monitor           MOVED, SEQ_LOW, IKE datagrams -> IKE
 *	         STRAY -> log
 */
#include "gateway/gateway.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/control.h"
#include "gateway/version.h"
#include "tun/udp.h"

#define STOP_PATIENCE	USEC_S(1)	/* for peers to answer our deletes */
#define JOBS_A_ROUND	8
#define FLUSH_SOON	USEC_MS(1)	/* commands found the worker's ring full */

struct gw_tunnel *
gw_tunnel_find(struct gw *g, uint32_t id)
{
	return map_get(g->tunnels, id);
}

struct gw_connection *
gw_connection_find(struct gw *g, const char *name)
{
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next)
		if (strcmp(c->conf->name, name) == 0)
			return c;
	return NULL;
}

void
gw_event(struct gw *g, const char *event, const struct gw_connection *c,
    const struct gw_tunnel *t, const char *text)
{
	char quoted[IKE_REASON_MAX * 2];

	log_quote(text, strlen(text), quoted, sizeof(quoted));
	if (t != NULL)
		log_event(LOG_LEVEL_NOTICE, event, "connection=%s tunnel=%u what=%s",
		    c->conf->name, t->index + 1, quoted);
	else
		log_event(LOG_LEVEL_NOTICE, event, "connection=%s what=%s", c->conf->name, quoted);
	if (g->control != NULL)
		control_event(g->control, event, c->conf->name, t != NULL ? t->index + 1 : 0, text);
}

struct gw_connection *
gw_connection_by_id(struct gw *g, uint32_t id)
{
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next)
		if (c->id == id)
			return c;
	return NULL;
}

void
gw_touch(struct gw *g, uint32_t connection, uint32_t tunnel)
{
	struct gw_tunnel *t = tunnel != 0 ? gw_tunnel_find(g, tunnel) : NULL;
	struct gw_connection *c = t != NULL ? t->c : gw_connection_by_id(g, connection);

	if (c == NULL || c->touched)
		return;
	c->touched = true;
	c->next_touched = g->touched;
	g->touched = c;
}

void
gw_monitor(struct gw *g, const struct mon_fact *f)
{
	gw_touch(g, f->connection, f->tunnel);
	monitor_input(g->monitor, loop_now(), f);
}

void
gw_ike(struct gw *g, const struct ike_fact *f)
{
	ike_input(g->ike, loop_now(), f);
}

/* It is not, or not any more, at one of the workers: free it after the last. */
static void
esp_back(void *arg, const struct esp_event *ev)
{
	struct gw *g = arg;

	if (ev->sa != NULL)
		gw_sa_lost(g, ev->sa);
	if (ev->path != NULL && --ev->path->users == 0)
		esp_path_free(ev->path);
}

void
gw_esp(struct gw *g, const struct gw_connection *c, const struct esp_cmd *cmd)
{
	unsigned n = workers_n(g->workers);
	uint64_t home = workers_bit(cmd->tunnel % n);

	if (cmd->kind == ESP_CMD_SA_IN)
		gw_esp_to(g, workers_bit(esp_sa_spi(cmd->sa) % n), cmd);
	else if (cmd->kind == ESP_CMD_PROBE)
		gw_esp_to(g, home, cmd);
	else
		gw_esp_to(g, c != NULL ? c->serves : home | workers_bit(cmd->spi % n), cmd);
}

void
gw_esp_to(struct gw *g, uint64_t set, const struct esp_cmd *cmd)
{
	const struct worker_cmd w = { .kind = WORKER_ESP, .esp = *cmd };

	/* Counted before the first has it. */
	if (cmd->sa != NULL)
		esp_sa_lend(cmd->sa, (unsigned)__builtin_popcountll(set));
	if (cmd->path != NULL)
		cmd->path->users = (unsigned)__builtin_popcountll(set);
	for (unsigned i = 0; i < workers_n(g->workers); i++) {
		if ((set & workers_bit(i)) == 0 || worker_post(workers_at(g->workers, i), &w))
			continue;
		log_event(LOG_LEVEL_ERROR, "no-memory", "what=\"command to worker %u lost\"", i);
		esp_back(g, &(struct esp_event){ .sa = cmd->sa, .path = cmd->path });
	}
}

/* ---- facts ------------------------------------------------------------------------------ */

void
gw_esp_fact(struct gw *g, const struct esp_event *ev)
{
	char remote[ENDPOINT_STRLEN];

	switch (ev->kind) {
	case ESP_EV_SA_BACK:
		gw_sa_back(g, ev->sa);
		return;
	case ESP_EV_PATH_BACK:
		esp_back(g, ev);
		return;
	case ESP_EV_ECHO:
		gw_monitor(g, &(struct mon_fact){ .kind = MON_ECHO, .tunnel = ev->tunnel,
		    .token = ev->token, .at = ev->at });
		gw_ike(g, &(struct ike_fact){ .kind = IKE_HEARD, .tunnel = ev->tunnel });
		return;
	case ESP_EV_MOVED:
		gw_ike(g, &(struct ike_fact){ .kind = IKE_MOVED, .tunnel = ev->tunnel,
		    .remote = ev->remote });
		return;
	case ESP_EV_SEQ_LOW:
		gw_ike(g, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = ev->tunnel,
		    .spi_out = ev->spi });
		return;
	case ESP_EV_STRAY:
		log_event(LOG_LEVEL_DEBUG, "esp-stray", "spi=%08x remote=%s what=\"no SA of ours has this SPI\"",
		    ev->spi, endpoint_str(&ev->remote, remote));
		return;
	}
}

static void
on_worker(void *arg)
{
	struct gw_worker *x = arg;
	struct gw *g = x->g;
	struct worker *w = workers_at(g->workers, (unsigned)(x - g->worker));
	struct esp_event ev;

	worker_fd_clear(w);
	while (worker_event(w, &ev))
		gw_esp_fact(g, &ev);
	sample_sleepers(g);
	loop_again(g->on_strays);
}

/* Strangers' datagrams, so not together with the workers' own news. */
static void
on_strays(void *arg)
{
	struct gw *g = arg;

	if (sockets_strays(g))
		loop_again(g->on_strays);
}

static void
on_jobs(void *arg)
{
	struct gw *g = arg;
	struct ike_job *job;

	for (int n = 0; n < JOBS_A_ROUND && (job = jobs_done(g->jobs)) != NULL; n++)
		gw_ike(g, &(struct ike_fact){ .kind = IKE_WORK_DONE, .job = job });
}

static void
link_news(void *arg, const struct nl_link *link, bool gone)
{
	device_news(arg, link, gone);
}

void
gw_news(struct gw *g)
{
	/* A storm of routes is one piece of news; the first of it is acted upon at once. */
	if (nl_news(g->news, link_news, g) && g->look_at == USEC_NEVER)
		g->look_at = g->look_next;
}

static void
on_news(void *arg)
{
	gw_news(arg);
}

/* ---- sockets and the broker --------------------------------------------------------------- */

/* With the sockets there the first openings do not get lost: now the connections. */
static void
begin(struct gw *g)
{
	struct host_request ready = { .op = HOST_READY };
	bool good = true;

	for (size_t i = 0; good && i < g->config->connection_n; i++)
		good = connection_add(g, &g->config->connection[i]);
	if (!good || !control_begin(g->control)) {
		g->exit_code = 1;
		gw_stop(g);
		return;
	}
	g->ready = true;
	uplink_look(g);
	log_event(LOG_LEVEL_NOTICE, "started", "version=%s config=%s connections=%zu",
	    TANDEM_VERSION, g->conf->config_path, g->config->connection_n);
	(void)hostlink_ask(g->host, &ready, GW_COOKIE_HOST);
}

static void
socket_opened(struct gw *g, const struct host_answer *a)
{
	if (!sockets_opened(g, a)) {
		g->exit_code = 1;
		gw_stop(g);
	}
	if (g->sockets_asked == 0 && !g->stopping)
		begin(g);
}

static void
on_answer(void *arg, uint32_t cookie, const struct host_answer *a)
{
	struct gw *g = arg;

	switch (a->op) {
	case HOST_UDP_OPEN:
		socket_opened(g, a);
		return;
	case HOST_STOP:
		g->undone = true;
		return;
	case HOST_READY:
		return;
	default:
		device_answer(g, cookie, a);
		return;
	}
}

static void
on_broker_gone(void *arg)
{
	struct gw *g = arg;

	log_event(LOG_LEVEL_ERROR, "broker-gone", "what=\"the privileged process ended; ending too\"");
	g->exit_code = 1;
	g->undone = g->stopping = true;
	loop_stop(g->loop);
}

/* ---- start, turn, stop ------------------------------------------------------------------- */

void
gw_stop(struct gw *g)
{
	if (g->stopping)
		return;
	g->stopping = true;
	g->stop_at = usec_add(loop_now(), STOP_PATIENCE);
	log_event(LOG_LEVEL_NOTICE, "stopping", "what=\"deleting SAs at the peers\"");
	gw_ike(g, &(struct ike_fact){ .kind = IKE_STOP });
}

static void
on_stop(void *arg)
{
	gw_stop(arg);
}

static void
on_hup(void *arg)
{
	struct config_errors errors = { 0 }, warnings = { 0 };
	char summary[512];

	(void)gw_reload(arg, &errors, &warnings, summary, sizeof(summary));
	for (size_t i = 0; i < warnings.n; i++)
		log_event(LOG_LEVEL_WARN, "configuration", "what=\"%s\"", warnings.line[i]);
	config_errors_free(&errors);
	config_errors_free(&warnings);
}

/* The peers have answered or patience is over: undo what we made on the host. */
static void
stop_more(struct gw *g, usec_t now)
{
	struct host_request q = { .op = HOST_STOP };
	struct ike_totals t;

	if (g->undone) {
		loop_stop(g->loop);
		return;
	}
	ike_totals(g->ike, &t);
	if (g->stop_at == USEC_NEVER || (t.ike_sas > 0 && now < g->stop_at))
		return;
	g->stop_at = USEC_NEVER;
	/* The workers let go first, so that they do not find their devices deleted. */
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next)
		share_close(g, c);
	if (!hostlink_ask(g->host, &q, GW_COOKIE_HOST))
		g->undone = true;
}

static usec_t
turn(void *arg, usec_t now)
{
	struct gw *g = arg;
	usec_t at;

	sample_due(g, now);
	if (now >= g->look_at)
		uplink_look(g);
	if (now >= g->device_at && !g->stopping)
		device_retry(g, now);
	monitor_tick(g->monitor, now);
	ike_tick(g->ike, now);
	gw_drain(g, now);
	sample_when(g, now);
	gw_drain(g, now);
	if (g->stopping)
		stop_more(g, now);
	at = usec_min(ike_deadline(g->ike), monitor_deadline(g->monitor));
	at = usec_min(at, usec_min(heap_deadline(&g->samples), g->look_at));
	if (!g->stopping)
		at = usec_min(at, g->device_at);
	if (!workers_flush(g->workers))
		at = usec_min(at, usec_add(now, FLUSH_SOON));
	return g->stopping ? usec_min(at, g->stop_at) : at;
}

static bool
machines_new(struct gw *g)
{
	struct ike_env env = { .workers = workers_wanted(g->config->workers),
	    .half_open_cookie = 32, .half_open_max = 1024 };
	uint8_t probe_key[16];

	g->rng = rng_system();
	g->aeads = aead_set_new();
	if (g->aeads == NULL)
		return false;
	rng_fill(&g->rng, probe_key, sizeof(probe_key));
	env.rng = g->rng;
	env.secrets = g->secrets;
	env.aeads = g->aeads;
	g->ike = ike_new(&env);
	g->monitor = monitor_new(&g->rng);
	g->tunnels = map_new(rng_u64(&g->rng));
	g->sas = map_new(rng_u64(&g->rng));
	g->lent = map_new(rng_u64(&g->rng));
	g->nl = nl_open();
	g->news = nl_watch();
	g->jobs = jobs_new(0);
	g->workers = workers_new(env.workers, g->aeads, probe_key);
	secret_wipe(probe_key, sizeof(probe_key));
	heap_init(&g->samples);
	return g->ike != NULL && g->monitor != NULL && g->tunnels != NULL && g->sas != NULL &&
	    g->lent != NULL && g->nl != NULL && g->news != NULL && g->jobs != NULL && g->workers != NULL;
}

static bool
watch_all(struct gw *g)
{
	const struct hostlink_handlers h = { on_answer, on_broker_gone, g };

	for (unsigned i = 0; i < workers_n(g->workers); i++) {
		g->worker[i].g = g;
		g->worker[i].on = loop_on_read(g->loop, worker_fd(workers_at(g->workers, i)),
		    LOOP_FIRST, on_worker, &g->worker[i]);
		if (g->worker[i].on == NULL)
			return false;
	}
	g->on_strays = loop_on_call(g->loop, LOOP_LATER, on_strays, g);
	g->on_jobs = loop_on_read(g->loop, jobs_fd(g->jobs), LOOP_LATER, on_jobs, g);
	g->on_news = loop_on_read(g->loop, nl_fd(g->news), LOOP_FIRST, on_news, g);
	g->on_signal[0] = loop_on_signal(g->loop, SIGTERM, on_stop, g);
	g->on_signal[1] = loop_on_signal(g->loop, SIGINT, on_stop, g);
	g->on_signal[2] = loop_on_signal(g->loop, SIGHUP, on_hup, g);
	g->host = hostlink_new(g->loop, g->conf->broker, &h);
	return g->on_strays != NULL && g->on_jobs != NULL && g->on_news != NULL &&
	    g->on_signal[0] != NULL && g->on_signal[1] != NULL && g->on_signal[2] != NULL &&
	    g->host != NULL;
}

static bool
load(struct gw *g)
{
	struct config_errors errors = { 0 }, warnings = { 0 };

	g->config = config_load(g->conf->config_path, g->secrets, &errors, &warnings);
	for (size_t i = 0; i < errors.n; i++)	/* a new engine may find another file than the first */
		fprintf(stderr, "%s\n", errors.line[i]);
	config_errors_free(&errors);
	config_errors_free(&warnings);
	if (g->config == NULL)
		return false;
	log_level_set(g->config->log);
	/* A reload cannot change these: the sockets are open. */
	g->port = g->config->port;
	g->natt_port = g->config->natt_port;
	memcpy(g->socket, g->config->socket, sizeof(g->socket));
	return true;
}

static const char *
socket_path(const struct gw *g)
{
	if (g->conf->socket_path[0] != '\0')
		return g->conf->socket_path;
	return g->config->socket[0] != '\0' ? g->config->socket : TANDEM_SOCKET;
}

static bool
start(struct gw *g)
{
	if ((g->secrets = secrets_new()) == NULL || !load(g))
		return false;
	if (!machines_new(g)) {
		log_event(LOG_LEVEL_ERROR, "start-failed", "error=\"%s\"", strerror(errno));
		return false;
	}
	if ((g->loop = loop_new()) == NULL || !watch_all(g))
		return false;
	g->control = control_new(g, socket_path(g));
	if (g->control == NULL)
		return false;
	sockets_ask(g);
	return true;			/* the answers lead on: begin() */
}

/* The machine frees its jobs wherever they are, and the actions that nobody took; so the pool
 * goes before it. */
static void
machines_free(struct gw *g)
{
	size_t pos = 0;
	void *v;

	jobs_free(g->jobs, NULL, NULL);
	workers_free(g->workers, esp_back, g);
	while (g->sas != NULL && map_each(g->sas, &pos, NULL, &v)) {
		esp_sa_free(g->secrets, ((struct gw_sa *)v)->out);
		free(v);
	}
	ike_free(g->ike);
	monitor_free(g->monitor);
	heap_fini(&g->samples);
	map_free(g->sas);
	map_free(g->lent);
	map_free(g->tunnels);
	nl_close(g->nl);
	nl_close(g->news);
}

static void
finish(struct gw *g)
{
	struct gw_connection *c;

	control_free(g->control);
	hostlink_free(g->host);
	for (int i = 0; i < SOCK_N; i++)
		loop_forget(g->on_ike[i]);
	for (int i = 0; i < 3; i++)
		loop_forget(g->on_signal[i]);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		loop_forget(g->worker[i].on);
	loop_forget(g->on_strays);
	loop_forget(g->on_jobs);
	loop_forget(g->on_news);
	machines_free(g);
	sockets_fini(g);
	while ((c = g->connections) != NULL) {
		g->connections = c->next;
		own_free(&c->own);
		free(c);
	}
	config_free(g->config);
	if (g->loop != NULL)
		loop_free(g->loop);
	aead_set_free(g->aeads);
	secrets_free(g->secrets);
}

int
gw_run(const struct gw_conf *conf)
{
	struct gw g = { .conf = conf, .started = loop_now(), .look_at = USEC_NEVER,
	    .device_at = USEC_NEVER };

	if (sockets_init(&g) && start(&g))
		loop_run(g.loop, turn, &g);
	else
		g.exit_code = 1;
	finish(&g);
	return g.exit_code;
}
