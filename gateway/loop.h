/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_LOOP_H
#define TANDEM_GATEWAY_LOOP_H

#include <stdbool.h>

#include "base/usec.h"

/*
 * The event loop of the control thread (libevent): readiness, signals, and one timer armed to
 * the earliest deadline of all machines.  The only place that reads the clock for them.
 *
 * After every callback `turn` is called once; it drains the machines and returns the time at
 * which it wants to be called again (USEC_NEVER: only after a callback).  A time that has
 * passed is served at once, so a turn that always returns one keeps the processor busy.
 *
 * Writing to a socket whose other end is gone fails instead of killing the process: SIGPIPE
 * is ignored from loop_new() on.  Other threads block all signals; this one takes them.
 */
struct loop;
struct loop_fd;

enum loop_prio {
	LOOP_FIRST,			/* worker, broker, kernel news, signals */
	LOOP_LATER,			/* strangers and control clients: when nothing else is ready; */
					/* a callback of this class should take 1 ms at most */
};

typedef void	loop_fn(void *arg);
typedef usec_t	loop_turn_fn(void *arg, usec_t now);

struct loop	*loop_new(void);			/* NULL: no memory */
void		loop_free(struct loop *l);		/* after all its loop_fd; NULL is fine */
/* Until loop_stop(), which may also come before; the turn is called once in any case. */
void		loop_run(struct loop *l, loop_turn_fn *turn, void *arg);
void		loop_stop(struct loop *l);

/*
 * Call `fn` whenever `fd` is readable (or writable: always as LOOP_FIRST), or when the signal
 * has come.  The descriptor stays the caller's: forget it before closing it.  NULL: no memory,
 * or the descriptor cannot be polled.
 */
struct loop_fd	*loop_on_read(struct loop *l, int fd, enum loop_prio prio, loop_fn *fn, void *arg);
struct loop_fd	*loop_on_write(struct loop *l, int fd, loop_fn *fn, void *arg);
struct loop_fd	*loop_on_signal(struct loop *l, int signo, loop_fn *fn, void *arg);
/* Call `fn` only when loop_again() asks for it. */
struct loop_fd	*loop_on_call(struct loop *l, enum loop_prio prio, loop_fn *fn, void *arg);
void		loop_again(struct loop_fd *h);		/* once more next round: work was left */
/* `fn` is not called any more; also from inside it.  NULL is fine. */
void		loop_forget(struct loop_fd *h);

usec_t		loop_now(void);				/* CLOCK_MONOTONIC */

/* For bufferevents of control clients; their callbacks end a round by loop_round(). */
struct event_base;
struct event_base *loop_base(struct loop *l);
void		loop_round(struct loop *l);		/* the turn comes after this callback */

#endif
