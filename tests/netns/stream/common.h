/* SPDX-License-Identifier: MIT */
/*
 * What the parts of `stream` share: options, clock, addresses.  The program is one translation unit
 * (stream.c includes its parts), so everything here is static.
 */
#ifndef TESTS_NETNS_STREAM_COMMON_H
#define TESTS_NETNS_STREAM_COMMON_H

#include <sys/prctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	MAGIC = 0x54646d53,
	FORGET_S = 120,				/* a UDP client silent for so long is gone */
	FLOWS_MAX = 8,				/* UDP clients one server serves at once */
	CONNS_MAX = 1000,
	GAPS_MAX = 16,				/* gaps listed; the longest is always known */
	SIZE_MAX_UDP = 8192,
	BATCH = 64,
	SEQ_MAX = 1 << 27,			/* datagrams a run: 37 hours at 1,000 a second */
	LINE_BUFFER = 16384,
};

#define NS 1000000000u

static volatile sig_atomic_t stopped;

struct options {
	const char *to, *port, *bind;
	uint32_t rate, size, connections, every_ms, gap_ms, drain_ms;
	double seconds;
};

static void
on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static uint64_t
now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void
die(const char *what)
{
	fprintf(stderr, "stream: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static double
sec(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* ---- sockets ---- */

static int
udp_socket(const struct addrinfo *ai, bool server)
{
	int fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, big = 16 << 20;

	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (server && bind(fd, ai->ai_addr, ai->ai_addrlen) != 0)
		die("bind");
	if (!server && connect(fd, ai->ai_addr, ai->ai_addrlen) != 0)
		die("connect");
	return fd;
}

static struct addrinfo *
resolve(const struct options *o, bool server)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV }, *ai;
	const char *host = server ? (o->bind != NULL ? o->bind : "::") : o->to;
	int e = getaddrinfo(host, o->port, &hints, &ai);

	if (e != 0) {
		fprintf(stderr, "stream: %s: %s\n", host, gai_strerror(e));
		exit(1);
	}
	return ai;
}

#endif
