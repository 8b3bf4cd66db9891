/* SPDX-License-Identifier: MIT */
#include "ike/tunnel.h"

#include "tests/unit/ike_rig.h"

/* Until the next change of anything: what the tunnel sends by, and that the host was told. */
static void
expect_out(struct rig *r, const struct child *c)
{
	struct ike_action a = rig_expect(r, IKE_SA_OUT);

	ck_assert(r->t->out == c && a.spi_in == c->spi_in && a.tunnel == RIG_ID);
}

/* ---- birth ---- */

/* Reserved SPIs and those in use are drawn anew; all of a tunnel go to the same worker. */
START_TEST(spis_of_a_sort)
{
	static const uint64_t dice[] = { 0, 1, 200, 256, 258, 260, 5000,
		UINT32_MAX, 6000 };
	struct child *c[4];
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);				/* 3 workers, tunnel 7: SPI mod 3 is 1 */
	sa = rig_up(&r);
	rig_load(&r, dice, 9);
	for (unsigned i = 0; i < 4; i++) {
		c[i] = child_new(sa, true, 0);
		ck_assert_ptr_nonnull(c[i]);
		ck_assert_uint_eq(c[i]->spi_in % 3, RIG_ID % 3);
		ck_assert_uint_ge(c[i]->spi_in, 256);
		ck_assert_ptr_eq(child_find(r.ike, c[i]->spi_in), c[i]);
	}
	ck_assert_uint_eq(c[0]->spi_in, 256);		/* 256 -> 255 + 1 */
	ck_assert_uint_eq(c[1]->spi_in, 259);		/* 258 -> 259; 260 would be the same */
	ck_assert_uint_eq(c[2]->spi_in, 4999);
	ck_assert_uint_eq(c[3]->spi_in, 6001);		/* 2^32 is 0, and reserved */
	rig_fini(&r);
}
END_TEST

START_TEST(a_new_one)
{
	for (unsigned initiator = 0; initiator < 2; initiator++) {
		struct child *c, *younger;
		struct ike_sa *sa;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		c = child_new(sa, initiator != 0, 0);
		ck_assert_int_eq(c->state, CHILD_REQUESTED);
		ck_assert(c->initiator == initiator && !c->installed && c->sa == sa);
		ck_assert_int_eq(c->known, initiator);	/* who answers is not known to be heard */
		ck_assert_uint_eq(child_deadline(c), USEC_NEVER);
		younger = child_new(sa, false, 0);
		ck_assert_uint_gt(younger->serial, c->serial);
		ck_assert(sa->children == younger && younger->next == c && c->next == NULL);
		ck_assert_uint_eq(r.ike->totals.child_sas, 2);
		child_free(younger);
		child_free(c);
		ck_assert_uint_eq(r.ike->totals.child_sas, 0);
		ck_assert_ptr_null(sa->children);
		ck_assert_uint_eq(rig_drain(&r), 0);	/* without a word */
		rig_fini(&r);
	}
}
END_TEST

START_TEST(selectors_are_kept)
{
	struct ts_list one, two, got;
	struct child *c;
	struct rig r;

	rig_init(&r);
	one = rig_ts("10.1.0.0/16");
	two = rig_ts("10.2.0.0/24");
	two.ts[two.n++] = rig_ts("10.3.0.0/24").ts[0];
	c = child_new(rig_up(&r), true, 0);
	ck_assert(child_ts(c, &two, &one));
	ck_assert(child_ts(c, &one, &two));		/* the former ones are freed */
	got = child_ts_local(c);
	ck_assert_uint_eq(got.n, 1);
	ck_assert_mem_eq(got.ts, one.ts, sizeof(one.ts[0]));
	got = child_ts_remote(c);
	ck_assert_uint_eq(got.n, 2);
	ck_assert_mem_eq(got.ts, two.ts, 2 * sizeof(two.ts[0]));
	one.n = two.n = TS_MAX;
	ck_assert(child_ts(c, &one, &two));
	ck_assert_uint_eq(child_ts_remote(c).n, TS_MAX);
	rig_fini(&r);
}
END_TEST

/* What the host gets, and when it is to be replaced and ended. */
START_TEST(an_installed_one)
{
	struct ike_action a;
	struct child_sa *cs;
	struct ike_sa *sa;
	struct child *c;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	c = rig_child(&r, sa, true);
	ck_assert_int_eq(c->state, CHILD_UP);
	ck_assert(c->installed && c->since == RIG_NOW);
	ck_assert_uint_ge(c->rekey_at, RIG_NOW + USEC_S(750));
	ck_assert_uint_lt(c->rekey_at, RIG_NOW + USEC_S(830));
	ck_assert_uint_eq(c->hard_at, RIG_NOW + USEC_S(1000));
	ck_assert_uint_eq(child_deadline(c), c->rekey_at);
	c->rekey_at = USEC_NEVER;
	ck_assert_uint_eq(child_deadline(c), c->hard_at);
	ck_assert(ike_next(r.ike, &a) && a.kind == IKE_SA_IN);
	cs = a.child;					/* the host's now */
	ck_assert(cs->tunnel == RIG_ID && cs->spi_in == c->spi_in && cs->spi_out == c->spi_out);
	ck_assert(cs->aead == AEAD_AES_GCM_16_256 && cs->esn && cs->initiator);
	ck_assert(cs->window == 1024 && cs->key_len == 36);
	ck_assert(endpoint_equal(&cs->local, &sa->local));
	ck_assert(endpoint_equal(&cs->remote, &sa->remote));
	ck_assert(cs->ts_local.n == 1 && cs->ts_remote.n == 1);
	ck_assert_mem_eq(cs->ts_local.ts, r.conf.ts_local.ts, sizeof(cs->ts_local.ts[0]));
	ck_assert_mem_ne(cs->key_in, cs->key_out, 36);
	secret_free(r.secrets, cs);
	ck_assert_ptr_null(r.t->out);			/* not chosen yet */
	rig_fini(&r);
}
END_TEST

/* The keys of one end are the other's, crosswise (2.17). */
START_TEST(both_ends_have_the_same_keys)
{
	struct ike_action a, b;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	(void)rig_child(&r, sa, true);
	(void)rig_child(&r, sa, false);
	ck_assert(ike_next(r.ike, &a) && ike_next(r.ike, &b));
	ck_assert_mem_eq(a.child->key_in, b.child->key_out, 36);
	ck_assert_mem_eq(a.child->key_out, b.child->key_in, 36);
	secret_free(r.secrets, a.child);
	secret_free(r.secrets, b.child);
	rig_fini(&r);
}
END_TEST

START_TEST(a_life_without_end)
{
	struct child *c;
	struct rig r;

	rig_init(&r);
	r.t->conf.child_life = 0;
	c = rig_child(&r, rig_up(&r), true);
	ck_assert_uint_eq(child_deadline(c), USEC_NEVER);
	rig_fini(&r);
}
END_TEST

/* An algorithm without keys: nothing is given to the host, nothing of it is left. */
START_TEST(what_cannot_be_installed)
{
	struct nego *n;
	struct child *c;
	struct rig r;
	size_t used;

	rig_init(&r);
	c = child_new(rig_up(&r), true, 0);
	n = rig_nego(&r);
	ck_assert(child_ts(c, &r.conf.ts_local, &r.conf.ts_remote));
	used = secrets_used(r.secrets);
	c->suite.enc = AEAD_NONE;
	ck_assert(!child_install(c, n));
	ck_assert(!c->installed && c->state == CHILD_REQUESTED);
	ck_assert_uint_eq(secrets_used(r.secrets), used);
	ck_assert_uint_eq(rig_drain(&r), 0);
	nego_free(n);
	rig_fini(&r);
}
END_TEST

/* ---- which of them ---- */

/* Each pair of ranks in its order: known to the peer, not being deleted, live, of the IKE SA
 * that stays, younger. */
START_TEST(the_best_is_chosen)
{
	static const struct {
		bool known, deleting, rekeyed, lost, main;
	} ranks[] = {			/* from the best to the worst */
		{ true, false, false, false, true },
		{ true, false, false, false, false },
		{ true, false, true, false, true },
		{ true, false, true, false, false },
		{ true, true, false, false, true },
		{ true, true, false, false, false },
		{ false, false, false, false, true },
		{ false, false, false, true, true },
		{ false, true, false, false, true },
	};
	const unsigned n = sizeof(ranks) / sizeof(ranks[0]);

	for (unsigned i = 0; i < n * n; i++) {
		unsigned at[2] = { i / n, i % n };
		struct ike_sa *sa[2];
		struct child *c[2];
		struct rig r;

		rig_init(&r);
		sa[0] = rig_up(&r);			/* loses the duel: its nonce is lower */
		sa[1] = rig_up(&r);
		ck_assert(ike_sa_main(r.t) == sa[1]);
		for (unsigned k = 0; k < 2; k++) {
			c[k] = rig_child(&r, sa[ranks[at[k]].main], ranks[at[k]].known);
			c[k]->lost = ranks[at[k]].lost;
			if (ranks[at[k]].deleting)
				child_state(c[k], CHILD_DELETING);
			if (ranks[at[k]].rekeyed)
				child_state(c[k], CHILD_REKEYED);
		}
		child_pick(r.t);
		ck_assert_msg(r.t->out == c[at[0] < at[1] ? 0 : 1], "%u against %u", at[0], at[1]);
		rig_fini(&r);
	}
}
END_TEST

/* Among those that are about to go, the one in use stays in use: no change without need. */
START_TEST(what_is_in_use_stays)
{
	struct child *old, *young;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	old = rig_child(&r, sa, true);
	child_pick(r.t);
	young = rig_child(&r, sa, true);
	child_state(old, CHILD_REKEYED);
	child_state(young, CHILD_REKEYED);
	rig_drain(&r);
	child_pick(r.t);
	ck_assert_ptr_eq(r.t->out, old);
	ck_assert_uint_eq(rig_drain(&r), 0);		/* nor is the host told again */
	child_state(young, CHILD_UP);
	child_pick(r.t);
	expect_out(&r, young);
	ck_assert_uint_eq(rig_drain(&r), 0);		/* UP was said long ago */
	rig_fini(&r);
}
END_TEST

/* A rekeying one is as good as one that is up; one in the making is none. */
START_TEST(what_is_not_installed_is_not_chosen)
{
	struct child *c;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	(void)child_new(sa, true, 0);
	child_pick(r.t);
	ck_assert_ptr_null(r.t->out);
	c = rig_child(&r, sa, true);
	child_state(c, CHILD_REKEYING);
	rig_drain(&r);
	child_pick(r.t);
	expect_out(&r, c);
	ck_assert_uint_eq(rig_expect(&r, IKE_UP).tunnel, RIG_ID);
	rig_fini(&r);
}
END_TEST

/* The responder of a rekey sends by the old one until it knows that its answer arrived. */
START_TEST(an_answer_may_be_lost)
{
	struct child *old, *next;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	old = rig_child(&r, sa, true);
	child_pick(r.t);
	next = rig_child(&r, sa, false);
	child_state(old, CHILD_REKEYED);
	rig_drain(&r);
	child_pick(r.t);
	ck_assert_ptr_eq(r.t->out, old);
	child_known(next);
	expect_out(&r, next);
	child_known(next);				/* told twice: nothing */
	ck_assert_uint_eq(rig_drain(&r), 0);
	rig_fini(&r);
}
END_TEST

START_TEST(what_is_in_the_making_cannot_be_known)
{
	struct child *c, *up[2];
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	c = child_new(sa, false, 0);
	up[0] = rig_child(&r, sa, false);
	up[1] = rig_child(&r, sa, false);
	child_known(c);
	ck_assert(!c->known);
	child_known_all(sa);
	ck_assert(!c->known && up[0]->known && up[1]->known);
	ck_assert_ptr_eq(r.t->out, up[1]);
	rig_fini(&r);
}
END_TEST

/* ---- the end ---- */

/* Dropped before the host had it: the host hears nothing. */
START_TEST(a_half_made_one_goes_silently)
{
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	child_drop(child_new(sa, true, 0), "test");
	ck_assert_uint_eq(rig_drain(&r), 0);
	ck_assert_ptr_null(sa->children);
	/* none is left: anew, with jitter */
	ck_assert_uint_ge(sa->retry_at, RIG_NOW + USEC_S(1));
	ck_assert_uint_lt(sa->retry_at, RIG_NOW + USEC_MS(1500));
	rig_fini(&r);
}
END_TEST

/* SA_OUT of the one that takes over comes before SA_DROP of the old; DOWN only with the last. */
START_TEST(another_takes_over)
{
	struct child *a, *b;
	struct ike_action act;
	struct ike_sa *sa;
	uint32_t spi[2];
	usec_t retry;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	a = rig_child(&r, sa, true);
	b = rig_child(&r, sa, true);
	spi[0] = a->spi_in;
	spi[1] = b->spi_in;
	child_pick(r.t);
	ck_assert_ptr_eq(r.t->out, b);
	rig_drain(&r);
	retry = sa->retry_at;
	child_drop(b, "the first reason");
	expect_out(&r, a);
	ck_assert_uint_eq(rig_expect(&r, IKE_SA_DROP).spi_in, spi[1]);
	ck_assert_uint_eq(rig_drain(&r), 0);
	ck_assert_uint_eq(sa->retry_at, retry);
	ck_assert_ptr_null(child_find(r.ike, spi[1]));
	child_drop(a, "the last reason");
	ck_assert_uint_eq(rig_expect(&r, IKE_SA_DROP).spi_in, spi[0]);
	act = rig_expect(&r, IKE_DOWN);
	ck_assert_str_eq(act.reason, "the last reason");
	ck_assert(r.t->out == NULL && r.t->up_at == 0);
	rig_fini(&r);
}
END_TEST

/* A successor that comes to nothing: the one that it was to replace is in charge again, and
 * tries once more soon.  Not so where it lost a collision, or the old one is on its way out. */
START_TEST(the_predecessor_comes_back)
{
	for (unsigned state = CHILD_UP; state <= CHILD_DELETING; state++) {
		for (unsigned lost = 0; lost < 2; lost++) {
			bool back = state == CHILD_REKEYED && lost == 0;
			struct child *old, *next;
			struct ike_sa *sa;
			struct rig r;

			rig_init(&r);
			sa = rig_up(&r);
			old = rig_child(&r, sa, true);
			next = rig_child(&r, sa, false);
			next->replaces = old->spi_in;
			next->lost = lost != 0;
			old->rekey_at = USEC_NEVER;
			child_state(old, state);
			child_drop(next, "test");
			ck_assert_int_eq(old->state, back ? CHILD_UP : state);
			ck_assert_uint_eq(old->rekey_at, back ? RIG_NOW + USEC_S(10) : USEC_NEVER);
			rig_fini(&r);
		}
	}
}
END_TEST

START_TEST(all_go_with_their_ike_sa)
{
	struct ike_action a;
	unsigned drops = 0;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	for (unsigned i = 0; i < 5; i++)
		(void)rig_child(&r, sa, true);
	(void)child_new(sa, true, 0);
	child_pick(r.t);
	rig_drain(&r);
	child_drop_all(sa, "the end");
	while (rig_next(&r, &a)) {
		ck_assert(a.kind != IKE_DOWN || drops == 5);	/* the last word */
		drops += a.kind == IKE_SA_DROP;
	}
	ck_assert_int_eq(a.kind, IKE_DOWN);
	ck_assert_uint_eq(drops, 5);
	ck_assert_uint_eq(r.ike->totals.child_sas, 0);
	ck_assert(sa->children == NULL && r.t->out == NULL);
	rig_fini(&r);
}
END_TEST

/* To the heir at a rekey of the IKE SA: behind its own, in their order, and no action. */
START_TEST(they_move_to_the_heir)
{
	struct child *c[4];
	struct ike_sa *sa, *heir;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	heir = rig_up(&r);
	c[0] = rig_child(&r, sa, true);
	c[1] = rig_child(&r, sa, true);
	c[2] = rig_child(&r, heir, true);
	child_pick(r.t);
	rig_drain(&r);
	child_move_all(sa, heir);
	ck_assert_ptr_null(sa->children);
	ck_assert(heir->children == c[2] && c[2]->next == c[1] && c[1]->next == c[0]);
	ck_assert(c[0]->next == NULL && c[0]->sa == heir && c[1]->sa == heir);
	ck_assert_ptr_eq(r.t->out, c[2]);
	ck_assert_uint_eq(rig_drain(&r), 0);
	child_move_all(sa, heir);			/* none: nothing changes */
	ck_assert_ptr_eq(heir->children, c[2]);
	child_drop(c[1], "test");			/* and it is found where it is now */
	ck_assert_ptr_eq(c[2]->next, c[0]);
	rig_fini(&r);
}
END_TEST

/* ---- looking for one ---- */

START_TEST(found_by_either_spi)
{
	struct child *a, *b, *half;
	struct ike_sa *sa, *other;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	other = rig_up(&r);
	a = rig_child(&r, sa, true);
	b = rig_child(&r, other, true);
	half = child_new(sa, true, 0);
	half->spi_out = 0x4711;
	ck_assert_ptr_eq(child_find(r.ike, a->spi_in), a);
	ck_assert_ptr_null(child_find(r.ike, 0));
	ck_assert_ptr_null(child_find(r.ike, a->spi_in + 1));
	ck_assert_ptr_eq(child_by_out(sa, a->spi_out), a);
	ck_assert_ptr_eq(child_by_out(sa, b->spi_out), b);	/* of the tunnel's other IKE SA */
	ck_assert_ptr_null(child_by_out(sa, 0x4711));		/* not there yet */
	ck_assert_ptr_null(child_by_out(sa, a->spi_in));
	ike_sa_join(sa, NULL);					/* without a tunnel: its own */
	ck_assert_ptr_eq(child_by_out(sa, a->spi_out), a);
	ck_assert_ptr_null(child_by_out(sa, b->spi_out));
	ck_assert_ptr_null(child_by_out(other, a->spi_out));
	ike_sa_join(sa, r.t);
	rig_fini(&r);
}
END_TEST

START_TEST(states_have_names)
{
	static const char *const names[] = {
		"requested", "up", "rekeying", "rekeyed", "deleting",
	};

	for (unsigned i = CHILD_REQUESTED; i <= CHILD_DELETING; i++) {
		struct child c = { .state = CHILD_REQUESTED };

		child_state(&c, i);
		ck_assert_uint_eq(c.state, i);
		ck_assert_str_eq(child_state_name(i), names[i]);
	}
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, spis_of_a_sort);
	tcase_add_test(tc, a_new_one);
	tcase_add_test(tc, selectors_are_kept);
	tcase_add_test(tc, an_installed_one);
	tcase_add_test(tc, both_ends_have_the_same_keys);
	tcase_add_test(tc, a_life_without_end);
	tcase_add_test(tc, what_cannot_be_installed);
	tcase_add_test(tc, the_best_is_chosen);
	tcase_add_test(tc, what_is_in_use_stays);
	tcase_add_test(tc, what_is_not_installed_is_not_chosen);
	tcase_add_test(tc, an_answer_may_be_lost);
	tcase_add_test(tc, what_is_in_the_making_cannot_be_known);
	tcase_add_test(tc, a_half_made_one_goes_silently);
	tcase_add_test(tc, another_takes_over);
	tcase_add_test(tc, the_predecessor_comes_back);
	tcase_add_test(tc, all_go_with_their_ike_sa);
	tcase_add_test(tc, they_move_to_the_heir);
	tcase_add_test(tc, found_by_either_spi);
	tcase_add_test(tc, states_have_names);
}

UNIT_MAIN("ike/child", fill)
