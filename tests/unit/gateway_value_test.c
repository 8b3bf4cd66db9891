/* SPDX-License-Identifier: MIT */
#include "gateway/value.h"

#include "config_text.h"
#include "config_unit.h"

/* Text into members, key by key.  What each mistake says, and where, is in gateway_config_test. */

static union {
	struct config gateway;
	struct config_connection connection;
	struct config_tunnel tunnel;
} at;

static struct config_errors errors, warnings;

static void
setup(void)
{
	memset(&at, 0, sizeof(at));
}

static void
teardown(void)
{
	config_errors_free(&errors);
	config_errors_free(&warnings);
}

/* Read a YAML text into the member; how many mistakes that gave is in `errors`. */
static bool
parse(enum key_id id, const char *yaml)
{
	struct yaml_tree *tree;
	struct mistakes m;
	bool good;

	teardown();
	mistakes_init(&m, "t");
	tree = yaml_tree_read(yaml, strlen(yaml), &m);
	ck_assert_ptr_nonnull(tree);
	good = value_parse(&keys[id], &at, yaml_tree_root(tree), &m);
	yaml_tree_free(tree);
	mistakes_finish(&m, &errors, &warnings);
	ck_assert_msg(good == (errors.n == 0), "%s: %s", keys[id].name, yaml);
	return good;
}

static bool
has_value(const struct key *k)
{
	return k->type != TYPE_CONNECTIONS && k->type != TYPE_TUNNELS;
}

/* Each key takes a good value and another one after it, in a file and in the table alike. */
START_TEST(every_key_is_read)
{
	const struct config_text t = config_text_base();

	for (unsigned i = 0; i < KEY_N; i++) {
		static union { struct config_connection c; struct config_tunnel t; } before;

		if (!has_value(&keys[i]) || t.value[i] == NULL)
			continue;
		memset(&at, 0, sizeof(at));
		memset(&before, 0, sizeof(before));
		ck_assert_msg(parse(i, t.value[i]), "%s: %s", keys[i].name, fix_lines(&errors));
		if (strchr(t.value[i], ' ') == NULL && t.value[i][0] != '[') {
			ck_assert_msg(value_set(&keys[i], &before, t.value[i]), "%s", keys[i].name);
			ck_assert_msg(keys[i].type == TYPE_PATH || value_equal(&keys[i], &at, &before),
			    "%s", keys[i].name);
			value_clear(&keys[i], &before);
		}
		ck_assert_msg(parse(i, t.other[i]), "%s: %s", keys[i].name, fix_lines(&errors));
		value_clear(&keys[i], &at);
	}
}
END_TEST

/* The member of each width, and no byte beside it. */
START_TEST(numbers_fill_their_member_alone)
{
	static const struct { enum key_id id; const char *text; uint64_t v; } t[] = {
		{ KEY_PORT, "65535", 65535 }, { KEY_COPY_DSCP, "true", 1 }, { KEY_MTU, "9216", 9216 },
		{ KEY_LIFETIME, "7d", USEC_S(604800) }, { KEY_REPLAY_WINDOW, "8192", 8192 },
		{ KEY_MTU, "route", 0 }, { KEY_LIVENESS, "never", 0 }, { KEY_PIN, "2", 1 },
		{ KEY_METRIC, "1000000", 1000000 }, { KEY_HOLD, "0", 0 },
	};

	for (size_t i = 0; i < N_OF(t); i++) {
		const struct key *k = &keys[t[i].id];
		uint8_t *p = (uint8_t *)&at;
		uint64_t v = 0;

		memset(&at, 0xa5, sizeof(at));
		ck_assert_msg(value_set(k, &at, t[i].text), "%s", k->name);
		ck_assert_ptr_eq(value_member(k, &at), p + k->at);
		memcpy(&v, p + k->at, k->size);			/* little endian, as all we run on */
		ck_assert_msg(v == t[i].v, "%s: %llu", k->name, (unsigned long long)v);
		for (size_t b = 0; b < sizeof(at); b++)
			ck_assert(p[b] == 0xa5 || (b >= k->at && b < k->at + k->size));
	}
}
END_TEST

/* What is refused leaves the member as it was. */
START_TEST(a_refused_value_changes_nothing)
{
	static const struct { enum key_id id; const char *good, *bad; } t[] = {
		{ KEY_LOG, "warn", "loud" }, { KEY_PORT, "501", "65536" }, { KEY_PORT, "501", "05" },
		{ KEY_PORT, "501", "[1]" }, { KEY_LIFETIME, "1h", "1s" }, { KEY_COPY_DSCP, "true", "yes" },
		{ KEY_REMOTE, "192.0.2.1", "224.0.0.1" }, { KEY_REMOTE, "192.0.2.1", "::" },
		{ KEY_REMOTE, "192.0.2.1", "fe80::1" }, { KEY_REMOTE, "192.0.2.1", "::ffff:1.2.3.4" },
		{ KEY_REMOTE, "192.0.2.1", "240.0.0.1" }, { KEY_REMOTE, "192.0.2.1", "0.0.0.1" },
		{ KEY_CONTROL, "/run/x", "run/x" }, { KEY_DEVICE, "eth7", "lo" },
		{ KEY_DEVICE, "eth7", "a/b" }, { KEY_DEVICE, "eth7", "sixteen-letters-" },
		{ KEY_LOCAL_ID, "a.example", "''" }, { KEY_PRESET, "aws", "azure" },
	};
	static uint8_t was[sizeof(at)];

	for (size_t i = 0; i < N_OF(t); i++) {
		memset(&at, 0, sizeof(at));
		ck_assert_msg(parse(t[i].id, t[i].good), "%s: %s", t[i].good, fix_lines(&errors));
		memcpy(was, &at, sizeof(at));
		ck_assert_msg(!parse(t[i].id, t[i].bad), "%s", t[i].bad);
		ck_assert_uint_eq(errors.n, 1);
		ck_assert_mem_eq(&at, was, sizeof(at));
	}
}
END_TEST

/* A word alone is a list of one; a new list takes the place of the old; right items are kept. */
START_TEST(lists_are_read_item_by_item)
{
	const struct key *networks = &keys[KEY_NETWORKS], *esp = &keys[KEY_ESP];

	ck_assert(parse(KEY_NETWORKS, "10.1.0.0/16"));
	ck_assert_uint_eq(value_count(networks, &at), 1);
	ck_assert(parse(KEY_NETWORKS, "[10.2.0.0/16, 'fd00::/8', 192.0.2.7]"));
	ck_assert_uint_eq(value_count(networks, &at), 3);
	ck_assert_uint_eq(at.connection.networks[0].ip.b[1], 2);
	ck_assert_uint_eq(at.connection.networks[2].len, 32);
	ck_assert(!parse(KEY_NETWORKS, "[10.2.0.0/16, 10.3.0.1/16, {a: 1}, 10.4.0.0/16]"));
	ck_assert_uint_eq(errors.n, 2);
	ck_assert_uint_eq(value_count(networks, &at), 2);
	ck_assert(!parse(KEY_NETWORKS, "[]"));
	value_clear(networks, &at);
	ck_assert_uint_eq(value_count(networks, &at), 0);
	ck_assert_ptr_null(at.connection.networks);
	ck_assert(value_set(esp, &at, "aes128gcm16 aes256gcm16"));
	ck_assert_uint_eq(value_count(esp, &at), 2);
	ck_assert(value_set(esp, &at, "aes256gcm16"));
	ck_assert_uint_eq(value_count(esp, &at), 1);
	ck_assert(!parse(KEY_ESP, "[aes128gcm16, aes128gcm16]"));
	ck_assert(strstr(errors.line[0], "given twice") != NULL);
	ck_assert(!parse(KEY_IKE, "[aes256gcm16-prfsha384-ecp384, aes256gcm16-prfsha384-ecp384]"));
	ck_assert(strstr(errors.line[0], "given twice") != NULL);
	ck_assert(!parse(KEY_IKE, "''"));
}
END_TEST

START_TEST(an_inside_link_has_two_hosts)
{
	static const struct { const char *text; bool good; } t[] = {
		{ "10.0.0.1/30", true }, { "10.0.0.2/30", true }, { "10.0.0.3/30", false },
		{ "10.0.0.0/30", true }, { "10.0.0.0/31", true }, { "10.0.0.1/31", true },
		{ "10.0.0.1/32", false }, { "10.0.0.1/29", false }, { "10.0.0.1", false },
		{ "'fd00::1/126'", true }, { "'fd00::1/127'", true }, { "'fd00::1/128'", false },
		{ "[10.0.0.1/30, 'fd00::1/126']", true }, { "[10.0.0.1/30, 10.0.1.1/30]", false },
		{ "x/30", false }, { "10.0.0.1/x", false },
	};

	for (size_t i = 0; i < N_OF(t); i++) {
		memset(&at, 0, sizeof(at));
		ck_assert_msg(parse(KEY_INSIDE, t[i].text) == t[i].good, "%s", t[i].text);
	}
	ck_assert(parse(KEY_INSIDE, "[10.0.0.1/30, 'fd00::5/126']"));
	ck_assert_uint_eq(at.tunnel.inside_len[0], 30);
	ck_assert_uint_eq(at.tunnel.inside_len[1], 126);
	ck_assert_uint_eq(at.tunnel.inside_local[1].b[15], 5);	/* host bits are kept */
	ck_assert(parse(KEY_INSIDE, "10.0.0.1/30"));
	ck_assert_uint_eq(at.tunnel.inside_len[1], 0);
}
END_TEST

START_TEST(paths_have_the_length_of_their_member)
{
	char text[CONFIG_PATH_MAX + 1];

	memset(text, 'a', sizeof(text));
	text[CONFIG_PATH_MAX - 1] = '\0';
	ck_assert(parse(KEY_PSK_FILE, text));
	ck_assert_str_eq(at.tunnel.psk_file, text);
	text[CONFIG_PATH_MAX - 1] = 'a';
	text[CONFIG_PATH_MAX] = '\0';
	ck_assert(!parse(KEY_PSK_FILE, text));
	ck_assert(strstr(errors.line[0], "at most 1023 bytes") != NULL);
}
END_TEST

START_TEST(plain_is_letters_digits_and_three_more)
{
	ck_assert(value_is_plain("Az09-_."));
	ck_assert(value_is_plain(""));
	for (int c = 1; c < 256; c++) {
		char text[] = { 'a', (char)c, '\0' };
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '_' || c == '.';

		ck_assert_msg(value_is_plain(text) == plain, "%d", c);
	}
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_key_is_read);
	tcase_add_test(t, numbers_fill_their_member_alone);
	tcase_add_test(t, a_refused_value_changes_nothing);
	tcase_add_test(t, lists_are_read_item_by_item);
	tcase_add_test(t, an_inside_link_has_two_hosts);
	tcase_add_test(t, paths_have_the_length_of_their_member);
	tcase_add_test(t, plain_is_letters_digits_and_three_more);
}

UNIT_MAIN("gateway/value", fill)
