/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tun/host.h"

static int pair[2];

static void
open_pair(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
}

static struct host_request
good_request(void)
{
	struct host_request q;

	memset(&q, 0, sizeof(q));
	q.id = 7;
	q.op = HOST_ROUTE_ADD;
	memcpy(q.name, "td-x", 5);
	ck_assert(prefix_parse("10.1.0.0/16", true, &q.prefix));
	q.metric = 50;
	return q;
}

static struct host_answer
good_answer(int fd)
{
	struct host_answer a;

	memset(&a, 0, sizeof(a));
	a.id = 7;
	a.op = fd >= 0 ? HOST_TUN_OPEN : HOST_ROUTE_ADD;
	a.fd = fd;
	return a;
}

/* Send any bytes with any number of copies of descriptor 0. */
static void
send_raw(const void *data, size_t len, unsigned fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(32 * sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int zero = 0;

	memset(&control, 0, sizeof(control));
	if (fds > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds * sizeof(int));
		for (unsigned i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &zero, sizeof(int));
	}
	ck_assert_int_eq(sendmsg(pair[0], &msg, 0), (ssize_t)len);
}

static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(a_request_arrives_as_it_was_sent)
{
	struct host_request q = good_request(), got;

	open_pair();
	ck_assert_int_eq(host_recv_request(pair[1], &got), -EAGAIN);
	ck_assert_int_eq(host_send_request(pair[0], &q), 0);
	ck_assert_int_eq(host_recv_request(pair[1], &got), 0);
	ck_assert_mem_eq(&q, &got, sizeof(q));
	close(pair[0]);
	ck_assert_int_eq(host_recv_request(pair[1], &got), -EPIPE);
	ck_assert_int_eq(host_send_request(pair[1], &q), -EPIPE);
}
END_TEST

/* Every truncation, and one byte too many, of both kinds is refused. */
START_TEST(a_wrong_size_is_refused)
{
	struct host_request q = good_request(), got_q;
	struct host_answer a = good_answer(-1), got_a;
	char longer[sizeof(a) + 1] = "";

	open_pair();
	for (size_t len = 1; len < sizeof(q); len++) {
		send_raw(&q, len, 0);
		ck_assert_int_eq(host_recv_request(pair[1], &got_q), -EPROTO);
	}
	for (size_t len = 1; len < sizeof(a); len++) {
		send_raw(&a, len, 0);
		ck_assert_int_eq(host_recv_answer(pair[1], &got_a), -EPROTO);
	}
	memcpy(longer, &q, sizeof(q));
	send_raw(longer, sizeof(q) + 1, 0);
	ck_assert_int_eq(host_recv_request(pair[1], &got_q), -EPROTO);
	memcpy(longer, &a, sizeof(a));
	send_raw(longer, sizeof(a) + 1, 0);
	ck_assert_int_eq(host_recv_answer(pair[1], &got_a), -EPROTO);
}
END_TEST

/* A descriptor where and only where there should be one; all others are closed. */
START_TEST(descriptors_are_counted_and_closed)
{
	static const unsigned counts[] = { 1, 2, 3, 8, 9, 32 };
	struct host_request q = good_request(), got_q;
	struct host_answer a = good_answer(-1), with = good_answer(0), got_a;
	unsigned before;

	open_pair();
	before = open_fds();
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		send_raw(&q, sizeof(q), counts[i]);
		ck_assert_int_eq(host_recv_request(pair[1], &got_q), -EPROTO);
		send_raw(&a, sizeof(a), counts[i]);
		ck_assert_int_eq(host_recv_answer(pair[1], &got_a), -EPROTO);
		ck_assert_int_eq(got_a.fd, -1);
		send_raw(&a, sizeof(a) - 1, counts[i]);
		ck_assert_int_eq(host_recv_answer(pair[1], &got_a), -EPROTO);
		if (counts[i] > 1) {
			send_raw(&with, sizeof(with), counts[i]);
			ck_assert_int_eq(host_recv_answer(pair[1], &got_a), -EPROTO);
		}
	}
	send_raw(&with, sizeof(with), 0);
	ck_assert_int_eq(host_recv_answer(pair[1], &got_a), -EPROTO);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(an_answer_brings_its_descriptor)
{
	struct host_answer a, got;
	int fds[2], null = open("/dev/null", O_RDONLY);

	open_pair();
	ck_assert_int_eq(pipe(fds), 0);
	a = good_answer(fds[0]);
	ck_assert_int_eq(host_send_answer(pair[0], &a), 0);
	ck_assert_int_eq(host_recv_answer(pair[1], &got), 0);
	ck_assert_int_ge(got.fd, 0);
	ck_assert_int_ne(got.fd, fds[0]);
	ck_assert_int_ne(fcntl(got.fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(read(got.fd, &(char){ 0 }, 1), 1);
	a.op = HOST_STOP;
	ck_assert_int_eq(host_send_answer(pair[0], &a), -EINVAL);
	a = good_answer(-1);
	a.op = HOST_TUN_OPEN;
	ck_assert_int_eq(host_send_answer(pair[0], &a), -EINVAL);
	a.err = -EBUSY;
	ck_assert_int_eq(host_send_answer(pair[0], &a), 0);
	ck_assert_int_eq(host_recv_answer(pair[1], &got), 0);
	ck_assert_int_eq(got.fd, -1);
	close(null);
}
END_TEST

/* Out of descriptors: the answer says so, and the pair goes on. */
START_TEST(an_answer_without_room_for_its_descriptor_is_a_refusal)
{
	struct rlimit files, none;
	struct host_answer got, sent;
	int err;

	open_pair();
	sent = good_answer(pair[0]);
	ck_assert_int_eq(host_send_answer(pair[0], &sent), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = files;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	err = host_recv_answer(pair[1], &got);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(got.err, -EMFILE);
	ck_assert_int_eq(got.fd, -1);
	ck_assert(strstr(got.text, "raise the limit") != NULL);
	ck_assert_int_eq(host_recv_answer(pair[1], &got), -EAGAIN);
}
END_TEST

/* Each field that has a form, broken: what is in range by type only must not get through. */
START_TEST(each_broken_field_is_refused)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} breaks[] = {
		{ offsetof(struct host_request, op), 0 },
		{ offsetof(struct host_request, op), HOST_OP_MAX + 1 },
		{ offsetof(struct host_request, sysctl), HOST_SYSCTL_MAX + 1 },
		{ offsetof(struct host_request, prefix.len), 33 },
		{ offsetof(struct host_request, prefix.ip.family), 1 },
		{ offsetof(struct host_request, prefix.ip.b) + 4, 1 },
		{ offsetof(struct host_request, local.ip.b), 1 },
		{ offsetof(struct host_request, local.ip.family), 11 },
		{ offsetof(struct host_request, up), 2 },
		{ offsetof(struct host_request, unreachable), 255 },
		{ offsetof(struct host_request, keep_guards), 2 },
	};
	struct host_request q, got;
	uint8_t raw[sizeof(q)];

	open_pair();
	for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
		q = good_request();
		memcpy(raw, &q, sizeof(q));
		raw[breaks[i].at] = breaks[i].byte;
		send_raw(raw, sizeof(raw), 0);
		ck_assert_msg(host_recv_request(pair[1], &got) == -EPROTO, "break %zu", i);
	}
	q = good_request();
	memset(q.name, 'x', sizeof(q.name));
	send_raw(&q, sizeof(q), 0);
	ck_assert_int_eq(host_recv_request(pair[1], &got), -EPROTO);
}
END_TEST

START_TEST(a_broken_answer_is_refused)
{
	struct host_answer a = good_answer(-1), got;

	open_pair();
	memset(a.text, 'x', sizeof(a.text));
	send_raw(&a, sizeof(a), 0);
	ck_assert_int_eq(host_recv_answer(pair[1], &got), -EPROTO);
	a = good_answer(-1);
	a.err = 5;
	send_raw(&a, sizeof(a), 0);
	ck_assert_int_eq(host_recv_answer(pair[1], &got), -EPROTO);
	a = good_answer(-1);
	memset(&a.more, 2, 1);
	send_raw(&a, sizeof(a), 0);
	ck_assert_int_eq(host_recv_answer(pair[1], &got), -EPROTO);
	a = good_answer(-1);
	memset(a.what.name, 'x', sizeof(a.what.name));
	send_raw(&a, sizeof(a), 0);
	ck_assert_int_eq(host_recv_answer(pair[1], &got), -EPROTO);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_request_arrives_as_it_was_sent);
	tcase_add_test(t, a_wrong_size_is_refused);
	tcase_add_test(t, descriptors_are_counted_and_closed);
	tcase_add_test(t, an_answer_brings_its_descriptor);
	tcase_add_test(t, an_answer_without_room_for_its_descriptor_is_a_refusal);
	tcase_add_test(t, each_broken_field_is_refused);
	tcase_add_test(t, a_broken_answer_is_refused);
}

UNIT_MAIN("host", fill)
