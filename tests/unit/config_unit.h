/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_CONFIG_UNIT_H
#define TANDEM_CONFIG_UNIT_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/config.h"
#include "unit.h"

/* A folder with two secrets "a" and "b", and what came of the last text. */
struct fix {
	char dir[64], name[80];
	struct secrets *s;
	struct config *c;
	struct config_errors e, w;
};

static const char fix_base[] =
    "log: info\n"					/* 1 */
    "connections:\n"					/* 2 */
    "  office:\n"					/* 3 */
    "    networks: [10.1.0.0/16, 10.2.0.0/16]\n"	/* 4 */
    "    local-networks: [192.168.0.0/24]\n"		/* 5 */
    "    lifetime: 1h\n"				/* 6 */
    "    tunnels:\n"					/* 7 */
    "      - local: 192.0.2.1\n"			/* 8 */
    "        remote: 203.0.113.1\n"			/* 9 */
    "        inside: 169.254.10.1/30\n"			/* 10 */
    "        psk-file: a\n"				/* 11 */
    "      - local: 192.0.2.2\n"			/* 12 */
    "        remote: 203.0.113.2\n"			/* 13 */
    "        inside: 169.254.10.5/30\n"			/* 14 */
    "        psk-file: b\n";				/* 15 */

static inline void
fix_file(struct fix *f, const char *name, const void *data, size_t len, mode_t mode)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	unlink(path);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static inline void
fix_secret(struct fix *f, const char *name, const char *text)
{
	fix_file(f, name, text, strlen(text), 0600);
}

static inline void
fix_init(struct fix *f)
{
	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/tandem-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	snprintf(f->name, sizeof(f->name), "%s/t.yaml", f->dir);
	f->s = secrets_new();
	ck_assert_ptr_nonnull(f->s);
	fix_secret(f, "a", "first-secret-of-two\n");
	fix_secret(f, "b", "second-secret-of-two\n");
}

static inline void
fix_drop(struct fix *f)
{
	config_free(f->c);
	config_errors_free(&f->e);
	config_errors_free(&f->w);
	f->c = NULL;
}

/* Every secret must be given back. */
static inline void
fix_fini(struct fix *f)
{
	char command[128];

	fix_drop(f);
	ck_assert_uint_eq(secrets_used(f->s), 0);
	secrets_free(f->s);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	ck_assert_int_eq(system(command), 0);
}

/* Takes the place of the last text.  NULL with errors, never one without the other. */
static inline struct config *
fix_parse(struct fix *f, const char *text, size_t len)
{
	fix_drop(f);
	f->c = config_parse(f->name, text, len, f->s, &f->e, &f->w);
	ck_assert_msg((f->c == NULL) == (f->e.n > 0), "errors without failure, or the reverse");
	return f->c;
}

static inline struct config *
fix_load(struct fix *f, const char *text)
{
	return fix_parse(f, text, strlen(text));
}

static inline struct config *
fix_good(struct fix *f, const char *text)
{
	fix_load(f, text);
	ck_assert_msg(f->c != NULL, "%s\nin:\n%s", f->e.n > 0 ? f->e.line[0] : "?", text);
	return f->c;
}

/* The base text with its first `from` replaced. */
static inline const char *
fix_swap(const char *from, const char *to)
{
	static char text[65536];
	const char *at = strstr(fix_base, from);

	ck_assert_msg(at != NULL, "'%s' is not in the base text", from);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - fix_base), fix_base, to,
	    at + strlen(from));
	return text;
}

/* One of the lines is at this place ("4:5") and has these words. */
static inline bool
fix_has(const struct fix *f, const struct config_errors *e, const char *place, const char *words)
{
	char start[128];

	snprintf(start, sizeof(start), "%s:%s: ", f->name, place);
	for (size_t i = 0; i < e->n; i++) {
		if (strncmp(e->line[i], start, strlen(start)) == 0 && strstr(e->line[i], words) != NULL)
			return true;
	}
	return false;
}

static inline const char *
fix_lines(const struct config_errors *e)
{
	static char all[65536];
	size_t n = 0;

	all[0] = '\0';
	for (size_t i = 0; i < e->n && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s\n", e->line[i]);
	return all;
}

/* A replacement in the base text, and the one line that it must give. */
struct fix_case {
	const char *from, *to, *place, *words;
};

static inline void
fix_errors(struct fix *f, const struct fix_case *c)
{
	const char *text = fix_swap(c->from, c->to);

	fix_load(f, text);
	ck_assert_msg(f->e.n == 1 && fix_has(f, &f->e, c->place, c->words),
	    "expected one error at %s with \"%s\", got:\n%sin:\n%s", c->place, c->words,
	    fix_lines(&f->e), text);
	ck_assert_uint_le(strlen(f->e.line[0]), strlen(f->name) + 16 + 160);
}

static inline void
fix_warns(struct fix *f, const struct fix_case *c)
{
	const char *text = fix_swap(c->from, c->to);

	fix_good(f, text);
	ck_assert_msg(f->w.n == 1 && fix_has(f, &f->w, c->place, c->words),
	    "expected one warning at %s with \"%s\", got:\n%sin:\n%s", c->place, c->words,
	    fix_lines(&f->w), text);
}

#define N_OF(a)	(sizeof(a) / sizeof((a)[0]))

#endif
