/* SPDX-License-Identifier: MIT */
/* Numbered datagrams both ways: the meter, the sender, the client, the server's flows. */
#ifndef TESTS_NETNS_STREAM_UDP_H
#define TESTS_NETNS_STREAM_UDP_H

#include "tests/netns/stream/common.h"

/* ---- what travels: host byte order, for both ends are on one machine ---- */

enum kind { DATA = 1, ASK, REPORT };

struct head {
	uint32_t magic;
	uint32_t kind;
	uint64_t seq;				/* DATA: number; ASK: how many were sent */
	uint64_t start;				/* of the stream, ns; ASK: its end */
	uint64_t sent;				/* ns */
	uint32_t rate;				/* a second, wanted from the server too */
	uint16_t size;				/* of the datagram */
	uint16_t gap_ms;			/* DATA: gaps from this on are wanted by name */
};						/* 40 bytes; a pattern follows */

/* ---- one receiving end ---- */

struct gap {
	uint64_t at, ns;			/* at: when it began */
	uint64_t lost;				/* numbers missing across it (may come later) */
};

struct meter {
	uint64_t start, last;			/* ns: sender's start, newest arrival */
	uint64_t received, duplicated, reordered, corrupted;
	uint64_t next;				/* highest number seen + 1 */
	uint64_t gap_min;			/* ns from which a gap is listed */
	struct gap longest, gaps[GAPS_MAX];
	uint64_t gaps_n;			/* all there were, also what is not listed */
	uint64_t delay_sum, delay_max, delay_min;
	uint8_t *seen;				/* a bit a number */
	size_t seen_len;
};

/* ---- one sending end ---- */

struct sender {
	uint64_t start, period, sent, late_max, refused;
	uint32_t rate;
	uint16_t size, gap_ms;
	bool on;
};

struct flow {
	struct sockaddr_storage peer;
	socklen_t peer_len;
	struct sender out;
	struct meter in;
};

/* ---- metering ---- */

static void
meter_gap(struct meter *m, uint64_t from, uint64_t to, uint64_t lost)
{
	struct gap g = { from, to > from ? to - from : 0, lost };

	if (g.ns > m->longest.ns)
		m->longest = g;
	if (g.ns <= m->gap_min)
		return;
	if (m->gaps_n < GAPS_MAX)
		m->gaps[m->gaps_n] = g;
	m->gaps_n++;
}

/* Marks a number as seen; returns false if it was. */
static bool
meter_mark(struct meter *m, uint64_t seq)
{
	size_t need = seq / 8 + 1, len = m->seen_len != 0 ? m->seen_len : 4096;

	if (need > m->seen_len) {
		while (len < need)
			len *= 2;
		m->seen = realloc(m->seen, len);
		if (m->seen == NULL)
			die("memory");
		memset(m->seen + m->seen_len, 0, len - m->seen_len);
		m->seen_len = len;
	}
	if (m->seen[seq / 8] & 1u << seq % 8)
		return false;
	m->seen[seq / 8] |= (uint8_t)(1u << seq % 8);
	return true;
}

static void
meter_arrival(struct meter *m, const struct head *h, uint64_t at)
{
	uint64_t delay = at > h->sent ? at - h->sent : 0;

	if (h->seq >= SEQ_MAX || !meter_mark(m, h->seq)) {
		m->duplicated++;
		return;
	}
	if (m->received++ == 0) {
		m->start = h->start;
		m->last = h->start + delay;
		m->delay_min = delay;
	}
	meter_gap(m, m->last, at, h->seq > m->next ? h->seq - m->next : 0);
	if (at > m->last)
		m->last = at;
	if (h->seq < m->next)
		m->reordered++;
	else
		m->next = h->seq + 1;
	m->delay_sum += delay;
	if (delay > m->delay_max)
		m->delay_max = delay;
	if (delay < m->delay_min)
		m->delay_min = delay;
}

/* The end of the stream is known: what is missing since the last arrival is a gap too. */
static void
meter_end(struct meter *m, uint64_t sent, uint64_t end)
{
	if (m->received == 0)
		m->last = end;
	else if (end + m->delay_min > m->last)
		meter_gap(m, m->last, end + m->delay_min, sent > m->next ? sent - m->next : 0);
}

static int
meter_print(const struct meter *m, uint64_t sent, char *to, size_t len)
{
	uint64_t shown = m->gaps_n < GAPS_MAX ? m->gaps_n : GAPS_MAX;
	size_t n;

	n = (size_t)snprintf(to, len, "{\"sent\": %" PRIu64 ", \"received\": %" PRIu64
	    ", \"lost\": %" PRId64 ", \"duplicated\": %" PRIu64 ", \"reordered\": %" PRIu64
	    ", \"corrupted\": %" PRIu64
	    ", \"gap_ms_max\": %.3f, \"gap_at\": %.6f, \"delay_ms_min\": %.3f"
	    ", \"delay_ms_mean\": %.3f, \"delay_ms_max\": %.3f, \"gaps_n\": %" PRIu64
	    ", \"gaps\": [", sent, m->received,
	    (int64_t)(sent - m->received), m->duplicated, m->reordered, m->corrupted,
	    ms(m->longest.ns), sec(m->longest.at), ms(m->delay_min),
	    m->received ? ms(m->delay_sum / m->received) : 0.0, ms(m->delay_max), m->gaps_n);
	for (uint64_t i = 0; i < shown && n < len; i++)
		n += (size_t)snprintf(to + n, len - n, "%s{\"at\": %.6f, \"ms\": %.3f, \"lost\": %"
		    PRIu64 "}", i ? ", " : "", sec(m->gaps[i].at), ms(m->gaps[i].ns),
		    m->gaps[i].lost);
	n += (size_t)snprintf(to + (n < len ? n : len), n < len ? len - n : 0, "]}");
	return (int)n;
}

/* ---- UDP ---- */

static uint64_t
sender_due(const struct sender *s)
{
	return s->on ? s->start + s->sent * s->period : 0;
}

static void
sender_init(struct sender *s, const struct head *want)
{
	*s = (struct sender){ .start = now_ns(), .period = NS / want->rate, .rate = want->rate,
	    .size = want->size, .gap_ms = want->gap_ms, .on = true };
}

/* Send all that is due.  A refused datagram (no route, full queue) counts as sent and lost. */
static void
sender_run(struct sender *s, int fd, const struct flow *f)
{
	static uint8_t packet[SIZE_MAX_UDP];
	uint64_t now = now_ns(), due;
	struct head h;

	while ((due = sender_due(s)) != 0 && due <= now && s->sent < SEQ_MAX) {
		h = (struct head){ MAGIC, DATA, s->sent, s->start, now_ns(), s->rate, s->size,
		    s->gap_ms };
		memset(packet, (int)(s->sent & 0xff), s->size);
		memcpy(packet, &h, sizeof(h));
		if (now - due > s->late_max)
			s->late_max = now - due;
		if (sendto(fd, packet, s->size, 0, f->peer_len ? (const void *)&f->peer : NULL,
		    f->peer_len) < 0)
			s->refused++;
		s->sent++;
	}
}

static bool
pattern_holds(const uint8_t *data, size_t len, const struct head *h)
{
	if (len != h->size)
		return false;
	for (size_t i = sizeof(*h); i < len; i++)
		if (data[i] != (uint8_t)(h->seq & 0xff))
			return false;
	return true;
}

static uint64_t
arrival_ns(struct msghdr *mh, uint64_t real_minus_mono)
{
	struct timespec ts;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(c), sizeof(ts));
		return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec - real_minus_mono;
	}
	return now_ns();
}

/* A batch of received datagrams, in buffers that live as long as the program. */
struct batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_storage from[BATCH];
	uint8_t control[BATCH][64] __attribute__((aligned(8)));
	uint8_t data[BATCH][SIZE_MAX_UDP];
};

static int
batch_receive(struct batch *b, int fd)
{
	for (int i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){ b->data[i], SIZE_MAX_UDP };
		b->msg[i].msg_hdr = (struct msghdr){ .msg_name = &b->from[i],
		    .msg_namelen = sizeof(b->from[i]), .msg_iov = &b->iov[i], .msg_iovlen = 1,
		    .msg_control = b->control[i], .msg_controllen = sizeof(b->control[i]) };
	}
	return recvmmsg(fd, b->msg, BATCH, MSG_DONTWAIT, NULL);
}

/* A place for a new client: a free one, else that of one that has ended, else none. */
static struct flow *
flow_place(struct flow *flows, size_t *n)
{
	static size_t turn;

	if (*n < FLOWS_MAX)
		return &flows[(*n)++];
	for (size_t i = 0; i < FLOWS_MAX; i++) {
		struct flow *f = &flows[turn++ % FLOWS_MAX];

		if (!f->out.on)
			return f;
	}
	return NULL;
}

/* The flow that a datagram belongs to; DATA of an unknown one, or of a newer run, begins a flow. */
static struct flow *
flow_of(struct flow *flows, size_t *n, const struct msghdr *mh, const struct head *h)
{
	struct flow *f = NULL;

	for (size_t i = 0; i < *n && f == NULL; i++)
		if (flows[i].peer_len == mh->msg_namelen &&
		    memcmp(&flows[i].peer, mh->msg_name, mh->msg_namelen) == 0)
			f = &flows[i];
	if (h->kind != DATA || (f != NULL && h->start <= f->in.start))
		return f;
	if (h->rate == 0 || h->size < sizeof(*h) || h->size > SIZE_MAX_UDP)
		return NULL;
	if (f == NULL && (f = flow_place(flows, n)) == NULL)
		return NULL;
	free(f->in.seen);
	*f = (struct flow){ .peer_len = mh->msg_namelen, .in.gap_min = h->gap_ms * 1000000ull };
	memcpy(&f->peer, mh->msg_name, mh->msg_namelen);
	f->in.start = h->start;
	sender_init(&f->out, h);
	return f;
}

/* The client has ended and wants to know: stop our stream too, answer what it sent and we got. */
static void
flow_report(struct flow *f, int fd, const struct head *ask)
{
	static char text[SIZE_MAX_UDP];
	struct head h = { MAGIC, REPORT, f->out.sent, now_ns(), 0, 0, 0, 0 };
	size_t n = sizeof(h);

	if (f->out.on) {
		f->out.on = false;
		meter_end(&f->in, ask->seq, ask->start);
	}
	h.sent = f->out.late_max;
	memcpy(text, &h, sizeof(h));
	n += (size_t)meter_print(&f->in, ask->seq, text + n, sizeof(text) - n);
	(void)sendto(fd, text, n, 0, (struct sockaddr *)&f->peer, f->peer_len);
}

/* Everything that is waiting on the socket.  A client has one flow, a server up to FLOWS_MAX. */
static void
udp_input(int fd, struct flow *flows, size_t *n, bool server, char *report)
{
	static struct batch b;
	uint64_t shift = clock_ns(CLOCK_REALTIME) - now_ns();
	struct flow *f;
	struct head h;
	int got;

	while ((got = batch_receive(&b, fd)) > 0) {
		for (int i = 0; i < got; i++) {
			size_t len = b.msg[i].msg_len;

			if (len < sizeof(h))
				continue;
			memcpy(&h, b.data[i], sizeof(h));
			if (h.magic != MAGIC)
				continue;
			f = server ? flow_of(flows, n, &b.msg[i].msg_hdr, &h) : &flows[0];
			if (f == NULL)
				continue;
			if (h.kind == DATA && !pattern_holds(b.data[i], len, &h))
				f->in.corrupted++;
			else if (h.kind == DATA)
				meter_arrival(&f->in, &h, arrival_ns(&b.msg[i].msg_hdr, shift));
			else if (h.kind == ASK && server)
				flow_report(f, fd, &h);
			else if (h.kind == REPORT && report != NULL)
				memcpy(report, b.data[i], len);
		}
	}
}

/* Send what is due, then sleep until the next is, or `until`, or something came in. */
static void
udp_turn(int fd, struct flow *flows, size_t n, uint64_t until)
{
	struct pollfd p = { fd, POLLIN, 0 };
	struct timespec ts;
	uint64_t due, now;

	for (size_t i = 0; i < n; i++) {
		sender_run(&flows[i].out, fd, &flows[i]);
		due = sender_due(&flows[i].out);
		if (due != 0 && due < until)
			until = due;
	}
	now = now_ns();
	until = until > now ? until - now : 0;
	ts = (struct timespec){ (time_t)(until / NS), (long)(until % NS) };
	ppoll(&p, 1, &ts, NULL);
}

/* Ask for the report until it is there or 5 s are over.  The back stream runs meanwhile. */
static bool
udp_ask(int fd, struct flow *f, uint64_t end, char *report)
{
	struct head ask = { MAGIC, ASK, f->out.sent, end, 0, 0, 0, 0 };
	size_t one = 1;

	for (int i = 0; i < 50 && report[0] == '\0'; i++) {
		(void)send(fd, &ask, sizeof(ask), 0);
		for (uint64_t until = now_ns() + NS / 10; report[0] == '\0' && now_ns() < until;) {
			udp_turn(fd, f, 1, until);
			udp_input(fd, f, &one, false, report);
		}
	}
	return report[0] != '\0';
}

static int
udp_client(const struct options *o)
{
	static struct flow f;
	static char report[SIZE_MAX_UDP + 1], back[SIZE_MAX_UDP];
	struct head h, want = { .rate = o->rate, .size = (uint16_t)o->size,
	    .gap_ms = (uint16_t)o->gap_ms };
	struct addrinfo *ai = resolve(o, false);
	int fd = udp_socket(ai, false);
	uint64_t end, drained;
	size_t one = 1;
	bool whole;

	freeaddrinfo(ai);
	sender_init(&f.out, &want);
	f.in.gap_min = o->gap_ms * 1000000ull;
	for (end = f.out.start + (uint64_t)(o->seconds * 1e9); !stopped && now_ns() < end;) {
		udp_turn(fd, &f, 1, end);
		udp_input(fd, &f, &one, false, NULL);
	}
	f.out.on = false;
	end = now_ns();
	for (int round = 0; round < 2; round++) {	/* what is on its way there, then back */
		for (drained = now_ns() + o->drain_ms * 1000000ull; now_ns() < drained;) {
			udp_turn(fd, &f, 1, drained);
			udp_input(fd, &f, &one, false, report);
		}
		whole = round == 0 ? udp_ask(fd, &f, end, report) : whole;
	}
	memcpy(&h, report, sizeof(h));
	meter_end(&f.in, whole ? h.seq : f.in.next, whole ? h.start : end);
	meter_print(&f.in, whole ? h.seq : f.in.next, back, sizeof(back));
	printf("{\"ok\": %s, \"mode\": \"udp\", \"started_at\": %.6f, \"ended_at\": %.6f"
	    ", \"late_ms_max\": %.3f, \"server_late_ms_max\": %.3f, \"refused\": %" PRIu64
	    ", \"out\": %s, \"back\": %s}\n",
	    whole ? "true" : "false", sec(f.out.start), sec(end), ms(f.out.late_max), ms(h.sent),
	    f.out.refused, whole ? report + sizeof(h) : "null", back);
	return whole ? 0 : 1;
}

#endif
