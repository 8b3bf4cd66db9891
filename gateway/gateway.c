/* SPDX-License-Identifier: MIT */
/*
 * The map of the program.  Facts come from sockets, the worker, the broker, the kernel's news
 * and control clients; each goes to a machine; after every round the machines are drained here
 * and each action is carried (carry.c) to where it belongs:
 *
 *	IKE      SEND -> socket            SA_IN, SA_OUT, SA_DROP -> worker
 *	         UP, DOWN, ALIVE, TOLD -> monitor            WORK -> pool
 *	monitor  PROBE, SELECT -> worker   ASK, TELL, CLOSE -> IKE
 *	worker   ECHO -> monitor           MOVED, SEQ_LOW, IKE datagrams -> IKE
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
#define STRAYS_A_ROUND	32
#define JOBS_A_ROUND	8
#define FLUSH_SOON	USEC_MS(1)	/* commands found the worker's ring full */
#define COOKIE_HOST	0		/* answers that belong to no connection */

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

void
gw_esp(struct gw *g, const struct esp_cmd *cmd)
{
	const struct worker_cmd w = { .kind = WORKER_ESP, .esp = *cmd };

	if (worker_post(g->worker, &w))
		return;
	log_event(LOG_LEVEL_ERROR, "no-memory", "what=\"command to worker lost\"");
	esp_sa_free(g->secrets, cmd->sa);
	esp_path_free(cmd->path);
}

/* ---- facts ------------------------------------------------------------------------------ */

static void
esp_back(void *arg, const struct esp_event *ev)
{
	struct gw *g = arg;

	if (ev->kind == ESP_EV_SA_BACK)
		esp_sa_free(g->secrets, ev->sa);
	else if (ev->kind == ESP_EV_PATH_BACK)
		esp_path_free(ev->path);
}

static void
esp_fact(struct gw *g, const struct esp_event *ev)
{
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
		gw_ike(g, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = ev->tunnel });
		return;
	case ESP_EV_STRAY:
		return;
	}
}

static void
on_worker(void *arg)
{
	struct gw *g = arg;
	struct esp_event ev;

	worker_fd_clear(g->worker);
	while (worker_event(g->worker, &ev))
		esp_fact(g, &ev);
	sample_sleepers(g);
	loop_again(g->on_strays);
}

/* Strangers' datagrams, so not together with the worker's own news. */
static void
on_strays(void *arg)
{
	struct gw *g = arg;
	struct worker_stray s;

	for (int n = 0; n < STRAYS_A_ROUND; n++) {
		if (!worker_stray(g->worker, &s))
			return;
		gw_ike(g, &(struct ike_fact){ .kind = IKE_DATAGRAM, .local = s.local,
		    .remote = s.remote, .data = s.data, .len = s.len });
	}
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
	connection_link(arg, link, gone);
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

static void
ike_read(struct gw *g, unsigned which)
{
	struct batch *b = &g->in;

	batch_reset(b);
	if (udp_recv(g->sock[which], which, g->port, b) <= 0)
		return;
	for (unsigned i = 0; i < b->n; i++)
		gw_ike(g, &(struct ike_fact){ .kind = IKE_DATAGRAM,
		    .local = b->pkt[i].local, .remote = b->pkt[i].remote,
		    .data = pkt_data(&b->pkt[i]), .len = b->pkt[i].len });
}

static void
on_ike4(void *arg)
{
	ike_read(arg, SOCK_IKE4);
}

static void
on_ike6(void *arg)
{
	ike_read(arg, SOCK_IKE6);
}

/* ---- sockets and the broker --------------------------------------------------------------- */

static void
ask_socket(struct gw *g, unsigned which)
{
	struct host_request q = { .op = HOST_UDP_OPEN };
	bool v6 = which == SOCK_IKE6 || which == SOCK_NATT6;

	q.local.ip.family = v6 ? AF_INET6 : AF_INET;
	q.local.port = which < SOCK_NATT4 ? g->port : g->natt_port;
	g->sockets_asked++;
	if (!hostlink_ask(g->host, &q, COOKIE_HOST))
		log_event(LOG_LEVEL_ERROR, "no-memory", "what=\"socket request\"");
}

static bool
socket_use(struct gw *g, unsigned which, int fd)
{
	struct worker_cmd cmd = { .kind = WORKER_SOCKET, .index = which, .fd = fd,
	    .port = g->natt_port };
	bool v6 = which == SOCK_IKE6;

	g->sock[which] = fd;
	if (which >= SOCK_NATT4)
		return worker_post(g->worker, &cmd);
	g->on_ike[v6] = loop_on_read(g->loop, fd, LOOP_LATER, v6 ? on_ike6 : on_ike4, g);
	return g->on_ike[v6] != NULL;
}

/* With the sockets there the first openings do not get lost: now the connections. */
static void
begin(struct gw *g)
{
	struct host_request ready = { .op = HOST_READY };

	for (size_t i = 0; i < g->config->connection_n; i++) {
		if (connection_add(g, &g->config->connection[i]))
			continue;
		g->exit_code = 1;
		gw_stop(g);
		return;
	}
	g->ready = true;
	uplink_look(g);
	log_event(LOG_LEVEL_NOTICE, "started", "version=%s config=%s connections=%zu",
	    TANDEM_VERSION, g->conf->config_path, g->config->connection_n);
	(void)hostlink_ask(g->host, &ready, COOKIE_HOST);
}

static void
socket_opened(struct gw *g, const struct host_answer *a)
{
	bool v6 = a->what.local.ip.family == AF_INET6;
	bool natt = a->what.local.port == g->natt_port;
	unsigned which = natt ? (v6 ? SOCK_NATT6 : SOCK_NATT4) : (v6 ? SOCK_IKE6 : SOCK_IKE4);

	g->sockets_asked--;
	/* A host may be without one of the families. */
	if (a->err != -EAFNOSUPPORT && (a->err != 0 || !socket_use(g, which, a->fd))) {
		log_event(LOG_LEVEL_ERROR, "socket-failed", "port=%u family=%s error=\"%s\" "
		    "hint=\"another IKE daemon? see: ss -ulpn sport = :%u\"",
		    a->what.local.port, v6 ? "ipv6" : "ipv4", a->text, a->what.local.port);
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
		connection_answer(g, cookie, a);
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
	/* The worker lets go first, so that it does not find its devices deleted. */
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next)
		(void)worker_post(g->worker, &(struct worker_cmd){ .kind = WORKER_DEVICE_DEL,
		    .index = c->device });
	if (!hostlink_ask(g->host, &q, COOKIE_HOST))
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
	monitor_tick(g->monitor, now);
	ike_tick(g->ike, now);
	gw_drain(g, now);
	sample_when(g, now);
	gw_drain(g, now);
	if (g->stopping)
		stop_more(g, now);
	at = usec_min(ike_deadline(g->ike), monitor_deadline(g->monitor));
	at = usec_min(at, usec_min(heap_deadline(&g->samples), g->look_at));
	if (!worker_flush(g->worker))
		at = usec_min(at, usec_add(now, FLUSH_SOON));
	return g->stopping ? usec_min(at, g->stop_at) : at;
}

static bool
machines_new(struct gw *g)
{
	struct ike_env env = { .workers = 1, .half_open_cookie = 32, .half_open_max = 1024 };
	uint8_t probe_key[16];

	g->rng = rng_system();
	g->secrets = secrets_new();
	g->aeads = aead_set_new();
	if (g->secrets == NULL || g->aeads == NULL)
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
	g->worker = worker_new(0, g->aeads, probe_key);
	secret_wipe(probe_key, sizeof(probe_key));
	heap_init(&g->samples);
	if (!batch_init(&g->in, STRAYS_A_ROUND,
	    PKT_HEADROOM + WORKER_STRAY_MAX + PKT_TAILROOM))
		return false;
	return g->ike != NULL && g->monitor != NULL && g->tunnels != NULL && g->sas != NULL &&
	    g->lent != NULL && g->nl != NULL && g->news != NULL && g->jobs != NULL && g->worker != NULL;
}

static bool
watch_all(struct gw *g)
{
	const struct hostlink_handlers h = { on_answer, on_broker_gone, g };

	g->on_worker = loop_on_read(g->loop, worker_fd(g->worker), LOOP_FIRST, on_worker, g);
	g->on_strays = loop_on_call(g->loop, LOOP_LATER, on_strays, g);
	g->on_jobs = loop_on_read(g->loop, jobs_fd(g->jobs), LOOP_LATER, on_jobs, g);
	g->on_news = loop_on_read(g->loop, nl_fd(g->news), LOOP_FIRST, on_news, g);
	g->on_signal[0] = loop_on_signal(g->loop, SIGTERM, on_stop, g);
	g->on_signal[1] = loop_on_signal(g->loop, SIGINT, on_stop, g);
	g->on_signal[2] = loop_on_signal(g->loop, SIGHUP, on_hup, g);
	g->host = hostlink_new(g->loop, g->conf->broker, &h);
	return g->on_worker != NULL && g->on_strays != NULL && g->on_jobs != NULL && g->on_news != NULL &&
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
	if (!machines_new(g)) {
		log_event(LOG_LEVEL_ERROR, "start-failed", "error=\"%s\"", strerror(errno));
		return false;
	}
	if (!load(g) || (g->loop = loop_new()) == NULL || !watch_all(g))
		return false;
	g->control = control_new(g, socket_path(g));
	if (g->control == NULL)
		return false;
	for (unsigned i = 0; i < SOCK_N; i++)
		ask_socket(g, i);
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
	worker_free(g->worker, esp_back, g);
	while (g->sas != NULL && map_each(g->sas, &pos, NULL, &v)) {
		esp_sa_free(g->secrets, ((struct gw_sa *)v)->out);
		free(v);
	}
	ike_free(g->ike);
	monitor_free(g->monitor);
	batch_fini(&g->in);
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
	for (int i = 0; i < 2; i++)
		loop_forget(g->on_ike[i]);
	for (int i = 0; i < 3; i++)
		loop_forget(g->on_signal[i]);
	loop_forget(g->on_worker);
	loop_forget(g->on_strays);
	loop_forget(g->on_jobs);
	loop_forget(g->on_news);
	machines_free(g);
	for (int i = 0; i < SOCK_N; i++)
		if (g->sock[i] >= 0)
			close(g->sock[i]);
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
	struct gw g = { .conf = conf, .started = loop_now(), .sock = { -1, -1, -1, -1 },
	    .look_at = USEC_NEVER };

	if (start(&g))
		loop_run(g.loop, turn, &g);
	else
		g.exit_code = 1;
	finish(&g);
	return g.exit_code;
}
