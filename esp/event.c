/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>

#include "esp/event.h"

static bool
grow(struct events *ev, size_t cap)
{
	struct esp_event *q = calloc(cap, sizeof(*q));

	if (q == NULL)
		return false;
	for (size_t i = 0; i < ev->backs + ev->news; i++)
		q[i] = ev->q[(ev->head + i) % ev->cap];
	free(ev->q);
	ev->q = q;
	ev->cap = cap;
	ev->head = 0;
	return true;
}

bool
events_init(struct events *ev, stat_t *lost)
{
	*ev = (struct events){ .lost = lost };
	return grow(ev, (size_t)EVENTS_NEWS * 2);
}

void
events_fini(struct events *ev)
{
	free(ev->q);
	ev->q = NULL;
}

bool
events_reserve(struct events *ev)
{
	size_t need = EVENTS_NEWS + ev->held + ev->backs + 1;

	if (need > ev->cap && !grow(ev, ev->cap * 2))
		return false;
	ev->held++;
	return true;
}

void
events_unreserve(struct events *ev)
{
	assert(ev->held > 0);
	ev->held--;
}

static void
put(struct events *ev, const struct esp_event *e)
{
	ev->q[(ev->head + ev->backs + ev->news) % ev->cap] = *e;
}

void
events_back(struct events *ev, const struct esp_event *e)
{
	assert(ev->held > 0);
	put(ev, e);
	ev->held--;
	ev->backs++;
}

bool
events_news(struct events *ev, const struct esp_event *e)
{
	if (ev->news == EVENTS_NEWS) {
		stat_add(ev->lost, 1);
		return false;
	}
	put(ev, e);
	ev->news++;
	return true;
}

bool
events_next(struct events *ev, struct esp_event *e)
{
	if (ev->backs + ev->news == 0)
		return false;
	*e = ev->q[ev->head];
	ev->head = (ev->head + 1) % ev->cap;
	if (e->kind == ESP_EV_SA_BACK || e->kind == ESP_EV_PATH_BACK)
		ev->backs--;
	else
		ev->news--;
	return true;
}
