/* SPDX-License-Identifier: MIT */
#include "ike/ts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

static uint8_t buf[65536];

/* One selector: "prefix" or "first last", protocol, ports. */
static struct ts
sel(const char *first, const char *last, uint8_t proto, uint16_t port_start, uint16_t port_end)
{
	struct ts ts = { .proto = proto, .port_start = port_start, .port_end = port_end };
	struct prefix p;

	if (last == NULL) {
		ck_assert(prefix_parse(first, true, &p));
		ts = ts_from_prefix(&p);
		ts.proto = proto;
		ts.port_start = port_start;
		ts.port_end = port_end;
		return ts;
	}
	ck_assert(ip_parse(first, &ts.start) && ip_parse(last, &ts.end));
	return ts;
}

static struct ts_list
list(unsigned n, ...)
{
	struct ts_list l = { .n = n };
	va_list ap;

	va_start(ap, n);
	for (unsigned i = 0; i < n; i++)
		l.ts[i] = sel(va_arg(ap, const char *), NULL, 0, 0, 65535);
	va_end(ap);
	return l;
}

static void
same(const struct ts_list *got, const struct ts_list *want)
{
	char a[512], b[512];

	ck_assert_msg(ts_list_equal(got, want), "got %s, want %s",
	    ts_list_str(got, a, sizeof(a)), ts_list_str(want, b, sizeof(b)));
}

START_TEST(lists_read_back_and_truncations_do_not)
{
	struct ts_list l = list(3, "10.0.0.0/16", "2001:db8::/32", "0.0.0.0/0"), got;
	struct wr w = wr_init(buf, sizeof(buf));
	size_t len;

	l.ts[0].proto = 6;
	l.ts[0].port_start = l.ts[0].port_end = 443;
	ts_write(&w, &l);
	len = wr_len(&w);
	ck_assert_uint_eq(len, 4 + 16 + 40 + 16);
	ck_assert(ts_parse(rd_init(buf, len), &got));
	same(&got, &l);
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_msg(!ts_parse(rd_init(buf, cut), &got), "%zu", cut);
	ck_assert(!ts_parse(rd_init(buf, len + 1), &got));
	for (size_t at = 0; at < len; at++) {	/* no byte leads it astray */
		uint8_t was = buf[at];

		for (unsigned v = 0; v < 256; v++) {
			buf[at] = (uint8_t)v;
			if (ts_parse(rd_init(buf, len), &got))
				ck_assert_uint_le(got.n, TS_MAX);
		}
		buf[at] = was;
	}
}
END_TEST

/* R18: 64 selectors, not 65, not none. */
START_TEST(bounds)
{
	for (unsigned n = 0; n <= TS_MAX + 1; n++) {
		struct wr w = wr_init(buf, sizeof(buf));
		struct ts_list one = list(1, "10.0.0.0/8"), got;

		ts_write(&w, &one);
		for (unsigned i = 1; i < n; i++)
			wr_bytes(&w, buf + 4, 16);
		buf[0] = (uint8_t)n;
		ck_assert_int_eq(ts_parse(rd_init(buf, 4 + 16 * (size_t)n), &got),
		    n >= 1 && n <= TS_MAX);
	}
}
END_TEST

static bool
parses(struct ts ts, struct ts_list *got)
{
	struct ts_list l = { .n = 1, .ts = { ts } };
	struct wr w = wr_init(buf, sizeof(buf));

	ts_write(&w, &l);
	return ts_parse(rd_init(buf, wr_len(&w)), got);
}

START_TEST(ranges_that_run_backwards_are_refused)
{
	struct ts_list got;

	ck_assert(parses(sel("10.0.0.1", "10.0.0.1", 0, 0, 65535), &got));
	ck_assert(!parses(sel("10.0.0.2", "10.0.0.1", 0, 0, 65535), &got));
	ck_assert(!parses(sel("2001:db8::2", "2001:db8::1", 0, 0, 65535), &got));
	ck_assert(!parses(sel("10.0.0.1", "10.0.0.2", 6, 80, 79), &got));
	ck_assert(!parses(sel("10.0.0.1", "10.0.0.2", 6, 65535, 1), &got));
	ck_assert(parses(sel("10.0.0.1", "10.0.0.2", 6, 65535, 0), &got));
	ck_assert_uint_eq(got.n, 0);		/* OPAQUE: nothing we can serve */
}
END_TEST

START_TEST(unknown_types_are_skipped)
{
	struct ts_list l = list(2, "10.0.0.0/8", "10.1.0.0/16"), got;
	struct wr w = wr_init(buf, sizeof(buf));

	ts_write(&w, &l);
	for (unsigned type = 0; type < 256; type++) {
		bool ok;

		buf[4] = (uint8_t)type;
		ok = ts_parse(rd_init(buf, wr_len(&w)), &got);
		ck_assert_int_eq(ok, type != 8);	/* too short for two IPv6 addresses */
		if (ok)
			ck_assert_uint_eq(got.n, type == 7 ? 2 : 1);
	}
	buf[4] = 7;
	buf[7] = 7;				/* a length below the fixed part */
	ck_assert(!ts_parse(rd_init(buf, wr_len(&w)), &got));
}
END_TEST

START_TEST(narrowing)
{
	static const struct {
		const char *peer[3], *policy[3], *want[3];
	} cases[] = {
		{ { "0.0.0.0/0" }, { "10.0.0.0/16" }, { "10.0.0.0/16" } },
		{ { "10.0.0.0/16" }, { "0.0.0.0/0" }, { "10.0.0.0/16" } },
		{ { "10.0.0.0/8" }, { "10.1.0.0/16", "10.2.0.0/16" }, { "10.1.0.0/16", "10.2.0.0/16" } },
		{ { "10.1.0.0/16" }, { "192.168.0.0/16" }, { NULL } },
		{ { "10.1.0.0/16" }, { "::/0" }, { NULL } },
		{ { "0.0.0.0/0", "::/0" }, { "::/0" }, { "::/0" } },
		{ { "0.0.0.0/0", "::/0" }, { "0.0.0.0/0", "::/0" }, { "0.0.0.0/0", "::/0" } },
		/* the peer's first selector, from a packet, stays first */
		{ { "10.1.2.3/32", "10.1.0.0/16" }, { "10.0.0.0/8" }, { "10.1.2.3/32", "10.1.0.0/16" } },
		/* what is covered already is left out */
		{ { "10.1.0.0/16", "10.1.2.0/24" }, { "10.0.0.0/8" }, { "10.1.0.0/16" } },
	};

	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct ts_list l[3] = { 0 }, got;
		const char *const *text[3] = { cases[k].peer, cases[k].policy, cases[k].want };

		for (unsigned i = 0; i < 3; i++) {
			for (unsigned j = 0; j < 3 && text[i][j] != NULL; j++)
				l[i].ts[l[i].n++] = sel(text[i][j], NULL, 0, 0, 65535);
		}
		ck_assert_int_eq(ts_narrow(&l[0], &l[1], &got), l[2].n > 0);
		same(&got, &l[2]);
		ck_assert_int_eq(ts_within(&got, &l[0]), l[2].n > 0);
		ck_assert_int_eq(ts_within(&got, &l[1]), l[2].n > 0);
	}
}
END_TEST

START_TEST(narrowing_of_protocols_and_ports)
{
	struct ts_list peer = { .n = 1 }, policy = { .n = 1 }, got;

	peer.ts[0] = sel("10.0.0.5", "10.0.0.20", 0, 0, 65535);
	policy.ts[0] = sel("10.0.0.10", "10.0.0.30", 6, 100, 200);
	ck_assert(ts_narrow(&peer, &policy, &got));
	policy.ts[0] = sel("10.0.0.10", "10.0.0.20", 6, 100, 200);
	same(&got, &policy);
	peer.ts[0] = sel("10.0.0.0", "10.0.0.255", 6, 150, 300);
	ck_assert(ts_narrow(&peer, &policy, &got));
	ck_assert(got.ts[0].port_start == 150 && got.ts[0].port_end == 200);
	peer.ts[0].proto = 17;
	ck_assert(!ts_narrow(&peer, &policy, &got));
	peer.ts[0] = sel("10.0.0.0", "10.0.0.255", 6, 201, 300);
	ck_assert(!ts_narrow(&peer, &policy, &got));
}
END_TEST

/* Many by many does not run over. */
START_TEST(narrowing_is_bounded)
{
	struct ts_list peer = { .n = TS_MAX }, policy = { .n = TS_MAX }, got;
	char text[32];

	for (unsigned i = 0; i < TS_MAX; i++) {
		snprintf(text, sizeof(text), "10.0.%u.0/24", i);
		policy.ts[i] = sel(text, NULL, 0, 0, 65535);
		peer.ts[i] = sel("10.0.0.0", "10.0.255.255", (uint8_t)(i + 1), 0, 65535);
	}
	ck_assert(ts_narrow(&peer, &policy, &got));
	ck_assert_uint_eq(got.n, TS_MAX);
	ck_assert(ts_within(&got, &policy));
}
END_TEST

/* The initiator's check: narrowed is fine, widened in any way is not. */
START_TEST(an_answer_must_lie_within)
{
	struct ts_list ours = list(2, "10.0.0.0/16", "2001:db8::/32"), got, none = { 0 };

	got = list(1, "10.0.3.0/24");
	ck_assert(ts_within(&got, &ours));
	ck_assert(ts_within(&ours, &ours));
	ck_assert(!ts_within(&none, &ours));
	got = list(1, "10.0.0.0/15");
	ck_assert(!ts_within(&got, &ours));
	got = list(2, "10.0.3.0/24", "0.0.0.0/0");
	ck_assert(!ts_within(&got, &ours));
	got = list(1, "2001:db8::/31");
	ck_assert(!ts_within(&got, &ours));
	ours.ts[0].proto = 6;
	got = list(1, "10.0.3.0/24");
	ck_assert(!ts_within(&got, &ours));
	ours.ts[0].proto = 0;
	ours.ts[0].port_end = 1023;
	ck_assert(!ts_within(&got, &ours));
}
END_TEST

START_TEST(text_fits)
{
	struct ts_list l = list(2, "10.0.0.0/16", "2001:db8::/32"), none = { 0 };
	char text[64];

	ck_assert_str_eq(ts_list_str(&l, text, sizeof(text)), "10.0.0.0/16, 2001:db8::/32");
	ck_assert_str_eq(ts_list_str(&none, text, sizeof(text)), "none");
	ck_assert_str_eq(ts_list_str(&l, text, 20), "10.0.0.0/16...");
	for (size_t cap = 1; cap < sizeof(text); cap++)
		ck_assert_uint_lt(strlen(ts_list_str(&l, text, cap)), cap);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, lists_read_back_and_truncations_do_not);
	tcase_add_test(t, bounds);
	tcase_add_test(t, ranges_that_run_backwards_are_refused);
	tcase_add_test(t, unknown_types_are_skipped);
	tcase_add_test(t, narrowing);
	tcase_add_test(t, narrowing_of_protocols_and_ports);
	tcase_add_test(t, narrowing_is_bounded);
	tcase_add_test(t, an_answer_must_lie_within);
	tcase_add_test(t, text_fits);
}

UNIT_MAIN("ike/ts", fill)
