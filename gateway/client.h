/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_CLIENT_H
#define TANDEM_GATEWAY_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

/* The other end of the control socket: what the command line speaks to the daemon with. */
struct client;

/* NULL: nobody answers (a sentence with what to do was printed to standard error). */
struct client	*client_open(const char *socket_path);
void		client_close(struct client *c);		/* NULL is fine */
/* Send a request (steals the reference).  False: the daemon hung up; why may still be read. */
bool		client_send(struct client *c, json_t *request);
/* The next answer or event, waiting for it; NULL: the daemon hung up (or spoke no JSON). */
json_t		*client_next(struct client *c);
/* For one who follows events, right after client_open(): client_wait() knows what has come. */
void		client_follow(struct client *c);
/* Wait until client_next() has something.  False: whoever read `out` has gone. */
bool		client_wait(struct client *c, int out);

#endif
