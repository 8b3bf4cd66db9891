/* SPDX-License-Identifier: MIT */
#include "ike/proposal.h"

#include <string.h>

#include "ike/payload.h"
#include "unit.h"

#define SPI	0x8877665544332211
#define ESP_SPI	0xc1c2c3c4

static uint8_t buf[65536];
static struct sa sa;
static char err[256];

static struct ike_suite
ike(const char *text)
{
	struct ike_suite s;

	ck_assert_msg(ike_suite_parse(text, &s, err, sizeof(err)), "%s: %s", text, err);
	return s;
}

static struct esp_suite
esp(const char *text)
{
	struct esp_suite s;

	ck_assert_msg(esp_suite_parse(text, &s, err, sizeof(err)), "%s: %s", text, err);
	return s;
}

static void
parsed(const struct wr *w)
{
	ck_assert(wr_ok(w));
	ck_assert(sa_parse(rd_init(w->base, wr_len(w)), &sa));
}

static void
offer_ike(const struct ike_suite *s, unsigned n, uint64_t spi)
{
	struct wr w = wr_init(buf, sizeof(buf));

	sa_write_ike(&w, s, n, spi);
	parsed(&w);
}

static void
offer_esp(const struct esp_suite *s, unsigned n, bool groups)
{
	struct wr w = wr_init(buf, sizeof(buf));

	sa_write_esp(&w, s, n, ESP_SPI, groups);
	parsed(&w);
}

/* Transforms as a peer may put them: type, id, key length. */
struct put {
	uint8_t type;
	uint16_t id, bits;
};

static void
put_proposal(struct wr *w, uint8_t proto, bool last, const struct put *t, unsigned n)
{
	size_t at = wr_len(w);

	wr_u8(w, last ? 0 : 2);
	wr_u8(w, 0);
	wr_u16(w, 0);
	wr_u8(w, 7);
	wr_u8(w, proto);
	wr_u8(w, proto == PROTO_ESP ? 4 : 0);
	wr_u8(w, (uint8_t)n);
	if (proto == PROTO_ESP)
		wr_u32(w, ESP_SPI);
	for (unsigned i = 0; i < n; i++) {
		wr_u8(w, i + 1 == n ? 0 : 3);
		wr_u8(w, 0);
		wr_u16(w, t[i].bits != 0 ? 12 : 8);
		wr_u8(w, t[i].type);
		wr_u8(w, 0);
		wr_u16(w, t[i].id);
		if (t[i].bits != 0) {
			wr_u16(w, 0x800e);
			wr_u16(w, t[i].bits);
		}
	}
	wr_put_u16(w, at + 2, (uint16_t)(wr_len(w) - at));
}

static void
peer_offers(uint8_t proto, const struct put *t, unsigned n)
{
	struct wr w = wr_init(buf, sizeof(buf));

	put_proposal(&w, proto, true, t, n);
	parsed(&w);
}

static const struct {
	const char *text, *shown;	/* shown NULL: the same */
	struct ike_suite suite;
} ike_texts[] = {
	{ "aes256gcm16-prfsha384-ecp384", NULL,
	  { AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_384, KE_ECP_384 } },
	{ "aes128gcm16-prfsha256-modp2048", NULL,
	  { AEAD_AES_GCM_16_128, PRF_HMAC_SHA2_256, KE_MODP_2048 } },
	{ "aes256-sha256-modp2048", NULL,
	  { AEAD_AES_CBC_256_HMAC_SHA2_256, PRF_HMAC_SHA2_256, KE_MODP_2048 } },
	{ "aes128-sha512-prfsha384-modp4096", NULL,
	  { AEAD_AES_CBC_128_HMAC_SHA2_512, PRF_HMAC_SHA2_384, KE_MODP_4096 } },
	{ "chacha20poly1305-prfsha256-curve25519", NULL,
	  { AEAD_CHACHA20_POLY1305, PRF_HMAC_SHA2_256, KE_CURVE25519 } },
	{ "chacha20poly1305-prfsha512-x25519", "chacha20poly1305-prfsha512-curve25519",
	  { AEAD_CHACHA20_POLY1305, PRF_HMAC_SHA2_512, KE_CURVE25519 } },
	{ "aes256-sha2_384-ecp521", "aes256-sha384-ecp521",
	  { AEAD_AES_CBC_256_HMAC_SHA2_384, PRF_HMAC_SHA2_384, KE_ECP_521 } },
};

START_TEST(ike_text_reads_back)
{
	struct ike_suite s = ike(ike_texts[_i].text);
	char text[SUITE_STRLEN];

	ck_assert(ike_suite_equal(&s, &ike_texts[_i].suite));
	(void)ike_suite_str(&s, text, sizeof(text));
	ck_assert_str_eq(text, ike_texts[_i].shown != NULL ? ike_texts[_i].shown :
	    ike_texts[_i].text);
}
END_TEST

START_TEST(esp_text_reads_back)
{
	static const struct {
		const char *text;
		struct esp_suite suite;
	} texts[] = {
		{ "aes256gcm16-ecp384", { AEAD_AES_GCM_16_256, KE_ECP_384, true } },
		{ "aes128-sha256", { AEAD_AES_CBC_128_HMAC_SHA2_256, KE_NONE, true } },
		{ "chacha20poly1305", { AEAD_CHACHA20_POLY1305, KE_NONE, true } },
		{ "aes256-sha512-modp3072-noesn",
		  { AEAD_AES_CBC_256_HMAC_SHA2_512, KE_MODP_3072, false } },
	};
	char text[SUITE_STRLEN];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct esp_suite s = esp(texts[i].text);

		ck_assert(esp_suite_equal(&s, &texts[i].suite));
		(void)esp_suite_str(&s, text, sizeof(text));
		s = esp(text);
		ck_assert_msg(esp_suite_equal(&s, &texts[i].suite), "%s", text);
	}
	ck_assert(esp("aes128gcm16-esn").esn);
}
END_TEST

/* A mistake is named, with what to write instead. */
START_TEST(text_errors_name_the_word)
{
	static const struct {
		const char *text, *says[2];
		bool esp;
	} bad[] = {
		{ "aes256gcm16-prfsha384-ecp348", { "\"ecp348\"", "\"ecp384\"" }, false },
		{ "aes265-sha256-modp2048", { "\"aes265\"", "\"aes256\"" }, false },
		{ "chacha20poly130-prfsha256-x25519", { "\"chacha20poly130\"", "chacha20poly1305" },
		  false },
		{ "aes256-sha1-modp2048", { "\"sha1\"", "weak" }, false },
		{ "aes256-sha256-modp1024", { "\"modp1024\"", "weak" }, false },
		{ "aes256gcm16-ecp384", { "aes256gcm16", "PRF" }, false },
		{ "aes256gcm16-sha384-ecp384", { "\"sha384\"", "integrity of its own" }, false },
		{ "aes256gcm16-prfsha384", { "group", "missing" }, false },
		{ "aes256-modp2048", { "aes256", "integrity" }, false },
		{ "sha256-modp2048", { "encryption", "missing" }, false },
		{ "aes256--modp2048", { "missing", "-modp2048" }, false },
		{ "aes256-aes128-sha256-modp2048", { "aes256", "aes128" }, false },
		{ "aes256-aes128gcm16-modp2048", { "aes256", "aes128gcm16" }, false },
		{ "aes256-sha256-sha512-modp2048", { "sha256", "sha512" }, false },
		{ "aes256-sha256-modp2048-esn", { "\"esn\"", "ESP" }, false },
		{ "aes256gcm16-prfsha384", { "\"prfsha384\"", "IKE" }, true },
		{ "aes256gcm16-", { "missing", "" }, true },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", { "unknown", "" }, true },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ike_suite s;
		struct esp_suite e;

		err[0] = '\0';
		ck_assert_msg(bad[i].esp ? !esp_suite_parse(bad[i].text, &e, err, sizeof(err)) :
		    !ike_suite_parse(bad[i].text, &s, err, sizeof(err)), "%s", bad[i].text);
		for (unsigned k = 0; k < 2; k++)
			ck_assert_msg(strstr(err, bad[i].says[k]) != NULL, "%s: \"%s\" lacks %s",
			    bad[i].text, err, bad[i].says[k]);
	}
}
END_TEST

/* Each suite that can be configured survives the wire, both ways. */
START_TEST(every_ike_suite_is_agreed)
{
	struct ike_choice c, answer;

	for (unsigned enc = 1; enc < AEAD_N; enc++) {
		for (unsigned i = 0; i < (PRF_N - 1) * (KE_N - 1); i++) {
			struct ike_suite s = { (enum aead_id)enc, (enum prf_id)(1 + i % (PRF_N - 1)),
				(enum ke_group)(1 + i / (PRF_N - 1)) };
			struct wr w = wr_init(buf, sizeof(buf));

			offer_ike(&s, 1, i % 2 != 0 ? SPI : 0);
			ck_assert(sa_choose_ike(&sa, &s, 1, &c));
			ck_assert(ike_suite_equal(&c.suite, &s));
			ck_assert(c.num == 1 && c.spi == (i % 2 != 0 ? SPI : 0));
			sa_write_ike_choice(&w, &c, SPI + 1);
			parsed(&w);
			ck_assert(sa_check_ike(&sa, &s, 1, &answer));
			ck_assert(ike_suite_equal(&answer.suite, &s) && answer.spi == SPI + 1);
		}
	}
}
END_TEST

START_TEST(every_esp_suite_is_agreed)
{
	struct esp_choice c, answer;

	for (unsigned enc = 1; enc < AEAD_N; enc++) {
		for (unsigned i = 0; i < KE_N * 8; i++) {
			bool groups = (i & 1) != 0, offer_esn = (i & 2) != 0, have_esn = (i & 4) != 0;
			struct esp_suite s = { (enum aead_id)enc, (enum ke_group)(i / 8), offer_esn };
			struct esp_suite mine = s, want = s;
			struct wr w = wr_init(buf, sizeof(buf));

			mine.esn = have_esn;
			want.esn = offer_esn && have_esn;
			if (!groups)
				want.group = KE_NONE;
			offer_esp(&s, 1, groups);
			ck_assert(sa_choose_esp(&sa, &mine, 1, groups, &c));
			ck_assert(esp_suite_equal(&c.suite, &want) && c.spi == ESP_SPI);
			sa_write_esp_choice(&w, &c, ESP_SPI + 1);
			parsed(&w);
			ck_assert(sa_check_esp(&sa, &s, 1, groups, &answer));
			ck_assert(esp_suite_equal(&answer.suite, &want));
			ck_assert_uint_eq(answer.spi, ESP_SPI + 1);
		}
	}
}
END_TEST

START_TEST(our_order_decides)
{
	struct ike_suite theirs[3], ours[3];
	struct ike_choice c;

	theirs[0] = ike("aes128-sha256-modp2048");
	theirs[1] = ike("aes256gcm16-prfsha384-ecp384");
	theirs[2] = ike("chacha20poly1305-prfsha256-x25519");
	ours[0] = ike("aes256-sha512-ecp521");		/* they do not have it */
	ours[1] = theirs[2];
	ours[2] = theirs[1];
	offer_ike(theirs, 3, 0);
	ck_assert(sa_choose_ike(&sa, ours, 3, &c));
	ck_assert(ike_suite_equal(&c.suite, &theirs[2]));
	ck_assert_uint_eq(c.num, 3);
	ck_assert(!sa_choose_ike(&sa, ours, 1, &c) && !sa_choose_ike(&sa, ours, 0, &c));
}
END_TEST

/* Never one transform from here and one from there (2.7). */
START_TEST(only_whole_proposals_are_chosen)
{
	static const struct put first[] = { { 1, 12, 256 }, { 3, 12, 0 }, { 2, 5, 0 }, { 4, 14, 0 } };
	static const struct put second[] = { { 1, 12, 128 }, { 3, 13, 0 }, { 2, 6, 0 }, { 4, 19, 0 } };
	struct ike_suite mixed = ike("aes256-sha384-prfsha256-modp2048");
	struct ike_suite whole = ike("aes128-sha384-prfsha384-ecp256");
	struct wr w = wr_init(buf, sizeof(buf));
	struct ike_choice c;

	put_proposal(&w, PROTO_IKE, false, first, 4);
	put_proposal(&w, PROTO_IKE, true, second, 4);
	parsed(&w);
	ck_assert(!sa_choose_ike(&sa, &mixed, 1, &c));
	ck_assert(sa_choose_ike(&sa, &whole, 1, &c));
	ck_assert_uint_eq(c.num, 7);
}
END_TEST

/* R15: of all ids of each type only that of the suite is taken. */
START_TEST(no_other_number_is_taken)
{
	static const struct put cbc[] = { { 1, 12, 256 }, { 2, 5, 0 }, { 3, 12, 0 }, { 4, 19, 0 } };
	static const struct put gcm[] = { { 1, 20, 256 }, { 5, 1, 0 }, { 4, 19, 0 } };
	struct ike_suite s = ike("aes256-sha256-ecp256");
	struct esp_suite e = esp("aes256gcm16-ecp256");
	struct ike_choice c;
	struct esp_choice ec;
	struct put t[4];

	for (unsigned k = 0; k < 4; k++) {
		for (unsigned id = 0; id < 65536; id = UNIT_NEXT(id)) {
			memcpy(t, cbc, sizeof(cbc));
			t[k].id = (uint16_t)id;
			peer_offers(PROTO_IKE, t, 4);
			ck_assert_msg(sa_choose_ike(&sa, &s, 1, &c) == (id == cbc[k].id),
			    "type %u id %u", t[k].type, id);
		}
	}
	for (unsigned k = 0; k < 3; k++) {
		for (unsigned id = 0; id < 65536; id = UNIT_NEXT(id)) {
			bool fits = id == gcm[k].id || (k == 1 && id == 0);

			memcpy(t, gcm, sizeof(gcm));
			t[k].id = (uint16_t)id;
			peer_offers(PROTO_ESP, t, 3);
			ck_assert_msg(sa_choose_esp(&sa, &e, 1, true, &ec) == fits, "type %u id %u",
			    t[k].type, id);
		}
	}
	for (unsigned bits = 0; bits < 65536; bits = UNIT_NEXT(bits)) {
		memcpy(t, cbc, sizeof(cbc));
		t[0].bits = (uint16_t)bits;
		peer_offers(PROTO_IKE, t, 4);
		ck_assert_msg(sa_choose_ike(&sa, &s, 1, &c) == (bits == 256), "%u bits", bits);
	}
	for (unsigned id = 0; id < 65536; id = UNIT_NEXT(id)) {
		enum ke_group g = ke_group_from_wire((uint16_t)id);

		ck_assert(g == KE_N || ke_group_wire(g) == id);
	}
}
END_TEST

/* 3.3.6: a transform type that we do not know makes a proposal unacceptable; so does a
 * missing one.  An attribute that we do not know makes a transform unacceptable. */
START_TEST(unknown_and_missing_types)
{
	static const struct put cbc[] = { { 1, 12, 256 }, { 2, 5, 0 }, { 3, 12, 0 }, { 4, 19, 0 } };
	struct ike_suite s = ike("aes256-sha256-ecp256");
	struct ike_choice c;
	struct put t[5];

	memcpy(t, cbc, sizeof(cbc));
	for (unsigned type = 0; type < 256; type++) {
		t[4] = (struct put){ .type = (uint8_t)type, .id = 9999 };
		peer_offers(PROTO_IKE, t, 5);
		ck_assert_int_eq(sa_choose_ike(&sa, &s, 1, &c), type >= 1 && type <= 4);
	}
	for (unsigned k = 0; k < 4; k++) {
		memcpy(t, cbc, sizeof(cbc));
		t[k] = t[3];
		peer_offers(PROTO_IKE, t, 3);
		ck_assert(!sa_choose_ike(&sa, &s, 1, &c));
	}
	peer_offers(PROTO_ESP, cbc, 4);
	ck_assert(!sa_choose_ike(&sa, &s, 1, &c));
	peer_offers(PROTO_IKE, cbc, 4);
	ck_assert(sa_choose_ike(&sa, &s, 1, &c));
	for (unsigned k = 0; k < 4; k++) {
		sa.p[0].t[k].odd = true;
		ck_assert(!sa_choose_ike(&sa, &s, 1, &c));
		sa.p[0].t[k].odd = false;
	}
}
END_TEST

START_TEST(attributes)
{
	/* one IKE proposal with one ENCR transform that has the attribute at 16 */
	uint8_t one[] = { 0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 12, 0x80, 0x0e, 1, 0 };
	uint8_t tlv[] = { 0, 0, 0, 22, 1, 1, 0, 1, 0, 0, 0, 14, 1, 0, 0, 12, 0, 0x0e, 0, 2, 1, 0 };
	uint8_t two[] = { 0, 0, 0, 24, 1, 1, 0, 1, 0, 0, 0, 16, 1, 0, 0, 12, 0x80, 0x0e, 1, 0,
		0x80, 0x0e, 0, 128 };

	ck_assert(sa_parse(rd_init(one, sizeof(one)), &sa));
	ck_assert(sa.p[0].t[0].key_bits == 256 && !sa.p[0].t[0].odd);
	one[17] = 15;
	ck_assert(sa_parse(rd_init(one, sizeof(one)), &sa) && sa.p[0].t[0].odd);
	ck_assert(sa_parse(rd_init(tlv, sizeof(tlv)), &sa) && sa.p[0].t[0].odd);
	tlv[19] = 3;				/* a value longer than the transform */
	ck_assert(!sa_parse(rd_init(tlv, sizeof(tlv)), &sa));
	ck_assert(sa_parse(rd_init(two, sizeof(two)), &sa) && sa.p[0].t[0].odd);
	one[17] = 14;
	one[18] = one[19] = 0;			/* a key of no bits is no absent attribute */
	ck_assert(sa_parse(rd_init(one, sizeof(one)), &sa) && sa.p[0].t[0].odd);
}
END_TEST

START_TEST(aeads_go_without_integrity)
{
	static const struct put none[] = { { 1, 20, 128 }, { 3, 0, 0 }, { 2, 5, 0 }, { 4, 31, 0 } };
	static const struct put some[] = { { 1, 20, 128 }, { 3, 12, 0 }, { 2, 5, 0 }, { 4, 31, 0 } };
	struct ike_suite s = ike("aes128gcm16-prfsha256-x25519");
	struct ike_choice c;

	offer_ike(&s, 1, 0);
	for (unsigned i = 0; i < sa.p[0].n; i++)
		ck_assert_uint_ne(sa.p[0].t[i].type, TRANSFORM_INTEG);
	peer_offers(PROTO_IKE, none, 4);
	ck_assert(sa_choose_ike(&sa, &s, 1, &c));
	peer_offers(PROTO_IKE, some, 4);
	ck_assert(!sa_choose_ike(&sa, &s, 1, &c));
}
END_TEST

/* In IKE_AUTH groups play no part; in CREATE_CHILD_SA our policy on PFS holds. */
START_TEST(groups_of_child_sas)
{
	static const struct put pfs[] = { { 1, 20, 256 }, { 4, 20, 0 }, { 5, 0, 0 } };
	static const struct put either[] = { { 1, 20, 256 }, { 4, 20, 0 }, { 4, 0, 0 }, { 5, 0, 0 } };
	static const struct put plain[] = { { 1, 20, 256 }, { 5, 0, 0 } };
	static const struct put no_esn_said[] = { { 1, 20, 256 } };
	struct esp_suite with = esp("aes256gcm16-ecp384"), without = esp("aes256gcm16");
	struct esp_choice c;

	peer_offers(PROTO_ESP, pfs, 3);
	ck_assert(sa_choose_esp(&sa, &with, 1, false, &c) && c.suite.group == KE_NONE);
	ck_assert(sa_choose_esp(&sa, &with, 1, true, &c) && c.suite.group == KE_ECP_384);
	ck_assert(!sa_choose_esp(&sa, &without, 1, true, &c));
	peer_offers(PROTO_ESP, either, 4);
	ck_assert(sa_choose_esp(&sa, &with, 1, true, &c) && c.suite.group == KE_ECP_384);
	ck_assert(sa_choose_esp(&sa, &without, 1, true, &c) && c.suite.group == KE_NONE);
	peer_offers(PROTO_ESP, plain, 2);
	ck_assert(!sa_choose_esp(&sa, &with, 1, true, &c));
	ck_assert(sa_choose_esp(&sa, &with, 1, false, &c));
	ck_assert(sa_choose_esp(&sa, &without, 1, true, &c));
	peer_offers(PROTO_ESP, no_esn_said, 1);		/* ESN is mandatory in a proposal, 3.3.3 */
	ck_assert(!sa_choose_esp(&sa, &without, 1, true, &c));
	offer_esp(&with, 1, false);
	for (unsigned i = 0; i < sa.p[0].n; i++)
		ck_assert_uint_ne(sa.p[0].t[i].type, TRANSFORM_KE);
}
END_TEST

START_TEST(esp_spis_of_a_sort)
{
	static const uint64_t spis[] = { 0, 1, 255, 256 };
	struct esp_suite s = esp("aes256gcm16");
	struct esp_choice c;

	offer_esp(&s, 1, false);
	ck_assert(sa_choose_esp(&sa, &s, 1, false, &c));
	for (size_t i = 0; i < 4; i++) {
		sa.p[0].spi = spis[i];
		ck_assert_int_eq(sa_choose_esp(&sa, &s, 1, false, &c), spis[i] == 256);
	}
	sa.p[0].spi_len = 8;
	ck_assert(!sa_choose_esp(&sa, &s, 1, false, &c));
	sa.p[0].spi_len = 0;
	ck_assert(!sa_choose_esp(&sa, &s, 1, false, &c));
}
END_TEST

/* The initiator takes one of its own suites, unchanged, or nothing. */
START_TEST(a_changed_answer_is_refused)
{
	struct ike_suite ours[2], other;
	struct esp_suite e = esp("aes256gcm16-ecp384-noesn");
	struct ike_choice c = { .spi = 0 };
	struct esp_choice ec = { .num = 1, .spi = ESP_SPI };
	struct wr w = wr_init(buf, sizeof(buf));

	ours[0] = ike("aes256gcm16-prfsha384-ecp384");
	ours[1] = ike("aes128-sha256-modp2048");
	offer_ike(ours, 2, 0);
	ck_assert(!sa_check_ike(&sa, ours, 2, &c));	/* our own offer, sent back */
	offer_ike(&ours[1], 1, 0);			/* the second suite as number 1 */
	ck_assert(!sa_check_ike(&sa, ours, 2, &c));
	sa.p[0].num = 2;
	ck_assert(sa_check_ike(&sa, ours, 2, &c));
	ck_assert(ike_suite_equal(&c.suite, &ours[1]));
	for (unsigned num = 0; num < 256; num++) {
		sa.p[0].num = (uint8_t)num;
		ck_assert_int_eq(sa_check_ike(&sa, ours, 2, &c), num == 2);
	}
	sa.p[0].num = 2;
	sa.p[0].t[sa.p[0].n++] = sa.p[0].t[0];		/* two of a type */
	ck_assert(!sa_check_ike(&sa, ours, 2, &c));
	other = ike("aes128-sha256-modp3072");
	offer_ike(&other, 1, 0);
	sa.p[0].num = 2;
	ck_assert(!sa_check_ike(&sa, ours, 2, &c));
	ec.suite = e;
	ec.suite.esn = true;				/* ESN though we did not offer it */
	sa_write_esp_choice(&w, &ec, ESP_SPI);
	parsed(&w);
	ck_assert(!sa_check_esp(&sa, &e, 1, true, &ec));
	ec = (struct esp_choice){ .num = 1, .suite = e };
	w = wr_init(buf, sizeof(buf));
	sa_write_esp_choice(&w, &ec, ESP_SPI);
	parsed(&w);
	ck_assert(sa_check_esp(&sa, &e, 1, true, &ec));
	ck_assert(!sa_check_esp(&sa, &e, 1, false, &ec));	/* a group in IKE_AUTH */
}
END_TEST

/* R18: 16 proposals of 32 transforms, and one more of each. */
START_TEST(bounds)
{
	static struct put many[SA_TRANSFORMS_MAX + 1];

	for (unsigned n = 1; n <= SA_PROPOSALS_MAX + 1; n++) {
		struct wr w = wr_init(buf, sizeof(buf));

		for (unsigned i = 0; i < n; i++)
			put_proposal(&w, PROTO_IKE, i + 1 == n, many, SA_TRANSFORMS_MAX);
		ck_assert(wr_ok(&w));
		ck_assert_int_eq(sa_parse(rd_init(buf, wr_len(&w)), &sa), n <= SA_PROPOSALS_MAX);
	}
	for (unsigned n = 0; n <= SA_TRANSFORMS_MAX + 1; n++) {
		struct wr w = wr_init(buf, sizeof(buf));

		put_proposal(&w, PROTO_IKE, true, many, n);
		ck_assert_int_eq(sa_parse(rd_init(buf, wr_len(&w)), &sa), n <= SA_TRANSFORMS_MAX);
	}
}
END_TEST

START_TEST(truncations_are_refused)
{
	struct ike_suite s[2];
	struct wr w = wr_init(buf, sizeof(buf));
	size_t len;

	s[0] = ike("aes256gcm16-prfsha384-ecp384");
	s[1] = ike("aes128-sha256-modp2048");
	sa_write_ike(&w, s, 2, SPI);
	len = wr_len(&w);
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_msg(!sa_parse(rd_init(buf, cut), &sa), "%zu of %zu", cut, len);
	ck_assert(sa_parse(rd_init(buf, len), &sa));
	ck_assert(!sa_parse(rd_init(buf, len + 1), &sa));
	for (size_t at = 0; at < len; at++) {		/* and no byte leads it astray */
		uint8_t was = buf[at];

		for (unsigned v = 0; v < 256; v++) {
			buf[at] = (uint8_t)v;
			(void)sa_parse(rd_init(buf, len), &sa);
		}
		buf[at] = was;
	}
}
END_TEST

START_TEST(an_offer_is_told_in_words)
{
	struct ike_suite s[2];
	struct esp_suite e = esp("aes256gcm16");
	static const struct put odd[] = { { 1, 999, 0 }, { 4, 2, 0 }, { 4, 14, 0 }, { 6, 35, 0 } };
	static const struct put weak[] = { { 1, 20, 192 }, { 1, 3, 0 }, { 3, 12, 0 }, { 3, 2, 0 },
	    { 2, 5, 0 }, { 4, 2, 0 } };
	static const struct put only_esn[] = { { 1, 20, 256 }, { 5, 1, 0 } };
	char text[512], ours[512], tiny[40];

	s[0] = ike("aes256-sha256-modp2048");
	s[1] = ike("aes256gcm16-prfsha384-ecp384");
	offer_ike(s, 2, 0);
	ck_assert_str_eq(sa_str(&sa, text, sizeof(text)),
	    ike_suites_str(s, 2, ours, sizeof(ours)));
	(void)sa_str(&sa, tiny, sizeof(tiny));
	ck_assert_uint_lt(strlen(tiny), sizeof(tiny));
	ck_assert_str_eq(tiny + strlen(tiny) - 3, "...");
	offer_esp(&e, 1, true);
	ck_assert_str_eq(sa_str(&sa, text, sizeof(text)), esp_suites_str(&e, 1, ours, sizeof(ours)));
	e = esp("aes128gcm16-ecp256-noesn");
	offer_esp(&e, 1, true);
	ck_assert_str_eq(sa_str(&sa, text, sizeof(text)), esp_suites_str(&e, 1, ours, sizeof(ours)));
	peer_offers(PROTO_IKE, odd, 4);
	ck_assert_str_eq(sa_str(&sa, text, sizeof(text)),
	    "ENCR_999-modp1024|modp2048-TYPE6_35");
	peer_offers(PROTO_IKE, weak, 6);
	ck_assert_str_eq(sa_str(&sa, text, sizeof(text)),
	    "AES_GCM_16_192|3des-sha256|sha1-prfsha256-modp1024");
	peer_offers(PROTO_ESP, only_esn, 2);
	ck_assert_str_eq(sa_str(&sa, text, sizeof(text)), "aes256gcm16-esn");
	ck_assert_str_eq(ike_suites_str(s, 2, text, sizeof(text)),
	    "aes256-sha256-modp2048, aes256gcm16-prfsha384-ecp384");
	for (size_t cap = 4; cap < 60; cap++)
		ck_assert_uint_lt(strlen(ike_suites_str(s, 2, text, cap)), cap);
	ck_assert_str_eq(esp_suites_str(&e, 1, text, sizeof(text)), "aes128gcm16-ecp256-noesn");
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_loop_test(t, ike_text_reads_back, 0,
	    (int)(sizeof(ike_texts) / sizeof(ike_texts[0])));
	tcase_add_test(t, esp_text_reads_back);
	tcase_add_test(t, text_errors_name_the_word);
	tcase_add_test(t, every_ike_suite_is_agreed);
	tcase_add_test(t, every_esp_suite_is_agreed);
	tcase_add_test(t, our_order_decides);
	tcase_add_test(t, only_whole_proposals_are_chosen);
	tcase_add_test(t, no_other_number_is_taken);
	tcase_add_test(t, unknown_and_missing_types);
	tcase_add_test(t, attributes);
	tcase_add_test(t, aeads_go_without_integrity);
	tcase_add_test(t, groups_of_child_sas);
	tcase_add_test(t, esp_spis_of_a_sort);
	tcase_add_test(t, a_changed_answer_is_refused);
	tcase_add_test(t, bounds);
	tcase_add_test(t, truncations_are_refused);
	tcase_add_test(t, an_offer_is_told_in_words);
}

UNIT_MAIN("ike/proposal", fill)
