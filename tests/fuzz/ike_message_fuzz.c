/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <string.h>

#include "ike/message.h"
#include "ike/natt.h"
#include "ike/proposal.h"
#include "ike/ts.h"

/*
 * A datagram as strangers send it: parsed, and every payload of it read as what it claims to
 * be.  Then the same bytes as the text inside a protected message, sealed and opened with a
 * fixed key, so that the inner chain is reached too; and as a datagram to be opened.
 */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t sealed[MSG_LEN_MAX], plain[MSG_LEN_MAX];
static struct msg outer, inner;

static void
read_payload(uint8_t type, struct rd body)
{
	static struct sa sa;
	static struct ts_list ts;
	struct pld_delete d;
	struct ike_id id;
	struct pld_auth auth;
	struct slice nonce;
	struct pld_ke ke;
	char text[2048];

	if (type == PLD_SA && sa_parse(body, &sa))
		assert(strlen(sa_str(&sa, text, 200)) < 200);
	if ((type == PLD_IDI || type == PLD_IDR) && pld_id_parse(body, &id))
		assert(strlen(id_str(&id, text, sizeof(text))) < ID_STRLEN);
	if ((type == PLD_TSI || type == PLD_TSR) && ts_parse(body, &ts))
		(void)ts_list_str(&ts, text, sizeof(text));
	if (type == PLD_D && pld_delete_parse(body, &d) && d.n > 0)
		(void)pld_delete_spi(&d, d.n - 1u);
	(void)pld_ke_parse(body, &ke);
	(void)pld_nonce_parse(body, &nonce);
	(void)pld_auth_parse(body, &auth);
}

static void
read_all(const struct msg *m)
{
	const struct endpoint e = { .ip = { .family = AF_INET }, .port = 500 };
	struct natt natt;

	assert(m->n <= MSG_PAYLOADS_MAX && m->notify_n <= MSG_NOTIFY_MAX);
	for (unsigned i = 0; i < m->n; i++)
		read_payload(m->payload[i].type, m->payload[i].body);
	natt_read(m, &e, &e, &natt);
	for (unsigned i = 0; i < m->notify_n; i++)
		(void)pld_notify_esp_spi(&m->notify[i]);
}

static struct msg_cipher
fixed_cipher(enum aead_id id)
{
	static struct aead_set *set;
	static struct aead_scratch *scratch;
	static struct aead_key keys[AEAD_N];
	const struct aead_info *info = aead_info(id);
	static const uint8_t bytes[AEAD_KEY_MAX] = { 1, 2, 3 };

	if (set == NULL) {
		set = aead_set_new();
		assert(set != NULL);
		scratch = aead_scratch_new(set);
		assert(scratch != NULL);
	}
	if (keys[id].id != id)
		assert(aead_key_init(&keys[id], set, id, bytes,
		    (size_t)info->enc_len + info->salt_len + info->auth_len));
	return (struct msg_cipher){ .key = &keys[id], .scratch = scratch };
}

/* Seal data + 1 as a chain of payloads of which the first has type data[0]. */
static void
inside(const uint8_t *data, size_t len, enum aead_id id)
{
	const struct ike_hdr h = { .spi_i = 1, .spi_r = 2, .exchange = X_INFORMATIONAL };
	struct msg_cipher c = fixed_cipher(id);
	static const uint8_t iv[AEAD_IV_MAX];
	struct msg_wr mw;
	size_t n;

	msg_start(&mw, sealed, sizeof(sealed), &h);
	msg_start_sk(&mw, &c);
	wr_put_u8(&mw.w, mw.next_at, data[0]);	/* the chain is the input's own */
	wr_bytes(&mw.w, data + 1, len - 1);
	n = msg_seal(&mw, &c, iv);
	if (n == 0)
		return;
	assert(msg_parse(sealed, n, &outer) == MSG_OK);
	switch (msg_open(&outer, &c, plain, sizeof(plain), &inner)) {
	case MSG_OK:
		read_all(&inner);
		break;
	case MSG_SYNTAX:
	case MSG_CRITICAL:
		break;
	case MSG_SHORT:
	case MSG_OLD:
	case MSG_VERSION:
	case MSG_ICV:
		assert(0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct msg_cipher gcm = fixed_cipher(AEAD_AES_GCM_16_128);
	struct msg_cipher cbc = fixed_cipher(AEAD_AES_CBC_256_HMAC_SHA2_512);

	if (msg_parse(data, len, &outer) == MSG_OK) {
		read_all(&outer);
		/* nobody guesses an ICV */
		assert(msg_open(&outer, &gcm, plain, sizeof(plain), &inner) == MSG_ICV);
		assert(msg_open(&outer, &cbc, plain, sizeof(plain), &inner) == MSG_ICV);
	}
	if (len > 0) {
		inside(data, len, AEAD_AES_GCM_16_128);
		inside(data, len, AEAD_AES_CBC_256_HMAC_SHA2_512);
	}
	if (len > IKE_HDR_LEN) {	/* the payloads of a real message, moved inside */
		static uint8_t moved[1 + MSG_LEN_MAX];
		size_t n = len - IKE_HDR_LEN < MSG_LEN_MAX ? len - IKE_HDR_LEN : MSG_LEN_MAX;

		moved[0] = data[16];
		memcpy(moved + 1, data + IKE_HDR_LEN, n);
		inside(moved, n + 1, AEAD_AES_GCM_16_128);
	}
	return 0;
}
