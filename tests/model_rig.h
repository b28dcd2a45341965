/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hand-driven NVMe controller model: the test plays host and driver at once, register by register.
 *
 * Memory is a flat arena that starts at RIG_BASE in the device's addresses. Time stands until the test moves it.
 */
#ifndef TESTS_MODEL_RIG_H
#define TESTS_MODEL_RIG_H

#include "model/block/nvme/nvme_model.h"

#define RIG_BASE        0x100000ull
#define RIG_BYTES       (4u << 20)
#define RIG_PAGE        4096u
#define RIG_ADMIN_DEPTH 8u
#define RIG_QUEUES      5u
#define RIG_NS_BYTES    (1u << 20)
#define RIG_DNR         0x8000u /* in rig_status(): see there */

struct rig_queue {
	uint64_t sq, cq; /* device addresses */
	uint32_t sq_count, cq_count, tail, head;
	bool phase;
};

struct rig {
	struct model_host host; /* first */
	struct nvme_model *n;
	uint8_t *memory;
	uint64_t next_free, page_bytes;
	bool msix_on, refuse_all;
	uint64_t refuse_from, refuse_to; /* an unmapped hole */
	unsigned msix_count[NVME_MODEL_MSIX_MAX];
	bool intx;
	uint64_t now_ns, due_ns;
	bool kicked;
	unsigned notes, refusals;
	struct rig_queue q[RIG_QUEUES];
	uint16_t next_cid;
	unsigned doorbells;     /* writes that the rig made */
	uint64_t shadow, event; /* doorbell buffers in use; 0: none */
};

/* A controller with namespace 1 of RIG_NS_BYTES in memory, 512-byte blocks, and 2 of 4096; not enabled yet. */
void rig_init(struct rig *r, const struct nvme_model_config *config);
void rig_fini(struct rig *r);
/* The host alone, for a model of another kind: memory, interrupts, time. */
void rig_host_init(struct rig *r);
void rig_host_fini(struct rig *r);
/* Zeroed pages of the arena, aligned to the page size in use. */
uint64_t rig_alloc(struct rig *r, size_t len_bytes);
void *rig_at(struct rig *r, uint64_t iova);

uint32_t rig_read32(struct rig *r, uint64_t offset);
void rig_write32(struct rig *r, uint64_t offset, uint32_t value);
void rig_write64(struct rig *r, uint64_t offset, uint64_t value);
/* Run what was kicked. */
void rig_run(struct rig *r);
/* Move time on, firing what falls due. */
void rig_advance(struct rig *r, uint64_t ns);

/* CC.EN with the given page shift; returns CSTS. */
uint32_t rig_enable(struct rig *r, unsigned page_shift);
void rig_disable(struct rig *r);

/* Put an entry into a submission queue; returns its command id. The doorbell is apart. */
uint16_t rig_post(struct rig *r, unsigned qid, struct nvme_sqe *sqe);
void rig_ring(struct rig *r, unsigned qid);
/* Take one completion; false: there is none. The head doorbell is apart. */
bool rig_take(struct rig *r, unsigned qid, struct nvme_cqe *out);
void rig_ring_head(struct rig *r, unsigned qid);
/* All of it: post, ring, take, ring. Fails the test when no completion came. Returns SCT << 8 | SC, with RIG_DNR. */
uint16_t rig_do(struct rig *r, unsigned qid, struct nvme_sqe *sqe, uint32_t *dw0);
uint16_t rig_status(const struct nvme_cqe *cqe);

struct nvme_sqe rig_sqe(uint8_t opcode, uint32_t nsid, uint64_t prp1, uint64_t prp2);
void rig_set(struct nvme_sqe *sqe, unsigned cdw, uint32_t value); /* cdw 10 to 15 */
/* Create a pair of @count entries, no interrupts unless @vector is at least 0. Status of the first failure. */
uint16_t rig_create(struct rig *r, unsigned qid, uint32_t count, int vector);
uint16_t rig_create_at(struct rig *r, unsigned qid, uint32_t count, int vector, uint64_t sq, uint64_t cq);
/* Read or write blocks through PRPs that are made for @iova. */
struct nvme_sqe rig_io(struct rig *r, uint8_t opcode, uint32_t nsid, uint64_t lba, uint32_t count, uint64_t prp1,
		       uint64_t prp2);

#endif
