/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_NETNS_BROKER_WORLD_H
#define TANDEM_NETNS_BROKER_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/broker.h"
#include "gateway/broker_claim.h"
#include "tun/netlink.h"
#include "tun/tun.h"
#include "tun/udp.h"

/*
 * The broker as it is, with a toy for an engine, each case in a network namespace of its own:
 *
 *     this test --orders--> toy engine --requests--> broker ---> kernel
 *               <-answers--            <--answers---
 *
 * The test kills the one or the other and then looks at the kernel itself.  Orders go over a
 * pair that every new toy inherits, so the test speaks to whichever engine is alive.
 *
 * One line a check; ends with "N passed, N failed, N skipped".
 */
#define PATIENCE_MS	5000

static struct {
	unsigned passed, failed, skipped;
} *score;				/* shared with the processes of the cases */

static bool check(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool
check(bool ok, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("%s %s\n", ok ? "ok  " : "FAIL", text);
	fflush(stdout);
	*(ok ? &score->passed : &score->failed) += 1;
	return ok;
}

/* ---- the toy ----------------------------------------------------------------------------- */

enum order_kind { ORDER_ASK, ORDER_EXIT, ORDER_GARBAGE, ORDER_DEAF, ORDER_EXEC };

struct order {
	enum order_kind kind;
	int code;
	struct host_request q;
};

struct hello {
	pid_t pid;
	int dumpable;
};

static volatile sig_atomic_t told;

static void
on_term(int sig)
{
	told = sig;
}

static int
answer_of(int sock, struct host_answer *a)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int err;

	while ((err = host_recv_answer(sock, a)) == -EAGAIN)
		(void)poll(&p, 1, PATIENCE_MS);
	return err;
}

static void
toy_ask(int sock, int orders, const struct host_request *q)
{
	struct host_answer a;

	if (host_send_request(sock, q) != 0)
		_exit(7);
	do {
		if (answer_of(sock, &a) != 0 || host_send_answer(orders, &a) != 0)
			_exit(8);
		if (a.fd >= 0)
			close(a.fd);
	} while (a.more);
}

/* Garbage and behind it a request that would be fine. */
static void
toy_garbage(int sock, const struct host_request *q)
{
	(void)send(sock, "garbage", 7, 0);
	if (q->op != 0)
		(void)host_send_request(sock, q);
}

static int
toy_stop(int sock)
{
	struct host_request q = { .op = HOST_STOP };
	struct host_answer a;

	return host_send_request(sock, &q) == 0 && answer_of(sock, &a) == 0 && a.err == 0 ? 0 : 6;
}

static int
toy(int sock, void *arg)
{
	int orders = *(int *)arg;
	struct sigaction act = { .sa_handler = on_term };
	struct hello hello = { getpid(), prctl(PR_GET_DUMPABLE) };
	struct pollfd p[2] = { { .fd = sock, .events = POLLIN }, { .fd = orders, .events = POLLIN } };
	struct order o;
	ssize_t n = 0;

	sigaction(SIGTERM, &act, NULL);
	if (send(orders, &hello, sizeof(hello), 0) < 0)
		return 5;
	for (;;) {
		if (told == SIGTERM)
			return toy_stop(sock);
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents != 0)
			return 9;		/* nothing is asked, so this is the end of the broker */
		if (p[1].revents != 0 && (n = recv(orders, &o, sizeof(o), MSG_DONTWAIT)) == 0)
			return 10;		/* the test is gone */
		if (p[1].revents == 0 || n != sizeof(o))
			continue;
		if (o.kind == ORDER_EXIT)
			return o.code;
		if (o.kind == ORDER_GARBAGE)
			toy_garbage(sock, &o.q);
		else if (o.kind == ORDER_EXEC)
			(void)!system("cat /proc/self/status >/proc/self/fd/2");
		else if (o.kind == ORDER_DEAF)
			signal(SIGTERM, SIG_IGN);
		else
			toy_ask(sock, orders, &o.q);
	}
}

/* ---- a world with a broker in it --------------------------------------------------------- */

struct world {
	int orders[2];			/* ours, the toy's */
	pid_t broker;
	struct hello engine;
	struct nl *nl;
	char dir[64], lock[80], log[80];
};

static int
ms_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int)((now.tv_sec - t->tv_sec) * 1000 + (now.tv_nsec - t->tv_nsec) / 1000000);
}

static void
nap(unsigned ms)
{
	(void)poll(NULL, 0, (int)ms);
}

/* The next engine says hello within `ms`. */
static bool
wait_hello(struct world *w, int ms)
{
	struct pollfd p = { .fd = w->orders[0], .events = POLLIN };

	return poll(&p, 1, ms) == 1 &&
	    recv(w->orders[0], &w->engine, sizeof(w->engine), 0) == sizeof(w->engine);
}

static void
start_broker(struct world *w)
{
	struct broker_conf conf = {
		.engine = toy, .arg = &w->orders[1], .port = { 501, 4500 }, .state_dir = w->dir, .lock = w->lock,
	};
	int log;

	fflush(NULL);
	if ((w->broker = fork()) != 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);	/* a case that breaks off leaves nothing behind */
	log = open(w->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(log, 2);
	close(log);
	close(w->orders[0]);
	nl_close(w->nl);
	_exit(broker_run(&conf));
}

/* Does the log of the broker say it? */
static bool
log_says(const struct world *w, const char *what)
{
	static char text[65536];
	int fd = open(w->log, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, what) != NULL;
}

static void
world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	strcpy(w->dir, "/tmp/tdtun-XXXXXX");
	if (mkdtemp(w->dir) == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, w->orders) != 0 ||
	    (w->nl = nl_open()) == NULL)
		exit(99);
	snprintf(w->lock, sizeof(w->lock), "%s/lock", w->dir);
	snprintf(w->log, sizeof(w->log), "%s/log", w->dir);
	start_broker(w);
	if (!check(wait_hello(w, PATIENCE_MS), "the engine starts"))
		exit(99);
}

/* The exit code of the broker, or -1 when it does not end within `ms`. */
static int
wait_broker(struct world *w, int ms)
{
	struct timespec t;
	int status;

	clock_gettime(CLOCK_MONOTONIC, &t);
	while (waitpid(w->broker, &status, WNOHANG) == 0) {
		if (ms_since(&t) > ms)
			return -1;
		nap(5);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void
world_fini(struct world *w)
{
	char cmd[128];

	if (w->broker > 0 && kill(w->broker, 0) == 0) {
		(void)kill(w->broker, SIGTERM);
		if (wait_broker(w, 12000) < 0)
			(void)kill(w->broker, SIGKILL);
	}
	if (getenv("KEEP_LOG") != NULL) {
		snprintf(cmd, sizeof(cmd), "cat %s", w->log);
		(void)!system(cmd);
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
	(void)!system(cmd);
}

static void
order(struct world *w, enum order_kind kind, int code)
{
	struct order o = { .kind = kind, .code = code };

	(void)send(w->orders[0], &o, sizeof(o), MSG_NOSIGNAL);
}

static struct host_answer
ask(struct world *w, const struct host_request *q)
{
	struct order o = { .kind = ORDER_ASK, .q = *q };
	struct pollfd p = { .fd = w->orders[0], .events = POLLIN };
	struct host_answer a = { .err = -ETIMEDOUT, .fd = -1 };

	if (send(w->orders[0], &o, sizeof(o), MSG_NOSIGNAL) < 0 || poll(&p, 1, PATIENCE_MS) != 1 ||
	    host_recv_answer(w->orders[0], &a) != 0)
		a = (struct host_answer){ .err = -ETIMEDOUT, .fd = -1 };
	return a;
}

static struct host_request
request(enum host_op op, const char *name, const char *prefix)
{
	struct host_request q = { .op = op };
	const char *slash = strchr(prefix, '/');
	char text[64] = "";

	strncpy(q.name, name, sizeof(q.name) - 1);
	if (slash != NULL) {
		memcpy(text, prefix, (size_t)(slash - prefix));
		(void)ip_parse(text, &q.prefix.ip);
		q.prefix.len = (uint8_t)atoi(slash + 1);
	}
	return q;
}

static int
simple(struct world *w, enum host_op op, const char *name, const char *prefix)
{
	struct host_request q = request(op, name, prefix);
	struct host_answer a;

	q.up = true;
	q.mtu = op == HOST_LINK_SET ? 1400 : 0;
	q.metric = 0;
	a = ask(w, &q);
	if (a.fd >= 0)
		close(a.fd);
	return a.err;
}

static struct host_answer
guard(struct world *w, enum host_op op, const char *prefix, bool keep)
{
	struct host_request q = request(op, "", prefix);

	q.unreachable = true;
	q.keep_guards = keep;
	return ask(w, &q);
}

static struct host_answer
udp(struct world *w, uint8_t family, uint16_t port)
{
	struct host_request q = { .op = HOST_UDP_OPEN, .local = { .ip.family = family, .port = port } };

	return ask(w, &q);
}

static int
sysctl_set(struct world *w, enum host_sysctl which, const char *name, int value)
{
	struct host_request q = request(HOST_SYSCTL_SET, name, "");

	q.sysctl = which;
	q.value = value;
	return ask(w, &q).err;
}

/* How many objects of a kind the broker lists; the last of them goes to *what. */
static unsigned
list(struct world *w, enum host_op op, struct host_request *what)
{
	struct host_request q = { .op = HOST_LIST };
	struct host_answer a = ask(w, &q);
	unsigned n = 0;

	while (a.err == 0 && a.more) {
		if (a.what.op == op) {
			n++;
			*what = a.what;
		}
		if (host_recv_answer(w->orders[0], &a) != 0)
			return 0;
	}
	return a.err == 0 && a.what.op == 0 ? n : 0;
}

/* ---- what the kernel says ---------------------------------------------------------------- */

/* Routes of ours in the kernel: unreachable ones, or those over a device. */
static unsigned
routes(struct world *w, bool unreachable)
{
	struct nl_route r[64];
	int n = nl_route_list(w->nl, HOST_ROUTE_PROTO, r, 64);
	unsigned count = 0;

	for (int i = 0; i < n && i < 64; i++)
		count += r[i].unreachable == unreachable;
	return count;
}

static int
way(struct world *w, const char *to, char *device)
{
	struct ip ip, none = { .family = AF_UNSPEC };
	struct nl_way found;
	int err;

	(void)ip_parse(to, &ip);
	err = nl_way(w->nl, &ip, &none, &found);
	memcpy(device, found.device, IFNAMSIZ);
	return err;
}

static bool
leads_to(struct world *w, const char *to, const char *device)
{
	char got[IFNAMSIZ];

	return way(w, to, got) == 0 && strcmp(got, device) == 0;
}

static bool
is_guarded(struct world *w, const char *to)
{
	char got[IFNAMSIZ];

	return way(w, to, got) == -EHOSTUNREACH;
}

static int
sysctl_of(enum host_sysctl which, const char *name)
{
	int value = -1;

	(void)sysctl_read(which, name, &value);
	return value;
}

/* A way out for all that is not guarded: the uplink that clear text would take. */
static void
make_uplink(struct world *w)
{
	struct nl_route r = { .device = "up0", .protocol = 4 };
	struct prefix p = { .len = 24 };
	int fd = tun_open("up0", 0);

	(void)fcntl(fd, F_SETFD, 0);
	(void)nl_link_set(w->nl, "up0", true, 1500);
	(void)ip_parse("192.0.2.1", &p.ip);
	(void)nl_addr(w->nl, true, "up0", &p, NULL);
	(void)ip_parse("2001:db8::1", &p.ip);
	p.len = 64;
	(void)nl_addr(w->nl, true, "up0", &p, NULL);
	r.to.ip.family = AF_INET;
	(void)nl_route(w->nl, true, &r);
	r.to.ip.family = AF_INET6;
	(void)nl_route(w->nl, true, &r);
}

/* What a connection makes: a device with addresses, routes and guards of both families. */
static bool
make_connection(struct world *w)
{
	return simple(w, HOST_TUN_OPEN, "td0", "") == 0 && guard(w, HOST_ROUTE_ADD, "10.1.0.0/16", false).err == 0 &&
	    guard(w, HOST_ROUTE_ADD, "fd01::/48", false).err == 0 &&
	    simple(w, HOST_LINK_SET, "td0", "") == 0 &&
	    simple(w, HOST_ADDR_ADD, "td0", "169.254.80.146/30") == 0 &&
	    simple(w, HOST_ADDR_ADD, "td0", "fd80::2/126") == 0 &&
	    simple(w, HOST_ROUTE_ADD, "td0", "10.1.0.0/16") == 0 &&
	    simple(w, HOST_ROUTE_ADD, "td0", "fd01::/48") == 0;
}

#endif
