/* SPDX-License-Identifier: MIT */
#include "ike/collide.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct low
low(const char *bytes, uint16_t len)
{
	struct low l = { .len = len };

	memcpy(l.b, bytes, len);
	return l;
}

/* Octet by octet; the shorter of two that begin alike is lower (2.8.1). */
START_TEST(nonces_are_ordered)
{
	struct low a = low("\1\2\3", 3), b = low("\1\2\4", 3), c = low("\1\2", 2);
	struct low d = low("\200", 1);

	ck_assert(collide_lower(&a, &b) && !collide_lower(&b, &a));
	ck_assert(collide_lower(&c, &a) && !collide_lower(&a, &c));
	ck_assert(collide_lower(&b, &d) && !collide_lower(&d, &b));
	ck_assert(!collide_lower(&a, &a));
}
END_TEST

/* Of what a Child SA is doing follows the answer to a rekey of it (2.25.1). */
START_TEST(rekeys_of_a_child)
{
	static const enum collide want[] = {
		[CHILD_REQUESTED] = COLLIDE_TEMPORARY,
		[CHILD_UP] = COLLIDE_GO,
		[CHILD_REKEYING] = COLLIDE_GO,
		[CHILD_REKEYED] = COLLIDE_TEMPORARY,
		[CHILD_DELETING] = COLLIDE_TEMPORARY,
	};
	struct child old[20] = { { .state = CHILD_REKEYED } };
	struct tunnel t = { .out = NULL };
	struct ike_sa sa = { .state = SA_UP, .tunnel = &t };
	struct child c = { .sa = &sa };

	ck_assert(collide_child_rekey(&sa, NULL) == COLLIDE_NOT_FOUND);
	for (unsigned i = 0; i < 5; i++) {
		c.state = i;
		ck_assert(collide_child_rekey(&sa, &c) == want[i]);
	}
	c.state = CHILD_UP;
	sa.req = (struct request){ .kind = REQ_IKE_REKEY, .wait = WAIT_ANSWER };
	ck_assert(collide_child_rekey(&sa, &c) == COLLIDE_TEMPORARY);
	sa.req.wait = WAIT_KEY;		/* nobody knows of it yet */
	ck_assert(collide_child_rekey(&sa, &c) == COLLIDE_GO);
	for (unsigned i = 0; i < 18; i++) {	/* what it replaced it has to delete some time */
		old[i].state = CHILD_REKEYED;
		old[i].next = sa.children;
		sa.children = &old[i];
		ck_assert(collide_child_rekey(&sa, &c) == (i < 17 ? COLLIDE_GO : COLLIDE_TEMPORARY));
	}
	sa.children = NULL;
	sa.state = SA_REKEYED;
	ck_assert(collide_child_rekey(&sa, &c) == COLLIDE_TEMPORARY);
}
END_TEST

/* And to a rekey of the IKE SA: not while a Child SA is in the making or going (2.25.2). */
START_TEST(rekeys_of_the_ike_sa)
{
	static const struct {
		enum request_kind kind;
		enum request_wait wait;
		enum collide want;
	} cases[] = {
		{ REQ_NONE, WAIT_ANSWER, COLLIDE_GO },
		{ REQ_ASK, WAIT_ANSWER, COLLIDE_GO },
		{ REQ_IKE_REKEY, WAIT_ANSWER, COLLIDE_GO },
		{ REQ_CHILD_REKEY, WAIT_KEY, COLLIDE_GO },
		{ REQ_CHILD_REKEY, WAIT_ANSWER, COLLIDE_TEMPORARY },
		{ REQ_CHILD_REKEY, WAIT_SECRET, COLLIDE_TEMPORARY },
		{ REQ_CHILD_NEW, WAIT_ANSWER, COLLIDE_TEMPORARY },
		{ REQ_CHILD_DELETE, WAIT_ANSWER, COLLIDE_TEMPORARY },
	};
	struct ike_sa sa = { .state = SA_UP };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sa.req = (struct request){ .kind = cases[i].kind, .wait = cases[i].wait };
		ck_assert_msg(collide_ike_rekey(&sa) == cases[i].want, "case %zu", i);
	}
	sa.req.kind = REQ_NONE;
	sa.state = SA_DELETING;
	ck_assert(collide_ike_rekey(&sa) == COLLIDE_TEMPORARY);
}
END_TEST

/* Both ends see the same two IKE SAs and come to the same answer. */
START_TEST(a_duel_has_one_winner)
{
	struct ike_sa a = { .born = 10, .up_since = 20, .low = low("\1", 1) };
	struct ike_sa b = { .born = 11, .up_since = 21, .low = low("\2", 1) };

	ck_assert(collide_better(&b, &a) && !collide_better(&a, &b));
	b.low = low("\0", 1);
	ck_assert(collide_better(&a, &b) && !collide_better(&b, &a));
	b.born = 21;			/* begun when a had long been up: the younger stays */
	b.up_since = 30;
	ck_assert(collide_better(&b, &a) && !collide_better(&a, &b));
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, nonces_are_ordered);
	tcase_add_test(tc, rekeys_of_a_child);
	tcase_add_test(tc, rekeys_of_the_ike_sa);
	tcase_add_test(tc, a_duel_has_one_winner);
}

UNIT_MAIN("ike/collide", fill)
