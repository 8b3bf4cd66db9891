/* SPDX-License-Identifier: MIT */
#include "gateway/value.h"

#include <stdlib.h>
#include <string.h>

/* Values as JSON, and compared: the other half of value.c. */

static uint64_t
load(const struct key *k, const void *base)
{
	const void *p = value_member(k, base);

	switch (k->size) {
	case 1:
		return *(const uint8_t *)p;
	case 2:
		return *(const uint16_t *)p;
	case 4:
		return *(const uint32_t *)p;
	}
	return *(const uint64_t *)p;
}

static json_t *
word_json(const struct key *k, uint64_t v)
{
	for (const struct key_word *w = k->words; w != NULL && w->word != NULL; w++) {
		if (w->value == v)
			return json_string(w->word);
	}
	return NULL;
}

static json_t *
prefixes_json(const struct key *k, const void *base)
{
	const struct prefix *list = *(struct prefix **)value_member(k, base);
	json_t *array = json_array();
	char text[PREFIX_STRLEN];

	for (size_t i = 0; i < value_count(k, base); i++)
		json_array_append_new(array, json_string(prefix_str(&list[i], text)));
	return array;
}

static json_t *
suites_json(const struct key *k, const void *base)
{
	const struct ike_suite *ike = value_member(k, base);
	const struct esp_suite *esp = value_member(k, base);
	json_t *array = json_array();
	char text[SUITE_STRLEN];

	for (unsigned i = 0; i < value_count(k, base); i++) {
		if (k->type == TYPE_IKE_SUITES)
			ike_suite_str(&ike[i], text, sizeof(text));
		else
			esp_suite_str(&esp[i], text, sizeof(text));
		json_array_append_new(array, json_string(text));
	}
	return array;
}

static json_t *
inside_json(const struct config_tunnel *t)
{
	json_t *array = json_array();
	char address[IP_STRLEN], text[PREFIX_STRLEN];

	for (unsigned i = 0; i < 2; i++) {
		if (t->inside_len[i] == 0)
			continue;
		snprintf(text, sizeof(text), "%s/%u", ip_str(&t->inside_local[i], address),
		    t->inside_len[i]);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

/* Key ids are any bytes, so they are given as they were written, not as the log shows them. */
static json_t *
id_json(const struct ike_id *id)
{
	char text[ID_STRLEN];

	if (id->type == 0)
		return NULL;
	if (id->type != ID_KEY_ID)
		return json_string(id_str(id, text, sizeof(text)));
	snprintf(text, sizeof(text), "keyid:%.*s", (int)id->len, (const char *)id->data);
	return json_string(text);
}

json_t *
value_json(const struct key *k, const void *base)
{
	const void *p = value_member(k, base);
	char text[IP_STRLEN];
	json_t *word;

	switch (k->type) {
	case TYPE_WORD:
		if (k == &keys[KEY_PRESET])
			return *(const char *)p != '\0' ? json_string(p) : NULL;
		return word_json(k, load(k, base));
	case TYPE_BOOL:
		return json_boolean(load(k, base));
	case TYPE_NUMBER:
		word = word_json(k, load(k, base));
		return word != NULL ? word : json_integer((json_int_t)load(k, base));
	case TYPE_DURATION:
		word = word_json(k, load(k, base));
		return word != NULL ? word : json_string(duration_str(load(k, base), text));
	case TYPE_ADDRESS:
		return ((const struct ip *)p)->family != AF_UNSPEC ?
		    json_string(ip_str(p, text)) : NULL;
	case TYPE_PREFIXES:
		return prefixes_json(k, base);
	case TYPE_INSIDE:
		return inside_json(base);
	case TYPE_ID:
		return id_json(p);
	case TYPE_PATH:
	case TYPE_DEVICE:
		return *(const char *)p != '\0' ? json_string(p) : NULL;
	case TYPE_IKE_SUITES:
	case TYPE_ESP_SUITES:
		return suites_json(k, base);
	case TYPE_CONNECTIONS:
	case TYPE_TUNNELS:
		break;
	}
	return NULL;
}

static bool
prefixes_equal(const struct key *k, const void *a, const void *b)
{
	const struct prefix *x = *(struct prefix **)value_member(k, a);
	const struct prefix *y = *(struct prefix **)value_member(k, b);
	size_t n = value_count(k, a);

	if (n != value_count(k, b))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!prefix_equal(&x[i], &y[i]))
			return false;
	}
	return true;
}

static bool
suites_equal(const struct key *k, const void *a, const void *b)
{
	const struct ike_suite *ike[] = { value_member(k, a), value_member(k, b) };
	const struct esp_suite *esp[] = { value_member(k, a), value_member(k, b) };
	size_t n = value_count(k, a);

	if (n != value_count(k, b))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (k->type == TYPE_IKE_SUITES ? !ike_suite_equal(&ike[0][i], &ike[1][i]) :
		    !esp_suite_equal(&esp[0][i], &esp[1][i]))
			return false;
	}
	return true;
}

static bool
inside_equal(const struct config_tunnel *a, const struct config_tunnel *b)
{
	for (unsigned i = 0; i < 2; i++) {
		if (a->inside_len[i] != b->inside_len[i] ||
		    !ip_equal(&a->inside_local[i], &b->inside_local[i]))
			return false;
	}
	return true;
}

static bool
secret_same(const struct config_tunnel *a, const struct config_tunnel *b)
{
	return a->psk_len == b->psk_len && (a->psk_len == 0 ||
	    secret_equal(a->psk, b->psk, a->psk_len));
}

bool
value_equal(const struct key *k, const void *a, const void *b)
{
	switch (k->type) {
	case TYPE_WORD:
		return k == &keys[KEY_PRESET] || load(k, a) == load(k, b);
	case TYPE_BOOL:
	case TYPE_NUMBER:
	case TYPE_DURATION:
		return load(k, a) == load(k, b);
	case TYPE_ADDRESS:
		return ip_equal(value_member(k, a), value_member(k, b));
	case TYPE_PREFIXES:
		return prefixes_equal(k, a, b);
	case TYPE_INSIDE:
		return inside_equal(a, b);
	case TYPE_ID:
		return id_equal(value_member(k, a), value_member(k, b));
	case TYPE_PATH:
		if (k == &keys[KEY_PSK_FILE])
			return secret_same(a, b);
		return strcmp(value_member(k, a), value_member(k, b)) == 0;
	case TYPE_DEVICE:
		return strcmp(value_member(k, a), value_member(k, b)) == 0;
	case TYPE_IKE_SUITES:
	case TYPE_ESP_SUITES:
		return suites_equal(k, a, b);
	case TYPE_CONNECTIONS:
	case TYPE_TUNNELS:
		break;
	}
	return true;
}
