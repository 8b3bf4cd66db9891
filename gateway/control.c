/* SPDX-License-Identifier: MIT */
#include "gateway/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "gateway/version.h"

#define PEER_GROUPS_MAX	256		/* of one who is neither root nor us */

/*
 * A client is freed only by its own callbacks: an answer may cause events, and those go to all
 * watchers, perhaps to the very client that is being answered.  Who has to go from elsewhere is
 * marked and told so by a callback of its own (doom).
 *
 * One request a round, and the next one of a client only when it has taken the answer: neither
 * many requests in one go nor a client that does not read can keep control from its work or
 * fill its memory.
 */
struct client {
	struct client *next;
	struct control *control;
	struct bufferevent *be;
	bool watching;
	bool eof;			/* it says no more; what it has asked is still answered */
	bool closing;			/* gone as soon as it has taken what is left, or at once */
};

struct control {
	struct gw *g;
	struct evconnlistener *listener;
	struct event *retry;		/* accept again: descriptors had run out */
	struct client *clients;
	unsigned n;
	char path[108];
};

/* JSON is UTF-8; a text that a peer had a hand in, or that was cut, may not be. */
json_t *
control_text(const char *text)
{
	json_t *s = json_string(text);
	char *copy;

	if (s != NULL || (copy = strdup(text)) == NULL)
		return s;
	for (char *p = copy; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	s = json_string(copy);
	free(copy);
	return s;
}

json_t *
control_error(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return json_pack("{s:b, s:i, s:o}", "ok", 0, "schema", TANDEM_SCHEMA, "error",
	    control_text(text));
}

static void
client_free(struct client *c)
{
	struct client **p = &c->control->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->control->n--;
	bufferevent_free(c->be);
	free(c);
}

/* Let a client go, from wherever we are: on_end() does it. */
static void
doom(struct client *c)
{
	if (c->closing)
		return;
	c->closing = true;
	bufferevent_disable(c->be, EV_READ | EV_WRITE);
	bufferevent_trigger_event(c->be, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
}

/* Steals the reference. */
static void
say(struct client *c, json_t *what)
{
	struct evbuffer *out = bufferevent_get_output(c->be);
	char *text = NULL;

	if (what != NULL && !c->closing)
		text = json_dumps(what, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(what);
	if (c->closing)
		return;
	if (text == NULL || evbuffer_get_length(out) > CONTROL_BACKLOG ||
	    bufferevent_write(c->be, text, strlen(text)) != 0 ||
	    bufferevent_write(c->be, "\n", 1) != 0)
		doom(c);
	free(text);
}

static json_t *
watch(struct client *c)
{
	c->watching = true;
	/* It may be silent from now on, but has to take what it is told. */
	bufferevent_set_timeouts(c->be, NULL, &(struct timeval){ CONTROL_PATIENCE_S, 0 });
	return json_pack("{s:b, s:i, s:s}", "ok", 1, "schema", TANDEM_SCHEMA, "event", "watching");
}

static void
serve(struct client *c, const char *line, size_t len)
{
	json_error_t err;
	json_t *q = json_loadb(line, len, JSON_REJECT_DUPLICATES, &err), *a;
	const char *verb = json_string_value(json_object_get(q, "verb"));

	if (q == NULL)
		a = control_error("the request is not JSON: %s", err.text);
	else if (verb == NULL)
		a = control_error("the request has no \"verb\"");
	else if (strcmp(verb, "watch") == 0)
		a = watch(c);
	else
		a = control_answer(c->control->g, q);
	json_decref(q);
	say(c, a);
}

/* Gone when it has taken what we have said.  The client may be freed here. */
static void
finish(struct client *c)
{
	c->closing = true;
	c->watching = false;
	bufferevent_disable(c->be, EV_READ);
	if (evbuffer_get_length(bufferevent_get_output(c->be)) == 0)
		client_free(c);
}

static bool
has_line(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->be);

	return evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_LF).pos >= 0;
}

static void
on_read(struct bufferevent *be, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(be);
	struct client *c = arg;
	struct loop *l = c->control->g->loop;
	size_t len;
	char *line;

	if (c->closing)
		return;
	if (evbuffer_get_length(bufferevent_get_output(be)) > 0 && !c->watching) {
		/* on_taken() comes back here; until then libevent would, again and again. */
		bufferevent_disable(be, EV_READ);
		return;
	}
	line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
	if (line != NULL) {
		serve(c, line, len);
		free(line);
	} else if (evbuffer_get_length(in) >= CONTROL_LINE_MAX) {
		say(c, control_error("the request is longer than %d bytes", CONTROL_LINE_MAX));
		finish(c);
	} else if (c->eof) {
		finish(c);
	}
	loop_round(l);
}

/* The client has taken all that we said. */
static void
on_taken(struct bufferevent *be, void *arg)
{
	struct client *c = arg;

	if (c->closing) {
		client_free(c);
		return;
	}
	if (!c->eof)
		bufferevent_enable(be, EV_READ);
	if (c->eof || has_line(c))
		bufferevent_trigger(be, EV_READ,
		    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

/* A client that has said all may still wait for its answers. */
static void
on_end(struct bufferevent *be, short what, void *arg)
{
	struct client *c = arg;

	if ((what & BEV_EVENT_EOF) != 0 && !c->closing && !c->watching) {
		c->eof = true;
		on_read(be, c);
	} else if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0) {
		client_free(c);
	}
}

static void
refuse(evutil_socket_t fd)
{
	static const char text[] = "{\"ok\": false, \"error\": \"too many clients; try again\"}\n";

	(void)!send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	log_event(LOG_LEVEL_WARN, "control-refused", "max=%d", CONTROL_CLIENTS);
	close(fd);
}

/*
 * Root, our own user, and the socket's group.  The file's mode says the same to who opens it; this
 * also holds for a descriptor that was handed on, and after somebody widened the mode.
 */
static bool
is_allowed(const struct control *c, int fd)
{
	gid_t group[PEER_GROUPS_MAX];
	socklen_t len = sizeof(struct ucred), groups_len = sizeof(group);
	struct ucred who;
	struct stat st;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return false;
	if (who.uid == 0 || who.uid == geteuid())
		return true;
	if (stat(c->path, &st) != 0 || st.st_gid == 0)
		st.st_gid = (gid_t)-1;			/* root's group is nobody's way in */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, group, &groups_len) != 0)
		groups_len = 0;
	for (size_t i = 0; i < groups_len / sizeof(group[0]); i++)
		if (group[i] == st.st_gid)
			return true;
	if (who.gid == st.st_gid)
		return true;
	log_event(LOG_LEVEL_WARN, "control-stranger", "uid=%u gid=%u pid=%d", who.uid, who.gid,
	    who.pid);
	return false;
}

static void
on_client(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	const struct timeval patience = { CONTROL_PATIENCE_S, 0 };
	struct control *c = arg;
	struct client *x = c->n < CONTROL_CLIENTS ? calloc(1, sizeof(*x)) : NULL;

	(void)l, (void)sa, (void)len;
	if (!is_allowed(c, fd)) {
		free(x);
		close(fd);
		return;
	}
	if (x != NULL)
		x->be = bufferevent_socket_new(loop_base(c->g->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (x == NULL || x->be == NULL) {
		free(x);
		refuse(fd);
		return;
	}
	x->control = c;
	x->next = c->clients;
	c->clients = x;
	c->n++;
	bufferevent_priority_set(x->be, LOOP_LATER);
	bufferevent_setwatermark(x->be, EV_READ, 0, CONTROL_LINE_MAX);
	bufferevent_set_timeouts(x->be, &patience, &patience);
	bufferevent_setcb(x->be, on_read, on_taken, on_end, x);
	bufferevent_enable(x->be, EV_READ | EV_WRITE);
	loop_round(c->g->loop);
}

/* Out of descriptors: the socket stays readable, so look away for a while. */
static void
on_accept_error(struct evconnlistener *l, void *arg)
{
	const struct timeval second = { 1, 0 };
	struct control *c = arg;

	log_event(LOG_LEVEL_WARN, "control-accept", "error=\"%s\"", strerror(errno));
	evconnlistener_disable(l);
	event_add(c->retry, &second);
	loop_round(c->g->loop);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd, (void)what;
	evconnlistener_enable(c->listener);
	loop_round(c->g->loop);
}

/*
 * A socket file may be left by a daemon that was killed: nobody answers there, and it goes.  A
 * file that is no socket is somebody's and stays.  0 or -errno, -EADDRINUSE when one answers.
 */
static int
take_path(const struct sockaddr_un *un)
{
	struct stat st;
	int fd, err = 0;

	if (lstat(un->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	/* Not blocking: a daemon whose queue is full is alive too (EAGAIN). */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) != 0)
		err = errno;
	close(fd);
	if (err == 0 || err == EAGAIN)
		return -EADDRINUSE;
	if (err != ECONNREFUSED)
		return -err;
	return unlink(un->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static void
make_folder(const char *path)
{
	char folder[108];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash != NULL && slash != folder) {
		*slash = '\0';
		(void)mkdir(folder, 0755);
	}
}

/* The descriptor or -errno. */
static int
listen_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, err;

	if (strlen(path) >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path, strlen(path) + 1);
	make_folder(path);
	if ((err = take_path(&un)) != 0)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	old = umask(0117);		/* 0660 from the first moment on */
	err = bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 ? 0 : -errno;
	umask(old);
	if (err == 0 && listen(fd, 16) != 0) {
		err = -errno;
		unlink(path);
	}
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

static void
say_why(const char *path, int err)
{
	log_event(LOG_LEVEL_ERROR, "control-failed", "socket=%s error=\"%s\"%s", path, strerror(err),
	    err == EADDRINUSE ?
	    " what=\"another tandem answers there; stop it or give another --socket\"" :
	    err == EEXIST ? " what=\"there is a file that is no socket\"" : "");
}

struct control *
control_new(struct gw *g, const char *path)
{
	struct control *c = calloc(1, sizeof(*c));
	int fd = c != NULL ? listen_at(path) : -ENOMEM;

	if (fd < 0) {
		say_why(path, -fd);
		free(c);
		return NULL;
	}
	c->g = g;
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->listener = evconnlistener_new(loop_base(g->loop), on_client, c,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED, 0, fd);
	if (c->listener == NULL)
		close(fd);
	c->retry = evtimer_new(loop_base(g->loop), on_retry, c);
	if (c->listener == NULL || c->retry == NULL) {
		say_why(path, ENOMEM);
		control_free(c);
		return NULL;
	}
	evconnlistener_set_error_cb(c->listener, on_accept_error);
	return c;
}

bool
control_begin(struct control *c)
{
	return evconnlistener_enable(c->listener) == 0;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	while (c->clients != NULL)
		client_free(c->clients);
	unlink(c->path);		/* before we stop answering: then it is surely still ours */
	if (c->listener != NULL)
		evconnlistener_free(c->listener);
	if (c->retry != NULL)
		event_free(c->retry);
	free(c);
}

void
control_event(struct control *c, const char *event, const char *connection, unsigned tunnel,
    const char *text)
{
	struct timespec ts;
	json_t *e;

	clock_gettime(CLOCK_REALTIME, &ts);
	for (struct client *x = c->clients; x != NULL; x = x->next) {
		if (!x->watching)
			continue;
		e = json_pack("{s:s, s:f, s:s, s:o}", "event", event,
		    "time", (double)ts.tv_sec + (double)ts.tv_nsec / 1e9,
		    "connection", connection, "what", control_text(text));
		if (e != NULL && tunnel != 0)
			json_object_set_new(e, "tunnel", json_integer(tunnel));
		say(x, e);
	}
}
