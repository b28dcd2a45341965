/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's memory. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/qemu/ram.h"

#define PAGE_BYTES 4096ull

int qemu_ram_init(struct qemu_ram *ram, const struct qemu_memory_map *map, int fd, uint64_t len_bytes)
{
	void *base;
	int ret;

	*ram = (struct qemu_ram){.map = map, .fd = fd, .len_bytes = len_bytes};
	ram->low_bytes = len_bytes >= map->low_max_bytes ? map->low_part_bytes : len_bytes;
	base = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED) {
		ret = -errno;
		goto close_fd;
	}
	ram->base = base;
	/* A fork of the program (to start a helper) must not slow our writes down by copying page tables. */
	(void)madvise(base, len_bytes, MADV_DONTFORK);
	ret = -pthread_mutex_init(&ram->lock, NULL);
	if (ret < 0)
		goto unmap;
	ret = machine_arena_add(&ram->arena, map->base + map->skip_bytes, ram->low_bytes - map->skip_bytes);
	if (ret == 0)
		ret = machine_arena_add(&ram->arena, map->high_base, len_bytes - ram->low_bytes);
	if (ret < 0)
		goto destroy_lock;
	return 0;

destroy_lock:
	machine_arena_fini(&ram->arena);
	pthread_mutex_destroy(&ram->lock);
unmap:
	munmap(base, len_bytes);
close_fd:
	io_close(&ram->fd);
	return ret;
}

void qemu_ram_fini(struct qemu_ram *ram)
{
	machine_arena_fini(&ram->arena);
	pthread_mutex_destroy(&ram->lock);
	munmap(ram->base, ram->len_bytes);
	io_close(&ram->fd);
}

int qemu_ram_alloc(struct qemu_ram *ram, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	uint64_t iova;
	int ret;

	if (len_bytes == 0 || (align_bytes != 0 && !IS_POWER_OF_2(align_bytes)))
		return -EINVAL;
	if (len_bytes > ram->len_bytes)
		return -ENOMEM;
	len_bytes = ALIGN_UP(len_bytes, (size_t)PAGE_BYTES);
	pthread_mutex_lock(&ram->lock);
	ret = machine_arena_alloc(&ram->arena, len_bytes, MAX(align_bytes, PAGE_BYTES), &iova);
	pthread_mutex_unlock(&ram->lock);
	if (ret < 0)
		return ret;
	*out = (struct machine_dma_memory){
		.base = ram->base + (iova < ram->map->high_base ? iova - ram->map->base
								: iova - ram->map->high_base + ram->low_bytes),
		.iova = iova,
		.len_bytes = len_bytes,
		.cookie = ram,
	};
	io_memory_clear(ram->fd, (uint64_t)((uint8_t *)out->base - ram->base), out->base, len_bytes);
	return 0;
}

void qemu_ram_free(struct qemu_ram *ram, struct machine_dma_memory *memory)
{
	pthread_mutex_lock(&ram->lock);
	machine_arena_free(&ram->arena, memory->iova, memory->len_bytes);
	pthread_mutex_unlock(&ram->lock);
	*memory = (struct machine_dma_memory){0};
}
