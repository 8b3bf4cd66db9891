/* SPDX-License-Identifier: MIT */
#include "tun/vnet.h"

#include <linux/virtio_net.h>
#include <string.h>

#include "unit.h"

static uint8_t buf[2048];

static struct pkt
packet(uint8_t version, uint32_t len)
{
	memset(buf, 0, sizeof(buf));
	buf[PKT_HEADROOM] = (uint8_t)(version << 4);
	return (struct pkt){ .buf = buf, .cap = sizeof(buf), .off = PKT_HEADROOM, .len = len };
}

static bool
parse(struct pkt *p, struct virtio_net_hdr h)
{
	uint8_t head[VNET_LEN];

	memcpy(head, &h, sizeof(head));
	return vnet_parse(head, p);
}

START_TEST(what_is_written_is_read)
{
	static const struct { uint8_t version, gso, type; } kinds[] = {
		{ 4, PKT_GSO_NONE, VIRTIO_NET_HDR_GSO_NONE }, { 4, PKT_GSO_TCP, VIRTIO_NET_HDR_GSO_TCPV4 },
		{ 6, PKT_GSO_TCP, VIRTIO_NET_HDR_GSO_TCPV6 }, { 4, PKT_GSO_UDP, 5 }, { 6, PKT_GSO_UDP, 5 },
	};
	struct virtio_net_hdr h;
	uint8_t head[VNET_LEN];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct pkt p = packet(kinds[i].version, 1500), q = p;

		p.gso = kinds[i].gso;
		p.segment = p.gso != PKT_GSO_NONE ? 1386 : 0;
		p.head_len = 52;
		p.csum = i % 2 != 0 ? PKT_CSUM_PARTIAL : PKT_CSUM_DONE;
		p.csum_start = 20;
		p.csum_offset = 16;
		vnet_write(head, &p);
		memcpy(&h, head, sizeof(h));
		ck_assert_uint_eq(h.gso_type, kinds[i].type);
		ck_assert_uint_eq(h.hdr_len, p.gso != PKT_GSO_NONE ? 52 : 0);
		ck_assert(vnet_parse(head, &q));
		ck_assert_uint_eq(q.gso, p.gso);
		ck_assert_uint_eq(q.segment, p.segment);
		ck_assert_uint_eq(q.csum, p.csum);
		ck_assert(q.csum == PKT_CSUM_DONE || (q.csum_start == 20 && q.csum_offset == 16));
	}
}
END_TEST

/* Kinds that we did not ask for, sizes of nothing, checksums outside the packet. */
START_TEST(nonsense_is_refused)
{
	for (unsigned type = 0; type < 256; type++) {
		struct pkt p = packet(4, 1500);
		unsigned kind = type & 0x7f;
		bool known = kind == 0 || kind == 1 || kind == 4 || kind == 5;

		ck_assert_int_eq(parse(&p, (struct virtio_net_hdr){ .gso_type = (uint8_t)type,
		    .gso_size = 100 }), known);
		ck_assert_int_eq(parse(&p, (struct virtio_net_hdr){ .gso_type = (uint8_t)type }), kind == 0);
	}
	for (unsigned start = 1480; start < 1520; start++) {
		struct pkt p = packet(4, 1500);

		ck_assert_int_eq(parse(&p, (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .csum_start = (uint16_t)start, .csum_offset = 16 }), start + 18 <= 1500);
	}
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, what_is_written_is_read);
	tcase_add_test(t, nonsense_is_refused);
}

UNIT_MAIN("tun_vnet", fill)
