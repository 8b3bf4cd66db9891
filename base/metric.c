/* SPDX-License-Identifier: MIT */
#include "base/metric.h"

#include <stddef.h>

static const struct drop_info drops[DROP_N] = {
	[DROP_OUT_SHORT] = { "out-short", "not an IP packet, or its lengths are wrong" },
	[DROP_OUT_NO_TUNNEL] = { "out-no-tunnel", "no tunnel of the path is up" },
	[DROP_OUT_SELECTOR] = { "out-selector", "not covered by the negotiated traffic selectors" },
	[DROP_OUT_TOO_BIG] = { "out-too-big",
	    "larger than the inside MTU and must not be fragmented; answered by ICMP" },
	[DROP_OUT_SEQ_END] = { "out-seq-end", "the sequence numbers of the SA are used up" },
	[DROP_OUT_NO_BUFFER] = { "out-no-buffer", "no send buffer was free" },
	[DROP_OUT_SEAL] = { "out-seal", "the cipher library failed" },
	[DROP_OUT_SEND] = { "out-send", "the kernel did not take the datagram" },
	[DROP_IN_SHORT] = { "in-short", "too short to be ESP" },
	[DROP_IN_NO_SA] = { "in-no-sa", "the SPI is of no SA of ours" },
	[DROP_IN_REPLAY] = { "in-replay", "seen before, or older than the replay window" },
	[DROP_IN_AUTH] = { "in-auth", "the integrity check failed" },
	[DROP_IN_PADDING] = { "in-padding", "the ESP trailer is malformed" },
	[DROP_IN_DUMMY] = { "in-dummy", "a dummy packet (next header 59): not a fault",
	    .usual = true },
	[DROP_IN_PROTO] = { "in-proto", "the next header is neither IPv4 nor IPv6" },
	[DROP_IN_INNER] = { "in-inner", "the inner packet is malformed" },
	[DROP_IN_SELECTOR] = { "in-selector",
	    "inner addresses outside the negotiated traffic selectors" },
	[DROP_IN_SOURCE] = { "in-source", "an inner source that this connection may not send" },
	[DROP_IN_LINK] = { "in-link", "multicast that the peer's host sent to its own link, such as "
	    "a router's reports at start: not a fault", .usual = true },
	[DROP_IN_OWN] = { "in-own", "the inner source is an address of our own" },
	[DROP_IN_ECN] = { "in-ecn", "marked congested outside but not ECN-capable inside" },
	[DROP_IN_PROBE] = { "in-probe", "an echo of the monitor, consumed: not a fault",
	    .usual = true },
	[DROP_IN_NO_BUFFER] = { "in-no-buffer", "no receive buffer was free" },
	[DROP_IN_DEVICE] = { "in-device", "the device did not take the packet" },
};

const struct drop_info *
drop_info(enum drop d)
{
	return (unsigned)d < DROP_N ? &drops[d] : NULL;
}
