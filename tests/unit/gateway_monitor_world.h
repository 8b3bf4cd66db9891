/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_MONITOR_WORLD_H
#define TANDEM_GATEWAY_MONITOR_WORLD_H

#include <stdio.h>
#include <string.h>

#include "gateway/monitor.h"
#include "tests/unit/unit.h"

/*
 * A small world for the failover monitor: two ends, two tunnels, a virtual clock.
 *
 *	end 0  --- tunnel 0: link[0][0] ->  <- link[0][1] ---  end 1
 *	       --- tunnel 1: link[1][0] ->  <- link[1][1] ---
 *
 * A link has a delay, jitter that does not reorder, loss, a rate with a queue (which two
 * tunnels may share), and a queue that others fill (`swell`).  An end is a monitor with the
 * host around it: counters, sampling, a path of 256 buckets, and as much of IKE as the
 * monitor needs: liveness and notices, retransmitted, ending in DOWN and negotiated again when
 * packets pass.  End 1 may be a stranger, who has no monitor and answers as it likes.
 */
#define MS(us)		((double)(us) / 1000)
#define W_END(e)	for (unsigned e = 0; e < 2; e++)
#define W_TUN(i)	for (unsigned i = 0; i < 2; i++)

enum w_kind { W_DATA, W_ACK, W_ECHO, W_ANSWER, W_IKE, W_IKE_ANSWER };

struct w_pkt {
	enum w_kind kind;
	unsigned len;
	uint64_t token;			/* of an echo; of IKE: exchange */
	int tell;			/* of IKE: -1 liveness, else the index told */
};

struct w_queue {
	uint64_t rate;			/* bit/s; 0: no limit */
	usec_t depth;			/* the queue holds so much time of traffic */
	usec_t busy_until;
};

struct w_link {
	usec_t delay, jitter, last;
	unsigned loss;			/* permille */
	bool cut;
	unsigned lose_echoes;		/* so many questions to come */
	struct w_queue own, *queue;
	usec_t swell_from, swell_for, swell_to;	/* others fill a queue: 0 to `swell_to` in `for` */
};

enum w_stranger {
	W_TANDEM,			/* not a stranger */
	W_BY_SAME,			/* answers by the tunnel that was asked */
	W_BY_OTHER,			/* answers all by tunnel 1 */
	W_MUM,				/* does not answer echo */
};

struct w_ike {				/* one exchange at a time, a few notices waiting */
	bool busy;
	uint64_t id;
	int tell;
	unsigned tries;
	int todo[16];
	unsigned todo_n;
};

struct w_end {
	struct monitor *m;
	struct rng_seeded seeded;
	struct rng rng;
	enum w_stranger stranger;
	uint8_t bucket[256];
	unsigned stranger_by;		/* tunnel that a stranger sends by */
	bool up[2];
	usec_t last_in[2], last_out[2];
	usec_t sample_at;
	struct w_ike ike[2];
	usec_t since_heard, gap;	/* of user traffic: last arrival, longest gap */
	unsigned got;
	/* what the monitor did */
	unsigned selects, probes[2], asks, tells, closes, dead[2], verdicts;
	usec_t selected_at;
	char reason[128];
};

enum w_event_kind { W_EV_ARRIVE, W_EV_SEND, W_EV_TCP, W_EV_IKE, W_EV_OPEN };

struct w_event {
	usec_t at;
	uint64_t order;
	enum w_event_kind kind;
	unsigned end, tun;
	struct w_pkt pkt;
	uint64_t arg;
};

struct w_tcp {				/* a bulk transfer from end 0 */
	bool on;
	double window;
	unsigned flying, acked;
	usec_t cut_at;			/* the window was last cut */
	bool slow_start;
};

struct world {
	usec_t now;
	struct rng_seeded seeded;
	struct rng rng;
	struct w_end end[2];
	struct w_link link[2][2];	/* [tunnel][sender] */
	struct w_event *ev;
	size_t ev_n, ev_cap;
	uint64_t order, exchange;
	usec_t every[2];		/* user packets of an end; 0: none */
	bool answered;			/* end 1 only answers what comes from end 0 */
	struct w_tcp tcp;
	struct mon_conf conf;
};

/* ---- events: a binary heap by (at, order) ------------------------------------------------ */

static inline bool
w_before(const struct w_event *a, const struct w_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static inline void
w_post(struct world *w, struct w_event e)
{
	size_t i = w->ev_n++;

	e.order = w->order++;
	if (w->ev_n > w->ev_cap) {
		w->ev_cap = w->ev_cap > 0 ? 2 * w->ev_cap : 256;
		w->ev = realloc(w->ev, w->ev_cap * sizeof(*w->ev));
		ck_assert_ptr_nonnull(w->ev);
	}
	for (; i > 0 && w_before(&e, &w->ev[(i - 1) / 2]); i = (i - 1) / 2)
		w->ev[i] = w->ev[(i - 1) / 2];
	w->ev[i] = e;
}

static inline struct w_event
w_pop(struct world *w)
{
	struct w_event top = w->ev[0], last = w->ev[--w->ev_n];
	size_t i = 0, child;

	for (; (child = 2 * i + 1) < w->ev_n; i = child) {
		if (child + 1 < w->ev_n && w_before(&w->ev[child + 1], &w->ev[child]))
			child++;
		if (!w_before(&w->ev[child], &last))
			break;
		w->ev[i] = w->ev[child];
	}
	if (w->ev_n > 0)
		w->ev[i] = last;
	return top;
}

/* ---- links ------------------------------------------------------------------------------- */

static inline usec_t
w_swell(const struct w_link *l, usec_t now)
{
	if (l->swell_to == 0 || now < l->swell_from)
		return 0;
	if (now - l->swell_from >= l->swell_for)
		return l->swell_to;
	return l->swell_to * (now - l->swell_from) / l->swell_for;
}

/* False: lost, by chance or because the queue is full. */
static inline bool
w_send(struct world *w, unsigned e, unsigned tun, struct w_pkt pkt)
{
	struct w_link *l = &w->link[tun][e];
	struct w_queue *q = l->queue;
	usec_t at = w->now;

	if (!w->end[e].up[tun])
		return false;
	if (pkt.kind != W_IKE && pkt.kind != W_IKE_ANSWER)
		w->end[e].last_out[tun] = w->now;
	if (l->cut || (l->loss > 0 && rng_below(&w->rng, 1000) < l->loss))
		return false;
	if (pkt.kind == W_ECHO && l->lose_echoes > 0) {
		l->lose_echoes--;
		return false;
	}
	if (q->rate > 0) {
		at = q->busy_until > at ? q->busy_until : at;
		if (at - w->now > q->depth)
			return false;
		at += (usec_t)pkt.len * 8 * 1000000 / q->rate;
		q->busy_until = at;
	}
	at += w_swell(l, w->now) + l->delay;
	at += l->jitter > 0 ? rng_below(&w->rng, (uint32_t)l->jitter) : 0;
	l->last = at = at > l->last ? at : l->last;
	w_post(w, (struct w_event){ .at = at, .kind = W_EV_ARRIVE, .end = !e, .tun = tun, .pkt = pkt });
	return true;
}

/* ---- the host around a monitor ----------------------------------------------------------- */

static inline void	w_drain(struct world *w, unsigned e);

static inline void
w_fact(struct world *w, unsigned e, struct mon_fact f)
{
	if (w->end[e].m == NULL)
		return;
	monitor_input(w->end[e].m, w->now, &f);
	w_drain(w, e);
}

static inline uint32_t
w_id(unsigned tun)
{
	return 11 + tun;
}

static inline void
w_sample(struct world *w, unsigned e)
{
	struct w_end *n = &w->end[e];

	W_TUN(i) {
		w_fact(w, e, (struct mon_fact){ .kind = MON_SAMPLE, .tunnel = w_id(i),
		    .last_in = n->last_in[i], .last_out = n->last_out[i] });
	}
}

static inline void
w_ike_start(struct world *w, unsigned e, unsigned tun)
{
	struct w_ike *x = &w->end[e].ike[tun];

	if (x->busy || x->todo_n == 0 || !w->end[e].up[tun])
		return;
	x->busy = true;
	x->id = ++w->exchange;
	x->tell = x->todo[0];
	x->tries = 0;
	memmove(x->todo, x->todo + 1, --x->todo_n * sizeof(x->todo[0]));
	w_post(w, (struct w_event){ .at = w->now, .kind = W_EV_IKE, .end = e, .tun = tun,
	    .arg = x->id });
}

static inline void
w_ike_do(struct world *w, unsigned e, unsigned tun, int tell)
{
	struct w_ike *x = &w->end[e].ike[tun];

	if (x->todo_n < 16)
		x->todo[x->todo_n++] = tell;
	w_ike_start(w, e, tun);
}

static inline void
w_down(struct world *w, unsigned e, unsigned tun)
{
	if (!w->end[e].up[tun])
		return;
	w->end[e].up[tun] = false;
	w->end[e].ike[tun] = (struct w_ike){ 0 };
	w_fact(w, e, (struct mon_fact){ .kind = MON_DOWN, .tunnel = w_id(tun) });
	w_post(w, (struct w_event){ .at = w->now + USEC_MS(500), .kind = W_EV_OPEN, .end = e,
	    .tun = tun });
}

static inline void
w_up(struct world *w, unsigned tun)
{
	W_END(e) {
		w->end[e].up[tun] = true;
		w->end[e].ike[tun] = (struct w_ike){ 0 };
		w_fact(w, e, (struct mon_fact){ .kind = MON_UP, .tunnel = w_id(tun) });
	}
}

/* Negotiate again: works when packets pass both ways, else is tried again. */
static inline void
w_open(struct world *w, unsigned e, unsigned tun)
{
	if (w->end[e].up[tun])
		return;
	if (!w->link[tun][0].cut && !w->link[tun][1].cut)
		w_up(w, tun);
	else
		w_post(w, (struct w_event){ .at = w->now + USEC_S(1), .kind = W_EV_OPEN, .end = e,
		    .tun = tun });
}

static inline void
w_ike_try(struct world *w, const struct w_event *ev)
{
	struct w_ike *x = &w->end[ev->end].ike[ev->tun];

	if (!x->busy || x->id != ev->arg)
		return;
	if (x->tries == 5) {
		w_down(w, ev->end, ev->tun);
		return;
	}
	(void)w_send(w, ev->end, ev->tun, (struct w_pkt){ .kind = W_IKE, .len = 100,
	    .token = x->id, .tell = x->tell });
	w_post(w, (struct w_event){ .at = w->now + (USEC_MS(500) << x->tries), .kind = W_EV_IKE,
	    .end = ev->end, .tun = ev->tun, .arg = x->id });
	x->tries++;
}

static inline void
w_act(struct world *w, unsigned e, const struct mon_action *a)
{
	struct w_end *n = &w->end[e];
	unsigned tun = a->tunnel != 0 ? a->tunnel - w_id(0) : 0;

	switch (a->kind) {
	case MON_PROBE:
		n->probes[tun]++;
		(void)w_send(w, e, tun, (struct w_pkt){ .kind = W_ECHO, .len = 100, .token = a->token });
		return;
	case MON_ASK:
		n->asks++;
		w_ike_do(w, e, tun, -1);
		return;
	case MON_SELECT:
		n->selects++;
		n->selected_at = w->now;
		memcpy(n->bucket, a->bucket, sizeof(n->bucket));
		memcpy(n->reason, a->reason, sizeof(n->reason));
		return;
	case MON_TELL:
		n->tells++;
		w_ike_do(w, e, tun, (int)a->index);
		return;
	case MON_CLOSE:
		n->closes++;
		w_down(w, e, tun);
		return;
	case MON_VERDICT:
		n->verdicts++;
		n->dead[tun] += a->verdict == MON_V_DEAD || a->verdict == MON_V_UPLINK;
		return;
	}
}

static inline void
w_drain(struct world *w, unsigned e)
{
	struct mon_action a;

	while (monitor_next(w->end[e].m, &a))
		w_act(w, e, &a);
}

/* ---- packets and traffic ----------------------------------------------------------------- */

static inline void
w_user(struct world *w, unsigned e, enum w_kind kind, unsigned len)
{
	struct w_end *n = &w->end[e];
	unsigned tun = n->bucket[rng_below(&w->rng, 256)];

	if (n->stranger != W_TANDEM)
		tun = n->stranger_by;
	if (tun == MON_NONE)
		return;
	if (!n->up[tun])		/* ck_assert() writes a file even when it holds */
		ck_abort_msg("end %u sends by tunnel %u, which is down", e, tun);
	if (!w_send(w, e, tun, (struct w_pkt){ .kind = kind, .len = len }) && w->tcp.on &&
	    kind == W_DATA && e == 0) {
		/* Noticed one window later: halve it once, go on with what is not lost. */
		w->tcp.flying--;
		if (w->now > w->tcp.cut_at + USEC_S(1)) {
			w->tcp.window = w->tcp.window / 2 + 2;
			w->tcp.cut_at = w->now;
			w->tcp.slow_start = false;
		}
	}
	if (n->m != NULL && n->sample_at == USEC_NEVER)
		w_sample(w, e);		/* the worker says that traffic has begun */
}

static inline void
w_tcp_go(struct world *w)
{
	for (unsigned burst = 0; burst < 20 && w->tcp.on && w->tcp.flying < w->tcp.window; burst++) {
		w->tcp.flying++;
		w_user(w, 0, W_DATA, 1400);
	}
}

static inline void
w_tcp_ack(struct world *w)
{
	if (w->tcp.flying > 0)
		w->tcp.flying--;
	w->tcp.acked++;
	w->tcp.window += w->tcp.slow_start ? 1 : 1 / w->tcp.window;
	w_tcp_go(w);
}

static inline void
w_arrive(struct world *w, const struct w_event *ev)
{
	unsigned e = ev->end, i = ev->tun;
	struct w_end *n = &w->end[e];
	const struct w_pkt *p = &ev->pkt;
	struct w_ike *x = &n->ike[i];

	if (!n->up[i])
		return;			/* no SA */
	if (p->kind == W_IKE || p->kind == W_IKE_ANSWER) {
		w_fact(w, e, (struct mon_fact){ .kind = MON_ALIVE, .tunnel = w_id(i) });
		if (p->kind == W_IKE && p->tell >= 0)
			w_fact(w, e, (struct mon_fact){ .kind = MON_TOLD, .connection = 1,
			    .index = (unsigned)p->tell });
		if (p->kind == W_IKE)
			(void)w_send(w, e, i, (struct w_pkt){ .kind = W_IKE_ANSWER, .len = 100,
			    .token = p->token });
		else if (x->busy && x->id == p->token) {
			x->busy = false;
			w_ike_start(w, e, i);
		}
		return;
	}
	n->last_in[i] = w->now;
	if (p->kind == W_ECHO && n->stranger != W_MUM)
		(void)w_send(w, e, n->stranger == W_BY_OTHER ? 1 : i, (struct w_pkt){
		    .kind = W_ANSWER, .len = 100, .token = p->token });
	else if (p->kind == W_ANSWER)
		w_fact(w, e, (struct mon_fact){ .kind = MON_ECHO, .tunnel = w_id(i),
		    .token = p->token, .at = w->now });
	if (p->kind != W_DATA && p->kind != W_ACK)
		return;
	n->got++;
	if (n->since_heard != 0 && w->now - n->since_heard > n->gap)
		n->gap = w->now - n->since_heard;
	n->since_heard = w->now;
	if (p->kind == W_ACK)
		w_tcp_ack(w);
	else if (e == 1 && (w->answered || w->tcp.on))
		w_user(w, 1, W_ACK, 80);
}

/* ---- the loop ---------------------------------------------------------------------------- */

static inline void
w_event(struct world *w, struct w_event *ev)
{
	switch (ev->kind) {
	case W_EV_ARRIVE:
		w_arrive(w, ev);
		return;
	case W_EV_SEND:
		if (w->every[ev->end] == 0 || ev->arg != w->every[ev->end])
			return;
		w_user(w, ev->end, W_DATA, 200);
		ev->at = w->now + w->every[ev->end];
		w_post(w, *ev);
		return;
	case W_EV_TCP:
		if (!w->tcp.on)
			return;
		if (w->tcp.flying == 0)
			w->tcp.window = 10;
		w_tcp_go(w);
		ev->at = w->now + USEC_MS(20);
		w_post(w, *ev);
		return;
	case W_EV_IKE:
		w_ike_try(w, ev);
		return;
	case W_EV_OPEN:
		w_open(w, ev->end, ev->tun);
		return;
	}
}

static inline void
w_run(struct world *w, usec_t until)
{
	for (;;) {
		usec_t at = w->ev_n > 0 ? w->ev[0].at : USEC_NEVER;

		W_END(e) {
			if (w->end[e].m == NULL)
				continue;
			at = usec_min(at, monitor_deadline(w->end[e].m));
			w->end[e].sample_at = monitor_sample_at(w->end[e].m, 1);
			at = usec_min(at, w->end[e].sample_at);
		}
		if (at > until)
			break;
		w->now = at > w->now ? at : w->now;
		while (w->ev_n > 0 && w->ev[0].at <= w->now) {
			struct w_event ev = w_pop(w);

			w_event(w, &ev);
		}
		W_END(e) {
			if (w->end[e].m == NULL)
				continue;
			if (monitor_sample_at(w->end[e].m, 1) <= w->now)
				w_sample(w, e);
			monitor_tick(w->end[e].m, w->now);
			w_drain(w, e);
			if (monitor_deadline(w->end[e].m) <= w->now)
				ck_abort_msg("a tick leaves something due");
		}
	}
	w->now = until;
}

/* ---- making one -------------------------------------------------------------------------- */

static inline void
w_traffic(struct world *w, unsigned e, usec_t every)
{
	w->every[e] = every;
	if (every > 0)
		w_post(w, (struct w_event){ .at = w->now + rng_below(&w->rng, (uint32_t)every),
		    .kind = W_EV_SEND, .end = e, .arg = every });
}

static inline void
w_tcp_start(struct world *w)
{
	w->tcp = (struct w_tcp){ .on = true, .window = 10, .slow_start = true };
	w_post(w, (struct w_event){ .at = w->now, .kind = W_EV_TCP });
}

static inline void
w_set_cut(struct world *w, unsigned tun, bool cut)
{
	w->link[tun][0].cut = w->link[tun][1].cut = cut;
}

/* Two ends, established and known to each other, with a round trip of `rtt` on both tunnels. */
static inline void
w_init_raw(struct world *w, uint64_t seed, usec_t rtt, usec_t hold, enum w_stranger stranger)
{
	memset(w, 0, sizeof(*w));
	w->now = USEC_S(100);
	w->rng = rng_seeded(&w->seeded, seed);
	w->conf = (struct mon_conf){ .connection = 1, .name = "w", .n = 2,
	    .tunnel = { w_id(0), w_id(1) }, .echo = { true, true }, .policy = MON_ACTIVE_STANDBY,
	    .hold = hold, .silence = USEC_MS(200), .spacing = USEC_MS(100), .idle = USEC_S(2) };
	W_TUN(i) {
		W_END(e) {
			w->link[i][e].delay = rtt / 2;
			w->link[i][e].queue = &w->link[i][e].own;
		}
	}
	W_END(e) {
		struct w_end *n = &w->end[e];

		n->sample_at = USEC_NEVER;
		n->stranger = e == 1 ? stranger : W_TANDEM;
		n->rng = rng_seeded(&n->seeded, seed * 2 + e + 1000000);
		memset(n->bucket, MON_NONE, sizeof(n->bucket));
		if (n->stranger == W_TANDEM) {
			n->m = monitor_new(&n->rng);
			ck_assert_ptr_nonnull(n->m);
			w_fact(w, e, (struct mon_fact){ .kind = MON_SET, .conf = &w->conf });
		}
	}
}

static inline void
w_init(struct world *w, uint64_t seed, usec_t rtt)
{
	w_init_raw(w, seed, rtt, USEC_S(10), W_TANDEM);
	W_TUN(i)
		w_up(w, i);
	w_run(w, w->now + USEC_S(6));
}

static inline void
w_fini(struct world *w)
{
	W_END(e)
		monitor_free(w->end[e].m);
	free(w->ev);
}

static inline unsigned
w_moves(const struct world *w, unsigned e)
{
	unsigned n = 0;
	usec_t at;

	ck_assert(monitor_moves(w->end[e].m, 1, &n, &at));
	return n;
}

static inline enum mon_verdict
w_verdict(const struct world *w, unsigned e, unsigned tun)
{
	struct mon_status st;

	ck_assert(monitor_status(w->end[e].m, w_id(tun), &st));
	return st.verdict;
}

static inline unsigned
w_live(const struct world *w, unsigned e)
{
	return w->end[e].bucket[0];
}

/* How often an end took a tunnel for dead since it was made. */
static inline unsigned
w_deaths(const struct world *w)
{
	unsigned n = 0;

	W_END(e)
		n += w->end[e].dead[0] + w->end[e].dead[1];
	return n;
}

#endif
