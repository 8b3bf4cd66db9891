/* SPDX-License-Identifier: MIT */
#include "ike/payload.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"

static const struct {
	uint8_t type;
	const char *name;
} pld_names[] = {
	{ PLD_SA, "SA" }, { PLD_KE, "KE" }, { PLD_IDI, "IDi" }, { PLD_IDR, "IDr" },
	{ PLD_CERT, "CERT" }, { PLD_CERTREQ, "CERTREQ" }, { PLD_AUTH, "AUTH" },
	{ PLD_NONCE, "Nonce" }, { PLD_N, "N" }, { PLD_D, "D" }, { PLD_V, "V" },
	{ PLD_TSI, "TSi" }, { PLD_TSR, "TSr" }, { PLD_SK, "SK" }, { PLD_CP, "CP" },
	{ PLD_EAP, "EAP" }, { PLD_SKF, "SKF" },
};

#define N_ELEM(a)	(sizeof(a) / sizeof((a)[0]))

const char *
pld_name(uint8_t type)
{
	for (size_t i = 0; i < N_ELEM(pld_names); i++) {
		if (pld_names[i].type == type)
			return pld_names[i].name;
	}
	return "unknown";
}

bool
pld_is_known(uint8_t type)
{
	return (type >= PLD_SA && type <= PLD_EAP) || type == PLD_SKF;
}

const char *
pld_set_str(uint32_t set, char *buf, size_t cap)
{
	size_t at = 0;

	if (cap > 0)
		buf[0] = '\0';
	for (size_t i = 0; i < N_ELEM(pld_names) && at < cap; i++) {
		if ((set & P_BIT(pld_names[i].type)) == 0)
			continue;
		at += (size_t)snprintf(buf + at, cap - at, "%s%s", at > 0 ? "," : "",
		    pld_names[i].name);
	}
	return buf;
}

bool
pld_ke_parse(struct rd body, struct pld_ke *ke)
{
	ke->group = rd_u16(&body);
	(void)rd_u16(&body);		/* RESERVED: ignored on receipt */
	ke->len = rd_left(&body);
	ke->data = rd_bytes(&body, ke->len);
	return rd_done(&body) && ke->len > 0;
}

void
pld_ke_write(struct wr *w, const struct pld_ke *ke)
{
	wr_u16(w, ke->group);
	wr_u16(w, 0);			/* RESERVED */
	wr_bytes(w, ke->data, ke->len);
}

bool
pld_nonce_parse(struct rd body, struct slice *nonce)
{
	nonce->len = rd_left(&body);
	nonce->p = rd_bytes(&body, nonce->len);
	return rd_done(&body) && nonce->len >= NONCE_MIN && nonce->len <= NONCE_MAX;
}

void
pld_nonce_write(struct wr *w, struct slice nonce)
{
	wr_bytes(w, nonce.p, nonce.len);
}

/* What the length of an identity may be. */
static bool
id_len_fits(uint8_t type, size_t len)
{
	switch (type) {
	case 0:
		return false;
	case ID_IPV4_ADDR:
		return len == 4;
	case ID_IPV6_ADDR:
		return len == 16;
	default:			/* a byte of the peer's, not one of our enums */
		return len >= 1 && len <= ID_DATA_MAX;
	}
}

bool
pld_id_parse(struct rd body, struct ike_id *id)
{
	memset(id, 0, sizeof(*id));
	id->type = rd_u8(&body);
	rd_skip(&body, 3);		/* RESERVED */
	if (!rd_ok(&body) || !id_len_fits(id->type, rd_left(&body)))
		return false;
	id->len = (uint16_t)rd_left(&body);
	rd_copy(&body, id->data, id->len);
	return rd_done(&body);
}

void
pld_id_write(struct wr *w, const struct ike_id *id)
{
	wr_u8(w, id->type);
	wr_zero(w, 3);			/* RESERVED */
	wr_bytes(w, id->data, id->len);
}

bool
id_equal(const struct ike_id *a, const struct ike_id *b)
{
	return a->type != 0 && a->type == b->type && a->len == b->len && a->len <= ID_DATA_MAX &&
	    memcmp(a->data, b->data, a->len) == 0;
}

static const struct {
	const char *prefix;
	uint8_t type;
} id_prefixes[] = {
	{ "ipv4:", ID_IPV4_ADDR }, { "ipv6:", ID_IPV6_ADDR }, { "fqdn:", ID_FQDN },
	{ "email:", ID_RFC822_ADDR }, { "keyid:", ID_KEY_ID }, { "dn:", ID_DER_ASN1_DN },
};

/* The type that a prefix of the text says, and the prefix's length; 0 without one. */
static uint8_t
id_prefix_of(const char *text, size_t *len)
{
	for (size_t i = 0; i < N_ELEM(id_prefixes); i++) {
		*len = strlen(id_prefixes[i].prefix);
		if (strncmp(text, id_prefixes[i].prefix, *len) == 0)
			return id_prefixes[i].type;
	}
	*len = 0;
	return 0;
}

/* The type a text without prefix means; 0 when it is none we would guess. */
static uint8_t
id_infer(const char *text)
{
	struct ip ip;

	if (ip_parse(text, &ip))
		return ip.family == AF_INET ? ID_IPV4_ADDR : ID_IPV6_ADDR;
	if (strchr(text, '@') != NULL)
		return ID_RFC822_ADDR;
	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("-_.", *p) == NULL)
			return 0;
	}
	return *text != '\0' ? ID_FQDN : 0;
}

/* Graphic ASCII, with something on both sides of the last '@'. */
static bool
email_is_sound(const char *text)
{
	const char *at = strrchr(text, '@');

	for (const char *p = text; *p != '\0'; p++) {
		if (!isgraph((unsigned char)*p))
			return false;
	}
	return at != NULL && at > text && at[1] != '\0';
}

/* The bytes of an identity whose type is known. */
static bool
id_fill(struct ike_id *id, uint8_t type, const char *text, char *err, size_t cap)
{
	struct ip ip;
	size_t len = strlen(text);

	if (type == ID_IPV4_ADDR || type == ID_IPV6_ADDR) {
		uint8_t family = type == ID_IPV4_ADDR ? AF_INET : AF_INET6;

		if (!ip_parse(text, &ip) || ip.family != family) {
			(void)snprintf(err, cap, "\"%.64s\" is not an IPv%c address", text,
			    family == AF_INET ? '4' : '6');
			return false;
		}
		id->len = (uint16_t)ip_len(family);
		memcpy(id->data, ip.b, id->len);
	} else {
		if (len == 0 || len > ID_DATA_MAX) {
			(void)snprintf(err, cap, "an identity has 1 to %d characters, not %zu",
			    ID_DATA_MAX, len);
			return false;
		}
		if (type == ID_RFC822_ADDR && !email_is_sound(text)) {
			(void)snprintf(err, cap, "\"%.64s\" is not an e-mail address", text);
			return false;
		}
		id->len = (uint16_t)len;
		memcpy(id->data, text, len);
	}
	id->type = type;
	return true;
}

bool
id_parse(const char *text, struct ike_id *id, char *err, size_t cap)
{
	size_t skip = 0;
	uint8_t type = id_prefix_of(text, &skip);
	const char *rest = text + skip;

	memset(id, 0, sizeof(*id));
	if (type == ID_DER_ASN1_DN) {
		(void)snprintf(err, cap, "distinguished names (dn:) are not supported yet");
		return false;
	}
	if (type == 0)
		type = id_infer(text);
	if (type == 0) {
		(void)snprintf(err, cap, "\"%.64s\" is neither an address, a host name nor an "
		    "e-mail address; a prefix (fqdn:, email:, keyid:) would say what it is", text);
		return false;
	}
	return id_fill(id, type, rest, err, cap);
}

static const char *
id_prefix(uint8_t type)
{
	for (size_t i = 0; i < N_ELEM(id_prefixes); i++) {
		if (id_prefixes[i].type == type)
			return id_prefixes[i].prefix;
	}
	return NULL;
}

/* The data of an identity, printable; what would not read back the same is escaped. */
static void
id_text(const struct ike_id *id, char *out)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < id->len && i < ID_DATA_MAX; i++) {
		uint8_t c = id->data[i];

		if (isgraph(c) && c != '\\' && c != '"') {
			*out++ = (char)c;
			continue;
		}
		*out++ = '\\';
		*out++ = 'x';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	*out = '\0';
}

const char *
id_str(const struct ike_id *id, char *buf, size_t cap)
{
	char text[ID_STRLEN];
	const char *prefix = id_prefix(id->type);
	struct ip ip = { 0 };
	size_t len;
	bool plain;

	if (id->type == 0) {
		(void)snprintf(buf, cap, "none");
		return buf;
	}
	if ((id->type == ID_IPV4_ADDR || id->type == ID_IPV6_ADDR) &&
	    id_len_fits(id->type, id->len)) {
		ip.family = id->type == ID_IPV4_ADDR ? AF_INET : AF_INET6;
		memcpy(ip.b, id->data, id->len);
		(void)ip_str(&ip, text);
	} else {
		id_text(id, text);
	}
	plain = id_infer(text) == id->type && id_prefix_of(text, &len) == 0;
	if (prefix == NULL)
		(void)snprintf(buf, cap, "type%u:%s", id->type, text);
	else
		(void)snprintf(buf, cap, "%s%s", plain ? "" : prefix, text);
	return buf;
}

bool
pld_auth_parse(struct rd body, struct pld_auth *auth)
{
	auth->method = rd_u8(&body);
	rd_skip(&body, 3);		/* RESERVED */
	auth->len = rd_left(&body);
	auth->data = rd_bytes(&body, auth->len);
	return rd_done(&body);
}

void
pld_auth_write(struct wr *w, const struct pld_auth *auth)
{
	wr_u8(w, auth->method);
	wr_zero(w, 3);			/* RESERVED */
	wr_bytes(w, auth->data, auth->len);
}

bool
pld_notify_parse(struct rd body, struct pld_notify *n)
{
	n->proto = rd_u8(&body);
	n->spi.len = rd_u8(&body);
	n->type = rd_u16(&body);
	n->spi.p = rd_bytes(&body, n->spi.len);
	n->data.len = rd_left(&body);
	n->data.p = rd_bytes(&body, n->data.len);
	return rd_done(&body);
}

void
pld_notify_write(struct wr *w, const struct pld_notify *n)
{
	if (n->spi.len > UINT8_MAX)
		(void)wr_room(w, SIZE_MAX);	/* our own fault: fail the writer */
	wr_u8(w, n->proto);
	wr_u8(w, (uint8_t)n->spi.len);
	wr_u16(w, n->type);
	wr_bytes(w, n->spi.p, n->spi.len);
	wr_bytes(w, n->data.p, n->data.len);
}

uint32_t
pld_notify_esp_spi(const struct pld_notify *n)
{
	struct rd spi = rd_init(n->spi.p, n->spi.len);
	uint32_t v = rd_u32(&spi);

	return n->proto == PROTO_ESP && rd_done(&spi) ? v : 0;
}

static const struct {
	uint16_t type;
	const char *name;
} notify_names[] = {
#define NAME(n)	{ N_ ## n, #n }
	NAME(UNSUPPORTED_CRITICAL_PAYLOAD), NAME(INVALID_IKE_SPI), NAME(INVALID_MAJOR_VERSION),
	NAME(INVALID_SYNTAX), NAME(INVALID_MESSAGE_ID), NAME(INVALID_SPI),
	NAME(NO_PROPOSAL_CHOSEN), NAME(INVALID_KE_PAYLOAD), NAME(AUTHENTICATION_FAILED),
	NAME(SINGLE_PAIR_REQUIRED), NAME(NO_ADDITIONAL_SAS), NAME(INTERNAL_ADDRESS_FAILURE),
	NAME(FAILED_CP_REQUIRED), NAME(TS_UNACCEPTABLE), NAME(INVALID_SELECTORS),
	NAME(TEMPORARY_FAILURE), NAME(CHILD_SA_NOT_FOUND), NAME(TS_MAX_QUEUE), NAME(INITIAL_CONTACT),
	NAME(SET_WINDOW_SIZE), NAME(ADDITIONAL_TS_POSSIBLE), NAME(IPCOMP_SUPPORTED),
	NAME(NAT_DETECTION_SOURCE_IP), NAME(NAT_DETECTION_DESTINATION_IP), NAME(COOKIE),
	NAME(USE_TRANSPORT_MODE), NAME(HTTP_CERT_LOOKUP_SUPPORTED), NAME(REKEY_SA),
	NAME(ESP_TFC_PADDING_NOT_SUPPORTED), NAME(NON_FIRST_FRAGMENTS_ALSO),
	NAME(MOBIKE_SUPPORTED), NAME(MULTIPLE_AUTH_SUPPORTED), NAME(REDIRECT_SUPPORTED),
	NAME(EAP_ONLY_AUTHENTICATION), NAME(IKEV2_MESSAGE_ID_SYNC_SUPPORTED),
	NAME(IKEV2_FRAGMENTATION_SUPPORTED), NAME(SIGNATURE_HASH_ALGORITHMS),
	NAME(SA_RESOURCE_INFO),
#undef NAME
};

const char *
notify_name(uint16_t type)
{
	for (size_t i = 0; i < N_ELEM(notify_names); i++) {
		if (notify_names[i].type == type)
			return notify_names[i].name;
	}
	return type < N_STATUS_MIN ? "error" : "status";
}

bool
pld_delete_parse(struct rd body, struct pld_delete *d)
{
	uint8_t size;

	d->proto = rd_u8(&body);
	size = rd_u8(&body);
	d->n = rd_u16(&body);
	switch (d->proto) {
	case PROTO_IKE:
		if (size != 0 || d->n != 0)
			return false;
		break;
	case PROTO_AH:
	case PROTO_ESP:
		if (size != 4)
			return false;
		break;
	default:			/* a byte of the peer's */
		return false;
	}
	d->spis = rd_bytes(&body, (size_t)d->n * size);
	return rd_done(&body);
}

uint32_t
pld_delete_spi(const struct pld_delete *d, unsigned i)
{
	struct rd r = rd_init(d->spis, (size_t)d->n * 4);

	rd_skip(&r, (size_t)i * 4);
	return rd_u32(&r);
}

void
pld_delete_write(struct wr *w, uint8_t proto, const uint32_t *spis, uint16_t n)
{
	wr_u8(w, proto);
	wr_u8(w, proto == PROTO_IKE ? 0 : 4);
	wr_u16(w, n);
	for (unsigned i = 0; i < n; i++)
		wr_u32(w, spis[i]);
}
