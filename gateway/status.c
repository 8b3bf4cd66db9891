/* SPDX-License-Identifier: MIT */
#include "gateway/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gateway/findings.h"
#include "gateway/control.h"
#include "gateway/gateway.h"
#include "gateway/version.h"

static json_t *
seconds_ago(usec_t then, usec_t now)
{
	return then == 0 || then > now ? json_null() : json_real((double)(now - then) / 1e6);
}

static json_t *
seconds_until(usec_t then, usec_t now)
{
	if (then == 0 || then == USEC_NEVER)
		return json_null();
	return json_real(then <= now ? 0.0 : (double)(then - now) / 1e6);
}

static json_t *
ip_json(const struct ip *ip)
{
	char s[IP_STRLEN];

	return ip->family == AF_UNSPEC ? json_null() : json_string(ip_str(ip, s));
}

static json_t *
endpoint_json(const struct endpoint *e)
{
	char s[ENDPOINT_STRLEN];

	return e->ip.family == AF_UNSPEC ? json_null() : json_string(endpoint_str(e, s));
}

static json_t *
hex_json(uint64_t v, int digits)
{
	char s[24];

	snprintf(s, sizeof(s), "%0*llx", digits, (unsigned long long)v);
	return v == 0 ? json_null() : json_string(s);
}

static json_t *
selectors_json(const struct ts_list *l)
{
	json_t *a = json_array();
	char s[TS_STRLEN];

	for (unsigned i = 0; i < l->n; i++)
		json_array_append_new(a, json_string(ts_str(&l->ts[i], s)));
	return a;
}

/* The last failure; before the first there is only what IKE is at. */
static const char *
why_down(const struct ike_status *st)
{
	if (st->reason[0] != '\0')
		return st->reason;
	if (strcmp(st->state, "connecting") == 0)
		return "opening; no answer from the peer yet";
	if (strcmp(st->state, "waiting") == 0)
		return "waiting for the peer to open (mode: add)";
	return st->state;
}

static void
add_ike(json_t *o, const struct gw_tunnel *t, const struct ike_status *st, usec_t now)
{
	char text[SUITE_STRLEN];

	json_object_set_new(o, "ike_state", json_string(st->state));
	json_object_set_new(o, "initiator", json_boolean(st->initiator));
	json_object_set_new(o, "peer_is_tandem", json_boolean(st->peer_is_tandem));
	json_object_set_new(o, "nat_local", json_boolean(st->nat_local));
	json_object_set_new(o, "nat_remote", json_boolean(st->nat_remote));
	json_object_set_new(o, "ike_spi_i", hex_json(st->spi_i, 16));
	json_object_set_new(o, "ike_spi_r", hex_json(st->spi_r, 16));
	json_object_set_new(o, "spi_in", hex_json(st->child_spi_in, 8));
	json_object_set_new(o, "spi_out", hex_json(st->child_spi_out, 8));
	json_object_set_new(o, "ike_rekeys", json_integer(st->ike_rekeys));
	json_object_set_new(o, "rekeys", json_integer(st->child_rekeys));
	json_object_set_new(o, "attempts", json_integer(st->attempts));
	json_object_set_new(o, "ike_since_s", seconds_ago(st->ike_since, now));
	json_object_set_new(o, "child_since_s", seconds_ago(st->child_since, now));
	json_object_set_new(o, "ike_rekey_in_s", seconds_until(st->ike_rekey_at, now));
	json_object_set_new(o, "rekey_in_s", seconds_until(st->child_rekey_at, now));
	json_object_set_new(o, "next_try_in_s", t->up ? json_null() :
	    seconds_until(st->next_try_at, now));
	json_object_set_new(o, "ike", st->up ?
	    json_string(ike_suite_str(&st->ike, text, sizeof(text))) : json_null());
	json_object_set_new(o, "esp", st->up ?
	    json_string(esp_suite_str(&st->esp, text, sizeof(text))) : json_null());
	json_object_set_new(o, "esn", json_boolean(st->up && st->esp.esn));
	json_object_set_new(o, "selectors_local", selectors_json(&st->ts_local));
	json_object_set_new(o, "selectors_remote", selectors_json(&st->ts_remote));
	if (!t->up)
		json_object_set_new(o, "reason", control_text(why_down(st)));
}

static void
add_monitor(json_t *o, const struct mon_status *m, usec_t now)
{
	json_object_set_new(o, "verdict", json_string(mon_verdict_name(m->verdict)));
	json_object_set_new(o, "verdict_since_s", seconds_ago(m->since, now));
	json_object_set_new(o, "verdict_reason", control_text(m->reason));
	json_object_set_new(o, "judged_by", json_string(m->by_echo ? "echo" : "ike"));
	json_object_set_new(o, "rtt_ms", m->rtt == 0 ? json_null() :
	    json_real((double)m->rtt / 1e3));
	json_object_set_new(o, "jitter_ms", m->rtt == 0 ? json_null() :
	    json_real((double)m->jitter / 1e3));
	json_object_set_new(o, "loss_percent", m->asked == 0 ? json_null() :
	    json_real(m->loss_permille / 10.0));
	json_object_set_new(o, "last_heard_s", seconds_ago(m->last_heard, now));
}

static void
add_traffic(json_t *o, const struct gw *g, const struct gw_tunnel *t, usec_t now)
{
	struct esp_tunnel_stats st;

	memset(&st, 0, sizeof(st));
	(void)workers_tunnel_stats(g->workers, t->c->serves, t->id, &st);
	json_object_set_new(o, "packets_out", json_integer((json_int_t)st.out_packets));
	json_object_set_new(o, "bytes_out", json_integer((json_int_t)st.out_bytes));
	json_object_set_new(o, "packets_in", json_integer((json_int_t)st.in_packets));
	json_object_set_new(o, "bytes_in", json_integer((json_int_t)st.in_bytes));
	json_object_set_new(o, "drops", json_integer((json_int_t)st.drops));
	json_object_set_new(o, "sequence_gaps", json_integer((json_int_t)st.gaps));
	json_object_set_new(o, "last_in_s", seconds_ago(st.last_in, now));
	json_object_set_new(o, "last_out_s", seconds_ago(st.last_out, now));
}

/* ---- the SAs of each tunnel, gathered in one pass over all of them ---- */

static json_t *
sa_json(const char *direction, uint32_t spi, unsigned resource, const struct esp_sa *sa)
{
	struct esp_sa_stats st;
	json_t *o;

	esp_sa_stats(sa, &st);
	o = json_pack("{s:s, s:o, s:i, s:I, s:I}", "direction", direction, "spi", hex_json(spi, 8),
	    "resource", (int)resource, "packets", (json_int_t)st.packets, "bytes", (json_int_t)st.bytes);
	if (direction[0] == 'i')
		json_object_set_new(o, "sequence_gaps", json_integer((json_int_t)st.gaps));
	return o;
}

/* Tunnel id -> array of its SAs.  What lingers after its deletion is not there any more. */
static struct map *
sas_gather(struct gw *g)
{
	struct map *lists = map_new(3);
	size_t pos = 0;
	void *v;

	while (lists != NULL && map_each(g->sas, &pos, NULL, &v)) {
		const struct gw_sa *sa = v;
		json_t *list = map_get(lists, sa->tunnel);

		if (list == NULL && ((list = json_array()) == NULL ||
		    !map_put(lists, sa->tunnel, list))) {
			json_decref(list);
			continue;
		}
		if (sa->in != NULL)
			json_array_append_new(list, sa_json("in", sa->spi_in, sa->resource, sa->in));
		if (sa->out != NULL)
			json_array_append_new(list,
			    sa_json("out", sa->spi_out, sa->resource, sa->out));
	}
	return lists;
}

static void
sas_free(struct map *lists)
{
	size_t pos = 0;
	void *v;

	while (lists != NULL && map_each(lists, &pos, NULL, &v))
		json_decref(v);
	map_free(lists);
}

/* An array in any case. */
static json_t *
sas_take(struct map *lists, uint32_t tunnel)
{
	json_t *list = lists != NULL ? map_del(lists, tunnel) : NULL;

	return list != NULL ? list : json_array();
}

static json_t *
tunnel_json(struct gw *g, const struct gw_tunnel *t, struct map *sas, usec_t now)
{
	struct ike_status *ike = calloc(1, sizeof(*ike));
	struct mon_status mon;
	json_t *o = json_object();
	char name[CONFIG_NAME_MAX + 16];

	snprintf(name, sizeof(name), "%s/%u", t->c->conf->name, t->index + 1);
	json_object_set_new(o, "name", json_string(name));
	json_object_set_new(o, "index", json_integer(t->index + 1));
	json_object_set_new(o, "state", json_string(t->up ? "up" : "down"));
	json_object_set_new(o, "since_s", seconds_ago(t->since, now));
	json_object_set_new(o, "live", json_boolean(connection_carries(t->c, t->index)));
	json_object_set_new(o, "local", t->up ? endpoint_json(&t->local) : ip_json(&t->conf->local));
	json_object_set_new(o, "remote", t->up ? endpoint_json(&t->remote) :
	    ip_json(&t->conf->remote));
	json_object_set_new(o, "remote_ip", ip_json(&t->conf->remote));
	json_object_set_new(o, "inside_local", ip_json(&t->conf->inside_local[0]));
	json_object_set_new(o, "inside_peer", ip_json(&t->conf->inside_peer[0]));
	json_object_set_new(o, "inside_local6", ip_json(&t->conf->inside_local[1]));
	json_object_set_new(o, "inside_peer6", ip_json(&t->conf->inside_peer[1]));
	json_object_set_new(o, "address_present", json_boolean(t->present));
	json_object_set_new(o, "carrier", json_boolean(t->carrier));
	json_object_set_new(o, "outer_mtu", json_integer(t->outer_mtu));
	json_object_set_new(o, "reason", control_text(t->reason));
	if (ike != NULL && ike_status(g->ike, t->id, ike))
		add_ike(o, t, ike, now);
	if (!t->present)
		json_object_set_new(o, "reason", json_string(
		    "waiting for its outside address and a route to the peer"));
	if (monitor_status(g->monitor, t->id, &mon))
		add_monitor(o, &mon, now);
	add_traffic(o, g, t, now);
	json_object_set_new(o, "sas", sas_take(sas, t->id));
	free(ike);
	return o;
}

/* An IKE SA outlives the path below it by minutes: what the monitor found dead is not up. */
static bool
works(const struct gw *g, const struct gw_tunnel *t)
{
	struct mon_status m;

	if (!t->up || !monitor_status(g->monitor, t->id, &m))
		return t->up;
	return m.verdict != MON_V_DEAD && m.verdict != MON_V_UPLINK;
}

static enum gw_health
health(const struct gw *g, const struct gw_connection *c)
{
	unsigned up = 0;

	for (unsigned i = 0; i < c->conf->tunnels_n; i++)
		up += works(g, &c->t[i]);
	if (up == 0 || c->device_tries > 0 || memchr(c->bucket, MON_NONE, sizeof(c->bucket)) == c->bucket)
		return GW_DOWN;
	return up == c->conf->tunnels_n ? GW_UP : GW_DEGRADED;
}

const char *
status_health_name(enum gw_health h)
{
	static const char *const names[] = { "up", "degraded", "down" };

	return (unsigned)h <= GW_DOWN ? names[h] : NULL;
}

static json_t *
connection_json(struct gw *g, struct gw_connection *c, struct map *sas, usec_t now)
{
	static const char *const policy[] = { "active-standby", "active-active", "pinned" };
	json_t *o = json_object(), *networks = json_array(), *tunnels = json_array();
	char s[PREFIX_STRLEN];
	unsigned moves = 0;
	usec_t last = 0;

	for (size_t i = 0; i < c->conf->networks_n; i++)
		json_array_append_new(networks,
		    json_string(prefix_str(&c->conf->networks[i], s)));
	for (unsigned i = 0; i < c->conf->tunnels_n; i++)
		json_array_append_new(tunnels, tunnel_json(g, &c->t[i], sas, now));
	(void)monitor_moves(g->monitor, c->id, &moves, &last);
	json_object_set_new(o, "name", json_string(c->conf->name));
	json_object_set_new(o, "state", json_string(status_health_name(health(g, c))));
	json_object_set_new(o, "device", json_string(c->conf->device));
	json_object_set_new(o, "device_error", c->device_why[0] != '\0' ?
	    control_text(c->device_why) : json_null());
	json_object_set_new(o, "mtu", json_integer(c->mtu));
	json_object_set_new(o, "worker", json_integer(c->home));
	json_object_set_new(o, "workers", json_integer(1 +
	    __builtin_popcountll(c->sharing)));
	json_object_set_new(o, "policy", json_string(policy[c->conf->policy]));
	json_object_set_new(o, "networks", networks);
	json_object_set_new(o, "why", control_text(c->why));
	json_object_set_new(o, "failovers", json_integer(moves));
	json_object_set_new(o, "last_failover_s", seconds_ago(last, now));
	json_object_set_new(o, "tunnels", tunnels);
	return o;
}

static json_t *
drops_json(const struct gw *g, struct esp_stats *st)
{
	json_t *o = json_object();

	workers_stats(g->workers, st);
	for (unsigned d = 0; d < DROP_N; d++)
		if (st->drop[d] > 0)
			json_object_set_new(o, drop_info((enum drop)d)->name,
			    json_integer((json_int_t)st->drop[d]));
	return o;
}

static json_t *
totals_json(const struct gw *g)
{
	struct ike_totals t;

	ike_totals(g->ike, &t);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "ike_sas", (json_int_t)t.ike_sas, "child_sas", (json_int_t)t.child_sas,
	    "half_open", (json_int_t)t.half_open, "jobs", (json_int_t)t.jobs,
	    "datagrams_in", (json_int_t)t.datagrams_in,
	    "datagrams_out", (json_int_t)t.datagrams_out,
	    "retransmits", (json_int_t)t.retransmits, "cookies", (json_int_t)t.cookies_sent,
	    "dropped", (json_int_t)t.dropped, "auth_failed", (json_int_t)t.auth_failed,
	    "unanswered", (json_int_t)t.unanswered,
	    "openings_failed", (json_int_t)t.openings_failed,
	    "rekeys_failed", (json_int_t)t.rekeys_failed);
}

static json_t *
packets_json(const struct esp_stats *st)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "out", (json_int_t)st->out_packets, "out_made", (json_int_t)st->out_made,
	    "out_sent", (json_int_t)st->out_sent,
	    "in", (json_int_t)st->in_packets, "in_made", (json_int_t)st->in_made,
	    "in_delivered", (json_int_t)st->in_delivered,
	    "in_answered", (json_int_t)st->in_answered);
}

static json_t *
by_worker_json(const struct gw *g)
{
	json_t *a = json_array();
	struct esp_stats st;

	for (unsigned i = 0; i < workers_n(g->workers); i++) {
		worker_stats(workers_at(g->workers, i), &st);
		json_array_append_new(a, packets_json(&st));
	}
	return a;
}

/* Element i counts what is from 2^i below 2^(i+1); zeros at the end are left out. */
static json_t *
buckets_json(const uint64_t bucket[WORKER_SIZES])
{
	json_t *a = json_array();
	unsigned n = WORKER_BUCKETS;

	while (n > 0 && bucket[n - 1] == 0)
		n--;
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(a, json_integer((json_int_t)bucket[i]));
	return a;
}

static json_t *
batches_json(const struct gw *g)
{
	struct worker_batches b;
	json_t *o = json_object(), *sums = json_object();
	const struct {
		const char *name;
		const uint64_t *size;
	} kinds[] = { { "datagrams_sent", b.send }, { "datagrams_received", b.recv },
		{ "bytes_read", b.read }, { "bytes_written", b.write } };

	workers_batches(g->workers, &b);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		json_object_set_new(o, kinds[i].name, buckets_json(kinds[i].size));
		json_object_set_new(sums, kinds[i].name,
		    json_integer((json_int_t)kinds[i].size[WORKER_BUCKETS]));
	}
	json_object_set_new(o, "sums", sums);
	json_object_set_new(o, "trains_refused", json_integer((json_int_t)b.refused));
	return o;
}

static json_t *
worker_json(const struct gw *g, const struct esp_stats *st)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < workers_n(g->workers); i++)
		lost += worker_strays_lost(workers_at(g->workers, i));
	return json_pack("{s:I, s:I}", "strays_lost", (json_int_t)lost,
	    "events_lost", (json_int_t)st->events_lost);
}

/* Of the engine; the broker beside it has one thread and some hundred kilobytes. */
static json_t *
process_json(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long size, resident = 0;
	struct rusage u = { .ru_maxrss = 0 };

	if (f != NULL && fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	if (f != NULL)
		fclose(f);
	(void)getrusage(RUSAGE_SELF, &u);
	return json_pack("{s:o, s:I, s:f}", "memory_bytes", resident == 0 ? json_null() :
	    json_integer((json_int_t)resident * sysconf(_SC_PAGESIZE)),
	    "memory_max_bytes", (json_int_t)u.ru_maxrss * 1024,
	    "cpu_s", (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
}

static json_t *
ciphers_json(const struct gw *g)
{
	json_t *o = json_object();

	for (unsigned id = AEAD_NONE + 1; id < AEAD_N; id++)
		json_object_set_new(o, aead_info((enum aead_id)id)->name,
		    json_string(aead_set_provider(g->aeads, (enum aead_id)id)));
	return o;
}

json_t *
status_json(struct gw *g, const char *only)
{
	json_t *o = json_object(), *list = json_array();
	struct map *sas = sas_gather(g);
	unsigned sum[3] = { 0 };
	struct esp_stats st;
	usec_t now = loop_now();

	for (struct gw_connection *c = g->connections; c != NULL; c = c->next) {
		if (only != NULL && strcmp(only, c->conf->name) != 0)
			continue;
		json_array_append_new(list, connection_json(g, c, sas, now));
		sum[health(g, c)]++;
	}
	sas_free(sas);
	json_object_set_new(o, "ok", json_true());
	json_object_set_new(o, "schema", json_integer(TANDEM_SCHEMA));
	json_object_set_new(o, "version", json_string(TANDEM_VERSION));
	json_object_set_new(o, "uptime_s", seconds_ago(g->started, now));
	json_object_set_new(o, "state", json_string(status_health_name(sum[GW_DOWN] > 0 ? GW_DOWN :
	    sum[GW_DEGRADED] > 0 ? GW_DEGRADED : GW_UP)));
	json_object_set_new(o, "connections", list);
	json_object_set_new(o, "drops", drops_json(g, &st));
	json_object_set_new(o, "packets", packets_json(&st));
	json_object_set_new(o, "batches", batches_json(g));
	json_object_set_new(o, "worker", worker_json(g, &st));
	json_object_set_new(o, "process", process_json());
	json_object_set_new(o, "ike", totals_json(g));
	json_object_set_new(o, "workers", json_integer(workers_n(g->workers)));
	json_object_set_new(o, "by_worker", by_worker_json(g));
	json_object_set_new(o, "ciphers", ciphers_json(g));
	json_object_set_new(o, "netns", json_integer(findings_netns()));
	json_object_set_new(o, "secrets_locked", json_boolean(secrets_locked(g->secrets)));
	return o;
}
