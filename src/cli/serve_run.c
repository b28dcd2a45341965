/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watches over nbdkit. Signals are blocked and fetched one by one, so that none is lost between a look and a sleep.
 * nbdkit's own --run is not used: it does not wait for the server's end, and the machine must be down when we return.
 */
#include "cli/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/output.h"

#define READY_NS        (40 * OB_NS_PER_S) /* a machine may take its 30 s */
#define READY_PERIOD_NS (10 * OB_NS_PER_MS)
#define STOP_NS         (10 * OB_NS_PER_S) /* from SIGTERM to SIGKILL: the driver's normal shutdown lies between */

struct child {
	pid_t pid; /* 0: none, or it has ended */
	int status;
};

struct serving {
	struct cli *cli;
	const struct serve_job *job;
	struct child server, command;
	int caught; /* the signal that said stop */
};

static int start_child(struct serving *s, struct child *child, char **argv)
{
	pid_t pid = fork();

	if (pid < 0)
		return cli_error(s->cli, CLI_FAILED, "fork: %s", strerror(errno));
	if (!pid) {
		signal(SIGPIPE, SIG_DFL);
		sigprocmask(SIG_SETMASK, &s->job->mask, NULL);
		execv(argv[0], argv);
		fprintf(stderr, "outboard: serve: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	child->pid = pid;
	return CLI_OK;
}

static void reap(struct serving *s)
{
	struct child *children[] = {&s->server, &s->command};

	for (unsigned i = 0; i < 2; i++) {
		int status;

		if (children[i]->pid && waitpid(children[i]->pid, &status, WNOHANG) == children[i]->pid) {
			children[i]->pid = 0;
			children[i]->status = status;
		}
	}
}

/* Sleep until a child ends, a signal comes or the time is over; 0 ns: for as long as it takes. */
static void sleep_until_event(struct serving *s, uint64_t timeout_ns)
{
	const struct timespec timeout = {(time_t)(timeout_ns / OB_NS_PER_S), (long)(timeout_ns % OB_NS_PER_S)};
	int number = timeout_ns ? sigtimedwait(&s->job->signals, NULL, &timeout) : sigwaitinfo(&s->job->signals, NULL);

	if (number > 0 && number != SIGCHLD)
		s->caught = number;
	reap(s);
}

/* A child has a time to end in, with SIGTERM at its start; then it is killed. */
static void stop_child(struct serving *s, struct child *child)
{
	uint64_t deadline = ob_deadline(STOP_NS);

	if (!child->pid)
		return;
	kill(child->pid, SIGTERM);
	while (child->pid && ob_now_ns() < deadline)
		sleep_until_event(s, 100 * OB_NS_PER_MS);
	if (!child->pid)
		return;
	kill(child->pid, SIGKILL);
	waitpid(child->pid, &child->status, 0);
	child->pid = 0;
	cli_error(s->cli, CLI_FAILED, "nbdkit did not end in time and was killed");
}

/* What the plugin says: nothing yet (-1), ready (0), or the first letter of why it ends. */
static int plugin_status(const struct serving *s)
{
	FILE *f = fopen(s->job->status_file, "re");
	int letter;

	if (!f)
		return -1;
	letter = fgetc(f);
	fclose(f);
	return letter == EOF ? 0 : letter;
}

/* What nbdkit's end means when nobody asked for it. It has said why on standard error. */
static int server_ended(struct serving *s, bool ready)
{
	int status = s->server.status;

	if (plugin_status(s) == 'a')
		return cli_error(s->cli, CLI_NO_DEVICE, "there is no such machine or disk to serve");
	if (plugin_status(s) == 'g')
		return cli_error(s->cli, CLI_IO, "the disk is gone; nbdkit has ended");
	if (WIFSIGNALED(status))
		return cli_error(s->cli, CLI_FAILED, "nbdkit was ended by signal %d (%s)", WTERMSIG(status),
				 strsignal(WTERMSIG(status)));
	if (!WEXITSTATUS(status) && ready)
		return CLI_OK;
	if (!ready)
		return cli_error(s->cli, CLI_FAILED, "nbdkit could not serve %s, and ended with code %d", s->job->uri,
				 WEXITSTATUS(status));
	return cli_error(s->cli, CLI_FAILED, "nbdkit ended with code %d", WEXITSTATUS(status));
}

static int wait_ready(struct serving *s)
{
	uint64_t deadline = ob_deadline(READY_NS);

	while (plugin_status(s)) {
		if (s->caught)
			return 128 + s->caught;
		if (!s->server.pid)
			return server_ended(s, false);
		if (ob_now_ns() > deadline)
			return cli_error(s->cli, CLI_FAILED, "nbdkit was not ready after %llu s",
					 READY_NS / OB_NS_PER_S);
		sleep_until_event(s, READY_PERIOD_NS);
	}
	return CLI_OK;
}

/* Until somebody says stop. */
static int wait_end(struct serving *s)
{
	printf("serving %s\n", s->job->uri);
	if (!output_flush())
		return CLI_FAILED; /* output_finish() says why */
	while (s->server.pid && !s->caught)
		sleep_until_event(s, 0);
	return s->caught ? 128 + s->caught : server_ended(s, true);
}

/* The command's variables are those that nbdkit --run has. */
static int run_command(struct serving *s)
{
	char shell[] = "/bin/sh", dash_c[] = "-c", *line = strdup(s->job->command);
	char *argv[] = {shell, dash_c, line, NULL};
	int code;

	if (!line)
		return cli_error(s->cli, CLI_FAILED, "out of memory");
	setenv("uri", s->job->uri, 1);
	setenv("nbd", s->job->uri, 1);
	setenv("unixsocket", s->job->socket ? s->job->socket : "", 1);
	setenv("port", s->job->port ? s->job->port : "", 1);
	code = start_child(s, &s->command, argv);
	free(line);
	if (code)
		return code;
	/* Without its server the command fails by itself, in its own words; it gets a moment for that. */
	while (s->command.pid && s->server.pid && !s->caught)
		sleep_until_event(s, 0);
	if (!s->server.pid) {
		if (s->command.pid)
			sleep_until_event(s, OB_NS_PER_S);
		stop_child(s, &s->command);
		code = server_ended(s, true);
		return code ? code : CLI_FAILED;
	}
	if (s->caught) {
		stop_child(s, &s->command);
		return 128 + s->caught;
	}
	return WIFEXITED(s->command.status) ? WEXITSTATUS(s->command.status) : 128 + WTERMSIG(s->command.status);
}

void serve_block_signals(struct serve_job *job)
{
	static const int stop[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

	sigemptyset(&job->signals);
	sigaddset(&job->signals, SIGCHLD);
	for (unsigned i = 0; i < sizeof(stop) / sizeof(stop[0]); i++) {
		struct sigaction now;

		/* nohup's is to stay ignored, which a blocked signal is not. */
		if (sigaction(stop[i], NULL, &now) || now.sa_handler != SIG_IGN)
			sigaddset(&job->signals, stop[i]);
	}
	sigprocmask(SIG_BLOCK, &job->signals, &job->mask);
}

int serve_run(struct cli *cli, const struct serve_job *job)
{
	struct serving s = {.cli = cli, .job = job};
	int code;

	if (cli_interrupted()) /* it came before the block */
		return 128 + cli_interrupted();
	code = start_child(&s, &s.server, job->nbdkit);
	if (!code)
		code = wait_ready(&s);
	if (!code)
		code = job->command ? run_command(&s) : wait_end(&s);
	stop_child(&s, &s.server);
	if (job->socket)
		unlink(job->socket);
	return code;
}
