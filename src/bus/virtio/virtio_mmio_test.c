/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MMIO transport on registers that the test holds: what is a device and what is not, each step's registers, its line
 * by level and by edges, and a device that lies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/driver.h>
#include <outboard/virtio.h>

#include "base/bits.h"
#include "core/hooks.h"
#include "spec/virtio.h"
#include "tests/fake_dt.h"

#define L           FAKE_DT_LAST
#define BASE        0x3000u
#define IRQ         40u
#define QUEUE_SIZE  8u
#define FEATURES    (BIT64(VIRTIO_F_VERSION_1) | BIT64(7))
#define CONFIG_WORD 0x44332211u

/* A device with two queues, as far as its registers go. */
static struct registers {
	uint32_t magic, version, id, queue_max;
	uint64_t offered, accepted;
	uint32_t offered_half, accepted_half, status, queue, isr, generation;
	uint32_t config;
	unsigned generation_moves; /* so many reads of it give another one */
	struct {
		uint32_t size, ready, area[6];
	} queues[2];
	uint32_t notified[8];
	unsigned notified_count, reads, widths[9];
	bool gone;         /* reads all ones */
	bool stays_reset;  /* its status does not go to 0 */
	bool refuses;      /* FEATURES_OK */
	bool nonsense;     /* its status has more than 8 bits */
	bool keeps_queues; /* when it is reset */
	bool no_reset;     /* of single queues, whatever it offers */
	int reset_takes;   /* so many reads of the register say that it goes on; below 0: for ever */
	uint32_t also;     /* this comes up just before the next acknowledgement */
} r;

static void update_line(void)
{
	fake_dt_set(IRQ, r.isr != 0);
}

static uint64_t read_config(uint64_t offset, unsigned size_bytes)
{
	r.widths[size_bytes]++;
	if (offset >= 4)
		return 0;
	return r.config >> 8 * offset & (size_bytes == 4 ? UINT32_MAX : (1u << 8 * size_bytes) - 1);
}

static uint64_t read_register(uint64_t address, unsigned size_bytes)
{
	uint64_t offset = address - BASE;

	r.reads++;
	if (r.gone)
		return UINT64_MAX;
	if (offset >= VIRTIO_MMIO_CONFIG)
		return read_config(offset - VIRTIO_MMIO_CONFIG, size_bytes);
	assert_int_equal(size_bytes, 4); /* §4.2.2.2 */
	switch (offset) {
	case VIRTIO_MMIO_MAGIC:
		return r.magic;
	case VIRTIO_MMIO_VERSION:
		return r.version;
	case VIRTIO_MMIO_DEVICE_ID:
		return r.id;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return (uint32_t)(r.offered >> 32 * (r.offered_half & 1));
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return r.queue < 2 ? r.queue_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return r.queues[r.queue & 1].ready;
	case VIRTIO_MMIO_QUEUE_RESET:
		if (r.no_reset || r.reset_takes == 0)
			return 0;
		r.reset_takes -= r.reset_takes > 0;
		return 1;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return r.isr;
	case VIRTIO_MMIO_STATUS:
		return r.status;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		if (r.generation_moves > 0) {
			r.generation_moves--;
			r.generation++;
		}
		return r.generation;
	default:
		fail_msg("register %#x is not one to read", (unsigned)offset);
	}
	return 0;
}

static void acknowledge(uint32_t bits)
{
	r.isr |= r.also;
	r.also = 0;
	r.isr &= ~bits;
	update_line();
}

static void write_status(uint32_t value)
{
	if (value == 0) {
		if (!r.keeps_queues)
			memset(r.queues, 0, sizeof(r.queues));
		r.isr = 0;
		update_line();
		if (r.stays_reset)
			return;
	}
	r.status = r.refuses ? value & ~(uint32_t)VIRTIO_STATUS_FEATURES_OK : value;
	if (r.nonsense)
		r.status |= 0x100;
}

static void write_register(uint64_t address, unsigned size_bytes, uint64_t value)
{
	uint64_t offset = address - BASE;
	uint32_t v = (uint32_t)value;

	if (r.gone)
		return;
	if (offset >= VIRTIO_MMIO_CONFIG) {
		r.widths[size_bytes]++;
		r.config = v;
		return;
	}
	assert_int_equal(size_bytes, 4);
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		r.offered_half = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		r.accepted_half = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		r.accepted &= ~(0xffffffffull << 32 * (r.accepted_half & 1));
		r.accepted |= (uint64_t)v << 32 * (r.accepted_half & 1);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		r.queue = v;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
		r.queues[r.queue & 1].size = v;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		r.queues[r.queue & 1].ready = v;
		break;
	case VIRTIO_MMIO_QUEUE_RESET:
		assert_int_equal(v, 1);
		if (!r.no_reset)
			memset(&r.queues[r.queue & 1], 0, sizeof(r.queues[0]));
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		assert_true(r.notified_count < ARRAY_SIZE(r.notified));
		r.notified[r.notified_count++] = v;
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		acknowledge(v);
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(v);
		break;
	default:
		assert_in_range(offset, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_DEVICE_HIGH);
		r.queues[r.queue & 1].area[(offset - VIRTIO_MMIO_QUEUE_DESC_LOW) / 16 * 2 + (offset & 4) / 4] = v;
	}
}

/* ---- a driver for it ---- */

static struct seen {
	struct ob_device *dev;
	struct ob_virtio_queue *q[2];
	unsigned heard, config_heard;
	int failed; /* what its probe failed with */
	bool irq;
} seen;

static void heard(void *arg)
{
	seen.heard++;
}

static void config_heard(struct ob_device *dev, void *arg)
{
	seen.config_heard++;
}

static int bring_up(struct ob_device *dev)
{
	int ret = ob_virtio_negotiate(dev, BIT64(7), 0);

	if (ret == 0 && seen.irq) {
		ret = ob_virtio_irq_alloc(dev, 2, OB_IRQ_ANY);
		assert_true(ret == 1 || ret < 0);
		ret = ret < 0 ? ret : ob_virtio_on_config(dev, config_heard, NULL);
	}
	for (unsigned i = 0; ret == 0 && i < 2; i++) {
		struct ob_virtio_queue_config config = {.name = "q", .index = i, .chain_max = 2, .irq = seen.irq};

		ret = ob_virtio_queue_create(dev, &config, &seen.q[i]);
		if (ret == 0 && seen.irq)
			ret = ob_virtio_queue_listen(seen.q[i], ob_device_cpu(dev), heard, NULL);
	}
	return ret == 0 ? ob_virtio_start(dev) : ret;
}

static void take_down(struct ob_device *dev)
{
	ob_virtio_reset(dev, ob_deadline(OB_NS_PER_S));
	for (unsigned i = 0; i < 2; i++)
		ob_virtio_queue_destroy(seen.q[i]);
	ob_virtio_irq_release(dev);
	seen.dev = NULL;
}

static int probe(struct ob_device *dev, const struct ob_match *row)
{
	seen.dev = dev;
	seen.failed = bring_up(dev);
	if (seen.failed != 0)
		take_down(dev);
	return seen.failed;
}

static const struct ob_match rows[] = {OB_VIRTIO_ID(0x1234), OB_MATCH_LAST};
static const struct ob_driver driver = {.name = "thing", .match = rows, .probe = probe, .remove = take_down};
static const struct ob_driver *const drivers[] = {&driver, NULL};

static struct ob *ob;
static struct ob_machine *machine;

/* @flags: of the interrupt: 1 rising edges, 4 level */
static void begin(uint32_t flags, uint32_t len_bytes)
{
	memset(&seen, 0, sizeof(seen));
	r = (struct registers){
		.magic = VIRTIO_MMIO_MAGIC_VALUE,
		.version = 2,
		.id = 0x1234,
		.offered = FEATURES,
		.queue_max = QUEUE_SIZE,
		.config = CONFIG_WORD,
		.status = 0x4f, /* whoever had it before */
	};
	fake_dt_begin(false);
	fake_dt_gic();
	fake_dt_node("virtio@3000");
	fake_dt_text("compatible", "virtio,mmio");
	fake_dt_cells("reg", 0, BASE, 0, len_bytes, L);
	fake_dt_cells("interrupts", 0, IRQ - 32, flags, L);
	fake_dt_up();
	fake_dt_end();
	fake_dt.read = read_register;
	fake_dt.write = write_register;
}

static void open_machine(void)
{
	assert_int_equal(fake_dt_open(drivers, &ob, &machine), 0);
}

static void close_machine(void)
{
	fake_dt_close(ob, machine);
}

static void turn(void)
{
	for (unsigned i = 0; i < 20; i++)
		ob_cpu_turn(ob_cpu_get(ob, 0), 0);
}

static enum ob_device_state node_state(void)
{
	return ob_device_state(fake_dt_device(machine, "virtio@3000"));
}

/* ---- what is a device ---- */

static void test_empty_place_is_passed_over_in_silence(void **state)
{
	begin(4, 0x200);
	r.id = 0;
	r.version = 1; /* whatever it is */
	open_machine();
	assert_int_equal(node_state(), OB_DEVICE_FOUND);
	assert_false(fake_dt_logged("virtio"));
	assert_int_equal(fake_dt_count(machine), 2);
	close_machine();
}

static void test_what_is_none_is_refused_with_a_reason(void **state)
{
	static const struct {
		uint32_t magic, version, len_bytes;
		int error;
		const char *why;
	} bad[] = {
		{0x12345678, 2, 0x200, -ENODEV, "no virtio device: it begins with 12345678"},
		{VIRTIO_MMIO_MAGIC_VALUE, 1, 0x200, -EOPNOTSUPP, "it has the legacy interface only (version 1, not 2)"},
		{VIRTIO_MMIO_MAGIC_VALUE, 3, 0x200, -EOPNOTSUPP, "its interface is of an unknown version, 3"},
		{VIRTIO_MMIO_MAGIC_VALUE, 2, 0xff, -EIO, "its registers are only 255 bytes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		begin(4, bad[i].len_bytes);
		r.magic = bad[i].magic;
		r.version = bad[i].version;
		open_machine();
		assert_int_equal(node_state(), OB_DEVICE_FAILED);
		assert_int_equal(ob_device_error(fake_dt_device(machine, "virtio@3000")), bad[i].error);
		assert_true(fake_dt_logged(bad[i].why));
		assert_int_equal(fake_dt_count(machine), 2);
		close_machine();
	}
}

/* ---- the steps of §4.2.3 ---- */

static void expect_area(unsigned queue, unsigned area, uint64_t least, uint64_t *out)
{
	*out = (uint64_t)r.queues[queue].area[2 * area + 1] << 32 | r.queues[queue].area[2 * area];
	assert_in_range(*out, least, FAKE_MEMORY + FAKE_MEMORY_BYTES);
}

static void test_device_is_set_up_by_its_registers(void **state)
{
	struct ob_device *dev;

	begin(4, 0x200);
	open_machine();
	dev = seen.dev;
	assert_non_null(dev);
	assert_string_equal(ob_device_name(dev), "virtio@virtio@3000");
	assert_int_equal(r.accepted, FEATURES);
	assert_int_equal(r.status, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |
					   VIRTIO_STATUS_DRIVER_OK);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t desc, avail, used;

		assert_int_equal(r.queues[i].size, QUEUE_SIZE);
		assert_int_equal(r.queues[i].ready, 1);
		expect_area(i, 0, FAKE_MEMORY, &desc);
		expect_area(i, 1, desc + 1, &avail);
		expect_area(i, 2, avail + 1, &used);
	}
	close_machine();
	assert_int_equal(r.status, 0);
	assert_int_equal(r.queues[0].ready, 0);
}

static void kick_task(void *arg)
{
	struct ob_dma_piece piece = {.iova = {FAKE_MEMORY}, .len_bytes = 16};

	for (unsigned i = 2; i-- > 0;) {
		assert_int_equal(ob_virtio_queue_add(seen.q[i], &piece, 1, 0, 5), 0);
		ob_virtio_queue_kick(seen.q[i]);
	}
}

static void in_task(void (*fn)(void *arg))
{
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(ob_cpu_get(ob, 0), "test", fn, NULL, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(10 * OB_NS_PER_S)), 0);
}

static void test_queues_are_notified_by_their_index(void **state)
{
	begin(4, 0x200);
	open_machine();
	in_task(kick_task);
	assert_int_equal(r.notified_count, 2);
	assert_int_equal(r.notified[0], 1);
	assert_int_equal(r.notified[1], 0);
	close_machine();
}

/* ---- the reset of one queue ---- */

static void queue_reset_task(void *arg)
{
	struct ob_dma_piece piece = {.iova = {FAKE_MEMORY}, .len_bytes = 16};

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ob_virtio_queue_add(seen.q[1], &piece, 1, 0, i), 0);
	r.reset_takes = 3;
	assert_int_equal(ob_virtio_queue_reset(seen.q[1], ob_deadline(OB_NS_PER_S)), 0);
	assert_int_equal(r.reset_takes, 0);
	/* It is set up again, and empty; the other one was left alone. */
	assert_int_equal(r.queues[1].ready, 1);
	assert_int_equal(r.queues[1].size, QUEUE_SIZE);
	assert_int_equal(ob_virtio_queue_in_flight(seen.q[1]), 0);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		assert_int_equal(ob_virtio_queue_add(seen.q[1], &piece, 1, 0, i), 0);
	/* One that cannot, though it says so. */
	r.no_reset = true;
	assert_int_equal(ob_virtio_queue_reset(seen.q[0], ob_deadline(OB_NS_PER_S)), -EOPNOTSUPP);
	assert_int_equal(r.queues[0].ready, 1);
	assert_int_equal(ob_virtio_queue_add(seen.q[0], &piece, 1, 0, 1), 0);
	/* And one that never ends it. */
	r.no_reset = false;
	r.reset_takes = -1;
	assert_int_equal(ob_virtio_queue_reset(seen.q[1], ob_deadline(20 * OB_NS_PER_MS)), -ETIMEDOUT);
}

static void test_queue_is_reset_alone(void **state)
{
	begin(4, 0x200);
	r.offered |= BIT64(VIRTIO_F_RING_RESET);
	open_machine();
	assert_true(ob_virtio_has(seen.dev, VIRTIO_F_RING_RESET));
	in_task(queue_reset_task);
	close_machine();
}

/* A second half that is not of the first: read again. Each field in its own width. */
static void config_task(void *arg)
{
	uint32_t word = 0;
	uint16_t half = 0;
	uint8_t byte = 0;

	r.generation_moves = 3;
	assert_int_equal(ob_virtio_config_read(seen.dev, 0, &word, 4), 0);
	assert_int_equal(word, CONFIG_WORD);
	assert_int_equal(r.widths[4], 2);
	assert_int_equal(ob_virtio_config_read(seen.dev, 2, &half, 2), 0);
	assert_int_equal(half, 0x4433);
	assert_int_equal(ob_virtio_config_read(seen.dev, 1, &byte, 1), 0);
	assert_int_equal(byte, 0x22);
	assert_int_equal(r.widths[2], 1);
	assert_int_equal(r.widths[1], 1);
	word = 0xabcd;
	assert_int_equal(ob_virtio_config_write(seen.dev, 0, &word, 4), 0);
	assert_int_equal(r.config, 0xabcd);
	assert_int_equal(ob_virtio_config_read(seen.dev, 0xfc, &word, 4), 0);
	assert_int_equal(ob_virtio_config_read(seen.dev, 0xfe, &word, 4), -EINVAL);
	assert_int_equal(ob_virtio_config_read(seen.dev, 0x100, &byte, 1), -EINVAL);
	r.generation_moves = UINT32_MAX;
	assert_int_equal(ob_virtio_config_read(seen.dev, 0, &word, 4), -EAGAIN);
	r.generation_moves = 0;
}

static void test_configuration_is_read_as_a_whole(void **state)
{
	begin(4, 0x200);
	open_machine();
	in_task(config_task);
	close_machine();
}

/* ---- its line ---- */

static void raise_isr(uint32_t bits)
{
	r.isr |= bits;
	update_line();
	turn();
}

static void test_line_by_level_is_acknowledged(void **state)
{
	begin(4, 0x200);
	seen.irq = true;
	open_machine();
	assert_non_null(seen.dev);
	raise_isr(VIRTIO_ISR_QUEUE);
	assert_int_equal(seen.heard, 2); /* the line is for all queues */
	assert_int_equal(seen.config_heard, 0);
	assert_int_equal(r.isr, 0);
	r.also = VIRTIO_ISR_CONFIG;
	raise_isr(VIRTIO_ISR_QUEUE);
	assert_int_equal(seen.heard, 4);
	assert_int_equal(seen.config_heard, 1);
	assert_int_equal(r.isr, 0);
	close_machine();
}

/* What comes up while the other is acknowledged makes no edge: it has to be looked for. */
static void test_line_by_edges_is_taken_down(void **state)
{
	begin(1, 0x200);
	seen.irq = true;
	open_machine();
	raise_isr(VIRTIO_ISR_QUEUE);
	assert_int_equal(seen.heard, 2);
	r.also = VIRTIO_ISR_CONFIG;
	raise_isr(VIRTIO_ISR_QUEUE);
	assert_int_equal(seen.heard, 4);
	assert_int_equal(seen.config_heard, 1);
	assert_int_equal(r.isr, 0);
	raise_isr(VIRTIO_ISR_QUEUE);
	assert_int_equal(seen.heard, 6);
	close_machine();
}

/* One that says that it is somebody's, without end: the loop has one all the same. */
static void test_line_that_never_falls_is_borne(void **state)
{
	begin(1, 0x200);
	seen.irq = true;
	open_machine();
	for (unsigned i = 0; i < 10; i++) {
		r.reads = 0;
		r.isr = 0;
		update_line();
		r.gone = true; /* all ones: nothing of ours */
		fake_dt_set(IRQ, true);
		turn();
		r.gone = false;
		fake_dt_set(IRQ, false);
		assert_in_range(r.reads, 1, 3);
	}
	assert_int_equal(seen.heard, 0);
	close_machine();
}

static void test_machine_without_lines_leaves_polling(void **state)
{
	begin(4, 0x200);
	fake_dt.no_lines = true;
	seen.irq = true;
	open_machine();
	assert_null(seen.dev);
	assert_int_equal(seen.failed, -EOPNOTSUPP);
	assert_int_equal(node_state(), OB_DEVICE_BOUND);
	close_machine();
}

/* ---- a device that lies, or is not there ---- */

static void expect_failed(int error)
{
	open_machine();
	assert_null(seen.dev);
	assert_int_equal(seen.failed, error);
	close_machine();
}

static void test_device_that_lies_is_refused(void **state)
{
	begin(4, 0x200);
	r.refuses = true;
	expect_failed(-EOPNOTSUPP);
	begin(4, 0x200);
	r.offered = BIT64(7);
	expect_failed(-EOPNOTSUPP);
	begin(4, 0x200);
	r.queue_max = 0;
	expect_failed(-ENOENT);
	begin(4, 0x200);
	r.nonsense = true;
	expect_failed(-EIO);
}

static void reset_task(void *arg)
{
	r.stays_reset = true;
	assert_int_equal(ob_virtio_reset(seen.dev, ob_deadline(5 * OB_NS_PER_MS)), -ETIMEDOUT);
	r.stays_reset = false;
	assert_int_equal(ob_virtio_reset(seen.dev, ob_deadline(5 * OB_NS_PER_MS)), 0);
	/* A queue that is still there was not reset. */
	r.keeps_queues = true;
	assert_int_equal(ob_virtio_renew(seen.dev), 0);
	assert_int_equal(ob_virtio_renew(seen.dev), -EBUSY);
	r.keeps_queues = false;
	r.queue_max = QUEUE_SIZE / 2;
	assert_int_equal(ob_virtio_renew(seen.dev), -EOPNOTSUPP);
	r.queue_max = QUEUE_SIZE;
	assert_int_equal(ob_virtio_renew(seen.dev), 0);
	assert_int_equal(ob_virtio_start(seen.dev), 0);
}

static void test_reset_is_waited_for_and_what_it_left_is_looked_at(void **state)
{
	begin(4, 0x200);
	open_machine();
	in_task(reset_task);
	assert_int_equal(r.queues[1].ready, 1);
	close_machine();
}

static void test_device_that_vanishes_is_marked_gone(void **state)
{
	struct ob_device *dev;

	begin(4, 0x200);
	open_machine();
	dev = ob_device_get(seen.dev);
	assert_true(ob_device_is_present(dev));
	r.id = 0; /* taken out */
	assert_false(ob_device_is_present(dev));
	r.gone = true;
	assert_false(ob_device_is_present(dev));
	ob_virtio_needs_reset(dev);
	for (unsigned i = 0; i < 1000 && seen.dev != NULL; i++)
		turn();
	assert_null(seen.dev);
	ob_device_put(dev);
	close_machine();
	assert_true(fake_dt_logged("virtio@3000: gone: its status makes no sense"));
}

/* ---- each call that can fail, failing ---- */

static struct {
	unsigned calls, fail_at;
	char name[48];
} fault;

static bool fail_one(void *arg, const char *call)
{
	if (++fault.calls != fault.fail_at)
		return false;
	snprintf(fault.name, sizeof(fault.name), "%s", call);
	return true;
}

/* From the node to DRIVER_OK: whatever fails, the device is quiet, and nothing is left of it. */
static void test_bring_up_with_each_call_failing(void **state)
{
	static const struct ob_hooks hooks = {.fail = fail_one};
	struct ob_device *node;
	unsigned failed = 0;

	for (fault.fail_at = 1;; fault.fail_at++) {
		begin(1, 0x200);
		seen.irq = true;
		r.status = 0;
		fault.calls = 0;
		fault.name[0] = '\0';
		assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
		assert_int_equal(ob_driver_register(ob, &driver), 0);
		node = fake_dt_device(machine, "virtio@3000");
		ob_set_hooks(ob, &hooks);
		ob_device_bind(node);
		ob_set_hooks(ob, NULL);
		if (fault.name[0] == '\0')
			break;
		failed++;
		if (seen.dev != NULL)
			fail_msg("%s failed, and it works all the same", fault.name);
		assert_true((r.status & VIRTIO_STATUS_DRIVER_OK) == 0);
		/* And then it works. */
		if (ob_device_state(node) == OB_DEVICE_BOUND)
			assert_int_equal(ob_device_unbind(node), 0);
		assert_int_equal(ob_device_bind(node), 0);
		assert_non_null(seen.dev);
		close_machine();
	}
	assert_non_null(seen.dev);
	close_machine();
	assert_true(failed > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_place_is_passed_over_in_silence),
		cmocka_unit_test(test_what_is_none_is_refused_with_a_reason),
		cmocka_unit_test(test_device_is_set_up_by_its_registers),
		cmocka_unit_test(test_queues_are_notified_by_their_index),
		cmocka_unit_test(test_queue_is_reset_alone),
		cmocka_unit_test(test_configuration_is_read_as_a_whole),
		cmocka_unit_test(test_line_by_level_is_acknowledged),
		cmocka_unit_test(test_line_by_edges_is_taken_down),
		cmocka_unit_test(test_line_that_never_falls_is_borne),
		cmocka_unit_test(test_machine_without_lines_leaves_polling),
		cmocka_unit_test(test_device_that_lies_is_refused),
		cmocka_unit_test(test_reset_is_waited_for_and_what_it_left_is_looked_at),
		cmocka_unit_test(test_device_that_vanishes_is_marked_gone),
		cmocka_unit_test(test_bring_up_with_each_call_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
