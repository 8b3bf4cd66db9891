/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"

/* Text that is read as an address or a prefix says the same when it is printed and read again. */

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
prefix_round(const char *text, bool strict)
{
	char buf[PREFIX_STRLEN], ts_buf[TS_STRLEN];
	struct prefix p, q;
	struct ts ts;

	if (!prefix_parse(text, strict, &p))
		return;
	assert(p.len <= ip_len(p.ip.family) * 8);
	assert(prefix_parse(prefix_str(&p, buf), true, &q));
	assert(p.len == q.len && ip_equal(&p.ip, &q.ip));
	assert(prefix_has(&p, &p.ip) && prefix_overlap(&p, &q));
	ts = ts_from_prefix(&p);
	assert(ts_has_ip(&ts, &p.ip) && prefix_has(&p, &ts.end));
	assert(strcmp(ts_str(&ts, ts_buf), buf) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[128], buf[IP_STRLEN], end_buf[ENDPOINT_STRLEN];
	struct sockaddr_storage ss;
	struct endpoint e = { .port = (uint16_t)len }, back;
	struct ip again;

	if (len >= sizeof(text))
		return 0;
	memcpy(text, data, len);
	text[len] = '\0';
	prefix_round(text, true);
	prefix_round(text, false);
	if (!ip_parse(text, &e.ip))
		return 0;
	assert(ip_parse(ip_str(&e.ip, buf), &again) && ip_equal(&e.ip, &again));
	assert(ip_to_sockaddr(&e, &ss) > 0);
	assert(ip_from_sockaddr((struct sockaddr *)&ss, &back) && endpoint_equal(&e, &back));
	assert(strlen(endpoint_str(&e, end_buf)) < sizeof(end_buf));
	return 0;
}
