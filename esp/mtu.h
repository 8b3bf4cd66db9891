/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_MTU_H
#define TANDEM_ESP_MTU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "esp/inner.h"

/*
 * What to do about packets that are, or will be, larger than the tunnel carries.  The formula
 * is esp_inside_mtu() of the public face.
 */
#define MTU_V6_MIN	1280			/* RFC 8200 section 5 */

/* Lower the MSS of a SYN to what fits in `mtu`, never raise it (RFC 9293 3.7.1). */
void	mtu_clamp(struct pkt *p, const struct inner *in, unsigned mtu);

/* Larger than the tunnel takes?  v6 up to 1280 never is: its sender cannot go lower. */
bool	mtu_exceeds(const struct inner *in, unsigned mtu);
/* Write the ICMP error that says so (RFC 1191, RFC 4443 3.2) to `answer`, from our address
 * `from`.  False: none is due: an ICMP error, a later fragment, or a sender or a target that
 * is not one host (RFC 1122 3.2.2, RFC 4443 2.4 e). */
bool	mtu_too_big(const struct pkt *p, const struct inner *in, unsigned mtu,
	    const struct ip *from, struct pkt *answer);

/* Can the v4 packet be cut?  Not when it has IP options, whose copying into fragments
 * differs from option to option and which nobody sends. */
bool	mtu_can_cut(const struct inner *in, unsigned mtu);
/* How many fragments that makes. */
unsigned mtu_parts(const struct inner *in, unsigned mtu);
/* Write the fragment that begins `at` bytes into the IP payload (RFC 791 3.2); `id` is the
 * identification of all of them.  Returns where the next begins, 0 when this was the last.
 * `part` must have room for mtu bytes. */
size_t	mtu_cut(const struct pkt *p, const struct inner *in, size_t at, uint16_t id,
	    struct pkt *part, unsigned mtu);

#endif
