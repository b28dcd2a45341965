/* SPDX-License-Identifier: BSD-2-Clause */
/* The NVMe controller in the world's machine: the native machine's model, a small disk, and what befalls its commands. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "model/block/nvme/nvme_model.h"
#include "sim/fault.h"
#include "sim/model.h"
#include "sim/view.h"

#define DISK_BYTES (64u << 10)

/* ---- how long a command takes, and what befalls it: they end in any order ---- */

static bool befalls(const struct nvme_model_command *command, unsigned one_in)
{
	return command->sqid != 0 && fault_strikes(one_in);
}

static uint64_t command_key(const struct nvme_model_command *command)
{
	return (uint64_t)command->sqid << 48 | (uint64_t)command->cid << 32 | command->opcode;
}

/* Called for each command, once, when it was fetched. */
static uint64_t command_delay(void *arg, const struct nvme_model_command *command)
{
	view_command(arg, command_key(command), command->lba);
	if (befalls(command, W.config.hang_one_in))
		return MODEL_NEVER;
	if (befalls(command, W.config.slow_one_in))
		return OB_NS_PER_US << random_below(&W.random_fault, 15);
	if (random_one_in(&W.random_fault, 4))
		return 0;
	return 1 + random_below(&W.random_fault, command->sqid == 0 ? 5 * OB_NS_PER_US : W.config.latency_max_ns);
}

static uint16_t command_failure(void *arg, const struct nvme_model_command *command)
{
	static const uint16_t statuses[] = {NVME_SC_INTERNAL_ERROR, NVME_SC_DATA_TRANSFER_ERROR,
					    NVME_SC_NAMESPACE_NOT_READY};

	if (!befalls(command, W.config.fail_one_in))
		return 0;
	return statuses[random_below(&W.random_fault, ARRAY_SIZE(statuses))];
}

/* One of its fields is what it cannot be, and the right one never comes: the driver must not believe it. */
static void command_lie(void *arg, const struct nvme_model_command *command, struct nvme_cqe *cqe)
{
	view_completion(arg, command_key(command), ob_le16_to_cpu(cqe->status) >> 1);
	if (!befalls(command, W.config.completion_bad_one_in))
		return;
	switch (random_below(&W.random_fault, 4)) {
	case 0:
		cqe->sqid = ob_cpu_to_le16((uint16_t)(command->sqid + 1 + random_below(&W.random_fault, 100)));
		break;
	case 1:
		cqe->sqhd = ob_cpu_to_le16((uint16_t)(0x8000 + random_below(&W.random_fault, 0x8000)));
		break;
	case 2: /* an earlier life of the same tag */
		cqe->cid = ob_cpu_to_le16(command->cid ^ 0x8000);
		break;
	default:
		cqe->cid = ob_cpu_to_le16((uint16_t)(command->cid | 0x1f));
		break;
	}
}

static const struct nvme_model_hooks hooks = {
	.delay_ns = command_delay,
	.fail = command_failure,
	.completion = command_lie,
};

/* ---- the type ---- */

static int nvme_create(struct sim_device *dev, struct model_pci_bus *bus, uint8_t devfn)
{
	struct nvme_model_hooks own_hooks = hooks;
	struct nvme_model_config c;
	struct nvme_model *nvme;
	struct backing *disk;
	int ret;

	nvme_model_config_default(&c);
	c.queue_pairs_max = (uint16_t)W.config.queues;
	c.queue_entries_max = 64;
	c.msix_vectors = W.config.pin_interrupts ? 0 : (uint16_t)(W.config.queues + 1);
	c.mdts = 2;
	c.shadow_doorbells = W.config.shadow_doorbells;
	c.namespaces_max = 4;
	ret = nvme_model_create(&dev->host, &c, &nvme);
	if (ret != 0)
		return ret;
	dev->model = nvme;
	own_hooks.arg = dev;
	nvme_model_set_hooks(nvme, &own_hooks);
	ret = nvme_model_function_init(nvme, &dev->pci, bus, devfn);
	if (ret == 0)
		ret = backing_plain_create(&dev->host, DISK_BYTES, &disk);
	return ret == 0 ? nvme_model_namespace_add(nvme, 1, disk, 9, true, false) : ret;
}

static void nvme_destroy(struct sim_device *dev)
{
	nvme_model_destroy(dev->model);
}

static bool nvme_run(struct sim_device *dev)
{
	return nvme_model_run(dev->model, 1);
}

static void nvme_event(struct sim_device *dev)
{
	nvme_model_event(dev->model);
}

static const char *nvme_holds(struct sim_device *dev, uint64_t iova, uint64_t len_bytes)
{
	return nvme_model_holds(dev->model, iova, len_bytes);
}

/* ---- its own view ---- */

static void nvme_describe(struct sim_device *dev, char *text, size_t size)
{
	nvme_model_describe(dev->model, text, size);
}

static bool nvme_register_name(struct sim_device *dev, unsigned bar, uint64_t offset, char *text, size_t size)
{
	return bar == NVME_PCI_BAR && nvme_model_register_name(dev->model, offset, text, size);
}

static bool nvme_memory_name(struct sim_device *dev, uint64_t iova, char *text, size_t size)
{
	return nvme_model_memory_name(dev->model, iova, text, size);
}

static void nvme_command_text(struct sim_device *dev, bool completed, uint64_t a, uint64_t b, char *text, size_t size)
{
	unsigned sqid = (unsigned)(a >> 48), cid = (unsigned)(a >> 32) & 0xffff;
	const char *name = nvme_model_command_name(sqid, (uint8_t)a);

	if (completed)
		snprintf(text, size, "completes SQ%u cid %#x, %s: status %#llx", sqid, cid, name,
			 (unsigned long long)b);
	else if (sqid == 0)
		snprintf(text, size, "fetches SQ0 cid %#x, %s", cid, name);
	else
		snprintf(text, size, "fetches SQ%u cid %#x, %s of block %llu", sqid, cid, name, (unsigned long long)b);
}

static unsigned nvme_state(struct sim_device *dev)
{
	return nvme_model_state(dev->model);
}

static_assert(NVME_MODEL_STATES <= SIM_DEVICE_STATES, "states");

const struct sim_device_type sim_nvme = {
	.name = "nvme",
	.help = "an NVMe 1.4 controller with one namespace of 64 KiB",
	.create = nvme_create,
	.destroy = nvme_destroy,
	.run = nvme_run,
	.event = nvme_event,
	.holds = nvme_holds,
	.describe = nvme_describe,
	.register_name = nvme_register_name,
	.memory_name = nvme_memory_name,
	.command_text = nvme_command_text,
	.state = nvme_state,
	.state_name = nvme_model_state_name,
};
