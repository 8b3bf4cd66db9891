/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_JSON_VECTORS_H
#define TANDEM_JSON_VECTORS_H

#include <check.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Published test vectors.  Short ones are typed into tests as hex; the large files lie in a
 * folder of their own, named by the environment variable TANDEM_VECTORS (by default
 * ../shared/vectors).  Where a file is absent its cases are skipped and counted aloud in a
 * line that scripts/check adds up.
 */

/* Bytes of a string of hex digits (a fault of the test when it is not, or does not fit). */
static inline size_t
unhex(const char *hex, uint8_t *buf, size_t cap)
{
	size_t n = strlen(hex) / 2;
	unsigned byte;

	ck_assert_msg(strlen(hex) % 2 == 0 && n <= cap, "hex string of %zu digits", strlen(hex));
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		buf[i] = (uint8_t)byte;
	}
	return n;
}

/* The bytes of a field of a test case, e.g. "key". */
static inline size_t
vector_bytes(const json_t *test, const char *field, uint8_t *buf, size_t cap)
{
	const char *hex = json_string_value(json_object_get(test, field));

	ck_assert_msg(hex != NULL, "no field %s", field);
	return unhex(hex, buf, cap);
}

static inline long long
vector_number(const json_t *object, const char *field)
{
	const json_t *v = json_object_get(object, field);

	ck_assert_msg(json_is_integer(v), "no number %s", field);
	return json_integer_value(v);
}

static inline bool
vector_is(const json_t *test, const char *field, const char *value)
{
	const char *v = json_string_value(json_object_get(test, field));

	return v != NULL && strcmp(v, value) == 0;
}

/* NULL when the file is not there: says that `cases` are skipped.  The caller decrefs. */
static inline json_t *
vectors_load(const char *file, size_t cases)
{
	const char *dir = getenv("TANDEM_VECTORS");
	char path[1024];
	json_error_t error;
	json_t *root;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir != NULL ? dir : "../shared/vectors", file);
	f = fopen(path, "re");
	if (f == NULL) {
		printf("skipped: %zu vector cases of %s\n", cases, file);
		fflush(stdout);
		return NULL;
	}
	root = json_loadf(f, 0, &error);
	fclose(f);
	ck_assert_msg(root != NULL, "%s:%d: %s", path, error.line, error.text);
	return root;
}

/* One case.  Returns whether it fits our functions (and then it has passed). */
typedef bool vector_fn(const json_t *group, const json_t *test, void *arg);

/*
 * Run `fn` over all cases of a Wycheproof file, which must have `cases` of which `fit` fit:
 * so a filter that lets nothing through is seen.
 */
static inline void
vectors_each(const char *file, size_t cases, size_t fit, vector_fn *fn, void *arg)
{
	json_t *root = vectors_load(file, cases), *group, *test;
	size_t i, j, all = 0, used = 0;

	if (root == NULL)
		return;
	json_array_foreach(json_object_get(root, "testGroups"), i, group) {
		json_array_foreach(json_object_get(group, "tests"), j, test) {
			all++;
			used += fn(group, test, arg);
		}
	}
	ck_assert_uint_eq(all, cases);
	ck_assert_uint_eq(used, fit);
	json_decref(root);
}

#endif
