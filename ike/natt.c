/* SPDX-License-Identifier: MIT */
#include "ike/natt.h"

#include <openssl/evp.h>
#include <string.h>

bool
natt_hash(uint64_t spi_i, uint64_t spi_r, const struct endpoint *e, uint8_t out[NATT_HASH_LEN])
{
	uint8_t text[8 + 8 + 16 + 2];
	struct wr w = wr_init(text, sizeof(text));
	unsigned len = 0;
	EVP_MD *sha1;
	bool ok;

	wr_u64(&w, spi_i);
	wr_u64(&w, spi_r);
	wr_bytes(&w, e->ip.b, ip_len(e->ip.family));
	wr_u16(&w, e->port);
	sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	ok = sha1 != NULL && EVP_MD_get_size(sha1) == NATT_HASH_LEN &&
	    EVP_Digest(text, wr_len(&w), out, &len, sha1, NULL) == 1 && len == NATT_HASH_LEN;
	EVP_MD_free(sha1);
	return ok;
}

/* What stands for "not my address": no sender of a datagram has it. */
static const struct endpoint nowhere = { .ip = { .family = AF_INET } };

bool
natt_write(struct msg_wr *mw, uint64_t spi_i, uint64_t spi_r, const struct endpoint *remote)
{
	uint8_t source[NATT_HASH_LEN], destination[NATT_HASH_LEN];

	if (!natt_hash(spi_i, spi_r, &nowhere, source) ||
	    !natt_hash(spi_i, spi_r, remote, destination))
		return false;
	msg_add_notify(mw, N_NAT_DETECTION_SOURCE_IP, source, sizeof(source));
	msg_add_notify(mw, N_NAT_DETECTION_DESTINATION_IP, destination, sizeof(destination));
	return true;
}

/* Some notify of `type` carries `hash`; *seen: there is one at all. */
static bool
carries(const struct msg *m, uint16_t type, const uint8_t hash[NATT_HASH_LEN], bool *seen)
{
	bool found = false;

	*seen = false;
	for (unsigned i = 0; i < m->notify_n; i++) {
		const struct pld_notify *n = &m->notify[i];

		if (n->type != type || n->data.len != NATT_HASH_LEN)
			continue;
		*seen = true;
		found = found || memcmp(n->data.p, hash, NATT_HASH_LEN) == 0;
	}
	return found;
}

void
natt_read(const struct msg *m, const struct endpoint *local, const struct endpoint *remote,
    struct natt *n)
{
	uint8_t fake[NATT_HASH_LEN], theirs[NATT_HASH_LEN], ours[NATT_HASH_LEN];
	bool source, destination, source_fits, destination_fits;

	memset(n, 0, sizeof(*n));
	if (!natt_hash(m->h.spi_i, m->h.spi_r, &nowhere, fake) ||
	    !natt_hash(m->h.spi_i, m->h.spi_r, remote, theirs) ||
	    !natt_hash(m->h.spi_i, m->h.spi_r, local, ours))
		return;
	n->peer_fakes = carries(m, N_NAT_DETECTION_SOURCE_IP, fake, &source);
	source_fits = carries(m, N_NAT_DETECTION_SOURCE_IP, theirs, &source);
	destination_fits = carries(m, N_NAT_DETECTION_DESTINATION_IP, ours, &destination);
	n->present = source && destination;
	n->nat_remote = n->present && !source_fits && !n->peer_fakes;
	n->nat_local = n->present && !destination_fits;
}
