/* SPDX-License-Identifier: MIT */
#include "ike/queue.h"

#include <string.h>

#include "tests/unit/unit.h"

static void
put(struct queue *q, enum ike_action_kind kind, uint32_t tunnel)
{
	queue_put(q, &(struct ike_action){ .kind = kind, .tunnel = tunnel, .spi_in = tunnel + 1,
	    .resources = UINT64_C(1) << 63 | tunnel });
}

/* What goes in comes out in the same order, also over the end of the ring and its growth. */
START_TEST(order_is_kept)
{
	struct queue q = { 0 };
	struct ike_action a;
	uint32_t in = 0, out = 0;

	for (unsigned i = 0; i < 500; i++) {
		for (unsigned k = 0; k < 1 + i % 7; k++)
			put(&q, IKE_SA_OUT, in++);
		for (unsigned k = 0; k < 3 && queue_pop(&q, &a); k++) {
			ck_assert_uint_eq(a.tunnel, out++);
			ck_assert_uint_eq(a.spi_in, a.tunnel + 1);
			ck_assert_uint_eq(a.resources, UINT64_C(1) << 63 | a.tunnel);
		}
	}
	while (queue_pop(&q, &a))
		ck_assert_uint_eq(a.tunnel, out++);
	ck_assert_uint_eq(in, out);
	queue_fini(&q);
}
END_TEST

START_TEST(datagrams_are_copied_and_marked)
{
	struct queue q = { 0 };
	struct ike_action a;
	uint8_t data[3] = { 1, 2, 3 };

	for (unsigned marker = 0; marker < 2; marker++) {
		queue_send(&q, &(struct ike_action){ .kind = IKE_SEND, .data = data, .len = 3,
		    .local.port = 4500, .remote.port = 77 }, marker != 0);
		data[0] = 9;
		ck_assert(queue_pop(&q, &a));
		ck_assert_uint_eq(a.len, marker ? 7 : 3);
		ck_assert_mem_eq(a.data, marker ? "\0\0\0\0\1\2\3" : "\1\2\3", a.len);
		ck_assert_uint_eq(a.remote.port, 77);
		data[0] = 1;
	}
	queue_fini(&q);
}
END_TEST

START_TEST(reasons_come_with_down)
{
	struct ike_action in = { .kind = IKE_DOWN, .tunnel = 4 }, out;
	struct queue q = { 0 };

	memset(in.reason, 'x', sizeof(in.reason) - 1);
	queue_put(&q, &in);
	ck_assert(queue_pop(&q, &out));
	ck_assert_str_eq(out.reason, in.reason);
	ck_assert(!queue_pop(&q, &out));
	queue_put(&q, &in);		/* what is left is freed */
	queue_fini(&q);
}
END_TEST

/* What was reserved fits without growing. */
START_TEST(reserved_places_are_there)
{
	struct queue q = { 0 };
	struct note *before;

	for (unsigned i = 0; i < 100; i++)
		ck_assert(queue_reserve(&q));
	before = q.note;
	for (unsigned i = 0; i < 100 * QUEUE_PER_OBJECT; i++)
		put(&q, IKE_UP, i);
	ck_assert_ptr_eq(q.note, before);
	for (unsigned i = 0; i < 100; i++)
		queue_release(&q);
	ck_assert_uint_eq(q.reserved, 0);
	queue_fini(&q);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_test(tc, order_is_kept);
	tcase_add_test(tc, datagrams_are_copied_and_marked);
	tcase_add_test(tc, reasons_come_with_down);
	tcase_add_test(tc, reserved_places_are_there);
}

UNIT_MAIN("ike/queue", fill)
