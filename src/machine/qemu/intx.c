/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <outboard/log.h>

#include "io/io.h"
#include "machine/qemu/intx.h"

struct intx_line {
	struct list link;
	unsigned input;
	int fd;
};

static void signal_lines(struct qemu_intx *x, unsigned input, const struct intx_line *but)
{
	list_for_each (node, &x->lines[input]) {
		struct intx_line *line = list_entry(node, struct intx_line, link);

		if (line != but)
			io_event_fire(line->fd);
	}
}

/* From qtest, with its lock held. */
static void input_changed(void *arg, unsigned input, bool raised)
{
	struct qemu_intx *x = arg;

	if (input >= INTX_INPUTS)
		return;
	x->level[input] = raised;
	if (raised)
		signal_lines(x, input, NULL);
}

/* Nobody may be reading from qtest when a line rises, so this thread looks at the socket too. */
static void *listen_to_lines(void *arg)
{
	struct qemu_intx *x = arg;
	struct pollfd p[2] = {{.fd = x->stop_fd, .events = POLLIN}, {.fd = x->qtest->fd, .events = POLLIN}};

	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents != 0 || qtest_drain(x->qtest) < 0)
			return NULL;
	}
}

int qemu_intx_init(struct qemu_intx *x, struct qtest *qtest)
{
	int ret;

	*x = (struct qemu_intx){.qtest = qtest, .stop_fd = -1};
	for (unsigned i = 0; i < INTX_INPUTS; i++)
		list_init(&x->lines[i]);
	ret = -pthread_mutex_init(&x->lock, NULL);
	if (ret == 0) {
		qtest->irq_arg = x;
		qtest->irq = input_changed;
	}
	return ret;
}

void qemu_intx_stop(struct qemu_intx *x)
{
	bool listening;

	pthread_mutex_lock(&x->lock);
	listening = x->listening;
	x->listening = false;
	pthread_mutex_unlock(&x->lock);
	if (!listening)
		return;
	io_event_fire(x->stop_fd);
	pthread_join(x->listener, NULL);
	io_close(&x->stop_fd);
}

void qemu_intx_fini(struct qemu_intx *x)
{
	qemu_intx_stop(x);
	pthread_mutex_lock(&x->qtest->lock);
	x->qtest->irq = NULL;
	pthread_mutex_unlock(&x->qtest->lock);
	for (unsigned i = 0; i < INTX_INPUTS; i++)
		list_for_each_safe (node, &x->lines[i]) {
			struct intx_line *line = list_entry(node, struct intx_line, link);

			io_close(&line->fd);
			free(line);
		}
	pthread_mutex_destroy(&x->lock);
}

static int start_listener(struct qemu_intx *x)
{
	sigset_t all, before;
	int ret;

	x->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (x->stop_fd < 0)
		return -errno;
	/* The program's signals are for the program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&x->listener, NULL, listen_to_lines, x);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret < 0)
		io_close(&x->stop_fd);
	else
		pthread_setname_np(x->listener, "ob-qemu-intx");
	return ret;
}

int qemu_intx_start(struct qemu_intx *x)
{
	int ret = 0;

	pthread_mutex_lock(&x->lock);
	if (!x->listening) {
		ret = qtest_intercept(x->qtest, x->controller);
		if (ret == -EIO)
			ob_err(x->qtest->life->machine->ob, "qemu: QEMU does not let interrupt lines be watched");
		if (ret == 0)
			ret = start_listener(x);
		x->listening = ret == 0;
	}
	pthread_mutex_unlock(&x->lock);
	return ret;
}

int qemu_intx_open(struct qemu_intx *x, unsigned input, struct machine_intx *out)
{
	struct intx_line *line;
	int ret;

	if (input >= INTX_INPUTS)
		return -EINVAL;
	ret = qemu_intx_start(x);
	if (ret < 0)
		return ret;
	line = calloc(1, sizeof(*line));
	if (line == NULL)
		return -ENOMEM;
	line->input = input;
	line->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (line->fd < 0) {
		ret = -errno;
		free(line);
		return ret;
	}
	pthread_mutex_lock(&x->qtest->lock);
	list_add_tail(&x->lines[line->input], &line->link);
	if (x->level[line->input])
		io_event_fire(line->fd);
	pthread_mutex_unlock(&x->qtest->lock);
	*out = (struct machine_intx){.fd = line->fd, .cookie = line};
	return 0;
}

void qemu_intx_close(struct qemu_intx *x, struct machine_intx *out)
{
	struct intx_line *line = out->cookie;

	pthread_mutex_lock(&x->qtest->lock);
	list_del(&line->link);
	pthread_mutex_unlock(&x->qtest->lock);
	io_close(&line->fd);
	free(line);
	*out = (struct machine_intx){.fd = -1};
}

bool qemu_intx_level(struct qemu_intx *x, struct machine_intx *out)
{
	struct intx_line *line = out->cookie;
	bool level = false;

	pthread_mutex_lock(&x->qtest->lock);
	if (qtest_flush_locked(x->qtest) == 0)
		level = x->level[line->input];
	/*
	 * The asker has served its device, and the line is up all the same: another device that shares it may be the
	 * one, and QEMU reports no second rise. So all sharers look again.
	 */
	if (level)
		signal_lines(x, line->input, line);
	pthread_mutex_unlock(&x->qtest->lock);
	return level;
}
