/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "gateway/value.h"

/*
 * What a reload has to do: the keys that differ, each with the class that the table gives it.
 */
struct diff {
	struct config_op *ops;
	size_t n, max;
};

static void
op_add(struct diff *d, const struct config_op *op)
{
	if (d->n < d->max)
		d->ops[d->n++] = *op;
}

static void
name_add(struct config_op *op, const char *name, unsigned tunnel)
{
	size_t len = strlen(op->what);
	char word[64];
	int more;

	if (tunnel > 0)
		snprintf(word, sizeof(word), "%s of tunnel %u", name, tunnel);
	else
		snprintf(word, sizeof(word), "%s", name);
	more = snprintf(op->what + len, sizeof(op->what) - len, "%s%s", len > 0 ? ", " : "", word);
	if (len + (size_t)more >= sizeof(op->what))
		memcpy(op->what + sizeof(op->what) - 4, "...", 4);
}

/* Add the keys of one struct that differ; the strongest class of them wins. */
static void
compare(struct config_op *op, enum key_home home, const void *a, const void *b, unsigned tunnel)
{
	for (size_t i = 0; i < KEY_N; i++) {
		if (keys[i].home != home || value_equal(&keys[i], a, b))
			continue;
		if (op->what[0] == '\0' || keys[i].reload > op->kind)
			op->kind = keys[i].reload;
		name_add(op, keys[i].name, tunnel);
	}
}

/* The keys of the gateway itself of one class. */
static void
compare_gateway(struct diff *d, const struct config *a, const struct config *b,
    enum config_op_kind kind)
{
	struct config_op op = { .kind = kind };

	for (size_t i = 0; i < KEY_N; i++)
		if (keys[i].home == HOME_GATEWAY && keys[i].reload == kind &&
		    !value_equal(&keys[i], a, b))
			name_add(&op, keys[i].name, 0);
	if (op.what[0] != '\0')
		op_add(d, &op);
}

static bool
ts_equal(const struct ts_list *a, const struct ts_list *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		if (!ip_equal(&a->ts[i].start, &b->ts[i].start) ||
		    !ip_equal(&a->ts[i].end, &b->ts[i].end))
			return false;
	}
	return true;
}

static void
compare_connection(struct diff *d, const struct config_connection *a,
    const struct config_connection *b)
{
	struct config_op op = { .from = a, .to = b };

	compare(&op, HOME_CONNECTION, a, b, 0);
	for (unsigned t = 0; t < a->tunnels_n && t < b->tunnels_n; t++)
		compare(&op, HOME_TUNNEL, &a->tunnel[t], &b->tunnel[t], t + 1);
	/* Networks are routes and change live, unless they are what was negotiated too. */
	if (!ts_equal(&a->ts_local, &b->ts_local) || !ts_equal(&a->ts_remote, &b->ts_remote)) {
		op.kind = CONFIG_RESTART;
		if (op.what[0] == '\0')
			name_add(&op, keys[KEY_SELECTORS].name, 0);
	}
	if (op.what[0] != '\0')
		op_add(d, &op);
}

static const struct config_connection *
find(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->connection_n; i++) {
		if (strcmp(c->connection[i].name, name) == 0)
			return &c->connection[i];
	}
	return NULL;
}

size_t
config_diff(const struct config *from, const struct config *to, struct config_op *ops, size_t max)
{
	struct diff d = { .ops = ops, .max = max };
	struct config_op op = { .kind = CONFIG_DEL };

	for (size_t i = 0; i < from->connection_n; i++) {
		op.from = &from->connection[i];
		if (find(to, op.from->name) == NULL)
			op_add(&d, &op);
	}
	compare_gateway(&d, from, to, CONFIG_GATEWAY_LIVE);
	compare_gateway(&d, from, to, CONFIG_GATEWAY_RESTART);
	for (size_t i = 0; i < to->connection_n; i++) {
		const struct config_connection *new = &to->connection[i];
		const struct config_connection *old = find(from, new->name);

		op = (struct config_op){ .kind = CONFIG_ADD, .to = new };
		if (old != NULL)
			compare_connection(&d, old, new);
		else
			op_add(&d, &op);
	}
	return d.n;
}
