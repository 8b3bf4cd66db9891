/* SPDX-License-Identifier: MIT */
#include "config_unit.h"

/* What no single value shows. */
static const struct fix_case contradictions[] = {
	{ "      - local: 192.0.2.1\n        remote", "      - remote", "8:9",
	    "neither 'local' nor 'local-id'" },
	{ "local: 192.0.2.1\n", "local: 2001:db8::1\n", "8:16", "of different families" },
	{ "local: 192.0.2.1\n", "local: 203.0.113.1\n", "9:17", "our own 'local'" },
	{ "lifetime: 1h", "lifetime: 9h", "6:15", "longer than 'ike-lifetime'; expected at most 8h" },
	{ "lifetime: 1h", "ike-lifetime: 30m", "3:3", "expected at most 30m" },
	{ "lifetime: 1h", "selectors: networks\n    networks_: 1", "7:5", "did you mean 'networks'?" },
	{ "    local-networks: [192.168.0.0/24]\n    lifetime: 1h", "    selectors: networks", "5:16",
	    "needs 'local-networks'" },
	{ "      - local: 192.0.2.2\n        remote: 203.0.113.2\n",
	    "      - local: 192.0.2.1\n        remote: 203.0.113.1\n", "12:9", "same 'local' and 'remote'" },
	{ "psk-file: a", "probe: fd00::1\n        psk-file: a", "11:16", "expected an IPv6 'inside'" },
	{ "psk-file: a", "probe: 169.254.10.1\n        psk-file: a", "11:16", "our own inside address" },
	{ "    lifetime: 1h\n    tunnels:\n      - local: 192.0.2.1\n", "    preset: aws\n    tunnels:\n"
	    "      - local: 192.0.2.1\n        probe: fd00::1\n", "9:16", "expected an IPv6 'inside'" },
	{ "psk-file: b\n", "psk-file: b\n      - {remote: 203.0.113.3}\n", "16:9", "a third tunnel" },
};

START_TEST(each_contradiction_is_one_line)
{
	struct fix f;

	fix_init(&f);
	for (size_t i = 0; i < N_OF(contradictions); i++)
		fix_errors(&f, &contradictions[i]);
	fix_fini(&f);
}
END_TEST

static const struct fix_case oddities[] = {
	{ "lifetime: 1h", "pin: 2", "6:10", "no effect without 'policy: pinned'" },
	{ "        inside: 169.254.10.1/30\n", "", "8:9", "no 'inside' address to ask from" },
	{ "networks: [192.168.0.0/24]\n    lifetime: 1h",
	    "networks: [192.168.0.0/24]\n    selectors: networks", "6:16",
	    "inside addresses are not in the selectors" },
};

START_TEST(what_works_but_looks_odd_is_a_warning)
{
	struct fix f;

	fix_init(&f);
	for (size_t i = 0; i < N_OF(oddities); i++)
		fix_warns(&f, &oddities[i]);
	fix_fini(&f);
}
END_TEST

/* A connection in one line; `key` goes into it. */
static size_t
one(char *text, const char *name, const char *key, const char *tunnels)
{
	return (size_t)sprintf(text, "  %s: {psk-file: a, %s, tunnels: [%s]}\n", name, key, tunnels);
}

static void
two(char *text, const char *key1, const char *tunnels1, const char *key2, const char *tunnels2)
{
	text += sprintf(text, "connections:\n");
	text += one(text, "one", key1, tunnels1);
	(void)one(text, "two", key2, tunnels2);
}

#define T1	"{local: 192.0.2.1, remote: 203.0.113.1, inside: 10.9.0.1/30}," \
		"{local: 192.0.2.1, remote: 203.0.113.2, inside: 10.9.0.5/30}"
#define T2	"{local: 192.0.2.1, remote: 203.0.113.3, inside: 10.9.0.9/30}," \
		"{local: 192.0.2.1, remote: 203.0.113.4, inside: 10.9.0.13/30}"

START_TEST(devices_are_of_one_connection)
{
	char text[4096];
	struct fix f;

	fix_init(&f);
	two(text, "networks: 10.1.0.0/16, device: vpn0", T1, "networks: 10.2.0.0/16, device: vpn1", T2);
	fix_good(&f, text);
	two(text, "networks: 10.1.0.0/16, device: vpn0", T1, "networks: 10.2.0.0/16, device: vpn0", T2);
	fix_load(&f, text);
	ck_assert_msg(f.e.n == 1 && fix_has(&f, &f.e, "3:53", "also that of connection 'one' (line 2)"),
	    "%s", fix_lines(&f.e));
	/* A default name taken by somebody's choice. */
	two(text, "networks: 10.1.0.0/16", T1, "networks: 10.2.0.0/16, device: td-one", T2);
	fix_load(&f, text);
	ck_assert_msg(f.e.n == 1, "%s", fix_lines(&f.e));
	fix_fini(&f);
}
END_TEST

/* Two tunnels that a responder could not tell apart; other identities make them differ. */
START_TEST(peers_can_be_told_apart)
{
	static const char t2[] = "{local: 192.0.2.1, remote: 203.0.113.1, inside: 10.9.0.9/30}, "
	    "{local: 192.0.2.1, remote: 203.0.113.4, inside: 10.9.0.13/30}";
	static const char unset[] = "{local-id: 192.0.2.1, remote: 203.0.113.1, inside: 10.9.0.9/30}, "
	    "{local: 192.0.2.1, remote: 203.0.113.4, inside: 10.9.0.13/30}";
	char text[4096];
	struct fix f;

	fix_init(&f);
	two(text, "networks: 10.1.0.0/16", T1, "networks: 10.2.0.0/16", t2);
	fix_load(&f, text);
	ck_assert_msg(f.e.n == 1 && fix_has(&f, &f.e, "3:55", "identities of one of 'one' (line 2)"),
	    "%s", fix_lines(&f.e));
	two(text, "networks: 10.1.0.0/16", T1, "networks: 10.2.0.0/16", unset);
	fix_load(&f, text);
	ck_assert_msg(f.e.n == 1 && fix_has(&f, &f.e, "3:55", "identities of one of 'one'"), "%s",
	    fix_lines(&f.e));
	two(text, "networks: 10.1.0.0/16", T1, "networks: 10.2.0.0/16, remote-id: x.example", t2);
	fix_good(&f, text);
	two(text, "networks: 10.1.0.0/16", T1, "networks: 10.2.0.0/16, local-id: x.example", t2);
	fix_good(&f, text);
	fix_fini(&f);
}
END_TEST

static const char aws[] =
    "connections:\n  office-aws:\n    preset: aws\n    local: 192.0.2.1\n"
    "    networks: %s\n    %s\n    tunnels:\n"
    "      - {remote: 203.0.113.10, inside: %s, psk-file: %s}\n"
    "      - {remote: 203.0.113.99, inside: 169.254.172.84/30, psk-file: good}\n";

START_TEST(preset_aws_knows_the_rules_of_aws)
{
	static const struct {
		const char *networks, *key, *inside, *psk, *place, *words;
		bool error;
	} t[] = {
		{ "10.0.0.0/8", "mode: start", "169.254.5.0/30", "good", "8:40", "keeps", false },
		{ "10.0.0.0/8", "mode: start", "169.254.169.252/30", "good", "8:40", "keeps", false },
		{ "10.0.0.0/8", "mode: start", "172.16.0.0/30", "good", "8:40", "169.254.0.0/16", false },
		{ "10.0.0.0/8", "mode: start", "fc00::/126", "good", "8:40", "fd00::/8", false },
		{ "10.0.0.0/8", "ike-lifetime: 9h", "169.254.6.0/30", "good", "6:19", "after 8h", false },
		{ "10.0.0.0/8", "lifetime: 2h", "169.254.6.0/30", "good", "6:15", "after 1h", false },
		{ "10.0.0.0/8", "mode: start", "169.254.6.0/30", "zero", "8:66", "begins with 0", false },
		{ "10.0.0.0/8", "mode: start", "169.254.6.0/30", "odd", "8:66", "others", false },
		{ "10.0.0.0/8", "mode: start", "169.254.6.0/30", "long", "8:66", "this one has 65", false },
		{ "'fd12::/48'", "mode: start", "169.254.6.0/30", "good", "5:15", "IPv6 networks", true },
	};
	char text[4096];
	struct fix f;

	fix_init(&f);
	fix_secret(&f, "good", "good_secret.1");
	fix_secret(&f, "zero", "0good_secret.1");
	fix_secret(&f, "odd", "good secret.1");
	fix_secret(&f, "long", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	for (size_t i = 0; i < N_OF(t); i++) {
		const struct config_errors *e = t[i].error ? &f.e : &f.w;

		snprintf(text, sizeof(text), aws, t[i].networks, t[i].key, t[i].inside, t[i].psk);
		fix_load(&f, text);
		ck_assert_msg(f.e.n + f.w.n == 1 && strstr(e->line[0], t[i].words) != NULL &&
		    strncmp(e->line[0] + strlen(f.name) + 1, t[i].place, 2) == 0, "%s: %s%s", t[i].words,
		    fix_lines(&f.e), fix_lines(&f.w));
	}
	fix_fini(&f);
}
END_TEST

START_TEST(preset_aws_needs_inside_networks)
{
	struct fix f;

	fix_init(&f);
	fix_load(&f, fix_swap("lifetime: 1h\n    tunnels:\n      - local: 192.0.2.1\n"
	    "        remote: 203.0.113.1\n        inside: 169.254.10.1/30\n",
	    "preset: aws\n    tunnels:\n      - local: 192.0.2.1\n        remote: 203.0.113.1\n"));
	ck_assert_msg(f.e.n == 1 && fix_has(&f, &f.e, "8:9", "no 'inside'; expected the inside network"),
	    "%s", fix_lines(&f.e));
	fix_fini(&f);
}
END_TEST

START_TEST(an_ipv6_path_is_at_least_1280)
{
	struct fix f;
	char text[4096];

	fix_init(&f);
	for (unsigned mtu = 1279; mtu <= 1280; mtu++) {
		snprintf(text, sizeof(text), "connections:\n  a:\n    mtu: %u\n    networks: 10.0.0.0/8\n"
		    "    psk-file: a\n    local: '2001:db8::1'\n    tunnels:\n"
		    "      - {remote: '2001:db8:1::1', inside: 169.254.10.1/30}\n"
		    "      - {remote: '2001:db8:2::1', inside: 169.254.10.5/30}\n", mtu);
		fix_load(&f, text);
		ck_assert_msg((f.c != NULL) == (mtu == 1280), "%s", fix_lines(&f.e));
	}
	fix_fini(&f);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, each_contradiction_is_one_line);
	tcase_add_test(t, what_works_but_looks_odd_is_a_warning);
	tcase_add_test(t, devices_are_of_one_connection);
	tcase_add_test(t, peers_can_be_told_apart);
	tcase_add_test(t, preset_aws_knows_the_rules_of_aws);
	tcase_add_test(t, preset_aws_needs_inside_networks);
	tcase_add_test(t, an_ipv6_path_is_at_least_1280);
}

UNIT_MAIN("gateway/config_check", fill)
