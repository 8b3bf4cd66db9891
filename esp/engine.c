/* SPDX-License-Identifier: MIT */
/*
 * The way of a packet.
 *
 * Out: view, path, tunnel, selectors, MSS, size; then it waits as a job.  When the batch is
 * through, runs of jobs of one SA take their sequence numbers together and are sealed at
 * once: a number is never held while something else is done, so that the order on the wire
 * is the order of the numbers, also where several workers share an SA.
 *
 * In: SPI, SA, replay, ICV, mark; only what passed these counts as heard from the peer.  Then
 * what it carries is judged: ECN, selectors, our own probes, source; then delivered.
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

/* ---- out ------------------------------------------------------------------------------- */

static void
seal_job(struct esp *e, struct esp_job *j, uint64_t seq, struct batch *wire)
{
	struct esp_tunnel *t = j->t;
	uint32_t len = j->p->len;
	enum drop why = seal_packet(t->out, e->scratch, j->p, seq);

	if (why != PASS) {
		engine_drop(e, t, why);
		return;
	}
	j->p->local = t->local;
	j->p->remote = t->remote;
	j->p->socket = t->socket;
	j->p->tunnel = atomic_load_explicit(&t->id, memory_order_relaxed);
	wire->pkt[wire->n++] = *j->p;
	stat_add(&e->out_sent, 1);
	stat_add(&t->out_packets, 1);
	stat_add(&t->out_bytes, len);
	stat_set(&t->last_out, e->now);
	stat_add_shared(&t->out->packets, 1);
	stat_add_shared(&t->out->bytes, len);
	stat_set(&t->out->last, e->now);
}

/* Number and seal `n` jobs of one SA. */
static void
seal_run(struct esp *e, struct esp_job *run, unsigned n, struct batch *wire)
{
	struct esp_sa *sa = run[0].t->out;
	unsigned room = wire->cap - wire->n, got;
	uint64_t seq;
	bool low;

	for (; n > room; n--)
		engine_drop(e, run[n - 1].t, DROP_OUT_NO_BUFFER);
	if (n == 0)
		return;
	seq = esp_sa_take(sa, n, &got, &low);
	if (low) {
		struct esp_event ev = { .kind = ESP_EV_SEQ_LOW, .tunnel = sa->tunnel,
			.spi = sa->spi, .at = e->now };

		if (!events_news(&e->events, &ev))
			esp_sa_untold(sa);
	}
	for (unsigned i = 0; i < got; i++)
		seal_job(e, &run[i], seq + i, wire);
	for (unsigned i = got; i < n; i++)
		engine_drop(e, run[i].t, DROP_OUT_SEQ_END);
}

static void
jobs_flush(struct esp *e, struct batch *wire)
{
	unsigned from = 0, to;

	while (from < e->jobs) {
		for (to = from + 1; to < e->jobs && e->job[to].t == e->job[from].t; to++)
			;
		seal_run(e, &e->job[from], to - from, wire);
		from = to;
	}
	e->jobs = 0;
}

static void
job_add(struct esp *e, struct pkt *p, struct esp_tunnel *t, struct batch *wire)
{
	if (e->jobs == BATCH_PKTS)
		jobs_flush(e, wire);
	e->job[e->jobs++] = (struct esp_job){ .p = p, .t = t };
}

/* May this packet leave by this tunnel? */
static enum drop
may_leave(const struct esp_tunnel *t, const struct inner *in)
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
	unsigned mtu = way->d->path->t[way->i].mtu, parts;
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
		job_add(e, part, way->t, wire);
	} while (at != 0);
	stat_add(&e->out_made, parts - 1);
	return PASS;
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
	return may_leave(way->t, in);
}

static void
out_one(struct esp *e, struct pkt *p, struct batch *wire, struct batch *back)
{
	const struct esp_path *path;
	struct way way = { .t = NULL };
	struct inner in;
	enum drop why;

	stat_add(&e->out_packets, 1);
	stat_add(&e->out_bytes, p->len);
	if (!inner_parse(p, &in) || !inner_finish_csum(p)) {
		engine_drop(e, NULL, DROP_OUT_SHORT);
		return;
	}
	why = find_way(e, p, &in, &way);
	if (why != PASS) {
		engine_drop(e, way.t, why);
		return;
	}
	path = way.d->path;
	p->tos = inner_outer_tos(in.tos, path->copy_dscp);
	if (path->clamp_mss)
		mtu_clamp(p, &in, way.d->mtu_min);
	if (!mtu_exceeds(&in, path->t[way.i].mtu)) {
		job_add(e, p, way.t, wire);
		return;
	}
	if (in.src.family == AF_INET6 || (in.df && path->copy_df)) {
		answer_too_big(e, &way, p, &in, back);
		why = DROP_OUT_TOO_BIG;
	} else {
		why = cut(e, &way, p, &in, wire);
	}
	if (why != PASS)
		engine_drop(e, way.t, why);
}

void
esp_out(struct esp *e, usec_t now, struct batch *in, struct batch *wire, struct batch *back)
{
	e->now = now;
	batch_reset(&e->own);
	for (unsigned i = 0; i < in->n; i++)
		out_one(e, &in->pkt[i], wire, back);
	jobs_flush(e, wire);
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
		why = may_leave(t, &in);
	if (why == PASS) {
		job_add(e, p, t, wire);
		return;
	}
	engine_drop(e, t, why);
	if (p != NULL)
		batch_unget(&e->own);
}

void
esp_pending(struct esp *e, struct batch *wire)
{
	batch_reset(&e->own);
	while (e->asked_n > 0 && e->own.n < e->own.cap && e->jobs < wire->cap - wire->n) {
		send_probe(e, &e->asked[e->asked_head], wire);
		e->asked_head = (e->asked_head + 1) % ENGINE_ASKED_MAX;
		e->asked_n--;
	}
	jobs_flush(e, wire);
}

/* Where what came in goes. */
struct way_in {
	struct batch *inner, *wire;
};

/* ---- in -------------------------------------------------------------------------------- */

static void
stray(struct esp *e, const struct pkt *p, uint32_t spi)
{
	struct esp_event ev = { .kind = ESP_EV_STRAY, .spi = spi, .remote = p->remote,
		.at = e->now };

	if (limit_take(&e->stray, e->now, ENGINE_STRAY_RATE, ENGINE_STRAY_BURST))
		(void)events_news(&e->events, &ev);
}

/* R27: only the newest authentic packet says where the peer is; control decides. */
static void
tell_moved(struct esp *e, struct esp_tunnel *t, const struct pkt *p)
{
	struct esp_event ev = { .kind = ESP_EV_MOVED, .remote = p->remote, .at = e->now,
		.tunnel = atomic_load_explicit(&t->id, memory_order_relaxed) };

	if (endpoint_equal(&p->remote, &t->moved) && e->now - t->moved_at < ENGINE_MOVED)
		return;
	if (events_news(&e->events, &ev)) {
		t->moved = p->remote;
		t->moved_at = e->now;
	}
}

/* An authentic packet came by this SA: what the monitor and `status` live on. */
static void
heard(struct esp *e, struct esp_sa *sa, const struct pkt *p, bool newest)
{
	struct esp_tunnel *t = sa->owner;

	stat_add(&t->in_packets, 1);
	stat_add(&t->in_bytes, p->len);
	stat_set(&t->last_in, e->now);
	stat_add(&sa->packets, 1);
	stat_add(&sa->bytes, p->len);
	stat_set(&sa->last, e->now);
	if (newest && t->remote.ip.family != AF_UNSPEC && p->remote.ip.family != AF_UNSPEC &&
	    !endpoint_equal(&p->remote, &t->remote))
		tell_moved(e, t, p);
}

/* What the SA carries is an inner packet that it may carry. */
static enum drop
in_view(const struct esp_sa *sa, struct pkt *p, uint8_t next, struct inner *in)
{
	if (next == IPPROTO_OF_NONE)
		return DROP_IN_DUMMY;
	if (next != IPPROTO_OF_V4 && next != IPPROTO_OF_V6)
		return DROP_IN_PROTO;
	if (!inner_parse(p, in) ||
	    in->src.family != (next == IPPROTO_OF_V4 ? AF_INET : AF_INET6))
		return DROP_IN_INNER;
	if (!inner_ecn_arrive(p, in, p->tos))
		return DROP_IN_ECN;
	return esp_sa_covers(sa, in) ? PASS : DROP_IN_SELECTOR;
}

static bool
is_for_us(const struct esp_tunnel *t, const struct inner *in)
{
	return ip_equal(&in->dst, &t->slot->inside_local[in->dst.family == AF_INET ? 0 : 1]);
}

/* Back by the tunnel it came by, whatever the path says: the peer measures this tunnel. */
static void
answer_echo(struct esp *e, struct esp_tunnel *t, struct pkt *p, struct inner *in,
    struct batch *wire)
{
	enum drop why;

	probe_answer(p, in);
	p->tos = inner_outer_tos(in->tos, t->dev->path->copy_dscp);
	stat_add(&e->in_answered, 1);
	stat_add(&e->out_made, 1);
	why = may_leave(t, in);
	if (why == PASS)
		job_add(e, p, t, wire);
	else
		engine_drop(e, t, why);
}

static enum drop
deliver(struct esp *e, struct esp_tunnel *t, struct pkt *p, const struct inner *in,
    struct batch *inner)
{
	if (inner->n == inner->cap)
		return DROP_IN_NO_BUFFER;
	if (t->dev->path->clamp_mss)
		mtu_clamp(p, in, t->dev->mtu_min);
	p->device = t->dev->path->device;
	p->tunnel = atomic_load_explicit(&t->id, memory_order_relaxed);
	p->csum = PKT_CSUM_DONE;
	inner->pkt[inner->n++] = *p;
	stat_add(&e->in_delivered, 1);
	return PASS;
}

/* An opened packet: to its end. */
static enum drop
in_opened(struct esp *e, struct esp_sa *sa, struct pkt *p, uint8_t next, struct way_in *to)
{
	struct esp_tunnel *t = sa->owner;
	struct esp_event ev = { .kind = ESP_EV_ECHO, .at = e->now, .tunnel = sa->tunnel };
	struct inner in;
	enum drop why = in_view(sa, p, next, &in);

	if (why != PASS)
		return why;
	/* Before the source check: who knows the token was asked, wherever he answers from. */
	if (probe_match(&e->probe, p, &in, &ev.token)) {
		(void)events_news(&e->events, &ev);
		return DROP_IN_PROBE;
	}
	if (t->dev == NULL)
		return DROP_IN_DEVICE;
	why = path_accepts(t->dev, &in.src);
	if (why != PASS)
		return why;
	if (is_for_us(t, &in) && probe_is_request(p, &in)) {
		answer_echo(e, t, p, &in, to->wire);
		return PASS;
	}
	return deliver(e, t, p, &in, to->inner);
}

static void
in_one(struct esp *e, struct pkt *p, struct way_in *to)
{
	struct rd r = rd_init(pkt_data(p), p->len);
	uint32_t spi = rd_u32(&r);
	struct opened o;
	struct esp_sa *sa;
	enum drop why;

	stat_add(&e->in_packets, 1);
	rd_skip(&r, 4);
	if (!rd_ok(&r)) {
		engine_drop(e, NULL, DROP_IN_SHORT);
		return;
	}
	sa = map_get(e->sa_in, spi);
	if (sa == NULL) {
		stray(e, p, spi);
		engine_drop(e, NULL, DROP_IN_NO_SA);
		return;
	}
	why = open_packet(sa, e->scratch, p, &o);
	if (why == PASS || why == DROP_IN_PADDING)
		heard(e, sa, p, o.newest);
	if (why == PASS)
		why = in_opened(e, sa, p, o.next, to);
	if (why != PASS)
		engine_drop(e, sa->owner, why);
}

void
esp_in(struct esp *e, usec_t now, struct batch *in, struct batch *inner, struct batch *wire)
{
	struct way_in to = { .inner = inner, .wire = wire };

	e->now = now;
	batch_reset(&e->own);
	for (unsigned i = 0; i < in->n; i++)
		in_one(e, &in->pkt[i], &to);
	jobs_flush(e, wire);
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
		.out_packets = stat_get(&e->out_packets), .out_bytes = stat_get(&e->out_bytes),
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
