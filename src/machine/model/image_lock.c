/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An image has one writer, or readers. QEMU and its tools say so by locks on single bytes of the file, and so do we: for
 * each thing that may be done to an image there is a byte that tells that somebody does it, and one that tells that
 * somebody bears no other who does. Everybody locks the bytes of both kinds for reading, and then asks whether the
 * opposite ones are locked. The bytes are far into the file or behind its end; their contents do not matter.
 *
 * The locks belong to the open file, so that they also hold between machines of one process, and go with it.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/bits.h"
#include "machine/model/model_machine.h"

/* Where QEMU has them (its block/file-posix.c calls them RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE). */
#define DONE_BYTES    100
#define UNBORNE_BYTES 200

enum image_right {
	IMAGE_READ = 0,
	IMAGE_WRITE = 1,
	IMAGE_RESIZE = 3,
};

#define READER  (BIT(IMAGE_READ))
#define WRITER  (BIT(IMAGE_READ) | BIT(IMAGE_WRITE) | BIT(IMAGE_RESIZE))
#define UNBORNE (BIT(IMAGE_WRITE) | BIT(IMAGE_RESIZE))

/* Some file systems have no such locks: then there are none to respect. */
static bool is_none(int error)
{
	return error == EINVAL || error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS;
}

static int take(int fd, off_t base, unsigned rights)
{
	for (unsigned i = 0; i <= IMAGE_RESIZE; i++) {
		struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = base + (off_t)i, .l_len = 1};

		if ((rights & BIT(i)) != 0 && fcntl(fd, F_OFD_SETLK, &lock) != 0)
			return -errno;
	}
	return 0;
}

static int look(int fd, off_t base, unsigned rights)
{
	for (unsigned i = 0; i <= IMAGE_RESIZE; i++) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = base + (off_t)i, .l_len = 1};

		if ((rights & BIT(i)) == 0)
			continue;
		if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
			return -errno;
		if (lock.l_type != F_UNLCK)
			return -EBUSY;
	}
	return 0;
}

int image_lock(int fd, bool read_only)
{
	unsigned does = read_only ? READER : WRITER;
	int ret = take(fd, DONE_BYTES, does);

	if (ret == 0)
		ret = take(fd, UNBORNE_BYTES, UNBORNE);
	if (ret == 0)
		ret = look(fd, UNBORNE_BYTES, does);
	if (ret == 0)
		ret = look(fd, DONE_BYTES, UNBORNE);
	/* A lock that another does not let us have is EAGAIN or EACCES. */
	if (ret == -EAGAIN || ret == -EACCES)
		ret = -EBUSY;
	return is_none(-ret) ? 0 : ret;
}
