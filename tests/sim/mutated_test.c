/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/sim/forge.h"
#include "tests/unit/unit.h"

/*
 * R22: bent datagrams of strangers, by the million, leave no memory behind.  They are openings,
 * answers to an opening of ours that is out, IKE_AUTH of half-open SAs and words in the clear
 * about SAs that exist.  A round is ROUND of them in ten virtual milliseconds, then so much
 * time that all half-open SAs have ended; memory is compared at the ends of rounds.
 *
 * HOSTILE_N=10000000 (`make hostile N=10000000`) runs so many, with progress on standard error.
 */
#define ROUND		1000
#define ROUNDS_SHORT	60
#define WARM		10		/* rounds until tables have grown to their size */
#define HEAP_MAX	(128 << 10)	/* bytes that may have come to be in use, */
#define RESIDENT_MAX	(1 << 20)	/* and to be resident */
#define CAP		2048

enum { OPENING, ANSWER, AUTH, CLEAR, TEMPLATES };

struct storm {
	struct world w;
	uint8_t data[TEMPLATES][CAP];	/* as they were on the wire, without marker */
	size_t len[TEMPLATES];
	uint8_t bent[4 + CAP];
	unsigned long lines;		/* of the log */
	unsigned long half_open, proofs;	/* the most; IKE_AUTH sent after a bent answer */
};

/* ---- the datagrams ---- */

struct recorder {
	struct storm *s;
	bool lost;			/* nothing of the victim's second tunnel arrives */
};

static bool
listen_in(void *arg, const struct ike_action *a)
{
	struct recorder *r = arg;
	size_t at = a->local.port == 4500 ? 4 : 0;
	int k = -1;

	if (a->len < at + IKE_HDR_LEN || a->len > CAP)
		return false;
	if (a->data[at + 18] == X_IKE_SA_INIT)
		k = (a->data[at + 19] & IKE_F_RESPONSE) != 0 ? ANSWER : OPENING;
	else if (a->data[at + 18] == X_IKE_AUTH && (a->data[at + 19] & IKE_F_RESPONSE) == 0)
		k = AUTH;
	if (r->lost) {
		r->s->proofs += k == AUTH && a->local.ip.b[3] == 18;
		return a->local.ip.b[3] == 18;
	}
	if (k >= 0) {
		r->s->len[k] = a->len - at;
		memcpy(r->s->data[k], a->data + at, a->len - at);
	}
	return false;
}

static void
put_spi(uint8_t *to, uint64_t spi)
{
	struct wr w = wr_init(to, 8);

	wr_u64(&w, spi);
}

static void
set_len(uint8_t *data, size_t len)
{
	struct wr w = wr_init(data + 24, 4);

	wr_u32(&w, (uint32_t)len);
}

/* Any IKE SA of the victim in a state, or NULL. */
static struct ike_sa *
find(struct world *w, enum sa_state state)
{
	size_t pos = 0;
	uint64_t key;
	void *sa;

	while (map_each(w->gate[1].ike->sas, &pos, &key, &sa))
		if (((struct ike_sa *)sa)->state == state)
			return sa;
	return NULL;
}

/* The template with the numbers that let it get as far as it can. */
static size_t
fresh(struct storm *s, int k, uint8_t *to)
{
	static const uint8_t words[] = { 0, 0, 0, 8, 0, 0, 0, N_INVALID_IKE_SPI };
	struct ike_sa *sa;

	memcpy(to, s->data[k], s->len[k]);
	switch (k) {
	case OPENING:
		put_spi(to, rng_u64(&s->w.rng) | 1);
		return s->len[k];
	case ANSWER:
		sa = find(&s->w, SA_INIT_SENT);
		break;
	case AUTH:
		sa = find(&s->w, SA_INIT_DONE);
		break;
	default:
		memcpy(to, s->data[AUTH], IKE_HDR_LEN);
		to[16] = PLD_N;
		to[18] = (uint8_t)(X_IKE_SA_INIT + rng_below(&s->w.rng, 4));
		to[19] = (uint8_t)rng_u32(&s->w.rng) & (IKE_F_INITIATOR | IKE_F_RESPONSE);
		memcpy(to + IKE_HDR_LEN, words, sizeof(words));
		set_len(to, IKE_HDR_LEN + sizeof(words));
		sa = find(&s->w, SA_UP);
		break;
	}
	if (sa != NULL) {
		put_spi(to, sa->initiator ? sa->spi : sa->peer_spi);
		put_spi(to + 8, sa->initiator ? sa->peer_spi : sa->spi);
		if (k == ANSWER)
			put_spi(to + 8, rng_u64(&s->w.rng) | 1);
	}
	return k == CLEAR ? IKE_HDR_LEN + sizeof(words) : s->len[k];
}

/* Where the `k`-th payload of the outer chain begins; 0: there is none. */
static size_t
payload_at(const uint8_t *data, size_t len, unsigned k)
{
	size_t at = IKE_HDR_LEN;

	while (at + 4 <= len) {
		size_t n = (size_t)data[at + 2] << 8 | data[at + 3];

		if (k-- == 0)
			return at;
		if (n < 4)
			break;
		at += n;
	}
	return 0;
}

static size_t
bend_length(struct rng *rng, uint8_t *d, size_t len)
{
	static const uint16_t odd[] = { 0, 1, 3, 4, 5, 7, 8, 12, 255, 256, 32767, 32768, 65535 };
	size_t at = payload_at(d, len, rng_below(rng, 10));
	uint16_t n = odd[rng_below(rng, sizeof(odd) / sizeof(odd[0]))];

	if (at == 0)
		return len;
	if (rng_below(rng, 2) == 0)	/* one too many or too few */
		n = (uint16_t)(((d[at + 2] << 8) + d[at + 3]) + (int)rng_below(rng, 3) - 1);
	d[at + 2] = (uint8_t)(n >> 8);
	d[at + 3] = (uint8_t)n;
	return len;
}

/* Bytes that come or go, and the header's length knows. */
static size_t
bend_size(struct rng *rng, uint8_t *d, size_t len)
{
	size_t n = 1 + rng_below(rng, 64), at = rng_below(rng, (uint32_t)len + 1);

	if (rng_below(rng, 2) == 0 && len + n <= CAP) {
		memmove(d + at + n, d + at, len - at);
		for (size_t i = 0; i < n; i++)
			d[at + i] = (uint8_t)rng_u32(rng);
		len += n;
	} else {
		n = n < len - at ? n : len - at;
		memmove(d + at, d + at + n, len - at - n);
		len -= n;
	}
	if (len >= IKE_HDR_LEN)
		set_len(d, len);
	return len;
}

static size_t
bend(struct rng *rng, uint8_t *d, size_t len)
{
	size_t cut;

	switch (rng_below(rng, 8)) {
	case 0:
		return len;		/* as it should be */
	case 1:
		return rng_below(rng, (uint32_t)len + 1);
	case 2:
		cut = rng_below(rng, (uint32_t)len + 1);
		if (cut >= IKE_HDR_LEN)
			set_len(d, cut);
		return cut;
	case 3:
		return bend_length(rng, d, len);
	case 4:
		return bend_size(rng, d, len);
	default:
		for (unsigned i = 0; i <= rng_below(rng, 4); i++)
			d[rng_below(rng, (uint32_t)len)] = (uint8_t)rng_u32(rng);
		return len;
	}
}

static void
throw_one(struct storm *s)
{
	struct world *w = &s->w;
	static const uint8_t parts[] = { OPENING, OPENING, OPENING, OPENING, OPENING, ANSWER,
	    AUTH, CLEAR };
	int k = parts[rng_below(&w->rng, sizeof(parts))];
	struct endpoint from = { { AF_INET, { 198, 51, 100, 1 } }, 500 };
	struct endpoint to = { w->gate[1].ip, 500 };
	bool natt = rng_below(&w->rng, 4) == 0;
	size_t len;

	len = bend(&w->rng, s->bent + 4, fresh(s, k, s->bent + 4));
	if (k == ANSWER) {		/* only from where it was asked is it looked at */
		from.ip = w->gate[0].ip;
		from.ip.b[3] = 17;
		to.ip.b[3] = 18;
	} else if (rng_below(&w->rng, 16) != 0) {
		rng_fill(&w->rng, from.ip.b + 1, 3);
	}
	if (natt) {
		to.port = from.port = 4500;
		memset(s->bent, 0, 4);
		len += 4;
	}
	world_inject(w, 1, &from, &to, (struct slice){ s->bent + (natt ? 0 : 4), len });
}

/* ---- the victim ---- */

/* R19: whatever strangers send, a line of the log is one line. */
static void
read_log(void *arg, enum log_level level, const char *line)
{
	struct storm *s = arg;

	(void)level;
	s->lines++;
	ck_assert_uint_lt(strlen(line), LOG_LINE_MAX);
	for (const char *p = line; *p != '\0'; p++)
		ck_assert_msg((unsigned char)*p >= ' ' && *p != 127, "a line has byte %d", *p);
}

/* One tunnel is up, one is opened by the victim and never answered, anybody may open. */
static void
victim(struct storm *s, struct recorder *r)
{
	struct world *w = &s->w;
	struct ike_tunnel c;

	world_init(w, 22, 2);
	world_weather(w, &(struct weather){ .drop = listen_in, .arg = r });
	world_pair(w, 1, 1);
	ck_assert(world_run_until_agreed(w, 1, USEC_S(5)));
	for (int k = 0; k < CLEAR; k++)
		ck_assert_uint_gt(s->len[k], 0);
	r->lost = true;
	c = world_conf(w, 1, 2, 0);
	c.retry_max = USEC_S(2);
	world_set(w, 1, &c);
	c = world_conf(w, 1, 3, 0);
	c.remote = (struct ip){ .family = AF_UNSPEC };
	c.remote_id.data[0] = 77;
	c.start = false;
	world_set(w, 1, &c);
	w->gate[1].ike->env.half_open_max = 100;
}

static void
round_of(struct storm *s, unsigned long k)
{
	struct world *w = &s->w;
	struct ike_totals t;

	/* In turns a gateway that asks for cookies early, and one that reads each offer. */
	w->gate[1].ike->env.half_open_cookie = k % 2 == 0 ? 1000 : 10;
	for (unsigned i = 0; i < ROUND; i++) {
		throw_one(s);
		if (i % 100 == 99)
			world_run(w, USEC_MS(1));
	}
	t = gate_totals(&w->gate[1]);
	ck_assert_uint_le(t.half_open, 100);
	ck_assert_uint_le(t.ike_sas, 103);
	s->half_open = t.half_open > s->half_open ? t.half_open : s->half_open;
	world_run(w, USEC_S(40));
	t = gate_totals(&w->gate[1]);
	ck_assert_uint_eq(t.half_open, 0);
	ck_assert_uint_le(t.ike_sas, 3);
	ck_assert_uint_le(t.jobs, 2);
}

/* What is in use, heap and resident.  A sanitizer keeps its own books, and what it sets aside
 * grows: there LeakSanitizer judges, at the end of the world. */
struct usage {
	long heap, resident;
};

#ifdef __SANITIZE_ADDRESS__
static struct usage
usage(void)
{
	return (struct usage){ 0, 0 };
}
#else
static struct usage
usage(void)
{
	struct usage u = { .heap = (long)mallinfo2().uordblks };
	FILE *f = fopen("/proc/self/statm", "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%*d %ld", &u.resident), 1);
	fclose(f);
	u.resident *= sysconf(_SC_PAGESIZE);
	return u;
}
#endif

static void
say(unsigned long done, unsigned long n, time_t since, const struct usage *first)
{
	struct usage u = usage();

	fprintf(stderr, "%lu of %lu datagrams, %ld s, growth: heap %ld, resident %ld bytes\n",
	    done, n, (long)(time(NULL) - since), u.heap - first->heap,
	    u.resident - first->resident);
}

START_TEST(bent_datagrams_leave_nothing)
{
	const char *asked = getenv("HOSTILE_N");
	unsigned long rounds = ROUNDS_SHORT, said = 0;
	static struct storm s;
	struct recorder r = { .s = &s };
	struct usage first = { 0, 0 }, last;
	time_t since = time(NULL);

	if (asked != NULL)
		rounds = strtoul(asked, NULL, 10) / ROUND;
	ck_assert_msg(rounds > WARM, "HOSTILE_N: at least %d", (WARM + 1) * ROUND);
	log_to(read_log, &s);
	victim(&s, &r);
	log_level_set(LOG_LEVEL_DEBUG);
	for (unsigned long k = 0; k < rounds; k++) {
		if (k == ROUNDS_SHORT)
			log_level_set(LOG_LEVEL_ERROR);
		if (k == WARM)
			first = usage();
		round_of(&s, k);
		if (asked != NULL && k >= WARM && (k + 1) * 20 / rounds > said) {
			said = (k + 1) * 20 / rounds;
			say((k + 1) * ROUND, rounds * ROUND, since, &first);
		}
	}
	last = usage();
	/* It went deep: offers were computed, cookies asked for, answers taken, lines written. */
	ck_assert_uint_ge(s.half_open, 90);
	ck_assert_uint_ge(gate_totals(&s.w.gate[1]).cookies_sent, rounds);
	ck_assert_uint_ge(s.proofs, rounds / 10);
	ck_assert_uint_gt(s.lines, 100);
	ck_assert_msg(last.heap <= first.heap + HEAP_MAX, "heap: %ld, then %ld", first.heap,
	    last.heap);
	ck_assert_msg(last.resident <= first.resident + RESIDENT_MAX, "resident: %ld, then %ld",
	    first.resident, last.resident);
	/* Nobody was harmed, and the next one gets in. */
	ck_assert_uint_eq(s.w.gate[1].downs + s.w.gate[0].downs, 0);
	ck_assert(world_agree(&s.w, 1));
	world_weather(&s.w, &(struct weather){ .loss = 0 });
	world_pair(&s.w, 2, 1);
	ck_assert(world_run_until_agreed(&s.w, 2, USEC_S(60)));
	world_fini(&s.w);
	log_to(NULL, NULL);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, bent_datagrams_leave_nothing);
}

UNIT_MAIN("sim/mutated", fill)
