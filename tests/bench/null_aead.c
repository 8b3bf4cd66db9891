/* SPDX-License-Identifier: MIT */
/*
 * The ceiling: the gateway as it is, with SA lookup, replay window and counters, and only the
 * cipher replaced by a copy.  It is linked into `tandem-bench` and nowhere else (the Makefile
 * wraps aead_seal and aead_open); both ends must be this binary.  IKE is without cipher too.
 */
#include <string.h>

#include "base/aead.h"

#define NULL_ICV	0x5a

bool	__wrap_aead_seal(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op);
bool	__wrap_aead_open(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op);

static void
copy(const struct aead_op *op)
{
	if (op->dst != op->src)
		memcpy(op->dst, op->src, op->len);
}

bool
__wrap_aead_seal(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	(void)s;
	copy(op);
	memset(op->icv, NULL_ICV, aead_info(k->id)->icv_len);
	return true;
}

bool
__wrap_aead_open(const struct aead_key *k, struct aead_scratch *s, const struct aead_op *op)
{
	(void)k;
	(void)s;
	if (op->icv[0] != NULL_ICV)
		return false;
	copy(op);
	return true;
}
