/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that the back-end shares: regions, each an anonymous file that is mapped here and, by its descriptor, there. The
 * first is as large as the URI says and stays; when it is full another one is added while the device works, and goes when
 * nothing is left in it, where the back-end can give regions up.
 *
 * Addresses on the wire are of an address space of our own: both of the two that the protocol has ("Memory access"), so
 * that the back-end does not learn where anything is in this process. Between regions is a gap: no descriptor can lie in
 * two of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/memfd.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/vhost_user/vhost_user.h"

#define PAGE_BYTES 4096ull
#define HUGE_BYTES (2 * OB_MIB)
#define FIRST_IOVA (4 * OB_GIB)
#define END_IOVA   BIT64(46)
#define GAP_BYTES  HUGE_BYTES

/* ---- telling the back-end ---- */

static void describe(const struct vu_region *region, struct vhost_user_region *out)
{
	*out = (struct vhost_user_region){
		.guest_address = region->iova,
		.len_bytes = region->len_bytes,
		.user_address = region->iova,
	};
}

static int tell_one(struct vu_machine *vm, unsigned request, const struct vu_region *region)
{
	struct vhost_message m;

	vhost_message_init(&m, request, false);
	describe(region, &m.payload.one_region.region);
	m.header.len_bytes = sizeof(m.payload.one_region);
	if (request == VHOST_USER_ADD_MEM_REG)
		vhost_message_add_fd(&m, region->fd);
	return vu_link_do(&vm->link, &m, NULL);
}

static int tell_table(struct vu_machine *vm)
{
	struct vhost_message m;
	unsigned n = 0;

	vhost_message_init(&m, VHOST_USER_SET_MEM_TABLE, false);
	for (unsigned i = 0; i < VU_REGIONS_MAX; i++) {
		const struct vu_region *region = &vm->memory.region[i];

		if (region->base == NULL)
			continue;
		if (n == VHOST_USER_REGIONS_MAX)
			return -ENOSPC;
		describe(region, &m.payload.memory.region[n++]);
		vhost_message_add_fd(&m, region->fd);
	}
	m.payload.memory.count = n;
	m.header.len_bytes = (uint32_t)(offsetof(struct vhost_user_memory, region) +
					n * sizeof(m.payload.memory.region[0]));
	return vu_link_do(&vm->link, &m, NULL);
}

int vu_memory_tell(struct vu_machine *vm)
{
	bool single = vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	int ret = single ? 0 : tell_table(vm);

	for (unsigned i = 0; i < VU_REGIONS_MAX && ret == 0; i++) {
		struct vu_region *region = &vm->memory.region[i];

		if (region->base == NULL || region->told)
			continue;
		if (single)
			ret = tell_one(vm, VHOST_USER_ADD_MEM_REG, region);
		region->told = ret == 0;
	}
	return ret == 0 ? vu_link_settle(&vm->link) : ret;
}

void vu_memory_forget(struct vu_machine *vm)
{
	for (unsigned i = 0; i < VU_REGIONS_MAX; i++)
		vm->memory.region[i].told = false;
}

/* ---- regions ---- */

/* Sealed: the back-end has the file, too, and every access of ours to what it cut off would end this process. */
static int file_create(struct vu_machine *vm, uint64_t len_bytes, int *out)
{
	unsigned huge = vm->uri.hugepages ? MFD_HUGETLB | MFD_HUGE_2MB : 0;
	int fd = io_above_stdio(memfd_create("ob-vhost-user", MFD_CLOEXEC | MFD_ALLOW_SEALING | huge)), ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len_bytes) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
		*out = fd;
		return 0;
	}
	ret = -errno;
	close(fd);
	return ret;
}

/* Huge pages are taken when they are mapped: there are enough then, and no access fails for want of one. */
static int region_map(struct vu_machine *vm, struct vu_region *region, uint64_t len_bytes)
{
	void *base;
	int ret = file_create(vm, len_bytes, &region->fd);

	if (ret != 0)
		return ret;
	base = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (vm->uri.hugepages ? 0 : MAP_NORESERVE),
		    region->fd, 0);
	if (base == MAP_FAILED) {
		ret = -errno;
		io_close(&region->fd);
		return ret;
	}
	/* A fork of the program must not slow our writes down by copying page tables. */
	(void)madvise(base, len_bytes, MADV_DONTFORK);
	region->base = base;
	region->len_bytes = len_bytes;
	return 0;
}

static void region_unmap(struct vu_region *region)
{
	munmap(region->base, region->len_bytes);
	io_close(&region->fd);
	region->base = NULL;
}

/* A region without a descriptor to anybody yet. 0; -ENOMEM; -ENOSPC: as many as the back-end takes; negative errno. */
static int region_create(struct vu_machine *vm, uint64_t len_bytes, struct vu_region **out)
{
	struct vu_memory *memory = &vm->memory;
	struct vu_region *region = NULL;
	unsigned count = 0;
	int ret;

	for (unsigned i = 0; i < VU_REGIONS_MAX; i++) {
		if (memory->region[i].base != NULL)
			count++;
		else if (region == NULL)
			region = &memory->region[i];
	}
	if (region == NULL || count >= vm->link.slot_max)
		return -ENOSPC;
	*region = (struct vu_region){.fd = -1};
	ret = machine_arena_alloc(&memory->addresses, len_bytes + GAP_BYTES, HUGE_BYTES, &region->iova);
	if (ret != 0)
		return ret;
	ret = region_map(vm, region, len_bytes);
	if (ret != 0)
		goto free_iova;
	ret = machine_arena_add(&region->arena, region->iova, len_bytes);
	if (ret != 0)
		goto unmap;
	*out = region;
	return 0;

unmap:
	region_unmap(region);
free_iova:
	machine_arena_free(&memory->addresses, region->iova, len_bytes + GAP_BYTES);
	return ret;
}

static void region_destroy(struct vu_machine *vm, struct vu_region *region)
{
	machine_arena_fini(&region->arena);
	region_unmap(region);
	machine_arena_free(&vm->memory.addresses, region->iova, region->len_bytes + GAP_BYTES);
}

/* One more while the device works. */
static int region_add(struct vu_machine *vm, uint64_t len_bytes)
{
	struct vu_region *region;
	int ret;

	len_bytes = ALIGN_UP(MAX(len_bytes, vm->uri.memory_bytes), HUGE_BYTES);
	ret = region_create(vm, len_bytes, &region);
	if (ret != 0 || vm->state != VU_UP)
		return ret; /* whoever comes back is told of it */
	ret = vu_memory_tell(vm);
	if (ret != 0)
		vu_link_failed(vm, ret);
	if (ret == 0 || vm->state == VU_LOST)
		return 0;
	region_destroy(vm, region);
	return -ENOMEM;
}

/* Nothing is left in it. The first one stays, and so do all where the back-end would have to map everything anew. */
static void region_drop(struct vu_machine *vm, struct vu_region *region)
{
	int ret = 0;

	if (region == &vm->memory.region[0])
		return;
	if (vm->state == VU_UP) {
		if (!vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
			return;
		ret = tell_one(vm, VHOST_USER_REM_MEM_REG, region);
	}
	if (ret != 0)
		vu_link_failed(vm, ret);
	if (ret == -EREMOTEIO)
		return; /* it may be in use for something yet */
	region_destroy(vm, region);
}

int vu_memory_init(struct vu_machine *vm)
{
	struct vu_region *first;
	uint64_t len_bytes = ALIGN_UP(vm->uri.memory_bytes, HUGE_BYTES);
	int ret = machine_arena_add(&vm->memory.addresses, FIRST_IOVA, END_IOVA - FIRST_IOVA);

	if (ret == 0)
		ret = region_create(vm, len_bytes, &first);
	if (ret != 0 && vm->uri.hugepages)
		ob_err(vm->machine.ob,
		       "vhost-user: %llu huge pages of 2 MiB: %s; vm.nr_hugepages of sysctl provides some",
		       (unsigned long long)(len_bytes / HUGE_BYTES), strerror(-ret));
	else if (ret != 0)
		ob_err(vm->machine.ob, "vhost-user: %llu MiB of memory: %s", (unsigned long long)(len_bytes / OB_MIB),
		       strerror(-ret));
	return ret;
}

void vu_memory_fini(struct vu_machine *vm)
{
	for (unsigned i = 0; i < VU_REGIONS_MAX; i++)
		if (vm->memory.region[i].base != NULL)
			region_destroy(vm, &vm->memory.region[i]);
	machine_arena_fini(&vm->memory.addresses);
}

/* ---- what core takes of it ---- */

static struct vu_region *region_of(struct vu_machine *vm, uint64_t iova, uint64_t len_bytes)
{
	for (unsigned i = 0; i < VU_REGIONS_MAX; i++) {
		struct vu_region *region = &vm->memory.region[i];

		if (region->base != NULL && iova >= region->iova && iova - region->iova < region->len_bytes &&
		    len_bytes <= region->len_bytes - (iova - region->iova))
			return region;
	}
	return NULL;
}

void *vu_memory_at(struct vu_machine *vm, uint64_t iova, uint64_t len_bytes)
{
	struct vu_region *region = region_of(vm, iova, len_bytes);

	return region != NULL ? region->base + (iova - region->iova) : NULL;
}

static int take(struct vu_machine *vm, uint64_t len_bytes, uint64_t align_bytes, struct machine_dma_memory *out)
{
	for (unsigned i = 0; i < VU_REGIONS_MAX; i++) {
		struct vu_region *region = &vm->memory.region[i];
		uint64_t iova;

		if (region->base == NULL || machine_arena_alloc(&region->arena, len_bytes, align_bytes, &iova) != 0)
			continue;
		*out = (struct machine_dma_memory){
			.base = region->base + (iova - region->iova),
			.iova = iova,
			.len_bytes = len_bytes,
			.cookie = region,
		};
		return 0;
	}
	return -ENOMEM;
}

int vu_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	struct vu_machine *vm = vu_of(m);
	uint64_t align = MAX(align_bytes, PAGE_BYTES);
	const struct vu_region *region;
	int ret;

	if (len_bytes == 0 || !IS_POWER_OF_2(align))
		return -EINVAL;
	if (len_bytes > VU_MEMORY_MAX_BYTES || align > HUGE_BYTES)
		return -ENOMEM;
	len_bytes = ALIGN_UP(len_bytes, (size_t)PAGE_BYTES);
	pthread_mutex_lock(&vm->lock);
	if (vm->state == VU_DEAD) {
		ret = -ENODEV;
		goto unlock;
	}
	ret = take(vm, len_bytes, align, out);
	if (ret != 0) {
		ret = region_add(vm, len_bytes);
		/* Regions begin at huge pages, so it has room for every alignment. */
		ret = ret == 0 ? take(vm, len_bytes, align, out) : -ENOMEM;
	}
unlock:
	pthread_mutex_unlock(&vm->lock);
	if (ret != 0)
		return ret;
	region = out->cookie;
	/* Huge pages that are given back may be gone when they are asked for again. */
	if (vm->uri.hugepages)
		memset(out->base, 0, len_bytes);
	else
		io_memory_clear(region->fd, out->iova - region->iova, out->base, len_bytes);
	return 0;
}

/*
 * Drivers free memory after a reset, even one that failed: on other buses the device can write no more then. Here nothing
 * stops a back-end that did not come to rest, so what it may still write to is given to nobody else.
 */
void vu_dma_free(struct machine *m, struct machine_dma_memory *memory)
{
	struct vu_machine *vm = vu_of(m);
	struct vu_region *region = memory->cookie;

	pthread_mutex_lock(&vm->lock);
	if (vu_queues_are_at_rest(vm)) {
		machine_arena_free(&region->arena, memory->iova, memory->len_bytes);
		if (region->arena.allocated_count == 0)
			region_drop(vm, region);
	} else {
		ob_warn(vm->machine.ob, "vhost-user: %s: %llu bytes that the back-end may still write to are lost",
			vm->uri.path, (unsigned long long)memory->len_bytes);
	}
	pthread_mutex_unlock(&vm->lock);
	*memory = (struct machine_dma_memory){0};
}
