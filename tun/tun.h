/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_TUN_TUN_H
#define TANDEM_TUN_TUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/pkt.h"

/*
 * TUN devices.  Opening needs CAP_NET_ADMIN (the broker does it and passes the descriptor);
 * reading and writing need only the descriptor.  Devices are not persistent: they vanish
 * with the last descriptor.
 */
#define TUN_TXQLEN	500		/* packets that wait in the kernel for us to read */

/*
 * Make device `name`, down, in link group `group` (IFLA_GROUP), with a transmit queue of
 * TUN_TXQLEN and without an IPv6 link-local address (no router solicitations, no multicast
 * reports: what comes out of the device is what somebody sent).  Non-blocking, close-on-exec.
 * Returns the descriptor or -errno; -EBUSY: there is a device of that name, whoever's.
 */
int	tun_open(const char *name, unsigned group);
int	tun_carrier(int fd, bool on);		/* TUNSETCARRIER; 0 or -errno; needs only the descriptor */
/* Is the descriptor still attached to its device?  0, or -errno (-EBADFD: somebody deleted it). */
int	tun_alive(int fd);

/*
 * Read packets until the batch is full or nothing is there.  Each packet has `device` set and
 * PKT_TAILROOM left behind it; one that is longer than the buffer comes cut, so that its own
 * length field betrays it.  Returns how many were read, or -errno when there were none:
 * -EBADFD: the device was deleted.  A device that is down has nothing to read: 0.
 */
int	tun_read(int fd, unsigned device, struct batch *b);
/* Write one packet.  0 or -errno; -EIO: the link is not up; -EINVAL: neither IPv4 nor IPv6. */
int	tun_write(int fd, const struct pkt *p);

#endif
