/* SPDX-License-Identifier: MIT */
#include "gateway/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
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

struct client {
	struct client *next;
	struct control *control;
	struct bufferevent *be;
	bool watching;
};

struct control {
	struct gw *g;
	struct evconnlistener *listener;
	struct client *clients;
	unsigned n;
	char path[108];
};

json_t *
control_error(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return json_pack("{s:b, s:i, s:s}", "ok", 0, "schema", TANDEM_SCHEMA, "error", text);
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

/* False: the client is gone. */
static bool
say(struct client *c, json_t *what)
{
	char *text = what != NULL ? json_dumps(what, JSON_COMPACT) : NULL;
	struct evbuffer *out = bufferevent_get_output(c->be);

	json_decref(what);
	if (text == NULL || evbuffer_get_length(out) > CONTROL_BACKLOG) {
		free(text);
		client_free(c);
		return false;
	}
	bufferevent_write(c->be, text, strlen(text));
	bufferevent_write(c->be, "\n", 1);
	free(text);
	return true;
}

/* False: the client is gone. */
static bool
serve(struct client *c, const char *line)
{
	json_error_t err;
	json_t *q = json_loads(line, JSON_REJECT_DUPLICATES, &err), *a;
	const char *verb = json_string_value(json_object_get(q, "verb"));

	if (q == NULL)
		a = control_error("the request is not JSON: %s", err.text);
	else if (verb == NULL)
		a = control_error("the request has no \"verb\"");
	else if (strcmp(verb, "watch") == 0) {
		c->watching = true;
		a = json_pack("{s:b, s:i, s:s}", "ok", 1, "schema", TANDEM_SCHEMA,
		    "event", "watching");
	} else
		a = control_answer(c->control->g, q);
	json_decref(q);
	return say(c, a);
}

static void
on_read(struct bufferevent *be, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(be);
	struct client *c = arg;
	char *line;
	bool alive;

	while ((line = evbuffer_readln(in, NULL, EVBUFFER_EOL_LF)) != NULL) {
		alive = serve(c, line);
		free(line);
		if (!alive)
			return;
	}
	if (evbuffer_get_length(in) >= CONTROL_LINE_MAX &&
	    say(c, control_error("the request is longer than %d bytes", CONTROL_LINE_MAX)))
		bufferevent_disable(be, EV_READ);
}

static void
on_end(struct bufferevent *be, short what, void *arg)
{
	(void)be;
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0)
		client_free(arg);
}

static void
on_client(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct control *c = arg;
	struct client *x = c->n < CONTROL_CLIENTS ? calloc(1, sizeof(*x)) : NULL;

	(void)l, (void)sa, (void)len;
	if (x != NULL)
		x->be = bufferevent_socket_new(loop_base(c->g->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (x == NULL || x->be == NULL) {
		log_event(LOG_LEVEL_WARN, "control-refused", "clients=%u max=%d", c->n,
		    CONTROL_CLIENTS);
		free(x);
		close(fd);
		return;
	}
	x->control = c;
	x->next = c->clients;
	c->clients = x;
	c->n++;
	bufferevent_priority_set(x->be, LOOP_LATER);
	bufferevent_setwatermark(x->be, EV_READ, 0, CONTROL_LINE_MAX);
	bufferevent_setcb(x->be, on_read, NULL, on_end, x);
	bufferevent_enable(x->be, EV_READ | EV_WRITE);
}

/* A socket file may be left by a daemon that was killed: nobody answers there. */
static bool
take_path(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return false;
	err = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : errno;
	close(fd);
	if (err == 0) {
		log_event(LOG_LEVEL_ERROR, "control-failed", "socket=%s what=\"another tandem "
		    "answers there; stop it or give another --socket\"", un->sun_path);
		return false;
	}
	if (err == ECONNREFUSED)
		unlink(un->sun_path);
	return true;
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

static int
listen_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, err;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	make_folder(path);
	if (!take_path(&un))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	old = umask(0117);
	err = bind(fd, (struct sockaddr *)&un, sizeof(un));
	umask(old);
	if (err != 0 || listen(fd, 16) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

struct control *
control_new(struct gw *g, const char *path)
{
	struct control *c = calloc(1, sizeof(*c));
	int fd = c != NULL ? listen_at(path) : -1;

	if (fd < 0) {
		log_event(LOG_LEVEL_ERROR, "control-failed", "socket=%s error=\"%s\"", path,
		    strerror(errno));
		free(c);
		return NULL;
	}
	c->g = g;
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->listener = evconnlistener_new(loop_base(g->loop), on_client, c,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (c->listener == NULL) {
		close(fd);
		free(c);
		return NULL;
	}
	return c;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	while (c->clients != NULL)
		client_free(c->clients);
	unlink(c->path);		/* before we stop answering: then it is surely still ours */
	evconnlistener_free(c->listener);
	free(c);
}

void
control_event(struct control *c, const char *event, const char *connection, unsigned tunnel,
    const char *text)
{
	struct client *x, *next;
	struct timespec ts;
	json_t *e;

	clock_gettime(CLOCK_REALTIME, &ts);
	for (x = c->clients; x != NULL; x = next) {
		next = x->next;
		if (!x->watching)
			continue;
		e = json_pack("{s:s, s:f, s:s, s:s}", "event", event,
		    "time", (double)ts.tv_sec + (double)ts.tv_nsec / 1e9,
		    "connection", connection, "what", text);
		if (e != NULL && tunnel != 0)
			json_object_set_new(e, "tunnel", json_integer(tunnel));
		(void)say(x, e);
	}
}
