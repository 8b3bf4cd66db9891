/* SPDX-License-Identifier: MIT */
#include "base/metric.h"

#include <ctype.h>
#include <string.h>

#include "unit.h"

/* Each reason has a name of its own, that says its direction, and a line of help. */
START_TEST(every_drop_has_a_name_and_a_meaning)
{
	for (int d = 0; d < DROP_N; d++) {
		const struct drop_info *info = drop_info((enum drop)d);

		ck_assert_msg(info != NULL && info->name != NULL && info->help != NULL, "drop %d", d);
		ck_assert_int_eq(strncmp(info->name, d < DROP_IN_SHORT ? "out-" : "in-",
		    d < DROP_IN_SHORT ? 4 : 3), 0);
		for (const char *c = info->name; *c != '\0'; c++)
			ck_assert(islower((unsigned char)*c) || *c == '-');
		ck_assert_ptr_null(strchr(info->help, '\n'));
		ck_assert(info->usual == (strstr(info->help, "not a fault") != NULL));
		for (int e = 0; e < d; e++)
			ck_assert_str_ne(info->name, drop_info((enum drop)e)->name);
	}
	ck_assert_ptr_null(drop_info(DROP_N));
	ck_assert_ptr_null(drop_info((enum drop)-1));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, every_drop_has_a_name_and_a_meaning);
}

UNIT_MAIN("base/metric", fill)
