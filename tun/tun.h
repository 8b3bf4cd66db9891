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

/* Make (or attach to) device `name`; `group` is its link group (IFLA_GROUP).  Non-blocking,
 * close-on-exec.  Returns the descriptor or -errno (-EBUSY: the name is held). */
int	tun_open(const char *name, unsigned group);
int	tun_carrier(int fd, bool on);		/* TUNSETCARRIER; 0 or -errno */

/* Read packets until the batch is full or nothing is there.  Each packet has `device` set.
 * Returns how many were read, or -errno (-EBADFD, -EIO: device is down; -ENODEV: gone). */
int	tun_read(int fd, unsigned device, struct batch *b);
/* Write one packet.  0 or -errno; -EIO: the link is not up. */
int	tun_write(int fd, const struct pkt *p);

#endif
