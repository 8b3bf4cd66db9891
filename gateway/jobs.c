/* SPDX-License-Identifier: MIT */
#include "gateway/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Two queues under one lock.  The eventfd is raised for each job that is done and lowered
 * only by the look that finds none left, both under the lock: while one is ready it is readable.
 */
#define JOBS_THREADS_MAX	16
#define JOBS_NICE		5

struct item {
	struct item *next;
	struct ike_job *job;
};

struct queue {
	struct item *head, **tail;
};

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct queue todo, done;
	int fd;
	bool stop;
	unsigned n;
	pthread_t thread[JOBS_THREADS_MAX];
};

static void
queue_put(struct queue *q, struct item *i)
{
	i->next = NULL;
	*q->tail = i;
	q->tail = &i->next;
}

static struct item *
queue_get(struct queue *q)
{
	struct item *i = q->head;

	if (i != NULL && (q->head = i->next) == NULL)
		q->tail = &q->head;
	return i;
}

static void *
work(void *arg)
{
	struct jobs *j = arg;
	const uint64_t one = 1;
	struct item *i;

	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), JOBS_NICE);
	pthread_mutex_lock(&j->lock);
	for (;;) {
		while (!j->stop && (i = queue_get(&j->todo)) == NULL)
			pthread_cond_wait(&j->some, &j->lock);
		if (j->stop)
			break;
		pthread_mutex_unlock(&j->lock);
		ike_job_run(i->job);
		pthread_mutex_lock(&j->lock);
		queue_put(&j->done, i);
		(void)!write(j->fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

static bool
start_threads(struct jobs *j, unsigned threads)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);	/* signals are the control thread's */
	while (j->n < threads && pthread_create(&j->thread[j->n], NULL, work, j) == 0)
		j->n++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return j->n > 0;
}

struct jobs *
jobs_new(unsigned threads)
{
	struct jobs *j = calloc(1, sizeof(*j));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (j == NULL)
		return NULL;
	if (threads == 0)
		threads = cpus > 2 ? (unsigned)cpus - 1 : 1;
	if (threads > JOBS_THREADS_MAX)
		threads = JOBS_THREADS_MAX;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->some, NULL);
	j->todo.tail = &j->todo.head;
	j->done.tail = &j->done.head;
	j->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (j->fd < 0 || !start_threads(j, threads)) {
		jobs_free(j, NULL, NULL);
		return NULL;
	}
	return j;
}

static void
drop_all(struct queue *q, void (*drop)(void *, struct ike_job *), void *arg)
{
	struct item *i;

	while ((i = queue_get(q)) != NULL) {
		if (drop != NULL)
			drop(arg, i->job);
		free(i);
	}
}

void
jobs_free(struct jobs *j, void (*drop)(void *arg, struct ike_job *job), void *arg)
{
	if (j == NULL)
		return;
	pthread_mutex_lock(&j->lock);
	j->stop = true;
	pthread_cond_broadcast(&j->some);
	pthread_mutex_unlock(&j->lock);
	while (j->n > 0)
		pthread_join(j->thread[--j->n], NULL);
	drop_all(&j->todo, drop, arg);
	drop_all(&j->done, drop, arg);
	if (j->fd >= 0)
		close(j->fd);
	pthread_cond_destroy(&j->some);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

bool
jobs_put(struct jobs *j, struct ike_job *job)
{
	struct item *i = malloc(sizeof(*i));

	if (i == NULL)
		return false;
	i->job = job;
	pthread_mutex_lock(&j->lock);
	queue_put(&j->todo, i);
	pthread_cond_signal(&j->some);
	pthread_mutex_unlock(&j->lock);
	return true;
}

struct ike_job *
jobs_done(struct jobs *j)
{
	struct ike_job *job = NULL;
	struct item *i;
	uint64_t n;

	pthread_mutex_lock(&j->lock);
	i = queue_get(&j->done);
	if (i == NULL)
		(void)!read(j->fd, &n, sizeof(n));
	pthread_mutex_unlock(&j->lock);
	if (i != NULL) {
		job = i->job;
		free(i);
	}
	return job;
}

int
jobs_fd(const struct jobs *j)
{
	return j->fd;
}
