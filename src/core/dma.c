/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA memory: windows with their grants, and the memory of one device.
 *
 * A grant is stored address first, rights last, and taken back rights first: ob_window_iova() reads it on other CPUs
 * without a lock. Every allocation for a device hangs on the device, so that what a driver leaks is found and freed
 * once the device is quiet.
 */
#include <outboard/dma.h>

#include <errno.h>

#include <outboard/driver.h>

#include "base/bits.h"
#include "core/context.h"
#include "core/device.h"
#include "core/dma_block.h"
#include "core/machine_core.h"
#include "core/watch.h"

#define DMA_PAGE 4096u

struct window {
	struct ob_window pub; /* first */
	struct list link;     /* ob_machine.windows */
	unsigned refs;        /* __atomic */
	struct machine_dma_memory memory;
};

void machine_dma_init(struct ob_machine *machine)
{
	ob_lock_init(&machine->dma_lock, "dma");
	list_init(&machine->windows);
}

/* ---- a device's place in the grants ---- */

/* One of the context: a window is only ever asked for the rights at an index, not for the machine it belongs to. */
static int index_take(struct ob *ob)
{
	int index = -ENOSPC;

	ob_lock(&ob->lock);
	for (unsigned i = 0; i < OB_DMA_DEVICE_MAX && index < 0; i++) {
		if ((ob->dma_indexes[i / 64] & BIT64(i % 64)) != 0)
			continue;
		ob->dma_indexes[i / 64] |= BIT64(i % 64);
		index = (int)i;
	}
	ob_unlock(&ob->lock);
	return index;
}

static void index_give(struct ob *ob, unsigned index)
{
	ob_lock(&ob->lock);
	ob->dma_indexes[index / 64] &= ~BIT64(index % 64);
	ob_unlock(&ob->lock);
}

int device_dma_attach(struct ob_device *dev)
{
	struct ob_machine *machine = dev->machine;
	int index = index_take(machine->ob);

	if (index < 0)
		return index;
	ob_lock(&machine->dma_lock);
	machine->dma_devices[index] = dev;
	__atomic_store_n(&dev->dma_index, index, __ATOMIC_RELEASE);
	ob_unlock(&machine->dma_lock);
	return 0;
}

unsigned ob_device_dma_index(const struct ob_device *dev)
{
	int index = __atomic_load_n(&dev->dma_index, __ATOMIC_ACQUIRE);

	/* Of a device without a driver: some index that is in range; it has no driver to use it. */
	return index >= 0 ? (unsigned)index : OB_DMA_DEVICE_MAX - 1;
}

/* Under dma_lock. */
static void grant_take_back(struct window *window, unsigned index)
{
	struct ob_machine *machine = window->pub.machine;
	struct ob_grant *grant = &window->pub.grant[index];

	if (grant->rights == 0)
		return;
	__atomic_store_n(&grant->rights, 0, __ATOMIC_RELEASE);
	if (machine->m->ops->dma_revoke != NULL)
		machine->m->ops->dma_revoke(machine->m, machine->dma_devices[index]->dma_dev, &window->memory,
					    grant->iova);
	grant->iova = 0;
}

/* ---- windows ---- */

static int window_new(struct ob_machine *machine, size_t len_bytes, struct window **out)
{
	struct window *window;

	if (hooks_fail(machine->ob, "ob_window_create"))
		return -ENOMEM;
	if (machine_is_dead(machine) || !machine_use(machine))
		return -ENODEV;
	window = ob_alloc(sizeof(*window));
	if (window == NULL) {
		machine_unuse(machine);
		return -ENOMEM;
	}
	window->pub.machine = machine_get(machine);
	window->pub.len_bytes = len_bytes;
	window->refs = 1;
	list_init(&window->link);
	*out = window;
	return 0;
}

/* Its memory is not there, or not any more. */
static void window_delete(struct window *window)
{
	struct ob_machine *machine = window->pub.machine;

	machine_unuse(machine);
	machine_put(machine);
	ob_free(window);
}

static void window_publish(struct window *window, struct ob_window **out)
{
	struct ob_machine *machine = window->pub.machine;

	window->pub.base = window->memory.base;
	ob_lock(&machine->dma_lock);
	list_add_tail(&machine->windows, &window->link);
	ob_unlock(&machine->dma_lock);
	*out = &window->pub;
}

int ob_window_create(struct ob_machine *machine, size_t len_bytes, struct ob_window **out)
{
	struct window *window;
	int rc;

	*out = NULL;
	if (len_bytes == 0 || len_bytes > SIZE_MAX - (DMA_PAGE - 1))
		return -EINVAL;
	len_bytes = ALIGN_UP(len_bytes, DMA_PAGE);
	rc = window_new(machine, len_bytes, &window);
	if (rc != 0)
		return rc;
	rc = machine->m->ops->dma_alloc(machine->m, len_bytes, DMA_PAGE, &window->memory);
	if (rc != 0) {
		window_delete(window);
		return rc;
	}
	window_publish(window, out);
	return 0;
}

int ob_window_import(struct ob_machine *machine, void *base, size_t len_bytes, struct ob_window **out)
{
	struct window *window;
	int rc;

	*out = NULL;
	if (base == NULL || !IS_ALIGNED((uintptr_t)base, DMA_PAGE) || len_bytes == 0 ||
	    len_bytes > UINTPTR_MAX - (uintptr_t)base)
		return -EINVAL;
	if (machine->m->ops->dma_import == NULL)
		return machine_is_dead(machine) ? -ENODEV : -EOPNOTSUPP;
	rc = window_new(machine, len_bytes, &window);
	if (rc != 0)
		return rc;
	rc = machine->m->ops->dma_import(machine->m, base, len_bytes, &window->memory);
	if (rc != 0) {
		window_delete(window);
		return rc;
	}
	window_publish(window, out);
	return 0;
}

struct ob_window *ob_window_get(struct ob_window *pub)
{
	__atomic_fetch_add(&container_of(pub, struct window, pub)->refs, 1, __ATOMIC_RELAXED);
	return pub;
}

void ob_window_put(struct ob_window *pub)
{
	struct window *window;
	struct ob_machine *machine;

	if (pub == NULL)
		return;
	window = container_of(pub, struct window, pub);
	if (__atomic_fetch_sub(&window->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	machine = pub->machine;
	ob_lock(&machine->dma_lock);
	list_del(&window->link);
	for (unsigned i = 0; i < OB_DMA_DEVICE_MAX; i++)
		grant_take_back(window, i);
	ob_unlock(&machine->dma_lock);
	machine->m->ops->dma_free(machine->m, &window->memory);
	window_delete(window);
}

int ob_window_grant(struct ob_window *pub, struct ob_device *dev, enum ob_dma_rights rights)
{
	struct window *window = container_of(pub, struct window, pub);
	struct ob_machine *machine = pub->machine;
	struct ob_grant *grant;
	uint64_t iova = window->memory.iova;
	uint32_t wanted;
	int rc = 0;

	if (dev->machine != machine || rights == 0 || ((unsigned)rights & ~(unsigned)OB_DMA_BOTH) != 0)
		return -EINVAL;
	if (hooks_fail(machine->ob, __func__))
		return -ENOMEM;
	ob_lock(&machine->dma_lock);
	/* Under the lock: a device that loses its driver loses its index there. */
	if (dev->dma_index < 0 || device_is_gone(dev)) {
		rc = -ENODEV;
		goto unlock;
	}
	grant = &pub->grant[dev->dma_index];
	wanted = grant->rights | (uint32_t)rights;
	if (wanted == grant->rights)
		goto unlock;
	if (machine->m->ops->dma_grant != NULL)
		rc = machine->m->ops->dma_grant(machine->m, dev->dma_dev, &window->memory, wanted, &iova);
	if (rc != 0)
		goto unlock;
	__atomic_store_n(&grant->iova, iova, __ATOMIC_RELAXED);
	__atomic_store_n(&grant->rights, wanted, __ATOMIC_RELEASE);
unlock:
	ob_unlock(&machine->dma_lock);
	return rc;
}

void ob_window_revoke(struct ob_window *pub, struct ob_device *dev)
{
	struct ob_machine *machine = pub->machine;

	if (dev->machine != machine)
		return;
	ob_lock(&machine->dma_lock);
	if (dev->dma_index >= 0)
		grant_take_back(container_of(pub, struct window, pub), (unsigned)dev->dma_index);
	ob_unlock(&machine->dma_lock);
}

/* ---- memory of one device ---- */

int dma_block_new(struct ob_device *dev, size_t len_bytes, size_t align_bytes, unsigned rights, struct dma_block **out)
{
	struct ob_machine *machine = dev->machine;
	struct dma_block *block;
	int rc;

	if (device_is_gone(dev))
		return -ENODEV;
	if (!machine_use(machine))
		return -ENODEV;
	block = ob_alloc(sizeof(*block));
	if (block == NULL) {
		rc = -ENOMEM;
		goto unuse;
	}
	rc = machine->m->ops->dma_alloc(machine->m, len_bytes, align_bytes, &block->memory);
	if (rc != 0)
		goto free_block;
	block->iova = block->memory.iova;
	if (machine->m->ops->dma_grant != NULL) {
		rc = machine->m->ops->dma_grant(machine->m, dev->dma_dev, &block->memory, rights, &block->iova);
		if (rc != 0)
			goto free_memory;
		block->granted = true;
	}
	block->dma = (struct ob_dma){block->memory.base, {block->iova}, len_bytes};
	ob_lock(&machine->dma_lock);
	list_add_tail(&dev->dma, &block->link);
	ob_unlock(&machine->dma_lock);
	*out = block;
	return 0;

free_memory:
	machine->m->ops->dma_free(machine->m, &block->memory);
free_block:
	ob_free(block);
unuse:
	machine_unuse(machine);
	return rc;
}

void dma_block_delete(struct ob_device *dev, struct dma_block *block)
{
	struct ob_machine *machine = dev->machine;

	ob_lock(&machine->dma_lock);
	list_del(&block->link);
	ob_unlock(&machine->dma_lock);
	if (machine->ob->hooks.dma_freed != NULL)
		machine->ob->hooks.dma_freed(machine->ob->hooks.arg, dev, &block->dma);
	if (block->granted && machine->m->ops->dma_revoke != NULL)
		machine->m->ops->dma_revoke(machine->m, dev->dma_dev, &block->memory, block->iova);
	machine->m->ops->dma_free(machine->m, &block->memory);
	if (!block->bounce)
		__atomic_fetch_sub(&dev->dma_stats.coherent_bytes, block->dma.len_bytes, __ATOMIC_RELAXED);
	ob_free(block);
	machine_unuse(machine);
}

int ob_dma_alloc(struct ob_device *dev, size_t len_bytes, size_t align_bytes, struct ob_dma *out)
{
	struct dma_block *block;
	int rc;

	*out = (struct ob_dma){0};
	if (align_bytes == 0)
		align_bytes = OB_CACHE_LINE;
	if (len_bytes == 0 || len_bytes > SIZE_MAX - (OB_CACHE_LINE - 1) || !IS_POWER_OF_2(align_bytes))
		return -EINVAL;
	if (hooks_fail(dev->machine->ob, __func__))
		return -ENOMEM;
	rc = dma_block_new(dev, ALIGN_UP(len_bytes, (size_t)OB_CACHE_LINE), align_bytes, OB_DMA_BOTH, &block);
	if (rc != 0)
		return rc;
	__atomic_fetch_add(&dev->dma_stats.coherent_bytes, block->dma.len_bytes, __ATOMIC_RELAXED);
	*out = block->dma;
	return 0;
}

void ob_dma_free(struct ob_device *dev, struct ob_dma *dma)
{
	struct dma_block *found = NULL;

	if (dma->base == NULL)
		return;
	ob_lock(&dev->machine->dma_lock);
	list_for_each (node, &dev->dma) {
		struct dma_block *block = list_entry(node, struct dma_block, link);

		if (!block->bounce && block->dma.base == dma->base) {
			found = block;
			break;
		}
	}
	ob_unlock(&dev->machine->dma_lock);
	if (found != NULL) {
		dma_block_delete(dev, found);
	} else {
		watch_misuse("DMA memory is freed that is not the device's, at", (uintptr_t)dma->base);
		ob_err(dev->machine->ob, "%s: freed DMA memory at %p that is not its own", dev->name, dma->base);
	}
	*dma = (struct ob_dma){0};
}

/* ---- figures ---- */

void ob_dma_stats(const struct ob_device *dev, struct ob_dma_stats *out)
{
	out->coherent_bytes = __atomic_load_n(&dev->dma_stats.coherent_bytes, __ATOMIC_RELAXED);
	out->maps = __atomic_load_n(&dev->dma_stats.maps, __ATOMIC_RELAXED);
	out->bounces = __atomic_load_n(&dev->dma_stats.bounces, __ATOMIC_RELAXED);
	out->bounced_bytes = __atomic_load_n(&dev->dma_stats.bounced_bytes, __ATOMIC_RELAXED);
}

/* ---- when the driver has gone ---- */

void device_dma_detach(struct ob_device *dev)
{
	struct ob_machine *machine = dev->machine;
	int index = dev->dma_index;

	watch_device_unbound(dev);
	/* Only its driver allocates for a device, and that has ended: the list stands still. */
	list_for_each_safe (node, &dev->dma) {
		struct dma_block *block = list_entry(node, struct dma_block, link);

		ob_err(machine->ob, "%s: %s leaked %s of %zu bytes", dev->name,
		       dev->driver != NULL ? dev->driver->name : "its driver",
		       block->bounce ? "a streaming mapping" : "DMA memory", block->dma.len_bytes);
		dma_block_delete(dev, block);
	}
	if (index < 0)
		return;
	ob_lock(&machine->dma_lock);
	list_for_each (node, &machine->windows)
		grant_take_back(list_entry(node, struct window, link), (unsigned)index);
	machine->dma_devices[index] = NULL;
	__atomic_store_n(&dev->dma_index, -1, __ATOMIC_RELEASE);
	ob_unlock(&machine->dma_lock);
	/* No window has a grant there any more. */
	index_give(machine->ob, (unsigned)index);
}
