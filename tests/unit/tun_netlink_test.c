/* SPDX-License-Identifier: MIT */
/* Of tun/netlink.c and netlink_route.c. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tun/netlink.h"
#include "tun/tun.h"
#include "tests/unit/tun_ns.h"

#define GROUP	77
#define PROTO	125

static struct nl *nl;

static struct prefix
prefix(const char *text)
{
	struct prefix p;

	ck_assert(prefix_parse(text, true, &p));
	return p;
}

static struct prefix
address(const char *text, uint8_t len)
{
	struct prefix p = { .len = len };

	ck_assert(ip_parse(text, &p.ip));
	return p;
}

static void
device(const char *name, const char *v4, const char *v6)
{
	struct prefix p;

	ck_assert_int_ge(tun_open(name, GROUP), 0);
	if (nl == NULL)
		ck_assert_ptr_nonnull(nl = nl_open());
	ck_assert_int_eq(nl_link_set(nl, name, true, 1400), 0);
	p = address(v4, 24);
	ck_assert_int_eq(nl_addr(nl, true, name, &p, NULL), 0);
	p = address(v6, 64);
	ck_assert_int_eq(nl_addr(nl, true, name, &p, NULL), 0);
}

static int
way(const char *to, struct nl_way *w)
{
	struct ip ip, none = { .family = AF_UNSPEC };

	ck_assert(ip_parse(to, &ip));
	return nl_way(nl, &ip, &none, w);
}

START_TEST(addresses_come_and_go)
{
	struct prefix p;
	struct nl_way w;
	struct ip ip;

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	p = address("10.9.0.1", 24);
	ck_assert_int_eq(nl_addr(nl, true, "td0", &p, NULL), -EEXIST);
	ck_assert_int_eq(nl_addr(nl, true, "none", &p, NULL), -ENODEV);
	ck_assert(nl_has_address(nl, &p.ip, &w));
	ck_assert_str_eq(w.device, "td0");
	ck_assert_uint_eq(w.mtu, 1400);
	ck_assert(w.carrier);
	ck_assert(ip_parse("fd09::1", &ip) && nl_has_address(nl, &ip, NULL));
	ck_assert(ip_parse("10.9.0.2", &ip) && !nl_has_address(nl, &ip, NULL));
	ck_assert_int_eq(nl_addr(nl, false, "td0", &p, NULL), 0);
	ck_assert(!nl_has_address(nl, &p.ip, NULL));
	ck_assert_int_eq(nl_addr(nl, false, "td0", &p, NULL), -EADDRNOTAVAIL);
}
END_TEST

static bool
lists(const char *text)
{
	struct prefix all[16];
	struct ip ip;
	int n = nl_address_list(nl, all, 16);

	ck_assert(ip_parse(text, &ip) && n >= 0 && n <= 16);
	for (int i = 0; i < n; i++)
		if (ip_equal(&all[i].ip, &ip))
			return all[i].len == (ip.family == AF_INET ? 24 : 64);
	return false;
}

/* Both families in one list, which is counted whole where there is no room for it. */
START_TEST(all_addresses_are_listed)
{
	struct prefix p, one;
	int n;

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	n = nl_address_list(nl, NULL, 0);
	ck_assert_int_ge(n, 2);
	ck_assert_int_eq(nl_address_list(nl, &one, 1), n);
	ck_assert(lists("10.9.0.1") && lists("fd09::1") && !lists("10.9.0.2"));
	p = address("10.9.0.1", 24);
	ck_assert_int_eq(nl_addr(nl, false, "td0", &p, NULL), 0);
	ck_assert(!lists("10.9.0.1") && lists("fd09::1"));
}
END_TEST

/* A peer address makes a route to it, and the local one is still the one found. */
START_TEST(an_address_may_have_a_peer)
{
	struct prefix p = address("169.254.80.146", 32);
	struct ip peer;
	struct nl_way w;

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	ck_assert(ip_parse("169.254.80.145", &peer));
	ck_assert_int_eq(nl_addr(nl, true, "td0", &p, &peer), 0);
	ck_assert(nl_has_address(nl, &p.ip, NULL));
	ck_assert(!nl_has_address(nl, &peer, NULL));
	ck_assert_int_eq(way("169.254.80.145", &w), 0);
	ck_assert_str_eq(w.device, "td0");
	ck_assert(ip_equal(&w.source, &p.ip));
	ck_assert_int_eq(nl_addr(nl, false, "td0", &p, &peer), 0);
}
END_TEST

static void
one_route(const char *to, const char *source, const char *inside)
{
	struct nl_route r = { .to = prefix(to), .device = "td0", .metric = 50, .protocol = PROTO };
	struct nl_route list[8];
	struct nl_way w;

	ck_assert(ip_parse(source, &r.source));
	ck_assert_int_eq(nl_route(nl, true, &r), 0);
	ck_assert_int_eq(nl_route(nl, true, &r), -EEXIST);
	ck_assert_int_eq(nl_route_list(nl, PROTO, list, 8), 1);
	ck_assert_str_eq(list[0].device, "td0");
	ck_assert_uint_eq(list[0].metric, 50);
	ck_assert(ip_equal(&list[0].source, &r.source));
	ck_assert(!list[0].unreachable && list[0].to.len == r.to.len);
	ck_assert_int_eq(way(inside, &w), 0);
	ck_assert_str_eq(w.device, "td0");
	ck_assert(ip_equal(&w.source, &r.source));
	ck_assert_uint_eq(w.mtu, 1400);
	ck_assert(!w.gateway && w.carrier);
	ck_assert_int_eq(nl_route(nl, false, &r), 0);
	ck_assert_int_eq(nl_route(nl, false, &r), -ESRCH);
	ck_assert_int_eq(nl_route_list(nl, PROTO, list, 8), 0);
}

START_TEST(routes_come_and_go)
{
	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	one_route("10.1.0.0/16", "10.9.0.1", "10.1.2.3");
	one_route("fd01::/48", "fd09::1", "fd01::77");
}
END_TEST

/*
 * A guard: says no while nothing better is there, yields to any other route, comes back when
 * that one goes, and is deleted alone.
 */
static void
guard(const char *to, const char *inside)
{
	struct nl_route g = { .to = prefix(to), .metric = 4294967290u, .protocol = PROTO,
	    .unreachable = true };
	struct nl_route r = { .to = prefix(to), .device = "td0", .metric = 50, .protocol = PROTO };
	struct nl_route theirs = { .to = prefix(to), .metric = 4294967289u, .protocol = 99,
	    .unreachable = true };
	struct nl_route list[8];
	struct nl_way w;

	ck_assert_int_eq(nl_route(nl, true, &g), 0);
	ck_assert_int_eq(way(inside, &w), -EHOSTUNREACH);
	ck_assert_int_eq(nl_route(nl, true, &r), 0);
	ck_assert_int_eq(way(inside, &w), 0);
	ck_assert_int_eq(nl_route_list(nl, PROTO, list, 8), 2);
	ck_assert_int_eq(nl_route_list(nl, PROTO, list, 1), 2);
	ck_assert_int_eq(nl_route(nl, false, &r), 0);
	ck_assert_int_eq(way(inside, &w), -EHOSTUNREACH);
	ck_assert_int_eq(nl_route_list(nl, PROTO, list, 8), 1);
	ck_assert(list[0].unreachable && list[0].device[0] == '\0');
	ck_assert_uint_eq(list[0].metric, 4294967290u);
	ck_assert_int_eq(nl_route(nl, true, &theirs), 0);
	ck_assert_int_eq(nl_route(nl, false, &g), 0);
	ck_assert_int_eq(nl_route_list(nl, PROTO, list, 8), 0);
	ck_assert_int_eq(nl_route_list(nl, 99, list, 8), 1);
	ck_assert_int_eq(nl_route(nl, false, &g), -ESRCH);
	ck_assert_int_eq(nl_route(nl, false, &theirs), 0);
}

START_TEST(a_guard_yields_and_returns)
{
	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	guard("10.1.0.0/16", "10.1.2.3");
	guard("fd01::/48", "fd01::77");
}
END_TEST

START_TEST(there_may_be_no_way)
{
	struct ip to, from;
	struct nl_way w;

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	ck_assert_int_eq(way("192.0.2.1", &w), -ENETUNREACH);
	ck_assert_int_eq(way("2001:db8::1", &w), -ENETUNREACH);
	ck_assert_int_eq(way("10.9.0.1", &w), 0);	/* our own: by lo */
	ck_assert(ip_parse("10.9.0.5", &to) && ip_parse("10.9.0.77", &from));
	ck_assert_int_lt(nl_way(nl, &to, &from, &w), 0);	/* kernels differ in the word */
	ck_assert(ip_parse("10.9.0.1", &from));
	ck_assert_int_eq(nl_way(nl, &to, &from, &w), 0);
	ck_assert(ip_equal(&w.source, &from));
}
END_TEST

START_TEST(a_group_goes_at_once)
{
	struct nl_link list[8];
	char name[8];

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	for (unsigned i = 1; i < 5; i++) {
		snprintf(name, sizeof(name), "td%u", i);
		ck_assert_int_ge(tun_open(name, GROUP), 0);
	}
	ck_assert_int_ge(tun_open("other", GROUP + 1), 0);
	ck_assert_int_eq(nl_link_list(nl, GROUP, list, 8), 5);
	ck_assert_int_eq(nl_link_list(nl, GROUP, list, 2), 5);
	ck_assert_int_eq(nl_link_del_group(nl, 0), -EINVAL);
	ck_assert_int_eq(nl_link_del_group(nl, GROUP), 0);
	ck_assert_int_eq(nl_link_list(nl, GROUP, list, 8), 0);
	ck_assert_int_eq(nl_link_get(nl, "other", &list[0]), 0);
	ck_assert_uint_eq(list[0].group, GROUP + 1);
	ck_assert_int_eq(nl_link_get(nl, "td0", &list[0]), -ENODEV);
	ck_assert_int_eq(nl_link_set(nl, "td0", true, 0), -ENODEV);
}
END_TEST

START_TEST(news_are_told_once)
{
	struct prefix p = address("10.9.0.9", 32);
	struct nl *watch;

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	ck_assert_ptr_nonnull(watch = nl_watch());
	(void)nl_news(watch, NULL, NULL);
	ck_assert(!nl_news(watch, NULL, NULL));
	ck_assert_int_eq(nl_addr(nl, true, "td0", &p, NULL), 0);
	ck_assert(nl_news(watch, NULL, NULL));
	ck_assert(!nl_news(watch, NULL, NULL));
	ck_assert_int_eq(nl_link_set(nl, "td0", false, 0), 0);
	ck_assert(nl_news(watch, NULL, NULL));
	nl_close(watch);
}
END_TEST

static char told[64];			/* a letter a piece of news of "td0" */
static unsigned told_index;

static void
hear(void *arg, const struct nl_link *link, bool gone)
{
	size_t n = strlen(told);

	(void)arg;
	if ((link != NULL && strcmp(link->name, "td0") != 0) || n + 1 >= sizeof(told))
		return;
	if (link == NULL) {
		told[n] = '?';
		return;
	}
	ck_assert_uint_eq(link->group, GROUP);
	told_index = link->ifindex;
	told[n] = gone ? 'x' : link->up ? 'u' : 'd';
}

/* A link that was down for an instant is up when somebody looks; its news say that it was not. */
START_TEST(news_tell_what_a_link_was)
{
	struct nl *watch;
	unsigned index;

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	index = if_nametoindex("td0");
	ck_assert_ptr_nonnull(watch = nl_watch());
	ck_assert_int_eq(nl_link_set(nl, "td0", false, 0), 0);
	ck_assert_int_eq(nl_link_set(nl, "td0", true, 0), 0);
	ck_assert(nl_news(watch, hear, NULL));
	ck_assert_msg(strchr(told, 'd') != NULL && strrchr(told, 'u') > strchr(told, 'd') &&
	    strchr(told, 'x') == NULL, "\"%s\"", told);
	ck_assert_uint_eq(told_index, index);
	memset(told, 0, sizeof(told));
	ck_assert_int_eq(nl_link_del(nl, index), 0);
	ck_assert(nl_news(watch, hear, NULL));
	ck_assert_msg(strlen(told) > 0 && told[strlen(told) - 1] == 'x', "\"%s\"", told);
	ck_assert_uint_eq(told_index, index);
	nl_close(watch);
}
END_TEST

/* Who looks at a link because of lost news must not then be told what was before that look. */
START_TEST(lost_news_are_told_last)
{
	struct nl *watch;
	int room = 4096;

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	ck_assert_ptr_nonnull(watch = nl_watch());
	ck_assert_int_eq(setsockopt(nl_fd(watch), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(nl_link_set(nl, "td0", i % 2 == 1, 0), 0);
	ck_assert(nl_news(watch, hear, NULL));
	ck_assert_msg(strlen(told) > 1 && strchr(told, '?') == told + strlen(told) - 1, "\"%s\"", told);
	memset(told, 0, sizeof(told));
	ck_assert_int_eq(nl_link_set(nl, "td0", false, 0), 0);
	ck_assert(nl_news(watch, hear, NULL));
	ck_assert_msg(told[0] == 'd' && strchr(told, '?') == NULL, "\"%s\"", told);
	nl_close(watch);
}
END_TEST

/* A thousand routes are listed whole, over several messages of the kernel's. */
START_TEST(a_long_list_is_whole)
{
	static struct nl_route list[1200];
	struct nl_route r = { .metric = 7, .protocol = PROTO, .unreachable = true };

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	for (unsigned i = 0; i < 1000; i++) {
		r.to = prefix(i % 2 == 0 ? "10.64.0.0/24" : "fd64::/64");
		r.to.ip.b[i % 2 == 0 ? 2 : 5] = (uint8_t)(i / 2);
		r.to.ip.b[i % 2 == 0 ? 1 : 4] = (uint8_t)(64 + i / 512);
		ck_assert_int_eq(nl_route(nl, true, &r), 0);
	}
	ck_assert_int_eq(nl_route_list(nl, PROTO, list, 1200), 1000);
}
END_TEST

#define LONG	1500			/* addresses: a list of several buffers */
#define LOOKS	300

/* Until it is killed: an address comes and goes. */
static pid_t
churn(void)
{
	struct prefix p = address("10.8.0.1", 32);
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	ck_assert_ptr_nonnull(nl = nl_open());
	for (;;) {
		(void)nl_addr(nl, true, "td0", &p, NULL);
		usleep(500);
		(void)nl_addr(nl, false, "td0", &p, NULL);
		usleep(500);
	}
}

/*
 * A list that changes while it is read is torn, which is said or mended by another try; what is
 * left of it is in no later list's way (the kernel would answer that with EBUSY).
 */
START_TEST(a_torn_list_is_read_again)
{
	static struct prefix list[2 * LONG];
	unsigned whole = 0;
	struct prefix p;
	pid_t other;
	int n;

	if (!own_netns())
		return;
	device("td0", "10.9.0.1", "fd09::1");
	for (unsigned i = 0; i < LONG; i++) {
		p = address("10.7.0.1", 32);
		p.ip.b[2] = (uint8_t)(i / 250);
		p.ip.b[3] = (uint8_t)(1 + i % 250);
		ck_assert_int_eq(nl_addr(nl, true, "td0", &p, NULL), 0);
	}
	ck_assert_int_ge(other = churn(), 0);
	for (unsigned i = 0; i < LOOKS; i++) {
		n = nl_address_list(nl, list, 2 * LONG);
		ck_assert_msg(n >= LONG || n == -EINTR, "look %u: %d", i, n);
		whole += n >= LONG;
	}
	(void)kill(other, SIGKILL);
	(void)waitpid(other, NULL, 0);
	ck_assert_uint_gt(whole, 0);
	ck_assert_int_ge(nl_address_list(nl, list, 2 * LONG), LONG);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, addresses_come_and_go);
	tcase_add_test(t, all_addresses_are_listed);
	tcase_add_test(t, an_address_may_have_a_peer);
	tcase_add_test(t, routes_come_and_go);
	tcase_add_test(t, a_guard_yields_and_returns);
	tcase_add_test(t, there_may_be_no_way);
	tcase_add_test(t, a_group_goes_at_once);
	tcase_add_test(t, news_are_told_once);
	tcase_add_test(t, news_tell_what_a_link_was);
	tcase_add_test(t, lost_news_are_told_last);
	tcase_add_test(t, a_long_list_is_whole);
	tcase_add_test(t, a_torn_list_is_read_again);
}

UNIT_MAIN("netlink", fill)
