/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_AUTH_H
#define TANDEM_IKE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ike/kdf.h"
#include "ike/payload.h"

/*
 * AUTH by pre-shared key, RFC 7296 section 2.15.  Which method is expected is local policy
 * (R4); what a verifier returns is compared with == AUTH_OK and nothing else (R5).
 */
enum auth_result {
	AUTH_BAD = 0x3c,
	AUTH_OK = 0x5a6996a5,		/* no value that an accident leaves behind */
};

/*
 * What one side's AUTH covers, from the real bytes of the messages.  "Prover" is the side
 * whose AUTH it is:
 *	initiator: its IKE_SA_INIT request (the one that was answered, cookie included), Nr,
 *	    SK_pi, IDi;  responder: its IKE_SA_INIT response, Ni, SK_pr, IDr.
 */
struct auth_in {
	enum prf_id prf;
	struct slice message;		/* the prover's IKE_SA_INIT message, from the IKE header */
	struct slice nonce;		/* the other side's nonce data */
	struct slice sk_p;		/* SK_pi or SK_pr of the prover, prf_len() bytes */
	struct slice id;		/* body of the prover's ID payload: type, 3 reserved, data */
};

/* Our AUTH data for a method-2 AUTH payload, to `out`: prf_len(in->prf) bytes.  False: the
 * library failed, or psk is empty. */
bool	auth_psk_make(const struct auth_in *in, struct slice psk, uint8_t out[PRF_LEN_MAX]);

/*
 * The peer's AUTH payload against the key that local policy names for both identities.
 * AUTH_OK only for method 2, exact length and equal bytes (constant time); all else,
 * library failure and an empty key included, is AUTH_BAD.
 */
enum auth_result auth_psk_check(const struct auth_in *in, struct slice psk,
	    const struct pld_auth *auth);

#endif
