/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model machine: device models in this process, with a PCI root complex, an IOMMU and interrupts around them.
 *
 * A device's work is done inline, by the thread whose register write asked for it, or on the machine's worker thread:
 * the latter for what takes time, and for devices that are described as threaded.
 *
 * Locks, in this order: config (configuration space and presence), a device's (its model, its grants), then irq or
 * worker, which are leaves.
 */
#ifndef OB_MACHINE_MODEL_MODEL_MACHINE_H
#define OB_MACHINE_MODEL_MODEL_MACHINE_H

#include <pthread.h>

#include "base/list.h"
#include "machine/machine.h"
#include "model/block/nvme/nvme_model.h"
#include "model/block/virtio_blk/vblk_model.h"
#include "model/host.h"
#include "model/net/virtio_net/vnet_model.h"
#include "model/pci/pci_model.h"

#define MODEL_MSI_ADDRESS 0xfee00000ull
#define MODEL_MSI_MAX     2048u
#define MODEL_SLOTS_MAX   65536u /* of the address space that devices see: 4 GiB each */
#define MODEL_FAULTS_MAX  16
#define MODEL_RULES_MAX   16
#define MODEL_NAME_LEN    32

/* What a device may reach: by iova >> 32. */
struct model_grant {
	uint8_t *base;
	uint64_t len_bytes; /* from here to the end of the memory, which may go on in the next slots */
	unsigned rights;
};

/* A fault that is to happen to commands: how long they take, or what they end with. */
struct model_rule {
	int opcode; /* -1: any I/O command; of a virtio disk: the request's type */
	bool admin;
	uint64_t lba_first, lba_last;
	uint64_t delay_ns; /* 0: none; MODEL_NEVER: it hangs */
	uint16_t status;   /* 0: none */
	unsigned count;    /* left; 0: the rule is used up */
};

/* What a device is a model of. */
struct model_kind {
	const char *name;
	bool (*run)(void *model, unsigned budget);
	void (*event)(void *model);
	void (*destroy)(void *model);
};

extern const struct model_kind model_kind_nvme, model_kind_vblk, model_kind_vnet;

/* A root port, or a device; both are a function. */
struct model_device {
	struct model_host host; /* first */
	struct model_pci pci;
	struct model_machine *machine;
	struct list link;
	char name[MODEL_NAME_LEN];
	pthread_mutex_t lock;
	const struct model_kind *kind; /* NULL: a port */
	void *model;                   /* of this kind */
	bool threaded;
	bool kicked;      /* it has work: under lock */
	uint64_t due_ns;  /* under the machine's worker_lock */
	bool work_queued; /* … too: the worker is to run it */
	struct model_grant *grants;
	unsigned grant_count;
	uint64_t dma_faults;
	struct model_rule rules[MODEL_RULES_MAX];
};

struct model_memory {
	uint8_t *base;
	size_t len_bytes, map_bytes;
	unsigned slot, slot_count;
	bool imported;
};

struct model_dma_fault {
	char device[MODEL_NAME_LEN];
	uint64_t iova;
	size_t len_bytes;
	bool write;
};

struct model_machine {
	struct machine machine; /* first */
	struct model_pci_root root;
	struct machine_bus buses[2];
	struct list devices; /* ports too; fixed once the machine is open */
	struct list cables;  /* between network devices; fixed, too */
	pthread_mutex_t config_lock;

	/* dma.c */
	pthread_mutex_t dma_lock;
	uint8_t *slot_used;
	unsigned slot_next;
	struct model_dma_fault faults[MODEL_FAULTS_MAX];
	uint64_t fault_count;

	/* irq.c */
	pthread_mutex_t irq_lock;
	int *msi_fds; /* -1: free */
	int intx_fds[PCI_SLOTS_PER_BUS][4];
	unsigned intx_users[PCI_SLOTS_PER_BUS][4];
	unsigned intx_level[PCI_SLOTS_PER_BUS][4]; /* how many hold the line */

	/* worker.c */
	pthread_t worker;
	pthread_mutex_t worker_lock;
	pthread_cond_t worker_wake;
	uint64_t worker_until_ns; /* what it sleeps for */
	bool worker_started, worker_stop;
};

extern const struct machine_type model_machine_type;

static inline struct model_machine *model_of(struct machine *m)
{
	return (struct model_machine *)(void *)m;
}

/* The device's model if it is of this kind, or NULL. */
static inline struct nvme_model *model_nvme(const struct model_device *dev)
{
	return dev->kind == &model_kind_nvme ? dev->model : NULL;
}

static inline struct vblk_model *model_vblk(const struct model_device *dev)
{
	return dev->kind == &model_kind_vblk ? dev->model : NULL;
}

struct vnet_model *model_vnet(const struct model_device *dev);

static inline struct model_device *device_of_host(struct model_host *host)
{
	return (struct model_device *)(void *)host;
}

/* backing.c: what the system gives a namespace to keep its data in. */
/* Sparse memory. @filled: every page of it is there and is written from the start. */
int backing_memory_create(uint64_t len_bytes, bool filled, struct backing **out);
/* A raw image. @len_bytes 0: as long as the file is; otherwise the file is grown to it. @create: and made, if need be. */
int backing_file_create(struct ob *ob, const char *path, uint64_t len_bytes, bool read_only, bool create,
			struct backing **out);
/* image_lock.c: 0 when nobody else uses the image in a way that this use does not bear, nor will while @fd is open; -EBUSY. */
int image_lock(int fd, bool read_only);
/* For measuring everything but the data. */
int backing_null_create(uint64_t len_bytes, struct backing **out);

/* dma.c */
int model_dma_init(struct model_machine *mm);
void model_dma_fini(struct model_machine *mm);
int model_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out);
void model_dma_free(struct machine *m, struct machine_dma_memory *memory);
int model_dma_import(struct machine *m, void *base, size_t len_bytes, struct machine_dma_memory *out);
int model_dma_grant(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory, unsigned rights,
		    uint64_t *iova);
void model_dma_revoke(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory, uint64_t iova);
int model_host_dma_read(struct model_host *host, uint64_t iova, void *to, size_t len_bytes);
int model_host_dma_write(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes);
int model_host_dma_publish(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes);
void model_host_dma_fence(struct model_host *host);

/* irq.c */
int model_irq_init(struct model_machine *mm);
void model_irq_fini(struct model_machine *mm);
int model_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous, struct machine_msi *out);
void model_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi);
int model_intx_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin, struct machine_intx *out);
void model_intx_close(struct machine *m, struct machine_intx *line);
bool model_intx_level(struct machine *m, struct machine_intx *line);
void model_irq_message(struct model_pci_root *root, struct model_pci *from, uint64_t address, uint32_t data);
void model_irq_line(struct model_pci_root *root, unsigned slot, unsigned pin, bool level);

/* worker.c */
int model_worker_start(struct model_machine *mm);
void model_worker_stop(struct model_machine *mm);
uint64_t model_host_now_ns(struct model_host *host);
void model_host_schedule(struct model_host *host, uint64_t at_ns);
/* Have the worker run @dev. */
void model_worker_queue(struct model_device *dev);

/* device.c */
/* Do what the device was kicked for; device locked. */
void model_device_work(struct model_device *dev);
void model_device_expire(struct model_device *dev);
int model_device_create_port(struct model_machine *mm, uint8_t devfn, uint16_t slot_number, const char *name,
			     struct model_device **out);
/* Without a model yet. */
struct model_device *model_device_new(struct model_machine *mm, const char *name);
void model_device_ready(struct model_device *dev, bool present);
void model_device_destroy(struct model_device *dev);
struct model_device *model_device_find(struct model_machine *mm, const char *name);
struct model_device *model_device_of(struct model_machine *mm, struct ob_device *dev);
int model_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
		      uint64_t len_bytes, struct ob_region *out);
void model_region_close(struct machine *m, struct ob_region *region);
uint64_t model_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes);
void model_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes, uint64_t value);
extern const struct model_pci_root_ops model_root_ops;

/* describe.c, tree.c: make the devices that @rest of the URI asks for. */
int model_describe(struct model_machine *mm, const char *rest, uint64_t deadline_ns);
int model_tree(struct model_machine *mm, const char *path, uint64_t deadline_ns);
/* tree_file.c: the blob, for free(). 0; or why not, which is in the log then. */
int model_tree_read(struct ob *ob, const char *path, uint64_t deadline_ns, void **out);

/* settings.c */
#define MODEL_WHY_LEN 256

/* A number of a device's configuration. */
struct model_setting {
	const char *key, *property; /* in the short form, or NULL; in the device tree */
	size_t offset, size;        /* of the field */
	uint64_t min, max, step;
};

/* The last of each has no property. */
extern const struct model_setting model_settings_nvme[], model_settings_vblk[], model_settings_vnet[];
/* By either name; NULL: there is none. */
const struct model_setting *model_setting_find(const struct model_setting *list, const char *key, const char *property);
/* Say what it may be. */
void model_setting_range(const struct model_setting *s, char *why, size_t len);
/* Into the configuration that the list is of. 0; -EINVAL: out of range. */
int model_setting_take(const struct model_setting *s, uint64_t value, void *config);
/* Do the settings go together? 0, or -EINVAL and why not. */
int model_settings_agree(const struct nvme_model_config *config, char *why, size_t len);
int model_settings_agree_ring(uint64_t ring_features, unsigned queue_size, char *why, size_t len);
/* Feature bits of a network device by a name of ours; 0: there is none. */
uint64_t model_net_feature(const char *name);
/* "02:00:00:00:00:01"; -EINVAL, also for a group's. */
int model_parse_mac(const char *text, uint8_t mac[6]);

/* A feature of virtio's rings by the name that the short form and the tree have for it; 0: there is none. */
uint64_t model_ring_feature(const char *name);

/* What keeps data: a namespace, or a virtio disk. */
struct model_namespace_desc {
	uint32_t nsid;    /* of a namespace */
	const char *file; /* NULL: memory */
	uint64_t len_bytes;
	uint32_t block_bytes;
	bool null, filled, create, read_only, detached, lossy_cache;
};

/* disk.c: devices are not there before model_device_ready(). 0, or negative errno and why. */
/* @config is completed with what the machine knows. */
int model_device_create_nvme(struct model_machine *mm, struct model_pci_bus *bus, uint8_t devfn, const char *name,
			     const struct nvme_model_config *config, struct model_device **out);
int model_device_add_namespace(struct model_device *dev, const struct model_namespace_desc *desc, char *why,
			       size_t len);
int model_device_create_vblk(struct model_machine *mm, struct model_pci_bus *bus, uint8_t devfn, const char *name,
			     const struct vblk_model_config *config, const struct model_namespace_desc *desc,
			     struct model_device **out, char *why, size_t len);

/* interface.c: @cable: that it is on; "": one of its own. */
int model_device_create_vnet(struct model_machine *mm, struct model_pci_bus *bus, uint8_t devfn, const char *name,
			     const struct vnet_model_config *config, const char *cable, struct model_device **out);

/* command.c */
int model_command(struct machine *m, const char *command, char **reply, uint64_t deadline_ns);

#endif
