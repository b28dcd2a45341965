/* SPDX-License-Identifier: BSD-2-Clause */
/* See view.h. Words are asked for when somebody reads them: of a machine that is closed too, its models are still there. */
#include "sim/view/view.h"

#include <stdio.h>

#include "sim/machine/iommu.h"
#include "sim/view/cover.h"

#define STATE_GONE (SIM_DEVICE_STATES - 1)
#define VIEW_LEN   2048

static unsigned index_of(const struct sim_device *dev)
{
	unsigned i = 0;

	while (i + 1 < sim_machine->device_count && sim_machine->devices[i] != dev)
		i++;
	return i;
}

static struct sim_device *device_at(unsigned index)
{
	const struct sim_machine *m = W.last_machine;

	return m != NULL && index < m->device_count ? m->devices[index] : NULL;
}

/* ---- what devices tell ---- */

void view_command(struct sim_device *dev, uint64_t a, uint64_t b)
{
	event_of(&W.threads[THREAD_DEVICE], EVENT_COMMAND, a, b)->link = index_of(dev);
}

void view_completion(struct sim_device *dev, uint64_t a, uint64_t b)
{
	event_of(&W.threads[THREAD_DEVICE], EVENT_COMPLETION, a, b)->link = index_of(dev);
}

void view_states(void)
{
	for (unsigned i = 0; sim_machine != NULL && i < sim_machine->device_count; i++) {
		struct sim_device *dev = sim_machine->devices[i];
		unsigned state = STATE_GONE;

		if (dev->type->state == NULL)
			continue;
		if (dev->pci.present)
			state = dev->type->state(dev);
		if (OB_LIKELY(state == dev->state))
			continue;
		event_of(&W.threads[THREAD_DEVICE], EVENT_STATE, dev->state, state)->link = i;
		coverage_state(i, dev->type, dev->state, state);
		dev->state = state;
	}
}

void view_addresses(void)
{
	for (unsigned i = 0; i < sim_machine->device_count; i++) {
		struct sim_device *dev = sim_machine->devices[i];

		for (unsigned bar = 0; bar < PCI_BAR_COUNT_DEVICE; bar++)
			if (dev->pci.live[bar] != MODEL_PCI_DEAD)
				dev->seen_at[bar] = dev->pci.live[bar];
	}
}

void view_state_name(const struct sim_device_type *type, unsigned state, char *text, size_t size)
{
	if (state == STATE_GONE)
		snprintf(text, size, "gone");
	else if (type->state_name != NULL)
		type->state_name(state, text, size);
	else
		snprintf(text, size, "state %u", state);
}

bool view_state_changes(const struct event *e)
{
	const struct sim_device *dev = device_at(e->link);
	char before[160], now[160];
	size_t len;

	if (dev == NULL)
		return true;
	view_state_name(dev->type, (unsigned)e->a, before, sizeof(before));
	view_state_name(dev->type, (unsigned)e->b, now, sizeof(now));
	len = strcspn(now, ",");
	return len != strcspn(before, ",") || memcmp(before, now, len) != 0;
}

/* ---- in words ---- */

void view_tell_devices(void)
{
	static char text[VIEW_LEN];
	struct sim_device *dev;

	for (unsigned i = 0; (dev = device_at(i)) != NULL; i++) {
		if (dev->type->describe == NULL)
			continue;
		text[0] = '\0';
		dev->type->describe(dev, text, sizeof(text));
		report_text("the device's own view, %s%s: ", dev->type->name,
			    sim_machine == NULL ? ", closed"
			    : !dev->pci.present ? ", pulled out"
						: "");
		for (const char *at = text; *at != '\0'; at += strspn(at, "\n")) {
			size_t len = strcspn(at, "\n");

			report_text("%s%.*s\n", at == text ? "" : "    ", (int)len, at);
			at += len;
		}
	}
}

/* At the address that the BAR has had: it may not answer any more. */
static bool register_name(uint64_t address, char *text, size_t size)
{
	struct sim_device *dev;

	for (unsigned i = 0; (dev = device_at(i)) != NULL; i++) {
		for (unsigned bar = 0; bar < PCI_BAR_COUNT_DEVICE; bar++) {
			uint64_t offset = address - dev->seen_at[bar];

			if (dev->seen_at[bar] != MODEL_PCI_DEAD && offset < dev->pci.bar[bar].len_bytes &&
			    dev->type->register_name != NULL)
				return dev->type->register_name(dev, bar, offset, text, size);
		}
	}
	return false;
}

bool view_is_memory(uint64_t address)
{
	struct sim_device *dev;

	for (unsigned i = 0; (dev = device_at(i)) != NULL; i++)
		for (unsigned bar = 0; bar < PCI_BAR_COUNT_DEVICE; bar++)
			if (dev->seen_at[bar] != MODEL_PCI_DEAD && dev->pci.bar[bar].prefetchable &&
			    address - dev->seen_at[bar] < dev->pci.bar[bar].len_bytes)
				return true;
	return false;
}

void event_register(const struct event *e, char *text, size_t size)
{
	switch ((enum posted_kind)(e->flags & ~EVENT_SEVERAL)) {
	case POSTED_CONFIG_READ:
	case POSTED_CONFIG_WRITE:
		snprintf(text, size, "config space %#llx", (unsigned long long)e->a & 0xfff);
		break;
	case POSTED_LINE:
		snprintf(text, size, "the interrupt line");
		break;
	case POSTED_PROBE:
		snprintf(text, size, "the doorbell");
		break;
	default:
		if (!register_name(e->a, text, size))
			snprintf(text, size, "register %#llx", (unsigned long long)e->a);
		break;
	}
}

void event_device(const struct event *e, char *text, size_t size)
{
	struct sim_device *dev = device_at(e->link);

	if (dev != NULL && e->kind == EVENT_STATE)
		view_state_name(dev->type, (unsigned)e->b, text, size);
	else if (dev != NULL && dev->type->command_text != NULL)
		dev->type->command_text(dev, e->kind == EVENT_COMPLETION, e->a, e->b, text, size);
	else
		snprintf(text, size, "%s %#llx %#llx",
			 e->kind == EVENT_STATE     ? "state"
			 : e->kind == EVENT_COMMAND ? "fetches a command"
						    : "completes a command",
			 (unsigned long long)e->a, (unsigned long long)e->b);
}

void event_memory(uintptr_t address, char *text, size_t size)
{
	const struct block *b = arena_block(address);
	uint64_t iova;

	if (is_dma(address) && iommu_find(address, &iova)) {
		struct sim_device *dev;

		for (unsigned i = 0; (dev = device_at(i)) != NULL; i++)
			if (dev->type->memory_name != NULL && dev->type->memory_name(dev, iova, text, size))
				return;
	}
	if (b == NULL || address - ARENA_BASE >= STACK_OFFSET)
		snprintf(text, size, "%#llx", (unsigned long long)address);
	else
		snprintf(text, size, "%s of %u bytes at %llu", is_dma(address) ? "DMA memory" : "heap", b->len_bytes,
			 (unsigned long long)(address - b->address));
}
