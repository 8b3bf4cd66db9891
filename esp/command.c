/* SPDX-License-Identifier: MIT */
/*
 * What control says to a worker.  Everything here may allocate, packets may not; and nothing
 * is taken in that could not be given back: the event's room is reserved first.
 */
#include <assert.h>
#include <stdlib.h>

#include "esp/engine.h"

static void
sa_back(struct esp *e, struct esp_sa *sa, uint32_t tunnel)
{
	struct esp_event ev = { .kind = ESP_EV_SA_BACK, .tunnel = tunnel, .spi = sa->spi,
		.sa = sa };

	events_back(&e->events, &ev);
}

static void
linger_remove(struct esp *e, struct esp_sa *sa)
{
	struct esp_sa **at = &e->linger;

	while (*at != sa)
		at = &(*at)->linger_next;
	*at = sa->linger_next;
	if (e->linger_end == &sa->linger_next)
		e->linger_end = at;
	sa->lingers = false;
}

/* Give back an inbound SA; the map's entry is the caller's to remove. */
static void
in_back(struct esp *e, struct esp_sa *sa)
{
	struct esp_tunnel *t = sa->owner;
	uint64_t gaps = replay_unseen(&sa->replay);

	stat_add(&sa->gaps, gaps);		/* nothing comes by it any more */
	stat_add(&t->gaps, gaps);
	if (sa->lingers)
		linger_remove(e, sa);
	sa->owner = NULL;
	sa_back(e, sa, sa->tunnel);
	tunnels_unref(&e->tunnels, t, 1);
}

static void
out_back(struct esp *e, struct esp_tunnel *t)
{
	struct esp_sa *sa = t->out;

	if (sa == NULL)
		return;
	t->out = NULL;
	sa_back(e, sa, sa->tunnel);
	tunnels_unref(&e->tunnels, t, 1);
}

static bool
on_sa_in(struct esp *e, struct esp_sa *sa)
{
	struct esp_tunnel *t = tunnels_get(&e->tunnels, sa->tunnel);
	struct esp_sa *old = map_get(e->sa_in, sa->spi);

	if (t == NULL || !events_reserve(&e->events))
		return false;
	if (!map_put(e->sa_in, sa->spi, sa)) {
		events_unreserve(&e->events);
		return false;
	}
	sa->owner = t;
	t->refs++;
	if (old != NULL)			/* the same SPI twice: the newer is meant */
		in_back(e, old);
	return true;
}

static bool
on_sa_out(struct esp *e, struct esp_sa *sa)
{
	struct esp_tunnel *t = tunnels_get(&e->tunnels, sa->tunnel);

	if (t == NULL || !events_reserve(&e->events))
		return false;
	t->refs++;
	out_back(e, t);
	t->out = sa;
	return true;
}

static void
on_sa_drop(struct esp *e, usec_t now, const struct esp_cmd *cmd)
{
	struct esp_sa *in = map_get(e->sa_in, cmd->spi);
	struct esp_tunnel *t = in != NULL ? in->owner : tunnels_find(&e->tunnels, cmd->tunnel);

	if (t != NULL && t->out != NULL && t->out->spi == cmd->peer_spi)
		out_back(e, t);
	if (in == NULL || in->lingers)
		return;
	in->lingers = true;
	in->linger_at = usec_add(now, ENGINE_LINGER);
	in->linger_next = NULL;
	*e->linger_end = in;
	e->linger_end = &in->linger_next;
}

static void
path_unlink(struct esp *e, struct path_dev *d)
{
	struct esp_event ev = { .kind = ESP_EV_PATH_BACK, .path = d->path };

	for (unsigned i = 0; i < d->n; i++) {
		if (d->t[i]->dev == d) {
			d->t[i]->dev = NULL;
			d->t[i]->slot = NULL;
		}
		tunnels_unref(&e->tunnels, d->t[i], 1);
	}
	events_back(&e->events, &ev);
}

static void
path_link(struct path_dev *d)
{
	for (unsigned i = 0; i < d->n; i++) {
		const struct esp_path_tunnel *slot = &d->path->t[i];

		d->t[i]->dev = d;
		d->t[i]->slot = slot;
		if (slot->mtu != 0 && (d->mtu_min == 0 || slot->mtu < d->mtu_min))
			d->mtu_min = slot->mtu;
	}
}

static struct path_dev *
dev_get(struct esp *e, uint16_t device)
{
	struct path_dev *d = map_get(e->devs, device);

	if (d != NULL)
		return d;
	d = calloc(1, sizeof(*d));
	if (d != NULL && !map_put(e->devs, device, d)) {
		free(d);
		d = NULL;
	}
	return d;
}

static bool
on_path_set(struct esp *e, struct esp_path *path)
{
	struct path_dev was, is = { .path = path, .n = path->n }, *d = dev_get(e, path->device);

	assert(path->n <= ESP_PATH_TUNNELS);
	if (d == NULL)
		return false;
	for (unsigned i = 0; i < is.n; i++) {
		is.t[i] = tunnels_get(&e->tunnels, path->t[i].tunnel);
		if (is.t[i] == NULL)
			return false;
	}
	if (!events_reserve(&e->events))
		return false;
	for (unsigned i = 0; i < is.n; i++)
		is.t[i]->refs++;
	was = *d;
	/* unlinked through d, by which the tunnels know it; then linked anew */
	if (was.path != NULL)
		path_unlink(e, d);
	*d = is;
	path_link(d);
	return true;
}

static void
on_path_del(struct esp *e, uint16_t device)
{
	struct path_dev *d = map_del(e->devs, device);

	if (d == NULL)
		return;
	if (d->path != NULL)
		path_unlink(e, d);
	free(d);
}

static bool
on_endpoint(struct esp *e, const struct esp_cmd *cmd)
{
	struct esp_tunnel *t = tunnels_get(&e->tunnels, cmd->tunnel);

	if (t == NULL)
		return false;
	t->local = cmd->local;
	t->remote = cmd->remote;
	t->socket = cmd->socket;
	t->moved_at = 0;
	return true;
}

static void
on_probe(struct esp *e, const struct esp_probe *probe)
{
	if (e->asked_n == ENGINE_ASKED_MAX) {
		stat_add(&e->out_made, 1);
		engine_drop(e, tunnels_find(&e->tunnels, probe->tunnel), DROP_OUT_NO_BUFFER);
		return;
	}
	e->asked[(e->asked_head + e->asked_n++) % ENGINE_ASKED_MAX] = *probe;
}

static void
on_tunnel_del(struct esp *e, uint32_t id)
{
	struct esp_tunnel *t = tunnels_find(&e->tunnels, id);
	size_t pos = 0;
	uint64_t spi;
	void *value;

	if (t == NULL)
		return;
	while (map_each(e->sa_in, &pos, &spi, &value)) {
		if (((struct esp_sa *)value)->owner == t) {
			(void)map_del(e->sa_in, spi);
			in_back(e, value);
		}
	}
	out_back(e, t);
	t->local = t->remote = (struct endpoint){ .port = 0 };
	t->gone = true;
	tunnels_unref(&e->tunnels, t, 0);
}

static void
on_stop(struct esp *e)
{
	struct esp_tunnel *t;
	size_t pos = 0;
	uint64_t key;
	void *value;

	while (map_each(e->devs, &pos, &key, &value))
		on_path_del(e, (uint16_t)key);
	for (unsigned i = 0; i < TUNNEL_CHAINS; i++)
		while ((t = atomic_load(&e->tunnels.chain[i])) != NULL)
			on_tunnel_del(e, atomic_load(&t->id));
	e->asked_n = 0;
}

bool
esp_command(struct esp *e, usec_t now, const struct esp_cmd *cmd)
{
	e->now = now;
	switch (cmd->kind) {
	case ESP_CMD_SA_IN:
		return on_sa_in(e, cmd->sa);
	case ESP_CMD_SA_OUT:
		return on_sa_out(e, cmd->sa);
	case ESP_CMD_SA_DROP:
		on_sa_drop(e, now, cmd);
		break;
	case ESP_CMD_PATH_SET:
		return on_path_set(e, cmd->path);
	case ESP_CMD_PATH_DEL:
		on_path_del(e, cmd->device);
		break;
	case ESP_CMD_ENDPOINT:
		return on_endpoint(e, cmd);
	case ESP_CMD_PROBE:
		on_probe(e, &cmd->probe);
		break;
	case ESP_CMD_TUNNEL_DEL:
		on_tunnel_del(e, cmd->tunnel);
		break;
	case ESP_CMD_STOP:
		on_stop(e);
		break;
	}
	return true;
}

bool
esp_event(struct esp *e, struct esp_event *ev)
{
	return events_next(&e->events, ev);
}

void
esp_tick(struct esp *e, usec_t now)
{
	struct esp_sa *sa;

	e->now = now;
	while ((sa = e->linger) != NULL && sa->linger_at <= now) {
		(void)map_del(e->sa_in, sa->spi);
		in_back(e, sa);
	}
}

usec_t
esp_deadline(const struct esp *e)
{
	return e->linger != NULL ? e->linger->linger_at : USEC_NEVER;
}

struct esp *
esp_new(const struct aead_set *aeads, const uint8_t probe_key[PROBE_KEY])
{
	struct esp *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->linger_end = &e->linger;
	tunnels_init(&e->tunnels);
	probe_init(&e->probe, probe_key);
	/* The keys of both maps are ours (SPIs we chose, device numbers): any salt does. */
	e->sa_in = map_new(e->probe.ident);
	e->devs = map_new(e->probe.ident);
	e->scratch = aead_scratch_new(aeads);
	e->out.mem = calloc(1, ENGINE_OUT);
	e->inb.mem = calloc(1, ENGINE_IN);
	if (e->sa_in == NULL || e->devs == NULL || e->scratch == NULL ||
	    e->out.mem == NULL || e->inb.mem == NULL ||
	    !events_init(&e->events, &e->events_lost) ||
	    !batch_init(&e->own, ENGINE_OWN_N, PKT_HEADROOM + ENGINE_OWN_LEN + PKT_TAILROOM)) {
		esp_free(e);
		return NULL;
	}
	return e;
}

void
esp_free(struct esp *e)
{
	if (e == NULL)
		return;
	assert(e->events.held == 0 && e->events.backs == 0);
	tunnels_fini(&e->tunnels);
	map_free(e->sa_in);
	map_free(e->devs);
	aead_scratch_free(e->scratch);
	events_fini(&e->events);
	batch_fini(&e->own);
	free(e->out.mem);
	free(e->inb.mem);
	secret_wipe(&e->probe, sizeof(e->probe));
	free(e);
}
