/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <string.h>

#include "base/log.h"
#include "tests/unit/unit.h"

/* Tunnel 1 with ends that differ: a test changes one before both are set. */
struct ends {
	struct ike_tunnel c[2];
};

static struct ends
ends(const struct world *w)
{
	struct ends e = { { world_conf(w, 0, 1, 1), world_conf(w, 1, 1, 0) } };

	e.c[1].start = false;
	return e;
}

static void
set(struct world *w, const struct ends *e)
{
	world_set(w, 1, &e->c[1]);
	world_set(w, 0, &e->c[0]);
}

/* The log of a test, to see that a failure is told with what a person needs. */
static char lines[1 << 16];

static void
sink(void *arg, enum log_level level, const char *line)
{
	size_t n = strlen(lines);

	(void)arg;
	(void)level;
	if (n + strlen(line) + 2 < sizeof(lines)) {
		strcat(lines, line);
		strcat(lines, "\n");
	}
}

static void
listen_log(void)
{
	lines[0] = '\0';
	log_level_set(LOG_LEVEL_INFO);
	log_to(sink, NULL);
}

static void
check_told(const char *what)
{
	ck_assert_msg(strstr(lines, what) != NULL, "no \"%s\" in the log:\n%s", what, lines);
}

/* Neither end has anything, and the initiator keeps trying with growing pauses. */
static void
check_refused(struct world *w)
{
	uint64_t sent;

	for (unsigned g = 0; g < 2; g++) {
		ck_assert_uint_eq(w->gate[g].installed, w->gate[g].dropped);
		ck_assert_uint_eq(w->gate[g].out[1], 0);
	}
	sent = w->gate[0].sent;
	world_run(w, USEC_S(600));
	ck_assert_uint_gt(w->gate[0].sent, sent);
	ck_assert_uint_le(gate_totals(&w->gate[1]).ike_sas, 1);
	ck_assert_uint_le(gate_totals(&w->gate[1]).half_open, 1);
}

START_TEST(another_key_is_refused)
{
	struct world w;
	struct ends e;

	world_init(&w, 1, 2);
	listen_log();
	e = ends(&w);
	e.c[1].psk = (const uint8_t *)"a secret of none";
	set(&w, &e);
	world_run(&w, USEC_S(30));
	check_refused(&w);
	ck_assert_uint_ge(gate_totals(&w.gate[1]).auth_failed, 5);
	ck_assert_uint_ge(gate_totals(&w.gate[0]).openings_failed, 5);
	ck_assert_uint_eq(gate_totals(&w.gate[0]).unanswered, 0);
	check_told("auth-failed");
	check_told("psk-file");
	ck_assert(strstr(lines, "a secret of") == NULL);
	ck_assert_ptr_nonnull(strstr(gate_status(&w.gate[0], 1)->reason, "AUTHENTICATION_FAILED"));
	/* The right key, at last. */
	e.c[1].psk = e.c[0].psk;
	world_set(&w, 1, &e.c[1]);
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(90)));
	world_fini(&w);
}
END_TEST

static const struct ike_id other = { .type = ID_FQDN, .len = 5, .data = "other" };

/* Who says it is somebody else, or asks for somebody else, is refused, by either end. */
START_TEST(another_identity_is_refused)
{
	struct world w;
	struct ends e;

	world_init(&w, 2, 2);
	listen_log();
	e = ends(&w);
	switch (_i) {
	case 0:
		e.c[0].local_id = other;
		break;
	case 1:
		e.c[1].remote_id = other;
		break;
	case 2:
		e.c[0].remote_id = other;
		break;
	default:
		e.c[1].local_id = other;
		break;
	}
	set(&w, &e);
	world_run(&w, USEC_S(30));
	check_refused(&w);
	check_told("auth-failed");
	check_told("other");
	check_told("192.0.2.");
	check_told("remote-id");
	world_fini(&w);
}
END_TEST

START_TEST(nothing_in_common_for_ike)
{
	struct world w;
	struct ends e;

	world_init(&w, 3, 2);
	listen_log();
	e = ends(&w);
	e.c[1].ike[0] = (struct ike_suite){ AEAD_AES_CBC_128_HMAC_SHA2_256, PRF_HMAC_SHA2_384,
	    KE_ECP_384 };
	set(&w, &e);
	world_run(&w, USEC_S(5));
	check_refused(&w);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).ike_sas, 0);
	check_told("NO_PROPOSAL_CHOSEN");
	check_told("offered=\"aes256gcm16-prfsha256-curve25519\"");
	check_told("accepted=\"aes128-sha256-prfsha384-ecp384\"");
	check_told("option=ike");
	world_fini(&w);
}
END_TEST

START_TEST(nothing_in_common_for_esp)
{
	struct world w;
	struct ends e;

	world_init(&w, 4, 2);
	listen_log();
	e = ends(&w);
	e.c[1].esp[0].enc = AEAD_AES_GCM_16_128;
	set(&w, &e);
	world_run(&w, USEC_S(30));
	check_refused(&w);
	check_told("child-no-proposal");
	check_told("accepted=\"aes128gcm16");
	check_told("option=esp");
	world_fini(&w);
}
END_TEST

static struct ts_list
nets(const char *a, const char *b)
{
	struct ts_list l = { .n = 1 };
	struct prefix p;

	ck_assert(prefix_parse(a, true, &p));
	l.ts[0] = ts_from_prefix(&p);
	if (b != NULL) {
		ck_assert(prefix_parse(b, true, &p));
		l.ts[l.n++] = ts_from_prefix(&p);
	}
	return l;
}

START_TEST(nothing_in_common_of_networks)
{
	struct world w;
	struct ends e;

	world_init(&w, 5, 2);
	listen_log();
	e = ends(&w);
	e.c[0].ts_remote = nets("10.2.0.0/16", NULL);
	e.c[1].ts_local = nets("10.3.0.0/16", NULL);
	set(&w, &e);
	world_run(&w, USEC_S(30));
	check_refused(&w);
	check_told("TS_UNACCEPTABLE");
	check_told("10.2.0.0/16");
	check_told("10.3.0.0/16");
	check_told("option=networks");
	world_fini(&w);
}
END_TEST

/* Both ends come to what both allow, whoever asks for more. */
START_TEST(selectors_are_narrowed)
{
	struct ts_list l;
	struct world w;
	struct ends e;

	world_init(&w, 6, 2);
	e = ends(&w);
	e.c[_i].ts_local = nets("10.1.0.0/16", "2001:db8::/32");
	e.c[1 - _i].ts_local = nets("10.2.0.0/16", "10.9.0.0/16");
	e.c[_i].ts_remote = nets("10.2.3.0/24", NULL);
	set(&w, &e);
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
	l = nets("10.2.3.0/24", NULL);
	ck_assert(ts_list_equal(&gate_status(&w.gate[_i], 1)->ts_remote, &l));
	ck_assert(ts_list_equal(&gate_status(&w.gate[1 - _i], 1)->ts_local, &l));
	l = nets("10.1.0.0/16", NULL);
	ck_assert(ts_list_equal(&gate_status(&w.gate[_i], 1)->ts_local, &l));
	world_tell(&w, _i, IKE_REKEY, 1);
	world_run(&w, USEC_S(2));
	ck_assert(world_agree(&w, 1));
	ck_assert(ts_list_equal(&gate_status(&w.gate[_i], 1)->ts_local, &l));
	world_fini(&w);
}
END_TEST

/* The responder wants another group than the one that was guessed: here and at rekeys. */
START_TEST(another_group_is_agreed)
{
	struct world w;
	struct ends e;

	world_init(&w, 7, 2);
	w.work_max = USEC_MS(30);
	e = ends(&w);
	e.c[0].ike_n = e.c[0].esp_n = 2;
	e.c[0].ike[1] = e.c[0].ike[0];
	e.c[0].ike[1].group = e.c[1].ike[0].group = KE_ECP_256;
	e.c[0].esp[1] = e.c[0].esp[0];
	e.c[0].esp[1].group = e.c[1].esp[0].group = KE_ECP_384;
	set(&w, &e);
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->ike.group, KE_ECP_256);
	ck_assert_uint_eq(w.gate[0].sent, 3);
	world_tell(&w, 0, IKE_REKEY, 1);
	world_run(&w, USEC_S(2));
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->esp.group, KE_ECP_384);
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->child_rekeys, 1);
	e.c[0].ike[1].group = e.c[1].ike[0].group = KE_ECP_384;
	world_set(&w, 1, &e.c[1]);
	world_set(&w, 0, &e.c[0]);
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1, .ike_sa = true });
	world_run(&w, USEC_S(2));
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->ike.group, KE_ECP_384);
	ck_assert_uint_eq(gate_status(&w.gate[0], 1)->ike_rekeys, 1);
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_eq(w.gate[0].downs, 0);
	world_fini(&w);
}
END_TEST

/* Several tunnels of one pair of identities differ in addresses; secrets go with both. */
START_TEST(tunnels_are_told_apart)
{
	struct world w;

	world_init(&w, 8, 2);
	for (uint32_t id = 1; id <= 2; id++)
		for (unsigned g = 0; g < 2; g++) {
			struct ike_tunnel c = world_conf(&w, g, id, 1 - g);

			c.local_id = (struct ike_id){ ID_FQDN, 1, { (uint8_t)('a' + g) } };
			c.remote_id = (struct ike_id){ ID_FQDN, 1, { (uint8_t)('b' - g) } };
			c.start = g == 0;
			if (id == 2)
				c.psk = (const uint8_t *)"another secret!!";
			world_set(&w, g, &c);
		}
	world_run(&w, USEC_S(5));
	ck_assert(world_agree(&w, 1));
	ck_assert(world_agree(&w, 2));
	ck_assert_uint_eq(gate_totals(&w.gate[1]).ike_sas, 2);
	world_fini(&w);
}
END_TEST

/* With `remote: any` the peer is found by its identity, and gets its own secret. */
START_TEST(anybody_is_known_by_identity)
{
	struct world w;

	world_init(&w, 9, 3);
	for (unsigned g = 0; g < 2; g++) {
		struct ike_tunnel c = world_conf(&w, 2, g + 1, g);
		struct ike_tunnel far = world_conf(&w, g, g + 1, 2);

		c.remote = (struct ip){ .family = AF_UNSPEC };
		c.local = (struct ip){ .family = AF_UNSPEC };
		c.local_id = far.remote_id = (struct ike_id){ ID_FQDN, 3, "hub" };
		c.remote_id = far.local_id = (struct ike_id){ ID_KEY_ID, 2,
		    { 's', (uint8_t)('0' + g) } };
		far.psk = c.psk = (const uint8_t *)(g == 0 ? "first secret of a" : "other secret of b");
		far.remote = w.gate[2].ip;
		far.local = w.gate[g].ip;
		world_set(&w, 2, &c);
		world_set(&w, g, &far);
	}
	world_run(&w, USEC_S(3));
	ck_assert(w.gate[2].up[1] && w.gate[2].up[2]);
	ck_assert(w.gate[0].up[1] && w.gate[1].up[2]);
	ck_assert_uint_eq(gate_status(&w.gate[2], 2)->peer_id.data[1], '1');
	ck_assert(ip_equal(&gate_status(&w.gate[2], 2)->remote.ip, &w.gate[1].ip));
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, another_key_is_refused);
	tcase_add_loop_test(tc, another_identity_is_refused, 0, 4);
	tcase_add_test(tc, nothing_in_common_for_ike);
	tcase_add_test(tc, nothing_in_common_for_esp);
	tcase_add_test(tc, nothing_in_common_of_networks);
	tcase_add_loop_test(tc, selectors_are_narrowed, 0, 2);
	tcase_add_test(tc, another_group_is_agreed);
	tcase_add_test(tc, tunnels_are_told_apart);
	tcase_add_test(tc, anybody_is_known_by_identity);
}

UNIT_MAIN("sim/negotiate", fill)
