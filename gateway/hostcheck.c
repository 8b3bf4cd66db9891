/* SPDX-License-Identifier: MIT */
#include "gateway/hostcheck.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/broker_claim.h"
#include "tun/netlink.h"
#include "tun/udp.h"

#define OUTPUT_MAX	(8u << 20)	/* bytes of a ruleset that we read */
#define TOOL_PATIENCE_MS 3000
#define CLOCK_FLOOR	1767225600	/* 2026-01-01: this code was not there before */
#define CLOCK_CEILING	4102444800	/* 2100-01-01 */

/* Where findings are gathered. */
struct pile {
	const struct hostcheck_in *in;
	struct finding *out;
	size_t n, max;
};

static struct finding *add(struct pile *p, enum finding_severity severity, const char *code,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The new finding, without a command yet; a place to write to even when there is no room left. */
static struct finding *
add(struct pile *p, enum finding_severity severity, const char *code, const char *fmt, ...)
{
	static _Thread_local struct finding spill;
	struct finding *f = p->n < p->max ? &p->out[p->n++] : &spill;
	va_list ap;

	memset(f, 0, sizeof(*f));
	f->severity = severity;
	f->code = code;
	va_start(ap, fmt);
	vsnprintf(f->sentence, sizeof(f->sentence), fmt, ap);
	va_end(ap);
	return f;
}

static void mend(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
mend(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->command, sizeof(f->command), fmt, ap);
	va_end(ap);
}

const char *
finding_severity_name(enum finding_severity s)
{
	switch (s) {
	case FINDING_ERROR:
		return "error";
	case FINDING_WARN:
		return "warning";
	case FINDING_NOTE:
		return "note";
	}
	return "unknown";
}

/* ---- sysctls and routes ------------------------------------------------------------------ */

static void
check_forwarding(struct pile *p)
{
	int value;

	if (p->in->forwards)
		return;
	if (p->in->inside4 && sysctl_read(HOST_SYSCTL_FORWARD4, "", &value) == 0 && value == 0)
		mend(add(p, FINDING_ERROR, "forward4-off", "IPv4 forwarding is off: this host reaches the other "
		    "site, its LAN does not"), "sysctl -w net.ipv4.ip_forward=1");
	if (p->in->inside6 && sysctl_read(HOST_SYSCTL_FORWARD6, "", &value) == 0 && value == 0)
		mend(add(p, FINDING_ERROR, "forward6-off", "IPv6 forwarding is off: this host reaches the other "
		    "site, its LAN does not"), "sysctl -w net.ipv6.conf.all.forwarding=1");
}

static void
check_rp_filter(struct pile *p, const char *device)
{
	char setting[64];
	int all = 0, own = 0;

	/* The kernel takes the larger of the two; 1 is strict, 2 loose. */
	if (sysctl_read(HOST_SYSCTL_RP_FILTER, "all", &all) != 0 ||
	    sysctl_read(HOST_SYSCTL_RP_FILTER, device, &own) != 0 || (all > own ? all : own) != 1)
		return;
	/* With slashes: the dots of "eth0.100" are then dots. */
	snprintf(setting, sizeof(setting), "net/ipv4/conf/%s/rp_filter=2", device);
	for (size_t i = 0; i < p->n; i++) {
		if (strstr(p->out[i].command, setting) != NULL)
			return;			/* another tunnel's uplink, too */
	}
	mend(add(p, FINDING_WARN, "rp-filter-strict", "reverse-path filtering on %s is strict%s: the kernel drops "
	    "datagrams of a tunnel whose answer would take another way", device,
	    own != 1 ? " (by net.ipv4.conf.all)" : ""), "sysctl -w %s", setting);
}

static void
check_ways(struct pile *p)
{
	const struct ip none = { .family = AF_UNSPEC };
	struct nl *nl = nl_open();
	char text[IP_STRLEN];
	struct nl_way way;
	int err;

	for (size_t i = 0; nl != NULL && i < p->in->remote_n; i++) {
		if (ip_len(p->in->remote[i].family) == 0)
			continue;
		err = nl_way(nl, &p->in->remote[i], &none, &way);
		if (err != 0)
			mend(add(p, FINDING_WARN, "no-route", "no route to the tunnel's outside address %s (%s)",
			    ip_str(&p->in->remote[i], text), strerror(-err)), "ip route get %s", text);
		else if (p->in->remote[i].family == AF_INET && strcmp(way.device, "lo") != 0)
			check_rp_filter(p, way.device);
	}
	nl_close(nl);
}

/* ---- ports ------------------------------------------------------------------------------- */

/* The inode of a socket on `port` in /proc/net/udp or udp6; 0: none. */
static unsigned long
socket_inode(const char *path, uint16_t port)
{
	FILE *f = fopen(path, "re");
	unsigned long inode, found = 0;
	unsigned got;
	char line[512];

	if (f == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*s %*s %*s %*s %*s %*u %*u %lu", &got, &inode) == 2 &&
		    got == port)
			found = inode;
	}
	fclose(f);
	return found;
}

/* Does a process hold the socket? */
static bool
holds(const char *pid, const char *want)
{
	char path[300], target[64];
	struct dirent *d;
	bool found = false;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	if ((dir = opendir(path)) == NULL)
		return false;
	while (!found && (d = readdir(dir)) != NULL) {
		n = readlinkat(dirfd(dir), d->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		found = strcmp(target, want) == 0;
	}
	closedir(dir);
	return found;
}

/* The process that holds a socket: its id, or 0 when it cannot be seen. */
static long
socket_owner(unsigned long inode)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	char want[64];
	long pid = 0;

	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	while (proc != NULL && pid == 0 && (d = readdir(proc)) != NULL) {
		if (d->d_name[0] >= '1' && d->d_name[0] <= '9' && holds(d->d_name, want))
			pid = atol(d->d_name);
	}
	if (proc != NULL)
		closedir(proc);
	return pid;
}

/* One line of a process's file in /proc, without its end. */
static bool
proc_line(long pid, const char *file, char *buf, int cap)
{
	char path[64];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%ld/%s", pid, file);
	if ((f = fopen(path, "re")) == NULL)
		return false;
	ok = fgets(buf, cap, f) != NULL;
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

/* A process of a systemd service is stopped by stopping that; it would come back otherwise. */
static void
mend_port(struct finding *f, long pid, uint16_t port)
{
	char cgroup[256] = "", *unit;

	if (pid == 0) {
		mend(f, "ss -ulpn sport = :%u", port);
		return;
	}
	if (proc_line(pid, "cgroup", cgroup, sizeof(cgroup)) && strstr(cgroup, "/system.slice/") != NULL &&
	    (unit = strrchr(cgroup, '/')) != NULL && strlen(unit) > 8 &&
	    strcmp(unit + strlen(unit) - 8, ".service") == 0 &&
	    strspn(unit + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@") ==
	    strlen(unit + 1))
		mend(f, "systemctl disable --now %s", unit + 1);
	else
		mend(f, "kill %ld", pid);
}

static void
check_port(struct pile *p, uint16_t port)
{
	unsigned long inode = socket_inode("/proc/net/udp", port);
	char name[64] = "?";
	long pid;

	if (inode == 0)
		inode = socket_inode("/proc/net/udp6", port);
	if (inode == 0)
		return;
	pid = socket_owner(inode);
	if (pid != 0 && proc_line(pid, "comm", name, sizeof(name))) {
		for (char *c = name; *c != '\0'; c++)
			*c = *c >= ' ' && *c < 0x7f ? *c : '?';
		mend_port(add(p, FINDING_ERROR, "port-taken", "UDP port %u is taken by %s (process %ld)", port,
		    name, pid), pid, port);
	} else {
		mend_port(add(p, FINDING_ERROR, "port-taken", "UDP port %u is taken by a process that cannot be "
		    "seen from here", port), 0, port);
	}
}

/* ---- the packet filter ------------------------------------------------------------------- */

static bool
is(const json_t *object, const char *key, const char *value)
{
	const char *got = json_string_value(json_object_get(object, key));

	return got != NULL && strcmp(got, value) == 0;
}

/* Does the text of a rule speak of our devices?  Then somebody has thought of us. */
static bool
names_us(const struct hostcheck_in *in, const json_t *rule)
{
	char *text = json_dumps(rule, JSON_COMPACT), quoted[IFNAMSIZ + 2];
	bool found = false;

	if (text == NULL)
		return false;
	for (size_t i = 0; i < in->device_n && !found; i++) {
		snprintf(quoted, sizeof(quoted), "\"%.15s\"", in->device[i]);
		found = strstr(text, quoted) != NULL;
	}
	if (strstr(text, "\"td-*\"") != NULL)	/* what all default names begin with */
		found = true;
	free(text);
	return found;
}

static bool
same_chain(const json_t *chain, const json_t *rule)
{
	const char *name = json_string_value(json_object_get(chain, "name"));

	return name != NULL && is(rule, "chain", name) &&
	    json_equal(json_object_get(chain, "table"), json_object_get(rule, "table")) &&
	    json_equal(json_object_get(chain, "family"), json_object_get(rule, "family"));
}

static void
check_chain(struct pile *p, const json_t *all, const json_t *chain)
{
	const char *family = json_string_value(json_object_get(chain, "family"));
	const char *table = json_string_value(json_object_get(chain, "table"));
	const char *name = json_string_value(json_object_get(chain, "name"));
	const json_t *rule;
	struct finding *f;
	size_t i;

	if (!is(chain, "hook", "forward") || !is(chain, "policy", "drop") || family == NULL ||
	    table == NULL || name == NULL)
		return;
	if (!(p->in->inside4 && strcmp(family, "ip6") != 0) && !(p->in->inside6 && strcmp(family, "ip") != 0))
		return;
	json_array_foreach(all, i, rule) {
		rule = json_object_get(rule, "rule");
		if (rule != NULL && same_chain(chain, rule) && names_us(p->in, rule))
			return;
	}
	f = add(p, FINDING_WARN, "filter-forward", "the packet filter's chain %.30s %.60s %.60s drops what is forwarded "
	    "unless a rule accepts it, and none names our devices", family, table, name);
	mend(f, "nft insert rule %.8s %.40s %.40s iifname \"td-*\" accept; nft insert rule %.8s %.40s %.40s oifname "
	    "\"td-*\" accept", family, table, name, family, table, name);
}

size_t
hostcheck_ruleset(const struct hostcheck_in *in, const char *json, size_t len, struct finding *out,
    size_t n, size_t max)
{
	struct pile p = { .in = in, .out = out, .n = n, .max = max };
	json_t *root = json_loadb(json, len, 0, NULL);
	const json_t *all = json_object_get(root, "nftables"), *each, *chain;
	size_t i;

	if (!json_is_array(all))
		add(&p, FINDING_NOTE, "filter-unknown", "the packet filter's rules could not be understood: whether "
		    "it drops forwarded traffic is not known");
	json_array_foreach(all, i, each) {
		if ((chain = json_object_get(each, "chain")) != NULL)
			check_chain(&p, all, chain);
	}
	json_decref(root);
	return p.n;
}

/* All that comes out of a descriptor, at most OUTPUT_MAX, within our patience; NULL else. */
static char *
read_all(int fd, size_t *len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t cap = 16384;
	char *buf = malloc(cap), *more;
	ssize_t n;

	*len = 0;
	while (buf != NULL && poll(&p, 1, TOOL_PATIENCE_MS) > 0) {
		n = read(fd, buf + *len, cap - *len - 1);
		if (n == 0) {
			buf[*len] = '\0';
			return buf;
		}
		if (n < 0)
			break;
		*len += (size_t)n;
		if (*len + 1 < cap)
			continue;
		cap *= 2;
		if (cap > OUTPUT_MAX || (more = realloc(buf, cap)) == NULL)
			break;
		buf = more;
	}
	free(buf);
	return NULL;
}

/* What a program says, when it ends well; else NULL.  A fixed path and an empty environment. */
static char *
ask_tool(char *const argv[], size_t *len)
{
	char *const none[] = { NULL };
	posix_spawn_file_actions_t act;
	int fds[2], status = -1;
	char *text = NULL;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return NULL;
	posix_spawn_file_actions_init(&act);
	posix_spawn_file_actions_addopen(&act, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&act, fds[1], 1);
	posix_spawn_file_actions_addopen(&act, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, argv[0], &act, NULL, argv, none) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&act);
	close(fds[1]);
	if (pid > 0) {
		if ((text = read_all(fds[0], len)) == NULL)
			(void)kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(fds[0]);
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return text;
	free(text);
	return NULL;
}

static void
check_nft(struct pile *p)
{
	char *argv[] = { "/usr/sbin/nft", "-j", "list", "ruleset", NULL };
	size_t len;
	char *text;

	if (access(argv[0], X_OK) != 0) {
		mend(add(p, FINDING_NOTE, "filter-unknown", "nft is not installed: whether the packet filter drops "
		    "forwarded traffic is not known"), "apt-get install nftables");
	} else if ((text = ask_tool(argv, &len)) == NULL) {
		mend(add(p, FINDING_NOTE, "filter-unknown", "the packet filter's rules could not be read (that takes "
		    "root): whether it drops forwarded traffic is not known"), "nft list ruleset");
	} else {
		p->n = hostcheck_ruleset(p->in, text, len, p->out, p->n, p->max);
		free(text);
	}
}

/* The old tables, which nft does not show.  They exist only when their file says so. */
static void
check_legacy(struct pile *p, const char *names, const char *tool)
{
	char *argv[] = { (char *)(uintptr_t)tool, "-w", "2", "-S", "FORWARD", NULL };
	FILE *f = fopen(names, "re");
	const char *base = strrchr(tool, '/') + 1;
	char line[64], *text;
	bool used = false;
	size_t len;

	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL)
		used = used || strncmp(line, "filter", 6) == 0;
	fclose(f);
	if (!used)
		return;
	if ((text = ask_tool(argv, &len)) == NULL)
		add(p, FINDING_NOTE, "filter-unknown", "%s could not be asked: whether the old packet filter drops "
		    "forwarded traffic is not known", base);
	else if (strstr(text, "-P FORWARD DROP") != NULL && strstr(text, " td-") == NULL)
		mend(add(p, FINDING_WARN, "filter-forward", "the FORWARD chain of %s drops what is forwarded unless a "
		    "rule accepts it, and none names our devices", base),
		    "%s -I FORWARD -i td-+ -j ACCEPT; %s -I FORWARD -o td-+ -j ACCEPT", base, base);
	free(text);
}

/* ---- the rest ---------------------------------------------------------------------------- */

static void
check_clock(struct pile *p)
{
	if (p->in->now >= CLOCK_FLOOR && p->in->now < CLOCK_CEILING)
		return;
	mend(add(p, FINDING_WARN, "clock", "the clock is far off (%lld s since 1970): certificates and the times "
	    "in the log will be wrong", (long long)p->in->now), "timedatectl set-ntp true");
}

/* Asked of the kernel by trying: with CAP_NET_ADMIN the system's bound does not count. */
static void
check_buffers(struct pile *p)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), want = UDP_BUFFER, got = 0;
	socklen_t len = sizeof(got);

	if (fd < 0)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof(want)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want));
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &len) == 0 && got / 2 < want)
		mend(add(p, FINDING_NOTE, "rmem-small", "receive buffers are bounded at %d KiB: bursts will lose "
		    "packets", got / 2048), "sysctl -w net.core.rmem_max=%d", want);
	close(fd);
}

static int
by_severity(const void *a, const void *b)
{
	const struct finding *x = a, *y = b;

	return (int)x->severity - (int)y->severity;
}

size_t
hostcheck(const struct hostcheck_in *in, struct finding *out, size_t max)
{
	struct pile p = { .in = in, .out = out, .max = max };

	check_forwarding(&p);
	check_ways(&p);
	for (size_t i = 0; i < sizeof(in->port) / sizeof(in->port[0]); i++) {
		if (in->port[i] != 0)
			check_port(&p, in->port[i]);
	}
	check_nft(&p);
	if (in->inside4)
		check_legacy(&p, "/proc/net/ip_tables_names", "/usr/sbin/iptables-legacy");
	if (in->inside6)
		check_legacy(&p, "/proc/net/ip6_tables_names", "/usr/sbin/ip6tables-legacy");
	check_clock(&p);
	check_buffers(&p);
	qsort(out, p.n, sizeof(*out), by_severity);
	return p.n;
}
