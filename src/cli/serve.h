/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard serve nbd: nbdkit's command line (serve.c) apart from watching over it (serve_run.c); outboard serve vhost-user
 * (serve_vhost_user.c).
 */
#ifndef OB_CLI_SERVE_H
#define OB_CLI_SERVE_H

#include <signal.h>

#include "cli/cli.h"

struct serve_options {
	const char *unix_path, *address, *device, *command;
	unsigned port, cpus, mode, depth, queues;
	bool port_given, queues_given, read_only;
};

struct serve_job {
	char **nbdkit;           /* NULL-terminated command line; the program is a full path */
	const char *uri;         /* what clients connect to */
	const char *socket;      /* UNIX socket to be removed at the end, or NULL */
	const char *port;        /* or NULL */
	const char *command;     /* --run, or NULL */
	const char *status_file; /* the plugin makes it when it is ready, and writes into it why it ends */
	sigset_t signals;        /* blocked, and fetched while it serves */
	sigset_t mask;           /* as it was before: the children's */
};

/** serve_block_signals - from here on a signal to stop waits for serve_run(); the caller restores @job->mask */
void serve_block_signals(struct serve_job *job);

/** serve_run - start nbdkit, wait until it is ready, run the command or wait for a signal, stop it. An exit code. */
int serve_run(struct cli *cli, const struct serve_job *job);

/** serve_vhost_user - serve the disk until a signal comes. An exit code. */
int serve_vhost_user(struct cli *cli, const struct serve_options *options);

#endif
