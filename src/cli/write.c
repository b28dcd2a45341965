/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard write: bytes of a file or a pipe onto a disk. */
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

#define FLUSH_TIMEOUT_NS (60 * OB_NS_PER_S)

static const char help[] =
	"usage: outboard write [--offset SIZE] [--count SIZE] [--fua] [--flush] [--depth N] DISK [FILE]\n"
	"\n"
	"Copies FILE onto a disk; standard input without one or when it is '-'. What was there is lost.\n"
	"\n"
	"  outboard write nvme0n1 disk.img\n"
	"  head -c 1M /dev/urandom | outboard write --offset 8M --flush nvme0n1\n"
	"\n"
	"      --offset SIZE   first byte on the disk, a multiple of its block (default 0)\n"
	"      --count SIZE    at most so many bytes (default: all of FILE)\n"
	"      --fua           each write is durable when it ends\n"
	"      --flush         all is durable when the command ends\n"
	"      --depth N       requests in flight (default 32)\n"
	"\n"
	"Where the end is within a block, the rest of that block keeps its content.\n";

struct write_job {
	struct transfer transfer;
	struct progress progress;
	const char *path;
	int fd;
	uint64_t start;       /* the first byte on the disk */
	uint64_t offset;      /* next byte of the disk */
	uint64_t left;        /* bytes that may still be taken from the file */
	uint64_t size;        /* of the disk, bytes */
	uint64_t total, done; /* total 0: not known */
	bool count_given, at_end, fua, flush;
	unsigned depth;
};

static const char *input_name(const struct write_job *job)
{
	return strcmp(job->path, "-") ? job->path : "standard input";
}

/* Fill what the input left of its last block with what is on the disk. */
static int complete_block(struct write_job *job, struct transfer_slot *slot, size_t len)
{
	struct transfer *t = &job->transfer;
	uint32_t block_bytes = t->limits.block_bytes;
	size_t part = len % block_bytes;
	uint8_t last[65536];
	int error;

	if (!part)
		return CLI_OK;
	if (block_bytes > sizeof(last))
		return cli_error(t->cli, CLI_FAILED, "%s: blocks of %u bytes: give whole blocks",
				 ob_block_name(t->block), block_bytes);
	error = ob_block_read(t->channel, (job->offset + len) / block_bytes, 1, last, NULL,
			      ob_deadline(FLUSH_TIMEOUT_NS));
	if (error)
		return cli_io_error(t->cli, t->block, "read", (job->offset + len) / block_bytes * block_bytes,
				    block_bytes, error, 0);
	memcpy(slot->buffer + len, last + part, block_bytes - part);
	return CLI_OK;
}

/* At the end of the disk: is there more input than fits? */
static int check_full(struct write_job *job)
{
	struct cli *cli = job->transfer.cli;
	char byte;

	job->at_end = true;
	if (job->count_given && !job->left)
		return CLI_OK;
	if (read_full(job->fd, &byte, 1) <= 0)
		return CLI_OK;
	return cli_error(cli, CLI_FAILED, "%s: the disk is full after %llu bytes, and %s goes on",
			 ob_block_name(job->transfer.block), (unsigned long long)(job->size - job->start),
			 input_name(job));
}

static int submit_one(struct write_job *job, struct transfer_slot *slot)
{
	struct transfer *t = &job->transfer;
	uint64_t room = job->size - job->offset;
	size_t want = t->chunk_bytes;
	int64_t got;
	int code;

	if (want > room)
		want = room;
	if (want > job->left)
		want = job->left;
	if (!want)
		return check_full(job);
	got = read_full(job->fd, slot->buffer, want);
	if (got == -EINTR)
		return 128 + cli_interrupted();
	if (got < 0)
		return cli_error(t->cli, CLI_FAILED, "%s: %s", input_name(job), strerror((int)-got));
	if ((size_t)got < want)
		job->at_end = true;
	if (!got)
		return CLI_OK;
	code = complete_block(job, slot, (size_t)got);
	if (!code)
		code = transfer_submit(t, OB_BLOCK_WRITE, job->offset / t->limits.block_bytes,
				       (uint32_t)(((size_t)got + t->limits.block_bytes - 1) / t->limits.block_bytes),
				       job->fua ? OB_BLOCK_FUA : 0);
	job->offset += (uint64_t)got;
	job->left -= (uint64_t)got;
	return code;
}

static int submit_more(struct write_job *job)
{
	struct transfer_slot *slot;

	while (!job->at_end && (slot = transfer_free_slot(&job->transfer)) != NULL) {
		int code = submit_one(job, slot);

		if (code)
			return code;
		/* The device works while the next chunk is read. */
		ob_block_kick(job->transfer.channel);
	}
	return CLI_OK;
}

static int wait_one(struct write_job *job)
{
	struct transfer_slot *slot;
	int code = transfer_wait(&job->transfer, &slot);

	if (code)
		return code;
	job->done += slot->segment.len_bytes;
	transfer_release(&job->transfer);
	return CLI_OK;
}

static int flush(struct write_job *job)
{
	struct transfer *t = &job->transfer;
	int error = ob_block_flush(t->channel, ob_deadline(FLUSH_TIMEOUT_NS));

	if (!error || error == -EOPNOTSUPP) /* without a cache there is nothing to flush */
		return CLI_OK;
	return cli_io_error(t->cli, t->block, "flush", 0, 0, error, 0);
}

static int copy(struct write_job *job)
{
	int code = submit_more(job);

	while (!code && job->transfer.busy) {
		code = wait_one(job);
		if (!code && progress_due(&job->progress))
			progress_bytes(&job->progress, job->done, job->total);
		if (!code)
			code = submit_more(job);
	}
	progress_clear();
	/* When the input fails, what was taken from it is still written. */
	while (code == CLI_FAILED && job->transfer.busy && !wait_one(job))
		;
	return !code && job->flush ? flush(job) : code;
}

static int check_start(struct cli *cli, struct ob_block *block, struct write_job *job)
{
	struct ob_block_limits limits;
	struct stat st;

	ob_block_limits(block, &limits);
	job->size = limits.block_count * limits.block_bytes;
	job->start = job->offset;
	if (limits.read_only)
		return cli_error(cli, CLI_IO, "%s: read only", ob_block_name(block));
	if (job->offset % limits.block_bytes)
		return cli_usage(cli, "--offset: must be a multiple of the disk's block, %u", limits.block_bytes);
	if (job->offset > job->size)
		return cli_usage(cli, "--offset: %s ends at byte %llu", ob_block_name(block),
				 (unsigned long long)job->size);
	if (job->count_given && job->left > job->size - job->offset)
		return cli_usage(cli, "--count: only %llu bytes are left of %s behind the offset",
				 (unsigned long long)(job->size - job->offset), ob_block_name(block));
	if (!fstat(job->fd, &st) && S_ISREG(st.st_mode))
		job->total = (uint64_t)st.st_size < job->left ? (uint64_t)st.st_size : job->left;
	if (job->total > job->size - job->offset)
		return cli_error(cli, CLI_FAILED, "%s has %llu bytes, more than the %llu that %s has room for",
				 input_name(job), (unsigned long long)job->total,
				 (unsigned long long)(job->size - job->offset), ob_block_name(block));
	return CLI_OK;
}

static int write_disk(struct cli *cli, const char *name, struct write_job *job)
{
	struct ob_block *block;
	int code = cli_block(cli, name, &block);

	if (code)
		return code;
	code = check_start(cli, block, job);
	if (!code)
		code = transfer_open(&job->transfer, cli, block, job->depth);
	if (!code) {
		progress_start(&job->progress, cli);
		code = copy(job);
		transfer_close(&job->transfer);
	}
	ob_block_put(block);
	return code;
}

/* A file that is missing is found out before the machine is started. */
static int open_input(struct cli *cli, struct write_job *job)
{
	struct stat st;

	if (!strcmp(job->path, "-")) {
		job->fd = STDIN_FILENO;
		return CLI_OK;
	}
	job->fd = open(job->path, O_RDONLY | O_CLOEXEC);
	if (job->fd < 0)
		return cli_error(cli, CLI_FAILED, "%s: %s", job->path, strerror(errno));
	if (!fstat(job->fd, &st) && S_ISDIR(st.st_mode))
		return cli_error(cli, CLI_FAILED, "%s: %s", job->path, strerror(EISDIR));
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct write_job job = {.path = "-", .fd = -1, .left = UINT64_MAX, .depth = 32};
	const struct option_def table[] = {
		{.name = "offset", .kind = OPTION_SIZE, .to = &job.offset},
		{.name = "count", .kind = OPTION_SIZE, .to = &job.left, .given = &job.count_given},
		{.name = "fua", .kind = OPTION_FLAG, .to = &job.fua},
		{.name = "flush", .kind = OPTION_FLAG, .to = &job.flush},
		{.name = "depth", .kind = OPTION_NUMBER, .to = &job.depth, .min = 1, .max = 1024},
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
	code = open_input(cli, &job);
	if (!code) {
		code = cli_open(cli, 1);
		if (!code)
			code = write_disk(cli, args.operands[0], &job);
		code = cli_close(cli, code);
	}
	if (job.fd > STDIN_FILENO)
		close(job.fd);
	return code;
}

const struct cli_verb cli_write = {
	.name = "write",
	.summary = "copy a file or a pipe onto a disk",
	.help = help,
	.run = run,
};
