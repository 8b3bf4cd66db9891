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
 *
 * A device has a virtio-net header in front of each packet (IFF_VNET_HDR), so that the kernel
 * may hand us super-packets and take them: one read or write then moves up to 64 KiB.
 */
/*
 * Packets that wait in the kernel for us to read: 12 ms of 170,000 a second.  Among other busy
 * processes a worker may wait for slices of theirs, of up to 4 ms where the kernel ticks at
 * 250 Hz, and the 1,000 of an Ethernet device overflowed (docs/benchmark.md).
 */
#define TUN_TXQLEN	2000

/*
 * Make device `name`, down, in link group `group` (IFLA_GROUP), with a transmit queue of
 * TUN_TXQLEN and without an IPv6 link-local address (no router solicitations, no multicast
 * reports: what comes out of the device is what somebody sent).  Non-blocking, close-on-exec.
 * Returns the descriptor or -errno; -EBUSY: there is a device of that name, whoever's.
 */
int	tun_open(const char *name, unsigned group);
/*
 * The same with several queues: slot 0 makes the device, the others are further queues of it,
 * which must be ours.  Those begin detached: nothing is read from them, but they may be written
 * to.  By which attached queue a flow comes is the kernel's choice: the one by which the other
 * direction of the flow was written last, if it was an attached one, else by a hash of its
 * addresses and ports.  So who writes all that comes in writes it to a detached one.
 *
 * The transmit queue has length 0 until tun_queues_up() is called for the device, when it is up:
 * the kernel would make a queue of packets for each of 256 queues.
 */
int	tun_open_queue(const char *name, unsigned group, unsigned slot);
int	tun_queues_up(const char *name, unsigned group);	/* 0 or -errno */
/* Attach the queue, or detach it: what waits in it is lost, and it takes milliseconds.  0 or
 * -errno (-EINVAL: it is so already).  Needs only the descriptor. */
int	tun_queue(int fd, bool on);
int	tun_dup(int fd);			/* another descriptor of the same queue, or -errno */
int	tun_carrier(int fd, bool on);		/* TUNSETCARRIER; 0 or -errno; needs only the descriptor */
/* Is the descriptor still attached to its device?  0, or -errno (-EBADFD: somebody deleted it). */
int	tun_alive(int fd);

/*
 * How a descriptor is read and written.  tun_port_init() asks the kernel what the device is
 * and lets it give what we can take: TCP super-packets, and UDP ones where the kernel knows
 * them (Linux 6.2).  It needs only the descriptor; of one that is no TUN device, as in tests,
 * whole packets are read and written.
 */
struct tun_port {
	int fd;
	bool vnet;			/* a header in front of each packet */
	bool tso, uso;			/* super-packets: of TCP, of UDP */
};
void	tun_port_init(struct tun_port *t, int fd);

/*
 * Read packets until the batch is full or nothing is there.  Each packet has `device` set and
 * PKT_TAILROOM left behind it; one that is longer than the buffer comes cut, so that its own
 * length field betrays it, and one whose virtio-net header makes no sense comes with len 0.
 * Returns how many were read, or -errno when there were none:
 * -EBADFD: the device was deleted.  A device that is down has nothing to read: 0.
 */
int	tun_read(const struct tun_port *t, unsigned device, struct batch *b);
/* Write one packet, super or not; the header goes to its headroom.  0 or -errno; -EIO: the link
 * is not up; -EINVAL: neither IPv4 nor IPv6, or a super-packet that the device does not take. */
int	tun_write(const struct tun_port *t, const struct pkt *p);

#endif
