/* SPDX-License-Identifier: MIT */
#include "ike/send.h"

void
send_start(struct ike_sa *sa, struct msg_wr *mw, uint8_t exchange, bool response)
{
	struct ike_hdr h = {
		.spi_i = sa->initiator ? sa->spi : sa->peer_spi,
		.spi_r = sa->initiator ? sa->peer_spi : sa->spi,
		.exchange = exchange,
		.flags = (sa->initiator ? IKE_F_INITIATOR : 0) | (response ? IKE_F_RESPONSE : 0),
		.id = response ? sa->x.in_id : sa->x.out_id,
	};
	struct msg_cipher c = { &sa->keys->out, sa->ike->scratch };

	msg_start(mw, sa->ike->buf, MSG_LEN_MAX, &h);
	msg_start_sk(mw, &c);
}

/* Seal into stored bytes; NULL: not possible, and the IKE SA has ended. */
static struct bytes *
seal(struct ike_sa *sa, struct msg_wr *mw)
{
	struct msg_cipher c = { &sa->keys->out, sa->ike->scratch };
	uint8_t iv[AEAD_IV_MAX];
	struct bytes *b = NULL;
	size_t len = 0;

	if (msg_iv(c.key, &sa->iv, &sa->ike->env.rng, iv))
		len = msg_seal(mw, &c, iv);
	if (len > 0)
		b = bytes_dup(sa->ike->buf, len);
	if (b == NULL)
		ike_sa_dead(sa, "a message could not be built");
	return b;
}

bool
send_request(struct ike_sa *sa, struct msg_wr *mw, enum xchg_pace pace)
{
	struct bytes *b = seal(sa, mw);

	if (b == NULL)
		return false;
	xchg_request(&sa->x, sa->ike->now, b, pace);
	send_bytes(sa->ike, &sa->local, &sa->remote, (struct slice){ b->data, b->len });
	return true;
}

bool
send_reply(struct ike_sa *sa, struct msg_wr *mw)
{
	struct bytes *b = seal(sa, mw);

	if (b == NULL)
		return false;
	xchg_reply(&sa->x, b);
	send_bytes(sa->ike, &sa->ask_local, &sa->ask_remote, (struct slice){ b->data, b->len });
	return true;
}

bool
send_reply_data(struct ike_sa *sa, uint8_t exchange, uint16_t type, struct slice data)
{
	struct msg_wr mw;

	send_start(sa, &mw, exchange, true);
	msg_add_notify(&mw, type, data.p, data.len);
	return send_reply(sa, &mw);
}

bool
send_reply_notify(struct ike_sa *sa, uint8_t exchange, uint16_t type)
{
	return send_reply_data(sa, exchange, type, (struct slice){ NULL, 0 });
}

void
send_again(struct ike_sa *sa)
{
	struct bytes *b = sa->x.out;

	sa->ike->totals.retransmits++;
	send_bytes(sa->ike, &sa->local, &sa->remote, (struct slice){ b->data, b->len });
}

void
send_reply_again(struct ike_sa *sa)
{
	struct bytes *b = sa->x.reply;
	struct ike *ike = sa->ike;

	send_bytes(ike, &ike->local, &ike->remote, (struct slice){ b->data, b->len });
}

bool
send_is_natt_port(const struct ike *ike, uint16_t port)
{
	for (unsigned i = 0; i < ike->natt_ports.n; i++)
		if (ike->natt_ports.port[i] == port)
			return true;
	return false;
}

void
send_bytes(struct ike *ike, const struct endpoint *local, const struct endpoint *remote,
    struct slice data)
{
	struct ike_action a = {
		.kind = IKE_SEND, .local = *local, .remote = *remote,
		.data = data.p, .len = data.len,
	};

	ike->totals.datagrams_out++;
	queue_send(&ike->queue, &a, send_is_natt_port(ike, local->port));
}

void
send_keepalive(struct ike_sa *sa)
{
	static const uint8_t byte = 0xff;
	struct ike_action a = {
		.kind = IKE_SEND, .local = sa->local, .remote = sa->remote,
		.data = &byte, .len = 1,
	};

	sa->ike->totals.datagrams_out++;
	queue_send(&sa->ike->queue, &a, false);
}
