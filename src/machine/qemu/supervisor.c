/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread per machine that starts QEMU, reads what it prints, and notices its end. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "io/io.h"
#include "machine/qemu/qmp.h"
#include "machine/qemu/supervisor.h"

#define LAST_WORDS_NS  (100 * OB_NS_PER_MS) /* between a closed socket and the process's end */
#define QUIT_NS        (2 * OB_NS_PER_S)
#define TERMINATE_NS   (1 * OB_NS_PER_S)
#define KILL_NS        (5 * OB_NS_PER_S)
#define START_SLACK_NS (5 * OB_NS_PER_S) /* for the thread beyond the deadline that it has itself */
#define TELL_RETRY_MS  5
#define READS_PER_TURN 64

/* "qemu-system-x86_64: -device foo: no such device": the part after the program's name. */
static void take_line(struct qemu_supervisor *s, char *line)
{
	struct ob *ob = s->life->machine->ob;
	char *text = strstr(line, ": ");

	if (text != NULL && strncmp(line, "qemu", 4) == 0 && memchr(line, ' ', (size_t)(text - line)) == NULL)
		line = text + 2;
	if (line[0] == '\0')
		return;
	if (strncmp(line, "info: ", 6) == 0) {
		ob_debug(ob, "qemu: %s", line);
		return;
	}
	if (strncmp(line, "warning: ", 9) == 0) {
		ob_warn(ob, "qemu: %s", line + 9);
		return;
	}
	ob_debug(ob, "qemu: QEMU says: %s", line);
	pthread_mutex_lock(&s->lock);
	if (s->first_line[0] == '\0')
		snprintf(s->first_line, sizeof(s->first_line), "%.*s", (int)sizeof(s->first_line) - 1, line);
	pthread_mutex_unlock(&s->lock);
}

/* What QEMU printed, as far as it has come. */
static void read_output(struct qemu_supervisor *s)
{
	for (unsigned i = 0; i < READS_PER_TURN; i++) {
		char *newline;
		ssize_t n = read(s->process.stderr_fd, s->line + s->line_bytes, sizeof(s->line) - 1 - s->line_bytes);

		if (n == 0)
			io_close(&s->process.stderr_fd);
		if (n <= 0)
			return;
		s->line_bytes += (size_t)n;
		while ((newline = memchr(s->line, '\n', s->line_bytes)) != NULL) {
			*newline = '\0';
			take_line(s, s->line);
			s->line_bytes -= (size_t)(newline + 1 - s->line);
			memmove(s->line, newline + 1, s->line_bytes);
		}
		if (s->line_bytes == sizeof(s->line) - 1) {
			s->line[s->line_bytes] = '\0';
			take_line(s, s->line);
			s->line_bytes = 0;
		}
	}
}

static void reap(struct qemu_supervisor *s)
{
	char how[96];

	if (!qemu_process_reap(&s->process, how, sizeof(how)))
		return;
	if (s->process.stderr_fd >= 0)
		read_output(s);
	qemu_life_end(s->life, "%s", how);
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	if (!s->buried)
		memcpy(s->how, how, sizeof(how));
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* The far side is gone, or given up. */
static void bury(struct qemu_supervisor *s)
{
	s->buried = true;
	if (!s->ended && s->process.pidfd >= 0) {
		qemu_process_signal(&s->process, SIGKILL);
		if (io_wait(s->process.pidfd, POLLIN, ob_deadline(KILL_NS)) == 0)
			reap(s);
	}
	for (unsigned i = 0; i < 2; i++)
		(void)shutdown(s->config.sockets[i], SHUT_RDWR);
	qemu_life_bury(s->life);
}

/* Core says where to report only once the machine is open. */
static void tell(struct qemu_supervisor *s)
{
	struct machine *m = s->life->machine;
	void (*on_dead)(struct machine *, const char *) = __atomic_load_n(&m->on_dead, __ATOMIC_ACQUIRE);

	if (on_dead == NULL)
		return;
	s->told = true;
	on_dead(m, s->how[0] != '\0' ? s->how : s->life->why);
}

static void watch(struct qemu_supervisor *s)
{
	enum {
		WAKE,
		PROCESS,
		OUTPUT,
		SOCKET,
		COUNT
	};

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		bool closing = __atomic_load_n(&s->closing, __ATOMIC_ACQUIRE), over = qemu_life_over(s->life);
		struct pollfd p[COUNT] = {
			[WAKE] = {.fd = s->life->fd, .events = POLLIN},
			[PROCESS] = {.fd = s->ended ? -1 : s->process.pidfd, .events = POLLIN},
			[OUTPUT] = {.fd = s->process.stderr_fd, .events = POLLIN},
			[SOCKET] = {.fd = over ? -1 : s->config.sockets[0], .events = POLLRDHUP},
		};

		if (poll(p, COUNT, over && !s->told && !closing ? TELL_RETRY_MS : -1) < 0)
			continue;
		if (p[WAKE].revents != 0)
			(void)io_event_take(s->life->fd);
		if (p[OUTPUT].revents != 0)
			read_output(s);
		/*
		 * A closed socket is mostly the first that is seen of the process's end, which says more. One that
		 * hangs has no more to say, and each moment that it lives it may write to the memory.
		 */
		if (!__atomic_load_n(&s->life->hung, __ATOMIC_ACQUIRE) &&
		    (p[SOCKET].revents != 0 || qemu_life_over(s->life)) && p[PROCESS].fd >= 0 && !s->buried &&
		    io_wait(p[PROCESS].fd, POLLIN, ob_deadline(LAST_WORDS_NS)) == 0)
			p[PROCESS].revents = POLLIN;
		if (p[PROCESS].revents != 0)
			reap(s);
		if (p[SOCKET].revents != 0)
			qemu_life_end(s->life, "QEMU closed its qtest connection");
		/* Looked at again: a QEMU that ends because it was asked to has not died. */
		if (qemu_life_over(s->life) && !__atomic_load_n(&s->closing, __ATOMIC_ACQUIRE)) {
			if (!s->buried)
				bury(s);
			if (!s->told)
				tell(s);
		}
	}
}

static void *supervise(void *arg)
{
	struct qemu_supervisor *s = arg;
	const struct qemu_supervisor_config *c = &s->config;
	int error = 0;

	if (c->path != NULL)
		error = qemu_process_start(&s->process, c->path, c->argv, c->pass_fds, c->pass_count, s->deadline_ns);
	pthread_mutex_lock(&s->lock);
	s->started = true;
	s->error = error;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (error == 0)
		watch(s);
	return NULL;
}

/* Until *flag, which is guarded by the lock. 0; -ETIMEDOUT. Lock held. */
static int wait_for(struct qemu_supervisor *s, const bool *flag, uint64_t deadline_ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / OB_NS_PER_S),
		.tv_nsec = (long)(deadline_ns % OB_NS_PER_S),
	};
	int ret = 0;

	while (!*flag && ret == 0)
		ret = -pthread_cond_clockwait(&s->changed, &s->lock, CLOCK_MONOTONIC, &until);
	return *flag ? 0 : ret;
}

static void join(struct qemu_supervisor *s)
{
	__atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
	io_event_fire(s->life->fd);
	pthread_join(s->thread, NULL);
	qemu_process_close(&s->process);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

int qemu_supervisor_start(struct qemu_supervisor *s, struct qemu_life *life,
			  const struct qemu_supervisor_config *config, uint64_t deadline_ns)
{
	sigset_t all, before;
	int ret;

	*s = (struct qemu_supervisor){
		.life = life,
		.config = *config,
		.process = {.pid = -1, .pidfd = -1, .stderr_fd = -1},
		.deadline_ns = deadline_ns,
	};
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	/* The program's signals are for the program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&s->thread, NULL, supervise, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret < 0) {
		pthread_cond_destroy(&s->changed);
		pthread_mutex_destroy(&s->lock);
		return ret;
	}
	pthread_setname_np(s->thread, "ob-qemu");
	pthread_mutex_lock(&s->lock);
	/* The thread has the same deadline, so its answer is what ends this; but for a machine that stands still. */
	ret = wait_for(s, &s->started, deadline_ns + START_SLACK_NS);
	if (ret == 0) {
		ret = s->error;
		life->watched = ret == 0;
	} else {
		s->stuck = true;
		__atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&s->lock);
	if (s->stuck)
		pthread_detach(s->thread); /* a QEMU that it still starts ends with it */
	else if (ret < 0)
		join(s);
	return ret;
}

int qemu_supervisor_wait(struct qemu_supervisor *s, uint64_t deadline_ns)
{
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = wait_for(s, &s->ended, deadline_ns);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

void qemu_supervisor_stop(struct qemu_supervisor *s, struct qmp *qmp)
{
	__atomic_store_n(&s->closing, 1, __ATOMIC_RELEASE);
	io_event_fire(s->life->fd);
	if (s->process.pidfd >= 0) {
		bool ended = false;

		if (qmp != NULL && !qemu_life_over(s->life)) {
			qmp_quit(qmp);
			ended = qemu_supervisor_wait(s, ob_deadline(QUIT_NS)) == 0;
		}
		if (!ended && !qemu_life_over(s->life)) {
			qemu_process_signal(&s->process, SIGTERM);
			ended = qemu_supervisor_wait(s, ob_deadline(TERMINATE_NS)) == 0;
		}
		if (!ended) {
			qemu_process_signal(&s->process, SIGKILL);
			ended = qemu_supervisor_wait(s, ob_deadline(KILL_NS)) == 0;
		}
		if (!ended)
			ob_err(s->life->machine->ob, "qemu: process %d does not die", (int)s->process.pid);
	}
	join(s);
	qemu_life_end(s->life, "it was closed");
	qemu_life_bury(s->life);
}
