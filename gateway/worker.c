/* SPDX-License-Identifier: MIT */
#include "gateway/worker.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/ring.h"
#include "gateway/loop.h"
#include "tun/tun.h"
#include "tun/udp.h"

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
enum {
	CMD_RING	= 1024,
	EVENT_RING	= 1024,
	STRAY_RING	= 256,
	/* Buffers of a worker, bytes: 192 KiB read from devices, 16 trains of 64 KiB received, and
	 * the engine's 256 KiB each way and 600 KiB for packets of its own: 2.4 MiB in all, of
	 * which only what traffic needs is ever touched. */
	DEVICE_BUF	= 3 * 65536,
	RECV_PKTS	= 16,		/* datagrams, or trains, of one receive call */
	RECV_TRAINS	= 4,		/* ... when trains come: each may be 64 KiB */
	VIEWS		= 256,		/* outputs of one call of the engine */
	ROUNDS		= 4,		/* batches from one descriptor before the next has its turn */
	EPOLL_EVENTS	= 64,
	RETRY_MS	= 10,		/* after a command found no memory or an event no room */
};

enum source { SOURCE_CMD, SOURCE_DEVICE, SOURCE_SOCKET };

/* Counters with one writer, sampled by control. */
typedef _Atomic uint64_t tally_t;

struct tallies {
	tally_t send[WORKER_SIZES], recv[WORKER_SIZES];
	tally_t write[WORKER_SIZES], read[WORKER_SIZES];
	tally_t refused;
};

/* Commands that found the ring full, in order; control's own. */
struct waiting {
	struct waiting *next;
	struct worker_cmd cmd;
};

struct worker {
	unsigned index;
	pthread_t thread;
	bool running;
	struct esp *esp;
	struct ring *cmds, *events, *strays;
	int cmd_fd, event_fd, epoll;
	_Atomic bool quit;
	_Atomic bool wake[WORKER_DEVICES];	/* set by control, lowered with the next packet */
	_Atomic uint64_t strays_lost;
	struct waiting *wait_head, **wait_tail;

	/* The worker's own from here on. */
	bool told;			/* control is to look */
	bool behind;			/* events found the ring full */
	bool holds;
	struct worker_cmd held;		/* a command that found no memory; those behind it wait */
	struct tun_port device[WORKER_DEVICES];
	struct { int fd; uint16_t port; struct udp_tx tx; } socket[WORKER_SOCKETS];
	struct batch dev, net;		/* read from a device, received */
	struct batch esp_in;		/* views of what of `net` is ESP */
	struct batch wire, inner;	/* views of what leaves */
	struct tallies tallies;
	struct worker_stray stray;
};

static void
kick(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static void
clear(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
}

/* ---- the worker's side ------------------------------------------------------------- */

static bool
watch(struct worker *w, int fd, enum source source, unsigned index)
{
	struct epoll_event ev = { .events = EPOLLIN,
	    .data.u64 = (uint64_t)source << 32 | index };

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void
device_del(struct worker *w, unsigned index)
{
	if (index >= WORKER_DEVICES || w->device[index].fd < 0)
		return;
	epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->device[index].fd, NULL);
	close(w->device[index].fd);
	w->device[index].fd = -1;
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
	device_del(w, c->index);
	if (watch(w, c->fd, SOURCE_DEVICE, c->index)) {
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
	if (watch(w, c->fd, SOURCE_SOCKET, c->index)) {
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

static void
tally(tally_t *t, uint64_t n)
{
	atomic_store_explicit(t, atomic_load_explicit(t, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

static void
tally_size(tally_t bucket[WORKER_SIZES], size_t n)
{
	unsigned i = n > 1 ? 63 - (unsigned)__builtin_clzll(n) : 0;

	tally(&bucket[i < WORKER_BUCKETS ? i : WORKER_BUCKETS - 1], 1);
	tally(&bucket[WORKER_BUCKETS], n);
}

static unsigned
segments(const struct pkt *p)
{
	return p->segments > 1 ? p->segments : 1;
}

/* Hand the datagrams of `b` to the kernel; what it refuses is counted. */
static void
send_wire(struct worker *w, struct batch *b)
{
	for (unsigned i = 0, n; i < b->n; i += n) {
		unsigned socket = b->pkt[i].socket, lost = 0;
		bool gone = socket >= WORKER_SOCKETS || w->socket[socket].fd < 0;
		int err;

		for (n = 0; i + n < b->n && b->pkt[i + n].socket == socket; n++) {
			lost += gone ? segments(&b->pkt[i + n]) : 0;
			tally_size(w->tallies.send, segments(&b->pkt[i + n]));
		}
		if (!gone)
			lost = udp_send(w->socket[socket].fd, &w->socket[socket].tx, b, i, n, &err);
		if (lost > 0)
			esp_count_drop(w->esp, DROP_OUT_SEND, lost);
		if (!gone)
			atomic_store_explicit(&w->tallies.refused, w->socket[socket].tx.refused,
			    memory_order_relaxed);
	}
	b->n = 0;
}

static size_t
pkt_bytes(const struct pkt *p)
{
	size_t n = p->len;

	for (const struct pkt_piece *x = p->more; x != NULL; x = x->next)
		n += x->len;
	return n;
}

static void
write_inner(struct worker *w, struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		unsigned d = b->pkt[i].device;

		tally_size(w->tallies.write, pkt_bytes(&b->pkt[i]));
		if (d >= WORKER_DEVICES || w->device[d].fd < 0 ||
		    tun_write(&w->device[d], &b->pkt[i]) != 0)
			esp_count_drop(w->esp, DROP_IN_DEVICE, segments(&b->pkt[i]));
	}
	b->n = 0;
}

/* Answers of our own making may fill `wire` in several goes. */
static void
flush_pending(struct worker *w)
{
	do {
		w->wire.n = 0;
		esp_pending(w->esp, &w->wire);
		if (w->wire.n == 0)
			break;
		send_wire(w, &w->wire);
	} while (true);
}

/* False: no memory; the command is to be tried again. */
static bool
obey(struct worker *w, const struct worker_cmd *c, usec_t now)
{
	switch (c->kind) {
	case WORKER_ESP:
		if (!esp_command(w->esp, now, &c->esp))
			return false;
		flush_pending(w);
		return true;
	case WORKER_DEVICE_ADD:
		return device_add(w, c);
	case WORKER_DEVICE_DEL:
		device_del(w, c->index);
		return true;
	case WORKER_SOCKET:
		return socket_set(w, c);
	}
	return true;
}

static void
obey_all(struct worker *w, usec_t now)
{
	while (w->holds || ring_get(w->cmds, &w->held)) {
		w->holds = !obey(w, &w->held, now);
		if (w->holds)
			return;
	}
}

/* Somebody deleted the device: it would be "readable" for ever. */
static void
device_check(struct worker *w, unsigned index, int err)
{
	if (err != -EBADFD && err != -EBADF)
		return;
	log_event(LOG_LEVEL_ERROR, "device-lost", "device=%u error=\"%s\"", index, strerror(-err));
	device_del(w, index);
}

static void
pass_out(struct worker *w, usec_t now)
{
	bool done;

	for (unsigned i = 0; i < w->dev.n; i++)
		tally_size(w->tallies.read, w->dev.pkt[i].len);
	do {
		w->wire.n = w->inner.n = 0;
		done = esp_out(w->esp, now, &w->dev, &w->wire, &w->inner);
		send_wire(w, &w->wire);
		write_inner(w, &w->inner);
	} while (!done);
}

static void
from_device(struct worker *w, unsigned index, usec_t now)
{
	for (int round = 0; round < ROUNDS && w->device[index].fd >= 0; round++) {
		int got;

		batch_reset(&w->dev);
		if ((got = tun_read(&w->device[index], index, &w->dev)) <= 0) {
			device_check(w, index, got);
			break;
		}
		pass_out(w, now);
		if (!batch_is_full(&w->dev))
			break;
	}
	/* Behind the counters, and an exchange on both sides: either control's look at the
	 * counters sees these packets or we see its flag. */
	if (atomic_exchange_explicit(&w->wake[index], false, memory_order_acq_rel))
		w->told = true;
}

static void
stray(struct worker *w, const struct pkt *p)
{
	struct worker_stray *s = &w->stray;

	s->local = p->local;
	s->remote = p->remote;
	s->len = (uint16_t)p->len;
	if (p->len <= sizeof(s->data))
		memcpy(s->data, pkt_data(p), p->len);
	if (p->len > sizeof(s->data) || !ring_put(w->strays, s))
		atomic_fetch_add_explicit(&w->strays_lost, 1, memory_order_relaxed);
	w->told = true;
}

/* What a round of receiving knows of SPIs. */
struct look {
	usec_t now;
	uint32_t spi;			/* the last one looked for, if it was known */
	bool known;
	bool again;			/* the commands were looked at once more */
};

/* RFC 3948 2.2, 2.3: four zero bytes announce IKE, one 0xff byte keeps a NAT open. */
static bool
is_esp(struct worker *w, const struct pkt *p)
{
	static const uint8_t marker[4];
	const uint8_t *data = pkt_data(p);

	if (p->len == 1 && data[0] == 0xff)
		return false;
	if (p->len >= sizeof(marker) && memcmp(data, marker, sizeof(marker)) == 0) {
		stray(w, p);
		return false;
	}
	return true;
}

static void
pass_in(struct worker *w, usec_t now)
{
	bool done;

	do {
		w->wire.n = w->inner.n = 0;
		done = esp_in(w->esp, now, &w->esp_in, &w->inner, &w->wire);
		write_inner(w, &w->inner);
		send_wire(w, &w->wire);
	} while (!done);
	batch_reset(&w->esp_in);
}

/* An SPI that was not looked for just before. */
static bool
is_other_spi(const struct pkt *p, struct look *look)
{
	struct rd r = rd_init(pkt_data(p), p->len);
	uint32_t spi = rd_u32(&r);

	if (look->known && look->spi == spi)
		return false;
	look->spi = spi;
	return true;
}

/*
 * An SA may have been posted after this round's look at the commands, and its first packets come
 * right behind the answer that made it: an unknown SPI is reason to look again, once a round.
 */
static void
look_again(struct worker *w, struct look *look)
{
	look->known = esp_knows(w->esp, look->spi);
	if (look->known || look->again)
		return;
	pass_in(w, look->now);
	obey_all(w, look->now);
	look->again = true;
	look->known = esp_knows(w->esp, look->spi);
}

/* Views of runs of the train's ESP datagrams, one for each SPI in a row; what is not ESP ends a
 * run: the kernel's GRO and senders' trains may carry it along. */
static void
classify(struct worker *w, const struct pkt *train, struct look *look)
{
	struct pkt *run = NULL, one = { .len = 1 };

	for (size_t at = 0; one.len > 0 && (at == 0 || at < train->len); at += one.len) {
		one = *train;
		one.off += (uint32_t)at;
		one.len -= (uint32_t)at;
		if (one.segment != 0 && one.len > one.segment)
			one.len = one.segment;
		if (!is_esp(w, &one)) {
			run = NULL;
			continue;
		}
		if (is_other_spi(&one, look)) {
			look_again(w, look);
			run = NULL;
		}
		if (run != NULL) {
			run->len += one.len;
			continue;
		}
		if (w->esp_in.n == w->esp_in.cap)
			pass_in(w, look->now);
		run = &w->esp_in.pkt[w->esp_in.n++];
		*run = one;
	}
}

static void
from_socket(struct worker *w, unsigned index, usec_t now)
{
	for (int round = 0; round < ROUNDS && w->socket[index].fd >= 0; round++) {
		struct look look = { .now = now };
		bool full, trains = false;

		batch_reset(&w->net);
		if (udp_recv(w->socket[index].fd, index, w->socket[index].port, &w->net) <= 0)
			break;
		full = batch_is_full(&w->net);
		for (unsigned i = 0; i < w->net.n; i++) {
			trains = trains || w->net.pkt[i].segment != 0;
			tally_size(w->tallies.recv, segments(&w->net.pkt[i]));
			classify(w, &w->net.pkt[i], &look);
		}
		pass_in(w, now);
		w->net.cap = trains ? RECV_TRAINS : RECV_PKTS;
		if (!full)
			break;
	}
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
		kick(w->event_fd);
	w->told = false;
}

static void
serve(struct worker *w, const struct epoll_event *ev, usec_t now)
{
	enum source source = (enum source)(ev->data.u64 >> 32);
	unsigned index = (unsigned)ev->data.u64;

	switch (source) {
	case SOURCE_CMD:
		clear(w->cmd_fd);
		obey_all(w, now);
		return;
	case SOURCE_DEVICE:
		from_device(w, index, now);
		return;
	case SOURCE_SOCKET:
		from_socket(w, index, now);
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

static void *
run(void *arg)
{
	struct worker *w = arg;
	struct epoll_event ev[EPOLL_EVENTS];

	while (!atomic_load_explicit(&w->quit, memory_order_acquire)) {
		int n = epoll_wait(w->epoll, ev, EPOLL_EVENTS, wait_ms(w, loop_now()));
		usec_t now = loop_now();

		/* Commands first: the SA was posted before the peer could use it. */
		obey_all(w, now);
		for (int i = 0; i < n; i++)
			serve(w, &ev[i], now);
		esp_tick(w->esp, now);
		give_events(w);
	}
	return NULL;
}

/* ---- control's side ------------------------------------------------------------------ */

static bool
start_thread(struct worker *w)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);	/* signals are the control thread's */
	err = pthread_create(&w->thread, NULL, run, w);
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
	w->cmd_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	return w->esp != NULL && w->cmds != NULL && w->events != NULL && w->strays != NULL &&
	    w->cmd_fd >= 0 && w->event_fd >= 0 && w->epoll >= 0 &&
	    batch_init_shared(&w->dev, BATCH_PKTS, DEVICE_BUF) &&
	    batch_init(&w->net, RECV_PKTS, PKT_BUF) &&
	    batch_init(&w->esp_in, BATCH_PKTS, 0) &&
	    batch_init(&w->wire, VIEWS, 0) &&
	    batch_init(&w->inner, VIEWS, 0) &&
	    watch(w, w->cmd_fd, SOURCE_CMD, 0);
}

struct worker *
worker_new(unsigned index, const struct aead_set *aeads, const uint8_t probe_key[16])
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->index = index;
	w->wait_tail = &w->wait_head;
	w->cmd_fd = w->event_fd = w->epoll = -1;
	for (unsigned i = 0; i < WORKER_DEVICES; i++)
		w->device[i].fd = -1;
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

	if (c->kind == WORKER_DEVICE_ADD)
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
		device_del(w, i);
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
		kick(w->cmd_fd);
		pthread_join(w->thread, NULL);
		take_back(w, drop, arg);
	}
	esp_free(w->esp);
	ring_free(w->cmds);
	ring_free(w->events);
	ring_free(w->strays);
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
	kick(w->cmd_fd);
	return w->wait_head == NULL;
}

bool
worker_post(struct worker *w, const struct worker_cmd *cmd)
{
	struct waiting *x;

	if (w->wait_head == NULL && ring_put(w->cmds, cmd)) {
		kick(w->cmd_fd);
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

int
worker_fd(const struct worker *w)
{
	return w->event_fd;
}

void
worker_fd_clear(struct worker *w)
{
	clear(w->event_fd);
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
worker_tunnel_stats(const struct worker *w, uint32_t tunnel, struct esp_tunnel_stats *st)
{
	return esp_tunnel_stats(w->esp, tunnel, st);
}

void
worker_stats(const struct worker *w, struct esp_stats *st)
{
	esp_stats(w->esp, st);
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
