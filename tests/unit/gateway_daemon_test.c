/* SPDX-License-Identifier: MIT */
#include "gateway/cli.h"

#include <errno.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "config_unit.h"
#include "gateway/broker.h"
#include "gateway/gateway.h"
#include "gateway/hostcheck.h"

/*
 * `tandem run` up to the broker, which is the test's here and calls the engine as the true one
 * does, and `tandem check`.  Each is run by a process of its own, and what it prints is read.
 */
static struct {
	char socket[80], out[65536], err[65536];
	int code;
} run;

static struct fix f;

/* ---- what the children meet ----------------------------------------------------------------- */

__typeof__(broker_run) __wrap_broker_run;
__typeof__(gw_run) __wrap_gw_run;
__typeof__(hostcheck) __wrap_hostcheck;

int
__wrap_broker_run(const struct broker_conf *conf)
{
	printf("broker state=%s lock=%s\n", conf->state_dir, conf->lock);
	log_event(LOG_LEVEL_WARN, "words", "what=\"a \\ and more\"");
	return conf->engine(5, conf->arg);
}

int
__wrap_gw_run(const struct gw_conf *conf)
{
	printf("engine broker=%d config=%s socket=%s\n", conf->broker, conf->config_path,
	    conf->socket_path);
	return 7;
}

/* One finding, which says whether ports were asked about. */
size_t
__wrap_hostcheck(const struct hostcheck_in *in, struct finding *out, size_t max)
{
	ck_assert_uint_ge(max, 1);
	out[0] = (struct finding){ FINDING_WARN, "a-code", "", "mend it" };
	snprintf(out[0].sentence, sizeof(out[0].sentence), "ports %u and %u", in->port[0], in->port[1]);
	return 1;
}

static void
read_all(const char *path, char *to, size_t cap)
{
	FILE *from = fopen(path, "r");
	size_t n;

	ck_assert_ptr_nonnull(from);
	n = fread(to, 1, cap - 1, from);
	to[n] = '\0';
	fclose(from);
}

/* In a process of its own, because it logs and prints; its exit code. */
static int
in_a_process(int (*verb)(const struct cli *cli), struct cli *cli)
{
	char out[96], err[96];
	int status;
	pid_t pid;

	snprintf(out, sizeof(out), "%.64s/out", f.dir);
	snprintf(err, sizeof(err), "%.64s/err", f.dir);
	if (cli->config == NULL)
		cli->config = f.name;
	if (cli->socket == NULL)
		cli->socket = run.socket;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(open(out, O_CREAT | O_TRUNC | O_WRONLY, 0600), STDOUT_FILENO);
		dup2(open(err, O_CREAT | O_TRUNC | O_WRONLY, 0600), STDERR_FILENO);
		status = verb(cli);
		fflush(NULL);
		_exit(status);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	read_all(out, run.out, sizeof(run.out));
	read_all(err, run.err, sizeof(run.err));
	return WEXITSTATUS(status);
}

static void
config_is(const char *text)
{
	fix_file(&f, "t.yaml", text, strlen(text), 0600);
}

static void
setup(void)
{
	fix_init(&f);
	snprintf(run.socket, sizeof(run.socket), "%.64s/s", f.dir);
	config_is(fix_base);
	unsetenv("JOURNAL_STREAM");
}

static void
teardown(void)
{
	fix_fini(&f);
}

static bool
has(const char *text, const char *words)
{
	return strstr(text, words) != NULL;
}

/* ---- run ------------------------------------------------------------------------------------ */

/* The state beside the socket, one daemon for each; the engine gets what it needs, and its exit
 * code is that of the daemon. */
START_TEST(run_hands_over_to_broker_and_engine)
{
	struct cli cli = { .socket_given = true };
	char want[512];

	ck_assert_int_eq(in_a_process(cli_run, &cli), 7);
	snprintf(want, sizeof(want), "broker state=%s.state lock=%s.state/lock\n"
	    "engine broker=5 config=%s socket=%s\n", run.socket, run.socket, f.name, run.socket);
	ck_assert_str_eq(run.out, want);
	/* what is in the way on the host is said, but does not stop it */
	ck_assert(has(run.err, "host code=a-code what=\"ports 500 and 4500\" command=\"mend it\""));
	/* a socket that nobody named is left to the configuration */
	cli.socket_given = false;
	ck_assert_int_eq(in_a_process(cli_run, &cli), 7);
	ck_assert(has(run.out, " socket=\n"));
	ck_assert(has(run.out, ".state/lock"));
}
END_TEST

START_TEST(run_does_not_begin_with_a_mistake)
{
	struct cli cli = { 0 };

	config_is("colour: red\n");
	ck_assert_int_eq(in_a_process(cli_run, &cli), CLI_FAILED);
	ck_assert_str_eq(run.out, "");
	ck_assert(has(run.err, ":1:1: 'colour' is not a key of the gateway"));
	cli.config = "/nowhere/at.all";
	ck_assert_int_eq(in_a_process(cli_run, &cli), CLI_FAILED);
	ck_assert(has(run.err, "/nowhere/at.all"));
	ck_assert_str_eq(run.out, "");
}
END_TEST

START_TEST(run_says_what_deserves_a_look_and_begins)
{
	struct cli cli = { 0 };

	config_is(fix_swap("[10.1.0.0/16, 10.2.0.0/16]", "[10.1.0.0/16, 10.1.3.0/24]"));
	ck_assert_int_eq(in_a_process(cli_run, &cli), 7);
	ck_assert(has(run.err, "warning: ") && has(run.err, "is within '10.1.0.0/16'"));
}
END_TEST

START_TEST(paths_that_do_not_fit_are_refused)
{
	char socket[120], config[CONFIG_PATH_MAX + 10];
	struct cli cli = { .socket = socket };

	memset(socket, 's', sizeof(socket));
	socket[sizeof(socket) - 1] = '\0';
	ck_assert_int_eq(in_a_process(cli_run, &cli), CLI_USAGE);
	ck_assert(has(run.err, "too long"));
	memset(config, 'c', sizeof(config));
	config[sizeof(config) - 1] = '\0';
	cli = (struct cli){ .config = config };
	ck_assert_int_eq(in_a_process(cli_run, &cli), CLI_USAGE);
	ck_assert_str_eq(run.out, "");
}
END_TEST

/* The longest socket that fits has a state and a lock of their own, not cut. */
START_TEST(the_longest_socket_keeps_its_lock)
{
	char socket[108], want[300];
	struct cli cli = { .socket = socket, .socket_given = true };

	memset(socket, 's', sizeof(socket) - 1);
	socket[0] = '/';
	socket[sizeof(socket) - 1] = '\0';
	ck_assert_int_eq(in_a_process(cli_run, &cli), 7);
	snprintf(want, sizeof(want), "broker state=%s.state lock=%s.state/lock\n", socket, socket);
	ck_assert(has(run.out, want));
	ck_assert(has(run.out, " socket=/sssss"));
}
END_TEST

/* The log is an object a line on standard output, whatever is in it. */
START_TEST(json_makes_the_log_json)
{
	struct cli cli = { .json = true };
	unsigned lines = 0, words = 0;
	char *save = NULL;

	ck_assert_int_eq(in_a_process(cli_run, &cli), 7);
	for (char *l = strtok_r(run.out, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save)) {
		json_t *o = l[0] == '{' ? json_loads(l, 0, NULL) : NULL;

		if (l[0] != '{')
			continue;		/* the broker's and the engine's own */
		ck_assert_msg(o != NULL, "%s", l);
		lines++;
		ck_assert(json_is_real(json_object_get(o, "time")));
		ck_assert_str_eq(json_string_value(json_object_get(o, "level")), "warn");
		if (strcmp(json_string_value(json_object_get(o, "event")), "words") == 0) {
			words++;
			ck_assert_str_eq(json_string_value(json_object_get(o, "text")),
			    "what=\"a \\ and more\"");
		}
		json_decref(o);
	}
	ck_assert_uint_eq(lines, 2);			/* the finding, and the broker's */
	ck_assert_uint_eq(words, 1);
	ck_assert_str_eq(run.err, "");
}
END_TEST

/* The journal has a time of its own. */
START_TEST(lines_have_a_time_unless_the_journal_has_it)
{
	struct cli cli = { 0 };

	(void)in_a_process(cli_run, &cli);
	ck_assert(has(run.err, "Z warn words"));
	setenv("JOURNAL_STREAM", "8:1", 1);
	(void)in_a_process(cli_run, &cli);
	ck_assert(has(run.err, "words") && !has(run.err, "Z warn words"));
}
END_TEST

/* ---- check ---------------------------------------------------------------------------------- */

START_TEST(check_shows_values_and_findings)
{
	struct cli cli = { 0 };

	ck_assert_int_eq(in_a_process(cli_check, &cli), CLI_WELL);
	ck_assert(has(run.out, "lifetime") && has(run.out, ":6"));
	ck_assert(!has(run.out, "first-secret") && !has(run.err, "first-secret"));
	ck_assert(has(run.err, "warning: ports 500 and 4500\n    mend it\n"));
}
END_TEST

START_TEST(check_counts_the_mistakes)
{
	struct cli cli = { 0 };

	config_is("colour: red\nsize: 1\n");
	ck_assert_int_eq(in_a_process(cli_check, &cli), CLI_FAILED);
	ck_assert_str_eq(run.out, "");
	ck_assert(has(run.err, "'colour'") && has(run.err, "'size'"));
	ck_assert(has(run.err, "3 mistakes in ") || has(run.err, "2 mistakes in "));
	config_is(fix_swap("log: info", "log: loud"));
	ck_assert_int_eq(in_a_process(cli_check, &cli), CLI_FAILED);
	ck_assert(has(run.err, "1 mistake in "));
}
END_TEST

START_TEST(check_json_is_one_object)
{
	struct cli cli = { .json = true };
	json_t *o;

	config_is(fix_swap("[10.1.0.0/16, 10.2.0.0/16]", "[10.1.0.0/16, 10.1.3.0/24]"));
	ck_assert_int_eq(in_a_process(cli_check, &cli), CLI_WELL);
	o = json_loads(run.out, 0, NULL);
	ck_assert_msg(o != NULL, "%s", run.out);
	ck_assert(json_is_true(json_object_get(o, "ok")));
	ck_assert_uint_eq(json_array_size(json_object_get(o, "errors")), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(o, "warnings")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(o, "findings")), 1);
	ck_assert(json_is_object(json_object_get(o, "config")));
	json_decref(o);
	config_is("\"a\\\\b\\\"c\": red\n");		/* a key that has to be escaped */
	ck_assert_int_eq(in_a_process(cli_check, &cli), CLI_FAILED);
	o = json_loads(run.out, 0, NULL);
	ck_assert_msg(o != NULL, "%s", run.out);
	ck_assert(json_is_false(json_object_get(o, "ok")));
	ck_assert_uint_gt(json_array_size(json_object_get(o, "errors")), 0);
	ck_assert_ptr_null(json_object_get(o, "config"));
	json_decref(o);
}
END_TEST

/* While a daemon of ours answers it is that which has the ports; a socket file alone proves
 * nothing. */
START_TEST(check_leaves_the_ports_of_a_daemon_alone)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct cli cli = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(un.sun_path, run.socket);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	(void)in_a_process(cli_check, &cli);
	ck_assert(has(run.err, "ports 500 and 4500"));
	ck_assert_int_eq(listen(fd, 5), 0);
	(void)in_a_process(cli_check, &cli);
	ck_assert(has(run.err, "ports 0 and 0"));
	close(fd);
}
END_TEST

START_TEST(check_lists_the_keys)
{
	struct cli cli = { .keys = true, .config = "/nowhere/at.all" };

	ck_assert_int_eq(in_a_process(cli_check, &cli), CLI_WELL);
	ck_assert(has(run.out, "networks") && has(run.out, "psk-file"));
	ck_assert_str_eq(run.err, "");
	cli.json = true;
	ck_assert_int_eq(in_a_process(cli_check, &cli), CLI_WELL);
	ck_assert(has(run.out, "{\"ok\": true, \"schema\": 1, \"keys\": [{"));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, run_hands_over_to_broker_and_engine);
	tcase_add_test(t, run_does_not_begin_with_a_mistake);
	tcase_add_test(t, run_says_what_deserves_a_look_and_begins);
	tcase_add_test(t, paths_that_do_not_fit_are_refused);
	tcase_add_test(t, the_longest_socket_keeps_its_lock);
	tcase_add_test(t, json_makes_the_log_json);
	tcase_add_test(t, lines_have_a_time_unless_the_journal_has_it);
	tcase_add_test(t, check_shows_values_and_findings);
	tcase_add_test(t, check_counts_the_mistakes);
	tcase_add_test(t, check_json_is_one_object);
	tcase_add_test(t, check_leaves_the_ports_of_a_daemon_alone);
	tcase_add_test(t, check_lists_the_keys);
}

UNIT_MAIN("gateway/daemon", fill)
