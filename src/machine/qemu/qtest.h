/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's qtest protocol: text lines that read and write the machine's physical memory and I/O ports.
 *
 * Writes are posted: the line is sent and its "OK" is collected later, so that a doorbell costs one system call. Their
 * number is bounded, so that neither side ever waits with a full socket. A read is answered in order, so it comes after
 * all earlier writes. Lines "IRQ raise N" and "IRQ lower N" may come at any time once interrupts are intercepted.
 *
 * All calls are thread-safe, but for the _locked ones.
 */
#ifndef OB_MACHINE_QEMU_QTEST_H
#define OB_MACHINE_QEMU_QTEST_H

#include <pthread.h>

#include "machine/qemu/life.h"

#define QTEST_POSTED_MAX 128 /* 3 bytes of answer each, but a socket counts some 800 for it, and holds 200 KiB */

struct qtest {
	struct qemu_life *life;
	int fd;
	pthread_mutex_t lock; /* all below, and the order on the socket */
	unsigned posted;      /* writes whose answer has not come */
	unsigned refused;     /* posted writes that QEMU answered with an error */
	/* Called for each line about an interrupt, with the lock held. */
	void (*irq)(void *arg, unsigned line, bool raised);
	void *irq_arg;
	size_t received_bytes;
	char received[4096]; /* what is not yet a whole line */
};

/* @fd stays the caller's. */
int qtest_init(struct qtest *q, int fd, struct qemu_life *life);
void qtest_fini(struct qtest *q);
/* Log what QEMU refused. */
void qtest_report(struct qtest *q);

/* 1, 2, 4 or 8 bytes. All ones when QEMU is gone. */
uint64_t qtest_read(struct qtest *q, enum machine_space space, uint64_t address, unsigned size_bytes);
void qtest_write(struct qtest *q, enum machine_space space, uint64_t address, unsigned size_bytes, uint64_t value);
/* All posted writes were carried out. 0; -ENODEV. */
int qtest_flush(struct qtest *q);
/* Have interrupts of the device at @path reported; once per machine. 0; -ENODEV; -EIO QEMU refuses. */
int qtest_intercept(struct qtest *q, const char *path);
/* Take in what has arrived, without waiting: for a thread that listens. 0; -ENODEV. */
int qtest_drain(struct qtest *q);

int qtest_flush_locked(struct qtest *q);

#endif
