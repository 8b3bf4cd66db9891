/* SPDX-License-Identifier: MIT */
#include "gateway/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
	int fd;
	FILE *in;			/* owns fd */
};

static int
connect_to(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

static void
say_why(const char *path)
{
	const char *hint = "give its socket with --socket or TANDEM_SOCKET";

	if (errno == ENOENT || errno == ECONNREFUSED)
		hint = "is the daemon running? start it with: tandem run";
	else if (errno == EACCES)
		hint = "try it as root, or join the socket's group";
	fprintf(stderr, "tandem: no daemon at %s: %s; %s\n", path, strerror(errno), hint);
}

struct client *
client_open(const char *path)
{
	struct client *c = calloc(1, sizeof(*c));
	int fd = c != NULL ? connect_to(path) : -1;

	if (fd < 0 || (c->in = fdopen(fd, "r")) == NULL) {
		say_why(path);
		if (fd >= 0)
			close(fd);
		free(c);
		return NULL;
	}
	c->fd = fd;
	return c;
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	fclose(c->in);
	free(c);
}

/* A daemon that has hung up is an answer, not a signal that ends us. */
static bool
send_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	for (; len > 0; data += n, len -= (size_t)n) {
		do
			n = send(fd, data, len, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return false;
	}
	return true;
}

bool
client_send(struct client *c, json_t *request)
{
	char *text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
	bool good = text != NULL && send_all(c->fd, text, strlen(text)) && send_all(c->fd, "\n", 1);

	free(text);
	json_decref(request);
	return good;
}

void
client_follow(struct client *c)
{
	(void)setvbuf(c->in, NULL, _IONBF, 0);	/* so that poll() knows all there is to read */
}

bool
client_wait(struct client *c, int out)
{
	struct pollfd p[2] = { { .fd = c->fd, .events = POLLIN }, { .fd = out } };

	for (;;) {
		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if ((p[1].revents & (POLLERR | POLLHUP)) != 0)
			return false;
		if (p[0].revents != 0)
			return true;
	}
}

json_t *
client_next(struct client *c)
{
	char *line = NULL;
	size_t cap = 0;
	json_t *o = NULL;

	if (getline(&line, &cap, c->in) > 0)
		o = json_loads(line, 0, NULL);
	free(line);
	return o;
}
