/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_TS_H
#define TANDEM_IKE_TS_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/bytes.h"

/*
 * Traffic Selector payloads (RFC 7296 section 3.13) and narrowing (2.9).  `struct ts` and its
 * text form are in base/addr.h.
 */

/*
 * The body of a TSi or TSr payload.  False: malformed, empty, more than TS_MAX selectors, or
 * a range whose start is above its end (INVALID_SYNTAX).  Selectors of an unknown type and
 * those for OPAQUE ports are skipped, so the list may come out empty; nothing then fits it.
 */
bool	ts_parse(struct rd body, struct ts_list *l);
void	ts_write(struct wr *w, const struct ts_list *l);

/*
 * What both the peer's list and our policy allow, in the peer's order (so that a selector it
 * put first, from a packet, stays first), at most TS_MAX; what an earlier selector covers is
 * left out.  False: nothing is left (TS_UNACCEPTABLE).  `out` is neither of the inputs.
 */
bool	ts_narrow(const struct ts_list *peer, const struct ts_list *policy, struct ts_list *out);

/* Each selector of `in` lies inside one of `of`, and there is at least one: the initiator's
 * check that an answer was narrowed, not widened. */
bool	ts_within(const struct ts_list *in, const struct ts_list *of);

/* Same selectors in the same order. */
bool	ts_list_equal(const struct ts_list *a, const struct ts_list *b);

/* "10.0.0.0/16, 2001:db8::/32", ending in "..." where it does not fit.  Returns buf. */
const char *ts_list_str(const struct ts_list *l, char *buf, size_t cap);

#endif
