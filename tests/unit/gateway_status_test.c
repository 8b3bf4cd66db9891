/* SPDX-License-Identifier: MIT */
#include "gateway/status.h"

#include "gateway/findings.h"
#include "gateway/version.h"

#include "gateway_tap.h"

/* The JSON of states that the test makes: every field with its value, null where it is not known.
 * Fields may be added; one that goes, or changes its meaning, is another schema. */

static json_t *status;

static void
setup(void)
{
	tap_new(tap_yaml);
	tap.now += USEC_S(60);
	status = NULL;
}

static void
teardown(void)
{
	json_decref(status);
	tap_free();
}

static void
look(const char *only)
{
	json_decref(status);
	status = status_json(&tap.r.g, only);
	ck_assert_ptr_nonnull(status);
}

static json_t *
connection(unsigned i)
{
	return json_array_get(json_object_get(status, "connections"), i);
}

static json_t *
tunnel_of(unsigned i, unsigned k)
{
	return json_array_get(json_object_get(connection(i), "tunnels"), k);
}

/* Each field of `want` is there with its value. */
static void
is(const json_t *o, const char *want)
{
	json_error_t err;
	json_t *w = json_loads(want, 0, &err), *v;
	const char *key;

	ck_assert_msg(w != NULL, "%s: %s", err.text, want);
	json_object_foreach(w, key, v) {
		const json_t *got = json_object_get(o, key);
		char *text = got != NULL ? json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT) :
		    strdup("missing");

		ck_assert_msg(got != NULL && json_equal(got, v), "%s is %s", key, text);
		free(text);
	}
	json_decref(w);
}

/* ---- the whole ---------------------------------------------------------------------------- */

START_TEST(the_top_says_who_and_how)
{
	char want[400];

	tap.totals = (struct ike_totals){ .ike_sas = 1, .child_sas = 2, .half_open = 3, .jobs = 4,
	    .datagrams_in = 5, .datagrams_out = 6, .retransmits = 7, .cookies_sent = 8, .dropped = 9,
	    .auth_failed = 10 };
	tap.stats = (struct esp_stats){ .out_packets = 11, .out_made = 12, .out_sent = 13,
	    .in_packets = 14, .in_made = 15, .in_delivered = 16, .in_answered = 17,
	    .drop[DROP_IN_REPLAY] = 18 };
	look(NULL);
	snprintf(want, sizeof(want), "{\"ok\": true, \"schema\": %d, \"version\": \"%s\","
	    "\"uptime_s\": 60.0, \"state\": \"down\", \"netns\": %lld, \"secrets_locked\": %s}",
	    TANDEM_SCHEMA, TANDEM_VERSION, (long long)findings_netns(),
	    secrets_locked(tap.r.g.secrets) ? "true" : "false");
	is(status, want);
	is(json_object_get(status, "ike"), "{\"ike_sas\": 1, \"child_sas\": 2, \"half_open\": 3,"
	    "\"jobs\": 4, \"datagrams_in\": 5, \"datagrams_out\": 6, \"retransmits\": 7,"
	    "\"cookies\": 8, \"dropped\": 9, \"auth_failed\": 10}");
	is(json_object_get(status, "packets"), "{\"out\": 11, \"out_made\": 12, \"out_sent\": 13,"
	    "\"in\": 14, \"in_made\": 15, \"in_delivered\": 16, \"in_answered\": 17}");
	is(json_object_get(status, "drops"), "{\"in-replay\": 18}");	/* no zeros */
	ck_assert_uint_gt(findings_netns(), 0);
}
END_TEST

/* Element i counts what is from 2^i below 2^(i+1); zeros at the end are left out. */
START_TEST(batches_are_as_long_as_they_need)
{
	tap.batches.send[0] = 5;
	tap.batches.send[3] = 6;
	tap.batches.recv[WORKER_BUCKETS - 1] = 7;
	tap.batches.write[1] = 8;
	tap.batches.refused = 9;
	look(NULL);
	is(json_object_get(status, "batches"), "{\"datagrams_sent\": [5, 0, 0, 6],"
	    "\"datagrams_received\": [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,7],"
	    "\"bytes_read\": [], \"bytes_written\": [0, 8], \"trains_refused\": 9}");
}
END_TEST

/* Each cipher by its name, with the library that does it. */
START_TEST(ciphers_name_their_library)
{
	const json_t *o, *v;

	look(NULL);
	o = json_object_get(status, "ciphers");
	ck_assert_uint_eq(json_object_size(o), AEAD_N - AEAD_NONE - 1);
	for (unsigned id = AEAD_NONE + 1; id < AEAD_N; id++) {
		v = json_object_get(o, aead_info((enum aead_id)id)->name);
		ck_assert_str_eq(json_string_value(v),
		    aead_set_provider(tap.r.g.aeads, (enum aead_id)id));
	}
}
END_TEST

START_TEST(a_name_selects_one)
{
	look("branch");
	ck_assert_uint_eq(json_array_size(json_object_get(status, "connections")), 1);
	is(connection(0), "{\"name\": \"branch\"}");
	look("nobody");
	ck_assert_uint_eq(json_array_size(json_object_get(status, "connections")), 0);
}
END_TEST

/* ---- a connection ------------------------------------------------------------------------- */

START_TEST(a_connection_that_has_not_moved)
{
	look(NULL);
	is(connection(0), "{\"name\": \"office\", \"state\": \"down\", \"device\": \"td-office\","
	    "\"mtu\": 1438, \"policy\": \"active-standby\", \"networks\": [\"10.20.0.0/16\"],"
	    "\"why\": \"\", \"failovers\": 0, \"last_failover_s\": null}");
	ck_assert_uint_eq(json_array_size(json_object_get(connection(0), "tunnels")), 2);
}
END_TEST

START_TEST(a_connection_that_has)
{
	struct gw_connection *c = tunnel(2)->c;
	struct config_connection *conf = (struct config_connection *)(uintptr_t)c->conf;

	strcpy(c->why, "tunnel 1: dead \xff");		/* words of a peer: not UTF-8 */
	tap.moves = 3;
	tap.moved_at = tap.now - USEC_MS(2500);
	conf->policy = MON_ACTIVE_ACTIVE;
	look(NULL);
	is(connection(1), "{\"why\": \"tunnel 1: dead ?\", \"failovers\": 3, \"last_failover_s\": 2.5,"
	    "\"policy\": \"active-active\"}");
	conf->policy = MON_PINNED;
	look(NULL);
	ck_assert_str_eq(json_string_value(json_object_get(connection(1), "policy")), "pinned");
}
END_TEST

static const char *
state_of(int i)
{
	look(NULL);
	return json_string_value(json_object_get(i < 0 ? status : connection((unsigned)i), "state"));
}

/* Up: all tunnels work.  Degraded: it carries traffic, not by all.  Down: it carries none. */
START_TEST(health_is_what_is_carried)
{
	struct gw *g = &tap.r.g;

	for (unsigned i = 0; i < 4; i++)
		tunnel(i)->up = true;
	ck_assert_str_eq(state_of(0), "down");		/* nobody has been chosen to carry */
	memset(g->connections->bucket, 0, ESP_BUCKETS);
	memset(g->connections->next->bucket, 1, ESP_BUCKETS);
	ck_assert_str_eq(state_of(0), "up");
	ck_assert_str_eq(state_of(-1), "up");
	tunnel(3)->up = false;
	ck_assert_str_eq(state_of(1), "degraded");
	ck_assert_str_eq(state_of(0), "up");
	ck_assert_str_eq(state_of(-1), "degraded");
	/* an IKE SA outlives the path below it: what the monitor found dead does not work */
	tap.mon_known[0] = true;
	for (unsigned v = MON_V_DOWN; v <= MON_V_UPLINK; v++) {
		tap.mon_status[0].verdict = (enum mon_verdict)v;
		ck_assert_str_eq(state_of(0), v == MON_V_DEAD || v == MON_V_UPLINK ? "degraded" : "up");
	}
	tap.mon_status[0].verdict = MON_V_DEAD;
	tunnel(1)->up = false;
	ck_assert_str_eq(state_of(0), "down");
	ck_assert_str_eq(state_of(-1), "down");
	tap.mon_status[0].verdict = MON_V_UP;
	tunnel(1)->up = tunnel(3)->up = true;
	ck_assert_str_eq(state_of(-1), "up");
}
END_TEST

/* ---- a tunnel ----------------------------------------------------------------------------- */

/* Nothing is known but what is configured. */
START_TEST(a_tunnel_of_which_nothing_is_known)
{
	look(NULL);
	is(tunnel_of(0, 1), "{\"name\": \"office/2\", \"index\": 2, \"state\": \"down\","
	    "\"since_s\": 60.0, \"live\": false, \"local\": \"192.0.2.2\","
	    "\"remote\": \"203.0.113.12\", \"remote_ip\": \"203.0.113.12\","
	    "\"inside_local\": \"169.254.1.5\", \"inside_peer\": \"169.254.1.6\","
	    "\"inside_local6\": null, \"inside_peer6\": null, \"address_present\": true,"
	    "\"carrier\": true, \"outer_mtu\": 0, \"reason\": \"\","
	    "\"packets_out\": 0, \"bytes_out\": 0, \"packets_in\": 0, \"bytes_in\": 0, \"drops\": 0,"
	    "\"last_in_s\": null, \"last_out_s\": null}");
}
END_TEST

static void
established(unsigned i)
{
	struct ike_status *st = &tap.ike_status[i];
	char why[80];

	tap.ike_known[i] = tunnel(i)->up = true;
	tunnel(i)->local = endpoint_of("192.0.2.1", 4500);
	tunnel(i)->remote = endpoint_of("2001:db8::9", 1024);
	*st = (struct ike_status){ .state = "up", .up = true, .initiator = true, .nat_remote = true,
	    .peer_is_tandem = true, .spi_i = 0x0123456789abcdef, .spi_r = 0x10, .child_spi_in = 0xab,
	    .child_spi_out = 0xcd00, .ike_since = tap.now - USEC_S(50),
	    .child_since = tap.now - USEC_S(5), .ike_rekey_at = tap.now + USEC_S(100),
	    .child_rekey_at = tap.now - 1, .next_try_at = tap.now + USEC_S(9), .ike_rekeys = 3,
	    .child_rekeys = 4, .attempts = 5 };
	ck_assert(ike_suite_parse("aes256gcm16-prfsha384-ecp384", &st->ike, why, sizeof(why)));
	ck_assert(esp_suite_parse("aes256gcm16", &st->esp, why, sizeof(why)));
	st->esp.esn = true;
	st->ts_local.n = 1;
	st->ts_local.ts[0] = ts_from_prefix(&(struct prefix){ ip_of("10.1.0.0"), 16 });
	st->ts_remote.n = 2;
	st->ts_remote.ts[0] = ts_from_prefix(&(struct prefix){ ip_of("10.20.0.0"), 16 });
	st->ts_remote.ts[1] = ts_from_prefix(&(struct prefix){ ip_of("fd20::"), 32 });
}

START_TEST(a_tunnel_that_is_up)
{
	established(0);
	memset(tunnel(0)->c->bucket, 0, ESP_BUCKETS);
	tunnel(0)->outer_mtu = 1500;
	tunnel(0)->since = tap.now - USEC_S(5);
	tap.counted[0] = true;
	tap.traffic[0] = (struct esp_tunnel_stats){ .out_packets = 1, .out_bytes = 2, .in_packets = 3,
	    .in_bytes = 4, .drops = 5, .last_in = tap.now - USEC_MS(250), .last_out = tap.now + 9 };
	look(NULL);
	is(tunnel_of(0, 0), "{\"state\": \"up\", \"since_s\": 5.0, \"live\": true,"
	    "\"local\": \"192.0.2.1:4500\", \"remote\": \"[2001:db8::9]:1024\","
	    "\"remote_ip\": \"203.0.113.11\", \"outer_mtu\": 1500, \"reason\": \"\","
	    "\"ike_state\": \"up\", \"initiator\": true, \"peer_is_tandem\": true,"
	    "\"nat_local\": false, \"nat_remote\": true, \"ike_spi_i\": \"0123456789abcdef\","
	    "\"ike_spi_r\": \"0000000000000010\", \"spi_in\": \"000000ab\","
	    "\"spi_out\": \"0000cd00\", \"ike_rekeys\": 3, \"rekeys\": 4, \"attempts\": 5,"
	    "\"ike_since_s\": 50.0, \"child_since_s\": 5.0, \"ike_rekey_in_s\": 100.0,"
	    "\"rekey_in_s\": 0.0, \"next_try_in_s\": null,"
	    "\"ike\": \"aes256gcm16-prfsha384-ecp384\", \"esp\": \"aes256gcm16\", \"esn\": true,"
	    "\"selectors_local\": [\"10.1.0.0/16\"],"
	    "\"selectors_remote\": [\"10.20.0.0/16\", \"fd20::/32\"],"
	    "\"packets_out\": 1, \"bytes_out\": 2, \"packets_in\": 3, \"bytes_in\": 4, \"drops\": 5,"
	    "\"last_in_s\": 0.25, \"last_out_s\": null}");
}
END_TEST

/* Whatever the last attempt met; before the first, what IKE is at; and a missing address explains
 * all of it. */
START_TEST(a_tunnel_that_is_down_says_why)
{
	static const struct { const char *state, *why; } at[] = {
		{ "connecting", "opening; no answer from the peer yet" },
		{ "waiting", "waiting for the peer to open (mode: add)" },
		{ "authenticating", "authenticating" },
	};
	struct ike_status *st = &tap.ike_status[0];

	tap.ike_known[0] = true;
	st->next_try_at = tap.now + USEC_MS(1500);
	st->esp.esn = true;			/* of the Child SA that was */
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		st->state = at[i].state;
		look(NULL);
		ck_assert_str_eq(json_string_value(json_object_get(tunnel_of(0, 0), "reason")), at[i].why);
	}
	strcpy(st->reason, "no common suite");
	look(NULL);
	is(tunnel_of(0, 0), "{\"state\": \"down\", \"reason\": \"no common suite\","
	    "\"ike_state\": \"authenticating\", \"next_try_in_s\": 1.5, \"ike\": null, \"esp\": null,"
	    "\"esn\": false, \"ike_spi_i\": null, \"ike_spi_r\": null, \"spi_in\": null,"
	    "\"spi_out\": null, \"ike_since_s\": null, \"child_since_s\": null,"
	    "\"ike_rekey_in_s\": null, \"rekey_in_s\": null, \"selectors_local\": [],"
	    "\"selectors_remote\": []}");
	tunnel(0)->present = tunnel(0)->carrier = false;
	st->next_try_at = USEC_NEVER;
	look(NULL);
	ck_assert_str_eq(json_string_value(json_object_get(tunnel_of(0, 0), "reason")),
	    "waiting for its outside address and a route to the peer");
	ck_assert(json_is_false(json_object_get(tunnel_of(0, 0), "address_present")));
	ck_assert(json_is_false(json_object_get(tunnel_of(0, 0), "carrier")));
	ck_assert(json_is_null(json_object_get(tunnel_of(0, 0), "next_try_in_s")));
}
END_TEST

START_TEST(the_monitor_gives_its_verdict)
{
	struct mon_status *m = &tap.mon_status[0];

	look(NULL);				/* it does not watch it: no word of it */
	ck_assert_ptr_null(json_object_get(tunnel_of(0, 0), "verdict"));
	tap.mon_known[0] = true;
	*m = (struct mon_status){ .verdict = MON_V_UP };	/* no question has been asked yet */
	look(NULL);
	is(tunnel_of(0, 0), "{\"verdict\": \"up\", \"verdict_since_s\": null, \"verdict_reason\": \"\","
	    "\"judged_by\": \"ike\", \"rtt_ms\": null, \"jitter_ms\": null, \"loss_percent\": null,"
	    "\"last_heard_s\": null}");
	*m = (struct mon_status){ .verdict = MON_V_HELD, .since = tap.now - USEC_S(2), .by_echo = true,
	    .rtt = 12500, .jitter = 500, .loss_permille = 15, .asked = 7,
	    .last_heard = tap.now - USEC_MS(125), .reason = "well again" };
	look(NULL);
	is(tunnel_of(0, 0), "{\"verdict\": \"held\", \"verdict_since_s\": 2.0,"
	    "\"verdict_reason\": \"well again\", \"judged_by\": \"echo\", \"rtt_ms\": 12.5,"
	    "\"jitter_ms\": 0.5, \"loss_percent\": 1.5, \"last_heard_s\": 0.125}");
	m->asked = 0;
	m->loss_permille = 0;
	m->rtt = 0;
	look(NULL);
	ck_assert(json_is_null(json_object_get(tunnel_of(0, 0), "jitter_ms")));
	ck_assert(json_is_null(json_object_get(tunnel_of(0, 0), "loss_percent")));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_top_says_who_and_how);
	tcase_add_test(t, batches_are_as_long_as_they_need);
	tcase_add_test(t, ciphers_name_their_library);
	tcase_add_test(t, a_name_selects_one);
	tcase_add_test(t, a_connection_that_has_not_moved);
	tcase_add_test(t, a_connection_that_has);
	tcase_add_test(t, health_is_what_is_carried);
	tcase_add_test(t, a_tunnel_of_which_nothing_is_known);
	tcase_add_test(t, a_tunnel_that_is_up);
	tcase_add_test(t, a_tunnel_that_is_down_says_why);
	tcase_add_test(t, the_monitor_gives_its_verdict);
}

UNIT_MAIN("gateway/status", fill)
