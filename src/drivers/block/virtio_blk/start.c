/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing a device up and taking it down, in one place so that the two orders can be compared (VIRTIO 1.2 §3.1.1, §3.3).
 * Going down: no more work (service task), no users (block device, channels), no DMA (reset), and only then are queues
 * and memory freed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/hooks.h"
#include "drivers/block/virtio_blk/virtio_blk.h"

#define PIECES_MIN  3u /* header, one segment, status */
#define START_TRIES 3u

void *vblk_alloc(struct vblk *v, size_t len_bytes)
{
	return hooks_fail(v->ob, "vblk_alloc") ? NULL : ob_alloc(len_bytes);
}

/* ---- its name ---- */

static bool name_is_taken(struct vblk *v, unsigned instance)
{
	struct ob_machine *machine = ob_device_machine(v->dev);
	bool taken = false;
	char name[VBLK_NAME_MAX];

	snprintf(name, sizeof(name), "vblk%u", instance);
	/* Devices of this machine, those that hold nothing yet too. */
	for (struct ob_device *d = ob_device_next(machine, NULL); d != NULL; d = ob_device_next(machine, d)) {
		const char *driver = ob_device_driver_name(d);
		const struct vblk *other = ob_device_driver_data(d);

		if (d != v->dev && driver != NULL && strcmp(driver, virtio_blk_driver.name) == 0 && other != NULL)
			taken |= other->instance == instance;
	}
	/* Block devices of other machines of the program. */
	for (struct ob_block *b = ob_block_next(v->ob, NULL); b != NULL; b = ob_block_next(v->ob, b))
		taken |= strcmp(ob_block_name(b), name) == 0;
	return taken;
}

void vblk_pick_name(struct vblk *v)
{
	for (v->instance = 0; v->instance < 999 && name_is_taken(v, v->instance); v->instance++)
		;
	snprintf(v->name, sizeof(v->name), "vblk%u", v->instance);
}

/* ---- queues ---- */

static int queue_create(struct vblk *v, unsigned index, unsigned chain_max, struct vblk_queue **out)
{
	struct vblk_queue *q = vblk_alloc(v, sizeof(*q));
	char name[VBLK_NAME_MAX + 12];
	struct ob_virtio_queue_config config = {
		.name = name,
		.index = index,
		.size_max = VBLK_RING_MAX,
		.chain_max = chain_max,
		.irq = v->vector_count > 0,
	};
	int ret;

	if (q == NULL)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%s queue %u", v->name, index);
	ret = ob_virtio_queue_create(v->dev, &config, &q->vq);
	if (ret != 0) {
		ob_free(q);
		return ret;
	}
	q->vblk = v;
	q->index = index;
	vblk_queue_clear(v, q);
	*out = q;
	return 0;
}

/* The device is quiet. */
static void queues_destroy(struct vblk *v)
{
	while (v->queue_count > 0) {
		struct vblk_queue *q = v->queues[--v->queue_count];

		ob_virtio_queue_destroy(q->vq);
		/* One that is taken still was abandoned: its CPU may come back to it. */
		if (!q->taken)
			ob_free(q);
	}
}

/* As many as it says, and as we can use; requests are as long as the rings allow (§2.7.5.2). */
static int queues_create(struct vblk *v)
{
	unsigned count = MIN(v->info.queue_count, VBLK_QUEUES_MAX), chain_max = v->info.segment_max + 2u;
	int entries = ob_virtio_queue_entries(v->dev, 0), ret = 0;

	while (entries > 0 && chain_max > (unsigned)entries && chain_max > PIECES_MIN)
		chain_max = MAX(chain_max / 2, PIECES_MIN);
	while (v->queue_count < count) {
		ret = queue_create(v, v->queue_count, chain_max, &v->queues[v->queue_count]);
		if (ret == -EINVAL && v->queue_count == 0 && chain_max > PIECES_MIN) {
			chain_max = MAX(chain_max / 2, PIECES_MIN);
			continue;
		}
		if (ret != 0)
			break;
		v->queue_count++;
	}
	if (v->queue_count > 0 && (ret == -ENOENT || ret == -EINVAL)) {
		ob_warn(v->ob, "%s: of %u queues there are %u to be used", v->name, v->info.queue_count,
			v->queue_count);
		ret = 0;
	}
	if (ret == -EINVAL || ret == -ENOENT) {
		ob_err(v->ob, "%s: it has no queue that holds a request", v->name);
		ret = -EIO;
	}
	v->info.segment_max = (uint16_t)(chain_max - 2);
	return ret;
}

/* ---- the device ---- */

int vblk_quiesce(struct vblk *v)
{
	int ret;

	if (v->quiet)
		return 0;
	ret = ob_virtio_reset(v->dev, ob_deadline(VBLK_STOP_TIMEOUT_NS));
	if (ret == -ETIMEDOUT) {
		ob_warn(v->ob, "%s: does not end its reset; function-level reset", v->name);
		if (ob_device_reset(v->dev) == 0)
			ret = ob_virtio_reset(v->dev, ob_deadline(VBLK_STOP_TIMEOUT_NS));
	}
	/* Whatever it says: it is no bus master any more; a machine without that keeps what we free. */
	v->quiet = true;
	if (ret == -ENODEV)
		vblk_check_present(v);
	return ret;
}

static void on_config(struct ob_device *dev, void *arg)
{
	vblk_todo(arg, VBLK_TODO_CONFIG);
}

/* None at all: everything is polled. */
static int get_vectors(struct vblk *v)
{
	int ret = ob_virtio_irq_alloc(v->dev, MIN(v->info.queue_count, VBLK_QUEUES_MAX), OB_IRQ_ANY);

	if (ret == -ENODEV || ret == -ENOMEM)
		return ret;
	if (ret < 0) {
		ob_warn(v->ob, "%s: no interrupts, polling", v->name);
		ret = 0;
	}
	v->vector_count = (unsigned)ret;
	if (v->vector_count == 0)
		return 0;
	ret = ob_virtio_on_config(v->dev, on_config, v);
	v->told = ret == 0;
	if (ret == 0 || ret == -ENOSPC)
		return 0;
	ob_virtio_irq_release(v->dev);
	v->vector_count = 0;
	return ret;
}

static void release_vectors(struct vblk *v)
{
	if (v->told)
		ob_virtio_on_config(v->dev, NULL, NULL);
	v->told = false;
	if (v->vector_count > 0)
		ob_virtio_irq_release(v->dev);
	v->vector_count = 0;
}

static int read_info(struct vblk *v)
{
	uint64_t values[VBLK_FIELDS];
	int ret = vblk_read_config(v, values);

	if (ret != 0) {
		ob_err(v->ob, "%s: its configuration cannot be read: %s", v->name, strerror(-ret));
		return ret;
	}
	return vblk_parse_config(v, v->features, values, &v->info);
}

/* Of what start_hardware() did, as far as it got. */
static void stop_hardware(struct vblk *v)
{
	vblk_quiesce(v);
	vblk_command_cancel(v, -ENODEV);
	vblk_queues_reclaim(v);
	queues_destroy(v);
	vblk_command_fini(v);
	release_vectors(v);
}

/* Everything up to a device that works. */
static int start_hardware(struct vblk *v)
{
	int ret;

	v->quiet = false;
	v->features = 0;
	ret = ob_virtio_negotiate(v->dev, VBLK_FEATURES, 0);
	for (unsigned bit = 0; ret == 0 && bit < 64; bit++)
		v->features |= ob_virtio_has(v->dev, bit) ? BIT64(bit) : 0;
	if (ret == 0)
		ret = read_info(v);
	if (ret == 0)
		ret = get_vectors(v);
	if (ret == 0)
		ret = vblk_command_init(v);
	if (ret == 0)
		ret = queues_create(v);
	if (ret == 0)
		ret = ob_virtio_start(v->dev);
	if (ret == 0)
		ret = vblk_read_id(v, v->id);
	if (ret != 0)
		stop_hardware(v);
	return ret;
}

int vblk_publish(struct vblk *v)
{
	struct ob_block_info info = {
		.name = v->name,
		.model = "virtio-blk",
		.serial = v->id,
		.ops = &vblk_block_ops,
		.driver_data = v,
	};

	if (v->info.block_count == 0) {
		ob_info(v->ob, "%s: it holds nothing yet", v->name);
		return 0;
	}
	vblk_fill_limits(&v->info, &info.limits);
	return ob_block_publish(v->dev, &info, &v->block);
}

int vblk_start(struct vblk *v)
{
	int ret;

	ob_mutex_init(&v->lock, "virtio-blk");
	ob_event_init(&v->command.event, v->cpu);
	ob_event_init(&v->service_event, v->cpu);
	for (unsigned try = 1; (ret = start_hardware(v)) == -EREMOTEIO && try < START_TRIES; try++)
		ob_warn(v->ob, "%s: says that it needs a reset as it starts (%u of %u)", v->name, try, START_TRIES);
	if (ret != 0)
		return ret;
	ob_info(v->ob, "%s: %llu blocks of %u bytes, serial \"%s\", %u queues of %u, %u vectors%s%s", v->name,
		(unsigned long long)v->info.block_count, v->info.block_bytes, v->id, v->queue_count,
		ob_virtio_queue_size(v->queues[0]->vq), v->vector_count, v->info.read_only ? ", read-only" : "",
		v->info.writeback ? ", write cache" : "");
	ret = vblk_service_start(v);
	if (ret != 0)
		goto stop;
	ret = vblk_publish(v);
	if (ret != 0)
		goto stop_service;
	v->state = VBLK_LIVE;
	/* What was asked for meanwhile. */
	ob_event_signal(&v->service_event);
	return 0;

stop_service:
	vblk_service_stop(v);
stop:
	stop_hardware(v);
	return ret;
}

void vblk_stop(struct vblk *v)
{
	vblk_check_present(v);
	vblk_service_stop(v);
	if (v->block != NULL)
		ob_block_unpublish(v->block);
	v->block = NULL;
	v->state = VBLK_STOPPING;
	stop_hardware(v);
}

/*
 * The device first, then the requests, of which nobody knows whether they were done. There is nothing to tell it: what
 * was flushed is safe. A reset that runs goes no further.
 */
void vblk_stop_abruptly(struct vblk *v)
{
	v->ending = true;
	if (ob_mutex_lock(&v->lock, ob_deadline(2 * VBLK_STOP_TIMEOUT_NS)) != 0) {
		ob_err(v->ob, "%s: shut down amid something that does not end", v->name);
		return;
	}
	if (v->state != VBLK_DEAD)
		vblk_end_queues(v, -ENODEV);
	ob_mutex_unlock(&v->lock);
}
