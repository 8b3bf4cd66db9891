/* SPDX-License-Identifier: MIT */
/* From a device to the network; and what leaves for either side, whoever made it. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "gateway/worker_impl.h"

/* Hand the datagrams of `b` to the kernel; what it refuses is counted. */
void
worker_send(struct worker *w, struct batch *b)
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

void
worker_write(struct worker *w, struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		unsigned d = b->pkt[i].device;
		struct tun_port to = { .fd = -1 };

		tally_size(w->tallies.write, pkt_bytes(&b->pkt[i]));
		if (d < WORKER_DEVICES) {
			to = w->device[d];
			to.fd = w->writer[d] >= 0 ? w->writer[d] : to.fd;
		}
		if (to.fd < 0 || tun_write(&to, &b->pkt[i]) != 0)
			esp_count_drop(w->esp, DROP_IN_DEVICE, segments(&b->pkt[i]));
	}
	b->n = 0;
}

/* Answers of our own making may fill `wire` in several goes. */
void
worker_send_pending(struct worker *w)
{
	do {
		w->wire.n = 0;
		esp_pending(w->esp, &w->wire);
		if (w->wire.n == 0)
			break;
		worker_send(w, &w->wire);
	} while (true);
}

/* Somebody deleted the device: it would be "readable" for ever. */
static void
device_check(struct worker *w, unsigned index, int err)
{
	if (err != -EBADFD && err != -EBADF)
		return;
	log_event(LOG_LEVEL_ERROR, "device-lost", "device=%u error=\"%s\"", index, strerror(-err));
	worker_device_del(w, index);
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
		worker_send(w, &w->wire);
		worker_write(w, &w->inner);
	} while (!done);
}

void
worker_from_device(struct worker *w, unsigned index, usec_t now)
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
	if (atomic_exchange_explicit(&w->wake[index], false, memory_order_acq_rel)) {
		atomic_store_explicit(&w->woke, true, memory_order_release);
		w->told = true;
	}
}
