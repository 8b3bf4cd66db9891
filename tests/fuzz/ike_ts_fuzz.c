/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <string.h>

#include "ike/ts.h"

/* A TS payload: what is narrowed from it lies within both sides and survives the wire. */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check_narrowed(const struct ts_list *peer, const char *first, const char *second)
{
	static struct ts_list policy, got, again;
	static uint8_t buf[4 + TS_MAX * 40];
	struct wr w = wr_init(buf, sizeof(buf));
	struct prefix p;

	policy.n = 2;
	assert(prefix_parse(first, true, &p));
	policy.ts[0] = ts_from_prefix(&p);
	assert(prefix_parse(second, true, &p));
	policy.ts[1] = ts_from_prefix(&p);
	policy.ts[1].proto = 6;
	if (!ts_narrow(peer, &policy, &got))
		return;
	assert(got.n >= 1 && got.n <= TS_MAX);
	assert(ts_within(&got, peer) && ts_within(&got, &policy));
	ts_write(&w, &got);
	assert(wr_ok(&w) && ts_parse(rd_init(buf, wr_len(&w)), &again));
	assert(ts_list_equal(&got, &again));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct ts_list l;
	char text[1024], tiny[16];

	if (!ts_parse(rd_init(data, len), &l))
		return 0;
	assert(l.n <= TS_MAX);
	assert(strlen(ts_list_str(&l, text, sizeof(text))) < sizeof(text));
	assert(strlen(ts_list_str(&l, tiny, sizeof(tiny))) < sizeof(tiny));
	check_narrowed(&l, "0.0.0.0/0", "::/0");
	check_narrowed(&l, "10.0.0.0/16", "2001:db8::/32");
	return 0;
}
