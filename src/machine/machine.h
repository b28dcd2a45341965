/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one interface below core: what a machine provides.
 *
 * A machine yields buses; src/bus/ finds devices on them. It gives register access, DMA memory and interrupts, and it
 * owns all that is particular to how the hardware is reached. Nothing above this interface asks which machine it is.
 *
 * A PCI machine comes in two kinds: a host bridge whose firmware is us (QEMU without a guest, the model): bus/pci
 * enumerates, sizes and assigns; or functions that somebody else configured (VFIO, vfio-user): it only reads. The flag
 * `assigned` tells them apart.
 */
#ifndef OB_MACHINE_MACHINE_H
#define OB_MACHINE_MACHINE_H

#include <outboard/machine.h>
#include <outboard/mmio.h>
#include <outboard/types.h>

struct ob_device;
struct machine;

enum machine_space {
	MACHINE_SPACE_MEMORY, /* physical addresses */
	MACHINE_SPACE_PORT,   /* x86 I/O ports */
};

enum machine_bus_kind {
	MACHINE_BUS_END,
	MACHINE_BUS_PCI,
	MACHINE_BUS_DT,
	MACHINE_BUS_ACPI,
	MACHINE_BUS_VIRTIO,
};

/* An address range that a PCI host bridge forwards to its bus, from which BARs are assigned. */
struct machine_range {
	uint64_t base, len_bytes;
};

struct machine_pci_host {
	uint16_t segment;
	uint8_t bus_first, bus_last;
	bool assigned;      /* buses and BARs are set already and must not be changed */
	uint64_t ecam_base; /* in MACHINE_SPACE_MEMORY; 0: none */
	bool has_cf8;       /* ports 0xcf8/0xcfc */
	/* Config access when there is neither; 0 or -ENODEV. bdf: bus << 8 | slot << 3 | function. */
	int (*config_read)(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t *value);
	int (*config_write)(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value);
	struct machine_range io, mem32, mem64; /* len 0: none */
	/* The machine's own functions, at root-bus addresses: bus/pci neither lists nor writes to them. */
	const uint16_t *hidden;
	unsigned hidden_count;
};

/* One queue of a virtio device, in addresses that dma_alloc() and dma_grant() gave (VIRTIO 1.2 §2.6). */
struct machine_virtio_queue {
	uint16_t size;
	uint64_t desc, driver, device;
};

/*
 * A virtio device that the machine itself carries. Tasks of CPU 0, unless said otherwise. 0; -ENODEV it is gone; -EPROTO
 * the far side answers nonsense; -ETIMEDOUT.
 */
struct machine_virtio_ops {
	/* What it offers, VERSION_1 and ring features included. */
	int (*offered)(struct machine *m, unsigned device, uint64_t *features);
	/* Before any queue. -EOPNOTSUPP: it does not take these. */
	int (*accept)(struct machine *m, unsigned device, uint64_t features);
	/* No queue is served, and no memory touched, when it returns; also the interrupts' eventfds are silent. */
	int (*reset)(struct machine *m, unsigned device, uint64_t deadline_ns);
	/* All queues are set up: work. */
	int (*start)(struct machine *m, unsigned device);
	/* The configuration as a whole, so that it is of one moment; *len_bytes: room in, what there is out. */
	int (*config_read)(struct machine *m, unsigned device, void *to, size_t *len_bytes);
	int (*config_write)(struct machine *m, unsigned device, unsigned offset, const void *from, size_t len_bytes);
	/* Largest size of a queue; 0: no such queue. */
	int (*queue_size)(struct machine *m, unsigned device, unsigned queue, uint16_t *size);
	/*
	 * Serve a queue, from its beginning. @doorbell: filled; a write of 16 bits at *offset is the notification (of 32
	 * bits with NOTIFICATION_DATA). It stays valid until the machine's close, also when the far side is gone.
	 */
	int (*queue_start)(struct machine *m, unsigned device, unsigned queue,
			   const struct machine_virtio_queue *config, struct ob_region *doorbell, uint64_t *offset);
	/* Serve it no more; queue_start() may come again. NULL: the device cannot (VIRTIO_F_RING_RESET). */
	int (*queue_stop)(struct machine *m, unsigned device, unsigned queue, uint64_t deadline_ns);
	/*
	 * An eventfd that fires for @queue, or, where @queue is -1, when the configuration changed or needs_reset() became
	 * true; -ENOENT: none.
	 */
	int (*irq_fd)(struct machine *m, unsigned device, int queue);
	/*
	 * Nothing goes on until it is reset (DEVICE_NEEDS_RESET, §2.1); requests in flight are lost, the device is not. Any
	 * context. NULL: never.
	 */
	bool (*needs_reset)(struct machine *m, unsigned device);
};

struct machine_virtio_device {
	const char *name; /* unique in the machine: "virtio0" */
	uint32_t id;      /* VIRTIO 1.2 clause 5 */
	const struct machine_virtio_ops *ops;
};

struct machine_bus {
	enum machine_bus_kind kind;
	union {
		struct machine_pci_host pci;
		struct {
			const struct machine_virtio_device *devices; /* an index of it is @device of the ops */
			unsigned count;
		} virtio;
		struct {
			const void *blob;
			size_t len_bytes;
		} dt;
	} u;
};

/* Where a message interrupt arrives. */
struct machine_msi {
	int fd;       /* an eventfd of the machine's; readable when it fired. Owned by the machine. */
	bool program; /* bus/pci writes address and data into the device; false: the machine did it */
	uint64_t address;
	uint32_t data;
};

/* An interrupt line. */
struct machine_intx {
	int fd; /* eventfd: readable when the line was raised */
	void *cookie;
};

struct machine_dma_memory {
	void *base;
	uint64_t iova;
	size_t len_bytes;
	void *cookie;
};

/* How a device leaves. */
enum machine_removal {
	MACHINE_REMOVAL_ASKED, /* somebody wants it back; until it is released it works */
	MACHINE_REMOVAL_GONE,  /* it does not answer any more */
};

/*
 * All calls are thread-safe unless said otherwise. Every call ends: a machine has a deadline on what it talks to, and
 * once that passed or the far side is dead everything answers -ENODEV, reads all ones.
 */
struct machine_ops {
	/*
	 * The far side goes now: stop and reap it, close what leads to it. Only dma_free(), dma_revoke() and close()
	 * come after it, with the memory that is still allocated: the program may hold windows. NULL: close does it
	 * all.
	 *
	 * It comes too when a driver is stuck, and then never a close. Any call may be under way or follow from there,
	 * from any thread; all are answered as if the far side had died.
	 */
	void (*shutdown)(struct machine *m);
	/* Free everything. May come when the context is gone already (windows that were held), so it logs nothing. */
	void (*close)(struct machine *m);
	/* The buses, ending with MACHINE_BUS_END; the machine's memory, for its life. */
	const struct machine_bus *(*buses)(struct machine *m);

	/*
	 * The driver is off this device, which is to leave: let it go. All that is asked of it from now on is answered
	 * as for one that is gone. NULL: nothing to be done.
	 */
	void (*release)(struct machine *m, const char *device);

	/*
	 * Somebody looks for devices again: take back those that were let go, or never came, if they can be had now.
	 * Those that cannot are named in the log; that is no error. Task. NULL: nothing to be done. 0; negative errno.
	 */
	int (*rescan)(struct machine *m, uint64_t deadline_ns);
	/*
	 * Reset a device that has no reset of its own that its bus knows. All that was set up in it may be lost. Task.
	 * NULL or -EOPNOTSUPP: there is no way. 0; -ENODEV; -EBUSY; -ETIMEDOUT.
	 */
	int (*reset)(struct machine *m, struct ob_device *dev, uint64_t deadline_ns);

	/* One access of 1, 2, 4 or 8 bytes. Reads order after earlier writes; writes may be posted. */
	uint64_t (*read)(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes);
	void (*write)(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes,
		      uint64_t value);
	/* Posted writes have arrived. 0 or -ENODEV. */
	int (*flush)(struct machine *m);
	/*
	 * Fill @out for a register range of @dev: base when it can be mapped, ops and context otherwise.
	 * 0; -ENODEV; -ENOMEM.
	 */
	int (*region_open)(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
			   uint64_t len_bytes, struct ob_region *out);
	void (*region_close)(struct machine *m, struct ob_region *region);

	/* Page-aligned zeroed memory that devices can reach at .iova; the same for all of its devices unless attach
	 * says so. */
	int (*dma_alloc)(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out);
	void (*dma_free)(struct machine *m, struct machine_dma_memory *memory);
	/* The program's memory as DMA memory; NULL or -EOPNOTSUPP where that cannot be. dma_free() ends it. */
	int (*dma_import)(struct machine *m, void *base, size_t len_bytes, struct machine_dma_memory *out);
	/*
	 * An IOMMU's view: map for one device with rights, giving the device's own address; again for the same memory:
	 * widen the rights. The address may change by that; the earlier one serves too, until the revoke, which ends
	 * all. NULL: .iova serves all.
	 */
	int (*dma_grant)(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory,
			 unsigned rights, uint64_t *iova);
	void (*dma_revoke)(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory,
			   uint64_t iova);

	/* Message interrupts: @count vectors for @dev (plain MSI: consecutive data, aligned). Return: 0; -ENOSPC;
	 * -EOPNOTSUPP. */
	int (*msi_alloc)(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous,
			 struct machine_msi *out);
	void (*msi_free)(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi);
	/* The line behind pin 1..4 of the root-bus @slot that the device's interrupt swizzles to. 0; -EOPNOTSUPP;
	 * -ENOSPC. */
	int (*intx_open)(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin,
			 struct machine_intx *out);
	/*
	 * The interrupt that a device tree calls @number, of the controller whose registers are at @controller. It may be
	 * triggered by edges; who opened it knows. 0; -EOPNOTSUPP; -ENOENT no such interrupt; -ENODEV; -ENOMEM.
	 */
	int (*line_open)(struct machine *m, struct ob_device *dev, uint64_t controller, uint32_t number,
			 struct machine_intx *out);
	void (*intx_close)(struct machine *m, struct machine_intx *line); /* of either kind */
	/* Is the line still up, once all earlier writes arrived? */
	bool (*intx_level)(struct machine *m, struct machine_intx *line);

	int (*command)(struct machine *m, const char *command, char **reply, uint64_t deadline_ns);
};

/* A machine's implementation embeds this first; core's struct ob_machine points to it. */
struct machine {
	const struct machine_ops *ops;
	struct ob *ob;
	bool dead; /* OB_READ_ONCE: the far side is gone; everything answers -ENODEV */
	/* core sets it: the machine died (any thread). */
	void (*on_dead)(struct machine *m, const char *why);
	/* core sets it: @device, by its name, is to leave or has left (any thread but those that are inside a call). */
	void (*on_removal)(struct machine *m, const char *device, enum machine_removal how, const char *why);
	void *core;
};

struct machine_type {
	const char *scheme; /* "qemu" */
	const char *help;   /* one line for --help */
	/*
	 * @rest: the URI after "scheme:". Waits at most until @deadline_ns. A plain thread or a task.
	 * 0; -EINVAL; -ENOENT; -ENODEV; -ETIMEDOUT; each with a line in the log.
	 */
	int (*open)(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		    struct machine **out);
	/* What a user must start so that open() with the same @rest can attach to it; text for ob_free(). Or NULL. */
	int (*attach_help)(const char *rest, char **text);
};

/* All machine types that are built in, NULL-terminated (src/machine/types.c). */
extern const struct machine_type *const machine_types[];

/** machine_type_find - the type of "scheme:rest", and where rest starts (after the colon, or the end); or NULL */
const struct machine_type *machine_type_find(const char *uri, const char **rest);

#endif
