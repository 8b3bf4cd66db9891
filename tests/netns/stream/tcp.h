/* SPDX-License-Identifier: MIT */
/* TCP connections that send lines and want them back: the client, and the server's echo. */
#ifndef TESTS_NETNS_STREAM_TCP_H
#define TESTS_NETNS_STREAM_TCP_H

#include "tests/netns/stream/common.h"

/* ---- TCP ---- */

struct conn {
	int fd;					/* -1 when it has ended */
	uint64_t sent, echoed;			/* lines */
	uint64_t waiting_since;			/* ns: a line is out, nothing came since; or 0 */
	uint64_t stall, stall_at, bytes;
	size_t len;				/* of an unfinished line, or (server) to echo */
	char buf[LINE_BUFFER];
};

struct tally {
	uint64_t resets, ended, failed, garbled, skipped;
};

static void
conn_end(struct conn *c, struct tally *t, int error)
{
	if (error == ECONNRESET || error == EPIPE || error == ECONNREFUSED)
		t->resets++;
	t->ended++;
	close(c->fd);
	c->fd = -1;
}

/* True if a result of read or write ends the connection; that is then done. */
static bool
conn_over(struct conn *c, struct tally *t, ssize_t n, bool reading)
{
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)) || (n == 0 && !reading))
		return false;
	conn_end(c, t, n < 0 ? errno : 0);
	return true;
}

static void
conn_stalled(struct conn *c, uint64_t until)
{
	if (c->waiting_since == 0 || until - c->waiting_since <= c->stall)
		return;
	c->stall = until - c->waiting_since;
	c->stall_at = c->waiting_since;
}

/* Client: send line `sent`; what the socket does not take at once is a line skipped. */
static void
conn_say(struct conn *c, struct tally *t)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "%" PRIu64 " and all is well\n", c->sent);
	ssize_t n = send(c->fd, line, (size_t)len, MSG_NOSIGNAL);

	if (conn_over(c, t, n, false))
		return;
	if (n != len) {				/* the socket buffer holds seconds of lines */
		t->skipped++;
		return;
	}
	c->sent++;
	if (c->waiting_since == 0)
		c->waiting_since = now_ns();
}

/* Client: take echoes; each must be the next line. */
static void
conn_hear(struct conn *c, struct tally *t)
{
	ssize_t n = read(c->fd, c->buf + c->len, sizeof(c->buf) - c->len - 1);
	uint64_t now = now_ns();
	char *line = c->buf, *nl;

	if (n <= 0) {
		(void)conn_over(c, t, n, true);
		return;
	}
	conn_stalled(c, now);
	c->bytes += (uint64_t)n;
	c->len += (size_t)n;
	c->buf[c->len] = '\0';
	for (; (nl = strchr(line, '\n')) != NULL; line = nl + 1)
		if (strtoull(line, NULL, 10) != c->echoed++)
			t->garbled++;
	c->len -= (size_t)(line - c->buf);
	memmove(c->buf, line, c->len);
	c->waiting_since = c->echoed < c->sent ? now : 0;
}

/* Server: give back what came; what does not go out waits, and nothing more is read until then. */
static void
conn_echo(struct conn *c, struct tally *t)
{
	ssize_t n = 1;

	if (c->len == 0) {
		n = read(c->fd, c->buf, sizeof(c->buf));
		if (conn_over(c, t, n, true) || n < 0)
			return;
		c->len = (size_t)n;
	}
	n = send(c->fd, c->buf, c->len, MSG_NOSIGNAL);
	if (conn_over(c, t, n, false) || n <= 0)
		return;
	c->bytes += (uint64_t)n;
	c->len -= (size_t)n;
	memmove(c->buf, c->buf + n, c->len);
}

static int
tcp_connect(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct timeval patience = { 5, 0 }, none = { 0, 0 };

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void
tcp_print(struct conn *conns, const struct options *o, const struct tally *t, uint64_t start)
{
	uint64_t sent = 0, echoed = 0, bytes = 0, stalled = 0, end = now_ns();
	const struct conn *worst = &conns[0];

	for (uint32_t i = 0; i < o->connections; i++) {
		struct conn *c = &conns[i];

		conn_stalled(c, end);
		sent += c->sent;
		echoed += c->echoed;
		bytes += c->bytes;
		stalled += c->stall > o->gap_ms * 1000000ull;
		if (c->stall > worst->stall)
			worst = c;
	}
	printf("{\"ok\": %s, \"mode\": \"tcp\", \"started_at\": %.6f, \"ended_at\": %.6f"
	    ", \"connections\": %u"
	    ", \"failed\": %" PRIu64 ", \"resets\": %" PRIu64 ", \"ended\": %" PRIu64
	    ", \"garbled\": %" PRIu64 ", \"skipped\": %" PRIu64 ", \"lines_sent\": %" PRIu64
	    ", \"lines_echoed\": %" PRIu64
	    ", \"bytes\": %" PRIu64 ", \"stall_ms_max\": %.3f, \"stall_at\": %.6f"
	    ", \"stalled\": %" PRIu64 "}\n",
	    t->ended + t->failed + t->garbled == 0 ? "true" : "false", sec(start), sec(end),
	    o->connections, t->failed, t->resets, t->ended, t->garbled, t->skipped, sent, echoed,
	    bytes, ms(worst->stall), sec(worst->stall_at), stalled);
}

/* One turn of all connections: wait until `until` at most, then hear who has something. */
static void
tcp_turn(struct conn *conns, uint32_t n, struct tally *t, uint64_t until)
{
	static struct pollfd p[CONNS_MAX];
	uint64_t now = now_ns(), left = until > now ? until - now : 0;
	struct timespec ts = { (time_t)(left / NS), (long)(left % NS) };

	for (uint32_t i = 0; i < n; i++)
		p[i] = (struct pollfd){ conns[i].fd, POLLIN, 0 };
	if (ppoll(p, n, &ts, NULL) <= 0)
		return;
	for (uint32_t i = 0; i < n; i++)
		if (conns[i].fd >= 0 && p[i].revents != 0)
			conn_hear(&conns[i], t);
}

static int
tcp_client(const struct options *o)
{
	static struct conn conns[CONNS_MAX];
	struct addrinfo *ai = resolve(o, false);
	uint64_t start, end, due, step = o->every_ms * 1000000ull / o->connections;
	struct tally t = { 0 };

	for (uint32_t i = 0; i < o->connections; i++)
		if ((conns[i].fd = tcp_connect(ai)) < 0)
			t.failed++;
	freeaddrinfo(ai);
	start = due = now_ns();
	end = start + (uint64_t)(o->seconds * 1e9);
	for (uint32_t next = 0; !stopped && due < end; next = (next + 1) % o->connections) {
		if (conns[next].fd >= 0)
			conn_say(&conns[next], &t);
		for (due += step; !stopped && now_ns() < due;)
			tcp_turn(conns, o->connections, &t, due);
	}
	for (end = now_ns() + o->drain_ms * 1000000ull; now_ns() < end;)
		tcp_turn(conns, o->connections, &t, end);
	tcp_print(conns, o, &t, start);
	return t.ended + t.failed + t.garbled == 0 ? 0 : 1;
}

#endif
