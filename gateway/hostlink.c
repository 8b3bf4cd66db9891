/* SPDX-License-Identifier: MIT */
#include "gateway/hostlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/*
 * The broker may die at any moment, so also inside hostlink_ask(), and handlers may ask again
 * from inside an answer.  After gone() nothing is watched any more: `on_read` NULL says so.
 */
struct ask {
	struct ask *next;
	uint32_t cookie;
	bool sent;
	struct host_request q;
};

/* `first` to the end are the requests without an answer, oldest first, as the broker answers. */
struct hostlink {
	struct loop *loop;
	int sock;
	struct hostlink_handlers h;
	struct loop_fd *on_read, *on_write;
	struct ask *first, **last, *unsent;
	uint32_t next_id;
	size_t pending;
};

static void flush(void *arg);

static void
gone(struct hostlink *k)
{
	loop_forget(k->on_read);
	loop_forget(k->on_write);
	k->on_read = k->on_write = NULL;
	k->h.gone(k->h.arg);
}

/* Writability is watched only while something waits to be sent. */
static void
watch_write(struct hostlink *k)
{
	if (k->unsent != NULL && k->on_write == NULL &&
	    (k->on_write = loop_on_write(k->loop, k->sock, flush, k)) == NULL) {
		log_event(LOG_LEVEL_ERROR, "broker-lost", "error=\"no memory\"");
		gone(k);
		return;
	}
	if (k->unsent == NULL) {
		loop_forget(k->on_write);
		k->on_write = NULL;
	}
}

static void
flush(void *arg)
{
	struct hostlink *k = arg;
	int err = 0;

	while (k->unsent != NULL && (err = host_send_request(k->sock, &k->unsent->q)) == 0) {
		k->unsent->sent = true;
		k->unsent = k->unsent->next;
	}
	if (err != 0 && err != -EAGAIN) {
		log_event(LOG_LEVEL_ERROR, "broker-lost", "error=\"%s\"", strerror(-err));
		gone(k);
		return;
	}
	watch_write(k);
}

/* The oldest request is answered first; its answers may be several (HOST_LIST). */
static void
answered(struct hostlink *k, const struct host_answer *a)
{
	struct ask *x = k->first;
	uint32_t cookie;

	if (x == NULL || !x->sent || x->q.id != a->id) {
		log_event(LOG_LEVEL_ERROR, "broker-answer", "id=%u what=\"not asked\"", a->id);
		if (a->fd >= 0)
			close(a->fd);
		return;
	}
	cookie = x->cookie;
	if (!a->more) {
		if ((k->first = x->next) == NULL)
			k->last = &k->first;
		k->pending--;
		free(x);
	}
	k->h.answer(k->h.arg, cookie, a);
}

static void
on_answer(void *arg)
{
	struct hostlink *k = arg;
	struct host_answer a;
	int err;

	while ((err = host_recv_answer(k->sock, &a)) == 0) {
		answered(k, &a);
		if (k->on_read == NULL)
			return;
	}
	if (err != -EAGAIN)
		gone(k);
}

struct hostlink *
hostlink_new(struct loop *l, int sock, const struct hostlink_handlers *h)
{
	struct hostlink *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->loop = l;
	k->sock = sock;
	k->h = *h;
	k->last = &k->first;
	k->on_read = loop_on_read(l, sock, LOOP_FIRST, on_answer, k);
	if (k->on_read == NULL) {
		free(k);
		return NULL;
	}
	return k;
}

void
hostlink_free(struct hostlink *k)
{
	struct ask *x;

	if (k == NULL)
		return;
	loop_forget(k->on_read);
	loop_forget(k->on_write);
	while ((x = k->first) != NULL) {
		k->first = x->next;
		free(x);
	}
	free(k);
}

bool
hostlink_ask(struct hostlink *k, struct host_request *q, uint32_t cookie)
{
	struct ask *x = calloc(1, sizeof(*x));

	if (x == NULL || k->on_read == NULL) {
		free(x);
		return false;
	}
	q->id = ++k->next_id;
	x->q = *q;
	x->cookie = cookie;
	*k->last = x;
	k->last = &x->next;
	k->pending++;
	if (k->unsent == NULL) {
		k->unsent = x;
		flush(k);
	}
	return true;
}

size_t
hostlink_pending(const struct hostlink *k)
{
	return k->pending;
}
