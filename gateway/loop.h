/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_LOOP_H
#define TANDEM_GATEWAY_LOOP_H

#include <stdbool.h>

#include "base/usec.h"

/*
 * The event loop of the control thread (libevent): readiness, signals, and one timer armed to
 * the earliest deadline of all machines.  The only place that reads the clock for them.
 *
 * After every round of events `turn` is called once; it drains the machines and returns the
 * time at which it wants to be called again.
 */
struct loop;
struct loop_fd;

enum loop_prio {
	LOOP_FIRST,			/* worker, broker, kernel news, signals */
	LOOP_LATER,			/* strangers and control clients: at most 1 ms a round */
};

typedef void	loop_fn(void *arg);
typedef usec_t	loop_turn_fn(void *arg, usec_t now);

struct loop	*loop_new(void);			/* NULL: no memory */
void		loop_free(struct loop *l);
/* Until loop_stop(). */
void		loop_run(struct loop *l, loop_turn_fn *turn, void *arg);
void		loop_stop(struct loop *l);

/* Call `fn` when `fd` is readable (or writable).  The descriptor stays the caller's.  NULL: no memory. */
struct loop_fd	*loop_on_read(struct loop *l, int fd, enum loop_prio prio, loop_fn *fn, void *arg);
struct loop_fd	*loop_on_write(struct loop *l, int fd, loop_fn *fn, void *arg);
struct loop_fd	*loop_on_signal(struct loop *l, int signo, loop_fn *fn, void *arg);
void		loop_again(struct loop_fd *h);		/* run it once more next round: work was left */
void		loop_forget(struct loop_fd *h);		/* NULL is fine */

usec_t		loop_now(void);				/* CLOCK_MONOTONIC */

struct event_base;
struct event_base *loop_base(struct loop *l);		/* for bufferevents of control clients */

#endif
