/* SPDX-License-Identifier: MIT */
#include "ike/tunnel.h"

#include "tests/unit/ike_rig.h"

static usec_t
timer(const struct tunnel *t)
{
	return t->timer.index == 0 ? USEC_NEVER : t->timer.at;
}

/* ---- configuration ---- */

START_TEST(a_tunnel_is_added_and_forgotten)
{
	uint8_t psk[] = "borrowed during the call";
	struct ike_tunnel conf;
	struct tunnel *t;
	struct rig r;
	size_t used;

	rig_init(&r);
	used = secrets_used(r.secrets);
	ck_assert_ptr_null(tunnel_find(r.ike, 8));
	conf = rig_conf(8);
	conf.psk = psk;
	conf.psk_len = sizeof(psk);
	tunnel_set(r.ike, &conf);
	t = tunnel_find(r.ike, 8);
	ck_assert(t != NULL && t != r.t);
	memset(psk, 0, sizeof(psk));
	ck_assert_mem_eq(t->conf.psk, "borrowed during the call", sizeof(psk));
	ck_assert_uint_eq(secrets_used(r.secrets), used + 1);
	ck_assert(!t->wanted && t->present && !t->closed && t->out == NULL);
	ck_assert_uint_eq(timer(t), USEC_NEVER);
	conf.psk_len = 0;				/* none is one too */
	conf.psk = NULL;
	tunnel_set(r.ike, &conf);
	ck_assert_ptr_eq(tunnel_find(r.ike, 8), t);
	ck_assert_uint_eq(secrets_used(r.secrets), used + 1);
	tunnel_del(t);
	ck_assert_ptr_null(tunnel_find(r.ike, 8));
	ck_assert_uint_eq(secrets_used(r.secrets), used);
	ck_assert_uint_eq(r.ike->queue.reserved, QUEUE_PER_OBJECT);
	ck_assert_uint_eq(rig_drain(&r), 0);
	rig_fini(&r);
}
END_TEST

enum change {
	LOCAL_ID, REMOTE_ID, LOCAL, REMOTE, LOCAL_PORT, NATT_PORT, REMOTE_PORT, CONNECTION, PSK,
	PSK_LEN,
	PEER_CHANGES,
	NAME = PEER_CHANGES, SUITES, CHILD_SUITES, SELECTORS, START, WINDOW, LIVES, LIVENESS, RETRY,
	CHANGES,
};

static void
change(struct ike_tunnel *c, enum change what)
{
	switch (what) {
	case LOCAL_ID:		c->local_id.data[0] ^= 1; break;
	case REMOTE_ID:		c->remote_id.data[0] ^= 1; break;
	case LOCAL:		c->local.b[3]++; break;
	case REMOTE:		c->remote.b[3]++; break;
	case LOCAL_PORT:	c->local_port++; break;
	case NATT_PORT:		c->local_natt_port++; break;
	case REMOTE_PORT:	c->remote_port = 4500; break;
	case CONNECTION:	c->connection++; break;
	case PSK:		c->psk = (const uint8_t *)"A shared secret"; break;
	case PSK_LEN:		c->psk_len--; break;
	case NAME:		c->name[0] = 'S'; break;
	case SUITES:		c->ike[0].group = KE_ECP_384; break;
	case CHILD_SUITES:	c->esp[0].esn = false; break;
	case SELECTORS:		c->ts_local = rig_ts("10.9.0.0/16"); break;
	case START:		c->start = true; break;
	case WINDOW:		c->window = 64; break;
	case LIVES:		c->ike_life = c->child_life = USEC_S(9); break;
	case LIVENESS:		c->liveness = 0; break;
	case RETRY:		c->retry_max = 0; break;
	case CHANGES:		break;
	}
}

/* Live IKE SAs stay where identities, secret, addresses and ports are unchanged. */
START_TEST(what_changes_the_peer_ends_its_ike_sas)
{
	for (unsigned what = 0; what <= CHANGES; what++) {
		struct ike_sa *sa, *opening;
		struct ike_tunnel conf;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		opening = rig_sa(&r, SA_INIT_SENT, true);
		conf = r.conf;
		change(&conf, what);
		r.t->attempts = 5;
		tunnel_set(r.ike, &conf);
		ck_assert_msg(sa->state == (what < PEER_CHANGES ? SA_DELETING : SA_UP),
		    "change %u", what);
		ck_assert_int_eq(opening->state, what < PEER_CHANGES ? SA_GONE : SA_INIT_SENT);
		ck_assert_uint_eq(r.t->attempts, what < PEER_CHANGES ? 0 : 5);
		ck_assert_ptr_eq(tunnel_find(r.ike, RIG_ID), r.t);
		ck_assert_mem_eq(r.t->conf.name, conf.name, sizeof(conf.name));
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

/* `start` counts when it changes; what was opened or closed by hand stays so otherwise. */
START_TEST(a_reload_does_not_undo_commands)
{
	struct rig r;

	rig_init(&r);
	tunnel_open(r.t);
	tunnel_set(r.ike, &r.conf);
	ck_assert(r.t->wanted);
	r.conf.start = true;
	tunnel_set(r.ike, &r.conf);
	tunnel_close(r.t, "by hand");
	tunnel_set(r.ike, &r.conf);
	ck_assert(!r.t->wanted && r.t->closed);
	tunnel_open(r.t);
	r.conf.start = false;
	tunnel_set(r.ike, &r.conf);
	ck_assert(!r.t->wanted);
	rig_fini(&r);
}
END_TEST

/* The delete of an IKE SA leaves before its tunnel is forgotten, and is repeated after. */
START_TEST(a_removed_tunnel_says_good_bye)
{
	struct rig_letter letter;
	struct ike_sa *up;
	struct rig r;

	rig_init(&r);
	up = rig_up(&r);
	(void)rig_child(&r, up, true);
	child_pick(r.t);
	rig_drain(&r);
	r.t->duel_at = RIG_NOW + 1;			/* its timer runs */
	tunnel_del(r.t);
	ck_assert_uint_eq(heap_deadline(&r.ike->tunnel_timers), USEC_NEVER);
	(void)rig_expect(&r, IKE_SA_DROP);
	ck_assert_str_eq(rig_expect(&r, IKE_DOWN).reason,
	    "the tunnel was taken out of the configuration");
	rig_read(&r, up, &letter);
	ck_assert(letter.m.h.exchange == X_INFORMATIONAL && letter.m.present == P_D);
	ck_assert(up->state == SA_DELETING && up->tunnel == NULL && up->next == NULL);
	r.ike->now += USEC_MS(500);
	ike_sa_timeout(up);				/* nothing of it needs the tunnel */
	rig_read(&r, up, &letter);
	ck_assert_str_eq(up->name, "site/1");
	rig_fini(&r);
}
END_TEST

/* ---- the will to be up ---- */

/* It opens only if all of this is so, and then at once. */
START_TEST(when_it_opens)
{
	for (unsigned i = 0; i <= 6; i++) {
		struct rig r;

		rig_init(&r);
		r.t->wanted = i != 1;
		r.t->present = i != 2;
		r.t->closed = i == 3;
		r.ike->stopping = i == 4;
		r.t->conf.ike_n = i == 5 ? 0 : 1;
		if (i == 6) {			/* anybody: nobody to open to */
			r.conf.remote = (struct ip){ 0 };
			tunnel_set(r.ike, &r.conf);
		}
		tunnel_kick(r.t);
		ck_assert_msg(timer(r.t) == (i == 0 ? RIG_NOW : USEC_NEVER), "%u", i);
		rig_drain(&r);
		r.t->try_at = RIG_NOW;
		tunnel_timeout(r.t);
		ck_assert_uint_eq(timer(r.t), USEC_NEVER);
		ck_assert_uint_eq(rig_drain(&r), i == 0);
		ck_assert((r.t->sas != NULL) == (i == 0));
		rig_fini(&r);
	}
}
END_TEST

/* Any IKE SA that is there or may come to be keeps it from opening another. */
START_TEST(one_attempt_at_a_time)
{
	for (unsigned state = SA_NEW; state < SA_STATE_N; state++) {
		struct ike_sa *sa;
		struct rig r;

		rig_init(&r);
		r.t->wanted = true;
		sa = rig_sa(&r, state, true);
		tunnel_kick(r.t);
		ck_assert_msg((timer(r.t) == USEC_NEVER) == (state <= SA_UP), "%s",
		    ike_sa_state_name(state));
		sa->close_why = "test";			/* to be closed soon: none */
		tunnel_kick(r.t);
		ck_assert_uint_eq(timer(r.t), RIG_NOW);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

START_TEST(not_before_its_time)
{
	struct rig r;

	rig_init(&r);
	r.t->wanted = true;
	r.t->try_at = RIG_NOW + 1;
	tunnel_timeout(r.t);
	ck_assert_uint_eq(timer(r.t), RIG_NOW + 1);
	ck_assert_uint_eq(rig_drain(&r), 0);
	r.ike->now++;
	tunnel_timeout(r.t);
	ck_assert_uint_eq(rig_expect(&r, IKE_WORK).tunnel, RIG_ID);
	ck_assert(r.t->sas != NULL && r.t->sas->initiator && r.t->sas->state == SA_NEW);
	rig_fini(&r);
}
END_TEST

/* 1 s, 2 s, 4 s .. the cap, each between three quarters and five. */
START_TEST(attempts_back_off)
{
	static const struct {
		usec_t max, cap;
	} caps[] = {
		{ 0, USEC_S(60) }, { USEC_S(5), USEC_S(5) }, { USEC_MS(100), USEC_MS(100) },
		{ USEC_S(60), USEC_S(60) }, { USEC_S(10000), USEC_S(1024) },
	};
	static const uint64_t least = 1001 * 1000000, most = least + 1000;

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		struct rig r;

		rig_init(&r);
		r.t->conf.retry_max = caps[i].max;
		for (unsigned n = 0; n < 80; n++) {
			usec_t wait = usec_min(USEC_S(1) << (n < 20 ? n : 20), caps[i].cap);

			rig_load(&r, &least, 1);
			r.t->attempts = n;
			tunnel_failed(r.t, "test");
			ck_assert_uint_eq(r.t->try_at, RIG_NOW + wait / 4 * 3);
			ck_assert_uint_eq(r.t->attempts, n + 1);
			rig_load(&r, &most, 1);
			r.t->attempts = n;
			tunnel_failed(r.t, "test");
			ck_assert_uint_eq(r.t->try_at, RIG_NOW + wait / 4 * 5);
		}
		rig_fini(&r);
	}
}
END_TEST

/* A failed attempt says why, unless the tunnel is up by another IKE SA. */
START_TEST(a_failure_has_a_reason)
{
	struct rig r;

	rig_init(&r);
	tunnel_failed(r.t, "nobody is there");
	ck_assert(strcmp(r.t->reason, "nobody is there") == 0 && rig_said(&r, "attempt=1 "));
	(void)rig_child(&r, rig_up(&r), true);
	child_pick(r.t);
	rig_hush(&r);
	tunnel_failed(r.t, "of no interest");
	ck_assert(r.t->reason[0] == '\0' && r.log_len == 0 && r.t->attempts == 2);
	rig_fini(&r);
}
END_TEST

/* Lost after it was up for 10 s: anew within 0.2 s; lost before, it backs off. */
START_TEST(a_loss_after_a_while_is_a_new_story)
{
	static const struct {
		usec_t sa_age, up_age;		/* up_age 0: the tunnel is not up */
		bool fresh;
	} cases[] = {
		{ USEC_S(10), 0, true },
		{ USEC_S(10) - 1, 0, false },
		{ 0, USEC_S(10), true },
		{ 0, USEC_S(10) - 1, false },
		{ USEC_S(30), USEC_S(1), true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ike_sa *sa;
		usec_t wait;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		sa->up_since = RIG_NOW - cases[i].sa_age;
		r.t->up_at = cases[i].up_age != 0 ? RIG_NOW - cases[i].up_age : 0;
		r.t->attempts = 2;
		tunnel_lost(r.t, sa);
		wait = r.t->try_at - RIG_NOW;
		ck_assert_uint_eq(r.t->attempts, cases[i].fresh ? 0 : 3);
		ck_assert_msg(cases[i].fresh ? wait < USEC_MS(200) :
		    wait >= USEC_S(6) && wait <= USEC_S(10), "case %zu: %llu", i,
		    (unsigned long long)wait);
		rig_fini(&r);
	}
}
END_TEST

/* What has not come as far as IKE_AUTH when another is up is given up; the rest settles by the
 * duel, which is due when two are up. */
START_TEST(a_winner_ends_other_attempts)
{
	for (unsigned state = SA_NEW; state < SA_GONE; state++) {
		struct ike_sa *winner, *other;
		struct rig r;

		rig_init(&r);
		r.t->wanted = true;
		winner = rig_up(&r);
		other = rig_sa(&r, state, true);
		tunnel_won(r.t, winner);
		ck_assert_int_eq(other->state, state < SA_AUTH_SENT ? SA_GONE : state);
		ck_assert_int_eq(winner->state, SA_UP);
		ck_assert_uint_eq(r.t->duel_at, state == SA_UP ? RIG_NOW + USEC_S(1) : USEC_NEVER);
		ck_assert_uint_eq(timer(r.t), r.t->duel_at);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

START_TEST(a_duel_ends_by_the_timer)
{
	struct ike_sa *low, *high;
	struct rig r;

	rig_init(&r);
	low = rig_up(&r);
	high = rig_up(&r);
	tunnel_won(r.t, high);
	r.ike->now = r.t->duel_at - 1;
	tunnel_timeout(r.t);
	ck_assert_int_eq(low->state, SA_UP);
	r.ike->now++;
	tunnel_timeout(r.t);
	ck_assert(low->state == SA_DELETING && high->state == SA_UP);
	ck_assert_uint_eq(timer(r.t), USEC_NEVER);
	rig_fini(&r);
}
END_TEST

/* ---- commands ---- */

START_TEST(open_and_close)
{
	struct ike_sa *up, *half;
	struct rig r;

	rig_init(&r);
	r.t->attempts = 6;
	r.t->try_at = RIG_NOW + USEC_S(60);
	tunnel_open(r.t);				/* now, not when the back-off ends */
	ck_assert(r.t->wanted && r.t->attempts == 0);
	ck_assert_uint_eq(timer(r.t), RIG_NOW);
	up = rig_up(&r);
	half = rig_sa(&r, SA_INIT_SENT, true);
	tunnel_close(r.t, "enough");
	ck_assert(!r.t->wanted && r.t->closed);
	ck_assert(up->state == SA_DELETING && half->state == SA_GONE);
	ck_assert_str_eq(r.t->reason, "enough");
	ike_sa_settle(r.ike);
	ck_assert_uint_eq(timer(r.t), USEC_NEVER);
	rig_fini(&r);
}
END_TEST

/* Without its outside address nothing is tried; what is up may live on; back, at once. */
START_TEST(an_address_comes_and_goes)
{
	for (unsigned state = SA_NEW; state < SA_GONE; state++) {
		struct ike_sa *sa;
		struct rig r;

		rig_init(&r);
		r.t->wanted = true;
		sa = rig_sa(&r, state, true);
		tunnel_present(r.t, true);		/* it was: nothing happens */
		ck_assert(sa->state == state && r.t->reason[0] == '\0');
		r.t->attempts = 7;
		tunnel_present(r.t, false);
		ck_assert_int_eq(sa->state, state < SA_UP ? SA_GONE : state);
		ck_assert_uint_eq(timer(r.t), USEC_NEVER);
		ck_assert_str_eq(r.t->reason, "the outside address is not there");
		ike_sa_settle(r.ike);
		tunnel_present(r.t, true);
		ck_assert_uint_eq(r.t->attempts, 0);
		ck_assert_uint_eq(timer(r.t), state == SA_UP ? USEC_NEVER : RIG_NOW);
		rig_fini(&r);
	}
}
END_TEST

START_TEST(up_and_down_are_said_once)
{
	struct ike_action a;
	char why[2 * IKE_REASON_MAX];
	struct rig r;

	rig_init(&r);
	tunnel_went_down(r.t, "it was not up");
	ck_assert(rig_drain(&r) == 0 && r.t->reason[0] == '\0');
	tunnel_reason(r.t, "%s %d", "an old reason", 1);
	ck_assert_str_eq(r.t->reason, "an old reason 1");
	r.ike->now = 0;					/* a time that would mean "down" */
	tunnel_came_up(r.t);
	tunnel_came_up(r.t);
	ck_assert_uint_eq(rig_expect(&r, IKE_UP).tunnel, RIG_ID);
	ck_assert_uint_eq(rig_drain(&r), 0);
	ck_assert(r.t->reason[0] == '\0' && r.t->up_at != 0 && rig_said(&r, "tunnel-up"));
	memset(why, 'x', sizeof(why));
	why[sizeof(why) - 1] = '\0';
	tunnel_went_down(r.t, why);			/* cut, not overrun */
	tunnel_went_down(r.t, "again");
	a = rig_expect(&r, IKE_DOWN);
	ck_assert_uint_eq(strlen(a.reason), IKE_REASON_MAX - 1);
	ck_assert_str_eq(a.reason, r.t->reason);
	ck_assert_uint_eq(rig_drain(&r), 0);
	rig_fini(&r);
}
END_TEST

/* ---- who it may be ---- */

START_TEST(whom_it_answers)
{
	const struct ip us = rig_ip(1), them = rig_ip(2), other = rig_ip(3);
	struct rig r;

	rig_init(&r);
	ck_assert(tunnel_answers(r.t, &us, &them));
	ck_assert(!tunnel_answers(r.t, &other, &them));
	ck_assert(!tunnel_answers(r.t, &us, &other));
	r.t->conf.local = (struct ip){ 0 };
	ck_assert(tunnel_answers(r.t, &other, &them));
	ck_assert(!tunnel_answers(r.t, &us, &other));
	r.t->closed = true;				/* as a responder: until the peer opens */
	ck_assert(tunnel_answers(r.t, &us, &them));
	r.t->conf.start = true;
	ck_assert(!tunnel_answers(r.t, &us, &them));
	r.t->conf.start = false;
	r.ike->stopping = true;
	ck_assert(!tunnel_answers(r.t, &us, &them));
	rig_fini(&r);
}
END_TEST

/* What tunnel_candidate() walks over, as ids. */
static unsigned
walk(struct rig *r, uint8_t remote, uint32_t id[32])
{
	struct endpoint local = { rig_ip(1), 500 }, from = { rig_ip(remote), 500 };
	struct tunnel *t = NULL;
	unsigned n = 0;

	while ((t = tunnel_candidate(r->ike, &local, &from, t)) != NULL) {
		ck_assert_uint_lt(n, 32);
		id[n++] = t->conf.id;
	}
	return n;
}

/* Those with exactly that address first, then those with any; each in order of configuration. */
START_TEST(candidates_in_order)
{
	static const uint8_t remotes[] = { 0, 9, 2, 0, 2, 9 };	/* of tunnels 1 to 6; 0: any */
	static const uint32_t of_2[] = { RIG_ID, 3, 5, 1, 4 }, of_9[] = { 2, 6, 1, 4 };
	uint32_t id[32];
	struct rig r;

	rig_init(&r);
	for (uint32_t i = 0; i < 6; i++) {
		struct ike_tunnel conf = rig_conf(i + 1);

		conf.remote = remotes[i] != 0 ? rig_ip(remotes[i]) :
		    (struct ip){ .family = i == 0 ? AF_UNSPEC : AF_INET };
		tunnel_set(r.ike, &conf);
	}
	ck_assert_uint_eq(walk(&r, 2, id), 5);
	ck_assert_mem_eq(id, of_2, sizeof(of_2));
	ck_assert_uint_eq(walk(&r, 9, id), 4);
	ck_assert_mem_eq(id, of_9, sizeof(of_9));
	ck_assert_uint_eq(walk(&r, 77, id), 2);
	ck_assert(id[0] == 1 && id[1] == 4);
	tunnel_find(r.ike, 3)->conf.local = rig_ip(99);		/* left out, not the end */
	tunnel_find(r.ike, 1)->conf.local = rig_ip(99);
	ck_assert_uint_eq(walk(&r, 2, id), 3);
	ck_assert(id[0] == RIG_ID && id[1] == 5 && id[2] == 4);
	rig_fini(&r);
}
END_TEST

/* Added, removed and moved to another address at random, against a list. */
START_TEST(chains_stay_whole)
{
	uint32_t model[32], id[32];
	unsigned n = 0;
	struct rig r;

	rig_init(&r);
	tunnel_del(r.t);
	for (unsigned step = 0; step < 3000; step++) {
		uint32_t which = 1 + rng_below(&r.under, 8);
		bool here = rng_below(&r.under, 3) != 0, was = false;
		struct tunnel *t = tunnel_find(r.ike, which);
		struct ike_tunnel conf = rig_conf(which);
		unsigned k = 0;

		conf.remote = rig_ip(here ? 2 : 3);
		if (t != NULL && rng_below(&r.under, 2) == 0) {
			tunnel_del(t);
			here = false;
		} else {
			tunnel_set(r.ike, &conf);
		}
		for (unsigned i = 0; i < n; i++) {	/* set anew as it was, it keeps its place */
			was |= model[i] == which;
			if (model[i] != which || here)
				model[k++] = model[i];
		}
		n = k;
		if (here && !was)
			model[n++] = which;
		ck_assert_uint_eq(walk(&r, 2, id), n);
		ck_assert_mem_eq(id, model, n * sizeof(id[0]));
	}
	rig_fini(&r);
}
END_TEST

/* R27: with a fixed remote only the port moves.  And whose suites are whose. */
START_TEST(where_a_peer_may_move)
{
	struct endpoint a = { rig_ip(2), 4500 }, port = { rig_ip(2), 5000 };
	struct endpoint far = { rig_ip(3), 4500 };
	struct ike_suite s;
	struct rig r;

	rig_init(&r);
	ck_assert(tunnel_may_move(r.t, &a, &port));
	ck_assert(!tunnel_may_move(r.t, &a, &far));
	r.t->conf.remote = (struct ip){ 0 };
	ck_assert(tunnel_may_move(r.t, &a, &far));
	s = r.t->conf.ike[0];
	ck_assert(tunnel_has_suite(r.t, &s));
	s.group = KE_ECP_384;
	r.t->conf.ike[1] = s;
	ck_assert(!tunnel_has_suite(r.t, &s));		/* past the end */
	r.t->conf.ike_n = 2;
	ck_assert(tunnel_has_suite(r.t, &s));
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, a_tunnel_is_added_and_forgotten);
	tcase_add_test(tc, what_changes_the_peer_ends_its_ike_sas);
	tcase_add_test(tc, a_reload_does_not_undo_commands);
	tcase_add_test(tc, a_removed_tunnel_says_good_bye);
	tcase_add_test(tc, when_it_opens);
	tcase_add_test(tc, one_attempt_at_a_time);
	tcase_add_test(tc, not_before_its_time);
	tcase_add_test(tc, attempts_back_off);
	tcase_add_test(tc, a_failure_has_a_reason);
	tcase_add_test(tc, a_loss_after_a_while_is_a_new_story);
	tcase_add_test(tc, a_winner_ends_other_attempts);
	tcase_add_test(tc, a_duel_ends_by_the_timer);
	tcase_add_test(tc, open_and_close);
	tcase_add_test(tc, an_address_comes_and_goes);
	tcase_add_test(tc, up_and_down_are_said_once);
	tcase_add_test(tc, whom_it_answers);
	tcase_add_test(tc, candidates_in_order);
	tcase_add_test(tc, chains_stay_whole);
	tcase_add_test(tc, where_a_peer_may_move);
}

UNIT_MAIN("ike/tunnel", fill)
