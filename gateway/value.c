/* SPDX-License-Identifier: MIT */
#include "gateway/value.h"

#include <stdlib.h>
#include <string.h>

/*
 * The types of the table of keys.  A type is a row: how to read a word of text into the
 * member, how to write it, how to compare.  Lists take their items one by one through the
 * same reader, so a word alone is a list of one.
 */
typedef bool read_word(const struct key *k, void *base, const struct yaml_node *word,
    struct mistakes *m);

void *
value_member(const struct key *k, const void *base)
{
	return (char *)(uintptr_t)base + k->at;
}

size_t
value_count(const struct key *k, const void *base)
{
	const char *p = (const char *)base + k->count_at;

	return k->type == TYPE_PREFIXES ? *(const size_t *)(const void *)p :
	    *(const unsigned *)(const void *)p;
}

static void
count_set(const struct key *k, void *base, size_t n)
{
	char *p = (char *)base + k->count_at;

	if (k->type == TYPE_PREFIXES)
		*(size_t *)(void *)p = n;
	else
		*(unsigned *)(void *)p = (unsigned)n;
}

/* Whole numbers of any width: bool, uint16_t, enums, usec_t. */
static void
store(const struct key *k, void *base, uint64_t v)
{
	void *p = value_member(k, base);

	switch (k->size) {
	case 1:
		*(uint8_t *)p = (uint8_t)v;
		break;
	case 2:
		*(uint16_t *)p = (uint16_t)v;
		break;
	case 4:
		*(uint32_t *)p = (uint32_t)v;
		break;
	case 8:
		*(uint64_t *)p = v;
		break;
	}
}

/* "'abc' is no value of 'port'; expected a number from 1 to 65535", and the nearest word. */
static bool
refuse(const struct key *k, const struct yaml_node *word, struct mistakes *m)
{
	struct nearest near = nearest_to(word->text);
	char text[SHOWN_LEN], expected[KEY_EXPECTED_LEN], hint[NEAREST_LEN];

	for (const struct key_word *w = k->words; w != NULL && w->word != NULL; w++)
		nearest_try(&near, w->word);
	if (k->type == TYPE_BOOL) {
		nearest_try(&near, "true");
		nearest_try(&near, "false");
	}
	if (yaml_is_empty(word))
		mistake(m, word->at, "'%s' has no value; expected %s", k->name,
		    key_expected(k, expected));
	else
		mistake(m, word->at, "'%s' is no value of '%s'; expected %s%s",
		    shown(word->text, text), k->name, key_expected(k, expected),
		    nearest_str(&near, hint));
	return false;
}

static bool
find_word(const struct key *k, const char *text, uint64_t *v)
{
	for (const struct key_word *w = k->words; w != NULL && w->word != NULL; w++) {
		if (strcmp(w->word, text) == 0) {
			*v = w->value;
			return true;
		}
	}
	return false;
}

static bool
read_choice(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	uint64_t v;

	if (!find_word(k, word->text, &v))
		return refuse(k, word, m);
	if (k == &keys[KEY_PRESET])	/* kept as text: people read it */
		snprintf(value_member(k, base), k->size, "%s", word->text);
	else
		store(k, base, v);
	return true;
}

static bool
read_bool(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	bool yes = strcmp(word->text, "true") == 0;

	if (!yes && strcmp(word->text, "false") != 0)
		return refuse(k, word, m);
	store(k, base, yes);
	return true;
}

/* Decimal digits alone: no sign, no octal, no hexadecimal, no underscore. */
static bool
number_parse(const char *text, uint64_t *v)
{
	if (*text == '\0' || (text[0] == '0' && text[1] != '\0') || strlen(text) > 18)
		return false;
	*v = 0;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		*v = *v * 10 + (uint64_t)(*text - '0');
	}
	return true;
}

static bool
read_number(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	uint64_t v;

	if (!find_word(k, word->text, &v)) {
		bool is = k->type == TYPE_NUMBER ? number_parse(word->text, &v) :
		    duration_parse(word->text, &v);

		if (!is || v < k->min || v > k->max)
			return refuse(k, word, m);
	}
	store(k, base, v);
	return true;
}

/* What is wrong with an address that one host is to have, or NULL. */
static const char *
address_fault(const struct ip *ip)
{
	const uint8_t *b = ip->b;

	if (ip->family == AF_INET) {
		return b[0] == 0 ? "an address of no host" : (b[0] & 0xf0) == 0xe0 ?
		    "a multicast address" : b[0] >= 0xf0 ? "a reserved address" : NULL;
	}
	if (b[0] == 0xff)
		return "a multicast address";
	if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
		return "a link-local address";
	if (memcmp(b, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0)
		return "an IPv4 address in the clothes of IPv6";
	return ip_is_any(ip) ? "an address of no host" : NULL;
}

static bool
read_address(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	const char *fault;
	struct ip ip;
	char text[SHOWN_LEN];

	if (!ip_parse(word->text, &ip))
		return refuse(k, word, m);
	fault = address_fault(&ip);
	if (fault != NULL) {
		mistake(m, word->at, "'%s' of '%s' is %s; expected that of one host",
		    shown(word->text, text), k->name, fault);
		return false;
	}
	memcpy(value_member(k, base), &ip, sizeof(ip));
	return true;
}

static bool
read_prefix(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	struct prefix **list = value_member(k, base), p, *more;
	size_t n = value_count(k, base);
	char text[SHOWN_LEN], right[PREFIX_STRLEN];

	if (!prefix_parse(word->text, false, &p))
		return refuse(k, word, m);
	if (!prefix_parse(word->text, true, &p)) {
		(void)prefix_parse(word->text, false, &p);
		mistake(m, word->at, "the network '%s' has host bits set; did you mean '%s'?",
		    shown(word->text, text), prefix_str(&p, right));
		return false;
	}
	if (p.len > 0 && address_fault(&p.ip) != NULL && p.ip.b[0] != 0) {
		mistake(m, word->at, "the network '%s' begins at %s; expected one of hosts",
		    shown(word->text, text), address_fault(&p.ip));
		return false;
	}
	more = realloc(*list, (n + 1) * sizeof(*more));
	if (more == NULL) {
		m->no_memory = true;
		return false;
	}
	more[n] = p;
	*list = more;
	count_set(k, base, n + 1);
	return true;
}

/* The host part of an inside address: 0 and 1 of a /31 or /127, 0 to 3 of a /30 or /126. */
static unsigned
host_part(const struct ip *ip, unsigned bits)
{
	return ip->b[ip_len(ip->family) - 1] & ((1u << bits) - 1);
}

/* Keeps the address as written; whose it is, is settled when the preset is known. */
static bool
read_inside(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	struct config_tunnel *t = base;
	const char *slash = strchr(word->text, '/');
	char text[SHOWN_LEN], address[IP_STRLEN];
	struct prefix link;
	struct ip ip;
	unsigned bits, i;

	if (slash == NULL || !prefix_parse(word->text, false, &link))
		return refuse(k, word, m);
	snprintf(address, sizeof(address), "%.*s", (int)(slash - word->text), word->text);
	if (!ip_parse(address, &ip))
		return refuse(k, word, m);
	i = ip.family == AF_INET6;
	bits = (i ? 128u : 32u) - link.len;
	if (bits != 1 && bits != 2)
		mistake(m, word->at, "'%s' is not a link of two hosts; expected a length of %s",
		    shown(word->text, text), i ? "126 or 127" : "30 or 31");
	else if (bits == 2 && host_part(&ip, bits) == 3)
		mistake(m, word->at, "'%s' is the last address of its link; expected the first or "
		    "second host", shown(word->text, text));
	else if (t->inside_len[i] != 0)
		mistake(m, word->at, "'%s' is a second inside address of its family; expected one",
		    shown(word->text, text));
	else {
		t->inside_local[i] = ip;
		t->inside_len[i] = link.len;
		return true;
	}
	return false;
}

static bool
read_id(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	char why[MISTAKE_LEN] = "";
	struct ike_id id;

	if (yaml_is_empty(word))
		return refuse(k, word, m);
	if (!id_parse(word->text, &id, why, sizeof(why))) {
		mistake(m, word->at, "'%s': %s", k->name, why);
		return false;
	}
	memcpy(value_member(k, base), &id, sizeof(id));
	return true;
}

static bool
read_path(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	if (yaml_is_empty(word) || (k->min > 0 && word->text[0] != '/'))
		return refuse(k, word, m);
	if (strlen(word->text) >= k->size) {
		mistake(m, word->at, "the path of '%s' is too long; expected at most %zu bytes",
		    k->name, k->size - 1);
		return false;
	}
	memcpy(value_member(k, base), word->text, strlen(word->text) + 1);
	return true;
}

bool
value_is_plain(const char *text)
{
	return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-_.")] == '\0';
}

/* Names that the kernel or its sysctl folders take for something else. */
static bool
read_device(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	static const char *const taken[] = { ".", "..", "lo", "all", "default" };
	size_t len = strlen(word->text);

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		if (strcmp(word->text, taken[i]) == 0)
			return refuse(k, word, m);
	}
	if (len == 0 || len >= k->size || !value_is_plain(word->text))
		return refuse(k, word, m);
	memcpy(value_member(k, base), word->text, len + 1);
	return true;
}

static bool
read_suite(const struct key *k, void *base, const struct yaml_node *word, struct mistakes *m)
{
	size_t n = value_count(k, base), same = 0;
	char why[MISTAKE_LEN] = "", text[SHOWN_LEN];
	bool is;

	if (yaml_is_empty(word))
		return refuse(k, word, m);
	if (k->type == TYPE_IKE_SUITES) {
		struct ike_suite *s = value_member(k, base);

		is = n < IKE_SUITES_MAX && ike_suite_parse(word->text, &s[n], why, sizeof(why));
		for (size_t i = 0; is && i < n; i++)
			same += ike_suite_equal(&s[i], &s[n]);
	} else {
		struct esp_suite *s = value_member(k, base);

		is = n < IKE_SUITES_MAX && esp_suite_parse(word->text, &s[n], why, sizeof(why));
		for (size_t i = 0; is && i < n; i++)
			same += esp_suite_equal(&s[i], &s[n]);
	}
	if (is && same == 0)
		count_set(k, base, n + 1);
	else if (is)
		mistake(m, word->at, "the suite '%s' of '%s' is given twice",
		    shown(word->text, text), k->name);
	else
		mistake(m, word->at, "'%s': %s", k->name, why);
	return is && same == 0;
}

static read_word *const readers[] = {
	[TYPE_WORD] = read_choice,
	[TYPE_BOOL] = read_bool,
	[TYPE_NUMBER] = read_number,
	[TYPE_DURATION] = read_number,
	[TYPE_ADDRESS] = read_address,
	[TYPE_PREFIXES] = read_prefix,
	[TYPE_INSIDE] = read_inside,
	[TYPE_ID] = read_id,
	[TYPE_PATH] = read_path,
	[TYPE_DEVICE] = read_device,
	[TYPE_IKE_SUITES] = read_suite,
	[TYPE_ESP_SUITES] = read_suite,
	[TYPE_CONNECTIONS] = NULL,	/* the loader reads these two */
	[TYPE_TUNNELS] = NULL,
};

static bool
is_list(const struct key *k)
{
	return k->type == TYPE_PREFIXES || k->type == TYPE_INSIDE || k->type == TYPE_IKE_SUITES ||
	    k->type == TYPE_ESP_SUITES;
}

void
value_clear(const struct key *k, void *base)
{
	struct config_tunnel *t = base;

	if (k->type == TYPE_PREFIXES) {
		struct prefix **list = value_member(k, base);

		free(*list);
		*list = NULL;
		count_set(k, base, 0);
	} else if (k->type == TYPE_INSIDE)
		memset(t->inside_len, 0, sizeof(t->inside_len));
	else if (is_list(k))
		count_set(k, base, 0);
}

static bool
read_list(const struct key *k, void *base, const struct yaml_node *list, struct mistakes *m)
{
	uint64_t max = k->type == TYPE_INSIDE ? 2 : k->max;
	char expected[KEY_EXPECTED_LEN];
	bool right = true;

	if (list->n < k->min || list->n > max) {
		mistake(m, list->at, "'%s' has %u items; expected %llu to %llu", k->name, list->n,
		    (unsigned long long)k->min, (unsigned long long)max);
		return false;
	}
	for (const struct yaml_node *i = list->first; i != NULL; i = i->next) {
		if (i->shape == YAML_WORD) {
			right = !i->refused && readers[k->type](k, base, i, m) && right;
			continue;
		}
		mistake(m, i->at, "an item of '%s' is %s; expected %s", k->name,
		    yaml_shape_name(i->shape), key_expected(k, expected));
		right = false;
	}
	return right;
}

bool
value_parse(const struct key *k, void *base, const struct yaml_node *node, struct mistakes *m)
{
	char expected[KEY_EXPECTED_LEN];

	if (node->refused)
		return false;
	if (is_list(k))
		value_clear(k, base);
	if (node->shape == YAML_WORD)
		return readers[k->type](k, base, node, m);
	if (node->shape == YAML_LIST && is_list(k))
		return read_list(k, base, node, m);
	mistake(m, node->at, "'%s' is %s; expected %s", k->name, yaml_shape_name(node->shape),
	    key_expected(k, expected));
	return false;
}

bool
value_set(const struct key *k, void *base, const char *text)
{
	struct yaml_node word = { .shape = YAML_WORD };
	struct config_errors errors, warnings;
	struct mistakes m;
	char copy[1024], *save = NULL;
	bool right = true;

	mistakes_init(&m, k->name);
	if (is_list(k))
		value_clear(k, base);
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *t = strtok_r(copy, " ", &save); t != NULL; t = strtok_r(NULL, " ", &save)) {
		word.text = t;
		right = readers[k->type](k, base, &word, &m) && right;
	}
	mistakes_finish(&m, &errors, &warnings);
	config_errors_free(&errors);
	config_errors_free(&warnings);
	return right;
}
