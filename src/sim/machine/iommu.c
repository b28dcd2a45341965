/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices may reach. Each piece of memory starts at an address of its own, 4 GiB apart, which is never used again:
 * whatever a device reaches beside, before or after its grant is known for what it is.
 */
#include <outboard/dma.h>

#include <errno.h>

#include "sim/check/fetch.h"
#include "sim/fault/fault.h"
#include "sim/machine/iommu.h"
#include "sim/memory/race.h"
#include "sim/view/event.h"

#define SLOT_SHIFT 32
#define SLOT_MAX   8192
#define PIECE      64
#define PACKET     128 /* what nobody comes between: the smallest of the largest payloads (PCIe 6.0 §7.5.3.4) */

struct mapping {
	uint8_t *base;
	size_t len_bytes;
	unsigned rights;
	bool granted; /* some time */
	bool freed;
	bool lends;
	uint32_t granted_pc[BLOCK_PCS], revoked_pc[BLOCK_PCS];
};

SIM_STATE static struct mapping mappings[SLOT_MAX];
SIM_STATE static unsigned mapping_count;

void iommu_reset(void)
{
	mapping_count = 1; /* address 0 is nobody's */
}

static void tell_map(enum event_kind kind, uint64_t iova, size_t len_bytes, unsigned rights)
{
	struct event *e = event_add(kind, iova, len_bytes);

	e->pc = event_caller();
	e->flags = (uint8_t)rights;
}

/* ---- the machine's side ---- */

int iommu_alloc(size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	struct mapping *m = &mappings[mapping_count];
	uint8_t *base;

	world_capture();
	check_may_allocate("DMA memory");
	base = arena_dma_alloc(len_bytes, align_bytes);
	if (base == NULL || mapping_count == SLOT_MAX)
		return -ENOMEM;
	*m = (struct mapping){.base = base, .len_bytes = len_bytes};
	*out = (struct machine_dma_memory){
		.base = base,
		.iova = (uint64_t)mapping_count++ << SLOT_SHIFT,
		.len_bytes = len_bytes,
		.cookie = m,
	};
	return 0;
}

void iommu_free(struct machine_dma_memory *memory)
{
	struct mapping *m = memory->cookie;

	world_capture();
	world_step(0xd3a0);
	if (m == NULL)
		return;
	check_dma_taken(memory->iova, m->len_bytes, m->rights != 0);
	m->freed = true;
	arena_dma_free(m->base, m->len_bytes);
	*memory = (struct machine_dma_memory){0};
}

int iommu_grant(const struct machine_dma_memory *memory, unsigned rights, uint64_t *iova)
{
	struct mapping *m = memory->cookie;

	world_capture();
	world_step(0xd3a1);
	m->rights = rights;
	m->granted = true;
	memset(m->granted_pc, 0, sizeof(m->granted_pc));
	report_stack(m->granted_pc, BLOCK_PCS);
	*iova = memory->iova;
	tell_map(EVENT_MAP, *iova, m->len_bytes, rights);
	return 0;
}

void iommu_revoke(const struct machine_dma_memory *memory)
{
	struct mapping *m = memory->cookie;

	world_capture();
	world_step(0xd3a2);
	check_dma_taken(memory->iova, m->len_bytes, false);
	tell_map(EVENT_UNMAP, memory->iova, m->len_bytes, m->rights);
	m->rights = 0;
	report_stack(m->revoked_pc, BLOCK_PCS);
}

void iommu_lends(uint64_t iova)
{
	uint64_t slot = iova >> SLOT_SHIFT;

	if (slot > 0 && slot < mapping_count)
		mappings[slot].lends = true;
}

bool iommu_find(uintptr_t address, uint64_t *iova)
{
	for (unsigned i = mapping_count; i-- > 1;) {
		const struct mapping *m = &mappings[i];

		if (address - (uintptr_t)m->base >= m->len_bytes)
			continue;
		*iova = ((uint64_t)i << SLOT_SHIFT) + (address - (uintptr_t)m->base);
		return true;
	}
	return false;
}

/* ---- the device's side ---- */

/* Where the device may reach, or NULL. */
static uint8_t *reach(uint64_t iova, size_t len_bytes, unsigned rights)
{
	uint64_t slot = iova >> SLOT_SHIFT, offset = iova & (BIT64(SLOT_SHIFT) - 1);
	const struct mapping *m = &mappings[slot < mapping_count ? slot : 0];

	if (slot == 0 || slot >= mapping_count || offset > m->len_bytes || len_bytes > m->len_bytes - offset ||
	    (m->rights & rights) == 0)
		return NULL;
	return m->base + offset;
}

bool iommu_reaches(uint64_t iova, size_t len_bytes)
{
	return reach(iova, len_bytes, OB_DMA_WRITE) != NULL;
}

static void __attribute__((noreturn)) complain(uint64_t iova, size_t len_bytes, unsigned rights)
{
	uint64_t slot = iova >> SLOT_SHIFT, offset = iova & (BIT64(SLOT_SHIFT) - 1);
	const char *verb = rights == OB_DMA_WRITE ? "write to" : "read from";
	const struct mapping *m;

	if (slot == 0 || slot >= mapping_count) {
		check_dma_address(iova, verb);
		report_begin("dma-unmapped", "the device's %s %#llx, %zu bytes, which was never mapped", verb,
			     (unsigned long long)iova, len_bytes);
		report_end();
	}
	m = &mappings[slot];
	if (offset > m->len_bytes || len_bytes > m->len_bytes - offset) {
		report_begin("dma-out-of-bounds", "the device's %s %#llx, %zu bytes, leaves memory of %zu bytes", verb,
			     (unsigned long long)iova, len_bytes, m->len_bytes);
		report_end();
	}
	report_begin(m->rights != 0 ? "dma-direction"
		     : m->granted   ? "dma-stale-mapping"
				    : "dma-unmapped",
		     "the device's %s %#llx, %zu bytes of %zu: %s", verb, (unsigned long long)iova, len_bytes,
		     m->len_bytes,
		     m->rights != 0 ? "not granted in this direction"
		     : m->freed     ? "freed while the device was at it"
				    : "not granted, or not any more");
	if (m->granted) {
		report_text("it was granted at\n");
		report_pcs(m->granted_pc, BLOCK_PCS);
	}
	if (m->rights == 0 && m->granted) {
		report_text("and that ended at\n");
		report_pcs(m->revoked_pc, BLOCK_PCS);
	}
	report_end();
}

/* NULL: refused, and nobody's mistake: the device has told what is not so. */
static uint8_t *locate(uint64_t iova, size_t len_bytes, unsigned rights)
{
	uint8_t *at = reach(iova, len_bytes, rights);

	if (OB_UNLIKELY(at == NULL) && (W.fault_excuses & FAULT_EXCUSE_DMA) == 0)
		complain(iova, len_bytes, rights);
	if (at != NULL && mappings[iova >> SLOT_SHIFT].lends && (W.fault_excuses & FAULT_EXCUSE_DMA) == 0)
		check_lend_device((uintptr_t)at, len_bytes, rights);
	return at;
}

/* What is written in one go, and may tell of something else (model/host.h). */
static bool is_word(uintptr_t address, size_t len_bytes)
{
	return (len_bytes == 2 || len_bytes == 4 || len_bytes == 8) && IS_ALIGNED(address, (uintptr_t)len_bytes);
}

static void acquire_word(uintptr_t address, size_t len_bytes)
{
	for (uintptr_t at = address & ~(uintptr_t)3; at < address + len_bytes; at += 4) {
		const struct vclock *sync = race_sync(at, false);

		if (sync != NULL)
			vclock_join(&W.threads[THREAD_DEVICE].clock, sync);
	}
}

static void release_word(uintptr_t address, size_t len_bytes)
{
	struct thread *device = &W.threads[THREAD_DEVICE];

	sched_progress(); /* somebody may be looking for it */
	for (uintptr_t at = address & ~(uintptr_t)3; at < address + len_bytes; at += 4)
		*race_sync(at, true) = device->clock;
	device->clock.t[THREAD_DEVICE]++;
}

void iommu_device_load(uintptr_t address, void *to, size_t len_bytes, bool look)
{
	world_capture();
	event_of(&W.threads[THREAD_DEVICE], EVENT_DMA_READ, address, len_bytes);
	race_check(address, len_bytes, ACCESS_DEVICE | (look ? ACCESS_MARKED : 0), 0, &W.threads[THREAD_DEVICE]);
	memcpy(to, master(address), len_bytes);
	if (look)
		acquire_word(address, len_bytes);
}

void iommu_device_store(uintptr_t address, const void *from, size_t len_bytes, bool publish)
{
	event_of(&W.threads[THREAD_DEVICE], EVENT_DMA_WRITE, address, len_bytes)->flags = publish;
	race_check(address, len_bytes, ACCESS_DEVICE | ACCESS_WRITE | (publish ? ACCESS_MARKED : 0), 0,
		   &W.threads[THREAD_DEVICE]);
	weak_device_write(address, from, len_bytes, !publish);
	if (publish)
		release_word(address, len_bytes);
}

int iommu_look(uint64_t iova, void *to, size_t len_bytes)
{
	const uint8_t *address;

	simdev_step(2);
	address = locate(iova, len_bytes, OB_DMA_READ);
	if (OB_UNLIKELY(address == NULL))
		return -EACCES;
	iommu_device_load((uintptr_t)address, to, len_bytes, true);
	return 0;
}

int iommu_read(uint64_t iova, void *to, size_t len_bytes)
{
	for (size_t at = 0; at < len_bytes; at += PIECE) {
		size_t piece = MIN(len_bytes - at, (size_t)PIECE);
		const uint8_t *address;

		if (at % PACKET == 0)
			simdev_step(2);
		address = locate(iova + at, piece, OB_DMA_READ);
		if (OB_UNLIKELY(address == NULL))
			return -EACCES;
		iommu_device_load((uintptr_t)address, (uint8_t *)to + at, piece, false);
	}
	return 0;
}

static int device_write(uint64_t iova, const uint8_t *from, size_t len_bytes, bool publish)
{
	uint8_t *address = locate(iova, len_bytes, OB_DMA_WRITE);

	if (OB_UNLIKELY(address == NULL))
		return -EACCES;
	iommu_device_store((uintptr_t)address, from, len_bytes, publish);
	return 0;
}

int iommu_write(uint64_t iova, const void *from, size_t len_bytes)
{
	int ret = 0;

	for (size_t at = 0; at < len_bytes && ret == 0; at += PIECE) {
		size_t piece = MIN(len_bytes - at, (size_t)PIECE);

		if (at % PACKET == 0)
			simdev_step(3);
		ret = device_write(iova + at, (const uint8_t *)from + at, piece, is_word((uintptr_t)iova, len_bytes));
	}
	return ret;
}

void iommu_wrote_entry(uint64_t iova, size_t len_bytes)
{
	check_fetch_published((uintptr_t)mappings[iova >> SLOT_SHIFT].base + (uint32_t)iova, len_bytes);
}

/* In pieces, so that a CPU may come between. */
static int publish_body(uint64_t iova, const uint8_t *bytes, size_t len_bytes)
{
	int ret = 0;

	for (size_t at = 0; at < len_bytes && ret == 0; at += 8) {
		simdev_step(4);
		ret = device_write(iova + at, bytes + at, MIN(len_bytes - at, (size_t)8), false);
	}
	return ret;
}

int iommu_publish(uint64_t iova, const void *from, size_t len_bytes)
{
	/* What can be written in one go is. */
	size_t last = is_word((uintptr_t)iova, len_bytes) ? len_bytes : 4, body = len_bytes - last;
	int ret = publish_body(iova, from, body);

	if (OB_UNLIKELY(ret != 0))
		return ret;
	simdev_step(5);
	ret = device_write(iova + body, (const uint8_t *)from + body, last, true);
	if (OB_LIKELY(ret == 0))
		check_fetch_published((uintptr_t)mappings[iova >> SLOT_SHIFT].base + (uint32_t)iova, len_bytes);
	return ret;
}

int iommu_publish_early(uint64_t iova, const void *from, size_t len_bytes)
{
	size_t body = len_bytes - 4;
	int ret;

	simdev_step(5);
	ret = device_write(iova + body, (const uint8_t *)from + body, 4, true);
	return ret == 0 ? publish_body(iova, from, body) : ret;
}
