/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/bytes.h"
#include "esp/path.h"

void
esp_path_free(struct esp_path *p)
{
	if (p == NULL)
		return;
	free(p->sources);
	free(p->own);
	free(p->lan);
	free(p);
}

uint8_t
path_bucket(const struct inner *in)
{
	return (uint8_t)(inner_flow(in) >> 40);
}

static unsigned
side(uint8_t family)
{
	return family == AF_INET ? 0 : 1;
}

int
path_choose(const struct path_dev *d, const struct inner *in)
{
	unsigned s = side(in->dst.family);
	uint8_t i;

	for (i = 0; i < d->n; i++)
		if (ip_equal(&d->path->t[i].inside_peer[s], &in->dst))
			return i;
	i = d->path->bucket[path_bucket(in)];
	return i < d->n ? i : -1;
}

static bool
is_own(const struct path_dev *d, const struct ip *ip)
{
	size_t lo = 0, hi = d->path->own_n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int cmp = ip_cmp(ip, &d->path->own[mid]);

		if (cmp == 0)
			return true;
		if (cmp < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return false;
}

/* Of a network on our side, unless a part of that network is the peer's. */
static bool
is_lan(const struct esp_path *p, const struct ip *src)
{
	uint8_t lan = 0, theirs = 0;

	for (size_t i = 0; i < p->lan_n; i++)
		if (p->lan[i].len > lan && prefix_has(&p->lan[i], src))
			lan = p->lan[i].len;
	for (size_t i = 0; lan > 0 && i < p->sources_n; i++)
		if (p->sources[i].len > theirs && prefix_has(&p->sources[i], src))
			theirs = p->sources[i].len;
	return lan > 0 && lan >= theirs;
}

static enum drop
judge_source(struct path_dev *d, const struct ip *src)
{
	const struct esp_path *p = d->path;
	unsigned s = side(src->family);

	if (!inner_is_host(src))
		return DROP_IN_SOURCE;
	if (is_own(d, src) || is_lan(p, src))
		return DROP_IN_OWN;
	for (unsigned i = 0; i < d->n; i++)
		if (ip_equal(&p->t[i].inside_local[s], src))
			return DROP_IN_OWN;
	for (unsigned i = 0; i < d->n; i++)
		if (ip_equal(&p->t[i].inside_peer[s], src))
			return PASS;
	if (d->source_hit < p->sources_n && prefix_has(&p->sources[d->source_hit], src))
		return PASS;
	for (size_t i = 0; i < p->sources_n; i++) {
		if (prefix_has(&p->sources[i], src)) {
			d->source_hit = i;
			return PASS;
		}
	}
	return DROP_IN_SOURCE;
}

enum drop
path_accepts(struct path_dev *d, const struct ip *src)
{
	enum drop why;

	if (ip_equal(src, &d->accepted))
		return PASS;
	why = judge_source(d, src);
	if (why == PASS)
		d->accepted = *src;
	return why;
}

/* Without an inside address any of our own of the family will do, but none that a host on
 * the LAN could not have asked (loopback, link-local). */
const struct ip *
path_own_ip(const struct path_dev *d, unsigned i, uint8_t family)
{
	const struct ip *ip = &d->path->t[i].inside_local[side(family)];

	if (ip->family == family)
		return ip;
	for (size_t k = 0; k < d->path->own_n; k++) {
		ip = &d->path->own[k];
		if (ip->family != family || !inner_is_host(ip))
			continue;
		if (family == AF_INET6 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80)
			continue;
		return ip;
	}
	return NULL;
}
