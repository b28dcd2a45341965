/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver with a modelled device that reports hashes and does not steer by them (VIRTIO 1.2 §5.1.4, §5.1.6.5.6.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/net/virtio_net/virtio_net.h"
#include "tests/context.h"

static void test_hashes_come_without_steering(void **state)
{
	const struct ob_net_channel_config config = {.poll.mode = OB_COMPLETION_POLLED};
	struct ob_net_channel *in, *out;
	struct ob_machine *machine;
	struct context context;
	struct ob_net_info info;
	struct ob_net_rss rss;
	struct ob_packet *frame;
	struct ob_net *left, *right;
	uint8_t bytes[60] = {0};

	context_open(&context, 1);
	assert_int_equal(ob_machine_open(context.ob, "model:?virtio-net=a&steering=0&virtio-net=a", NULL, &machine), 0);
	left = ob_net_find(context.ob, "net0");
	right = ob_net_find(context.ob, "net1");
	ob_net_info(left, &info);
	assert_int_equal(info.abilities & OB_NET_CAN_RSS, 0);
	assert_int_equal(info.offloads & OB_NET_RX_HASH, OB_NET_RX_HASH);
	assert_int_equal(info.rss_key_bytes, 40);
	assert_int_equal(ob_net_set_offloads(left, info.offloads_on | OB_NET_RX_HASH), 0);
	assert_int_equal(ob_net_channel_open(left, &config, &in), 0);
	assert_int_equal(ob_net_channel_open(right, &config, &out), 0);
	memset(bytes, 0xff, 6);
	net_put16(bytes + 12, ETHERNET_TYPE_IP4);
	bytes[14] = 0x45;
	net_put16(bytes + 16, 40);
	memcpy(bytes + 26, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	frame = ob_packet_from(ob_net_channel_pool(out), bytes, sizeof(bytes));
	assert_int_equal(ob_net_send(out, &frame, 1), 1);
	ob_net_kick(out);
	assert_int_equal(ob_net_wait(in, OB_NET_WAIT_RECEIVE, ob_deadline(10 * OB_NS_PER_S)), 0);
	assert_int_equal(ob_net_receive(in, &frame, 1), 1);
	ob_net_rss_default(left, 1, &rss);
	assert_int_equal(frame->flags & OB_PACKET_HASH, OB_PACKET_HASH);
	assert_int_equal(frame->hash_type, OB_HASH_IP4);
	assert_int_equal(frame->hash, ob_net_toeplitz(rss.key, rss.key_bytes, bytes + 26, 8));
	ob_packet_put(frame);
	ob_net_channel_close(in);
	ob_net_channel_close(out);
	ob_net_put(left);
	ob_net_put(right);
	ob_machine_close(machine);
	context_close(&context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_hashes_come_without_steering)};

	return cmocka_run_group_tests_name("virtio-net/hash", tests, NULL, NULL);
}
