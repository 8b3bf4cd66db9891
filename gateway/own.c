/* SPDX-License-Identifier: MIT */
/*
 * What is ours: the addresses of this host and the networks on our side.  Nothing that comes out of
 * a tunnel may claim to be from there (R26).  Where `networks` names only what is the peer's they
 * hardly matter; where it is 0.0.0.0/0 they are all that stands between a peer and our LAN.
 *
 * Each connection has only what its peer could claim, so a gateway of a thousand connections does
 * not look at all its inside addresses for each packet.
 */
#include <stdlib.h>
#include <string.h>

#include "esp/inner.h"
#include "gateway/own.h"

int
by_prefix(const void *a, const void *b)
{
	const struct prefix *p = a, *q = b;
	int c = ip_cmp(&p->ip, &q->ip);

	return c != 0 ? c : (int)p->len - (int)q->len;
}

static uint8_t
bits(uint8_t family)
{
	return (uint8_t)(ip_len(family) * 8);
}

/* Would `networks` let a source of this network in? */
static bool
is_claimable(const struct config_connection *conf, const struct prefix *p)
{
	for (size_t i = 0; i < conf->networks_n; i++)
		if (conf->networks[i].len <= p->len && prefix_has(&conf->networks[i], &p->ip))
			return true;
	return false;
}

static void
add_address(struct own *o, const struct config_connection *conf, const struct ip *ip)
{
	const struct prefix host = { *ip, bits(ip->family) };
	bool first = true;

	/* One of each family in any case: answers of our own making come from it. */
	for (size_t i = 0; i < o->ip_n; i++)
		first = first && o->ip[i].family != ip->family;
	if (inner_is_host(ip) && (first || is_claimable(conf, &host)))
		o->ip[o->ip_n++] = *ip;
}

/* The network between us and the peer is neither's: his router may speak from it. */
static bool
is_outside(const struct config_connection *conf, const struct prefix *p)
{
	for (unsigned i = 0; i < conf->tunnels_n; i++)
		if (prefix_has(p, &conf->tunnel[i].remote) || prefix_has(p, &conf->tunnel[i].local))
			return true;
	return false;
}

static void
add_network(struct own *o, const struct config_connection *conf, const struct prefix *p)
{
	if (p->len == 0 || p->len == bits(p->ip.family) || !is_claimable(conf, p) ||
	    is_outside(conf, p))
		return;
	for (size_t i = 0; i < o->lan_n; i++)
		if (o->lan[i].len == p->len && prefix_has(&o->lan[i], &p->ip))
			return;
	o->lan[o->lan_n++] = *p;
}

static bool
same(const struct own *a, const struct own *b)
{
	if (a->ip_n != b->ip_n || a->lan_n != b->lan_n)
		return false;
	for (size_t i = 0; i < a->ip_n; i++)
		if (!ip_equal(&a->ip[i], &b->ip[i]))
			return false;
	for (size_t i = 0; i < a->lan_n; i++)
		if (by_prefix(&a->lan[i], &b->lan[i]) != 0)
			return false;
	return true;
}

void
own_free(struct own *o)
{
	free(o->ip);
	free(o->lan);
	*o = (struct own){ .ip = NULL };
}

bool
own_look(struct own *o, const struct config_connection *conf, const struct prefix *here, size_t n)
{
	size_t networks = n + conf->local_networks_n;
	struct own now = {
		.ip = calloc(n + 1, sizeof(*now.ip)),
		.lan = calloc(networks + 1, sizeof(*now.lan)),
	};

	if (now.ip == NULL || now.lan == NULL) {
		own_free(&now);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		add_address(&now, conf, &here[i].ip);
		add_network(&now, conf, &here[i]);
	}
	for (size_t i = 0; i < conf->local_networks_n; i++)
		add_network(&now, conf, &conf->local_networks[i]);
	if (same(&now, o)) {
		own_free(&now);
		return false;
	}
	own_free(o);
	*o = now;
	return true;
}

bool
own_fill(const struct own *o, struct esp_path *p)
{
	p->own = calloc(o->ip_n + 1, sizeof(*p->own));
	p->lan = calloc(o->lan_n + 1, sizeof(*p->lan));
	if (p->own == NULL || p->lan == NULL)
		return false;
	if (o->ip_n > 0)
		memcpy(p->own, o->ip, o->ip_n * sizeof(*p->own));
	if (o->lan_n > 0)
		memcpy(p->lan, o->lan, o->lan_n * sizeof(*p->lan));
	p->own_n = o->ip_n;
	p->lan_n = o->lan_n;
	return true;
}
