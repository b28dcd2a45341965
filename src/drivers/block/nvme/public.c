/* SPDX-License-Identifier: BSD-2-Clause */
/* What outboard/nvme.h offers: calls (core/driver_call.h) whose work is done on CPU 0, where the admin queue lives. */
#include <errno.h>
#include <string.h>

#include "core/driver_call.h"
#include "drivers/block/nvme/nvme.h"

#define CALL_NS            DRIVER_CALL_NS
#define RESET_SLICE_NS     (250 * OB_NS_PER_MS)
#define FIRMWARE_PIECE     (32u * 1024)
#define FIRMWARE_UNIT      4096u
#define FIRMWARE_NS        (600 * OB_NS_PER_S)
#define FIRMWARE_COMMIT_NS (60 * OB_NS_PER_S)

struct call {
	struct driver_call base;
	struct nvme *n;
	int (*fn)(struct call *call);
	uint64_t deadline_ns;
	uint16_t status;
	union {
		struct {
			uint8_t page;
			uint32_t nsid;
			uint64_t offset;
		} log;
		struct {
			unsigned slot, action;
		} firmware;
		bool on;
		struct ob_nvme_admin admin;
		struct ob_nvme_controller controller;
	};
	size_t len_bytes;
	uint8_t data[]; /* the caller's, copied */
};

/* ---- calls ---- */

static bool call_is_abandoned(const struct call *call)
{
	return driver_call_is_abandoned(&call->base);
}

static int call_body(struct driver_call *base)
{
	struct call *call = container_of(base, struct call, base);

	return call->fn(call);
}

/* A call to @fn for the controller behind @block, with room for so much data. */
static int call_new(struct ob_block *block, int (*fn)(struct call *call), size_t len_bytes, uint64_t deadline_ns,
		    struct call **out)
{
	struct driver_call *base;
	struct call *call;
	int ret;

	if (len_bytes > SIZE_MAX - sizeof(*call))
		return -EINVAL;
	if (!ob_block_online(block))
		return -ENODEV;
	ret = driver_call_new(ob_block_device(block), nvme_driver.name, call_body, sizeof(*call) + len_bytes,
			      deadline_ns, &base);
	if (ret != 0)
		return ret;
	call = container_of(base, struct call, base);
	call->n = base->driver_data;
	call->fn = fn;
	call->deadline_ns = deadline_ns;
	call->len_bytes = len_bytes;
	*out = call;
	return 0;
}

/* Returns what the function does. *@pcall is NULL afterwards when it goes on without us; else it is the caller's to free. */
static int call_run(struct call **pcall)
{
	struct driver_call *base = &(*pcall)->base;
	int ret = driver_call_run(&base);

	if (base == NULL)
		*pcall = NULL;
	return ret;
}

/* ---- logs ---- */

static int get_log(struct call *call, uint8_t page, uint32_t nsid, uint64_t offset, void *buffer, size_t len_bytes)
{
	struct nvme_command cmd = nvme_log_command(page, nsid, offset, len_bytes);
	int ret;

	cmd.user = true;
	ret = nvme_admin_run_data(call->n, &cmd, buffer, len_bytes, false,
				  MIN(call->deadline_ns, ob_deadline(NVME_ADMIN_TIMEOUT_NS)));
	call->status = cmd.status;
	return ret != 0 ? ret : nvme_status_error(cmd.status);
}

static int log_body(struct call *call)
{
	const struct nvme *n = call->n;
	bool extended = (n->info.log_attributes & NVME_LPA_EXTENDED) != 0;
	size_t done = 0;

	if (call->log.offset != 0 && !extended)
		return -EOPNOTSUPP;
	while (done < call->len_bytes && !call_is_abandoned(call)) {
		/* Without the extended fields a log has at most 4 KiB, and no offset (§5.14). */
		size_t piece = MIN(call->len_bytes - done, (size_t)NVME_ADMIN_DATA_MAX);
		int ret;

		piece = MIN(piece, n->info.transfer_max_bytes);
		if (piece < call->len_bytes && !extended)
			return -EOPNOTSUPP;
		ret = get_log(call, call->log.page, call->log.nsid, call->log.offset + done, call->data + done, piece);
		if (ret != 0)
			return ret;
		done += piece;
	}
	return 0;
}

int ob_nvme_log(struct ob_block *block, uint8_t page, uint32_t nsid, uint64_t offset, void *buffer, size_t len_bytes,
		uint16_t *status)
{
	struct call *call;
	int ret;

	if (status != NULL)
		*status = 0;
	if (buffer == NULL || len_bytes == 0 || len_bytes % 4 != 0 || offset % 4 != 0)
		return -EINVAL;
	ret = call_new(block, log_body, len_bytes, ob_deadline(CALL_NS), &call);
	if (ret != 0)
		return ret;
	call->log.page = page;
	call->log.nsid = nsid;
	call->log.offset = offset;
	ret = call_run(&call);
	if (call == NULL)
		return ret;
	if (ret == 0)
		memcpy(buffer, call->data, len_bytes);
	if (status != NULL)
		*status = call->status;
	ob_free(call);
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

static void fill_firmware(struct call *call, struct ob_nvme_controller *out)
{
	struct nvme_firmware_log log;

	if (get_log(call, NVME_LOG_FIRMWARE, NVME_NSID_ALL, 0, &log, sizeof(log)) != 0)
		return;
	out->firmware_active = (uint8_t)FIELD_GET(NVME_AFI_ACTIVE, log.afi);
	for (unsigned i = 0; i < 7; i++)
		copy_slot(out->firmware_slot[i], log.slot[i]);
}

static int controller_body(struct call *call)
{
	struct ob_nvme_controller *out = &call->controller;
	const struct nvme *n = call->n;
	const struct nvme_controller_info *info = &n->info;

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
	fill_firmware(call, out);
	return nvme_is_gone(n) ? -ENODEV : 0;
}

int ob_nvme_controller(struct ob_block *block, struct ob_nvme_controller *out)
{
	struct call *call;
	int ret = call_new(block, controller_body, 0, ob_deadline(CALL_NS), &call);

	if (ret != 0)
		return ret;
	ret = call_run(&call);
	if (call == NULL)
		return ret;
	if (ret == 0)
		*out = call->controller;
	ob_free(call);
	return ret;
}

/* ---- any command ---- */

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

static int admin_body(struct call *call)
{
	struct ob_nvme_admin *c = &call->admin;
	struct nvme *n = call->n;
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

	if (call->len_bytes != 0)
		ret = nvme_admin_run_data(n, &cmd, call->data, call->len_bytes, c->to_device, call->deadline_ns);
	else
		ret = nvme_admin_run(n, &cmd, call->deadline_ns);
	c->result = cmd.result;
	c->status = cmd.status;
	if (ret == 0 && cmd.status == 0 && changes_namespaces(c->opcode))
		nvme_todo(n, NVME_TODO_RESCAN);
	return ret != 0 ? ret : nvme_status_error(cmd.status);
}

int ob_nvme_admin(struct ob_block *block, struct ob_nvme_admin *command, uint64_t deadline_ns)
{
	struct call *call;
	int ret;

	command->result = 0;
	command->status = 0;
	if (is_forbidden(command->opcode))
		return -EPERM;
	if ((command->data == NULL) != (command->len_bytes == 0) || command->len_bytes > NVME_ADMIN_DATA_MAX)
		return -EINVAL;
	ret = call_new(block, admin_body, command->len_bytes, deadline_ns, &call);
	if (ret != 0)
		return ret;
	call->admin = *command;
	if (command->to_device && command->data != NULL)
		memcpy(call->data, command->data, command->len_bytes);
	ret = call_run(&call);
	if (call == NULL)
		return ret;
	command->result = call->admin.result;
	command->status = call->admin.status;
	if (ret == 0 && !command->to_device && command->data != NULL)
		memcpy(command->data, call->data, command->len_bytes);
	ob_free(call);
	return ret;
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

static int firmware_download(struct call *call, size_t piece_max)
{
	for (size_t done = 0; done < call->len_bytes;) {
		size_t piece = MIN(piece_max, call->len_bytes - done);
		struct nvme_command cmd = {
			.opcode = NVME_ADMIN_FIRMWARE_DOWNLOAD,
			.cdw10 = (uint32_t)(piece / 4 - 1),
			.cdw11 = (uint32_t)(done / 4),
			.user = true,
		};
		int ret = nvme_admin_run_data(call->n, &cmd, call->data + done, piece, true,
					      ob_deadline(FIRMWARE_COMMIT_NS));

		call->status = cmd.status;
		if (ret == 0)
			ret = nvme_status_error(cmd.status);
		if (ret != 0)
			return ret;
		/* Half an image is nothing that the controller would use. */
		if (call_is_abandoned(call))
			return -ETIMEDOUT;
		done += piece;
	}
	return 0;
}

static int firmware_body(struct call *call)
{
	struct nvme *n = call->n;
	size_t piece = firmware_piece(n);
	struct nvme_command cmd = {
		.opcode = NVME_ADMIN_FIRMWARE_COMMIT,
		.cdw10 = FIELD_PREP(NVME_FIRMWARE_SLOT, call->firmware.slot) |
			 FIELD_PREP(NVME_FIRMWARE_ACTION, call->firmware.action),
		.user = true,
	};
	int ret;

	if ((n->info.oacs & NVME_OACS_FIRMWARE) == 0 || piece == 0)
		return -EOPNOTSUPP;
	ret = firmware_download(call, piece);
	if (ret != 0)
		return ret;
	ret = nvme_admin_run(n, &cmd, ob_deadline(FIRMWARE_COMMIT_NS));
	call->status = cmd.status;
	if (ret != 0)
		return ret;
	ret = nvme_status_error(cmd.status);
	/* It is in its slot; some reset activates it, the status says which (§5.11.1). */
	return ret == -EINPROGRESS ? 0 : ret;
}

int ob_nvme_firmware_download(struct ob_block *block, const void *image, size_t len_bytes, unsigned slot,
			      unsigned action, uint16_t *status)
{
	struct call *call;
	int ret;

	if (image == NULL || len_bytes == 0 || len_bytes % 4 != 0 || len_bytes / 4 > UINT32_MAX || slot > 7 ||
	    action > NVME_FIRMWARE_ACTIVATE_NOW)
		return -EINVAL;
	ret = call_new(block, firmware_body, len_bytes, ob_deadline(FIRMWARE_NS), &call);
	if (ret != 0)
		return ret;
	call->firmware.slot = slot;
	call->firmware.action = action;
	memcpy(call->data, image, len_bytes);
	ret = call_run(&call);
	if (call == NULL)
		return ret;
	if (status != NULL)
		*status = call->status;
	ob_free(call);
	return ret;
}

/* ---- controller memory buffer ---- */

static int cmb_body(struct call *call)
{
	struct nvme *n = call->n;
	int ret = ob_mutex_lock(&n->lock, call->deadline_ns);

	if (ret != 0)
		return ret;
	if (n->state != NVME_LIVE)
		ret = n->state == NVME_SUSPENDED ? -EBUSY : -ENODEV;
	else
		ret = nvme_cmb_use(n, call->on);
	ob_mutex_unlock(&n->lock);
	return ret;
}

int ob_nvme_use_memory_buffer(struct ob_block *block, bool on)
{
	struct call *call;
	int ret = call_new(block, cmb_body, 0, ob_deadline(CALL_NS), &call);

	if (ret != 0)
		return ret;
	call->on = on;
	ret = call_run(&call);
	ob_free(call);
	return ret;
}

/* ---- reset ---- */

/* In slices, so that a device that is to lose its driver is not held until the lock comes free. */
static int reset_body(struct call *call)
{
	struct nvme *n = call->n;

	for (;;) {
		uint64_t slice = MIN(call->deadline_ns, ob_deadline(RESET_SLICE_NS));
		int ret = nvme_reset(n, "asked for", slice);

		if (ret != -ETIMEDOUT || n->state == NVME_DEAD || ob_now_ns() >= call->deadline_ns)
			return ret;
		if (!nvme_is_online(n))
			return -ENODEV;
	}
}

int ob_nvme_reset(struct ob_block *block, uint64_t deadline_ns)
{
	struct call *call;
	int ret = call_new(block, reset_body, 0, deadline_ns, &call);

	if (ret != 0)
		return ret;
	ret = call_run(&call);
	ob_free(call);
	return ret;
}
