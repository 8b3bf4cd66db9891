/* SPDX-License-Identifier: MIT */
#include "gateway/cli.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/version.h"

#include "unit.h"

/*
 * The command line as a user has it, each run in a process of its own, against a daemon played
 * by another process: it writes down what it was asked and answers what the test says.
 */
#define ARGS	10

struct run {
	char dir[40], socket[80];
	pid_t daemon;
	int code;
	char out[16384], err[4096], asked[4096];
};

static struct run run;

static void
setup(void)
{
	memset(&run, 0, sizeof(run));
	snprintf(run.dir, sizeof(run.dir), "/tmp/tandem-cli-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(run.dir));
	snprintf(run.socket, sizeof(run.socket), "%.39s/sock", run.dir);
	unsetenv("TANDEM_SOCKET");
}

static void
daemon_stop(void)
{
	if (run.daemon > 0) {
		kill(run.daemon, SIGKILL);
		waitpid(run.daemon, NULL, 0);
	}
	run.daemon = 0;
	unlink(run.socket);
}

static void
teardown(void)
{
	char command[80];

	daemon_stop();
	snprintf(command, sizeof(command), "rm -r %.39s", run.dir);
	ck_assert_int_eq(system(command), 0);
}

static char *
path_of(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%.39s/%s", run.dir, name);
	return path;
}

static void
slurp(const char *name, char *to, size_t cap)
{
	FILE *f = fopen(path_of(name), "r");
	size_t n = f != NULL ? fread(to, 1, cap - 1, f) : 0;

	to[n] = '\0';
	if (f != NULL)
		fclose(f);
}

/* One client after the other: write down each request, answer it, hang up at the end. */
static void
daemon_run(int fd, const char *answer)
{
	char ask;
	FILE *log;
	int c;

	for (;;) {
		c = accept(fd, NULL, NULL);
		log = fopen(path_of("asked"), "a");
		do {
			if (read(c, &ask, 1) != 1)
				break;
			fputc(ask, log);
		} while (ask != '\n');
		fclose(log);
		if (answer != NULL)
			(void)!write(c, answer, strlen(answer));
		close(c);
	}
}

static void
daemon_start(const char *answer)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	daemon_stop();
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", run.socket);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	run.daemon = fork();
	ck_assert_int_ge(run.daemon, 0);
	if (run.daemon == 0)
		daemon_run(fd, answer);
	close(fd);
}

static void
redirect(int fd, const char *name)
{
	int to = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	dup2(to, fd);
	close(to);
}

/* Run "tandem ARGS"; %s in it stands for the socket.  The exit code. */
static int
tandem(const char *args)
{
	char line[300], *argv[ARGS] = { (char *)(uintptr_t)"tandem" }, *save = NULL;
	int argc = 1, status;
	pid_t pid;

	unlink(path_of("asked"));
	snprintf(line, sizeof(line), args, run.socket);
	for (char *w = strtok_r(line, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	ck_assert_int_lt(argc, ARGS);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		redirect(1, "out");
		redirect(2, "err");
		exit(cli_main(argc, argv));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "tandem %s: signal %d", args, WTERMSIG(status));
	run.code = WEXITSTATUS(status);
	slurp("out", run.out, sizeof(run.out));
	slurp("err", run.err, sizeof(run.err));
	slurp("asked", run.asked, sizeof(run.asked));
	return run.code;
}

#define ck_tandem(args, want) \
	ck_assert_msg(tandem(args) == (want), "%s: %d\n%s%s", args, run.code, run.out, run.err)

/* The last line of standard output is one JSON object. */
static json_t *
out_json(void)
{
	json_t *o = json_loads(run.out, 0, NULL);

	ck_assert_msg(json_is_object(o), "%s", run.out);
	return o;
}

START_TEST(usage_errors_end_with_2)
{
	static const char *const wrong[] = {
		"", "dance", "status a b", "up", "up a b", "down", "rekey", "failover", "reload x",
		"version x", "status --ike", "up --auto x", "status --bogus", "status --config", "-x",
		"help --json", "watch x", "--json", "check --ike", "version --ike", "-- status x y",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_tandem(wrong[i], CLI_USAGE);
		ck_assert_str_eq(run.out, "");
		ck_assert_str_ne(run.err, "");
	}
	ck_tandem("dance", CLI_USAGE);
	ck_assert_str_eq(run.err, "tandem: unknown verb \"dance\"; see tandem help\n");
}
END_TEST

START_TEST(help_and_version_are_no_errors)
{
	json_t *o;

	ck_tandem("help", CLI_WELL);
	ck_assert_ptr_nonnull(strstr(run.out, "failover"));
	for (const char *p = run.out; *p != '\0'; p = strchr(p, '\n') + 1)
		ck_assert_msg(strcspn(p, "\n") <= 100, "too wide: %.110s", p);
	ck_tandem("--help", CLI_WELL);
	ck_tandem("status -h", CLI_WELL);
	ck_tandem("version", CLI_WELL);
	ck_assert_str_eq(run.out, "tandem " TANDEM_VERSION "\n");
	ck_tandem("--version", CLI_WELL);
	ck_assert_str_eq(run.out, "tandem " TANDEM_VERSION "\n");
	ck_tandem("version --json", CLI_WELL);
	o = out_json();
	ck_assert_str_eq(json_string_value(json_object_get(o, "version")), TANDEM_VERSION);
	json_decref(o);
}
END_TEST

START_TEST(options_stand_anywhere)
{
	static const char *const same[] = {
		"rekey office/2 --ike --socket %s", "rekey --ike --socket %s office/2",
		"--ike -s %s rekey office/2", "-i rekey -s%s office/2", "rekey -is %s -- office/2",
	};

	daemon_start("{\"ok\": true, \"schema\": 1, \"what\": \"rekeying\"}\n");
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		ck_tandem(same[i], CLI_WELL);
		ck_assert_str_eq(run.out, "rekeying\n");
		ck_assert_str_eq(run.asked,
		    "{\"verb\":\"rekey\",\"target\":\"office/2\",\"ike\":true}\n");
	}
	setenv("TANDEM_SOCKET", run.socket, 1);
	ck_tandem("failover office --auto", CLI_WELL);
	ck_assert_str_eq(run.asked, "{\"verb\":\"failover\",\"target\":\"office\",\"auto\":true}\n");
	ck_tandem("failover office", CLI_WELL);
	ck_assert_str_eq(run.asked, "{\"verb\":\"failover\",\"target\":\"office\",\"auto\":false}\n");
	setenv("TANDEM_SOCKET", "", 1);
	ck_tandem("up x --socket %s", CLI_WELL);
	ck_assert_str_eq(run.asked, "{\"verb\":\"up\",\"target\":\"x\"}\n");
}
END_TEST

START_TEST(what_the_daemon_refuses_ends_with_1)
{
	json_t *o;

	daemon_start("{\"ok\": false, \"schema\": 1, \"error\": \"no connection is named \\\"x\\\"\"}\n");
	ck_tandem("up x -s %s", CLI_FAILED);
	ck_assert_str_eq(run.out, "");
	ck_assert_str_eq(run.err, "tandem: no connection is named \"x\"\n");
	ck_tandem("up x -js %s", CLI_FAILED);
	o = out_json();
	ck_assert(json_is_false(json_object_get(o, "ok")));
	json_decref(o);
	ck_tandem("status x -s %s", CLI_FAILED);
	ck_assert_str_eq(run.err, "tandem: no connection is named \"x\"\n");
	daemon_start("{\"ok\": false, \"errors\": [\"f:1:1: wrong\", null, \"f:2:2: worse\"],"
	    " \"error\": \"2 mistakes\"}\n");
	ck_tandem("reload -s %s", CLI_FAILED);
	ck_assert_str_eq(run.err, "f:1:1: wrong\nf:2:2: worse\ntandem: 2 mistakes\n");
}
END_TEST

/* Nobody there, one that hangs up, one that talks nonsense: a sentence, JSON where asked for. */
START_TEST(a_daemon_that_does_not_answer_is_told)
{
	static const char *const answers[] = { NULL, "", "nonsense\n", "\n", "{\"ok\": tr" };
	json_t *o;

	ck_tandem("status -s %s", CLI_FAILED);
	ck_assert_ptr_nonnull(strstr(run.err, "is the daemon running?"));
	ck_tandem("status --json -s %s", CLI_FAILED);
	o = out_json();
	ck_assert(json_is_false(json_object_get(o, "ok")));
	json_decref(o);
	for (size_t i = 1; i < sizeof(answers) / sizeof(answers[0]); i++) {
		daemon_start(answers[i]);
		ck_tandem("status -s %s", CLI_FAILED);
		ck_assert_ptr_nonnull(strstr(run.err, "hung up without an answer"));
		ck_tandem("up x --json -s %s", CLI_FAILED);
		o = out_json();
		ck_assert(json_is_false(json_object_get(o, "ok")));
		json_decref(o);
		ck_tandem("watch -s %s", CLI_FAILED);
	}
	daemon_start("{}\n");
	ck_tandem("up x -s %s", CLI_FAILED);
	ck_tandem("status -s %s", CLI_FAILED);
}
END_TEST

START_TEST(the_exit_code_of_status_is_the_health)
{
	static const struct { const char *state; int code; } t[] = {
		{ "up", CLI_WELL }, { "degraded", CLI_DEGRADED }, { "down", CLI_DOWN },
		{ "unheard-of", CLI_DOWN },
	};
	char answer[200];
	json_t *o;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(answer, sizeof(answer), "{\"ok\": true, \"schema\": 1, \"version\": \"9\","
		    " \"uptime_s\": 0.1, \"state\": \"%s\", \"connections\": []}\n", t[i].state);
		daemon_start(answer);
		ck_tandem("status -s %s", t[i].code);
		ck_assert_str_eq(run.out, "tandem 9, running 100 ms\n");
		ck_tandem("status --json -s %s", t[i].code);
		o = out_json();
		ck_assert_str_eq(json_string_value(json_object_get(o, "state")), t[i].state);
		json_decref(o);
		ck_assert_ptr_nonnull(strstr(run.out, ": 0.1,"));	/* not 0.1000000000000001 */
	}
	ck_assert_str_eq(run.asked, "{\"verb\":\"status\"}\n");
	ck_tandem("status office -s %s", CLI_DOWN);
	ck_assert_str_eq(run.asked, "{\"verb\":\"status\",\"target\":\"office\"}\n");
	daemon_start("{\"ok\": true, \"schema\": 1}\n");
	ck_tandem("status office -s %s", CLI_FAILED);
	ck_assert_str_eq(run.asked, "{\"verb\":\"status\",\"target\":\"office\"}\n");
}
END_TEST

/* Nothing is printed without an answer: what is written to a file stays as it was. */
START_TEST(metrics_are_made_of_a_status)
{
	json_t *o;

	ck_tandem("metrics -s %s", CLI_FAILED);
	ck_assert_str_eq(run.out, "");
	daemon_start("{\"ok\": true, \"schema\": 1, \"uptime_s\": 2.5, \"state\": \"down\","
	    " \"connections\": []}\n");
	ck_tandem("metrics -s %s", CLI_WELL);
	ck_assert_str_eq(run.asked, "{\"verb\":\"status\"}\n");
	ck_assert_ptr_nonnull(strstr(run.out, "# TYPE tandem_uptime_seconds gauge\n"
	    "tandem_uptime_seconds 2.5\n"));
	ck_tandem("metrics --json -s %s", CLI_WELL);
	o = out_json();
	ck_assert_ptr_nonnull(json_object_get(o, "metrics"));
	json_decref(o);
	daemon_start("{\"ok\": false, \"error\": \"not now\"}\n");
	ck_tandem("metrics -s %s", CLI_FAILED);
	ck_assert_str_eq(run.out, "");
	ck_assert_str_eq(run.err, "tandem: not now\n");
	ck_tandem("metrics -js %s", CLI_FAILED);
	o = out_json();
	ck_assert(json_is_false(json_object_get(o, "ok")));
	json_decref(o);
	ck_tandem("metrics office", CLI_USAGE);
}
END_TEST

START_TEST(watch_prints_until_the_daemon_ends)
{
	daemon_start("{\"ok\": true, \"schema\": 1, \"event\": \"watching\", \"version\": \"9\","
	    " \"state\": \"up\"}\n"
	    "{\"event\": \"select\", \"time\": 1000.5, \"connection\": \"office\", \"what\": \"tunnel 2\"}\n");
	setenv("TZ", "UTC", 1);
	ck_tandem("watch -s %s", CLI_FAILED);
	ck_assert_ptr_nonnull(strstr(run.out, "00:16:40.500  office  select  tunnel 2\n"));
	ck_assert_ptr_nonnull(strstr(run.err, "the daemon has ended"));
	ck_tandem("watch --json -s %s", CLI_FAILED);
	ck_assert_ptr_nonnull(strstr(run.out, "\n{\"event\":\"select\",\"time\":1000.5,"));
	ck_assert_str_eq(run.asked, "{\"verb\":\"watch\"}\n");
	ck_assert_ptr_null(strstr(run.out, "00:16"));
}
END_TEST

START_TEST(check_tells_each_mistake)
{
	FILE *f = fopen(path_of("bad.yaml"), "w");
	char args[150];
	json_t *o;

	fputs("conections:\n  a: 1\nlog: loud\n", f);
	fclose(f);
	snprintf(args, sizeof(args), "check -c %s", path_of("bad.yaml"));
	ck_tandem(args, CLI_FAILED);
	ck_assert_ptr_nonnull(strstr(run.err, "bad.yaml:1:1:"));
	ck_assert_ptr_nonnull(strstr(run.err, "bad.yaml:3:6:"));
	strcat(args, " --json");
	ck_tandem(args, CLI_FAILED);
	o = out_json();
	ck_assert(json_is_false(json_object_get(o, "ok")));
	ck_assert_uint_ge(json_array_size(json_object_get(o, "errors")), 2);
	json_decref(o);
	ck_tandem("check --keys", CLI_WELL);
	ck_assert_ptr_nonnull(strstr(run.out, "networks"));
}
END_TEST

START_TEST(paths_have_a_bound)
{
	char args[300] = "run -s /tmp/";

	memset(args + strlen(args), 'x', 150);
	ck_tandem(args, CLI_USAGE);
	memcpy(args, "status -s ", 10);
	memset(args + 10, 'y', 150);
	ck_tandem(args, CLI_FAILED);
	ck_assert_ptr_nonnull(strstr(run.err, "too long"));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, usage_errors_end_with_2);
	tcase_add_test(t, help_and_version_are_no_errors);
	tcase_add_test(t, options_stand_anywhere);
	tcase_add_test(t, what_the_daemon_refuses_ends_with_1);
	tcase_add_test(t, a_daemon_that_does_not_answer_is_told);
	tcase_add_test(t, the_exit_code_of_status_is_the_health);
	tcase_add_test(t, metrics_are_made_of_a_status);
	tcase_add_test(t, watch_prints_until_the_daemon_ends);
	tcase_add_test(t, check_tells_each_mistake);
	tcase_add_test(t, paths_have_a_bound);
}

UNIT_MAIN("cli", fill)
