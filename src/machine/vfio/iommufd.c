/* SPDX-License-Identifier: BSD-2-Clause */
/* A device by its own file and an address space of /dev/iommu: Linux 6.6 and newer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <outboard/dma.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "host/sysfs.h"
#include "machine/vfio/iommufd_abi.h"
#include "machine/vfio/vfio.h"

#define RANGES_MAX 64

static void cdev_path(const struct vfio_device *dev, char path[64])
{
	snprintf(path, 64, "/dev/vfio/devices/%.31s", dev->cdev);
}

static int iommufd_find(const struct vfio_device *dev)
{
	char path[64];

	cdev_path(dev, path);
	if (dev->cdev[0] == '\0' || access(path, F_OK) != 0 || access("/dev/iommu", F_OK) != 0)
		return -ENOENT;
	return access(path, R_OK | W_OK) == 0 && access("/dev/iommu", R_OK | W_OK) == 0 ? 0 : -EACCES;
}

static int cannot(const struct vfio_device *dev, const char *what, int error)
{
	struct ob *ob = dev->vm->machine.ob;
	char who[VFIO_HOLDER_LEN];

	vfio_name_holder(what, who);
	if (error == -EACCES || error == -EPERM)
		ob_err(ob, "vfio: %s: no permission for %s; 'outboard bind --user NAME %s' gives it", dev->name, what,
		       dev->name);
	else if (error == -EBUSY)
		ob_err(ob, "vfio: %s: another program uses it, or another device of its IOMMU group %d%s", dev->name,
		       dev->group, who);
	else
		ob_err(ob, "vfio: %s: %s: %s", dev->name, what, strerror(-error));
	return error;
}

static int iommufd_open(struct vfio_domain *domain, const struct vfio_device *dev)
{
	struct iommufd_ioas_alloc alloc = {.size = sizeof(alloc)};

	domain->fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (domain->fd < 0 && (errno == EACCES || errno == EPERM)) {
		ob_err(dev->vm->machine.ob,
		       "vfio: %s: no permission for /dev/iommu; 'chmod 666 /dev/iommu' gives it to all, as "
		       "/dev/vfio/vfio is: a device it gives to nobody",
		       dev->name);
		return -EACCES;
	}
	if (domain->fd < 0)
		return cannot(dev, "/dev/iommu", -errno);
	if (ioctl(domain->fd, IOMMUFD_IOAS_ALLOC, &alloc) < 0)
		return cannot(dev, "an address space of /dev/iommu", -errno);
	domain->ioas = alloc.ioas;
	return 0;
}

static int iommufd_device_open(struct vfio_domain *domain, const struct vfio_device *dev)
{
	struct vfio_cdev_bind bind = {.size = sizeof(bind), .iommufd = domain->fd};
	struct vfio_cdev_attach attach = {.size = sizeof(attach), .ioas = domain->ioas};
	char path[64];
	int fd, ret;

	cdev_path(dev, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return cannot(dev, path, -errno);
	/* Until it is bound the file gives nothing. Who comes second is told EBUSY, or EINVAL by older kernels. */
	if (ioctl(fd, VFIO_CDEV_BIND, &bind) < 0)
		ret = cannot(dev, path, errno == EINVAL ? -EBUSY : -errno);
	else if (ioctl(fd, VFIO_CDEV_ATTACH, &attach) < 0)
		ret = cannot(dev, "its place in an address space", -errno);
	else
		return fd;
	close(fd);
	return ret;
}

static int iommufd_add_ranges(struct vfio_domain *domain)
{
	struct iommufd_range range[RANGES_MAX];
	struct iommufd_ioas_ranges ranges = {
		.size = sizeof(ranges),
		.ioas = domain->ioas,
		.count = RANGES_MAX,
		.ranges = (uintptr_t)range,
	};
	int ret = 0;

	/* More than there is room for is no error here: the first will do. */
	if (ioctl(domain->fd, IOMMUFD_IOAS_RANGES, &ranges) < 0 && errno != EMSGSIZE)
		return -errno;
	for (uint32_t i = 0; i < MIN(ranges.count, RANGES_MAX) && ret == 0; i++)
		if (range[i].first <= range[i].last)
			ret = vfio_dma_add_range(domain, range[i].first, range[i].last);
	return ret;
}

static int iommufd_map(struct vfio_domain *domain, uint64_t iova, void *base, uint64_t len_bytes, unsigned rights)
{
	struct iommufd_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMUFD_MAP_FIXED | (rights & OB_DMA_READ ? IOMMUFD_MAP_READ : 0) |
			 (rights & OB_DMA_WRITE ? IOMMUFD_MAP_WRITE : 0),
		.ioas = domain->ioas,
		.base = (uintptr_t)base,
		.len_bytes = len_bytes,
		.iova = iova,
	};

	return ioctl(domain->fd, IOMMUFD_IOAS_MAP, &map) < 0 ? -errno : 0;
}

static int iommufd_unmap(struct vfio_domain *domain, uint64_t iova, uint64_t len_bytes)
{
	struct iommufd_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas = domain->ioas,
		.iova = iova,
		.len_bytes = len_bytes,
	};

	if (ioctl(domain->fd, IOMMUFD_IOAS_UNMAP, &unmap) < 0)
		return -errno;
	return unmap.len_bytes == len_bytes ? 0 : -EIO;
}

const struct vfio_backend vfio_iommufd_backend = {
	.name = "iommufd",
	.find = iommufd_find,
	.open = iommufd_open,
	.device_open = iommufd_device_open,
	.add_ranges = iommufd_add_ranges,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
};
