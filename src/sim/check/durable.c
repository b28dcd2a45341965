/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rule: an acknowledged flush is durable. A scenario tells of each write and flush, when it is submitted and when it
 * ends; when power is back, each block must hold what a write left there that no durable one has replaced.
 *
 * A write is durable when it ended well and carried FUA, or when a flush ended well that was submitted after its end
 * (NVM Express 1.4 §6.8: a flush is for what had completed before it). Writes of one block that were in flight at the
 * same time may have been executed in any order, so one replaces another only when it was submitted after the other's
 * end. What failed or has not ended may have been executed, or not.
 */
#include "sim/world.h"

#define BLOCKS_MAX  1024
#define RECORDS_MAX 1024
#define NO_RECORD   0 /* records count from 1 */

/* What one write may have left in one block. Times count what was told. */
struct record {
	uint64_t value;
	uint32_t begin, end; /* end 0: in flight */
	uint32_t pc;
	uint16_t next;
	bool good, durable;
};

struct durable_block {
	uint16_t first;
	bool forgotten; /* more was written than can be kept: holds anything until something durable comes */
};

SIM_STATE static struct {
	uint32_t time;
	uint32_t blocks; /* that were told of, the highest of them */
	uint16_t used, free;
	struct durable_block block[BLOCKS_MAX];
	struct record records[RECORDS_MAX];
} durable;

void check_durable_reset(void)
{
	durable.time = 1; /* what is there since ever ended then */
	durable.used = durable.free = NO_RECORD;
	memset(durable.block, 0, durable.blocks * sizeof(durable.block[0]));
	durable.blocks = 0;
}

/* ---- records ---- */

static struct record *record_take(uint16_t *index)
{
	if (durable.free != NO_RECORD) {
		*index = durable.free;
		durable.free = durable.records[*index].next;
	} else if (durable.used + 1 < RECORDS_MAX) {
		*index = ++durable.used;
	} else {
		return NULL;
	}
	return &durable.records[*index];
}

static void record_drop(uint16_t *link)
{
	uint16_t index = *link;

	*link = durable.records[index].next;
	durable.records[index].next = durable.free;
	durable.free = index;
}

static struct durable_block *block_of(uint64_t lba)
{
	if (lba >= BLOCKS_MAX)
		sim_fail("simulator", "durability is checked for the first %u blocks, not for block %llu", BLOCKS_MAX,
			 (unsigned long long)lba);
	durable.blocks = MAX(durable.blocks, (uint32_t)lba + 1);
	return &durable.block[lba];
}

/* It is durable now: what ended before it began is gone for good. */
static void make_durable(struct durable_block *b, struct record *w)
{
	uint32_t begin = w->begin;

	w->durable = true;
	b->forgotten = false;
	for (uint16_t *link = &b->first; *link != NO_RECORD;) {
		struct record *r = &durable.records[*link];

		if (r->end != 0 && r->end < begin)
			record_drop(link);
		else
			link = &r->next;
	}
}

/* ---- what a scenario tells ---- */

uint32_t sim_durable_write(uint64_t lba, unsigned blocks, uint64_t value)
{
	uint32_t begin = ++durable.time;

	world_capture();
	for (unsigned i = 0; i < blocks; i++) {
		struct durable_block *b = block_of(lba + i);
		struct record *r;
		uint16_t index;

		/* The first write of a run finds zeroes, which are there since ever. */
		if (b->first == NO_RECORD && !b->forgotten) {
			r = record_take(&index);
			if (r != NULL) {
				*r = (struct record){.begin = 0, .end = 1, .good = true, .durable = true};
				b->first = index;
			}
		}
		r = record_take(&index);
		if (r == NULL) {
			b->forgotten = true;
			continue;
		}
		*r = (struct record){.value = value + i, .begin = begin, .pc = WORLD_PC(), .next = b->first};
		b->first = index;
	}
	return begin;
}

void sim_durable_written(uint64_t lba, unsigned blocks, uint32_t write, bool good, bool fua)
{
	uint32_t end = ++durable.time;

	world_capture();
	for (unsigned i = 0; i < blocks; i++) {
		struct durable_block *b = block_of(lba + i);

		for (uint16_t at = b->first; at != NO_RECORD; at = durable.records[at].next) {
			struct record *r = &durable.records[at];

			if (r->begin != write || r->end != 0)
				continue;
			r->end = end;
			r->good = good;
			if (good && fua)
				make_durable(b, r);
			break;
		}
	}
}

uint32_t sim_durable_flush(void)
{
	return ++durable.time;
}

void sim_durable_flushed(uint32_t flush, bool good)
{
	durable.time++;
	for (uint32_t lba = 0; good && lba < durable.blocks; lba++) {
		struct durable_block *b = &durable.block[lba];

		for (uint16_t at = b->first; at != NO_RECORD; at = durable.records[at].next) {
			struct record *r = &durable.records[at];

			if (r->good && !r->durable && r->end < flush)
				make_durable(b, r);
		}
	}
}

/* ---- when power is back ---- */

static void tell_records(const struct durable_block *b)
{
	report_text("it may hold what was written\n");
	for (uint16_t at = b->first; at != NO_RECORD; at = durable.records[at].next) {
		const struct record *r = &durable.records[at];

		report_text("  %#llx: %s at\n", (unsigned long long)r->value,
			    r->begin == 0 ? "before all"
			    : r->durable  ? "acknowledged and durable,"
			    : r->end == 0 ? "in flight,"
			    : r->good     ? "acknowledged,"
					  : "failed,");
		report_pcs(&r->pc, 1);
	}
}

static void complain(const struct durable_block *b, const char *rule, uint64_t lba, uint64_t value, const char *what)
{
	report_begin(rule, "block %llu holds %#llx after power came back: %s", (unsigned long long)lba,
		     (unsigned long long)value, what);
	tell_records(b);
	report_here(0);
	report_end();
}

void sim_durable_check(uint64_t lba, const void *data, size_t block_bytes)
{
	struct durable_block *b = block_of(lba);
	const uint64_t *words = data;
	struct record *held = NULL;
	uint16_t index;
	bool lost = false;

	access_range((uintptr_t)data, block_bytes, 0, WORLD_PC());
	for (size_t i = 1; i < block_bytes / 8; i++)
		if (words[i] != words[0])
			complain(b, "torn-block", lba, words[i], "in part, and something else in the rest");
	if (b->first == NO_RECORD) {
		if (!b->forgotten && words[0] != 0)
			complain(b, "wrong-data", lba, words[0], "nobody ever wrote there");
		return;
	}
	for (uint16_t at = b->first; at != NO_RECORD; at = durable.records[at].next) {
		lost |= durable.records[at].durable && durable.records[at].begin != 0;
		if (durable.records[at].value == words[0])
			held = &durable.records[at];
	}
	if (held == NULL && !b->forgotten)
		complain(b, lost ? "flushed-data-lost" : "wrong-data", lba, words[0],
			 lost ? "what was written and flushed is lost" : "nobody wrote that");
	/* It was read, so it is what is there; what is in flight still may change it. */
	for (uint16_t *link = &b->first; *link != NO_RECORD;) {
		if (durable.records[*link].end != 0)
			record_drop(link);
		else
			link = &durable.records[*link].next;
	}
	held = record_take(&index);
	b->forgotten = held == NULL;
	if (held == NULL)
		return;
	*held = (struct record){.value = words[0], .begin = durable.time, .end = durable.time, .good = true};
	held->durable = true;
	held->next = b->first;
	b->first = index;
	durable.time++;
}
