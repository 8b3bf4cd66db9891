/* SPDX-License-Identifier: MIT */
/* tandem run and tandem check. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/broker.h"
#include "gateway/cli.h"
#include "gateway/findings.h"
#include "gateway/gateway.h"
#include "gateway/keys.h"
#include "gateway/version.h"

static int
engine(int sock, void *arg)
{
	struct gw_conf *conf = arg;

	conf->broker = sock;
	return gw_run(conf);
}

static void
print_errors(const struct config_errors *e, const char *label)
{
	for (size_t i = 0; i < e->n; i++)
		fprintf(stderr, "%s%s\n", label, e->line[i]);
}

/* In the child. */
static void __attribute__((noreturn))
look(const char *config, int to)
{
	struct config_errors errors = { 0 }, warnings = { 0 };
	struct secrets *s = secrets_new();
	struct config *c = s != NULL ? config_load(config, s, &errors, &warnings) : NULL;

	print_errors(&errors, "");
	print_errors(&warnings, "warning: ");
	if (c != NULL) {
		(void)!write(to, (uint16_t[]){ c->port, c->natt_port }, 2 * sizeof(uint16_t));
		findings_log(findings_of_config(c, true));
	}
	_exit(c != NULL ? CLI_WELL : CLI_FAILED);
}

/*
 * The configuration and the host are looked at by a child of its own, before the broker is:
 * that one must be without libraries, and the engine may not see all there is to see.  What the
 * broker must know of the configuration is `port`.  Returns CLI_WELL to go on.
 */
static int
look_first(const char *config, uint16_t port[2])
{
	int status = 0, pair[2];
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) != 0)
		return CLI_WELL;		/* nothing to be had: the engine will say so */
	if ((pid = fork()) == 0)
		look(config, pair[1]);
	close(pair[1]);
	if (read(pair[0], port, 2 * sizeof(*port)) != 2 * sizeof(*port))
		port[0] = port[1] = 0;
	close(pair[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid)
		return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_FAILED;
	return CLI_WELL;
}

/* Escape `len` bytes of text as the inside of a JSON string; returns the length, at most `cap`. */
static size_t
json_escape(const char *text, size_t len, char *to, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 6 < cap; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			n += (size_t)snprintf(to + n, cap - n, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			n += (size_t)snprintf(to + n, cap - n, "\\u%04x", c);
		else
			to[n++] = (char)c;
	}
	return n;
}

/* run --json: a log line as an object a line on standard output.  No library: the broker logs too. */
static void
log_json(void *arg, enum log_level level, const char *line)
{
	char event[LOG_LINE_MAX], text[LOG_LINE_MAX * 2], out[LOG_LINE_MAX * 4];
	size_t word = strcspn(line, " "), n;
	const char *rest = line[word] == ' ' ? line + word + 1 : "";
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &ts);
	event[json_escape(line, word, event, sizeof(event))] = '\0';
	text[json_escape(rest, strlen(rest), text, sizeof(text))] = '\0';
	n = (size_t)snprintf(out, sizeof(out), "{\"time\": %lld.%03ld, \"level\": \"%s\", "
	    "\"event\": \"%s\", \"text\": \"%s\"}\n", (long long)ts.tv_sec,
	    ts.tv_nsec / 1000000, log_level_name(level), event, text);
	(void)!write(STDOUT_FILENO, out, n < sizeof(out) ? n : sizeof(out) - 1);
}

int
cli_run(const struct cli *cli)
{
	struct gw_conf conf = { .broker = -1 };
	char state[sizeof(conf.socket_path) + 8], lock[sizeof(state) + 8];
	struct broker_conf broker = { .engine = engine, .arg = &conf, .state_dir = state,
	    .lock = lock };
	int code;

	if (strlen(cli->socket) >= sizeof(conf.socket_path) ||
	    strlen(cli->config) >= sizeof(conf.config_path)) {
		fprintf(stderr, "tandem: the path of the socket or configuration is too long\n");
		return CLI_USAGE;
	}
	snprintf(conf.config_path, sizeof(conf.config_path), "%s", cli->config);
	if (cli->socket_given)
		snprintf(conf.socket_path, sizeof(conf.socket_path), "%s", cli->socket);
	snprintf(state, sizeof(state), "%s.state", cli->socket);
	snprintf(lock, sizeof(lock), "%s/lock", state);
	if (cli->json)
		log_to(log_json, NULL);
	log_stamp(getenv("JOURNAL_STREAM") == NULL);	/* the journal has a time of its own */
	code = look_first(conf.config_path, broker.port);
	return code == CLI_WELL ? broker_run(&broker) : code;
}

static void
print_string(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s < 0x20)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void
print_list(const char *name, const struct config_errors *e)
{
	printf(", \"%s\": [", name);
	for (size_t i = 0; i < e->n; i++) {
		fputs(i > 0 ? ", " : "", stdout);
		print_string(e->line[i]);
	}
	putchar(']');
}

struct checked {
	struct config *config;		/* NULL: mistakes */
	struct config_errors errors, warnings;
	json_t *findings;
};

/* Why what was checked will not work; "": it will, as far as can be seen. */
static void
check_verdict(const struct checked *c, const char *file, char *text, size_t cap)
{
	text[0] = '\0';
	if (c->config == NULL)
		snprintf(text, cap, "%zu mistake%s in %s", c->errors.n,
		    c->errors.n == 1 ? "" : "s", file);
	else if (findings_have_error(c->findings))
		snprintf(text, cap, "the configuration is good, this host is not ready: see the errors");
}

static void
check_json(const struct checked *c, const char *error)
{
	printf("{\"ok\": %s, \"schema\": %d", error[0] == '\0' ? "true" : "false", TANDEM_SCHEMA);
	if (error[0] != '\0') {
		fputs(", \"error\": ", stdout);
		print_string(error);
	}
	print_list("errors", &c->errors);
	print_list("warnings", &c->warnings);
	if (c->config != NULL) {
		fputs(", \"findings\": ", stdout);
		json_dumpf(c->findings, stdout, JSON_COMPACT);
		fputs(", \"config\": ", stdout);
		config_print(c->config, stdout, true);
	}
	puts("}");
}

static void
check_text(const struct checked *c, const char *error)
{
	print_errors(&c->errors, "");
	print_errors(&c->warnings, "warning: ");
	if (c->config != NULL) {
		config_print(c->config, stdout, false);
		fflush(stdout);
		findings_print(c->findings, stderr);
	}
	if (error[0] != '\0')
		fprintf(stderr, "tandem: %s\n", error);
}

/* A file of that name proves nothing: a daemon that was killed leaves its socket. */
static bool
daemon_answers(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	bool answers;
	int fd;

	if (strlen(path) >= sizeof(un.sun_path) ||
	    (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
		return false;
	memcpy(un.sun_path, path, strlen(path) + 1);
	answers = connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0;
	close(fd);
	return answers;
}

/* As the daemon chooses: the command line, the configuration, the default. */
static const char *
socket_of(const struct cli *cli, const struct config *c)
{
	return cli->socket_given || c->socket[0] == '\0' ? cli->socket : c->socket;
}

/* Ports are looked at only where no daemon of ours answers: else it is that which has them. */
static int
check_file(const struct cli *cli, struct secrets *s)
{
	struct checked c = { 0 };
	char error[CONFIG_PATH_MAX + 64];

	c.config = config_load(cli->config, s, &c.errors, &c.warnings);
	if (c.config != NULL)
		c.findings = findings_of_config(c.config, !daemon_answers(socket_of(cli, c.config)));
	check_verdict(&c, cli->config, error, sizeof(error));
	if (cli->json)
		check_json(&c, error);
	else
		check_text(&c, error);
	json_decref(c.findings);
	config_free(c.config);
	config_errors_free(&c.errors);
	config_errors_free(&c.warnings);
	return error[0] == '\0' ? CLI_WELL : CLI_FAILED;
}

static int
print_keys_json(void)
{
	json_t *table = keys_table_json();

	if (table == NULL) {
		fprintf(stderr, "tandem: no memory\n");
		return CLI_FAILED;
	}
	printf("{\"ok\": true, \"schema\": %d, \"keys\": ", TANDEM_SCHEMA);
	json_dumpf(table, stdout, JSON_COMPACT);
	puts("}");
	json_decref(table);
	return CLI_WELL;
}

int
cli_check(const struct cli *cli)
{
	struct secrets *s;
	int code;

	if (cli->keys && cli->json)
		return print_keys_json();
	if (cli->keys) {
		keys_print(stdout, KEYS_TEXT);
		return CLI_WELL;
	}
	s = secrets_new();
	if (s == NULL) {
		fprintf(stderr, "tandem: no memory\n");
		return CLI_FAILED;
	}
	code = check_file(cli, s);
	secrets_free(s);
	return code;
}
