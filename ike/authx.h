/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_AUTHX_H
#define TANDEM_IKE_AUTHX_H

#include "ike/fsm.h"

/* IKE_AUTH with pre-shared keys (RFC 7296 1.2, 2.15, 2.21.2), both roles, and the first Child
 * SA that it makes. */

enum verdict	authx_on_secret(struct ike_sa *sa);	/* initiator: keys are there, prove */
enum verdict	authx_on_response(struct ike_sa *sa, const struct msg *m);
enum verdict	authx_on_childless(struct ike_sa *sa, const struct msg *m);
enum verdict	authx_on_refusal(struct ike_sa *sa, const struct msg *m);

enum verdict	authx_on_request(struct ike_sa *sa, const struct msg *m);
enum verdict	authx_on_eap(struct ike_sa *sa, const struct msg *m);

#endif
