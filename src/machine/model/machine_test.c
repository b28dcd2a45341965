/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model machine from below: configuration space, BARs, bus mastering, the IOMMU, interrupts, hot plug, its
 * description and its commands. No driver is bound; the test writes registers itself.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/driver.h>
#include <outboard/outboard.h>
#include <outboard/pci.h>

#include "core/device.h"
#include "machine/model/model_machine.h"

struct bed {
	struct ob *ob;
	struct ob_machine *om;
	struct machine *m;
	struct ob_device *dev; /* the first NVMe controller */
	struct ob_region regs;
	unsigned errors;
};

static void count_errors(void *arg, enum ob_log_level level, const char *message)
{
	struct bed *b = arg;

	if (level == OB_LOG_ERROR)
		b->errors++;
}

static int try_open(struct bed *b, const char *uri)
{
	const struct ob_config config = {.log = count_errors, .log_arg = b};
	const struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND};
	int ret;

	memset(b, 0, sizeof(*b));
	assert_int_equal(ob_create(&config, &b->ob), 0);
	ret = ob_machine_open(b->ob, uri, &options, &b->om);
	if (ret != 0) {
		ob_destroy(b->ob);
		return ret;
	}
	for (struct ob_device *dev = NULL; (dev = ob_device_next(b->om, dev)) != NULL;) {
		struct ob_pci_info info;

		assert_int_equal(ob_pci_info(dev, &info), 0);
		if (info.class_code == NVME_PCI_CLASS && b->dev == NULL)
			b->dev = ob_device_get(dev);
	}
	return 0;
}

static void open_bed(struct bed *b, const char *uri)
{
	struct ob_pci_info info;

	assert_int_equal(try_open(b, uri), 0);
	assert_non_null(b->dev);
	b->m = device_machine(b->dev);
	ob_pci_write(b->dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(ob_pci_info(b->dev, &info), 0);
	assert_int_equal(b->m->ops->region_open(b->m, b->dev, MACHINE_SPACE_MEMORY, info.bar[0].address,
						info.bar[0].len_bytes, &b->regs),
			 0);
}

static void close_bed(struct bed *b)
{
	if (b->regs.context != NULL)
		b->m->ops->region_close(b->m, &b->regs);
	ob_device_put(b->dev);
	ob_machine_close(b->om);
	ob_destroy(b->ob);
}

static int command(struct bed *b, const char *line, char *reply_out, size_t len)
{
	char *reply = NULL;
	int ret = ob_machine_command(b->om, line, &reply, ob_deadline(OB_NS_PER_S));

	if (reply_out != NULL)
		snprintf(reply_out, len, "%s", reply != NULL ? reply : "");
	ob_free(reply);
	return ret;
}

/* ---- configuration ---- */

static void test_config_space_has_the_capabilities(void **state)
{
	struct bed b;
	struct ob_pci_info info;

	open_bed(&b, "model:?nvme=1M&port");
	assert_int_equal(ob_pci_info(b.dev, &info), 0);
	assert_int_equal(info.bus, 1);
	assert_int_equal(info.msix_vectors, 65);
	assert_int_equal(info.bar[0].len_bytes, NVME_MODEL_BAR_BYTES);
	assert_true(info.bar[0].is_64bit && info.express && info.flr);
	assert_int_not_equal(ob_pci_find_capability(b.dev, PCI_CAP_ID_PM, 0), 0);
	assert_int_not_equal(ob_pci_find_capability(b.dev, PCI_CAP_ID_EXPRESS, 0), 0);
	assert_int_not_equal(ob_pci_find_capability(b.dev, PCI_CAP_ID_MSIX, 0), 0);
	/* Read-only stays; sizing reads ones; writes of a byte touch only that byte. */
	ob_pci_write(b.dev, PCI_VENDOR_ID, 2, 0x1234);
	assert_int_equal(ob_pci_read(b.dev, PCI_VENDOR_ID, 2), 0x0b0d);
	ob_pci_write(b.dev, PCI_INTERRUPT_LINE, 1, 0x42);
	assert_int_equal(ob_pci_read(b.dev, PCI_INTERRUPT_LINE, 2), 0x0142);
	close_bed(&b);
}

static void test_registers_with_decoding_off_read_all_ones(void **state)
{
	struct bed b;

	open_bed(&b, "model:");
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_VS), NVME_VERSION(1, 4, 0));
	ob_pci_write(b.dev, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_VS), UINT32_MAX);
	ob_mmio_write32(&b.regs, NVME_AQA, 0x70007);
	ob_pci_write(b.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_AQA), 0);
	close_bed(&b);
}

static void test_registers_behind_a_closed_bridge_read_all_ones(void **state)
{
	struct ob_device *port;
	struct bed b;

	open_bed(&b, "model:?nvme=1M&port");
	port = ob_device_parent(b.dev);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_VS), NVME_VERSION(1, 4, 0));
	ob_pci_write(port, PCI_COMMAND, 2, 0);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_VS), UINT32_MAX);
	ob_pci_write(port, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_VS), NVME_VERSION(1, 4, 0));
	ob_pci_write(port, PCI_BRIDGE_MEMORY_LIMIT, 2, 0);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_VS), UINT32_MAX);
	close_bed(&b);
}

static void test_function_level_reset_clears_registers_and_config(void **state)
{
	struct bed b;
	unsigned cap;

	open_bed(&b, "model:");
	cap = ob_pci_find_capability(b.dev, PCI_CAP_ID_EXPRESS, 0);
	ob_mmio_write32(&b.regs, NVME_AQA, 0x70007);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_AQA), 0x70007);
	ob_pci_write(b.dev, cap + PCIE_DEVCTL, 2, PCIE_DEVCTL_FLR);
	assert_int_equal(ob_pci_read(b.dev, PCI_COMMAND, 2), 0);
	assert_int_equal(ob_pci_read(b.dev, PCI_BAR(0), 4) & PCI_BAR_MEM_ADDRESS, 0);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_AQA), UINT32_MAX);
	ob_pci_write(b.dev, PCI_BAR(0), 4, (uint32_t)b.regs.address);
	ob_pci_write(b.dev, PCI_BAR(1), 4, (uint32_t)(b.regs.address >> 32));
	ob_pci_write(b.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_AQA), 0);
	close_bed(&b);
}

/* ---- a controller that is driven by hand ---- */

struct queue_memory {
	struct machine_dma_memory memory;
	uint64_t iova;
	struct nvme_sqe *sq;
	struct nvme_cqe *cq;
	unsigned tail;
};

static void bring_up(struct bed *b, struct queue_memory *q)
{
	memset(q, 0, sizeof(*q));
	assert_int_equal(b->m->ops->dma_alloc(b->m, 3 * 4096, 4096, &q->memory), 0);
	assert_int_equal(b->m->ops->dma_grant(b->m, b->dev, &q->memory, OB_DMA_BOTH, &q->iova), 0);
	assert_true(q->iova != (uint64_t)(uintptr_t)q->memory.base);
	q->sq = q->memory.base;
	q->cq = (struct nvme_cqe *)(void *)((uint8_t *)q->memory.base + 4096);
	ob_mmio_write32(&b->regs, NVME_AQA, 0x70007);
	ob_mmio_write64(&b->regs, NVME_ASQ, q->iova);
	ob_mmio_write64(&b->regs, NVME_ACQ, q->iova + 4096);
	ob_mmio_write32(&b->regs, NVME_CC,
			NVME_CC_EN | FIELD_PREP(NVME_CC_IOSQES, NVME_SQE_SHIFT) |
				FIELD_PREP(NVME_CC_IOCQES, NVME_CQE_SHIFT));
	assert_int_equal(ob_mmio_read32(&b->regs, NVME_CSTS), NVME_CSTS_RDY);
}

/* Identify controller into @to; not waited for. */
static void submit_identify(struct bed *b, struct queue_memory *q, uint64_t to)
{
	struct nvme_sqe sqe;

	memset(&sqe, 0, sizeof(sqe));
	sqe.cdw0 = ob_cpu_to_le32(NVME_ADMIN_IDENTIFY);
	sqe.cdw10 = ob_cpu_to_le32(NVME_CNS_CONTROLLER);
	sqe.prp1 = ob_cpu_to_le64(to);
	q->sq[q->tail] = sqe;
	q->tail = (q->tail + 1) % 8;
	ob_mmio_write32(&b->regs, NVME_SQTDBL(0, 0), q->tail);
}

static void take_down(struct bed *b, struct queue_memory *q)
{
	ob_mmio_write32(&b->regs, NVME_CC, 0);
	b->m->ops->dma_revoke(b->m, b->dev, &q->memory, q->iova);
	b->m->ops->dma_free(b->m, &q->memory);
}

static void test_dma_outside_of_grants_is_refused_and_logged(void **state)
{
	struct machine_dma_memory other;
	struct queue_memory q;
	char reply[512];
	struct bed b;

	open_bed(&b, "model:");
	bring_up(&b, &q);
	submit_identify(&b, &q, q.iova + 2 * 4096);
	assert_int_equal(ob_le16_load(&q.cq[0].status), 1);
	assert_int_equal(b.m->ops->dma_alloc(b.m, 4096, 4096, &other), 0); /* not granted */
	submit_identify(&b, &q, other.iova);
	assert_int_equal(NVME_CQE_STATUS(ob_le16_load(&q.cq[1].status)), NVME_SC_DATA_TRANSFER_ERROR);
	submit_identify(&b, &q, q.iova + 3 * 4096); /* beyond the end */
	assert_int_equal(NVME_CQE_STATUS(ob_le16_load(&q.cq[2].status)), NVME_SC_DATA_TRANSFER_ERROR);
	submit_identify(&b, &q, (uint64_t)(uintptr_t)q.memory.base); /* a pointer is no address */
	assert_int_equal(NVME_CQE_STATUS(ob_le16_load(&q.cq[3].status)), NVME_SC_DATA_TRANSFER_ERROR);
	submit_identify(&b, &q, q.iova + (1u << 20)); /* far beyond the end */
	assert_int_equal(NVME_CQE_STATUS(ob_le16_load(&q.cq[4].status)), NVME_SC_DATA_TRANSFER_ERROR);
	assert_int_equal(b.errors, 4);
	assert_int_equal(command(&b, "faults", reply, sizeof(reply)), 0);
	assert_non_null(strstr(reply, "4 DMA accesses refused"));
	assert_non_null(strstr(reply, "nvme0 write"));
	b.m->ops->dma_free(b.m, &other);
	take_down(&b, &q);
	close_bed(&b);
}

static void test_dma_without_the_right_or_after_revoke_is_refused(void **state)
{
	struct machine_dma_memory other;
	struct queue_memory q;
	uint64_t iova;
	struct bed b;

	open_bed(&b, "model:");
	bring_up(&b, &q);
	assert_int_equal(b.m->ops->dma_alloc(b.m, 4096, 4096, &other), 0);
	assert_int_equal(b.m->ops->dma_grant(b.m, b.dev, &other, OB_DMA_READ, &iova), 0);
	submit_identify(&b, &q, iova);
	assert_int_equal(NVME_CQE_STATUS(ob_le16_load(&q.cq[0].status)), NVME_SC_DATA_TRANSFER_ERROR);
	assert_int_equal(b.m->ops->dma_grant(b.m, b.dev, &other, OB_DMA_BOTH, &iova), 0);
	submit_identify(&b, &q, iova);
	assert_int_equal(ob_le16_load(&q.cq[1].status), 1);
	b.m->ops->dma_revoke(b.m, b.dev, &other, iova);
	submit_identify(&b, &q, iova);
	assert_int_equal(NVME_CQE_STATUS(ob_le16_load(&q.cq[2].status)), NVME_SC_DATA_TRANSFER_ERROR);
	b.m->ops->dma_free(b.m, &other);
	take_down(&b, &q);
	close_bed(&b);
}

static void test_bus_master_off_makes_the_controller_fatal(void **state)
{
	struct queue_memory q;
	struct bed b;

	open_bed(&b, "model:");
	bring_up(&b, &q);
	ob_pci_write(b.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	submit_identify(&b, &q, q.iova + 2 * 4096);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS);
	assert_int_equal(ob_le16_load(&q.cq[0].status), 0);
	take_down(&b, &q);
	close_bed(&b);
}

static bool fired(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count;

	return poll(&p, 1, 0) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

static void test_msix_through_the_table_masks_and_pends(void **state)
{
	struct machine_msi msi;
	struct queue_memory q;
	struct bed b;
	unsigned cap;

	open_bed(&b, "model:");
	cap = ob_pci_find_capability(b.dev, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(b.m->ops->msi_alloc(b.m, b.dev, 1, false, &msi), 0);
	ob_mmio_write64(&b.regs, NVME_MODEL_MSIX_TABLE, msi.address);
	ob_mmio_write32(&b.regs, NVME_MODEL_MSIX_TABLE + PCI_MSIX_ENTRY_DATA, msi.data);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_MODEL_MSIX_TABLE + PCI_MSIX_ENTRY_CONTROL), 1);
	ob_pci_write(b.dev, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CTL_ENABLE);
	bring_up(&b, &q);
	submit_identify(&b, &q, q.iova + 2 * 4096);
	assert_false(fired(msi.fd));
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_MODEL_MSIX_PBA), 1);
	ob_mmio_write32(&b.regs, NVME_MODEL_MSIX_TABLE + PCI_MSIX_ENTRY_CONTROL, 0);
	assert_true(fired(msi.fd));
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_MODEL_MSIX_PBA), 0);
	submit_identify(&b, &q, q.iova + 2 * 4096);
	assert_true(fired(msi.fd));
	ob_pci_write(b.dev, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CTL_ENABLE | PCI_MSIX_CTL_MASK_ALL);
	submit_identify(&b, &q, q.iova + 2 * 4096);
	assert_false(fired(msi.fd));
	ob_pci_write(b.dev, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CTL_ENABLE);
	assert_true(fired(msi.fd));
	take_down(&b, &q);
	b.m->ops->msi_free(b.m, b.dev, 1, &msi);
	close_bed(&b);
}

static void test_intx_level_reaches_the_line_of_the_root_slot(void **state)
{
	struct machine_intx line;
	struct ob_pci_info info;
	struct queue_memory q;
	struct bed b;

	open_bed(&b, "model:?nvme=1M&nvme=1M&port");
	assert_int_equal(ob_pci_info(b.dev, &info), 0);
	assert_int_equal(b.m->ops->intx_open(b.m, b.dev, info.slot, 1, &line), 0);
	bring_up(&b, &q);
	assert_false(b.m->ops->intx_level(b.m, &line));
	submit_identify(&b, &q, q.iova + 2 * 4096);
	assert_true(fired(line.fd));
	assert_true(b.m->ops->intx_level(b.m, &line));
	assert_true((ob_pci_read(b.dev, PCI_STATUS, 2) & PCI_STATUS_INTX) != 0);
	ob_pci_write(b.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
	assert_false(b.m->ops->intx_level(b.m, &line));
	assert_true((ob_pci_read(b.dev, PCI_STATUS, 2) & PCI_STATUS_INTX) != 0);
	ob_pci_write(b.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(b.m->ops->intx_level(b.m, &line));
	ob_mmio_write32(&b.regs, NVME_CQHDBL(0, 0), 1);
	assert_false(b.m->ops->intx_level(b.m, &line));
	take_down(&b, &q);
	b.m->ops->intx_close(b.m, &line);
	close_bed(&b);
}

static void test_device_that_is_threaded_completes_on_its_own(void **state)
{
	struct queue_memory q;
	uint64_t deadline;
	struct bed b;

	open_bed(&b, "model:?nvme=1M&threaded");
	bring_up(&b, &q);
	submit_identify(&b, &q, q.iova + 2 * 4096);
	deadline = ob_deadline(5 * OB_NS_PER_S);
	while (ob_le16_load(&q.cq[0].status) == 0 && ob_now_ns() < deadline)
		ob_cpu_relax();
	assert_int_equal(ob_le16_load(&q.cq[0].status), 1);
	take_down(&b, &q);
	close_bed(&b);
}

/* ---- presence, description, commands ---- */

static void test_unplugged_device_is_gone_for_everybody(void **state)
{
	struct ob_device *port;
	struct queue_memory q;
	struct bed b;
	unsigned sltsta;

	open_bed(&b, "model:?nvme=1M&port");
	port = ob_device_parent(b.dev);
	sltsta = ob_pci_find_capability(port, PCI_CAP_ID_EXPRESS, 0) + PCIE_SLTSTA;
	assert_int_equal(ob_pci_read(port, sltsta, 2), PCIE_SLTSTA_PRESENT);
	bring_up(&b, &q);
	assert_int_equal(command(&b, "unplug nvme0", NULL, 0), 0);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_CSTS), UINT32_MAX);
	assert_int_equal(ob_pci_read(b.dev, PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(ob_pci_read(port, sltsta, 2), PCIE_SLTSTA_PRES_CHANGE | PCIE_SLTSTA_LINK_CHANGE);
	submit_identify(&b, &q, q.iova + 2 * 4096);
	assert_int_equal(ob_le16_load(&q.cq[0].status), 0);
	ob_pci_write(port, sltsta, 2, PCIE_SLTSTA_PRES_CHANGE);
	assert_int_equal(ob_pci_read(port, sltsta, 2), PCIE_SLTSTA_LINK_CHANGE);
	assert_int_equal(command(&b, "plug nvme0", NULL, 0), 0);
	assert_int_equal(ob_pci_read(b.dev, PCI_VENDOR_ID, 4), 0x00010b0d);
	assert_int_equal(ob_pci_read(b.dev, PCI_COMMAND, 2), 0);
	take_down(&b, &q);
	close_bed(&b);
}

static void test_slot_power_off_takes_the_device_away_until_on(void **state)
{
	struct ob_device *port;
	struct bed b;
	unsigned sltctl;
	uint32_t control;

	open_bed(&b, "model:?nvme=1M&port");
	port = ob_device_parent(b.dev);
	sltctl = ob_pci_find_capability(port, PCI_CAP_ID_EXPRESS, 0) + PCIE_SLTCTL;
	control = ob_pci_read(port, sltctl, 2);
	ob_pci_write(port, sltctl, 2, control | PCIE_SLTCTL_POWER_OFF);
	assert_int_equal(ob_pci_read(b.dev, PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(ob_mmio_read32(&b.regs, NVME_VS), UINT32_MAX);
	ob_pci_write(port, sltctl, 2, control);
	assert_int_equal(ob_pci_read(b.dev, PCI_VENDOR_ID, 4), 0x00010b0d);
	close_bed(&b);
}

static void test_descriptions_that_are_wrong_are_refused(void **state)
{
	static const char *const wrong[] = {
		"model:?nonsense=1", "model:?nvme=1M&block=513",   "model:?nvme=/nonexistent/disk", "model:what",
		"model:?queues=0",   "model:?entries=1",           "model:/nonexistent.dts",        "model:?latency=3h",
		"model:?mdts=99",    "model:?nvme=1M&queues=9999",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct bed b;

		if (try_open(&b, wrong[i]) == 0)
			fail_msg("%s was taken", wrong[i]);
		if (b.errors == 0)
			fail_msg("%s was refused without a word", wrong[i]);
	}
}

static void test_device_tree_makes_what_it_describes(void **state)
{
	static const char source[] =
		"/dts-v1/;\n/ { pci { compatible = \"outboard,pci-host\"; #address-cells = <3>; #size-cells = <2>;\n"
		"port@1 { compatible = \"outboard,pcie-root-port\"; reg = <0x800 0 0 0 0>; #address-cells = <3>;\n"
		"#size-cells = <2>;\n"
		"nvme@0 { compatible = \"outboard,nvme\"; reg = <0 0 0 0 0>; queue-pairs = <4>; serial = \"TREE\";\n"
		"msix-vectors = <5>; #address-cells = <1>; #size-cells = <0>;\n"
		"ns@1 { compatible = \"outboard,nvme-namespace\"; reg = <1>; size = <0 0x800000>; block-size = <4096>; "
		"};\n"
		"ns@7 { compatible = \"outboard,nvme-namespace\"; reg = <7>; null; size = <0x100 0>; }; }; };\n"
		"nvme@2 { compatible = \"outboard,nvme\"; reg = <0x1000 0 0 0 0>; absent; }; }; };\n";
	char path[] = "/tmp/outboard-tree-XXXXXX.dts", uri[64], reply[256];
	struct ob_pci_info info;
	struct bed b;
	int fd = mkstemps(path, 4);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, source, strlen(source)), strlen(source));
	close(fd);
	snprintf(uri, sizeof(uri), "model:%s", path);
	if (system("dtc --version >/dev/null 2>&1") != 0) {
		unlink(path);
		print_message("dtc is not installed\n");
		skip();
	}
	open_bed(&b, uri);
	unlink(path);
	assert_int_equal(ob_pci_info(b.dev, &info), 0);
	assert_int_equal(info.msix_vectors, 5);
	assert_string_equal(ob_device_name(b.dev), "0000:01:00.0");
	assert_int_equal(command(&b, "list", reply, sizeof(reply)), 0);
	assert_string_equal(reply, "port0 port\nnvme0 nvme\nnvme1 nvme absent\n");
	close_bed(&b);
}

static void test_commands_that_are_wrong_are_refused_with_a_reason(void **state)
{
	static const char *const wrong[] = {
		"",
		"nonsense",
		"resize nvme0",
		"resize nvme9 1 1M",
		"resize nvme0 5 1M",
		"plug nvme0",
		"temperature nvme0",
		"fault nvme0 op=x",
		"fault nvme0 op=read",
		"latency nvme0 x",
		"attach nvme0 9",
	};
	char reply[256];
	struct bed b;

	open_bed(&b, "model:");
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		if (command(&b, wrong[i], reply, sizeof(reply)) != -EIO || reply[0] == '\0')
			fail_msg("%s", wrong[i]);
	close_bed(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_space_has_the_capabilities),
		cmocka_unit_test(test_registers_with_decoding_off_read_all_ones),
		cmocka_unit_test(test_registers_behind_a_closed_bridge_read_all_ones),
		cmocka_unit_test(test_function_level_reset_clears_registers_and_config),
		cmocka_unit_test(test_dma_outside_of_grants_is_refused_and_logged),
		cmocka_unit_test(test_dma_without_the_right_or_after_revoke_is_refused),
		cmocka_unit_test(test_bus_master_off_makes_the_controller_fatal),
		cmocka_unit_test(test_msix_through_the_table_masks_and_pends),
		cmocka_unit_test(test_intx_level_reaches_the_line_of_the_root_slot),
		cmocka_unit_test(test_device_that_is_threaded_completes_on_its_own),
		cmocka_unit_test(test_unplugged_device_is_gone_for_everybody),
		cmocka_unit_test(test_slot_power_off_takes_the_device_away_until_on),
		cmocka_unit_test(test_descriptions_that_are_wrong_are_refused),
		cmocka_unit_test(test_device_tree_makes_what_it_describes),
		cmocka_unit_test(test_commands_that_are_wrong_are_refused_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
