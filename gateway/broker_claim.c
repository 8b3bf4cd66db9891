/* SPDX-License-Identifier: MIT */
#include "gateway/broker_claim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define CLAIM_NAME	"tandem-broker"	/* in the abstract space: after a NUL */
#define STATE_HEAD	"tandem-state 1"

/* ---- one instance ------------------------------------------------------------------------ */

/* Who listens there: 0, or -errno. */
static int
holder(const struct sockaddr_un *at, socklen_t len, struct ucred *who)
{
	socklen_t who_len = sizeof(*who);
	int err = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)at, len) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &who_len) != 0)
		err = -errno;
	close(fd);
	return err;
}

#define LEAVING_LOOKS	3000			/* a minute: the kernel closes 50 devices a second */
#define LEAVING_STEP	(20 * 1000 * 1000)	/* ns */
#define LEAVING_ASK	50			/* steps until a holder that leaves is asked again who it is, */
						/* and until a word about it is due */
#define SILENT_LOOKS	50			/* a second: a broker listens as soon as it has the name */
#define CLAIM_BACKLOG	128

/* Is the one with these credentials there for certain?  One in another process namespace (pid 0)
 * cannot be asked. */
static bool
is_alive(const struct ucred *who)
{
	return who->pid == 0 || kill(who->pid, 0) == 0 || errno != ESRCH;
}

static bool
is_squatter(const struct ucred *who)
{
	return who->uid != 0 && who->uid != geteuid();
}

/*
 * Bind and listen: 0, or -errno; -EADDRINUSE: a broker has it; -ECONNREFUSED: somebody who is
 * none, see *who (pid -1: it does not listen, so it is not known who).  The name may be held by the engine of
 * a broker that was killed a moment ago: it is on its way out and still has the ports, so it is
 * waited for.  Nobody accepts for that one: it is not asked at each look, or its queue would fill.
 */
static int
take(int fd, const struct sockaddr_un *at, socklen_t len, struct ucred *who)
{
	const struct timespec step = { .tv_nsec = LEAVING_STEP };
	int silent = 0;

	who->pid = -1;
	for (int i = 0;; i++) {
		if (bind(fd, (const struct sockaddr *)at, len) == 0)
			return listen(fd, CLAIM_BACKLOG) == 0 ? 0 : -errno;
		if (errno != EADDRINUSE || i == LEAVING_LOOKS)
			return -errno;
		if ((who->pid < 0 || i % LEAVING_ASK == 0) && holder(at, len, who) == 0 &&
		    (is_squatter(who) || is_alive(who)))
			return is_squatter(who) ? -ECONNREFUSED : -EADDRINUSE;
		if (who->pid < 0 && ++silent == SILENT_LOOKS)
			return -ECONNREFUSED;
		if (i == LEAVING_ASK)
			log_event(LOG_LEVEL_NOTICE, "waiting", "pid=%d what=\"for the engine of a daemon that was "
			    "killed to be gone\"", (int)who->pid);
		nanosleep(&step, NULL);
	}
}

static void
squatted(const struct ucred *who)
{
	if (who->pid < 0)
		log_event(LOG_LEVEL_WARN, "claim-squatted", "what=\"somebody holds our name in the network "
		    "namespace and does not listen, so it is no broker; going on without the claim\"");
	else
		log_event(LOG_LEVEL_WARN, "claim-squatted", "pid=%d uid=%u what=\"this process holds our "
		    "name in the network namespace and is no broker; going on without the claim\"",
		    (int)who->pid, (unsigned)who->uid);
}

int
claim_netns(int *fd, char *why, size_t cap)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1 + sizeof(CLAIM_NAME) - 1;
	struct ucred who;
	int err;

	memcpy(at.sun_path + 1, CLAIM_NAME, sizeof(CLAIM_NAME) - 1);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return -errno;
	err = take(*fd, &at, len, &who);
	if (err == 0)
		return 0;
	close(*fd);
	*fd = -1;
	if (err == -ECONNREFUSED) {
		squatted(&who);
		return 0;
	}
	if (err != -EADDRINUSE)
		snprintf(why, cap, "cannot claim the network namespace: %s", strerror(-err));
	else if (who.pid == 0)
		snprintf(why, cap, "another Tandem runs in this network namespace already (in another process "
		    "namespace); one instance a namespace");
	else
		snprintf(why, cap, "another Tandem runs in this network namespace already (process %d); "
		    "one instance a namespace", (int)who.pid);
	return err;
}

bool
claim_answer(int fd)
{
	int asker = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (asker < 0)
		return errno == EAGAIN;
	close(asker);
	return true;
}

int
claim_lock(const char *path, int *fd, char *why, size_t cap)
{
	char text[32] = "";
	ssize_t n;
	int err;

	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (*fd < 0) {
		err = -errno;
		snprintf(why, cap, "cannot open the lock file %s: %s", path, strerror(-err));
		return err;
	}
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
		n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
		if (ftruncate(*fd, 0) != 0 || pwrite(*fd, text, (size_t)n, 0) != n)
			log_event(LOG_LEVEL_WARN, "lock-file", "path=%s error=\"%s\" what=\"locked, but it "
			    "does not say by whom\"", path, strerror(errno));
		return 0;
	}
	err = -errno;
	n = pread(*fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	text[strspn(text, "0123456789")] = '\0';
	snprintf(why, cap, "another Tandem (process %s) holds %s; two instances need two state "
	    "directories", text[0] != '\0' ? text : "unknown", path);
	close(*fd);
	*fd = -1;
	return err;
}

int
claim_caps(uint64_t permitted, uint64_t effective)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2];

	/* An exec by uid 0 would bring back what is in the bounding set: PR_SET_NO_NEW_PRIVS keeps
	 * it from that.  The smaller set is the second line; it takes CAP_SETPCAP, which the
	 * broker has and the engine, forked later, has not. */
	for (unsigned cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if ((permitted & CLAIM_CAP_BIT(cap)) == 0)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	}
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capget, &head, now) != 0)
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		now[i].permitted &= (uint32_t)(permitted >> (32 * i));
		now[i].effective = now[i].permitted & (uint32_t)(effective >> (32 * i));
		now[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, now) != 0)
		return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? -errno : 0;
}

/* ---- the state file ---------------------------------------------------------------------- */

/* Boot and network namespace in a line each: what a state file must agree with to be ours. */
static bool
where_we_are(char *buf, size_t cap)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	char boot[64] = "";
	struct stat ns;
	bool ok = f != NULL && fscanf(f, "%63s", boot) == 1;

	if (f != NULL)
		fclose(f);
	if (!ok || stat("/proc/self/ns/net", &ns) != 0)
		return false;
	snprintf(buf, cap, STATE_HEAD "\nboot %s\nnetns %llu\n", boot, (unsigned long long)ns.st_ino);
	return true;
}

static bool
write_aside(const char *aside, const char *head, const struct state_sysctl *s, size_t n)
{
	FILE *f = fopen(aside, "we");
	bool ok;

	if (f == NULL)
		return false;
	ok = fputs(head, f) >= 0;
	for (size_t i = 0; i < n; i++)
		ok = fprintf(f, "sysctl %u %s %d %d\n", (unsigned)s[i].which,
		    s[i].name[0] != '\0' ? s[i].name : "-", s[i].was, s[i].set) > 0 && ok;
	ok = fflush(f) == 0 && fsync(fileno(f)) == 0 && ok;
	return fclose(f) == 0 && ok;
}

int
state_write(const char *path, const struct state_sysctl *s, size_t n)
{
	char aside[1100], head[160];
	int err;

	if (n == 0)
		return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
	if (!where_we_are(head, sizeof(head)) ||
	    snprintf(aside, sizeof(aside), "%s.new", path) >= (int)sizeof(aside))
		return -EINVAL;
	errno = 0;
	if (write_aside(aside, head, s, n) && rename(aside, path) == 0)
		return 0;
	err = errno != 0 ? -errno : -EIO;
	(void)unlink(aside);
	return err;
}

static bool
line_read(const char *line, struct state_sysctl *s)
{
	unsigned which;
	int end = 0;

	memset(s, 0, sizeof(*s));
	if (sscanf(line, "sysctl %u %15s %d %d\n%n", &which, s->name, &s->was, &s->set, &end) != 4 ||
	    strchr(line, '\n') == NULL || line[end] != '\0' || which == 0 ||
	    which > HOST_SYSCTL_MAX || strchr(s->name, '/') != NULL)
		return false;
	s->which = (enum host_sysctl)which;
	if (strcmp(s->name, "-") == 0)
		s->name[0] = '\0';
	return true;
}

size_t
state_read(const char *path, struct state_sysctl *s, size_t max)
{
	FILE *f = fopen(path, "re");
	char head[160], got[160] = "", line[160];
	size_t n = 0, len;

	if (f == NULL)
		return 0;
	if (!where_we_are(head, sizeof(head)))
		goto out;
	len = strlen(head);
	if (fread(got, 1, len, f) != len || memcmp(got, head, len) != 0) {
		log_event(LOG_LEVEL_NOTICE, "state-stale", "path=%s what=\"of another boot or network "
		    "namespace; ignored\"", path);
		goto out;
	}
	while (n < max && fgets(line, sizeof(line), f) != NULL) {
		if (!line_read(line, &s[n++])) {
			log_event(LOG_LEVEL_WARN, "state-broken", "path=%s what=\"not as we write it; ignored\"",
			    path);
			n = 0;
			break;
		}
	}
out:
	fclose(f);
	return n;
}

/* ---- sysctls ----------------------------------------------------------------------------- */

/* The file of a sysctl; `second`: the IPv6 twin of LINKDOWN.  False: there is none. */
static bool
sysctl_path(enum host_sysctl which, const char *name, bool second, char *path, size_t cap)
{
	switch (which) {
	case HOST_SYSCTL_FORWARD4:
		return !second && snprintf(path, cap, "/proc/sys/net/ipv4/ip_forward") > 0;
	case HOST_SYSCTL_FORWARD6:
		return !second && snprintf(path, cap, "/proc/sys/net/ipv6/conf/all/forwarding") > 0;
	case HOST_SYSCTL_RP_FILTER:
		return !second && snprintf(path, cap, "/proc/sys/net/ipv4/conf/%s/rp_filter", name) > 0;
	case HOST_SYSCTL_LINKDOWN:
		return snprintf(path, cap, "/proc/sys/net/ipv%d/conf/%s/ignore_routes_with_linkdown",
		    second ? 6 : 4, name) > 0;
	}
	return false;
}

int
sysctl_read(enum host_sysctl which, const char *name, int *value)
{
	char path[128], text[32];
	ssize_t n;
	int err = 0, fd;

	if (!sysctl_path(which, name, false, path, sizeof(path)))
		return -EINVAL;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return -errno;
	if ((n = read(fd, text, sizeof(text) - 1)) <= 0)
		err = n < 0 ? -errno : -EIO;
	close(fd);
	if (err != 0)
		return err;
	text[n] = '\0';
	*value = atoi(text);
	return 0;
}

static int
write_value(const char *path, int value)
{
	char text[16];
	int err = 0, fd, n = snprintf(text, sizeof(text), "%d", value);

	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
		return -errno;
	if (write(fd, text, (size_t)n) != n)
		err = -errno;
	close(fd);
	return err;
}

int
sysctl_write(enum host_sysctl which, const char *name, int value)
{
	char path[128];
	int err;

	if (!sysctl_path(which, name, false, path, sizeof(path)))
		return -EINVAL;
	err = write_value(path, value);
	if (err == 0 && sysctl_path(which, name, true, path, sizeof(path)) &&
	    (err = write_value(path, value)) == -ENOENT)
		err = 0;			/* a host without IPv6 */
	return err;
}
