/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of a run: heap, DMA memory, stacks. It lies at a fixed address and is never used again within a run, so that
 * each use after a free is seen. What models need is apart: no rule of the kit's applies to it.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "sim/memory/race.h"
#include "sim/view/event.h"

#define RED_ZONE 64
#define FREED    0x6b

uint8_t *arena_cells;

static bool map_at(uint64_t address, uint64_t len_bytes)
{
	void *wanted = (void *)(uintptr_t)address; /* NOLINT */

	return mmap(wanted, len_bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == wanted;
}

int arena_map(void)
{
	if (!map_at(ARENA_BASE, ARENA_BYTES) || !map_at(ARENA_BASE + DMA_OFFSET + MASTER_OFFSET, DMA_BYTES) ||
	    !map_at(MODEL_BASE, MODEL_BYTES))
		return -ENOMEM;
	arena_cells = mmap(NULL, ARENA_BYTES / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);
	if (arena_cells == MAP_FAILED)
		return -ENOMEM;
	/* Stacks are nobody's to check but the thread's. */
	memset(arena_cells + STACK_OFFSET / 8, CELL_LIVE, STACK_AREA / 8);
	return 0;
}

void arena_forget(uint64_t heap_used, uint64_t dma_used)
{
	uintptr_t dma = ARENA_BASE + DMA_OFFSET + W.dma_used;

	memset(arena_cells + W.heap_used / 8, 0, (heap_used - W.heap_used) / 8);
	memset(arena_cells + (DMA_OFFSET + W.dma_used) / 8, 0, (dma_used - W.dma_used) / 8);
	/* What the last CPU saw in the gaps between blocks is no drift of the next run. */
	memcpy((void *)dma, master(dma), dma_used - W.dma_used); /* NOLINT */
}

static void cells_set(uintptr_t address, size_t len_bytes, uint8_t state)
{
	memset(arena_cells + (address - ARENA_BASE) / 8, state, DIV_ROUND_UP(len_bytes, (size_t)8));
}

static struct block *block_add(uintptr_t address, size_t len_bytes)
{
	struct block *b;

	if (W.block_count == BLOCK_MAX)
		return NULL;
	b = &W.blocks[W.block_count++];
	*b = (struct block){.address = address, .len_bytes = (uint32_t)len_bytes, .live = true};
	b->thread = (uint8_t)W.current->id;
	report_stack(b->pc, BLOCK_PCS);
	W.live_bytes += len_bytes;
	event_add(EVENT_ALLOC, address, len_bytes)->pc = event_caller();
	return b;
}

/* Blocks of the heap and of DMA memory are made in the order of their addresses, each among its kind. */
struct block *arena_block(uintptr_t address)
{
	for (unsigned i = W.block_count; i-- > 0;)
		if (address - W.blocks[i].address < MAX(W.blocks[i].len_bytes, 1u))
			return &W.blocks[i];
	return NULL;
}

static void block_end(struct block *b, uint32_t pc, const char *what)
{
	if (!b->live) {
		report_begin("double-free", "%s at %#llx of %u bytes was freed already", what,
			     (unsigned long long)b->address, b->len_bytes);
		report_here(pc);
		report_text("freed before at\n");
		report_pcs(b->freed_pc, BLOCK_PCS);
		report_end();
	}
	event_add(EVENT_FREE, b->address, b->len_bytes)->pc = event_caller();
	check_lock_freed(b->address, b->len_bytes);
	check_lend_freed(b->address, b->len_bytes);
	/* Whoever still uses it on another thread, or the device, and is not known to have ended: a race. */
	race_check(b->address, b->len_bytes, ACCESS_WRITE | ACCESS_FREE, pc, W.current);
	b->live = false;
	report_stack(b->freed_pc, BLOCK_PCS);
	W.live_bytes -= b->len_bytes;
	cells_set(b->address, b->len_bytes, CELL_GONE);
}

void *os_alloc(size_t len_bytes, size_t align_bytes)
{
	uint64_t at;

	world_capture();
	check_may_allocate("memory");
	world_step(0xa110c);
	at = ALIGN_UP(W.heap_used + RED_ZONE, (uint64_t)MAX(align_bytes, (size_t)16));
	if (at + len_bytes > HEAP_BYTES || !block_add(ARENA_BASE + at, len_bytes))
		return NULL;
	W.heap_used = ALIGN_UP(at + len_bytes, (uint64_t)RED_ZONE);
	cells_set(ARENA_BASE + at, len_bytes, CELL_LIVE);
	memset((void *)(ARENA_BASE + at), 0, len_bytes); /* NOLINT */
	return (void *)(ARENA_BASE + at);                /* NOLINT */
}

void os_free(void *memory)
{
	struct block *b;

	if (memory == NULL)
		return;
	world_capture();
	check_may_allocate("memory");
	world_step(0xf3ee);
	b = arena_block((uintptr_t)memory);
	if (b == NULL || b->address != (uintptr_t)memory || is_dma(b->address)) {
		report_begin("bad-free", "%p is not the start of a block of the heap", memory);
		report_here(WORLD_PC());
		report_end();
	}
	block_end(b, WORLD_PC(), "memory");
	memset(memory, FREED, b->len_bytes);
}

uint8_t *arena_dma_alloc(size_t len_bytes, size_t align_bytes)
{
	uint64_t at = DMA_OFFSET + ALIGN_UP(W.dma_used + RED_ZONE, (uint64_t)MAX(align_bytes, (size_t)RED_ZONE));

	if (at + len_bytes > DMA_OFFSET + DMA_BYTES || !block_add(ARENA_BASE + at, len_bytes))
		return NULL;
	W.dma_used = ALIGN_UP(at + len_bytes, (uint64_t)RED_ZONE) - DMA_OFFSET;
	cells_set(ARENA_BASE + at, len_bytes, CELL_LIVE);
	memset((void *)(ARENA_BASE + at), 0, len_bytes); /* NOLINT */
	memset(master(ARENA_BASE + at), 0, len_bytes);
	return (uint8_t *)(ARENA_BASE + at); /* NOLINT */
}

void arena_dma_free(void *base, size_t len_bytes)
{
	struct block *b = arena_block((uintptr_t)base);

	if (b == NULL)
		return;
	weak_drain_all(W.current->id);
	block_end(b, 0, "DMA memory");
}

void *arena_stack(size_t len_bytes)
{
	uint64_t at = STACK_OFFSET + W.stack_used;

	if (W.stack_used + len_bytes > STACK_AREA)
		return NULL;
	W.stack_used += len_bytes;
	return (void *)(ARENA_BASE + at); /* NOLINT */
}

void *model_alloc(size_t len_bytes)
{
	uint64_t at = W.model_used;

	len_bytes = ALIGN_UP(len_bytes, (size_t)64);
	if (at + len_bytes > MODEL_BYTES)
		return NULL;
	W.model_used += len_bytes;
	memset((void *)(MODEL_BASE + at), 0, len_bytes); /* NOLINT */
	return (void *)(MODEL_BASE + at);                /* NOLINT */
}

void arena_judge(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc)
{
	uint8_t cell = arena_cells[(address - ARENA_BASE) / 8];

	if (cell < CELL_LENT_READ)
		arena_complain(address, flags, pc);
	if (cell != CELL_LENT_READ || (flags & ACCESS_WRITE) != 0)
		check_lend_touch(address, len_bytes, flags, pc);
}

/* An access to what is not allocated, or not any more. */
void arena_complain(uintptr_t address, unsigned flags, uint32_t pc)
{
	const char *verb = flags & ACCESS_WRITE ? "write" : "read";
	const struct block *b = arena_block(address);
	char where[96];

	report_describe(address, where, sizeof(where));
	if (b == NULL || b->live) {
		report_begin("out-of-bounds", "%s of %s", verb, where);
		report_here(pc);
		report_end();
	}
	report_begin(is_dma(address) ? "dma-use-after-free" : "use-after-free", "%s of %s, which was freed", verb,
		     where);
	report_here(pc);
	report_text("freed at\n");
	report_pcs(b->freed_pc, BLOCK_PCS);
	report_text("allocated at\n");
	report_pcs(b->pc, BLOCK_PCS);
	report_end();
}
