/* SPDX-License-Identifier: MIT */
#include "gateway/cli.h"

#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/client.h"
#include "gateway/findings.h"
#include "gateway/metrics.h"
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

	if (state == NULL)
		return CLI_FAILED;
	if (strcmp(state, "up") == 0)
		return CLI_WELL;
	return strcmp(state, "degraded") == 0 ? CLI_DEGRADED : CLI_DOWN;
}

static void
print_json(const json_t *a)
{
	json_dumpf(a, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	putchar('\n');
}

/* One object a line, at once: somebody follows. */
static bool
print_line(const json_t *a)
{
	json_dumpf(a, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
	putchar('\n');
	return fflush(stdout) == 0;
}

static const char *
text(const json_t *a, const char *key)
{
	const char *s = json_string_value(json_object_get(a, key));

	return s != NULL ? s : "the daemon gave no reason";
}

static void
print_lines(const json_t *list, FILE *to)
{
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v)
		if (json_is_string(v))
			fprintf(to, "%s\n", json_string_value(v));
}

/* Why there is no answer, also for programs. */
static json_t *
no_answer(const struct cli *cli, const char *why)
{
	if (cli->json)
		printf("{\"ok\": false, \"error\": \"%s\"}\n", why);
	return NULL;
}

/* Ask the daemon once; steals the request.  NULL: no answer; the reason was printed. */
static json_t *
ask(const struct cli *cli, json_t *request)
{
	struct client *c = client_open(cli->socket);
	json_t *a;

	if (c == NULL) {
		json_decref(request);
		return no_answer(cli, "no daemon answers");
	}
	(void)client_send(c, request);	/* one that hangs up may have said why */
	a = client_next(c);
	client_close(c);
	if (a != NULL)
		return a;
	fprintf(stderr, "tandem: the daemon hung up without an answer; see its log\n");
	return no_answer(cli, "the daemon hung up without an answer");
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
		printf("%s\n", text(a, "what"));
	else {
		print_lines(json_object_get(a, "errors"), stderr);
		fprintf(stderr, "tandem: %s\n", text(a, "error"));
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
			    text(a, "error"));
		json_decref(a);
		return CLI_FAILED;
	}
	if (!cli->json)
		show_status(a, stdout, colour());
	code = health_exit(a);
	json_decref(a);
	return code;
}

/* Without an answer nothing is printed, so that a file of them is not replaced by less. */
static int
do_metrics(const struct cli *cli)
{
	json_t *a = ask(cli, request("status", cli)), *m;

	if (a == NULL)
		return CLI_FAILED;
	if (!json_is_true(json_object_get(a, "ok"))) {
		if (cli->json)
			print_json(a);
		else
			fprintf(stderr, "tandem: %s\n", text(a, "error"));
		json_decref(a);
		return CLI_FAILED;
	}
	m = metrics_of_status(a);
	if (cli->json)
		print_json(m);
	else
		metrics_print(m, stdout);
	json_decref(m);
	json_decref(a);
	return fflush(stdout) == 0 ? CLI_WELL : CLI_FAILED;
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
watch_failed(const struct cli *cli, struct client *c)
{
	fprintf(stderr, "tandem: the daemon has ended\n");
	(void)no_answer(cli, "the daemon has ended");
	client_close(c);
	return CLI_FAILED;
}

/* Events are asked for before the status, so that nothing is missed in between. */
static int
do_watch(const struct cli *cli)
{
	struct client *c = client_open(cli->socket);
	bool good = true;
	json_t *e;

	if (c == NULL) {
		(void)no_answer(cli, "no daemon answers");
		return CLI_FAILED;
	}
	if (!client_send(c, request("watch", cli)) || (e = client_next(c)) == NULL)
		return watch_failed(cli, c);
	if (cli->json)
		good = print_line(e);
	else
		(void)do_status(cli);
	json_decref(e);
	while (good && (e = client_next(c)) != NULL) {
		if (cli->json)
			good = print_line(e);
		else
			show_event(e, stdout, colour());
		json_decref(e);
	}
	return watch_failed(cli, c);
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
	{ "run", "", "the daemon, in the foreground", "csj", 0, 0, cli_run },
	{ "check", "", "check the configuration and this host", "csjk", 0, 0, cli_check },
	{ "status", "[CONNECTION]", "which tunnel carries traffic, and how it is", "sj",
	    0, 1, do_status },
	{ "watch", "", "status, then every event as it happens", "sj", 0, 0, do_watch },
	{ "metrics", "", "counters and gauges for Prometheus", "sj", 0, 0, do_metrics },
	{ "up", "CONNECTION[/N]", "open tunnels", "sj", 1, 1, do_up },
	{ "down", "CONNECTION[/N]", "close tunnels until up", "sj", 1, 1, do_down },
	{ "rekey", "CONNECTION[/N]", "new keys now: Child SA, or with --ike IKE SA", "sji",
	    1, 1, do_rekey },
	{ "failover", "CONNECTION[/N]", "move traffic to the other tunnel, or to N; "
	    "--auto: as configured", "sja", 1, 1, do_failover },
	{ "reload", "", "apply the changed configuration", "sj", 0, 0, do_reload },
	{ "version", "", "print the version", "sj", 0, 0, do_version },
	{ "help", "", "this text", "", 0, 0, do_help },
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

static int usage(const char *fmt, const char *what) __attribute__((format(printf, 1, 0)));

static int
usage(const char *fmt, const char *what)
{
	fputs("tandem: ", stderr);
	fprintf(stderr, fmt, what);
	fputs("; see tandem help\n", stderr);
	return CLI_USAGE;
}

/* What the command line holds, before it is known whether the verb takes it. */
struct words {
	struct cli cli;
	char used[16];			/* options, as their characters */
	size_t used_n;
	const char *word[2];		/* the verb and its argument */
	int words_n;			/* may be more than fit */
	bool help;
};

static void
add_word(struct words *w, const char *word)
{
	if (w->words_n < 2)
		w->word[w->words_n] = word;
	w->words_n++;
}

static void
set_option(struct words *w, int opt)
{
	struct cli *cli = &w->cli;

	if (w->used_n < sizeof(w->used) - 1)
		w->used[w->used_n++] = (char)opt;
	switch (opt) {
	case 'c':
		cli->config = optarg;
		return;
	case 's':
		cli->socket = optarg;
		cli->socket_given = true;
		return;
	case 'j':
		cli->json = true;
		return;
	case 'i':
		cli->ike = true;
		return;
	case 'a':
		cli->automatic = true;
		return;
	case 'k':
		cli->keys = true;
		return;
	}
}

/* Options may stand anywhere.  False: there is one that we do not know (getopt said so). */
static bool
read_words(struct words *w, int argc, char **argv)
{
	int opt;

	optind = 0;				/* from the beginning, should it be called again */
	while ((opt = getopt_long(argc, argv, "-c:s:jiakhV", options, NULL)) != -1) {
		if (opt == '?')
			return false;
		if (opt == 1)
			add_word(w, optarg);
		else if (opt == 'V')
			add_word(w, "version");
		else if (opt == 'h')
			w->help = true;
		else
			set_option(w, opt);
	}
	while (optind < argc)			/* what follows "--" */
		add_word(w, argv[optind++]);
	return true;
}

static const struct cli_verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < VERBS_N; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static int
run_verb(const struct cli_verb *v, struct words *w)
{
	int n = w->words_n - 1;

	for (size_t i = 0; i < w->used_n; i++)
		if (strchr(v->takes, w->used[i]) == NULL)
			return usage("%s does not take one of these options", v->name);
	if (n > v->max_args)
		return usage("%s was given too many arguments", v->name);
	if (n < v->min_args)
		return usage("%s needs the name of a connection", v->name);
	w->cli.target = n > 0 ? w->word[1] : NULL;
	return v->run(&w->cli);
}

int
cli_main(int argc, char **argv)
{
	const char *from = getenv("TANDEM_SOCKET");
	bool given = from != NULL && from[0] != '\0';
	struct words w = { .cli = { .config = TANDEM_CONFIG, .socket_given = given,
	    .socket = given ? from : TANDEM_SOCKET } };
	const struct cli_verb *v;

	if (!read_words(&w, argc, argv))
		return CLI_USAGE;
	if (w.help) {
		cli_help(stdout);
		return CLI_WELL;
	}
	if (w.words_n == 0) {
		cli_help(stderr);
		return CLI_USAGE;
	}
	v = find_verb(w.word[0]);
	return v == NULL ? usage("unknown verb \"%s\"", w.word[0]) : run_verb(v, &w);
}
