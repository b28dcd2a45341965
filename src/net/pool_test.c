/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools and packets: taking, referring, giving back from here and elsewhere; room; frames of several parts; checksums. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/net.h"
#include "spec/ethernet.h"
#include "tests/context.h"
#include "tests/ram_machine.h"
#include "tests/random.h"

static struct context context;
static struct ob_machine *machine;
static struct ob_packet_pool *pool;

static void world_open(unsigned count, uint32_t room)
{
	struct ob_packet_pool_config config = {.count = count, .packet_bytes = room};

	context_open(&context, 1);
	assert_int_equal(ram_machine_open(context.ob, &machine), 0);
	config.machine = machine;
	assert_int_equal(ob_packet_pool_create(&config, &pool), 0);
}

static void world_close(void)
{
	struct ob_packet_pool_stats stats;

	ob_packet_pool_collect(pool);
	ob_packet_pool_stats(pool, &stats);
	assert_int_equal(stats.free, stats.count);
	ob_packet_pool_put(pool);
	ob_machine_close(machine);
	context_close(&context);
}

static unsigned free_count(void)
{
	struct ob_packet_pool_stats stats;

	ob_packet_pool_stats(pool, &stats);
	return stats.free;
}

/* ---- pools ---- */

static void test_pool_config_nonsense_is_refused(void **state)
{
	struct ob_packet_pool_config config;
	struct ob_packet_pool *other;
	struct ob_window *window;

	world_open(4, 0);
	config = (struct ob_packet_pool_config){0};
	assert_int_equal(ob_packet_pool_create(&config, &other), -EINVAL);
	config = (struct ob_packet_pool_config){.machine = machine, .count = OB_PACKET_COUNT_MAX + 1};
	assert_int_equal(ob_packet_pool_create(&config, &other), -EINVAL);
	config = (struct ob_packet_pool_config){.machine = machine, .packet_bytes = UINT32_MAX};
	assert_int_equal(ob_packet_pool_create(&config, &other), -EINVAL);
	assert_int_equal(ob_window_create(machine, 65536, &window), 0);
	config = (struct ob_packet_pool_config){.window = window, .count = 17, .stride_bytes = 4096};
	assert_int_equal(ob_packet_pool_create(&config, &other), -EINVAL);
	config = (struct ob_packet_pool_config){
		.window = window, .count = 16, .stride_bytes = 4096, .window_offset = 1};
	assert_int_equal(ob_packet_pool_create(&config, &other), -EINVAL);
	config = (struct ob_packet_pool_config){.window = window, .count = 16, .stride_bytes = 1024};
	assert_int_equal(ob_packet_pool_create(&config, &other), -EINVAL);
	assert_null(other);
	ob_window_put(window);
	world_close();
}

static void test_pool_in_a_window_uses_the_places_asked_for(void **state)
{
	struct ob_packet_pool_config config = {.count = 15, .stride_bytes = 4096, .window_offset = 4096};
	struct ob_packet_pool *mine;
	struct ob_window *window;
	struct ob_packet *packets[15];

	world_open(4, 0);
	assert_int_equal(ob_window_create(machine, 65536, &window), 0);
	config.window = window;
	assert_int_equal(ob_packet_pool_create(&config, &mine), 0);
	ob_window_put(window);
	assert_int_equal(ob_packet_alloc_burst(mine, packets, 15), 0);
	for (unsigned i = 0; i < 15; i++) {
		assert_ptr_equal(packets[i]->data, window->base + 4096 * (i + 1) + OB_PACKET_HEADROOM);
		assert_int_equal(ob_packet_headroom(packets[i]), OB_PACKET_HEADROOM);
		assert_int_equal(ob_packet_tailroom(packets[i]), OB_PACKET_BYTES_DEFAULT);
	}
	ob_packet_put_burst(packets, 15);
	ob_packet_pool_put(mine);
	world_close();
}

static void test_alloc_of_all_packets_gives_each_once_and_then_none(void **state)
{
	struct ob_packet *packets[64], *more;
	struct ob_packet_pool_stats stats;

	world_open(64, 100);
	for (unsigned i = 0; i < 64; i++) {
		packets[i] = ob_packet_alloc(pool);
		assert_non_null(packets[i]);
		memset(packets[i]->data - ob_packet_headroom(packets[i]), (int)i,
		       pool->headroom_bytes + pool->room_bytes);
	}
	assert_null(ob_packet_alloc(pool));
	assert_int_equal(ob_packet_alloc_burst(pool, &more, 1), -EAGAIN);
	ob_packet_pool_stats(pool, &stats);
	assert_int_equal(stats.empty, 2);
	/* No buffer overlaps another. */
	for (unsigned i = 0; i < 64; i++)
		for (unsigned byte = 0; byte < 100; byte++)
			assert_int_equal(packets[i]->data[byte], i);
	ob_packet_put_burst(packets, 64);
	assert_int_equal(ob_packet_alloc_burst(pool, packets, 64), 0);
	ob_packet_put_burst(packets, 64);
	world_close();
}

static void test_packet_with_two_references_stays_until_the_second_is_back(void **state)
{
	struct ob_packet *frame;

	world_open(8, 100);
	frame = ob_packet_from(pool, "0123456789", 10);
	assert_ptr_equal(ob_packet_get(frame), frame);
	assert_false(ob_packet_is_plain(frame));
	ob_packet_put(frame);
	assert_int_equal(free_count(), 7);
	assert_true(ob_packet_is_plain(frame));
	assert_memory_equal(frame->data, "0123456789", 10);
	ob_packet_put(frame);
	assert_int_equal(free_count(), 8);
	ob_packet_put(NULL);
	world_close();
}

static void test_packet_taken_again_is_as_new(void **state)
{
	struct ob_packet *frame, *again;

	world_open(1, 100);
	frame = ob_packet_alloc(pool);
	ob_packet_push(frame, 50);
	frame->flags = 0xff;
	ob_packet_put(frame);
	again = ob_packet_alloc(pool);
	assert_ptr_equal(again, frame);
	assert_true(ob_packet_is_plain(again));
	assert_int_equal(again->frame_bytes, 0);
	assert_int_equal(ob_packet_headroom(again), OB_PACKET_HEADROOM);
	ob_packet_put(again);
	world_close();
}

/* ---- other threads ---- */

#define ROUNDS 2000u

struct thief {
	pthread_t thread;
	struct ob_packet *slot; /* __atomic */
};

static void *give_back(void *arg)
{
	struct thief *thief = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ob_packet *frame;

		while ((frame = __atomic_exchange_n(&thief->slot, NULL, __ATOMIC_ACQ_REL)) == NULL)
			;
		ob_packet_put_any(frame);
	}
	return NULL;
}

/* Two threads get a reference each to the same frame of two parts, and give it back at the same time. */
static void test_put_any_by_two_threads_brings_each_packet_back_once(void **state)
{
	struct thief thieves[2] = {0};
	struct ob_packet_pool_stats stats;

	world_open(6, 100);
	for (unsigned t = 0; t < 2; t++)
		assert_int_equal(pthread_create(&thieves[t].thread, NULL, give_back, &thieves[t]), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ob_packet *frame, *tail;

		while ((frame = ob_packet_alloc(pool)) == NULL)
			;
		while ((tail = ob_packet_alloc(pool)) == NULL)
			;
		assert_true(frame != tail);
		assert_int_equal(ob_packet_chain(frame, tail), 0);
		ob_packet_get(frame);
		for (unsigned t = 0; t < 2; t++) {
			while (__atomic_load_n(&thieves[t].slot, __ATOMIC_ACQUIRE) != NULL)
				;
			__atomic_store_n(&thieves[t].slot, frame, __ATOMIC_RELEASE);
		}
	}
	for (unsigned t = 0; t < 2; t++)
		pthread_join(thieves[t].thread, NULL);
	assert_int_equal(ob_packet_pool_collect(pool), 6);
	ob_packet_pool_stats(pool, &stats);
	assert_int_equal(stats.remote, 4 * ROUNDS);
	world_close();
}

static void test_pool_that_ends_while_packets_are_out_says_so_and_stays(void **state)
{
	struct ob_packet *frame;
	struct ob_packet_pool *kept;

	world_open(4, 100);
	frame = ob_packet_alloc(pool);
	kept = pool;
	ob_packet_pool_put(pool);
	assert_non_null(strstr(context.last, "1 of its 4 packets are still out"));
	context.lines = 0;
	/* It leaks; what the test can reach of it again is freed here. */
	kept->refs = 1;
	ob_packet_put(frame);
	world_close();
}

/* ---- room ---- */

static void test_push_pull_append_respect_the_buffer(void **state)
{
	struct ob_packet *frame;
	uint8_t *start;

	world_open(4, 100);
	frame = ob_packet_alloc(pool);
	start = frame->data;
	assert_null(ob_packet_push(frame, OB_PACKET_HEADROOM + 1));
	assert_ptr_equal(ob_packet_push(frame, OB_PACKET_HEADROOM), start - OB_PACKET_HEADROOM);
	assert_int_equal(ob_packet_headroom(frame), 0);
	assert_null(ob_packet_append(frame, 101));
	assert_ptr_equal(ob_packet_append(frame, 100), start);
	assert_int_equal(ob_packet_tailroom(frame), 0);
	assert_int_equal(frame->frame_bytes, OB_PACKET_HEADROOM + 100);
	assert_true(ob_packet_check(frame, 0));
	assert_false(ob_packet_check(frame, 1));
	assert_null(ob_packet_pull(frame, frame->len_bytes + 1));
	assert_ptr_equal(ob_packet_pull(frame, OB_PACKET_HEADROOM), start);
	frame->len_bytes++;
	assert_false(ob_packet_check(frame, 0));
	frame->len_bytes = 0;
	frame->data = start - OB_PACKET_HEADROOM - 1;
	assert_false(ob_packet_check(frame, 0));
	frame->data = start + 101;
	assert_false(ob_packet_check(frame, 0));
	ob_packet_put(frame);
	world_close();
}

/* ---- frames of several parts ---- */

static void fill(uint8_t *bytes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
}

static void test_frame_longer_than_a_packet_is_chained_and_reads_back(void **state)
{
	uint8_t bytes[1000], back[1000];
	struct ob_packet *frame, *copy;

	fill(bytes, sizeof(bytes));
	world_open(32, 96);
	frame = ob_packet_from(pool, bytes, sizeof(bytes));
	assert_non_null(frame);
	assert_int_equal(frame->segments, 11);
	assert_int_equal(frame->frame_bytes, 1000);
	for (unsigned offset = 0; offset <= 1000; offset += 37) {
		assert_int_equal(ob_packet_read(frame, offset, back, 1000 - offset), 0);
		assert_memory_equal(back, bytes + offset, 1000 - offset);
	}
	assert_int_equal(ob_packet_read(frame, 1, back, 1000), -ERANGE);
	assert_int_equal(ob_packet_read(frame, UINT32_MAX, back, 2), -ERANGE);
	assert_int_equal(ob_packet_write(frame, 95, "XYZ", 3), 0);
	memcpy(bytes + 95, "XYZ", 3);
	frame->flags = OB_PACKET_VLAN;
	frame->vlan_tci = 77;
	copy = ob_packet_copy(pool, frame);
	assert_non_null(copy);
	ob_packet_put(frame);
	assert_int_equal(ob_packet_read(copy, 0, back, 1000), 0);
	assert_memory_equal(back, bytes, 1000);
	assert_int_equal(copy->vlan_tci, 77);
	/* Not enough packets for another one: all that were taken come back. */
	assert_null(ob_packet_from(pool, bytes, 96 * 22));
	assert_int_equal(free_count(), 21);
	ob_packet_put(copy);
	world_close();
}

static void test_trim_gives_empty_parts_back(void **state)
{
	uint8_t bytes[300], back[300];
	struct ob_packet *frame;

	fill(bytes, sizeof(bytes));
	world_open(8, 100);
	frame = ob_packet_from(pool, bytes, 300);
	assert_int_equal(ob_packet_trim(frame, 301), -EINVAL);
	assert_int_equal(ob_packet_trim(frame, 200), 0);
	assert_int_equal(frame->segments, 2);
	assert_int_equal(free_count(), 6);
	assert_int_equal(ob_packet_trim(frame, 150), 0);
	assert_int_equal(ob_packet_read(frame, 0, back, 150), 0);
	assert_memory_equal(back, bytes, 150);
	assert_int_equal(ob_packet_read(frame, 0, back, 151), -ERANGE);
	assert_non_null(ob_packet_append(frame, 50));
	assert_int_equal(frame->frame_bytes, 200);
	assert_int_equal(ob_packet_trim(frame, 0), 0);
	assert_int_equal(frame->segments, 1);
	ob_packet_put(frame);
	world_close();
}

/* ---- checksums ---- */

static uint16_t reference(const uint8_t *bytes, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
	return (uint16_t) ~(sum % 0xffff == 0 && sum != 0 ? 0xffff : sum % 0xffff);
}

/* Parts of every length, odd ones too. */
static void test_finish_csum_equals_a_sum_of_bytes_for_all_cuts(void **state)
{
	struct random random = {.state = 7};
	uint8_t bytes[400], back[400];

	world_open(64, 100);
	for (unsigned round = 0; round < 300; round++) {
		unsigned start = random_below(&random, 20), offset = 2 * random_below(&random, 10);
		struct ob_packet *frame = NULL;
		uint32_t at = 0;

		for (unsigned i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)random_below(&random, 256);
		while (at < sizeof(bytes)) {
			uint32_t wish = 1 + (uint32_t)random_below(&random, 100);
			uint32_t n = MIN(wish, (uint32_t)sizeof(bytes) - at);
			struct ob_packet *part = ob_packet_from(pool, bytes + at, n);

			assert_non_null(part);
			if (frame == NULL)
				frame = part;
			else
				assert_int_equal(ob_packet_chain(frame, part), 0);
			at += n;
		}
		frame->flags = OB_PACKET_CSUM_PARTIAL;
		frame->csum_start = (uint16_t)start;
		frame->csum_offset = (uint16_t)offset;
		assert_int_equal(ob_packet_finish_csum(frame), 0);
		assert_int_equal(frame->flags, 0);
		assert_int_equal(ob_packet_read(frame, 0, back, sizeof(back)), 0);
		assert_int_equal(net_get16(back + start + offset), reference(bytes + start, sizeof(bytes) - start));
		memcpy(bytes + start + offset, back + start + offset, 2);
		assert_memory_equal(back, bytes, sizeof(back));
		ob_packet_put(frame);
	}
	world_close();
}

static void test_finish_csum_beyond_the_frame_is_refused(void **state)
{
	struct ob_packet *frame;

	world_open(4, 100);
	frame = ob_packet_from(pool, "0123456789", 10);
	assert_int_equal(ob_packet_finish_csum(frame), 0);
	frame->flags = OB_PACKET_CSUM_PARTIAL;
	frame->csum_start = 4;
	frame->csum_offset = 5;
	assert_int_equal(ob_packet_finish_csum(frame), -EINVAL);
	frame->csum_start = UINT16_MAX;
	frame->csum_offset = UINT16_MAX;
	assert_int_equal(ob_packet_finish_csum(frame), -EINVAL);
	ob_packet_put(frame);
	world_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool_config_nonsense_is_refused),
		cmocka_unit_test(test_pool_in_a_window_uses_the_places_asked_for),
		cmocka_unit_test(test_alloc_of_all_packets_gives_each_once_and_then_none),
		cmocka_unit_test(test_packet_with_two_references_stays_until_the_second_is_back),
		cmocka_unit_test(test_packet_taken_again_is_as_new),
		cmocka_unit_test(test_put_any_by_two_threads_brings_each_packet_back_once),
		cmocka_unit_test(test_pool_that_ends_while_packets_are_out_says_so_and_stays),
		cmocka_unit_test(test_push_pull_append_respect_the_buffer),
		cmocka_unit_test(test_frame_longer_than_a_packet_is_chained_and_reads_back),
		cmocka_unit_test(test_trim_gives_empty_parts_back),
		cmocka_unit_test(test_finish_csum_equals_a_sum_of_bytes_for_all_cuts),
		cmocka_unit_test(test_finish_csum_beyond_the_frame_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
