/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message interrupts as eventfds, by way of QEMU's ivshmem-doorbell device.
 *
 * A write to that device's doorbell register rings another process: here, us. So a device whose MSI or MSI-X address is
 * the doorbell rings one of our eventfds. We play the server of the ivshmem protocol and peer 0, so that the data is
 * the vector's number and fits into plain MSI's 16 bits; QEMU is peer 1.
 */
#ifndef OB_MACHINE_QEMU_IVSHMEM_H
#define OB_MACHINE_QEMU_IVSHMEM_H

#include <pthread.h>

#include "machine/qemu/qtest.h"

#define IVSHMEM_VECTORS    256 /* the doorbell takes 8 bits of vector */
#define IVSHMEM_PEER_FIRST 0
#define IVSHMEM_PEER_QEMU  1
#define IVSHMEM_PEER_MAX   0xfffe

struct ivshmem {
	struct qtest *qtest;
	int fd;            /* the server's connection; -1: no message interrupts */
	uint64_t doorbell; /* address of the register */
	unsigned peer;     /* which one we are */
	pthread_mutex_t lock;
	unsigned sent_count; /* vectors that were told to QEMU */
	unsigned count;      /* of these, known to work */
	int vector_fd[IVSHMEM_VECTORS];
	bool used[IVSHMEM_VECTORS];
};

/* @fd stays the caller's. */
int ivshmem_init(struct ivshmem *iv, int fd, struct qtest *qtest);
void ivshmem_fini(struct ivshmem *iv);
/* What a server says first; QEMU's device waits for it as it comes up. 0; -ENODEV; -ETIMEDOUT; -EMFILE. */
int ivshmem_greet(int fd, uint64_t deadline_ns);
/*
 * To a QEMU that was greeted before, by a process that has left: forget that one's vectors. QEMU 7.2 crashes when a peer
 * returns, so each one needs a number of its own.
 */
int ivshmem_succeed(int fd, unsigned peer, uint64_t deadline_ns);
/* From here on vectors can be had: the device's registers are at @bar, and we are @peer. */
void ivshmem_start(struct ivshmem *iv, uint64_t bar, unsigned peer);
/* @contiguous: consecutive, and aligned as plain MSI asks, which -EOPNOTSUPP is about, too. 0; -ENOSPC; -EOPNOTSUPP;
 * -ENODEV; -EMFILE. */
int ivshmem_alloc(struct ivshmem *iv, unsigned count, bool contiguous, struct machine_msi *out);
void ivshmem_free(struct ivshmem *iv, unsigned count, struct machine_msi *msi);

#endif
