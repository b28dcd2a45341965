/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message interrupts as eventfds. Protocol and registers: QEMU's docs/specs/ivshmem-spec, "Client-Server protocol" and
 * "PCI BAR 0 registers". A message is a 64-bit little-endian number, some with a descriptor.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/qemu/ivshmem.h"

#define PROTOCOL_VERSION 0
#define SHARED_MEMORY    (-1) /* instead of a peer's number */
#define DOORBELL_OFFSET  12   /* WO 4B: peer << 16 | vector */
#define GROW_COUNT       16   /* vectors are made known in groups: each costs a descriptor here and in QEMU */

static int say(int fd, int64_t number, int pass_fd, uint64_t deadline_ns)
{
	ob_le64 message = ob_cpu_to_le64((uint64_t)number);

	return io_send_fd(fd, &message, sizeof(message), pass_fd, deadline_ns);
}

int ivshmem_greet(int fd, uint64_t deadline_ns)
{
	int memory_fd, ret;

	/* The device wants shared memory; nobody uses it. */
	ret = io_memory_file("ob-ivshmem", 4096, &memory_fd);
	if (ret < 0)
		return ret;
	ret = say(fd, PROTOCOL_VERSION, -1, deadline_ns);
	if (ret == 0)
		ret = say(fd, IVSHMEM_PEER_QEMU, -1, deadline_ns);
	if (ret == 0)
		ret = say(fd, SHARED_MEMORY, memory_fd, deadline_ns);
	io_close(&memory_fd);
	return ret;
}

int ivshmem_succeed(int fd, unsigned peer, uint64_t deadline_ns)
{
	/* A peer's number without a descriptor: that peer has left. */
	return say(fd, peer, -1, deadline_ns);
}

int ivshmem_init(struct ivshmem *iv, int fd, struct qtest *qtest)
{
	*iv = (struct ivshmem){.fd = fd, .qtest = qtest};
	for (unsigned i = 0; i < IVSHMEM_VECTORS; i++)
		iv->vector_fd[i] = -1;
	return -pthread_mutex_init(&iv->lock, NULL);
}

void ivshmem_fini(struct ivshmem *iv)
{
	for (unsigned i = 0; i < IVSHMEM_VECTORS; i++)
		io_close(&iv->vector_fd[i]);
	pthread_mutex_destroy(&iv->lock);
}

void ivshmem_start(struct ivshmem *iv, uint64_t bar, unsigned peer)
{
	iv->peer = peer;
	iv->doorbell = bar + DOORBELL_OFFSET;
}

/*
 * QEMU takes one message per turn of its loop, at its leisure, and says nothing about it. So ring the last vector until
 * it answers: the earlier ones are known then, too.
 */
static int prove(struct ivshmem *iv, unsigned vector)
{
	uint64_t deadline_ns = ob_deadline(iv->qtest->life->wait_ns);
	int ret;

	for (;;) {
		qtest_write(iv->qtest, MACHINE_SPACE_MEMORY, iv->doorbell, 4, iv->peer << 16 | vector);
		ret = qtest_flush(iv->qtest);
		if (ret < 0)
			return ret;
		/* As QEMU takes the descriptor in, it makes it blocking for a moment, for us too: look before reading. */
		if (io_wait(iv->vector_fd[vector], POLLIN, 0) == 0 && io_event_take(iv->vector_fd[vector]))
			return 0;
		if (ob_now_ns() >= deadline_ns) {
			ob_err(iv->qtest->life->machine->ob, "qemu: message interrupt %u does not arrive", vector);
			return -EOPNOTSUPP;
		}
	}
}

/* Have QEMU know the vectors below @count. Lock held. */
static int grow(struct ivshmem *iv, unsigned count)
{
	uint64_t deadline_ns = ob_deadline(iv->qtest->life->wait_ns);
	int ret;

	while (iv->sent_count < count) {
		int *fd = &iv->vector_fd[iv->sent_count];

		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fd < 0)
			return -errno;
		ret = say(iv->fd, iv->peer, *fd, deadline_ns);
		if (ret < 0) {
			io_close(fd);
			return ret;
		}
		iv->sent_count++;
	}
	ret = prove(iv, iv->sent_count - 1);
	if (ret == 0)
		iv->count = iv->sent_count;
	return ret;
}

/* The first of @count free vectors, aligned for plain MSI: the device replaces the low bits of the data. */
static int find_contiguous(const struct ivshmem *iv, unsigned count, unsigned *first)
{
	unsigned step = 1;

	while (step < count)
		step *= 2;
	for (unsigned start = 0; start + count <= IVSHMEM_VECTORS; start += step) {
		unsigned n = 0;

		while (n < count && !iv->used[start + n])
			n++;
		if (n == count) {
			*first = start;
			return 0;
		}
	}
	return -ENOSPC;
}

/* Which vectors it will be. 0; -ENOSPC. */
static int choose(const struct ivshmem *iv, unsigned count, bool contiguous, unsigned *chosen)
{
	unsigned n = 0, first;

	if (contiguous) {
		if (find_contiguous(iv, count, &first) < 0)
			return -ENOSPC;
		while (n < count) {
			chosen[n] = first + n;
			n++;
		}
		return 0;
	}
	for (unsigned i = 0; i < IVSHMEM_VECTORS && n < count; i++)
		if (!iv->used[i])
			chosen[n++] = i;
	return n == count ? 0 : -ENOSPC;
}

int ivshmem_alloc(struct ivshmem *iv, unsigned count, bool contiguous, struct machine_msi *out)
{
	unsigned chosen[IVSHMEM_VECTORS];
	int ret;

	if (iv->fd < 0 || (contiguous && iv->peer != 0))
		return -EOPNOTSUPP;
	if (count == 0 || count > IVSHMEM_VECTORS)
		return -ENOSPC;
	pthread_mutex_lock(&iv->lock);
	ret = choose(iv, count, contiguous, chosen);
	if (ret == 0 && chosen[count - 1] >= iv->count)
		ret = grow(iv, ALIGN_UP(chosen[count - 1] + 1, (unsigned)GROW_COUNT));
	for (unsigned i = 0; ret == 0 && i < count; i++) {
		iv->used[chosen[i]] = true;
		(void)io_event_take(iv->vector_fd[chosen[i]]); /* what its last owner left */
		out[i] = (struct machine_msi){
			.fd = iv->vector_fd[chosen[i]],
			.program = true,
			.address = iv->doorbell,
			.data = iv->peer << 16 | chosen[i],
		};
	}
	pthread_mutex_unlock(&iv->lock);
	return ret;
}

void ivshmem_free(struct ivshmem *iv, unsigned count, struct machine_msi *msi)
{
	pthread_mutex_lock(&iv->lock);
	for (unsigned i = 0; i < count; i++) {
		iv->used[msi[i].data & (IVSHMEM_VECTORS - 1)] = false;
		msi[i] = (struct machine_msi){.fd = -1};
	}
	pthread_mutex_unlock(&iv->lock);
}
