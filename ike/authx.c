/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ike/authx.h"
#include "ike/init.h"
#include "ike/resource.h"
#include "ike/send.h"
#include "ike/terms.h"
#include "ike/tunnel.h"

/*
 * Who is who.  A responder looks at all that it demands of the peer - identities, addresses,
 * suite, proof - before it sends its own proof (R2); an initiator has to prove first, so it
 * says nothing of the Child SA's keys until the answer is verified.  `verified` is the one
 * function from whose result an IKE SA goes up (R3).
 */
#define ID_BODY_MAX	(4 + ID_DATA_MAX)
#define ID_LOG		160

/* Both proofs of an SA by their prover. */
static struct auth_in
auth_in(const struct ike_sa *sa, const struct nego *n, bool by_initiator, struct slice id)
{
	const struct ike_keys *k = &sa->keys->k;
	const struct opening *o = sa->opening;
	const struct bytes *msg = by_initiator ? o->request : o->response;

	return (struct auth_in){
		.prf = k->prf,
		.message = { msg->data, msg->len },
		.nonce = by_initiator ? (struct slice){ n->nr, n->nr_len } :
		    (struct slice){ n->ni, n->ni_len },
		.sk_p = { by_initiator ? k->sk_pi : k->sk_pr, k->prf_len },
		.id = id,
	};
}

/* The one place where a proof is judged: by the tunnel that local policy has named. */
static bool
verified(const struct ike_sa *sa, const struct nego *n, const struct tunnel *t,
    const struct msg *m)
{
	bool peer_initiates = !sa->initiator;
	struct auth_in in = auth_in(sa, n, peer_initiates,
	    msg_body(m, peer_initiates ? PLD_IDI : PLD_IDR));
	struct slice psk = { t->conf.psk, t->conf.psk_len };
	struct pld_auth auth;
	struct rd body;

	msg_find(m, PLD_AUTH, &body);
	if (!pld_auth_parse(body, &auth))
		return false;
	return auth_psk_check(&in, psk, &auth) == AUTH_OK;
}

/* Our ID and AUTH payloads.  False: the library failed, or there is no key. */
static bool
prove(const struct ike_sa *sa, const struct nego *n, const struct tunnel *t, struct msg_wr *mw)
{
	uint8_t id[ID_BODY_MAX], proof[PRF_LEN_MAX];
	struct wr w = wr_init(id, sizeof(id));
	struct slice psk = { t->conf.psk, t->conf.psk_len };
	struct pld_auth auth = { AUTH_METHOD_PSK, proof, prf_len(sa->suite.prf) };
	struct auth_in in;

	pld_id_write(&w, &t->conf.local_id);
	in = auth_in(sa, n, sa->initiator, (struct slice){ id, wr_len(&w) });
	if (!wr_ok(&w) || !auth_psk_make(&in, psk, proof))
		return false;
	msg_add_bytes(mw, sa->initiator ? PLD_IDI : PLD_IDR, in.id);
	pld_auth_write(msg_add(mw, PLD_AUTH), &auth);
	return true;
}

/* ---- initiator ---- */

static bool
first_contact(const struct ike_sa *sa)
{
	for (const struct ike_sa *s = sa->tunnel->sas; s != NULL; s = s->next)
		if (s->state == SA_UP)
			return false;
	return true;
}

static bool
send_proof(struct ike_sa *sa)
{
	struct tunnel *t = sa->tunnel;
	struct child *c = child_new(sa, true, 0);
	struct msg_wr mw;

	if (c == NULL)
		return false;
	sa->mine->child_spi = c->spi_in;
	send_start(sa, &mw, X_IKE_AUTH, false);
	if (!prove(sa, sa->mine, t, &mw))
		return false;
	if (first_contact(sa))
		msg_add_notify(&mw, N_INITIAL_CONTACT, NULL, 0);
	if (t->conf.remote_id.type != 0)
		pld_id_write(msg_add(&mw, PLD_IDR), &t->conf.remote_id);
	terms_write_offer(c, &mw, NULL);
	sa->req = (struct request){ .kind = REQ_AUTH, .wait = WAIT_ANSWER };
	return send_request(sa, &mw, XCHG_OPEN);
}

enum verdict
authx_on_secret(struct ike_sa *sa)
{
	struct nego *n = sa->mine;

	if (n->job->ke.result != KE_DERIVED || !init_keys(sa, n)) {
		ike_sa_dead(sa, n->job->ke.result == KE_REFUSED ?
		    "the peer's public value is not valid" : "the keys could not be computed");
		return V_STAY;
	}
	job_drop(n->job);
	n->job = NULL;
	if (!send_proof(sa)) {
		ike_sa_dead(sa, "IKE_AUTH could not be built");
		return V_STAY;
	}
	return V_NEXT;
}

/* The peer has, or may have, an IKE SA that we do not want: it is told to delete it. */
static void
fail_attempt(struct ike_sa *sa, const char *why)
{
	tunnel_failed(sa->tunnel, why);
	ike_sa_close(sa, why);
}

static bool
peer_is_right(struct ike_sa *sa, const struct msg *m)
{
	struct tunnel *t = sa->tunnel;
	char came[ID_LOG], wanted[ID_LOG], why[IKE_REASON_MAX];
	struct rd body;

	msg_find(m, PLD_IDR, &body);
	if (!pld_id_parse(body, &sa->peer_id) || !id_equal(&sa->peer_id, &t->conf.remote_id)) {
		snprintf(why, sizeof(why), "the peer says it is %.90s, expected %.90s "
		    "(option remote-id)", id_str(&sa->peer_id, came, sizeof(came)),
		    id_str(&t->conf.remote_id, wanted, sizeof(wanted)));
		story(sa, LOG_LEVEL_WARN, "auth-failed", "reason=\"%s\"", why);
		fail_attempt(sa, why);
		return false;
	}
	if (!verified(sa, sa->mine, t, m)) {
		sa->ike->totals.auth_failed++;
		snprintf(why, sizeof(why), "the peer's proof is wrong: the pre-shared keys differ "
		    "(option psk-file)");
		story(sa, LOG_LEVEL_WARN, "auth-failed", "reason=\"%s\"", why);
		fail_attempt(sa, why);
		return false;
	}
	return true;
}

enum verdict
authx_on_response(struct ike_sa *sa, const struct msg *m)
{
	struct nego *n = sa->mine;
	struct child *c = child_find(sa->ike, n->child_spi);
	struct tunnel *t = sa->tunnel;

	if (!peer_is_right(sa, m))
		return V_STAY;
	if (!terms_take_answer(c, m, n)) {
		fail_attempt(sa, "the peer's answer about the Child SA is not what we offered");
		return V_STAY;
	}
	sa->req.kind = REQ_NONE;
	ike_sa_up(sa);
	if (!child_install(c, n)) {
		ike_sa_close(sa, "the keys of the Child SA could not be made");
		return V_STAY;
	}
	resource_begin(sa, msg_notify(m, N_SA_RESOURCE_INFO) != NULL);
	terms_story(c, "child-up");
	child_pick(t);
	ike_sa_drop_mine(sa);
	ike_sa_opened(sa);
	tunnel_won(t, sa);
	return V_STAY;
}

enum verdict
authx_on_childless(struct ike_sa *sa, const struct msg *m)
{
	const struct pld_notify *e = msg_error(m);
	char why[IKE_REASON_MAX];

	if (!peer_is_right(sa, m))
		return V_STAY;
	if (e == NULL)
		return V_SYNTAX;
	terms_refusal(sa, e->type, why, sizeof(why));
	fail_attempt(sa, why);
	return V_STAY;
}

enum verdict
authx_on_refusal(struct ike_sa *sa, const struct msg *m)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	const struct pld_notify *e = msg_error(m);
	char ours[ID_LOG], theirs[ID_LOG], why[IKE_REASON_MAX];

	if (e == NULL)
		return V_SYNTAX;
	snprintf(why, sizeof(why), "the peer refuses us (%s): we are %.70s and expect %.70s "
	    "(options local-id, remote-id, psk-file)", notify_name(e->type),
	    id_str(&conf->local_id, ours, sizeof(ours)),
	    id_str(&conf->remote_id, theirs, sizeof(theirs)));
	ike_sa_dead(sa, why);
	return V_STAY;
}

/* ---- responder ---- */

static enum verdict
refuse(struct ike_sa *sa, const char *why)
{
	sa->ike->totals.auth_failed++;
	story(sa, LOG_LEVEL_WARN, "auth-failed", "reason=\"%s\"", why);
	if (send_reply_notify(sa, X_IKE_AUTH, N_AUTHENTICATION_FAILED))
		ike_sa_state(sa, SA_REFUSED);
	return V_STAY;
}

enum verdict
authx_on_eap(struct ike_sa *sa, const struct msg *m)
{
	(void)m;
	return refuse(sa, "the peer sends no proof (it wants EAP); set a pre-shared key there");
}

/* By what the peer says about both, among those whose addresses and suite allow it. */
static struct tunnel *
choose_tunnel(const struct ike_sa *sa, const struct ike_id *peer, const struct ike_id *us)
{
	struct ike *ike = sa->ike;
	struct tunnel *t = NULL;

	while ((t = tunnel_candidate(ike, &ike->local, &ike->remote, t)) != NULL)
		if (id_equal(&t->conf.remote_id, peer) && tunnel_has_suite(t, &sa->suite) &&
		    (us == NULL || id_equal(&t->conf.local_id, us)))
			return t;
	return NULL;
}

static enum verdict
refuse_ids(struct ike_sa *sa, const struct ike_id *peer, const struct ike_id *us)
{
	const struct tunnel *t = tunnel_find(sa->ike, sa->opening->candidate);
	char came[ID_LOG], asked[ID_LOG], expected[ID_LOG], ours[ID_LOG];
	char why[IKE_REASON_MAX * 3];

	snprintf(why, sizeof(why), "the peer says it is %.90s and asks for %.90s; "
	    "%.95s expects %.90s and is %.90s (options remote-id, local-id)", id_str(peer, came, sizeof(came)),
	    us != NULL ? id_str(us, asked, sizeof(asked)) : "anybody",
	    t != NULL ? t->conf.name : "no tunnel",
	    t != NULL ? id_str(&t->conf.remote_id, expected, sizeof(expected)) : "it",
	    t != NULL ? id_str(&t->conf.local_id, ours, sizeof(ours)) : "none");
	return refuse(sa, why);
}

/* Our answer: proof and Child SA, or proof and why there is no Child SA. */
static void
answer(struct ike_sa *sa, const struct msg *m)
{
	struct tunnel *t = sa->tunnel;
	struct nego *n = sa->theirs;
	struct child *c = NULL;
	struct msg_wr mw;
	uint16_t error;

	error = terms_choose(sa, m, n, &c);
	if (error == 0 && !child_install(c, n)) {
		ike_sa_dead(sa, "the keys of the Child SA could not be made");
		return;
	}
	send_start(sa, &mw, X_IKE_AUTH, true);
	if (!prove(sa, n, t, &mw)) {
		ike_sa_dead(sa, "our proof could not be made");
		return;
	}
	if (error == 0)
		terms_write_answer(c, &mw, n);
	else
		msg_add_notify(&mw, error, NULL, 0);
	if (!send_reply(sa, &mw) || error != 0)
		return;
	resource_begin(sa, n->info);
	terms_story(c, "child-up");
}

/* The peer knows of no other IKE SA with us: what is older than its opening is a ghost. */
static void
initial_contact(struct ike_sa *sa)
{
	struct ike_sa *next;

	for (struct ike_sa *s = sa->tunnel->sas; s != NULL; s = next) {
		next = s->next;
		if (s == sa || s->up_since == 0 || s->up_since > sa->born)
			continue;
		ike_sa_dead(s, "the peer has started anew");
	}
}

enum verdict
authx_on_request(struct ike_sa *sa, const struct msg *m)
{
	struct ike_id peer, us;
	bool named = (m->present & P_IDR) != 0;
	struct tunnel *t;
	struct rd body;

	msg_find(m, PLD_IDI, &body);
	if (!pld_id_parse(body, &peer))
		return V_SYNTAX;
	msg_find(m, PLD_IDR, &body);
	if (named && !pld_id_parse(body, &us))
		return V_SYNTAX;
	t = choose_tunnel(sa, &peer, named ? &us : NULL);
	if (t == NULL)
		return refuse_ids(sa, &peer, named ? &us : NULL);
	if (!verified(sa, sa->theirs, t, m))
		return refuse(sa, "the peer's proof is wrong: the pre-shared keys differ "
		    "(option psk-file)");
	ike_sa_join(sa, t);
	sa->peer_id = peer;
	ike_sa_up(sa);
	sa->local = sa->ike->local;
	sa->remote = sa->ike->remote;
	answer(sa, m);
	if (sa->state != SA_UP)
		return V_STAY;
	if (msg_notify(m, N_INITIAL_CONTACT) != NULL)
		initial_contact(sa);
	child_pick(t);
	ike_sa_drop_theirs(sa);
	ike_sa_opened(sa);
	tunnel_won(t, sa);
	return V_STAY;
}
