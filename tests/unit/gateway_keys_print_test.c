/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/keys.h"
#include "unit.h"

/* The table of keys as it is printed: for a terminal, and in the two files that are made of it. */

static char *
printed_as(enum keys_format format)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	keys_print(to, format);
	fclose(to);
	return text;
}

static char *
file_text(const char *path)
{
	static char text[65536];
	FILE *f = fopen(path, "r");
	size_t len;

	ck_assert_msg(f != NULL, "%s: run from the top of the tree", path);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	fclose(f);
	return text;
}

static void
file_has_keys(const char *path, enum keys_format format)
{
	char *printed = printed_as(format);

	if (strstr(file_text(path), printed) == NULL)
		fprintf(stderr, "it should be:\n%s", printed);	/* too long for check */
	ck_assert_msg(strstr(file_text(path), printed) != NULL,
	    "%s is not what the table of keys says", path);
	free(printed);
}

START_TEST(the_documentation_is_the_table)
{
	file_has_keys("docs/configuration.md", KEYS_MARKDOWN);
	file_has_keys("gateway/tandem.yaml.5", KEYS_MAN);
}
END_TEST

START_TEST(the_table_prints_every_key_for_people)
{
	char *printed = printed_as(KEYS_TEXT), line[64];

	for (size_t i = 0; i < KEY_N; i++) {
		snprintf(line, sizeof(line), "\n  %s", keys[i].name);
		ck_assert_msg(strstr(printed, line) != NULL, "%s", keys[i].name);
		ck_assert_ptr_nonnull(strstr(printed, keys[i].doc));
	}
	free(printed);
}
END_TEST

/* A row of each kind, as it should read. */
START_TEST(a_row_says_what_holds_where_nothing_is_written)
{
	static const char *const rows[] = {
		"| `port` | a number from 1 to 65535 | 500 | daemon restart | ",
		"| `local-networks` | a network such as 10.0.0.0/16, or a list of them | none | live | ",
		"| `device` | 1 to 15 letters, digits, '-', '_' and dots | from the name | restart | ",
		"| `mode` | start or add | start | live | ",
		"| `ike` | a suite such as aes256gcm16-prfsha384-ecp384, or a list of them | see below "
		    "| rekey | ",
		"| `esn` | true or false | true; aws: false | rekey | ",
		"| `remote` * | an IP address | required | restart | ",
		"\n- `ike`, preset aws: aes256gcm16-prfsha384-ecp384\n",
	};
	char *printed = printed_as(KEYS_MARKDOWN);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(strstr(printed, rows[i]) != NULL, "%s", rows[i]);
	free(printed);
}
END_TEST

START_TEST(the_manual_page_is_safe_for_troff)
{
	char *printed = printed_as(KEYS_MAN), *save = NULL;

	ck_assert_ptr_nonnull(strstr(printed, "\\fBpsk\\-file\\fR *\n"));
	for (char *l = strtok_r(printed, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save)) {
		ck_assert_msg(l[0] != '\'', "%s", l);
		ck_assert_msg(l[0] != '.' || strncmp(l, ".TP", 3) == 0 || strncmp(l, ".SS", 3) == 0,
		    "%s", l);
	}
	free(printed);
}
END_TEST

/* Programs get the same table. */
START_TEST(the_table_is_there_for_programs)
{
	char expected[KEY_EXPECTED_LEN];
	json_t *all = keys_table_json(), *one;

	ck_assert_uint_eq(json_array_size(all), KEY_N);
	for (size_t i = 0; i < KEY_N; i++) {
		one = json_array_get(all, i);
		ck_assert_str_eq(json_string_value(json_object_get(one, "name")), keys[i].name);
		ck_assert_str_eq(json_string_value(json_object_get(one, "doc")), keys[i].doc);
		ck_assert_str_eq(json_string_value(json_object_get(one, "expected")),
		    key_expected(&keys[i], expected));
		ck_assert(json_is_true(json_object_get(one, "required")) == keys[i].required);
	}
	one = json_array_get(all, KEY_POLICY);
	ck_assert_str_eq(json_string_value(json_object_get(one, "level")), "connection");
	one = json_array_get(all, KEY_ESN);
	ck_assert_str_eq(json_string_value(json_object_get(one, "default")), keys[KEY_ESN].value[0]);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(one, "presets"), "aws")),
	    key_default(&keys[KEY_ESN], PRESET_AWS));
	json_decref(all);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, the_table_is_there_for_programs);
	tcase_add_test(t, the_documentation_is_the_table);
	tcase_add_test(t, the_table_prints_every_key_for_people);
	tcase_add_test(t, a_row_says_what_holds_where_nothing_is_written);
	tcase_add_test(t, the_manual_page_is_safe_for_troff);
}

UNIT_MAIN("gateway/keys_print", fill)
