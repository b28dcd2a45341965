/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device model is given: memory access, interrupts, time, and somebody who calls it.
 *
 * A model is an event-driven state machine with no thread, clock or memory access of its own. Its host calls it: for a
 * register access, when work is pending, and when the time it asked for has come. Natively the host is
 * src/machine/model/; in the deterministic simulation it is the world, where each of these calls is an event and may
 * fail. The host makes sure that only one thread at a time is inside a model.
 */
#ifndef OB_MODEL_HOST_H
#define OB_MODEL_HOST_H

#include <outboard/types.h>

#define MODEL_NEVER UINT64_MAX

struct model_host;

struct model_host_ops {
	/*
	 * DMA. 0, or -EACCES: the bus refused it (bus master off, no grant, beyond a grant); nothing was transferred.
	 * Naturally aligned accesses of 2, 4 and 8 bytes are single.
	 */
	int (*dma_read)(struct model_host *host, uint64_t iova, void *to, size_t len_bytes);
	int (*dma_write)(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes);
	/* Read such a word that the driver may write meanwhile: what it announces is seen by later reads. */
	int (*dma_look)(struct model_host *host, uint64_t iova, void *to, size_t len_bytes);
	/*
	 * A write whose last aligned dword becomes visible after the rest of it and after all earlier DMA writes: an
	 * entry that carries its own valid bit at the end. @len_bytes: a multiple of 4; what is naturally aligned is single.
	 */
	int (*dma_publish)(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes);
	/* Earlier DMA writes are visible before later DMA reads are made. */
	void (*dma_fence)(struct model_host *host);

	/* Message interrupts: is MSI-X on, how many vectors has the function, send one. */
	bool (*msix_enabled)(struct model_host *host);
	void (*msix)(struct model_host *host, unsigned vector);
	/* The level of the interrupt pin. */
	void (*intx)(struct model_host *host, bool level);

	uint64_t (*now_ns)(struct model_host *host);
	/* Call the model's event function at @at_ns; replaces an earlier wish; MODEL_NEVER takes it back. */
	void (*schedule)(struct model_host *host, uint64_t at_ns);
	/* Call the model's run function soon; at once, but not from inside this call, when the host works inline. */
	void (*kick)(struct model_host *host);

	/* Zeroed memory; NULL: none. */
	void *(*alloc)(struct model_host *host, size_t len_bytes);
	void (*free)(struct model_host *host, void *memory);
	/* What the model saw that a driver should not have done, or what happened to it. One line. */
	void (*note)(struct model_host *host, const char *format, ...) OB_PRINTF(2, 3);
};

/* A host embeds it. */
struct model_host {
	const struct model_host_ops *ops;
};

#endif
