/* SPDX-License-Identifier: BSD-2-Clause */
/* The NVMe controller in the world's machine: the native machine's model, a small disk, and what befalls its commands. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "model/block/nvme/nvme_model.h"
#include "sim/machine/disk.h"
#include "sim/view/view.h"

#define MEMORY_BUFFER_BYTES (12u << 10) /* three rings */
#define LBA_SHIFT           9u

/* What the device adds to the model: what it pretends of being ready. */
struct nvme_device {
	struct nvme_model *nvme;
	uint32_t cc;
	bool never_ready, never_idle;
};

static struct nvme_device *of(struct sim_device *dev)
{
	return dev->model;
}

/* ---- what a driver must not say ---- */

/* Statuses that say that the command itself made no sense. */
static const struct {
	uint16_t status;
	const char *text;
} refusals[] = {
	{NVME_SC_INVALID_OPCODE, "there is no such command"},
	{NVME_SC_INVALID_FIELD, "a field cannot be so"},
	{NVME_SC_CID_CONFLICT, "its id is another's"},
	{NVME_SC_INVALID_NAMESPACE_OR_FORMAT, "there is no such namespace"},
	{NVME_SC_COMMAND_SEQUENCE_ERROR, "it does not come in order"},
	{NVME_SC_SGL_INVALID_SEGMENT, "an SGL segment cannot be so"},
	{NVME_SC_SGL_INVALID_COUNT, "the SGL has too many descriptors"},
	{NVME_SC_SGL_INVALID_DATA_LENGTH, "the SGL's length does not fit"},
	{NVME_SC_SGL_INVALID_TYPE, "an SGL descriptor has no known type"},
	{NVME_SC_INVALID_PRP_OFFSET, "a PRP entry points into a page"},
	{NVME_SC_LBA_OUT_OF_RANGE, "its blocks are beyond the namespace"},
	{NVME_SC_INVALID_CQ, "there is no such completion queue"},
	{NVME_SC_INVALID_QID, "there is no such queue, or there is one"},
	{NVME_SC_INVALID_QUEUE_SIZE, "the queue cannot have that size"},
	{NVME_SC_ABORT_LIMIT_EXCEEDED, "there are too many aborts"},
	{NVME_SC_AER_LIMIT_EXCEEDED, "there are too many event requests"},
	{NVME_SC_INVALID_INTERRUPT_VECTOR, "it has no such interrupt vector"},
	{NVME_SC_INVALID_LOG_PAGE, "there is no such log page"},
	{NVME_SC_INVALID_QUEUE_DELETION, "a submission queue still uses it"},
};

static void check_refusal(const struct nvme_model_command *command, const struct nvme_cqe *cqe)
{
	uint16_t status = NVME_CQE_STATUS(ob_le16_to_cpu(cqe->status));
	bool excused = sim_disk_refusal_is_excused();

	for (size_t i = 0; status != 0 && !excused && i < ARRAY_SIZE(refusals); i++) {
		if (refusals[i].status != status)
			continue;
		report_begin(
			"device-refused",
			"the device refuses command %02xh of queue %u, id %#x: %s (status %#x); block %llu, count %u",
			command->opcode, command->sqid, command->cid, refusals[i].text, status,
			(unsigned long long)command->lba, command->block_count);
		report_end();
	}
}

/* ---- what befalls a command ---- */

static uint64_t command_key(const struct nvme_model_command *command)
{
	return (uint64_t)command->sqid << 48 | (uint64_t)command->cid << 32 | command->opcode;
}

/* Called for each command, once, when it was fetched. */
static uint64_t command_delay(void *arg, const struct nvme_model_command *command)
{
	view_command(arg, command_key(command), command->lba);
	return sim_disk_delay_ns(command->sqid != 0);
}

static uint16_t command_failure(void *arg, const struct nvme_model_command *command)
{
	static const uint16_t statuses[] = {NVME_SC_INTERNAL_ERROR, NVME_SC_DATA_TRANSFER_ERROR,
					    NVME_SC_NAMESPACE_NOT_READY};
	const struct fault_rule *r = sim_disk_failure(command->sqid != 0);

	if (r == NULL)
		return 0;
	return r->has_value ? (uint16_t)r->value : statuses[fault_draw(ARRAY_SIZE(statuses))];
}

/* One of its fields is what it cannot be, and the right one never comes: the driver must not believe it. */
static void completion_impossible(const struct nvme_model_command *command, struct nvme_cqe *cqe)
{
	switch (fault_draw(4)) {
	case 0:
		cqe->sqid = ob_cpu_to_le16((uint16_t)(command->sqid + 1 + fault_draw(100)));
		break;
	case 1:
		cqe->sqhd = ob_cpu_to_le16((uint16_t)(0x8000 + fault_draw(0x8000)));
		break;
	case 2: /* an earlier life of the same tag */
		cqe->cid = ob_cpu_to_le16(command->cid ^ 0x8000);
		break;
	default:
		cqe->cid = ob_cpu_to_le16((uint16_t)(command->cid | 0x1f));
		break;
	}
}

/*
 * Anything in any field. Who reads another command's number takes that one for done: what the device still does for it
 * is then no mistake of the driver's.
 */
static void completion_garbage(const struct fault_rule *r, struct nvme_cqe *cqe)
{
	uint8_t *bytes = (uint8_t *)cqe;
	unsigned offset = r->has_offset ? (unsigned)r->offset : (unsigned)fault_draw(sizeof(*cqe));
	unsigned len_bytes = r->has_offset ? r->len_bytes : 1u + (unsigned)fault_draw(sizeof(*cqe) - offset);
	uint64_t value = r->has_value ? r->value : random_next(&W.random_fault);

	for (unsigned i = 0; i < len_bytes && i < sizeof(value); i++)
		bytes[offset + i] = (uint8_t)(value >> 8 * i);
	W.fault_excuses |= FAULT_EXCUSE_NOTES | FAULT_EXCUSE_DMA;
}

static void completion_change(void *arg, const struct nvme_model_command *command, struct nvme_cqe *cqe)
{
	const struct fault_rule *r;

	view_completion(arg, command_key(command), ob_le16_to_cpu(cqe->status) >> 1);
	check_refusal(command, cqe);
	if (OB_LIKELY(W.fault_on == 0))
		return;
	if (command->sqid != 0 && fault_strike(SIM_FAULT_COMPLETION_BAD) != NULL)
		completion_impossible(command, cqe);
	r = fault_strike(SIM_FAULT_COMPLETION_FIELD);
	if (r != NULL)
		completion_garbage(r, cqe);
}

/* Where drivers look: identify data begins with what matters, and has more of it behind byte 256 and 512. */
static unsigned data_offset(uint32_t len_bytes)
{
	static const uint16_t starts[] = {0, 72, 256, 512};
	uint64_t at = fault_draw(4) == 0 ? fault_draw(len_bytes) : starts[fault_draw(4)] + fault_draw(64);

	return (unsigned)(at % len_bytes);
}

static void data_change(void *arg, void *data, uint32_t len_bytes)
{
	const struct fault_rule *r = fault_strike(SIM_FAULT_DATA);
	uint8_t *bytes = data;
	uint32_t offset, count;

	if (r == NULL || len_bytes == 0)
		return;
	W.fault_excuses |= FAULT_EXCUSE_NOTES;
	if (r->has_offset) {
		if (r->offset < len_bytes)
			bytes[r->offset] = (uint8_t)r->value;
		return;
	}
	if (fault_draw(8) == 0) {
		memset(bytes, fault_draw(2) == 0 ? 0 : 0xff, len_bytes);
		return;
	}
	offset = data_offset(len_bytes);
	count = MIN(len_bytes - offset, 1u << fault_draw(4));
	for (uint32_t i = 0; i < count; i++)
		bytes[offset + i] = (uint8_t)random_next(&W.random_fault);
}

static const struct nvme_model_hooks hooks = {
	.delay_ns = command_delay,
	.fail = command_failure,
	.completion = completion_change,
	.data = data_change,
};

/* ---- registers: what it pretends of being ready ---- */

static const struct sim_register registers[] = {
	{"CAP", NVME_CAP, 8, true},      {"VS", NVME_VS, 4, true},
	{"INTMS", NVME_INTMS, 4, false}, {"INTMC", NVME_INTMC, 4, false},
	{"CC", NVME_CC, 4, false},       {"CSTS", NVME_CSTS, 4, false},
	{"AQA", NVME_AQA, 4, true},      {"ASQ", NVME_ASQ, 8, true},
	{"ACQ", NVME_ACQ, 8, true},      {.len_bytes = 0},
};

static uint64_t register_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	const struct nvme_device *d = of(container_of(f, struct sim_device, pci));
	uint64_t value = nvme_model_function_ops.read(f, bar, offset, size_bytes);

	if (bar != NVME_PCI_BAR || offset != NVME_CSTS || OB_LIKELY(!d->never_ready && !d->never_idle))
		return value;
	return d->never_ready ? value & ~(uint64_t)NVME_CSTS_RDY : value | NVME_CSTS_RDY;
}

static void enabling(struct nvme_device *d, uint32_t cc)
{
	uint32_t changed = cc ^ d->cc;

	d->cc = cc;
	if ((changed & NVME_CC_EN) == 0)
		return;
	d->never_ready = d->never_idle = false;
	if ((cc & NVME_CC_EN) != 0) {
		fault_count(FAULT_AT_ENABLE);
		d->never_ready = fault_strike(SIM_FAULT_NOT_READY) != NULL;
	} else {
		fault_count(FAULT_AT_DISABLE);
		d->never_idle = fault_strike(SIM_FAULT_NOT_IDLE) != NULL;
	}
}

static void register_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct nvme_device *d = of(container_of(f, struct sim_device, pci));

	if (OB_UNLIKELY(offset == NVME_CC && W.fault_on != 0 && bar == NVME_PCI_BAR))
		enabling(d, (uint32_t)value);
	nvme_model_function_ops.write(f, bar, offset, size_bytes, value);
}

static void function_reset(struct model_pci *f)
{
	struct nvme_device *d = of(container_of(f, struct sim_device, pci));

	d->cc = 0;
	d->never_ready = d->never_idle = false;
	nvme_model_reset(d->nvme);
}

static void function_changed(struct model_pci *f)
{
	nvme_model_interrupts_changed(of(container_of(f, struct sim_device, pci))->nvme);
}

static void function_sleeps(struct model_pci *f)
{
	nvme_model_function_ops.sleeps(f);
}

static const struct model_pci_ops function_ops = {
	.read = register_read,
	.write = register_write,
	.reset = function_reset,
	.changed = function_changed,
	.sleeps = function_sleeps,
};

/* ---- power ---- */

static void nvme_power_cut(struct sim_device *dev, const struct fault_rule *rule)
{
	unsigned of_eight = sim_disk_kept_of_eight(rule);

	nvme_model_power_cut(of(dev)->nvme, sim_disk_block_is_kept, &of_eight);
}

static void nvme_fail(struct sim_device *dev)
{
	nvme_model_fail(of(dev)->nvme, "a fault of its own");
}

/* ---- the type ---- */

static int disk_create(struct sim_device *dev)
{
	struct backing *disk;
	int ret = sim_disk_create(dev, 1u << LBA_SHIFT, &disk);

	return ret == 0 ? nvme_model_namespace_add(of(dev)->nvme, 1, disk, LBA_SHIFT, true, false) : ret;
}

static int nvme_create(struct sim_device *dev, struct model_pci_bus *bus, uint8_t devfn)
{
	struct nvme_device *d = model_alloc(sizeof(*d));
	struct nvme_model_hooks own_hooks = hooks;
	struct nvme_model_config c;
	int ret;

	if (d == NULL)
		return -ENOMEM;
	nvme_model_config_default(&c);
	c.queue_pairs_max = (uint16_t)W.config.queues;
	c.queue_entries_max = W.config.ring_entries;
	c.msix_vectors = sim_msix_vectors(W.config.queues + 1);
	c.mdts = 2;
	c.shadow_doorbells = W.config.shadow_doorbells;
	c.cmb_bytes = W.config.memory_buffer ? MEMORY_BUFFER_BYTES : 0;
	c.namespaces_max = 4;
	ret = nvme_model_create(&dev->host, &c, &d->nvme);
	if (ret != 0)
		return ret;
	dev->model = d;
	own_hooks.arg = dev;
	nvme_model_set_hooks(d->nvme, &own_hooks);
	ret = nvme_model_function_init(d->nvme, &dev->pci, bus, devfn);
	dev->pci.ops = &function_ops;
	return ret == 0 ? disk_create(dev) : ret;
}

static void nvme_destroy(struct sim_device *dev)
{
	nvme_model_destroy(of(dev)->nvme);
}

static bool nvme_run(struct sim_device *dev)
{
	return nvme_model_run(of(dev)->nvme, 1);
}

static void nvme_event(struct sim_device *dev)
{
	nvme_model_event(of(dev)->nvme);
}

static bool nvme_unseen(struct sim_device *dev, char *text, size_t size)
{
	unsigned qid;

	if (!nvme_model_unseen(of(dev)->nvme, &qid))
		return false;
	snprintf(text, size, "completions of queue %u", qid);
	return true;
}

static const char *nvme_holds(struct sim_device *dev, uint64_t iova, uint64_t len_bytes)
{
	return nvme_model_holds(of(dev)->nvme, iova, len_bytes);
}

/* ---- its own view ---- */

static void nvme_describe(struct sim_device *dev, char *text, size_t size)
{
	nvme_model_describe(of(dev)->nvme, text, size);
}

static bool nvme_register_name(struct sim_device *dev, unsigned bar, uint64_t offset, char *text, size_t size)
{
	return nvme_model_register_name(of(dev)->nvme, bar, offset, text, size);
}

static bool nvme_memory_name(struct sim_device *dev, uint64_t iova, char *text, size_t size)
{
	return nvme_model_memory_name(of(dev)->nvme, iova, text, size);
}

static void nvme_command_text(struct sim_device *dev, bool completed, uint64_t a, uint64_t b, char *text, size_t size)
{
	unsigned sqid = (unsigned)(a >> 48), cid = (unsigned)(a >> 32) & 0xffff;
	uint8_t opcode = (uint8_t)a;
	const char *name = nvme_model_command_name(sqid, opcode);

	if (completed)
		snprintf(text, size, "completes SQ%u cid %#x, %s: status %#llx", sqid, cid, name,
			 (unsigned long long)b);
	else if (sqid != 0 && (opcode == NVME_CMD_READ || opcode == NVME_CMD_WRITE || opcode == NVME_CMD_COMPARE ||
			       opcode == NVME_CMD_WRITE_ZEROES))
		snprintf(text, size, "fetches SQ%u cid %#x, %s of block %llu", sqid, cid, name, (unsigned long long)b);
	else
		snprintf(text, size, "fetches SQ%u cid %#x, %s", sqid, cid, name);
}

static unsigned nvme_state(struct sim_device *dev)
{
	return nvme_model_state(of(dev)->nvme);
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
	.unseen = nvme_unseen,
	.fail = nvme_fail,
	.power_cut = nvme_power_cut,
	.registers = registers,
	.describe = nvme_describe,
	.register_name = nvme_register_name,
	.memory_name = nvme_memory_name,
	.command_text = nvme_command_text,
	.state = nvme_state,
	.state_name = nvme_model_state_name,
};
