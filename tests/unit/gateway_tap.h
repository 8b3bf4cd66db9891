/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_TAP_H
#define TANDEM_GATEWAY_TAP_H

#include <stdarg.h>

#include "gateway_rig.h"
#include "tun/udp.h"

/*
 * A gateway whose neighbours are played by the test: the clock, the IKE machine, the monitor, the
 * worker, the broker and the kernel's tables.  What the gateway tells them is written down, a
 * line each, in `tap.said` and some of it whole; what they say is what the test puts into `tap`.
 *
 *	ike open office/1		a fact for the IKE machine
 *	mon up office/1			a fact for the monitor
 *	esp sa-out office/1 1001	a command for the worker's engine
 *	worker device-add		any other command for the worker
 *	host tun-open td-office		a request to the broker
 *
 * The worker is one, unless RIG_WORKERS says more: then each command stands there for each that
 * was given it, with " @2" behind the line for worker 2.
 */
enum { TAP_SAID = 64 * 1024, TAP_ACTIONS = 16, TAP_TUNNELS = 64, TAP_HERE = 100, TAP_SAS = 32 };

struct tap {
	struct rig r;
	_Atomic usec_t now;		/* the real worker beside us asks for it too */
	char said[TAP_SAID];
	char log[TAP_SAID];
	bool no_room;			/* the worker, or its memory, takes no command */
	char at[16];			/* which worker it is that is told something */

	/* what the machines want done; taken from the front */
	struct ike_action ike[TAP_ACTIONS];
	struct mon_action mon[TAP_ACTIONS];
	unsigned ike_n, mon_n;

	/* what they know, by tunnel (its index in the order of connections) or connection */
	struct ike_status ike_status[TAP_TUNNELS];
	bool ike_known[TAP_TUNNELS];
	struct mon_status mon_status[TAP_TUNNELS];
	bool mon_known[TAP_TUNNELS];
	struct ike_totals totals;
	unsigned moves;
	usec_t moved_at, sample_at;

	/* the worker */
	struct esp_tunnel_stats traffic[TAP_TUNNELS];
	bool counted[TAP_TUNNELS];
	struct esp_stats stats;
	struct worker_batches batches;
	bool woken;
	struct esp_sa *sa_in[TAP_SAS], *sa_out[TAP_SAS];	/* that it was given, a line each time */
	struct esp_path *path;		/* the newest */

	/* the kernel: addresses of this host, and the way to any peer from each of them */
	struct ip here[TAP_HERE];
	int here_n;			/* or -errno */
	struct { struct ip to; int err; struct nl_way way; } way[8];
	unsigned way_n;
	unsigned listed;		/* times that the addresses were asked for */

	/* the newest of each, whole */
	struct ike_tunnel conf;
	struct ike_fact fact;
	struct mon_conf watched;
	struct host_request asked;
	uint32_t cookie;
	struct worker_cmd posted;
	struct { int fd; struct endpoint from, to; uint8_t data[64]; size_t len; } sent;
	struct ike_job *ran;
};

static struct tap tap;

__attribute__((format(printf, 1, 2))) static void
said(const char *fmt, ...)
{
	size_t n = strlen(tap.said);
	va_list ap;

	va_start(ap, fmt);
	n += (size_t)vsnprintf(tap.said + n, sizeof(tap.said) - n, fmt, ap);
	va_end(ap);
	ck_assert_uint_lt(n + sizeof(tap.at) + 1, sizeof(tap.said));
	n += (size_t)sprintf(tap.said + n, "%s\n", tap.at);
	ck_assert_uint_lt(n, sizeof(tap.said));
}

/* The lines that begin with `what` ("": all), which are then forgotten with all others. */
static inline const char *
heard_of(const char *what)
{
	static char out[TAP_SAID];
	char *to = out, *save = NULL;

	out[0] = '\0';
	for (char *l = strtok_r(tap.said, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save))
		if (strncmp(l, what, strlen(what)) == 0)
			to += sprintf(to, "%s\n", l);
	tap.said[0] = '\0';
	return out;
}

#define expect_said(what, lines)	ck_assert_str_eq(heard_of(what), lines)

static inline const char *
name_of(uint32_t tunnel)
{
	struct gw_tunnel *t = gw_tunnel_find(&tap.r.g, tunnel);
	static char name[CONFIG_NAME_MAX + 16];

	snprintf(name, sizeof(name), "%s/%u", t != NULL ? t->c->conf->name : "?",
	    t != NULL ? t->index + 1 : 0);
	return name;
}

/* Tunnels by their place: 0 and 1 are of the first connection, 2 and 3 of the second. */
static inline struct gw_tunnel *
tunnel(unsigned i)
{
	struct gw_connection *c = tap.r.g.connections;

	for (; i >= CONFIG_TUNNELS && c != NULL; i -= CONFIG_TUNNELS)
		c = c->next;
	ck_assert_ptr_nonnull(c);
	return &c->t[i];
}

static inline unsigned
place_of(uint32_t id)
{
	unsigned i = 0;

	for (struct gw_connection *c = tap.r.g.connections; c != NULL; c = c->next)
		for (unsigned k = 0; k < CONFIG_TUNNELS; k++, i++)
			if (c->t[k].id == id)
				return i;
	return TAP_TUNNELS - 1;
}

static inline struct ip
ip_of(const char *text)
{
	struct ip ip;

	ck_assert_msg(ip_parse(text, &ip), "%s", text);
	return ip;
}

static inline struct endpoint
endpoint_of(const char *text, uint16_t port)
{
	return (struct endpoint){ ip_of(text), port };
}

/* ---- the clock and the log ---------------------------------------------------------------- */

__typeof__(loop_now) __wrap_loop_now;

usec_t
__wrap_loop_now(void)
{
	return tap.now;
}

static inline void
tap_log(void *arg, enum log_level level, const char *line)
{
	size_t n = strlen(tap.log);

	(void)arg, (void)level;
	ck_assert_uint_lt(n + strlen(line) + 2, sizeof(tap.log));
	sprintf(tap.log + n, "%s\n", line);
}

/* One of the lines of the log since the last look has all of these words; NULL ends them. */
static inline bool
logged(const char *word, const char *other)
{
	char *save = NULL;
	bool found = false;

	for (char *l = strtok_r(tap.log, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save))
		found = found || (strstr(l, word) != NULL && (other == NULL || strstr(l, other) != NULL));
	tap.log[0] = '\0';
	return found;
}

/* ---- the IKE machine ---------------------------------------------------------------------- */

static inline const char *
fact_name(enum ike_fact_kind kind)
{
	static const char *const name[] = {
		[IKE_TUNNEL_SET] = "set", [IKE_TUNNEL_DEL] = "del", [IKE_DATAGRAM] = "datagram",
		[IKE_OPEN] = "open", [IKE_CLOSE] = "close", [IKE_REKEY] = "rekey", [IKE_ASK] = "ask",
		[IKE_HEARD] = "heard", [IKE_TELL] = "tell", [IKE_ADDRESS] = "address",
		[IKE_MOVED] = "moved", [IKE_WORK_DONE] = "work-done", [IKE_STOP] = "stop",
	};

	return name[kind];
}

__typeof__(ike_input) __wrap_ike_input;
__typeof__(ike_next) __wrap_ike_next;
__typeof__(ike_status) __wrap_ike_status;
__typeof__(ike_totals) __wrap_ike_totals;
__typeof__(ike_job_run) __wrap_ike_job_run;
__typeof__(jobs_put) __wrap_jobs_put;
__typeof__(udp_send_one) __wrap_udp_send_one;

void
__wrap_ike_input(struct ike *ike, usec_t now, const struct ike_fact *f)
{
	char more[32] = "";

	ck_assert_ptr_eq(ike, tap.r.g.ike);
	ck_assert_uint_eq(now, tap.now);
	if (f->kind == IKE_TELL)
		sprintf(more, " %u", f->index);
	else if (f->kind == IKE_ADDRESS)
		strcpy(more, f->present ? " there" : " gone");
	else if (f->kind == IKE_REKEY)
		strcpy(more, f->ike_sa ? " ike" : " child");
	said("ike %s %s%s", fact_name(f->kind), name_of(f->tunnel), more);
	tap.fact = *f;
	if (f->kind == IKE_TUNNEL_SET)
		tap.conf = *f->conf;
}

bool
__wrap_ike_next(struct ike *ike, struct ike_action *a)
{
	(void)ike;
	if (tap.ike_n == 0)
		return false;
	*a = tap.ike[0];
	memmove(tap.ike, tap.ike + 1, --tap.ike_n * sizeof(tap.ike[0]));
	return true;
}

bool
__wrap_ike_status(const struct ike *ike, uint32_t id, struct ike_status *st)
{
	(void)ike;
	*st = tap.ike_status[place_of(id)];
	return tap.ike_known[place_of(id)];
}

void
__wrap_ike_totals(const struct ike *ike, struct ike_totals *t)
{
	(void)ike;
	*t = tap.totals;
}

void
__wrap_ike_job_run(struct ike_job *job)
{
	tap.ran = job;
}

bool
__wrap_jobs_put(struct jobs *j, struct ike_job *job)
{
	(void)j, (void)job;
	said("jobs put");
	return !tap.no_room;
}

int
__wrap_udp_send_one(int fd, const struct endpoint *from, const struct endpoint *to,
    const void *data, size_t len)
{
	ck_assert_uint_le(len, sizeof(tap.sent.data));
	said("send");
	tap.sent.fd = fd;
	tap.sent.from = *from;
	tap.sent.to = *to;
	memcpy(tap.sent.data, data, len);
	tap.sent.len = len;
	return 0;
}

/* ---- the monitor -------------------------------------------------------------------------- */

__typeof__(monitor_input) __wrap_monitor_input;
__typeof__(monitor_next) __wrap_monitor_next;
__typeof__(monitor_status) __wrap_monitor_status;
__typeof__(monitor_moves) __wrap_monitor_moves;
__typeof__(monitor_sample_at) __wrap_monitor_sample_at;

void
__wrap_monitor_input(struct monitor *m, usec_t now, const struct mon_fact *f)
{
	static const char *const name[] = {
		[MON_SET] = "set", [MON_DEL] = "del", [MON_UP] = "up", [MON_DOWN] = "down",
		[MON_SAMPLE] = "sample", [MON_ALIVE] = "alive", [MON_ECHO] = "echo",
		[MON_TOLD] = "told", [MON_CARRIER] = "carrier", [MON_CHOOSE] = "choose",
	};
	const struct gw_connection *c = gw_connection_by_id(&tap.r.g, f->connection);
	const char *who = f->tunnel != 0 ? name_of(f->tunnel) : c != NULL ? c->conf->name : "?";

	ck_assert_ptr_eq(m, tap.r.g.monitor);
	ck_assert_uint_eq(now, tap.now);
	if (f->kind == MON_TOLD || f->kind == MON_CHOOSE)
		said("mon %s %s %u", name[f->kind], who, f->index);
	else if (f->kind == MON_CARRIER)
		said("mon carrier %s %s", who, f->present ? "there" : "gone");
	else if (f->kind == MON_SAMPLE)
		said("mon sample %s in=%llu out=%llu", who, (unsigned long long)f->last_in,
		    (unsigned long long)f->last_out);
	else
		said("mon %s %s", name[f->kind], who);
	if (f->kind == MON_SET)
		tap.watched = *f->conf;
}

bool
__wrap_monitor_next(struct monitor *m, struct mon_action *a)
{
	(void)m;
	if (tap.mon_n == 0)
		return false;
	*a = tap.mon[0];
	memmove(tap.mon, tap.mon + 1, --tap.mon_n * sizeof(tap.mon[0]));
	return true;
}

bool
__wrap_monitor_status(const struct monitor *m, uint32_t id, struct mon_status *st)
{
	(void)m;
	*st = tap.mon_status[place_of(id)];
	return tap.mon_known[place_of(id)];
}

bool
__wrap_monitor_moves(const struct monitor *m, uint32_t connection, unsigned *n, usec_t *last)
{
	(void)m, (void)connection;
	*n = tap.moves;
	*last = tap.moved_at;
	return true;
}

usec_t
__wrap_monitor_sample_at(const struct monitor *m, uint32_t connection)
{
	(void)m, (void)connection;
	return tap.sample_at;
}

/* ---- the worker --------------------------------------------------------------------------- */

__typeof__(worker_post) __wrap_worker_post;
__typeof__(worker_tunnel_stats) __wrap_worker_tunnel_stats;
__typeof__(worker_stats) __wrap_worker_stats;
__typeof__(worker_batches) __wrap_worker_batches;
__typeof__(worker_wake_on_traffic) __wrap_worker_wake_on_traffic;
__typeof__(worker_has_woken) __wrap_worker_has_woken;
__typeof__(worker_any_woken) __wrap_worker_any_woken;

static inline void
tap_hold(struct esp_sa **sas, struct esp_sa *sa)
{
	while (*sas != NULL)
		sas++;
	*sas = sa;
}

static inline void
tap_esp(const struct esp_cmd *c)
{
	char to[ENDPOINT_STRLEN];

	switch (c->kind) {
	case ESP_CMD_SA_IN:
		said("esp sa-in %s %x", name_of(esp_sa_tunnel(c->sa)), esp_sa_spi(c->sa));
		tap_hold(tap.sa_in, c->sa);
		return;
	case ESP_CMD_SA_OUT:
		said("esp sa-out %s %x", name_of(c->tunnel), esp_sa_spi(c->sa));
		tap_hold(tap.sa_out, c->sa);
		return;
	case ESP_CMD_SA_DROP:
		said("esp sa-drop %s %x %x", name_of(c->tunnel), c->spi, c->peer_spi);
		return;
	case ESP_CMD_PATH_SET:
		said("esp path");
		if (tap.path != c->path)
			esp_path_free(tap.path);
		tap.path = c->path;
		return;
	case ESP_CMD_PATH_DEL:
		said("esp path-del");
		return;
	case ESP_CMD_ENDPOINT:
		said("esp endpoint %s %s", name_of(c->tunnel), endpoint_str(&c->remote, to));
		return;
	case ESP_CMD_PROBE:
		said("esp probe %s", name_of(c->tunnel));
		return;
	case ESP_CMD_TUNNEL_DEL:
		said("esp tunnel-del %s", name_of(c->tunnel));
		return;
	case ESP_CMD_STOP:
		said("esp stop");
		return;
	}
}

bool
__wrap_worker_post(struct worker *w, const struct worker_cmd *c)
{
	static const char *const name[] = { [WORKER_DEVICE_ADD] = "device-add",
		[WORKER_DEVICE_DEL] = "device-del", [WORKER_SOCKET] = "socket" };

	ck_assert_ptr_nonnull(w);
	if (tap.no_room)
		return false;
	tap.posted = *c;
	for (unsigned i = 0; RIG_WORKERS > 1 && i < RIG_WORKERS; i++)
		if (workers_at(tap.r.g.workers, i) == w)
			sprintf(tap.at, " @%u", i);
	if (c->kind == WORKER_ESP)
		tap_esp(&c->esp);
	else
		said("worker %s", name[c->kind]);
	tap.at[0] = '\0';
	return true;
}

bool
__wrap_worker_tunnel_stats(const struct worker *w, uint32_t id, struct esp_tunnel_stats *st)
{
	(void)w;
	if (!tap.counted[place_of(id)])
		return false;
	*st = tap.traffic[place_of(id)];
	return true;
}

void
__wrap_worker_stats(const struct worker *w, struct esp_stats *st)
{
	(void)w;
	*st = tap.stats;
}

void
__wrap_worker_batches(const struct worker *w, struct worker_batches *b)
{
	(void)w;
	*b = tap.batches;
}

void
__wrap_worker_wake_on_traffic(struct worker *w, unsigned device)
{
	(void)w, (void)device;
	said("worker wake");
	tap.woken = false;
}

bool
__wrap_worker_has_woken(const struct worker *w, unsigned device)
{
	(void)w, (void)device;
	return tap.woken;
}

bool
__wrap_worker_any_woken(struct worker *w)
{
	(void)w;
	return tap.woken;
}

/* ---- the broker --------------------------------------------------------------------------- */

__typeof__(hostlink_ask) __wrap_hostlink_ask;

static inline const char *
prefix_text(const struct prefix *p)
{
	static char text[PREFIX_STRLEN];
	char ip[IP_STRLEN];

	snprintf(text, sizeof(text), "%s/%u", ip_str(&p->ip, ip), p->len);
	return text;
}

bool
__wrap_hostlink_ask(struct hostlink *k, struct host_request *q, uint32_t cookie)
{
	static const char *const sysctl[] = { [HOST_SYSCTL_FORWARD4] = "forward4",
		[HOST_SYSCTL_FORWARD6] = "forward6", [HOST_SYSCTL_RP_FILTER] = "rp_filter",
		[HOST_SYSCTL_LINKDOWN] = "linkdown" };
	const char *op = host_op_name(q->op);

	ck_assert_ptr_eq(k, tap.r.g.host);
	tap.asked = *q;
	tap.cookie = cookie;
	if (q->op == HOST_LINK_SET)
		said("host %s %s %s %u", op, q->name, q->up ? "up" : "down", q->mtu);
	else if (q->op == HOST_ADDR_ADD)
		said("host %s %s %s", op, q->name, prefix_text(&q->prefix));
	else if (q->op == HOST_SYSCTL_SET)
		said("host %s %s%s%s %d", op, sysctl[q->sysctl], q->name[0] != '\0' ? " " : "", q->name,
		    q->value);
	else if ((q->op == HOST_ROUTE_ADD || q->op == HOST_ROUTE_DEL) && q->unreachable)
		said("host %s %s guard%s", op, prefix_text(&q->prefix), q->keep_guards ? " kept" : "");
	else if (q->op == HOST_ROUTE_ADD || q->op == HOST_ROUTE_DEL)
		said("host %s %s %s %u", op, prefix_text(&q->prefix), q->name, q->metric);
	else
		said("host %s %s", op, q->name);
	return !tap.no_room;
}

/* ---- the kernel's tables ------------------------------------------------------------------ */

__typeof__(nl_address_list) __wrap_nl_address_list;
__typeof__(nl_way) __wrap_nl_way;

int
__wrap_nl_address_list(struct nl *nl, struct prefix *out, unsigned max)
{
	(void)nl;
	tap.listed++;
	for (int i = 0; i < tap.here_n && i < (int)max; i++)
		out[i] = (struct prefix){ tap.here[i], (uint8_t)(ip_len(tap.here[i].family) * 8) };
	return tap.here_n;
}

int
__wrap_nl_way(struct nl *nl, const struct ip *to, const struct ip *from, struct nl_way *way)
{
	(void)nl, (void)from;
	for (unsigned i = 0; i < tap.way_n; i++) {
		if (!ip_equal(&tap.way[i].to, to))
			continue;
		*way = tap.way[i].way;
		return tap.way[i].err;
	}
	return -ENETUNREACH;
}

/* ---- life --------------------------------------------------------------------------------- */

/* The gateway of this configuration, its connections there; what was said till then is kept. */
static inline void
tap_new(const char *yaml)
{
	memset(&tap, 0, sizeof(tap));
	tap.now = USEC_S(1000);
	tap.sample_at = USEC_NEVER;
	log_to(tap_log, NULL);
	rig_new(&tap.r, yaml);
	rig_begin(&tap.r);
}

static inline void
tap_free(void)
{
	struct gw *g = &tap.r.g;

	log_to(NULL, NULL);
	for (unsigned i = 0; i < TAP_SAS; i++) {
		if (tap.sa_in[i] != NULL)
			gw_sa_lost(g, tap.sa_in[i]);
		if (tap.sa_out[i] != NULL)
			gw_sa_lost(g, tap.sa_out[i]);
	}
	esp_path_free(tap.path);
	rig_free(&tap.r);
}

#define TAP_TUNNELS_OF(net)						\
	"    tunnels:\n"						\
	"      - {local: 192.0.2.1, remote: 203.0.113." net "1, "		\
	"inside: 169.254." net ".1/30, psk-file: key}\n"			\
	"      - {local: 192.0.2.2, remote: 203.0.113." net "2, "		\
	"inside: 169.254." net ".5/30, psk-file: key}\n"

static const char tap_yaml[] =
    "connections:\n"
    "  office:\n"
    "    preset: tandem\n"
    "    networks: [10.20.0.0/16]\n"
    TAP_TUNNELS_OF("1")
    "  branch:\n"
    "    preset: tandem\n"
    "    mode: add\n"
    "    networks: [10.30.0.0/16]\n"
    TAP_TUNNELS_OF("2");

#endif
