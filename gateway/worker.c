/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "gateway/loop.h"
#include "gateway/worker_impl.h"

/*
 * A worker runs to completion: what it reads from a device leaves by a socket before it reads
 * again, and the other way round.  It sleeps in epoll and nowhere else.
 *
 * Ownership.  Commands carry SAs, paths and descriptors to the worker; events carry SAs and
 * paths back.  The engine reserves the room for what it must give back, so an event that finds
 * the ring full waits there and is tried again soon.  Counters are relaxed atomics with one
 * writer; control samples them whenever it likes.
 *
 * Waking.  An eventfd is lowered before its ring is looked at, never after: what is put between
 * a look and the lowering would lie there until something else happens.
 */

bool
worker_watch(struct worker *w, int fd, enum source source, unsigned index)
{
	struct epoll_event ev = { .events = EPOLLIN,
	    .data.u64 = (uint64_t)source << 32 | index };

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

void
worker_device_del(struct worker *w, unsigned index)
{
	if (index >= WORKER_DEVICES || w->device[index].fd < 0)
		return;
	epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->device[index].fd, NULL);
	close(w->device[index].fd);
	w->device[index].fd = -1;
	if (w->writer[index] >= 0)
		close(w->writer[index]);
	w->writer[index] = -1;
}

static void
device_writer(struct worker *w, const struct worker_cmd *c)
{
	if (w->device[c->index].fd < 0 || w->writer[c->index] >= 0)
		close(c->fd);
	else
		w->writer[c->index] = c->fd;
}

static void
device_queue(struct worker *w, const struct worker_cmd *c)
{
	int err = w->device[c->index].fd >= 0 ? tun_queue(w->device[c->index].fd, c->on) : 0;

	if (err != 0 && err != -EINVAL)
		log_event(LOG_LEVEL_ERROR, "queue-failed", "device=%u worker=%u error=\"%s\"",
		    c->index, w->index, strerror(-err));
}

/* The kernel has no room just now, as against a descriptor that cannot be watched at all. */
static bool
is_shortage(int err)
{
	return err == ENOMEM || err == ENOSPC;
}

static bool
device_add(struct worker *w, const struct worker_cmd *c)
{
	assert(c->index < WORKER_DEVICES);
	worker_device_del(w, c->index);
	if (worker_watch(w, c->fd, SOURCE_DEVICE, c->index)) {
		tun_port_init(&w->device[c->index], c->fd);
		esp_device(w->esp, c->index, (w->device[c->index].tso ? ESP_TAKES_TCP : 0) |
		    (w->device[c->index].uso ? ESP_TAKES_UDP : 0));
		return true;
	}
	if (is_shortage(errno))
		return false;
	log_event(LOG_LEVEL_ERROR, "device-failed", "device=%u error=\"%s\"", c->index,
	    strerror(errno));
	close(c->fd);
	return true;
}

static bool
socket_set(struct worker *w, const struct worker_cmd *c)
{
	assert(c->index < WORKER_SOCKETS);
	if (w->socket[c->index].fd >= 0) {
		epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->socket[c->index].fd, NULL);
		(void)udp_gro(w->socket[c->index].fd, false);
	}
	w->socket[c->index].fd = -1;
	if (c->fd < 0)
		return true;
	if (worker_watch(w, c->fd, SOURCE_SOCKET, c->index)) {
		w->socket[c->index].fd = c->fd;
		w->socket[c->index].port = c->port;
		w->socket[c->index].tx = (struct udp_tx){ .plain = 0 };
		(void)udp_gro(c->fd, true);	/* an old kernel: datagrams come one by one */
		return true;
	}
	if (is_shortage(errno))
		return false;
	log_event(LOG_LEVEL_ERROR, "socket-failed", "socket=%u error=\"%s\"", c->index,
	    strerror(errno));
	return true;
}

/* False: no memory; the command is to be tried again. */
static bool
obey(struct worker *w, const struct worker_cmd *c, usec_t now)
{
	switch (c->kind) {
	case WORKER_ESP:
		return esp_command(w->esp, now, &c->esp);
	case WORKER_DEVICE_ADD:
		return device_add(w, c);
	case WORKER_DEVICE_WRITER:
		device_writer(w, c);
		return true;
	case WORKER_DEVICE_QUEUE:
		device_queue(w, c);
		return true;
	case WORKER_DEVICE_DEL:
		worker_device_del(w, c->index);
		return true;
	case WORKER_SOCKET:
		return socket_set(w, c);
	}
	return true;
}

static bool
is_question(const struct worker_cmd *c)
{
	return c->kind == WORKER_ESP && c->esp.kind == ESP_CMD_PROBE;
}

/* Questions in a row leave together: the monitor of a thousand tunnels asks many at once. */
void
worker_obey(struct worker *w, usec_t now)
{
	unsigned asked = 0;

	while (w->holds || ring_get(w->cmds, &w->held)) {
		if (asked > 0 && (asked == ASKED_AT_ONCE || !is_question(&w->held))) {
			worker_send_pending(w);
			asked = 0;
		}
		w->holds = !obey(w, &w->held, now);
		if (w->holds)
			break;
		asked += is_question(&w->held);
	}
	if (asked > 0)
		worker_send_pending(w);
}

static void
give_events(struct worker *w)
{
	struct esp_event ev;
	bool room;

	while ((room = ring_used(w->events) < EVENT_RING) && esp_event(w->esp, &ev)) {
		(void)ring_put(w->events, &ev);
		w->told = true;
	}
	w->behind = !room;
	if (w->told)
		worker_raise(w->event_fd);
	w->told = false;
}

static void
serve(struct worker *w, const struct epoll_event *ev, usec_t now)
{
	enum source source = (enum source)(ev->data.u64 >> 32);
	unsigned index = (unsigned)ev->data.u64;

	switch (source) {
	case SOURCE_CMD:
		worker_lower(w->cmd_fd);
		worker_obey(w, now);
		worker_from_control(w, now);
		return;
	case SOURCE_DEVICE:
		worker_from_device(w, index, now);
		return;
	case SOURCE_SOCKET:
		worker_from_socket(w, index, now);
		return;
	}
}

static int
wait_ms(const struct worker *w, usec_t now)
{
	usec_t at = esp_deadline(w->esp), most;

	if (w->holds || w->behind)
		at = usec_min(at, usec_add(now, USEC_MS(RETRY_MS)));
	if (at == USEC_NEVER)
		return -1;
	most = at <= now ? 0 : (at - now) / 1000 + 1;
	return most < INT_MAX ? (int)most : INT_MAX;
}

void *
worker_run(void *arg)
{
	struct worker *w = arg;
	struct epoll_event ev[EPOLL_EVENTS];

	while (!atomic_load_explicit(&w->quit, memory_order_acquire)) {
		int n = epoll_wait(w->epoll, ev, EPOLL_EVENTS, wait_ms(w, loop_now()));
		usec_t now = loop_now();

		/* Commands first: the SA was posted before the peer could use it. */
		worker_obey(w, now);
		for (int i = 0; i < n; i++)
			serve(w, &ev[i], now);
		esp_tick(w->esp, now);
		give_events(w);
	}
	return NULL;
}
