/* SPDX-License-Identifier: MIT */
/*
 * Control's side of the UDP sockets.  Port 500 is control's.  Port 4500 is a set of sockets a
 * family, control's first and then each worker's; the kernel steers by the first word of what
 * comes (udp_open_shared()), and what it brings to the wrong one goes by way of control: a
 * worker's strays come here, and so do trains that begin with IKE.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "tun/udp.h"

#define STRAYS_A_ROUND	32
#define TRAINS_A_ROUND	4

/* ---- what comes ---------------------------------------------------------------------------- */

static void
ike_datagram(struct gw *g, const struct pkt *p)
{
	gw_ike(g, &(struct ike_fact){ .kind = IKE_DATAGRAM, .local = p->local,
	    .remote = p->remote, .data = pkt_data(p), .len = p->len });
}

static void
ike_read(struct gw *g, unsigned which)
{
	struct batch *b = &g->in;

	batch_reset(b);
	if (udp_recv(g->sock[which], which, g->port, b) <= 0)
		return;
	for (unsigned i = 0; i < b->n; i++)
		ike_datagram(g, &b->pkt[i]);
}

/* ESP that was brought to control: to its worker, as if that had read it. */
static void
hand_on(struct gw *g, unsigned owner, const struct pkt *p)
{
	struct worker_stray s = { .local = p->local, .remote = p->remote, .socket = p->socket,
	    .tos = p->tos, .len = (uint16_t)p->len };

	if (p->len <= sizeof(s.data))
		memcpy(s.data, pkt_data(p), p->len);
	(void)worker_hand(workers_at(g->workers, owner), &s);
}

static void
tell_apart(struct gw *g, const struct pkt *train)
{
	struct pkt one = { .len = 1 };
	int owner;

	for (size_t at = 0; one.len > 0 && (at == 0 || at < train->len); at += one.len) {
		one = pkt_datagram(train, at);
		owner = worker_of(pkt_data(&one), one.len, workers_n(g->workers));
		if (owner == WORKER_CONTROL)
			ike_datagram(g, &one);
		else if (owner != WORKER_NOBODY)
			hand_on(g, (unsigned)owner, &one);
	}
}

static void
natt_read(struct gw *g, unsigned which)
{
	struct batch *b = &g->trains;

	batch_reset(b);
	if (udp_recv(g->sock[which], which, g->natt_port, b) <= 0)
		return;
	for (unsigned i = 0; i < b->n; i++)
		tell_apart(g, &b->pkt[i]);
}

static void
on_ike4(void *arg)
{
	ike_read(arg, SOCK_IKE4);
}

static void
on_ike6(void *arg)
{
	ike_read(arg, SOCK_IKE6);
}

static void
on_natt4(void *arg)
{
	natt_read(arg, SOCK_NATT4);
}

static void
on_natt6(void *arg)
{
	natt_read(arg, SOCK_NATT6);
}

static void
stray(struct gw *g, const struct worker_stray *s)
{
	int owner = worker_of(s->data, s->len, workers_n(g->workers));

	if (owner == WORKER_CONTROL)
		gw_ike(g, &(struct ike_fact){ .kind = IKE_DATAGRAM, .local = s->local,
		    .remote = s->remote, .data = s->data, .len = s->len });
	else if (owner != WORKER_NOBODY)
		(void)worker_hand(workers_at(g->workers, (unsigned)owner), s);
}

/* Each worker in turn, so that one cannot keep the others waiting. */
bool
sockets_strays(struct gw *g)
{
	struct worker_stray s;
	unsigned got = 0, before;

	do {
		before = got;
		for (unsigned i = 0; i < workers_n(g->workers); i++) {
			if (!worker_stray(workers_at(g->workers, i), &s))
				continue;
			stray(g, &s);
			got++;
		}
	} while (got > before && got < STRAYS_A_ROUND);
	return got >= STRAYS_A_ROUND;
}

/* ---- opening ------------------------------------------------------------------------------- */

static void
ask(struct gw *g, unsigned which, unsigned slot)
{
	struct host_request q = { .op = HOST_UDP_OPEN, .slot = slot };
	bool v6 = which == SOCK_IKE6 || which == SOCK_NATT6, natt = which >= SOCK_NATT4;

	q.local.ip.family = v6 ? AF_INET6 : AF_INET;
	q.local.port = natt ? g->natt_port : g->port;
	q.slots = natt ? 1 + workers_n(g->workers) : 0;
	g->sockets_asked++;
	if (!hostlink_ask(g->host, &q, GW_COOKIE_HOST))
		log_event(LOG_LEVEL_ERROR, "no-memory", "what=\"socket request\"");
}

/* The first of each set; those of the workers follow when it is there. */
void
sockets_ask(struct gw *g)
{
	for (unsigned which = 0; which < SOCK_N; which++)
		ask(g, which, 0);
}

static bool
use(struct gw *g, unsigned which, unsigned slot, int fd)
{
	static void (*const on_read[SOCK_N])(void *) = {
		[SOCK_IKE4] = on_ike4, [SOCK_IKE6] = on_ike6,
		[SOCK_NATT4] = on_natt4, [SOCK_NATT6] = on_natt6,
	};
	struct worker_cmd cmd = { .kind = WORKER_SOCKET, .index = which, .fd = fd,
	    .port = g->natt_port };

	if (slot > 0) {
		g->worker[slot - 1].sock[which == SOCK_NATT6] = fd;
		return worker_post(workers_at(g->workers, slot - 1), &cmd);
	}
	g->sock[which] = fd;
	if (which >= SOCK_NATT4)	/* the kernel asks any socket of the set whether it merges */
		(void)udp_gro(fd, true);
	for (unsigned i = 1; which >= SOCK_NATT4 && i <= workers_n(g->workers); i++)
		ask(g, which, i);
	g->on_ike[which] = loop_on_read(g->loop, fd, LOOP_LATER, on_read[which], g);
	return g->on_ike[which] != NULL;
}

bool
sockets_opened(struct gw *g, const struct host_answer *a)
{
	bool v6 = a->what.local.ip.family == AF_INET6;
	bool natt = a->what.local.port == g->natt_port;
	unsigned which = natt ? (v6 ? SOCK_NATT6 : SOCK_NATT4) : (v6 ? SOCK_IKE6 : SOCK_IKE4);

	g->sockets_asked--;
	/* A host may be without one of the families. */
	if (a->err == -EAFNOSUPPORT ||
	    (a->err == 0 && a->what.slot <= workers_n(g->workers) &&
	    use(g, which, a->what.slot, a->fd)))
		return true;
	log_event(LOG_LEVEL_ERROR, "socket-failed", "port=%u family=%s error=\"%s\" "
	    "hint=\"another IKE daemon? see: ss -ulpn sport = :%u\"",
	    a->what.local.port, v6 ? "ipv6" : "ipv4", a->text, a->what.local.port);
	return false;
}

bool
sockets_init(struct gw *g)
{
	for (unsigned i = 0; i < SOCK_N; i++)
		g->sock[i] = -1;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		g->worker[i].sock[0] = g->worker[i].sock[1] = -1;
	return batch_init(&g->in, STRAYS_A_ROUND,
	    PKT_HEADROOM + WORKER_STRAY_MAX + PKT_TAILROOM) &&
	    batch_init(&g->trains, TRAINS_A_ROUND, PKT_BUF);
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
sockets_fini(struct gw *g)
{
	for (unsigned i = 0; i < SOCK_N; i++)
		close_fd(g->sock[i]);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		close_fd(g->worker[i].sock[0]);
		close_fd(g->worker[i].sock[1]);
	}
	batch_fini(&g->in);
	batch_fini(&g->trains);
}
