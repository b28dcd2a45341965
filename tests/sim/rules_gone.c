/* SPDX-License-Identifier: BSD-2-Clause */
/* Talking to a device that is gone, and looking for something for ever. On the device of rules_device.c. */
#include <outboard/pci.h>

#include "tests/sim/rules.h"
#include "tests/sim/rules_device.h"

#define LONG_NS (20 * OB_NS_PER_US)

static volatile uint32_t sink;

static void nothing(struct rules_device *d)
{
}

static void reads(struct rules_device *d)
{
	sink = ob_mmio_read32(&d->regs, RULES_CAUSE);
}

static void writes(struct rules_device *d)
{
	ob_mmio_write32(&d->regs, RULES_MASK, 1);
}

static void reads_config(struct rules_device *d)
{
	sink = ob_pci_read(d->dev, 0, 4);
}

static void read_after_unbind(const struct sim_config *config)
{
	rules_with_driver(reads, reads, reads);
}

static void write_after_unbind(const struct sim_config *config)
{
	rules_with_driver(nothing, writes, writes);
}

/* Who shows what a machine has reads the configuration of devices without a driver. */
static void config_after_unbind(const struct sim_config *config)
{
	rules_with_driver(reads_config, reads_config, reads_config);
}

static void vanishes(struct rules_device *d)
{
	sim_device_set(rules_device_unplug, NULL);
	ob_task_sleep(ob_deadline(LONG_NS));
	SIM_CHECK(ob_mmio_read32(&d->regs, RULES_CAUSE) == UINT32_MAX);
	ob_device_mark_gone(d->dev, "it reads all ones");
}

static void reads_on(struct rules_device *d)
{
	for (unsigned i = 0; i < 100; i++)
		reads(d);
}

static void reads_config_on(struct rules_device *d)
{
	for (unsigned i = 0; i < 100; i++)
		reads_config(d);
}

static void told_and_goes_on(const struct sim_config *config)
{
	rules_with_driver(vanishes, reads_on, nothing);
}

static void told_and_reads_config(const struct sim_config *config)
{
	rules_with_driver(vanishes, reads_config_on, nothing);
}

static void told_and_looks_once(const struct sim_config *config)
{
	rules_with_driver(vanishes, reads, nothing);
}

static void binds_again(struct rules_device *d)
{
	SIM_CHECK(ob_device_bind(d->dev) == 0);
}

static void bound_again(const struct sim_config *config)
{
	rules_with_driver(reads_on, NULL, binds_again);
}

/* ---- spinning ---- */

static void spins_on_register(struct rules_device *d)
{
	while (ob_mmio_read32(&d->regs, RULES_CAUSE) == 0)
		;
}

static void relaxes_on_register(struct rules_device *d)
{
	for (unsigned i = 0; i < 12000 && ob_mmio_read32(&d->regs, RULES_CAUSE) == 0; i++)
		ob_cpu_relax();
}

static void spins_on_memory(struct rules_device *d)
{
	volatile uint32_t *word = ob_alloc(64);

	while (*word == 0)
		;
}

static void spin_register(const struct sim_config *config)
{
	rules_with_device(spins_on_register);
}

static void relax_register(const struct sim_config *config)
{
	rules_with_device(relaxes_on_register);
}

static void spin_memory(const struct sim_config *config)
{
	rules_with_device(spins_on_memory);
}

const struct rule_case rules_gone[] = {
	{"gone-access", "read_after_unbind", read_after_unbind},
	{"gone-access", "write_after_unbind", write_after_unbind},
	{"", "config_after_unbind", config_after_unbind},
	{"gone-access", "told_and_goes_on", told_and_goes_on},
	{"gone-access", "told_and_reads_config", told_and_reads_config},
	{"", "told_and_looks_once", told_and_looks_once},
	{"", "bound_again", bound_again},
	{"busy-poll", "spin_register", spin_register},
	{"", "relax_register", relax_register},
	{"busy-poll", "spin_memory", spin_memory},
	{0},
};
