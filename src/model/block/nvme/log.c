/* SPDX-License-Identifier: BSD-2-Clause */
/* Log pages (NVMe 1.4 §5.14): errors, health, firmware slots, changed namespaces, commands and their effects. */
#include <string.h>

#include "model/block/nvme/controller.h"

#define EFFECT_SUPPORTED    BIT(0)
#define EFFECT_LBA_CHANGE   BIT(1)
#define EFFECT_NS_INVENTORY BIT(3)
#define EFFECT_CONTROLLER   BIT(4)
#define EFFECT_LOG_BYTES    4096
#define EFFECT_IO_OFFSET    1024
#define UNIT_SECTORS        1000 /* data units: thousands of 512 bytes */

struct log {
	uint8_t data[4096];
	uint32_t len_bytes;
};

void nvme_model_log_error(struct nvme_model *n, const struct nvme_cmd *cmd, uint16_t status)
{
	struct nvme_error_log *e;

	n->error_count++;
	e = &n->errors[n->error_count % ERROR_LOG_MAX];
	*e = (struct nvme_error_log){
		.error_count = ob_cpu_to_le64(n->error_count),
		.sqid = ob_cpu_to_le16(cmd->sq->qid),
		.cid = ob_cpu_to_le16(sqe_cid(cmd->sqe)),
		.status = ob_cpu_to_le16((uint16_t)(status << 1)),
		.location = ob_cpu_to_le16(0xffff), /* no parameter named */
		.lba = ob_cpu_to_le64(cmd->lba == UINT64_MAX ? 0 : cmd->lba),
		.nsid = ob_cpu_to_le32(cmd->nsid),
	};
}

/* The newest first. */
static void log_errors(const struct nvme_model *n, struct log *log)
{
	uint64_t count = MIN(n->error_count, (uint64_t)ERROR_LOG_MAX);

	for (uint64_t i = 0; i < count; i++)
		memcpy(log->data + i * sizeof(n->errors[0]), &n->errors[(n->error_count - i) % ERROR_LOG_MAX],
		       sizeof(n->errors[0]));
	log->len_bytes = sizeof(n->errors);
}

static void log_smart(const struct nvme_model *n, struct log *log)
{
	struct nvme_smart_log *s = (struct nvme_smart_log *)(void *)log->data;
	struct model_host *host = n->host;

	s->critical_warning = n->warning;
	s->temperature[0] = (uint8_t)n->temperature;
	s->temperature[1] = (uint8_t)(n->temperature >> 8);
	s->available_spare = 100;
	s->spare_threshold = 10;
	s->data_units_read[0] = ob_cpu_to_le64(DIV_ROUND_UP(n->sectors_read, UNIT_SECTORS));
	s->data_units_written[0] = ob_cpu_to_le64(DIV_ROUND_UP(n->sectors_written, UNIT_SECTORS));
	s->host_reads[0] = ob_cpu_to_le64(n->reads);
	s->host_writes[0] = ob_cpu_to_le64(n->writes);
	s->power_cycles[0] = ob_cpu_to_le64(n->power_cycles);
	s->power_on_hours[0] = ob_cpu_to_le64((host->ops->now_ns(host) - n->start_ns) / (3600 * OB_NS_PER_S));
	s->unsafe_shutdowns[0] = ob_cpu_to_le64(n->unsafe_shutdowns);
	s->media_errors[0] = ob_cpu_to_le64(n->media_errors);
	s->error_log_entries[0] = ob_cpu_to_le64(n->error_count);
	log->len_bytes = sizeof(*s);
}

static void log_firmware(const struct nvme_model *n, struct log *log)
{
	struct nvme_firmware_log *f = (struct nvme_firmware_log *)(void *)log->data;

	f->afi = (uint8_t)(FIELD_PREP(NVME_AFI_ACTIVE, n->firmware_active) |
			   FIELD_PREP(NVME_AFI_NEXT, n->firmware_next));
	for (unsigned i = 0; i < n->config.firmware_slots; i++) {
		const char *revision = n->firmware_slot[i];

		if (revision[0] == '\0')
			continue;
		memset(f->slot[i], ' ', sizeof(f->slot[i]));
		memcpy(f->slot[i], revision, strnlen(revision, sizeof(f->slot[i])));
	}
	log->len_bytes = sizeof(*f);
}

static void log_changed(struct nvme_model *n, struct log *log, bool clear)
{
	struct nvme_namespace_list *list = (struct nvme_namespace_list *)(void *)log->data;

	if (n->changed_count > NVME_NAMESPACE_LIST_MAX)
		list->nsid[0] = ob_cpu_to_le32(NVME_NSID_ALL); /* more than can be told: look at all of them */
	for (unsigned i = 0; n->changed_count <= NVME_NAMESPACE_LIST_MAX && i < n->changed_count; i++)
		list->nsid[i] = ob_cpu_to_le32(n->changed_ns[i]);
	log->len_bytes = sizeof(*list);
	if (clear)
		n->changed_count = 0;
}

static void effect(struct log *log, uint32_t offset, uint8_t opcode, uint32_t effects)
{
	ob_le32 entry = ob_cpu_to_le32(effects | EFFECT_SUPPORTED);

	memcpy(log->data + offset + 4u * opcode, &entry, sizeof(entry));
}

static void log_effects(const struct nvme_model *n, struct log *log)
{
	static const uint8_t admin[] = {
		NVME_ADMIN_DELETE_SQ,   NVME_ADMIN_CREATE_SQ,         NVME_ADMIN_GET_LOG_PAGE,
		NVME_ADMIN_DELETE_CQ,   NVME_ADMIN_CREATE_CQ,         NVME_ADMIN_IDENTIFY,
		NVME_ADMIN_ABORT,       NVME_ADMIN_SET_FEATURES,      NVME_ADMIN_GET_FEATURES,
		NVME_ADMIN_ASYNC_EVENT, NVME_ADMIN_FIRMWARE_DOWNLOAD,
	};
	const struct nvme_model_config *c = &n->config;

	for (unsigned i = 0; i < ARRAY_SIZE(admin); i++)
		effect(log, 0, admin[i], 0);
	effect(log, 0, NVME_ADMIN_FIRMWARE_COMMIT, EFFECT_CONTROLLER);
	effect(log, 0, NVME_ADMIN_FORMAT, EFFECT_LBA_CHANGE | EFFECT_NS_INVENTORY);
	if (c->namespace_management) {
		effect(log, 0, NVME_ADMIN_NAMESPACE_MANAGE, EFFECT_NS_INVENTORY);
		effect(log, 0, NVME_ADMIN_NAMESPACE_ATTACH, EFFECT_NS_INVENTORY);
	}
	if (c->shadow_doorbells)
		effect(log, 0, NVME_ADMIN_DOORBELL_BUFFER, 0);
	effect(log, EFFECT_IO_OFFSET, NVME_CMD_READ, 0);
	effect(log, EFFECT_IO_OFFSET, NVME_CMD_WRITE, EFFECT_LBA_CHANGE);
	effect(log, EFFECT_IO_OFFSET, NVME_CMD_FLUSH, EFFECT_LBA_CHANGE);
	if (c->compare)
		effect(log, EFFECT_IO_OFFSET, NVME_CMD_COMPARE, 0);
	if (c->write_zeroes)
		effect(log, EFFECT_IO_OFFSET, NVME_CMD_WRITE_ZEROES, EFFECT_LBA_CHANGE);
	if (c->dataset_management)
		effect(log, EFFECT_IO_OFFSET, NVME_CMD_DSM, EFFECT_LBA_CHANGE);
	log->len_bytes = EFFECT_LOG_BYTES;
}

/* Which events reading a page lets through again. */
static void unmask_events(struct nvme_model *n, unsigned page)
{
	if (page == NVME_LOG_ERROR)
		nvme_model_event_unmask(n, NVME_EVENT_ERROR);
	else if (page == NVME_LOG_SMART)
		nvme_model_event_unmask(n, NVME_EVENT_SMART);
	else if (page == NVME_LOG_CHANGED_NAMESPACES || page == NVME_LOG_FIRMWARE)
		nvme_model_event_unmask(n, NVME_EVENT_NOTICE);
}

static bool log_fill(struct nvme_model *n, unsigned page, bool keep_event, struct log *log)
{
	switch (page) {
	case NVME_LOG_ERROR:
		log_errors(n, log);
		return true;
	case NVME_LOG_SMART:
		log_smart(n, log);
		return true;
	case NVME_LOG_FIRMWARE:
		log_firmware(n, log);
		return true;
	case NVME_LOG_CHANGED_NAMESPACES:
		log_changed(n, log, !keep_event);
		return true;
	case NVME_LOG_EFFECTS:
		log_effects(n, log);
		return true;
	default:
		return false;
	}
}

uint16_t nvme_model_get_log(struct nvme_model *n, struct nvme_cmd *cmd)
{
	const struct nvme_sqe *sqe = cmd->sqe;
	uint32_t cdw10 = ob_le32_to_cpu(sqe->cdw10), cdw11 = ob_le32_to_cpu(sqe->cdw11);
	unsigned page = FIELD_GET(NVME_LOG_LID, cdw10);
	bool keep_event = (cdw10 & NVME_LOG_RAE) != 0;
	uint64_t dwords = ((uint64_t)FIELD_GET(NVME_LOG_NUMDU, cdw11) << 16 | FIELD_GET(NVME_LOG_NUMDL, cdw10)) + 1;
	uint64_t offset = (uint64_t)ob_le32_to_cpu(sqe->cdw13) << 32 | ob_le32_to_cpu(sqe->cdw12);
	struct log log = {.len_bytes = 0};
	uint32_t len_bytes;
	uint16_t status;

	if (!IS_ALIGNED(offset, 4u))
		return FAIL(NVME_SC_INVALID_FIELD);
	if (n->config.mdts != 0 && dwords * 4 > 4096ull << n->config.mdts)
		return FAIL(NVME_SC_INVALID_FIELD);
	/* Health is the controller's (LPA bit 0 is clear). */
	if (page == NVME_LOG_SMART && cmd->nsid != 0 && cmd->nsid != NVME_NSID_ALL)
		return FAIL(NVME_SC_INVALID_FIELD);
	if (!log_fill(n, page, keep_event, &log))
		return FAIL(NVME_SC_INVALID_LOG_PAGE);
	if (offset >= log.len_bytes)
		return FAIL(NVME_SC_INVALID_FIELD);
	/* What lies beyond the page is not defined; it stays as it was. */
	len_bytes = (uint32_t)MIN(dwords * 4, log.len_bytes - offset);
	status = nvme_model_to_host(n, cmd, log.data + offset, len_bytes);
	if (status == NVME_SC_SUCCESS && !keep_event)
		unmask_events(n, page);
	return status;
}
