/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See nvme_probe.h. What is looked at: the failure comes back as an errno or is survived; no coherent memory is left;
 * memory that the controller was told of is given back only when it is disabled, or was told that it is over; the next
 * try without failures works. What leaks in other ways, ASan tells.
 */
#include "tests/nvme_probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <outboard/outboard.h>

#include "core/hooks.h"
#include "drivers/block/nvme/nvme.h"

#define CALLS_MAX 500u

struct failing {
	unsigned at;            /* this call fails; 0: none */
	unsigned calls;         /* so far */
	char call[48];          /* that failed */
	unsigned leaks;         /* that core found, and said */
	unsigned checked, loud; /* frees of what the device was told of; those while it was enabled */
};

static bool call_fails(void *arg, const char *call)
{
	struct failing *f = arg;

	if (++f->calls != f->at)
		return false;
	strncpy(f->call, call, sizeof(f->call) - 1);
	return true;
}

static bool is_same(const struct ob_dma *a, const struct ob_dma *b)
{
	return a->base != NULL && a->base == b->base;
}

/* By the commands in the admin ring, newest first: is there a queue at this address? */
static bool is_of_queue(const struct nvme *n, const struct ob_dma *dma)
{
	const struct nvme_ring *r = &n->admin.ring;
	uint64_t deleted[2] = {0, 0};

	for (uint32_t i = 1; i <= r->mask && r->sq != NULL; i++) {
		const struct nvme_sqe *sqe = &r->sq[(r->sq_tail - i) & r->mask];
		uint8_t opcode = (uint8_t)ob_le32_load(&sqe->cdw0);
		uint64_t qid = BIT64(FIELD_GET(NVME_QUEUE_QID, ob_le32_load(&sqe->cdw10)) % 64);

		if (opcode == NVME_ADMIN_DELETE_SQ || opcode == NVME_ADMIN_DELETE_CQ)
			deleted[opcode == NVME_ADMIN_DELETE_CQ] |= qid;
		else if ((opcode == NVME_ADMIN_CREATE_SQ || opcode == NVME_ADMIN_CREATE_CQ) &&
			 ob_le64_load(&sqe->prp1) == dma->iova.addr)
			return (deleted[opcode == NVME_ADMIN_CREATE_CQ] & qid) == 0;
	}
	return false;
}

/* The controller was told of it, and not that it is over: rings, doorbell buffers, data of admin commands. */
static bool is_with_device(const struct nvme *n, const struct ob_dma *dma)
{
	for (unsigned i = 0; i < NVME_ADMIN_SLOTS; i++) {
		const struct nvme_admin_slot *slot = &n->admin.slots[i];

		if (slot->busy && (is_same(&slot->data, dma) || (slot->cmd != NULL && is_same(&slot->cmd->data, dma))))
			return true;
	}
	if (n->shadow_on && (is_same(&n->shadow, dma) || is_same(&n->event_index, dma)))
		return true;
	return is_same(&n->admin.ring.sq_dma, dma) || is_same(&n->admin.ring.cq_dma, dma) || is_of_queue(n, dma);
}

static void dma_freed(void *arg, struct ob_device *dev, const struct ob_dma *dma)
{
	struct failing *f = arg;
	const struct nvme *n = ob_device_driver_data(dev);

	/* Without a driver it is core that frees what the driver left, and says so. */
	if (n == NULL || !is_with_device(n, dma))
		return;
	f->checked++;
	if ((ob_mmio_read32(&n->regs, NVME_CC) & NVME_CC_EN) != 0 ||
	    (ob_mmio_read32(&n->regs, NVME_CSTS) & NVME_CSTS_RDY) != 0)
		f->loud++;
}

static void set_hooks(struct ob *ob, struct failing *f, unsigned at)
{
	struct ob_hooks hooks = {.arg = f, .fail = call_fails, .dma_freed = dma_freed};

	*f = (struct failing){.at = at, .leaks = f->leaks};
	ob_set_hooks(ob, &hooks);
}

static struct ob_device *find_nvme(struct ob_machine *machine)
{
	struct ob_device *dev = NULL;

	while ((dev = ob_device_next(machine, dev)) != NULL)
		if (ob_device_bind(dev) == 0) {
			if (strcmp(ob_device_driver_name(dev), "nvme") == 0)
				break;
		}
	assert_non_null(dev);
	assert_int_equal(ob_device_unbind(dev), 0);
	return dev;
}

static void see_leaks(void *arg, enum ob_log_level level, const char *message)
{
	unsigned *leaks = arg;

	if (strstr(message, "leaked") != NULL)
		__atomic_fetch_add(leaks, 1, __ATOMIC_RELAXED);
}

static void open_machine(const char *uri, struct failing *f, struct ob **ob, struct ob_machine **machine)
{
	struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND};
	struct ob_config config = {.log = see_leaks, .log_arg = &f->leaks};

	memset(f, 0, sizeof(*f));
	assert_int_equal(ob_create(&config, ob), 0);
	assert_int_equal(ob_machine_open(*ob, uri, &options, machine), 0);
}

static void read_one(struct ob *ob)
{
	struct ob_block *block = ob_block_find(ob, NULL);
	struct ob_block_channel *channel;
	uint8_t buffer[4096];

	assert_non_null(block);
	assert_int_equal(ob_block_channel_open(block, NULL, &channel), 0);
	assert_int_equal(ob_block_read(channel, 0, 1, buffer, NULL, ob_deadline(10 * OB_NS_PER_S)), 0);
	ob_block_channel_close(channel);
	ob_block_put(block);
}

static void expect_nothing_left(const struct ob_device *dev, const struct failing *f, unsigned at)
{
	struct ob_dma_stats stats;

	ob_dma_stats(dev, &stats);
	if (stats.coherent_bytes != 0 || f->loud != 0 || f->leaks != 0)
		fail_msg("call %u (%s) failing leaves %llu bytes, %u leaks, %u frees while enabled", at, f->call,
			 (unsigned long long)stats.coherent_bytes, f->leaks, f->loud);
}

void nvme_probe_fail_each(const char *uri)
{
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_device *dev;
	static struct failing f;
	unsigned at, failed = 0, checked = 0;

	open_machine(uri, &f, &ob, &machine);
	dev = find_nvme(machine);
	for (at = 1; at < CALLS_MAX; at++) {
		int ret;

		set_hooks(ob, &f, at);
		ret = ob_device_bind(dev);
		failed += ret != 0;
		if (ret == 0) {
			bool done = f.calls < at;

			ob_set_hooks(ob, NULL);
			read_one(ob);
			set_hooks(ob, &f, 0);
			assert_int_equal(ob_device_unbind(dev), 0);
			expect_nothing_left(dev, &f, at);
			if (done)
				break;
			continue;
		}
		checked += f.checked;
		expect_nothing_left(dev, &f, at);
		assert_null(ob_device_driver_name(dev));
		assert_null(ob_block_find(ob, NULL));
	}
	assert_true(at < CALLS_MAX);
	assert_true(failed >= 10 && checked > failed / 2);
	ob_set_hooks(ob, NULL);
	assert_int_equal(ob_device_bind(dev), 0);
	read_one(ob);
	ob_device_put(dev);
	ob_machine_close(machine);
	ob_destroy(ob);
}

void nvme_channel_fail_each(const char *uri)
{
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_device *dev;
	struct ob_block *block;
	struct ob_dma_stats before, after;
	const struct nvme *n;
	static struct failing f;
	unsigned at, failed = 0;

	open_machine(uri, &f, &ob, &machine);
	dev = find_nvme(machine);
	assert_int_equal(ob_device_bind(dev), 0);
	block = ob_block_find(ob, NULL);
	assert_non_null(block);
	n = ob_device_driver_data(dev);
	ob_dma_stats(dev, &before);
	for (at = 1; at < CALLS_MAX; at++) {
		struct ob_block_channel *channel = NULL;
		int ret;

		set_hooks(ob, &f, at);
		ret = ob_block_channel_open(block, NULL, &channel);
		ob_set_hooks(ob, NULL);
		if (ret == 0)
			ob_block_channel_close(channel);
		failed += ret != 0;
		if (f.loud != 0)
			fail_msg("call %u (%s) failing frees memory that the device has", at, f.call);
		ob_dma_stats(dev, &after);
		if (after.coherent_bytes != before.coherent_bytes)
			fail_msg("call %u (%s) failing leaves %llu bytes", at, f.call,
				 (unsigned long long)(after.coherent_bytes - before.coherent_bytes));
		assert_true(n->qids_used[0] == 0 && n->qids_used[1] == 0);
		assert_true(n->vectors_used == 1);
		read_one(ob);
		if (f.calls < at)
			break;
	}
	assert_true(at < CALLS_MAX);
	assert_true(failed >= 5);
	ob_block_put(block);
	ob_device_put(dev);
	ob_machine_close(machine);
	ob_destroy(ob);
}
