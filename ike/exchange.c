/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ike/exchange.h"

#define XCHG_HURRY_MIN	USEC_MS(200)

/* Each wait is twice the one before, up to a cap; `end` counts from the first sending. */
static const struct {
	usec_t first, cap, end;
} paces[] = {
	[XCHG_OPEN]	= { USEC_MS(500), USEC_S(4), USEC_S(30) },
	[XCHG_UP]	= { USEC_MS(500), USEC_S(8), USEC_MS(31500) },
	[XCHG_CLOSE]	= { USEC_MS(500), USEC_S(2), USEC_MS(5500) },
};

struct bytes *
bytes_dup(const void *data, size_t len)
{
	struct bytes *b = malloc(sizeof(*b) + len);

	if (b == NULL)
		return NULL;
	b->len = len;
	memcpy(b->data, data, len);
	return b;
}

void
xchg_init(struct xchg *x, uint32_t out_id, uint32_t in_id)
{
	memset(x, 0, sizeof(*x));
	x->out_id = out_id;
	x->in_id = in_id;
}

void
xchg_fini(struct xchg *x)
{
	free(x->out);
	free(x->reply);
	x->out = NULL;
	x->reply = NULL;
}

void
xchg_request(struct xchg *x, usec_t now, struct bytes *out, enum xchg_pace pace)
{
	assert(x->out == NULL);
	x->out = out;
	x->pace = pace;
	x->wait = paces[pace].first;
	x->at = usec_add(now, x->wait);
	x->end = usec_add(now, paces[pace].end);
	x->sent = 1;
}

void
xchg_answered(struct xchg *x)
{
	xchg_withdraw(x);
	x->out_id++;
}

void
xchg_withdraw(struct xchg *x)
{
	free(x->out);
	x->out = NULL;
}

bool
xchg_hurry(struct xchg *x, usec_t now)
{
	usec_t last;

	if (x->out == NULL)
		return false;
	last = x->at - x->wait;
	if (now < usec_add(last, XCHG_HURRY_MIN))
		return false;
	x->wait = paces[x->pace].first;
	x->at = usec_add(now, x->wait);
	x->sent++;
	return true;
}

enum xchg_due
xchg_tick(struct xchg *x, usec_t now)
{
	if (x->out == NULL || now < xchg_deadline(x))
		return XCHG_NOTHING;
	if (now >= x->end) {
		xchg_withdraw(x);
		return XCHG_GIVE_UP;
	}
	x->wait = usec_min(2 * x->wait, paces[x->pace].cap);
	x->at = usec_add(now, x->wait);
	x->sent++;
	return XCHG_RESEND;
}

usec_t
xchg_deadline(const struct xchg *x)
{
	return x->out == NULL ? USEC_NEVER : usec_min(x->at, x->end);
}

enum xchg_judgement
xchg_judge(const struct xchg *x, bool response, uint32_t id)
{
	if (response)
		return x->out != NULL && id == x->out_id ? XCHG_ANSWER : XCHG_STALE;
	if (id == x->in_id)
		return x->busy ? XCHG_BUSY : XCHG_NEW;
	if (id + 1 == x->in_id && x->reply != NULL && !x->busy)
		return XCHG_REPEAT;
	return XCHG_STALE;
}

void
xchg_begin(struct xchg *x)
{
	x->busy = true;
	free(x->reply);			/* the peer has it: it would not ask on otherwise */
	x->reply = NULL;
}

void
xchg_reply(struct xchg *x, struct bytes *reply)
{
	assert(x->busy);
	x->busy = false;
	x->in_id++;
	x->reply = reply;
}
