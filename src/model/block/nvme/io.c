/* SPDX-License-Identifier: BSD-2-Clause */
/* The NVM command set: read, write, flush, compare, write zeroes, dataset management (NVMe 1.4 §6). */
#include <errno.h>
#include <string.h>

#include "model/block/nvme/controller.h"

#define AHEAD_BYTES 4096u
#define CACHE_LINE  64u

struct transfer {
	struct nvme_ns *ns;
	uint64_t start; /* byte in the namespace */
};

static uint16_t transfer_error(struct nvme_model *n)
{
	n->stats.dma_refused++;
	return FAIL(NVME_SC_DATA_TRANSFER_ERROR);
}

/* ---- pieces: memory of the host against the backing ---- */

static uint16_t piece_read(struct nvme_model *n, void *arg, uint64_t iova, uint64_t offset, uint32_t len_bytes)
{
	const struct transfer *t = arg;
	struct backing *b = t->ns->backing;

	if (b->memory != NULL)
		return nvme_model_dma_write(n, iova, b->memory + t->start + offset, len_bytes) == 0 ? NVME_SC_SUCCESS
												    : transfer_error(n);
	while (len_bytes != 0) {
		uint32_t part = MIN(len_bytes, BOUNCE_BYTES);

		if (b->ops->read(b, t->start + offset, n->bounce, part) != 0)
			return NVME_SC_UNRECOVERED_READ;
		if (nvme_model_dma_write(n, iova, n->bounce, part) != 0)
			return transfer_error(n);
		iova += part;
		offset += part;
		len_bytes -= part;
	}
	return NVME_SC_SUCCESS;
}

/* No data at all: what is left is to see that the memory was valid, which only a real access can. */
static uint16_t piece_nothing(struct nvme_model *n, void *arg, uint64_t iova, uint64_t offset, uint32_t len_bytes)
{
	return NVME_SC_SUCCESS;
}

static uint16_t piece_write(struct nvme_model *n, void *arg, uint64_t iova, uint64_t offset, uint32_t len_bytes)
{
	const struct transfer *t = arg;
	struct backing *b = t->ns->backing;

	if (b->memory != NULL)
		return nvme_model_dma_read(n, iova, b->memory + t->start + offset, len_bytes) == 0 ? NVME_SC_SUCCESS
												   : transfer_error(n);
	while (len_bytes != 0) {
		uint32_t part = MIN(len_bytes, BOUNCE_BYTES);

		if (nvme_model_dma_read(n, iova, n->bounce, part) != 0)
			return transfer_error(n);
		if (b->ops->write(b, t->start + offset, n->bounce, part) != 0)
			return NVME_SC_WRITE_FAULT;
		iova += part;
		offset += part;
		len_bytes -= part;
	}
	return NVME_SC_SUCCESS;
}

static uint16_t piece_compare(struct nvme_model *n, void *arg, uint64_t iova, uint64_t offset, uint32_t len_bytes)
{
	const struct transfer *t = arg;
	struct backing *b = t->ns->backing;

	while (len_bytes != 0) {
		uint32_t part = MIN(len_bytes, BOUNCE_BYTES / 2);
		uint8_t *theirs = n->bounce, *ours = n->bounce + BOUNCE_BYTES / 2;

		if (nvme_model_dma_read(n, iova, theirs, part) != 0)
			return transfer_error(n);
		if (b->ops->read(b, t->start + offset, ours, part) != 0)
			return NVME_SC_UNRECOVERED_READ;
		if (memcmp(theirs, ours, part) != 0)
			return FAIL(NVME_SC_COMPARE_FAILURE);
		iova += part;
		offset += part;
		len_bytes -= part;
	}
	return NVME_SC_SUCCESS;
}

/* ---- commands ---- */

/*
 * The next command is a read: have the caches fetch the beginning of what it asks for while the present one is executed.
 * The command is not checked yet.
 */
void nvme_model_io_ahead(struct nvme_model *n, const struct nvme_sqe *sqe)
{
	uint64_t lba = (uint64_t)ob_le32_to_cpu(sqe->cdw11) << 32 | ob_le32_to_cpu(sqe->cdw10);
	uint64_t len_bytes = (uint64_t)FIELD_GET(NVME_RW_NLB, ob_le32_to_cpu(sqe->cdw12)) + 1;
	const struct nvme_ns *ns = nvme_model_namespace(n, ob_le32_to_cpu(sqe->nsid));
	const uint8_t *memory;

	if (ns == NULL || ns->backing->memory == NULL || (ob_le32_to_cpu(sqe->cdw0) & 0xff) != NVME_CMD_READ ||
	    lba >= ns->block_count || len_bytes > ns->block_count - lba)
		return;
	memory = ns->backing->memory + (lba << ns->lba_shift);
	len_bytes = MIN(len_bytes << ns->lba_shift, AHEAD_BYTES);
	for (uint64_t at = 0; at < len_bytes; at += CACHE_LINE)
		__builtin_prefetch(memory + at, 0, 2);
}

struct range {
	uint64_t lba;
	uint32_t block_count;
	uint64_t len_bytes;
};

/* The blocks of a command, checked against the namespace. */
static uint16_t command_range(const struct nvme_ns *ns, struct nvme_cmd *cmd, struct range *out)
{
	out->lba = (uint64_t)ob_le32_to_cpu(cmd->sqe->cdw11) << 32 | ob_le32_to_cpu(cmd->sqe->cdw10);
	out->block_count = FIELD_GET(NVME_RW_NLB, ob_le32_to_cpu(cmd->sqe->cdw12)) + 1;
	out->len_bytes = (uint64_t)out->block_count << ns->lba_shift;
	cmd->lba = out->lba;
	if (out->lba >= ns->block_count || out->block_count > ns->block_count - out->lba)
		return FAIL(NVME_SC_LBA_OUT_OF_RANGE);
	return NVME_SC_SUCCESS;
}

/* MDTS is in units of the smallest memory page, whatever page is in use (§5.15.2.2). */
static bool exceeds_mdts(const struct nvme_model *n, uint64_t len_bytes)
{
	return n->config.mdts != 0 && len_bytes > 4096ull << n->config.mdts;
}

static uint16_t make_durable(struct nvme_model *n, struct nvme_ns *ns)
{
	return ns->backing->ops->flush(ns->backing) == 0 ? NVME_SC_SUCCESS : NVME_SC_WRITE_FAULT;
}

/*
 * A write has to be on the medium when it ends if it says so, or if there is no cache to hold it. What was written before
 * need not be (§6.15): who relies on that shall not get it.
 */
static uint16_t write_end(struct nvme_model *n, struct nvme_ns *ns, const struct range *range, uint32_t cdw12)
{
	struct backing *b = ns->backing;

	if ((cdw12 & NVME_RW_FUA) == 0 && (n->feature.write_cache & NVME_VWC_ENABLE) != 0)
		return NVME_SC_SUCCESS;
	if (b->ops->persist == NULL)
		return make_durable(n, ns);
	return b->ops->persist(b, range->lba << ns->lba_shift, range->len_bytes) == 0 ? NVME_SC_SUCCESS
										      : NVME_SC_WRITE_FAULT;
}

static uint16_t io_read(struct nvme_model *n, struct nvme_ns *ns, struct nvme_cmd *cmd)
{
	struct transfer t = {.ns = ns};
	struct range range;
	uint16_t status = command_range(ns, cmd, &range);

	if (OB_UNLIKELY(exceeds_mdts(n, range.len_bytes)))
		return FAIL(NVME_SC_INVALID_FIELD);
	if (OB_UNLIKELY(status != NVME_SC_SUCCESS))
		return status;
	t.start = range.lba << ns->lba_shift;
	n->reads++;
	n->sectors_read += range.len_bytes >> 9;
	return nvme_model_data(n, cmd, (uint32_t)range.len_bytes, true,
			       ns->backing->discards ? piece_nothing : piece_read, &t);
}

static uint16_t io_write(struct nvme_model *n, struct nvme_ns *ns, struct nvme_cmd *cmd)
{
	struct transfer t = {.ns = ns};
	struct range range;
	uint16_t status = command_range(ns, cmd, &range);

	if (exceeds_mdts(n, range.len_bytes))
		return FAIL(NVME_SC_INVALID_FIELD);
	if (status != NVME_SC_SUCCESS)
		return status;
	if (ns->read_only)
		return FAIL(NVME_SC_NAMESPACE_WRITE_PROTECTED);
	t.start = range.lba << ns->lba_shift;
	n->writes++;
	n->sectors_written += range.len_bytes >> 9;
	status = nvme_model_data(n, cmd, (uint32_t)range.len_bytes, false,
				 ns->backing->discards ? piece_nothing : piece_write, &t);
	return status != NVME_SC_SUCCESS ? status : write_end(n, ns, &range, ob_le32_to_cpu(cmd->sqe->cdw12));
}

static uint16_t io_compare(struct nvme_model *n, struct nvme_ns *ns, struct nvme_cmd *cmd)
{
	struct transfer t = {.ns = ns};
	struct range range;
	uint16_t status = command_range(ns, cmd, &range);

	if (exceeds_mdts(n, range.len_bytes))
		return FAIL(NVME_SC_INVALID_FIELD);
	if (status != NVME_SC_SUCCESS)
		return status;
	t.start = range.lba << ns->lba_shift;
	n->reads++;
	n->sectors_read += range.len_bytes >> 9;
	return nvme_model_data(n, cmd, (uint32_t)range.len_bytes, false, piece_compare, &t);
}

static uint16_t io_write_zeroes(struct nvme_model *n, struct nvme_ns *ns, struct nvme_cmd *cmd)
{
	struct backing *b = ns->backing;
	uint32_t cdw12 = ob_le32_to_cpu(cmd->sqe->cdw12);
	struct range range;
	uint16_t status = command_range(ns, cmd, &range);

	if (status != NVME_SC_SUCCESS)
		return status;
	if (ns->read_only)
		return FAIL(NVME_SC_NAMESPACE_WRITE_PROTECTED);
	if (b->ops->zero(b, range.lba << ns->lba_shift, range.len_bytes, (cdw12 & NVME_RW_DEAC) != 0) != 0)
		return NVME_SC_WRITE_FAULT;
	return write_end(n, ns, &range, cdw12);
}

static uint16_t io_flush(struct nvme_model *n, struct nvme_cmd *cmd)
{
	struct nvme_ns *ns;

	if (cmd->nsid == NVME_NSID_ALL) {
		nvme_model_namespaces_flush(n);
		return NVME_SC_SUCCESS;
	}
	ns = nvme_model_namespace(n, cmd->nsid);
	return make_durable(n, ns);
}

static uint16_t io_dsm(struct nvme_model *n, struct nvme_ns *ns, struct nvme_cmd *cmd)
{
	unsigned count = FIELD_GET(NVME_DSM_NR, ob_le32_to_cpu(cmd->sqe->cdw10)) + 1;
	struct nvme_dsm_range ranges[NVME_DSM_RANGE_MAX];
	struct backing *b = ns->backing;
	uint16_t status;

	if ((ob_le32_to_cpu(cmd->sqe->cdw11) & NVME_DSM_AD) == 0)
		return NVME_SC_SUCCESS; /* the rest is advice */
	status = nvme_model_from_host(n, cmd, ranges, count * (uint32_t)sizeof(ranges[0]));
	if (status != NVME_SC_SUCCESS)
		return status;
	if (ns->read_only)
		return FAIL(NVME_SC_NAMESPACE_WRITE_PROTECTED);
	for (unsigned i = 0; i < count; i++) {
		uint64_t lba = ob_le64_to_cpu(ranges[i].slba);

		if (lba > ns->block_count || ob_le32_to_cpu(ranges[i].length) > ns->block_count - lba)
			return FAIL(NVME_SC_LBA_OUT_OF_RANGE);
	}
	for (unsigned i = 0; i < count; i++) {
		uint64_t len_bytes = (uint64_t)ob_le32_to_cpu(ranges[i].length) << ns->lba_shift;

		if (len_bytes != 0 &&
		    b->ops->zero(b, ob_le64_to_cpu(ranges[i].slba) << ns->lba_shift, len_bytes, true) != 0)
			return NVME_SC_WRITE_FAULT;
	}
	return (n->feature.write_cache & NVME_VWC_ENABLE) != 0 ? NVME_SC_SUCCESS : make_durable(n, ns);
}

static uint16_t execute_io(struct nvme_model *n, struct nvme_ns *ns, struct nvme_cmd *cmd)
{
	switch (cmd->opcode) {
	case NVME_CMD_READ:
		return io_read(n, ns, cmd);
	case NVME_CMD_WRITE:
		return io_write(n, ns, cmd);
	case NVME_CMD_FLUSH:
		return io_flush(n, cmd);
	case NVME_CMD_COMPARE:
		return n->config.compare ? io_compare(n, ns, cmd) : FAIL(NVME_SC_INVALID_OPCODE);
	case NVME_CMD_WRITE_ZEROES:
		return n->config.write_zeroes ? io_write_zeroes(n, ns, cmd) : FAIL(NVME_SC_INVALID_OPCODE);
	case NVME_CMD_DSM:
		return n->config.dataset_management ? io_dsm(n, ns, cmd) : FAIL(NVME_SC_INVALID_OPCODE);
	default:
		return FAIL(NVME_SC_INVALID_OPCODE);
	}
}

uint16_t nvme_model_io(struct nvme_model *n, struct nvme_cmd *cmd)
{
	struct nvme_ns *ns = nvme_model_namespace(n, cmd->nsid);
	uint16_t status;

	if (OB_UNLIKELY(ns == NULL || !ns->attached)) {
		if (cmd->opcode == NVME_CMD_FLUSH && cmd->nsid == NVME_NSID_ALL)
			return io_flush(n, cmd);
		/* An id that exists but is not attached is inactive (§6.1.2); both are no namespace to work on. */
		return nvme_model_nsid_is_valid(n, cmd->nsid) ? FAIL(NVME_SC_INVALID_FIELD)
							      : FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	}
	status = execute_io(n, ns, cmd);
	if (OB_UNLIKELY(status == NVME_SC_UNRECOVERED_READ || status == NVME_SC_WRITE_FAULT))
		n->media_errors++;
	return status;
}
