/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk. A request is a header that we read, data, and a status byte that we write last (§5.2.6); how that is spread
 * over descriptors is the driver's choice (§2.7.4.3), so all three are found by counting bytes.
 *
 * What breaks these rules, or lies in memory that is not shared, ends the connection: there is no status byte to say it
 * with. What is merely wrong (a range beyond the end, an unknown type) ends with a status.
 */
#include "serve/vhost_user/blk.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "serve/vhost_user/client.h"
#include "serve/vhost_user/queue.h"
#include "spec/virtio.h"

#define HEADER_BYTES sizeof(struct virtio_blk_header)

/* ---- what the disk is ---- */

uint64_t vu_blk_features(const struct ob_block_limits *l, bool read_only, unsigned queues)
{
	uint64_t features = BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_TOPOLOGY);

	if (read_only || l->read_only)
		features |= BIT64(VIRTIO_BLK_F_RO);
	if (l->flush && l->volatile_cache)
		features |= BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_CONFIG_WCE);
	if (queues > 1)
		features |= BIT64(VIRTIO_BLK_F_MQ);
	if (l->trim)
		features |= BIT64(VIRTIO_BLK_F_DISCARD);
	if (l->write_zeroes)
		features |= BIT64(VIRTIO_BLK_F_WRITE_ZEROES);
	return features;
}

/* Blocks to sectors, in 32 bits and still whole blocks. */
static uint32_t sectors_max(const struct ob_block_limits *l, uint32_t blocks)
{
	uint32_t per_block = l->block_bytes / VIRTIO_BLK_SECTOR_BYTES;

	return (uint32_t)MIN((uint64_t)blocks * per_block, (uint64_t)ALIGN_DOWN((uint32_t)INT32_MAX, per_block));
}

void vu_blk_config(const struct ob_block_limits *l, unsigned queues, bool writeback, struct virtio_blk_config *out)
{
	uint32_t per_block = l->block_bytes / VIRTIO_BLK_SECTOR_BYTES;
	uint32_t segments = MIN((uint32_t)VU_DATA_SEGMENTS, l->request_segment_max);

	memset(out, 0, sizeof(*out));
	out->capacity = ob_cpu_to_le64(l->block_count * per_block);
	out->seg_max = ob_cpu_to_le32(segments);
	out->blk_size = ob_cpu_to_le32(l->block_bytes);
	out->topology.physical_block_exp = (uint8_t)__builtin_ctz(l->physical_bytes / l->block_bytes);
	out->topology.min_io_size = ob_cpu_to_le16(
		(uint16_t)MIN(l->physical_bytes / l->block_bytes, (uint32_t)UINT16_MAX));
	out->topology.opt_io_size = ob_cpu_to_le32(l->optimal_bytes / l->block_bytes);
	out->writeback = writeback;
	out->num_queues = ob_cpu_to_le16((uint16_t)queues);
	out->discard_sector_alignment = ob_cpu_to_le32(per_block);
	if (l->trim) {
		out->max_discard_sectors = ob_cpu_to_le32(sectors_max(l, l->trim_max_blocks));
		out->max_discard_seg = ob_cpu_to_le32(VU_RANGES_MAX);
	}
	if (l->write_zeroes) {
		out->max_write_zeroes_sectors = ob_cpu_to_le32(sectors_max(l, l->zeroes_max_blocks));
		out->max_write_zeroes_seg = ob_cpu_to_le32(VU_RANGES_MAX);
		out->write_zeroes_may_unmap = l->trim;
	}
}

/* ---- memory of a request ---- */

/* What lies between @skip bytes from the front and @skip + @len_bytes of these pieces. Copied once. */
static int copy_out(const struct vu_memory *m, const struct virtqueue_piece *pieces, unsigned count, uint64_t skip,
		    void *to, uint64_t len_bytes)
{
	uint8_t *at = to;

	for (unsigned i = 0; i < count && len_bytes > 0; i++) {
		uint64_t address = pieces[i].addr + skip, left = pieces[i].len_bytes, room = 0;

		if (skip >= left) {
			skip -= left;
			continue;
		}
		left = MIN(left - skip, len_bytes);
		skip = 0;
		while (left > 0) {
			const struct vu_region *r = vu_memory_guest(m, address, &room);
			uint64_t now = MIN(left, room);

			if (r == NULL)
				return -EACCES;
			ob_dma_copy(at, r->base + (address - r->guest_address), now);
			at += now;
			address += now;
			left -= now;
			len_bytes -= now;
		}
	}
	return len_bytes == 0 ? 0 : -EPROTO;
}

/*
 * The same bytes as segments of @r, behind those that it has, and the window that has them all. -E2BIG: more segments than there may be; -EACCES:
 * they are in no region.
 */
static int map_data(const struct vu_memory *m, struct vu_request *r, const struct virtqueue_piece *pieces,
		    unsigned count, uint64_t skip, uint64_t len_bytes)
{
	struct ob_block_request *request = &r->request;
	unsigned used = request->segment_count;

	for (unsigned i = 0; i < count && len_bytes > 0; i++) {
		uint64_t address = pieces[i].addr + skip, left = pieces[i].len_bytes, room = 0;

		if (skip >= left) {
			skip -= left;
			continue;
		}
		left = MIN(left - skip, len_bytes);
		skip = 0;
		len_bytes -= left;
		while (left > 0) {
			const struct vu_region *region = vu_memory_guest(m, address, &room);
			uint64_t now = MIN(left, room);

			if (region == NULL)
				return -EACCES;
			if (used == VU_SEGMENTS_MAX - 1) /* one is for add_edge() */
				return -E2BIG;
			if (used == 0)
				request->window = region->window;
			else if (request->window != region->window)
				request->window = NULL;
			r->segments[used++] = (struct ob_segment){
				.base = region->base + (address - region->guest_address),
				.len_bytes = now,
			};
			address += now;
			left -= now;
		}
	}
	request->segments = r->segments;
	request->segment_count = (uint16_t)used;
	return 0;
}

/* ---- requests ---- */

static uint8_t status_of(int error)
{
	if (error == 0)
		return VIRTIO_BLK_S_OK;
	return error == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

void vu_blk_end(struct vu_request *r, int error)
{
	vu_queue_end(r, status_of(error));
}

static void request_done(struct ob_block_request *request)
{
	vu_blk_end((struct vu_request *)(void *)request, request->status);
}

static uint32_t sectors_per_block(const struct vu_queue *q)
{
	return q->client->server->limits.block_bytes / VIRTIO_BLK_SECTOR_BYTES;
}

/* Sectors to blocks, which they are whole ones of. -EINVAL: far too many, or none. */
static int set_range(struct vu_queue *q, struct ob_block_request *request, uint64_t sector, uint64_t sectors)
{
	uint32_t per_block = sectors_per_block(q);

	if (!IS_ALIGNED(sector | sectors, (uint64_t)per_block) || sectors == 0 || sectors / per_block > UINT32_MAX)
		return -EINVAL;
	request->lba = sector / per_block;
	request->block_count = (uint32_t)(sectors / per_block);
	return 0;
}

/* What a block has, and the client has no data for, is somewhere else. */
static void add_edge(struct vu_request *r, uint8_t *base, uint32_t sectors)
{
	if (sectors == 0)
		return;
	r->segments[r->request.segment_count++] = (struct ob_segment){
		.base = base,
		.len_bytes = sectors * (size_t)VIRTIO_BLK_SECTOR_BYTES,
	};
	r->request.window = NULL;
}

void vu_blk_submit(struct vu_request *r)
{
	int ret = ob_block_submit(r->queue->lane->channel, &r->request);

	if (ret != 0)
		vu_blk_end(r, ret);
}

static void submit(struct vu_queue *q, struct vu_request *r)
{
	r->request.done = request_done;
	if (r->request.segment_count != 0 && r->request.window == NULL)
		q->copied++;
	vu_blk_submit(r);
}

/* As submit(), of what changes the disk. */
static void submit_change(struct vu_queue *q, struct vu_request *r, void (*done)(struct ob_block_request *request))
{
	struct vu_part_lane *part = &q->lane->part;

	r->request.done = done;
	if (r->request.segment_count != 0 && r->request.window == NULL)
		q->copied++;
	if (r->part_before || r->part_behind)
		vu_part_write(part, r);
	else if (part->parts == NULL || vu_part_enter(part, r))
		vu_blk_submit(r);
}

/* Without FLUSH, or when the driver has switched the cache off, a write is durable when it ends (§5.2.6.2). */
static uint8_t write_flags(const struct vu_queue *q)
{
	const struct vu_client *c = q->client;
	bool cached = vu_client_has(c, VIRTIO_BLK_F_FLUSH) && c->writeback;

	return c->server->limits.volatile_cache && !cached ? OB_BLOCK_FUA : 0;
}

static int check_write(const struct vu_queue *q, uint64_t len_bytes)
{
	if (len_bytes == 0 || !IS_ALIGNED(len_bytes, (uint64_t)VIRTIO_BLK_SECTOR_BYTES))
		return -EINVAL;
	return vu_client_is_read_only(q->client) ? -EROFS : 0;
}

/*
 * The whole blocks that these sectors are of, and the data, between what the first and the last block have besides, which is
 * at @front, and ends at @back. blk_size is advice: the unit is the sector all the same (§5.2.5).
 */
static int set_data(struct vu_queue *q, struct vu_request *r, uint64_t sector, const struct virtqueue_piece *pieces,
		    unsigned count, uint64_t skip, uint64_t len_bytes, uint8_t *front, uint8_t *back)
{
	uint32_t per_block = sectors_per_block(q), before = (uint32_t)(sector % per_block), behind;
	uint64_t sectors = len_bytes / VIRTIO_BLK_SECTOR_BYTES;
	int ret;

	behind = (uint32_t)(ALIGN_UP(before + sectors, (uint64_t)per_block) - before - sectors);
	ret = set_range(q, &r->request, sector - before, before + sectors + behind);
	if (ret != 0)
		return ret;
	r->part_before = before != 0;
	r->part_behind = behind != 0;
	add_edge(r, front, before);
	ret = map_data(q->memory, r, pieces, count, skip, len_bytes);
	if (ret == 0)
		add_edge(r, behind != 0 ? back - behind * (size_t)VIRTIO_BLK_SECTOR_BYTES : NULL, behind);
	return ret;
}

static int start_write(struct vu_queue *q, struct vu_request *r, const struct virtqueue_piece *pieces, uint64_t sector)
{
	uint64_t len_bytes = r->chain.out_bytes - HEADER_BYTES;
	uint8_t *edges = q->lane->part.edges; /* two blocks */
	size_t edges_bytes = 2 * (size_t)q->client->server->limits.block_bytes;
	int ret = check_write(q, len_bytes);

	r->request.op = OB_BLOCK_WRITE;
	r->request.flags = write_flags(q);
	/* Where blocks are sectors there are no edges, and nothing of them is used. */
	if (ret == 0)
		ret = set_data(q, r, sector, pieces, r->chain.out_count, HEADER_BYTES, len_bytes, edges,
			       edges != NULL ? edges + edges_bytes : NULL);
	return ret;
}

static int start_read(struct vu_queue *q, struct vu_request *r, const struct virtqueue_piece *pieces, uint64_t sector)
{
	const struct virtqueue_chain *c = &r->chain;
	uint64_t len_bytes = c->in_bytes - 1u;
	uint8_t *sink = q->lane->sink; /* a block */

	r->request.op = OB_BLOCK_READ;
	if (len_bytes == 0 || !IS_ALIGNED(len_bytes, (uint64_t)VIRTIO_BLK_SECTOR_BYTES))
		return -EINVAL;
	return set_data(q, r, sector, pieces + c->out_count, c->in_count, 0, len_bytes, sink,
			sink + q->client->server->limits.block_bytes);
}

static int start_data(struct vu_queue *q, struct vu_request *r, const struct virtqueue_piece *pieces, bool write,
		      uint64_t sector)
{
	int ret = write ? start_write(q, r, pieces, sector) : start_read(q, r, pieces, sector);

	if (ret == -EACCES)
		return ret;
	if (ret != 0)
		vu_blk_end(r, ret);
	else if (write)
		submit_change(q, r, request_done);
	else
		submit(q, r);
	return 0;
}

/* ---- ranges ---- */

/*
 * Discarding is advice (§5.2.6.2: what is discarded may be anything after it), and what is only a part of a block stays. 0: the
 * blocks of this range are in the request; -ENODATA: there are none; negative errno.
 */
static int set_discard(struct vu_queue *q, struct ob_block_request *request, uint64_t sector, uint32_t sectors)
{
	uint64_t per_block = sectors_per_block(q);
	uint64_t first = ALIGN_UP(sector, per_block), end = ALIGN_DOWN(sector + sectors, per_block);

	if (sectors == 0)
		return -EINVAL;
	if (sector > INT64_MAX) /* no sum wraps */
		return -ERANGE;
	return first < end ? set_range(q, request, first, end - first) : -ENODATA;
}

/* The next of its ranges that has anything in it. 0; -ENODATA: there is none; negative errno */
static int next_range(struct vu_queue *q, struct vu_request *r)
{
	bool zeroes = r->request.op == OB_BLOCK_WRITE_ZEROES;
	int ret = -ENODATA;

	while (ret == -ENODATA && r->range_index < r->range_count) {
		const struct virtio_blk_range *range = &r->ranges[r->range_index++];
		uint64_t sector = ob_le64_to_cpu(range->sector);
		uint32_t sectors = ob_le32_to_cpu(range->num_sectors);

		r->request.flags = write_flags(q);
		if (zeroes && (ob_le32_to_cpu(range->flags) & VIRTIO_BLK_RANGE_UNMAP) == 0)
			r->request.flags |= OB_BLOCK_NO_TRIM;
		ret = zeroes ? set_range(q, &r->request, sector, sectors)
			     : set_discard(q, &r->request, sector, sectors);
	}
	return ret;
}

/* One after the other: the request of the block class is the one that it has. */
static void range_done(struct ob_block_request *request)
{
	struct vu_request *r = (struct vu_request *)(void *)request;
	struct vu_queue *q = r->queue;
	int ret = request->status != 0 ? request->status : next_range(q, r);

	if (ret == 0)
		ret = ob_block_submit(q->lane->channel, request);
	if (ret == 0)
		ob_block_kick(q->lane->channel);
	else
		vu_blk_end(r, ret == -ENODATA ? 0 : ret);
}

/* §5.2.6.2: unknown flags, and unmap of a discard, are not supported; nothing is done then. */
static int check_ranges(const struct vu_request *r, bool zeroes)
{
	for (unsigned i = 0; i < r->range_count; i++)
		if ((ob_le32_to_cpu(r->ranges[i].flags) & ~(zeroes ? VIRTIO_BLK_RANGE_UNMAP : 0u)) != 0)
			return -EOPNOTSUPP;
	return 0;
}

static int start_ranges(struct vu_queue *q, struct vu_request *r, const struct virtqueue_piece *pieces, bool zeroes)
{
	uint64_t len_bytes = r->chain.out_bytes - HEADER_BYTES;
	int ret;

	if (!vu_client_has(q->client, zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD)) {
		vu_queue_end(r, VIRTIO_BLK_S_UNSUPP);
		return 0;
	}
	if (len_bytes == 0 || len_bytes % sizeof(r->ranges[0]) != 0 || len_bytes > sizeof(r->ranges)) {
		vu_queue_end(r, VIRTIO_BLK_S_IOERR);
		return 0;
	}
	ret = copy_out(q->memory, pieces, r->chain.out_count, HEADER_BYTES, r->ranges, len_bytes);
	if (ret != 0)
		return ret;
	r->range_index = 0;
	r->range_count = (uint16_t)(len_bytes / sizeof(r->ranges[0]));
	r->request.op = zeroes ? OB_BLOCK_WRITE_ZEROES : OB_BLOCK_TRIM;
	ret = check_ranges(r, zeroes);
	if (ret == 0 && vu_client_is_read_only(q->client))
		ret = -EROFS;
	if (ret == 0)
		ret = next_range(q, r);
	if (ret == 0)
		submit_change(q, r, range_done);
	else
		vu_blk_end(r, ret == -ENODATA ? 0 : ret);
	return 0;
}

static int get_id(struct vu_queue *q, struct vu_request *r, const struct virtqueue_piece *pieces)
{
	char id[VIRTIO_BLK_ID_BYTES] = "";
	const char *serial = ob_block_serial(q->client->server->config.block);
	size_t offset = 0, room = MIN(sizeof(id), (size_t)r->chain.in_bytes - 1);
	int ret = map_data(q->memory, r, pieces + r->chain.out_count, r->chain.in_count, 0, room);

	if (ret == -EACCES)
		return ret;
	memcpy(id, serial, strnlen(serial, sizeof(id)));
	for (unsigned i = 0; ret == 0 && i < r->request.segment_count; i++) {
		ob_dma_copy(r->segments[i].base, id + offset, r->segments[i].len_bytes);
		offset += r->segments[i].len_bytes;
	}
	vu_blk_end(r, ret);
	return 0;
}

static uint8_t *find_status(const struct vu_memory *m, const struct virtqueue_piece *last)
{
	return vu_memory_pointer(m, last->addr + last->len_bytes - 1, 1);
}

int vu_blk_start(struct vu_queue *q, struct vu_request *r, const struct virtqueue_piece *pieces, const char **why)
{
	const struct virtqueue_chain *c = &r->chain;
	struct virtio_blk_header header;
	int ret;

	*why = "a request without a header or without room for its status";
	if (c->out_bytes < HEADER_BYTES || c->in_bytes == 0)
		return -EPROTO;
	*why = "a request that lies in no region";
	ret = copy_out(q->memory, pieces, c->out_count, 0, &header, sizeof(header));
	if (ret != 0)
		return ret;
	r->status = find_status(q->memory, &pieces[c->out_count + c->in_count - 1]);
	if (r->status == NULL)
		return -EACCES;
	r->request = (struct ob_block_request){0};
	r->changes = r->part_before = r->part_behind = false;
	switch (ob_le32_to_cpu(header.type)) {
	case VIRTIO_BLK_T_IN:
		return start_data(q, r, pieces, false, ob_le64_to_cpu(header.sector));
	case VIRTIO_BLK_T_OUT:
		return start_data(q, r, pieces, true, ob_le64_to_cpu(header.sector));
	case VIRTIO_BLK_T_FLUSH:
		r->request.op = OB_BLOCK_FLUSH;
		if (q->client->server->limits.volatile_cache)
			submit(q, r);
		else
			vu_queue_end(r, VIRTIO_BLK_S_OK); /* what has ended is durable */
		return 0;
	case VIRTIO_BLK_T_GET_ID:
		return get_id(q, r, pieces);
	case VIRTIO_BLK_T_DISCARD:
		return start_ranges(q, r, pieces, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return start_ranges(q, r, pieces, true);
	default:
		vu_queue_end(r, VIRTIO_BLK_S_UNSUPP);
		return 0;
	}
}
