/* SPDX-License-Identifier: MIT */
#include "ike/proposal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

/* The texts of suites.  What they are on the wire is ike_proposal_test's. */
#define N_OF(a)		(sizeof(a) / sizeof((a)[0]))

enum kind { AEAD, CBC, INTEG, PRF, GROUP, ESN };

static const struct word {
	const char *text;
	enum kind kind;
	unsigned value;
} words[] = {
	{ "aes128gcm16", AEAD, AEAD_AES_GCM_16_128 }, { "aes128gcm", AEAD, AEAD_AES_GCM_16_128 },
	{ "aes128gcm128", AEAD, AEAD_AES_GCM_16_128 }, { "aes256gcm16", AEAD, AEAD_AES_GCM_16_256 },
	{ "aes256gcm", AEAD, AEAD_AES_GCM_16_256 }, { "aes256gcm128", AEAD, AEAD_AES_GCM_16_256 },
	{ "chacha20poly1305", AEAD, AEAD_CHACHA20_POLY1305 },
	{ "aes", CBC, 128 }, { "aes128", CBC, 128 }, { "aes256", CBC, 256 },
	{ "sha256", INTEG, PRF_HMAC_SHA2_256 }, { "sha2_256", INTEG, PRF_HMAC_SHA2_256 },
	{ "sha384", INTEG, PRF_HMAC_SHA2_384 }, { "sha2_384", INTEG, PRF_HMAC_SHA2_384 },
	{ "sha512", INTEG, PRF_HMAC_SHA2_512 }, { "sha2_512", INTEG, PRF_HMAC_SHA2_512 },
	{ "prfsha256", PRF, PRF_HMAC_SHA2_256 }, { "prfsha384", PRF, PRF_HMAC_SHA2_384 },
	{ "prfsha512", PRF, PRF_HMAC_SHA2_512 },
	{ "modp2048", GROUP, KE_MODP_2048 }, { "modp3072", GROUP, KE_MODP_3072 },
	{ "modp4096", GROUP, KE_MODP_4096 }, { "ecp256", GROUP, KE_ECP_256 },
	{ "ecp384", GROUP, KE_ECP_384 }, { "ecp521", GROUP, KE_ECP_521 },
	{ "curve25519", GROUP, KE_CURVE25519 }, { "x25519", GROUP, KE_CURVE25519 },
	{ "esn", ESN, true }, { "noesn", ESN, false },
};

static char err[256], text[256];

/* CBC by key length and hash. */
static const enum aead_id cbc[2][PRF_N] = {
	{ AEAD_NONE, AEAD_AES_CBC_128_HMAC_SHA2_256, AEAD_AES_CBC_128_HMAC_SHA2_384,
	  AEAD_AES_CBC_128_HMAC_SHA2_512 },
	{ AEAD_NONE, AEAD_AES_CBC_256_HMAC_SHA2_256, AEAD_AES_CBC_256_HMAC_SHA2_384,
	  AEAD_AES_CBC_256_HMAC_SHA2_512 },
};

/* Each word, with what a suite needs beside it, at any place. */
START_TEST(every_word)
{
	for (size_t i = 0; i < N_OF(words); i++) {
		const char *enc = "aes256gcm16", *more = "prfsha512", *group = "-ecp521";
		const struct word *w = &words[i];
		struct ike_suite s, want = { AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_512, KE_ECP_521 };

		switch (w->kind) {
		case AEAD:
			enc = w->text;
			want.enc = w->value;
			break;
		case CBC:
			enc = w->text;
			more = "sha384";
			want.enc = cbc[w->value == 256][PRF_HMAC_SHA2_384];
			want.prf = PRF_HMAC_SHA2_384;
			break;
		case INTEG:
			enc = "aes128";
			more = w->text;
			want.enc = cbc[0][w->value];
			want.prf = w->value;
			break;
		case PRF:
			more = w->text;
			want.prf = w->value;
			break;
		case GROUP:
			group = "";
			(void)snprintf(text, sizeof(text), "%s-%s-%s", w->text, enc, more);
			want.group = w->value;
			break;
		case ESN:
			continue;
		}
		if (w->kind != GROUP)
			(void)snprintf(text, sizeof(text), "%s-%s%s", more, enc, group);
		ck_assert_msg(ike_suite_parse(text, &s, err, sizeof(err)), "%s: %s", text, err);
		ck_assert_msg(ike_suite_equal(&s, &want), "%s", text);
	}
}
END_TEST

START_TEST(every_word_of_esp)
{
	static const char *const both[] = { "esn-aes", "aes-sha256-esn", "sha256-noesn-aes256" };
	struct esp_suite s;

	for (size_t i = 0; i < N_OF(words); i++) {
		const struct word *w = &words[i];
		bool whole = w->kind == AEAD;

		(void)snprintf(text, sizeof(text), "%s%s", w->text, w->kind == CBC ? "-sha256" :
		    w->kind == INTEG ? "-aes" : whole ? "" : "-aes128gcm");
		ck_assert_msg(esp_suite_parse(text, &s, err, sizeof(err)) == (w->kind != PRF),
		    "%s: %s", text, err);
		if (w->kind == PRF)
			continue;
		ck_assert_int_eq(s.group, w->kind == GROUP ? w->value : KE_NONE);
		ck_assert_int_eq(s.esn, w->kind == ESN ? w->value : true);
		if (w->kind == CBC || w->kind == INTEG)
			ck_assert_int_eq(s.enc, w->kind == CBC ?
			    cbc[w->value == 256][PRF_HMAC_SHA2_256] : cbc[0][w->value]);
		else
			ck_assert_int_eq(s.enc, whole ? w->value : AEAD_AES_GCM_16_128);
	}
	ck_assert(!esp_suite_parse(both[0], &s, err, sizeof(err)));	/* no integrity */
	ck_assert(esp_suite_parse(both[1], &s, err, sizeof(err)) && s.esn);
	ck_assert(esp_suite_parse(both[2], &s, err, sizeof(err)) && !s.esn);
}
END_TEST

/* Every suite there is: its text fits SUITE_STRLEN and reads back; the PRF only where it does
 * not follow from the integrity algorithm. */
START_TEST(every_ike_suite_reads_back)
{
	char buf[SUITE_STRLEN];

	for (unsigned enc = 1; enc < AEAD_N; enc++) {
		for (unsigned i = 0; i < (PRF_N - 1) * (KE_N - 1); i++) {
			struct ike_suite s = { enc, 1 + i % (PRF_N - 1), 1 + i / (PRF_N - 1) };
			bool implied = enc == cbc[0][s.prf] || enc == cbc[1][s.prf];
			struct ike_suite back;

			ck_assert_ptr_eq(ike_suite_str(&s, buf, sizeof(buf)), buf);
			ck_assert_uint_lt(strlen(buf) + 1, sizeof(buf));
			ck_assert_msg(ike_suite_parse(buf, &back, err, sizeof(err)), "%s", buf);
			ck_assert_msg(ike_suite_equal(&back, &s), "%s", buf);
			ck_assert_msg((strstr(buf, "prf") == NULL) == implied, "%s", buf);
		}
	}
}
END_TEST

START_TEST(every_esp_suite_reads_back)
{
	char buf[SUITE_STRLEN];

	for (unsigned enc = 1; enc < AEAD_N; enc++) {
		for (unsigned i = 0; i < KE_N * 2; i++) {
			struct esp_suite s = { enc, i / 2, i % 2 != 0 }, back;

			ck_assert_ptr_eq(esp_suite_str(&s, buf, sizeof(buf)), buf);
			ck_assert_uint_lt(strlen(buf) + 1, sizeof(buf));
			ck_assert_msg(esp_suite_parse(buf, &back, err, sizeof(err)), "%s", buf);
			ck_assert_msg(esp_suite_equal(&back, &s), "%s", buf);
		}
	}
}
END_TEST

START_TEST(equal_in_every_part)
{
	struct ike_suite a = { AEAD_AES_GCM_16_128, PRF_HMAC_SHA2_256, KE_ECP_256 }, b = a;
	struct esp_suite e = { AEAD_AES_GCM_16_128, KE_ECP_256, true }, f = e;

	ck_assert(ike_suite_equal(&a, &b) && esp_suite_equal(&e, &f));
	b.enc++;
	ck_assert(!ike_suite_equal(&a, &b));
	b = a;
	b.prf++;
	ck_assert(!ike_suite_equal(&a, &b));
	b = a;
	b.group++;
	ck_assert(!ike_suite_equal(&a, &b));
	f.enc++;
	ck_assert(!esp_suite_equal(&e, &f));
	f = e;
	f.group++;
	ck_assert(!esp_suite_equal(&e, &f));
	f = e;
	f.esn = false;
	ck_assert(!esp_suite_equal(&e, &f));
}
END_TEST

/* The first of several words for one thing is the one that is shown. */
START_TEST(names)
{
	static const char *const groups[] = {
		"none", "modp2048", "modp3072", "modp4096", "ecp256", "ecp384", "ecp521",
		"curve25519",
	};

	for (unsigned g = 0; g < KE_N; g++)
		ck_assert_str_eq(ke_group_name(g), groups[g]);
	ck_assert_str_eq(ke_group_name(KE_N), "none");
	ck_assert_str_eq(prf_name(PRF_NONE), "none");
	ck_assert_str_eq(prf_name(PRF_HMAC_SHA2_256), "prfsha256");
	ck_assert_str_eq(prf_name(PRF_HMAC_SHA2_384), "prfsha384");
	ck_assert_str_eq(prf_name(PRF_HMAC_SHA2_512), "prfsha512");
}
END_TEST

/* Two of a kind, in either order, and a CBC with an AEAD: two suites, says the error. */
START_TEST(one_of_a_kind)
{
	for (size_t i = 0; i < N_OF(words) * N_OF(words); i++) {
		const struct word *a = &words[i / N_OF(words)], *b = &words[i % N_OF(words)];
		bool ciphers = a->kind <= CBC && b->kind <= CBC;
		struct esp_suite s;
		bool said;

		(void)snprintf(text, sizeof(text), "%s-%s", a->text, b->text);
		err[0] = '\0';
		(void)esp_suite_parse(text, &s, err, sizeof(err));
		said = strstr(err, "a suite has one of a kind") != NULL;
		ck_assert_msg(said == (a->kind == b->kind || ciphers), "%s: %s", text, err);
		if (said)
			ck_assert(strstr(err, a->text) != NULL && strstr(err, b->text) != NULL);
	}
}
END_TEST

START_TEST(weak_words_are_refused_as_such)
{
	static const char *const weak[] = {
		"des", "3des", "md5", "sha", "sha1", "prfmd5", "prfsha1", "modp768", "modp1024",
		"modp1536", "modp1024s160", "modp2048s224", "modp2048s256", "null",
	};
	struct ike_suite s;
	struct esp_suite e;

	for (size_t i = 0; i < N_OF(weak); i++) {
		ck_assert(!ike_suite_parse(weak[i], &s, err, sizeof(err)));
		ck_assert_msg(strstr(err, "too weak") != NULL, "%s: %s", weak[i], err);
		ck_assert(!esp_suite_parse(weak[i], &e, err, sizeof(err)));
		ck_assert_msg(strstr(err, "too weak") != NULL, "%s: %s", weak[i], err);
	}
}
END_TEST

/* One wrong, missing or additional letter: the word that was meant is named. */
START_TEST(the_nearest_word_is_named)
{
	struct esp_suite s;
	char wrong[64], want[64];

	for (size_t i = 0; i < N_OF(words); i++) {
		size_t n = strlen(words[i].text);

		(void)snprintf(want, sizeof(want), "nearest known one is \"%s\"", words[i].text);
		for (size_t at = 0; at < n; at++) {
			memcpy(wrong, words[i].text, n + 1);
			wrong[at] = 'z';
			ck_assert(!esp_suite_parse(wrong, &s, err, sizeof(err)));
			ck_assert_msg(strstr(err, want) != NULL, "%s: %s", wrong, err);
		}
		(void)snprintf(wrong, sizeof(wrong), "%sz", words[i].text);
		ck_assert(!esp_suite_parse(wrong, &s, err, sizeof(err)));
		ck_assert_msg(strstr(err, want) != NULL, "%s: %s", wrong, err);
	}
	ck_assert(!esp_suite_parse("chacha20poly130", &s, err, sizeof(err)));
	ck_assert(strstr(err, "\"chacha20poly1305\"") != NULL);
	ck_assert(!esp_suite_parse("AES256GCM16", &s, err, sizeof(err)));	/* case counts */
}
END_TEST

/* A word of 32 letters is shown whole, of a longer one the beginning; an empty one is missing. */
START_TEST(long_and_empty_words)
{
	static const char *const empty[] = {
		"", "-", "-aes256gcm16", "aes256gcm16-", "aes--sha256",
	};
	struct esp_suite s;
	char word[80];

	for (size_t n = 30; n < 40; n++) {
		memset(word, 'q', n);
		word[n] = '\0';
		ck_assert(!esp_suite_parse(word, &s, err, sizeof(err)));
		ck_assert_int_eq(strstr(err, "nearest") != NULL, n <= 32);
		ck_assert_int_eq(strstr(err, "...") != NULL, n > 32);
		ck_assert(strstr(err, "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqq") != NULL);
	}
	for (size_t i = 0; i < N_OF(empty); i++) {
		ck_assert(!esp_suite_parse(empty[i], &s, err, sizeof(err)));
		ck_assert_msg(strstr(err, "missing") != NULL, "\"%s\": %s", empty[i], err);
	}
}
END_TEST

/* A sentence about each error, without a full stop, and never past the end of the buffer. */
START_TEST(errors_keep_to_their_buffer)
{
	static const char *const bad[] = {
		"", "sha1", "aes265", "aes-aes", "aes", "sha256", "aes256gcm16-sha256",
		"noesn-aes128gcm", "aes128gcm", "aes128gcm-prfsha256",
		"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
	};
	char small[128];

	for (size_t i = 0; i < N_OF(bad); i++) {
		struct ike_suite s;

		for (size_t cap = 1; cap < sizeof(small); cap++) {
			memset(small, 0x7f, sizeof(small));
			ck_assert_msg(!ike_suite_parse(bad[i], &s, small, cap), "%s", bad[i]);
			ck_assert_ptr_nonnull(memchr(small, '\0', cap));
			for (size_t k = cap; k < sizeof(small); k++)
				ck_assert_int_eq(small[k], 0x7f);
		}
		ck_assert(!ike_suite_parse(bad[i], &s, err, sizeof(err)));
		ck_assert(strlen(err) > 10 && (isalnum(err[strlen(err) - 1]) ||
		    strchr("\".", err[strlen(err) - 1]) != NULL));
	}
}
END_TEST

/* Whole words of the list, then "..." where not all fit; a list of none is empty. */
START_TEST(lists_end_in_dots)
{
	struct ike_suite s[3] = {
		{ AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_384, KE_ECP_384 },
		{ AEAD_AES_CBC_128_HMAC_SHA2_256, PRF_HMAC_SHA2_256, KE_MODP_2048 },
		{ AEAD_CHACHA20_POLY1305, PRF_HMAC_SHA2_256, KE_CURVE25519 },
	};
	struct esp_suite e[2] = { { AEAD_AES_GCM_16_256, KE_NONE, true },
		{ AEAD_AES_GCM_16_128, KE_ECP_256, false } };
	static const char full[] = "aes256gcm16-prfsha384-ecp384, aes128-sha256-modp2048, "
	    "chacha20poly1305-prfsha256-curve25519";
	char buf[256];

	ck_assert_str_eq(ike_suites_str(s, 3, buf, sizeof(buf)), full);
	ck_assert_str_eq(esp_suites_str(e, 2, buf, sizeof(buf)),
	    "aes256gcm16, aes128gcm16-ecp256-noesn");
	ck_assert_str_eq(ike_suites_str(s, 0, buf, sizeof(buf)), "");
	ck_assert_str_eq(esp_suites_str(e, 0, buf, sizeof(buf)), "");
	for (size_t cap = 4; cap < sizeof(full) + 10; cap++) {
		size_t n;

		memset(buf, 0x7f, sizeof(buf));
		(void)ike_suites_str(s, 3, buf, cap);
		n = strlen(buf);
		ck_assert_uint_lt(n, cap);
		ck_assert_int_eq(buf[cap], 0x7f);
		if (strcmp(buf, full) == 0)
			continue;
		ck_assert_msg(n >= 3 && strcmp(buf + n - 3, "...") == 0, "%zu: %s", cap, buf);
		ck_assert_mem_eq(buf, full, n - 3);
		ck_assert(n == 3 || full[n - 3] == ',');
		ck_assert_uint_lt(cap, sizeof(full) + 6);	/* what fits with room is whole */
	}
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, every_word);
	tcase_add_test(tc, every_word_of_esp);
	tcase_add_test(tc, every_ike_suite_reads_back);
	tcase_add_test(tc, every_esp_suite_reads_back);
	tcase_add_test(tc, equal_in_every_part);
	tcase_add_test(tc, names);
	tcase_add_test(tc, one_of_a_kind);
	tcase_add_test(tc, weak_words_are_refused_as_such);
	tcase_add_test(tc, the_nearest_word_is_named);
	tcase_add_test(tc, long_and_empty_words);
	tcase_add_test(tc, errors_keep_to_their_buffer);
	tcase_add_test(tc, lists_end_in_dots);
}

UNIT_MAIN("ike/suite", fill)
