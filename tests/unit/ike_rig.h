/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TEST_IKE_RIG_H
#define TANDEM_TEST_IKE_RIG_H

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ike/sa.h"
#include "ike/send.h"
#include "ike/tunnel.h"
#include "tests/unit/unit.h"

/*
 * One machine with one tunnel (id 7, 192.0.2.1 to 192.0.2.2), whose IKE SAs are put into any
 * state by hand.  Their keys are known, so a test speaks as the peer and reads what the peer
 * would.  The clock is r->ike->now; dice may be loaded; the log is kept.
 */
#define RIG_ID		7
#define RIG_NOW		USEC_S(100)
#define RIG_LOG		16384
#define RIG_DICE	32

struct rig {
	struct rng_seeded seed;
	struct rng under;
	uint64_t dice[RIG_DICE];	/* the next random numbers of 4 and 8 bytes */
	unsigned dice_n, dice_at;
	struct secrets *secrets;
	struct aead_set *aeads;
	void *kept[2];			/* keep regions of secret memory from being remapped */
	struct ike *ike;
	struct ike_tunnel conf;
	struct tunnel *t;
	uint32_t peer_spi;		/* the last one that the peer has drawn */
	uint64_t peer_iv;
	char log[RIG_LOG];
	size_t log_len;
};

/* A message of ours as the peer reads it. */
struct rig_letter {
	struct endpoint local, remote;
	struct msg m;
	size_t len;			/* with the marker */
	uint8_t data[4096], plain[4096];
};

static inline void
rig_fill(void *arg, void *buf, size_t len)
{
	struct rig *r = arg;

	if (r->dice_at < r->dice_n && (len == 4 || len == 8))
		memcpy(buf, &r->dice[r->dice_at++], len);	/* little-endian */
	else
		rng_fill(&r->under, buf, len);
}

static inline void
rig_sink(void *arg, enum log_level level, const char *line)
{
	struct rig *r = arg;
	size_t n = strlen(line) + 1;

	(void)level;
	if (r->log_len + n > sizeof(r->log))
		r->log_len = 0;
	memcpy(r->log + r->log_len, line, n);
	r->log_len += n;
}

/* Some line logged since the last rig_hush() has `text`. */
static inline bool
rig_said(const struct rig *r, const char *text)
{
	for (size_t at = 0; at < r->log_len; at += strlen(r->log + at) + 1)
		if (strstr(r->log + at, text) != NULL)
			return true;
	return false;
}

static inline void
rig_hush(struct rig *r)
{
	r->log_len = 0;
}

static inline void
rig_load(struct rig *r, const uint64_t *dice, unsigned n)
{
	memcpy(r->dice, dice, n * sizeof(*dice));
	r->dice_n = n;
	r->dice_at = 0;
}

static inline struct ip
rig_ip(uint8_t last)
{
	return (struct ip){ AF_INET, { 192, 0, 2, last } };
}

static inline struct ts_list
rig_ts(const char *text)
{
	struct ts_list l = { .n = 1 };
	struct prefix p;

	ck_assert(prefix_parse(text, true, &p));
	l.ts[0] = ts_from_prefix(&p);
	return l;
}

static inline struct ike_tunnel
rig_conf(uint32_t id)
{
	struct ike_tunnel c = {
		.id = id, .connection = 3, .name = "site/1",
		.local = rig_ip(1), .remote = rig_ip(2),
		.local_port = 500, .local_natt_port = 4500, .remote_port = 500,
		.psk = (const uint8_t *)"a shared secret", .psk_len = 15,
		.ike = { { AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_256, KE_CURVE25519 } }, .ike_n = 1,
		.esp = { { AEAD_AES_GCM_16_256, KE_NONE, true } }, .esp_n = 1,
		.ts_local = rig_ts("10.1.0.0/16"), .ts_remote = rig_ts("10.2.0.0/16"),
		.window = 1024, .ike_life = USEC_S(4000), .child_life = USEC_S(1000),
		.liveness = USEC_S(30), .retry_max = USEC_S(60),
	};
	char err[128];

	ck_assert(id_parse("ours.example", &c.local_id, err, sizeof(err)));
	ck_assert(id_parse("theirs.example", &c.remote_id, err, sizeof(err)));
	return c;
}

static inline void
rig_init(struct rig *r)
{
	struct ike_env env = { .workers = 3, .half_open_cookie = 10, .half_open_max = 20 };

	memset(r, 0, sizeof(*r));
	r->under = rng_seeded(&r->seed, 1);
	r->secrets = secrets_new();
	r->kept[0] = secret_alloc(r->secrets, sizeof(struct sa_keys));
	r->kept[1] = secret_alloc(r->secrets, sizeof(struct ike_job));
	r->aeads = aead_set_new();
	env.rng = (struct rng){ rig_fill, r };
	env.secrets = r->secrets;
	env.aeads = r->aeads;
	r->ike = ike_new(&env);
	ck_assert_ptr_nonnull(r->ike);
	r->ike->now = RIG_NOW;
	r->conf = rig_conf(RIG_ID);
	r->peer_spi = 0x10000;
	log_level_set(LOG_LEVEL_DEBUG);
	log_to(rig_sink, r);
	tunnel_set(r->ike, &r->conf);
	r->t = tunnel_find(r->ike, RIG_ID);
	ck_assert_ptr_nonnull(r->t);
}

/* The next action; a Child SA's keys are freed (`child` says only that there were some). */
static inline bool
rig_next(struct rig *r, struct ike_action *a)
{
	if (!ike_next(r->ike, a))
		return false;
	if (a->kind == IKE_SA_IN)
		secret_free(r->secrets, a->child);
	return true;
}

static inline unsigned
rig_drain(struct rig *r)
{
	struct ike_action a;
	unsigned n = 0;

	while (rig_next(r, &a))
		n++;
	return n;
}

/* The next action is of this kind, and there is one. */
static inline struct ike_action
rig_expect(struct rig *r, enum ike_action_kind kind)
{
	struct ike_action a;

	ck_assert_msg(rig_next(r, &a), "no action, expected kind %d", kind);
	ck_assert_int_eq(a.kind, kind);
	return a;
}

/* Nothing of the machine is left but the tunnels; the host gave back all it had. */
static inline void
rig_fini(struct rig *r)
{
	ck_assert_ptr_null(r->ike->doomed);
	rig_drain(r);
	ike_free(r->ike);
	secret_free(r->secrets, r->kept[0]);
	secret_free(r->secrets, r->kept[1]);
	ck_assert_uint_eq(secrets_used(r->secrets), 0);
	secrets_free(r->secrets);
	aead_set_free(r->aeads);
	log_to(NULL, NULL);
}

/* ---- IKE SAs ---- */

static inline void
rig_keys(struct rig *r, struct ike_sa *sa, enum aead_id enc)
{
	const struct aead_info *info = aead_info(enc);
	struct sa_keys *keys = secret_alloc(r->secrets, sizeof(*keys));

	ck_assert_ptr_nonnull(keys);
	keys->k.prf = PRF_HMAC_SHA2_256;
	keys->k.prf_len = 32;
	keys->k.enc = enc;
	keys->k.key_len = info->enc_len + info->salt_len + info->auth_len;
	memset(keys->k.sk_d, 0xd0, 32);
	memset(keys->k.sk_pi, 0xa1, 32);
	memset(keys->k.sk_pr, 0xa2, 32);
	memset(keys->k.ei, 0x11, keys->k.key_len);
	memset(keys->k.er, 0x22, keys->k.key_len);
	ck_assert(ike_sa_keys(sa, keys));
	sa->suite = (struct ike_suite){ enc, PRF_HMAC_SHA2_256, KE_CURVE25519 };
}

static inline struct nego *
rig_nego(struct rig *r)
{
	struct nego *n = nego_new(r->ike);

	ck_assert_ptr_nonnull(n);
	n->ni_len = n->nr_len = 32;
	memset(n->ni, 0x31, 32);
	memset(n->nr, 0x32, 32);
	return n;
}

/* What is there until IKE_AUTH is over. */
static inline void
rig_opening(struct rig *r, struct ike_sa *sa)
{
	sa->opening = calloc(1, sizeof(*sa->opening));
	ck_assert_ptr_nonnull(sa->opening);
	sa->opening->request = bytes_dup("request", 7);
	sa->opening->response = bytes_dup("response", 8);
	sa->opening->candidate = RIG_ID;
	*(sa->initiator ? &sa->mine : &sa->theirs) = rig_nego(r);
}

/* One in `state`, between 192.0.2.1 and .2 on port 4500, with keys. */
static inline struct ike_sa *
rig_sa(struct rig *r, enum sa_state state, bool initiator)
{
	bool stranger = !initiator && state < SA_UP;
	struct ike_sa *sa = ike_sa_new(r->ike, stranger ? NULL : r->t, initiator);

	ck_assert_ptr_nonnull(sa);
	sa->peer_spi = UINT64_C(0xabcd000000000000) | ++r->peer_spi;
	sa->local = sa->ask_local = (struct endpoint){ rig_ip(1), 4500 };
	sa->remote = sa->ask_remote = (struct endpoint){ rig_ip(2), 4500 };
	r->ike->local = sa->local;
	r->ike->remote = sa->remote;
	sa->low = (struct low){ 4, { 1, 2, 3, (uint8_t)r->peer_spi } };
	rig_keys(r, sa, AEAD_AES_GCM_16_256);
	if (state >= SA_UP && state != SA_REFUSED)
		ike_sa_up(sa);
	else
		rig_opening(r, sa);
	if (state != SA_UP)
		ike_sa_state(sa, state);
	return sa;
}

static inline struct ike_sa *
rig_up(struct rig *r)
{
	return rig_sa(r, SA_UP, true);
}

/* A Child SA with keys of both, given to the host; the peer may not know of it yet. */
static inline struct child *
rig_child(struct rig *r, struct ike_sa *sa, bool initiator)
{
	struct child *c = child_new(sa, initiator, 0);
	struct nego *n = rig_nego(r);

	ck_assert_ptr_nonnull(c);
	c->spi_out = ++r->peer_spi;
	c->suite = (struct esp_suite){ AEAD_AES_GCM_16_256, KE_NONE, true };
	ck_assert(child_ts(c, &r->conf.ts_local, &r->conf.ts_remote));
	ck_assert(child_install(c, n));
	nego_free(n);
	return c;
}

/* The IKE SA's timer; USEC_NEVER when it is not running. */
static inline usec_t
rig_timer(const struct ike_sa *sa)
{
	return sa->timer.index == 0 ? USEC_NEVER : sa->timer.at;
}

/* ---- letters ---- */

/* The next action is a datagram of `sa`, which the peer opens. */
static inline void
rig_read(struct rig *r, struct ike_sa *sa, struct rig_letter *l)
{
	struct ike_action a = rig_expect(r, IKE_SEND);
	size_t marker = send_is_natt_port(r->ike, a.local.port) ? 4 : 0;
	struct msg_cipher c = { &sa->keys->out, r->ike->scratch };
	struct msg outer;

	ck_assert_uint_gt(a.len, marker);
	ck_assert_uint_le(a.len, sizeof(l->data));
	l->local = a.local;
	l->remote = a.remote;
	l->len = a.len;
	memcpy(l->data, a.data, a.len);
	ck_assert_mem_eq(l->data, "\0\0\0\0", marker);
	ck_assert_int_eq(msg_parse(l->data + marker, a.len - marker, &outer), MSG_OK);
	ck_assert_int_eq(msg_open(&outer, &c, l->plain, sizeof(l->plain), &l->m), MSG_OK);
}

/* Begin a message in the peer's name; then msg_add...(), then rig_seal(). */
static inline void
rig_write(struct ike_sa *sa, struct msg_wr *mw, struct ike_hdr h, uint8_t buf[4096])
{
	struct msg_cipher c = { &sa->keys->in, sa->ike->scratch };

	h.spi_i = sa->initiator ? sa->spi : sa->peer_spi;
	h.spi_r = sa->initiator ? sa->peer_spi : sa->spi;
	h.flags |= sa->initiator ? 0 : IKE_F_INITIATOR;
	msg_start(mw, buf, 4096, &h);
	msg_start_sk(mw, &c);
}

static inline size_t
rig_seal(struct rig *r, struct ike_sa *sa, struct msg_wr *mw)
{
	struct msg_cipher c = { &sa->keys->in, sa->ike->scratch };
	uint8_t iv[AEAD_IV_MAX];
	size_t len;

	ck_assert(msg_iv(c.key, &r->peer_iv, &r->under, iv));
	len = msg_seal(mw, &c, iv);
	ck_assert_uint_gt(len, 0);
	return len;
}

#endif
