/* SPDX-License-Identifier: BSD-2-Clause */
/* What a function is used through, over made-up hosts: matching, enabling, regions, interrupts, reset. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "bus/pci/pci.h"
#include "tests/fake_pci.h"

#define MSIX_AT 0x80
#define MSI_AT  0xa0

static struct ob *ob;
static struct ob_machine *machine;

static int setup(void **state)
{
	fake_pci_reset();
	return 0;
}

static struct ob_device *open_device(const char *name)
{
	struct ob_device *dev;

	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	dev = fake_pci_device(machine, name);
	assert_non_null(dev);
	return dev;
}

static struct fake_function *add_msix(unsigned vectors, unsigned bar, unsigned offset)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 0x11e8, 0x010802);

	fake_pci_bar(f, 0, 0x4000, 0);
	fake_pci_capability(f, MSIX_AT, PCI_CAP_ID_MSIX);
	fake_pci_set(f, MSIX_AT + PCI_MSIX_CONTROL, 2, vectors - 1, PCI_MSIX_CTL_ENABLE | PCI_MSIX_CTL_MASK_ALL);
	fake_pci_set(f, MSIX_AT + PCI_MSIX_TABLE, 4, bar | offset, 0);
	return f;
}

static uint32_t entry(unsigned vector, unsigned offset)
{
	uint32_t value;

	memcpy(&value, fake_host.memory + vector * PCI_MSIX_ENTRY_LEN + offset, 4);
	return value;
}

/* ---- matching ---- */

static void test_match_rows_more_exact_scores_higher(void **state)
{
	struct ob_match by_class = OB_PCI_CLASS(0x010000, 0xff0000), by_interface = OB_PCI_CLASS(0x010802, 0xffffff);
	struct ob_match other_class = OB_PCI_CLASS(0x020000, 0xff0000), ids = OB_PCI_ID(0x1234, 0x11e8);
	struct ob_match other_ids = OB_PCI_ID(0x1234, 0x11e9), subsystem = ids, other_subsystem = ids;
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 0x11e8, 0x010802);
	struct ob_device *dev;

	fake_pci_set(f, PCI_SUBVENDOR, 4, 0x0007abcd, 0);
	subsystem.subvendor = 0xabcd;
	subsystem.subdevice = 7;
	other_subsystem.subvendor = 0xabcd;
	other_subsystem.subdevice = 8;
	dev = open_device("0000:00:02.0");
	assert_int_equal(dev->ops->match(dev, &other_class), 0);
	assert_int_equal(dev->ops->match(dev, &other_ids), 0);
	assert_int_equal(dev->ops->match(dev, &other_subsystem), 0);
	assert_true(dev->ops->match(dev, &by_class) > 0);
	assert_true(dev->ops->match(dev, &by_interface) > dev->ops->match(dev, &by_class));
	assert_true(dev->ops->match(dev, &ids) > dev->ops->match(dev, &by_interface));
	assert_true(dev->ops->match(dev, &subsystem) > dev->ops->match(dev, &ids));
	fake_pci_close(ob, machine);
}

/* ---- enabling and regions ---- */

static void test_enable_and_disable_switch_decoding_and_master(void **state)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct ob_region region, again;
	struct ob_device *dev;

	fake_pci_bar(f, 0, 0x1000, 0);
	fake_pci_bar(f, 1, 0x20, PCI_BAR_IO);
	fake_pci_set(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER, 0x0547);
	dev = open_device("0000:00:02.0");
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2), 0);
	assert_int_equal(dev->ops->enable(dev), 0);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_int_equal(dev->ops->enable_dma(dev, true), 0);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

	assert_int_equal(dev->ops->region(dev, 0, &region), 0);
	assert_int_equal(region.len_bytes, 0x1000);
	assert_int_equal(dev->ops->region(dev, 0, &again), 0);
	assert_int_equal(fake_host.regions_open, 1);
	assert_int_equal(dev->ops->region(dev, 1, &region), 0);
	assert_int_equal(region.len_bytes, 0x20);
	assert_int_equal(dev->ops->region(dev, 2, &region), -ENXIO);
	assert_int_equal(dev->ops->region(dev, 6, &region), -ENXIO);
	dev->ops->disable(dev);
	assert_int_equal(fake_host.regions_open, 0);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2), 0);

	assert_true(dev->ops->is_present(dev));
	f->absent = true;
	assert_false(dev->ops->is_present(dev));
	assert_int_equal(dev->ops->enable_dma(dev, true), -ENODEV);
	fake_pci_close(ob, machine);
}

static void test_function_without_its_configuration_is_not_the_one_that_was_bound(void **state)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct ob_device *dev;

	fake_pci_bar(f, 0, 0x1000, 0);
	fake_pci_set(f, PCI_COMMAND, 2, 0, 0x0547);
	dev = open_device("0000:00:02.0");
	assert_true(dev->ops->is_present(dev)); /* nothing was set up yet */
	assert_int_equal(dev->ops->enable(dev), 0);
	assert_true(dev->ops->is_present(dev));
	/* Power went and came back. */
	fake_pci_set(f, PCI_COMMAND, 2, 0, 0x0547);
	assert_false(dev->ops->is_present(dev));
	/* What the bus itself takes away and brings back is no loss. */
	pci_reconfigure_begin(pci_function_of(dev));
	assert_true(dev->ops->is_present(dev));
	pci_reconfigure_end(pci_function_of(dev));
	assert_false(dev->ops->is_present(dev));
	fake_pci_close(ob, machine);
}

/* Masking the pin writes the whole command register, so that decoding is on again; the addresses stay lost. */
static void test_function_without_its_addresses_is_not_the_one_that_was_bound(void **state)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct ob_device *dev;
	uint32_t base;

	fake_pci_bar(f, 0, 0x1000, 0);
	fake_pci_set(f, PCI_COMMAND, 2, 0, 0x0547);
	dev = open_device("0000:00:02.0");
	assert_int_equal(dev->ops->enable(dev), 0);
	base = ob_pci_read(dev, PCI_BAR(0), 4);
	assert_true(dev->ops->is_present(dev));
	ob_pci_write(dev, PCI_BAR(0), 4, 0);
	pci_command_update(pci_function_of(dev), 0, PCI_COMMAND_INTX_OFF);
	assert_false(dev->ops->is_present(dev));
	ob_pci_write(dev, PCI_BAR(0), 4, base);
	assert_true(dev->ops->is_present(dev));
	fake_pci_close(ob, machine);
}

static void test_config_write_of_the_command_register_kept_by_later_changes(void **state)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct ob_device *dev = open_device("0000:00:02.0");

	ob_pci_write(dev, PCI_COMMAND, 2, PCI_COMMAND_PARITY);
	ob_pci_write(dev, PCI_COMMAND + 1, 1, PCI_COMMAND_SERR >> 8);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2), PCI_COMMAND_PARITY | PCI_COMMAND_SERR);
	assert_int_equal(dev->ops->enable_dma(dev, true), 0);
	assert_int_equal(ob_pci_read(dev, PCI_COMMAND, 2), PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_MASTER);
	/* Malformed accesses do nothing. */
	ob_pci_write(dev, PCI_INTERRUPT_LINE + 1, 2, 0x55);
	ob_pci_write(dev, 0x1000, 4, 0x55);
	assert_int_equal(ob_pci_read(dev, 2, 4), 0xffffffffu);
	assert_int_equal(ob_pci_read(dev, 0, 3), 0xffffffu);
	assert_int_equal(ob_pci_read(dev, 0x1000, 1), 0xffu);
	fake_pci_close(ob, machine);
}

static void test_enable_without_an_address_refused(void **state)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct ob_region region;
	struct ob_device *dev;

	fake_pci_bar(f, 0, OB_GIB, 0);
	fake_pci_bar(f, 1, 0x1000, 0);
	dev = open_device("0000:00:02.0");
	assert_int_equal(dev->ops->enable(dev), -ENOSPC);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2), 0);
	assert_int_equal(dev->ops->region(dev, 0, &region), -ENXIO);
	fake_pci_close(ob, machine);
}

/* ---- MSI-X ---- */

static void test_msix_alloc_programs_masked_entries_and_enables(void **state)
{
	struct fake_function *f = add_msix(8, 0, 0x2000);
	struct ob_device *dev = open_device("0000:00:02.0");
	struct bus_irq_vectors v;

	assert_int_equal(dev->ops->irq_alloc(dev, 1, 5, OB_IRQ_ANY, &v), 0);
	assert_int_equal(v.kind, OB_IRQ_MSIX);
	assert_int_equal(v.count, 5);
	assert_int_equal(v.fds[4], 104);
	assert_int_equal(fake_host.region_address, pci_function_of(dev)->bar[0].base + 0x2000);
	assert_int_equal(fake_host.region_bytes, 8 * PCI_MSIX_ENTRY_LEN);
	assert_int_equal(fake_pci_get(f, MSIX_AT + PCI_MSIX_CONTROL, 2) & 0xc000, PCI_MSIX_CTL_ENABLE);
	assert_true(fake_pci_get(f, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(entry(i, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
	assert_int_equal(entry(3, PCI_MSIX_ENTRY_ADDRESS_LO), 0xfee00000u);
	assert_int_equal(entry(3, PCI_MSIX_ENTRY_ADDRESS_HI), 1);
	assert_int_equal(entry(3, PCI_MSIX_ENTRY_DATA), 67);
	dev->ops->irq_mask(dev, 3, false);
	assert_int_equal(entry(3, PCI_MSIX_ENTRY_CONTROL), 0);
	assert_int_equal(entry(2, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
	dev->ops->irq_mask(dev, 3, true);
	assert_int_equal(entry(3, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
	dev->ops->irq_mask(dev, 77, false);
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 5, OB_IRQ_ANY, &v), -EBUSY);
	dev->ops->irq_release(dev);
	assert_int_equal(fake_pci_get(f, MSIX_AT + PCI_MSIX_CONTROL, 2) & PCI_MSIX_CTL_ENABLE, 0);
	fake_pci_close(ob, machine);
}

static void test_msix_table_past_its_bar_clamped(void **state)
{
	struct ob_device *dev;
	struct bus_irq_vectors v;

	add_msix(2048, 0, 0x3f80); /* room for 8 */
	dev = open_device("0000:00:02.0");
	assert_true(fake_pci_logged("MSI-X table of 2048 vectors leaves its BAR, using 8"));
	assert_int_equal(dev->ops->irq_alloc(dev, 9, 64, OB_IRQ_MSIX, &v), -ENOSPC);
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 64, OB_IRQ_MSIX, &v), 0);
	assert_int_equal(v.count, 8);
	dev->ops->irq_release(dev);
	fake_pci_close(ob, machine);
}

static void test_msix_table_nowhere_ignored(void **state)
{
	struct ob_pci_info info;
	struct ob_device *dev;

	add_msix(16, 7, 0x1000);
	dev = open_device("0000:00:02.0");
	assert_true(fake_pci_logged("MSI-X table at offset 0x1000 of BAR 7, which has none"));
	assert_int_equal(ob_pci_info(dev, &info), 0);
	assert_int_equal(info.msix_vectors, 0);
	fake_pci_close(ob, machine);
}

static void test_msix_table_behind_the_end_of_its_bar_ignored(void **state)
{
	struct ob_pci_info info;
	struct ob_device *dev;

	add_msix(16, 0, 0x8000);
	dev = open_device("0000:00:02.0");
	assert_int_equal(ob_pci_info(dev, &info), 0);
	assert_int_equal(info.msix_vectors, 0);
	fake_pci_close(ob, machine);
}

static void test_msix_few_messages_left_takes_fewer(void **state)
{
	struct ob_device *dev;
	struct bus_irq_vectors v;

	add_msix(16, 0, 0);
	fake_host.vectors = 3;
	dev = open_device("0000:00:02.0");
	assert_int_equal(dev->ops->irq_alloc(dev, 4, 16, OB_IRQ_MSIX, &v), -ENOSPC);
	assert_int_equal(dev->ops->irq_alloc(dev, 2, 16, OB_IRQ_MSIX, &v), 0);
	assert_true(v.count >= 2 && v.count <= 3);
	dev->ops->irq_release(dev);
	fake_pci_close(ob, machine);
}

static void test_msix_programmed_by_the_machine_not_touched(void **state)
{
	struct fake_function *f = add_msix(16, 0, 0);
	struct bus_irq_vectors v;
	struct ob_device *dev;

	fake_host.no_program = true;
	dev = open_device("0000:00:02.0");
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 4, OB_IRQ_MSIX, &v), 0);
	dev->ops->irq_mask(dev, 0, false);
	assert_int_equal(fake_host.regions_open, 0);
	assert_int_equal(fake_pci_get(f, MSIX_AT + PCI_MSIX_CONTROL, 2) & PCI_MSIX_CTL_ENABLE, 0);
	dev->ops->irq_release(dev);
	fake_pci_close(ob, machine);
}

/* ---- MSI ---- */

static struct fake_function *add_msi(unsigned log2, uint16_t flags)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 0x11e8, 0x00ff00);

	fake_pci_capability(f, MSI_AT, PCI_CAP_ID_MSI);
	fake_pci_set(f, MSI_AT + PCI_MSI_CONTROL, 2, FIELD_PREP(PCI_MSI_CTL_CAPABLE, log2) | flags,
		     PCI_MSI_CTL_ENABLE | PCI_MSI_CTL_ENABLED);
	fake_pci_set(f, MSI_AT + 4, 4, 0, 0xfffffffcu);
	fake_pci_set(f, MSI_AT + 8, 4, 0, 0xffffffffu);
	fake_pci_set(f, MSI_AT + 12, 4, 0, 0xffffffffu);
	fake_pci_set(f, MSI_AT + 16, 4, 0, 0xffffffffu);
	return f;
}

static void test_msi_alloc_several_64bit_maskable_programs_the_block(void **state)
{
	struct fake_function *f = add_msi(3, PCI_MSI_CTL_64 | PCI_MSI_CTL_MASKABLE);
	struct ob_device *dev = open_device("0000:00:02.0");
	struct bus_irq_vectors v;

	assert_int_equal(dev->ops->irq_alloc(dev, 1, 7, OB_IRQ_ANY, &v), 0);
	assert_int_equal(v.kind, OB_IRQ_MSI);
	assert_int_equal(v.count, 4);
	assert_int_equal(fake_pci_get(f, MSI_AT + PCI_MSI_ADDRESS, 4), 0xfee00000u);
	assert_int_equal(fake_pci_get(f, MSI_AT + PCI_MSI_ADDRESS_HI, 4), 1);
	assert_int_equal(fake_pci_get(f, MSI_AT + PCI_MSI_DATA_64, 2), 64);
	assert_int_equal(fake_pci_get(f, MSI_AT + PCI_MSI_CONTROL, 2) & 0x71, PCI_MSI_CTL_ENABLE | 2 << 4);
	assert_int_equal(fake_pci_get(f, MSI_AT + PCI_MSI_MASK_64, 4), 0xffffffffu);
	dev->ops->irq_mask(dev, 2, false);
	assert_int_equal(fake_pci_get(f, MSI_AT + PCI_MSI_MASK_64, 4), 0xfffffffbu);
	dev->ops->irq_release(dev);
	assert_int_equal(fake_pci_get(f, MSI_AT + PCI_MSI_CONTROL, 2) & PCI_MSI_CTL_ENABLE, 0);
	fake_pci_close(ob, machine);
}

static void test_msi_address_it_cannot_say_refused(void **state)
{
	struct ob_device *dev;
	struct bus_irq_vectors v;

	add_msi(0, 0); /* 32 bits only, and the machine's address has more */
	dev = open_device("0000:00:02.0");
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 1, OB_IRQ_MSI, &v), -EOPNOTSUPP);
	assert_true(fake_pci_logged("its MSI cannot send"));
	fake_pci_close(ob, machine);
}

/* ---- INTx ---- */

static void test_intx_behind_bridges_swizzles_to_the_root_slot(void **state)
{
	struct fake_function *a = fake_pci_bridge(NULL, 5, 0), *b = fake_pci_bridge(a, 2, 0);
	struct fake_function *f = fake_pci_add(b, 3, 0, 0x1234, 1, 0x020000);
	struct bus_irq_vectors v;
	struct ob_device *dev;

	f->config[PCI_INTERRUPT_PIN] = 2;
	dev = open_device("0000:02:03.0");
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 4, OB_IRQ_ANY, &v), 0);
	assert_int_equal(v.kind, OB_IRQ_INTX);
	assert_int_equal(v.count, 1);
	assert_int_equal(v.fds[0], 99);
	/* INTB at slot 3: (1 + 3) % 4 is INTA; that at slot 2: (0 + 2) % 4 is INTC of slot 5. */
	assert_int_equal(f->intx_slot, 5);
	assert_int_equal(f->intx_pin, 3);
	assert_true(fake_pci_get(f, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF);
	dev->ops->irq_mask(dev, 0, false);
	assert_false(fake_pci_get(f, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF);
	dev->ops->irq_mask(dev, 0, true);
	assert_true(fake_pci_get(f, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF);
	dev->ops->irq_release(dev);
	assert_int_equal(dev->ops->irq_alloc(dev, 2, 4, OB_IRQ_ANY, &v), -ENOSPC);
	fake_pci_close(ob, machine);
}

/* ---- reset ---- */

static int reset_rc;

static void reset_task(void *arg)
{
	struct ob_device *dev = arg;

	reset_rc = dev->ops->reset(dev);
}

static void test_reset_flr_restores_what_the_bus_set_up(void **state)
{
	struct fake_function *f = add_msix(4, 0, 0);
	struct bus_irq_vectors v;
	struct ob_device *dev;
	uint64_t bar, start;

	fake_pci_express(f, PCIE_TYPE_ENDPOINT, true);
	memcpy(f->reset_config, f->config, sizeof(f->config));
	dev = open_device("0000:00:02.0");
	assert_int_equal(dev->ops->enable(dev), 0);
	assert_int_equal(dev->ops->enable_dma(dev, true), 0);
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 4, OB_IRQ_MSIX, &v), 0);
	dev->ops->irq_mask(dev, 1, false);
	fake_pci_set(f, 0x40 + PCIE_DEVCTL, 2, 0x0020, 0x7fff);
	bar = fake_pci_get(f, PCI_BAR(0), 4);
	memset(fake_host.memory, 0, sizeof(fake_host.memory));
	start = ob_now_ns();
	fake_pci_in_task(ob, reset_task, dev);
	assert_int_equal(reset_rc, 0);
	assert_int_equal(f->resets, 1);
	assert_true(ob_now_ns() - start >= 100 * OB_NS_PER_MS);
	assert_int_equal(fake_pci_get(f, PCI_BAR(0), 4), bar);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(fake_pci_get(f, 0x40 + PCIE_DEVCTL, 2), 0x0020);
	assert_int_equal(fake_pci_get(f, MSIX_AT + PCI_MSIX_CONTROL, 2) & 0xc000, PCI_MSIX_CTL_ENABLE);
	assert_int_equal(entry(1, PCI_MSIX_ENTRY_DATA), 65);
	assert_int_equal(entry(1, PCI_MSIX_ENTRY_CONTROL), 0);
	assert_int_equal(entry(2, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
	dev->ops->irq_release(dev);
	dev->ops->disable(dev);
	fake_pci_close(ob, machine);
}

static void test_reset_by_advanced_features(void **state)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct ob_device *dev;

	fake_pci_bar(f, 0, 0x1000, 0);
	fake_pci_capability(f, 0x60, PCI_CAP_ID_AF);
	fake_pci_set(f, 0x60 + PCI_AF_CAPS, 1, PCI_AF_CAPS_TP | PCI_AF_CAPS_FLR, 0);
	f->flr_offset = 0x60 + PCI_AF_CONTROL;
	f->flr_mask = PCI_AF_CTL_FLR;
	memcpy(f->reset_config, f->config, sizeof(f->config));
	dev = open_device("0000:00:02.0");
	fake_pci_in_task(ob, reset_task, dev);
	assert_int_equal(reset_rc, 0);
	assert_int_equal(f->resets, 1);
	assert_int_equal(fake_pci_get(f, PCI_BAR(0), 4), pci_function_of(dev)->bar[0].base);
	fake_pci_close(ob, machine);
}

static void test_quirks_known_devices_lose_what_they_get_wrong(void **state)
{
	struct fake_function *audio = fake_pci_add(NULL, 2, 0, 0x1022, 0x1487, PCI_CLASS_HDA);
	struct fake_function *nic = fake_pci_add(NULL, 3, 0, 0x10ec, 0x8169, 0x020000);
	struct bus_irq_vectors v;
	struct ob_device *dev;

	fake_pci_express(audio, PCIE_TYPE_ENDPOINT, true);
	nic->config[PCI_INTERRUPT_PIN] = 1;
	dev = open_device("0000:00:02.0");
	assert_true(fake_pci_logged("[1022:1487] a function-level reset hangs it"));
	fake_pci_in_task(ob, reset_task, dev);
	assert_int_equal(reset_rc, -EOPNOTSUPP);
	/* Its line cannot be masked, so nobody tries. */
	dev = fake_pci_device(machine, "0000:00:03.0");
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 1, OB_IRQ_INTX, &v), 0);
	assert_false(fake_pci_get(nic, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF);
	dev->ops->irq_mask(dev, 0, true);
	assert_false(fake_pci_get(nic, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF);
	dev->ops->irq_release(dev);
	fake_pci_close(ob, machine);
}

/* A function without a reset of its own has the machine's; what the bus set up is there after it. */
static void test_reset_by_the_machine_restores_what_the_bus_set_up(void **state)
{
	struct fake_function *f = add_msix(4, 0, 0);
	struct bus_irq_vectors v;
	struct ob_device *dev;
	uint64_t bar;

	fake_pci_express(f, PCIE_TYPE_ENDPOINT, false);
	memcpy(f->reset_config, f->config, sizeof(f->config));
	dev = open_device("0000:00:02.0");
	fake_host.resets = true;
	assert_int_equal(dev->ops->enable(dev), 0);
	assert_int_equal(dev->ops->enable_dma(dev, true), 0);
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 4, OB_IRQ_MSIX, &v), 0);
	bar = fake_pci_get(f, PCI_BAR(0), 4);
	memset(fake_host.memory, 0, sizeof(fake_host.memory));
	fake_pci_in_task(ob, reset_task, dev);
	assert_int_equal(reset_rc, 0);
	assert_int_equal(f->resets, 1);
	assert_int_equal(fake_pci_get(f, PCI_BAR(0), 4), bar);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(entry(1, PCI_MSIX_ENTRY_DATA), 65);
	/* One that fails leaves the function as usable as it was. */
	fake_host.reset_error = -ETIMEDOUT;
	fake_pci_in_task(ob, reset_task, dev);
	assert_int_equal(reset_rc, -ETIMEDOUT);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(pci_is_intact(pci_function_of(dev)));
	dev->ops->irq_release(dev);
	dev->ops->disable(dev);
	fake_pci_close(ob, machine);
}

static void test_reset_not_offered_or_never_back(void **state)
{
	struct fake_function *plain = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct fake_function *stuck = fake_pci_add(NULL, 3, 0, 0x1234, 2, 0x020000);
	struct ob_device *dev;

	fake_pci_bar(plain, 0, 0x1000, 0);
	fake_pci_express(stuck, PCIE_TYPE_ENDPOINT, true);
	memcpy(stuck->reset_config, stuck->config, sizeof(stuck->config));
	dev = open_device("0000:00:02.0");
	assert_int_equal(dev->ops->enable(dev), 0);
	fake_pci_in_task(ob, reset_task, dev);
	assert_int_equal(reset_rc, -EOPNOTSUPP);
	assert_true(fake_pci_logged("cannot be reset: it has no function-level reset"));
	/* Nothing was lost on the way to that. */
	assert_int_equal(fake_pci_get(plain, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY);
	dev->ops->disable(dev);
	memset(stuck->reset_config, 0xff, sizeof(stuck->reset_config));
	fake_pci_in_task(ob, reset_task, fake_pci_device(machine, "0000:00:03.0"));
	assert_int_equal(reset_rc, -ENODEV);
	assert_true(fake_pci_logged("does not answer after its reset"));
	fake_pci_close(ob, machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_match_rows_more_exact_scores_higher, setup),
		cmocka_unit_test_setup(test_enable_and_disable_switch_decoding_and_master, setup),
		cmocka_unit_test_setup(test_function_without_its_configuration_is_not_the_one_that_was_bound, setup),
		cmocka_unit_test_setup(test_function_without_its_addresses_is_not_the_one_that_was_bound, setup),
		cmocka_unit_test_setup(test_config_write_of_the_command_register_kept_by_later_changes, setup),
		cmocka_unit_test_setup(test_enable_without_an_address_refused, setup),
		cmocka_unit_test_setup(test_msix_alloc_programs_masked_entries_and_enables, setup),
		cmocka_unit_test_setup(test_msix_table_past_its_bar_clamped, setup),
		cmocka_unit_test_setup(test_msix_table_nowhere_ignored, setup),
		cmocka_unit_test_setup(test_msix_table_behind_the_end_of_its_bar_ignored, setup),
		cmocka_unit_test_setup(test_msix_few_messages_left_takes_fewer, setup),
		cmocka_unit_test_setup(test_msix_programmed_by_the_machine_not_touched, setup),
		cmocka_unit_test_setup(test_msi_alloc_several_64bit_maskable_programs_the_block, setup),
		cmocka_unit_test_setup(test_msi_address_it_cannot_say_refused, setup),
		cmocka_unit_test_setup(test_intx_behind_bridges_swizzles_to_the_root_slot, setup),
		cmocka_unit_test_setup(test_reset_flr_restores_what_the_bus_set_up, setup),
		cmocka_unit_test_setup(test_reset_by_advanced_features, setup),
		cmocka_unit_test_setup(test_quirks_known_devices_lose_what_they_get_wrong, setup),
		cmocka_unit_test_setup(test_reset_by_the_machine_restores_what_the_bus_set_up, setup),
		cmocka_unit_test_setup(test_reset_not_offered_or_never_back, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
