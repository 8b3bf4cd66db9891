/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tun/udp.h"
#include "tests/unit/tun_ns.h"

#define PORT_A	45011
#define PORT_B	45012

static struct endpoint
at(const char *ip, uint16_t port)
{
	struct endpoint e = { .port = port };

	ck_assert(ip_parse(ip, &e.ip));
	return e;
}

static int
must_open(const char *ip, uint16_t port)
{
	struct endpoint e = at(ip, port);
	int fd = udp_open(&e, NULL, 0);

	ck_assert_msg(fd >= 0, "%s port %u: %s", ip, port, strerror(-fd));
	return fd;
}

/* A full batch each way keeps order, bytes, TOS and both addresses. */
static void
batch_both_ways(const char *any, const char *ip)
{
	int a = must_open(any, PORT_A), b = must_open(any, PORT_B), err;
	struct endpoint from = at(ip, PORT_A), to = at(ip, PORT_B);
	struct udp_tx tx = { .plain = 0 };
	struct batch out, in;
	struct pkt *p;

	ck_assert(batch_init(&out, 150, 2048) && batch_init(&in, 200, 2048));
	for (unsigned i = 0; i < 150; i++) {
		p = batch_next(&out);
		p->len = 100 + i;
		memset(pkt_data(p), (int)i, p->len);
		p->tos = (uint8_t)(i * 4);
		p->local = from;
		p->remote = to;
	}
	ck_assert_uint_eq(udp_send(a, &tx, &out, 0, 150, &err), 0);
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(udp_recv(b, 3, PORT_B, &in), 150);
	ck_assert_uint_eq(in.n, 150);
	for (unsigned i = 0; i < 150; i++) {
		p = &in.pkt[i];
		ck_assert_uint_eq(p->len, 100 + i);
		ck_assert_uint_eq(pkt_data(p)[99], i);
		ck_assert_uint_eq(p->tos, (uint8_t)(i * 4));
		ck_assert_uint_eq(p->socket, 3);
		ck_assert(endpoint_equal(&p->local, &to));
		ck_assert(endpoint_equal(&p->remote, &from));
	}
	batch_reset(&in);
	ck_assert_int_eq(udp_recv(b, 3, PORT_B, &in), 0);
	ck_assert_uint_eq(in.n, 0);
	ck_assert_int_eq(udp_send_one(b, &to, &from, "back", 4), 0);
	ck_assert_int_eq(udp_recv(a, 1, PORT_A, &in), 1);
	ck_assert_uint_eq(in.pkt[0].len, 4);
	ck_assert_uint_eq(in.pkt[0].tos, 0);
	batch_fini(&out);
	batch_fini(&in);
	close(a);
	close(b);
}

START_TEST(a_batch_goes_and_comes_v4)
{
	batch_both_ways("0.0.0.0", "127.0.0.2");
}
END_TEST

START_TEST(a_batch_goes_and_comes_v6)
{
	batch_both_ways("::", "::1");
}
END_TEST

/* The source address is the one asked for, not the one the kernel would take. */
START_TEST(the_local_address_is_chosen)
{
	int a = must_open("0.0.0.0", PORT_A), b = must_open("0.0.0.0", PORT_B);
	struct endpoint from = at("127.9.9.9", PORT_A), to = at("127.0.0.1", PORT_B);
	struct endpoint none = { .port = 0 };
	struct batch in;

	ck_assert(batch_init(&in, 4, 2048));
	ck_assert_int_eq(udp_send_one(a, &from, &to, "x", 1), 0);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 1);
	ck_assert(endpoint_equal(&in.pkt[0].remote, &from));
	ck_assert_int_eq(udp_send_one(a, &none, &to, "x", 1), 0);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 1);
	from = at("192.0.2.77", PORT_A);
	ck_assert_int_lt(udp_send_one(a, &from, &to, "x", 1), 0);
	batch_fini(&in);
}
END_TEST

START_TEST(a_port_that_is_taken_is_named)
{
	struct endpoint e = at("0.0.0.0", PORT_A);

	(void)must_open("0.0.0.0", PORT_A);
	(void)must_open("::", PORT_A);		/* V6ONLY: they do not meet */
	ck_assert_int_eq(udp_open(&e, NULL, 0), -EADDRINUSE);
	e = at("192.0.2.1", PORT_B);
	ck_assert_int_eq(udp_open(&e, NULL, 0), -EADDRNOTAVAIL);
	e = at("0.0.0.0", PORT_B);
	ck_assert_int_eq(udp_open(&e, "no-such-dev", 0), -ENODEV);
	e.ip.family = AF_UNSPEC;
	ck_assert_int_eq(udp_open(&e, NULL, 0), -EAFNOSUPPORT);
}
END_TEST

/* Which socket of the set has exactly one datagram, of this length; the others have none. */
static int
who_got(const int *fd, unsigned n, size_t len)
{
	uint8_t data[64];
	int who = -1;

	for (unsigned i = 0; i < n; i++) {
		ssize_t got = recv(fd[i], data, sizeof(data), MSG_DONTWAIT);

		if (got < 0)
			continue;
		ck_assert_int_eq(who, -1);
		ck_assert_int_eq(got, (ssize_t)len);
		ck_assert_int_lt(recv(fd[i], data, sizeof(data), MSG_DONTWAIT), 0);
		who = (int)i;
	}
	return who;
}

static void
steered(const char *any, const char *ip)
{
	struct endpoint place = at(any, PORT_A), to = at(ip, PORT_A), from = { .port = 0 };
	int fd[4], sender = must_open(any, PORT_B);
	uint8_t data[16] = { 0 };

	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_ge(fd[i] = udp_open_shared(&place, NULL, 0, 3, i), 0);
	for (unsigned spi = 1; spi < 40; spi++) {
		data[3] = (uint8_t)spi;
		data[0] = (uint8_t)(spi % 5);	/* the whole word counts */
		ck_assert_int_eq(udp_send_one(sender, &from, &to, data, sizeof(data)), 0);
		ck_assert_int_eq(who_got(fd, 4, sizeof(data)),
		    1 + (int)(((uint32_t)data[0] << 24 | spi) % 3));
	}
	memset(data, 0, sizeof(data));
	data[4] = 1;				/* IKE behind the marker */
	ck_assert_int_eq(udp_send_one(sender, &from, &to, data, sizeof(data)), 0);
	ck_assert_int_eq(who_got(fd, 4, sizeof(data)), 0);
	data[0] = 0xff;				/* a keepalive; and too short for an SPI */
	for (size_t len = 1; len < 4; len++) {
		ck_assert_int_eq(udp_send_one(sender, &from, &to, data, len), 0);
		ck_assert_int_eq(who_got(fd, 4, len), 0);
	}
	ck_assert_int_eq(udp_open_shared(&place, NULL, 0, 3, 0), -EADDRINUSE);
	ck_assert_int_eq(udp_open(&place, NULL, 0), -EADDRINUSE);
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
	close(sender);
}

START_TEST(a_set_is_steered_by_the_first_word_v4)
{
	steered("0.0.0.0", "127.0.0.1");
}
END_TEST

START_TEST(a_set_is_steered_by_the_first_word_v6)
{
	steered("::", "::1");
}
END_TEST

/* A refusal in the middle names its reason, and the rest goes on behind it. */
START_TEST(a_refusal_is_counted_and_skipped)
{
	int a = must_open("0.0.0.0", PORT_A), b = must_open("0.0.0.0", PORT_B), err;
	struct endpoint from = at("127.0.0.1", PORT_A), to = at("127.0.0.1", PORT_B);
	struct udp_tx tx = { .plain = 0 };
	struct batch out, in;
	struct pkt *p;

	ck_assert(batch_init(&out, 8, 70000) && batch_init(&in, 20, 2048));
	for (unsigned i = 0; i < 8; i++) {
		p = batch_next(&out);
		p->len = i == 3 ? 69000 : 10;
		p->local = from;
		p->remote = to;
	}
	ck_assert_uint_eq(udp_send(a, &tx, &out, 0, 8, &err), 1);
	ck_assert_int_eq(err, -EMSGSIZE);
	ck_assert_uint_eq(udp_send(a, &tx, &out, 4, 4, &err), 0);
	ck_assert_int_eq(err, 0);
	out.pkt[5].remote.ip.family = AF_UNSPEC;
	ck_assert_uint_eq(udp_send(a, &tx, &out, 4, 4, &err), 1);
	ck_assert_int_ne(err, 0);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 7 + 4 + 3);
	batch_fini(&out);
	batch_fini(&in);
}
END_TEST

/* Datagrams to a port where nobody listens bring ICMP back; the socket goes on, both ways. */
START_TEST(icmp_errors_do_not_wedge)
{
	int a = must_open("0.0.0.0", PORT_A), b = must_open("0.0.0.0", PORT_B);
	struct endpoint from = at("127.0.0.1", PORT_A), to = at("127.0.0.1", PORT_B);
	struct endpoint nobody = at("127.0.0.1", 45099);
	struct batch in;

	ck_assert(batch_init(&in, 8, 2048));
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(udp_send_one(a, &from, &nobody, "x", 1), 0);
		ck_assert_int_eq(udp_recv(a, 0, PORT_A, &in), 0);
	}
	ck_assert_int_eq(udp_send_one(a, &from, &to, "x", 1), 0);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 1);
	ck_assert_int_eq(udp_send_one(b, &to, &from, "y", 1), 0);
	ck_assert_int_eq(udp_recv(a, 0, PORT_A, &in), 1);
	batch_fini(&in);
}
END_TEST

START_TEST(one_too_long_comes_empty)
{
	int a = must_open("0.0.0.0", PORT_A), b = must_open("0.0.0.0", PORT_B);
	struct endpoint from = at("127.0.0.1", PORT_A), to = at("127.0.0.1", PORT_B);
	char data[600] = "";
	struct batch in;

	ck_assert(batch_init(&in, 8, PKT_HEADROOM + PKT_TAILROOM + 500));
	ck_assert_int_eq(udp_send_one(a, &from, &to, data, 501), 0);
	ck_assert_int_eq(udp_send_one(a, &from, &to, data, 500), 0);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 2);
	ck_assert_uint_eq(in.pkt[0].len, 0);
	ck_assert_uint_eq(in.pkt[1].len, 500);
	batch_fini(&in);
}
END_TEST

START_TEST(a_full_batch_leaves_the_rest)
{
	int a = must_open("0.0.0.0", PORT_A), b = must_open("0.0.0.0", PORT_B);
	struct endpoint from = at("127.0.0.1", PORT_A), to = at("127.0.0.1", PORT_B);
	struct batch in;

	ck_assert(batch_init(&in, 2, 2048));
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(udp_send_one(a, &from, &to, &i, 1), 0);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 2);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 0);
	batch_reset(&in);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 1);
	ck_assert_uint_eq(pkt_data(&in.pkt[0])[0], 2);
	batch_fini(&in);
}
END_TEST

/* One train of 10 datagrams of 1000 bytes and one of 300, all different. */
static void
train(struct batch *out, struct endpoint from, struct endpoint to)
{
	struct pkt *p;

	batch_reset(out);
	p = batch_next(out);
	for (unsigned i = 0; i < 10300; i++)
		pkt_data(p)[i] = (uint8_t)(i / 1000 * 3 + i);
	p->len = 10300;
	p->segment = 1000;
	p->segments = 11;
	p->local = from;
	p->remote = to;
	p->tos = 0xb8;
}

static void
check_datagrams(const struct batch *in, const struct pkt *sent)
{
	ck_assert_uint_eq(in->n, 11);
	for (unsigned i = 0; i < 11; i++) {
		ck_assert_uint_eq(in->pkt[i].len, i < 10 ? 1000 : 300);
		ck_assert_uint_eq(in->pkt[i].tos, 0xb8);
		ck_assert_uint_eq(in->pkt[i].segment, 0);
		ck_assert_mem_eq(pkt_data(&in->pkt[i]), pkt_data(sent) + i * 1000u, in->pkt[i].len);
	}
}

/* To a socket that asks for trains it comes as one, to another as single datagrams. */
static void
train_goes(const char *any, const char *ip)
{
	int a = must_open(any, PORT_A), b = must_open(any, PORT_B), err;
	struct endpoint from = at(ip, PORT_A), to = at(ip, PORT_B);
	struct udp_tx tx = { .plain = 0 };
	struct batch out, in;

	ck_assert(batch_init(&out, 1, PKT_BUF) && batch_init(&in, 16, PKT_BUF));
	train(&out, from, to);
	ck_assert_uint_eq(udp_send(a, &tx, &out, 0, 1, &err), 0);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 11);
	check_datagrams(&in, &out.pkt[0]);
	ck_assert_int_eq(udp_gro(b, true), 0);
	batch_reset(&in);
	ck_assert_uint_eq(udp_send(a, &tx, &out, 0, 1, &err), 0);
	ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 1);
	ck_assert_uint_eq(in.pkt[0].len, 10300);
	ck_assert_uint_eq(in.pkt[0].segment, 1000);
	ck_assert_uint_eq(in.pkt[0].segments, 11);
	ck_assert_mem_eq(pkt_data(&in.pkt[0]), pkt_data(&out.pkt[0]), 10300);
	ck_assert_uint_eq(tx.refused, 0);
	batch_fini(&out);
	batch_fini(&in);
	close(a);
	close(b);
}

START_TEST(a_train_goes_and_comes)
{
	train_goes("0.0.0.0", "127.0.0.1");
	train_goes("::", "::1");
}
END_TEST

/* A socket that sends no checksums cannot send trains (EINVAL), as a route over a device without
 * checksum offload cannot (EIO): they go as single datagrams, and so do the next. */
START_TEST(a_refused_train_goes_singly)
{
	int a = must_open("0.0.0.0", PORT_A), b = must_open("0.0.0.0", PORT_B), one = 1, err;
	struct endpoint from = at("127.0.0.1", PORT_A), to = at("127.0.0.1", PORT_B);
	struct udp_tx tx = { .plain = 0 };
	struct batch out, in;

	ck_assert(batch_init(&out, 1, PKT_BUF) && batch_init(&in, 16, PKT_BUF));
	ck_assert_int_eq(setsockopt(a, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)), 0);
	for (unsigned i = 0; i < 3; i++) {
		train(&out, from, to);
		batch_reset(&in);
		ck_assert_uint_eq(udp_send(a, &tx, &out, 0, 1, &err), 0);
		ck_assert_int_eq(err, 0);
		ck_assert_int_eq(udp_recv(b, 0, PORT_B, &in), 11);
		check_datagrams(&in, &out.pkt[0]);
		ck_assert_uint_eq(tx.refused, 1);
		ck_assert_uint_eq(tx.plain, UDP_PLAIN - i);
	}
	batch_fini(&out);
	batch_fini(&in);
}
END_TEST

/* Every datagram of a train that nobody takes is counted, and trains are not given up for it. */
START_TEST(a_lost_train_counts_its_datagrams)
{
	int a = must_open("0.0.0.0", PORT_A), err;
	struct endpoint from = at("192.0.2.77", PORT_A), to = at("127.0.0.1", PORT_B);
	struct udp_tx tx = { .plain = 0 };
	struct batch out;

	ck_assert(batch_init(&out, 1, PKT_BUF));
	train(&out, from, to);
	ck_assert_uint_eq(udp_send(a, &tx, &out, 0, 1, &err), 11);
	ck_assert_int_lt(err, 0);
	ck_assert_uint_eq(tx.plain, 0);
	batch_fini(&out);
}
END_TEST

/* The kernel must not fragment: path MTU discovery is ours (design 4). */
START_TEST(df_is_set)
{
	int a = must_open("0.0.0.0", PORT_A), b = must_open("::", PORT_A), value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(a, IPPROTO_IP, IP_MTU_DISCOVER, &value, &len), 0);
	ck_assert_int_eq(value, IP_PMTUDISC_PROBE);
	ck_assert_int_eq(getsockopt(b, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &value, &len), 0);
	ck_assert_int_eq(value, IPV6_PMTUDISC_PROBE);
}
END_TEST

/* Ports of our own; on a host that gives no namespace, its loopback has to do. */
static void
alone(void)
{
	(void)own_netns();
}

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, alone, NULL);
	tcase_add_test(t, a_batch_goes_and_comes_v4);
	tcase_add_test(t, a_batch_goes_and_comes_v6);
	tcase_add_test(t, the_local_address_is_chosen);
	tcase_add_test(t, a_port_that_is_taken_is_named);
	tcase_add_test(t, a_set_is_steered_by_the_first_word_v4);
	tcase_add_test(t, a_set_is_steered_by_the_first_word_v6);
	tcase_add_test(t, a_refusal_is_counted_and_skipped);
	tcase_add_test(t, icmp_errors_do_not_wedge);
	tcase_add_test(t, one_too_long_comes_empty);
	tcase_add_test(t, a_full_batch_leaves_the_rest);
	tcase_add_test(t, a_train_goes_and_comes);
	tcase_add_test(t, a_refused_train_goes_singly);
	tcase_add_test(t, a_lost_train_counts_its_datagrams);
	tcase_add_test(t, df_is_set);
}

UNIT_MAIN("udp", fill)
