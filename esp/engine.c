/* SPDX-License-Identifier: MIT */
/*
 * The way of a packet.
 *
 * Out: view, path, tunnel, selectors, MSS, size; then it waits as a job (send.h) until the batch
 * is through or the send buffer full.  A super-packet takes this way once, for all its packets.
 *
 * In (in.c): SPI, SA, replay, ICV, mark; only what passed these counts as heard from the peer.
 * Then what it carries is judged: ECN, selectors, our own probes, source; then it is delivered,
 * joined to the packets of its flow before it where that is exact (offload.h).
 *
 * The inner TTL is not touched: RFC 4301 5.1.2 decrements it where the gateway forwards, and
 * that is the kernel, which did so before the packet came to our device and will do so
 * again behind the other.  The outer IP header is the kernel's too; what it needs to know
 * of ours is pkt.tos.
 *
 * Two sums hold at any time between calls:
 *	out_packets + out_made = out_sent + drops out
 *	in_packets + in_made = in_delivered + in_answered + drops in
 */
#include "base/bytes.h"
#include "esp/engine.h"
#include "esp/send.h"

/* ---- out ------------------------------------------------------------------------------- */

/* Count what comes from a device. */
static void
took(struct esp *e, unsigned packets, size_t bytes)
{
	stat_add(&e->out_packets, packets);
	stat_add(&e->out_bytes, bytes);
}

static void
drop_n(struct esp *e, struct esp_tunnel *t, enum drop why, unsigned n)
{
	for (; n > 0; n--)
		engine_drop(e, t, why);
}

/* Let the job's packets wait for their numbers; what has no room now is left in e->rest. */
static void
queue(struct esp *e, struct esp_job *job, struct batch *wire)
{
	job->n = send_room(e, wire, job);
	e->rest.s.n = 0;
	if (job->n == 0 && e->jobs == 0 && e->out.used == 0) {	/* nor will it ever have room */
		drop_n(e, job->t, DROP_OUT_NO_BUFFER, job->s.n);
		return;
	}
	if (job->n == job->s.n) {
		send_add(e, job, wire);
		return;
	}
	if (job->n > 0) {
		send_add(e, job, wire);
		e->rest = *send_flush(e, wire);
	} else {
		e->rest = *job;
	}
}

/* One packet of our own, or none. */
static enum drop
queue_own(struct esp *e, const struct pkt *p, struct esp_tunnel *t, struct batch *wire)
{
	struct esp_job job = send_single(p, t);

	if (send_room(e, wire, &job) == 0)
		return DROP_OUT_NO_BUFFER;
	send_add(e, &job, wire);
	return PASS;
}

enum drop
engine_may_leave(const struct esp_tunnel *t, const struct inner *in)
{
	if (t == NULL || t->out == NULL || t->remote.ip.family == AF_UNSPEC)
		return DROP_OUT_NO_TUNNEL;
	return esp_sa_covers(t->out, in) ? PASS : DROP_OUT_SELECTOR;
}

/* Where a packet of a device goes. */
struct way {
	const struct path_dev *d;
	unsigned i;			/* its tunnel's place in d */
	struct esp_tunnel *t;
};

/* Where what goes out goes, and its view. */
struct out_to {
	struct batch *wire, *back;
	const struct inner *in;
};

/* Tell the sender, within the rate. */
static void
answer_too_big(struct esp *e, const struct way *way, const struct pkt *p, const struct inner *in,
    struct batch *back)
{
	const struct ip *from = path_own_ip(way->d, way->i, in->src.family);
	struct pkt *answer;

	if (from == NULL || back->n == back->cap)
		return;
	answer = batch_next(&e->own);
	if (answer == NULL)
		return;
	if (!mtu_too_big(p, in, way->d->path->t[way->i].mtu, from, answer) ||
	    !limit_take(&e->too_big, e->now, ENGINE_TOO_BIG_RATE, ENGINE_TOO_BIG_BURST)) {
		batch_unget(&e->own);
		return;
	}
	answer->device = p->device;
	back->pkt[back->n++] = *answer;
	stat_add(&e->in_made, 1);
	stat_add(&e->in_delivered, 1);
}

/*
 * RFC 4301 8.2 leaves open whether a v4 packet that may be cut is cut before or after it is
 * encrypted.  Before: the peer then needs no reassembly before it can authenticate, and a
 * selector for ports refuses the parts as it does all fragments (sa.h).  The kernel cuts by
 * the device's MTU already; here comes only what is larger than a tunnel that has just become
 * narrower than its device.
 */
static enum drop
cut(struct esp *e, const struct way *way, struct pkt *p, struct inner *in, struct batch *wire)
{
	unsigned mtu = way->d->path->t[way->i].mtu, parts, extra = 0;
	uint16_t id = inner_get_u16(p, 4);
	struct pkt *part;
	size_t at = 0;

	if (!mtu_can_cut(in, mtu) || mtu > ENGINE_OWN_LEN)
		return DROP_OUT_TOO_BIG;
	parts = mtu_parts(in, mtu);
	if (parts > e->own.cap - e->own.n)
		return DROP_OUT_NO_BUFFER;
	in->frag = true;
	in->has_port = false;
	if (!esp_sa_covers(way->t->out, in))
		return DROP_OUT_SELECTOR;
	if (in->df)				/* may all have the same, RFC 6864 */
		id = e->next_id++;
	do {
		part = batch_next(&e->own);
		at = mtu_cut(p, in, at, id, part, mtu);
		part->tos = p->tos;
		part->device = p->device;
		stat_add(&e->out_made, extra);
		extra = 1;
		if (queue_own(e, part, way->t, wire) != PASS)
			engine_drop(e, way->t, DROP_OUT_NO_BUFFER);
	} while (at != 0);
	return PASS;
}

/* Datagrams of a super-packet that are larger than the tunnel takes: each by itself. */
static void
cut_each(struct esp *e, const struct way *way, const struct pkt *p, struct split *s,
    struct batch *wire)
{
	struct pkt one = *p;
	struct inner in;
	enum drop why;
	size_t len;

	while (s->n > 0) {
		one.off = (uint32_t)(split_next(s, &len) - one.buf);
		one.len = (uint32_t)len;
		why = DROP_OUT_SHORT;
		if (inner_parse(&one, &in))
			why = cut(e, way, &one, &in, wire);
		if (why != PASS)
			engine_drop(e, way->t, why);
	}
}

static enum drop
find_way(struct esp *e, const struct pkt *p, const struct inner *in, struct way *way)
{
	int i;

	way->t = NULL;
	way->d = map_get(e->devs, p->device);
	if (way->d == NULL || way->d->path == NULL)
		return DROP_OUT_NO_TUNNEL;
	i = path_choose(way->d, in);
	if (i < 0)
		return DROP_OUT_NO_TUNNEL;
	way->i = (unsigned)i;
	way->t = way->d->t[i];
	return engine_may_leave(way->t, in);
}

/*
 * Larger than the tunnel takes.  A super-packet is answered by its first packet, as its sender
 * would have sent it.  True: the job was made to fit.
 */
static bool
fit(struct esp *e, const struct way *way, struct pkt *p, struct esp_job *job, struct out_to *to)
{
	unsigned mtu = way->d->path->t[way->i].mtu, n = job->s.n;
	enum drop why = DROP_OUT_TOO_BIG;
	struct inner in = *to->in;
	struct pkt one = *p;
	size_t len;

	if (in.src.family == AF_INET6 || (in.df && way->d->path->copy_df)) {
		(void)split_next(&job->s, &len);
		one.len = (uint32_t)len;
		if (inner_parse(&one, &in))
			answer_too_big(e, way, &one, &in, to->back);
	} else if (p->gso == PKT_GSO_NONE) {
		why = cut(e, way, p, &in, to->wire);
	} else if (p->gso == PKT_GSO_UDP) {
		cut_each(e, way, p, &job->s, to->wire);
		return false;
	} else if (mtu > job->s.head) {
		split_resize(&job->s, (uint16_t)(mtu - job->s.head));
		stat_add(&e->out_made, job->s.n - n);
		return true;
	}
	if (why != PASS)
		drop_n(e, way->t, why, n);
	return false;
}

static void
out_one(struct esp *e, struct pkt *p, struct out_to *to)
{
	const struct esp_path *path;
	struct way way = { .t = NULL };
	struct esp_job job = { .n = 0 };
	struct inner in, longest;
	enum drop why;

	if (!inner_parse(p, &in) || (p->gso == PKT_GSO_NONE && !inner_finish_csum(p)) ||
	    !split_init(&job.s, p, &in)) {
		took(e, 1, p->len);
		engine_drop(e, NULL, DROP_OUT_SHORT);
		return;
	}
	took(e, job.s.n, split_bytes(&job.s));
	why = find_way(e, p, &in, &way);
	if (why != PASS) {
		drop_n(e, way.t, why, job.s.n);
		return;
	}
	path = way.d->path;
	p->tos = inner_outer_tos(in.tos, path->copy_dscp);
	if (path->clamp_mss && p->gso == PKT_GSO_NONE)
		mtu_clamp(p, &in, way.d->mtu_min);
	longest = in;
	longest.len = split_longest(&job.s);
	to->in = &in;
	if (mtu_exceeds(&longest, path->t[way.i].mtu) && !fit(e, &way, p, &job, to))
		return;
	job.t = way.t;
	job.tos = p->tos;
	queue(e, &job, to->wire);
}

bool
esp_out(struct esp *e, usec_t now, struct batch *in, struct batch *wire, struct batch *back)
{
	struct out_to to = { .wire = wire, .back = back };

	e->now = now;
	batch_reset(&e->own);
	send_reset(e);
	if (e->rest.s.n > 0) {
		struct esp_job job = e->rest;

		queue(e, &job, wire);
	}
	while (e->at < in->n && e->rest.s.n == 0)
		out_one(e, &in->pkt[e->at++], &to);
	(void)send_flush(e, wire);
	stat_set(&e->out_rest, e->rest.s.n);
	if (e->rest.s.n > 0)
		return false;
	e->at = 0;
	return true;
}

/* A probe goes out by its tunnel whatever the path says; its size is what it asks about. */
static void
send_probe(struct esp *e, const struct esp_probe *ask, struct batch *wire)
{
	struct esp_tunnel *t = tunnels_find(&e->tunnels, ask->tunnel);
	struct pkt *p = batch_next(&e->own);
	struct inner in;
	enum drop why;

	stat_add(&e->out_made, 1);
	if (p == NULL || !probe_write(&e->probe, ask, p) || !inner_parse(p, &in))
		why = DROP_OUT_NO_BUFFER;
	else
		why = engine_may_leave(t, &in);
	if (why == PASS)
		why = queue_own(e, p, t, wire);
	if (why == PASS)
		return;
	engine_drop(e, t, why);
	if (p != NULL)
		batch_unget(&e->own);
}

void
esp_pending(struct esp *e, struct batch *wire)
{
	batch_reset(&e->own);
	send_reset(e);
	while (e->asked_n > 0 && e->own.n < e->own.cap && e->out.due_n < wire->cap - wire->n &&
	    e->out.due < ENGINE_OUT / 2) {
		send_probe(e, &e->asked[e->asked_head], wire);
		e->asked_head = (e->asked_head + 1) % ENGINE_ASKED_MAX;
		e->asked_n--;
	}
	(void)send_flush(e, wire);
}

bool
esp_knows(const struct esp *e, uint32_t spi)
{
	return map_get(e->sa_in, spi) != NULL;
}

/* ---- counters -------------------------------------------------------------------------- */

void
esp_stats(const struct esp *e, struct esp_stats *st)
{
	*st = (struct esp_stats){
		.out_packets = stat_get(&e->out_packets) - stat_get(&e->out_rest),
		.out_bytes = stat_get(&e->out_bytes),
		.out_sent = stat_get(&e->out_sent), .out_made = stat_get(&e->out_made),
		.in_packets = stat_get(&e->in_packets), .in_made = stat_get(&e->in_made),
		.in_delivered = stat_get(&e->in_delivered),
		.in_answered = stat_get(&e->in_answered),
		.events_lost = stat_get(&e->events_lost),
	};
	st->made = st->out_made + st->in_made;
	for (unsigned i = 0; i < DROP_N; i++)
		st->drop[i] = stat_get(&e->drop[i]);
}

bool
esp_tunnel_stats(const struct esp *e, uint32_t tunnel, struct esp_tunnel_stats *st)
{
	const struct esp_tunnel *t = tunnels_find(&e->tunnels, tunnel);

	if (t == NULL)
		return false;
	st->out_packets = stat_get(&t->out_packets);
	st->out_bytes = stat_get(&t->out_bytes);
	st->in_packets = stat_get(&t->in_packets);
	st->in_bytes = stat_get(&t->in_bytes);
	st->drops = stat_get(&t->drops);
	st->gaps = stat_get(&t->gaps);
	st->last_out = stat_get(&t->last_out);
	st->last_in = stat_get(&t->last_in);
	/* used again for another while we read? */
	return atomic_load_explicit(&t->id, memory_order_acquire) == tunnel;
}

void
esp_count_drop(struct esp *e, enum drop why, unsigned n)
{
	stat_add(&e->drop[why], n);
	if (why == DROP_OUT_SEND)			/* was counted as sent */
		stat_set(&e->out_sent, stat_get(&e->out_sent) - n);
	else if (why == DROP_IN_DEVICE)
		stat_set(&e->in_delivered, stat_get(&e->in_delivered) - n);
	else if (why < DROP_IN_SHORT)			/* never came to us */
		stat_add(&e->out_packets, n);
	else
		stat_add(&e->in_packets, n);
}
