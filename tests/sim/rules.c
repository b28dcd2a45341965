/* SPDX-License-Identifier: BSD-2-Clause */
/* The mistakes that the rules are about, each as small as it gets. Instrumented, as a driver is. */
#include "tests/sim/rules.h"

#include <assert.h>

#include <outboard/cpu.h>
#include <outboard/dma.h>
#include <outboard/mmio.h>

#include "core/cpu.h"
#include "core/os.h"
#include "sim/machine/iommu.h"

#define LONG_NS (50 * OB_NS_PER_US)

static volatile uint8_t sink;

/* ---- the heap ---- */

static void use_after_free(const struct sim_config *config)
{
	volatile uint8_t *memory = ob_alloc(100);

	ob_free((void *)memory);
	sink = memory[10];
}

static void out_of_bounds(const struct sim_config *config)
{
	volatile uint8_t *memory = ob_alloc(128);

	memory[128 + sim_random(16)] = 1;
	ob_free((void *)memory);
}

static void compare_after_free(const struct sim_config *config)
{
	uint8_t *kept = ob_alloc(64), *freed = ob_alloc(64);
	bool first = sim_random(2) == 0;

	ob_free(freed);
	sink = memcmp(first ? freed : kept, first ? kept : freed, 64) == 0;
	ob_free(kept);
}

static void compare_out_of_bounds(const struct sim_config *config)
{
	uint8_t *a = ob_alloc(128), *b = ob_alloc(256);

	sink = memcmp(a, b, 129 + sim_random(16)) == 0;
	ob_free(a);
	ob_free(b);
}

static void compare(const struct sim_config *config)
{
	uint8_t *a = ob_alloc(128), *b = ob_alloc(128);

	a[127] = 1;
	SIM_CHECK(memcmp(a, b, 128) > 0 && memcmp(b, a, 128) < 0 && memcmp(a, b, 127) == 0);
	ob_free(a);
	ob_free(b);
}

static void double_free(const struct sim_config *config)
{
	void *memory = ob_alloc(100);

	ob_free(memory);
	ob_free(memory);
}

static void bad_free(const struct sim_config *config)
{
	ob_free((uint8_t *)ob_alloc(100) + 16);
}

static void leak(const struct sim_config *config)
{
	*(volatile uint8_t *)ob_alloc(100) = 1;
}

static void no_leak(const struct sim_config *config)
{
	ob_free(ob_alloc(100));
}

static uint8_t *shared;

static void touches(void *arg)
{
	for (unsigned i = 0; i < 64; i++)
		sink = shared[i];
}

static void freed_in_use(const struct sim_config *config)
{
	shared = ob_alloc(64);
	sim_spawn("other", touches, NULL);
	sim_wait_ns(LONG_NS);
	ob_free(shared);
	sim_join_all();
}

static void freed_after_use(const struct sim_config *config)
{
	shared = ob_alloc(64);
	sim_spawn("other", touches, NULL);
	sim_join_all();
	ob_free(shared);
}

/* ---- contexts ---- */

static void hard_allocation(const struct sim_config *config)
{
	os_thread_data()->context = CPU_CONTEXT_HARD;
	ob_free(ob_alloc(1));
}

static void hard_wait(const struct sim_config *config)
{
	unsigned word = 0;

	os_thread_data()->context = CPU_CONTEXT_HARD;
	os_futex_wait(&word, 0, ob_deadline(LONG_NS));
}

/* ---- requests ---- */

static void request_lost(const struct sim_config *config)
{
	sim_request_begin((const void *)&sink);
}

static void request_answered_twice(const struct sim_config *config)
{
	sim_request_begin((const void *)&sink);
	sim_request_end((const void *)&sink);
	sim_request_end((const void *)&sink);
}

static void request_taken_twice(const struct sim_config *config)
{
	sim_request_begin((const void *)&sink);
	sim_request_begin((const void *)&sink);
}

static void request_once(const struct sim_config *config)
{
	for (unsigned i = 0; i < 10; i++) {
		sim_request_begin((const void *)&sink);
		sim_request_end((const void *)&sink);
	}
}

/* ---- progress ---- */

static void deadlock(const struct sim_config *config)
{
	unsigned word = 0;

	os_futex_wait(&word, 0, UINT64_MAX);
}

static void hang(const struct sim_config *config)
{
	unsigned word = 0;

	for (;;)
		os_futex_wait(&word, 0, ob_deadline(OB_NS_PER_S));
}

static void livelock(const struct sim_config *config)
{
	for (;;)
		sink++;
}

static void crash(const struct sim_config *config)
{
	*(volatile uint8_t *)(uintptr_t)(64 + sim_random(64)) = 1; /* NOLINT */
}

static void assertion(const struct sim_config *config)
{
	assert(sim_random(2) == 2);
}

/* ---- the device ---- */

static struct machine_dma_memory memory;
static uint64_t iova;

static void prepare(unsigned rights)
{
	SIM_CHECK(iommu_alloc(256, 64, &memory) == 0);
	SIM_CHECK(iommu_grant(&memory, rights, &iova) == 0);
}

static void device_reads(void *arg)
{
	uint8_t bytes[64];

	iommu_read(iova, bytes, sizeof(bytes));
}

static void device_writes_it(void *arg)
{
	static const uint8_t bytes[64];

	iommu_write(iova, bytes, sizeof(bytes));
}

static void device_reads_beyond(void *arg)
{
	uint8_t bytes[64];

	iommu_read(iova + 224, bytes, sizeof(bytes));
}

static void device_does(void (*fn)(void *arg))
{
	sim_device_set(fn, NULL);
	sim_wait_ns(LONG_NS);
}

static void dma_direction(const struct sim_config *config)
{
	prepare(OB_DMA_READ);
	device_does(device_writes_it);
}

static void dma_revoked(const struct sim_config *config)
{
	prepare(OB_DMA_BOTH);
	iommu_revoke(&memory);
	device_does(device_reads);
}

static void dma_beyond(const struct sim_config *config)
{
	prepare(OB_DMA_BOTH);
	device_does(device_reads_beyond);
}

static void give_up(void)
{
	iommu_revoke(&memory);
	iommu_free(&memory);
}

static void dma_freed(const struct sim_config *config)
{
	prepare(OB_DMA_BOTH);
	device_does(device_writes_it);
	give_up();
}

static void dma_stale(const struct sim_config *config)
{
	prepare(OB_DMA_BOTH);
	iommu_free(&memory);
}

static void dma_cpu_address(const struct sim_config *config)
{
	prepare(OB_DMA_BOTH);
	iova = (uintptr_t)memory.base;
	device_does(device_reads);
}

static void dma_touched(const struct sim_config *config)
{
	prepare(OB_DMA_BOTH);
	device_does(device_writes_it);
	*(volatile uint8_t *)memory.base = 1;
}

static void dma_granted(const struct sim_config *config)
{
	prepare(OB_DMA_BOTH);
	give_up();
}

/* An entry of 16 bytes: the last two tell of it. */
static void device_publishes(void *arg)
{
	static const uint8_t entry[16] = {[15] = 1};

	iommu_publish(iova, entry, sizeof(entry));
}

static void entry_is_taken(unsigned loads)
{
	const ob_le16 *words;

	prepare(OB_DMA_BOTH);
	words = (const void *)memory.base;
	sim_device_set(device_publishes, NULL);
	while (ob_le16_load(&words[7]) == 0)
		sim_wait_ns(50);
	ob_dma_rmb();
	(void)ob_le16_load(&words[7]);
	for (unsigned i = 0; i < loads; i++)
		(void)ob_le16_load(&words[6]);
	ob_dma_zero(memory.base, 16);
	(void)ob_le16_load(&words[6]);
	give_up();
}

static void double_fetch(const struct sim_config *config)
{
	entry_is_taken(2);
}

static void single_fetch(const struct sim_config *config)
{
	entry_is_taken(1);
}

#define RINGS 64

/* Flags and index lie in one word, and either may be found as it was before: what a load tells of is its own bytes' matter. */
struct told {
	ob_le16 flags, index;
	uint8_t rest[4];
	uint64_t entries[2];
	uint8_t pad[8];
};

static volatile bool device_told;

static void device_tells(void *arg)
{
	uint64_t at = iova + (uintptr_t)arg * sizeof(struct told);
	static const uint64_t entry = 7;

	for (uint16_t i = 0; i < 2; i++) {
		ob_le16 index = ob_cpu_to_le16(i + 1), flags = ob_cpu_to_le16(1);

		if (i == 0)
			iommu_write(at, &flags, sizeof(flags));
		iommu_write(at + offsetof(struct told, entries) + i * sizeof(entry), &entry, sizeof(entry));
		iommu_publish(at + offsetof(struct told, index), &index, sizeof(index));
	}
	device_told = true;
}

static void old_index_beside_flags(const struct sim_config *config)
{
	const struct told *told;

	SIM_CHECK(iommu_alloc(RINGS * sizeof(*told), 64, &memory) == 0);
	SIM_CHECK(iommu_grant(&memory, OB_DMA_BOTH, &iova) == 0);
	told = (const void *)memory.base;
	for (uintptr_t n = 0; n < RINGS; n++) {
		unsigned index;

		device_told = false;
		sim_device_set(device_tells, (void *)n); /* NOLINT */
		/* No wait: that would show what is new. */
		while (!device_told)
			continue;
		while ((index = ob_le16_load(&told[n].index)) == 0)
			continue;
		ob_dma_rmb();
		for (unsigned i = 0; i < index; i++)
			SIM_CHECK(told[n].entries[i] == 7);
	}
	while (ob_le16_load(&told[RINGS - 1].index) != 2)
		sim_wait_ns(50);
	ob_dma_rmb();
	give_up();
}

static void dma_used_after_free(const struct sim_config *config)
{
	volatile uint8_t *bytes;

	prepare(OB_DMA_BOTH);
	bytes = memory.base;
	give_up();
	sink = bytes[3];
}

static uint64_t nowhere_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	return 0;
}

static void nowhere_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
}

static void unseen_store(const struct sim_config *config)
{
	static const struct ob_region_ops ops = {.read = nowhere_read, .write = nowhere_write};
	const struct ob_region region = {.len_bytes = 64, .ops = &ops};

	prepare(OB_DMA_BOTH);
	rules_store_unseen(memory.base);
	/* Looked for now and then, at a register write. */
	for (unsigned i = 0; i < 5000; i++)
		ob_mmio_write32(&region, 0, i);
}

/* ---- what reaches the device, of stores of other kinds ---- */

static uint32_t *word;
static volatile uint64_t device_saw;
static volatile bool device_looked;

static void device_looks(void *arg)
{
	device_saw = sim_device_load(word, 4);
	device_looked = true;
}

static void expect_at_device(uint64_t value)
{
	ob_dma_mb();
	sim_wait_ns(LONG_NS);
	device_looked = false;
	sim_device_set(device_looks, NULL);
	while (!device_looked)
		sim_wait_ns(OB_NS_PER_US);
	SIM_CHECK(device_saw == value);
}

static void atomic_store_to_device(const struct sim_config *config)
{
	word = sim_dma_memory(64);
	__atomic_store_n(word, 7, __ATOMIC_RELEASE);
	expect_at_device(7);
}

static void atomic_changes_to_device(const struct sim_config *config)
{
	uint32_t old = 7;

	word = sim_dma_memory(64);
	SIM_CHECK(__atomic_fetch_add(word, 7, __ATOMIC_SEQ_CST) == 0);
	expect_at_device(7);
	SIM_CHECK(__atomic_compare_exchange_n(word, &old, 9, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	expect_at_device(9);
	SIM_CHECK(__atomic_exchange_n(word, 11, __ATOMIC_RELAXED) == 9);
	expect_at_device(11);
}

struct big {
	uint32_t words[1536];
};

static void large_copy(const struct sim_config *config)
{
	struct big *to = sim_dma_memory(sizeof(*to)), *from = ob_alloc(sizeof(*from));

	*to = *from;
	ob_free(from);
}

/* ---- stacks ---- */

static __attribute__((noinline)) void leave_on_stack(void)
{
	volatile uint32_t words[256];

	for (unsigned i = 0; i < 256; i++)
		words[i] = 7;
	sink = (uint8_t)words[3];
	ob_now_ns();
}

static __attribute__((noinline)) uint32_t read_of_stack(void)
{
	volatile uint32_t words[256];

	ob_now_ns();
	return words[128];
}

static void stack_left(const struct sim_config *config)
{
	leave_on_stack();
}

/* What a local holds that nobody has set is the same in each run. */
static void stack_unset(const struct sim_config *config)
{
	SIM_CHECK(read_of_stack() != 7);
}

const struct rule_case rules_basic[] = {
	{"", "stack_left", stack_left},
	{"", "stack_unset", stack_unset},
	{"", "atomic_store_to_device", atomic_store_to_device},
	{"", "atomic_changes_to_device", atomic_changes_to_device},
	{"simulator", "large_copy", large_copy},
	{"use-after-free", "use_after_free", use_after_free},
	{"out-of-bounds", "out_of_bounds", out_of_bounds},
	{"use-after-free", "compare_after_free", compare_after_free},
	{"out-of-bounds", "compare_out_of_bounds", compare_out_of_bounds},
	{"", "compare", compare},
	{"double-free", "double_free", double_free},
	{"bad-free", "bad_free", bad_free},
	{"leak", "leak", leak},
	{"", "no_leak", no_leak},
	{"freed-in-use", "freed_in_use", freed_in_use},
	{"", "freed_after_use", freed_after_use},
	{"hard-allocation", "hard_allocation", hard_allocation},
	{"hard-wait", "hard_wait", hard_wait},
	{"request-lost", "request_lost", request_lost},
	{"request-twice", "request_answered_twice", request_answered_twice},
	{"request-twice", "request_taken_twice", request_taken_twice},
	{"", "request_once", request_once},
	{"deadlock", "deadlock", deadlock},
	{"hang", "hang", hang},
	{"livelock", "livelock", livelock},
	{"crash", "crash", crash},
	{"assertion", "assertion", assertion},
	{"dma-direction", "dma_direction", dma_direction},
	{"dma-stale-mapping", "dma_revoked", dma_revoked},
	{"dma-out-of-bounds", "dma_beyond", dma_beyond},
	{"dma-freed-in-use", "dma_freed", dma_freed},
	{"dma-stale-mapping", "dma_stale", dma_stale},
	{"dma-cpu-address", "dma_cpu_address", dma_cpu_address},
	{"dma-race", "dma_touched", dma_touched},
	{"", "dma_granted", dma_granted},
	{"double-fetch", "double_fetch", double_fetch},
	{"", "single_fetch", single_fetch},
	{"", "old_index_beside_flags", old_index_beside_flags},
	{"dma-use-after-free", "dma_used_after_free", dma_used_after_free},
	{"uninstrumented-store", "unseen_store", unseen_store},
	{0},
};
