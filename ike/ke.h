/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_KE_H
#define TANDEM_IKE_KE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "ike/payload.h"
#include "ike/proposal.h"

/*
 * Key exchange: groups 14, 15, 16 (RFC 3526), 19, 20, 21 (RFC 5903) and 31 (RFC 8031), with
 * the checks of RFC 6989 on what the peer sends.
 *
 * Cut so that the long part can run in another thread: ke_draw() and ke_peer_set() are quick
 * and belong to the machine, ke_generate() and ke_derive() compute for milliseconds and
 * touch nothing but their struct, which is plain data.  All randomness is drawn in ke_draw()
 * from the injected source, a fixed number of bytes but for candidates out of range.
 *
 *	ke_draw(&ke, group, &rng);		machine
 *	ke_generate(&ke);			anywhere; then ke.public_value is to be sent
 *	ke_peer_set(&ke, peer value);		machine
 *	ke_derive(&ke);				anywhere; then ke.shared
 *	ke_fini(&ke);
 */
#define KE_PRIVATE_MAX	66
#define KE_PUBLIC_MAX	512
#define KE_SHARED_MAX	512

enum ke_result {
	KE_PENDING,			/* nothing computed since the last step of the machine */
	KE_GENERATED,			/* public_value is there */
	KE_DERIVED,			/* shared is there */
	KE_REFUSED,			/* the peer's value fails the checks: INVALID_SYNTAX */
	KE_FAILED,			/* the library failed: ours to log */
};

/* Keep it in secret memory. */
struct ke {
	enum ke_group group;
	enum ke_result result;
	uint16_t private_len, public_len, peer_len, shared_len;	/* bytes; 0: not there yet */
	uint8_t private_key[KE_PRIVATE_MAX];	/* X25519: raw; else big-endian */
	uint8_t public_value[KE_PUBLIC_MAX];	/* as on the wire; ECP: x | y */
	uint8_t peer[KE_PUBLIC_MAX];
	uint8_t shared[KE_SHARED_MAX];	/* g^ir, left-padded: prime length; ECP: x alone */
};

/* Exact length of a public value on the wire; 0 for KE_NONE and KE_N. */
size_t	ke_public_len(enum ke_group g);
/* Exact length of the shared secret; 0 for KE_NONE and KE_N. */
size_t	ke_shared_len(enum ke_group g);

/* Wipe `ke` and give it a fresh private key.  `group` is neither KE_NONE nor KE_N. */
void	ke_draw(struct ke *ke, enum ke_group group, const struct rng *rng);
/* Compute public_value.  Result KE_GENERATED or KE_FAILED, returned too. */
enum ke_result ke_generate(struct ke *ke);
/* Take the peer's public value.  False: not exactly ke_public_len() bytes (R14). */
bool	ke_peer_set(struct ke *ke, struct slice value);
/*
 * Check the peer's value (MODP: 1 < y < p - 1; ECP: on the curve, not infinity; X25519:
 * result not all zero) and compute the shared secret.  KE_DERIVED, KE_REFUSED or KE_FAILED.
 */
enum ke_result ke_derive(struct ke *ke);
void	ke_fini(struct ke *ke);			/* wipes */

#endif
