/* SPDX-License-Identifier: MIT */
#include "gateway/metrics.h"

#include <string.h>

#include "base/metric.h"
#include "gateway/monitor.h"
#include "gateway/status.h"
#include "gateway/version.h"
#include "gateway/worker.h"

/*
 * One table: what a metric is called, what it says, and where in the status it stands.  Names of
 * drop reasons, verdicts and states come from the tables that own them.
 *
 * A family is read from one kind of object (its scope): the whole status, or each connection,
 * tunnel or SA in it, whose labels all its samples carry.  Its sources add one sample each.
 */
enum scope { OF_GATEWAY, OF_CONNECTION, OF_TUNNEL, OF_SA, SCOPES };

struct source {
	const char *key;		/* in the object, or "object.key" in one of its objects */
	const char *label, *value;	/* added to the labels; NULL: none */
	double scale;			/* to the unit of the name; 0: as it is */
	const char *is;			/* a text: 1 when it is this one, else 0 */
};

struct family {
	const char *name, *type;
	enum scope scope;
	const char *help;
	struct source source[5];	/* ends with a key of NULL */
	/* in place of sources: one sample a state, 1 for the one that `key` names, else 0 */
	struct {
		const char *key, *label;
		const char *(*name)(unsigned i);	/* NULL at the end */
	} state;
	void (*fill)(json_t *samples, const json_t *status);	/* or by hand */
};

/* ---- values ------------------------------------------------------------------------- */

static const json_t *
look(const json_t *o, const char *path)
{
	const char *dot = strchr(path, '.');
	char first[32];

	if (dot == NULL)
		return json_object_get(o, path);
	snprintf(first, sizeof(first), "%.*s", (int)(dot - path), path);
	return json_object_get(json_object_get(o, first), dot + 1);
}

/* Labels of an object with one more; a new object. */
static json_t *
labels_with(const json_t *labels, const char *label, const char *value)
{
	json_t *all = labels != NULL ? json_copy((json_t *)(uintptr_t)labels) : json_object();

	if (label != NULL)
		json_object_set_new(all, label, json_string(value));
	return all;
}

/* Steals `labels` and `value`. */
static void
add(json_t *samples, json_t *labels, json_t *value)
{
	json_array_append_new(samples, json_pack("{s:o, s:o}", "labels", labels, "value", value));
}

/* As a number; NULL: it is not known. */
static json_t *
number(const json_t *v, const struct source *s)
{
	if (s->is != NULL)
		return json_is_string(v) ? json_integer(strcmp(json_string_value(v), s->is) == 0) : NULL;
	if (json_is_boolean(v))
		return json_integer(json_is_true(v));
	if (!json_is_number(v))
		return NULL;
	if (json_is_integer(v) && s->scale == 0)
		return json_integer(json_integer_value(v));
	return json_real(json_number_value(v) * (s->scale == 0 ? 1 : s->scale));
}

/* ---- histograms ---------------------------------------------------------------------- */

/* status has in element i how many were from 2^i below 2^(i+1); the last may have more. */
static void
histogram(json_t *samples, const json_t *batches, const char *key, const char *way)
{
	const json_t *from = json_object_get(batches, key);
	const json_t *sum = json_object_get(json_object_get(batches, "sums"), key);
	json_t *buckets = json_array();
	json_int_t n = 0, last = 0;

	if (!json_is_array(from) || !json_is_integer(sum)) {
		json_decref(buckets);
		return;
	}
	for (unsigned i = 0; i + 1 < WORKER_BUCKETS; i++) {
		last = json_integer_value(json_array_get(from, i));
		n += last > 0 ? last : 0;
		json_array_append_new(buckets, json_pack("{s:I, s:I}", "le",
		    ((json_int_t)2 << i) - 1, "count", n));
	}
	last = json_integer_value(json_array_get(from, WORKER_BUCKETS - 1));
	n += last > 0 ? last : 0;
	json_array_append_new(buckets, json_pack("{s:n, s:I}", "le", "count", n));
	json_array_append_new(samples, json_pack("{s:{s:s}, s:o, s:I, s:I}", "labels", "direction",
	    way, "buckets", buckets, "sum", json_integer_value(sum), "count", n));
}

static void
fill_datagrams(json_t *samples, const json_t *status)
{
	const json_t *batches = json_object_get(status, "batches");

	histogram(samples, batches, "datagrams_received", "in");
	histogram(samples, batches, "datagrams_sent", "out");
}

static void
fill_bytes(json_t *samples, const json_t *status)
{
	const json_t *batches = json_object_get(status, "batches");

	histogram(samples, batches, "bytes_written", "in");
	histogram(samples, batches, "bytes_read", "out");
}

/* ---- what has tables of its own ------------------------------------------------------- */

/* Every reason, also those that never came: who watches for one wants to see its 0. */
static void
fill_drops(json_t *samples, const json_t *status)
{
	const json_t *drops = json_object_get(status, "drops");

	for (unsigned d = 0; json_is_object(drops) && d < DROP_N; d++) {
		const char *name = drop_info((enum drop)d)->name;
		json_t *labels = labels_with(NULL, "direction", drop_is_out((enum drop)d) ? "out" : "in");

		json_object_set_new(labels, "reason", json_string(name));
		add(samples, labels, json_integer(json_integer_value(json_object_get(drops, name))));
	}
}

static void
fill_packets(json_t *samples, const json_t *status)
{
	const char *key;
	json_t *v;

	json_object_foreach(json_object_get(status, "packets"), key, v)
		if (json_is_integer(v))
			add(samples, labels_with(NULL, "stage", key), json_incref(v));
}

static void
fill_ciphers(json_t *samples, const json_t *status)
{
	const char *key;
	json_t *v, *labels;

	json_object_foreach(json_object_get(status, "ciphers"), key, v) {
		if (!json_is_string(v))
			continue;
		labels = labels_with(NULL, "cipher", key);
		json_object_set(labels, "library", v);
		add(samples, labels, json_integer(1));
	}
}

static void
fill_build(json_t *samples, const json_t *status)
{
	const json_t *v = json_object_get(status, "version");

	if (json_is_string(v))
		add(samples, labels_with(NULL, "version", json_string_value(v)), json_integer(1));
}

static const char *
health_name(unsigned i)
{
	return status_health_name((enum gw_health)i);
}

static const char *
verdict_name(unsigned i)
{
	return i <= MON_V_UPLINK ? mon_verdict_name((enum mon_verdict)i) : NULL;
}

/* ---- the table -------------------------------------------------------------------------- */

#define GAUGE	"gauge"
#define COUNTER	"counter"

#define ONE(k)		{ .key = (k) }
#define SCALED(k, s)	{ .key = (k), .scale = (s) }
#define SPLIT(k, l, v)	{ .key = (k), .label = (l), .value = (v) }

static const struct family families[] = {
	{ "tandem_build_info", GAUGE, OF_GATEWAY,
	    "The version that runs",
	    .fill = fill_build },
	{ "tandem_state", GAUGE, OF_GATEWAY,
	    "State of the gateway: 1 for the one it is in",
	    .state = { "state", "state", health_name } },
	{ "tandem_uptime_seconds", GAUGE, OF_GATEWAY,
	    "Since the engine started",
	    .source = { ONE("uptime_s") } },
	{ "tandem_connection_state", GAUGE, OF_CONNECTION,
	    "State of the connection: 1 for the one it is in",
	    .state = { "state", "state", health_name } },
	{ "tandem_connection_mtu_bytes", GAUGE, OF_CONNECTION,
	    "MTU of the device",
	    .source = { ONE("mtu") } },
	{ "tandem_connection_failovers_total", COUNTER, OF_CONNECTION,
	    "How often traffic moved to another tunnel",
	    .source = { ONE("failovers") } },
	{ "tandem_tunnel_up", GAUGE, OF_TUNNEL,
	    "1 when it has an IKE SA and a Child SA",
	    .source = { { .key = "state", .is = "up" } } },
	{ "tandem_tunnel_live", GAUGE, OF_TUNNEL,
	    "1 when it carries traffic now",
	    .source = { ONE("live") } },
	{ "tandem_tunnel_verdict", GAUGE, OF_TUNNEL,
	    "What the monitor says of it: 1 for what holds",
	    .state = { "verdict", "verdict", verdict_name } },
	{ "tandem_tunnel_packets_total", COUNTER, OF_TUNNEL,
	    "ESP packets opened (in) and sealed (out)",
	    .source = { SPLIT("packets_in", "direction", "in"),
	    SPLIT("packets_out", "direction", "out") } },
	{ "tandem_tunnel_bytes_total", COUNTER, OF_TUNNEL,
	    "Inner bytes of these packets",
	    .source = { SPLIT("bytes_in", "direction", "in"),
	    SPLIT("bytes_out", "direction", "out") } },
	{ "tandem_tunnel_drops_total", COUNTER, OF_TUNNEL,
	    "Packets dropped that belonged to the tunnel",
	    .source = { ONE("drops") } },
	{ "tandem_tunnel_sequence_gaps_total", COUNTER, OF_TUNNEL,
	    "Packets of the peer that never came, by their sequence numbers",
	    .source = { ONE("sequence_gaps") } },
	{ "tandem_tunnel_silence_seconds", GAUGE, OF_TUNNEL,
	    "Since the last packet",
	    .source = { SPLIT("last_in_s", "direction", "in"),
	    SPLIT("last_out_s", "direction", "out") } },
	{ "tandem_tunnel_round_trip_seconds", GAUGE, OF_TUNNEL,
	    "Round trip of the monitor's questions",
	    .source = { SCALED("rtt_ms", 1e-3) } },
	{ "tandem_tunnel_jitter_seconds", GAUGE, OF_TUNNEL,
	    "Jitter of the monitor's questions",
	    .source = { SCALED("jitter_ms", 1e-3) } },
	{ "tandem_tunnel_loss_ratio", GAUGE, OF_TUNNEL,
	    "Of the last 100 questions, those not answered",
	    .source = { SCALED("loss_percent", 1e-2) } },
	{ "tandem_tunnel_rekeys_total", COUNTER, OF_TUNNEL,
	    "Rekeys done, by the kind of SA",
	    .source = { SPLIT("rekeys", "sa", "child"), SPLIT("ike_rekeys", "sa", "ike") } },
	{ "tandem_tunnel_attempts", GAUGE, OF_TUNNEL,
	    "Attempts to open that failed in a row",
	    .source = { ONE("attempts") } },
	{ "tandem_sa_packets_total", COUNTER, OF_SA,
	    "Packets of one Child SA",
	    .source = { ONE("packets") } },
	{ "tandem_sa_bytes_total", COUNTER, OF_SA,
	    "Inner bytes of one Child SA",
	    .source = { ONE("bytes") } },
	{ "tandem_sa_sequence_gaps_total", COUNTER, OF_SA,
	    "Packets of one Child SA that never came",
	    .source = { ONE("sequence_gaps") } },
	{ "tandem_packets_total", COUNTER, OF_GATEWAY,
	    "Packets of the data plane, by stage: out + out_made = out_sent + drops, in + "
	    "in_made = in_delivered + in_answered + drops",
	    .fill = fill_packets },
	{ "tandem_drops_total", COUNTER, OF_GATEWAY,
	    "Packets dropped, by reason",
	    .fill = fill_drops },
	{ "tandem_batch_datagrams", "histogram", OF_GATEWAY,
	    "Datagrams that crossed the border of the kernel at once, as a train",
	    .fill = fill_datagrams },
	{ "tandem_batch_bytes", "histogram", OF_GATEWAY,
	    "Bytes of a packet, or super-packet, read from (out) or written to (in) a device "
	    "at once",
	    .fill = fill_bytes },
	{ "tandem_trains_refused_total", COUNTER, OF_GATEWAY,
	    "Trains that the kernel did not take as such",
	    .source = { ONE("batches.trains_refused") } },
	{ "tandem_worker_lost_total", COUNTER, OF_GATEWAY,
	    "What a worker could not hand to control: IKE datagrams, and news of the engine",
	    .source = { SPLIT("worker.strays_lost", "what", "datagram"),
	    SPLIT("worker.events_lost", "what", "event") } },
	{ "tandem_ike_sas", GAUGE, OF_GATEWAY,
	    "SAs that exist, by kind; half_open are IKE SAs of strangers so far",
	    .source = { SPLIT("ike.ike_sas", "sa", "ike"), SPLIT("ike.child_sas", "sa", "child"),
	    SPLIT("ike.half_open", "sa", "half_open") } },
	{ "tandem_ike_jobs", GAUGE, OF_GATEWAY,
	    "Long computations under way",
	    .source = { ONE("ike.jobs") } },
	{ "tandem_ike_datagrams_total", COUNTER, OF_GATEWAY,
	    "IKE datagrams",
	    .source = { SPLIT("ike.datagrams_in", "direction", "in"),
	    SPLIT("ike.datagrams_out", "direction", "out") } },
	{ "tandem_ike_retransmits_total", COUNTER, OF_GATEWAY,
	    "Requests that were sent again",
	    .source = { ONE("ike.retransmits") } },
	{ "tandem_ike_cookies_total", COUNTER, OF_GATEWAY,
	    "Openings that were answered by a cookie",
	    .source = { ONE("ike.cookies") } },
	{ "tandem_ike_dropped_total", COUNTER, OF_GATEWAY,
	    "IKE datagrams that were not acted on",
	    .source = { ONE("ike.dropped") } },
	{ "tandem_ike_failures_total", COUNTER, OF_GATEWAY,
	    "Exchanges that failed; an opening that nobody answers is counted as both",
	    .source = { SPLIT("ike.unanswered", "reason", "unanswered"),
	    SPLIT("ike.openings_failed", "reason", "opening"),
	    SPLIT("ike.rekeys_failed", "reason", "rekey"),
	    SPLIT("ike.auth_failed", "reason", "authentication") } },
	{ "tandem_cipher_info", GAUGE, OF_GATEWAY,
	    "Which library serves which cipher",
	    .fill = fill_ciphers },
	{ "tandem_secrets_locked", GAUGE, OF_GATEWAY,
	    "1 when keys cannot be swapped out",
	    .source = { ONE("secrets_locked") } },
	{ "tandem_process_memory_bytes", GAUGE, OF_GATEWAY,
	    "Resident memory of the engine",
	    .source = { ONE("process.memory_bytes") } },
	{ "tandem_process_memory_max_bytes", GAUGE, OF_GATEWAY,
	    "The most that was resident",
	    .source = { ONE("process.memory_max_bytes") } },
	{ "tandem_process_cpu_seconds_total", COUNTER, OF_GATEWAY,
	    "Processor time of the engine",
	    .source = { ONE("process.cpu_s") } },
};

#define FAMILIES_N	(sizeof(families) / sizeof(families[0]))

/* ---- from the status -------------------------------------------------------------------- */

static void
read_states(const struct family *f, json_t *samples, const json_t *o, const json_t *labels)
{
	const char *now = json_string_value(json_object_get(o, f->state.key)), *name;

	for (unsigned i = 0; now != NULL && (name = f->state.name(i)) != NULL; i++)
		add(samples, labels_with(labels, f->state.label, name),
		    json_integer(strcmp(name, now) == 0));
}

static void
read_sources(const struct family *f, json_t *samples, const json_t *o, const json_t *labels)
{
	for (const struct source *s = f->source; s->key != NULL; s++) {
		json_t *v = number(look(o, s->key), s);

		if (v != NULL)
			add(samples, labels_with(labels, s->label, s->value), v);
	}
}

/* All families of one scope from one object of it. */
static void
read_object(json_t *samples[], enum scope scope, const json_t *o, const json_t *labels)
{
	for (size_t i = 0; i < FAMILIES_N; i++) {
		const struct family *f = &families[i];

		if (f->scope != scope)
			continue;
		if (f->fill != NULL)
			f->fill(samples[i], o);
		else if (f->state.key != NULL)
			read_states(f, samples[i], o, labels);
		else
			read_sources(f, samples[i], o, labels);
	}
}

static void
read_sas(json_t *samples[], const json_t *list, const json_t *labels)
{
	const char *way, *spi;
	json_t *sa, *all;
	size_t i;

	json_array_foreach(list, i, sa) {
		way = json_string_value(json_object_get(sa, "direction"));
		spi = json_string_value(json_object_get(sa, "spi"));
		if (way == NULL || spi == NULL)
			continue;
		all = labels_with(labels, "direction", way);
		json_object_set_new(all, "spi", json_string(spi));
		read_object(samples, OF_SA, sa, all);
		json_decref(all);
	}
}

static void
read_connection(json_t *samples[], const json_t *c)
{
	const char *name = json_string_value(json_object_get(c, "name"));
	json_t *labels, *all, *t;
	char number_of[24];
	size_t i;

	if (name == NULL)
		return;
	labels = labels_with(NULL, "connection", name);
	read_object(samples, OF_CONNECTION, c, labels);
	json_array_foreach(json_object_get(c, "tunnels"), i, t) {
		snprintf(number_of, sizeof(number_of), "%zu", i + 1);
		all = labels_with(labels, "tunnel", number_of);
		read_object(samples, OF_TUNNEL, t, all);
		read_sas(samples, json_object_get(t, "sas"), all);
		json_decref(all);
	}
	json_decref(labels);
}

json_t *
metrics_of_status(const json_t *status)
{
	json_t *samples[FAMILIES_N], *list = json_array(), *c;
	size_t i;

	for (i = 0; i < FAMILIES_N; i++)
		samples[i] = json_array();
	read_object(samples, OF_GATEWAY, status, NULL);
	json_array_foreach(json_object_get(status, "connections"), i, c)
		read_connection(samples, c);
	for (i = 0; i < FAMILIES_N; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", families[i].name,
		    "type", families[i].type, "help", families[i].help, "samples", samples[i]));
	return json_pack("{s:b, s:i, s:o}", "ok", 1, "schema", TANDEM_SCHEMA, "metrics", list);
}

/* ---- as text ---------------------------------------------------------------------------- */

/* Backslash and line feed are escaped, in labels quotes too; other control characters, which
 * the format allows, must not steer a terminal. */
static void
print_escaped(const char *text, bool label, FILE *to)
{
	for (; *text != '\0'; text++) {
		if (*text == '\\' || (label && *text == '"'))
			fprintf(to, "\\%c", *text);
		else if (*text == '\n')
			fputs("\\n", to);
		else
			fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, to);
	}
}

static void
print_labels(const json_t *labels, const char *le, FILE *to)
{
	const char *key, *sep = "{";
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)labels, key, v) {
		fprintf(to, "%s%s=\"", sep, key);
		print_escaped(json_string_value(v), true, to);
		fputc('"', to);
		sep = ",";
	}
	if (le != NULL) {
		fprintf(to, "%sle=\"%s\"", sep, le);
		sep = ",";
	}
	if (sep[0] == ',')
		fputc('}', to);
}

static void
print_value(const json_t *v, FILE *to)
{
	if (json_is_integer(v))
		fprintf(to, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
	else
		fprintf(to, " %.10g\n", json_number_value(v));
}

static void
print_histogram(const char *name, const json_t *sample, FILE *to)
{
	const json_t *labels = json_object_get(sample, "labels");
	char le[32];
	json_t *b;
	size_t i;

	json_array_foreach(json_object_get(sample, "buckets"), i, b) {
		const json_t *v = json_object_get(b, "le");

		snprintf(le, sizeof(le), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		fprintf(to, "%s_bucket", name);
		print_labels(labels, json_is_null(v) ? "+Inf" : le, to);
		print_value(json_object_get(b, "count"), to);
	}
	fprintf(to, "%s_sum", name);
	print_labels(labels, NULL, to);
	print_value(json_object_get(sample, "sum"), to);
	fprintf(to, "%s_count", name);
	print_labels(labels, NULL, to);
	print_value(json_object_get(sample, "count"), to);
}

void
metrics_print(const json_t *metrics, FILE *to)
{
	json_t *m, *s;
	size_t i, k;

	json_array_foreach(json_object_get(metrics, "metrics"), i, m) {
		const char *name = json_string_value(json_object_get(m, "name"));
		const json_t *samples = json_object_get(m, "samples");

		if (json_array_size(samples) == 0)
			continue;
		fprintf(to, "# HELP %s ", name);
		print_escaped(json_string_value(json_object_get(m, "help")), false, to);
		fprintf(to, "\n# TYPE %s %s\n", name, json_string_value(json_object_get(m, "type")));
		json_array_foreach(samples, k, s) {
			if (json_object_get(s, "buckets") != NULL) {
				print_histogram(name, s, to);
				continue;
			}
			fputs(name, to);
			print_labels(json_object_get(s, "labels"), NULL, to);
			print_value(json_object_get(s, "value"), to);
		}
	}
}
