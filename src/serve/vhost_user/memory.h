/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client's memory: the regions that it shares, mapped here, and made a window of the disk's machine where that can be, so
 * that data moves between the client and the device without a copy of ours.
 *
 * Every number comes from the client. A region is taken when its file is one whose pages stay or are missed by a signal
 * (memfd, tmpfs, hugetlbfs: what answers F_GET_SEALS), when it lies inside that file as it is now, and when it overlaps
 * none of the others. A file that is made shorter later is guard.h's matter.
 */
#ifndef OB_SERVE_VHOST_USER_MEMORY_H
#define OB_SERVE_VHOST_USER_MEMORY_H

#include <outboard/outboard.h>

#include "spec/vhost_user.h"

enum {
	VU_REGIONS_MAX = 64, /* what GET_MAX_MEM_SLOTS answers */
};

struct vu_region {
	uint64_t guest_address, user_address, len_bytes;
	uint8_t *base; /* here, of the region's first byte */
	void *map;     /* of whole pages around it */
	size_t map_bytes;
	unsigned guard;
	struct ob_window *window; /* NULL: the disk's machine cannot reach it, data is copied */
};

struct vu_memory {
	struct ob_block *block; /* whose machine is to reach it; NULL: none */
	unsigned *hurt;         /* set when a file no longer had what was mapped: guard.h */
	uint64_t len_bytes;     /* of all regions */
	unsigned region_count;
	struct vu_region region[VU_REGIONS_MAX];
};

/**
 * vu_memory_add - map one more region
 * @fd:  stays the caller's
 * @why: a line, when it is refused
 *
 * Task, or a plain thread. Return: 0; -EINVAL, -EEXIST, -ENOSPC, -E2BIG the client's fault; other errno: ours.
 */
int vu_memory_add(struct vu_memory *m, const struct vhost_user_region *region, int fd, char *why, size_t why_bytes);
/** vu_memory_remove - the one with these addresses and this length; nobody uses it. 0; -ENOENT */
int vu_memory_remove(struct vu_memory *m, const struct vhost_user_region *region);
/** vu_memory_clear - all of them */
void vu_memory_clear(struct vu_memory *m);

/** vu_memory_guest - the region of a guest's address; *@room: how many bytes there are from it to the region's end */
static inline const struct vu_region *vu_memory_guest(const struct vu_memory *m, uint64_t address, uint64_t *room)
{
	for (unsigned i = 0; i < m->region_count; i++) {
		const struct vu_region *r = &m->region[i];
		uint64_t offset = address - r->guest_address;

		if (offset < r->len_bytes) {
			*room = r->len_bytes - offset;
			return r;
		}
	}
	return NULL;
}

/** vu_memory_pointer - @len_bytes at a guest's address that are one piece here, or NULL */
static inline void *vu_memory_pointer(const struct vu_memory *m, uint64_t address, uint64_t len_bytes)
{
	uint64_t room = 0;
	const struct vu_region *r = vu_memory_guest(m, address, &room);

	return r != NULL && len_bytes <= room ? r->base + (address - r->guest_address) : NULL;
}

/** vu_memory_user_to_guest - what the front-end's own address of @len_bytes is to the guest. 0; -EACCES */
int vu_memory_user_to_guest(const struct vu_memory *m, uint64_t address, uint64_t len_bytes, uint64_t *guest);

/* A file that is mapped with the same checks, for other tables that are shared with a client. */
struct vu_mapping {
	void *map, *base; /* of whole pages; where the offset is */
	size_t map_bytes;
	unsigned guard;
};

/** vu_map - @len_bytes at @offset of a file, to be read and written; errors as of vu_memory_add() */
int vu_map(int fd, uint64_t offset, uint64_t len_bytes, unsigned *hurt, struct vu_mapping *out, char *why,
	   size_t why_bytes);
/** vu_unmap - an empty one is fine; it is emptied */
void vu_unmap(struct vu_mapping *mapping);

#endif
