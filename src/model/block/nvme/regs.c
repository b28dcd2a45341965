/* SPDX-License-Identifier: BSD-2-Clause */
/* The controller's registers and what writing them starts: enabling, reset, shutdown (NVMe 1.4 §3.1, §7.3, §7.6). */
#include <errno.h>
#include <string.h>

#include "model/block/nvme/controller.h"

#define CC_KNOWN (NVME_CC_EN | NVME_CC_CSS | NVME_CC_MPS | NVME_CC_AMS | NVME_CC_SHN | NVME_CC_IOSQES | NVME_CC_IOCQES)

#define CMB_USES (NVME_CMBSZ_SQS | NVME_CMBSZ_CQS | NVME_CMBSZ_LISTS | NVME_CMBSZ_RDS | NVME_CMBSZ_WDS)

void nvme_model_config_default(struct nvme_model_config *config)
{
	*config = (struct nvme_model_config){
		.serial = "OUTBOARD0001",
		.model = "Outboard model NVMe",
		.firmware = "1.0",
		.vendor = 0x0b0d, /* nobody's: the quirks of a real controller must not apply */
		.subvendor = 0x0b0d,
		.queue_pairs_max = 64,
		.queue_entries_max = 4096,
		.msix_vectors = 65,
		.mdts = 7,
		.page_shift_max = 16,
		.firmware_slots = 3,
		.abort_limit = 3,
		.aer_limit = 3,
		.namespaces_max = 256,
		.sgl = true,
		.shadow_doorbells = true,
		.volatile_cache = true,
		.namespace_management = true,
		.compare = true,
		.write_zeroes = true,
		.dataset_management = true,
		.cmb_uses = CMB_USES,
		.capacity_bytes = 1ull << 40,
	};
}

static bool config_is_sane(const struct nvme_model_config *c)
{
	return c->queue_pairs_max >= 1 && c->queue_pairs_max <= NVME_MODEL_QUEUES_MAX && c->queue_entries_max >= 2 &&
	       c->queue_entries_max <= NVME_QUEUE_MAX && c->msix_vectors <= NVME_MODEL_MSIX_MAX &&
	       c->mdts <= NVME_MDTS_MAX && c->doorbell_stride <= 2 && c->page_shift_max >= 12 &&
	       c->page_shift_max <= 16 && c->firmware_slots >= 1 && c->firmware_slots <= NVME_MODEL_FW_SLOTS &&
	       IS_ALIGNED(c->cmb_bytes, 4096u) && c->cmb_bytes <= NVME_MODEL_CMB_MAX &&
	       (c->cmb_uses & ~(uint32_t)CMB_USES) == 0 && c->namespaces_max >= 1 &&
	       c->namespaces_max <= NVME_MODEL_NAMESPACES &&
	       NVME_CQHDBL(c->queue_pairs_max, c->doorbell_stride) + 4 <= NVME_MODEL_MSIX_TABLE;
}

static uint64_t capabilities(const struct nvme_model_config *c)
{
	/* Worst case ready, in units of 500 ms, and one to spare. */
	uint64_t timeout = c->ready_ns / NVME_CAP_TO_UNIT_NS + 2;

	return FIELD_PREP(NVME_CAP_MQES, (uint64_t)c->queue_entries_max - 1) | NVME_CAP_CQR |
	       FIELD_PREP(NVME_CAP_TO, MIN(timeout, 255u)) | FIELD_PREP(NVME_CAP_DSTRD, (uint64_t)c->doorbell_stride) |
	       FIELD_PREP(NVME_CAP_CSS, (uint64_t)NVME_CAP_CSS_NVM) |
	       FIELD_PREP(NVME_CAP_MPSMAX, (uint64_t)c->page_shift_max - 12);
}

int nvme_model_create(struct model_host *host, const struct nvme_model_config *config, struct nvme_model **out)
{
	struct nvme_model *n;

	if (!config_is_sane(config))
		return -EINVAL;
	n = host->ops->alloc(host, sizeof(*n));
	if (n == NULL)
		return -ENOMEM;
	n->host = host;
	n->config = *config;
	n->slots = host->ops->alloc(host, SLOT_COUNT * sizeof(*n->slots));
	n->ns = host->ops->alloc(host, config->namespaces_max * sizeof(struct nvme_ns *));
	n->firmware_image = host->ops->alloc(host, FIRMWARE_MAX);
	n->bounce = host->ops->alloc(host, BOUNCE_BYTES);
	n->transfer = host->ops->alloc(host, NVME_IDENTIFY_DATA_BYTES);
	if (n->slots == NULL || n->ns == NULL || n->firmware_image == NULL || n->bounce == NULL ||
	    n->transfer == NULL) {
		nvme_model_destroy(n);
		return -ENOMEM;
	}
	list_init(&n->delayed);
	list_init(&n->async_requests);
	list_init(&n->free_slots);
	for (unsigned i = 0; i < SLOT_COUNT; i++)
		list_add_tail(&n->free_slots, &n->slots[i].link);
	for (unsigned i = 0; i < QUEUE_COUNT; i++)
		list_init(&n->cq[i].waiting);
	n->cap = capabilities(config);
	n->vs = NVME_VERSION(1, 4, 0);
	n->page_shift = 12;
	n->start_ns = host->ops->now_ns(host);
	n->ready_due_ns = n->shutdown_due_ns = MODEL_NEVER;
	n->temperature = 310;
	n->power_cycles = 1;
	n->firmware_active = 1;
	memcpy(n->firmware_slot[0], config->firmware, sizeof(n->firmware_slot[0]));
	nvme_model_features_reset(n);
	if (nvme_model_cmb_init(n) != 0) {
		nvme_model_destroy(n);
		return -ENOMEM;
	}
	*out = n;
	return 0;
}

void nvme_model_destroy(struct nvme_model *n)
{
	struct model_host *host = n->host;

	for (uint32_t i = 0; n->ns != NULL && i < n->config.namespaces_max; i++) {
		if (n->ns[i] == NULL)
			continue;
		backing_destroy(n->ns[i]->backing);
		host->ops->free(host, n->ns[i]);
	}
	host->ops->free(host, n->cmb);
	host->ops->free(host, n->slots);
	host->ops->free(host, n->ns);
	host->ops->free(host, n->firmware_image);
	host->ops->free(host, n->bounce);
	host->ops->free(host, n->transfer);
	host->ops->free(host, n);
}

void nvme_model_set_hooks(struct nvme_model *n, const struct nvme_model_hooks *hooks)
{
	n->hooks = hooks != NULL ? *hooks : (struct nvme_model_hooks){0};
}

void nvme_model_set_latency(struct nvme_model *n, uint64_t latency_ns)
{
	n->config.latency_ns = latency_ns;
}

void nvme_model_stats(const struct nvme_model *n, struct nvme_model_stats *out)
{
	*out = n->stats;
	out->in_flight = n->in_flight;
}

void nvme_model_fail(struct nvme_model *n, const char *why)
{
	struct model_host *host = n->host;

	if ((n->csts & NVME_CSTS_CFS) == 0)
		host->ops->note(host, "controller fatal status: %s", why);
	n->csts |= NVME_CSTS_CFS;
}

/* ---- enable, reset, shutdown ---- */

void nvme_model_reschedule(struct nvme_model *n)
{
	struct model_host *host = n->host;
	uint64_t at = MIN(n->ready_due_ns, n->shutdown_due_ns);

	if (!list_empty(&n->delayed)) {
		const struct slot *first = list_entry(n->delayed.next, struct slot, link);

		at = MIN(at, first->due_ns);
	}
	host->ops->schedule(host, at);
}

/* Everything that a controller-level reset clears; the admin queue's registers stay (§7.3.2). */
static void controller_reset(struct nvme_model *n)
{
	nvme_model_queues_stop(n);
	n->csts = 0;
	n->intms = 0;
	n->ready_due_ns = n->shutdown_due_ns = MODEL_NEVER;
	n->event_count = 0;
	n->event_masked = 0;
	nvme_model_features_reset(n);
	nvme_model_firmware_reset(n);
	nvme_model_interrupts_update(n);
	nvme_model_reschedule(n);
}

static const char *enable_is_refused(const struct nvme_model *n)
{
	unsigned shift = 12 + (unsigned)FIELD_GET(NVME_CC_MPS, n->cc);
	uint64_t page = 1ull << shift;

	if (FIELD_GET(NVME_CC_CSS, n->cc) != 0)
		return "CC.CSS names an unsupported command set";
	if (FIELD_GET(NVME_CC_AMS, n->cc) != 0)
		return "CC.AMS names an unsupported arbitration";
	if (shift > n->config.page_shift_max)
		return "CC.MPS is beyond CAP.MPSMAX";
	if (FIELD_GET(NVME_AQA_ASQS, n->aqa) == 0 || FIELD_GET(NVME_AQA_ACQS, n->aqa) == 0)
		return "AQA holds a queue of one entry";
	if (n->asq == 0 || n->acq == 0 || !IS_ALIGNED(n->asq, page) || !IS_ALIGNED(n->acq, page))
		return "ASQ or ACQ is not a page's address";
	if (!nvme_model_cmb_allows(n, n->asq, (FIELD_GET(NVME_AQA_ASQS, n->aqa) + 1) << NVME_SQE_SHIFT,
				   NVME_CMBSZ_SQS) ||
	    !nvme_model_cmb_allows(n, n->acq, (FIELD_GET(NVME_AQA_ACQS, n->aqa) + 1) << NVME_CQE_SHIFT, NVME_CMBSZ_CQS))
		return "the admin queue is where the controller memory buffer takes none";
	return NULL;
}

static void controller_ready(struct nvme_model *n)
{
	n->ready_due_ns = MODEL_NEVER;
	nvme_model_cq_start(n, 0, n->acq, FIELD_GET(NVME_AQA_ACQS, n->aqa) + 1, true, 0);
	nvme_model_sq_start(n, 0, 0, n->asq, FIELD_GET(NVME_AQA_ASQS, n->aqa) + 1);
	n->csts |= NVME_CSTS_RDY;
}

static void controller_enable(struct nvme_model *n)
{
	struct model_host *host = n->host;
	const char *why = enable_is_refused(n);

	if (why != NULL) {
		nvme_model_fail(n, why);
		return;
	}
	n->page_shift = 12 + (unsigned)FIELD_GET(NVME_CC_MPS, n->cc);
	if (n->config.ready_ns == 0) {
		controller_ready(n);
		return;
	}
	n->ready_due_ns = host->ops->now_ns(host) + n->config.ready_ns;
	nvme_model_reschedule(n);
}

static void shutdown_complete(struct nvme_model *n)
{
	n->shutdown_due_ns = MODEL_NEVER;
	nvme_model_namespaces_flush(n);
	n->csts = (n->csts & ~NVME_CSTS_SHST) | FIELD_PREP(NVME_CSTS_SHST, NVME_CSTS_SHST_COMPLETE);
}

static void controller_shutdown(struct nvme_model *n)
{
	struct model_host *host = n->host;

	if (n->config.shutdown_ns == 0) {
		shutdown_complete(n);
		return;
	}
	n->csts = (n->csts & ~NVME_CSTS_SHST) | FIELD_PREP(NVME_CSTS_SHST, NVME_CSTS_SHST_RUNNING);
	n->shutdown_due_ns = host->ops->now_ns(host) + n->config.shutdown_ns;
	nvme_model_reschedule(n);
}

static void cc_write(struct nvme_model *n, uint32_t value)
{
	uint32_t old = n->cc;

	n->cc = value & CC_KNOWN;
	if ((old & NVME_CC_EN) != 0 && (n->cc & NVME_CC_EN) == 0) {
		controller_reset(n);
		return;
	}
	if ((old & NVME_CC_EN) == 0 && (n->cc & NVME_CC_EN) != 0)
		controller_enable(n);
	if (FIELD_GET(NVME_CC_SHN, old) == NVME_CC_SHN_NONE && FIELD_GET(NVME_CC_SHN, n->cc) != NVME_CC_SHN_NONE)
		controller_shutdown(n);
	else if (FIELD_GET(NVME_CC_SHN, old) != NVME_CC_SHN_NONE && FIELD_GET(NVME_CC_SHN, n->cc) == NVME_CC_SHN_NONE)
		n->csts &= ~NVME_CSTS_SHST;
}

void nvme_model_reset(struct nvme_model *n)
{
	n->cc = 0;
	n->aqa = 0;
	n->asq = n->acq = 0;
	nvme_model_cmb_reset(n);
	controller_reset(n);
}

void nvme_model_sleep(struct nvme_model *n)
{
	struct model_host *host = n->host;

	if ((n->cc & NVME_CC_EN) != 0 && FIELD_GET(NVME_CSTS_SHST, n->csts) != NVME_CSTS_SHST_COMPLETE)
		host->ops->note(host, "put to D3hot enabled, and not shut down");
}

void nvme_model_power_cut(struct nvme_model *n, bool (*keep)(void *arg, uint64_t offset), void *arg)
{
	if (FIELD_GET(NVME_CSTS_SHST, n->csts) != NVME_CSTS_SHST_COMPLETE && (n->cc & NVME_CC_EN) != 0)
		n->unsafe_shutdowns++;
	n->power_cycles++;
	for (uint32_t i = 0; i < n->config.namespaces_max; i++)
		if (n->ns[i] != NULL)
			backing_cache_power_cut(n->ns[i]->backing, keep, arg);
	nvme_model_reset(n);
}

void nvme_model_event(struct nvme_model *n)
{
	struct model_host *host = n->host;
	uint64_t now = host->ops->now_ns(host);

	if (now >= n->ready_due_ns)
		controller_ready(n);
	if (now >= n->shutdown_due_ns)
		shutdown_complete(n);
	/* What is due is run; running schedules the rest. */
	host->ops->kick(host);
}

/* ---- access ---- */

static uint32_t dword_read(const struct nvme_model *n, uint64_t offset)
{
	switch (offset) {
	case NVME_CAP:
		return (uint32_t)n->cap;
	case NVME_CAP + 4:
		return (uint32_t)(n->cap >> 32);
	case NVME_VS:
		return n->vs;
	case NVME_INTMS:
	case NVME_INTMC:
		return n->intms;
	case NVME_CC:
		return n->cc;
	case NVME_CSTS:
		return n->csts;
	case NVME_AQA:
		return n->aqa;
	case NVME_ASQ:
		return (uint32_t)n->asq;
	case NVME_ASQ + 4:
		return (uint32_t)(n->asq >> 32);
	case NVME_ACQ:
		return (uint32_t)n->acq;
	case NVME_ACQ + 4:
		return (uint32_t)(n->acq >> 32);
	case NVME_CMBLOC:
	case NVME_CMBSZ:
	case NVME_CMBMSC:
	case NVME_CMBMSC + 4:
	case NVME_CMBSTS:
		return nvme_model_cmb_register(n, offset);
	default:
		return 0; /* reserved, or of something that CAP does not offer */
	}
}

uint64_t nvme_model_read(struct nvme_model *n, uint64_t offset, unsigned size_bytes)
{
	uint64_t base = ALIGN_DOWN(offset, 4u);
	uint64_t value = dword_read(n, base) | (uint64_t)dword_read(n, base + 4) << 32;

	value >>= 8 * (offset - base);
	return size_bytes >= 8 ? value : value & ((1ull << (8 * size_bytes)) - 1);
}

/* The admin queue's registers are not to be touched while the controller is enabled (§3.1.8). */
static void address_write(struct nvme_model *n, uint64_t *reg, bool high, uint32_t value)
{
	struct model_host *host = n->host;

	if ((n->cc & NVME_CC_EN) != 0) {
		host->ops->note(host, "ASQ or ACQ written while the controller is enabled");
		return;
	}
	if (high)
		*reg = (*reg & UINT32_MAX) | (uint64_t)value << 32;
	else
		*reg = (*reg & ~(uint64_t)UINT32_MAX) | (value & ~0xfffu);
}

static void dword_write(struct nvme_model *n, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case NVME_INTMS:
		n->intms |= value;
		nvme_model_interrupts_update(n);
		break;
	case NVME_INTMC:
		n->intms &= ~value;
		nvme_model_interrupts_update(n);
		break;
	case NVME_CC:
		cc_write(n, value);
		break;
	case NVME_AQA:
		if ((n->cc & NVME_CC_EN) == 0)
			n->aqa = value & (NVME_AQA_ASQS | NVME_AQA_ACQS);
		break;
	case NVME_ASQ:
	case NVME_ASQ + 4:
		address_write(n, &n->asq, offset != NVME_ASQ, value);
		break;
	case NVME_ACQ:
	case NVME_ACQ + 4:
		address_write(n, &n->acq, offset != NVME_ACQ, value);
		break;
	case NVME_CMBMSC:
	case NVME_CMBMSC + 4:
		nvme_model_cmb_control(n, offset != NVME_CMBMSC, value);
		break;
	default:
		break; /* read-only and reserved registers */
	}
}

void nvme_model_write(struct nvme_model *n, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct model_host *host = n->host;

	if (OB_LIKELY(offset >= NVME_DBS && offset < NVME_MODEL_MSIX_TABLE && size_bytes == 4)) {
		nvme_model_doorbell(n, offset - NVME_DBS, (uint32_t)value);
		return;
	}
	if ((size_bytes != 4 && size_bytes != 8) || !IS_ALIGNED(offset, 4u)) {
		host->ops->note(host, "register write of %u bytes at %#llx ignored", size_bytes,
				(unsigned long long)offset);
		return;
	}
	/* The upper half first: where the order matters, the lower one acts. */
	if (size_bytes == 8)
		dword_write(n, offset + 4, (uint32_t)(value >> 32));
	dword_write(n, offset, (uint32_t)value);
}
