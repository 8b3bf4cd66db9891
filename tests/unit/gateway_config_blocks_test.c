/* SPDX-License-Identifier: MIT */
#include "config_unit.h"

/* Two connections; what differs from case to case is written in. */
struct pair {
	const char *networks1, *key1, *inside1, *remote1;
	const char *networks2, *key2, *inside2, *remote2;
	const char *place, *words;		/* NULL: nothing to say */
	bool warning;
};

#define IN1	"10.9.0.1/30"
#define IN2	"10.9.0.9/30"
#define R1	"203.0.113.1"
#define R2	"203.0.113.3"
#define N1	"10.1.0.0/16"
#define N2	"10.2.0.0/16"
#define K	"metric: 100"

static const struct pair pairs[] = {
	{ N1, K, IN1, R1, N2, K, IN2, R2, NULL, NULL, false },
	/* between connections */
	{ N1, K, IN1, R1, N1, K, IN2, R2, "10:15", "also that of 'one' (line 3)", false },
	{ N1, K, IN1, R1, N1, "metric: 200", IN2, R2, NULL, NULL, false },
	{ N1, K, IN1, R1, "10.1.2.0/24", "metric: 200", IN2, R2, "10:15", "overlaps '10.1.0.0/16' of 'one'", false },
	{ "10.1.2.0/24", K, IN1, R1, N1, K, IN2, R2, "10:15", "overlaps '10.1.2.0/24' of 'one' (line 3)", false },
	{ "['fd01::/32', 10.7.0.0/16]", K, IN1, R1, "'fd01:0:1::/48'", K, IN2, R2, "10:15", "overlaps", false },
	{ N1, K, IN1, R1, "[10.2.0.0/16, 10.1.9.9]", K, IN2, R2, "10:29", "overlaps", false },
	/* behind a network of its own that is a backup */
	{ N1, K, IN1, R1, "[10.1.0.0/16, 10.1.2.0/24]", "metric: 200", IN2, R2, "10:29",
	    "overlaps '10.1.0.0/16' of 'one'", false },
	/* a default route is for what is not elsewhere */
	{ "0.0.0.0/0", K, IN1, R1, N2, K, IN2, R2, "3:15", "a default route leads", true },
	{ "0.0.0.0/0", K, IN1, R1, "0.0.0.0/0", K, IN2, R2, "10:15", "also that of 'one'", false },
	/* within a connection */
	{ "[10.1.0.0/16, 10.1.0.0/16]", K, IN1, R1, N2, K, IN2, R2, "3:29", "given twice", false },
	{ "[10.1.0.0/16, 10.1.3.0/24]", K, IN1, R1, N2, K, IN2, R2, "3:29", "is within '10.1.0.0/16'", true },
	{ "[10.1.3.0/24, 10.1.0.0/16]", K, IN1, R1, N2, K, IN2, R2, "3:16", "'10.1.3.0/24' is within", true },
	/* outside addresses */
	{ "[10.1.0.0/16, 203.0.113.0/31]", K, IN1, R1, N2, K, IN2, R2, "3:29",
	    "routed into itself", false },
	{ "[10.1.0.0/16, 203.0.113.1]", K, IN1, R1, N2, K, IN2, R2, "3:29", "routed into itself", false },
	{ "[10.1.0.0/16, 203.0.113.3]", K, IN1, R1, N2, K, IN2, R2, "3:29",
	    "contains a 'remote' of 'two' (line 13)", true },
	{ N1, K, IN1, R1, N2, K, IN2, "10.9.0.10", "13:36", "contains a 'remote'", false },
	/* inside links */
	{ N1, K, IN1, R1, N2, K, IN1, R2, "13:36", "that of another tunnel (line 6)", false },
	{ N1, K, IN1, R1, N2, K, "10.9.0.2/31", R2, "13:36", "that of another tunnel (line 6)", false },
	{ "10.9.0.0/16", K, IN1, R1, N2, K, "192.168.9.1/30", R2, "3:15", "contains the inside network", true },
	{ "[10.1.0.0/16, 10.9.0.0/30]", K, IN1, R1, N2, K, IN2, R2, "3:29", "is an inside network", false },
	{ "[10.1.0.0/16, 10.9.0.2]", K, IN1, R1, N2, K, IN2, R2, "3:29", "is within an inside network", false },
	/* our own networks */
	{ N1, "local-networks: 10.1.0.0/16", IN1, R1, N2, K, IN2, R2, "3:15", "one of our 'local-networks'", false },
	{ N1, "local-networks: 10.0.0.0/8", IN1, R1, "192.168.1.0/24", K, IN2, R2, "3:15",
	    "within our 'local-networks'", false },
	{ N1, "local-networks: 10.1.1.0/24", IN1, R1, N2, K, IN2, R2, NULL, NULL, false },
};

static void
print(char *text, size_t cap, const struct pair *p)
{
	snprintf(text, cap,
	    "connections:\n"
	    "  one:\n"
	    "    networks: %s\n"
	    "    %s\n"
	    "    tunnels:\n"
	    "      - {local: 192.0.2.1, inside: %s, remote: %s, psk-file: a}\n"
	    "      - {local: 192.0.2.1, inside: 10.88.0.1/30, remote: 198.51.100.1, psk-file: a}\n"
	    "    mode: add\n", p->networks1, p->key1, p->inside1, p->remote1);
}

START_TEST(each_pair_of_ranges_is_judged_by_its_rule)
{
	char one[2048], text[8192];
	struct fix f;

	fix_init(&f);
	for (size_t i = 0; i < N_OF(pairs); i++) {
		const struct pair *p = &pairs[i];
		const struct config_errors *e = p->warning ? &f.w : &f.e;

		print(one, sizeof(one), p);
		snprintf(text, sizeof(text), "%s"
		    "  two:\n"
		    "    networks: %s\n"
		    "    %s\n"
		    "    tunnels:\n"
		    "      - {local: 192.0.2.1, inside: %s, remote: %s, psk-file: b}\n"
		    "      - {local: 192.0.2.1, inside: 10.88.0.5/30, remote: 198.51.100.2, psk-file: b}\n",
		    one, p->networks2, p->key2, p->inside2, p->remote2);
		fix_load(&f, text);
		if (p->words == NULL) {
			ck_assert_msg(f.e.n + f.w.n == 0, "case %zu: %s%s", i, fix_lines(&f.e),
			    fix_lines(&f.w));
			continue;
		}
		ck_assert_msg(e->n == 1 && (!p->warning || f.e.n == 0) && fix_has(&f, e, p->place, p->words),
		    "case %zu: expected %s \"%s\", got %s%s", i, p->place, p->words, fix_lines(&f.e),
		    fix_lines(&f.w));
	}
	fix_fini(&f);
}
END_TEST

/* Within a connection the two inside links must differ too. */
START_TEST(two_tunnels_have_two_inside_links)
{
	struct fix f;

	fix_init(&f);
	fix_load(&f, fix_swap("169.254.10.5/30", "169.254.10.2/30"));
	ck_assert_msg(f.e.n == 1 && fix_has(&f, &f.e, "14:17", "that of another tunnel (line 10)"), "%s",
	    fix_lines(&f.e));
	fix_fini(&f);
}
END_TEST

/* One pass finds what comparing all pairs would: random nested networks, two connections. */
START_TEST(the_sweep_finds_every_overlap)
{
	struct fix f;
	unsigned seed = 1;
	char list[2][256], text[2048];

	fix_init(&f);
	for (unsigned round = 0; round < 300; round++) {
		struct prefix p[2][4];
		bool overlap = false;

		for (unsigned c = 0; c < 2; c++) {
			size_t n = 0;

			for (unsigned i = 0; i < 4; i++) {
				char word[PREFIX_STRLEN];

				seed = seed * 1103515245 + 12345;
				snprintf(word, sizeof(word), "10.%u.%u.0/%u", (seed >> 16) & 3,
				    (seed >> 18) & 255, 14 + ((seed >> 26) % 11));
				ck_assert(prefix_parse(word, false, &p[c][i]));
				n += (size_t)sprintf(list[c] + n, "%s%s", i > 0 ? ", " : "",
				    prefix_str(&p[c][i], word));
			}
		}
		for (unsigned i = 0; i < 16; i++)
			overlap |= prefix_overlap(&p[0][i / 4], &p[1][i % 4]);
		for (unsigned c = 0; c < 2; c++) {
			for (unsigned i = 0; i < 16; i++)
				overlap |= i / 4 != i % 4 && p[c][i / 4].len == p[c][i % 4].len &&
				    ip_equal(&p[c][i / 4].ip, &p[c][i % 4].ip);
		}
		snprintf(text, sizeof(text), "connections:\n"
		    "  a: {networks: [%s], local: 192.0.2.1, psk-file: a, tunnels: [{remote: 203.0.113.1},"
		    " {remote: 203.0.113.2}]}\n"
		    "  b: {networks: [%s], local: 192.0.2.1, psk-file: a, tunnels: [{remote: 203.0.113.3},"
		    " {remote: 203.0.113.4}]}\n", list[0], list[1]);
		fix_load(&f, text);
		ck_assert_msg((f.e.n > 0) == overlap, "%s%s", text, fix_lines(&f.e));
	}
	fix_fini(&f);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, each_pair_of_ranges_is_judged_by_its_rule);
	tcase_add_test(t, two_tunnels_have_two_inside_links);
	tcase_add_test(t, the_sweep_finds_every_overlap);
}

UNIT_MAIN("gateway/config_blocks", fill)
