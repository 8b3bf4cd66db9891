/* SPDX-License-Identifier: MIT */
/* The way in of a packet: engine.c opens with the map. */
#include <string.h>

#include "base/bytes.h"
#include "esp/engine.h"
#include "esp/send.h"

/* Where what came in goes. */
struct way_in {
	struct batch *inner, *wire;
	unsigned before;		/* what stood in inner before this call */
};

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

	/* Whatever the address: a NAT that changes it with each packet makes no event of each. */
	if (t->moved_at != 0 && e->now - t->moved_at < ENGINE_MOVED)
		return;
	if (events_news(&e->events, &ev))
		t->moved_at = e->now > 0 ? e->now : 1;
}

/* An authentic packet came by this SA: what the monitor and `status` live on. */
static void
heard(struct esp *e, struct esp_sa *sa, const struct pkt *p, const struct opened *o)
{
	struct esp_tunnel *t = sa->owner;

	stat_add(&t->in_packets, 1);
	stat_add(&t->in_bytes, p->len);
	stat_set(&t->last_in, e->now);
	stat_add(&sa->packets, 1);
	stat_add(&sa->bytes, p->len);
	stat_set(&sa->last, e->now);
	if (o->gaps > 0) {
		stat_add(&sa->gaps, o->gaps);
		stat_add(&t->gaps, o->gaps);
	}
	if (o->newest && t->remote.ip.family != AF_UNSPEC && p->remote.ip.family != AF_UNSPEC &&
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

static inline __attribute__((always_inline)) void
two_moves(uint8_t *to, const uint8_t *from, size_t n, size_t size)
{
	uint8_t first[ENGINE_HEAD_MAX / 2], last[ENGINE_HEAD_MAX / 2];

	memcpy(first, from, size);
	memcpy(last, from + n - size, size);
	memcpy(to, first, size);
	memcpy(to + n - size, last, size);
}

/* 16 to ENGINE_HEAD_MAX bytes, by two moves of a known size that may overlap: a copy of a length
 * unknown to the compiler cost more than all the rest of a guess (rep movs). */
static inline void
head_copy(uint8_t *to, const uint8_t *from, size_t n)
{
	if (n <= 32)
		two_moves(to, from, n, 16);
	else if (n <= 64)
		two_moves(to, from, n, 32);
	else
		two_moves(to, from, n, 64);
}

/*
 * Where the next packet is opened to: behind the last, with room for a virtio-net header in
 * front.  If it probably continues the flow that ends there, its payload should come to lie
 * right behind that flow's, so its header goes over the end of the payload before; what was
 * there is put back when it is known what became of the packet.
 */
static uint8_t *
open_at(struct esp *e)
{
	struct esp_inbuf *b = &e->inb;
	uint8_t *end = b->mem + b->used;

	b->guess = coalesce_guess(&e->co, end);
	if (b->guess == 0 || b->guess > ENGINE_HEAD_MAX)
		b->guess = 0;
	if (b->guess == 0)
		return end + ENGINE_GAP;
	head_copy(b->saved, end - b->guess, b->guess);
	return end - b->guess;
}

/* Is there room for a packet that came with `len` bytes? */
static bool
has_room(const struct esp *e, size_t len)
{
	return e->inb.used + ENGINE_GAP + len + PKT_TAILROOM <= ENGINE_IN;
}

/* Put back what a guess overwrote. */
static void
unguess(struct esp *e, size_t end)
{
	struct esp_inbuf *b = &e->inb;

	if (b->guess > 0)
		head_copy(b->mem + end - b->guess, b->saved, b->guess);
	b->guess = 0;
}

/* It was opened on a wrong guess: move it to a place of its own. */
static void
settle(struct esp *e, struct pkt *p)
{
	struct esp_inbuf *b = &e->inb;

	if (b->guess == 0)
		return;
	memmove(b->mem + b->used + ENGINE_GAP, pkt_data(p), p->len);
	p->off = (uint32_t)(b->used + ENGINE_GAP);
	unguess(e, b->used);
}

/* The packet stays where it is; the next one is opened behind it. */
static void
keep(struct esp *e, const struct pkt *p)
{
	e->inb.used = (size_t)p->off + p->len;
}

/* Back by the tunnel it came by, whatever the path says: the peer measures this tunnel. */
static void
answer_echo(struct esp *e, struct esp_tunnel *t, struct pkt *p, struct inner *in,
    struct batch *wire)
{
	struct esp_job job;
	enum drop why;

	probe_answer(p, in);
	p->tos = inner_outer_tos(in->tos, t->dev->path->copy_dscp);
	stat_add(&e->in_answered, 1);
	stat_add(&e->out_made, 1);
	why = engine_may_leave(t, in);
	if (why == PASS) {
		settle(e, p);
		keep(e, p);
		job = send_single(p, t);
		if (send_room(e, wire, &job) > 0)
			send_add(e, &job, wire);
		else
			why = DROP_OUT_NO_BUFFER;
	}
	if (why != PASS)
		engine_drop(e, t, why);
}

static enum drop
deliver(struct esp *e, struct esp_tunnel *t, struct pkt *p, const struct inner *in,
    struct batch *inner)
{
	uint16_t device = t->dev->path->device;
	struct co_seen seen;
	struct pkt *out;

	if (t->dev->path->clamp_mss)
		mtu_clamp(p, in, t->dev->mtu_min);
	p->device = device;
	coalesce_look(p, in, device < ESP_DEVICES ? e->takes[device] : 0, &seen);
	if (seen.head != e->inb.guess)
		settle(e, p);
	if (coalesce_join(&e->co, p, &seen)) {
		keep(e, p);
		stat_add(&e->in_delivered, 1);
		return PASS;
	}
	if (inner->n == inner->cap)
		return DROP_IN_NO_BUFFER;
	settle(e, p);
	keep(e, p);
	out = &inner->pkt[inner->n++];
	*out = *p;				/* and only then changed: a copy waits for late stores */
	out->tunnel = atomic_load_explicit(&t->id, memory_order_relaxed);
	coalesce_open(&e->co, out, &seen);
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
		return why == DROP_IN_SOURCE && inner_is_link_multicast(&in.dst) ? DROP_IN_LINK : why;
	if (is_for_us(t, &in) && probe_is_request(p, &in)) {
		answer_echo(e, t, p, &in, to->wire);
		return PASS;
	}
	return deliver(e, t, p, &in, to->inner);
}

/*
 * Most packets continue the flow of the one before, and came as it did: then all that would be
 * looked at in in_opened() is the same as of that one, which passed.
 */
static enum drop
in_authentic(struct esp *e, struct esp_sa *sa, struct pkt *p, uint8_t next, struct way_in *to)
{
	const struct came came = { .sa = sa, .tos = p->tos, .next = next };
	const struct came *last = &e->inb.came;
	enum drop why;

	if (e->inb.guess > 0 && last->sa == sa && last->tos == came.tos && last->next == next &&
	    coalesce_follow(&e->co, p)) {
		keep(e, p);
		stat_add(&e->in_delivered, 1);
		return PASS;
	}
	why = in_opened(e, sa, p, next, to);
	if (why == PASS)
		e->inb.came = came;
	return why;
}

/* The SA of a datagram; most are of the same one as the datagram before. */
static enum drop
find_sa(struct esp *e, const struct pkt *p, struct esp_sa **sa)
{
	struct rd r = rd_init(pkt_data(p), p->len);
	uint32_t spi = rd_u32(&r);

	rd_skip(&r, 4);
	if (!rd_ok(&r))
		return DROP_IN_SHORT;
	if (e->last_sa == NULL || e->last_spi != spi) {
		e->last_sa = map_get(e->sa_in, spi);
		e->last_spi = spi;
	}
	*sa = e->last_sa;
	if (*sa != NULL)
		return PASS;
	stray(e, p, spi);
	return DROP_IN_NO_SA;
}

/* One ESP packet: `p` is a view of it, and is changed. */
static void
in_one(struct esp *e, struct pkt *p, struct way_in *to)
{
	struct esp_sa *sa = NULL;
	struct opened o;
	size_t end = e->inb.used;
	enum drop why;

	stat_add(&e->in_packets, 1);
	why = find_sa(e, p, &sa);
	if (why != PASS) {
		engine_drop(e, NULL, why);
		return;
	}
	why = open_packet(sa, e->scratch, p, open_at(e), &o);
	if (why == PASS || why == DROP_IN_PADDING) {
		p->buf = e->inb.mem;
		p->cap = ENGINE_IN;
		p->off = (uint32_t)(o.body - p->buf);
		p->len = (uint32_t)o.len;
		heard(e, sa, p, &o);
	}
	if (why == PASS)
		why = in_authentic(e, sa, p, o.next, to);
	if (why != PASS)
		engine_drop(e, sa->owner, why);
	unguess(e, end);
}

/* The datagrams of a train, or of one; false: no room for the next, which is at e->at_off. */
static bool
in_train(struct esp *e, const struct pkt *train, struct way_in *to)
{
	struct pkt p;

	do {
		p = pkt_datagram(train, e->at_off);
		if ((!has_room(e, p.len) || to->inner->n == to->inner->cap) &&
		    (e->inb.used > 0 || to->inner->n > to->before))
			return false;
		e->at_off += p.len;
		p.segment = p.segments = 0;
		in_one(e, &p, to);
	} while (e->at_off < train->len);
	e->at_off = 0;
	return true;
}

bool
esp_in(struct esp *e, usec_t now, struct batch *in, struct batch *inner, struct batch *wire)
{
	struct way_in to = { .inner = inner, .wire = wire, .before = inner->n };

	e->now = now;
	e->last_sa = NULL;
	e->inb.used = 0;
	batch_reset(&e->own);
	send_reset(e);
	coalesce_reset(&e->co);
	while (e->at < in->n && in_train(e, &in->pkt[e->at], &to))
		e->at++;
	for (unsigned i = to.before; i < inner->n; i++)
		coalesce_finish(&inner->pkt[i]);
	(void)send_flush(e, wire);
	if (e->at < in->n)
		return false;
	e->at = 0;
	return true;
}

void
esp_device(struct esp *e, unsigned device, unsigned takes)
{
	if (device < ESP_DEVICES)
		e->takes[device] = (uint8_t)takes;
}
