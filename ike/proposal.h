/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_PROPOSAL_H
#define TANDEM_IKE_PROPOSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/aead.h"
#include "base/bytes.h"

/*
 * What is negotiated: suites of ours, SA payloads (RFC 7296 section 3.3), and who accepts
 * what.  Wire numbers become internal enums here, through one table, and nowhere else (R15);
 * numbers that are not in it, those for private use among them, match nothing.
 */
enum prf_id {
	PRF_NONE,
	PRF_HMAC_SHA2_256,
	PRF_HMAC_SHA2_384,
	PRF_HMAC_SHA2_512,
	PRF_N,
};

enum ke_group {
	KE_NONE,
	KE_MODP_2048,			/* 14 */
	KE_MODP_3072,			/* 15 */
	KE_MODP_4096,			/* 16 */
	KE_ECP_256,			/* 19 */
	KE_ECP_384,			/* 20 */
	KE_ECP_521,			/* 21 */
	KE_CURVE25519,			/* 31 */
	KE_N,
};

/* IANA "Transform Type 4" ids.  KE_NONE is 0; an id that is not ours gives KE_N. */
uint16_t	ke_group_wire(enum ke_group g);
enum ke_group	ke_group_from_wire(uint16_t id);
const char	*ke_group_name(enum ke_group g);	/* "ecp384": as configured; "none" */
const char	*prf_name(enum prf_id p);		/* "prfsha384" */

/* One complete choice for an IKE SA.  For CBC `enc` names the integrity algorithm too. */
struct ike_suite {
	enum aead_id enc;
	enum prf_id prf;
	enum ke_group group;
};

/* One complete choice for a Child SA.  As an offer of ours, `esn` means both ESN and no ESN,
 * ESN preferred; as a result it is what was chosen. */
struct esp_suite {
	enum aead_id enc;
	enum ke_group group;		/* of a fresh key exchange at rekey; KE_NONE: no PFS */
	bool esn;
};

bool	ike_suite_equal(const struct ike_suite *a, const struct ike_suite *b);
bool	esp_suite_equal(const struct esp_suite *a, const struct esp_suite *b);

/*
 * As people write them, words joined by '-': "aes256gcm16-prfsha384-ecp384",
 * "aes256-sha256-modp2048" (the PRF follows the integrity algorithm unless named),
 * "chacha20poly1305-prfsha256-curve25519"; for ESP "aes256gcm16-ecp384" (the group is PFS),
 * "aes128-sha256", and with "-noesn" for 32-bit sequence numbers only ("esn", the default,
 * offers both).  Aliases: aes128gcm, aes256gcm, x25519, sha2_256 and the like.  On failure
 * returns false and writes to err a sentence that names the offending word and the nearest
 * known one, without a full stop.
 */
bool	ike_suite_parse(const char *text, struct ike_suite *s, char *err, size_t cap);
bool	esp_suite_parse(const char *text, struct esp_suite *s, char *err, size_t cap);

/* The text that the parser takes.  Return buf. */
#define SUITE_STRLEN	64
const char *ike_suite_str(const struct ike_suite *s, char *buf, size_t cap);
const char *esp_suite_str(const struct esp_suite *s, char *buf, size_t cap);
/* Lists for the log, joined by ", ", ending in "..." where it does not fit. */
const char *ike_suites_str(const struct ike_suite *s, unsigned n, char *buf, size_t cap);
const char *esp_suites_str(const struct esp_suite *s, unsigned n, char *buf, size_t cap);

/* A parsed SA payload, still in wire numbers.  About 4 KiB. */
#define SA_PROPOSALS_MAX	16	/* R18 */
#define SA_TRANSFORMS_MAX	32	/* in one proposal */

enum {					/* IANA "Transform Type Values" */
	TRANSFORM_ENCR = 1,
	TRANSFORM_PRF = 2,
	TRANSFORM_INTEG = 3,
	TRANSFORM_KE = 4,
	TRANSFORM_ESN = 5,
};

struct transform {
	uint8_t type;
	bool odd;			/* has an attribute that we do not understand */
	uint16_t id;
	uint16_t key_bits;		/* KEY_LENGTH attribute; 0: none */
};

struct proposal {
	uint8_t num;
	uint8_t proto;			/* PROTO_* */
	uint8_t spi_len;		/* 0, 4 or 8; others are parsed and match nothing */
	uint64_t spi;			/* of 4 or 8 bytes, host order; else 0 */
	unsigned n;
	struct transform t[SA_TRANSFORMS_MAX];
};

struct sa {
	unsigned n;			/* at least 1 after a successful parse */
	struct proposal p[SA_PROPOSALS_MAX];
};

/* False: malformed, or beyond the bounds (INVALID_SYNTAX).  Unknown transform types, ids and
 * attributes are no error; they make a transform or a proposal unacceptable (3.3.6). */
bool	sa_parse(struct rd body, struct sa *sa);

/* "aes256gcm16-prfsha384-ecp384, AES_CTR_128-sha1|sha256-..": a whole SA payload for the log in
 * the words of the configuration, IANA's (in capitals) where it has none; "..." at the end where
 * it does not fit; alternatives of one type joined by '|'. */
const char *sa_str(const struct sa *sa, char *buf, size_t cap);

/* Our offer as the body of an SA payload: one proposal a suite, numbered from 1 in order.
 * `spi` 0 in IKE_SA_INIT (no SPI field), ours when an IKE SA is rekeyed. */
void	sa_write_ike(struct wr *w, const struct ike_suite *s, unsigned n, uint64_t spi);
/* `groups`: with the groups of the suites (CREATE_CHILD_SA); without in IKE_AUTH. */
void	sa_write_esp(struct wr *w, const struct esp_suite *s, unsigned n, uint32_t spi,
	    bool groups);

struct ike_choice {
	uint8_t num;			/* of the proposal chosen */
	uint64_t spi;			/* the peer's; 0: its proposal has none */
	struct ike_suite suite;
};

struct esp_choice {
	uint8_t num;
	uint32_t spi;			/* the peer's, never below 256 */
	struct esp_suite suite;
};

/*
 * Responder: the first suite of ours, in our order, that some proposal of the peer contains
 * whole.  The group of the KE payload plays no part: compare it with choice.suite.group and
 * answer INVALID_KE_PAYLOAD with ours where it differs (2.7, 1.3).  False:
 * NO_PROPOSAL_CHOSEN.
 */
bool	sa_choose_ike(const struct sa *sa, const struct ike_suite *ours, unsigned n,
	    struct ike_choice *c);
/*
 * `groups` false in IKE_AUTH: groups on both sides are ignored and choice.suite.group is
 * KE_NONE.  Otherwise a suite with a group wants that group in the proposal, and one without
 * wants a proposal that has no group or lists NONE.
 */
bool	sa_choose_esp(const struct sa *sa, const struct esp_suite *ours, unsigned n, bool groups,
	    struct esp_choice *c);

/* Our answer: the chosen proposal under the peer's number, one transform a type. */
void	sa_write_ike_choice(struct wr *w, const struct ike_choice *c, uint64_t spi);
/* Writes the group where choice.suite.group is not KE_NONE. */
void	sa_write_esp_choice(struct wr *w, const struct esp_choice *c, uint32_t spi);

/*
 * Initiator: the answer is exactly one proposal, one transform a type, under the number of a
 * suite of ours and equal to it (for ESN: either value where we offered both).  `ours` and
 * `groups` as they were written.  False: the peer cheats or errs; the exchange has failed.
 */
bool	sa_check_ike(const struct sa *sa, const struct ike_suite *ours, unsigned n,
	    struct ike_choice *c);
bool	sa_check_esp(const struct sa *sa, const struct esp_suite *ours, unsigned n, bool groups,
	    struct esp_choice *c);

#endif
