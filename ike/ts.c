/* SPDX-License-Identifier: MIT */
#include "ike/ts.h"

#include <stdio.h>
#include <string.h>

#define TS_IPV4_ADDR_RANGE	7
#define TS_IPV6_ADDR_RANGE	8
#define TS_HDR_LEN		8	/* of one selector, addresses not counted */

/* One selector.  False: malformed.  *skip: well-formed, but nothing that we can serve. */
static bool
selector_parse(struct rd *r, struct ts *ts, bool *skip)
{
	uint8_t type = rd_u8(r), family;
	uint16_t len;
	struct rd body;

	memset(ts, 0, sizeof(*ts));
	ts->proto = rd_u8(r);
	len = rd_u16(r);
	if (!rd_ok(r) || len < TS_HDR_LEN)
		return false;
	body = rd_sub(r, len - (TS_HDR_LEN - 4));
	*skip = type != TS_IPV4_ADDR_RANGE && type != TS_IPV6_ADDR_RANGE;
	if (*skip)
		return rd_ok(&body);
	family = type == TS_IPV4_ADDR_RANGE ? AF_INET : AF_INET6;
	ts->port_start = rd_u16(&body);
	ts->port_end = rd_u16(&body);
	ts->start.family = ts->end.family = family;
	rd_copy(&body, ts->start.b, ip_len(family));
	rd_copy(&body, ts->end.b, ip_len(family));
	if (!rd_done(&body) || ip_cmp(&ts->start, &ts->end) > 0)
		return false;
	*skip = ts->port_start == UINT16_MAX && ts->port_end == 0;	/* OPAQUE, 3.13.1 */
	return *skip || ts->port_start <= ts->port_end;
}

bool
ts_parse(struct rd body, struct ts_list *l)
{
	unsigned n = rd_u8(&body);

	memset(l, 0, sizeof(*l));
	rd_skip(&body, 3);		/* RESERVED */
	if (!rd_ok(&body) || n == 0 || n > TS_MAX)
		return false;
	for (unsigned i = 0; i < n; i++) {
		bool skip;

		if (!selector_parse(&body, &l->ts[l->n], &skip))
			return false;
		if (!skip)
			l->n++;
	}
	return rd_done(&body);
}

void
ts_write(struct wr *w, const struct ts_list *l)
{
	wr_u8(w, (uint8_t)l->n);
	wr_zero(w, 3);			/* RESERVED */
	for (unsigned i = 0; i < l->n; i++) {
		const struct ts *ts = &l->ts[i];
		size_t len = ip_len(ts->start.family);

		wr_u8(w, len == 4 ? TS_IPV4_ADDR_RANGE : TS_IPV6_ADDR_RANGE);
		wr_u8(w, ts->proto);
		wr_u16(w, (uint16_t)(TS_HDR_LEN + 2 * len));
		wr_u16(w, ts->port_start);
		wr_u16(w, ts->port_end);
		wr_bytes(w, ts->start.b, len);
		wr_bytes(w, ts->end.b, len);
	}
}

/* What two selectors have in common. */
static bool
intersect(const struct ts *a, const struct ts *b, struct ts *out)
{
	if (a->start.family != b->start.family)
		return false;
	if (a->proto != b->proto && a->proto != 0 && b->proto != 0)
		return false;
	out->proto = a->proto != 0 ? a->proto : b->proto;
	out->start = ip_cmp(&a->start, &b->start) >= 0 ? a->start : b->start;
	out->end = ip_cmp(&a->end, &b->end) <= 0 ? a->end : b->end;
	out->port_start = a->port_start >= b->port_start ? a->port_start : b->port_start;
	out->port_end = a->port_end <= b->port_end ? a->port_end : b->port_end;
	return ip_cmp(&out->start, &out->end) <= 0 && out->port_start <= out->port_end;
}

static bool
inside(const struct ts *in, const struct ts *of)
{
	return in->start.family == of->start.family && (of->proto == 0 || of->proto == in->proto) &&
	    of->port_start <= in->port_start && in->port_end <= of->port_end &&
	    ip_cmp(&of->start, &in->start) <= 0 && ip_cmp(&in->end, &of->end) <= 0;
}

static bool
inside_any(const struct ts *in, const struct ts_list *of)
{
	for (unsigned i = 0; i < of->n; i++) {
		if (inside(in, &of->ts[i]))
			return true;
	}
	return false;
}

bool
ts_narrow(const struct ts_list *peer, const struct ts_list *policy, struct ts_list *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < peer->n; i++) {
		for (unsigned j = 0; j < policy->n && out->n < TS_MAX; j++) {
			struct ts both = { 0 };

			if (intersect(&peer->ts[i], &policy->ts[j], &both) &&
			    !inside_any(&both, out))
				out->ts[out->n++] = both;
		}
	}
	return out->n > 0;
}

bool
ts_within(const struct ts_list *in, const struct ts_list *of)
{
	for (unsigned i = 0; i < in->n; i++) {
		if (!inside_any(&in->ts[i], of))
			return false;
	}
	return in->n > 0;
}

bool
ts_list_equal(const struct ts_list *a, const struct ts_list *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		if (!inside(&a->ts[i], &b->ts[i]) || !inside(&b->ts[i], &a->ts[i]))
			return false;
	}
	return true;
}

const char *
ts_list_str(const struct ts_list *l, char *buf, size_t cap)
{
	size_t at = 0;

	(void)snprintf(buf, cap, "none");
	for (unsigned i = 0; i < l->n; i++) {
		char one[TS_STRLEN];
		const char *sep = i > 0 ? ", " : "";

		(void)ts_str(&l->ts[i], one);
		if (at + strlen(sep) + strlen(one) + sizeof("...") > cap) {
			(void)snprintf(buf + at, cap - at, "...");
			break;
		}
		at += (size_t)snprintf(buf + at, cap - at, "%s%s", sep, one);
	}
	return buf;
}
