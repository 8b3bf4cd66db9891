/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/broker_claim.h"
#include "gateway/hostcheck.h"
#include "tests/unit/tun_ns.h"
#include "tun/tun.h"
#include "tun/udp.h"

static const char devices[1][IFNAMSIZ] = { "td-office" };
static struct finding out[HOSTCHECK_MAX];
static size_t n;

/* The finding of a code, or NULL. */
static const struct finding *
look(const char *code)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(out[i].code, code) == 0)
			return &out[i];
	}
	return NULL;
}

static struct hostcheck_in
all_well(void)
{
	return (struct hostcheck_in){
		.device = devices, .device_n = 1, .port = { 500, 4500 }, .inside4 = true, .inside6 = true,
		.now = time(NULL),
	};
}

/* An uplink with a default route; forwarding on. */
static bool
make_host(void)
{
	struct nl_route r = { .device = "up0" };
	struct prefix p = { .len = 24 };
	struct nl *nl;

	if (!own_netns())
		return false;
	ck_assert_int_ge(tun_open("up0", 0), 0);
	ck_assert_ptr_nonnull(nl = nl_open());
	ck_assert_int_eq(nl_link_set(nl, "up0", true, 0), 0);
	ck_assert(ip_parse("192.0.2.1", &p.ip));
	ck_assert_int_eq(nl_addr(nl, true, "up0", &p, NULL), 0);
	r.to.ip.family = AF_INET;
	ck_assert_int_eq(nl_route(nl, true, &r), 0);
	nl_close(nl);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_FORWARD4, "", 1), 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_FORWARD6, "", 1), 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "all", 0), 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "up0", 0), 0);
	return true;
}

/* Run the finding's own command; it must mend. */
static void
obey(const char *code)
{
	const struct finding *f = look(code);

	ck_assert_msg(f != NULL, "%s was not found", code);
	ck_assert_msg(system(f->command) == 0, "%s", f->command);
}

static void
run(const struct hostcheck_in *in)
{
	n = hostcheck(in, out, HOSTCHECK_MAX);
}

START_TEST(a_good_host_has_no_findings)
{
	struct ip remote[2] = { { .family = AF_UNSPEC } };
	struct hostcheck_in in = all_well();

	if (!make_host())
		return;
	ck_assert(ip_parse("203.0.113.10", &remote[1]));
	in.remote = remote;
	in.remote_n = 2;
	run(&in);
	ck_assert_msg(n == 0, "%s: %s", n > 0 ? out[0].code : "", n > 0 ? out[0].sentence : "");
}
END_TEST

START_TEST(forwarding_off_is_found_and_mended)
{
	struct hostcheck_in in = all_well();

	if (!make_host())
		return;
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_FORWARD4, "", 0), 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_FORWARD6, "", 0), 0);
	run(&in);
	ck_assert_uint_eq(n, 2);
	obey("forward4-off");
	obey("forward6-off");
	run(&in);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_FORWARD6, "", 0), 0);
	in.inside6 = false;
	run(&in);
	ck_assert_uint_eq(n, 0);
}
END_TEST

/* Strict by the device or by `all`; named once for two tunnels over one uplink. */
START_TEST(a_strict_uplink_is_found_and_mended)
{
	struct hostcheck_in in = all_well();
	struct ip remote[2];

	if (!make_host())
		return;
	ck_assert(ip_parse("203.0.113.10", &remote[0]) && ip_parse("203.0.113.99", &remote[1]));
	in.remote = remote;
	in.remote_n = 2;
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "up0", 1), 0);
	run(&in);
	ck_assert_uint_eq(n, 1);
	ck_assert_ptr_nonnull(strstr(out[0].sentence, "up0"));
	obey("rp-filter-strict");
	run(&in);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "up0", 0), 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "all", 1), 0);
	run(&in);
	ck_assert_uint_eq(n, 1);
	obey("rp-filter-strict");
	run(&in);
	ck_assert_uint_eq(n, 0);
}
END_TEST

/* The name of a VLAN has a dot: the command must say which dots are which, and be said once. */
START_TEST(a_strict_vlan_is_mended)
{
	struct nl_route r = { .device = "up0.100" };
	struct hostcheck_in in = all_well();
	struct ip remote[2];
	struct nl *nl;

	if (!make_host())
		return;
	ck_assert_int_ge(tun_open("up0.100", 0), 0);
	ck_assert_ptr_nonnull(nl = nl_open());
	ck_assert_int_eq(nl_link_set(nl, "up0.100", true, 0), 0);
	ck_assert(prefix_parse("198.51.100.0/24", true, &r.to));
	ck_assert_int_eq(nl_route(nl, true, &r), 0);
	nl_close(nl);
	ck_assert(ip_parse("198.51.100.10", &remote[0]) && ip_parse("198.51.100.99", &remote[1]));
	in.remote = remote;
	in.remote_n = 2;
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "up0.100", 1), 0);
	run(&in);
	ck_assert_uint_eq(n, 1);
	obey("rp-filter-strict");
	run(&in);
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(a_missing_route_is_found)
{
	struct hostcheck_in in = all_well();
	struct ip remote;

	if (!make_host())
		return;
	ck_assert(ip_parse("2001:db8:1::1", &remote));
	in.remote = &remote;
	in.remote_n = 1;
	run(&in);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(out[0].code, "no-route");
	ck_assert_ptr_nonnull(strstr(out[0].sentence, "2001:db8:1::1"));
}
END_TEST

START_TEST(a_taken_port_is_found_with_its_process)
{
	struct endpoint at = { .ip.family = AF_INET6, .port = 4500 };
	struct hostcheck_in in = all_well();
	char pid[32];
	int fd;

	if (!make_host())
		return;
	ck_assert_int_ge(fd = udp_open(&at, NULL, 0), 0);
	run(&in);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(out[0].code, "port-taken");
	ck_assert_int_eq(out[0].severity, FINDING_ERROR);
	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	ck_assert_ptr_nonnull(strstr(out[0].sentence, "4500"));
	ck_assert_ptr_nonnull(strstr(out[0].sentence, pid));
	ck_assert_str_ne(out[0].command, "");
	close(fd);
	run(&in);
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(a_dropping_filter_is_found_and_mended)
{
	struct hostcheck_in in = all_well();

	if (!make_host() || access("/usr/sbin/nft", X_OK) != 0)
		return;
	ck_assert_int_eq(system("/usr/sbin/nft 'table ip guard { chain thru { type filter hook forward priority 0; "
	    "policy drop; }; chain local { type filter hook input priority 0; policy drop; }; }'"), 0);
	run(&in);
	ck_assert_uint_eq(n, 1);
	ck_assert_ptr_nonnull(strstr(out[0].sentence, "ip guard thru"));
	obey("filter-forward");
	run(&in);
	ck_assert_msg(n == 0, "%s", n > 0 ? out[0].sentence : "");
}
END_TEST

/* A rule for one of our devices by name is enough, one for another is not. */
START_TEST(rules_are_read)
{
	static const char fmt[] = "{\"nftables\": [{\"metainfo\": {}}, {\"chain\": {\"family\": \"%s\", \"table\": "
	    "\"t\", \"name\": \"c\", \"hook\": \"forward\", \"policy\": \"drop\"}}, {\"rule\": {\"family\": \"%s\", "
	    "\"table\": \"%s\", \"chain\": \"c\", \"expr\": [{\"match\": {\"right\": \"%s\"}}]}}]}";
	static const struct {
		const char *family, *rule_family, *table, *device;
		size_t found;
	} cases[] = {
		{ "ip", "ip", "t", "td-office", 0 }, { "ip", "ip", "t", "td-*", 0 },
		{ "ip", "ip", "t", "eth0", 1 }, { "ip", "ip", "u", "td-office", 1 },
		{ "ip", "inet", "t", "td-office", 1 }, { "ip6", "ip", "t", "x", 0 }, { "inet", "inet", "t", "x", 1 },
	};
	struct hostcheck_in in = all_well();
	char text[1024];

	in.inside6 = false;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), fmt, cases[i].family, cases[i].rule_family, cases[i].table,
		    cases[i].device);
		ck_assert_msg(hostcheck_ruleset(&in, text, strlen(text), out, 0, HOSTCHECK_MAX) == cases[i].found,
		    "case %zu", i);
	}
	for (size_t len = 0; len < strlen(text); len++) {
		n = hostcheck_ruleset(&in, text, len, out, 0, HOSTCHECK_MAX);
		ck_assert_uint_eq(n, 1);
		ck_assert_str_eq(out[0].code, "filter-unknown");
	}
}
END_TEST

START_TEST(a_clock_far_off_is_found)
{
	struct hostcheck_in in = all_well();

	if (!make_host())
		return;
	in.now = 86400;
	run(&in);
	ck_assert_ptr_nonnull(look("clock"));
	in.now = 4200000000;
	run(&in);
	ck_assert_ptr_nonnull(look("clock"));
}
END_TEST

START_TEST(there_is_room_for_so_many)
{
	struct hostcheck_in in = all_well();

	if (!make_host())
		return;
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_FORWARD4, "", 0), 0);
	in.now = 0;
	ck_assert_uint_eq(hostcheck(&in, out, 1), 1);
	ck_assert_uint_eq(hostcheck(&in, out, 0), 0);
	n = hostcheck(&in, out, HOSTCHECK_MAX);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(out[0].severity, FINDING_ERROR);
	ck_assert_int_eq(out[1].severity, FINDING_WARN);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_good_host_has_no_findings);
	tcase_add_test(t, forwarding_off_is_found_and_mended);
	tcase_add_test(t, a_strict_uplink_is_found_and_mended);
	tcase_add_test(t, a_strict_vlan_is_mended);
	tcase_add_test(t, a_missing_route_is_found);
	tcase_add_test(t, a_taken_port_is_found_with_its_process);
	tcase_add_test(t, a_dropping_filter_is_found_and_mended);
	tcase_add_test(t, rules_are_read);
	tcase_add_test(t, a_clock_far_off_is_found);
	tcase_add_test(t, there_is_room_for_so_many);
}

UNIT_MAIN("hostcheck", fill)
