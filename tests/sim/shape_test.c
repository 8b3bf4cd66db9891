/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "tests/sim/forge.h"
#include "tests/unit/unit.h"

/*
 * R17: each message of each exchange with each payload taken away, doubled, moved, joined by
 * one that does not belong, or of another size; by either end, as a request and as an answer.
 * What the presence tables of fsm.c should say is written here once more, from the RFC: what a
 * message needs and what it may carry.  Order does not matter (2.5), a doubled or missing one
 * is refused, and whatever happens both ends come to agree again with nothing left over.
 */
enum scene {
	IN_INIT, IN_AUTH, IN_CHILD_NEW, IN_CHILD_REKEY, IN_IKE_REKEY, IN_CHILD_DELETE,
	IN_IKE_DELETE, IN_ASK, IN_TELL, SCENES
};

#define P_ONCE	(P_SA | P_KE | P_IDI | P_IDR | P_AUTH | P_NONCE | P_TSI | P_TSR | P_CP)
#define P_CHILD	(P_SA | P_NONCE | P_KE | P_TSI | P_TSR)	/* KE: the suite has a group */
#define P_REKEY	(P_SA | P_NONCE | P_KE)
#define P_CERTS	(P_CERT | P_CERTREQ)

/* What a request and an answer need to have their effect, and what else they may carry. */
static const struct shape {
	const char *name;
	uint8_t exchange;
	uint32_t needs[2], may[2];
} shapes[SCENES] = {
	/* notifies: NAT detection, without which there is no UDP encapsulation */
	[IN_INIT] = { "IKE_SA_INIT", X_IKE_SA_INIT, { P_REKEY | P_N, P_REKEY | P_N },
	    { P_N | P_V, P_N | P_V | P_CERTREQ } },
	[IN_AUTH] = { "IKE_AUTH", X_IKE_AUTH, { P_IDI | P_AUTH | P_SA | P_TSI | P_TSR,
	    P_IDR | P_AUTH | P_SA | P_TSI | P_TSR }, { P_IDR | P_N | P_V | P_CERTS | P_CP,
	    P_N | P_V | P_CERTS | P_CP } },
	[IN_CHILD_NEW] = { "new Child SA", X_CREATE_CHILD_SA, { P_CHILD, P_CHILD },
	    { P_N | P_V | P_CP, P_N | P_V | P_CP } },
	/* notify: REKEY_SA */
	[IN_CHILD_REKEY] = { "rekey of the Child SA", X_CREATE_CHILD_SA, { P_CHILD | P_N, P_CHILD },
	    { P_N | P_V | P_CP, P_N | P_V | P_CP } },
	[IN_IKE_REKEY] = { "rekey of the IKE SA", X_CREATE_CHILD_SA, { P_REKEY, P_REKEY },
	    { P_N | P_V, P_N | P_V } },
	/* An answer to these says that they arrived, whatever else it says. */
	[IN_CHILD_DELETE] = { "delete of the Child SA", X_INFORMATIONAL, { P_D, 0 },
	    { P_D | P_N | P_V | P_CP, UINT32_MAX } },
	[IN_IKE_DELETE] = { "delete of the IKE SA", X_INFORMATIONAL, { P_D, 0 },
	    { P_D | P_N | P_V | P_CP, UINT32_MAX } },
	[IN_ASK] = { "question", X_INFORMATIONAL, { 0, 0 }, { UINT32_MAX, UINT32_MAX } },
	[IN_TELL] = { "word", X_INFORMATIONAL, { P_N, 0 }, { P_D | P_N | P_V | P_CP, UINT32_MAX } },
};

enum op { KEEP, REMOVE, DOUBLE, DOUBLE_LAST, SWAP, REVERSE, ALIEN, CRITICAL, RESIZE, ZERO };
static const char *const op_names[] = { "kept", "removed", "doubled", "doubled at the end",
    "swapped", "reversed", "joined by", "joined by critical", "resized", "zeroed" };

struct trial {
	enum scene scene;
	bool response;
	unsigned asker;			/* gate whose exchange it is */
	enum op op;
	unsigned i, k;			/* which payload; with which one, or of what size */
	uint8_t type;			/* of the payload concerned */
	unsigned parts;			/* there were */
	uint8_t types[TAMPER_PARTS];
	size_t lens[TAMPER_PARTS];
};

static struct tamper tamper;
static struct world w;

/* ---- what is done to a message ---- */

static void
swap(struct tamper *t, unsigned i, unsigned k)
{
	static struct part p;

	p = t->part[i];
	t->part[i] = t->part[k];
	t->part[k] = p;
}

static void
change(struct tamper *t)
{
	struct trial *x = t->arg;
	struct part *p = &t->part[x->i];

	switch (x->op) {
	case KEEP:
		x->parts = t->parts_n;
		for (unsigned i = 0; i < t->parts_n; i++) {
			x->types[i] = t->part[i].type;
			x->lens[i] = t->part[i].len;
		}
		break;
	case REMOVE:
		memmove(p, p + 1, (--t->parts_n - x->i) * sizeof(*p));
		break;
	case DOUBLE:
		memmove(p + 1, p, (t->parts_n++ - x->i) * sizeof(*p));
		break;
	case DOUBLE_LAST:
		t->part[t->parts_n++] = *p;
		break;
	case SWAP:
		swap(t, x->i, x->k);
		break;
	case REVERSE:
		for (unsigned i = 0; i < t->parts_n / 2; i++)
			swap(t, i, t->parts_n - 1 - i);
		break;
	case ALIEN:			/* of private type where it is a notify */
	case CRITICAL:
		p = &t->part[t->parts_n++];
		*p = (struct part){ .type = x->type, .critical = x->op == CRITICAL, .len = 8,
		    .body = { 0, 0, 0xa0, 1 } };
		if (x->type == PLD_D)	/* of nothing, which is well formed */
			*p = (struct part){ .type = PLD_D, .len = 4, .body = { PROTO_ESP, 4 } };
		break;
	case RESIZE:
		if (x->k > p->len)
			memset(p->body + p->len, 7, x->k - p->len);
		p->len = x->k;
		break;
	case ZERO:
		memset(p->body + 4, 0, p->len < 4 ? 0 : p->len - 4);
		break;
	}
}

enum outcome { WELL, REFUSED, EITHER };

/* One that may come once joins another of its kind. */
static bool
is_doubled(const struct trial *x)
{
	for (unsigned i = 0; i < x->parts; i++)
		if (x->types[i] == x->type && (P_BIT(x->type) & P_ONCE) != 0)
			return true;
	return false;
}

static enum outcome
outcome_of(const struct trial *x)
{
	const struct shape *s = &shapes[x->scene];
	uint32_t needs = s->needs[x->response], may = s->may[x->response];
	uint32_t bit = pld_is_known(x->type) ? P_BIT(x->type) : 0;
	bool judged = needs != 0;	/* else nothing that is said has an effect */

	switch (x->op) {
	case KEEP:
	case SWAP:
	case REVERSE:
		return WELL;
	case REMOVE:
		return (bit & needs) != 0 ? REFUSED : WELL;
	case DOUBLE:
	case DOUBLE_LAST:
		return (bit & P_ONCE) != 0 ? REFUSED : WELL;
	case ALIEN:
		if (!judged || bit == 0)
			return WELL;
		return ((needs | may) & bit) != 0 && !is_doubled(x) ? WELL : REFUSED;
	case CRITICAL:
		return !judged ? WELL : REFUSED;
	case ZERO:
		return (bit & (P_KE | P_AUTH)) != 0 ? REFUSED : EITHER;
	case RESIZE:
		if ((bit & needs) == 0 || bit == P_N || bit == P_D)
			return EITHER;
		/* A nonce of another good length gives other keys than the sender's. */
		return bit == P_NONCE && x->k >= 16 && x->k <= 256 ? EITHER : REFUSED;
	}
	return EITHER;
}

/* ---- the exchanges ---- */

static struct tunnel *
tunnel_of(unsigned g)
{
	return map_get(w.gate[g].ike->tunnels, 1);
}

static void
configure(void)
{
	for (unsigned g = 0; g < 2; g++) {
		struct ike_tunnel c = world_conf(&w, g, 1, 1 - g);

		c.start = g == 0;
		c.child_life = USEC_S(100);
		c.ike_life = USEC_S(150);
		c.retry_max = USEC_S(10);
		world_set(&w, g, &c);
	}
}

/* The Child SA of one end ends, and that end alone misses it. */
static void
lose_child(unsigned g)
{
	struct child *c;

	tunnel_of(1 - g)->wanted = false;
	tunnel_of(g)->wanted = true;
	c = tunnel_of(g)->out;
	c->hard_at = w.now;
	ike_sa_step(c->sa);
}

static void
provoke(const struct trial *x)
{
	struct ike_fact f = { .kind = IKE_REKEY, .tunnel = 1 };

	switch (x->scene) {
	case IN_INIT:
	case IN_AUTH:
	case SCENES:
		break;
	case IN_CHILD_NEW:
		lose_child(x->asker);
		break;
	case IN_IKE_REKEY:
		f.ike_sa = true;
		world_fact(&w, x->asker, &f);
		break;
	case IN_CHILD_REKEY:
	case IN_CHILD_DELETE:		/* which follows the rekey */
		world_fact(&w, x->asker, &f);
		break;
	case IN_IKE_DELETE:
		world_tell(&w, x->asker, IKE_CLOSE, 1);
		break;
	case IN_ASK:
		world_tell(&w, x->asker, IKE_ASK, 1);
		break;
	case IN_TELL:
		world_fact(&w, x->asker, &(struct ike_fact){
			.kind = IKE_TELL, .tunnel = 1, .index = 2 });
		break;
	}
}

struct before {
	unsigned installed, told, ike_rekeys, child_rekeys;
	uint64_t spi;			/* of the IKE SA, ours */
};

static struct before
look(unsigned g)
{
	struct gate *gate = &w.gate[g];
	struct tunnel *t = tunnel_of(g);

	return (struct before){
		gate->installed, gate->told_n, t->ike_rekeys, t->child_rekeys,
		t->out != NULL ? t->out->sa->spi : 0,
	};
}

/* Has the reader of the message done what it asks for (or grants)? */
static bool
is_done(const struct trial *x, unsigned reader, const struct before *b)
{
	struct before now = look(reader);
	struct ike_totals t = gate_totals(&w.gate[reader]);

	switch (x->scene) {
	case IN_INIT:
		return world_agree(&w, 1);
	case IN_AUTH:
		return world_agree(&w, 1) && now.installed == b->installed + 1;
	case IN_CHILD_NEW:		/* a new opening would have another IKE SA */
		return world_agree(&w, 1) && now.installed == b->installed + 1 &&
		    now.spi == b->spi;
	case IN_CHILD_REKEY:
		return world_agree(&w, 1) && now.child_rekeys == b->child_rekeys + 1;
	case IN_IKE_REKEY:
		return world_agree(&w, 1) && now.ike_rekeys == b->ike_rekeys + 1;
	case IN_CHILD_DELETE:
		return now.child_rekeys == b->child_rekeys + 1 && t.child_sas == 1;
	case IN_IKE_DELETE:
		return ike_sa_find(w.gate[reader].ike, b->spi) == NULL;
	case IN_TELL:
		return x->response || now.told == b->told + 1;
	case IN_ASK:
	case SCENES:
		return tunnel_of(x->asker)->sas->x.out == NULL;
	}
	return false;
}

/* It was so bad that the IKE SA was given up for another. */
static bool
is_anew(unsigned g, const struct before *b)
{
	return b->spi != 0 && ike_sa_find(w.gate[g].ike, b->spi) == NULL;
}

static bool
is_tidy(unsigned g)
{
	struct ike_totals t = gate_totals(&w.gate[g]);

	return t.ike_sas == 1 && t.child_sas == 1 && t.half_open == 0 && t.jobs == 0;
}

/* In fair weather they find to one another again, and what went wrong is gone. */
static bool
settles(void)
{
	usec_t end = w.now + USEC_S(400);

	tunnel_of(0)->wanted = true;
	world_tell(&w, 0, IKE_OPEN, 1);
	world_tell(&w, 1, IKE_OPEN, 1);
	while (!world_agree(&w, 1) || !is_tidy(0) || !is_tidy(1))
		if (!world_step(&w, end))
			return false;
	return true;
}

static const char *
name_of(const struct trial *x)
{
	static char text[200];

	snprintf(text, sizeof(text), "%s, %s of gate %u: %s (%u) %s, %u", shapes[x->scene].name,
	    x->response ? "answer to a request" : "request", x->asker, pld_name(x->type), x->i,
	    op_names[x->op], x->k);
	return text;
}

/* What was refused costs no traffic, also when the asker has been heard of again. */
static void
traffic(const struct trial *x)
{
	world_tell(&w, x->asker, IKE_ASK, 1);
	world_run(&w, USEC_S(3));
	w.esp = true;
	w.esp_at = w.now;
	world_run(&w, USEC_S(1));
	w.esp = false;
	ck_assert_msg(w.esp_sent >= 190, "%s: nothing is sent", name_of(x));
	ck_assert_msg(w.esp_lost == 0, "%s: %u of %u packets lost", name_of(x),
	    (unsigned)w.esp_lost, (unsigned)w.esp_sent);
}

static void
run(struct trial *x)
{
	unsigned reader = x->response ? x->asker : 1 - x->asker;
	bool opening = x->scene == IN_INIT || x->scene == IN_AUTH;
	enum outcome want = outcome_of(x);
	struct before b;
	bool done;

	world_init(&w, 17, 2);
	tamper.from = 1 - reader;
	tamper.exchange = shapes[x->scene].exchange;
	tamper.response = x->response;
	tamper.change = change;
	tamper.arg = x;
	if (!opening) {
		configure();
		ck_assert(world_run_until_agreed(&w, 1, USEC_S(5)));
		world_run(&w, USEC_S(2));
	} else {
		memset(&b, 0, sizeof(b));
	}
	tamper_start(&tamper, &w);
	if (opening)
		configure();
	else
		b = look(reader);
	provoke(x);
	tamper_run(&tamper, USEC_S(3));
	done = is_done(x, reader, &b);
	ck_assert_msg(tamper.n > 0, "%s: no such message", name_of(x));
	ck_assert_msg(want != WELL || done, "%s: was refused", name_of(x));
	ck_assert_msg(want != REFUSED || !done, "%s: was taken", name_of(x));
	ck_assert_msg(want != REFUSED || w.gate[reader].installed == b.installed ||
	    x->scene == IN_CHILD_DELETE || is_anew(reader, &b),
	    "%s: left a Child SA", name_of(x));
	tamper_stop(&tamper);
	if (want == REFUSED && !is_anew(reader, &b) &&
	    (x->scene == IN_CHILD_REKEY || x->scene == IN_IKE_REKEY))
		traffic(x);
	ck_assert_msg(settles(), "%s: no peace afterwards", name_of(x));
	world_fini(&w);
}

static void
run_op(struct trial *x, enum op op, unsigned i, unsigned k)
{
	x->op = op;
	x->i = i;
	x->k = k;
	if (op != ALIEN && op != CRITICAL)
		x->type = x->types[i];
	run(x);
}

/* Of each sort 2 * SCENES: request and answer. */
static void
run_all(unsigned which, unsigned asker)
{
	static struct trial x;
	size_t sizes[6];

	x = (struct trial){ .scene = which / 2, .response = which % 2 != 0, .asker = asker };
	run_op(&x, KEEP, 0, 0);
	for (unsigned i = 0; i < x.parts; i++) {
		run_op(&x, REMOVE, i, 0);
		run_op(&x, DOUBLE, i, 0);
		run_op(&x, DOUBLE_LAST, i, 0);
		for (unsigned k = i + 1; k < x.parts; k++)
			run_op(&x, SWAP, i, k);
	}
	run_op(&x, REVERSE, 0, 0);
	for (x.type = PLD_SA; x.type <= PLD_SKF + 1; x.type++) {	/* the last is unknown */
		if (x.type == PLD_EAP + 1)
			x.type = PLD_SKF;
		run_op(&x, ALIEN, 0, 0);
	}
	x.type = 200;
	run_op(&x, CRITICAL, 0, 0);
	/* R11, R14: nothing, one byte, one less, one more, above each bound of ours, long. */
	for (unsigned i = 0; i < x.parts; i++) {
		memcpy(sizes, (size_t[]){ 0, 1, x.lens[i] - 1, x.lens[i] + 1, 261, TAMPER_BODY },
		    sizeof(sizes));
		for (unsigned k = 0; k < 6; k++)
			if (sizes[k] <= TAMPER_BODY && sizes[k] != x.lens[i])
				run_op(&x, RESIZE, i, (unsigned)sizes[k]);
		run_op(&x, ZERO, i, 0);
	}
}

START_TEST(openings)
{
	run_all((unsigned)_i, 0);
}
END_TEST

START_TEST(of_the_first_initiator)
{
	run_all((unsigned)_i, 0);
}
END_TEST

START_TEST(of_the_first_responder)
{
	run_all((unsigned)_i, 1);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, openings, 2 * IN_INIT, 2 * IN_CHILD_NEW);
	tcase_add_loop_test(tc, of_the_first_initiator, 2 * IN_CHILD_NEW, 2 * SCENES);
	tcase_add_loop_test(tc, of_the_first_responder, 2 * IN_CHILD_NEW, 2 * SCENES);
}

UNIT_MAIN("sim/shape", fill)
