/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * This computer, as far as drivers in user space care: its PCI functions, who drives and who uses them, what is lacking,
 * and how a function changes hands. Everything is read below a root and written by one function, so that a recorded
 * system, or one that only a test knows, does as well.
 */
#ifndef OB_HOST_HOST_H
#define OB_HOST_HOST_H

#include <outboard/types.h>

#define HOST_NAME_LEN 32
#define HOST_TEXT_LEN 256

struct host {
	const char *root; /* "" this computer */
	/* sysfs_write() with a whole path below the root, or what a test puts in its place. 0; negative errno. */
	int (*write)(struct host *host, const char *path, const char *text);
	/* Is there a driver here for such a function? NULL: for none. */
	bool (*has_driver)(uint32_t vendor, uint32_t device, uint32_t class_code);
	uint64_t memlock_bytes; /* that this process may lock; UINT64_MAX: no limit */
	bool is_root;
};

/** host_init - this computer with @root "", a recorded one otherwise */
void host_init(struct host *host, const char *root);

/* ---- pci.c ---- */

struct host_pci {
	char name[HOST_NAME_LEN]; /* 0000:01:00.0 */
	unsigned vendor, device, class_code;
	int group;                  /* of the IOMMU; -1: none */
	char driver[HOST_NAME_LEN]; /* empty: none */
	char cdev[HOST_NAME_LEN];   /* /dev/vfio/devices/… for iommufd; empty: none */
};

/** host_pci_read - one function; @name may lack the segment. 0; -ENODEV there is none; -EINVAL no address. */
int host_pci_read(const struct host *host, const char *name, struct host_pci *out);
/** host_pci_list - all of them, by address. @out: to be freed by free(). How many; negative errno. */
int host_pci_list(const struct host *host, struct host_pci **out);
/* It belongs to vfio-pci, or a variant of it. */
bool host_pci_is_ours(const struct host_pci *pci);
/* A bridge: no device to be had, and no hindrance in a group. */
bool host_pci_is_bridge(const struct host_pci *pci);

/* ---- use.c ---- */

/**
 * host_pci_user - what would be lost with this function: a file system, swap, a volume, the default route, a process's file
 * @out: of HOST_TEXT_LEN: "/dev/nvme0n1p1 is mounted on /home"; what cannot be read, on an error
 *
 * Return: 1 it is used; 0; negative errno.
 */
int host_pci_user(const struct host *host, const char *name, char *out);

/** host_pci_claimed - asks the kernel itself, by opening each of its disks for a moment. As host_pci_user(). */
int host_pci_claimed(const struct host *host, const char *name, char *out);
/** host_holder - the first other process with the file @path: "process 12 (dd) has /dev/x open". As host_pci_user(). */
int host_holder(const struct host *host, const char *path, char *out);

/* ---- bind.c ---- */

/** host_bind - give @name to vfio-pci. @why: of HOST_TEXT_LEN, on an error.
 * @with_group: the other devices of its IOMMU group, too
 *
 * 0; -ENODEV; -EINVAL; -EBUSY used, or not alone in its group; -ENOENT no vfio-pci; -EPERM; -EIO it did not take it. */
int host_bind(struct host *host, const char *name, bool with_group, char *why);
/**
 * host_unbind - take it from vfio-pci and give it back to the driver that it had
 * @force: also from a process that uses it: it is asked to leave, and has 15 s
 *
 * As host_bind(); and -ETIMEDOUT.
 */
int host_unbind(struct host *host, const char *name, bool force, char *why);
/** host_user_find - a user by name. 0; -EINVAL there is none. */
int host_user_find(const char *user, unsigned *uid, char *why);
/** host_give_to_user - let a user open it without privileges. As host_bind(). */
int host_give_to_user(const struct host *host, const char *name, unsigned uid, char *why);

/* ---- doctor.c ---- */

enum host_verdict {
	HOST_GOOD,
	HOST_NOTE, /* it works, but could be better */
	HOST_BAD,  /* it does not work so */
};

struct host_finding {
	const char *subject;        /* "iommu" */
	char device[HOST_NAME_LEN]; /* empty: of the computer */
	enum host_verdict verdict;
	char text[HOST_TEXT_LEN];
	char mend[HOST_TEXT_LEN]; /* a command or what to do; empty: nothing needed */
};

#define HOST_FINDINGS_MAX 128

/** host_examine - @device: one only, or NULL for all that drivers here know. How many findings. */
unsigned host_examine(const struct host *host, const char *device, struct host_finding out[HOST_FINDINGS_MAX]);

#endif
