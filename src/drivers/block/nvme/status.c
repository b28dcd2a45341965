/* SPDX-License-Identifier: BSD-2-Clause */
/* Every status code of NVM Express 1.4 (§4.6.1): its name, its errno, and whether the same command may do better later. */
#include <errno.h>

#include "drivers/block/nvme/nvme.h"

struct status_row {
	uint16_t status;
	int16_t error;
	bool transient;
	const char *text;
};

/* Ascending. */
static const struct status_row rows[] = {
	{NVME_SC_SUCCESS, 0, false, "Successful Completion"},
	{NVME_SC_INVALID_OPCODE, -EOPNOTSUPP, false, "Invalid Command Opcode"},
	{NVME_SC_INVALID_FIELD, -EINVAL, false, "Invalid Field in Command"},
	{NVME_SC_CID_CONFLICT, -EIO, false, "Command ID Conflict"},
	{NVME_SC_DATA_TRANSFER_ERROR, -EIO, true, "Data Transfer Error"},
	{NVME_SC_POWER_LOSS, -EIO, false, "Commands Aborted due to Power Loss Notification"},
	{NVME_SC_INTERNAL_ERROR, -EIO, true, "Internal Error"},
	{NVME_SC_ABORT_REQUESTED, -ECANCELED, false, "Command Abort Requested"},
	{NVME_SC_ABORTED_SQ_DELETION, -ECANCELED, false, "Command Aborted due to SQ Deletion"},
	{NVME_SC_ABORTED_FAILED_FUSED, -EIO, false, "Command Aborted due to Failed Fused Command"},
	{NVME_SC_ABORTED_MISSING_FUSED, -EIO, false, "Command Aborted due to Missing Fused Command"},
	{NVME_SC_INVALID_NAMESPACE_OR_FORMAT, -ENXIO, false, "Invalid Namespace or Format"},
	{NVME_SC_COMMAND_SEQUENCE_ERROR, -EIO, false, "Command Sequence Error"},
	{NVME_SC_SGL_INVALID_SEGMENT, -EINVAL, false, "Invalid SGL Segment Descriptor"},
	{NVME_SC_SGL_INVALID_COUNT, -EINVAL, false, "Invalid Number of SGL Descriptors"},
	{NVME_SC_SGL_INVALID_DATA_LENGTH, -EINVAL, false, "Data SGL Length Invalid"},
	{NVME_SC_SGL_INVALID_METADATA_LENGTH, -EINVAL, false, "Metadata SGL Length Invalid"},
	{NVME_SC_SGL_INVALID_TYPE, -EINVAL, false, "SGL Descriptor Type Invalid"},
	{NVME_SC_INVALID_CMB_USE, -EINVAL, false, "Invalid Use of Controller Memory Buffer"},
	{NVME_SC_INVALID_PRP_OFFSET, -EINVAL, false, "PRP Offset Invalid"},
	{NVME_SC_ATOMIC_WRITE_UNIT_EXCEEDED, -EINVAL, false, "Atomic Write Unit Exceeded"},
	{NVME_SC_OPERATION_DENIED, -EPERM, false, "Operation Denied"},
	{NVME_SC_SGL_INVALID_OFFSET, -EINVAL, false, "SGL Offset Invalid"},
	{NVME_SC_HOSTID_INCONSISTENT, -EINVAL, false, "Host Identifier Inconsistent Format"},
	{NVME_SC_KEEP_ALIVE_EXPIRED, -EIO, false, "Keep Alive Timer Expired"},
	{NVME_SC_KEEP_ALIVE_INVALID, -EINVAL, false, "Keep Alive Timeout Invalid"},
	{NVME_SC_ABORTED_PREEMPT, -ECANCELED, false, "Command Aborted due to Preempt and Abort"},
	{NVME_SC_SANITIZE_FAILED, -EIO, false, "Sanitize Failed"},
	{NVME_SC_SANITIZE_IN_PROGRESS, -EBUSY, false, "Sanitize In Progress"},
	{NVME_SC_SGL_INVALID_GRANULARITY, -EINVAL, false, "SGL Data Block Granularity Invalid"},
	{NVME_SC_CMB_QUEUE_UNSUPPORTED, -EOPNOTSUPP, false, "Command Not Supported for Queue in CMB"},
	{NVME_SC_NAMESPACE_WRITE_PROTECTED, -EROFS, false, "Namespace is Write Protected"},
	{NVME_SC_COMMAND_INTERRUPTED, -EIO, true, "Command Interrupted"},
	{NVME_SC_TRANSIENT_TRANSPORT_ERROR, -EIO, true, "Transient Transport Error"},
	{NVME_SC_LBA_OUT_OF_RANGE, -ERANGE, false, "LBA Out of Range"},
	{NVME_SC_CAPACITY_EXCEEDED, -ENOSPC, false, "Capacity Exceeded"},
	{NVME_SC_NAMESPACE_NOT_READY, -EBUSY, true, "Namespace Not Ready"},
	{NVME_SC_RESERVATION_CONFLICT, -EACCES, false, "Reservation Conflict"},
	{NVME_SC_FORMAT_IN_PROGRESS, -EBUSY, false, "Format In Progress"},

	{NVME_SC_INVALID_CQ, -EINVAL, false, "Completion Queue Invalid"},
	{NVME_SC_INVALID_QID, -EINVAL, false, "Invalid Queue Identifier"},
	{NVME_SC_INVALID_QUEUE_SIZE, -EINVAL, false, "Invalid Queue Size"},
	{NVME_SC_ABORT_LIMIT_EXCEEDED, -EBUSY, false, "Abort Command Limit Exceeded"},
	{NVME_SC_AER_LIMIT_EXCEEDED, -EBUSY, false, "Asynchronous Event Request Limit Exceeded"},
	{NVME_SC_INVALID_FIRMWARE_SLOT, -EINVAL, false, "Invalid Firmware Slot"},
	{NVME_SC_INVALID_FIRMWARE_IMAGE, -ENOEXEC, false, "Invalid Firmware Image"},
	{NVME_SC_INVALID_INTERRUPT_VECTOR, -EINVAL, false, "Invalid Interrupt Vector"},
	{NVME_SC_INVALID_LOG_PAGE, -EOPNOTSUPP, false, "Invalid Log Page"},
	{NVME_SC_INVALID_FORMAT, -EINVAL, false, "Invalid Format"},
	{NVME_SC_FIRMWARE_NEEDS_CONVENTIONAL, -EINPROGRESS, false, "Firmware Activation Requires Conventional Reset"},
	{NVME_SC_INVALID_QUEUE_DELETION, -EINVAL, false, "Invalid Queue Deletion"},
	{NVME_SC_FEATURE_NOT_SAVEABLE, -EINVAL, false, "Feature Identifier Not Saveable"},
	{NVME_SC_FEATURE_NOT_CHANGEABLE, -EPERM, false, "Feature Not Changeable"},
	{NVME_SC_FEATURE_NOT_NAMESPACE_SPECIFIC, -EINVAL, false, "Feature Not Namespace Specific"},
	{NVME_SC_FIRMWARE_NEEDS_SUBSYSTEM_RESET, -EINPROGRESS, false,
	 "Firmware Activation Requires NVM Subsystem Reset"},
	{NVME_SC_FIRMWARE_NEEDS_RESET, -EINPROGRESS, false, "Firmware Activation Requires Controller Level Reset"},
	{NVME_SC_FIRMWARE_NEEDS_MAX_TIME, -EINPROGRESS, false, "Firmware Activation Requires Maximum Time Violation"},
	{NVME_SC_FIRMWARE_PROHIBITED, -EPERM, false, "Firmware Activation Prohibited"},
	{NVME_SC_OVERLAPPING_RANGE, -EINVAL, false, "Overlapping Range"},
	{NVME_SC_NAMESPACE_CAPACITY, -ENOSPC, false, "Namespace Insufficient Capacity"},
	{NVME_SC_NAMESPACE_ID_UNAVAILABLE, -ENOSPC, false, "Namespace Identifier Unavailable"},
	{NVME_SC_NAMESPACE_ATTACHED, -EEXIST, false, "Namespace Already Attached"},
	{NVME_SC_NAMESPACE_PRIVATE, -EBUSY, false, "Namespace Is Private"},
	{NVME_SC_NAMESPACE_NOT_ATTACHED, -ENOENT, false, "Namespace Not Attached"},
	{NVME_SC_THIN_PROVISIONING_UNSUPPORTED, -EOPNOTSUPP, false, "Thin Provisioning Not Supported"},
	{NVME_SC_INVALID_CONTROLLER_LIST, -EINVAL, false, "Controller List Invalid"},
	{NVME_SC_SELF_TEST_IN_PROGRESS, -EBUSY, false, "Device Self-test In Progress"},
	{NVME_SC_BOOT_PARTITION_PROHIBITED, -EROFS, false, "Boot Partition Write Prohibited"},
	{NVME_SC_INVALID_CONTROLLER_ID, -EINVAL, false, "Invalid Controller Identifier"},
	{NVME_SC_INVALID_SECONDARY_STATE, -EINVAL, false, "Invalid Secondary Controller State"},
	{NVME_SC_INVALID_RESOURCE_COUNT, -EINVAL, false, "Invalid Number of Controller Resources"},
	{NVME_SC_INVALID_RESOURCE_ID, -EINVAL, false, "Invalid Resource Identifier"},
	{NVME_SC_SANITIZE_PMR_ENABLED, -EPERM, false, "Sanitize Prohibited While Persistent Memory Region is Enabled"},
	{NVME_SC_ANA_GROUP_INVALID, -EINVAL, false, "ANA Group Identifier Invalid"},
	{NVME_SC_ANA_ATTACH_FAILED, -EIO, false, "ANA Attach Failed"},
	{NVME_SC_CONFLICTING_ATTRIBUTES, -EINVAL, false, "Conflicting Attributes"},
	{NVME_SC_INVALID_PROTECTION, -EINVAL, false, "Invalid Protection Information"},
	{NVME_SC_READ_ONLY_RANGE, -EROFS, false, "Attempted Write to Read Only Range"},

	{NVME_SC_WRITE_FAULT, -EIO, false, "Write Fault"},
	{NVME_SC_UNRECOVERED_READ, -EIO, false, "Unrecovered Read Error"},
	{NVME_SC_GUARD_CHECK, -EIO, false, "End-to-end Guard Check Error"},
	{NVME_SC_APPTAG_CHECK, -EIO, false, "End-to-end Application Tag Check Error"},
	{NVME_SC_REFTAG_CHECK, -EIO, false, "End-to-end Reference Tag Check Error"},
	{NVME_SC_COMPARE_FAILURE, -EILSEQ, false, "Compare Failure"},
	{NVME_SC_ACCESS_DENIED, -EACCES, false, "Access Denied"},
	{NVME_SC_UNWRITTEN_BLOCK, -ENODATA, false, "Deallocated or Unwritten Logical Block"},

	{NVME_SC_PATH_INTERNAL, -EIO, true, "Internal Path Error"},
	{NVME_SC_ANA_PERSISTENT_LOSS, -EIO, false, "Asymmetric Access Persistent Loss"},
	{NVME_SC_ANA_INACCESSIBLE, -EIO, false, "Asymmetric Access Inaccessible"},
	{NVME_SC_ANA_TRANSITION, -EIO, true, "Asymmetric Access Transition"},
	{NVME_SC_PATH_CONTROLLER, -EIO, true, "Controller Pathing Error"},
	{NVME_SC_PATH_HOST, -EIO, true, "Host Pathing Error"},
	{NVME_SC_ABORTED_BY_HOST, -ECANCELED, false, "Command Aborted By Host"},
};

static const struct status_row *find(uint16_t status)
{
	size_t low = 0, high = ARRAY_SIZE(rows);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rows[middle].status == status)
			return &rows[middle];
		if (rows[middle].status < status)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

int nvme_status_error(uint16_t status)
{
	const struct status_row *row = find(status);

	return row != NULL ? row->error : -EIO;
}

bool nvme_status_transient(uint16_t status)
{
	const struct status_row *row = find(status);

	return row != NULL && row->transient;
}

/* For what the table does not have. */
static const char *type_text(uint16_t status)
{
	switch (status >> 8) {
	case NVME_SCT_GENERIC:
		return (status & 0xff) >= 0xc0 ? "Vendor Specific Generic Status" : "Unknown Generic Status";
	case NVME_SCT_COMMAND:
		return (status & 0xff) >= 0xc0 ? "Vendor Specific Command Status" : "Unknown Command Specific Status";
	case NVME_SCT_MEDIA:
		return (status & 0xff) >= 0xc0 ? "Vendor Specific Media Error" : "Unknown Media Error";
	case NVME_SCT_PATH:
		return (status & 0xff) >= 0xc0 ? "Vendor Specific Path Error" : "Unknown Path Error";
	case NVME_SCT_VENDOR:
		return "Vendor Specific Status";
	default:
		return "Reserved Status Code Type";
	}
}

const char *ob_nvme_status_text(uint16_t status)
{
	const struct status_row *row = find(status);

	return row != NULL ? row->text : type_text(status);
}

const char *nvme_answer_text(int ret, uint16_t status)
{
	switch (ret) {
	case 0:
		return ob_nvme_status_text(status);
	case -ETIMEDOUT:
		return "no answer";
	case -ECANCELED:
		return "reset";
	case -ENODEV:
		return "the device is gone";
	default:
		return "queue full";
	}
}
