/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "config_unit.h"
#include "gateway/value.h"

START_TEST(every_row_of_the_table_is_whole)
{
	for (size_t i = 0; i < KEY_N; i++) {
		const struct key *k = &keys[i];
		char expected[KEY_EXPECTED_LEN];

		ck_assert_msg(k->name != NULL && k->name[0] != '\0', "row %zu has no name", i);
		ck_assert_msg(k->doc != NULL && k->doc[strlen(k->doc) - 1] == '.', "%s", k->name);
		ck_assert_msg(strchr(k->doc, '|') == NULL, "%s breaks the tables of the docs", k->name);
		ck_assert_msg(*key_expected(k, expected) != '\0', "%s", k->name);
		ck_assert_msg(strlen(expected) < KEY_EXPECTED_LEN - 1, "%s: %s", k->name, expected);
		ck_assert_ptr_eq(key_find(k->name, k->home), k);
		ck_assert_msg(!k->shared || key_find(k->name, HOME_CONNECTION) == k, "%s", k->name);
		ck_assert(k->shared || k->home == HOME_CONNECTION ||
		    key_find(k->name, HOME_CONNECTION) == NULL);
		/* A word without entry has a default or follows from something. */
		ck_assert_msg(k->required || k->value[PRESET_NONE] != NULL || k->follows != NULL ||
		    i == KEY_PRESET, "%s has no value when it is not written", k->name);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(keys[j].name, k->name);
	}
	ck_assert_ptr_null(key_find("remote", HOME_GATEWAY));
	ck_assert_ptr_null(key_find("inside", HOME_CONNECTION));
}
END_TEST

/* Presets and defaults are read by the same readers as a file, and read back the same. */
START_TEST(every_default_is_a_good_value)
{
	for (unsigned p = 0; p < PRESET_N; p++) {
		for (size_t i = 0; i < KEY_N; i++) {
			static struct config_connection c;	/* the largest of the three */
			const char *text = key_default(&keys[i], p);
			json_t *json;

			ck_assert_uint_le(sizeof(struct config), sizeof(c));
			ck_assert_uint_le(sizeof(struct config_tunnel), sizeof(c));
			if (text == NULL)
				continue;
			memset(&c, 0, sizeof(c));
			ck_assert_msg(value_set(&keys[i], &c, text), "%s: %s", keys[i].name, text);
			json = value_json(&keys[i], &c);
			ck_assert_msg(json != NULL, "%s", keys[i].name);
			if (json_is_string(json) && keys[i].type != TYPE_DURATION)
				ck_assert_str_eq(json_string_value(json), text);
			json_decref(json);
			value_clear(&keys[i], &c);
		}
	}
}
END_TEST

START_TEST(durations_read_and_print)
{
	static const struct {
		const char *text, *print;
		usec_t t;
	} t[] = {
		{ "3600", "1h", USEC_S(3600) }, { "60m", "1h", USEC_S(3600) }, { "1h", "1h", USEC_S(3600) },
		{ "90s", "90s", USEC_S(90) }, { "1d", "1d", USEC_S(86400) }, { "36h", "36h", USEC_S(129600) },
		{ "200ms", "200ms", USEC_MS(200) }, { "1500ms", "1500ms", USEC_MS(1500) },
		{ "0", "0s", 0 }, { "0ms", "0s", 0 }, { "7d", "7d", USEC_S(604800) },
	};
	static const char *const wrong[] = { "", "h", "1x", "1 h", " 1h", "1h ", "01h", "00", "-1s", "+1s",
		"1.5h", "1h30m", "1H", "0x10", "1e3", "s1" };
	char buf[DURATION_LEN];
	usec_t v;

	for (size_t i = 0; i < N_OF(t); i++) {
		ck_assert_msg(duration_parse(t[i].text, &v), "%s", t[i].text);
		ck_assert_uint_eq(v, t[i].t);
		ck_assert_str_eq(duration_str(v, buf), t[i].print);
	}
	for (size_t i = 0; i < N_OF(wrong); i++)
		ck_assert_msg(!duration_parse(wrong[i], &v), "'%s' is taken", wrong[i]);
	/* Far beyond what fits: large, not small. */
	ck_assert(duration_parse("99999999999999999999999d", &v) && v > USEC_S(1000000000));
	ck_assert(duration_parse("4294967295d", &v) && v > USEC_S(1000000000));
	ck_assert(duration_parse("99999999999ms", &v) && v > USEC_S(10000000));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, every_row_of_the_table_is_whole);
	tcase_add_test(t, every_default_is_a_good_value);
	tcase_add_test(t, durations_read_and_print);
}

UNIT_MAIN("gateway/keys", fill)
