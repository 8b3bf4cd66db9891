/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_EVENT_H
#define TANDEM_ESP_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "esp/esp.h"
#include "esp/stat.h"

/*
 * The queue of events to control.  What gives back an SA or a path must not be lost, so its
 * room is reserved when the thing is taken in (which may allocate: commands may, packets may
 * not); the rest share EVENTS_NEWS places and are counted when there is none.
 */
#define EVENTS_NEWS	256

struct events {
	struct esp_event *q;		/* a ring of `cap` */
	size_t cap, head;
	size_t held, backs, news;	/* reserved; queued of either kind */
	stat_t *lost;			/* borrowed: the counter of news that had no room */
};

bool	events_init(struct events *ev, stat_t *lost);		/* false: no memory */
void	events_fini(struct events *ev);
bool	events_reserve(struct events *ev);	/* for one thing to give back; false: no memory */
void	events_unreserve(struct events *ev);	/* it was not taken after all */
void	events_back(struct events *ev, const struct esp_event *e);	/* uses one reservation */
bool	events_news(struct events *ev, const struct esp_event *e);	/* false: full, counted */
bool	events_next(struct events *ev, struct esp_event *e);

#endif
