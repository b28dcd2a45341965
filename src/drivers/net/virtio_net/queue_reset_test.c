/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queues of a working interface, reset one by one and used again (VIRTIO 1.2 §2.6.1), on the model and on QEMU's
 * device. The driver does not do so itself: the test stands in for it, between two frames.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/net/virtio_net/virtio_net.h"
#include "tests/net_bed.h"

#define WAIT_NS (20 * OB_NS_PER_S)

static struct net_bed bed;

static int teardown(void **state)
{
	net_bed_close(&bed);
	return 0;
}

static void give_back(void *arg, uint32_t token)
{
	struct vnet_pair *p = arg;

	ob_packet_pool_push_index(p->pool, token);
}

/* Buffers are ours again once the device has let go of the queue; nobody else is at it meanwhile. */
static void reset_receive(void *arg)
{
	struct vnet_pair *p = arg;

	assert_true(p->rx_posted > 0);
	ob_virtio_queue_drop(p->rx, give_back, p);
	p->rx_posted = 0;
	assert_int_equal(ob_virtio_queue_reset(p->rx, ob_deadline(WAIT_NS)), 0);
	vnet_refill(p);
	if (ob_net_channel_mode(p->channel) != OB_COMPLETION_POLLED)
		assert_false(ob_virtio_queue_arm(p->rx));
}

static void reset_send(void *arg)
{
	struct vnet_pair *p = arg;

	assert_int_equal(p->tx_posted, 0);
	assert_int_equal(ob_virtio_queue_reset(p->tx, ob_deadline(WAIT_NS)), 0);
}

static void in_task(void (*fn)(void *arg))
{
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(ob_cpu_get(bed.ob, 0), "test", fn, bed.channel->driver_data, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(WAIT_NS)), 0);
}

/* Out, and in again: by the model's loop, or by ours. */
static void round_trip(uint32_t number)
{
	uint8_t frame[1514];
	struct ob_net_info info;
	size_t len_bytes = 64 + number * 97 % 1400;

	ob_net_info(bed.net, &info);
	net_bed_fill(frame, len_bytes, number, info.mac);
	net_bed_send(&bed, frame, len_bytes);
	if (bed.wire > 0) {
		assert_int_equal(net_bed_get(&bed, frame, sizeof(frame), WAIT_NS), len_bytes);
		net_bed_put(&bed, frame, len_bytes);
	}
	assert_true(net_bed_receive(&bed, 1, WAIT_NS));
	assert_int_equal(net_bed_read(&bed, 0, frame, sizeof(frame)), len_bytes);
	net_bed_check(frame, len_bytes, number);
	net_bed_clear(&bed);
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_SENT, ob_deadline(WAIT_NS)), 0);
	ob_net_reap(bed.channel);
}

static void reset_and_use(enum ob_completion_mode mode)
{
	uint32_t number = 0;

	net_bed_channel(&bed, mode, true);
	assert_true(vnet_has(ob_net_driver_data(bed.net), VIRTIO_F_RING_RESET));
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned n = 0; n < 40; n++)
			round_trip(number++);
		in_task(i % 2 == 0 ? reset_receive : reset_send);
	}
	for (unsigned n = 0; n < 300; n++)
		round_trip(number++);
	assert_int_equal(net_bed_stats(&bed).broken + net_bed_stats(&bed).resets, 0);
}

static void test_queues_of_the_model_work_after_their_reset(void **state)
{
	static const char *const rings[] = {"", "&packed", "&packed&in-order", "&in-order&event-index=0"};

	for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
		char uri[96];

		memset(&bed, 0, sizeof(bed));
		snprintf(uri, sizeof(uri), "model:?virtio-net&queue-reset%s", rings[i]);
		assert_int_equal(net_bed_try_open(&bed, uri, 1), 0);
		reset_and_use(i % 2 == 0 ? OB_COMPLETION_INTERRUPT : OB_COMPLETION_HYBRID);
		teardown(NULL);
	}
}

static void test_queues_of_qemu_work_after_their_reset(void **state)
{
	static const char *const rings[] = {",queue_reset=on", ",queue_reset=on,packed=on"};

	for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
		net_bed_open_qemu(&bed, rings[i], 1);
		reset_and_use(i % 2 == 0 ? OB_COMPLETION_INTERRUPT : OB_COMPLETION_POLLED);
		teardown(NULL);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_queues_of_the_model_work_after_their_reset, teardown),
		cmocka_unit_test_teardown(test_queues_of_qemu_work_after_their_reset, teardown),
	};

	return cmocka_run_group_tests_name("virtio-net/queue-reset", tests, NULL, NULL);
}
