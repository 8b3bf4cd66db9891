/* SPDX-License-Identifier: MIT */
#include "gateway_tap.h"

/* What the engine of a worker tells, and which machine learns of it. */

static struct gw *const g = &tap.r.g;

static void
setup(void)
{
	tap_new(tap_yaml);
	(void)heard_of("");
}

static void
tells(struct esp_event ev)
{
	ev.tunnel = tunnel(2)->id;
	gw_esp_fact(g, &ev);
}

/* Numbers run out: that Child SA is rekeyed, by the SPI of the peer's, and no other of the tunnel's. */
START_TEST(low_numbers_rekey_the_sa_that_has_them)
{
	tells((struct esp_event){ .kind = ESP_EV_SEQ_LOW, .spi = 0x1103 });
	expect_said("", "ike rekey branch/1 child\n");
	ck_assert_uint_eq(tap.fact.spi_out, 0x1103);
	ck_assert(!tap.fact.ike_sa);
}
END_TEST

/* The peer sends from elsewhere: IKE decides whether it believes that. */
START_TEST(a_peer_that_moved_is_told_to_ike)
{
	const struct endpoint there = endpoint_of("198.51.100.7", 61000);

	tells((struct esp_event){ .kind = ESP_EV_MOVED, .remote = there });
	expect_said("", "ike moved branch/1\n");
	ck_assert(endpoint_equal(&tap.fact.remote, &there));
}
END_TEST

/* An answered question: the monitor times it, and IKE need not ask whether the peer lives. */
START_TEST(an_echo_is_told_to_both)
{
	tells((struct esp_event){ .kind = ESP_EV_ECHO, .token = 7, .at = tap.now - 40 });
	expect_said("", "mon echo branch/1\nike heard branch/1\n");
}
END_TEST

/* Anybody can send an SPI that is not ours: no machine is troubled with it, but who looks for the
 * reason of `in-no-sa` can see where it comes from. */
START_TEST(a_stray_is_told_to_the_log)
{
	const struct esp_event ev = { .kind = ESP_EV_STRAY, .spi = 0x666,
	    .remote = endpoint_of("198.51.100.7", 4500) };

	tap.log[0] = '\0';
	tells(ev);
	ck_assert_str_eq(tap.log, "");
	log_level_set(LOG_LEVEL_DEBUG);
	tells(ev);
	log_level_set(LOG_LEVEL_INFO);
	ck_assert(logged("esp-stray spi=00000666", "remote=198.51.100.7:4500"));
	expect_said("", "");
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, tap_free);
	tcase_add_test(t, low_numbers_rekey_the_sa_that_has_them);
	tcase_add_test(t, a_peer_that_moved_is_told_to_ike);
	tcase_add_test(t, an_echo_is_told_to_both);
	tcase_add_test(t, a_stray_is_told_to_the_log);
}

UNIT_MAIN("gateway/facts", fill)
