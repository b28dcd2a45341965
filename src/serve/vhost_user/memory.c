/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mapping what a client shares.
 *
 * F_GET_SEALS is the first thing that is asked of a descriptor, since the kernel answers it without asking the file's file
 * system: one that a client serves itself (FUSE) could keep us for ever in fstat() or in a page fault.
 */
#include "serve/vhost_user/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/bits.h"
#include "serve/vhost_user/guard.h"

/* Address space of ours that one client may have; nothing is allocated for it. */
#define CLIENT_BYTES_MAX (4ull << 40)

static int refuse(int error, char *why, size_t why_bytes, const char *format, ...) OB_PRINTF(4, 5);
static int refuse(int error, char *why, size_t why_bytes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_bytes, format, args);
	va_end(args);
	return error;
}

/* What the file's pages are: the unit of mapping it, and of losing a piece of it. */
static int check_file(int fd, uint64_t *file_bytes, size_t *page_bytes, char *why, size_t why_bytes)
{
	struct statfs fs;
	struct stat st;

	if (fcntl(fd, F_GET_SEALS) < 0)
		return refuse(-EINVAL, why, why_bytes, "its file is none of memfd, tmpfs or hugetlbfs");
	if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
		return refuse(-errno, why, why_bytes, "its file: %s", strerror(errno));
	*file_bytes = (uint64_t)st.st_size;
	*page_bytes = fs.f_type == HUGETLBFS_MAGIC ? (size_t)fs.f_bsize : (size_t)sysconf(_SC_PAGESIZE);
	return IS_POWER_OF_2(*page_bytes) ? 0 : refuse(-EINVAL, why, why_bytes, "its file has strange pages");
}

int vu_map(int fd, uint64_t offset, uint64_t len_bytes, unsigned *hurt, struct vu_mapping *out, char *why,
	   size_t why_bytes)
{
	uint64_t file_bytes, start;
	size_t page_bytes;
	int ret = check_file(fd, &file_bytes, &page_bytes, why, why_bytes);

	*out = (struct vu_mapping){0};
	if (ret != 0)
		return ret;
	if (len_bytes == 0 || offset > file_bytes || len_bytes > file_bytes - offset)
		return refuse(-EINVAL, why, why_bytes, "%#llx bytes at %#llx are not inside its file of %#llx",
			      (unsigned long long)len_bytes, (unsigned long long)offset,
			      (unsigned long long)file_bytes);
	if (len_bytes > CLIENT_BYTES_MAX)
		return refuse(-E2BIG, why, why_bytes, "%#llx bytes are too many", (unsigned long long)len_bytes);
	start = ALIGN_DOWN(offset, (uint64_t)page_bytes);
	out->map_bytes = (size_t)ALIGN_UP(offset - start + len_bytes, (uint64_t)page_bytes);
	out->map = mmap(NULL, out->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)start);
	if (out->map == MAP_FAILED) {
		ret = -errno;
		*out = (struct vu_mapping){0};
		/* Read only, or sealed against writing. */
		return refuse(ret == -EACCES || ret == -EPERM ? -EINVAL : ret, why, why_bytes,
			      "its file cannot be mapped to be read and written: %s", strerror(-ret));
	}
	ret = vu_guard_add(out->map, out->map_bytes, page_bytes, hurt, &out->guard);
	if (ret != 0) {
		munmap(out->map, out->map_bytes);
		*out = (struct vu_mapping){0};
		return refuse(ret, why, why_bytes, "it cannot be guarded: %s", strerror(-ret));
	}
	out->base = (uint8_t *)out->map + (offset - start);
	return 0;
}

void vu_unmap(struct vu_mapping *mapping)
{
	if (mapping->map == NULL)
		return;
	vu_guard_remove(mapping->guard);
	munmap(mapping->map, mapping->map_bytes);
	*mapping = (struct vu_mapping){0};
}

/* ---- regions ---- */

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

static int check_region(const struct vu_memory *m, const struct vhost_user_region *r, char *why, size_t why_bytes)
{
	if (m->region_count == VU_REGIONS_MAX)
		return refuse(-ENOSPC, why, why_bytes, "there are %u regions already", m->region_count);
	/* So that no sum below wraps around. */
	if (r->len_bytes == 0 || r->guest_address > UINT64_MAX - r->len_bytes ||
	    r->user_address > UINT64_MAX - r->len_bytes || r->file_offset > INT64_MAX ||
	    r->len_bytes > INT64_MAX - r->file_offset)
		return refuse(-EINVAL, why, why_bytes, "its addresses wrap around, or it is empty");
	if (r->len_bytes > CLIENT_BYTES_MAX - m->len_bytes)
		return refuse(-E2BIG, why, why_bytes, "with it there would be more than %llu TiB",
			      CLIENT_BYTES_MAX >> 40);
	for (unsigned i = 0; i < m->region_count; i++) {
		const struct vu_region *other = &m->region[i];

		if (overlap(r->guest_address, r->len_bytes, other->guest_address, other->len_bytes))
			return refuse(-EEXIST, why, why_bytes, "it overlaps the one at %#llx",
				      (unsigned long long)other->guest_address);
		if (overlap(r->user_address, r->len_bytes, other->user_address, other->len_bytes))
			return refuse(-EEXIST, why, why_bytes, "it overlaps that at %#llx in the front-end",
				      (unsigned long long)other->user_address);
	}
	return 0;
}

/* Without one, data is bounced by the block class; that always works. */
static struct ob_window *open_window(struct ob_block *block, const struct vu_mapping *mapping)
{
	struct ob_window *window;

	if (block == NULL ||
	    ob_window_import(ob_device_machine(ob_block_device(block)), mapping->map, mapping->map_bytes, &window) != 0)
		return NULL;
	if (ob_block_grant(block, window) == 0)
		return window;
	ob_window_put(window);
	return NULL;
}

int vu_memory_add(struct vu_memory *m, const struct vhost_user_region *region, int fd, char *why, size_t why_bytes)
{
	struct vu_region *r = &m->region[m->region_count];
	struct vu_mapping mapping;
	int ret = check_region(m, region, why, why_bytes);

	if (ret == 0)
		ret = vu_map(fd, region->file_offset, region->len_bytes, m->hurt, &mapping, why, why_bytes);
	if (ret != 0)
		return ret;
	*r = (struct vu_region){
		.guest_address = region->guest_address,
		.user_address = region->user_address,
		.len_bytes = region->len_bytes,
		.base = mapping.base,
		.map = mapping.map,
		.map_bytes = mapping.map_bytes,
		.guard = mapping.guard,
		.window = open_window(m->block, &mapping),
	};
	m->region_count++;
	m->len_bytes += r->len_bytes;
	return 0;
}

static void drop(struct vu_memory *m, unsigned index)
{
	struct vu_region *r = &m->region[index];
	struct vu_mapping mapping = {.map = r->map, .map_bytes = r->map_bytes, .guard = r->guard};

	/* The device first: it may reach the memory until the window has gone. */
	ob_window_put(r->window);
	vu_unmap(&mapping);
	m->len_bytes -= r->len_bytes;
	*r = m->region[--m->region_count];
}

int vu_memory_remove(struct vu_memory *m, const struct vhost_user_region *region)
{
	for (unsigned i = 0; i < m->region_count; i++) {
		const struct vu_region *r = &m->region[i];

		if (r->guest_address == region->guest_address && r->user_address == region->user_address &&
		    r->len_bytes == region->len_bytes) {
			drop(m, i);
			return 0;
		}
	}
	return -ENOENT;
}

void vu_memory_clear(struct vu_memory *m)
{
	while (m->region_count > 0)
		drop(m, m->region_count - 1);
}

int vu_memory_user_to_guest(const struct vu_memory *m, uint64_t address, uint64_t len_bytes, uint64_t *guest)
{
	for (unsigned i = 0; i < m->region_count; i++) {
		const struct vu_region *r = &m->region[i];
		uint64_t offset = address - r->user_address;

		if (offset < r->len_bytes && len_bytes <= r->len_bytes - offset) {
			*guest = r->guest_address + offset;
			return 0;
		}
	}
	return -EACCES;
}
