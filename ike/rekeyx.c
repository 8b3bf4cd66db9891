/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/log.h"
#include "ike/collide.h"
#include "ike/offer.h"
#include "ike/rekeyx.h"
#include "ike/send.h"
#include "ike/tunnel.h"

/*
 * Rekey of the IKE SA.  The new one, the heir, inherits the Child SAs; message IDs start at 0
 * and whoever rekeyed is its original initiator, who then deletes the old one.
 *
 * Both ends may rekey at once.  Then each answers the other as usual and has two heirs: its
 * own, and the rival that the peer made.  When our own is finished the nonces decide which
 * inherits; the loser is deleted by its maker, the old IKE SA by the maker of the winner.
 * When our own comes to nothing the rival inherits.
 */
#define RETRY_SOON	USEC_S(1)	/* plus up to 2 s */
#define RETRY_LATER	USEC_S(20)	/* plus up to 10 s */
#define GROUPS_MAX	3

static usec_t
again(struct ike *ike, usec_t wait)
{
	uint32_t more = wait == RETRY_SOON ? 2000000 : 10000000;

	return usec_add(ike->now, wait + rng_below(&ike->env.rng, more));
}

static bool
has_group(const struct ike_tunnel *conf, enum ke_group group)
{
	for (unsigned i = 0; i < conf->ike_n; i++)
		if (conf->ike[i].group == group)
			return true;
	return false;
}

/* The keys of the heir, from the exchange and the old SK_d. */
static bool
make_keys(struct ike_sa *sa, struct ike_sa *heir, const struct nego *n)
{
	struct secrets *secrets = sa->ike->env.secrets;
	struct sa_keys *keys = secret_alloc(secrets, sizeof(*keys));
	struct kdf_in in = nego_kdf(n);

	if (keys == NULL)
		return false;
	in.spi_i = heir->initiator ? heir->spi : heir->peer_spi;
	in.spi_r = heir->initiator ? heir->peer_spi : heir->spi;
	if (!ike_keys_rekey(&keys->k, &n->ike.suite, &in, &sa->keys->k) ||
	    !ike_sa_keys(heir, keys)) {
		secret_free(secrets, keys);
		return false;
	}
	heir->suite = n->ike.suite;
	low_set(&heir->low, n);
	return true;
}

/* The heir is what the old one was, and up. */
static void
establish(struct ike_sa *sa, struct ike_sa *heir)
{
	heir->local = sa->local;
	heir->remote = sa->remote;
	heir->natt = sa->natt;
	heir->peer_is_tandem = sa->peer_is_tandem;
	heir->many = sa->many;
	heir->more_at = sa->more_at;
	heir->peer_id = sa->peer_id;
	ike_sa_join(heir, sa->tunnel);
	ike_sa_up(heir);
	story(heir, LOG_LEVEL_INFO, "ike-rekeyed", "old=%016llx", (unsigned long long)sa->spi);
}

static void
inherit(struct ike_sa *sa, struct ike_sa *heir)
{
	child_move_all(sa, heir);
	sa->heir_spi = heir->spi;
	sa->rival_spi = 0;
	heir->want_tell |= sa->want_tell || sa->req.kind == REQ_TELL;
	heir->tell = sa->tell;
	sa->tunnel->ike_rekeys++;
	ike_sa_state(sa, SA_REKEYED);
	child_pick(sa->tunnel);
	ike_sa_step(heir);
}

/* ---- initiator ---- */

void
rekeyx_start(struct ike_sa *sa)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct nego *n = nego_new(sa->ike);
	struct ike_sa *heir = ike_sa_new(sa->ike, NULL, true);

	sa->want_rekey = false;
	sa->mine = n;
	if (heir != NULL && n != NULL)
		n->heir_spi = heir->spi;
	sa->req = (struct request){ .kind = REQ_IKE_REKEY, .wait = WAIT_KEY };
	if (heir == NULL || n == NULL || !job_draw(sa, n,
	    has_group(conf, sa->suite.group) ? sa->suite.group : conf->ike[0].group)) {
		if (heir != NULL)
			ike_sa_state(heir, SA_GONE);
		rekeyx_failed(sa, "no memory");
		return;
	}
	n->ni_len = NONCE_LEN;
	rng_fill(&sa->ike->env.rng, n->ni, n->ni_len);
	job_submit(sa, n);
}

enum verdict
rekeyx_on_key(struct ike_sa *sa)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct nego *n = sa->mine;
	struct msg_wr mw;

	if (n->job->ke.result != KE_GENERATED) {
		rekeyx_failed(sa, "the key could not be computed");
		return V_STAY;
	}
	if (!collide_may_rekey_ike(sa)) {	/* the peer began something meanwhile */
		ike_sa_drop_mine(sa);
		sa->want_rekey = true;
		return V_STAY;
	}
	send_start(sa, &mw, X_CREATE_CHILD_SA, false);
	sa_write_ike(msg_add(&mw, PLD_SA), conf->ike, conf->ike_n, n->heir_spi);
	offer_write_ke(n, &mw, (struct slice){ n->ni, n->ni_len });
	sa->req.wait = WAIT_ANSWER;
	(void)send_request(sa, &mw, XCHG_UP);
	return V_STAY;
}

static bool
take_answer(struct ike_sa *sa, const struct msg *m)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct nego *n = sa->mine;
	struct sa answer;
	struct rd body;

	msg_find(m, PLD_SA, &body);
	return sa_parse(body, &answer) &&
	    sa_check_ike(&answer, conf->ike, conf->ike_n, &n->ike) && n->ike.spi != 0 &&
	    n->ike.suite.group == n->group && offer_take_nonce(m, n->nr, &n->nr_len) &&
	    offer_take_ke(m, n);
}

enum verdict
rekeyx_on_response(struct ike_sa *sa, const struct msg *m)
{
	if (!take_answer(sa, m)) {
		/* The peer has an heir now that we cannot speak to: only a new opening helps. */
		rekeyx_failed(sa, "the peer's answer is not what we offered");
		ike_sa_close(sa, "the rekey of the IKE SA went wrong");
		return V_STAY;
	}
	ike_sa_find(sa->ike, sa->mine->heir_spi)->peer_spi = sa->mine->ike.spi;
	sa->req.wait = WAIT_SECRET;
	job_submit(sa, sa->mine);
	return V_STAY;
}

/* Ours is finished, and maybe the peer's: who inherits. */
static void
settle(struct ike_sa *sa, struct ike_sa *heir)
{
	struct ike_sa *rival = ike_sa_find(sa->ike, sa->rival_spi);
	struct ike_sa *winner = heir;

	if (rival != NULL && rival->state == SA_UP)
		winner = collide_ike_winner(heir, rival);
	inherit(sa, winner);
	if (winner == heir) {
		ike_sa_close(sa, "it was rekeyed");
		return;
	}
	ike_sa_state(heir, SA_REKEYED);		/* it never carried anything */
	ike_sa_close(heir, "the peer's rekey of the IKE SA stays");
	ike_sa_step(heir);
}

enum verdict
rekeyx_on_secret(struct ike_sa *sa)
{
	struct nego *n = sa->mine;
	struct ike_sa *heir = ike_sa_find(sa->ike, n->heir_spi);
	const char *why = sa->close_why;

	if (n->job->ke.result != KE_DERIVED || !make_keys(sa, heir, n)) {
		rekeyx_failed(sa, "the keys could not be made");
		ike_sa_close(sa, "the rekey of the IKE SA went wrong");
		return V_STAY;
	}
	establish(sa, heir);
	sa->req.kind = REQ_NONE;
	ike_sa_drop_mine(sa);
	settle(sa, heir);
	if (why != NULL) {
		ike_sa_close(heir, why);
		ike_sa_step(heir);
	}
	return V_STAY;
}

void
rekeyx_failed(struct ike_sa *sa, const char *why)
{
	struct ike_sa *rival = ike_sa_find(sa->ike, sa->rival_spi);
	const char *close_why = sa->close_why;

	story(sa, LOG_LEVEL_WARN, "ike-rekey-failed", "reason=\"%s\"", why);
	sa->ike->totals.rekeys_failed++;
	sa->close_why = NULL;
	sa->rekey_at = again(sa->ike, RETRY_LATER);
	ike_sa_drop_mine(sa);
	if (rival != NULL && rival->state == SA_UP)
		inherit(sa, rival);
	if (close_why != NULL)
		ike_sa_close(sa, close_why);
}

static bool
try_group(struct ike_sa *sa, const struct pld_notify *e)
{
	struct rd rd = rd_init(e->data.p, e->data.len);
	enum ke_group group = ke_group_from_wire(rd_u16(&rd));
	struct nego *n = sa->mine;

	if (!rd_done(&rd) || group == KE_NONE || group == KE_N || group == n->group ||
	    !has_group(&sa->tunnel->conf, group) || ++n->tries > GROUPS_MAX ||
	    !job_draw(sa, n, group))
		return false;
	sa->req.wait = WAIT_KEY;
	job_submit(sa, n);
	return true;
}

enum verdict
rekeyx_on_refusal(struct ike_sa *sa, const struct msg *m)
{
	const struct pld_notify *e = msg_error(m);

	if (e == NULL)
		return V_SYNTAX;
	if (e->type == N_INVALID_KE_PAYLOAD && try_group(sa, e))
		return V_STAY;
	rekeyx_failed(sa, notify_name(e->type));
	if (e->type == N_TEMPORARY_FAILURE)
		sa->rekey_at = again(sa->ike, RETRY_SOON);
	return V_STAY;
}

/* ---- responder ---- */

static void
refuse(struct ike_sa *sa, uint16_t type)
{
	story(sa, LOG_LEVEL_INFO, "ike-rekey-refused", "notify=%s", notify_name(type));
	(void)send_reply_notify(sa, X_CREATE_CHILD_SA, type);
}

/* What we were about to ask for, but have not asked yet, waits until the heir is there. */
static void
stand_back(struct ike_sa *sa)
{
	struct child *c = child_find(sa->ike, sa->req.target);

	if (sa->req.kind == REQ_NONE || sa->req.wait != WAIT_KEY || sa->mine == NULL)
		return;
	ike_sa_drop_mine(sa);
	if (c != NULL && c->state == CHILD_REKEYING) {
		child_state(c, CHILD_UP);
		c->want_rekey = true;
	}
}

/* 0, or the notify to refuse with. */
static uint16_t
prepare(struct ike_sa *sa, const struct msg *m)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct nego *n = sa->theirs = nego_new(sa->ike);
	struct ike_sa *heir;
	struct sa offer;
	struct rd body;

	msg_find(m, PLD_SA, &body);
	if (n == NULL)
		return N_TEMPORARY_FAILURE;
	if (!sa_parse(body, &offer) || !offer_take_nonce(m, n->ni, &n->ni_len))
		return N_INVALID_SYNTAX;
	if (!sa_choose_ike(&offer, conf->ike, conf->ike_n, &n->ike) || n->ike.spi == 0)
		return N_NO_PROPOSAL_CHOSEN;
	if (offer_ke_group(m) != n->ike.suite.group)
		return N_INVALID_KE_PAYLOAD;
	n->nr_len = NONCE_LEN;
	rng_fill(&sa->ike->env.rng, n->nr, n->nr_len);
	heir = ike_sa_new(sa->ike, NULL, false);
	if (heir == NULL)
		return N_TEMPORARY_FAILURE;
	heir->peer_spi = n->ike.spi;
	n->heir_spi = heir->spi;
	if (!job_draw(sa, n, n->ike.suite.group))
		return N_TEMPORARY_FAILURE;
	return offer_take_ke(m, n) ? 0 : N_INVALID_SYNTAX;
}

static void
refuse_group(struct ike_sa *sa)
{
	uint16_t want = ke_group_wire(sa->theirs->ike.suite.group);
	uint8_t data[2] = { (uint8_t)(want >> 8), (uint8_t)want };

	(void)send_reply_data(sa, X_CREATE_CHILD_SA, N_INVALID_KE_PAYLOAD,
	    (struct slice){ data, sizeof(data) });
}

enum verdict
rekeyx_on_request(struct ike_sa *sa, const struct msg *m)
{
	uint16_t error;

	if (collide_ike_rekey(sa) != COLLIDE_GO) {
		refuse(sa, N_TEMPORARY_FAILURE);
		return V_STAY;
	}
	stand_back(sa);
	error = prepare(sa, m);
	if (error == 0) {
		job_submit(sa, sa->theirs);
		return V_STAY;
	}
	if (error == N_INVALID_KE_PAYLOAD)
		refuse_group(sa);
	else
		refuse(sa, error);
	ike_sa_drop_theirs(sa);
	return V_STAY;
}

enum verdict
rekeyx_on_work(struct ike_sa *sa)
{
	struct nego *n = sa->theirs;
	struct ike_sa *heir = ike_sa_find(sa->ike, n->heir_spi);
	struct msg_wr mw;

	if (n->job->ke.result != KE_DERIVED || !make_keys(sa, heir, n)) {
		ike_sa_drop_theirs(sa);
		refuse(sa, N_INVALID_SYNTAX);
		return V_STAY;
	}
	send_start(sa, &mw, X_CREATE_CHILD_SA, true);
	sa_write_ike_choice(msg_add(&mw, PLD_SA), &n->ike, heir->spi);
	offer_write_ke(n, &mw, (struct slice){ n->nr, n->nr_len });
	if (!send_reply(sa, &mw))
		return V_STAY;
	establish(sa, heir);
	ike_sa_drop_theirs(sa);
	if (sa->req.kind == REQ_IKE_REKEY)
		sa->rival_spi = heir->spi;	/* ours is on its way: see settle() */
	else
		inherit(sa, heir);
	ike_sa_step(heir);
	return V_STAY;
}

void
rekeyx_on_delete(struct ike_sa *sa)
{
	struct ike_sa *rival = ike_sa_find(sa->ike, sa->rival_spi);

	if (rival == NULL || rival->state != SA_UP || sa->state != SA_UP)
		return;
	ike_sa_drop_mine(sa);
	inherit(sa, rival);
}
