/* SPDX-License-Identifier: MIT */
#include "ike/sa.h"

#include "ike/tunnel.h"
#include "tests/unit/ike_exchange_text.h"

static unsigned
count_lines(void)
{
	unsigned n = 0;

	for (const char *p = rig_lines; (p = strchr(p, '\n')) != NULL; p++)
		n++;
	return n;
}

static void
check_line(const char *line)
{
	ck_assert_str_eq(rig_lines, line);
	rig_lines[0] = '\0';
}

static struct ike_sa
a_sa(const char *name)
{
	struct ike_sa sa = { .spi = 0x123456789abcdef0, .initiator = true,
	    .remote = { { AF_INET, { 192, 0, 2, 7 } }, 4500 } };

	snprintf(sa.name, sizeof(sa.name), "%s", name);
	return sa;
}

/* Who first - tunnel, peer, IKE SA with our role -, then what. */
START_TEST(a_line_says_who_and_what)
{
	struct ike_sa sa = a_sa("site/1");

	rig_listen(LOG_LEVEL_DEBUG);
	story(&sa, LOG_LEVEL_INFO, "child-up", "spi_in=%08x esp=%s", 0xabcu, "aes");
	check_line("info child-up tunnel=site/1 peer=192.0.2.7:4500 ike=123456789abcdef0_i "
	    "spi_in=00000abc esp=aes\n");
	sa.initiator = false;
	sa.spi = 1;
	sa.remote = (struct endpoint){ { AF_INET6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, 500 };
	story(&sa, LOG_LEVEL_WARN, "ike-step", "a=1");
	check_line("warn ike-step tunnel=site/1 peer=[2001:db8::1]:500 ike=0000000000000001_r "
	    "a=1\n");
}
END_TEST

/* R19: what is absent is accepted: no tunnel yet, no address, nothing to add. */
START_TEST(what_is_absent_is_accepted)
{
	struct ike_sa sa = { .spi = 0 };

	rig_listen(LOG_LEVEL_DEBUG);
	story(&sa, LOG_LEVEL_DEBUG, "ike-step", "%s", "");
	check_line("debug ike-step tunnel=? peer=any ike=0000000000000000_r\n");
}
END_TEST

START_TEST(a_tunnel_has_its_name)
{
	struct tunnel t = { .conf.name = "office-aws/2" };

	rig_listen(LOG_LEVEL_DEBUG);
	story_tunnel(&t, LOG_LEVEL_NOTICE, "tunnel-down", "reason=\"%s\"", "gone");
	check_line("notice tunnel-down tunnel=office-aws/2 reason=\"gone\"\n");
}
END_TEST

/* Below the level nothing is said, by any of the three. */
START_TEST(what_is_not_wanted_is_not_said)
{
	struct ike_sa sa = a_sa("site/1");
	struct tunnel t = { .conf.name = "site/1" };
	struct ike ike = { .now = USEC_S(1) };

	rig_listen(LOG_LEVEL_WARN);
	story(&sa, LOG_LEVEL_INFO, "a", "b=1");
	story_tunnel(&t, LOG_LEVEL_NOTICE, "a", "b=1");
	story_stranger(&ike, "a", "b=1");
	check_line("");
	story(&sa, LOG_LEVEL_WARN, "a", "b=1");
	story_tunnel(&t, LOG_LEVEL_ERROR, "a", "b=1");
	ck_assert_uint_eq(count_lines(), 2);
	ck_assert_uint_eq(ike.stranger_n, 0);	/* what was not said does not count */
}
END_TEST

/* Strangers can write what they like: twenty lines in ten seconds, of all of them. */
START_TEST(strangers_do_not_fill_the_log)
{
	struct ike ike = { .remote = { { AF_INET, { 203, 0, 113, 9 } }, 500 } };

	rig_listen(LOG_LEVEL_INFO);
	ike.now = USEC_S(100);
	story_stranger(&ike, "ike-unknown-peer", "n=%d", 1);
	check_line("info ike-unknown-peer peer=203.0.113.9:500 n=1\n");
	for (unsigned i = 0; i < 100; i++) {
		ike.remote.ip.b[3] = (uint8_t)i;
		ike.now += USEC_MS(50);
		story_stranger(&ike, "ike-unknown-peer", "n=%u", i);
	}
	ck_assert_uint_eq(count_lines(), 19);
	ike.now = USEC_S(110) - 1;
	story_stranger(&ike, "ike-unknown-peer", "late");
	ck_assert_uint_eq(count_lines(), 19);
	ike.now++;
	for (unsigned i = 0; i < 100; i++)
		story_stranger(&ike, "ike-unknown-peer", "n=%u", i);
	ck_assert_uint_eq(count_lines(), 19 + 20);
}
END_TEST

/* A text of any length makes one line, within the bound of a line. */
START_TEST(a_long_story_is_cut)
{
	char text[4 * LOG_LINE_MAX];
	struct ike_sa sa = a_sa("site/1");
	struct tunnel t = { .conf.name = "site/1" };
	struct ike ike = { .now = USEC_S(1) };

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < 3; i++) {
		rig_listen(LOG_LEVEL_DEBUG);
		if (i == 0)
			story(&sa, LOG_LEVEL_INFO, "long", "%s", text);
		else if (i == 1)
			story_tunnel(&t, LOG_LEVEL_INFO, "long", "%s", text);
		else
			story_stranger(&ike, "long", "%s", text);
		ck_assert_uint_eq(count_lines(), 1);
		ck_assert_uint_le(strlen(rig_lines), LOG_LINE_MAX + strlen("info \n"));
		ck_assert_ptr_nonnull(strstr(rig_lines, "xxxx"));
	}
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, a_line_says_who_and_what);
	tcase_add_test(tc, what_is_absent_is_accepted);
	tcase_add_test(tc, a_tunnel_has_its_name);
	tcase_add_test(tc, what_is_not_wanted_is_not_said);
	tcase_add_test(tc, strangers_do_not_fill_the_log);
	tcase_add_test(tc, a_long_story_is_cut);
}

UNIT_MAIN("ike/story", fill)
