/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's memory: a file that QEMU and we both map, so that devices and drivers share it. All of it is DMA
 * memory, as no guest runs, but for its start.
 */
#ifndef OB_MACHINE_QEMU_RAM_H
#define OB_MACHINE_QEMU_RAM_H

#include <pthread.h>

#include "machine/arena.h"
#include "machine/machine.h"
#include "machine/qemu/board.h"

#define QEMU_RAM_MAX_BYTES (64 * OB_GIB) /* keeps clear of the 64-bit PCI windows */

struct qemu_ram {
	const struct qemu_memory_map *map;
	int fd;
	uint8_t *base;
	uint64_t len_bytes, low_bytes; /* low_bytes from map->base on, the rest from map->high_base */
	pthread_mutex_t lock;
	struct machine_arena arena; /* of the devices' addresses */
};

/* Takes over @fd, a file of @len_bytes, also when it fails. 0; negative errno. */
int qemu_ram_init(struct qemu_ram *ram, const struct qemu_memory_map *map, int fd, uint64_t len_bytes);
/* What is still allocated goes, too. */
void qemu_ram_fini(struct qemu_ram *ram);
/* 0; -EINVAL; -ENOMEM. */
int qemu_ram_alloc(struct qemu_ram *ram, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out);
void qemu_ram_free(struct qemu_ram *ram, struct machine_dma_memory *memory);

#endif
