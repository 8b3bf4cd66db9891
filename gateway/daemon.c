/* SPDX-License-Identifier: MIT */
/* tandem run and tandem check. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/broker.h"
#include "gateway/cli.h"
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

int
cli_run(const struct cli *cli)
{
	struct gw_conf conf = { .broker = -1 };
	char state[sizeof(conf.socket_path) + 8], lock[sizeof(state) + 8];
	const struct broker_conf broker = { .engine = engine, .arg = &conf, .state_dir = state,
	    .lock = lock };

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
	log_stamp(getenv("JOURNAL_STREAM") == NULL);	/* the journal has a time of its own */
	return broker_run(&broker);
}

static void
print_errors(const struct config_errors *e, const char *label)
{
	for (size_t i = 0; i < e->n; i++)
		fprintf(stderr, "%s%s\n", label, e->line[i]);
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

static int
check_file(const struct cli *cli, struct secrets *s)
{
	struct config_errors errors = { 0 }, warnings = { 0 };
	struct config *c = config_load(cli->config, s, &errors, &warnings);
	bool good = c != NULL;

	if (cli->json) {
		printf("{\"ok\": %s", good ? "true" : "false");
		print_list("errors", &errors);
		print_list("warnings", &warnings);
		if (good) {
			fputs(", \"config\": ", stdout);
			config_print(c, stdout, true);
		}
		puts("}");
	} else {
		print_errors(&errors, "");
		print_errors(&warnings, "warning: ");
		if (good)
			config_print(c, stdout, false);
		else
			fprintf(stderr, "tandem: %zu mistake%s in %s\n", errors.n,
			    errors.n == 1 ? "" : "s", cli->config);
	}
	config_free(c);
	config_errors_free(&errors);
	config_errors_free(&warnings);
	return good ? CLI_WELL : CLI_FAILED;
}

int
cli_check(const struct cli *cli)
{
	struct secrets *s;
	int code;

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
