/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "gateway/config_load.h"

/*
 * Which ranges of addresses contain one another, for all connections at once.  Networks,
 * inside links and outside addresses are blocks; two blocks are disjoint or one contains the
 * other.  Sorted by their first address, the larger in front, all that contain a block are on
 * a stack when its turn comes: one pass finds every pair, and a rule judges it.
 */
enum block_kind { BLOCK_NETWORK, BLOCK_LOCAL, BLOCK_INSIDE, BLOCK_REMOTE };

struct block {
	enum block_kind kind;
	struct prefix p;
	const struct config_connection *c;
	struct place at;
	size_t outer;			/* index + 1 of the next larger block around it; 0: none */
};

struct blocks {
	struct load *l;
	struct block *b;
	size_t n, cap;
};

static void
add(struct blocks *bs, enum block_kind kind, struct prefix p, const struct config_connection *c,
    struct place at)
{
	if (bs->n == bs->cap) {
		size_t cap = bs->cap > 0 ? bs->cap * 2 : 64;
		struct block *b = realloc(bs->b, cap * sizeof(*b));

		if (b == NULL) {
			bs->l->m.no_memory = true;
			return;
		}
		bs->b = b;
		bs->cap = cap;
	}
	bs->b[bs->n++] = (struct block){ kind, p, c, at, 0 };
}

/* From the text again: the place of each item is that of its word. */
static void
add_list(struct blocks *bs, enum block_kind kind, const struct config_connection *c,
    const struct yaml_node *node)
{
	const struct yaml_node *word = node;
	struct prefix p;

	if (node != NULL && node->shape != YAML_WORD)
		word = node->first;
	for (; word != NULL; word = node->shape == YAML_WORD ? NULL : word->next) {
		if (word->shape == YAML_WORD && prefix_parse(word->text, true, &p))
			add(bs, kind, p, c, word->at);
	}
}

static void
add_tunnel(struct blocks *bs, const struct config_connection *c, const struct config_tunnel *t,
    const struct seen *s)
{
	struct prefix p;
	char text[PREFIX_STRLEN], address[IP_STRLEN];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "%s/%u", ip_str(&t->inside_local[i], address),
		    t->inside_len[i]);
		if (t->inside_len[i] != 0 && prefix_parse(text, false, &p))
			add(bs, BLOCK_INSIDE, p, c, seen_at(s, KEY_INSIDE));
	}
	p = (struct prefix){ t->remote, (uint8_t)(ip_len(t->remote.family) * 8) };
	if (t->remote.family != AF_UNSPEC)
		add(bs, BLOCK_REMOTE, p, c, seen_at(s, KEY_REMOTE));
}

static bool
later(struct place a, struct place b)
{
	return a.line > b.line || (a.line == b.line && a.column > b.column);
}

static int
by_address(const void *va, const void *vb)
{
	const struct block *a = va, *b = vb;
	int c = ip_cmp(&a->p.ip, &b->p.ip);

	if (c == 0)
		c = (int)a->p.len - (int)b->p.len;
	return c != 0 ? c : later(a->at, b->at) ? 1 : later(b->at, a->at) ? -1 : 0;
}

/* Two networks, one of which contains or equals the other. */
static bool
judge_networks(struct mistakes *m, const struct block *out, const struct block *in)
{
	const struct block *second = later(in->at, out->at) ? in : out;
	const struct block *first = second == in ? out : in;
	bool equal = out->p.len == in->p.len;
	char a[PREFIX_STRLEN], b[PREFIX_STRLEN];

	prefix_str(&second->p, a);
	prefix_str(&first->p, b);
	if (out->c == in->c) {
		if (equal)
			mistake(m, second->at, "the network '%s' is given twice", a);
		else if (out->p.len > 0)
			mistake_warn(m, in->at, "the network '%s' is within '%s' of the same "
			    "connection",
			    second == in ? a : b, second == in ? b : a);
		return equal;
	}
	if (equal && out->c->metric != in->c->metric)
		return false;		/* one backs up the other */
	if (!equal && out->p.len == 0)
		return false;		/* what is not elsewhere: no contradiction */
	if (equal)
		mistake(m, second->at, "the network '%s' is also that of '%s' (line %u); expected "
		    "another 'metric' where one backs up the other", a, first->c->name,
		    first->at.line);
	else
		mistake(m, second->at, "the network '%s' overlaps '%s' of '%s' (line %u); "
		    "expected networks apart", a, b, first->c->name, first->at.line);
	return true;
}

/* A network of the remote site and something else within it. */
static bool
judge_within_network(struct mistakes *m, const struct block *out, const struct block *in)
{
	char a[PREFIX_STRLEN], b[PREFIX_STRLEN];

	prefix_str(&out->p, a);
	prefix_str(&in->p, b);
	if (in->kind == BLOCK_REMOTE && out->p.len == 0) {
		if (out->c == in->c)
			mistake_warn(m, out->at, "a default route leads into the tunnels; the "
			    "'remote' addresses need routes of their own");
		return false;
	}
	if (in->kind == BLOCK_REMOTE && out->c == in->c)
		mistake(m, out->at, "the network '%s' contains the 'remote' of its own tunnel "
		    "(line %u); the tunnel would be routed into itself", a, in->at.line);
	else if (in->kind == BLOCK_REMOTE)
		mistake_warn(m, out->at, "the network '%s' contains a 'remote' of '%s' (line %u), "
		    "which would be reached through this connection", a, in->c->name, in->at.line);
	else if (in->kind == BLOCK_INSIDE && out->p.len == in->p.len)
		mistake(m, out->at, "the network '%s' is an inside network (line %u), which has a "
		    "route already; expected it left out", a, in->at.line);
	else if (in->kind == BLOCK_INSIDE && out->p.len > 0)
		mistake_warn(m, out->at, "the network '%s' contains the inside network '%s' (line "
		    "%u)", a,
		    b, in->at.line);
	else if (in->kind == BLOCK_LOCAL && out->p.len == in->p.len)
		mistake(m, out->at, "the network '%s' is one of our 'local-networks' (line %u); "
		    "expected that of the remote site", a, in->at.line);
	else
		return false;
	return true;
}

/* True: it was a contradiction, and is said. */
static bool
judge(struct mistakes *m, const struct block *out, const struct block *in)
{
	char a[PREFIX_STRLEN];

	if (out->kind == BLOCK_NETWORK && in->kind == BLOCK_NETWORK)
		return judge_networks(m, out, in);
	if (out->kind == BLOCK_NETWORK)
		return judge_within_network(m, out, in);
	if (in->kind == BLOCK_NETWORK && out->p.len == in->p.len)
		return judge_within_network(m, in, out);	/* equal: either may come first */
	prefix_str(&in->p, a);
	if (out->kind == BLOCK_LOCAL && in->kind == BLOCK_NETWORK && out->p.len > 0)
		mistake(m, in->at, "the network '%s' is within our 'local-networks' (line %u); "
		    "expected that of the remote site", a, out->at.line);
	else if (out->kind == BLOCK_INSIDE && in->kind == BLOCK_INSIDE)
		mistake(m, later(in->at, out->at) ? in->at : out->at,
		    "the inside network is that of another tunnel (line %u); expected one of its "
		    "own",
		    later(in->at, out->at) ? out->at.line : in->at.line);
	else if (out->kind == BLOCK_INSIDE && in->kind == BLOCK_NETWORK)
		mistake(m, in->at, "the network '%s' is within an inside network (line %u); "
		    "expected it left out", a, out->at.line);
	else if (out->kind == BLOCK_INSIDE && in->kind == BLOCK_REMOTE)
		mistake(m, out->at, "the inside network contains a 'remote' (line %u); expected "
		    "addresses that are used nowhere else", in->at.line);
	else
		return false;
	return true;
}

static void
sweep(struct blocks *bs)
{
	size_t top = 0;			/* index + 1 of the smallest block that is still open */

	for (size_t i = 0; i < bs->n; i++) {
		struct block *in = &bs->b[i];

		while (top > 0 && !(bs->b[top - 1].p.len <= in->p.len &&
		    prefix_overlap(&bs->b[top - 1].p, &in->p)))
			top = bs->b[top - 1].outer;
		in->outer = top;
		for (size_t o = top; o > 0; o = bs->b[o - 1].outer) {
			if (judge(&bs->l->m, &bs->b[o - 1], in))
				break;
		}
		top = i + 1;
	}
}

void
config_check_blocks(struct load *l)
{
	struct blocks bs = { .l = l };

	for (size_t i = 0; i < l->c->connection_n; i++) {
		const struct config_connection *c = &l->c->connection[i];
		const struct load_connection *lc = &l->connection[i];

		add_list(&bs, BLOCK_NETWORK, c, lc->seen.value[KEY_NETWORKS]);
		add_list(&bs, BLOCK_LOCAL, c, lc->seen.value[KEY_LOCAL_NETWORKS]);
		for (unsigned t = 0; t < c->tunnels_n; t++)
			add_tunnel(&bs, c, &c->tunnel[t], &lc->tunnel[t]);
	}
	if (bs.n > 0)
		qsort(bs.b, bs.n, sizeof(*bs.b), by_address);
	sweep(&bs);
	free(bs.b);
}
