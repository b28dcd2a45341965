/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard read: bytes of a disk into a file or a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/transfer.h"

static const char help[] =
	"usage: outboard read [--offset SIZE] [--count SIZE] [--depth N] DISK [FILE]\n"
	"\n"
	"Copies a disk, or a part of it, to FILE; to standard output without one or when it is '-'.\n"
	"\n"
	"  outboard read nvme0n1 disk.img\n"
	"  outboard read --count 4K nvme0n1 | xxd | head\n"
	"  outboard read --offset 1M --count 16M nvme0n1 - | sha256sum\n"
	"\n"
	"      --offset SIZE   first byte (default 0)\n"
	"      --count SIZE    how many bytes (default: to the end)\n"
	"      --depth N       requests in flight (default 32)\n"
	"\n"
	"Sizes take K, M, G and T, which are powers of 1024. They need not be multiples of the block.\n";

struct read_job {
	struct transfer transfer;
	struct progress progress;
	const char *path;
	int fd;
	uint64_t offset, end;        /* bytes of the disk */
	uint64_t next_lba, last_lba; /* to be submitted next; one after the last */
	uint64_t written;            /* bytes of output */
};

static bool to_stdout(const char *path)
{
	return !strcmp(path, "-");
}

/* Keep the ring full. */
static int submit_more(struct read_job *job)
{
	struct transfer *t = &job->transfer;
	uint32_t chunk_blocks = (uint32_t)(t->chunk_bytes / t->limits.block_bytes);

	while (job->next_lba < job->last_lba && transfer_free_slot(t)) {
		uint64_t left = job->last_lba - job->next_lba;
		uint32_t blocks = left < chunk_blocks ? (uint32_t)left : chunk_blocks;
		int code = transfer_submit(t, OB_BLOCK_READ, job->next_lba, blocks, 0);

		if (code)
			return code;
		job->next_lba += blocks;
	}
	return CLI_OK;
}

static int output_failed(struct read_job *job, int error)
{
	if (error == -EINTR)
		return 128 + cli_interrupted();
	if (error == -EPIPE && to_stdout(job->path))
		return CLI_PIPE;
	return cli_error(job->transfer.cli, CLI_FAILED, "%s: %s", to_stdout(job->path) ? "standard output" : job->path,
			 strerror(-error));
}

/* Of the oldest chunk, what was asked for: the first and the last block may be wanted in part. */
static int write_oldest(struct read_job *job, const struct transfer_slot *slot)
{
	uint64_t start = slot->request.lba * job->transfer.limits.block_bytes;
	uint64_t stop = start + slot->segment.len_bytes;
	uint64_t from = start < job->offset ? job->offset : start;
	uint64_t to = stop > job->end ? job->end : stop;
	int error = write_all(job->fd, slot->buffer + (from - start), to - from);

	if (error)
		return output_failed(job, error);
	job->written += to - from;
	return CLI_OK;
}

static int copy(struct read_job *job)
{
	int code = submit_more(job);

	while (!code && job->transfer.busy) {
		struct transfer_slot *slot;

		code = transfer_wait(&job->transfer, &slot);
		if (!code)
			code = write_oldest(job, slot);
		if (code)
			break;
		transfer_release(&job->transfer);
		if (progress_due(&job->progress))
			progress_bytes(&job->progress, job->written, job->end - job->offset);
		code = submit_more(job);
	}
	progress_clear();
	return code;
}

static int check_range(struct cli *cli, struct ob_block *block, struct read_job *job, uint64_t count, bool has_count)
{
	struct ob_block_limits limits;
	uint64_t size;

	ob_block_limits(block, &limits);
	size = limits.block_count * limits.block_bytes;
	if (job->offset > size)
		return cli_usage(cli, "--offset: %s ends at byte %llu", ob_block_name(block), (unsigned long long)size);
	if (has_count && count > size - job->offset)
		return cli_usage(cli, "--count: only %llu bytes are left of %s behind the offset",
				 (unsigned long long)(size - job->offset), ob_block_name(block));
	job->end = has_count ? job->offset + count : size;
	job->next_lba = job->offset / limits.block_bytes;
	job->last_lba = (job->end + limits.block_bytes - 1) / limits.block_bytes;
	if (job->end == job->offset)
		job->last_lba = job->next_lba;
	return CLI_OK;
}

/* Machines, QEMU's too, lock the images of their disks: one that was emptied here could be the very disk to be read. */
static bool is_image_in_use(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The file is opened, and so emptied, only when the disk is known to be there. */
static int open_output(struct cli *cli, struct read_job *job)
{
	struct stat st;

	if (to_stdout(job->path)) {
		job->fd = STDOUT_FILENO;
		return CLI_OK;
	}
	job->fd = open(job->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (job->fd >= 0 && is_image_in_use(job->fd))
		return cli_error(cli, CLI_FAILED, "%s: it is in use, as a disk's image for example", job->path);
	if (job->fd < 0 || fstat(job->fd, &st) || (S_ISREG(st.st_mode) && ftruncate(job->fd, 0)))
		return cli_error(cli, CLI_FAILED, "%s: %s", job->path, strerror(errno));
	return CLI_OK;
}

static int close_output(struct read_job *job, int code)
{
	if (to_stdout(job->path) || job->fd < 0)
		return code;
	if (close(job->fd) && !code)
		return output_failed(job, -errno);
	return code;
}

static int read_disk(struct cli *cli, const char *name, struct read_job *job, uint64_t count, bool has_count,
		     unsigned depth)
{
	struct ob_block *block;
	int code = cli_block(cli, name, &block);

	if (code)
		return code;
	code = check_range(cli, block, job, count, has_count);
	if (!code)
		code = transfer_open(&job->transfer, cli, block, depth);
	if (code)
		goto put;
	code = open_output(cli, job);
	if (!code) {
		progress_start(&job->progress, cli);
		code = close_output(job, copy(job));
	}
	transfer_close(&job->transfer);
put:
	ob_block_put(block);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct read_job job = {.path = "-", .fd = -1};
	uint64_t count = 0;
	unsigned depth = 32;
	bool has_count = false;
	const struct option_def table[] = {
		{.name = "offset", .kind = OPTION_SIZE, .to = &job.offset},
		{.name = "count", .kind = OPTION_SIZE, .to = &count, .given = &has_count},
		{.name = "depth", .kind = OPTION_NUMBER, .to = &depth, .min = 1, .max = 1024},
		{.kind = OPTION_END},
	};
	struct arguments args;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count < 1 || args.count > 2)
		return cli_usage(cli, args.count ? "too many arguments" : "name a disk; 'outboard info' lists them");
	if (args.count == 2)
		job.path = args.operands[1];
	if (to_stdout(job.path) && isatty(STDOUT_FILENO))
		return cli_usage(cli, "standard output is a terminal: name a file, or pipe it into a program");
	if (to_stdout(job.path) && cli->trace && !cli->trace_output)
		return cli_usage(cli, "data and trace would mix on standard output: give trace an --output FILE");
	code = cli_open(cli, 1);
	if (!code)
		code = read_disk(cli, args.operands[0], &job, count, has_count, depth);
	return cli_close(cli, code);
}

const struct cli_verb cli_read = {
	.name = "read",
	.summary = "copy a disk, or a part of it, to a file or a pipe",
	.help = help,
	.run = run,
};
