/* SPDX-License-Identifier: MIT */
/* How a datagram is judged before a table sees it, what it shows of the peer, and the states
 * that two ends go through together.  The tables themselves are in ike_fsm_test. */
#include "ike/fsm.h"

#include "tests/unit/ike_rig.h"

static struct rig_letter letter;

/* A message of the peer as it is on the wire, to be sent more than once. */
struct wire {
	size_t len;
	uint8_t data[4096];
};

static struct wire
question(struct rig *r, struct ike_sa *sa, uint32_t id, bool response)
{
	struct ike_hdr h = { .exchange = X_INFORMATIONAL, .id = id };
	struct msg_wr mw;
	struct wire w;

	h.flags = response ? IKE_F_RESPONSE : 0;
	rig_write(sa, &mw, h, w.data);
	w.len = rig_seal(r, sa, &mw);
	return w;
}

/* What came of it. */
enum fate {
	ANSWERED,			/* worked on, with ALIVE and an answer */
	REPEATED,			/* the stored answer once more, and that is all */
	DROPPED,
};

static enum fate
give(struct rig *r, struct ike_sa *sa, const struct wire *w)
{
	uint64_t dropped = r->ike->totals.dropped;
	struct ike_action a;
	bool alive = false, sent = false;

	fsm_datagram(sa, w->data, w->len);
	while (rig_next(r, &a)) {
		alive |= a.kind == IKE_ALIVE;
		sent |= a.kind == IKE_SEND;
	}
	if (r->ike->totals.dropped > dropped) {
		ck_assert(!alive && !sent);
		return DROPPED;
	}
	ck_assert(sent);
	return alive ? ANSWERED : REPEATED;
}

/* ---- message IDs ---- */

/* A window of one: in order, each once; the last again gets the same answer. */
START_TEST(requests_in_order)
{
	struct wire w[4];
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	for (uint32_t id = 0; id < 4; id++)
		w[id] = question(&r, sa, id, false);
	ck_assert_int_eq(give(&r, sa, &w[1]), DROPPED);		/* not yet */
	ck_assert_int_eq(give(&r, sa, &w[0]), ANSWERED);
	ck_assert_int_eq(give(&r, sa, &w[0]), REPEATED);
	ck_assert_int_eq(give(&r, sa, &w[1]), ANSWERED);
	ck_assert_int_eq(give(&r, sa, &w[0]), DROPPED);		/* old */
	ck_assert_int_eq(give(&r, sa, &w[3]), DROPPED);
	ck_assert_int_eq(give(&r, sa, &w[1]), REPEATED);
	ck_assert_int_eq(give(&r, sa, &w[2]), ANSWERED);
	ck_assert_uint_eq(sa->x.in_id, 3);
	xchg_begin(&sa->x);					/* 3 is being worked on */
	ck_assert_int_eq(give(&r, sa, &w[3]), DROPPED);
	ck_assert_int_eq(give(&r, sa, &w[2]), DROPPED);
	rig_fini(&r);
}
END_TEST

START_TEST(only_the_answer_that_is_awaited)
{
	struct wire w[3];
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	sa->x.out_id = 1;
	for (uint32_t id = 0; id < 3; id++)
		w[id] = question(&r, sa, id, true);
	for (uint32_t id = 0; id < 3; id++)
		ck_assert_int_eq(give(&r, sa, &w[id]), DROPPED);	/* nothing was asked */
	sa->want_ask = true;
	ike_sa_step(sa);
	rig_drain(&r);
	ck_assert_int_eq(give(&r, sa, &w[0]), DROPPED);
	ck_assert_int_eq(give(&r, sa, &w[2]), DROPPED);
	ck_assert_int_eq(sa->req.kind, REQ_ASK);
	fsm_datagram(sa, w[1].data, w[1].len);
	ck_assert(sa->req.kind == REQ_NONE && sa->x.out == NULL && sa->x.out_id == 2);
	(void)rig_expect(&r, IKE_ALIVE);
	ck_assert_int_eq(give(&r, sa, &w[1]), DROPPED);			/* once */
	rig_fini(&r);
}
END_TEST

/* R9: each byte flipped, each length cut: nothing but a counter. */
START_TEST(what_does_not_authenticate)
{
	struct wire good, bad;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	good = question(&r, sa, 0, false);
	for (size_t at = 0; at < good.len; at++) {
		bad = good;
		bad.data[at] ^= 1;
		ck_assert_msg(give(&r, sa, &bad) == DROPPED, "byte %zu", at);
		bad = good;
		bad.len = at;
		ck_assert_msg(give(&r, sa, &bad) == DROPPED, "cut at %zu", at);
	}
	ck_assert(sa->x.in_id == 0 && sa->state == SA_UP && sa->heard == RIG_NOW);
	ck_assert_int_eq(give(&r, sa, &good), ANSWERED);
	rig_fini(&r);
}
END_TEST

/* Without keys nothing protected can be read. */
START_TEST(before_there_are_keys)
{
	struct sa_keys *keys;
	struct wire w;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_sa(&r, SA_INIT_DONE, false);
	w = question(&r, sa, 0, false);
	keys = sa->keys;
	sa->keys = NULL;
	ck_assert_int_eq(give(&r, sa, &w), DROPPED);
	sa->keys = keys;
	ck_assert(sa->state == SA_INIT_DONE && sa->x.in_id == 0);
	rig_fini(&r);
}
END_TEST

/* ---- what it shows of the peer ---- */

/* Heard by what is new and protected; the host is told of it for tunnels that are or were up. */
START_TEST(signs_of_life)
{
	for (unsigned state = SA_NEW; state < SA_GONE; state++) {
		bool told = state == SA_UP || state == SA_REKEYED || state == SA_DELETING;
		struct ike_action a;
		unsigned alive = 0;
		struct ike_sa *sa;
		struct wire w;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, state, true);
		w = question(&r, sa, 0, false);
		r.ike->now += USEC_S(1);
		fsm_datagram(sa, w.data, w.len);
		ck_assert_uint_eq(sa->heard, r.ike->now);
		while (rig_next(&r, &a)) {
			ck_assert(a.kind != IKE_ALIVE || a.tunnel == RIG_ID);
			alive += a.kind == IKE_ALIVE;
		}
		ck_assert_uint_eq(alive, told);
		ike_sa_settle(r.ike);
		rig_fini(&r);
	}
}
END_TEST

/* R27: the peer moves with its newest message, never with a repetition; with a fixed remote
 * only its port does.  ESP follows where this IKE SA carries it. */
START_TEST(a_peer_moves)
{
	for (unsigned i = 0; i < 8; i++) {
		bool anybody = (i & 1) != 0, far = (i & 2) != 0, carries = (i & 4) != 0;
		bool moves = anybody || !far;
		struct endpoint to = { rig_ip(far ? 9 : 2), far ? 4500 : 5000 };
		struct ike_action a;
		unsigned told = 0;
		struct ike_sa *sa;
		struct wire w;
		struct rig r;

		rig_init(&r);
		if (anybody) {
			r.conf.remote = (struct ip){ 0 };
			tunnel_set(r.ike, &r.conf);
		}
		sa = rig_up(&r);
		if (carries)
			(void)rig_child(&r, sa, true);
		child_pick(r.t);
		rig_drain(&r);
		w = question(&r, sa, 0, false);
		r.ike->remote = to;
		fsm_datagram(sa, w.data, w.len);
		ck_assert_int_eq(endpoint_equal(&sa->remote, &to), moves);
		while (rig_next(&r, &a)) {
			ck_assert(a.kind != IKE_ENDPOINT || endpoint_equal(&a.remote, &to));
			ck_assert(a.kind != IKE_SEND || endpoint_equal(&a.remote, &to));
			told += a.kind == IKE_ENDPOINT;
		}
		ck_assert_uint_eq(told, moves && carries);
		r.ike->remote.port = 6000;
		ck_assert_int_eq(give(&r, sa, &w), REPEATED);
		ck_assert_uint_ne(sa->remote.port, 6000);
		rig_fini(&r);
	}
}
END_TEST

/* Our own address may change as well; an IKE SA that is not up yet stays where it is. */
START_TEST(we_move)
{
	struct endpoint here = { rig_ip(5), 4500 };
	struct ike_action told;
	struct ike_sa *sa;
	struct wire w;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	(void)rig_child(&r, sa, true);
	child_pick(r.t);
	rig_drain(&r);
	w = question(&r, sa, 0, false);
	r.ike->local = here;
	fsm_datagram(sa, w.data, w.len);
	ck_assert(endpoint_equal(&sa->local, &here));
	(void)rig_expect(&r, IKE_ALIVE);
	told = rig_expect(&r, IKE_ENDPOINT);
	ck_assert(endpoint_equal(&told.local, &here));
	sa = rig_sa(&r, SA_AUTH_SENT, true);
	w = question(&r, sa, 0, false);
	r.ike->local = here;
	fsm_datagram(sa, w.data, w.len);
	ck_assert(!endpoint_equal(&sa->local, &here));
	rig_fini(&r);
}
END_TEST

/* A request after our answer means that the peer has what the answer made. */
START_TEST(a_request_proves_the_answer)
{
	struct child *c;
	struct ike_sa *sa;
	struct wire w;
	struct rig r;

	rig_init(&r);
	sa = rig_up(&r);
	c = rig_child(&r, sa, false);
	ck_assert(!c->known);
	w = question(&r, sa, 0, false);
	fsm_datagram(sa, w.data, w.len);
	ck_assert(c->known && r.t->out == c);
	rig_fini(&r);
}
END_TEST

/* ---- what nobody protects ---- */

/* R28: unprotected words prove nothing; they may be a reason to ask, every 10 s at most. */
START_TEST(unprotected_words_are_a_reason_to_ask)
{
	static const uint16_t types[] = {
		N_INVALID_IKE_SPI, N_INVALID_SPI, N_AUTHENTICATION_FAILED, N_INITIAL_CONTACT,
	};

	for (unsigned state = SA_NEW; state < SA_GONE; state++) {
		for (unsigned i = 0; i < 8; i++) {
			bool asks = state == SA_UP && i < 2;
			struct ike_hdr h = { .exchange = i < 4 ? X_INFORMATIONAL : X_IKE_AUTH };
			struct ike_sa *sa;
			struct msg_wr mw;
			struct wire w;
			struct rig r;

			rig_init(&r);
			sa = rig_sa(&r, state, true);
			sa->req.kind = state == SA_DELETING ? REQ_ASK : REQ_NONE;
			h.spi_i = sa->spi;
			h.spi_r = sa->peer_spi;
			msg_start(&mw, w.data, sizeof(w.data), &h);
			msg_add_notify(&mw, types[i % 4], NULL, 0);
			w.len = msg_end(&mw);
			for (unsigned k = 0; k < 50; k++) {
				r.ike->now = RIG_NOW + k * USEC_MS(300);	/* 0 to 14.7 s */
				fsm_datagram(sa, w.data, w.len);
				if (sa->req.kind != REQ_ASK || state == SA_DELETING)
					continue;
				xchg_answered(&sa->x);
				sa->req.kind = REQ_NONE;
			}
			ck_assert_uint_eq(rig_drain(&r), asks ? 2 : 0);
			ck_assert_uint_eq(r.ike->totals.dropped, 50);
			ck_assert(sa->state == state && sa->heard <= RIG_NOW);
			rig_fini(&r);
		}
	}
}
END_TEST

/* ---- what a table refuses ---- */

/* An unknown critical payload is named in the answer; before IKE_AUTH that was the one chance. */
START_TEST(unknown_critical_payloads)
{
	for (unsigned i = 0; i < 4; i++) {
		bool up = (i & 1) != 0, critical = (i & 2) != 0;
		struct ike_hdr h = { .exchange = up ? X_INFORMATIONAL : X_IKE_AUTH };
		const struct pld_notify *n;
		struct msg_wr mw;
		struct ike_sa *sa;
		struct wire w;
		struct rig r;

		rig_init(&r);
		sa = rig_sa(&r, up ? SA_UP : SA_INIT_DONE, false);
		rig_write(sa, &mw, h, w.data);
		wr_u32(msg_add(&mw, 99), 1);
		if (critical)
			w.data[mw.pld_at + 1] |= 0x80;
		w.len = rig_seal(&r, sa, &mw);
		fsm_datagram(sa, w.data, w.len);
		if (up)
			(void)rig_expect(&r, IKE_ALIVE);
		rig_read(&r, sa, &letter);
		n = letter.m.notify;
		if (critical) {
			ck_assert_uint_eq(n->type, N_UNSUPPORTED_CRITICAL_PAYLOAD);
			ck_assert(n->data.len == 1 && n->data.p[0] == 99);
		} else {			/* skipped: what is left is fine, or is not */
			ck_assert_uint_eq(letter.m.n, up ? 0 : 1);
			ck_assert(up || (n->type == N_INVALID_SYNTAX && n->data.len == 0));
		}
		ck_assert_int_eq(sa->state, up ? SA_UP : SA_REFUSED);
		if (!up) {
			ck_assert_int_eq(give(&r, sa, &w), REPEATED);
			w = question(&r, sa, 1, false);
			ck_assert_int_eq(give(&r, sa, &w), DROPPED);
		}
		rig_fini(&r);
	}
}
END_TEST

/* ---- the states of two ends ---- */

struct pair {
	struct rig r[2];		/* 0 opens */
	struct ike_sa *sa[2];
};

static void
pair_init(struct pair *p)
{
	struct ike_tunnel *c = &p->r[1].conf;

	for (unsigned i = 0; i < 2; i++)
		rig_init(&p->r[i]);
	p->r[1].under = rng_seeded(&p->r[1].seed, 2);
	c->local = rig_ip(2);
	c->remote = rig_ip(1);
	c->local_id = p->r[0].conf.remote_id;
	c->remote_id = p->r[0].conf.local_id;
	c->ts_local = p->r[0].conf.ts_remote;
	c->ts_remote = p->r[0].conf.ts_local;
	tunnel_set(p->r[1].ike, c);
}

/* The computation that side `i` waits for. */
static void
work(struct pair *p, unsigned i)
{
	struct ike_action a = rig_expect(&p->r[i], IKE_WORK);

	ike_job_run(a.job);
	ike_input(p->r[i].ike, RIG_NOW, &(struct ike_fact){ .kind = IKE_WORK_DONE, .job = a.job });
}

/* The datagram that side `i` sends next reaches the other. */
static void
pass(struct pair *p, unsigned i)
{
	struct ike_action a = rig_expect(&p->r[i], IKE_SEND);

	ike_input(p->r[!i].ike, RIG_NOW, &(struct ike_fact){ .kind = IKE_DATAGRAM,
	    .local = a.remote, .remote = a.local, .data = a.data, .len = a.len });
}

static void
states(const struct pair *p, enum sa_state opener, enum sa_state other)
{
	const enum sa_state want[2] = { opener, other };

	for (unsigned i = 0; i < 2; i++) {
		size_t pos = 0;
		void *sa = NULL;

		(void)map_each(p->r[i].ike->sas, &pos, NULL, &sa);
		ck_assert((sa == NULL) == (want[i] == SA_GONE));
		if (sa != NULL)
			ck_assert_str_eq(ike_sa_state_name(((struct ike_sa *)sa)->state),
			    ike_sa_state_name(want[i]));
	}
}

/* RFC 7296 1.2 and 1.4.1, line by line. */
START_TEST(the_ladder)
{
	static struct pair p;

	pair_init(&p);
	tunnel_open(p.r[0].t);
	ike_tick(p.r[0].ike, RIG_NOW);
	states(&p, SA_NEW, SA_GONE);
	work(&p, 0);					/* our key */
	states(&p, SA_INIT_SENT, SA_GONE);
	pass(&p, 0);					/* HDR, SAi1, KEi, Ni --> */
	states(&p, SA_INIT_SENT, SA_NEW);
	work(&p, 1);
	states(&p, SA_INIT_SENT, SA_INIT_DONE);
	pass(&p, 1);					/* <-- HDR, SAr1, KEr, Nr */
	states(&p, SA_KEYING, SA_INIT_DONE);
	work(&p, 0);
	states(&p, SA_AUTH_SENT, SA_INIT_DONE);
	pass(&p, 0);				/* HDR, SK {IDi, AUTH, SAi2, TSi, TSr} --> */
	states(&p, SA_AUTH_SENT, SA_UP);
	(void)rig_expect(&p.r[1], IKE_SA_IN);		/* before the answer leaves */
	pass(&p, 1);				/* <-- HDR, SK {IDr, AUTH, SAr2, TSi, TSr} */
	states(&p, SA_UP, SA_UP);
	rig_drain(&p.r[0]);
	rig_drain(&p.r[1]);
	ike_input(p.r[0].ike, RIG_NOW, &(struct ike_fact){ .kind = IKE_CLOSE, .tunnel = RIG_ID });
	states(&p, SA_DELETING, SA_UP);
	(void)rig_expect(&p.r[0], IKE_SA_DROP);
	(void)rig_expect(&p.r[0], IKE_DOWN);
	pass(&p, 0);					/* HDR, SK {D} --> */
	states(&p, SA_DELETING, SA_GONE);
	(void)rig_expect(&p.r[1], IKE_ALIVE);
	pass(&p, 1);					/* <-- HDR, SK {} */
	states(&p, SA_GONE, SA_GONE);
	rig_fini(&p.r[0]);
	rig_fini(&p.r[1]);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, requests_in_order);
	tcase_add_test(tc, only_the_answer_that_is_awaited);
	tcase_add_test(tc, what_does_not_authenticate);
	tcase_add_test(tc, before_there_are_keys);
	tcase_add_test(tc, signs_of_life);
	tcase_add_test(tc, a_peer_moves);
	tcase_add_test(tc, we_move);
	tcase_add_test(tc, a_request_proves_the_answer);
	tcase_add_test(tc, unprotected_words_are_a_reason_to_ask);
	tcase_add_test(tc, unknown_critical_payloads);
	tcase_add_test(tc, the_ladder);
}

UNIT_MAIN("ike/fsm, messages", fill)
