/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_INNER_H
#define TANDEM_ESP_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/pkt.h"

/*
 * The view of an inner packet: what selectors, the flow hash, the MSS clamp and
 * packet-too-big need to know, read once.
 */
enum {
	IPPROTO_OF_V4 = 4, IPPROTO_OF_V6 = 41,	/* ESP next header (RFC 4303 2.6) */
	IPPROTO_OF_NONE = 59,
	INNER_V4_HEAD = 20, INNER_V6_HEAD = 40,	/* bytes */
	INNER_ICMP_HEAD = 8,
};

struct inner {
	struct ip src, dst;
	uint32_t len;			/* the whole packet, from its own header */
	uint16_t head;			/* IP headers, bytes: where the upper layer begins */
	uint16_t frag_word;		/* v4: flags and offset as on the wire */
	uint16_t sport, dport;		/* where has_port; ICMP: type and code, in both */
	uint8_t proto;			/* upper layer; of a later v6 fragment: what the
					 * fragment header says */
	uint8_t tos;			/* TOS or traffic class */
	bool frag;			/* any fragment, the first one too */
	bool later;			/* a fragment without the upper-layer header */
	bool df;			/* v4: DF.  v6: always */
	bool has_port;			/* ports (or ICMP type) were read: never of a fragment */
};

/* IP header fields */
#define IP4_MF		0x2000
#define IP4_DF		0x4000
#define IP4_OFFSET	0x1fff			/* in units of 8 bytes */

/*
 * Read the packet in p and cut p->len to the length its header gives (what follows is TFC
 * padding, RFC 4303 2.7).  False, with *in unspecified, when it is not an IP packet, a length
 * contradicts another, or a v6 extension header is cut off.  `src` and `dst` are copies.
 * Checksums are not looked at: the kernel does.
 */
bool	inner_parse(struct pkt *p, struct inner *in);
bool	inner_is_icmp(const struct inner *in);
/*
 * The flow as a number: a hash of addresses, protocol and ports; of fragments without the ports,
 * so that all fragments of a packet go one way, of ICMP without the type.  Stable for the life of a
 * process and between workers; not symmetric.
 */
uint64_t inner_flow(const struct inner *in);
/* Can it be the address of one host seen over a network: not unspecified, "this network",
 * loopback, multicast, reserved or broadcast (RFC 1122 3.2.1.3, RFC 4291 2.5.3, 2.7). */
bool	inner_is_host(const struct ip *ip);
/* Multicast that no router forwards: 224.0.0.0/24, ff01::/16, ff02::/16 (RFC 5771, RFC 4291 2.7). */
bool	inner_is_link_multicast(const struct ip *ip);

/* ECN in the low two bits of a TOS byte (RFC 3168) */
enum ecn { ECN_NOT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3, ECN_MASK = 3 };

/* RFC 6040 normal mode, both directions.  Encapsulation: the outer TOS for an inner packet;
 * DSCP is copied where asked (RFC 2983 uniform model), else 0. */
uint8_t	inner_outer_tos(uint8_t inner_tos, bool copy_dscp);
/* Decapsulation: sets the inner ECN field.  False: the packet must be dropped (4.2). */
bool	inner_ecn_arrive(struct pkt *p, struct inner *in, uint8_t outer_tos);

/* Complete a checksum that the kernel left PARTIAL: the field holds the pseudo-header's sum,
 * csum_start counts from the packet's first byte.  False: the places are outside. */
bool	inner_finish_csum(struct pkt *p);

/* Internet checksum (RFC 1071): sum of big-endian words from `sum`, and its end. */
uint32_t inner_sum(const void *data, size_t len, uint32_t sum);
uint16_t inner_sum_end(uint32_t sum);
/* ... of a pseudo-header (v4 and v6 alike). */
uint32_t inner_sum_pseudo(const struct ip *src, const struct ip *dst, uint8_t proto, size_t len);
/* RFC 1624: the checksum after one aligned word changed. */
uint16_t inner_sum_replace(uint16_t csum, uint16_t was, uint16_t is);

/* Read and overwrite a word inside the packet; out of bounds reads 0 and writes nothing. */
uint16_t inner_get_u16(const struct pkt *p, size_t at);
void	inner_put_u16(struct pkt *p, size_t at, uint16_t v);

#endif
