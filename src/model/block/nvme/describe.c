/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller in words: what state it is in, and what it calls its registers and the memory of its queues. For who
 * reads a report; nothing here changes anything.
 */
#include <assert.h>

#include "model/block/nvme/controller.h"
#include "model/words.h"

/* ---- names ---- */

const char *nvme_model_command_name(unsigned sqid, uint8_t opcode)
{
	static const char *const admin[256] = {
		[NVME_ADMIN_DELETE_SQ] = "delete SQ",
		[NVME_ADMIN_CREATE_SQ] = "create SQ",
		[NVME_ADMIN_GET_LOG_PAGE] = "get log page",
		[NVME_ADMIN_DELETE_CQ] = "delete CQ",
		[NVME_ADMIN_CREATE_CQ] = "create CQ",
		[NVME_ADMIN_IDENTIFY] = "identify",
		[NVME_ADMIN_ABORT] = "abort",
		[NVME_ADMIN_SET_FEATURES] = "set features",
		[NVME_ADMIN_GET_FEATURES] = "get features",
		[NVME_ADMIN_ASYNC_EVENT] = "async event request",
		[NVME_ADMIN_NAMESPACE_MANAGE] = "namespace management",
		[NVME_ADMIN_FIRMWARE_COMMIT] = "firmware commit",
		[NVME_ADMIN_FIRMWARE_DOWNLOAD] = "firmware download",
		[NVME_ADMIN_NAMESPACE_ATTACH] = "namespace attachment",
		[NVME_ADMIN_DOORBELL_BUFFER] = "doorbell buffer config",
		[NVME_ADMIN_FORMAT] = "format",
	};
	static const char *const io[256] = {
		[NVME_CMD_FLUSH] = "flush",
		[NVME_CMD_WRITE] = "write",
		[NVME_CMD_READ] = "read",
		[NVME_CMD_COMPARE] = "compare",
		[NVME_CMD_WRITE_ZEROES] = "write zeroes",
		[NVME_CMD_DSM] = "dataset management",
	};
	const char *name = sqid == 0 ? admin[opcode] : io[opcode];

	return name != NULL ? name : "unknown command";
}

static bool name_register(struct words *w, const struct nvme_model *n, uint64_t offset)
{
	static const struct {
		uint32_t offset;
		const char *name;
	} registers[] = {
		{NVME_CAP, "CAP"},       {NVME_CAP + 4, "CAP high"},
		{NVME_VS, "VS"},         {NVME_INTMS, "INTMS"},
		{NVME_INTMC, "INTMC"},   {NVME_CC, "CC"},
		{NVME_CSTS, "CSTS"},     {NVME_AQA, "AQA"},
		{NVME_ASQ, "ASQ"},       {NVME_ASQ + 4, "ASQ high"},
		{NVME_ACQ, "ACQ"},       {NVME_ACQ + 4, "ACQ high"},
		{NVME_CMBLOC, "CMBLOC"}, {NVME_CMBSZ, "CMBSZ"},
		{NVME_CMBMSC, "CMBMSC"}, {NVME_CMBMSC + 4, "CMBMSC high"},
		{NVME_CMBSTS, "CMBSTS"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
		if (registers[i].offset != offset)
			continue;
		say(w, "%s", registers[i].name);
		return true;
	}
	if (offset >= NVME_MODEL_MSIX_PBA) {
		say(w, "MSI-X PBA");
	} else if (offset >= NVME_MODEL_MSIX_TABLE) {
		say(w, "MSI-X vector %u", (unsigned)(offset - NVME_MODEL_MSIX_TABLE) / 16);
	} else if (offset >= NVME_DBS) {
		unsigned index = (unsigned)(offset - NVME_DBS) >> (2 + n->config.doorbell_stride);

		say(w, index % 2 != 0 ? "CQ%u head" : "SQ%u tail", index / 2);
	} else {
		return false;
	}
	return true;
}

static bool is_in(uint64_t iova, uint64_t base, uint64_t len_bytes)
{
	return base != 0 && iova >= base && iova - base < len_bytes;
}

static void name_entry(struct words *w, const char *queue, unsigned qid, uint64_t offset, unsigned shift)
{
	unsigned within = (unsigned)(offset & ((1u << shift) - 1));

	say(w, "%s%u[%u]", queue, qid, (unsigned)(offset >> shift));
	if (within != 0)
		say(w, "+%u", within);
}

static void name_doorbell(struct words *w, const char *what, uint64_t offset, unsigned stride)
{
	unsigned index = (unsigned)(offset >> (2 + stride));

	say(w, index % 2 != 0 ? "%s of CQ%u's head" : "%s of SQ%u's tail", what, index / 2);
}

static bool name_queue_memory(struct words *w, const struct nvme_model *n, uint64_t iova, bool exists)
{
	for (unsigned i = 0; i < QUEUE_COUNT; i++) {
		const struct nvme_sq *sq = &n->sq[i];
		const struct nvme_cq *cq = &n->cq[i];

		if (sq->exists == exists && is_in(iova, sq->base, (uint64_t)sq->entry_count << NVME_SQE_SHIFT)) {
			name_entry(w, "SQ", i, iova - sq->base, NVME_SQE_SHIFT);
			return true;
		}
		if (cq->exists == exists && is_in(iova, cq->base, (uint64_t)cq->entry_count << NVME_CQE_SHIFT)) {
			name_entry(w, "CQ", i, iova - cq->base, NVME_CQE_SHIFT);
			return true;
		}
	}
	return false;
}

/* A queue that is gone keeps its name, unless another has its memory: what is asked for may be of that time. */
bool nvme_model_memory_name(const struct nvme_model *n, uint64_t iova, char *text, size_t size)
{
	struct words w = {text, size};

	if (name_queue_memory(&w, n, iova, true) || name_queue_memory(&w, n, iova, false))
		return true;
	if (is_in(iova, n->shadow_base, page_bytes(n)))
		name_doorbell(&w, "shadow", iova - n->shadow_base, n->config.doorbell_stride);
	else if (is_in(iova, n->event_base, page_bytes(n)))
		name_doorbell(&w, "event index", iova - n->event_base, n->config.doorbell_stride);
	else
		return false;
	return true;
}

bool nvme_model_register_name(const struct nvme_model *n, unsigned bar, uint64_t offset, char *text, size_t size)
{
	struct words w = {text, size};

	if (bar == NVME_PCI_BAR)
		return name_register(&w, n, offset);
	if (bar != NVME_MODEL_CMB_BAR || n->cmb == NULL)
		return false;
	if (!nvme_model_memory_name(n, nvme_model_cmb_base(n) + offset, text, size))
		say(&w, "CMB at %#llx", (unsigned long long)offset);
	return true;
}

/* ---- states: what a controller may be in, as a small number ---- */

enum mode {
	MODE_DISABLED,
	MODE_STARTING,
	MODE_READY,
	MODE_SHUTTING_DOWN,
	MODE_SHUT_DOWN,
	MODE_FATAL,
	MODE_COUNT
};

#define FEW 3 /* none, one, more */

static_assert(MODE_COUNT * FEW * FEW * 2 * 2 <= NVME_MODEL_STATES, "states");

static enum mode mode_of(const struct nvme_model *n)
{
	if ((n->csts & NVME_CSTS_CFS) != 0)
		return MODE_FATAL;
	switch (FIELD_GET(NVME_CSTS_SHST, n->csts)) {
	case NVME_CSTS_SHST_RUNNING:
		return MODE_SHUTTING_DOWN;
	case NVME_CSTS_SHST_COMPLETE:
		return MODE_SHUT_DOWN;
	default:
		break;
	}
	if ((n->cc & NVME_CC_EN) == 0)
		return MODE_DISABLED;
	return (n->csts & NVME_CSTS_RDY) != 0 ? MODE_READY : MODE_STARTING;
}

unsigned nvme_model_state(const struct nvme_model *n)
{
	unsigned state = (unsigned)mode_of(n);

	state = state * FEW + MIN(n->cq_end > 0 ? n->cq_end - 1 : 0, FEW - 1u);
	state = state * FEW + MIN(n->in_flight, FEW - 1u);
	state = state * 2 + (n->async_count > 0);
	return state * 2 + (n->shadow_base != 0);
}

void nvme_model_state_name(unsigned state, char *text, size_t size)
{
	static const char *const modes[MODE_COUNT] = {"disabled",      "starting",  "ready",
						      "shutting down", "shut down", "fatal"};
	static const char *const few[FEW] = {"no", "one", "several"};
	struct words w = {text, size};
	bool shadow = state % 2 != 0, async = state / 2 % 2 != 0;
	unsigned flight = state / 4 % FEW, queues = state / (4 * FEW) % FEW, mode = state / (4 * FEW * FEW);

	say(&w, "%s", mode < MODE_COUNT ? modes[mode] : "?");
	if (mode == MODE_DISABLED)
		return;
	say(&w, ", %s I/O queue%s, %s command%s in flight%s%s", few[queues], queues == 1 ? "" : "s", few[flight],
	    flight == 1 ? "" : "s", async ? ", an event request waits" : "", shadow ? ", shadow doorbells" : "");
}

/* ---- all of it ---- */

static unsigned list_count(const struct list *head)
{
	unsigned count = 0;

	for (const struct list *node = head->next; node != head && count < SLOT_COUNT; node = node->next)
		count++;
	return count;
}

static void describe_queue(struct words *w, const struct nvme_model *n, unsigned i)
{
	const struct nvme_sq *sq = &n->sq[i];
	const struct nvme_cq *cq = &n->cq[i];

	if (sq->exists)
		say(w, "\nSQ%u: %u entries, head %u, tail %u%s", i, sq->entry_count, sq->head, sq->tail,
		    sq->head != sq->tail ? ": commands not fetched" : "");
	if (!cq->exists)
		return;
	say(w, "%sCQ%u: %u entries, head %u, tail %u, phase %u", sq->exists ? "; " : "\n", i, cq->entry_count, cq->head,
	    cq->tail, cq->phase);
	if (cq->interrupt)
		say(w, ", vector %u", cq->vector);
	if (cq->head != cq->tail)
		say(w, ": completions not taken");
	if (!list_empty(&cq->waiting))
		say(w, ", %u more wait for room", list_count(&cq->waiting));
}

static void describe_delayed(struct words *w, const struct nvme_model *n)
{
	struct model_host *host = n->host;
	uint64_t now = host->ops->now_ns(host);
	unsigned count = 0;

	for (const struct list *node = n->delayed.next; node != &n->delayed; node = node->next) {
		const struct slot *slot = list_entry(node, struct slot, link);
		uint8_t opcode = (uint8_t)FIELD_GET(NVME_CDW0_OPC, ob_le32_to_cpu(slot->sqe.cdw0));

		if (++count > 8) {
			say(w, "\nand %u more", n->in_flight - 8);
			return;
		}
		say(w, "\nworks on SQ%u cid %#x, %s: ", slot->sq->qid, sqe_cid(&slot->sqe),
		    nvme_model_command_name(slot->sq->qid, opcode));
		if (slot->due_ns == MODEL_NEVER)
			say(w, "hangs");
		else
			say(w, "done in %llu ns", (unsigned long long)(slot->due_ns - MIN(slot->due_ns, now)));
	}
}

void nvme_model_describe(const struct nvme_model *n, char *text, size_t size)
{
	struct words w = {text, size};
	char state[128];

	nvme_model_state_name(nvme_model_state(n), state, sizeof(state));
	say(&w, "%s; CC %#x, CSTS %#x; %u event requests, %u events kept", state, n->cc, n->csts, n->async_count,
	    n->event_count);
	if (n->intms != 0)
		say(&w, "; interrupts masked: %#x", n->intms);
	for (unsigned i = 0; i < QUEUE_COUNT; i++)
		if (nvme_model_queue_exists(n, i))
			describe_queue(&w, n, i);
	describe_delayed(&w, n);
}
