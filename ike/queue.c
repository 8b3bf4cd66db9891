/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ike/queue.h"

#define MARKER_LEN	4		/* non-ESP marker, RFC 3948 2.2 */
#define QUEUE_SLACK	64

/* An action as it waits.  Small: thousands are reserved. */
struct note {
	enum ike_action_kind kind;
	uint32_t tunnel, spi_in;
	uint64_t resources;
	uint8_t index;
	void *p;			/* by kind: child, job, struct parcel, or NULL */
};

/* What does not fit: a datagram, a pair of endpoints, a reason. */
struct parcel {
	struct endpoint local, remote;
	size_t len;
	uint8_t data[];
};

static struct parcel *
parcel_new(const struct ike_action *a, const void *data, size_t len, size_t front)
{
	struct parcel *p = malloc(sizeof(*p) + front + len);

	if (p == NULL)
		return NULL;
	p->local = a->local;
	p->remote = a->remote;
	p->len = front + len;
	memset(p->data, 0, front);
	if (len > 0)
		memcpy(p->data + front, data, len);
	return p;
}

static bool
kind_has_parcel(enum ike_action_kind kind)
{
	return kind == IKE_SEND || kind == IKE_ENDPOINT || kind == IKE_DOWN;
}

void
queue_fini(struct queue *q)
{
	for (; q->n > 0; q->n--, q->head = (q->head + 1) % q->cap)
		if (kind_has_parcel(q->note[q->head].kind))
			free(q->note[q->head].p);
	free(q->note);
	free(q->held);
	memset(q, 0, sizeof(*q));
}

static bool
grow(struct queue *q, size_t cap)
{
	struct note *note;

	if (cap <= q->cap)
		return true;
	if (cap < 2 * q->cap)
		cap = 2 * q->cap;
	note = calloc(cap, sizeof(*note));
	if (note == NULL)
		return false;
	for (size_t i = 0; i < q->n; i++)
		note[i] = q->note[(q->head + i) % q->cap];
	free(q->note);
	q->note = note;
	q->head = 0;
	q->cap = cap;
	return true;
}

bool
queue_reserve(struct queue *q)
{
	if (!grow(q, QUEUE_SLACK + q->n + q->reserved + QUEUE_PER_OBJECT))
		return false;
	q->reserved += QUEUE_PER_OBJECT;
	return true;
}

void
queue_release(struct queue *q)
{
	q->reserved -= QUEUE_PER_OBJECT;
}

static bool
put(struct queue *q, const struct ike_action *a, void *p)
{
	if (q->n == q->cap && !grow(q, q->cap + QUEUE_SLACK)) {
		log_event(LOG_LEVEL_ERROR, "ike-queue", "reason=\"no memory for an action\"");
		return false;
	}
	q->note[(q->head + q->n++) % q->cap] = (struct note){
		.kind = a->kind, .tunnel = a->tunnel, .spi_in = a->spi_in, .resources = a->resources,
		.index = a->index, .p = p,
	};
	return true;
}

void
queue_send(struct queue *q, const struct ike_action *a, bool marker)
{
	struct parcel *p = parcel_new(a, a->data, a->len, marker ? MARKER_LEN : 0);

	if (p != NULL && !put(q, a, p))
		free(p);
}

void
queue_put(struct queue *q, const struct ike_action *a)
{
	void *p = NULL;

	switch (a->kind) {
	case IKE_SA_IN:
		p = a->child;
		break;
	case IKE_WORK:
		p = a->job;
		break;
	case IKE_DOWN:			/* without memory: down without a reason */
		p = parcel_new(a, a->reason, strlen(a->reason) + 1, 0);
		break;
	case IKE_ENDPOINT:
		p = parcel_new(a, NULL, 0, 0);
		if (p == NULL)
			return;
		break;
	case IKE_SEND:
	case IKE_SA_OUT:
	case IKE_SA_DROP:
	case IKE_UP:
	case IKE_ALIVE:
	case IKE_TOLD:
		break;
	}
	(void)put(q, a, p);
}

bool
queue_pop(struct queue *q, struct ike_action *a)
{
	struct note n;
	struct parcel *p;

	free(q->held);
	q->held = NULL;
	if (q->n == 0)
		return false;
	n = q->note[q->head];
	q->head = (q->head + 1) % q->cap;
	q->n--;
	memset(a, 0, sizeof(*a));
	a->kind = n.kind;
	a->tunnel = n.tunnel;
	a->spi_in = n.spi_in;
	a->resources = n.resources;
	a->index = n.index;
	if (n.kind == IKE_SA_IN)
		a->child = n.p;
	else if (n.kind == IKE_WORK)
		a->job = n.p;
	if (!kind_has_parcel(n.kind) || n.p == NULL)
		return true;
	q->held = p = n.p;
	a->local = p->local;
	a->remote = p->remote;
	a->data = p->data;
	a->len = p->len;
	if (n.kind == IKE_DOWN)
		memcpy(a->reason, p->data, p->len);	/* at most IKE_REASON_MAX */
	return true;
}
