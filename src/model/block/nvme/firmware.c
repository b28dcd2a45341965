/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Firmware download and commit (NVMe 1.4 §5.11, §5.12).
 *
 * An image of this model's begins with "OBFW" and eight characters of revision; anything else is refused at commit.
 */
#include <string.h>

#include "model/block/nvme/controller.h"

#define IMAGE_MAGIC     "OBFW"
#define IMAGE_MAGIC_LEN 4
#define REVISION_LEN    8
#define GRANULE         4096u /* FWUG */

uint16_t nvme_model_firmware_download(struct nvme_model *n, struct nvme_cmd *cmd)
{
	uint64_t len_bytes = ((uint64_t)ob_le32_to_cpu(cmd->sqe->cdw10) + 1) * 4;
	uint64_t offset = (uint64_t)ob_le32_to_cpu(cmd->sqe->cdw11) * 4;
	uint16_t status;

	if (!IS_ALIGNED(len_bytes, GRANULE) || !IS_ALIGNED(offset, GRANULE) || offset + len_bytes > FIRMWARE_MAX)
		return FAIL(NVME_SC_INVALID_FIELD);
	if (n->config.mdts != 0 && len_bytes > 4096ull << n->config.mdts)
		return FAIL(NVME_SC_INVALID_FIELD);
	/* A piece at 0 begins another image; any other must follow what is there. */
	if (offset != 0 && offset < n->firmware_len)
		return FAIL(NVME_SC_OVERLAPPING_RANGE);
	if (offset > n->firmware_len)
		return FAIL(NVME_SC_INVALID_FIELD);
	status = nvme_model_from_host(n, cmd, n->firmware_image + offset, (uint32_t)len_bytes);
	if (status == NVME_SC_SUCCESS)
		n->firmware_len = (uint32_t)(offset + len_bytes);
	return status;
}

static uint16_t image_to_slot(struct nvme_model *n, unsigned slot)
{
	if (n->firmware_len < IMAGE_MAGIC_LEN + REVISION_LEN ||
	    memcmp(n->firmware_image, IMAGE_MAGIC, IMAGE_MAGIC_LEN) != 0)
		return FAIL(NVME_SC_INVALID_FIRMWARE_IMAGE);
	memcpy(n->firmware_slot[slot - 1], n->firmware_image + IMAGE_MAGIC_LEN, REVISION_LEN);
	n->firmware_slot[slot - 1][REVISION_LEN] = '\0';
	n->firmware_len = 0;
	return NVME_SC_SUCCESS;
}

/* Slot 0 leaves the choice to us: an empty one, or one that is not running. */
static unsigned choose_slot(const struct nvme_model *n)
{
	for (unsigned i = 1; i <= n->config.firmware_slots; i++)
		if (n->firmware_slot[i - 1][0] == '\0')
			return i;
	return n->firmware_active == 1 && n->config.firmware_slots > 1 ? 2 : 1;
}

uint16_t nvme_model_firmware_commit(struct nvme_model *n, struct nvme_cmd *cmd)
{
	uint32_t cdw10 = ob_le32_to_cpu(cmd->sqe->cdw10);
	unsigned slot = FIELD_GET(NVME_FIRMWARE_SLOT, cdw10), action = FIELD_GET(NVME_FIRMWARE_ACTION, cdw10);
	uint16_t status = NVME_SC_SUCCESS;

	if (action > NVME_FIRMWARE_ACTIVATE_NOW)
		return FAIL(NVME_SC_INVALID_FIELD); /* no boot partitions */
	if (slot > n->config.firmware_slots)
		return FAIL(NVME_SC_INVALID_FIRMWARE_SLOT);
	if (slot == 0)
		slot = choose_slot(n);
	if (action == NVME_FIRMWARE_REPLACE || action == NVME_FIRMWARE_REPLACE_AND_RESET ||
	    (action == NVME_FIRMWARE_ACTIVATE_NOW && n->firmware_len != 0))
		status = image_to_slot(n, slot);
	if (status != NVME_SC_SUCCESS)
		return status;
	if (n->firmware_slot[slot - 1][0] == '\0')
		return FAIL(NVME_SC_INVALID_FIRMWARE_SLOT);
	if (action == NVME_FIRMWARE_ACTIVATE_NOW) {
		n->firmware_active = (uint8_t)slot;
		n->firmware_next = 0;
	} else if (action != NVME_FIRMWARE_REPLACE) {
		n->firmware_next = (uint8_t)slot;
	}
	return NVME_SC_SUCCESS;
}

void nvme_model_firmware_reset(struct nvme_model *n)
{
	if (n->firmware_next != 0)
		n->firmware_active = n->firmware_next;
	n->firmware_next = 0;
	n->firmware_len = 0;
}
