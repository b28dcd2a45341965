/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk: what it says of itself (VIRTIO 1.2 §5.2.4), and how requests come and wait for their time. */
#include <errno.h>
#include <string.h>

#include "model/block/virtio_blk/model.h"

#define CLASS_CODE       0x018000u /* mass storage, other (§4.1.2.1 leaves it open) */
#define DISCARD_SECTORS  (1u << 21)
#define DISCARD_SEGMENTS 4u
#define RING_FEATURES                                                                                       \
	(BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_RING_PACKED) |          \
	 BIT64(VIRTIO_F_IN_ORDER) | BIT64(VIRTIO_F_NOTIFICATION_DATA) | BIT64(VIRTIO_F_NOTIF_CONFIG_DATA) | \
	 BIT64(VIRTIO_F_RING_RESET) | BIT64(VIRTIO_F_ACCESS_PLATFORM) | BIT64(VIRTIO_F_ORDER_PLATFORM))

void vblk_model_config_default(struct vblk_model_config *config)
{
	*config = (struct vblk_model_config){
		.serial = "OUTBOARD-VBLK0001",
		.queues = 4,
		.queue_size = 256,
		.seg_max = 126,
		.msix_vectors = 5,
		.held_max = VBLK_MODEL_HELD,
		.ring_features = BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) |
				 BIT64(VIRTIO_F_ACCESS_PLATFORM) | BIT64(VIRTIO_F_ORDER_PLATFORM),
		.flush = true,
		.config_wce = true,
		.writeback = true,
		.discard = true,
		.write_zeroes = true,
		.lifetime = true,
		.topology = true,
	};
}

static uint64_t features_of(const struct vblk_model_config *c)
{
	return BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_MQ) |
	       (c->size_max != 0 ? BIT64(VIRTIO_BLK_F_SIZE_MAX) : 0) | (c->read_only ? BIT64(VIRTIO_BLK_F_RO) : 0) |
	       (c->flush ? BIT64(VIRTIO_BLK_F_FLUSH) : 0) | (c->config_wce ? BIT64(VIRTIO_BLK_F_CONFIG_WCE) : 0) |
	       (c->topology ? BIT64(VIRTIO_BLK_F_TOPOLOGY) : 0) | (c->discard ? BIT64(VIRTIO_BLK_F_DISCARD) : 0) |
	       (c->write_zeroes ? BIT64(VIRTIO_BLK_F_WRITE_ZEROES) : 0) |
	       (c->lifetime ? BIT64(VIRTIO_BLK_F_LIFETIME) : 0) | c->ring_features;
}

/* ---- configuration ---- */

/* Drivers read it as two words (§4.1.3.1). */
static void capacity_store(struct vblk_model *m)
{
	ob_le32_pair_store((ob_le32 *)(void *)&m->space.capacity, m->backing->len_bytes >> VIRTIO_BLK_SECTOR_SHIFT);
}

static void space_fill(struct vblk_model *m)
{
	const struct vblk_model_config *c = &m->config;
	struct virtio_blk_config *s = &m->space;

	capacity_store(m);
	ob_le32_store(&s->size_max, c->size_max);
	ob_le32_store(&s->seg_max, c->seg_max);
	ob_le32_store(&s->blk_size, m->block_bytes);
	s->topology.physical_block_exp = m->block_bytes == 512 ? 3 : 0;
	ob_le16_store(&s->topology.min_io_size, 1);
	ob_le32_store(&s->topology.opt_io_size, (128u << 10) / m->block_bytes);
	s->writeback = c->writeback;
	ob_le16_store(&s->num_queues, c->queues);
	ob_le32_store(&s->max_discard_sectors, DISCARD_SECTORS);
	ob_le32_store(&s->max_discard_seg, DISCARD_SEGMENTS);
	ob_le32_store(&s->discard_sector_alignment, m->block_bytes >> VIRTIO_BLK_SECTOR_SHIFT);
	ob_le32_store(&s->max_write_zeroes_sectors, DISCARD_SECTORS);
	ob_le32_store(&s->max_write_zeroes_seg, DISCARD_SEGMENTS);
	s->write_zeroes_may_unmap = 1;
	memset(&m->writable[offsetof(struct virtio_blk_config, writeback)], c->config_wce, 1);
}

int vblk_model_resize(struct vblk_model *m, uint64_t len_bytes)
{
	struct backing *b = m->backing;
	int ret = b->ops->resize(b, ALIGN_DOWN(len_bytes, (uint64_t)m->block_bytes));

	if (ret != 0)
		return ret;
	capacity_store(m);
	virtio_model_config_changed(&m->virtio);
	return 0;
}

/* ---- requests that wait ---- */

static void reschedule(struct vblk_model *m)
{
	struct model_host *host = m->virtio.host;
	uint64_t at = MODEL_NEVER;

	if (!list_empty(&m->held))
		at = list_entry(m->held.next, struct request, link)->due_ns;
	host->ops->schedule(host, at);
}

static struct request *request_get(struct vblk_model *m)
{
	struct list *node = list_pop(&m->free);

	return node != NULL ? list_entry(node, struct request, link) : NULL;
}

static void request_put(struct vblk_model *m, struct request *r)
{
	list_add(&m->free, &r->link);
	if (!m->starved)
		return;
	m->starved = false;
	for (unsigned i = 0; i < m->config.queues; i++)
		virtio_model_mark(&m->virtio, i);
}

/* The last that @r's queue holds; NULL: none. */
static const struct request *last_held(const struct vblk_model *m, unsigned queue)
{
	for (const struct list *node = m->held.prev; node != &m->held; node = node->prev) {
		const struct request *r = list_entry(node, const struct request, link);

		if (r->queue == queue)
			return r;
	}
	return NULL;
}

static void hold(struct vblk_model *m, struct request *r)
{
	struct list *before = &m->held;

	/* In order of time; of the same time as they came. */
	while (before->prev != &m->held && list_entry(before->prev, struct request, link)->due_ns > r->due_ns)
		before = before->prev;
	list_add_tail(before, &r->link);
	m->in_flight++;
}

/* When it is to be executed; 0: at once. */
static uint64_t due_of(struct vblk_model *m, const struct request *r)
{
	struct model_host *host = m->virtio.host;
	uint64_t delay_ns = m->config.latency_ns, due_ns;
	const struct request *last;

	if (m->hooks.delay_ns != NULL) {
		struct vblk_model_request view = vblk_model_view(r);
		uint64_t more = m->hooks.delay_ns(m->hooks.arg, &view);

		delay_ns = more == MODEL_NEVER ? MODEL_NEVER : delay_ns + more;
	}
	due_ns = delay_ns == 0 ? 0 : delay_ns == MODEL_NEVER ? MODEL_NEVER : host->ops->now_ns(host) + delay_ns;
	/* Given back in the order in which they came (VIRTIO_F_IN_ORDER). */
	if (virtio_model_has(&m->virtio, VIRTIO_F_IN_ORDER) && (last = last_held(m, r->queue)) != NULL)
		due_ns = MAX(due_ns, last->due_ns);
	return due_ns;
}

static bool work(struct virtio_model *v, unsigned index, unsigned budget)
{
	struct vblk_model *m = of_virtio(v);

	for (unsigned done = 0; done < budget; done++) {
		struct request *r = request_get(m);

		if (r == NULL) {
			m->starved = true;
			virtio_model_pause(v, index);
			return false;
		}
		if (!virtio_model_pop(v, index, r->pieces, m->piece_max, &r->chain)) {
			list_add(&m->free, &r->link);
			return false;
		}
		r->queue = (uint16_t)index;
		if (!vblk_model_take(m, r)) {
			list_add(&m->free, &r->link);
			return false;
		}
		r->due_ns = due_of(m, r);
		if (r->due_ns != 0) {
			hold(m, r);
			reschedule(m);
			continue;
		}
		vblk_model_execute(m, r);
		list_add(&m->free, &r->link);
	}
	return true;
}

bool vblk_model_run(struct vblk_model *m, unsigned budget)
{
	return virtio_model_run(&m->virtio, budget);
}

void vblk_model_event(struct vblk_model *m)
{
	struct model_host *host = m->virtio.host;
	uint64_t now = host->ops->now_ns(host);

	while (!list_empty(&m->held)) {
		struct request *r = list_entry(m->held.next, struct request, link);

		if (r->due_ns > now)
			break;
		list_del(&r->link);
		m->in_flight--;
		vblk_model_execute(m, r);
		virtio_model_settle(&m->virtio, r->queue);
		request_put(m, r);
	}
	reschedule(m);
}

/* ---- reset ---- */

static void drop(struct vblk_model *m, const unsigned *queue)
{
	list_for_each_safe (node, &m->held) {
		struct request *r = list_entry(node, struct request, link);

		if (queue != NULL && r->queue != *queue)
			continue;
		list_del(&r->link);
		m->in_flight--;
		request_put(m, r);
	}
	reschedule(m);
}

static void device_reset(struct virtio_model *v)
{
	struct vblk_model *m = of_virtio(v);

	m->starved = false;
	drop(m, NULL);
	m->space.writeback = m->config.writeback;
}

static void queue_reset(struct virtio_model *v, unsigned index)
{
	drop(of_virtio(v), &index);
}

static void configured(struct virtio_model *v, unsigned offset, unsigned len_bytes)
{
	struct vblk_model *m = of_virtio(v);

	/* From now on writes are durable: those before are to be too (§5.2.6.2). */
	if (m->space.writeback == 0)
		m->backing->ops->flush(m->backing);
}

static const struct virtio_model_ops ops = {
	.reset = device_reset,
	.queue_reset = queue_reset,
	.configured = configured,
	.work = work,
};

void vblk_model_power_cut(struct vblk_model *m, bool (*keep)(void *arg, uint64_t offset), void *arg)
{
	backing_cache_power_cut(m->backing, keep, arg);
	virtio_model_reset(&m->virtio);
}

/* ---- making it ---- */

static bool config_is_sane(const struct vblk_model_config *c, const struct backing *b, uint32_t block_bytes)
{
	return (block_bytes == 512 || block_bytes == 4096) && b->len_bytes >= block_bytes && c->seg_max >= 1 &&
	       c->seg_max <= VBLK_MODEL_SEG_MAX && c->held_max >= 1 && (c->ring_features & ~RING_FEATURES) == 0 &&
	       (c->size_max == 0 || c->size_max >= block_bytes) && c->queues >= 1;
}

static int make_requests(struct vblk_model *m)
{
	struct model_host *host = m->virtio.host;
	unsigned count = m->config.held_max + 1u;

	m->requests = host->ops->alloc(host, count * sizeof(*m->requests));
	m->piece_memory = host->ops->alloc(host, (size_t)count * m->piece_max * sizeof(*m->piece_memory));
	m->bounce = host->ops->alloc(host, BOUNCE_BYTES);
	if (m->requests == NULL || m->piece_memory == NULL || m->bounce == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		m->requests[i].pieces = &m->piece_memory[(size_t)i * m->piece_max];
		list_add_tail(&m->free, &m->requests[i].link);
	}
	return 0;
}

static void unmake(struct vblk_model *m, struct model_host *host)
{
	host->ops->free(host, m->requests);
	host->ops->free(host, m->piece_memory);
	host->ops->free(host, m->bounce);
	host->ops->free(host, m);
}

int vblk_model_create(struct model_host *host, const struct vblk_model_config *config, struct backing *backing,
		      uint32_t block_bytes, struct vblk_model **out)
{
	struct virtio_model_config virtio = {
		.id = VIRTIO_ID_BLOCK,
		.class_code = CLASS_CODE,
		.features = features_of(config),
		.queue_count = config->queues,
		.queue_size = config->queue_size,
		.chain_max = (uint16_t)(config->seg_max + 2),
		.msix_vectors = config->msix_vectors,
		.retains = config->retains,
	};
	struct vblk_model *m;
	int ret;

	if (!config_is_sane(config, backing, block_bytes))
		return -EINVAL;
	m = host->ops->alloc(host, sizeof(*m));
	if (m == NULL)
		return -ENOMEM;
	m->config = *config;
	m->backing = backing;
	m->block_bytes = block_bytes;
	m->piece_max = config->seg_max + 2u;
	m->lifetime.pre_eol_info = ob_cpu_to_le16(VIRTIO_BLK_EOL_NORMAL);
	m->lifetime.device_lifetime_est_typ_a = ob_cpu_to_le16(1);
	m->lifetime.device_lifetime_est_typ_b = ob_cpu_to_le16(1);
	list_init(&m->held);
	list_init(&m->free);
	space_fill(m);
	m->virtio.space = (uint8_t *)&m->space;
	m->virtio.space_bytes = sizeof(m->space);
	m->virtio.space_writable = m->writable;
	ret = virtio_model_init(&m->virtio, host, &virtio, &ops);
	if (ret != 0) {
		unmake(m, host);
		return ret;
	}
	ret = make_requests(m);
	if (ret != 0) {
		virtio_model_fini(&m->virtio);
		unmake(m, host);
		return ret;
	}
	*out = m;
	return 0;
}

void vblk_model_destroy(struct vblk_model *m)
{
	struct model_host *host = m->virtio.host;

	backing_destroy(m->backing);
	virtio_model_fini(&m->virtio);
	unmake(m, host);
}

/* ---- from outside ---- */

struct virtio_model *vblk_model_virtio(struct vblk_model *m)
{
	return &m->virtio;
}

struct backing *vblk_model_backing(struct vblk_model *m)
{
	return m->backing;
}

void vblk_model_set_hooks(struct vblk_model *m, const struct vblk_model_hooks *hooks)
{
	m->hooks = hooks != NULL ? *hooks : (struct vblk_model_hooks){0};
}

void vblk_model_set_latency(struct vblk_model *m, uint64_t latency_ns)
{
	m->config.latency_ns = latency_ns;
}

void vblk_model_set_lifetime(struct vblk_model *m, uint16_t pre_eol, uint16_t type_a, uint16_t type_b)
{
	m->lifetime = (struct virtio_blk_lifetime){ob_cpu_to_le16(pre_eol), ob_cpu_to_le16(type_a),
						   ob_cpu_to_le16(type_b)};
}

void vblk_model_stats(const struct vblk_model *m, struct vblk_model_stats *out)
{
	const struct virtio_model_stats *s = &m->virtio.stats;

	*out = (struct vblk_model_stats){s->requests,      s->completions, s->interrupts,
					 s->notifications, s->dma_refused, m->in_flight};
}

const char *vblk_model_holds(struct vblk_model *m, uint64_t iova, uint64_t len_bytes)
{
	const char *what = virtio_model_holds(&m->virtio, iova, len_bytes);

	if (what != NULL)
		return what;
	list_for_each (node, &m->held) {
		const struct request *r = list_entry(node, struct request, link);
		unsigned count = r->chain.out_count + r->chain.in_count;

		for (unsigned i = 0; i < count; i++)
			if (iova < r->pieces[i].addr + r->pieces[i].len_bytes && r->pieces[i].addr < iova + len_bytes)
				return "a request that has not ended";
	}
	return NULL;
}
