/* SPDX-License-Identifier: MIT */
#include "tun/vnet.h"

#include <linux/virtio_net.h>
#include <string.h>

_Static_assert(sizeof(struct virtio_net_hdr) == VNET_LEN, "the short virtio-net header");

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4	5	/* Linux 6.2 */
#endif

bool
vnet_parse(const uint8_t head[VNET_LEN], struct pkt *p)
{
	struct virtio_net_hdr h;

	memcpy(&h, head, sizeof(h));
	p->gso = PKT_GSO_NONE;
	p->segment = 0;
	p->csum = PKT_CSUM_DONE;
	if ((h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) {
		if ((size_t)h.csum_start + h.csum_offset + 2 > p->len)
			return false;
		p->csum = PKT_CSUM_PARTIAL;
		p->csum_start = h.csum_start;
		p->csum_offset = h.csum_offset;
	}
	/* The ECN bit says that the first segment alone has CWR: what a split does anyway. */
	switch (h.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		p->gso = PKT_GSO_TCP;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		p->gso = PKT_GSO_UDP;
		break;
	default:
		return false;
	}
	p->segment = h.gso_size;
	return h.gso_size > 0;
}

static uint8_t
gso_type(const struct pkt *p)
{
	if (p->gso == PKT_GSO_UDP)
		return VIRTIO_NET_HDR_GSO_UDP_L4;
	if (p->gso == PKT_GSO_NONE)
		return VIRTIO_NET_HDR_GSO_NONE;
	return pkt_data(p)[0] >> 4 == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
}

void
vnet_write(uint8_t head[VNET_LEN], const struct pkt *p)
{
	struct virtio_net_hdr h = { .gso_type = gso_type(p) };

	if (p->csum == PKT_CSUM_PARTIAL) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = p->csum_start;
		h.csum_offset = p->csum_offset;
	}
	if (p->gso != PKT_GSO_NONE) {
		h.gso_size = p->segment;
		h.hdr_len = p->head_len;
	}
	memcpy(head, &h, sizeof(h));
}
