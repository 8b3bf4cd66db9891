/* SPDX-License-Identifier: MIT */
#include "config_unit.h"
#include "config_text.h"

static struct config_op ops[64];

/* Changing a key, whatever key, needs what the table says, and is named. */
START_TEST(every_key_has_its_reload_class)
{
	struct fix f, g;
	unsigned seen = 0;

	fix_init(&f);
	fix_init(&g);
	for (size_t i = 0; i < KEY_N; i++) {
		struct config_text t = config_text_base();
		char what[128];

		if (t.other[i] == NULL)
			continue;
		fix_good(&f, config_text_print(&t));
		t.value[i] = t.other[i];
		fix_good(&g, config_text_print(&t));
		ck_assert_msg(config_diff(f.c, g.c, ops, N_OF(ops)) == 1, "%s: %zu operations",
		    keys[i].name, config_diff(f.c, g.c, ops, N_OF(ops)));
		ck_assert_msg(ops[0].kind == keys[i].reload, "%s: %d (%s)", keys[i].name, ops[0].kind,
		    ops[0].what);
		snprintf(what, sizeof(what), keys[i].home == HOME_TUNNEL ? "%s of tunnel 1" : "%s",
		    keys[i].name);
		ck_assert_msg(strstr(ops[0].what, what) != NULL, "%s: %s", keys[i].name, ops[0].what);
		ck_assert_int_eq(ops[0].from != NULL, keys[i].home != HOME_GATEWAY);
		ck_assert_uint_eq(config_diff(f.c, f.c, ops, N_OF(ops)), 0);
		seen++;
	}
	/* All but the two that hold others, and the preset, which counts by what it changes. */
	ck_assert_uint_eq(seen, KEY_N - 3);
	fix_fini(&f);
	fix_fini(&g);
}
END_TEST

START_TEST(the_strongest_class_wins_and_all_are_named)
{
	struct config_text t = config_text_base();
	struct fix f, g;

	fix_init(&f);
	fix_init(&g);
	fix_good(&f, config_text_print(&t));
	t.value[KEY_HOLD] = t.other[KEY_HOLD];
	t.value[KEY_LIFETIME] = t.other[KEY_LIFETIME];
	fix_good(&g, config_text_print(&t));
	ck_assert_uint_eq(config_diff(f.c, g.c, ops, N_OF(ops)), 1);
	ck_assert_int_eq(ops[0].kind, CONFIG_REKEY);
	ck_assert_str_eq(ops[0].what, "lifetime, hold");
	t.value[KEY_REMOTE] = t.other[KEY_REMOTE];
	fix_good(&g, config_text_print(&t));
	config_diff(f.c, g.c, ops, N_OF(ops));
	ck_assert_int_eq(ops[0].kind, CONFIG_RESTART);
	ck_assert_str_eq(ops[0].what, "lifetime, hold, remote of tunnel 1");
	for (size_t i = 0; i < KEY_N; i++)
		t.value[i] = t.other[i] != NULL && keys[i].home != HOME_GATEWAY ? t.other[i] : t.value[i];
	fix_good(&g, config_text_print(&t));
	config_diff(f.c, g.c, ops, N_OF(ops));
	ck_assert_uint_eq(strlen(ops[0].what), sizeof(ops[0].what) - 1);
	ck_assert_str_eq(ops[0].what + strlen(ops[0].what) - 3, "...");
	fix_fini(&f);
	fix_fini(&g);
}
END_TEST

/* Networks are routes, unless they were negotiated too. */
START_TEST(networks_change_live_unless_they_are_selectors)
{
	struct config_text t = config_text_base();
	struct fix f, g;

	fix_init(&f);
	fix_init(&g);
	for (unsigned i = 0; i < 2; i++) {
		t.value[KEY_SELECTORS] = i == 0 ? "any" : "networks";
		t.value[KEY_NETWORKS] = "10.1.0.0/16";
		fix_good(&f, config_text_print(&t));
		t.value[KEY_NETWORKS] = "10.2.0.0/16";
		fix_good(&g, config_text_print(&t));
		ck_assert_uint_eq(config_diff(f.c, g.c, ops, N_OF(ops)), 1);
		ck_assert_int_eq(ops[0].kind, i == 0 ? CONFIG_LIVE : CONFIG_RESTART);
		ck_assert_str_eq(ops[0].what, "networks");
	}
	fix_fini(&f);
	fix_fini(&g);
}
END_TEST

/* The bytes of a secret count, not the name of its file. */
START_TEST(secrets_are_compared_by_content)
{
	struct config_text t = config_text_base();
	struct fix f, g;

	fix_init(&f);
	fix_init(&g);
	fix_secret(&g, "same", "first-secret-of-two");
	fix_good(&f, config_text_print(&t));
	t.value[KEY_PSK_FILE] = "same";
	fix_good(&g, config_text_print(&t));
	ck_assert_uint_eq(config_diff(f.c, g.c, ops, N_OF(ops)), 0);
	fix_secret(&g, "same", "First-secret-of-two");
	fix_good(&g, config_text_print(&t));
	ck_assert_uint_eq(config_diff(f.c, g.c, ops, N_OF(ops)), 1);
	ck_assert_str_eq(ops[0].what, "psk-file of tunnel 1");
	ck_assert_int_eq(ops[0].kind, CONFIG_RESTART);
	fix_fini(&f);
	fix_fini(&g);
}
END_TEST

/* The same address of ours on a link of another length has another peer. */
START_TEST(the_length_of_an_inside_link_counts)
{
	struct config_text t = config_text_base();
	struct fix f, g;

	fix_init(&f);
	fix_init(&g);
	fix_good(&f, config_text_print(&t));
	t.value[KEY_INSIDE] = "169.254.10.1/31";
	fix_good(&g, config_text_print(&t));
	ck_assert_uint_eq(config_diff(f.c, g.c, ops, N_OF(ops)), 1);
	ck_assert_int_eq(ops[0].kind, CONFIG_RESTART);
	ck_assert_str_eq(ops[0].what, "inside of tunnel 1");
	fix_fini(&f);
	fix_fini(&g);
}
END_TEST

static const char three[] =
    "connections:\n"
    "  a: {networks: 10.1.0.0/16, local: 192.0.2.1, psk-file: a, tunnels: "
    "[{remote: 203.0.113.1}, {remote: 203.0.113.2}]}\n"
    "  b: {networks: 10.2.0.0/16, local: 192.0.2.1, psk-file: a, tunnels: "
    "[{remote: 203.0.113.3}, {remote: 203.0.113.4}]}\n";
static const char turned[] =
    "log: debug\n"
    "connections:\n"
    "  c: {networks: 10.1.0.0/16, local: 192.0.2.1, psk-file: a, tunnels: "
    "[{remote: 203.0.113.5}, {remote: 203.0.113.6}]}\n"
    "  b: {networks: 10.2.0.0/16, local: 192.0.2.1, psk-file: a, metric: 100, tunnels: "
    "[{remote: 203.0.113.3}, {remote: 203.0.113.4}]}\n";

START_TEST(connections_come_go_and_stay_by_name)
{
	struct fix f, g;

	fix_init(&f);
	fix_init(&g);
	fix_good(&f, three);
	fix_good(&g, turned);
	/* b has moved and writes a default: that is no change. */
	ck_assert_uint_eq(config_diff(f.c, g.c, ops, N_OF(ops)), 3);
	ck_assert(ops[0].kind == CONFIG_DEL && strcmp(ops[0].from->name, "a") == 0 && ops[0].to == NULL);
	ck_assert(ops[1].kind == CONFIG_GATEWAY_LIVE && strcmp(ops[1].what, "log") == 0);
	ck_assert(ops[2].kind == CONFIG_ADD && strcmp(ops[2].to->name, "c") == 0 && ops[2].from == NULL);
	memset(ops, 0x55, sizeof(ops));
	ck_assert_uint_eq(config_diff(f.c, g.c, ops, 1), 1);
	ck_assert_int_eq(ops[0].kind, CONFIG_DEL);
	ck_assert_int_eq(ops[1].what[0], 0x55);		/* nothing behind what fits */
	fix_fini(&f);
	fix_fini(&g);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, every_key_has_its_reload_class);
	tcase_add_test(t, the_strongest_class_wins_and_all_are_named);
	tcase_add_test(t, networks_change_live_unless_they_are_selectors);
	tcase_add_test(t, secrets_are_compared_by_content);
	tcase_add_test(t, the_length_of_an_inside_link_counts);
	tcase_add_test(t, connections_come_go_and_stay_by_name);
}

UNIT_MAIN("gateway/config_diff", fill)
