/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "gateway/mistakes.h"
#include "unit.h"

START_TEST(lines_come_in_file_order_without_repetition)
{
	struct config_errors e, w;
	struct mistakes m;

	mistakes_init(&m, "f");
	mistake(&m, (struct place){ 3, 1 }, "c");
	mistake(&m, (struct place){ 1, 9 }, "b");
	mistake_warn(&m, (struct place){ 1, 1 }, "w %d", 7);
	mistake(&m, (struct place){ 1, 2 }, "a");
	mistake(&m, (struct place){ 3, 1 }, "d");
	mistake(&m, (struct place){ 3, 1 }, "c");
	mistake(&m, (struct place){ 0, 0 }, "whole");
	mistakes_finish(&m, &e, &w);
	ck_assert_uint_eq(e.n, 5);
	ck_assert_str_eq(e.line[0], "f: whole");
	ck_assert_str_eq(e.line[1], "f:1:2: a");
	ck_assert_str_eq(e.line[2], "f:1:9: b");
	ck_assert_str_eq(e.line[3], "f:3:1: c");
	ck_assert_str_eq(e.line[4], "f:3:1: d");
	ck_assert_uint_eq(w.n, 1);
	ck_assert_str_eq(w.line[0], "f:1:1: w 7");
	config_errors_free(&e);
	config_errors_free(&w);
	ck_assert_uint_eq(e.n, 0);
}
END_TEST

START_TEST(a_long_sentence_ends_in_dots)
{
	struct config_errors e, w;
	char text[400];
	struct mistakes m;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	mistakes_init(&m, "f");
	mistake(&m, (struct place){ 1, 1 }, "%s", text);
	text[MISTAKE_LEN] = '\0';
	mistake(&m, (struct place){ 1, 2 }, "%s", text);
	mistakes_finish(&m, &e, &w);
	ck_assert_uint_eq(strlen(e.line[0]), strlen("f:1:1: ") + MISTAKE_LEN);
	ck_assert_str_eq(e.line[0] + strlen(e.line[0]) - 4, "x...");
	ck_assert_str_eq(e.line[1] + strlen(e.line[1]) - 4, "xxxx");
	config_errors_free(&e);
	config_errors_free(&w);
}
END_TEST

/* What others put into a sentence makes no line of its own and moves no cursor. */
START_TEST(a_sentence_is_one_printable_line)
{
	struct config_errors e, w;
	struct mistakes m;

	mistakes_init(&m, "f");
	mistake(&m, (struct place){ 1, 1 }, "a %s", "b\nf:2:2: \033[2J\x7f \xc2\x9b \xc3\xa4");
	mistakes_finish(&m, &e, &w);
	ck_assert_str_eq(e.line[0], "f:1:1: a b?f:2:2: ?[2J? ?? \xc3\xa4");
	config_errors_free(&e);
	config_errors_free(&w);
}
END_TEST

START_TEST(no_memory_is_never_silent)
{
	struct config_errors e, w;
	struct mistakes m;

	mistakes_init(&m, "f");
	m.no_memory = true;
	mistakes_finish(&m, &e, &w);
	ck_assert_uint_eq(e.n, 1);
	ck_assert_str_eq(e.line[0], "f: out of memory");
	config_errors_free(&e);
	config_errors_free(&w);
}
END_TEST

/* Of a stranger's text only what can be printed reaches a terminal, and not much of it. */
START_TEST(shown_text_is_short_and_printable)
{
	char buf[SHOWN_LEN];

	ck_assert_str_eq(shown("a\033[2Jb\xc3\xa4\n", buf), "a?[2Jb???");
	ck_assert_str_eq(shown("1234567890123456789012345678901234567890", buf),
	    "1234567890123456789012345678901234567890");
	ck_assert_str_eq(shown("12345678901234567890123456789012345678901", buf),
	    "1234567890123456789012345678901234567890...");
}
END_TEST

START_TEST(the_nearest_word_is_near)
{
	static const struct {
		const char *word, *best;
	} t[] = {
		{ "networks", "networks" }, { "netwroks", "networks" }, { "network", "networks" },
		{ "neworks", "networks" }, { "netxorks", "networks" }, { "nettworks", "networks" },
		{ "networks_", "networks" }, { "net", NULL }, { "x", NULL }, { "", NULL },
		{ "hsot", "host" }, { "hots", "host" }, { "hst", "host" }, { "hx", NULL },
		{ "local_id", "local-id" }, { "completely-else", NULL },
		{ "a-word-so-long-that-nothing-can-be-near-to-it", NULL },
	};
	static const char *const known[] = { "networks", "host", "local-id" };

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct nearest n = nearest_to(t[i].word);
		char buf[NEAREST_LEN];

		for (unsigned k = 0; k < 3; k++)
			nearest_try(&n, known[k]);
		if (t[i].best == NULL)
			ck_assert_msg(n.best == NULL, "%s is near to %s", t[i].word, n.best);
		else
			ck_assert_msg(n.best != NULL && strcmp(n.best, t[i].best) == 0, "%s", t[i].word);
		ck_assert_int_eq(*nearest_str(&n, buf) == '\0', t[i].best == NULL);
	}
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, lines_come_in_file_order_without_repetition);
	tcase_add_test(t, a_long_sentence_ends_in_dots);
	tcase_add_test(t, a_sentence_is_one_printable_line);
	tcase_add_test(t, no_memory_is_never_silent);
	tcase_add_test(t, shown_text_is_short_and_printable);
	tcase_add_test(t, the_nearest_word_is_near);
}

UNIT_MAIN("gateway/mistakes", fill)
