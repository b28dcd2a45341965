/* SPDX-License-Identifier: BSD-2-Clause */
/* What requests ask for (VIRTIO 1.2 §5.2.6). However a driver cuts them into pieces, it is bytes that count (§2.6.4). */
#include <string.h>

#include "model/block/virtio_blk/model.h"

struct vblk_model_request vblk_model_view(const struct request *r)
{
	return (struct vblk_model_request){
		.queue = r->queue,
		.id = r->chain.id,
		.type = ob_le32_to_cpu(r->header.type),
		.sector = ob_le64_to_cpu(r->header.sector),
		.sector_count = r->data_bytes >> VIRTIO_BLK_SECTOR_SHIFT,
	};
}

static const struct virtqueue_piece *in_pieces(const struct request *r)
{
	return &r->pieces[r->chain.out_count];
}

bool vblk_model_take(struct vblk_model *m, struct request *r)
{
	uint64_t out_bytes = r->chain.out_bytes;

	if (out_bytes < sizeof(r->header) || r->chain.in_bytes == 0) {
		virtio_model_fail(&m->virtio, "a request without header or status");
		return false;
	}
	if (virtio_model_gather(&m->virtio, r->pieces, r->chain.out_count, 0, &r->header, sizeof(r->header)) != 0) {
		virtio_model_fail(&m->virtio, "a request's header cannot be read");
		return false;
	}
	out_bytes -= sizeof(r->header);
	/* Of what has data in both directions, which nothing has, the driver gets what it deserves. */
	r->data_bytes = (uint32_t)MIN(out_bytes != 0 ? out_bytes : r->chain.in_bytes - 1, (uint64_t)UINT32_MAX);
	return true;
}

/* ---- data ---- */

/* @write: from the driver's memory to the backing; otherwise the other way. */
static int piece_move(struct vblk_model *m, bool write, uint64_t addr, uint64_t offset, uint32_t len_bytes)
{
	struct model_host *host = m->virtio.host;
	struct backing *b = m->backing;

	if (b->memory != NULL)
		return write ? host->ops->dma_read(host, addr, b->memory + offset, len_bytes)
			     : host->ops->dma_write(host, addr, b->memory + offset, len_bytes);
	while (len_bytes != 0) {
		uint32_t part = MIN(len_bytes, BOUNCE_BYTES);
		int ret = write ? host->ops->dma_read(host, addr, m->bounce, part)
				: b->ops->read(b, offset, m->bounce, part);

		if (ret == 0)
			ret = write ? b->ops->write(b, offset, m->bounce, part)
				    : host->ops->dma_write(host, addr, m->bounce, part);
		if (ret != 0)
			return ret;
		addr += part;
		offset += part;
		len_bytes -= part;
	}
	return 0;
}

/* The data's pieces in turn: from byte @skip of these, the request's data_bytes. */
static uint8_t for_pieces(struct vblk_model *m, const struct request *r, const struct virtqueue_piece *pieces,
			  uint64_t skip, uint64_t offset, bool write)
{
	uint32_t left = r->data_bytes;

	for (unsigned i = 0; left > 0; i++) {
		uint32_t part;

		if (skip >= pieces[i].len_bytes) {
			skip -= pieces[i].len_bytes;
			continue;
		}
		part = MIN(left, pieces[i].len_bytes - (uint32_t)skip);
		if (piece_move(m, write, pieces[i].addr + skip, offset, part) != 0) {
			m->virtio.stats.dma_refused++;
			return VIRTIO_BLK_S_IOERR;
		}
		offset += part;
		left -= part;
		skip = 0;
	}
	return VIRTIO_BLK_S_OK;
}

/* ---- what it may ask for ---- */

static bool range_is_good(const struct vblk_model *m, uint64_t sector, uint64_t count)
{
	uint64_t capacity = m->backing->len_bytes >> VIRTIO_BLK_SECTOR_SHIFT;
	uint64_t block = m->block_bytes >> VIRTIO_BLK_SECTOR_SHIFT;

	return sector <= capacity && count <= capacity - sector && sector % block == 0 && count % block == 0;
}

static uint8_t make_durable(struct vblk_model *m, uint64_t offset, uint64_t len_bytes)
{
	struct backing *b = m->backing;
	bool cached = virtio_model_has(&m->virtio, VIRTIO_BLK_F_FLUSH) &&
		      (!virtio_model_has(&m->virtio, VIRTIO_BLK_F_CONFIG_WCE) || m->space.writeback != 0);
	int ret;

	/* With a cache what was written need not be on the medium: who relies on that shall not get it. */
	if (cached)
		return VIRTIO_BLK_S_OK;
	ret = b->ops->persist != NULL ? b->ops->persist(b, offset, len_bytes) : b->ops->flush(b);
	return ret == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static uint8_t do_transfer(struct vblk_model *m, const struct request *r, bool write)
{
	uint64_t sector = ob_le64_to_cpu(r->header.sector), offset = sector << VIRTIO_BLK_SECTOR_SHIFT;
	uint8_t status;

	if (r->data_bytes % VIRTIO_BLK_SECTOR_BYTES != 0 ||
	    !range_is_good(m, sector, r->data_bytes >> VIRTIO_BLK_SECTOR_SHIFT) ||
	    (write && (m->config.read_only || r->chain.out_bytes != sizeof(r->header) + (uint64_t)r->data_bytes)) ||
	    (!write && r->chain.in_bytes != 1 + (uint64_t)r->data_bytes))
		return VIRTIO_BLK_S_IOERR;
	if (!write)
		return m->backing->discards ? VIRTIO_BLK_S_OK : for_pieces(m, r, in_pieces(r), 0, offset, false);
	status = m->backing->discards ? VIRTIO_BLK_S_OK : for_pieces(m, r, r->pieces, sizeof(r->header), offset, true);
	return status == VIRTIO_BLK_S_OK ? make_durable(m, offset, r->data_bytes) : status;
}

/* One segment of a discard or write zeroes. */
static uint8_t do_range(struct vblk_model *m, const struct virtio_blk_range *range, bool zeroes)
{
	uint64_t sector = ob_le64_to_cpu(range->sector), offset = sector << VIRTIO_BLK_SECTOR_SHIFT;
	uint64_t count = ob_le32_to_cpu(range->num_sectors), len_bytes = count << VIRTIO_BLK_SECTOR_SHIFT;
	uint32_t flags = ob_le32_to_cpu(range->flags);
	struct backing *b = m->backing;

	/* Flags that a command does not have are refused as such (§5.2.6.2). */
	if ((flags & ~(zeroes ? VIRTIO_BLK_RANGE_UNMAP : 0u)) != 0)
		return VIRTIO_BLK_S_UNSUPP;
	if (!range_is_good(m, sector, count) ||
	    count > ob_le32_to_cpu(zeroes ? m->space.max_write_zeroes_sectors : m->space.max_discard_sectors))
		return VIRTIO_BLK_S_IOERR;
	if (b->ops->zero(b, offset, len_bytes, !zeroes || flags != 0) != 0)
		return VIRTIO_BLK_S_IOERR;
	return make_durable(m, offset, len_bytes);
}

static uint8_t do_ranges(struct vblk_model *m, const struct request *r, bool zeroes)
{
	uint32_t count = r->data_bytes / sizeof(struct virtio_blk_range);
	uint8_t status = VIRTIO_BLK_S_OK;

	if (!virtio_model_has(&m->virtio, zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD))
		return VIRTIO_BLK_S_UNSUPP;
	if (m->config.read_only || r->data_bytes % sizeof(struct virtio_blk_range) != 0 || count == 0 ||
	    count > ob_le32_to_cpu(zeroes ? m->space.max_write_zeroes_seg : m->space.max_discard_seg))
		return VIRTIO_BLK_S_IOERR;
	for (uint32_t i = 0; i < count && status == VIRTIO_BLK_S_OK; i++) {
		struct virtio_blk_range range;

		if (virtio_model_gather(&m->virtio, r->pieces, r->chain.out_count,
					sizeof(r->header) + i * sizeof(range), &range, sizeof(range)) != 0)
			return VIRTIO_BLK_S_IOERR;
		status = do_range(m, &range, zeroes);
	}
	return status;
}

static uint8_t answer(struct vblk_model *m, const struct request *r, const void *from, uint32_t len_bytes)
{
	if (virtio_model_scatter(&m->virtio, in_pieces(r), r->chain.in_count, 0, from, MIN(len_bytes, r->data_bytes)) !=
	    0)
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t dispatch(struct vblk_model *m, const struct request *r)
{
	struct backing *b = m->backing;

	switch (ob_le32_to_cpu(r->header.type)) {
	case VIRTIO_BLK_T_IN:
		return do_transfer(m, r, false);
	case VIRTIO_BLK_T_OUT:
		return do_transfer(m, r, true);
	case VIRTIO_BLK_T_FLUSH:
		if (!virtio_model_has(&m->virtio, VIRTIO_BLK_F_FLUSH))
			return VIRTIO_BLK_S_UNSUPP;
		return b->ops->flush(b) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	case VIRTIO_BLK_T_GET_ID:
		return answer(m, r, m->config.serial, VIRTIO_BLK_ID_BYTES);
	case VIRTIO_BLK_T_GET_LIFETIME:
		if (!virtio_model_has(&m->virtio, VIRTIO_BLK_F_LIFETIME))
			return VIRTIO_BLK_S_UNSUPP;
		return answer(m, r, &m->lifetime, sizeof(m->lifetime));
	case VIRTIO_BLK_T_DISCARD:
		return do_ranges(m, r, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return do_ranges(m, r, true);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

void vblk_model_execute(struct vblk_model *m, struct request *r)
{
	struct vblk_model_request view = vblk_model_view(r);
	uint8_t status = VIRTIO_BLK_S_OK;

	if (m->hooks.fail != NULL)
		status = m->hooks.fail(m->hooks.arg, &view);
	if (status == VIRTIO_BLK_S_OK)
		status = dispatch(m, r);
	if (m->hooks.ending != NULL)
		m->hooks.ending(m->hooks.arg, &view, &status);
	/* The status is the last byte of all; what is before it counts as written (§2.7.8.2). */
	if (virtio_model_scatter(&m->virtio, in_pieces(r), r->chain.in_count, r->chain.in_bytes - 1, &status, 1) != 0) {
		virtio_model_fail(&m->virtio, "a request's status cannot be written");
		return;
	}
	virtio_model_push(&m->virtio, r->queue, &r->chain, r->chain.in_bytes);
}
