/* SPDX-License-Identifier: MIT */
#include "gateway/show.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/metric.h"
#include "gateway/findings.h"

#define LABEL	"    %-10s "		/* the lines under a tunnel */
#define RESOURCES	128		/* of a tunnel, at most */

struct look {
	const char *good, *warn, *bad, *dim, *bold, *off;
};

static const struct look plain = { "", "", "", "", "", "" };
static const struct look coloured = {
	"\033[32m", "\033[33m", "\033[31m", "\033[2m", "\033[1m", "\033[0m"
};

/* Reasons may quote a peer, whose words must not steer somebody's terminal: control characters,
 * also those of U+0080 to U+009F, become question marks. */
static json_t *
printable_string(const char *from)
{
	char *text = strdup(from);
	json_t *s;

	if (text == NULL)
		return NULL;
	for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (p[0] == 0xc2 && p[1] < 0xa0)
			p[0] = p[1] = '?';
	}
	s = json_string(text);
	free(text);
	return s;
}

static json_t *
printable(const json_t *from)
{
	json_t *to, *v;
	const char *key;
	size_t i;

	if (json_is_string(from))
		return printable_string(json_string_value(from));
	if (json_is_array(from)) {
		to = json_array();
		json_array_foreach(from, i, v)
			json_array_append_new(to, printable(v));
		return to;
	}
	if (!json_is_object(from))
		return json_deep_copy(from);
	to = json_object();
	json_object_foreach((json_t *)(uintptr_t)from, key, v)
		json_object_set_new(to, key, printable(v));
	return to;
}

static const char *
str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "-";
}

static bool
has(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && *s != '\0';
}

static double
num(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* As an integer, whatever it is. */
static int
whole(const json_t *o, const char *key)
{
	double v = num(o, key);

	return v > -1e9 && v < 1e9 ? (int)v : 0;
}

static bool
known(const json_t *o, const char *key)
{
	return json_is_number(json_object_get(o, key));
}

/* "3 d 4 h", "41 min", "12 s": the two largest units at most. */
static const char *
duration(double s, char *buf, size_t cap)
{
	long v = s < 1e9 ? (long)(s + 0.5) : 1000000000L;

	if (s < 0)
		snprintf(buf, cap, "-");
	else if (s < 0.95)
		snprintf(buf, cap, "%.0f ms", s * 1000);
	else if (v < 120)
		snprintf(buf, cap, "%ld s", v);
	else if (v < 3600)
		snprintf(buf, cap, "%ld min", v / 60);
	else if (v < 86400)
		snprintf(buf, cap, "%ld h %ld min", v / 3600, v % 3600 / 60);
	else
		snprintf(buf, cap, "%ld d %ld h", v / 86400, v % 86400 / 3600);
	return buf;
}

/* "-" when it is not known. */
static const char *
span(const json_t *o, const char *key, char *buf, size_t cap)
{
	return duration(known(o, key) ? num(o, key) : -1, buf, cap);
}

static const char *
bytes(double n, char *buf, size_t cap)
{
	static const char *const unit[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	unsigned u = 0;

	while (n >= 1000 && u < 5) {
		n /= 1000;
		u++;
	}
	snprintf(buf, cap, u == 0 ? "%.0f %s" : "%.1f %s", n, unit[u]);
	return buf;
}

static const char *
paint(const struct look *l, const char *state)
{
	if (strcmp(state, "up") == 0)
		return l->good;
	return strcmp(state, "degraded") == 0 ? l->warn : l->bad;
}

static void
show_times(const json_t *t, FILE *to)
{
	char a[32], b[32];

	if (known(t, "rtt_ms"))
		fprintf(to, LABEL "round trip %.2f ms, jitter %.2f ms, loss %.1f %%\n", "path",
		    num(t, "rtt_ms"), num(t, "jitter_ms"), num(t, "loss_percent"));
	if (known(t, "rekey_in_s"))
		fprintf(to, LABEL "Child SA in %s, IKE SA in %s\n", "rekey",
		    span(t, "rekey_in_s", a, sizeof(a)),
		    span(t, "ike_rekey_in_s", b, sizeof(b)));
}

static double
sum(const json_t *sas, int resource, const char *direction)
{
	double n = 0;
	size_t i;
	json_t *v;

	json_array_foreach(sas, i, v)
		if (whole(v, "resource") == resource && strcmp(str(v, "direction"), direction) == 0)
			n += num(v, "bytes");
	return n;
}

/* Where workers have Child SAs of their own: how much went by those that there are now. */
static void
show_each(const json_t *sas, FILE *to)
{
	char a[32], b[32];
	int max = 0;
	size_t i;
	json_t *v;

	json_array_foreach(sas, i, v)
		if (whole(v, "resource") > max && whole(v, "resource") < RESOURCES)
			max = whole(v, "resource");
	for (int k = 0; max > 0 && k <= max; k++)
		fprintf(to, LABEL "in %s, out %s by Child SA %d of %d\n", k == 0 ? "workers" : "",
		    bytes(sum(sas, k, "in"), a, sizeof(a)), bytes(sum(sas, k, "out"), b, sizeof(b)),
		    k + 1, max + 1);
}

static void
show_sa(const json_t *t, FILE *to)
{
	char a[32], b[32], since[32];
	const char *nat = json_is_true(json_object_get(t, "nat_local")) ? ", behind a NAT" : "";

	if (strcmp(str(t, "state"), "up") != 0)
		return;
	fprintf(to, LABEL "%s   ESP %s%s%s\n", "suite", str(t, "ike"), str(t, "esp"),
	    json_is_true(json_object_get(t, "esn")) ? " (ESN)" : "", nat);
	fprintf(to, LABEL "in %s, out %s%s%s", "traffic",
	    bytes(num(t, "bytes_in"), a, sizeof(a)), bytes(num(t, "bytes_out"), b, sizeof(b)),
	    known(t, "last_in_s") ? ", last heard " : "",
	    known(t, "last_in_s") ? span(t, "last_in_s", since, sizeof(since)) : "");
	if (num(t, "sequence_gaps") > 0)
		fprintf(to, ", %.0f packets never came", num(t, "sequence_gaps"));
	fputc('\n', to);
	show_each(json_object_get(t, "sas"), to);
	show_times(t, to);
}

static void
show_tunnel(const json_t *t, FILE *to, const struct look *l)
{
	bool live = json_is_true(json_object_get(t, "live"));
	const char *state = str(t, "state"), *verdict = str(t, "verdict");
	bool well = strcmp(verdict, "up") == 0 || strcmp(verdict, "down") == 0 ||
	    !has(t, "verdict");
	char since[32];

	fprintf(to, "  tunnel %d   %s%s%s %s  %s%s%s  %s -> %s", whole(t, "index"),
	    paint(l, state), state, l->off, span(t, "since_s", since, sizeof(since)),
	    live ? l->bold : l->dim, live ? "carries traffic" : "standby", l->off,
	    str(t, "local"), str(t, "remote"));
	if (!well)
		fprintf(to, "  %s%s%s", l->warn, verdict, l->off);
	fputc('\n', to);
	show_sa(t, to);
	if (strcmp(state, "up") != 0 && has(t, "reason"))
		fprintf(to, LABEL "%s%s%s\n", "why", l->bad, str(t, "reason"), l->off);
	if (strcmp(state, "up") != 0 && known(t, "next_try_in_s"))
		fprintf(to, LABEL "in %s\n", "next try",
		    span(t, "next_try_in_s", since, sizeof(since)));
	if (!well && has(t, "verdict_reason"))
		fprintf(to, LABEL "%s\n", "verdict", str(t, "verdict_reason"));
}

static void
show_connection(const json_t *c, FILE *to, const struct look *l)
{
	const char *state = str(c, "state");
	char ago[32];
	size_t i;
	json_t *v;

	fprintf(to, "%s%s%s  %s%s%s  device %s  mtu %d  %s\n", l->bold, str(c, "name"), l->off,
	    paint(l, state), state, l->off, str(c, "device"), whole(c, "mtu"),
	    str(c, "policy"));
	fprintf(to, "  networks  ");
	json_array_foreach(json_object_get(c, "networks"), i, v)
		fprintf(to, " %s", json_is_string(v) ? json_string_value(v) : "-");
	fputc('\n', to);
	if (has(c, "device_error"))
		fprintf(to, "  device     %s%s%s\n", l->bad, str(c, "device_error"), l->off);
	if (num(c, "failovers") > 0)
		fprintf(to, "  failovers  %d, last %s ago: %s\n", whole(c, "failovers"),
		    span(c, "last_failover_s", ago, sizeof(ago)), str(c, "why"));
	json_array_foreach(json_object_get(c, "tunnels"), i, v)
		show_tunnel(v, to, l);
}

static const struct drop_info *
drop_named(const char *name)
{
	static const struct drop_info unknown = { .help = "" };

	for (unsigned d = 0; d < DROP_N; d++)
		if (strcmp(drop_info((enum drop)d)->name, name) == 0)
			return drop_info((enum drop)d);
	return &unknown;
}

/* What is no fault is for programs: the answers to our own questions would hide the rest. */
static void
show_drops(const json_t *drops, FILE *to)
{
	const char *key, *title = "\npackets dropped\n";
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)drops, key, v) {
		if (drop_named(key)->usual)
			continue;
		fprintf(to, "%s  %-14s %8lld  %s\n", title, key, (long long)json_integer_value(v),
		    drop_named(key)->help);
		title = "";
	}
}

void
show_status(const json_t *status, FILE *to, bool colour)
{
	const struct look *l = colour ? &coloured : &plain;
	json_t *s = printable(status), *v;
	char up[32];
	size_t i;

	fprintf(to, "tandem %s, running %s\n", str(s, "version"),
	    span(s, "uptime_s", up, sizeof(up)));
	json_array_foreach(json_object_get(s, "connections"), i, v) {
		fputc('\n', to);
		show_connection(v, to, l);
	}
	show_drops(json_object_get(s, "drops"), to);
	if (json_array_size(json_object_get(s, "findings")) > 0)
		fputc('\n', to);
	findings_print(json_object_get(s, "findings"), to);
	json_decref(s);
}

void
show_event(const json_t *event, FILE *to, bool colour)
{
	const struct look *l = colour ? &coloured : &plain;
	double when = num(event, "time");
	struct tm tm = { 0 };
	char stamp[32];
	json_t *e;
	time_t s;

	if (!(when > 0 && when < 1e11))		/* the answer to "watch" has none */
		return;
	s = (time_t)when;
	localtime_r(&s, &tm);
	strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
	e = printable(event);
	fprintf(to, "%s%s.%03d%s  %s", l->dim, stamp, (int)((when - (double)s) * 1000), l->off,
	    str(e, "connection"));
	if (known(e, "tunnel"))
		fprintf(to, "/%d", whole(e, "tunnel"));
	fprintf(to, "  %s%s%s  %s\n", l->bold, str(e, "event"), l->off, str(e, "what"));
	fflush(to);
	json_decref(e);
}
