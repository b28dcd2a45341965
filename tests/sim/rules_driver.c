/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of the rules' tests: it brings the device up and lets the test do what it likes. */
#include <string.h>

#include "tests/sim/rules.h"
#include "tests/sim/rules_device.h"

static struct rules_device device;
static void (*body)(struct rules_device *d), (*ending)(struct rules_device *d);

static int probe(struct ob_device *dev, const struct ob_match *match)
{
	device.dev = dev;
	SIM_CHECK(ob_device_region(dev, 0, &device.regs) == 0);
	SIM_CHECK(ob_device_enable_dma(dev, true) == 0);
	body(&device);
	return 0;
}

static void remove_it(struct ob_device *dev)
{
	if (ending != NULL)
		ending(&device);
}

static const struct ob_match matches[] = {OB_PCI_ID(RULES_VENDOR, RULES_DEVICE), OB_MATCH_LAST};
static const struct ob_driver driver = {.name = "rules", .match = matches, .probe = probe, .remove = remove_it};

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

void rules_with_driver(void (*the_body)(struct rules_device *d), void (*the_ending)(struct rules_device *d),
		       void (*after)(struct rules_device *d))
{
	const struct ob_config config = {.cpu_count = 1, .log = log_line};
	struct ob_machine *machine;
	struct ob *ob;

	memset(&device, 0, sizeof(device));
	body = the_body;
	ending = the_ending;
	SIM_CHECK(ob_create(&config, &ob) == 0);
	SIM_CHECK(ob_driver_register(ob, &driver) == 0);
	SIM_CHECK(ob_machine_open(ob, "sim:", NULL, &machine) == 0);
	if (after != NULL) {
		ob_device_get(device.dev);
		ob_device_unbind(device.dev);
		after(&device);
		ob_device_put(device.dev);
	}
	ob_machine_close(machine);
	ob_destroy(ob);
}

void rules_with_device(void (*the_body)(struct rules_device *d))
{
	rules_with_driver(the_body, NULL, NULL);
}

void rules_transfer(struct rules_device *d, ob_iova iova, uint32_t len_bytes, bool write)
{
	ob_mmio_write64(&d->regs, RULES_ADDRESS, iova.addr);
	ob_mmio_write32(&d->regs, RULES_LENGTH, len_bytes | (write ? RULES_WRITE : 0));
}

void rules_transfer_wait(struct rules_device *d)
{
	SIM_CHECK(ob_mmio_wait32(&d->regs, RULES_CAUSE, 1, 1, ob_deadline(OB_NS_PER_MS), NULL) == 0);
	ob_mmio_write32(&d->regs, RULES_CAUSE, 1);
}
