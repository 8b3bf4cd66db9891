/* SPDX-License-Identifier: MIT */
#include "tests/sim/forge.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct ike_sa *
forge_sa(struct gate *g)
{
	struct ike_sa *first = NULL;
	size_t pos = 0;
	uint64_t key;
	void *p;

	while (map_each(g->ike->sas, &pos, &key, &p))
		if (first == NULL || ((struct ike_sa *)p)->born < first->born)
			first = p;
	ck_assert_ptr_nonnull(first);
	return first;
}

void
forge_start(struct forge *f)
{
	struct ike_sa *as = f->as;
	struct ike_hdr h = {
		.spi_i = as->initiator ? as->spi : as->peer_spi,
		.spi_r = as->initiator ? as->peer_spi : as->spi,
		.exchange = f->exchange,
		.flags = (as->initiator ? IKE_F_INITIATOR : 0) |
		    (f->response ? IKE_F_RESPONSE : 0),
		.id = f->id,
	};
	struct msg_cipher c;

	memset(f->buf, 0, 4);
	msg_start(&f->mw, f->buf + 4, sizeof(f->buf) - 4, &h);
	if (as->keys == NULL)
		return;
	c = (struct msg_cipher){ &as->keys->out, as->ike->scratch };
	msg_start_sk(&f->mw, &c);
}

static void
inject(struct forge *f, size_t len)
{
	unsigned to = f->as->ike == f->w->gate[0].ike ? 1 : 0;
	struct endpoint src = { f->w->gate[1 - to].ip, 4500 };
	struct endpoint dst = { f->w->gate[to].ip, 4500 };

	ck_assert_uint_gt(len, 0);
	world_inject(f->w, to, &src, &dst, (struct slice){ f->buf, 4 + len });
}

void
forge_send(struct forge *f)
{
	struct msg_cipher c = { &f->as->keys->out, f->as->ike->scratch };
	uint8_t iv[AEAD_IV_MAX];

	ck_assert(msg_iv(c.key, &f->as->iv, &f->as->ike->env.rng, iv));
	inject(f, msg_seal(&f->mw, &c, iv));
}

void
forge_send_clear(struct forge *f)
{
	inject(f, msg_end(&f->mw));
}

bool
tape_record(void *arg, const struct ike_action *a)
{
	struct tape *t = arg;
	size_t at = a->local.port == 4500 ? 4 : 0;

	if (a->local.ip.b[3] == t->gate + 1 && a->len > at && a->len - at <= sizeof(t->data)) {
		t->n++;
		t->len = a->len - at;
		memcpy(t->data, a->data + at, t->len);
	}
	return t->exchange_lost != 0 && a->len > at + 20 && a->data[at + 18] == t->exchange_lost;
}

bool
tape_open(const struct tape *t, struct ike_sa *sa, uint8_t *plain, struct msg *m)
{
	struct msg_cipher c = { &sa->keys->in, sa->ike->scratch };
	struct msg outer;

	return msg_parse(t->data, t->len, &outer) == MSG_OK &&
	    msg_open(&outer, &c, plain, sizeof(t->data), m) == MSG_OK;
}

/* ---- tampering ---- */

/* The IKE SA of gate `g` that a message is of, whoever sends it; NULL: none (any more). */
static struct ike_sa *
sa_of(struct world *w, unsigned g, const struct ike_hdr *h, bool is_sender)
{
	bool by_initiator = (h->flags & IKE_F_INITIATOR) != 0;

	return map_get(w->gate[g].ike->sas, by_initiator == is_sender ? h->spi_i : h->spi_r);
}

static void
take_apart(struct tamper *t, const struct msg *m)
{
	t->parts_n = 0;
	for (unsigned i = 0; i < m->n; i++) {
		struct part *p = &t->part[t->parts_n++];
		struct rd body = m->payload[i].body;

		p->type = m->payload[i].type;
		p->critical = false;
		p->len = rd_left(&body);
		ck_assert_uint_le(p->len, sizeof(p->body));
		memcpy(p->body, rd_bytes(&body, p->len), p->len);
	}
}

/* The message anew; `key` NULL: in the clear. */
static size_t
put_together(struct tamper *t, const struct ike_hdr *h, const struct aead_key *key,
    struct aead_scratch *scratch)
{
	struct msg_cipher c = { key, scratch };
	uint8_t iv[AEAD_IV_MAX];
	struct msg_wr mw;

	memset(t->held.data, 0, 4);
	msg_start(&mw, t->held.data + 4, sizeof(t->held.data) - 4, h);
	if (key != NULL)
		msg_start_sk(&mw, &c);
	for (unsigned i = 0; i < t->parts_n; i++) {
		msg_add_bytes(&mw, t->part[i].type,
		    (struct slice){ t->part[i].body, t->part[i].len });
		if (t->part[i].critical)
			wr_put_u8(&mw.w, mw.pld_at + 1, 0x80);
	}
	if (key == NULL)
		return msg_end(&mw);
	ck_assert(msg_iv(key, &t->iv, &t->w->rng, iv));
	return msg_seal(&mw, &c, iv);
}

/* The sender of an opening (or of its answer) proves what it sent: let it have sent this. */
static void
remember(struct tamper *t, struct ike_sa *sender, size_t len)
{
	struct bytes **kept;

	ck_assert(sender != NULL && sender->opening != NULL);
	kept = t->response ? &sender->opening->response : &sender->opening->request;
	free(*kept);
	free(t->last);
	*kept = bytes_dup(t->held.data + 4, len);
	t->last = bytes_dup(t->held.data + 4, len);
}

static bool
tamper_drop(void *arg, const struct ike_action *a)
{
	struct tamper *t = arg;
	bool natt = a->local.port == 4500;
	size_t at = natt ? 4 : 0, len;
	uint8_t plain[4096];
	struct ike_sa *sa;
	struct msg m, inner;

	if (t->change == NULL || a->len < at + IKE_HDR_LEN || a->len > sizeof(plain) ||
	    a->local.ip.b[3] != t->from + 1 ||
	    msg_parse(a->data + at, a->len - at, &m) != MSG_OK ||
	    m.h.exchange != t->exchange || ((m.h.flags & IKE_F_RESPONSE) != 0) != t->response)
		return false;
	if (t->last != NULL && a->len - at == t->last->len &&
	    memcmp(a->data + at, t->last->data, t->last->len) == 0)
		return false;		/* repeated as it was remembered */
	sa = sa_of(t->w, 1 - t->from, &m.h, false);
	if ((m.present & P_SK) == 0) {
		take_apart(t, &m);
		t->change(t);
		len = put_together(t, &m.h, NULL, NULL);
		remember(t, sa_of(t->w, t->from, &m.h, true), len);
	} else {
		struct msg_cipher c;

		if (sa == NULL || sa->keys == NULL)
			return false;	/* nobody is there to read it */
		c = (struct msg_cipher){ &sa->keys->in, sa->ike->scratch };
		ck_assert_int_eq(msg_open(&m, &c, plain, sizeof(plain), &inner), MSG_OK);
		take_apart(t, &inner);
		t->change(t);
		len = put_together(t, &m.h, c.key, c.scratch);
	}
	ck_assert_uint_gt(len, 0);
	ck_assert_uint_eq(t->held.len, 0);
	t->n++;
	t->held.len = len;
	t->held.from = a->local;
	t->held.to = a->remote;
	return true;
}

void
tamper_start(struct tamper *t, struct world *w)
{
	t->w = w;
	t->n = 0;
	t->iv = UINT64_C(1) << 63;	/* apart from the sender's own */
	t->held.len = 0;
	free(t->last);
	t->last = NULL;
	world_weather(w, &(struct weather){ .drop = tamper_drop, .arg = t });
}

void
tamper_run(struct tamper *t, usec_t span)
{
	struct world *w = t->w;
	usec_t until = w->now + span;

	for (;;) {
		while (t->held.len > 0) {
			size_t skip = t->held.to.port == 4500 ? 0 : 4;
			size_t len = t->held.len + 4 - skip;

			t->held.len = 0;
			world_inject(w, 1 - t->from, &t->held.from, &t->held.to,
			    (struct slice){ t->held.data + skip, len });
		}
		if (!world_step(w, until))
			break;
	}
	w->now = until;
}

void
tamper_stop(struct tamper *t)
{
	free(t->last);
	t->last = NULL;
	t->held.len = 0;
	world_weather(t->w, &(struct weather){ .loss = 0 });
}
