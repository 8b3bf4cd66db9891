/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_YAML_H
#define TANDEM_GATEWAY_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/mistakes.h"

/*
 * A YAML text as a tree in which every node knows its line and column.  Nothing is guessed:
 * a scalar is its text, whatever it looks like, and the table of keys alone says what it
 * means.  Refused with a sentence: a key given twice, anchors, aliases, tags, directives, a
 * second document, bytes that are not UTF-8 text, and what passes the bounds below.
 */
#define YAML_BYTES_MAX	(1024 * 1024)
#define YAML_DEPTH_MAX	64		/* maps and lists within one another */
#define YAML_NODES_MAX	100000

enum yaml_shape { YAML_WORD, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_shape shape;
	struct place at;
	const char *text;		/* of a word: without NUL inside, terminated */
	bool refused;			/* said already (an alias, a NUL inside): no value */
	struct yaml_node *key;		/* the word in front of the colon, in a map; else NULL */
	struct yaml_node *first, *next;	/* items of a list or map, in file order */
	unsigned n;			/* items; a key that came twice counts once */
};

/* (libyaml exports a yaml_free of its own, hence these names.) */
struct yaml_tree;

/* NULL when the text has no tree (broken, empty, too large); mistakes say why.  A tree is
 * returned, so that the rest can be judged too, where only duplicates, tags, anchors or
 * aliases were wrong. */
struct yaml_tree *yaml_tree_read(const char *text, size_t len, struct mistakes *m);
void		yaml_tree_free(struct yaml_tree *t);		/* NULL is fine */
const struct yaml_node *yaml_tree_root(const struct yaml_tree *t);	/* never NULL */
/* A word with nothing in it, as after a colon alone. */
bool		yaml_is_empty(const struct yaml_node *node);
const char	*yaml_shape_name(enum yaml_shape shape);	/* "a map" */

#endif
