/* SPDX-License-Identifier: BSD-2-Clause */
/* A device of the model machine: its model, its function, and how register accesses and work get to it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/device.h>
#include <outboard/log.h>

#include "machine/model/model_machine.h"

#define WORK_BUDGET 64 /* commands between two looks */
#define WORK_ROUNDS 64 /* … before a caller's thread hands over to the worker */
#define NOTE_LEN    256

/* ---- work ---- */

void model_device_work(struct model_device *dev)
{
	unsigned rounds = 0;

	while (dev->kicked) {
		dev->kicked = false;
		while (dev->kind->run(dev->model, WORK_BUDGET)) {
			if (++rounds < WORK_ROUNDS)
				continue;
			dev->kicked = true;
			model_worker_queue(dev);
			return;
		}
	}
}

void model_device_expire(struct model_device *dev)
{
	if (dev->kind != NULL)
		dev->kind->event(dev->model);
}

/* After an access from outside: at once, or on the worker's thread. */
static inline void device_settle(struct model_device *dev)
{
	if (OB_LIKELY(!dev->kicked))
		return;
	if (OB_UNLIKELY(dev->threaded))
		model_worker_queue(dev);
	else
		model_device_work(dev);
}

/* ---- the model's host ---- */

static bool host_msix_enabled(struct model_host *host)
{
	return model_pci_msix_enabled(&device_of_host(host)->pci);
}

static void host_msix(struct model_host *host, unsigned vector)
{
	model_pci_msix_fire(&device_of_host(host)->pci, vector);
}

static void host_intx(struct model_host *host, bool level)
{
	model_pci_intx_set(&device_of_host(host)->pci, level);
}

static void host_kick(struct model_host *host)
{
	device_of_host(host)->kicked = true;
}

static void *host_alloc(struct model_host *host, size_t len_bytes)
{
	return calloc(1, len_bytes);
}

static void host_free(struct model_host *host, void *memory)
{
	free(memory);
}

static void OB_PRINTF(2, 3) host_note(struct model_host *host, const char *format, ...)
{
	struct model_device *dev = device_of_host(host);
	char line[NOTE_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	ob_warn(dev->machine->machine.ob, "model: %s: %s", dev->name, line);
}

static const struct model_host_ops host_ops = {
	.dma_read = model_host_dma_read,
	.dma_look = model_host_dma_read, /* all words are read so */
	.dma_write = model_host_dma_write,
	.dma_publish = model_host_dma_publish,
	.dma_fence = model_host_dma_fence,
	.msix_enabled = host_msix_enabled,
	.msix = host_msix,
	.intx = host_intx,
	.now_ns = model_host_now_ns,
	.schedule = model_host_schedule,
	.kick = host_kick,
	.alloc = host_alloc,
	.free = host_free,
	.note = host_note,
};

/* ---- the function ---- */

static struct model_device *device_of_pci(struct model_pci *f)
{
	return container_of(f, struct model_device, pci);
}

static void root_enter(struct model_pci_root *root, struct model_pci *f)
{
	pthread_mutex_lock(&device_of_pci(f)->lock);
}

static void root_leave(struct model_pci_root *root, struct model_pci *f)
{
	struct model_device *dev = device_of_pci(f);

	device_settle(dev);
	pthread_mutex_unlock(&dev->lock);
}

static void *root_alloc(struct model_pci_root *root, size_t len_bytes)
{
	return calloc(1, len_bytes);
}

static void root_free(struct model_pci_root *root, void *memory)
{
	free(memory);
}

const struct model_pci_root_ops model_root_ops = {
	.enter = root_enter,
	.leave = root_leave,
	.message = model_irq_message,
	.line = model_irq_line,
	.alloc = root_alloc,
	.free = root_free,
};

/* ---- making and finding ---- */

struct model_device *model_device_new(struct model_machine *mm, const char *name)
{
	struct model_device *dev = calloc(1, sizeof(*dev));
	pthread_mutexattr_t spin_first;

	if (dev == NULL)
		return NULL;
	dev->host.ops = &host_ops;
	dev->machine = mm;
	dev->due_ns = MODEL_NEVER;
	list_init(&dev->link);
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	/* Held for the time of a batch, so that it pays to spin for it before sleeping. */
	pthread_mutexattr_init(&spin_first);
	pthread_mutexattr_settype(&spin_first, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&dev->lock, &spin_first);
	pthread_mutexattr_destroy(&spin_first);
	return dev;
}

int model_device_create_port(struct model_machine *mm, uint8_t devfn, uint16_t slot_number, const char *name,
			     struct model_device **out)
{
	struct model_device *dev = model_device_new(mm, name);

	if (dev == NULL)
		return -ENOMEM;
	model_pci_port_init(&dev->pci, &mm->root.bus, devfn, slot_number);
	list_add_tail(&mm->devices, &dev->link);
	model_pci_ready(&dev->pci, true);
	*out = dev;
	return 0;
}

void model_device_ready(struct model_device *dev, bool present)
{
	model_pci_ready(&dev->pci, present);
}

void model_device_destroy(struct model_device *dev)
{
	model_pci_fini(&dev->pci);
	if (dev->kind != NULL)
		dev->kind->destroy(dev->model);
	pthread_mutex_destroy(&dev->lock);
	list_del(&dev->link);
	free(dev->grants);
	free(dev);
}

struct model_device *model_device_find(struct model_machine *mm, const char *name)
{
	list_for_each (node, &mm->devices) {
		struct model_device *dev = list_entry(node, struct model_device, link);

		if (strcmp(dev->name, name) == 0)
			return dev;
	}
	return NULL;
}

/* The bus above names a function by its address (bus/pci: "0000:01:00.0"), which is all that the two sides share. */
struct model_device *model_device_of(struct model_machine *mm, struct ob_device *ob_dev)
{
	unsigned segment, bus, slot, function;
	struct model_device *dev = NULL;
	struct model_pci *f;

	if (sscanf(ob_device_name(ob_dev), "%x:%x:%x.%x", &segment, &bus, &slot, &function) != 4)
		return NULL;
	pthread_mutex_lock(&mm->config_lock);
	f = model_pci_find(&mm->root, PCI_BDF(bus, slot, function));
	if (f != NULL)
		dev = device_of_pci(f);
	pthread_mutex_unlock(&mm->config_lock);
	return dev;
}

/* ---- register access ---- */

struct region_context {
	struct model_device *dev;
	unsigned bar;
	uint64_t bar_address; /* where the BAR was when the region was opened */
	uint64_t offset;      /* of the region in the BAR */
};

static bool region_is_live(const struct region_context *c)
{
	return OB_READ_ONCE(c->dev->pci.live[c->bar]) == c->bar_address;
}

static uint64_t model_region_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	const struct region_context *c = region->context;
	struct model_device *dev = c->dev;
	uint64_t value = UINT64_MAX;

	pthread_mutex_lock(&dev->lock);
	if (region_is_live(c))
		value = model_pci_bar_read(&dev->pci, c->bar, c->offset + offset, size_bytes);
	pthread_mutex_unlock(&dev->lock);
	return value;
}

static void model_region_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	const struct region_context *c = region->context;
	struct model_device *dev = c->dev;

	pthread_mutex_lock(&dev->lock);
	if (OB_LIKELY(region_is_live(c))) {
		model_pci_bar_write(&dev->pci, c->bar, c->offset + offset, size_bytes, value);
		device_settle(dev);
	}
	pthread_mutex_unlock(&dev->lock);
}

static const struct ob_region_ops region_ops = {
	.read = model_region_read,
	.write = model_region_write,
};

/* The function and BAR that the whole range lies in, now. */
static struct model_device *decode(struct model_machine *mm, uint64_t address, uint64_t len_bytes, unsigned *bar,
				   uint64_t *offset)
{
	struct model_device *dev = NULL;
	struct model_pci *f;

	pthread_mutex_lock(&mm->config_lock);
	f = model_pci_decode(&mm->root, address, bar, offset);
	if (f != NULL && len_bytes <= f->bar[*bar].len_bytes - *offset)
		dev = device_of_pci(f);
	pthread_mutex_unlock(&mm->config_lock);
	return dev;
}

int model_region_open(struct machine *m, struct ob_device *ob_dev, enum machine_space space, uint64_t address,
		      uint64_t len_bytes, struct ob_region *out)
{
	struct model_machine *mm = model_of(m);
	struct region_context *c;
	struct model_device *dev;
	uint64_t offset = 0;
	unsigned bar = 0;

	if (space != MACHINE_SPACE_MEMORY)
		return -ENODEV;
	dev = decode(mm, address, len_bytes, &bar, &offset);
	if (dev == NULL)
		return -ENODEV;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	*c = (struct region_context){dev, bar, address - offset, offset};
	*out = (struct ob_region){
		.len_bytes = len_bytes,
		.ops = &region_ops,
		.context = c,
		.address = address,
		.dev = ob_dev,
	};
	return 0;
}

void model_region_close(struct machine *m, struct ob_region *region)
{
	free(region->context);
	region->context = NULL;
}

uint64_t model_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	struct model_machine *mm = model_of(m);
	uint64_t offset, value = UINT64_MAX;
	struct model_device *dev = NULL;
	unsigned bar;

	if (space == MACHINE_SPACE_MEMORY)
		dev = decode(mm, address, size_bytes, &bar, &offset);
	if (dev != NULL) {
		pthread_mutex_lock(&dev->lock);
		value = model_pci_bar_read(&dev->pci, bar, offset, size_bytes);
		pthread_mutex_unlock(&dev->lock);
	}
	return size_bytes >= 8 ? value : value & ((1ull << (8 * size_bytes)) - 1);
}

void model_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes, uint64_t value)
{
	struct model_machine *mm = model_of(m);
	struct model_device *dev;
	uint64_t offset;
	unsigned bar;

	if (space != MACHINE_SPACE_MEMORY)
		return;
	dev = decode(mm, address, size_bytes, &bar, &offset);
	if (dev == NULL)
		return;
	pthread_mutex_lock(&dev->lock);
	model_pci_bar_write(&dev->pci, bar, offset, size_bytes, value);
	device_settle(dev);
	pthread_mutex_unlock(&dev->lock);
}
