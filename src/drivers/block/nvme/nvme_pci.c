/* SPDX-License-Identifier: BSD-2-Clause */
/* NVMe controllers on PCI: registers in BAR 0 (NVM Express 1.4 §2.1.10), found by class code. */
#include <errno.h>

#include <outboard/pci.h>

#include "core/hooks.h"
#include "drivers/block/nvme/nvme.h"

static void find_quirks(struct nvme *n)
{
	struct ob_pci_info info;

	n->ids = (struct quirk_ids){OB_ANY, OB_ANY, OB_ANY, OB_ANY, NULL};
	if (ob_pci_info(n->dev, &info) == 0)
		n->ids = (struct quirk_ids){info.vendor, info.device, info.subvendor, info.subdevice, NULL};
	nvme_quirks_find(n);
}

static int nvme_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob *ob = ob_device_context(dev);
	struct nvme *n = hooks_fail(ob, "nvme_alloc") ? NULL : ob_alloc(sizeof(*n));
	int ret;

	if (n == NULL)
		return -ENOMEM;
	n->ob = ob;
	n->dev = dev;
	n->cpu = ob_device_cpu(dev);
	n->quiet = true; /* it is no bus master yet */
	nvme_pick_name(n);
	find_quirks(n);
	ret = ob_device_region(dev, NVME_PCI_BAR, &n->regs);
	if (ret != 0)
		goto free;
	if (n->regs.len_bytes < NVME_DBS + 2 * 4) {
		ob_err(ob, "%s: a register region of %llu bytes is too small", n->name,
		       (unsigned long long)n->regs.len_bytes);
		ret = -EIO;
		goto free;
	}
	ob_device_set_driver_data(dev, n);
	ret = nvme_start(n);
	if (ret != 0)
		goto forget;
	return 0;

forget:
	ob_device_set_driver_data(dev, NULL);
free:
	ob_free(n);
	return ret;
}

static void nvme_remove(struct ob_device *dev)
{
	struct nvme *n = ob_device_driver_data(dev);

	nvme_stop(n);
	ob_device_set_driver_data(dev, NULL);
	ob_free(n);
}

static void nvme_shutdown(struct ob_device *dev)
{
	nvme_stop_abruptly(ob_device_driver_data(dev));
}

static int nvme_suspend_device(struct ob_device *dev, uint64_t deadline_ns)
{
	return nvme_suspend(ob_device_driver_data(dev), deadline_ns);
}

static int nvme_resume_device(struct ob_device *dev, uint64_t deadline_ns)
{
	return nvme_resume(ob_device_driver_data(dev), deadline_ns);
}

static const struct ob_match nvme_match[] = {
	OB_PCI_CLASS(NVME_PCI_CLASS, NVME_PCI_CLASS_MASK),
	OB_MATCH_LAST,
};

const struct ob_driver nvme_driver = {
	.name = "nvme",
	.match = nvme_match,
	.probe = nvme_probe,
	.remove = nvme_remove,
	.shutdown = nvme_shutdown,
	.suspend = nvme_suspend_device,
	.resume = nvme_resume_device,
};
