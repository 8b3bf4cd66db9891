/* SPDX-License-Identifier: MIT */
#include "ike/payload.h"

#include <string.h>

#include "unit.h"

#define BUF	70000

static uint8_t buf[BUF];

static struct rd
written(const struct wr *w)
{
	ck_assert(wr_ok(w));
	return rd_init(w->base, wr_len(w));
}

/* What is shorter than the fixed part of a payload is refused by every parser. */
START_TEST(truncations_are_refused)
{
	struct pld_ke ke;
	struct slice nonce;
	struct ike_id id;
	struct pld_auth auth;
	struct pld_notify n;
	struct pld_delete d;
	const uint8_t ke_body[] = { 0, 31, 0, 0, 7 };
	const uint8_t id_body[] = { ID_FQDN, 0, 0, 0, 'a' };
	const uint8_t auth_body[] = { 2, 0, 0, 0 };
	const uint8_t n_body[] = { 3, 4, 0x40, 9, 1, 2, 3, 4 };
	const uint8_t d_body[] = { 3, 4, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8 };

	for (size_t len = 0; len <= sizeof(ke_body); len++)
		ck_assert_int_eq(pld_ke_parse(rd_init(ke_body, len), &ke), len == sizeof(ke_body));
	for (size_t len = 0; len <= NONCE_MIN; len++)
		ck_assert_int_eq(pld_nonce_parse(rd_init(buf, len), &nonce), len == NONCE_MIN);
	for (size_t len = 0; len <= sizeof(id_body); len++)
		ck_assert_int_eq(pld_id_parse(rd_init(id_body, len), &id), len == sizeof(id_body));
	for (size_t len = 0; len <= sizeof(auth_body); len++)
		ck_assert_int_eq(pld_auth_parse(rd_init(auth_body, len), &auth),
		    len == sizeof(auth_body));
	for (size_t len = 0; len <= sizeof(n_body); len++)
		ck_assert_int_eq(pld_notify_parse(rd_init(n_body, len), &n), len == sizeof(n_body));
	for (size_t len = 0; len <= sizeof(d_body); len++)
		ck_assert_int_eq(pld_delete_parse(rd_init(d_body, len), &d), len == sizeof(d_body));
}
END_TEST

START_TEST(ke_reads_back_what_was_written)
{
	const uint8_t value[] = { 1, 2, 3 };
	struct pld_ke in = { .group = 31, .data = value, .len = 3 }, out;
	struct wr w = wr_init(buf, BUF);

	pld_ke_write(&w, &in);
	ck_assert(pld_ke_parse(written(&w), &out));
	ck_assert_uint_eq(out.group, 31);
	ck_assert_uint_eq(out.len, 3);
	ck_assert_mem_eq(out.data, value, 3);
	buf[2] = buf[3] = 0xff;		/* RESERVED is ignored */
	ck_assert(pld_ke_parse(written(&w), &out));
}
END_TEST

/* R11: nonces of 0, 1, 15, 16, 256, 257 bytes. */
START_TEST(nonce_bounds)
{
	static const struct {
		size_t len;
		bool ok;
	} cases[] = { { 0, false }, { 1, false }, { 15, false }, { 16, true }, { 256, true },
		{ 257, false }, { 65535, false } };
	struct slice nonce;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(pld_nonce_parse(rd_init(buf, cases[i].len), &nonce), cases[i].ok);
		if (cases[i].ok)
			ck_assert_uint_eq(nonce.len, cases[i].len);
	}
}
END_TEST

/* R6, R11: an identity is copied whole or not at all. */
START_TEST(id_bounds)
{
	static const struct {
		uint8_t type;
		size_t len;
		bool ok;
	} cases[] = {
		{ ID_FQDN, 0, false }, { ID_FQDN, 1, true }, { ID_FQDN, 256, true },
		{ ID_FQDN, 257, false }, { ID_FQDN, 65531, false }, { ID_KEY_ID, 256, true },
		{ ID_IPV4_ADDR, 3, false }, { ID_IPV4_ADDR, 4, true }, { ID_IPV4_ADDR, 5, false },
		{ ID_IPV6_ADDR, 15, false }, { ID_IPV6_ADDR, 16, true }, { ID_IPV6_ADDR, 17, false },
		{ 0, 4, false }, { 200, 4, true }, { ID_DER_ASN1_DN, 257, false },
	};
	struct ike_id id;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(buf, 'x', BUF);
		buf[0] = cases[i].type;
		ck_assert_msg(pld_id_parse(rd_init(buf, 4 + cases[i].len), &id) == cases[i].ok,
		    "type %u with %zu bytes", cases[i].type, cases[i].len);
		if (cases[i].ok)
			ck_assert_uint_eq(id.len, cases[i].len);
	}
}
END_TEST

static struct ike_id
id_of(uint8_t type, const void *data, size_t len)
{
	struct ike_id id = { .type = type, .len = (uint16_t)len };

	memcpy(id.data, data, len);
	return id;
}

/* R6: equal only if type, length and bytes are. */
START_TEST(ids_are_equal_only_when_all_is)
{
	struct ike_id a = id_of(ID_FQDN, "gw.example", 10), none = { 0 }, other;

	ck_assert(id_equal(&a, &a));
	other = id_of(ID_FQDN, "gw.example", 9);
	ck_assert(!id_equal(&a, &other) && !id_equal(&other, &a));
	other = id_of(ID_FQDN, "gw.example.", 11);
	ck_assert(!id_equal(&a, &other) && !id_equal(&other, &a));
	other = id_of(ID_FQDN, "gw.example\0", 11);
	ck_assert(!id_equal(&a, &other) && !id_equal(&other, &a));
	other = id_of(ID_FQDN, "gw\0example", 10);
	ck_assert(!id_equal(&a, &other) && !id_equal(&other, &a));
	other = id_of(ID_FQDN, "GW.example", 10);
	ck_assert(!id_equal(&a, &other));
	other = id_of(ID_KEY_ID, "gw.example", 10);
	ck_assert(!id_equal(&a, &other));
	ck_assert(!id_equal(&none, &none));
	ck_assert(!id_equal(&a, &none) && !id_equal(&none, &a));
}
END_TEST

static const struct {
	const char *text, *shown;	/* shown NULL: as written */
	uint8_t type;
	uint16_t len;
} ids[] = {
	{ "192.0.2.1", NULL, ID_IPV4_ADDR, 4 },
	{ "2001:db8::1", NULL, ID_IPV6_ADDR, 16 },
	{ "gw.example.net", NULL, ID_FQDN, 14 },
	{ "office_1", NULL, ID_FQDN, 8 },
	{ "user@example.net", NULL, ID_RFC822_ADDR, 16 },
	{ "keyid:branch 7", "keyid:branch\\x207", ID_KEY_ID, 8 },
	{ "fqdn:192.0.2.1", NULL, ID_FQDN, 9 },
	{ "fqdn:gw.example.net", "gw.example.net", ID_FQDN, 14 },
	{ "email:a@b", "a@b", ID_RFC822_ADDR, 3 },
	{ "email:fqdn:a@b", NULL, ID_RFC822_ADDR, 8 },
	{ "email:dn:a@b", NULL, ID_RFC822_ADDR, 6 },
	{ "fqdn:keyid:a", NULL, ID_FQDN, 7 },
	{ "ipv4:192.0.2.1", "192.0.2.1", ID_IPV4_ADDR, 4 },
	{ "ipv6:2001:db8::1", "2001:db8::1", ID_IPV6_ADDR, 16 },
};

START_TEST(id_text_reads_back)
{
	char err[200], text[ID_STRLEN];
	struct ike_id id, wire, again;
	struct wr w = wr_init(buf, BUF);

	ck_assert_msg(id_parse(ids[_i].text, &id, err, sizeof(err)), "%s: %s", ids[_i].text, err);
	ck_assert_uint_eq(id.type, ids[_i].type);
	ck_assert_uint_eq(id.len, ids[_i].len);
	(void)id_str(&id, text, sizeof(text));
	ck_assert_str_eq(text, ids[_i].shown != NULL ? ids[_i].shown : ids[_i].text);
	if (strchr(text, '\\') == NULL) {
		ck_assert(id_parse(text, &again, err, sizeof(err)));
		ck_assert(id_equal(&id, &again));
	}
	pld_id_write(&w, &id);
	ck_assert(pld_id_parse(written(&w), &wire));
	ck_assert(id_equal(&id, &wire));
}
END_TEST

START_TEST(id_text_that_means_nothing_is_refused)
{
	static const char *const bad[] = {
		"", "a b", "host/name", "@", "user@", "@host", "ipv4:2001:db8::1", "ipv4:gw",
		"ipv6:192.0.2.1", "fqdn:", "keyid:", "dn:CN=x", "email:nobody", "a b@c",
	};
	char long_text[ID_DATA_MAX + 16], err[200];
	struct ike_id id;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = '\0';
		ck_assert_msg(!id_parse(bad[i], &id, err, sizeof(err)), "\"%s\"", bad[i]);
		ck_assert_msg(err[0] != '\0', "no sentence for \"%s\"", bad[i]);
	}
	memset(long_text, 'a', sizeof(long_text));
	long_text[ID_DATA_MAX] = '\0';
	ck_assert(id_parse(long_text, &id, err, sizeof(err)));
	long_text[ID_DATA_MAX] = 'a';
	long_text[ID_DATA_MAX + 1] = '\0';
	ck_assert(!id_parse(long_text, &id, err, sizeof(err)));
}
END_TEST

/* An identity of a peer's making cannot forge a log line, whatever its bytes and type. */
START_TEST(id_text_is_always_printable_and_fits)
{
	char text[ID_STRLEN], tiny[8];

	for (unsigned type = 0; type < 256; type++) {
		struct ike_id id = { .type = (uint8_t)type, .len = ID_DATA_MAX };

		for (unsigned i = 0; i < ID_DATA_MAX; i++)
			id.data[i] = (uint8_t)i;
		(void)id_str(&id, text, sizeof(text));
		ck_assert_uint_lt(strlen(text), sizeof(text));
		for (const char *p = text; *p != '\0'; p++)
			ck_assert(*p > ' ' && *p < 0x7f && *p != '"');
		(void)id_str(&id, tiny, sizeof(tiny));
		ck_assert_uint_lt(strlen(tiny), sizeof(tiny));
	}
}
END_TEST

START_TEST(notify_reads_back_what_was_written)
{
	const uint8_t spi[] = { 0xc0, 0, 0, 1 }, data[] = { 9, 8 };
	struct pld_notify in = { .proto = PROTO_ESP, .type = N_REKEY_SA,
		.spi = { spi, 4 }, .data = { data, 2 } }, out;
	struct wr w = wr_init(buf, BUF);

	pld_notify_write(&w, &in);
	ck_assert(pld_notify_parse(written(&w), &out));
	ck_assert_uint_eq(out.proto, PROTO_ESP);
	ck_assert_uint_eq(out.type, N_REKEY_SA);
	ck_assert_uint_eq(out.spi.len, 4);
	ck_assert_uint_eq(out.data.len, 2);
	ck_assert_mem_eq(out.data.p, data, 2);
	ck_assert_uint_eq(pld_notify_esp_spi(&out), 0xc0000001);
	out.spi.len = 3;
	ck_assert_uint_eq(pld_notify_esp_spi(&out), 0);
	out.spi.len = 4;
	out.proto = PROTO_IKE;
	ck_assert_uint_eq(pld_notify_esp_spi(&out), 0);
	ck_assert_str_eq(notify_name(N_REKEY_SA), "REKEY_SA");
	ck_assert_str_eq(notify_name(48), "TS_MAX_QUEUE");
	ck_assert_str_eq(notify_name(16444), "SA_RESOURCE_INFO");
	ck_assert_str_eq(notify_name(12345), "error");
	ck_assert_str_eq(notify_name(54321), "status");
}
END_TEST

START_TEST(delete_fits_its_body_exactly)
{
	const uint32_t spis[] = { 0x11223344, 0xdeadbeef };
	struct wr w = wr_init(buf, BUF);
	struct pld_delete d;
	const uint8_t bad[][12] = {
		{ 1, 4, 0, 1, 1, 2, 3, 4 },	/* IKE with an SPI */
		{ 1, 0, 0, 1 },			/* IKE with a count */
		{ 3, 8, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8 },
		{ 3, 0, 0, 0 },			/* ESP without SPI size */
		{ 0, 0, 0, 0 }, { 9, 4, 0, 1, 1, 2, 3, 4 },
		{ 3, 4, 0, 1, 1, 2, 3, 4, 5 },	/* something left over */
	};
	const size_t len[] = { 8, 4, 12, 4, 4, 8, 9 };

	pld_delete_write(&w, PROTO_ESP, spis, 2);
	ck_assert(pld_delete_parse(written(&w), &d));
	ck_assert_uint_eq(d.proto, PROTO_ESP);
	ck_assert_uint_eq(d.n, 2);
	ck_assert_uint_eq(pld_delete_spi(&d, 0), spis[0]);
	ck_assert_uint_eq(pld_delete_spi(&d, 1), spis[1]);
	w = wr_init(buf, BUF);
	pld_delete_write(&w, PROTO_IKE, NULL, 0);
	ck_assert_uint_eq(wr_len(&w), 4);
	ck_assert(pld_delete_parse(written(&w), &d));
	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++)
		ck_assert_msg(!pld_delete_parse(rd_init(bad[i], len[i]), &d), "case %zu", i);
}
END_TEST

START_TEST(writers_stop_at_the_end_of_the_buffer)
{
	const uint32_t spi = 7;
	struct pld_notify n = { .type = N_COOKIE, .data = { buf, 64 } };
	struct ike_id id = id_of(ID_FQDN, "gw.example", 10);
	uint8_t small[10];
	struct wr w = wr_init(small, sizeof(small));

	pld_notify_write(&w, &n);
	ck_assert(!wr_ok(&w));
	w = wr_init(small, sizeof(small));
	pld_id_write(&w, &id);
	ck_assert(!wr_ok(&w));
	w = wr_init(small, 7);
	pld_delete_write(&w, PROTO_ESP, &spi, 1);
	ck_assert(!wr_ok(&w));
	n.spi = (struct slice){ buf, 256 };	/* its length byte cannot say that */
	w = wr_init(buf, BUF);
	pld_notify_write(&w, &n);
	ck_assert(!wr_ok(&w));
}
END_TEST

START_TEST(sets_are_named)
{
	char text[200], tiny[6];

	ck_assert_str_eq(pld_set_str(P_SA | P_KE | P_NONCE, text, sizeof(text)), "SA,KE,Nonce");
	ck_assert_str_eq(pld_set_str(0, text, sizeof(text)), "");
	ck_assert_uint_lt(strlen(pld_set_str(UINT32_MAX, tiny, sizeof(tiny))), sizeof(tiny));
	ck_assert_str_eq(pld_name(PLD_TSI), "TSi");
	ck_assert_str_eq(pld_name(99), "unknown");
	ck_assert(pld_is_known(PLD_SKF) && pld_is_known(PLD_SA) && pld_is_known(PLD_EAP));
	ck_assert(!pld_is_known(0) && !pld_is_known(32) && !pld_is_known(49) && !pld_is_known(255));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, truncations_are_refused);
	tcase_add_test(t, ke_reads_back_what_was_written);
	tcase_add_test(t, nonce_bounds);
	tcase_add_test(t, id_bounds);
	tcase_add_test(t, ids_are_equal_only_when_all_is);
	tcase_add_loop_test(t, id_text_reads_back, 0, (int)(sizeof(ids) / sizeof(ids[0])));
	tcase_add_test(t, id_text_that_means_nothing_is_refused);
	tcase_add_test(t, id_text_is_always_printable_and_fits);
	tcase_add_test(t, notify_reads_back_what_was_written);
	tcase_add_test(t, delete_fits_its_body_exactly);
	tcase_add_test(t, writers_stop_at_the_end_of_the_buffer);
	tcase_add_test(t, sets_are_named);
}

UNIT_MAIN("ike/payload", fill)
