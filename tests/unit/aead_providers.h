/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_AEAD_PROVIDERS_H
#define TANDEM_AEAD_PROVIDERS_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/aead.h"

/*
 * Tests of the AEADs run through everybody who offers them, whoever a build would choose.
 * ipsec-mb must be there where the build has it and the processor can; where it is not, that
 * is said aloud.
 */
enum { PROVIDERS_N = 3 };

static const char *const providers[PROVIDERS_N] = { "ipsec-mb", "openssl", "libsodium" };

#if defined(HAVE_IPSEC_MB) && defined(__x86_64__)
static inline bool
provider_expected(int i)
{
	return i != 0 || (__builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul"));
}
#else
static inline bool
provider_expected(int i)
{
	return i != 0;
}
#endif

/* What a provider that is here must have: one that fails its self-test is left out of a set,
 * and would be out of every test as well. */
static inline bool
provider_has(int i, enum aead_id id)
{
	return i == 1 || id == AEAD_CHACHA20_POLY1305 || (i == 0 && !aead_info(id)->cbc);
}

/* The set of one provider; NULL: it is not here, and need not be. */
static inline struct aead_set *
provider_set(int i)
{
	struct aead_set *set = aead_set_new_only(providers[i]);

	ck_assert_msg((set != NULL) == provider_expected(i), "%s: %s", providers[i],
	    set == NULL ? "missing" : "not expected");
	for (int id = AEAD_NONE + 1; set != NULL && id < AEAD_N; id++)
		ck_assert_msg((aead_set_provider(set, (enum aead_id)id) != NULL) ==
		    provider_has(i, (enum aead_id)id), "%s: %s", providers[i],
		    aead_info((enum aead_id)id)->name);
	if (set == NULL)
		printf("skipped: 1 test with %s, which is not here\n", providers[i]);
	return set;
}

#endif
