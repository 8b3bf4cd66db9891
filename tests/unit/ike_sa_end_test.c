/* SPDX-License-Identifier: MIT */
/* The end of IKE SAs and of exchanges; their birth and timers are in ike_sa_test. */
#include "ike/sa.h"

#include "tests/unit/ike_rig.h"

/* Closed: its Child SAs go now; a peer that may have it is told, another is not. */
START_TEST(closed_by_us)
{
	for (unsigned i = 0; i < 2 * SA_GONE; i++) {
		enum sa_state state = i / 2, want = SA_GONE;
		bool initiator = i % 2 == 0, told;
		struct ike_sa *sa;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, state, initiator);
		told = state == SA_AUTH_SENT || state == SA_UP || state == SA_REKEYED;
		if (sa->tunnel != NULL)
			(void)child_new(sa, true, 0);
		if (told)
			want = SA_DELETING;
		if (state == SA_DELETING || state == SA_REFUSED)
			want = state;			/* ends anyway */
		ike_sa_close(sa, "test");
		ck_assert_msg(sa->state == want, "%s: %s", ike_sa_state_name(state),
		    ike_sa_state_name(sa->state));
		ck_assert_uint_eq(r.ike->totals.child_sas, want == state && sa->tunnel != NULL);
		ck_assert_uint_eq(r.t->attempts,
		    state == SA_UP || (initiator && state < SA_AUTH_SENT));
		ck_assert_uint_eq(rig_drain(&r), 0);
		ike_sa_step(sa);
		ck_assert_uint_eq(rig_drain(&r), want == SA_DELETING);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

/* What was in progress goes with it, except a rekey of it that the peer may have granted. */
START_TEST(closed_in_the_middle)
{
	for (unsigned wait = WAIT_KEY; wait <= WAIT_SECRET; wait++) {
		for (unsigned kind = REQ_CHILD_NEW; kind <= REQ_IKE_REKEY; kind++) {
			bool later = kind == REQ_IKE_REKEY && wait != WAIT_KEY;
			struct ike_sa *sa;
			struct rig r;

			rig_init(&r);
			sa = rig_up(&r);
			sa->mine = rig_nego(&r);
			sa->theirs = rig_nego(&r);
			xchg_begin(&sa->x);
			sa->req = (struct request){ .kind = kind, .wait = wait };
			ike_sa_close(sa, "enough");
			ck_assert_int_eq(sa->state, later ? SA_UP : SA_DELETING);
			ck_assert(sa->theirs == NULL && !sa->x.busy);
			ck_assert((sa->mine != NULL) == later);
			ck_assert((sa->req.kind == kind) == later);
			ck_assert((sa->close_why != NULL) == later);
			ck_assert_uint_eq(sa->hard_at == USEC_NEVER, later);
			ike_sa_settle(r.ike);
			rig_fini(&r);
		}
	}
}
END_TEST

/* Dead: no word to the peer.  Of ours that never was up, the tunnel notes a failed attempt; of
 * one that was, a loss; of a stranger's and of one on its way out, nothing. */
START_TEST(dead_without_a_word)
{
	for (unsigned i = 0; i < 2 * SA_GONE; i++) {
		enum sa_state state = i / 2;
		bool initiator = i % 2 == 0, attempt = initiator && state < SA_UP;
		struct ike_sa *sa;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, state, initiator);
		ike_sa_dead(sa, "test");
		ike_sa_dead(sa, "again");		/* of no interest any more */
		ck_assert_int_eq(sa->state, SA_GONE);
		ck_assert_uint_eq(r.t->attempts, attempt || state == SA_UP);
		ck_assert_str_eq(r.t->reason, attempt ? "test" : "");
		ck_assert_int_eq(rig_said(&r, "ike-failed"), attempt);
		ck_assert_int_eq(rig_said(&r, "ike-dead"), state == SA_UP);
		ck_assert_uint_eq(rig_drain(&r), 0);
		ike_sa_settle(r.ike);
		ck_assert_uint_eq(r.ike->totals.ike_sas, 0);
		rig_fini(&r);
	}
}
END_TEST

/* The heir that the peer has made carries on when ours is given up or reaches its hard end. */
START_TEST(the_peers_heir_goes_on)
{
	for (unsigned hard = 0; hard < 2; hard++) {
		struct ike_sa *sa, *rival;
		struct child *c;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		c = rig_child(&r, sa, true);
		child_pick(r.t);
		rig_drain(&r);
		rival = rig_sa(&r, SA_UP, false);
		sa->rival_spi = rival->spi;
		sa->req = (struct request){ .kind = REQ_IKE_REKEY, .wait = WAIT_ANSWER };
		sa->mine = rig_nego(&r);
		xchg_request(&sa->x, RIG_NOW, bytes_dup("ask", 3), XCHG_UP);
		r.ike->now = hard != 0 ? sa->hard_at : sa->x.end;
		if (hard != 0)
			xchg_answered(&sa->x);
		rival->heard = r.ike->now;
		ike_sa_timeout(sa);
		ck_assert(sa->state == SA_GONE || sa->state == SA_DELETING);
		ck_assert(c->sa == rival && r.t->out == c && rival->state == SA_UP);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

/* Freed at the end of the call and not before, with all it has; the tunnel then opens anew. */
START_TEST(the_doomed_are_freed_once)
{
	struct ike_sa *sa, *heir, *stays;
	uint64_t spi[2];
	struct rig r;

	rig_init(&r);
	r.t->wanted = true;
	stays = rig_sa(&r, SA_DELETING, true);
	sa = rig_sa(&r, SA_INIT_SENT, true);
	heir = ike_sa_new(r.ike, NULL, true);
	spi[0] = sa->spi;
	spi[1] = heir->spi;
	sa->mine->heir_spi = heir->spi;
	ck_assert(job_draw(sa, sa->mine, KE_CURVE25519));
	sa->theirs = rig_nego(&r);
	(void)rig_child(&r, sa, true);
	xchg_request(&sa->x, RIG_NOW, bytes_dup("ask", 3), XCHG_OPEN);
	xchg_begin(&sa->x);
	xchg_reply(&sa->x, bytes_dup("reply", 5));
	ike_sa_dead(sa, "test");
	ck_assert(ike_sa_find(r.ike, spi[0]) == sa && r.t->sas == sa);
	ck_assert_int_eq(heir->state, SA_NEW);
	ike_sa_step(sa);				/* nothing more comes of it */
	r.t->try_at = USEC_NEVER;
	ike_sa_settle(r.ike);				/* the heir is doomed on the way */
	ck_assert_ptr_null(ike_sa_find(r.ike, spi[0]));
	ck_assert_ptr_null(ike_sa_find(r.ike, spi[1]));
	ck_assert_ptr_eq(r.t->sas, stays);
	ck_assert_uint_eq(r.t->try_at, RIG_NOW);
	ck_assert_uint_eq(r.ike->totals.ike_sas, 1);
	ck_assert_uint_eq(r.ike->totals.jobs, 0);
	ck_assert_uint_eq(r.ike->totals.child_sas, 0);
	ike_sa_settle(r.ike);
	rig_fini(&r);
}
END_TEST

/* ---- exchanges in progress ---- */

/* What an unfinished exchange has made goes with it; what is finished stays. */
START_TEST(an_exchange_is_given_up)
{
	for (unsigned i = 0; i < 4; i++) {
		bool mine = (i & 1) != 0, finished = (i & 2) != 0;
		struct ike_sa *sa, *heir;
		struct nego *n;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		ike_sa_drop_mine(sa);			/* nothing to drop is fine */
		ike_sa_drop_theirs(sa);
		n = rig_nego(&r);
		*(mine ? &sa->mine : &sa->theirs) = n;
		sa->req = (struct request){ REQ_CHILD_NEW, WAIT_ANSWER, 5 };
		n->child_spi = (finished ? rig_child(&r, sa, true) : child_new(sa, true, 0))->spi_in;
		heir = finished ? rig_up(&r) : ike_sa_new(r.ike, NULL, true);
		n->heir_spi = heir->spi;
		ck_assert(job_draw(sa, n, KE_CURVE25519));
		if (mine)
			ike_sa_drop_mine(sa);
		else
			ike_sa_drop_theirs(sa);
		ck_assert(sa->mine == NULL && sa->theirs == NULL);
		ck_assert_int_eq(sa->req.kind, mine ? REQ_NONE : REQ_CHILD_NEW);
		ck_assert_uint_eq(sa->req.target, mine ? 0 : 5);
		ck_assert_int_eq(sa->children != NULL, finished);
		ck_assert_int_eq(heir->state, finished ? SA_UP : SA_GONE);
		ck_assert_uint_eq(r.ike->totals.jobs, 0);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

/* The lower nonce decides collisions: octet by octet, a beginning of another is lower. */
START_TEST(nonces_of_an_exchange)
{
	static const struct {
		uint8_t ni[3], nr[3];
		uint16_t ni_len, nr_len;
		bool ni_lower;
	} cases[] = {
		{ { 1, 2, 3 }, { 1, 2, 4 }, 3, 3, true },
		{ { 1, 2, 4 }, { 1, 2, 3 }, 3, 3, false },
		{ { 0xff }, { 0x7f }, 1, 1, false },
		{ { 1, 2 }, { 1, 2, 0 }, 2, 3, true },
		{ { 1, 2, 0 }, { 1, 2 }, 3, 2, false },
		{ { 2 }, { 1, 9, 9 }, 1, 3, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nego n = { .ni_len = cases[i].ni_len, .nr_len = cases[i].nr_len };
		struct kdf_in in;
		struct low low;

		memcpy(n.ni, cases[i].ni, 3);
		memcpy(n.nr, cases[i].nr, 3);
		low_set(&low, &n);
		ck_assert_uint_eq(low.len, cases[i].ni_lower ? n.ni_len : n.nr_len);
		ck_assert_mem_eq(low.b, cases[i].ni_lower ? n.ni : n.nr, low.len);
		in = nego_kdf(&n);
		ck_assert(in.ni.p == n.ni && in.ni.len == n.ni_len && in.nr.p == n.nr);
		ck_assert(in.nr.len == n.nr_len && in.shared.len == 0);
	}
	nego_free(NULL);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, closed_by_us);
	tcase_add_test(tc, closed_in_the_middle);
	tcase_add_test(tc, dead_without_a_word);
	tcase_add_test(tc, the_peers_heir_goes_on);
	tcase_add_test(tc, the_doomed_are_freed_once);
	tcase_add_test(tc, an_exchange_is_given_up);
	tcase_add_test(tc, nonces_of_an_exchange);
}

UNIT_MAIN("ike/sa, the end", fill)
