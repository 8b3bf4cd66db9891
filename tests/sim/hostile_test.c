/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <string.h>

#include "tests/sim/forge.h"
#include "tests/unit/unit.h"

/* Everything that one can say in the clear about an IKE SA that is not up. */
static void
shout(struct forge *f)
{
	struct ike_sa *as = f->as;
	struct sa_keys *keys = as->keys;

	as->keys = NULL;
	for (unsigned x = 0; x < 256; x++)
		for (unsigned k = 0; k < 12; k++) {
			f->exchange = (uint8_t)x;
			f->response = (k & 1) != 0;
			f->id = k / 2 % 3;
			forge_start(f);
			if (k >= 6) {
				pld_delete_write(msg_add(&f->mw, PLD_D), PROTO_IKE, NULL, 0);
				msg_add_notify(&f->mw, N_AUTHENTICATION_FAILED, NULL, 0);
			}
			forge_send_clear(f);
		}
	as->keys = keys;
}

/* The same, sealed with the right keys, by one who has not proved who he is. */
static void
whisper(struct forge *f)
{
	uint32_t spi = 0x12345678;

	for (unsigned x = 0; x < 256; x++)
		for (unsigned k = 0; k < 12; k++) {
			f->exchange = (uint8_t)x;
			f->response = (k & 1) != 0;
			f->id = k / 2 % 3;
			if (f->exchange == X_IKE_AUTH)
				continue;	/* allowed, and another test */
			forge_start(f);
			if (k >= 6) {
				pld_delete_write(msg_add(&f->mw, PLD_D), PROTO_ESP, &spi, 1);
				msg_add_notify(&f->mw, N_INITIAL_CONTACT, NULL, 0);
			}
			forge_send(f);
		}
}

/* R1: before IKE_AUTH nothing but the exchange that is due is heard, by either role. */
START_TEST(before_proof_nothing_is_heard)
{
	struct tape tape = { .gate = 3 };
	struct ike_sa fake = { .spi = 0 }, *victim;
	enum sa_state state;
	struct forge f;
	struct world w;
	uint64_t sent[2];

	/* 0, 1: IKE_SA_INIT of the initiator out or its key computed; 2: secret computed;
	 * 3: responder computes; 4: half-open responder; 5: IKE_AUTH out. */
	world_init(&w, (uint64_t)_i, 2);
	tape.exchange_lost = _i == 0 ? X_IKE_SA_INIT : _i >= 4 ? X_IKE_AUTH : 0;
	world_weather(&w, &(struct weather){ .drop = tape_record, .arg = &tape });
	w.work_max = _i == 1 || _i == 2 || _i == 3 ? USEC_S(5) : 0;
	world_pair(&w, 1, 1);
	for (unsigned k = 0; k < 1000; k++) {
		struct ike_sa *a = gate_totals(&w.gate[0]).ike_sas > 0 ? forge_sa(&w.gate[0]) : NULL;
		bool b = gate_totals(&w.gate[1]).ike_sas > 0;

		if (a == NULL) {		/* not opened yet */
			ck_assert(world_step(&w, USEC_S(60)));
			continue;
		}
		if ((_i == 0 && a->state == SA_INIT_SENT) || (_i == 1 && a->state == SA_NEW) ||
		    (_i == 2 && a->state == SA_KEYING) ||
		    (_i == 3 && b && forge_sa(&w.gate[1])->state == SA_NEW) ||
		    (_i >= 4 && a->state == SA_AUTH_SENT))
			break;
		ck_assert(world_step(&w, USEC_S(60)));
	}
	sent[0] = w.gate[0].sent;
	sent[1] = w.gate[1].sent;
	memset(&f, 0, sizeof(f));
	f.w = &w;
	victim = forge_sa(&w.gate[_i == 3 || _i == 4]);
	state = victim->state;
	f.as = _i >= 4 ? forge_sa(&w.gate[_i - 4]) : &fake;
	if (_i < 4) {			/* in the name of the victim's peer */
		fake.ike = w.gate[_i != 3].ike;
		fake.initiator = !victim->initiator;
		fake.spi = victim->peer_spi != 0 ? victim->peer_spi : 0x1111;
		fake.peer_spi = victim->spi;
	}
	shout(&f);
	if (_i >= 4)
		whisper(&f);
	ck_assert_uint_eq(w.gate[0].sent, sent[0]);
	ck_assert_uint_eq(w.gate[1].sent, sent[1]);
	ck_assert(victim == forge_sa(&w.gate[_i == 3 || _i == 4]) && victim->state == state);
	ck_assert_uint_eq(w.gate[0].installed + w.gate[1].installed, 0);
	tape.exchange_lost = 0;
	ck_assert_msg(world_run_until_agreed(&w, 1, USEC_S(90)), "state %d", _i);
	world_fini(&w);
}
END_TEST

/*
 * R2: an initiator has sent its proof; now the answer is judged.  What it expects is changed
 * under its feet, which is as if the responder answered wrongly: another identity, another
 * secret, selectors wider than were asked for, a suite that was not offered.
 */
START_TEST(a_wrong_answer_is_not_taken)
{
	struct ike_tunnel *conf;
	struct prefix net;
	struct world w;

	world_init(&w, 20, 2);
	world_pair(&w, 1, 1);
	while (gate_totals(&w.gate[0]).ike_sas == 0 ||
	    forge_sa(&w.gate[0])->state != SA_AUTH_SENT)
		ck_assert(world_step(&w, USEC_S(60)));
	conf = &((struct tunnel *)map_get(w.gate[0].ike->tunnels, 1))->conf;
	conf->retry_max = USEC_S(1);
	switch (_i) {
	case 0:
		conf->remote_id.data[0]++;
		break;
	case 1:
		((uint8_t *)(uintptr_t)conf->psk)[0]++;
		break;
	case 2:
	case 3:
		ck_assert(prefix_parse("10.0.0.0/8", true, &net));
		(_i == 2 ? &conf->ts_local : &conf->ts_remote)->ts[0] = ts_from_prefix(&net);
		break;
	default:
		conf->esp[0].enc = AEAD_AES_GCM_16_128;
		break;
	}
	world_run(&w, USEC_MS(300));
	ck_assert_uint_eq(w.gate[0].installed, 0);
	ck_assert_uint_eq(w.gate[0].ups, 0);
	ck_assert_uint_eq(w.gate[1].installed, 1);	/* it was told, */
	ck_assert_uint_eq(w.gate[1].dropped, 1);	/* and told otherwise */
	ck_assert_uint_eq(gate_totals(&w.gate[1]).ike_sas, 0);
	ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 0);
	world_fini(&w);
}
END_TEST

static void
begin(struct world *w, struct forge *f, struct tape *tape, uint64_t seed)
{
	world_init(w, seed, 2);
	*tape = (struct tape){ .gate = 1 };
	world_weather(w, &(struct weather){ .drop = tape_record, .arg = tape });
	world_pair(w, 1, 1);
	ck_assert(world_run_until_agreed(w, 1, USEC_S(10)));
	world_run(w, USEC_S(5));
	memset(f, 0, sizeof(*f));
	f->w = w;
	f->as = forge_sa(&w->gate[0]);
	f->exchange = X_INFORMATIONAL;
	f->id = f->as->x.out_id;
}

static uint16_t
answer_of(const struct tape *t, struct ike_sa *sa)
{
	const struct pld_notify *e;
	uint8_t plain[4096];
	struct msg m;

	ck_assert(tape_open(t, sa, plain, &m));
	e = msg_error(&m);
	return e == NULL ? 0 : e->type;
}

/* A peer that wants a second Child SA beside the first gets NO_ADDITIONAL_SAS. */
START_TEST(one_child_a_tunnel)
{
	struct ike_tunnel c;
	struct tape tape;
	struct forge f;
	struct world w;
	uint8_t nonce[32] = { 1 };

	begin(&w, &f, &tape, 1);
	c = world_conf(&w, 0, 1, 1);
	f.exchange = X_CREATE_CHILD_SA;
	forge_start(&f);
	sa_write_esp(msg_add(&f.mw, PLD_SA), c.esp, 1, 0x11223344, true);
	pld_nonce_write(msg_add(&f.mw, PLD_NONCE), (struct slice){ nonce, sizeof(nonce) });
	ts_write(msg_add(&f.mw, PLD_TSI), &c.ts_local);
	ts_write(msg_add(&f.mw, PLD_TSR), &c.ts_remote);
	forge_send(&f);
	ck_assert_uint_eq(answer_of(&tape, f.as), N_NO_ADDITIONAL_SAS);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).child_sas, 1);
	world_fini(&w);
}
END_TEST

/* The rekey of a Child SA that is not there: CHILD_SA_NOT_FOUND, with its SPI. */
START_TEST(a_child_that_is_not_there)
{
	struct pld_notify n = { .proto = PROTO_ESP, .type = N_REKEY_SA };
	uint8_t nonce[32] = { 1 }, spi[4] = { 0xde, 0xad, 0xbe, 0xef }, plain[4096];
	struct ike_tunnel c;
	struct tape tape;
	struct forge f;
	struct world w;
	struct msg m;

	begin(&w, &f, &tape, 2);
	c = world_conf(&w, 0, 1, 1);
	f.exchange = X_CREATE_CHILD_SA;
	forge_start(&f);
	n.spi = (struct slice){ spi, 4 };
	pld_notify_write(msg_add(&f.mw, PLD_N), &n);
	sa_write_esp(msg_add(&f.mw, PLD_SA), c.esp, 1, 0x11223344, true);
	pld_nonce_write(msg_add(&f.mw, PLD_NONCE), (struct slice){ nonce, sizeof(nonce) });
	ts_write(msg_add(&f.mw, PLD_TSI), &c.ts_local);
	ts_write(msg_add(&f.mw, PLD_TSR), &c.ts_remote);
	forge_send(&f);
	ck_assert(tape_open(&tape, f.as, plain, &m));
	ck_assert_ptr_nonnull(msg_notify(&m, N_CHILD_SA_NOT_FOUND));
	ck_assert_uint_eq(pld_notify_esp_spi(msg_notify(&m, N_CHILD_SA_NOT_FOUND)), 0xdeadbeef);
	world_fini(&w);
}
END_TEST

/* How many Child SAs the answer on the tape says are deleted. */
static unsigned
deletes_in(const struct tape *t, struct ike_sa *sa)
{
	uint8_t plain[4096];
	struct pld_delete d;
	struct rd body;
	struct msg m;

	ck_assert(tape_open(t, sa, plain, &m));
	if (!msg_find(&m, PLD_D, &body))
		return 0;
	ck_assert(pld_delete_parse(body, &d));
	return d.n;
}

/* R21: deletes of every kind end what they name, once, and nothing else; in either role. */
START_TEST(deletes_of_every_kind)
{
	unsigned kind = (unsigned)_i % 5, by = (unsigned)_i / 5;
	struct tape tape;
	struct gate *victim;
	struct forge f;
	struct world w;
	uint32_t spi[64], ours;
	unsigned named;

	begin(&w, &f, &tape, (uint64_t)_i);
	tape.gate = 1 - by;
	victim = &w.gate[1 - by];
	f.as = forge_sa(&w.gate[by]);
	f.id = f.as->x.out_id;
	ours = w.gate[by].out[1];
	for (unsigned k = 0; k < 64; k++)
		spi[k] = kind == 0 ? 0x1000 + k : kind == 1 ? victim->out[1] : ours;
	forge_start(&f);
	if (kind < 3) {			/* unknown, the receiver's own, ours 64 times */
		pld_delete_write(msg_add(&f.mw, PLD_D), PROTO_ESP, spi, 64);
		pld_delete_write(msg_add(&f.mw, PLD_D), PROTO_ESP, spi, 1);
	} else if (kind == 3) {		/* of a protocol that we have not, with that number */
		pld_delete_write(msg_add(&f.mw, PLD_D), PROTO_AH, spi, 64);
		msg_add_notify(&f.mw, N_INVALID_SPI, &ours, 4);
		msg_add_notify(&f.mw, N_CHILD_SA_NOT_FOUND, NULL, 0);
	} else {			/* all of it, and more, with the IKE SA */
		pld_delete_write(msg_add(&f.mw, PLD_D), PROTO_IKE, NULL, 0);
		pld_delete_write(msg_add(&f.mw, PLD_D), PROTO_ESP, spi, 64);
		pld_delete_write(msg_add(&f.mw, PLD_D), PROTO_IKE, NULL, 0);
		msg_add_notify(&f.mw, N_AUTHENTICATION_FAILED, NULL, 0);
	}
	forge_send(&f);
	named = deletes_in(&tape, f.as);
	forge_start(&f);		/* and once more, replayed */
	pld_delete_write(msg_add(&f.mw, PLD_D), PROTO_IKE, NULL, 0);
	forge_send(&f);
	ck_assert_uint_eq(gate_totals(victim).ike_sas, kind < 4);
	ck_assert_uint_eq(gate_totals(victim).child_sas, kind != 2 && kind != 4);
	ck_assert_uint_eq(named, kind == 2);
	ck_assert_uint_eq(victim->downs, kind == 2 || kind == 4);
	ck_assert_uint_eq(victim->dropped, kind == 2 || kind == 4);
	world_fini(&w);
}
END_TEST

/* Malformed and forbidden content of an authenticated peer is answered, the SA stays. */
START_TEST(nonsense_is_answered)
{
	static const uint8_t bad_delete[] = { 9, 4, 0, 1, 1, 2, 3, 4 };
	struct tape tape;
	struct forge f;
	struct world w;

	begin(&w, &f, &tape, 4);
	for (unsigned k = 0; k < 4; k++) {
		f.exchange = k == 3 ? X_IKE_AUTH : k == 2 ? X_CREATE_CHILD_SA : X_INFORMATIONAL;
		forge_start(&f);
		if (k == 0)
			msg_add_bytes(&f.mw, PLD_D, (struct slice){ bad_delete, 8 });
		else if (k == 1)
			msg_add_bytes(&f.mw, PLD_KE, (struct slice){ bad_delete, 8 });
		else
			msg_add_bytes(&f.mw, PLD_NONCE, (struct slice){ bad_delete, 8 });
		forge_send(&f);
		ck_assert_msg(answer_of(&tape, f.as) == N_INVALID_SYNTAX, "case %u", k);
		f.id = ++f.as->x.out_id;
	}
	world_run(&w, USEC_S(40));
	ck_assert(world_agree(&w, 1));
	world_fini(&w);
}
END_TEST

/* The one error that an answer in the clear holds. */
static uint16_t
answer_in_clear(const struct tape *t)
{
	struct msg m;

	ck_assert(msg_parse(t->data, t->len, &m) == MSG_OK);
	return m.n == 1 && msg_error(&m) != NULL ? msg_error(&m)->type : 0;
}

/* R9: a message with any byte changed has no effect but on a counter. */
START_TEST(every_flipped_byte_is_dropped)
{
	struct tape tape;
	struct forge f;
	struct world w;
	uint64_t sent, dropped;
	size_t len;

	begin(&w, &f, &tape, 6);
	forge_start(&f);
	pld_delete_write(msg_add(&f.mw, PLD_D), PROTO_IKE, NULL, 0);
	{
		struct msg_cipher c = { &f.as->keys->out, f.as->ike->scratch };
		uint8_t iv[AEAD_IV_MAX];

		ck_assert(msg_iv(c.key, &f.as->iv, &f.as->ike->env.rng, iv));
		len = msg_seal(&f.mw, &c, iv);
	}
	sent = w.gate[1].sent;
	dropped = gate_totals(&w.gate[1]).dropped;
	for (size_t i = 4; i < len + 4; i++) {
		struct endpoint src = { w.gate[0].ip, 4500 }, dst = { w.gate[1].ip, 4500 };

		f.buf[i] ^= 1 << i % 8;
		world_inject(&w, 1, &src, &dst, (struct slice){ f.buf, len + 4 });
		f.buf[i] ^= 1 << i % 8;
	}
	/* Another SPI is of another IKE SA, and is answered so; nothing else is answered. */
	ck_assert_uint_eq(w.gate[1].sent, sent + 8);
	ck_assert_uint_eq(answer_in_clear(&tape), N_INVALID_IKE_SPI);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).dropped, dropped + len);
	ck_assert(world_agree(&w, 1));
	world_fini(&w);
}
END_TEST

/* R28: a storm of unprotected errors is a question now and then, and never an end. */
START_TEST(a_storm_of_errors)
{
	static const uint16_t types[] = { N_INVALID_IKE_SPI, N_INVALID_SPI,
	    N_AUTHENTICATION_FAILED, N_INVALID_SYNTAX };
	struct sa_keys *keys;
	struct tape tape;
	struct forge f;
	struct world w;
	uint64_t sent;

	begin(&w, &f, &tape, 7);
	sent = w.gate[1].sent;
	for (unsigned k = 0; k < 10000; k++) {
		f.exchange = k % 3 == 0 ? X_IKE_SA_INIT : X_INFORMATIONAL;
		f.response = k % 2 == 0;
		keys = f.as->keys;
		f.as->keys = NULL;
		forge_start(&f);
		f.as->keys = keys;
		msg_add_notify(&f.mw, types[k % 4], "\1\2\3\4", 4);
		forge_send_clear(&f);
		if (k % 100 == 0)
			world_run(&w, USEC_MS(100));
	}
	ck_assert_uint_eq(w.gate[1].downs, 0);
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_ge(w.gate[1].sent, sent + 1);
	ck_assert_uint_le(w.gate[1].sent, sent + 3);
	world_fini(&w);
}
END_TEST

/* What has been sent under each key: the IV and a digest of the message. */
#define IVS	16384

struct ivs {
	unsigned n, again;		/* again: a message sent once more as it was */
	struct {
		uint64_t spi_i, spi_r, iv, digest;
		uint8_t side;
	} sent[IVS];
};

static bool
collect_iv(void *arg, const struct ike_action *a)
{
	size_t at = a->local.port == 4500 ? 4 : 0;
	struct ivs *v = arg;
	struct ike_hdr h;
	struct rd r;
	uint64_t iv, digest = 5381;

	if (a->len < at + 40 || msg_parse_header(a->data + at, a->len - at, &h) != MSG_OK ||
	    h.next != PLD_SK)
		return false;
	r = rd_init(a->data + at, a->len - at);
	rd_skip(&r, IKE_HDR_LEN + 4);
	iv = rd_u64(&r);
	for (size_t i = at; i < a->len; i++)
		digest = digest * 33 + a->data[i];
	for (unsigned i = 0; i < v->n; i++) {
		if (v->sent[i].iv != iv || v->sent[i].spi_i != h.spi_i ||
		    v->sent[i].spi_r != h.spi_r || v->sent[i].side != (h.flags & IKE_F_INITIATOR))
			continue;
		ck_assert_msg(v->sent[i].digest == digest, "IV %llu twice", (unsigned long long)iv);
		v->again++;
		return false;
	}
	ck_assert_uint_lt(v->n, IVS);
	v->sent[v->n].spi_i = h.spi_i;
	v->sent[v->n].spi_r = h.spi_r;
	v->sent[v->n].side = h.flags & IKE_F_INITIATOR;
	v->sent[v->n].iv = iv;
	v->sent[v->n++].digest = digest;
	return false;
}

/* R23: no IV twice under a key of IKE, whatever is lost, doubled and repeated; what is sent
 * again is the same message. */
START_TEST(no_iv_twice)
{
	static struct ivs v;
	struct world w;

	world_init(&w, 23, 2);
	world_weather(&w, &(struct weather){ .drop = collect_iv, .arg = &v, .loss_percent = 30,
	    .dup_percent = 20, .jitter = USEC_MS(400) });
	world_pair(&w, 1, 3);
	for (unsigned k = 0; k < 200; k++) {
		world_fact(&w, k % 2, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1,
		    .ike_sa = k % 3 == 0 });
		world_tell(&w, (k + 1) % 2, IKE_ASK, 1);
		world_run(&w, USEC_S(5));
	}
	ck_assert_uint_gt(v.n, 1000);
	ck_assert_uint_gt(v.again, 100);
	world_fini(&w);
}
END_TEST

/* One opening after another, each of another source and under another SPI. */
static void
flood(struct world *w, struct tape *opening, unsigned n)
{
	struct endpoint from = { { AF_INET, { 10, 0, 0, 1 } }, 500 };
	struct endpoint to = { w->gate[1].ip, 500 };

	for (unsigned k = 0; k < n; k++) {
		rng_fill(&w->rng, opening->data, 8);
		rng_fill(&w->rng, from.ip.b + 1, 3);
		world_inject(w, 1, &from, &to, (struct slice){ opening->data, opening->len });
		if (k % 50 == 49)
			world_run(w, USEC_MS(1));
	}
}

/* R29: 50,000 spoofed openings a second, for two seconds: memory is bounded, and who is there
 * lives on, is answered, and can rekey meanwhile. */
START_TEST(a_flood_of_openings)
{
	struct tape opening = { .gate = 0, .exchange_lost = X_IKE_SA_INIT };
	struct mallinfo2 before;
	struct ike_tunnel c;
	struct world w;

	world_init(&w, 29, 2);
	world_weather(&w, &(struct weather){ .drop = tape_record, .arg = &opening });
	world_pair(&w, 1, 1);
	world_run(&w, USEC_MS(10));
	ck_assert_uint_eq(opening.n, 1);
	world_weather(&w, &(struct weather){ .loss = 0 });
	ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
	c = world_conf(&w, 1, 3, 0);	/* anybody may open */
	c.remote = (struct ip){ .family = AF_UNSPEC };
	c.remote_id.data[0] = 77;
	c.start = false;
	world_set(&w, 1, &c);
	flood(&w, &opening, 1000);
	ck_assert_uint_eq(gate_totals(&w.gate[1]).half_open, 100);
	before = mallinfo2();
	world_fact(&w, 1, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1 });
	flood(&w, &opening, 50000);
	world_fact(&w, 0, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = 1, .ike_sa = true });
	flood(&w, &opening, 50000);
	ck_assert_uint_le(mallinfo2().uordblks, before.uordblks + (256 << 10));
	ck_assert_uint_le(gate_totals(&w.gate[1]).half_open, 100);
	ck_assert_uint_ge(gate_totals(&w.gate[1]).cookies_sent, 100000);
	ck_assert_uint_eq(gate_status(&w.gate[1], 1)->ike_rekeys, 1);
	ck_assert_uint_eq(gate_status(&w.gate[1], 1)->child_rekeys, 1);
	ck_assert_uint_eq(w.gate[0].downs + w.gate[1].downs, 0);
	ck_assert(world_agree(&w, 1));
	world_fini(&w);
}
END_TEST

/* A request to an IKE SA that is not there is answered that it is unknown (1.5, 2.21.4): not an
 * answer, not where no peer of ours could be, not at greater length, not for ever (R29). */
START_TEST(an_unknown_sa_is_said_to_be_unknown)
{
	struct endpoint src = { { AF_INET, { 198, 51, 100, 77 } }, 4500 }, dst;
	struct ike_sa fake;
	struct ike_hdr h;
	struct tape tape;
	struct forge f;
	struct world w;
	size_t len;

	begin(&w, &f, &tape, 8);
	fake = *f.as;
	fake.peer_spi = 0x1122334455667788;
	fake.keys = NULL;
	f.as = &fake;
	f.id = 7;
	for (unsigned k = 0; k < 2; k++) {
		f.response = k == 1;
		f.exchange = k == 0 ? X_IKE_SA_INIT : X_INFORMATIONAL;
		tape.n = 0;
		forge_start(&f);
		forge_send_clear(&f);
		ck_assert_uint_eq(tape.n, 0);
	}
	f.response = false;
	forge_start(&f);
	msg_add_bytes(&f.mw, PLD_V, (struct slice){ (const uint8_t *)"four", 4 });
	len = msg_end(&f.mw);
	dst = (struct endpoint){ w.gate[1].ip, 4500 };
	world_inject(&w, 1, &src, &dst, (struct slice){ f.buf, 4 + len });
	ck_assert_uint_eq(tape.n, 0);
	f.buf[4 + 17] ^= 0x10;				/* another major version */
	for (unsigned k = 0; k < 1000; k++)
		world_inject(&w, 1, &src, &dst, (struct slice){ f.buf, 4 + len });
	ck_assert_uint_eq(tape.n, 10);
	ck_assert_uint_eq(answer_in_clear(&tape), N_INVALID_MAJOR_VERSION);
	f.buf[4 + 17] ^= 0x10;
	src.ip = w.gate[0].ip;
	for (unsigned k = 0; k < 1000; k++)
		world_inject(&w, 1, &src, &dst, (struct slice){ f.buf, 4 + len });
	ck_assert_uint_eq(tape.n, 10 + 1);		/* one tunnel: strangers have not used that up */
	ck_assert_uint_eq(answer_in_clear(&tape), N_INVALID_IKE_SPI);
	ck_assert_uint_le(tape.len, len);
	ck_assert(msg_parse_header(tape.data, tape.len, &h) == MSG_OK);
	ck_assert(h.spi_i == fake.spi && h.spi_r == fake.peer_spi && h.id == 7);
	ck_assert_uint_eq(h.exchange, X_INFORMATIONAL);
	ck_assert_uint_eq(h.flags, IKE_F_RESPONSE);
	ck_assert(world_agree(&w, 1));
	world_fini(&w);
}
END_TEST

/* Say to each request of gate 0 that its IKE SA is unknown; true to the letter, and a lie. */
static void
lie(struct forge *f, struct tape *heard)
{
	struct ike_sa liar = *forge_sa(&f->w->gate[1]);
	struct ike_hdr h;

	if (heard->n == 0)
		return;
	heard->n = 0;
	if (msg_parse_header(heard->data, heard->len, &h) != MSG_OK ||
	    (h.flags & IKE_F_RESPONSE) != 0 || h.exchange != X_INFORMATIONAL)
		return;
	liar.keys = NULL;
	f->as = &liar;
	f->id = h.id;
	f->response = true;
	forge_start(f);
	msg_add_notify(&f->mw, N_INVALID_IKE_SPI, NULL, 0);
	forge_send_clear(f);
}

/* R28: while the peer answers, lies change nothing at all (0); while what it says is lost for
 * a while, one opening beside the IKE SA is tried, which stays (1). */
START_TEST(lies_about_an_unknown_sa)
{
	uint64_t sent, spi;
	struct tape tape;
	struct forge f;
	struct world w;

	begin(&w, &f, &tape, 9);
	spi = forge_sa(&w.gate[0])->spi;
	tape.gate = 0;
	tape.n = 0;
	tape.exchange_lost = _i == 1 ? X_INFORMATIONAL : 0;
	sent = w.gate[0].sent;
	for (unsigned ms = 0; ms < 20000; ms++) {
		if (ms % 1000 == 0)
			world_tell(&w, 0, IKE_ASK, 1);
		if (ms == 12000 || (ms == 4000 && _i == 1))
			tape.exchange_lost = 0;
		world_run(&w, USEC_MS(1));
		lie(&f, &tape);
	}
	ck_assert_uint_eq(w.gate[0].downs + w.gate[1].downs, 0);
	world_run(&w, USEC_S(15));
	ck_assert(world_agree(&w, 1));
	ck_assert_uint_eq(gate_totals(&w.gate[0]).ike_sas, 1);
	ck_assert_uint_le(w.gate[0].sent, sent + 45);
	if (_i == 0)
		ck_assert_uint_eq(forge_sa(&w.gate[0])->spi, spi);
	world_fini(&w);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, before_proof_nothing_is_heard, 0, 6);
	tcase_add_loop_test(tc, a_wrong_answer_is_not_taken, 0, 5);
	tcase_add_test(tc, one_child_a_tunnel);
	tcase_add_test(tc, a_child_that_is_not_there);
	tcase_add_loop_test(tc, deletes_of_every_kind, 0, 10);
	tcase_add_test(tc, nonsense_is_answered);
	tcase_add_test(tc, every_flipped_byte_is_dropped);
	tcase_add_test(tc, a_storm_of_errors);
	tcase_add_test(tc, no_iv_twice);
	tcase_add_test(tc, a_flood_of_openings);
	tcase_add_test(tc, an_unknown_sa_is_said_to_be_unknown);
	tcase_add_loop_test(tc, lies_about_an_unknown_sa, 0, 2);
}

UNIT_MAIN("sim/hostile", fill)
