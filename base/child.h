/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_CHILD_H
#define TANDEM_BASE_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/aead.h"

/*
 * A negotiated Child SA as plain data: the seam between IKE, which makes it, and ESP, which
 * installs it.  It owns its key bytes; it lives in secret memory (secret_alloc) and whoever
 * holds it last frees it there.
 */
struct child_sa {
	uint32_t tunnel;		/* the tunnel's id, as configured */
	uint32_t spi_in, spi_out;	/* host order; spi_in is ours */
	enum aead_id aead;
	bool esn;
	bool initiator;			/* we sent the request that made it */
	uint8_t resource;		/* of those that share the tunnel, whose it is (RFC 9611) */
	uint16_t window;		/* replay window, packets: 64..8192 */
	uint8_t key_in[AEAD_KEY_MAX], key_out[AEAD_KEY_MAX];
	uint16_t key_len;
	struct endpoint local, remote;	/* outer addresses and ports at the time */
	struct ts_list ts_local, ts_remote;	/* as narrowed */
};

#endif
