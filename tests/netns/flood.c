/* SPDX-License-Identifier: MIT */
/*
 * flood: as many UDP packets as wanted, and a sink that counts them.  For the benchmark.
 *
 *   flood source --to ADDRESS [--port P] [--size BYTES] [--rate N] [--time S] [--run ID] [--gso]
 *   flood sink [--port P]
 *
 * The size is that of the IP packet, headers included, and DF is set: what does not fit the
 * tunnel fails here instead of being sent as two fragments and counted as one.
 *
 * The source sends by sendmmsg, 64 packets a call.  With --rate its clock is absolute: whenever it
 * wakes, each 50 microseconds, it sends what is due, so that a rate is a train of small bursts,
 * and a source that was not scheduled catches up, by 1 ms' worth at most: what is due beyond that
 * is not made up for, since the burst would be another test.  It prints what it really sent.
 *
 * The sink receives by recvmmsg and takes whole trains (UDP_GRO), so that it weighs as little as
 * possible on a machine that it shares with the gateways.  Each line on its standard input is
 * answered, as soon as nothing has come for 50 ms, by one JSON object about the newest run:
 * packets received, reordered, and the seconds from the first to the last.  Packets of another
 * run are not counted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/udp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ull
enum {
	BATCH = 64,			/* packets a sendmmsg, and segments of a train at most */
	TRAIN = 64000,			/* bytes of a train at most */
	NAP_NS = 50000,
	CATCH_UP_NS = 1000000,
	QUIET_MS = 50,
	QUIET_MAX_MS = 2000,		/* by then the sink answers whether it is quiet or not */
	IN_BATCH = 32,
	IN_LEN = 65536,
	BUFFER = 4 << 20,		/* bytes of the sink's socket buffer */
};
static const uint32_t magic = 0x7a4d1a5e;

struct head {
	uint32_t magic;
	uint32_t run;
	uint64_t seq;
};

struct options {
	const char *to, *port;
	uint32_t size, rate, run;
	double seconds;
	bool gso;
};

static volatile sig_atomic_t stopped;

static void
on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

static void
die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

/* ---- the source ---- */

struct source {
	int fd;
	uint32_t payload;		/* bytes of a packet behind its UDP header */
	uint32_t train;			/* packets a message: 1 without --gso */
	uint64_t sent, calls, refused;
	char *buffer;			/* BATCH * payload bytes */
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
};

static struct addrinfo *
resolve(const struct options *o, bool passive)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM,
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (passive ? AI_PASSIVE : 0),
	    .ai_family = passive ? AF_INET6 : AF_UNSPEC };
	struct addrinfo *ai;
	int rc = getaddrinfo(o->to, o->port, &hints, &ai);

	if (rc != 0) {
		fprintf(stderr, "flood: %s port %s: %s\n", o->to == NULL ? "*" : o->to, o->port,
		    gai_strerror(rc));
		exit(2);
	}
	return ai;
}

static void
source_open(struct source *s, const struct options *o)
{
	struct addrinfo *ai = resolve(o, false);
	bool v6 = ai->ai_family == AF_INET6;
	uint32_t headers = v6 ? 48 : 28;
	int df = v6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO, len = 1 << 20, segment;

	if (o->size < headers + sizeof(struct head)) {
		fprintf(stderr, "flood: --size: at least %zu\n", headers + sizeof(struct head));
		exit(2);
	}
	s->payload = o->size - headers;
	s->train = o->gso ? TRAIN / s->payload : 1;
	if (s->train > BATCH)
		s->train = BATCH;
	s->fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		die("socket");
	setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &len, sizeof(len));
	setsockopt(s->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
	    &df, sizeof(df));
	segment = (int)s->payload;
	if (o->gso && setsockopt(s->fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) != 0)
		die("UDP_SEGMENT");
	if (connect(s->fd, ai->ai_addr, ai->ai_addrlen) != 0)
		die("connect");
	freeaddrinfo(ai);
	s->buffer = calloc(BATCH, s->payload);
	if (s->buffer == NULL)
		die("memory");
}

/* Send up to `n` packets, at most BATCH, at once. */
static void
source_send(struct source *s, uint32_t n, uint32_t run)
{
	uint32_t msgs = 0;
	int done;

	for (uint32_t i = 0; i < n; i++) {
		struct head h = { magic, run, s->sent + i };

		memcpy(s->buffer + (size_t)i * s->payload, &h, sizeof(h));
	}
	for (uint32_t i = 0; i < n; i += s->train, msgs++) {
		uint32_t k = n - i < s->train ? n - i : s->train;

		s->iov[msgs] = (struct iovec){ s->buffer + (size_t)i * s->payload,
		    (size_t)k * s->payload };
		s->msgs[msgs] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &s->iov[msgs],
		    .msg_iovlen = 1 } };
	}
	done = sendmmsg(s->fd, s->msgs, msgs, 0);
	s->calls++;
	if (done > 0) {
		uint32_t packets = (uint32_t)done * s->train;

		s->sent += packets < n ? packets : n;
		return;
	}
	if (errno == EMSGSIZE)
		die("a packet of this size does not fit the way");
	/* A queue that is full, a peer that is not there yet: the next one may do. */
	s->refused++;
	if (s->refused > 1000000)
		die("send");
}

static int
source(const struct options *o)
{
	static struct source s;
	const double most = 1 + (double)CATCH_UP_NS / NS * o->rate;
	uint64_t begin, end, now, from;
	double due;

	source_open(&s, o);
	prctl(PR_SET_TIMERSLACK, 1000);
	begin = from = now = now_ns();
	end = begin + (uint64_t)(o->seconds * NS);
	for (due = 0; !stopped && now < end; now = now_ns()) {
		uint32_t n = BATCH;

		if (o->rate > 0) {
			due += (double)(now - from) / NS * o->rate;
			if (due > most)
				due = most;
			from = now;
			n = due < BATCH ? (uint32_t)due : BATCH;
		}
		if (n == 0) {
			nanosleep(&(struct timespec){ 0, NAP_NS }, NULL);
			continue;
		}
		source_send(&s, n, o->run);
		due -= n;
	}
	printf("{\"ok\": true, \"run\": %u, \"sent\": %" PRIu64 ", \"refused\": %" PRIu64
	    ", \"seconds\": %.6f}\n", o->run, s.sent, s.refused, (double)(now - begin) / NS);
	return 0;
}

/* ---- the sink ---- */

struct sink {
	int fd;
	uint32_t run;
	uint64_t received, reordered, strangers, next, first, last;
	char *buffers;			/* IN_BATCH * IN_LEN bytes */
	struct iovec iov[IN_BATCH];
	struct mmsghdr msgs[IN_BATCH];
	char control[IN_BATCH][CMSG_SPACE(sizeof(int))];
};

static void
sink_open(struct sink *s, const struct options *o)
{
	struct addrinfo *ai = resolve(o, true);
	int off = 0, on = 1, len = BUFFER;

	s->fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		die("socket");
	setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &len, sizeof(len));
	setsockopt(s->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
	if (bind(s->fd, ai->ai_addr, ai->ai_addrlen) != 0)
		die("bind");
	freeaddrinfo(ai);
	s->buffers = malloc((size_t)IN_BATCH * IN_LEN);
	if (s->buffers == NULL)
		die("memory");
}

static void
sink_packet(struct sink *s, const char *data, size_t len, uint64_t now)
{
	struct head h;

	if (len < sizeof(h)) {
		s->strangers++;
		return;
	}
	memcpy(&h, data, sizeof(h));
	if (h.magic != magic || h.run < s->run) {
		s->strangers++;
		return;
	}
	if (h.run > s->run) {
		s->run = h.run;
		s->received = s->reordered = s->next = 0;
		s->first = now;
	}
	s->received++;
	if (h.seq < s->next)
		s->reordered++;
	else
		s->next = h.seq + 1;
	s->last = now;
}

/* The segment size of a train, or `len` for a packet by itself. */
static size_t
segment_of(struct msghdr *m, size_t len)
{
	int size;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			return size > 0 ? (size_t)size : len;
		}
	return len;
}

/* Take what is there; false when there was nothing. */
static bool
sink_take(struct sink *s)
{
	uint64_t now;
	int n;

	for (int i = 0; i < IN_BATCH; i++) {
		s->iov[i] = (struct iovec){ s->buffers + (size_t)i * IN_LEN, IN_LEN };
		s->msgs[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &s->iov[i], .msg_iovlen = 1,
		    .msg_control = s->control[i], .msg_controllen = sizeof(s->control[i]) } };
	}
	n = recvmmsg(s->fd, s->msgs, IN_BATCH, 0, NULL);
	now = now_ns();
	for (int i = 0; i < n; i++) {
		size_t len = s->msgs[i].msg_len, step = segment_of(&s->msgs[i].msg_hdr, len);

		for (size_t at = 0; at < len; at += step)
			sink_packet(s, (char *)s->iov[i].iov_base + at,
			    len - at < step ? len - at : step, now);
	}
	return n > 0;
}

static void
sink_report(struct sink *s)
{
	uint64_t until = now_ns() + QUIET_MAX_MS * 1000000ull;
	struct pollfd p = { s->fd, POLLIN, 0 };

	while (!stopped && now_ns() < until && poll(&p, 1, QUIET_MS) > 0)
		sink_take(s);
	printf("{\"ok\": true, \"run\": %u, \"received\": %" PRIu64 ", \"reordered\": %" PRIu64
	    ", \"strangers\": %" PRIu64 ", \"seconds\": %.6f}\n", s->run, s->received, s->reordered,
	    s->strangers, (double)(s->last - s->first) / NS);
	fflush(stdout);
}

static int
sink(const struct options *o)
{
	static struct sink s;
	struct pollfd p[2] = { { .events = POLLIN }, { STDIN_FILENO, POLLIN, 0 } };
	char line[64];

	sink_open(&s, o);
	p[0].fd = s.fd;
	printf("ready\n");
	fflush(stdout);
	while (!stopped) {
		if (sink_take(&s))
			continue;
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents != 0) {
			if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
				break;
			sink_report(&s);
		}
	}
	return 0;
}

/* ---- the command line ---- */

static void
usage(FILE *to)
{
	fprintf(to,
	    "usage: flood source --to ADDRESS [--port P] [--size BYTES] [--rate N] [--time S]\n"
	    "                    [--run ID] [--gso]\n"
	    "       flood sink [--port P]\n"
	    "  --port P      default 7100\n"
	    "  --size BYTES  of the IP packet (default 1400)\n"
	    "  --rate N      packets a second (default 0: as many as go)\n"
	    "  --time S      seconds (default 1)\n"
	    "  --run ID      of this run, larger than the last one's (default 1)\n"
	    "  --gso         hand the kernel whole trains (UDP_SEGMENT)\n"
	    "The sink answers each line on its standard input with one JSON object.\n");
}

static uint32_t
whole(const char *name, const char *text, uint32_t low, uint32_t high)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || v < low || v > high) {
		fprintf(stderr, "flood: --%s %s: give %u to %u\n", name, text, low, high);
		exit(2);
	}
	return (uint32_t)v;
}

static void
options_read(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "to", 1, NULL, 't' }, { "port", 1, NULL, 'p' }, { "size", 1, NULL, 's' },
		{ "rate", 1, NULL, 'r' }, { "time", 1, NULL, 'T' }, { "run", 1, NULL, 'i' },
		{ "gso", 0, NULL, 'g' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 't': o->to = optarg; break;
		case 'p': o->port = optarg; break;
		case 's': o->size = whole("size", optarg, 44, 9000); break;
		case 'r': o->rate = whole("rate", optarg, 0, 100000000); break;
		case 'T': o->seconds = strtod(optarg, NULL); break;
		case 'i': o->run = whole("run", optarg, 1, UINT32_MAX); break;
		case 'g': o->gso = true; break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
}

int
main(int argc, char **argv)
{
	struct options o = { .port = "7100", .size = 1400, .run = 1, .seconds = 1 };
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	options_read(&o, argc, argv);
	if (optind == argc - 1 && strcmp(argv[optind], "sink") == 0)
		return sink(&o);
	if (optind == argc - 1 && strcmp(argv[optind], "source") == 0 && o.to != NULL)
		return source(&o);
	usage(stderr);
	return 2;
}
