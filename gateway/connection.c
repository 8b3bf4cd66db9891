/* SPDX-License-Identifier: MIT */
/*
 * A configured connection becomes: what it has on the host (device.c); a path at the workers; a
 * monitored connection; IKE tunnels.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/gateway.h"

#define NO_DEVICE	UINT16_MAX	/* no index yet */
#define MTU_FLOOR	576		/* below this inner IPv4 makes no sense */
#define MTU_USUAL	1500		/* outer, before anything is known */

/* ---- MTU and path --------------------------------------------------------------------- */

static unsigned
tunnel_mtu(const struct gw_tunnel *t)
{
	const struct config_connection *conf = t->c->conf;
	enum aead_id aead = t->aead != AEAD_NONE ? t->aead : conf->esp[0].enc;
	unsigned outer = conf->outer_mtu != 0 ? conf->outer_mtu : t->outer_mtu, mtu;
	uint8_t family = t->conf->remote.family == AF_INET6 ? AF_INET6 : AF_INET;

	if (outer == 0)
		outer = MTU_USUAL;
	if (outer > WORKER_MTU_MAX)		/* loopback has 65,536 */
		outer = WORKER_MTU_MAX;
	mtu = esp_inside_mtu(aead, outer, family);
	return mtu < MTU_FLOOR ? MTU_FLOOR : mtu;
}

static unsigned
least_mtu(const struct gw_connection *c)
{
	unsigned least = UINT32_MAX;

	for (unsigned i = 0; i < c->conf->tunnels_n; i++)
		if (tunnel_mtu(&c->t[i]) < least)
			least = tunnel_mtu(&c->t[i]);
	return least;
}

void
connection_mtu(struct gw *g, struct gw_connection *c)
{
	unsigned least = least_mtu(c);

	if (least == c->mtu)
		return;
	c->mtu = least;
	device_set(g, c);
	log_event(LOG_LEVEL_INFO, "mtu", "connection=%s device=%s mtu=%u", c->conf->name,
	    c->conf->device, least);
}

/* Where the peer may send from: its networks and the inside links. */
static bool
fill_sources(const struct gw_connection *c, struct esp_path *p)
{
	const struct config_connection *conf = c->conf;

	p->sources = calloc(conf->networks_n + 3 * CONFIG_TUNNELS, sizeof(*p->sources));
	if (p->sources == NULL)
		return false;
	for (size_t i = 0; i < conf->networks_n; i++)
		p->sources[p->sources_n++] = conf->networks[i];
	for (unsigned i = 0; i < conf->tunnels_n; i++) {
		const struct config_tunnel *t = &conf->tunnel[i];
		const struct ip *from[3] = { &t->inside_peer[0], &t->inside_peer[1], &t->probe };

		for (int k = 0; k < 3; k++)
			if (from[k]->family != AF_UNSPEC)
				p->sources[p->sources_n++] = (struct prefix){ *from[k],
				    (uint8_t)(ip_len(from[k]->family) * 8) };
	}
	return true;
}

void
connection_path(struct gw *g, struct gw_connection *c)
{
	struct esp_cmd cmd = { .kind = ESP_CMD_PATH_SET, .device = c->device };
	struct esp_path *p = calloc(1, sizeof(*p));

	if (p == NULL || !own_fill(&c->own, p) || !fill_sources(c, p)) {
		log_event(LOG_LEVEL_ERROR, "no-memory", "connection=%s what=path", c->conf->name);
		if (p != NULL)
			esp_path_free(p);
		return;
	}
	p->device = c->device;
	p->n = c->conf->tunnels_n;
	p->clamp_mss = c->conf->clamp_mss;
	p->copy_df = true;
	p->copy_dscp = c->conf->copy_dscp;
	memcpy(p->bucket, c->bucket, sizeof(p->bucket));
	for (unsigned i = 0; i < p->n; i++) {
		struct esp_path_tunnel *t = &p->t[i];

		t->tunnel = c->t[i].id;
		t->mtu = tunnel_mtu(&c->t[i]);
		memcpy(t->inside_local, c->t[i].conf->inside_local, sizeof(t->inside_local));
		memcpy(t->inside_peer, c->t[i].conf->inside_peer, sizeof(t->inside_peer));
	}
	cmd.path = p;
	gw_esp(g, c, &cmd);
}

bool
connection_carries(const struct gw_connection *c, unsigned index)
{
	return memchr(c->bucket, (int)index, sizeof(c->bucket)) != NULL;
}

/* ---- what the machines are told ------------------------------------------------------- */

void
tunnel_ike_set(struct gw *g, struct gw_tunnel *t)
{
	const struct config_connection *conf = t->c->conf;
	struct ike_tunnel *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return;
	k->id = t->id;
	k->connection = t->c->id;
	snprintf(k->name, sizeof(k->name), "%s/%u", conf->name, t->index + 1);
	k->local = t->conf->local;
	k->remote = t->conf->remote;
	k->local_port = g->port;
	k->local_natt_port = g->natt_port;
	k->remote_port = t->conf->remote_port;
	k->local_id = t->conf->local_id;
	k->remote_id = t->conf->remote_id;
	k->psk = t->conf->psk;
	k->psk_len = t->conf->psk_len;
	memcpy(k->ike, conf->ike, sizeof(k->ike));
	k->ike_n = conf->ike_n;
	memcpy(k->esp, conf->esp, sizeof(k->esp));
	k->esp_n = conf->esp_n;
	k->ts_local = conf->ts_local;
	k->ts_remote = conf->ts_remote;
	k->start = conf->start;
	k->window = conf->window;
	k->resources = share_n(t->c);
	k->ike_life = conf->ike_life;
	k->child_life = conf->child_life;
	k->liveness = conf->liveness;
	k->retry_max = conf->retry_max;
	gw_ike(g, &(struct ike_fact){ .kind = IKE_TUNNEL_SET, .tunnel = t->id, .conf = k });
	free(k);
}

static void
monitor_set(struct gw *g, const struct gw_connection *c)
{
	struct mon_conf m = { .connection = c->id, .n = c->conf->tunnels_n,
	    .policy = c->conf->policy, .pin = c->conf->pin, .hold = c->conf->hold,
	    .silence = USEC_MS(200), .spacing = USEC_MS(100), .idle = USEC_S(2) };

	snprintf(m.name, sizeof(m.name), "%s", c->conf->name);
	for (unsigned i = 0; i < m.n; i++) {
		m.tunnel[i] = c->t[i].id;
		m.echo[i] = c->t[i].conf->probe.family != AF_UNSPEC;
	}
	gw_monitor(g, &(struct mon_fact){ .kind = MON_SET, .connection = c->id, .conf = &m });
}

/* ---- life ----------------------------------------------------------------------------- */

static bool
device_index(struct gw *g, uint16_t *index)
{
	for (unsigned i = 0; i < WORKER_DEVICES; i++) {
		if ((g->devices[i / 64] & 1ull << i % 64) != 0)
			continue;
		g->devices[i / 64] |= 1ull << i % 64;
		*index = (uint16_t)i;
		return true;
	}
	return false;
}

/* Never 0; and by it IKE chooses SPIs that are the home's. */
static uint32_t
tunnel_id(struct gw *g, unsigned home)
{
	do
		g->next_id++;
	while (g->next_id == 0 || g->next_id % workers_n(g->workers) != home);
	return g->next_id;
}

static bool
tunnels_init(struct gw *g, struct gw_connection *c)
{
	for (unsigned i = 0; i < c->conf->tunnels_n; i++) {
		struct gw_tunnel *t = &c->t[i];

		t->id = tunnel_id(g, c->home);
		t->index = i;
		t->c = c;
		t->conf = &c->conf->tunnel[i];
		t->since = loop_now();
		t->present = t->carrier = true;
		if (!map_put(g->tunnels, t->id, t))
			return false;
	}
	/* A first look at the counters, which also makes the later ones sure of their place. */
	return heap_set(&g->samples, &c->sample, loop_now());
}

static void
connection_free(struct gw *g, struct gw_connection *c)
{
	for (unsigned i = 0; i < CONFIG_TUNNELS; i++)
		(void)map_del(g->tunnels, c->t[i].id);
	heap_remove(&g->samples, &c->sample);
	if (c->device != NO_DEVICE)
		g->devices[c->device / 64] &= ~(1ull << c->device % 64);
	own_free(&c->own);
	share_end(g, c);
	free(c);
}

bool
connection_add(struct gw *g, const struct config_connection *conf)
{
	struct gw_connection *c = calloc(1, sizeof(*c)), **last = &g->connections;

	if (c == NULL)
		return false;
	c->conf = conf;
	c->id = ++g->next_id;
	c->device = NO_DEVICE;
	c->device_at = USEC_NEVER;
	memset(c->bucket, MON_NONE, sizeof(c->bucket));
	share_choose(g, c);
	if (!device_index(g, &c->device) || !tunnels_init(g, c)) {
		log_event(LOG_LEVEL_ERROR, "no-room", "connection=%s", conf->name);
		connection_free(g, c);
		return false;
	}
	while (*last != NULL)
		last = &(*last)->next;
	*last = c;
	c->mtu = least_mtu(c);
	device_up(g, c);
	connection_path(g, c);
	monitor_set(g, c);
	for (unsigned i = 0; i < conf->tunnels_n; i++)
		tunnel_ike_set(g, &c->t[i]);
	return true;
}

static void
tunnel_del(struct gw *g, struct gw_tunnel *t)
{
	const struct esp_cmd cmd = { .kind = ESP_CMD_TUNNEL_DEL, .tunnel = t->id };

	gw_ike(g, &(struct ike_fact){ .kind = IKE_TUNNEL_DEL, .tunnel = t->id });
	gw_esp(g, t->c, &cmd);
	(void)map_del(g->tunnels, t->id);
}

void
connection_del(struct gw *g, struct gw_connection *c)
{
	const struct esp_cmd cmd = { .kind = ESP_CMD_PATH_DEL, .device = c->device };
	struct gw_connection **p = &g->connections, **q = &g->touched;

	for (unsigned i = 0; i < c->conf->tunnels_n; i++)
		tunnel_del(g, &c->t[i]);
	gw_monitor(g, &(struct mon_fact){ .kind = MON_DEL, .connection = c->id });
	gw_esp(g, c, &cmd);
	device_down(g, c);
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	while (*q != NULL && *q != c)
		q = &(*q)->next_touched;
	if (*q == c)
		*q = c->next_touched;
	connection_free(g, c);
}

void
connection_change(struct gw *g, struct gw_connection *c, const struct config_connection *conf,
    bool rekey)
{
	const struct config_connection *from = c->conf;

	c->conf = conf;
	for (unsigned i = 0; i < conf->tunnels_n; i++)
		c->t[i].conf = &conf->tunnel[i];
	device_routes(g, c, from);
	connection_mtu(g, c);
	connection_path(g, c);
	monitor_set(g, c);
	share_look(g, c);
	for (unsigned i = 0; i < conf->tunnels_n; i++) {
		tunnel_ike_set(g, &c->t[i]);
		if (rekey && c->t[i].up)
			gw_ike(g, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = c->t[i].id,
			    .ike_sa = true });
		if (rekey && c->t[i].up)
			gw_ike(g, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = c->t[i].id });
	}
}
