/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ESP_EVERY	USEC_MS(10)
#define ESP_LINGER	USEC_S(5)	/* an inbound SA takes packets so long after SA_DROP */
#define DELAY		USEC_MS(10)

/* ---- heap of flights ---- */

static bool
earlier(const struct flight *a, const struct flight *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void
flight_push(struct world *w, struct flight f)
{
	size_t i = w->flights_n++;

	if (w->flights_n > w->flights_cap) {
		w->flights_cap = w->flights_cap == 0 ? 64 : 2 * w->flights_cap;
		w->flight = realloc(w->flight, w->flights_cap * sizeof(f));
	}
	for (; i > 0 && earlier(&f, &w->flight[(i - 1) / 2]); i = (i - 1) / 2)
		w->flight[i] = w->flight[(i - 1) / 2];
	w->flight[i] = f;
}

static struct flight
flight_pop(struct world *w)
{
	struct flight top = w->flight[0], f = w->flight[--w->flights_n];
	size_t i = 0;

	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= w->flights_n)
			break;
		if (c + 1 < w->flights_n && earlier(&w->flight[c + 1], &w->flight[c]))
			c++;
		if (!earlier(&w->flight[c], &f))
			break;
		w->flight[i] = w->flight[c];
		i = c;
	}
	w->flight[i] = f;
	return top;
}

/* ---- birth and end ---- */

static const struct aead_set *
aeads(void)
{
	static struct aead_set *set;

	if (set == NULL)
		set = aead_set_new();
	ck_assert_ptr_nonnull(set);
	return set;
}

static void
gate_engine(struct gate *g, uint64_t seed)
{
	struct ike_env env = { .workers = 3, .half_open_cookie = 100, .half_open_max = 500 };

	env.rng = rng_seeded(&g->rng, seed);
	env.secrets = g->secrets;
	env.aeads = aeads();
	g->ike = ike_new(&env);
	ck_assert_ptr_nonnull(g->ike);
}

static void
gate_init(struct world *w, unsigned i)
{
	struct gate *g = &w->gate[i];

	g->w = w;
	g->index = i;
	g->table = true;
	g->ip = (struct ip){ .family = AF_INET, .b = { 192, 0, 2, (uint8_t)(i + 1) } };
	g->secrets = secrets_new();
	gate_engine(g, w->seed * WORLD_GATES + i + 1);
}

void
world_init(struct world *w, uint64_t seed, unsigned gates)
{
	if (getenv("SIM_LOG") == NULL)
		log_level_set(LOG_LEVEL_ERROR);
	else
		log_level_set(LOG_LEVEL_DEBUG);
	memset(w, 0, sizeof(*w));
	w->now = USEC_S(1);
	w->seed = seed;
	w->rng = rng_seeded(&w->rng_state, seed ^ 0x5eed);
	w->gates_n = gates;
	w->digest = UINT64_C(0xcbf29ce484222325);
	for (unsigned i = 0; i < gates; i++)
		gate_init(w, i);
}

void
world_fini(struct world *w)
{
	while (w->flights_n > 0)
		free(flight_pop(w).data);
	for (unsigned i = 0; i < w->gates_n; i++) {
		struct gate *g = &w->gate[i];

		ike_free(g->ike);
		for (unsigned k = 0; k < GATE_SAS; k++)
			secret_free(g->secrets, g->sa[k].child);
		ck_assert_uint_eq(secrets_used(g->secrets), 0);
		secrets_free(g->secrets);
	}
	free(w->flight);
	free(w->work);
}

void
world_crash(struct world *w, unsigned i)
{
	struct gate *g = &w->gate[i];

	ck_assert_uint_eq(w->works_n, 0);
	for (unsigned k = 0; k < GATE_SAS; k++) {
		secret_free(g->secrets, g->sa[k].child);
		g->sa[k].child = NULL;
	}
	memset(g->out, 0, sizeof(g->out));
	memset(g->out_of, 0, sizeof(g->out_of));
	memset(g->up, 0, sizeof(g->up));
	ike_free(g->ike);
	gate_engine(g, rng_u64(&w->rng));
}

void
world_weather(struct world *w, const struct weather *weather)
{
	w->weather = *weather;
	w->weather_n = 0;
}

/* ---- the network ---- */

static struct gate *
gate_at(struct world *w, struct endpoint *to)
{
	for (unsigned i = 0; i < w->gates_n; i++) {
		struct gate *g = &w->gate[i];
		struct ip alt = g->ip;

		alt.b[3] += 16;
		if (ip_equal(&to->ip, &g->ip) || ip_equal(&to->ip, &alt))
			return g->nat.family == AF_UNSPEC ? g : NULL;
		if (g->nat.family != AF_UNSPEC && ip_equal(&to->ip, &g->nat)) {
			to->ip = g->ip;		/* the NAT sends it inside */
			to->port -= g->nat_shift;
			return g;
		}
	}
	return NULL;
}

static void
digest(struct world *w, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		w->digest = (w->digest ^ p[i]) * UINT64_C(0x100000001b3);
}

static bool
is_lost(struct world *w, const struct ike_action *a)
{
	const struct weather *e = &w->weather;
	uint64_t k = w->weather_n++;

	if (e->drop != NULL && e->drop(e->arg, a))
		return true;
	if ((k < 64 || e->rotate) && (e->loss >> (k % 64) & 1) != 0)
		return true;
	return e->loss_percent > 0 && rng_below(&w->rng, 100) < e->loss_percent;
}

static void
launch(struct world *w, const struct gate *g, const struct ike_action *a)
{
	const struct weather *e = &w->weather;
	struct flight f = {
		.at = w->now + (e->delay > 0 ? e->delay : DELAY), .seq = w->seq++,
		.from = a->local, .to = a->remote, .len = a->len,
	};

	if (e->jitter > 0)
		f.at += rng_u64(&w->rng) % e->jitter;
	if (f.from.ip.family == AF_UNSPEC)
		f.from.ip = g->ip;
	if (g->nat.family != AF_UNSPEC) {
		f.from.ip = g->nat;
		f.from.port += g->nat_shift;
	}
	f.data = malloc(a->len > 0 ? a->len : 1);
	memcpy(f.data, a->data, a->len);
	flight_push(w, f);
}

static void
on_send(struct gate *g, const struct ike_action *a)
{
	struct world *w = g->w;

	g->sent++;
	digest(w, &w->now, sizeof(w->now));
	digest(w, &g->index, sizeof(g->index));
	digest(w, &a->remote, sizeof(a->remote));
	digest(w, a->data, a->len);
	if (is_lost(w, a))
		return;
	launch(w, g, a);
	if (w->weather.dup_percent > 0 && rng_below(&w->rng, 100) < w->weather.dup_percent)
		launch(w, g, a);
}

/* ---- what ESP would do ---- */

static struct gate_sa *
find_sa(struct gate *g, uint32_t spi_in)
{
	for (unsigned i = 0; i < GATE_SAS; i++)
		if (g->sa[i].child != NULL && g->sa[i].child->spi_in == spi_in)
			return &g->sa[i];
	return NULL;
}

static void
on_sa_in(struct gate *g, const struct ike_action *a)
{
	g->installed++;
	ck_assert_uint_eq(a->child->tunnel, a->tunnel);
	ck_assert_uint_eq(a->child->spi_in % 3,
	    (a->tunnel + (g->table ? a->child->resource % g->resources[a->tunnel] : 0)) % 3);
	ck_assert_uint_ge(a->child->spi_in, 256);
	if (!g->table) {
		secret_free(g->secrets, a->child);
		return;
	}
	ck_assert_ptr_null(find_sa(g, a->child->spi_in));
	for (unsigned i = 0; i < GATE_SAS; i++) {
		struct gate_sa *s = &g->sa[i];

		if (s->child != NULL && s->dropped_at != 0 && g->w->now - s->dropped_at > ESP_LINGER) {
			secret_free(g->secrets, s->child);
			s->child = NULL;
		}
		if (s->child == NULL) {
			*s = (struct gate_sa){ .child = a->child };
			return;
		}
	}
	ck_abort_msg("more than %d Child SAs", GATE_SAS);
}

static void
on_sa_out(struct gate *g, const struct ike_action *a)
{
	if (!g->table)
		return;
	ck_assert_ptr_nonnull(find_sa(g, a->spi_in));
	ck_assert_uint_eq(find_sa(g, a->spi_in)->dropped_at, 0);
	ck_assert(a->resources != 0 && a->resources >> g->resources[a->tunnel] == 0);
	for (unsigned k = 0; k < g->resources[a->tunnel]; k++)
		if ((a->resources >> k & 1) != 0)
			g->out_of[a->tunnel][k] = a->spi_in;
	g->out[a->tunnel] = g->out_of[a->tunnel][0];
}

static void
on_sa_drop(struct gate *g, const struct ike_action *a)
{
	struct gate_sa *s = find_sa(g, a->spi_in);

	g->dropped++;
	if (!g->table)
		return;
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->dropped_at, 0);
	s->dropped_at = g->w->now;
	for (unsigned k = 0; k < GATE_RESOURCES; k++)
		if (g->out_of[a->tunnel][k] == a->spi_in)
			g->out_of[a->tunnel][k] = 0;
	g->out[a->tunnel] = g->out_of[a->tunnel][0];
}

static void
on_work(struct gate *g, struct ike_job *job)
{
	struct world *w = g->w;

	if (w->works_n == w->works_cap) {
		w->works_cap = w->works_cap == 0 ? 16 : 2 * w->works_cap;
		w->work = realloc(w->work, w->works_cap * sizeof(*w->work));
	}
	w->work[w->works_n++] = (struct work){
		.at = w->now + (w->work_max > 0 ? rng_u64(&w->rng) % w->work_max : 0),
		.job = job, .gate = g->index,
	};
}

static void
carry(struct gate *g, const struct ike_action *a)
{
	switch (a->kind) {
	case IKE_SEND:
		on_send(g, a);
		break;
	case IKE_SA_IN:
		on_sa_in(g, a);
		break;
	case IKE_SA_OUT:
		on_sa_out(g, a);
		break;
	case IKE_SA_DROP:
		on_sa_drop(g, a);
		break;
	case IKE_UP:
		g->ups++;
		if (!g->table)
			break;
		ck_assert(!g->up[a->tunnel] && g->out[a->tunnel] != 0);
		g->up[a->tunnel] = true;
		break;
	case IKE_DOWN:
		g->downs++;
		memcpy(g->reason, a->reason, sizeof(g->reason));
		if (!g->table)
			break;
		ck_assert(g->up[a->tunnel] && g->out[a->tunnel] == 0);
		g->up[a->tunnel] = false;
		break;
	case IKE_ALIVE:
		g->alive++;
		break;
	case IKE_TOLD:
		g->told = a->index;
		g->told_n++;
		break;
	case IKE_WORK:
		on_work(g, a->job);
		break;
	case IKE_ENDPOINT:
		g->endpoint = a->remote;
		g->endpoints++;
		break;
	}
}

bool world_in_engine;

static bool
next(struct gate *g, struct ike_action *a)
{
	bool more;

	world_in_engine = true;
	more = ike_next(g->ike, a);
	world_in_engine = false;
	return more;
}

static void
drain(struct gate *g)
{
	struct ike_action a;

	while (next(g, &a))
		carry(g, &a);
}

void
world_fact(struct world *w, unsigned g, const struct ike_fact *fact)
{
	world_in_engine = true;
	ike_input(w->gate[g].ike, w->now, fact);
	world_in_engine = false;
	drain(&w->gate[g]);
}

void
world_tell(struct world *w, unsigned g, enum ike_fact_kind kind, uint32_t tunnel)
{
	world_fact(w, g, &(struct ike_fact){ .kind = kind, .tunnel = tunnel });
}

void
world_inject(struct world *w, unsigned g, const struct endpoint *from, const struct endpoint *to,
    struct slice data)
{
	world_fact(w, g, &(struct ike_fact){
		.kind = IKE_DATAGRAM, .local = *to, .remote = *from, .data = data.p, .len = data.len,
	});
}

/* ---- time ---- */

static void
deliver(struct world *w)
{
	struct flight f = flight_pop(w);
	struct gate *g = gate_at(w, &f.to);

	if (g != NULL)
		world_inject(w, g->index, &f.from, &f.to, (struct slice){ f.data, f.len });
	free(f.data);
}

static void
finish_work(struct world *w, size_t i)
{
	struct work k = w->work[i];

	memmove(&w->work[i], &w->work[i + 1], (--w->works_n - i) * sizeof(k));
	world_in_engine = true;
	ike_job_run(k.job);
	world_in_engine = false;
	world_fact(w, k.gate, &(struct ike_fact){ .kind = IKE_WORK_DONE, .job = k.job });
}

static void
esp_packet(struct world *w, unsigned from, uint32_t spi_in)
{
	bool taken = false;

	if (spi_in == 0)
		return;
	for (unsigned p = 0; p < w->gates_n; p++)
		taken |= p != from && find_sa(&w->gate[p],
		    find_sa(&w->gate[from], spi_in)->child->spi_out) != NULL;
	w->esp_sent++;
	w->esp_lost += !taken;
}

/* One packet of each resource by each tunnel that it sends by: is there who takes it? */
static void
esp_packets(struct world *w)
{
	for (unsigned i = 0; i < w->gates_n; i++)
		for (unsigned t = 0; t < 32; t++)
			for (unsigned k = 0; k < GATE_RESOURCES; k++)
				esp_packet(w, i, w->gate[i].out_of[t][k]);
	w->esp_at = w->now + ESP_EVERY;
}

static usec_t
next_event(const struct world *w)
{
	usec_t at = w->flights_n > 0 ? w->flight[0].at : USEC_NEVER;

	for (size_t i = 0; i < w->works_n; i++)
		at = usec_min(at, w->work[i].at);
	for (unsigned i = 0; i < w->gates_n; i++)
		at = usec_min(at, ike_deadline(w->gate[i].ike));
	return w->esp ? usec_min(at, w->esp_at) : at;
}

bool
world_step(struct world *w, usec_t until)
{
	usec_t at = next_event(w);

	if (at > until)
		return false;
	w->now = at > w->now ? at : w->now;
	if (w->esp && w->now >= w->esp_at)
		esp_packets(w);
	for (size_t i = 0; i < w->works_n; i++)
		if (w->now >= w->work[i].at) {
			finish_work(w, i);
			return true;
		}
	if (w->flights_n > 0 && w->now >= w->flight[0].at) {
		deliver(w);
		return true;
	}
	for (unsigned i = 0; i < w->gates_n; i++)
		if (w->now >= ike_deadline(w->gate[i].ike)) {
			world_in_engine = true;
			ike_tick(w->gate[i].ike, w->now);
			world_in_engine = false;
			drain(&w->gate[i]);
		}
	return true;
}

void
world_run(struct world *w, usec_t span)
{
	usec_t until = w->now + span;

	while (world_step(w, until))
		;
	w->now = until;
}

bool
world_run_until_agreed(struct world *w, uint32_t tunnel, usec_t span)
{
	usec_t until = w->now + span;

	while (!world_agree(w, tunnel))
		if (!world_step(w, until))
			return false;
	return true;
}

/* ---- configuration ---- */

struct ike_tunnel
world_conf(const struct world *w, unsigned g, uint32_t id, unsigned peer)
{
	struct ike_tunnel c = {
		.id = id, .connection = 1, .local = w->gate[g].ip, .remote = w->gate[peer].ip,
		.local_port = 500, .local_natt_port = 4500, .remote_port = 500,
		.psk = (const uint8_t *)"a secret of both", .psk_len = 16,
		.ike = { { AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_256, KE_CURVE25519 } }, .ike_n = 1,
		.esp = { { AEAD_AES_GCM_16_256, KE_CURVE25519, true } }, .esp_n = 1,
		.start = true, .window = 1024, .retry_max = USEC_S(60), .liveness = USEC_S(30),
	};
	struct prefix all;

	c.name[0] = 't';
	c.name[1] = (char)('0' + id / 10 % 10);
	c.name[2] = (char)('0' + id % 10);
	c.name[3] = (char)('a' + g);
	if (id % 2 == 0) {		/* a second tunnel: other addresses */
		c.local.b[3] += 16;
		c.remote.b[3] += 16;
	}
	c.local_id = (struct ike_id){ .type = ID_IPV4_ADDR, .len = 4 };
	memcpy(c.local_id.data, c.local.b, 4);
	c.remote_id = (struct ike_id){ .type = ID_IPV4_ADDR, .len = 4 };
	memcpy(c.remote_id.data, c.remote.b, 4);
	ck_assert(prefix_parse("0.0.0.0/0", true, &all));
	c.ts_local.n = c.ts_remote.n = 1;
	c.ts_local.ts[0] = c.ts_remote.ts[0] = ts_from_prefix(&all);
	return c;
}

void
world_set(struct world *w, unsigned g, const struct ike_tunnel *conf)
{
	if (conf->id < 32)
		w->gate[g].resources[conf->id] = conf->resources > 1 ? conf->resources : 1;
	world_fact(w, g, &(struct ike_fact){ .kind = IKE_TUNNEL_SET, .conf = conf });
}

void
world_pair(struct world *w, uint32_t id, unsigned start)
{
	for (unsigned g = 0; g < 2; g++) {
		struct ike_tunnel c = world_conf(w, g, id, 1 - g);

		c.start = (start >> g & 1) != 0;
		world_set(w, g, &c);
	}
}

/* ---- judgement ---- */

unsigned
gate_live(const struct gate *g, uint32_t tunnel)
{
	unsigned n = 0;

	for (unsigned i = 0; i < GATE_SAS; i++)
		n += g->sa[i].child != NULL && g->sa[i].dropped_at == 0 &&
		    g->sa[i].child->tunnel == tunnel;
	return n;
}

struct child_sa *
gate_child(const struct gate *g, uint32_t spi_in)
{
	struct gate_sa *s = spi_in == 0 ? NULL : find_sa((struct gate *)(uintptr_t)g, spi_in);

	return s == NULL ? NULL : s->child;
}

static bool
fit(const struct child_sa *a, const struct child_sa *b)
{
	return a->spi_in == b->spi_out && a->spi_out == b->spi_in && a->aead == b->aead &&
	    a->esn == b->esn && a->key_len == b->key_len && a->key_len > 0 &&
	    memcmp(a->key_in, b->key_out, a->key_len) == 0 &&
	    memcmp(a->key_out, b->key_in, a->key_len) == 0 &&
	    memcmp(a->key_in, a->key_out, a->key_len) != 0 && a->initiator != b->initiator &&
	    ts_list_equal(&a->ts_local, &b->ts_remote) && ts_list_equal(&a->ts_remote, &b->ts_local);
}

bool
world_keys_fit(const struct world *w, uint32_t tunnel)
{
	for (unsigned i = 0; i < GATE_SAS; i++) {
		const struct child_sa *a = w->gate[0].sa[i].child, *b;

		if (a == NULL || a->tunnel != tunnel)
			continue;
		b = gate_child(&w->gate[1], a->spi_out);
		if (b != NULL && !fit(a, b))
			return false;
	}
	return true;
}

bool
world_agree(const struct world *w, uint32_t tunnel)
{
	const struct child_sa *a = gate_child(&w->gate[0], w->gate[0].out[tunnel]);
	const struct child_sa *b = gate_child(&w->gate[1], w->gate[1].out[tunnel]);

	return a != NULL && b != NULL && gate_live(&w->gate[0], tunnel) == 1 &&
	    gate_live(&w->gate[1], tunnel) == 1 && fit(a, b);
}

/* Of a gate: so many in use, each fits one in use there, and no two resources share one. */
static bool
has_each(const struct gate *g, const struct gate *peer, uint32_t tunnel, unsigned n)
{
	const uint32_t *out = g->out_of[tunnel];

	for (unsigned k = 0; k < g->resources[tunnel]; k++) {
		for (unsigned j = 0; j < k; j++)
			if (out[j] == out[k])
				return false;
		if (gate_child(g, out[k]) == NULL || gate_child(g, out[k])->resource != k)
			return false;
	}
	for (unsigned i = 0; i < GATE_SAS; i++) {
		const struct gate_sa *s = &g->sa[i], *p;

		if (s->child == NULL || s->child->tunnel != tunnel || s->dropped_at != 0)
			continue;
		p = find_sa((struct gate *)(uintptr_t)peer, s->child->spi_out);
		if (p == NULL || p->dropped_at != 0 || !fit(s->child, p->child))
			return false;
	}
	return gate_live(g, tunnel) == n;
}

bool
world_agree_each(const struct world *w, uint32_t tunnel, unsigned n)
{
	return has_each(&w->gate[0], &w->gate[1], tunnel, n) &&
	    has_each(&w->gate[1], &w->gate[0], tunnel, n);
}

struct ike_totals
gate_totals(const struct gate *g)
{
	struct ike_totals t;

	ike_totals(g->ike, &t);
	return t;
}

const struct ike_status *
gate_status(struct gate *g, uint32_t tunnel)
{
	ck_assert(ike_status(g->ike, tunnel, &g->status));
	return &g->status;
}
