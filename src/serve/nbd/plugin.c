/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nbdkit plugin: NBD's requests to the disk's.
 *
 * Extents are not offered: which blocks of an NVMe namespace hold data cannot be asked for in general, and without the
 * callback nbdkit tells clients that everything is allocated data, which is always true. The smallest block that is
 * announced is one byte: requests that are no whole blocks are done here, where they are safe against other clients.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "serve/nbd/disk.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define GRACE_NS     (2 * OB_NS_PER_S) /* for clients to leave, once the disk is lost */

static struct disk_config config = {.cpus = 1, .depth = 64, .mode = OB_COMPLETION_HYBRID};
static const char *status_file;
static struct disk *disk;
static unsigned lost; /* atomic */

/* ---- configuration ---- */

static int config_number(const char *key, const char *value, unsigned max, unsigned *out)
{
	if (nbdkit_parse_unsigned(key, value, out))
		return -1;
	if (*out < 1 || *out > max) {
		nbdkit_error("%s=%s: must be from 1 to %u", key, value, max);
		return -1;
	}
	return 0;
}

static int config_mode(const char *value)
{
	static const char *const names[] = {"interrupt", "polled", "hybrid"};

	for (unsigned i = 0; i < 3; i++) {
		if (!strcmp(value, names[i])) {
			config.mode = (enum ob_completion_mode)i;
			return 0;
		}
	}
	nbdkit_error("mode=%s: must be interrupt, polled or hybrid", value);
	return -1;
}

/* nbdkit keeps the values for as long as the plugin lives. */
static int plugin_config(const char *key, const char *value)
{
	if (!strcmp(key, "machine")) {
		config.machine = value;
	} else if (!strcmp(key, "device")) {
		config.device = value;
	} else if (!strcmp(key, "status-file")) {
		status_file = value;
	} else if (!strcmp(key, "cpus")) {
		return config_number(key, value, OB_CPU_MAX, &config.cpus);
	} else if (!strcmp(key, "depth")) {
		return config_number(key, value, 1024, &config.depth);
	} else if (!strcmp(key, "mode")) {
		return config_mode(value);
	} else if (!strcmp(key, "qemu-arg")) {
		if (config.arg_count == DISK_ARGS_MAX) {
			nbdkit_error("qemu-arg: at most %d of them", DISK_ARGS_MAX);
			return -1;
		}
		config.args[config.arg_count++] = value;
	} else {
		nbdkit_error("unknown parameter '%s'; there is machine, device, qemu-arg, cpus, depth, mode", key);
		return -1;
	}
	return 0;
}

static int plugin_config_complete(void)
{
	const char *machine = getenv("OUTBOARD_MACHINE");

	if (!config.machine)
		config.machine = machine && *machine ? machine : "model:";
	return 0;
}

#define CONFIG_HELP                                                                          \
	"[machine=]<URI>      What provides the disk (default $OUTBOARD_MACHINE, model:).\n" \
	"device=<NAME>        The disk (default: the first).\n"                              \
	"qemu-arg=<ARG>       One more argument for QEMU; may be repeated.\n"                \
	"cpus=<N>             CPUs, each with a queue (default 1).\n"                        \
	"depth=<N>            Requests in flight per CPU (default 64).\n"                    \
	"mode=<MODE>          interrupt, polled or hybrid (default hybrid)."

/* ---- life ---- */

static void on_log(void *arg, enum ob_log_level level, const char *text)
{
	if (level <= OB_LOG_WARN)
		nbdkit_error("%s", text);
	else
		nbdkit_debug("%s", text);
}

/*
 * Whoever watches over us sees the file appear, empty, when we are ready. Content says why we end: "absent", there is no
 * such machine or disk; "gone", the disk was lost. (nbdkit's own pid file comes before the disk does.)
 */
static int set_status(const char *text, const char **what)
{
	int fd = status_file ? open(status_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
	size_t len = strlen(text);
	int error = 0;

	*what = "the status file";
	if (!status_file)
		return 0;
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

/* Without its disk the server is of no use: say so once, and end after everybody got an answer. */
static void disk_lost(void)
{
	const char *what;

	if (__atomic_exchange_n(&lost, 1u, __ATOMIC_RELAXED))
		return;
	nbdkit_error("%s is gone: shutting down", ob_block_name(disk->block));
	set_status("gone\n", &what);
	nbdkit_shutdown();
}

static struct ob_timer grace;
static bool cleaning; /* atomic: nbdkit ends by itself */

/* nbdkit ends when its clients have left, and one that neither asks nor leaves would keep it for ever. */
static void grace_is_over(struct ob_timer *timer)
{
	if (!__atomic_load_n(&cleaning, __ATOMIC_ACQUIRE))
		_exit(EXIT_FAILURE);
}

/* Also when no client asks for anything. */
static void removed(struct ob_work *work)
{
	struct ob_cpu *cpu = ob_cpu_current();

	disk_lost();
	ob_timer_init(&grace, cpu, grace_is_over);
	ob_timer_start(&grace, ob_deadline(GRACE_NS));
}

static struct ob_work removal = {.fn = removed};

/* Not before nbdkit has forked: threads would not survive it. */
static int plugin_after_fork(void)
{
	const char *what, *unused;
	int error;

	config.log = on_log;
	config.log_level = OB_LOG_INFO;
	error = disk_open(&config, &disk, &what);
	if (!error)
		error = set_status("", &what);
	if (!error) {
		ob_block_watch(disk->block, ob_cpu_get(disk->ob, 0), &removal);
		return 0;
	}
	disk_close(disk);
	disk = NULL;
	if (error == -ENOENT || error == -ENODEV)
		set_status("absent\n", &unused);
	nbdkit_error("%s: machine '%s'%s%s: %s", what, config.machine, config.device ? ", device " : "",
		     config.device ? config.device : "", strerror(-error));
	return -1;
}

static void plugin_cleanup(void)
{
	__atomic_store_n(&cleaning, true, __ATOMIC_RELEASE);
	/* What goes from here on goes because we end. */
	if (disk)
		ob_block_watch(disk->block, NULL, NULL);
	disk_close(disk);
	disk = NULL;
}

/* To what NBD can tell a client: EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN. */
static int result(int error, const char *what, uint64_t count, uint64_t offset)
{
	static const struct {
		int error, nbd;
	} map[] = {
		{-ENODEV, ESHUTDOWN},   {-ENOSPC, ENOSPC}, {-EROFS, EPERM},   {-EACCES, EPERM},
		{-EOPNOTSUPP, ENOTSUP}, {-ERANGE, EINVAL}, {-EINVAL, EINVAL}, {-ENOMEM, ENOMEM},
	};
	int nbd = EIO;

	if (!error)
		return 0;
	for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		if (map[i].error == error)
			nbd = map[i].nbd;
	}
	nbdkit_error("%s of %llu bytes at %llu: %s", what, (unsigned long long)count, (unsigned long long)offset,
		     strerror(-error));
	if (error == -ENODEV || !ob_block_online(disk->block))
		disk_lost();
	nbdkit_set_error(nbd);
	return -1;
}

/* ---- connections: a handle is a lane ---- */

static void *plugin_open(int readonly)
{
	if (!ob_block_online(disk->block)) {
		disk_lost();
		nbdkit_set_error(ESHUTDOWN);
		return NULL;
	}
	return disk_lane(disk);
}

static int64_t plugin_get_size(void *handle)
{
	return (int64_t)disk_size(disk);
}

static int plugin_can_write(void *handle)
{
	return !disk->limits.read_only;
}

static int plugin_can_flush(void *handle)
{
	return disk->limits.flush || !disk->limits.volatile_cache;
}

static int plugin_is_rotational(void *handle)
{
	return disk->limits.rotational;
}

static int plugin_can_trim(void *handle)
{
	return disk->limits.trim;
}

/* Without the device's own command nbdkit writes zeroes by itself, and refuses fast ones. */
static int plugin_can_zero(void *handle)
{
	return disk->limits.write_zeroes;
}

/* The device's command moves no data: faster than writing, and the edges are two blocks at most. */
static int plugin_can_fast_zero(void *handle)
{
	return disk->limits.write_zeroes;
}

/* The class sends a flush after the write where the device has no FUA. */
static int plugin_can_fua(void *handle)
{
	return plugin_can_flush(handle) ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

/* A flush covers all that has ended on any queue of the namespace (NVMe 1.4 §6.8), so on any connection. */
static int plugin_can_multi_conn(void *handle)
{
	return 1;
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	uint32_t size = disk->limits.block_bytes > 4096 ? disk->limits.block_bytes : 4096;

	if (disk->limits.physical_bytes > size && !(disk->limits.physical_bytes & (disk->limits.physical_bytes - 1)))
		size = disk->limits.physical_bytes;
	*minimum = 1;
	*preferred = size <= 32 * OB_MIB ? size : 32 * OB_MIB;
	*maximum = 32 * OB_MIB;
	return 0;
}

/* ---- requests ---- */

static int plugin_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
	return result(disk_read(disk, handle, buffer, count, offset), "read", count, offset);
}

static int plugin_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
	return result(disk_write(disk, handle, buffer, count, offset, flags & NBDKIT_FLAG_FUA), "write", count, offset);
}

static int plugin_flush(void *handle, uint32_t flags)
{
	return result(disk_flush(disk, handle), "flush", 0, 0);
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	return result(disk_trim(disk, handle, count, offset, flags & NBDKIT_FLAG_FUA), "trim", count, offset);
}

static int plugin_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	return result(disk_zero(disk, handle, count, offset, flags & NBDKIT_FLAG_MAY_TRIM, flags & NBDKIT_FLAG_FUA),
		      "zero", count, offset);
}

static struct nbdkit_plugin plugin = {
	.name = "outboard",
	.longname = "Outboard",
	.version = OB_VERSION,
	.description = "a disk driven by Outboard, without the kernel's drivers",
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.config_help = CONFIG_HELP,
	.magic_config_key = "machine",
	.after_fork = plugin_after_fork,
	.cleanup = plugin_cleanup,
	.open = plugin_open,
	.get_size = plugin_get_size,
	.can_write = plugin_can_write,
	.can_flush = plugin_can_flush,
	.is_rotational = plugin_is_rotational,
	.can_trim = plugin_can_trim,
	.can_zero = plugin_can_zero,
	.can_fast_zero = plugin_can_fast_zero,
	.can_fua = plugin_can_fua,
	.can_multi_conn = plugin_can_multi_conn,
	.block_size = plugin_block_size,
	.pread = plugin_pread,
	.pwrite = plugin_pwrite,
	.flush = plugin_flush,
	.trim = plugin_trim,
	.zero = plugin_zero,
};

struct nbdkit_plugin *plugin_init(void); /* nbdkit's macro does not declare it */
NBDKIT_REGISTER_PLUGIN(plugin)
