/* SPDX-License-Identifier: MIT */
#include "gateway/metrics.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/metric.h"

#include "json_text.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW	1
#else
#define SLOW	0
#endif

static const char status_text[] =
"{\"ok\": true, \"schema\": 1, \"version\": \"0.1.0\", \"uptime_s\": 93784.5, \"state\": \"degraded\","
" \"connections\": ["
"  {\"name\": \"office\", \"state\": \"up\", \"mtu\": 1438, \"failovers\": 2, \"tunnels\": ["
"    {\"name\": \"office/1\", \"index\": 1, \"state\": \"up\", \"live\": true, \"verdict\": \"up\","
"     \"bytes_in\": 1234567, \"bytes_out\": 999, \"packets_in\": 1000, \"packets_out\": 9,"
"     \"drops\": 3, \"sequence_gaps\": 17, \"last_in_s\": 0.5, \"last_out_s\": null,"
"     \"rtt_ms\": 12.5, \"jitter_ms\": 0.5, \"loss_percent\": 1.5, \"rekeys\": 4,"
"     \"ike_rekeys\": 1, \"attempts\": 0, \"sas\": ["
"      {\"direction\": \"in\", \"spi\": \"c0ffee01\", \"packets\": 900, \"bytes\": 90000,"
"       \"sequence_gaps\": 7},"
"      {\"direction\": \"out\", \"spi\": \"c0ffee02\", \"packets\": 9, \"bytes\": 999}]},"
"    {\"name\": \"office/2\", \"index\": 2, \"state\": \"up\", \"live\": false,"
"     \"verdict\": \"dead\", \"bytes_in\": 0, \"bytes_out\": 9007199254740993,"
"     \"packets_in\": 0, \"packets_out\": 5, \"rtt_ms\": null, \"sas\": []}]},"
"  {\"name\": \"branch\", \"state\": \"down\", \"mtu\": 1400, \"failovers\": 0, \"tunnels\": ["
"    {\"name\": \"branch/1\", \"index\": 1, \"state\": \"down\", \"live\": false,"
"     \"verdict\": \"down\", \"attempts\": 3}]}],"
" \"drops\": {\"in-replay\": 3, \"out-no-tunnel\": 12},"
" \"packets\": {\"out\": 21, \"out_made\": 0, \"out_sent\": 9, \"in\": 1003},"
" \"batches\": {\"datagrams_sent\": [1, 2, 3], \"datagrams_received\": [],"
"   \"bytes_read\": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], \"bytes_written\":"
"   [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5], \"sums\": {\"datagrams_sent\": 20,"
"   \"datagrams_received\": 0, \"bytes_read\": 9000, \"bytes_written\": 500000},"
"   \"trains_refused\": 0},"
" \"worker\": {\"strays_lost\": 0, \"events_lost\": 1},"
" \"process\": {\"memory_bytes\": 12345344, \"memory_max_bytes\": 22345344, \"cpu_s\": 3.25},"
" \"ike\": {\"ike_sas\": 2, \"child_sas\": 2, \"half_open\": 0, \"jobs\": 0, \"datagrams_in\": 10,"
"   \"datagrams_out\": 12, \"retransmits\": 2, \"cookies\": 0, \"dropped\": 1, \"auth_failed\": 0,"
"   \"unanswered\": 3, \"openings_failed\": 4, \"rekeys_failed\": 5},"
" \"ciphers\": {\"aes256gcm16\": \"ipsec-mb\"}, \"secrets_locked\": true}";

/* The text for a status; the caller's to free. */
static char *
shown(const json_t *status)
{
	json_t *m = metrics_of_status(status);
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	ck_assert(to != NULL && m != NULL);
	metrics_print(m, to);
	fclose(to);
	json_decref(m);
	return text;
}

/* ---- a strict reader of the text format, written from its description ---------------------- */

#define SERIES_MAX	1024
#define KEY_MAX		512

struct reader {
	const char *at;
	char family[100], type[20];	/* of the block that we are in */
	char seen[64][100];		/* families */
	unsigned seen_n, samples;	/* samples: in this block */
	uint64_t series[SERIES_MAX];	/* hashes */
	unsigned series_n;
	/* of a histogram: the group of series that is being read */
	char group[KEY_MAX];
	double le, cumulative;
	bool infinite, summed;
};

static void
expect(struct reader *r, const char *word)
{
	ck_assert_msg(strncmp(r->at, word, strlen(word)) == 0, "not \"%s\": %.60s", word, r->at);
	r->at += strlen(word);
}

/* [a-zA-Z_][a-zA-Z0-9_]* (colons are for the rules of the server). */
static void
read_name(struct reader *r, char *to, size_t cap)
{
	size_t n = 0;

	ck_assert_msg(isalpha((unsigned char)*r->at) || *r->at == '_', "name: %.40s", r->at);
	while (isalnum((unsigned char)*r->at) || *r->at == '_') {
		ck_assert_uint_lt(n + 1, cap);
		to[n++] = *r->at++;
	}
	to[n] = '\0';
}

/* "text" with \\, \" and \n; any other escape, or a raw control character, is a mistake. */
static void
read_quoted(struct reader *r, char *to, size_t cap)
{
	size_t n = 0;

	expect(r, "\"");
	for (; *r->at != '"'; r->at++) {
		ck_assert_msg((unsigned char)*r->at >= 0x20, "control character in a label");
		if (*r->at == '\\') {
			r->at++;
			ck_assert_msg(*r->at == '\\' || *r->at == '"' || *r->at == 'n', "escape");
		}
		ck_assert_uint_lt(n + 1, cap);
		to[n++] = *r->at;
	}
	to[n] = '\0';
	r->at++;
}

static double
read_value(struct reader *r)
{
	char *end;
	double v;

	ck_assert_msg(isdigit((unsigned char)*r->at) || *r->at == '-', "value: %.40s", r->at);
	v = strtod(r->at, &end);
	r->at = end;
	ck_assert(isfinite(v));
	expect(r, "\n");
	return v;
}

/* The end of a block: it had samples, and its last histogram is whole. */
static void
close_block(struct reader *r)
{
	ck_assert_msg(r->family[0] == '\0' || r->samples > 0, "%s has no sample", r->family);
	ck_assert_msg(r->group[0] == '\0', "%s: no count behind %s", r->family, r->group);
}

static void
read_header(struct reader *r)
{
	char again[100];

	close_block(r);
	expect(r, "# HELP ");
	read_name(r, r->family, sizeof(r->family));
	ck_assert_msg(strncmp(r->family, "tandem_", 7) == 0, "%s", r->family);
	for (unsigned i = 0; i < r->seen_n; i++)
		ck_assert_str_ne(r->seen[i], r->family);
	ck_assert_uint_lt(r->seen_n, 64);
	strcpy(r->seen[r->seen_n++], r->family);
	expect(r, " ");
	ck_assert(*r->at != '\n');
	r->at = strchr(r->at, '\n') + 1;
	expect(r, "# TYPE ");
	read_name(r, again, sizeof(again));
	ck_assert_str_eq(again, r->family);
	expect(r, " ");
	read_name(r, r->type, sizeof(r->type));
	expect(r, "\n");
	ck_assert(strcmp(r->type, "gauge") == 0 || strcmp(r->type, "counter") == 0 ||
	    strcmp(r->type, "histogram") == 0);
	ck_assert_int_eq(strcmp(r->type, "counter") == 0,
	    strcmp(r->family + strlen(r->family) - 6, "_total") == 0);
	r->samples = 0;
}

/* One sample of a histogram: le ascends, counts do not fall, infinity is the count. */
static void
check_histogram(struct reader *r, const char *suffix, const char *labels, const char *le, double v)
{
	if (strcmp(suffix, "_bucket") == 0) {
		double edge = strcmp(le, "+Inf") == 0 ? INFINITY : strtod(le, NULL);

		if (r->group[0] == '\0') {
			snprintf(r->group, sizeof(r->group), "%s!", labels);
			r->le = -INFINITY;
			r->cumulative = 0;
			r->infinite = r->summed = false;
		}
		ck_assert(strncmp(r->group, labels, strlen(labels)) == 0 && edge > r->le);
		ck_assert_msg(v >= r->cumulative, "%s: %f after %f", labels, v, r->cumulative);
		r->le = edge;
		r->cumulative = v;
		r->infinite = isinf(edge);
	} else if (strcmp(suffix, "_sum") == 0) {
		ck_assert(r->infinite && v >= 0);
		r->summed = true;
	} else {
		ck_assert_str_eq(suffix, "_count");
		ck_assert(r->infinite && r->summed);
		ck_assert(v <= r->cumulative && v >= r->cumulative);
		r->group[0] = '\0';
	}
}

static void
read_sample(struct reader *r)
{
	char name[100], label[40], value[200], le[40] = "", labels[KEY_MAX] = "";
	char key[KEY_MAX + 200];
	uint64_t hash = 0xcbf29ce484222325;
	double v;

	read_name(r, name, sizeof(name));
	if (*r->at == '{') {
		do {
			size_t n = strlen(labels);

			r->at++;
			read_name(r, label, sizeof(label));
			expect(r, "=");
			read_quoted(r, value, sizeof(value));
			if (strcmp(label, "le") == 0)
				snprintf(le, sizeof(le), "%.39s", value);
			else
				snprintf(labels + n, sizeof(labels) - n, "%s=%s;", label, value);
		} while (*r->at == ',');
		expect(r, "}");
	}
	expect(r, " ");
	v = read_value(r);
	ck_assert(strncmp(name, r->family, strlen(r->family)) == 0);
	if (strcmp(r->type, "histogram") == 0)
		check_histogram(r, name + strlen(r->family), labels, le, v);
	else
		ck_assert_str_eq(name, r->family);
	ck_assert(strcmp(r->type, "gauge") == 0 || v >= 0);
	snprintf(key, sizeof(key), "%s{%sle=%s", name, labels, le);
	for (const char *c = key; *c != '\0'; c++)	/* FNV-1a */
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
	for (unsigned i = 0; i < r->series_n; i++)
		if (r->series[i] == hash)
			ck_abort_msg("twice: %s", key);
	ck_assert_uint_lt(r->series_n, SERIES_MAX);
	r->series[r->series_n++] = hash;
	r->samples++;
}

/* Every line is right; returns how many samples there are. */
static unsigned
strict(const char *text)
{
	struct reader r = { .at = text };

	while (*r.at != '\0') {
		if (*r.at == '#')
			read_header(&r);
		else
			read_sample(&r);
	}
	close_block(&r);
	return r.series_n;
}

/* ---- tests ------------------------------------------------------------------------------- */

static void
has_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = text; (p = strstr(p, line)) != NULL; p += n)
		if ((p == text || p[-1] == '\n') && p[n] == '\n')
			return;
	ck_abort_msg("there is no line %s", line);
}

START_TEST(every_line_is_of_the_format)
{
	json_t *o = parse(status_text);
	char *text = shown(o);

	ck_assert_uint_gt(strict(text), 150);
	free(text);
	json_decref(o);
}
END_TEST

START_TEST(values_are_those_of_the_status)
{
	static const char *const lines[] = {
		"tandem_build_info{version=\"0.1.0\"} 1", "tandem_state{state=\"up\"} 0",
		"tandem_state{state=\"degraded\"} 1", "tandem_uptime_seconds 93784.5",
		"tandem_connection_state{connection=\"branch\",state=\"down\"} 1",
		"tandem_connection_failovers_total{connection=\"office\"} 2",
		"tandem_tunnel_up{connection=\"office\",tunnel=\"2\"} 1",
		"tandem_tunnel_up{connection=\"branch\",tunnel=\"1\"} 0",
		"tandem_tunnel_live{connection=\"office\",tunnel=\"1\"} 1",
		"tandem_tunnel_live{connection=\"office\",tunnel=\"2\"} 0",
		"tandem_tunnel_verdict{connection=\"office\",tunnel=\"2\",verdict=\"dead\"} 1",
		"tandem_tunnel_verdict{connection=\"office\",tunnel=\"2\",verdict=\"uplink\"} 0",
		"tandem_tunnel_packets_total{connection=\"office\",tunnel=\"1\",direction=\"in\"} 1000",
		"tandem_tunnel_bytes_total{connection=\"office\",tunnel=\"2\",direction=\"out\"} "
		    "9007199254740993",
		"tandem_tunnel_sequence_gaps_total{connection=\"office\",tunnel=\"1\"} 17",
		"tandem_tunnel_round_trip_seconds{connection=\"office\",tunnel=\"1\"} 0.0125",
		"tandem_tunnel_loss_ratio{connection=\"office\",tunnel=\"1\"} 0.015",
		"tandem_tunnel_rekeys_total{connection=\"office\",tunnel=\"1\",sa=\"ike\"} 1",
		"tandem_sa_packets_total{connection=\"office\",tunnel=\"1\",direction=\"in\","
		    "spi=\"c0ffee01\"} 900",
		"tandem_sa_sequence_gaps_total{connection=\"office\",tunnel=\"1\",direction=\"in\","
		    "spi=\"c0ffee01\"} 7",
		"tandem_packets_total{stage=\"out_sent\"} 9",
		"tandem_drops_total{direction=\"in\",reason=\"in-replay\"} 3",
		"tandem_drops_total{direction=\"out\",reason=\"out-no-tunnel\"} 12",
		"tandem_drops_total{direction=\"in\",reason=\"in-auth\"} 0",
		"tandem_batch_datagrams_bucket{direction=\"out\",le=\"1\"} 1",
		"tandem_batch_datagrams_bucket{direction=\"out\",le=\"3\"} 3",
		"tandem_batch_datagrams_bucket{direction=\"out\",le=\"7\"} 6",
		"tandem_batch_datagrams_bucket{direction=\"out\",le=\"+Inf\"} 6",
		"tandem_batch_datagrams_sum{direction=\"out\"} 20",
		"tandem_batch_datagrams_count{direction=\"in\"} 0",
		"tandem_batch_bytes_bucket{direction=\"in\",le=\"65535\"} 16",
		"tandem_batch_bytes_bucket{direction=\"in\",le=\"+Inf\"} 21",
		"tandem_worker_lost_total{what=\"event\"} 1",
		"tandem_ike_failures_total{reason=\"unanswered\"} 3",
		"tandem_ike_failures_total{reason=\"rekey\"} 5",
		"tandem_cipher_info{cipher=\"aes256gcm16\",library=\"ipsec-mb\"} 1",
		"tandem_secrets_locked 1", "tandem_process_cpu_seconds_total 3.25",
	};
	json_t *o = parse(status_text);
	char *text = shown(o);

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		has_line(text, lines[i]);
	/* what is not known has no sample */
	ck_assert_ptr_null(strstr(text, "round_trip_seconds{connection=\"office\",tunnel=\"2\""));
	ck_assert_ptr_null(strstr(text, "silence_seconds{connection=\"office\",tunnel=\"1\","
	    "direction=\"out\""));
	ck_assert_ptr_null(strstr(text, "sequence_gaps_total{connection=\"office\",tunnel=\"1\","
	    "direction=\"out\""));
	free(text);
	json_decref(o);
}
END_TEST

START_TEST(every_drop_reason_is_there)
{
	json_t *o = parse(status_text);
	char *text = shown(o), line[120];

	for (unsigned d = 0; d < DROP_N; d++) {
		snprintf(line, sizeof(line), "tandem_drops_total{direction=\"%s\",reason=\"%s\"} ",
		    d < DROP_IN_SHORT ? "out" : "in", drop_info((enum drop)d)->name);
		ck_assert_msg(strstr(text, line) != NULL, "%s", line);
	}
	free(text);
	json_decref(o);
}
END_TEST

/* A name with everything in it that the format has to escape, or a terminal would obey. */
START_TEST(labels_are_escaped)
{
	json_t *o = parse(status_text), *c = json_array_get(json_object_get(o, "connections"), 0);
	char *text;

	json_object_set_new(c, "name", json_string("a\"b\\c\nd\033[2J{}=,\xc3\xa9"));
	text = shown(o);
	ck_assert_uint_gt(strict(text), 150);
	has_line(text, "tandem_connection_mtu_bytes{connection=\"a\\\"b\\\\c\\nd?[2J{}=,\xc3\xa9\"} 1438");
	free(text);
	json_decref(o);
}
END_TEST

/* The JSON holds the same samples as the text. */
START_TEST(json_is_the_same)
{
	json_t *o = parse(status_text), *m = metrics_of_status(o), *f, *s;
	char *text = shown(o);
	unsigned n = 0;
	size_t i, k;

	ck_assert(json_is_true(json_object_get(m, "ok")));
	json_array_foreach(json_object_get(m, "metrics"), i, f) {
		json_array_foreach(json_object_get(f, "samples"), k, s) {
			n += json_object_get(s, "value") != NULL;
			if (json_object_get(s, "buckets") != NULL)
				n += (unsigned)json_array_size(json_object_get(s, "buckets")) + 2;
		}
	}
	ck_assert_uint_eq(n, strict(text));
	free(text);
	json_decref(m);
	json_decref(o);
}
END_TEST

/* Call `each` with the whole after each single change at or below `node`. */
static void
walk(json_t *root, json_t *node, void (*each)(json_t *root))
{
	static const char *const other[] = { "1", "\"\"", "[null, 1, {\"x\": 2}]" };
	json_t *v, *copy = json_copy(node);
	const char *key;
	size_t i;

	json_object_foreach(copy, key, v) {
		json_object_del(node, key);
		each(root);
		for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
			json_object_set_new(node, key, parse(other[i]));
			each(root);
		}
		json_object_set(node, key, v);
		walk(root, v, each);
	}
	for (i = 0; i < json_array_size(node); i++)
		walk(root, json_array_get(node, i), each);
	json_decref(copy);
}

/* All of them take a sanitizer half a minute: there one of 23, another kind each time. */
static void
is_still_strict(json_t *root)
{
	static unsigned turn;
	char *text;

	if (SLOW && turn++ % 23 != 0)
		return;
	text = shown(root);
	(void)strict(text);
	free(text);
}

/* Whatever a daemon of another version says, what is printed is of the format. */
START_TEST(a_strange_status_gives_no_strange_metrics)
{
	json_t *o = parse(status_text), *other = json_array();

	walk(o, o, is_still_strict);
	is_still_strict(other);
	json_decref(other);
	json_decref(o);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, every_line_is_of_the_format);
	tcase_add_test(tc, values_are_those_of_the_status);
	tcase_add_test(tc, every_drop_reason_is_there);
	tcase_add_test(tc, labels_are_escaped);
	tcase_add_test(tc, json_is_the_same);
	tcase_add_test(tc, a_strange_status_gives_no_strange_metrics);
}

UNIT_MAIN("gateway_metrics", fill)
