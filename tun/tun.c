/* SPDX-License-Identifier: MIT */
#include "tun/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tun/netlink.h"

/* What TUNSETIFF cannot say is said by rtnetlink, while the device is still down. */
static int
dress(const char *name, unsigned group)
{
	struct nl *nl = nl_open();
	int err;

	if (nl == NULL)
		return -errno;
	err = nl_link_dress(nl, name, group, TUN_TXQLEN);
	nl_close(nl);
	return err;
}

int
tun_open(const char *name, unsigned group)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int err, fd;

	if (name[0] == '\0' || strlen(name) >= IFNAMSIZ || strchr(name, '%') != NULL)
		return -EINVAL;		/* "%d" would let the kernel choose a name */
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* EXCL: without it an idle persistent device of that name would be taken over.  Its
	 * bit is the sign of a short: hence the cast. */
	ifr.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	err = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : dress(name, group);
	if (err == 0)
		return fd;
	close(fd);
	return err == -EINVAL && if_nametoindex(name) != 0 ? -EBUSY : err;
}

int
tun_carrier(int fd, bool on)
{
	int value = on;

	return ioctl(fd, TUNSETCARRIER, &value) < 0 ? -errno : 0;
}

int
tun_alive(int fd)
{
	struct ifreq ifr;

	memset(&ifr, 0, sizeof(ifr));
	return ioctl(fd, TUNGETIFF, &ifr) < 0 ? -errno : 0;
}

int
tun_read(int fd, unsigned device, struct batch *b)
{
	struct pkt *p;
	int got = 0;
	ssize_t n;

	while ((p = batch_next(b)) != NULL) {
		do
			n = read(fd, pkt_data(p), pkt_room(p) - PKT_TAILROOM);
		while (n < 0 && errno == EINTR);
		if (n <= 0) {
			batch_unget(b);
			return n == 0 || errno == EAGAIN || got > 0 ? got : -errno;
		}
		p->len = (uint32_t)n;
		p->device = (uint16_t)device;
		got++;
	}
	return got;
}

int
tun_write(int fd, const struct pkt *p)
{
	ssize_t n;

	do
		n = write(fd, pkt_data(p), p->len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}
