/* SPDX-License-Identifier: MIT */
#include "tun/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tun/netlink.h"
#include "tun/vnet.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4	0x20			/* Linux 6.2 */
#define TUN_F_USO6	0x40
#endif

/* What TUNSETIFF cannot say is said by rtnetlink, while the device is still down. */
static int
dress(const char *name, unsigned group, unsigned txqlen)
{
	struct nl *nl = nl_open();
	int err;

	if (nl == NULL)
		return -errno;
	err = nl_link_dress(nl, name, group, txqlen);
	nl_close(nl);
	return err;
}

/* A descriptor of a device of that name. */
static int
attach(const char *name, int flags)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int err, fd;

	if (name[0] == '\0' || strlen(name) >= IFNAMSIZ || strchr(name, '%') != NULL)
		return -EINVAL;		/* "%d" would let the kernel choose a name */
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* EXCL is the sign of a short: hence the cast. */
	ifr.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags);
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (ioctl(fd, TUNSETIFF, &ifr) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* EXCL: without it an idle persistent device of that name would be taken over. */
static int
make(const char *name, unsigned group, int flags, unsigned txqlen)
{
	int fd = attach(name, IFF_TUN_EXCL | flags), err = fd;

	if (fd >= 0) {
		err = dress(name, group, txqlen);
		if (err == 0)
			return fd;
		close(fd);
	}
	return err == -EINVAL && if_nametoindex(name) != 0 ? -EBUSY : err;
}

int
tun_open(const char *name, unsigned group)
{
	return make(name, group, 0, TUN_TXQLEN);
}

int
tun_open_queue(const char *name, unsigned group, unsigned slot)
{
	int fd, err;

	if (slot == 0)
		return make(name, group, IFF_MULTI_QUEUE, 0);
	fd = attach(name, IFF_MULTI_QUEUE);
	if (fd < 0 || (err = tun_queue(fd, false)) == 0)
		return fd;
	close(fd);
	return err;
}

int
tun_queues_up(const char *name, unsigned group)
{
	return dress(name, group, TUN_TXQLEN);
}

int
tun_queue(int fd, bool on)
{
	struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	return ioctl(fd, TUNSETQUEUE, &ifr) < 0 ? -errno : 0;
}

int
tun_dup(int fd)
{
	int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return other < 0 ? -errno : other;
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

void
tun_port_init(struct tun_port *t, int fd)
{
	const unsigned long tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int len = VNET_LEN, native = 0;
	struct ifreq ifr;

	*t = (struct tun_port){ .fd = fd };
	memset(&ifr, 0, sizeof(ifr));
	if (ioctl(fd, TUNGETIFF, &ifr) < 0 || (ifr.ifr_flags & IFF_VNET_HDR) == 0)
		return;
	t->vnet = true;
	if (ioctl(fd, TUNSETVNETHDRSZ, &len) < 0 || ioctl(fd, TUNSETVNETLE, &native) < 0)
		return;
	t->uso = ioctl(fd, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) == 0;
	t->tso = t->uso || ioctl(fd, TUNSETOFFLOAD, tso) == 0;
}

/* What one read brought: `n` bytes, the header (of head_len bytes) in front of p's data. */
static void
take(struct pkt *p, size_t n, size_t head_len)
{
	if (n < head_len)
		return;
	p->len = (uint32_t)(n - head_len);
	if (head_len > 0 && !vnet_parse(pkt_data(p) - head_len, p))
		p->len = 0;
}

int
tun_read(const struct tun_port *t, unsigned device, struct batch *b)
{
	size_t head_len = t->vnet ? VNET_LEN : 0, room;
	struct pkt *p;
	int got = 0;
	ssize_t n;

	while ((p = batch_next(b)) != NULL) {
		room = pkt_room(p) - PKT_TAILROOM;
		room = room > PKT_MAX + 1 ? PKT_MAX + 1 : room;
		do
			n = read(t->fd, pkt_data(p) - head_len, head_len + room);
		while (n < 0 && errno == EINTR);
		if (n <= 0) {
			batch_unget(b);
			return n == 0 || errno == EAGAIN || got > 0 ? got : -errno;
		}
		take(p, (size_t)n, head_len);
		p->device = (uint16_t)device;
		if (b->shared != 0)
			batch_trim(b);
		got++;
	}
	return got;
}

static ssize_t
write_pieces(int fd, uint8_t *data, size_t len, const struct pkt_piece *more)
{
	struct iovec iov[1 + PKT_SEGMENTS];
	int n = 1;

	iov[0] = (struct iovec){ data, len };
	for (; more != NULL && n < 1 + PKT_SEGMENTS; more = more->next)
		iov[n++] = (struct iovec){ more->data, more->len };
	return writev(fd, iov, n);
}

int
tun_write(const struct tun_port *t, const struct pkt *p)
{
	size_t head_len = t->vnet ? VNET_LEN : 0;
	uint8_t *data = pkt_data(p) - head_len;
	ssize_t n;

	if (p->off < head_len)
		return -EINVAL;
	if (t->vnet)
		vnet_write(data, p);
	do
		n = p->more == NULL ? write(t->fd, data, head_len + p->len) :
		    write_pieces(t->fd, data, head_len + p->len, p->more);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}
