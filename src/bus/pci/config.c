/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration access: memory-mapped (ECAM, PCIe 4.0 §7.2.2), by ports (mechanism #1, PCI 3.0 §3.2.2.3.2), or through
 * the machine.
 */
#include "bus/pci/pci.h"

unsigned pci_host_config_len(const struct pci_host *host)
{
	/* The address port has eight bits for the register. */
	return host->desc.ecam_base != 0 || host->desc.config_read != NULL ? PCIE_CONFIG_LEN : PCI_CONFIG_LEN;
}

static bool access_ok(const struct pci_host *host, unsigned offset, unsigned size_bytes)
{
	if (size_bytes != 1 && size_bytes != 2 && size_bytes != 4)
		return false;
	return IS_ALIGNED(offset, size_bytes) && offset < pci_host_config_len(host);
}

static uint32_t all_ones(unsigned size_bytes)
{
	return size_bytes - 1 < 4 ? 0xffffffffu >> (32 - 8 * size_bytes) : 0xffffffffu;
}

static uint64_t ecam_address(const struct pci_host *host, uint16_t bdf, unsigned offset)
{
	return host->desc.ecam_base + ((uint64_t)bdf << PCI_ECAM_BDF_SHIFT) + offset;
}

static uint32_t cf8_address(uint16_t bdf, unsigned offset)
{
	return PCI_CF8_ENABLE | FIELD_PREP(PCI_CF8_BDF, (uint32_t)bdf) | (offset & PCI_CF8_REGISTER);
}

uint32_t pci_host_read(struct pci_host *host, uint16_t bdf, unsigned offset, unsigned size_bytes)
{
	struct machine *m = device_machine(&host->anchor);
	uint32_t value;

	if (OB_READ_ONCE(m->dead) || !access_ok(host, offset, size_bytes))
		return all_ones(size_bytes);
	if (host->desc.ecam_base != 0) {
		value = (uint32_t)m->ops->read(m, MACHINE_SPACE_MEMORY, ecam_address(host, bdf, offset), size_bytes);
	} else if (host->desc.has_cf8) {
		ob_lock(&host->lock);
		m->ops->write(m, MACHINE_SPACE_PORT, PCI_CF8_ADDRESS, 4, cf8_address(bdf, offset));
		value = (uint32_t)m->ops->read(m, MACHINE_SPACE_PORT, PCI_CF8_DATA + (offset & 3), size_bytes);
		ob_unlock(&host->lock);
	} else if (host->desc.config_read == NULL || host->desc.config_read(m, bdf, offset, size_bytes, &value) != 0) {
		value = 0xffffffffu;
	}
	return value & all_ones(size_bytes);
}

void pci_host_write(struct pci_host *host, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value)
{
	struct machine *m = device_machine(&host->anchor);

	if (OB_READ_ONCE(m->dead) || !access_ok(host, offset, size_bytes))
		return;
	value &= all_ones(size_bytes);
	if (host->desc.ecam_base != 0) {
		m->ops->write(m, MACHINE_SPACE_MEMORY, ecam_address(host, bdf, offset), size_bytes, value);
	} else if (host->desc.has_cf8) {
		ob_lock(&host->lock);
		m->ops->write(m, MACHINE_SPACE_PORT, PCI_CF8_ADDRESS, 4, cf8_address(bdf, offset));
		m->ops->write(m, MACHINE_SPACE_PORT, PCI_CF8_DATA + (offset & 3), size_bytes, value);
		ob_unlock(&host->lock);
	} else if (host->desc.config_write != NULL) {
		(void)host->desc.config_write(m, bdf, offset, size_bytes, value);
	}
}

/*
 * Masking an interrupt on one CPU and enabling DMA on another both change this register, and hard context may take no
 * lock. Whoever finds after its write that the wish has changed meanwhile writes again, so the last wish arrives last.
 */
void pci_command_update(struct pci_function *fn, uint16_t clear, uint16_t set)
{
	uint32_t old = __atomic_load_n(&fn->command, __ATOMIC_RELAXED), now;

	do {
		now = (old & ~(uint32_t)clear) | set;
	} while (!__atomic_compare_exchange_n(&fn->command, &old, now, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	do {
		now = __atomic_load_n(&fn->command, __ATOMIC_SEQ_CST);
		pci_write(fn, PCI_COMMAND, 2, now);
	} while (__atomic_load_n(&fn->command, __ATOMIC_SEQ_CST) != now);
}
