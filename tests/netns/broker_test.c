/* SPDX-License-Identifier: MIT */
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

/* ---- cases ------------------------------------------------------------------------------- */

static void
engine_killed(struct world *w)
{
	struct host_request what, tun = request(HOST_TUN_OPEN, "td0", "");
	struct host_answer a;
	unsigned index;
	pid_t old;

	check(make_connection(w), "device, addresses, routes and guards are made");
	a = udp(w, AF_INET, 500);
	check(a.err == 0 && a.fd >= 0, "port 500 opens and its descriptor arrives");
	close(a.fd);
	check(simple(w, HOST_READY, "", "") == 0, "ready");
	index = if_nametoindex("td0");
	check(leads_to(w, "10.1.2.3", "td0") && leads_to(w, "fd01::3", "td0"), "routes lead to the device");
	check(sysctl_of(HOST_SYSCTL_RP_FILTER, "td0") == 2, "reverse-path filter of the device is loose");

	old = w->engine.pid;
	(void)kill(old, SIGKILL);
	check(wait_hello(w, 1000) && w->engine.pid != old, "kill -9 of the engine: a new one within a second");
	check(if_nametoindex("td0") == index && index != 0, "the same device is still there");
	check(leads_to(w, "10.1.2.3", "td0") && leads_to(w, "fd01::3", "td0"), "its routes too");
	check(routes(w, true) == 2, "the guards too");
	check(list(w, HOST_TUN_OPEN, &what) == 1 && strcmp(what.name, "td0") == 0 && what.up &&
	    what.mtu == 1400, "the list has the device, up, with its MTU");
	check(list(w, HOST_ROUTE_ADD, &what) == 4, "the list has routes and guards");
	check(list(w, HOST_ADDR_ADD, &what) == 2 && list(w, HOST_UDP_OPEN, &what) == 1,
	    "the list has addresses and the socket");
	a = ask(w, &tun);
	check(a.err == 0 && a.existed && a.fd >= 0 && a.ifindex == index, "the device is handed over");
	close(a.fd);
	a = udp(w, AF_INET, 500);
	check(a.err == 0 && a.existed && a.fd >= 0, "the socket is handed over");
	close(a.fd);
	a = guard(w, HOST_ROUTE_ADD, "10.1.0.0/16", false);
	check(a.err == 0 && a.existed, "a guard that is asked for again was there");
	check(simple(w, HOST_READY, "", "") == 0 && routes(w, true) == 1 && routes(w, false) == 0,
	    "when the new engine is ready, what it did not ask for is gone");
	check(if_nametoindex("td0") == index && is_guarded(w, "10.1.2.3"), "what it asked for stays");
	check(leads_to(w, "fd01::3", "up0"), "the prefix without a guard is free again");

	(void)kill(w->broker, SIGTERM);
	check(wait_broker(w, 3000) == 0, "clean stop: exit code 0");
	check(if_nametoindex("td0") == 0 && routes(w, true) == 0, "clean stop: nothing is left");
}

static struct host_answer
slot(struct world *w, enum host_op op, unsigned slots, unsigned number)
{
	struct host_request q = { .op = op, .slots = slots, .slot = number };
	struct host_answer a;

	if (op == HOST_TUN_OPEN)
		memcpy(q.name, "td9", 4);
	else
		q.local = (struct endpoint){ .ip.family = AF_INET, .port = 4500 };
	a = ask(w, &q);
	if (a.fd >= 0)
		close(a.fd);
	return a;
}

/* Sockets that share a place and queues of a device: in order, kept, made anew as a whole. */
static void
sets(struct world *w)
{
	static const enum host_op op[2] = { HOST_UDP_OPEN, HOST_TUN_OPEN };
	struct host_request what;
	unsigned index, k;

	for (int i = 0; i < 2; i++) {
		check(slot(w, op[i], 3, 1).err != 0, "%s: not before the first", host_op_name(op[i]));
		for (k = 0; k < 3 && slot(w, op[i], 3, k).err == 0; k++)
			;
		check(k == 3 && list(w, op[i], &what) == 3, "three, in order");
		check(slot(w, op[i], 3, 2).existed, "one that is there is handed over");
		check(slot(w, op[i], 4, 3).err != 0, "none joins a set of another size");
	}
	index = if_nametoindex("td9");
	check(slot(w, HOST_TUN_OPEN, 2, 0).err == 0 && if_nametoindex("td9") != index &&
	    list(w, HOST_TUN_OPEN, &what) == 1, "with other queues it is another device");
	check(slot(w, HOST_UDP_OPEN, 2, 0).err == 0 && list(w, HOST_UDP_OPEN, &what) == 1 &&
	    slot(w, HOST_UDP_OPEN, 2, 1).err == 0, "another set is made anew, as a whole");
	check(slot(w, HOST_UDP_OPEN, 0, 0).err == 0 && list(w, HOST_UDP_OPEN, &what) == 1,
	    "and so is a socket of its own");
	check(slot(w, HOST_UDP_CLOSE, 0, 0).err == 0 && list(w, HOST_UDP_OPEN, &what) == 0 &&
	    slot(w, HOST_UDP_CLOSE, 0, 0).err == -ENOENT, "all of it closes");
}

/* An engine that dies again and again is started less and less often. */
static void
engine_keeps_dying(struct world *w)
{
	const struct order garbage = { .kind = ORDER_GARBAGE, .q = request(HOST_TUN_OPEN, "td9", "") };
	struct timespec t;
	int gap[3];

	check(simple(w, HOST_READY, "", "") == 0, "ready");
	for (unsigned i = 0; i < 3; i++) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		order(w, ORDER_EXIT, 3);
		if (!wait_hello(w, PATIENCE_MS))
			break;
		gap[i] = ms_since(&t);
	}
	check(gap[0] >= 90 && gap[0] < 200 && gap[1] >= 190 && gap[1] < 390 && gap[2] >= 390,
	    "back-off doubles: %d, %d, %d ms", gap[0], gap[1], gap[2]);
	check(log_says(w, "engine-died how=\"exit code 3\""), "the log says how it died");
	(void)kill(w->broker, SIGSTOP);		/* until garbage and request are both there */
	(void)send(w->orders[0], &garbage, sizeof(garbage), 0);
	nap(200);
	(void)kill(w->broker, SIGCONT);
	check(wait_hello(w, PATIENCE_MS) && log_says(w, "a malformed request"),
	    "an engine that sends garbage is killed and replaced");
	check(if_nametoindex("td9") == 0, "what it asked for behind that is not done");
	order(w, ORDER_DEAF, 0);
	nap(50);
	(void)kill(w->broker, SIGTERM);
	nap(50);
	(void)kill(w->broker, SIGTERM);
	check(wait_broker(w, 3000) == 1, "a deaf engine is killed at the second request to stop");
}

static void
fails_before_ready(struct world *w)
{
	check(guard(w, HOST_ROUTE_ADD, "10.1.0.0/16", false).err == 0 &&
	    simple(w, HOST_TUN_OPEN, "td0", "") == 0, "a guard and a device are made");
	order(w, ORDER_EXIT, 4);
	check(wait_broker(w, 3000) == 4, "an engine that ends before it was ready ends the broker, same code");
	check(if_nametoindex("td0") == 0, "its device is gone");
	check(is_guarded(w, "10.1.2.3"), "its guard is not: nobody stopped cleanly");
}

static void
make_foreign(struct world *w)
{
	struct nl_route r = { .metric = 5, .protocol = 99, .unreachable = true };
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);

	(void)prefix_parse("10.2.0.0/16", true, &r.to);
	(void)nl_route(w->nl, true, &r);
	(void)prefix_parse("10.3.0.0/16", true, &r.to);
	r.protocol = HOST_ROUTE_PROTO;		/* our number, but not made as we make them */
	(void)nl_route(w->nl, true, &r);
	strcpy(ifr.ifr_name, "theirs");
	(void)ioctl(fd, TUNSETIFF, &ifr);
	(void)ioctl(fd, TUNSETPERSIST, 1);
	close(fd);
}

static bool
foreign_is_there(struct world *w)
{
	return is_guarded(w, "10.2.2.3") && is_guarded(w, "10.3.2.3") && if_nametoindex("theirs") != 0;
}

static void
broker_killed(struct world *w)
{
	struct host_request what;
	struct timespec t;
	char device[IFNAMSIZ];

	make_foreign(w);
	check(make_connection(w), "device, addresses, routes and guards are made");
	check(sysctl_set(w, HOST_SYSCTL_FORWARD4, "", 1) == 0 && sysctl_of(HOST_SYSCTL_FORWARD4, "") == 1,
	    "forwarding is turned on");
	check(sysctl_set(w, HOST_SYSCTL_RP_FILTER, "up0", 2) == 0 && sysctl_of(HOST_SYSCTL_RP_FILTER, "up0") == 2,
	    "reverse-path filter of the uplink is loose");
	check(simple(w, HOST_READY, "", "") == 0, "ready");
	(void)kill(w->engine.pid, SIGSTOP);	/* it hangs: it will not see that the pair is closed */
	clock_gettime(CLOCK_MONOTONIC, &t);
	(void)kill(w->broker, SIGKILL);
	(void)wait_broker(w, 1000);
	while (waitpid(w->engine.pid, NULL, WNOHANG) == 0 && ms_since(&t) < 3000)
		nap(2);				/* it is ours to reap: see run_case() */
	check(ms_since(&t) < 1000, "kill -9 of the broker: the engine ends within a second (%d ms)",
	    ms_since(&t));
	while (if_nametoindex("td0") != 0 && ms_since(&t) < 3000)
		nap(2);
	check(if_nametoindex("td0") == 0 && routes(w, false) == 0, "device and its routes are gone (%d ms)",
	    ms_since(&t));
	check(is_guarded(w, "10.1.2.3") && is_guarded(w, "fd01::3"), "the guards stay, both families");

	start_broker(w);
	check(wait_hello(w, PATIENCE_MS), "a new daemon starts");
	check(list(w, HOST_ROUTE_ADD, &what) == 2, "it knows the guards of the one before");
	check(is_guarded(w, "10.1.2.3") && is_guarded(w, "fd01::3"), "they stay while its engine negotiates");
	check(guard(w, HOST_ROUTE_ADD, "10.1.0.0/16", false).existed, "the engine asks for one of them");
	check(sysctl_of(HOST_SYSCTL_FORWARD4, "") == 1, "sysctls stay till then, too");
	check(sysctl_set(w, HOST_SYSCTL_RP_FILTER, "up0", 2) == 0, "the engine asks for one of them");
	check(simple(w, HOST_READY, "", "") == 0, "ready");
	check(is_guarded(w, "10.1.2.3") && way(w, "fd01::3", device) == 0, "the other guard is gone");
	check(sysctl_of(HOST_SYSCTL_FORWARD4, "") == 0, "forwarding is as it was before the crash");
	check(sysctl_of(HOST_SYSCTL_RP_FILTER, "up0") == 2, "the uplink's filter stays loose");
	check(foreign_is_there(w), "foreign routes and a foreign TUN device were not touched");
	(void)kill(w->broker, SIGTERM);
	check(wait_broker(w, 3000) == 0, "clean stop: exit code 0");
	check(sysctl_of(HOST_SYSCTL_RP_FILTER, "up0") == 0, "clean stop: the uplink's filter is as it was");
	check(!is_guarded(w, "10.1.2.3") && foreign_is_there(w), "clean stop: guards go, foreign things stay");
}

#define MANY	150			/* devices: a list of several buffers */

/* Until it is killed: somebody's device comes and goes. */
static pid_t
churn_links(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		close(tun_open("theirs", 0));
		nap(1);
	}
}

/* What a daemon was until it is killed: it holds many devices, which go one by one. */
static pid_t
hold_many(void)
{
	char name[IFNAMSIZ];
	int ready[2];
	pid_t pid;

	if (pipe(ready) != 0 || (pid = fork()) < 0)
		return -1;
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < MANY; i++) {
			snprintf(name, sizeof(name), "td%d", i);
			(void)tun_open(name, HOST_LINK_GROUP);
		}
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	(void)!read(ready[0], name, 1);
	close(ready[0]);
	return pid;
}

/* The devices of a daemon that was killed go one by one while links of others come and go. */
static void
many_killed(struct world *w)
{
	char name[IFNAMSIZ];
	unsigned made = 0;
	pid_t old, other;

	(void)kill(w->broker, SIGTERM);
	(void)wait_broker(w, 3000);
	old = hold_many();
	other = churn_links();
	check(if_nametoindex("td149") != 0, "%d devices of a daemon before us", MANY);
	(void)kill(old, SIGKILL);
	start_broker(w);
	if (check(wait_hello(w, 4 * PATIENCE_MS), "it is killed: the next start waits")) {
		for (int i = 0; i < MANY; i++) {
			snprintf(name, sizeof(name), "td%d", i);
			made += simple(w, HOST_TUN_OPEN, name, "") == 0;
		}
	}
	check(made == MANY, "and gets every one of the names (%u)", made);
	(void)kill(other, SIGKILL);
	(void)waitpid(other, NULL, 0);
}

static void
clean_stop(struct world *w)
{
	char name[IFNAMSIZ];
	struct timespec t;
	int made = 0, code;

	check(make_connection(w), "device, addresses, routes and guards are made");
	check(guard(w, HOST_ROUTE_ADD, "10.7.0.0/16", true).err == 0, "a guard that is to stay always");
	check(sysctl_set(w, HOST_SYSCTL_FORWARD4, "", 1) == 0, "forwarding is turned on");
	for (int i = 1; i < 60; i++) {
		snprintf(name, sizeof(name), "td%d", i);
		made += simple(w, HOST_TUN_OPEN, name, "") == 0;
	}
	check(made == 59, "59 more devices");
	clock_gettime(CLOCK_MONOTONIC, &t);
	(void)kill(w->broker, SIGTERM);
	code = wait_broker(w, 5000);
	check(code == 0, "SIGTERM: exit code 0 (%d ms with 60 devices)", ms_since(&t));
	check(if_nametoindex("td0") == 0 && if_nametoindex("td59") == 0, "no device is left");
	check(routes(w, false) == 0 && routes(w, true) == 1 && is_guarded(w, "10.7.1.1"),
	    "no route is left but the guard that stays always");
	check(sysctl_of(HOST_SYSCTL_FORWARD4, "") == 0, "forwarding is off again");
	check(log_says(w, "undone objects=67 guards_kept=1") && !log_says(w, "no longer asked for"),
	    "and the log says why");
}

static int
cpu_ms(pid_t pid)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return -1;
	return (int)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

static void
only_one(struct world *w)
{
	struct rlimit files;
	struct world other = *w;
	bool refused = true;
	char who[80];
	int used;

	snprintf(other.dir, sizeof(other.dir), "%.50s/2", w->dir);
	snprintf(other.lock, sizeof(other.lock), "%.60s/lock2", w->dir);
	snprintf(other.log, sizeof(other.log), "%.60s/log2", w->dir);
	snprintf(who, sizeof(who), "another Tandem runs in this network namespace already (process %d)",
	    (int)w->broker);
	for (int i = 0; i < 150 && refused; i++) {
		(void)unlink(other.log);
		start_broker(&other);
		refused = wait_broker(&other, 3000) == 1 && log_says(&other, who);
	}
	check(refused, "a second start in the namespace is refused each time, and says by which process");
	(void)prlimit(w->broker, RLIMIT_NOFILE, &(struct rlimit){ 3, 4096 }, &files);
	used = cpu_ms(w->broker);
	start_broker(&other);
	refused = wait_broker(&other, 3000) == 1;
	nap(500);
	used = cpu_ms(w->broker) - used;
	check(refused && used < 50, "also by one without a free descriptor, which then rests (%d ms of "
	    "processor time)", used);
	(void)prlimit(w->broker, RLIMIT_NOFILE, &files, NULL);
	if (unshare(CLONE_NEWNET) != 0)
		return;
	memcpy(other.lock, w->lock, sizeof(other.lock));
	start_broker(&other);
	check(wait_broker(&other, 3000) == 1 && log_says(&other, "two instances need two state directories"),
	    "in another namespace with the same lock file too");
	snprintf(other.dir, sizeof(other.dir), "%.50s/3/4", w->dir);
	snprintf(other.lock, sizeof(other.lock), "%.60s/lock", other.dir);
	start_broker(&other);
	check(wait_hello(&other, PATIENCE_MS), "in another namespace with its own, made on the way, it starts");
	(void)kill(other.broker, SIGTERM);
	check(wait_broker(&other, 3000) == 0, "and stops");
	other.broker = 0;
}

enum squat { SQUAT_BOUND, SQUAT_LISTENS, SQUAT_FULL };

/* Somebody without privileges who has our name. */
static pid_t
squat(enum squat how)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "\0tandem-broker" };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1 + strlen("tandem-broker");
	int fd, ready[2];
	pid_t pid;
	char c;

	if (pipe(ready) != 0 || (pid = fork()) < 0)
		return -1;
	if (pid == 0) {
		if (setresuid(65534, 65534, 65534) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
		    (fd = socket(AF_UNIX, SOCK_STREAM, 0)) < 0 ||
		    bind(fd, (const struct sockaddr *)&at, len) != 0 || (how != SQUAT_BOUND && listen(fd, 0) != 0) ||
		    (how == SQUAT_FULL && connect(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr *)&at,
		    len) != 0) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	c = read(ready[0], &c, 1) == 1 ? c : '\0';
	close(ready[0]);
	return c == 'x' ? pid : -1;
}

/* Any user may take the name; none keeps us from starting. */
static void
squatted(struct world *w)
{
	static const char *const how[] = { "does not listen", "listens", "lets its queue fill" };
	struct timespec t;
	bool started;
	pid_t pid;

	for (int i = SQUAT_BOUND; i <= SQUAT_FULL; i++) {
		(void)kill(w->broker, SIGTERM);
		(void)wait_broker(w, 3000);
		(void)unlink(w->log);
		pid = squat((enum squat)i);
		clock_gettime(CLOCK_MONOTONIC, &t);
		start_broker(w);
		started = pid > 0 && wait_hello(w, PATIENCE_MS) && log_says(w, "claim-squatted");
		check(started, "a user has our name and %s: we start all the same (%d ms)", how[i], ms_since(&t));
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
}

static void
refusals(struct world *w)
{
	struct endpoint taken = { .ip.family = AF_INET, .port = 4500 };
	struct nl_route r = { .metric = HOST_GUARD_METRIC, .protocol = 99, .unreachable = true };
	struct host_answer a;
	int fd = udp_open(&taken, NULL, 0);

	make_foreign(w);
	a = udp(w, AF_INET, 4500);
	check(a.err == -EADDRINUSE && strstr(a.text, "4500 is taken") != NULL, "a taken port: \"%s\"", a.text);
	check(a.what.op == HOST_UDP_OPEN && a.what.local.port == 4500, "the answer repeats the request");
	a = udp(w, AF_INET6, 4500);
	check(a.err == 0 && a.fd >= 0, "the same port of the other family is free");
	close(a.fd);
	close(fd);
	a = udp(w, AF_INET, 53);
	check(a.err == -EPERM && strstr(a.text, "not configured") != NULL, "somebody else's port: \"%s\"", a.text);
	a = udp(w, AF_INET, 501);
	check(a.err == 0 && a.fd >= 0, "a configured one may be low");
	close(a.fd);
	a = udp(w, AF_INET, 5353);
	check(a.err == 0 && a.fd >= 0, "a high one is everybody's");
	close(a.fd);
	check(simple(w, HOST_TUN_OPEN, "theirs", "") == -EBUSY, "a foreign device is not taken over");
	check(simple(w, HOST_TUN_CLOSE, "theirs", "") == -ENOENT, "nor closed");
	check(simple(w, HOST_LINK_SET, "up0", "") == -ENODEV, "nor set");
	check(simple(w, HOST_ADDR_ADD, "up0", "10.0.0.1/24") == -ENODEV, "no address on a foreign device");
	check(simple(w, HOST_ROUTE_ADD, "up0", "10.9.0.0/16") == -ENODEV, "no route over a foreign device");
	check(guard(w, HOST_ROUTE_ADD, "0.0.0.0/0", false).err == -EINVAL, "no guard for a default route");
	(void)prefix_parse("10.4.0.0/16", true, &r.to);
	(void)nl_route(w->nl, true, &r);
	a = guard(w, HOST_ROUTE_ADD, "10.4.0.0/16", false);
	check(a.err == -EEXIST && a.text[0] != '\0', "a foreign route in a guard's place: \"%s\"", a.text);
	check(guard(w, HOST_ROUTE_DEL, "10.4.0.0/16", false).err == -ENOENT && is_guarded(w, "10.4.1.1"),
	    "and it is not deleted");
	check(sysctl_set(w, HOST_SYSCTL_FORWARD4, "", 0) == -EINVAL, "forwarding is never turned off");
	check(sysctl_set(w, HOST_SYSCTL_RP_FILTER, "all", 2) == -EINVAL, "the filter of all is left alone");
	check(sysctl_set(w, HOST_SYSCTL_LINKDOWN, "up0", 1) == -ENODEV, "link-down rule: our devices only");
	check(simple(w, HOST_TUN_OPEN, "td0", "") == 0 && sysctl_set(w, HOST_SYSCTL_LINKDOWN, "td0", 1) == 0,
	    "and there it is set");
	(void)nl_link_del(w->nl, if_nametoindex("td0"));
	check(simple(w, HOST_TUN_OPEN, "td0", "") == 0 && if_nametoindex("td0") != 0,
	    "a device that somebody deleted is made anew");
	check(simple(w, HOST_TUN_CLOSE, "td0", "") == 0 && if_nametoindex("td0") == 0, "a device is closed");
	check(simple(w, HOST_READY, "", "") == 0 && foreign_is_there(w), "foreign things are untouched");
}

static bool
addressed(struct world *w, const char *text)
{
	struct ip ip;

	return ip_parse(text, &ip) && nl_has_address(w->nl, &ip, NULL);
}

/* A device is ours by its descriptor: its name may be another's by now. */
static void
renamed(struct world *w)
{
	unsigned old, theirs;
	struct nl_link link;
	int status;

	check(make_connection(w), "device, addresses, routes and guards are made");
	old = if_nametoindex("td0");
	status = system("ip link set td0 down && ip link set td0 name td0-old && "
	    "ip link add td0 type veth peer name td0-peer && ip link set td0 up mtu 1300 && "
	    "ip addr add 169.254.80.146/30 dev td0");
	theirs = if_nametoindex("td0");
	check(status == 0 && theirs != 0 && theirs != old, "it is renamed, and a foreign device has its name");
	check(simple(w, HOST_LINK_SET, "td0", "") == -ENODEV, "the foreign device is not set");
	check(simple(w, HOST_ADDR_ADD, "td0", "10.8.8.1/24") == -ENODEV && !addressed(w, "10.8.8.1"),
	    "nor given an address");
	check(simple(w, HOST_ROUTE_ADD, "td0", "10.8.0.0/16") == -ENODEV && leads_to(w, "10.8.1.1", "up0"),
	    "nor a route");
	check(simple(w, HOST_TUN_OPEN, "td0", "") == -EBUSY && if_nametoindex("td0-old") == 0,
	    "asked for again: the name is taken, and what was ours is gone");
	check(simple(w, HOST_TUN_CLOSE, "td0", "") == -ENOENT, "the foreign device is not closed");
	check(simple(w, HOST_READY, "", "") == 0 && addressed(w, "169.254.80.146") &&
	    nl_link_get(w->nl, "td0", &link) == 0 && link.ifindex == theirs && link.mtu == 1300,
	    "nor changed when the rest is swept");
	(void)nl_link_del(w->nl, theirs);
	check(make_connection(w) && leads_to(w, "10.1.2.3", "td0"), "with the name free all is made anew");
}

/* Packets and datagrams by descriptors that the broker passed. */
static void
traffic(struct world *w)
{
	struct host_request tun = request(HOST_TUN_OPEN, "td0", "");
	struct host_answer a, four, six;
	struct endpoint v4 = { .port = 4500 }, v6 = { .port = 4500 };
	struct tun_port port;
	struct batch b;

	(void)nl_link_set(w->nl, "lo", true, 0);
	check(make_connection(w), "device, addresses, routes and guards are made");
	a = ask(w, &tun);
	four = udp(w, AF_INET, 4500);
	six = udp(w, AF_INET6, 4500);
	(void)ip_parse("10.1.2.3", &v4.ip);
	(void)ip_parse("fd01::3", &v6.ip);
	if (!check(a.fd >= 0 && four.fd >= 0 && six.fd >= 0 && batch_init(&b, 8, 2048), "descriptors arrive"))
		return;
	check(udp_send_one(four.fd, &(struct endpoint){ 0 }, &v4, "x", 1) == 0 &&
	    udp_send_one(six.fd, &(struct endpoint){ 0 }, &v6, "x", 1) == 0, "a datagram into the tunnel, each family");
	tun_port_init(&port, a.fd);
	check(tun_read(&port, 0, &b) == 2 && b.pkt[0].len == 29 && b.pkt[1].len == 49, "comes out of the device");
	(void)simple(w, HOST_READY, "", "");
	(void)kill(w->engine.pid, SIGKILL);
	close(a.fd);			/* now only the broker holds the device */
	check(udp_send_one(four.fd, &(struct endpoint){ 0 }, &v4, "y", 1) == 0, "without an engine");
	check(wait_hello(w, 1000), "a new engine");
	a = ask(w, &tun);
	batch_reset(&b);
	tun_port_init(&port, a.fd);
	check(a.fd >= 0 && tun_read(&port, 0, &b) == 1 && pkt_data(&b.pkt[0])[28] == 'y',
	    "what came meanwhile has waited in the device, not left in clear text");
	batch_fini(&b);
	close(a.fd);
	close(four.fd);
	close(six.fd);
}

static uint64_t
caps_of(pid_t pid, const char *set)
{
	char path[64], line[128];
	unsigned long long value = ~0ULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if ((f = fopen(path, "r")) == NULL)
		return value;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, set, strlen(set)) == 0)
			value = strtoull(line + strlen(set) + 1, NULL, strcmp(set, "NoNewPrivs") == 0 ? 10 : 16);
	}
	fclose(f);
	return value;
}

static void
privileges(struct world *w)
{
	const uint64_t admin = CLAIM_CAP_BIT(12), bind_port = CLAIM_CAP_BIT(10), search = CLAIM_CAP_BIT(2);

	check(caps_of(w->broker, "CapEff") == (admin | bind_port), "the broker works with two capabilities");
	check(caps_of(w->broker, "CapPrm") == (admin | bind_port | search) &&
	    caps_of(w->broker, "CapBnd") == (admin | bind_port | search), "and can have one more, to give away");
	check(caps_of(w->engine.pid, "CapEff") == search && caps_of(w->engine.pid, "CapPrm") == search,
	    "the engine has that one");
	order(w, ORDER_EXEC, 0);
	check(simple(w, HOST_READY, "", "") == 0 && log_says(w, "CapEff:\t0000000000000004\n") &&
	    log_says(w, "CapPrm:\t0000000000000004\n"), "a program that it runs has no more");
	check(caps_of(w->engine.pid, "NoNewPrivs") == 1 && caps_of(w->broker, "NoNewPrivs") == 1,
	    "neither can gain more");
	check(w->engine.dumpable == 0, "the engine leaves no core");
	check(simple(w, HOST_READY, "", "") == 0, "ready");
	(void)kill(w->engine.pid, SIGKILL);
	check(wait_hello(w, 1000) && caps_of(w->engine.pid, "CapEff") == search && w->engine.dumpable == 0,
	    "the next engine is no different");
}

/* Nothing can be written: the daemon works, and says what that means. */
static void
full_disk(struct world *w)
{
	char path[128];
	int fd, n = 0;

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
		score->skipped++;
		printf("skip no mount namespace\n");
		return;
	}
	(void)kill(w->broker, SIGTERM);
	(void)wait_broker(w, 3000);
	snprintf(path, sizeof(path), "%s/full", w->dir);
	(void)mkdir(path, 0755);
	check(mount("none", path, "tmpfs", 0, "size=4096") == 0, "a file system of one page");
	snprintf(w->dir, sizeof(w->dir), "%.60s", path);
	snprintf(path, sizeof(path), "%s/junk", w->dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	while (write(fd, "x", 1) == 1)
		n++;
	close(fd);
	start_broker(w);
	check(wait_hello(w, PATIENCE_MS), "with a full state directory (%d bytes) the engine starts", n);
	check(sysctl_set(w, HOST_SYSCTL_FORWARD4, "", 1) == 0 && sysctl_of(HOST_SYSCTL_FORWARD4, "") == 1,
	    "forwarding is turned on all the same");
	check(log_says(w, "state-not-saved") && log_says(w, "No space left on device"), "the log says so");
	(void)kill(w->broker, SIGTERM);
	check(wait_broker(w, 3000) == 0 && sysctl_of(HOST_SYSCTL_FORWARD4, "") == 0, "and a clean stop restores it");
	(void)umount2(w->dir, MNT_DETACH);
	*strrchr(w->dir, '/') = '\0';
}

static const struct {
	const char *name;
	void (*run)(struct world *w);
} cases[] = {
	{ "engine-killed", engine_killed },
	{ "sets", sets },
	{ "engine-keeps-dying", engine_keeps_dying },
	{ "fails-before-ready", fails_before_ready },
	{ "broker-killed", broker_killed },
	{ "many-killed", many_killed },
	{ "clean-stop", clean_stop },
	{ "only-one", only_one },
	{ "squatted", squatted },
	{ "refusals", refusals },
	{ "renamed", renamed },
	{ "traffic", traffic },
	{ "privileges", privileges },
	{ "full-disk", full_disk },
};

static void
run_case(size_t i)
{
	struct world w;
	int status;
	pid_t pid;

	printf("== %s\n", cases[i].name);
	fflush(NULL);
	if ((pid = fork()) == 0) {
		/* Orphans come to us, so that their end is seen when it happens. */
		if (unshare(CLONE_NEWNET) != 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
			exit(98);
		world_init(&w);
		make_uplink(&w);
		cases[i].run(&w);
		world_fini(&w);
		exit(0);
	}
	(void)waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		check(false, "%s: the case itself broke off (status %#x)", cases[i].name, (unsigned)status);
}

int
main(int argc, char **argv)
{
	score = mmap(NULL, sizeof(*score), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (score == MAP_FAILED)
		return 1;
	if (geteuid() != 0) {
		printf("skip: needs root for network namespaces\n0 passed, 0 failed, %zu skipped\n",
		    sizeof(cases) / sizeof(cases[0]));
		return 0;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc < 2 || strcmp(argv[1], cases[i].name) == 0)
			run_case(i);
	}
	printf("%u passed, %u failed, %u skipped\n", score->passed, score->failed, score->skipped);
	return score->failed == 0 ? 0 : 1;
}
