/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard serve vhost-user: a disk on a UNIX socket for virtual machines, from this process. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/serve.h"
#include "serve/vhost_user/server.h"

enum {
	BACKLOG = 64
};

/* The disk is gone: the thread that waits for signals is told by one. */
#define GONE SIGUSR1

struct session {
	struct cli *cli;
	const struct serve_options *options;
	struct ob_block *block;
	struct vu_server *server;
	int listen_fd;
	struct stat socket; /* as it was made */
	sigset_t signals, mask;
};

static void removed(struct ob_work *work)
{
	(void)work;
	kill(getpid(), GONE);
}

static struct ob_work removal = {.fn = removed};

static int open_socket(struct session *s)
{
	const char *path = s->options->unix_path;
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, path, strlen(path) + 1); /* it fits: that was checked */
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listen_fd < 0)
		return cli_error(s->cli, CLI_FAILED, "socket: %s", strerror(errno));
	if (bind(s->listen_fd, (struct sockaddr *)&address, sizeof(address)) || lstat(path, &s->socket) ||
	    listen(s->listen_fd, BACKLOG)) {
		int code = cli_error(s->cli, CLI_FAILED, "%s: %s", path, strerror(errno));

		close(s->listen_fd);
		return code;
	}
	return CLI_OK;
}

/* Somebody may have removed it, and another server have made its own there. */
static void close_socket(struct session *s)
{
	struct stat now;

	if (!lstat(s->options->unix_path, &now) && now.st_dev == s->socket.st_dev && now.st_ino == s->socket.st_ino)
		unlink(s->options->unix_path);
	close(s->listen_fd);
}

static int start_server(struct session *s)
{
	const struct serve_options *o = s->options;
	struct vu_server_config config = {
		.block = s->block,
		.listen_fd = s->listen_fd,
		.depth = o->depth,
		.queue_max = o->queues,
		.mode = (enum ob_completion_mode)o->mode,
		.read_only = o->read_only,
		.watchdog = true,
	};
	int error;

	for (unsigned i = 0; i < ob_cpu_count(s->cli->ob); i++) {
		error = ob_cpu_start(ob_cpu_get(s->cli->ob, i), -1);
		if (error)
			return cli_error(s->cli, CLI_FAILED, "CPU %u: %s", i, strerror(-error));
	}
	error = vu_server_start(&config, &s->server);
	if (error)
		return cli_error(s->cli, cli_exit_of(error), "%s: %s", ob_block_name(s->block), strerror(-error));
	return CLI_OK;
}

/* Until somebody says stop, or the disk has gone. */
static int wait_end(struct session *s)
{
	int number;

	printf("serving vhost-user:%s\n", s->options->unix_path);
	if (!output_flush())
		return CLI_FAILED; /* output_finish() says why */
	do
		number = sigwaitinfo(&s->signals, NULL);
	while (number < 0);
	if (number != GONE)
		return 128 + number;
	return cli_error(s->cli, CLI_IO, "%s is gone: shutting down", ob_block_name(s->block));
}

static void report(struct session *s)
{
	struct vu_server_stats stats;

	if (!s->cli->verbose)
		return;
	vu_server_stats(s->server, &stats);
	fprintf(stderr, "outboard: serve: %llu clients, %llu of them dropped\n", (unsigned long long)stats.clients,
		(unsigned long long)stats.dropped);
}

static int serve(struct session *s)
{
	int code;

	ob_work_init(&removal, removed);
	ob_block_watch(s->block, ob_cpu_get(s->cli->ob, 0), &removal);
	code = start_server(s);
	if (!code) {
		code = wait_end(s);
		report(s);
	}
	ob_block_watch(s->block, NULL, NULL);
	vu_server_stop(s->server);
	return code;
}

/* From here on a signal waits until it is asked for; nohup's is to stay ignored, which a blocked signal is not. */
static void block_signals(struct session *s)
{
	struct serve_job job;

	serve_block_signals(&job);
	s->signals = job.signals;
	s->mask = job.mask;
	sigdelset(&s->signals, SIGCHLD);
	sigaddset(&s->signals, GONE);
	sigprocmask(SIG_BLOCK, &s->signals, NULL);
}

static int open_disk(struct session *s)
{
	int code = cli_open(s->cli, s->options->cpus);

	return code ? code : cli_block(s->cli, s->options->device, &s->block);
}

int serve_vhost_user(struct cli *cli, const struct serve_options *options)
{
	struct session s = {.cli = cli, .options = options, .listen_fd = -1};
	int code = open_disk(&s);

	if (!code) {
		block_signals(&s);
		code = cli_interrupted() ? 128 + cli_interrupted() : open_socket(&s);
		if (!code) {
			code = serve(&s);
			close_socket(&s);
		}
		sigprocmask(SIG_SETMASK, &s.mask, NULL);
	}
	ob_block_put(s.block);
	return cli_close(cli, code);
}
