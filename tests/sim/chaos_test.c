/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include "tests/unit/unit.h"

/*
 * Random orders to both ends of two tunnels in random weather, then calm: whatever happened,
 * in the end each tunnel has one IKE SA and one Child SA with the same keys at both ends.
 * The table of each gate asserts the order of actions all the time.
 */
static void
weather(struct world *w)
{
	world_weather(w, &(struct weather){
		.delay = USEC_MS(1 + rng_below(&w->rng, 100)),
		.jitter = 1 + USEC_MS(rng_below(&w->rng, 200)),
		.dup_percent = rng_below(&w->rng, 30),
		.loss_percent = rng_below(&w->rng, 3) == 0 ? rng_below(&w->rng, 100) : 0,
	});
	w->work_max = rng_below(&w->rng, 2) == 0 ? 0 : USEC_MS(rng_below(&w->rng, 200) + 1);
}

static void
order(struct world *w)
{
	uint32_t id = 1 + rng_below(&w->rng, 2);
	unsigned g = rng_below(&w->rng, 2);
	struct ike_tunnel c;

	switch (rng_below(&w->rng, 12)) {
	case 0:
	case 1:
	case 2:
		world_fact(w, g, &(struct ike_fact){ .kind = IKE_REKEY, .tunnel = id });
		break;
	case 3:
	case 4:
	case 5:
		world_fact(w, g, &(struct ike_fact){
		    .kind = IKE_REKEY, .tunnel = id, .ike_sa = true });
		break;
	case 6:
		world_tell(w, g, rng_below(&w->rng, 2) == 0 ? IKE_CLOSE : IKE_OPEN, id);
		break;
	case 7:
		world_tell(w, g, IKE_ASK, id);
		break;
	case 8:
		world_fact(w, g, &(struct ike_fact){
		    .kind = IKE_TELL, .tunnel = id, .index = (uint8_t)id });
		break;
	case 9:
		c = world_conf(w, g, id, 1 - g);
		c.psk = (const uint8_t *)(rng_below(&w->rng, 3) == 0 ? "a secret of none" :
		    "a secret of both");
		c.start = rng_below(&w->rng, 2) == 0;
		c.child_life = USEC_S(5 + rng_below(&w->rng, 100));
		c.ike_life = USEC_S(10 + rng_below(&w->rng, 100));
		world_set(w, g, &c);
		break;
	case 10:
		world_fact(w, g, &(struct ike_fact){ .kind = IKE_ADDRESS, .tunnel = id,
		    .present = rng_below(&w->rng, 2) == 0 });
		break;
	default:
		weather(w);
		break;
	}
	if (rng_below(&w->rng, 60) == 0)
		world_tell(w, g, IKE_TUNNEL_DEL, id);
}

static void
calm(struct world *w)
{
	world_weather(w, &(struct weather){ .loss = 0 });
	for (unsigned g = 0; g < 2; g++)
		for (uint32_t id = 1; id <= 2; id++) {
			struct ike_tunnel c = world_conf(w, g, id, 1 - g);

			world_set(w, g, &c);
			world_fact(w, g, &(struct ike_fact){
			    .kind = IKE_ADDRESS, .tunnel = id, .present = true });
			world_tell(w, g, IKE_OPEN, id);
		}
	world_run(w, USEC_S(150));
}

static void
chaos(uint64_t seed)
{
	struct world w;

	world_init(&w, seed, 2);
	world_pair(&w, 1, 3);
	world_pair(&w, 2, 3);
	world_run(&w, USEC_MS(rng_below(&w.rng, 3000)));
	for (unsigned i = 0; i < 100; i++) {
		order(&w);
		world_run(&w, USEC_MS(rng_below(&w.rng, rng_below(&w.rng, 8) == 0 ? 40000 : 150)));
	}
	calm(&w);
	for (uint32_t id = 1; id <= 2; id++) {
		ck_assert_msg(world_agree(&w, id), "seed %u tunnel %u", (unsigned)seed, id);
		ck_assert(world_keys_fit(&w, id));
	}
	for (unsigned g = 0; g < 2; g++) {
		struct ike_totals t = gate_totals(&w.gate[g]);

		ck_assert_msg(t.ike_sas == 2 && t.child_sas == 2 && t.jobs == 0 &&
		    t.half_open == 0, "seed %u gate %u: %zu IKE SAs, %zu Child SAs, %zu jobs",
		    (unsigned)seed, g, t.ike_sas, t.child_sas, t.jobs);
	}
	world_fini(&w);
}

/* SIM_SEED=n runs that one alone, SIM_FROM=n others than the usual, SIM_LOG=1 tells the story. */
#define SEEDS	100

START_TEST(calm_follows_chaos)
{
	const char *one = getenv("SIM_SEED"), *from = getenv("SIM_FROM");
	uint64_t first = (from != NULL ? strtoull(from, NULL, 0) : 0) + (uint64_t)_i * SEEDS;

	if (one != NULL && _i == 0)
		chaos(strtoull(one, NULL, 0));
	for (uint64_t seed = 0; one == NULL && seed < SEEDS; seed++)
		chaos(first + seed);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, calm_follows_chaos, 0, 4);
}

UNIT_MAIN("sim/chaos", fill)
