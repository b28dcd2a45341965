/* SPDX-License-Identifier: BSD-2-Clause */
/* What a disk may hold when power comes back, and what not. No disk: the cases say what was told and what was read. */
#include <outboard/cpu.h>

#include "tests/sim/rules.h"

#define BLOCK_WORDS 64

static uint64_t block[BLOCK_WORDS];

static void reads(uint64_t lba, uint64_t value)
{
	for (unsigned i = 0; i < BLOCK_WORDS; i++)
		block[i] = value;
	sim_durable_check(lba, block, sizeof(block));
}

static void writes(uint64_t lba, unsigned blocks, uint64_t value, bool fua)
{
	uint32_t id = sim_durable_write(lba, blocks, value);

	sim_durable_written(lba, blocks, id, true, fua);
}

static void flushes(void)
{
	sim_durable_flushed(sim_durable_flush(), true);
}

static void flushed_lost(const struct sim_config *config)
{
	writes(10, 4, 100, false);
	flushes();
	reads(12, 0);
}

static void flushed_older(const struct sim_config *config)
{
	writes(10, 4, 100, false);
	writes(12, 1, 200, false);
	flushes();
	reads(12, 102);
}

static void flushed_kept(const struct sim_config *config)
{
	writes(10, 4, 100, false);
	flushes();
	writes(12, 1, 200, false);
	for (unsigned i = 0; i < 4; i++)
		reads(10 + i, i == 2 && sim_random(2) == 0 ? 200 : 100 + i);
	reads(9, 0);
}

static void through_lost(const struct sim_config *config)
{
	writes(7, 1, 100, false);
	writes(7, 1, 200, true);
	reads(7, 100);
}

static void through_kept(const struct sim_config *config)
{
	writes(7, 1, 100, true);
	reads(7, 100);
	/* What was read once is there. */
	reads(7, 100);
}

/* The flush was submitted before the write's end: it need not cover it. */
static void flush_too_early(const struct sim_config *config)
{
	uint32_t flush, write = sim_durable_write(3, 1, 100);

	flush = sim_durable_flush();
	sim_durable_written(3, 1, write, true, false);
	sim_durable_flushed(flush, true);
	reads(3, 0);
}

static void flush_failed(const struct sim_config *config)
{
	writes(3, 1, 100, false);
	sim_durable_flushed(sim_durable_flush(), false);
	reads(3, 0);
}

static void in_flight_may_be_there(const struct sim_config *config)
{
	writes(3, 1, 100, true);
	sim_durable_write(3, 1, 200);
	reads(3, sim_random(2) == 0 ? 100 : 200);
	/* And may be executed when power is back. */
	reads(3, 200);
}

/* Two at the same time: the one that is durable may have been executed first. */
static void at_the_same_time(const struct sim_config *config)
{
	uint32_t first = sim_durable_write(3, 1, 100), second = sim_durable_write(3, 1, 200);

	sim_durable_written(3, 1, first, true, false);
	sim_durable_written(3, 1, second, true, true);
	reads(3, sim_random(2) == 0 ? 100 : 200);
}

static void failed_may_be_there(const struct sim_config *config)
{
	uint32_t id;

	writes(3, 1, 100, true);
	id = sim_durable_write(3, 1, 200);
	sim_durable_written(3, 1, id, false, true);
	reads(3, sim_random(2) == 0 ? 100 : 200);
}

static void failed_and_replaced(const struct sim_config *config)
{
	uint32_t id = sim_durable_write(3, 1, 200);

	sim_durable_written(3, 1, id, false, false);
	writes(3, 1, 100, true);
	reads(3, 200);
}

static void nobodys(const struct sim_config *config)
{
	writes(3, 1, 100, false);
	reads(3, 101);
}

static void nobodys_block(const struct sim_config *config)
{
	reads(3, 101);
}

static void lost_after_power(const struct sim_config *config)
{
	writes(3, 1, 100, false);
	reads(3, 100);
	reads(3, 0);
}

static void torn(const struct sim_config *config)
{
	writes(3, 1, 100, false);
	for (unsigned i = 0; i < BLOCK_WORDS; i++)
		block[i] = i < 17 ? 100 : 0;
	sim_durable_check(3, block, sizeof(block));
}

/* More than can be kept is forgotten, not reported; what is durable after that is known again. */
static void many(uint64_t expected)
{
	for (unsigned i = 0; i < 3000; i++)
		writes(3, 1, 1000 + i, false);
	reads(3, 5);
	writes(3, 1, 100, true);
	reads(3, expected);
}

static void many_forgotten(const struct sim_config *config)
{
	many(100);
}

static void many_then_lost(const struct sim_config *config)
{
	many(5);
}

const struct rule_case rules_durable[] = {
	{"flushed-data-lost", "flushed_lost", flushed_lost},
	{"flushed-data-lost", "flushed_older", flushed_older},
	{"", "flushed_kept", flushed_kept},
	{"flushed-data-lost", "through_lost", through_lost},
	{"", "through_kept", through_kept},
	{"", "flush_too_early", flush_too_early},
	{"", "flush_failed", flush_failed},
	{"", "in_flight_may_be_there", in_flight_may_be_there},
	{"", "at_the_same_time", at_the_same_time},
	{"", "failed_may_be_there", failed_may_be_there},
	{"flushed-data-lost", "failed_and_replaced", failed_and_replaced},
	{"wrong-data", "nobodys", nobodys},
	{"wrong-data", "nobodys_block", nobodys_block},
	{"flushed-data-lost", "lost_after_power", lost_after_power},
	{"torn-block", "torn", torn},
	{"", "many_forgotten", many_forgotten},
	{"flushed-data-lost", "many_then_lost", many_then_lost},
	{0},
};
