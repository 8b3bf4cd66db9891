/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_INIT_H
#define TANDEM_IKE_INIT_H

#include "ike/fsm.h"

/* IKE_SA_INIT (RFC 7296 1.2, 2.6, 2.7, 2.23), both roles. */

/* Open a tunnel: an IKE SA is made and its key computed. */
void		init_open(struct tunnel *t);
enum verdict	init_on_key(struct ike_sa *sa);
enum verdict	init_on_response(struct ike_sa *sa, const struct msg *m);
/* A cookie is wanted, or another group; or we are refused, which anybody could say: note it
 * and wait for a better answer (2.21.1). */
enum verdict	init_on_notify(struct ike_sa *sa, const struct msg *m);

/* A stranger opens: answered from nothing but tables until it has shown a cookie, where one is
 * wanted.  `data` is the whole message. */
void		init_on_request(struct ike *ike, const uint8_t *data, size_t len);
/* Refuse a request of `len` bytes in the clear, by an error that needs no state: a version that
 * we do not speak, the critical payload type that we do not know, an IKE SA that is not there.
 * Rate-limited. */
void		init_refuse(struct ike *ike, const struct ike_hdr *h, size_t len, uint16_t type,
		    uint8_t critical);
enum verdict	init_on_work(struct ike_sa *sa);

/* Derive the keys of an IKE SA from a finished exchange.  False: the library failed. */
bool		init_keys(struct ike_sa *sa, const struct nego *n);

#endif
