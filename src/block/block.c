/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block devices as objects: publish and unpublish for drivers, finding and reading for everybody.
 *
 * Memory lives until the last put; being online is apart from that and ends in ob_block_unpublish(), on CPU 0.
 */
#include <errno.h>
#include <string.h>

#include "block/object.h"
#include "core/context.h"

/* ---- finding ---- */

struct ob_block *ob_block_get(struct ob_block *block)
{
	if (block != NULL)
		__atomic_fetch_add(&block->refs, 1, __ATOMIC_RELAXED);
	return block;
}

void ob_block_put(struct ob_block *block)
{
	unsigned before;

	if (block == NULL)
		return;
	before = __atomic_fetch_sub(&block->refs, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
	if (before > 1)
		return;
	ob_device_put(block->dev);
	ob_free(block);
}

struct ob_block *ob_block_next(struct ob *ob, struct ob_block *previous)
{
	uint64_t after = previous != NULL ? previous->order : 0;
	struct ob_block *found = NULL;

	ob_lock(&ob->lock);
	list_for_each (node, &ob->blocks) {
		struct ob_block *block = list_entry(node, struct ob_block, link);

		if (block->order > after) {
			found = ob_block_get(block);
			break;
		}
	}
	ob_unlock(&ob->lock);
	ob_block_put(previous);
	return found;
}

static struct ob_block *find_locked(struct ob *ob, const char *name)
{
	list_for_each (node, &ob->blocks) {
		struct ob_block *block = list_entry(node, struct ob_block, link);

		if (name == NULL || strcmp(block->name, name) == 0)
			return block;
	}
	return NULL;
}

struct ob_block *ob_block_find(struct ob *ob, const char *name)
{
	struct ob_block *found;

	ob_lock(&ob->lock);
	found = ob_block_get(find_locked(ob, name));
	ob_unlock(&ob->lock);
	return found;
}

/* ---- reading ---- */

const char *ob_block_name(const struct ob_block *block)
{
	return block->name;
}

struct ob_device *ob_block_device(const struct ob_block *block)
{
	return block->dev;
}

const char *ob_block_model(const struct ob_block *block)
{
	return block->model;
}

const char *ob_block_serial(const struct ob_block *block)
{
	return block->serial;
}

const char *ob_block_firmware(const struct ob_block *block)
{
	return block->firmware;
}

bool ob_block_online(const struct ob_block *block)
{
	return block_online(block);
}

/* Under block->lock, so that a watch and the end of the device cannot miss each other. */
static void watch_tell(struct ob_block *block)
{
	struct ob_work *work = block->watch;

	block->watch = NULL;
	if (work != NULL)
		ob_cpu_post(block->watch_cpu, work);
}

void ob_block_watch(struct ob_block *block, struct ob_cpu *cpu, struct ob_work *work)
{
	ob_lock(&block->lock);
	block->watch_cpu = cpu;
	block->watch = work;
	if (!block_online(block))
		watch_tell(block);
	ob_unlock(&block->lock);
}

void ob_block_watch_size(struct ob_block *block, struct ob_cpu *cpu, struct ob_work *work)
{
	ob_lock(&block->lock);
	block->size_watch_cpu = cpu;
	block->size_watch = work;
	ob_unlock(&block->lock);
}

void ob_block_limits(const struct ob_block *block, struct ob_block_limits *out)
{
	struct ob_lock *lock = (struct ob_lock *)&block->lock;

	ob_lock(lock);
	*out = block->limits;
	ob_unlock(lock);
}

int ob_block_grant(struct ob_block *block, struct ob_window *window)
{
	if (!block_online(block))
		return -ENODEV;
	return ob_window_grant(window, block->dev, OB_DMA_BOTH);
}

void *ob_block_driver_data(const struct ob_block *block)
{
	return block->driver_data;
}

/* ---- publishing ---- */

static bool info_is_complete(const struct ob_block_info *info)
{
	const struct ob_block_ops *ops = info->ops;

	return info->name != NULL && info->name[0] != '\0' && ops != NULL && ops->channel_open != NULL &&
	       ops->channel_close != NULL && ops->submit != NULL && ops->kick != NULL && ops->poll != NULL;
}

static struct ob_block *block_create(struct ob_device *dev, const struct ob_block_info *info)
{
	struct ob_block *block;

	if (hooks_fail(ob_device_context(dev), "block_create"))
		return NULL;
	block = ob_alloc(sizeof(*block));
	if (block == NULL)
		return NULL;
	block->ob = ob_device_context(dev);
	block->dev = ob_device_get(dev);
	block->refs = 1;
	block->ops = info->ops;
	block->driver_data = info->driver_data;
	block->limits = info->limits;
	ob_mutex_init(&block->mutex, "block");
	ob_lock_init(&block->lock, "block");
	list_init(&block->link);
	list_init(&block->channels);
	block_text(block->name, sizeof(block->name), info->name);
	block_text(block->model, sizeof(block->model), info->model);
	block_text(block->serial, sizeof(block->serial), info->serial);
	block_text(block->firmware, sizeof(block->firmware), info->firmware);
	return block;
}

/* The time makes the order ascend even past blocks that left the list. */
static uint64_t order_after_last(const struct ob *ob)
{
	uint64_t order = ob_now_ns();

	if (!list_empty(&ob->blocks))
		order = MAX(order, list_entry(ob->blocks.prev, struct ob_block, link)->order + 1);
	return MAX(order, 1u);
}

int ob_block_publish(struct ob_device *dev, const struct ob_block_info *info, struct ob_block **out)
{
	struct ob *ob = ob_device_context(dev);
	struct ob_block_info copy = *info;
	struct ob_block *block;
	bool exists;

	if (!info_is_complete(info))
		return -EINVAL;
	if (block_limits_normalise(&copy.limits) != 0) {
		ob_err(ob,
		       "%s: %s: the device's limits make no sense: %u-byte blocks, %llu of them, %u bytes a transfer",
		       ob_device_name(dev), info->name, info->limits.block_bytes,
		       (unsigned long long)info->limits.block_count, info->limits.transfer_max_bytes);
		return -EINVAL;
	}
	block = block_create(dev, &copy);
	if (block == NULL)
		return -ENOMEM;
	ob_lock(&ob->lock);
	exists = find_locked(ob, block->name) != NULL;
	if (!exists) {
		block->order = order_after_last(ob);
		block->online = true;
		list_add_tail(&ob->blocks, &block->link);
	}
	ob_unlock(&ob->lock);
	if (exists) {
		ob_err(ob, "%s: a block device named %s exists", ob_device_name(dev), block->name);
		ob_block_put(block);
		return -EEXIST;
	}
	ob_info(ob, "%s: block device %s: %s, %llu blocks of %u bytes", ob_device_name(dev), block->name, block->model,
		(unsigned long long)block->limits.block_count, block->limits.block_bytes);
	*out = block;
	return 0;
}

void block_mutex_lock(struct ob_block *block)
{
	/* Who holds it waits only with deadlines, so this ends; the log tells when it takes absurdly long. */
	while (ob_mutex_lock(&block->mutex, ob_deadline(BLOCK_OPEN_NS)) != 0)
		ob_err(block->ob, "%s: still waiting for another open or close to end", block->name);
}

static struct block_channel *first_channel(struct ob_block *block)
{
	struct block_channel *c = NULL;

	ob_lock(&block->lock);
	if (!list_empty(&block->channels))
		c = list_entry(block->channels.next, struct block_channel, link);
	ob_unlock(&block->lock);
	return c;
}

void ob_block_unpublish(struct ob_block *block)
{
	struct ob *ob;
	struct block_channel *c;

	if (block == NULL)
		return;
	ob = block->ob;
	ob_lock(&block->lock);
	__atomic_store_n(&block->online, false, __ATOMIC_RELEASE);
	watch_tell(block);
	ob_unlock(&block->lock);
	ob_lock(&ob->lock);
	list_del(&block->link);
	ob_unlock(&ob->lock);
	block_mutex_lock(block);
	/* Each detach takes its channel out of the list. */
	while ((c = first_channel(block)) != NULL)
		block_channel_detach(c, true);
	ob_mutex_unlock(&block->mutex);
	ob_info(ob, "%s: block device %s is gone", ob_device_name(block->dev), block->name);
	ob_block_put(block);
}

void block_resize_work(struct ob_work *work)
{
	struct block_channel *c = container_of(work, struct block_channel, resize_work);
	struct ob_block_limits limits;

	ob_block_limits(c->pub.block, &limits);
	block_channel_set_limits(c, &limits);
}

void ob_block_resize(struct ob_block *block, uint64_t block_count)
{
	if (block_count > (uint64_t)INT64_MAX / block->limits.block_bytes) {
		ob_err(block->ob, "%s: an impossible new size of %llu blocks is ignored", block->name,
		       (unsigned long long)block_count);
		return;
	}
	block_mutex_lock(block);
	ob_lock(&block->lock);
	block->limits.block_count = block_count;
	if (block->size_watch != NULL)
		ob_cpu_post(block->size_watch_cpu, block->size_watch);
	ob_unlock(&block->lock);
	/* The mutex keeps the list as it is. */
	list_for_each (node, &block->channels) {
		struct block_channel *c = list_entry(node, struct block_channel, link);

		/* Its CPU may be away for as long as it likes: it does not submit meanwhile, and sees it when it is back.
		 */
		if (ob_cpu_current() == c->pub.cpu)
			block_resize_work(&c->resize_work);
		else
			ob_cpu_post(c->pub.cpu, &c->resize_work);
	}
	ob_mutex_unlock(&block->mutex);
	ob_info(block->ob, "%s: now %llu blocks", block->name, (unsigned long long)block_count);
}
