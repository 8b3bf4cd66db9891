/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_CHILDX_H
#define TANDEM_IKE_CHILDX_H

#include "ike/fsm.h"

/* CREATE_CHILD_SA for Child SAs (RFC 7296 1.3.1, 1.3.3), both roles, and the negotiation of a
 * Child SA that IKE_AUTH shares with it. */

/* Ask for a successor of `old`, or (NULL) for a Child SA where there is none. */
void		childx_start(struct ike_sa *sa, struct child *old);
/* Ask for one beside those that there are, for the first resource that misses its own. */
void		childx_start_more(struct ike_sa *sa);
enum verdict	childx_on_key(struct ike_sa *sa);
enum verdict	childx_on_response(struct ike_sa *sa, const struct msg *m);
enum verdict	childx_on_secret(struct ike_sa *sa);
enum verdict	childx_on_refusal(struct ike_sa *sa, const struct msg *m);
/* Our request has come to nothing: what there was stays, we try again later. */
void		childx_failed(struct ike_sa *sa, const char *why);
/* The same after an answer that cannot be read: what the peer may have made, it is to delete. */
void		childx_spoiled(struct ike_sa *sa, const char *why);

enum verdict	childx_on_request(struct ike_sa *sa, const struct msg *m);
enum verdict	childx_on_work(struct ike_sa *sa);

/* ---- shared with IKE_AUTH ---- */

/* SA, TSi, TSr of our request; with groups, nonce and KE where `n`: CREATE_CHILD_SA. */
void		childx_write_offer(const struct child *c, struct msg_wr *mw, const struct nego *n);
/* Check the peer's SA, TSi and TSr and take them.  Nonce and key exchange are the caller's. */
bool		childx_take_answer(struct child *c, const struct msg *m, struct nego *n);
/* Responder: a Child SA in the making from the peer's SA, TSi and TSr, or (not 0) the notify
 * to answer with.  Nonces are in n already. */
uint16_t	childx_choose(struct ike_sa *sa, const struct msg *m, struct nego *n,
		    struct child **made);
/* SA, TSi, TSr of our answer; nonce and KE too but in IKE_AUTH. */
void		childx_write_answer(const struct child *c, struct msg_wr *mw, const struct nego *n);
/* Log and explain the peer's error about a Child SA of ours. */
void		childx_refusal(struct ike_sa *sa, uint16_t type, char *why, size_t cap);
void		childx_story(const struct child *c, const char *event);

#endif
