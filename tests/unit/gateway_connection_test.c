/* SPDX-License-Identifier: MIT */
#include "gateway_tap.h"

#include <fcntl.h>

/* connection.c and device.c: a configured connection becomes requests to the host, a path, a
 * watched connection and two IKE tunnels; a changed one only what differs; one that goes takes all
 * of it along. */

/* Everything written that has an effect here; `%s` are the keys of the gateway and of the
 * connection. */
static const char office[] =
    "%s"
    "connections:\n"
    "  office:\n"
    "%s"
    "    tunnels:\n"
    "      - {local: 192.0.2.1, remote: 203.0.113.1, psk-file: key, probe: 10.20.0.9,\n"
    "         inside: [169.254.1.1/30, 'fd00:1::1/126'], local-id: a.example}\n"
    "      - {local: '2001:db8::1', remote: '2001:db8::2', psk-file: key, remote-port: 4500,\n"
    "         inside: 169.254.1.5/30, local-id: b.example, remote-id: c.example}\n";

static const char plain[] = "    networks: [10.20.0.0/16, 'fd20::/32']\n";

static const char *
yaml(const char *gateway, const char *keys)
{
	static char text[8192];

	snprintf(text, sizeof(text), office, gateway, keys);
	return text;
}

static struct gw_connection *
start(const char *gateway, const char *keys)
{
	tap_new(yaml(gateway, keys));
	tap.log[0] = '\0';
	return tap.r.g.connections;
}

static void
no_fixture(void)
{
}

/* ---- it comes ----------------------------------------------------------------------------- */

/* Guards before the device, so that nothing leaves in clear while there is none; the rest in an
 * order in which each finds what it needs. */
START_TEST(a_connection_comes_up_in_this_order)
{
	struct gw_connection *c = start("", plain);

	ck_assert_uint_eq(tap.cookie, c->id);
	expect_said("",
	    "host route-add 10.20.0.0/16 guard\n"
	    "host route-add fd20::/32 guard\n"
	    "host tun-open td-office\n"
	    "host sysctl-set rp_filter td-office 2\n"
	    "host link-set td-office up 1418\n"
	    "host addr-add td-office 169.254.1.1/30\n"
	    "host addr-add td-office fd00:1::1/126\n"
	    "host addr-add td-office 169.254.1.5/30\n"
	    "host route-add 10.20.0.0/16 td-office 100\n"
	    "host route-add fd20::/32 td-office 100\n"
	    "esp path\n"
	    "mon set office\n"
	    "ike set office/1\n"
	    "ike set office/2\n");
}
END_TEST

static struct config_connection *
conf_of(unsigned i)
{
	return &tap.r.g.config->connection[i];
}

START_TEST(guards_are_as_configured)
{
	(void)start("", "    guard: always\n    networks: [10.20.0.0/16, 0.0.0.0/0]\n");
	/* never of a default route: the host itself would be cut off */
	ck_assert_int_eq(strncmp(heard_of("host"),
	    "host route-add 10.20.0.0/16 guard kept\nhost tun-open", 50), 0);
	tap_free();
	(void)start("", "    guard: off\n    networks: [10.20.0.0/16]\n");
	ck_assert_ptr_null(strstr(heard_of("host"), "guard"));
}
END_TEST

/* Two connections share a network, one behind the other: its guard is one, and the strongest wish
 * of them holds. */
START_TEST(a_shared_network_has_the_strongest_guard)
{
	tap_new("connections:\n"
	    "  one:\n    networks: [10.20.0.0/16]\n    guard: always\n" TAP_TUNNELS_OF("1")
	    "  two:\n    networks: [10.20.0.0/16]\n    metric: 200\n" TAP_TUNNELS_OF("2"));
	ck_assert_uint_eq(conf_of(1)->guard, GUARD_ON);
	expect_said("host route-add", "host route-add 10.20.0.0/16 guard kept\n"
	    "host route-add 10.20.0.0/16 td-one 100\n"
	    "host route-add 10.20.0.0/16 guard kept\n"
	    "host route-add 10.20.0.0/16 td-two 200\n");
}
END_TEST

/* Only where we are asked to manage the host is anything of it changed that is not ours. */
START_TEST(the_host_is_managed_only_when_asked)
{
	struct gw_connection *c = start("", plain);

	(void)heard_of("");
	device_forwarding(&tap.r.g, c);
	device_uplink(&tap.r.g, &c->t[0], "eth0");
	expect_said("", "");
	tap_free();
	c = start("host: manage\n", plain);
	expect_said("host sysctl", "host sysctl-set forward4 1\nhost sysctl-set forward6 1\n"
	    "host sysctl-set rp_filter td-office 2\n");
	device_uplink(&tap.r.g, &c->t[0], "eth0");
	device_uplink(&tap.r.g, &c->t[0], "eth0");		/* once is enough */
	device_uplink(&tap.r.g, &c->t[1], "eth0");
	device_uplink(&tap.r.g, &c->t[0], "eth1");
	expect_said("", "host sysctl-set rp_filter eth0 2\nhost sysctl-set rp_filter eth0 2\n"
	    "host sysctl-set rp_filter eth1 2\n");
	tap_free();
	(void)start("host: manage\n", "    networks: [10.20.0.0/16]\n");
	expect_said("host sysctl-set f", "host sysctl-set forward4 1\n");
}
END_TEST

/* ---- what the machines and the worker get --------------------------------------------------- */

START_TEST(the_worker_gets_the_path)
{
	struct gw_connection *c = start("",
	    "    networks: [10.20.0.0/16, 'fd20::/32']\n    copy-dscp: false\n    mss-clamp: false\n");
	struct esp_path *p = tap.path;
	struct ip inside = ip_of("fd00:1::1");
	static const char *const sources[] = { "10.20.0.0/16", "fd20::/32", "169.254.1.2/32",
		"fd00:1::2/128", "10.20.0.9/32", "169.254.1.6/32", "169.254.1.6/32" };

	ck_assert_uint_eq(p->device, c->device);
	ck_assert(!p->clamp_mss && !p->copy_dscp && p->copy_df);
	ck_assert_uint_eq(p->n, 2);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_uint_eq(p->t[i].tunnel, c->t[i].id);
	ck_assert_uint_eq(p->t[0].mtu, 1438);
	ck_assert_uint_eq(p->t[1].mtu, 1418);		/* over IPv6 */
	ck_assert(ip_equal(&p->t[0].inside_local[1], &inside));
	ck_assert_uint_eq(p->own_n, 0);			/* till the host was looked at */
	ck_assert_uint_eq(p->sources_n, sizeof(sources) / sizeof(sources[0]));
	for (unsigned i = 0; i < p->sources_n; i++)
		ck_assert_str_eq(prefix_text(&p->sources[i]), sources[i]);
	for (unsigned i = 0; i < ESP_BUCKETS; i++)
		ck_assert_uint_eq(p->bucket[i], MON_NONE);	/* till the monitor has chosen */
}
END_TEST

START_TEST(ike_gets_the_tunnel)
{
	struct gw_connection *c = start("port: 501\nnatt-port: 4501\n",
	    "    networks: [10.20.0.0/16]\n    mode: add\n    lifetime: 2h\n    ike-lifetime: 9h\n"
	    "    liveness: 20s\n    retry-max: 2m\n    replay-window: 256\n"
	    "    esp: [aes128gcm16, aes256gcm16]\n    ike: aes256gcm16-prfsha384-ecp384\n");
	const struct ike_tunnel *k = &tap.conf;		/* that of tunnel 2 */

	ck_assert_uint_eq(k->id, c->t[1].id);
	ck_assert_uint_eq(k->connection, c->id);
	ck_assert_str_eq(k->name, "office/2");
	ck_assert(ip_equal(&k->local, &c->conf->tunnel[1].local));
	ck_assert(ip_equal(&k->remote, &c->conf->tunnel[1].remote));
	ck_assert_uint_eq(k->local_port, 501);
	ck_assert_uint_eq(k->local_natt_port, 4501);
	ck_assert_uint_eq(k->remote_port, 4500);
	ck_assert(id_equal(&k->local_id, &c->conf->tunnel[1].local_id));
	ck_assert(id_equal(&k->remote_id, &c->conf->tunnel[1].remote_id));
	ck_assert_ptr_eq(k->psk, c->conf->tunnel[1].psk);
	ck_assert_uint_eq(k->psk_len, strlen("a shared secret"));
	ck_assert_uint_eq(k->esp_n, 2);
	ck_assert_uint_eq(k->esp[0].enc, AEAD_AES_GCM_16_128);
	ck_assert_uint_eq(k->ike_n, 1);
	ck_assert_uint_eq(k->ts_local.n, c->conf->ts_local.n);
	ck_assert_uint_eq(k->ts_remote.n, c->conf->ts_remote.n);
	ck_assert(!k->start);
	ck_assert_uint_eq(k->window, 256);
	ck_assert_uint_eq(k->ike_life, USEC_S(9 * 3600));
	ck_assert_uint_eq(k->child_life, USEC_S(2 * 3600));
	ck_assert_uint_eq(k->liveness, USEC_S(20));
	ck_assert_uint_eq(k->retry_max, USEC_S(120));
	tap_free();
	(void)start("", plain);
	ck_assert(tap.conf.start);
}
END_TEST

START_TEST(the_monitor_gets_the_connection)
{
	struct gw_connection *c = start("",
	    "    networks: [10.20.0.0/16]\n    policy: pinned\n    pin: 2\n    hold: 7s\n");
	const struct mon_conf *m = &tap.watched;

	ck_assert_uint_eq(m->connection, c->id);
	ck_assert_str_eq(m->name, "office");
	ck_assert_uint_eq(m->n, 2);
	ck_assert_uint_eq(m->policy, MON_PINNED);
	ck_assert_uint_eq(m->pin, 1);
	ck_assert_uint_eq(m->hold, USEC_S(7));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(m->tunnel[i], c->t[i].id);
		ck_assert(m->echo[i]);
	}
	tap_free();
	/* nobody inside to ask: judged by IKE alone */
	tap_new("connections:\n  office:\n    networks: [10.20.0.0/16]\n    psk-file: key\n"
	    "    local: 192.0.2.1\n    tunnels: [{remote: 203.0.113.1}, {remote: 203.0.113.2}]\n");
	ck_assert(!m->echo[0] && !m->echo[1]);
	ck_assert_ptr_null(strstr(heard_of(""), "addr-add"));
	ck_assert_uint_eq(tap.path->own_n, 0);
}
END_TEST

/* ---- the MTU -------------------------------------------------------------------------------- */

/* The least of both tunnels; what is written beats what the route has; never below what IPv4
 * needs; and the host is told only of changes. */
START_TEST(the_mtu_is_that_of_the_narrower_tunnel)
{
	struct gw_connection *c = start("", plain);
	struct gw *g = &tap.r.g;

	(void)heard_of("");
	connection_mtu(g, c);
	expect_said("", "");
	c->t[0].outer_mtu = 1400;
	connection_mtu(g, c);
	expect_said("", "host link-set td-office up 1338\n");
	ck_assert_uint_eq(c->mtu, 1338);
	ck_assert(logged("mtu connection=office", "mtu=1338"));
	c->t[1].outer_mtu = 1400;
	connection_mtu(g, c);
	expect_said("", "host link-set td-office up 1318\n");
	c->t[0].outer_mtu = c->t[1].outer_mtu = 100;
	connection_mtu(g, c);
	expect_said("", "host link-set td-office up 576\n");
	c->t[0].outer_mtu = c->t[1].outer_mtu = 65536;	/* loopback */
	connection_mtu(g, c);
	ck_assert_uint_lt(c->mtu, WORKER_MTU_MAX);
	ck_assert_uint_gt(c->mtu, WORKER_MTU_MAX - 150);
	tap_free();
	c = start("", "    networks: [10.20.0.0/16]\n    mtu: 1300\n");
	(void)heard_of("");
	c->t[0].outer_mtu = 9000;
	connection_mtu(&tap.r.g, c);
	expect_said("", "");
	ck_assert_uint_eq(c->mtu, 1218);
}
END_TEST

/* ---- the device ----------------------------------------------------------------------------- */

static int
descriptor(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(the_device_goes_to_the_worker)
{
	struct gw_connection *c = start("", plain);
	struct host_answer a = { .op = HOST_TUN_OPEN, .fd = descriptor() };

	ck_assert(!c->device_open);
	(void)heard_of("");
	device_answer(&tap.r.g, c->id, &a);
	expect_said("", "worker device-add\n");
	ck_assert(c->device_open);
	ck_assert_int_eq(tap.posted.fd, a.fd);
	ck_assert_uint_eq(tap.posted.index, c->device);
	ck_assert(is_open(a.fd));
	/* the worker has no memory: it is not open, and not lost either */
	tap.no_room = true;
	device_answer(&tap.r.g, c->id, &a);
	ck_assert(!c->device_open && !is_open(a.fd));
	ck_assert(logged("device-retry connection=office", "no memory"));
	/* an answer for a connection that is gone meanwhile */
	tap.no_room = false;
	a.fd = descriptor();
	device_answer(&tap.r.g, 4711, &a);
	expect_said("", "");
	ck_assert(!is_open(a.fd));
}
END_TEST

START_TEST(what_the_host_refuses_is_said)
{
	struct gw_connection *c = start("", plain);
	struct host_answer a = { .op = HOST_TUN_OPEN, .fd = -1, .err = -EBUSY, .text = "it is taken" };

	(void)heard_of("");
	device_answer(&tap.r.g, c->id, &a);
	expect_said("", "");
	ck_assert(logged("device-retry connection=office", "it is taken"));
	a.op = HOST_ROUTE_ADD;
	device_answer(&tap.r.g, 4711, &a);
	ck_assert(logged("host-refused connection=-", "it is taken"));
	a.err = 0;
	device_answer(&tap.r.g, c->id, &a);
	ck_assert(!logged("host-refused", NULL));
}
END_TEST

/* Indices are given back, and no two connections have the same. */
START_TEST(each_has_a_device_of_its_own)
{
	struct gw *g = &tap.r.g;
	uint16_t first;

	tap_new(tap_yaml);
	first = g->connections->device;
	ck_assert_uint_ne(first, g->connections->next->device);
	connection_del(g, g->connections);
	ck_assert(connection_add(g, conf_of(0)));
	ck_assert_str_eq(g->connections->next->conf->name, "office");	/* at the end */
	ck_assert_uint_eq(g->connections->next->device, first);
	memset(g->devices, 0xff, sizeof(g->devices));
	(void)heard_of("");
	ck_assert(!connection_add(g, conf_of(0)));
	ck_assert(logged("no-room", "office"));
	expect_said("", "");
	ck_assert_ptr_null(g->connections->next->next);
	g->devices[WORKER_DEVICES / 64 - 1] = UINT64_MAX >> 1;	/* the last one */
	ck_assert(connection_add(g, conf_of(0)));
	ck_assert_uint_eq(g->connections->next->next->device, WORKER_DEVICES - 1);
}
END_TEST

/* ---- it goes -------------------------------------------------------------------------------- */

/* The peers are told first; the worker lets go of the device before the host deletes it. */
START_TEST(a_connection_goes_with_all_it_had)
{
	struct gw_connection *c = start("", plain), *gone = c;
	uint32_t connection = c->id, id[2] = { c->t[0].id, c->t[1].id };
	struct gw *g = &tap.r.g;
	struct config without = *g->config;

	gw_touch(g, c->id, 0);
	(void)heard_of("");
	without.connection_n = 0;
	g->next = &without;		/* as a reload does: its networks are nobody's then */
	connection_del(g, c);
	g->next = NULL;
	expect_said("",
	    "ike del office/1\n"
	    "esp tunnel-del office/1\n"
	    "ike del office/2\n"
	    "esp tunnel-del office/2\n"
	    "mon del office\n"
	    "esp path-del\n"
	    "worker device-del\n"
	    "host tun-close td-office\n"
	    "host route-del 10.20.0.0/16 guard\n"
	    "host route-del fd20::/32 guard\n");
	ck_assert_ptr_null(g->connections);
	ck_assert_ptr_ne(g->touched, gone);
	ck_assert_ptr_null(gw_connection_by_id(g, connection));
	for (int i = 0; i < 2; i++)
		ck_assert_ptr_null(gw_tunnel_find(g, id[i]));
	ck_assert_uint_eq(heap_deadline(&g->samples), USEC_NEVER);
	/* ids are not given again */
	ck_assert(connection_add(g, conf_of(0)));
	ck_assert_uint_gt(g->connections->id, connection);
	ck_assert_uint_gt(g->connections->t[0].id, id[1]);
}
END_TEST

/* ---- it changes ----------------------------------------------------------------------------- */

/* A second configuration, which the connection is changed to as a reload would. */
struct change {
	struct config *to;
	struct config_errors e, w;
};

static void
change(struct change *x, const char *keys, bool rekey)
{
	struct gw *g = &tap.r.g;
	const char *text = yaml("", keys);

	x->to = config_parse(tap.r.conf.config_path, text, strlen(text), g->secrets, &x->e, &x->w);
	ck_assert_msg(x->to != NULL, "%s", x->e.n > 0 ? x->e.line[0] : "?");
	(void)heard_of("");
	g->next = x->to;
	connection_change(g, g->connections, &x->to->connection[0], rekey);
	g->next = NULL;
}

static void
change_fini(struct change *x)
{
	struct gw *g = &tap.r.g;

	config_free(g->config);
	g->config = x->to;
	config_errors_free(&x->e);
	config_errors_free(&x->w);
}

/* What is new comes before what is old goes; what stays is not touched; no device, no tunnel and
 * no address is asked for again. */
START_TEST(a_change_does_only_what_differs)
{
	struct gw_connection *c = start("", plain), was = *c;
	struct change x;

	change(&x, "    networks: [10.20.0.0/16, 10.21.0.0/16]\n    policy: active-active\n", false);
	expect_said("",
	    "host route-add 10.21.0.0/16 guard\n"
	    "host route-add 10.21.0.0/16 td-office 100\n"
	    "host route-del fd20::/32 td-office 100\n"
	    "host route-del fd20::/32 guard\n"
	    "esp path\n"
	    "mon set office\n"
	    "ike set office/1\n"
	    "ike set office/2\n");
	ck_assert_ptr_eq(tap.r.g.connections, c);
	ck_assert_ptr_eq(c->conf, &x.to->connection[0]);
	ck_assert_ptr_eq(c->t[1].conf, &x.to->connection[0].tunnel[1]);
	ck_assert_uint_eq(c->id, was.id);
	ck_assert_uint_eq(c->t[0].id, was.t[0].id);
	ck_assert_uint_eq(c->device, was.device);
	ck_assert_uint_eq(tap.watched.policy, MON_ACTIVE_ACTIVE);
	change_fini(&x);
}
END_TEST

/* Another metric is another route: the new one is there before the old one goes. */
START_TEST(a_changed_metric_moves_the_routes)
{
	struct change x;

	(void)start("", "    networks: [10.20.0.0/16]\n");
	change(&x, "    networks: [10.20.0.0/16]\n    metric: 50\n", false);
	expect_said("host", "host route-add 10.20.0.0/16 td-office 50\n"
	    "host route-del 10.20.0.0/16 td-office 100\n");
	change_fini(&x);
}
END_TEST

START_TEST(a_guard_comes_and_goes_by_itself)
{
	struct change x;

	(void)start("", "    networks: [10.20.0.0/16]\n");
	change(&x, "    networks: [10.20.0.0/16]\n    guard: always\n", false);
	expect_said("host", "host route-add 10.20.0.0/16 guard kept\n");
	change_fini(&x);
	change(&x, "    networks: [10.20.0.0/16]\n    guard: off\n", false);
	expect_said("host", "host route-del 10.20.0.0/16 guard\n");
	change_fini(&x);
	change(&x, "    networks: [10.20.0.0/16]\n    guard: on\n", false);
	expect_said("host", "host route-add 10.20.0.0/16 guard\n");
	change_fini(&x);
}
END_TEST

/* Suites and lifetimes are agreed anew, of what is up: the IKE SA, then the Child SA. */
START_TEST(a_rekey_is_for_tunnels_that_are_up)
{
	struct gw_connection *c = start("", plain);
	struct change x;

	c->t[1].up = true;
	change(&x, "    networks: [10.20.0.0/16, 'fd20::/32']\n    lifetime: 2h\n", true);
	expect_said("ike", "ike set office/1\n"
	    "ike set office/2\n"
	    "ike rekey office/2 ike\n"
	    "ike rekey office/2 child\n");
	change_fini(&x);
}
END_TEST

/* The worker's memory ran out: nothing is left behind, and it is said. */
START_TEST(a_path_that_is_not_taken_is_freed)
{
	struct gw_connection *c = start("", plain);

	tap.no_room = true;
	connection_path(&tap.r.g, c);
	ck_assert(logged("no-memory", "worker"));
	connection_mtu(&tap.r.g, c);
	c->mtu = 0;
	connection_mtu(&tap.r.g, c);
	ck_assert(logged("no-memory connection=office", "host request"));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, no_fixture, tap_free);
	tcase_add_test(t, a_connection_comes_up_in_this_order);
	tcase_add_test(t, guards_are_as_configured);
	tcase_add_test(t, a_shared_network_has_the_strongest_guard);
	tcase_add_test(t, the_host_is_managed_only_when_asked);
	tcase_add_test(t, the_worker_gets_the_path);
	tcase_add_test(t, ike_gets_the_tunnel);
	tcase_add_test(t, the_monitor_gets_the_connection);
	tcase_add_test(t, the_mtu_is_that_of_the_narrower_tunnel);
	tcase_add_test(t, the_device_goes_to_the_worker);
	tcase_add_test(t, what_the_host_refuses_is_said);
	tcase_add_test(t, each_has_a_device_of_its_own);
	tcase_add_test(t, a_connection_goes_with_all_it_had);
	tcase_add_test(t, a_change_does_only_what_differs);
	tcase_add_test(t, a_changed_metric_moves_the_routes);
	tcase_add_test(t, a_guard_comes_and_goes_by_itself);
	tcase_add_test(t, a_rekey_is_for_tunnels_that_are_up);
	tcase_add_test(t, a_path_that_is_not_taken_is_freed);
}

UNIT_MAIN("gateway/connection", fill)
