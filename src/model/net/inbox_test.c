/* SPDX-License-Identifier: BSD-2-Clause */
/* The inbox beside a plain list: random frames in and out, through every way that its end can come round. */
#include "model/net/inbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/random.h"

#define FRAMES 64u

static uint64_t memory[512];
static struct {
	uint32_t len_bytes;
	uint16_t pair;
	uint8_t first;
} list[FRAMES];

static void compare(const struct vnet_frame *frame, unsigned at)
{
	assert_int_equal(frame->len_bytes, list[at].len_bytes);
	assert_int_equal(frame->pair, list[at].pair);
	for (uint32_t i = 0; i < frame->len_bytes; i++)
		assert_int_equal(frame->data[i], (uint8_t)(list[at].first + i));
}

static void test_frames_come_out_as_they_went_in(void **state)
{
	struct random random = {7};
	struct vnet_inbox inbox;
	unsigned first = 0, count = 0, full = 0;
	uint8_t data[1600];

	(void)state;
	for (uint32_t size = 2048; size <= sizeof(memory); size += 8) {
		vnet_inbox_init(&inbox, memory, size);
		for (unsigned step = 0; step < 400; step++) {
			struct vnet_frame frame = {.data = data, .pair = (uint16_t)step};

			if (count < FRAMES && random_percent(&random, 55)) {
				unsigned at = (first + count) % FRAMES;

				frame.len_bytes = (uint32_t)random_range(&random, 1, 700);
				list[at].len_bytes = frame.len_bytes;
				list[at].pair = frame.pair;
				list[at].first = (uint8_t)random_next(&random);
				for (uint32_t i = 0; i < frame.len_bytes; i++)
					data[i] = (uint8_t)(list[at].first + i);
				if (vnet_inbox_put(&inbox, &frame))
					count++;
				else
					full++;
			} else if (vnet_inbox_peek(&inbox, &frame)) {
				assert_true(count > 0);
				compare(&frame, first);
				vnet_inbox_next(&inbox);
				first = (first + 1) % FRAMES;
				count--;
			} else {
				assert_int_equal(count, 0);
			}
		}
		while (count > 0) {
			struct vnet_frame frame;

			assert_true(vnet_inbox_peek(&inbox, &frame));
			compare(&frame, first);
			vnet_inbox_next(&inbox);
			first = (first + 1) % FRAMES;
			count--;
		}
	}
	assert_true(full > 100);
}

static void test_frame_that_never_fits_is_counted(void **state)
{
	struct vnet_frame frame = {.data = (uint8_t *)memory, .len_bytes = 1000};
	struct vnet_inbox inbox;

	(void)state;
	vnet_inbox_init(&inbox, memory, 512);
	assert_false(vnet_inbox_put(&inbox, &frame));
	assert_int_equal(inbox.dropped, 1);
	assert_false(vnet_inbox_peek(&inbox, &frame));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_come_out_as_they_went_in),
		cmocka_unit_test(test_frame_that_never_fits_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
