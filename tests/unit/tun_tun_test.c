/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tun/tun.h"
#include "tests/unit/tun_ns.h"

#define GROUP	77

static struct nl *nl;

/* A device that is up, with an address of each family. */
static int
device_up(const char *name)
{
	struct prefix v4, v6;
	int fd = tun_open(name, GROUP);

	ck_assert_msg(fd >= 0, "%s: %s", name, strerror(-fd));
	ck_assert_ptr_nonnull(nl = nl_open());
	ck_assert(ip_parse("10.9.0.1", &v4.ip) && ip_parse("fd09::1", &v6.ip));
	v4.len = 24;
	v6.len = 64;
	ck_assert_int_eq(nl_addr(nl, true, name, &v4, NULL), 0);
	ck_assert_int_eq(nl_addr(nl, true, name, &v6, NULL), 0);
	ck_assert_int_eq(nl_link_set(nl, name, true, 1438), 0);
	return fd;
}

static void
send_udp(int family, const char *to, size_t len)
{
	char data[2000] = "";
	struct endpoint e = { .port = 4000 };
	struct sockaddr_storage ss;
	int fd = socket(family, SOCK_DGRAM, 0);
	socklen_t n;

	ck_assert(ip_parse(to, &e.ip));
	n = ip_to_sockaddr(&e, &ss);
	ck_assert_int_eq(sendto(fd, data, len, 0, (struct sockaddr *)&ss, n), (ssize_t)len);
	close(fd);
}

/* As the worker has it: asked once, while the device was there. */
static const struct tun_port *
port_of(int fd)
{
	static struct tun_port port;

	if (port.fd != fd || !port.vnet)
		tun_port_init(&port, fd);
	return &port;
}

START_TEST(packets_come_out_whole)
{
	struct batch b;
	int fd;

	if (!own_netns())
		return;
	fd = device_up("td0");
	ck_assert(batch_init(&b, 8, 2048));
	send_udp(AF_INET, "10.9.0.2", 100);
	send_udp(AF_INET6, "fd09::2", 100);
	ck_assert_int_eq(tun_read(port_of(fd), 5, &b), 2);
	ck_assert_uint_eq(b.n, 2);
	ck_assert_uint_eq(b.pkt[0].len, 20 + 8 + 100);
	ck_assert_uint_eq(pkt_data(&b.pkt[0])[0], 0x45);
	ck_assert_uint_eq(b.pkt[0].device, 5);
	ck_assert_uint_eq(b.pkt[0].off, PKT_HEADROOM);
	ck_assert_uint_eq(b.pkt[1].len, 40 + 8 + 100);
	ck_assert_uint_eq(pkt_data(&b.pkt[1])[0] >> 4, 6);
	ck_assert_int_eq(tun_read(port_of(fd), 5, &b), 0);
	batch_fini(&b);
}
END_TEST

/* What is read can be turned round and written: the kernel delivers it. */
static void
turn_round(int family, const char *self, const char *peer)
{
	struct endpoint e = { .port = 4000 };
	struct sockaddr_storage ss;
	size_t len = family == AF_INET ? 4 : 16, at = family == AF_INET ? 12 : 8;
	uint8_t swap[16], *ip;
	int fd = device_up("td0"), sock = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = sock, .events = POLLIN };
	struct batch b;
	char got[64];

	ck_assert(ip_parse(self, &e.ip));
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&ss, ip_to_sockaddr(&e, &ss)), 0);
	send_udp(family, peer, 10);
	ck_assert(batch_init(&b, 1, 2048));
	ck_assert_int_eq(tun_read(port_of(fd), 0, &b), 1);
	ip = pkt_data(&b.pkt[0]);
	memcpy(swap, ip + at, len);		/* swapped addresses leave the checksums valid */
	memcpy(ip + at, ip + at + len, len);
	memcpy(ip + at + len, swap, len);
	/* The kernel puts a new IPv6 address into service by a job of its own, some ms later. */
	for (unsigned i = 0; i < 100 && poll(&p, 1, 20) == 0; i++)
		ck_assert_int_eq(tun_write(port_of(fd), &b.pkt[0]), 0);
	ck_assert_int_eq(recv(sock, got, sizeof(got), 0), 10);
	batch_fini(&b);
}

START_TEST(a_written_packet_is_delivered_v4)
{
	if (own_netns())
		turn_round(AF_INET, "10.9.0.1", "10.9.0.2");
}
END_TEST

START_TEST(a_written_packet_is_delivered_v6)
{
	if (own_netns())
		turn_round(AF_INET6, "fd09::1", "fd09::2");
}
END_TEST

/*
 * Ten datagrams, sent as one, come out of the device as one super-packet, and one that is
 * written arrives as ten datagrams.
 */
START_TEST(super_packets_cross_whole)
{
	struct endpoint to = { .port = 4000 }, self = { .port = 4000 };
	struct pollfd poll_sock = { .events = POLLIN };
	int sock, size = 1000, fd;
	char data[10 * 1000], got[2000];
	struct sockaddr_storage ss;
	struct tun_port port;
	struct batch b;
	struct pkt *p;
	socklen_t n;

	if (!own_netns())
		return;
	fd = device_up("td0");
	tun_port_init(&port, fd);
	ck_assert(port.vnet && port.tso);
	if (!port.uso) {
		fprintf(stderr, "skipped: this kernel has no UDP super-packets\n");
		return;
	}
	ck_assert(batch_init_shared(&b, 8, 4 * PKT_BUF));
	sock = socket(AF_INET, SOCK_DGRAM, 0);
	poll_sock.fd = sock;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i / 1000);
	ck_assert(ip_parse("10.9.0.2", &to.ip) && ip_parse("10.9.0.1", &self.ip));
	n = ip_to_sockaddr(&self, &ss);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&ss, n), 0);
	ck_assert_int_eq(setsockopt(sock, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	n = ip_to_sockaddr(&to, &ss);
	ck_assert_int_eq(sendto(sock, data, sizeof(data), 0, (struct sockaddr *)&ss, n), sizeof(data));
	ck_assert_int_eq(tun_read(&port, 0, &b), 1);
	p = &b.pkt[0];
	ck_assert_uint_eq(p->gso, PKT_GSO_UDP);
	ck_assert_uint_eq(p->segment, 1000);
	ck_assert_uint_eq(p->len, 28 + sizeof(data));
	ck_assert_uint_eq(p->csum, PKT_CSUM_PARTIAL);
	ck_assert(p->csum_start == 20 && p->csum_offset == 6);
	/* back: addresses change places, which no checksum minds; ports are the same */
	memcpy(pkt_data(p) + 12, to.ip.b, 4);
	memcpy(pkt_data(p) + 16, self.ip.b, 4);
	p->head_len = 28;
	ck_assert_int_eq(tun_write(&port, p), 0);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_int_eq(poll(&poll_sock, 1, 2000), 1);
		ck_assert_int_eq(recv(sock, got, sizeof(got), 0), 1000);
		ck_assert_int_eq(got[0], (char)i);
		ck_assert_int_eq(got[999], (char)i);
	}
	batch_fini(&b);
}
END_TEST

/* A packet in pieces is written as one. */
START_TEST(pieces_are_put_together)
{
	struct pkt_piece rest[2] = { { .len = 5 }, { .len = 3 } };
	struct tun_port port = { .vnet = false };
	struct pkt p = { .off = 16, .len = 4 };
	uint8_t buf[64] = "................head--tail-end", got[64];
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	p.buf = buf;
	p.cap = sizeof(buf);
	rest[0].data = buf + 21;
	rest[0].next = &rest[1];
	rest[1].data = buf + 27;
	p.more = &rest[0];
	port.fd = fd[1];
	ck_assert_int_eq(tun_write(&port, &p), 0);
	ck_assert_int_eq(read(fd[0], got, sizeof(got)), 12);
	ck_assert_mem_eq(got, "head-tailend", 12);
}
END_TEST

/* Nothing but what somebody sent comes out: no router solicitation, no multicast report. */
START_TEST(a_device_is_silent_by_itself)
{
	struct pollfd p;
	struct nl_link l;

	if (!own_netns())
		return;
	p = (struct pollfd){ .fd = device_up("td0"), .events = POLLIN };
	ck_assert_int_eq(nl_link_get(nl, "td0", &l), 0);
	ck_assert_uint_eq(l.group, GROUP);
	ck_assert_uint_eq(l.txqlen, TUN_TXQLEN);
	ck_assert_uint_eq(l.mtu, 1438);
	ck_assert(l.up && l.carrier && l.tun);
	ck_assert_int_eq(poll(&p, 1, 1500), 0);
}
END_TEST

START_TEST(carrier_rises_and_falls)
{
	struct nl_link l;
	int fd;

	if (!own_netns())
		return;
	fd = device_up("td0");
	ck_assert_int_eq(tun_carrier(fd, false), 0);
	ck_assert_int_eq(nl_link_get(nl, "td0", &l), 0);
	ck_assert(!l.carrier);
	ck_assert_int_eq(tun_carrier(fd, true), 0);
	ck_assert_int_eq(nl_link_get(nl, "td0", &l), 0);
	ck_assert(l.carrier);
}
END_TEST

/* A name that is held is refused, also when it is an idle persistent device of somebody's. */
START_TEST(a_held_name_is_refused)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int foreign;

	if (!own_netns())
		return;
	(void)device_up("td0");
	ck_assert_int_eq(tun_open("td0", GROUP), -EBUSY);
	ck_assert_int_eq(tun_open("lo", GROUP), -EBUSY);
	ck_assert_int_eq(tun_open("", GROUP), -EINVAL);
	ck_assert_int_eq(tun_open("td%d", GROUP), -EINVAL);
	ck_assert_int_eq(tun_open("a-name-too-long-", GROUP), -EINVAL);
	foreign = open("/dev/net/tun", O_RDWR);
	strcpy(ifr.ifr_name, "theirs");
	ck_assert_int_eq(ioctl(foreign, TUNSETIFF, &ifr), 0);
	ck_assert_int_eq(ioctl(foreign, TUNSETPERSIST, 1), 0);
	close(foreign);
	ck_assert_int_eq(tun_open("theirs", GROUP), -EBUSY);
}
END_TEST

START_TEST(a_device_that_is_down_or_gone_is_told_apart)
{
	struct batch b;
	struct pkt *p;
	int fd;

	if (!own_netns())
		return;
	fd = device_up("td0");
	ck_assert(batch_init(&b, 2, 2048));
	p = batch_next(&b);
	p->len = 28;
	pkt_data(p)[0] = 0x45;
	ck_assert_int_eq(tun_alive(fd), 0);
	ck_assert_int_eq(nl_link_set(nl, "td0", false, 0), 0);
	ck_assert_int_eq(tun_write(port_of(fd), p), -EIO);
	ck_assert_int_eq(tun_read(port_of(fd), 0, &b), 0);
	ck_assert_int_eq(nl_link_del(nl, if_nametoindex("td0")), 0);
	ck_assert_int_eq(tun_read(port_of(fd), 0, &b), -EBADFD);
	ck_assert_int_eq(tun_write(port_of(fd), p), -EBADFD);
	ck_assert_int_eq(tun_alive(fd), -EBADFD);
	batch_fini(&b);
}
END_TEST

START_TEST(a_device_goes_with_its_descriptor)
{
	int fd;

	if (!own_netns())
		return;
	fd = device_up("td0");
	ck_assert_uint_ne(if_nametoindex("td0"), 0);
	close(fd);
	ck_assert_uint_eq(if_nametoindex("td0"), 0);
}
END_TEST

/* Datagrams of 64 flows; how many of them come by each of n queues. */
static void
flows_by_queue(const int *fd, unsigned n, uint16_t port, unsigned *got)
{
	int sock = socket(AF_INET, SOCK_DGRAM, 0);
	struct endpoint e = { .port = port };
	struct sockaddr_storage ss;
	struct tun_port from;
	struct batch b;
	socklen_t len;

	ck_assert(ip_parse("10.9.0.2", &e.ip));
	for (unsigned i = 0; i < 64; i++, e.port++) {
		len = ip_to_sockaddr(&e, &ss);
		ck_assert_int_eq(sendto(sock, "hi", 2, 0, (struct sockaddr *)&ss, len), 2);
	}
	close(sock);
	ck_assert(batch_init(&b, 100, 2048));
	for (unsigned i = 0; i < n; i++) {
		batch_reset(&b);
		tun_port_init(&from, fd[i]);
		got[i] = (unsigned)tun_read(&from, 0, &b);
	}
	batch_fini(&b);
}

/* An answer of each of those flows, as if it came in, by one queue. */
static void
answer_flows(int fd, uint16_t port)
{
	struct tun_port to;
	struct batch b;
	struct pkt *p;

	tun_port_init(&to, fd);
	ck_assert(batch_init(&b, 1, 2048));
	for (unsigned i = 0; i < 64; i++, port++) {
		static const uint8_t head[28] = { 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0x66, 0xbb,
		    10, 9, 0, 2, 10, 9, 0, 1, 0, 0, 0, 0, 0, 8 };
		uint8_t *data;

		batch_reset(&b);
		p = batch_next(&b);
		data = pkt_data(p);
		memcpy(data, head, sizeof(head));
		data[20] = (uint8_t)(port >> 8);
		data[21] = (uint8_t)port;
		data[22] = 0x12;
		data[23] = 0x34;
		p->len = sizeof(head);
		ck_assert_int_eq(tun_write(&to, p), 0);
	}
	batch_fini(&b);
}

/* Flows go by all attached queues and by no other, also when their answers came by a detached. */
START_TEST(queues_share_flows_while_they_are_attached)
{
	struct prefix v4 = { .len = 24 };
	unsigned got[4];
	int fd[4];

	if (!own_netns())
		return;
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_ge(fd[i] = tun_open_queue("tdq", GROUP, i), 0);
	ck_assert_int_eq(tun_open_queue("tdq", GROUP, 0), -EBUSY);
	ck_assert_ptr_nonnull(nl = nl_open());
	ck_assert(ip_parse("10.9.0.1", &v4.ip));
	ck_assert_int_eq(nl_addr(nl, true, "tdq", &v4, NULL), 0);
	ck_assert_int_eq(nl_link_set(nl, "tdq", true, 1438), 0);
	ck_assert_int_eq(tun_queues_up("tdq", GROUP), 0);
	flows_by_queue(fd, 4, 5000, got);
	ck_assert_msg(got[0] >= 64 && got[1] + got[2] + got[3] == 0, "detached, and %u %u %u %u", got[0],
	    got[1], got[2], got[3]);
	ck_assert_int_eq(tun_queue(fd[1], true), 0);
	ck_assert_int_eq(tun_queue(fd[2], true), 0);
	ck_assert_int_eq(tun_queue(fd[2], true), -EINVAL);
	for (int round = 0; round < 2; round++) {
		flows_by_queue(fd, 4, 6000, got);
		ck_assert_msg(got[0] > 5 && got[1] > 5 && got[2] > 5 && got[3] == 0 &&
		    got[0] + got[1] + got[2] == 64, "%u %u %u %u", got[0], got[1], got[2], got[3]);
		answer_flows(fd[3], 6000);
	}
	ck_assert_int_eq(tun_alive(fd[3]), 0);
	ck_assert_int_eq(tun_queue(fd[1], false), 0);
	flows_by_queue(fd, 4, 7000, got);
	ck_assert(got[1] == 0 && got[0] + got[2] == 64);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, packets_come_out_whole);
	tcase_add_test(t, a_written_packet_is_delivered_v4);
	tcase_add_test(t, a_written_packet_is_delivered_v6);
	tcase_add_test(t, super_packets_cross_whole);
	tcase_add_test(t, pieces_are_put_together);
	tcase_add_test(t, a_device_is_silent_by_itself);
	tcase_add_test(t, carrier_rises_and_falls);
	tcase_add_test(t, a_held_name_is_refused);
	tcase_add_test(t, a_device_that_is_down_or_gone_is_told_apart);
	tcase_add_test(t, a_device_goes_with_its_descriptor);
	tcase_add_test(t, queues_share_flows_while_they_are_attached);
}

UNIT_MAIN("tun", fill)
