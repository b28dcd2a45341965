/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing a controller up and taking it down, in one place so that the two orders can be compared. Going down: no more
 * work (service task), no users (namespaces, queues), no DMA (shutdown, CC.EN = 0), no interrupts, and only then is
 * memory freed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/hooks.h"
#include "drivers/block/nvme/nvme.h"

void *nvme_alloc(struct nvme *n, size_t len_bytes)
{
	return hooks_fail(n->ob, "nvme_alloc") ? NULL : ob_alloc(len_bytes);
}

static bool name_is_taken(struct nvme *n, unsigned instance)
{
	struct ob_machine *machine = ob_device_machine(n->dev);
	char prefix[NVME_NAME_MAX];
	size_t len = (size_t)snprintf(prefix, sizeof(prefix), "nvme%un", instance);
	bool taken = false;

	/* Controllers of this machine, those without a namespace too. */
	for (struct ob_device *d = ob_device_next(machine, NULL); d != NULL; d = ob_device_next(machine, d)) {
		const char *driver = ob_device_driver_name(d);
		const struct nvme *other = ob_device_driver_data(d);

		if (d != n->dev && driver != NULL && strcmp(driver, nvme_driver.name) == 0 && other != NULL)
			taken |= other->instance == instance;
	}
	/* Block devices of other machines of the program. */
	for (struct ob_block *b = ob_block_next(n->ob, NULL); b != NULL; b = ob_block_next(n->ob, b))
		taken |= strncmp(ob_block_name(b), prefix, len) == 0;
	return taken;
}

void nvme_pick_name(struct nvme *n)
{
	for (n->instance = 0; n->instance < 999 && name_is_taken(n, n->instance); n->instance++)
		;
	snprintf(n->name, sizeof(n->name), "nvme%u", n->instance);
}

/* One vector for the admin queue, and some for channels. None at all: everything is polled. */
static int get_vectors(struct nvme *n)
{
	unsigned max = MIN(NVME_VECTORS_MAX, 5 + 4 * ob_cpu_count(n->ob));
	int ret = ob_irq_alloc(n->dev, 1, max, OB_IRQ_ANY, &n->irq_kind);

	if (ret == -ENODEV || ret == -ENOMEM)
		return ret;
	if (ret < 0) {
		ob_warn(n->ob, "%s: no interrupts, polling", n->name);
		ret = 0;
	}
	n->vector_count = (unsigned)ret;
	n->vectors_used = 1;
	return 0;
}

static void release_vectors(struct nvme *n)
{
	if (n->vector_count > 0)
		ob_irq_release(n->dev);
	n->vector_count = 0;
}

/*
 * Doorbell buffers, where they are offered, a page has room for all queues, and registers are far away. They spare the
 * host register writes at the price of DMA for each command (the device reads the shadow and writes its index), and with
 * one doorbell for each batch there is not much to spare: where registers are mapped, they cost more than they give.
 */
static int alloc_shadow(struct nvme *n)
{
	int ret;

	/* A level-triggered line drops when the head doorbell is written, which a shadow would save. */
	if (n->regs.base != NULL || n->irq_kind == OB_IRQ_INTX || (n->quirks & NVME_QUIRK_NO_SHADOW) != 0 ||
	    (n->info.oacs & NVME_OACS_DOORBELL_BUFFER) == 0 ||
	    NVME_SHADOW_CQ(NVME_QUEUES_WISHED, n->dstrd) + 4 > NVME_PAGE_BYTES)
		return 0;
	ret = ob_dma_alloc(n->dev, NVME_PAGE_BYTES, NVME_PAGE_BYTES, &n->shadow);
	if (ret != 0)
		return ret;
	ret = ob_dma_alloc(n->dev, NVME_PAGE_BYTES, NVME_PAGE_BYTES, &n->event_index);
	if (ret != 0)
		ob_dma_free(n->dev, &n->shadow);
	return ret;
}

/* Everything that needs the registers and the admin queue, in the order in which nvme_stop() undoes it. */
static int start_hardware(struct nvme *n)
{
	int ret;

	ret = nvme_disable(n);
	if (ret != 0) {
		nvme_quiesce(n);
		return ret;
	}
	ret = get_vectors(n);
	if (ret != 0)
		return ret;
	ret = nvme_admin_init(n);
	if (ret != 0)
		goto release_vectors;
	ret = nvme_admin_start_irq(n);
	if (ret != 0)
		goto free_admin;
	ret = ob_device_enable_dma(n->dev, true);
	if (ret != 0)
		goto stop_irq;
	ret = nvme_enable(n);
	if (ret != 0)
		goto quiesce;
	ret = nvme_configure(n);
	if (ret != 0)
		goto quiesce;
	n->queue_max = n->queues_granted;
	return 0;

quiesce:
	nvme_quiesce(n);
	nvme_admin_cancel(n, -ENODEV);
stop_irq:
	nvme_admin_stop_irq(n);
free_admin:
	nvme_admin_fini(n);
release_vectors:
	release_vectors(n);
	return ret;
}

static void stop_hardware(struct nvme *n)
{
	if (!nvme_is_gone(n) && !n->quiet)
		nvme_shutdown_notify(n, NVME_CC_SHN_NORMAL);
	nvme_quiesce(n);
	nvme_admin_stop_irq(n);
	nvme_admin_cancel(n, -ENODEV);
	nvme_graveyard_clear(n);
	ob_dma_free(n->dev, &n->event_index);
	ob_dma_free(n->dev, &n->shadow);
	nvme_admin_fini(n);
	release_vectors(n);
}

int nvme_start(struct nvme *n)
{
	int ret;

	ob_mutex_init(&n->lock, "nvme");
	list_init(&n->queues);
	list_init(&n->graveyard);
	list_init(&n->namespaces);
	ob_event_init(&n->service_event, n->cpu);
	ret = nvme_read_capabilities(n);
	if (ret != 0)
		return ret;
	ret = start_hardware(n);
	if (ret != 0)
		return ret;
	ret = alloc_shadow(n);
	if (ret != 0)
		goto stop;
	nvme_set_doorbell_buffers(n);
	ob_info(n->ob, "%s: %s, serial %s, firmware %s, NVMe %u.%u, %u queues, %u vectors%s%s", n->name, n->info.model,
		n->info.serial, n->info.firmware, FIELD_GET(NVME_VS_MJR, n->version),
		FIELD_GET(NVME_VS_MNR, n->version), n->queue_max, n->vector_count, n->info.sgl ? ", SGL" : "",
		n->shadow_on ? ", shadow doorbells" : "");
	ret = nvme_service_start(n);
	if (ret != 0)
		goto stop;
	/* Before the scan: a change after the look at it makes an event. */
	nvme_events_start(n);
	ret = nvme_rescan(n);
	if (ret != 0)
		goto stop_service;
	n->state = NVME_LIVE;
	/* What was asked for meanwhile. */
	ob_event_signal(&n->service_event);
	return 0;

stop_service:
	nvme_service_stop(n);
	nvme_namespaces_remove(n);
stop:
	stop_hardware(n);
	return ret;
}

void nvme_stop(struct nvme *n)
{
	uint32_t csts;

	/* Configuration space alone proves nothing: it may read all ones while the controller works. */
	nvme_read_status(n, &csts);
	nvme_service_stop(n);
	nvme_namespaces_remove(n);
	n->state = NVME_STOPPING;
	stop_hardware(n);
}

/*
 * The controller first, with its commands in flight (abrupt shutdown, §7.6.2), then the requests, of which nobody knows
 * whether they were done. A reset that runs comes first, as a controller that is disabled saves nothing: it goes no
 * further than to the enabled controller. All that waits for the admin queue gives up.
 */
void nvme_stop_abruptly(struct nvme *n)
{
	bool told = n->state == NVME_LIVE;

	n->ending = true;
	if (told)
		nvme_shutdown_notify(n, NVME_CC_SHN_ABRUPT);
	if (ob_mutex_lock(&n->lock, ob_deadline(NVME_ENDING_NS)) != 0) {
		ob_err(n->ob, "%s: shut down amid something that does not end", n->name);
		nvme_shutdown_notify(n, NVME_CC_SHN_ABRUPT);
		return;
	}
	if (n->state != NVME_DEAD) {
		if (n->quiet && n->state != NVME_SUSPENDED)
			ob_warn(n->ob, "%s: it is disabled, what its cache holds may be lost", n->name);
		else if (!told && !n->quiet)
			nvme_shutdown_notify(n, NVME_CC_SHN_ABRUPT);
		nvme_end_queues(n, -ENODEV);
	}
	ob_mutex_unlock(&n->lock);
}
