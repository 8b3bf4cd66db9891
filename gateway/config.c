/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE			/* asprintf */

#include "gateway/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/config_load.h"
#include "gateway/psk.h"
#include "gateway/value.h"
#include "tun/host.h"

/*
 * Text becomes a configuration in four steps: a tree (yaml.c), values by the table of keys
 * (value.c), what follows from other values (settle_* here), and what contradicts what
 * (config_check.c).  Each step goes on after a mistake, so that one run names all of them.
 */

struct place
seen_at(const struct seen *s, enum key_id k)
{
	return s->value[k] != NULL ? s->value[k]->at : s->at;
}

/* Sort the items of a map by key. */
static void
gather(struct load *l, const struct yaml_node *map, enum key_home level, struct seen *s)
{
	for (const struct yaml_node *i = map->first; i != NULL; i = i->next) {
		const struct key *k = key_find(i->key->text, level);

		if (k != NULL)
			s->value[k - keys] = i;
		else if ((k = key_unknown(&l->m, i->key->at, i->key->text, level)) != NULL)
			s->meant[k - keys] = true;
	}
}

/* Give every key of a struct its value: first what holds without a word, then what is written. */
static void
fill(struct load *l, enum key_home home, void *base, const struct seen *s, enum key_preset preset)
{
	static const char *const owner[] = { "the configuration", "the connection", "the tunnel" };
	char expected[KEY_EXPECTED_LEN];

	for (size_t i = 0; i < KEY_N; i++) {
		const struct key *k = &keys[i];
		const char *text = key_default(k, preset);

		if (k->home != home)
			continue;
		if (text != NULL && !value_set(k, base, text))
			mistake(&l->m, s->at, "the default of '%s' cannot be read", k->name);
		if (s->value[i] == NULL && k->required && !s->meant[i])
			mistake(&l->m, s->at, "%s has no '%s'; expected %s", owner[home], k->name,
			    key_expected(k, expected));
		if (s->value[i] != NULL && k->size > 0)
			(void)value_parse(k, base, s->value[i], &l->m);
	}
}

static void
remember(struct config_origin *o, const struct seen *s)
{
	for (size_t i = 0; i < KEY_N; i++)
		o->line[i] = s->value[i] != NULL ? s->value[i]->at.line : 0;
}

/* An inside address as written is ours; AWS shows the network instead, of which the first
 * host is AWS and the second is ours.  The peer is the other host. */
static void
settle_inside(struct load *l, struct config_tunnel *t, const struct seen *s, bool aws)
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned last = i == 0 ? 3 : 15;
		bool pair = t->inside_len[i] == 31 || t->inside_len[i] == 127;

		if (t->inside_len[i] == 0)
			continue;
		if (!pair && (t->inside_local[i].b[last] & 3) == 0) {
			if (!aws)
				mistake(&l->m, seen_at(s, KEY_INSIDE), "'inside' is the network, "
				    "not an address; expected our address in it (only preset aws "
				    "knows which)");
			t->inside_local[i].b[last] |= 2;
		}
		t->inside_peer[i] = t->inside_local[i];
		t->inside_peer[i].b[last] ^= pair ? 1 : 3;
	}
}

static void
id_of_address(struct ike_id *id, const struct ip *ip)
{
	memset(id, 0, sizeof(*id));
	if (ip->family == AF_UNSPEC)
		return;
	id->type = ip->family == AF_INET ? ID_IPV4_ADDR : ID_IPV6_ADDR;
	id->len = (uint16_t)ip_len(ip->family);
	memcpy(id->data, ip->b, id->len);
}

/* Paths are relative to the folder of the file that names them. */
static char *
path_beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	char *joined = NULL;

	if (path[0] == '/' || slash == NULL)
		return strdup(path);
	if (asprintf(&joined, "%.*s/%s", (int)(slash - file), file, path) < 0)
		return NULL;
	return joined;
}

static void
settle_secret(struct load *l, struct config_tunnel *t, const struct seen *s, bool aws)
{
	struct place at = seen_at(s, KEY_PSK_FILE);
	char *path;

	if (t->psk_file[0] == '\0')
		return;
	path = path_beside(l->c->file, t->psk_file);
	if (path == NULL) {
		l->m.no_memory = true;
		return;
	}
	t->psk = psk_read(path, l->c->secrets, &t->psk_len, &l->m, at);
	if (t->psk != NULL && aws)
		psk_check_aws(t->psk, t->psk_len, &l->m, at);
	free(path);
}

static void
settle_tunnel(struct load *l, struct config_tunnel *t, const struct seen *s, bool aws)
{
	settle_inside(l, t, s, aws);
	if (s->value[KEY_PROBE] == NULL)
		t->probe = t->inside_peer[t->inside_len[0] == 0];
	if (s->value[KEY_LOCAL_ID] == NULL)
		id_of_address(&t->local_id, &t->local);
	if (s->value[KEY_REMOTE_ID] == NULL)
		id_of_address(&t->remote_id, &t->remote);
	settle_secret(l, t, s, aws);
	remember(&t->origin, s);
}

static void
ts_add(struct ts_list *list, const struct prefix *p, size_t n)
{
	for (size_t i = 0; i < n && list->n < TS_MAX; i++)
		list->ts[list->n++] = ts_from_prefix(&p[i]);
}

/* Everything, but a cloud's tunnel carries the family of its inside addresses alone. */
static void
settle_selectors(struct config_connection *c, bool aws)
{
	static const struct prefix all[] = { { .ip.family = AF_INET }, { .ip.family = AF_INET6 } };

	if (c->selectors == SELECTORS_NETWORKS) {
		ts_add(&c->ts_local, c->local_networks, c->local_networks_n);
		ts_add(&c->ts_remote, c->networks, c->networks_n);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		bool has = !aws;

		for (unsigned t = 0; t < c->tunnels_n; t++)
			has |= c->tunnel[t].inside_len[i] != 0;
		if (has) {
			ts_add(&c->ts_local, &all[i], 1);
			ts_add(&c->ts_remote, &all[i], 1);
		}
	}
}

/* Of the name alone, so that it is the same after every start: "td-" and the name, or where
 * that does not fit the begin of the name and a hash of all of it (FNV-1a). */
static void
settle_device(struct config_connection *c)
{
	uint32_t hash = 2166136261u;

	if (strlen(c->name) + 3 < sizeof(c->device)) {
		snprintf(c->device, sizeof(c->device), "td-%.12s", c->name);
		return;
	}
	for (const char *p = c->name; *p != '\0'; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	snprintf(c->device, sizeof(c->device), "td-%.6s-%05x", c->name, (hash >> 12) & 0xfffff);
}

/* What a tunnel does not say, its connection may say for both. */
static void
inherit(struct seen *tunnel, const struct seen *connection)
{
	for (size_t i = 0; i < KEY_N; i++) {
		if (keys[i].shared && tunnel->value[i] == NULL)
			tunnel->value[i] = connection->value[i];
		tunnel->meant[i] |= keys[i].shared && connection->meant[i];
	}
}

static void
read_tunnel(struct load *l, struct load_connection *lc, struct config_connection *c,
    const struct yaml_node *node)
{
	struct config_tunnel *t = &c->tunnel[c->tunnels_n];
	struct seen *s = &lc->tunnel[c->tunnels_n++];

	s->at = node->at;
	gather(l, node, HOME_TUNNEL, s);
	inherit(s, &lc->seen);
	fill(l, HOME_TUNNEL, t, s, lc->preset);
	settle_tunnel(l, t, s, lc->preset == PRESET_AWS);
}

static void
read_tunnels(struct load *l, struct load_connection *lc, struct config_connection *c)
{
	const struct yaml_node *list = lc->seen.value[KEY_TUNNELS], *item;
	char expected[KEY_EXPECTED_LEN];
	unsigned n = 0;

	if (list == NULL || list->refused)
		return;
	if (list->shape != YAML_LIST) {
		mistake(&l->m, list->at, "'tunnels' is %s; expected %s",
		    yaml_shape_name(list->shape),
		    key_expected(&keys[KEY_TUNNELS], expected));
		return;
	}
	if (list->n < CONFIG_TUNNELS)
		mistake(&l->m, list->at, "the connection has %s; expected 2, so that one can take "
		    "over from the other", list->n == 0 ? "no tunnel" : "one tunnel only");
	for (item = list->first; item != NULL; item = item->next, n++) {
		if (n == CONFIG_TUNNELS) {
			mistake(&l->m, item->at, "a third tunnel; expected 2 in a connection");
			return;
		}
		if (item->shape == YAML_MAP)
			read_tunnel(l, lc, c, item);
		else if (!item->refused)
			mistake(&l->m, item->at, "a tunnel is %s; expected a map with 'remote' "
			    "and others",
			    yaml_shape_name(item->shape));
	}
}

/* It becomes part of verbs, log lines and names of devices. */
static void
check_name(struct load *l, const struct yaml_node *key)
{
	size_t len = strlen(key->text);
	char text[SHOWN_LEN];

	if (len == 0 || len >= CONFIG_NAME_MAX || !value_is_plain(key->text) ||
	    strchr("-_.", key->text[0]) != NULL)
		mistake(&l->m, key->at, "'%s' is no name of a connection; expected 1 to %d "
		    "letters, digits, '-', '_' and dots", shown(key->text, text),
		    CONFIG_NAME_MAX - 1);
}

static enum key_preset
preset_of(const struct yaml_node *node)
{
	for (size_t i = 0; node != NULL && key_presets[i].word != NULL; i++) {
		if (node->shape == YAML_WORD && strcmp(node->text, key_presets[i].word) == 0)
			return (enum key_preset)key_presets[i].value;
	}
	return PRESET_NONE;
}

static void
read_connection(struct load *l, const struct yaml_node *node, size_t i)
{
	struct config_connection *c = &l->c->connection[i];
	struct load_connection *lc = &l->connection[i];

	check_name(l, node->key);
	snprintf(c->name, sizeof(c->name), "%s", node->key->text);
	c->line = node->key->at.line;
	lc->seen.at = node->key->at;
	if (node->refused)
		return;
	if (node->shape != YAML_MAP) {
		mistake(&l->m, node->at, "the connection is %s; expected a map with 'networks', "
		    "'tunnels' and others",
		    yaml_is_empty(node) ? "empty" : yaml_shape_name(node->shape));
		return;
	}
	gather(l, node, HOME_CONNECTION, &lc->seen);
	lc->preset = preset_of(lc->seen.value[KEY_PRESET]);
	settle_device(c);
	fill(l, HOME_CONNECTION, c, &lc->seen, lc->preset);
	remember(&c->origin, &lc->seen);
	for (unsigned e = 0; e < c->esp_n; e++)
		c->esp[e].esn &= c->esn;
	read_tunnels(l, lc, c);
	settle_selectors(c, lc->preset == PRESET_AWS);
}

static void
read_connections(struct load *l)
{
	const struct yaml_node *map = l->gateway.value[KEY_CONNECTIONS];
	char expected[KEY_EXPECTED_LEN];
	size_t i = 0;

	if (map == NULL || map->refused)
		return;
	if (map->shape != YAML_MAP) {
		mistake(&l->m, map->at, "'connections' is %s; expected %s",
		    yaml_is_empty(map) ? "empty" : yaml_shape_name(map->shape),
		    key_expected(&keys[KEY_CONNECTIONS], expected));
		return;
	}
	if (map->n == 0)
		mistake_warn(&l->m, map->at, "there is no connection");
	l->c->connection = calloc(map->n + 1, sizeof(*l->c->connection));
	l->connection = calloc(map->n + 1, sizeof(*l->connection));
	if (l->c->connection == NULL || l->connection == NULL) {
		l->m.no_memory = true;
		return;
	}
	l->c->connection_n = map->n;
	for (const struct yaml_node *n = map->first; n != NULL; n = n->next)
		read_connection(l, n, i++);
}

static void
read_root(struct load *l, const struct yaml_node *root)
{
	l->gateway.at = root->at;
	if (root->shape != YAML_MAP) {
		mistake(&l->m, root->at, "the file is %s; expected a map with 'connections' in it",
		    yaml_shape_name(root->shape));
		return;
	}
	gather(l, root, HOME_GATEWAY, &l->gateway);
	fill(l, HOME_GATEWAY, l->c, &l->gateway, PRESET_NONE);
	remember(&l->c->origin, &l->gateway);
	read_connections(l);
	config_check(l);
}

static struct config *
finish(struct load *l, struct config_errors *errors, struct config_errors *warnings)
{
	bool failed = l->m.errors_n > 0 || l->m.no_memory;

	mistakes_finish(&l->m, errors, warnings);
	free(l->connection);
	if (!failed)
		return l->c;
	config_free(l->c);
	return NULL;
}

struct config *
config_parse(const char *name, const char *text, size_t len, struct secrets *s,
    struct config_errors *errors, struct config_errors *warnings)
{
	struct load l = { .c = calloc(1, sizeof(*l.c)) };
	struct yaml_tree *tree;

	mistakes_init(&l.m, name);
	if (l.c != NULL)
		l.c->file = strdup(name);
	if (l.c == NULL || l.c->file == NULL) {
		l.m.no_memory = true;
		return finish(&l, errors, warnings);
	}
	l.c->secrets = s;
	tree = yaml_tree_read(text, len, &l.m);
	if (tree != NULL)
		read_root(&l, yaml_tree_root(tree));
	yaml_tree_free(tree);
	return finish(&l, errors, warnings);
}

/* The bytes of a file, one more than may be where there are more; NULL with errno. */
static char *
slurp(const char *path, size_t *len)
{
	size_t cap = YAML_BYTES_MAX + 1;
	FILE *f = fopen(path, "re");
	struct stat st;
	char *text;

	if (f == NULL)
		return NULL;
	text = malloc(cap);
	if (text != NULL && fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
		free(text);
		text = NULL;
		errno = EISDIR;
	} else if (text != NULL) {
		*len = fread(text, 1, cap, f);
		if (ferror(f)) {
			free(text);
			text = NULL;
		}
	}
	fclose(f);
	return text;
}

struct config *
config_load(const char *path, struct secrets *s, struct config_errors *errors,
    struct config_errors *warnings)
{
	struct config *c;
	struct mistakes m;
	size_t len = 0;
	char *text = slurp(path, &len);

	if (text == NULL) {
		mistakes_init(&m, path);
		mistake(&m, (struct place){ 0, 0 }, "the configuration cannot be read: %s",
		    strerror(errno));
		mistakes_finish(&m, errors, warnings);
		return NULL;
	}
	c = config_parse(path, text, len, s, errors, warnings);
	free(text);
	return c;
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->connection_n; i++) {
		struct config_connection *con = &c->connection[i];

		for (unsigned t = 0; t < con->tunnels_n; t++)
			secret_free(c->secrets, (void *)(uintptr_t)con->tunnel[t].psk);
		free(con->networks);
		free(con->local_networks);
	}
	free(c->connection);
	free(c->file);
	free(c);
}

bool
config_guards(const struct config_connection *c, const struct prefix *network)
{
	return c->guard != GUARD_OFF && !host_is_default(network);
}
