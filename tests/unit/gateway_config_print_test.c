/* SPDX-License-Identifier: MIT */
#include <jansson.h>

#include "config_unit.h"
#include "config_text.h"

static char *
printed(const struct config *c, bool json)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	config_print(c, to, json);
	fclose(to);
	return text;
}

/* Put the values of one struct into `to`, without their origin. */
static void
copy_values(json_t *to, json_t *all)
{
	const char *name;
	json_t *key;

	json_object_foreach(all, name, key)
		json_object_set(to, name, json_object_get(key, "value"));
}

/* The values alone, as a configuration in JSON. */
static char *
as_config(const char *json)
{
	json_t *all = json_loads(json, 0, NULL), *connection, *tunnel;
	json_t *root = json_object(), *connections = json_object();
	char *text;
	size_t i, n;

	ck_assert_ptr_nonnull(all);
	ck_assert_int_eq(json_integer_value(json_object_get(all, "schema")), 1);
	copy_values(root, json_object_get(all, "gateway"));
	json_array_foreach(json_object_get(all, "connections"), i, connection) {
		json_t *c = json_object(), *tunnels = json_array();

		copy_values(c, json_object_get(connection, "keys"));
		json_array_foreach(json_object_get(connection, "tunnels"), n, tunnel) {
			json_t *t = json_object();

			copy_values(t, tunnel);
			json_array_append_new(tunnels, t);
		}
		json_object_set_new(c, "tunnels", tunnels);
		json_object_set_new(connections,
		    json_string_value(json_object_get(connection, "name")), c);
	}
	json_object_set_new(root, "connections", connections);
	text = json_dumps(root, 0);
	json_decref(root);
	json_decref(all);
	return text;
}

/* What is printed, written as a configuration, is the same configuration. */
static void
round_trip(struct fix *f, const char *text)
{
	struct config_op ops[8];
	char *json, *again, *json2, *again2;
	struct fix g;

	fix_init(&g);
	json = printed(fix_good(f, text), true);
	again = as_config(json);
	fix_good(&g, again);
	ck_assert_msg(config_diff(f->c, g.c, ops, 8) == 0, "%s differs in\n%s", ops[0].what, again);
	json2 = printed(g.c, true);
	again2 = as_config(json2);
	ck_assert_str_eq(again, again2);
	free(json);
	free(again);
	free(json2);
	free(again2);
	fix_fini(&g);
}

START_TEST(what_is_printed_loads_to_the_same)
{
	struct config_text t = config_text_base();
	struct fix f;

	fix_init(&f);
	round_trip(&f, fix_base);
	round_trip(&f, config_text_print(&t));
	for (size_t i = 0; i < KEY_N; i++) {
		t = config_text_base();
		t.value[i] = t.other[i];
		if (t.other[i] != NULL)
			round_trip(&f, config_text_print(&t));
	}
	round_trip(&f, fix_swap("lifetime: 1h\n    tunnels:\n      - local: 192.0.2.1\n"
	    "        remote: 203.0.113.1\n        inside: 169.254.10.1/30\n",
	    "preset: aws\n    tunnels:\n      - local: 192.0.2.1\n        remote: 203.0.113.1\n"
	    "        inside: 169.254.10.0/30\n"));
	round_trip(&f, fix_swap("lifetime: 1h", "preset: tandem"));
	fix_fini(&f);
}
END_TEST

static const char *
from_of(json_t *keys_of, const char *name)
{
	return json_string_value(json_object_get(json_object_get(keys_of, name), "from"));
}

START_TEST(each_value_says_where_it_comes_from)
{
	struct fix f;
	json_t *all, *connection, *of, *tunnel;
	char at[128], *json;

	fix_init(&f);
	json = printed(fix_good(&f, fix_swap("lifetime: 1h",
	    "preset: tandem\n    remote-id: x.example\n    mode: add")), true);
	all = json_loads(json, 0, NULL);
	connection = json_array_get(json_object_get(all, "connections"), 0);
	of = json_object_get(connection, "keys");
	snprintf(at, sizeof(at), "%s:8", f.name);
	ck_assert_str_eq(from_of(of, "mode"), at);
	ck_assert_str_eq(from_of(of, "retry-max"), "preset tandem");
	ck_assert_str_eq(from_of(of, "hold"), "default");
	ck_assert_str_eq(from_of(of, "device"), "from the name");
	tunnel = json_array_get(json_object_get(connection, "tunnels"), 1);
	snprintf(at, sizeof(at), "%s:7", f.name);
	ck_assert_str_eq(from_of(tunnel, "remote-id"), at);
	ck_assert_str_eq(from_of(tunnel, "local-id"), "from 'local'");
	ck_assert_str_eq(from_of(tunnel, "probe"), "from 'inside'");
	json_decref(all);
	free(json);
	fix_fini(&f);
}
END_TEST

/* People get one line a value, with the same origin; nobody gets a secret. */
START_TEST(people_see_every_key_and_no_secret)
{
	struct config_text t = config_text_base();
	struct fix f;
	char *text[2];

	fix_init(&f);
	fix_good(&f, config_text_print(&t));
	for (unsigned json = 0; json < 2; json++) {
		text[json] = printed(f.c, json);
		ck_assert_ptr_null(strstr(text[json], "secret-of-two"));
		for (size_t i = 0; i < KEY_N; i++) {
			if (t.value[i] != NULL)
				ck_assert_msg(strstr(text[json], keys[i].name) != NULL, "%s", keys[i].name);
		}
	}
	ck_assert_ptr_nonnull(strstr(text[0], "\nconnection office\n"));
	ck_assert_ptr_nonnull(strstr(text[0], "\n  tunnel 2\n"));
	ck_assert_ptr_nonnull(strstr(text[0], "\n  hold             30s  "));
	ck_assert_ptr_eq(strchr(text[1], '\n'), text[1] + strlen(text[1]) - 1);
	free(text[0]);
	free(text[1]);
	fix_fini(&f);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, what_is_printed_loads_to_the_same);
	tcase_add_test(t, each_value_says_where_it_comes_from);
	tcase_add_test(t, people_see_every_key_and_no_secret);
}

UNIT_MAIN("gateway/config_print", fill)
