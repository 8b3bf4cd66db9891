/* SPDX-License-Identifier: MIT */
#include "esp/event.h"

#include "base/rng.h"
#include "unit.h"

/* Random use: backs are never refused, news up to their bound, order is kept in growth. */
START_TEST(order_and_room)
{
	struct rng_seeded state;
	struct rng rng = rng_seeded(&state, (uint64_t)_i);
	struct esp_event e = { .token = 0 };
	struct events ev;
	stat_t lost = 0;
	uint64_t put = 0, got = 0, refused = 0;
	size_t news = 0;

	ck_assert(events_init(&ev, &lost));
	for (int i = 0; i < 50000; i++) {
		switch (rng_below(&rng, 5)) {
		case 0: case 1:
			if (ev.held < 2000)
				ck_assert(events_reserve(&ev));
			break;
		case 2:
			if (ev.held > 0) {
				e = (struct esp_event){ .kind = ESP_EV_SA_BACK, .token = ++put };
				events_back(&ev, &e);
			}
			break;
		case 3:
			e = (struct esp_event){ .kind = ESP_EV_ECHO, .token = put + 1 };
			if (events_news(&ev, &e)) {
				ck_assert_uint_lt(news, EVENTS_NEWS);
				news++;
				put++;
			} else {
				ck_assert_uint_eq(news, EVENTS_NEWS);
				refused++;
			}
			break;
		case 4:
			/* in some rounds control is slow */
			if (rng_below(&rng, (uint32_t)_i + 1) != 0)
				break;
			if (events_next(&ev, &e)) {
				ck_assert_uint_eq(e.token, ++got);
				news -= e.kind == ESP_EV_ECHO;
			} else {
				ck_assert_uint_eq(put, got);
			}
			break;
		}
	}
	while (events_next(&ev, &e))
		ck_assert_uint_eq(e.token, ++got);
	ck_assert_uint_eq(put, got);
	ck_assert_uint_eq(lost, refused);
	while (ev.held > 0)
		events_unreserve(&ev);
	events_fini(&ev);
}
END_TEST

static void
fill(TCase *tc)
{
	tcase_add_loop_test(tc, order_and_room, 0, 6);
}

UNIT_MAIN("esp_event", fill)
