/* SPDX-License-Identifier: MIT */
#include "gateway/control.h"

#include "gateway/version.h"

#include "gateway_tap.h"

/* Each verb of the control socket: what it does, and what it answers to good and bad requests. */

static json_t *answer;

static void
setup(void)
{
	tap_new(tap_yaml);
	tap.here_n = -EINTR;			/* a reload learns nothing of uplinks */
	(void)heard_of("");
	answer = NULL;
}

static void
teardown(void)
{
	json_decref(answer);
	tap_free();
}

/* The form that every answer has: ok, schema, and a sentence where it is not well. */
static bool
ask(const char *request)
{
	json_t *q = json_loads(request, 0, NULL);
	bool ok;

	ck_assert_msg(q != NULL, "%s", request);
	json_decref(answer);
	answer = control_answer(&tap.r.g, q);
	json_decref(q);
	ck_assert_ptr_nonnull(answer);
	ok = json_is_true(json_object_get(answer, "ok"));
	ck_assert(ok || json_is_false(json_object_get(answer, "ok")));
	ck_assert_int_eq(json_integer_value(json_object_get(answer, "schema")), TANDEM_SCHEMA);
	ck_assert_msg(ok == (json_object_get(answer, "error") == NULL), "%s", request);
	return ok;
}

static const char *
text(const char *key)
{
	const char *s = json_string_value(json_object_get(answer, key));

	ck_assert_msg(s != NULL, "no \"%s\"", key);
	return s;
}

static void
refuses(const char *request, const char *why)
{
	ck_assert_msg(!ask(request), "%s", request);
	ck_assert_msg(strstr(text("error"), why) != NULL, "%s: %s", request, text("error"));
	expect_said("", "");
}

static void
does(const char *request, const char *what, const char *lines)
{
	ck_assert_msg(ask(request), "%s: %s", request, text("error"));
	ck_assert_str_eq(text("what"), what);
	expect_said("", lines);
}

/* What a target may be is the same for all four. */
START_TEST(a_target_is_a_connection_or_one_tunnel_of_it)
{
	static const char *const verb[] = { "up", "down", "rekey", "failover" };
	static const struct { const char *target, *why; } wrong[] = {
		{ "", "which connection?" },
		{ ", \"target\": 1", "which connection?" },
		{ ", \"target\": null", "which connection?" },
		{ ", \"target\": \"nobody\"", "no connection is named \"nobody\"" },
		{ ", \"target\": \"nobody/1\"", "no connection is named \"nobody\"" },
		{ ", \"target\": \"office/0\"",
		    "\"office\" has no tunnel \"0\"; they are numbered 1 to 2" },
		{ ", \"target\": \"office/3\"", "has no tunnel \"3\"" },
		{ ", \"target\": \"office/\"", "has no tunnel \"\"" },
		{ ", \"target\": \"office/+1\"", "has no tunnel \"+1\"" },
		{ ", \"target\": \"office/1/2\"", "no connection is named \"office/1\"" },
	};
	char request[200];

	for (size_t v = 0; v < sizeof(verb) / sizeof(verb[0]); v++) {
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			snprintf(request, sizeof(request), "{\"verb\": \"%s\"%s}", verb[v], wrong[i].target);
			refuses(request, wrong[i].why);
		}
	}
}
END_TEST

START_TEST(up_and_down_are_for_ike)
{
	does("{\"verb\": \"up\", \"target\": \"office\"}", "opening",
	    "ike open office/1\nike open office/2\n");
	does("{\"verb\": \"up\", \"target\": \"branch/2\"}", "opening", "ike open branch/2\n");
	does("{\"verb\": \"down\", \"target\": \"branch\"}", "closing",
	    "ike close branch/1\nike close branch/2\n");
	does("{\"verb\": \"down\", \"target\": \"office/1\"}", "closing", "ike close office/1\n");
}
END_TEST

/* The Child SA, or the IKE SA; where nothing is up there is nothing to rekey. */
START_TEST(a_rekey_is_of_what_is_up)
{
	tunnel(1)->up = true;
	does("{\"verb\": \"rekey\", \"target\": \"office/2\"}", "rekeying the Child SA",
	    "ike rekey office/2 child\n");
	does("{\"verb\": \"rekey\", \"target\": \"office/2\", \"ike\": true}", "rekeying the IKE SA",
	    "ike rekey office/2 ike\n");
	does("{\"verb\": \"rekey\", \"target\": \"office\", \"ike\": false}", "rekeying the Child SA",
	    "ike rekey office/1 child\nike rekey office/2 child\n");
	refuses("{\"verb\": \"rekey\", \"target\": \"office/1\"}",
	    "office/1 is down: there is nothing to rekey");
	refuses("{\"verb\": \"rekey\", \"target\": \"branch\"}", "branch is down");
}
END_TEST

/* By name, or away from the one that carries. */
START_TEST(failover_chooses_a_tunnel)
{
	struct gw_connection *c = tunnel(0)->c;

	tunnel(0)->up = tunnel(1)->up = true;
	memset(c->bucket, 0, sizeof(c->bucket));
	does("{\"verb\": \"failover\", \"target\": \"office\"}", "traffic goes by tunnel 2",
	    "mon choose office 2\n");
	memset(c->bucket, 1, sizeof(c->bucket));
	does("{\"verb\": \"failover\", \"target\": \"office\"}", "traffic goes by tunnel 1",
	    "mon choose office 1\n");
	does("{\"verb\": \"failover\", \"target\": \"office/2\"}", "traffic goes by tunnel 2",
	    "mon choose office 2\n");
	does("{\"verb\": \"failover\", \"target\": \"office\", \"auto\": true}",
	    "the policy decides again", "mon choose office 0\n");
}
END_TEST

START_TEST(failover_does_not_choose_what_does_not_carry)
{
	struct gw_tunnel *t = tunnel(1);

	snprintf(t->reason, sizeof(t->reason), "no answer from the peer");
	refuses("{\"verb\": \"failover\", \"target\": \"office/2\"}",
	    "tunnel 2 is down: no answer from the peer");
	t->up = tap.mon_known[1] = true;
	snprintf(tap.mon_status[1].reason, sizeof(tap.mon_status[1].reason), "no answer to 3");
	tap.mon_status[1].verdict = MON_V_DEAD;
	refuses("{\"verb\": \"failover\", \"target\": \"office/2\"}",
	    "tunnel 2 does not carry: no answer to 3");
	tap.mon_status[1].verdict = MON_V_UPLINK;
	refuses("{\"verb\": \"failover\", \"target\": \"office/2\"}", "does not carry");
	for (unsigned v = 0; v < 2; v++) {
		tap.mon_status[1].verdict = v == 0 ? MON_V_HELD : MON_V_ASKING;
		does("{\"verb\": \"failover\", \"target\": \"office/2\"}", "traffic goes by tunnel 2",
		    "mon choose office 2\n");
	}
	/* what the policy forbids is not done by hand; letting it decide is no change */
	((struct config_connection *)(uintptr_t)t->c->conf)->policy = MON_PINNED;
	refuses("{\"verb\": \"failover\", \"target\": \"office/2\"}",
	    "office is pinned to tunnel 1 by its policy");
	does("{\"verb\": \"failover\", \"target\": \"office\", \"auto\": true}",
	    "the policy decides again", "mon choose office 0\n");
}
END_TEST

START_TEST(a_reload_answers_with_all_it_found)
{
	does("{\"verb\": \"reload\"}", "nothing changed", "");
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "errors")), 0);
	ck_assert(json_is_array(json_object_get(answer, "warnings")));
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "warnings")), 0);
	rig_file(&tap.r, "tandem.yaml", "colour: red\nconnections:\n  a:\n    size: 1\n");
	refuses("{\"verb\": \"reload\"}", "has 4 mistakes; what was running goes on");
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "errors")), 4);
	ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(json_object_get(answer,
	    "errors"), 0)), "'colour' is not a key"));
	rig_file(&tap.r, "tandem.yaml", "colour: red\n");
	(void)ask("{\"verb\": \"reload\"}");
	tap.r.g.stopping = true;
	refuses("{\"verb\": \"reload\"}", "starting, stopping");
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "errors")), 0);
}
END_TEST

START_TEST(status_is_of_all_or_of_one)
{
	ck_assert(ask("{\"verb\": \"status\"}"));
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "connections")), 2);
	ck_assert(ask("{\"verb\": \"status\", \"target\": \"branch\"}"));
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "connections")), 1);
	refuses("{\"verb\": \"status\", \"target\": \"nobody\"}", "no connection is named \"nobody\"");
	refuses("{\"verb\": \"status\", \"target\": 1}", "\"target\" is the name of a connection");
	refuses("{\"verb\": \"status\", \"target\": null}", "\"target\" is the name");
}
END_TEST

START_TEST(the_version_is_told)
{
	ck_assert(ask("{\"verb\": \"version\"}"));
	ck_assert_str_eq(text("version"), TANDEM_VERSION);
	expect_said("", "");
}
END_TEST

START_TEST(other_verbs_are_refused)
{
	refuses("{\"verb\": \"dance\"}", "unknown verb \"dance\"");
	refuses("{\"verb\": \"STATUS\"}", "unknown verb");
	refuses("{\"verb\": \"status \"}", "unknown verb");
	refuses("{\"verb\": \"\"}", "unknown verb \"\"");
	refuses("{\"verb\": 1}", "unknown verb");
	refuses("{}", "unknown verb");
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_target_is_a_connection_or_one_tunnel_of_it);
	tcase_add_test(t, up_and_down_are_for_ike);
	tcase_add_test(t, a_rekey_is_of_what_is_up);
	tcase_add_test(t, failover_chooses_a_tunnel);
	tcase_add_test(t, failover_does_not_choose_what_does_not_carry);
	tcase_add_test(t, a_reload_answers_with_all_it_found);
	tcase_add_test(t, status_is_of_all_or_of_one);
	tcase_add_test(t, the_version_is_told);
	tcase_add_test(t, other_verbs_are_refused);
}

UNIT_MAIN("gateway/commands", fill)
