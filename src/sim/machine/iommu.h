/* SPDX-License-Identifier: BSD-2-Clause */
/* DMA memory and grants of the world's machine, and a device's accesses through them. */
#ifndef OB_SIM_IOMMU_H
#define OB_SIM_IOMMU_H

#include "machine/machine.h"
#include "sim/world.h"

int iommu_alloc(size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out);
void iommu_free(struct machine_dma_memory *memory);
int iommu_grant(const struct machine_dma_memory *memory, unsigned rights, uint64_t *iova);
/* What is at @iova is lent in parts: the device may touch nothing else of it. */
void iommu_lends(uint64_t iova);
void iommu_revoke(const struct machine_dma_memory *memory);

/* By the device, at its own addresses; what it may not reach ends the run with a report. */
int iommu_read(uint64_t iova, void *to, size_t len_bytes);
int iommu_look(uint64_t iova, void *to, size_t len_bytes);
int iommu_write(uint64_t iova, const void *from, size_t len_bytes);
/* What was written is an entry, each field of which is to be loaded once. */
void iommu_wrote_entry(uint64_t iova, size_t len_bytes);
int iommu_publish(uint64_t iova, const void *from, size_t len_bytes);
/* … by a device that gets it wrong: the word that tells of the rest comes first. */
int iommu_publish_early(uint64_t iova, const void *from, size_t len_bytes);
/* May it write there? Nothing is reported. */
bool iommu_reaches(uint64_t iova, size_t len_bytes);

/* The last I/O address that @address had; false: none. */
bool iommu_find(uintptr_t address, uint64_t *iova);

/* … at an address of the process. */
void iommu_device_load(uintptr_t address, void *to, size_t len_bytes, bool look);
void iommu_device_store(uintptr_t address, const void *from, size_t len_bytes, bool publish);

#endif
