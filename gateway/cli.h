/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_CLI_H
#define TANDEM_GATEWAY_CLI_H

#include <stdbool.h>
#include <stdio.h>

/* The command line: one table of verbs, from which help and completion are printed. */
enum cli_exit {
	CLI_WELL	= 0,
	CLI_FAILED	= 1,
	CLI_USAGE	= 2,
	CLI_DEGRADED	= 3,		/* some tunnel is down, every connection carries traffic */
	CLI_DOWN	= 4,		/* some connection carries no traffic */
};

struct cli {
	const char *config, *socket, *target;
	bool json, ike, automatic, keys;
	bool socket_given;		/* by option or environment, not the default */
};

/* One verb.  `takes` are the options it knows, as characters of their short forms. */
struct cli_verb {
	const char *name, *args, *help;
	const char *takes;
	int min_args, max_args;
	int (*run)(const struct cli *cli);
};

/* Parse and carry out; returns an enum cli_exit.  Options may stand anywhere. */
int	cli_main(int argc, char **argv);
void	cli_help(FILE *to);

/* ---- daemon.c ---- */
int	cli_run(const struct cli *cli);		/* tandem run */
int	cli_check(const struct cli *cli);	/* tandem check */

#endif
