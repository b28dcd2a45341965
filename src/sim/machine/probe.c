/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of the world itself: memory, threads and a device without a machine. */
#include <errno.h>

#include "sim/machine/iommu.h"
#include "sim/world.h"

SIM_STATE static struct {
	void (*fn)(void *arg);
	void *arg;
	uint64_t doorbell, status;
	struct os_thread *threads[THREAD_MAX];
	unsigned thread_count;
} probe;

void probe_reset(void)
{
	memset(&probe, 0, sizeof(probe));
}

bool probe_work(void)
{
	void (*fn)(void *arg) = probe.fn;

	probe.fn = NULL;
	if (fn != NULL)
		fn(probe.arg);
	return fn != NULL;
}

void probe_access(struct posted *access)
{
	if (access->result != NULL)
		access->value = probe.status;
	else
		probe.doorbell = access->value;
}

void *sim_dma_memory(size_t len_bytes)
{
	void *memory;

	world_capture();
	memory = arena_dma_alloc(len_bytes, OB_CACHE_LINE);
	if (memory != NULL)
		arena_block((uintptr_t)memory)->live = false; /* it need not be given back */
	return memory;
}

void sim_spawn(const char *name, void (*fn)(void *arg), void *arg)
{
	if (os_thread_create(&probe.threads[probe.thread_count], name, -1, fn, arg) != 0)
		sim_fail("simulator", "too many threads");
	probe.thread_count++;
}

void sim_join_all(void)
{
	for (unsigned i = 0; i < probe.thread_count; i++)
		os_thread_join(probe.threads[i]);
	probe.thread_count = 0;
}

void sim_device_set(void (*fn)(void *arg), void *arg)
{
	world_capture();
	probe.fn = fn;
	probe.arg = arg;
	vclock_join(&W.threads[THREAD_DEVICE].clock, &W.current->clock);
	W.current->clock.t[W.current->id]++;
	sched_wake_device(W.now_ns);
}

uint64_t sim_device_load(const void *address, unsigned len_bytes)
{
	uint64_t value = 0;

	simdev_step(8);
	iommu_device_load((uintptr_t)address, &value, len_bytes, len_bytes == 4);
	return value;
}

void sim_device_store(void *address, uint64_t value, unsigned len_bytes, bool publish)
{
	simdev_step(9);
	iommu_device_store((uintptr_t)address, &value, len_bytes, publish);
}

void sim_device_fence(void)
{
	simdev_step(10);
}

void sim_doorbell(uint64_t value)
{
	const struct posted access = {.kind = POSTED_PROBE, .value = value};

	world_capture();
	world_step(0xd00b);
	weak_drain_before(W.current->id, W.views[W.current->id].mmio_barrier);
	simdev_post(&access);
}

uint64_t sim_device_doorbell(void)
{
	return probe.doorbell;
}

void sim_device_status(uint64_t value)
{
	simdev_step(11);
	probe.status = value;
}

uint64_t sim_status(void)
{
	struct posted access = {.kind = POSTED_PROBE};

	world_capture();
	return simdev_ask(&access);
}

void sim_wait_ns(uint64_t ns)
{
	sched_wait(NULL, W.now_ns + ns, "a time");
}
