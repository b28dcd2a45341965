/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules for memory that is lent to a device (outboard/dma.h): from ob_dma_map() to ob_dma_unmap(), and from a request's
 * way down into a driver to its end, a buffer is the device's. Meanwhile the CPU writes no part of it, and reads none
 * that the device may write; whether or not the device comes to it in this run. The device touches nothing of a window
 * but what is lent. What is given back the device must have ended with, all is given back before the driver's end, and
 * what is lent shares no cache line with anything else and lies on nobody's stack.
 *
 * Who may touch what is told by the memory's cells, so an access to memory that is not lent costs nothing.
 */
#include <outboard/block.h>
#include <outboard/dma.h>

#include "core/watch.h"
#include "sim/fault/fault.h"
#include "sim/machine/iommu.h"

#define LOANS_MAX  1024
#define TABLE_SIZE 1024 /* a power of two */
#define ENDED_MAX  64
#define NO_LOAN    0 /* they count from 1 */

struct loan {
	uintptr_t address;
	const void *key; /* NULL: not lent */
	const void *device;
	const struct thread *thread;
	const char *call, *context;
	uint32_t len_bytes;
	uint16_t next;
	uint8_t rights;
	bool overlaps; /* one that was there before */
	uint32_t pc[BLOCK_PCS];
};

struct ended {
	uintptr_t address;
	uint32_t len_bytes;
	uint32_t pc[BLOCK_PCS], end_pc[BLOCK_PCS];
};

SIM_STATE static struct {
	uint16_t heads[TABLE_SIZE];
	uint16_t used, free;
	unsigned count, overlap_count;
	uint64_t ended_count;
	struct loan loans[LOANS_MAX + 1];
	struct ended ended[ENDED_MAX];
} lent;

void check_lend_reset(void)
{
	memset(&lent, 0, offsetof(__typeof__(lent), loans));
}

/* ---- cells ---- */

static uint8_t *cell_of(uintptr_t address)
{
	return &arena_cells[(address - ARENA_BASE) / 8];
}

/* True: some of them were marked already. */
static bool cells_mark(const struct loan *l)
{
	uint8_t state = l->rights == OB_DMA_READ    ? CELL_LENT_READ
			: l->rights == OB_DMA_WRITE ? CELL_LENT_WRITE
						    : CELL_LENT_MIXED;
	uint8_t *first = cell_of(l->address), *last = cell_of(l->address + l->len_bytes - 1), odd = 0;

	for (const uint8_t *c = first; c <= last; c++)
		odd |= *c ^ CELL_LIVE;
	if (OB_LIKELY(odd == 0)) {
		memset(first, state, (size_t)(last - first) + 1);
		return false;
	}
	odd = 0;
	for (uint8_t *c = first; c <= last; c++) {
		if (*c >= CELL_LENT_READ)
			odd = 1;
		if (*c == CELL_LIVE)
			*c = state;
		else if (*c >= CELL_LENT_READ && *c != state)
			*c = CELL_LENT_MIXED;
	}
	return odd != 0;
}

static void cells_clear(const struct loan *l)
{
	uint8_t *first = cell_of(l->address), *last = cell_of(l->address + l->len_bytes - 1);

	for (uint8_t *c = first; c <= last; c++)
		if (*c >= CELL_LENT_READ)
			*c = CELL_LIVE;
	for (unsigned i = 1; lent.overlap_count > 0 && i <= lent.used; i++) {
		const struct loan *other = &lent.loans[i];

		if (other->key != NULL && cell_of(other->address) <= last &&
		    cell_of(other->address + other->len_bytes - 1) >= first)
			cells_mark(other);
	}
}

/* ---- loans ---- */

static uint16_t *head_of(const void *key)
{
	return &lent.heads[(((uintptr_t)key >> 3) * 0x9e3779b97f4a7c15ull >> 40) % TABLE_SIZE];
}

static void loan_add(const void *key, const void *device, const char *call, const void *buffer, size_t len_bytes,
		     unsigned rights)
{
	uint16_t *head = head_of(key), index = lent.free;
	struct loan *l;

	if ((uintptr_t)buffer - ARENA_BASE >= STACK_OFFSET || len_bytes == 0)
		return;
	if (index == NO_LOAN && lent.used == LOANS_MAX)
		sim_fail("simulator", "more than %u buffers are lent to devices", LOANS_MAX);
	if (index == NO_LOAN)
		index = ++lent.used;
	else
		lent.free = lent.loans[index].next;
	l = &lent.loans[index];
	*l = (struct loan){
		.address = (uintptr_t)buffer,
		.key = key,
		.device = device,
		.call = call,
		.thread = W.current,
		.context = report_context(W.current),
		.len_bytes = (uint32_t)len_bytes,
		.next = *head,
		.rights = (uint8_t)rights,
	};
	report_stack(l->pc, BLOCK_PCS);
	*head = index;
	lent.count++;
	l->overlaps = cells_mark(l);
	lent.overlap_count += l->overlaps;
}

static const char *direction(unsigned rights)
{
	return rights == OB_DMA_READ    ? "to be read"
	       : rights == OB_DMA_WRITE ? "to be written"
					: "to be read and written";
}

static void tell_loan(const struct loan *l)
{
	report_text("%u bytes were lent to the device, %s, by %s in %s context (%s), at\n", l->len_bytes,
		    direction(l->rights), l->thread->name, l->context, l->call);
	report_pcs(l->pc, BLOCK_PCS);
	report_involve(l->thread->id, l->pc[0]);
}

static void loan_end(struct loan *l, uint16_t *link)
{
	struct ended *e = &lent.ended[lent.ended_count++ % ENDED_MAX];
	uint16_t index = *link;

	*e = (struct ended){.address = l->address, .len_bytes = l->len_bytes};
	memcpy(e->pc, l->pc, sizeof(e->pc));
	report_stack(e->end_pc, BLOCK_PCS);
	l->key = NULL;
	lent.count--;
	lent.overlap_count -= l->overlaps;
	cells_clear(l);
	*link = l->next;
	l->next = lent.free;
	lent.free = index;
}

static void check_ended(const struct loan *l)
{
	char where[96];

	if (!race_device_is_at(l->address) && !race_device_is_at(l->address + l->len_bytes - 1))
		return;
	report_describe(l->address, where, sizeof(where));
	report_begin("dma-returned-in-use",
		     "%s is given back, and nothing orders that with the device's accesses to it", where);
	report_here(0);
	tell_loan(l);
	report_end();
}

/* The first of @key, or all of them; false: there is none. */
static bool loans_end(const void *key, bool all, bool failed)
{
	bool any = false;

	for (uint16_t *link = head_of(key); *link != NO_LOAN && (all || !any);) {
		struct loan *l = &lent.loans[*link];

		if (l->key != key) {
			link = &l->next;
			continue;
		}
		if (!failed && !W.config.no_races && (W.fault_excuses & FAULT_EXCUSE_DMA) == 0)
			check_ended(l);
		loan_end(l, link);
		any = true;
	}
	return any;
}

/* ---- what core and classes tell ---- */

void watch_request_down(const struct ob_block_request *r, unsigned dma_index)
{
	unsigned rights = r->op == OB_BLOCK_READ ? OB_DMA_WRITE : OB_DMA_READ;

	if (!W.on || r->window == NULL)
		return;
	world_capture();
	iommu_lends(r->window->grant[dma_index].iova);
	for (unsigned i = 0; i < r->segment_count; i++)
		loan_add(r, NULL, "ob_block_submit", r->segments[i].base, r->segments[i].len_bytes, rights);
}

/*
 * What failed may have been given up on: the device has to know. What went well was told by the device itself, and need
 * not be asked for.
 */
static void check_given_up(const void *key)
{
	for (uint16_t at = *head_of(key); at != NO_LOAN; at = lent.loans[at].next) {
		const struct loan *l = &lent.loans[at];
		const char *device, *what;
		char where[96];
		uint64_t iova;

		if (l->key != key || !iommu_find(l->address, &iova))
			continue;
		what = check_dma_held(iova, l->len_bytes, &device);
		if (what == NULL)
			continue;
		report_describe(l->address, where, sizeof(where));
		report_begin("dma-returned-in-use", "%s is given back, and %s has it for %s", where, device, what);
		report_here(0);
		tell_loan(l);
		report_end();
	}
}

void watch_request_up(const struct ob_block_request *r, int status, bool refused)
{
	if (!W.on || lent.count == 0)
		return;
	world_capture();
	if (status != 0 && !refused && (W.fault_excuses & FAULT_EXCUSE_DMA) == 0)
		check_given_up(r);
	loans_end(r, true, refused);
}

/* Does @address begin or end inside a line of which the block has more, on the other side? */
static bool shares_line(uintptr_t address, uintptr_t beyond)
{
	return (address & (OB_CACHE_LINE - 1)) != 0 && beyond - ARENA_BASE < STACK_OFFSET && *cell_of(beyond) != 0 &&
	       *cell_of(beyond) != CELL_GONE;
}

void watch_map(const struct ob_device *dev, const void *buffer, size_t len_bytes, unsigned rights, uint64_t iova,
	       bool direct)
{
	uintptr_t address = (uintptr_t)buffer;

	if (!W.on)
		return;
	world_capture();
	if (address - ARENA_BASE - STACK_OFFSET < STACK_AREA) {
		report_begin("dma-stack", "%zu bytes of a stack are lent to a device", len_bytes);
		report_here(0);
		report_end();
	}
	if (direct && (rights & OB_DMA_WRITE) != 0 &&
	    (shares_line(address, address - 1) || shares_line(address + len_bytes, address + len_bytes))) {
		report_begin("dma-shared-line",
			     "%zu bytes at %p are lent to a device that writes, and share a cache line with others",
			     len_bytes, buffer);
		report_here(0);
		report_end();
	}
	if (direct)
		iommu_lends(iova);
	loan_add(buffer, dev, "ob_dma_map", buffer, len_bytes, rights);
}

void watch_unmap(const struct ob_device *dev, const void *buffer, size_t len_bytes, uint64_t iova, bool direct)
{
	if (!W.on || len_bytes == 0 || (uintptr_t)buffer - ARENA_BASE >= STACK_OFFSET)
		return;
	world_capture();
	/* A bounce buffer is freed next, which is judged there. */
	if (direct)
		check_dma_taken(iova, len_bytes, false);
	if (loans_end(buffer, false, false))
		return;
	report_begin("dma-bad-unmap", "%zu bytes at %p are unmapped, and were not mapped, or not any more", len_bytes,
		     buffer);
	report_here(0);
	report_end();
}

static void leaked(const struct loan *l, const char *when)
{
	char where[96];

	report_describe(l->address, where, sizeof(where));
	report_begin("dma-map-leak", "%s is still lent to the device %s", where, when);
	tell_loan(l);
	report_end();
}

void watch_device_unbound(const struct ob_device *dev)
{
	check_gone_unbound(dev);
	for (unsigned i = 1; W.on && lent.count > 0 && i <= lent.used; i++)
		if (lent.loans[i].key != NULL && lent.loans[i].device == dev)
			leaked(&lent.loans[i], "when its driver has ended");
}

void check_lend_end(void)
{
	for (unsigned i = 1; lent.count > 0 && i <= lent.used; i++)
		if (lent.loans[i].key != NULL)
			leaked(&lent.loans[i], "at the end");
}

/* ---- touches ---- */

static const struct loan *find(uintptr_t address, size_t len_bytes, unsigned rights)
{
	for (unsigned i = 1; lent.count > 0 && i <= lent.used; i++) {
		const struct loan *l = &lent.loans[i];

		if (l->key != NULL && (l->rights & rights) != 0 && address < l->address + l->len_bytes &&
		    l->address < address + len_bytes)
			return l;
	}
	return NULL;
}

void check_lend_touch(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc)
{
	bool write = (flags & ACCESS_WRITE) != 0;
	const struct loan *l = find(address, len_bytes, write ? OB_DMA_BOTH : OB_DMA_WRITE);
	char where[96];

	if (l == NULL)
		return;
	report_describe(address, where, sizeof(where));
	report_begin("dma-owner", "%s of %s, %zu bytes, which belongs to the device", write ? "write" : "read", where,
		     len_bytes);
	report_here(pc);
	tell_loan(l);
	report_end();
}

void check_lend_freed(uintptr_t address, size_t len_bytes)
{
	const struct loan *l = find(address, len_bytes, OB_DMA_BOTH);
	char where[96];

	if (l == NULL)
		return;
	report_describe(l->address, where, sizeof(where));
	report_begin("dma-freed-in-use", "%s is freed, and belongs to the device", where);
	report_here(0);
	tell_loan(l);
	report_end();
}

/* Not lent, or not any more. */
static void device_strays(uintptr_t address, size_t len_bytes, const char *verb)
{
	uint64_t kept = MIN(lent.ended_count, (uint64_t)ENDED_MAX);
	char where[96];

	report_describe(address, where, sizeof(where));
	for (uint64_t i = 0; i < kept; i++) {
		const struct ended *e = &lent.ended[(lent.ended_count - 1 - i) % ENDED_MAX];

		if (address >= e->address + e->len_bytes || e->address >= address + len_bytes)
			continue;
		report_begin("dma-stale-mapping", "the device's %s %s, %zu bytes, which was given back", verb, where,
			     len_bytes);
		report_text("it was lent to the device at\n");
		report_pcs(e->pc, BLOCK_PCS);
		report_text("and given back at\n");
		report_pcs(e->end_pc, BLOCK_PCS);
		report_end();
	}
	report_begin("dma-owner", "the device's %s %s, %zu bytes, which nobody has lent it%s", verb, where, len_bytes,
		     find(address, len_bytes, OB_DMA_BOTH) != NULL ? " in this direction, or not all of it" : "");
	report_end();
}

void check_lend_device(uintptr_t address, size_t len_bytes, unsigned rights)
{
	uint8_t expected = rights == OB_DMA_READ ? CELL_LENT_READ : CELL_LENT_WRITE;
	const uint8_t *first = cell_of(address), *last = cell_of(address + len_bytes - 1);
	const char *verb = rights == OB_DMA_READ ? "read from" : "write to";

	/* Pieces are small. Cells at the edges may be lent in part: that is looked at only when they are alone. */
	for (const uint8_t *c = first; c <= last; c++)
		if (*c != expected && *c != CELL_LENT_MIXED)
			device_strays(address, len_bytes, verb);
	if ((*first == CELL_LENT_MIXED || *last == CELL_LENT_MIXED) && find(address, len_bytes, rights) == NULL)
		device_strays(address, len_bytes, verb);
}
