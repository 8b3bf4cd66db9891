/* SPDX-License-Identifier: MIT */
#include "gateway/control.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway_rig.h"

/*
 * A gateway without sockets and devices: two connections are configured, a broker that never
 * answers holds the other end of the pair, and the clients are this test.  The loop runs only
 * while the test waits for something.
 */
#define PATIENCE	USEC_S(20)
#define LINE_MAX_LEN	(4 * 1024 * 1024)

static const char conf_text[] =
    "connections:\n"
    "  office:\n"
    "    preset: tandem\n"
    "    mode: add\n"
    "    networks: [10.20.0.0/16]\n"
    "    tunnels:\n"
    "      - {local: 192.0.2.1, remote: 203.0.113.1, inside: 169.254.10.1/30, psk-file: key}\n"
    "      - {local: 192.0.2.2, remote: 203.0.113.2, inside: 169.254.10.5/30, psk-file: key}\n"
    "  branch:\n"
    "    preset: tandem\n"
    "    mode: add\n"
    "    policy: pinned\n"
    "    pin: 1\n"
    "    networks: [10.30.0.0/16]\n"
    "    tunnels:\n"
    "      - {local: 192.0.2.1, remote: 203.0.113.3, inside: 169.254.11.1/30, psk-file: key}\n"
    "      - {local: 192.0.2.2, remote: 203.0.113.4, inside: 169.254.11.5/30, psk-file: key}\n";

struct world {
	struct rig r;
	char socket[96];
	char line[LINE_MAX_LEN];
};

static struct world *
world(void)
{
	static struct world w;

	return &w;
}

static void
setup(void)
{
	struct world *w = world();

	rig_new(&w->r, conf_text);
	rig_begin(&w->r);
	snprintf(w->socket, sizeof(w->socket), "%.60s/run/c.sock", w->r.dir);
	w->r.g.control = control_new(&w->r.g, w->socket);
	ck_assert_ptr_nonnull(w->r.g.control);
	ck_assert(control_begin(w->r.g.control));
}

static void
teardown(void)
{
	struct world *w = world();
	struct stat st;

	control_free(w->r.g.control);
	ck_assert_int_eq(stat(w->socket, &st), -1);
	rig_free(&w->r);
}

/* One round of the daemon. */
static void
pump(void)
{
	struct gw *g = &world()->r.g;
	struct esp_event ev;

	event_base_loop(loop_base(g->loop), EVLOOP_NONBLOCK);
	gw_drain(g, loop_now());
	(void)workers_flush(g->workers);
	while (worker_event(workers_at(g->workers, 0), &ev))
		rig_back(g, &ev);
}

static void
pump_for(usec_t time)
{
	for (usec_t end = loop_now() + time; loop_now() < end; usleep(200))
		pump();
}

static int
dial(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%.90s", world()->socket);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void
put(int fd, const char *text, size_t len)
{
	ssize_t n;

	for (usec_t end = loop_now() + PATIENCE; len > 0; pump()) {
		n = send(fd, text, len, MSG_NOSIGNAL);
		ck_assert_msg(n > 0 || errno == EAGAIN, "%s", strerror(errno));
		ck_assert(loop_now() < end);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
}

/* The next line, while the daemon runs; NULL: it hung up. */
static const char *
get(int fd)
{
	char *line = world()->line;
	size_t n = 0;
	ssize_t r;

	for (usec_t end = loop_now() + PATIENCE; loop_now() < end; ) {
		r = recv(fd, line + n, 1, 0);
		if (r == 1 && line[n] == '\n') {
			line[n] = '\0';
			return line;
		}
		if (r == 1 && ++n < LINE_MAX_LEN)
			continue;
		if (r == 0 || (r < 0 && errno != EAGAIN))
			return NULL;
		pump();
		usleep(100);
	}
	ck_abort_msg("no line came");
}

static json_t *
get_json(int fd)
{
	const char *line = get(fd);
	json_t *o;

	ck_assert_msg(line != NULL, "hung up");
	o = json_loads(line, 0, NULL);
	ck_assert_msg(o != NULL, "no JSON: %.200s", line);
	return o;
}

/* Ask and look whether the answer is well, and says what it should. */
static void
expect(int fd, const char *request, bool ok, const char *says)
{
	json_t *a;
	char *all;

	put(fd, request, strlen(request));
	put(fd, "\n", 1);
	a = get_json(fd);
	all = json_dumps(a, 0);
	ck_assert_msg(json_is_true(json_object_get(a, "ok")) == ok, "%s: %s", request, all);
	ck_assert_int_eq(json_integer_value(json_object_get(a, "schema")), 1);
	ck_assert_msg(strstr(all, says) != NULL, "%s: %s", request, all);
	if (!ok)
		ck_assert(json_is_string(json_object_get(a, "error")));
	free(all);
	json_decref(a);
}

START_TEST(every_verb_answers)
{
	static const struct { const char *ask; bool ok; const char *says; } t[] = {
		{ "{\"verb\": \"version\"}", true, "\"version\"" },
		{ "{\"verb\": \"status\"}", true, "branch/2" },
		{ "{\"verb\": \"status\", \"target\": \"office\"}", true, "office/1" },
		{ "{\"verb\": \"status\", \"target\": \"nobody\"}", false, "no connection" },
		{ "{\"verb\": \"status\", \"target\": 5}", false, "name of a connection" },
		{ "{\"verb\": \"up\", \"target\": \"office/2\"}", true, "opening" },
		{ "{\"verb\": \"down\", \"target\": \"office\"}", true, "closing" },
		{ "{\"verb\": \"up\"}", false, "which connection?" },
		{ "{\"verb\": \"up\", \"target\": [\"office\"]}", false, "which connection?" },
		{ "{\"verb\": \"up\", \"target\": \"office/3\"}", false, "no tunnel" },
		{ "{\"verb\": \"up\", \"target\": \"office/0\"}", false, "no tunnel" },
		{ "{\"verb\": \"up\", \"target\": \"office/\"}", false, "no tunnel" },
		{ "{\"verb\": \"up\", \"target\": \"office/ 1\"}", false, "no tunnel" },
		{ "{\"verb\": \"up\", \"target\": \"office/1x\"}", false, "no tunnel" },
		{ "{\"verb\": \"up\", \"target\": \"office/18446744073709551617\"}", false, "no tunnel" },
		{ "{\"verb\": \"up\", \"target\": \"\"}", false, "no connection" },
		{ "{\"verb\": \"up\", \"target\": \"/1\"}", false, "no connection" },
		{ "{\"verb\": \"rekey\", \"target\": \"office\"}", false, "down" },
		{ "{\"verb\": \"failover\", \"target\": \"office\"}", false, "is down" },
		{ "{\"verb\": \"failover\", \"target\": \"branch\"}", false, "pinned to tunnel 1" },
		{ "{\"verb\": \"failover\", \"target\": \"office\", \"auto\": true}", true, "policy" },
		{ "{\"verb\": \"reload\"}", true, "nothing changed" },
		{ "{\"verb\": \"dance\"}", false, "unknown verb \\\"dance\\\"" },
		{ "{\"verb\": 7}", false, "no \\\"verb\\\"" },
		{ "{\"verb\": null}", false, "no \\\"verb\\\"" },
		{ "{}", false, "no \\\"verb\\\"" },
		{ "[]", false, "no \\\"verb\\\"" },
		{ "\"status\"", false, "not JSON" },
		{ "", false, "not JSON" },
		{ "{\"verb\": \"status\"", false, "not JSON" },
		{ "{\"verb\": \"up\", \"verb\": \"down\"}", false, "not JSON" },
		{ "{\"verb\": \"\xff\xfe\"}", false, "not JSON" },
		{ "\x01\x02garbage", false, "not JSON" },
	};
	int fd = dial();

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		expect(fd, t[i].ask, t[i].ok, t[i].says);
	close(fd);
}
END_TEST

/* A verb of so many two-byte letters that the answer, which quotes it, is cut inside of one. */
static const char *
letters(void)
{
	static char text[2100];
	char *to = stpcpy(text, "{\"verb\": \"");

	for (int i = 0; i < 1000; i++)
		to = stpcpy(to, "\xc3\xa9");
	strcpy(to, "\"}");
	return text;
}

/* A connection whose name is as long as it may be. */
static void
add_long_name(void)
{
	char text[2 * sizeof(conf_text)], name[CONFIG_NAME_MAX];

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(text, sizeof(text), "%s  %s:\n    preset: tandem\n    mode: add\n"
	    "    networks: [10.40.0.0/16]\n    tunnels:\n"
	    "      - {local: 192.0.2.1, remote: 203.0.113.5, inside: 169.254.12.1/30, psk-file: key}\n"
	    "      - {local: 192.0.2.2, remote: 203.0.113.6, inside: 169.254.12.5/30, psk-file: key}\n",
	    conf_text, name);
	rig_file(&world()->r, "tandem.yaml", text);
}

/* A NUL does not end a request early, and a name that was cut does not find another. */
START_TEST(nothing_is_cut_to_fit)
{
	static const char nul[] = "{\"verb\": \"version\"}\0rubbish\n";
	char name[CONFIG_NAME_MAX + 100] = "{\"verb\": \"up\", \"target\": \"";
	int fd = dial();
	json_t *a;

	put(fd, nul, sizeof(nul) - 1);
	a = get_json(fd);
	ck_assert(json_is_false(json_object_get(a, "ok")));
	json_decref(a);
	memset(name + strlen(name), 'a', CONFIG_NAME_MAX + 20);
	strcat(name, "\"}");
	add_long_name();
	expect(fd, "{\"verb\": \"reload\"}", true, "aaaa: added");
	expect(fd, name, false, "no connection");
	expect(fd, letters(), false, "unknown verb");
	close(fd);
}
END_TEST

START_TEST(two_clients_do_not_mix)
{
	int a = dial(), b = dial();

	put(a, "{\"verb\": \"ver", 13);
	expect(b, "{\"verb\": \"version\"}", true, "version");
	put(b, "{\"verb\": \"nonsense\"}\n", 21);
	put(a, "sion\"}\n", 7);
	ck_assert_ptr_nonnull(strstr(get(a), "\"ok\":true"));
	ck_assert_ptr_nonnull(strstr(get(b), "nonsense"));
	close(a);
	expect(b, "{\"verb\": \"version\"}", true, "version");
	close(b);
}
END_TEST

START_TEST(many_requests_in_one_go_are_answered_in_order)
{
	char all[100 * 40] = "";
	int fd = dial();

	for (int i = 0; i < 100; i++)
		sprintf(all + strlen(all), "{\"verb\": \"v%d\"}\n", i);
	put(fd, all, strlen(all));
	shutdown(fd, SHUT_WR);			/* it says no more, and still gets its answers */
	for (int i = 0; i < 100; i++) {
		char want[20];

		sprintf(want, "\\\"v%d\\\"", i);
		ck_assert_ptr_nonnull(strstr(get(fd), want));
	}
	ck_assert_ptr_null(get(fd));
	close(fd);
}
END_TEST

START_TEST(a_line_has_a_bound)
{
	char *big = malloc(CONTROL_LINE_MAX + 1);
	int fd = dial();

	memset(big, ' ', CONTROL_LINE_MAX + 1);
	memcpy(big, "{\"verb\": \"version\"}", 19);
	big[CONTROL_LINE_MAX - 1] = '\n';
	put(fd, big, CONTROL_LINE_MAX);
	ck_assert_ptr_nonnull(strstr(get(fd), "\"ok\":true"));
	big[CONTROL_LINE_MAX - 1] = ' ';
	put(fd, big, CONTROL_LINE_MAX);
	ck_assert_ptr_nonnull(strstr(get(fd), "longer than"));
	ck_assert_ptr_null(get(fd));		/* and it hangs up, so that the place is free */
	close(fd);
	free(big);
}
END_TEST

/* A client that does not read costs no more than one answer, and nobody else anything. */
START_TEST(a_client_that_does_not_read_waits_alone)
{
	static const char ask[] = "{\"verb\": \"status\"}\n";
	int deaf = dial(), fd = dial();
	struct rusage before, after;
	size_t asked = 0;
	ssize_t n;

	getrusage(RUSAGE_SELF, &before);
	for (int i = 0; i < 600; i++) {
		n = send(deaf, ask, sizeof(ask) - 1, MSG_NOSIGNAL);
		asked += n > 0 ? (size_t)n : 0;
		pump();
	}
	for (int i = 0; i < 20; i++)
		expect(fd, "{\"verb\": \"version\"}", true, "version");
	getrusage(RUSAGE_SELF, &after);
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 8 * 1024);
	for (size_t i = 0; i < asked / (sizeof(ask) - 1); i++)	/* late, but all of it */
		ck_assert_ptr_nonnull(strstr(get(deaf), "\"ok\":true"));
	close(deaf);
	pump_for(USEC_MS(20));
	close(fd);
}
END_TEST

/* ... and costs nothing while it waits, however much it has asked: with a full buffer libevent
 * would call us again and again until its patience ends (30 s). */
START_TEST(a_client_that_does_not_read_does_not_keep_us_busy)
{
	static const char ask[] = "{\"verb\": \"status\"}\n";
	char asks[200 * (sizeof(ask) - 1) + 1] = "";
	clock_t before = clock();
	int deaf = dial();

	for (int i = 0; i < 200; i++)
		strcat(asks, ask);
	for (int i = 0; i < 1000; i++) {
		(void)!send(deaf, asks, sizeof(asks) - 1, MSG_NOSIGNAL);
		pump();
	}
	ck_assert_int_lt((clock() - before) / CLOCKS_PER_SEC, 5);
	close(deaf);
	pump_for(USEC_MS(20));
}
END_TEST

START_TEST(there_is_room_for_64)
{
	int fd[CONTROL_CLIENTS], more;

	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		fd[i] = dial();
		pump();
	}
	pump_for(USEC_MS(20));
	more = dial();
	ck_assert_ptr_nonnull(strstr(get(more), "too many clients"));
	ck_assert_ptr_null(get(more));
	close(more);
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		expect(fd[i], "{\"verb\": \"version\"}", true, "version");
	close(fd[5]);
	pump_for(USEC_MS(20));
	fd[5] = dial();
	expect(fd[5], "{\"verb\": \"version\"}", true, "version");
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		close(fd[i]);
	pump_for(USEC_MS(20));
}
END_TEST

START_TEST(watchers_are_told)
{
	struct gw *g = &world()->r.g;
	int watcher = dial(), fd = dial();
	json_t *e;

	expect(watcher, "{\"verb\": \"watch\"}", true, "watching");
	expect(fd, "{\"verb\": \"version\"}", true, "version");
	gw_event(g, "select", g->connections, NULL, "traffic goes by tunnel 2");
	e = get_json(watcher);
	ck_assert_str_eq(json_string_value(json_object_get(e, "event")), "select");
	ck_assert_str_eq(json_string_value(json_object_get(e, "connection")), "office");
	ck_assert_ptr_null(json_object_get(e, "tunnel"));
	json_decref(e);
	gw_event(g, "tunnel-down", g->connections, &g->connections->t[1], "peer says \xff\xc3");
	e = get_json(watcher);
	ck_assert_int_eq(json_integer_value(json_object_get(e, "tunnel")), 2);
	ck_assert_str_eq(json_string_value(json_object_get(e, "what")), "peer says ??");
	json_decref(e);
	expect(fd, "{\"verb\": \"version\"}", true, "version");	/* not what it did not ask for */
	expect(watcher, "{\"verb\": \"version\"}", true, "version");
	close(watcher);
	close(fd);
	pump_for(USEC_MS(10));
	gw_event(g, "select", g->connections, NULL, "nobody listens");
}
END_TEST

/* One that does not listen is let go, from wherever the event comes. */
START_TEST(a_watcher_that_does_not_read_is_let_go)
{
	struct gw *g = &world()->r.g;
	int deaf = dial(), fd = dial();
	char text[200];

	expect(deaf, "{\"verb\": \"watch\"}", true, "watching");
	expect(fd, "{\"verb\": \"watch\"}", true, "watching");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 10000; i++) {
		control_event(g->control, "noise", "office", 0, text);
		if (i % 100 == 0)
			pump();
		while (i % 100 == 0 && recv(fd, world()->line, LINE_MAX_LEN, 0) > 0)
			pump();
	}
	while (get(deaf) != NULL)
		;
	close(deaf);
	while (recv(fd, world()->line, LINE_MAX_LEN, 0) > 0)
		pump();
	pump_for(USEC_MS(50));
	close(fd);
}
END_TEST

START_TEST(clients_may_vanish_at_any_moment)
{
	static const char ask[] = "{\"verb\": \"status\"}\n{\"verb\": \"watch\"}\n{\"verb\": \"status\"}\n";
	struct gw *g = &world()->r.g;

	for (size_t i = 0; i <= sizeof(ask) - 1; i++) {
		int fd = dial();

		(void)!send(fd, ask, i, MSG_NOSIGNAL);
		for (size_t k = 0; k < i % 7; k++)
			pump();
		gw_event(g, "select", g->connections, NULL, "a word");
		if (i % 3 == 0)
			shutdown(fd, SHUT_RD);
		close(fd);
		for (size_t k = 0; k < i % 5; k++)
			pump();
	}
	pump_for(USEC_MS(20));
}
END_TEST

START_TEST(a_reload_tells_all_mistakes_and_keeps_what_was)
{
	struct world *w = world();
	int fd = dial();
	json_t *a;

	rig_file(&w->r, "tandem.yaml", "connections:\n  office:\n    preset: nix\n    colour: red\n");
	expect(fd, "{\"verb\": \"reload\"}", false, "mistakes; what was running goes on");
	expect(fd, "{\"verb\": \"status\", \"target\": \"branch\"}", true, "branch/1");
	rig_file(&w->r, "tandem.yaml", conf_text);
	put(fd, "{\"verb\": \"reload\"}\n", 19);
	a = get_json(fd);
	ck_assert(json_is_true(json_object_get(a, "ok")));
	ck_assert_uint_eq(json_array_size(json_object_get(a, "errors")), 0);
	json_decref(a);
	ck_assert_ptr_eq(w->r.g.connections->conf, &w->r.g.config->connection[0]);
	ck_assert_ptr_eq(w->r.g.connections->next->t[1].conf, &w->r.g.config->connection[1].tunnel[1]);
	w->r.g.stopping = true;
	expect(fd, "{\"verb\": \"reload\"}", false, "stopping");
	w->r.g.stopping = false;
	close(fd);
}
END_TEST

/* Connections go, come and change; what looks at the configuration looks at the new one. */
START_TEST(a_reload_leaves_nothing_of_the_old)
{
	struct world *w = world();
	char *text = strdup(conf_text), *branch = strstr(text, "  branch:");
	char longer[2 * sizeof(conf_text)];
	int fd = dial();

	*branch = '\0';
	rig_file(&w->r, "tandem.yaml", text);
	expect(fd, "{\"verb\": \"reload\"}", true, "branch: removed");
	expect(fd, "{\"verb\": \"status\", \"target\": \"branch\"}", false, "no connection");
	rig_file(&w->r, "tandem.yaml", conf_text);
	expect(fd, "{\"verb\": \"reload\"}", true, "branch: added");
	snprintf(longer, sizeof(longer), "%s    hold: 7s\n    lifetime: 2h\n", text);
	rig_file(&w->r, "tandem.yaml", longer);
	expect(fd, "{\"verb\": \"reload\"}", true, "office: changed and rekeyed");
	expect(fd, "{\"verb\": \"status\"}", true, "office/2");
	*strstr(longer, "203.0.113.2") = '1';
	rig_file(&w->r, "tandem.yaml", longer);
	expect(fd, "{\"verb\": \"reload\"}", true, "office: negotiated anew");
	expect(fd, "{\"verb\": \"status\"}", true, "103.0.113.2");
	for (struct gw_connection *c = w->r.g.connections; c != NULL; c = c->next)
		ck_assert_ptr_eq(c->conf, &w->r.g.config->connection[0]);
	free(text);
	close(fd);
}
END_TEST

START_TEST(the_socket_is_for_owner_and_group)
{
	struct stat st;

	ck_assert_int_eq(stat(world()->socket, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_int_eq(st.st_mode & 0777, 0660);
}
END_TEST

START_TEST(a_live_socket_is_refused_and_lives_on)
{
	struct world *w = world();
	int fd;

	ck_assert_ptr_null(control_new(&w->r.g, w->socket));
	fd = dial();
	expect(fd, "{\"verb\": \"version\"}", true, "version");
	close(fd);
	pump_for(USEC_MS(10));
}
END_TEST

/* Whoever widens the file's mode has not made everybody a friend. */
START_TEST(a_stranger_is_hung_up_on)
{
	struct world *w = world();
	int status;
	pid_t pid;

	if (geteuid() != 0)
		return;			/* nobody else to be */
	ck_assert_int_eq(chmod(w->socket, 0666), 0);
	ck_assert_int_eq(chmod(w->r.dir, 0755), 0);
	pid = fork();
	if (pid == 0) {
		const char q[] = "{\"verb\": \"version\"}\n";
		char c;
		int fd;

		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(2);
		fd = dial();
		(void)fcntl(fd, F_SETFL, 0);
		(void)!send(fd, q, sizeof(q) - 1, MSG_NOSIGNAL);
		_exit(read(fd, &c, 1) <= 0 ? 0 : 1);
	}
	for (usec_t end = loop_now() + PATIENCE; waitpid(pid, &status, WNOHANG) == 0; pump())
		ck_assert(loop_now() < end);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

static void
stale_socket(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
}

START_TEST(a_stale_socket_is_replaced_but_no_file)
{
	struct world *w = world();
	struct control *c;
	char path[150], too_long[200];
	struct stat st;

	snprintf(path, sizeof(path), "%.60s/stale.sock", w->r.dir);
	stale_socket(path);
	c = control_new(&w->r.g, path);
	ck_assert_ptr_nonnull(c);
	control_free(c);
	ck_assert_ptr_null(control_new(&w->r.g, w->r.conf.config_path));
	ck_assert_int_eq(stat(w->r.conf.config_path, &st), 0);
	memset(too_long, 'x', sizeof(too_long));
	memcpy(too_long, "/tmp/", 5);
	too_long[108] = '\0';
	ck_assert_ptr_null(control_new(&w->r.g, too_long));
	ck_assert_ptr_null(control_new(&w->r.g, "/proc/nowhere/at.all"));
}
END_TEST

static void
count_line(void *arg, enum log_level level, const char *line)
{
	(void)level, (void)line;
	(*(unsigned *)arg)++;
}

/* Out of descriptors, it waits instead of spinning, and comes back. */
START_TEST(it_outlives_a_lack_of_descriptors)
{
	struct rlimit old, tight;
	unsigned lines = 0;
	int fd, last;

	last = dial();
	close(last);
	pump_for(USEC_MS(10));
	fd = dial();				/* connected by the kernel, not accepted yet */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)fd + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
	log_to(count_line, &lines);
	pump_for(USEC_MS(50));
	log_to(NULL, NULL);
	ck_assert_uint_eq(lines, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	expect(fd, "{\"verb\": \"version\"}", true, "version");
	close(fd);
	pump_for(USEC_MS(10));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_verb_answers);
	tcase_add_test(t, nothing_is_cut_to_fit);
	tcase_add_test(t, two_clients_do_not_mix);
	tcase_add_test(t, many_requests_in_one_go_are_answered_in_order);
	tcase_add_test(t, a_line_has_a_bound);
	tcase_add_test(t, a_client_that_does_not_read_waits_alone);
	tcase_add_test(t, a_client_that_does_not_read_does_not_keep_us_busy);
	tcase_add_test(t, there_is_room_for_64);
	tcase_add_test(t, watchers_are_told);
	tcase_add_test(t, a_watcher_that_does_not_read_is_let_go);
	tcase_add_test(t, clients_may_vanish_at_any_moment);
	tcase_add_test(t, a_reload_tells_all_mistakes_and_keeps_what_was);
	tcase_add_test(t, a_reload_leaves_nothing_of_the_old);
	tcase_add_test(t, the_socket_is_for_owner_and_group);
	tcase_add_test(t, a_stranger_is_hung_up_on);
	tcase_add_test(t, a_live_socket_is_refused_and_lives_on);
	tcase_add_test(t, a_stale_socket_is_replaced_but_no_file);
	tcase_add_test(t, it_outlives_a_lack_of_descriptors);
}

UNIT_MAIN("control", fill)
