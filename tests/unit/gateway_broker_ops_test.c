/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "gateway/broker_ops.h"

#include "broker_rig.h"
#include "tun_ns.h"

/* What judges, and guards in a namespace of its own; the whole broker is in
 * tests/netns/broker_test.c. */

START_TEST(names_are_within_bounds)
{
	static const char *const good[] = { "td-office-aws", "eth0.100", "a", "A_z-9" };
	static const char *const bad[] = { "", ".", "..", "a/b", "../x", "a b", "a:1", "all", "default",
	    "td%d", "x\n", "\xc3\xa4" };
	struct host_request q;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		q = request(HOST_TUN_OPEN, good[i]);
		ck_assert_msg(broker_judge(&q) == NULL, "%s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		q = request(HOST_TUN_OPEN, bad[i]);
		ck_assert_msg(broker_judge(&q) != NULL, "\"%s\"", bad[i]);
		q = request(HOST_SYSCTL_SET, bad[i]);
		q.sysctl = HOST_SYSCTL_RP_FILTER;
		q.value = 2;
		ck_assert_msg(broker_judge(&q) != NULL, "sysctl of \"%s\"", bad[i]);
	}
}
END_TEST

START_TEST(guards_are_kept_off_the_default_route)
{
	/* Every other one may have a guard. */
	static const char *const pieces[] = { "0.0.0.0/1", "64.0.0.0/2", "128.0.0.0/1", "10.0.0.0/8",
	    "8000::/1", "fc00::/7", "2000::/3", "3000::/4" };
	struct host_request q = route("10.0.0.0/8", "", true);

	ck_assert_ptr_null(broker_judge(&q));
	q.metric = HOST_GUARD_METRIC;
	ck_assert_ptr_null(broker_judge(&q));
	q.metric = 50;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = route("0.0.0.0/0", "", true);
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = route("::/0", "", true);
	ck_assert_ptr_nonnull(broker_judge(&q));
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		q = route(pieces[i], "", true);
		ck_assert_msg((broker_judge(&q) == NULL) == (i % 2 == 1), "%s", pieces[i]);
	}
	q = route("10.0.0.0/8", "td0", true);
	ck_assert_ptr_nonnull(broker_judge(&q));
}
END_TEST

START_TEST(routes_are_well_formed)
{
	struct host_request q = route("0.0.0.0/0", "td0", false);

	ck_assert_ptr_null(broker_judge(&q));
	q = route("10.0.0.0/8", "", false);
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = route("10.0.0.0/8", "td0", false);
	q.metric = HOST_GUARD_METRIC;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = route("10.0.0.0/8", "td0", false);
	q.prefix.ip.b[3] = 1;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = request(HOST_ROUTE_ADD, "td0");
	ck_assert_ptr_nonnull(broker_judge(&q));
}
END_TEST

START_TEST(addresses_are_of_hosts)
{
	static const struct {
		const char *ip;
		uint8_t len;
		bool good;
	} cases[] = {
		{ "169.254.80.146", 30, true }, { "10.0.0.1", 32, true }, { "fd00::1", 126, true },
		{ "0.0.0.0", 8, false }, { "::", 64, false }, { "127.0.0.1", 8, false },
		{ "224.0.0.1", 4, false }, { "255.255.255.255", 32, false }, { "ff02::1", 64, false },
		{ "10.0.0.1", 0, false },
	};
	struct host_request q;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		q = request(HOST_ADDR_ADD, "td0");
		ck_assert(ip_parse(cases[i].ip, &q.prefix.ip));
		q.prefix.len = cases[i].len;
		ck_assert_msg((broker_judge(&q) == NULL) == cases[i].good, "%s/%u", cases[i].ip, cases[i].len);
	}
}
END_TEST

/* The list of sysctls is fixed, and so is each value: a stranger in the engine can only do what we do. */
START_TEST(sysctls_are_from_a_fixed_list)
{
	struct host_request q = request(HOST_SYSCTL_SET, "");

	ck_assert_ptr_nonnull(broker_judge(&q));
	for (int v = -1; v <= 3; v++) {
		q = request(HOST_SYSCTL_SET, "");
		q.value = v;
		q.sysctl = HOST_SYSCTL_FORWARD4;
		ck_assert_int_eq(broker_judge(&q) == NULL, v == 1);
		q.sysctl = HOST_SYSCTL_FORWARD6;
		ck_assert_int_eq(broker_judge(&q) == NULL, v == 1);
		q.sysctl = HOST_SYSCTL_RP_FILTER;
		ck_assert_ptr_nonnull(broker_judge(&q));
		memcpy(q.name, "eth0", 5);
		ck_assert_int_eq(broker_judge(&q) == NULL, v == 2);
		q.sysctl = HOST_SYSCTL_LINKDOWN;
		ck_assert_int_eq(broker_judge(&q) == NULL, v == 0 || v == 1);
		q.sysctl = HOST_SYSCTL_FORWARD4;
		ck_assert_ptr_nonnull(broker_judge(&q));
	}
}
END_TEST

START_TEST(sockets_and_links_are_within_range)
{
	struct host_request q = request(HOST_UDP_OPEN, "");

	ck_assert_ptr_nonnull(broker_judge(&q));
	q.local.port = 500;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q.local.ip.family = AF_INET6;
	ck_assert_ptr_null(broker_judge(&q));
	memcpy(q.name, "eth0", 5);
	ck_assert_ptr_nonnull(broker_judge(&q));
	q.name[0] = '\0';
	q.local.ip.b[15] = 1;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = request(HOST_LINK_SET, "td0");
	ck_assert_ptr_null(broker_judge(&q));
	q.mtu = 67;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q.mtu = 65536;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q.mtu = 1438;
	ck_assert_ptr_null(broker_judge(&q));
	q.op = (enum host_op)99;
	ck_assert_ptr_nonnull(broker_judge(&q));
}
END_TEST

/* What is not ours is not touched: links, addresses, routes and sysctls of other devices. */
START_TEST(only_devices_of_ours)
{
	static const enum host_op ops[] = { HOST_TUN_CLOSE, HOST_LINK_SET, HOST_ADDR_ADD,
	    HOST_ROUTE_ADD, HOST_ROUTE_DEL, HOST_SYSCTL_SET };
	struct record r = { .state = "/nonexistent/state" };
	struct host_request q;
	struct host_answer a;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		q = request(ops[i], "lo");
		ck_assert(ip_parse("10.0.0.1", &q.prefix.ip));
		q.prefix.len = 32;
		q.sysctl = HOST_SYSCTL_LINKDOWN;
		broker_execute(&r, &q, &a);
		ck_assert_msg(a.err == -ENODEV || a.err == -ENOENT, "op %d: %d", (int)ops[i], a.err);
		ck_assert_str_ne(a.text, "");
		ck_assert_int_eq(a.fd, -1);
	}
	ck_assert_uint_eq(r.n, 0);
}
END_TEST

/* Done and recorded once; asked for again it was there; undone once. */
START_TEST(what_is_asked_for_is_done_and_recorded)
{
	struct host_request q = route("10.7.0.0/16", "", true);
	struct nl_route list[4];
	struct host_answer a;
	struct record r;

	if (!own_netns())
		return;
	ck_assert_int_eq(record_init(&r, "/nonexistent/state"), 0);
	broker_execute(&r, &q, &a);
	ck_assert_int_eq(a.err, 0);
	ck_assert(!a.existed && a.fd == -1);
	ck_assert_uint_eq(r.n, 1);
	ck_assert(r.obj[0].wanted);
	ck_assert_int_eq(nl_route_list(r.nl, HOST_ROUTE_PROTO, list, 4), 1);
	ck_assert(list[0].unreachable && list[0].metric == HOST_GUARD_METRIC);
	q.id = 9;
	q.keep_guards = true;			/* a wish that has changed is remembered */
	broker_execute(&r, &q, &a);
	ck_assert(a.err == 0 && a.existed && a.id == 9 && a.op == HOST_ROUTE_ADD);
	ck_assert_uint_eq(r.n, 1);
	ck_assert(r.obj[0].what.keep_guards);
	q.op = HOST_ROUTE_DEL;
	broker_execute(&r, &q, &a);
	ck_assert_int_eq(a.err, 0);
	ck_assert_uint_eq(r.n, 0);
	ck_assert_int_eq(nl_route_list(r.nl, HOST_ROUTE_PROTO, list, 4), 0);
	broker_execute(&r, &q, &a);
	ck_assert_int_eq(a.err, -ENOENT);
	record_fini(&r);
}
END_TEST

/* What belongs to the loop, and what is not well formed, is refused with a sentence. */
START_TEST(other_requests_are_refused)
{
	static const enum host_op loops[] = { HOST_LIST, HOST_STOP, HOST_READY };
	struct record r = { .state = "/nonexistent/state" };
	struct host_request q;
	struct host_answer a;

	for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		q = request(loops[i], "");
		broker_execute(&r, &q, &a);
		ck_assert_int_eq(a.err, -EINVAL);
	}
	q = request(HOST_TUN_OPEN, "../x");
	broker_execute(&r, &q, &a);
	ck_assert_int_lt(a.err, 0);
	ck_assert_str_ne(a.text, "");
	ck_assert_uint_eq(r.n, 0);
}
END_TEST

static void
setup(void)
{
	log_level_set(LOG_LEVEL_ERROR);
}

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, names_are_within_bounds);
	tcase_add_test(t, guards_are_kept_off_the_default_route);
	tcase_add_test(t, routes_are_well_formed);
	tcase_add_test(t, addresses_are_of_hosts);
	tcase_add_test(t, sysctls_are_from_a_fixed_list);
	tcase_add_test(t, sockets_and_links_are_within_range);
	tcase_add_test(t, only_devices_of_ours);
	tcase_add_test(t, what_is_asked_for_is_done_and_recorded);
	tcase_add_test(t, other_requests_are_refused);
}

UNIT_MAIN("gateway/broker_ops", fill)
