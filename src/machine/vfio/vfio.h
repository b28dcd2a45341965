/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VFIO machine: PCI functions that the kernel hands to this process, confined by the IOMMU. The interface is Linux's
 * <linux/vfio.h>; iommufd's is in iommufd_abi.h.
 *
 * Two ways lead to a device, and each is a struct vfio_backend: group.c opens the IOMMU group and puts it into a container;
 * iommufd.c opens the device itself and gives it an address space of /dev/iommu. All the rest is the same for both.
 *
 * A device's addresses belong to its domain, the devices of one IOMMU group: what one group may reach, another may not.
 */
#ifndef OB_MACHINE_VFIO_VFIO_H
#define OB_MACHINE_VFIO_VFIO_H

#include <linux/vfio.h>
#include <pthread.h>

#include "base/list.h"
#include "machine/arena.h"
#include "machine/machine.h"
#include "machine/vfio/kernel_log.h"
#include "machine/vfio/uri.h"

#define VFIO_BAR_COUNT  6
#define VFIO_AREAS_MAX  8 /* pieces of a BAR that can be mapped; real ones have one or two */
#define VFIO_NAME_LEN   16
#define VFIO_FAULTS_MAX 16

struct vfio_machine;
struct vfio_device;
struct vfio_domain;

struct vfio_backend {
	const char *name;
	/* Is it there for this device? 0; -EACCES, but not for this user; -ENOENT. */
	int (*find)(const struct vfio_device *dev);
	/* Each says in the log why not. 0; negative errno. */
	int (*open)(struct vfio_domain *domain, const struct vfio_device *first);
	/* A descriptor, the caller's; negative errno. */
	int (*device_open)(struct vfio_domain *domain, const struct vfio_device *dev);
	/* After the first device is in: add the addresses that may be used to the domain's arena. */
	int (*add_ranges)(struct vfio_domain *domain);
	int (*map)(struct vfio_domain *domain, uint64_t iova, void *base, uint64_t len_bytes, unsigned rights);
	int (*unmap)(struct vfio_domain *domain, uint64_t iova, uint64_t len_bytes);
};

extern const struct vfio_backend vfio_group_backend, vfio_iommufd_backend;

/* One address space, of the devices of one IOMMU group. */
struct vfio_domain {
	struct list link; /* vfio_machine.domains */
	struct vfio_machine *vm;
	const struct vfio_backend *backend;
	int group;      /* the kernel's number */
	int fd;         /* the container, or /dev/iommu; -1: closed, and nothing is mapped */
	int group_fd;   /* group.c */
	uint32_t ioas;  /* iommufd.c */
	unsigned users; /* devices that are open, or being opened; under dma_lock */
	bool has_ranges;
	struct machine_arena arena; /* under dma_lock */
};

/* A piece of a BAR that can be mapped. */
struct vfio_area {
	uint64_t offset, len_bytes; /* in the BAR, whole pages */
	uint8_t *map;               /* NULL: nobody needs it now */
};

struct vfio_bar {
	struct vfio_device *dev;
	uint64_t base, len_bytes; /* len 0: there is none. base: as configuration space has it */
	uint64_t file_offset;
	bool io;
	unsigned users; /* open regions, under the machine's lock */
	unsigned area_count;
	struct vfio_area area[VFIO_AREAS_MAX];
};

struct vfio_device {
	struct vfio_machine *vm;
	struct vfio_domain *domain; /* NULL: not opened */
	char name[VFIO_NAME_LEN];   /* 0000:01:00.0, as core calls it */
	uint16_t segment, bdf;
	int group;      /* of the IOMMU */
	char cdev[32];  /* vfio0, or empty */
	int fd;         /* once the device is released: of something that knows nothing; the number stays ours */
	bool can_reset; /* VFIO_DEVICE_RESET */
	bool is_there;  /* __atomic: opened and not released */
	uint64_t config_offset, config_len_bytes;
	struct vfio_bar bar[VFIO_BAR_COUNT];
	unsigned irq_count[VFIO_PCI_NUM_IRQS];
	unsigned msi_index;       /* which kind of message it has now */
	int request_fd, error_fd; /* eventfds of the kernel's notes, for the machine's life */
	int intx_fd;              /* of the open line, -1: none */
	unsigned dma_faults;
};

/* One mapping of a piece of memory into a domain. */
struct vfio_mapping {
	struct list link; /* vfio_memory.mappings */
	struct vfio_device *dev;
	struct vfio_domain *domain;
	uint64_t iova;
	unsigned rights;
};

struct vfio_memory {
	struct list link; /* vfio_machine.memory */
	uint8_t *base;
	size_t len_bytes; /* that devices may reach: whole pages */
	size_t map_bytes; /* of our own mapping; 0: it is the program's */
	size_t align_bytes;
	bool huge;
	struct list mappings;
};

/* A call of the kernel that may take a while, made by a thread of its own while the task that wants it sleeps. */
struct vfio_errand {
	pthread_t thread;
	bool started; /* under vfio_machine.lock: to be joined */
	bool awaited; /* so: the task has not read the result yet */
	bool done;    /* __atomic */
	int (*fn)(struct vfio_device *dev);
	struct vfio_device *dev;
	int result;
};

struct vfio_machine {
	struct machine machine; /* first */
	struct vfio_uri uri;
	struct vfio_device devices[VFIO_DEVICES_MAX];
	unsigned device_count;
	struct list domains;
	struct machine_bus buses[VFIO_DEVICES_MAX + 1];
	uint16_t hidden[VFIO_DEVICES_MAX]; /* function 0 of slots of which we have others */
	unsigned hidden_count;
	int null_fd;          /* what takes a released device's place */
	pthread_mutex_t lock; /* BARs' users, the errand */
	pthread_mutex_t dma_lock;
	struct list memory;
	struct vfio_errand errand;
	/* notify.c */
	pthread_t listener;
	bool listening;
	int stop_fd, log_fd;
	struct vfio_fault faults[VFIO_FAULTS_MAX]; /* under dma_lock; a ring */
	uint64_t fault_count;
};

static inline struct vfio_machine *vfio_of(struct machine *m)
{
	return (struct vfio_machine *)(void *)m;
}

extern const struct machine_type vfio_machine_type;

/* device.c */
/* Once for each. 0; negative errno, with a line in the log. */
int vfio_device_init(struct vfio_machine *vm, const struct vfio_address *address, struct vfio_device *dev);
void vfio_device_fini(struct vfio_device *dev);
/* Look whether the system lets us have it, and take it; also one that was released. Logs why not. 0; negative errno. */
int vfio_device_take(struct vfio_device *dev);
/* Let the kernel have it back: the driver is off it. What is still asked of it is answered as by the dead. */
void vfio_device_release(struct vfio_device *dev);
/* All of its mappings go. Under dma_lock, or when nobody else is left. */
void vfio_domain_close(struct vfio_domain *domain);
struct vfio_device *vfio_device_of(struct vfio_machine *vm, const struct ob_device *dev);
struct vfio_device *vfio_device_at(struct vfio_machine *vm, uint16_t bdf);
int vfio_config_read(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t *value);
int vfio_config_write(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value);
/* The function itself answers a read, not the kernel in its place. */
bool vfio_device_answers(struct vfio_device *dev);

/* open.c: ": process 12 (outboard) has /dev/vfio/7 open", as far as this user may know; else empty. */
#define VFIO_HOLDER_LEN 280
void vfio_name_holder(const char *path, char *out);

/* errand.c */
/* @fn in another thread, one at a time; a task of CPU 0. What @fn returns; -ETIMEDOUT: it goes on alone; -ENOMEM. */
int vfio_errand_run(struct vfio_device *dev, int (*fn)(struct vfio_device *dev), uint64_t deadline_ns);
/* Wait for the one that is under way: the kernel ends it. */
void vfio_errand_finish(struct vfio_machine *vm);
int vfio_reset(struct machine *m, struct ob_device *dev, uint64_t deadline_ns);
int vfio_rescan(struct machine *m, uint64_t deadline_ns);

/* region.c */
int vfio_bars_read(struct vfio_device *dev);
int vfio_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
		     uint64_t len_bytes, struct ob_region *out);
void vfio_region_close(struct machine *m, struct ob_region *region);
/*
 * Registers that are mapped still, by a driver that is stuck, read all ones from now on: the kernel would not have the
 * device back before the last mapping is gone.
 */
void vfio_bars_vanish(struct vfio_device *dev);
uint64_t vfio_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes);
void vfio_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes, uint64_t value);
int vfio_flush(struct machine *m);

/* dma.c */
int vfio_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out);
int vfio_dma_import(struct machine *m, void *base, size_t len_bytes, struct machine_dma_memory *out);
void vfio_dma_free(struct machine *m, struct machine_dma_memory *out);
int vfio_dma_grant(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory, unsigned rights,
		   uint64_t *iova);
void vfio_dma_revoke(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory, uint64_t iova);
/* The mappings of an address space that is closed. Under dma_lock. */
void vfio_dma_forget(struct vfio_domain *domain);
/* Addresses [first, last] may be used. For the backends. */
int vfio_dma_add_range(struct vfio_domain *domain, uint64_t first, uint64_t last);
/* What is at a device's address, for a message. */
void vfio_dma_describe(struct vfio_device *dev, uint64_t iova, bool write, char *out, size_t out_bytes);

/* irq.c */
int vfio_irqs_read(struct vfio_device *dev);
/* Have the kernel fire @fd when interrupt 0 of this kind comes; -1: no more. 0; negative errno. */
int vfio_irq_watch(struct vfio_device *dev, unsigned index, int fd);
int vfio_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous, struct machine_msi *out);
void vfio_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi);
int vfio_intx_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin, struct machine_intx *out);
void vfio_intx_close(struct machine *m, struct machine_intx *line);
bool vfio_intx_level(struct machine *m, struct machine_intx *line);

/* notify.c */
int vfio_notify_start(struct vfio_machine *vm);
void vfio_notify_stop(struct vfio_machine *vm);
int vfio_command(struct machine *m, const char *command, char **reply, uint64_t deadline_ns);

#endif
