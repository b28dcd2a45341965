/* SPDX-License-Identifier: BSD-2-Clause */
/* The model machine's disks: NVMe controllers with their namespaces, virtio disks, and what keeps their data. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/log.h>

#include "machine/model/model_machine.h"

/* ---- kinds ---- */

static bool nvme_run(void *model, unsigned budget)
{
	return nvme_model_run(model, budget);
}

static void nvme_event(void *model)
{
	nvme_model_event(model);
}

static void nvme_destroy(void *model)
{
	nvme_model_destroy(model);
}

const struct model_kind model_kind_nvme = {"nvme", nvme_run, nvme_event, nvme_destroy};

static bool vblk_run(void *model, unsigned budget)
{
	return vblk_model_run(model, budget);
}

static void vblk_event(void *model)
{
	vblk_model_event(model);
}

static void vblk_destroy(void *model)
{
	vblk_model_destroy(model);
}

const struct model_kind model_kind_vblk = {"virtio-blk", vblk_run, vblk_event, vblk_destroy};

static void device_add(struct model_machine *mm, struct model_device *dev, const struct model_kind *kind, void *model)
{
	dev->kind = kind;
	dev->model = model;
	list_add_tail(&mm->devices, &dev->link);
}

static void device_free(struct model_device *dev)
{
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

/* ---- what keeps the data ---- */

/* What cannot be, whatever the system has. */
static const char *namespace_nonsense(const struct model_namespace_desc *desc)
{
	bool memory = !desc->null && desc->file == NULL;

	if (desc->filled && !memory)
		return "only memory can be filled";
	if (desc->create && (desc->file == NULL || desc->len_bytes == 0 || desc->read_only))
		return "to create it takes a file, a size, and that it may be written";
	if (desc->file == NULL && desc->len_bytes < desc->block_bytes)
		return "it is smaller than one block";
	return NULL;
}

static int namespace_backing(struct model_device *dev, const struct model_namespace_desc *desc, struct backing **out,
			     char *why, size_t len)
{
	bool missing;
	int ret;

	if (desc->null)
		return backing_null_create(desc->len_bytes, out);
	if (desc->file == NULL)
		return backing_memory_create(desc->len_bytes, desc->filled, out);
	missing = access(desc->file, F_OK) != 0;
	ret = backing_file_create(dev->machine->machine.ob, desc->file, desc->len_bytes, desc->read_only, desc->create,
				  out);
	if (ret == 0 && missing)
		ob_info(dev->machine->machine.ob, "model: %s: %s is made", dev->name, desc->file);
	else if (ret == -ENOENT && !desc->create)
		snprintf(why, len, "%s: there is no such file (the setting create makes it)", desc->file);
	else if (ret == -EBUSY)
		snprintf(why, len, "%s: it is in use already; only readers share an image (the setting readonly)",
			 desc->file);
	else if (ret == -EINVAL)
		snprintf(why, len, "%s: it is no file or disk, is empty, or cannot grow to the size", desc->file);
	else if (ret != 0)
		snprintf(why, len, "%s: %s", desc->file, strerror(-ret));
	return ret;
}

/* All of it: memory, file or nothing, and a cache over it where it is to lose what was not flushed. */
static int disk_make(struct model_device *dev, const struct model_namespace_desc *desc, struct backing **out, char *why,
		     size_t len)
{
	const char *nonsense = namespace_nonsense(desc);
	struct backing *backing;
	int ret;

	snprintf(why, len, "%s", nonsense != NULL ? nonsense : "");
	if (nonsense != NULL)
		return -EINVAL;
	ret = namespace_backing(dev, desc, &backing, why, len);
	if (ret == 0 && desc->lossy_cache) {
		ret = backing_cache_create(&dev->host, backing, desc->block_bytes, out);
		if (ret != 0)
			backing_destroy(backing);
	} else if (ret == 0) {
		*out = backing;
	}
	if (ret != 0 && why[0] == '\0')
		snprintf(why, len, "%s", strerror(-ret));
	return ret;
}

/* ---- NVMe ---- */

static int backing_create(void *arg, uint64_t len_bytes, struct backing **out)
{
	return backing_memory_create(len_bytes, false, out);
}

int model_device_create_nvme(struct model_machine *mm, struct model_pci_bus *bus, uint8_t devfn, const char *name,
			     const struct nvme_model_config *wanted, struct model_device **out)
{
	struct model_device *dev = model_device_new(mm, name);
	struct nvme_model_config config = *wanted;
	struct nvme_model *nvme;
	int ret;

	if (dev == NULL)
		return -ENOMEM;
	config.backing_create = backing_create;
	ret = nvme_model_create(&dev->host, &config, &nvme);
	if (ret != 0)
		goto free_device;
	ret = nvme_model_function_init(nvme, &dev->pci, bus, devfn);
	if (ret != 0)
		goto destroy_model;
	device_add(mm, dev, &model_kind_nvme, nvme);
	*out = dev;
	return 0;

destroy_model:
	nvme_model_destroy(nvme);
free_device:
	device_free(dev);
	return ret;
}

int model_device_add_namespace(struct model_device *dev, const struct model_namespace_desc *desc, char *why, size_t len)
{
	unsigned shift = desc->block_bytes == 4096 ? 12 : 9;
	struct backing *backing;
	int ret = disk_make(dev, desc, &backing, why, len);

	if (ret != 0)
		return ret;
	ret = nvme_model_namespace_add(dev->model, desc->nsid, backing, shift, !desc->detached, desc->read_only);
	if (ret == 0)
		return 0;
	if (ret == -EINVAL)
		snprintf(why, len,
			 "its id is none that the controller has, or it is smaller than one block or too large");
	else
		snprintf(why, len, "%s", strerror(-ret));
	backing_destroy(backing);
	return ret;
}

/* ---- virtio ---- */

int model_device_create_vblk(struct model_machine *mm, struct model_pci_bus *bus, uint8_t devfn, const char *name,
			     const struct vblk_model_config *config, const struct model_namespace_desc *desc,
			     struct model_device **out, char *why, size_t len)
{
	struct model_device *dev = model_device_new(mm, name);
	struct backing *backing;
	struct vblk_model *vblk;
	int ret;

	snprintf(why, len, "%s", strerror(ENOMEM));
	if (dev == NULL)
		return -ENOMEM;
	ret = disk_make(dev, desc, &backing, why, len);
	if (ret != 0)
		goto free_device;
	ret = vblk_model_create(&dev->host, config, backing, desc->block_bytes, &vblk);
	if (ret != 0) {
		snprintf(why, len, "%s", ret == -EINVAL ? "its settings do not go together" : strerror(-ret));
		backing_destroy(backing);
		goto free_device;
	}
	ret = virtio_model_function_init(vblk_model_virtio(vblk), &dev->pci, bus, devfn);
	if (ret != 0) {
		snprintf(why, len, "%s", strerror(-ret));
		vblk_model_destroy(vblk);
		goto free_device;
	}
	device_add(mm, dev, &model_kind_vblk, vblk);
	*out = dev;
	return 0;

free_device:
	device_free(dev);
	return ret;
}
