/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An engine for fio (fio(1), "external"; the interface is fio's ioengines.h):
 *
 *	fio --ioengine=external:/usr/lib/…/fio/outboard-fio.so --thread --machine=vfio:0000:01:00.0 --filename=nvme0n1 …
 *
 * Jobs are threads of one process, which has the machine once, and each has a channel of its own. A job's buffers lie in
 * one window, so nothing is copied.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fio.h>
#include <ob_fio_version.h>
#include <optgroup.h>

#include "serve/fio/shared.h"

#define TURN_EVERY 256 /* polls, before timers and messages have their turn */

struct engine_options {
	void *unused; /* fio takes offset 0 for none */
	char *machine;
	unsigned mode;
};

static struct fio_option options[] = {
	{
		.name = "machine",
		.lname = "Outboard's machine",
		.type = FIO_OPT_STR_STORE,
		.off1 = offsetof(struct engine_options, machine),
		.help = "URI of the machine, see outboard-machine(7)",
		.def = "model:",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{
		.name = "mode",
		.lname = "How completions are found",
		.type = FIO_OPT_STR,
		.off1 = offsetof(struct engine_options, mode),
		.help = "polled, interrupt or hybrid",
		.def = "polled",
		.posval =
			{
				{.ival = "polled",
				 .oval = OB_COMPLETION_POLLED,
				 .help = "the job's thread looks all the time"},
				{.ival = "interrupt", .oval = OB_COMPLETION_INTERRUPT, .help = "it sleeps meanwhile"},
				{.ival = "hybrid",
				 .oval = OB_COMPLETION_HYBRID,
				 .help = "it looks for a while, then sleeps"},
			},
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{.name = NULL},
};

/* One of fio's units of I/O. */
struct unit {
	struct ob_block_request request; /* first */
	struct ob_segment segment;
	struct io_u *io_u;
};

/* One job. */
struct job {
	struct ob_block *block;
	struct ob_block_channel *channel;
	struct ob_cpu *cpu;
	struct ob_window *window;
	struct ob_block_limits limits;
	bool polled;
	unsigned polls;
	struct io_u **ended; /* a ring of @depth */
	unsigned depth, first, count, taken;
};

static int complain(struct thread_data *td, const char *what, int error)
{
	log_err("outboard: %s: %s\n", what, strerror(-error));
	td->error = -error;
	return 1;
}

/* ---- before the jobs run: fio's main thread ---- */

/* The headers lay out fio's structures; another fio may have them otherwise, with the same number for its interface. */
static bool is_this_fio(void)
{
	extern const char fio_version_string[];

	if (strcmp(fio_version_string, OB_FIO_VERSION) == 0)
		return true;
	log_err("outboard: this engine was built for %s, and this is %s\n", OB_FIO_VERSION, fio_version_string);
	return false;
}

/* Without a filename= fio makes a name up: then it is the first disk. */
static struct ob_block *disk_of(const struct thread_data *td, const struct fio_file *f)
{
	return shared_disk(td->o.filename != NULL ? f->file_name : NULL);
}

static int set_size(struct thread_data *td, struct fio_file *f)
{
	struct ob_block *block = disk_of(td, f);
	struct ob_block_limits limits;

	if (block == NULL) {
		log_err("outboard: %s: no such disk; 'outboard --machine … devices' lists them\n", f->file_name);
		return -ENOENT;
	}
	ob_block_limits(block, &limits);
	f->real_file_size = limits.block_count * limits.block_bytes;
	f->filetype = FIO_TYPE_BLOCK;
	fio_file_set_size_known(f);
	ob_block_put(block);
	return 0;
}

/* A job has one channel, of one disk, and that belongs to the job's own thread. */
static bool is_one_job(const struct thread_data *td)
{
	if (td->files_index > 1)
		log_err("outboard: a job has one disk, and this one has %u files; make it several jobs\n",
			td->files_index);
	if (td->o.io_submit_mode == IO_MODE_OFFLOAD)
		log_err("outboard: io_submit_mode=offload has other threads submit, which cannot be; use numjobs=\n");
	return td->files_index <= 1 && td->o.io_submit_mode != IO_MODE_OFFLOAD;
}

static int engine_setup(struct thread_data *td)
{
	const struct engine_options *eo = td->eo;
	int ret;

	if (!is_this_fio() || !is_one_job(td))
		return complain(td, "cannot be set up", -EINVAL);
	/* A device has one process. */
	td->o.use_thread = 1;
	ret = shared_get(eo->machine);
	if (ret == -EXDEV)
		log_err("outboard: all jobs of one fio have the same machine\n");
	if (ret < 0)
		return complain(td, eo->machine, ret);
	for (unsigned i = 0; i < td->files_index && ret == 0; i++)
		ret = set_size(td, td->files[i]);
	if (ret < 0) {
		shared_put();
		return complain(td, "cannot be set up", ret);
	}
	return 0;
}

/* ---- the job's thread ---- */

static void engine_cleanup(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (job != NULL) {
		ob_block_channel_close(job->channel);
		ob_window_put(job->window);
		ob_block_put(job->block);
		if (job->cpu != NULL)
			shared_cpu_give(job->cpu);
		free(job->ended);
		free(job);
		td->io_ops_data = NULL;
	}
	shared_put();
}

static int engine_init(struct thread_data *td)
{
	const struct engine_options *eo = td->eo;
	struct job *job = calloc(1, sizeof(*job));
	struct ob_block_channel_config config = {.poll.mode = (enum ob_completion_mode)eo->mode};
	int ret = -ENOMEM;

	if (job == NULL)
		return complain(td, "a job", -ENOMEM);
	td->io_ops_data = job;
	job->depth = td->o.iodepth;
	job->ended = calloc(job->depth, sizeof(*job->ended));
	job->block = disk_of(td, td->files[0]);
	job->cpu = shared_cpu_take();
	if (job->cpu == NULL)
		log_err("outboard: %d jobs at most run at once\n", OB_CPU_MAX - 1);
	if (job->ended == NULL || job->block == NULL || job->cpu == NULL)
		return complain(td, "a job", job->ended == NULL ? ret : job->block == NULL ? -ENODEV : -EAGAIN);
	ob_block_limits(job->block, &job->limits);
	config.cpu = job->cpu;
	config.depth = job->depth;
	/* This thread is the CPU's from here on. */
	ob_cpu_turn(job->cpu, 0);
	ret = ob_block_channel_open(job->block, &config, &job->channel);
	if (ret < 0)
		return complain(td, "a channel", ret);
	job->polled = ob_block_channel_mode(job->channel) == OB_COMPLETION_POLLED;
	return 0;
}

static int engine_iomem_alloc(struct thread_data *td, size_t len_bytes)
{
	struct job *job = td->io_ops_data;
	int ret = ob_window_create(shared_machine(), len_bytes, &job->window);

	if (ret == 0)
		ret = ob_block_grant(job->block, job->window);
	if (ret < 0)
		return complain(td, "memory for the job", ret);
	td->orig_buffer = (char *)job->window->base;
	return 0;
}

static void engine_iomem_free(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	/* The window itself goes after the channel. */
	td->orig_buffer = NULL;
	if (job != NULL && job->channel != NULL) {
		ob_block_channel_close(job->channel);
		job->channel = NULL;
	}
}

static void unit_done(struct ob_block_request *request)
{
	struct unit *unit = (struct unit *)(void *)request;
	struct job *job = request->arg;
	unsigned at = job->first + job->count++;

	unit->io_u->error = (unsigned)-request->status;
	if (request->status != 0)
		unit->io_u->resid = unit->io_u->xfer_buflen;
	job->ended[at < job->depth ? at : at - job->depth] = unit->io_u;
}

static int engine_io_u_init(struct thread_data *td, struct io_u *io_u)
{
	struct unit *unit = calloc(1, sizeof(*unit));

	if (unit == NULL)
		return 1;
	unit->io_u = io_u;
	unit->request.done = unit_done;
	unit->request.arg = td->io_ops_data;
	io_u->engine_data = unit;
	return 0;
}

static void engine_io_u_free(struct thread_data *td, struct io_u *io_u)
{
	free(io_u->engine_data);
	io_u->engine_data = NULL;
}

/* ---- the I/O path ---- */

static enum fio_q_status refuse(struct io_u *io_u)
{
	io_u->error = EINVAL;
	return FIO_Q_COMPLETED;
}

static enum fio_q_status engine_queue(struct thread_data *td, struct io_u *io_u)
{
	struct job *job = td->io_ops_data;
	struct unit *unit = io_u->engine_data;
	struct ob_block_request *request = &unit->request;
	unsigned shift = (unsigned)__builtin_ctz(job->limits.block_bytes);
	int ret;

	request->segment_count = 0;
	request->lba = io_u->offset >> shift;
	request->block_count = (uint32_t)(io_u->xfer_buflen >> shift);
	/* An offset or a length within a block, or more blocks than a request has room for, would be cut off here. */
	if (!ddir_sync(io_u->ddir) && ((io_u->offset | io_u->xfer_buflen) & (job->limits.block_bytes - 1)) != 0)
		return refuse(io_u);
	if (!ddir_sync(io_u->ddir) && io_u->xfer_buflen >> shift != request->block_count)
		return refuse(io_u);
	switch (io_u->ddir) {
	case DDIR_READ:
	case DDIR_WRITE:
		request->op = io_u->ddir == DDIR_READ ? OB_BLOCK_READ : OB_BLOCK_WRITE;
		unit->segment = (struct ob_segment){io_u->xfer_buf, io_u->xfer_buflen};
		request->segments = &unit->segment;
		request->segment_count = 1;
		request->window = job->window;
		break;
	case DDIR_TRIM:
		request->op = OB_BLOCK_TRIM;
		break;
	default:
		request->op = OB_BLOCK_FLUSH;
		request->lba = 0;
		request->block_count = 0;
	}
	ret = ob_block_submit(job->channel, request);
	if (ret == 0)
		return FIO_Q_QUEUED;
	if (ret == -EAGAIN)
		return FIO_Q_BUSY;
	io_u->error = (unsigned)-ret;
	return FIO_Q_COMPLETED;
}

static int engine_commit(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	ob_block_kick(job->channel);
	return 0;
}

static int engine_getevents(struct thread_data *td, unsigned min, unsigned max, const struct timespec *timeout)
{
	struct job *job = td->io_ops_data;
	uint64_t deadline = timeout == NULL
				    ? UINT64_MAX
				    : ob_deadline((uint64_t)timeout->tv_sec * OB_NS_PER_S + (uint64_t)timeout->tv_nsec);

	/* What was handed out last is fio's now. */
	job->first += job->taken;
	if (job->first >= job->depth)
		job->first -= job->depth;
	job->count -= job->taken;
	job->taken = 0;
	ob_block_kick(job->channel);
	for (;;) {
		if (job->polled) {
			ob_block_poll(job->channel, max);
			if (++job->polls % TURN_EVERY == 0)
				ob_cpu_turn(job->cpu, 0);
		} else {
			/* A timeout ends this in time even if nobody wakes it. */
			ob_cpu_turn(job->cpu, job->count >= min ? 0 : 100 * OB_NS_PER_MS);
		}
		if (job->count >= min || (timeout != NULL && ob_now_ns() >= deadline))
			break;
	}
	job->taken = job->count < max ? job->count : max;
	return (int)job->taken;
}

static struct io_u *engine_event(struct thread_data *td, int event)
{
	const struct job *job = td->io_ops_data;

	unsigned at = job->first + (unsigned)event;

	return job->ended[at < job->depth ? at : at - job->depth];
}

/* A disk needs no opening. */
static int engine_nothing(struct thread_data *td, struct fio_file *f)
{
	return 0;
}

struct ioengine_ops ioengine;
struct ioengine_ops ioengine = {
	.name = "outboard",
	.version = FIO_IOOPS_VERSION,
	.flags = FIO_RAWIO | FIO_NOEXTEND | FIO_NODISKUTIL | FIO_MEMALIGN | FIO_DISKLESSIO,
	.setup = engine_setup,
	.init = engine_init,
	.cleanup = engine_cleanup,
	.iomem_alloc = engine_iomem_alloc,
	.iomem_free = engine_iomem_free,
	.io_u_init = engine_io_u_init,
	.io_u_free = engine_io_u_free,
	.queue = engine_queue,
	.commit = engine_commit,
	.getevents = engine_getevents,
	.event = engine_event,
	.open_file = engine_nothing,
	.close_file = engine_nothing,
	.get_file_size = set_size,
	.option_struct_size = sizeof(struct engine_options),
	.options = options,
};
