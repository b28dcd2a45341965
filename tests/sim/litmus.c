/* SPDX-License-Identifier: BSD-2-Clause */
/* The sides of the litmus tests. Instrumented, as a driver is. */
#include "tests/sim/litmus.h"

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

static const struct litmus *selected;
static struct words *w;
static unsigned results[2];
static unsigned *heap;
void litmus_select(const struct litmus *shape)
{
	selected = shape;
}

unsigned litmus_result(unsigned index)
{
	return results[index];
}

/* Two loads that find old values may be early or just first: wait a little, differently each time. */
static void dawdle(void)
{
	if (sim_random(2))
		sim_wait_ns(sim_random(200));
}

static void run(const struct sim_config *config)
{
	w = sim_dma_memory(sizeof(*w));
	results[0] = results[1] = 0;
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

const struct sim_scenario litmus_scenario = {.name = "litmus", .help = "two sides, two words", .run = run};

/* ---- sides of CPUs: what comes between the two accesses ---- */

static void nothing(void)
{
}

#define SIDE_STORE_LOAD(side_name, own, other, index, barrier) \
	static void side_name(void *arg)                       \
	{                                                      \
		dawdle();                                      \
		ob_le32_store(&w->own, 1);                     \
		barrier();                                     \
		results[index] = ob_le32_load(&w->other);      \
	}

#define SIDE_STORES(side_name, barrier)  \
	static void side_name(void *arg) \
	{                                \
		dawdle();                \
		ob_le32_store(&w->x, 1); \
		barrier();               \
		ob_le32_store(&w->y, 1); \
	}

#define SIDE_LOADS(side_name, barrier)            \
	static void side_name(void *arg)          \
	{                                         \
		dawdle();                         \
		results[0] = ob_le32_load(&w->y); \
		barrier();                        \
		results[1] = ob_le32_load(&w->x); \
	}

#define SIDE_LOAD_STORE(side_name, from, to, index, barrier) \
	static void side_name(void *arg)                     \
	{                                                    \
		dawdle();                                    \
		results[index] = ob_le32_load(&w->from);     \
		barrier();                                   \
		ob_le32_store(&w->to, 1);                    \
	}

SIDE_STORE_LOAD(sb_left, x, y, 0, nothing)
SIDE_STORE_LOAD(sb_right, y, x, 1, nothing)
SIDE_STORE_LOAD(sb_left_wmb, x, y, 0, ob_dma_wmb)
SIDE_STORE_LOAD(sb_right_wmb, y, x, 1, ob_dma_wmb)
SIDE_STORE_LOAD(sb_left_mb, x, y, 0, ob_dma_mb)
SIDE_STORE_LOAD(sb_right_mb, y, x, 1, ob_dma_mb)
SIDE_STORES(mp_left, nothing)
SIDE_STORES(mp_left_wmb, ob_dma_wmb)
SIDE_LOADS(mp_right, nothing)
SIDE_LOADS(mp_right_rmb, ob_dma_rmb)
SIDE_LOAD_STORE(lb_left, x, y, 0, nothing)
SIDE_LOAD_STORE(lb_right, y, x, 1, nothing)
SIDE_LOAD_STORE(lb_left_mb, x, y, 0, ob_dma_mb)
SIDE_LOAD_STORE(lb_right_mb, y, x, 1, ob_dma_mb)

const struct litmus store_buffering = {"SB", sb_left, sb_right, false};
const struct litmus store_buffering_one_mb = {"SB+mb+po", sb_left_mb, sb_right, false};
const struct litmus store_buffering_wmb = {"SB+wmbs", sb_left_wmb, sb_right_wmb, false};
const struct litmus store_buffering_mb = {"SB+mbs", sb_left_mb, sb_right_mb, false};
const struct litmus message_passing = {"MP", mp_left, mp_right, false};
const struct litmus message_passing_wmb = {"MP+wmb+po", mp_left_wmb, mp_right, false};
const struct litmus message_passing_rmb = {"MP+po+rmb", mp_left, mp_right_rmb, false};
const struct litmus message_passing_both = {"MP+wmb+rmb", mp_left_wmb, mp_right_rmb, false};
const struct litmus load_buffering = {"LB", lb_left, lb_right, false};
const struct litmus load_buffering_mb = {"LB+mbs", lb_left_mb, lb_right_mb, false};

static void one_store(void *arg)
{
	dawdle();
	ob_le32_store(&w->x, 1);
}

static void two_loads(void *arg)
{
	dawdle();
	results[0] = ob_le32_load(&w->x);
	results[1] = ob_le32_load(&w->x);
}

const struct litmus coherence = {"CoRR", one_store, two_loads, false};

/* ---- a CPU and the device ---- */

static uint32_t device_load(const ob_le32 *word)
{
	ob_le32 v = {(uint32_t)sim_device_load(word, sizeof(v))};

	return ob_le32_to_cpu(v);
}

static void device_store(ob_le32 *word, uint32_t value, bool publish)
{
	sim_device_store(word, ob_cpu_to_le32(value).raw, sizeof(*word), publish);
}

static void device_writes(void *arg)
{
	device_store(&w->x, 1, false);
	device_store(&w->y, 1, true);
}

const struct litmus device_message = {"device MP", mp_right, device_writes, true};
const struct litmus device_message_rmb = {"device MP+rmb", mp_right_rmb, device_writes, true};

static void device_loads(void *arg)
{
	sim_wait_ns(sim_random(400));
	results[0] = device_load(&w->y);
	results[1] = device_load(&w->x);
}

const struct litmus device_reads = {"MP device", mp_left, device_loads, true};
const struct litmus device_reads_wmb = {"MP device+wmb", mp_left_wmb, device_loads, true};

static void device_looks(void *arg)
{
	/* Long enough that the doorbell may come, short enough that it may not. */
	for (uint64_t i = sim_random(24); i > 0 && sim_device_doorbell() == 0; i--)
		sim_wait_ns(50);
	results[0] = sim_device_doorbell() != 0;
	results[1] = device_load(&w->x);
}

#define SIDE_DOORBELL(side_name, barrier) \
	static void side_name(void *arg)  \
	{                                 \
		dawdle();                 \
		ob_le32_store(&w->x, 1);  \
		barrier();                \
		sim_doorbell(1);          \
	}

SIDE_DOORBELL(rings, nothing)
SIDE_DOORBELL(rings_wmb, ob_mmio_wmb)

const struct litmus doorbell = {"doorbell", rings, device_looks, true};
const struct litmus doorbell_wmb = {"doorbell+wmb", rings_wmb, device_looks, true};

static void device_store_load(void *arg)
{
	device_store(&w->y, 1, true);
	sim_device_fence();
	results[1] = device_load(&w->x);
}

const struct litmus device_store_buffering = {"device SB", sb_left, device_store_load, true};
const struct litmus device_store_buffering_mb = {"device SB+mb", sb_left_mb, device_store_load, true};

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
			results[0] = heap[0];                        \
		}                                                    \
	}                                                            \
	const struct litmus shape = {#shape, shape##_left, shape##_right, false};

SIDES_MESSAGE(plain_ordered, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE, nothing(), nothing())
SIDES_MESSAGE(plain_relaxed, __ATOMIC_RELAXED, __ATOMIC_RELAXED, nothing(), nothing())
SIDES_MESSAGE(plain_fences, __ATOMIC_RELAXED, __ATOMIC_RELAXED, __atomic_thread_fence(__ATOMIC_RELEASE),
	      __atomic_thread_fence(__ATOMIC_ACQUIRE))

static void race_side(void *arg)
{
	heap[0]++;
}

const struct litmus plain_race = {"plain_race", race_side, race_side, false};

/* ---- entries: a word that tells of others ---- */

static void device_fetches(void *arg)
{
	for (unsigned i = 0; i < 100 && sim_device_doorbell() == 0; i++)
		sim_wait_ns(50);
	/* 8 bytes: not a word that tells of others. */
	if (sim_device_doorbell() != 0)
		results[0] = sim_device_load(&w->x, 8) != 0;
}

const struct litmus entry_doorbell = {"entry_doorbell", rings, device_fetches, true};
const struct litmus entry_doorbell_wmb = {"entry_doorbell_wmb", rings_wmb, device_fetches, true};

#define SIDE_DONE(side_name, barrier)                                          \
	static void side_name(void *arg)                                       \
	{                                                                      \
		for (unsigned i = 0; i < 100 && ob_le32_load(&w->y) == 0; i++) \
			sim_wait_ns(50);                                       \
		if (ob_le32_load(&w->y) == 0)                                  \
			return;                                                \
		barrier();                                                     \
		results[0] = ob_le32_load(&w->x);                              \
	}

SIDE_DONE(waits, nothing)
SIDE_DONE(waits_rmb, ob_dma_rmb)

const struct litmus done_bit = {"done_bit", waits, device_writes, true};
const struct litmus done_bit_rmb = {"done_bit_rmb", waits_rmb, device_writes, true};
