/* SPDX-License-Identifier: MIT */
#include "gateway/hostlink.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

#define FAR	400			/* requests, more than a socket holds */

/* The engine's end on a loop, and a broker played by the test. */
struct world {
	struct loop *l;
	struct hostlink *k;
	int ours, theirs;
	unsigned answers, gone, turns;
	uint32_t cookie[FAR];
	bool ask_again, asked_again;
	int fd;
	void (*each_turn)(struct world *w);
};

static void
on_answer(void *arg, uint32_t cookie, const struct host_answer *a)
{
	struct world *w = arg;
	struct host_request q = { .op = HOST_LINK_SET, .name = "td-x" };

	ck_assert_uint_lt(w->answers, FAR);
	w->cookie[w->answers++] = cookie;
	if (a->fd >= 0)
		w->fd = a->fd;
	if (w->ask_again)
		w->asked_again = hostlink_ask(w->k, &q, 77);
	w->ask_again = false;
}

static void
on_gone(void *arg)
{
	struct world *w = arg;

	w->gone++;
	loop_stop(w->l);
}

static usec_t
turn(void *arg, usec_t now)
{
	struct world *w = arg;

	if (w->each_turn != NULL)
		w->each_turn(w);
	if (++w->turns > 5000)
		loop_stop(w->l);
	return now + USEC_MS(1);
}

static void
setup(struct world *w)
{
	struct hostlink_handlers h = { on_answer, on_gone, w };
	int pair[2];

	memset(w, 0, sizeof(*w));
	w->fd = -1;
	w->l = loop_new();
	ck_assert_ptr_nonnull(w->l);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	w->ours = pair[0];
	w->theirs = pair[1];
	w->k = hostlink_new(w->l, w->ours, &h);
	ck_assert_ptr_nonnull(w->k);
}

static void
teardown(struct world *w)
{
	hostlink_free(w->k);
	loop_free(w->l);
	close(w->ours);
	if (w->theirs >= 0)
		close(w->theirs);
	if (w->fd >= 0)
		close(w->fd);
}

static void
ask(struct world *w, uint32_t cookie)
{
	struct host_request q = { .op = HOST_LINK_SET, .name = "td-x", .mtu = 1400 };

	ck_assert(hostlink_ask(w->k, &q, cookie));
}

/* The broker's part: take one request, answer it.  False: none there. */
static bool
serve_one(struct world *w)
{
	struct host_request q;
	struct host_answer a = { .fd = -1 };

	if (host_recv_request(w->theirs, &q) != 0)
		return false;
	a.id = q.id;
	a.op = q.op;
	ck_assert_int_eq(host_send_answer(w->theirs, &a), 0);
	return true;
}

static void
serve_all(struct world *w)
{
	for (int i = 0; i < 5 && serve_one(w); i++)
		;
	if (hostlink_pending(w->k) == 0)
		loop_stop(w->l);
}

START_TEST(each_answer_finds_its_cookie_in_order)
{
	struct world w;

	setup(&w);
	for (uint32_t i = 0; i < 5; i++)
		ask(&w, 100 + i);
	ck_assert_uint_eq(hostlink_pending(w.k), 5);
	w.each_turn = serve_all;
	loop_run(w.l, turn, &w);
	ck_assert_uint_eq(w.answers, 5);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(w.cookie[i], 100 + i);
	ck_assert_uint_eq(hostlink_pending(w.k), 0);
	teardown(&w);
}
END_TEST

/* More requests than the socket holds wait here, and none is lost or overtaken. */
START_TEST(a_slow_broker_gets_all_of_them_in_order)
{
	struct world w;

	setup(&w);
	for (uint32_t i = 0; i < FAR; i++)
		ask(&w, i);
	w.each_turn = serve_all;
	loop_run(w.l, turn, &w);
	ck_assert_uint_eq(w.answers, FAR);
	for (uint32_t i = 0; i < FAR; i++)
		ck_assert_uint_eq(w.cookie[i], i);
	ck_assert_uint_lt(w.turns, 5000);
	teardown(&w);
}
END_TEST

START_TEST(a_handler_may_ask)
{
	struct world w;

	setup(&w);
	w.ask_again = true;
	ask(&w, 1);
	w.each_turn = serve_all;
	loop_run(w.l, turn, &w);
	ck_assert(w.asked_again);
	ck_assert_uint_eq(w.answers, 2);
	ck_assert_uint_eq(w.cookie[1], 77);
	teardown(&w);
}
END_TEST

static void
hang_up(struct world *w)
{
	close(w->theirs);
	w->theirs = -1;
	w->each_turn = NULL;
}

START_TEST(a_dead_broker_is_told_once)
{
	struct host_request q = { .op = HOST_READY };
	struct world w;

	setup(&w);
	ask(&w, 1);
	w.each_turn = hang_up;
	loop_run(w.l, turn, &w);
	ck_assert_uint_eq(w.gone, 1);
	ck_assert_uint_eq(w.answers, 0);
	ck_assert(!hostlink_ask(w.k, &q, 2));
	ck_assert_uint_eq(w.gone, 1);
	teardown(&w);
}
END_TEST

/* The news may come while we send; nothing of ours may be touched afterwards. */
START_TEST(it_may_die_while_we_ask)
{
	struct host_request q = { .op = HOST_READY };
	struct world w;

	setup(&w);
	hang_up(&w);
	(void)hostlink_ask(w.k, &q, 1);
	ck_assert_uint_eq(w.gone, 1);
	ck_assert(!hostlink_ask(w.k, &q, 2));
	loop_run(w.l, turn, &w);
	ck_assert_uint_eq(w.gone, 1);
	teardown(&w);
}
END_TEST

static void
answer_and_die(struct world *w)
{
	ck_assert(serve_one(w));
	hang_up(w);
}

START_TEST(it_may_die_while_a_handler_asks)
{
	struct world w;

	setup(&w);
	w.ask_again = true;
	ask(&w, 1);
	w.each_turn = answer_and_die;
	loop_run(w.l, turn, &w);
	ck_assert_uint_eq(w.gone, 1);
	ck_assert_uint_eq(w.answers, 1);
	teardown(&w);
}
END_TEST

/* The queue is full and waits to be written when the end comes. */
START_TEST(it_may_die_with_a_queue_behind_it)
{
	struct world w;

	setup(&w);
	for (uint32_t i = 0; i < FAR; i++)
		ask(&w, i);
	w.each_turn = hang_up;
	loop_run(w.l, turn, &w);
	ck_assert_uint_eq(w.gone, 1);
	teardown(&w);
}
END_TEST

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

static void
answer_nobody(struct world *w)
{
	struct host_answer a = { .id = 4711, .op = HOST_TUN_OPEN, .ifindex = 1, .fd = w->theirs };

	ck_assert_int_eq(host_send_answer(w->theirs, &a), 0);
	w->each_turn = serve_all;
}

START_TEST(an_answer_that_nobody_asked_for_leaves_no_descriptor)
{
	struct world w;
	int next;

	setup(&w);
	ask(&w, 1);
	next = dup(0);			/* the lowest free number */
	close(next);
	w.each_turn = answer_nobody;
	loop_run(w.l, turn, &w);
	ck_assert_uint_eq(w.answers, 1);
	ck_assert(!is_open(next));
	teardown(&w);
}
END_TEST

static void
answer_device(struct world *w)
{
	struct host_request q;
	struct host_answer a = { .op = HOST_TUN_OPEN, .ifindex = 7, .fd = w->theirs };

	ck_assert_int_eq(host_recv_request(w->theirs, &q), 0);
	a.id = q.id;
	ck_assert_int_eq(host_send_answer(w->theirs, &a), 0);
	w->each_turn = serve_all;
}

START_TEST(a_descriptor_is_the_handlers)
{
	struct host_request q = { .op = HOST_TUN_OPEN, .name = "td-x" };
	struct world w;

	setup(&w);
	ck_assert(hostlink_ask(w.k, &q, 9));
	w.each_turn = answer_device;
	loop_run(w.l, turn, &w);
	ck_assert_uint_eq(w.answers, 1);
	ck_assert_int_ge(w.fd, 0);
	ck_assert(is_open(w.fd));
	teardown(&w);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, each_answer_finds_its_cookie_in_order);
	tcase_add_test(t, a_slow_broker_gets_all_of_them_in_order);
	tcase_add_test(t, a_handler_may_ask);
	tcase_add_test(t, a_dead_broker_is_told_once);
	tcase_add_test(t, it_may_die_while_we_ask);
	tcase_add_test(t, it_may_die_while_a_handler_asks);
	tcase_add_test(t, it_may_die_with_a_queue_behind_it);
	tcase_add_test(t, an_answer_that_nobody_asked_for_leaves_no_descriptor);
	tcase_add_test(t, a_descriptor_is_the_handlers);
}

UNIT_MAIN("hostlink", fill)
