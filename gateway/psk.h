/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_PSK_H
#define TANDEM_GATEWAY_PSK_H

#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "gateway/mistakes.h"

/*
 * The file of a pre-shared key: a regular file of ours or of root that nobody else can read,
 * of at most CONFIG_PSK_MAX bytes.  The key is its first line without the line end: as it is,
 * or after "hex:" or "base64:" what these say; "0x..." is text.  At least CONFIG_PSK_MIN
 * bytes.  It is read into secret memory and is nowhere else.
 *
 * Returns the key, to be given back by secret_free(), or NULL: the sentence at `at` says why,
 * with the command that mends it.
 */
uint8_t	*psk_read(const char *path, struct secrets *s, size_t *len, struct mistakes *m,
	    struct place at);

/* What AWS refuses, as a warning: 8 to 64 characters A-Z a-z 0-9 . _ that do not begin with 0. */
void	psk_check_aws(const uint8_t *psk, size_t len, struct mistakes *m, struct place at);

#endif
