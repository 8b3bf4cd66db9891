/* SPDX-License-Identifier: MIT */
/*
 * stream: the load and the gap meter of the failover tests.
 *
 *   stream server [--port P]                     answers both kinds of clients, until SIGTERM
 *   stream udp --to ADDRESS [options]            numbered datagrams both ways, independent streams
 *   stream tcp --to ADDRESS [options]            connections that each send a line and want it back
 *
 * Every mode ends with one JSON object as its last line on standard output.  CLOCK_MONOTONIC is
 * one for all namespaces of a host, so every time printed ("..._at", seconds) can be held against
 * the moment at which a test cut something.
 *
 * UDP.  The client sends `--rate` datagrams a second, numbered from 0; the server starts a stream
 * of the same rate and size towards the client with the first that reaches it.  Both sending
 * clocks are absolute: a sender that was not scheduled catches up, and says by how much it was
 * late (`late_ms_max`), so that a gap of the machine is not taken for one of the network.
 * Arrival is the kernel's receive timestamp, not the moment at which the process got to look.  A
 * gap is the time between two arrivals; before the first datagram it counts from the moment at
 * which number 0 should have come, after the last to that at which the last should have.  What
 * arrives changed is counted as corrupted, and as lost.  At its end the client asks for the
 * server's report, until it gets it.
 *
 * TCP.  A stall is the longest time on one connection without an echo while a line was on its way.
 */
#include "tests/netns/stream/tcp.h"
#include "tests/netns/stream/udp.h"

/* ---- the server: both on one port ---- */

static int
tcp_listen(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, CONNS_MAX) != 0)
		die("listen");
	return fd;
}

struct server {
	int udp, listener;
	struct flow flows[FLOWS_MAX];
	size_t flows_n;
	struct conn conns[CONNS_MAX];
	struct tally tally;
	uint64_t accepted;
	size_t conns_n;				/* places used so far, some free again */
};

static void
tcp_accept(struct server *s)
{
	int fd, on = 1;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		size_t i = 0;

		while (i < s->conns_n && s->conns[i].fd >= 0)
			i++;
		if (i == CONNS_MAX) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		s->conns[i] = (struct conn){ .fd = fd };
		s->conns_n += i == s->conns_n;
		s->accepted++;
	}
}

static void
server_turn(struct server *s)
{
	static struct pollfd p[CONNS_MAX + 2];
	uint64_t now = now_ns(), until = now + NS / 10, due, left;
	struct timespec ts;
	size_t n = s->conns_n;

	for (size_t i = 0; i < s->flows_n; i++) {
		if (now > s->flows[i].in.last + FORGET_S * (uint64_t)NS)
			s->flows[i].out.on = false;
		sender_run(&s->flows[i].out, s->udp, &s->flows[i]);
		due = sender_due(&s->flows[i].out);
		if (due != 0 && due < until)
			until = due;
	}
	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd){ s->conns[i].fd, s->conns[i].len > 0 ? POLLOUT : POLLIN, 0 };
	p[n] = (struct pollfd){ s->udp, POLLIN, 0 };
	p[n + 1] = (struct pollfd){ s->listener, POLLIN, 0 };
	now = now_ns();
	left = until > now ? until - now : 0;
	ts = (struct timespec){ 0, (long)left };
	if (ppoll(p, n + 2, &ts, NULL) <= 0)
		return;
	if (p[n].revents != 0)
		udp_input(s->udp, s->flows, &s->flows_n, true, NULL);
	for (size_t i = 0; i < n; i++)
		if (s->conns[i].fd >= 0 && p[i].revents != 0)
			conn_echo(&s->conns[i], &s->tally);
	if (p[n + 1].revents != 0)
		tcp_accept(s);
}

static int
server(const struct options *o)
{
	static struct server s;
	struct addrinfo *ai = resolve(o, true);

	s.udp = udp_socket(ai, true);
	s.listener = tcp_listen(ai);
	freeaddrinfo(ai);
	printf("ready\n");
	fflush(stdout);
	while (!stopped)
		server_turn(&s);
	printf("{\"ok\": true, \"mode\": \"server\", \"udp_flows\": %zu, \"tcp_accepted\": %" PRIu64
	    ", \"tcp_ended\": %" PRIu64 ", \"tcp_resets\": %" PRIu64 "}\n", s.flows_n, s.accepted,
	    s.tally.ended, s.tally.resets);
	return 0;
}

/* ---- the command line ---- */

static void
usage(FILE *to)
{
	fprintf(to,
	    "usage: stream server [--port P] [--bind ADDRESS]\n"
	    "       stream udp --to ADDRESS [--port P] [--rate N] [--size BYTES] [--time S]\n"
	    "                  [--gap MS]\n"
	    "       stream tcp --to ADDRESS [--port P] [--connections N] [--every MS]\n"
	    "                  [--time S] [--gap MS]\n"
	    "  --port P         default 7000, UDP and TCP\n"
	    "  --rate N         datagrams a second each way (default 1000)\n"
	    "  --size BYTES     of a datagram's payload, 40 to 8192 (default 200)\n"
	    "  --connections N  1 to 1000 (default 50), each with a line every --every MS (50)\n"
	    "  --time S         seconds (default 10), or until SIGTERM or SIGINT\n"
	    "  --gap MS         udp: list gaps longer than this; tcp: count connections that\n"
	    "                   stalled longer (default 100)\n"
	    "  --drain MS       wait this long for what is on its way at the end (default 300)\n"
	    "exit code: 0 all well, 1 the server did not report, or a connection ended, 2 usage\n");
}

static uint32_t
whole(const char *name, const char *text, uint32_t low, uint32_t high)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || v < low || v > high) {
		fprintf(stderr, "stream: --%s %s: give %u to %u\n", name, text, low, high);
		exit(2);
	}
	return (uint32_t)v;
}

static void
options_read(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "to", 1, NULL, 't' }, { "port", 1, NULL, 'p' }, { "bind", 1, NULL, 'b' },
		{ "rate", 1, NULL, 'r' }, { "size", 1, NULL, 's' }, { "connections", 1, NULL, 'c' },
		{ "every", 1, NULL, 'e' }, { "time", 1, NULL, 'T' }, { "gap", 1, NULL, 'g' },
		{ "drain", 1, NULL, 'd' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	int c, i = 0;

	while ((c = getopt_long(argc, argv, "h", longs, &i)) != -1) {
		switch (c) {
		case 't': o->to = optarg; break;
		case 'p': o->port = optarg; break;
		case 'b': o->bind = optarg; break;
		case 'r': o->rate = whole("rate", optarg, 1, 1000000); break;
		case 's': o->size = whole("size", optarg, sizeof(struct head), SIZE_MAX_UDP); break;
		case 'c': o->connections = whole("connections", optarg, 1, CONNS_MAX); break;
		case 'e': o->every_ms = whole("every", optarg, 1, 60000); break;
		case 'T': o->seconds = strtod(optarg, NULL); break;
		case 'g': o->gap_ms = whole("gap", optarg, 1, 60000); break;
		case 'd': o->drain_ms = whole("drain", optarg, 0, 60000); break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
}

int
main(int argc, char **argv)
{
	struct options o = { .port = "7000", .rate = 1000, .size = 200, .connections = 50,
	    .every_ms = 50, .gap_ms = 100, .drain_ms = 300, .seconds = 10 };
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	prctl(PR_SET_TIMERSLACK, 1000);
	options_read(&o, argc, argv);
	if (optind == argc - 1 && strcmp(argv[optind], "server") == 0)
		return server(&o);
	if (optind == argc - 1 && o.to != NULL && strcmp(argv[optind], "udp") == 0)
		return udp_client(&o);
	if (optind == argc - 1 && o.to != NULL && strcmp(argv[optind], "tcp") == 0)
		return tcp_client(&o);
	usage(stderr);
	return 2;
}
