/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <string.h>

#include "tests/sim/forge.h"
#include "tests/unit/unit.h"

/* Openings by strangers: what they may cost, and what they are told. */

struct size_watch {
	size_t asked, largest;
};

static bool
watch(void *arg, const struct ike_action *a)
{
	struct size_watch *s = arg;

	if (a->local.ip.b[3] == 2 && a->len > s->largest)
		s->largest = a->len;
	return false;
}

/* An opening of gate 0 as it is on the wire. */
static size_t
an_opening(struct world *w, uint8_t *data, size_t cap)
{
	struct tape tape = { .gate = 0, .exchange_lost = X_IKE_SA_INIT };

	world_weather(w, &(struct weather){ .drop = tape_record, .arg = &tape });
	world_pair(w, 1, 1);
	world_run(w, USEC_MS(10));
	ck_assert_uint_eq(tape.n, 1);
	ck_assert_uint_le(tape.len, cap);
	memcpy(data, tape.data, tape.len);
	return tape.len;
}

static void
strangers_welcome(struct world *w)
{
	struct ike_tunnel c = world_conf(w, 1, 3, 0);

	c.remote = (struct ip){ .family = AF_UNSPEC };
	c.remote_id.data[0] = 77;
	c.start = false;
	world_set(w, 1, &c);
}

/* R29: spoofed openings cost a bounded number of half-open SAs, then only cookies, which are
 * no larger than what asked for them; whoever is up stays up, whoever is real gets in. */
START_TEST(spoofed_openings_are_bounded)
{
	struct size_watch s = { 0, 0 };
	struct endpoint from = { .ip = { .family = AF_INET }, .port = 500 };
	struct endpoint to = { .port = 500 };
	struct ike_totals t;
	uint8_t opening[2048];
	struct world w;

	world_init(&w, 8, 2);
	s.asked = an_opening(&w, opening, sizeof(opening));
	world_weather(&w, &(struct weather){ .loss = 0 });
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
	strangers_welcome(&w);
	world_weather(&w, &(struct weather){ .drop = watch, .arg = &s });
	to.ip = w.gate[1].ip;
	for (unsigned k = 0; k < 50000; k++) {
		memcpy(from.ip.b, &k, 4);
		from.ip.b[3] = 100;
		opening[0] = (uint8_t)k;
		opening[1] = (uint8_t)(k >> 8);
		world_inject(&w, 1, &from, &to, (struct slice){ opening, s.asked });
		if (k % 50 == 0) {
			world_run(&w, USEC_MS(1));
			t = gate_totals(&w.gate[1]);
			ck_assert_uint_le(t.half_open, 101);
			ck_assert_uint_le(t.ike_sas, 102);
			ck_assert_uint_le(t.jobs, 102);
		}
	}
	ck_assert_uint_ge(t.cookies_sent, 49800);
	ck_assert_uint_le(s.largest, s.asked);
	ck_assert_uint_eq(w.gate[1].downs, 0);
	/* Somebody real, in the middle of it, shows the cookie and comes in. */
	world_pair(&w, 2, 1);
	world_run(&w, USEC_S(1));
	ck_assert(world_agree(&w, 2));
	ck_assert(world_agree(&w, 1));
	world_run(&w, USEC_S(40));
	t = gate_totals(&w.gate[1]);
	ck_assert_uint_eq(t.half_open, 0);
	ck_assert_uint_eq(t.ike_sas, 2);
	world_fini(&w);
}
END_TEST

/* One host that does answer cookies gets no more than its quota. */
START_TEST(one_source_has_a_quota)
{
	struct endpoint from = { .ip = { AF_INET, { 203, 0, 113, 5 } }, .port = 500 };
	struct endpoint to = { .port = 500 };
	uint8_t opening[2048];
	struct world w;
	size_t len;

	world_init(&w, 9, 2);
	w.gate[1].ike->env.half_open_cookie = 1000;	/* no cookies: they would stop it sooner */
	w.gate[1].ike->env.half_open_max = 100;
	len = an_opening(&w, opening, sizeof(opening));
	strangers_welcome(&w);
	to.ip = w.gate[1].ip;
	for (unsigned k = 0; k < 1000; k++) {
		opening[0] = (uint8_t)k;
		opening[1] = (uint8_t)(k >> 8);
		world_inject(&w, 1, &from, &to, (struct slice){ opening, len });
	}
	ck_assert_uint_eq(gate_totals(&w.gate[1]).half_open, 25);
	for (unsigned k = 0; k < 1000; k++) {
		from.ip.b[3] = (uint8_t)(k % 200 + 10);
		opening[2] = (uint8_t)(k >> 8);
		opening[3] = 9;
		world_inject(&w, 1, &from, &to, (struct slice){ opening, len });
	}
	ck_assert_uint_eq(gate_totals(&w.gate[1]).half_open, 100);
	ck_assert_uint_le(gate_totals(&w.gate[1]).jobs, 300);
	world_fini(&w);
}
END_TEST

/* R16, R22: mutated and cut openings do not leave memory behind. */
START_TEST(mutated_openings_leave_nothing)
{
	struct endpoint from = { .port = 500 }, to = { .port = 500 };
	uint8_t opening[2048], bent[2048];
	struct mallinfo2 before = { 0 }, after;
	struct world w;
	size_t len;

	world_init(&w, 10, 2);
	w.gate[1].ike->env.half_open_cookie = 1000;
	len = an_opening(&w, opening, sizeof(opening));
	strangers_welcome(&w);
	from.ip = w.gate[0].ip;
	to.ip = w.gate[1].ip;
	for (unsigned k = 0; k < 60000; k++) {
		size_t cut = k % 3 == 0 ? rng_below(&w.rng, (uint32_t)len + 1) : len;

		memcpy(bent, opening, len);
		for (unsigned i = rng_below(&w.rng, 4); i < 4; i++)
			bent[rng_below(&w.rng, (uint32_t)len)] = (uint8_t)rng_u32(&w.rng);
		if (cut >= 28 && k % 6 == 0) {	/* a cut that its length field owns up to */
			bent[26] = (uint8_t)(cut >> 8);
			bent[27] = (uint8_t)cut;
		}
		world_inject(&w, 1, &from, &to, (struct slice){ bent, cut });
		if (k % 1000 == 999)
			world_run(&w, USEC_S(40));
		if (k == 5999)
			before = mallinfo2();
	}
	after = mallinfo2();
	ck_assert_uint_le(gate_totals(&w.gate[1]).ike_sas, 1);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).jobs, 0);
	ck_assert_uint_le(after.uordblks, before.uordblks + (1 << 20));
	world_fini(&w);
}
END_TEST

/* A cookie is taken for its address, nonce and SPI alone, and not for ever. */
START_TEST(cookies_are_asked_for)
{
	struct world w;

	world_init(&w, 11, 2);
	w.gate[0].ike->env.half_open_cookie = w.gate[1].ike->env.half_open_cookie = 0;
	world_pair(&w, 1, 1);
	world_pair(&w, 2, 2);
	world_run(&w, USEC_S(1));
	ck_assert(world_agree(&w, 1));
	ck_assert(world_agree(&w, 2));
	ck_assert_uint_eq(gate_totals(&w.gate[0]).cookies_sent, 1);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).cookies_sent, 1);
	world_fini(&w);
}
END_TEST

/* IKE_AUTH of one IKE SA is lost for so long. */
struct late {
	const struct world *w;
	uint64_t spi;
	usec_t until;
};

static bool
hold_back(void *arg, const struct ike_action *a)
{
	const struct late *l = arg;
	size_t marker = a->local.port == 4500 ? 4 : 0;
	struct ike_hdr h;

	return l->w->now < l->until && a->len > marker &&
	    msg_parse_header(a->data + marker, a->len - marker, &h) == MSG_OK &&
	    h.exchange == X_IKE_AUTH && h.spi_i == l->spi;
}

static void
set_named(struct world *w, unsigned g, uint32_t id, bool start)
{
	struct ike_tunnel c = world_conf(w, g, 1, 1 - g);

	c.id = id;
	c.start = start;
	c.local_id = (struct ike_id){ ID_FQDN, 2, { (uint8_t)('a' + g), (uint8_t)id } };
	c.remote_id = (struct ike_id){ ID_FQDN, 2, { (uint8_t)('b' - g), (uint8_t)id } };
	world_set(w, g, &c);
}

/* A tunnel that comes up makes nobody forget the slow opening of another tunnel from the same
 * address. */
START_TEST(an_honest_opening_is_not_forgotten)
{
	struct late late;
	struct world w;

	world_init(&w, 40, 2);
	late = (struct late){ .w = &w, .until = w.now + USEC_S(5) };
	world_weather(&w, &(struct weather){ .drop = hold_back, .arg = &late });
	set_named(&w, 1, 1, false);
	set_named(&w, 1, 2, false);
	set_named(&w, 0, 2, true);
	world_run(&w, USEC_MS(1));
	late.spi = forge_sa(&w.gate[0])->spi;
	world_run(&w, USEC_S(1));
	ck_assert_uint_eq(gate_totals(&w.gate[1]).half_open, 1);
	set_named(&w, 0, 1, true);
	world_run(&w, USEC_S(9));
	ck_assert(world_agree(&w, 1));
	ck_assert(world_agree(&w, 2));
	ck_assert_uint_eq(gate_status(&w.gate[0], 2)->spi_i, late.spi);
	world_fini(&w);
}
END_TEST

/* A header to be sent by a stranger, then whatever a test adds. */
struct letter {
	struct world w;
	struct tape tape;		/* of the answers */
	struct msg_wr mw;
	uint8_t buf[2048];
};

static void
letter_begin(struct letter *l, uint64_t seed)
{
	struct ike_hdr h = { .spi_i = 77, .exchange = X_IKE_SA_INIT, .flags = IKE_F_INITIATOR };

	memset(l, 0, sizeof(*l));
	world_init(&l->w, seed, 2);
	l->tape.gate = 1;
	world_weather(&l->w, &(struct weather){ .drop = tape_record, .arg = &l->tape });
	strangers_welcome(&l->w);
	msg_start(&l->mw, l->buf, sizeof(l->buf), &h);
}

static void
letter_send(struct letter *l, size_t len)
{
	struct endpoint from = { { AF_INET, { 198, 51, 100, 1 } }, 500 };
	struct endpoint to = { l->w.gate[1].ip, 500 };

	ck_assert_uint_gt(len, 0);
	world_inject(&l->w, 1, &from, &to, (struct slice){ l->buf, len });
}

static uint16_t
letter_answer(const struct letter *l)
{
	struct msg m;

	if (l->tape.n == 0)
		return 0;
	ck_assert(msg_parse(l->tape.data, l->tape.len, &m) == MSG_OK);
	return msg_error(&m) == NULL ? 0 : msg_error(&m)->type;
}

static void
write_opening(struct letter *l)
{
	struct ike_tunnel c = world_conf(&l->w, 0, 1, 1);
	uint8_t key[32] = { 9 }, nonce[32] = { 1 };
	struct pld_ke ke = { 31, key, sizeof(key) };

	sa_write_ike(msg_add(&l->mw, PLD_SA), c.ike, 1, 0);
	pld_ke_write(msg_add(&l->mw, PLD_KE), &ke);
	pld_nonce_write(msg_add(&l->mw, PLD_NONCE), (struct slice){ nonce, sizeof(nonce) });
}

/* Without NAT detection there is nothing for us: refused at once, without state. */
START_TEST(no_nat_detection_is_refused)
{
	struct letter l;

	letter_begin(&l, 30);
	write_opening(&l);
	letter_send(&l, msg_end(&l.mw));
	ck_assert_uint_eq(letter_answer(&l), N_NO_PROPOSAL_CHOSEN);
	ck_assert_uint_eq(gate_totals(&l.w.gate[1]).ike_sas, 0);
	ck_assert_uint_eq(gate_totals(&l.w.gate[1]).half_open, 0);
	world_fini(&l.w);
}
END_TEST

/* Of a higher version, or with something critical that we do not know: told so, but not for
 * ever, and never at greater length than was asked. */
START_TEST(strangers_are_told_what_is_wrong)
{
	static const uint8_t text[64] = { 1 };
	struct letter l;
	size_t len;

	letter_begin(&l, 31);
	if (_i == 0)
		write_opening(&l);
	msg_add_bytes(&l.mw, _i == 0 ? 200 : PLD_V, (struct slice){ text, sizeof(text) });
	len = msg_end(&l.mw);
	if (_i == 0)
		l.buf[len - sizeof(text) - 3] = 0x80;	/* the critical bit of the last one */
	else
		l.buf[17] = 0x30;
	for (unsigned i = 0; i < 1000; i++)
		letter_send(&l, len);
	ck_assert_uint_eq(letter_answer(&l), _i == 0 ? N_UNSUPPORTED_CRITICAL_PAYLOAD :
	    N_INVALID_MAJOR_VERSION);
	ck_assert_uint_eq(l.tape.n, 10);
	ck_assert_uint_le(l.tape.len, len);
	ck_assert_uint_eq(gate_totals(&l.w.gate[1]).ike_sas, 0);
	world_fini(&l.w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, spoofed_openings_are_bounded);
	tcase_add_test(tc, one_source_has_a_quota);
	tcase_add_test(tc, mutated_openings_leave_nothing);
	tcase_add_test(tc, cookies_are_asked_for);
	tcase_add_test(tc, an_honest_opening_is_not_forgotten);
	tcase_add_test(tc, no_nat_detection_is_refused);
	tcase_add_loop_test(tc, strangers_are_told_what_is_wrong, 0, 2);
}

UNIT_MAIN("sim/opening", fill)
