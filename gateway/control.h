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
 * Who connects while the daemon starts is heard when its connections are there: an answer before
 * that would say that there are none.
 *
 * Requests of one client are answered in order, the next one when it has taken the answer.
 *
 * Bounds: CONTROL_CLIENTS clients, CONTROL_LINE_MAX bytes a request.  A client that neither
 * asks, nor watches, nor takes its answer for CONTROL_PATIENCE_S is cut off, and so is a
 * watcher with CONTROL_BACKLOG bytes before it.  Who may connect is root, our own user, or a
 * member of the socket's group: the mode of the file says so.
 */
struct gw;
struct control;

enum {
	CONTROL_CLIENTS		= 64,
	CONTROL_LINE_MAX	= 64 * 1024,
	CONTROL_BACKLOG		= 1024 * 1024,
	CONTROL_PATIENCE_S	= 30,
};

/* Uses g->loop.  Removes a socket that a dead daemon left; NULL (logged) when one answers there,
 * when the file is no socket, and on errors.  Clients wait in its queue until control_begin(). */
struct control	*control_new(struct gw *g, const char *path);
bool		control_begin(struct control *c);	/* false: no memory */
void		control_free(struct control *c);	/* removes the socket; NULL is fine */
/* Tell watchers; fine at any time, also while one of them is answered.  `tunnel` 0: of the
 * connection. */
void		control_event(struct control *c, const char *event, const char *connection,
		    unsigned tunnel, const char *text);

/* The verbs (commands.c): answer a request, which is an object with a "verb".  Returns a new
 * object; NULL only without memory. */
json_t		*control_answer(struct gw *g, const json_t *request);
json_t		*control_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A text as a JSON string, also when it is not UTF-8 (then with ? for what is not ASCII). */
json_t		*control_text(const char *text);

#endif
