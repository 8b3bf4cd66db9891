/* SPDX-License-Identifier: MIT */
/* Suites as people write and read them; their wire form is in proposal.c. */
#include <stdio.h>
#include <string.h>

#include "ike/proposal.h"

#define N_ELEM(a)	(sizeof(a) / sizeof((a)[0]))

enum kind { W_AEAD, W_CBC, W_INTEG, W_PRF, W_GROUP, W_ESN, W_N };

/* All words.  Of several for one value the first is the one we print. */
static const struct word {
	const char *text;
	enum kind kind;
	unsigned value;
} words[] = {
	{ "aes256gcm16", W_AEAD, AEAD_AES_GCM_16_256 },
	{ "aes128gcm16", W_AEAD, AEAD_AES_GCM_16_128 },
	{ "chacha20poly1305", W_AEAD, AEAD_CHACHA20_POLY1305 },
	{ "aes256gcm", W_AEAD, AEAD_AES_GCM_16_256 },
	{ "aes128gcm", W_AEAD, AEAD_AES_GCM_16_128 },
	{ "aes256gcm128", W_AEAD, AEAD_AES_GCM_16_256 },
	{ "aes128gcm128", W_AEAD, AEAD_AES_GCM_16_128 },
	{ "aes256", W_CBC, 256 },
	{ "aes128", W_CBC, 128 },
	{ "aes", W_CBC, 128 },
	{ "sha256", W_INTEG, PRF_HMAC_SHA2_256 },
	{ "sha384", W_INTEG, PRF_HMAC_SHA2_384 },
	{ "sha512", W_INTEG, PRF_HMAC_SHA2_512 },
	{ "sha2_256", W_INTEG, PRF_HMAC_SHA2_256 },
	{ "sha2_384", W_INTEG, PRF_HMAC_SHA2_384 },
	{ "sha2_512", W_INTEG, PRF_HMAC_SHA2_512 },
	{ "prfsha256", W_PRF, PRF_HMAC_SHA2_256 },
	{ "prfsha384", W_PRF, PRF_HMAC_SHA2_384 },
	{ "prfsha512", W_PRF, PRF_HMAC_SHA2_512 },
	{ "modp2048", W_GROUP, KE_MODP_2048 },
	{ "modp3072", W_GROUP, KE_MODP_3072 },
	{ "modp4096", W_GROUP, KE_MODP_4096 },
	{ "ecp256", W_GROUP, KE_ECP_256 },
	{ "ecp384", W_GROUP, KE_ECP_384 },
	{ "ecp521", W_GROUP, KE_ECP_521 },
	{ "curve25519", W_GROUP, KE_CURVE25519 },
	{ "x25519", W_GROUP, KE_CURVE25519 },
	{ "esn", W_ESN, true },
	{ "noesn", W_ESN, false },
};

/* Words of other products that we understand and refuse. */
static const char *const weak[] = {
	"des", "3des", "md5", "sha", "sha1", "prfmd5", "prfsha1", "modp768", "modp1024", "modp1536",
	"modp1024s160", "modp2048s224", "modp2048s256", "null",
};

static const char *
word_of(enum kind kind, unsigned value)
{
	for (size_t i = 0; i < N_ELEM(words); i++) {
		if (words[i].kind == kind && words[i].value == value)
			return words[i].text;
	}
	return "none";
}

const char *
ke_group_name(enum ke_group g)
{
	return word_of(W_GROUP, g);
}

const char *
prf_name(enum prf_id p)
{
	return word_of(W_PRF, p);
}

bool
ike_suite_equal(const struct ike_suite *a, const struct ike_suite *b)
{
	return a->enc == b->enc && a->prf == b->prf && a->group == b->group;
}

bool
esp_suite_equal(const struct esp_suite *a, const struct esp_suite *b)
{
	return a->enc == b->enc && a->group == b->group && a->esn == b->esn;
}

#define WORD_MAX	32

/* How many letters to put in, take out or change: row by row of the usual table. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < n; j++) {
			unsigned best = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			if (best > row[j] + 1)
				best = row[j] + 1;
			if (best > diagonal + 1)
				best = diagonal + 1;
			row[j + 1] = best;
		}
	}
	return row[n];
}

static const struct word *
word_find(const char *text)
{
	for (size_t i = 0; i < N_ELEM(words); i++) {
		if (strcmp(words[i].text, text) == 0)
			return &words[i];
	}
	return NULL;
}

/* Say why a word is not taken. */
static void
word_refuse(const char *text, char *err, size_t cap)
{
	const char *nearest = words[0].text;
	unsigned least = distance(text, nearest);

	for (size_t i = 0; i < N_ELEM(weak); i++) {
		if (strcmp(weak[i], text) == 0) {
			(void)snprintf(err, cap, "\"%s\" is too weak to be used", text);
			return;
		}
	}
	for (size_t i = 1; i < N_ELEM(words); i++) {
		unsigned d = distance(text, words[i].text);

		if (d < least) {
			least = d;
			nearest = words[i].text;
		}
	}
	(void)snprintf(err, cap, "unknown algorithm \"%s\"; the nearest known one is \"%s\"", text,
	    nearest);
}

/* What the words of a suite say, by kind. */
struct said {
	const struct word *by[W_N];
};

static bool
say(struct said *s, const char *text, char *err, size_t cap)
{
	const struct word *w = word_find(text);
	enum kind kind;

	if (w == NULL) {
		word_refuse(text, err, cap);
		return false;
	}
	kind = w->kind;
	if (s->by[kind] != NULL || (kind == W_CBC && s->by[W_AEAD] != NULL) ||
	    (kind == W_AEAD && s->by[W_CBC] != NULL)) {
		const struct word *first = s->by[kind] != NULL ? s->by[kind] :
		    s->by[kind == W_CBC ? W_AEAD : W_CBC];

		(void)snprintf(err, cap, "\"%s\" after \"%s\": a suite has one of a kind; write "
		    "two suites", text, first->text);
		return false;
	}
	s->by[kind] = w;
	return true;
}

static bool
said_parse(const char *text, struct said *s, char *err, size_t cap)
{
	memset(s, 0, sizeof(*s));
	for (;;) {
		size_t n = strcspn(text, "-");
		char word[WORD_MAX + 1];

		if (n == 0 || n > WORD_MAX) {
			(void)snprintf(err, cap, n == 0 ? "an algorithm is missing at \"%.32s\"" :
			    "unknown algorithm \"%.32s...\"", text);
			return false;
		}
		memcpy(word, text, n);
		word[n] = '\0';
		if (!say(s, word, err, cap))
			return false;
		if (text[n] == '\0')
			return true;
		text += n + 1;
	}
}

static enum aead_id
cbc_with(unsigned bits, enum prf_id integ)
{
	static const enum aead_id ids[2][PRF_N] = {
		{ AEAD_NONE, AEAD_AES_CBC_128_HMAC_SHA2_256, AEAD_AES_CBC_128_HMAC_SHA2_384,
		  AEAD_AES_CBC_128_HMAC_SHA2_512 },
		{ AEAD_NONE, AEAD_AES_CBC_256_HMAC_SHA2_256, AEAD_AES_CBC_256_HMAC_SHA2_384,
		  AEAD_AES_CBC_256_HMAC_SHA2_512 },
	};

	return ids[bits == 256][integ];
}

/* The integrity algorithm inside an aead_id, as the PRF over the same hash. */
static enum prf_id
integ_of(enum aead_id id)
{
	for (unsigned p = PRF_HMAC_SHA2_256; p < PRF_N; p++) {
		if (id != AEAD_NONE && (cbc_with(128, p) == id || cbc_with(256, p) == id))
			return p;
	}
	return PRF_NONE;
}

/* Encryption and integrity, which both protocols choose alike. */
static bool
enc_choose(const struct said *s, const char *prf_hint, enum aead_id *enc, char *err, size_t cap)
{
	const struct word *integ = s->by[W_INTEG];

	if (s->by[W_AEAD] != NULL) {
		if (integ != NULL) {
			(void)snprintf(err, cap, "\"%s\" needs no \"%s\": it has integrity of its "
			    "own%s", s->by[W_AEAD]->text, integ->text, prf_hint);
			return false;
		}
		*enc = s->by[W_AEAD]->value;
		return true;
	}
	if (s->by[W_CBC] == NULL) {
		(void)snprintf(err, cap, "the encryption algorithm is missing, such as aes256gcm16");
		return false;
	}
	if (integ == NULL) {
		(void)snprintf(err, cap, "\"%s\" needs an integrity algorithm, such as sha256",
		    s->by[W_CBC]->text);
		return false;
	}
	*enc = cbc_with(s->by[W_CBC]->value, integ->value);
	return true;
}

bool
ike_suite_parse(const char *text, struct ike_suite *s, char *err, size_t cap)
{
	struct said said;

	memset(s, 0, sizeof(*s));
	if (!said_parse(text, &said, err, cap) ||
	    !enc_choose(&said, "; for the PRF write prfsha256 or the like", &s->enc, err, cap))
		return false;
	if (said.by[W_ESN] != NULL) {
		(void)snprintf(err, cap, "\"%s\" belongs to ESP, not to IKE",
		    said.by[W_ESN]->text);
		return false;
	}
	s->prf = said.by[W_PRF] != NULL ? said.by[W_PRF]->value : integ_of(s->enc);
	if (s->prf == PRF_NONE) {
		(void)snprintf(err, cap, "\"%s\" needs a PRF, such as prfsha384",
		    said.by[W_AEAD]->text);
		return false;
	}
	if (said.by[W_GROUP] == NULL) {
		(void)snprintf(err, cap, "the key exchange group is missing, such as ecp384");
		return false;
	}
	s->group = said.by[W_GROUP]->value;
	return true;
}

bool
esp_suite_parse(const char *text, struct esp_suite *s, char *err, size_t cap)
{
	struct said said;

	memset(s, 0, sizeof(*s));
	if (!said_parse(text, &said, err, cap) || !enc_choose(&said, "", &s->enc, err, cap))
		return false;
	if (said.by[W_PRF] != NULL) {
		(void)snprintf(err, cap, "\"%s\" belongs to IKE, not to ESP", said.by[W_PRF]->text);
		return false;
	}
	s->group = said.by[W_GROUP] != NULL ? said.by[W_GROUP]->value : KE_NONE;
	s->esn = said.by[W_ESN] == NULL || said.by[W_ESN]->value;
	return true;
}

const char *
ike_suite_str(const struct ike_suite *s, char *buf, size_t cap)
{
	const struct aead_info *info = aead_info(s->enc);
	bool implied = integ_of(s->enc) == s->prf;

	(void)snprintf(buf, cap, "%s%s%s-%s", info != NULL ? info->name : "none",
	    implied ? "" : "-", implied ? "" : prf_name(s->prf), ke_group_name(s->group));
	return buf;
}

const char *
esp_suite_str(const struct esp_suite *s, char *buf, size_t cap)
{
	const struct aead_info *info = aead_info(s->enc);
	bool pfs = s->group != KE_NONE;

	(void)snprintf(buf, cap, "%s%s%s%s", info != NULL ? info->name : "none", pfs ? "-" : "",
	    pfs ? ke_group_name(s->group) : "", s->esn ? "" : "-noesn");
	return buf;
}

/* Append to a list for the log.  False: it does not fit, and "..." ends the list. */
static bool
list_add(char *buf, size_t cap, const char *one)
{
	size_t at = strlen(buf);

	if (at + strlen(one) + sizeof(", ...") > cap) {
		(void)snprintf(buf + at, cap - at, "...");
		return false;
	}
	(void)snprintf(buf + at, cap - at, "%s%s", at > 0 ? ", " : "", one);
	return true;
}

const char *
ike_suites_str(const struct ike_suite *s, unsigned n, char *buf, size_t cap)
{
	char one[SUITE_STRLEN];

	buf[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		if (!list_add(buf, cap, ike_suite_str(&s[i], one, sizeof(one))))
			break;
	}
	return buf;
}

const char *
esp_suites_str(const struct esp_suite *s, unsigned n, char *buf, size_t cap)
{
	char one[SUITE_STRLEN];

	buf[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		if (!list_add(buf, cap, esp_suite_str(&s[i], one, sizeof(one))))
			break;
	}
	return buf;
}
