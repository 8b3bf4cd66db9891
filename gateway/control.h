/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_CONTROL_H
#define TANDEM_GATEWAY_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The control socket: a Unix stream socket of mode 0660.  A client sends one JSON object a
 * line, {"verb": "status", ...}, and gets one JSON object a line back:
 *
 *	{"ok": true, "schema": 1, ...}		or
 *	{"ok": false, "schema": 1, "error": "a sentence"}
 *
 * After "watch" the client gets an object for each event until it hangs up.
 *
 * Bounds: CONTROL_CLIENTS clients, CONTROL_LINE_MAX bytes a request; a client that does not
 * read what it asked for is cut off at CONTROL_BACKLOG bytes.  Peers are root, our own user,
 * or a member of the socket's group (the file mode says so).
 */
struct gw;
struct control;

enum {
	CONTROL_CLIENTS		= 64,
	CONTROL_LINE_MAX	= 64 * 1024,
	CONTROL_BACKLOG		= 16 * 1024 * 1024,
};

/* Removes a socket that a dead daemon left; NULL (logged) when one answers there or on errors. */
struct control	*control_new(struct gw *g, const char *path);
void		control_free(struct control *c);
/* Tell watchers.  `tunnel` 0: of the connection. */
void		control_event(struct control *c, const char *event, const char *connection,
		    unsigned tunnel, const char *text);

/* The verbs (commands.c): answer a request.  Returns a new object; never NULL but for no memory. */
json_t		*control_answer(struct gw *g, const json_t *request);
json_t		*control_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
