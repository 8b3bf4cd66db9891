/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/gateway.h"
#include "tun/udp.h"

#include "gateway_words.h"

/*
 * Control's side of the sockets.  The broker, the loop, the kernel, IKE and two workers are the
 * test's: what they are told is written down, a word each.
 */
static struct {
	struct gw g;
	loop_fn *on_read[SOCK_N];	/* by descriptor: 10 + which */
	uint8_t train[256];		/* what the kernel gives next */
	unsigned len, segment;
	struct worker_stray stray[2][40];	/* what a worker gives next */
	unsigned strays[2];
} s;

__typeof__(workers_n) __wrap_workers_n;
__typeof__(worker_post) __wrap_worker_post;
__typeof__(worker_hand) __wrap_worker_hand;
__typeof__(worker_stray) __wrap_worker_stray;
__typeof__(hostlink_ask) __wrap_hostlink_ask;
__typeof__(loop_on_read) __wrap_loop_on_read;
__typeof__(udp_recv) __wrap_udp_recv;
__typeof__(udp_gro) __wrap_udp_gro;
__typeof__(gw_ike) __wrap_gw_ike;

unsigned
__wrap_workers_n(const struct workers *ws)
{
	(void)ws;
	return 2;
}

bool
__wrap_worker_post(struct worker *w, const struct worker_cmd *c)
{
	ck_assert_int_eq(c->kind, WORKER_SOCKET);
	ck_assert_uint_eq(c->port, 4500);
	say("worker%u:", index_of(w), 0);
	say("%u=%u ", c->index, (unsigned)c->fd);
	return true;
}

bool
__wrap_worker_hand(struct worker *w, const struct worker_stray *x)
{
	say("hand%u:%u ", index_of(w), x->len);
	return true;
}

bool
__wrap_worker_stray(struct worker *w, struct worker_stray *x)
{
	unsigned i = index_of(w);

	if (s.strays[i] == 0)
		return false;
	*x = s.stray[i][--s.strays[i]];
	return true;
}

bool
__wrap_hostlink_ask(struct hostlink *h, struct host_request *q, uint32_t cookie)
{
	(void)h;
	ck_assert(q->op == HOST_UDP_OPEN && cookie == GW_COOKIE_HOST);
	say(q->local.ip.family == AF_INET6 ? "v6:%u" : "v4:%u", q->local.port, 0);
	say("(%u/%u) ", q->slot, q->slots);
	return true;
}

struct loop_fd *
__wrap_loop_on_read(struct loop *l, int fd, enum loop_prio prio, loop_fn *fn, void *arg)
{
	(void)l, (void)prio;
	ck_assert_ptr_eq(arg, &s.g);
	s.on_read[fd - 10] = fn;
	return (struct loop_fd *)&s;
}

int
__wrap_udp_recv(int fd, unsigned socket, uint16_t port, struct batch *b)
{
	struct pkt *p = &b->pkt[0];

	ck_assert_uint_eq(port, fd - 10 < SOCK_NATT4 ? 500 : 4500);
	ck_assert_int_eq(fd - 10, (int)socket);
	if (s.len == 0)
		return -EAGAIN;
	memcpy(pkt_data(p), s.train, s.len);
	p->len = s.len;
	p->segment = (uint16_t)s.segment;
	b->n = 1;
	s.len = 0;
	return 1;
}

int
__wrap_udp_gro(int fd, bool on)
{
	say(on ? "gro%u " : "nogro%u ", (unsigned)fd, 0);
	return 0;
}

void
__wrap_gw_ike(struct gw *g, const struct ike_fact *f)
{
	ck_assert(g == &s.g && f->kind == IKE_DATAGRAM);
	say("ike:%u ", (unsigned)f->len, 0);
}

static void
begin(void)
{
	memset(&s, 0, sizeof(s));
	s.g.port = 500;
	s.g.natt_port = 4500;
	ck_assert(sockets_init(&s.g));
	for (unsigned i = 0; i < SOCK_N; i++)
		ck_assert_int_eq(s.g.sock[i], -1);
}

static void
end(void)
{
	for (unsigned i = 0; i < SOCK_N; i++)	/* they are numbers, not descriptors */
		s.g.sock[i] = -1;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		s.g.worker[i].sock[0] = s.g.worker[i].sock[1] = -1;
	sockets_fini(&s.g);
}

static bool
opened(uint8_t family, uint16_t port, unsigned slot, int fd, int err)
{
	struct host_answer a = { .op = HOST_UDP_OPEN, .fd = fd, .err = err,
		.what = { .local = { { .family = family }, port }, .slot = slot } };

	return sockets_opened(&s.g, &a);
}

/* Control's first; those of the workers when it is there, in order; each to its own. */
START_TEST(sets_are_opened_in_order)
{
	sockets_ask(&s.g);
	expect("v4:500(0/0) v6:500(0/0) v4:4500(0/3) v6:4500(0/3) ");
	ck_assert_uint_eq(s.g.sockets_asked, 4);
	ck_assert(opened(AF_INET, 500, 0, 10 + SOCK_IKE4, 0));
	expect("");
	ck_assert(opened(AF_INET, 4500, 0, 10 + SOCK_NATT4, 0));
	expect("gro12 v4:4500(1/3) v4:4500(2/3) ");
	ck_assert(opened(AF_INET, 4500, 2, 77, 0));
	expect("worker1:2=77 ");
	ck_assert_int_eq(s.g.worker[1].sock[0], 77);
	ck_assert(opened(AF_INET6, 4500, 1, 78, 0));
	expect("worker0:3=78 ");
	ck_assert_int_eq(s.g.worker[0].sock[1], 78);
	ck_assert(s.g.sock[SOCK_IKE4] == 10 && s.g.sock[SOCK_NATT4] == 12);
	ck_assert_uint_eq(s.g.sockets_asked, 2);
}
END_TEST

/* A host may be without a family; without a port there is no gateway. */
START_TEST(what_cannot_be_opened)
{
	s.g.sockets_asked = 3;
	ck_assert(opened(AF_INET6, 500, 0, -1, -EAFNOSUPPORT));
	ck_assert(!opened(AF_INET, 500, 0, -1, -EADDRINUSE));
	ck_assert(!opened(AF_INET, 4500, 3, 9, 0));	/* of a worker that there is not */
	ck_assert_uint_eq(s.g.sockets_asked, 0);
	expect("");
}
END_TEST

START_TEST(port_500_is_ike)
{
	ck_assert(opened(AF_INET, 500, 0, 10 + SOCK_IKE4, 0));
	s.len = 100;
	s.on_read[SOCK_IKE4](&s.g);
	expect("ike:100 ");
	s.on_read[SOCK_IKE4](&s.g);		/* nothing there */
	expect("");
}
END_TEST

/* One train of all: IKE behind its marker, ESP of either worker, a keepalive at its end. */
START_TEST(a_mixed_train_is_told_apart)
{
	static const uint8_t spi[5] = { 0, 6, 0, 7, 1 };	/* last byte of the first word */

	ck_assert(opened(AF_INET, 4500, 0, 10 + SOCK_NATT4, 0));
	words[0] = '\0';
	for (unsigned i = 0; i < 5; i++) {
		memset(s.train + i * 16, spi[i] != 0 ? 0x40 : 0, 3);
		s.train[i * 16 + 3] = spi[i];
	}
	s.train[80] = 0xff;
	s.len = 81;
	s.segment = 16;
	s.on_read[SOCK_NATT4](&s.g);
	expect("ike:16 hand0:16 ike:16 hand1:16 hand1:16 ");
}
END_TEST

/* Each worker's in turn; so many a round, and then others have theirs. */
START_TEST(strays_come_in_turns)
{
	for (unsigned i = 0; i < 40; i++) {
		s.stray[0][i].len = 8;		/* zeros: IKE */
		s.stray[1][i].len = 9;
		s.stray[1][i].data[0] = 0x40;
		s.stray[1][i].data[3] = (uint8_t)i;
	}
	s.strays[0] = 3;
	s.strays[1] = 2;
	ck_assert(!sockets_strays(&s.g));
	expect("ike:8 hand1:9 ike:8 hand0:9 ike:8 ");
	s.strays[1] = 40;
	ck_assert(sockets_strays(&s.g));
	words[0] = '\0';
	ck_assert_uint_eq(s.strays[1], 8);
	ck_assert(!sockets_strays(&s.g));
	ck_assert_uint_eq(s.strays[1], 0);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, sets_are_opened_in_order);
	tcase_add_test(t, what_cannot_be_opened);
	tcase_add_test(t, port_500_is_ike);
	tcase_add_test(t, a_mixed_train_is_told_apart);
	tcase_add_test(t, strays_come_in_turns);
}

UNIT_MAIN("gateway/sockets", fill)
