/* SPDX-License-Identifier: MIT */
#define RIG_WORKERS 3
#include "gateway_tap.h"

/*
 * Child SAs of a connection that several workers share (RFC 9611): each goes to whom it is for,
 * and is freed when the last who was given it has given it back.  The workers are the test's.
 *
 * Three workers; the connection is served by 1 (the home, resource 0) and 2 (resource 1).
 */
static const char yaml[] =
    "connections:\n"
    "  other:\n"
    "    preset: tandem\n"
    "    networks: [10.30.0.0/16]\n"
    TAP_TUNNELS_OF("2")
    "  office:\n"
    "    preset: tandem\n"
    "    networks: [10.20.0.0/16]\n"
    "    workers: 2\n"
    TAP_TUNNELS_OF("1");

static size_t before;

static void
setup(void)
{
	tap_new(yaml);
	(void)heard_of("");
	before = secrets_used(tap.r.g.secrets);
	ck_assert_uint_eq(tunnel(2)->c->home, 1);
	ck_assert_uint_eq(tunnel(2)->id % 3, 1);
}

static void
ike_does(struct ike_action a)
{
	a.tunnel = tunnel(2)->id;
	tap.ike[tap.ike_n++] = a;
	gw_drain(&tap.r.g, tap.now);
}

/* IKE has negotiated one for a resource: SPI `spi` in, spi + 0x1000 out. */
static void
accepted_suite(uint32_t spi, unsigned resource, enum aead_id aead, uint16_t key_len)
{
	struct child_sa *c = secret_alloc(tap.r.g.secrets, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	c->tunnel = tunnel(2)->id;
	c->spi_in = spi;
	c->spi_out = spi + 0x1000;
	c->resource = (uint8_t)resource;
	c->aead = aead;
	c->key_len = key_len;
	c->window = 64;
	c->local = endpoint_of("192.0.2.1", 4500);
	c->remote = endpoint_of("203.0.113.11", 4500);
	ike_does((struct ike_action){ .kind = IKE_SA_IN, .spi_in = spi, .child = c });
}

static void
accepted(uint32_t spi, unsigned resource)
{
	accepted_suite(spi, resource, AEAD_AES_GCM_16_256, 36);
}

static void
used(uint32_t spi, uint64_t resources)
{
	ike_does((struct ike_action){ .kind = IKE_SA_OUT, .spi_in = spi, .resources = resources });
}

static void
dropped(uint32_t spi)
{
	ike_does((struct ike_action){ .kind = IKE_SA_DROP, .spi_in = spi });
}

/* A worker gives back an outbound SA by the peer's SPI. */
static void
gives_back(uint32_t spi_out)
{
	struct esp_sa *sa;
	unsigned i = 0;

	while (tap.sa_out[i] != NULL && esp_sa_spi(tap.sa_out[i]) != spi_out)
		i++;
	sa = tap.sa_out[i];
	ck_assert_ptr_nonnull(sa);
	for (; tap.sa_out[i] != NULL; i++)
		tap.sa_out[i] = tap.sa_out[i + 1];
	gw_sa_back(&tap.r.g, sa);
}

/* SPIs 0x100 + k mod 3: 0x102 is of worker 0, 0x103 of 1, 0x104 of 2. */
START_TEST(each_is_given_its_own)
{
	ck_assert_uint_eq(tap.conf.resources, 2);
	accepted(0x103, 0);
	expect_said("", "esp sa-in office/1 103 @1\n");
	used(0x103, 3);				/* the first: for both, until there is another */
	expect_said("esp sa-out", "esp sa-out office/1 1103 @1\nesp sa-out office/1 1103 @2\n");
	accepted(0x104, 1);
	expect_said("", "esp sa-in office/1 104 @2\n");
	used(0x104, 2);
	expect_said("esp sa-out", "esp sa-out office/1 1104 @2\n");
	gives_back(0x1103);			/* worker 2 has its own now */
	used(0x104, 2);				/* once */
	expect_said("", "");
	ck_assert(tunnel(2)->spi_in[0] == 0x103 && tunnel(2)->spi_in[1] == 0x104);
	dropped(0x104);
	expect_said("", "esp sa-drop office/1 104 1104 @1\nesp sa-drop office/1 104 1104 @2\n");
	ck_assert(tunnel(2)->spi_in[0] == 0x103 && tunnel(2)->spi_in[1] == 0);
	used(0x103, 2);				/* back to the first */
	expect_said("", "esp sa-out office/1 1103 @2\n");
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 4);
	gives_back(0x1104);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 3);
}
END_TEST

/* Dropped, it is freed with the last of those who were given it, in whatever order. */
START_TEST(the_last_frees_it)
{
	accepted(0x103, 0);
	used(0x103, 3);
	accepted(0x106, 0);			/* its successor */
	used(0x106, 3);
	dropped(0x103);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 4);
	gives_back(0x1103);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 4);
	gives_back(0x1103);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 3);
	gives_back(0x1106);			/* kept, though nobody has it: IKE has */
	gives_back(0x1106);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 3);
	dropped(0x106);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 2);
}
END_TEST

/* All have one suite, but for the time of a rekey into another: then what fits into each counts. */
START_TEST(the_tightest_has_the_mtu)
{
	accepted(0x103, 0);
	used(0x103, 3);
	expect_said("esp path", "esp path @1\nesp path @2\n");
	accepted(0x104, 1);
	used(0x104, 2);
	expect_said("esp path", "");
	accepted_suite(0x107, 1, AEAD_AES_CBC_256_HMAC_SHA2_256, 64);
	used(0x107, 2);
	ck_assert_uint_eq(tap.path->t[0].mtu, 1422);
	accepted_suite(0x106, 0, AEAD_AES_CBC_256_HMAC_SHA2_256, 64);
	used(0x106, 1);
	ck_assert_uint_eq(tap.path->t[0].mtu, 1422);
	accepted(0x109, 0);
	used(0x109, 1);
	ck_assert_uint_eq(tap.path->t[0].mtu, 1422);	/* the other has it still */
	accepted(0x10a, 1);
	used(0x10a, 2);
	ck_assert_uint_eq(tap.path->t[0].mtu, 1438);
}
END_TEST

/* The worker of the SPI learns of its end also when the connection is gone. */
START_TEST(a_late_end_goes_where_it_lies)
{
	accepted(0x104, 1);
	connection_del(&tap.r.g, tunnel(2)->c);
	(void)heard_of("");
	tap.ike[tap.ike_n++] = (struct ike_action){ .kind = IKE_SA_DROP, .spi_in = 0x104 };
	gw_drain(&tap.r.g, tap.now);
	expect_said("", "esp sa-drop ?/0 104 1104 @1\nesp sa-drop ?/0 104 1104 @2\n");
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, tap_free);
	tcase_add_test(t, each_is_given_its_own);
	tcase_add_test(t, the_last_frees_it);
	tcase_add_test(t, the_tightest_has_the_mtu);
	tcase_add_test(t, a_late_end_goes_where_it_lies);
}

UNIT_MAIN("gateway/carry", fill)
