/* SPDX-License-Identifier: BSD-2-Clause */
/* A function: what belongs to it for the machine's life, letting go of it, its configuration space. open.c takes it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <outboard/device.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "machine/vfio/vfio.h"
#include "spec/pci.h"

/* ---- for the machine's life ---- */

int vfio_device_init(struct vfio_machine *vm, const struct vfio_address *address, struct vfio_device *dev)
{
	int ret;

	*dev = (struct vfio_device){
		.vm = vm,
		.segment = address->segment,
		.bdf = address->bdf,
		.group = -1,
		.fd = -1,
		.intx_fd = -1,
	};
	snprintf(dev->name, sizeof(dev->name), "%04x:%02x:%02x.%x", address->segment, address->bdf >> 8,
		 address->bdf >> 3 & 31, address->bdf & 7u);
	/* The thread that listens has them from its beginning, whether the device is there or not. */
	dev->request_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	dev->error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dev->request_fd >= 0 && dev->error_fd >= 0)
		return 0;
	ret = -errno;
	ob_err(vm->machine.ob, "vfio: %s: an eventfd: %s", dev->name, strerror(-ret));
	vfio_device_fini(dev);
	return ret;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vfio_device_fini(struct vfio_device *dev)
{
	close_fd(&dev->fd);
	close_fd(&dev->request_fd);
	close_fd(&dev->error_fd);
}

/* ---- letting go ---- */

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
		vfio_bars_vanish(dev);
		if (dup3(vm->null_fd, dev->fd, O_CLOEXEC) < 0)
			ob_err(vm->machine.ob, "vfio: %s: cannot be let go: %s", dev->name, strerror(errno));
		/* The kernel waits for the group, too, before it gives the device to anybody else. */
		if (--domain->users == 0)
			vfio_domain_close(domain);
	}
	pthread_mutex_unlock(&vm->dma_lock);
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
