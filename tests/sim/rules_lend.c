/* SPDX-License-Identifier: BSD-2-Clause */
/* Mistakes with memory that is lent to a device, on the device of rules_device.c. */
#include "tests/sim/rules.h"
#include "tests/sim/rules_device.h"

#define BYTES   512
#define LONG_NS (20 * OB_NS_PER_US)

static volatile uint8_t sink;
static struct ob_dma_map map;

static volatile uint8_t *window_make(struct rules_device *d)
{
	SIM_CHECK(ob_window_create(ob_device_machine(d->dev), 4 * BYTES, &d->window) == 0);
	SIM_CHECK(ob_window_grant(d->window, d->dev, OB_DMA_BOTH) == 0);
	return d->window->base;
}

static volatile uint8_t *lend(struct rules_device *d, enum ob_dma_rights rights)
{
	volatile uint8_t *buffer = window_make(d);

	SIM_CHECK(ob_dma_map(d->dev, d->window, d->window->base, BYTES, rights, &map) == 0);
	return buffer;
}

static void give_back(struct rules_device *d)
{
	ob_dma_unmap(d->dev, &map);
	ob_window_put(d->window);
}

/* ---- touched by the CPU, while the device does nothing at all ---- */

static void writes_lent(struct rules_device *d)
{
	lend(d, OB_DMA_READ)[100] = 1;
}

static void reads_lent(struct rules_device *d)
{
	sink = lend(d, OB_DMA_WRITE)[BYTES - 1];
}

static void copies_over_lent(struct rules_device *d)
{
	uint8_t *from = ob_alloc(2 * BYTES);

	lend(d, OB_DMA_READ);
	/* It begins and ends beside. */
	SIM_CHECK(ob_dma_map(d->dev, d->window, d->window->base + 2 * BYTES + 64, 64, OB_DMA_READ, &map) == 0);
	ob_dma_copy(d->window->base + 2 * BYTES, from, 2 * BYTES);
}

static void touches_others(struct rules_device *d)
{
	volatile uint8_t *buffer = lend(d, OB_DMA_READ);

	sink = buffer[100];
	buffer[BYTES] = 1;
	give_back(d);
}

/* Two loans of one buffer: it is lent until both have ended. */
static void lends_twice(struct rules_device *d, bool wrong)
{
	volatile uint8_t *buffer = lend(d, OB_DMA_READ);
	struct ob_dma_map second;

	SIM_CHECK(ob_dma_map(d->dev, d->window, d->window->base + 64, BYTES, OB_DMA_READ, &second) == 0);
	ob_dma_unmap(d->dev, &map);
	buffer[0] = 1;
	if (wrong)
		buffer[100] = 1;
	ob_dma_unmap(d->dev, &second);
	buffer[100] = 1;
	ob_window_put(d->window);
}

static void touches_second_loan(struct rules_device *d)
{
	lends_twice(d, true);
}

static void two_loans(struct rules_device *d)
{
	lends_twice(d, false);
}

static uint8_t *heap;

static void touches_bounced(struct rules_device *d)
{
	heap = ob_alloc(BYTES);
	SIM_CHECK(ob_dma_map(d->dev, NULL, heap, BYTES, OB_DMA_WRITE, &map) == 0);
	sink = *(volatile uint8_t *)heap;
}

static void transfers(struct rules_device *d, bool write)
{
	volatile uint8_t *buffer = lend(d, write ? OB_DMA_WRITE : OB_DMA_READ);

	rules_transfer(d, map.iova, BYTES, write);
	rules_transfer_wait(d);
	give_back(d);
	(void)buffer;
}

static void transfers_well(struct rules_device *d)
{
	transfers(d, true);
	transfers(d, false);
}

/* ---- touched by the device ---- */

static void transfers_beside(struct rules_device *d)
{
	lend(d, OB_DMA_WRITE);
	rules_transfer(d, map.iova, BYTES + 64, true);
	rules_transfer_wait(d);
}

static void transfers_the_other_way(struct rules_device *d)
{
	lend(d, OB_DMA_WRITE);
	rules_transfer(d, map.iova, BYTES, false);
	rules_transfer_wait(d);
}

static void transfers_after_unmap(struct rules_device *d)
{
	struct ob_dma_map old;

	lend(d, OB_DMA_WRITE);
	old = map;
	ob_dma_unmap(d->dev, &map);
	rules_transfer(d, old.iova, BYTES, true);
	rules_transfer_wait(d);
}

static void transfers_after_bounce(struct rules_device *d)
{
	struct ob_dma_map old;

	heap = ob_alloc(BYTES);
	SIM_CHECK(ob_dma_map(d->dev, NULL, heap, BYTES, OB_DMA_WRITE, &map) == 0);
	old = map;
	ob_dma_unmap(d->dev, &map);
	rules_transfer(d, old.iova, BYTES, true);
	rules_transfer_wait(d);
}

/* ---- given back ---- */

static void unmaps_too_early(struct rules_device *d)
{
	lend(d, OB_DMA_WRITE);
	rules_transfer(d, map.iova, BYTES, true);
	ob_mmio_read32(&d->regs, RULES_CAUSE);
	give_back(d);
}

/* It waits long enough, but for nothing that tells of the end. */
static void unmaps_unordered(struct rules_device *d)
{
	lend(d, OB_DMA_WRITE);
	rules_transfer(d, map.iova, BYTES, true);
	ob_task_sleep(ob_deadline(LONG_NS));
	give_back(d);
}

static void unmaps_twice(struct rules_device *d)
{
	struct ob_dma_map copy;

	lend(d, OB_DMA_WRITE);
	copy = map;
	ob_dma_unmap(d->dev, &map);
	ob_dma_unmap(d->dev, &copy);
}

static void never_unmaps(struct rules_device *d)
{
	lend(d, OB_DMA_WRITE);
}

static void never_unmaps_list(struct rules_device *d)
{
	static struct ob_segment segments[2];
	static struct ob_dma_piece pieces[2];
	struct ob_dma_list list;
	volatile uint8_t *buffer = window_make(d);

	segments[0] = (struct ob_segment){(void *)buffer, BYTES};
	segments[1] = (struct ob_segment){(void *)(buffer + 2 * BYTES), BYTES};
	SIM_CHECK(ob_dma_map_list(d->dev, d->window, segments, 2, OB_DMA_READ, pieces, 2, &list) == 0);
}

static void maps_list(struct rules_device *d)
{
	struct ob_segment segments[2];
	struct ob_dma_piece pieces[2];
	struct ob_dma_list list;
	volatile uint8_t *buffer = window_make(d);

	segments[0] = (struct ob_segment){(void *)buffer, BYTES};
	segments[1] = (struct ob_segment){(void *)(buffer + 2 * BYTES), BYTES};
	SIM_CHECK(ob_dma_map_list(d->dev, d->window, segments, 2, OB_DMA_READ, pieces, 2, &list) == 0);
	buffer[BYTES] = 1;
	ob_dma_unmap_list(d->dev, &list);
	buffer[2 * BYTES] = 1;
	ob_window_put(d->window);
}

/* A table of the program's own, through a bounce buffer. */
static void maps_static(struct rules_device *d)
{
	static uint8_t table[64];

	SIM_CHECK(ob_dma_map(d->dev, NULL, table, sizeof(table), OB_DMA_READ, &map) == 0);
	ob_dma_unmap(d->dev, &map);
}

/* The world says so when it cannot keep count. */
static void maps_too_many(struct rules_device *d)
{
	SIM_CHECK(ob_window_create(ob_device_machine(d->dev), 1025 * 64, &d->window) == 0);
	SIM_CHECK(ob_window_grant(d->window, d->dev, OB_DMA_BOTH) == 0);
	for (unsigned i = 0; i < 1025; i++)
		SIM_CHECK(ob_dma_map(d->dev, d->window, d->window->base + 64 * i, 64, OB_DMA_READ, &map) == 0);
}

static void frees_lent(struct rules_device *d)
{
	heap = ob_alloc(BYTES);
	SIM_CHECK(ob_dma_map(d->dev, NULL, heap, BYTES, OB_DMA_WRITE, &map) == 0);
	ob_free(heap);
}

/* ---- memory that is none for DMA ---- */

static void lends_stack(struct rules_device *d)
{
	uint8_t bytes[64];

	SIM_CHECK(ob_dma_map(d->dev, NULL, bytes, sizeof(bytes), OB_DMA_WRITE, &map) == 0);
}

static void lends_part_of_line(struct rules_device *d)
{
	volatile uint8_t *buffer = window_make(d);

	SIM_CHECK(ob_dma_map(d->dev, d->window, (void *)(buffer + (sim_random(2) ? 32 : 0)), 96, OB_DMA_WRITE, &map) ==
		  0);
}

static void lends_part_to_read(struct rules_device *d)
{
	volatile uint8_t *buffer = window_make(d);

	SIM_CHECK(ob_dma_map(d->dev, d->window, (void *)(buffer + 32), 96, OB_DMA_READ, &map) == 0);
	give_back(d);
}

static void gives_cpu_address(struct rules_device *d)
{
	heap = ob_alloc(BYTES);
	rules_transfer(d, (ob_iova){(uintptr_t)heap}, BYTES, true);
	rules_transfer_wait(d);
}

#define CASES(X)                                       \
	X("dma-owner", writes_lent)                    \
	X("dma-owner", reads_lent)                     \
	X("dma-owner", copies_over_lent)               \
	X("", touches_others)                          \
	X("dma-owner", touches_second_loan)            \
	X("", two_loans)                               \
	X("dma-owner", touches_bounced)                \
	X("", transfers_well)                          \
	X("dma-owner", transfers_beside)               \
	X("dma-owner", transfers_the_other_way)        \
	X("dma-stale-mapping", transfers_after_unmap)  \
	X("dma-stale-mapping", transfers_after_bounce) \
	X("dma-freed-in-use", unmaps_too_early)        \
	X("dma-returned-in-use", unmaps_unordered)     \
	X("dma-bad-unmap", unmaps_twice)               \
	X("dma-map-leak", never_unmaps)                \
	X("dma-map-leak", never_unmaps_list)           \
	X("", maps_list)                               \
	X("", maps_static)                             \
	X("simulator", maps_too_many)                  \
	X("dma-freed-in-use", frees_lent)              \
	X("dma-stack", lends_stack)                    \
	X("dma-shared-line", lends_part_of_line)       \
	X("", lends_part_to_read)                      \
	X("dma-cpu-address", gives_cpu_address)

#define RUN(rule, body)                                         \
	static void run_##body(const struct sim_config *config) \
	{                                                       \
		rules_with_device(body);                        \
	}
CASES(RUN)

#define ROW(rule, body) {rule, #body, run_##body},
const struct rule_case rules_lend[] = {CASES(ROW){0}};
