/* SPDX-License-Identifier: MIT */
#include "tun/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for what we ask of and tell the kernel beside a datagram: its local address and TOS. */
union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

/* One call's worth of messages; on the stack, about 17 KiB. */
struct train {
	struct mmsghdr msg[BATCH_PKTS];
	struct iovec iov[BATCH_PKTS];
	struct sockaddr_storage name[BATCH_PKTS];
	union control control[BATCH_PKTS];
};

static bool
set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* Larger than the system's bound with CAP_NET_ADMIN, up to it without. */
static void
set_buffer(int fd, int forced, int plain)
{
	if (!set_int(fd, SOL_SOCKET, forced, UDP_BUFFER))
		(void)set_int(fd, SOL_SOCKET, plain, UDP_BUFFER);
}

static bool
set_options(int fd, uint8_t family)
{
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	if (family == AF_INET)
		return set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) &&
		    set_int(fd, IPPROTO_IP, IP_RECVTOS, 1) &&
		    set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	return set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
	    set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
	    set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) &&
	    set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1) &&
	    set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
}

int
udp_open(const struct endpoint *at, const char *device, unsigned fwmark)
{
	struct sockaddr_storage ss;
	socklen_t len = ip_to_sockaddr(at, &ss);
	int err, fd;

	if (len == 0)
		return -EAFNOSUPPORT;
	fd = socket(at->ip.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	if (!set_options(fd, at->ip.family))
		goto fail;
	if (device != NULL && device[0] != '\0' &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) != 0)
		goto fail;
	if (fwmark != 0 && !set_int(fd, SOL_SOCKET, SO_MARK, (int)fwmark))
		goto fail;
	if (bind(fd, (struct sockaddr *)&ss, len) == 0)
		return fd;
fail:
	err = -errno;
	close(fd);
	return err;
}

/* The local address and TOS that the kernel put beside a datagram. */
static void
read_control(struct msghdr *h, struct pkt *p)
{
	struct in6_pktinfo in6;
	struct in_pktinfo in4;
	int tclass;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&in4, CMSG_DATA(c), sizeof(in4));
			p->local.ip.family = AF_INET;
			memcpy(p->local.ip.b, &in4.ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&in6, CMSG_DATA(c), sizeof(in6));
			p->local.ip.family = AF_INET6;
			memcpy(p->local.ip.b, &in6.ipi6_addr, 16);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			p->tos = *CMSG_DATA(c);		/* one byte, whatever the way out takes */
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
			p->tos = (uint8_t)tclass;
		}
	}
}

/* Errors that tell of some datagram of before, not of this call. */
static bool
is_stale_error(int err)
{
	return err == ECONNREFUSED || err == EHOSTUNREACH || err == ENETUNREACH ||
	    err == EMSGSIZE || err == EPROTO || err == EACCES || err == EHOSTDOWN || err == EINTR;
}

static int
recv_train(int fd, struct train *t, unsigned n)
{
	int got = -1;

	for (unsigned tries = 0; got < 0 && tries < BATCH_PKTS; tries++) {
		got = recvmmsg(fd, t->msg, n, MSG_DONTWAIT, NULL);
		if (got < 0 && !is_stale_error(errno))
			return errno == EAGAIN ? 0 : -errno;
	}
	return got < 0 ? 0 : got;
}

/* Up to a train's length; 0 when nothing is there. */
static int
recv_some(int fd, unsigned socket, uint16_t port, struct batch *b)
{
	struct train t;
	unsigned first = b->n, n = 0;
	struct pkt *p;
	int got;

	while (n < BATCH_PKTS && (p = batch_next(b)) != NULL) {
		t.iov[n] = (struct iovec){ pkt_data(p), pkt_room(p) - PKT_TAILROOM };
		t.msg[n].msg_hdr = (struct msghdr){
			.msg_name = &t.name[n], .msg_namelen = sizeof(t.name[n]),
			.msg_iov = &t.iov[n], .msg_iovlen = 1,
			.msg_control = &t.control[n], .msg_controllen = sizeof(t.control[n].room),
		};
		n++;
	}
	got = n > 0 ? recv_train(fd, &t, n) : 0;
	for (unsigned i = got > 0 ? (unsigned)got : 0; i < n; i++)
		batch_unget(b);
	for (int i = 0; i < got; i++) {
		p = &b->pkt[first + (unsigned)i];
		p->len = (t.msg[i].msg_hdr.msg_flags & MSG_TRUNC) != 0 ? 0 : t.msg[i].msg_len;
		p->socket = (uint16_t)socket;
		p->local.port = port;
		(void)ip_from_sockaddr((struct sockaddr *)&t.name[i], &p->remote);
		read_control(&t.msg[i].msg_hdr, p);
	}
	return got;
}

int
udp_recv(int fd, unsigned socket, uint16_t port, struct batch *b)
{
	int got, all = 0;

	while (b->n < b->cap) {
		if ((got = recv_some(fd, socket, port, b)) < 0)
			return all > 0 ? all : got;
		all += got;
		if (got < BATCH_PKTS)
			break;
	}
	return all;
}

static struct cmsghdr *
put_control(struct msghdr *h, struct cmsghdr *after, int level, int type)
{
	size_t len = type == IP_PKTINFO && level == IPPROTO_IP ? sizeof(struct in_pktinfo) :
	    type == IPV6_PKTINFO && level == IPPROTO_IPV6 ? sizeof(struct in6_pktinfo) : sizeof(int);
	struct cmsghdr *c = after == NULL ? (struct cmsghdr *)h->msg_control :
	    (struct cmsghdr *)((char *)after + CMSG_ALIGN(after->cmsg_len));

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	h->msg_controllen += CMSG_SPACE(len);
	return c;
}

/* Ask for `from` as the local address (unless it is none) and for `tos` (unless it is 0). */
static void
write_control(struct msghdr *h, union control *room, const struct ip *from, uint8_t tos)
{
	struct cmsghdr *c = NULL;
	struct in6_pktinfo in6 = { .ipi6_ifindex = 0 };
	struct in_pktinfo in4 = { .ipi_ifindex = 0 };
	uint8_t family = ((struct sockaddr *)h->msg_name)->sa_family;
	int value = tos;

	memset(room, 0, sizeof(*room));
	h->msg_control = room;
	h->msg_controllen = 0;
	if (from->family == family && !ip_is_any(from) && family == AF_INET) {
		c = put_control(h, c, IPPROTO_IP, IP_PKTINFO);
		memcpy(&in4.ipi_spec_dst, from->b, 4);
		memcpy(CMSG_DATA(c), &in4, sizeof(in4));
	} else if (from->family == family && !ip_is_any(from)) {
		c = put_control(h, c, IPPROTO_IPV6, IPV6_PKTINFO);
		memcpy(&in6.ipi6_addr, from->b, 16);
		memcpy(CMSG_DATA(c), &in6, sizeof(in6));
	}
	if (tos != 0) {
		c = put_control(h, c, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		    family == AF_INET ? IP_TOS : IPV6_TCLASS);
		memcpy(CMSG_DATA(c), &value, sizeof(value));
	}
	if (c == NULL)
		h->msg_control = NULL;
}

/* What leaves by one call: how many of t->msg[at .. n) went.  *err as in udp_send(). */
static unsigned
send_train(int fd, struct train *t, unsigned n, int *err)
{
	unsigned at = 0, again = 0;
	int sent;

	while (at < n) {
		sent = sendmmsg(fd, t->msg + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			at += (unsigned)sent;
			again = 0;
		} else if (errno != EINTR && !(errno == ECONNREFUSED && again++ == 0)) {
			*err = -errno;		/* ECONNREFUSED was an earlier datagram's: once more */
			return at;
		}
	}
	return at;
}

unsigned
udp_send(int fd, struct batch *b, unsigned from, unsigned n, int *err)
{
	struct train t;
	unsigned done = 0, want, sent;
	struct pkt *p;

	*err = 0;
	while (done < n) {
		want = n - done < BATCH_PKTS ? n - done : BATCH_PKTS;
		for (unsigned i = 0; i < want; i++) {
			p = &b->pkt[from + done + i];
			t.name[i].ss_family = AF_UNSPEC;
			t.iov[i] = (struct iovec){ pkt_data(p), p->len };
			t.msg[i].msg_hdr = (struct msghdr){
				.msg_name = &t.name[i],
				.msg_namelen = ip_to_sockaddr(&p->remote, &t.name[i]),
				.msg_iov = &t.iov[i], .msg_iovlen = 1,
			};
			write_control(&t.msg[i].msg_hdr, &t.control[i], &p->local.ip, p->tos);
		}
		sent = send_train(fd, &t, want, err);
		done += sent;
		if (sent < want)
			break;
	}
	return done;
}

int
udp_send_one(int fd, const struct endpoint *local, const struct endpoint *remote,
    const void *data, size_t len)
{
	struct pkt p = { .buf = (uint8_t *)(uintptr_t)data, .cap = (uint32_t)len, .len = (uint32_t)len };
	struct batch b = { .pkt = &p, .n = 1, .cap = 1 };
	int err;

	p.local = *local;
	p.remote = *remote;
	(void)udp_send(fd, &b, 0, 1, &err);
	return err;
}
