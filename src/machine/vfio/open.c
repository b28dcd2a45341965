/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking a function: sysfs says who has it, a backend opens it and its address space, the kernel describes it. For those
 * that were released, too: they may come back, under other numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "host/host.h"
#include "host/sysfs.h"
#include "machine/vfio/vfio.h"
#include "spec/pci.h"

/* ---- before it is open ---- */

static int no_driver(struct vfio_device *dev, const char *driver)
{
	struct ob *ob = dev->vm->machine.ob;

	if (driver[0] == '\0')
		ob_err(ob, "vfio: %s has no driver; 'outboard bind %s' gives it to vfio-pci", dev->name, dev->name);
	else
		ob_err(ob, "vfio: %s belongs to the kernel's driver %s; 'outboard bind %s' gives it to vfio-pci",
		       dev->name, driver, dev->name);
	return -EBUSY;
}

/* vfio-pci and the variants of it that exist for some devices have this in common: the device gets a vfio-dev, or a group. */
static bool is_vfio_driver(const char *driver)
{
	return strstr(driver, "vfio") != NULL;
}

static void find_cdev(struct vfio_device *dev)
{
	char **names;

	dev->cdev[0] = '\0';
	if (sysfs_list("", &names, "/sys/bus/pci/devices/%s/vfio-dev", dev->name) <= 0)
		return;
	snprintf(dev->cdev, sizeof(dev->cdev), "%.31s", names[0]);
	sysfs_list_free(names);
}

/* What the system says of it, and whether it can be had. */
static int find(struct vfio_device *dev)
{
	char driver[64] = "", group[32];
	struct ob *ob = dev->vm->machine.ob;

	if (!sysfs_exists("", "/sys/bus/pci/devices/%s", dev->name)) {
		ob_err(ob, "vfio: there is no PCI device %s", dev->name);
		return -ENODEV;
	}
	(void)sysfs_link("", driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver", dev->name);
	if (!is_vfio_driver(driver))
		return no_driver(dev, driver);
	if (sysfs_link("", group, sizeof(group), "/sys/bus/pci/devices/%s/iommu_group", dev->name) != 0 ||
	    sscanf(group, "%d", &dev->group) != 1) {
		ob_err(ob, "vfio: %s is behind no IOMMU; 'outboard doctor' says how to get one", dev->name);
		return -ENODEV;
	}
	find_cdev(dev);
	return 0;
}

void vfio_name_holder(const char *path, char *out)
{
	char who[HOST_TEXT_LEN];
	struct host here;

	out[0] = '\0';
	host_init(&here, "");
	if (host_holder(&here, path, who) > 0)
		snprintf(out, VFIO_HOLDER_LEN, ": %s", who);
}

/* ---- open ---- */

static int read_info(struct vfio_device *dev)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	struct vfio_region_info config = {.argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX};

	if (ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info) < 0)
		return -errno;
	if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0 || info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		return -EPROTO;
	dev->can_reset = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &config) < 0)
		return -errno;
	if (config.size < PCI_CONFIG_LEN)
		return -EPROTO;
	dev->config_offset = config.offset;
	dev->config_len_bytes = config.size;
	return 0;
}

static struct vfio_domain *domain_find(struct vfio_machine *vm, int group)
{
	list_for_each (node, &vm->domains) {
		struct vfio_domain *domain = list_entry(node, struct vfio_domain, link);

		if (domain->group == group)
			return domain;
	}
	return NULL;
}

/* The backend that the user wants, or the newest that there is. One without permission is taken last: it says so. */
static int choose_backend(const struct vfio_device *dev, const struct vfio_backend **out)
{
	struct vfio_machine *vm = dev->vm;
	int iommufd = vm->uri.backend != VFIO_BACKEND_GROUP ? vfio_iommufd_backend.find(dev) : -ENOENT;
	int group = vm->uri.backend != VFIO_BACKEND_IOMMUFD ? vfio_group_backend.find(dev) : -ENOENT;

	*out = iommufd == 0         ? &vfio_iommufd_backend
	       : group == 0         ? &vfio_group_backend
	       : iommufd == -EACCES ? &vfio_iommufd_backend
				    : NULL;
	if (*out != NULL)
		return 0;
	if (vm->uri.backend == VFIO_BACKEND_IOMMUFD)
		ob_err(vm->machine.ob,
		       "vfio: %s: this kernel has no iommufd device for it (Linux 6.6 or newer; "
		       "'modprobe iommufd')",
		       dev->name);
	else
		ob_err(vm->machine.ob, "vfio: %s: there is no /dev/vfio/%d; 'outboard doctor' says more", dev->name,
		       dev->group);
	return -ENODEV;
}

/* One more user of the group's address space, if it is open. */
static bool domain_join(struct vfio_domain *domain)
{
	bool is_open;

	pthread_mutex_lock(&domain->vm->dma_lock);
	is_open = domain->users > 0;
	if (is_open)
		domain->users++;
	pthread_mutex_unlock(&domain->vm->dma_lock);
	return is_open;
}

static void domain_leave(struct vfio_domain *domain)
{
	pthread_mutex_lock(&domain->vm->dma_lock);
	if (--domain->users == 0)
		vfio_domain_close(domain);
	pthread_mutex_unlock(&domain->vm->dma_lock);
}

void vfio_domain_close(struct vfio_domain *domain)
{
	if (domain->group_fd >= 0)
		close(domain->group_fd);
	if (domain->fd >= 0)
		close(domain->fd);
	domain->group_fd = domain->fd = -1;
	vfio_dma_forget(domain);
	machine_arena_fini(&domain->arena);
	domain->has_ranges = false;
}

/* Only here a domain is opened, by one thread at a time. */
static int domain_get(struct vfio_device *dev, struct vfio_domain **out)
{
	struct vfio_machine *vm = dev->vm;
	struct vfio_domain *domain = domain_find(vm, dev->group);
	const struct vfio_backend *backend;
	int ret = 0;

	if (domain == NULL) {
		domain = calloc(1, sizeof(*domain));
		if (domain == NULL)
			return -ENOMEM;
		*domain = (struct vfio_domain){.vm = vm, .group = dev->group, .fd = -1, .group_fd = -1};
		list_add_tail(&vm->domains, &domain->link);
	}
	if (!domain_join(domain)) {
		ret = choose_backend(dev, &backend);
		if (ret < 0)
			return ret;
		domain->backend = backend;
		pthread_mutex_lock(&vm->dma_lock);
		domain->users = 1;
		pthread_mutex_unlock(&vm->dma_lock);
		ret = backend->open(domain, dev);
	}
	if (ret < 0)
		domain_leave(domain);
	else
		*out = domain;
	return ret;
}

/* The kernel's notes come by eventfds, which it has until the device is closed. */
static void watch(struct vfio_device *dev, unsigned index, int fd, const char *what)
{
	int ret = dev->irq_count[index] != 0 ? vfio_irq_watch(dev, index, fd) : 0;

	if (ret < 0)
		ob_warn(dev->vm->machine.ob, "vfio: %s: the kernel does not say when %s: %s", dev->name, what,
			strerror(-ret));
}

/* The number that a released device had stays: see vfio_device_release(). */
static int adopt(struct vfio_device *dev, int fd)
{
	int ret = 0;

	if (dev->fd < 0) {
		dev->fd = fd;
		return 0;
	}
	if (dup3(fd, dev->fd, O_CLOEXEC) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* What the kernel says of it, now that it is open. */
static int describe(struct vfio_device *dev, struct vfio_domain *domain)
{
	int ret = domain->has_ranges ? 0 : domain->backend->add_ranges(domain);

	domain->has_ranges = ret == 0;
	if (ret == 0)
		ret = read_info(dev);
	if (ret == 0)
		ret = vfio_bars_read(dev);
	if (ret == 0)
		ret = vfio_irqs_read(dev);
	return ret;
}

int vfio_device_take(struct vfio_device *dev)
{
	struct vfio_machine *vm = dev->vm;
	struct vfio_domain *domain;
	int ret = find(dev), fd;

	if (ret == 0)
		ret = domain_get(dev, &domain);
	if (ret < 0)
		return ret;
	fd = domain->backend->device_open(domain, dev);
	if (fd < 0) {
		domain_leave(domain);
		return fd;
	}
	ret = adopt(dev, fd);
	if (ret == 0)
		ret = describe(dev, domain);
	if (ret < 0) {
		ob_err(vm->machine.ob, "vfio: %s: cannot be set up: %s", dev->name, strerror(-ret));
		if (dev->fd >= 0)
			(void)dup3(vm->null_fd, dev->fd, O_CLOEXEC);
		domain_leave(domain);
		return ret == -EPROTO ? -ENODEV : ret;
	}
	watch(dev, VFIO_PCI_REQ_IRQ_INDEX, dev->request_fd, "it wants the device back");
	watch(dev, VFIO_PCI_ERR_IRQ_INDEX, dev->error_fd, "the device has an error");
	pthread_mutex_lock(&vm->dma_lock);
	dev->domain = domain;
	__atomic_store_n(&dev->is_there, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&vm->dma_lock);
	ob_info(vm->machine.ob, "vfio: %s: IOMMU group %d, by %s", dev->name, dev->group, domain->backend->name);
	return 0;
}
