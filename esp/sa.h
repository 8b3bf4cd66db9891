/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_SA_H
#define TANDEM_ESP_SA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "esp/esp.h"
#include "esp/inner.h"
#include "esp/replay.h"
#include "esp/stat.h"

/*
 * One direction of a Child SA.  It lives in secret memory for its keys; selectors and the
 * replay bitmap, which are not secret and may be large, hang off it.
 *
 * Inbound: one worker uses it and may write everything.  Outbound: several workers share it,
 * and only the atomics are written after it was made.
 */
struct esp_tunnel;

#define ESP_SA_IV_KEY	16			/* bytes */

/* How far an outbound SA may count.  Without ESN the field ends at 2^32 - 1 (RFC 4303
 * 3.3.3).  With ESN the cipher ends it: 2^37 packets of 1,500 bytes are less than 2^44 AES
 * blocks, which leaves a distinguisher less than 2^-39 (the birthday bound of a 128-bit
 * block); at a million packets a second the soft mark comes after 19 hours. */
#define ESP_SEQ_SOFT	(UINT64_C(3) << 30)
#define ESP_SEQ_HARD	UINT64_C(0xffffffff)
#define ESP_ESN_SOFT	(UINT64_C(1) << 36)
#define ESP_ESN_HARD	(UINT64_C(1) << 37)

struct esp_sa {
	/* the first cache line is what a packet touches */
	stat_t seq;			/* out: last number taken; in: highest authenticated */
	uint64_t soft, hard;		/* out: ESP_EV_SEQ_LOW is due; the last number to be used */
	uint32_t spi;
	uint8_t iv_len, icv_len, block;
	bool cbc, esn;
	uint8_t from_any, to_any;	/* 1: all of v4, 2: all of v6 lie in the selectors */
	bool lingers;			/* in: dropped, ends at linger_at */
	struct replay replay;		/* in */

	struct esp_tunnel *owner;	/* in: set by the worker while it holds the SA */
	struct aead_key key;
	uint8_t iv_key[ESP_SA_IV_KEY];	/* out, CBC: see seal.c */
	uint32_t tunnel;
	_Atomic bool told_low;		/* out: ESP_EV_SEQ_LOW was sent, by any worker */
	stat_t packets, bytes, last;
	stat_t gaps;			/* in: numbers whose packets never came */

	/* the inner source must lie in one of `from`, the destination in one of `to` */
	struct ts *from, *to;		/* one allocation, at `from` */
	unsigned from_n, to_n;
	uint64_t *ring;			/* in: replay's */

	struct esp_sa *linger_next;	/* in: the worker's list */
	usec_t linger_at;
};

/*
 * RFC 4301 5.1, 5.2: the packet lies in the negotiated selectors.  Fragments (section 7): one
 * is covered only by a selector for all ports, so a packet in fragments passes whole or not
 * at all, whichever fragment comes first.  The same holds for protocols without ports; an
 * OPAQUE range (65535..0, RFC 7296 3.13.1) covers exactly these two.
 */
bool	esp_sa_covers(const struct esp_sa *sa, const struct inner *in);

/*
 * Take up to n numbers of an outbound SA; *got says how many there were, in a row from the
 * one returned.  Fewer than n: the SA is used up, for good.  *low: the soft mark is passed
 * and nobody told control so far; a caller who cannot tell it gives that back with
 * esp_sa_untold().
 */
uint64_t esp_sa_take(struct esp_sa *sa, unsigned n, unsigned *got, bool *low);
void	esp_sa_untold(struct esp_sa *sa);

#endif
