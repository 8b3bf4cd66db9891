/* SPDX-License-Identifier: MIT */
/*
 * What a connection has on the host: guard routes first, then a device with the inside addresses
 * of its tunnels, its MTU, the routes to the remote networks.  All requests go to the broker in
 * that order and it carries them out in order, so nothing here waits: the one answer that matters
 * is that of the device, which brings the descriptor.  Where it does not, the device is asked for
 * again and again, alone, and what belongs on it follows when it is there.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/gateway.h"

#define RETRY_FIRST	USEC_S(1)	/* a device that could not be opened is tried again ... */
#define RETRY_MAX	USEC_S(60)	/* ... each time after twice as long, up to this */

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
		if (prefix_equal(&conf->networks[i], p))
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

void
device_set(struct gw *g, const struct gw_connection *c)
{
	struct host_request q = { .op = HOST_LINK_SET, .up = true, .mtu = c->mtu };

	name_device(c->conf, &q);
	ask(g, c, &q);
}

static void
loose_filter(struct gw *g, const struct gw_connection *c, const char device[IFNAMSIZ])
{
	struct host_request q = { .op = HOST_SYSCTL_SET, .sysctl = HOST_SYSCTL_RP_FILTER, .value = 2 };

	memcpy(q.name, device, sizeof(q.name));
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
device_forwarding(struct gw *g, const struct gw_connection *c)
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
device_uplink(struct gw *g, struct gw_tunnel *t, const char *device)
{
	if (g->config->host != HOST_MANAGE || strcmp(t->uplink, device) == 0)
		return;
	snprintf(t->uplink, sizeof(t->uplink), "%s", device);
	loose_filter(g, t->c, t->uplink);
}

static void
open_it(struct gw *g, struct gw_connection *c)
{
	struct host_request q = { .op = HOST_TUN_OPEN };

	name_device(c->conf, &q);
	c->queues = 0;
	c->sharing = 0;
	share_ask(g, c, &q);
}

/* What belongs on the device. */
static void
furnish(struct gw *g, struct gw_connection *c)
{
	loose_filter(g, c, c->conf->device);
	device_set(g, c);
	for (unsigned i = 0; i < c->conf->tunnels_n; i++)
		for (int family = 0; family < 2; family++)
			address(g, c, &c->conf->tunnel[i], family);
	for (size_t i = 0; i < c->conf->networks_n; i++)
		route(g, c, &c->conf->networks[i], true);
}

void
device_up(struct gw *g, struct gw_connection *c)
{
	device_forwarding(g, c);
	for (size_t i = 0; i < c->conf->networks_n; i++)
		guard(g, c, &c->conf->networks[i]);
	open_it(g, c);
	furnish(g, c);
}

void
device_down(struct gw *g, struct gw_connection *c)
{
	struct host_request q = { .op = HOST_TUN_CLOSE };

	name_device(c->conf, &q);
	share_close(g, c);
	ask(g, c, &q);
	for (size_t i = 0; i < c->conf->networks_n; i++)
		guard(g, c, &c->conf->networks[i]);
}

/* Routes that the new configuration has more are added before those it lacks go. */
void
device_routes(struct gw *g, struct gw_connection *c, const struct config_connection *from)
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

/* Whatever is in the way (another program's device of that name, no module) may go. */
static void
failed(struct gw *g, struct gw_connection *c, const char *why)
{
	usec_t wait = RETRY_FIRST << (c->device_tries < 6 ? c->device_tries : 6);

	if (c->device_at != USEC_NEVER)		/* another of its queues has failed already */
		return;
	wait = usec_min(wait, RETRY_MAX);
	c->device_tries++;
	c->device_at = usec_add(loop_now(), wait);
	g->device_at = usec_min(g->device_at, c->device_at);
	snprintf(c->device_why, sizeof(c->device_why), "%s", why);
	log_event(LOG_LEVEL_WARN, "device-retry", "connection=%s device=%s attempt=%u wait=%us what=\"%s\"",
	    c->conf->name, c->conf->device, c->device_tries, (unsigned)(wait / USEC_S(1)), why);
}

void
device_retry(struct gw *g, usec_t now)
{
	g->device_at = USEC_NEVER;
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next) {
		if (now >= c->device_at) {
			c->device_at = USEC_NEVER;
			open_it(g, c);
		}
		g->device_at = usec_min(g->device_at, c->device_at);
	}
}

static void
opened(struct gw *g, struct gw_connection *c, const struct host_answer *a)
{
	bool late = c->device_tries > 0;

	if (!share_opened(g, c, a)) {
		close(a->fd);
		c->device_open = false;
		failed(g, c, "no memory");
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
	furnish(g, c);
}

static void
changed(struct gw *g, struct gw_connection *c, const struct nl_link *link, bool gone)
{
	if (gone || strcmp(link->name, c->conf->device) != 0) {
		c->link = GW_LINK_ASKED;
		gw_event(g, "device-gone", c, NULL, "somebody deleted or renamed the device; it is made anew");
		device_up(g, c);
	} else if (!link->up && c->link == GW_LINK_UP) {
		c->link = GW_LINK_DOWN;
		gw_event(g, "device-down", c, NULL, "somebody set the device down; nothing goes through it");
	} else if (link->up && c->link == GW_LINK_DOWN) {
		c->link = GW_LINK_ASKED;
		gw_event(g, "device-up", c, NULL, "the device is up again; its routes are set anew");
		device_up(g, c);
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
look(struct gw *g, struct gw_connection *c)
{
	struct nl_link link;
	int err = nl_link_get(g->nl, c->conf->device, &link);

	if (err != 0 && err != -ENODEV)
		return;
	if (err == 0 && link.up && c->link == GW_LINK_UP && was_down(g, c))
		c->link = GW_LINK_DOWN;
	changed(g, c, &link, err != 0 || link.ifindex != c->ifindex);
}

void
device_news(struct gw *g, const struct nl_link *link, bool gone)
{
	if (g->stopping)
		return;
	for (struct gw_connection *c = g->connections; c != NULL; c = c->next) {
		if (c->link == GW_LINK_ASKED)
			continue;
		if (link == NULL)
			look(g, c);
		else if (link->ifindex == c->ifindex)
			changed(g, c, link, gone);
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
device_answer(struct gw *g, uint32_t cookie, const struct host_answer *a)
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
		opened(g, c, a);
	else if (c != NULL)
		failed(g, c, a->text);
	else if (a->fd >= 0)			/* taken away in the meantime */
		close(a->fd);
}
