/* SPDX-License-Identifier: MIT */
#include "gateway/show.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"

static const char status_text[] =
"{\"ok\": true, \"schema\": 1, \"version\": \"0.1.0\", \"uptime_s\": 93784.5, \"state\": \"degraded\","
" \"connections\": ["
"  {\"name\": \"office\", \"state\": \"up\", \"device\": \"td-office\", \"mtu\": 1438,"
"   \"policy\": \"active-standby\", \"networks\": [\"10.2.0.0/16\", \"2001:db8:2::/48\"],"
"   \"why\": \"tunnel 2: no answer to 3 questions in 310 ms\", \"failovers\": 2,"
"   \"last_failover_s\": 4000.0, \"tunnels\": ["
"    {\"name\": \"office/1\", \"index\": 1, \"state\": \"up\", \"since_s\": 60.0, \"live\": true,"
"     \"local\": \"192.0.2.1:4500\", \"remote\": \"198.51.100.1:4500\", \"verdict\": \"up\","
"     \"verdict_reason\": \"\", \"ike\": \"aes256gcm16-sha384-ecp384\", \"esp\": \"aes256gcm16\","
"     \"esn\": true, \"nat_local\": false, \"bytes_in\": 1234567, \"bytes_out\": 999,"
"     \"sequence_gaps\": 17, \"sas\": ["
"      {\"direction\": \"in\", \"spi\": \"1\", \"resource\": 0, \"packets\": 1, \"bytes\": 1000},"
"      {\"direction\": \"out\", \"spi\": \"2\", \"resource\": 1, \"packets\": 2, \"bytes\": 2000},"
"      {\"direction\": \"in\", \"spi\": \"3\", \"resource\": 0, \"packets\": 3, \"bytes\": 300}],"
"     \"last_in_s\": 0.0123, \"rtt_ms\": 12.345, \"jitter_ms\": 0.5, \"loss_percent\": 0.1,"
"     \"rekey_in_s\": 2500.0, \"ike_rekey_in_s\": 200000.0},"
"    {\"name\": \"office/2\", \"index\": 2, \"state\": \"up\", \"since_s\": 7200.0, \"live\": false,"
"     \"local\": \"192.0.2.1:4500\", \"remote\": \"203.0.113.1:4500\", \"verdict\": \"dead\","
"     \"verdict_reason\": \"no answer to 3 questions in 310 ms\", \"ike\": \"aes128gcm16\","
"     \"esp\": \"aes128gcm16\", \"esn\": false, \"nat_local\": true, \"bytes_in\": 0,"
"     \"bytes_out\": 5e9, \"last_in_s\": null, \"rtt_ms\": null, \"rekey_in_s\": 10,"
"     \"ike_rekey_in_s\": null}]},"
"  {\"name\": \"branch\", \"state\": \"down\", \"device\": \"td-branch\", \"mtu\": 1400,"
"   \"policy\": \"pinned\", \"networks\": [\"10.3.0.0/16\"], \"why\": \"\", \"failovers\": 0,"
"   \"last_failover_s\": null, \"tunnels\": ["
"    {\"name\": \"branch/1\", \"index\": 1, \"state\": \"down\", \"since_s\": 5.0, \"live\": false,"
"     \"local\": \"192.0.2.1\", \"remote\": \"198.51.100.9\", \"verdict\": \"down\","
"     \"reason\": \"no answer from the peer\", \"next_try_in_s\": 3.2}]}],"
" \"drops\": {\"in-replay\": 3, \"in-probe\": 7, \"out-no-tunnel\": 12},"
" \"findings\": [{\"severity\": \"warning\", \"what\": \"forwarding is off\","
"   \"command\": \"sysctl -w net.ipv4.ip_forward=1\"}]}";

static const char golden[] =
"tandem 0.1.0, running 1 d 2 h\n"
"\n"
"office  up  device td-office  mtu 1438  active-standby\n"
"  networks   10.2.0.0/16 2001:db8:2::/48\n"
"  failovers  2, last 1 h 6 min ago: tunnel 2: no answer to 3 questions in 310 ms\n"
"  tunnel 1   up 60 s  carries traffic  192.0.2.1:4500 -> 198.51.100.1:4500\n"
"    suite      aes256gcm16-sha384-ecp384   ESP aes256gcm16 (ESN)\n"
"    traffic    in 1.2 MB, out 999 B, last heard 12 ms, 17 packets never came\n"
"    workers    in 1.3 kB, out 0 B by Child SA 1 of 2\n"
"               in 0 B, out 2.0 kB by Child SA 2 of 2\n"
"    path       round trip 12.35 ms, jitter 0.50 ms, loss 0.1 %\n"
"    rekey      Child SA in 41 min, IKE SA in 2 d 7 h\n"
"  tunnel 2   up 2 h 0 min  standby  192.0.2.1:4500 -> 203.0.113.1:4500  dead\n"
"    suite      aes128gcm16   ESP aes128gcm16, behind a NAT\n"
"    traffic    in 0 B, out 5.0 GB\n"
"    rekey      Child SA in 10 s, IKE SA in -\n"
"    verdict    no answer to 3 questions in 310 ms\n"
"\n"
"branch  down  device td-branch  mtu 1400  pinned\n"
"  networks   10.3.0.0/16\n"
"  tunnel 1   down 5 s  standby  192.0.2.1 -> 198.51.100.9\n"
"    why        no answer from the peer\n"
"    next try   in 3 s\n"
"\n"
"packets dropped\n"
"  in-replay             3  seen before, or older than the replay window\n"
"  out-no-tunnel        12  no tunnel of the path is up\n"
"\n"
"warning: forwarding is off\n"
"    sysctl -w net.ipv4.ip_forward=1\n";

/* What is printed for it; the caller's to free. */
static char *
shown(const json_t *o, bool event, bool colour)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(to);
	if (event)
		show_event(o, to, colour);
	else
		show_status(o, to, colour);
	fclose(to);
	return text;
}

START_TEST(a_status_reads_like_this)
{
	json_t *o = parse(status_text);
	char *text = shown(o, false, false);

	ck_assert_str_eq(text, golden);
	free(text);
	json_decref(o);
}
END_TEST

/* The same words, painted: without the escapes nothing differs. */
START_TEST(colour_adds_nothing_but_colour)
{
	json_t *o = parse(status_text);
	char *text = shown(o, false, true), *to = text;

	ck_assert_ptr_nonnull(strstr(text, "\033[32mup\033[0m"));
	ck_assert_ptr_nonnull(strstr(text, "\033[31mdown\033[0m"));
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\033')
			p = strchr(p, 'm');
		else
			*to++ = *p;
	}
	*to = '\0';
	ck_assert_str_eq(text, golden);
	free(text);
	json_decref(o);
}
END_TEST

/* Call `each` with the whole after each single change at or below `node`: each key of each
 * object taken away, and each value replaced by one of every other type. */
static void
walk(json_t *root, json_t *node, void (*each)(json_t *root))
{
	static const char *const other[] = { "null", "true", "-1", "1e300", "\"\"", "[]", "{}",
		"[null]", "[[1], {\"x\": 2}, \"text\"]", "{\"tunnels\": 7}" };
	const char *key;
	json_t *v, *copy = json_copy(node);
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
	json_array_foreach(copy, i, v) {
		for (size_t k = 0; k < sizeof(other) / sizeof(other[0]); k++) {
			json_array_set_new(node, i, parse(other[k]));
			each(root);
		}
		json_array_set(node, i, v);
		walk(root, v, each);
	}
	json_decref(copy);
}

static unsigned walked;

static void
show_both(json_t *root)
{
	char *text = shown(root, false, true);

	ck_assert_msg(strncmp(text, "tandem ", 7) == 0, "%s", text);
	ck_assert_msg(strstr(text, "(null)") == NULL, "%s", text);
	free(text);
	free(shown(root, true, false));
	walked++;
}

START_TEST(whatever_is_missing_or_odd_it_goes_on)
{
	json_t *o = parse(status_text);

	walk(o, o, show_both);
	ck_assert_uint_gt(walked, 500);
	json_decref(o);
	free(shown(NULL, false, false));
	o = parse("[1, 2]");
	free(shown(o, false, false));
	json_decref(o);
}
END_TEST

/* A peer's words do not steer a terminal. */
START_TEST(control_characters_are_not_passed_on)
{
	json_t *o = parse("{\"connections\": [{\"name\": \"a\\u001b[2Jb\", \"tunnels\": [{\"state\": "
	    "\"down\", \"reason\": \"x\\ny\\u009bz\\u007f \\u00e9\"}]}]}");
	char *text = shown(o, false, false);

	ck_assert_ptr_nonnull(strstr(text, "a?[2Jb"));
	ck_assert_ptr_nonnull(strstr(text, "x?y??z? \xc3\xa9"));
	ck_assert_ptr_null(strchr(text, '\033'));
	free(text);
	json_decref(o);
}
END_TEST

START_TEST(durations_and_amounts)
{
	static const struct { const char *json, *want; } t[] = {
		{ "0", "running 0 ms" }, { "0.9", "running 900 ms" }, { "1", "running 1 s" },
		{ "119", "running 119 s" }, { "120", "running 2 min" }, { "3599", "running 59 min" },
		{ "3600", "running 1 h 0 min" }, { "86399", "running 23 h 59 min" },
		{ "86400", "running 1 d 0 h" }, { "null", "running -" }, { "-3", "running -" },
		{ "\"x\"", "running -" }, { "1e99", "running 11574 d 1 h" },
	};
	char json[100];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		json_t *o;
		char *text;

		snprintf(json, sizeof(json), "{\"uptime_s\": %s}", t[i].json);
		o = parse(json);
		text = shown(o, false, false);
		ck_assert_msg(strstr(text, t[i].want) != NULL, "%s: %s", t[i].json, text);
		free(text);
		json_decref(o);
	}
}
END_TEST

START_TEST(an_event_is_one_line)
{
	json_t *o = parse("{\"event\": \"select\", \"time\": 1000.25, \"connection\": \"office\","
	    " \"what\": \"traffic goes by tunnel 2\"}");
	char *text;

	setenv("TZ", "UTC", 1);
	text = shown(o, true, false);
	ck_assert_str_eq(text, "00:16:40.250  office  select  traffic goes by tunnel 2\n");
	free(text);
	json_object_set_new(o, "tunnel", json_integer(2));
	text = shown(o, true, false);
	ck_assert_str_eq(text, "00:16:40.250  office/2  select  traffic goes by tunnel 2\n");
	free(text);
	json_object_del(o, "time");		/* the answer to "watch" */
	text = shown(o, true, false);
	ck_assert_str_eq(text, "");
	free(text);
	json_decref(o);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_status_reads_like_this);
	tcase_add_test(t, colour_adds_nothing_but_colour);
	tcase_add_test(t, whatever_is_missing_or_odd_it_goes_on);
	tcase_add_test(t, control_characters_are_not_passed_on);
	tcase_add_test(t, durations_and_amounts);
	tcase_add_test(t, an_event_is_one_line);
}

UNIT_MAIN("show", fill)
