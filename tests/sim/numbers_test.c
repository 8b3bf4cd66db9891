/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ike/payload.h"
#include "ike/proposal.h"
#include "ike/ts.h"
#include "tests/unit/unit.h"

/*
 * R15: of all 65,536 ids of each transform type those that we know, and no other, are taken from
 * a peer, by a gateway that accepts every suite there is.
 */
#define N_OF(a)	(sizeof(a) / sizeof((a)[0]))

static const enum prf_id prfs[] = { PRF_HMAC_SHA2_256, PRF_HMAC_SHA2_384, PRF_HMAC_SHA2_512 };
static const enum aead_id encs[] = {
	AEAD_AES_GCM_16_128, AEAD_AES_GCM_16_256, AEAD_CHACHA20_POLY1305,
	AEAD_AES_CBC_128_HMAC_SHA2_256, AEAD_AES_CBC_128_HMAC_SHA2_384,
	AEAD_AES_CBC_128_HMAC_SHA2_512, AEAD_AES_CBC_256_HMAC_SHA2_256,
	AEAD_AES_CBC_256_HMAC_SHA2_384, AEAD_AES_CBC_256_HMAC_SHA2_512,
};

static struct ike_suite ike[N_OF(encs) * N_OF(prfs) * KE_N];
static struct esp_suite esp[N_OF(encs) * KE_N * 2];
static unsigned ike_n, esp_n;

static void
everything(void)
{
	ike_n = esp_n = 0;
	for (size_t e = 0; e < N_OF(encs); e++)
		for (enum ke_group g = KE_NONE; g < KE_N; g++) {
			for (size_t p = 0; g != KE_NONE && p < N_OF(prfs); p++)
				ike[ike_n++] = (struct ike_suite){ encs[e], prfs[p], g };
			esp[esp_n++] = (struct esp_suite){ encs[e], g, true };
			esp[esp_n++] = (struct esp_suite){ encs[e], g, false };
		}
}

/* What IANA calls ours.  A zero ends a list. */
static const uint16_t known[][8] = {
	[TRANSFORM_ENCR] = { 12, 20, 28 },
	[TRANSFORM_PRF] = { 5, 6, 7 },
	[TRANSFORM_INTEG] = { 12, 13, 14 },
	[TRANSFORM_KE] = { 14, 15, 16, 19, 20, 21, 31 },
	[TRANSFORM_ESN] = { 1 },
};

static bool
is_known(uint8_t type, unsigned id)
{
	for (unsigned i = 0; i < 8 && known[type][i] != 0; i++)
		if (known[type][i] == id)
			return true;
	return false;
}

/* One proposal: the cipher, and with CBC its integrity. */
static struct proposal
base(uint8_t proto, bool cbc)
{
	struct proposal p = { .num = 1, .proto = proto, .spi_len = proto == PROTO_ESP ? 4 : 0,
	    .spi = proto == PROTO_ESP ? 0x1000 : 0 };

	p.t[p.n++] = (struct transform){ TRANSFORM_ENCR, false, cbc ? 12 : 20, 256 };
	if (proto == PROTO_IKE)
		p.t[p.n++] = (struct transform){ TRANSFORM_PRF, false, 5, 0 };
	if (cbc)
		p.t[p.n++] = (struct transform){ TRANSFORM_INTEG, false, 12, 0 };
	p.t[p.n++] = (struct transform){ TRANSFORM_KE, false, 31, 0 };
	if (proto == PROTO_ESP)
		p.t[p.n++] = (struct transform){ TRANSFORM_ESN, false, 0, 0 };
	return p;
}

static bool
taken(const struct proposal *p)
{
	static struct sa sa;
	struct ike_choice ic;
	struct esp_choice ec;

	sa.n = 1;
	sa.p[0] = *p;
	if (p->proto == PROTO_IKE)
		return sa_choose_ike(&sa, ike, ike_n, &ic);
	return sa_choose_esp(&sa, esp, esp_n, true, &ec);
}

/* Whether a cipher goes with a key length, and with an integrity algorithm beside it. */
static bool
fits(unsigned id, unsigned bits, bool cbc)
{
	if (cbc)
		return id == 12 && (bits == 128 || bits == 256);
	return (id == 20 && (bits == 128 || bits == 256)) || (id == 28 && bits == 0);
}

START_TEST(no_number_but_ours)
{
	uint8_t proto = _i % 2 == 0 ? PROTO_IKE : PROTO_ESP;
	bool cbc = _i / 2 != 0, want;
	struct proposal p;

	everything();
	for (unsigned k = 0; k < base(proto, cbc).n; k++) {
		p = base(proto, cbc);
		for (unsigned id = 0; id < 65536; id = UNIT_NEXT(id)) {
			uint8_t type = p.t[k].type;

			p.t[k].id = (uint16_t)id;
			want = type == TRANSFORM_ENCR ? fits(id, p.t[k].key_bits, cbc) :
			    is_known(type, id) || (proto == PROTO_ESP && id == 0 &&
			    (type == TRANSFORM_ESN || type == TRANSFORM_KE));
			ck_assert_msg(taken(&p) == want, "type %u id %u", type, id);
		}
	}
	p = base(proto, cbc);
	for (unsigned id = 0; id < 65536; id += id < 64 ? 1 : 251)
		for (unsigned bits = 0; bits < 65536; bits += bits < 600 ? 8 : 1009) {
			p.t[0].id = (uint16_t)id;
			p.t[0].key_bits = (uint16_t)bits;
			ck_assert_msg(taken(&p) == fits(id, bits, cbc), "cipher %u, %u bits",
			    id, bits);
		}
}
END_TEST

enum reader { READ_SA, READ_TS, READ_DELETE };

static bool
reads(enum reader reader, const uint8_t *body, size_t len)
{
	static struct ts_list ts;
	static struct sa sa;
	struct pld_delete d;

	switch (reader) {
	case READ_SA:
		return sa_parse(rd_init(body, len), &sa);
	case READ_TS:
		return ts_parse(rd_init(body, len), &ts);
	case READ_DELETE:
		return pld_delete_parse(rd_init(body, len), &d);
	}
	return false;
}

/* Bodies with a length inside, at `at`; it is right as it stands. */
static const struct {
	enum reader reader;
	size_t at, len;
	uint8_t body[24];
} inner[] = {
	{ READ_SA, 3, 20, { 0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 12, 128, 14, 1, 0 } },
	{ READ_SA, 11, 20, { 0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 12, 128, 14, 1, 0 } },
	{ READ_TS, 7, 20, { 1, 0, 0, 0, 7, 0, 0, 16, 0, 0, 255, 255, 1, 1, 1, 1, 2, 2, 2, 2 } },
	{ READ_DELETE, 1, 12, { PROTO_ESP, 4, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8 } },
};

/* R16: a length within a payload that is zero, or anything but right, is refused, and holds no
 * reader up. */
START_TEST(only_the_right_length_is_read)
{
	uint8_t body[24];

	memcpy(body, inner[_i].body, sizeof(body));
	for (unsigned v = 0; v < 256; v++) {
		body[inner[_i].at] = (uint8_t)v;
		ck_assert_msg(reads(inner[_i].reader, body, inner[_i].len) ==
		    (v == inner[_i].body[inner[_i].at]), "length %u", v);
	}
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, no_number_but_ours, 0, 4);
	tcase_add_loop_test(tc, only_the_right_length_is_read, 0, (int)N_OF(inner));
}

UNIT_MAIN("sim/numbers", fill)
