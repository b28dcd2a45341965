/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fibers: stacks with a guard page, and the notes that sanitizers need about a switch. The switch itself is the
 * architecture's (fiber.h). Stacks are not cached here: a task keeps its fiber and is reused as a whole (task.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "core/fiber.h"
#include "core/os.h"

struct os_fiber {
	void *stack; /* as the architecture saved it */
	void *map;   /* guard page, then the stack; NULL: a thread's own */
	size_t map_bytes;
	void (*fn)(void *arg);
	void *arg;
	struct os_fiber *from; /* who switched here last */
	/* sanitizers: the stack's bounds, and what they keep for a stack that is left */
	const void *bottom;
	size_t bottom_bytes;
	void *shadow;
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#elif __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#endif

#if defined(FIBER_ASAN)

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* Instrumented frames are several times larger. */
#define STACK_SCALE 4

static void note_create(struct os_fiber *f)
{
	if (f->map)
		__asan_unpoison_memory_region(f->bottom, f->bottom_bytes);
}

static void note_destroy(struct os_fiber *f)
{
	if (f->map)
		__asan_unpoison_memory_region(f->bottom, f->bottom_bytes);
}

static void note_leave(struct os_fiber *from, struct os_fiber *to, bool last)
{
	__sanitizer_start_switch_fiber(last ? NULL : &from->shadow, to->bottom, to->bottom_bytes);
}

/* Only here are the bounds of a thread's own stack learnt, as those of the one that was left. */
static void note_arrive(struct os_fiber *f)
{
	__sanitizer_finish_switch_fiber(f->shadow, &f->from->bottom, &f->from->bottom_bytes);
}

#elif defined(FIBER_TSAN)

#include <sanitizer/tsan_interface.h>

#define STACK_SCALE 4

static void note_create(struct os_fiber *f)
{
	f->shadow = f->map ? __tsan_create_fiber(0) : NULL;
}

static void note_destroy(struct os_fiber *f)
{
	if (f->map)
		__tsan_destroy_fiber(f->shadow);
}

static void note_leave(struct os_fiber *from, struct os_fiber *to, bool last)
{
	(void)last;
	if (!from->map)
		from->shadow = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(to->shadow, 0);
}

static void note_arrive(struct os_fiber *f)
{
	(void)f;
}

#else

#define STACK_SCALE 1

static void note_create(struct os_fiber *f)
{
	(void)f;
}

static void note_destroy(struct os_fiber *f)
{
	(void)f;
}

static void note_leave(struct os_fiber *from, struct os_fiber *to, bool last)
{
	(void)from;
	(void)to;
	(void)last;
}

static void note_arrive(struct os_fiber *f)
{
	(void)f;
}

#endif

static void fiber_main(void *arg)
{
	struct os_fiber *f = arg;

	note_arrive(f);
	f->fn(f->arg);
	abort(); /* fn must not return: there is nothing to return to */
}

int os_fiber_create(struct os_fiber **out, size_t stack_bytes, void (*fn)(void *arg), void *arg)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct os_fiber *f = os_alloc(sizeof(*f), OB_CACHE_LINE);
	int rc = -ENOMEM;

	if (!f)
		return rc;
	f->fn = fn;
	f->arg = arg;
	f->bottom_bytes = ALIGN_UP(stack_bytes * STACK_SCALE, page);
	f->map_bytes = f->bottom_bytes + page;
	f->map = mmap(NULL, f->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (f->map == MAP_FAILED)
		goto free_fiber;
	f->bottom = (char *)f->map + page;
	if (mprotect((char *)f->map + page, f->bottom_bytes, PROT_READ | PROT_WRITE) < 0)
		goto unmap;
	note_create(f);
	f->stack = fiber_arch_prepare((char *)f->map + f->map_bytes, fiber_main, f);
	if (!f->stack)
		goto destroy_note;
	*out = f;
	return 0;

destroy_note:
	note_destroy(f);
unmap:
	munmap(f->map, f->map_bytes);
free_fiber:
	os_free(f);
	return rc;
}

int os_fiber_adopt_thread(struct os_fiber **out)
{
	struct os_fiber *f = os_alloc(sizeof(*f), OB_CACHE_LINE);

	if (!f)
		return -ENOMEM;
	*out = f;
	return 0;
}

void os_fiber_destroy(struct os_fiber *f)
{
	if (!f)
		return;
	note_destroy(f);
	if (f->map)
		munmap(f->map, f->map_bytes);
	os_free(f);
}

void os_fiber_switch(struct os_fiber *from, struct os_fiber *to, bool last)
{
	to->from = from;
	note_leave(from, to, last);
	fiber_arch_switch(&from->stack, to->stack);
	note_arrive(from);
}
