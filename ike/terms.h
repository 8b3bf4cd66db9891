/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_TERMS_H
#define TANDEM_IKE_TERMS_H

#include "ike/sa.h"

/*
 * What IKE_AUTH and CREATE_CHILD_SA alike say of a Child SA: suites, selectors, and whether the
 * resources are to have their own.
 */

/* SA, TSi, TSr of our request; with groups, nonce and KE where `n`: CREATE_CHILD_SA. */
void		terms_write_offer(const struct child *c, struct msg_wr *mw, const struct nego *n);
/* Check the peer's SA, TSi and TSr and take them.  Nonce and key exchange are the caller's. */
bool		terms_take_answer(struct child *c, const struct msg *m, struct nego *n);
/* Responder: a Child SA in the making from the peer's SA, TSi and TSr, or (not 0) the notify
 * to answer with.  Nonces are in n already. */
uint16_t	terms_choose(struct ike_sa *sa, const struct msg *m, struct nego *n,
		    struct child **made);
/* SA, TSi, TSr of our answer; nonce and KE too but in IKE_AUTH. */
void		terms_write_answer(const struct child *c, struct msg_wr *mw, const struct nego *n);
/* Log and explain the peer's error about a Child SA of ours. */
void		terms_refusal(struct ike_sa *sa, uint16_t type, char *why, size_t cap);
void		terms_story(const struct child *c, const char *event);

#endif
