/* SPDX-License-Identifier: MIT */
#include "ike/job.h"
#include "ike/sa.h"

bool
job_draw(struct ike_sa *sa, struct nego *n, enum ke_group group)
{
	struct ike *ike = sa->ike;
	struct ike_job *job = secret_alloc(ike->env.secrets, sizeof(*job));

	if (job == NULL)
		return false;
	job->ike = ike;
	job->next = ike->jobs;
	if (ike->jobs != NULL)
		ike->jobs->prev = job;
	ike->jobs = job;
	ike->totals.jobs++;
	ke_draw(&job->ke, group, &ike->env.rng);
	job_drop(n->job);
	n->job = job;
	n->group = group;
	return true;
}

void
job_submit(struct ike_sa *sa, struct nego *n)
{
	struct ike_job *job = n->job;

	job->spi = sa->spi;
	job->theirs = n == sa->theirs;
	job->generate = job->ke.public_len == 0;
	job->derive = job->ke.peer_len > 0;
	job->away = true;
	queue_put(&sa->ike->queue, &(struct ike_action){
		.kind = IKE_WORK,
		.tunnel = sa->tunnel != NULL ? sa->tunnel->conf.id : 0,
		.job = job,
	});
}

void
job_drop(struct ike_job *job)
{
	if (job == NULL)
		return;
	if (job->away)
		job->spi = 0;
	else
		job_free(job);
}

void
job_free(struct ike_job *job)
{
	struct ike *ike = job->ike;

	if (job->prev != NULL)
		job->prev->next = job->next;
	else
		ike->jobs = job->next;
	if (job->next != NULL)
		job->next->prev = job->prev;
	ke_fini(&job->ke);
	ike->totals.jobs--;
	secret_free(ike->env.secrets, job);
}

void
ike_job_run(struct ike_job *job)
{
	enum ke_result r = KE_GENERATED;

	if (job->generate)
		r = ke_generate(&job->ke);
	if (job->derive && r == KE_GENERATED)
		(void)ke_derive(&job->ke);
}
