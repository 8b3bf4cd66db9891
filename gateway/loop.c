/* SPDX-License-Identifier: MIT */
#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/loop.h"

struct loop {
	struct event_base *base;
	struct event *timer;
	bool stop;
};

struct loop_fd {
	struct event *ev;
	loop_fn *fn;
	void *arg;
};

/* A round ends early after so much time or so many callbacks, so that LOOP_FIRST is served again. */
#define ROUND_USEC	1000
#define ROUND_CALLBACKS	16

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
	(void)fd, (void)what, (void)arg;	/* waking up is all: the turn looks at the time */
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *h = arg;

	(void)fd, (void)what;
	h->fn(h->arg);
}

struct loop *
loop_new(void)
{
	struct event_config *cfg = event_config_new();
	struct timeval round = { 0, ROUND_USEC };
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL || cfg == NULL)
		goto fail;
	event_config_set_max_dispatch_interval(cfg, &round, ROUND_CALLBACKS, LOOP_LATER);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	l->base = event_base_new_with_config(cfg);
	if (l->base == NULL || event_base_priority_init(l->base, 2) != 0)
		goto fail;
	l->timer = evtimer_new(l->base, on_timer, l);
	if (l->timer == NULL)
		goto fail;
	event_priority_set(l->timer, LOOP_FIRST);
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
	h->fn = fn;
	h->arg = arg;
	h->ev = event_new(l->base, fd, what | EV_PERSIST, on_event, h);
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
