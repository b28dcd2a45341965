/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA memory of the model machine, and its IOMMU.
 *
 * Devices see an address space of their own: each piece of memory lies at the start of a 4 GiB slot, so that an address
 * names its piece without a search, and a pointer of the process taken for a device's address hits nothing. A slot is
 * not used again before all others were. Each device has a table of what it was granted; anything else is refused,
 * counted and logged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <outboard/dma.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "machine/model/model_machine.h"

#define SLOT_SHIFT    32
#define FAULTS_LOGGED 10 /* of one device; then they are only counted */

int model_dma_init(struct model_machine *mm)
{
	mm->slot_used = calloc(MODEL_SLOTS_MAX, 1);
	mm->slot_next = 1; /* address 0 is nobody's */
	return mm->slot_used != NULL ? 0 : -ENOMEM;
}

void model_dma_fini(struct model_machine *mm)
{
	free(mm->slot_used);
}

/* @count slots in a row, searched from where the last search ended. */
static unsigned slots_take(struct model_machine *mm, unsigned count)
{
	unsigned run = 0, found = 0;

	pthread_mutex_lock(&mm->dma_lock);
	for (unsigned step = 0, at = mm->slot_next; step < MODEL_SLOTS_MAX + count; step++, at++) {
		if (at >= MODEL_SLOTS_MAX) {
			at = 1;
			run = 0;
		}
		run = mm->slot_used[at] ? 0 : run + 1;
		if (run == count) {
			found = at + 1 - count;
			memset(mm->slot_used + found, 1, count);
			mm->slot_next = at + 1;
			break;
		}
	}
	pthread_mutex_unlock(&mm->dma_lock);
	return found;
}

static int memory_publish(struct model_machine *mm, struct model_memory *memory, struct machine_dma_memory *out)
{
	memory->slot_count = (unsigned)(((uint64_t)memory->len_bytes - 1) >> SLOT_SHIFT) + 1;
	memory->slot = slots_take(mm, memory->slot_count);
	if (memory->slot == 0)
		return -ENOMEM;
	*out = (struct machine_dma_memory){
		.base = memory->base,
		.iova = (uint64_t)memory->slot << SLOT_SHIFT,
		.len_bytes = memory->len_bytes,
		.cookie = memory,
	};
	return 0;
}

int model_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	struct model_machine *mm = model_of(m);
	size_t page = (size_t)sysconf(_SC_PAGESIZE), slack = align_bytes > page ? align_bytes : 0, skip;
	struct model_memory *memory;
	uint8_t *map;

	if (OB_READ_ONCE(m->dead))
		return -ENODEV;
	memory = calloc(1, sizeof(*memory));
	if (memory == NULL)
		return -ENOMEM;
	memory->len_bytes = len_bytes;
	memory->map_bytes = ALIGN_UP(len_bytes, page);
	map = mmap(NULL, memory->map_bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		goto free_memory;
	if (slack != 0) {
		skip = ALIGN_UP((uintptr_t)map, align_bytes) - (uintptr_t)map;
		if (skip != 0)
			munmap(map, skip);
		munmap(map + skip + memory->map_bytes, slack - skip);
		map += skip;
	}
	memory->base = map;
	if (memory_publish(mm, memory, out) == 0)
		return 0;
	munmap(map, memory->map_bytes);
free_memory:
	free(memory);
	return -ENOMEM;
}

int model_dma_import(struct machine *m, void *base, size_t len_bytes, struct machine_dma_memory *out)
{
	struct model_memory *memory = calloc(1, sizeof(*memory));

	if (memory == NULL)
		return -ENOMEM;
	memory->base = base;
	memory->len_bytes = len_bytes;
	memory->imported = true;
	if (memory_publish(model_of(m), memory, out) == 0)
		return 0;
	free(memory);
	return -ENOMEM;
}

void model_dma_free(struct machine *m, struct machine_dma_memory *out)
{
	struct model_machine *mm = model_of(m);
	struct model_memory *memory = out->cookie;

	if (memory == NULL)
		return;
	/* A device that still has it granted must fault from now on, not touch what comes here next. */
	list_for_each (node, &mm->devices) {
		struct model_device *dev = list_entry(node, struct model_device, link);

		pthread_mutex_lock(&dev->lock);
		for (unsigned i = memory->slot; i < memory->slot + memory->slot_count && i < dev->grant_count; i++)
			dev->grants[i].rights = 0;
		pthread_mutex_unlock(&dev->lock);
	}
	pthread_mutex_lock(&mm->dma_lock);
	memset(mm->slot_used + memory->slot, 0, memory->slot_count);
	pthread_mutex_unlock(&mm->dma_lock);
	if (!memory->imported)
		munmap(memory->base, memory->map_bytes);
	free(memory);
	*out = (struct machine_dma_memory){0};
}

/* Device locked. */
static int grants_reserve(struct model_device *dev, unsigned count)
{
	unsigned wanted = MAX(dev->grant_count, 64u);
	struct model_grant *grants;

	while (wanted < count)
		wanted *= 2;
	if (wanted == dev->grant_count)
		return 0;
	grants = realloc(dev->grants, wanted * sizeof(*grants));
	if (grants == NULL)
		return -ENOMEM;
	memset(grants + dev->grant_count, 0, (wanted - dev->grant_count) * sizeof(*grants));
	dev->grants = grants;
	dev->grant_count = wanted;
	return 0;
}

int model_dma_grant(struct machine *m, struct ob_device *ob_dev, const struct machine_dma_memory *mapped,
		    unsigned rights, uint64_t *iova)
{
	const struct model_memory *memory = mapped->cookie;
	struct model_device *dev = model_device_of(model_of(m), ob_dev);
	int ret;

	if (dev == NULL)
		return -ENODEV;
	pthread_mutex_lock(&dev->lock);
	ret = grants_reserve(dev, memory->slot + memory->slot_count);
	for (unsigned i = 0; ret == 0 && i < memory->slot_count; i++) {
		uint64_t offset = (uint64_t)i << SLOT_SHIFT;

		dev->grants[memory->slot + i] = (struct model_grant){
			.base = memory->base + offset,
			.len_bytes = memory->len_bytes - offset,
			.rights = rights,
		};
	}
	pthread_mutex_unlock(&dev->lock);
	if (ret == 0)
		*iova = mapped->iova;
	return ret;
}

void model_dma_revoke(struct machine *m, struct ob_device *ob_dev, const struct machine_dma_memory *mapped,
		      uint64_t iova)
{
	const struct model_memory *memory = mapped->cookie;
	struct model_device *dev = model_device_of(model_of(m), ob_dev);

	if (dev == NULL)
		return;
	pthread_mutex_lock(&dev->lock);
	for (unsigned i = memory->slot; i < memory->slot + memory->slot_count && i < dev->grant_count; i++)
		dev->grants[i].rights = 0;
	pthread_mutex_unlock(&dev->lock);
}

/* ---- the device's side; device locked ---- */

static int dma_refuse(struct model_device *dev, uint64_t iova, size_t len_bytes, bool write)
{
	struct model_machine *mm = dev->machine;
	struct model_dma_fault *fault;

	pthread_mutex_lock(&mm->dma_lock);
	fault = &mm->faults[mm->fault_count++ % MODEL_FAULTS_MAX];
	*fault = (struct model_dma_fault){.iova = iova, .len_bytes = len_bytes, .write = write};
	memcpy(fault->device, dev->name, sizeof(fault->device));
	pthread_mutex_unlock(&mm->dma_lock);
	if (dev->dma_faults++ < FAULTS_LOGGED)
		ob_err(mm->machine.ob, "model: %s: DMA %s of %zu bytes at %#llx refused: %s", dev->name,
		       write ? "write" : "read", len_bytes, (unsigned long long)iova,
		       OB_READ_ONCE(dev->pci.master) ? "not granted" : "bus mastering is off");
	return -EACCES;
}

/* The memory behind an address, or NULL. */
static inline uint8_t *dma_locate(struct model_device *dev, uint64_t iova, size_t len_bytes, unsigned rights)
{
	uint64_t slot = iova >> SLOT_SHIFT, offset = iova & (BIT64(SLOT_SHIFT) - 1);
	const struct model_grant *grant;

	if (OB_UNLIKELY(slot >= dev->grant_count || !OB_READ_ONCE(dev->pci.master)))
		return NULL;
	grant = &dev->grants[slot];
	if (OB_UNLIKELY((grant->rights & rights) == 0 || offset > grant->len_bytes ||
			len_bytes > grant->len_bytes - offset))
		return NULL;
	return grant->base + offset;
}

/* One that others write while we look, or look at while we write: in one go, when it is naturally aligned. */
static bool is_word(const uint8_t *memory, size_t len_bytes)
{
	return (len_bytes == 4 || len_bytes == 8 || len_bytes == 2) && IS_ALIGNED((uintptr_t)memory, len_bytes);
}

/* What it announces is seen by later reads. */
static inline void word_load(void *to, const uint8_t *from, size_t len_bytes)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (len_bytes) {
	case 2:
		v16 = __atomic_load_n((const uint16_t *)(const void *)from, __ATOMIC_ACQUIRE);
		memcpy(to, &v16, sizeof(v16));
		break;
	case 4:
		v32 = __atomic_load_n((const uint32_t *)(const void *)from, __ATOMIC_ACQUIRE);
		memcpy(to, &v32, sizeof(v32));
		break;
	default:
		v64 = __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_ACQUIRE);
		memcpy(to, &v64, sizeof(v64));
		break;
	}
}

static inline void word_store(uint8_t *to, const void *from, size_t len_bytes)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (len_bytes) {
	case 2:
		memcpy(&v16, from, sizeof(v16));
		__atomic_store_n((uint16_t *)(void *)to, v16, __ATOMIC_RELEASE);
		break;
	case 4:
		memcpy(&v32, from, sizeof(v32));
		__atomic_store_n((uint32_t *)(void *)to, v32, __ATOMIC_RELEASE);
		break;
	default:
		memcpy(&v64, from, sizeof(v64));
		__atomic_store_n((uint64_t *)(void *)to, v64, __ATOMIC_RELEASE);
		break;
	}
}

int model_host_dma_read(struct model_host *host, uint64_t iova, void *to, size_t len_bytes)
{
	struct model_device *dev = device_of_host(host);
	const uint8_t *from = dma_locate(dev, iova, len_bytes, OB_DMA_READ);

	if (OB_UNLIKELY(from == NULL))
		return dma_refuse(dev, iova, len_bytes, false);
	if (is_word(from, len_bytes))
		word_load(to, from, len_bytes);
	else
		memcpy(to, from, len_bytes);
	return 0;
}

int model_host_dma_write(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	struct model_device *dev = device_of_host(host);
	uint8_t *to = dma_locate(dev, iova, len_bytes, OB_DMA_WRITE);

	if (OB_UNLIKELY(to == NULL))
		return dma_refuse(dev, iova, len_bytes, true);
	if (is_word(to, len_bytes))
		word_store(to, from, len_bytes);
	else
		memcpy(to, from, len_bytes);
	return 0;
}

int model_host_dma_publish(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	struct model_device *dev = device_of_host(host);
	uint8_t *to = dma_locate(dev, iova, len_bytes, OB_DMA_WRITE);

	if (OB_UNLIKELY(to == NULL || !IS_ALIGNED((uintptr_t)to, 4u)))
		return dma_refuse(dev, iova, len_bytes, true);
	if (is_word(to, len_bytes)) {
		word_store(to, from, len_bytes);
		return 0;
	}
	memcpy(to, from, len_bytes - 4);
	word_store(to + len_bytes - 4, (const uint8_t *)from + len_bytes - 4, 4);
	return 0;
}

void model_host_dma_fence(struct model_host *host)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
