/* SPDX-License-Identifier: MIT */
#include "ike/auth.h"

#include <string.h>

#include "json_vectors.h"
#include "unit.h"

static uint8_t message[60], nonce[16], sk_p[32];
static uint8_t id[14] = { ID_FQDN, 0, 0, 0, 'g', 'w', '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e' };
static const uint8_t key[] = "correct horse";
static const struct slice psk = { .p = key, .len = sizeof(key) - 1 };

static struct auth_in
in(void)
{
	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)i;
	for (unsigned i = 0; i < sizeof(nonce); i++)
		nonce[i] = (uint8_t)(0x41 + i);
	(void)unhex("9a27547a360cd956e8dbd8046ba32ad14eb1049478373ccf75af176a77a751bf", sk_p,
	    sizeof(sk_p));
	return (struct auth_in){ .prf = PRF_HMAC_SHA2_256,
		.message = { message, sizeof(message) }, .nonce = { nonce, sizeof(nonce) },
		.sk_p = { sk_p, sizeof(sk_p) }, .id = { id, sizeof(id) } };
}

/* Computed apart, with another HMAC, from the formula of RFC 7296 2.15. */
START_TEST(the_formula_holds)
{
	struct auth_in a = in();
	uint8_t out[PRF_LEN_MAX], want[32];

	(void)unhex("92647ec05f03aa2d1ef16f344507853761443cb306f920e373f76c6522900390", want, 32);
	ck_assert(auth_psk_make(&a, psk, out));
	ck_assert_mem_eq(out, want, 32);
}
END_TEST

/* R5: nothing but the whole right proof, by the right method, is OK. */
START_TEST(only_the_right_proof_is_ok)
{
	struct auth_in a = in();
	uint8_t out[PRF_LEN_MAX + 1] = { 0 }, zero[PRF_LEN_MAX] = { 0 };
	struct pld_auth auth = { .method = AUTH_METHOD_PSK, .data = out, .len = 32 };

	ck_assert(auth_psk_make(&a, psk, out));
	ck_assert_int_eq(auth_psk_check(&a, psk, &auth), AUTH_OK);
	for (size_t len = 0; len <= sizeof(out); len++) {
		auth.len = len;
		ck_assert_int_eq(auth_psk_check(&a, psk, &auth), len == 32 ? AUTH_OK : AUTH_BAD);
	}
	auth.len = 32;
	for (unsigned method = 0; method < 256; method++) {
		auth.method = (uint8_t)method;
		ck_assert_int_eq(auth_psk_check(&a, psk, &auth),
		    method == AUTH_METHOD_PSK ? AUTH_OK : AUTH_BAD);
	}
	auth.method = AUTH_METHOD_PSK;
	for (unsigned bit = 0; bit < 256; bit++) {
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_int_eq(auth_psk_check(&a, psk, &auth), AUTH_BAD);
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	auth.data = zero;
	ck_assert_int_eq(auth_psk_check(&a, psk, &auth), AUTH_BAD);
}
END_TEST

/* The proof covers every byte of what it is said to cover. */
START_TEST(every_input_counts)
{
	struct auth_in a = in();
	uint8_t out[PRF_LEN_MAX], other[] = "correct horsf";
	struct pld_auth auth = { .method = AUTH_METHOD_PSK, .data = out, .len = 32 };
	struct {
		uint8_t *p;
		size_t len;
	} parts[] = { { message, sizeof(message) }, { nonce, sizeof(nonce) },
		{ sk_p, sizeof(sk_p) }, { id, sizeof(id) } };

	ck_assert(auth_psk_make(&a, psk, out));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		for (size_t at = 0; at < parts[i].len; at++) {
			parts[i].p[at] ^= 1;
			ck_assert_int_eq(auth_psk_check(&a, psk, &auth), AUTH_BAD);
			parts[i].p[at] ^= 1;
		}
	}
	ck_assert_int_eq(auth_psk_check(&a, (struct slice){ other, 13 }, &auth), AUTH_BAD);
	ck_assert_int_eq(auth_psk_check(&a, (struct slice){ key, 12 }, &auth), AUTH_BAD);
	a.prf = PRF_HMAC_SHA2_384;
	ck_assert_int_eq(auth_psk_check(&a, psk, &auth), AUTH_BAD);
}
END_TEST

START_TEST(without_a_key_or_a_prf_there_is_no_proof)
{
	struct auth_in a = in();
	uint8_t out[PRF_LEN_MAX];
	struct pld_auth auth = { .method = AUTH_METHOD_PSK, .data = out, .len = 32 };

	ck_assert(!auth_psk_make(&a, (struct slice){ key, 0 }, out));
	ck_assert_int_eq(auth_psk_check(&a, (struct slice){ key, 0 }, &auth), AUTH_BAD);
	a.prf = PRF_NONE;
	auth.len = 0;
	ck_assert(!auth_psk_make(&a, psk, out));
	ck_assert_int_eq(auth_psk_check(&a, psk, &auth), AUTH_BAD);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, the_formula_holds);
	tcase_add_test(t, only_the_right_proof_is_ok);
	tcase_add_test(t, every_input_counts);
	tcase_add_test(t, without_a_key_or_a_prf_there_is_no_proof);
}

UNIT_MAIN("ike/auth", fill)
