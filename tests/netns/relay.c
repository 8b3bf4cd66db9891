/* SPDX-License-Identifier: MIT */
/*
 * relay: holds packets back for a while, for kernels without netem.
 *
 *   relay DEVICE CONF
 *
 * It makes the TUN device DEVICE.  A router sends one direction of a path into it (a rule by
 * mark, a table whose default route is DEVICE); each packet is kept for its time in a heap
 * ordered by (time due, order of arrival) and then written back, upon which the kernel routes it
 * on as if it had just come. CONF is one line
 *
 *   delay USEC jitter USEC reorder PPM by USEC
 *
 * read at start and again at SIGHUP; packets already held keep the time they were given.  Jitter
 * keeps the order, so that "jitter" and "reorder" are two faults, not one: the delay wanders in
 * straight lines between random points in delay - jitter .. delay + jitter, one point every two
 * jitters, hence never falls faster than time goes by.  `reorder` PPM of a million packets are
 * late by `by` more and do not hold the others up: they arrive behind later ones.
 *
 * SIGTERM or SIGINT end it; what is held then is lost, as on a wire.  Losses of its own (too many
 * held, or the kernel refuses a write) are counted and printed at the end and at SIGUSR1.
 */
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
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
	PACKET_MAX = 65536,
	HELD_MAX = 1 << 17,			/* packets; 10 s of delay at 13,000 a second */
	HELD_BYTES_MAX = 128 << 20,
	TURN_MAX = 256,				/* packets read before due ones are looked at */
};

struct held {
	uint64_t due;				/* CLOCK_MONOTONIC, nanoseconds */
	uint64_t order;				/* of arrival: equal times keep their order */
	size_t len;
	uint8_t data[];
};

struct relay {
	const char *conf;
	int tun, timer, signals;
	uint64_t delay, jitter, by;		/* nanoseconds */
	uint64_t reorder;			/* of a million */
	struct held **heap;
	size_t held_n, held_bytes;
	uint64_t order, last_due, armed, seed;
	uint64_t leg_start, leg_from, leg_to;	/* jitter: this straight line, 0 .. 2 * jitter */
	uint64_t in, out, late, full, refused;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* xorshift64*: a fault generator needs speed, not secrecy. */
static uint64_t
draw(struct relay *r, uint64_t below)
{
	r->seed ^= r->seed >> 12;
	r->seed ^= r->seed << 25;
	r->seed ^= r->seed >> 27;
	return below == 0 ? 0 : (r->seed * 2685821657736338717u >> 16) % below;
}

static bool
before(const struct held *a, const struct held *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void
heap_put(struct relay *r, struct held *h)
{
	size_t i = r->held_n++;

	for (; i > 0 && before(h, r->heap[(i - 1) / 2]); i = (i - 1) / 2)
		r->heap[i] = r->heap[(i - 1) / 2];
	r->heap[i] = h;
	r->held_bytes += h->len;
}

static struct held *
heap_take(struct relay *r)
{
	struct held *top = r->heap[0], *last = r->heap[--r->held_n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->held_n) {
		if (child + 1 < r->held_n && before(r->heap[child + 1], r->heap[child]))
			child++;
		if (!before(r->heap[child], last))
			break;
		r->heap[i] = r->heap[child];
		i = child;
	}
	r->heap[i] = last;
	r->held_bytes -= top->len;
	return top;
}

/* Reads CONF.  A file that cannot be read or understood changes nothing and is reported. */
static bool
conf_read(struct relay *r)
{
	uint64_t delay, jitter, reorder, by;
	FILE *f = fopen(r->conf, "re");
	int n;

	if (f == NULL) {
		fprintf(stderr, "relay: %s: %s\n", r->conf, strerror(errno));
		return false;
	}
	n = fscanf(f, "delay %" SCNu64 " jitter %" SCNu64 " reorder %" SCNu64 " by %" SCNu64,
	    &delay, &jitter, &reorder, &by);
	fclose(f);
	if (n != 4 || jitter > delay) {
		fprintf(stderr, "relay: %s: want \"delay USEC jitter USEC reorder PPM by USEC\","
		    " the jitter at most the delay\n", r->conf);
		return false;
	}
	r->delay = delay * 1000;
	r->jitter = jitter * 1000;
	r->reorder = reorder;
	r->by = by * 1000;
	return true;
}

static int
tun_make(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "relay: /dev/net/tun: %s\n", strerror(errno));
		return -1;
	}
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) != 0) {
		fprintf(stderr, "relay: TUN device %s: %s\n", name, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

static void
counters_print(const struct relay *r)
{
	fprintf(stderr, "relay: in %" PRIu64 " out %" PRIu64 " late %" PRIu64 " held %zu full %"
	    PRIu64 " refused %" PRIu64 "\n", r->in, r->out, r->late, r->held_n, r->full,
	    r->refused);
}

/* What the jitter adds to (delay - jitter) at this time: 0 to 2 * jitter. */
static uint64_t
wander(struct relay *r, uint64_t now)
{
	uint64_t span = 2 * r->jitter, gone;

	if (span == 0)
		return 0;
	if (now >= r->leg_start + span) {
		/* Straight on from the last leg, or anew after a pause. */
		r->leg_from = now >= r->leg_start + 2 * span ? draw(r, span + 1) : r->leg_to;
		r->leg_start = now >= r->leg_start + 2 * span ? now : r->leg_start + span;
		r->leg_to = draw(r, span + 1);
	}
	gone = now - r->leg_start;
	if (r->leg_to >= r->leg_from)
		return r->leg_from + (r->leg_to - r->leg_from) * (gone / 1000) / (span / 1000);
	return r->leg_from - (r->leg_from - r->leg_to) * (gone / 1000) / (span / 1000);
}

static void
hold(struct relay *r, const uint8_t *data, size_t len)
{
	struct held *h;
	uint64_t now, due;

	r->in++;
	h = malloc(sizeof(*h) + len);
	if (h == NULL || r->held_n == HELD_MAX || r->held_bytes + len > HELD_BYTES_MAX) {
		free(h);
		r->full++;
		return;
	}
	now = now_ns();
	due = now + r->delay - r->jitter + wander(r, now);
	if (due < r->last_due)
		due = r->last_due;
	r->last_due = due;
	if (draw(r, 1000000) < r->reorder) {
		due += r->by;
		r->late++;
	}
	h->due = due;
	h->order = r->order++;
	h->len = len;
	memcpy(h->data, data, len);
	heap_put(r, h);
}

static void
take_in(struct relay *r)
{
	static uint8_t packet[PACKET_MAX];
	ssize_t n;

	for (int i = 0; i < TURN_MAX; i++) {
		n = read(r->tun, packet, sizeof(packet));
		if (n <= 0)
			return;
		hold(r, packet, (size_t)n);
	}
}

static void
let_go(struct relay *r)
{
	uint64_t now = now_ns();
	struct held *h;

	while (r->held_n > 0 && r->heap[0]->due <= now) {
		h = heap_take(r);
		if (write(r->tun, h->data, h->len) == (ssize_t)h->len)
			r->out++;
		else
			r->refused++;
		free(h);
	}
}

/* Arm the timer to the first packet due, if that has changed. */
static void
arm(struct relay *r)
{
	uint64_t due = r->held_n > 0 ? r->heap[0]->due : 0;
	struct itimerspec it = {
		.it_value = { (time_t)(due / 1000000000u), (long)(due % 1000000000u) },
	};

	if (due != r->armed)
		timerfd_settime(r->timer, TFD_TIMER_ABSTIME, &it, NULL);
	r->armed = due;
}

/* Returns false when it is time to end. */
static bool
signals_read(struct relay *r)
{
	struct signalfd_siginfo si;

	while (read(r->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			(void)conf_read(r);
		else if (si.ssi_signo == SIGUSR1)
			counters_print(r);
		else
			return false;
	}
	return true;
}

static void
run(struct relay *r)
{
	struct pollfd fds[] = {
		{ r->tun, POLLIN, 0 }, { r->timer, POLLIN, 0 }, { r->signals, POLLIN, 0 },
	};
	uint64_t ticks;

	for (;;) {
		arm(r);
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents != 0 && read(r->timer, &ticks, sizeof(ticks)) == sizeof(ticks))
			r->armed = 0;
		let_go(r);
		if (fds[0].revents & POLLIN)
			take_in(r);
		if (fds[0].revents & (POLLERR | POLLNVAL)) {
			fprintf(stderr, "relay: the device is gone\n");
			return;
		}
		if (fds[2].revents != 0 && !signals_read(r))
			return;
	}
}

int
main(int argc, char **argv)
{
	struct relay r = { 0 };
	sigset_t set;

	if (argc != 3) {
		fprintf(stderr, "usage: relay DEVICE CONF\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r.conf = argv[2];
	r.seed = now_ns() | 1;
	r.heap = calloc(HELD_MAX, sizeof(*r.heap));
	r.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	r.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (r.heap == NULL || r.signals < 0 || r.timer < 0) {
		perror("relay");
		return 1;
	}
	if (!conf_read(&r) || (r.tun = tun_make(argv[1])) < 0)
		return 1;
	run(&r);
	counters_print(&r);
	while (r.held_n > 0)
		free(heap_take(&r));
	free(r.heap);
	return 0;
}
