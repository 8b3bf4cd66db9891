/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "gateway/value.h"

/*
 * The effective configuration: every key of the table with its value and where that came
 * from.  The table for people is written from the same JSON as the machines get.
 */
#define SCHEMA	1

static json_t *
from_json(const struct config *c, const struct key *k, uint32_t line, const char *preset)
{
	enum key_preset p = PRESET_NONE;

	if (line > 0)
		return json_sprintf("%s:%u", c->file, line);
	for (size_t i = 0; key_presets[i].word != NULL; i++) {
		if (strcmp(preset, key_presets[i].word) == 0)
			p = (enum key_preset)key_presets[i].value;
	}
	if (p != PRESET_NONE && k->value[p] != NULL)
		return json_sprintf("preset %s", preset);
	if (k->follows != NULL)
		return json_sprintf("from %s", k->follows);
	return json_string("default");
}

/* All keys of one struct that have a value. */
static json_t *
keys_json(const struct config *c, enum key_home home, const void *base,
    const struct config_origin *o, const char *preset)
{
	json_t *all = json_object();

	for (size_t i = 0; i < KEY_N; i++) {
		json_t *value = keys[i].home == home ? value_json(&keys[i], base) : NULL;

		if (value == NULL)
			continue;
		if (json_is_array(value) && json_array_size(value) == 0 && o->line[i] == 0)
			json_decref(value);
		else
			json_object_set_new(all, keys[i].name, json_pack("{s:o, s:o}", "value",
			    value,
			    "from", from_json(c, &keys[i], o->line[i], preset)));
	}
	return all;
}

static json_t *
connection_json(const struct config *c, const struct config_connection *con)
{
	json_t *tunnels = json_array();

	for (unsigned i = 0; i < con->tunnels_n; i++)
		json_array_append_new(tunnels, keys_json(c, HOME_TUNNEL, &con->tunnel[i],
		    &con->tunnel[i].origin, con->preset));
	return json_pack("{s:s, s:o, s:o}", "name", con->name, "keys",
	    keys_json(c, HOME_CONNECTION, con, &con->origin, con->preset), "tunnels", tunnels);
}

static json_t *
config_json(const struct config *c)
{
	json_t *connections = json_array();

	for (size_t i = 0; i < c->connection_n; i++)
		json_array_append_new(connections, connection_json(c, &c->connection[i]));
	return json_pack("{s:i, s:s, s:o, s:o}", "schema", SCHEMA, "file", c->file, "gateway",
	    keys_json(c, HOME_GATEWAY, c, &c->origin, ""), "connections", connections);
}

/* A value as one word; strings without quotes. */
static void
word_print(const json_t *v, char *buf, size_t cap)
{
	if (json_is_string(v))
		snprintf(buf, cap, "%s", json_string_value(v));
	else if (json_is_integer(v))
		snprintf(buf, cap, "%lld", (long long)json_integer_value(v));
	else
		snprintf(buf, cap, "%s", json_is_true(v) ? "true" : "false");
	printable(buf);
}

static void
line_print(FILE *to, const char *name, const char *value, const char *from, int indent)
{
	fprintf(to, "%*s%-*s %-40s %s\n", indent, "", 18 - indent, name, value, from);
}

/* One line a value; a list has a line an item, its origin on the first. */
static void
keys_out(FILE *to, const json_t *all, int indent)
{
	char word[ID_STRLEN];
	const char *name;
	const json_t *key, *item;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)all, name, key) {
		const json_t *value = json_object_get(key, "value");
		const char *from = json_string_value(json_object_get(key, "from"));

		if (!json_is_array(value)) {
			word_print(value, word, sizeof(word));
			line_print(to, name, word, from, indent);
			continue;
		}
		if (json_array_size(value) == 0)
			line_print(to, name, "none", from, indent);
		json_array_foreach(value, i, item) {
			word_print(item, word, sizeof(word));
			line_print(to, i == 0 ? name : "", word, i == 0 ? from : "", indent);
		}
	}
}

static void
table_print(FILE *to, const json_t *all)
{
	const json_t *connection, *tunnel;
	size_t i, n;

	fprintf(to, "gateway\n");
	keys_out(to, json_object_get(all, "gateway"), 2);
	json_array_foreach(json_object_get(all, "connections"), i, connection) {
		fprintf(to, "\nconnection %s\n", json_string_value(json_object_get(connection,
		    "name")));
		keys_out(to, json_object_get(connection, "keys"), 2);
		json_array_foreach(json_object_get(connection, "tunnels"), n, tunnel) {
			fprintf(to, "  tunnel %zu\n", n + 1);
			keys_out(to, tunnel, 4);
		}
	}
}

void
config_print(const struct config *c, FILE *to, bool json)
{
	json_t *all = config_json(c);

	if (all == NULL)
		fprintf(to, "out of memory\n");
	else if (json) {
		json_dumpf(all, to, JSON_COMPACT);
		fputc('\n', to);
	} else
		table_print(to, all);
	json_decref(all);
}
