/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE			/* asprintf */

#include "gateway/mistakes.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mistake {
	struct place at;
	bool warning;
	size_t seq;			/* order of discovery, where places are equal */
	char text[MISTAKE_LEN + 1];
};

void
mistakes_init(struct mistakes *m, const char *file)
{
	memset(m, 0, sizeof(*m));
	m->file = file;
}

static struct mistake *
more(struct mistakes *m)
{
	if (m->n == m->cap) {
		size_t cap = m->cap > 0 ? m->cap * 2 : 16;
		struct mistake *list = realloc(m->list, cap * sizeof(*list));

		if (list == NULL) {
			m->no_memory = true;
			return NULL;
		}
		m->list = list;
		m->cap = cap;
	}
	return &m->list[m->n++];
}

static void
add(struct mistakes *m, struct place at, bool warning, const char *text)
{
	size_t *n = warning ? &m->warnings_n : &m->errors_n;
	struct mistake *new;

	if ((*n)++ >= MISTAKES_MAX || (new = more(m)) == NULL)
		return;
	new->at = at;
	new->warning = warning;
	new->seq = m->n;
	snprintf(new->text, sizeof(new->text), "%s", text);
}

void
printable(char *text)
{
	unsigned char *p = (unsigned char *)text;

	for (; *p != '\0'; p++) {
		if (*p < ' ' || *p == 0x7f)
			*p = '?';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?';	/* U+0080 to U+009F in UTF-8 */
	}
}

/* A sentence that does not fit ends in dots, so that nobody takes its end for the end. */
static void
format(char *text, const char *fmt, va_list ap)
{
	int len = vsnprintf(text, MISTAKE_LEN + 1, fmt, ap);

	if (len > MISTAKE_LEN)
		memcpy(text + MISTAKE_LEN - 3, "...", 3);
	printable(text);
}

void
mistake(struct mistakes *m, struct place at, const char *fmt, ...)
{
	char text[MISTAKE_LEN + 1];
	va_list ap;

	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	add(m, at, false, text);
}

void
mistake_warn(struct mistakes *m, struct place at, const char *fmt, ...)
{
	char text[MISTAKE_LEN + 1];
	va_list ap;

	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	add(m, at, true, text);
}

static int
by_place(const void *va, const void *vb)
{
	const struct mistake *a = va, *b = vb;

	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static void
put_line(struct config_errors *e, const char *file, struct place at, const char *text)
{
	char *line = NULL;
	int len;

	if (at.line > 0)
		len = asprintf(&line, "%s:%u:%u: %s", file, at.line, at.column, text);
	else
		len = asprintf(&line, "%s: %s", file, text);
	if (len >= 0)
		e->line[e->n++] = line;
}

/* The same mistake is found twice where one value serves two tunnels. */
static bool
repeated(const struct mistakes *m, size_t i)
{
	for (size_t j = i; j-- > 0;) {
		if (m->list[j].at.line != m->list[i].at.line ||
		    m->list[j].at.column != m->list[i].at.column)
			return false;
		if (m->list[j].warning == m->list[i].warning &&
		    strcmp(m->list[j].text, m->list[i].text) == 0)
			return true;
	}
	return false;
}

static void
hand_over(const struct mistakes *m, bool warning, struct config_errors *e)
{
	size_t all = warning ? m->warnings_n : m->errors_n;
	bool lost = !warning && m->no_memory;
	char text[64];

	memset(e, 0, sizeof(*e));
	if (all == 0 && !lost)
		return;
	e->line = calloc((all < MISTAKES_MAX ? all : MISTAKES_MAX) + 2, sizeof(*e->line));
	if (e->line == NULL)
		return;
	for (size_t i = 0; i < m->n; i++) {
		if (m->list[i].warning == warning && !repeated(m, i))
			put_line(e, m->file, m->list[i].at, m->list[i].text);
	}
	if (all > MISTAKES_MAX) {
		snprintf(text, sizeof(text), "and %zu more", all - MISTAKES_MAX);
		put_line(e, m->file, (struct place){ 0, 0 }, text);
	}
	if (lost)
		put_line(e, m->file, (struct place){ 0, 0 }, "out of memory");
}

void
mistakes_finish(struct mistakes *m, struct config_errors *errors, struct config_errors *warnings)
{
	if (m->n > 0)
		qsort(m->list, m->n, sizeof(*m->list), by_place);
	hand_over(m, false, errors);
	hand_over(m, true, warnings);
	free(m->list);
	m->list = NULL;
	m->n = m->cap = 0;
}

void
config_errors_free(struct config_errors *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->line[i]);
	free(e->line);
	memset(e, 0, sizeof(*e));
}

const char *
shown(const char *text, char *buf)
{
	size_t n = 0;

	for (; *text != '\0' && n < 40; text++)
		buf[n++] = *text >= ' ' && *text <= '~' ? *text : '?';
	if (*text != '\0') {
		memcpy(buf + n, "...", 3);
		n += 3;
	}
	buf[n] = '\0';
	return buf;
}

#define WORD_MAX	32		/* longer words are near to nothing */

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Typing slips between two words: a letter more, less, other, or two neighbours exchanged
 * (the optimal string alignment distance).  '_' and '-' are taken for the same key. */
static unsigned
slips(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX)
		return UINT32_MAX;
	for (size_t i = 0; i <= la; i++) {
		for (size_t j = 0; j <= lb; j++) {
			char x = i > 0 ? a[i - 1] : 0, y = j > 0 ? b[j - 1] : 0;
			bool same = x == y || (x == '_' && y == '-');

			if (i == 0 || j == 0) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			d[i][j] = least(d[i - 1][j] + 1, d[i][j - 1] + 1,
			    d[i - 1][j - 1] + (same ? 0 : 1));
			if (i > 1 && j > 1 && x == b[j - 2] && a[i - 2] == y &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[la][lb];
}

struct nearest
nearest_to(const char *word)
{
	return (struct nearest){ .word = word, .distance = UINT32_MAX };
}

void
nearest_try(struct nearest *n, const char *candidate)
{
	unsigned d = slips(n->word, candidate);
	size_t len = strlen(n->word);

	/* A third of the letters may be wrong, one always, but not all of them. */
	if (d < n->distance && d <= (len < 6 ? 1 : len / 3) && d < len) {
		n->best = candidate;
		n->distance = d;
	}
}

const char *
nearest_str(const struct nearest *n, char *buf)
{
	buf[0] = '\0';
	if (n->best != NULL)
		snprintf(buf, NEAREST_LEN, "; did you mean '%s'?", n->best);
	return buf;
}
