/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ike/cookie.h"

#define SECRET_LIFE	USEC_S(60)

static void
rotate(struct ike *ike)
{
	bool first = ike->cookie.since == 0;

	if (!first && ike->now < usec_add(ike->cookie.since, SECRET_LIFE))
		return;
	memcpy(ike->cookie.secret[1], ike->cookie.secret[0], COOKIE_SECRET_LEN);
	rng_fill(&ike->env.rng, ike->cookie.secret[0], COOKIE_SECRET_LEN);
	if (first)
		rng_fill(&ike->env.rng, ike->cookie.secret[1], COOKIE_SECRET_LEN);
	ike->cookie.version++;
	ike->cookie.since = ike->now > 0 ? ike->now : 1;
}

static bool
make(const struct ike *ike, unsigned which, const struct cookie_in *in, uint8_t out[COOKIE_LEN])
{
	uint8_t spi[8];
	struct wr w = wr_init(spi, sizeof(spi));
	struct slice key = { ike->cookie.secret[which], COOKIE_SECRET_LEN };
	struct slice parts[] = {
		in->ni, { &in->ip.family, 1 }, { in->ip.b, sizeof(in->ip.b) }, { spi, sizeof(spi) },
	};

	wr_u64(&w, in->spi_i);
	out[0] = (uint8_t)(ike->cookie.version - which);
	return prf(PRF_HMAC_SHA2_256, key, parts, 4, out + 1);
}

bool
cookie_make(struct ike *ike, const struct cookie_in *in, uint8_t out[COOKIE_LEN])
{
	rotate(ike);
	return make(ike, 0, in, out);
}

bool
cookie_is_ours(struct ike *ike, const struct cookie_in *in, struct slice cookie)
{
	uint8_t ours[COOKIE_LEN];
	unsigned which;

	rotate(ike);
	if (cookie.len != COOKIE_LEN)
		return false;
	which = (uint8_t)(ike->cookie.version - cookie.p[0]);
	return which <= 1 && make(ike, which, in, ours) &&
	    secret_equal(ours, cookie.p, COOKIE_LEN);
}
