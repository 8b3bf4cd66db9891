/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TUN_VNET_H
#define TANDEM_TUN_VNET_H

#include <stdbool.h>

#include "base/pkt.h"

/*
 * The virtio-net header that stands in front of each packet of a device with IFF_VNET_HDR: in
 * the byte order of the host, as the kernel's TUN has it unless asked otherwise.
 */
#define VNET_LEN	10

/* What the header says goes to gso, segment, csum, csum_start and csum_offset of
 * `p`, which holds the packet behind it.  Nothing is believed that p->len contradicts.  False:
 * a kind of super-packet that we did not ask for, or nonsense. */
bool	vnet_parse(const uint8_t head[VNET_LEN], struct pkt *p);
/* The header for what `p` says of itself. */
void	vnet_write(uint8_t head[VNET_LEN], const struct pkt *p);

#endif
