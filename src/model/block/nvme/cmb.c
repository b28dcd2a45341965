/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller memory buffer: memory in a BAR of its own, which the controller also finds at addresses of its host's
 * choice (NVMe 1.4 §3.1.11, §3.1.12, §3.1.16, §4.7), or, as before 1.4, at the BAR's.
 */
#include <errno.h>
#include <string.h>

#include "model/block/nvme/controller.h"
#include "model/pci/pci_model.h"

#define UNIT_SHIFT 12u
#define UNIT_STEP  4u /* shift per step of CMBSZ.SZU */
#define MIB_UNIT   2u /* CMBSZ.SZU for 1 MiB */

int nvme_model_cmb_init(struct nvme_model *n)
{
	struct model_host *host = n->host;
	uint32_t len_bytes = n->config.cmb_bytes;
	unsigned unit = IS_ALIGNED(len_bytes, 1u << 20) ? MIB_UNIT : 0;

	if (len_bytes == 0)
		return 0;
	n->cmb = host->ops->alloc(host, len_bytes);
	if (n->cmb == NULL)
		return -ENOMEM;
	/* Data may be anywhere and mixed; a queue is all inside or all outside. */
	n->cmbloc = FIELD_PREP(NVME_CMBLOC_BIR, (uint32_t)NVME_MODEL_CMB_BAR) | NVME_CMBLOC_CDPMLS | NVME_CMBLOC_CDPCIL;
	n->cmbsz = FIELD_PREP(NVME_CMBSZ_SZ, len_bytes >> (UNIT_SHIFT + UNIT_STEP * unit)) |
		   FIELD_PREP(NVME_CMBSZ_SZU, unit) | n->config.cmb_uses;
	n->cmb_mapped = n->config.cmb_legacy;
	if (!n->config.cmb_legacy)
		n->cap |= NVME_CAP_CMBS;
	return 0;
}

/* By anything but CC.EN, which leaves it alone. */
void nvme_model_cmb_reset(struct nvme_model *n)
{
	if (n->cmb == NULL)
		return;
	memset(n->cmb, 0, n->config.cmb_bytes);
	n->cmbmsc = 0;
	n->cmbsts = 0;
	n->cmb_mapped = n->config.cmb_legacy;
}

/* ---- registers ---- */

uint32_t nvme_model_cmb_register(const struct nvme_model *n, uint64_t offset)
{
	bool told = n->cmb != NULL && (n->config.cmb_legacy || (n->cmbmsc & NVME_CMBMSC_CRE) != 0);

	switch (offset) {
	case NVME_CMBLOC:
		return told ? n->cmbloc : 0;
	case NVME_CMBSZ:
		return told ? n->cmbsz : 0;
	case NVME_CMBMSC:
		return (uint32_t)n->cmbmsc;
	case NVME_CMBMSC + 4:
		return (uint32_t)(n->cmbmsc >> 32);
	default:
		return n->cmbsts;
	}
}

void nvme_model_cmb_control(struct nvme_model *n, bool high, uint32_t value)
{
	uint64_t base;

	if ((n->cap & NVME_CAP_CMBS) == 0)
		return;
	if (high) {
		n->cmbmsc = (uint32_t)n->cmbmsc | (uint64_t)value << 32;
		return;
	}
	n->cmbmsc = (n->cmbmsc & ~(uint64_t)UINT32_MAX) |
		    (value & (uint32_t)(NVME_CMBMSC_CRE | NVME_CMBMSC_CMSE | NVME_CMBMSC_CBA));
	n->cmbsts = 0;
	n->cmb_mapped = false;
	if ((n->cmbmsc & NVME_CMBMSC_CRE) == 0 || (n->cmbmsc & NVME_CMBMSC_CMSE) == 0)
		return;
	base = n->cmbmsc & NVME_CMBMSC_CBA;
	if (base + n->config.cmb_bytes < base)
		n->cmbsts = NVME_CMBSTS_CBAI;
	else
		n->cmb_mapped = true;
}

/* ---- the host's way in ---- */

static bool is_inside(const struct nvme_model *n, uint64_t offset, unsigned size_bytes)
{
	return IS_ALIGNED(offset, size_bytes) && offset < n->config.cmb_bytes &&
	       size_bytes <= n->config.cmb_bytes - offset;
}

/* As the bus has it: the value's low byte at the lowest address, whatever the host's byte order. */
uint64_t nvme_model_cmb_load(const struct nvme_model *n, uint64_t offset, unsigned size_bytes)
{
	const void *at;

	/* The BAR is a power of two, the buffer may be less. */
	if (!is_inside(n, offset, size_bytes))
		return UINT64_MAX;
	at = n->cmb + offset;
	switch (size_bytes) {
	case 8:
		return ob_le64_load(at);
	case 4:
		return ob_le32_load(at);
	case 2:
		return ob_le16_load(at);
	default:
		return n->cmb[offset];
	}
}

void nvme_model_cmb_store(struct nvme_model *n, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	void *at;

	if (!is_inside(n, offset, size_bytes))
		return;
	at = n->cmb + offset;
	switch (size_bytes) {
	case 8:
		ob_le64_store(at, value);
		break;
	case 4:
		ob_le32_store(at, (uint32_t)value);
		break;
	case 2:
		ob_le16_store(at, (uint16_t)value);
		break;
	default:
		n->cmb[offset] = (uint8_t)value;
		break;
	}
}

/* ---- the controller's ---- */

uint64_t nvme_model_cmb_base(const struct nvme_model *n)
{
	if (!n->config.cmb_legacy)
		return n->cmbmsc & NVME_CMBMSC_CBA;
	return n->function != NULL ? OB_READ_ONCE(n->function->live[NVME_MODEL_CMB_BAR]) : MODEL_PCI_DEAD;
}

enum nvme_cmb_share nvme_model_cmb_share(const struct nvme_model *n, uint64_t iova, uint64_t len_bytes)
{
	uint64_t base, size = n->config.cmb_bytes;

	if (!n->cmb_mapped || len_bytes == 0)
		return NVME_CMB_NONE;
	base = nvme_model_cmb_base(n);
	if (base == MODEL_PCI_DEAD)
		return NVME_CMB_NONE;
	if (iova >= base && iova - base < size)
		return len_bytes <= size - (iova - base) ? NVME_CMB_ALL : NVME_CMB_PART;
	return iova < base && base - iova < len_bytes ? NVME_CMB_PART : NVME_CMB_NONE;
}

int nvme_model_cmb_read(const struct nvme_model *n, uint64_t iova, void *to, size_t len_bytes)
{
	if (nvme_model_cmb_share(n, iova, len_bytes) != NVME_CMB_ALL)
		return -EFAULT;
	memcpy(to, n->cmb + (iova - nvme_model_cmb_base(n)), len_bytes);
	return 0;
}

int nvme_model_cmb_write(struct nvme_model *n, uint64_t iova, const void *from, size_t len_bytes)
{
	if (nvme_model_cmb_share(n, iova, len_bytes) != NVME_CMB_ALL)
		return -EFAULT;
	memcpy(n->cmb + (iova - nvme_model_cmb_base(n)), from, len_bytes);
	return 0;
}

bool nvme_model_cmb_allows(const struct nvme_model *n, uint64_t iova, uint64_t len_bytes, uint32_t use)
{
	enum nvme_cmb_share share = nvme_model_cmb_share(n, iova, len_bytes);

	return share == NVME_CMB_NONE || (share == NVME_CMB_ALL && (n->config.cmb_uses & use) != 0);
}
