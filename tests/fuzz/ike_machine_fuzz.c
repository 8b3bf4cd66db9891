/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "ike/sa.h"

/*
 * A datagram of a stranger, given to whole machines with the log at debug (R19, R20): to one that
 * anybody may open, on both ports, twice; and, under its SPI, to one that waits for the answer to
 * its opening.  Whatever they make of it goes through its computations, and nothing is left.
 */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct aead_set *aeads;
static struct secrets *secrets;

static void
read_log(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	assert(strlen(line) < LOG_LINE_MAX);
	for (; *line != '\0'; line++)
		assert((unsigned char)*line >= ' ' && *line != 127);
}

static void
start(void)
{
	if (aeads != NULL)
		return;
	aeads = aead_set_new();
	secrets = secrets_new();
	assert(aeads != NULL && secrets != NULL);
	log_to(read_log, NULL);
	log_level_set(LOG_LEVEL_DEBUG);
}

static struct ike *
machine(struct rng_seeded *state, bool opens)
{
	struct ike_env env = { .workers = 1, .half_open_cookie = 10, .half_open_max = 20 };
	struct ike_tunnel c = {
		.id = 1, .connection = 1, .name = "fuzz",
		.local = { AF_INET, { 192, 0, 2, 1 } }, .local_port = 500, .local_natt_port = 4500,
		.remote_port = 500, .psk = (const uint8_t *)"a secret of both", .psk_len = 16,
		.ike = { { AEAD_AES_GCM_16_256, PRF_HMAC_SHA2_256, KE_CURVE25519 },
		    { AEAD_AES_CBC_256_HMAC_SHA2_256, PRF_HMAC_SHA2_256, KE_ECP_256 } },
		.ike_n = 2, .esp = { { AEAD_AES_GCM_16_256, KE_NONE, true } }, .esp_n = 1,
		.window = 1024, .retry_max = USEC_S(60), .resources = 2, .start = opens,
	};
	struct prefix all;
	struct ike *ike;

	env.rng = rng_seeded(state, 1);
	env.secrets = secrets;
	env.aeads = aeads;
	ike = ike_new(&env);
	assert(ike != NULL && prefix_parse("0.0.0.0/0", true, &all));
	c.local_id = c.remote_id = (struct ike_id){ .type = ID_FQDN, .len = 1, .data = "x" };
	c.ts_local.n = c.ts_remote.n = 1;
	c.ts_local.ts[0] = c.ts_remote.ts[0] = ts_from_prefix(&all);
	if (opens)
		c.remote = (struct ip){ AF_INET, { 192, 0, 2, 2 } };
	ike_input(ike, USEC_S(1), &(struct ike_fact){ .kind = IKE_TUNNEL_SET, .conf = &c });
	ike_tick(ike, USEC_S(2));
	return ike;
}

/* Let it do all that it wants to do. */
static void
drain(struct ike *ike)
{
	struct ike_action a;

	while (ike_next(ike, &a)) {
		/* nobody has proved anything */
		assert(a.kind != IKE_SA_IN && a.kind != IKE_UP);
		if (a.kind != IKE_WORK)
			continue;
		ike_job_run(a.job);
		ike_input(ike, USEC_S(2), &(struct ike_fact){
			.kind = IKE_WORK_DONE, .job = a.job });
	}
}

static void
give(struct ike *ike, uint16_t port, const uint8_t *data, size_t len)
{
	ike_input(ike, USEC_S(2), &(struct ike_fact){
		.kind = IKE_DATAGRAM, .local = { { AF_INET, { 192, 0, 2, 1 } }, port },
		.remote = { { AF_INET, { 192, 0, 2, 2 } }, port }, .data = data, .len = len,
	});
	drain(ike);
}

static void
finish(struct ike *ike)
{
	struct ike_totals t;

	ike_tick(ike, USEC_S(1000));
	drain(ike);
	ike_totals(ike, &t);
	assert(t.half_open == 0 && t.child_sas == 0);
	ike_free(ike);
	assert(secrets_used(secrets) == 0);
}

/* As the answer to the opening that is out. */
static void
answer(struct ike *ike, uint8_t *data, size_t len)
{
	struct wr w = wr_init(data, 8);
	size_t pos = 0;
	uint64_t key;
	void *sa;

	drain(ike);
	assert(map_each(ike->sas, &pos, &key, &sa));
	wr_u64(&w, ((struct ike_sa *)sa)->spi);
	give(ike, 500, data, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t copy[4 + MSG_LEN_MAX + 1];
	struct rng_seeded state;
	struct ike *ike;

	start();
	if (len > MSG_LEN_MAX + 1)
		len = MSG_LEN_MAX + 1;
	memset(copy, 0, 4);
	memcpy(copy + 4, data, len);
	ike = machine(&state, false);
	give(ike, 500, data, len);
	give(ike, 500, data, len);
	give(ike, 4500, copy, 4 + len);
	give(ike, 4500, data, len);
	finish(ike);
	if (len < 8)
		return 0;
	ike = machine(&state, true);
	answer(ike, copy + 4, len);
	finish(ike);
	return 0;
}
