/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_REKEYX_H
#define TANDEM_IKE_REKEYX_H

#include "ike/fsm.h"

/* CREATE_CHILD_SA that rekeys the IKE SA (RFC 7296 1.3.2, 2.8, 2.18), both roles. */

void		rekeyx_start(struct ike_sa *sa);
enum verdict	rekeyx_on_key(struct ike_sa *sa);
enum verdict	rekeyx_on_response(struct ike_sa *sa, const struct msg *m);
enum verdict	rekeyx_on_secret(struct ike_sa *sa);
enum verdict	rekeyx_on_refusal(struct ike_sa *sa, const struct msg *m);
/* Our request has come to nothing. */
void		rekeyx_failed(struct ike_sa *sa, const char *why);

enum verdict	rekeyx_on_request(struct ike_sa *sa, const struct msg *m);
enum verdict	rekeyx_on_work(struct ike_sa *sa);

/* The peer deletes this IKE SA: where it was being rekeyed by both, the peer's heir inherits. */
void		rekeyx_on_delete(struct ike_sa *sa);

#endif
