/* SPDX-License-Identifier: MIT */
/* Of worker.c and its parts worker_in.c, worker_out.c and worker_control.c: a worker with its thread. */
#include "gateway/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tun/udp.h"

#include "esp_rig.h"

/*
 * Two workers face to face over UDP on loopback; a pair of sockets stands for each TUN device
 * (the worker reads and writes packets there, whatever it is):
 *
 *	host[0] == device 7 -- worker 0 -- udp ==== loopback ==== udp -- worker 1 -- device 8 == host[1]
 *
 * The test is control for both.
 */
#define WINDOW		32		/* packets under way at most: a socket pair has little room */
#define PATIENCE_MS	20000
#define POSTS		5000

struct side {
	struct worker *w;
	int host, udp;
	uint16_t port;
	unsigned sas, paths;		/* given back */
	unsigned sas_in, paths_in;	/* handed over */
	uint32_t last_path;		/* copied from the path that came back last */
	bool ordered;			/* paths come back in the order of their numbers */
};

struct world {
	struct rig r;			/* its pool, ciphers and child; its engines are not used */
	struct side s[2];
	uint32_t gen;
};

static struct world *drop_world;	/* whose side is being freed */
static struct side *drop_side;

static usec_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return USEC_S(ts.tv_sec) + (usec_t)ts.tv_nsec / 1000;
}

/* What control does with what comes back.  The number of a path is hidden in its first mtu. */
static void
on_back(void *arg, const struct esp_event *ev)
{
	struct world *x = arg;
	struct side *s = drop_side;

	ck_assert_ptr_eq(x, drop_world);
	if (ev->kind == ESP_EV_SA_BACK) {
		esp_sa_free(x->r.sec, ev->sa);
		s->sas++;
	} else if (ev->kind == ESP_EV_PATH_BACK) {
		s->ordered = s->ordered && ev->path->t[0].mtu > s->last_path;
		s->last_path = ev->path->t[0].mtu;
		esp_path_free(ev->path);
		s->paths++;
	}
}

static void
take_events(struct world *x, int side)
{
	struct esp_event ev;

	drop_world = x;
	drop_side = &x->s[side];
	worker_fd_clear(x->s[side].w);
	while (worker_event(x->s[side].w, &ev))
		on_back(x, &ev);
}

static void
post(struct world *x, int side, const struct worker_cmd *c)
{
	ck_assert(worker_post(x->s[side].w, c));
}

static void
post_esp(struct world *x, int side, struct esp_cmd cmd)
{
	post(x, side, &(struct worker_cmd){ .kind = WORKER_ESP, .esp = cmd });
}

/* Each path gets a number, so that the order in which they are replaced can be seen. */
static void
post_path(struct world *x, int side, unsigned number)
{
	struct esp_path *p = rig_path(side);

	p->t[0].mtu = number;
	x->s[side].paths_in++;
	post_esp(x, side, (struct esp_cmd){ .kind = ESP_CMD_PATH_SET, .path = p });
}

static void
post_sa(struct world *x, int side, bool out)
{
	const struct child_sa *c = &x->r.child[side];
	struct esp_sa *sa = out ? esp_sa_out_new(x->r.sec, x->r.aeads, c, 0) :
	    esp_sa_in_new(x->r.sec, x->r.aeads, c);

	ck_assert_ptr_nonnull(sa);
	x->s[side].sas_in++;
	post_esp(x, side, (struct esp_cmd){ .kind = out ? ESP_CMD_SA_OUT : ESP_CMD_SA_IN, .sa = sa });
}

/* Commands that take the worker a while: echoes to be sealed and sent. */
static void
post_slow(struct world *x, unsigned n)
{
	struct worker_cmd c = { .kind = WORKER_ESP, .esp = { .kind = ESP_CMD_PROBE, .tunnel = 1,
	    .probe = { .tunnel = 1, .token = 1, .from = inside_of(0, 1, false),
	    .to = inside_of(1, 1, false), .pad_to = 1400 } } };

	while (n-- > 0)
		post(x, 0, &c);
}

/* New keys, make before break: both receive by them before either sends.  No pause is needed:
 * what was posted to the receiver first is known to it before the first packet comes. */
static void
rekey(struct world *x)
{
	rig_child(&x->r, AEAD_AES_GCM_16_128, x->gen % 2 == 1, 1, x->gen);
	x->gen++;
	post_sa(x, 0, false);
	post_sa(x, 1, false);
	post_sa(x, 0, true);
	post_sa(x, 1, true);
}

static void
endpoints(struct world *x)
{
	for (int i = 0; i < 2; i++)
		post_esp(x, i, (struct esp_cmd){ .kind = ESP_CMD_ENDPOINT, .tunnel = 1, .socket = 2,
		    .local = { .ip = ip_of("127.0.0.1"), .port = x->s[i].port },
		    .remote = { .ip = ip_of("127.0.0.1"), .port = x->s[1 - i].port } });
}

static void
side_init(struct world *x, int side)
{
	static const uint8_t key[2][16] = { "left probe key..", "right probe key." };
	struct endpoint at = { .ip = ip_of("127.0.0.1") };
	struct side *s = &x->s[side];
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int pair[2], big = 1 << 20;

	s->ordered = true;
	s->w = worker_new(0, 1, x->r.aeads, key[side]);
	ck_assert_ptr_nonnull(s->w);
	s->udp = udp_open(&at, NULL, 0);
	ck_assert_int_ge(s->udp, 0);
	ck_assert_int_eq(getsockname(s->udp, (struct sockaddr *)&in, &len), 0);
	s->port = ntohs(in.sin_port);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	s->host = pair[0];
	post(x, side, &(struct worker_cmd){ .kind = WORKER_DEVICE_ADD, .index = 7 + (unsigned)side,
	    .fd = pair[1] });
	post(x, side, &(struct worker_cmd){ .kind = WORKER_SOCKET, .index = 2, .fd = s->udp,
	    .port = s->port });
}

static void
setup(struct world *x)
{
	memset(x, 0, sizeof(*x));
	x->r.sec = secrets_new();
	x->r.aeads = aead_set_new();
	ck_assert(x->r.sec != NULL && x->r.aeads != NULL);
	for (int i = 0; i < 2; i++)
		side_init(x, i);
	endpoints(x);
}

/* A tunnel that works. */
static void
setup_tunnel(struct world *x)
{
	setup(x);
	post_path(x, 0, 1400);
	post_path(x, 1, 1400);
	rekey(x);
}

/* in = out + drops, also in the worker's own accounts. */
static void
balance(const struct side *s)
{
	uint64_t out = 0, in = 0;
	struct esp_stats st;

	worker_stats(s->w, &st);
	for (unsigned d = 0; d < DROP_N; d++)
		*(d < DROP_IN_SHORT ? &out : &in) += st.drop[d];
	ck_assert_uint_eq(st.out_packets + st.out_made, st.out_sent + out);
	ck_assert_uint_eq(st.in_packets + st.in_made, st.in_delivered + st.in_answered + in);
}

static void
teardown(struct world *x)
{
	for (int i = 0; i < 2; i++) {
		struct side *s = &x->s[i];

		if (s->w != NULL) {
			take_events(x, i);
			worker_free(s->w, on_back, x);
		}
		ck_assert_uint_eq(s->sas, s->sas_in);
		ck_assert_uint_eq(s->paths, s->paths_in);
		close(s->host);
		close(s->udp);
	}
	ck_assert_uint_eq(secrets_used(x->r.sec), 0);
	aead_set_free(x->r.aeads);
	secrets_free(x->r.sec);
}

static bool
wait_readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* A numbered packet from one site's host. */
static void
host_send(struct world *x, int side, uint32_t number, size_t len)
{
	struct flow f = side == 0 ? flow_v4 : flow_v4_back;
	uint8_t packet[2000];

	packet_write(packet, len, &f);
	memcpy(packet + 28, &number, sizeof(number));
	put16(packet + 26, 0);			/* UDP without a checksum: the number changed it */
	ck_assert_int_eq(write(x->s[side].host, packet, len), (ssize_t)len);
}

/* The next packet at a host; false: none in time. */
static bool
host_recv(struct world *x, int side, uint32_t *number, int ms)
{
	uint8_t packet[10000];
	ssize_t len = -1;

	if (!wait_readable(x->s[side].host, ms))
		return false;
	len = read(x->s[side].host, packet, sizeof(packet));
	ck_assert_int_ge(len, 32);
	ck_assert_uint_eq(get16(packet + 2), (unsigned)len);
	memcpy(number, packet + 28, sizeof(*number));
	return true;
}

/* Wait until `what` of a side has reached n, serving its events. */
static void
wait_for(struct world *x, int side, const unsigned *what, unsigned n)
{
	usec_t end = now_us() + USEC_MS(PATIENCE_MS);

	while (*what < n) {
		(void)worker_flush(x->s[side].w);
		(void)wait_readable(worker_fd(x->s[side].w), 5);
		take_events(x, side);
		ck_assert_msg(now_us() < end, "only %u of %u came", *what, n);
	}
}

START_TEST(packets_cross_both_ways)
{
	struct world x;
	uint32_t n;

	setup_tunnel(&x);
	for (uint32_t i = 0; i < 100; i++) {
		host_send(&x, 0, i, 60 + i * 10);
		ck_assert(host_recv(&x, 1, &n, PATIENCE_MS));
		ck_assert_uint_eq(n, i);
		host_send(&x, 1, 1000 + i, 60 + i * 10);
		ck_assert(host_recv(&x, 0, &n, PATIENCE_MS));
		ck_assert_uint_eq(n, 1000 + i);
	}
	for (int i = 0; i < 2; i++) {
		struct esp_tunnel_stats st;

		ck_assert(worker_tunnel_stats(x.s[i].w, 1, &st));
		ck_assert_uint_eq(st.out_packets, 100);
		ck_assert_uint_eq(st.in_packets, 100);
		ck_assert_uint_eq(st.drops, 0);
	}
	teardown(&x);
}
END_TEST

/* Nothing is lost or overtaken when the ring is full: each path replaces the one before. */
START_TEST(commands_keep_their_order_through_the_overflow)
{
	bool waited = false;
	struct world x;

	setup_tunnel(&x);
	for (unsigned i = 1; i <= POSTS; i++) {
		post_slow(&x, i % 500 == 0 ? 2000 : 0);
		post_path(&x, 0, 2000 + i);
		if (i % 50 == 0)
			waited = !worker_flush(x.s[0].w) || waited;
	}
	ck_assert_msg(waited, "the ring was never full: this shows nothing");
	wait_for(&x, 0, &x.s[0].paths, POSTS);
	ck_assert(x.s[0].ordered);
	ck_assert_uint_eq(x.s[0].last_path, 2000 + POSTS - 1);
	ck_assert(worker_flush(x.s[0].w));
	teardown(&x);
}
END_TEST

/* Control may look away while thousands of things are to be given back. */
START_TEST(what_was_handed_over_comes_back_however_late)
{
	struct world x;

	setup(&x);
	for (unsigned i = 1; i <= POSTS; i++)
		post_path(&x, 0, i);
	for (unsigned i = 0; i < 300; i++) {
		rig_child(&x.r, AEAD_AES_GCM_16_128, false, 1, i);
		post_sa(&x, 0, true);
	}
	while (!worker_flush(x.s[0].w))
		usleep(1000);
	usleep(50000);				/* the ring of events is full long since */
	wait_for(&x, 0, &x.s[0].sas, 299);
	wait_for(&x, 0, &x.s[0].paths, POSTS - 1);
	ck_assert(x.s[0].ordered);
	teardown(&x);
}
END_TEST

/* Each command is obeyed soon, also the one that comes while the worker looks at another. */
START_TEST(no_call_is_lost_between_two_looks)
{
	struct world x;
	unsigned rounds = RIG_SLOW ? 2000 : 20000;

	setup(&x);
	for (unsigned i = 1; i <= rounds; i++) {
		post_path(&x, 0, 2 * i);
		for (volatile unsigned k = 0; k < i % 512; k++)
			;
		post_path(&x, 0, 2 * i + 1);
		wait_for(&x, 0, &x.s[0].paths, 2 * i - 1);
	}
	teardown(&x);
}
END_TEST

/* The end does not wait for what was not done; all comes back, from ring and list too. */
START_TEST(the_end_gives_everything_back_at_once)
{
	struct world x;
	usec_t start;

	setup_tunnel(&x);
	for (unsigned i = 1; i <= POSTS; i++)
		post_path(&x, 0, i);
	for (unsigned i = 0; i < 300; i++) {
		rig_child(&x.r, AEAD_AES_GCM_16_128, false, 1, 100 + i);
		post_sa(&x, 0, i % 2 == 0);
	}
	start = now_us();
	teardown(&x);
	ck_assert_uint_lt(now_us() - start, USEC_S(10));
}
END_TEST

static unsigned
descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

START_TEST(no_descriptor_is_left_over)
{
	unsigned before = descriptors();
	struct world x;

	for (int i = 0; i < 5; i++) {
		int pair[2];

		setup_tunnel(&x);
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
		close(pair[0]);
		post_slow(&x, POSTS);			/* fills the ring, and the list */
		post(&x, 0, &(struct worker_cmd){ .kind = WORKER_DEVICE_ADD, .index = 9,
		    .fd = pair[1] });
		teardown(&x);
	}
	ck_assert_uint_eq(descriptors(), before);
}
END_TEST

START_TEST(a_device_may_go_and_come)
{
	struct world x;
	uint32_t n;
	int pair[2], big = 1 << 20;
	char c;

	setup_tunnel(&x);
	host_send(&x, 0, 1, 100);
	ck_assert(host_recv(&x, 1, &n, PATIENCE_MS));
	post(&x, 1, &(struct worker_cmd){ .kind = WORKER_DEVICE_DEL, .index = 8 });
	ck_assert(wait_readable(x.s[1].host, PATIENCE_MS));
	ck_assert_int_eq(read(x.s[1].host, &c, 1), 0);		/* closed at the other end */
	close(x.s[1].host);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	x.s[1].host = pair[0];
	post(&x, 1, &(struct worker_cmd){ .kind = WORKER_DEVICE_ADD, .index = 8, .fd = pair[1] });
	usleep(20000);
	host_send(&x, 0, 2, 100);
	ck_assert(host_recv(&x, 1, &n, PATIENCE_MS));
	ck_assert_uint_eq(n, 2);
	teardown(&x);
}
END_TEST

static void
send_raw(const struct world *x, int to, const void *data, size_t len)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(x->s[to].port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(sendto(fd, data, len, 0, (struct sockaddr *)&in, sizeof(in)), (ssize_t)len);
	close(fd);
}

/* RFC 3948: the marker is for control, a keepalive for nobody, the rest is ESP. */
START_TEST(what_is_not_esp_is_told_apart)
{
	uint8_t ike[600] = { 0, 0, 0, 0, 1, 2, 3 }, keepalive = 0xff, esp[100] = { 9, 9, 9, 9 };
	struct worker_stray s;
	struct esp_stats st;
	struct world x;

	setup_tunnel(&x);
	send_raw(&x, 0, &keepalive, 1);
	send_raw(&x, 0, esp, sizeof(esp));
	send_raw(&x, 0, ike, 3);
	send_raw(&x, 0, ike, sizeof(ike));
	ck_assert(wait_readable(worker_fd(x.s[0].w), PATIENCE_MS));
	usleep(20000);
	ck_assert(worker_stray(x.s[0].w, &s));
	ck_assert_uint_eq(s.len, sizeof(ike));
	ck_assert_mem_eq(s.data, ike, sizeof(ike));
	ck_assert_uint_eq(s.local.port, x.s[0].port);
	ck_assert_uint_eq(s.remote.ip.family, AF_INET);
	ck_assert(!worker_stray(x.s[0].w, &s));
	worker_stats(x.s[0].w, &st);
	ck_assert_uint_eq(st.in_packets, 2);
	ck_assert_uint_eq(st.drop[DROP_IN_NO_SA], 1);
	ck_assert_uint_eq(st.drop[DROP_IN_SHORT], 1);
	teardown(&x);
}
END_TEST

/* The worker asks for trains when it takes the socket, which may be after the test goes on. */
static void
wait_for_trains(const struct side *s)
{
	socklen_t len = sizeof(int);
	int on = 0;

	for (int ms = 0; on == 0 && ms < PATIENCE_MS; ms++) {
		ck_assert_int_eq(getsockopt(s->udp, IPPROTO_UDP, UDP_GRO, &on, &len), 0);
		usleep(1000);
	}
	ck_assert_int_eq(on, 1);
}

/* A sender's train, and so the kernel's, may mix SPIs, markers and a keepalive; each datagram
 * is looked at. */
START_TEST(a_train_may_carry_strangers)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint8_t train[6 * 100 + 1];
	struct worker_stray s;
	struct worker_batches b;
	struct esp_stats st;
	struct world x;
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 100;

	setup_tunnel(&x);
	wait_for_trains(&x.s[0]);
	for (unsigned i = 0; i < sizeof(train); i++)
		train[i] = (uint8_t)(i / 100 % 3 == 1 && i % 100 < 4 ? 0 : 1 + i / 100);
	train[600] = 0xff;			/* ESP, IKE, ESP, ESP, IKE, ESP, keepalive */
	in.sin_port = htons(x.s[0].port);
	ck_assert_int_eq(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	ck_assert_int_eq(sendto(fd, train, sizeof(train), 0, (struct sockaddr *)&in, sizeof(in)),
	    sizeof(train));
	close(fd);
	ck_assert(wait_readable(worker_fd(x.s[0].w), PATIENCE_MS));
	usleep(20000);
	for (unsigned i = 1; i <= 4; i += 3) {
		ck_assert(worker_stray(x.s[0].w, &s));
		ck_assert_uint_eq(s.len, 100);
		ck_assert_mem_eq(s.data, train + 100 * i, 100);
	}
	ck_assert(!worker_stray(x.s[0].w, &s));
	worker_stats(x.s[0].w, &st);
	ck_assert_uint_eq(st.in_packets, 4);
	ck_assert_uint_eq(st.drop[DROP_IN_NO_SA], 4);
	worker_batches(x.s[0].w, &b);
	ck_assert_uint_eq(b.recv[2], 1);	/* seven: one train from 4 below 8 */
	teardown(&x);
}
END_TEST

/* Seal one packet of site 0 by a fresh SA of an engine of our own, whose other half is left in
 * own->child[1]. */
static void
seal_by_new_sa(struct rig *own, uint32_t gen)
{
	rig_child(own, AEAD_AES_GCM_16_128, false, 1, gen);
	rig_install(own, 0, 0);
	batch_reset(&own->in);
	(void)rig_add(own, 0, &flow_v4, 100);
	rig_out(own, 0);
	ck_assert_uint_eq(own->wire.n, 1);
}

/* The worker is busy reading when an SA is posted, and its first packet comes right behind. */
START_TEST(the_first_packet_of_an_sa_is_not_too_early)
{
	static struct rig own;
	const struct pkt *p;
	uint8_t keepalive = 0xff;
	struct esp_stats st;
	struct world x;
	uint32_t n;

	setup(&x);
	rig_init_bare(&own);
	post_path(&x, 1, 1400);
	for (uint32_t gen = 0; gen < 200; gen++) {
		seal_by_new_sa(&own, gen);
		x.r.child[1] = own.child[1];
		p = &own.wire.pkt[0];
		for (int i = 0; i < 100; i++)
			send_raw(&x, 1, &keepalive, 1);
		post_sa(&x, 1, false);
		send_raw(&x, 1, pkt_data(p), p->len);
		ck_assert_msg(host_recv(&x, 1, &n, 2000), "the packet of SA %u was dropped", gen);
		take_events(&x, 1);
	}
	worker_stats(x.s[1].w, &st);
	ck_assert_uint_eq(st.drop[DROP_IN_NO_SA], 0);
	rig_fini(&own);
	teardown(&x);
}
END_TEST

/* A storm of strays costs a bounded ring; what does not fit is counted, ESP goes on. */
START_TEST(strays_are_bounded_and_counted)
{
	uint8_t ike[100] = { 0 };
	struct worker_stray s;
	unsigned got = 0;
	struct world x;
	uint32_t n;

	setup_tunnel(&x);
	for (int i = 0; i < 600; i++)
		send_raw(&x, 1, ike, sizeof(ike));
	host_send(&x, 0, 5, 100);
	ck_assert(host_recv(&x, 1, &n, PATIENCE_MS));
	while (worker_stray(x.s[1].w, &s))
		got++;
	ck_assert_uint_ge(got, 50);
	ck_assert_uint_eq(got + worker_strays_lost(x.s[1].w), 600);
	teardown(&x);
}
END_TEST

/* Control sleeps while nothing flows, and no first packet escapes it. */
START_TEST(traffic_wakes_control_once_and_surely)
{
	unsigned rounds = RIG_SLOW ? 200 : 1000;
	struct esp_tunnel_stats st;
	struct world x;
	uint32_t n;

	setup_tunnel(&x);
	host_send(&x, 0, 0, 100);
	ck_assert(host_recv(&x, 1, &n, PATIENCE_MS));
	take_events(&x, 0);
	ck_assert(!wait_readable(worker_fd(x.s[0].w), 20));	/* not asked, not told */
	for (uint32_t i = 1; i <= rounds; i++) {
		/* the packet races with the question */
		host_send(&x, 0, i, 100);
		for (volatile unsigned k = 0; k < i % 256; k++)
			;
		worker_wake_on_traffic(x.s[0].w, 7);
		ck_assert(worker_tunnel_stats(x.s[0].w, 1, &st));
		if (st.out_packets < i + 1)
			ck_assert(wait_readable(worker_fd(x.s[0].w), PATIENCE_MS));
		ck_assert(host_recv(&x, 1, &n, PATIENCE_MS));
		take_events(&x, 0);
	}
	worker_wake_on_traffic(x.s[0].w, 7);
	worker_wake_on_traffic(x.s[0].w, 100);
	take_events(&x, 0);
	(void)worker_any_woken(x.s[0].w);
	ck_assert(!worker_any_woken(x.s[0].w));
	host_send(&x, 0, 0, 100);
	ck_assert(wait_readable(worker_fd(x.s[0].w), PATIENCE_MS));
	ck_assert(worker_any_woken(x.s[0].w));
	ck_assert(!worker_any_woken(x.s[0].w));
	ck_assert(worker_has_woken(x.s[0].w, 7));
	ck_assert(!worker_has_woken(x.s[0].w, 100));
	teardown(&x);
}
END_TEST

/* What the device or the socket does not take is counted, and the accounts balance. */
START_TEST(what_the_kernel_refuses_is_counted)
{
	struct esp_stats st;
	struct world x;
	uint32_t n;

	setup_tunnel(&x);
	post(&x, 1, &(struct worker_cmd){ .kind = WORKER_DEVICE_DEL, .index = 8 });
	usleep(20000);
	for (uint32_t i = 0; i < 10; i++)
		host_send(&x, 0, i, 100);
	for (int i = 0; i < 200; i++) {
		usleep(5000);
		worker_stats(x.s[1].w, &st);
		if (st.drop[DROP_IN_DEVICE] == 10)
			break;
	}
	ck_assert_uint_eq(st.drop[DROP_IN_DEVICE], 10);
	post(&x, 0, &(struct worker_cmd){ .kind = WORKER_SOCKET, .index = 2, .fd = -1 });
	usleep(20000);
	host_send(&x, 0, 0, 100);
	for (int i = 0; i < 200; i++) {
		usleep(5000);
		worker_stats(x.s[0].w, &st);
		if (st.drop[DROP_OUT_SEND] == 1)
			break;
	}
	ck_assert_uint_eq(st.drop[DROP_OUT_SEND], 1);
	ck_assert(!host_recv(&x, 0, &n, 0));
	balance(&x.s[0]);
	balance(&x.s[1]);
	teardown(&x);
}
END_TEST

/* One way of the stream: send what the window allows, take what has come; false at the end. */
static bool
stream(struct world *x, int from, uint32_t *sent, uint32_t *got, uint32_t all)
{
	uint32_t n;

	while (*sent < all && *sent - *got < WINDOW) {
		host_send(x, from, *sent, 100 + *sent % 1200);
		(*sent)++;
	}
	while (*got < *sent && host_recv(x, 1 - from, &n, 0)) {
		ck_assert_uint_eq(n, *got);	/* nothing lost, nothing overtaken */
		(*got)++;
	}
	return *got < all;
}

/* Rekeys, path swaps and a control thread that keeps looking do not cost a packet. */
START_TEST(a_stream_lives_through_rekeys_and_swaps)
{
	uint32_t sent[2] = { 0 }, got[2] = { 0 };
	struct esp_tunnel_stats st;
	usec_t end = now_us() + USEC_S(50), next = 0;
	unsigned swaps = 0, rekeys = 0;
	struct world x;
	bool more;

	setup_tunnel(&x);
	do {
		more = stream(&x, 0, &sent[0], &got[0], 10000);
		more = stream(&x, 1, &sent[1], &got[1], 10000) || more;
		for (int i = 0; i < 2; i++) {
			ck_assert(worker_tunnel_stats(x.s[i].w, 1, &st) || got[0] == 0);
			take_events(&x, i);
		}
		if (now_us() >= next) {
			next = now_us() + USEC_MS(2);
			swaps++;
			post_path(&x, (int)(swaps % 2), 1350 + swaps % 50);
			if (x.gen < 200) {
				rekey(&x);
				rekeys++;
			}
		}
		ck_assert_msg(now_us() < end, "stuck at %u and %u", got[0], got[1]);
	} while (more);
	ck_assert_uint_ge(rekeys, 20);
	for (int i = 0; i < 2; i++) {
		ck_assert(worker_tunnel_stats(x.s[i].w, 1, &st));
		ck_assert_uint_eq(st.out_packets, 10000);
		ck_assert_uint_eq(st.in_packets, 10000);
		ck_assert_uint_eq(st.drops, 0);
		balance(&x.s[i]);
	}
	teardown(&x);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, packets_cross_both_ways);
	tcase_add_test(t, commands_keep_their_order_through_the_overflow);
	tcase_add_test(t, what_was_handed_over_comes_back_however_late);
	tcase_add_test(t, no_call_is_lost_between_two_looks);
	tcase_add_test(t, the_end_gives_everything_back_at_once);
	tcase_add_test(t, no_descriptor_is_left_over);
	tcase_add_test(t, a_device_may_go_and_come);
	tcase_add_test(t, what_is_not_esp_is_told_apart);
	tcase_add_test(t, a_train_may_carry_strangers);
	tcase_add_test(t, the_first_packet_of_an_sa_is_not_too_early);
	tcase_add_test(t, strays_are_bounded_and_counted);
	tcase_add_test(t, traffic_wakes_control_once_and_surely);
	tcase_add_test(t, what_the_kernel_refuses_is_counted);
	tcase_add_test(t, a_stream_lives_through_rekeys_and_swaps);
}

UNIT_MAIN("worker", fill)
