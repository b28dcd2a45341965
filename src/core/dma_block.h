/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that core gives one device: for dma.c, and for mappings. */
#ifndef OB_CORE_DMA_BLOCK_H
#define OB_CORE_DMA_BLOCK_H

#include <outboard/dma.h>

#include "base/list.h"
#include "machine/machine.h"

/* Memory for one device: coherent, or the bounce buffer of a streaming mapping. */
struct dma_block {
	struct list link; /* ob_device.dma, under ob_machine.dma_lock */
	struct machine_dma_memory memory;
	struct ob_dma dma; /* as the driver sees it */
	uint64_t iova;     /* granted */
	bool granted, bounce;
};

/* With @rights for the device, and in its list. 0; -ENODEV; -ENOMEM; what the machine says. */
int dma_block_new(struct ob_device *dev, size_t len_bytes, size_t align_bytes, unsigned rights, struct dma_block **out);
/* It is in the device's list. */
void dma_block_delete(struct ob_device *dev, struct dma_block *block);

#endif
