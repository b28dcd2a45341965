/* SPDX-License-Identifier: BSD-2-Clause */
/* Barriers and register accesses of instrumented code (outboard/mmio.h). */
#include <outboard/mmio.h>

#include "sim/memory/promise.h"
#include "sim/view/event.h"
#include "sim/world.h"

#define DRIFT_ONE_IN 512

static struct view *enter(uint64_t what, uint32_t pc)
{
	world_capture();
	W.current->pc = pc;
	world_step(what);
	return &W.views[W.current->id];
}

static void publish(struct vclock *to)
{
	struct thread *t = W.current;

	history_drain(t);
	*to = t->clock;
	t->clock.t[t->id]++;
}

static void tell(enum event_barrier barrier)
{
	event_add(EVENT_BARRIER, 0, 0)->flags = (uint8_t)barrier;
}

/* ---- barriers ---- */

void ob_dma_wmb(void)
{
	struct view *v = enter(0xb1, WORLD_PC());

	tell(EVENT_DMA_WMB);
	if (OB_UNLIKELY(W.promise != PROMISE_OFF))
		promise_store_barrier_made();
	v->barrier++;
	publish(&v->release);
}

void ob_dma_rmb(void)
{
	const struct view *v = enter(0xb2, WORLD_PC());

	tell(EVENT_DMA_RMB);
	race_acquire(&v->pending);
}

void ob_dma_mb(void)
{
	struct view *v = enter(0xb3, WORLD_PC());

	tell(EVENT_DMA_MB);
	weak_drain_all(W.current->id);
	v->barrier++;
	race_acquire(&v->pending);
	publish(&v->release);
}

void ob_mmio_wmb(void)
{
	struct view *v = enter(0xb4, WORLD_PC());

	tell(EVENT_MMIO_WMB);
	promise_barrier();
	v->mmio_barrier = ++v->barrier;
	publish(&v->mmio_release);
}

void ob_mmio_rmb(void)
{
	const struct view *v = enter(0xb5, WORLD_PC());

	tell(EVENT_MMIO_RMB);
	race_acquire(&v->mmio_pending);
}

/* ---- registers ---- */

uint64_t ob_region_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	struct view *v = enter(0xa1 + offset, WORLD_PC());
	uint64_t value;

	promise_barrier();
	check_gone_access(region->dev, "register read", (unsigned)offset);
	check_spin(region->address + offset, WORLD_PC(), "a register");
	value = region->ops->read(region, offset, size_bytes);
	v = &W.views[W.current->id];
	vclock_join(&v->mmio_pending, &W.threads[THREAD_DEVICE].clock);
	W.threads[THREAD_DEVICE].clock.t[THREAD_DEVICE]++;
	world_mix(value);
	return value;
}

void ob_region_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	const struct view *v = enter(0xa2 + offset, WORLD_PC());

	promise_barrier();
	check_gone_access(region->dev, "register write", (unsigned)offset);
	if (random_one_in(&W.random_memory, DRIFT_ONE_IN))
		weak_check_drift();
	weak_drain_before(W.current->id, v->mmio_barrier);
	region->ops->write(region, offset, size_bytes, value);
}
