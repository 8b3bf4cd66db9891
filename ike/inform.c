/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "ike/inform.h"
#include "ike/rekeyx.h"
#include "ike/send.h"

#define DELETES_MAX	64		/* Child SAs that one message can end */

/* ---- ours ---- */

void
inform_ask(struct ike_sa *sa)
{
	struct msg_wr mw;

	sa->want_ask = false;
	sa->req = (struct request){ .kind = REQ_ASK, .wait = WAIT_ANSWER };
	send_start(sa, &mw, X_INFORMATIONAL, false);
	(void)send_request(sa, &mw, XCHG_UP);
}

void
inform_tell(struct ike_sa *sa)
{
	struct msg_wr mw;

	sa->want_tell = false;
	sa->req = (struct request){ .kind = REQ_TELL, .wait = WAIT_ANSWER };
	send_start(sa, &mw, X_INFORMATIONAL, false);
	msg_add_notify(&mw, N_TANDEM_DEAD, &sa->tell, 1);
	(void)send_request(sa, &mw, XCHG_UP);
}

void
inform_delete_child(struct ike_sa *sa, struct child *c)
{
	struct msg_wr mw;

	c->delete_sent = true;
	sa->req = (struct request){ REQ_CHILD_DELETE, WAIT_ANSWER, c->spi_in };
	send_start(sa, &mw, X_INFORMATIONAL, false);
	pld_delete_write(msg_add(&mw, PLD_D), PROTO_ESP, &c->spi_in, 1);
	(void)send_request(sa, &mw, XCHG_UP);
}

void
inform_close(struct ike_sa *sa)
{
	struct msg_wr mw;

	sa->req = (struct request){ .kind = REQ_IKE_DELETE, .wait = WAIT_ANSWER };
	send_start(sa, &mw, X_INFORMATIONAL, false);
	pld_delete_write(msg_add(&mw, PLD_D), PROTO_IKE, NULL, 0);
	(void)send_request(sa, &mw, XCHG_CLOSE);
}

enum verdict
inform_on_answer(struct ike_sa *sa, const struct msg *m)
{
	(void)m;
	sa->req.kind = REQ_NONE;
	return V_STAY;
}

enum verdict
inform_on_child_deleted(struct ike_sa *sa, const struct msg *m)
{
	struct child *c = child_find(sa->ike, sa->req.target);

	(void)m;
	sa->req.kind = REQ_NONE;
	if (c != NULL && c->state == CHILD_DELETING)
		child_drop(c, "the Child SA has reached the end of its life");
	return V_STAY;
}

enum verdict
inform_on_deleted(struct ike_sa *sa, const struct msg *m)
{
	(void)m;
	sa->req.kind = REQ_NONE;
	return V_NEXT;
}

/* ---- the peer's ---- */

/* What a request asks for, gathered first, done after it is answered (R21). */
struct wishes {
	bool ike;			/* delete the IKE SA */
	unsigned n;			/* Child SAs to delete */
	uint32_t spi_in[DELETES_MAX];	/* ours of them */
	unsigned answer_n;		/* of these, those that our answer names */
	uint32_t answer[DELETES_MAX];
};

static bool
is_named(const struct wishes *w, uint32_t spi_in)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->spi_in[i] == spi_in)
			return true;
	return false;
}

static void
want_child(struct ike_sa *sa, struct wishes *w, uint32_t spi_out)
{
	struct child *c = child_by_out(sa, spi_out);

	if (c == NULL || w->n == DELETES_MAX || is_named(w, c->spi_in))
		return;
	w->spi_in[w->n++] = c->spi_in;
	if (!c->delete_sent)		/* both delete at once: the answer is empty (2.25.1) */
		w->answer[w->answer_n++] = c->spi_in;
}

/* False: malformed. */
static bool
gather(struct ike_sa *sa, const struct msg *m, struct wishes *w)
{
	struct pld_delete d;

	for (unsigned i = 0; i < m->n; i++) {
		if (m->payload[i].type != PLD_D)
			continue;
		if (!pld_delete_parse(m->payload[i].body, &d))
			return false;
		w->ike |= d.proto == PROTO_IKE;
		for (unsigned k = 0; d.proto == PROTO_ESP && k < d.n; k++)
			want_child(sa, w, pld_delete_spi(&d, k));
	}
	return true;
}

static void
take_word(struct ike_sa *sa, const struct msg *m)
{
	const struct pld_notify *n = msg_notify(m, N_TANDEM_DEAD);

	if (n == NULL || !sa->peer_is_tandem || n->data.len != 1 || sa->tunnel == NULL)
		return;
	story(sa, LOG_LEVEL_INFO, "peer-tells", "dead=%u", n->data.p[0]);
	queue_put(&sa->ike->queue, &(struct ike_action){
		.kind = IKE_TOLD, .tunnel = sa->tunnel->conf.id, .index = n->data.p[0],
	});
}

static void
fulfil(struct ike_sa *sa, const struct wishes *w, const char *why)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct child *c = child_find(sa->ike, w->spi_in[i]);

		if (c == NULL)
			continue;
		story(sa, LOG_LEVEL_INFO, "child-deleted", "spi_in=%08x state=%s by=peer",
		    c->spi_in, child_state_name(c->state));
		child_drop(c, "the peer deleted the Child SA");
	}
	if (!w->ike)
		return;
	rekeyx_on_delete(sa);
	ike_sa_dead(sa, why);
}

enum verdict
inform_on_request(struct ike_sa *sa, const struct msg *m)
{
	const struct pld_notify *e = msg_error(m);
	struct wishes w = { .n = 0 };
	struct msg_wr mw;

	if (!gather(sa, m, &w))
		return V_SYNTAX;
	take_word(sa, m);
	send_start(sa, &mw, X_INFORMATIONAL, true);
	if (!w.ike && w.answer_n > 0)
		pld_delete_write(msg_add(&mw, PLD_D), PROTO_ESP, w.answer, (uint16_t)w.answer_n);
	if (!send_reply(sa, &mw))
		return V_STAY;
	if (e != NULL && e->type == N_AUTHENTICATION_FAILED) {
		w.ike = true;
		fulfil(sa, &w, "the peer refuses our proof (options local-id, psk-file)");
	} else {
		fulfil(sa, &w, "the peer deleted the IKE SA");
	}
	return V_STAY;
}
