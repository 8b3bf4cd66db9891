/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <string.h>

#include "tun/vnet.h"

/* What a device gives: the virtio-net header and the packet behind it. */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pkt p = { .buf = (uint8_t *)(uintptr_t)data, .off = VNET_LEN }, q;
	uint8_t head[VNET_LEN];

	if (len <= VNET_LEN || len > PKT_MAX)
		return 0;
	p.cap = (uint32_t)len;
	p.len = (uint32_t)len - VNET_LEN;
	if (!vnet_parse(data, &p))
		return 0;
	assert(p.csum == PKT_CSUM_DONE || (size_t)p.csum_start + p.csum_offset + 2 <= p.len);
	assert((p.gso == PKT_GSO_NONE) == (p.segment == 0));
	vnet_write(head, &p);
	q = p;
	assert(vnet_parse(head, &q));
	assert(q.gso == p.gso && q.segment == p.segment && q.csum == p.csum);
	return 0;
}
