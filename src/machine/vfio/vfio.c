/* SPDX-License-Identifier: BSD-2-Clause */
/* The VFIO machine: opened by the addresses of its functions, closed so that the kernel has them back. */
#include "machine/vfio/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/log.h>

#include "base/bits.h"

/* ---- buses: others found and configured the functions, the bus only reads ---- */

/* Function 0 says whether there are others, but it may belong to somebody else: then the slot is looked through all the
 * same. */
static void hide_function_0(struct vfio_machine *vm, uint16_t bdf)
{
	uint16_t first = bdf & (uint16_t)~7u;

	if (vfio_device_at(vm, first) != NULL)
		return;
	for (unsigned i = 0; i < vm->hidden_count; i++)
		if (vm->hidden[i] == first)
			return;
	vm->hidden[vm->hidden_count++] = first;
}

static void describe_buses(struct vfio_machine *vm)
{
	unsigned count = 0;

	for (unsigned i = 0; i < vm->device_count; i++)
		hide_function_0(vm, vm->devices[i].bdf);
	for (unsigned i = 0; i < vm->device_count; i++) {
		const struct vfio_device *dev = &vm->devices[i];
		uint8_t number = (uint8_t)(dev->bdf >> 8);
		bool known = false;

		for (unsigned k = 0; k < count; k++)
			known |= vm->buses[k].u.pci.bus_first == number;
		if (known)
			continue;
		vm->buses[count++] = (struct machine_bus){
			.kind = MACHINE_BUS_PCI,
			.u.pci =
				{
					.segment = dev->segment,
					.bus_first = number,
					.bus_last = number,
					.assigned = true,
					.config_read = vfio_config_read,
					.config_write = vfio_config_write,
					.hidden = vm->hidden,
					.hidden_count = vm->hidden_count,
				},
		};
	}
	vm->buses[count].kind = MACHINE_BUS_END;
}

static const struct machine_bus *vfio_buses(struct machine *m)
{
	return vfio_of(m)->buses;
}

static void vfio_release(struct machine *m, const char *device)
{
	struct vfio_machine *vm = vfio_of(m);

	for (unsigned i = 0; i < vm->device_count; i++)
		if (strcmp(vm->devices[i].name, device) == 0)
			vfio_device_release(&vm->devices[i]);
}

/* ---- the end ---- */

/* The devices go, and with them all DMA; memory and address spaces stay for windows that the program holds. */
static void vfio_shutdown(struct machine *m)
{
	struct vfio_machine *vm = vfio_of(m);

	vfio_errand_finish(vm);
	vfio_notify_stop(vm);
	for (unsigned i = 0; i < vm->device_count; i++)
		vfio_device_release(&vm->devices[i]);
}

static void vfio_close(struct machine *m)
{
	struct vfio_machine *vm = vfio_of(m);
	struct list *node;

	vfio_shutdown(m);
	for (unsigned i = 0; i < vm->device_count; i++)
		vfio_device_fini(&vm->devices[i]);
	while ((node = list_pop(&vm->domains)) != NULL) {
		struct vfio_domain *domain = list_entry(node, struct vfio_domain, link);

		vfio_domain_close(domain);
		free(domain);
	}
	if (vm->null_fd >= 0)
		close(vm->null_fd);
	pthread_mutex_destroy(&vm->dma_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static const struct machine_ops vfio_ops = {
	.shutdown = vfio_shutdown,
	.close = vfio_close,
	.buses = vfio_buses,
	.release = vfio_release,
	.rescan = vfio_rescan,
	.reset = vfio_reset,
	.read = vfio_read,
	.write = vfio_write,
	.flush = vfio_flush,
	.region_open = vfio_region_open,
	.region_close = vfio_region_close,
	.dma_alloc = vfio_dma_alloc,
	.dma_free = vfio_dma_free,
	.dma_import = vfio_dma_import,
	.dma_grant = vfio_dma_grant,
	.dma_revoke = vfio_dma_revoke,
	.msi_alloc = vfio_msi_alloc,
	.msi_free = vfio_msi_free,
	.intx_open = vfio_intx_open,
	.intx_close = vfio_intx_close,
	.intx_level = vfio_intx_level,
	.command = vfio_command,
};

/* ---- the beginning ---- */

static int open_devices(struct vfio_machine *vm)
{
	int ret = 0;

	for (unsigned i = 0; i < vm->uri.device_count && ret == 0; i++) {
		ret = vfio_device_init(vm, &vm->uri.device[i], &vm->devices[i]);
		if (ret == 0) {
			vm->device_count++;
			ret = vfio_device_take(&vm->devices[i]);
		}
	}
	return ret;
}

static int vfio_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		     struct machine **out)
{
	struct vfio_machine *vm = calloc(1, sizeof(*vm));
	char why[160];
	int ret;

	if (vm == NULL)
		return -ENOMEM;
	ret = vfio_uri_parse(rest, &vm->uri, why, sizeof(why));
	if (ret < 0) {
		ob_err(ob, "vfio: %s", why);
		free(vm);
		return ret;
	}
	vm->machine.ops = &vfio_ops;
	vm->machine.ob = ob;
	vm->stop_fd = vm->log_fd = -1;
	list_init(&vm->domains);
	list_init(&vm->memory);
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->dma_lock, NULL);
	vm->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	ret = vm->null_fd >= 0 ? 0 : -errno;
	if (ret < 0)
		ob_err(ob, "vfio: /dev/null: %s", strerror(-ret));
	if (ret == 0)
		ret = open_devices(vm);
	if (ret == 0) {
		describe_buses(vm);
		ret = vfio_notify_start(vm);
	}
	if (ret < 0) {
		vfio_close(&vm->machine);
		/* Of the machine, not of the URI: which was fine. */
		return ret == -EINVAL || ret == -ENOENT ? -ENODEV : ret;
	}
	*out = &vm->machine;
	return 0;
}

const struct machine_type vfio_machine_type = {
	.scheme = "vfio",
	.help = "vfio:0000:01:00.0[,…]  PCI devices of this computer that vfio-pci holds (outboard bind)",
	.open = vfio_open,
};
