/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts and resets of real devices through the bus, with drivers as small as can be: QEMU's edu raises what it is
 * told to, by MSI and by a line behind two bridges; its nvme by MSI-X, and a function-level reset takes all away.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/driver.h>
#include <outboard/outboard.h>
#include <outboard/pci.h>

#include "base/bits.h"
#include "spec/nvme.h"
#include "spec/pci.h"

#define EDU_NAME    "0000:03:01.0"
#define NVME_NAME   "0000:01:00.0"
#define EDU_STATUS  0x24
#define EDU_RAISE   0x60
#define EDU_ACK     0x64
#define WAIT_NS     (3 * OB_NS_PER_S)
#define QUIET_NS    (30 * OB_NS_PER_MS)
#define DOORBELL_SQ 0x1000
#define DOORBELL_CQ 0x1004
#define QUEUE_LEN   16u

/* No assertions inside a task: a failed one would leave it. The first check that fails says where. */
#define CHECK(condition)                            \
	do {                                        \
		if (!(condition)) {                 \
			run.failed_line = __LINE__; \
			goto out;                   \
		}                                   \
	} while (0)

static struct {
	unsigned kinds, rounds;
	int failed_line, rc;
	enum ob_irq_kind kind;
	int vectors;
	struct ob_region regs;
	struct ob_event event;
	struct ob_irq *irq;
	unsigned delivered;
	/* nvme */
	struct ob_dma sq, cq, page;
	unsigned tail, head;
	uint16_t phase;
} run;

static struct ob *ob;
static struct ob_machine *machine;

/* ---- edu ---- */

static enum ob_irq_result edu_hard(void *arg)
{
	uint32_t status = ob_mmio_read32(&run.regs, EDU_STATUS);

	if (status == 0)
		return OB_IRQ_NONE;
	ob_mmio_write32(&run.regs, EDU_ACK, status);
	run.delivered++;
	ob_event_signal(&run.event);
	return OB_IRQ_HANDLED;
}

static int edu_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob_irq_config config = {.name = "edu", .cpu = ob_device_cpu(dev), .hard = edu_hard};

	run.failed_line = 0;
	run.delivered = 0;
	ob_event_init(&run.event, config.cpu);
	CHECK(ob_device_region(dev, 0, &run.regs) == 0);
	CHECK(ob_device_enable_dma(dev, true) == 0);
	run.vectors = ob_irq_alloc(dev, 1, 4, run.kinds, &run.kind);
	CHECK(run.vectors == 1);
	/* Raised before anybody asked: it waits. */
	CHECK(ob_irq_request(dev, 0, &config, &run.irq) == 0);
	for (unsigned i = 0; i < run.rounds; i++) {
		ob_mmio_write32(&run.regs, EDU_RAISE, 1u << (i % 31));
		CHECK(ob_event_wait(&run.event, ob_deadline(WAIT_NS)) == 0);
		CHECK(run.delivered == i + 1);
	}
	ob_irq_mask(run.irq);
	ob_mmio_write32(&run.regs, EDU_RAISE, 1);
	CHECK(ob_event_wait(&run.event, ob_deadline(QUIET_NS)) == -ETIMEDOUT);
	ob_irq_unmask(run.irq);
	CHECK(ob_event_wait(&run.event, ob_deadline(WAIT_NS)) == 0);
	CHECK(run.delivered == run.rounds + 1);
out:
	ob_irq_free(run.irq);
	run.irq = NULL;
	ob_irq_release(dev);
	return -ENODEV; /* it was only for this */
}

static void edu_remove(struct ob_device *dev)
{
}

static const struct ob_match edu_match[] = {OB_PCI_ID(0x1234, 0x11e8), OB_MATCH_LAST};
static const struct ob_driver edu_driver = {
	.name = "edu-test", .match = edu_match, .probe = edu_probe, .remove = edu_remove};

/* ---- nvme: an admin queue and Identify ---- */

static enum ob_irq_result nvme_hard(void *arg)
{
	run.delivered++;
	ob_event_signal(&run.event);
	return OB_IRQ_HANDLED;
}

static int nvme_start(void)
{
	memset(run.sq.base, 0, run.sq.len_bytes);
	memset(run.cq.base, 0, run.cq.len_bytes);
	run.tail = run.head = 0;
	run.phase = 1;
	ob_mmio_write32(&run.regs, NVME_AQA, (QUEUE_LEN - 1) << 16 | (QUEUE_LEN - 1));
	ob_mmio_write64(&run.regs, NVME_ASQ, run.sq.iova.addr);
	ob_mmio_write64(&run.regs, NVME_ACQ, run.cq.iova.addr);
	/* 64-byte commands, 16-byte completions, enabled. */
	ob_mmio_write32(&run.regs, NVME_CC, 6u << 16 | 4u << 20 | 1);
	return ob_mmio_wait32(&run.regs, NVME_CSTS, 1, 1, ob_deadline(WAIT_NS), NULL);
}

/* Identify the controller; the completion must come with an interrupt. 0 or a line number. */
static int nvme_identify(void)
{
	ob_le32 *command = (ob_le32 *)((uint8_t *)run.sq.base + 64 * run.tail);
	ob_le32 *completion = (ob_le32 *)((uint8_t *)run.cq.base + 16 * run.head);
	uint32_t status;

	memset(run.page.base, 0, run.page.len_bytes);
	ob_le32_store(&command[0], 0x06 | (uint32_t)run.tail << 16);
	ob_le32_store(&command[6], (uint32_t)run.page.iova.addr);
	ob_le32_store(&command[7], (uint32_t)(run.page.iova.addr >> 32));
	ob_le32_store(&command[10], 1);
	run.tail = (run.tail + 1) % QUEUE_LEN;
	ob_mmio_write32(&run.regs, DOORBELL_SQ, run.tail);
	if (ob_event_wait(&run.event, ob_deadline(WAIT_NS)) != 0)
		return __LINE__;
	status = ob_le32_load(&completion[3]);
	if ((status >> 16 & 1) != run.phase || status >> 17 != 0)
		return __LINE__;
	run.head = (run.head + 1) % QUEUE_LEN;
	if (run.head == 0)
		run.phase ^= 1;
	ob_mmio_write32(&run.regs, DOORBELL_CQ, run.head);
	/* Vendor id, and the serial number of the command line. */
	return memcmp(run.page.base, "\x36\x1b", 2) == 0 && memcmp((char *)run.page.base + 4, "pci-test", 8) == 0
		       ? 0
		       : __LINE__;
}

static int nvme_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob_irq_config config = {.name = "nvme", .cpu = ob_device_cpu(dev), .hard = nvme_hard};
	struct ob_pci_info before, after;
	unsigned msix = ob_pci_find_capability(dev, PCI_CAP_ID_MSIX, 0);

	run.failed_line = 0;
	run.delivered = 0;
	ob_event_init(&run.event, config.cpu);
	CHECK(ob_device_region(dev, 0, &run.regs) == 0);
	CHECK(ob_dma_alloc(dev, 64 * QUEUE_LEN, 4096, &run.sq) == 0);
	CHECK(ob_dma_alloc(dev, 16 * QUEUE_LEN, 4096, &run.cq) == 0);
	CHECK(ob_dma_alloc(dev, 4096, 4096, &run.page) == 0);
	CHECK(ob_device_enable_dma(dev, true) == 0);
	run.vectors = ob_irq_alloc(dev, 2, 64, OB_IRQ_ANY, &run.kind);
	CHECK(run.vectors >= 2 && run.kind == OB_IRQ_MSIX);
	CHECK(ob_irq_request(dev, 0, &config, &run.irq) == 0);
	CHECK(nvme_start() == 0);
	for (unsigned i = 0; i < run.rounds; i++)
		CHECK((run.rc = nvme_identify()) == 0);
	CHECK(run.delivered >= run.rounds);

	/* The reset takes the controller's state; what the bus had set up is there again. */
	CHECK(ob_pci_info(dev, &before) == 0 && before.flr);
	CHECK(ob_mmio_read32(&run.regs, NVME_CC) & 1);
	CHECK(ob_device_reset(dev) == 0);
	CHECK(ob_mmio_read32(&run.regs, NVME_CC) == 0);
	CHECK((ob_mmio_read32(&run.regs, NVME_CSTS) & 1) == 0);
	CHECK((ob_pci_read(dev, PCI_BAR(0), 4) & PCI_BAR_MEM_ADDRESS) == (uint32_t)before.bar[0].address);
	CHECK((ob_pci_read(dev, PCI_COMMAND, 2) & 6) == (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
	CHECK((ob_pci_read(dev, msix + PCI_MSIX_CONTROL, 2) & 0xc000) == PCI_MSIX_CTL_ENABLE);
	CHECK(ob_pci_info(dev, &after) == 0 && memcmp(&before, &after, sizeof(before)) == 0);
	CHECK(nvme_start() == 0);
	for (unsigned i = 0; i < run.rounds; i++)
		CHECK((run.rc = nvme_identify()) == 0);
	/* A master that is none is stopped: bus mastering is the bus's to give. */
	CHECK(ob_device_enable_dma(dev, false) == 0);
	CHECK((ob_pci_read(dev, PCI_COMMAND, 2) & PCI_COMMAND_MASTER) == 0);
out:
	ob_irq_free(run.irq);
	run.irq = NULL;
	ob_irq_release(dev);
	/* Quiet before its memory goes. */
	ob_mmio_write32(&run.regs, NVME_CC, 0);
	if (ob_mmio_wait32(&run.regs, NVME_CSTS, 1, 0, ob_deadline(WAIT_NS), NULL) != 0)
		run.failed_line = __LINE__;
	ob_device_enable_dma(dev, false);
	ob_dma_free(dev, &run.page);
	ob_dma_free(dev, &run.cq);
	ob_dma_free(dev, &run.sq);
	return -ENODEV;
}

static const struct ob_match nvme_match[] = {OB_PCI_ID(0x1b36, 0x0010), OB_MATCH_LAST};
static const struct ob_driver nvme_driver = {
	.name = "nvme-test", .match = nvme_match, .probe = nvme_probe, .remove = edu_remove};

/* ---- the machine ---- */

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	if (getenv("TEST_LOG") != NULL)
		fprintf(stderr, "%d %s\n", (int)level, message);
}

static int open_machine(void **state)
{
	static const char *const args[] = {
		"-device", "pcie-root-port,id=rp0,bus=pcie.0,addr=2.0,chassis=1,slot=1",
		"-device", "nvme,id=nv0,bus=rp0,serial=pci-test",
		"-device", "pcie-pci-bridge,id=pb0,bus=pcie.0,addr=4.0",
		"-device", "pci-bridge,id=pb1,bus=pb0,addr=2.0,chassis_nr=6",
		"-device", "edu,id=edu0,bus=pb1,addr=1.0",
		NULL,
	};
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_DEBUG};
	struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND, .args = args};

	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_driver_register(ob, &edu_driver), 0);
	assert_int_equal(ob_driver_register(ob, &nvme_driver), 0);
	assert_int_equal(ob_machine_open(ob, "qemu:q35", &options, &machine), 0);
	return 0;
}

static int close_machine(void **state)
{
	ob_machine_close(machine);
	ob_destroy(ob);
	return 0;
}

/* The driver's probe does it all, and then gives the device back. */
static void run_on(const char *name, unsigned kinds, unsigned rounds)
{
	struct ob_device *dev = ob_device_find(machine, name);

	assert_non_null(dev);
	memset(&run, 0, sizeof(run));
	run.kinds = kinds;
	run.rounds = rounds;
	run.failed_line = -1;
	assert_int_equal(ob_device_bind(dev), -ENODEV);
	if (run.failed_line != 0)
		fail_msg("the check in line %d failed (%d)", run.failed_line, run.rc);
	/* Nothing is left on. */
	assert_int_equal(ob_pci_read(dev, PCI_COMMAND, 2) & 7, 0);
	ob_device_put(dev);
}

static void test_edu_msi_every_one_arrives(void **state)
{
	run_on(EDU_NAME, OB_IRQ_ANY, 200);
	assert_int_equal(run.kind, OB_IRQ_MSI);
}

static void test_edu_line_behind_two_bridges_every_one_arrives(void **state)
{
	run_on(EDU_NAME, OB_IRQ_INTX, 100);
	assert_int_equal(run.kind, OB_IRQ_INTX);
}

static void test_nvme_msix_arrives_and_reset_gives_a_fresh_controller(void **state)
{
	run_on(NVME_NAME, OB_IRQ_ANY, 40);
	/* Once more from the start: nothing of the first time is in the way. */
	run_on(NVME_NAME, OB_IRQ_ANY, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edu_msi_every_one_arrives),
		cmocka_unit_test(test_edu_line_behind_two_bridges_every_one_arrives),
		cmocka_unit_test(test_nvme_msix_arrives_and_reset_gives_a_fresh_controller),
	};

	return cmocka_run_group_tests(tests, open_machine, close_machine);
}
