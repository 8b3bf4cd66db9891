/* SPDX-License-Identifier: MIT */
#include "gateway/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config_unit.h"
#include "tun/host.h"
#include "tun/udp.h"

/*
 * The whole engine in a process of its own, from its start to its end.  The broker is the test: it
 * writes down what it is asked, gives sockets of loopback and pairs for devices, and needs no root.
 */
#define PATIENCE_MS	10000

static struct fix f;
static char socket_path[100], asked[8192];
static int broker, refuse_v4, refuse_v6;	/* what sockets are answered with */
static pid_t engine;

static const char conf_text[] =
    "log: error\n"
    "connections:\n"
    "  office:\n"
    "    mode: add\n"
    "    networks: [10.1.0.0/16]\n"
    "    psk-file: a\n"
    "    local: 127.0.0.1\n"
    "    tunnels: [{remote: 127.0.0.2, inside: 169.254.1.1/30},\n"
    "              {remote: 127.0.0.3, inside: 169.254.1.5/30}]\n";

static void
config_is(const char *text)
{
	fix_file(&f, "t.yaml", text, strlen(text), 0600);
}

static void
start(void)
{
	struct gw_conf conf = { .broker = -1 };
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	    pair), 0);
	snprintf(conf.config_path, sizeof(conf.config_path), "%s", f.name);
	snprintf(conf.socket_path, sizeof(conf.socket_path), "%s", socket_path);
	conf.broker = pair[0];
	fflush(NULL);
	engine = fork();
	if (engine == 0) {
		close(pair[1]);
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		_exit(gw_run(&conf));
	}
	close(pair[0]);
	broker = pair[1];
	asked[0] = '\0';
}

static void
setup(void)
{
	fix_init(&f);
	config_is(conf_text);
	snprintf(socket_path, sizeof(socket_path), "%.64s/s", f.dir);
	refuse_v4 = refuse_v6 = 0;
	broker = -1;
	engine = -1;
}

static void
teardown(void)
{
	if (broker >= 0)
		close(broker);
	fix_fini(&f);
}

/* Any port will do: nobody is to be heard. */
static int
socket_for(const struct host_request *q)
{
	struct endpoint at = { .ip = { .family = q->local.ip.family } };
	int fd;

	at.ip.b[0] = q->local.ip.family == AF_INET ? 127 : 0;
	at.ip.b[q->local.ip.family == AF_INET ? 3 : 15] = 1;
	fd = udp_open(&at, NULL, 0);
	return fd >= 0 ? fd : -EAFNOSUPPORT;		/* a host without IPv6 */
}

static void
answer(const struct host_request *q)
{
	struct host_answer a = { .id = q->id, .op = q->op, .fd = -1, .what = *q };
	int pair[2] = { -1, -1 };

	if (q->op == HOST_UDP_OPEN) {
		a.err = q->local.ip.family == AF_INET ? refuse_v4 : refuse_v6;
		a.fd = a.err == 0 ? socket_for(q) : -1;
		if (a.fd < 0 && a.err == 0) {
			a.err = a.fd;
			a.fd = -1;
		}
	} else if (q->op == HOST_TUN_OPEN) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
		a.fd = pair[0];
	}
	snprintf(a.text, sizeof(a.text), "%s", a.err != 0 ? "it is refused" : "");
	ck_assert_int_eq(host_send_answer(broker, &a), 0);
	if (a.fd >= 0)
		close(a.fd);
	/* pair[1] stays open: the device lives as long as this process */
}

/* Be the broker until a request has come, and was answered (false: the engine hung up). */
static bool
serve(const char *until)
{
	struct host_request q;

	for (;;) {
		struct pollfd p = { .fd = broker, .events = POLLIN };
		char line[120];
		int err;

		ck_assert_msg(poll(&p, 1, PATIENCE_MS) == 1, "\"%s\" did not come:\n%s", until, asked);
		err = host_recv_request(broker, &q);
		if (err == -EPIPE)
			return false;
		ck_assert_int_eq(err, 0);
		snprintf(line, sizeof(line), "%s %s%s%s\n", host_op_name(q.op), q.name,
		    q.unreachable ? "guard" : "",
		    q.op == HOST_ROUTE_ADD && q.prefix.ip.b[1] == 9 ? " 10.9" : "");
		ck_assert_uint_lt(strlen(asked) + strlen(line), sizeof(asked));
		strcat(asked, line);
		answer(&q);
		if (strncmp(line, until, strlen(until)) == 0)
			return true;
	}
}

/* The exit code, once it hangs up. */
static int
ends(void)
{
	int status;

	while (serve("nothing"))
		;
	ck_assert_int_eq(waitpid(engine, &status, 0), engine);
	ck_assert_msg(WIFEXITED(status), "signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

/* Sockets first, then the connections, and ready is said when all is asked for; at the end what was
 * made is undone before it exits, and its control socket is gone. */
START_TEST(it_starts_and_stops_in_order)
{
	const char *udp, *guard, *tun;

	start();
	ck_assert(serve("ready"));
	udp = strstr(asked, "udp-open");
	guard = strstr(asked, "route-add guard");
	tun = strstr(asked, "tun-open td-office");
	ck_assert_msg(udp == asked && guard != NULL && tun != NULL && guard < tun, "%s", asked);
	ck_assert_ptr_null(strstr(guard, "udp-open"));
	ck_assert_ptr_nonnull(strstr(tun, "route-add td-office"));
	ck_assert_int_eq(access(socket_path, F_OK), 0);
	asked[0] = '\0';
	ck_assert_int_eq(kill(engine, SIGTERM), 0);
	ck_assert_int_eq(ends(), 0);
	ck_assert_str_eq(asked, "stop \n");
	ck_assert_int_ne(access(socket_path, F_OK), 0);
}
END_TEST

static int
dial(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, socket_path, strlen(socket_path) + 1);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

/* Who asks while it starts waits, and is not told that there are no connections. */
START_TEST(it_answers_when_the_connections_are_there)
{
	static const char request[] = "{\"verb\": \"status\"}\n";
	char said[16384];
	struct pollfd p = { .events = POLLIN };
	ssize_t n;

	start();
	ck_assert(serve("udp-open"));
	p.fd = dial();
	ck_assert_int_eq(send(p.fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	ck_assert_int_eq(poll(&p, 1, 200), 0);
	ck_assert(serve("ready"));
	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	n = recv(p.fd, said, sizeof(said) - 1, 0);
	ck_assert_int_gt(n, 0);
	said[n] = '\0';
	ck_assert_msg(strstr(said, "\"office\"") != NULL, "%s", said);
	close(p.fd);
	ck_assert_int_eq(kill(engine, SIGTERM), 0);
	ck_assert_int_eq(ends(), 0);
}
END_TEST

/* Nothing is left waiting for a start that failed. */
START_TEST(who_waits_for_a_start_that_fails_is_let_go)
{
	ssize_t n;
	char byte;
	int fd;

	start();
	ck_assert(serve("udp-open"));
	fd = dial();
	refuse_v4 = refuse_v6 = -EADDRINUSE;
	ck_assert_int_eq(ends(), 1);
	n = recv(fd, &byte, 1, MSG_DONTWAIT);
	ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET), "%zd", n);
	close(fd);
}
END_TEST

START_TEST(both_signals_stop_it)
{
	start();
	ck_assert(serve("ready"));
	ck_assert_int_eq(kill(engine, SIGINT), 0);
	ck_assert_int_eq(ends(), 0);
}
END_TEST

/* A port that another has: it does not run half, and undoes what it has. */
START_TEST(a_taken_port_ends_it)
{
	refuse_v4 = -EADDRINUSE;
	start();
	ck_assert_int_eq(ends(), 1);
	ck_assert_ptr_null(strstr(asked, "tun-open"));
	ck_assert_ptr_null(strstr(asked, "ready"));
	ck_assert_ptr_nonnull(strstr(asked, "stop"));
}
END_TEST

START_TEST(a_host_may_be_without_a_family)
{
	refuse_v6 = -EAFNOSUPPORT;
	start();
	ck_assert(serve("ready"));
	ck_assert_ptr_nonnull(strstr(asked, "tun-open"));
	ck_assert_int_eq(kill(engine, SIGTERM), 0);
	ck_assert_int_eq(ends(), 0);
}
END_TEST

START_TEST(it_does_not_outlive_its_broker)
{
	int status;

	start();
	ck_assert(serve("ready"));
	close(broker);
	broker = -1;
	ck_assert_int_eq(waitpid(engine, &status, 0), engine);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}
END_TEST

START_TEST(a_hangup_reloads)
{
	static char more[sizeof(conf_text) + 40];
	const char *at = strstr(conf_text, "10.1.0.0/16");

	start();
	ck_assert(serve("ready"));
	asked[0] = '\0';
	config_is("colour: red\n");		/* a mistake: nothing happens */
	ck_assert_int_eq(kill(engine, SIGHUP), 0);
	usleep(20000);
	snprintf(more, sizeof(more), "%.*s10.1.0.0/16, 10.9.0.0/16%s", (int)(at - conf_text), conf_text,
	    at + strlen("10.1.0.0/16"));
	config_is(more);
	ck_assert_int_eq(kill(engine, SIGHUP), 0);
	ck_assert(serve("route-add td-office 10.9"));
	ck_assert_str_eq(asked, "route-add guard 10.9\nroute-add td-office 10.9\n");
	ck_assert_int_eq(kill(engine, SIGTERM), 0);
	ck_assert_int_eq(ends(), 0);
}
END_TEST

START_TEST(what_cannot_be_read_is_not_begun)
{
	config_is("colour: red\n");
	start();
	ck_assert_int_eq(ends(), 1);
	ck_assert_str_eq(asked, "");
	close(broker);
	config_is(conf_text);
	snprintf(socket_path, sizeof(socket_path), "/proc/nowhere/s");
	start();
	ck_assert_int_eq(ends(), 1);
	ck_assert_str_eq(asked, "");		/* somebody could not be asked about it: not begun */
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, it_starts_and_stops_in_order);
	tcase_add_test(t, it_answers_when_the_connections_are_there);
	tcase_add_test(t, who_waits_for_a_start_that_fails_is_let_go);
	tcase_add_test(t, both_signals_stop_it);
	tcase_add_test(t, a_taken_port_ends_it);
	tcase_add_test(t, a_host_may_be_without_a_family);
	tcase_add_test(t, it_does_not_outlive_its_broker);
	tcase_add_test(t, a_hangup_reloads);
	tcase_add_test(t, what_cannot_be_read_is_not_begun);
}

UNIT_MAIN("gateway/gateway", fill)
