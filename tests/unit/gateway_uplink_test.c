/* SPDX-License-Identifier: MIT */
#include "gateway_tap.h"

/* What lies below the tunnels, as the kernel tells it: which tunnels are told what. */

static void
way_to(const char *to, const char *device, unsigned mtu, bool carrier)
{
	struct ip ip = ip_of(to);
	unsigned i = 0;

	while (i < tap.way_n && !ip_equal(&tap.way[i].to, &ip))
		i++;
	ck_assert_uint_lt(i, 8);
	tap.way[i].to = ip;
	tap.way[i].err = 0;
	snprintf(tap.way[i].way.device, IFNAMSIZ, "%s", device);
	tap.way[i].way.mtu = mtu;
	tap.way[i].way.carrier = carrier;
	tap.way_n = i == tap.way_n ? i + 1 : tap.way_n;
}

/* Both addresses are here, and both peers of both connections can be reached by eth0 or eth1. */
static void
begin(const char *yaml)
{
	tap_new(yaml);
	tap.here[0] = ip_of("192.0.2.2");
	tap.here[1] = ip_of("2001:db8::7");
	tap.here[2] = ip_of("192.0.2.1");
	tap.here_n = 3;
	way_to("203.0.113.11", "eth0", 1500, true);
	way_to("203.0.113.12", "eth1", 1500, true);
	way_to("203.0.113.21", "eth0", 1500, true);
	way_to("203.0.113.22", "eth1", 1500, true);
	uplink_look(&tap.r.g);
	(void)heard_of("");
	tap.log[0] = '\0';
	tap.listed = 0;
}

static void
setup(void)
{
	begin(tap_yaml);
}

START_TEST(nothing_new_is_nothing_told)
{
	uplink_look(&tap.r.g);
	expect_said("", "");
	ck_assert_uint_eq(tap.listed, 1);	/* one list for all tunnels */
	ck_assert_str_eq(tap.log, "");
}
END_TEST

/* The address that two tunnels have is gone, and later there again. */
START_TEST(a_missing_address_is_told_to_its_tunnels)
{
	tap.here[0] = ip_of("192.0.2.9");
	uplink_look(&tap.r.g);
	expect_said("", "ike address office/2 gone\n"
	    "mon carrier office/2 gone\n"
	    "ike address branch/2 gone\n"
	    "mon carrier branch/2 gone\n");
	ck_assert(!tunnel(1)->present && !tunnel(1)->carrier && tunnel(0)->present);
	ck_assert(logged("address-missing connection=branch tunnel=2", "waiting for it"));
	uplink_look(&tap.r.g);
	expect_said("", "");			/* once */
	tap.here[0] = ip_of("192.0.2.2");
	uplink_look(&tap.r.g);
	expect_said("", "ike address office/2 there\n"
	    "mon carrier office/2 there\n"
	    "ike address branch/2 there\n"
	    "mon carrier branch/2 there\n");
	ck_assert(tunnel(1)->present && tunnel(1)->carrier);
	ck_assert(logged("address-present connection=office tunnel=2", NULL));
}
END_TEST

START_TEST(a_lost_carrier_is_told_to_the_monitor_alone)
{
	way_to("203.0.113.11", "eth0", 1500, false);
	uplink_look(&tap.r.g);
	expect_said("", "mon carrier office/1 gone\n");
	ck_assert(tunnel(0)->present && !tunnel(0)->carrier);
	ck_assert(logged("uplink-down connection=office tunnel=1", "carrier"));
	way_to("203.0.113.11", "eth0", 1500, true);
	uplink_look(&tap.r.g);
	expect_said("", "mon carrier office/1 there\n");
	ck_assert(logged("uplink-up connection=office tunnel=1", NULL));
}
END_TEST

/* Where nothing is routed to the peer, our address there does not help. */
START_TEST(no_route_is_no_uplink)
{
	tap.way[2].err = -ENETUNREACH;
	tap.way[2].way.carrier = true;		/* whatever the answer holds */
	uplink_look(&tap.r.g);
	expect_said("", "ike address branch/1 gone\nmon carrier branch/1 gone\n");
	tap.way[2].err = 0;
	uplink_look(&tap.r.g);
	expect_said("", "ike address branch/1 there\nmon carrier branch/1 there\n");
}
END_TEST

/* The device, once for both sizes, and the path of that connection alone. */
START_TEST(another_mtu_makes_the_path_anew)
{
	way_to("203.0.113.11", "eth0", 1400, true);
	way_to("203.0.113.12", "eth1", 1300, true);
	uplink_look(&tap.r.g);
	expect_said("", "host link-set td-office up 1238\nesp path\n");
	ck_assert_uint_eq(tunnel(0)->outer_mtu, 1400);
	ck_assert_uint_eq(tunnel(1)->outer_mtu, 1300);
	ck_assert_uint_eq(tap.path->t[0].mtu, 1338);
	ck_assert_uint_eq(tap.path->t[1].mtu, 1238);
	way_to("203.0.113.12", "eth1", 0, true);	/* the kernel does not say: as it was */
	uplink_look(&tap.r.g);
	expect_said("", "");
	ck_assert_uint_eq(tunnel(1)->outer_mtu, 1300);
	/* of a way that is not there nothing is learned */
	way_to("203.0.113.12", "eth1", 900, true);
	tap.way[1].err = -EHOSTUNREACH;
	uplink_look(&tap.r.g);
	expect_said("host", "");
	ck_assert_uint_eq(tunnel(1)->outer_mtu, 1300);
}
END_TEST

START_TEST(an_uplink_is_loosened_where_the_host_is_managed)
{
	static char managed[sizeof(tap_yaml) + 20];

	tap_free();
	snprintf(managed, sizeof(managed), "host: manage\n%s", tap_yaml);
	begin(managed);
	uplink_look(&tap.r.g);
	expect_said("", "");
	way_to("203.0.113.11", "wwan0", 1500, true);
	uplink_look(&tap.r.g);
	expect_said("", "host sysctl-set rp_filter wwan0 2\n");
}
END_TEST

/* `local` is not written: whatever the kernel picks is there. */
START_TEST(an_address_that_is_not_configured_is_not_missed)
{
	tap_free();
	begin("connections:\n  office:\n    networks: [10.20.0.0/16]\n    psk-file: key\n"
	    "    local-id: a.example\n    tunnels: [{remote: 203.0.113.11}, {remote: 203.0.113.12}]\n");
	tap.here_n = 0;
	uplink_look(&tap.r.g);
	expect_said("ike", "");
	ck_assert(tunnel(0)->present);
}
END_TEST

/* What the peer must not claim to be is made anew when it is another, and only then. */
START_TEST(other_addresses_make_the_path_anew)
{
	struct ip ours = ip_of("10.20.0.1");

	ck_assert_uint_eq(tap.path->own_n, 2);		/* one of each family to answer from */
	tap.here[tap.here_n++] = ours;			/* in the networks of office alone */
	uplink_look(&tap.r.g);
	expect_said("", "esp path\nesp path\n");	/* branch: another first address */
	uplink_look(&tap.r.g);
	expect_said("", "");
	tap.here[tap.here_n++] = ip_of("203.0.113.250");	/* nobody could claim that */
	uplink_look(&tap.r.g);
	expect_said("", "");
	tap.here_n = 3;
	tap.here[tap.here_n++] = ip_of("10.20.0.2");
	uplink_look(&tap.r.g);
	expect_said("", "esp path\nesp path\n");
}
END_TEST

/* What could not be listed is not missing: look again, soon. */
START_TEST(a_list_that_cannot_be_had_says_nothing)
{
	tap.here_n = -EINTR;
	uplink_look(&tap.r.g);
	expect_said("", "");
	ck_assert(tunnel(0)->present && tunnel(3)->present);
	ck_assert_uint_eq(tap.r.g.look_at, tap.r.g.look_next);
	ck_assert_uint_gt(tap.r.g.look_at, tap.now);
	ck_assert_uint_le(tap.r.g.look_at, tap.now + USEC_MS(100));
	tap.here_n = 0;
	uplink_look(&tap.r.g);
	ck_assert(!tunnel(0)->present && !tunnel(3)->present);
	ck_assert_uint_eq(tap.r.g.look_at, USEC_NEVER);	/* the kernel will have news */
	ck_assert_uint_gt(tap.r.g.look_next, tap.now);	/* which may not come too thick */
}
END_TEST

/* A host with more addresses than were thought of: asked again with room for all. */
START_TEST(any_number_of_addresses_is_seen)
{
	char text[32];

	for (int i = 0; i < TAP_HERE; i++) {
		sprintf(text, "198.51.100.%d", i);
		tap.here[i] = ip_of(text);
	}
	tap.here[TAP_HERE - 3] = ip_of("2001:db8::7");
	tap.here[TAP_HERE - 1] = ip_of("192.0.2.1");
	tap.here[TAP_HERE - 2] = ip_of("192.0.2.2");
	tap.here_n = TAP_HERE;
	uplink_look(&tap.r.g);
	expect_said("", "");
	ck_assert_uint_eq(tap.listed, 2);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, tap_free);
	tcase_add_test(t, nothing_new_is_nothing_told);
	tcase_add_test(t, a_missing_address_is_told_to_its_tunnels);
	tcase_add_test(t, a_lost_carrier_is_told_to_the_monitor_alone);
	tcase_add_test(t, no_route_is_no_uplink);
	tcase_add_test(t, another_mtu_makes_the_path_anew);
	tcase_add_test(t, an_uplink_is_loosened_where_the_host_is_managed);
	tcase_add_test(t, an_address_that_is_not_configured_is_not_missed);
	tcase_add_test(t, other_addresses_make_the_path_anew);
	tcase_add_test(t, a_list_that_cannot_be_had_says_nothing);
	tcase_add_test(t, any_number_of_addresses_is_seen);
}

UNIT_MAIN("gateway/uplink", fill)
