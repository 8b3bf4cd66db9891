/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ike/cookie.h"
#include "ike/init.h"
#include "ike/send.h"
#include "ike/tunnel.h"

/*
 * The first exchange.  Nothing in it is authenticated yet: an initiator takes the first answer
 * that is sound and otherwise waits on; a responder keeps no state for a stranger until the
 * cookie has come, where half-open SAs are many, and is bounded in all else.
 *
 *	initiator                              responder
 *	key computed (WORK)
 *	SA KE N NAT  ------------------------> candidates by addresses, suite, group
 *	                <--------------------- COOKIE, INVALID_KE_PAYLOAD: no state; again
 *	                                       key and secret computed (WORK)
 *	                <--------------------- SA KE N NAT
 *	secret computed (WORK), then IKE_AUTH on port 4500
 */
#define RETRIES_MAX	8		/* cookies and other groups in one opening */
#define PORT_IKE	500
#define PORT_NATT	4500

static const char no_natt[] = "the peer sends no NAT detection: it cannot carry ESP in UDP, "
    "and Tandem sends it no other way";

/* ---- initiator ---- */

static bool
opening_new(struct ike_sa *sa)
{
	sa->opening = calloc(1, sizeof(*sa->opening));
	return sa->opening != NULL;
}

static void
place(struct ike_sa *sa, const struct ike_tunnel *conf)
{
	bool plain = conf->remote_port == PORT_IKE;

	sa->local = (struct endpoint){ conf->local,
	    plain ? conf->local_port : conf->local_natt_port };
	sa->remote = (struct endpoint){ conf->remote, conf->remote_port };
}

void
init_open(struct tunnel *t)
{
	struct ike_sa *sa = ike_sa_new(t->ike, t, true);
	struct nego *n;

	if (sa == NULL) {
		tunnel_failed(t, "no memory");
		return;
	}
	place(sa, &t->conf);
	sa->mine = n = nego_new(t->ike);
	if (n == NULL || !opening_new(sa) || !job_draw(sa, n, t->conf.ike[0].group)) {
		ike_sa_dead(sa, "no memory");
		return;
	}
	n->ni_len = NONCE_LEN;
	rng_fill(&t->ike->env.rng, n->ni, n->ni_len);
	sa->req = (struct request){ .kind = REQ_INIT, .wait = WAIT_KEY };
	job_submit(sa, n);
	story(sa, LOG_LEVEL_INFO, "ike-open", "attempt=%u", t->attempts + 1);
	ike_sa_step(sa);
}

static void
write_body(struct msg_wr *mw, const struct nego *n, struct slice nonce)
{
	const struct ke *ke = &n->job->ke;
	struct pld_ke pld = { ke_group_wire(ke->group), ke->public_value, ke->public_len };

	pld_ke_write(msg_add(mw, PLD_KE), &pld);
	pld_nonce_write(msg_add(mw, PLD_NONCE), nonce);
}

static bool
write_request(struct ike_sa *sa, struct msg_wr *mw)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	const struct opening *o = sa->opening;
	struct nego *n = sa->mine;
	struct ike_hdr h = {
		.spi_i = sa->spi, .exchange = X_IKE_SA_INIT, .flags = IKE_F_INITIATOR,
	};

	msg_start(mw, sa->ike->buf, MSG_LEN_MAX, &h);
	if (o->cookie_len > 0)
		msg_add_notify(mw, N_COOKIE, o->cookie, o->cookie_len);
	sa_write_ike(msg_add(mw, PLD_SA), conf->ike, conf->ike_n, 0);
	write_body(mw, n, (struct slice){ n->ni, n->ni_len });
	if (!natt_write(mw, sa->spi, 0, &sa->remote))
		return false;
	msg_add_bytes(mw, PLD_V, (struct slice){ (const uint8_t *)VENDOR_ID,
	    sizeof(VENDOR_ID) - 1 });
	return true;
}

static void
send_request_clear(struct ike_sa *sa)
{
	struct bytes *out = NULL, *kept = NULL;
	struct msg_wr mw;
	size_t len = 0;

	if (write_request(sa, &mw))
		len = msg_end(&mw);
	if (len > 0) {
		out = bytes_dup(sa->ike->buf, len);
		kept = bytes_dup(sa->ike->buf, len);
	}
	if (out == NULL || kept == NULL) {
		free(out);
		free(kept);
		ike_sa_dead(sa, "the opening could not be built");
		return;
	}
	free(sa->opening->request);
	sa->opening->request = kept;
	sa->req.wait = WAIT_ANSWER;
	xchg_request(&sa->x, sa->ike->now, out, XCHG_OPEN);
	send_bytes(sa->ike, &sa->local, &sa->remote, (struct slice){ out->data, out->len });
}

enum verdict
init_on_key(struct ike_sa *sa)
{
	if (sa->mine->job->ke.result != KE_GENERATED) {
		ike_sa_dead(sa, "the key could not be computed");
		return V_STAY;
	}
	send_request_clear(sa);
	return V_NEXT;
}

static enum verdict
on_cookie(struct ike_sa *sa, const struct pld_notify *cookie)
{
	struct opening *o = sa->opening;

	if (cookie->data.len == 0 || cookie->data.len > sizeof(o->cookie))
		return V_SYNTAX;
	memcpy(o->cookie, cookie->data.p, cookie->data.len);
	o->cookie_len = (uint8_t)cookie->data.len;
	xchg_withdraw(&sa->x);
	send_request_clear(sa);
	return V_STAY;
}

/* The peer wants another group: take it when some suite of ours has it. */
static enum verdict
on_group(struct ike_sa *sa, const struct pld_notify *n)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct rd rd = rd_init(n->data.p, n->data.len);
	enum ke_group group = ke_group_from_wire(rd_u16(&rd));
	bool ours = false;

	for (unsigned i = 0; i < conf->ike_n; i++)
		ours |= conf->ike[i].group == group;
	if (!rd_done(&rd) || group == KE_NONE || group == KE_N || !ours ||
	    group == sa->mine->group) {
		story(sa, LOG_LEVEL_INFO, "ike-group",
		    "wanted=%s option=ike reason=\"the peer wants a group that we do not offer\"",
		    group == KE_N ? "unknown" : ke_group_name(group));
		return V_STAY;
	}
	if (!job_draw(sa, sa->mine, group)) {
		ike_sa_dead(sa, "no memory");
		return V_STAY;
	}
	xchg_withdraw(&sa->x);
	sa->req.wait = WAIT_KEY;
	ike_sa_state(sa, SA_NEW);
	job_submit(sa, sa->mine);
	return V_STAY;
}

static enum verdict
on_refusal(struct ike_sa *sa, const struct pld_notify *e)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	char offered[512];

	if (sa->opening->refusal_logged)
		return V_STAY;
	sa->opening->refusal_logged = true;
	ike_suites_str(conf->ike, conf->ike_n, offered, sizeof(offered));
	tunnel_reason(sa->tunnel, "the peer refuses our opening (%s); we offer %.120s (option ike)",
	    notify_name(e->type), offered);
	story(sa, LOG_LEVEL_WARN, "ike-refused",
	    "notify=%s offered=\"%s\" option=ike", notify_name(e->type), offered);
	return V_STAY;
}

enum verdict
init_on_notify(struct ike_sa *sa, const struct msg *m)
{
	const struct pld_notify *cookie = msg_notify(m, N_COOKIE), *e = msg_error(m);

	if (!ip_equal(&sa->ike->remote.ip, &sa->remote.ip))
		return V_SYNTAX;
	if ((cookie != NULL || (e != NULL && e->type == N_INVALID_KE_PAYLOAD)) &&
	    ++sa->opening->retries > RETRIES_MAX)
		return V_STAY;
	if (cookie != NULL)
		return on_cookie(sa, cookie);
	if (e == NULL)
		return V_SYNTAX;
	if (e->type == N_INVALID_KE_PAYLOAD)
		return on_group(sa, e);
	return on_refusal(sa, e);
}

/* The other end of the exchange answers what we offered, with the group that we sent. */
static bool
take_answer(struct ike_sa *sa, const struct msg *m)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct nego *n = sa->mine;
	struct slice nonce;
	struct pld_ke ke;
	struct rd body;
	struct sa offer;

	if (m->h.spi_r == 0 || !ip_equal(&sa->ike->remote.ip, &sa->remote.ip))
		return false;
	msg_find(m, PLD_SA, &body);
	if (!sa_parse(body, &offer) || !sa_check_ike(&offer, conf->ike, conf->ike_n, &n->ike))
		return false;
	msg_find(m, PLD_KE, &body);
	if (!pld_ke_parse(body, &ke) || n->ike.suite.group != n->group ||
	    ke.group != ke_group_wire(n->group))
		return false;
	msg_find(m, PLD_NONCE, &body);
	if (!pld_nonce_parse(body, &nonce))
		return false;
	memcpy(n->nr, nonce.p, nonce.len);
	n->nr_len = (uint16_t)nonce.len;
	return ke_peer_set(&n->job->ke, (struct slice){ ke.data, ke.len });
}

static bool
is_tandem(const struct msg *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		struct rd body = m->payload[i].body;
		size_t len = rd_left(&body);

		if (m->payload[i].type == PLD_V && len == sizeof(VENDOR_ID) - 1 &&
		    memcmp(rd_bytes(&body, len), VENDOR_ID, len) == 0)
			return true;
	}
	return false;
}

enum verdict
init_on_response(struct ike_sa *sa, const struct msg *m)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct ike *ike = sa->ike;

	if (!take_answer(sa, m)) {
		story(sa, LOG_LEVEL_WARN, "ike-bad-answer",
		    "reason=\"the answer to our opening is not one of our proposals\"");
		return V_SYNTAX;
	}
	natt_read(m, &ike->local, &ike->remote, &sa->natt);
	if (!sa->natt.present) {
		ike_sa_dead(sa, no_natt);
		return V_STAY;
	}
	sa->opening->response = bytes_dup(m->raw.p, m->raw.len);
	if (sa->opening->response == NULL) {
		ike_sa_dead(sa, "no memory");
		return V_STAY;
	}
	xchg_answered(&sa->x);
	sa->peer_spi = m->h.spi_r;
	sa->peer_is_tandem = is_tandem(m);
	sa->local = ike->local;
	if (sa->local.port == conf->local_port) {	/* float (2.23) */
		sa->local.port = conf->local_natt_port;
		sa->remote.port = PORT_NATT;
	}
	sa->req.wait = WAIT_SECRET;
	job_submit(sa, sa->mine);
	return V_NEXT;
}

/* ---- responder ---- */

/* What a stranger's opening says, borrowed from its message. */
struct stranger {
	struct msg m;
	struct slice ni;
	struct pld_ke ke;
	struct sa offer;
	struct tunnel *candidate;
	struct ike_choice choice;
	uint64_t key;
};

static uint64_t
opening_key(const struct ike *ike, uint64_t spi_i)
{
	return tunnel_ip_key(&ike->remote.ip) * 31 + spi_i * 7 + ike->remote.port;
}

static void
answer_clear(struct ike *ike, const struct msg *m, uint16_t type, struct slice data)
{
	struct ike_hdr h = {
		.spi_i = m->h.spi_i, .exchange = X_IKE_SA_INIT, .flags = IKE_F_RESPONSE,
	};
	struct msg_wr mw;
	size_t len;

	msg_start(&mw, ike->buf, MSG_LEN_MAX, &h);
	msg_add_notify(&mw, type, data.p, data.len);
	len = msg_end(&mw);
	if (len > 0 && len <= m->raw.len)	/* never more than was asked with (R29) */
		send_bytes(ike, &ike->local, &ike->remote, (struct slice){ ike->buf, len });
}

/*
 * What costs a sender nothing must not make us talk: so many a second, to all of them.  Where a peer
 * could be, of one unknown IKE SA more for each tunnel, which no other address can use up: after a
 * crash each peer has to be told.
 */
#define REFUSALS_A_SECOND	10

void
init_refuse(struct ike *ike, const struct ike_hdr *h, size_t len, uint16_t type, uint8_t critical)
{
	size_t most = REFUSALS_A_SECOND + (type == N_INVALID_IKE_SPI ? map_n(ike->tunnels) : 0);
	struct ike_hdr back = *h;
	struct msg_wr mw;
	size_t n;

	if (ike->now >= usec_add(ike->refusals.since, USEC_S(1))) {
		ike->refusals.since = ike->now;
		ike->refusals.n = 0;
	}
	if (ike->refusals.n >= most)
		return;
	ike->refusals.n++;
	back.flags = (h->flags & IKE_F_INITIATOR) != 0 ? IKE_F_RESPONSE :
	    IKE_F_RESPONSE | IKE_F_INITIATOR;
	msg_start(&mw, ike->buf, MSG_LEN_MAX, &back);
	msg_add_notify(&mw, type, &critical, type == N_UNSUPPORTED_CRITICAL_PAYLOAD);
	n = msg_end(&mw);
	if (n > 0 && n <= len)		/* never more than was asked with (R29) */
		send_bytes(ike, &ike->local, &ike->remote, (struct slice){ ike->buf, n });
}

/* True: it may go on. */
static bool
show_cookie(struct ike *ike, const struct stranger *s)
{
	const struct pld_notify *c = msg_notify(&s->m, N_COOKIE);
	struct cookie_in in = { s->ni, s->m.h.spi_i, ike->remote.ip };
	uint8_t cookie[COOKIE_LEN];

	if (ike->totals.half_open < ike->env.half_open_cookie)
		return true;
	if (c != NULL && cookie_is_ours(ike, &in, c->data))
		return true;
	if (cookie_make(ike, &in, cookie)) {
		ike->totals.cookies_sent++;
		answer_clear(ike, &s->m, N_COOKIE, (struct slice){ cookie, sizeof(cookie) });
	}
	return false;
}

/* Hard bounds: of all strangers, of one address, of computations. */
static bool
has_room(struct ike *ike)
{
	uintptr_t of_source =
	    (uintptr_t)map_get(ike->sources, tunnel_ip_key(&ike->remote.ip));
	unsigned quota = ike->env.half_open_max / 4 > 8 ? ike->env.half_open_max / 4 : 8;

	return ike->totals.half_open < ike->env.half_open_max && of_source < quota &&
	    ike->totals.jobs < (size_t)2 * ike->env.half_open_max + 2 * map_n(ike->tunnels);
}

/* A suite by the first candidate that has one in common. */
static bool
choose(struct ike *ike, struct stranger *s)
{
	char theirs[512], ours[256];
	struct tunnel *first = s->candidate;

	for (; s->candidate != NULL; s->candidate = tunnel_candidate(ike, &ike->local,
	    &ike->remote, s->candidate))
		if (sa_choose_ike(&s->offer, s->candidate->conf.ike, s->candidate->conf.ike_n,
		    &s->choice))
			return true;
	story_stranger(ike, "ike-no-proposal",
	    "offered=\"%s\" accepted=\"%s\" tunnel=%s option=ike",
	    sa_str(&s->offer, theirs, sizeof(theirs)),
	    ike_suites_str(first->conf.ike, first->conf.ike_n, ours, sizeof(ours)),
	    first->conf.name);
	answer_clear(ike, &s->m, N_NO_PROPOSAL_CHOSEN, (struct slice){ NULL, 0 });
	return false;
}

static bool
right_group(struct ike *ike, const struct stranger *s)
{
	uint16_t want = ke_group_wire(s->choice.suite.group);
	uint8_t data[2] = { (uint8_t)(want >> 8), (uint8_t)want };

	if (s->ke.group == want)
		return true;
	answer_clear(ike, &s->m, N_INVALID_KE_PAYLOAD, (struct slice){ data, sizeof(data) });
	return false;
}

static bool
remember(struct ike_sa *sa, const struct stranger *s)
{
	struct ike *ike = sa->ike;
	struct nego *n;

	if (!opening_new(sa) || (sa->theirs = n = nego_new(ike)) == NULL ||
	    !job_draw(sa, n, s->choice.suite.group))
		return false;
	sa->opening->request = bytes_dup(s->m.raw.p, s->m.raw.len);
	if (sa->opening->request == NULL || !map_put(ike->openings, s->key, sa))
		return false;
	sa->opening->key = s->key;
	sa->opening->candidate = s->candidate->conf.id;
	n->ike = s->choice;
	memcpy(n->ni, s->ni.p, s->ni.len);
	n->ni_len = (uint16_t)s->ni.len;
	n->nr_len = NONCE_LEN;
	rng_fill(&ike->env.rng, n->nr, n->nr_len);
	return ke_peer_set(&n->job->ke, (struct slice){ s->ke.data, s->ke.len });
}

static void
accept_stranger(struct ike *ike, const struct stranger *s)
{
	struct ike_sa *sa = ike_sa_new(ike, NULL, false);

	if (sa == NULL)
		return;
	sa->local = sa->ask_local = ike->local;
	sa->remote = sa->ask_remote = ike->remote;
	sa->peer_spi = s->m.h.spi_i;
	sa->peer_is_tandem = is_tandem(&s->m);
	natt_read(&s->m, &ike->local, &ike->remote, &sa->natt);
	ike_sa_half_open(sa, true);
	if (!sa->natt.present) {
		story_stranger(ike, "ike-no-natt", "reason=\"%s\"", no_natt);
		answer_clear(ike, &s->m, N_NO_PROPOSAL_CHOSEN, (struct slice){ NULL, 0 });
		ike_sa_state(sa, SA_GONE);
	} else if (!remember(sa, s)) {
		ike_sa_state(sa, SA_GONE);	/* no memory, or a public value of a wrong length */
	} else {
		job_submit(sa, sa->theirs);
		ike_sa_step(sa);
	}
}

/* The same opening once more gets the same answer; another one under its key, nothing. */
static bool
is_repeated(struct ike *ike, const struct stranger *s)
{
	struct ike_sa *sa = map_get(ike->openings, s->key);
	const struct opening *o;

	if (sa == NULL)
		return false;
	o = sa->opening;
	if (sa->state == SA_INIT_DONE && o->request->len == s->m.raw.len &&
	    memcmp(o->request->data, s->m.raw.p, s->m.raw.len) == 0)
		send_bytes(ike, &ike->local, &ike->remote,
		    (struct slice){ o->response->data, o->response->len });
	return true;
}

static bool
read_stranger(struct stranger *s)
{
	struct rd body;

	if (!fsm_opening_is_sound(&s->m))
		return false;
	msg_find(&s->m, PLD_NONCE, &body);
	if (!pld_nonce_parse(body, &s->ni))
		return false;
	msg_find(&s->m, PLD_KE, &body);
	return pld_ke_parse(body, &s->ke);
}

void
init_on_request(struct ike *ike, const uint8_t *data, size_t len)
{
	enum msg_verdict v;
	struct stranger s;
	struct rd body;

	v = msg_parse(data, len, &s.m);
	if (v != MSG_OK || s.m.h.spi_i == 0 || s.m.h.spi_r != 0 || s.m.h.id != 0 ||
	    (s.m.h.flags & IKE_F_INITIATOR) == 0 || !read_stranger(&s)) {
		ike->totals.dropped++;
		if (v == MSG_CRITICAL)
			init_refuse(ike, &s.m.h, len, N_UNSUPPORTED_CRITICAL_PAYLOAD,
			    s.m.critical);
		return;
	}
	s.key = opening_key(ike, s.m.h.spi_i);
	if (is_repeated(ike, &s))
		return;
	s.candidate = tunnel_candidate(ike, &ike->local, &ike->remote, NULL);
	if (s.candidate == NULL) {
		ike->totals.dropped++;
		story_stranger(ike, "ike-unknown-peer",
		    "reason=\"no tunnel is configured for this address (option remote)\"");
		return;
	}
	if (!show_cookie(ike, &s))
		return;
	msg_find(&s.m, PLD_SA, &body);
	if (!has_room(ike) || !sa_parse(body, &s.offer)) {
		ike->totals.dropped++;
		return;
	}
	if (choose(ike, &s) && right_group(ike, &s))
		accept_stranger(ike, &s);
}

bool
init_keys(struct ike_sa *sa, const struct nego *n)
{
	struct secrets *secrets = sa->ike->env.secrets;
	struct sa_keys *keys = secret_alloc(secrets, sizeof(*keys));
	struct kdf_in in = nego_kdf(n);

	if (keys == NULL)
		return false;
	in.spi_i = sa->initiator ? sa->spi : sa->peer_spi;
	in.spi_r = sa->initiator ? sa->peer_spi : sa->spi;
	if (!ike_keys_init(&keys->k, &n->ike.suite, &in) || !ike_sa_keys(sa, keys)) {
		secret_free(secrets, keys);
		return false;
	}
	sa->suite = n->ike.suite;
	low_set(&sa->low, n);
	return true;
}

static bool
write_response(struct ike_sa *sa, struct msg_wr *mw)
{
	struct nego *n = sa->theirs;
	struct ike_hdr h = {
		.spi_i = sa->peer_spi, .spi_r = sa->spi, .exchange = X_IKE_SA_INIT,
		.flags = IKE_F_RESPONSE,
	};

	msg_start(mw, sa->ike->buf, MSG_LEN_MAX, &h);
	sa_write_ike_choice(msg_add(mw, PLD_SA), &n->ike, 0);
	write_body(mw, n, (struct slice){ n->nr, n->nr_len });
	if (!natt_write(mw, sa->peer_spi, sa->spi, &sa->remote))
		return false;
	msg_add_bytes(mw, PLD_V, (struct slice){ (const uint8_t *)VENDOR_ID,
	    sizeof(VENDOR_ID) - 1 });
	return true;
}

enum verdict
init_on_work(struct ike_sa *sa)
{
	struct nego *n = sa->theirs;
	struct opening *o = sa->opening;
	struct msg_wr mw;
	size_t len = 0;

	if (n->job->ke.result == KE_DERIVED && write_response(sa, &mw))
		len = msg_end(&mw);
	if (len > 0 && init_keys(sa, n))
		o->response = bytes_dup(sa->ike->buf, len);
	if (o->response == NULL) {
		ike_sa_state(sa, SA_GONE);	/* a bad public value, or no memory */
		return V_STAY;
	}
	job_drop(n->job);
	n->job = NULL;
	sa->x.in_id = 1;
	send_bytes(sa->ike, &sa->ask_local, &sa->ask_remote,
	    (struct slice){ o->response->data, o->response->len });
	return V_NEXT;
}
