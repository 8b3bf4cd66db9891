/* SPDX-License-Identifier: MIT */
#include "base/pkt.h"

#include <string.h>

#include "unit.h"

START_TEST(slots_do_not_share_bytes)
{
	struct batch b;
	struct pkt *p;

	ck_assert(batch_init(&b, 4, 200));
	for (int i = 0; i < 4; i++) {
		p = batch_next(&b);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(p->off, PKT_HEADROOM);
		ck_assert_uint_eq(p->len, 0);
		ck_assert_uint_eq(pkt_room(p), 200 - PKT_HEADROOM);
		memset(p->buf, i + 1, p->cap);
	}
	ck_assert_ptr_null(batch_next(&b));
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(b.pkt[i].buf[0], i + 1);
		ck_assert_uint_eq(b.pkt[i].buf[199], i + 1);
	}
	batch_fini(&b);
	ck_assert_ptr_null(batch_next(&b));
}
END_TEST

/* What the last user of a slot wrote about its packet is gone when the slot is used again. */
START_TEST(a_slot_comes_back_clean_with_its_buffer)
{
	struct batch b;
	struct pkt *p;
	uint8_t *buf;

	ck_assert(batch_init(&b, 2, 256));
	p = batch_next(&b);
	buf = p->buf;
	*p = (struct pkt){ .buf = buf, .cap = 256, .off = 1, .len = 100, .segment = 9, .tos = 3,
		.csum = PKT_CSUM_PARTIAL, .tunnel = 7, .remote = { .port = 1 } };
	ck_assert_uint_eq(pkt_room(p), 155);
	ck_assert_ptr_eq(pkt_data(p), buf + 1);
	batch_unget(&b);
	ck_assert_uint_eq(b.n, 0);
	p = batch_next(&b);
	ck_assert_ptr_eq(p->buf, buf);
	ck_assert_uint_eq(p->cap, 256);
	ck_assert_uint_eq(p->off, PKT_HEADROOM);
	ck_assert_uint_eq(p->len, 0);
	ck_assert_uint_eq(p->segment | p->tos | p->csum | p->tunnel | p->remote.port, 0);
	ck_assert_ptr_nonnull(batch_next(&b));
	batch_reset(&b);
	ck_assert_ptr_eq(batch_next(&b), p);
	batch_fini(&b);
}
END_TEST

/* A batch of views owns no bytes; what a user lends to a slot stays until it lends anew. */
START_TEST(views_have_no_buffers)
{
	struct batch b;
	uint8_t lent[300];
	struct pkt *p;

	ck_assert(batch_init(&b, 2, 0));
	p = batch_next(&b);
	ck_assert_ptr_null(p->buf);
	ck_assert_uint_eq(p->cap, 0);
	p->buf = lent;
	p->cap = sizeof(lent);
	ck_assert_uint_eq(pkt_room(p), sizeof(lent) - PKT_HEADROOM);
	batch_fini(&b);
}
END_TEST

/* Packets of a shared batch lie one behind the other and do not meet; it ends where the
 * longest packet would not fit any more. */
START_TEST(shared_memory_is_taken_in_turn)
{
	const size_t bytes = 3 * PKT_BUF;
	const uint8_t *end = NULL;
	struct batch b;
	struct pkt *p;
	size_t all = 0;

	ck_assert(batch_init_shared(&b, 64, bytes));
	for (unsigned len = 1; (p = batch_next(&b)) != NULL; len += 3001) {
		ck_assert_uint_ge(pkt_room(p), PKT_MAX + 1 + PKT_TAILROOM);
		ck_assert(end == NULL || p->buf >= end);
		p->len = len;
		memset(p->buf, (int)b.n, p->off + len + PKT_TAILROOM);
		batch_trim(&b);
		ck_assert_uint_ge(pkt_room(p), PKT_TAILROOM);
		end = p->buf + p->cap;
		ck_assert(end <= b.mem + bytes);
		all += len;
	}
	ck_assert(batch_is_full(&b));
	ck_assert_uint_gt(all, PKT_BUF);
	for (unsigned i = 0; i < b.n; i++)
		ck_assert_uint_eq(pkt_data(&b.pkt[i])[b.pkt[i].len - 1], i + 1);
	batch_reset(&b);
	ck_assert(!batch_is_full(&b));
	p = batch_next(&b);
	ck_assert_ptr_eq(p->buf, b.mem);
	batch_unget(&b);
	ck_assert_ptr_eq(batch_next(&b)->buf, b.mem);
	batch_fini(&b);
}
END_TEST

START_TEST(too_much_memory_is_refused)
{
	struct batch b;

	ck_assert(!batch_init(&b, UINT32_MAX, UINT32_MAX));
	ck_assert_ptr_null(b.pkt);
	batch_fini(&b);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, slots_do_not_share_bytes);
	tcase_add_test(t, a_slot_comes_back_clean_with_its_buffer);
	tcase_add_test(t, views_have_no_buffers);
	tcase_add_test(t, shared_memory_is_taken_in_turn);
	tcase_add_test(t, too_much_memory_is_refused);
}

UNIT_MAIN("base/pkt", fill)
