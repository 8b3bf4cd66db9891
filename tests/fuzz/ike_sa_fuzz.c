/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <string.h>

#include "ike/proposal.h"

/* An SA payload: what is chosen from it is a suite of ours, and our answer passes our own check. */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct ike_suite ike[] = {
	{ AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_384, KE_ECP_384 },
	{ AEAD_AES_CBC_256_HMAC_SHA2_256, PRF_HMAC_SHA2_256, KE_MODP_2048 },
	{ AEAD_CHACHA20_POLY1305, PRF_HMAC_SHA2_256, KE_CURVE25519 },
};
static const struct esp_suite esp[] = {
	{ AEAD_AES_GCM_16_256, KE_ECP_384, true },
	{ AEAD_AES_CBC_128_HMAC_SHA2_256, KE_NONE, false },
};

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static void
choose_ike(const struct sa *sa)
{
	struct ike_choice c, again;
	static struct sa answer;
	uint8_t buf[256];
	struct wr w = wr_init(buf, sizeof(buf));
	bool ours = false;

	if (!sa_choose_ike(sa, ike, N(ike), &c))
		return;
	for (unsigned i = 0; i < N(ike); i++)
		ours = ours || ike_suite_equal(&c.suite, &ike[i]);
	assert(ours);
	sa_write_ike_choice(&w, &c, c.spi);
	assert(wr_ok(&w) && sa_parse(rd_init(buf, wr_len(&w)), &answer));
	answer.p[0].num = 1;
	assert(sa_check_ike(&answer, &c.suite, 1, &again));
	assert(again.spi == c.spi);
}

static void
choose_esp(const struct sa *sa, bool groups)
{
	struct esp_choice c, again;
	static struct sa answer;
	uint8_t buf[256];
	struct wr w = wr_init(buf, sizeof(buf));

	if (!sa_choose_esp(sa, esp, N(esp), groups, &c))
		return;
	assert(c.spi >= 256 && (groups || c.suite.group == KE_NONE));
	sa_write_esp_choice(&w, &c, c.spi);
	assert(wr_ok(&w) && sa_parse(rd_init(buf, wr_len(&w)), &answer));
	answer.p[0].num = 1;
	assert(sa_check_esp(&answer, &c.suite, 1, groups, &again));
	assert(again.spi == c.spi && esp_suite_equal(&again.suite, &c.suite));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct sa sa;
	struct ike_choice ic;
	struct esp_choice ec;
	char text[1024], tiny[16];

	if (!sa_parse(rd_init(data, len), &sa))
		return 0;
	assert(sa.n >= 1 && sa.n <= SA_PROPOSALS_MAX);
	for (unsigned i = 0; i < sa.n; i++)
		assert(sa.p[i].n <= SA_TRANSFORMS_MAX);
	choose_ike(&sa);
	choose_esp(&sa, true);
	choose_esp(&sa, false);
	(void)sa_check_ike(&sa, ike, N(ike), &ic);
	(void)sa_check_esp(&sa, esp, N(esp), true, &ec);
	(void)sa_check_esp(&sa, esp, N(esp), false, &ec);
	assert(strlen(sa_str(&sa, text, sizeof(text))) < sizeof(text));
	assert(strlen(sa_str(&sa, tiny, sizeof(tiny))) < sizeof(tiny));
	return 0;
}
