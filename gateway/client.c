/* SPDX-License-Identifier: MIT */
#include "gateway/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
	FILE *in, *out;
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
	int fd = c != NULL ? connect_to(path) : -1, fd2;

	if (fd < 0) {
		say_why(path);
		free(c);
		return NULL;
	}
	fd2 = dup(fd);
	c->in = fdopen(fd, "r");
	c->out = fd2 >= 0 ? fdopen(fd2, "w") : NULL;
	if (c->in == NULL || c->out == NULL) {
		say_why(path);
		client_close(c);
		return NULL;
	}
	return c;
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	if (c->in != NULL)
		fclose(c->in);
	if (c->out != NULL)
		fclose(c->out);
	free(c);
}

int
client_send(struct client *c, json_t *request)
{
	int bad = json_dumpf(request, c->out, JSON_COMPACT);

	json_decref(request);
	return bad == 0 && fputc('\n', c->out) != EOF && fflush(c->out) == 0;
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
