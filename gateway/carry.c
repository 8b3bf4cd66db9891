/* SPDX-License-Identifier: MIT */
/* Carries each action of the IKE machine and of the monitor to where it belongs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "tun/udp.h"

#define ETHERNET	1500		/* an MTU by which suites are compared */

/* ---- actions of IKE --------------------------------------------------------------------- */

static void
ike_send(struct gw *g, const struct ike_action *a)
{
	bool v6 = a->remote.ip.family == AF_INET6;
	bool natt = a->local.port == g->natt_port;
	int fd = g->sock[natt ? (v6 ? SOCK_NATT6 : SOCK_NATT4) : (v6 ? SOCK_IKE6 : SOCK_IKE4)];
	char to[ENDPOINT_STRLEN];
	int err;

	if (fd < 0)
		return;
	err = udp_send_one(fd, &a->local, &a->remote, a->data, a->len);
	if (err != 0)
		log_event(LOG_LEVEL_DEBUG, "ike-send", "to=%s error=\"%s\"",
		    endpoint_str(&a->remote, to), strerror(-err));
}

/* Nobody at control has it any more: the last worker that has it may give it back to be freed. */
static void
forget(struct gw *g, struct esp_sa *sa)
{
	if (sa == NULL)
		return;
	(void)map_del(g->lent, (uintptr_t)sa);
	if (!esp_sa_is_lent(sa))
		esp_sa_free(g->secrets, sa);
}

static void
sa_drop(struct gw *g, uint32_t spi_in)
{
	struct gw_sa *sa = map_del(g->sas, spi_in);
	struct esp_cmd cmd = { .kind = ESP_CMD_SA_DROP, .spi = spi_in };
	struct gw_tunnel *t;

	if (sa == NULL)
		return;
	t = gw_tunnel_find(g, sa->tunnel);
	for (unsigned k = 0; t != NULL && k < WORKERS_MAX; k++)
		if (t->spi_in[k] == spi_in)
			t->spi_in[k] = 0;
	cmd.tunnel = sa->tunnel;
	cmd.peer_spi = sa->spi_out;
	forget(g, sa->out);
	forget(g, sa->in);
	free(sa);
	gw_esp(g, t != NULL ? t->c : NULL, &cmd);
}

/* False: no memory, or the suite is unknown; what there is of it is the caller's to free. */
static bool
sa_make(struct gw *g, const struct child_sa *child, struct gw_sa *sa)
{
	*sa = (struct gw_sa){ .tunnel = child->tunnel, .spi_in = child->spi_in,
	    .spi_out = child->spi_out, .resource = child->resource, .local = child->local,
	    .remote = child->remote, .aead = child->aead,
	    .out = esp_sa_out_new(g->secrets, g->aeads, child, 0),
	    .in = esp_sa_in_new(g->secrets, g->aeads, child) };
	return sa->out != NULL && sa->in != NULL && map_put(g->lent, (uintptr_t)sa->out, sa) &&
	    map_put(g->lent, (uintptr_t)sa->in, sa) && map_put(g->sas, sa->spi_in, sa);
}

static void
sa_in(struct gw *g, struct child_sa *child)
{
	struct gw_sa *sa = calloc(1, sizeof(*sa));
	struct esp_cmd cmd = { .kind = ESP_CMD_SA_IN, .tunnel = child->tunnel };
	bool made;

	sa_drop(g, child->spi_in);	/* the same SPI twice: the newer is meant */
	made = sa != NULL && sa_make(g, child, sa);
	secret_free(g->secrets, child);
	if (made) {
		cmd.sa = sa->in;
		gw_esp(g, NULL, &cmd);
		return;
	}
	log_event(LOG_LEVEL_ERROR, "no-memory", "what=\"Child SA not installed\"");
	if (sa != NULL) {
		forget(g, sa->out);
		forget(g, sa->in);
	}
	free(sa);
}

static void
endpoint_set(struct gw *g, struct gw_tunnel *t, const struct endpoint *local,
    const struct endpoint *remote)
{
	struct esp_cmd cmd = { .kind = ESP_CMD_ENDPOINT, .tunnel = t->id, .local = *local,
	    .remote = *remote,
	    .socket = remote->ip.family == AF_INET6 ? SOCK_NATT6 : SOCK_NATT4 };

	t->local = *local;
	t->remote = *remote;
	gw_esp(g, t->c, &cmd);
}

/* While they are rekeyed into another suite one after the other: the one that leaves least room. */
static enum aead_id
tightest(const struct gw *g, const struct gw_tunnel *t)
{
	enum aead_id aead = AEAD_NONE;

	for (unsigned k = 0; k < share_n(t->c); k++) {
		const struct gw_sa *sa = map_get(g->sas, t->spi_in[k]);

		if (sa != NULL && (aead == AEAD_NONE ||
		    esp_inside_mtu(sa->aead, ETHERNET, AF_INET) <
		    esp_inside_mtu(aead, ETHERNET, AF_INET)))
			aead = sa->aead;
	}
	return aead;
}

/*
 * Let the workers of these resources send by it.  IKE may return to a Child SA that it had left: of
 * two IKE SAs of both ends at once, or of two rekeys, the one that was used last need not be the
 * one that stays.  A worker may have it still, or on its way back: that it is lent once more is
 * counted, and its counter goes on.
 */
static void
lend(struct gw *g, struct gw_tunnel *t, const struct gw_sa *sa, uint64_t resources)
{
	struct esp_cmd cmd = { .kind = ESP_CMD_SA_OUT, .tunnel = t->id, .sa = sa->out };
	enum aead_id aead = tightest(g, t);

	gw_esp_to(g, share_set(g, t->c, resources), &cmd);
	if (t->aead == aead)
		return;
	t->aead = aead;
	connection_mtu(g, t->c);
	connection_path(g, t->c);
}

static void
sa_out(struct gw *g, const struct ike_action *a)
{
	struct gw_sa *sa = map_get(g->sas, a->spi_in);
	struct gw_tunnel *t = sa != NULL ? gw_tunnel_find(g, sa->tunnel) : NULL;
	uint64_t news = 0;

	if (t == NULL || sa->out == NULL)
		return;
	for (unsigned k = 0; k < share_n(t->c); k++) {
		if ((a->resources >> k & 1) == 0 || t->spi_in[k] == a->spi_in)
			continue;
		t->spi_in[k] = a->spi_in;
		news |= UINT64_C(1) << k;
	}
	if (news == 0)
		return;
	if (!sa->used)
		endpoint_set(g, t, &sa->local, &sa->remote);
	sa->used = true;
	lend(g, t, sa, news);
	share_look(g, t->c);
}

/* A Child SA that is not sent by yet was negotiated with the former place. */
static void
endpoint_moved(struct gw *g, struct gw_tunnel *t, const struct ike_action *a)
{
	size_t pos = 0;
	void *v;

	while (map_each(g->sas, &pos, NULL, &v)) {
		struct gw_sa *sa = v;

		if (sa->tunnel == t->id && !sa->used) {
			sa->local = a->local;
			sa->remote = a->remote;
		}
	}
	endpoint_set(g, t, &a->local, &a->remote);
}

/* No worker has it any more, or could be given it. */
static void
sa_end(struct gw *g, struct esp_sa *end)
{
	struct gw_sa *sa = map_del(g->lent, (uintptr_t)end);

	if (sa != NULL && sa->in == end)
		sa->in = NULL;
	else if (sa != NULL)
		sa->out = NULL;
	esp_sa_free(g->secrets, end);
}

void
gw_sa_lost(struct gw *g, struct esp_sa *lost)
{
	if (esp_sa_return(lost))
		sa_end(g, lost);
}

void
gw_sa_back(struct gw *g, struct esp_sa *back)
{
	struct gw_sa *sa = map_get(g->lent, (uintptr_t)back);

	if (!esp_sa_return(back))
		return;			/* another worker has it still */
	/* An outbound one is kept: IKE may return to it. */
	if (sa == NULL || sa->in == back || gw_tunnel_find(g, sa->tunnel) == NULL)
		sa_end(g, back);
}

static void
tunnel_updown(struct gw *g, const struct ike_action *a, usec_t now)
{
	struct gw_tunnel *t = gw_tunnel_find(g, a->tunnel);
	struct mon_fact f = { .kind = a->kind == IKE_UP ? MON_UP : MON_DOWN, .tunnel = a->tunnel };

	if (t == NULL)
		return;
	t->up = a->kind == IKE_UP;
	t->since = now;
	snprintf(t->reason, sizeof(t->reason), "%s", t->up ? "" : a->reason);
	share_look(g, t->c);
	gw_event(g, t->up ? "tunnel-up" : "tunnel-down", t->c, t,
	    t->up ? "IKE SA and Child SA established" : t->reason);
	gw_monitor(g, &f);
}

static void
ike_told(struct gw *g, const struct ike_action *a)
{
	struct gw_tunnel *t = gw_tunnel_find(g, a->tunnel);

	if (t != NULL)
		gw_monitor(g, &(struct mon_fact){ .kind = MON_TOLD, .connection = t->c->id,
		    .tunnel = t->id, .index = a->index });
}

static void
ike_act(struct gw *g, const struct ike_action *a, usec_t now)
{
	struct gw_tunnel *t;

	switch (a->kind) {
	case IKE_SEND:
		ike_send(g, a);
		return;
	case IKE_SA_IN:
		sa_in(g, a->child);
		return;
	case IKE_SA_OUT:
		sa_out(g, a);
		return;
	case IKE_SA_DROP:
		sa_drop(g, a->spi_in);
		return;
	case IKE_UP:
	case IKE_DOWN:
		tunnel_updown(g, a, now);
		return;
	case IKE_ALIVE:
		gw_monitor(g, &(struct mon_fact){ .kind = MON_ALIVE, .tunnel = a->tunnel });
		return;
	case IKE_TOLD:
		ike_told(g, a);
		return;
	case IKE_WORK:
		if (!jobs_put(g->jobs, a->job)) {	/* no memory for the queue: do it here */
			ike_job_run(a->job);
			gw_ike(g, &(struct ike_fact){ .kind = IKE_WORK_DONE, .job = a->job });
		}
		return;
	case IKE_ENDPOINT:
		if ((t = gw_tunnel_find(g, a->tunnel)) != NULL)
			endpoint_moved(g, t, a);
		return;
	}
}

/* ---- actions of the monitor ---------------------------------------------------------------- */

static void
mon_probe(struct gw *g, const struct mon_action *a)
{
	struct gw_tunnel *t = gw_tunnel_find(g, a->tunnel);
	struct esp_cmd cmd = { .kind = ESP_CMD_PROBE, .tunnel = a->tunnel };

	if (t == NULL)
		return;
	cmd.probe.tunnel = t->id;
	cmd.probe.token = a->token;
	cmd.probe.to = t->conf->probe;
	cmd.probe.from = t->conf->inside_local[t->conf->probe.family == AF_INET6];
	gw_esp(g, t->c, &cmd);
}

static void
mon_select(struct gw *g, const struct mon_action *a)
{
	struct gw_connection *c = gw_connection_by_id(g, a->connection);
	char text[192];
	int n;

	if (c == NULL)
		return;
	memcpy(c->bucket, a->bucket, sizeof(c->bucket));
	snprintf(c->why, sizeof(c->why), "%s", a->reason);
	connection_path(g, c);
	n = snprintf(text, sizeof(text), "traffic goes by");
	for (unsigned i = 0; i < c->conf->tunnels_n; i++)
		if (connection_carries(c, i))
			n += snprintf(text + n, sizeof(text) - (size_t)n, " tunnel %u", i + 1);
	if (c->bucket[0] == MON_NONE)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " no tunnel");
	snprintf(text + n, sizeof(text) - (size_t)n, ": %s", a->reason);
	gw_event(g, "select", c, NULL, text);
}

static void
mon_verdict(struct gw *g, const struct mon_action *a)
{
	struct gw_tunnel *t = gw_tunnel_find(g, a->tunnel);
	char text[160];

	if (t == NULL || a->verdict == MON_V_DOWN)	/* DOWN was told with IKE's reason */
		return;
	snprintf(text, sizeof(text), "%s: %s", mon_verdict_name(a->verdict), a->reason);
	gw_event(g, "verdict", t->c, t, text);
}

static void
mon_act(struct gw *g, const struct mon_action *a)
{
	switch (a->kind) {
	case MON_PROBE:
		mon_probe(g, a);
		return;
	case MON_ASK:
		gw_ike(g, &(struct ike_fact){ .kind = IKE_ASK, .tunnel = a->tunnel });
		return;
	case MON_SELECT:
		mon_select(g, a);
		return;
	case MON_TELL:
		gw_ike(g, &(struct ike_fact){ .kind = IKE_TELL, .tunnel = a->tunnel,
		    .index = (uint8_t)a->index });
		return;
	case MON_VERDICT:
		mon_verdict(g, a);
		return;
	case MON_CLOSE:
		gw_ike(g, &(struct ike_fact){ .kind = IKE_CLOSE, .tunnel = a->tunnel });
		gw_ike(g, &(struct ike_fact){ .kind = IKE_OPEN, .tunnel = a->tunnel });
		return;
	}
}

void
gw_drain(struct gw *g, usec_t now)
{
	struct ike_action ia;
	struct mon_action ma;
	bool more;

	do {
		more = false;
		while (ike_next(g->ike, &ia)) {
			ike_act(g, &ia, now);
			more = true;
		}
		while (monitor_next(g->monitor, &ma)) {
			gw_touch(g, ma.connection, ma.tunnel);
			mon_act(g, &ma);
			more = true;
		}
	} while (more);
}
