/* SPDX-License-Identifier: MIT */
#include "broker_world.h"

/* What the broker does and undoes, whatever happens to it and to its engine. */

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
