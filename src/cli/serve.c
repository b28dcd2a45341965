/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard serve: what is served how; and nbd: nbdkit with our plugin, found beside this program or where it was installed. */
#include "cli/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/part.h"

#ifndef OB_NBD_PLUGIN
#define OB_NBD_PLUGIN "" /* where it is installed */
#define OB_NBD_BESIDE "../lib/nbdkit/plugins"
#endif

static const char help[] =
	"usage: outboard serve nbd (--unix PATH | --port N | --run COMMAND) [options] [-- NBDKIT-OPTIONS]\n"
	"       outboard serve vhost-user --unix PATH [options]\n"
	"\n"
	"Serves a disk to others until it is stopped (Ctrl-C): to NBD clients, by nbdkit with "
	"nbdkit-outboard-plugin(1); or\n"
	"to virtual machines and other vhost-user clients, as many as come, straight from this process.\n"
	"\n"
	"  outboard serve nbd --unix /tmp/disk            then: nbdinfo 'nbd+unix:///?socket=/tmp/disk'\n"
	"  outboard serve nbd --run 'nbdcopy \"$uri\" out.img'\n"
	"  outboard serve nbd --port 10809 --read-only --device nvme0n1\n"
	"  outboard serve nbd --port 10809 -- --tls=require --tls-psk=keys.psk\n"
	"  outboard serve vhost-user --unix /tmp/disk     then: qemu-system-x86_64 -m 1G\n"
	"        -object memory-backend-memfd,id=m,size=1G,share=on -machine q35,memory-backend=m\n"
	"        -chardev socket,id=d,path=/tmp/disk,reconnect=1 -device vhost-user-blk-pci,chardev=d\n"
	"\n"
	"      --unix PATH       listen on a UNIX socket\n"
	"      --device NAME     the disk (default: the first)\n"
	"  -r, --read-only       refuse writes\n"
	"      --cpus N          CPUs, each with a queue of its own (default 1)\n"
	"      --mode MODE       interrupt, polled or hybrid (default hybrid)\n"
	"      --depth N         requests in flight per CPU (default 64)\n"
	"nbd only:\n"
	"      --port N          listen on a TCP port\n"
	"      --address A       of that port (default 127.0.0.1)\n"
	"      --run COMMAND     run it by the shell while serving, with $uri, $unixsocket, $port; then stop. Its exit "
	"code\n"
	"                        is the result.\n"
	"vhost-user only:\n"
	"      --queues N        that a client may have, spread over the CPUs (default 16)\n";

static const char *const mode_names[] = {"interrupt", "polled", "hybrid", NULL};

enum {
	ARGS_MAX = 400,
	QUEUES_MAX = 64 /* of one client */
};

/* The command line under construction; strings that were made for it are freed with it. */
struct serve_args {
	char *argv[ARGS_MAX + 1];
	unsigned count;
	bool failed;
	char *made[ARGS_MAX];
	unsigned made_count;
};

static char *format_text(struct serve_args *a, const char *format, ...) OB_PRINTF(2, 3);

static char *format_text(struct serve_args *a, const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int n;

	va_start(args, format);
	n = a->made_count < ARGS_MAX ? vasprintf(&text, format, args) : -1;
	va_end(args);
	if (n < 0) {
		a->failed = true;
		return NULL;
	}
	a->made[a->made_count++] = text;
	return text;
}

static void add(struct serve_args *a, char *text)
{
	if (!text || a->count == ARGS_MAX) {
		a->failed = true;
		return;
	}
	a->argv[a->count++] = text;
}

/* ---- what is needed ---- */

/* A program in $PATH, or NULL. Some systems keep nbdkit's plugins in a directory of its name, beside programs. */
static char *find_program(struct serve_args *a, const char *name)
{
	const char *path = getenv("PATH");

	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t len = strcspn(p, ":");
		char *candidate = format_text(a, "%.*s/%s", (int)len, p, name);

		if (candidate && len && part_is_file(candidate, X_OK))
			return candidate;
		p += len + (p[len] == ':');
	}
	return NULL;
}

static char *find_plugin(struct serve_args *a)
{
	static const char *const beside[] = {"../serve/nbd", OB_NBD_BESIDE, NULL};
	char path[4200];

	if (!part_find(path, sizeof(path), "nbdkit-outboard-plugin.so", beside, OB_NBD_PLUGIN, R_OK))
		return NULL;
	return format_text(a, "%s", path);
}

/* A socket that nobody listens on is left from a process that was killed; anything else at the path stays. */
static int check_socket(struct cli *cli, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, error;

	if (path[0] == '\0')
		return cli_usage(cli, "--unix: a path is needed");
	if (strlen(path) >= sizeof(address.sun_path))
		return cli_usage(cli, "--unix: the path is longer than the %zu characters that a socket may have",
				 sizeof(address.sun_path) - 1);
	if (lstat(path, &st))
		return CLI_OK;
	if (!S_ISSOCK(st.st_mode))
		return cli_error(cli, CLI_FAILED, "%s exists and is not a socket", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cli_error(cli, CLI_FAILED, "socket: %s", strerror(errno));
	error = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
	close(fd);
	if (error != ECONNREFUSED)
		return cli_error(cli, CLI_FAILED, "%s: another server listens there", path);
	if (unlink(path))
		return cli_error(cli, CLI_FAILED, "%s: %s", path, strerror(errno));
	return CLI_OK;
}

/* ---- the command line ---- */

static char *absolute(struct serve_args *a, const char *path)
{
	char cwd[4096];

	if (path[0] == '/' || !getcwd(cwd, sizeof(cwd)))
		return format_text(a, "%s", path);
	return format_text(a, "%s/%s", cwd, path);
}

static bool asks_for_tls(const struct arguments *args)
{
	for (int i = 0; i < args->rest_count; i++) {
		if (!strcmp(args->rest[i], "--tls=require"))
			return true;
	}
	return false;
}

static void build_listen(struct serve_args *a, const struct serve_options *o, bool tls, const char *dir,
			 struct serve_job *job)
{
	const char *scheme = tls ? "nbds" : "nbd", *address = o->address ? o->address : "127.0.0.1";

	if (o->port_given) {
		job->port = format_text(a, "%u", o->port);
		add(a, format_text(a, "--port=%u", o->port));
		add(a, format_text(a, "--ipaddr=%s", address));
		job->uri = strchr(address, ':') ? format_text(a, "%s://[%s]:%u", scheme, address, o->port)
						: format_text(a, "%s://%s:%u", scheme, address, o->port);
		return;
	}
	job->socket = o->unix_path ? absolute(a, o->unix_path) : format_text(a, "%s/socket", dir);
	add(a, format_text(a, "--unix=%s", job->socket ? job->socket : ""));
	job->uri = format_text(a, "%s+unix:///?socket=%s", scheme, job->socket ? job->socket : "");
}

static void build(struct cli *cli, struct serve_args *a, const struct serve_options *o, const struct arguments *args,
		  const char *dir, char *plugin, struct serve_job *job)
{
	job->status_file = format_text(a, "%s/status", dir);
	add(a, format_text(a, "--foreground"));
	add(a, format_text(a, "--exit-with-parent"));
	if (o->read_only)
		add(a, format_text(a, "--readonly"));
	if (cli->verbose > 1)
		add(a, format_text(a, "--verbose"));
	build_listen(a, o, asks_for_tls(args), dir, job);
	for (int i = 0; i < args->rest_count; i++)
		add(a, args->rest[i]);
	add(a, plugin);
	add(a, format_text(a, "machine=%s", cli->machine_uri));
	for (unsigned i = 0; i < cli->qemu_arg_count; i++)
		add(a, format_text(a, "qemu-arg=%s", cli->qemu_args[i]));
	if (o->device)
		add(a, format_text(a, "device=%s", o->device));
	add(a, format_text(a, "cpus=%u", o->cpus));
	add(a, format_text(a, "depth=%u", o->depth));
	add(a, format_text(a, "mode=%s", mode_names[o->mode]));
	add(a, format_text(a, "status-file=%s", job->status_file));
	a->argv[a->count] = NULL;
}

static int serve(struct cli *cli, const struct serve_options *o, const struct arguments *args)
{
	const char *base = getenv("TMPDIR");
	struct serve_args a = {.count = 0};
	struct serve_job job = {.command = o->command};
	char *plugin, *dir;
	int code;

	add(&a, find_program(&a, "nbdkit"));
	if (!a.count) {
		code = cli_error(cli, CLI_NO_PROGRAM, "nbdkit is not installed; on Debian: apt install nbdkit");
		goto out;
	}
	plugin = find_plugin(&a);
	if (!plugin) {
		code = cli_error(cli, CLI_NO_PROGRAM,
				 "nbdkit-outboard-plugin.so is not beside this program, nor at '%s'", OB_NBD_PLUGIN);
		goto out;
	}
	dir = format_text(&a, "%s/outboard-XXXXXX", base && *base ? base : "/tmp");
	/* From here to its removal no signal ends us but the one that nobody can hold. */
	serve_block_signals(&job);
	if (!dir || !mkdtemp(dir)) {
		code = cli_error(cli, CLI_FAILED, "%s: %s", dir ? dir : "directory", strerror(errno));
		goto unblock;
	}
	build(cli, &a, o, args, dir, plugin, &job);
	job.nbdkit = a.argv;
	code = a.failed ? cli_error(cli, CLI_FAILED, "out of memory, or too many arguments") : serve_run(cli, &job);
	if (job.status_file)
		unlink(job.status_file);
	rmdir(dir);
unblock:
	sigprocmask(SIG_SETMASK, &job.mask, NULL);
out:
	while (a.made_count)
		free(a.made[--a.made_count]);
	return code;
}

static int check_nbd(struct cli *cli, const struct serve_options *o, const struct arguments *args)
{
	if (args->count > 1)
		return cli_usage(cli, "'%s'? nbdkit's own options follow a '--'", args->operands[1]);
	if (o->queues_given)
		return cli_usage(cli, "--queues is for vhost-user");
	if (o->unix_path && o->port_given)
		return cli_usage(cli, "--unix and --port exclude each other");
	if (o->address && !o->port_given)
		return cli_usage(cli, "--address is for --port");
	if (!o->unix_path && !o->port_given && !o->command)
		return cli_usage(cli, "say where to listen: --unix PATH or --port N");
	return CLI_OK;
}

static int check_vhost_user(struct cli *cli, const struct serve_options *o, const struct arguments *args)
{
	if (args->count > 1 || args->rest_count)
		return cli_usage(cli, "'%s'?", args->count > 1 ? args->operands[1] : args->rest[0]);
	if (o->port_given || o->command)
		return cli_usage(cli, "%s is for nbd", o->command ? "--run" : "--port");
	if (o->address)
		return cli_usage(cli, "--address is for nbd");
	if (!o->unix_path)
		return cli_usage(cli, "say where to listen: --unix PATH");
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct serve_options o = {
		.cpus = 1,
		.depth = 64,
		.queues = 16,
		.mode = OB_COMPLETION_HYBRID,
	};
	const struct option_def table[] = {
		{.name = "unix", .kind = OPTION_TEXT, .to = &o.unix_path},
		{.name = "port", .kind = OPTION_NUMBER, .to = &o.port, .min = 1, .max = 65535, .given = &o.port_given},
		{.name = "address", .kind = OPTION_TEXT, .to = &o.address},
		{.name = "run", .kind = OPTION_TEXT, .to = &o.command},
		{.name = "device", .kind = OPTION_TEXT, .to = &o.device},
		{.name = "read-only", .letter = 'r', .kind = OPTION_FLAG, .to = &o.read_only},
		{.name = "cpus", .kind = OPTION_NUMBER, .to = &o.cpus, .min = 1, .max = OB_CPU_MAX},
		{.name = "mode", .kind = OPTION_CHOICE, .to = &o.mode, .choices = mode_names},
		{.name = "depth", .kind = OPTION_NUMBER, .to = &o.depth, .min = 1, .max = 1024},
		{.name = "queues",
		 .kind = OPTION_NUMBER,
		 .to = &o.queues,
		 .min = 1,
		 .max = QUEUES_MAX,
		 .given = &o.queues_given},
		{.kind = OPTION_END},
	};
	struct arguments args;
	bool nbd;
	int code;

	if (!options_begin_apart(cli, table, help, argc, argv, &args, &code))
		return code;
	if (!args.count)
		return cli_usage(cli, "say how: 'outboard serve nbd' or 'outboard serve vhost-user'");
	nbd = !strcmp(args.operands[0], "nbd");
	if (!nbd && strcmp(args.operands[0], "vhost-user"))
		return cli_usage(cli, "cannot serve '%s', only nbd and vhost-user", args.operands[0]);
	code = nbd ? check_nbd(cli, &o, &args) : check_vhost_user(cli, &o, &args);
	if (!code && o.unix_path)
		code = check_socket(cli, o.unix_path);
	if (code)
		return code;
	return nbd ? serve(cli, &o, &args) : serve_vhost_user(cli, &o);
}

const struct cli_verb cli_serve = {
	.name = "serve",
	.summary = "hand a disk to other programs: nbd, vhost-user",
	.help = help,
	.run = run,
};
