/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <string.h>

#include "tests/unit/unit.h"

/* Counts the keepalives that a gate sends; loses nothing. */
struct count {
	unsigned keepalives, on_500, on_4500, marked;
};

static bool
look(void *arg, const struct ike_action *a)
{
	struct count *c = arg;

	c->keepalives += a->len == 1 && a->data[0] == 0xff;
	c->on_500 += a->local.port == 500;
	c->on_4500 += a->local.port == 4500;
	c->marked += a->len > 4 && memcmp(a->data, "\0\0\0\0", 4) == 0;
	return false;
}

static void
begin(struct world *w, uint64_t seed, unsigned start, struct count *c)
{
	struct ike_tunnel conf;

	memset(c, 0, sizeof(*c));
	world_init(w, seed, 2);
	world_weather(w, &(struct weather){ .drop = look, .arg = c });
	w->gate[0].nat = (struct ip){ .family = AF_INET, .b = { 203, 0, 113, 7 } };
	w->gate[0].nat_shift = 20000;
	conf = world_conf(w, 0, 1, 1);
	conf.start = (start & 1) != 0;
	world_set(w, 0, &conf);
	conf = world_conf(w, 1, 1, 0);
	conf.start = (start & 2) != 0;
	conf.remote = w->gate[0].nat;
	world_set(w, 1, &conf);
	world_run(w, USEC_S(3));
}

/* Behind a NAT: found out, kept open, and the peer sends to the port that it sees. */
START_TEST(a_nat_in_front_of_us)
{
	struct count c;
	struct world w;

	begin(&w, 1, 1, &c);
	ck_assert(world_agree(&w, 1));
	ck_assert(gate_status(&w.gate[0], 1)->nat_local);
	ck_assert(!gate_status(&w.gate[1], 1)->nat_local);
	ck_assert_uint_eq(gate_status(&w.gate[1], 1)->remote.port, 24500);
	ck_assert_uint_eq(gate_child(&w.gate[1], w.gate[1].out[1])->remote.port, 24500);
	ck_assert_uint_eq(c.on_500, 2);
	ck_assert_uint_eq(c.on_4500, c.marked);
	world_run(&w, USEC_S(100));
	ck_assert_uint_eq(c.keepalives, 5);
	/* The NAT forgets: its new port is learned from the next authenticated message. */
	w.gate[0].nat_shift = 21000;
	world_tell(&w, 0, IKE_ASK, 1);
	world_run(&w, USEC_S(1));
	ck_assert_uint_eq(w.gate[1].endpoints, 1);
	ck_assert_uint_eq(w.gate[1].endpoint.port, 25500);
	world_tell(&w, 1, IKE_REKEY, 1);
	world_run(&w, USEC_S(1));
	ck_assert(world_agree(&w, 1));
	world_fini(&w);
}
END_TEST

/* No NAT: no keepalive, ever. */
START_TEST(no_nat_no_keepalive)
{
	struct count c = { 0 };
	struct world w;

	world_init(&w, 2, 2);
	world_weather(&w, &(struct weather){ .drop = look, .arg = &c });
	world_pair(&w, 1, 1);
	world_run(&w, USEC_S(200));
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_eq(c.keepalives, 0);
	world_fini(&w);
}
END_TEST

/* An opening sent to and answered on 4500, all of it marked. */
START_TEST(a_start_on_4500)
{
	struct count c = { 0 };
	struct ike_tunnel conf;
	struct world w;

	world_init(&w, 3, 2);
	world_weather(&w, &(struct weather){ .drop = look, .arg = &c });
	conf = world_conf(&w, 1, 1, 0);
	conf.start = false;
	world_set(&w, 1, &conf);
	conf = world_conf(&w, 0, 1, 1);
	conf.remote_port = 4500;
	world_set(&w, 0, &conf);
	world_run(&w, USEC_S(3));
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_eq(c.on_500, 0);
	ck_assert_uint_eq(c.on_4500, 4);
	ck_assert_uint_eq(c.marked, 4);
	world_fini(&w);
}
END_TEST

/* The last datagram that gate 0 sent, to be replayed from elsewhere. */
struct tape {
	uint8_t data[2048];
	size_t len;
};

static bool
record(void *arg, const struct ike_action *a)
{
	struct tape *t = arg;

	if (a->local.ip.b[3] == 1 && a->len <= sizeof(t->data)) {
		memcpy(t->data, a->data, a->len);
		t->len = a->len;
	}
	return false;
}

/* R27: an old message from a new address moves nothing; nor a new one from a new host. */
START_TEST(only_the_newest_moves_the_peer)
{
	struct endpoint thief = { .ip = { AF_INET, { 198, 51, 100, 66 } }, .port = 4500 };
	struct endpoint here = { .port = 4500 };
	struct tape old, fresh;
	struct world w;

	world_init(&w, 4, 2);
	world_pair(&w, 1, 1);
	world_run(&w, USEC_S(3));
	here.ip = w.gate[1].ip;
	world_weather(&w, &(struct weather){ .drop = record, .arg = &old });
	world_tell(&w, 0, IKE_ASK, 1);
	world_run(&w, USEC_S(1));
	world_inject(&w, 1, &thief, &here, (struct slice){ old.data, old.len });
	thief.ip = w.gate[0].ip;
	thief.port = 4501;
	world_inject(&w, 1, &thief, &here, (struct slice){ old.data, old.len });
	ck_assert_uint_eq(w.gate[1].endpoints, 0);
	/* A message that arrives from another host is answered there, and moves nothing. */
	fresh.len = 0;
	world_weather(&w, &(struct weather){ .drop = record, .arg = &fresh, .loss = 1 });
	world_tell(&w, 0, IKE_ASK, 1);
	thief.ip.b[3] = 66;
	world_inject(&w, 1, &thief, &here, (struct slice){ fresh.data, fresh.len });
	ck_assert_uint_eq(w.gate[1].endpoints, 0);
	ck_assert(ip_equal(&gate_status(&w.gate[1], 1)->remote.ip, &w.gate[0].ip));
	/* ESP from another port of the peer does. */
	thief.ip = w.gate[0].ip;
	world_fact(&w, 1, &(struct ike_fact){ .kind = IKE_MOVED, .tunnel = 1, .remote = thief });
	ck_assert_uint_eq(w.gate[1].endpoints, 1);
	ck_assert_uint_eq(w.gate[1].endpoint.port, 4501);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, a_nat_in_front_of_us);
	tcase_add_test(tc, no_nat_no_keepalive);
	tcase_add_test(tc, a_start_on_4500);
	tcase_add_test(tc, only_the_newest_moves_the_peer);
}

UNIT_MAIN("sim/nat", fill)
