/* SPDX-License-Identifier: MIT */
#include "gateway/monitor_state.h"

/*
 * What IKE, the kernel and the peer say about a tunnel.  They know what they say: none of it
 * is asked after.  A Child SA that came or went begins a new life, of which the old questions
 * tell nothing.
 */

static void
forget(struct mon_tun *t)
{
	mon_stop_asking(t);
	t->v = MON_V_UP;
	t->by_echo = t->mute = t->told = false;
	t->told_until = USEC_NEVER;
	t->hold_until = 0;
	t->close_at = USEC_NEVER;
	t->waiting = 0;
	t->unheard = t->unproven = t->hurried = 0;
	t->ike_asked_at = t->quiet_until = 0;
	mon_rtt_renew(&t->rtt);
}

void
mon_tun_up(struct monitor *m, struct mon_tun *t, usec_t now)
{
	if (t->up && (t->v == MON_V_UP || t->v == MON_V_ASKING)) {
		mon_tun_alive(m, t, now);
		return;
	}
	forget(t);
	t->up = true;
	if (t->ever_up && t->c->conf.hold > 0)
		t->hold_until = now + t->c->conf.hold;
	t->ever_up = true;
	t->heard = t->proven = now;	/* IKE has just spoken with the peer */
	t->young = MON_YOUNG;
	t->c->retell = true;
	t->routine_at = now + MON_GRACE;
	mon_note(m, t, now, t->doubt ? "established anew, not heard yet" : "established");
	mon_reselect_for(m, t, now, t->reason);
	mon_tun_arm(m, t);
}

void
mon_tun_down(struct monitor *m, struct mon_tun *t, usec_t now)
{
	if (!t->up)
		return;
	forget(t);
	t->up = false;
	t->routine_at = USEC_NEVER;
	t->out_probe = t->out_ask = t->out_close = false;
	mon_note(m, t, now, "no Child SA");
	mon_reselect_for(m, t, now, t->reason);
	mon_tun_arm(m, t);
}

void
mon_tun_carrier(struct monitor *m, struct mon_tun *t, usec_t now, bool present)
{
	if (t->no_carrier == !present)
		return;
	t->no_carrier = !present;
	if (!t->up)
		return;
	mon_stop_asking(t);
	t->v = MON_V_UP;
	t->mute = false;
	t->waiting = 0;
	t->unheard = 0;
	t->close_at = USEC_NEVER;
	mon_rtt_void(&t->rtt);
	t->hold_until = present && t->c->conf.hold > 0 ? now + t->c->conf.hold : 0;
	t->routine_at = present ? now : USEC_NEVER;
	mon_note(m, t, now, present ? "its uplink is back" : "its uplink has no carrier or address");
	mon_reselect_for(m, t, now, t->reason);
	mon_tun_due(m, t, now);
}

bool
mon_told_answers(const struct mon_tun *t)
{
	return t->told && t->echo && t->told_until != USEC_NEVER;
}

void
mon_tun_told(struct monitor *m, struct mon_tun *t, usec_t now, bool dead)
{
	bool again = t->told == dead;
	enum mon_verdict before = mon_tun_verdict(t);

	if (!t->up || (again && !dead))
		return;
	t->told = dead;
	/* Without echo nothing but time can speak against the peer. */
	t->told_until = t->echo ? USEC_NEVER : now + t->c->conf.hold + 2 * t->c->conf.idle;
	if (again)
		return;
	if (dead && mon_usable(t) && now >= t->asked_at + t->c->conf.spacing)
		mon_ask(m, t, now);
	if (mon_tun_verdict(t) != before)	/* else what we found ourselves says more */
		mon_note(m, t, now, dead ? "the peer says it is dead" :
		    "the peer takes it for well again");
	mon_reselect_for(m, t, now, t->reason);
	mon_tun_arm(m, t);
}
