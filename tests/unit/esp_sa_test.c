/* SPDX-License-Identifier: MIT */
#include "esp/sa.h"

#include "esp_rig.h"

static struct rig r;

static struct inner
inner_of(const char *src, const char *dst, uint8_t proto, int sport, int dport)
{
	struct inner in = { .src = ip_of(src), .dst = ip_of(dst), .proto = proto };

	in.has_port = sport >= 0;
	in.sport = (uint16_t)(sport < 0 ? 0 : sport);
	in.dport = (uint16_t)(dport < 0 ? 0 : dport);
	return in;
}

static struct ts
ts_of(const char *prefix, uint8_t proto, uint16_t from, uint16_t to)
{
	struct prefix p = prefix_of(prefix);
	struct ts ts = ts_from_prefix(&p);

	ts.proto = proto;
	ts.port_start = from;
	ts.port_end = to;
	return ts;
}

/* What an outbound SA with these selectors covers; inbound is its mirror. */
static bool
covered(const struct ts_list *local, const struct ts_list *remote, struct inner in)
{
	struct child_sa *c = &r.child[0];
	struct esp_sa *out, *back;
	bool yes, mirror;
	struct ip ip;
	uint16_t port;

	rig_child(&r, AEAD_AES_GCM_16_128, true, 1, 0);
	c->ts_local = *local;
	c->ts_remote = *remote;
	out = esp_sa_out_new(r.sec, r.aeads, c, 0);
	back = esp_sa_in_new(r.sec, r.aeads, c);
	ck_assert(out != NULL && back != NULL);
	yes = esp_sa_covers(out, &in);
	ip = in.src;
	in.src = in.dst;
	in.dst = ip;
	port = in.sport;
	in.sport = in.dport;
	in.dport = port;
	mirror = esp_sa_covers(back, &in);
	ck_assert_int_eq(yes, mirror);
	esp_sa_free(r.sec, out);
	esp_sa_free(r.sec, back);
	return yes;
}

START_TEST(selectors)
{
	struct ts_list all = ts_all(), none = { .n = 0 }, web = { .n = 1 }, two = { .n = 2 };
	struct ts_list icmp = { .n = 1 }, opaque = { .n = 1 }, lan = ts_one("10.1.0.0/16");

	web.ts[0] = ts_of("10.2.0.0/16", 6, 80, 443);
	two.ts[0] = ts_of("10.2.0.0/24", 6, 22, 22);
	two.ts[1] = ts_of("10.2.1.0/24", 0, 0, 65535);
	icmp.ts[0] = ts_of("0.0.0.0/0", 1, 0x0800, 0x08ff);
	opaque.ts[0] = ts_of("0.0.0.0/0", 0, 65535, 0);
	rig_init_bare(&r);

	ck_assert(covered(&all, &all, inner_of("1.2.3.4", "5.6.7.8", 47, -1, -1)));
	ck_assert(covered(&all, &all, inner_of("fd00::1", "::1", 17, 1, 2)));
	ck_assert(!covered(&all, &none, inner_of("1.2.3.4", "5.6.7.8", 17, 1, 2)));
	ck_assert(!covered(&lan, &all, inner_of("fd00::1", "fd00::2", 17, 1, 2)));
	ck_assert(covered(&lan, &all, inner_of("10.1.255.255", "5.6.7.8", 17, 1, 2)));
	ck_assert(!covered(&lan, &all, inner_of("10.2.0.0", "5.6.7.8", 17, 1, 2)));
	/* protocol and ports */
	ck_assert(covered(&lan, &web, inner_of("10.1.0.1", "10.2.0.1", 6, 5000, 80)));
	ck_assert(covered(&lan, &web, inner_of("10.1.0.1", "10.2.0.1", 6, 5000, 443)));
	ck_assert(!covered(&lan, &web, inner_of("10.1.0.1", "10.2.0.1", 6, 80, 444)));
	ck_assert(!covered(&lan, &web, inner_of("10.1.0.1", "10.2.0.1", 6, 80, 79)));
	ck_assert(!covered(&lan, &web, inner_of("10.1.0.1", "10.2.0.1", 17, 80, 80)));
	/* a fragment, or a protocol without ports, under a selector for ports: never */
	ck_assert(!covered(&lan, &web, inner_of("10.1.0.1", "10.2.0.1", 6, -1, -1)));
	/* any of several */
	ck_assert(covered(&lan, &two, inner_of("10.1.0.1", "10.2.0.1", 6, 1, 22)));
	ck_assert(!covered(&lan, &two, inner_of("10.1.0.1", "10.2.0.1", 6, 1, 23)));
	ck_assert(covered(&lan, &two, inner_of("10.1.0.1", "10.2.1.1", 6, -1, -1)));
	ck_assert(!covered(&lan, &two, inner_of("10.1.0.1", "10.2.2.1", 6, 1, 22)));
	/* ICMP by type */
	ck_assert(covered(&all, &icmp, inner_of("10.1.0.1", "10.2.0.1", 1, 0x0800, 0x0800)));
	ck_assert(!covered(&all, &icmp, inner_of("10.1.0.1", "10.2.0.1", 1, 0, 0)));
	/* OPAQUE: only what has no ports */
	ck_assert(covered(&all, &opaque, inner_of("10.1.0.1", "10.2.0.1", 17, -1, -1)));
	ck_assert(!covered(&all, &opaque, inner_of("10.1.0.1", "10.2.0.1", 17, 1, 2)));
	rig_fini(&r);
}
END_TEST

START_TEST(refuses_nonsense)
{
	struct child_sa *c = &r.child[0];

	rig_init_bare(&r);
	rig_child(&r, AEAD_AES_GCM_16_128, true, 1, 0);
	c->key_len--;
	ck_assert_ptr_null(esp_sa_in_new(r.sec, r.aeads, c));
	ck_assert_ptr_null(esp_sa_out_new(r.sec, r.aeads, c, 0));
	c->key_len++;
	c->aead = AEAD_NONE;
	ck_assert_ptr_null(esp_sa_in_new(r.sec, r.aeads, c));
	c->aead = AEAD_N;
	ck_assert_ptr_null(esp_sa_out_new(r.sec, r.aeads, c, 0));
	c->aead = AEAD_AES_GCM_16_128;
	c->ts_local.n = TS_MAX + 1;
	ck_assert_ptr_null(esp_sa_in_new(r.sec, r.aeads, c));
	ck_assert_ptr_null(esp_sa_out_new(r.sec, r.aeads, c, 0));
	esp_sa_free(r.sec, NULL);
	ck_assert_uint_eq(secrets_used(r.sec), 0);
	rig_fini(&r);
}
END_TEST

START_TEST(window_is_brought_inside)
{
	static const struct { uint16_t ask, get; } t[] = { { 0, 64 }, { 1, 64 }, { 64, 64 },
		{ 100, 100 }, { 1024, 1024 }, { 8192, 8192 }, { 8193, 8192 }, { 65535, 8192 } };

	rig_init_bare(&r);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct esp_sa *sa;

		rig_child(&r, AEAD_AES_GCM_16_128, true, 1, 0);
		r.child[0].window = t[i].ask;
		sa = esp_sa_in_new(r.sec, r.aeads, &r.child[0]);
		ck_assert_uint_eq(sa->replay.window, t[i].get);
		esp_sa_free(r.sec, sa);
	}
	rig_fini(&r);
}
END_TEST

/* Takes are in a row, stop at the end, and tell of the soft mark once. */
START_TEST(takes)
{
	struct esp_sa *sa;
	unsigned got;
	bool low;

	rig_init_bare(&r);
	rig_child(&r, AEAD_AES_GCM_16_128, false, 1, 0);
	sa = esp_sa_out_new(r.sec, r.aeads, &r.child[0], 0);
	ck_assert_uint_eq(esp_sa_take(sa, 5, &got, &low), 1);
	ck_assert(got == 5 && !low);
	ck_assert_uint_eq(esp_sa_take(sa, 64, &got, &low), 6);
	ck_assert(got == 64 && !low);
	stat_set(&sa->seq, ESP_SEQ_SOFT - 65);
	(void)esp_sa_take(sa, 64, &got, &low);
	ck_assert(got == 64 && !low);
	(void)esp_sa_take(sa, 1, &got, &low);
	ck_assert(got == 1 && low);
	(void)esp_sa_take(sa, 1, &got, &low);
	ck_assert(!low);
	esp_sa_untold(sa);
	(void)esp_sa_take(sa, 1, &got, &low);
	ck_assert(low);
	stat_set(&sa->seq, ESP_SEQ_HARD - 3);
	ck_assert_uint_eq(esp_sa_take(sa, 64, &got, &low), ESP_SEQ_HARD - 2);
	ck_assert_uint_eq(got, 3);
	for (int i = 0; i < 100; i++) {
		uint64_t was = stat_get(&sa->seq);

		(void)esp_sa_take(sa, 64, &got, &low);
		ck_assert_uint_eq(got, 0);
		ck_assert_uint_eq(stat_get(&sa->seq), was);
	}
	esp_sa_free(r.sec, sa);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, selectors);
	tcase_add_test(tc, refuses_nonsense);
	tcase_add_test(tc, window_is_brought_inside);
	tcase_add_test(tc, takes);
}

UNIT_MAIN("esp_sa", fill)
