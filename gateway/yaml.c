/* SPDX-License-Identifier: MIT */
#include "gateway/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/*
 * libyaml turns text into events; this file turns events into a tree and refuses the parts
 * of YAML that a configuration does not need and that surprise people.  Memory is taken in
 * chunks and given back whole.
 */
struct chunk {
	struct chunk *next;
	size_t used, cap;
	_Alignas(16) char data[];
};

#define CHUNK_LEN	16384

struct yaml_tree {
	struct chunk *chunks;
	struct yaml_node *root;
	size_t nodes_n;
};

struct reader {
	struct yaml_tree *tree;
	struct mistakes *m;
	yaml_parser_t parser;
	const char *text;
	size_t len;
	bool stop;			/* said why; nothing more can be read */
};

static void *
take(struct yaml_tree *t, size_t len)
{
	struct chunk *c = t->chunks;
	void *p;

	len = (len + 15) & ~(size_t)15;
	if (c == NULL || c->cap - c->used < len) {
		size_t cap = len > CHUNK_LEN ? len : CHUNK_LEN;

		c = malloc(sizeof(*c) + cap);
		if (c == NULL)
			return NULL;
		*c = (struct chunk){ .next = t->chunks, .cap = cap };
		t->chunks = c;
	}
	p = c->data + c->used;
	c->used += len;
	memset(p, 0, len);
	return p;
}

static struct place
place_of(yaml_mark_t mark)
{
	return (struct place){ (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

static struct yaml_node *
give_up(struct reader *r)
{
	r->stop = true;
	return NULL;
}

/* The place of a byte, for errors that libyaml gives by offset: columns are characters. */
static struct place
place_at(const struct reader *r, size_t offset)
{
	struct place at = { 1, 1 };

	for (size_t i = 0; i < offset && i < r->len; i++) {
		if (r->text[i] == '\n')
			at = (struct place){ at.line + 1, 1 };
		else if (((unsigned char)r->text[i] & 0xc0) != 0x80)
			at.column++;
	}
	return at;
}

static void
say_syntax(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem != NULL ? p->problem : "cannot be read";

	switch (p->error) {
	case YAML_MEMORY_ERROR:
		r->m->no_memory = true;
		return;
	case YAML_READER_ERROR:
		mistake(r->m, place_at(r, p->problem_offset),
		    "this is not UTF-8 text (%s); expected printable characters only", problem);
		return;
	case YAML_NO_ERROR:
	case YAML_SCANNER_ERROR:
	case YAML_PARSER_ERROR:
	case YAML_COMPOSER_ERROR:
	case YAML_WRITER_ERROR:
	case YAML_EMITTER_ERROR:
		break;
	}
	if (p->problem_mark.index < r->len && r->text[p->problem_mark.index] == '\t')
		mistake(r->m, place_of(p->problem_mark),
		    "YAML cannot be indented with tabs; expected spaces");
	else if (p->context != NULL)
		mistake(r->m, place_of(p->problem_mark), "broken YAML: %s (%s that began in line "
		    "%zu)",
		    problem, p->context, p->context_mark.line + 1);
	else
		mistake(r->m, place_of(p->problem_mark), "broken YAML: %s%s", problem,
		    strncmp(problem, "mapping values", 14) != 0 ? "" :
		    "; is there a ':' too many, or one missing in the line before?");
}

static bool
next_event(struct reader *r, yaml_event_t *e)
{
	if (r->stop || !yaml_parser_parse(&r->parser, e)) {
		if (!r->stop)
			say_syntax(r);
		r->stop = true;
		return false;
	}
	return true;
}

static struct yaml_node *
node_new(struct reader *r, enum yaml_shape shape, yaml_mark_t mark)
{
	struct yaml_node *node;

	if (++r->tree->nodes_n > YAML_NODES_MAX) {
		mistake(r->m, place_of(mark), "too many values; expected at most %d in a file",
		    YAML_NODES_MAX);
		return give_up(r);
	}
	node = take(r->tree, sizeof(*node));
	if (node == NULL) {
		r->m->no_memory = true;
		return give_up(r);
	}
	node->shape = shape;
	node->at = place_of(mark);
	return node;
}

/* Properties in front of a value: neither is needed, both hide what a value is. */
static void
refuse_properties(struct reader *r, const yaml_event_t *e)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	char what[SHOWN_LEN];

	if (e->type == YAML_SCALAR_EVENT) {
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
	}
	if (anchor != NULL)
		mistake(r->m, place_of(e->start_mark),
		    "the anchor '&%s' is not allowed here; expected each value written out",
		    shown((const char *)anchor, what));
	if (tag != NULL)
		mistake(r->m, place_of(e->start_mark),
		    "the tag '%s' is not allowed here; each key has its own type",
		    shown((const char *)tag, what));
}

static struct yaml_node *
read_word(struct reader *r, const yaml_event_t *e)
{
	struct yaml_node *node = node_new(r, YAML_WORD, e->start_mark);
	size_t len = e->data.scalar.length;
	char *text;

	if (node == NULL)
		return NULL;
	text = take(r->tree, len + 1);
	if (text == NULL) {
		r->m->no_memory = true;
		return give_up(r);
	}
	memcpy(text, e->data.scalar.value, len);
	if (strlen(text) != len) {	/* "\0" in double quotes */
		mistake(r->m, node->at, "this text has a NUL character inside");
		node->refused = true;
	}
	node->text = text;
	return node;
}

static struct yaml_node *read_node(struct reader *r, const yaml_event_t *e, unsigned depth);

/* Read items up to `end`, linking them behind `node`.  In a map each is a key and a value. */
static void
read_items(struct reader *r, struct yaml_node *node, yaml_event_type_t end, unsigned depth)
{
	struct yaml_node **tail = &node->first, *key = NULL;
	yaml_event_t e;
	bool done = false;

	while (!done && next_event(r, &e)) {
		struct yaml_node *item = NULL;

		done = e.type == end;
		if (!done)
			item = read_node(r, &e, depth);
		yaml_event_delete(&e);
		if (item == NULL)
			continue;
		if (node->shape == YAML_MAP && key == NULL) {
			key = item;
			if (key->shape != YAML_WORD)
				mistake(r->m, key->at, "a key is %s; expected a word",
				    yaml_shape_name(key->shape));
			continue;
		}
		item->key = key;
		key = NULL;
		if (node->shape == YAML_MAP && item->key->shape != YAML_WORD)
			continue;
		*tail = item;
		tail = &item->next;
		node->n++;
	}
}

static int
by_key(const void *va, const void *vb)
{
	const struct yaml_node *a = *(struct yaml_node *const *)va;
	const struct yaml_node *b = *(struct yaml_node *const *)vb;
	int c = strcmp(a->key->text, b->key->text);

	if (c == 0)
		c = a->key->at.line != b->key->at.line ?
		    (a->key->at.line < b->key->at.line ? -1 : 1) :
		    (a->key->at.column < b->key->at.column ? -1 : 1);
	return c;
}

/* A key that comes twice: the second is refused and taken out of the map. */
static void
refuse_duplicates(struct reader *r, struct yaml_node *map)
{
	struct yaml_node **item = calloc(map->n + 1, sizeof(*item)), **link;
	char what[SHOWN_LEN];
	size_t n = 0;

	if (item == NULL) {
		r->m->no_memory = true;
		return;
	}
	for (struct yaml_node *i = map->first; i != NULL; i = i->next)
		item[n++] = i;
	qsort(item, n, sizeof(*item), by_key);
	for (size_t i = 1, first = 0; i < n; i++) {
		if (strcmp(item[i]->key->text, item[first]->key->text) != 0) {
			first = i;
			continue;
		}
		mistake(r->m, item[i]->key->at, "the key '%s' is given twice; the first is in "
		    "line %u",
		    shown(item[i]->key->text, what), item[first]->key->at.line);
		item[i]->n = UINT32_MAX;	/* marked */
	}
	for (link = &map->first; *link != NULL;) {
		if ((*link)->n == UINT32_MAX) {
			*link = (*link)->next;
			map->n--;
		} else
			link = &(*link)->next;
	}
	free(item);
}

static struct yaml_node *
read_group(struct reader *r, const yaml_event_t *e, unsigned depth)
{
	bool map = e->type == YAML_MAPPING_START_EVENT;
	struct yaml_node *node = node_new(r, map ? YAML_MAP : YAML_LIST, e->start_mark);

	if (node == NULL)
		return NULL;
	if (depth >= YAML_DEPTH_MAX) {
		mistake(r->m, node->at, "nested too deep; expected at most %d levels",
		    YAML_DEPTH_MAX);
		return give_up(r);
	}
	read_items(r, node, map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, depth + 1);
	if (map && node->n > 1)
		refuse_duplicates(r, node);
	return r->stop ? NULL : node;
}

/* An empty word stands for it, so that keys and values stay in step. */
static struct yaml_node *
read_alias(struct reader *r, const yaml_event_t *e)
{
	struct yaml_node *node = node_new(r, YAML_WORD, e->start_mark);
	char what[SHOWN_LEN];

	if (node == NULL)
		return NULL;
	mistake(r->m, node->at, "the alias '*%s' is not allowed here; expected the value written "
	    "out",
	    shown((const char *)e->data.alias.anchor, what));
	node->text = "";
	node->refused = true;
	return node;
}

static struct yaml_node *
read_node(struct reader *r, const yaml_event_t *e, unsigned depth)
{
	refuse_properties(r, e);
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return read_word(r, e);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return read_group(r, e, depth);
	case YAML_ALIAS_EVENT:
		return read_alias(r, e);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		break;
	}
	return give_up(r);		/* libyaml does not do this */
}

static void
refuse_directives(struct reader *r, const yaml_event_t *e)
{
	if (e->data.document_start.version_directive != NULL ||
	    e->data.document_start.tag_directives.start !=
	    e->data.document_start.tag_directives.end)
		mistake(r->m, place_of(e->start_mark), "directives ('%%...' lines) are not "
		    "allowed");
}

/* STREAM-START [DOCUMENT-START node DOCUMENT-END]... STREAM-END: exactly one document. */
static void
read_stream(struct reader *r)
{
	yaml_event_t e;
	bool end = false;

	while (!end && next_event(r, &e)) {
		if (e.type == YAML_DOCUMENT_START_EVENT && r->tree->root != NULL) {
			mistake(r->m, place_of(e.start_mark),
			    "a second document begins here; expected one in a file");
			r->stop = true;
		} else if (e.type == YAML_DOCUMENT_START_EVENT) {
			refuse_directives(r, &e);
		} else if (e.type == YAML_STREAM_END_EVENT) {
			end = true;
		} else if (e.type != YAML_STREAM_START_EVENT &&
		    e.type != YAML_DOCUMENT_END_EVENT) {
			r->tree->root = read_node(r, &e, 0);
		}
		yaml_event_delete(&e);
	}
	if (end && r->tree->root == NULL)
		mistake(r->m, (struct place){ 1, 1 },
		    "there is nothing in this file; expected 'connections:' at least");
}

struct yaml_tree *
yaml_tree_read(const char *text, size_t len, struct mistakes *m)
{
	struct reader r = { .m = m, .text = text, .len = len };

	if (len > YAML_BYTES_MAX) {
		mistake(m, (struct place){ 0, 0 }, "%zu bytes are too many; expected at most %d",
		    len, YAML_BYTES_MAX);
		return NULL;
	}
	r.tree = calloc(1, sizeof(*r.tree));
	if (r.tree == NULL || !yaml_parser_initialize(&r.parser)) {
		free(r.tree);
		m->no_memory = true;
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(len > 0 ? text : ""), len);
	read_stream(&r);
	yaml_parser_delete(&r.parser);
	if (r.stop || r.tree->root == NULL) {
		yaml_tree_free(r.tree);
		return NULL;
	}
	return r.tree;
}

void
yaml_tree_free(struct yaml_tree *t)
{
	if (t == NULL)
		return;
	for (struct chunk *c = t->chunks, *next; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(t);
}

const struct yaml_node *
yaml_tree_root(const struct yaml_tree *t)
{
	return t->root;
}

bool
yaml_is_empty(const struct yaml_node *node)
{
	return node->shape == YAML_WORD && node->text[0] == '\0';
}

const char *
yaml_shape_name(enum yaml_shape shape)
{
	return shape == YAML_MAP ? "a map" : shape == YAML_LIST ? "a list" : "a word";
}
