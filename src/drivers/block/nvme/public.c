/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What outboard/nvme.h offers. Each call takes a use of the device, which holds off the driver's removal, and does its
 * work in a task on CPU 0, where the admin queue lives.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"

#define JOIN_NS            (60 * OB_NS_PER_S)
#define FIRMWARE_PIECE     (32u * 1024)
#define FIRMWARE_UNIT      4096u
#define FIRMWARE_COMMIT_NS (60 * OB_NS_PER_S)

struct call {
	struct nvme *n;
	int (*fn)(struct nvme *n, void *arg);
	void *arg;
	int ret;
};

static void call_body(void *arg)
{
	struct call *call = arg;

	call->ret = call->fn(call->n, call->arg);
}

static int call_on_cpu0(struct ob_cpu *cpu, struct call *call)
{
	struct ob_task *task;
	int ret;

	if (ob_task_current() != NULL && ob_cpu_current() == cpu) {
		call_body(call);
		return call->ret;
	}
	ret = ob_task_spawn(cpu, "nvme-call", call_body, call, &task);
	if (ret != 0)
		return ret;
	/* The task uses our stack; all its waits have deadlines. */
	while (ob_task_join(task, ob_deadline(JOIN_NS)) != 0)
		;
	return call->ret;
}

/* Run @fn for the controller behind @block. */
static int run(struct ob_block *block, int (*fn)(struct nvme *n, void *arg), void *arg)
{
	struct ob_device *dev = ob_block_device(block);
	struct call call = {.fn = fn, .arg = arg};
	const char *driver;
	int ret;

	if (!ob_block_online(block) || !ob_device_get_online(dev))
		return -ENODEV;
	driver = ob_device_driver_name(dev);
	if (driver == NULL || strcmp(driver, nvme_driver.name) != 0) {
		ret = -EOPNOTSUPP;
		goto put;
	}
	call.n = ob_device_driver_data(dev);
	ret = call.n == NULL ? -ENODEV : call_on_cpu0(ob_device_cpu(dev), &call);
put:
	ob_device_put_online(dev);
	return ret;
}

/* ---- logs ---- */

struct log_args {
	uint8_t page;
	uint32_t nsid;
	uint64_t offset;
	void *buffer;
	size_t len_bytes;
	uint16_t status;
};

static int log_body(struct nvme *n, void *arg)
{
	struct log_args *a = arg;
	size_t done = 0;

	if (a->offset != 0 && (n->info.log_attributes & NVME_LPA_EXTENDED) == 0)
		return -EOPNOTSUPP;
	while (done < a->len_bytes) {
		/* Without the extended fields a log has at most 4 KiB, and no offset (§5.14). */
		size_t piece = MIN(a->len_bytes - done, (size_t)NVME_ADMIN_DATA_MAX);
		int ret;

		piece = MIN(piece, n->info.transfer_max_bytes);
		if (piece < a->len_bytes && (n->info.log_attributes & NVME_LPA_EXTENDED) == 0)
			return -EOPNOTSUPP;
		ret = nvme_get_log(n, a->page, a->nsid, a->offset + done, (uint8_t *)a->buffer + done, piece,
				   &a->status);
		if (ret != 0)
			return ret;
		done += piece;
	}
	return 0;
}

int ob_nvme_log(struct ob_block *block, uint8_t page, uint32_t nsid, uint64_t offset, void *buffer, size_t len_bytes,
		uint16_t *status)
{
	struct log_args args = {page, nsid, offset, buffer, len_bytes, 0};
	int ret;

	if (buffer == NULL || len_bytes == 0 || len_bytes % 4 != 0 || offset % 4 != 0)
		return -EINVAL;
	ret = run(block, log_body, &args);
	if (status != NULL)
		*status = args.status;
	return ret;
}

/* 128 bits, of which we keep 64: what is more stays at the end of the scale. */
static uint64_t counter(const ob_le64 *v)
{
	return ob_le64_to_cpu(v[1]) != 0 ? UINT64_MAX : ob_le64_to_cpu(v[0]);
}

int ob_nvme_smart(struct ob_block *block, struct ob_nvme_smart *out)
{
	struct nvme_smart_log log;
	int ret = ob_nvme_log(block, NVME_LOG_SMART, NVME_NSID_ALL, 0, &log, sizeof(log), NULL);

	if (ret != 0)
		return ret;
	*out = (struct ob_nvme_smart){
		.critical_warning = log.critical_warning,
		.temperature_kelvin = (uint16_t)(log.temperature[0] | log.temperature[1] << 8),
		.available_spare = log.available_spare,
		.spare_threshold = log.spare_threshold,
		.percentage_used = log.percentage_used,
		.data_units_read = counter(log.data_units_read),
		.data_units_written = counter(log.data_units_written),
		.host_reads = counter(log.host_reads),
		.host_writes = counter(log.host_writes),
		.busy_minutes = counter(log.busy_minutes),
		.power_cycles = counter(log.power_cycles),
		.power_on_hours = counter(log.power_on_hours),
		.unsafe_shutdowns = counter(log.unsafe_shutdowns),
		.media_errors = counter(log.media_errors),
		.error_log_entries = counter(log.error_log_entries),
	};
	return 0;
}

/* ---- controller ---- */

static void copy_slot(char *to, const uint8_t *from)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = from[i] == 0 ? '\0' : from[i] >= 0x20 && from[i] < 0x7f ? (char)from[i] : '?';
	to[8] = '\0';
	for (unsigned i = 8; i > 0 && (to[i - 1] == ' ' || to[i - 1] == '\0'); i--)
		to[i - 1] = '\0';
}

static void fill_firmware(struct nvme *n, struct ob_nvme_controller *out)
{
	struct nvme_firmware_log log;

	if (nvme_get_log(n, NVME_LOG_FIRMWARE, NVME_NSID_ALL, 0, &log, sizeof(log), NULL) != 0)
		return;
	out->firmware_active = (uint8_t)FIELD_GET(NVME_AFI_ACTIVE, log.afi);
	for (unsigned i = 0; i < 7; i++)
		copy_slot(out->firmware_slot[i], log.slot[i]);
}

static int controller_body(struct nvme *n, void *arg)
{
	struct ob_nvme_controller *out = arg;
	const struct nvme_controller_info *info = &n->info;

	memset(out, 0, sizeof(*out));
	memcpy(out->model, info->model, sizeof(out->model));
	memcpy(out->serial, info->serial, sizeof(out->serial));
	memcpy(out->firmware, info->firmware, sizeof(out->firmware));
	out->vendor = info->vendor;
	out->subvendor = info->subvendor;
	out->controller_id = info->controller_id;
	out->version = n->version;
	out->namespace_max = info->namespace_max;
	out->namespace_count = n->namespace_count;
	out->transfer_max_bytes = info->transfer_max_bytes;
	out->queue_depth_max = MIN(n->entries_max - 1, NVME_DEPTH_MAX);
	out->queue_count = n->queue_max;
	out->firmware_slots = info->firmware_slots;
	out->volatile_cache = info->volatile_cache;
	out->sgl = info->sgl;
	out->shadow_doorbells = n->shadow_on;
	out->write_zeroes = (info->oncs & NVME_ONCS_WRITE_ZEROES) != 0;
	out->dataset_management = (info->oncs & NVME_ONCS_DSM) != 0;
	out->compare = (info->oncs & NVME_ONCS_COMPARE) != 0;
	out->namespace_management = (info->oacs & NVME_OACS_NAMESPACE) != 0;
	out->quirks = n->quirks;
	fill_firmware(n, out);
	return nvme_is_gone(n) ? -ENODEV : 0;
}

int ob_nvme_controller(struct ob_block *block, struct ob_nvme_controller *out)
{
	return run(block, controller_body, out);
}

/* ---- any command ---- */

struct admin_args {
	struct ob_nvme_admin *command;
	uint64_t deadline_ns;
};

/* Queues and doorbells are the driver's; an async event request would wait for ever. */
static bool is_forbidden(uint8_t opcode)
{
	return opcode == NVME_ADMIN_DELETE_SQ || opcode == NVME_ADMIN_CREATE_SQ || opcode == NVME_ADMIN_DELETE_CQ ||
	       opcode == NVME_ADMIN_CREATE_CQ || opcode == NVME_ADMIN_ASYNC_EVENT ||
	       opcode == NVME_ADMIN_DOORBELL_BUFFER;
}

static bool changes_namespaces(uint8_t opcode)
{
	return opcode == NVME_ADMIN_NAMESPACE_MANAGE || opcode == NVME_ADMIN_NAMESPACE_ATTACH ||
	       opcode == NVME_ADMIN_FORMAT;
}

static int admin_body(struct nvme *n, void *arg)
{
	const struct admin_args *a = arg;
	struct ob_nvme_admin *c = a->command;
	struct nvme_command cmd = {
		.opcode = c->opcode,
		.nsid = c->nsid,
		.cdw10 = c->cdw10,
		.cdw11 = c->cdw11,
		.cdw12 = c->cdw12,
		.cdw13 = c->cdw13,
		.cdw14 = c->cdw14,
		.cdw15 = c->cdw15,
		.user = true,
	};
	int ret;

	if (c->data != NULL)
		ret = nvme_admin_run_data(n, &cmd, c->data, c->len_bytes, c->to_device, a->deadline_ns);
	else
		ret = nvme_admin_run(n, &cmd, a->deadline_ns);
	c->result = cmd.result;
	c->status = cmd.status;
	if (ret == 0 && cmd.status == 0 && changes_namespaces(c->opcode))
		nvme_todo(n, NVME_TODO_RESCAN);
	return ret != 0 ? ret : nvme_status_error(cmd.status);
}

int ob_nvme_admin(struct ob_block *block, struct ob_nvme_admin *command, uint64_t deadline_ns)
{
	struct admin_args args = {command, deadline_ns};

	command->result = 0;
	command->status = 0;
	if (is_forbidden(command->opcode))
		return -EPERM;
	if ((command->data == NULL) != (command->len_bytes == 0) || command->len_bytes > NVME_ADMIN_DATA_MAX)
		return -EINVAL;
	return run(block, admin_body, &args);
}

static int feature(struct ob_block *block, uint8_t opcode, uint8_t id, uint32_t nsid, uint32_t *value, uint16_t *status)
{
	struct ob_nvme_admin command = {
		.opcode = opcode,
		.nsid = nsid,
		.cdw10 = FIELD_PREP(NVME_FEATURE_FID, id),
		.cdw11 = opcode == NVME_ADMIN_SET_FEATURES ? *value : 0,
	};
	int ret = ob_nvme_admin(block, &command, ob_deadline(NVME_ADMIN_TIMEOUT_NS));

	if (status != NULL)
		*status = command.status;
	if (ret == 0)
		*value = command.result;
	return ret;
}

int ob_nvme_get_feature(struct ob_block *block, uint8_t id, uint32_t nsid, uint32_t *value, uint16_t *status)
{
	return feature(block, NVME_ADMIN_GET_FEATURES, id, nsid, value, status);
}

int ob_nvme_set_feature(struct ob_block *block, uint8_t id, uint32_t nsid, uint32_t value, uint16_t *status)
{
	/* The number of queues is settled once (§5.21.1.7), the driver's. */
	if (id == NVME_FEATURE_QUEUE_COUNT)
		return -EPERM;
	return feature(block, NVME_ADMIN_SET_FEATURES, id, nsid, &value, status);
}

/* ---- firmware ---- */

struct firmware_args {
	const uint8_t *image;
	size_t len_bytes;
	unsigned slot, action;
	uint16_t status;
};

/* Pieces keep to the granularity that the controller asks for (FWUG). 0: one that we cannot keep to. */
static size_t firmware_piece(const struct nvme *n)
{
	size_t unit = n->info.firmware_granularity * FIRMWARE_UNIT;

	if (n->info.firmware_granularity == 0)
		return FIRMWARE_UNIT;
	if (n->info.firmware_granularity == 0xff)
		return MIN(FIRMWARE_PIECE, n->info.transfer_max_bytes);
	return unit <= NVME_ADMIN_DATA_MAX && unit <= n->info.transfer_max_bytes ? unit : 0;
}

static int firmware_download(struct nvme *n, struct firmware_args *a, size_t piece_max)
{
	for (size_t done = 0; done < a->len_bytes;) {
		size_t piece = MIN(piece_max, a->len_bytes - done);
		struct nvme_command cmd = {
			.opcode = NVME_ADMIN_FIRMWARE_DOWNLOAD,
			.cdw10 = (uint32_t)(piece / 4 - 1),
			.cdw11 = (uint32_t)(done / 4),
			.user = true,
		};
		int ret = nvme_admin_run_data(n, &cmd, (void *)(uintptr_t)(a->image + done), piece, true,
					      ob_deadline(FIRMWARE_COMMIT_NS));

		a->status = cmd.status;
		if (ret == 0)
			ret = nvme_status_error(cmd.status);
		if (ret != 0)
			return ret;
		done += piece;
	}
	return 0;
}

static int firmware_body(struct nvme *n, void *arg)
{
	struct firmware_args *a = arg;
	size_t piece = firmware_piece(n);
	struct nvme_command cmd = {
		.opcode = NVME_ADMIN_FIRMWARE_COMMIT,
		.cdw10 = FIELD_PREP(NVME_FIRMWARE_SLOT, a->slot) | FIELD_PREP(NVME_FIRMWARE_ACTION, a->action),
		.user = true,
	};
	int ret;

	if ((n->info.oacs & NVME_OACS_FIRMWARE) == 0 || piece == 0)
		return -EOPNOTSUPP;
	ret = firmware_download(n, a, piece);
	if (ret != 0)
		return ret;
	ret = nvme_admin_run(n, &cmd, ob_deadline(FIRMWARE_COMMIT_NS));
	a->status = cmd.status;
	if (ret != 0)
		return ret;
	ret = nvme_status_error(cmd.status);
	/* It is in its slot; some reset activates it, the status says which (§5.11.1). */
	return ret == -EINPROGRESS ? 0 : ret;
}

int ob_nvme_firmware_download(struct ob_block *block, const void *image, size_t len_bytes, unsigned slot,
			      unsigned action, uint16_t *status)
{
	struct firmware_args args = {image, len_bytes, slot, action, 0};
	int ret;

	if (image == NULL || len_bytes == 0 || len_bytes % 4 != 0 || len_bytes / 4 > UINT32_MAX || slot > 7 ||
	    action > NVME_FIRMWARE_ACTIVATE_NOW)
		return -EINVAL;
	ret = run(block, firmware_body, &args);
	if (status != NULL)
		*status = args.status;
	return ret;
}

/* ---- reset ---- */

static int reset_body(struct nvme *n, void *arg)
{
	const uint64_t *deadline_ns = arg;

	return nvme_reset(n, "asked for", *deadline_ns);
}

int ob_nvme_reset(struct ob_block *block, uint64_t deadline_ns)
{
	return run(block, reset_body, &deadline_ns);
}
