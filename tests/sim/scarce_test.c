/* SPDX-License-Identifier: MIT */
#include <event2/event.h>
#include <jansson.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "gateway/control.h"
#include "gateway/gateway.h"
#include "tests/sim/failing.h"
#include "tests/unit/config_text.h"
#include "tests/unit/config_unit.h"

/*
 * R12: allocations fail, each in turn, in what memory_test.c leaves: reading a configuration,
 * answering at the control socket (with the JSON below it), adding and changing connections, and
 * the start of it all.  Nothing crashes, nothing is left over (no slot of the pool; LeakSanitizer
 * sees the heap), and what was said to be done is done whole.
 *
 * What libyaml allocates by itself is out of reach; libevent (2.1) falls over when it has no
 * memory for a client's watermark, so only its start is tried; and what threads of the product
 * do is theirs: only this thread's allocations fail.
 */
static __thread bool armed;

static bool
failing_now(void)
{
	return armed;
}

static void
silence(void *arg, enum log_level level, const char *line)
{
	(void)arg, (void)level, (void)line;
}

static void
silence_libevent(int severity, const char *line)
{
	(void)severity, (void)line;
}

/* ---- the configuration ---------------------------------------------------------------- */

static struct fix fix;
static struct config *whole;		/* of the same text, with all the memory it wants */
static const char *text;
static unsigned wordless;		/* refusals that did not say why */

static void
read_config(void)
{
	struct secrets *s = secrets_new();
	struct config_errors e, w;
	struct config_op op[4];
	FILE *null = fopen("/dev/null", "w");
	struct config *c;

	ck_assert(s != NULL && null != NULL);
	armed = true;
	c = config_parse(fix.name, text, strlen(text), s, &e, &w);
	armed = false;
	wordless += c == NULL && e.n == 0;
	/* All of it or nothing: never one that lacks something silently. */
	ck_assert(c == NULL || whole != NULL);
	ck_assert(whole == NULL || c != NULL || failing_countdown == 0);
	if (c != NULL) {
		ck_assert_uint_eq(config_diff(whole, c, op, 4), 0);
		armed = true;
		(void)config_diff(whole, c, op, 4);
		config_print(c, null, true);
		config_print(c, null, false);
		armed = false;
	}
	fclose(null);
	config_free(c);
	config_errors_free(&e);
	config_errors_free(&w);
	ck_assert_uint_eq(secrets_used(s), 0);
	secrets_free(s);
}

static const char good[] =
    "log: info\n"
    "connections:\n"
    "  office:\n"
    "    networks: [10.1.0.0/16, 10.2.0.0/16, 'fd00:1::/48']\n"
    "    local-networks: [192.168.0.0/24]\n"
    "    selectors: networks\n"
    "    ike: [aes256gcm16-prfsha384-ecp384, aes256-sha256-modp2048]\n"
    "    tunnels:\n"
    "      - {local: 192.0.2.1, remote: 203.0.113.1, inside: 169.254.10.1/30, psk-file: a}\n"
    "      - {local: 192.0.2.2, remote: 203.0.113.2, inside: 169.254.10.5/30, psk-file: b}\n"
    "  branch:\n"
    "    preset: tandem\n"
    "    networks: [10.30.0.0/16]\n"
    "    tunnels:\n"
    "      - {local: 192.0.2.1, remote: 203.0.113.3, inside: 169.254.11.1/30, psk-file: a}\n"
    "      - {local: 192.0.2.2, remote: 203.0.113.4, inside: 169.254.11.5/30, psk-file: b}\n";

static const char *
config_case(int which)
{
	struct config_text all = config_text_base();

	switch (which) {
	case 0:
		return good;
	case 1:
		return config_text_print(&all);
	case 2:			/* every sort of mistake, and what is left out */
		return "connections:\n  a:\n    networks: [10.0.0.0/8, 10.0.0.0/8, x]\n"
		    "    metric: -4\n    polcy: pinned\n    polcy: pinned\n    tunnels:\n"
		    "      - {remote: &x 203.0.113.1, psk-file: nowhere}\n      - {local: *x}\n"
		    "  b: [1, 2]\n  b: 3\nlogg: debug\n";
	default:
		return "connections: {a: {networks: [10.0.0.0/8]";
	}
}

START_TEST(a_configuration_is_read_whole_or_not)
{
	fix_init(&fix);
	fix_secret(&fix, "nokey", "short");
	text = config_case(_i);
	whole = fix_load(&fix, text);
	ck_assert_int_eq(whole != NULL, _i < 2);
	wordless = 0;
	ck_assert_uint_ge(failing_each(read_config), 5);
	ck_assert_uint_le(wordless, 2);	/* without memory for the list of lines, or for its one */
	fix_fini(&fix);
}
END_TEST

/* ---- a gateway without sockets and devices, with clients -------------------------------- */

static struct gw gw;
static struct gw_conf gw_conf;
static int broker;
static char socket_path[96];

static void
on_answer(void *arg, uint32_t cookie, const struct host_answer *a)
{
	(void)arg, (void)cookie, (void)a;
}

static void
on_gone(void *arg)
{
	(void)arg;
	ck_abort_msg("the broker is gone");
}

static void
back(void *arg, const struct esp_event *ev)
{
	struct gw *g = arg;

	if (ev->kind == ESP_EV_SA_BACK)
		esp_sa_free(g->secrets, ev->sa);
	else if (ev->kind == ESP_EV_PATH_BACK)
		esp_path_free(ev->path);
}

static void
machines(struct gw *g)
{
	static const uint8_t key[16] = "a key of probes.";
	struct ike_env env = { .workers = 1, .half_open_cookie = 32, .half_open_max = 1024 };

	g->rng = rng_system();
	env.rng = g->rng;
	env.secrets = g->secrets = secrets_new();
	env.aeads = g->aeads = aead_set_new();
	g->ike = ike_new(&env);
	g->monitor = monitor_new(&g->rng);
	g->tunnels = map_new(1);
	g->sas = map_new(2);
	g->nl = nl_open();
	g->jobs = jobs_new(1);
	g->workers = workers_new(1, g->aeads, key);
	heap_init(&g->samples);
	ck_assert(g->ike != NULL && g->monitor != NULL && g->nl != NULL && g->workers != NULL);
}

static void
gw_begin(void)
{
	struct hostlink_handlers h = { on_answer, on_gone, NULL };
	struct config_errors e, w;
	struct gw *g = &gw;
	int pair[2];

	memset(g, 0, sizeof(*g));
	g->started = loop_now();
	g->look_at = USEC_NEVER;
	for (int i = 0; i < SOCK_N; i++)
		g->sock[i] = -1;
	machines(g);
	g->loop = loop_new();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	broker = pair[1];
	gw_conf.broker = pair[0];
	g->host = hostlink_new(g->loop, pair[0], &h);
	ck_assert(g->loop != NULL && g->host != NULL);
	fix_file(&fix, "t.yaml", good, sizeof(good) - 1, 0600);
	snprintf(gw_conf.config_path, sizeof(gw_conf.config_path), "%s", fix.name);
	g->conf = &gw_conf;
	g->config = config_load(gw_conf.config_path, g->secrets, &e, &w);
	ck_assert_ptr_nonnull(g->config);
	config_errors_free(&e);
	config_errors_free(&w);
	g->ready = true;
}

static void
gw_end(void)
{
	struct gw *g = &gw;
	struct gw_connection *c;

	control_free(g->control);
	hostlink_free(g->host);
	jobs_free(g->jobs, NULL, NULL);
	workers_free(g->workers, back, g);
	ike_free(g->ike);
	monitor_free(g->monitor);
	heap_fini(&g->samples);
	map_free(g->sas);
	map_free(g->tunnels);
	nl_close(g->nl);
	while ((c = g->connections) != NULL) {
		g->connections = c->next;
		own_free(&c->own);
		free(c);
	}
	config_free(g->config);
	loop_free(g->loop);
	aead_set_free(g->aeads);
	ck_assert_uint_eq(secrets_used(g->secrets), 0);
	secrets_free(g->secrets);
	close(broker);
	close(gw_conf.broker);
}

/* One round of the daemon. */
static void
pump(void)
{
	struct esp_event ev;

	event_base_loop(loop_base(gw.loop), EVLOOP_NONBLOCK);
	gw_drain(&gw, loop_now());
	(void)workers_flush(gw.workers);
	while (worker_event(workers_at(gw.workers, 0), &ev))
		back(&gw, &ev);
}

static void
ask(const char *request)
{
	json_t *q = json_loads(request, 0, NULL), *a;
	bool was = armed;

	armed = false;
	if (q == NULL)
		q = json_loads(request, 0, NULL);
	armed = was;
	a = control_answer(&gw, q);
	json_decref(a);
	json_decref(q);
}

/* Whatever failed: with memory again all is as configured, and status can say so. */
static void
is_whole(const char *says)
{
	json_t *q = json_pack("{s:s}", "verb", "reload"), *a = control_answer(&gw, q);
	char *all = json_dumps(a, 0);

	ck_assert_msg(json_is_true(json_object_get(a, "ok")), "%s", all);
	free(all);
	json_decref(a);
	json_object_set_new(q, "verb", json_string("status"));
	a = control_answer(&gw, q);
	all = json_dumps(a, 0);
	ck_assert_msg(strstr(all, says) != NULL, "no %s in %s", says, all);
	free(all);
	json_decref(a);
	json_decref(q);
	pump();
}

static const char *const requests[] = {
	"{\"verb\": \"status\"}", "{\"verb\": \"status\", \"target\": \"office\"}",
	"{\"verb\": \"status\", \"target\": \"nobody\"}", "{\"verb\": \"version\"}",
	"{\"verb\": \"up\", \"target\": \"office/2\"}",
	"{\"verb\": \"down\", \"target\": \"office\"}",
	"{\"verb\": \"rekey\", \"target\": \"office\"}",
	"{\"verb\": \"failover\", \"target\": \"branch\"}",
	"{\"verb\": \"failover\", \"target\": \"office\", \"auto\": true}",
	"{\"verb\": \"\\u00e4\"}",
};

static const char *request;

static void
one_request(void)
{
	armed = true;
	ask(request);
	armed = false;
	pump();
}

static void
add_all(void)
{
	for (size_t i = 0; i < gw.config->connection_n; i++)
		ck_assert(connection_add(&gw, &gw.config->connection[i]));
}

START_TEST(every_verb_answers_or_not)
{
	fix_init(&fix);
	gw_begin();
	add_all();
	for (size_t i = 0; i < N_OF(requests); i++) {
		request = requests[i];
		(void)failing_each(one_request);
		is_whole("branch/2");
	}
	gw_end();
	fix_fini(&fix);
}
END_TEST

/* To another configuration and back. */
static void
reload_under_need(void)
{
	static const char other[] =
	    "connections:\n"
	    "  office:\n"
	    "    networks: [10.1.0.0/16, 10.7.0.0/16]\n"
	    "    ike: aes256gcm16-prfsha384-ecp384\n"
	    "    tunnels:\n"
	    "      - {local: 192.0.2.1, remote: 203.0.113.1,"
	    " inside: 169.254.10.1/30, psk-file: a}\n"
	    "      - {local: 192.0.2.2, remote: 203.0.113.9,"
	    " inside: 169.254.10.5/30, psk-file: b}\n"
	    "  newcomer:\n"
	    "    networks: [10.31.0.0/16]\n"
	    "    tunnels:\n"
	    "      - {local: 192.0.2.1, remote: 203.0.113.5,"
	    " inside: 169.254.12.1/30, psk-file: a}\n"
	    "      - {local: 192.0.2.2, remote: 203.0.113.6,"
	    " inside: 169.254.12.5/30, psk-file: b}\n";

	fix_file(&fix, "t.yaml", other, sizeof(other) - 1, 0600);
	armed = true;
	ask("{\"verb\": \"reload\"}");
	ask("{\"verb\": \"status\"}");
	armed = false;
	pump();
	is_whole("office/2");
	fix_file(&fix, "t.yaml", good, sizeof(good) - 1, 0600);
	is_whole("office/2");
}

START_TEST(a_reload_is_done_or_not)
{
	fix_init(&fix);
	gw_begin();
	add_all();
	ck_assert_uint_ge(failing_each(reload_under_need), 100);
	gw_end();
	fix_fini(&fix);
}
END_TEST

static int
dial(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", socket_path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A client comes, asks, watches, is told something and hangs up; the socket goes. */
static void
one_client(void)
{
	static const char say[] = "{\"verb\": \"status\"}\n{\"verb\": \"watch\"}\nno json\n";
	char answer[4096];
	int fd;

	armed = true;
	gw.control = control_new(&gw, socket_path);
	fd = gw.control != NULL && control_begin(gw.control) ? dial() : -1;
	armed = false;
	if (fd >= 0) {
		(void)!send(fd, say, sizeof(say) - 1, MSG_NOSIGNAL);
		for (unsigned i = 0; i < 8; i++) {
			armed = true;
			pump();
			if (i == 5)
				control_event(gw.control, "tunnel-up", "office", 1, "\xff\xfe");
			armed = false;
			(void)!recv(fd, answer, sizeof(answer), 0);
		}
		close(fd);
		armed = true;
		pump();
		armed = false;
	}
	control_free(gw.control);
	gw.control = NULL;
	pump();
}

START_TEST(clients_are_served_or_cut_off)
{
	fix_init(&fix);
	snprintf(socket_path, sizeof(socket_path), "%.60s/c.sock", fix.dir);
	gw_begin();
	add_all();
	ck_assert_uint_ge(failing_each(one_client), 20);
	is_whole("branch/2");
	gw_end();
	fix_fini(&fix);
}
END_TEST

/* Connections come, one of them may have no room, and go again. */
static void
come_and_go(void)
{
	bool all = true;
	size_t looked_at;

	gw_begin();			/* with tables that have to grow */
	armed = true;
	for (size_t i = 0; i < gw.config->connection_n; i++)
		all = connection_add(&gw, &gw.config->connection[i]) && all;
	looked_at = gw.samples.n;
	gw_drain(&gw, loop_now());
	armed = false;
	for (const struct gw_connection *c = gw.connections; c != NULL; c = c->next)
		ck_assert_uint_ge(looked_at--, 1);	/* each has its first look */
	ck_assert_uint_eq(looked_at, 0);
	pump();
	ck_assert(all == (gw_connection_find(&gw, "office") != NULL &&
	    gw_connection_find(&gw, "branch") != NULL));
	armed = true;
	while (gw.connections != NULL)
		connection_del(&gw, gw.connections);
	armed = false;
	for (unsigned i = 0; i < 4; i++)
		pump();
	ck_assert_uint_eq(map_n(gw.tunnels), 0);
	ck_assert_uint_eq(gw.devices[0], 0);
	ck_assert_ptr_null(gw.touched);
	gw_end();
}

START_TEST(connections_come_whole_or_not)
{
	fix_init(&fix);
	ck_assert_uint_ge(failing_each(come_and_go), 30);
	fix_fini(&fix);
}
END_TEST

/* What a start makes, one thing after the other. */
static void
start(void)
{
	static const uint8_t key[16];
	struct ike_env env = { .workers = 1, .half_open_cookie = 32, .half_open_max = 1024 };
	struct aead_set *aeads = aead_set_new();
	struct monitor *m;
	struct workers *w;
	struct loop *l;
	struct jobs *j;
	struct ike *ike;

	env.rng = rng_system();
	env.secrets = secrets_new();
	env.aeads = aeads;
	armed = true;
	ike = ike_new(&env);
	m = monitor_new(&env.rng);
	l = loop_new();
	j = jobs_new(1);
	w = workers_new(1, aeads, key);
	aead_set_free(aead_set_new());
	secrets_free(secrets_new());
	armed = false;
	workers_free(w, back, &gw);
	jobs_free(j, NULL, NULL);
	loop_free(l);
	monitor_free(m);
	ike_free(ike);
	secrets_free(env.secrets);
	aead_set_free(aeads);
}

START_TEST(a_start_may_fail)
{
	event_set_mem_functions(malloc, realloc, free);
	ck_assert_uint_ge(failing_each(start), 20);
}
END_TEST

static void
fill(TCase *tc)
{
	log_to(silence, NULL);
	event_set_log_callback(silence_libevent);
	json_set_alloc_funcs(malloc, free);
	tcase_add_loop_test(tc, a_configuration_is_read_whole_or_not, 0, 4);
	tcase_add_test(tc, every_verb_answers_or_not);
	tcase_add_test(tc, a_reload_is_done_or_not);
	tcase_add_test(tc, clients_are_served_or_cut_off);
	tcase_add_test(tc, connections_come_whole_or_not);
	tcase_add_test(tc, a_start_may_fail);
}

UNIT_MAIN("sim/scarce", fill)
