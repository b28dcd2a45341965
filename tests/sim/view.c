/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command is stored, the doorbell is rung, the device reads the command and writes an answer with a word that tells of
 * it. One of the two drivers here looks at the answer too early.
 */
#include "tests/sim/view.h"

#include <outboard/cpu.h>
#include <outboard/mmio.h>

#define MANY_NS (50 * OB_NS_PER_US)

struct shared {
	volatile uint32_t command, told, answer;
};

static struct shared *shared;

const unsigned view_line_missed = __LINE__ + 6;
const unsigned view_line_reached = __LINE__ + 6;

static uint32_t answer_of(uint32_t command)
{
	if (command == 0)
		sim_fail("scenario", "nobody asks that");
	return command + 1;
}

static void device_answers(void *arg)
{
	uint32_t command = (uint32_t)sim_device_load((const void *)&shared->command, 4);

	sim_device_store((void *)&shared->answer, command + 1, 4, false);
	sim_device_store((void *)&shared->told, 1, 4, true);
}

static void ask(bool barrier)
{
	uint64_t end_ns = ob_now_ns() + MANY_NS;

	shared = sim_dma_memory(sizeof(*shared));
	shared->command = 41;
	ob_mmio_wmb();
	sim_doorbell(0x2a);
	while (sim_device_doorbell() != 0x2a)
		sim_wait_ns(100);
	sim_device_set(device_answers, NULL);
	while (shared->told == 0 && ob_now_ns() < end_ns)
		sim_wait_ns(100);
	if (barrier)
		ob_dma_rmb();
	SIM_CHECK(shared->answer == answer_of(shared->command));
}

static void no_barrier(const struct sim_config *config)
{
	ask(false);
}

static void with_barrier(const struct sim_config *config)
{
	ask(true);
}

const struct sim_scenario view_no_barrier = {.name = "no-barrier", .help = "looks too early", .run = no_barrier};
const struct sim_scenario view_barrier = {.name = "barrier", .help = "does it right", .run = with_barrier};
