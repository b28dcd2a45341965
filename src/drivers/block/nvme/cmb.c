/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller memory buffer (NVM Express 1.4 §3.1.11, §3.1.12, §3.1.16, §4.7): submission queues in the controller's
 * own memory, so that it fetches commands without a trip to the host's. Off unless the program asks for it.
 *
 * Entries are made in the host's memory as always and copied there before the doorbell rings: what copies is the write
 * of the processor, posted like the doorbell behind it, so it costs no wait. Only 4 KiB pages of the first
 * PAGES_MAX are used.
 */
#include <errno.h>

#include <outboard/pci.h>

#include "drivers/block/nvme/nvme.h"
#include "spec/pci.h"

#define UNIT_SHIFT    12u
#define UNIT_STEP     4u
#define UNIT_LAST     6u /* CMBSZ.SZU: 64 GiB; what is above is reserved */
#define CONTROL_START (NVME_CMBMSC_CRE | NVME_CMBMSC_CMSE)

/*
 * Where the controller finds its buffer is for the host to say, and must not be where its other addresses lead. No
 * machine and no IOMMU hands out one of more than 57 bits.
 */
#define OWN_ADDRESS BIT64(62)

int nvme_cmb_parse(uint32_t cmbloc, uint32_t cmbsz, uint32_t regs_bytes, struct nvme_cmb_place *out)
{
	unsigned unit = FIELD_GET(NVME_CMBSZ_SZU, cmbsz), bar = FIELD_GET(NVME_CMBLOC_BIR, cmbloc);
	unsigned shift = UNIT_SHIFT + UNIT_STEP * unit;

	/* 20 bits of units of at most 2^36: nothing overflows. */
	if (unit > UNIT_LAST || bar == 1 || bar >= PCI_BAR_COUNT_DEVICE)
		return -EIO;
	*out = (struct nvme_cmb_place){
		.bar = bar,
		.offset = (uint64_t)FIELD_GET(NVME_CMBLOC_OFST, cmbloc) << shift,
		.len_bytes = (uint64_t)FIELD_GET(NVME_CMBSZ_SZ, cmbsz) << shift,
		.queues = (cmbsz & NVME_CMBSZ_SQS) != 0,
	};
	if (out->len_bytes == 0)
		return -ENOENT;
	/* It may share the registers' BAR, but not their place. */
	return bar == NVME_PCI_BAR && out->offset < regs_bytes ? -EIO : 0;
}

bool nvme_cmb_meets(const struct nvme_cmb_place *place, uint32_t where, uint64_t len_bytes)
{
	uint64_t offset = where & PCI_MSIX_OFFSET;

	return FIELD_GET(PCI_MSIX_BIR, where) == place->bar && offset < place->offset + place->len_bytes &&
	       place->offset < offset + len_bytes;
}

/* Commands in the table or the pending bits would be interrupts to anywhere. */
static bool meets_interrupts(struct nvme *n, const struct nvme_cmb_place *place)
{
	unsigned at = ob_pci_find_capability(n->dev, PCI_CAP_ID_MSIX, 0);
	uint32_t table, pending, vectors;

	if (at == 0)
		return false;
	vectors = FIELD_GET(PCI_MSIX_CTL_TABLE_SIZE, ob_pci_read(n->dev, at + PCI_MSIX_CONTROL, 2)) + 1;
	table = ob_pci_read(n->dev, at + PCI_MSIX_TABLE, 4);
	pending = ob_pci_read(n->dev, at + PCI_MSIX_PBA, 4);
	/* A bit for each vector, in words of 64. */
	return nvme_cmb_meets(place, table, (uint64_t)vectors * PCI_MSIX_ENTRY_LEN) ||
	       nvme_cmb_meets(place, pending, (uint64_t)DIV_ROUND_UP(vectors, 64u) * 8);
}

static uint32_t regs_bytes(const struct nvme *n)
{
	return NVME_CQHDBL(NVME_QUEUES_WISHED, n->dstrd) + 4;
}

/* What the registers say now. */
static int find(struct nvme *n, struct nvme_cmb_place *out)
{
	uint32_t cmbloc, cmbsz;

	if ((n->cap & NVME_CAP_CMBS) != 0 && !n->cmb.on)
		ob_mmio_write32(&n->regs, NVME_CMBMSC, (uint32_t)NVME_CMBMSC_CRE);
	cmbsz = ob_mmio_read32(&n->regs, NVME_CMBSZ);
	cmbloc = ob_mmio_read32(&n->regs, NVME_CMBLOC);
	if (cmbsz == UINT32_MAX && cmbloc == UINT32_MAX)
		return ob_device_is_present(n->dev) ? -EIO : -ENODEV;
	return nvme_cmb_parse(cmbloc, cmbsz, regs_bytes(n), out);
}

/* Only where it can be reached, and as much of it as its BAR has. */
static int open_region(struct nvme *n, struct nvme_cmb_place *place)
{
	int ret = ob_device_region(n->dev, place->bar, &n->cmb.region);

	if (ret != 0)
		return ret;
	if (place->offset >= n->cmb.region.len_bytes)
		return -EIO;
	place->len_bytes = MIN(place->len_bytes, n->cmb.region.len_bytes - place->offset);
	return meets_interrupts(n, place) ? -EIO : 0;
}

/* Where the controller finds it: where we say, or, before 1.4, where it is on the bus. 0: nowhere. */
static uint64_t own_address(struct nvme *n, const struct nvme_cmb_place *place)
{
	struct ob_pci_info info;

	if ((n->cap & NVME_CAP_CMBS) != 0 && (n->quirks & NVME_QUIRK_CMB_AT_BAR) == 0)
		return OWN_ADDRESS;
	if (ob_pci_info(n->dev, &info) != 0 || info.bar[place->bar].address == 0)
		return 0;
	return info.bar[place->bar].address + place->offset;
}

/* Tell the controller, also after a reset. Upper half first: the lower one makes it take effect. */
static int map_it(struct nvme *n)
{
	uint64_t control = n->cmb.address | CONTROL_START;
	uint32_t status;

	if ((n->cap & NVME_CAP_CMBS) == 0)
		return 0;
	ob_mmio_write32(&n->regs, NVME_CMBMSC + 4, (uint32_t)(control >> 32));
	ob_mmio_write32(&n->regs, NVME_CMBMSC, (uint32_t)control);
	status = ob_mmio_read32(&n->regs, NVME_CMBSTS);
	if ((status & NVME_CMBSTS_CBAI) == 0)
		return 0;
	if (status == UINT32_MAX && !ob_device_is_present(n->dev))
		return -ENODEV;
	ob_err(n->ob, "%s: its memory buffer cannot be at %#llx", n->name, (unsigned long long)n->cmb.address);
	return -EIO;
}

int nvme_cmb_use(struct nvme *n, bool on)
{
	struct nvme_cmb_place place;
	int ret;

	n->cmb.wanted = on;
	if (!on || n->cmb.on)
		return 0;
	ret = find(n, &place);
	if (ret == 0 && !place.queues)
		ret = -ENOENT;
	if (ret == 0)
		ret = open_region(n, &place);
	if (ret == 0) {
		n->cmb.address = own_address(n, &place);
		ret = n->cmb.address != 0 ? map_it(n) : -ENOENT;
	}
	if (ret != 0) {
		ob_warn(n->ob, "%s: no memory buffer for queues: %s", n->name,
			ret == -ENOENT   ? "it offers none"
			: ret == -ENODEV ? "it does not answer"
					 : "what it says of it makes no sense");
		n->cmb.wanted = false;
		return ret == -ENODEV ? ret : -EOPNOTSUPP;
	}
	n->cmb.place = place;
	n->cmb.on = true;
	ob_info(n->ob, "%s: %llu KiB of its own memory for submission queues", n->name,
		(unsigned long long)place.len_bytes / 1024);
	return 0;
}

int nvme_cmb_restore(struct nvme *n)
{
	struct nvme_cmb_place place;
	int ret;

	if (!n->cmb.on)
		return 0;
	ret = map_it(n);
	if (ret == 0)
		ret = find(n, &place);
	if (ret == 0 && (place.bar != n->cmb.place.bar || place.offset != n->cmb.place.offset || !place.queues ||
			 place.len_bytes < n->cmb.place.len_bytes))
		ret = -EIO;
	if (ret == 0 || ret == -ENODEV)
		return ret;
	ob_err(n->ob, "%s: its memory buffer is not what it was", n->name);
	return -EIO;
}

/* ---- its pages ---- */

static bool page_is_used(const struct nvme *n, unsigned page)
{
	return (n->cmb.used[page / 64] & BIT64(page % 64)) != 0;
}

static void mark(struct nvme *n, unsigned first, unsigned count, bool used)
{
	for (unsigned page = first; page < first + count; page++) {
		if (used)
			n->cmb.used[page / 64] |= BIT64(page % 64);
		else
			n->cmb.used[page / 64] &= ~BIT64(page % 64);
	}
}

static unsigned ring_pages(const struct nvme_ring *r)
{
	return (unsigned)DIV_ROUND_UP(((size_t)r->mask + 1) * sizeof(struct nvme_sqe), NVME_PAGE_BYTES);
}

bool nvme_cmb_take(struct nvme *n, struct nvme_ring *r)
{
	unsigned pages = (unsigned)MIN(n->cmb.place.len_bytes / NVME_PAGE_BYTES, (uint64_t)NVME_CMB_PAGES_MAX);
	unsigned need = ring_pages(r), run = 0;

	if (!n->cmb.on || !n->cmb.wanted)
		return false;
	for (unsigned page = 0; page < pages; page++) {
		run = page_is_used(n, page) ? 0 : run + 1;
		if (run < need)
			continue;
		mark(n, page + 1 - need, need, true);
		r->cmb_offset = n->cmb.place.offset + (uint64_t)(page + 1 - need) * NVME_PAGE_BYTES;
		r->sq_address = n->cmb.address + (r->cmb_offset - n->cmb.place.offset);
		r->cmb = &n->cmb.region;
		return true;
	}
	ob_info(n->ob, "%s: no room in its memory buffer for a queue of %u entries", n->name, r->mask + 1);
	return false;
}

void nvme_cmb_give(struct nvme *n, struct nvme_ring *r)
{
	if (r->cmb == NULL)
		return;
	mark(n, (unsigned)((r->cmb_offset - n->cmb.place.offset) / NVME_PAGE_BYTES), ring_pages(r), false);
	r->cmb = NULL;
}

/* ---- the queue's CPU ---- */

void nvme_ring_copy_out(struct nvme_ring *r)
{
	uint32_t last = 0;

	for (uint32_t i = r->sq_told; i != r->sq_tail; i = (i + 1) & r->mask) {
		const ob_le64 *word = (const ob_le64 *)(const void *)&r->sq[i];
		uint64_t at = r->cmb_offset + (uint64_t)i * sizeof(struct nvme_sqe);

		for (unsigned w = 0; w < sizeof(struct nvme_sqe) / sizeof(*word); w++)
			ob_mmio_write64_relaxed(r->cmb, at + w * sizeof(*word), ob_le64_load(&word[w]));
		last = i;
	}
	/*
	 * A doorbell register is written behind these, and arrives behind them. A shadow is a store to memory, which the
	 * device may read before they arrive: a read brings them all in (PCI Express 5.0 §2.4.1).
	 */
	if (r->shadow_sq != NULL)
		(void)ob_mmio_read32(r->cmb, r->cmb_offset + (uint64_t)last * sizeof(struct nvme_sqe));
}
