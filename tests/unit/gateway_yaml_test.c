/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "gateway/yaml.h"
#include "unit.h"

struct read {
	struct mistakes m;
	struct yaml_tree *tree;
	struct config_errors e, w;
};

static const struct yaml_node *
read_text(struct read *r, const char *text, size_t len)
{
	mistakes_init(&r->m, "f");
	r->tree = yaml_tree_read(text, len, &r->m);
	mistakes_finish(&r->m, &r->e, &r->w);
	return r->tree != NULL ? yaml_tree_root(r->tree) : NULL;
}

static void
read_end(struct read *r)
{
	yaml_tree_free(r->tree);
	config_errors_free(&r->e);
	config_errors_free(&r->w);
}

START_TEST(every_node_knows_its_place)
{
	static const char text[] = "\xef\xbb\xbf# first\na: 1\nb:\n  - x\n  - {c: 'y z', d: [1, 2]}\n\"e\": |\n  text\n";
	const struct yaml_node *root, *b, *map;
	struct read r;

	root = read_text(&r, text, sizeof(text) - 1);
	ck_assert_ptr_nonnull(root);
	ck_assert(root->shape == YAML_MAP && root->n == 3);
	ck_assert_str_eq(root->first->key->text, "a");
	ck_assert_str_eq(root->first->text, "1");
	ck_assert_uint_eq(root->first->key->at.line, 2);
	ck_assert_uint_eq(root->first->at.column, 4);
	b = root->first->next;
	ck_assert(b->shape == YAML_LIST && b->n == 2);
	ck_assert_uint_eq(b->first->at.line, 4);
	map = b->first->next;
	ck_assert_uint_eq(map->at.column, 5);
	ck_assert_str_eq(map->first->text, "y z");
	ck_assert_uint_eq(map->first->next->first->next->at.column, 23);
	ck_assert_str_eq(b->next->key->text, "e");
	ck_assert_str_eq(b->next->text, "text\n");
	read_end(&r);
}
END_TEST

/* Columns are characters, as editors count, not bytes. */
START_TEST(columns_count_characters)
{
	static const char text[] = "{\xc3\xa4\xc3\xb6: 1, b: 2}";
	const struct yaml_node *root;
	struct read r;

	root = read_text(&r, text, sizeof(text) - 1);
	ck_assert_uint_eq(root->first->next->key->at.column, 9);
	read_end(&r);
	(void)read_text(&r, "\xc3\xa4: \x01", 5);
	ck_assert(r.e.n == 1 && strncmp(r.e.line[0], "f:1:4: this is not UTF-8 text", 29) == 0);
	read_end(&r);
}
END_TEST

START_TEST(what_surprises_people_is_refused)
{
	static const struct {
		const char *text, *error;
		bool tree;
	} t[] = {
		{ "a: 1\na: 2\n", "f:2:1: the key 'a' is given twice; the first is in line 1", true },
		{ "{a: 1, b: 2, 'a': 3}", "f:1:14: the key 'a' is given twice", true },
		{ "a: &x 1\n", "f:1:4: the anchor '&x'", true },
		{ "a: &x {b: 1}\n", "f:1:4: the anchor '&x'", true },
		{ "a: *x\n", "f:1:4: the alias '*x'", true },
		{ "a: !x 1\n", "f:1:4: the tag '!x'", true },
		{ "a: !!map {}\n", "f:1:4: the tag", true },
		{ "a: !!seq []\n", "f:1:4: the tag", true },
		{ "%TAG ! tag:x,2000:\n---\na: 1\n", "f:1:1: directives", true },
		{ "? [a]\n: 1\n", "f:1:3: a key is a list", true },
		{ "{{a: 1}: 2}\n", "f:1:2: a key is a map", true },
		{ "a: \"\\0\"\n", "f:1:4: this text has a NUL", true },
		{ "a: 1\n...\n---\nb: 1\n", "f:3:1: a second document", false },
		{ "a: 1\n---\n", "f:2:1: a second document", false },
		{ "a:\n\tb: 1\n", "f:2:1: YAML cannot be indented with tabs", false },
		{ "a: [1, 2\n", "f:2:1: broken YAML", false },
		{ "a: 'x\n", "f:2:1: broken YAML", false },
		{ "a: b: c\n", "f:1:5: broken YAML", false },
		{ "a: 1\n b: 2\n", "f:2:3: broken YAML", false },
		{ "a: \xc3\n", "f:1:5: this is not UTF-8", false },
		{ "\xff\xfe" "a", "f:1:1: this is not UTF-8", false },
		{ "a: \x7f\n", "f:1:4: this is not UTF-8", false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct read r;

		(void)read_text(&r, t[i].text, strlen(t[i].text));
		ck_assert_msg(r.e.n == 1 && strncmp(r.e.line[0], t[i].error, strlen(t[i].error)) == 0,
		    "%s: %s", t[i].text, r.e.n > 0 ? r.e.line[0] : "no error");
		ck_assert_int_eq(r.tree != NULL, t[i].tree);
		read_end(&r);
	}
}
END_TEST

/* The second of two equal keys does not reach those who read the tree. */
START_TEST(the_first_of_equal_keys_stays)
{
	const struct yaml_node *root;
	struct read r;

	root = read_text(&r, "{a: 1, b: 2, a: 3, a: 4}", 24);
	ck_assert_uint_eq(r.e.n, 2);
	ck_assert_uint_eq(root->n, 2);
	ck_assert_str_eq(root->first->text, "1");
	ck_assert_str_eq(root->first->next->key->text, "b");
	ck_assert_ptr_null(root->first->next->next);
	read_end(&r);
}
END_TEST

START_TEST(depth_is_bounded)
{
	char text[2 * YAML_DEPTH_MAX + 8];

	for (size_t n = YAML_DEPTH_MAX; n <= YAML_DEPTH_MAX + 1; n++) {
		struct read r;

		memset(text, '[', n);
		memset(text + n, ']', n);
		(void)read_text(&r, text, 2 * n);
		ck_assert_int_eq(r.tree != NULL, n == YAML_DEPTH_MAX);
		ck_assert(r.tree != NULL || strstr(r.e.line[0], "nested too deep") != NULL);
		read_end(&r);
	}
}
END_TEST

START_TEST(values_are_bounded)
{
	char *text = malloc(2 * YAML_NODES_MAX + 8);

	for (size_t n = YAML_NODES_MAX - 1; n <= YAML_NODES_MAX; n++) {
		struct read r;
		size_t len = 0;

		text[len++] = '[';
		for (size_t i = 0; i < n; i++) {
			text[len++] = 'x';
			text[len++] = ',';
		}
		text[len++] = ']';
		(void)read_text(&r, text, len);
		ck_assert_int_eq(r.tree != NULL, n == YAML_NODES_MAX - 1);	/* and the list itself */
		ck_assert(r.tree != NULL || strstr(r.e.line[0], "too many values") != NULL);
		read_end(&r);
	}
	free(text);
}
END_TEST

START_TEST(size_is_bounded)
{
	char *text = malloc(YAML_BYTES_MAX + 1);

	memset(text, ' ', YAML_BYTES_MAX + 1);
	text[0] = 'a';
	for (size_t len = YAML_BYTES_MAX; len <= YAML_BYTES_MAX + 1; len++) {
		struct read r;

		(void)read_text(&r, text, len);
		ck_assert_int_eq(r.tree != NULL, len == YAML_BYTES_MAX);
		ck_assert(r.tree != NULL || strstr(r.e.line[0], "1048577 bytes are too many") != NULL);
		read_end(&r);
	}
	free(text);
}
END_TEST

START_TEST(json_is_yaml)
{
	static const char text[] = "{\"a\": [1, true, \"x\"], \"b\":\n{\"c\": \"\\u00e4\"}}";
	const struct yaml_node *root;
	struct read r;

	root = read_text(&r, text, sizeof(text) - 1);
	ck_assert_uint_eq(r.e.n, 0);
	ck_assert_str_eq(root->first->first->next->text, "true");
	ck_assert_str_eq(root->first->next->first->text, "\xc3\xa4");
	read_end(&r);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, every_node_knows_its_place);
	tcase_add_test(t, columns_count_characters);
	tcase_add_test(t, what_surprises_people_is_refused);
	tcase_add_test(t, the_first_of_equal_keys_stays);
	tcase_add_test(t, depth_is_bounded);
	tcase_add_test(t, values_are_bounded);
	tcase_add_test(t, size_is_bounded);
	tcase_add_test(t, json_is_yaml);
}

UNIT_MAIN("gateway/yaml", fill)
