/* SPDX-License-Identifier: MIT */
#include "tun/udp.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for what we ask of and tell the kernel beside a datagram: its local address, its TOS,
 * the size of the pieces of a train. */
union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int))];
};

/* One call's worth of messages; on the stack, about 18 KiB. */
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

/* Whose is what comes: the number of a socket in its set.  A load beyond the end gives 0. */
static bool
steer(int fd, unsigned workers)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),		/* the first word of the payload */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),	/* the marker: to socket 0 */
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) == 0;
}

int
udp_open_shared(const struct endpoint *at, const char *device, unsigned fwmark, unsigned workers,
    unsigned slot)
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
	if (workers != 0 && !set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1))
		goto fail;
	/* The program before the place, so that nothing ever goes by the kernel's own hash.  A
	 * socket that has one already cannot join others: so they get it from the first. */
	if (workers != 0 && slot == 0 && !steer(fd, workers))
		goto fail;
	if (bind(fd, (struct sockaddr *)&ss, len) == 0)
		return fd;
fail:
	err = -errno;
	close(fd);
	return err;
}

int
udp_open(const struct endpoint *at, const char *device, unsigned fwmark)
{
	return udp_open_shared(at, device, fwmark, 0, 0);
}

int
udp_gro(int fd, bool on)
{
	return set_int(fd, IPPROTO_UDP, UDP_GRO, on) ? 0 : -errno;
}

/* Of a train: the size of its datagrams, and how many that makes. */
static void
read_segment(const struct cmsghdr *c, struct pkt *p)
{
	int size;

	memcpy(&size, CMSG_DATA(c), sizeof(size));
	if (size <= 0 || (uint32_t)size >= p->len)
		return;
	p->segment = (uint16_t)size;
	p->segments = (uint16_t)((p->len + (uint32_t)size - 1) / (uint32_t)size);
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
		} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			read_segment(c, p);
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

/* One more thing to tell the kernel beside a datagram. */
static void
put_control(struct msghdr *h, int level, int type, const void *value, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((char *)h->msg_control + h->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), value, len);
	h->msg_controllen += CMSG_SPACE(len);
}

/* Ask for `local` as the source (unless it is none), for the TOS (unless it is 0), and for a
 * train to be cut into datagrams. */
static void
write_control(struct msghdr *h, union control *room, const struct pkt *p, uint16_t segment)
{
	const struct ip *from = &p->local.ip;
	struct in6_pktinfo in6 = { .ipi6_ifindex = 0 };
	struct in_pktinfo in4 = { .ipi_ifindex = 0 };
	uint8_t family = p->remote.ip.family;
	bool v4 = family == AF_INET;
	int tos = p->tos;

	memset(room, 0, sizeof(*room));
	h->msg_control = room;
	h->msg_controllen = 0;
	if (from->family == family && !ip_is_any(from) && v4) {
		memcpy(&in4.ipi_spec_dst, from->b, 4);
		put_control(h, IPPROTO_IP, IP_PKTINFO, &in4, sizeof(in4));
	} else if (from->family == family && !ip_is_any(from)) {
		memcpy(&in6.ipi6_addr, from->b, 16);
		put_control(h, IPPROTO_IPV6, IPV6_PKTINFO, &in6, sizeof(in6));
	}
	if (tos != 0)
		put_control(h, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &tos,
		    sizeof(tos));
	if (segment != 0)
		put_control(h, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	if (h->msg_controllen == 0)
		h->msg_control = NULL;
}

/* Message i of the train: `len` bytes of p from `at`, in datagrams of `segment` (0: in one). */
static void
put_message(struct train *t, unsigned i, const struct pkt *p, size_t at, size_t len)
{
	uint16_t segment = len > p->segment ? p->segment : 0;

	t->name[i].ss_family = AF_UNSPEC;
	t->iov[i] = (struct iovec){ pkt_data(p) + at, len };
	t->msg[i].msg_hdr = (struct msghdr){
		.msg_name = &t->name[i],
		.msg_namelen = ip_to_sockaddr(&p->remote, &t->name[i]),
		.msg_iov = &t->iov[i], .msg_iovlen = 1,
	};
	write_control(&t->msg[i].msg_hdr, &t->control[i], p, segment);
}

/* What leaves by one call: how many of t->msg[at .. n) went before one was refused. */
static unsigned
send_train(int fd, struct train *t, unsigned at, unsigned n, int *err)
{
	unsigned again = 0;
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

static unsigned
segments(const struct pkt *p)
{
	return p->segments > 1 ? p->segments : 1;
}

/* A train as single datagrams; returns how many were refused. */
static unsigned
send_singly(int fd, const struct pkt *p, int *err)
{
	struct train t;
	unsigned n = 0, refused = 0;
	size_t at = 0, len;

	while (at < p->len) {
		for (n = 0; at < p->len && n < BATCH_PKTS; n++, at += len) {
			len = p->len - at < p->segment ? p->len - at : p->segment;
			put_message(&t, n, p, at, len);
		}
		for (unsigned sent = 0; (sent = send_train(fd, &t, sent, n, err)) < n; sent++)
			refused++;
	}
	return refused;
}

/* May it be that the kernel takes these as single datagrams?  EIO: the device cannot finish
 * checksums; EINVAL: an old kernel, or datagrams larger than the MTU, which the next try tells. */
static bool
is_train_refused(const struct pkt *p, int err)
{
	return segments(p) > 1 && (err == -EIO || err == -EINVAL || err == -EOPNOTSUPP);
}

/* The packet that the kernel refused by `why`; returns how many datagrams are lost. */
static unsigned
on_refusal(int fd, struct udp_tx *tx, const struct pkt *p, int why, int *err)
{
	unsigned lost;

	if (!is_train_refused(p, why)) {
		*err = why;
		return segments(p);
	}
	tx->refused++;
	lost = send_singly(fd, p, err);
	if (lost < segments(p))
		tx->plain = UDP_PLAIN;
	return lost;
}

unsigned
udp_send(int fd, struct udp_tx *tx, const struct batch *b, unsigned from, unsigned n, int *err)
{
	struct train t;
	unsigned end = from + n, lost = 0, sent, want;
	int why;

	*err = 0;
	while (from < end) {
		if (tx->plain > 0 && segments(&b->pkt[from]) > 1) {
			tx->plain--;
			lost += send_singly(fd, &b->pkt[from++], err);
			continue;
		}
		for (want = 0; want < BATCH_PKTS && from + want < end; want++) {
			if (tx->plain > 0 && segments(&b->pkt[from + want]) > 1)
				break;
			put_message(&t, want, &b->pkt[from + want], 0, b->pkt[from + want].len);
		}
		sent = send_train(fd, &t, 0, want, &why);
		from += sent;
		if (sent < want)
			lost += on_refusal(fd, tx, &b->pkt[from++], why, err);
	}
	return lost;
}

int
udp_send_one(int fd, const struct endpoint *local, const struct endpoint *remote,
    const void *data, size_t len)
{
	struct pkt p = { .buf = (uint8_t *)(uintptr_t)data, .cap = (uint32_t)len, .len = (uint32_t)len };
	const struct batch b = { .pkt = &p, .n = 1, .cap = 1 };
	struct udp_tx tx = { .plain = 0 };
	int err;

	p.local = *local;
	p.remote = *remote;
	(void)udp_send(fd, &tx, &b, 0, 1, &err);
	return err;
}
