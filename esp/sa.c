/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "esp/sa.h"

static bool
ts_is_all(const struct ts *ts, uint8_t family)
{
	size_t len = ip_len(family);

	if (ts->start.family != family || ts->proto != 0 || ts->port_start != 0 ||
	    ts->port_end != UINT16_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (ts->start.b[i] != 0 || ts->end.b[i] != 0xff)
			return false;
	return true;
}

static uint8_t
find_any(const struct ts *ts, unsigned n)
{
	uint8_t any = 0;

	for (unsigned i = 0; i < n; i++) {
		any |= ts_is_all(&ts[i], AF_INET) ? 1 : 0;
		any |= ts_is_all(&ts[i], AF_INET6) ? 2 : 0;
	}
	return any;
}

static bool
copy_selectors(struct esp_sa *sa, const struct ts_list *from, const struct ts_list *to)
{
	if (from->n > TS_MAX || to->n > TS_MAX)
		return false;
	sa->from = calloc(from->n + to->n + 1, sizeof(*sa->from));
	if (sa->from == NULL)
		return false;
	sa->from_n = from->n;
	sa->to_n = to->n;
	sa->to = sa->from + from->n;
	memcpy(sa->from, from->ts, from->n * sizeof(*sa->from));
	memcpy(sa->to, to->ts, to->n * sizeof(*sa->to));
	sa->from_any = find_any(sa->from, sa->from_n);
	sa->to_any = find_any(sa->to, sa->to_n);
	return true;
}

static struct esp_sa *
sa_new(struct secrets *s, const struct aead_set *a, const struct child_sa *c, const uint8_t *key)
{
	const struct aead_info *info = aead_info(c->aead);
	struct esp_sa *sa;

	if (info == NULL)
		return NULL;
	sa = secret_alloc(s, sizeof(*sa));
	if (sa == NULL)
		return NULL;
	if (!aead_key_init(&sa->key, a, c->aead, key, c->key_len)) {
		secret_free(s, sa);
		return NULL;
	}
	sa->iv_len = info->iv_len;
	sa->icv_len = info->icv_len;
	sa->block = info->block;
	sa->cbc = info->cbc;
	sa->esn = c->esn;
	sa->tunnel = c->tunnel;
	return sa;
}

struct esp_sa *
esp_sa_in_new(struct secrets *s, const struct aead_set *a, const struct child_sa *c)
{
	struct esp_sa *sa = sa_new(s, a, c, c->key_in);
	uint32_t window = c->window;

	if (sa == NULL)
		return NULL;
	window = window < REPLAY_WINDOW_MIN ? REPLAY_WINDOW_MIN : window;
	window = window > REPLAY_WINDOW_MAX ? REPLAY_WINDOW_MAX : window;
	sa->spi = c->spi_in;
	sa->ring = calloc(replay_words(window), sizeof(*sa->ring));
	if (sa->ring == NULL || !copy_selectors(sa, &c->ts_remote, &c->ts_local)) {
		esp_sa_free(s, sa);
		return NULL;
	}
	replay_init(&sa->replay, sa->ring, window, c->esn);
	return sa;
}

struct esp_sa *
esp_sa_out_new(struct secrets *s, const struct aead_set *a, const struct child_sa *c, uint64_t seq)
{
	static const char label[] = "tandem esp cbc iv";
	struct esp_sa *sa = sa_new(s, a, c, c->key_out);

	if (sa == NULL)
		return NULL;
	sa->spi = c->spi_out;
	sa->soft = c->esn ? ESP_ESN_SOFT : ESP_SEQ_SOFT;
	sa->hard = c->esn ? ESP_ESN_HARD : ESP_SEQ_HARD;
	stat_set(&sa->seq, seq);
	if (sa->cbc && crypto_generichash(sa->iv_key, sizeof(sa->iv_key),
	    (const uint8_t *)label, sizeof(label), c->key_out,
	    c->key_len < crypto_generichash_KEYBYTES_MAX ? c->key_len :
	    crypto_generichash_KEYBYTES_MAX) != 0)
		goto fail;
	if (!copy_selectors(sa, &c->ts_local, &c->ts_remote))
		goto fail;
	return sa;
fail:
	esp_sa_free(s, sa);
	return NULL;
}

void
esp_sa_free(struct secrets *s, struct esp_sa *sa)
{
	if (sa == NULL)
		return;
	free(sa->from);
	free(sa->ring);
	aead_key_fini(&sa->key);
	secret_free(s, sa);
}

void
esp_sa_lend(struct esp_sa *sa, unsigned workers)
{
	sa->users += workers;
}

bool
esp_sa_return(struct esp_sa *sa)
{
	if (sa->users > 0)
		sa->users--;
	return sa->users == 0;
}

bool
esp_sa_is_lent(const struct esp_sa *sa)
{
	return sa->users > 0;
}

uint32_t
esp_sa_spi(const struct esp_sa *sa)
{
	return sa->spi;
}

uint32_t
esp_sa_tunnel(const struct esp_sa *sa)
{
	return sa->tunnel;
}

void
esp_sa_stats(const struct esp_sa *sa, struct esp_sa_stats *st)
{
	uint64_t seq = stat_get(&sa->seq);

	st->packets = stat_get(&sa->packets);
	st->bytes = stat_get(&sa->bytes);
	st->last = stat_get(&sa->last);
	st->gaps = stat_get(&sa->gaps);
	st->seq = sa->hard != 0 && seq > sa->hard ? sa->hard : seq;
}

static bool
covers(const struct ts *ts, const struct ip *ip, const struct inner *in, uint16_t port)
{
	if (!ts_has_ip(ts, ip) || (ts->proto != 0 && ts->proto != in->proto))
		return false;
	if (ts->port_start == 0 && ts->port_end == UINT16_MAX)
		return true;
	if (ts->port_start == UINT16_MAX && ts->port_end == 0)
		return !in->has_port;
	return in->has_port && port >= ts->port_start && port <= ts->port_end;
}

bool
esp_sa_covers(const struct esp_sa *sa, const struct inner *in)
{
	uint8_t family = in->src.family == AF_INET ? 1 : 2;
	bool from = (sa->from_any & family) != 0, to = (sa->to_any & family) != 0;

	for (unsigned i = 0; !from && i < sa->from_n; i++)
		from = covers(&sa->from[i], &in->src, in, in->sport);
	for (unsigned i = 0; from && !to && i < sa->to_n; i++)
		to = covers(&sa->to[i], &in->dst, in, in->dport);
	return from && to;
}

uint64_t
esp_sa_take(struct esp_sa *sa, unsigned n, unsigned *got, bool *low)
{
	uint64_t last = stat_get(&sa->seq);

	*got = 0;
	*low = false;
	/* Looked at first, so that a used-up SA stops counting instead of creeping on. */
	if (last >= sa->hard)
		return 0;
	last = atomic_fetch_add_explicit(&sa->seq, n, memory_order_relaxed);
	if (last < sa->hard)
		*got = sa->hard - last < n ? (unsigned)(sa->hard - last) : n;
	if (last + n >= sa->soft)
		*low = !atomic_exchange_explicit(&sa->told_low, true, memory_order_relaxed);
	return last + 1;
}

void
esp_sa_untold(struct esp_sa *sa)
{
	atomic_store_explicit(&sa->told_low, false, memory_order_relaxed);
}
