/* SPDX-License-Identifier: MIT */
#include "gateway/monitor_state.h"

#include <stdio.h>
#include <string.h>

/*
 * Which tunnel takes which flow, and what the peer is told.
 *
 * Every tunnel has a rank; a flow stays where it is while that tunnel's rank is 0, goes home
 * when its home's rank is 0, and else goes to the best there is.  The ranks say the whole
 * policy of failover:
 *
 *	WELL	no verdict against it
 *	HELD	well, but only just again, or with a question overdue: good enough to flee to,
 *		not to return to
 *	UNSURE	asked, and for about as long as its answers take: fleeing waits for its answer
 *		or its verdict, which falls with ours when the uplink is what broke
 *	TOLD	well for us, dead for the peer: better than one we find dead ourselves.  So two
 *		ends that blame different tunnels each send by one they hear, and the traffic
 *		that then arrives corrects whoever was wrong.
 *	DOUBT	IKE alone speaks for it, or its traffic alone
 *	DEAD	has a Child SA.  Flows stay (a tie moves nothing): when the path comes back they
 *		go on at once.
 *	NONE	no Child SA or no carrier: never owns a flow
 *
 * HELD and UNSURE do not count against the tunnel that has the flow: a hold time is a reason
 * not to return, never a reason to leave.
 */
enum rank {
	RANK_WELL,
	RANK_HELD,
	RANK_UNSURE,
	RANK_TOLD,
	RANK_DOUBT,
	RANK_DEAD,
	RANK_NONE,
};

struct view {
	enum rank theirs[MON_TUNNELS];	/* for a flow of another tunnel */
	enum rank own[MON_TUNNELS];	/* for a flow that it has */
};

bool
mon_usable(const struct mon_tun *t)
{
	return t->up && !t->no_carrier;
}

bool
mon_well(const struct mon_tun *t)
{
	return mon_usable(t) && (t->v == MON_V_UP || t->v == MON_V_ASKING) && !t->told && !t->doubt;
}

bool
mon_live(const struct mon_tun *t)
{
	return memchr(t->c->bucket, (int)t->index, sizeof(t->c->bucket)) != NULL;
}

/* Asked, and an answer ought to be here, or will be in a moment if there is one. */
static bool
unsure(const struct mon_tun *t, usec_t now)
{
	return t->v == MON_V_ASKING && t->by_echo &&
	    now + MON_PATIENCE > t->round_at + mon_rtt_wait(&t->rtt, t->heard);
}

static enum rank
rank(const struct mon_tun *t, usec_t now, bool own)
{
	if (!mon_usable(t))
		return RANK_NONE;
	if (t->v == MON_V_DEAD || t->v == MON_V_UPLINK)
		return t->mute ? RANK_DOUBT : RANK_DEAD;
	if (t->doubt)
		return RANK_DOUBT;
	if (t->told)
		return RANK_TOLD;
	if (!own && unsure(t, now))
		return RANK_UNSURE;
	if (!own && (t->hold_until != 0 || t->v == MON_V_ASKING || mon_overdue(t, now)))
		return RANK_HELD;
	return RANK_WELL;
}

/* The tunnel that a flow of `owner` would have if it could choose, or MON_NONE. */
static unsigned
home(const struct mon_conn *c, const struct view *v, unsigned bucket, unsigned owner)
{
	if (c->chosen != 0)
		return c->chosen - 1;
	if (c->conf.policy == MON_ACTIVE_ACTIVE)
		return bucket % c->conf.n;
	for (unsigned i = 0; i < c->conf.n; i++)
		if ((i == owner ? v->own[i] : v->theirs[i]) == RANK_WELL)
			return i;
	return MON_NONE;
}

/* Where a flow flees to: to the best; active/active spreads what is lost over all the best. */
static unsigned
refuge(const struct mon_conn *c, const struct view *v, unsigned bucket, enum rank *best)
{
	unsigned same[MON_TUNNELS], n = 0;

	*best = RANK_NONE;
	for (unsigned i = 0; i < c->conf.n; i++) {
		if (v->theirs[i] < *best) {
			*best = v->theirs[i];
			n = 0;
		}
		if (v->theirs[i] == *best)
			same[n++] = i;
	}
	if (*best == RANK_NONE)
		return MON_NONE;
	return c->conf.policy == MON_ACTIVE_ACTIVE ? same[bucket / c->conf.n % n] : same[0];
}

static unsigned
pick(const struct mon_conn *c, const struct view *v, unsigned bucket)
{
	unsigned owner = c->bucket[bucket], h = home(c, v, bucket, owner), to;
	enum rank best;

	if (c->conf.policy == MON_PINNED)
		return v->own[c->conf.pin] < RANK_NONE ? c->conf.pin : MON_NONE;
	if (h != MON_NONE && (c->chosen != 0 || h == owner ? v->own[h] : v->theirs[h]) == RANK_WELL)
		return h;
	if (owner != MON_NONE && v->own[owner] == RANK_WELL)
		return owner;
	to = refuge(c, v, bucket, &best);
	if (owner == MON_NONE || v->own[owner] == RANK_NONE)
		return to;
	return best < v->own[owner] && best != RANK_UNSURE ? to : owner;
}

/* ---- what the peer is told -------------------------------------------------------------- */

/* The first that is beyond doubt: news goes by its IKE SA. */
static const struct mon_tun *
messenger(const struct mon_conn *c, usec_t now)
{
	for (unsigned i = 0; i < c->conf.n; i++)
		if (mon_well(c->t[i]) && !unsure(c->t[i], now) &&
		    (c->t[i]->hold_until == 0 || mon_live(c->t[i])))
			return c->t[i];
	return NULL;
}

/*
 * Tell of tunnels that we found dead ourselves, never of what the peer told us: so nothing is
 * echoed to and fro.  A tunnel within its hold time stays told, so that both ends return
 * together, when the last hold time is over.
 */
static void
tell(struct monitor *m, struct mon_conn *c, usec_t now)
{
	const struct mon_tun *by = messenger(c, now);
	uint32_t dead = 0, bit;

	if (by == NULL)
		return;
	for (unsigned i = 0; i < c->conf.n; i++) {
		const struct mon_tun *t = c->t[i];

		bit = UINT32_C(1) << i;
		if (t == by || !t->ever_up)
			continue;
		if (!mon_usable(t) || t->v == MON_V_DEAD || t->v == MON_V_UPLINK ||
		    ((c->told & bit) && t->hold_until != 0 && !mon_live(t)))
			dead |= bit;
	}
	if (dead == c->told && (dead == 0 || !c->retell)) {
		c->retell = false;
		return;
	}
	if (c->told & ~dead) {
		c->out_tell_none = true;
		c->out_tell = dead;
	} else {
		c->out_tell |= c->retell ? dead : dead & ~c->told;
	}
	c->retell = false;
	c->told = dead;
	c->tell_by = by->id;
	mon_queue(m, c);
}

/* ---- selection -------------------------------------------------------------------------- */

void
mon_reselect(struct monitor *m, struct mon_conn *c, usec_t now, const char *why)
{
	bool changed = false, moved = false;
	struct view v;

	for (unsigned i = 0; i < c->conf.n; i++) {
		v.theirs[i] = rank(c->t[i], now, false);
		v.own[i] = rank(c->t[i], now, true);
	}
	if (c->chosen != 0 && v.own[c->chosen - 1] != RANK_WELL)
		c->chosen = 0;		/* chosen by hand until it dies */
	for (unsigned b = 0; b < sizeof(c->bucket); b++) {
		unsigned to = pick(c, &v, b);

		if (to == c->bucket[b])
			continue;
		changed = true;
		moved |= to != MON_NONE && c->bucket[b] != MON_NONE;
		c->bucket[b] = (uint8_t)to;
	}
	if (moved) {
		c->moves++;
		c->moved_at = now;
	}
	if (changed) {
		snprintf(c->reason, sizeof(c->reason), "%s", why);
		c->out_select = true;
		mon_queue(m, c);
	}
	tell(m, c, now);
}
