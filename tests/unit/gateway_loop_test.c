/* SPDX-License-Identifier: MIT */
#include "gateway/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit.h"

#define STORY	64			/* callbacks that a test may see */

/* What happened, in order, one letter each; the turn writes '.'. */
struct world {
	struct loop *l;
	struct loop_fd *h, *other;
	char story[STORY];
	size_t n;
	int pipe[2], pipe2[2];
	unsigned turns, stop_after;	/* turns */
	usec_t wait;			/* the turn wants to be called again after; 0: never */
};

static void
tell(struct world *w, char c)
{
	ck_assert_uint_lt(w->n, STORY - 1);
	w->story[w->n++] = c;
}

static usec_t
turn(void *arg, usec_t now)
{
	struct world *w = arg;

	tell(w, '.');
	if (++w->turns >= w->stop_after)
		loop_stop(w->l);
	return w->wait == 0 ? USEC_NEVER : now + w->wait;
}

static void
setup(struct world *w, unsigned stop_after)
{
	memset(w, 0, sizeof(*w));
	w->stop_after = stop_after;
	w->l = loop_new();
	ck_assert_ptr_nonnull(w->l);
	ck_assert_int_eq(pipe2(w->pipe, O_NONBLOCK | O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(w->pipe2, O_NONBLOCK | O_CLOEXEC), 0);
}

static void
teardown(struct world *w)
{
	loop_forget(w->h);
	loop_forget(w->other);
	loop_free(w->l);
	for (int i = 0; i < 2; i++) {
		close(w->pipe[i]);
		close(w->pipe2[i]);
	}
}

static void
poke(int fd)
{
	ck_assert_int_eq(write(fd, "x", 1), 1);
}

static void
on_pipe(void *arg)
{
	struct world *w = arg;
	char c;

	tell(w, 'r');
	ck_assert_int_eq(read(w->pipe[0], &c, 1), 1);
}

static void
on_stubborn(void *arg)
{
	tell(arg, 's');			/* does not read: stays readable */
}

static void
on_again(void *arg)
{
	struct world *w = arg;

	tell(w, 'a');
	if (w->turns < 3)
		loop_again(w->h);
}

START_TEST(the_turn_comes_first_and_after_each_callback)
{
	struct world w;

	setup(&w, 4);
	w.h = loop_on_read(w.l, w.pipe[0], LOOP_FIRST, on_pipe, &w);
	for (int i = 0; i < 3; i++)
		poke(w.pipe[1]);
	loop_run(w.l, turn, &w);
	ck_assert_str_eq(w.story, ".r.r.r.");
	teardown(&w);
}
END_TEST

START_TEST(a_deadline_wakes_it_in_time)
{
	struct world w;
	usec_t start = loop_now(), took;

	setup(&w, 5);
	w.wait = USEC_MS(20);
	loop_run(w.l, turn, &w);
	took = loop_now() - start;
	ck_assert_str_eq(w.story, ".....");
	ck_assert_uint_ge(took, USEC_MS(80));
	ck_assert_uint_lt(took, USEC_S(5));
	teardown(&w);
}
END_TEST

/* Waiting costs nothing: a timer that was armed anew each time would show as processor time. */
START_TEST(it_sleeps_while_nothing_is_due)
{
	struct rusage before, after;
	struct world w;
	long used;

	setup(&w, 3);
	w.wait = USEC_MS(200);
	getrusage(RUSAGE_SELF, &before);
	loop_run(w.l, turn, &w);
	getrusage(RUSAGE_SELF, &after);
	used = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
	    after.ru_utime.tv_usec - before.ru_utime.tv_usec;
	ck_assert_int_lt(used, 100000);
	ck_assert_str_eq(w.story, "...");
	teardown(&w);
}
END_TEST

START_TEST(first_goes_before_later_also_when_later_never_ends)
{
	struct world w;

	setup(&w, 4);
	w.other = loop_on_read(w.l, w.pipe2[0], LOOP_LATER, on_stubborn, &w);
	w.h = loop_on_read(w.l, w.pipe[0], LOOP_FIRST, on_pipe, &w);
	poke(w.pipe2[1]);
	poke(w.pipe[1]);
	poke(w.pipe[1]);
	loop_run(w.l, turn, &w);
	ck_assert_str_eq(w.story, ".r.r.s.");
	teardown(&w);
}
END_TEST

/* Many callbacks are ready at once: each has a turn behind it, not the last one only. */
START_TEST(a_crowd_does_not_put_off_the_turn)
{
	struct loop_fd *h[20];
	struct world w;

	setup(&w, 21);
	for (int i = 0; i < 20; i++)
		h[i] = loop_on_read(w.l, w.pipe2[0], LOOP_LATER, on_stubborn, &w);
	poke(w.pipe2[1]);
	loop_run(w.l, turn, &w);
	ck_assert_str_eq(w.story, ".s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.");
	for (int i = 0; i < 20; i++)
		loop_forget(h[i]);
	teardown(&w);
}
END_TEST

START_TEST(again_means_next_round)
{
	struct world w;

	setup(&w, 4);
	w.h = loop_on_call(w.l, LOOP_LATER, on_again, &w);
	ck_assert_ptr_nonnull(w.h);
	loop_again(w.h);
	loop_run(w.l, turn, &w);
	ck_assert_str_eq(w.story, ".a.a.a.");
	teardown(&w);
}
END_TEST

static void
on_last(void *arg)
{
	struct world *w = arg;

	tell(w, 'l');
	loop_forget(w->h);
	w->h = NULL;
}

START_TEST(a_callback_may_forget_itself)
{
	struct world w;

	setup(&w, 3);
	w.wait = USEC_MS(1);
	w.h = loop_on_read(w.l, w.pipe[0], LOOP_FIRST, on_last, &w);
	poke(w.pipe[1]);
	poke(w.pipe[1]);
	loop_run(w.l, turn, &w);
	ck_assert_str_eq(w.story, ".l..");
	teardown(&w);
}
END_TEST

static void
on_writable(void *arg)
{
	struct world *w = arg;

	tell(w, 'w');
	loop_stop(w->l);
}

START_TEST(stop_works_from_a_callback_and_before_the_start)
{
	struct world w;

	setup(&w, 99);
	w.h = loop_on_write(w.l, w.pipe[1], on_writable, &w);
	loop_run(w.l, turn, &w);
	ck_assert_str_eq(w.story, ".w.");
	loop_run(w.l, turn, &w);
	ck_assert_str_eq(w.story, ".w..");
	teardown(&w);
}
END_TEST

static void
on_signal(void *arg)
{
	tell(arg, 'S');
}

START_TEST(signals_are_callbacks_and_a_broken_pipe_is_none)
{
	struct world w;

	setup(&w, 2);
	w.h = loop_on_signal(w.l, SIGUSR1, on_signal, &w);
	kill(getpid(), SIGUSR1);
	loop_run(w.l, turn, &w);
	ck_assert_str_eq(w.story, ".S.");
	close(w.pipe[0]);
	ck_assert_int_eq(write(w.pipe[1], "x", 1), -1);
	w.pipe[0] = dup(0);
	teardown(&w);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, the_turn_comes_first_and_after_each_callback);
	tcase_add_test(t, a_deadline_wakes_it_in_time);
	tcase_add_test(t, it_sleeps_while_nothing_is_due);
	tcase_add_test(t, first_goes_before_later_also_when_later_never_ends);
	tcase_add_test(t, a_crowd_does_not_put_off_the_turn);
	tcase_add_test(t, again_means_next_round);
	tcase_add_test(t, a_callback_may_forget_itself);
	tcase_add_test(t, stop_works_from_a_callback_and_before_the_start);
	tcase_add_test(t, signals_are_callbacks_and_a_broken_pipe_is_none);
}

UNIT_MAIN("loop", fill)
