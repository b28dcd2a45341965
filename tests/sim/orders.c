/* SPDX-License-Identifier: BSD-2-Clause */
/* Two sides and what orders them, or does not: for the race detector, whatever the values are. Instrumented. */
#include "tests/sim/orders.h"

#include <outboard/cpu.h>
#include <outboard/mmio.h>
#include <outboard/types.h>

/* Words of shared memory on cache lines of their own. */
struct words {
	ob_le32 x;
	uint8_t pad[OB_CACHE_LINE - 4];
	ob_le32 y;
	uint8_t pad2[OB_CACHE_LINE - 4];
};

static const struct sides *selected;
static struct words *w;
static volatile unsigned sink;
static unsigned *heap;

void sides_select(const struct sides *sides)
{
	selected = sides;
}

static void run(const struct sim_config *config)
{
	w = sim_dma_memory(sizeof(*w));
	heap = ob_alloc(2 * OB_CACHE_LINE);
	SIM_CHECK(w != NULL && heap != NULL);
	if (selected->right_is_device)
		sim_device_set(selected->right, NULL);
	else
		sim_spawn("right", selected->right, NULL);
	sim_spawn("left", selected->left, NULL);
	sim_join_all();
	/* Let the device end. */
	sim_wait_ns(100 * OB_NS_PER_US);
	ob_free(heap);
}

const struct sim_scenario sides_scenario = {.name = "orders", .help = "two sides", .run = run};

static void nothing(void)
{
}

/* ---- plain memory: races by the clocks ---- */

#define SIDES_MESSAGE(shape, store_order, load_order, before, after) \
	static void shape##_left(void *arg)                          \
	{                                                            \
		heap[0] = 1;                                         \
		before;                                              \
		__atomic_store_n(&heap[16], 1, store_order);         \
	}                                                            \
	static void shape##_right(void *arg)                         \
	{                                                            \
		if (__atomic_load_n(&heap[16], load_order)) {        \
			after;                                       \
			sink = heap[0];                              \
		}                                                    \
	}                                                            \
	const struct sides shape = {shape##_left, shape##_right, false};

SIDES_MESSAGE(plain_ordered, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE, nothing(), nothing())
SIDES_MESSAGE(plain_relaxed, __ATOMIC_RELAXED, __ATOMIC_RELAXED, nothing(), nothing())
SIDES_MESSAGE(plain_fences, __ATOMIC_RELAXED, __ATOMIC_RELAXED, __atomic_thread_fence(__ATOMIC_RELEASE),
	      __atomic_thread_fence(__ATOMIC_ACQUIRE))

static void race_side(void *arg)
{
	heap[0]++;
}

const struct sides plain_race = {race_side, race_side, false};

/* ---- entries: a word that tells of others ---- */

#define SIDE_DOORBELL(side_name, barrier) \
	static void side_name(void *arg)  \
	{                                 \
		ob_le32_store(&w->x, 1);  \
		barrier();                \
		sim_doorbell(1);          \
	}

SIDE_DOORBELL(rings, nothing)
SIDE_DOORBELL(rings_wmb, ob_mmio_wmb)

static void device_writes(void *arg)
{
	sim_device_store(&w->x, ob_cpu_to_le32(1).raw, 4, false);
	sim_device_store(&w->y, ob_cpu_to_le32(1).raw, 4, true);
}

static void device_fetches(void *arg)
{
	for (unsigned i = 0; i < 100 && sim_device_doorbell() == 0; i++)
		sim_wait_ns(50);
	/* 8 bytes: not a word that tells of others. */
	if (sim_device_doorbell() != 0)
		sink = sim_device_load(&w->x, 8) != 0;
}

const struct sides entry_doorbell = {rings, device_fetches, true};
const struct sides entry_doorbell_wmb = {rings_wmb, device_fetches, true};

#define SIDE_DONE(side_name, barrier)                                          \
	static void side_name(void *arg)                                       \
	{                                                                      \
		for (unsigned i = 0; i < 100 && ob_le32_load(&w->y) == 0; i++) \
			sim_wait_ns(50);                                       \
		if (ob_le32_load(&w->y) == 0)                                  \
			return;                                                \
		barrier();                                                     \
		sink = ob_le32_load(&w->x);                                    \
	}

SIDE_DONE(waits, nothing)
SIDE_DONE(waits_rmb, ob_dma_rmb)

const struct sides done_bit = {waits, device_writes, true};
const struct sides done_bit_rmb = {waits_rmb, device_writes, true};
