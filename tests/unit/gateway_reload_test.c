/* SPDX-License-Identifier: MIT */
#include "gateway_tap.h"

/* A new configuration becomes what differs from the old one, in an order in which nothing gets in
 * the way of anything, and what it does not mention is not touched. */

static char summary[512];

/* Write the file and reload. */
static bool
reload(const char *yaml)
{
	struct config_errors errors, warnings;
	bool good;

	rig_file(&tap.r, "tandem.yaml", yaml);
	(void)heard_of("");
	tap.log[0] = '\0';
	good = gw_reload(&tap.r.g, &errors, &warnings, summary, sizeof(summary));
	ck_assert(errors.n == 0 || !good);
	config_errors_free(&errors);
	config_errors_free(&warnings);
	return good;
}

/* tap_yaml with its first `from` replaced; "": as it is. */
static const char *
swap(const char *from, const char *to)
{
	static char text[sizeof(tap_yaml) + 1024];
	const char *at = strstr(tap_yaml, from);

	ck_assert_ptr_nonnull(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - tap_yaml), tap_yaml, to, at + strlen(from));
	return text;
}

static void
setup(void)
{
	tap_new(tap_yaml);
	tap.here[0] = ip_of("192.0.2.1");
	tap.here[1] = ip_of("192.0.2.2");
	tap.here_n = 2;
	for (unsigned i = 0; i < CONFIG_TUNNELS * 2; i++) {
		tap.way[i].to = tunnel(i)->conf->remote;
		tap.way[i].way = (struct nl_way){ .mtu = 1500, .carrier = true };
	}
	tap.way_n = CONFIG_TUNNELS * 2;
	uplink_look(&tap.r.g);
}

/* Every connection and tunnel looks at the configuration that holds now. */
static void
all_look_at_the_new(void)
{
	const struct config *to = tap.r.g.config;
	size_t n = 0;

	for (struct gw_connection *c = tap.r.g.connections; c != NULL; c = c->next, n++) {
		ck_assert(c->conf >= to->connection && c->conf < to->connection + to->connection_n);
		for (unsigned i = 0; i < CONFIG_TUNNELS; i++)
			ck_assert_ptr_eq(c->t[i].conf, &c->conf->tunnel[i]);
	}
	ck_assert_uint_eq(n, to->connection_n);
	ck_assert_ptr_null(tap.r.g.next);
}

START_TEST(the_same_file_changes_nothing)
{
	struct gw_connection *c = tap.r.g.connections, was = *c, was2 = *c->next;
	const struct config *old = tap.r.g.config;

	ck_assert(reload(tap_yaml));
	ck_assert_str_eq(summary, "nothing changed");
	expect_said("", "");
	ck_assert(logged("reloaded", "nothing changed"));
	ck_assert_ptr_ne(tap.r.g.config, old);
	ck_assert_ptr_eq(tap.r.g.connections, c);	/* the same ones, with the same ids */
	ck_assert_uint_eq(c->id, was.id);
	ck_assert_uint_eq(c->t[1].id, was.t[1].id);
	ck_assert_uint_eq(c->next->id, was2.id);
	all_look_at_the_new();
}
END_TEST

/* One goes, one comes, one changes: the one that goes first, since the one that comes may take its
 * device or network, and the third is where it was. */
START_TEST(each_change_is_one_operation_in_order)
{
	struct gw_connection *branch = tap.r.g.connections->next;
	static const char yaml[] =
	    "connections:\n"
	    "  alpha:\n    device: td-office\n    preset: tandem\n    guard: always\n"
	    "    networks: [10.20.0.0/16]\n"
	    TAP_TUNNELS_OF("1")
	    "  branch:\n    preset: tandem\n    mode: add\n    hold: 7s\n"
	    "    networks: [10.30.0.0/16]\n" TAP_TUNNELS_OF("2");

	ck_assert(reload(yaml));
	ck_assert_str_eq(summary, "office: removed; alpha: added; branch: changed in place (hold)");
	expect_said("",
	    "ike del office/1\nesp tunnel-del office/1\n"
	    "ike del office/2\nesp tunnel-del office/2\n"
	    "mon del office\nesp path-del\nworker device-del\nhost tun-close td-office\n"
	    "host route-add 10.20.0.0/16 guard kept\n"	/* of alpha now: without a gap */
	    "host route-add 10.20.0.0/16 guard kept\n"
	    "host tun-open td-office\nhost sysctl-set rp_filter td-office 2\n"
	    "host link-set td-office up 1438\n"
	    "host addr-add td-office 169.254.1.1/30\nhost addr-add td-office 169.254.1.5/30\n"
	    "host route-add 10.20.0.0/16 td-office 100\n"
	    "esp path\nmon set alpha\nike set alpha/1\nike set alpha/2\n"
	    "esp path\nmon set branch\nike set branch/1\nike set branch/2\n"
	    "esp path\n");				/* the uplinks of the new one are looked at */
	ck_assert_ptr_eq(gw_connection_find(&tap.r.g, "branch"), branch);
	ck_assert_ptr_null(gw_connection_find(&tap.r.g, "office"));
	ck_assert_ptr_nonnull(gw_connection_find(&tap.r.g, "alpha"));
	all_look_at_the_new();
}
END_TEST

/* Addresses and secrets make other tunnels; nothing of the old ones is taken over. */
START_TEST(what_cannot_change_in_place_is_made_anew)
{
	uint32_t id = tunnel(0)->id;

	ck_assert(reload(swap("remote: 203.0.113.12", "remote: 203.0.113.99")));
	ck_assert_int_eq(strncmp(summary, "office: negotiated anew (remote of tunnel 2", 40), 0);
	ck_assert_ptr_null(gw_tunnel_find(&tap.r.g, id));
	ck_assert_ptr_nonnull(strstr(heard_of("ike"),
	    "ike del office/1\nike del office/2\nike set office/1\nike set office/2\n"));
	all_look_at_the_new();
}
END_TEST

START_TEST(suites_are_rekeyed)
{
	tunnel(0)->up = true;
	ck_assert(reload(swap("preset: tandem\n", "preset: tandem\n    lifetime: 2h\n")));
	ck_assert_str_eq(summary, "office: changed and rekeyed (lifetime)");
	expect_said("ike", "ike set office/1\nike rekey office/1 ike\n"
	    "ike rekey office/1 child\nike set office/2\n");
	all_look_at_the_new();
}
END_TEST

/* Of the gateway itself: the level of the log at once, forwarding for all; ports only say so. */
START_TEST(the_gateway_changes_too)
{
	ck_assert(reload(swap("connections:", "log: warn\nhost: manage\nconnections:")));
	ck_assert_str_eq(summary, "gateway: gateway changed (log, host)");
	expect_said("host", "host sysctl-set forward4 1\nhost sysctl-set forward4 1\n");
	ck_assert(!log_is_on(LOG_LEVEL_NOTICE));
	ck_assert(reload(swap("connections:", "log: info\nport: 501\nconnections:")));
	ck_assert_str_eq(summary, "gateway: needs a restart of the daemon (log, host, port)");
	ck_assert_uint_eq(tap.r.g.port, 500);		/* the sockets are open */
	ck_assert(log_is_on(LOG_LEVEL_NOTICE));		/* this one need not wait for it */
}
END_TEST

START_TEST(a_mistake_changes_nothing)
{
	const struct config *old = tap.r.g.config;

	ck_assert(!reload(swap("networks", "netwroks")));
	ck_assert_str_eq(summary, "");
	ck_assert(logged("reload-refused", "did you mean 'networks'"));
	expect_said("", "");
	ck_assert_ptr_eq(tap.r.g.config, old);
	all_look_at_the_new();
	ck_assert_uint_eq(tap.listed, 1);
}
END_TEST

START_TEST(at_the_begin_and_the_end_nothing_is_reloaded)
{
	tap.r.g.ready = false;
	ck_assert(!reload(tap_yaml));
	ck_assert(logged("reload-refused", "starting or stopping"));
	tap.r.g.ready = tap.r.g.stopping = true;
	ck_assert(!reload(tap_yaml));
	expect_said("", "");
}
END_TEST

/* There was no room for a connection; a change of it in the file is another chance. */
START_TEST(what_found_no_room_is_added_by_the_next_change)
{
	struct gw *g = &tap.r.g;

	connection_del(g, g->connections->next);
	ck_assert(reload(swap("mode: add\n", "mode: add\n    hold: 7s\n")));
	ck_assert_str_eq(summary, "branch: changed in place (hold)");
	ck_assert_ptr_nonnull(g->connections->next);
	ck_assert_str_eq(g->connections->next->conf->name, "branch");
	ck_assert_ptr_nonnull(strstr(heard_of("host"), "host tun-open td-branch\n"));
	connection_del(g, g->connections->next);
	ck_assert(reload(swap("  branch:", "  other:")));	/* one that is not there goes */
	ck_assert_str_eq(summary, "branch: removed; other: added");
	all_look_at_the_new();
}
END_TEST

/* However many words it would have, they fit. */
START_TEST(a_summary_is_cut_to_fit)
{
	struct config_errors errors, warnings;
	char small[24];

	memset(small, 'x', sizeof(small));
	rig_file(&tap.r, "tandem.yaml", swap("  branch:", "  other:"));
	ck_assert(gw_reload(&tap.r.g, &errors, &warnings, small, sizeof(small) - 1));
	config_errors_free(&errors);
	config_errors_free(&warnings);
	ck_assert_str_eq(small, "branch: removed; other");
	ck_assert_int_eq(small[sizeof(small) - 1], 'x');
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, tap_free);
	tcase_add_test(t, the_same_file_changes_nothing);
	tcase_add_test(t, each_change_is_one_operation_in_order);
	tcase_add_test(t, what_cannot_change_in_place_is_made_anew);
	tcase_add_test(t, suites_are_rekeyed);
	tcase_add_test(t, the_gateway_changes_too);
	tcase_add_test(t, a_mistake_changes_nothing);
	tcase_add_test(t, at_the_begin_and_the_end_nothing_is_reloaded);
	tcase_add_test(t, what_found_no_room_is_added_by_the_next_change);
	tcase_add_test(t, a_summary_is_cut_to_fit);
}

UNIT_MAIN("gateway/reload", fill)
