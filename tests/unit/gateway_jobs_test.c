/* SPDX-License-Identifier: MIT */
#include "gateway/jobs.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit.h"

/* The machine's job is opaque to the pool, so the test has one of its own. */
struct ike_job {
	unsigned number;
	unsigned ran;			/* plain on purpose: the pool hands it over, or TSan says so */
	unsigned pause_us;
	int nice;
	bool deaf;			/* signals were blocked where it ran */
};

#define JOBS	2000

static atomic_uint running, most;

void
ike_job_run(struct ike_job *job)
{
	unsigned now = atomic_fetch_add(&running, 1) + 1, seen = atomic_load(&most);
	sigset_t set;

	while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
		;
	if (job->pause_us > 0)
		usleep(job->pause_us);
	job->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	job->deaf = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGHUP) == 1;
	job->ran++;
	atomic_fetch_sub(&running, 1);
}

static bool
is_readable(const struct jobs *j, int timeout_ms)
{
	struct pollfd p = { .fd = jobs_fd(j), .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

static struct ike_job *
jobs_make(unsigned n)
{
	struct ike_job *job = calloc(n, sizeof(*job));

	ck_assert_ptr_nonnull(job);
	for (unsigned i = 0; i < n; i++)
		job[i].number = i;
	return job;
}

/* Take one, waiting for it. */
static struct ike_job *
take(struct jobs *j)
{
	struct ike_job *job;

	while ((job = jobs_done(j)) == NULL)
		ck_assert(is_readable(j, 20000));
	return job;
}

START_TEST(each_job_runs_once_and_comes_back)
{
	struct jobs *j = jobs_new(4);
	struct ike_job *job = jobs_make(JOBS);
	bool *back = calloc(JOBS, sizeof(*back));
	unsigned put = 0;

	ck_assert_ptr_nonnull(j);
	for (unsigned got = 0; got < JOBS; got++) {
		struct ike_job *x;

		while (put < JOBS && put < got + 100)
			ck_assert(jobs_put(j, &job[put++]));
		x = take(j);
		ck_assert_uint_eq(x->ran, 1);
		ck_assert(!back[x->number]);
		back[x->number] = true;
	}
	ck_assert_ptr_null(jobs_done(j));
	ck_assert_msg(!is_readable(j, 0), "nothing is ready, yet it says look");
	jobs_free(j, NULL, NULL);
	free(back);
	free(job);
}
END_TEST

START_TEST(one_thread_keeps_the_order)
{
	struct jobs *j = jobs_new(1);
	struct ike_job *job = jobs_make(500);

	for (unsigned i = 0; i < 500; i++)
		ck_assert(jobs_put(j, &job[i]));
	for (unsigned i = 0; i < 500; i++)
		ck_assert_uint_eq(take(j)->number, i);
	jobs_free(j, NULL, NULL);
	free(job);
}
END_TEST

/* Control takes one a round: what else is ready must not need another event. */
START_TEST(it_stays_readable_while_one_is_left)
{
	struct jobs *j = jobs_new(2);
	struct ike_job *job = jobs_make(10);

	for (unsigned i = 0; i < 10; i++)
		ck_assert(jobs_put(j, &job[i]));
	for (unsigned i = 0; i < 10; i++) {
		ck_assert(is_readable(j, 20000));
		(void)take(j);
	}
	ck_assert_ptr_null(jobs_done(j));
	ck_assert(!is_readable(j, 0));
	jobs_free(j, NULL, NULL);
	free(job);
}
END_TEST

START_TEST(threads_work_side_by_side_politely_and_deaf)
{
	struct jobs *j = jobs_new(3);
	struct ike_job *job = jobs_make(9);

	atomic_store(&most, 0);
	for (unsigned i = 0; i < 9; i++) {
		job[i].pause_us = 30000;
		ck_assert(jobs_put(j, &job[i]));
	}
	for (unsigned i = 0; i < 9; i++) {
		const struct ike_job *x = take(j);

		ck_assert_int_ge(x->nice, 5);
		ck_assert(x->deaf);
	}
	ck_assert_uint_ge(atomic_load(&most), 2);
	ck_assert_uint_le(atomic_load(&most), 3);
	jobs_free(j, NULL, NULL);
	free(job);
}
END_TEST

struct dropped {
	unsigned n, ran;
	bool seen[200];
};

static void
on_drop(void *arg, struct ike_job *job)
{
	struct dropped *d = arg;

	ck_assert(!d->seen[job->number]);
	d->seen[job->number] = true;
	d->n++;
	d->ran += job->ran;
}

START_TEST(the_end_waits_for_what_runs_and_gives_back_the_rest)
{
	struct jobs *j = jobs_new(2);
	struct ike_job *job = jobs_make(200);
	struct dropped d = { 0 };

	for (unsigned i = 0; i < 200; i++) {
		job[i].pause_us = 1000;
		ck_assert(jobs_put(j, &job[i]));
	}
	(void)take(j);
	jobs_free(j, on_drop, &d);
	ck_assert_uint_eq(d.n, 199);
	ck_assert_uint_lt(d.ran, 199);
	ck_assert_uint_eq(atomic_load(&running), 0);
	free(job);
}
END_TEST

START_TEST(an_idle_pool_ends_at_once)
{
	struct dropped d = { 0 };

	for (int i = 0; i < 20; i++) {
		struct jobs *j = jobs_new(0);

		ck_assert_ptr_nonnull(j);
		ck_assert_ptr_null(jobs_done(j));
		jobs_free(j, on_drop, &d);
	}
	ck_assert_uint_eq(d.n, 0);
	jobs_free(NULL, on_drop, &d);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, each_job_runs_once_and_comes_back);
	tcase_add_test(t, one_thread_keeps_the_order);
	tcase_add_test(t, it_stays_readable_while_one_is_left);
	tcase_add_test(t, threads_work_side_by_side_politely_and_deaf);
	tcase_add_test(t, the_end_waits_for_what_runs_and_gives_back_the_rest);
	tcase_add_test(t, an_idle_pool_ends_at_once);
}

UNIT_MAIN("jobs", fill)
