/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command's data pointer, PRPs (NVMe 1.4 §4.3) and SGLs (§4.4), as a walk over pieces of memory.
 *
 * Lists are read as the walk needs them, a few entries at a time; each rule of the specification that a host can break
 * has its status. The number of descriptors is bounded, so that a list that points to itself ends.
 */
#include <string.h>

#include "model/block/nvme/controller.h"

#define LIST_ENTRIES   32    /* read at once */
#define SGL_COUNT_MAX  65536 /* descriptors of one command, all kinds */
#define SGL_LENGTH_MAX 16777216u

/* One piece of a command's data. */
static inline uint16_t piece(struct nvme_model *n, bool to_host, nvme_piece_fn fn, void *arg, uint64_t iova,
			     uint64_t offset, uint32_t len_bytes)
{
	if (OB_UNLIKELY(n->cmb_mapped) &&
	    !nvme_model_cmb_allows(n, iova, len_bytes, to_host ? NVME_CMBSZ_RDS : NVME_CMBSZ_WDS))
		return FAIL(NVME_SC_INVALID_CMB_USE);
	return fn(n, arg, iova, offset, len_bytes);
}

/* Part of a list that says where the data are. */
static uint16_t list_read(struct nvme_model *n, uint64_t iova, void *entries, size_t len_bytes)
{
	if (n->cmb_mapped && !nvme_model_cmb_allows(n, iova, len_bytes, NVME_CMBSZ_LISTS))
		return FAIL(NVME_SC_INVALID_CMB_USE);
	if (nvme_model_dma_read(n, iova, entries, len_bytes) == 0)
		return NVME_SC_SUCCESS;
	n->stats.dma_refused++;
	return FAIL(NVME_SC_DATA_TRANSFER_ERROR);
}

/* ---- PRP ---- */

/* The pages from @offset on, by the list at @list. */
static uint16_t prp_list_walk(struct nvme_model *n, uint64_t list, uint64_t offset, uint32_t len_bytes, bool to_host,
			      nvme_piece_fn fn, void *arg)
{
	uint32_t page = page_bytes(n);
	ob_le64 entries[LIST_ENTRIES];

	if (!IS_ALIGNED(list, 8u))
		return FAIL(NVME_SC_INVALID_PRP_OFFSET);
	while (len_bytes != 0) {
		uint32_t pages_left = DIV_ROUND_UP(len_bytes, page);
		uint32_t room = (uint32_t)(page - (list & (page - 1))) / 8;
		/* The last entry of a page leads to the next list when more than one page is still to come. */
		bool chained = pages_left > room;
		unsigned count = MIN(MIN(chained ? room : pages_left, room), (uint32_t)LIST_ENTRIES);
		uint16_t status = list_read(n, list, entries, count * sizeof(entries[0]));
		bool at_link = chained && count == room;

		for (unsigned i = 0; status == NVME_SC_SUCCESS && i < count - (at_link ? 1 : 0); i++) {
			uint64_t iova = ob_le64_to_cpu(entries[i]);
			uint32_t part = MIN(len_bytes, page);

			if (!IS_ALIGNED(iova, page))
				return FAIL(NVME_SC_INVALID_PRP_OFFSET);
			status = piece(n, to_host, fn, arg, iova, offset, part);
			offset += part;
			len_bytes -= part;
		}
		if (status != NVME_SC_SUCCESS)
			return status;
		list += 8u * count;
		if (at_link) {
			list = ob_le64_to_cpu(entries[count - 1]);
			if (!IS_ALIGNED(list, page))
				return FAIL(NVME_SC_INVALID_PRP_OFFSET);
		}
	}
	return NVME_SC_SUCCESS;
}

static uint16_t prp_walk(struct nvme_model *n, const struct nvme_sqe *sqe, uint32_t len_bytes, bool to_host,
			 nvme_piece_fn fn, void *arg)
{
	uint64_t prp1 = ob_le64_to_cpu(sqe->prp1), prp2 = ob_le64_to_cpu(sqe->prp2);
	uint32_t page = page_bytes(n);
	uint32_t first = MIN(len_bytes, page - (uint32_t)(prp1 & (page - 1)));
	uint16_t status;

	if (OB_UNLIKELY(!IS_ALIGNED(prp1, 4u)))
		return FAIL(NVME_SC_INVALID_PRP_OFFSET);
	status = piece(n, to_host, fn, arg, prp1, 0, first);
	len_bytes -= first;
	if (len_bytes == 0 || status != NVME_SC_SUCCESS)
		return status;
	if (len_bytes > page)
		return prp_list_walk(n, prp2, first, len_bytes, to_host, fn, arg);
	if (!IS_ALIGNED(prp2, page))
		return FAIL(NVME_SC_INVALID_PRP_OFFSET);
	return piece(n, to_host, fn, arg, prp2, first, len_bytes);
}

/* ---- SGL ---- */

struct sgl_walk {
	uint64_t offset;
	uint32_t left; /* bytes of data still to come */
	unsigned count;
	bool to_host;
	nvme_piece_fn fn;
	void *arg;
};

static uint16_t sgl_data(struct nvme_model *n, struct sgl_walk *w, const struct nvme_sgl *d)
{
	uint32_t len_bytes = ob_le32_to_cpu(d->length), part = MIN(len_bytes, w->left);
	bool bucket = FIELD_GET(NVME_SGL_TYPE, d->type) == NVME_SGL_BIT_BUCKET;
	uint16_t status = NVME_SC_SUCCESS;

	if (FIELD_GET(NVME_SGL_SUBTYPE, d->type) != NVME_SGL_SUBTYPE_ADDRESS)
		return FAIL(NVME_SC_SGL_INVALID_TYPE);
	/* A bit bucket swallows what is read; for a write it is as if it were not there (§4.4). */
	if (bucket && !w->to_host)
		return NVME_SC_SUCCESS;
	if (len_bytes > w->left)
		return FAIL(NVME_SC_SGL_INVALID_DATA_LENGTH); /* SGLS says that no SGL may be longer */
	if (!bucket && part != 0)
		status = piece(n, w->to_host, w->fn, w->arg, ob_le64_to_cpu(d->addr), w->offset, part);
	w->offset += part;
	w->left -= part;
	return status;
}

static bool sgl_is_pointer(const struct nvme_sgl *d)
{
	unsigned type = FIELD_GET(NVME_SGL_TYPE, d->type);

	return type == NVME_SGL_SEGMENT || type == NVME_SGL_LAST_SEGMENT;
}

/* The descriptors of one segment; @next gets the pointer to another, if it ends with one. */
static uint16_t sgl_segment_walk(struct nvme_model *n, struct sgl_walk *w, const struct nvme_sgl *segment,
				 struct nvme_sgl *next, bool *has_next)
{
	bool last = FIELD_GET(NVME_SGL_TYPE, segment->type) == NVME_SGL_LAST_SEGMENT;
	uint64_t iova = ob_le64_to_cpu(segment->addr);
	uint32_t len_bytes = ob_le32_to_cpu(segment->length);
	struct nvme_sgl d[LIST_ENTRIES / 2];
	uint16_t status;

	*has_next = false;
	if (len_bytes == 0 || len_bytes % sizeof(*d) != 0 || len_bytes > SGL_LENGTH_MAX)
		return FAIL(NVME_SC_SGL_INVALID_SEGMENT);
	for (uint32_t left = len_bytes / sizeof(*d); left != 0;) {
		uint32_t count = MIN(left, (uint32_t)ARRAY_SIZE(d));

		w->count += count;
		if (w->count > SGL_COUNT_MAX)
			return FAIL(NVME_SC_SGL_INVALID_COUNT);
		status = list_read(n, iova, d, count * sizeof(*d));
		if (status != NVME_SC_SUCCESS)
			return status;
		iova += count * sizeof(*d);
		left -= count;
		for (uint32_t i = 0; i < count; i++) {
			unsigned type = FIELD_GET(NVME_SGL_TYPE, d[i].type);

			if (sgl_is_pointer(&d[i])) {
				/* Only the last descriptor of a segment that is not the last may lead on. */
				if (last || left != 0 || i + 1 != count)
					return FAIL(NVME_SC_SGL_INVALID_SEGMENT);
				*next = d[i];
				*has_next = true;
				return NVME_SC_SUCCESS;
			}
			if (type != NVME_SGL_DATA_BLOCK && type != NVME_SGL_BIT_BUCKET)
				return FAIL(NVME_SC_SGL_INVALID_TYPE);
			status = sgl_data(n, w, &d[i]);
			if (status != NVME_SC_SUCCESS)
				return status;
		}
	}
	return last ? NVME_SC_SUCCESS : FAIL(NVME_SC_SGL_INVALID_COUNT);
}

static uint16_t sgl_walk(struct nvme_model *n, const struct nvme_sqe *sqe, uint32_t len_bytes, bool to_host,
			 nvme_piece_fn fn, void *arg)
{
	struct sgl_walk w = {.left = len_bytes, .to_host = to_host, .fn = fn, .arg = arg};
	struct nvme_sgl segment = sqe->sgl1, next;
	unsigned type = FIELD_GET(NVME_SGL_TYPE, segment.type);
	bool more = sgl_is_pointer(&segment);
	uint16_t status = NVME_SC_SUCCESS;

	if (type == NVME_SGL_DATA_BLOCK || type == NVME_SGL_BIT_BUCKET)
		status = sgl_data(n, &w, &segment);
	else if (!more)
		return FAIL(NVME_SC_SGL_INVALID_TYPE);
	for (unsigned i = 0; more && status == NVME_SC_SUCCESS; i++) {
		if (i > SGL_COUNT_MAX / 2)
			return FAIL(NVME_SC_SGL_INVALID_COUNT);
		if (FIELD_GET(NVME_SGL_SUBTYPE, segment.type) != NVME_SGL_SUBTYPE_ADDRESS)
			return FAIL(NVME_SC_SGL_INVALID_TYPE);
		status = sgl_segment_walk(n, &w, &segment, &next, &more);
		segment = next;
	}
	if (status == NVME_SC_SUCCESS && w.left != 0)
		status = FAIL(NVME_SC_SGL_INVALID_DATA_LENGTH);
	return status;
}

/* ---- both ---- */

uint16_t nvme_model_data(struct nvme_model *n, const struct nvme_cmd *cmd, uint32_t len_bytes, bool to_host,
			 nvme_piece_fn fn, void *arg)
{
	unsigned psdt = FIELD_GET(NVME_CDW0_PSDT, ob_le32_to_cpu(cmd->sqe->cdw0));

	if (OB_LIKELY(psdt == NVME_PSDT_PRP))
		return prp_walk(n, cmd->sqe, len_bytes, to_host, fn, arg);
	/* Admin commands take no SGLs on PCIe (§5, CDW0.PSDT). */
	if (!n->config.sgl || cmd->sq->qid == 0 || psdt > NVME_PSDT_SGL_SEG)
		return FAIL(NVME_SC_INVALID_FIELD);
	return sgl_walk(n, cmd->sqe, len_bytes, to_host, fn, arg);
}

static uint16_t piece_to_host(struct nvme_model *n, void *arg, uint64_t iova, uint64_t offset, uint32_t len_bytes)
{

	if (nvme_model_dma_write(n, iova, (const uint8_t *)arg + offset, len_bytes) == 0)
		return NVME_SC_SUCCESS;
	n->stats.dma_refused++;
	return FAIL(NVME_SC_DATA_TRANSFER_ERROR);
}

static uint16_t piece_from_host(struct nvme_model *n, void *arg, uint64_t iova, uint64_t offset, uint32_t len_bytes)
{

	if (nvme_model_dma_read(n, iova, (uint8_t *)arg + offset, len_bytes) == 0)
		return NVME_SC_SUCCESS;
	n->stats.dma_refused++;
	return FAIL(NVME_SC_DATA_TRANSFER_ERROR);
}

uint16_t nvme_model_to_host(struct nvme_model *n, const struct nvme_cmd *cmd, const void *from, uint32_t len_bytes)
{
	if (OB_UNLIKELY(n->hooks.data != NULL && len_bytes <= BOUNCE_BYTES)) {
		memcpy(n->bounce, from, len_bytes);
		n->hooks.data(n->hooks.arg, n->bounce, len_bytes);
		from = n->bounce;
	}
	return nvme_model_data(n, cmd, len_bytes, true, piece_to_host, (void *)(uintptr_t)from);
}

uint16_t nvme_model_from_host(struct nvme_model *n, const struct nvme_cmd *cmd, void *to, uint32_t len_bytes)
{
	return nvme_model_data(n, cmd, len_bytes, false, piece_from_host, to);
}
