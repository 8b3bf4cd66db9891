/* SPDX-License-Identifier: MIT */
#include "ike/ke.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <sodium.h>
#include <string.h>

#include "base/secret.h"

enum family { MODP, ECP, X25519 };

/* Orders of the NIST curves (FIPS 186-4 D.1.2): a scalar is in [1, n - 1]. */
static const uint8_t order_256[32] = {
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
	0x25, 0x51,
};
static const uint8_t order_384[48] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37,
	0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc,
	0xc5, 0x29, 0x73,
};
static const uint8_t order_521[66] = {
	0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01,
	0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f,
	0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
};

/* A MODP exponent has at least twice the bits of the group's strength (RFC 3526 section 8). */
static const struct {
	enum family family;
	uint16_t private_len, public_len, shared_len;
	int nid;
	const uint8_t *order;
	BIGNUM *(*prime)(BIGNUM *);
} groups[KE_N] = {
	[KE_MODP_2048] =  { MODP, 32, 256, 256, 0, NULL, BN_get_rfc3526_prime_2048 },
	[KE_MODP_3072] =  { MODP, 40, 384, 384, 0, NULL, BN_get_rfc3526_prime_3072 },
	[KE_MODP_4096] =  { MODP, 48, 512, 512, 0, NULL, BN_get_rfc3526_prime_4096 },
	[KE_ECP_256] =    { ECP, 32, 64, 32, NID_X9_62_prime256v1, order_256, NULL },
	[KE_ECP_384] =    { ECP, 48, 96, 48, NID_secp384r1, order_384, NULL },
	[KE_ECP_521] =    { ECP, 66, 132, 66, NID_secp521r1, order_521, NULL },
	[KE_CURVE25519] = { X25519, 32, 32, 32, 0, NULL, NULL },
};

size_t
ke_public_len(enum ke_group g)
{
	return (unsigned)g < KE_N ? groups[g].public_len : 0;
}

size_t
ke_shared_len(enum ke_group g)
{
	return (unsigned)g < KE_N ? groups[g].shared_len : 0;
}

/* 0 < k < order, looking at all bytes whatever they are. */
static bool
in_range(const uint8_t *k, const uint8_t *order, size_t len)
{
	unsigned borrow = 0, any = 0;

	for (size_t i = len; i > 0; i--) {
		borrow = ((unsigned)k[i - 1] - order[i - 1] - borrow) >> 8 & 1;
		any |= k[i - 1];
	}
	return borrow == 1 && any != 0;
}

void
ke_draw(struct ke *ke, enum ke_group group, const struct rng *rng)
{
	secret_wipe(ke, sizeof(*ke));
	ke->group = group;
	ke->private_len = groups[group].private_len;
	do {
		rng_fill(rng, ke->private_key, ke->private_len);
		if (groups[group].family == MODP)
			ke->private_key[0] |= 0x80;	/* all exponents of one bit length */
		if (group == KE_ECP_521)
			ke->private_key[0] &= 0x01;
	} while (groups[group].family == ECP &&
	    !in_range(ke->private_key, groups[group].order, ke->private_len));
}

/* out = base ^ private mod p; the peer's value as base, or 2 where there is none. */
static enum ke_result
modp(struct ke *ke, const uint8_t *peer, uint8_t *out)
{
	size_t len = groups[ke->group].public_len;
	BN_CTX *ctx = BN_CTX_secure_new();
	BIGNUM *p = groups[ke->group].prime(NULL), *base = BN_new(), *r = BN_secure_new();
	BIGNUM *x = BN_secure_new();
	enum ke_result result = KE_FAILED;

	if (ctx == NULL || p == NULL || base == NULL || r == NULL || x == NULL ||
	    BN_bin2bn(ke->private_key, ke->private_len, x) == NULL)
		goto out;
	BN_set_flags(x, BN_FLG_CONSTTIME);
	if (peer == NULL) {
		if (BN_set_word(base, 2) != 1)
			goto out;
	} else {
		/* 1 < y < p - 1, RFC 6989 section 2.1 */
		if (BN_bin2bn(peer, (int)len, base) == NULL || BN_sub_word(p, 1) != 1)
			goto out;
		if (BN_is_zero(base) || BN_is_one(base) || BN_cmp(base, p) >= 0) {
			result = KE_REFUSED;
			goto out;
		}
		if (BN_add_word(p, 1) != 1)
			goto out;
	}
	if (BN_mod_exp_mont_consttime(r, base, x, p, ctx, NULL) == 1 &&
	    BN_bn2binpad(r, out, (int)len) == (int)len)
		result = peer != NULL ? KE_DERIVED : KE_GENERATED;
out:
	BN_clear_free(x);
	BN_clear_free(r);
	BN_free(base);
	BN_free(p);
	BN_CTX_free(ctx);
	return result;
}

/* The peer's x | y as a point: fails where a coordinate is not below p or it is off the curve. */
static bool
point_read(const EC_GROUP *group, EC_POINT *point, const uint8_t *xy, size_t len, BN_CTX *ctx)
{
	uint8_t text[1 + KE_PUBLIC_MAX] = { POINT_CONVERSION_UNCOMPRESSED };

	memcpy(text + 1, xy, len);
	return EC_POINT_oct2point(group, point, text, len + 1, ctx) == 1 &&
	    EC_POINT_is_on_curve(group, point, ctx) == 1 &&
	    EC_POINT_is_at_infinity(group, point) == 0;
}

/* Write x | y, or x alone: "the shared secret is x", RFC 5903 section 7. */
static bool
point_write(const EC_GROUP *group, const EC_POINT *point, bool both, uint8_t *out, BN_CTX *ctx)
{
	int len = (EC_GROUP_get_degree(group) + 7) / 8;
	BIGNUM *x = BN_secure_new(), *y = BN_secure_new();
	bool ok = x != NULL && y != NULL &&
	    EC_POINT_get_affine_coordinates(group, point, x, y, ctx) == 1 &&
	    BN_bn2binpad(x, out, len) == len && (!both || BN_bn2binpad(y, out + len, len) == len);

	BN_clear_free(x);
	BN_clear_free(y);
	return ok;
}

/* private * point; the peer's point, or the generator where there is none. */
static enum ke_result
ecp(struct ke *ke, const uint8_t *peer, uint8_t *out)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(groups[ke->group].nid);
	EC_POINT *base = group != NULL ? EC_POINT_new(group) : NULL;
	EC_POINT *r = group != NULL ? EC_POINT_new(group) : NULL;
	BN_CTX *ctx = BN_CTX_secure_new();
	BIGNUM *k = BN_secure_new();
	enum ke_result result = KE_FAILED;

	if (base == NULL || r == NULL || ctx == NULL || k == NULL ||
	    BN_bin2bn(ke->private_key, ke->private_len, k) == NULL)
		goto out;
	BN_set_flags(k, BN_FLG_CONSTTIME);
	if (peer == NULL) {
		if (EC_POINT_mul(group, r, k, NULL, NULL, ctx) == 1 &&
		    point_write(group, r, true, out, ctx))
			result = KE_GENERATED;
		goto out;
	}
	if (!point_read(group, base, peer, groups[ke->group].public_len, ctx)) {
		result = KE_REFUSED;
		goto out;
	}
	if (EC_POINT_mul(group, r, NULL, base, k, ctx) == 1 &&
	    EC_POINT_is_at_infinity(group, r) == 0 && point_write(group, r, false, out, ctx))
		result = KE_DERIVED;
out:
	BN_clear_free(k);
	BN_CTX_free(ctx);
	EC_POINT_clear_free(r);
	EC_POINT_free(base);
	EC_GROUP_free(group);
	return result;
}

static enum ke_result
x25519(struct ke *ke, const uint8_t *peer, uint8_t *out)
{
	if (peer == NULL)
		return crypto_scalarmult_base(out, ke->private_key) == 0 ? KE_GENERATED : KE_FAILED;
	/* it fails exactly where the result is all zero, RFC 8031 section 2.3 */
	return crypto_scalarmult(out, ke->private_key, peer) == 0 ? KE_DERIVED : KE_REFUSED;
}

static enum ke_result
compute(struct ke *ke, const uint8_t *peer, uint8_t *out)
{
	switch (groups[ke->group].family) {
	case MODP:
		return modp(ke, peer, out);
	case ECP:
		return ecp(ke, peer, out);
	case X25519:
		return x25519(ke, peer, out);
	}
	return KE_FAILED;
}

enum ke_result
ke_generate(struct ke *ke)
{
	ke->result = ke->private_len > 0 ? compute(ke, NULL, ke->public_value) : KE_FAILED;
	ke->public_len = ke->result == KE_GENERATED ? groups[ke->group].public_len : 0;
	return ke->result;
}

bool
ke_peer_set(struct ke *ke, struct slice value)
{
	ke->peer_len = 0;
	if (value.len == 0 || value.len != ke_public_len(ke->group))
		return false;
	memcpy(ke->peer, value.p, value.len);
	ke->peer_len = (uint16_t)value.len;
	ke->result = KE_PENDING;
	return true;
}

enum ke_result
ke_derive(struct ke *ke)
{
	bool ready = ke->private_len > 0 && ke->peer_len > 0;

	ke->result = ready ? compute(ke, ke->peer, ke->shared) : KE_FAILED;
	ke->shared_len = ke->result == KE_DERIVED ? groups[ke->group].shared_len : 0;
	if (ke->result != KE_DERIVED)
		secret_wipe(ke->shared, sizeof(ke->shared));
	return ke->result;
}

void
ke_fini(struct ke *ke)
{
	secret_wipe(ke, sizeof(*ke));
}
