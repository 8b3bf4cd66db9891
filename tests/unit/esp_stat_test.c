/* SPDX-License-Identifier: MIT */
#include "esp/stat.h"

#include "unit.h"

/* A full bucket gives its burst, then the rate, and never saves up more than the burst. */
START_TEST(limit_holds)
{
	struct limit l = { .at = 0 };
	usec_t now = USEC_S(1000);
	unsigned n = 0;

	while (limit_take(&l, now, 10, 20))
		n++;
	ck_assert_uint_eq(n, 20);
	for (n = 0; n < 100; n++) {
		now += USEC_MS(99);
		(void)limit_take(&l, now, 10, 20);
	}
	ck_assert(!limit_take(&l, now, 10, 20) || !limit_take(&l, now, 10, 20));
	now += USEC_S(3600);
	for (n = 0; limit_take(&l, now, 10, 20); n++)
		;
	ck_assert_uint_eq(n, 20);
	/* over a long time exactly the rate */
	for (n = 0; now < USEC_S(1000 + 3600 + 1000); now += USEC_MS(1))
		n += limit_take(&l, now, 10, 20);
	ck_assert_msg(n >= 9890 && n <= 9910, "%u in 990 s", n);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, limit_holds);
}

UNIT_MAIN("esp_stat", fill)
