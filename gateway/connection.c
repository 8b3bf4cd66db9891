/* SPDX-License-Identifier: MIT */
/*
 * A configured connection becomes: guard routes first, then a device with the inside addresses
 * of its tunnels, its MTU, the routes to the remote networks; a path at the worker; a monitored
 * connection; two IKE tunnels.  All requests to the host go to the broker in that order and it
 * carries them out in order, so nothing here waits: the one answer that matters is that of the
 * device, which brings the descriptor.  Where it does not, the device is asked for again and
 * again, alone, and what belongs on it follows when it is there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/gateway.h"

#define NO_DEVICE	UINT16_MAX	/* no index yet */
#define MTU_FLOOR	576		/* below this inner IPv4 makes no sense */
#define MTU_USUAL	1500		/* outer, before anything is known */
#define DEVICE_FIRST	USEC_S(1)	/* a device that could not be opened is tried again ... */
#define DEVICE_MAX	USEC_S(60)	/* ... each time after twice as long, up to this */

/* ---- requests to the host ------------------------------------------------------------- */

static void
ask(struct gw *g, const struct gw_connection *c, struct host_request *q)
{
	if (!hostlink_ask(g->host, q, c->id))
		log_event(LOG_LEVEL_ERROR, "no-memory", "connection=%s what=\"host request\"",
		    c->conf->name);
}

static void
name_device(const struct config_connection *conf, struct host_request *q)
{
	memcpy(q->name, conf->device, sizeof(q->name));
}

static bool
has_prefix(const struct config_connection *conf, const struct prefix *p)
{
	for (size_t i = 0; i < conf->networks_n; i++)
		if (conf->networks[i].len == p->len && ip_equal(&conf->networks[i].ip, &p->ip))
			return true;
	return false;
}

/* Connections may share a network, and its guard: the strongest wish of them counts. */
static enum config_guard
guard_wish(const struct config *config, const struct prefix *p)
{
	enum config_guard wish = GUARD_OFF;

	for (size_t i = 0; i < config->connection_n; i++) {
		const struct config_connection *c = &config->connection[i];

		if (wish != GUARD_ALWAYS && config_guards(c, p) && has_prefix(c, p))
			wish = c->guard;
	}
	return wish;
}

/*
 * The guard of a network of `c`, as the configuration wants it that holds or is about to: it is
 * made, or stays, without a moment in which clear text could pass, or goes.
 */
static void
guard(struct gw *g, const struct gw_connection *c, const struct prefix *p)
{
	enum config_guard wish = guard_wish(g->next != NULL ? g->next : g->config, p);
	struct host_request q = { .op = wish != GUARD_OFF ? HOST_ROUTE_ADD : HOST_ROUTE_DEL,
	    .prefix = *p, .metric = HOST_GUARD_METRIC, .unreachable = true,
	    .keep_guards = wish == GUARD_ALWAYS };

	if (config_guards(c->conf, p))
		ask(g, c, &q);
}

static void
route(struct gw *g, const struct gw_connection *c, const struct prefix *p, bool add)
{
	struct host_request q = { .op = add ? HOST_ROUTE_ADD : HOST_ROUTE_DEL, .prefix = *p,
	    .metric = c->conf->metric };

	name_device(c->conf, &q);
	ask(g, c, &q);
}

static void
link_set(struct gw *g, const struct gw_connection *c)
{
	struct host_request q = { .op = HOST_LINK_SET, .up = true, .mtu = c->mtu };

	name_device(c->conf, &q);
	ask(g, c, &q);
}

static void
loose_filter(struct gw *g, const struct gw_connection *c)
{
	struct host_request q = { .op = HOST_SYSCTL_SET, .sysctl = HOST_SYSCTL_RP_FILTER, .value = 2 };

	name_device(c->conf, &q);
	ask(g, c, &q);
}

static void
address(struct gw *g, const struct gw_connection *c, const struct config_tunnel *t, int family)
{
	struct host_request q = { .op = HOST_ADDR_ADD };

	if (t->inside_local[family].family == AF_UNSPEC)
		return;
	q.prefix.ip = t->inside_local[family];
	q.prefix.len = t->inside_len[family];
	name_device(c->conf, &q);
	ask(g, c, &q);
}

/* Forwarding of the families that the connection carries.  The broker remembers what was and
 * restores it at a clean stop. */
void
connection_forwarding(struct gw *g, const struct gw_connection *c)
{
	bool v6[2] = { false, false };

	if (g->config->host != HOST_MANAGE)
		return;
	for (size_t i = 0; i < c->conf->networks_n; i++)
		v6[c->conf->networks[i].ip.family == AF_INET6] = true;
	for (int k = 0; k < 2; k++) {
		struct host_request q = { .op = HOST_SYSCTL_SET, .value = 1,
		    .sysctl = k == 0 ? HOST_SYSCTL_FORWARD4 : HOST_SYSCTL_FORWARD6 };

		if (v6[k])
			ask(g, c, &q);
	}
}

void
connection_uplink(struct gw *g, struct gw_tunnel *t, const char *device)
{
	struct host_request q = { .op = HOST_SYSCTL_SET, .sysctl = HOST_SYSCTL_RP_FILTER, .value = 2 };

	if (g->config->host != HOST_MANAGE || strcmp(t->uplink, device) == 0)
		return;
	snprintf(t->uplink, sizeof(t->uplink), "%s", device);
	memcpy(q.name, t->uplink, sizeof(q.name));
	ask(g, t->c, &q);
}

static void
device_ask(struct gw *g, struct gw_connection *c)
{
	struct host_request q = { .op = HOST_TUN_OPEN };

	name_device(c->conf, &q);
	c->queues = 0;
	c->sharing = 0;
	share_ask(g, c, &q);
}

/* What belongs on the device. */
static void
device_furnish(struct gw *g, struct gw_connection *c)
{
	loose_filter(g, c);
	link_set(g, c);
	for (unsigned i = 0; i < c->conf->tunnels_n; i++)
		for (int family = 0; family < 2; family++)
			address(g, c, &c->conf->tunnel[i], family);
	for (size_t i = 0; i < c->conf->networks_n; i++)
		route(g, c, &c->conf->networks[i], true);
}

static void
host_up(struct gw *g, struct gw_connection *c)
{
	connection_forwarding(g, c);
	for (size_t i = 0; i < c->conf->networks_n; i++)
		guard(g, c, &c->conf->networks[i]);
	device_ask(g, c);
	device_furnish(g, c);
}

/* Whatever is in the way (another program's device of that name, no module) may go. */
static void
device_failed(struct gw *g, struct gw_connection *c, const char *why)
{
	usec_t wait = DEVICE_FIRST << (c->device_tries < 6 ? c->device_tries : 6);

	if (c->device_at != USEC_NEVER)		/* another of its queues has failed already */
		return;
	wait = usec_min(wait, DEVICE_MAX);
	c->device_tries++;
	c->device_at = usec_add(loop_now(), wait);
	g->device_at = usec_min(g->device_at, c->device_at);
	snprintf(c->device_why, sizeof(c->device_why), "%s", why);
	log_event(LOG_LEVEL_WARN, "device-retry", "connection=%s device=%s attempt=%u wait=%us what=\"%s\"",
	    c->conf->name, c->conf->device, c->device_tries, (unsigned)(wait / USEC_S(1)), why);
}

void
connection_devices(struct gw *g, usec_t now)
{
	g->device_at = USEC_NEVER;
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next) {
		if (now >= c->device_at) {
			c->device_at = USEC_NEVER;
			device_ask(g, c);
		}
		g->device_at = usec_min(g->device_at, c->device_at);
	}
}

static void
device_opened(struct gw *g, struct gw_connection *c, const struct host_answer *a)
{
	bool late = c->device_tries > 0;

	if (!share_opened(g, c, a)) {
		close(a->fd);
		c->device_open = false;
		device_failed(g, c, "no memory");
		return;
	}
	if (a->what.slot > 0)			/* a further queue of it */
		return;
	c->device_tries = 0;
	c->device_why[0] = '\0';
	if (!late)
		return;
	log_event(LOG_LEVEL_NOTICE, "device-open", "connection=%s device=%s", c->conf->name,
	    c->conf->device);
	device_furnish(g, c);
}

static void
device_news(struct gw *g, struct gw_connection *c, const struct nl_link *link, bool gone)
{
	if (gone || strcmp(link->name, c->conf->device) != 0) {
		c->link = GW_LINK_ASKED;
		gw_event(g, "device-gone", c, NULL, "somebody deleted or renamed the device; it is made anew");
		host_up(g, c);
	} else if (!link->up && c->link == GW_LINK_UP) {
		c->link = GW_LINK_DOWN;
		gw_event(g, "device-down", c, NULL, "somebody set the device down; nothing goes through it");
	} else if (link->up && c->link == GW_LINK_DOWN) {
		c->link = GW_LINK_ASKED;
		gw_event(g, "device-up", c, NULL, "the device is up again; its routes are set anew");
		host_up(g, c);
	}
}

/* Of a device that is up: a time when it was down has left no route to the first network. */
static bool
was_down(struct gw *g, const struct gw_connection *c)
{
	const struct ip any = { .family = AF_UNSPEC };
	struct nl_way way;

	return c->conf->networks_n > 0 && (nl_way(g->nl, &c->conf->networks[0].ip, &any, &way) != 0 ||
	    strcmp(way.device, c->conf->device) != 0);
}

/* In place of lost news: how the device is now. */
static void
device_look(struct gw *g, struct gw_connection *c)
{
	struct nl_link link;
	int err = nl_link_get(g->nl, c->conf->device, &link);

	if (err != 0 && err != -ENODEV)
		return;
	if (err == 0 && link.up && c->link == GW_LINK_UP && was_down(g, c))
		c->link = GW_LINK_DOWN;
	device_news(g, c, &link, err != 0 || link.ifindex != c->ifindex);
}

void
connection_link(struct gw *g, const struct nl_link *link, bool gone)
{
	if (g->stopping)
		return;
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next) {
		if (c->link == GW_LINK_ASKED)
			continue;
		if (link == NULL)
			device_look(g, c);
		else if (link->ifindex == c->ifindex)
			device_news(g, c, link, gone);
	}
}

/* The news of its making came before the answer: they are read first, as no doing of others. */
static void
link_is_set(struct gw *g, struct gw_connection *c, unsigned ifindex)
{
	gw_news(g);
	c->ifindex = ifindex;
	if (c->link == GW_LINK_ASKED)
		c->link = GW_LINK_UP;
}

void
connection_answer(struct gw *g, uint32_t cookie, const struct host_answer *a)
{
	struct gw_connection *c;

	for (c = g->connections; c != NULL && c->id != cookie; c = c->next)
		;
	if (a->err != 0 && (a->op != HOST_TUN_OPEN || c == NULL))
		log_event(LOG_LEVEL_ERROR, "host-refused", "connection=%s what=\"%s\"",
		    c != NULL ? c->conf->name : "-", a->text);
	if (c != NULL && a->op == HOST_LINK_SET && a->err == 0)
		link_is_set(g, c, a->ifindex);
	if (a->op != HOST_TUN_OPEN)
		return;
	if (c != NULL && a->fd >= 0)
		device_opened(g, c, a);
	else if (c != NULL)
		device_failed(g, c, a->text);
	else if (a->fd >= 0)			/* taken away in the meantime */
		close(a->fd);
}

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

void
connection_mtu(struct gw *g, struct gw_connection *c)
{
	unsigned least = UINT32_MAX;

	for (unsigned i = 0; i < c->conf->tunnels_n; i++)
		if (tunnel_mtu(&c->t[i]) < least)
			least = tunnel_mtu(&c->t[i]);
	if (least == c->mtu)
		return;
	c->mtu = least;
	link_set(g, c);
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
	c->mtu = tunnel_mtu(&c->t[0]);
	for (unsigned i = 1; i < conf->tunnels_n; i++)
		if (tunnel_mtu(&c->t[i]) < c->mtu)
			c->mtu = tunnel_mtu(&c->t[i]);
	host_up(g, c);
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
connection_device_del(struct gw *g, const struct gw_connection *c)
{
	for (unsigned i = 0; i < workers_n(g->workers); i++)
		if ((c->serves & workers_bit(i)) != 0)
			(void)worker_post(workers_at(g->workers, i), &(struct worker_cmd){
			    .kind = WORKER_DEVICE_DEL, .index = c->device });
}

static void
host_down(struct gw *g, struct gw_connection *c)
{
	struct host_request q = { .op = HOST_TUN_CLOSE };

	name_device(c->conf, &q);
	connection_device_del(g, c);
	ask(g, c, &q);
	for (size_t i = 0; i < c->conf->networks_n; i++)
		guard(g, c, &c->conf->networks[i]);
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
	host_down(g, c);
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	while (*q != NULL && *q != c)
		q = &(*q)->next_touched;
	if (*q == c)
		*q = c->next_touched;
	connection_free(g, c);
}

/* Routes that the new configuration has more are added before those it lacks go. */
static void
routes_change(struct gw *g, struct gw_connection *c, const struct config_connection *from)
{
	bool metric = from->metric != c->conf->metric;
	struct gw_connection old = *c;

	old.conf = from;
	for (size_t i = 0; i < c->conf->networks_n; i++) {
		const struct prefix *p = &c->conf->networks[i];

		if (!has_prefix(from, p) || from->guard != c->conf->guard)
			guard(g, c, p);
		if (!has_prefix(from, p) || metric)
			route(g, c, p, true);
	}
	for (size_t i = 0; i < from->networks_n; i++) {
		const struct prefix *p = &from->networks[i];

		if (!has_prefix(c->conf, p) || metric)
			route(g, &old, p, false);
		if (!has_prefix(c->conf, p) || (c->conf->guard == GUARD_OFF && from->guard != GUARD_OFF))
			guard(g, &old, p);
	}
}

void
connection_change(struct gw *g, struct gw_connection *c, const struct config_connection *conf,
    bool rekey)
{
	const struct config_connection *from = c->conf;

	c->conf = conf;
	for (unsigned i = 0; i < conf->tunnels_n; i++)
		c->t[i].conf = &conf->tunnel[i];
	routes_change(g, c, from);
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
