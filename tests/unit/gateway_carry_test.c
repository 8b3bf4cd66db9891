/* SPDX-License-Identifier: MIT */
#include "gateway_tap.h"

/* What the machines want done goes where it belongs.  IKE, the monitor and the worker are the
 * test's: an action is put in, and what the others are told is read. */
static void
setup(void)
{
	tap_new(tap_yaml);
	(void)heard_of("");
	tap.log[0] = '\0';
}

static void
ike_does(struct ike_action a)
{
	tap.ike[tap.ike_n++] = a;
	gw_drain(&tap.r.g, tap.now);
	ck_assert_uint_eq(tap.ike_n, 0);
}

static void
mon_does(struct mon_action a)
{
	tap.mon[tap.mon_n++] = a;
	gw_drain(&tap.r.g, tap.now);
	ck_assert_uint_eq(tap.mon_n, 0);
}

/* IKE has negotiated a Child SA of a tunnel: SPI `spi` in, spi + 0x1000 out. */
static struct child_sa *
negotiated(unsigned of, uint32_t spi)
{
	struct child_sa *c = secret_alloc(tap.r.g.secrets, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	c->tunnel = tunnel(of)->id;
	c->spi_in = spi;
	c->spi_out = spi + 0x1000;
	c->aead = AEAD_AES_GCM_16_256;
	c->key_len = 36;
	c->window = 64;
	c->local = endpoint_of("192.0.2.1", 4500);
	c->remote = endpoint_of("203.0.113.11", 4500);
	return c;
}

static void
accepted(unsigned of, uint32_t spi)
{
	ike_does((struct ike_action){ .kind = IKE_SA_IN, .tunnel = tunnel(of)->id, .spi_in = spi,
	    .child = negotiated(of, spi) });
}

static void
used(unsigned of, uint32_t spi)
{
	ike_does((struct ike_action){ .kind = IKE_SA_OUT, .tunnel = tunnel(of)->id, .spi_in = spi,
	    .resources = 1 });
}

static void
dropped(unsigned of, uint32_t spi)
{
	ike_does((struct ike_action){ .kind = IKE_SA_DROP, .tunnel = tunnel(of)->id, .spi_in = spi });
}

/* The worker gives back the outbound SA of which it has had the i-th. */
static void
gives_back(unsigned i)
{
	struct esp_sa *sa = tap.sa_out[i];

	for (; tap.sa_out[i] != NULL; i++)
		tap.sa_out[i] = tap.sa_out[i + 1];
	gw_sa_back(&tap.r.g, sa);
}

/* ---- Child SAs ---------------------------------------------------------------------------- */

/* Its inbound half goes to the worker at once, the outbound one when IKE says so, and its place
 * before it. */
START_TEST(a_child_sa_is_accepted_first_and_used_later)
{
	struct gw_tunnel *t = tunnel(0);

	accepted(0, 0x101);
	expect_said("", "esp sa-in office/1 101\n");
	ck_assert_uint_eq(t->spi_in[0], 0);
	used(0, 0x101);
	expect_said("esp", "esp endpoint office/1 203.0.113.11:4500\n"
	    "esp sa-out office/1 1101\n"
	    "esp path\n");
	ck_assert_uint_eq(t->spi_in[0], 0x101);
	ck_assert_uint_eq(t->aead, AEAD_AES_GCM_16_256);
	ck_assert_uint_eq(t->remote.port, 4500);
	used(0, 0x101);				/* said once more: nothing is to be done */
	expect_said("", "");
	dropped(0, 0x101);
	expect_said("", "esp sa-drop office/1 101 1101\n");
	dropped(0, 0x101);
	used(0, 0x101);
	expect_said("", "");
}
END_TEST

/* The suite decides how much fits in; the same suite again changes nothing. */
START_TEST(another_suite_makes_another_mtu)
{
	struct child_sa *c = negotiated(0, 0x101);

	c->aead = AEAD_AES_CBC_256_HMAC_SHA2_256;
	c->key_len = 64;
	ike_does((struct ike_action){ .kind = IKE_SA_IN, .child = c });
	used(0, 0x101);
	expect_said("host", "host link-set td-office up 1422\n");
	ck_assert_uint_eq(tap.path->t[0].mtu, 1422);
	ck_assert_uint_eq(tap.path->t[1].mtu, 1438);
	accepted(0, 0x102);
	used(0, 0x102);
	expect_said("host", "host link-set td-office up 1438\n");
	accepted(0, 0x103);
	used(0, 0x103);
	expect_said("", "esp sa-in office/1 103\n"
	    "esp endpoint office/1 203.0.113.11:4500\n"
	    "esp sa-out office/1 1103\n");
}
END_TEST

/* Dropped before it was ever used, its outbound half has nobody but us. */
START_TEST(what_was_never_lent_is_freed)
{
	size_t before = secrets_used(tap.r.g.secrets);

	accepted(0, 0x101);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 2);
	dropped(0, 0x101);
	expect_said("", "esp sa-in office/1 101\nesp sa-drop office/1 101 1101\n");
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 1);	/* the worker's */
}
END_TEST

/* A rekey's overlap: IKE goes to the new one and returns; what the worker had comes back and is
 * lent again, with the place that is the tunnel's now. */
START_TEST(a_child_sa_that_was_left_can_be_returned_to)
{
	accepted(0, 0x101);
	used(0, 0x101);
	accepted(0, 0x102);
	used(0, 0x102);
	(void)heard_of("");
	gives_back(0);				/* the first: it was replaced */
	expect_said("", "");			/* kept, not lent */
	used(0, 0x101);
	expect_said("", "esp sa-out office/1 1101\n");
	gives_back(0);				/* the second */
	expect_said("", "");
	ck_assert_uint_eq(tunnel(0)->spi_in[0], 0x101);
}
END_TEST

/* IKE returns to it while the worker still has it: it is lent once more, and is the worker's until
 * it came back for both times. */
START_TEST(one_that_is_on_its_way_back_is_lent_again)
{
	size_t before = secrets_used(tap.r.g.secrets);

	accepted(0, 0x101);
	used(0, 0x101);
	accepted(0, 0x102);
	used(0, 0x102);
	(void)heard_of("");
	used(0, 0x101);				/* not here yet */
	expect_said("", "esp sa-out office/1 1101\n");
	gives_back(0);
	dropped(0, 0x101);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 4);
	gives_back(1);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 3);
}
END_TEST

START_TEST(one_that_comes_back_after_its_end_is_freed)
{
	size_t before = secrets_used(tap.r.g.secrets);

	accepted(0, 0x101);
	used(0, 0x101);
	dropped(0, 0x101);
	(void)heard_of("");
	gives_back(0);
	expect_said("", "");
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 1);	/* the inbound half */
	accepted(2, 0x201);			/* of a connection that goes */
	used(2, 0x201);
	connection_del(&tap.r.g, tunnel(2)->c);
	(void)heard_of("");
	gives_back(0);
	expect_said("", "");
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before + 2);
	dropped(0, 0x201);			/* IKE says so too; its tunnel has no name any more */
	expect_said("", "esp sa-drop ?/0 201 1201\n");
}
END_TEST

START_TEST(of_one_spi_twice_the_newer_is_meant)
{
	accepted(0, 0x101);
	used(0, 0x101);
	(void)heard_of("");
	accepted(1, 0x101);
	expect_said("", "esp sa-drop office/1 101 1101\nesp sa-in office/2 101\n");
	used(1, 0x101);
	expect_said("esp sa-out", "esp sa-out office/2 1101\n");
	gives_back(0);				/* of the former: nobody's */
	expect_said("", "");
	ck_assert_uint_eq(tunnel(1)->spi_in[0], 0x101);
}
END_TEST

START_TEST(what_cannot_be_installed_leaves_nothing)
{
	size_t before = secrets_used(tap.r.g.secrets);
	struct child_sa *c = negotiated(0, 0x101);

	c->key_len = 7;				/* suits no cipher */
	ike_does((struct ike_action){ .kind = IKE_SA_IN, .child = c });
	expect_said("", "");
	ck_assert(logged("no-memory", "not installed"));
	used(0, 0x101);
	expect_said("", "");
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before);
	tap.no_room = true;			/* the worker takes nothing */
	accepted(0, 0x102);
	ck_assert(logged("no-memory", "worker"));
	used(0, 0x102);
	dropped(0, 0x102);
	ck_assert_uint_eq(secrets_used(tap.r.g.secrets), before);
}
END_TEST

/* The peer has moved: ESP follows at once, and a Child SA that was negotiated before it moved
 * and is used after it goes to the new place too; one of another tunnel does not. */
START_TEST(a_peer_that_moved_is_followed)
{
	struct ike_action moved = { .kind = IKE_ENDPOINT, .tunnel = tunnel(0)->id,
		.local = endpoint_of("192.0.2.1", 4500), .remote = endpoint_of("198.51.100.7", 1024) };

	accepted(0, 0x101);
	used(0, 0x101);
	accepted(0, 0x102);
	accepted(1, 0x103);
	(void)heard_of("");
	ike_does(moved);
	expect_said("", "esp endpoint office/1 198.51.100.7:1024\n");
	ck_assert_uint_eq(tunnel(0)->remote.port, 1024);
	used(0, 0x102);
	used(1, 0x103);
	expect_said("esp endpoint", "esp endpoint office/1 198.51.100.7:1024\n"
	    "esp endpoint office/2 203.0.113.11:4500\n");
	moved.tunnel = 0;			/* nobody's */
	ike_does(moved);
	expect_said("", "");
}
END_TEST

/* ---- the rest of IKE ---------------------------------------------------------------------- */

/* By the socket of its port and family; without one it is lost, as any datagram may be. */
START_TEST(a_datagram_leaves_by_its_socket)
{
	static const struct { const char *from, *to; uint16_t port; int sock; } way[] = {
		{ "192.0.2.1", "203.0.113.1", 500, SOCK_IKE4 },
		{ "192.0.2.1", "203.0.113.1", 4500, SOCK_NATT4 },
		{ "2001:db8::1", "2001:db8::2", 500, SOCK_IKE6 },
		{ "2001:db8::1", "2001:db8::2", 4500, SOCK_NATT6 },
	};
	struct ike_action a = { .kind = IKE_SEND, .data = (const uint8_t *)"hello", .len = 5 };

	for (int i = 0; i < SOCK_N - 1; i++)
		tap.r.g.sock[i] = 1000 + i;
	for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
		a.local = endpoint_of(way[i].from, way[i].port);
		a.remote = endpoint_of(way[i].to, 4500);
		tap.sent.fd = -1;
		ike_does(a);
		ck_assert_int_eq(tap.sent.fd, way[i].sock == SOCK_N - 1 ? -1 : 1000 + way[i].sock);
		if (tap.sent.fd < 0)
			continue;
		ck_assert(endpoint_equal(&tap.sent.from, &a.local));
		ck_assert(endpoint_equal(&tap.sent.to, &a.remote));
		ck_assert_mem_eq(tap.sent.data, "hello", 5);
	}
	expect_said("", "send\nsend\nsend\n");
}
END_TEST

START_TEST(up_and_down_are_told_and_kept)
{
	struct gw_tunnel *t = tunnel(1);
	struct ike_action down = { .kind = IKE_DOWN, .tunnel = t->id, .reason = "no answer" };

	tap.now += USEC_S(5);
	ike_does((struct ike_action){ .kind = IKE_UP, .tunnel = t->id, .reason = "stale" });
	expect_said("", "mon up office/2\n");
	ck_assert(t->up && t->since == tap.now && t->reason[0] == '\0');
	ck_assert(!tunnel(0)->up);
	ck_assert(logged("tunnel-up connection=office tunnel=2", "established"));
	tap.now += USEC_S(5);
	ike_does(down);
	expect_said("", "mon down office/2\n");
	ck_assert(!t->up && t->since == tap.now);
	ck_assert_str_eq(t->reason, "no answer");
	ck_assert(logged("tunnel-down connection=office tunnel=2", "no answer"));
	down.tunnel = 0;			/* of a tunnel that is gone */
	ike_does(down);
	expect_said("", "");
}
END_TEST

START_TEST(what_ike_hears_goes_to_the_monitor)
{
	ike_does((struct ike_action){ .kind = IKE_ALIVE, .tunnel = tunnel(2)->id });
	expect_said("", "mon alive branch/1\n");
	ike_does((struct ike_action){ .kind = IKE_TOLD, .tunnel = tunnel(2)->id, .index = 2 });
	expect_said("", "mon told branch/1 2\n");
	ike_does((struct ike_action){ .kind = IKE_TOLD, .tunnel = 0, .index = 2 });
	expect_said("", "");
}
END_TEST

/* A job goes to the pool; where that has no memory it is done here and now. */
START_TEST(a_job_is_always_done)
{
	struct ike_job *job = (struct ike_job *)(void *)&tap;	/* never looked into */

	ike_does((struct ike_action){ .kind = IKE_WORK, .job = job });
	expect_said("", "jobs put\n");
	ck_assert_ptr_null(tap.ran);
	tap.no_room = true;
	ike_does((struct ike_action){ .kind = IKE_WORK, .job = job });
	expect_said("", "jobs put\nike work-done ?/0\n");
	ck_assert_ptr_eq(tap.ran, job);
	ck_assert_ptr_eq(tap.fact.job, job);
}
END_TEST

/* ---- the monitor -------------------------------------------------------------------------- */

/* From our inside address of the family of the one that is asked. */
START_TEST(a_question_goes_from_inside_to_inside)
{
	struct gw_tunnel *t = tunnel(1);
	struct mon_action a = { .kind = MON_PROBE, .tunnel = t->id, .token = 77 };
	const struct esp_probe *p = &tap.posted.esp.probe;

	mon_does(a);
	expect_said("", "esp probe office/2\n");
	ck_assert_uint_eq(p->tunnel, t->id);
	ck_assert_uint_eq(p->token, 77);
	ck_assert(ip_equal(&p->to, &t->conf->probe));
	ck_assert(ip_equal(&p->from, &t->conf->inside_local[0]));
	a.tunnel = 0;
	mon_does(a);
	expect_said("", "");
}
END_TEST

START_TEST(what_the_monitor_wants_of_ike_is_asked)
{
	uint32_t id = tunnel(0)->id;

	mon_does((struct mon_action){ .kind = MON_ASK, .tunnel = id });
	expect_said("", "ike ask office/1\n");
	mon_does((struct mon_action){ .kind = MON_TELL, .tunnel = id, .index = 2 });
	expect_said("", "ike tell office/1 2\n");
	mon_does((struct mon_action){ .kind = MON_CLOSE, .tunnel = id });
	expect_said("", "ike close office/1\nike open office/1\n");	/* anew, not for good */
}
END_TEST

static void
selected(struct mon_action *a, unsigned from, unsigned to)
{
	a->kind = MON_SELECT;
	a->connection = tunnel(0)->c->id;
	for (unsigned i = 0; i < sizeof(a->bucket); i++)
		a->bucket[i] = (uint8_t)(i < 128 ? from : to);
	tap.log[0] = '\0';
	mon_does(*a);
}

/* The choice becomes a path at the worker, whole, and a sentence for people. */
START_TEST(a_choice_becomes_a_path)
{
	struct gw_connection *c = tunnel(0)->c;
	struct mon_action a = { .reason = "tunnel 1: dead" };

	selected(&a, 1, 1);
	expect_said("", "esp path\n");
	ck_assert_mem_eq(tap.path->bucket, a.bucket, sizeof(a.bucket));
	ck_assert_str_eq(c->why, "tunnel 1: dead");
	ck_assert(!connection_carries(c, 0) && connection_carries(c, 1));
	ck_assert(logged("select connection=office", "traffic goes by tunnel 2: tunnel 1: dead"));
	selected(&a, 0, 1);
	ck_assert(logged("select connection=office", "goes by tunnel 1 tunnel 2: "));
	selected(&a, MON_NONE, MON_NONE);
	ck_assert(logged("select connection=office", "goes by no tunnel: "));
	ck_assert(!connection_carries(c, 0) && !connection_carries(c, 1));
	(void)heard_of("");
	a.connection = 0;
	mon_does(a);
	expect_said("", "");
}
END_TEST

/* IKE's own sentence about a tunnel that is down was told; every other verdict is news. */
START_TEST(a_verdict_is_news)
{
	struct mon_action a = { .kind = MON_VERDICT, .tunnel = tunnel(0)->id,
		.verdict = MON_V_DEAD, .reason = "no answer to 3 questions" };

	mon_does(a);
	ck_assert(logged("verdict connection=office tunnel=1", "no answer to 3 questions"));
	a.verdict = MON_V_DOWN;
	mon_does(a);
	ck_assert(!logged("verdict", NULL));
	a.verdict = MON_V_DEAD;
	a.tunnel = 0;
	mon_does(a);
	ck_assert(!logged("verdict", NULL));
	expect_said("", "");
}
END_TEST

/* All of both machines, however many, IKE's first; and who was dealt with is asked about its
 * counters again. */
START_TEST(a_round_ends_when_both_machines_are_silent)
{
	tap.mon[tap.mon_n++] = (struct mon_action){ .kind = MON_ASK, .tunnel = tunnel(3)->id };
	tap.mon[tap.mon_n++] = (struct mon_action){ .kind = MON_ASK, .tunnel = tunnel(0)->id };
	tap.ike[tap.ike_n++] = (struct ike_action){ .kind = IKE_ALIVE, .tunnel = tunnel(1)->id };
	tap.ike[tap.ike_n++] = (struct ike_action){ .kind = IKE_UP, .tunnel = tunnel(1)->id };
	sample_when(&tap.r.g, tap.now);
	ck_assert_ptr_null(tap.r.g.touched);
	(void)heard_of("");
	gw_drain(&tap.r.g, tap.now);
	expect_said("", "mon alive office/2\nmon up office/2\nike ask branch/2\nike ask office/1\n");
	ck_assert(tunnel(0)->c->touched && tunnel(2)->c->touched);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, tap_free);
	tcase_add_test(t, a_child_sa_is_accepted_first_and_used_later);
	tcase_add_test(t, another_suite_makes_another_mtu);
	tcase_add_test(t, what_was_never_lent_is_freed);
	tcase_add_test(t, a_child_sa_that_was_left_can_be_returned_to);
	tcase_add_test(t, one_that_is_on_its_way_back_is_lent_again);
	tcase_add_test(t, one_that_comes_back_after_its_end_is_freed);
	tcase_add_test(t, of_one_spi_twice_the_newer_is_meant);
	tcase_add_test(t, what_cannot_be_installed_leaves_nothing);
	tcase_add_test(t, a_peer_that_moved_is_followed);
	tcase_add_test(t, a_datagram_leaves_by_its_socket);
	tcase_add_test(t, up_and_down_are_told_and_kept);
	tcase_add_test(t, what_ike_hears_goes_to_the_monitor);
	tcase_add_test(t, a_job_is_always_done);
	tcase_add_test(t, a_question_goes_from_inside_to_inside);
	tcase_add_test(t, what_the_monitor_wants_of_ike_is_asked);
	tcase_add_test(t, a_choice_becomes_a_path);
	tcase_add_test(t, a_verdict_is_news);
	tcase_add_test(t, a_round_ends_when_both_machines_are_silent);
}

UNIT_MAIN("gateway/carry", fill)
