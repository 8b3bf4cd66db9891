/* SPDX-License-Identifier: MIT */
#include "gateway/cli.h"

#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/client.h"
#include "gateway/findings.h"
#include "gateway/show.h"
#include "gateway/version.h"

static bool
colour(void)
{
	return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
}

static int
health_exit(const json_t *a)
{
	const char *state = json_string_value(json_object_get(a, "state"));

	if (state == NULL || strcmp(state, "up") == 0)
		return CLI_WELL;
	return strcmp(state, "degraded") == 0 ? CLI_DEGRADED : CLI_DOWN;
}

static void
print_json(const json_t *a)
{
	json_dumpf(a, stdout, JSON_INDENT(2));
	putchar('\n');
}

static void
print_lines(const json_t *list, FILE *to)
{
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v)
		fprintf(to, "%s\n", json_string_value(v));
}

/* Programs want an object also where nobody answers. */
static void
print_silence(const struct cli *cli, const char *what)
{
	if (cli->json)
		printf("{\"ok\": false, \"error\": \"%s\"}\n", what);
}

/* Ask the daemon once.  NULL: no answer; the reason was printed. */
static json_t *
ask(const struct cli *cli, json_t *request)
{
	struct client *c = client_open(cli->socket);
	json_t *a = NULL;

	if (c == NULL) {
		json_decref(request);
		print_silence(cli, "no daemon answers");
		return NULL;
	}
	if (client_send(c, request))
		a = client_next(c);
	if (a == NULL) {
		fprintf(stderr, "tandem: the daemon hung up without an answer; see its log\n");
		print_silence(cli, "the daemon hung up without an answer");
	}
	client_close(c);
	return a;
}

static json_t *
request(const char *verb, const struct cli *cli)
{
	json_t *q = json_pack("{s:s}", "verb", verb);

	if (cli->target != NULL)
		json_object_set_new(q, "target", json_string(cli->target));
	return q;
}

/* A verb that does something: print what, or why not. */
static int
act(const struct cli *cli, json_t *q)
{
	json_t *a = ask(cli, q);
	bool good = json_is_true(json_object_get(a, "ok"));

	if (a == NULL)
		return CLI_FAILED;
	if (cli->json)
		print_json(a);
	else if (good)
		printf("%s\n", json_string_value(json_object_get(a, "what")));
	else {
		print_lines(json_object_get(a, "errors"), stderr);
		fprintf(stderr, "tandem: %s\n", json_string_value(json_object_get(a, "error")));
	}
	json_decref(a);
	return good ? CLI_WELL : CLI_FAILED;
}

/* What on this host is in the way; only root, in the daemon's network namespace, sees that. */
static void
add_findings(json_t *status)
{
	json_t *list = geteuid() == 0 ? findings_of_status(status) : NULL;

	if (list != NULL)
		json_object_set_new(status, "findings", list);
}

static int
do_status(const struct cli *cli)
{
	json_t *a = ask(cli, request("status", cli));
	int code;

	if (a == NULL)
		return CLI_FAILED;
	add_findings(a);
	if (cli->json)
		print_json(a);
	if (!json_is_true(json_object_get(a, "ok"))) {
		if (!cli->json)
			fprintf(stderr, "tandem: %s\n",
			    json_string_value(json_object_get(a, "error")));
		json_decref(a);
		return CLI_FAILED;
	}
	if (!cli->json)
		show_status(a, stdout, colour());
	code = health_exit(a);
	json_decref(a);
	return code;
}

static int
do_up(const struct cli *cli)
{
	return act(cli, request("up", cli));
}

static int
do_down(const struct cli *cli)
{
	return act(cli, request("down", cli));
}

static int
do_rekey(const struct cli *cli)
{
	json_t *q = request("rekey", cli);

	json_object_set_new(q, "ike", json_boolean(cli->ike));
	return act(cli, q);
}

static int
do_failover(const struct cli *cli)
{
	json_t *q = request("failover", cli);

	json_object_set_new(q, "auto", json_boolean(cli->automatic));
	return act(cli, q);
}

static int
do_reload(const struct cli *cli)
{
	return act(cli, request("reload", cli));
}

static int
do_watch(const struct cli *cli)
{
	struct client *c = client_open(cli->socket);
	json_t *e;

	if (c == NULL) {
		print_silence(cli, "no daemon answers");
		return CLI_FAILED;
	}
	if (!cli->json)
		(void)do_status(cli);
	if (!client_send(c, request("watch", cli))) {
		client_close(c);
		return CLI_FAILED;
	}
	while ((e = client_next(c)) != NULL) {
		if (cli->json) {
			json_dumpf(e, stdout, JSON_COMPACT);
			putchar('\n');
			fflush(stdout);
		} else
			show_event(e, stdout, colour());
		json_decref(e);
	}
	fprintf(stderr, "tandem: the daemon has ended\n");
	client_close(c);
	return CLI_FAILED;
}

static int
do_version(const struct cli *cli)
{
	if (cli->json)
		printf("{\"ok\": true, \"version\": \"%s\", \"schema\": %d}\n", TANDEM_VERSION,
		    TANDEM_SCHEMA);
	else
		printf("tandem %s\n", TANDEM_VERSION);
	return CLI_WELL;
}

static int
do_help(const struct cli *cli)
{
	(void)cli;
	cli_help(stdout);
	return CLI_WELL;
}

static const struct cli_verb verbs[] = {
	{ "run",      "",                "the daemon, in the foreground",            "csj", 0, 0, cli_run },
	{ "check",    "",                "check the configuration and this host",    "csjk",  0, 0, cli_check },
	{ "status",   "[CONNECTION]",    "which tunnel carries traffic, and how it is", "sj", 0, 1, do_status },
	{ "watch",    "",                "status, then every event as it happens",   "sj",   0, 0, do_watch },
	{ "up",       "CONNECTION[/N]",  "open tunnels",                             "sj",   1, 1, do_up },
	{ "down",     "CONNECTION[/N]",  "close tunnels until up",                   "sj",   1, 1, do_down },
	{ "rekey",    "CONNECTION[/N]",  "new keys now: Child SA, or with --ike IKE SA", "sji", 1, 1, do_rekey },
	{ "failover", "CONNECTION[/N]",  "move traffic to the other tunnel, or to N; --auto: as configured", "sja", 1, 1, do_failover },
	{ "reload",   "",                "apply the changed configuration",          "sj",   0, 0, do_reload },
	{ "version",  "",                "print the version",                        "sj",    0, 0, do_version },
	{ "help",     "",                "this text",                                "",     0, 0, do_help },
};

#define VERBS_N	(sizeof(verbs) / sizeof(verbs[0]))

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "socket", required_argument, NULL, 's' },
	{ "json",   no_argument,       NULL, 'j' },
	{ "ike",    no_argument,       NULL, 'i' },
	{ "auto",   no_argument,       NULL, 'a' },
	{ "keys",   no_argument,       NULL, 'k' },
	{ "help",   no_argument,       NULL, 'h' },
	{ "version", no_argument,      NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

void
cli_help(FILE *to)
{
	fputs("Tandem joins sites by two IPsec tunnels each; when one stops carrying traffic the\n"
	    "other takes over.\n\nusage: tandem VERB [OPTIONS] [ARGUMENT]\n\n", to);
	for (size_t i = 0; i < VERBS_N; i++)
		fprintf(to, "  %-9s %-15s %s\n", verbs[i].name, verbs[i].args, verbs[i].help);
	fputs("\noptions\n"
	    "  -c, --config FILE   run, check: the configuration (" TANDEM_CONFIG ")\n"
	    "  -s, --socket PATH   the control socket (TANDEM_SOCKET, else " TANDEM_SOCKET ")\n"
	    "  -j, --json          print one JSON object (watch: one a line)\n"
	    "  -k, --keys          check: list every configuration key with its meaning\n"
	    "  -h, --help          this text\n"
	    "\nexit codes: 0 well, 1 failed, 2 usage, 3 degraded (a tunnel is down), 4 down\n"
	    "See tandem(8) and tandem.yaml(5).\n", to);
}

static int
usage(const char *fmt, const char *what)
{
	fputs("tandem: ", stderr);
	fprintf(stderr, fmt, what);
	fputs("; see tandem help\n", stderr);
	return CLI_USAGE;
}

static bool
set_option(struct cli *cli, int opt)
{
	switch (opt) {
	case 'c':
		cli->config = optarg;
		return true;
	case 's':
		cli->socket = optarg;
		cli->socket_given = 1;
		return true;
	case 'j':
		return cli->json = true;
	case 'i':
		return cli->ike = true;
	case 'a':
		return cli->automatic = true;
	case 'k':
		return cli->keys = true;
	}
	return false;
}

static const struct cli_verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < VERBS_N; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/* Options may stand before and behind the argument. */
static int
run_verb(const struct cli_verb *v, int argc, char **argv)
{
	struct cli cli = { .config = TANDEM_CONFIG, .socket = getenv("TANDEM_SOCKET") };
	int opt, n = 0;

	if (cli.socket == NULL)
		cli.socket = TANDEM_SOCKET;
	else
		cli.socket_given = 1;
	while ((opt = getopt_long(argc, argv, "-c:s:jiakhV", options, NULL)) != -1) {
		if (opt == 'h') {
			cli_help(stdout);
			return CLI_WELL;
		}
		if (opt == 1 && n++ < v->max_args)
			cli.target = optarg;
		else if (opt == 1)
			return usage("too many arguments at \"%s\"", optarg);
		else if (opt == '?')
			return CLI_USAGE;
		else if (strchr(v->takes, opt) == NULL)
			return usage("%s does not take that option", v->name);
		else
			(void)set_option(&cli, opt);
	}
	if (n < v->min_args)
		return usage("%s needs the name of a connection", v->name);
	return v->run(&cli);
}

int
cli_main(int argc, char **argv)
{
	const struct cli_verb *v;

	if (argc < 2) {
		cli_help(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		argv[1] = "version";
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		argv[1] = "help";
	v = find_verb(argv[1]);
	if (v == NULL)
		return usage("unknown verb \"%s\"", argv[1]);
	argv[1] = argv[0];
	return run_verb(v, argc - 1, argv + 1);
}
