/* SPDX-License-Identifier: BSD-2-Clause */
/* A device by its IOMMU group and a container of type 1, version 2: <linux/vfio.h>, every kernel since 3.9. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <outboard/log.h>

#include "host/sysfs.h"
#include "machine/vfio/vfio.h"

#define INFO_MAX_BYTES 4096u

/* Without permission it is found all the same: to open it says what helps. */
static int group_find(const struct vfio_device *dev)
{
	return sysfs_exists("", "/dev/vfio/%d", dev->group) ? 0 : -ENOENT;
}

static int cannot_open(const struct vfio_device *dev, const char *path, int error)
{
	struct ob *ob = dev->vm->machine.ob;
	char who[VFIO_HOLDER_LEN];

	switch (error) {
	case -EACCES:
	case -EPERM:
		ob_err(ob, "vfio: %s: no permission for %s; 'outboard bind --user NAME %s' gives it", dev->name, path,
		       dev->name);
		break;
	case -EBUSY:
		vfio_name_holder(path, who);
		ob_err(ob, "vfio: %s: another program uses its IOMMU group %d%s", dev->name, dev->group, who);
		break;
	case -ENOENT:
		ob_err(ob, "vfio: %s: there is no %s; 'modprobe vfio-pci' and 'outboard bind %s' make it", dev->name,
		       path, dev->name);
		break;
	default:
		ob_err(ob, "vfio: %s: %s: %s", dev->name, path, strerror(-error));
	}
	return error;
}

/* The group's other devices that a kernel driver has. */
static void name_the_others(const struct vfio_device *dev, char *out, size_t out_bytes)
{
	char **names, driver[64];
	size_t len = 0;

	out[0] = '\0';
	if (sysfs_list("", &names, "/sys/kernel/iommu_groups/%d/devices", dev->group) < 0)
		return;
	for (char **name = names; *name != NULL && len < out_bytes - 1; name++) {
		if (strcmp(*name, dev->name) == 0 ||
		    sysfs_link("", driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver", *name) != 0 ||
		    strstr(driver, "vfio") != NULL)
			continue;
		len += (size_t)snprintf(out + len, out_bytes - len, " %s (%s)", *name, driver);
	}
	sysfs_list_free(names);
}

static int open_group(struct vfio_domain *domain, const struct vfio_device *dev)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	char path[64], others[256];

	snprintf(path, sizeof(path), "/dev/vfio/%d", dev->group);
	domain->group_fd = open(path, O_RDWR | O_CLOEXEC);
	if (domain->group_fd < 0)
		return cannot_open(dev, path, -errno);
	if (ioctl(domain->group_fd, VFIO_GROUP_GET_STATUS, &status) < 0)
		return cannot_open(dev, path, -errno);
	if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
		return 0;
	name_the_others(dev, others, sizeof(others));
	ob_err(dev->vm->machine.ob,
	       "vfio: %s: its IOMMU group %d has devices of the kernel's drivers:%s; all of a "
	       "group go together",
	       dev->name, dev->group, others);
	return -EBUSY;
}

static int open_container(struct vfio_domain *domain, const struct vfio_device *dev)
{
	struct ob *ob = dev->vm->machine.ob;

	domain->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (domain->fd < 0)
		return cannot_open(dev, "/dev/vfio/vfio", -errno);
	if (ioctl(domain->fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(domain->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) {
		ob_err(ob, "vfio: this kernel has no VFIO of type 1 version 2; 'modprobe vfio_iommu_type1'");
		return -ENODEV;
	}
	return 0;
}

static int group_open(struct vfio_domain *domain, const struct vfio_device *dev)
{
	struct ob *ob = dev->vm->machine.ob;
	int ret = open_container(domain, dev);

	if (ret == 0)
		ret = open_group(domain, dev);
	if (ret < 0)
		return ret;
	if (ioctl(domain->group_fd, VFIO_GROUP_SET_CONTAINER, &domain->fd) < 0) {
		ret = -errno;
		ob_err(ob, "vfio: %s: IOMMU group %d: %s", dev->name, dev->group, strerror(-ret));
		return ret;
	}
	if (ioctl(domain->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0) {
		ret = -errno;
		if (ret == -EPERM)
			ob_err(ob,
			       "vfio: %s: the kernel does not trust this IOMMU with interrupts; "
			       "'echo 1 >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts' does, where "
			       "all programs with devices are trusted",
			       dev->name);
		else
			ob_err(ob, "vfio: %s: the IOMMU cannot be used: %s", dev->name, strerror(-ret));
	}
	return ret;
}

static int group_device_open(struct vfio_domain *domain, const struct vfio_device *dev)
{
	/* It is close-on-exec from the beginning. */
	int fd = ioctl(domain->group_fd, VFIO_GROUP_GET_DEVICE_FD, dev->name);

	if (fd >= 0)
		return fd;
	fd = -errno;
	ob_err(dev->vm->machine.ob, "vfio: %s: the kernel does not hand it out: %s; its log (dmesg) may say why",
	       dev->name, strerror(-fd));
	return fd;
}

/* ---- addresses ---- */

static int add_iova_ranges(struct vfio_domain *domain, const uint8_t *cap, size_t len_bytes)
{
	struct vfio_iommu_type1_info_cap_iova_range head;
	int ret = 0;

	if (len_bytes < sizeof(head))
		return -EPROTO;
	memcpy(&head, cap, sizeof(head));
	for (uint32_t i = 0; i < head.nr_iovas && ret == 0; i++) {
		struct vfio_iova_range range;
		size_t at = sizeof(head) + (size_t)i * sizeof(range);

		if (at > len_bytes - sizeof(range))
			break;
		memcpy(&range, cap + at, sizeof(range));
		if (range.start <= range.end)
			ret = vfio_dma_add_range(domain, range.start, range.end);
	}
	return ret;
}

static int group_add_ranges(struct vfio_domain *domain)
{
	_Alignas(8) uint8_t room[INFO_MAX_BYTES] = {0};
	struct vfio_iommu_type1_info *info = (struct vfio_iommu_type1_info *)(void *)room;
	uint32_t at;

	info->argsz = sizeof(room);
	if (ioctl(domain->fd, VFIO_IOMMU_GET_INFO, info) < 0)
		return -errno;
	at = (info->flags & VFIO_IOMMU_INFO_CAPS) != 0 && info->argsz <= sizeof(room) ? info->cap_offset : 0;
	for (unsigned hops = 0; at != 0 && at <= sizeof(room) - sizeof(struct vfio_info_cap_header) && hops < 16;
	     hops++) {
		struct vfio_info_cap_header header;

		memcpy(&header, room + at, sizeof(header));
		if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			return add_iova_ranges(domain, room + at, sizeof(room) - at);
		at = header.next;
	}
	/* Before Linux 5.4: what every IOMMU can express, without the place of x86's message interrupts. */
	return vfio_dma_add_range(domain, 0, 0xfedfffffu);
}

/* The rights' bits are the kernel's flags. */
_Static_assert(VFIO_DMA_MAP_FLAG_READ == 1 && VFIO_DMA_MAP_FLAG_WRITE == 2, "enum ob_dma_rights");

static int group_map(struct vfio_domain *domain, uint64_t iova, void *base, uint64_t len_bytes, unsigned rights)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = rights,
		.vaddr = (uintptr_t)base,
		.iova = iova,
		.size = len_bytes,
	};

	return ioctl(domain->fd, VFIO_IOMMU_MAP_DMA, &map) < 0 ? -errno : 0;
}

static int group_unmap(struct vfio_domain *domain, uint64_t iova, uint64_t len_bytes)
{
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap), .iova = iova, .size = len_bytes};

	if (ioctl(domain->fd, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0)
		return -errno;
	return unmap.size == len_bytes ? 0 : -EIO;
}

const struct vfio_backend vfio_group_backend = {
	.name = "its group",
	.find = group_find,
	.open = group_open,
	.device_open = group_device_open,
	.add_ranges = group_add_ranges,
	.map = group_map,
	.unmap = group_unmap,
};
