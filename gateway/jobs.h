/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_JOBS_H
#define TANDEM_GATEWAY_JOBS_H

#include <stdbool.h>

#include "ike/ike.h"

/*
 * A small pool of threads for the long computations of IKE.  They run at a lower priority
 * than control and workers, so that a storm of openings cannot delay a failover.  Jobs are
 * begun in the order in which they were put; with several threads they end in any.  All
 * functions are control's.
 */
struct jobs;

/* `threads` 0: one less than the processors, at least one.  NULL: no memory or no thread. */
struct jobs	*jobs_new(unsigned threads);
/* Waits for those that run; calls `drop` (NULL: nobody) for each job that was not taken back,
 * whether it ran or not.  j NULL is fine. */
void		jobs_free(struct jobs *j, void (*drop)(void *arg, struct ike_job *job), void *arg);
/* The pool owns the job until jobs_done() returns it.  False: no memory, the caller keeps it. */
bool		jobs_put(struct jobs *j, struct ike_job *job);
struct ike_job	*jobs_done(struct jobs *j);		/* NULL: none is ready */
int		jobs_fd(const struct jobs *j);		/* readable while one is ready; do not read */

#endif
