/* SPDX-License-Identifier: MIT */
/*
 * What lies below a tunnel: is its outside address on this host, has its uplink carrier, how
 * large are its datagrams.  Looked at once at start and again whenever the kernel has news.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/gateway.h"

#define LOOK_SPACING	USEC_MS(20)	/* between looks */
#define LOOK_SHARE	4		/* and at least so many times what the last one took */
#define ADDRESSES_FIRST	64

/* The addresses of this host at one moment, sorted: one list for all tunnels. */
struct here {
	struct prefix *address;
	int n;				/* or -errno */
};

static void
here_init(struct here *h, struct nl *nl)
{
	unsigned max = ADDRESSES_FIRST;

	h->address = calloc(max, sizeof(*h->address));
	while (h->address != NULL && (h->n = nl_address_list(nl, h->address, max)) > (int)max) {
		free(h->address);
		max = 2 * (unsigned)h->n;
		h->address = calloc(max, sizeof(*h->address));
	}
	if (h->address == NULL)
		h->n = -ENOMEM;
	if (h->n > 0)
		qsort(h->address, (size_t)h->n, sizeof(*h->address), by_prefix);
}

static int
by_ip(const void *key, const void *address)
{
	return ip_cmp(key, &((const struct prefix *)address)->ip);
}

/* Where nothing is routed to the peer there is no uplink either. */
static bool
look(struct gw *g, const struct gw_tunnel *t, const struct here *here, struct nl_way *way)
{
	const struct ip *local = &t->conf->local;

	memset(way, 0, sizeof(*way));
	if (!ip_is_any(local) &&
	    bsearch(local, here->address, (size_t)here->n, sizeof(*here->address), by_ip) == NULL)
		return false;
	if (nl_way(g->nl, &t->conf->remote, local, way) == 0)
		return true;
	way->carrier = false;
	return false;
}

static void
tell(struct gw *g, struct gw_tunnel *t, bool present, bool carrier)
{
	if (present != t->present) {
		t->present = present;
		gw_event(g, present ? "address-present" : "address-missing", t->c, t, present ?
		    "the outside address and a route to the peer are there" :
		    "the outside address or a route to the peer is missing; waiting for it");
		gw_ike(g, &(struct ike_fact){ .kind = IKE_ADDRESS, .tunnel = t->id,
		    .present = present });
	}
	if (carrier != t->carrier) {
		t->carrier = carrier;
		gw_event(g, carrier ? "uplink-up" : "uplink-down", t->c, t, carrier ?
		    "the uplink has carrier" : "the uplink has lost its carrier");
		gw_monitor(g, &(struct mon_fact){ .kind = MON_CARRIER, .tunnel = t->id,
		    .present = carrier });
	}
}

static void
look_at_all(struct gw *g, struct gw_connection *c, const struct here *here)
{
	bool resized = false;

	for (unsigned i = 0; i < c->conf->tunnels_n; i++) {
		struct gw_tunnel *t = &c->t[i];
		struct nl_way way;
		bool present = look(g, t, here, &way);

		tell(g, t, present, present && way.carrier);
		if (present)
			device_uplink(g, t, way.device);
		if (present && way.mtu != 0 && way.mtu != t->outer_mtu) {
			t->outer_mtu = way.mtu;
			resized = true;
		}
	}
	if (resized)
		connection_mtu(g, c);
	if (own_look(&c->own, c->conf, here->address, (size_t)here->n) || resized)
		connection_path(g, c);
}

/* What could not be listed, because it changed all the time, is not missing: look again. */
void
uplink_look(struct gw *g)
{
	usec_t begin = loop_now(), end, wait;
	struct here here;

	here_init(&here, g->nl);
	if (here.n >= 0)
		for (struct gw_connection *c = g->connections; c != NULL; c = c->next)
			look_at_all(g, c, &here);
	free(here.address);
	end = loop_now();
	wait = LOOK_SHARE * (end - begin);
	g->look_next = usec_add(end, wait > LOOK_SPACING ? wait : LOOK_SPACING);
	g->look_at = here.n >= 0 ? USEC_NEVER : g->look_next;
}
