/* SPDX-License-Identifier: MIT */
#include "base/addr.h"

#include <string.h>

#include "unit.h"

static struct ip
ip(const char *text)
{
	struct ip a;

	ck_assert_msg(ip_parse(text, &a), "%s", text);
	return a;
}

static struct prefix
prefix(const char *text)
{
	struct prefix p;

	ck_assert_msg(prefix_parse(text, true, &p), "%s", text);
	return p;
}

START_TEST(addresses_survive_text)
{
	static const char *const good[] = { "0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1",
		"2001:db8::1", "fe80::1:2", "::ffff:192.0.2.1",
		"2001:db8:1111:2222:3333:4444:5555:6666" };
	char buf[IP_STRLEN];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct ip a = ip(good[i]);

		ck_assert_str_eq(ip_str(&a, buf), good[i]);
	}
}
END_TEST

START_TEST(what_is_not_an_address_is_refused)
{
	static const char *const bad[] = { "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4 ",
		" 1.2.3.4", "01.2.3.4", "1.2.3.4/8", "localhost", ":", ":::", "1::2::3", "2001:db8::g",
		"fe80::1%lo", "[::1]", "1:2:3:4:5:6:7:8:9", "12345::" };
	static const struct ip none;
	struct ip a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!ip_parse(bad[i], &a), "%s", bad[i]);
		ck_assert_mem_eq(&a, &none, sizeof(a));
	}
}
END_TEST

START_TEST(addresses_compare_by_family_and_bytes)
{
	struct ip none = { 0 }, a = ip("10.0.0.1"), b = ip("10.0.0.2"), c = ip("::");

	ck_assert(ip_equal(&a, &a));
	ck_assert(!ip_equal(&a, &b));
	ck_assert_int_lt(ip_cmp(&a, &b), 0);
	ck_assert_int_gt(ip_cmp(&b, &a), 0);
	ck_assert_int_lt(ip_cmp(&b, &c), 0);
	ck_assert(ip_equal(&none, &none));
	ck_assert(!ip_equal(&none, &c));
	ck_assert(ip_is_any(&none));
	ck_assert(ip_is_any(&c));
	ck_assert(!ip_is_any(&a));
	c.b[15] = 1;
	ck_assert(!ip_is_any(&c));
}
END_TEST

START_TEST(prefixes_are_read)
{
	struct prefix p = prefix("10.1.0.0/16");
	char buf[PREFIX_STRLEN];

	ck_assert_uint_eq(p.len, 16);
	ck_assert_str_eq(prefix_str(&p, buf), "10.1.0.0/16");
	p = prefix("192.0.2.7");
	ck_assert_str_eq(prefix_str(&p, buf), "192.0.2.7/32");
	p = prefix("2001:db8::/33");
	ck_assert_str_eq(prefix_str(&p, buf), "2001:db8::/33");
	p = prefix("::1");
	ck_assert_str_eq(prefix_str(&p, buf), "::1/128");
	p = prefix("0.0.0.0/0");
	ck_assert_str_eq(prefix_str(&p, buf), "0.0.0.0/0");
}
END_TEST

START_TEST(host_bits_are_refused_or_cleared)
{
	struct prefix p;
	char buf[PREFIX_STRLEN];

	ck_assert(!prefix_parse("10.1.128.1/17", true, &p));
	ck_assert(prefix_parse("10.1.128.1/17", false, &p));
	ck_assert_str_eq(prefix_str(&p, buf), "10.1.128.0/17");
	ck_assert(prefix_parse("10.1.255.255/19", false, &p));
	ck_assert_str_eq(prefix_str(&p, buf), "10.1.224.0/19");
	ck_assert(!prefix_parse("2001:db8::1/127", true, &p));
	ck_assert(prefix_parse("2001:db8::1/127", false, &p));
	ck_assert_str_eq(prefix_str(&p, buf), "2001:db8::/127");
}
END_TEST

START_TEST(what_is_not_a_prefix_is_refused)
{
	static const char *const bad[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
		"10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8 ", "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0.0/256",
		"10.0.0.0/4294967304", "::/129", "::/1000", "10/8", "x/8",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/8" };
	static const struct prefix none;
	struct prefix p;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!prefix_parse(bad[i], false, &p), "%s", bad[i]);
		ck_assert_mem_eq(&p, &none, sizeof(p));
	}
}
END_TEST

START_TEST(a_prefix_has_its_own_addresses_only)
{
	static const struct {
		const char *prefix, *ip;
		bool has;
	} cases[] = {
		{ "10.1.0.0/16", "10.1.0.0", true }, { "10.1.0.0/16", "10.1.255.255", true },
		{ "10.1.0.0/16", "10.2.0.0", false }, { "10.1.0.0/16", "10.0.255.255", false },
		{ "10.1.128.0/17", "10.1.127.255", false }, { "10.1.128.0/17", "10.1.128.0", true },
		{ "0.0.0.0/0", "255.1.2.3", true }, { "0.0.0.0/0", "::1", false },
		{ "::/0", "1.2.3.4", false }, { "::/0", "ffff::", true },
		{ "2001:db8::/127", "2001:db8::1", true }, { "2001:db8::/127", "2001:db8::2", false },
		{ "192.0.2.7/32", "192.0.2.7", true }, { "192.0.2.7/32", "192.0.2.6", false },
	};
	struct ip none = { 0 };
	struct prefix nowhere = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prefix p = prefix(cases[i].prefix);
		struct ip a = ip(cases[i].ip);

		ck_assert_msg(prefix_has(&p, &a) == cases[i].has, "%s %s", cases[i].prefix, cases[i].ip);
	}
	ck_assert(!prefix_has(&nowhere, &none));
}
END_TEST

START_TEST(equal_prefixes_have_address_and_length_alike)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{ "10.1.0.0/16", "10.1.0.0/16", true }, { "10.1.0.0/16", "10.1.0.0/17", false },
		{ "10.1.0.0/16", "10.2.0.0/16", false }, { "0.0.0.0/0", "::/0", false },
		{ "2001:db8::/127", "2001:db8::/127", true }, { "192.0.2.7", "192.0.2.7/32", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prefix a = prefix(cases[i].a), b = prefix(cases[i].b);

		ck_assert_msg(prefix_equal(&a, &b) == cases[i].equal, "%s %s", cases[i].a, cases[i].b);
	}
}
END_TEST

START_TEST(overlap_is_containment_either_way)
{
	struct prefix wide = prefix("10.0.0.0/8"), narrow = prefix("10.1.0.0/16"),
	    other = prefix("11.0.0.0/8"), v6 = prefix("::/0"), all = prefix("0.0.0.0/0");

	ck_assert(prefix_overlap(&wide, &narrow));
	ck_assert(prefix_overlap(&narrow, &wide));
	ck_assert(prefix_overlap(&wide, &wide));
	ck_assert(prefix_overlap(&all, &other));
	ck_assert(!prefix_overlap(&wide, &other));
	ck_assert(!prefix_overlap(&other, &narrow));
	ck_assert(!prefix_overlap(&v6, &all));
}
END_TEST

START_TEST(endpoints_survive_socket_addresses)
{
	struct endpoint e = { .ip = ip("192.0.2.1"), .port = 4500 }, back;
	struct sockaddr_storage ss;
	char buf[ENDPOINT_STRLEN];

	ck_assert_str_eq(endpoint_str(&e, buf), "192.0.2.1:4500");
	ck_assert_uint_gt(ip_to_sockaddr(&e, &ss), 0);
	ck_assert(ip_from_sockaddr((struct sockaddr *)&ss, &back));
	ck_assert(endpoint_equal(&e, &back));
	e.ip = ip("2001:db8:1111:2222:3333:4444:5555:6666");
	e.port = 500;
	ck_assert_str_eq(endpoint_str(&e, buf), "[2001:db8:1111:2222:3333:4444:5555:6666]:500");
	ck_assert_uint_gt(ip_to_sockaddr(&e, &ss), 0);
	ck_assert(ip_from_sockaddr((struct sockaddr *)&ss, &back));
	ck_assert(endpoint_equal(&e, &back));
	back.port--;
	ck_assert(!endpoint_equal(&e, &back));
	memset(&e, 0, sizeof(e));
	ck_assert_uint_eq(ip_to_sockaddr(&e, &ss), 0);
	ck_assert_str_eq(endpoint_str(&e, buf), "any");
	ck_assert_str_eq(ip_str(&e.ip, buf), "any");
	ss.ss_family = AF_UNIX;
	ck_assert(!ip_from_sockaddr((struct sockaddr *)&ss, &back));
}
END_TEST

START_TEST(a_selector_of_a_prefix_is_its_range)
{
	struct prefix p = prefix("10.1.128.0/17");
	struct ts ts = ts_from_prefix(&p);
	struct ip first = ip("10.1.128.0"), last = ip("10.1.255.255"), out = ip("10.2.0.0"),
	    before = ip("10.1.127.255"), v6 = ip("::1"), none = { 0 };
	char buf[TS_STRLEN];

	ck_assert(ip_equal(&ts.start, &first));
	ck_assert(ip_equal(&ts.end, &last));
	ck_assert(ts_has_ip(&ts, &first));
	ck_assert(ts_has_ip(&ts, &last));
	ck_assert(!ts_has_ip(&ts, &out));
	ck_assert(!ts_has_ip(&ts, &before));
	ck_assert(!ts_has_ip(&ts, &v6));
	ck_assert(!ts_has_ip(&ts, &none));
	ck_assert_str_eq(ts_str(&ts, buf), "10.1.128.0/17");
}
END_TEST

START_TEST(a_list_covers_address_protocol_and_port)
{
	struct prefix a = prefix("10.0.0.0/24"), b = prefix("10.0.1.0/24");
	struct ts_list l = { .n = 2, .ts = { ts_from_prefix(&a), ts_from_prefix(&b) } };
	struct ip in_a = ip("10.0.0.9"), in_b = ip("10.0.1.9"), outside = ip("10.0.2.0");

	l.ts[1].proto = 6;
	l.ts[1].port_start = 80;
	l.ts[1].port_end = 90;
	ck_assert(ts_list_covers(&l, &in_a, 0, 0));
	ck_assert(ts_list_covers(&l, &in_a, 17, 65535));
	ck_assert(ts_list_covers(&l, &in_b, 6, 80));
	ck_assert(ts_list_covers(&l, &in_b, 6, 90));
	ck_assert(!ts_list_covers(&l, &in_b, 6, 79));
	ck_assert(!ts_list_covers(&l, &in_b, 6, 91));
	ck_assert(!ts_list_covers(&l, &in_b, 17, 80));
	ck_assert(!ts_list_covers(&l, &outside, 6, 80));
	l.n = 0;
	ck_assert(!ts_list_covers(&l, &in_a, 6, 80));
}
END_TEST

START_TEST(selectors_print_as_people_write_them)
{
	struct prefix p = prefix("10.0.0.0/24");
	struct ts ts = ts_from_prefix(&p);
	char buf[TS_STRLEN];

	ts.proto = 6;
	ck_assert_str_eq(ts_str(&ts, buf), "10.0.0.0/24[tcp]");
	ts.port_start = ts.port_end = 443;
	ck_assert_str_eq(ts_str(&ts, buf), "10.0.0.0/24[tcp/443]");
	ts.port_end = 444;
	ts.proto = 132;
	ck_assert_str_eq(ts_str(&ts, buf), "10.0.0.0/24[132/443-444]");
	ts.proto = 0;
	ts.start = ip("10.0.0.1");
	ts.end = ip("10.0.0.9");
	ck_assert_str_eq(ts_str(&ts, buf), "10.0.0.1-10.0.0.9[any/443-444]");
	ts.end = ts.start;
	ts.port_start = 0;
	ts.port_end = 65535;
	ck_assert_str_eq(ts_str(&ts, buf), "10.0.0.1/32");
	/* the longest there is */
	ts = (struct ts){ .start = ip("2001:db8:1111:2222:3333:4444:5555:6666"),
		.end = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), .proto = 255,
		.port_start = 10000, .port_end = 65535 };
	ck_assert_str_eq(ts_str(&ts, buf), "2001:db8:1111:2222:3333:4444:5555:6666-"
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe[255/10000-65535]");
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, addresses_survive_text);
	tcase_add_test(t, what_is_not_an_address_is_refused);
	tcase_add_test(t, addresses_compare_by_family_and_bytes);
	tcase_add_test(t, prefixes_are_read);
	tcase_add_test(t, host_bits_are_refused_or_cleared);
	tcase_add_test(t, what_is_not_a_prefix_is_refused);
	tcase_add_test(t, a_prefix_has_its_own_addresses_only);
	tcase_add_test(t, equal_prefixes_have_address_and_length_alike);
	tcase_add_test(t, overlap_is_containment_either_way);
	tcase_add_test(t, endpoints_survive_socket_addresses);
	tcase_add_test(t, a_selector_of_a_prefix_is_its_range);
	tcase_add_test(t, a_list_covers_address_protocol_and_port);
	tcase_add_test(t, selectors_print_as_people_write_them);
}

UNIT_MAIN("base/addr", fill)
