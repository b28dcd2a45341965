/* SPDX-License-Identifier: BSD-2-Clause */
/* Power of functions over a made-up host: to D3hot and back, what is lost on the way and written again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "bus/pci/pci.h"
#include "tests/fake_pci.h"

#define NAME    "0000:00:02.0"
#define PM_AT   0x70
#define MSIX_AT 0x80
#define STATE   (PM_AT + PCI_PM_CONTROL)

static struct ob *ob;
static struct ob_machine *machine;
static struct fake_function *f;
static struct ob_device *dev;
static int rc;

static int setup(void **state)
{
	fake_pci_reset();
	f = fake_pci_add(NULL, 2, 0, 0x1234, 0x11e8, 0x010802);
	fake_pci_bar(f, 0, 0x4000, 0);
	fake_pci_capability(f, MSIX_AT, PCI_CAP_ID_MSIX);
	fake_pci_set(f, MSIX_AT + PCI_MSIX_CONTROL, 2, 3, PCI_MSIX_CTL_ENABLE | PCI_MSIX_CTL_MASK_ALL);
	fake_pci_express(f, PCIE_TYPE_ENDPOINT, false);
	return 0;
}

static void add_pm(uint16_t writable)
{
	fake_pci_capability(f, PM_AT, PCI_CAP_ID_PM);
	fake_pci_set(f, STATE, 2, 0, writable);
}

static void open_device(void)
{
	memcpy(f->reset_config, f->config, sizeof(f->config));
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	dev = fake_pci_device(machine, NAME);
	assert_non_null(dev);
}

static void suspend_task(void *arg)
{
	rc = dev->ops->suspend(dev);
}

static void resume_task(void *arg)
{
	rc = dev->ops->resume(dev);
}

static void enable_task(void *arg)
{
	rc = dev->ops->enable(dev);
}

static uint32_t entry(unsigned vector, unsigned offset)
{
	uint32_t value;

	memcpy(&value, fake_host.memory + vector * PCI_MSIX_ENTRY_LEN + offset, 4);
	return value;
}

/* All that software set up is lost, as when power was gone; and back in D0, as the reset leaves it. */
static void lose_all(void)
{
	memcpy(f->config, f->reset_config, sizeof(f->config));
	memset(fake_host.memory, 0, sizeof(fake_host.memory));
}

static void use_it(struct bus_irq_vectors *v)
{
	fake_pci_in_task(ob, enable_task, NULL);
	assert_int_equal(rc, 0);
	assert_int_equal(dev->ops->enable_dma(dev, true), 0);
	assert_int_equal(dev->ops->irq_alloc(dev, 1, 4, OB_IRQ_MSIX, v), 0);
	dev->ops->irq_mask(dev, 1, false);
	fake_pci_set(f, 0x40 + PCIE_DEVCTL, 2, 0x0020, 0x7fff);
}

static void test_state_goes_to_d3hot_and_all_comes_back(void **state)
{
	struct bus_irq_vectors v;
	uint64_t start;
	uint32_t bar;

	add_pm(PCI_PM_CTL_STATE | PCI_PM_CTL_PME);
	open_device();
	use_it(&v);
	fake_pci_set(f, STATE, 2, PCI_PM_CTL_PME | PCI_PM_CTL_PME_STATUS, PCI_PM_CTL_STATE | PCI_PM_CTL_PME);
	bar = fake_pci_get(f, PCI_BAR(0), 4);
	start = ob_now_ns();
	fake_pci_in_task(ob, suspend_task, NULL);
	assert_int_equal(rc, 0);
	assert_true(ob_now_ns() - start >= 10 * OB_NS_PER_MS);
	assert_int_equal(fake_pci_get(f, STATE, 2) & ~(unsigned)PCI_PM_CTL_PME_STATUS, 3 | PCI_PM_CTL_PME);
	assert_false(fake_pci_get(f, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	/* A vector that its CPU unmasks meanwhile is unmasked afterwards. */
	dev->ops->irq_mask(dev, 2, false);
	lose_all();
	fake_pci_set(f, STATE, 2, 3, PCI_PM_CTL_STATE);
	start = ob_now_ns();
	fake_pci_in_task(ob, resume_task, NULL);
	assert_int_equal(rc, 0);
	assert_true(ob_now_ns() - start >= 10 * OB_NS_PER_MS);
	assert_int_equal(fake_pci_get(f, STATE, 2), 0);
	assert_int_equal(fake_pci_get(f, PCI_BAR(0), 4), bar);
	/* The driver asks for bus mastering itself, when it is ready. */
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY);
	assert_int_equal(fake_pci_get(f, 0x40 + PCIE_DEVCTL, 2), 0x0020);
	assert_int_equal(fake_pci_get(f, MSIX_AT + PCI_MSIX_CONTROL, 2) & 0xc000, PCI_MSIX_CTL_ENABLE);
	assert_int_equal(entry(1, PCI_MSIX_ENTRY_DATA), 65);
	assert_int_equal(entry(1, PCI_MSIX_ENTRY_CONTROL), 0);
	assert_int_equal(entry(2, PCI_MSIX_ENTRY_CONTROL), 0);
	assert_int_equal(entry(3, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
	dev->ops->irq_release(dev);
	dev->ops->disable(dev);
	fake_pci_close(ob, machine);
}

static void test_function_without_power_states_keeps_its_power(void **state)
{
	struct bus_irq_vectors v;

	open_device();
	use_it(&v);
	fake_pci_in_task(ob, suspend_task, NULL);
	assert_int_equal(rc, 0);
	assert_false(fake_pci_get(f, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	lose_all();
	fake_pci_in_task(ob, resume_task, NULL);
	assert_int_equal(rc, 0);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY);
	assert_int_equal(entry(1, PCI_MSIX_ENTRY_CONTROL), 0);
	dev->ops->irq_release(dev);
	dev->ops->disable(dev);
	fake_pci_close(ob, machine);
}

static void test_function_that_does_not_go_to_d3hot_is_no_good(void **state)
{
	add_pm(0);
	open_device();
	fake_pci_in_task(ob, suspend_task, NULL);
	assert_int_equal(rc, -EOPNOTSUPP);
	assert_true(fake_pci_logged("is in D0, D3 was asked for"));
	fake_pci_close(ob, machine);
}

static void test_function_that_does_not_come_back_is_told(void **state)
{
	add_pm(PCI_PM_CTL_STATE);
	open_device();
	fake_pci_in_task(ob, suspend_task, NULL);
	assert_int_equal(rc, 0);
	fake_pci_set(f, STATE, 2, 3, 0);
	fake_pci_in_task(ob, resume_task, NULL);
	assert_int_equal(rc, -EIO);
	f->absent = true;
	fake_pci_in_task(ob, resume_task, NULL);
	assert_int_equal(rc, -ENODEV);
	fake_pci_in_task(ob, suspend_task, NULL);
	assert_int_equal(rc, -ENODEV);
	fake_pci_close(ob, machine);
}

/* It was away when it was to be suspended, so nothing of it was saved: an older save is not written into it. */
static void test_function_that_was_not_saved_is_not_restored(void **state)
{
	add_pm(PCI_PM_CTL_STATE);
	open_device();
	fake_pci_in_task(ob, suspend_task, NULL);
	assert_int_equal(rc, 0);
	fake_pci_in_task(ob, resume_task, NULL);
	assert_int_equal(rc, 0);
	f->absent = true;
	fake_pci_in_task(ob, suspend_task, NULL);
	assert_int_equal(rc, -ENODEV);
	f->absent = false;
	fake_pci_set(f, 0x40 + PCIE_DEVCTL, 2, 0x0020, 0x7fff);
	fake_pci_in_task(ob, resume_task, NULL);
	assert_int_equal(rc, -ENODEV);
	assert_int_equal(fake_pci_get(f, 0x40 + PCIE_DEVCTL, 2), 0x0020);
	fake_pci_close(ob, machine);
}

/* All ones are nobody's answer; written back they would be a state of power. */
static void test_all_ones_are_not_written_back(void **state)
{
	add_pm(PCI_PM_CTL_STATE);
	open_device();
	fake_pci_set(f, STATE, 2, 0xffff, 0xffff);
	fake_pci_in_task(ob, suspend_task, NULL);
	assert_int_equal(rc, -ENODEV);
	assert_int_equal(fake_pci_get(f, STATE, 2), 0xffff);
	fake_pci_close(ob, machine);
}

static void test_function_found_without_power_gets_it_for_its_driver(void **state)
{
	add_pm(PCI_PM_CTL_STATE);
	fake_pci_set(f, STATE, 2, 3, PCI_PM_CTL_STATE);
	open_device();
	fake_pci_in_task(ob, enable_task, NULL);
	assert_int_equal(rc, 0);
	assert_int_equal(fake_pci_get(f, STATE, 2), 0);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY);
	dev->ops->disable(dev);
	fake_pci_close(ob, machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_state_goes_to_d3hot_and_all_comes_back, setup),
		cmocka_unit_test_setup(test_function_without_power_states_keeps_its_power, setup),
		cmocka_unit_test_setup(test_function_that_does_not_go_to_d3hot_is_no_good, setup),
		cmocka_unit_test_setup(test_function_that_does_not_come_back_is_told, setup),
		cmocka_unit_test_setup(test_function_that_was_not_saved_is_not_restored, setup),
		cmocka_unit_test_setup(test_all_ones_are_not_written_back, setup),
		cmocka_unit_test_setup(test_function_found_without_power_gets_it_for_its_driver, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
