/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/broker.h"
#include "gateway/broker_claim.h"
#include "gateway/broker_record.h"

#include "broker_rig.h"
#include "tun_ns.h"

/* What the broker remembers, and what it undoes: guards and sysctls, in a namespace of its own.
 * Devices are in tests/netns/broker_test.c. */

START_TEST(the_record_knows_what_is_the_same)
{
	struct record r = { .state = "/nonexistent/state" };
	struct host_request tun = request(HOST_TUN_OPEN, "td0");
	struct host_request via = route("10.0.0.0/8", "td0", false);
	struct host_request guard = route("10.0.0.0/8", "", true), udp = request(HOST_UDP_OPEN, "td0");
	struct record_object *x;
	int fds[2];

	udp.local = (struct endpoint){ .ip.family = AF_INET, .port = 500 };
	guard.metric = HOST_GUARD_METRIC;
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert(record_room(&r, true));
	record_add(&r, &tun, fds[0], true);
	record_add(&r, &via, -1, true);
	record_add(&r, &guard, -1, true);
	record_add(&r, &udp, fds[1], true);
	ck_assert_uint_eq(r.fds, 2);
	x = record_device(&r, "td0\0\0\0\0\0\0\0\0\0\0\0\0");
	ck_assert_ptr_nonnull(x);
	ck_assert_int_eq(x->fd, fds[0]);
	ck_assert_ptr_nonnull(record_find(&r, &guard, HOST_ROUTE_ADD));
	guard.prefix.len = 9;
	ck_assert_ptr_null(record_find(&r, &guard, HOST_ROUTE_ADD));
	via.metric = 1;
	ck_assert_ptr_null(record_find(&r, &via, HOST_ROUTE_ADD));
	record_forget_device(&r, x->what.name);
	ck_assert_uint_eq(r.n, 2);		/* the guard and the socket stay */
	ck_assert_uint_eq(r.fds, 1);
	ck_assert_int_ne(close(fds[0]), 0);	/* it was closed */
	record_fini(&r);
	ck_assert_int_ne(close(fds[1]), 0);
}
END_TEST

/* A look that failed is not "none left": the names would be asked for while they are held. */
START_TEST(a_failed_look_is_not_none_left)
{
	struct record r;
	char one[IFNAMSIZ];

	ck_assert_int_eq(record_init(&r, "/nonexistent/state"), 0);
	ck_assert_int_ge(record_leftovers(&r, one), 0);
	close(nl_fd(r.nl));
	ck_assert_int_eq(record_leftovers(&r, one), -EBADF);
	record_fini(&r);
}
END_TEST

static char said[LOG_LINE_MAX];

static void
listen_to(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	snprintf(said, sizeof(said), "%s", line);
}

/* What could not be undone is named as what it was, not as what stands in its place since. */
START_TEST(what_is_not_undone_is_named)
{
	struct host_request guard = route("10.0.0.0/8", "", true), udp = request(HOST_UDP_OPEN, "");
	struct record r;

	ck_assert_int_eq(record_init(&r, "/nonexistent/state"), 0);
	close(nl_fd(r.nl));
	ck_assert(record_room(&r, false));
	record_add(&r, &guard, -1, false);
	record_add(&r, &udp, -1, true);
	log_to(listen_to, NULL);
	log_level_set(LOG_LEVEL_WARN);
	record_sweep(&r);
	log_to(NULL, NULL);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_msg(strstr(said, "not-undone object=guard") != NULL, "%s", said);
	record_fini(&r);
}
END_TEST

/* As long as devices go they are waited for; when none has for the whole patience, no more. */
START_TEST(progress_is_waited_for)
{
	usec_t now = USEC_S(5), begin = now;
	struct record_wait w = { .since = now };

	for (int left = 600; left > 30; left -= 10) {
		ck_assert_msg(record_wait(&w, left, now), "%d left", left);
		now = usec_add(now, USEC_MS(900));
	}
	ck_assert_uint_gt(now - begin, 4 * BROKER_DEVICE_PATIENCE);
	ck_assert(record_wait(&w, 30, now));
	begin = now;
	ck_assert(record_wait(&w, 31, usec_add(begin, BROKER_DEVICE_PATIENCE - 2)));
	ck_assert(record_wait(&w, -EINTR, usec_add(begin, BROKER_DEVICE_PATIENCE - 1)));
	ck_assert(!record_wait(&w, 30, usec_add(begin, BROKER_DEVICE_PATIENCE)));
	ck_assert(!record_wait(&w, -EINTR, usec_add(begin, BROKER_DEVICE_PATIENCE)));
	ck_assert(!record_wait(&w, 0, begin));
}
END_TEST

START_TEST(there_is_a_quota)
{
	struct record r = { .state = "/nonexistent/state" };
	struct host_request q = request(HOST_UDP_OPEN, "");

	for (unsigned i = 0; i < RECORD_MAX; i++) {
		ck_assert(record_room(&r, false));
		q.local.port = (uint16_t)i;
		(void)record_add(&r, &q, -1, false);
	}
	ck_assert(!record_room(&r, false));
	record_forget(&r, &r.obj[5]);
	ck_assert(record_room(&r, false));
	ck_assert_uint_eq(r.obj[5].what.local.port, RECORD_MAX - 1);	/* the last took its place */
	r.fds = RECORD_FDS_MAX;
	ck_assert(record_room(&r, false) && !record_room(&r, true));
	record_fini(&r);
}
END_TEST

static void
make_guard(struct record *r, const char *to, bool kept)
{
	struct host_request q = route(to, "", true);
	struct nl_route as;

	q.metric = HOST_GUARD_METRIC;
	q.keep_guards = kept;
	as = record_route(&q);
	ck_assert_uint_eq(as.protocol, HOST_ROUTE_PROTO);
	ck_assert_int_eq(nl_route(r->nl, true, &as), 0);
	ck_assert(record_room(r, false));
	(void)record_add(r, &q, -1, true);
}

static int
guards(struct record *r)
{
	struct nl_route list[8];

	return nl_route_list(r->nl, HOST_ROUTE_PROTO, list, 8);
}

static void
set_sysctl(struct record *r, enum host_sysctl which, const char *name, int value)
{
	struct host_request q = request(HOST_SYSCTL_SET, name);
	int was;

	q.sysctl = which;
	q.value = value;
	ck_assert_int_eq(sysctl_read(which, name, &was), 0);
	ck_assert_int_eq(sysctl_write(which, name, value), 0);
	ck_assert(record_room(r, false));
	record_add(r, &q, -1, true)->was = was;
}

static int
sysctl_of(enum host_sysctl which, const char *name)
{
	int value = -1;

	ck_assert_int_eq(sysctl_read(which, name, &value), 0);
	return value;
}

/* A new engine asks again for what it wants; the rest goes when it is ready. */
START_TEST(what_is_not_wanted_any_more_is_undone)
{
	struct record r;

	if (!own_netns())
		return;
	ck_assert_int_eq(record_init(&r, file), 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_FORWARD4, "", 0), 0);
	make_guard(&r, "10.7.0.0/16", false);
	make_guard(&r, "10.8.0.0/16", false);
	set_sysctl(&r, HOST_SYSCTL_FORWARD4, "", 1);
	record_sweep(&r);			/* all of it is wanted */
	ck_assert_int_eq(guards(&r), 2);
	ck_assert_int_eq(sysctl_of(HOST_SYSCTL_FORWARD4, ""), 1);
	ck_assert_int_eq(access(file, F_OK), 0);	/* what a crash would have to restore */
	record_unwant(&r);
	r.obj[1].wanted = true;
	record_sweep(&r);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_int_eq(guards(&r), 1);
	ck_assert_int_eq(sysctl_of(HOST_SYSCTL_FORWARD4, ""), 0);
	ck_assert_int_ne(access(file, F_OK), 0);
	record_fini(&r);			/* undoes nothing */
	ck_assert_int_eq(record_init(&r, file), 0);
	ck_assert_int_eq(guards(&r), 1);
	record_fini(&r);
}
END_TEST

/* A clean stop undoes all but the guards that are to stay. */
START_TEST(a_stop_keeps_the_guards_that_stay)
{
	struct record r;

	if (!own_netns())
		return;
	ck_assert_int_eq(record_init(&r, file), 0);
	make_guard(&r, "10.7.0.0/16", true);
	make_guard(&r, "10.8.0.0/16", false);
	record_undo(&r, false);
	ck_assert_int_eq(guards(&r), 1);
	make_guard(&r, "10.8.0.0/16", false);
	record_undo(&r, true);
	ck_assert_int_eq(guards(&r), 2);
	record_fini(&r);
}
END_TEST

/* A value that somebody has changed since is theirs. */
START_TEST(only_our_own_value_is_taken_back)
{
	struct record r;

	if (!own_netns())
		return;
	ck_assert_int_eq(record_init(&r, file), 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "lo", 0), 0);
	set_sysctl(&r, HOST_SYSCTL_RP_FILTER, "lo", 2);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "lo", 1), 0);
	record_undo(&r, false);
	ck_assert_int_eq(sysctl_of(HOST_SYSCTL_RP_FILTER, "lo"), 1);
	record_fini(&r);
}
END_TEST

/* Guards are found in the kernel, sysctls in the state file; nobody has asked for them yet. */
START_TEST(what_a_crash_left_is_adopted)
{
	struct nl_route foreign = { .protocol = HOST_ROUTE_PROTO, .metric = 7, .unreachable = true };
	struct record r;

	if (!own_netns())
		return;
	ck_assert_int_eq(record_init(&r, file), 0);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "lo", 1), 0);
	make_guard(&r, "10.7.0.0/16", false);
	make_guard(&r, "fd07::/32", false);
	set_sysctl(&r, HOST_SYSCTL_RP_FILTER, "lo", 2);
	ck_assert(prefix_parse("10.9.0.0/16", true, &foreign.to));
	ck_assert_int_eq(nl_route(r.nl, true, &foreign), 0);	/* no guard */
	record_save(&r);
	record_fini(&r);
	ck_assert_int_eq(record_init(&r, file), 0);
	record_adopt(&r);
	ck_assert_uint_eq(r.n, 3);
	for (size_t i = 0; i < r.n; i++)
		ck_assert(!r.obj[i].wanted && r.obj[i].fd == -1);
	ck_assert_int_eq(r.obj[2].was, 1);
	ck_assert_int_eq(r.obj[2].what.value, 2);
	record_sweep(&r);
	ck_assert_uint_eq(r.n, 0);
	ck_assert_int_eq(guards(&r), 1);		/* the foreign one */
	ck_assert_int_eq(sysctl_of(HOST_SYSCTL_RP_FILTER, "lo"), 1);
	record_fini(&r);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, make_dir, remove_dir);
	tcase_add_test(t, the_record_knows_what_is_the_same);
	tcase_add_test(t, a_failed_look_is_not_none_left);
	tcase_add_test(t, what_is_not_undone_is_named);
	tcase_add_test(t, progress_is_waited_for);
	tcase_add_test(t, there_is_a_quota);
	tcase_add_test(t, what_is_not_wanted_any_more_is_undone);
	tcase_add_test(t, a_stop_keeps_the_guards_that_stay);
	tcase_add_test(t, only_our_own_value_is_taken_back);
	tcase_add_test(t, what_a_crash_left_is_adopted);
}

UNIT_MAIN("gateway/broker_record", fill)
