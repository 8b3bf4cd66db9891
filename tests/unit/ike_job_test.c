/* SPDX-License-Identifier: MIT */
#include "ike/job.h"

#include "tests/unit/ike_rig.h"

/* Both values of a key exchange, computed by the other end. */
static void
let_peer_answer(struct rig *r, struct ike_job *job)
{
	struct ke peer;

	ke_draw(&peer, job->ke.group, &r->under);
	ck_assert_int_eq(ke_generate(&peer), KE_GENERATED);
	ck_assert(ke_peer_set(&job->ke, (struct slice){ peer.public_value, peer.public_len }));
	ke_fini(&peer);
}

static struct ike_job *
away(struct rig *r, struct ike_sa *sa, struct nego *n)
{
	ck_assert(job_draw(sa, n, KE_CURVE25519));
	job_submit(sa, n);
	return rig_expect(r, IKE_WORK).job;
}

static void
come_back(struct rig *r, struct ike_job *job)
{
	ike_input(r->ike, r->ike->now, &(struct ike_fact){ .kind = IKE_WORK_DONE, .job = job });
}

START_TEST(a_job_is_drawn_for_one_exchange)
{
	struct nego *n;
	struct ike_sa *sa;
	struct ike_job *first;
	uint8_t key[KE_PRIVATE_MAX];
	struct rig r;
	size_t used;

	rig_init(&r);
	sa = rig_up(&r);
	sa->mine = n = rig_nego(&r);
	ck_assert(job_draw(sa, n, KE_ECP_256));
	first = n->job;
	ck_assert(n->group == KE_ECP_256 && first->ke.group == KE_ECP_256);
	ck_assert(!first->away && first->ke.private_len == 32 && first->ke.public_len == 0);
	ck_assert_uint_eq(r.ike->totals.jobs, 1);
	memcpy(key, first->ke.private_key, sizeof(key));
	used = secrets_used(r.secrets);
	ck_assert(job_draw(sa, n, KE_ECP_256));		/* the older one goes */
	ck_assert_uint_eq(r.ike->totals.jobs, 1);
	ck_assert_uint_eq(secrets_used(r.secrets), used);
	ck_assert_mem_ne(n->job->ke.private_key, key, 32);
	rig_fini(&r);
}
END_TEST

/* Unlinked at the head, in the middle and at the end of the machine's list. */
START_TEST(jobs_are_freed_in_any_order)
{
	for (unsigned order = 0; order < 27; order++) {
		unsigned turn[3] = { order % 3, order / 3 % 3, order / 9 };
		struct nego *n[3];
		struct ike_sa *sa;
		struct rig r;

		if (turn[0] == turn[1] || turn[1] == turn[2] || turn[0] == turn[2])
			continue;
		rig_init(&r);
		sa = rig_up(&r);
		for (unsigned i = 0; i < 3; i++) {
			n[i] = rig_nego(&r);
			ck_assert(job_draw(sa, n[i], KE_CURVE25519));
		}
		for (unsigned i = 0; i < 3; i++) {
			struct ike_job *job = n[turn[i]]->job;
			unsigned left = 0;

			nego_free(n[turn[i]]);
			for (struct ike_job *j = r.ike->jobs; j != NULL; j = j->next, left++) {
				ck_assert_ptr_ne(j, job);
				ck_assert(j->next == NULL || j->next->prev == j);
				ck_assert((j->prev == NULL) == (j == r.ike->jobs));
			}
			ck_assert_uint_eq(left, 2 - i);
			ck_assert_uint_eq(r.ike->totals.jobs, 2 - i);
		}
		rig_fini(&r);
	}
}
END_TEST

/* Who waits, in which of the two exchanges, and what is to be computed. */
START_TEST(what_is_submitted)
{
	for (unsigned i = 0; i < 8; i++) {
		bool theirs = (i & 1) != 0, has_key = (i & 2) != 0, has_peer = (i & 4) != 0;
		struct ike_action a;
		struct ike_sa *sa;
		struct nego *n;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		n = rig_nego(&r);
		*(theirs ? &sa->theirs : &sa->mine) = n;
		ck_assert(job_draw(sa, n, KE_CURVE25519));
		if (has_key)
			ck_assert_int_eq(ke_generate(&n->job->ke), KE_GENERATED);
		if (has_peer)
			let_peer_answer(&r, n->job);
		job_submit(sa, n);
		a = rig_expect(&r, IKE_WORK);
		ck_assert(a.job == n->job && a.tunnel == RIG_ID);
		ck_assert_uint_eq(a.job->spi, sa->spi);
		ck_assert_int_eq(a.job->theirs, theirs);
		ck_assert_int_eq(a.job->generate, !has_key);
		ck_assert_int_eq(a.job->derive, has_peer);
		ck_assert(a.job->away);
		ck_assert_uint_eq(rig_drain(&r), 0);
		rig_fini(&r);
	}
}
END_TEST

START_TEST(a_stranger_has_no_tunnel)
{
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_sa(&r, SA_NEW, false);
	ck_assert(job_draw(sa, sa->theirs, KE_CURVE25519));
	job_submit(sa, sa->theirs);
	ck_assert_uint_eq(rig_expect(&r, IKE_WORK).tunnel, 0);
	rig_fini(&r);
}
END_TEST

/* What the pool does: nothing but what was asked for; a failure ends it. */
START_TEST(a_job_is_run)
{
	struct ike_job job = { .generate = true }, other;
	struct rig r;

	rig_init(&r);
	ke_draw(&job.ke, KE_CURVE25519, &r.under);
	other = (struct ike_job){ .ke = job.ke };
	ike_job_run(&other);				/* neither */
	ck_assert_int_eq(other.ke.result, KE_PENDING);
	ike_job_run(&job);
	ck_assert_int_eq(job.ke.result, KE_GENERATED);
	ck_assert_uint_eq(job.ke.public_len, 32);
	let_peer_answer(&r, &job);
	job.generate = false;
	job.derive = true;
	ike_job_run(&job);
	ck_assert(job.ke.result == KE_DERIVED && job.ke.shared_len == 32);
	other.generate = other.derive = true;		/* a responder: both in one go */
	let_peer_answer(&r, &other);
	ike_job_run(&other);
	ck_assert(other.ke.result == KE_DERIVED && other.ke.public_len == 32);
	other = (struct ike_job){ .generate = true, .derive = true };
	ike_job_run(&other);				/* no group: nothing is derived */
	ck_assert(other.ke.result == KE_FAILED && other.ke.shared_len == 0);
	rig_fini(&r);
}
END_TEST

/* At home it is freed at once and wiped; away it is freed when it comes back. */
START_TEST(a_dropped_job)
{
	struct ike_job *job;
	struct nego *n;
	struct ike_sa *sa;
	struct rig r;
	size_t used;

	rig_init(&r);
	sa = rig_up(&r);
	used = secrets_used(r.secrets);
	job_drop(NULL);
	n = rig_nego(&r);
	ck_assert(job_draw(sa, n, KE_CURVE25519));
	job = n->job;
	ck_assert_uint_eq(secrets_used(r.secrets), used + 1);
	job_drop(job);
	ck_assert_uint_eq(secrets_used(r.secrets), used);
	ck_assert_ptr_null(r.ike->jobs);
#ifndef __SANITIZE_ADDRESS__			/* there what is free must not be looked at */
	for (size_t i = 0; i < sizeof(*job); i++)
		ck_assert_uint_eq(((volatile uint8_t *)job)[i], 0);
#endif
	n->job = NULL;
	job = away(&r, sa, n);
	nego_free(n);					/* drops it */
	ck_assert_uint_eq(r.ike->totals.jobs, 1);
	ck_assert_uint_eq(job->spi, 0);
	ike_job_run(job);				/* the pool knows nothing of that */
	come_back(&r, job);
	ck_assert_uint_eq(r.ike->totals.jobs, 0);
	ck_assert_uint_eq(secrets_used(r.secrets), used);
	rig_fini(&r);
}
END_TEST

/* Back when its IKE SA has ended, when its exchange has, or when that has another job by now:
 * freed, and nobody is told. */
START_TEST(a_result_that_comes_too_late)
{
	for (unsigned how = 0; how < 4; how++) {
		struct ike_job *job, *newer = NULL;
		struct ike_sa *sa;
		struct nego *n;
		struct rig r;

		rig_init(&r);
		sa = rig_up(&r);
		sa->theirs = n = rig_nego(&r);
		job = away(&r, sa, n);
		ck_assert_uint_eq(r.ike->totals.jobs, 1);
		switch (how) {
		case 0:				/* the IKE SA is gone */
			ike_sa_dead(sa, "test");
			ike_sa_settle(r.ike);
			break;
		case 1:				/* the exchange is gone */
			ike_sa_drop_theirs(sa);
			break;
		case 2:				/* another one has begun */
			ike_sa_drop_theirs(sa);
			sa->theirs = n = rig_nego(&r);
			newer = away(&r, sa, n);
			break;
		case 3:				/* the machine itself goes first */
			break;
		}
		rig_drain(&r);
		rig_hush(&r);
		if (how < 3) {
			ike_job_run(job);
			come_back(&r, job);
			ck_assert_uint_eq(r.ike->totals.jobs, newer != NULL);
			ck_assert_uint_eq(rig_drain(&r), 0);
			ck_assert_uint_eq(r.log_len, 0);
		}
		if (newer != NULL)
			ck_assert(sa->theirs == n && n->job == newer && newer->away);
		rig_fini(&r);			/* frees a job that is away, too */
	}
}
END_TEST

/* Back in time it is worked on, by the exchange that it belongs to. */
START_TEST(a_result_in_time)
{
	struct ike_job *job;
	struct ike_sa *sa;
	struct rig r;

	rig_init(&r);
	sa = rig_sa(&r, SA_NEW, true);
	sa->req = (struct request){ .kind = REQ_INIT, .wait = WAIT_KEY };
	job = away(&r, sa, sa->mine);
	ike_job_run(job);
	come_back(&r, job);
	ck_assert_int_eq(sa->state, SA_INIT_SENT);
	ck_assert(!job->away && sa->mine->job == job);
	(void)rig_expect(&r, IKE_SEND);
	rig_fini(&r);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, a_job_is_drawn_for_one_exchange);
	tcase_add_test(tc, jobs_are_freed_in_any_order);
	tcase_add_test(tc, what_is_submitted);
	tcase_add_test(tc, a_stranger_has_no_tunnel);
	tcase_add_test(tc, a_job_is_run);
	tcase_add_test(tc, a_dropped_job);
	tcase_add_test(tc, a_result_that_comes_too_late);
	tcase_add_test(tc, a_result_in_time);
}

UNIT_MAIN("ike/job", fill)
