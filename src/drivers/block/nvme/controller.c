/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's registers: bring-up, disable, shutdown; and what follows each enable. NVM Express 1.4 §3.1, §7.3.2,
 * §7.6.1.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"

#define READY_SLICE_NS  (100 * OB_NS_PER_MS) /* how soon a fatal status is noticed */
#define ONES_NS         (2 * OB_NS_PER_S) /* of CSTS, while something answers; PCIe gives it one after a reset (§6.6.1) */
#define SHUTDOWN_NS     (5 * OB_NS_PER_S) /* where the controller does not say (RTD3E) */
#define SHUTDOWN_MAX_NS (30 * OB_NS_PER_S)

/* ---- talking to the service task ---- */

void nvme_todo(struct nvme *n, uint32_t what)
{
	__atomic_fetch_or(&n->pending, what, __ATOMIC_RELEASE);
	ob_event_signal(&n->service_event);
}

void nvme_want_reset(struct nvme *n, const char *why)
{
	__atomic_store_n(&n->reset_why, why, __ATOMIC_RELEASE);
	nvme_todo(n, NVME_TODO_RESET);
}

/* ---- gone ---- */

bool nvme_is_gone(const struct nvme *n)
{
	return __atomic_load_n(&n->gone, __ATOMIC_ACQUIRE);
}

void nvme_mark_gone(struct nvme *n, const char *why)
{
	if (__atomic_exchange_n(&n->gone, true, __ATOMIC_ACQ_REL))
		return;
	ob_err(n->ob, "%s: the device is gone: %s", n->name, why);
	ob_device_mark_gone(n->dev, why);
}

int nvme_read_status(struct nvme *n, uint32_t *csts)
{
	if (nvme_is_gone(n))
		return -ENODEV;
	*csts = ob_mmio_read32(&n->regs, NVME_CSTS);
	if (*csts != UINT32_MAX)
		return 0;
	if (ob_device_is_present(n->dev)) {
		/* Reserved bits are set and yet something answers: as good as a fatal status. */
		*csts = NVME_CSTS_CFS;
		return 0;
	}
	nvme_mark_gone(n, "CSTS reads all ones");
	return -ENODEV;
}

/* ---- capabilities ---- */

/* The largest power of two that is not more: rings wrap by masking. */
static uint32_t power_of_2_below(uint32_t v)
{
	return 1u << (31 - __builtin_clz(v));
}

int nvme_read_capabilities(struct nvme *n)
{
	uint32_t low, high;

	low = ob_mmio_read32(&n->regs, NVME_CAP);
	high = ob_mmio_read32(&n->regs, NVME_CAP + 4);
	n->cap = (uint64_t)high << 32 | low;
	n->version = ob_mmio_read32(&n->regs, NVME_VS);
	/* Either half has reserved bits: one of ones was read while nothing answered (it would ask for waits of minutes). */
	if (low == UINT32_MAX || high == UINT32_MAX) {
		if (!ob_device_is_present(n->dev))
			nvme_mark_gone(n, "CAP reads all ones");
		else
			ob_err(n->ob, "%s: CAP reads all ones", n->name);
		return -ENODEV;
	}
	if ((FIELD_GET(NVME_CAP_CSS, n->cap) & NVME_CAP_CSS_NVM) == 0) {
		ob_err(n->ob, "%s: the NVM command set is not offered (CAP.CSS %#x)", n->name,
		       (unsigned)FIELD_GET(NVME_CAP_CSS, n->cap));
		return -EOPNOTSUPP;
	}
	if (FIELD_GET(NVME_CAP_MPSMIN, n->cap) != 0) {
		ob_err(n->ob, "%s: memory pages of at least 2^%u bytes; this driver uses 4096", n->name,
		       (unsigned)FIELD_GET(NVME_CAP_MPSMIN, n->cap) + 12);
		return -EOPNOTSUPP;
	}
	if (FIELD_GET(NVME_CAP_MQES, n->cap) + 1 < NVME_QUEUE_MIN) {
		ob_err(n->ob, "%s: queues of one entry (CAP.MQES 0)", n->name);
		return -EIO;
	}
	n->entries_max = power_of_2_below((uint32_t)FIELD_GET(NVME_CAP_MQES, n->cap) + 1);
	n->dstrd = (uint32_t)FIELD_GET(NVME_CAP_DSTRD, n->cap);
	if (NVME_CQHDBL(0, n->dstrd) + 4ull > n->regs.len_bytes) {
		ob_err(n->ob, "%s: a doorbell stride of %u bytes leaves the admin queue none in %llu bytes", n->name,
		       4u << n->dstrd, (unsigned long long)n->regs.len_bytes);
		return -EIO;
	}
	/* One unit more: it counts in halves of a second, and a controller may say 0. */
	n->ready_ns = (FIELD_GET(NVME_CAP_TO, n->cap) + 1) * NVME_CAP_TO_UNIT_NS;
	return 0;
}

/* The doorbells of @queues I/O queue pairs are inside the region, and their shadows inside a page. */
static unsigned queues_that_fit(const struct nvme *n, unsigned queues)
{
	while (queues > 0 && NVME_CQHDBL(queues, n->dstrd) + 4ull > n->regs.len_bytes)
		queues--;
	return queues;
}

/* ---- enable and disable ---- */

/* Wait for CSTS.RDY, and not longer than a fatal status takes to show. */
static int wait_ready(struct nvme *n, bool ready, uint64_t deadline_ns, bool mind_fatal)
{
	uint32_t want = ready ? NVME_CSTS_RDY : 0, csts = 0;
	uint64_t ones_ns = ob_deadline(ONES_NS);

	for (;;) {
		uint64_t slice = MIN(deadline_ns, ob_deadline(READY_SLICE_NS));
		int ret = ob_mmio_wait32(&n->regs, NVME_CSTS, NVME_CSTS_RDY, want, slice, &csts);

		if (ret == -ENODEV) {
			nvme_mark_gone(n, "CSTS reads all ones");
			return ret;
		}
		if (ret == 0 && csts != UINT32_MAX)
			return 0;
		if (mind_fatal && (csts & NVME_CSTS_CFS) != 0) {
			ob_err(n->ob, "%s: fatal status while waiting for RDY %u", n->name, ready);
			return -EIO;
		}
		/* Registers that do not answer are not those of a controller that needs its time. */
		if (csts != UINT32_MAX)
			ones_ns = ob_deadline(ONES_NS);
		if (ob_now_ns() >= MIN(deadline_ns, ones_ns)) {
			ob_err(n->ob, "%s: CSTS is %#x, RDY %u did not come within %llu ms", n->name, csts, ready,
			       (unsigned long long)(n->ready_ns / OB_NS_PER_MS));
			return -ETIMEDOUT;
		}
	}
}

int nvme_disable(struct nvme *n)
{
	uint32_t cc, csts;
	int ret = nvme_read_status(n, &csts);

	if (ret != 0) {
		n->quiet = true;
		return ret;
	}
	cc = ob_mmio_read32(&n->regs, NVME_CC);
	if ((cc & NVME_CC_EN) != 0) {
		/* Whoever enabled it may not have waited; EN must not fall before RDY rose (§3.1.5). */
		if ((csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == 0 &&
		    wait_ready(n, true, ob_deadline(n->ready_ns), true) == -ENODEV)
			goto gone;
		ob_mmio_write32(&n->regs, NVME_CC, cc & ~(NVME_CC_EN | NVME_CC_SHN));
	}
	if ((n->quirks & NVME_QUIRK_DELAY_READY) != 0)
		ob_task_sleep(ob_deadline(n->quirk_value * OB_NS_PER_MS));
	ret = wait_ready(n, false, ob_deadline(n->ready_ns), false);
	if (ret == -ENODEV)
		goto gone;
	n->quiet = ret == 0;
	return ret;
gone:
	n->quiet = true;
	return -ENODEV;
}

void nvme_quiesce(struct nvme *n)
{
	if (!n->quiet && nvme_disable(n) != 0 && !n->quiet) {
		ob_warn(n->ob, "%s: does not let itself be disabled; function-level reset", n->name);
		if (ob_device_reset(n->dev) == 0)
			nvme_disable(n);
	}
	/*
	 * Memory is given back next. CSTS may have said what is not so, and registers that read all ones may be those of
	 * a device that is there all the time: without bus mastering nothing of it reaches memory.
	 */
	ob_device_enable_dma(n->dev, false);
	n->quiet = true;
}

int nvme_enable(struct nvme *n)
{
	const struct nvme_ring *r = &n->admin.ring;
	uint32_t size = r->mask; /* 0's based */
	int ret;

	ret = nvme_cmb_restore(n);
	if (ret != 0)
		return ret;
	nvme_admin_hold_irq(n, true);
	nvme_ring_rewind(&n->admin.ring);
	nvme_admin_hold_irq(n, false);
	n->quiet = false;
	ob_mmio_write32(&n->regs, NVME_AQA, FIELD_PREP(NVME_AQA_ASQS, size) | FIELD_PREP(NVME_AQA_ACQS, size));
	/* In halves: not every controller takes 8 bytes at once, and none needs it while EN is 0. */
	ob_mmio_write32(&n->regs, NVME_ASQ, (uint32_t)r->sq_dma.iova.addr);
	ob_mmio_write32(&n->regs, NVME_ASQ + 4, (uint32_t)(r->sq_dma.iova.addr >> 32));
	ob_mmio_write32(&n->regs, NVME_ACQ, (uint32_t)r->cq_dma.iova.addr);
	ob_mmio_write32(&n->regs, NVME_ACQ + 4, (uint32_t)(r->cq_dma.iova.addr >> 32));
	/*
	 * Disabling the controller reset INTMS; but the pin's handler, called late for completions that lay in a ring,
	 * may have masked it since. From here on there are none. Not with MSI-X (§3.1.3).
	 */
	n->admin.masked = false;
	if (n->irq_kind == OB_IRQ_INTX)
		ob_mmio_write32(&n->regs, NVME_INTMC, BIT(0));
	ob_mmio_write32(&n->regs, NVME_CC,
			NVME_CC_EN | FIELD_PREP(NVME_CC_IOSQES, NVME_SQE_SHIFT) |
				FIELD_PREP(NVME_CC_IOCQES, NVME_CQE_SHIFT));
	return wait_ready(n, true, ob_deadline(n->ready_ns), true);
}

int nvme_shutdown_notify(struct nvme *n, uint32_t how)
{
	uint64_t wait_ns = MIN(n->info.shutdown_us * OB_NS_PER_US, SHUTDOWN_MAX_NS);
	uint32_t cc, csts;
	int ret = nvme_read_status(n, &csts);

	if (ret != 0 || (csts & NVME_CSTS_RDY) == 0 || (csts & NVME_CSTS_CFS) != 0)
		return ret;
	cc = ob_mmio_read32(&n->regs, NVME_CC) & ~NVME_CC_SHN;
	ob_mmio_write32(&n->regs, NVME_CC, cc | FIELD_PREP(NVME_CC_SHN, how));
	ret = ob_mmio_wait32(&n->regs, NVME_CSTS, NVME_CSTS_SHST, FIELD_PREP(NVME_CSTS_SHST, NVME_CSTS_SHST_COMPLETE),
			     ob_deadline(MAX(wait_ns, SHUTDOWN_NS)), &csts);
	if (ret == -ENODEV)
		nvme_mark_gone(n, "it vanished during the shutdown");
	else if (ret != 0)
		ob_warn(n->ob, "%s: the shutdown did not complete (CSTS %#x)", n->name, csts);
	return ret;
}

/* ---- after each enable ---- */

/* Number of queues (§5.21.1.7): 0's based both ways; more than we asked for may be granted. */
static int ask_for_queues(struct nvme *n)
{
	unsigned wish = queues_that_fit(n, NVME_QUEUES_WISHED);
	struct nvme_command cmd = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = FIELD_PREP(NVME_FEATURE_FID, NVME_FEATURE_QUEUE_COUNT),
		.cdw11 = FIELD_PREP(NVME_QUEUE_COUNT_SQ, wish - 1) | FIELD_PREP(NVME_QUEUE_COUNT_CQ, wish - 1),
	};
	uint32_t sqs, cqs;
	int ret;

	if (wish == 0) {
		ob_err(n->ob, "%s: the register region of %llu bytes has no room for a doorbell", n->name,
		       (unsigned long long)n->regs.len_bytes);
		return -EIO;
	}
	ret = nvme_admin_do(n, &cmd, "setting the number of queues");
	if (ret != 0)
		return ret;
	sqs = FIELD_GET(NVME_QUEUE_COUNT_SQ, cmd.result) + 1;
	cqs = FIELD_GET(NVME_QUEUE_COUNT_CQ, cmd.result) + 1;
	n->queues_granted = MIN(wish, MIN(sqs, cqs));
	return 0;
}

/* Doorbell buffers (§5.7) save register writes; a controller that refuses them works without. */
void nvme_set_doorbell_buffers(struct nvme *n)
{
	struct nvme_command cmd = {
		.opcode = NVME_ADMIN_DOORBELL_BUFFER,
		.prp1 = n->shadow.iova.addr,
		.prp2 = n->event_index.iova.addr,
	};
	int ret;

	n->shadow_on = false;
	if (n->shadow.base == NULL)
		return;
	ob_dma_zero(n->shadow.base, NVME_PAGE_BYTES);
	ob_dma_zero(n->event_index.base, NVME_PAGE_BYTES);
	ret = nvme_admin_run(n, &cmd, ob_deadline(NVME_ADMIN_TIMEOUT_NS));
	if (ret == 0 && cmd.status == 0)
		n->shadow_on = true;
	else
		ob_warn(n->ob, "%s: doorbell buffers are offered and refused: %s", n->name,
			nvme_answer_text(ret, cmd.status));
}

int nvme_configure(struct nvme *n)
{
	struct nvme_controller_info info;
	int ret = nvme_identify_controller(n, &info);

	if (ret != 0)
		return ret;
	/* After a reset it must be the one whose namespaces are published; firmware may be another. */
	if (n->info.serial[0] != '\0' &&
	    (strcmp(info.serial, n->info.serial) != 0 || strcmp(info.model, n->info.model) != 0 ||
	     info.transfer_max_bytes < n->info.transfer_max_bytes || (n->info.sgl && !info.sgl))) {
		ob_err(n->ob, "%s: came back from a reset as another controller: %s %s", n->name, info.model,
		       info.serial);
		return -EIO;
	}
	if (n->info.transfer_max_bytes != 0) {
		/* Queues were laid out for these. */
		info.transfer_max_bytes = n->info.transfer_max_bytes;
		info.sgl = n->info.sgl;
	}
	n->info = info;
	ret = ask_for_queues(n);
	if (ret != 0)
		return ret;
	return 0;
}
