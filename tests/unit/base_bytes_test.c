/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"

#include <string.h>

#include "unit.h"

static const uint8_t count[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

START_TEST(numbers_are_big_endian)
{
	struct rd r = rd_init(count, 15);

	ck_assert_uint_eq(rd_u8(&r), 0x01);
	ck_assert_uint_eq(rd_u16(&r), 0x0203);
	ck_assert_uint_eq(rd_u32(&r), 0x04050607);
	ck_assert_uint_eq(rd_u64(&r), 0x08090a0b0c0d0e0fu);
	ck_assert(rd_done(&r));
}
END_TEST

/* A read of everything from a message cut anywhere fails, and fails once and for all. */
START_TEST(every_truncation_is_refused)
{
	for (size_t len = 0; len < 15; len++) {
		struct rd r = rd_init(count, len);

		(void)rd_u8(&r);
		(void)rd_u16(&r);
		(void)rd_u32(&r);
		ck_assert_uint_eq(rd_u64(&r), 0);
		ck_assert(!rd_ok(&r));
		ck_assert(!rd_done(&r));
		ck_assert_uint_eq(rd_left(&r), 0);
	}
}
END_TEST

/* After a failure even what would fit is not given, so that a loop over a reader ends. */
START_TEST(a_failed_reader_has_nothing_left)
{
	uint8_t to[2] = { 0xff, 0xff };
	struct rd r = rd_init(count, 4);

	ck_assert_uint_eq(rd_u64(&r), 0);
	ck_assert_uint_eq(rd_left(&r), 0);
	ck_assert_uint_eq(rd_u8(&r), 0);
	ck_assert_ptr_null(rd_bytes(&r, 1));
	ck_assert_ptr_null(rd_bytes(&r, 0));
	rd_copy(&r, to, sizeof(to));
	ck_assert_uint_eq(to[0] | to[1], 0);

	r = rd_init(count, 4);
	rd_fail(&r);
	ck_assert(!rd_done(&r));
	ck_assert_uint_eq(rd_u8(&r), 0);
}
END_TEST

START_TEST(bytes_are_borrowed_and_copied)
{
	struct rd r = rd_init(count, sizeof(count));
	uint8_t to[4];

	ck_assert_ptr_eq(rd_bytes(&r, 3), count);
	rd_copy(&r, to, sizeof(to));
	ck_assert_mem_eq(to, count + 3, 4);
	rd_skip(&r, 1);
	ck_assert_uint_eq(rd_left(&r), 8);
	ck_assert_ptr_eq(rd_bytes(&r, 8), count + 8);
	ck_assert(rd_done(&r));
	ck_assert_ptr_nonnull(rd_bytes(&r, 0));
	ck_assert_ptr_null(rd_bytes(&r, SIZE_MAX));
}
END_TEST

START_TEST(a_child_does_not_see_past_its_end)
{
	struct rd r = rd_init(count, 8);
	struct rd sub = rd_sub(&r, 3);

	ck_assert_uint_eq(rd_left(&sub), 3);
	ck_assert_uint_eq(rd_left(&r), 5);
	ck_assert_uint_eq(rd_u8(&r), 4);
	ck_assert_uint_eq(rd_u32(&sub), 0);
	ck_assert(!rd_ok(&sub));
	ck_assert(rd_ok(&r));

	sub = rd_sub(&r, 5);		/* one more than there are */
	ck_assert(!rd_ok(&sub));
	ck_assert(!rd_ok(&r));
	ck_assert_uint_eq(rd_left(&sub), 0);
}
END_TEST

START_TEST(an_empty_message_is_done)
{
	struct rd r = rd_init(NULL, 0);
	struct rd sub;

	ck_assert(rd_done(&r));
	ck_assert_ptr_nonnull(rd_bytes(&r, 0));
	sub = rd_sub(&r, 0);
	ck_assert(rd_done(&sub));
	ck_assert_uint_eq(rd_u8(&r), 0);
	ck_assert(!rd_ok(&r));
}
END_TEST

START_TEST(a_writer_writes_what_a_reader_reads)
{
	uint8_t buf[22], room[3] = { 7, 8, 9 };
	struct wr w = wr_init(buf, sizeof(buf));
	struct rd r;

	wr_u8(&w, 0xa1);
	wr_u16(&w, 0xb1b2);
	wr_u32(&w, 0xc1c2c3c4);
	wr_u64(&w, 0xd1d2d3d4d5d6d7d8u);
	wr_bytes(&w, room, sizeof(room));
	wr_zero(&w, 2);
	memcpy(wr_room(&w, 2), "ok", 2);
	ck_assert(wr_ok(&w));
	ck_assert_uint_eq(wr_len(&w), sizeof(buf));
	ck_assert_uint_eq(wr_left(&w), 0);

	r = rd_init(buf, wr_len(&w));
	ck_assert_uint_eq(rd_u8(&r), 0xa1);
	ck_assert_uint_eq(rd_u16(&r), 0xb1b2);
	ck_assert_uint_eq(rd_u32(&r), 0xc1c2c3c4);
	ck_assert_uint_eq(rd_u64(&r), 0xd1d2d3d4d5d6d7d8u);
	ck_assert_mem_eq(rd_bytes(&r, 3), room, 3);
	ck_assert_uint_eq(rd_u16(&r), 0);
	ck_assert_mem_eq(rd_bytes(&r, 2), "ok", 2);
	ck_assert(rd_done(&r));
}
END_TEST

/* Whatever the capacity, nothing is written past it, nor anything after the first failure. */
START_TEST(a_full_writer_writes_nothing_more)
{
	for (size_t cap = 0; cap < 7; cap++) {
		uint8_t buf[8];
		struct wr w = wr_init(buf, cap);
		size_t len;

		memset(buf, 0xee, sizeof(buf));
		wr_u16(&w, 0);
		wr_u32(&w, 0);
		wr_u8(&w, 0);
		len = wr_len(&w);
		ck_assert(!wr_ok(&w));
		ck_assert_uint_eq(len, cap >= 6 ? 6 : cap >= 2 ? 2 : 0);
		wr_u8(&w, 0);
		wr_zero(&w, 1);
		wr_bytes(&w, "x", 1);
		ck_assert_ptr_null(wr_room(&w, 0));
		ck_assert_uint_eq(wr_len(&w), len);
		ck_assert_uint_eq(wr_left(&w), 0);
		for (size_t i = len; i < sizeof(buf); i++)
			ck_assert_uint_eq(buf[i], 0xee);
	}
}
END_TEST

START_TEST(overwriting_stays_within_what_was_written)
{
	uint8_t buf[16] = { 0 };
	struct wr w = wr_init(buf, sizeof(buf));

	wr_u32(&w, 0);
	wr_put_u8(&w, 0, 1);
	wr_put_u16(&w, 2, 0x0203);
	ck_assert_mem_eq(buf, "\1\0\2\3", 4);
	wr_put_u32(&w, 0, 0x0a0b0c0d);
	ck_assert_mem_eq(buf, "\12\13\14\15", 4);
	ck_assert(wr_ok(&w));
	ck_assert_uint_eq(wr_len(&w), 4);
	for (size_t at = 1; at <= 5; at++) {
		struct wr copy = w;

		wr_put_u32(&copy, at, UINT32_MAX);	/* reaches past the end */
		ck_assert(!wr_ok(&copy));
	}
	wr_put_u16(&w, SIZE_MAX, 1);
	ck_assert(!wr_ok(&w));
	wr_put_u8(&w, 0, 9);			/* a failed writer stays so */
	ck_assert_mem_eq(buf, "\12\13\14\15\0\0\0\0\0", 9);
}
END_TEST

START_TEST(a_writer_without_a_buffer_fails_only_when_used)
{
	struct wr w = wr_init(NULL, 0);

	wr_bytes(&w, NULL, 0);
	ck_assert(wr_ok(&w));
	wr_u8(&w, 1);
	ck_assert(!wr_ok(&w));
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, numbers_are_big_endian);
	tcase_add_test(t, every_truncation_is_refused);
	tcase_add_test(t, a_failed_reader_has_nothing_left);
	tcase_add_test(t, bytes_are_borrowed_and_copied);
	tcase_add_test(t, a_child_does_not_see_past_its_end);
	tcase_add_test(t, an_empty_message_is_done);
	tcase_add_test(t, a_writer_writes_what_a_reader_reads);
	tcase_add_test(t, a_full_writer_writes_nothing_more);
	tcase_add_test(t, overwriting_stays_within_what_was_written);
	tcase_add_test(t, a_writer_without_a_buffer_fails_only_when_used);
}

UNIT_MAIN("base/bytes", fill)
