/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/log.h"
#include "ike/authx.h"
#include "ike/childx.h"
#include "ike/fsm.h"
#include "ike/inform.h"
#include "ike/init.h"
#include "ike/rekeyx.h"
#include "ike/send.h"
#include "ike/tunnel.h"

#define S(state)	(1u << (state))
#define P_ANY		UINT32_MAX
#define P_EXTRA		(P_N | P_V)			/* what every message may carry */
#define P_AUTH_EXTRA	(P_EXTRA | P_CERT | P_CERTREQ | P_CP)
#define P_CHILD		(P_SA | P_NONCE | P_TSI | P_TSR)
#define P_REKEY		(P_SA | P_NONCE | P_KE)

struct request_rule {
	unsigned when;			/* states of the IKE SA */
	uint8_t exchange;
	uint32_t must, may;
	enum verdict (*handler)(struct ike_sa *sa, const struct msg *m);
	enum sa_state next;
	const char *story;
};

static enum verdict too_late(struct ike_sa *sa, const struct msg *m);

#define S_LATE	(S(SA_REKEYED) | S(SA_DELETING))
#define P_PEER	(P_IDI | P_SA | P_TSI | P_TSR)

static const struct request_rule requests[] = {
/* when                exchange           must              may */
{ S(SA_INIT_DONE),     X_IKE_AUTH,        P_PEER | P_AUTH,  P_IDR | P_AUTH_EXTRA,
    authx_on_request,    SA_UP,        "peer proves who it is" },
{ S(SA_INIT_DONE),     X_IKE_AUTH,        P_PEER,           P_IDR | P_AUTH_EXTRA,
    authx_on_eap,        SA_REFUSED,   "peer wants EAP" },
{ S(SA_UP),            X_CREATE_CHILD_SA, P_REKEY,          P_EXTRA,
    rekeyx_on_request,   SA_UP,        "peer rekeys the IKE SA" },
{ S(SA_UP),            X_CREATE_CHILD_SA, P_CHILD,          P_KE | P_CP | P_EXTRA,
    childx_on_request,   SA_UP,        "peer asks for a Child SA" },
{ S_LATE,              X_CREATE_CHILD_SA, P_SA | P_NONCE,   P_ANY,
    too_late,            SA_REKEYED,   "peer asks for an SA too late" },
{ S(SA_UP) | S_LATE,   X_INFORMATIONAL,   0,                P_D | P_CP | P_EXTRA,
    inform_on_request,   SA_UP,        "peer informs or asks" },
};

struct answer_rule {
	enum request_kind kind;		/* of our request */
	uint8_t exchange;
	uint32_t must, may;
	enum verdict (*handler)(struct ike_sa *sa, const struct msg *m);
	enum sa_state next;
	const char *story;
};

static const struct answer_rule answers[] = {
{ REQ_INIT,         X_IKE_SA_INIT,     P_SA | P_KE | P_NONCE,            P_CERTREQ | P_EXTRA,
    init_on_response,    SA_KEYING,    "peer answers our opening" },
{ REQ_INIT,         X_IKE_SA_INIT,     P_N,                              P_V,
    init_on_notify,      SA_INIT_SENT, "peer wants a cookie or another group, or refuses" },
{ REQ_AUTH,         X_IKE_AUTH,        P_IDR | P_AUTH | P_SA | P_TSI | P_TSR, P_AUTH_EXTRA,
    authx_on_response,   SA_UP,        "peer proves who it is" },
{ REQ_AUTH,         X_IKE_AUTH,        P_IDR | P_AUTH | P_N,             P_AUTH_EXTRA,
    authx_on_childless,  SA_DELETING,  "peer refuses the Child SA" },
{ REQ_AUTH,         X_IKE_AUTH,        P_N,                              P_V,
    authx_on_refusal,    SA_GONE,      "peer refuses us" },
{ REQ_CHILD_NEW,    X_CREATE_CHILD_SA, P_CHILD,                          P_KE | P_CP | P_EXTRA,
    childx_on_response,  SA_UP,        "peer grants a Child SA" },
{ REQ_CHILD_NEW,    X_CREATE_CHILD_SA, P_N,                              P_V,
    childx_on_refusal,   SA_UP,        "peer refuses a Child SA" },
{ REQ_CHILD_MORE,   X_CREATE_CHILD_SA, P_CHILD,                          P_KE | P_CP | P_EXTRA,
    childx_on_response,  SA_UP,        "peer grants one more Child SA" },
{ REQ_CHILD_MORE,   X_CREATE_CHILD_SA, P_N,                              P_V,
    childx_on_refusal,   SA_UP,        "peer refuses one more Child SA" },
{ REQ_CHILD_REKEY,  X_CREATE_CHILD_SA, P_CHILD,                          P_KE | P_CP | P_EXTRA,
    childx_on_response,  SA_UP,        "peer grants the rekey of the Child SA" },
{ REQ_CHILD_REKEY,  X_CREATE_CHILD_SA, P_N,                              P_V,
    childx_on_refusal,   SA_UP,        "peer refuses the rekey of the Child SA" },
{ REQ_IKE_REKEY,    X_CREATE_CHILD_SA, P_REKEY,                          P_EXTRA,
    rekeyx_on_response,  SA_UP,        "peer grants the rekey of the IKE SA" },
{ REQ_IKE_REKEY,    X_CREATE_CHILD_SA, P_N,                              P_V,
    rekeyx_on_refusal,   SA_UP,        "peer refuses the rekey of the IKE SA" },
{ REQ_CHILD_DELETE, X_INFORMATIONAL,   0,                                P_D | P_EXTRA,
    inform_on_child_deleted, SA_UP,    "peer knows of the delete of the Child SA" },
{ REQ_IKE_DELETE,   X_INFORMATIONAL,   0,                                P_D | P_EXTRA,
    inform_on_deleted,   SA_GONE,      "peer knows of the delete of the IKE SA" },
{ REQ_ASK,          X_INFORMATIONAL,   0,                                P_EXTRA,
    inform_on_answer,    SA_UP,        "peer lives" },
{ REQ_TELL,         X_INFORMATIONAL,   0,                                P_EXTRA,
    inform_on_answer,    SA_UP,        "peer was told" },
};

struct work_rule {
	enum request_kind kind;
	enum request_wait wait;
	enum verdict (*handler)(struct ike_sa *sa);
	enum sa_state next;
	const char *story;
};

static const struct work_rule works[] = {
{ REQ_INIT,        WAIT_KEY,    init_on_key,      SA_INIT_SENT, "our opening leaves" },
{ REQ_INIT,        WAIT_SECRET, authx_on_secret,  SA_AUTH_SENT, "we prove who we are" },
{ REQ_CHILD_NEW,   WAIT_KEY,    childx_on_key,    SA_UP,        "we ask for a Child SA" },
{ REQ_CHILD_NEW,   WAIT_SECRET, childx_on_secret, SA_UP,        "the Child SA has its keys" },
{ REQ_CHILD_MORE,  WAIT_KEY,    childx_on_key,    SA_UP,        "we ask for one more Child SA" },
{ REQ_CHILD_MORE,  WAIT_SECRET, childx_on_secret, SA_UP,        "the Child SA has its keys" },
{ REQ_CHILD_REKEY, WAIT_KEY,    childx_on_key,    SA_UP,        "we rekey the Child SA" },
{ REQ_CHILD_REKEY, WAIT_SECRET, childx_on_secret, SA_UP,        "the new Child SA has its keys" },
{ REQ_IKE_REKEY,   WAIT_KEY,    rekeyx_on_key,    SA_UP,        "we rekey the IKE SA" },
{ REQ_IKE_REKEY,   WAIT_SECRET, rekeyx_on_secret, SA_DELETING,   "the new IKE SA has its keys" },
};

/* Computed for the peer: by the state, and by what its exchange makes. */
static const struct {
	unsigned when;
	bool heir;
	enum verdict (*handler)(struct ike_sa *sa);
	enum sa_state next;
	const char *story;
} their_works[] = {
{ S(SA_NEW), false, init_on_work,   SA_INIT_DONE, "we answer the peer's opening" },
{ S(SA_UP),  true,  rekeyx_on_work, SA_UP,        "we grant the rekey of the IKE SA" },
{ S(SA_UP),  false, childx_on_work, SA_UP,        "we grant a Child SA" },
};

#define N_OF(table)	(sizeof(table) / sizeof((table)[0]))

/* Payloads that a message has once at most. */
#define P_ONCE	(P_SA | P_KE | P_IDI | P_IDR | P_AUTH | P_NONCE | P_TSI | P_TSR | P_CP)

static bool
is_sound(const struct msg *m, uint32_t must, uint32_t may)
{
	if ((m->present & must) != must || (m->present & ~(must | may)) != 0)
		return false;
	for (uint8_t type = PLD_SA; type < PLD_SA + 32; type++)
		if ((P_BIT(type) & P_ONCE) != 0 && m->count[type - PLD_SA] > 1)
			return false;
	return true;
}

bool
fsm_opening_is_sound(const struct msg *m)
{
	return is_sound(m, P_SA | P_KE | P_NONCE, P_EXTRA);
}

/* One line an event: INFO for what makes SAs, DEBUG for the rest. */
static void
tell(const struct ike_sa *sa, uint8_t exchange, const char *what)
{
	story(sa, exchange == X_INFORMATIONAL ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "ike-step",
	    "story=\"%s\"", what);
}

static void
follow(struct ike_sa *sa, enum verdict v, enum sa_state next)
{
	if (v == V_NEXT && sa->state != next && sa->state != SA_GONE)
		ike_sa_state(sa, next);
}

static enum verdict
too_late(struct ike_sa *sa, const struct msg *m)
{
	(void)m;
	send_reply_notify(sa, X_CREATE_CHILD_SA, N_TEMPORARY_FAILURE);
	return V_STAY;
}

/* Authenticated and the newest: the peer is where it came from (R27). */
static void
peer_is_there(struct ike_sa *sa)
{
	struct ike *ike = sa->ike;
	struct tunnel *t = sa->tunnel;
	bool moved;

	if (t == NULL || sa->state < SA_UP)
		return;
	moved = !endpoint_equal(&sa->remote, &ike->remote) &&
	    tunnel_may_move(t, &sa->remote, &ike->remote);
	if (moved) {
		story(sa, LOG_LEVEL_INFO, "ike-moved", "reason=\"the peer's endpoint changed\"");
		sa->remote = ike->remote;
	}
	if (!endpoint_equal(&sa->local, &ike->local)) {
		sa->local = ike->local;
		moved = true;
	}
	if (moved && t->out != NULL && t->out->sa == sa)
		queue_put(&ike->queue, &(struct ike_action){
			.kind = IKE_ENDPOINT, .tunnel = t->conf.id,
			.local = sa->local, .remote = sa->remote,
		});
}

static void
heard(struct ike_sa *sa)
{
	sa->heard = sa->ike->now;
	if (sa->tunnel == NULL || sa->state < SA_UP || sa->state > SA_DELETING)
		return;
	queue_put(&sa->ike->queue, &(struct ike_action){
		.kind = IKE_ALIVE, .tunnel = sa->tunnel->conf.id,
	});
}

/* A request that no rule takes.  Before IKE_AUTH such a peer gets one answer and no second
 * chance; afterwards it is told and the IKE SA stays (a stranger cannot come here). */
static void
refuse(struct ike_sa *sa, const struct msg *m, uint16_t type)
{
	struct slice data = { &m->critical, type == N_UNSUPPORTED_CRITICAL_PAYLOAD };

	story(sa, LOG_LEVEL_WARN, "ike-refused", "exchange=%u notify=%s", m->h.exchange,
	    notify_name(type));
	if (send_reply_data(sa, m->h.exchange, type, data) && sa->state == SA_INIT_DONE)
		ike_sa_state(sa, SA_REFUSED);
}

static bool
state_takes(const struct ike_sa *sa, uint8_t exchange)
{
	for (size_t i = 0; i < N_OF(requests); i++)
		if ((requests[i].when & S(sa->state)) != 0 && requests[i].exchange == exchange)
			return true;
	return false;
}

static void
on_request(struct ike_sa *sa, const struct msg *m, enum msg_verdict sound)
{
	enum verdict v;

	/* Before IKE_AUTH only IKE_AUTH is heard at all; later all is answered. */
	if (!state_takes(sa, m->h.exchange) &&
	    (sa->state < SA_UP || sa->state == SA_REFUSED)) {
		sa->ike->totals.dropped++;
		return;
	}
	peer_is_there(sa);
	child_known_all(sa);
	xchg_begin(&sa->x);
	sa->ask_local = sa->ike->local;
	sa->ask_remote = sa->ike->remote;
	if (sound == MSG_CRITICAL) {
		refuse(sa, m, N_UNSUPPORTED_CRITICAL_PAYLOAD);
		return;
	}
	for (size_t i = 0; sound == MSG_OK && i < N_OF(requests); i++) {
		const struct request_rule *r = &requests[i];

		if ((r->when & S(sa->state)) == 0 || r->exchange != m->h.exchange ||
		    !is_sound(m, r->must, r->may))
			continue;
		tell(sa, r->exchange, r->story);
		v = r->handler(sa, m);
		if (v != V_SYNTAX) {
			follow(sa, v, r->next);
			return;
		}
		break;
	}
	refuse(sa, m, N_INVALID_SYNTAX);
}

/* An answer that no rule takes ends the exchange as a refusal would. */
static void
bad_answer(struct ike_sa *sa)
{
	story(sa, LOG_LEVEL_WARN, "ike-bad-answer", "state=\"%s\"", ike_sa_state_name(sa->state));
	switch (sa->req.kind) {
	case REQ_CHILD_NEW:
	case REQ_CHILD_MORE:
	case REQ_CHILD_REKEY:
		childx_spoiled(sa, "the peer's answer is malformed");
		break;
	case REQ_IKE_REKEY:
		rekeyx_failed(sa, "the peer's answer is malformed");
		break;
	case REQ_CHILD_DELETE:
		(void)inform_on_child_deleted(sa, NULL);
		break;
	case REQ_IKE_DELETE:
		ike_sa_state(sa, SA_GONE);
		break;
	case REQ_NONE:
	case REQ_INIT:
	case REQ_AUTH:
		ike_sa_dead(sa, "the peer's answer is malformed");
		break;
	case REQ_ASK:
	case REQ_TELL:
		sa->req.kind = REQ_NONE;
		break;
	}
}

static void
on_answer(struct ike_sa *sa, const struct msg *m, enum msg_verdict sound)
{
	enum verdict v = V_SYNTAX;

	peer_is_there(sa);
	if (sa->req.kind == REQ_NONE) {		/* of an exchange that we have given up */
		xchg_answered(&sa->x);
		return;
	}
	for (size_t i = 0; sound == MSG_OK && i < N_OF(answers); i++) {
		const struct answer_rule *r = &answers[i];

		if (r->kind != sa->req.kind || r->exchange != m->h.exchange ||
		    !is_sound(m, r->must, r->may))
			continue;
		if (r->exchange != X_IKE_SA_INIT)
			xchg_answered(&sa->x);
		tell(sa, r->exchange, r->story);
		v = r->handler(sa, m);
		if (v != V_SYNTAX) {
			follow(sa, v, r->next);
			return;
		}
		break;
	}
	if (m->h.exchange == X_IKE_SA_INIT)	/* anybody could have sent it: wait on */
		return;
	if (sa->x.out != NULL && v == V_SYNTAX)
		xchg_answered(&sa->x);
	bad_answer(sa);
}

/* An answer is to the exchange that was asked in, else it is none. */
static enum xchg_judgement
judge(const struct ike_sa *sa, const struct msg *m, bool response)
{
	enum xchg_judgement j = xchg_judge(&sa->x, response, m->h.id);
	struct ike_hdr asked;

	if (j == XCHG_ANSWER &&
	    (msg_parse_header(sa->x.out->data, sa->x.out->len, &asked) != MSG_OK ||
	    asked.exchange != m->h.exchange))
		return XCHG_STALE;
	return j;
}

/*
 * Unprotected words about an established SA prove nothing.  They may be a reason to ask, now and
 * then (R28).  When our question itself is answered so, twice, and by nothing else, the peer may
 * have started anew: the tunnel is opened once more beside what there is, which stays until the
 * peer has proved itself there.
 */
#define PROVOKED_EVERY	USEC_S(10)

static void
on_unprotected(struct ike_sa *sa, const struct msg *m)
{
	struct ike *ike = sa->ike;
	bool unknown = msg_notify(m, N_INVALID_IKE_SPI) != NULL;
	bool answer = (m->h.flags & IKE_F_RESPONSE) != 0 && judge(sa, m, true) == XCHG_ANSWER;

	ike->totals.dropped++;
	if (sa->state != SA_UP || (!answer && m->h.exchange != X_INFORMATIONAL))
		return;
	if (!unknown && msg_notify(m, N_INVALID_SPI) == NULL)
		return;
	if (unknown && answer && sa->x.sent >= 2 &&
	    (sa->again_at == 0 || ike->now >= usec_add(sa->again_at, PROVOKED_EVERY))) {
		sa->again_at = ike->now;
		story(sa, LOG_LEVEL_INFO, "ike-unknown-there",
		    "reason=\"the peer does not know this IKE SA, or somebody says so; opening another\"");
		tunnel_again(sa->tunnel);
	}
	if (sa->asked_at != 0 && ike->now < usec_add(sa->asked_at, PROVOKED_EVERY))
		return;
	sa->asked_at = ike->now;
	sa->want_ask = true;
}

static void
on_protected(struct ike_sa *sa, const struct msg *outer)
{
	struct ike *ike = sa->ike;
	struct msg_cipher c = { &sa->keys->in, ike->scratch };
	bool response = (outer->h.flags & IKE_F_RESPONSE) != 0;
	enum msg_verdict sound;
	struct msg m;

	sound = msg_open(outer, &c, ike->plain, MSG_LEN_MAX, &m);
	if (sound == MSG_ICV) {
		ike->totals.dropped++;
		return;
	}
	switch (judge(sa, &m, response)) {
	case XCHG_NEW:
		heard(sa);
		on_request(sa, &m, sound);
		break;
	case XCHG_ANSWER:
		heard(sa);
		on_answer(sa, &m, sound);
		break;
	case XCHG_REPEAT:
		send_reply_again(sa);
		break;
	case XCHG_BUSY:
	case XCHG_STALE:
		ike->totals.dropped++;
		break;
	}
	secret_wipe(ike->plain, outer->raw.len);
}

void
fsm_datagram(struct ike_sa *sa, const uint8_t *data, size_t len)
{
	struct msg m;
	enum msg_verdict sound = msg_parse(data, len, &m);
	bool init = m.h.exchange == X_IKE_SA_INIT;

	if (sound == MSG_OK && sa->state == SA_INIT_SENT && init &&
	    xchg_judge(&sa->x, (m.h.flags & IKE_F_RESPONSE) != 0, m.h.id) == XCHG_ANSWER)
		on_answer(sa, &m, sound);
	else if (sound == MSG_OK && !init && sa->keys != NULL && (m.present & P_SK) != 0)
		on_protected(sa, &m);
	else if (sound == MSG_OK)
		on_unprotected(sa, &m);
	else
		sa->ike->totals.dropped++;
	ike_sa_step(sa);
}

void
fsm_work(struct ike_sa *sa, bool theirs)
{
	if (theirs) {
		for (size_t i = 0; i < N_OF(their_works); i++) {
			if ((their_works[i].when & S(sa->state)) == 0 ||
			    their_works[i].heir != (sa->theirs->heir_spi != 0))
				continue;
			follow(sa, their_works[i].handler(sa), their_works[i].next);
			break;
		}
		ike_sa_step(sa);
		return;
	}
	for (size_t i = 0; i < N_OF(works); i++) {
		if (works[i].kind != sa->req.kind || works[i].wait != sa->req.wait)
			continue;
		tell(sa, sa->req.kind == REQ_INIT ? X_IKE_SA_INIT : X_CREATE_CHILD_SA,
		    works[i].story);
		follow(sa, works[i].handler(sa), works[i].next);
		break;
	}
	ike_sa_step(sa);
}
