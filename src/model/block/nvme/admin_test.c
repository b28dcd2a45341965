/* SPDX-License-Identifier: BSD-2-Clause */
/* Admin commands of the controller's model by hand: what each does, and what each wrong input gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/model_rig.h"

#define FAILED(sc) ((sc) | RIG_DNR)

static void start(struct rig *r)
{
	rig_init(r, NULL);
	assert_int_equal(rig_enable(r, 12), NVME_CSTS_RDY);
}

/* ---- queues ---- */

struct queue_case {
	uint8_t opcode;
	uint16_t qid, wanted;
	uint32_t entry_count;
	uint32_t cdw11;
	uint64_t base; /* 0: a good page; 1: the address 0 */
};

static void test_create_and_delete_queue_with_wrong_input_is_refused(void **state)
{
	const uint32_t on_cq1 = NVME_SQ_PC | 1u << 16;
	const struct queue_case cases[] = {
		{NVME_ADMIN_CREATE_CQ, 0, FAILED(NVME_SC_INVALID_QID), 16, NVME_CQ_PC, 0},
		{NVME_ADMIN_CREATE_CQ, 65, FAILED(NVME_SC_INVALID_QID), 16, NVME_CQ_PC, 0},
		{NVME_ADMIN_CREATE_CQ, 1, FAILED(NVME_SC_INVALID_QID), 16, NVME_CQ_PC, 0}, /* exists */
		{NVME_ADMIN_CREATE_CQ, 2, FAILED(NVME_SC_INVALID_QUEUE_SIZE), 1, NVME_CQ_PC, 0},
		{NVME_ADMIN_CREATE_CQ, 2, FAILED(NVME_SC_INVALID_QUEUE_SIZE), 4097, NVME_CQ_PC, 0},
		{NVME_ADMIN_CREATE_CQ, 2, FAILED(NVME_SC_INVALID_FIELD), 16, 0, 0}, /* CAP.CQR */
		{NVME_ADMIN_CREATE_CQ, 2, FAILED(NVME_SC_INVALID_FIELD), 16, NVME_CQ_PC, 1},
		{NVME_ADMIN_CREATE_CQ, 2, FAILED(NVME_SC_INVALID_PRP_OFFSET), 16, NVME_CQ_PC, RIG_BASE + 64},
		{NVME_ADMIN_CREATE_CQ, 2, FAILED(NVME_SC_INVALID_INTERRUPT_VECTOR), 16, NVME_CQ_PC | 65u << 16, 0},
		{NVME_ADMIN_CREATE_SQ, 0, FAILED(NVME_SC_INVALID_QID), 16, on_cq1, 0},
		{NVME_ADMIN_CREATE_SQ, 1, FAILED(NVME_SC_INVALID_QID), 16, on_cq1, 0},
		{NVME_ADMIN_CREATE_SQ, 2, FAILED(NVME_SC_INVALID_CQ), 16, NVME_SQ_PC, 0},
		{NVME_ADMIN_CREATE_SQ, 2, FAILED(NVME_SC_INVALID_CQ), 16, NVME_SQ_PC | 2u << 16, 0},
		{NVME_ADMIN_CREATE_SQ, 2, FAILED(NVME_SC_INVALID_QUEUE_SIZE), 1, on_cq1, 0},
		{NVME_ADMIN_CREATE_SQ, 2, FAILED(NVME_SC_INVALID_FIELD), 16, 1u << 16, 0},
		{NVME_ADMIN_CREATE_SQ, 2, FAILED(NVME_SC_INVALID_PRP_OFFSET), 16, on_cq1, RIG_BASE + 8},
		{NVME_ADMIN_DELETE_SQ, 0, FAILED(NVME_SC_INVALID_QID), 1, 0, 0},
		{NVME_ADMIN_DELETE_SQ, 2, FAILED(NVME_SC_INVALID_QID), 1, 0, 0},
		{NVME_ADMIN_DELETE_CQ, 0, FAILED(NVME_SC_INVALID_QID), 1, 0, 0},
		{NVME_ADMIN_DELETE_CQ, 2, FAILED(NVME_SC_INVALID_QID), 1, 0, 0},
		{NVME_ADMIN_DELETE_CQ, 1, FAILED(NVME_SC_INVALID_QUEUE_DELETION), 1, 0, 0},
		{NVME_ADMIN_DELETE_SQ, 1, 0, 1, 0, 0},
		{NVME_ADMIN_DELETE_CQ, 1, 0, 1, 0, 0},
		{NVME_ADMIN_DELETE_CQ, 1, FAILED(NVME_SC_INVALID_QID), 1, 0, 0},
	};
	struct rig r;
	uint64_t page;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct queue_case *c = &cases[i];
		struct nvme_sqe sqe = rig_sqe(c->opcode, 0, c->base == 0 ? page : c->base == 1 ? 0 : c->base, 0);

		rig_set(&sqe, 10, c->qid | (c->entry_count - 1) << 16);
		rig_set(&sqe, 11, c->cdw11);
		if (rig_do(&r, 0, &sqe, NULL) != c->wanted)
			fail_msg("case %u", i);
	}
	rig_fini(&r);
}

static void test_vectors_with_the_pin_are_refused_but_zero(void **state)
{
	struct rig r;

	start(&r);
	r.msix_on = false;
	assert_int_equal(rig_create(&r, 1, 16, 1), FAILED(NVME_SC_INVALID_INTERRUPT_VECTOR));
	assert_int_equal(rig_create(&r, 1, 16, 0), 0);
	rig_fini(&r);
}

static void test_unknown_and_fused_and_sgl_admin_commands_are_refused(void **state)
{
	struct nvme_sqe sqe;
	struct rig r;

	start(&r);
	sqe = rig_sqe(0x7f, 0, 0, 0);
	assert_int_equal(rig_do(&r, 0, &sqe, NULL), FAILED(NVME_SC_INVALID_OPCODE));
	sqe = rig_sqe(NVME_ADMIN_GET_FEATURES, 0, 0, 0);
	sqe.cdw0 = ob_cpu_to_le32(NVME_ADMIN_GET_FEATURES | FIELD_PREP(NVME_CDW0_FUSE, 1));
	assert_int_equal(rig_do(&r, 0, &sqe, NULL), FAILED(NVME_SC_INVALID_FIELD));
	sqe.cdw0 = ob_cpu_to_le32(NVME_ADMIN_GET_FEATURES | FIELD_PREP(NVME_CDW0_PSDT, NVME_PSDT_SGL));
	assert_int_equal(rig_do(&r, 0, &sqe, NULL), FAILED(NVME_SC_INVALID_FIELD));
	rig_fini(&r);
}

static void test_abort_of_no_queue_or_command_says_so(void **state)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_ABORT, 0, 0, 0);
	uint32_t dw0;
	struct rig r;

	start(&r);
	rig_set(&sqe, 10, 3);
	assert_int_equal(rig_do(&r, 0, &sqe, &dw0), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(dw0, NVME_ABORT_NOT_ABORTED);
	rig_set(&sqe, 10, 0x12340000);
	assert_int_equal(rig_do(&r, 0, &sqe, &dw0), 0);
	assert_int_equal(dw0, NVME_ABORT_NOT_ABORTED);
	rig_fini(&r);
}

/* ---- identify ---- */

static uint16_t identify(struct rig *r, uint32_t cns, uint32_t nsid, uint64_t to)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_IDENTIFY, nsid, to, 0);

	memset(rig_at(r, to), 0xee, RIG_PAGE);
	rig_set(&sqe, 10, cns);
	return rig_do(r, 0, &sqe, NULL);
}

static void test_identify_of_each_kind_tells_the_truth(void **state)
{
	const struct nvme_identify_controller *c;
	const struct nvme_identify_namespace *ns;
	const struct nvme_namespace_list *list;
	const struct nvme_namespace_descriptor *d;
	struct rig r;
	uint64_t page;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	c = rig_at(&r, page);
	ns = rig_at(&r, page);
	list = rig_at(&r, page);
	d = rig_at(&r, page);
	assert_int_equal(identify(&r, NVME_CNS_CONTROLLER, 0, page), 0);
	assert_memory_equal(c->sn, "OUTBOARD0001        ", 20);
	assert_int_equal(c->sqes, 0x66);
	assert_int_equal(c->cqes, 0x44);
	assert_int_equal(ob_le32_to_cpu(c->ver), NVME_VERSION(1, 4, 0));
	assert_int_equal(ob_le64_to_cpu(c->unvmcap[0]), ob_le64_to_cpu(c->tnvmcap[0]) - 2 * RIG_NS_BYTES);
	assert_int_equal(identify(&r, NVME_CNS_NAMESPACE, 1, page), 0);
	assert_int_equal(ob_le64_to_cpu(ns->nsze), RIG_NS_BYTES / 512);
	assert_int_equal(identify(&r, NVME_CNS_NAMESPACE, 2, page), 0);
	assert_int_equal(ob_le64_to_cpu(ns->nsze), RIG_NS_BYTES / 4096);
	assert_int_equal(FIELD_GET(NVME_LBAF_LBADS, ob_le32_to_cpu(ns->lbaf[ns->flbas & NVME_FLBAS_FORMAT])), 12);
	assert_int_equal(identify(&r, NVME_CNS_NAMESPACE, 3, page), 0); /* inactive: zeroes */
	assert_int_equal(ob_le64_to_cpu(ns->nsze), 0);
	assert_int_equal(ns->nlbaf, 0);
	assert_int_equal(identify(&r, NVME_CNS_NAMESPACE, NVME_NSID_ALL, page), 0);
	assert_int_equal(ns->nlbaf, 1);
	assert_int_equal(identify(&r, NVME_CNS_ACTIVE_NAMESPACES, 0, page), 0);
	assert_int_equal(ob_le32_to_cpu(list->nsid[0]), 1);
	assert_int_equal(ob_le32_to_cpu(list->nsid[1]), 2);
	assert_int_equal(ob_le32_to_cpu(list->nsid[2]), 0);
	assert_int_equal(identify(&r, NVME_CNS_ACTIVE_NAMESPACES, 1, page), 0);
	assert_int_equal(ob_le32_to_cpu(list->nsid[0]), 2);
	assert_int_equal(identify(&r, NVME_CNS_NAMESPACE_DESCRIPTORS, 1, page), 0);
	assert_int_equal(d->nidt, NVME_NIDT_EUI64);
	assert_int_equal(d->nidl, 8);
	rig_fini(&r);
}

static void test_identify_with_wrong_input_is_refused(void **state)
{
	static const struct {
		uint32_t cns, nsid;
		uint16_t wanted;
	} cases[] = {
		{NVME_CNS_NAMESPACE, 0, FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT)},
		{NVME_CNS_NAMESPACE, 257, FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT)},
		{NVME_CNS_ACTIVE_NAMESPACES, NVME_NSID_ALL - 1, FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT)},
		{NVME_CNS_ACTIVE_NAMESPACES, NVME_NSID_ALL, FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT)},
		{NVME_CNS_NAMESPACE_DESCRIPTORS, 3, FAILED(NVME_SC_INVALID_FIELD)},
		{NVME_CNS_NAMESPACE_DESCRIPTORS, 0, FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT)},
		{0x55, 0, FAILED(NVME_SC_INVALID_FIELD)},
	};
	struct nvme_sqe sqe;
	struct rig r;
	uint64_t page;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		if (identify(&r, cases[i].cns, cases[i].nsid, page) != cases[i].wanted)
			fail_msg("case %u", i);
	sqe = rig_sqe(NVME_ADMIN_IDENTIFY, 0, RIG_BASE - RIG_PAGE, 0); /* memory that it must not touch */
	rig_set(&sqe, 10, NVME_CNS_CONTROLLER);
	assert_int_equal(rig_do(&r, 0, &sqe, NULL), FAILED(NVME_SC_DATA_TRANSFER_ERROR));
	sqe = rig_sqe(NVME_ADMIN_IDENTIFY, 0, page + 2, 0);
	rig_set(&sqe, 10, NVME_CNS_CONTROLLER);
	assert_int_equal(rig_do(&r, 0, &sqe, NULL), FAILED(NVME_SC_INVALID_PRP_OFFSET));
	rig_fini(&r);
}

/* ---- features ---- */

static uint16_t set_feature(struct rig *r, uint32_t cdw10, uint32_t nsid, uint32_t value, uint32_t *dw0)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_SET_FEATURES, nsid, 0, 0);

	rig_set(&sqe, 10, cdw10);
	rig_set(&sqe, 11, value);
	return rig_do(r, 0, &sqe, dw0);
}

static uint16_t get_feature(struct rig *r, uint32_t cdw10, uint32_t nsid, uint32_t value, uint32_t *dw0)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_GET_FEATURES, nsid, 0, 0);

	rig_set(&sqe, 10, cdw10);
	rig_set(&sqe, 11, value);
	return rig_do(r, 0, &sqe, dw0);
}

static void test_queue_count_feature_is_bounded_and_comes_first(void **state)
{
	struct rig r;
	uint32_t dw0;

	start(&r);
	assert_int_equal(set_feature(&r, NVME_FEATURE_QUEUE_COUNT, 0, 0x00020002, &dw0), 0);
	assert_int_equal(dw0, 0x00020002);
	assert_int_equal(rig_create(&r, 4, 16, -1), FAILED(NVME_SC_INVALID_QID)); /* three were allotted */
	assert_int_equal(set_feature(&r, NVME_FEATURE_QUEUE_COUNT, 0, 0x01000100, &dw0), 0);
	assert_int_equal(dw0, 0x003f003f);
	assert_int_equal(set_feature(&r, NVME_FEATURE_QUEUE_COUNT, 0, 0xffff0000, &dw0), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	assert_int_equal(set_feature(&r, NVME_FEATURE_QUEUE_COUNT, 0, 0x00020002, &dw0),
			 FAILED(NVME_SC_COMMAND_SEQUENCE_ERROR));
	assert_int_equal(get_feature(&r, NVME_FEATURE_QUEUE_COUNT, 0, 0, &dw0), 0);
	assert_int_equal(dw0, 0x003f003f);
	rig_fini(&r);
}

static void test_features_keep_what_is_set_until_reset(void **state)
{
	static const struct {
		uint32_t fid, value, wanted;
	} cases[] = {
		{NVME_FEATURE_ARBITRATION, 0x01020304, 0x01020304},
		{NVME_FEATURE_VOLATILE_WRITE_CACHE, 0, 0},
		{NVME_FEATURE_INTERRUPT_COALESCING, 0x1234, 0x1234},
		{NVME_FEATURE_INTERRUPT_VECTOR, 0x10002, 0x10002},
		{NVME_FEATURE_WRITE_ATOMICITY, 1, 1},
		{NVME_FEATURE_ASYNC_EVENT, 0x1ff, 0x1ff},
		{NVME_FEATURE_TEMPERATURE, 350, 350},
	};
	uint32_t dw0, before;
	struct rig r;

	start(&r);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t index = cases[i].fid == NVME_FEATURE_INTERRUPT_VECTOR ? 2 : 0;

		assert_int_equal(get_feature(&r, cases[i].fid, 0, index, &before), 0);
		assert_int_equal(set_feature(&r, cases[i].fid, 0, cases[i].value, &dw0), 0);
		assert_int_equal(get_feature(&r, cases[i].fid, 0, index, &dw0), 0);
		assert_int_equal(dw0, cases[i].wanted);
		assert_int_equal(get_feature(&r, cases[i].fid | 1u << 8, 0, index, &dw0), 0); /* default */
		assert_int_equal(dw0, before);
	}
	rig_disable(&r);
	rig_enable(&r, 12);
	assert_int_equal(get_feature(&r, NVME_FEATURE_VOLATILE_WRITE_CACHE, 0, 0, &dw0), 0);
	assert_int_equal(dw0, 1);
	rig_fini(&r);
}

static void test_features_with_wrong_input_are_refused(void **state)
{
	uint32_t dw0;
	struct rig r;

	start(&r);
	assert_int_equal(get_feature(&r, 0x7e, 0, 0, &dw0), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(set_feature(&r, 0x7e, 0, 0, &dw0), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(set_feature(&r, NVME_FEATURE_SAVE | NVME_FEATURE_ARBITRATION, 0, 1, &dw0),
			 FAILED(NVME_SC_FEATURE_NOT_SAVEABLE));
	assert_int_equal(set_feature(&r, NVME_FEATURE_ARBITRATION, 1, 1, &dw0),
			 FAILED(NVME_SC_FEATURE_NOT_NAMESPACE_SPECIFIC));
	assert_int_equal(set_feature(&r, NVME_FEATURE_POWER, 0, 1, &dw0), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(set_feature(&r, NVME_FEATURE_INTERRUPT_VECTOR, 0, 65, &dw0), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(get_feature(&r, NVME_FEATURE_ERROR_RECOVERY, 300, 0, &dw0),
			 FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT));
	assert_int_equal(get_feature(&r, NVME_FEATURE_ARBITRATION | 4u << 8, 0, 0, &dw0),
			 FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(get_feature(&r, NVME_FEATURE_ARBITRATION | 3u << 8, 0, 0, &dw0), 0);
	assert_int_equal(dw0, 4); /* changeable, not saveable, not of a namespace */
	rig_fini(&r);
}

/* ---- logs and events ---- */

static uint16_t get_log(struct rig *r, uint32_t page, uint32_t nsid, uint64_t to, uint32_t len_bytes, uint64_t offset)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_GET_LOG_PAGE, nsid, to, 0);

	rig_set(&sqe, 10, page | (len_bytes / 4 - 1) << 16);
	rig_set(&sqe, 12, (uint32_t)offset);
	rig_set(&sqe, 13, (uint32_t)(offset >> 32));
	return rig_do(r, 0, &sqe, NULL);
}

static void test_log_pages_tell_what_happened(void **state)
{
	const struct nvme_error_log *e;
	const struct nvme_smart_log *s;
	struct nvme_sqe sqe;
	struct rig r;
	uint64_t page, data;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	data = rig_alloc(&r, RIG_PAGE);
	e = rig_at(&r, page);
	s = rig_at(&r, page);
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 8, data, 0);
	for (unsigned i = 0; i < 126; i++)
		assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	sqe = rig_io(&r, NVME_CMD_WRITE, 1, 1u << 30, 1, data, 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), FAILED(NVME_SC_LBA_OUT_OF_RANGE));
	assert_int_equal(get_log(&r, NVME_LOG_SMART, NVME_NSID_ALL, page, 512, 0), 0);
	assert_int_equal(ob_le64_to_cpu(s->host_reads[0]), 126);
	assert_int_equal(ob_le64_to_cpu(s->data_units_read[0]), 2); /* 1008 sectors, rounded up */
	assert_int_equal(ob_le64_to_cpu(s->error_log_entries[0]), 1);
	assert_int_equal(s->temperature[0] | s->temperature[1] << 8, 310);
	assert_int_equal(get_log(&r, NVME_LOG_ERROR, 0, page, 128, 0), 0);
	assert_int_equal(ob_le64_to_cpu(e->error_count), 1);
	assert_int_equal(ob_le64_to_cpu(e->lba), 1u << 30);
	assert_int_equal(ob_le16_to_cpu(e->sqid), 1);
	assert_int_equal(NVME_CQE_STATUS(ob_le16_to_cpu(e->status)), NVME_SC_LBA_OUT_OF_RANGE);
	assert_int_equal(ob_le64_to_cpu(e[1].error_count), 0);
	/* A part of it. */
	assert_int_equal(get_log(&r, NVME_LOG_SMART, 0, page, 16, 64), 0);
	assert_int_equal(ob_le64_to_cpu(*(const ob_le64 *)rig_at(&r, page)), 126);
	rig_fini(&r);
}

static void test_log_pages_with_wrong_input_are_refused(void **state)
{
	struct rig r;
	uint64_t page;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(get_log(&r, 0x7e, 0, page, 64, 0), FAILED(NVME_SC_INVALID_LOG_PAGE));
	assert_int_equal(get_log(&r, NVME_LOG_SMART, 1, page, 512, 0), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(get_log(&r, NVME_LOG_SMART, 0, page, 512, 2), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(get_log(&r, NVME_LOG_SMART, 0, page, 512, 512), FAILED(NVME_SC_INVALID_FIELD));
	rig_fini(&r);
}

static void test_async_requests_are_limited_and_masked_until_read(void **state)
{
	struct nvme_sqe aer = rig_sqe(NVME_ADMIN_ASYNC_EVENT, 0, 0, 0);
	const struct nvme_namespace_list *list;
	struct nvme_cqe cqe;
	struct rig r;
	uint64_t page;
	uint16_t first;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	list = rig_at(&r, page);
	assert_int_equal(set_feature(&r, NVME_FEATURE_ASYNC_EVENT, 0, NVME_ASYNC_NAMESPACE, NULL), 0);
	first = rig_post(&r, 0, &aer);
	for (unsigned i = 0; i < 3; i++)
		rig_post(&r, 0, &aer);
	rig_ring(&r, 0);
	assert_false(rig_take(&r, 0, &cqe));
	assert_int_equal(rig_do(&r, 0, &aer, NULL), FAILED(NVME_SC_AER_LIMIT_EXCEEDED));
	assert_int_equal(nvme_model_namespace_resize(r.n, 2, 2 * RIG_NS_BYTES), 0);
	rig_run(&r);
	assert_true(rig_take(&r, 0, &cqe));
	rig_ring_head(&r, 0);
	assert_int_equal(ob_le16_to_cpu(cqe.cid), first);
	assert_int_equal(ob_le32_to_cpu(cqe.dw0),
			 NVME_EVENT_NOTICE | NVME_EVENT_NOTICE_NAMESPACE << 8 | NVME_LOG_CHANGED_NAMESPACES << 16);
	/* The same kind again only after its page was read. */
	assert_int_equal(nvme_model_namespace_attach(r.n, 1, false), 0);
	rig_run(&r);
	assert_false(rig_take(&r, 0, &cqe));
	assert_int_equal(get_log(&r, NVME_LOG_CHANGED_NAMESPACES | NVME_LOG_RAE, 0, page, 4096, 0), 0);
	assert_false(rig_take(&r, 0, &cqe)); /* read, but asked to keep the event */
	assert_int_equal(ob_le32_to_cpu(list->nsid[0]), 1);
	assert_int_equal(ob_le32_to_cpu(list->nsid[1]), 2);
	assert_int_equal(ob_le32_to_cpu(list->nsid[2]), 0);
	/* Unmasked, the one that waited comes, ahead of the completion of what unmasked it. */
	aer = rig_sqe(NVME_ADMIN_GET_LOG_PAGE, 0, page, 0);
	rig_set(&aer, 10, NVME_LOG_CHANGED_NAMESPACES | 1023u << 16);
	rig_post(&r, 0, &aer);
	rig_ring(&r, 0);
	assert_true(rig_take(&r, 0, &cqe));
	assert_int_equal(ob_le32_to_cpu(cqe.dw0) >> 16, NVME_LOG_CHANGED_NAMESPACES);
	assert_true(rig_take(&r, 0, &cqe));
	assert_int_equal(rig_status(&cqe), 0);
	rig_ring_head(&r, 0);
	assert_int_equal(get_log(&r, NVME_LOG_CHANGED_NAMESPACES, 0, page, 4096, 0), 0);
	assert_int_equal(ob_le32_to_cpu(list->nsid[0]), 0); /* reading it cleared it */
	rig_fini(&r);
}

static void test_health_events_come_when_enabled(void **state)
{
	struct nvme_sqe aer = rig_sqe(NVME_ADMIN_ASYNC_EVENT, 0, 0, 0);
	struct nvme_cqe cqe;
	struct rig r;

	start(&r);
	rig_post(&r, 0, &aer);
	rig_ring(&r, 0);
	nvme_model_set_temperature(r.n, 400);
	rig_run(&r);
	assert_false(rig_take(&r, 0, &cqe)); /* not asked for */
	assert_int_equal(set_feature(&r, NVME_FEATURE_ASYNC_EVENT, 0, NVME_SMART_TEMPERATURE | NVME_SMART_SPARE, NULL),
			 0);
	nvme_model_set_warning(r.n, NVME_SMART_SPARE);
	rig_run(&r);
	assert_true(rig_take(&r, 0, &cqe));
	assert_int_equal(ob_le32_to_cpu(cqe.dw0),
			 NVME_EVENT_SMART | NVME_EVENT_SMART_SPARE << 8 | NVME_LOG_SMART << 16);
	rig_fini(&r);
}

/* ---- namespaces, firmware, format ---- */

static uint16_t attach(struct rig *r, uint32_t nsid, uint32_t select, uint64_t list)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_NAMESPACE_ATTACH, nsid, list, 0);

	rig_set(&sqe, 10, select);
	return rig_do(r, 0, &sqe, NULL);
}

static uint16_t manage(struct rig *r, uint32_t nsid, uint32_t select, uint64_t data, uint32_t *dw0)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_NAMESPACE_MANAGE, nsid, data, 0);

	rig_set(&sqe, 10, select);
	return rig_do(r, 0, &sqe, dw0);
}

static void test_namespace_from_creation_to_deletion(void **state)
{
	struct nvme_identify_namespace *id;
	struct nvme_controller_list *list;
	struct nvme_sqe sqe;
	uint64_t data, ids;
	uint32_t nsid;
	struct rig r;

	start(&r);
	data = rig_alloc(&r, RIG_PAGE);
	ids = rig_alloc(&r, RIG_PAGE);
	id = rig_at(&r, data);
	list = rig_at(&r, ids);
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	id->nsze = id->ncap = ob_cpu_to_le64(100);
	id->flbas = 1;
	assert_int_equal(manage(&r, 0, NVME_NS_CREATE, data, &nsid), 0);
	assert_int_equal(nsid, 3);
	sqe = rig_io(&r, NVME_CMD_READ, nsid, 99, 1, data, 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), FAILED(NVME_SC_INVALID_FIELD)); /* not attached */
	assert_int_equal(attach(&r, nsid, NVME_NS_ATTACH, ids), FAILED(NVME_SC_INVALID_CONTROLLER_LIST));
	list->count = ob_cpu_to_le16(1);
	assert_int_equal(attach(&r, nsid, NVME_NS_DETACH, ids), FAILED(NVME_SC_NAMESPACE_NOT_ATTACHED));
	assert_int_equal(attach(&r, nsid, NVME_NS_ATTACH, ids), 0);
	assert_int_equal(attach(&r, nsid, NVME_NS_ATTACH, ids), FAILED(NVME_SC_NAMESPACE_ATTACHED));
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	sqe = rig_io(&r, NVME_CMD_READ, nsid, 100, 1, data, 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), FAILED(NVME_SC_LBA_OUT_OF_RANGE));
	assert_int_equal(manage(&r, nsid, NVME_NS_DELETE, 0, NULL), 0);
	assert_int_equal(manage(&r, nsid, NVME_NS_DELETE, 0, NULL), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(manage(&r, 0, NVME_NS_DELETE, 0, NULL), FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT));
	assert_int_equal(manage(&r, 0, 5, 0, NULL), FAILED(NVME_SC_INVALID_FIELD));
	rig_fini(&r);
}

static void test_namespace_creation_with_wrong_input_is_refused(void **state)
{
	struct nvme_identify_namespace *id;
	uint64_t data;
	struct rig r;

	start(&r);
	data = rig_alloc(&r, RIG_PAGE);
	id = rig_at(&r, data);
	id->nsze = id->ncap = ob_cpu_to_le64(0);
	assert_int_equal(manage(&r, 0, NVME_NS_CREATE, data, NULL), FAILED(NVME_SC_INVALID_FIELD));
	id->nsze = id->ncap = ob_cpu_to_le64(100);
	id->flbas = 2;
	assert_int_equal(manage(&r, 0, NVME_NS_CREATE, data, NULL), FAILED(NVME_SC_INVALID_FORMAT));
	id->flbas = 0;
	id->dps = 1;
	assert_int_equal(manage(&r, 0, NVME_NS_CREATE, data, NULL), FAILED(NVME_SC_INVALID_FIELD));
	id->dps = 0;
	id->nsze = ob_cpu_to_le64(200);
	assert_int_equal(manage(&r, 0, NVME_NS_CREATE, data, NULL), FAILED(NVME_SC_THIN_PROVISIONING_UNSUPPORTED));
	id->nsze = id->ncap = ob_cpu_to_le64(1ull << 60);
	assert_int_equal(manage(&r, 0, NVME_NS_CREATE, data, NULL), FAILED(NVME_SC_NAMESPACE_CAPACITY));
	rig_fini(&r);
}

static uint16_t download(struct rig *r, uint64_t data, uint32_t offset, uint32_t len_bytes)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_FIRMWARE_DOWNLOAD, 0, data, 0);

	rig_set(&sqe, 10, len_bytes / 4 - 1);
	rig_set(&sqe, 11, offset / 4);
	return rig_do(r, 0, &sqe, NULL);
}

static uint16_t commit(struct rig *r, uint32_t slot, uint32_t action)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_FIRMWARE_COMMIT, 0, 0, 0);

	rig_set(&sqe, 10, slot | action << 3);
	return rig_do(r, 0, &sqe, NULL);
}

static void test_firmware_from_download_to_activation(void **state)
{
	const struct nvme_identify_controller *c;
	const struct nvme_firmware_log *log;
	struct rig r;
	uint64_t page;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	c = rig_at(&r, page);
	log = rig_at(&r, page);
	assert_int_equal(commit(&r, 2, NVME_FIRMWARE_REPLACE), FAILED(NVME_SC_INVALID_FIRMWARE_IMAGE));
	assert_int_equal(commit(&r, 2, NVME_FIRMWARE_ACTIVATE), FAILED(NVME_SC_INVALID_FIRMWARE_SLOT));
	assert_int_equal(commit(&r, 7, NVME_FIRMWARE_REPLACE), FAILED(NVME_SC_INVALID_FIRMWARE_SLOT));
	assert_int_equal(commit(&r, 2, 6), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(download(&r, page, 0, 2048), FAILED(NVME_SC_INVALID_FIELD)); /* FWUG */
	memcpy(rig_at(&r, page), "OBFW2.71    ", 12);
	assert_int_equal(download(&r, page, 0, 4096), 0);
	assert_int_equal(download(&r, page, 8192, 4096), FAILED(NVME_SC_INVALID_FIELD)); /* a gap */
	assert_int_equal(download(&r, page, 4096, 4096), 0);
	assert_int_equal(download(&r, page, 4096, 4096), FAILED(NVME_SC_OVERLAPPING_RANGE));
	assert_int_equal(commit(&r, 2, NVME_FIRMWARE_REPLACE_AND_RESET), 0);
	assert_int_equal(get_log(&r, NVME_LOG_FIRMWARE, 0, page, 512, 0), 0);
	assert_int_equal(log->afi, 1 | 2 << 4);
	assert_memory_equal(log->slot[1], "2.71    ", 8);
	rig_disable(&r);
	rig_enable(&r, 12);
	assert_int_equal(identify(&r, NVME_CNS_CONTROLLER, 0, page), 0);
	assert_memory_equal(c->fr, "2.71    ", 8);
	assert_int_equal(commit(&r, 1, NVME_FIRMWARE_ACTIVATE_NOW), 0);
	assert_int_equal(identify(&r, NVME_CNS_CONTROLLER, 0, page), 0);
	assert_memory_equal(c->fr, "1.0     ", 8);
	rig_fini(&r);
}

static uint16_t format(struct rig *r, uint32_t nsid, uint32_t cdw10)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_FORMAT, nsid, 0, 0);

	rig_set(&sqe, 10, cdw10);
	return rig_do(r, 0, &sqe, NULL);
}

static void test_format_changes_blocks_and_erases(void **state)
{
	struct nvme_sqe sqe;
	struct rig r;
	uint64_t page;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	memset(rig_at(&r, page), 0x77, RIG_PAGE);
	sqe = rig_io(&r, NVME_CMD_WRITE, 1, 0, 8, page, 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	assert_int_equal(format(&r, 1, 1), 0);
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, page, 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	assert_int_equal(*(uint8_t *)rig_at(&r, page), 0);
	assert_int_equal(*((uint8_t *)rig_at(&r, page) + RIG_PAGE - 1), 0);
	sqe = rig_io(&r, NVME_CMD_READ, 1, RIG_NS_BYTES / 4096, 1, page, 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), FAILED(NVME_SC_LBA_OUT_OF_RANGE));
	assert_int_equal(format(&r, 1, 2), FAILED(NVME_SC_INVALID_FORMAT));
	assert_int_equal(format(&r, 1, NVME_FORMAT_MSET), FAILED(NVME_SC_INVALID_FORMAT));
	assert_int_equal(format(&r, 1, FIELD_PREP(NVME_FORMAT_SES, 2)), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(format(&r, 3, 0), FAILED(NVME_SC_INVALID_FIELD));
	assert_int_equal(format(&r, 0, 0), FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT));
	assert_int_equal(format(&r, NVME_NSID_ALL, 0), 0);
	rig_fini(&r);
}

static void test_doorbell_buffers_with_wrong_pages_are_refused(void **state)
{
	struct nvme_sqe sqe;
	struct rig r;
	uint64_t page;

	start(&r);
	page = rig_alloc(&r, RIG_PAGE);
	sqe = rig_sqe(NVME_ADMIN_DOORBELL_BUFFER, 0, page + 8, page);
	assert_int_equal(rig_do(&r, 0, &sqe, NULL), FAILED(NVME_SC_INVALID_FIELD));
	sqe = rig_sqe(NVME_ADMIN_DOORBELL_BUFFER, 0, page, 0);
	assert_int_equal(rig_do(&r, 0, &sqe, NULL), FAILED(NVME_SC_INVALID_FIELD));
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_and_delete_queue_with_wrong_input_is_refused),
		cmocka_unit_test(test_vectors_with_the_pin_are_refused_but_zero),
		cmocka_unit_test(test_unknown_and_fused_and_sgl_admin_commands_are_refused),
		cmocka_unit_test(test_abort_of_no_queue_or_command_says_so),
		cmocka_unit_test(test_identify_of_each_kind_tells_the_truth),
		cmocka_unit_test(test_identify_with_wrong_input_is_refused),
		cmocka_unit_test(test_queue_count_feature_is_bounded_and_comes_first),
		cmocka_unit_test(test_features_keep_what_is_set_until_reset),
		cmocka_unit_test(test_features_with_wrong_input_are_refused),
		cmocka_unit_test(test_log_pages_tell_what_happened),
		cmocka_unit_test(test_log_pages_with_wrong_input_are_refused),
		cmocka_unit_test(test_async_requests_are_limited_and_masked_until_read),
		cmocka_unit_test(test_health_events_come_when_enabled),
		cmocka_unit_test(test_namespace_from_creation_to_deletion),
		cmocka_unit_test(test_namespace_creation_with_wrong_input_is_refused),
		cmocka_unit_test(test_firmware_from_download_to_activation),
		cmocka_unit_test(test_format_changes_blocks_and_erases),
		cmocka_unit_test(test_doorbell_buffers_with_wrong_pages_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
