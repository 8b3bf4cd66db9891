/* SPDX-License-Identifier: MIT */
/*
 * The gateway as it is, but that the numbers of an SA run low after half a million packets and not
 * after three quarters of 2^32: at full rate that is a rekey or two a second.  It is linked into
 * `tandem-low` and nowhere else (the Makefile wraps esp_sa_out_new), for tests/netns/longrun.
 */
#include "esp/sa.h"

#define LOW_AFTER	(1 << 19)	/* packets; longrun knows it too */

__typeof__(esp_sa_out_new) __wrap_esp_sa_out_new, __real_esp_sa_out_new;

struct esp_sa *
__wrap_esp_sa_out_new(struct secrets *s, const struct aead_set *a, const struct child_sa *c,
    uint64_t seq)
{
	struct esp_sa *sa = __real_esp_sa_out_new(s, a, c, seq);

	if (sa != NULL)
		sa->soft = LOW_AFTER;
	return sa;
}
