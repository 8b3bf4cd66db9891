/* SPDX-License-Identifier: MIT */
#include "gateway/value.h"

#include "config_text.h"
#include "config_unit.h"

/* Values as JSON, and compared.  Each key of the table is walked with two good values. */

union base {
	struct config gateway;
	struct config_connection connection;
	struct config_tunnel tunnel;
};

static union base a, b;

static void
setup(void)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
}

static void
set(union base *to, enum key_id id, const char *text)
{
	struct config_errors e, w;
	struct yaml_tree *tree;
	struct mistakes m;

	mistakes_init(&m, "t");
	tree = yaml_tree_read(text, strlen(text), &m);
	ck_assert_ptr_nonnull(tree);
	ck_assert_msg(value_parse(&keys[id], to, yaml_tree_root(tree), &m), "%s", text);
	yaml_tree_free(tree);
	mistakes_finish(&m, &e, &w);
	config_errors_free(&e);
	config_errors_free(&w);
}

static void
shows(enum key_id id, const char *text, const char *json)
{
	json_t *is;
	char *got;

	set(&a, id, text);
	is = value_json(&keys[id], &a);
	got = is != NULL ? json_dumps(is, JSON_ENCODE_ANY | JSON_COMPACT) : strdup("nothing");
	ck_assert_msg(strcmp(got, json) == 0, "%s: %s is shown as %s", keys[id].name, text, got);
	free(got);
	json_decref(is);
	value_clear(&keys[id], &a);
}

START_TEST(each_type_is_shown_as_it_is_written)
{
	shows(KEY_LOG, "warn", "\"warn\"");
	shows(KEY_PRESET, "aws", "\"aws\"");
	shows(KEY_POLICY, "active-active", "\"active-active\"");
	shows(KEY_ESN, "true", "true");
	shows(KEY_ESN, "false", "false");
	shows(KEY_PORT, "501", "501");
	shows(KEY_MTU, "route", "\"route\"");
	shows(KEY_MTU, "1400", "1400");
	shows(KEY_LIFETIME, "3600", "\"1h\"");
	shows(KEY_LIVENESS, "never", "\"never\"");
	shows(KEY_REMOTE, "2001:db8:0::1", "\"2001:db8::1\"");
	shows(KEY_NETWORKS, "[10.1.0.0/16, 192.0.2.7, 'fd00::/8']",
	    "[\"10.1.0.0/16\",\"192.0.2.7/32\",\"fd00::/8\"]");
	shows(KEY_INSIDE, "['fd00::1/126', 10.0.0.1/30]", "[\"10.0.0.1/30\",\"fd00::1/126\"]");
	shows(KEY_PSK_FILE, "keys/a", "\"keys/a\"");
	shows(KEY_DEVICE, "eth7", "\"eth7\"");
	shows(KEY_ESP, "[aes256gcm16-ecp384, aes128gcm16]",
	    "[\"aes256gcm16-ecp384\",\"aes128gcm16\"]");
	shows(KEY_IKE, "aes256gcm16-prfsha384-ecp384", "[\"aes256gcm16-prfsha384-ecp384\"]");
	shows(KEY_LOCAL_ID, "a.example", "\"a.example\"");
	shows(KEY_LOCAL_ID, "198.51.100.9", "\"198.51.100.9\"");
	shows(KEY_LOCAL_ID, "'keyid:x y'", "\"keyid:x y\"");	/* as it was written */
}
END_TEST

/* Where nothing is there is nothing, not a zero that could be taken for a value. */
START_TEST(what_is_absent_is_not_shown)
{
	static const enum key_id none[] = { KEY_PRESET, KEY_CONTROL, KEY_DEVICE, KEY_REMOTE, KEY_LOCAL,
		KEY_LOCAL_ID, KEY_PSK_FILE, KEY_PROBE };
	static const enum key_id empty[] = { KEY_NETWORKS, KEY_INSIDE, KEY_IKE, KEY_ESP };

	for (size_t i = 0; i < N_OF(none); i++)
		ck_assert_msg(value_json(&keys[none[i]], &a) == NULL, "%s", keys[none[i]].name);
	for (size_t i = 0; i < N_OF(empty); i++) {
		json_t *list = value_json(&keys[empty[i]], &a);

		ck_assert_msg(json_is_array(list) && json_array_size(list) == 0, "%s",
		    keys[empty[i]].name);
		json_decref(list);
	}
	ck_assert_ptr_null(value_json(&keys[KEY_CONNECTIONS], &a));
	ck_assert_ptr_null(value_json(&keys[KEY_TUNNELS], &a));
}
END_TEST

/* Read back, what is shown is the same value. */
START_TEST(what_is_shown_can_be_written)
{
	const struct config_text t = config_text_base();

	for (unsigned i = 0; i < KEY_N; i++) {
		const char *text[2] = { t.value[i], t.other[i] };

		for (int k = 0; k < 2 && text[k] != NULL; k++) {
			json_t *json;
			char *yaml;

			setup();
			set(&a, i, text[k]);
			json = value_json(&keys[i], &a);
			yaml = json_dumps(json, JSON_ENCODE_ANY);
			set(&b, i, yaml);
			ck_assert_msg(value_equal(&keys[i], &a, &b), "%s: %s", keys[i].name, yaml);
			value_clear(&keys[i], &a);
			value_clear(&keys[i], &b);
			free(yaml);
			json_decref(json);
		}
	}
}
END_TEST

/* Two values of a key differ both ways; of a preset only its effect counts, and of the file of a
 * secret its content. */
START_TEST(other_values_are_not_equal)
{
	const struct config_text t = config_text_base();

	for (unsigned i = 0; i < KEY_N; i++) {
		if (t.value[i] == NULL || i == KEY_PSK_FILE)
			continue;
		setup();
		set(&a, i, t.value[i]);
		set(&b, i, t.other[i]);
		ck_assert_msg(!value_equal(&keys[i], &a, &b), "%s", keys[i].name);
		ck_assert_msg(!value_equal(&keys[i], &b, &a), "%s", keys[i].name);
		ck_assert_msg(value_equal(&keys[i], &b, &b), "%s", keys[i].name);
		value_clear(&keys[i], &a);
		value_clear(&keys[i], &b);
	}
	set(&a, KEY_PRESET, "aws");
	set(&b, KEY_PRESET, "tandem");
	ck_assert(value_equal(&keys[KEY_PRESET], &a, &b));
}
END_TEST

/* One item more, another one, another order, another length: each is another list. */
START_TEST(lists_are_compared_whole)
{
	static const struct { enum key_id id; const char *is, *other; } t[] = {
		{ KEY_NETWORKS, "[10.1.0.0/16, 10.2.0.0/16]", "[10.2.0.0/16, 10.1.0.0/16]" },
		{ KEY_NETWORKS, "[10.1.0.0/16, 10.2.0.0/16]", "[10.1.0.0/16, 10.2.0.0/17]" },
		{ KEY_NETWORKS, "[10.1.0.0/16, 10.2.0.0/16]", "10.1.0.0/16" },
		{ KEY_ESP, "[aes128gcm16, aes256gcm16]", "[aes256gcm16, aes128gcm16]" },
		{ KEY_ESP, "[aes128gcm16, aes256gcm16]", "aes128gcm16" },
		{ KEY_ESP, "aes128gcm16", "aes128gcm16-ecp256" },
		{ KEY_IKE, "aes256gcm16-prfsha384-ecp384", "aes256gcm16-prfsha256-ecp384" },
		{ KEY_INSIDE, "10.0.0.1/30", "10.0.0.2/30" },
		{ KEY_INSIDE, "10.0.0.1/30", "10.0.0.1/31" },
		{ KEY_INSIDE, "10.0.0.1/30", "[10.0.0.1/30, 'fd00::1/126']" },
	};

	for (size_t i = 0; i < N_OF(t); i++) {
		setup();
		set(&a, t[i].id, t[i].is);
		set(&b, t[i].id, t[i].other);
		ck_assert_msg(!value_equal(&keys[t[i].id], &a, &b), "%s", t[i].other);
		value_clear(&keys[t[i].id], &a);
		value_clear(&keys[t[i].id], &b);
	}
}
END_TEST

START_TEST(secrets_are_compared_by_content)
{
	static const uint8_t one[] = "the same secret", two[] = "the same secret";
	static const uint8_t other[] = "the same secreT";
	const struct key *k = &keys[KEY_PSK_FILE];

	set(&a, KEY_PSK_FILE, "here");
	set(&b, KEY_PSK_FILE, "there");
	ck_assert(value_equal(k, &a, &b));		/* none of either */
	a.tunnel.psk = one;
	b.tunnel.psk = two;
	a.tunnel.psk_len = b.tunnel.psk_len = sizeof(one) - 1;
	ck_assert(value_equal(k, &a, &b));
	b.tunnel.psk = other;
	ck_assert(!value_equal(k, &a, &b));
	b.tunnel.psk = two;
	b.tunnel.psk_len--;
	ck_assert(!value_equal(k, &a, &b));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, each_type_is_shown_as_it_is_written);
	tcase_add_test(t, what_is_absent_is_not_shown);
	tcase_add_test(t, what_is_shown_can_be_written);
	tcase_add_test(t, other_values_are_not_equal);
	tcase_add_test(t, lists_are_compared_whole);
	tcase_add_test(t, secrets_are_compared_by_content);
}

UNIT_MAIN("gateway/value_show", fill)
