/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_EXCHANGE_H
#define TANDEM_IKE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/usec.h"

/*
 * Message IDs, retransmission and stored answers of one IKE SA (RFC 7296 2.1, 2.2, 2.3), with
 * a window of one each way.  It knows bytes and times, not what they mean: whoever holds the
 * struct sends `out` when xchg_request() or xchg_tick() say so, and `reply` when xchg_judge()
 * says that the peer repeats itself.  A responder never sends unasked.
 */
enum xchg_pace {
	XCHG_OPEN,			/* a peer that may not be there yet: 0.5 s .. 4 s, 30 s */
	XCHG_UP,			/* an established SA: 0.5 s .. 8 s, 31.5 s, then it is dead */
	XCHG_CLOSE,			/* a delete: 0.5 s .. 2 s, 5.5 s, then it does not matter */
};

/* Stored bytes of a message, owned by whoever holds the pointer. */
struct bytes {
	size_t len;
	uint8_t data[];
};

struct bytes	*bytes_dup(const void *data, size_t len);	/* NULL: no memory */

struct xchg {
	uint32_t out_id;		/* of the request that is out, else of the next one */
	struct bytes *out;		/* the request that is out; NULL: none */
	enum xchg_pace pace;
	usec_t at, wait, end;		/* next repetition, the wait after it, the end of patience */
	unsigned sent;			/* how often it was sent */
	uint32_t in_id;			/* of the request that we expect from the peer */
	bool busy;			/* in_id has come and is being worked on */
	struct bytes *reply;		/* our answer to in_id - 1; NULL: none yet */
};

void	xchg_init(struct xchg *x, uint32_t out_id, uint32_t in_id);
void	xchg_fini(struct xchg *x);

/* Our request, with out_id in its header; owned by x from now on.  The caller sends it now
 * for the first time.  None may be out. */
void	xchg_request(struct xchg *x, usec_t now, struct bytes *out, enum xchg_pace pace);
/* The answer was accepted: the next request gets the next ID. */
void	xchg_answered(struct xchg *x);
/* The request is sent anew under the same ID (IKE_SA_INIT with a cookie or another group). */
void	xchg_withdraw(struct xchg *x);

/* Ask again at once: something depends on the answer.  Not more often than every 200 ms, and
 * the end of patience stays.  True: the caller sends `out`. */
bool	xchg_hurry(struct xchg *x, usec_t now);

enum xchg_due {
	XCHG_NOTHING,
	XCHG_RESEND,			/* send `out` once more; the next time is set */
	XCHG_GIVE_UP,			/* the peer does not answer; `out` is gone */
};
enum xchg_due	xchg_tick(struct xchg *x, usec_t now);
usec_t		xchg_deadline(const struct xchg *x);	/* or USEC_NEVER */

enum xchg_judgement {
	XCHG_NEW,			/* the peer's next request */
	XCHG_REPEAT,			/* its last request once more: send `reply` */
	XCHG_BUSY,			/* the request that is being worked on, once more: drop */
	XCHG_ANSWER,			/* the answer to what is out */
	XCHG_STALE,			/* neither: drop */
};
/* Only for messages that authenticated (or, in IKE_SA_INIT, cannot yet). */
enum xchg_judgement xchg_judge(const struct xchg *x, bool response, uint32_t id);
void	xchg_begin(struct xchg *x);		/* after XCHG_NEW: an answer will follow */
/* Our answer to the request begun; owned by x from now on.  The caller sends it once. */
void	xchg_reply(struct xchg *x, struct bytes *reply);

#endif
