/* SPDX-License-Identifier: MIT */
/* From the network to a device: what comes by a socket is told apart, ESP goes to the engine. */
#include <string.h>

#include "base/bytes.h"
#include "gateway/worker_impl.h"

int
worker_of(const void *data, size_t len, unsigned workers)
{
	struct rd r = rd_init(data, len);
	uint32_t spi;

	if (len == 1 && *(const uint8_t *)data == 0xff)
		return WORKER_NOBODY;
	spi = rd_u32(&r);
	if (!rd_ok(&r))
		return 0;
	return spi == 0 ? WORKER_CONTROL : (int)(spi % workers);
}

/* For control, or another worker by way of control. */
static void
stray(struct worker *w, const struct pkt *p, int owner)
{
	struct worker_stray *s = &w->stray;

	s->local = p->local;
	s->remote = p->remote;
	s->len = (uint16_t)p->len;
	s->socket = p->socket;
	s->tos = p->tos;
	if (p->len <= sizeof(s->data))
		memcpy(s->data, pkt_data(p), p->len);
	if (p->len <= sizeof(s->data) && ring_put(w->strays, s))
		w->told = true;
	else if (owner != WORKER_CONTROL)
		esp_count_drop(w->esp, DROP_IN_NO_BUFFER, 1);
	else
		atomic_fetch_add_explicit(&w->strays_lost, 1, memory_order_relaxed);
}

/* What a round of receiving knows of SPIs. */
struct look {
	usec_t now;
	uint32_t spi;			/* the last one looked for, if it was known */
	bool known;
	bool again;			/* the commands were looked at once more */
};

static void
pass_in(struct worker *w, usec_t now)
{
	bool done;

	do {
		w->wire.n = w->inner.n = 0;
		done = esp_in(w->esp, now, &w->esp_in, &w->inner, &w->wire);
		worker_write(w, &w->inner);
		worker_send(w, &w->wire);
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
	look->known = false;
	return true;
}

static bool
is_ours(struct worker *w, const struct pkt *p)
{
	int owner = worker_of(pkt_data(p), p->len, w->workers);

	if (owner != (int)w->index && owner != WORKER_NOBODY)
		stray(w, p, owner);
	return owner == (int)w->index;
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
	worker_obey(w, look->now);
	look->again = true;
	look->known = esp_knows(w->esp, look->spi);
}

/* Views of runs of the train's datagrams, one for each SPI of ours in a row; what is not ours
 * ends a run: the kernel's GRO and senders' trains may carry it along. */
static void
classify(struct worker *w, const struct pkt *train, struct look *look)
{
	struct pkt *run = NULL, one = { .len = 1 };

	for (size_t at = 0; one.len > 0 && (at == 0 || at < train->len); at += one.len) {
		one = pkt_datagram(train, at);
		if (is_other_spi(&one, look)) {
			run = NULL;
			if (!is_ours(w, &one))
				continue;
			look_again(w, look);
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

void
worker_from_socket(struct worker *w, unsigned index, usec_t now)
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

void
worker_from_control(struct worker *w, usec_t now)
{
	struct worker_stray *s = &w->stray;
	struct look look = { .now = now };
	struct pkt *p;

	batch_reset(&w->net);
	while (ring_get(w->handed, s)) {
		if ((p = batch_next(&w->net)) == NULL) {
			pass_in(w, now);
			batch_reset(&w->net);
			p = batch_next(&w->net);
		}
		p->local = s->local;
		p->remote = s->remote;
		p->socket = s->socket;
		p->tos = s->tos;
		p->len = s->len;
		memcpy(pkt_data(p), s->data, s->len);
		classify(w, p, &look);
	}
	pass_in(w, now);
}
