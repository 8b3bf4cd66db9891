/* SPDX-License-Identifier: MIT */
#include "gateway/gateway.h"

/*
 * When control looks at a tunnel's counters, from which the monitor learns of traffic and of
 * silence.  While traffic flows the monitor says when; a connection where nothing flows is
 * asleep, costs nothing, and the worker wakes us with its next packet.
 */
#define SAMPLE_SOON	USEC_MS(1)	/* a sample that is due already and did not come */
#define SAMPLE_DULL	USEC_MS(100)	/* between looks at traffic of a connection that is down */

static void
sample(struct gw *g, struct gw_connection *c)
{
	for (unsigned i = 0; i < c->conf->tunnels_n; i++) {
		struct gw_tunnel *t = &c->t[i];
		struct esp_tunnel_stats st;

		if (!t->up || !workers_tunnel_stats(g->workers, c->serves, t->id, &st))
			continue;
		if (st.last_in > t->heard) {
			t->heard = st.last_in;
			gw_ike(g, &(struct ike_fact){ .kind = IKE_HEARD, .tunnel = t->id });
		}
		gw_monitor(g, &(struct mon_fact){ .kind = MON_SAMPLE, .tunnel = t->id,
		    .last_in = st.last_in, .last_out = st.last_out });
	}
}

/* Traffic has started where nothing flowed.  The next start is asked for by sample_when().  Which
 * one it was is looked for only when there was one: workers call for other reasons too. */
void
sample_sleepers(struct gw *g)
{
	if (!workers_any_woken(g->workers))
		return;
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next) {
		if (!c->asleep || !workers_has_woken(g->workers, c->serves, c->device))
			continue;
		c->asleep = false;
		c->woken = true;
		sample(g, c);
		gw_touch(g, c->id, 0);
	}
}

void
sample_due(struct gw *g, usec_t now)
{
	struct heap_node *n;

	while ((n = heap_pop_due(&g->samples, now)) != NULL) {
		struct gw_connection *c = heap_entry(n, struct gw_connection, sample);

		sample(g, c);
		gw_touch(g, c->id, 0);	/* also where nothing was to be had: it is due again */
	}
}

/*
 * When the counters of one connection are to be looked at next.  Where nothing flows the
 * worker is asked to say when it does, and what flowed before it was asked is seen by one more
 * look.  Where the monitor is not interested in what flows (the tunnels are down), it is asked
 * again only after a while: otherwise each packet would wake us.
 */
static void
sample_at(struct gw *g, struct gw_connection *c, usec_t now)
{
	usec_t at = monitor_sample_at(g->monitor, c->id);

	if (at != USEC_NEVER)
		at = at > now ? at : usec_add(now, SAMPLE_SOON);
	else if (c->woken)
		at = usec_add(now, SAMPLE_DULL);
	(void)heap_set(&g->samples, &c->sample, at);
	c->woken = false;
	if (at != USEC_NEVER) {
		c->asleep = false;
	} else if (!c->asleep) {
		c->asleep = true;
		workers_wake_on_traffic(g->workers, c->serves, c->device);
		sample(g, c);
	}
}

void
sample_when(struct gw *g, usec_t now)
{
	struct gw_connection *c;

	while ((c = g->touched) != NULL) {
		g->touched = c->next_touched;
		c->touched = false;
		sample_at(g, c, now);
	}
}
