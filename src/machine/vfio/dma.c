/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA memory, and which device may reach it.
 *
 * Memory is the process's own; a grant maps it into the domain of one device, with that grant's rights, and an unmapped
 * address is one that the IOMMU blocks. So a window is mapped once, at its grant, and no transfer costs a system call.
 * Addresses come from each domain's own arena: they have nothing to do with the process's pointers, so that a pointer
 * taken for a device's address hits nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "machine/vfio/vfio.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_BYTES (2 * OB_MIB)
#define IOVA_FIRST OB_MIB /* address 0 and what is near it are nobody's: a descriptor of zeroes must fault */

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- addresses ---- */

int vfio_dma_add_range(struct vfio_domain *domain, uint64_t first, uint64_t last)
{
	uint64_t page = page_bytes(), end;

	if (first > UINT64_MAX - page)
		return 0;
	first = ALIGN_UP(MAX(first, IOVA_FIRST), page);
	/* The last page of 64 bits would end at 0. */
	end = MIN(last, UINT64_MAX - page) + 1;
	end -= end % page;
	return end > first ? machine_arena_add(&domain->arena, first, end - first) : 0;
}

/* ---- memory ---- */

/* An aligned piece of fresh memory; the mapping is exactly it. */
static void *map_aligned(size_t len_bytes, size_t align_bytes)
{
	size_t slack = align_bytes > page_bytes() ? align_bytes : 0, skip;
	uint8_t *map = mmap(NULL, len_bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	if (slack != 0) {
		skip = ALIGN_UP((uintptr_t)map, align_bytes) - (uintptr_t)map;
		if (skip != 0)
			munmap(map, skip);
		munmap(map + skip + len_bytes, slack - skip);
		map += skip;
	}
	return map;
}

/*
 * Huge pages where there are: fewer entries for the IOMMU to look up, one pin instead of 512. Those that the system keeps
 * for it first (nr_hugepages); then transparent ones, which the alignment makes possible.
 */
static int map_memory(struct vfio_memory *memory)
{
	void *map = MAP_FAILED;

	memory->map_bytes = memory->len_bytes;
	if (memory->len_bytes >= HUGE_BYTES && memory->align_bytes <= HUGE_BYTES) {
		memory->align_bytes = HUGE_BYTES;
		memory->map_bytes = ALIGN_UP(memory->len_bytes, (size_t)HUGE_BYTES);
		map = mmap(NULL, memory->map_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, -1, 0);
		memory->huge = map != MAP_FAILED;
		if (!memory->huge)
			memory->map_bytes = memory->len_bytes;
	}
	if (map == MAP_FAILED) {
		map = map_aligned(memory->map_bytes, memory->align_bytes);
		if (map == NULL)
			return -ENOMEM;
		if (memory->len_bytes >= HUGE_BYTES)
			(void)madvise(map, memory->map_bytes, MADV_HUGEPAGE);
	}
	/* A child process that writes would leave this one with a copy that no device knows. */
	(void)madvise(map, memory->map_bytes, MADV_DONTFORK);
	memory->base = map;
	/*
	 * Until a page is written, the system's one page of zeroes stands for it. Kernels before 6.2 pin that one for a
	 * device that may only read, and what is written later goes to another page, which the device never sees.
	 */
	for (size_t at = 0; at < memory->len_bytes; at += page_bytes())
		*(volatile uint8_t *)(memory->base + at) = 0;
	return 0;
}

static void publish(struct vfio_machine *vm, struct vfio_memory *memory, struct machine_dma_memory *out)
{
	pthread_mutex_lock(&vm->dma_lock);
	list_add_tail(&vm->memory, &memory->link);
	pthread_mutex_unlock(&vm->dma_lock);
	*out = (struct machine_dma_memory){
		.base = memory->base,
		.len_bytes = memory->len_bytes,
		.cookie = memory,
	};
}

int vfio_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	struct vfio_memory *memory;
	int ret;

	if (len_bytes == 0 || len_bytes > SIZE_MAX / 2 || (align_bytes != 0 && !IS_POWER_OF_2(align_bytes)))
		return -EINVAL;
	memory = calloc(1, sizeof(*memory));
	if (memory == NULL)
		return -ENOMEM;
	memory->len_bytes = ALIGN_UP(len_bytes, page_bytes());
	memory->align_bytes = MAX(align_bytes, page_bytes());
	list_init(&memory->mappings);
	ret = map_memory(memory);
	if (ret < 0) {
		free(memory);
		return ret;
	}
	publish(vfio_of(m), memory, out);
	return 0;
}

/* Whole pages only: with a part of one its neighbours would be handed to the device, too. */
int vfio_dma_import(struct machine *m, void *base, size_t len_bytes, struct machine_dma_memory *out)
{
	struct vfio_memory *memory;

	if (!IS_ALIGNED((uintptr_t)base, page_bytes()) || !IS_ALIGNED(len_bytes, page_bytes()))
		return -EOPNOTSUPP;
	memory = calloc(1, sizeof(*memory));
	if (memory == NULL)
		return -ENOMEM;
	memory->base = base;
	memory->len_bytes = len_bytes;
	/* What is alike in both addresses may be huge in the IOMMU. */
	memory->align_bytes = len_bytes >= HUGE_BYTES && IS_ALIGNED((uintptr_t)base, HUGE_BYTES) ? HUGE_BYTES
												 : page_bytes();
	list_init(&memory->mappings);
	/* As map_memory(); no error where it is not to be written, or the kernel (before 5.14) does not know this. */
	(void)madvise(base, len_bytes, MADV_POPULATE_WRITE);
	publish(vfio_of(m), memory, out);
	return 0;
}

/* Under dma_lock. 0; negative errno: the device may still reach it, and its pages stay pinned. */
static int mapping_delete(struct vfio_memory *memory, struct vfio_mapping *mapping)
{
	struct vfio_domain *domain = mapping->domain;
	int ret = domain->fd >= 0 ? domain->backend->unmap(domain, mapping->iova, memory->len_bytes) : 0;

	list_del(&mapping->link);
	if (ret == 0)
		machine_arena_free(&domain->arena, mapping->iova, memory->len_bytes);
	/* Otherwise the address is not used again: nobody knows what it leads to. */
	free(mapping);
	return ret;
}

void vfio_dma_forget(struct vfio_domain *domain)
{
	list_for_each (node, &domain->vm->memory) {
		struct vfio_memory *memory = list_entry(node, struct vfio_memory, link);

		list_for_each_safe (inner, &memory->mappings) {
			struct vfio_mapping *mapping = list_entry(inner, struct vfio_mapping, link);

			if (mapping->domain == domain)
				(void)mapping_delete(memory, mapping);
		}
	}
}

void vfio_dma_free(struct machine *m, struct machine_dma_memory *out)
{
	struct vfio_machine *vm = vfio_of(m);
	struct vfio_memory *memory = out->cookie;

	if (memory == NULL)
		return;
	pthread_mutex_lock(&vm->dma_lock);
	list_for_each_safe (node, &memory->mappings)
		(void)mapping_delete(memory, list_entry(node, struct vfio_mapping, link));
	list_del(&memory->link);
	pthread_mutex_unlock(&vm->dma_lock);
	if (memory->map_bytes != 0)
		munmap(memory->base, memory->map_bytes);
	free(memory);
	*out = (struct machine_dma_memory){0};
}

/* ---- grants ---- */

/* Why the kernel did not map it, and what helps. */
static void explain(struct vfio_device *dev, const struct vfio_memory *memory, int error)
{
	struct ob *ob = dev->vm->machine.ob;
	struct rlimit limit;

	if (error == -ENOSPC) {
		ob_err(ob,
		       "vfio: %s: the kernel maps no more pieces of memory for it; 'echo 1000000 "
		       ">/sys/module/vfio_iommu_type1/parameters/dma_entry_limit' allows more, fewer and larger "
		       "windows "
		       "need less",
		       dev->name);
		return;
	}
	if (error == -ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
		ob_err(ob,
		       "vfio: %s: %zu KiB of DMA memory cannot be locked; the limit for all is %llu KiB: raise it "
		       "(ulimit -l, LimitMEMLOCK= of a service, or memlock in /etc/security/limits.conf)",
		       dev->name, memory->len_bytes / 1024, (unsigned long long)limit.rlim_cur / 1024);
		return;
	}
	ob_err(ob, "vfio: %s: %zu KiB of DMA memory cannot be mapped: %s", dev->name, memory->len_bytes / 1024,
	       strerror(-error));
}

static struct vfio_mapping *mapping_find(struct vfio_memory *memory, const struct vfio_device *dev, unsigned rights)
{
	list_for_each (node, &memory->mappings) {
		struct vfio_mapping *mapping = list_entry(node, struct vfio_mapping, link);

		if (mapping->dev == dev && (mapping->rights & rights) == rights)
			return mapping;
	}
	return NULL;
}

/* Under dma_lock. */
static int mapping_new(struct vfio_memory *memory, struct vfio_device *dev, unsigned rights, struct vfio_mapping **out)
{
	struct vfio_mapping *mapping = calloc(1, sizeof(*mapping));
	struct vfio_domain *domain = dev->domain;
	int ret;

	if (mapping == NULL)
		return -ENOMEM;
	*mapping = (struct vfio_mapping){.dev = dev, .domain = domain, .rights = rights};
	ret = machine_arena_alloc(&domain->arena, memory->len_bytes, memory->align_bytes, &mapping->iova);
	if (ret == 0) {
		ret = domain->backend->map(domain, mapping->iova, memory->base, memory->len_bytes, rights);
		if (ret < 0) {
			machine_arena_free(&domain->arena, mapping->iova, memory->len_bytes);
			explain(dev, memory, ret);
		}
	}
	if (ret < 0) {
		free(mapping);
		return ret == -ENOSPC ? -ENOMEM : ret;
	}
	list_add_tail(&memory->mappings, &mapping->link);
	*out = mapping;
	return 0;
}

/*
 * Wider rights get an address of their own, as a mapping cannot be changed under a transfer; the old one goes at the
 * revoke.
 */
int vfio_dma_grant(struct machine *m, struct ob_device *ob_dev, const struct machine_dma_memory *mapped,
		   unsigned rights, uint64_t *iova)
{
	struct vfio_machine *vm = vfio_of(m);
	struct vfio_device *dev = vfio_device_of(vm, ob_dev);
	struct vfio_memory *memory = mapped->cookie;
	struct vfio_mapping *mapping;
	int ret = 0;

	pthread_mutex_lock(&vm->dma_lock);
	if (dev == NULL || !__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		ret = -ENODEV;
	mapping = ret == 0 ? mapping_find(memory, dev, rights) : NULL;
	if (ret == 0 && mapping == NULL)
		ret = mapping_new(memory, dev, rights, &mapping);
	if (ret == 0)
		*iova = mapping->iova;
	pthread_mutex_unlock(&vm->dma_lock);
	return ret;
}

void vfio_dma_revoke(struct machine *m, struct ob_device *ob_dev, const struct machine_dma_memory *mapped,
		     uint64_t iova)
{
	struct vfio_machine *vm = vfio_of(m);
	const struct vfio_device *dev = vfio_device_of(vm, ob_dev);
	struct vfio_memory *memory = mapped->cookie;
	int ret;

	pthread_mutex_lock(&vm->dma_lock);
	list_for_each_safe (node, &memory->mappings) {
		struct vfio_mapping *mapping = list_entry(node, struct vfio_mapping, link);

		if (mapping->dev != dev)
			continue;
		ret = mapping_delete(memory, mapping);
		if (ret < 0)
			ob_err(m->ob, "vfio: %s: %zu KiB of DMA memory cannot be unmapped: %s", dev->name,
			       memory->len_bytes / 1024, strerror(-ret));
	}
	pthread_mutex_unlock(&vm->dma_lock);
}

/* ---- for messages ---- */

void vfio_dma_describe(struct vfio_device *dev, uint64_t iova, bool write, char *out, size_t out_bytes)
{
	unsigned needed = write ? VFIO_DMA_MAP_FLAG_WRITE : VFIO_DMA_MAP_FLAG_READ;
	uint64_t nearest = UINT64_MAX;

	snprintf(out, out_bytes, "nothing is mapped near it");
	pthread_mutex_lock(&dev->vm->dma_lock);
	list_for_each (node, &dev->vm->memory) {
		const struct vfio_memory *memory = list_entry(node, struct vfio_memory, link);

		list_for_each (inner, &memory->mappings) {
			const struct vfio_mapping *mapping = list_entry(inner, struct vfio_mapping, link);
			uint64_t end = mapping->iova + memory->len_bytes;

			if (mapping->dev != dev)
				continue;
			if (iova >= mapping->iova && iova < end && (mapping->rights & needed) == 0) {
				nearest = 0;
				snprintf(out, out_bytes, "it may only %s there", write ? "read" : "write");
			} else if (iova >= end && iova - end < MIN(nearest, OB_MIB)) {
				nearest = iova - end;
				snprintf(out, out_bytes, "%#llx bytes behind the end of a mapping of %zu KiB",
					 (unsigned long long)nearest, memory->len_bytes / 1024);
			}
		}
	}
	pthread_mutex_unlock(&dev->vm->dma_lock);
}
