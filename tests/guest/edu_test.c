/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that does just what it is told, behind VFIO and an IOMMU: QEMU's edu (docs/specs/edu). Registers, interrupts of
 * each kind, DMA with and without the right to it. To be run in the guest: OUTBOARD_MACHINE names the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <outboard/driver.h>
#include <outboard/outboard.h>
#include <outboard/pci.h>

#include "base/bits.h"
#include "core/machine_core.h"
#include "tests/guest/guest.h"

#define EDU_ID       0x00
#define EDU_LIVENESS 0x04
#define EDU_STATUS   0x24
#define EDU_RAISE    0x60
#define EDU_ACK      0x64
#define EDU_SOURCE   0x80
#define EDU_TARGET   0x88
#define EDU_COUNT    0x90
#define EDU_COMMAND  0x98
#define EDU_START    BIT(0)
#define EDU_TO_RAM   BIT(1)
#define EDU_BUFFER   0x40000u   /* its own memory, for its DMA */
#define EDU_STRAY    0x7654000u /* nobody maps this; it has 28 bits of address */

static struct edu {
	struct ob_device *dev;
	struct ob_region regs;
	struct ob_irq *irq;
	enum ob_irq_kind kinds, kind;
	unsigned delivered, leave_up;
} edu;
static struct ob *ob;
static struct ob_machine *machine;

static enum ob_irq_result edu_hard(void *arg)
{
	uint32_t status = ob_mmio_read32(&edu.regs, EDU_STATUS);

	if (status == 0)
		return OB_IRQ_NONE;
	edu.delivered++;
	/* A line that stays up is delivered again. */
	if (edu.leave_up == 0)
		ob_mmio_write32(&edu.regs, EDU_ACK, status);
	else
		edu.leave_up--;
	return OB_IRQ_HANDLED;
}

static int edu_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob_irq_config config = {.name = "edu", .cpu = ob_device_cpu(dev), .hard = edu_hard};
	int ret = ob_device_region(dev, 0, &edu.regs);

	edu.dev = dev;
	edu.delivered = 0;
	if (ret == 0)
		ret = ob_device_enable_dma(dev, true);
	if (ret != 0)
		return ret;
	ret = ob_irq_alloc(dev, 1, 1, edu.kinds, &edu.kind);
	if (ret < 0)
		return ret;
	ob_mmio_write32(&edu.regs, EDU_ACK, 0xffffffffu);
	ret = ob_irq_request(dev, 0, &config, &edu.irq);
	if (ret != 0)
		ob_irq_release(dev);
	return ret;
}

static void edu_remove(struct ob_device *dev)
{
	ob_irq_free(edu.irq);
	ob_irq_release(dev);
	ob_device_enable_dma(dev, false);
}

static const struct ob_match edu_match[] = {OB_PCI_ID(0x1234, 0x11e8), OB_MATCH_LAST};
static const struct ob_driver edu_driver = {
	.name = "edu-guest", .match = edu_match, .probe = edu_probe, .remove = edu_remove};

/* ---- the machine ---- */

static int open_machine(void **state)
{
	struct ob_config config = {.log = guest_log_keep, .log_level = OB_LOG_WARN};

	edu = (struct edu){.kinds = OB_IRQ_ANY};
	guest_log_clear();
	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_driver_register(ob, &edu_driver), 0);
	assert_int_equal(ob_machine_open(ob, getenv("OUTBOARD_MACHINE"), NULL, &machine), 0);
	assert_non_null(edu.irq);
	return 0;
}

static int close_machine(void **state)
{
	ob_machine_close(machine);
	ob_destroy(ob);
	return 0;
}

static bool turn_until(bool (*done)(void *arg), void *arg, uint64_t timeout_ns)
{
	uint64_t deadline = ob_deadline(timeout_ns);

	while (!done(arg) && ob_now_ns() < deadline)
		ob_cpu_turn(ob_cpu_get(ob, 0), OB_NS_PER_MS);
	return done(arg);
}

static bool is_delivered(void *arg)
{
	return edu.delivered >= *(unsigned *)arg;
}

static bool is_logged(void *arg)
{
	return guest_logged(arg);
}

static bool is_idle(void *arg)
{
	return (ob_mmio_read32(&edu.regs, EDU_COMMAND) & EDU_START) == 0;
}

/* ---- registers ---- */

static void test_edu_registers_are_mapped_and_answer(void **state)
{
	assert_non_null(edu.regs.base);
	assert_int_equal(ob_mmio_read32(&edu.regs, EDU_ID) & 0xff, 0xed);
	ob_mmio_write32(&edu.regs, EDU_LIVENESS, 0x12345678);
	ob_mmio_flush(&edu.regs);
	assert_int_equal(ob_mmio_read32(&edu.regs, EDU_LIVENESS), ~0x12345678u);
}

/* The same registers by system calls: without a base there is only the machine. */
static void test_edu_registers_unmapped_answer_the_same(void **state)
{
	struct ob_region slow = edu.regs;

	slow.base = NULL;
	assert_int_equal(ob_mmio_read32(&slow, EDU_ID), ob_mmio_read32(&edu.regs, EDU_ID));
	ob_mmio_write32(&slow, EDU_LIVENESS, 0xcafe0000);
	assert_int_equal(ob_mmio_read32(&edu.regs, EDU_LIVENESS), ~0xcafe0000u);
	ob_mmio_write64(&slow, EDU_SOURCE, 0x123456789abull);
	assert_int_equal(ob_mmio_read64(&edu.regs, EDU_SOURCE), 0x123456789abull);
}

static void test_edu_configuration_space_is_read(void **state)
{
	struct ob_pci_info info;

	assert_int_equal(ob_pci_info(edu.dev, &info), 0);
	assert_int_equal(info.vendor, 0x1234);
	assert_int_equal(info.device, 0x11e8);
	assert_int_equal(info.bar[0].len_bytes, OB_MIB);
	assert_int_equal(ob_pci_read(edu.dev, 0, 1), 0x34);
	assert_int_equal(ob_pci_read(edu.dev, 2, 2), 0x11e8);
	assert_int_equal(ob_pci_read(edu.dev, 4092, 4), 0xffffffffu); /* it has 256 bytes */
	assert_true(ob_device_is_present(edu.dev));
}

/* ---- interrupts ---- */

static void rebind(unsigned kinds)
{
	assert_int_equal(ob_device_unbind(edu.dev), 0);
	edu.kinds = (enum ob_irq_kind)kinds;
	assert_int_equal(ob_device_bind(edu.dev), 0);
}

static void check_interrupts(unsigned kind)
{
	rebind(kind);
	assert_int_equal(edu.kind, kind);
	for (unsigned i = 1; i <= 100; i++) {
		ob_mmio_write32(&edu.regs, EDU_RAISE, 1);
		assert_true(turn_until(is_delivered, &i, 3 * OB_NS_PER_S));
	}
	assert_int_equal(edu.delivered, 100);
}

static void test_edu_messages_arrive_once_each(void **state)
{
	check_interrupts(OB_IRQ_MSI);
}

static void test_edu_line_arrives_once_each(void **state)
{
	check_interrupts(OB_IRQ_INTX);
}

/* The kernel masks the line as it fires; what is still up when it is let go fires again. */
static void test_edu_line_left_up_is_delivered_again(void **state)
{
	unsigned want = 6;

	rebind(OB_IRQ_INTX);
	edu.leave_up = 5;
	ob_mmio_write32(&edu.regs, EDU_RAISE, 1);
	assert_true(turn_until(is_delivered, &want, 3 * OB_NS_PER_S));
	want = 7;
	ob_mmio_write32(&edu.regs, EDU_RAISE, 1);
	assert_true(turn_until(is_delivered, &want, 3 * OB_NS_PER_S));
}

static void test_edu_line_masked_waits_for_unmask(void **state)
{
	unsigned want = 1;

	rebind(OB_IRQ_INTX);
	ob_irq_mask(edu.irq);
	ob_mmio_write32(&edu.regs, EDU_RAISE, 1);
	assert_false(turn_until(is_delivered, &want, 200 * OB_NS_PER_MS));
	ob_irq_unmask(edu.irq);
	assert_true(turn_until(is_delivered, &want, 3 * OB_NS_PER_S));
	want = 2;
	ob_mmio_write32(&edu.regs, EDU_RAISE, 1);
	assert_true(turn_until(is_delivered, &want, 3 * OB_NS_PER_S));
}

/* ---- DMA ---- */

static void dma(uint64_t source, uint64_t target, unsigned count, unsigned direction)
{
	ob_mmio_write64(&edu.regs, EDU_SOURCE, source);
	ob_mmio_write64(&edu.regs, EDU_TARGET, target);
	ob_mmio_write64(&edu.regs, EDU_COUNT, count);
	ob_mmio_write64(&edu.regs, EDU_COMMAND, EDU_START | direction);
	assert_true(turn_until(is_idle, NULL, 5 * OB_NS_PER_S));
}

static void dma_from_ram(uint64_t iova, unsigned count)
{
	dma(iova, EDU_BUFFER, count, 0);
}

static void dma_to_ram(uint64_t iova, unsigned count)
{
	dma(EDU_BUFFER, iova, count, EDU_TO_RAM);
}

static struct ob_window *make_window(size_t len_bytes)
{
	struct ob_window *window;

	assert_int_equal(ob_window_create(machine, len_bytes, &window), 0);
	return window;
}

static uint64_t iova_of(struct ob_window *window, const void *at, unsigned rights)
{
	ob_iova iova = {0};

	assert_int_equal(ob_window_iova(window, ob_device_dma_index(edu.dev), at, 1, (enum ob_dma_rights)rights, &iova),
			 0);
	return iova.addr;
}

/* The device writes, or reads, and the log says that it was not let. QEMU's IOMMU may swallow a fault after another. */
static void expect_blocked(bool write, uint64_t iova, const char *more)
{
	char text[128];
	bool said = false;

	snprintf(text, sizeof(text), "%s: the IOMMU blocked its %s at %#llx: %s", ob_device_name(edu.dev),
		 write ? "write" : "read", (unsigned long long)iova, more);
	for (unsigned attempt = 0; attempt < 5 && !said; attempt++) {
		if (write)
			dma_to_ram(iova, 16);
		else
			dma_from_ram(iova, 16);
		said = turn_until(is_logged, text, OB_NS_PER_S);
	}
	assert_true(said);
}

static void test_edu_dma_reaches_what_was_granted(void **state)
{
	struct ob_window *window = make_window(64 * OB_KIB);
	uint64_t iova;

	assert_int_equal(ob_window_grant(window, edu.dev, OB_DMA_BOTH), 0);
	iova = iova_of(window, window->base, OB_DMA_BOTH);
	assert_int_not_equal(iova, (uintptr_t)window->base);
	memset(window->base, 0x5a, 256);
	dma_from_ram(iova, 256);
	dma_to_ram(iova + 64 * OB_KIB - 256, 256);
	assert_memory_equal(window->base, window->base + 64 * OB_KIB - 256, 256);
	ob_window_put(window);
	assert_false(guest_logged("blocked"));
}

/* A large window lies on huge pages where the system has some; the test's script sees to it. */
static void test_edu_dma_reaches_a_large_window(void **state)
{
	struct ob_window *window = make_window(8 * OB_MIB);

	assert_int_equal(ob_window_grant(window, edu.dev, OB_DMA_BOTH), 0);
	assert_true(IS_ALIGNED(iova_of(window, window->base, OB_DMA_BOTH), 2 * OB_MIB));
	window->base[0] = 0x77;
	dma_from_ram(iova_of(window, window->base, OB_DMA_READ), 1);
	dma_to_ram(iova_of(window, window->base + 8 * OB_MIB - 1, OB_DMA_WRITE), 1);
	assert_int_equal(window->base[8 * OB_MIB - 1], 0x77);
	if (getenv("HUGE_EXPECTED") != NULL) {
		char line[128];
		unsigned free_pages = 99;
		FILE *f = fopen("/proc/meminfo", "re");

		while (fgets(line, sizeof(line), f) != NULL)
			sscanf(line, "HugePages_Free: %u", &free_pages);
		fclose(f);
		assert_int_equal(free_pages, atoi(getenv("HUGE_EXPECTED")));
	}
	ob_window_put(window);
}

static void test_edu_write_to_what_it_may_read_is_blocked(void **state)
{
	struct ob_window *window = make_window(8192), *seen = make_window(4096);
	uint64_t iova;

	assert_int_equal(ob_window_grant(window, edu.dev, OB_DMA_READ), 0);
	assert_int_equal(ob_window_grant(seen, edu.dev, OB_DMA_WRITE), 0);
	iova = iova_of(window, window->base, OB_DMA_READ);
	memset(window->base, 0x11, 4096);
	dma_from_ram(iova, 16);
	dma_to_ram(iova_of(seen, seen->base, OB_DMA_WRITE), 16);
	assert_int_equal(seen->base[15], 0x11); /* what was written after the grant */
	memset(window->base, 0x22, 8192);
	dma_to_ram(iova + 0x100, 16);
	assert_int_equal(window->base[0x100], 0x22);
	/* QEMU's IOMMU reports no fault on a page of which it has an entry; so the next. */
	expect_blocked(true, iova + 0x1000, "it may only read there");
	assert_int_equal(window->base[0x1000], 0x22);
	/* Wider rights; the address that it had goes on for what it could. */
	assert_int_equal(ob_window_grant(window, edu.dev, OB_DMA_WRITE), 0);
	dma_from_ram(iova, 16);
	dma_to_ram(iova_of(window, window->base + 0x100, OB_DMA_WRITE), 16);
	assert_int_equal(window->base[0x100], 0x22);
	window->base[0] = 0x33;
	dma_from_ram(iova_of(window, window->base, OB_DMA_BOTH), 16);
	dma_to_ram(iova_of(window, window->base + 0x200, OB_DMA_BOTH), 1);
	assert_int_equal(window->base[0x200], 0x33);
	ob_window_put(seen);
	ob_window_put(window);
}

static void test_edu_stray_dma_is_blocked_and_reported(void **state)
{
	char *reply = NULL, line[64];

	expect_blocked(true, EDU_STRAY, "nothing is mapped near it");
	expect_blocked(false, EDU_STRAY + 0x1000, "nothing is mapped near it");
	assert_int_equal(ob_machine_command(machine, "faults", &reply, ob_deadline(OB_NS_PER_S)), 0);
	snprintf(line, sizeof(line), "%s write %#x\n", ob_device_name(edu.dev), EDU_STRAY);
	assert_non_null(strstr(reply, line));
	ob_free(reply);
}

static void test_edu_dma_after_revoke_is_blocked(void **state)
{
	struct ob_window *window = make_window(4096);
	uint64_t iova;

	assert_int_equal(ob_window_grant(window, edu.dev, OB_DMA_BOTH), 0);
	iova = iova_of(window, window->base, OB_DMA_BOTH);
	dma_from_ram(iova, 16);
	ob_window_revoke(window, edu.dev);
	memset(window->base, 0x44, 4096);
	expect_blocked(true, iova, "");
	assert_int_equal(window->base[0], 0x44);
	ob_window_put(window);
}

static void test_edu_dma_reaches_imported_memory(void **state)
{
	uint8_t *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ob_window *window;

	assert_ptr_not_equal(own, MAP_FAILED);
	assert_int_equal(ob_window_import(machine, own, 4097, &window), -EOPNOTSUPP);
	assert_int_equal(ob_window_import(machine, own, 8192, &window), 0);
	assert_int_equal(ob_window_grant(window, edu.dev, OB_DMA_BOTH), 0);
	strcpy((char *)own, "imported");
	dma_from_ram(iova_of(window, own, OB_DMA_READ), 9);
	dma_to_ram(iova_of(window, own + 4096, OB_DMA_WRITE), 9);
	assert_string_equal((char *)own + 4096, "imported");
	ob_window_put(window);
	munmap(own, 8192);
}

/*
 * Somebody never lets the driver go. The machine is given up with its memory, but the device is not kept: it is quiet, the
 * kernel has it back, and what the driver still asks of it is answered as by the dead.
 */
static void test_edu_that_a_stuck_driver_has_is_let_go(void **state)
{
	struct ob_window *window = make_window(4096);
	struct ob_region slow;
	uint64_t iova;

	assert_int_equal(ob_window_grant(window, edu.dev, OB_DMA_BOTH), 0);
	iova = iova_of(window, window->base, OB_DMA_BOTH);
	dma_from_ram(iova, 16);
	assert_true(ob_device_get_online(edu.dev));
	assert_non_null(edu.regs.base);
	slow = edu.regs;
	slow.base = NULL;
	machine_close(machine, ob_deadline(OB_NS_PER_S));
	assert_true(guest_logged("cannot be closed, its memory stays"));
	assert_int_equal(ob_mmio_read32(&edu.regs, EDU_ID), 0xffffffffu);
	assert_int_equal(ob_mmio_read32(&slow, EDU_ID), 0xffffffffu);
	assert_int_equal(*(volatile uint32_t *)(volatile void *)(edu.regs.base + EDU_STATUS), 0xffffffffu);
	ob_mmio_write32(&edu.regs, EDU_RAISE, 1);
	/* A process can have it again; it would not while anything of it was mapped. */
	ob_destroy(ob);
	assert_int_equal(open_machine(NULL), 0);
	assert_int_equal(ob_mmio_read32(&edu.regs, EDU_ID) & 0xff, 0xed);
}

/* Windows may outlive the machine; what they had mapped is gone by then. */
static void test_edu_window_outlives_the_machine(void **state)
{
	struct ob_window *window = make_window(4096);

	assert_int_equal(ob_window_grant(window, edu.dev, OB_DMA_BOTH), 0);
	ob_machine_close(machine);
	window->base[4095] = 1;
	ob_window_put(window);
	assert_int_equal(ob_machine_open(ob, getenv("OUTBOARD_MACHINE"), NULL, &machine), 0);
}

#define EDU_TEST(name) cmocka_unit_test_setup_teardown(name, open_machine, close_machine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EDU_TEST(test_edu_registers_are_mapped_and_answer),
		EDU_TEST(test_edu_registers_unmapped_answer_the_same),
		EDU_TEST(test_edu_configuration_space_is_read),
		EDU_TEST(test_edu_messages_arrive_once_each),
		EDU_TEST(test_edu_line_arrives_once_each),
		EDU_TEST(test_edu_line_left_up_is_delivered_again),
		EDU_TEST(test_edu_line_masked_waits_for_unmask),
		EDU_TEST(test_edu_dma_reaches_what_was_granted),
		EDU_TEST(test_edu_dma_reaches_a_large_window),
		EDU_TEST(test_edu_dma_reaches_imported_memory),
		EDU_TEST(test_edu_window_outlives_the_machine),
		EDU_TEST(test_edu_that_a_stuck_driver_has_is_let_go),
		/* From here on the kernel's log has faults, all of them wanted. */
		EDU_TEST(test_edu_write_to_what_it_may_read_is_blocked),
		EDU_TEST(test_edu_stray_dma_is_blocked_and_reported),
		EDU_TEST(test_edu_dma_after_revoke_is_blocked),
	};

	if (getenv("OUTBOARD_MACHINE") == NULL)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
