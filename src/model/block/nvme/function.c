/* SPDX-License-Identifier: BSD-2-Clause */
/* The controller as a PCI function, the same on every host that has PCI (NVMe 1.4 §2). */
#include "model/block/nvme/controller.h"

#define DEVICE_ID    0x0001u /* of the vendor id in the configuration */
#define SUBDEVICE_ID 0x1100u

static uint64_t function_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	return bar == NVME_MODEL_CMB_BAR ? nvme_model_cmb_load(f->model, offset, size_bytes)
					 : nvme_model_read(f->model, offset, size_bytes);
}

static void function_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	if (OB_UNLIKELY(bar == NVME_MODEL_CMB_BAR))
		nvme_model_cmb_store(f->model, offset, size_bytes, value);
	else
		nvme_model_write(f->model, offset, size_bytes, value);
}

static void function_reset(struct model_pci *f)
{
	nvme_model_reset(f->model);
}

static void function_changed(struct model_pci *f)
{
	nvme_model_interrupts_changed(f->model);
}

static void function_sleeps(struct model_pci *f)
{
	nvme_model_sleep(f->model);
}

const struct model_pci_ops nvme_model_function_ops = {
	.read = function_read,
	.write = function_write,
	.reset = function_reset,
	.changed = function_changed,
	.sleeps = function_sleeps,
};

static uint64_t bar_bytes(uint32_t len_bytes)
{
	uint64_t bytes = 4096;

	while (bytes < len_bytes)
		bytes *= 2;
	return bytes;
}

int nvme_model_function_init(struct nvme_model *n, struct model_pci *f, struct model_pci_bus *bus, uint8_t devfn)
{
	const struct model_pci_id id = {
		.vendor = n->config.vendor,
		.device = DEVICE_ID,
		.subvendor = n->config.subvendor,
		.subdevice = SUBDEVICE_ID,
		.class_code = NVME_PCI_CLASS,
		.revision = 2,
		.pin = 1,
	};

	model_pci_init(f, bus, devfn, &id, &nvme_model_function_ops);
	f->model = n;
	model_pci_add_bar(f, NVME_PCI_BAR, NVME_MODEL_BAR_BYTES, true, false);
	n->function = f;
	if (n->cmb != NULL)
		model_pci_add_bar(f, NVME_MODEL_CMB_BAR, bar_bytes(n->config.cmb_bytes), true, true);
	model_pci_add_pm(f);
	if (n->config.retains)
		model_pci_keep_state(f);
	model_pci_add_express(f, bus->bridge != NULL ? PCIE_TYPE_ENDPOINT : PCIE_TYPE_RC_ENDPOINT);
	if (n->config.msix_vectors == 0)
		return 0;
	return model_pci_add_msix(f, n->config.msix_vectors, NVME_PCI_BAR, NVME_MODEL_MSIX_TABLE, NVME_MODEL_MSIX_PBA);
}
