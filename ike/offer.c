/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ike/offer.h"

void
offer_write_ke(const struct nego *n, struct msg_wr *mw, struct slice nonce)
{
	struct pld_ke ke;

	pld_nonce_write(msg_add(mw, PLD_NONCE), nonce);
	if (n->job == NULL)
		return;
	ke.group = ke_group_wire(n->job->ke.group);
	ke.data = n->job->ke.public_value;
	ke.len = n->job->ke.public_len;
	pld_ke_write(msg_add(mw, PLD_KE), &ke);
}

bool
offer_take_nonce(const struct msg *m, uint8_t to[NONCE_MAX], uint16_t *len)
{
	struct slice nonce;
	struct rd body;

	msg_find(m, PLD_NONCE, &body);
	if (!pld_nonce_parse(body, &nonce))
		return false;
	memcpy(to, nonce.p, nonce.len);
	*len = (uint16_t)nonce.len;
	return true;
}

bool
offer_take_ke(const struct msg *m, struct nego *n)
{
	struct pld_ke ke;
	struct rd body;

	return n->job != NULL && msg_find(m, PLD_KE, &body) && pld_ke_parse(body, &ke) &&
	    ke.group == ke_group_wire(n->job->ke.group) &&
	    ke_peer_set(&n->job->ke, (struct slice){ ke.data, ke.len });
}

enum ke_group
offer_ke_group(const struct msg *m)
{
	struct pld_ke ke;
	struct rd body;

	if (!msg_find(m, PLD_KE, &body) || !pld_ke_parse(body, &ke))
		return KE_NONE;
	return ke_group_from_wire(ke.group);
}
