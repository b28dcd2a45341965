/* SPDX-License-Identifier: BSD-2-Clause */
/* The model machine: opened by a description, closed without a trace. */
#include <errno.h>
#include <stdlib.h>

#include <outboard/log.h>

#include "machine/model/model_machine.h"

/* Where BARs go: nothing else is in this address space. */
#define MEM32_BASE 0x80000000ull
#define MEM32_LEN  0x40000000ull
#define MEM64_BASE 0x8000000000ull
#define MEM64_LEN  0x4000000000ull

static int config_read(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t *value)
{
	struct model_machine *mm = model_of(m);

	pthread_mutex_lock(&mm->config_lock);
	*value = model_pci_config_read(&mm->root, bdf, offset, size_bytes);
	pthread_mutex_unlock(&mm->config_lock);
	return 0;
}

static int config_write(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value)
{
	struct model_machine *mm = model_of(m);

	pthread_mutex_lock(&mm->config_lock);
	model_pci_config_write(&mm->root, bdf, offset, size_bytes, value);
	pthread_mutex_unlock(&mm->config_lock);
	return 0;
}

static const struct machine_bus *model_buses(struct machine *m)
{
	return model_of(m)->buses;
}

static int model_flush(struct machine *m)
{
	return 0; /* a write has arrived when it returns */
}

/*
 * As if all of it were pulled out: whoever still asks reads all ones, and nothing reaches memory any more. The memory
 * itself stays, for windows that the program holds.
 */
static void model_shutdown(struct machine *m)
{
	struct model_machine *mm = model_of(m);

	OB_WRITE_ONCE(m->dead, true);
	pthread_mutex_lock(&mm->config_lock);
	list_for_each (node, &mm->devices) {
		struct model_device *dev = list_entry(node, struct model_device, link);

		pthread_mutex_lock(&dev->lock);
		dev->pci.present = false;
		dev->kicked = false;
		model_pci_derive(&mm->root);
		pthread_mutex_unlock(&dev->lock);
	}
	pthread_mutex_unlock(&mm->config_lock);
	model_worker_stop(mm);
}

static void model_close(struct machine *m)
{
	struct model_machine *mm = model_of(m);

	model_worker_stop(mm);
	/* Devices below ports stand behind them in the list: from the end on. */
	while (!list_empty(&mm->devices))
		model_device_destroy(list_entry(mm->devices.prev, struct model_device, link));
	model_irq_fini(mm);
	model_dma_fini(mm);
	pthread_mutex_destroy(&mm->config_lock);
	pthread_mutex_destroy(&mm->dma_lock);
	pthread_mutex_destroy(&mm->irq_lock);
	pthread_mutex_destroy(&mm->worker_lock);
	free(mm);
}

static const struct machine_ops model_ops = {
	.shutdown = model_shutdown,
	.close = model_close,
	.buses = model_buses,
	.read = model_read,
	.write = model_write,
	.flush = model_flush,
	.region_open = model_region_open,
	.region_close = model_region_close,
	.dma_alloc = model_dma_alloc,
	.dma_free = model_dma_free,
	.dma_import = model_dma_import,
	.dma_grant = model_dma_grant,
	.dma_revoke = model_dma_revoke,
	.msi_alloc = model_msi_alloc,
	.msi_free = model_msi_free,
	.intx_open = model_intx_open,
	.intx_close = model_intx_close,
	.intx_level = model_intx_level,
	.command = model_command,
};

static int model_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		      struct machine **out)
{
	struct model_machine *mm = calloc(1, sizeof(*mm));
	int ret;

	if (mm == NULL)
		return -ENOMEM;
	mm->machine.ops = &model_ops;
	mm->machine.ob = ob;
	list_init(&mm->devices);
	list_init(&mm->cables);
	pthread_mutex_init(&mm->config_lock, NULL);
	pthread_mutex_init(&mm->dma_lock, NULL);
	pthread_mutex_init(&mm->irq_lock, NULL);
	pthread_mutex_init(&mm->worker_lock, NULL);
	model_pci_root_init(&mm->root, &model_root_ops);
	mm->buses[0] = (struct machine_bus){
		.kind = MACHINE_BUS_PCI,
		.u.pci =
			{
				.bus_last = 255,
				.config_read = config_read,
				.config_write = config_write,
				.mem32 = {MEM32_BASE, MEM32_LEN},
				.mem64 = {MEM64_BASE, MEM64_LEN},
			},
	};
	ret = model_dma_init(mm);
	if (ret == 0)
		ret = model_irq_init(mm);
	if (ret == 0)
		ret = model_describe(mm, rest, deadline_ns);
	if (ret == 0)
		ret = model_worker_start(mm);
	if (ret != 0) {
		model_close(&mm->machine);
		return ret;
	}
	*out = &mm->machine;
	return 0;
}

const struct machine_type model_machine_type = {
	.scheme = "model",
	.help = "model:[?nvme=SIZE|FILE|null…&virtio-net…] or model:FILE.dts — devices modelled in this process "
		"(docs/MODEL.md)",
	.open = model_open,
};
