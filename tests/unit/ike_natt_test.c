/* SPDX-License-Identifier: MIT */
#include "ike/natt.h"

#include <string.h>

#include "json_vectors.h"
#include "unit.h"

#define SPI_I	0x0123456789abcdef
#define SPI_R	0xfedcba9876543210

static uint8_t buf[2000];
static struct msg m;
static struct endpoint here, there, elsewhere;

static struct endpoint
endpoint(const char *text, uint16_t port)
{
	struct endpoint e = { .port = port };

	ck_assert(ip_parse(text, &e.ip));
	return e;
}

/* A message from `there` to `here` with these hashes: NULL leaves one out. */
static void
received(const struct endpoint *source, const struct endpoint *second,
    const struct endpoint *destination)
{
	const struct ike_hdr h = { .spi_i = SPI_I, .spi_r = SPI_R, .exchange = X_IKE_SA_INIT };
	uint8_t hash[NATT_HASH_LEN];
	struct msg_wr mw;

	msg_start(&mw, buf, sizeof(buf), &h);
	if (source != NULL && natt_hash(SPI_I, SPI_R, source, hash))
		msg_add_notify(&mw, N_NAT_DETECTION_SOURCE_IP, hash, sizeof(hash));
	if (second != NULL && natt_hash(SPI_I, SPI_R, second, hash))
		msg_add_notify(&mw, N_NAT_DETECTION_SOURCE_IP, hash, sizeof(hash));
	if (destination != NULL && natt_hash(SPI_I, SPI_R, destination, hash))
		msg_add_notify(&mw, N_NAT_DETECTION_DESTINATION_IP, hash, sizeof(hash));
	ck_assert_int_eq(msg_parse(buf, msg_end(&mw), &m), MSG_OK);
}

static struct natt
seen(void)
{
	struct natt n;

	natt_read(&m, &here, &there, &n);
	return n;
}

static void
setup(void)
{
	here = endpoint("192.0.2.1", 500);
	there = endpoint("198.51.100.7", 500);
	elsewhere = endpoint("203.0.113.9", 500);
}

/* Computed apart: SHA-1 over SPIs, address, port. */
START_TEST(hashes)
{
	struct endpoint v4 = endpoint("192.0.2.1", 500), v6 = endpoint("2001:db8::1", 4500);
	uint8_t got[NATT_HASH_LEN], want[NATT_HASH_LEN];

	ck_assert(natt_hash(SPI_I, SPI_R, &v4, got));
	(void)unhex("b43b59394bf8bc930246a8f80b6fddf05c58d9bf", want, sizeof(want));
	ck_assert_mem_eq(got, want, sizeof(want));
	ck_assert(natt_hash(SPI_I, 0, &v6, got));
	(void)unhex("3171550555febfcaa96bf57ef38afe1449b1b00f", want, sizeof(want));
	ck_assert_mem_eq(got, want, sizeof(want));
}
END_TEST

START_TEST(a_nat_is_seen_where_it_is)
{
	struct natt n;

	setup();
	received(&there, NULL, &here);
	n = seen();
	ck_assert(n.present && !n.nat_local && !n.nat_remote && !n.peer_fakes);
	received(&elsewhere, NULL, &here);
	n = seen();
	ck_assert(n.present && !n.nat_local && n.nat_remote && !n.peer_fakes);
	received(&there, NULL, &elsewhere);
	n = seen();
	ck_assert(n.present && n.nat_local && !n.nat_remote && !n.peer_fakes);
	received(&elsewhere, &there, &here);	/* one of several source hashes is enough */
	n = seen();
	ck_assert(n.present && !n.nat_local && !n.nat_remote);
	elsewhere = there;
	elsewhere.port = 501;			/* the port counts */
	received(&elsewhere, NULL, &here);
	ck_assert(seen().nat_remote);
}
END_TEST

START_TEST(half_a_detection_is_none)
{
	struct natt n;

	setup();
	received(NULL, NULL, NULL);
	ck_assert(!seen().present);
	received(&there, NULL, NULL);
	n = seen();
	ck_assert(!n.present && !n.nat_local && !n.nat_remote);
	received(NULL, NULL, &elsewhere);
	n = seen();
	ck_assert(!n.present && !n.nat_local && !n.nat_remote);
}
END_TEST

/* Only SOURCE is false: a foreign peer sees a NAT before us and none before itself, another
 * Tandem sees through it. */
START_TEST(ours_is_false_in_the_source_alone)
{
	const struct ike_hdr h = { .spi_i = SPI_I, .spi_r = SPI_R, .exchange = X_IKE_SA_INIT };
	uint8_t hash[NATT_HASH_LEN];
	struct msg_wr mw;
	struct natt n;

	setup();
	msg_start(&mw, buf, sizeof(buf), &h);
	ck_assert(natt_write(&mw, SPI_I, SPI_R, &here));
	ck_assert_int_eq(msg_parse(buf, msg_end(&mw), &m), MSG_OK);
	ck_assert_uint_eq(m.notify_n, 2);
	ck_assert(natt_hash(SPI_I, SPI_R, &here, hash));
	ck_assert_mem_eq(msg_notify(&m, N_NAT_DETECTION_DESTINATION_IP)->data.p, hash, sizeof(hash));
	ck_assert(natt_hash(SPI_I, SPI_R, &there, hash));
	ck_assert_mem_ne(msg_notify(&m, N_NAT_DETECTION_SOURCE_IP)->data.p, hash, sizeof(hash));
	n = seen();
	ck_assert(n.present && !n.nat_local && !n.nat_remote && n.peer_fakes);
	n = (struct natt){ 0 };
	here = elsewhere;			/* a NAT before us: the destination is another */
	n = seen();
	ck_assert(n.present && n.nat_local && n.peer_fakes);
}
END_TEST

/* R11: a hash of another length is none. */
START_TEST(hashes_of_a_wrong_length_are_ignored)
{
	const struct ike_hdr h = { .exchange = X_IKE_SA_INIT };
	uint8_t bytes[NATT_HASH_LEN + 1] = { 0 };
	struct msg_wr mw;

	setup();
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		msg_start(&mw, buf, sizeof(buf), &h);
		msg_add_notify(&mw, N_NAT_DETECTION_SOURCE_IP, bytes, len);
		msg_add_notify(&mw, N_NAT_DETECTION_DESTINATION_IP, bytes, len);
		ck_assert_int_eq(msg_parse(buf, msg_end(&mw), &m), MSG_OK);
		ck_assert_int_eq(seen().present, len == NATT_HASH_LEN);
	}
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, hashes);
	tcase_add_test(t, a_nat_is_seen_where_it_is);
	tcase_add_test(t, half_a_detection_is_none);
	tcase_add_test(t, ours_is_false_in_the_source_alone);
	tcase_add_test(t, hashes_of_a_wrong_length_are_ignored);
}

UNIT_MAIN("ike/natt", fill)
