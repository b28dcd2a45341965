/* SPDX-License-Identifier: BSD-2-Clause */
/* A function: found by sysfs, opened by a backend, asked for its configuration space, let go of. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <outboard/device.h>
#include <outboard/log.h>

#include "base/bits.h"
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

int vfio_device_find(struct vfio_machine *vm, const struct vfio_address *address, struct vfio_device *dev)
{
	char driver[64] = "", group[32];
	struct ob *ob = vm->machine.ob;

	*dev = (struct vfio_device){
		.vm = vm,
		.segment = address->segment,
		.bdf = address->bdf,
		.group = -1,
		.fd = -1,
		.request_fd = -1,
		.error_fd = -1,
		.intx_fd = -1,
	};
	snprintf(dev->name, sizeof(dev->name), "%04x:%02x:%02x.%x", address->segment, address->bdf >> 8,
		 address->bdf >> 3 & 31, address->bdf & 7u);
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

/* The backend that the user wants, or the newest that there is. */
static int choose_backend(const struct vfio_device *dev, const struct vfio_backend **out)
{
	struct vfio_machine *vm = dev->vm;
	bool iommufd = vfio_iommufd_backend.is_usable(dev), group = vfio_group_backend.is_usable(dev);

	if (vm->uri.backend == VFIO_BACKEND_GROUP)
		iommufd = false;
	else if (vm->uri.backend == VFIO_BACKEND_IOMMUFD)
		group = false;
	*out = iommufd ? &vfio_iommufd_backend : group ? &vfio_group_backend : NULL;
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

static int domain_get(struct vfio_device *dev, struct vfio_domain **out)
{
	struct vfio_machine *vm = dev->vm;
	struct vfio_domain *domain = domain_find(vm, dev->group);
	const struct vfio_backend *backend;
	int ret;

	if (domain == NULL) {
		ret = choose_backend(dev, &backend);
		if (ret < 0)
			return ret;
		domain = calloc(1, sizeof(*domain));
		if (domain == NULL)
			return -ENOMEM;
		*domain = (struct vfio_domain){
			.vm = vm,
			.backend = backend,
			.group = dev->group,
			.fd = -1,
			.group_fd = -1,
		};
		/* It stays in the list also when this fails: close() then finds what is open. */
		list_add_tail(&vm->domains, &domain->link);
		ret = backend->open(domain, dev);
		if (ret < 0)
			return ret;
	}
	*out = domain;
	return 0;
}

static void watch(struct vfio_device *dev, unsigned index, int *fd, const char *what)
{
	if (dev->irq_count[index] == 0)
		return;
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*fd >= 0 && vfio_irq_watch(dev, index, *fd) == 0)
		return;
	ob_warn(dev->vm->machine.ob, "vfio: %s: the kernel does not say when %s", dev->name, what);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int vfio_device_open(struct vfio_device *dev)
{
	struct vfio_domain *domain;
	int ret = domain_get(dev, &domain);

	if (ret == 0)
		ret = domain->backend->device_open(domain, dev);
	if (ret < 0)
		return ret;
	dev->domain = domain;
	domain->users++;
	if (!domain->has_ranges) {
		ret = domain->backend->add_ranges(domain);
		domain->has_ranges = ret == 0;
	}
	if (ret == 0)
		ret = read_info(dev);
	if (ret == 0)
		ret = vfio_bars_read(dev);
	if (ret == 0)
		ret = vfio_irqs_read(dev);
	if (ret < 0) {
		ob_err(dev->vm->machine.ob, "vfio: %s: cannot be set up: %s", dev->name, strerror(-ret));
		return ret == -EPROTO ? -ENODEV : ret;
	}
	watch(dev, VFIO_PCI_REQ_IRQ_INDEX, &dev->request_fd, "it wants the device back");
	watch(dev, VFIO_PCI_ERR_IRQ_INDEX, &dev->error_fd, "the device has an error");
	__atomic_store_n(&dev->is_there, true, __ATOMIC_RELEASE);
	ob_info(dev->vm->machine.ob, "vfio: %s: IOMMU group %d, by %s", dev->name, dev->group, domain->backend->name);
	return 0;
}

/* It has no driver; should one be stuck all the same, its device must not go on writing to memory that is unmapped. */
static void silence(struct vfio_device *dev)
{
	struct machine *m = &dev->vm->machine;
	uint32_t command;

	if (vfio_config_read(m, dev->bdf, PCI_COMMAND, 2, &command) == 0 && command != 0xffff &&
	    (command & PCI_COMMAND_MASTER) != 0)
		(void)vfio_config_write(m, dev->bdf, PCI_COMMAND, 2, command & ~PCI_COMMAND_MASTER);
}

void vfio_device_release(struct vfio_device *dev)
{
	struct vfio_machine *vm = dev->vm;
	struct vfio_domain *domain = dev->domain;

	pthread_mutex_lock(&vm->dma_lock);
	if (__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE)) {
		silence(dev);
		__atomic_store_n(&dev->is_there, false, __ATOMIC_RELEASE);
		/*
		 * The number stays taken, so that a call under way in another thread meets nobody else's file; what it
		 * finds there from now on reads nothing. The kernel's own lasts until the last mapping of a BAR is gone.
		 */
		(void)dup3(vm->null_fd, dev->fd, O_CLOEXEC);
		/* The kernel waits for the group, too, before it gives the device to anybody else. */
		if (--domain->users == 0)
			vfio_domain_close(domain);
	}
	pthread_mutex_unlock(&vm->dma_lock);
}

void vfio_domain_close(struct vfio_domain *domain)
{
	if (domain->group_fd >= 0)
		close(domain->group_fd);
	if (domain->fd >= 0)
		close(domain->fd);
	domain->group_fd = domain->fd = -1;
}

/* ---- which ---- */

struct vfio_device *vfio_device_at(struct vfio_machine *vm, uint16_t bdf)
{
	for (unsigned i = 0; i < vm->device_count; i++)
		if (vm->devices[i].bdf == bdf)
			return &vm->devices[i];
	return NULL;
}

struct vfio_device *vfio_device_of(struct vfio_machine *vm, const struct ob_device *dev)
{
	for (unsigned i = 0; i < vm->device_count; i++)
		if (strcmp(vm->devices[i].name, ob_device_name(dev)) == 0)
			return &vm->devices[i];
	return NULL;
}

/* ---- configuration space ---- */

static bool read_raw(const struct vfio_device *dev, unsigned offset, void *out, unsigned size_bytes)
{
	return pread(dev->fd, out, size_bytes, (off_t)(dev->config_offset + offset)) == (ssize_t)size_bytes;
}

bool vfio_device_answers(struct vfio_device *dev)
{
	ob_le32 raw = {0};

	/* The ids come out of the kernel's memory, also when nothing is there any more; the class comes from the device. */
	return __atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE) && read_raw(dev, PCI_CLASS_REVISION, &raw, 4) &&
	       ob_le32_to_cpu(raw) != 0xffffffffu;
}

int vfio_config_read(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t *value)
{
	struct vfio_device *dev = vfio_device_at(vfio_of(m), bdf);
	ob_le32 raw = {0};

	if (dev == NULL || !__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE) || size_bytes > sizeof(raw) ||
	    offset + size_bytes > dev->config_len_bytes)
		return -ENODEV;
	if (offset < PCI_COMMAND && !vfio_device_answers(dev))
		return -ENODEV;
	if (!read_raw(dev, offset, &raw, size_bytes))
		return -ENODEV;
	*value = ob_le32_to_cpu(raw);
	return 0;
}

int vfio_config_write(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value)
{
	struct vfio_device *dev = vfio_device_at(vfio_of(m), bdf);
	ob_le32 raw = ob_cpu_to_le32(value);

	if (dev == NULL || !__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE) || size_bytes > sizeof(raw) ||
	    offset + size_bytes > dev->config_len_bytes)
		return -ENODEV;
	return pwrite(dev->fd, &raw, size_bytes, (off_t)(dev->config_offset + offset)) == (ssize_t)size_bytes ? 0
													      : -ENODEV;
}
