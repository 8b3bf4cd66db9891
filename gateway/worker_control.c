/* SPDX-License-Identifier: MIT */
/* What the control thread calls: see worker.h. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "gateway/worker_impl.h"

static bool
start_thread(struct worker *w)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);	/* signals are the control thread's */
	err = pthread_create(&w->thread, NULL, worker_run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->running = err == 0;
	return w->running;
}

static bool
make(struct worker *w, const struct aead_set *aeads, const uint8_t probe_key[16])
{
	w->esp = esp_new(aeads, probe_key);
	w->cmds = ring_new(sizeof(struct worker_cmd), CMD_RING);
	w->events = ring_new(sizeof(struct esp_event), EVENT_RING);
	w->strays = ring_new(sizeof(struct worker_stray), STRAY_RING);
	w->handed = ring_new(sizeof(struct worker_stray), STRAY_RING);
	w->cmd_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	return w->esp != NULL && w->cmds != NULL && w->events != NULL && w->strays != NULL &&
	    w->handed != NULL &&
	    w->cmd_fd >= 0 && w->event_fd >= 0 && w->epoll >= 0 &&
	    batch_init_shared(&w->dev, BATCH_PKTS, DEVICE_BUF) &&
	    batch_init(&w->net, RECV_PKTS, PKT_BUF) &&
	    batch_init(&w->esp_in, BATCH_PKTS, 0) &&
	    batch_init(&w->wire, VIEWS, 0) &&
	    batch_init(&w->inner, VIEWS, 0) &&
	    worker_watch(w, w->cmd_fd, SOURCE_CMD, 0);
}

struct worker *
worker_new(unsigned index, unsigned workers, const struct aead_set *aeads,
    const uint8_t probe_key[16])
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->index = index;
	w->workers = workers;
	w->wait_tail = &w->wait_head;
	w->cmd_fd = w->event_fd = w->epoll = -1;
	for (unsigned i = 0; i < WORKER_DEVICES; i++)
		w->device[i].fd = w->writer[i] = -1;
	for (unsigned i = 0; i < WORKER_SOCKETS; i++)
		w->socket[i].fd = -1;
	if (!make(w, aeads, probe_key) || !start_thread(w)) {
		log_event(LOG_LEVEL_ERROR, "worker-failed", "worker=%u error=\"%s\"", index,
		    strerror(errno));
		worker_free(w, NULL, NULL);
		return NULL;
	}
	return w;
}

/* What a command carried goes back as if the engine had had it. */
static void
refuse(const struct worker_cmd *c, void (*drop)(void *, const struct esp_event *), void *arg)
{
	const struct esp_event ev = { .sa = c->esp.sa, .path = c->esp.path,
	    .tunnel = c->esp.tunnel,
	    .kind = c->esp.sa != NULL ? ESP_EV_SA_BACK : ESP_EV_PATH_BACK };

	if (c->kind == WORKER_DEVICE_ADD || c->kind == WORKER_DEVICE_WRITER)
		close(c->fd);
	else if (c->kind == WORKER_ESP && (ev.sa != NULL || ev.path != NULL) && drop != NULL)
		drop(arg, &ev);
}

/* The thread has ended: everything is control's again. */
static void
take_back(struct worker *w, void (*drop)(void *, const struct esp_event *), void *arg)
{
	const struct esp_cmd stop = { .kind = ESP_CMD_STOP };
	struct worker_cmd c;
	struct waiting *x;
	struct esp_event ev;

	if (w->holds)
		refuse(&w->held, drop, arg);
	while (ring_get(w->cmds, &c))
		refuse(&c, drop, arg);
	while ((x = w->wait_head) != NULL) {
		w->wait_head = x->next;
		refuse(&x->cmd, drop, arg);
		free(x);
	}
	for (unsigned i = 0; i < WORKER_DEVICES; i++)
		worker_device_del(w, i);
	esp_command(w->esp, 0, &stop);
	while (ring_get(w->events, &ev) || esp_event(w->esp, &ev))
		if (drop != NULL)
			drop(arg, &ev);
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
worker_free(struct worker *w, void (*drop)(void *arg, const struct esp_event *ev), void *arg)
{
	if (w == NULL)
		return;
	if (w->running) {
		atomic_store_explicit(&w->quit, true, memory_order_release);
		worker_raise(w->cmd_fd);
		pthread_join(w->thread, NULL);
		take_back(w, drop, arg);
	}
	esp_free(w->esp);
	ring_free(w->cmds);
	ring_free(w->events);
	ring_free(w->strays);
	ring_free(w->handed);
	batch_fini(&w->dev);
	batch_fini(&w->net);
	batch_fini(&w->esp_in);
	batch_fini(&w->wire);
	batch_fini(&w->inner);
	close_fd(w->cmd_fd);
	close_fd(w->event_fd);
	close_fd(w->epoll);
	free(w);
}

bool
worker_flush(struct worker *w)
{
	struct waiting *x;

	if (w->wait_head == NULL)
		return true;
	while ((x = w->wait_head) != NULL && ring_put(w->cmds, &x->cmd)) {
		if ((w->wait_head = x->next) == NULL)
			w->wait_tail = &w->wait_head;
		free(x);
	}
	worker_raise(w->cmd_fd);
	return w->wait_head == NULL;
}

bool
worker_post(struct worker *w, const struct worker_cmd *cmd)
{
	struct waiting *x;

	if (w->wait_head == NULL && ring_put(w->cmds, cmd)) {
		worker_raise(w->cmd_fd);
		return true;
	}
	if ((x = malloc(sizeof(*x))) == NULL)
		return false;
	x->cmd = *cmd;
	x->next = NULL;
	*w->wait_tail = x;
	w->wait_tail = &x->next;
	return true;
}

bool
worker_event(struct worker *w, struct esp_event *ev)
{
	return ring_get(w->events, ev);
}

bool
worker_stray(struct worker *w, struct worker_stray *s)
{
	return ring_get(w->strays, s);
}

bool
worker_hand(struct worker *w, const struct worker_stray *s)
{
	if (s->len > sizeof(s->data) || !ring_put(w->handed, s)) {
		atomic_fetch_add_explicit(&w->hand_lost, 1, memory_order_relaxed);
		return false;
	}
	worker_raise(w->cmd_fd);
	return true;
}

int
worker_fd(const struct worker *w)
{
	return w->event_fd;
}

void
worker_fd_clear(struct worker *w)
{
	worker_lower(w->event_fd);
}

void
worker_wake_on_traffic(struct worker *w, unsigned device)
{
	assert(device < WORKER_DEVICES);
	(void)atomic_exchange_explicit(&w->wake[device], true, memory_order_acq_rel);
}

bool
worker_has_woken(const struct worker *w, unsigned device)
{
	assert(device < WORKER_DEVICES);
	return !atomic_load_explicit(&w->wake[device], memory_order_acquire);
}

bool
worker_any_woken(struct worker *w)
{
	return atomic_exchange_explicit(&w->woke, false, memory_order_acq_rel);
}

bool
worker_tunnel_stats(const struct worker *w, uint32_t tunnel, struct esp_tunnel_stats *st)
{
	return esp_tunnel_stats(w->esp, tunnel, st);
}

void
worker_stats(const struct worker *w, struct esp_stats *st)
{
	uint64_t lost = atomic_load_explicit(&w->hand_lost, memory_order_relaxed);

	esp_stats(w->esp, st);
	st->in_packets += lost;
	st->drop[DROP_IN_NO_BUFFER] += lost;
}

uint64_t
worker_strays_lost(const struct worker *w)
{
	return atomic_load_explicit(&w->strays_lost, memory_order_relaxed);
}

void
worker_batches(const struct worker *w, struct worker_batches *b)
{
	const struct tallies *t = &w->tallies;

	for (unsigned i = 0; i < WORKER_SIZES; i++) {
		b->send[i] = atomic_load_explicit(&t->send[i], memory_order_relaxed);
		b->recv[i] = atomic_load_explicit(&t->recv[i], memory_order_relaxed);
		b->write[i] = atomic_load_explicit(&t->write[i], memory_order_relaxed);
		b->read[i] = atomic_load_explicit(&t->read[i], memory_order_relaxed);
	}
	b->refused = atomic_load_explicit(&t->refused, memory_order_relaxed);
}
