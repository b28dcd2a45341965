/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world as it was at a scenario's checkpoint, and back to it: runs that differ only in what comes after need not
 * bring the machine up again.
 *
 * Pages are write-protected when the snapshot is taken. The first write to one keeps its content, and from then on it
 * is among those that each return copies back; runs of one scenario write to the same pages, so after a few of them
 * nothing faults any more. The memory of the race detector takes no part: each run has a generation of its own there.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/snapshot.h"
#include "sim/world.h"

#define REGION_MAX 8
#define KEPT_MAX   8192
#define PAGE_SHIFT 12 /* what is kept at once; the system's pages may be larger */
#define PAGE       ((size_t)1 << PAGE_SHIFT)

struct region {
	uint8_t *base, *copy; /* the copies lie as the pages do */
	size_t len_bytes;
	size_t used_bytes; /* as of the snapshot; what lies behind is empty then */
	uint8_t *kept;     /* per page */
};

extern uint8_t __start_sim_state[], __stop_sim_state[];

static struct region regions[REGION_MAX];
static unsigned region_count;
static struct {
	uint8_t *page, *copy;
} kept[KEPT_MAX];
static unsigned kept_count;
static size_t system_page;
static bool armed; /* pages are protected */

/* The state's last bytes share their page with what is none of ours. */
static uint8_t *tail, tail_copy[4096];
static size_t tail_len;

static int region_add(uint8_t *base, size_t len_bytes)
{
	struct region *r = &regions[region_count];

	r->base = base;
	r->len_bytes = len_bytes;
	r->copy = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	r->kept = mmap(NULL, len_bytes >> PAGE_SHIFT, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->copy == MAP_FAILED || r->kept == MAP_FAILED)
		return -ENOMEM;
	region_count++;
	return 0;
}

int snapshot_map(void)
{
	uint8_t *arena = (uint8_t *)ARENA_BASE; /* NOLINT */
	size_t state_len = (size_t)(__stop_sim_state - __start_sim_state);
	size_t state_whole;
	int rc;

	system_page = (size_t)sysconf(_SC_PAGESIZE);
	if (system_page > sizeof(tail_copy) || !IS_ALIGNED((uintptr_t)__start_sim_state, (uintptr_t)system_page))
		return 0; /* runs start from nothing */
	state_whole = state_len & ~(PAGE - 1);
	tail = __start_sim_state + state_whole;
	tail_len = state_len - state_whole;
	rc = region_add(__start_sim_state, state_whole);
	if (rc == 0)
		rc = region_add(arena, HEAP_BYTES);
	if (rc == 0)
		rc = region_add(arena + DMA_OFFSET, DMA_BYTES);
	if (rc == 0)
		rc = region_add(master(ARENA_BASE + DMA_OFFSET), DMA_BYTES);
	if (rc == 0)
		rc = region_add(arena + STACK_OFFSET, STACK_AREA);
	if (rc == 0)
		rc = region_add((uint8_t *)MODEL_BASE, MODEL_BYTES); /* NOLINT */
	if (rc == 0)
		rc = region_add(arena_cells, HEAP_BYTES / 8);
	if (rc == 0)
		rc = region_add(arena_cells + DMA_OFFSET / 8, DMA_BYTES / 8);
	return rc;
}

static void measure(void)
{
	const uint64_t used[REGION_MAX] = {
		regions[0].len_bytes, W.heap_used,  W.dma_used,      W.dma_used,
		W.stack_used,         W.model_used, W.heap_used / 8, W.dma_used / 8,
	};

	for (unsigned i = 0; i < region_count; i++)
		regions[i].used_bytes = ALIGN_UP((size_t)used[i], PAGE);
}

static void protect(uint8_t *from, const uint8_t *to, int rights)
{
	if (to > from && mprotect(from, (size_t)(to - from), rights) != 0)
		abort(); /* the system refuses what it granted: nothing to go on with */
}

void snapshot_drop(void)
{
	if (!armed)
		return;
	for (unsigned i = 0; i < region_count; i++)
		protect(regions[i].base, regions[i].base + regions[i].used_bytes, PROT_READ | PROT_WRITE);
	armed = false;
}

static void keep(struct region *r, size_t page)
{
	r->kept[page] = 1;
	kept[kept_count].page = r->base + page * PAGE;
	kept[kept_count++].copy = r->copy + page * PAGE;
	memcpy(r->copy + page * PAGE, r->base + page * PAGE, PAGE);
}

/* Pages that were written to after the last snapshot will be again: they are kept at once, and not protected. */
void snapshot_take(void)
{
	if (region_count < REGION_MAX)
		return;
	snapshot_drop();
	measure();
	kept_count = 0;
	for (unsigned i = 0; i < region_count; i++) {
		struct region *r = &regions[i];
		size_t pages = r->used_bytes >> PAGE_SHIFT, clean = 0;

		for (size_t page = 0; page < pages; page++) {
			if (!r->kept[page])
				continue;
			if (kept_count < KEPT_MAX / 2)
				keep(r, page);
			else
				r->kept[page] = 0;
			if (r->kept[page]) {
				protect(r->base + clean * PAGE, r->base + page * PAGE, PROT_READ);
				clean = page + 1;
			}
		}
		protect(r->base + clean * PAGE, r->base + pages * PAGE, PROT_READ);
	}
	memcpy(tail_copy, tail, tail_len);
	armed = true;
}

bool snapshot_fault(const void *address)
{
	if (!armed)
		return false;
	for (unsigned i = 0; i < region_count; i++) {
		struct region *r = &regions[i];
		size_t offset = (size_t)((uintptr_t)address - (uintptr_t)r->base), page = offset >> PAGE_SHIFT;

		if (offset >= r->used_bytes || r->kept[page] || kept_count == KEPT_MAX)
			continue;
		keep(r, page);
		protect(r->base + page * PAGE, r->base + (page + 1) * PAGE, PROT_READ | PROT_WRITE);
		return true;
	}
	return false;
}

bool snapshot_restore(void)
{
	uint64_t heap = W.heap_used, dma = W.dma_used;

	if (!armed)
		return false;
	for (unsigned i = 0; i < kept_count; i++)
		memcpy(kept[i].page, kept[i].copy, PAGE);
	memcpy(tail, tail_copy, tail_len);
	arena_forget(heap, dma);
	return true;
}
