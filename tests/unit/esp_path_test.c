/* SPDX-License-Identifier: MIT */
#include "esp/path.h"

#include "esp_rig.h"

static struct inner
inner_of(const char *src, const char *dst)
{
	return (struct inner){ .src = ip_of(src), .dst = ip_of(dst), .proto = 17, .has_port = true,
		.sport = 1000, .dport = 2000 };
}

/* Every part of the 5-tuple moves the hash; nothing else does. */
START_TEST(flow_is_the_five_tuple)
{
	struct inner in = inner_of("10.1.0.9", "10.2.0.9"), other;
	uint8_t base = path_bucket(&in);
	unsigned same[5] = { 0 };

	other = in;
	other.tos = 99;
	other.len = 1234;
	ck_assert_uint_eq(path_bucket(&other), base);
	for (unsigned i = 1; i <= 256; i++) {
		for (unsigned part = 0; part < 5; part++) {
			other = in;
			switch (part) {
			case 0: put16(other.src.b + 2, 9 + i); break;
			case 1: put16(other.dst.b + 2, 9 + i); break;
			case 2: other.proto = (uint8_t)(17 + i); break;
			case 3: other.sport = (uint16_t)(1000 + i); break;
			case 4: other.dport = (uint16_t)(2000 + i); break;
			}
			same[part] += path_bucket(&other) == base;
		}
	}
	/* one in 256 by chance; the protocol comes round to itself once */
	for (unsigned part = 0; part < 5; part++)
		ck_assert_msg(same[part] <= 10, "part %u: %u of 256 alike", part, same[part]);
}
END_TEST

/* All buckets get their share, of v4 and v6, of flows that differ in one field only. */
START_TEST(flow_is_even)
{
	unsigned n[ESP_BUCKETS] = { 0 };

	for (unsigned i = 0; i < 256 * 100; i++) {
		struct inner in = inner_of("2001:db8:1::9", "2001:db8:2::9");

		if (_i == 0)
			in = inner_of("10.1.0.9", "10.2.0.9");
		in.sport = (uint16_t)i;
		if (_i == 2)
			put16(in.src.b + 14, i);
		n[path_bucket(&in)]++;
	}
	for (unsigned b = 0; b < ESP_BUCKETS; b++)
		ck_assert_msg(n[b] > 40 && n[b] < 180, "bucket %u has %u of 100", b, n[b]);
}
END_TEST

START_TEST(chooses)
{
	struct esp_path *p = rig_path(0);
	struct path_dev d = { .path = p, .n = 2 };
	struct inner in = inner_of("10.1.0.9", "10.2.0.9");

	memset(p->bucket, 1, sizeof(p->bucket));
	ck_assert_int_eq(path_choose(&d, &in), 1);
	memset(p->bucket, ESP_BUCKET_NONE, sizeof(p->bucket));
	ck_assert_int_eq(path_choose(&d, &in), -1);
	memset(p->bucket, 2, sizeof(p->bucket));	/* out of the list */
	ck_assert_int_eq(path_choose(&d, &in), -1);
	in.dst = inside_of(1, 1, false);
	ck_assert_int_eq(path_choose(&d, &in), 0);
	in = inner_of("fd00::9", "fd00:2::2");
	ck_assert_int_eq(path_choose(&d, &in), 1);
	d.n = 0;
	ck_assert_int_eq(path_choose(&d, &in), -1);
	esp_path_free(p);
	esp_path_free(NULL);
}
END_TEST

/* Own addresses by bisection, sources by list, at all places of both. */
START_TEST(accepts)
{
	struct esp_path *p = calloc(1, sizeof(*p));
	struct path_dev d = { .path = p };
	char text[RIG_LONG];
	struct ip ip;

	p->own = calloc(100, sizeof(*p->own));
	p->sources = calloc(100, sizeof(*p->sources));
	p->own_n = p->sources_n = 100;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), i % 2 != 0 ? "10.0.%u.1" : "2001:db8:%x::1", i);
		p->own[i] = ip_of(text);
		snprintf(text, sizeof(text), i % 2 != 0 ? "10.0.%u.0/24" : "2001:db8:%x::/48", i);
		p->sources[i] = prefix_of(text);
	}
	qsort(p->own, 100, sizeof(*p->own), rig_cmp_ip);
	for (unsigned i = 0; i < 120; i++) {
		for (unsigned last = 0; last < 3; last++) {
			enum drop want = i >= 100 ? DROP_IN_SOURCE : last == 1 ? DROP_IN_OWN : PASS;

			snprintf(text, sizeof(text), i % 2 != 0 ? "10.0.%u.%u" : "2001:db8:%x::%u", i,
			    last + (last == 0) * 7);
			ip = ip_of(text);
			ck_assert_msg(path_accepts(&d, &ip) == want, "%s", text);
		}
	}
	esp_path_free(p);
}
END_TEST

/* The longer prefix decides whose a network is; of two alike it is ours. */
START_TEST(accepts_no_lan)
{
	static const struct { const char *src; enum drop want; } t[] = { { "8.8.8.8", PASS },
		{ "10.1.7.9", DROP_IN_OWN }, { "10.1.99.9", PASS }, { "10.1.99.200", DROP_IN_OWN },
		{ "10.2.0.9", PASS }, { "192.168.5.5", DROP_IN_OWN }, { "fd00:1::7", DROP_IN_OWN },
		{ "fd00:2::7", PASS } };
	struct esp_path *p = rig_path(0);
	struct path_dev d = { .path = p, .n = 2 };

	free(p->sources);
	p->sources = calloc(4, sizeof(*p->sources));
	p->sources_n = 4;
	p->sources[0] = prefix_of("0.0.0.0/0");
	p->sources[1] = prefix_of("::/0");
	p->sources[2] = prefix_of("10.1.99.0/25");
	p->sources[3] = prefix_of("192.168.0.0/16");
	p->lan = calloc(3, sizeof(*p->lan));
	p->lan_n = 3;
	p->lan[0] = prefix_of("10.1.0.0/16");
	p->lan[1] = prefix_of("192.168.0.0/16");
	p->lan[2] = prefix_of("fd00:1::/64");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ip ip = ip_of(t[i].src);

		ck_assert_msg(path_accepts(&d, &ip) == t[i].want, "%s", t[i].src);
	}
	esp_path_free(p);
}
END_TEST

/* Where everything may come from, what is no host's address still may not. */
START_TEST(accepts_hosts_only)
{
	static const struct { const char *src; bool ok; } t[] = { { "8.8.8.8", true },
		{ "127.0.0.1", false }, { "0.0.0.0", false }, { "239.1.1.1", false },
		{ "255.255.255.255", false }, { "2001:db8::7", true }, { "::1", false },
		{ "::", false }, { "ff02::1", false } };
	struct esp_path *p = rig_path(0);
	struct path_dev d = { .path = p, .n = 2 };

	p->sources[0] = prefix_of("0.0.0.0/0");
	p->sources[1] = prefix_of("::/0");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ip ip = ip_of(t[i].src);

		ck_assert_msg(path_accepts(&d, &ip) == (t[i].ok ? PASS : DROP_IN_SOURCE), "%s",
		    t[i].src);
	}
	esp_path_free(p);
}
END_TEST

START_TEST(own_ip)
{
	struct esp_path *p = rig_path(0);
	struct path_dev d = { .path = p, .n = 2 };
	struct ip want = ip_of("169.254.2.1");

	ck_assert(ip_equal(path_own_ip(&d, 1, AF_INET), &want));
	p->t[1].inside_local[0] = p->t[1].inside_local[1] = (struct ip){ .family = 0 };
	want = ip_of("10.1.0.1");
	ck_assert(ip_equal(path_own_ip(&d, 1, AF_INET), &want));
	want = ip_of("2001:db8:1::1");
	ck_assert(ip_equal(path_own_ip(&d, 1, AF_INET6), &want));
	p->own[0] = ip_of("127.0.0.1");
	p->own[1] = ip_of("fe80::1");
	ck_assert_ptr_null(path_own_ip(&d, 1, AF_INET));
	ck_assert_ptr_null(path_own_ip(&d, 1, AF_INET6));
	esp_path_free(p);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, flow_is_the_five_tuple);
	tcase_add_loop_test(tc, flow_is_even, 0, 3);
	tcase_add_test(tc, chooses);
	tcase_add_test(tc, accepts);
	tcase_add_test(tc, accepts_no_lan);
	tcase_add_test(tc, accepts_hosts_only);
	tcase_add_test(tc, own_ip);
}

UNIT_MAIN("esp_path", fill)
