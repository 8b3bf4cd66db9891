/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "gateway/config_load.h"

/*
 * Contradictions that no single value shows: within a tunnel, a connection and between
 * connections.  What concerns ranges of addresses is in config_blocks.c.
 */

static void
check_addresses(struct load *l, const struct config_tunnel *t, const struct seen *s)
{
	if (t->local.family == AF_UNSPEC) {
		if (s->value[KEY_LOCAL] == NULL && s->value[KEY_LOCAL_ID] == NULL &&
		    !s->meant[KEY_LOCAL] && !s->meant[KEY_LOCAL_ID])
			mistake(&l->m, s->at, "the tunnel has neither 'local' nor 'local-id'; "
			    "expected one of them, for our identity is our outside address unless "
			    "it is named");
	} else if (t->remote.family != AF_UNSPEC) {
		if (t->local.family != t->remote.family)
			mistake(&l->m, seen_at(s, KEY_LOCAL), "'local' and 'remote' are of "
			    "different families; expected two IPv4 or two IPv6 addresses");
		else if (ip_equal(&t->local, &t->remote))
			mistake(&l->m, seen_at(s, KEY_REMOTE), "'remote' is our own 'local' "
			    "address; expected that of the peer");
	}
}

static void
check_probe(struct load *l, const struct config_tunnel *t, const struct seen *s)
{
	unsigned i = t->probe.family == AF_INET6;

	if (t->probe.family == AF_UNSPEC)
		return;
	if (t->inside_len[i] == 0)
		mistake(&l->m, seen_at(s, KEY_PROBE), "'probe' is asked from an inside address of "
		    "its family; expected %s 'inside'", i ? "an IPv6" : "an IPv4");
	else if (ip_equal(&t->probe, &t->inside_local[i]))
		mistake(&l->m, seen_at(s, KEY_PROBE), "'probe' is our own inside address; "
		    "expected one that the peer has or reaches");
}

static void
check_inside(struct load *l, const struct config_tunnel *t, const struct seen *s)
{
	if (t->probe.family == AF_UNSPEC && s->value[KEY_PROBE] == NULL &&
	    s->value[KEY_INSIDE] == NULL && !s->meant[KEY_INSIDE])
		mistake_warn(&l->m, s->at, "the tunnel has no 'inside' address to ask from; a silent "
		    "loss is noticed by IKE liveness only");
}

/* AWS: /30 of 169.254.0.0/16 less what it keeps for itself, /126 of fd00::/8. */
static void
check_inside_aws(struct load *l, const struct config_tunnel *t, const struct seen *s)
{
	const uint8_t *v4 = t->inside_local[0].b;
	bool own = (v4[2] <= 5 && (v4[3] & 0xfc) == 0) || (v4[2] == 169 && (v4[3] & 0xfc) == 252);

	if (t->inside_len[0] == 0 && t->inside_len[1] == 0) {
		if (s->value[KEY_INSIDE] == NULL && !s->meant[KEY_INSIDE])
			mistake(&l->m, s->at, "the tunnel has no 'inside'; expected the inside "
			    "network that AWS shows for it, such as 169.254.80.144/30");
		return;
	}
	if (t->inside_len[0] != 0 && (v4[0] != 169 || v4[1] != 254 || t->inside_len[0] != 30))
		mistake_warn(&l->m, seen_at(s, KEY_INSIDE), "AWS has inside networks /30 of "
		    "169.254.0.0/16; this is another");
	else if (t->inside_len[0] != 0 && own)
		mistake_warn(&l->m, seen_at(s, KEY_INSIDE), "AWS keeps this inside network for "
		    "itself; expected another /30 of 169.254.0.0/16");
	if (t->inside_len[1] != 0 && (t->inside_local[1].b[0] != 0xfd || t->inside_len[1] != 126))
		mistake_warn(&l->m, seen_at(s, KEY_INSIDE), "AWS has inside networks /126 of "
		    "fd00::/8; this is another");
}

static void
check_mtu(struct load *l, const struct config_connection *c, const struct load_connection *lc)
{
	for (unsigned i = 0; i < c->tunnels_n; i++) {
		if (c->tunnel[i].remote.family == AF_INET6 && c->outer_mtu != 0 &&
		    c->outer_mtu < 1280) {
			mistake(&l->m, seen_at(&lc->seen, KEY_MTU), "an IPv6 path has an MTU of "
			    "1280 at least; this one is %u", c->outer_mtu);
			return;
		}
	}
}

static void
check_lifetimes(struct load *l, const struct config_connection *c, const struct load_connection *lc)
{
	char life[DURATION_LEN];

	if (c->child_life > c->ike_life)
		mistake(&l->m, seen_at(&lc->seen, KEY_LIFETIME), "'lifetime' is longer than "
		    "'ike-lifetime'; expected at most %s", duration_str(c->ike_life, life));
	if (lc->preset != PRESET_AWS)
		return;
	if (c->ike_life > USEC_S(28800))
		mistake_warn(&l->m, seen_at(&lc->seen, KEY_IKE_LIFETIME), "AWS ends an IKE SA "
		    "after 8h at most; expected that or less");
	if (c->child_life > USEC_S(3600))
		mistake_warn(&l->m, seen_at(&lc->seen, KEY_LIFETIME), "AWS ends a Child SA after "
		    "1h at most; expected that or less");
}

static bool
covered(const struct ts_list *list, uint8_t family)
{
	for (unsigned i = 0; i < list->n; i++) {
		if (list->ts[i].start.family == family)
			return true;
	}
	return false;
}

static void
check_selectors(struct load *l, const struct config_connection *c, const struct load_connection *lc)
{
	const struct seen *s = &lc->seen;
	bool inside = false;

	if (c->selectors == SELECTORS_NETWORKS) {
		if (s->value[KEY_LOCAL_NETWORKS] == NULL)
			mistake(&l->m, seen_at(s, KEY_SELECTORS), "'selectors: networks' needs "
			    "'local-networks'; expected a list of them");
		if (c->networks_n > TS_MAX)
			mistake(&l->m, seen_at(s, KEY_NETWORKS), "%zu networks do not fit the "
			    "selectors; expected at most %d", c->networks_n, TS_MAX);
		if (c->local_networks_n > TS_MAX)
			mistake(&l->m, seen_at(s, KEY_LOCAL_NETWORKS), "%zu networks do not fit "
			    "the selectors; expected at most %d", c->local_networks_n, TS_MAX);
		for (unsigned i = 0; i < c->tunnels_n; i++) {
			const struct config_tunnel *t = &c->tunnel[i];

			for (unsigned f = 0; f < 2; f++)
				inside |= t->inside_len[f] != 0 && !ts_list_covers(&c->ts_local,
				    &t->inside_local[f], 0, 0);
		}
		if (inside)
			mistake_warn(&l->m, seen_at(s, KEY_SELECTORS), "the inside addresses are "
			    "not in the selectors; a silent loss is noticed by IKE liveness only");
		return;
	}
	for (size_t i = 0; c->ts_remote.n > 0 && i < c->networks_n; i++) {
		if (covered(&c->ts_remote, c->networks[i].ip.family))
			continue;
		mistake(&l->m, seen_at(s, KEY_NETWORKS), "'networks' has %s networks, but no "
		    "tunnel has an inside address of that family",
		    c->networks[i].ip.family == AF_INET ? "IPv4" : "IPv6");
		return;
	}
}

/* The two tunnels must be two paths: one address pair is one path. */
static void
check_paths(struct load *l, const struct config_connection *c, const struct load_connection *lc)
{
	const struct config_tunnel *a = &c->tunnel[0], *b = &c->tunnel[1];

	if (c->tunnels_n == 2 && a->remote.family != AF_UNSPEC &&
	    ip_equal(&a->remote, &b->remote) && ip_equal(&a->local, &b->local))
		mistake(&l->m, lc->tunnel[1].at, "both tunnels have the same 'local' and "
		    "'remote'; expected two paths, or both are lost at once");
}

static void
check_connection(struct load *l, const struct config_connection *c,
    const struct load_connection *lc)
{
	for (unsigned i = 0; i < c->tunnels_n; i++) {
		const struct seen *s = &lc->tunnel[i];
		const struct config_tunnel *t = &c->tunnel[i];

		check_addresses(l, t, s);
		if (lc->preset == PRESET_AWS)
			check_inside_aws(l, t, s);
		else
			check_inside(l, t, s);
		check_probe(l, t, s);
	}
	check_paths(l, c, lc);
	check_mtu(l, c, lc);
	check_lifetimes(l, c, lc);
	check_selectors(l, c, lc);
	if (lc->seen.value[KEY_PIN] != NULL && c->policy != MON_PINNED)
		mistake_warn(&l->m, seen_at(&lc->seen, KEY_PIN), "'pin' has no effect without "
		    "'policy: pinned'");
}

/* Devices are compared by sorted name; a pair of tunnels that a responder could not tell
 * apart is found among those with equal remote addresses. */
struct entry {
	const struct config_connection *c;
	const struct config_tunnel *t;
	const struct seen *s;
};

static bool
later(struct place a, struct place b)
{
	return a.line > b.line || (a.line == b.line && a.column > b.column);
}

static int
by_device(const void *va, const void *vb)
{
	const struct entry *a = va, *b = vb;
	int c = strcmp(a->c->device, b->c->device);

	return c != 0 ? c : later(a->s->at, b->s->at) ? 1 : -1;
}

static int
by_remote(const void *va, const void *vb)
{
	const struct entry *a = va, *b = vb;
	int c = ip_cmp(&a->t->remote, &b->t->remote);

	return c != 0 ? c : later(a->s->at, b->s->at) ? 1 : a->s == b->s ? 0 : -1;
}

static void
check_devices(struct load *l)
{
	size_t n = l->c->connection_n;
	struct entry *e = calloc(n + 1, sizeof(*e));

	if (e == NULL) {
		l->m.no_memory = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		e[i] = (struct entry){ .c = &l->c->connection[i], .s = &l->connection[i].seen };
	qsort(e, n, sizeof(*e), by_device);
	for (size_t i = 1; i < n; i++) {
		if (e[i].c->device[0] != '\0' && strcmp(e[i].c->device, e[i - 1].c->device) == 0)
			mistake(&l->m, seen_at(e[i].s, KEY_DEVICE), "the device '%s' is also that "
			    "of connection '%s' (line %u); expected another 'device'",
			    e[i].c->device,
			    e[i - 1].c->name, e[i - 1].c->line);
	}
	free(e);
}

/* Keys are looked up by both identities: equal ones between equal addresses are one peer. */
static bool
ambiguous(const struct entry *a, const struct entry *b)
{
	bool any = a->t->local.family == AF_UNSPEC || b->t->local.family == AF_UNSPEC;

	return (any || ip_equal(&a->t->local, &b->t->local)) &&
	    id_equal(&a->t->local_id, &b->t->local_id) &&
	    id_equal(&a->t->remote_id, &b->t->remote_id);
}

static void
check_identities(struct load *l)
{
	struct entry *e = calloc(l->c->connection_n * CONFIG_TUNNELS + 1, sizeof(*e));
	size_t n = 0;

	if (e == NULL) {
		l->m.no_memory = true;
		return;
	}
	for (size_t i = 0; i < l->c->connection_n; i++) {
		const struct config_connection *c = &l->c->connection[i];

		for (unsigned t = 0; t < c->tunnels_n; t++) {
			if (c->tunnel[t].remote.family != AF_UNSPEC)
				e[n++] = (struct entry){ c, &c->tunnel[t],
				    &l->connection[i].tunnel[t] };
		}
	}
	qsort(e, n, sizeof(*e), by_remote);
	for (size_t i = 1; i < n; i++) {
		for (size_t j = i; j-- > 0 && ip_equal(&e[j].t->remote, &e[i].t->remote);) {
			/* Of one connection check_paths() has said it, where locals are equal. */
			if (!ambiguous(&e[i], &e[j]) || (e[i].c == e[j].c &&
			    ip_equal(&e[i].t->local, &e[j].t->local)))
				continue;
			mistake(&l->m, e[i].s->at, "the tunnel has the addresses and identities "
			    "of one of '%s' (line %u); expected another 'local', 'remote', "
			    "'local-id' or 'remote-id'",
			    e[j].c->name, e[j].s->at.line);
			break;
		}
	}
	free(e);
}

void
config_check(struct load *l)
{
	if (l->c->port != 0 && l->c->port == l->c->natt_port)
		mistake(&l->m, seen_at(&l->gateway, l->gateway.value[KEY_NATT_PORT] != NULL ?
		    KEY_NATT_PORT : KEY_PORT), "'port' and 'natt-port' are both %u; expected two "
		    "ports",
		    l->c->port);
	for (size_t i = 0; i < l->c->connection_n; i++)
		check_connection(l, &l->c->connection[i], &l->connection[i]);
	check_devices(l);
	check_identities(l);
	config_check_blocks(l);
}
