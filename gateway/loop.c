/* SPDX-License-Identifier: MIT */
#include "gateway/loop.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/*
 * A round is one callback: libevent's own loop goes on until nothing is ready any more, which
 * with many busy clients may be long after a machine wanted its tick.  So each callback breaks
 * it; what else was ready stays queued by priority, and whatever of LOOP_FIRST has become
 * ready meanwhile is served before it.
 */

struct loop {
	struct event_base *base;
	struct event *timer;
	bool stop;
};

struct loop_fd {
	struct loop *l;
	struct event *ev;
	loop_fn *fn;
	void *arg;
};

usec_t
loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return USEC_S(ts.tv_sec) + (usec_t)ts.tv_nsec / 1000;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	loop_round(arg);		/* waking up is all: the turn looks at the time */
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *h = arg;
	struct loop *l = h->l;		/* fn may forget h */

	(void)fd, (void)what;
	h->fn(h->arg);
	loop_round(l);
}

struct loop *
loop_new(void)
{
	struct event_config *cfg = event_config_new();
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL || cfg == NULL)
		goto fail;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	l->base = event_base_new_with_config(cfg);
	if (l->base == NULL || event_base_priority_init(l->base, 2) != 0)
		goto fail;
	l->timer = evtimer_new(l->base, on_timer, l);
	if (l->timer == NULL)
		goto fail;
	event_priority_set(l->timer, LOOP_FIRST);
	/* Clients hang up when they like: a write to them fails, which is no reason to die. */
	(void)signal(SIGPIPE, SIG_IGN);
	event_config_free(cfg);
	return l;
fail:
	if (cfg != NULL)
		event_config_free(cfg);
	loop_free(l);
	return NULL;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	if (l->timer != NULL)
		event_free(l->timer);
	if (l->base != NULL)
		event_base_free(l->base);
	free(l);
}

/* A deadline that has passed is served after one look at what is ready. */
static void
arm(struct loop *l, usec_t deadline, usec_t now)
{
	usec_t wait = deadline > now ? deadline - now : 0;
	struct timeval tv = { (time_t)(wait / 1000000), (suseconds_t)(wait % 1000000) };

	if (deadline == USEC_NEVER)
		event_del(l->timer);
	else
		event_add(l->timer, &tv);
}

void
loop_run(struct loop *l, loop_turn_fn *turn, void *arg)
{
	usec_t now = loop_now();

	arm(l, turn(arg, now), now);
	while (!l->stop) {
		if (event_base_loop(l->base, EVLOOP_ONCE) < 0)
			break;
		now = loop_now();
		arm(l, turn(arg, now), now);
	}
}

void
loop_round(struct loop *l)
{
	event_base_loopbreak(l->base);
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
	event_base_loopbreak(l->base);
}

static struct loop_fd *
watch(struct loop *l, int fd, short what, loop_fn *fn, void *arg)
{
	struct loop_fd *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->l = l;
	h->fn = fn;
	h->arg = arg;
	h->ev = event_new(l->base, fd, (short)(what | EV_PERSIST), on_event, h);
	if (h->ev == NULL) {
		free(h);
		return NULL;
	}
	return h;
}

static struct loop_fd *
start(struct loop_fd *h, enum loop_prio prio)
{
	if (h == NULL)
		return NULL;
	event_priority_set(h->ev, (int)prio);
	if (event_add(h->ev, NULL) != 0) {
		loop_forget(h);
		return NULL;
	}
	return h;
}

struct loop_fd *
loop_on_read(struct loop *l, int fd, enum loop_prio prio, loop_fn *fn, void *arg)
{
	return start(watch(l, fd, EV_READ, fn, arg), prio);
}

struct loop_fd *
loop_on_write(struct loop *l, int fd, loop_fn *fn, void *arg)
{
	return start(watch(l, fd, EV_WRITE, fn, arg), LOOP_FIRST);
}

struct loop_fd *
loop_on_signal(struct loop *l, int signo, loop_fn *fn, void *arg)
{
	return start(watch(l, signo, EV_SIGNAL, fn, arg), LOOP_FIRST);
}

struct loop_fd *
loop_on_call(struct loop *l, enum loop_prio prio, loop_fn *fn, void *arg)
{
	struct loop_fd *h = watch(l, -1, 0, fn, arg);

	if (h != NULL)
		event_priority_set(h->ev, (int)prio);
	return h;
}

void
loop_again(struct loop_fd *h)
{
	event_active(h->ev, EV_READ, 1);
}

void
loop_forget(struct loop_fd *h)
{
	if (h == NULL)
		return;
	event_free(h->ev);
	free(h);
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}
