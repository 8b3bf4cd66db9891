/* SPDX-License-Identifier: MIT */
#include "ike/task.h"

#include "tests/unit/ike_rig.h"

static struct rig_letter letter;

/* Whatever an IKE SA may want at once, the most urgent first. */
enum wish {
	TELL = 1,
	DELETE_CHILD = 2,
	REKEY_IKE = 4,
	REKEY_CHILD = 8,
	NEW_CHILD = 16,
	ASK = 32,
};

/* It can want a Child SA only where it has none. */
static bool
is_possible(unsigned wishes)
{
	return (wishes & NEW_CHILD) == 0 || (wishes & (DELETE_CHILD | REKEY_CHILD)) == 0;
}

static struct ike_sa *
wishing(struct rig *r, unsigned wishes)
{
	struct ike_sa *sa = rig_up(r);
	bool child = (wishes & NEW_CHILD) == 0;

	r->t->wanted = true;
	sa->retry_at = RIG_NOW;
	sa->want_tell = (wishes & TELL) != 0;
	sa->want_ask = (wishes & ASK) != 0;
	sa->want_rekey = (wishes & REKEY_IKE) != 0;
	if ((wishes & DELETE_CHILD) != 0)
		child_state(rig_child(r, sa, true), CHILD_DELETING);
	if (child)
		rig_child(r, sa, true)->want_rekey = (wishes & REKEY_CHILD) != 0;
	child_pick(r->t);
	rig_drain(r);
	return sa;
}

static enum request_kind
expected(unsigned wishes)
{
	if ((wishes & TELL) != 0)
		return REQ_TELL;
	if ((wishes & DELETE_CHILD) != 0)
		return REQ_CHILD_DELETE;
	if ((wishes & REKEY_IKE) != 0)
		return REQ_IKE_REKEY;
	if ((wishes & REKEY_CHILD) != 0)
		return REQ_CHILD_REKEY;
	if ((wishes & NEW_CHILD) != 0)
		return REQ_CHILD_NEW;
	return (wishes & ASK) != 0 ? REQ_ASK : REQ_NONE;
}

/* All wishes together, in all combinations: one request, and it is the most urgent. */
START_TEST(the_most_urgent_goes_first)
{
	for (unsigned wishes = 0; wishes < 64; wishes++) {
		struct ike_sa *sa;
		struct rig r;

		if (!is_possible(wishes))
			continue;
		rig_init(&r);
		sa = wishing(&r, wishes);
		task_next(sa);
		ck_assert_msg(sa->req.kind == expected(wishes), "wishes %#x: %d", wishes,
		    sa->req.kind);
		ck_assert_uint_eq(rig_drain(&r), wishes != 0);
		rig_fini(&r);
	}
}
END_TEST

/* What was asked for is not asked for again; what was not, later. */
START_TEST(a_wish_is_granted_once)
{
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = wishing(&r, TELL | ASK);
	task_next(sa);
	ck_assert(!sa->want_tell && sa->want_ask);
	ck_assert_int_eq(sa->req.wait, WAIT_ANSWER);
	xchg_answered(&sa->x);
	sa->req.kind = REQ_NONE;
	task_next(sa);
	ck_assert(sa->req.kind == REQ_ASK && !sa->want_ask);
	xchg_answered(&sa->x);
	sa->req.kind = REQ_NONE;
	rig_drain(&r);
	task_next(sa);
	ck_assert_int_eq(sa->req.kind, REQ_NONE);
	ck_assert_uint_eq(rig_drain(&r), 0);
	rig_fini(&r);
}
END_TEST

/* A window of one: nothing starts while a request is out or its key is computed. */
START_TEST(one_request_at_a_time)
{
	for (unsigned kind = REQ_NONE; kind <= REQ_TELL; kind++) {
		struct ike_sa *sa;
		struct rig r;

		rig_init(&r);
		sa = wishing(&r, TELL | DELETE_CHILD | ASK);
		sa->req.kind = kind;
		if (kind == REQ_NONE)		/* of an exchange given up: its answer is awaited */
			xchg_request(&sa->x, RIG_NOW, bytes_dup("out", 3), XCHG_UP);
		task_next(sa);
		ck_assert_int_eq(sa->req.kind, kind);
		ck_assert(sa->want_tell && sa->want_ask);
		ck_assert_uint_eq(rig_drain(&r), 0);
		rig_fini(&r);
	}
}
END_TEST

/* Only an IKE SA that is up asks for things; one that we close sends its delete. */
START_TEST(by_state)
{
	for (unsigned state = SA_NEW; state < SA_STATE_N; state++) {
		struct ike_sa *sa;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, state, true);
		sa->want_tell = sa->want_ask = sa->want_rekey = true;
		task_next(sa);
		ck_assert_int_eq(sa->req.kind, state == SA_UP ? REQ_TELL :
		    state == SA_DELETING ? REQ_IKE_DELETE : REQ_NONE);
		ck_assert_uint_eq(rig_drain(&r), state == SA_UP || state == SA_DELETING);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

/* What the peer gets to read of each. */
START_TEST(what_is_asked)
{
	static const struct {
		unsigned wish;
		uint8_t exchange;
		uint32_t present;
	} cases[] = {
		{ TELL, X_INFORMATIONAL, P_N },
		{ DELETE_CHILD, X_INFORMATIONAL, P_D },
		{ REKEY_CHILD, X_CREATE_CHILD_SA, P_N | P_SA | P_NONCE | P_TSI | P_TSR },
		{ NEW_CHILD, X_CREATE_CHILD_SA, P_SA | P_NONCE | P_TSI | P_TSR },
		{ ASK, X_INFORMATIONAL, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct child *c;
		struct ike_sa *sa;
		struct pld_delete d;
		struct rd body;
		struct rig r;

		rig_init(&r);
		sa = wishing(&r, cases[i].wish);
		sa->tell = 2;
		task_next(sa);
		rig_read(&r, sa, &letter);
		ck_assert_uint_eq(letter.m.h.exchange, cases[i].exchange);
		ck_assert_uint_eq(letter.m.present, cases[i].present);
		c = child_find(r.ike, sa->req.target);
		switch ((enum wish)cases[i].wish) {
		case TELL:
			ck_assert_uint_eq(letter.m.notify[0].type, N_TANDEM_DEAD);
			ck_assert_uint_eq(letter.m.notify[0].data.p[0], 2);
			break;
		case DELETE_CHILD:
			ck_assert(c != NULL && c->delete_sent && c->state == CHILD_DELETING);
			ck_assert(msg_find(&letter.m, PLD_D, &body));
			ck_assert(pld_delete_parse(body, &d) && d.proto == PROTO_ESP && d.n == 1);
			ck_assert_uint_eq(pld_delete_spi(&d, 0), c->spi_in);
			break;
		case REKEY_CHILD:
			ck_assert(c != NULL && c->state == CHILD_REKEYING && !c->want_rekey);
			ck_assert_uint_eq(letter.m.notify[0].type, N_REKEY_SA);
			ck_assert_uint_eq(pld_notify_esp_spi(&letter.m.notify[0]), c->spi_in);
			break;
		case NEW_CHILD:
		case ASK:
		case REKEY_IKE:
			ck_assert_ptr_null(c);
			break;
		}
		rig_fini(&r);
	}
}
END_TEST

/* Of the Child SAs: a delete that is out is not repeated; only one that is up and has not lost
 * a collision is rekeyed. */
START_TEST(which_child)
{
	for (unsigned state = CHILD_REQUESTED; state <= CHILD_DELETING; state++) {
		for (unsigned i = 0; i < 4; i++) {
			bool lost = (i & 1) != 0, sent = (i & 2) != 0;
			enum request_kind want = REQ_NONE;
			struct ike_sa *sa;
			struct child *c;
			struct rig r;

			rig_init(&r);
			sa = rig_up(&r);
			c = rig_child(&r, sa, true);
			child_state(c, state);
			c->want_rekey = true;
			c->lost = lost;
			c->delete_sent = sent;
			if (state == CHILD_UP && !lost)
				want = REQ_CHILD_REKEY;
			else if (state == CHILD_DELETING && !sent)
				want = REQ_CHILD_DELETE;
			task_next(sa);
			ck_assert_msg(sa->req.kind == want, "%s lost %d sent %d: %d",
			    child_state_name(state), lost, sent, sa->req.kind);
			rig_fini(&r);
		}
	}
}
END_TEST

/* The IKE SA is not rekeyed while a Child SA is in the making or going; less urgent things
 * are not held up by that. */
START_TEST(a_rekey_of_the_ike_sa_waits)
{
	struct ike_sa *sa;
	struct child *c;
	struct rig r;

	rig_init(&r);
	sa = wishing(&r, REKEY_IKE | ASK);
	c = sa->children;
	child_state(c, CHILD_REKEYED);
	task_next(sa);
	ck_assert(sa->req.kind == REQ_ASK && sa->want_rekey);
	xchg_answered(&sa->x);
	sa->req.kind = REQ_NONE;
	child_state(c, CHILD_UP);
	task_next(sa);
	ck_assert(sa->req.kind == REQ_IKE_REKEY && !sa->want_rekey);
	ck_assert_int_eq(sa->req.wait, WAIT_KEY);
	rig_fini(&r);
}
END_TEST

/* A Child SA is asked for where there is none, we are to have one, and no sooner than agreed. */
START_TEST(a_missing_child_is_asked_for)
{
	struct ike_sa *sa, *other;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	ck_assert_uint_eq(task_retry_at(sa), USEC_NEVER);	/* nobody wants the tunnel up */
	r.t->wanted = true;
	ck_assert_uint_eq(task_retry_at(sa), sa->retry_at);
	r.ike->now = sa->retry_at - 1;
	task_next(sa);
	ck_assert_int_eq(sa->req.kind, REQ_NONE);
	r.ike->now++;
	sa->req.kind = REQ_ASK;
	ck_assert_uint_eq(task_retry_at(sa), USEC_NEVER);
	sa->req.kind = REQ_NONE;
	other = rig_up(&r);				/* of two, the winner of the duel asks */
	ck_assert(ike_sa_main(r.t) == other);
	ck_assert_uint_eq(task_retry_at(sa), USEC_NEVER);
	ck_assert_uint_ne(task_retry_at(other), USEC_NEVER);
	ike_sa_state(other, SA_REKEYED);
	ck_assert_uint_eq(task_retry_at(other), USEC_NEVER);
	ck_assert_uint_eq(task_retry_at(sa), sa->retry_at);
	ike_sa_join(sa, NULL);
	ck_assert_uint_eq(task_retry_at(sa), USEC_NEVER);
	ike_sa_join(sa, r.t);
	task_next(sa);
	ck_assert_int_eq(sa->req.kind, REQ_CHILD_NEW);
	ck_assert_uint_gt(sa->retry_at, r.ike->now);		/* not again at once */
	rig_fini(&r);
}
END_TEST

/* Where another IKE SA of the tunnel carries traffic, nothing is missing. */
START_TEST(a_child_elsewhere_is_enough)
{
	struct ike_sa *sa, *other;
	struct rig r;

	rig_init(&r);
	r.t->wanted = true;
	other = rig_up(&r);
	rig_child(&r, other, true);
	child_pick(r.t);
	sa = rig_up(&r);
	ck_assert(ike_sa_main(r.t) == sa && r.t->out != NULL);
	ck_assert_uint_eq(task_retry_at(sa), USEC_NEVER);
	child_drop_all(other, "test");
	ck_assert_uint_eq(task_retry_at(sa), sa->retry_at);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, the_most_urgent_goes_first);
	tcase_add_test(tc, a_wish_is_granted_once);
	tcase_add_test(tc, one_request_at_a_time);
	tcase_add_test(tc, by_state);
	tcase_add_test(tc, what_is_asked);
	tcase_add_test(tc, which_child);
	tcase_add_test(tc, a_rekey_of_the_ike_sa_waits);
	tcase_add_test(tc, a_missing_child_is_asked_for);
	tcase_add_test(tc, a_child_elsewhere_is_enough);
}

UNIT_MAIN("ike/task", fill)
