/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_VALUE_H
#define TANDEM_GATEWAY_VALUE_H

#include <jansson.h>

#include "gateway/keys.h"
#include "gateway/yaml.h"

/*
 * One value of one key: from text, to text, compared.  `base` is the struct that the key is
 * at home in (struct config, config_connection or config_tunnel).
 */

/* Read a node into its member.  False: said why to `m`; the member is then as it was, but a
 * list may hold those of its items that are right. */
bool	value_parse(const struct key *k, void *base, const struct yaml_node *node,
	    struct mistakes *m);
/* The same from a text of the table, items of a list apart by spaces. */
bool	value_set(const struct key *k, void *base, const char *text);
/* What may be written for it in a file: a string, number, boolean, or list of strings; NULL
 * where there is no value.  The caller owns it. */
json_t	*value_json(const struct key *k, const void *base);
/* Same in effect.  Of secrets the bytes, not the names of their files. */
bool	value_equal(const struct key *k, const void *a, const void *b);
/* Where the value is, and how many items a list of prefixes or suites has. */
void	*value_member(const struct key *k, const void *base);
size_t	value_count(const struct key *k, const void *base);
/* Letters, digits, '-', '_' and dots only. */
bool	value_is_plain(const char *text);
/* Give back what the member owns. */
void	value_clear(const struct key *k, void *base);

#endif
