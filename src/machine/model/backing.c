/* SPDX-License-Identifier: BSD-2-Clause */
/* What the system gives a modelled disk to keep its data in: sparse memory, a raw image file, nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "machine/model/model_machine.h"

struct backing_file {
	struct backing base;
	struct ob *ob; /* hears of the first failure; the guest's end of it is no more than "input/output error" */
	char *path;
	int fd;
	bool read_only, said;
};

/* ---- memory ---- */

static int memory_read(struct backing *b, uint64_t offset, void *to, size_t len_bytes)
{
	memcpy(to, b->memory + offset, len_bytes);
	return 0;
}

static int memory_write(struct backing *b, uint64_t offset, const void *from, size_t len_bytes)
{
	memcpy(b->memory + offset, from, len_bytes);
	return 0;
}

static int nothing_to_flush(struct backing *b)
{
	return 0;
}

static int memory_zero(struct backing *b, uint64_t offset, uint64_t len_bytes, bool deallocate)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t first = ALIGN_UP(offset, page), last = ALIGN_DOWN(offset + len_bytes, page);

	if (!deallocate || first >= last || madvise(b->memory + first, last - first, MADV_DONTNEED) != 0) {
		memset(b->memory + offset, 0, len_bytes);
		return 0;
	}
	memset(b->memory + offset, 0, first - offset);
	memset(b->memory + last, 0, offset + len_bytes - last);
	return 0;
}

/* Private anonymous pages: they cost nothing until they are written, and read as zeroes. */
static uint8_t *memory_map(uint64_t len_bytes)
{
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			    0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int memory_resize(struct backing *b, uint64_t len_bytes)
{
	void *memory;

	if (len_bytes == 0)
		return -EINVAL;
	memory = mremap(b->memory, b->len_bytes, len_bytes, MREMAP_MAYMOVE);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	b->memory = memory;
	b->len_bytes = len_bytes;
	return 0;
}

static void memory_destroy(struct backing *b)
{
	munmap(b->memory, b->len_bytes);
	free(b);
}

static const struct backing_ops memory_ops = {
	.read = memory_read,
	.write = memory_write,
	.flush = nothing_to_flush,
	.zero = memory_zero,
	.resize = memory_resize,
	.destroy = memory_destroy,
};

/* Numbers that do not repeat (Marsaglia's xorshift64), so that no page is like another. */
static void memory_fill(uint8_t *memory, uint64_t len_bytes)
{
	uint64_t x = 0x6f7574626f617264ull;

	/* All of it is going to be there: huge pages save misses of the TLB, where the kernel has some. */
	(void)madvise(memory, len_bytes, MADV_HUGEPAGE);
	for (uint64_t at = 0; at < len_bytes; at += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(memory + at, &x, MIN(len_bytes - at, (uint64_t)sizeof(x)));
	}
}

int backing_memory_create(uint64_t len_bytes, bool filled, struct backing **out)
{
	struct backing *b;

	if (len_bytes == 0 || len_bytes > SIZE_MAX / 2)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->ops = &memory_ops;
	b->len_bytes = len_bytes;
	b->memory = memory_map(len_bytes);
	if (b->memory == NULL) {
		free(b);
		return -ENOMEM;
	}
	if (filled)
		memory_fill(b->memory, len_bytes);
	*out = b;
	return 0;
}

/* ---- file ---- */

static int file_failed(struct backing_file *f, const char *what, int error)
{
	/* Channels of several CPUs may write at once. */
	if (!__atomic_exchange_n(&f->said, true, __ATOMIC_RELAXED))
		ob_err(f->ob, "model: %s: %s: %s", f->path, what, strerror(error));
	return error == ENOSPC || error == EDQUOT ? -ENOSPC : -EIO;
}

static int file_read(struct backing *b, uint64_t offset, void *to, size_t len_bytes)
{
	struct backing_file *f = (struct backing_file *)b;
	size_t done = 0;

	while (done < len_bytes) {
		ssize_t n = pread(f->fd, (uint8_t *)to + done, len_bytes - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_failed(f, "read", errno);
		if (n == 0) {
			/* Somebody cut the file short behind our back: what is missing reads as zeroes. */
			memset((uint8_t *)to + done, 0, len_bytes - done);
			return 0;
		}
		done += (size_t)n;
	}
	return 0;
}

static int file_write(struct backing *b, uint64_t offset, const void *from, size_t len_bytes)
{
	struct backing_file *f = (struct backing_file *)b;
	size_t done = 0;

	while (done < len_bytes) {
		ssize_t n = pwrite(f->fd, (const uint8_t *)from + done, len_bytes - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return file_failed(f, "write", n < 0 ? errno : EIO);
		done += (size_t)n;
	}
	return 0;
}

static int file_flush(struct backing *b)
{
	struct backing_file *f = (struct backing_file *)b;

	return f->read_only || fdatasync(f->fd) == 0 ? 0 : file_failed(f, "flush", errno);
}

static int file_zero(struct backing *b, uint64_t offset, uint64_t len_bytes, bool deallocate)
{
	struct backing_file *f = (struct backing_file *)b;
	static const uint8_t zeroes[64 * 1024];
	int mode = FALLOC_FL_KEEP_SIZE | (deallocate ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

	if (len_bytes == 0 || fallocate(f->fd, mode, (off_t)offset, (off_t)len_bytes) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return file_failed(f, "zeroes", errno);
	while (len_bytes != 0) {
		size_t part = (size_t)MIN(len_bytes, (uint64_t)sizeof(zeroes));
		int ret = file_write(b, offset, zeroes, part);

		if (ret != 0)
			return ret;
		offset += part;
		len_bytes -= part;
	}
	return 0;
}

static int file_resize(struct backing *b, uint64_t len_bytes)
{
	struct backing_file *f = (struct backing_file *)b;

	if (len_bytes == 0 || f->read_only)
		return -EINVAL;
	if (ftruncate(f->fd, (off_t)len_bytes) != 0)
		return errno == ENOSPC || errno == EFBIG ? -ENOSPC : -EIO;
	b->len_bytes = len_bytes;
	return 0;
}

static void file_destroy(struct backing *b)
{
	struct backing_file *f = (struct backing_file *)b;

	close(f->fd);
	free(f->path);
	free(f);
}

static const struct backing_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.zero = file_zero,
	.resize = file_resize,
	.destroy = file_destroy,
};

static int file_open(const char *path, uint64_t len_bytes, bool read_only, bool create, uint64_t *len_out)
{
	int flags = (read_only ? O_RDONLY : O_RDWR) | (create ? O_CREAT : 0);
	int fd = open(path, flags | O_CLOEXEC, 0666);
	struct stat st;
	int ret = -EINVAL;
	off_t len;

	if (fd < 0)
		return -errno;
	len = fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) ? lseek(fd, 0, SEEK_END) : -1;
	if (len < 0)
		goto close;
	ret = image_lock(fd, read_only);
	if (ret != 0)
		goto close;
	ret = -EINVAL;
	if (len_bytes > (uint64_t)len && (read_only || ftruncate(fd, (off_t)len_bytes) != 0))
		goto close;
	*len_out = len_bytes != 0 ? len_bytes : (uint64_t)len;
	if (*len_out != 0)
		return fd;
close:
	close(fd);
	return ret;
}

int backing_file_create(struct ob *ob, const char *path, uint64_t len_bytes, bool read_only, bool create,
			struct backing **out)
{
	struct backing_file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	f->ob = ob;
	f->path = strdup(path);
	if (f->path == NULL) {
		free(f);
		return -ENOMEM;
	}
	f->base.ops = &file_ops;
	f->read_only = read_only;
	f->fd = file_open(path, len_bytes, read_only, create, &f->base.len_bytes);
	if (f->fd < 0) {
		int ret = f->fd;

		free(f->path);
		free(f);
		return ret;
	}
	*out = &f->base;
	return 0;
}

/* ---- nothing ---- */

static int null_read(struct backing *b, uint64_t offset, void *to, size_t len_bytes)
{
	memset(to, 0, len_bytes);
	return 0;
}

static int null_write(struct backing *b, uint64_t offset, const void *from, size_t len_bytes)
{
	return 0;
}

static int null_zero(struct backing *b, uint64_t offset, uint64_t len_bytes, bool deallocate)
{
	return 0;
}

static int null_resize(struct backing *b, uint64_t len_bytes)
{
	b->len_bytes = len_bytes;
	return len_bytes == 0 ? -EINVAL : 0;
}

static void null_destroy(struct backing *b)
{
	free(b);
}

static const struct backing_ops null_ops = {
	.read = null_read,
	.write = null_write,
	.flush = nothing_to_flush,
	.zero = null_zero,
	.resize = null_resize,
	.destroy = null_destroy,
};

int backing_null_create(uint64_t len_bytes, struct backing **out)
{
	struct backing *b;

	if (len_bytes == 0)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->ops = &null_ops;
	b->len_bytes = len_bytes;
	b->discards = true;
	*out = b;
	return 0;
}
