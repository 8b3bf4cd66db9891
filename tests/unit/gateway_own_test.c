/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/own.h"

#include "unit.h"

#define HERE_MAX	16

static struct prefix
network(const char *text)
{
	struct prefix p;

	ck_assert_msg(prefix_parse(text, false, &p), "%s", text);
	return p;
}

/* An address with the length of its network: "10.1.0.1/24". */
static struct prefix
address(const char *text)
{
	struct prefix p = network(text);
	char ip[64];

	snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(text, "/"), text);
	ck_assert(ip_parse(ip, &p.ip));
	return p;
}

struct host {
	struct config_connection conf;
	struct prefix networks[4], local_networks[2], here[HERE_MAX];
	size_t n;
	struct own own;
};

static void
host_init(struct host *h)
{
	memset(h, 0, sizeof(*h));
	h->conf.networks = h->networks;
	h->conf.local_networks = h->local_networks;
	h->conf.tunnels_n = 2;
	h->conf.tunnel[0].local = address("198.51.100.1/30").ip;
	h->conf.tunnel[0].remote = address("198.51.100.2/32").ip;
	h->conf.tunnel[1].local = address("203.0.113.1/30").ip;
	h->conf.tunnel[1].remote = address("203.0.113.9/32").ip;
}

static void
has(struct host *h, const char *text)
{
	h->here[h->n++] = address(text);
	qsort(h->here, h->n, sizeof(h->here[0]), by_prefix);
}

static bool
look(struct host *h)
{
	return own_look(&h->own, &h->conf, h->here, h->n);
}

static bool
owns(const struct host *h, const char *text)
{
	struct ip ip = address(text).ip;

	for (size_t i = 0; i < h->own.ip_n; i++)
		if (ip_equal(&h->own.ip[i], &ip))
			return true;
	return false;
}

static bool
has_lan(const struct host *h, const char *text)
{
	struct prefix p = network(text);

	for (size_t i = 0; i < h->own.lan_n; i++)
		if (h->own.lan[i].len == p.len && prefix_has(&h->own.lan[i], &p.ip))
			return true;
	return false;
}

/* R26, networks as wide as can be: nothing of this host may come out of a tunnel. */
START_TEST(a_wide_peer_may_claim_nothing_of_ours)
{
	struct host h;

	host_init(&h);
	h.networks[0] = network("0.0.0.0/0");
	h.networks[1] = network("::/0");
	h.conf.networks_n = 2;
	h.local_networks[0] = network("10.5.0.0/16");
	h.conf.local_networks_n = 1;
	has(&h, "127.0.0.1/8");
	has(&h, "10.1.0.1/24");
	has(&h, "10.1.0.2/24");
	has(&h, "198.51.100.1/30");
	has(&h, "203.0.113.1/32");
	has(&h, "169.254.10.2/30");
	has(&h, "fd00:1::1/64");
	has(&h, "fe80::1/64");
	ck_assert(look(&h));
	ck_assert(owns(&h, "10.1.0.1/32") && owns(&h, "10.1.0.2/32") && owns(&h, "fd00:1::1/128"));
	ck_assert(owns(&h, "198.51.100.1/32") && owns(&h, "203.0.113.1/32"));
	ck_assert(owns(&h, "169.254.10.2/32") && !owns(&h, "127.0.0.1/32"));
	ck_assert(has_lan(&h, "10.1.0.0/24") && has_lan(&h, "10.5.0.0/16") &&
	    has_lan(&h, "fd00:1::/64") && has_lan(&h, "169.254.10.0/30"));
	/* the link to the peer's router is not ours alone, and an address is no network */
	ck_assert(!has_lan(&h, "198.51.100.0/30") && !has_lan(&h, "203.0.113.1/32"));
	for (size_t i = 1; i < h.own.ip_n; i++)
		ck_assert_int_lt(ip_cmp(&h.own.ip[i - 1], &h.own.ip[i]), 0);
	own_free(&h.own);
}
END_TEST

/* What the peer cannot claim is not carried along, but for one address to answer from. */
START_TEST(a_narrow_peer_costs_nothing)
{
	struct host h;

	host_init(&h);
	h.networks[0] = network("10.2.0.0/16");
	h.conf.networks_n = 1;
	has(&h, "10.1.0.1/24");
	has(&h, "10.3.0.1/24");
	has(&h, "fd00:1::1/64");
	ck_assert(look(&h));
	ck_assert_uint_eq(h.own.ip_n, 2);
	ck_assert(owns(&h, "10.1.0.1/32") && owns(&h, "fd00:1::1/128"));
	ck_assert_uint_eq(h.own.lan_n, 0);
	/* a part of its networks is here; what is wider than they are is not */
	has(&h, "10.2.9.1/24");
	has(&h, "10.2.9.2/8");
	ck_assert(look(&h));
	ck_assert(owns(&h, "10.2.9.1/32") && owns(&h, "10.2.9.2/32"));
	ck_assert(has_lan(&h, "10.2.9.0/24"));
	ck_assert_uint_eq(h.own.lan_n, 1);
	own_free(&h.own);
}
END_TEST

START_TEST(only_a_change_is_told)
{
	struct esp_path *p = calloc(1, sizeof(*p));
	struct host h;

	host_init(&h);
	h.networks[0] = network("0.0.0.0/0");
	h.conf.networks_n = 1;
	ck_assert(!look(&h));
	has(&h, "10.1.0.1/24");
	ck_assert(look(&h) && !look(&h));
	has(&h, "10.1.0.2/24");
	ck_assert(look(&h) && !look(&h));
	h.local_networks[0] = network("10.7.0.0/16");
	h.conf.local_networks_n = 1;
	ck_assert(look(&h) && !look(&h));
	ck_assert(own_fill(&h.own, p));
	ck_assert_uint_eq(p->own_n, 2);
	ck_assert_uint_eq(p->lan_n, 2);
	ck_assert(ip_equal(&p->own[1], &h.own.ip[1]) && p->lan[1].len == 16);
	h.n = 0;
	ck_assert(look(&h));
	ck_assert_uint_eq(h.own.ip_n, 0);
	own_free(&h.own);
	esp_path_free(p);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_wide_peer_may_claim_nothing_of_ours);
	tcase_add_test(t, a_narrow_peer_costs_nothing);
	tcase_add_test(t, only_a_change_is_told);
}

UNIT_MAIN("gateway/own", fill)
