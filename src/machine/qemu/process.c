/* SPDX-License-Identifier: BSD-2-Clause */
/* A child process that dies with us. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/io.h"
#include "machine/qemu/process.h"

static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -ENOENT;
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

int qemu_process_find(const char *name, char *path, size_t path_bytes)
{
	const char *dir = getenv("PATH");
	int ret = -ENOENT;

	if (strchr(name, '/') != NULL) {
		if ((size_t)snprintf(path, path_bytes, "%s", name) >= path_bytes)
			return -ENOENT;
		return executable(path);
	}
	if (dir == NULL)
		dir = "/usr/local/bin:/usr/bin:/bin";
	while (*dir != '\0') {
		size_t len = strcspn(dir, ":");

		if (len > 0 && (size_t)snprintf(path, path_bytes, "%.*s/%s", (int)len, dir, name) < path_bytes) {
			int found = executable(path);

			if (found == 0)
				return 0;
			if (found == -EACCES)
				ret = found;
		}
		dir += len + (dir[len] == ':');
	}
	return ret;
}

/* In the child, between fork and exec: async-signal-safe calls only. */
struct child {
	const char *path;
	char *const *argv;
	const int *pass_fds;
	size_t pass_count;
	pid_t parent;
	int output_fd, status_fd;
};

static void child_report(const struct child *c)
{
	int error = errno;
	ssize_t ignored = write(c->status_fd, &error, sizeof(error));

	(void)ignored;
	_exit(127);
}

static void child_run(const struct child *c)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;
	int null_fd;

	/* The program's handlers are not to run here, and what it ignores or blocks is not for QEMU to inherit. */
	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &action, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		child_report(c);
	if (getppid() != c->parent)
		_exit(127); /* it died before prctl() could see it */
	/* A ^C on the terminal is for the program, which then ends QEMU in order. */
	(void)setpgid(0, 0);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(c->output_fd, STDOUT_FILENO) < 0 ||
	    dup2(c->output_fd, STDERR_FILENO) < 0)
		child_report(c);
	for (size_t i = 0; i < c->pass_count; i++)
		if (c->pass_fds[i] >= 0 && fcntl(c->pass_fds[i], F_SETFD, 0) < 0)
			child_report(c);
	execv(c->path, c->argv);
	child_report(c);
}

static int pipe_above_stdio(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fds[0] = io_above_stdio(fds[0]);
	fds[1] = io_above_stdio(fds[1]);
	if (fds[0] >= 0 && fds[1] >= 0)
		return 0;
	io_close(&fds[0]);
	io_close(&fds[1]);
	return -EMFILE;
}

/* exec closes the pipe; before that the child writes why it could not. */
static int await_exec(int status_fd, uint64_t deadline_ns)
{
	int error = 0;
	ssize_t n;
	int ret = io_wait(status_fd, POLLIN, deadline_ns);

	if (ret < 0)
		return ret;
	do
		n = read(status_fd, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	return n == sizeof(error) ? -error : 0;
}

int qemu_process_start(struct qemu_process *p, const char *path, char *const *argv, const int *pass_fds,
		       size_t pass_count, uint64_t deadline_ns)
{
	int output[2] = {-1, -1}, status[2] = {-1, -1}, ret;
	struct child c = {path, argv, pass_fds, pass_count, getpid(), -1, -1};

	*p = (struct qemu_process){.pid = -1, .pidfd = -1, .stderr_fd = -1};
	ret = pipe_above_stdio(output);
	if (ret == 0)
		ret = pipe_above_stdio(status);
	if (ret < 0)
		goto close_pipes;
	c.output_fd = output[1];
	c.status_fd = status[1];
	p->pid = fork();
	if (p->pid == 0)
		child_run(&c);
	if (p->pid < 0) {
		ret = -errno;
		goto close_pipes;
	}
	p->pidfd = pidfd_open(p->pid, 0);
	if (p->pidfd < 0)
		ret = -errno;
	io_close(&status[1]);
	if (ret == 0)
		ret = await_exec(status[0], deadline_ns);
	if (ret < 0) {
		(void)kill(p->pid, SIGKILL); /* not reaped yet, so it is the one */
		(void)waitpid(p->pid, NULL, 0);
		io_close(&p->pidfd);
		goto close_pipes;
	}
	(void)fcntl(output[0], F_SETFL, O_NONBLOCK);
	p->stderr_fd = output[0];
	output[0] = -1;

close_pipes:
	for (unsigned i = 0; i < 2; i++) {
		io_close(&output[i]);
		io_close(&status[i]);
	}
	return ret;
}

void qemu_process_signal(const struct qemu_process *p, int signal)
{
	if (p->pidfd >= 0)
		(void)pidfd_send_signal(p->pidfd, signal, NULL, 0);
}

bool qemu_process_reap(struct qemu_process *p, char *how, size_t how_bytes)
{
	siginfo_t info = {0};

	if (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG) < 0) {
		/* The program takes all children itself (SIGCHLD ignored, or waitpid(-1)). */
		snprintf(how, how_bytes, "QEMU ended");
		return errno == ECHILD;
	}
	if (info.si_pid == 0)
		return false;
	if (info.si_code == CLD_EXITED)
		snprintf(how, how_bytes, "QEMU exited with status %d", info.si_status);
	else
		snprintf(how, how_bytes, "QEMU was killed by signal %d (%s)", info.si_status,
			 sigdescr_np(info.si_status) != NULL ? sigdescr_np(info.si_status) : "unknown");
	return true;
}

void qemu_process_close(struct qemu_process *p)
{
	io_close(&p->pidfd);
	io_close(&p->stderr_fd);
}
