/* SPDX-License-Identifier: MIT */
/*
 * Runs of jobs of one SA take their sequence numbers together and are sealed at once: a number
 * is never held while something else is done, so that the order on the wire is the order of
 * the numbers, also where several workers share an SA.
 *
 * A datagram joins the train before it when it is for the same tunnel with the same TOS and
 * not longer; a shorter one completes the train.
 */
#include "esp/send.h"

enum { LINE = 64 };			/* bytes: a train begins on a cache line */

void
send_reset(struct esp *e)
{
	e->out.used = e->out.due = 0;
	e->out.due_n = 0;
	e->out.t = NULL;
}

struct esp_job
send_single(const struct pkt *p, struct esp_tunnel *t)
{
	return (struct esp_job){ .s = { .at = pkt_data(p), .left = p->len, .n = 1 }, .n = 1,
		.t = t, .tos = p->tos };
}

/* How many of these datagrams a train takes. */
static unsigned
train_max(size_t len)
{
	size_t n = len > 0 ? ENGINE_TRAIN / len : 1;

	return n > PKT_SEGMENTS ? PKT_SEGMENTS : n > 0 ? (unsigned)n : 1;
}

/* A bound: the first may begin a train, and so may the last. */
static unsigned
trains(unsigned n, unsigned max)
{
	return n == 1 ? 1 : (n + max - 1) / max + 1;
}

unsigned
send_room(const struct esp *e, const struct batch *wire, const struct esp_job *job)
{
	const struct esp_outbuf *o = &e->out;
	size_t len = seal_len(job->t->out, split_longest(&job->s)), bytes = o->used + o->due + LINE;
	unsigned max = train_max(len), n = job->s.n, left;

	left = wire->cap - wire->n > o->due_n ? wire->cap - wire->n - o->due_n : 0;
	if (bytes >= ENGINE_OUT || left == 0)
		return 0;
	if (n > (ENGINE_OUT - bytes) / (len + LINE))
		n = (unsigned)((ENGINE_OUT - bytes) / (len + LINE));
	if (n > 1 && trains(n, max) > left)
		n = left > 1 ? (left - 1) * max : 1;
	return n;
}

void
send_add(struct esp *e, const struct esp_job *job, struct batch *wire)
{
	size_t len = seal_len(job->t->out, split_longest(&job->s));

	if (e->jobs == BATCH_PKTS)
		(void)send_flush(e, wire);
	e->out.due += job->n * (len + LINE);
	e->out.due_n += trains(job->n, train_max(len));
	e->job[e->jobs++] = *job;
}

/* Where a datagram of `len` bytes goes: the train it joins, or begins. */
static struct pkt *
place(struct esp *e, const struct esp_job *j, struct batch *wire, size_t len)
{
	struct esp_outbuf *o = &e->out;
	const struct esp_tunnel *t = j->t;
	struct pkt *w;

	if (o->t == t) {
		w = &wire->pkt[wire->n - 1];
		if (w->tos == j->tos && len <= o->size && w->segments < PKT_SEGMENTS &&
		    w->len + len <= ENGINE_TRAIN)
			return w;
	}
	o->used = (o->used + LINE - 1) / LINE * LINE;
	o->t = t;
	o->size = len;
	w = &wire->pkt[wire->n++];
	*w = (struct pkt){ .buf = o->mem, .cap = ENGINE_OUT, .off = (uint32_t)o->used,
		.local = t->local, .remote = t->remote, .socket = t->socket, .tos = j->tos,
		.tunnel = atomic_load_explicit(&t->id, memory_order_relaxed) };
	return w;
}

/* What a run did, to be counted at once. */
struct sum {
	uint64_t packets, bytes;
};

static void
seal_next(struct esp *e, struct esp_job *j, uint64_t seq, struct batch *wire, struct sum *sum)
{
	struct esp_outbuf *o = &e->out;
	struct seal x = { .seq = seq };
	struct pkt *w;
	size_t len;
	enum drop why;

	x.body = split_next(&j->s, &x.len);
	len = seal_len(j->t->out, x.len);
	w = place(e, j, wire, len);
	x.to = o->mem + o->used;
	why = seal_packet(j->t->out, e->scratch, &x);
	if (why != PASS) {
		engine_drop(e, j->t, why);
		wire->n -= w->segments == 0;
		o->t = w->segments == 0 ? NULL : o->t;
		return;
	}
	o->used += len;
	w->len += (uint32_t)len;
	w->segments++;
	w->segment = w->segments > 1 ? (uint16_t)o->size : 0;
	if (len < o->size)
		o->t = NULL;
	sum->packets++;
	sum->bytes += x.len;
}

static void
count(struct esp *e, struct esp_tunnel *t, const struct sum *sum)
{
	stat_add(&e->out_sent, sum->packets);
	stat_add(&t->out_packets, sum->packets);
	stat_add(&t->out_bytes, sum->bytes);
	stat_set(&t->last_out, e->now);
	stat_add_shared(&t->out->packets, sum->packets);
	stat_add_shared(&t->out->bytes, sum->bytes);
	stat_set(&t->out->last, e->now);
}

/* Number and seal the jobs [run, end) of one SA. */
static void
seal_run(struct esp *e, struct esp_job *run, const struct esp_job *end, struct batch *wire)
{
	struct esp_sa *sa = run->t->out;
	struct sum sum = { .packets = 0 };
	unsigned n = 0, got;
	uint64_t seq;
	bool low;

	for (const struct esp_job *j = run; j < end; j++)
		n += j->n;
	seq = esp_sa_take(sa, n, &got, &low);
	if (low) {
		struct esp_event ev = { .kind = ESP_EV_SEQ_LOW, .tunnel = sa->tunnel,
			.spi = sa->spi, .at = e->now };

		if (!events_news(&e->events, &ev))
			esp_sa_untold(sa);
	}
	for (struct esp_job *j = run; j < end; j++) {
		for (; j->n > 0 && got > 0; j->n--, got--)
			seal_next(e, j, seq++, wire, &sum);
		for (; j->n > 0; j->n--, j->s.n--)
			engine_drop(e, j->t, DROP_OUT_SEQ_END);
	}
	if (sum.packets > 0)
		count(e, run->t, &sum);
}

const struct esp_job *
send_flush(struct esp *e, struct batch *wire)
{
	struct esp_job *from = e->job, *end = e->job + e->jobs, *to;

	while (from < end) {
		for (to = from + 1; to < end && to->t == from->t; to++)
			;
		seal_run(e, from, to, wire);
		from = to;
	}
	e->jobs = 0;
	e->out.due = 0;
	e->out.due_n = 0;
	return end > e->job ? end - 1 : NULL;
}
