/* SPDX-License-Identifier: MIT */
#include "gateway/findings.h"

#include "config_unit.h"
#include "gateway/hostcheck.h"

/* What hostcheck() is asked about a configuration or a status, and what is made of its answer. */

static struct {
	struct hostcheck_in in;
	struct ip remote[8];
	char device[8][IFNAMSIZ];
	unsigned asked;
	struct finding answer[3];
	size_t answer_n;
} host;

static struct fix f;

__typeof__(hostcheck) __wrap_hostcheck;

size_t
__wrap_hostcheck(const struct hostcheck_in *in, struct finding *out, size_t max)
{
	ck_assert_uint_le(host.answer_n, max);
	ck_assert(in->remote_n <= 8 && in->device_n <= 8);
	host.asked++;
	host.in = *in;
	memcpy(host.remote, in->remote, in->remote_n * sizeof(host.remote[0]));
	memcpy(host.device, in->device, in->device_n * sizeof(host.device[0]));
	memcpy(out, host.answer, host.answer_n * sizeof(host.answer[0]));
	return host.answer_n;
}

static void
setup(void)
{
	memset(&host, 0, sizeof(host));
	host.answer[0] = (struct finding){ FINDING_ERROR, "port-taken", "another has port 500",
	    "ss -ulpn sport = :500" };
	host.answer[1] = (struct finding){ FINDING_WARN, "forward4-off", "forwarding is off",
	    "sysctl -w net.ipv4.ip_forward=1" };
	host.answer[2] = (struct finding){ FINDING_NOTE, "filter-unknown", "it cannot be read", "" };
	fix_init(&f);
}

static void
teardown(void)
{
	fix_fini(&f);
}

static void
remotes_are(const char *const *text, size_t n)
{
	char is[IP_STRLEN];

	ck_assert_uint_eq(host.in.remote_n, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_str_eq(ip_str(&host.remote[i], is), text[i]);
}

static const char two[] =
    "port: 501\nnatt-port: 4501\nconnections:\n"
    "  one:\n    networks: [10.1.0.0/16]\n    psk-file: a\n    local: 192.0.2.1\n"
    "    tunnels: [{remote: 203.0.113.1}, {remote: 203.0.113.2}]\n"
    "  two:\n    networks: ['fd01::/32']\n    psk-file: a\n    local: '2001:db8::1'\n"
    "    device: wan7\n    tunnels: [{remote: '2001:db8::3'}, {remote: '2001:db8::4'}]\n";

/* ---- what is asked -------------------------------------------------------------------------- */

START_TEST(all_of_a_configuration_is_asked_about)
{
	static const char *const remotes[] = { "203.0.113.1", "203.0.113.2", "2001:db8::3",
		"2001:db8::4" };

	json_decref(findings_of_config(fix_good(&f, two), true));
	remotes_are(remotes, 4);
	ck_assert_uint_eq(host.in.device_n, 2);
	ck_assert_str_eq(host.device[0], "td-one");
	ck_assert_str_eq(host.device[1], "wan7");
	ck_assert(host.in.inside4 && host.in.inside6);
	ck_assert_uint_eq(host.in.port[0], 501);
	ck_assert_uint_eq(host.in.port[1], 4501);
	ck_assert_int_ge(host.in.now, 1700000000);
	/* while a daemon of ours has them, ports are not looked at */
	json_decref(findings_of_config(f.c, false));
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(host.in.port[i], 0);
	json_decref(findings_of_config(fix_good(&f, fix_base), true));
	ck_assert(host.in.inside4 && !host.in.inside6);
}
END_TEST

/* A status, as a daemon in this network namespace gives it. */
static json_t *
status(const char *connections)
{
	json_t *o = json_object(), *c = json_loads(connections, 0, NULL);

	ck_assert_ptr_nonnull(c);
	json_object_set_new(o, "netns", json_integer(findings_netns()));
	json_object_set_new(o, "connections", c);
	return o;
}

START_TEST(all_of_a_status_is_asked_about)
{
	static const char *const remotes[] = { "203.0.113.1", "2001:db8::4" };
	json_t *s = status("[{\"device\": \"td-one\", \"networks\": [\"10.1.0.0/16\"],"
	    "\"tunnels\": [{\"remote_ip\": \"203.0.113.1\"}, {\"remote_ip\": null}]},"
	    "{\"device\": \"wan7\", \"networks\": [\"fd01::/32\"],"
	    "\"tunnels\": [{}, {\"remote_ip\": \"2001:db8::4\"}]}]"), *list;

	host.answer_n = 3;
	list = findings_of_status(s);
	ck_assert_uint_eq(json_array_size(list), 3);
	json_decref(list);
	remotes_are(remotes, 2);
	ck_assert_uint_eq(host.in.device_n, 2);
	ck_assert_str_eq(host.device[1], "wan7");
	ck_assert(host.in.inside4 && host.in.inside6);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(host.in.port[i], 0);	/* the daemon has them */
	/* of another network namespace nothing can be said */
	json_object_set_new(s, "netns", json_integer(findings_netns() + 1));
	host.asked = 0;
	ck_assert_ptr_null(findings_of_status(s));
	json_object_del(s, "netns");
	ck_assert_ptr_null(findings_of_status(s));
	ck_assert_uint_eq(host.asked, 0);
	json_decref(s);
}
END_TEST

/* What a daemon of another version, or none of ours, may say: nothing is read that is not there. */
START_TEST(an_odd_status_is_no_danger)
{
	static const char *const odd[] = { "[]", "[{}]", "[{\"device\": 7}]",
		"[{\"device\": \"a name that is longer than any device may have\"}]",
		"[{\"networks\": 5, \"tunnels\": {}}]",
		"[{\"networks\": [5, null]}]",
		"[{\"tunnels\": [{\"remote_ip\": \"x\"}, 3, {\"remote_ip\": \"192.0.2.1\"},"
		    "{\"remote_ip\": \"192.0.2.2\"}, {\"remote_ip\": \"192.0.2.3\"}]}]" };

	for (size_t i = 0; i < N_OF(odd); i++) {
		json_t *s = status(odd[i]), *list = findings_of_status(s);

		ck_assert_uint_eq(json_array_size(list), 0);
		ck_assert_uint_eq(host.in.remote_n, 0);
		json_decref(list);
		json_decref(s);
	}
	ck_assert_uint_eq(strlen("a name that is "), IFNAMSIZ - 1);
}
END_TEST

/* ---- what is made of it --------------------------------------------------------------------- */

START_TEST(each_finding_has_its_command)
{
	static const char *const command[] = { "ss -ulpn sport = :500",
		"sysctl -w net.ipv4.ip_forward=1", "" };
	static const char *const severity[] = { "error", "warning", "note" };
	json_t *list;

	host.answer_n = 3;
	list = findings_of_config(fix_good(&f, two), true);
	ck_assert_uint_eq(json_array_size(list), 3);
	for (size_t i = 0; i < 3; i++) {
		const json_t *o = json_array_get(list, i);

		ck_assert_uint_eq(json_object_size(o), 4);
		ck_assert_str_eq(json_string_value(json_object_get(o, "severity")), severity[i]);
		ck_assert_str_eq(json_string_value(json_object_get(o, "code")), host.answer[i].code);
		ck_assert_str_eq(json_string_value(json_object_get(o, "what")), host.answer[i].sentence);
		ck_assert_str_eq(json_string_value(json_object_get(o, "command")), command[i]);
	}
	json_decref(list);
}
END_TEST

static char *
printed(const json_t *list)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	findings_print(list, to);
	fclose(to);
	return text;
}

START_TEST(people_get_two_lines_each)
{
	json_t *list;
	char *text;

	host.answer_n = 3;
	list = findings_of_config(fix_good(&f, two), true);
	text = printed(list);
	ck_assert_str_eq(text, "error: another has port 500\n    ss -ulpn sport = :500\n"
	    "warning: forwarding is off\n    sysctl -w net.ipv4.ip_forward=1\n"
	    "note: it cannot be read\n");
	free(text);
	json_decref(list);
	list = json_loads("[{}, {\"what\": 5}]", 0, NULL);	/* by way of a daemon */
	text = printed(list);
	ck_assert_str_eq(text, ": \n: \n");
	free(text);
	json_decref(list);
	text = printed(NULL);
	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

static struct { enum log_level level; char line[LOG_LINE_MAX]; } line[4];
static unsigned lines;

static void
keep(void *arg, enum log_level level, const char *text)
{
	(void)arg;
	ck_assert_uint_lt(lines, 4);
	line[lines].level = level;
	snprintf(line[lines++].line, LOG_LINE_MAX, "%s", text);
}

START_TEST(the_log_gets_one_line_each)
{
	json_t *list;

	host.answer_n = 3;
	list = findings_of_config(fix_good(&f, two), true);
	lines = 0;
	log_level_set(LOG_LEVEL_INFO);
	log_to(keep, NULL);
	findings_log(list);
	findings_log(NULL);
	log_to(NULL, NULL);
	json_decref(list);
	ck_assert_uint_eq(lines, 3);
	ck_assert_str_eq(line[0].line, "host code=port-taken what=\"another has port 500\" "
	    "command=\"ss -ulpn sport = :500\"");
	ck_assert_int_eq(line[0].level, LOG_LEVEL_WARN);
	ck_assert_int_eq(line[1].level, LOG_LEVEL_WARN);
	ck_assert_int_eq(line[2].level, LOG_LEVEL_INFO);	/* worth knowing, no more */
}
END_TEST

START_TEST(only_errors_are_errors)
{
	json_t *list;

	host.answer_n = 3;
	list = findings_of_config(fix_good(&f, two), true);
	ck_assert(findings_have_error(list));
	json_array_remove(list, 0);
	ck_assert(!findings_have_error(list));
	json_array_clear(list);
	ck_assert(!findings_have_error(list));
	json_decref(list);
	ck_assert(!findings_have_error(NULL));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, all_of_a_configuration_is_asked_about);
	tcase_add_test(t, all_of_a_status_is_asked_about);
	tcase_add_test(t, an_odd_status_is_no_danger);
	tcase_add_test(t, each_finding_has_its_command);
	tcase_add_test(t, people_get_two_lines_each);
	tcase_add_test(t, the_log_gets_one_line_each);
	tcase_add_test(t, only_errors_are_errors);
}

UNIT_MAIN("gateway/findings", fill)
