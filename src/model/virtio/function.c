/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A modelled virtio device as a PCI function, modern only (VIRTIO 1.2 §4.1): where its structures are, and who gets which
 * access. It has no window for access through configuration space (§4.1.4.9), which firmware would use.
 */
#include <string.h>

#include "model/virtio/virtio_model.h"

#define REVISION 1u /* §4.1.2.1: not transitional */

static bool in(uint64_t offset, unsigned size_bytes, uint64_t start, uint64_t len_bytes)
{
	return offset >= start && offset + size_bytes <= start + len_bytes;
}

/* ---- the class's configuration ---- */

/* A field as it lies there, little endian, in CPU order; and back. */
static uint64_t field_load(const uint8_t *at, unsigned size_bytes)
{
	ob_le16 v16;
	ob_le32 v32;
	ob_le64 v64;

	switch (size_bytes) {
	case 2:
		memcpy(&v16, at, sizeof(v16));
		return ob_le16_to_cpu(v16);
	case 4:
		memcpy(&v32, at, sizeof(v32));
		return ob_le32_to_cpu(v32);
	case 8:
		memcpy(&v64, at, sizeof(v64));
		return ob_le64_to_cpu(v64);
	default:
		return *at;
	}
}

static void field_store(uint8_t *at, unsigned size_bytes, uint64_t value)
{
	const ob_le16 v16 = ob_cpu_to_le16((uint16_t)value);
	const ob_le32 v32 = ob_cpu_to_le32((uint32_t)value);
	const ob_le64 v64 = ob_cpu_to_le64(value);
	const uint8_t v8 = (uint8_t)value;

	memcpy(at,
	       size_bytes == 2   ? (const void *)&v16
	       : size_bytes == 4 ? (const void *)&v32
	       : size_bytes == 8 ? (const void *)&v64
				 : (const void *)&v8,
	       size_bytes);
}

static uint64_t space_read(struct virtio_model *v, unsigned offset, unsigned size_bytes)
{
	uint64_t value = field_load(v->space + offset, size_bytes);

	return v->hooks.config != NULL ? v->hooks.config(v->hooks.arg, offset, size_bytes, value) : value;
}

static void space_write(struct virtio_model *v, unsigned offset, unsigned size_bytes, uint64_t value)
{
	struct model_host *host = v->host;

	for (unsigned i = 0; i < size_bytes; i++) {
		if (v->space_writable == NULL || v->space_writable[offset + i] == 0) {
			host->ops->note(host, "byte %u of the configuration is not to be written", offset + i);
			return;
		}
	}
	field_store(v->space + offset, size_bytes, value);
	if (v->ops->configured != NULL)
		v->ops->configured(v, offset, size_bytes);
}

/* ---- registers ---- */

static uint64_t function_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	struct virtio_model *v = f->model;
	uint64_t value;

	if (in(offset, size_bytes, VIRTIO_MODEL_COMMON, VIRTIO_COMMON_BYTES_MAX))
		return virtio_model_common_read(v, (unsigned)(offset - VIRTIO_MODEL_COMMON), size_bytes);
	if (in(offset, size_bytes, VIRTIO_MODEL_DEVICE, v->space_bytes))
		return space_read(v, (unsigned)(offset - VIRTIO_MODEL_DEVICE), size_bytes);
	if (offset != VIRTIO_MODEL_ISR)
		return 0;
	value = v->isr;
	v->isr = 0; /* and the pin goes down (§4.1.4.5) */
	virtio_model_pin_update(v);
	return value;
}

static void function_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct virtio_model *v = f->model;
	struct model_host *host = v->host;

	if (OB_LIKELY(in(offset, size_bytes, VIRTIO_MODEL_NOTIFY, v->config.queue_count * VIRTIO_MODEL_MULTIPLIER)))
		virtio_model_notified(v, (unsigned)(offset - VIRTIO_MODEL_NOTIFY) / VIRTIO_MODEL_MULTIPLIER, size_bytes,
				      (uint32_t)value);
	else if (in(offset, size_bytes, VIRTIO_MODEL_COMMON, VIRTIO_COMMON_BYTES_MAX))
		virtio_model_common_write(v, (unsigned)(offset - VIRTIO_MODEL_COMMON), size_bytes, (uint32_t)value);
	else if (in(offset, size_bytes, VIRTIO_MODEL_DEVICE, v->space_bytes))
		space_write(v, (unsigned)(offset - VIRTIO_MODEL_DEVICE), size_bytes, value);
	else
		host->ops->note(host, "a write of %u bytes at %#llx, where nothing is", size_bytes,
				(unsigned long long)offset);
}

static void function_reset(struct model_pci *f)
{
	virtio_model_reset(f->model);
}

static void function_changed(struct model_pci *f)
{
	virtio_model_pin_update(f->model);
}

static void function_sleeps(struct model_pci *f)
{
	const struct virtio_model *v = f->model;
	struct model_host *host = v->host;

	if ((v->status & VIRTIO_STATUS_DRIVER_OK) != 0)
		host->ops->note(host, "put to D3hot while it works");
}

const struct model_pci_ops virtio_model_function_ops = {
	.read = function_read,
	.write = function_write,
	.reset = function_reset,
	.changed = function_changed,
	.sleeps = function_sleeps,
};

/* ---- making it ---- */

static unsigned add_structure(struct model_pci *f, unsigned type, uint32_t offset, uint32_t len_bytes,
			      unsigned cap_bytes)
{
	unsigned cap = model_pci_add_capability(f, PCI_CAP_ID_VENDOR, cap_bytes);

	model_pci_set(f, cap + VIRTIO_PCI_CAP_LEN, 1, cap_bytes);
	model_pci_set(f, cap + VIRTIO_PCI_CAP_TYPE, 1, type);
	model_pci_set(f, cap + VIRTIO_PCI_CAP_BAR, 1, VIRTIO_MODEL_BAR);
	model_pci_set(f, cap + VIRTIO_PCI_CAP_OFFSET, 4, offset);
	model_pci_set(f, cap + VIRTIO_PCI_CAP_LENGTH, 4, len_bytes);
	return cap;
}

int virtio_model_function_init(struct virtio_model *v, struct model_pci *f, struct model_pci_bus *bus, uint8_t devfn)
{
	const struct model_pci_id id = {
		.vendor = VIRTIO_PCI_VENDOR,
		.device = (uint16_t)VIRTIO_PCI_DEVICE(v->config.id),
		.subvendor = VIRTIO_PCI_VENDOR,
		.subdevice = 0x40,
		.class_code = v->config.class_code,
		.revision = REVISION,
		.pin = 1,
	};
	unsigned cap;

	model_pci_init(f, bus, devfn, &id, &virtio_model_function_ops);
	f->model = v;
	v->function = f;
	model_pci_add_bar(f, VIRTIO_MODEL_BAR, VIRTIO_MODEL_BAR_BYTES, true, false);
	model_pci_add_pm(f);
	if (v->config.retains)
		model_pci_keep_state(f);
	model_pci_add_express(f, bus->bridge != NULL ? PCIE_TYPE_ENDPOINT : PCIE_TYPE_RC_ENDPOINT);
	add_structure(f, VIRTIO_PCI_CAP_COMMON, VIRTIO_MODEL_COMMON, VIRTIO_COMMON_BYTES_MAX, VIRTIO_PCI_CAP_BYTES);
	add_structure(f, VIRTIO_PCI_CAP_ISR, VIRTIO_MODEL_ISR, 1, VIRTIO_PCI_CAP_BYTES);
	add_structure(f, VIRTIO_PCI_CAP_DEVICE, VIRTIO_MODEL_DEVICE, v->space_bytes, VIRTIO_PCI_CAP_BYTES);
	cap = add_structure(f, VIRTIO_PCI_CAP_NOTIFY, VIRTIO_MODEL_NOTIFY,
			    v->config.queue_count * VIRTIO_MODEL_MULTIPLIER, VIRTIO_PCI_CAP_NOTIFY_BYTES);
	model_pci_set(f, cap + VIRTIO_PCI_CAP_MULTIPLIER, 4, VIRTIO_MODEL_MULTIPLIER);
	if (v->config.msix_vectors == 0)
		return 0;
	return model_pci_add_msix(f, v->config.msix_vectors, VIRTIO_MODEL_BAR, VIRTIO_MODEL_MSIX_TABLE,
				  VIRTIO_MODEL_MSIX_PBA);
}
