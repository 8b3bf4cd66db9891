/* SPDX-License-Identifier: MIT */
#include "tun/host.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * Both ends are the same binary, so a message is its struct.  It is still not trusted: the
 * engine parses what strangers send and may be theirs.  Form is checked here, before anybody
 * looks at a field; whether a request is allowed is the broker's affair.
 */
#define FDS_MAX	8			/* room to receive, and close, more than there should be */

static const char *const op_names[] = {
	[HOST_TUN_OPEN] = "tun-open",
	[HOST_TUN_CLOSE] = "tun-close",
	[HOST_LINK_SET] = "link-set",
	[HOST_ADDR_ADD] = "addr-add",
	[HOST_ROUTE_ADD] = "route-add",
	[HOST_ROUTE_DEL] = "route-del",
	[HOST_UDP_OPEN] = "udp-open",
	[HOST_UDP_CLOSE] = "udp-close",
	[HOST_SYSCTL_SET] = "sysctl-set",
	[HOST_LIST] = "list",
	[HOST_STOP] = "stop",
	[HOST_READY] = "ready",
};

const char *
host_op_name(enum host_op op)
{
	return op >= HOST_TUN_OPEN && op <= HOST_OP_MAX ? op_names[op] : "unknown";
}

bool
host_is_default(const struct prefix *p)
{
	return p->len <= (p->ip.family == AF_INET6 ? 3 : 1);
}

static int
gone(int err)
{
	return err == ECONNRESET || err == ENOTCONN ? -EPIPE : -err;
}

static int
send_message(int sock, const void *data, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	while (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return gone(errno);
	}
	return 0;
}

/* The descriptors of a message: the first goes to *fd, all others are closed.  How many came. */
static unsigned
take_fds(struct msghdr *msg, int *fd)
{
	unsigned n = 0;
	int each;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			memcpy(&each, CMSG_DATA(c) + at, sizeof(int));
			if (n++ == 0)
				*fd = each;
			else
				close(each);
		}
	}
	return n;
}

/* A message of exactly `len` bytes with at most one descriptor, else -EPROTO.  -EMFILE: it is
 * whole, but we have no room for the descriptor that came with it. */
static int
recv_message(int sock, void *data, size_t len, int *fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control.room),
	};
	unsigned fds;
	ssize_t n;

	*fd = -1;
	while ((n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC)) < 0) {
		if (errno != EINTR)
			return gone(errno);
	}
	fds = take_fds(&msg, fd);
	if (n == 0 && fds == 0)
		return -EPIPE;
	if ((size_t)n == len && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && fds <= 1)
		return 0;
	if ((size_t)n == len && (msg.msg_flags & MSG_CTRUNC) != 0 && fds == 0)
		return -EMFILE;
	if (fds > 0)
		close(*fd);
	*fd = -1;
	return -EPROTO;
}

/* A bool that holds anything but 0 or 1 must not even be read as one. */
static bool
bool_ok(const bool *b)
{
	uint8_t raw;

	memcpy(&raw, b, 1);
	return raw <= 1;
}

static bool
ip_ok(const struct ip *ip)
{
	static const uint8_t zero[16];
	size_t len = ip_len(ip->family);

	return (len > 0 || ip->family == AF_UNSPEC) &&
	    memcmp(ip->b + len, zero, sizeof(zero) - len) == 0;
}

/* `what` of an answer may be empty: op 0. */
static bool
request_ok(const struct host_request *q, bool empty_ok)
{
	return (unsigned)q->op <= HOST_OP_MAX && (empty_ok || q->op != 0) &&
	    (unsigned)q->sysctl <= HOST_SYSCTL_MAX &&
	    q->slots <= HOST_SLOTS_MAX && (q->slot == 0 || q->slot < q->slots) &&
	    memchr(q->name, '\0', sizeof(q->name)) != NULL &&
	    ip_ok(&q->prefix.ip) && q->prefix.len <= ip_len(q->prefix.ip.family) * 8 &&
	    ip_ok(&q->local.ip) &&
	    bool_ok(&q->up) && bool_ok(&q->unreachable) && bool_ok(&q->keep_guards);
}

int
host_send_request(int sock, const struct host_request *q)
{
	return send_message(sock, q, sizeof(*q), -1);
}

int
host_recv_request(int sock, struct host_request *q)
{
	int err, fd;

	err = recv_message(sock, q, sizeof(*q), &fd);
	if (fd >= 0) {
		close(fd);
		return -EPROTO;
	}
	if (err != 0)
		return err;
	return request_ok(q, false) ? 0 : -EPROTO;
}

/* Should an answer bring a descriptor? */
static bool
brings_fd(const struct host_answer *a)
{
	return a->err == 0 && (a->op == HOST_TUN_OPEN || a->op == HOST_UDP_OPEN);
}

int
host_send_answer(int sock, const struct host_answer *a)
{
	if (brings_fd(a) != (a->fd >= 0))
		return -EINVAL;
	return send_message(sock, a, sizeof(*a), a->fd);
}

int
host_recv_answer(int sock, struct host_answer *a)
{
	int err, fd;

	err = recv_message(sock, a, sizeof(*a), &fd);
	if (err != 0 && err != -EMFILE)
		return err;
	a->fd = fd;
	if (err == -EMFILE && a->err == 0) {
		a->err = err;
		snprintf(a->text, sizeof(a->text), "no descriptor is free for it: raise the limit of open "
		    "files (LimitNOFILE= of the service, or ulimit -n)");
	}
	if (a->op >= HOST_TUN_OPEN && (unsigned)a->op <= HOST_OP_MAX && a->err <= 0 &&
	    bool_ok(&a->more) && bool_ok(&a->existed) && request_ok(&a->what, true) &&
	    memchr(a->text, '\0', sizeof(a->text)) != NULL && brings_fd(a) == (fd >= 0))
		return 0;
	if (fd >= 0)
		close(fd);
	a->fd = -1;
	return -EPROTO;
}
