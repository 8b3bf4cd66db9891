/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TEST_IKE_EXCHANGE_RIG_H
#define TANDEM_TEST_IKE_EXCHANGE_RIG_H

#include "ike/sa.h"
#include "ike/tunnel.h"
#include "tests/unit/ike_exchange_text.h"

/*
 * Two engines in one process and nothing between them: a test carries each datagram by hand,
 * or loses it, or writes one in the name of an end, and says what time it is.
 *
 *	end 0, 192.0.2.1, opens  ==== tunnel 1 ====  end 1, 192.0.2.2, answers
 *
 * What an end does is kept as words in order, e.g. "alive in1 send out1 drop0": Child SAs are
 * numbered as the end was given them; with several resources the set of those that are to send
 * by one stands behind it, in hex: "out1:2".  What it sends is kept as a line that holds what is on
 * the wire - exchange, message ID, flags, payloads in order - e.g.
 *
 *	CREATE_CHILD_SA 2 08: SK{N(REKEY_SA) SA Nonce KE TSi TSr}
 *
 * with "!" after a payload whose critical bit is set, and the data of a short notify in hex.
 */
#define RIG_BOX		32		/* datagrams of one end that wait */
#define RIG_DATAGRAM	4096
#define RIG_CHILDREN	32
#define RIG_JOBS	8
#define RIG_T		1		/* the tunnel's id, at both ends */

struct rig_datagram {
	struct endpoint from, to;
	size_t len, at;			/* `at`: where the IKE header starts */
	uint8_t data[RIG_DATAGRAM];
	char text[RIG_TEXT];
};

struct rig_end {
	struct rng_seeded rng;
	struct secrets *secrets;
	struct ike *ike;
	struct ike_tunnel conf;
	struct rig_datagram box[RIG_BOX];
	unsigned sent, carried;
	char acts[RIG_TEXT];
	struct child_sa *child[RIG_CHILDREN];
	unsigned child_n;
	bool late;			/* computations wait for rig_work() */
	struct ike_job *job[RIG_JOBS];
	unsigned job_n;
	char reason[IKE_REASON_MAX];	/* of the last IKE_DOWN */
	struct endpoint endpoint;	/* of the last IKE_ENDPOINT */
	struct ike_status status;
};

struct rig {
	usec_t now;
	struct rig_end end[2];
	struct ike_sa *as;		/* in whose name a message is written */
	struct msg_wr mw;
	uint8_t buf[RIG_DATAGRAM * 4];
};

static inline struct endpoint
rig_at(unsigned e, uint16_t port)
{
	return (struct endpoint){ { AF_INET, { 192, 0, 2, (uint8_t)(e + 1) } }, port };
}

/* ---- what is on the wire ---- */

/* The keys of whichever end still has the IKE SA of a message that `e` has sent. */
static inline bool
rig_open(struct rig *r, unsigned e, const struct msg *outer, uint8_t *plain, struct msg *m)
{
	bool from_i = (outer->h.flags & IKE_F_INITIATOR) != 0;
	uint64_t spi[2] = { from_i ? outer->h.spi_i : outer->h.spi_r,
	    from_i ? outer->h.spi_r : outer->h.spi_i };

	for (unsigned i = 0; i < 2; i++) {
		const struct ike_sa *sa = ike_sa_find(r->end[i == 0 ? e : 1 - e].ike, spi[i]);
		struct msg_cipher c;

		if (sa == NULL || sa->keys == NULL)
			continue;
		c = (struct msg_cipher){ i == 0 ? &sa->keys->out : &sa->keys->in,
		    sa->ike->scratch };
		if (msg_open(outer, &c, plain, RIG_DATAGRAM, m) != MSG_ICV)
			return true;
	}
	return false;
}

static inline void
rig_describe(struct rig *r, unsigned e, struct rig_datagram *d)
{
	static const char *const names[] = { "IKE_SA_INIT", "IKE_AUTH", "CREATE_CHILD_SA",
	    "INFORMATIONAL" };
	const struct ike_hdr *h;
	uint8_t plain[RIG_DATAGRAM];
	struct msg outer, m;

	d->text[0] = '\0';
	if (d->len == 1) {
		rig_say(d->text, "keepalive %02x", d->data[0]);
		return;
	}
	ck_assert_int_eq(msg_parse(d->data + d->at, d->len - d->at, &outer), MSG_OK);
	h = &outer.h;
	ck_assert_uint_eq(h->version, IKE_VERSION);
	ck_assert(h->exchange >= X_IKE_SA_INIT && h->exchange <= X_INFORMATIONAL);
	rig_say(d->text, "%s %u %02x: ", names[h->exchange - X_IKE_SA_INIT], h->id, h->flags);
	if ((outer.present & P_SK) == 0) {
		rig_say_chain(d->text, h->next, rd_init(outer.raw.p + IKE_HDR_LEN,
		    outer.raw.len - IKE_HDR_LEN));
	} else if (rig_open(r, e, &outer, plain, &m)) {
		rig_say(d->text, "SK{");
		/* AEADs are sealed without padding: what precedes the length of it is the text. */
		rig_say_chain(d->text, outer.sk_first, rd_init(plain,
		    outer.raw.len - outer.sk_at - 8 - 16 - 1));
		rig_say(d->text, "}");
	} else {
		rig_say(d->text, "SK");
	}
}

/* ---- what an end does ---- */

static inline unsigned
rig_child_no(const struct rig_end *d, uint32_t spi_in)
{
	for (unsigned i = 0; i < d->child_n; i++)
		if (d->child[i]->spi_in == spi_in)
			return i;
	ck_abort_msg("no Child SA %08x was given", spi_in);
}

static inline void
rig_on_send(struct rig *r, unsigned e, const struct ike_action *a)
{
	struct rig_end *d = &r->end[e];
	struct rig_datagram *g = &d->box[d->sent++ % RIG_BOX];

	ck_assert_uint_le(d->sent - d->carried, RIG_BOX);
	ck_assert_uint_le(a->len, sizeof(g->data));
	g->from = a->local;
	g->to = a->remote;
	g->len = a->len;
	g->at = a->local.port == 4500 ? 4 : 0;
	memcpy(g->data, a->data, a->len);
	rig_describe(r, e, g);
}

static inline void
rig_on_action(struct rig *r, unsigned e, const struct ike_action *a)
{
	struct rig_end *d = &r->end[e];

	rig_say(d->acts, d->acts[0] == '\0' ? "" : " ");
	switch (a->kind) {
	case IKE_SEND:
		rig_say(d->acts, "send");
		rig_on_send(r, e, a);
		break;
	case IKE_SA_IN:
		ck_assert_uint_lt(d->child_n, RIG_CHILDREN);
		rig_say(d->acts, "in%u", d->child_n);
		d->child[d->child_n++] = a->child;
		break;
	case IKE_SA_OUT:
		rig_say(d->acts, "out%u", rig_child_no(d, a->spi_in));
		if (r->end[e].conf.resources > 1)
			rig_say(d->acts, ":%llx", (unsigned long long)a->resources);
		else
			ck_assert_uint_eq(a->resources, 1);
		break;
	case IKE_SA_DROP:
		rig_say(d->acts, "drop%u", rig_child_no(d, a->spi_in));
		break;
	case IKE_UP:
		rig_say(d->acts, "up");
		break;
	case IKE_DOWN:
		rig_say(d->acts, "down");
		memcpy(d->reason, a->reason, sizeof(d->reason));
		break;
	case IKE_ALIVE:
		rig_say(d->acts, "alive");
		break;
	case IKE_TOLD:
		rig_say(d->acts, "told%u", a->index);
		break;
	case IKE_WORK:
		rig_say(d->acts, "work");
		ck_assert_uint_lt(d->job_n, RIG_JOBS);
		d->job[d->job_n++] = a->job;
		break;
	case IKE_ENDPOINT:
		rig_say(d->acts, "endpoint");
		d->endpoint = a->remote;
		break;
	}
}

static inline void
rig_drain(struct rig *r, unsigned e)
{
	struct ike_action a;

	while (ike_next(r->end[e].ike, &a))
		rig_on_action(r, e, &a);
}

/* Answer all computations that wait, in order. */
static inline void
rig_work(struct rig *r, unsigned e)
{
	struct rig_end *d = &r->end[e];

	while (d->job_n > 0) {
		struct ike_job *job = d->job[0];

		memmove(&d->job[0], &d->job[1], --d->job_n * sizeof(job));
		ike_job_run(job);
		ike_input(d->ike, r->now, &(struct ike_fact){
			.kind = IKE_WORK_DONE, .job = job });
		rig_drain(r, e);
	}
}

static inline void
rig_settle(struct rig *r, unsigned e)
{
	rig_drain(r, e);
	if (!r->end[e].late)
		rig_work(r, e);
}

static inline void
rig_fact(struct rig *r, unsigned e, const struct ike_fact *f)
{
	ike_input(r->end[e].ike, r->now, f);
	rig_settle(r, e);
}

static inline void
rig_tell(struct rig *r, unsigned e, enum ike_fact_kind kind)
{
	rig_fact(r, e, &(struct ike_fact){ .kind = kind, .tunnel = RIG_T });
}

static inline void
rig_rekey(struct rig *r, unsigned e, bool ike_sa)
{
	rig_fact(r, e, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = RIG_T,
	    .ike_sa = ike_sa });
}

static inline void
rig_tick(struct rig *r, unsigned e)
{
	ike_tick(r->end[e].ike, r->now);
	rig_settle(r, e);
}

/* ---- the way between them ---- */

static inline void
rig_inject(struct rig *r, unsigned e, const struct rig_datagram *g)
{
	rig_fact(r, e, &(struct ike_fact){ .kind = IKE_DATAGRAM, .local = g->to,
	    .remote = g->from, .data = g->data, .len = g->len });
}

/* The last that an end has sent. */
static inline struct rig_datagram *
rig_last(struct rig *r, unsigned e)
{
	ck_assert_uint_gt(r->end[e].sent, 0);
	return &r->end[e].box[(r->end[e].sent - 1) % RIG_BOX];
}

/* The oldest datagram of `e` that waits goes to the other end.  False: none waits. */
static inline bool
rig_carry(struct rig *r, unsigned e)
{
	struct rig_end *d = &r->end[e];

	if (d->carried == d->sent)
		return false;
	rig_inject(r, 1 - e, &d->box[d->carried++ % RIG_BOX]);
	return true;
}

/* What waits at `e` is lost. */
static inline void
rig_lose(struct rig *r, unsigned e)
{
	r->end[e].carried = r->end[e].sent;
}

static inline void
rig_pump(struct rig *r)
{
	while (rig_carry(r, 0) || rig_carry(r, 1))
		;
}

/* Time passes and timers come due; what is sent waits (or, `carry`, arrives at once). */
static inline void
rig_pass(struct rig *r, usec_t span, bool carry)
{
	usec_t until = r->now + span;

	for (;;) {
		usec_t at = usec_min(ike_deadline(r->end[0].ike), ike_deadline(r->end[1].ike));

		if (at > until)
			break;
		r->now = at > r->now ? at : r->now;
		for (unsigned e = 0; e < 2; e++)
			rig_tick(r, e);
		if (carry)
			rig_pump(r);
	}
	r->now = until;
}

/* ---- messages in the name of an end ---- */

/* Begin one by the IKE SA `as`; payloads go to r->mw. */
static inline void
rig_write(struct rig *r, struct ike_sa *as, uint8_t exchange, bool response, uint32_t id)
{
	struct ike_hdr h = {
		.spi_i = as->initiator ? as->spi : as->peer_spi,
		.spi_r = as->initiator ? as->peer_spi : as->spi,
		.exchange = exchange, .id = id,
		.flags = (as->initiator ? IKE_F_INITIATOR : 0) |
		    (response ? IKE_F_RESPONSE : 0),
	};
	struct msg_cipher c;

	r->as = as;
	memset(r->buf, 0, 4);
	msg_start(&r->mw, r->buf + 4, RIG_DATAGRAM - 4, &h);
	if (as->keys == NULL || exchange == X_IKE_SA_INIT)
		return;
	c = (struct msg_cipher){ &as->keys->out, as->ike->scratch };
	msg_start_sk(&r->mw, &c);
}

/* Seal it (or not, in IKE_SA_INIT) and give it to the other end. */
static inline void
rig_post(struct rig *r)
{
	unsigned e = r->as->ike == r->end[0].ike ? 0 : 1;
	bool clear = r->mw.sk_at == 0;
	uint16_t port = clear ? 500 : 4500;
	struct rig_datagram g = { .from = rig_at(e, port), .to = rig_at(1 - e, port) };
	uint8_t iv[AEAD_IV_MAX];

	if (clear) {
		g.len = msg_end(&r->mw);
	} else {
		struct msg_cipher c = { &r->as->keys->out, r->as->ike->scratch };

		ck_assert(msg_iv(c.key, &r->as->iv, &r->as->ike->env.rng, iv));
		g.len = msg_seal(&r->mw, &c, iv);
	}
	ck_assert_uint_gt(g.len, 0);
	g.len += clear ? 0 : 4;
	memcpy(g.data, r->buf + (clear ? 4 : 0), g.len);
	rig_inject(r, 1 - e, &g);
}

/* A message of one notify. */
static inline void
rig_post_notify(struct rig *r, struct ike_sa *as, uint8_t exchange, uint32_t id, uint16_t type)
{
	rig_write(r, as, exchange, true, id);
	msg_add_notify(&r->mw, type, NULL, 0);
	rig_post(r);
}

/* ---- birth and end ---- */

static inline struct ike_tunnel
rig_conf(unsigned e)
{
	struct ike_tunnel c = {
		.id = RIG_T, .connection = 1, .name = "site/1",
		.local = rig_at(e, 0).ip, .remote = rig_at(1 - e, 0).ip,
		.local_port = 500, .local_natt_port = 4500, .remote_port = 500,
		.psk = (const uint8_t *)"a secret of both", .psk_len = 16,
		.ike = { { AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_256, KE_CURVE25519 } }, .ike_n = 1,
		.esp = { { AEAD_AES_GCM_16_256, KE_CURVE25519, true } }, .esp_n = 1,
		.start = e == 0, .window = 1024, .retry_max = USEC_S(60),
	};
	struct prefix all;

	c.local_id = (struct ike_id){ ID_FQDN, 5, { 'e', 'n', 'd', '-', (uint8_t)('0' + e) } };
	c.remote_id = (struct ike_id){ ID_FQDN, 5, { 'e', 'n', 'd', '-', (uint8_t)('1' - e) } };
	ck_assert(prefix_parse("0.0.0.0/0", true, &all));
	c.ts_local.n = c.ts_remote.n = 1;
	c.ts_local.ts[0] = c.ts_remote.ts[0] = ts_from_prefix(&all);
	return c;
}

static inline struct ts_list
rig_net(const char *text)
{
	struct ts_list l = { .n = 1 };
	struct prefix p;

	ck_assert(prefix_parse(text, true, &p));
	l.ts[0] = ts_from_prefix(&p);
	return l;
}

static inline void
rig_engine(struct rig *r, unsigned e, uint64_t seed)
{
	static struct aead_set *set;
	struct rig_end *d = &r->end[e];
	struct ike_env env = { .workers = 3, .half_open_cookie = 100, .half_open_max = 500 };

	if (set == NULL)
		set = aead_set_new();
	ck_assert_ptr_nonnull(set);
	if (d->secrets == NULL)
		d->secrets = secrets_new();
	env.rng = rng_seeded(&d->rng, seed * 2 + e);
	env.secrets = d->secrets;
	env.aeads = set;
	d->ike = ike_new(&env);
	ck_assert_ptr_nonnull(d->ike);
}

static inline void
rig_init(struct rig *r, uint64_t seed)
{
	log_level_set(LOG_LEVEL_ERROR);
	memset(r, 0, sizeof(*r));
	r->now = USEC_S(1);
	for (unsigned e = 0; e < 2; e++) {
		rig_engine(r, e, seed);
		r->end[e].conf = rig_conf(e);
	}
}

/* Everything is given back: keys, jobs, Child SAs. */
static inline void
rig_fini(struct rig *r)
{
	for (unsigned e = 0; e < 2; e++) {
		struct rig_end *d = &r->end[e];

		ike_free(d->ike);
		for (unsigned i = 0; i < d->child_n; i++)
			secret_free(d->secrets, d->child[i]);
		ck_assert_uint_eq(secrets_used(d->secrets), 0);
		secrets_free(d->secrets);
	}
}

/* The process of an end dies, and another begins with nothing. */
static inline void
rig_restart(struct rig *r, unsigned e, uint64_t seed)
{
	struct rig_end *d = &r->end[e];

	ike_free(d->ike);
	rig_engine(r, e, seed);
	rig_fact(r, e, &(struct ike_fact){ .kind = IKE_TUNNEL_SET, .conf = &d->conf });
}

static inline void
rig_set(struct rig *r, unsigned e)
{
	rig_fact(r, e, &(struct ike_fact){ .kind = IKE_TUNNEL_SET, .conf = &r->end[e].conf });
}

/* End 1 is configured, and end 0, which opens: its IKE_SA_INIT waits to be carried. */
static inline void
rig_start(struct rig *r)
{
	rig_set(r, 1);
	rig_set(r, 0);
	rig_tick(r, 0);
}

static inline const struct ike_status *
rig_status(struct rig *r, unsigned e)
{
	ck_assert(ike_status(r->end[e].ike, RIG_T, &r->end[e].status));
	return &r->end[e].status;
}

/* Bring the tunnel up, and remember nothing of how it came to be. */
static inline void
rig_bring_up(struct rig *r)
{
	rig_start(r);
	rig_pump(r);
	for (unsigned e = 0; e < 2; e++) {
		ck_assert_msg(rig_status(r, e)->up, "%s", rig_status(r, e)->reason);
		r->end[e].acts[0] = '\0';
	}
	r->now += USEC_MS(10);			/* what comes later is younger */
}

static inline void
rig_up(struct rig *r, uint64_t seed)
{
	rig_init(r, seed);
	rig_bring_up(r);
}

static inline struct ike_totals
rig_totals(const struct rig *r, unsigned e)
{
	struct ike_totals t;

	ike_totals(r->end[e].ike, &t);
	return t;
}

/* The IKE SA of an end, whatever its state: the oldest where there are several. */
static inline struct ike_sa *
rig_sa(struct rig *r, unsigned e)
{
	struct ike_sa *first = NULL;
	size_t pos = 0;
	uint64_t key;
	void *p;

	while (map_each(r->end[e].ike->sas, &pos, &key, &p))
		if (first == NULL || ((struct ike_sa *)p)->born < first->born)
			first = p;
	ck_assert_ptr_nonnull(first);
	return first;
}

/* The last datagram of an end, opened; it borrows from `plain` of RIG_DATAGRAM bytes. */
static inline void
rig_read(struct rig *r, unsigned e, uint8_t *plain, struct msg *m)
{
	const struct rig_datagram *d = rig_last(r, e);
	struct msg outer;

	ck_assert_int_eq(msg_parse(d->data + d->at, d->len - d->at, &outer), MSG_OK);
	if ((outer.present & P_SK) == 0)
		*m = outer;
	else
		ck_assert(rig_open(r, e, &outer, plain, m));
}

/* ---- judgement ---- */

/* What an end has done since this was last asked. */
static inline void
rig_did(struct rig *r, unsigned e, const char *acts)
{
	ck_assert_str_eq(r->end[e].acts, acts);
	r->end[e].acts[0] = '\0';
}

/* What it has sent last. */
static inline void
rig_said(struct rig *r, unsigned e, const char *text)
{
	ck_assert_str_eq(rig_last(r, e)->text, text);
}

/* One IKE SA and one Child SA at each end, whose keys fit. */
static inline void
rig_agree(struct rig *r)
{
	const struct child_sa *c[2];

	for (unsigned e = 0; e < 2; e++) {
		struct ike_totals t = rig_totals(r, e);

		ck_assert_uint_eq(t.ike_sas, 1);
		ck_assert_uint_eq(t.child_sas, 1);
		ck_assert_uint_eq(t.jobs, 0);
		ck_assert_uint_eq(t.half_open, 0);
		c[e] = r->end[e].child[rig_child_no(&r->end[e],
		    rig_status(r, e)->child_spi_in)];
	}
	for (unsigned e = 0; e < 2; e++) {
		ck_assert_uint_eq(c[e]->spi_in, c[1 - e]->spi_out);
		ck_assert_uint_gt(c[e]->key_len, 0);
		ck_assert_mem_eq(c[e]->key_in, c[1 - e]->key_out, c[e]->key_len);
		ck_assert(ts_list_equal(&c[e]->ts_local, &c[1 - e]->ts_remote));
	}
	ck_assert(c[0]->initiator != c[1]->initiator);
}

#endif
