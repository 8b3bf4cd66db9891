/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/broker.h"
#include "gateway/broker_claim.h"
#include "gateway/broker_ops.h"
#include "gateway/broker_record.h"

/* What needs a kernel and root is in tests/netns/broker_test.c; here is what judges and remembers. */

static struct host_request
request(enum host_op op, const char *name)
{
	struct host_request q;

	memset(&q, 0, sizeof(q));
	q.op = op;
	strncpy(q.name, name, sizeof(q.name) - 1);
	return q;
}

static struct host_request
route(const char *to, const char *name, bool guard)
{
	struct host_request q = request(HOST_ROUTE_ADD, name);

	ck_assert(prefix_parse(to, true, &q.prefix));
	q.unreachable = guard;
	return q;
}

START_TEST(names_are_within_bounds)
{
	static const char *const good[] = { "td-office-aws", "eth0.100", "a", "A_z-9" };
	static const char *const bad[] = { "", ".", "..", "a/b", "../x", "a b", "a:1", "all", "default",
	    "td%d", "x\n", "\xc3\xa4" };
	struct host_request q;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		q = request(HOST_TUN_OPEN, good[i]);
		ck_assert_msg(broker_judge(&q) == NULL, "%s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		q = request(HOST_TUN_OPEN, bad[i]);
		ck_assert_msg(broker_judge(&q) != NULL, "\"%s\"", bad[i]);
		q = request(HOST_SYSCTL_SET, bad[i]);
		q.sysctl = HOST_SYSCTL_RP_FILTER;
		q.value = 2;
		ck_assert_msg(broker_judge(&q) != NULL, "sysctl of \"%s\"", bad[i]);
	}
}
END_TEST

START_TEST(guards_are_kept_off_the_default_route)
{
	/* Every other one may have a guard. */
	static const char *const pieces[] = { "0.0.0.0/1", "64.0.0.0/2", "128.0.0.0/1", "10.0.0.0/8",
	    "8000::/1", "fc00::/7", "2000::/3", "3000::/4" };
	struct host_request q = route("10.0.0.0/8", "", true);

	ck_assert_ptr_null(broker_judge(&q));
	q.metric = HOST_GUARD_METRIC;
	ck_assert_ptr_null(broker_judge(&q));
	q.metric = 50;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = route("0.0.0.0/0", "", true);
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = route("::/0", "", true);
	ck_assert_ptr_nonnull(broker_judge(&q));
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		q = route(pieces[i], "", true);
		ck_assert_msg((broker_judge(&q) == NULL) == (i % 2 == 1), "%s", pieces[i]);
	}
	q = route("10.0.0.0/8", "td0", true);
	ck_assert_ptr_nonnull(broker_judge(&q));
}
END_TEST

START_TEST(routes_are_well_formed)
{
	struct host_request q = route("0.0.0.0/0", "td0", false);

	ck_assert_ptr_null(broker_judge(&q));
	q = route("10.0.0.0/8", "", false);
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = route("10.0.0.0/8", "td0", false);
	q.metric = HOST_GUARD_METRIC;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = route("10.0.0.0/8", "td0", false);
	q.prefix.ip.b[3] = 1;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = request(HOST_ROUTE_ADD, "td0");
	ck_assert_ptr_nonnull(broker_judge(&q));
}
END_TEST

START_TEST(addresses_are_of_hosts)
{
	static const struct {
		const char *ip;
		uint8_t len;
		bool good;
	} cases[] = {
		{ "169.254.80.146", 30, true }, { "10.0.0.1", 32, true }, { "fd00::1", 126, true },
		{ "0.0.0.0", 8, false }, { "::", 64, false }, { "127.0.0.1", 8, false },
		{ "224.0.0.1", 4, false }, { "255.255.255.255", 32, false }, { "ff02::1", 64, false },
		{ "10.0.0.1", 0, false },
	};
	struct host_request q;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		q = request(HOST_ADDR_ADD, "td0");
		ck_assert(ip_parse(cases[i].ip, &q.prefix.ip));
		q.prefix.len = cases[i].len;
		ck_assert_msg((broker_judge(&q) == NULL) == cases[i].good, "%s/%u", cases[i].ip, cases[i].len);
	}
}
END_TEST

/* The list of sysctls is fixed, and so is each value: a stranger in the engine can only do what we do. */
START_TEST(sysctls_are_from_a_fixed_list)
{
	struct host_request q = request(HOST_SYSCTL_SET, "");

	ck_assert_ptr_nonnull(broker_judge(&q));
	for (int v = -1; v <= 3; v++) {
		q = request(HOST_SYSCTL_SET, "");
		q.value = v;
		q.sysctl = HOST_SYSCTL_FORWARD4;
		ck_assert_int_eq(broker_judge(&q) == NULL, v == 1);
		q.sysctl = HOST_SYSCTL_FORWARD6;
		ck_assert_int_eq(broker_judge(&q) == NULL, v == 1);
		q.sysctl = HOST_SYSCTL_RP_FILTER;
		ck_assert_ptr_nonnull(broker_judge(&q));
		memcpy(q.name, "eth0", 5);
		ck_assert_int_eq(broker_judge(&q) == NULL, v == 2);
		q.sysctl = HOST_SYSCTL_LINKDOWN;
		ck_assert_int_eq(broker_judge(&q) == NULL, v == 0 || v == 1);
		q.sysctl = HOST_SYSCTL_FORWARD4;
		ck_assert_ptr_nonnull(broker_judge(&q));
	}
}
END_TEST

START_TEST(sockets_and_links_are_within_range)
{
	struct host_request q = request(HOST_UDP_OPEN, "");

	ck_assert_ptr_nonnull(broker_judge(&q));
	q.local.port = 500;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q.local.ip.family = AF_INET6;
	ck_assert_ptr_null(broker_judge(&q));
	memcpy(q.name, "eth0", 5);
	ck_assert_ptr_nonnull(broker_judge(&q));
	q.name[0] = '\0';
	q.local.ip.b[15] = 1;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q = request(HOST_LINK_SET, "td0");
	ck_assert_ptr_null(broker_judge(&q));
	q.mtu = 67;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q.mtu = 65536;
	ck_assert_ptr_nonnull(broker_judge(&q));
	q.mtu = 1438;
	ck_assert_ptr_null(broker_judge(&q));
	q.op = (enum host_op)99;
	ck_assert_ptr_nonnull(broker_judge(&q));
}
END_TEST

/* What is not ours is not touched: links, addresses, routes and sysctls of other devices. */
START_TEST(only_devices_of_ours)
{
	static const enum host_op ops[] = { HOST_TUN_CLOSE, HOST_LINK_SET, HOST_ADDR_ADD,
	    HOST_ROUTE_ADD, HOST_ROUTE_DEL, HOST_SYSCTL_SET };
	struct record r = { .state = "/nonexistent/state" };
	struct host_request q;
	struct host_answer a;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		q = request(ops[i], "lo");
		ck_assert(ip_parse("10.0.0.1", &q.prefix.ip));
		q.prefix.len = 32;
		q.sysctl = HOST_SYSCTL_LINKDOWN;
		broker_execute(&r, &q, &a);
		ck_assert_msg(a.err == -ENODEV || a.err == -ENOENT, "op %d: %d", (int)ops[i], a.err);
		ck_assert_str_ne(a.text, "");
		ck_assert_int_eq(a.fd, -1);
	}
	ck_assert_uint_eq(r.n, 0);
}
END_TEST

START_TEST(the_record_knows_what_is_the_same)
{
	struct record r = { .state = "/nonexistent/state" };
	struct host_request tun = request(HOST_TUN_OPEN, "td0"), via = route("10.0.0.0/8", "td0", false);
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

static char dir[64], file[96];

static void
make_dir(void)
{
	log_level_set(LOG_LEVEL_ERROR);
	strcpy(dir, "/tmp/tandem-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/state", dir);
}

static void
remove_dir(void)
{
	(void)unlink(file);
	(void)rmdir(dir);
}

static void
put(const char *text, size_t len)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
}

START_TEST(the_state_survives)
{
	struct state_sysctl s[2], got[4];

	memset(s, 0, sizeof(s));
	s[0] = (struct state_sysctl){ .which = HOST_SYSCTL_FORWARD4, .was = 0, .set = 1 };
	s[1] = (struct state_sysctl){ .which = HOST_SYSCTL_RP_FILTER, .name = "eth0", .was = 1, .set = 2 };
	ck_assert_uint_eq(state_read(file, got, 4), 0);
	ck_assert_int_eq(state_write(file, s, 2), 0);
	ck_assert_uint_eq(state_read(file, got, 4), 2);
	ck_assert_mem_eq(s, got, sizeof(s));
	ck_assert_uint_eq(state_read(file, got, 1), 1);
	ck_assert_int_eq(state_write(file, s, 0), 0);
	ck_assert_int_ne(access(file, F_OK), 0);
	ck_assert_int_eq(state_write(file, s, 0), 0);
	ck_assert_int_eq(state_write("/nonexistent/state", s, 2), -ENOENT);
}
END_TEST

/* A torn or foreign file is not believed in part: values of a stranger would go into sysctls. */
START_TEST(a_torn_state_is_refused)
{
	struct state_sysctl s[2], got[4];
	char text[512];
	size_t len, line;
	FILE *f;

	memset(s, 0, sizeof(s));
	s[0] = (struct state_sysctl){ .which = HOST_SYSCTL_FORWARD4, .was = 0, .set = 1 };
	s[1] = (struct state_sysctl){ .which = HOST_SYSCTL_RP_FILTER, .name = "eth0", .was = 1, .set = 2 };
	ck_assert_int_eq(state_write(file, s, 2), 0);
	ck_assert_ptr_nonnull(f = fopen(file, "r"));
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	line = len - strlen("sysctl 3 eth0 1 2\n");
	for (size_t n = 0; n < len; n++) {
		put(text, n);
		ck_assert_msg(state_read(file, got, 4) == (n == line ? 1u : 0u), "at %zu", n);
	}
	text[len - 2] = 'x';
	put(text, len);
	ck_assert_uint_eq(state_read(file, got, 4), 0);
	text[len - 2] = '2';
	text[strlen("tandem-state 1\nboot ")] ^= 1;
	put(text, len);
	ck_assert_uint_eq(state_read(file, got, 4), 0);
}
END_TEST

START_TEST(a_full_disk_is_no_failure)
{
	struct state_sysctl s = { .which = HOST_SYSCTL_FORWARD4, .set = 1 };

	if (access("/dev/full", W_OK) != 0)
		return;
	/* What is written aside goes to a device that is always full. */
	snprintf(file, sizeof(file), "%s/state.new", dir);
	ck_assert_int_eq(symlink("/dev/full", file), 0);
	snprintf(file, sizeof(file), "%s/state", dir);
	ck_assert_int_eq(state_write(file, &s, 1), -ENOSPC);
	ck_assert_int_ne(access(file, F_OK), 0);
}
END_TEST

START_TEST(a_lock_says_who_holds_it)
{
	char why[300] = "", pid[16];
	int a, b;

	ck_assert_int_eq(claim_lock(file, &a, why, sizeof(why)), 0);
	ck_assert_int_eq(claim_lock(file, &b, why, sizeof(why)), -EWOULDBLOCK);
	ck_assert_int_eq(b, -1);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ck_assert_ptr_nonnull(strstr(why, pid));
	ck_assert_ptr_nonnull(strstr(why, file));
	close(a);
	ck_assert_int_eq(claim_lock(file, &b, why, sizeof(why)), 0);
	close(b);
	ck_assert_int_eq(claim_lock("/nonexistent/lock", &b, why, sizeof(why)), -ENOENT);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, make_dir, remove_dir);
	tcase_add_test(t, names_are_within_bounds);
	tcase_add_test(t, guards_are_kept_off_the_default_route);
	tcase_add_test(t, routes_are_well_formed);
	tcase_add_test(t, addresses_are_of_hosts);
	tcase_add_test(t, sysctls_are_from_a_fixed_list);
	tcase_add_test(t, sockets_and_links_are_within_range);
	tcase_add_test(t, only_devices_of_ours);
	tcase_add_test(t, the_record_knows_what_is_the_same);
	tcase_add_test(t, a_failed_look_is_not_none_left);
	tcase_add_test(t, what_is_not_undone_is_named);
	tcase_add_test(t, progress_is_waited_for);
	tcase_add_test(t, the_state_survives);
	tcase_add_test(t, a_torn_state_is_refused);
	tcase_add_test(t, a_full_disk_is_no_failure);
	tcase_add_test(t, a_lock_says_who_holds_it);
}

UNIT_MAIN("broker", fill)
