/* SPDX-License-Identifier: MIT */
#include <dirent.h>

#include "config_unit.h"

/* Each kind of mistake in a value gives one line, at its place, that names what to do. */
static const struct fix_case mistakes[] = {
	{ "log: info", "lgo: info", "1:1", "'lgo' is not a key of the gateway; did you mean 'log'?" },
	{ "log: info", "loud: yes", "1:1", "'loud' is not a key of the gateway; see tandem.yaml(5)" },
	{ "log: info", "log: inof", "1:6", "did you mean 'info'?" },
	{ "log: info", "log: [info]", "1:6", "'log' is a list; expected error, warn, notice" },
	{ "log: info", "log: {info: 1}", "1:6", "'log' is a map" },
	{ "log: info", "log:", "1:5", "'log' has no value; expected error" },
	{ "log: info", "log: ~", "1:6", "'~' is no value of 'log'" },
	{ "log: info", "port: 0", "1:7", "expected a number from 1 to 65535" },
	{ "log: info", "port: 65536", "1:7", "expected a number from 1 to 65535" },
	{ "log: info", "port: 0500", "1:7", "'0500' is no value" },
	{ "log: info", "port: 0x1f4", "1:7", "'0x1f4' is no value" },
	{ "log: info", "port: 5_00", "1:7", "'5_00' is no value" },
	{ "log: info", "port: -5", "1:7", "'-5' is no value" },
	{ "log: info", "port: 18446744073709552116", "1:7", "is no value" },
	{ "log: info", "port: 4500", "1:7", "both 4500; expected two ports" },
	{ "log: info", "natt-port: 500", "1:12", "both 500" },
	{ "log: info", "control: run/x", "1:10", "expected an absolute path" },
	{ "log: info", "networks: 10.0.0.0/8", "1:1", "not a key of the gateway; it belongs to a connection" },
	{ "connections:", "conections:", "2:1", "did you mean 'connections'?" },
	{ "  office:\n", "  of/fice:\n", "3:3", "'of/fice' is no name of a connection" },
	{ "  office:\n", "  -office:\n", "3:3", "is no name of a connection" },
	{ "networks: [10.1.0.0/16, 10.2.0.0/16]", "mode: start", "3:3", "has no 'networks'" },
	{ "[10.1.0.0/16, 10.2.0.0/16]", "[]", "4:15", "'networks' has 0 items" },
	{ "[10.1.0.0/16, 10.2.0.0/16]", "[10.1.0.0/33]", "4:16", "'10.1.0.0/33' is no value" },
	{ "[10.1.0.0/16, 10.2.0.0/16]", "[10.1.0.0/16, office]", "4:29", "'office' is no value" },
	{ "10.2.0.0/16", "10.2.0.1/16", "4:29", "host bits set; did you mean '10.2.0.0/16'?" },
	{ "10.2.0.0/16", "[10.2.0.0/16]", "4:29", "an item of 'networks' is a list" },
	{ "10.2.0.0/16", "224.0.0.0/8", "4:29", "multicast" },
	{ "lifetime: 1h", "lifetime: 1 hour", "6:15", "expected a duration from 30s to 7d" },
	{ "lifetime: 1h", "lifetime: 1.5h", "6:15", "is no value" },
	{ "lifetime: 1h", "lifetime: 29s", "6:15", "from 30s" },
	{ "lifetime: 1h", "lifetime: 8d", "6:15", "to 7d" },
	{ "lifetime: 1h", "lifetime: 99999999999999999999ms", "6:15", "is no value" },
	{ "lifetime: 1h", "lifetime: never", "6:15", "is no value" },
	{ "lifetime: 1h", "lifetme: 1h", "6:5", "did you mean 'lifetime'?" },
	{ "lifetime: 1h", "replay_window: 64", "6:5", "did you mean 'replay-window'?" },
	{ "lifetime: 1h", "dpd: 10s", "6:5", "did you mean 'liveness'?" },
	{ "lifetime: 1h", "psk: hunter22", "6:5", "did you mean 'psk-file'?" },
	{ "lifetime: 1h", "port: 500", "6:5", "it belongs to the gateway" },
	{ "lifetime: 1h", "inside: 10.0.0.1/30", "6:5", "it belongs to a tunnel" },
	{ "lifetime: 1h", "replay-window: 63", "6:20", "expected a number from 64 to 8192" },
	{ "lifetime: 1h", "replay-window: 8193", "6:20", "expected a number from 64 to 8192" },
	{ "lifetime: 1h", "mss-clamp: yes", "6:16", "expected true or false" },
	{ "lifetime: 1h", "mss-clamp: True", "6:16", "did you mean 'true'?" },
	{ "lifetime: 1h", "guard: no", "6:12", "expected on, always or off; did you mean 'on'?" },
	{ "lifetime: 1h", "preset: asw", "6:13", "did you mean 'aws'?" },
	{ "lifetime: 1h", "pin: 3", "6:10", "expected 1 or 2" },
	{ "lifetime: 1h", "mtu: 575", "6:10", "from 576 to 9216 or route" },
	{ "lifetime: 1h", "ike: aes256gcm16-prfsha384-ecp385", "6:10", "ecp384" },
	{ "lifetime: 1h", "ike: aes256gcm16", "6:10", "'ike'" },
	{ "lifetime: 1h", "esp: [aes256gcm16, aes256gcm16]", "6:24", "given twice" },
	{ "lifetime: 1h", "esp: []", "6:10", "'esp' has 0 items" },
	{ "lifetime: 1h", "esp: des", "6:10", "'esp'" },
	{ "lifetime: 1h", "device: a/b", "6:13", "expected 1 to 15 letters" },
	{ "lifetime: 1h", "device: td%d", "6:13", "'td%d' is no value" },
	{ "lifetime: 1h", "device: sixteen-letters-", "6:13", "is no value" },
	{ "lifetime: 1h", "device: lo", "6:13", "'lo' is no value" },
	{ "remote: 203.0.113.1\n", "remote: gw.example.net\n", "9:17", "expected an IP address" },
	{ "remote: 203.0.113.1\n", "remote: 0.0.0.0\n", "9:17", "an address of no host" },
	{ "remote: 203.0.113.1\n", "remote: 224.0.0.1\n", "9:17", "a multicast address" },
	{ "remote: 203.0.113.1\n", "remote: 255.255.255.255\n", "9:17", "a reserved address" },
	{ "remote: 203.0.113.1\n", "remote: fe80::1\n", "9:17", "a link-local address" },
	{ "remote: 203.0.113.1\n", "remote: ::ffff:192.0.2.1\n", "9:17", "in the clothes of IPv6" },
	{ "remote: 203.0.113.1\n", "remote-port: 500\n", "8:9", "the tunnel has no 'remote'" },
	{ "remote: 203.0.113.1\n", "remote: 203.0.113.1\n        remote-port: 501\n", "10:22",
	    "expected 500 or 4500" },
	{ "169.254.10.1/30", "169.254.10.1", "10:17", "an address with its length" },
	{ "169.254.10.1/30", "169.254.10.1/29", "10:17", "expected a length of 30 or 31" },
	{ "169.254.10.1/30", "fd00::1/64", "10:17", "expected a length of 126 or 127" },
	{ "169.254.10.1/30", "169.254.10.0/30", "10:17", "only preset aws knows which" },
	{ "169.254.10.1/30", "169.254.10.3/30", "10:17", "the last address of its link" },
	{ "169.254.10.1/30", "[169.254.10.1/30, 169.254.20.1/30]", "10:35", "a second inside address" },
	{ "psk-file: a", "psk-file: none", "11:19", "No such file" },
	{ "psk-file: a", "psk-file: .", "11:19", "not a regular file" },
	{ "psk-file: a", "psk-file: open", "11:19", "run 'chmod 600 " },
	{ "psk-file: a", "psk-file: short", "11:19", "expected at least 8" },
	{ "psk-file: a\n", "local-id: x.example\n", "8:9", "the tunnel has no 'psk-file'" },
	{ "psk-file: a", "psk-file: a\n        local-id: a b", "12:19", "'local-id':" },
	{ "      - local: 192.0.2.2\n        remote: 203.0.113.2\n        inside: 169.254.10.5/30\n"
	    "        psk-file: b\n", "", "8:7", "one tunnel only; expected 2" },
	{ "      - local: 192.0.2.2\n        remote: 203.0.113.2\n        inside: 169.254.10.5/30\n"
	    "        psk-file: b\n", "      - second\n", "12:9", "a tunnel is a word" },
	{ "log: info", "log: &x info", "1:6", "the anchor '&x' is not allowed" },
	{ "log: info", "log: !!str info", "1:6", "the tag" },
	{ "log: info", "log: *x", "1:6", "the alias '*x' is not allowed" },
	{ "log: info\n", "log: info\nlog: info\n", "2:1", "'log' is given twice; the first is in line 1" },
	{ "    lifetime: 1h\n", "\tlifetime: 1h\n", "6:1", "tabs" },
	{ "    lifetime: 1h\n", "   lifetime: 1h\n", "6:4", "broken YAML" },
	{ "psk-file: b\n", "psk-file: b\n---\nlog: info\n", "16:1", "a second document" },
	{ "log: info\n", "log: \"in\\0fo\"\n", "1:6", "a NUL character" },
	{ "log: info\n", "log: \xff\n", "1:6", "not UTF-8" },
	{ "log: info\n", "log: \x01\n", "1:6", "not UTF-8" },
};

START_TEST(each_mistake_has_its_place_and_its_sentence)
{
	struct fix f;

	fix_init(&f);
	fix_file(&f, "open", "long-enough", 11, 0640);
	fix_secret(&f, "short", "1234567\n");
	fix_good(&f, fix_base);
	ck_assert_msg(f.w.n == 0, "the base text warns: %s", fix_lines(&f.w));
	for (size_t i = 0; i < N_OF(mistakes); i++)
		fix_errors(&f, &mistakes[i]);
	fix_fini(&f);
}
END_TEST

START_TEST(a_text_without_sense_is_refused_at_its_begin)
{
	static const struct {
		const char *text, *place, *words;
	} t[] = {
		{ "", "1:1", "nothing in this file" },
		{ "# only this\n", "1:1", "nothing in this file" },
		{ "hello\n", "1:1", "the file is a word" },
		{ "[1, 2]\n", "1:1", "the file is a list" },
		{ "log: info\n", "1:1", "has no 'connections'" },
		{ "connections:\n", "1:13", "'connections' is empty" },
		{ "connections: []\n", "1:14", "'connections' is a list" },
		{ "connections:\n  a:\n", "2:5", "the connection is empty" },
		{ "connections: {a: b}\n", "1:18", "the connection is a word" },
		{ "connections: {a: {networks: 10.0.0.0/8, tunnels: b}}\n", "1:50", "'tunnels' is a word" },
		{ "connections: {a: {networks: 10.0.0.0/8, tunnels: []}}\n", "1:50", "has no tunnel;" },
		{ "connections: {a: {networks: 10.0.0.0/8}}\n", "1:15", "has no 'tunnels'" },
		{ "%YAML 1.1\n---\nconnections: {}\n", "1:1", "directives" },
	};
	struct fix f;

	fix_init(&f);
	for (size_t i = 0; i < N_OF(t); i++) {
		fix_load(&f, t[i].text);
		ck_assert_msg(f.e.n == 1 && fix_has(&f, &f.e, t[i].place, t[i].words),
		    "%s: %s", t[i].text, fix_lines(&f.e));
	}
	fix_fini(&f);
}
END_TEST

START_TEST(ten_mistakes_give_ten_lines_in_file_order)
{
	static const char text[] =
	    "lgo: info\n"				/* 1 */
	    "port: 0500\n"				/* 2 */
	    "connections:\n"
	    "  office:\n"
	    "    networks: [10.1.0.1/16]\n"		/* 3 */
	    "    mode: strat\n"				/* 4 */
	    "    lifetime: 1 h\n"			/* 5 */
	    "    lifetime: 2h\n"			/* 6 */
	    "    esn: no\n"				/* 7 */
	    "    tunnels:\n"
	    "      - local: 192.0.2.1\n"
	    "        remote: 203.0.113.256\n"		/* 8 */
	    "        inside: 169.254.10.1/24\n"		/* 9 */
	    "        psk-file: missing\n"		/* 10 */
	    "      - {local: 192.0.2.2, remote: 203.0.113.2, inside: 10.0.0.1/30, psk-file: b}\n";
	static const char *const place[] = { "1:1", "2:7", "5:16", "6:11", "7:15", "8:5", "9:10",
		"12:17", "13:17", "14:19" };
	struct fix f;

	fix_init(&f);
	fix_load(&f, text);
	ck_assert_msg(f.e.n == 10, "%s", fix_lines(&f.e));
	for (size_t i = 0; i < 10; i++) {
		char start[128];

		snprintf(start, sizeof(start), "%s:%s: ", f.name, place[i]);
		ck_assert_msg(strncmp(f.e.line[i], start, strlen(start)) == 0, "%s is not at %s",
		    f.e.line[i], place[i]);
	}
	fix_fini(&f);
}
END_TEST

/* Words are what the table says they are, whatever YAML 1.1 would make of them. */
START_TEST(nothing_is_guessed_from_the_look_of_a_word)
{
	struct fix f;
	char id[ID_STRLEN];

	fix_init(&f);
	fix_good(&f, fix_swap("psk-file: a", "psk-file: a\n        local-id: no"));
	ck_assert_str_eq(id_str(&f.c->connection[0].tunnel[0].local_id, id, sizeof(id)), "no");
	fix_good(&f, fix_swap("  office:", "  null:"));
	ck_assert_str_eq(f.c->connection[0].name, "null");
	fix_good(&f, fix_swap("lifetime: 1h", "lifetime: \"60\""));
	ck_assert_uint_eq(f.c->connection[0].child_life, USEC_S(60));
	fix_fini(&f);
}
END_TEST

START_TEST(absent_keys_follow_from_others)
{
	struct fix f;
	const struct config_connection *c;
	char text[ID_STRLEN];

	fix_init(&f);
	c = fix_good(&f, fix_base)->connection;
	ck_assert_str_eq(c->device, "td-office");
	ck_assert(c->start && c->esn && c->clamp_mss);
	ck_assert_uint_eq(c->ts_local.n, 2);
	ck_assert_uint_eq(c->ts_remote.n, 2);
	ck_assert_str_eq(ts_str(&c->ts_remote.ts[0], text), "0.0.0.0/0");
	ck_assert_str_eq(ts_str(&c->ts_remote.ts[1], text), "::/0");
	ck_assert_str_eq(id_str(&c->tunnel[0].local_id, text, sizeof(text)), "192.0.2.1");
	ck_assert_str_eq(id_str(&c->tunnel[1].remote_id, text, sizeof(text)), "203.0.113.2");
	ck_assert_str_eq(ip_str(&c->tunnel[0].inside_peer[0], text), "169.254.10.2");
	ck_assert_str_eq(ip_str(&c->tunnel[0].probe, text), "169.254.10.2");
	ck_assert_uint_eq(c->tunnel[0].psk_len, strlen("first-secret-of-two"));
	ck_assert_mem_eq(c->tunnel[0].psk, "first-secret-of-two", c->tunnel[0].psk_len);
	ck_assert_uint_eq(f.c->port, 500);
	ck_assert_uint_eq(f.c->natt_port, 4500);
	ck_assert_uint_eq(c->window, 1024);
	fix_fini(&f);
}
END_TEST

START_TEST(selectors_are_everything_or_the_networks)
{
	struct fix f;
	const struct config_connection *c;
	char text[TS_STRLEN];

	fix_init(&f);
	c = fix_good(&f, fix_swap("lifetime: 1h", "selectors: networks"))->connection;
	ck_assert_uint_eq(c->ts_local.n, 1);
	ck_assert_str_eq(ts_str(&c->ts_local.ts[0], text), "192.168.0.0/24");
	ck_assert_uint_eq(c->ts_remote.n, 2);
	ck_assert_str_eq(ts_str(&c->ts_remote.ts[1], text), "10.2.0.0/16");
	fix_fini(&f);
}
END_TEST

/* Either host of a link may be ours; the peer is the other. */
START_TEST(the_peer_is_the_other_host_of_the_link)
{
	static const struct {
		const char *inside, *peer;
		unsigned i;
	} t[] = {
		{ "10.0.0.1/30", "10.0.0.2", 0 }, { "10.0.0.2/30", "10.0.0.1", 0 },
		{ "10.0.0.6/31", "10.0.0.7", 0 }, { "10.0.0.7/31", "10.0.0.6", 0 },
		{ "fd00::5/126", "fd00::6", 1 }, { "fd00::6/126", "fd00::5", 1 },
		{ "fd00::/127", "fd00::1", 1 }, { "fd00::1/127", "fd00::", 1 },
	};
	struct fix f;
	char text[IP_STRLEN];

	fix_init(&f);
	for (size_t n = 0; n < N_OF(t); n++) {
		fix_good(&f, fix_swap("169.254.10.1/30", t[n].inside));
		ck_assert_str_eq(ip_str(&f.c->connection[0].tunnel[0].inside_peer[t[n].i], text),
		    t[n].peer);
	}
	fix_fini(&f);
}
END_TEST

static const char aws[] =
    "connections:\n"
    "  office-aws:\n"
    "    preset: aws\n"
    "    local-id: gw.example.net\n"
    "    networks: [10.0.0.0/16]\n"
    "    tunnels:\n"
    "      - {remote: 203.0.113.10, inside: 169.254.80.144/30, psk-file: a}\n"
    "      - {remote: 203.0.113.99, inside: 169.254.172.84/30, psk-file: b}\n";

START_TEST(preset_aws_is_what_aws_expects)
{
	struct fix f;
	const struct config_connection *c;
	char text[TS_STRLEN];

	fix_init(&f);
	fix_secret(&f, "a", "aws_key.1234");
	fix_secret(&f, "b", "aws_key.5678");
	c = fix_good(&f, aws)->connection;
	ck_assert_msg(f.w.n == 0, "%s", fix_lines(&f.w));
	ck_assert_uint_eq(c->ike_n, 1);
	ck_assert(c->ike[0].enc == AEAD_AES_GCM_16_256 && c->ike[0].prf == PRF_HMAC_SHA2_384 &&
	    c->ike[0].group == KE_ECP_384);
	ck_assert_uint_eq(c->esp_n, 1);
	ck_assert(c->esp[0].enc == AEAD_AES_GCM_16_256 && c->esp[0].group == KE_ECP_384 &&
	    !c->esp[0].esn);
	ck_assert_uint_eq(c->ike_life, USEC_S(28800));
	ck_assert_uint_eq(c->child_life, USEC_S(3600));
	ck_assert_uint_eq(c->liveness, USEC_S(10));
	ck_assert_uint_eq(c->window, 1024);
	ck_assert(c->start);
	ck_assert_uint_eq(c->ts_local.n, 1);
	ck_assert_uint_eq(c->ts_remote.n, 1);
	ck_assert_str_eq(ts_str(&c->ts_remote.ts[0], text), "0.0.0.0/0");
	/* AWS has the first host of the inside network, we the second. */
	ck_assert_str_eq(ip_str(&c->tunnel[0].inside_local[0], text), "169.254.80.146");
	ck_assert_str_eq(ip_str(&c->tunnel[0].inside_peer[0], text), "169.254.80.145");
	fix_fini(&f);
}
END_TEST

START_TEST(preset_tandem_is_for_two_of_ours)
{
	struct fix f;
	const struct config_connection *c;

	fix_init(&f);
	c = fix_good(&f, fix_swap("lifetime: 1h", "preset: tandem"))->connection;
	ck_assert(c->ike_n > 1 && c->ike[0].group == KE_CURVE25519);
	ck_assert(c->esp_n > 1 && c->esp[0].esn && c->esp[0].enc == AEAD_AES_GCM_16_256);
	ck_assert_uint_eq(c->ts_remote.n, 2);
	ck_assert_uint_eq(c->retry_max, USEC_S(15));
	/* What is written wins over the preset. */
	c = fix_good(&f, fix_swap("lifetime: 1h", "preset: tandem\n    retry-max: 7s\n    esn: false"))
	    ->connection;
	ck_assert_uint_eq(c->retry_max, USEC_S(7));
	for (unsigned i = 0; i < c->esp_n; i++)
		ck_assert(!c->esp[i].esn);
	fix_fini(&f);
}
END_TEST

/* Long names still give devices that are stable and differ. */
START_TEST(device_names_fit_and_differ)
{
	struct fix f;
	char first[IFNAMSIZ];

	fix_init(&f);
	fix_good(&f, fix_swap("  office:", "  a-very-long-name-one:"));
	snprintf(first, sizeof(first), "%s", f.c->connection[0].device);
	fix_good(&f, fix_swap("  office:", "  a-very-long-name-one:"));
	ck_assert_str_eq(f.c->connection[0].device, first);
	fix_good(&f, fix_swap("  office:", "  a-very-long-name-two:"));
	ck_assert_str_ne(f.c->connection[0].device, first);
	ck_assert_uint_eq(strlen(first), 15);
	fix_good(&f, fix_swap("  office:", "  twelve-chars:"));
	ck_assert_str_eq(f.c->connection[0].device, "td-twelve-chars");
	fix_fini(&f);
}
END_TEST

/* What a connection says for its tunnels holds for those that do not say it themselves. */
START_TEST(a_connection_speaks_for_its_tunnels)
{
	struct fix f;
	const struct config_connection *c;
	char id[ID_STRLEN];

	fix_init(&f);
	c = fix_good(&f, fix_swap("lifetime: 1h\n    tunnels:\n      - local: 192.0.2.1\n",
	    "local-id: one.example\n    local: 192.0.2.9\n    tunnels:\n      - remote-port: 4500\n"))
	    ->connection;
	ck_assert_str_eq(id_str(&c->tunnel[1].local_id, id, sizeof(id)), "one.example");
	ck_assert_str_eq(ip_str(&c->tunnel[0].local, id), "192.0.2.9");
	ck_assert_str_eq(ip_str(&c->tunnel[1].local, id), "192.0.2.2");
	ck_assert_uint_eq(c->tunnel[0].remote_port, 4500);
	ck_assert_uint_eq(c->tunnel[1].remote_port, 500);
	fix_fini(&f);
}
END_TEST

/* R30: never a guard route for a default route, which would cut off the host. */
START_TEST(guards_are_never_for_a_default_route)
{
	static const char *const word[] = { "on", "always", "off" };
	struct fix f;
	char text[128];

	fix_init(&f);
	for (unsigned i = 0; i < 3; i++) {
		const struct config_connection *c;

		snprintf(text, sizeof(text), "[10.1.0.0/16, 0.0.0.0/0, '::/0']\n    guard: %s", word[i]);
		c = fix_good(&f, fix_swap("[10.1.0.0/16, 10.2.0.0/16]", text))->connection;
		ck_assert_int_eq(config_guards(c, &c->networks[0]), i < 2);
		ck_assert(!config_guards(c, &c->networks[1]));
		ck_assert(!config_guards(c, &c->networks[2]));
		ck_assert(fix_has(&f, &f.w, "4:29", "a default route leads into the tunnels"));
		snprintf(text, sizeof(text), "[0.0.0.0/1, '2000::/3', 'fc00::/7']\n    guard: %s", word[i]);
		c = fix_good(&f, fix_swap("[10.1.0.0/16, 10.2.0.0/16]", text))->connection;
		ck_assert(!config_guards(c, &c->networks[0]) && !config_guards(c, &c->networks[1]));
		ck_assert_int_eq(config_guards(c, &c->networks[2]), i < 2);
	}
	fix_fini(&f);
}
END_TEST

START_TEST(no_truncation_is_taken_for_a_whole_or_crashes)
{
	struct fix f;

	fix_init(&f);
	for (size_t len = 0; len < sizeof(fix_base) - 2; len++)
		fix_parse(&f, fix_base, len);
	for (size_t len = 0; len < sizeof(aws) - 1; len++)
		fix_parse(&f, aws, len);
	fix_fini(&f);
}
END_TEST

/* One byte of a good text altered: an answer of one kind or the other, never a crash. */
START_TEST(no_altered_byte_crashes)
{
	static const char other[] = { 0, '\n', ' ', ':', '-', '{', ']', '&', '*', '!', '\t', '\xff' };
	char text[sizeof(fix_base)];
	struct fix f;

	fix_init(&f);
	for (size_t i = 0; i < sizeof(fix_base) - 1; i++) {
		memcpy(text, fix_base, sizeof(text));
		text[i] = other[i % sizeof(other)];
		fix_parse(&f, text, sizeof(text) - 1);
	}
	fix_fini(&f);
}
END_TEST

/* Bounds hold, and the bound itself is allowed. */
START_TEST(bounds_hold_at_the_bound)
{
	struct fix f;
	char *list = malloc(64 * 1026), *text = malloc(65536 * 2);
	unsigned n;

	fix_init(&f);
	for (n = 1024; n <= 1025; n++) {
		size_t len = 0;

		for (unsigned i = 0; i < n; i++)
			len += (size_t)sprintf(list + len, "%s10.%u.%u.0/24", i > 0 ? "," : "",
			    i / 256, i % 256);
		sprintf(text, "connections: {a: {networks: [%s], local: 192.0.2.1, psk-file: a,"
		    "tunnels: [{remote: 203.0.113.1, inside: 169.254.10.1/30},"
		    "{remote: 203.0.113.2, inside: 169.254.10.5/30}]}}", list);
		fix_load(&f, text);
		ck_assert_msg((f.c != NULL) == (n == 1024), "%u: %s", n, fix_lines(&f.e));
	}
	free(list);
	free(text);
	fix_fini(&f);
}
END_TEST

START_TEST(more_mistakes_than_the_bound_are_counted)
{
	struct fix f;
	char *text = malloc(1 << 20);
	size_t len = 0;

	fix_init(&f);
	for (unsigned i = 0; i < 1000; i++)
		len += (size_t)sprintf(text + len, "x%u: 1\n", i);
	fix_parse(&f, text, len);
	ck_assert_uint_eq(f.e.n, 201);
	ck_assert(strstr(f.e.line[0], ": and ") != NULL || strstr(f.e.line[200], ": and ") != NULL);
	free(text);
	fix_fini(&f);
}
END_TEST

START_TEST(a_file_is_loaded_with_paths_beside_it)
{
	struct fix f;
	char path[128];

	fix_init(&f);
	fix_file(&f, "t.yaml", fix_base, strlen(fix_base), 0644);
	f.c = config_load(f.name, f.s, &f.e, &f.w);
	ck_assert_msg(f.c != NULL, "%s", fix_lines(&f.e));
	fix_drop(&f);
	snprintf(path, sizeof(path), "%s/none.yaml", f.dir);
	f.c = config_load(path, f.s, &f.e, &f.w);
	ck_assert(f.c == NULL && f.e.n == 1 && strstr(f.e.line[0], "No such file") != NULL);
	fix_drop(&f);
	f.c = config_load(f.dir, f.s, &f.e, &f.w);
	ck_assert(f.c == NULL && f.e.n == 1 && strstr(f.e.line[0], "directory") != NULL);
	fix_fini(&f);
}
END_TEST

/* Make the files of secrets that an example names. */
static void
make_secrets(struct fix *f, const char *text)
{
	char name[64], path[256];
	size_t len;

	for (const char *p = text; (p = strstr(p, "psk-file: ")) != NULL; p += len) {
		p += strlen("psk-file: ");
		len = strcspn(p, ",}\n \"");
		ck_assert_uint_lt(len, sizeof(name));
		snprintf(name, sizeof(name), "%.*s", (int)len, p);
		if (strchr(name, '/') != NULL) {
			snprintf(path, sizeof(path), "%s/%.*s", f->dir, (int)strcspn(name, "/"), name);
			(void)mkdir(path, 0700);
		}
		fix_secret(f, name, "example.secret.1\n");
	}
}

START_TEST(every_example_loads_without_a_warning)
{
	struct fix f;
	DIR *dir = opendir("docs/examples");
	struct dirent *d;
	unsigned n = 0;
	char path[512], text[8192];

	fix_init(&f);
	ck_assert_msg(dir != NULL, "run from the top of the tree");
	while ((d = readdir(dir)) != NULL) {
		FILE *in;
		size_t len;

		if (strstr(d->d_name, ".yaml") == NULL)
			continue;
		snprintf(path, sizeof(path), "docs/examples/%s", d->d_name);
		in = fopen(path, "r");
		ck_assert_ptr_nonnull(in);
		len = fread(text, 1, sizeof(text) - 1, in);
		text[len] = '\0';
		fclose(in);
		make_secrets(&f, text);
		fix_load(&f, text);
		ck_assert_msg(f.c != NULL && f.w.n == 0, "%s: %s%s", path, fix_lines(&f.e),
		    fix_lines(&f.w));
		n++;
	}
	closedir(dir);
	ck_assert_uint_ge(n, 3);
	fix_fini(&f);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, each_mistake_has_its_place_and_its_sentence);
	tcase_add_test(t, a_text_without_sense_is_refused_at_its_begin);
	tcase_add_test(t, ten_mistakes_give_ten_lines_in_file_order);
	tcase_add_test(t, nothing_is_guessed_from_the_look_of_a_word);
	tcase_add_test(t, absent_keys_follow_from_others);
	tcase_add_test(t, selectors_are_everything_or_the_networks);
	tcase_add_test(t, the_peer_is_the_other_host_of_the_link);
	tcase_add_test(t, preset_aws_is_what_aws_expects);
	tcase_add_test(t, preset_tandem_is_for_two_of_ours);
	tcase_add_test(t, device_names_fit_and_differ);
	tcase_add_test(t, a_connection_speaks_for_its_tunnels);
	tcase_add_test(t, guards_are_never_for_a_default_route);
	tcase_add_test(t, no_truncation_is_taken_for_a_whole_or_crashes);
	tcase_add_test(t, no_altered_byte_crashes);
	tcase_add_test(t, bounds_hold_at_the_bound);
	tcase_add_test(t, more_mistakes_than_the_bound_are_counted);
	tcase_add_test(t, a_file_is_loaded_with_paths_beside_it);
	tcase_add_test(t, every_example_loads_without_a_warning);
}

UNIT_MAIN("gateway/config", fill)
