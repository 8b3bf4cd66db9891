/* SPDX-License-Identifier: MIT */
#include "gateway/workers.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tun/udp.h"

#include "esp_rig.h"

/*
 * Two gateways of N workers each, face to face over a set of sockets on loopback; connection k is
 * served by worker k, and a pair of sockets stands for its device:
 *
 *	host[k] == device k -- worker k -- udp 1 + k ==== loopback ==== the same of the other side
 *
 * The test is control for both: it reads socket 0 of each set and hands on what is not for it.
 */
#define WORKERS_BOUND	4
#define IN_FLIGHT	32		/* packets: a socket pair has little room */
#define PATIENCE	USEC_S(30)

struct side {
	struct workers *ws;
	int host[WORKERS_BOUND];
	int udp[1 + WORKERS_BOUND];
	uint16_t port;
	unsigned strays, at_control;	/* datagrams that came by the wrong worker, by socket 0 */
	unsigned ike;
};

struct world {
	struct rig r;			/* its pool, ciphers and child; its engines are not used */
	struct side s[2];
	unsigned n;
	uint32_t gen;
};

static usec_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return USEC_S(ts.tv_sec) + (usec_t)ts.tv_nsec / 1000;
}

/* ---- control's part -------------------------------------------------------------------------- */

static void
on_back(void *arg, const struct esp_event *ev)
{
	struct world *x = arg;

	if (ev->sa != NULL && esp_sa_return(ev->sa))
		esp_sa_free(x->r.sec, ev->sa);
	if (ev->path != NULL && --ev->path->users == 0)
		esp_path_free(ev->path);
}

static void
for_whom(struct world *x, struct side *s, const struct worker_stray *stray)
{
	int owner = worker_of(stray->data, stray->len, x->n);

	if (owner == WORKER_CONTROL)
		s->ike++;
	else if (owner != WORKER_NOBODY)
		ck_assert(worker_hand(workers_at(s->ws, (unsigned)owner), stray));
}

static void
read_control(struct world *x, struct side *s)
{
	struct worker_stray stray = { .len = 0 };
	struct batch b;

	ck_assert(batch_init(&b, 2, PKT_BUF));
	while (batch_reset(&b), udp_recv(s->udp[0], 2, s->port, &b) > 0) {
		for (unsigned i = 0; i < b.n; i++) {
			for (size_t at = 0; at < b.pkt[i].len; at += stray.len) {
				struct pkt one = pkt_datagram(&b.pkt[i], at);

				stray.remote = one.remote;
				stray.len = (uint16_t)one.len;
				memcpy(stray.data, pkt_data(&one), one.len);
				s->at_control++;
				for_whom(x, s, &stray);
			}
		}
	}
	batch_fini(&b);
}

static void
pump(struct world *x)
{
	struct worker_stray stray;
	struct esp_event ev;

	for (int side = 0; side < 2; side++) {
		struct side *s = &x->s[side];

		(void)workers_flush(s->ws);
		for (unsigned i = 0; i < x->n; i++) {
			while (worker_event(workers_at(s->ws, i), &ev))
				on_back(x, &ev);
			while (worker_stray(workers_at(s->ws, i), &stray)) {
				s->strays++;
				for_whom(x, s, &stray);
			}
		}
		read_control(x, s);
	}
}

/* To each worker of the set. */
static void
post(struct world *x, int side, uint64_t set, struct esp_cmd cmd)
{
	if (cmd.sa != NULL)
		esp_sa_lend(cmd.sa, (unsigned)__builtin_popcountll(set));
	if (cmd.path != NULL)
		cmd.path->users = (unsigned)__builtin_popcountll(set);
	for (unsigned i = 0; i < x->n; i++)
		if ((set & workers_bit(i)) != 0)
			ck_assert(worker_post(workers_at(x->s[side].ws, i),
			    &(struct worker_cmd){ .kind = WORKER_ESP, .esp = cmd }));
}

static uint32_t
tunnel_of(const struct world *x, unsigned k)
{
	return 7 * x->n + k;
}

/* New keys of connection k; `set`: who sends by them at side 0.  The SPIs stay with worker k. */
static void
rekey(struct world *x, unsigned k, uint64_t set)
{
	struct child_sa *c = x->r.child;

	rig_child(&x->r, AEAD_AES_GCM_16_128, false, tunnel_of(x, k), x->gen++);
	for (int i = 0; i < 2; i++)
		c[i].spi_in = c[1 - i].spi_out = (c[i].spi_in + 0x10000) * x->n + k;
	for (int i = 0; i < 2; i++)
		post(x, i, workers_bit(k), (struct esp_cmd){ .kind = ESP_CMD_SA_IN,
		    .sa = esp_sa_in_new(x->r.sec, x->r.aeads, &c[i]) });
	for (int i = 0; i < 2; i++)
		post(x, i, i == 0 ? set : workers_bit(k), (struct esp_cmd){ .kind = ESP_CMD_SA_OUT,
		    .sa = esp_sa_out_new(x->r.sec, x->r.aeads, &c[i], 0) });
}

static void
connect_path(struct world *x, int side, unsigned k, uint64_t set)
{
	struct esp_path *p = rig_path(side);

	p->device = (uint16_t)k;
	p->n = 1;
	p->t[0].tunnel = tunnel_of(x, k);
	post(x, side, set, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
	post(x, side, set, (struct esp_cmd){ .kind = ESP_CMD_ENDPOINT, .socket = 2,
	    .tunnel = tunnel_of(x, k),
	    .local = { .ip = ip_of("127.0.0.1"), .port = x->s[side].port },
	    .remote = { .ip = ip_of("127.0.0.1"), .port = x->s[1 - side].port } });
}

static void
device(struct side *s, unsigned worker, unsigned index)
{
	int pair[2], big = 1 << 20;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	s->host[worker] = pair[0];
	ck_assert(worker_post(workers_at(s->ws, worker), &(struct worker_cmd){
	    .kind = WORKER_DEVICE_ADD, .index = index, .fd = pair[1] }));
}

static void
side_init(struct world *x, int side)
{
	static const uint8_t key[16] = "probes of a side";
	struct endpoint at = { .ip = ip_of("127.0.0.1") };
	struct side *s = &x->s[side];
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	s->ws = workers_new(x->n, x->r.aeads, key);
	ck_assert_ptr_nonnull(s->ws);
	ck_assert_uint_eq(workers_n(s->ws), x->n);
	for (unsigned i = 0; i <= x->n; i++) {
		s->udp[i] = udp_open_shared(&at, NULL, 0, x->n, i);
		ck_assert_int_ge(s->udp[i], 0);
		ck_assert_int_eq(udp_gro(s->udp[i], true), 0);
		ck_assert_int_eq(getsockname(s->udp[i], (struct sockaddr *)&in, &len), 0);
		s->port = at.port = ntohs(in.sin_port);
		if (i > 0)
			ck_assert(worker_post(workers_at(s->ws, i - 1), &(struct worker_cmd){
			    .kind = WORKER_SOCKET, .index = 2, .fd = s->udp[i], .port = s->port }));
	}
}

static void
setup(struct world *x, unsigned n)
{
	memset(x, 0, sizeof(*x));
	x->n = n;
	x->r.sec = secrets_new();
	x->r.aeads = aead_set_new();
	ck_assert(x->r.sec != NULL && x->r.aeads != NULL);
	for (int i = 0; i < 2; i++)
		side_init(x, i);
}

/* Each worker serves one connection. */
static void
setup_connections(struct world *x, unsigned n)
{
	setup(x, n);
	for (unsigned k = 0; k < n; k++) {
		for (int i = 0; i < 2; i++) {
			device(&x->s[i], k, k);
			connect_path(x, i, k, workers_bit(k));
		}
		rekey(x, k, workers_bit(k));
	}
}

static void
balance(const struct side *s, struct esp_stats *st)
{
	uint64_t out = 0, in = 0;

	workers_stats(s->ws, st);
	for (unsigned d = 0; d < DROP_N; d++)
		*(d < DROP_IN_SHORT ? &out : &in) += st->drop[d];
	ck_assert_uint_eq(st->out_packets + st->out_made, st->out_sent + out);
	ck_assert_uint_eq(st->in_packets + st->in_made, st->in_delivered + st->in_answered + in);
}

static void
teardown(struct world *x)
{
	for (int i = 0; i < 2; i++) {
		workers_free(x->s[i].ws, on_back, x);
		for (unsigned k = 0; k <= x->n; k++)
			close(x->s[i].udp[k]);
		for (unsigned k = 0; k < x->n; k++)
			if (x->s[i].host[k] > 0)
				close(x->s[i].host[k]);
	}
	ck_assert_uint_eq(secrets_used(x->r.sec), 0);	/* each SA was freed, once */
	aead_set_free(x->r.aeads);
	secrets_free(x->r.sec);
}

/* ---- traffic --------------------------------------------------------------------------------- */

/* One direction of numbered packets between two hosts. */
struct stream {
	int from, to;			/* descriptors */
	const struct flow *flow;
	uint32_t sent, got;
};

static void
stream_step(struct stream *s, uint32_t total)
{
	uint8_t packet[2000];
	uint32_t number;
	ssize_t len;

	for (; s->sent < total && s->sent - s->got < IN_FLIGHT; s->sent++) {
		size_t size = 60 + s->sent % 1000;

		packet_write(packet, size, s->flow);
		memcpy(packet + 28, &s->sent, sizeof(s->sent));
		put16(packet + 26, 0);		/* UDP without a checksum: the number changed it */
		if (write(s->from, packet, size) != (ssize_t)size)
			break;
	}
	while ((len = read(s->to, packet, sizeof(packet))) > 0) {
		ck_assert_int_ge(len, 32);
		memcpy(&number, packet + 28, sizeof(number));
		ck_assert_msg(number == s->got, "%u came, %u was next", number, s->got);
		s->got++;
	}
}

static void
connections_under_rekeys(unsigned n)
{
	struct stream stream[2 * WORKERS_BOUND];
	uint32_t total = RIG_SLOW ? 1000 : 4000;
	usec_t end = now_us() + PATIENCE, next = 0;
	unsigned rekeys = 0, more;
	struct esp_stats st;
	struct world x;

	setup_connections(&x, n);
	for (unsigned k = 0; k < 2 * n; k++)
		stream[k] = (struct stream){ .from = x.s[k % 2].host[k / 2],
		    .to = x.s[1 - k % 2].host[k / 2], .flow = k % 2 == 0 ? &flow_v4 : &flow_v4_back };
	do {
		pump(&x);
		more = 0;
		for (unsigned k = 0; k < 2 * n; k++) {
			stream_step(&stream[k], total);
			more += stream[k].got < total;
		}
		if (now_us() >= next && rekeys < 200) {
			next = now_us() + USEC_MS(2);
			rekey(&x, rekeys % n, workers_bit(rekeys % n));
			rekeys++;
		}
		ck_assert_msg(now_us() < end, "%u streams are stuck", more);
	} while (more > 0);
	ck_assert_uint_ge(rekeys, 10);
	for (int i = 0; i < 2; i++) {
		balance(&x.s[i], &st);
		ck_assert_uint_eq(st.in_delivered, n * total);
		ck_assert_uint_eq(st.out_sent, n * total);
		/* each worker had its own connection's packets, by its own socket */
		for (unsigned k = 0; k < n; k++) {
			worker_stats(workers_at(x.s[i].ws, k), &st);
			ck_assert_uint_eq(st.in_packets, total);
		}
		ck_assert_uint_eq(x.s[i].strays, 0);
		ck_assert_uint_eq(x.s[i].at_control, 0);
	}
	teardown(&x);
}

START_TEST(two_workers_carry_their_own)
{
	connections_under_rekeys(2);
}
END_TEST

START_TEST(four_workers_carry_their_own)
{
	connections_under_rekeys(4);
}
END_TEST

/* One tunnel by all workers of side 0: numbers from one counter, order kept for each flow. */
START_TEST(a_spread_tunnel_keeps_the_order_of_each_flow)
{
	struct stream stream[WORKERS_BOUND] = { { .from = 0 } };
	uint32_t total = RIG_SLOW ? 1000 : 4000, number;
	uint32_t got[WORKERS_BOUND] = { 0 };
	unsigned n = WORKERS_BOUND, more, rekeys = 0;
	uint64_t all = workers_bit(WORKERS_BOUND) - 1;
	usec_t end = now_us() + PATIENCE, next = 0;
	struct esp_tunnel_stats ts;
	uint8_t packet[2000];
	struct esp_stats st;
	struct world x;

	setup(&x, n);
	for (unsigned k = 0; k < n; k++)
		device(&x.s[0], k, 0);			/* a queue each */
	device(&x.s[1], 0, 0);
	connect_path(&x, 0, 0, all);
	connect_path(&x, 1, 0, workers_bit(0));
	rekey(&x, 0, all);
	do {
		pump(&x);
		more = 0;
		for (unsigned k = 0; k < n; k++) {
			struct flow f = flow_v4;

			f.sport = (uint16_t)(5000 + k);
			stream[k].from = x.s[0].host[k];
			stream[k].to = -1;
			stream[k].flow = &f;
			stream[k].got = got[k];
			stream_step(&stream[k], total);
			more += got[k] < total;
		}
		while (read(x.s[1].host[0], packet, sizeof(packet)) > 0) {
			unsigned k = get16(packet + 20) - 5000u;

			memcpy(&number, packet + 28, sizeof(number));
			ck_assert_msg(number == got[k], "flow %u: %u came, %u was next", k, number, got[k]);
			got[k]++;
		}
		if (now_us() >= next && rekeys < 100) {
			next = now_us() + USEC_MS(5);
			rekey(&x, 0, all);
			rekeys++;
		}
		ck_assert_msg(now_us() < end, "%u flows are stuck", more);
	} while (more > 0);
	balance(&x.s[0], &st);
	ck_assert_uint_eq(st.out_sent, n * total);
	balance(&x.s[1], &st);
	ck_assert_uint_eq(st.in_delivered, n * total);
	ck_assert(workers_tunnel_stats(x.s[0].ws, all, tunnel_of(&x, 0), &ts));
	ck_assert_uint_eq(ts.out_packets, n * total);
	ck_assert(!workers_tunnel_stats(x.s[0].ws, all, 12345, &ts));
	teardown(&x);
}
END_TEST

/* ---- who gets what --------------------------------------------------------------------- */

START_TEST(a_datagram_tells_whose_it_is)
{
	static const struct { const char *data; size_t len; unsigned workers; int owner; } t[] = {
		{ "\0\0\0\0ike", 7, 4, WORKER_CONTROL }, { "\0\0\0\0", 4, 1, WORKER_CONTROL },
		{ "\xff", 1, 4, WORKER_NOBODY }, { "\xff\xff\xff\xff", 4, 4, 3 },
		{ "\0\0\0\5", 4, 4, 1 }, { "\0\0\0\5", 4, 1, 0 }, { "\1\0\0\7", 4, 3, 2 },
		{ "\0\0\0", 3, 4, 0 }, { "\xff\xff", 2, 4, 0 }, { "", 0, 4, 0 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ck_assert_int_eq(worker_of(t[i].data, t[i].len, t[i].workers), t[i].owner);
}
END_TEST

START_TEST(the_number_of_workers_is_bounded)
{
	ck_assert_uint_ge(workers_wanted(0), 1);
	ck_assert_uint_le(workers_wanted(0), WORKERS_MAX);
	ck_assert_uint_eq(workers_wanted(3), 3);
	ck_assert_uint_eq(workers_wanted(1000), WORKERS_MAX);
}
END_TEST

/* Send datagrams of 100 bytes and a last one as one train; each begins as the word says. */
static void
send_train(const struct side *to, const uint32_t *word, unsigned n)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(to->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 100;
	uint8_t train[64 * 100 + 1];

	memset(train, 1, sizeof(train));
	for (unsigned i = 0; i < n; i++) {
		uint32_t be = htonl(word[i]);

		memcpy(train + 100 * i, &be, sizeof(be));
	}
	train[100 * n] = 0xff;			/* a keepalive, after all others */
	ck_assert_int_eq(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	ck_assert_int_eq(sendto(fd, train, 100 * n + 1, 0, (struct sockaddr *)&in, sizeof(in)),
	    (ssize_t)(100 * n + 1));
	close(fd);
}

/* The kernel looks at the first datagram of a train only: the others find their worker by way of
 * control, and no datagram is lost or seen twice. */
START_TEST(a_train_that_mixes_finds_its_workers)
{
	static const uint32_t train[][9] = {
		{ 1001, 0, 1002, 1003, 1001, 0, 1000, 1001, 1002 },	/* begins at worker 1 */
		{ 0, 1001, 1001, 1002, 0, 1003, 1000, 0, 1000 },	/* at control */
	};
	static const unsigned want[WORKERS_BOUND] = { 1 + 2, 3 + 2, 2 + 1, 1 + 1 };
	usec_t end = now_us() + PATIENCE;
	struct side *s;
	struct esp_stats st;
	struct world x;

	setup(&x, WORKERS_BOUND);
	s = &x.s[0];
	send_train(s, train[0], 9);
	send_train(s, train[1], 9);
	do {
		pump(&x);
		workers_stats(s->ws, &st);
		ck_assert_msg(now_us() < end, "%llu of 13", (unsigned long long)st.in_packets);
	} while (st.in_packets < 13 || s->ike < 5);
	usleep(20000);
	pump(&x);
	balance(s, &st);
	ck_assert_uint_eq(st.in_packets, 13);
	ck_assert_uint_eq(st.drop[DROP_IN_NO_SA], 13);
	ck_assert_uint_eq(s->ike, 5);
	for (unsigned k = 0; k < WORKERS_BOUND; k++) {
		worker_stats(workers_at(s->ws, k), &st);
		ck_assert_uint_eq(st.in_packets, want[k]);
	}
	ck_assert_uint_eq(s->strays, 6);	/* of the first train: not of worker 1, not the keepalive */
	ck_assert_uint_eq(s->at_control, 10);	/* the second, whole */
	teardown(&x);
}
END_TEST

/* Nobody hands strays on: what has no room is counted as a drop, and the sums hold. */
START_TEST(strays_without_room_are_drops)
{
	uint32_t train[60];
	usec_t end = now_us() + PATIENCE;
	struct worker_stray stray;
	struct esp_stats st;
	unsigned taken = 0;
	struct world x;

	setup(&x, 2);
	for (unsigned i = 0; i < 60; i++)
		train[i] = i == 0 ? 1001 : 1000;
	for (unsigned i = 0; i < 10; i++)
		send_train(&x.s[0], train, 60);
	do {
		worker_stats(workers_at(x.s[0].ws, 1), &st);
		ck_assert(now_us() < end);
	} while (st.drop[DROP_IN_NO_SA] < 10 || st.drop[DROP_IN_NO_BUFFER] < 500);
	while (worker_stray(workers_at(x.s[0].ws, 1), &stray))
		taken++;
	balance(&x.s[0], &st);
	ck_assert_uint_eq(st.drop[DROP_IN_NO_BUFFER] + taken, 590);
	stray.len = WORKER_STRAY_MAX + 1;
	ck_assert(!worker_hand(workers_at(x.s[0].ws, 0), &stray));	/* control's side counts too */
	balance(&x.s[0], &st);
	ck_assert_uint_eq(st.drop[DROP_IN_NO_BUFFER] + taken, 591);
	teardown(&x);
}
END_TEST

/* Control sleeps until one of those that serve a device has traffic, whichever it is. */
START_TEST(any_of_them_wakes)
{
	struct stream s = { .flow = &flow_v4 };
	usec_t end = now_us() + PATIENCE;
	struct world x;

	setup_connections(&x, 2);
	workers_wake_on_traffic(x.s[0].ws, workers_bit(0) | workers_bit(1), 1);
	ck_assert(!workers_has_woken(x.s[0].ws, workers_bit(0) | workers_bit(1), 1));
	s.from = x.s[0].host[1];
	s.to = x.s[1].host[1];
	while (s.got < 1) {
		stream_step(&s, 1);
		pump(&x);
		ck_assert(now_us() < end);
	}
	while (!workers_has_woken(x.s[0].ws, workers_bit(0) | workers_bit(1), 1))
		ck_assert(now_us() < end);
	ck_assert(!workers_has_woken(x.s[0].ws, workers_bit(0), 1));	/* the other one did not */
	teardown(&x);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_datagram_tells_whose_it_is);
	tcase_add_test(t, the_number_of_workers_is_bounded);
	tcase_add_test(t, a_train_that_mixes_finds_its_workers);
	tcase_add_test(t, strays_without_room_are_drops);
	tcase_add_test(t, any_of_them_wakes);
	tcase_add_test(t, two_workers_carry_their_own);
	tcase_add_test(t, four_workers_carry_their_own);
	tcase_add_test(t, a_spread_tunnel_keeps_the_order_of_each_flow);
}

UNIT_MAIN("workers", fill)
