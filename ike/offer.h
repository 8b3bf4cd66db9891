/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_OFFER_H
#define TANDEM_IKE_OFFER_H

#include "ike/sa.h"

/* Nonce and key exchange of the exchanges that make SAs: what a nego holds, and what a
 * message carries. */

/* A nonce payload, and a KE payload when the nego has a job. */
void		offer_write_ke(const struct nego *n, struct msg_wr *mw, struct slice nonce);
/* Copy the message's nonce.  False: it has none that is sound. */
bool		offer_take_nonce(const struct msg *m, uint8_t to[NONCE_MAX], uint16_t *len);
/* Give the message's public value to the nego's job.  False: none, another group, or a wrong
 * length. */
bool		offer_take_ke(const struct msg *m, struct nego *n);
/* The group of the message's KE payload: KE_NONE without one, KE_N when we do not know it. */
enum ke_group	offer_ke_group(const struct msg *m);

#endif
