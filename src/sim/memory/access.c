/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the compiler calls before each access to memory, and the kit's copies. The compiler's flag is that of a race
 * detector of another kind (gcc's -fsanitize=thread); the names and arguments are its interface.
 */
#include "sim/check/fetch.h"
#include "sim/memory/promise.h"
#include "sim/memory/race.h"
#include "sim/view/event.h"

static void note_load(uintptr_t address, size_t len_bytes, unsigned flags)
{
	uint64_t value = 0;

	memcpy(&value, (const void *)address, MIN(len_bytes, sizeof(value))); /* NOLINT */
	promise_load_end(address, len_bytes, value, len_bytes <= sizeof(value) && (flags & ACCESS_MARKED) != 0);
}

/* A word that another wrote, and what it tells of, as old as it was found: not ordered yet, but for a barrier behind it. */
static void word_seen(uintptr_t address, size_t len_bytes)
{
	struct view *view = &W.views[W.current->id];
	bool news = false;

	for (uintptr_t at = address & ~(uintptr_t)1; at < address + len_bytes; at += 2) {
		const struct vclock *seen = weak_clock(W.current->id, at, address, len_bytes);

		if (seen == NULL)
			continue;
		news |= seen->t[THREAD_DEVICE] > view->pending.t[THREAD_DEVICE];
		vclock_join(&view->pending, seen);
	}
	if (news)
		event_add(EVENT_SEEN, address, len_bytes);
}

/* DMA memory, where what a CPU stores and sees is not what the device has. */
static void access_dma(uintptr_t address, size_t len_bytes, unsigned flags)
{
	check_fetch(address, len_bytes, flags, W.current->pc);
	if (flags & ACCESS_WRITE) {
		weak_store(address, len_bytes, (flags & (ACCESS_MARKED | ACCESS_ATOMIC)) == ACCESS_MARKED);
		return;
	}
	if (OB_UNLIKELY(W.promise != PROMISE_OFF))
		promise_load_begin(address, len_bytes);
	weak_before_load(address, len_bytes);
	if (OB_UNLIKELY(W.promise != PROMISE_OFF))
		note_load(address, len_bytes, flags);
	if ((flags & ACCESS_MARKED) != 0)
		word_seen(address, len_bytes);
}

/* Inlined into each of the callbacks: it is most of what a run does. */
static inline __attribute__((always_inline)) void access(uintptr_t address, size_t len_bytes, unsigned flags,
							 uint32_t pc)
{
	uint64_t offset = address - ARENA_BASE;

	if (OB_UNLIKELY(!W.on))
		return;
	world_capture();
	W.current->pc = pc;
	world_interrupt_maybe();
	if (OB_UNLIKELY(W.current->late_count > 0) && !(flags & ACCESS_ATOMIC))
		history_own_access(address, len_bytes);
	if (offset >= ARENA_BYTES) {
		world_step(len_bytes);
		return;
	}
	world_step(offset + ((uint64_t)flags << 56));
	if (OB_UNLIKELY(event_records_all()) && offset < STACK_OFFSET)
		event_add(flags & ACCESS_WRITE ? EVENT_WRITE : EVENT_READ, address, len_bytes)->flags = (uint8_t)flags;
	if (OB_UNLIKELY(arena_cells[offset / 8] != CELL_LIVE))
		arena_judge(address, len_bytes, flags, pc);
	race_check(address, len_bytes, flags | W.mode, pc, W.current);
	if ((flags & (ACCESS_WRITE | ACCESS_MARKED)) == ACCESS_MARKED)
		check_spin(address, pc, "a word");
	if (offset - DMA_OFFSET < DMA_BYTES)
		access_dma(address, len_bytes, flags);
}

/* All of a range counts. */
void access_range(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc)
{
	uint64_t first = (address - ARENA_BASE) / 8, last = (address + len_bytes - 1 - ARENA_BASE) / 8;
	uint8_t odd = 0;

	if (len_bytes == 0)
		return;
	access(address, len_bytes, flags, pc);
	if (!W.on || last >= ARENA_BYTES / 8 || first > last)
		return;
	for (uint64_t i = first + 1; i <= last; i++)
		odd |= arena_cells[i] ^ CELL_LIVE;
	for (uint64_t i = first + 1; OB_UNLIKELY(odd != 0) && i <= last; i++)
		if (arena_cells[i] != CELL_LIVE)
			arena_judge(ARENA_BASE + i * 8, MIN(address + len_bytes - (ARENA_BASE + i * 8), (size_t)8),
				    flags, pc);
}

#define ACCESS_FUNCTIONS(size)                                                        \
	void __tsan_read##size(void *p);                                              \
	void __tsan_write##size(void *p);                                             \
	void __tsan_unaligned_read##size(void *p);                                    \
	void __tsan_unaligned_write##size(void *p);                                   \
	void __tsan_volatile_read##size(void *p);                                     \
	void __tsan_volatile_write##size(void *p);                                    \
	void __tsan_unaligned_volatile_read##size(void *p);                           \
	void __tsan_unaligned_volatile_write##size(void *p);                          \
	void __tsan_read##size(void *p)                                               \
	{                                                                             \
		access((uintptr_t)p, size, 0, WORLD_PC());                            \
	}                                                                             \
	void __tsan_write##size(void *p)                                              \
	{                                                                             \
		access((uintptr_t)p, size, ACCESS_WRITE, WORLD_PC());                 \
	}                                                                             \
	void __tsan_unaligned_read##size(void *p)                                     \
	{                                                                             \
		access((uintptr_t)p, size, 0, WORLD_PC());                            \
	}                                                                             \
	void __tsan_unaligned_write##size(void *p)                                    \
	{                                                                             \
		access((uintptr_t)p, size, ACCESS_WRITE, WORLD_PC());                 \
	}                                                                             \
	void __tsan_volatile_read##size(void *p)                                      \
	{                                                                             \
		access((uintptr_t)p, size, ACCESS_MARKED, WORLD_PC());                \
	}                                                                             \
	void __tsan_volatile_write##size(void *p)                                     \
	{                                                                             \
		access((uintptr_t)p, size, ACCESS_WRITE | ACCESS_MARKED, WORLD_PC()); \
	}                                                                             \
	void __tsan_unaligned_volatile_read##size(void *p)                            \
	{                                                                             \
		access((uintptr_t)p, size, ACCESS_MARKED, WORLD_PC());                \
	}                                                                             \
	void __tsan_unaligned_volatile_write##size(void *p)                           \
	{                                                                             \
		access((uintptr_t)p, size, ACCESS_WRITE | ACCESS_MARKED, WORLD_PC()); \
	}

ACCESS_FUNCTIONS(1)
ACCESS_FUNCTIONS(2)
ACCESS_FUNCTIONS(4)
ACCESS_FUNCTIONS(8)
ACCESS_FUNCTIONS(16)

void __tsan_read_range(void *p, size_t len_bytes);
void __tsan_write_range(void *p, size_t len_bytes);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_init(void);
void __tsan_vptr_update(void **p, void *v);

/* A copy of a structure is announced as a write, then a read, and then made: nothing may come between. */
SIM_STATE static bool copy_announced;

void __tsan_read_range(void *p, size_t len_bytes)
{
	uintptr_t address = (uintptr_t)p;

	if (copy_announced) {
		copy_announced = false;
		if (W.on && W.capture_due) {
			if (address - ARENA_BASE < ARENA_BYTES && !W.config.no_races)
				race_check(address, len_bytes, W.mode, WORLD_PC(), W.current);
			return;
		}
	}
	access_range(address, len_bytes, 0, WORLD_PC());
}

void __tsan_write_range(void *p, size_t len_bytes)
{
	access_range((uintptr_t)p, len_bytes, ACCESS_WRITE, WORLD_PC());
	copy_announced = true;
}

void __tsan_func_entry(void *caller)
{
	struct frames *f;

	if (!W.on)
		return;
	f = W.current->frames;
	if (f->depth < FRAME_MAX)
		f->pc[f->depth] = (uint32_t)((uintptr_t)caller - world_text_base) & FRAME_PC;
	f->depth++;
	W.entered = W.steps;
	W.mode &= ACCESS_HARD;
}

void __tsan_func_exit(void)
{
	struct frames *f;

	if (!W.on)
		return;
	f = W.current->frames;
	if (f->depth > 0)
		f->depth--;
	if (OB_LIKELY(W.mode != ACCESS_HARD))
		W.mode = frames_open(f) ? ACCESS_OPEN : 0;
}

void __tsan_init(void)
{
}

void __tsan_vptr_update(void **p, void *v)
{
	*p = v;
}

/* ---- the kit's copies, and what libc.h makes of the C library's ---- */

void ob_dma_copy(void *to, const void *from, size_t len_bytes);
void ob_dma_zero(void *to, size_t len_bytes);

/* In pieces, between which others may come: a copy has no moment of its own. */
#define COPY_PIECE 256

void ob_dma_copy(void *to, const void *from, size_t len_bytes)
{
	for (size_t at = 0; at < len_bytes; at += COPY_PIECE) {
		size_t piece = MIN(len_bytes - at, (size_t)COPY_PIECE);

		access_range((uintptr_t)from + at, piece, 0, WORLD_PC());
		access_range((uintptr_t)to + at, piece, ACCESS_WRITE, WORLD_PC());
		memcpy((uint8_t *)to + at, (const uint8_t *)from + at, piece);
	}
	world_capture();
}

static void dma_set(void *to, int value, size_t len_bytes, uint32_t pc)
{
	for (size_t at = 0; at < len_bytes; at += COPY_PIECE) {
		size_t piece = MIN(len_bytes - at, (size_t)COPY_PIECE);

		access_range((uintptr_t)to + at, piece, ACCESS_WRITE, pc);
		memset((uint8_t *)to + at, value, piece);
	}
	world_capture();
}

void ob_dma_zero(void *to, size_t len_bytes)
{
	dma_set(to, 0, len_bytes, WORLD_PC());
}

void *sim_memcpy(void *to, const void *from, size_t len_bytes);
void *sim_memset(void *to, int value, size_t len_bytes);
int sim_memcmp(const void *a, const void *b, size_t len_bytes);

void *sim_memcpy(void *to, const void *from, size_t len_bytes)
{
	if (len_bytes == 0)
		return to;
	if (is_dma((uintptr_t)to)) {
		ob_dma_copy(to, from, len_bytes);
		return to;
	}
	access_range((uintptr_t)from, len_bytes, 0, WORLD_PC());
	access_range((uintptr_t)to, len_bytes, ACCESS_WRITE, WORLD_PC());
	memmove(to, from, len_bytes);
	if (W.on)
		world_capture();
	return to;
}

void *sim_memset(void *to, int value, size_t len_bytes)
{
	if (len_bytes == 0)
		return to;
	if (is_dma((uintptr_t)to)) {
		dma_set(to, value, len_bytes, WORLD_PC());
		return to;
	}
	access_range((uintptr_t)to, len_bytes, ACCESS_WRITE, WORLD_PC());
	memset(to, value, len_bytes);
	if (W.on)
		world_capture();
	return to;
}

int sim_memcmp(const void *a, const void *b, size_t len_bytes)
{
	access_range((uintptr_t)a, len_bytes, 0, WORLD_PC());
	access_range((uintptr_t)b, len_bytes, 0, WORLD_PC());
	return memcmp(a, b, len_bytes);
}
