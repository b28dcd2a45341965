/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world as the host of device models (model/host.h): DMA goes through iommu.c, interrupts through interrupt.c, time
 * is virtual, and work and events are things that happen on the device's thread.
 */
#include <errno.h>
#include <stdio.h>

#include "sim/fault/fault.h"
#include "sim/machine/iommu.h"
#include "sim/machine/model.h"

static struct sim_device *of(struct model_host *host)
{
	return (struct sim_device *)(void *)host;
}

static int host_dma_read(struct model_host *host, uint64_t iova, void *to, size_t len_bytes)
{
	return of(host)->pci.master ? iommu_read(iova, to, len_bytes) : -EACCES;
}

static int host_dma_look(struct model_host *host, uint64_t iova, void *to, size_t len_bytes)
{
	return of(host)->pci.master ? iommu_look(iova, to, len_bytes) : -EACCES;
}

static int host_dma_write(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	struct sim_device *dev = of(host);
	int ret = dev->pci.master ? iommu_write(iova, from, len_bytes) : -EACCES;

	/* What a word behind it tells of, as a split ring's used index does; data may be as long. */
	if (len_bytes == 8 && ret == 0 && dev->type->holds != NULL && dev->type->holds(dev, iova, len_bytes) != NULL)
		iommu_wrote_entry(iova, len_bytes);
	return ret;
}

/* An entry in the face of faults that befall entries. */
static int publish_faulty(struct sim_device *dev, uint64_t iova, const void *from, size_t len_bytes)
{
	int ret;

	fault_count(FAULT_AT_COMPLETION);
	if (dev->cut != NULL || fault_strike(SIM_FAULT_COMPLETION_LOST) != NULL)
		return 0;
	if (fault_strike(SIM_FAULT_COMPLETION_EARLY) != NULL) {
		/* In a packed ring the rest of it may fall upon what the driver has put there since. */
		W.fault_excuses |= FAULT_EXCUSE_DMA | (len_bytes <= 8 ? FAULT_EXCUSE_NOTES : 0);
		return iommu_publish_early(iova, from, len_bytes);
	}
	ret = iommu_publish(iova, from, len_bytes);
	if (ret == 0 && iommu_reaches(iova + len_bytes, len_bytes) &&
	    fault_strike(SIM_FAULT_COMPLETION_TWICE) != NULL) {
		/*
		 * The second one stands where another will be written, while the driver may be at it; who takes it gives
		 * back more entries than the device knows of.
		 */
		W.fault_excuses |= FAULT_EXCUSE_NOTES | FAULT_EXCUSE_DMA;
		ret = iommu_publish(iova + len_bytes, from, len_bytes);
	}
	return ret;
}

static int host_dma_publish(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	W.commands++;
	if (!of(host)->pci.master)
		return -EACCES;
	if (OB_LIKELY(W.fault_on == 0))
		return iommu_publish(iova, from, len_bytes);
	return publish_faulty(of(host), iova, from, len_bytes);
}

static void host_dma_fence(struct model_host *host)
{
	simdev_step(6);
}

static bool host_msix_enabled(struct model_host *host)
{
	return model_pci_msix_enabled(&of(host)->pci);
}

static void host_msix(struct model_host *host, unsigned vector)
{
	simdev_step(7);
	model_pci_msix_fire(&of(host)->pci, vector);
}

static void host_intx(struct model_host *host, bool level)
{
	model_pci_intx_set(&of(host)->pci, level);
}

static uint64_t host_now_ns(struct model_host *host)
{
	return W.now_ns;
}

void sim_device_derive_due(void)
{
	uint64_t at = MIN(W.fault_due_ns, sim_interrupt_due_ns(sim_machine));

	for (unsigned i = 0; i < sim_machine->device_count; i++)
		at = MIN(at, MIN(sim_machine->devices[i]->due_ns,
				 MIN(sim_machine->devices[i]->insert_ns, sim_machine->devices[i]->cut_ns)));
	W.device_due_ns = at;
	sched_wake_device(at);
}

static void host_schedule(struct model_host *host, uint64_t at_ns)
{
	of(host)->due_ns = at_ns;
	sim_device_derive_due();
}

static void host_kick(struct model_host *host)
{
	of(host)->kicked = true;
	W.device_kicked = true;
	sched_wake_device(W.now_ns);
}

static void *host_alloc(struct model_host *host, size_t len_bytes)
{
	return model_alloc(len_bytes);
}

static void host_free(struct model_host *host, void *memory)
{
}

static void OB_PRINTF(2, 3) host_note(struct model_host *host, const char *format, ...)
{
	char line[LOG_LEN];
	va_list args;

	if ((W.fault_excuses & FAULT_EXCUSE_NOTES) != 0)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* All that the model complains of is a driver's mistake. */
	report_begin("device-protocol", "%s says: %s", of(host)->type->name, line);
	report_end();
}

static const struct model_host_ops host_ops = {
	.dma_read = host_dma_read,
	.dma_look = host_dma_look,
	.dma_write = host_dma_write,
	.dma_publish = host_dma_publish,
	.dma_fence = host_dma_fence,
	.msix_enabled = host_msix_enabled,
	.msix = host_msix,
	.intx = host_intx,
	.now_ns = host_now_ns,
	.schedule = host_schedule,
	.kick = host_kick,
	.alloc = host_alloc,
	.free = host_free,
	.note = host_note,
};

/* Behind a port of its own the device can be pulled out, and another one be found in its place. */
static int port_create(struct sim_machine *m, struct sim_device *dev, uint8_t devfn)
{
	dev->port = model_alloc(sizeof(*dev->port));
	if (dev->port == NULL)
		return -ENOMEM;
	model_pci_port_init(dev->port, &m->root.bus, devfn, (uint16_t)(m->device_count + 1));
	model_pci_ready(dev->port, true);
	return 0;
}

int sim_device_create(struct sim_machine *m, const struct sim_device_type *type)
{
	uint8_t devfn = (uint8_t)((SIM_FIRST_SLOT + m->device_count) << 3);
	struct sim_device *dev = model_alloc(sizeof(*dev));
	int ret = 0;

	if (dev == NULL || m->device_count == SIM_DEVICES_MAX)
		return -ENOMEM;
	dev->host.ops = &host_ops;
	dev->type = type;
	for (unsigned bar = 0; bar < PCI_BAR_COUNT_DEVICE; bar++)
		dev->seen_at[bar] = MODEL_PCI_DEAD;
	dev->due_ns = dev->insert_ns = dev->cut_ns = NEVER;
	m->devices[m->device_count] = dev;
	if (W.config.slot)
		ret = port_create(m, dev, devfn);
	if (ret == 0)
		ret = W.config.slot ? type->create(dev, &dev->port->secondary, 0)
				    : type->create(dev, &m->root.bus, devfn);
	if (ret != 0)
		return ret;
	m->device_count++;
	model_pci_ready(&dev->pci, true);
	return 0;
}

/* ---- on the device's thread ---- */

static bool run_kicked(struct sim_machine *m)
{
	for (unsigned i = 0; i < m->device_count; i++) {
		struct sim_device *dev = m->devices[i];

		if (!dev->kicked)
			continue;
		dev->kicked = false;
		if (dev->type->run(dev))
			dev->kicked = true;
		return true;
	}
	W.device_kicked = false;
	return false;
}

static bool run_due(struct sim_machine *m)
{
	for (unsigned i = 0; i < m->device_count; i++) {
		struct sim_device *dev = m->devices[i];

		if (dev->due_ns > W.now_ns)
			continue;
		dev->due_ns = NEVER;
		sim_device_derive_due();
		dev->type->event(dev);
		return true;
	}
	return false;
}

void sim_device_break(void)
{
	world_capture();
	W.device_breaks = true;
	sched_wake_device(W.now_ns);
}

/* Something that a device does of its own; false: none has anything to do. */
bool machine_work(void)
{
	struct sim_machine *m = sim_machine;

	if (probe_work())
		return true;
	if (m == NULL) {
		/* A line of a script came due that can strike nobody: it waits for a machine. */
		if (W.fault_due_ns <= W.now_ns) {
			fault_derive_due();
			W.device_due_ns = W.fault_due_ns;
		}
		return false;
	}
	if (OB_UNLIKELY(W.device_breaks)) {
		W.device_breaks = false;
		fault_device_fail(m->devices[0]);
		return true;
	}
	if (W.fault_on != 0 &&
	    (W.fault_commands != W.commands || W.device_due_ns <= W.now_ns || W.config.fault_script != NULL) &&
	    fault_devices(m))
		return true;
	if (W.device_kicked && run_kicked(m))
		return true;
	return W.device_due_ns <= W.now_ns && (sim_interrupt_due(m) || run_due(m));
}
