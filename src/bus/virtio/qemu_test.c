/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio over PCI and over MMIO, on devices that somebody else wrote: QEMU's entropy source, which has one queue into
 * which it writes. Both ring layouts, all that can be switched of their features, with messages, with the line, and
 * polled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <outboard/driver.h>
#include <outboard/outboard.h>
#include <outboard/virtio.h>

#include "base/bits.h"
#include "spec/virtio.h"

#define CHAIN_MAX   4u
#define PIECE_BYTES 96u
#define WAIT_NS     (10 * OB_NS_PER_S)

/* What carries it. */
static const struct carrier {
	const char *uri, *device, *name;
	bool messages;
} pci = {"qemu:q35", "virtio-rng-pci,addr=4.0", "0000:00:04.0", true},
  mmio = {"qemu:virt", "virtio-rng-device", "virtio_mmio@a003e00", false},
  old_mmio = {"qemu:virt?global=virtio-mmio.force-legacy=true", "virtio-rng-device", "virtio_mmio@a003e00", false};
static const struct carrier *on = &pci;

/* How the next device is to be driven. */
static struct {
	unsigned kinds; /* 0: polled */
	uint64_t required;
} wish;

/* The device, while it has its driver. */
static struct rng {
	struct ob_device *dev;
	struct ob_virtio_queue *q;
	struct ob_dma buffers;
	struct ob_event event;
	enum ob_irq_kind kind;
	int vectors;
	unsigned heard;
	unsigned config_changes;
} rng;

static struct ob *ob;
static struct ob_machine *machine;
static char errors[4096];

/* ---- a driver ---- */

static void rng_heard(void *arg)
{
	rng.heard++;
	ob_virtio_queue_disarm(rng.q);
	ob_event_signal(&rng.event);
}

static void rng_config(struct ob_device *dev, void *arg)
{
	rng.config_changes++;
}

static int rng_bring_up(struct ob_device *dev)
{
	struct ob_virtio_queue_config config = {.name = "rng", .chain_max = CHAIN_MAX, .irq = wish.kinds != 0};
	int ret = ob_virtio_negotiate(dev, 0, wish.required);

	if (ret != 0)
		return ret;
	if (wish.kinds != 0) {
		rng.vectors = ob_virtio_irq_alloc(dev, 1, wish.kinds);
		if (rng.vectors < 0)
			return rng.vectors;
		ret = ob_virtio_on_config(dev, rng_config, NULL);
	}
	if (ret == 0)
		ret = ob_dma_alloc(dev, (size_t)64 * CHAIN_MAX * PIECE_BYTES, 0, &rng.buffers);
	if (ret == 0)
		ret = ob_virtio_queue_create(dev, &config, &rng.q);
	if (ret == 0 && wish.kinds != 0)
		ret = ob_virtio_queue_listen(rng.q, ob_device_cpu(dev), rng_heard, NULL);
	return ret == 0 ? ob_virtio_start(dev) : ret;
}

static void rng_take_down(struct ob_device *dev)
{
	ob_virtio_reset(dev, ob_deadline(WAIT_NS));
	ob_virtio_queue_destroy(rng.q);
	ob_virtio_on_config(dev, NULL, NULL);
	ob_virtio_irq_release(dev);
	ob_dma_free(dev, &rng.buffers);
	memset(&rng, 0, sizeof(rng));
}

static int rng_probe(struct ob_device *dev, const struct ob_match *match)
{
	int ret;

	memset(&rng, 0, sizeof(rng));
	rng.dev = dev;
	ob_event_init(&rng.event, ob_device_cpu(dev));
	ret = rng_bring_up(dev);
	if (ret != 0)
		rng_take_down(dev);
	return ret;
}

static void rng_remove(struct ob_device *dev)
{
	rng_take_down(dev);
}

static int rng_suspend(struct ob_device *dev, uint64_t deadline_ns)
{
	return ob_virtio_reset(dev, deadline_ns);
}

static int rng_resume(struct ob_device *dev, uint64_t deadline_ns)
{
	int ret = ob_virtio_renew(dev);

	return ret == 0 ? ob_virtio_start(dev) : ret;
}

static const struct ob_match rng_match[] = {OB_VIRTIO_ID(VIRTIO_ID_RNG), OB_MATCH_LAST};
static const struct ob_driver rng_driver = {
	.name = "rng",
	.match = rng_match,
	.probe = rng_probe,
	.remove = rng_remove,
	.suspend = rng_suspend,
	.resume = rng_resume,
};

/* ---- the machine ---- */

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	if (level == OB_LOG_ERROR)
		snprintf(errors + strlen(errors), sizeof(errors) - strlen(errors), "%s\n", message);
	if (getenv("TEST_LOG") != NULL)
		fprintf(stderr, "%d %s\n", (int)level, message);
}

static void open_machine(const char *properties, unsigned flags)
{
	char device[256];
	const char *args[] = {"-device", device, NULL};
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_DEBUG};
	struct ob_machine_options options = {.args = args, .flags = flags};

	errors[0] = '\0';
	snprintf(device, sizeof(device), "%s,id=rng0%s%s", on->device, properties[0] != '\0' ? "," : "", properties);
	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_driver_register(ob, &rng_driver), 0);
	assert_int_equal(ob_machine_open(ob, on->uri, &options, &machine), 0);
}

static void close_machine(void)
{
	ob_machine_close(machine);
	ob_destroy(ob);
	assert_null(rng.dev);
}

/* ---- requests, in a task ---- */

static unsigned requests, pieces;

static uint8_t *buffer_of(unsigned request, unsigned piece)
{
	return (uint8_t *)rng.buffers.base + ((size_t)request * CHAIN_MAX + piece) * PIECE_BYTES;
}

static void add_request(unsigned request)
{
	struct ob_dma_piece list[CHAIN_MAX];

	for (unsigned i = 0; i < pieces; i++) {
		uint8_t *at = buffer_of(request, i);

		list[i].iova.addr = rng.buffers.iova.addr + (uint64_t)(at - (uint8_t *)rng.buffers.base);
		list[i].len_bytes = PIECE_BYTES;
	}
	assert_int_equal(ob_virtio_queue_add(rng.q, list, 0, pieces, 100 + request), 0);
}

/* The bytes that it says it wrote are no zeroes, and the others still are. */
static void check_request(unsigned request, uint32_t len_bytes)
{
	unsigned zeroes = 0;

	assert_in_range(len_bytes, 1, pieces * PIECE_BYTES);
	for (unsigned i = 0; i < pieces * PIECE_BYTES; i++) {
		uint8_t byte = buffer_of(request, i / PIECE_BYTES)[i % PIECE_BYTES];

		if (i >= len_bytes)
			assert_int_equal(byte, 0);
		else
			zeroes += byte == 0;
	}
	/* 96 random bytes have more than 20 zeroes about never. */
	assert_true(zeroes < 20 * pieces);
}

static void wait_used(void)
{
	if (wish.kinds == 0)
		ob_task_yield();
	else if (!ob_virtio_queue_arm(rng.q))
		assert_int_equal(ob_event_wait(&rng.event, ob_deadline(WAIT_NS)), 0);
}

static void round_task(void *arg)
{
	uint64_t deadline = ob_deadline(WAIT_NS), seen = 0;
	struct ob_virtio_used used[8];

	ob_dma_zero(rng.buffers.base, rng.buffers.len_bytes);
	/* Armed before there is anything to tell: however slow we are, the first answer is an interrupt. */
	if (wish.kinds != 0)
		assert_false(ob_virtio_queue_arm(rng.q));
	for (unsigned i = 0; i < requests; i++)
		add_request(i);
	ob_virtio_queue_kick(rng.q);
	if (wish.kinds != 0)
		assert_int_equal(ob_event_wait(&rng.event, deadline), 0);
	while (ob_virtio_queue_in_flight(rng.q) > 0) {
		int n = ob_virtio_queue_take(rng.q, used, ARRAY_SIZE(used));

		assert_in_range(n, 0, ARRAY_SIZE(used));
		assert_true(ob_now_ns() < deadline);
		for (int i = 0; i < n; i++) {
			assert_in_range(used[i].token, 100, 100 + requests - 1);
			assert_false((seen >> (used[i].token - 100)) & 1);
			seen |= 1ull << (used[i].token - 100);
			check_request(used[i].token - 100, used[i].len_bytes);
		}
		if (n == 0)
			wait_used();
	}
	assert_int_equal(seen, (1ull << requests) - 1);
}

static void run_task(void (*fn)(void *arg))
{
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(ob_cpu_get(ob, 0), "test", fn, NULL, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(2 * WAIT_NS)), 0);
}

/* Enough of all shapes for several rounds of the ring. */
static void run_rounds(void)
{
	for (unsigned i = 0; i < 40; i++) {
		pieces = i % CHAIN_MAX + 1;
		requests = 1 + i % ob_virtio_queue_depth(rng.q, pieces);
		run_task(round_task);
	}
}

/* ---- tests ---- */

static void test_rings_with_all_features_work(void **state)
{
	static const char *const layouts[] = {"packed=off", "packed=on"};
	static const char *const features[] = {"", ",event_idx=off", ",indirect_desc=off",
					       ",event_idx=off,indirect_desc=off"};
	static const struct {
		unsigned kinds;
		const char *properties;
		enum ob_irq_kind want;
	} ways[] = {{0, "", 0}, {OB_IRQ_ANY, "", OB_IRQ_MSIX}, {OB_IRQ_ANY, ",vectors=0", OB_IRQ_INTX}};

	for (unsigned l = 0; l < ARRAY_SIZE(layouts); l++) {
		for (unsigned f = 0; f < ARRAY_SIZE(features); f++) {
			/* Each way to be told with one of the feature sets, and all of them with each layout. */
			for (unsigned w = 0; w < ARRAY_SIZE(ways); w++) {
				char properties[128];

				if ((f != 0 && w != (f + l) % ARRAY_SIZE(ways)) || (!on->messages && w == 2))
					continue;
				wish.kinds = ways[w].kinds;
				snprintf(properties, sizeof(properties), "%s%s%s", layouts[l], features[f],
					 ways[w].properties);
				open_machine(properties, 0);
				assert_non_null(rng.dev);
				assert_int_equal(ob_virtio_has(rng.dev, VIRTIO_F_RING_PACKED), l == 1);
				assert_int_equal(ob_virtio_has(rng.dev, VIRTIO_F_EVENT_IDX), (f & 1) == 0);
				assert_int_equal(ob_virtio_has(rng.dev, VIRTIO_F_INDIRECT_DESC), f < 2);
				run_rounds();
				assert_int_equal(rng.heard > 0, w != 0);
				assert_string_equal(errors, "");
				close_machine();
			}
		}
	}
}

static struct ob_device *carried(void)
{
	char name[64];

	snprintf(name, sizeof(name), "virtio@%s", on->name);
	return ob_device_find(machine, name);
}

static void test_one_message_for_all_works(void **state)
{
	wish.kinds = OB_IRQ_MSIX;
	open_machine("vectors=1", 0);
	assert_non_null(rng.dev);
	assert_int_equal(rng.vectors, 1);
	run_rounds();
	assert_true(rng.heard > 0);
	assert_string_equal(errors, "");
	close_machine();
}

static void test_device_is_named_after_what_carries_it(void **state)
{
	wish.kinds = 0;
	open_machine("", 0);
	assert_ptr_equal(rng.dev, carried());
	ob_device_put(rng.dev);
	assert_string_equal(ob_device_bus_name(rng.dev), "virtio");
	assert_string_equal(ob_device_name(ob_device_parent(rng.dev)), on->name);
	assert_int_equal(ob_virtio_id(rng.dev), VIRTIO_ID_RNG);
	assert_int_equal(ob_virtio_id(ob_device_parent(rng.dev)), 0);
	close_machine();
}

static void test_transitional_device_is_used_the_modern_way(void **state)
{
	wish.kinds = OB_IRQ_ANY;
	open_machine("disable-legacy=off", 0);
	assert_non_null(rng.dev);
	run_rounds();
	assert_string_equal(errors, "");
	close_machine();
}

static void test_legacy_device_is_refused_with_a_reason(void **state)
{
	struct ob_device *dev;

	wish.kinds = 0;
	open_machine("disable-legacy=off,disable-modern=on", 0);
	assert_null(rng.dev);
	dev = ob_device_find(machine, "0000:00:04.0");
	assert_non_null(dev);
	assert_int_equal(ob_device_error(dev), -EOPNOTSUPP);
	ob_device_put(dev);
	assert_non_null(strstr(errors, "0000:00:04.0: it has the legacy interface only"));
	close_machine();
}

static void test_missing_feature_is_named(void **state)
{
	struct ob_device *dev;

	wish.kinds = 0;
	wish.required = BIT64(5) | BIT64(63);
	open_machine("", 0);
	wish.required = 0;
	assert_null(rng.dev);
	dev = carried();
	assert_non_null(dev);
	assert_int_equal(ob_device_error(dev), -EOPNOTSUPP);
	assert_non_null(strstr(errors, "it lacks features 5 and 63"));
	/* Without the wish it goes. */
	assert_int_equal(ob_device_bind(dev), 0);
	run_rounds();
	ob_device_put(dev);
	close_machine();
}

static void reset_task(void *arg)
{
	pieces = 2;
	requests = 2;
	round_task(NULL);
	/* With something in the ring that the device does not get any more. */
	add_request(0);
	assert_int_equal(ob_virtio_reset(rng.dev, ob_deadline(WAIT_NS)), 0);
	assert_int_equal(ob_virtio_queue_in_flight(rng.q), 1);
	assert_int_equal(ob_virtio_renew(rng.dev), 0);
	assert_int_equal(ob_virtio_queue_in_flight(rng.q), 0);
	assert_int_equal(ob_virtio_start(rng.dev), 0);
	for (unsigned i = 0; i < 20; i++)
		round_task(NULL);
}

static void test_device_works_after_a_reset(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		wish.kinds = i < 2 ? OB_IRQ_ANY : 0;
		open_machine(i % 2 == 0 ? "packed=on" : "", 0);
		run_task(reset_task);
		assert_string_equal(errors, "");
		close_machine();
	}
}

static void queue_reset_task(void *arg)
{
	pieces = 2;
	requests = 2;
	round_task(NULL);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(ob_virtio_queue_reset(rng.q, ob_deadline(WAIT_NS)), 0);
		for (unsigned n = 0; n < 12; n++)
			round_task(NULL);
	}
}

static void test_queue_works_after_its_reset(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		wish.kinds = OB_IRQ_ANY;
		open_machine(i % 2 == 0 ? "packed=on" : "", 0);
		assert_true(ob_virtio_has(rng.dev, VIRTIO_F_RING_RESET));
		run_task(queue_reset_task);
		assert_string_equal(errors, "");
		close_machine();
	}
	open_machine("queue_reset=off", 0);
	assert_int_equal(ob_virtio_queue_reset(rng.q, ob_deadline(WAIT_NS)), -EOPNOTSUPP);
	close_machine();
}

static void test_device_works_after_suspend_and_resume(void **state)
{
	struct ob_device *parent;

	wish.kinds = OB_IRQ_ANY;
	open_machine("packed=on", 0);
	parent = ob_device_get(ob_device_parent(rng.dev));
	for (unsigned i = 0; i < 3; i++) {
		run_rounds();
		assert_int_equal(ob_machine_suspend(machine, ob_deadline(WAIT_NS)), 0);
		assert_int_equal(ob_device_state(rng.dev), OB_DEVICE_SUSPENDED);
		assert_int_equal(ob_device_state(parent), OB_DEVICE_SUSPENDED);
		assert_int_equal(ob_machine_resume(machine, ob_deadline(WAIT_NS)), 0);
	}
	run_rounds();
	assert_string_equal(errors, "");
	/* Alone what carries it cannot go: it works. */
	assert_int_equal(ob_device_suspend(parent, ob_deadline(WAIT_NS)), -EBUSY);
	ob_device_put(parent);
	close_machine();
}

static void test_device_comes_and_goes_with_what_carries_it(void **state)
{
	struct ob_device *parent, *old;

	wish.kinds = OB_IRQ_ANY;
	open_machine("", OB_MACHINE_NO_BIND);
	assert_null(rng.dev);
	parent = ob_device_find(machine, on->name);
	assert_non_null(parent);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ob_device_bind(parent), 0);
		assert_non_null(rng.dev);
		old = ob_device_get(rng.dev);
		run_rounds();
		assert_int_equal(ob_device_unbind(parent), 0);
		assert_null(rng.dev);
		assert_null(carried());
		assert_int_equal(ob_device_state(old), OB_DEVICE_GONE);
		assert_false(ob_device_is_present(old));
		ob_device_put(old);
	}
	assert_int_equal(ob_device_bind(parent), 0);
	assert_int_equal(ob_device_shutdown(parent), 0);
	assert_null(rng.dev);
	ob_device_put(parent);
	assert_string_equal(errors, "");
	close_machine();
}

static void test_device_that_vanishes_takes_its_driver_along(void **state)
{
	struct ob_device *parent;
	uint64_t deadline;

	wish.kinds = OB_IRQ_ANY;
	open_machine("", 0);
	parent = ob_device_get(ob_device_parent(rng.dev));
	run_rounds();
	ob_device_mark_gone(parent, "pulled by the test");
	for (deadline = ob_deadline(WAIT_NS); rng.dev != NULL && ob_now_ns() < deadline;)
		ob_cpu_turn(ob_cpu_get(ob, 0), OB_NS_PER_MS);
	assert_null(rng.dev);
	ob_device_put(parent);
	close_machine();
}

static void test_killed_qemu_takes_the_device_along(void **state)
{
	char *reply = NULL;
	uint64_t deadline;

	wish.kinds = OB_IRQ_ANY;
	open_machine("", 0);
	run_rounds();
	ob_machine_command(machine, "{\"execute\":\"quit\"}", &reply, ob_deadline(WAIT_NS));
	ob_free(reply);
	for (deadline = ob_deadline(WAIT_NS); ob_device_get_online(rng.dev) && ob_now_ns() < deadline;) {
		ob_device_put_online(rng.dev);
		ob_cpu_turn(ob_cpu_get(ob, 0), OB_NS_PER_MS);
	}
	assert_true(ob_now_ns() < deadline);
	close_machine();
}

/* ---- MMIO alone ---- */

static void test_legacy_mmio_is_refused_with_a_reason(void **state)
{
	struct ob_device *dev;

	wish.kinds = 0;
	on = &old_mmio;
	open_machine("", 0);
	on = &mmio;
	assert_null(rng.dev);
	dev = ob_device_find(machine, on->name);
	assert_int_equal(ob_device_error(dev), -EOPNOTSUPP);
	ob_device_put(dev);
	assert_non_null(strstr(errors, "virtio_mmio@a003e00: it has the legacy interface only (version 1, not 2)"));
	close_machine();
}

/* Of its 32 places 31 are empty, and nothing is said of them. */
static void test_empty_places_are_passed_over(void **state)
{
	struct ob_device *dev = NULL;
	unsigned empty = 0;

	wish.kinds = 0;
	open_machine("", 0);
	while ((dev = ob_device_next(machine, dev)) != NULL)
		if (strncmp(ob_device_name(dev), "virtio_mmio@", 12) == 0)
			empty += ob_device_state(dev) == OB_DEVICE_FOUND && ob_device_error(dev) == 0;
	assert_int_equal(empty, 31);
	assert_string_equal(errors, "");
	close_machine();
}

static void refused_task(void *arg)
{
	pieces = requests = 2;
	round_task(NULL);
	assert_int_equal(ob_virtio_queue_reset(rng.q, ob_deadline(WAIT_NS)), -EOPNOTSUPP);
	for (unsigned i = 0; i < 12; i++)
		round_task(NULL);
}

/* QEMU 7.2 offers it there, and has not the register: the queue goes on. */
static void test_mmio_that_resets_no_single_queue_is_told(void **state)
{
	wish.kinds = 0;
	open_machine("queue_reset=on", 0);
	assert_true(ob_virtio_has(rng.dev, VIRTIO_F_RING_RESET));
	run_task(refused_task);
	assert_string_equal(errors, "");
	close_machine();
	open_machine("queue_reset=off", 0);
	assert_false(ob_virtio_has(rng.dev, VIRTIO_F_RING_RESET));
	assert_int_equal(ob_virtio_queue_reset(rng.q, ob_deadline(WAIT_NS)), -EOPNOTSUPP);
	close_machine();
}

static int use_pci(void **state)
{
	on = &pci;
	return 0;
}

static int use_mmio(void **state)
{
	on = &mmio;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rings_with_all_features_work),
		cmocka_unit_test(test_one_message_for_all_works),
		cmocka_unit_test(test_device_is_named_after_what_carries_it),
		cmocka_unit_test(test_transitional_device_is_used_the_modern_way),
		cmocka_unit_test(test_legacy_device_is_refused_with_a_reason),
		cmocka_unit_test(test_missing_feature_is_named),
		cmocka_unit_test(test_device_works_after_a_reset),
		cmocka_unit_test(test_queue_works_after_its_reset),
		cmocka_unit_test(test_device_works_after_suspend_and_resume),
		cmocka_unit_test(test_device_comes_and_goes_with_what_carries_it),
		cmocka_unit_test(test_device_that_vanishes_takes_its_driver_along),
		cmocka_unit_test(test_killed_qemu_takes_the_device_along),
	};
	const struct CMUnitTest mmio_tests[] = {
		cmocka_unit_test(test_rings_with_all_features_work),
		cmocka_unit_test(test_device_is_named_after_what_carries_it),
		cmocka_unit_test(test_missing_feature_is_named),
		cmocka_unit_test(test_device_works_after_a_reset),
		cmocka_unit_test(test_device_works_after_suspend_and_resume),
		cmocka_unit_test(test_device_comes_and_goes_with_what_carries_it),
		cmocka_unit_test(test_device_that_vanishes_takes_its_driver_along),
		cmocka_unit_test(test_killed_qemu_takes_the_device_along),
		cmocka_unit_test(test_legacy_mmio_is_refused_with_a_reason),
		cmocka_unit_test(test_empty_places_are_passed_over),
		cmocka_unit_test(test_mmio_that_resets_no_single_queue_is_told),
	};

	return cmocka_run_group_tests_name("pci", tests, use_pci, NULL) +
	       cmocka_run_group_tests_name("mmio", mmio_tests, use_mmio, NULL);
}
