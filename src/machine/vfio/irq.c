/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts: the kernel takes them and fires eventfds; it writes the device's tables, so nobody above does. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "machine/vfio/vfio.h"

#define VECTORS_MAX 2048u /* MSI-X, PCI 3.0 §6.8.2.3 */

int vfio_irqs_read(struct vfio_device *dev)
{
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		struct vfio_irq_info info = {.argsz = sizeof(info), .index = i};

		dev->irq_count[i] = 0;
		if (ioctl(dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) == 0 && (info.flags & VFIO_IRQ_INFO_EVENTFD))
			dev->irq_count[i] = MIN(info.count, VECTORS_MAX);
	}
	return 0;
}

/* ---- VFIO_DEVICE_SET_IRQS ---- */

static int set_none(struct vfio_device *dev, unsigned index, uint32_t action, uint32_t count)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | action,
		.index = index,
		.count = count,
	};

	return ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &set) < 0 ? -errno : 0;
}

/* 0; -ENOSPC the kernel has fewer; negative errno. */
static int set_eventfds(struct vfio_device *dev, unsigned index, const int32_t *fds, unsigned count)
{
	size_t len_bytes = sizeof(struct vfio_irq_set) + count * sizeof(*fds);
	struct vfio_irq_set *set = calloc(1, len_bytes);
	int ret;

	if (set == NULL)
		return -ENOMEM;
	*set = (struct vfio_irq_set){
		.argsz = (uint32_t)len_bytes,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
		.count = count,
	};
	memcpy(set->data, fds, count * sizeof(*fds));
	ret = ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set);
	if (ret < 0)
		ret = -errno;
	else if (ret > 0)
		ret = -ENOSPC; /* so many it would have */
	free(set);
	return ret;
}

int vfio_irq_watch(struct vfio_device *dev, unsigned index, int fd)
{
	int32_t one = fd;

	return set_eventfds(dev, index, &one, 1);
}

static void disable(struct vfio_device *dev, unsigned index)
{
	int ret;

	if (!__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		return;
	ret = set_none(dev, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0);
	if (ret < 0)
		ob_warn(dev->vm->machine.ob, "vfio: %s: its interrupts stay on: %s", dev->name, strerror(-ret));
}

/* Each vector takes a file. */
static int no_eventfd(const struct vfio_device *dev)
{
	int error = errno;

	ob_warn(dev->vm->machine.ob, "vfio: %s: no eventfd for an interrupt: %s%s", dev->name, strerror(error),
		error == EMFILE ? "; more files may be open at once with 'ulimit -n'" : "");
	return -ENOSPC;
}

/* ---- messages ---- */

int vfio_msi_alloc(struct machine *m, struct ob_device *ob_dev, unsigned count, bool contiguous,
		   struct machine_msi *out)
{
	struct vfio_device *dev = vfio_device_of(vfio_of(m), ob_dev);
	unsigned index = contiguous ? VFIO_PCI_MSI_IRQ_INDEX : VFIO_PCI_MSIX_IRQ_INDEX, made = 0;
	int32_t *fds;
	int ret = 0;

	if (dev == NULL || !__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		return -ENODEV;
	if (dev->irq_count[index] == 0)
		return -EOPNOTSUPP;
	if (count == 0 || count > dev->irq_count[index])
		return -ENOSPC;
	fds = calloc(count, sizeof(*fds));
	if (fds == NULL)
		return -ENOMEM;
	for (; made < count && ret == 0; made++) {
		fds[made] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fds[made] < 0)
			ret = no_eventfd(dev);
	}
	if (ret == 0)
		ret = set_eventfds(dev, index, fds, count);
	if (ret == 0)
		dev->msi_index = index;
	for (unsigned i = 0; i < made; i++) {
		if (ret == 0)
			out[i] = (struct machine_msi){.fd = fds[i]};
		else if (fds[i] >= 0)
			close(fds[i]);
	}
	free(fds);
	return ret;
}

void vfio_msi_free(struct machine *m, struct ob_device *ob_dev, unsigned count, struct machine_msi *msi)
{
	struct vfio_device *dev = vfio_device_of(vfio_of(m), ob_dev);

	if (dev != NULL)
		disable(dev, dev->msi_index);
	for (unsigned i = 0; i < count; i++) {
		close(msi[i].fd);
		msi[i].fd = -1;
	}
}

/* ---- the line ---- */

int vfio_intx_open(struct machine *m, struct ob_device *ob_dev, unsigned slot, unsigned pin, struct machine_intx *out)
{
	struct vfio_device *dev = vfio_device_of(vfio_of(m), ob_dev);
	int fd, ret;

	if (dev == NULL || !__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		return -ENODEV;
	if (dev->irq_count[VFIO_PCI_INTX_IRQ_INDEX] == 0)
		return -EOPNOTSUPP;
	if (dev->intx_fd >= 0)
		return -EBUSY;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return no_eventfd(dev);
	ret = vfio_irq_watch(dev, VFIO_PCI_INTX_IRQ_INDEX, fd);
	if (ret < 0) {
		ob_err(m->ob, "vfio: %s: its interrupt line cannot be had: %s%s", dev->name, strerror(-ret),
		       ret == -EBUSY ? "; another device on the same line does not share it" : "");
		close(fd);
		return ret;
	}
	dev->intx_fd = fd;
	*out = (struct machine_intx){.fd = fd, .cookie = dev};
	return 0;
}

void vfio_intx_close(struct machine *m, struct machine_intx *line)
{
	struct vfio_device *dev = line->cookie;

	disable(dev, VFIO_PCI_INTX_IRQ_INDEX);
	close(dev->intx_fd);
	dev->intx_fd = -1;
	*line = (struct machine_intx){.fd = -1};
}

/*
 * The kernel masks the line as it fires the eventfd, and cannot say how high the line is; but when it lets the line go and
 * it is up, it fires again at once. So this lets go, and the eventfd answers.
 */
bool vfio_intx_level(struct machine *m, struct machine_intx *line)
{
	struct vfio_device *dev = line->cookie;

	if (__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		(void)set_none(dev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 1);
	return false;
}
