/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "gateway/keys.h"

/*
 * The table of keys for people: on a terminal, in docs/configuration.md and in the manual
 * page.  Tests compare the two files with what is printed here.
 */
static const struct {
	const char *title, *about;
} level[] = {
	[HOME_GATEWAY] = { "Gateway", "at the top of the file" },
	[HOME_CONNECTION] = { "Connection", "under its name in 'connections'" },
	[HOME_TUNNEL] = { "Tunnel", "in an item of 'tunnels'; those marked * also in the "
	    "connection, for both tunnels" },
};

static bool
is_suites(const struct key *k)
{
	return k->type == TYPE_IKE_SUITES || k->type == TYPE_ESP_SUITES;
}

/* "8h", "start; aws: add", "required", "from 'local'": what holds where nothing is written. */
static const char *
absent(const struct key *k, char *buf, size_t cap)
{
	size_t n;

	if (k->required)
		return "required";
	if (is_suites(k))
		return "see below";
	if (k->value[PRESET_NONE] == NULL)
		snprintf(buf, cap, "%s%s", k->follows != NULL ? "from " : "none",
		    k->follows != NULL ? k->follows : "");
	else
		snprintf(buf, cap, "%s", k->value[PRESET_NONE]);
	if (k->follows != NULL && strcmp(k->follows, "nothing") == 0)
		snprintf(buf, cap, "none");
	n = strlen(buf);
	for (size_t i = 0; key_presets[i].word != NULL; i++) {
		const char *text = k->value[key_presets[i].value];

		if (text != NULL && n < cap)
			n += (size_t)snprintf(buf + n, cap - n, "; %s: %s", key_presets[i].word, text);
	}
	return buf;
}

static const char *
preset_name(enum key_preset p)
{
	for (size_t i = 0; key_presets[i].word != NULL; i++) {
		if (key_presets[i].value == (uint64_t)p)
			return key_presets[i].word;
	}
	return "none";
}

/* The lists of suites, one line each. */
static void
suites_print(FILE *to, enum keys_format format)
{
	static const char *const form[] = {
		[KEYS_TEXT] = "  %s, preset %s: ",
		[KEYS_MARKDOWN] = "- `%s`, preset %s: ",
		[KEYS_MAN] = ".TP\n\\fB%s\\fR, preset %s\n",
	};

	for (size_t i = 0; i < KEY_N; i++) {
		for (unsigned p = 0; is_suites(&keys[i]) && p < PRESET_N; p++) {
			const char *text = key_default(&keys[i], (enum key_preset)p);

			fprintf(to, form[format], keys[i].name, preset_name((enum key_preset)p));
			for (; *text != '\0'; text++)
				fprintf(to, *text == ' ' ? ", " : "%c", *text);
			fputc('\n', to);
		}
	}
}

static void
text_key(FILE *to, const struct key *k, const char *expected, const char *value)
{
	fprintf(to, "  %s%s\n      %s\n      %s; without it: %s; change: %s\n", k->name,
	    k->shared ? " *" : "", k->doc, expected, value, key_reload_name(k));
}

static void
markdown_key(FILE *to, const struct key *k, const char *expected, const char *value)
{
	fprintf(to, "| `%s`%s | %s | %s | %s | %s |\n", k->name, k->shared ? " *" : "", expected,
	    value, key_reload_name(k), k->doc);
}

/* A dash that is no hyphen, and a line that begins with a quote, mean something to troff. */
static void
man_text(FILE *to, const char *text)
{
	for (; *text != '\0'; text++)
		fprintf(to, *text == '-' ? "\\-" : *text == '\'' ? "\\(aq" : "%c", *text);
}

static void
man_key(FILE *to, const struct key *k, const char *expected, const char *value)
{
	fprintf(to, ".TP\n\\fB");
	man_text(to, k->name);
	fprintf(to, "\\fR%s\n", k->shared ? " *" : "");
	man_text(to, k->doc);
	fprintf(to, "\nExpected: ");
	man_text(to, expected);
	fprintf(to, ".\nWithout it: ");
	man_text(to, value);
	fprintf(to, ".\nA change of it: %s.\n", key_reload_name(k));
}

static void
head_print(FILE *to, enum keys_format format, enum key_home home)
{
	const char *title = level[home].title, *about = level[home].about;

	if (format == KEYS_TEXT)
		fprintf(to, "%s%s (%s)\n", home > 0 ? "\n" : "", title, about);
	else if (format == KEYS_MAN) {
		fprintf(to, ".SS %s\nKeys ", title);
		man_text(to, about);
		fprintf(to, ".\n");
	} else
		fprintf(to, "%s### %s\n\nKeys %s.\n\n| key | expected | without it | change | meaning |\n"
		    "|---|---|---|---|---|\n", home > 0 ? "\n" : "", title, about);
}

static json_t *
text_or_null(const char *text)
{
	return text != NULL ? json_string(text) : json_null();
}

static json_t *
key_json(const struct key *k)
{
	static const char *const word[] = { "gateway", "connection", "tunnel" };
	char expected[KEY_EXPECTED_LEN];
	json_t *presets = json_object();

	for (size_t i = 0; key_presets[i].word != NULL; i++)
		json_object_set_new(presets, key_presets[i].word,
		    text_or_null(key_default(k, (enum key_preset)key_presets[i].value)));
	return json_pack("{s:s, s:s, s:b, s:b, s:s, s:o, s:o, s:s, s:s}", "name", k->name,
	    "level", word[k->home], "shared", k->shared, "required", k->required,
	    "expected", key_expected(k, expected), "default", text_or_null(k->value[PRESET_NONE]),
	    "presets", presets, "change", key_reload_name(k), "doc", k->doc);
}

json_t *
keys_table_json(void)
{
	json_t *a = json_array();

	for (size_t i = 0; i < KEY_N; i++)
		if (json_array_append_new(a, key_json(&keys[i])) != 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

void
keys_print(FILE *to, enum keys_format format)
{
	static void (*const print[])(FILE *, const struct key *, const char *, const char *) = {
		[KEYS_TEXT] = text_key, [KEYS_MARKDOWN] = markdown_key, [KEYS_MAN] = man_key,
	};
	char expected[KEY_EXPECTED_LEN], value[256];

	for (unsigned home = HOME_GATEWAY; home <= HOME_TUNNEL; home++) {
		head_print(to, format, (enum key_home)home);
		for (size_t i = 0; i < KEY_N; i++) {
			if (keys[i].home == (enum key_home)home)
				print[format](to, &keys[i], key_expected(&keys[i], expected),
				    absent(&keys[i], value, sizeof(value)));
		}
	}
	if (format == KEYS_MAN)
		fprintf(to, ".SS Suites\n");
	else
		fprintf(to, "\n%sSuites%s", format == KEYS_MARKDOWN ? "### " : "",
		    format == KEYS_MARKDOWN ? "\n\n" : "\n");
	suites_print(to, format);
}
