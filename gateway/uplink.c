/* SPDX-License-Identifier: MIT */
/*
 * What lies below a tunnel: is its outside address on this host, has its uplink carrier, how
 * large are its datagrams.  Looked at once at start and again whenever the kernel has news.
 */
#include <string.h>

#include "base/log.h"
#include "gateway/gateway.h"

/* Where nothing is routed to the peer there is no uplink either. */
static void
look(struct gw *g, struct gw_tunnel *t, bool *present, struct nl_way *way)
{
	const struct ip *local = &t->conf->local;

	memset(way, 0, sizeof(*way));
	if (!ip_is_any(local) && !nl_has_address(g->nl, local, way)) {
		*present = way->carrier = false;
		return;
	}
	*present = nl_way(g->nl, &t->conf->remote, ip_is_any(local) ? NULL : local, way) == 0;
	if (!*present)
		way->carrier = false;
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

void
uplink_look(struct gw *g)
{
	g->look_at = USEC_NEVER;
	g->looked = loop_now();
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next) {
		bool resized = false;

		for (unsigned i = 0; i < c->conf->tunnels_n; i++) {
			struct gw_tunnel *t = &c->t[i];
			struct nl_way way;
			bool present;

			look(g, t, &present, &way);
			tell(g, t, present, present && way.carrier);
			if (present)
				connection_uplink(g, t, way.device);
			if (present && way.mtu != 0 && way.mtu != t->outer_mtu) {
				t->outer_mtu = way.mtu;
				resized = true;
			}
		}
		if (resized) {
			connection_mtu(g, c);
			connection_path(g, c);
		}
	}
}
