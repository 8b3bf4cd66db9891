/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_COOKIE_H
#define TANDEM_IKE_COOKIE_H

#include "ike/sa.h"

/*
 * Cookies (RFC 7296 2.6): proof that whoever opens can receive at its address, without state
 * of ours.  A version byte and HMAC-SHA2-256 over nonce, address and SPI under a secret that
 * changes every minute; the one before is still taken.
 */
#define COOKIE_LEN	(1 + 32)

struct cookie_in {
	struct slice ni;
	uint64_t spi_i;
	struct ip ip;
};

/* False: the library failed. */
bool	cookie_make(struct ike *ike, const struct cookie_in *in, uint8_t out[COOKIE_LEN]);
bool	cookie_is_ours(struct ike *ike, const struct cookie_in *in, struct slice cookie);

#endif
