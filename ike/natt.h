/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_NATT_H
#define TANDEM_IKE_NATT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "ike/message.h"

/*
 * NAT detection, RFC 7296 section 2.23.  ESP of ours always travels in UDP: we falsify our
 * own SOURCE hash, so that a conforming peer sees a NAT and encapsulates.  The DESTINATION
 * hash is always true: the peer learns from it whether it is behind one.
 */
#define NATT_HASH_LEN	20

/* SHA-1(SPIi | SPIr | address | port).  False: the library failed. */
bool	natt_hash(uint64_t spi_i, uint64_t spi_r, const struct endpoint *e,
	    uint8_t out[NATT_HASH_LEN]);

/*
 * Add our NAT_DETECTION_SOURCE_IP (falsified: the hash of 0.0.0.0 port 0, which another
 * Tandem recognises) and NAT_DETECTION_DESTINATION_IP (of `remote`, where the message goes).
 * SPIs as in the header of that message.  False: the library failed; the message must not
 * be sent.
 */
bool	natt_write(struct msg_wr *mw, uint64_t spi_i, uint64_t spi_r,
	    const struct endpoint *remote);

struct natt {
	bool present;			/* the peer sent both; else it knows no encapsulation */
	bool nat_local;			/* we are behind a NAT: keepalives are ours to send */
	bool nat_remote;		/* the peer says or seems to be behind one; never set for a */
					/* peer that falsifies as we do */
	bool peer_fakes;		/* its source hash is falsified as ours is */
};

/* Read the peer's hashes from its IKE_SA_INIT message, which came from `remote` to `local`.
 * A peer with several addresses sends several SOURCE hashes: one that fits is enough. */
void	natt_read(const struct msg *m, const struct endpoint *local,
	    const struct endpoint *remote, struct natt *n);

#endif
