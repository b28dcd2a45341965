/* SPDX-License-Identifier: BSD-2-Clause */
/* The controller's model inside: its state, and what its files call of each other. */
#ifndef OB_MODEL_BLOCK_NVME_CONTROLLER_H
#define OB_MODEL_BLOCK_NVME_CONTROLLER_H

#include "base/list.h"
#include "model/block/nvme/nvme_model.h"

#define QUEUE_COUNT   (NVME_MODEL_QUEUES_MAX + 1) /* with the admin queue */
#define SLOT_COUNT    2048                        /* commands that can be delayed, async requests among them */
#define BOUNCE_BYTES  (64u * 1024)
#define FETCH_MAX     8 /* entries fetched at once */
#define EVENT_MAX     16
#define ERROR_LOG_MAX 64
#define FIRMWARE_MAX  (1u << 20)

/* A status as it stands in a completion entry, shifted down over the phase bit. */
#define DNR            (NVME_CQE_DNR >> 1)
#define MORE           (NVME_CQE_M >> 1)
#define FAIL(sc)       ((uint16_t)((sc) | DNR))
#define STATUS_PENDING 0xffffu /* no completion yet: the command was kept */

struct nvme_cq {
	bool exists, phase, interrupt, full;
	bool notify; /* posted to since the last interrupt */
	uint16_t qid, vector;
	uint32_t entry_count, head, tail;
	uint64_t base;
	uint64_t shadow, event; /* addresses; 0: registers only */
	unsigned sq_count;
	struct list waiting; /* struct slot.link: completions that had no room */
};

struct nvme_sq {
	bool exists;
	uint16_t qid;
	uint32_t entry_count, head, tail;
	uint64_t base;
	uint64_t shadow, event;
	struct nvme_cq *cq;
};

/* A command that outlives its fetching. */
struct slot {
	struct list link;
	struct nvme_sq *sq;
	struct nvme_sqe sqe;
	uint64_t due_ns;
	uint32_t dw0;
	uint16_t status;
};

struct nvme_ns {
	uint32_t nsid;
	bool attached, read_only;
	unsigned lba_shift;
	uint64_t block_count;
	uint8_t nmic;
	struct backing *backing;
};

struct nvme_event {
	uint8_t type, info, page;
};

struct features {
	uint32_t arbitration, power, error_recovery, write_cache, coalescing, atomicity, async;
	uint16_t temperature_over, temperature_under;
	uint16_t sq_count, cq_count; /* I/O queues allotted */
	uint32_t vector[NVME_MODEL_MSIX_MAX];
	uint64_t timestamp_base, timestamp_set_ns;
	uint8_t timestamp_origin;
};

struct nvme_model {
	struct model_host *host;
	struct nvme_model_config config;
	struct nvme_model_hooks hooks;

	/* registers */
	uint64_t cap, asq, acq;
	uint32_t vs, cc, csts, aqa, intms;
	uint64_t start_ns;                      /* when it was made */
	uint64_t ready_due_ns, shutdown_due_ns; /* MODEL_NEVER: nothing coming */
	unsigned page_shift;

	/* controller memory buffer */
	uint8_t *cmb;
	uint64_t cmbmsc;
	uint32_t cmbloc, cmbsz, cmbsts;
	bool cmb_mapped; /* addresses may lead to it */
	const struct model_pci *function;

	/* queues; [0] is admin */
	struct nvme_sq sq[QUEUE_COUNT];
	struct nvme_cq cq[QUEUE_COUNT];
	uint64_t sq_pending[QUEUE_COUNT / 64]; /* doorbell rung, not yet found empty */
	uint64_t cq_notify[QUEUE_COUNT / 64];
	unsigned cq_end;                  /* above the highest queue id in use */
	bool starved;                     /* a queue stopped because no slot was free */
	uint64_t shadow_base, event_base; /* doorbell buffers; 0: none */

	/* commands that take time, by due time; async event requests; free slots */
	struct list delayed, async_requests, free_slots;
	unsigned async_count, in_flight;
	struct slot *slots;

	/* async events */
	struct nvme_event events[EVENT_MAX];
	unsigned event_count;
	uint32_t event_masked; /* by type: until its log page was read */

	struct features feature;
	uint16_t temperature;
	uint8_t warning;

	/* namespaces */
	struct nvme_ns **ns; /* by id - 1 */
	uint32_t changed_ns[NVME_NAMESPACE_LIST_MAX];
	unsigned changed_count; /* more than the list holds: NVME_NAMESPACE_LIST_MAX + 1 */
	uint64_t capacity_used;

	/* logs */
	struct nvme_error_log errors[ERROR_LOG_MAX];
	uint64_t error_count;
	uint64_t sectors_read, sectors_written, reads, writes, media_errors, power_cycles, unsafe_shutdowns;

	/* firmware */
	uint8_t *firmware_image;
	uint32_t firmware_len;
	char firmware_slot[NVME_MODEL_FW_SLOTS][9];
	uint8_t firmware_active, firmware_next; /* slots from 1; next 0: as it is */

	uint8_t *bounce;   /* BOUNCE_BYTES */
	uint8_t *transfer; /* one page of identify data and the like */
	struct nvme_model_stats stats;
};

/* One command under execution. */
struct nvme_cmd {
	const struct nvme_sqe *sqe;
	struct nvme_sq *sq;
	uint8_t opcode;
	uint32_t nsid;
	uint32_t dw0; /* of the completion */
	uint64_t lba; /* for the error log */
};

static inline uint16_t sqe_cid(const struct nvme_sqe *sqe)
{
	return (uint16_t)FIELD_GET(NVME_CDW0_CID, ob_le32_to_cpu(sqe->cdw0));
}

static inline uint32_t page_bytes(const struct nvme_model *n)
{
	return 1u << n->page_shift;
}

/* cmb.c: the controller memory buffer */
int nvme_model_cmb_init(struct nvme_model *n);
void nvme_model_cmb_reset(struct nvme_model *n);
uint32_t nvme_model_cmb_register(const struct nvme_model *n, uint64_t offset);
/* CMBMSC in halves; the lower one makes it take effect. */
void nvme_model_cmb_control(struct nvme_model *n, bool high, uint32_t value);
/* Access by the host, through the BAR. */
/* Where the controller finds it; the BAR's address, or what CMBMSC says. */
uint64_t nvme_model_cmb_base(const struct nvme_model *n);
uint64_t nvme_model_cmb_load(const struct nvme_model *n, uint64_t offset, unsigned size_bytes);
void nvme_model_cmb_store(struct nvme_model *n, uint64_t offset, unsigned size_bytes, uint64_t value);
/* How much of a range of the controller's addresses lies in it: NVME_CMB_*. */
enum nvme_cmb_share {
	NVME_CMB_NONE,
	NVME_CMB_PART,
	NVME_CMB_ALL
};
enum nvme_cmb_share nvme_model_cmb_share(const struct nvme_model *n, uint64_t iova, uint64_t len_bytes);
int nvme_model_cmb_read(const struct nvme_model *n, uint64_t iova, void *to, size_t len_bytes);
int nvme_model_cmb_write(struct nvme_model *n, uint64_t iova, const void *from, size_t len_bytes);
/* May what is at @iova be used for NVME_CMBSZ_* @use? True for memory of the host. */
bool nvme_model_cmb_allows(const struct nvme_model *n, uint64_t iova, uint64_t len_bytes, uint32_t use);

/* Memory as the controller addresses it: its own where that is mapped, otherwise the host's. */
static inline int nvme_model_dma_look(struct nvme_model *n, uint64_t iova, void *to, size_t len_bytes)
{
	if (OB_UNLIKELY(n->cmb_mapped) && nvme_model_cmb_share(n, iova, len_bytes) != NVME_CMB_NONE)
		return nvme_model_cmb_read(n, iova, to, len_bytes);
	return n->host->ops->dma_look(n->host, iova, to, len_bytes);
}

static inline int nvme_model_dma_read(struct nvme_model *n, uint64_t iova, void *to, size_t len_bytes)
{
	if (OB_UNLIKELY(n->cmb_mapped) && nvme_model_cmb_share(n, iova, len_bytes) != NVME_CMB_NONE)
		return nvme_model_cmb_read(n, iova, to, len_bytes);
	return n->host->ops->dma_read(n->host, iova, to, len_bytes);
}

static inline int nvme_model_dma_write(struct nvme_model *n, uint64_t iova, const void *from, size_t len_bytes)
{
	if (OB_UNLIKELY(n->cmb_mapped) && nvme_model_cmb_share(n, iova, len_bytes) != NVME_CMB_NONE)
		return nvme_model_cmb_write(n, iova, from, len_bytes);
	return n->host->ops->dma_write(n->host, iova, from, len_bytes);
}

static inline int nvme_model_dma_publish(struct nvme_model *n, uint64_t iova, const void *from, size_t len_bytes)
{
	if (OB_UNLIKELY(n->cmb_mapped) && nvme_model_cmb_share(n, iova, len_bytes) != NVME_CMB_NONE)
		return nvme_model_cmb_write(n, iova, from, len_bytes);
	return n->host->ops->dma_publish(n->host, iova, from, len_bytes);
}

/* queue.c */
bool nvme_model_queue_exists(const struct nvme_model *n, unsigned qid);
void nvme_model_sq_start(struct nvme_model *n, unsigned qid, unsigned cqid, uint64_t base, uint32_t entry_count);
void nvme_model_cq_start(struct nvme_model *n, unsigned qid, uint64_t base, uint32_t entry_count, bool interrupt,
			 uint16_t vector);
void nvme_model_sq_stop(struct nvme_model *n, unsigned qid);
void nvme_model_cq_stop(struct nvme_model *n, unsigned qid);
void nvme_model_queues_stop(struct nvme_model *n);
void nvme_model_doorbell(struct nvme_model *n, uint64_t offset, uint32_t value);
void nvme_model_complete(struct nvme_model *n, struct nvme_sq *sq, const struct nvme_sqe *sqe, uint16_t status,
			 uint32_t dw0);
struct slot *nvme_model_slot_get(struct nvme_model *n, struct nvme_sq *sq, const struct nvme_sqe *sqe);
void nvme_model_slot_put(struct nvme_model *n, struct slot *slot);
void nvme_model_interrupts_update(struct nvme_model *n);
bool nvme_model_abort(struct nvme_model *n, unsigned sqid, uint16_t cid);
void nvme_model_shadow_set(struct nvme_model *n, uint64_t shadow, uint64_t event);

/* regs.c */
void nvme_model_reschedule(struct nvme_model *n);

/* data.c: the command's data pointer. Status. */
typedef uint16_t (*nvme_piece_fn)(struct nvme_model *n, void *arg, uint64_t iova, uint64_t offset, uint32_t len_bytes);
uint16_t nvme_model_data(struct nvme_model *n, const struct nvme_cmd *cmd, uint32_t len_bytes, bool to_host,
			 nvme_piece_fn fn, void *arg);
uint16_t nvme_model_to_host(struct nvme_model *n, const struct nvme_cmd *cmd, const void *from, uint32_t len_bytes);
uint16_t nvme_model_from_host(struct nvme_model *n, const struct nvme_cmd *cmd, void *to, uint32_t len_bytes);

/* admin.c, io.c: execute. Status, or STATUS_PENDING. */
uint16_t nvme_model_admin(struct nvme_model *n, struct nvme_cmd *cmd);
uint16_t nvme_model_io(struct nvme_model *n, struct nvme_cmd *cmd);
void nvme_model_io_ahead(struct nvme_model *n, const struct nvme_sqe *sqe);

/* identify.c, features.c, log.c, firmware.c, namespace.c */
uint16_t nvme_model_identify(struct nvme_model *n, struct nvme_cmd *cmd);
uint16_t nvme_model_set_feature(struct nvme_model *n, struct nvme_cmd *cmd);
uint16_t nvme_model_get_feature(struct nvme_model *n, struct nvme_cmd *cmd);
void nvme_model_features_reset(struct nvme_model *n);
uint16_t nvme_model_get_log(struct nvme_model *n, struct nvme_cmd *cmd);
void nvme_model_log_error(struct nvme_model *n, const struct nvme_cmd *cmd, uint16_t status);
uint16_t nvme_model_firmware_download(struct nvme_model *n, struct nvme_cmd *cmd);
uint16_t nvme_model_firmware_commit(struct nvme_model *n, struct nvme_cmd *cmd);
void nvme_model_firmware_reset(struct nvme_model *n);
uint16_t nvme_model_namespace_manage(struct nvme_model *n, struct nvme_cmd *cmd);
uint16_t nvme_model_namespace_attachment(struct nvme_model *n, struct nvme_cmd *cmd);
uint16_t nvme_model_format(struct nvme_model *n, struct nvme_cmd *cmd);
struct nvme_ns *nvme_model_namespace(const struct nvme_model *n, uint32_t nsid); /* allocated, or NULL */
bool nvme_model_nsid_is_valid(const struct nvme_model *n, uint32_t nsid);        /* 1 to NN */
void nvme_model_namespaces_flush(struct nvme_model *n);

/* event.c */
uint16_t nvme_model_async_request(struct nvme_model *n, struct nvme_cmd *cmd);
void nvme_model_event_raise(struct nvme_model *n, uint8_t type, uint8_t info, uint8_t page);
void nvme_model_event_unmask(struct nvme_model *n, uint8_t type);
void nvme_model_event_namespace(struct nvme_model *n, uint32_t nsid);
void nvme_model_event_temperature(struct nvme_model *n);

/* Namespace formats: 0 is 512 bytes, 1 is 4096. */
#define FORMAT_COUNT           2
#define FORMAT_SHIFT(format)   ((format) == 0 ? 9u : 12u)
#define FORMAT_OF_SHIFT(shift) ((shift) == 9u ? 0u : 1u)

#endif
