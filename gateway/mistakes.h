/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_MISTAKES_H
#define TANDEM_GATEWAY_MISTAKES_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/config.h"

/*
 * What is wrong with a configuration text: all of it, not the first only.  Each mistake has a
 * place, each is one sentence of at most MISTAKE_LEN bytes without a full stop, in lower case
 * as compilers write them: what is wrong, what was expected, the nearest known word.
 */
struct place {
	unsigned line, column;		/* from 1, as editors count; 0: the file as a whole */
};

#define MISTAKE_LEN	160		/* bytes of a sentence; what is longer ends in "..." */
#define MISTAKES_MAX	200		/* of each kind; the rest is counted */

struct mistakes {
	const char *file;		/* borrowed: how messages name it */
	struct mistake *list;		/* owned */
	size_t n, cap;
	size_t errors_n, warnings_n;	/* all, also those beyond MISTAKES_MAX */
	bool no_memory;
};

void	mistakes_init(struct mistakes *m, const char *file);
void	mistake(struct mistakes *m, struct place at, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/* Works, but a person should look. */
void	mistake_warn(struct mistakes *m, struct place at, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/* Sort by place, drop repetitions and hand over as lines; `m` is empty then.  When there was
 * no memory the errors say so, if there is memory for that. */
void	mistakes_finish(struct mistakes *m, struct config_errors *errors,
	    struct config_errors *warnings);

/* Text of a stranger for a message: printable, at most 40 bytes of it.  Returns buf. */
#define SHOWN_LEN	48
const char *shown(const char *text, char *buf);

/* Replace in place what a terminal would obey instead of show.  Every mistake goes through it,
 * so what others write into a sentence (a path, a suite) cannot make a line of its own. */
void	printable(char *text);

/* The nearest of several words to one that is not known. */
struct nearest {
	const char *word;		/* what was written */
	const char *best;		/* NULL: nothing is near */
	unsigned distance;		/* typing slips between the two */
};
struct nearest nearest_to(const char *word);
void	nearest_try(struct nearest *n, const char *candidate);

/* "; did you mean 'x'?", or "" when there is nothing near.  Returns buf. */
#define NEAREST_LEN	64
const char *nearest_str(const struct nearest *n, char *buf);

#endif
