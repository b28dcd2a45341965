/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's memory: a file that QEMU and we both map, so that devices and drivers share it. All of it is DMA
 * memory, as no guest runs, but for the first MiB, which the firmware area, video memory and address 0 make odd.
 */
#ifndef OB_MACHINE_QEMU_RAM_H
#define OB_MACHINE_QEMU_RAM_H

#include <pthread.h>

#include "machine/arena.h"
#include "machine/machine.h"

#define QEMU_RAM_MAX_BYTES (64 * OB_GIB) /* keeps clear of the 64-bit PCI window, see host.h */

struct qemu_ram {
	int fd;
	uint8_t *base;
	uint64_t len_bytes, low_bytes; /* low_bytes are below 4 GiB, the rest starts at 4 GiB */
	pthread_mutex_t lock;
	struct machine_arena arena; /* of the devices' addresses */
};

/* Takes over @fd, a file of @len_bytes, also when it fails. 0; negative errno. */
int qemu_ram_init(struct qemu_ram *ram, int fd, uint64_t len_bytes);
/* What is still allocated goes, too. */
void qemu_ram_fini(struct qemu_ram *ram);
/* 0; -EINVAL; -ENOMEM. */
int qemu_ram_alloc(struct qemu_ram *ram, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out);
void qemu_ram_free(struct qemu_ram *ram, struct machine_dma_memory *memory);

#endif
