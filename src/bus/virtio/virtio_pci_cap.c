/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a virtio device on PCI has its structures: VIRTIO 1.2 §4.1.4.
 *
 * For each type the first capability that we can use counts, since a device lists them in the order of its preference.
 * All that it says of offsets and lengths is checked here, once.
 */
#include <errno.h>

#include <outboard/pci.h>

#include "bus/virtio/virtio_pci.h"
#include "spec/pci.h"

#define CAPS_MAX 64 /* more is a loop */

static void cap_read(struct virtio_pci *p, unsigned at, struct virtio_pci_cap *cap)
{
	cap->len = (uint8_t)ob_pci_read(p->carrier.dev, at + VIRTIO_PCI_CAP_LEN, 1);
	cap->type = (uint8_t)ob_pci_read(p->carrier.dev, at + VIRTIO_PCI_CAP_TYPE, 1);
	cap->bar = (uint8_t)ob_pci_read(p->carrier.dev, at + VIRTIO_PCI_CAP_BAR, 1);
	cap->offset = ob_pci_read(p->carrier.dev, at + VIRTIO_PCI_CAP_OFFSET, 4);
	cap->length = ob_pci_read(p->carrier.dev, at + VIRTIO_PCI_CAP_LENGTH, 4);
	cap->extra = cap->len >= VIRTIO_PCI_CAP_NOTIFY_BYTES
			     ? ob_pci_read(p->carrier.dev, at + VIRTIO_PCI_CAP_MULTIPLIER, 4)
			     : 0;
}

/* What a type has to be like (§4.1.4.3.1, §4.1.4.4.1, §4.1.4.5.1, §4.1.4.6.1). */
struct window_rule {
	uint8_t type, align, cap_bytes;
	uint32_t len_min;
	const char *name;
};

static const struct window_rule rules[] = {
	{VIRTIO_PCI_CAP_COMMON, 4, VIRTIO_PCI_CAP_BYTES, VIRTIO_COMMON_BYTES, "common configuration"},
	{VIRTIO_PCI_CAP_NOTIFY, 2, VIRTIO_PCI_CAP_NOTIFY_BYTES, 2, "notification area"},
	{VIRTIO_PCI_CAP_ISR, 1, VIRTIO_PCI_CAP_BYTES, 1, "ISR status"},
	{VIRTIO_PCI_CAP_DEVICE, 4, VIRTIO_PCI_CAP_BYTES, 1, "device configuration"},
};

static bool fits(const struct window_rule *rule, const struct virtio_pci_cap *cap, const struct ob_pci_info *info)
{
	/* Reserved BAR numbers are to be passed over (§4.1.4.1). */
	if (cap->len < rule->cap_bytes || cap->bar >= ARRAY_SIZE(info->bar))
		return false;
	return cap->length >= rule->len_min && IS_ALIGNED(cap->offset, rule->align) &&
	       (uint64_t)cap->offset + cap->length <= info->bar[cap->bar].len_bytes;
}

/* The first capability of the type that fits; @seen: there is one at all. */
static bool window_find(struct virtio_pci *p, const struct window_rule *rule, const struct ob_pci_info *info,
			struct virtio_pci_cap *cap, bool *seen)
{
	unsigned at = 0;

	for (unsigned i = 0; i < CAPS_MAX && (at = ob_pci_find_capability(p->carrier.dev, PCI_CAP_ID_VENDOR, at)) != 0;
	     i++) {
		cap_read(p, at, cap);
		if (cap->type != rule->type)
			continue;
		*seen = true;
		if (fits(rule, cap, info))
			return true;
	}
	return false;
}

static int window_open(struct virtio_pci *p, const struct virtio_pci_cap *cap, struct virtio_pci_window *window)
{
	int ret = ob_device_region(p->carrier.dev, cap->bar, &window->region);

	window->offset = cap->offset;
	window->len_bytes = cap->length;
	if (ret == 0 && window->offset + window->len_bytes > window->region.len_bytes)
		ret = -EIO;
	return ret;
}

int virtio_pci_windows(struct virtio_pci *p)
{
	struct virtio_pci_window *windows[] = {&p->common, &p->notify, &p->isr, &p->config};
	struct ob *ob = ob_device_context(p->carrier.dev);
	struct virtio_pci_cap cap;
	struct ob_pci_info info;
	int ret = ob_pci_info(p->carrier.dev, &info);

	for (unsigned i = 0; ret == 0 && i < ARRAY_SIZE(rules); i++) {
		bool seen = false, found = window_find(p, &rules[i], &info, &cap, &seen);

		/* Not every device class has a configuration. */
		if (!found && !seen && rules[i].type == VIRTIO_PCI_CAP_DEVICE)
			continue;
		if (!found && !seen && i == 0) {
			ob_err(ob,
			       "%s: it has the legacy interface only, which is not supported: its owner has to "
			       "enable the modern one (QEMU: disable-modern=off)",
			       ob_device_name(p->carrier.dev));
			return -EOPNOTSUPP;
		}
		if (!found) {
			ob_err(ob, "%s: its %s %s", ob_device_name(p->carrier.dev), rules[i].name,
			       seen ? "does not lie in a BAR of its as it must" : "is missing");
			return -EIO;
		}
		ret = window_open(p, &cap, windows[i]);
		if (rules[i].type == VIRTIO_PCI_CAP_NOTIFY)
			p->notify_multiplier = cap.extra;
	}
	/* 0 or an even power of two (§4.1.4.4.1). */
	if (ret == 0 && p->notify_multiplier != 0 &&
	    (!IS_POWER_OF_2(p->notify_multiplier) || p->notify_multiplier == 1)) {
		ob_err(ob, "%s: its notification multiplier is %u", ob_device_name(p->carrier.dev),
		       p->notify_multiplier);
		ret = -EIO;
	}
	return ret;
}
