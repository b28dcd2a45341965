/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers. What the kernel lets us map is mapped, and accessed as memory; all else goes through the file, a system call
 * per access: I/O ports, and pages that the kernel keeps, such as an MSI-X table's on some kernels and platforms.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "machine/vfio/vfio.h"
#include "spec/pci.h"

#define INFO_MAX_BYTES 4096u
#define ONES_BYTES     (2 * OB_MIB)

/* ---- what the kernel says of a BAR ---- */

static void add_area(struct vfio_bar *bar, uint64_t offset, uint64_t len_bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (bar->area_count == VFIO_AREAS_MAX || len_bytes == 0 || !IS_ALIGNED(offset, page) ||
	    offset > bar->len_bytes || len_bytes > bar->len_bytes - offset)
		return;
	bar->area[bar->area_count++] = (struct vfio_area){.offset = offset, .len_bytes = len_bytes};
}

/* The chain of capabilities behind a struct vfio_region_info of @len_bytes; @out gets the areas of a sparse one. */
static bool read_sparse(const struct vfio_region_info *info, size_t len_bytes, struct vfio_bar *bar)
{
	const uint8_t *bytes = (const uint8_t *)info;
	uint32_t at = (info->flags & VFIO_REGION_INFO_FLAG_CAPS) != 0 ? info->cap_offset : 0;
	struct vfio_info_cap_header header;

	for (unsigned hops = 0; at != 0 && hops < 16 && at <= len_bytes - sizeof(header); hops++) {
		struct vfio_region_info_cap_sparse_mmap sparse;

		memcpy(&header, bytes + at, sizeof(header));
		if (header.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP && at <= len_bytes - sizeof(sparse)) {
			memcpy(&sparse, bytes + at, sizeof(sparse));
			for (uint32_t i = 0; i < sparse.nr_areas; i++) {
				struct vfio_region_sparse_mmap_area area;
				size_t where = at + sizeof(sparse) + (size_t)i * sizeof(area);

				if (where > len_bytes - sizeof(area))
					break;
				memcpy(&area, bytes + where, sizeof(area));
				add_area(bar, area.offset, area.size);
			}
			return true;
		}
		at = header.next;
	}
	return false;
}

/* @info: of INFO_MAX_BYTES. */
static int region_info(struct vfio_device *dev, unsigned index, struct vfio_region_info *info)
{
	memset(info, 0, INFO_MAX_BYTES);
	info->argsz = INFO_MAX_BYTES;
	info->index = index;
	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info) < 0)
		return -errno;
	/* More than fits: then without the capabilities, and so without mapping. */
	if (info->argsz > INFO_MAX_BYTES)
		info->flags &= ~(uint32_t)(VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS);
	return 0;
}

/* Where configuration space says it is; by this address the bus asks for it. Returns how many registers it takes. */
static int read_base(struct vfio_device *dev, unsigned index, struct vfio_bar *bar)
{
	ob_le32 raw[2] = {{0}, {0}};
	size_t len_bytes = index + 1 < VFIO_BAR_COUNT ? 8 : 4;
	uint32_t low;

	if (pread(dev->fd, raw, len_bytes, (off_t)(dev->config_offset + PCI_BAR(index))) != (ssize_t)len_bytes)
		return -EIO;
	low = ob_le32_to_cpu(raw[0]);
	bar->io = (low & PCI_BAR_IO) != 0;
	bar->base = bar->io ? low & PCI_BAR_IO_ADDRESS : low & PCI_BAR_MEM_ADDRESS;
	if (bar->io || FIELD_GET(PCI_BAR_MEM_TYPE, low) != PCI_BAR_MEM_64)
		return 1;
	bar->base |= (uint64_t)ob_le32_to_cpu(raw[1]) << 32;
	return 2;
}

static bool has_users(struct vfio_device *dev)
{
	bool found = false;

	pthread_mutex_lock(&dev->vm->lock);
	for (unsigned i = 0; i < VFIO_BAR_COUNT; i++)
		found |= dev->bar[i].users != 0;
	pthread_mutex_unlock(&dev->vm->lock);
	return found;
}

int vfio_bars_read(struct vfio_device *dev)
{
	_Alignas(8) uint8_t room[INFO_MAX_BYTES];
	struct vfio_region_info *info = (struct vfio_region_info *)(void *)room;

	/* Of a device that was released and comes back: it may have others now. */
	if (has_users(dev))
		return -EBUSY;
	memset(dev->bar, 0, sizeof(dev->bar));
	for (int i = 0, taken; i < VFIO_BAR_COUNT; i += taken) {
		struct vfio_bar *bar = &dev->bar[i];
		int ret = region_info(dev, (unsigned)i, info);

		if (ret < 0)
			return ret;
		bar->dev = dev;
		bar->len_bytes = info->size;
		bar->file_offset = info->offset;
		taken = read_base(dev, (unsigned)i, bar);
		if (taken < 0)
			return taken;
		if (bar->len_bytes != 0 && (info->flags & VFIO_REGION_INFO_FLAG_MMAP) != 0 &&
		    !read_sparse(info, MIN((size_t)info->argsz, (size_t)INFO_MAX_BYTES), bar))
			add_area(bar, 0, bar->len_bytes);
	}
	return 0;
}

/* ---- mapping ---- */

static void bar_get(struct vfio_bar *bar)
{
	pthread_mutex_lock(&bar->dev->vm->lock);
	if (bar->users++ == 0) {
		for (unsigned i = 0; i < bar->area_count; i++) {
			struct vfio_area *area = &bar->area[i];
			void *map = mmap(NULL, area->len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bar->dev->fd,
					 (off_t)(bar->file_offset + area->offset));

			area->map = map != MAP_FAILED ? map : NULL;
			if (area->map != NULL)
				(void)madvise(map, area->len_bytes, MADV_DONTFORK);
			else
				ob_warn(bar->dev->vm->machine.ob,
					"vfio: %s: BAR %td: cannot be mapped, each access is a system call: %s",
					bar->dev->name, bar - bar->dev->bar, strerror(errno));
		}
	}
	pthread_mutex_unlock(&bar->dev->vm->lock);
}

static void bar_put(struct vfio_bar *bar)
{
	pthread_mutex_lock(&bar->dev->vm->lock);
	if (--bar->users == 0) {
		for (unsigned i = 0; i < bar->area_count; i++) {
			if (bar->area[i].map != NULL)
				munmap(bar->area[i].map, bar->area[i].len_bytes);
			bar->area[i].map = NULL;
		}
	}
	pthread_mutex_unlock(&bar->dev->vm->lock);
}

/* Pages of all ones in the place of registers: written to, they are this process's own. */
static int make_ones(void)
{
	int fd = memfd_create("outboard-ones", MFD_CLOEXEC);
	void *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, ONES_BYTES) == 0)
		map = mmap(NULL, ONES_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	memset(map, 0xff, ONES_BYTES);
	munmap(map, ONES_BYTES);
	return fd;
}

static bool replace(const struct vfio_area *area, int ones_fd)
{
	for (uint64_t at = 0; at < area->len_bytes; at += ONES_BYTES)
		if (mmap(area->map + at, MIN(ONES_BYTES, area->len_bytes - at), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, ones_fd, 0) == MAP_FAILED)
			return false;
	return true;
}

void vfio_bars_vanish(struct vfio_device *dev)
{
	int ones_fd = -1;
	bool done = true;

	pthread_mutex_lock(&dev->vm->lock);
	for (unsigned i = 0; i < VFIO_BAR_COUNT; i++) {
		struct vfio_bar *bar = &dev->bar[i];

		for (unsigned k = 0; k < bar->area_count; k++) {
			if (bar->area[k].map == NULL)
				continue;
			if (ones_fd < 0)
				ones_fd = make_ones();
			done = ones_fd >= 0 && replace(&bar->area[k], ones_fd) && done;
		}
	}
	pthread_mutex_unlock(&dev->vm->lock);
	if (ones_fd >= 0)
		close(ones_fd);
	if (!done)
		ob_err(dev->vm->machine.ob, "vfio: %s: its registers stay mapped, and with them it is kept", dev->name);
}

/* The mapped area that holds all of it; NULL: none does. */
static volatile uint8_t *mapped_at(const struct vfio_bar *bar, uint64_t offset, uint64_t len_bytes)
{
	for (unsigned i = 0; i < bar->area_count; i++) {
		const struct vfio_area *area = &bar->area[i];

		if (area->map != NULL && offset >= area->offset && len_bytes <= area->len_bytes &&
		    offset - area->offset <= area->len_bytes - len_bytes)
			return area->map + (offset - area->offset);
	}
	return NULL;
}

/* ---- one access ---- */

static uint64_t all_ones(unsigned size_bytes)
{
	return UINT64_MAX >> (64 - 8 * size_bytes);
}

static uint64_t bar_read(const struct vfio_bar *bar, uint64_t offset, unsigned size_bytes)
{
	ob_le64 raw = {0};

	if (!__atomic_load_n(&bar->dev->is_there, __ATOMIC_ACQUIRE) ||
	    pread(bar->dev->fd, &raw, size_bytes, (off_t)(bar->file_offset + offset)) != (ssize_t)size_bytes)
		return all_ones(size_bytes);
	return ob_le64_to_cpu(raw);
}

static void bar_write(const struct vfio_bar *bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	ob_le64 raw = ob_cpu_to_le64(value);

	if (__atomic_load_n(&bar->dev->is_there, __ATOMIC_ACQUIRE) &&
	    pwrite(bar->dev->fd, &raw, size_bytes, (off_t)(bar->file_offset + offset)) < 0)
		ob_debug(bar->dev->vm->machine.ob, "vfio: %s: a write to BAR %td failed: %s", bar->dev->name,
			 bar - bar->dev->bar, strerror(errno));
}

static uint64_t area_read(volatile uint8_t *at, unsigned size_bytes)
{
	switch (size_bytes) {
	case 1:
		return *at;
	case 2:
		return OB_LE16(*(volatile uint16_t *)(volatile void *)at);
	case 4:
		return OB_LE32(*(volatile uint32_t *)(volatile void *)at);
	default:
		return OB_LE64(*(volatile uint64_t *)(volatile void *)at);
	}
}

static void area_write(volatile uint8_t *at, unsigned size_bytes, uint64_t value)
{
	switch (size_bytes) {
	case 1:
		*at = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)(volatile void *)at = OB_LE16((uint16_t)value);
		break;
	case 4:
		*(volatile uint32_t *)(volatile void *)at = OB_LE32((uint32_t)value);
		break;
	default:
		*(volatile uint64_t *)(volatile void *)at = OB_LE64(value);
	}
}

/* ---- regions: @context is the BAR, @address the offset in it ---- */

static uint64_t region_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	const struct vfio_bar *bar = region->context;
	volatile uint8_t *at = mapped_at(bar, region->address + offset, size_bytes);

	return at != NULL ? area_read(at, size_bytes) : bar_read(bar, region->address + offset, size_bytes);
}

static void region_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	const struct vfio_bar *bar = region->context;
	volatile uint8_t *at = mapped_at(bar, region->address + offset, size_bytes);

	if (at != NULL)
		area_write(at, size_bytes, value);
	else
		bar_write(bar, region->address + offset, size_bytes, value);
}

/* A read of the same function pushes the writes before it (PCIe 4.0 §2.4.1). */
static void region_flush(const struct ob_region *region)
{
	const struct vfio_bar *bar = region->context;

	(void)vfio_device_answers(bar->dev);
}

static const struct ob_region_ops region_ops = {
	.read = region_read,
	.write = region_write,
	.flush = region_flush,
};

static struct vfio_bar *bar_find(struct vfio_device *dev, enum machine_space space, uint64_t address,
				 uint64_t len_bytes)
{
	for (unsigned i = 0; i < VFIO_BAR_COUNT; i++) {
		struct vfio_bar *bar = &dev->bar[i];

		if (bar->io == (space == MACHINE_SPACE_PORT) && len_bytes <= bar->len_bytes && address >= bar->base &&
		    address - bar->base <= bar->len_bytes - len_bytes)
			return bar;
	}
	return NULL;
}

int vfio_region_open(struct machine *m, struct ob_device *ob_dev, enum machine_space space, uint64_t address,
		     uint64_t len_bytes, struct ob_region *out)
{
	struct vfio_device *dev = vfio_device_of(vfio_of(m), ob_dev);
	struct vfio_bar *bar = dev != NULL ? bar_find(dev, space, address, len_bytes) : NULL;

	if (bar == NULL || len_bytes == 0 || !__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		return -ENODEV;
	bar_get(bar);
	*out = (struct ob_region){
		.base = mapped_at(bar, address - bar->base, len_bytes),
		.len_bytes = len_bytes,
		.ops = &region_ops,
		.context = bar,
		.address = address - bar->base,
		.dev = ob_dev,
	};
	return 0;
}

void vfio_region_close(struct machine *m, struct ob_region *region)
{
	bar_put(region->context);
	*region = (struct ob_region){0};
}

/* ---- by address alone ---- */

static struct vfio_bar *bar_of_any(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	struct vfio_machine *vm = vfio_of(m);
	struct vfio_bar *bar = NULL;

	for (unsigned i = 0; i < vm->device_count && bar == NULL; i++)
		bar = bar_find(&vm->devices[i], space, address, size_bytes);
	return bar;
}

uint64_t vfio_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	const struct vfio_bar *bar = bar_of_any(m, space, address, size_bytes);

	return bar != NULL ? bar_read(bar, address - bar->base, size_bytes) : all_ones(size_bytes);
}

void vfio_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes, uint64_t value)
{
	const struct vfio_bar *bar = bar_of_any(m, space, address, size_bytes);

	if (bar != NULL)
		bar_write(bar, address - bar->base, size_bytes, value);
}

int vfio_flush(struct machine *m)
{
	struct vfio_machine *vm = vfio_of(m);

	for (unsigned i = 0; i < vm->device_count; i++)
		(void)vfio_device_answers(&vm->devices[i]);
	return 0;
}
