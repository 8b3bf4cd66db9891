/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "ike/childx.h"
#include "ike/collide.h"
#include "ike/offer.h"
#include "ike/resource.h"
#include "ike/send.h"
#include "ike/terms.h"
#include "ike/tunnel.h"

/*
 * Rekey of a Child SA, make before break:
 *
 *	initiator                                 responder
 *	REKEY_SA(old) SA Ni KE TS ----------->    SA_IN(new), then the answer
 *	SA_IN(new), SA_OUT(new)   <-----------    SA Nr KE TS
 *	DELETE(old)               ----------->    SA_OUT(new), SA_DROP(old)
 *	SA_DROP(old)              <-----------    DELETE(old)
 *
 * The old one carries traffic until the last line, so whatever is lost on the way costs time
 * but no packet.  When both ends start at once see collide.c.
 */
#define RETRY_SOON	USEC_S(1)	/* after TEMPORARY_FAILURE, plus up to 2 s */
#define RETRY_LATER	USEC_S(20)	/* after a refusal, plus up to 10 s */
#define GROUPS_MAX	3		/* times the peer may want another group */

/* ---- initiator ---- */

static void
send_offer(struct ike_sa *sa)
{
	struct nego *n = sa->mine;
	struct child *c = child_new(sa, true, n->resource);
	struct pld_notify rekey = { .proto = PROTO_ESP, .type = N_REKEY_SA };
	uint8_t spi[4];
	struct wr w = wr_init(spi, sizeof(spi));
	struct msg_wr mw;

	if (c == NULL) {
		childx_failed(sa, "no memory");
		return;
	}
	c->replaces = n->replaces;
	n->child_spi = c->spi_in;
	send_start(sa, &mw, X_CREATE_CHILD_SA, false);
	if (n->replaces != 0) {
		wr_u32(&w, n->replaces);
		rekey.spi = (struct slice){ spi, sizeof(spi) };
		pld_notify_write(msg_add(&mw, PLD_N), &rekey);
	}
	terms_write_offer(c, &mw, n);
	sa->req.wait = WAIT_ANSWER;
	(void)send_request(sa, &mw, XCHG_UP);
}

static void
begin(struct ike_sa *sa, enum ke_group group)
{
	if (group == KE_NONE) {
		send_offer(sa);
		return;
	}
	sa->req.wait = WAIT_KEY;
	if (job_draw(sa, sa->mine, group))
		job_submit(sa, sa->mine);
	else
		childx_failed(sa, "no memory");
}

static struct nego *
start(struct ike_sa *sa, enum request_kind kind)
{
	struct nego *n = nego_new(sa->ike);

	if (n == NULL)
		return NULL;
	n->ni_len = NONCE_LEN;
	rng_fill(&sa->ike->env.rng, n->ni, n->ni_len);
	sa->mine = n;
	sa->req = (struct request){ .kind = kind, .wait = WAIT_KEY };
	return n;
}

void
childx_start(struct ike_sa *sa, struct child *old)
{
	struct nego *n = start(sa, old != NULL ? REQ_CHILD_REKEY : REQ_CHILD_NEW);

	sa->retry_at = usec_add(sa->ike->now, RETRY_LATER);
	if (n == NULL) {
		if (old != NULL) {
			old->want_rekey = false;
			old->rekey_at = usec_add(sa->ike->now, RETRY_SOON);
		}
		return;
	}
	if (old != NULL) {
		old->want_rekey = false;
		child_state(old, CHILD_REKEYING);
		n->replaces = old->spi_in;
		n->resource = old->resource;
		sa->req.target = old->spi_in;
	}
	begin(sa, sa->tunnel->conf.esp[0].group);
}

void
childx_start_more(struct ike_sa *sa)
{
	struct nego *n = start(sa, REQ_CHILD_MORE);

	if (n == NULL) {
		sa->more_at = usec_add(sa->ike->now, RETRY_LATER);
		return;
	}
	n->more = true;
	n->resource = resource_missing(sa);
	begin(sa, sa->tunnel->conf.esp[0].group);
}

enum verdict
childx_on_key(struct ike_sa *sa)
{
	struct nego *n = sa->mine;

	if (n->replaces != 0 && child_find(sa->ike, n->replaces) == NULL)
		ike_sa_drop_mine(sa);		/* deleted meanwhile: nothing to replace */
	else if (n->job->ke.result != KE_GENERATED)
		childx_failed(sa, "the key could not be computed");
	else
		send_offer(sa);
	return V_STAY;
}

/* What was to be replaced stays in charge, unless the peer has replaced it meanwhile. */
static void
keep_old(struct ike_sa *sa, usec_t again)
{
	struct child *old = child_find(sa->ike, sa->req.target);

	if (old == NULL || old->state != CHILD_REKEYING)
		return;
	for (const struct child *c = old->sa->children; c != NULL; c = c->next)
		if (c->installed && !c->initiator && c->replaces == old->spi_in) {
			child_state(old, CHILD_REKEYED);
			return;
		}
	child_state(old, CHILD_UP);
	old->rekey_at = again;
}

static usec_t
soon(struct ike *ike)
{
	return usec_add(ike->now, RETRY_SOON + rng_below(&ike->env.rng, 2000000));
}

static usec_t
later(struct ike *ike)
{
	return usec_add(ike->now, RETRY_LATER + rng_below(&ike->env.rng, 10000000));
}

void
childx_failed(struct ike_sa *sa, const char *why)
{
	bool fresh = sa->req.kind == REQ_CHILD_NEW, more = sa->req.kind == REQ_CHILD_MORE;

	story(sa, LOG_LEVEL_WARN, "child-failed", "rekey=%s reason=\"%s\"",
	    fresh || more ? "no" : "yes", why);
	keep_old(sa, later(sa->ike));
	ike_sa_drop_mine(sa);
	if (more) {			/* its resource does without */
		sa->more_at = later(sa->ike);
		return;
	}
	if (!fresh) {
		sa->ike->totals.rekeys_failed++;
		return;
	}
	sa->ike->totals.openings_failed++;
	tunnel_reason(sa->tunnel, "%s", why);
	ike_sa_close(sa, why);		/* an IKE SA without a Child SA is of no use: anew */
}

/* The peer has made it, but we cannot have it: it is told to delete it. */
static enum verdict
spoiled(struct ike_sa *sa, struct child *c, const char *why)
{
	child_state(c, CHILD_DELETING);
	c->lost = true;
	childx_failed(sa, why);
	return V_STAY;
}

void
childx_spoiled(struct ike_sa *sa, const char *why)
{
	(void)spoiled(sa, child_find(sa->ike, sa->mine->child_spi), why);
}

/* Both ends asked at once, and the peer's came through first: ours is of no use. */
static void
give_back(struct ike_sa *sa, struct child *c)
{
	story(sa, LOG_LEVEL_INFO, "child-collision",
	    "spi_in=%08x reason=\"both ends asked for one more; ours yields\"", c->spi_in);
	c->lost = true;
	child_state(c, CHILD_DELETING);
	ike_sa_drop_mine(sa);
}

static enum verdict
finish(struct ike_sa *sa)
{
	struct nego *n = sa->mine;
	struct child *c = child_find(sa->ike, n->child_spi);
	struct child *old = child_find(sa->ike, n->replaces);

	if (n->more && resource_is_served(sa, n->resource)) {
		give_back(sa, c);
		return V_STAY;
	}
	if (!child_install(c, n))
		return spoiled(sa, c, "its keys could not be made");
	sa->req.kind = REQ_NONE;
	sa->want_ask |= n->more;	/* by which the peer knows that we have it */
	sa->tunnel->child_rekeys += old != NULL;
	terms_story(c, old != NULL ? "child-rekeyed" : "child-up");
	collide_child_end(c, old);
	child_pick(sa->tunnel);
	ike_sa_drop_mine(sa);
	return V_STAY;
}

enum verdict
childx_on_response(struct ike_sa *sa, const struct msg *m)
{
	struct nego *n = sa->mine;
	struct child *c = child_find(sa->ike, n->child_spi);

	if (!offer_take_nonce(m, n->nr, &n->nr_len) || !terms_take_answer(c, m, n) ||
	    (n->more && !resource_fits(c)))
		return spoiled(sa, c, "the peer's answer is not what we offered");
	if (sa->req.kind == REQ_CHILD_NEW)
		resource_begin(sa, msg_notify(m, N_SA_RESOURCE_INFO) != NULL);
	low_set(&c->low, n);
	if (n->esp.suite.group == KE_NONE) {
		job_drop(n->job);		/* offered, not taken */
		n->job = NULL;
		return finish(sa);
	}
	if (n->esp.suite.group != n->group || !offer_take_ke(m, n))
		return spoiled(sa, c, "the peer's key exchange is not of the group agreed");
	sa->req.wait = WAIT_SECRET;
	job_submit(sa, n);
	return V_STAY;
}

enum verdict
childx_on_secret(struct ike_sa *sa)
{
	struct nego *n = sa->mine;

	if (n->job->ke.result != KE_DERIVED)
		return spoiled(sa, child_find(sa->ike, n->child_spi),
		    "the peer's public value is not valid");
	return finish(sa);
}

static bool
try_group(struct ike_sa *sa, const struct pld_notify *e)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct rd rd = rd_init(e->data.p, e->data.len);
	enum ke_group group = ke_group_from_wire(rd_u16(&rd));
	struct nego *n = sa->mine;
	bool ours = false;

	for (unsigned i = 0; i < conf->esp_n; i++)
		ours |= conf->esp[i].group == group;
	if (!rd_done(&rd) || !ours || group == KE_NONE || group == n->group ||
	    ++n->tries > GROUPS_MAX)
		return false;
	child_free(child_find(sa->ike, n->child_spi));
	n->child_spi = 0;
	begin(sa, group);
	return true;
}

enum verdict
childx_on_refusal(struct ike_sa *sa, const struct msg *m)
{
	const struct pld_notify *e = msg_error(m);
	struct child *old = child_find(sa->ike, sa->req.target);
	char why[IKE_REASON_MAX];

	if (e == NULL)
		return V_SYNTAX;
	if (e->type == N_INVALID_KE_PAYLOAD && try_group(sa, e))
		return V_STAY;
	if (e->type == N_TEMPORARY_FAILURE) {
		story(sa, LOG_LEVEL_INFO, "child-later", "reason=\"the peer is busy\"");
		keep_old(sa, soon(sa->ike));
		sa->retry_at = sa->more_at = soon(sa->ike);
		ike_sa_drop_mine(sa);
		return V_STAY;
	}
	if (sa->req.kind == REQ_CHILD_MORE) {
		story(sa, LOG_LEVEL_INFO, "child-no-more", "notify=%s", notify_name(e->type));
		sa->no_more = true;
		ike_sa_drop_mine(sa);
		return V_STAY;
	}
	if (e->type == N_CHILD_SA_NOT_FOUND) {
		ike_sa_drop_mine(sa);
		if (old != NULL)
			child_drop(old, "the peer does not have the Child SA any more");
		return V_STAY;
	}
	terms_refusal(sa, e->type, why, sizeof(why));
	childx_failed(sa, why);
	return V_STAY;
}

/* ---- responder ---- */

static void
refuse(struct ike_sa *sa, uint16_t type)
{
	story(sa, LOG_LEVEL_INFO, "child-refused", "notify=%s", notify_name(type));
	(void)send_reply_notify(sa, X_CREATE_CHILD_SA, type);
}

static void
refuse_group(struct ike_sa *sa, enum ke_group group)
{
	uint16_t want = ke_group_wire(group);
	uint8_t data[2] = { (uint8_t)(want >> 8), (uint8_t)want };

	(void)send_reply_data(sa, X_CREATE_CHILD_SA, N_INVALID_KE_PAYLOAD,
	    (struct slice){ data, sizeof(data) });
}

static void
refuse_unknown(struct ike_sa *sa, const struct pld_notify *rekey)
{
	struct pld_notify n = *rekey;
	struct msg_wr mw;

	n.type = N_CHILD_SA_NOT_FOUND;
	send_start(sa, &mw, X_CREATE_CHILD_SA, true);
	pld_notify_write(msg_add(&mw, PLD_N), &n);
	(void)send_reply(sa, &mw);
}

/* True: go on with it. */
static bool
judge(struct ike_sa *sa, const struct pld_notify *rekey, const struct child *old, bool info)
{
	switch (rekey != NULL ? collide_child_rekey(sa, old) : collide_child_new(sa, info)) {
	case COLLIDE_GO:
		return true;
	case COLLIDE_TEMPORARY:
		refuse(sa, N_TEMPORARY_FAILURE);
		return false;
	case COLLIDE_NO_MORE:
		refuse(sa, N_NO_ADDITIONAL_SAS);
		return false;
	case COLLIDE_ENOUGH:
		refuse(sa, N_TS_MAX_QUEUE);
		return false;
	case COLLIDE_NOT_FOUND:
		refuse_unknown(sa, rekey);
		return false;
	}
	return false;
}

/* What we were about to ask for, but have not asked yet, the peer does now. */
static void
stand_back(struct ike_sa *sa, struct child *old)
{
	bool same = old != NULL ? sa->req.kind == REQ_CHILD_REKEY &&
	    sa->req.target == old->spi_in :
	    sa->req.kind == REQ_CHILD_NEW || sa->req.kind == REQ_CHILD_MORE;

	if (!same || sa->req.wait != WAIT_KEY)
		return;
	ike_sa_drop_mine(sa);
	if (old != NULL)
		child_state(old, CHILD_UP);
}

static void
grant(struct ike_sa *sa)
{
	struct nego *n = sa->theirs;
	struct child *c = child_find(sa->ike, n->child_spi);
	struct child *old = child_find(sa->ike, n->replaces);
	struct msg_wr mw;

	if (!child_install(c, n)) {
		ike_sa_drop_theirs(sa);
		refuse(sa, N_TEMPORARY_FAILURE);
		return;
	}
	send_start(sa, &mw, X_CREATE_CHILD_SA, true);
	terms_write_answer(c, &mw, n);
	if (!send_reply(sa, &mw))
		return;
	if (old != NULL) {
		old->want_rekey = false;
		if (old->state == CHILD_UP)
			child_state(old, CHILD_REKEYED);
		sa->tunnel->child_rekeys++;
	}
	if (old == NULL && !n->more)
		resource_begin(sa, n->info);
	terms_story(c, old != NULL ? "child-rekeyed" : "child-up");
	child_pick(sa->tunnel);
	ike_sa_drop_theirs(sa);
}

/* Everything is said; what remains is to compute.  0, or the notify to refuse with. */
static uint16_t
prepare(struct ike_sa *sa, const struct msg *m, struct child *old)
{
	struct nego *n = nego_new(sa->ike);
	struct child *c = NULL;
	uint16_t error;

	sa->theirs = n;
	if (n == NULL)
		return N_TEMPORARY_FAILURE;
	if (!offer_take_nonce(m, n->ni, &n->ni_len))
		return N_INVALID_SYNTAX;
	n->nr_len = NONCE_LEN;
	rng_fill(&sa->ike->env.rng, n->nr, n->nr_len);
	n->more = old == NULL && child_have(sa->tunnel);
	n->resource = old != NULL ? old->resource : n->more ? resource_missing(sa) : 0;
	error = terms_choose(sa, m, n, &c);
	if (error != 0)
		return error;
	if (old != NULL)
		c->replaces = n->replaces = old->spi_in;
	if (n->esp.suite.group == KE_NONE)
		return 0;
	if (offer_ke_group(m) != n->esp.suite.group)
		return N_INVALID_KE_PAYLOAD;
	if (!job_draw(sa, n, n->esp.suite.group))
		return N_TEMPORARY_FAILURE;
	return offer_take_ke(m, n) ? 0 : N_INVALID_SYNTAX;
}

enum verdict
childx_on_request(struct ike_sa *sa, const struct msg *m)
{
	const struct pld_notify *rekey = msg_notify(m, N_REKEY_SA);
	struct child *old = NULL;
	enum ke_group group;
	uint16_t error;

	if (rekey != NULL)
		old = child_by_out(sa, pld_notify_esp_spi(rekey));
	if (!judge(sa, rekey, old, msg_notify(m, N_SA_RESOURCE_INFO) != NULL))
		return V_STAY;
	stand_back(sa, old);
	error = prepare(sa, m, old);
	if (error == 0 && sa->theirs->job != NULL) {
		job_submit(sa, sa->theirs);
	} else if (error == 0) {
		grant(sa);
	} else {
		group = sa->theirs != NULL ? sa->theirs->esp.suite.group : KE_NONE;
		ike_sa_drop_theirs(sa);
		if (error == N_INVALID_KE_PAYLOAD)
			refuse_group(sa, group);
		else
			refuse(sa, error);
	}
	return V_STAY;
}

enum verdict
childx_on_work(struct ike_sa *sa)
{
	if (sa->theirs->job->ke.result == KE_DERIVED) {
		grant(sa);
	} else {
		ike_sa_drop_theirs(sa);
		refuse(sa, N_INVALID_SYNTAX);
	}
	return V_STAY;
}
