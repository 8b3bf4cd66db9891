/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_MESSAGE_H
#define TANDEM_IKE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/aead.h"
#include "base/bytes.h"
#include "base/rng.h"
#include "ike/payload.h"

/*
 * An IKE message (RFC 7296 section 3.1, 3.2, 3.14): header, chain of payloads, encryption.
 * Datagrams of port 4500 come without the 4-byte non-ESP marker, which the caller removes
 * and adds.  RFC 7383 fragments are refused: we do not announce that we take them.
 */
enum ike_exchange {
	X_IKE_SA_INIT = 34,
	X_IKE_AUTH = 35,
	X_CREATE_CHILD_SA = 36,
	X_INFORMATIONAL = 37,
};

#define IKE_HDR_LEN	28
#define IKE_VERSION	0x20		/* 2.0 */
#define IKE_F_INITIATOR	0x08		/* sent by the original initiator of the IKE SA */
#define IKE_F_VERSION	0x10		/* the sender can speak a higher major version */
#define IKE_F_RESPONSE	0x20

#define MSG_LEN_MAX	65535		/* bytes of a message, header included (R18) */
#define MSG_PAYLOADS_MAX 64
#define MSG_NOTIFY_MAX	32
#define MSG_CERT_MAX	16

struct ike_hdr {
	uint64_t spi_i, spi_r;
	uint8_t next;			/* filled by the parser; the writer ignores it */
	uint8_t version;		/* major in the high half; the writer sends IKE_VERSION */
	uint8_t exchange;		/* enum ike_exchange, or anything a peer sends */
	uint8_t flags;			/* IKE_F_*; reserved bits are ignored */
	uint32_t id;			/* message ID */
	uint32_t len;			/* whole message; the writer ignores it */
};

enum msg_verdict {
	MSG_OK,
	MSG_SHORT,			/* no whole header, or `len` differs from the datagram: drop */
	MSG_OLD,			/* major version below 2: drop */
	MSG_VERSION,			/* major version above 2: only the header is parsed */
					/* (INVALID_MAJOR_VERSION, rate-limited) */
	MSG_SYNTAX,			/* broken chain, a bound of R18 exceeded, payloads beside SK, */
					/* SKF, SK not last, bad padding: INVALID_SYNTAX where a */
					/* protected answer may be sent, else drop */
	MSG_CRITICAL,			/* unknown critical payload, its type in msg.critical: */
					/* UNSUPPORTED_CRITICAL_PAYLOAD in answer to a request */
	MSG_ICV,			/* msg_open: does not authenticate: count and drop */
};

/* "syntax", ...: for counters and the log. */
const char *msg_verdict_name(enum msg_verdict v);

struct msg_payload {
	uint8_t type;
	struct rd body;			/* borrows from the datagram or the plaintext */
};

/* A parsed message.  4 to 5 KiB; keep one on the stack, not many. */
struct msg {
	struct ike_hdr h;
	struct slice raw;		/* the datagram from the IKE header on (for AUTH) */
	uint32_t present;		/* P_* of what is there */
	uint8_t count[32];		/* how many of each, by type - PLD_SA */
	unsigned n;			/* known payloads, in order of arrival; unknown ones that */
	struct msg_payload payload[MSG_PAYLOADS_MAX];	/* are not critical are left out */
	unsigned notify_n;
	struct pld_notify notify[MSG_NOTIFY_MAX];
	uint8_t critical;		/* type of the first unknown critical payload, or 0 */
	bool opened;			/* made by msg_open: what is here came authenticated */
	uint8_t sk_first;		/* type of the first payload inside SK */
	size_t sk_at;			/* where the body of SK starts in raw; 0 without SK */
};

/* Only the header: enough to find the IKE SA.  MSG_OK, MSG_SHORT, MSG_OLD or MSG_VERSION;
 * `h` is filled in the last two too. */
enum msg_verdict msg_parse_header(const uint8_t *data, size_t len, struct ike_hdr *h);

/*
 * Header and outer chain.  A message with an SK payload has P_SK alone in `present`, and
 * nothing of it means anything before msg_open().  After MSG_CRITICAL, h is valid.
 */
enum msg_verdict msg_parse(const uint8_t *data, size_t len, struct msg *m);

/* What seals and opens the messages of one direction of an IKE SA. */
struct msg_cipher {
	const struct aead_key *key;
	struct aead_scratch *scratch;
};

/*
 * The one way to plaintext (R9).  `outer` is a message with an SK payload; its text goes to
 * `plain`, of at least outer->raw.len bytes (less: MSG_SYNTAX), which `inner` then borrows:
 * keep it as long.  inner gets outer's header and raw.  Any verdict but MSG_ICV means that
 * the message authenticated; after MSG_SYNTAX and MSG_CRITICAL nothing else of it is to be
 * used.  MSG_ICV also when it is too short for the algorithm or has no SK payload.
 * The caller wipes `plain`.
 */
enum msg_verdict msg_open(const struct msg *outer, const struct msg_cipher *c,
	    uint8_t *plain, size_t cap, struct msg *inner);

/* The first payload of a type; false when there is none (then *body is an empty reader). */
bool	msg_find(const struct msg *m, uint8_t type, struct rd *body);
/* The same as bytes, e.g. the ID body that AUTH covers; empty when there is none. */
struct slice msg_body(const struct msg *m, uint8_t type);
/* The first notify of a type, or NULL. */
const struct pld_notify *msg_notify(const struct msg *m, uint16_t type);
/* The first notify that is an error (type below N_STATUS_MIN), or NULL. */
const struct pld_notify *msg_error(const struct msg *m);
/* How many payloads of a type there are. */
unsigned msg_count(const struct msg *m, uint8_t type);

/*
 * Writing.  In the clear:
 *	msg_start(&mw, buf, cap, &h);
 *	pld_ke_write(msg_add(&mw, PLD_KE), &ke);  ...
 *	len = msg_end(&mw);
 * Protected:
 *	msg_start(&mw, buf, cap, &h);
 *	msg_start_sk(&mw, &cipher);
 *	pld_notify_write(msg_add(&mw, PLD_N), &n);  ...	(or nothing: an empty message)
 *	msg_iv(cipher.key, &counter, &rng, iv);
 *	len = msg_seal(&mw, &cipher, iv);
 * Next-payload bytes and lengths are filled in on the way.  Errors stick: asked once, by the
 * length at the end, which is 0 when something did not fit.
 */
struct msg_wr {
	struct wr w;
	size_t next_at;			/* the byte that tells the type of the next payload */
	size_t pld_at;			/* the open payload, 0: none */
	size_t sk_at;			/* the SK payload, 0: none */
};

/* `buf` of `cap` bytes is borrowed until the end; at most MSG_LEN_MAX of it are used. */
void	msg_start(struct msg_wr *mw, void *buf, size_t cap, const struct ike_hdr *h);
void	msg_start_sk(struct msg_wr *mw, const struct msg_cipher *c);
/* Begin the next payload; its body goes to the writer returned. */
struct wr *msg_add(struct msg_wr *mw, uint8_t type);
/* A notify without SPI, and one payload of ready bytes: the two most frequent. */
void	msg_add_notify(struct msg_wr *mw, uint16_t type, const void *data, size_t len);
void	msg_add_bytes(struct msg_wr *mw, uint8_t type, struct slice body);
/* Length of the message, 0: it did not fit, or msg_start_sk was called. */
size_t	msg_end(struct msg_wr *mw);
/*
 * The next IV of a key, to `iv`: for AEADs the 8-byte counter, which then is raised (one
 * counter a key and direction, never derived from the message ID, R23); for CBC 16 random
 * bytes.  False when the counter is used up: the IKE SA must not be used to send any more.
 */
bool	msg_iv(const struct aead_key *k, uint64_t *counter, const struct rng *rng,
	    uint8_t iv[AEAD_IV_MAX]);
/* Pad, encrypt, authenticate.  Length of the message, 0: it did not fit, msg_start_sk was not
 * called, or the library failed; the buffer then holds plaintext and must not be sent. */
size_t	msg_seal(struct msg_wr *mw, const struct msg_cipher *c, const uint8_t iv[AEAD_IV_MAX]);

#endif
