/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The admin queue: commands that tasks on CPU 0 wait for, and async event requests that nobody waits for.
 * NVM Express 1.4 clause 5.
 *
 * Completions come by interrupt; every wait also looks for itself now and then, which serves machines without
 * interrupts and interrupts that got lost. A command that is given up leaves its buffer with its slot: it is freed when
 * the device has answered or is quiet.
 */
#include <errno.h>

#include "drivers/block/nvme/nvme.h"

#define LOOK_NS       (20 * OB_NS_PER_MS) /* with interrupts */
#define LOOK_MIN_NS   (20 * OB_NS_PER_US) /* without, growing */
#define LOOK_MAX_NS   OB_NS_PER_MS
#define STATUS_NS     (100 * OB_NS_PER_MS) /* between looks at CSTS */
#define SLOT_WAIT_NS  OB_NS_PER_MS
#define RESET_WAIT_NS (5 * OB_NS_PER_MS)

int nvme_admin_init(struct nvme *n)
{
	int ret = nvme_ring_init(n, &n->admin.ring, 0, NVME_ADMIN_ENTRIES);

	if (ret != 0)
		return ret;
	for (unsigned i = 0; i < NVME_ADMIN_SLOTS; i++)
		n->admin.slots[i].expect = i;
	return 0;
}

/* The next command in the slot has another id. */
static void slot_free(struct nvme_admin_slot *slot)
{
	slot->cmd = NULL;
	slot->busy = false;
	slot->expect = (slot->expect + NVME_CID_STEP) & NVME_CID;
}

void nvme_admin_fini(struct nvme *n)
{
	for (unsigned i = 0; i < NVME_ADMIN_SLOTS; i++)
		ob_dma_free(n->dev, &n->admin.slots[i].data);
	nvme_ring_fini(n, &n->admin.ring);
}

/* ---- interrupts ---- */

static enum ob_irq_result admin_hard(void *arg)
{
	return OB_IRQ_SOFT;
}

static bool any_pending(const struct nvme *n)
{
	bool pending = nvme_ring_pending(&n->admin.ring);

	for (unsigned i = 0; i < NVME_SHARED_MAX; i++) {
		const struct nvme_queue *q = OB_READ_ONCE(n->shared[i]);

		pending |= q != NULL && nvme_ring_pending(&q->ring);
	}
	return pending;
}

/* A level-triggered line is shared: it is ours only when there is a completion. It is masked until that is taken. */
static enum ob_irq_result admin_hard_intx(void *arg)
{
	struct nvme *n = arg;

	if (!any_pending(n))
		return OB_IRQ_NONE;
	ob_mmio_write32(&n->regs, NVME_INTMS, BIT(0));
	return OB_IRQ_SOFT;
}

static void admin_soft(void *arg)
{
	struct nvme *n = arg;

	nvme_admin_poll(n);
	for (unsigned i = 0; i < NVME_SHARED_MAX; i++)
		if (n->shared[i] != NULL && n->shared[i]->polling)
			ob_poll_schedule(&n->shared[i]->poll);
}

/* Completions that nobody takes now. */
static bool any_held(const struct nvme *n)
{
	for (unsigned i = 0; i < NVME_SHARED_MAX; i++) {
		const struct nvme_queue *q = n->shared[i];

		if (q != NULL && q->state != NVME_QUEUE_LIVE && nvme_ring_pending(&q->ring))
			return true;
	}
	return false;
}

/* Whoever waits has to look for himself from now on. */
static void wake_waiters(struct nvme *n)
{
	for (unsigned i = 0; i < NVME_ADMIN_SLOTS; i++) {
		struct nvme_command *cmd = n->admin.slots[i].cmd;

		if (n->admin.slots[i].busy && cmd != NULL && cmd->done == NULL)
			ob_event_signal(&cmd->event);
	}
}

static void admin_soft_intx(void *arg)
{
	struct nvme *n = arg;
	bool was_masked = n->admin.masked;

	nvme_admin_poll(n);
	for (unsigned i = 0; i < NVME_SHARED_MAX; i++) {
		struct nvme_queue *q = n->shared[i];

		if (q != NULL && q->polling && q->state == NVME_QUEUE_LIVE)
			nvme_queue_take(q, q->ring.mask + 1);
	}
	/*
	 * The level drops once the head doorbells have arrived; the writes go the same way, in order. A queue that is
	 * frozen or closing keeps it up: then it stays masked until the queue is gone or the controller was reset, and
	 * waits for admin commands look for themselves.
	 */
	n->admin.masked = any_held(n);
	if (n->admin.masked && !was_masked)
		wake_waiters(n);
	/* A controller that is disabled has nothing masked, and one without power no registers. */
	if (!n->admin.masked && !n->quiet)
		ob_mmio_write32(&n->regs, NVME_INTMC, BIT(0));
}

bool nvme_admin_share_irq(struct nvme *n, struct nvme_queue *q)
{
	if (n->vector_count == 0 || q->cpu != n->cpu)
		return false;
	for (unsigned i = 0; i < NVME_SHARED_MAX; i++) {
		if (n->shared[i] != NULL)
			continue;
		OB_WRITE_ONCE(n->shared[i], q);
		return true;
	}
	return false;
}

void nvme_admin_unshare_irq(struct nvme *n, struct nvme_queue *q)
{
	for (unsigned i = 0; i < NVME_SHARED_MAX; i++)
		if (n->shared[i] == q)
			OB_WRITE_ONCE(n->shared[i], NULL);
	if (n->admin.masked && !nvme_is_gone(n)) {
		n->admin.masked = false;
		ob_mmio_write32(&n->regs, NVME_INTMC, BIT(0));
	}
}

int nvme_admin_start_irq(struct nvme *n)
{
	bool intx = n->irq_kind == OB_IRQ_INTX;
	struct ob_irq_config config = {
		.name = n->name,
		.cpu = n->cpu,
		.hard = intx ? admin_hard_intx : admin_hard,
		.soft = intx ? admin_soft_intx : admin_soft,
		.arg = n,
	};

	n->admin.polled = n->vector_count == 0;
	if (n->admin.polled)
		return 0;
	return ob_irq_request(n->dev, 0, &config, &n->admin.irq);
}

/* The handler of a shared line looks into the rings, and may be called for others while ours are cleared. */
void nvme_admin_hold_irq(struct nvme *n, bool hold)
{
	if (n->admin.irq == NULL)
		return;
	if (hold)
		ob_irq_mask(n->admin.irq);
	else
		ob_irq_unmask(n->admin.irq);
}

void nvme_admin_stop_irq(struct nvme *n)
{
	ob_irq_free(n->admin.irq);
	n->admin.irq = NULL;
}

/* ---- completions ---- */

static void command_end(struct nvme *n, struct nvme_command *cmd, int error)
{
	cmd->error = error;
	cmd->taken = false;
	cmd->ended = true;
	if (cmd->done != NULL)
		cmd->done(n, cmd);
	else
		ob_event_signal(&cmd->event);
}

static void admin_stray(struct nvme *n, uint32_t cid)
{
	n->admin.strays++;
	ob_warn(n->ob, "%s admin queue: a completion for id %#x, which is not in flight, is dropped", n->name, cid);
	if (n->admin.strays % NVME_STRAYS_MAX == 0)
		nvme_want_reset(n, "too many completions of admin commands that are not in flight");
}

static void admin_take(struct nvme *n, const struct nvme_cqe *cqe, uint16_t field)
{
	uint32_t cid = ob_le16_load(&cqe->cid);
	uint32_t result = ob_le32_load(&cqe->dw0);
	unsigned index = FIELD_GET(NVME_TAG, cid);
	struct nvme_admin_slot *slot = &n->admin.slots[MIN(index, NVME_ADMIN_SLOTS - 1)];
	struct nvme_command *cmd = slot->cmd;

	if (index >= NVME_ADMIN_SLOTS || !slot->busy || slot->expect != cid) {
		admin_stray(n, cid);
		return;
	}
	OB_TRACE(n->cpu, OB_TRACE_NVME_COMPLETE, 0, cid, NVME_CQE_STATUS(field));
	slot_free(slot);
	if (cmd == NULL)
		return; /* given up; slot->data is freed by the next task that comes along */
	cmd->result = result;
	cmd->field = field & (uint16_t)~NVME_CQE_P;
	cmd->status = NVME_CQE_STATUS(field);
	command_end(n, cmd, 0);
}

unsigned nvme_admin_poll(struct nvme *n)
{
	struct nvme_ring *r = &n->admin.ring;
	unsigned done = 0;

	/* At most one round, whatever the device writes meanwhile. */
	while (done <= r->mask && nvme_ring_pending(r)) {
		const struct nvme_cqe *cqe = &r->cq[r->cq_pos & r->mask];
		uint16_t field = ob_le16_load(&cqe->status);

		/* The phase before the rest of the entry, and before the data (§4.6). */
		ob_dma_rmb();
		OB_WRITE_ONCE(r->cq_pos, r->cq_pos + 1);
		done++;
		admin_take(n, cqe, field);
	}
	if (done > 0)
		nvme_ring_ack(r);
	return done;
}

void nvme_admin_cancel(struct nvme *n, int error)
{
	for (unsigned i = 0; i < NVME_ADMIN_SLOTS; i++) {
		struct nvme_admin_slot *slot = &n->admin.slots[i];
		struct nvme_command *cmd = slot->cmd;

		if (slot->busy) {
			slot_free(slot);
			if (cmd != NULL)
				command_end(n, cmd, error);
		}
		ob_dma_free(n->dev, &slot->data);
	}
}

/* ---- commands ---- */

static int slot_find(struct nvme *n)
{
	for (unsigned i = 0; i < NVME_ADMIN_SLOTS; i++) {
		struct nvme_admin_slot *slot = &n->admin.slots[i];

		if (slot->busy)
			continue;
		ob_dma_free(n->dev, &slot->data);
		return (int)i;
	}
	return -EBUSY;
}

int nvme_admin_post(struct nvme *n, struct nvme_command *cmd)
{
	struct nvme_ring *r = &n->admin.ring;
	struct nvme_sqe *sqe = &r->sq[r->sq_tail];
	struct nvme_admin_slot *slot;
	int index;

	if (nvme_is_gone(n) || n->state == NVME_DEAD || n->ending)
		return -ENODEV;
	index = slot_find(n);
	if (index < 0)
		return index;
	slot = &n->admin.slots[index];
	ob_le32_store(&sqe->cdw0, FIELD_PREP(NVME_CDW0_CID, slot->expect) | cmd->opcode);
	ob_le32_store(&sqe->nsid, cmd->nsid);
	ob_le32_store(&sqe->cdw2, 0);
	ob_le32_store(&sqe->cdw3, 0);
	ob_le64_store(&sqe->mptr, 0);
	ob_le64_store(&sqe->prp1, cmd->prp1);
	ob_le64_store(&sqe->prp2, cmd->prp2);
	ob_le32_store(&sqe->cdw10, cmd->cdw10);
	ob_le32_store(&sqe->cdw11, cmd->cdw11);
	ob_le32_store(&sqe->cdw12, cmd->cdw12);
	ob_le32_store(&sqe->cdw13, cmd->cdw13);
	ob_le32_store(&sqe->cdw14, cmd->cdw14);
	ob_le32_store(&sqe->cdw15, cmd->cdw15);
	r->sq_tail = (r->sq_tail + 1) & r->mask;
	slot->cmd = cmd;
	slot->busy = true;
	cmd->slot = (unsigned)index;
	cmd->taken = true;
	cmd->ended = false;
	cmd->result = 0;
	cmd->status = 0;
	cmd->field = 0;
	OB_TRACE(n->cpu, OB_TRACE_NVME_SUBMIT, 0, slot->expect, cmd->opcode);
	nvme_ring_kick(r);
	return 0;
}

bool nvme_is_online(const struct nvme *n)
{
	if (!ob_device_get_online(n->dev))
		return false;
	ob_device_put_online(n->dev);
	return true;
}

/*
 * While a reset runs, only its own task may use the queue; while the controller is suspended, nobody. A slot may have to
 * come free first.
 */
static int admin_post_waiting(struct nvme *n, struct nvme_command *cmd, uint64_t deadline_ns)
{
	for (;;) {
		bool foreign = n->state == NVME_SUSPENDED ||
			       (n->reset_task != NULL && n->reset_task != ob_task_current());
		int ret = foreign ? -EBUSY : nvme_admin_post(n, cmd);
		uint64_t now = ob_now_ns();

		if (ret != -EBUSY)
			return ret;
		if (nvme_is_gone(n) || n->ending || (foreign && n->stopping) || (cmd->user && !nvme_is_online(n)))
			return -ENODEV;
		if (now >= deadline_ns)
			return -EBUSY;
		ob_task_sleep(MIN(deadline_ns, now + (foreign ? RESET_WAIT_NS : SLOT_WAIT_NS)));
		nvme_admin_poll(n);
	}
}

/* Nobody answers in time. The device still has the command, and its buffer. */
static int command_give_up(struct nvme *n, struct nvme_command *cmd)
{
	struct nvme_admin_slot *slot = &n->admin.slots[cmd->slot];
	uint32_t csts;

	slot->cmd = NULL;
	slot->data = cmd->data;
	cmd->data = (struct ob_dma){0};
	cmd->taken = false;
	if (nvme_read_status(n, &csts) != 0 || (cmd->user && !nvme_is_online(n)))
		return -ENODEV;
	/* Not -ENODEV: what the command is about stays with the device until that is quiet. */
	if (n->ending)
		return -ETIMEDOUT;
	ob_err(n->ob, "%s admin queue: command %02xh did not end in time%s", n->name, cmd->opcode,
	       (csts & NVME_CSTS_CFS) != 0 ? ", fatal status" : "");
	if (n->state == NVME_LIVE)
		nvme_want_reset(n, "an admin command did not end");
	return -ETIMEDOUT;
}

/* It will not answer any more: no need to wait for as long as an answer may take. */
static bool is_fatal(struct nvme *n)
{
	uint32_t csts;

	return nvme_read_status(n, &csts) != 0 || (csts & NVME_CSTS_CFS) != 0;
}

/* How long to sleep before the next look, after one of @look_ns; 0: the first. */
static uint64_t next_look_ns(const struct nvme *n, uint64_t look_ns)
{
	if (!n->admin.polled && !n->admin.masked)
		return LOOK_NS;
	return look_ns == 0 || look_ns == LOOK_NS ? LOOK_MIN_NS : MIN(look_ns * 2, LOOK_MAX_NS);
}

int nvme_admin_run(struct nvme *n, struct nvme_command *cmd, uint64_t deadline_ns)
{
	uint64_t look_ns = 0;
	uint64_t status_ns = ob_deadline(STATUS_NS);
	int ret;

	ob_event_init(&cmd->event, n->cpu);
	ret = admin_post_waiting(n, cmd, deadline_ns);
	if (ret != 0)
		return ret;
	for (;;) {
		uint64_t now = ob_now_ns();

		look_ns = next_look_ns(n, look_ns);
		ret = ob_event_wait(&cmd->event, MIN(deadline_ns, now + look_ns));
		if (!cmd->ended && nvme_admin_poll(n) > 0 && cmd->ended && look_ns == LOOK_NS && ret != 0)
			n->admin.lost_interrupts++;
		if (cmd->ended)
			return cmd->error;
		if (nvme_is_gone(n) || n->ending || now >= deadline_ns || (cmd->user && !nvme_is_online(n)) ||
		    (now >= status_ns && is_fatal(n)))
			return command_give_up(n, cmd);
		if (now >= status_ns)
			status_ns = now + STATUS_NS;
	}
}

int nvme_admin_do(struct nvme *n, struct nvme_command *cmd, const char *what)
{
	int ret = nvme_admin_run(n, cmd, ob_deadline(NVME_ADMIN_TIMEOUT_NS));

	if (ret == 0 && cmd->status != 0) {
		ob_err(n->ob, "%s: %s: %s (%03x)", n->name, what, ob_nvme_status_text(cmd->status), cmd->status);
		return nvme_status_error(cmd->status);
	}
	if (ret != 0 && ret != -ENODEV)
		ob_err(n->ob, "%s: %s failed: %s", n->name, what, nvme_answer_text(ret, 0));
	return ret;
}

/* ---- data ---- */

/* The data's pages, and after them a page for the PRP list when there are more than two. */
static int data_alloc(struct nvme *n, struct nvme_command *cmd, size_t len_bytes)
{
	size_t pages = DIV_ROUND_UP(len_bytes, NVME_PAGE_BYTES);
	size_t total = (pages > 2 ? pages + 1 : pages) * NVME_PAGE_BYTES;
	int ret = ob_dma_alloc(n->dev, total, NVME_PAGE_BYTES, &cmd->data);
	ob_le64 *list;

	if (ret != 0)
		return ret;
	cmd->prp1 = cmd->data.iova.addr;
	cmd->prp2 = pages == 2 ? cmd->prp1 + NVME_PAGE_BYTES : 0;
	if (pages <= 2)
		return 0;
	list = (ob_le64 *)(void *)((uint8_t *)cmd->data.base + pages * NVME_PAGE_BYTES);
	for (size_t i = 1; i < pages; i++)
		ob_le64_store(&list[i - 1], cmd->prp1 + i * NVME_PAGE_BYTES);
	cmd->prp2 = cmd->prp1 + pages * NVME_PAGE_BYTES;
	return 0;
}

int nvme_admin_run_data(struct nvme *n, struct nvme_command *cmd, void *buffer, size_t len_bytes, bool to_device,
			uint64_t deadline_ns)
{
	int ret;

	if (len_bytes == 0 || len_bytes > NVME_ADMIN_DATA_MAX)
		return -EINVAL;
	ret = data_alloc(n, cmd, len_bytes);
	if (ret != 0)
		return ret;
	if (to_device)
		ob_dma_copy(cmd->data.base, buffer, len_bytes);
	ret = nvme_admin_run(n, cmd, deadline_ns);
	if (ret == 0 && cmd->status == 0 && !to_device)
		ob_dma_copy(buffer, cmd->data.base, len_bytes);
	/* Empty when the device still has it. */
	ob_dma_free(n->dev, &cmd->data);
	return ret;
}

int nvme_identify(struct nvme *n, unsigned cns, uint32_t nsid, void *buffer, uint16_t *status)
{
	struct nvme_command cmd = {
		.opcode = NVME_ADMIN_IDENTIFY,
		.nsid = nsid,
		.cdw10 = FIELD_PREP(NVME_IDENTIFY_CNS, cns),
	};
	int ret = nvme_admin_run_data(n, &cmd, buffer, NVME_IDENTIFY_DATA_BYTES, false,
				      ob_deadline(NVME_ADMIN_TIMEOUT_NS));

	if (status != NULL)
		*status = cmd.status;
	return ret != 0 ? ret : nvme_status_error(cmd.status);
}

struct nvme_command nvme_log_command(uint8_t page, uint32_t nsid, uint64_t offset, size_t len_bytes)
{
	uint32_t dwords = (uint32_t)(len_bytes / 4 - 1);

	return (struct nvme_command){
		.opcode = NVME_ADMIN_GET_LOG_PAGE,
		.nsid = nsid,
		.cdw10 = FIELD_PREP(NVME_LOG_LID, page) | FIELD_PREP(NVME_LOG_NUMDL, dwords & 0xffff),
		.cdw11 = FIELD_PREP(NVME_LOG_NUMDU, dwords >> 16),
		.cdw12 = (uint32_t)offset,
		.cdw13 = (uint32_t)(offset >> 32),
	};
}

int nvme_get_log(struct nvme *n, uint8_t page, uint32_t nsid, uint64_t offset, void *buffer, size_t len_bytes,
		 uint16_t *status)
{
	struct nvme_command cmd = nvme_log_command(page, nsid, offset, len_bytes);
	int ret;

	if (len_bytes == 0 || len_bytes % 4 != 0 || offset % 4 != 0)
		return -EINVAL;
	ret = nvme_admin_run_data(n, &cmd, buffer, len_bytes, false, ob_deadline(NVME_ADMIN_TIMEOUT_NS));
	if (status != NULL)
		*status = cmd.status;
	return ret != 0 ? ret : nvme_status_error(cmd.status);
}
