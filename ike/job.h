/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_JOB_H
#define TANDEM_IKE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "ike/ke.h"

/*
 * The key exchange of one exchange, as plain data in secret memory: the machine draws the
 * private key and sets the peer's value, the host's pool computes.  A job belongs to the
 * nego that holds it, and while it is away to the pool as well: when its exchange dies
 * meanwhile the job is orphaned, and freed when it comes back.
 */
struct ike;
struct ike_sa;
struct nego;

struct ike_job {
	struct ike_job *prev, *next;	/* of all jobs of the machine */
	struct ike *ike;
	uint64_t spi;			/* our SPI of the IKE SA that waits; 0: nobody does */
	bool theirs;			/* the peer's exchange, else ours */
	bool away;			/* with the host */
	bool generate, derive;		/* what ike_job_run() is to do */
	struct ke ke;
};

/* A key exchange for n, with a fresh private key.  An older one is freed.  False: no memory. */
bool	job_draw(struct ike_sa *sa, struct nego *n, enum ke_group group);
/* Hand it to the host: generate when there is no public value yet, derive when there is a
 * peer's value. */
void	job_submit(struct ike_sa *sa, struct nego *n);
/* Let go of it: freed now, or when it comes back. */
void	job_drop(struct ike_job *job);
void	job_free(struct ike_job *job);

#endif
