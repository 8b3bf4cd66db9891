/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_PAYLOAD_H
#define TANDEM_IKE_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * The bodies of IKE payloads (RFC 7296 section 3), parse and write side by side.  A body is
 * what follows the generic header, which message.c handles.  Parsed structs borrow from the
 * message; what is kept is copied.  Every _parse returns false when the body is malformed
 * (then INVALID_SYNTAX) and leaves its result unspecified; RESERVED fields are ignored on
 * receipt and zero when written.  SA payloads are in proposal.h, TS payloads in ts.h.
 */

/* Borrowed bytes. */
struct slice {
	const uint8_t *p;
	size_t len;
};

/* Payload types, IANA "IKEv2 Payload Types". */
enum pld_type {
	PLD_NONE = 0,
	PLD_SA = 33,
	PLD_KE = 34,
	PLD_IDI = 35,
	PLD_IDR = 36,
	PLD_CERT = 37,
	PLD_CERTREQ = 38,
	PLD_AUTH = 39,
	PLD_NONCE = 40,
	PLD_N = 41,
	PLD_D = 42,
	PLD_V = 43,
	PLD_TSI = 44,
	PLD_TSR = 45,
	PLD_SK = 46,
	PLD_CP = 47,
	PLD_EAP = 48,
	PLD_SKF = 53,
};

/* The same as bits, for presence tables: 1 << (type - 33). */
#define P_BIT(type)	(UINT32_C(1) << ((type) - PLD_SA))
#define P_SA		P_BIT(PLD_SA)
#define P_KE		P_BIT(PLD_KE)
#define P_IDI		P_BIT(PLD_IDI)
#define P_IDR		P_BIT(PLD_IDR)
#define P_CERT		P_BIT(PLD_CERT)
#define P_CERTREQ	P_BIT(PLD_CERTREQ)
#define P_AUTH		P_BIT(PLD_AUTH)
#define P_NONCE		P_BIT(PLD_NONCE)
#define P_N		P_BIT(PLD_N)
#define P_D		P_BIT(PLD_D)
#define P_V		P_BIT(PLD_V)
#define P_TSI		P_BIT(PLD_TSI)
#define P_TSR		P_BIT(PLD_TSR)
#define P_SK		P_BIT(PLD_SK)
#define P_CP		P_BIT(PLD_CP)
#define P_EAP		P_BIT(PLD_EAP)
#define P_SKF		P_BIT(PLD_SKF)

/* True for the types above; `type` may be any byte. */
bool		pld_is_known(uint8_t type);
/* "SA", "KE", ...; "unknown" for a type we do not know. */
const char	*pld_name(uint8_t type);
/* "SA,KE,Nonce": the payloads of a presence set, for the log.  Returns buf. */
const char	*pld_set_str(uint32_t set, char *buf, size_t cap);

/* Security protocol ids, IANA "IKEv2 Security Protocol Identifiers". */
#define PROTO_NONE	0
#define PROTO_IKE	1
#define PROTO_AH	2
#define PROTO_ESP	3

/* Key Exchange, section 3.4. */
struct pld_ke {
	uint16_t group;			/* IANA "Transform Type 4" id, as on the wire */
	const uint8_t *data;
	size_t len;			/* bytes, never 0 after a successful parse */
};

/* Does not check that `len` suits `group`: ke_peer_set() does, and the answer to that is
 * INVALID_KE_PAYLOAD or INVALID_SYNTAX, by exchange. */
bool	pld_ke_parse(struct rd body, struct pld_ke *ke);
void	pld_ke_write(struct wr *w, const struct pld_ke *ke);

/* Nonce, sections 2.10 and 3.9: 16 to 256 bytes, else refused. */
#define NONCE_MIN	16
#define NONCE_MAX	256
#define NONCE_LEN	32		/* what we send: at least half the key of any PRF of ours */

bool	pld_nonce_parse(struct rd body, struct slice *nonce);
void	pld_nonce_write(struct wr *w, struct slice nonce);

/* Identification, section 3.5; IANA "IKEv2 Identification Payload ID Types". */
enum {
	ID_IPV4_ADDR = 1,
	ID_FQDN = 2,
	ID_RFC822_ADDR = 3,
	ID_IPV6_ADDR = 5,
	ID_DER_ASN1_DN = 9,
	ID_DER_ASN1_GN = 10,
	ID_KEY_ID = 11,
};

#define ID_DATA_MAX	256

struct ike_id {
	uint8_t type;			/* 0: none */
	uint16_t len;			/* bytes of data, 1..ID_DATA_MAX; 0 only with type 0 */
	uint8_t data[ID_DATA_MAX];	/* any bytes; not terminated */
};

/* Copies.  Refuses an empty identity, one longer than ID_DATA_MAX, an address of a wrong
 * length and type 0.  Other unknown types are kept: they equal nothing that is configured. */
bool	pld_id_parse(struct rd body, struct ike_id *id);
void	pld_id_write(struct wr *w, const struct ike_id *id);

/* Equal only if type, length and bytes are (R6): no case folding, no wildcard.  Two absent
 * identities (type 0) are not equal. */
bool	id_equal(const struct ike_id *a, const struct ike_id *b);

/*
 * Text of the configuration to an identity.  With a prefix the type is explicit: "ipv4:",
 * "ipv6:", "fqdn:", "email:", "keyid:" (the rest taken as it is).  Without: an address, else
 * with an '@' inside an e-mail address, else a host name.  A host name must be letters, digits,
 * '-', '_' and dots.  "dn:" is refused for now.  On failure returns false and writes a
 * sentence (without a full stop) to err.
 */
bool	id_parse(const char *text, struct ike_id *id, char *err, size_t cap);

/* The text that id_parse() takes, unprintable bytes as \xNN; "none" for type 0.  A prefix
 * only where id_parse() would infer another type.  Returns buf. */
#define ID_STRLEN	(ID_DATA_MAX * 4 + 16)
const char *id_str(const struct ike_id *id, char *buf, size_t cap);

/* Authentication, section 3.8. */
#define AUTH_METHOD_RSA		1
#define AUTH_METHOD_PSK		2
#define AUTH_METHOD_SIGNATURE	14	/* RFC 7427 */

struct pld_auth {
	uint8_t method;
	const uint8_t *data;
	size_t len;			/* may be 0: auth refuses it, not the parser */
};

bool	pld_auth_parse(struct rd body, struct pld_auth *auth);
void	pld_auth_write(struct wr *w, const struct pld_auth *auth);

/* Notify, section 3.10; IANA "IKEv2 Notify Message Types": below 16384 an error. */
enum {
	N_UNSUPPORTED_CRITICAL_PAYLOAD = 1,
	N_INVALID_IKE_SPI = 4,
	N_INVALID_MAJOR_VERSION = 5,
	N_INVALID_SYNTAX = 7,
	N_INVALID_MESSAGE_ID = 9,
	N_INVALID_SPI = 11,
	N_NO_PROPOSAL_CHOSEN = 14,
	N_INVALID_KE_PAYLOAD = 17,
	N_AUTHENTICATION_FAILED = 24,
	N_SINGLE_PAIR_REQUIRED = 34,
	N_NO_ADDITIONAL_SAS = 35,
	N_INTERNAL_ADDRESS_FAILURE = 36,
	N_FAILED_CP_REQUIRED = 37,
	N_TS_UNACCEPTABLE = 38,
	N_INVALID_SELECTORS = 39,
	N_TEMPORARY_FAILURE = 43,
	N_CHILD_SA_NOT_FOUND = 44,
	N_TS_MAX_QUEUE = 48,		/* RFC 9611 */
	N_STATUS_MIN = 16384,
	N_INITIAL_CONTACT = 16384,
	N_SET_WINDOW_SIZE = 16385,
	N_ADDITIONAL_TS_POSSIBLE = 16386,
	N_IPCOMP_SUPPORTED = 16387,
	N_NAT_DETECTION_SOURCE_IP = 16388,
	N_NAT_DETECTION_DESTINATION_IP = 16389,
	N_COOKIE = 16390,
	N_USE_TRANSPORT_MODE = 16391,
	N_HTTP_CERT_LOOKUP_SUPPORTED = 16392,
	N_REKEY_SA = 16393,
	N_ESP_TFC_PADDING_NOT_SUPPORTED = 16394,
	N_NON_FIRST_FRAGMENTS_ALSO = 16395,
	N_MOBIKE_SUPPORTED = 16396,
	N_MULTIPLE_AUTH_SUPPORTED = 16404,
	N_REDIRECT_SUPPORTED = 16406,
	N_EAP_ONLY_AUTHENTICATION = 16417,
	N_IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420,
	N_IKEV2_FRAGMENTATION_SUPPORTED = 16430,
	N_SIGNATURE_HASH_ALGORITHMS = 16431,
	N_SA_RESOURCE_INFO = 16444,	/* RFC 9611 */
	N_PRIVATE_MIN = 40960,		/* status types for private use */
};

struct pld_notify {
	uint8_t proto;			/* PROTO_NONE where no SPI is meant */
	uint16_t type;
	struct slice spi, data;		/* either may be empty */
};

/* Refuses only what is short: a wrong SPI size for `proto` is the reader's business. */
bool	pld_notify_parse(struct rd body, struct pld_notify *n);
void	pld_notify_write(struct wr *w, const struct pld_notify *n);
/* The 4-byte SPI of a notify about ESP (REKEY_SA, CHILD_SA_NOT_FOUND), 0 when it has none. */
uint32_t pld_notify_esp_spi(const struct pld_notify *n);
/* "NO_PROPOSAL_CHOSEN", ...; "error" or "status" for a number we do not know. */
const char *notify_name(uint16_t type);

/* Delete, section 3.11.  For IKE no SPI is given; for ESP and AH they are 4 bytes each. */
struct pld_delete {
	uint8_t proto;
	uint16_t n;			/* SPIs; 0 for PROTO_IKE */
	const uint8_t *spis;		/* n * 4 bytes, network order */
};

/* Refuses an unknown protocol, an SPI size that does not suit it and a count that does not
 * fit the body exactly. */
bool	pld_delete_parse(struct rd body, struct pld_delete *d);
/* The i-th SPI, i < n, host order. */
uint32_t pld_delete_spi(const struct pld_delete *d, unsigned i);
/* proto PROTO_IKE: n is 0.  PROTO_ESP: `spis` in host order. */
void	pld_delete_write(struct wr *w, uint8_t proto, const uint32_t *spis, uint16_t n);

#endif
