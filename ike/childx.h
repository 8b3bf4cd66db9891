/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_CHILDX_H
#define TANDEM_IKE_CHILDX_H

#include "ike/fsm.h"

/* CREATE_CHILD_SA for Child SAs (RFC 7296 1.3.1, 1.3.3), both roles. */

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

#endif
