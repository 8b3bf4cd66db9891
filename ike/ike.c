/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ike/fsm.h"
#include "ike/init.h"
#include "ike/sa.h"
#include "ike/send.h"
#include "ike/tunnel.h"

/*
 * The public face: facts in, actions out.  Every call ends with ike_sa_settle(), so an IKE SA
 * that ended in it is gone when the call returns, and not before.
 */
#define MARKER_LEN	4

/* ---- birth and end ---- */

static bool
make_maps(struct ike *ike)
{
	struct map **maps[] = {
		&ike->tunnels, &ike->by_remote, &ike->sas, &ike->openings, &ike->sources,
		&ike->children,
	};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		*maps[i] = map_new(rng_u64(&ike->env.rng));
		if (*maps[i] == NULL)
			return false;
	}
	return true;
}

struct ike *
ike_new(const struct ike_env *env)
{
	struct ike *ike = calloc(1, sizeof(*ike));

	if (ike == NULL)
		return NULL;
	ike->env = *env;
	heap_init(&ike->sa_timers);
	heap_init(&ike->tunnel_timers);
	ike->scratch = aead_scratch_new(env->aeads);
	ike->buf = malloc(MSG_LEN_MAX);
	ike->plain = malloc(MSG_LEN_MAX);
	if (ike->scratch != NULL && ike->buf != NULL && ike->plain != NULL && make_maps(ike))
		return ike;
	ike_free(ike);
	return NULL;
}

static void
free_sas(struct ike *ike)
{
	size_t pos = 0;
	uint64_t key;
	void *sa;

	while (map_each(ike->sas, &pos, &key, &sa)) {
		ike_sa_free(sa);
		pos = 0;		/* it may have taken another with it */
	}
}

static void
free_tunnels(struct ike *ike)
{
	size_t pos = 0;
	uint64_t key;
	void *t;

	while (map_each(ike->tunnels, &pos, &key, &t))
		tunnel_free(t);
}

void
ike_free(struct ike *ike)
{
	struct ike_action a;

	if (ike == NULL)
		return;
	while (queue_pop(&ike->queue, &a))	/* what the host did not take is still ours */
		if (a.kind == IKE_SA_IN)
			secret_free(ike->env.secrets, a.child);
	if (ike->sas != NULL)
		free_sas(ike);
	if (ike->tunnels != NULL)
		free_tunnels(ike);
	while (ike->jobs != NULL)
		job_free(ike->jobs);
	queue_fini(&ike->queue);
	heap_fini(&ike->sa_timers);
	heap_fini(&ike->tunnel_timers);
	map_free(ike->tunnels);
	map_free(ike->by_remote);
	map_free(ike->sas);
	map_free(ike->openings);
	map_free(ike->sources);
	map_free(ike->children);
	aead_scratch_free(ike->scratch);
	secret_wipe(&ike->cookie, sizeof(ike->cookie));
	free(ike->buf);
	free(ike->plain);
	free(ike);
}

/* ---- facts ---- */

/*
 * Of an IKE SA that is not ours: a peer's, from before we started anew, or nobody's.  A request
 * is answered that it is unknown (1.5, 2.21.4), which gives an honest peer a reason to ask; only
 * where a peer of ours could be, never at greater length, so many a second, and never an answer.
 */
static void
on_unknown(struct ike *ike, const struct ike_hdr *h, size_t len)
{
	ike->totals.dropped++;
	if ((h->flags & IKE_F_RESPONSE) != 0 || h->spi_i == 0 || h->spi_r == 0 ||
	    h->exchange < X_IKE_AUTH || h->exchange > X_INFORMATIONAL ||
	    tunnel_candidate(ike, &ike->local, &ike->remote, NULL) == NULL)
		return;
	init_refuse(ike, h, len, N_INVALID_IKE_SPI, 0);
}

static void
route(struct ike *ike, const uint8_t *data, size_t len)
{
	enum msg_verdict v;
	struct ike_hdr h;
	struct ike_sa *sa;
	bool from_initiator;

	v = msg_parse_header(data, len, &h);
	if (v != MSG_OK) {
		ike->totals.dropped++;
		if (v == MSG_VERSION && (h.flags & IKE_F_RESPONSE) == 0)
			init_refuse(ike, &h, len, N_INVALID_MAJOR_VERSION, 0);
		return;
	}
	if (h.exchange == X_IKE_SA_INIT && (h.flags & IKE_F_RESPONSE) == 0) {
		init_on_request(ike, data, len);
		return;
	}
	from_initiator = (h.flags & IKE_F_INITIATOR) != 0;
	sa = ike_sa_find(ike, from_initiator ? h.spi_r : h.spi_i);
	if (sa == NULL) {
		on_unknown(ike, &h, len);
		return;
	}
	if (sa->initiator == from_initiator ||
	    (sa->peer_spi != 0 && sa->peer_spi != (from_initiator ? h.spi_i : h.spi_r))) {
		ike->totals.dropped++;
		return;
	}
	fsm_datagram(sa, data, len);
}

static void
on_datagram(struct ike *ike, const struct ike_fact *f)
{
	static const uint8_t marker[MARKER_LEN];
	const uint8_t *data = f->data;
	size_t len = f->len;

	ike->totals.datagrams_in++;
	ike->local = f->local;
	ike->remote = f->remote;
	if (send_is_natt_port(ike, f->local.port)) {
		if (len < MARKER_LEN || memcmp(data, marker, MARKER_LEN) != 0) {
			ike->totals.dropped += len != 1;	/* one byte: a keepalive */
			return;
		}
		data += MARKER_LEN;
		len -= MARKER_LEN;
	}
	route(ike, data, len);
}

static void
on_work_done(struct ike *ike, struct ike_job *job)
{
	struct ike_sa *sa = ike_sa_find(ike, job->spi);
	struct nego *n = sa == NULL ? NULL : job->theirs ? sa->theirs : sa->mine;

	job->away = false;
	if (n == NULL || n->job != job)		/* whoever asked is gone */
		job_free(job);
	else if (sa->state != SA_GONE)
		fsm_work(sa, job->theirs);
}

static void
step_all(struct tunnel *t)
{
	struct ike_sa *next;

	for (struct ike_sa *sa = t->sas; sa != NULL; sa = next) {
		next = sa->next;
		ike_sa_step(sa);
	}
}

static void
on_rekey(struct tunnel *t)
{
	struct ike_sa *sa = ike_sa_main(t);

	if (sa == NULL)
		return;
	sa->want_rekey = sa->req.kind != REQ_IKE_REKEY;
	ike_sa_step(sa);
}

static void
on_child_rekey(struct tunnel *t, uint32_t spi_out)
{
	for (struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		for (struct child *c = sa->children; c != NULL; c = c->next)
			c->want_rekey |= c->serves != 0 && (spi_out == 0 || c->spi_out == spi_out);
	step_all(t);
}

/* Something depends on whether the peer is there: ask, or ask again what is out already. */
static void
on_ask(struct tunnel *t)
{
	struct ike_sa *sa = ike_sa_main(t);

	if (sa == NULL)
		return;
	if (sa->x.out == NULL)
		sa->want_ask = true;
	else if (xchg_hurry(&sa->x, t->ike->now))
		send_again(sa);
	ike_sa_step(sa);
}

static void
on_tell(struct tunnel *t, uint8_t index)
{
	struct ike_sa *sa = ike_sa_main(t);

	if (sa == NULL || !sa->peer_is_tandem)
		return;
	sa->want_tell = true;
	sa->tell = index;
	ike_sa_step(sa);
}

static void
on_moved(struct tunnel *t, const struct endpoint *remote)
{
	struct ike_sa *sa = t->out != NULL ? t->out->sa : NULL;

	if (sa == NULL || endpoint_equal(&sa->remote, remote) ||
	    !tunnel_may_move(t, &sa->remote, remote))
		return;
	sa->remote = *remote;
	queue_put(&t->ike->queue, &(struct ike_action){
		.kind = IKE_ENDPOINT, .tunnel = t->conf.id,
		.local = sa->local, .remote = sa->remote,
	});
}

static void
on_stop(struct ike *ike)
{
	size_t pos = 0;
	uint64_t key;
	void *p;

	ike->stopping = true;
	while (map_each(ike->tunnels, &pos, &key, &p)) {
		tunnel_close(p, "the gateway stops");
		step_all(p);
	}
	pos = 0;
	while (map_each(ike->sas, &pos, &key, &p)) {
		struct ike_sa *sa = p;

		if (sa->state == SA_NEW || sa->state == SA_INIT_DONE || sa->state == SA_REFUSED)
			ike_sa_state(sa, SA_GONE);
	}
}

static void
on_tunnel_fact(struct tunnel *t, const struct ike_fact *f)
{
	switch (f->kind) {
	case IKE_TUNNEL_DEL:
		tunnel_del(t);
		break;
	case IKE_OPEN:
		tunnel_open(t);
		break;
	case IKE_CLOSE:
		tunnel_close(t, "closed by command");
		step_all(t);
		break;
	case IKE_REKEY:
		if (f->ike_sa)
			on_rekey(t);
		else
			on_child_rekey(t, f->spi_out);
		break;
	case IKE_ASK:
		on_ask(t);
		break;
	case IKE_HEARD:
		t->heard = t->ike->now;
		break;
	case IKE_TELL:
		on_tell(t, f->index);
		break;
	case IKE_ADDRESS:
		tunnel_present(t, f->present);
		break;
	case IKE_MOVED:
		on_moved(t, &f->remote);
		break;
	case IKE_TUNNEL_SET:
	case IKE_DATAGRAM:
	case IKE_WORK_DONE:
	case IKE_STOP:
		break;
	}
}

void
ike_input(struct ike *ike, usec_t now, const struct ike_fact *f)
{
	struct tunnel *t;

	ike->now = now;
	switch (f->kind) {
	case IKE_TUNNEL_SET:
		tunnel_set(ike, f->conf);
		t = tunnel_find(ike, f->conf->id);
		if (t != NULL)
			step_all(t);
		break;
	case IKE_DATAGRAM:
		on_datagram(ike, f);
		break;
	case IKE_WORK_DONE:
		on_work_done(ike, f->job);
		break;
	case IKE_STOP:
		on_stop(ike);
		break;
	case IKE_TUNNEL_DEL:
	case IKE_OPEN:
	case IKE_CLOSE:
	case IKE_REKEY:
	case IKE_ASK:
	case IKE_HEARD:
	case IKE_TELL:
	case IKE_ADDRESS:
	case IKE_MOVED:
		t = tunnel_find(ike, f->tunnel);
		if (t != NULL)
			on_tunnel_fact(t, f);
		break;
	}
	ike_sa_settle(ike);
}

/* ---- time ---- */

void
ike_tick(struct ike *ike, usec_t now)
{
	struct heap_node *n;

	ike->now = now;
	while ((n = heap_pop_due(&ike->sa_timers, now)) != NULL) {
		ike->totals.timers++;
		ike_sa_timeout(heap_entry(n, struct ike_sa, timer));
		ike_sa_settle(ike);
	}
	while ((n = heap_pop_due(&ike->tunnel_timers, now)) != NULL) {
		ike->totals.timers++;
		tunnel_timeout(heap_entry(n, struct tunnel, timer));
		ike_sa_settle(ike);
	}
}

usec_t
ike_deadline(const struct ike *ike)
{
	return usec_min(heap_deadline(&ike->sa_timers), heap_deadline(&ike->tunnel_timers));
}

bool
ike_next(struct ike *ike, struct ike_action *action)
{
	return queue_pop(&ike->queue, action);
}

/* ---- views ---- */

void
ike_totals(const struct ike *ike, struct ike_totals *t)
{
	*t = ike->totals;
}

/* The IKE SA to show: the one that carries traffic, else the furthest. */
static const struct ike_sa *
shown(const struct tunnel *t)
{
	const struct ike_sa *best = NULL;

	if (t->out != NULL)
		return t->out->sa;
	for (const struct ike_sa *sa = t->sas; sa != NULL; sa = sa->next)
		if (sa->state <= SA_UP && (best == NULL || sa->state > best->state))
			best = sa;
	return best;
}

static usec_t
or_zero(usec_t t)
{
	return t == USEC_NEVER ? 0 : t;
}

static void
show_sa(const struct ike_sa *sa, struct ike_status *st)
{
	st->initiator = sa->initiator;
	st->nat_local = sa->natt.nat_local;
	st->nat_remote = sa->natt.nat_remote;
	st->peer_is_tandem = sa->peer_is_tandem;
	st->spi_i = sa->initiator ? sa->spi : sa->peer_spi;
	st->spi_r = sa->initiator ? sa->peer_spi : sa->spi;
	st->local = sa->local;
	st->remote = sa->remote;
	st->peer_id = sa->peer_id;
	st->ike = sa->suite;
	st->ike_since = sa->up_since;
	st->ike_rekey_at = or_zero(sa->rekey_at);
}

static void
show_child(const struct child *c, struct ike_status *st)
{
	st->child_spi_in = c->spi_in;
	st->child_spi_out = c->spi_out;
	st->esp = c->suite;
	st->child_since = c->since;
	st->child_rekey_at = or_zero(c->rekey_at);
	st->ts_local = child_ts_local(c);
	st->ts_remote = child_ts_remote(c);
}

bool
ike_status(const struct ike *ike, uint32_t tunnel, struct ike_status *st)
{
	const struct tunnel *t = tunnel_find(ike, tunnel);
	const struct ike_sa *sa;

	memset(st, 0, sizeof(*st));
	if (t == NULL)
		return false;
	sa = shown(t);
	st->state = sa != NULL ? ike_sa_state_name(sa->state) : !t->present ? "no address" :
	    t->closed ? "closed" : t->wanted ? "down" : "waiting";
	st->up = t->out != NULL;
	st->next_try_at = or_zero(t->try_at);
	st->attempts = t->attempts;
	st->ike_rekeys = t->ike_rekeys;
	st->child_rekeys = t->child_rekeys;
	memcpy(st->reason, t->reason, sizeof(st->reason));
	if (sa != NULL)
		show_sa(sa, st);
	if (t->out != NULL)
		show_child(t->out, st);
	return true;
}
