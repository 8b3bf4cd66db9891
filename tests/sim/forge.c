/* SPDX-License-Identifier: MIT */
#include "tests/sim/forge.h"

#include <check.h>
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
