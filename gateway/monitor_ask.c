/* SPDX-License-Identifier: MIT */
#include "gateway/monitor_state.h"

#include <stdio.h>
#include <string.h>

/*
 * Questions and verdicts.
 *
 * A tunnel is asked for two reasons.  *Routine*: every idle period, whatever flows, so that
 * the round trip is known before it is needed and a dead standby is found before it is
 * needed.  A *round*: traffic went out for 200 ms and nothing came in; then the questions
 * come 100 ms apart, by every tunnel of the connection, so that a dead tunnel is told from a
 * dead uplink.  Both end the same way: when enough questions in a row (3; more on a path
 * that loses packets) went unanswered and the newest is overdue, the tunnel is dead, unless
 * anything at all came in since the first of them.
 *
 * The other tunnels of a round are *companions*.  What is known of their round trip may be
 * as old as an idle period, so three quick questions say nothing against them by themselves:
 * they are dead when the silent tunnel is (then it is the uplink), or after a routine's time.
 *
 * An answer is known by its token, which names the tunnel that asked.  If it comes back by
 * that tunnel's own SA, the tunnel can be judged by echo from then on.  If it comes back by
 * another (strangers' kernels route by their own tables), it proves that what we send by the
 * first arrives, and that the second carries something: no reason to leave either.
 *
 * One thing is hidden from this: a path that loses only our direction, while the peer goes
 * on sending.  A Tandem peer will tell us.  With others, routine questions show it: when none
 * was answered for five idle periods, by no tunnel, though this tunnel once did answer and
 * another does, the tunnel is `mute`: dead, and its traffic is no proof of life.
 */

/* ---- small helpers ---------------------------------------------------------------------- */

enum mon_verdict
mon_tun_verdict(const struct mon_tun *t)
{
	if (!t->up)
		return MON_V_DOWN;
	if (t->no_carrier)
		return MON_V_UPLINK;
	if (t->v == MON_V_UP && (t->hold_until != 0 || t->doubt))
		return MON_V_HELD;
	if (t->v == MON_V_UP && t->told)
		return mon_told_answers(t) ? MON_V_HELD : MON_V_DEAD;
	return t->v;
}

void
mon_note(struct monitor *m, struct mon_tun *t, usec_t now, const char *why)
{
	t->since = now;
	snprintf(t->reason, sizeof(t->reason), "%s", why);
	t->out_verdict = true;
	mon_queue(m, t->c);
}

void
mon_reselect_for(struct monitor *m, struct mon_tun *t, usec_t now, const char *what)
{
	char why[128];

	snprintf(why, sizeof(why), "tunnel %u: %.100s", t->index + 1, what);
	mon_reselect(m, t->c, now, why);
}

static bool
in_round(const struct mon_tun *t)
{
	return t->v == MON_V_ASKING;
}

void
mon_stop_asking(struct mon_tun *t)
{
	t->ask_at = t->verdict_at = USEC_NEVER;
	t->look_at = USEC_NEVER;
	t->graced = false;
	t->round = 0;
	if (t->v == MON_V_ASKING)
		t->v = MON_V_UP;
}

static usec_t
wait_of(const struct mon_tun *t)
{
	return mon_rtt_wait(&t->rtt, t->heard);
}

bool
mon_overdue(const struct mon_tun *t, usec_t now)
{
	return t->by_echo && t->unheard > 0 && now > t->unheard_at + wait_of(t);
}

/* Is another tunnel of the connection well?  Then there is somewhere to go. */
static bool
other_well(const struct mon_tun *t)
{
	for (unsigned i = 0; i < t->c->conf.n; i++)
		if (t->c->t[i] != t && mon_well(t->c->t[i]))
			return true;
	return false;
}

void
mon_tun_arm(struct monitor *m, struct mon_tun *t)
{
	usec_t at = usec_min(t->routine_at, usec_min(t->ask_at, t->verdict_at));

	if (t->hold_until != 0 && t->v == MON_V_UP)
		at = usec_min(at, t->hold_until);
	if (t->told)
		at = usec_min(at, t->told_until);
	at = usec_min(at, t->close_at);
	/* Never out of the heap: to put it back could fail for want of memory. */
	(void)heap_set(&m->timers, &t->timer, usec_min(at, USEC_NEVER - 1));
}

usec_t
mon_tun_sample_at(const struct mon_tun *t)
{
	usec_t at = USEC_NEVER;

	if (!t->up)
		return USEC_NEVER;
	if (t->sampled_at < t->flowing_until)
		at = t->sampled_at + MON_SAMPLE_EVERY;
	if (at != USEC_NEVER && t->waiting != 0 && t->waiting + t->c->conf.silence > t->sampled_at)
		at = usec_min(at, t->waiting + t->c->conf.silence);
	return usec_min(at, t->graced ? t->look_at : t->verdict_at);
}

/* ---- questions -------------------------------------------------------------------------- */

void
mon_ask(struct monitor *m, struct mon_tun *t, usec_t now)
{
	if (!t->echo)
		return;
	t->out_token = (uint64_t)t->id << 32 | mon_rtt_ask(&t->rtt, now);
	t->out_probe = true;
	t->asked_at = now;
	if (t->unheard++ == 0)
		t->unheard_at = now;
	t->unproven++;
	mon_queue(m, t->c);
}

static void
ask_ike(struct monitor *m, struct mon_tun *t, usec_t now)
{
	if (t->ike_asked_at != 0 && now < t->ike_asked_at + t->c->conf.idle)
		return;
	t->ike_asked_at = now;
	t->out_ask = true;
	mon_queue(m, t->c);
}

static void
routine_again(struct monitor *m, struct mon_tun *t, usec_t now)
{
	usec_t idle = t->c->conf.idle;
	usec_t at;

	if (t->young > 0)
		t->young--;
	if (t->young > 0 || (mon_usable(t) && !mon_well(t) && !other_well(t)))
		idle /= 4;		/* nothing known yet, or nothing to lose */
	if (idle < t->c->conf.spacing)
		idle = t->c->conf.spacing;
	at = now + idle - idle / 8 + rng_below(&m->rng, (uint32_t)(idle / 4) + 1);
	t->routine_at = (at + MON_GRID - 1) / MON_GRID * MON_GRID;
}

/* A round of questions to one tunnel, because of `of`; the first leaves in mon_tun_due(). */
static void
round_begin(struct monitor *m, struct mon_tun *t, const struct mon_tun *of, usec_t now)
{
	if (!mon_usable(t) || !t->echo || in_round(t))
		return;
	if (t->v == MON_V_DEAD || t->v == MON_V_UPLINK) {
		/* Judged already.  One question, in case it is back. */
		if (now >= t->asked_at + t->c->conf.spacing)
			mon_ask(m, t, now);
		return;
	}
	mon_stop_asking(t);
	t->v = MON_V_ASKING;
	t->round_of = of->id;
	t->round_at = now;
	t->need = mon_rtt_need(&t->rtt, now);
	t->ask_at = now;
}

static void
round_ask(struct monitor *m, struct mon_tun *t, usec_t now)
{
	mon_ask(m, t, now);
	t->ask_at = now + t->c->conf.spacing;
	if (++t->round < t->need)
		return;
	t->ask_at = USEC_NEVER;
	t->verdict_at = now + wait_of(t);
}

/* `t` is silent: ask all tunnels of its connection. */
static void
silent(struct monitor *m, struct mon_tun *t, usec_t now)
{
	if (!t->by_echo) {
		if (now < t->quiet_until)
			return;
		t->quiet_until = now + t->c->conf.idle;
		ask_ike(m, t, now);
	}
	t->round_of = t->id;		/* if it was a companion, now it is not */
	for (unsigned i = 0; i < t->c->conf.n; i++) {
		round_begin(m, t->c->t[i], t, now);
		mon_tun_due(m, t->c->t[i], now);
	}
}

/* ---- verdicts --------------------------------------------------------------------------- */

/* Did all usable tunnels of a connection fall silent at about the same time? */
static bool
all_together(const struct mon_tun *t, usec_t now)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->c->conf.n; i++) {
		const struct mon_tun *o = t->c->t[i];

		if (o == t || !mon_usable(o))
			continue;
		if ((o->v != MON_V_DEAD && o->v != MON_V_UPLINK) || o->mute ||
		    now > o->since + MON_TOGETHER + wait_of(t))
			return false;
		n++;
	}
	return n > 0;
}

static void
uplink(struct monitor *m, struct mon_conn *c, usec_t now)
{
	for (unsigned i = 0; i < c->conf.n; i++) {
		if (!mon_usable(c->t[i]))
			continue;
		c->t[i]->v = MON_V_UPLINK;
		mon_note(m, c->t[i], now, "no tunnel answers: the uplink or the peer's site is gone");
	}
}

static void
die(struct monitor *m, struct mon_tun *t, usec_t now, const char *why)
{
	mon_stop_asking(t);
	t->v = MON_V_DEAD;
	t->hold_until = 0;
	t->c->told &= ~(UINT32_C(1) << t->index);	/* to be told, also if it was before */
	t->close_at = now + MON_CLOSE_AFTER;
	mon_note(m, t, now, why);
	t->ike_asked_at = 0;
	ask_ike(m, t, now);
	if (!t->mute && all_together(t, now))
		uplink(m, t->c, now);
	mon_reselect_for(m, t, now, t->reason);
}

enum judgement { JUDGE_DEAD, JUDGE_LATER, JUDGE_NOT };

/* The questions of `t` are overdue and nothing was heard: does that condemn it? */
static enum judgement
judge(struct monitor *m, const struct mon_tun *t, usec_t now)
{
	const struct mon_tun *of = t;

	if (!t->by_echo)
		return JUDGE_NOT;
	if (in_round(t) && t->round_of == t->id)
		return JUDGE_DEAD;
	if (t->unheard >= t->need && now >= t->unheard_at + MON_ROUTINE_SPAN * t->c->conf.idle / 4)
		return JUDGE_DEAD;
	if (in_round(t))
		of = map_get(m->tuns, t->round_of);
	if (of == NULL || of == t || !mon_usable(of))
		return JUDGE_NOT;
	if (in_round(of))
		return JUDGE_LATER;
	return of->v == MON_V_DEAD || of->v == MON_V_UPLINK ? JUDGE_DEAD : JUDGE_NOT;
}

static void
verdict(struct monitor *m, struct mon_tun *t, usec_t now)
{
	char why[128];

	if (!t->graced && (t->sampled_at < t->verdict_at || now > t->verdict_at + MON_LATE)) {
		t->look_at = now > t->verdict_at + MON_LATE ? USEC_NEVER : now;
		t->graced = true;
		t->verdict_at = now + MON_GRACE;
		return;
	}
	switch (judge(m, t, now)) {
	case JUDGE_DEAD:
		snprintf(why, sizeof(why), "no answer to %u questions in %u ms", t->unheard,
		    (unsigned)((now - t->unheard_at) / 1000));
		die(m, t, now, why);
		return;
	case JUDGE_LATER:
		t->verdict_at = now + MON_GRACE / 4;
		return;
	case JUDGE_NOT:
		mon_stop_asking(t);
		if (!t->by_echo)
			ask_ike(m, t, now);
		return;
	}
}

/* Alive again.  A hold time keeps traffic from going to and fro with it. */
static void
revive(struct monitor *m, struct mon_tun *t, usec_t now, const char *why)
{
	bool together = t->v == MON_V_UPLINK;

	mon_rtt_void(&t->rtt);		/* what was asked in the outage was not lost by chance */
	t->v = MON_V_UP;
	t->mute = false;
	t->close_at = USEC_NEVER;
	t->hold_until = t->c->conf.hold > 0 ? now + t->c->conf.hold : 0;
	mon_note(m, t, now, why);
	if (!together)
		return;
	/* The others fell with it and may rise with it: ask them before traffic moves. */
	for (unsigned i = 0; i < t->c->conf.n; i++) {
		struct mon_tun *o = t->c->t[i];

		if (!mon_usable(o) || o->v != MON_V_UPLINK)
			continue;
		o->v = MON_V_UP;
		o->hold_until = t->hold_until;
		mon_note(m, o, now, "another tunnel is heard again; asking");
		round_begin(m, o, o, now);
		mon_tun_due(m, o, now);
	}
}

/* ---- what is heard ---------------------------------------------------------------------- */

/* An authenticated packet came by `t`, or proof that one of ours arrived. */
static void
hear(struct monitor *m, struct mon_tun *t, usec_t now, usec_t at)
{
	bool changed = t->v != MON_V_UP || t->doubt || mon_overdue(t, now);

	if (at > t->heard)
		t->heard = at;
	if (t->unheard > 0 && at < t->unheard_at)
		return;			/* seen late: it came before the first question left */
	t->waiting = 0;
	t->unheard = 0;
	if (!mon_usable(t) || (t->mute && t->proven < at))
		return;
	t->doubt = false;
	mon_stop_asking(t);
	if (t->v == MON_V_DEAD || t->v == MON_V_UPLINK)
		revive(m, t, now, "heard again");
	if (changed)
		mon_reselect_for(m, t, now, "heard again");
}

void
mon_tun_alive(struct monitor *m, struct mon_tun *t, usec_t now)
{
	t->ike_alive_at = now;
	if (t->v == MON_V_DEAD || t->v == MON_V_UPLINK || t->doubt)
		return;			/* IKE lives; what carries traffic is ESP */
	hear(m, t, now, now);
	mon_tun_arm(m, t);
}

void
mon_tun_echo(struct monitor *m, struct mon_tun *by, usec_t now, uint64_t token, usec_t at)
{
	struct mon_tun *t = map_get(m->tuns, token >> 32);

	if (!by->up)
		return;
	hear(m, by, now, at);
	if (t != NULL && t->c == by->c && t->up && mon_rtt_answer(&t->rtt, (uint32_t)token, at)) {
		t->proven = at;
		t->unproven = 0;
		if (t == by)
			t->by_echo = true;
		if (t == by && t->told && !mon_told_answers(t)) {
			t->told_until = now + t->c->conf.hold + 2 * t->c->conf.idle;
			if (mon_tun_verdict(t) == MON_V_HELD)
				mon_note(m, t, now, "answers again; the peer holds it back");
		}
		if (t != by || t->mute)
			hear(m, t, now, at);
		mon_tun_arm(m, t);
	}
	mon_tun_arm(m, by);
}

/*
 * Since when does traffic go out unanswered?  Counters give only the newest times, so the
 * first packet after the last that was heard lies between that one, or the former look, and
 * the newest.  After a pause the newest is the fair guess: it has only begun.
 */
static usec_t
waiting_since(const struct mon_tun *t, usec_t now, usec_t out)
{
	usec_t from;

	if (now > t->sampled_at + 2 * MON_SAMPLE_EVERY)
		return out;
	from = t->heard > t->sampled_at ? t->heard : t->sampled_at;
	return usec_min(from, out);
}

/* A routine question overdue on a path that carries traffic: lost, or late?  Ask again soon. */
static void
hurry(struct monitor *m, struct mon_tun *t, usec_t now)
{
	usec_t open = mon_rtt_open_since(&t->rtt), soon = now + t->c->conf.spacing;

	if (open == 0) {
		t->hurried = 0;
		return;
	}
	if (t->hurried >= 2 || !t->by_echo || t->heard < open + mon_rtt_wait(&t->rtt, 0) ||
	    t->routine_at <= soon || now < t->asked_at + t->c->conf.spacing)
		return;
	t->hurried++;
	t->routine_at = soon;
	mon_tun_arm(m, t);
}

/* Not being asked, or only as a companion. */
static bool
may_ask(const struct mon_tun *t)
{
	return t->v == MON_V_UP || (in_round(t) && t->round_of != t->id);
}

/*
 * Traffic goes out and nothing comes in.  At half the time that makes silence a scout leaves,
 * without any consequence: where traffic has one direction only it is the scouts that keep
 * both the tunnel heard and its round trip known, so that a queue can grow without surprise.
 */
static void
quiet(struct monitor *m, struct mon_tun *t, usec_t now)
{
	usec_t silence = t->c->conf.silence;

	if (now >= t->waiting + silence && t->user_out >= t->waiting + silence / 2) {
		if (may_ask(t))
			silent(m, t, now);
	} else if (now >= t->waiting + silence / 2 && t->user_out > t->waiting &&
	    t->v == MON_V_UP && t->by_echo && now >= t->asked_at + t->c->conf.spacing) {
		mon_ask(m, t, now);
	}
}

void
mon_tun_sample(struct monitor *m, struct mon_tun *t, usec_t now, usec_t in, usec_t out)
{
	bool came = in > t->last_in, went = out > t->last_out;
	usec_t silence = t->c->conf.silence;

	if (!t->up)
		return;
	if (came) {
		t->last_in = in;
		hear(m, t, now, in);
		/* The peer asks by what it says is dead: if it hears us too it holds it by now. */
		if (t->told && !mon_told_answers(t) && now >= t->asked_at + t->c->conf.spacing)
			mon_ask(m, t, now);
	}
	if (went && (t->asked_at == 0 || out < t->asked_at || out > t->asked_at + MON_SHADOW)) {
		t->user_out = out;
		t->flowing_until = now + MON_SAMPLE_STOP;
		if (t->waiting == 0 && out > t->heard)
			t->waiting = waiting_since(t, now, out);
	}
	if (went)
		t->last_out = out;
	t->sampled_at = now;
	if (t->waiting != 0 && mon_usable(t) && t->user_out + silence >= now)
		quiet(m, t, now);
	if (t->graced && t->look_at <= now) {
		t->look_at = USEC_NEVER;
		t->verdict_at = now;	/* this is the look it waited for */
	}
	hurry(m, t, now);
	mon_tun_due(m, t, now);
}

/* ---- time ------------------------------------------------------------------------------- */

/* Heard, but for long none of our questions was answered by any tunnel? */
static bool
is_mute(const struct mon_tun *t, usec_t now)
{
	if (!t->by_echo || !mon_well(t) || t->unheard > 0 || t->unproven < t->need + 2 ||
	    now < t->proven + MON_MUTE * t->c->conf.idle + wait_of(t))
		return false;
	for (unsigned i = 0; i < t->c->conf.n; i++) {
		const struct mon_tun *o = t->c->t[i];

		if (o != t && mon_well(o) && o->by_echo && o->unproven <= 1)
			return true;
	}
	return false;
}

static void
routine(struct monitor *m, struct mon_tun *t, usec_t now)
{
	routine_again(m, t, now);
	if (!mon_usable(t) || in_round(t))
		return;
	t->need = mon_rtt_need(&t->rtt, now);
	if (t->hold_until != 0 && mon_overdue(t, now) &&
	    t->unheard >= (t->need > MON_NEED_MIN ? 2 : 1))
		t->hold_until = now + t->c->conf.hold;
	if (is_mute(t, now)) {
		t->mute = true;
		die(m, t, now, "heard, but does not answer: what we send by it is lost");
	}
	mon_ask(m, t, now);
	if (t->v == MON_V_DEAD || t->v == MON_V_UPLINK)
		ask_ike(m, t, now);	/* a peer that has started anew says so */
	if (t->by_echo && t->v == MON_V_UP && t->unheard >= t->need) {
		t->verdict_at = now + wait_of(t);
		t->graced = false;
	}
}

static void
hold_over(struct monitor *m, struct mon_tun *t, usec_t now)
{
	t->hold_until = 0;
	mon_note(m, t, now, "well for its hold time");
	mon_reselect_for(m, t, now, t->reason);
}

/* Negotiate anew what IKE takes for well but ESP does not: the peer may have lost the SA. */
static void
close_due(struct monitor *m, struct mon_tun *t, usec_t now)
{
	t->close_at = now + MON_CLOSE_AFTER;
	if (t->v != MON_V_DEAD || t->mute || t->ike_alive_at <= t->since || !other_well(t))
		return;
	t->close_at = USEC_NEVER;	/* once: what that does not mend it will not mend twice */
	t->doubt = true;
	t->out_close = true;
	mon_queue(m, t->c);
}

void
mon_tun_due(struct monitor *m, struct mon_tun *t, usec_t now)
{
	if (t->told && t->told_until <= now)
		mon_tun_told(m, t, now, false);
	if (t->verdict_at <= now)
		verdict(m, t, now);
	if (t->ask_at <= now)
		round_ask(m, t, now);
	if (t->hold_until != 0 && t->hold_until <= now && t->v == MON_V_UP)
		hold_over(m, t, now);
	if (t->routine_at <= now)
		routine(m, t, now);
	if (t->close_at <= now)
		close_due(m, t, now);
	mon_tun_arm(m, t);
}
