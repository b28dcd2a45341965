/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an NVMe controller offers beyond a block device: identify data, log pages, SMART, features, firmware,
 * namespaces.
 *
 * All functions wait, those without a deadline a minute at most (firmware: ten): call them in a task, or on a plain
 * thread; in hard or soft context they answer -EDEADLK. @block is any namespace of the controller. What did not end by the
 * deadline may still be done by the device (-ETIMEDOUT).
 * They answer -EOPNOTSUPP for a block device of another driver, -ENODEV, -ETIMEDOUT, and -EIO for a status that has no
 * better errno; *status (may be NULL) is then the device's own, SCT << 8 | SC.
 */
#ifndef OUTBOARD_NVME_H
#define OUTBOARD_NVME_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_block;

struct ob_nvme_smart {
	uint8_t critical_warning;
	uint16_t temperature_kelvin;
	uint8_t available_spare, spare_threshold, percentage_used; /* percent */
	uint64_t data_units_read, data_units_written;              /* of 512,000 bytes */
	uint64_t host_reads, host_writes;
	uint64_t busy_minutes, power_cycles, power_on_hours, unsafe_shutdowns, media_errors, error_log_entries;
};

struct ob_nvme_controller {
	char model[41], serial[21], firmware[9];
	uint16_t vendor, subvendor, controller_id;
	uint32_t version; /* VS: major << 16 | minor << 8 | tertiary */
	uint32_t namespace_max, namespace_count;
	uint32_t transfer_max_bytes, queue_depth_max, queue_count;
	uint8_t firmware_slots, firmware_active; /* slot numbers are from 1 */
	char firmware_slot[7][9];
	bool volatile_cache, sgl, shadow_doorbells, write_zeroes, dataset_management, compare, namespace_management;
	uint64_t quirks; /* what it gets wrong and the driver goes around; ob_nvme_quirk_name() names the bits */
};

struct ob_nvme_admin {
	uint8_t opcode;
	uint32_t nsid;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
	void *data;       /* any memory; or NULL */
	size_t len_bytes; /* at most 64 KiB */
	bool to_device;   /* data's direction */
	uint32_t result;  /* out: completion dword 0 */
	uint16_t status;  /* out */
};

/** ob_nvme_quirk_name - what bit @bit of ob_nvme_controller.quirks stands for ("no-fua"); NULL: nothing */
const char *ob_nvme_quirk_name(unsigned bit);
/** ob_nvme_controller - what the controller said at bring-up, checked; no command is sent */
int ob_nvme_controller(struct ob_block *block, struct ob_nvme_controller *out);
/** ob_nvme_smart - log page 2; counters that do not fit 64 bits are saturated (NVMe 1.4 §5.14.1.2) */
int ob_nvme_smart(struct ob_block *block, struct ob_nvme_smart *out);
/**
 * ob_nvme_log - read @len_bytes (a multiple of 4) of log page @page from @offset
 * @nsid:   whose, or 0xffffffff: of the controller
 * @buffer: any memory
 */
int ob_nvme_log(struct ob_block *block, uint8_t page, uint32_t nsid, uint64_t offset, void *buffer, size_t len_bytes,
		uint16_t *status);
/** ob_nvme_get_feature, ob_nvme_set_feature - @value: dword 11, or 0 of the answer (NVMe 1.4 §5.21); not its queues: -EPERM */
int ob_nvme_get_feature(struct ob_block *block, uint8_t feature, uint32_t nsid, uint32_t *value, uint16_t *status);
int ob_nvme_set_feature(struct ob_block *block, uint8_t feature, uint32_t nsid, uint32_t value, uint16_t *status);
/** ob_nvme_firmware_download - the image in pieces, then commit to @slot with @action (NVMe 1.4 §5.11) */
int ob_nvme_firmware_download(struct ob_block *block, const void *image, size_t len_bytes, unsigned slot,
			      unsigned action, uint16_t *status);
/** ob_nvme_admin - any admin command but those that make or delete queues (-EPERM) */
int ob_nvme_admin(struct ob_block *block, struct ob_nvme_admin *command, uint64_t deadline_ns);
/**
 * ob_nvme_use_memory_buffer - submission queues of channels opened from now on go to the controller's own memory, or not
 *
 * It then fetches commands without reading the host's memory; how much that is worth depends on the controller, so it is
 * off at first. A channel that finds no room there works as others do.
 * Return: 0; -EOPNOTSUPP the controller has no such memory for queues; -EBUSY suspended; -ENODEV; -ETIMEDOUT; -EDEADLK.
 * Spec: NVMe 1.4 §4.7.
 */
int ob_nvme_use_memory_buffer(struct ob_block *block, bool on);
/** ob_nvme_reset - controller reset; requests in flight are issued again */
int ob_nvme_reset(struct ob_block *block, uint64_t deadline_ns);
/** ob_nvme_status_text - "Invalid Field in Command"; never NULL */
const char *ob_nvme_status_text(uint16_t status);

#ifdef __cplusplus
}
#endif
#endif
