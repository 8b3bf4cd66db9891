/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_FINDINGS_H
#define TANDEM_GATEWAY_FINDINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "gateway/config.h"

/* hostcheck() asked for a configuration or for a running gateway, and told to people and programs. */

/* What is in the way of `c` on this host.  `ports`: also whether its ports are free (nobody of
 * ours holds them yet).  Returns an array of {severity, code, what, command}. */
json_t	*findings_of_config(const struct config *c, bool ports);
/* The same for the gateway whose status this is; NULL where it lives in another network
 * namespace than the caller, of which nothing can be said. */
json_t	*findings_of_status(const json_t *status);
/* One line a finding to the log. */
void	findings_log(const json_t *findings);
/* Two lines a finding for people. */
void	findings_print(const json_t *findings, FILE *to);
bool	findings_have_error(const json_t *findings);
/* The inode of our network namespace; 0: unknown. */
json_int_t findings_netns(void);

#endif
