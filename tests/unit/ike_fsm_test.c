/* SPDX-License-Identifier: MIT */
/*
 * The tables.  Which rule took a message is read from the log, where each tells its story; the
 * expectations here are RFC 7296's (1.2, 1.3, 1.4, 2.25 and appendix C), cell by cell.  How a
 * message is judged before it comes to a table is in ike_fsm_message_test.
 */
#include "ike/fsm.h"

#include "tests/unit/ike_rig.h"

#define S_AUTH		(P_IDI | P_AUTH | P_SA | P_TSI | P_TSR)
#define S_EAP		(P_IDI | P_SA | P_TSI | P_TSR)
#define S_PROOF		(P_IDR | P_AUTH | P_SA | P_TSI | P_TSR)
#define S_CHILDLESS	(P_IDR | P_AUTH | P_N)
#define S_CHILD		(P_SA | P_NONCE | P_TSI | P_TSR)
#define S_REKEY		(P_SA | P_KE | P_NONCE)
#define N_OF(a)		(sizeof(a) / sizeof((a)[0]))
static const uint32_t sets[] = {
	0, S_AUTH, S_EAP, S_PROOF, S_CHILDLESS, S_CHILD, S_REKEY, P_N, P_D,
};
static uint8_t buf[4096];
static struct rig_letter letter;

/* A body that parses, though it need not be what a handler hopes for. */
static void
put(struct rig *r, struct msg_wr *mw, uint8_t type, uint8_t exchange)
{
	static const uint8_t bytes[32] = { 9 };
	static const uint32_t spi = 0x9999;
	struct wr *w = msg_add(mw, type);

	switch (type) {
	case PLD_SA:
		if (exchange == X_IKE_SA_INIT)
			sa_write_ike(w, r->conf.ike, 1, 0);
		else
			sa_write_esp(w, r->conf.esp, 1, 0x4444, false);
		break;
	case PLD_KE:
		pld_ke_write(w, &(struct pld_ke){ 31, bytes, 32 });
		break;
	case PLD_IDI:
	case PLD_IDR:
		pld_id_write(w, &r->conf.remote_id);
		break;
	case PLD_AUTH:
		pld_auth_write(w, &(struct pld_auth){ AUTH_METHOD_PSK, bytes, 32 });
		break;
	case PLD_N:
		pld_notify_write(w, &(struct pld_notify){ .type = N_NO_PROPOSAL_CHOSEN });
		break;
	case PLD_D:
		pld_delete_write(w, PROTO_ESP, &spi, 1);
		break;
	case PLD_TSI:
	case PLD_TSR:
		ts_write(w, &r->conf.ts_local);
		break;
	default:
		wr_bytes(w, bytes, 32);
		break;
	}
}

/* The peer says something with these payloads, and `twice` once more. */
static void
say(struct rig *r, struct ike_sa *sa, struct ike_hdr h, uint32_t set, uint32_t twice)
{
	bool clear = h.exchange == X_IKE_SA_INIT;
	struct msg_wr mw;

	rig_write(sa, &mw, h, buf);
	if (clear) {
		h.spi_i = sa->spi;
		h.spi_r = sa->peer_spi;
		msg_start(&mw, buf, sizeof(buf), &h);
	}
	for (uint8_t type = PLD_SA; type <= PLD_SKF; type++) {
		if ((set & P_BIT(type)) != 0)
			put(r, &mw, type, h.exchange);
		if ((twice & P_BIT(type)) != 0)
			put(r, &mw, type, h.exchange);
	}
	rig_hush(r);
	fsm_datagram(sa, buf, clear ? msg_end(&mw) : rig_seal(r, sa, &mw));
}

static bool
told(const struct rig *r, const char *story)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "story=\"%s\"", story);
	return rig_said(r, line);
}

/* Of the next cell: everything of the one before is gone. */
static void
clean(struct rig *r)
{
	size_t pos = 0;
	uint64_t key;
	void *p;

	rig_drain(r);
	while (map_each(r->ike->sas, &pos, &key, &p))
		ike_sa_dead(p, "next");
	ike_sa_settle(r->ike);
	rig_drain(r);
	ck_assert_uint_eq(r->ike->totals.ike_sas, 0);
	ck_assert_uint_eq(r->ike->totals.child_sas, 0);
}

/* ---- requests ---- */

enum fate {
	DROPPED,
	TAKEN,
	LATE,				/* TEMPORARY_FAILURE */
	REFUSED,			/* INVALID_SYNTAX */
};

/* What an IKE SA of ours in `state` does about a protected request; *story: the rule. */
static enum fate
expected(enum sa_state state, uint8_t exchange, uint32_t set, const char **story)
{
	bool up = state == SA_UP, late = state == SA_REKEYED || state == SA_DELETING;

	*story = "";
	if (exchange == X_IKE_SA_INIT)
		return DROPPED;		/* it is never protected */
	if (state == SA_INIT_DONE && exchange == X_IKE_AUTH) {
		*story = set == S_AUTH ? "peer proves who it is" : "peer wants EAP";
		return set == S_AUTH || set == S_EAP ? TAKEN : REFUSED;
	}
	if (!up && !late)
		return DROPPED;
	if (exchange == X_CREATE_CHILD_SA && (set == S_CHILD || set == S_REKEY)) {
		*story = late ? "peer asks for an SA too late" : set == S_REKEY ?
		    "peer rekeys the IKE SA" : "peer asks for a Child SA";
		return late ? LATE : TAKEN;
	}
	*story = "peer informs or asks";
	return exchange == X_INFORMATIONAL && (set == 0 || set == P_N || set == P_D) ?
	    TAKEN : REFUSED;
}

static void
check_request(struct rig *r, enum sa_state state, bool initiator, const struct ike_hdr *h,
    uint32_t set)
{
	struct ike_sa *sa = rig_sa(r, state, initiator);
	uint64_t dropped = r->ike->totals.dropped;
	const char *story;
	enum fate want = expected(state, h->exchange, set, &story);
	struct ike_action a;
	char what[160];

	say(r, sa, *h, set, 0);
	(void)snprintf(what, sizeof(what), "%s %s: exchange %u, payloads %#x",
	    initiator ? "initiator" : "responder", ike_sa_state_name(state), h->exchange, set);
	ck_assert_msg(rig_said(r, "ike-step") == (want == TAKEN || want == LATE), "%s", what);
	ck_assert_msg(want == DROPPED || want == REFUSED || told(r, story), "%s", what);
	ck_assert_msg(rig_said(r, "notify=INVALID_SYNTAX") == (want == REFUSED) || want == TAKEN,
	    "%s", what);
	ck_assert_msg(r->ike->totals.dropped - dropped == (want == DROPPED), "%s", what);
	if (want == DROPPED) {				/* nor does its message ID count */
		ck_assert_msg(sa->state == state && sa->x.in_id == 0 && !sa->x.busy, "%s", what);
		while (rig_next(r, &a) && state != SA_DELETING)
			ck_assert_msg(a.kind != IKE_SEND, "%s", what);
	} else if (want == LATE || want == REFUSED) {
		if (state >= SA_UP)
			(void)rig_expect(r, IKE_ALIVE);
		ck_assert_uint_eq(sa->x.in_id, 1);
		ck_assert_int_eq(sa->state, state == SA_INIT_DONE ? SA_REFUSED : state);
	}
	if (want == LATE || want == REFUSED) {
		rig_read(r, sa, &letter);
		ck_assert_uint_eq(letter.m.h.exchange, h->exchange);
		ck_assert_uint_eq(letter.m.notify[0].type, want == LATE ? N_TEMPORARY_FAILURE :
		    N_INVALID_SYNTAX);
	}
	clean(r);
}

/* R1: every exchange type there is or could be, in every state and both roles. */
START_TEST(every_request_in_every_state)
{
	struct rig r;

	rig_init(&r);
	for (unsigned i = 0; i < 2 * SA_GONE; i++) {
		if (i == 2 * SA_INIT_DONE)		/* only a responder can be there */
			continue;
		for (unsigned x = 0; x < 256; x++) {
			struct ike_hdr h = { .exchange = (uint8_t)x };
			bool near = x >= X_IKE_SA_INIT - 1 && x <= X_INFORMATIONAL + 1;

			for (size_t k = 0; k < (near ? N_OF(sets) : 1); k++)
				if (x != X_IKE_SA_INIT)
					check_request(&r, i / 2, i % 2 == 0, &h, sets[k]);
		}
	}
	rig_fini(&r);
}
END_TEST

/* An opening belongs to nobody yet; it does not come here, and sealed it is nothing. */
START_TEST(no_opening_inside_an_ike_sa)
{
	struct rig r;

	rig_init(&r);
	for (unsigned state = SA_NEW; state < SA_GONE; state++) {
		struct ike_sa *sa = rig_sa(&r, state, true);

		say(&r, sa, (struct ike_hdr){ .exchange = X_IKE_SA_INIT }, S_REKEY, 0);
		ck_assert(sa->state == state && !rig_said(&r, "ike-step"));
		ck_assert_uint_eq(sa->x.in_id, 0);
		clean(&r);
	}
	rig_fini(&r);
}
END_TEST

/* ---- answers ---- */

static const struct answer {
	enum request_kind kind;
	uint8_t exchange;
	uint32_t must, may;
	const char *story;
} answers[] = {
	{ REQ_INIT, X_IKE_SA_INIT, S_REKEY, P_CERTREQ | P_N | P_V, "peer answers our opening" },
	{ REQ_INIT, X_IKE_SA_INIT, P_N, P_V, "peer wants a cookie or another group, or refuses" },
	{ REQ_AUTH, X_IKE_AUTH, S_PROOF, P_CERT | P_CERTREQ | P_CP | P_N | P_V,
	  "peer proves who it is" },
	{ REQ_AUTH, X_IKE_AUTH, S_CHILDLESS, P_CERT | P_CERTREQ | P_CP | P_V,
	  "peer refuses the Child SA" },
	{ REQ_AUTH, X_IKE_AUTH, P_N, P_V, "peer refuses us" },
	{ REQ_CHILD_NEW, X_CREATE_CHILD_SA, S_CHILD, P_KE | P_CP | P_N | P_V,
	  "peer grants a Child SA" },
	{ REQ_CHILD_NEW, X_CREATE_CHILD_SA, P_N, P_V, "peer refuses a Child SA" },
	{ REQ_CHILD_MORE, X_CREATE_CHILD_SA, S_CHILD, P_KE | P_CP | P_N | P_V,
	  "peer grants one more Child SA" },
	{ REQ_CHILD_MORE, X_CREATE_CHILD_SA, P_N, P_V, "peer refuses one more Child SA" },
	{ REQ_CHILD_REKEY, X_CREATE_CHILD_SA, S_CHILD, P_KE | P_CP | P_N | P_V,
	  "peer grants the rekey of the Child SA" },
	{ REQ_CHILD_REKEY, X_CREATE_CHILD_SA, P_N, P_V, "peer refuses the rekey of the Child SA" },
	{ REQ_IKE_REKEY, X_CREATE_CHILD_SA, S_REKEY, P_N | P_V,
	  "peer grants the rekey of the IKE SA" },
	{ REQ_IKE_REKEY, X_CREATE_CHILD_SA, P_N, P_V, "peer refuses the rekey of the IKE SA" },
	{ REQ_CHILD_DELETE, X_INFORMATIONAL, 0, P_D | P_N | P_V,
	  "peer knows of the delete of the Child SA" },
	{ REQ_IKE_DELETE, X_INFORMATIONAL, 0, P_D | P_N | P_V,
	  "peer knows of the delete of the IKE SA" },
	{ REQ_ASK, X_INFORMATIONAL, 0, P_N | P_V, "peer lives" },
	{ REQ_TELL, X_INFORMATIONAL, 0, P_N | P_V, "peer was told" },
};

static uint8_t
exchange_of(enum request_kind kind)
{
	for (size_t i = 0; i < N_OF(answers); i++)
		if (answers[i].kind == kind)
			return answers[i].exchange;
	return X_INFORMATIONAL;
}

/* An IKE SA that has asked for something, or (WAIT_KEY, WAIT_SECRET) computes for it. */
static struct ike_sa *
asking(struct rig *r, enum request_kind kind, enum request_wait wait)
{
	enum sa_state state = kind == REQ_INIT ? SA_INIT_SENT : kind == REQ_AUTH ? SA_AUTH_SENT :
	    kind == REQ_IKE_DELETE ? SA_DELETING : SA_UP;
	bool child = kind == REQ_CHILD_NEW || kind == REQ_CHILD_MORE || kind == REQ_CHILD_REKEY;
	bool makes = child || kind == REQ_IKE_REKEY;
	struct ike_sa *sa = rig_sa(r, state, true);
	struct child *c;
	struct msg_wr mw;

	sa->req = (struct request){ .kind = kind, .wait = wait };
	if (makes)
		sa->mine = rig_nego(r);
	if (sa->mine != NULL) {
		ck_assert(job_draw(sa, sa->mine, KE_CURVE25519));
		sa->mine->job->ke.result = KE_FAILED;
	}
	if (kind == REQ_CHILD_REKEY || kind == REQ_CHILD_DELETE) {
		c = rig_child(r, sa, true);
		child_state(c, kind == REQ_CHILD_REKEY ? CHILD_REKEYING : CHILD_DELETING);
		c->delete_sent = true;
		sa->req.target = c->spi_in;
	}
	if (kind == REQ_AUTH || child)
		sa->mine->child_spi = child_new(sa, true, 0)->spi_in;
	if (kind == REQ_IKE_REKEY)
		sa->mine->heir_spi = ike_sa_new(r->ike, NULL, true)->spi;
	if (wait == WAIT_ANSWER) {
		send_start(sa, &mw, exchange_of(kind), false);
		ck_assert(send_request(sa, &mw, XCHG_UP));
	}
	rig_drain(r);
	return sa;
}

static const char *
story_of(enum request_kind kind, uint32_t set)
{
	for (size_t i = 0; i < N_OF(answers); i++) {
		const struct answer *a = &answers[i];

		if (a->kind == kind && (set & a->must) == a->must &&
		    (set & ~(a->must | a->may)) == 0)
			return a->story;
	}
	return NULL;
}

/* What no rule takes ends the exchange as a refusal would; only an opening waits on, for
 * anybody may have sent that. */
static void
check_bad_answer(const struct rig *r, const struct ike_sa *sa, enum request_kind kind)
{
	const struct child *c = sa->children;

	ck_assert_int_eq(rig_said(r, "ike-bad-answer"), kind != REQ_INIT);
	switch (kind) {
	case REQ_INIT:
		ck_assert(sa->state == SA_INIT_SENT && sa->x.out != NULL);
		ck_assert_int_eq(sa->req.kind, REQ_INIT);
		break;
	case REQ_AUTH:
	case REQ_IKE_DELETE:
		ck_assert_int_eq(sa->state, SA_GONE);
		break;
	case REQ_CHILD_NEW:
		ck_assert(sa->state == SA_DELETING && sa->req.kind == REQ_IKE_DELETE);
		break;
	case REQ_CHILD_MORE:
		ck_assert(sa->state == SA_UP && sa->req.kind == REQ_CHILD_DELETE && sa->mine == NULL);
		ck_assert(c->state == CHILD_DELETING && c->spi_in == sa->req.target);
		ck_assert(c->next == NULL && sa->more_at > r->ike->now);
		break;
	case REQ_CHILD_REKEY:
		/* The peer has what was asked for, and is told to delete it. */
		ck_assert(sa->state == SA_UP && sa->req.kind == REQ_CHILD_DELETE && sa->mine == NULL);
		ck_assert(c->state == CHILD_DELETING && c->spi_in == sa->req.target);
		c = c->next;
		ck_assert(c->state == CHILD_UP && c->next == NULL && c->rekey_at > r->ike->now);
		break;
	case REQ_IKE_REKEY:
		ck_assert(sa->state == SA_UP && sa->req.kind == REQ_NONE && sa->mine == NULL);
		break;
	case REQ_CHILD_DELETE:
		ck_assert(sa->state == SA_UP && c == NULL);
		break;
	case REQ_NONE:
	case REQ_ASK:
	case REQ_TELL:
		ck_assert(sa->state == SA_UP && sa->req.kind == REQ_NONE);
		break;
	}
}

/* Every answer to every request: by the right exchange with the right payloads. */
START_TEST(every_answer_to_every_request)
{
	struct rig r;

	rig_init(&r);
	for (unsigned kind = REQ_INIT; kind <= REQ_TELL; kind++) {
		for (unsigned i = 0; i < N_OF(sets) * 6; i++) {
			uint8_t x = (uint8_t)(X_IKE_SA_INIT + i / N_OF(sets));
			struct ike_sa *sa = asking(&r, kind, WAIT_ANSWER);
			const char *story = story_of(kind, sets[i % N_OF(sets)]);
			bool right = x == exchange_of(kind);

			say(&r, sa, (struct ike_hdr){ .exchange = x, .flags = IKE_F_RESPONSE },
			    sets[i % N_OF(sets)], 0);
			ck_assert_msg(rig_said(&r, "ike-step") == (right && story != NULL),
			    "request %u, exchange %u, payloads %#x", kind, x, sets[i % N_OF(sets)]);
			if (!right) {		/* not the answer: waits on */
				ck_assert(sa->x.out != NULL && sa->x.out_id == 0);
				ck_assert(sa->req.kind == kind && sa->req.wait == WAIT_ANSWER);
			} else if (story == NULL) {
				check_bad_answer(&r, sa, kind);
			} else {
				ck_assert(told(&r, story));
			}
			clean(&r);
		}
	}
	rig_fini(&r);
}
END_TEST

/* The answer to what we have given up meanwhile makes room for the next request. */
START_TEST(an_answer_nobody_waits_for)
{
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = asking(&r, REQ_ASK, WAIT_ANSWER);
	sa->req.kind = REQ_NONE;
	say(&r, sa, (struct ike_hdr){ .exchange = X_INFORMATIONAL, .flags = IKE_F_RESPONSE },
	    S_CHILD, 0);
	ck_assert(sa->x.out == NULL && sa->x.out_id == 1 && sa->state == SA_UP);
	ck_assert_uint_eq(r.log_len, 0);
	rig_fini(&r);
}
END_TEST

/* ---- payloads (R17) ---- */

static const struct {
	enum sa_state state;
	uint8_t exchange;
	uint32_t must, may;
	const char *story;
} requests[] = {
	{ SA_INIT_DONE, X_IKE_AUTH, S_AUTH, P_IDR | P_CERT | P_CERTREQ | P_CP | P_N | P_V,
	  "peer proves who it is" },
	{ SA_INIT_DONE, X_IKE_AUTH, S_EAP, P_IDR | P_CERT | P_CERTREQ | P_CP | P_N | P_V,
	  "peer wants EAP" },
	{ SA_UP, X_CREATE_CHILD_SA, S_CHILD, P_KE | P_CP | P_N | P_V, "peer asks for a Child SA" },
	{ SA_UP, X_CREATE_CHILD_SA, S_REKEY, P_N | P_V, "peer rekeys the IKE SA" },
	{ SA_UP, X_INFORMATIONAL, 0, P_D | P_CP | P_N | P_V, "peer informs or asks" },
};

/* Known payload types, without the encrypted ones, which are no payloads among others. */
#define P_ALL	(P_SA | P_KE | P_IDI | P_IDR | P_CERT | P_CERTREQ | P_AUTH | P_NONCE | P_N | P_D | \
		P_V | P_TSI | P_TSR | P_CP | P_EAP)
#define P_MANY	(P_CERT | P_CERTREQ | P_N | P_D | P_V | P_EAP)

/* Each payload left out, added and doubled: i is its place and what is done to it. */
static bool
vary(unsigned i, uint32_t must, uint32_t may, uint32_t out[2])
{
	uint32_t p = P_BIT(PLD_SA + i / 2);

	out[0] = i % 2 == 0 ? must ^ p : must | p;
	out[1] = i % 2 == 0 ? 0 : p;
	if (i % 2 == 0)
		return (must & p) == 0 && (may & p) != 0;
	return ((must | may) & p) != 0 && (P_MANY & p) != 0;
}

START_TEST(payloads_of_requests)
{
	struct rig r;

	rig_init(&r);
	for (size_t k = 0; k < N_OF(requests); k++) {
		for (unsigned i = 0; i < 64; i++) {
			uint32_t set[2];
			bool fits = vary(i, requests[k].must, requests[k].may, set);
			struct ike_sa *sa;

			if ((P_ALL & P_BIT(PLD_SA + i / 2)) == 0)
				continue;
			sa = rig_sa(&r, requests[k].state, requests[k].state == SA_UP);
			say(&r, sa, (struct ike_hdr){ .exchange = requests[k].exchange }, set[0],
			    set[1]);
			ck_assert_msg(told(&r, requests[k].story) == fits, "%s: %#x and %#x",
			    requests[k].story, set[0], set[1]);
			clean(&r);
		}
	}
	rig_fini(&r);
}
END_TEST

START_TEST(payloads_of_answers)
{
	struct rig r;

	rig_init(&r);
	for (size_t k = 0; k < N_OF(answers); k++) {
		for (unsigned i = 0; i < 64; i++) {
			const struct answer *a = &answers[k];
			uint32_t set[2];
			bool fits = vary(i, a->must, a->may, set);
			struct ike_sa *sa;

			if ((P_ALL & P_BIT(PLD_SA + i / 2)) == 0)
				continue;
			sa = asking(&r, a->kind, WAIT_ANSWER);
			say(&r, sa, (struct ike_hdr){ .exchange = a->exchange,
			    .flags = IKE_F_RESPONSE }, set[0], set[1]);
			ck_assert_msg(told(&r, a->story) == fits, "%s: %#x and %#x", a->story,
			    set[0], set[1]);
			clean(&r);
		}
	}
	rig_fini(&r);
}
END_TEST

/* All sets of payloads there are, for the one message that anybody may send. */
START_TEST(payloads_of_an_opening)
{
	static struct msg m;

	for (uint32_t set = 0; set < 1u << 21; set++) {
		m.present = set;
		if (fsm_opening_is_sound(&m) != ((set & ~(P_N | P_V)) == S_REKEY))
			ck_abort_msg("payloads %#x", set);	/* 2^21 checks would take 1 s */
	}
	m.present = S_REKEY | P_N | P_V;
	for (uint8_t type = PLD_SA; type <= PLD_SKF; type++) {
		bool single = type == PLD_SA || type == PLD_KE || type == PLD_NONCE;

		m.count[type - PLD_SA] = 1;
		ck_assert(fsm_opening_is_sound(&m));
		m.count[type - PLD_SA] = 2;
		ck_assert(!single || !fsm_opening_is_sound(&m));
		m.count[type - PLD_SA] = 0;
	}
	m.count[PLD_N - PLD_SA] = m.count[PLD_V - PLD_SA] = 30;
	ck_assert(fsm_opening_is_sound(&m));
}
END_TEST

/* ---- computations ---- */

/* What has been computed goes on by request and by what was waited for, or nowhere. */
START_TEST(every_work_of_ours)
{
	static const char *const key[REQ_TELL + 1] = {
		[REQ_INIT] = "our opening leaves", [REQ_CHILD_NEW] = "we ask for a Child SA",
		[REQ_CHILD_MORE] = "we ask for one more Child SA",
		[REQ_CHILD_REKEY] = "we rekey the Child SA",
		[REQ_IKE_REKEY] = "we rekey the IKE SA",
	}, *const secret[REQ_TELL + 1] = {
		[REQ_INIT] = "we prove who we are", [REQ_CHILD_NEW] = "the Child SA has its keys",
		[REQ_CHILD_MORE] = "the Child SA has its keys",
		[REQ_CHILD_REKEY] = "the new Child SA has its keys",
		[REQ_IKE_REKEY] = "the new IKE SA has its keys",
	};
	struct rig r;

	rig_init(&r);
	for (unsigned kind = REQ_NONE; kind <= REQ_TELL; kind++) {
		for (unsigned wait = WAIT_KEY; wait <= WAIT_SECRET; wait++) {
			const char *story = wait == WAIT_KEY ? key[kind] :
			    wait == WAIT_SECRET ? secret[kind] : NULL;
			struct ike_sa *sa = asking(&r, kind, wait);

			rig_hush(&r);
			fsm_work(sa, false);
			ck_assert_int_eq(rig_said(&r, "ike-step"), story != NULL);
			ck_assert(story == NULL || told(&r, story));
			clean(&r);
		}
	}
	rig_fini(&r);
}
END_TEST

/* For the peer: by the state, and by whether its exchange makes an IKE SA.  A result that does
 * not fit the state any more changes nothing. */
START_TEST(every_work_for_the_peer)
{
	struct rig r;

	rig_init(&r);
	for (unsigned state = SA_NEW; state < SA_GONE; state++) {
		for (unsigned heir = 0; heir < 2; heir++) {
			struct ike_sa *sa = rig_sa(&r, state, state == SA_AUTH_SENT);
			bool opening = state == SA_NEW && heir == 0;

			if (sa->theirs == NULL)
				sa->theirs = rig_nego(&r);
			ck_assert(job_draw(sa, sa->theirs, KE_CURVE25519));
			sa->theirs->job->ke.result = KE_REFUSED;
			free(opening ? sa->opening->response : NULL);
			if (opening)
				sa->opening->response = NULL;	/* not answered yet */
			if (heir != 0)
				sa->theirs->heir_spi = ike_sa_new(r.ike, NULL, false)->spi;
			xchg_begin(&sa->x);
			if (state == SA_DELETING)
				sa->req.kind = REQ_ASK;
			rig_hush(&r);
			fsm_work(sa, true);
			ck_assert_int_eq(sa->state, opening ? SA_GONE : state);
			ck_assert_uint_eq(rig_drain(&r), state == SA_UP);	/* INVALID_SYNTAX */
			ck_assert((sa->theirs == NULL) == (state == SA_UP));
			ck_assert_int_eq(rig_said(&r, "ike-rekey-refused"), state == SA_UP && heir);
			ck_assert_int_eq(rig_said(&r, "child-refused"), state == SA_UP && !heir);
			clean(&r);
		}
	}
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, every_request_in_every_state);
	tcase_add_test(tc, no_opening_inside_an_ike_sa);
	tcase_add_test(tc, every_answer_to_every_request);
	tcase_add_test(tc, an_answer_nobody_waits_for);
	tcase_add_test(tc, payloads_of_requests);
	tcase_add_test(tc, payloads_of_answers);
	tcase_add_test(tc, payloads_of_an_opening);
	tcase_add_test(tc, every_work_of_ours);
	tcase_add_test(tc, every_work_for_the_peer);
}

UNIT_MAIN("ike/fsm", fill)
