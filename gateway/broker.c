/* SPDX-License-Identifier: MIT */
#include "gateway/broker.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/usec.h"
#include "gateway/broker_claim.h"
#include "gateway/broker_ops.h"
#include "gateway/broker_record.h"

/*
 * The life of two processes.
 *
 *   broker                                engine
 *     claim namespace, lock, adopt what a crash left
 *     fork ------------------------------> drop capabilities, run
 *     carry out, record   <-- request ---
 *                         --- answer -->
 *     sweep what an older engine had  <-- READY
 *     ...
 *     SIGCHLD: devices, routes, guards and sockets stay; wait; fork again ---> asks anew
 *     ...
 *     SIGTERM ---------------------------> says goodbye to its peers
 *     undo all            <-- STOP ------
 *     SIGCHLD: exit with its code <------- exit
 *
 * The broker has one thread and reads nothing but the engine's messages, signals and answers of
 * its own kernel; whoever connects to the claim is hung up on.  It never waits for the engine: an
 * answer that does not fit into the socket is kept and no further request is read until it went.
 *
 * Capabilities.  The broker works with CAP_NET_ADMIN (devices, links, routes, net sysctls, forced
 * buffers) and CAP_NET_BIND_SERVICE (port 500).  CAP_NET_RAW is not needed: there is no raw
 * socket.  It keeps CAP_DAC_READ_SEARCH without using it (permitted, not effective) because each new engine
 * must be given it: the configuration and its key files may belong to somebody else than root.
 */
#define CAPS_WORK	(CLAIM_CAP_BIT(CAP_NET_ADMIN) | CLAIM_CAP_BIT(CAP_NET_BIND_SERVICE))
#define CAPS_ENGINE	CLAIM_CAP_BIT(CAP_DAC_READ_SEARCH)

#define REQUESTS_A_TURN	64		/* then signals get their turn */
#define LAST_WORDS	USEC_S(1)	/* for an engine that closed its end to exit */

struct broker {
	const struct broker_conf *conf;
	struct record record;
	char state[1024];		/* path of the state file */
	int claim, lock, signals;
	sigset_t mask;			/* as it was: the engine gets it back */

	pid_t engine;			/* 0: none runs */
	int sock;			/* our end; -1: none */
	struct host_answer out;		/* waits for room in the socket */
	bool out_full, listing;
	size_t list_at;			/* next object of a HOST_LIST */

	bool ready, ready_once;		/* this engine, any engine said HOST_READY */
	bool stopping;			/* we were told to end */
	bool stopped;			/* HOST_STOP was carried out */
	bool over;
	int exit_code;
	usec_t started, ready_at;
	usec_t start_at, kill_at;	/* deadlines, or USEC_NEVER */
	usec_t backoff;
};

static usec_t
clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return USEC_S(t.tv_sec) + (usec_t)t.tv_nsec / 1000;
}

/* ---- the engine's birth and death -------------------------------------------------------- */

/* What systemd wants to hear; nobody else listens. */
static void
notify(const char *word)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(at.sun_path))
		return;
	memcpy(at.sun_path, path, len);
	if (path[0] == '@')
		at.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, word, strlen(word), MSG_NOSIGNAL, (struct sockaddr *)&at,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

/* In the child.  Nothing of the broker's may live on here: a copy of a descriptor would keep a
 * device alive.  But for the claim: as long as an engine is there, whose ports and control socket
 * are in use, no other instance may start (claim_netns() waits for it). */
static void
engine_main(struct broker *b, int sock, pid_t parent)
{
	int err;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);			/* the broker died before that took hold */
	(void)setpgid(0, 0);			/* a terminal's ^C reaches us by the broker, once */
	record_fini(&b->record);
	close(b->signals);
	if (b->lock >= 0)
		close(b->lock);
	if ((err = claim_caps(CAPS_ENGINE, CAPS_ENGINE)) != 0) {
		log_event(LOG_LEVEL_ERROR, "engine-caps", "error=\"%s\"", strerror(-err));
		_exit(1);
	}
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)sigprocmask(SIG_SETMASK, &b->mask, NULL);
	exit(b->conf->engine(sock, b->conf->arg));
}

static int
engine_start(struct broker *b, usec_t now)
{
	pid_t pid, parent = getpid();
	int pair[2];

	b->start_at = USEC_NEVER;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return -errno;
	fflush(NULL);				/* or the child would print it again */
	if ((pid = fork()) < 0) {
		close(pair[0]);
		close(pair[1]);
		return -errno;
	}
	if (pid == 0) {
		close(pair[0]);
		engine_main(b, pair[1], parent);
	}
	close(pair[1]);
	b->sock = pair[0];
	b->engine = pid;
	b->started = now;
	b->kill_at = USEC_NEVER;
	b->ready = b->out_full = b->listing = false;
	log_event(LOG_LEVEL_INFO, "engine-started", "pid=%d", (int)pid);
	return 0;
}

static void
start_later(struct broker *b, usec_t now, const char *how)
{
	if (b->ready && now - b->ready_at >= BROKER_SETTLED)
		b->backoff = BROKER_BACKOFF_MIN;
	b->start_at = usec_add(now, b->backoff);
	log_event(LOG_LEVEL_ERROR, "engine-died", "how=\"%s\" next_in_ms=%llu what=\"devices, routes and "
	    "guards stay; a new engine will negotiate anew\"", how,
	    (unsigned long long)(b->backoff / 1000));
	b->backoff = usec_min(2 * b->backoff, BROKER_BACKOFF_MAX);
}

static void
end(struct broker *b, int code)
{
	b->over = true;
	b->exit_code = code;
}

static void
engine_ended(struct broker *b, usec_t now, int status)
{
	bool by_itself = WIFEXITED(status);
	int code = by_itself ? WEXITSTATUS(status) : 1;
	char how[48];

	snprintf(how, sizeof(how), by_itself ? "exit code %d" : "signal %d",
	    by_itself ? code : WTERMSIG(status));
	b->engine = 0;
	b->kill_at = USEC_NEVER;
	if (b->sock >= 0)
		close(b->sock);
	b->sock = -1;
	record_unwant(&b->record);
	if (b->stopped) {
		end(b, code);
	} else if (b->stopping) {
		log_event(LOG_LEVEL_WARN, "engine-died", "how=\"%s\" what=\"while stopping, before it had its "
		    "work undone; the broker does it\"", how);
		/* Before an engine was ever ready the guards are those of a crash, and nobody
		 * knows which of them are meant to outlive a stop: they stay. */
		record_undo(&b->record, !b->ready_once);
		end(b, code != 0 ? code : 1);
	} else if (!b->ready_once) {
		log_event(LOG_LEVEL_ERROR, "engine-failed", "how=\"%s\" what=\"before it was ready; not "
		    "started again\"", how);
		record_undo(&b->record, true);
		end(b, code != 0 ? code : 1);
	} else {
		start_later(b, now, how);
	}
}

/* It does not speak our language, or not any more: what parses strangers' bytes may be theirs. */
static void
engine_kill(struct broker *b, const char *why)
{
	if (b->engine == 0)
		return;
	log_event(LOG_LEVEL_ERROR, "engine-killed", "pid=%d what=\"%s\"", (int)b->engine, why);
	(void)kill(b->engine, SIGKILL);
	b->kill_at = USEC_NEVER;
	if (b->sock >= 0)
		close(b->sock);			/* what it has still asked for is not carried out */
	b->sock = -1;
}

/* ---- requests ---------------------------------------------------------------------------- */

static void
on_ready(struct broker *b, usec_t now)
{
	b->ready = b->ready_once = true;
	b->ready_at = now;
	record_sweep(&b->record);
	notify("READY=1");
}

static void
on_stop(struct broker *b, usec_t now, bool keep_guards)
{
	record_undo(&b->record, keep_guards);
	b->stopped = true;
	b->kill_at = usec_min(b->kill_at, usec_add(now, BROKER_STOP_PATIENCE));
	notify("STOPPING=1");
}

/* Carry out one request; its answer is in b->out. */
static void
serve(struct broker *b, usec_t now, const struct host_request *q)
{
	struct host_answer plain = { .id = q->id, .op = q->op, .fd = -1, .what = *q };

	b->out_full = true;
	switch (q->op) {
	case HOST_LIST:
		b->out_full = false;
		b->listing = true;
		b->list_at = 0;
		b->out = plain;
		break;
	case HOST_STOP:
		on_stop(b, now, q->keep_guards);
		b->out = plain;
		break;
	case HOST_READY:
		on_ready(b, now);
		b->out = plain;
		break;
	default:
		broker_execute(&b->record, q, &b->out);
		if (b->out.err != 0)
			log_event(LOG_LEVEL_WARN, "host-refused", "op=%s what=\"%s\"", host_op_name(q->op),
			    b->out.text);
		break;
	}
}

/* The next answer of a list into b->out, whose id and op are the request's. */
static void
list_next(struct broker *b)
{
	const struct record_object *x;

	b->out.more = b->list_at < b->record.n;
	if (b->out.more) {
		x = &b->record.obj[b->list_at++];
		b->out.what = x->what;
		b->out.ifindex = x->ifindex;
	} else {
		memset(&b->out.what, 0, sizeof(b->out.what));
		b->out.ifindex = 0;
		b->listing = false;
	}
	b->out_full = true;
}

/* The pair is of no use any more: the engine has died or is about to. */
static void
hang_up(struct broker *b, usec_t now)
{
	close(b->sock);
	b->sock = -1;
	b->kill_at = usec_min(b->kill_at, usec_add(now, LAST_WORDS));
}

/* One answer out or one request in.  False: nothing more to do for now. */
static bool
talk_once(struct broker *b, usec_t now)
{
	struct host_request q;
	int err;

	if (!b->out_full && b->listing)
		list_next(b);
	if (b->out_full) {
		err = host_send_answer(b->sock, &b->out);
		if (err == 0)
			b->out_full = false;
	} else {
		err = host_recv_request(b->sock, &q);
		if (err == 0)
			serve(b, now, &q);
	}
	if (err == -EPIPE)
		hang_up(b, now);
	else if (err != 0 && err != -EAGAIN)
		engine_kill(b, err == -EPROTO ? "a malformed request" : "cannot talk to it");
	return err == 0;
}

static void
talk(struct broker *b, usec_t now)
{
	for (unsigned i = 0; i < 2 * REQUESTS_A_TURN && b->sock >= 0 && talk_once(b, now); i++)
		;
}

/* ---- signals ----------------------------------------------------------------------------- */

static void
told_to_stop(struct broker *b, usec_t now, int sig)
{
	bool again = b->stopping;

	b->stopping = true;
	if (b->engine == 0) {
		record_undo(&b->record, false);
		end(b, 0);
	} else if (again) {
		b->kill_at = now;
	} else {
		log_event(LOG_LEVEL_NOTICE, "stopping", "signal=%d", sig);
		(void)kill(b->engine, SIGTERM);
		b->kill_at = usec_min(b->kill_at, usec_add(now, BROKER_STOP_PATIENCE));
	}
}

static void
reap(struct broker *b, usec_t now)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != b->engine)
			continue;
		if (b->sock >= 0)
			talk(b, now);		/* its last words may be HOST_STOP */
		engine_ended(b, now, status);
	}
}

static void
on_signals(struct broker *b, usec_t now)
{
	struct signalfd_siginfo s;

	while (!b->over && read(b->signals, &s, sizeof(s)) == sizeof(s)) {
		switch (s.ssi_signo) {
		case SIGCHLD:
			reap(b, now);
			break;
		case SIGHUP:
			if (b->engine > 0)
				(void)kill(b->engine, SIGHUP);
			break;
		case SIGTERM:
		case SIGINT:
			told_to_stop(b, now, (int)s.ssi_signo);
			break;
		}
	}
}

static int
take_signals(struct broker *b)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	(void)signal(SIGPIPE, SIG_IGN);		/* a log that nobody reads must not kill us */
	(void)signal(SIGCHLD, SIG_DFL);		/* inherited SIG_IGN would lose exit codes */
	if (sigprocmask(SIG_BLOCK, &set, &b->mask) != 0)
		return -errno;
	b->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return b->signals < 0 ? -errno : 0;
}

/* ---- start, loop, end -------------------------------------------------------------------- */

static int
fail(const char *event, const char *what, int err)
{
	log_event(LOG_LEVEL_ERROR, event, "what=\"%s\" error=\"%s\"", what, strerror(-err));
	return err;
}

static int
claim_all(struct broker *b)
{
	char why[1300] = "";
	int err;

	if ((err = claim_netns(&b->claim, why, sizeof(why))) != 0 ||
	    (b->conf->lock != NULL && (err = claim_lock(b->conf->lock, &b->lock, why, sizeof(why))) != 0))
		log_event(LOG_LEVEL_ERROR, "start-refused", "what=\"%s\"", why);
	return err;
}

/* Closing a device takes the kernel 21 ms, so those of a daemon that was killed a moment ago may
 * still hold their names. */
static void
wait_for_devices(struct broker *b)
{
	struct pollfd p = { .fd = b->signals, .events = POLLIN };
	usec_t begin = clock_now(), said = begin, now = begin;
	struct record_wait wait = { .since = begin };
	char one[IFNAMSIZ] = "?";
	int left;

	/* Links that come and go may tear every look at them: then nothing is known. */
	while (record_wait(&wait, left = record_leftovers(&b->record, one), now)) {
		if (left > 0 && (now == begin || now - said >= USEC_S(1))) {
			log_event(LOG_LEVEL_NOTICE, "waiting", "devices=%d one=%s what=\"left by a daemon that "
			    "was killed; until the kernel has removed them\"", left, one);
			said = now;
		}
		if (poll(&p, 1, 20) > 0)
			return;			/* told to stop: the loop looks at it */
		now = clock_now();
	}
	if (left > 0)
		log_event(LOG_LEVEL_WARN, "devices-held", "devices=%d one=%s what=\"of our link group and held "
		    "by another process; left alone\"", left, one);
	else if (left < 0)
		log_event(LOG_LEVEL_WARN, "devices-unknown", "error=\"%s\" what=\"whether a daemon that was "
		    "killed has left devices\"", strerror(-left));
}

/* The directory and those above it that are not there yet. */
static int
make_dir(const char *path)
{
	char part[1024];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int
prepare(struct broker *b)
{
	struct rlimit files;
	int err;

	if ((err = make_dir(b->conf->state_dir)) != 0)
		return fail("start-refused", b->conf->state_dir, err);
	if (snprintf(b->state, sizeof(b->state), "%s/broker.state", b->conf->state_dir) >=
	    (int)sizeof(b->state))
		return fail("start-refused", "name of the state directory", -ENAMETOOLONG);
	if ((err = claim_all(b)) != 0)
		return err;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if ((err = take_signals(b)) != 0)
		return fail("start-refused", "signals", err);
	if ((err = claim_caps(CAPS_WORK | CAPS_ENGINE, CAPS_WORK)) != 0)
		return fail("start-refused", "capabilities", err);
	if ((err = record_init(&b->record, b->state)) != 0)
		return fail("start-refused", "netlink", err);
	memcpy(b->record.port, b->conf->port, sizeof(b->record.port));
	record_adopt(&b->record);
	wait_for_devices(b);
	if ((err = engine_start(b, clock_now())) != 0)
		return fail("start-refused", "cannot start the engine", err);
	return 0;
}

static void
on_time(struct broker *b, usec_t now)
{
	int err;

	if (b->kill_at <= now)
		engine_kill(b, b->stopping || b->stopped ? "it did not end in time" : "it hung up and stayed");
	if (b->start_at <= now && (err = engine_start(b, now)) != 0) {
		(void)fail("engine-not-started", "will try again", err);
		b->start_at = usec_add(now, BROKER_BACKOFF_MAX);
	}
}

static void
loop(struct broker *b)
{
	struct pollfd p[3];
	usec_t now = clock_now(), next;
	bool deaf = false;
	int ms;

	while (!b->over) {
		next = usec_min(b->start_at, b->kill_at);
		ms = next == USEC_NEVER ? -1 : next <= now ? 0 : (int)((next - now) / 1000 + 1);
		p[0] = (struct pollfd){ .fd = b->signals, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = b->sock, .events = b->out_full ? POLLOUT : POLLIN };
		p[2] = (struct pollfd){ .fd = deaf ? -1 : b->claim, .events = POLLIN };
		(void)poll(p, 3, ms);
		now = clock_now();
		if (p[1].revents != 0 && b->sock >= 0)
			talk(b, now);
		if (p[0].revents != 0)
			on_signals(b, now);
		deaf = p[2].revents != 0 && !claim_answer(b->claim);	/* till something else happens */
		on_time(b, now);
	}
}

int
broker_run(const struct broker_conf *conf)
{
	struct broker b = {
		.conf = conf, .claim = -1, .lock = -1, .signals = -1, .sock = -1, .exit_code = 1,
		.start_at = USEC_NEVER, .kill_at = USEC_NEVER, .backoff = BROKER_BACKOFF_MIN,
	};

	if (prepare(&b) == 0)
		loop(&b);
	record_fini(&b.record);
	if (b.sock >= 0)
		close(b.sock);
	if (b.signals >= 0)
		close(b.signals);
	if (b.lock >= 0)
		close(b.lock);
	if (b.claim >= 0)
		close(b.claim);
	return b.exit_code;
}
