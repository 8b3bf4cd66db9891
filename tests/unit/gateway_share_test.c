/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/gateway.h"
#include "tun/tun.h"

#include "gateway_words.h"

/*
 * Which workers serve a connection.  Workers, the broker, IKE and the queues are the test's: what
 * they are told is written down, a word each.
 */
static struct {
	struct gw g;
	struct config_connection conf[4];
	struct gw_connection c[4];
	bool no_room;
	bool tandem[2];			/* what IKE knows of the peers */
	bool no_dup;
} s;

__typeof__(workers_n) __wrap_workers_n;
__typeof__(worker_post) __wrap_worker_post;
__typeof__(hostlink_ask) __wrap_hostlink_ask;
__typeof__(ike_status) __wrap_ike_status;
__typeof__(tun_queue) __wrap_tun_queue;
__typeof__(tun_dup) __wrap_tun_dup;

unsigned
__wrap_workers_n(const struct workers *ws)
{
	(void)ws;
	return 3;
}

bool
__wrap_worker_post(struct worker *w, const struct worker_cmd *c)
{
	unsigned index = index_of(w);

	if (s.no_room)
		return false;
	ck_assert_uint_eq(c->index, 7);
	if (c->kind == WORKER_DEVICE_ADD)
		say("read%u:%u ", index, (unsigned)c->fd);
	else if (c->kind == WORKER_DEVICE_WRITER)
		say("write%u:%u ", index, (unsigned)c->fd);
	else if (c->kind == WORKER_DEVICE_QUEUE)
		say(c->on ? "on%u " : "off%u ", index, 0);
	else
		ck_abort_msg("command %d", (int)c->kind);
	return true;
}

bool
__wrap_hostlink_ask(struct hostlink *h, struct host_request *q, uint32_t cookie)
{
	(void)h;
	ck_assert_uint_eq(cookie, 40);
	say("ask%u/%u ", q->slot, q->slots);
	return true;
}

bool
__wrap_ike_status(const struct ike *ike, uint32_t tunnel, struct ike_status *st)
{
	(void)ike;
	st->peer_is_tandem = s.tandem[tunnel - 1];
	return true;
}

int
__wrap_tun_queue(int fd, bool on)
{
	say(on ? "attach%u " : "detach%u ", (unsigned)fd, 0);
	return 0;
}

int
__wrap_tun_dup(int fd)
{
	return s.no_dup ? -EMFILE : fd + 100;
}

static struct gw_connection *
connection(unsigned i, unsigned workers)
{
	struct gw_connection *c = &s.c[i];

	s.conf[i].workers = workers;
	s.conf[i].tunnels_n = 2;
	c->conf = &s.conf[i];
	c->id = 40;
	c->device = 7;
	for (unsigned t = 0; t < 2; t++) {
		c->t[t].id = t + 1;
		c->t[t].c = c;
	}
	share_choose(&s.g, c);
	return c;
}

static void
open_slot(struct gw_connection *c, unsigned slot)
{
	struct host_answer a = { .op = HOST_TUN_OPEN, .fd = (int)(20 + slot), .what.slot = slot };

	ck_assert(share_opened(&s.g, c, &a));
}

static void
fresh(void)
{
	memset(&s, 0, sizeof(s));
}

/* The next goes where the fewest are; who has gone makes room. */
START_TEST(homes_are_spread)
{
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(connection(i, 1)->home, i % 3);
		ck_assert_uint_eq(s.c[i].serves, workers_bit(i % 3));
	}
	share_end(&s.g, &s.c[1]);
	s.c[1] = (struct gw_connection){ .id = 0 };
	ck_assert_uint_eq(connection(1, 1)->home, 1);
	fresh();
	ck_assert_uint_eq(connection(0, 2)->serves, 3);		/* 0 and 1 */
	ck_assert_uint_eq(connection(1, 9)->serves, 7);		/* no more than there are */
	ck_assert_uint_eq(s.c[1].home, 2);
	share_end(&s.g, &s.c[0]);
	share_end(&s.g, &s.c[1]);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(s.g.worker[i].load, 0);
}
END_TEST

/* One worker has a plain device; N have a queue each and one more that all of them write to. */
START_TEST(queues_go_to_their_workers)
{
	struct host_request q = { .op = HOST_TUN_OPEN };
	struct gw_connection *c = connection(0, 1);

	share_ask(&s.g, c, &q);
	expect("ask0/0 ");
	open_slot(c, 0);
	expect("read0:20 ");
	ck_assert(c->device_open);
	c = connection(1, 2);			/* homes 1 and 2 */
	share_ask(&s.g, c, &q);
	expect("ask0/3 ask1/3 ask2/3 ");
	open_slot(c, 1);
	expect("detach21 read2:21 ");
	ck_assert(!c->device_open);		/* that is said of the first */
	open_slot(c, 0);
	expect("read1:20 ");
	ck_assert(c->device_open);
	open_slot(c, 2);
	expect("detach22 write1:22 write2:122 ");
	ck_assert_uint_eq(c->queues, 3);
	s.no_dup = true;			/* then one goes without */
	open_slot(c, 2);
	expect("detach22 write1:22 ");
	s.no_room = true;
	ck_assert(!share_opened(&s.g, c, &(struct host_answer){ .op = HOST_TUN_OPEN, .fd = 9 }));
}
END_TEST

/* Only while each peer that is up has a window that is known to be wide. */
START_TEST(others_take_part_while_windows_are_wide)
{
	struct gw_connection *c = connection(0, 3);

	for (unsigned slot = 0; slot < 3; slot++)
		open_slot(c, slot);
	words[0] = '\0';
	c->t[0].up = s.tandem[0] = true;
	share_look(&s.g, c);
	expect("");				/* a queue is missing */
	open_slot(c, 3);
	expect("detach23 write0:23 write1:123 write2:123 on1 on2 ");
	ck_assert_uint_eq(c->sharing, 6);
	share_look(&s.g, c);
	expect("");				/* once */
	c->t[1].up = true;			/* a peer that nobody knows */
	share_look(&s.g, c);
	expect("off1 off2 ");
	s.conf[0].peer_window = 1024;
	share_look(&s.g, c);
	expect("on1 on2 ");
	s.conf[0].peer_window = 1023;
	share_look(&s.g, c);
	expect("off1 off2 ");
	c->t[0].up = c->t[1].up = false;	/* nobody there: as it was */
	s.conf[0].peer_window = 8192;
	share_look(&s.g, c);
	expect("");
	ck_assert_uint_eq(c->sharing, 0);
}
END_TEST

/* By Child SAs of their own the order of others does not matter: then each takes part that has one
 * to every peer that is up and small. */
START_TEST(others_take_part_by_sas_of_their_own)
{
	struct gw_connection *c = connection(0, 3);

	for (unsigned slot = 0; slot < 4; slot++)
		open_slot(c, slot);
	words[0] = '\0';
	c->t[0].up = true;
	for (unsigned k = 0; k < 3; k++)
		c->t[0].spi_in[k] = c->t[1].spi_in[k] = 300;	/* all by the first */
	share_look(&s.g, c);
	expect("");
	c->t[0].spi_in[2] = 302;
	share_look(&s.g, c);
	expect("on2 ");
	c->t[0].spi_in[1] = 301;
	share_look(&s.g, c);
	expect("on1 ");
	ck_assert_uint_eq(c->sharing, 6);
	c->t[1].up = true;			/* a second peer, with one Child SA */
	share_look(&s.g, c);
	expect("off1 off2 ");
	s.tandem[1] = true;			/* whose window is wide */
	share_look(&s.g, c);
	expect("on1 on2 ");
	c->t[0].spi_in[0] = 301;		/* the first has gone: the home borrows */
	share_look(&s.g, c);
	expect("off1 ");
	ck_assert_uint_eq(share_set(&s.g, c, 7), 7);
	c = connection(1, 2);
	c->home = 2;
	ck_assert_uint_eq(share_set(&s.g, c, 3), 5);	/* the one behind the last is the first */
	ck_assert_uint_eq(share_set(&s.g, c, 6), 1);	/* there are two of them */
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, fresh, NULL);
	tcase_add_test(t, homes_are_spread);
	tcase_add_test(t, queues_go_to_their_workers);
	tcase_add_test(t, others_take_part_while_windows_are_wide);
	tcase_add_test(t, others_take_part_by_sas_of_their_own);
}

UNIT_MAIN("gateway/share", fill)
