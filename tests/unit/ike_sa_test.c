/* SPDX-License-Identifier: MIT */
#include "ike/sa.h"

#include "tests/unit/ike_rig.h"

/* ---- birth ---- */

START_TEST(a_new_one)
{
	struct ike_sa *a, *b;
	uint64_t dice[4] = { 0, 77, 0, 0 };
	struct rig r;

	rig_init(&r);
	rig_load(&r, dice, 2);
	a = ike_sa_new(r.ike, r.t, true);
	ck_assert_uint_eq(a->spi, 77);			/* 0 means: none */
	dice[0] = 77;
	dice[1] = 78;
	rig_load(&r, dice, 2);
	b = ike_sa_new(r.ike, NULL, false);
	ck_assert_uint_eq(b->spi, 78);			/* 77 is in use */
	ck_assert(ike_sa_find(r.ike, 77) == a && ike_sa_find(r.ike, 78) == b);
	ck_assert(ike_sa_find(r.ike, 0) == NULL && ike_sa_find(r.ike, 79) == NULL);
	ck_assert(a->state == SA_NEW && a->initiator && !b->initiator);
	ck_assert(a->tunnel == r.t && r.t->sas == a && b->tunnel == NULL);
	ck_assert_str_eq(a->name, "site/1");
	ck_assert_str_eq(b->name, "");
	ck_assert(a->x.out_id == 0 && a->x.in_id == 0);
	ck_assert_uint_eq(rig_timer(b), RIG_NOW + USEC_S(30));	/* forgotten by all, it ends */
	ck_assert_uint_eq(r.ike->totals.ike_sas, 2);
	ike_sa_free(a);
	ike_sa_free(b);
	ck_assert_uint_eq(r.ike->totals.ike_sas, 0);
	ck_assert_ptr_null(r.t->sas);
	ck_assert_uint_eq(r.ike->queue.reserved, QUEUE_PER_OBJECT);	/* the tunnel's */
	rig_fini(&r);
}
END_TEST

START_TEST(joined_to_a_tunnel)
{
	struct ike_sa *sa[3];
	struct ike_tunnel conf;
	struct tunnel *other;
	struct rig r;

	rig_init(&r);
	conf = rig_conf(8);
	memcpy(conf.name, "site/2", 7);
	tunnel_set(r.ike, &conf);
	other = tunnel_find(r.ike, 8);
	for (unsigned i = 0; i < 3; i++)
		sa[i] = ike_sa_new(r.ike, r.t, true);
	ck_assert(r.t->sas == sa[2] && sa[2]->next == sa[1] && sa[1]->next == sa[0]);
	ike_sa_join(sa[1], other);			/* out of the middle */
	ck_assert(sa[2]->next == sa[0] && other->sas == sa[1] && sa[1]->next == NULL);
	ck_assert_str_eq(sa[1]->name, "site/2");
	ike_sa_join(sa[2], NULL);
	ck_assert(r.t->sas == sa[0] && sa[2]->tunnel == NULL && sa[2]->next == NULL);
	ck_assert_str_eq(sa[2]->name, "site/1");	/* for the log, still */
	rig_fini(&r);
}
END_TEST

/* What each state is called, and how long it may last of itself. */
START_TEST(states)
{
	static const struct {
		const char *name;
		usec_t lasts;
	} want[SA_STATE_N] = {
		[SA_NEW] = { "opening", USEC_NEVER },
		[SA_INIT_SENT] = { "connecting", USEC_NEVER },
		[SA_KEYING] = { "computing keys", USEC_NEVER },
		[SA_INIT_DONE] = { "half-open", USEC_S(30) },
		[SA_AUTH_SENT] = { "authenticating", USEC_NEVER },
		[SA_UP] = { "up", USEC_NEVER },
		[SA_REKEYED] = { "rekeyed", USEC_S(60) },
		[SA_DELETING] = { "deleting", USEC_S(8) },
		[SA_REFUSED] = { "refused", USEC_S(10) },
		[SA_GONE] = { "gone", USEC_S(10) },	/* as it was */
	};
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	for (unsigned s = SA_NEW; s < SA_STATE_N; s++) {
		ike_sa_state(sa, s);
		ck_assert_int_eq(sa->state, s);
		ck_assert_str_eq(ike_sa_state_name(s), want[s].name);
		ck_assert_uint_eq(sa->linger_at, usec_add(RIG_NOW, want[s].lasts));
	}
	ike_sa_state(sa, SA_GONE);			/* twice: doomed once */
	ck_assert(r.ike->doomed == sa && sa->doomed == NULL);
	ike_sa_settle(r.ike);
	rig_fini(&r);
}
END_TEST

/* SK_ei protects what the original initiator sends. */
START_TEST(keys_by_role)
{
	struct ike_sa *i, *r0;
	struct sa_keys *bad;
	struct rig r;

	rig_init(&r);
	i = rig_sa(&r, SA_UP, true);
	r0 = rig_sa(&r, SA_UP, false);
	ck_assert_mem_eq(i->keys->out.enc, i->keys->k.ei, 32);
	ck_assert_mem_eq(i->keys->in.enc, i->keys->k.er, 32);
	ck_assert_mem_eq(r0->keys->out.enc, r0->keys->k.er, 32);
	ck_assert_mem_eq(r0->keys->in.enc, r0->keys->k.ei, 32);
	i = ike_sa_new(r.ike, NULL, true);
	bad = secret_alloc(r.secrets, sizeof(*bad));
	bad->k.enc = AEAD_AES_GCM_16_256;
	bad->k.key_len = 35;
	ck_assert(!ike_sa_keys(i, bad));
	ck_assert_ptr_null(i->keys);			/* still the caller's */
	secret_free(r.secrets, bad);
	rig_fini(&r);
}
END_TEST

/* ---- half-open ---- */

START_TEST(half_open_ones_are_counted_by_source)
{
	struct ike_sa *sa[3];
	uint64_t near, far;
	struct rig r;

	rig_init(&r);
	for (unsigned i = 0; i < 3; i++) {
		sa[i] = rig_sa(&r, SA_INIT_DONE, false);
		sa[i]->remote.ip = rig_ip(i < 2 ? 2 : 3);
		ike_sa_half_open(sa[i], true);
		ike_sa_half_open(sa[i], true);		/* counts once */
	}
	near = tunnel_ip_key(&sa[0]->remote.ip);
	far = tunnel_ip_key(&sa[2]->remote.ip);
	ck_assert_uint_eq(r.ike->totals.half_open, 3);
	ck_assert_uint_eq((uintptr_t)map_get(r.ike->sources, near), 2);
	ck_assert_uint_eq((uintptr_t)map_get(r.ike->sources, far), 1);
	sa[0]->remote.ip = rig_ip(9);			/* it moves: it was counted elsewhere */
	ike_sa_half_open(sa[0], false);
	ike_sa_half_open(sa[0], false);
	ck_assert_uint_eq((uintptr_t)map_get(r.ike->sources, near), 1);
	ike_sa_join(sa[1], r.t);
	ike_sa_up(sa[1]);				/* that ends it too */
	ck_assert_ptr_null(map_get(r.ike->sources, near));
	ike_sa_free(sa[2]);
	ck_assert_uint_eq(map_n(r.ike->sources), 0);
	ck_assert_uint_eq(r.ike->totals.half_open, 0);
	rig_fini(&r);
}
END_TEST

/* What is there until IKE_AUTH goes; its place in the map only if it is still its own. */
START_TEST(an_opening_is_forgotten)
{
	struct ike_sa *mine, *usurper;
	struct rig r;

	rig_init(&r);
	mine = rig_sa(&r, SA_INIT_DONE, false);
	usurper = rig_sa(&r, SA_INIT_DONE, false);
	mine->opening->key = usurper->opening->key = 4711;
	ck_assert(map_put(r.ike->openings, 4711, usurper));
	ike_sa_opened(mine);
	ck_assert(mine->opening == NULL && map_get(r.ike->openings, 4711) == usurper);
	ike_sa_opened(mine);				/* nothing left to forget */
	ike_sa_opened(usurper);
	ck_assert_uint_eq(map_n(r.ike->openings), 0);
	rig_fini(&r);
}
END_TEST

/* ---- up ---- */

START_TEST(timers_of_one_that_is_up)
{
	for (unsigned i = 0; i < 4; i++) {
		bool nat = (i & 1) != 0, endless = (i & 2) != 0;
		struct ike_sa *sa;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, SA_AUTH_SENT, true);
		sa->natt.nat_local = nat;
		r.t->conf.ike_life = endless ? 0 : USEC_S(4000);
		ike_sa_up(sa);
		ck_assert_int_eq(sa->state, SA_UP);
		ck_assert(sa->up_since == RIG_NOW && sa->heard == RIG_NOW);
		ck_assert_uint_eq(sa->retry_at, RIG_NOW + USEC_S(1));
		ck_assert_uint_eq(sa->keepalive_at, nat ? RIG_NOW + USEC_S(20) : USEC_NEVER);
		ck_assert_uint_eq(sa->hard_at, endless ? USEC_NEVER : RIG_NOW + USEC_S(4000));
		ck_assert(endless ? sa->rekey_at == USEC_NEVER :
		    sa->rekey_at >= RIG_NOW + USEC_S(3000) &&
		    sa->rekey_at < RIG_NOW + USEC_S(3320));
		rig_fini(&r);
	}
}
END_TEST

START_TEST(a_life_is_renewed_in_time)
{
	static const uint64_t dice[] = { 8000 * 1000, 8000 * 1000 + 7999 };
	struct rig r;

	rig_init(&r);
	ck_assert_uint_eq(ike_life_rekey(r.ike, 0), USEC_NEVER);
	ck_assert_uint_eq(ike_life_rekey(r.ike, USEC_NEVER), USEC_NEVER);
	rig_load(&r, dice, 2);
	ck_assert_uint_eq(ike_life_rekey(r.ike, USEC_S(1000)), RIG_NOW + USEC_S(750));
	ck_assert_uint_eq(ike_life_rekey(r.ike, USEC_S(1000)), RIG_NOW + USEC_MS(829990));
	rig_fini(&r);
}
END_TEST

START_TEST(the_main_one_is_up_and_wins)
{
	struct ike_sa *low, *high;
	struct rig r;

	rig_init(&r);
	ck_assert_ptr_null(ike_sa_main(r.t));
	for (unsigned s = SA_NEW; s < SA_GONE; s++)
		if (s != SA_UP)
			(void)rig_sa(&r, s, true);
	ck_assert_ptr_null(ike_sa_main(r.t));
	low = rig_up(&r);
	ck_assert_ptr_eq(ike_sa_main(r.t), low);
	high = rig_up(&r);
	ck_assert_ptr_eq(ike_sa_main(r.t), high);
	ike_sa_state(high, SA_DELETING);
	ck_assert_ptr_eq(ike_sa_main(r.t), low);
	rig_fini(&r);
}
END_TEST

/* ---- deadlines ---- */

/* The timer runs to the earliest of all; most count only while it is up. */
START_TEST(the_earliest_deadline_counts)
{
	const usec_t soon = RIG_NOW + USEC_MS(5);

	for (unsigned state = SA_NEW; state < SA_GONE; state++) {
		for (unsigned i = 0; i < 8; i++) {
			bool always = i >= 6, up = state == SA_UP;
			struct ike_sa *sa;
			struct rig r;
			usec_t at;

			rig_init(&r);
			r.t->wanted = i == 4;
			sa = rig_sa(&r, state, true);
			sa->req.kind = i == 3 || i == 4 ? REQ_NONE : REQ_ASK;
			sa->linger_at = USEC_NEVER;
			sa->rekey_at = sa->hard_at = sa->keepalive_at = USEC_NEVER;
			sa->retry_at = i == 4 ? soon : RIG_NOW + USEC_S(99);
			r.t->conf.liveness = i == 3 ? USEC_MS(5) : 0;
			if (i == 5)
				child_new(sa, true, 0)->hard_at = soon;
			*(i == 0 ? &sa->rekey_at : i == 1 ? &sa->hard_at : i == 2 ?
			    &sa->keepalive_at : i == 6 ? &sa->linger_at : &at) = soon;
			if (state == SA_DELETING || i == 7)	/* else its delete would go out */
				sa->req.kind = REQ_ASK;
			if (i == 7)
				xchg_request(&sa->x, soon - USEC_MS(500), bytes_dup("x", 1),
				    XCHG_UP);
			ike_sa_step(sa);
			ck_assert_msg(rig_timer(sa) == (always || up ? soon : USEC_NEVER),
			    "%s, deadline %u", ike_sa_state_name(state), i);
			ck_assert_uint_eq(rig_drain(&r), 0);
			rig_fini(&r);
		}
	}
}
END_TEST

/* The later of what was heard in IKE and in ESP counts; while we wait for an answer no other
 * question is due. */
START_TEST(silence_is_asked_about)
{
	struct rig_letter letter;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);				/* liveness: 30 s */
	sa->heard = RIG_NOW - USEC_S(20);
	r.t->heard = RIG_NOW - USEC_S(5);
	ike_sa_step(sa);
	ck_assert_uint_eq(rig_timer(sa), RIG_NOW + USEC_S(25));
	r.t->heard = RIG_NOW - USEC_S(29);
	ike_sa_step(sa);
	ck_assert_uint_eq(rig_timer(sa), RIG_NOW + USEC_S(10));
	r.ike->now = RIG_NOW + USEC_S(10) - 1;
	ike_sa_timeout(sa);
	ck_assert_uint_eq(rig_drain(&r), 0);
	r.ike->now++;
	ike_sa_timeout(sa);
	rig_read(&r, sa, &letter);
	ck_assert(letter.m.h.exchange == X_INFORMATIONAL && letter.m.n == 0);
	ck_assert_int_eq(sa->req.kind, REQ_ASK);
	ck_assert_uint_eq(rig_timer(sa), r.ike->now + USEC_MS(500));
	rig_fini(&r);
}
END_TEST

/* Follow the timer of `sa`; the ms at which it sends, until it is not in `state` any more. */
static unsigned
follow(struct rig *r, struct ike_sa *sa, unsigned ms[16])
{
	enum sa_state state = sa->state;
	unsigned n = 0;

	while (sa->state == state) {
		ck_assert_uint_ne(rig_timer(sa), USEC_NEVER);
		r->ike->now = rig_timer(sa);
		ike_sa_timeout(sa);
		ck_assert_uint_lt(n, 15);
		if (sa->state != state || rig_drain(r) > 0)
			ms[n++] = (unsigned)((r->ike->now - RIG_NOW) / 1000);
	}
	return n;
}

static void
expect_times(const unsigned *ms, unsigned n, const char *want)
{
	char text[256] = "";

	for (unsigned i = 0; i < n; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u", ms[i]);
	ck_assert_str_eq(text, want);
}

/* Repeated at growing intervals and then given up, with a sentence for a person. */
START_TEST(a_silent_peer)
{
	static const struct {
		enum sa_state state;
		enum xchg_pace pace;
		const char *ms, *why;
	} cases[] = {
		{ SA_INIT_SENT, XCHG_OPEN,
		  " 500 1500 3500 7500 11500 15500 19500 23500 27500 30000",
		  "the peer does not answer IKE_SA_INIT (is it there, and are UDP 500 and 4500 "
		  "open?)" },
		{ SA_AUTH_SENT, XCHG_OPEN,
		  " 500 1500 3500 7500 11500 15500 19500 23500 27500 30000",
		  "the peer does not answer IKE_AUTH (is UDP 4500 open?)" },
		{ SA_UP, XCHG_UP, " 500 1500 3500 7500 15500 23500 31500",
		  "the peer does not answer any more" },
		{ SA_DELETING, XCHG_CLOSE, " 500 1500 3500 5500", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ike_sa *sa;
		unsigned ms[16], n;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, cases[i].state, true);
		sa->req = (struct request){ .kind = REQ_ASK, .wait = WAIT_ANSWER };
		xchg_request(&sa->x, RIG_NOW, bytes_dup("ask", 3), cases[i].pace);
		ike_sa_step(sa);
		n = follow(&r, sa, ms);
		expect_times(ms, n, cases[i].ms);
		ck_assert_int_eq(sa->state, SA_GONE);
		ck_assert_uint_eq(r.ike->totals.retransmits, n - 1);
		ck_assert(cases[i].why[0] == '\0' || rig_said(&r, cases[i].why));
		ck_assert_uint_eq(r.t->attempts, cases[i].state < SA_UP);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

/* An opening that was refused in the clear and then not answered: the refusal is the reason. */
START_TEST(a_refusal_is_remembered)
{
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_sa(&r, SA_INIT_SENT, true);
	sa->opening->refusal_logged = true;
	tunnel_reason(r.t, "the peer refuses our opening");
	xchg_request(&sa->x, RIG_NOW, bytes_dup("ask", 3), XCHG_OPEN);
	r.ike->now = sa->x.end;
	ike_sa_timeout(sa);
	ck_assert_int_eq(sa->state, SA_GONE);
	ck_assert_str_eq(r.t->reason, "the peer refuses our opening");
	ike_sa_settle(r.ike);
	rig_fini(&r);
}
END_TEST

/* States that must not last end by themselves; one that the peer should have deleted is
 * deleted by us. */
START_TEST(lingering_ends)
{
	for (unsigned state = SA_NEW; state < SA_GONE; state++) {
		struct ike_sa *sa;
		usec_t end;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, state, state != SA_INIT_DONE && state != SA_REFUSED);
		if (state == SA_DELETING)		/* its delete cannot go: another is out */
			sa->req.kind = REQ_ASK;
		end = sa->linger_at;
		ike_sa_step(sa);
		rig_drain(&r);
		r.ike->now = end == USEC_NEVER ? RIG_NOW + USEC_S(29) : end - 1;
		ike_sa_timeout(sa);
		ck_assert_int_eq(sa->state, state);
		if (end == USEC_NEVER) {
			rig_fini(&r);
			continue;
		}
		r.ike->now = end;
		ike_sa_timeout(sa);
		ck_assert_int_eq(sa->state, state == SA_REKEYED ? SA_DELETING : SA_GONE);
		ck_assert_uint_eq(rig_drain(&r), state == SA_REKEYED);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

START_TEST(the_timers_of_an_sa_that_is_up)
{
	struct ike_action a;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	sa->keepalive_at = r.ike->now = RIG_NOW + USEC_S(20);
	ike_sa_timeout(sa);
	a = rig_expect(&r, IKE_SEND);
	ck_assert(a.len == 1 && a.data[0] == 0xff);
	ck_assert_uint_eq(sa->keepalive_at, r.ike->now + USEC_S(20));
	r.ike->now = sa->heard = sa->rekey_at;
	sa->keepalive_at = USEC_NEVER;
	ike_sa_timeout(sa);
	ck_assert_int_eq(rig_expect(&r, IKE_WORK).kind, IKE_WORK);
	ck_assert(sa->req.kind == REQ_IKE_REKEY && sa->rekey_at == USEC_NEVER);
	ike_sa_drop_mine(sa);
	r.ike->now = sa->hard_at;
	ike_sa_timeout(sa);
	ck_assert_int_eq(sa->state, SA_DELETING);
	ck_assert(rig_said(&r, "the lifetime of the IKE SA has ended"));
	ck_assert_int_eq(rig_expect(&r, IKE_SEND).kind, IKE_SEND);
	ike_sa_settle(r.ike);
	rig_fini(&r);
}
END_TEST

START_TEST(the_timers_of_its_children)
{
	struct ike_sa *sa;
	struct child *c;
	struct rig r;

	rig_init(&r);
	r.t->conf.liveness = 0;
	sa = rig_up(&r);
	c = rig_child(&r, sa, true);
	child_pick(r.t);
	rig_drain(&r);
	ike_sa_step(sa);
	ck_assert_uint_eq(rig_timer(sa), c->rekey_at);
	r.ike->now = c->rekey_at;
	ike_sa_timeout(sa);
	ck_assert(c->state == CHILD_REKEYING && c->rekey_at == USEC_NEVER);
	ck_assert_int_eq(sa->req.kind, REQ_CHILD_REKEY);
	(void)rig_expect(&r, IKE_SEND);
	xchg_answered(&sa->x);
	ike_sa_drop_mine(sa);
	r.ike->now = c->hard_at;
	ike_sa_timeout(sa);				/* the rekey has not come through */
	ck_assert(c->state == CHILD_DELETING && c->delete_sent && c->hard_at == USEC_NEVER);
	ck_assert_int_eq(sa->req.kind, REQ_CHILD_DELETE);
	(void)rig_expect(&r, IKE_SEND);
	ck_assert_ptr_eq(r.t->out, c);			/* until the peer knows of it */
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, a_new_one);
	tcase_add_test(tc, joined_to_a_tunnel);
	tcase_add_test(tc, states);
	tcase_add_test(tc, keys_by_role);
	tcase_add_test(tc, half_open_ones_are_counted_by_source);
	tcase_add_test(tc, an_opening_is_forgotten);
	tcase_add_test(tc, timers_of_one_that_is_up);
	tcase_add_test(tc, a_life_is_renewed_in_time);
	tcase_add_test(tc, the_main_one_is_up_and_wins);
	tcase_add_test(tc, the_earliest_deadline_counts);
	tcase_add_test(tc, silence_is_asked_about);
	tcase_add_test(tc, a_silent_peer);
	tcase_add_test(tc, a_refusal_is_remembered);
	tcase_add_test(tc, lingering_ends);
	tcase_add_test(tc, the_timers_of_an_sa_that_is_up);
	tcase_add_test(tc, the_timers_of_its_children);
}

UNIT_MAIN("ike/sa", fill)
