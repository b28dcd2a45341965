/* SPDX-License-Identifier: BSD-2-Clause */
/* The controller's model by hand: bring-up, doorbells, wraps, full queues, interrupts, reset, shutdown, events. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/model_rig.h"

#define IO_DEPTH 4u

static void start(struct rig *r, const struct nvme_model_config *config)
{
	rig_init(r, config);
	assert_int_equal(rig_enable(r, 12), NVME_CSTS_RDY);
}

static void test_registers_at_power_on_read_as_specified(void **state)
{
	struct rig r;
	uint64_t cap;

	rig_init(&r, NULL);
	cap = nvme_model_read(r.n, NVME_CAP, 8);
	assert_int_equal(FIELD_GET(NVME_CAP_MQES, cap), 4095);
	assert_true((cap & NVME_CAP_CQR) != 0);
	assert_int_equal(FIELD_GET(NVME_CAP_CSS, cap), NVME_CAP_CSS_NVM);
	assert_int_equal(FIELD_GET(NVME_CAP_MPSMIN, cap), 0);
	assert_int_not_equal(FIELD_GET(NVME_CAP_TO, cap), 0);
	assert_int_equal(cap, rig_read32(&r, NVME_CAP) | (uint64_t)rig_read32(&r, NVME_CAP + 4) << 32);
	assert_int_equal(rig_read32(&r, NVME_VS), NVME_VERSION(1, 4, 0));
	assert_int_equal(rig_read32(&r, NVME_CC), 0);
	assert_int_equal(rig_read32(&r, NVME_CSTS), 0);
	rig_fini(&r);
}

static void test_enable_with_wrong_setup_sets_fatal_status(void **state)
{
	static const uint32_t wrong_cc[] = {
		FIELD_PREP(NVME_CC_MPS, 5),
		FIELD_PREP(NVME_CC_CSS, 1),
		FIELD_PREP(NVME_CC_AMS, 1),
	};
	struct rig r;

	for (unsigned i = 0; i < ARRAY_SIZE(wrong_cc); i++) {
		rig_init(&r, NULL);
		rig_enable(&r, 12);
		rig_disable(&r);
		assert_int_equal(rig_read32(&r, NVME_CSTS), 0);
		rig_write32(&r, NVME_CC, NVME_CC_EN | wrong_cc[i]);
		assert_int_equal(rig_read32(&r, NVME_CSTS), NVME_CSTS_CFS);
		rig_disable(&r); /* a reset takes it away */
		assert_int_equal(rig_enable(&r, 12), NVME_CSTS_RDY);
		rig_fini(&r);
	}
	rig_init(&r, NULL); /* no admin queue */
	rig_write32(&r, NVME_CC, NVME_CC_EN);
	assert_int_equal(rig_read32(&r, NVME_CSTS), NVME_CSTS_CFS);
	rig_fini(&r);
}

static void test_enable_with_ready_time_waits_for_it(void **state)
{
	struct nvme_model_config config;
	struct rig r;

	nvme_model_config_default(&config);
	config.ready_ns = 700 * OB_NS_PER_MS;
	rig_init(&r, &config);
	assert_int_equal(FIELD_GET(NVME_CAP_TO, nvme_model_read(r.n, NVME_CAP, 8)), 3);
	assert_int_equal(rig_enable(&r, 12), 0);
	rig_advance(&r, 699 * OB_NS_PER_MS);
	assert_int_equal(rig_read32(&r, NVME_CSTS), 0);
	rig_advance(&r, 2 * OB_NS_PER_MS);
	assert_int_equal(rig_read32(&r, NVME_CSTS), NVME_CSTS_RDY);
	rig_fini(&r);
}

static void test_admin_queue_registers_when_enabled_keep_their_value(void **state)
{
	struct rig r;

	start(&r, NULL);
	rig_write64(&r, NVME_ASQ, 0xdead000);
	assert_int_equal(nvme_model_read(r.n, NVME_ASQ, 8), r.q[0].sq);
	assert_int_equal(r.notes, 2); /* one for each half */
	rig_fini(&r);
}

static void test_queue_over_many_wraps_keeps_order_and_phase(void **state)
{
	struct rig r;
	struct nvme_sqe sqe;
	uint64_t data;

	start(&r, NULL);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, IO_DEPTH, -1), 0);
	for (unsigned i = 0; i < 10 * IO_DEPTH + 3; i++) {
		sqe = rig_io(&r, NVME_CMD_READ, 1, i, 1, data, 0);
		assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	}
	rig_fini(&r);
}

static void test_full_completion_queue_holds_back_and_goes_on(void **state)
{
	struct rig r;
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	uint64_t data;
	unsigned taken = 0;

	start(&r, NULL);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, IO_DEPTH, -1), 0);
	for (unsigned i = 0; i < IO_DEPTH - 1; i++) {
		sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
		rig_post(&r, 1, &sqe);
	}
	rig_ring(&r, 1);
	/* Its three entries are full; three more commands must wait in the submission queue. */
	for (unsigned i = 0; i < IO_DEPTH - 1; i++) {
		sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
		rig_post(&r, 1, &sqe);
	}
	rig_ring(&r, 1);
	while (rig_take(&r, 1, &cqe))
		taken++;
	assert_int_equal(taken, IO_DEPTH - 1);
	rig_ring_head(&r, 1);
	while (rig_take(&r, 1, &cqe))
		taken++;
	assert_int_equal(taken, 2 * (IO_DEPTH - 1));
	rig_fini(&r);
}

static void test_full_completion_queue_with_late_commands_loses_none(void **state)
{
	struct nvme_model_config config;
	struct nvme_model_stats stats;
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	struct rig r;
	uint64_t data;
	unsigned taken = 0;

	nvme_model_config_default(&config);
	config.latency_ns = 1000;
	start(&r, &config);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, IO_DEPTH, -1), 0);
	/* More commands under way than the completion queue has entries: they were fetched, so there is room to post. */
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < IO_DEPTH - 1; i++) {
			sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
			rig_post(&r, 1, &sqe);
		}
		rig_ring(&r, 1);
	}
	nvme_model_stats(r.n, &stats);
	assert_int_equal(stats.in_flight, 3 * (IO_DEPTH - 1));
	assert_false(rig_take(&r, 1, &cqe));
	rig_advance(&r, 2000);
	for (unsigned round = 0; round < 4; round++) {
		while (rig_take(&r, 1, &cqe))
			taken++;
		rig_ring_head(&r, 1);
	}
	assert_int_equal(taken, 3 * (IO_DEPTH - 1));
	rig_fini(&r);
}

static void test_doorbell_of_no_queue_or_value_raises_an_event(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t value;
		uint32_t info;
	} cases[] = {
		{NVME_SQTDBL(3, 0), 1, NVME_EVENT_ERROR_DOORBELL},
		{NVME_CQHDBL(1, 0) + 8, 0, NVME_EVENT_ERROR_DOORBELL},
		{NVME_SQTDBL(1, 0), IO_DEPTH, NVME_EVENT_ERROR_DOORBELL_VALUE},
		{NVME_CQHDBL(1, 0), 1, NVME_EVENT_ERROR_DOORBELL_VALUE}, /* nothing was posted */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_ASYNC_EVENT, 0, 0, 0);
		struct nvme_cqe cqe;
		struct rig r;

		start(&r, NULL);
		assert_int_equal(rig_create(&r, 1, IO_DEPTH, -1), 0);
		rig_post(&r, 0, &sqe);
		rig_ring(&r, 0);
		assert_false(rig_take(&r, 0, &cqe));
		rig_write32(&r, cases[i].offset, cases[i].value);
		assert_true(rig_take(&r, 0, &cqe));
		assert_int_equal(ob_le32_to_cpu(cqe.dw0), FIELD_PREP(NVME_EVENT_INFO, cases[i].info) |
								  FIELD_PREP(NVME_EVENT_PAGE, NVME_LOG_ERROR));
		rig_fini(&r);
	}
}

static void test_queue_memory_that_refuses_access_is_fatal(void **state)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_IDENTIFY, 0, 0, 0);
	struct rig r;

	start(&r, NULL);
	rig_post(&r, 0, &sqe);
	r.refuse_all = true; /* as with bus mastering off */
	rig_ring(&r, 0);
	assert_int_equal(rig_read32(&r, NVME_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS);
	r.refuse_all = false;
	rig_disable(&r);
	assert_int_equal(rig_enable(&r, 12), NVME_CSTS_RDY);
	rig_fini(&r);
}

/* ---- interrupts ---- */

static void test_msix_with_vectors_fires_once_for_a_batch(void **state)
{
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	struct rig r;
	uint64_t data;

	start(&r, NULL);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, 16, 1), 0);
	assert_int_equal(rig_create(&r, 2, 16, -1), 0);
	memset(r.msix_count, 0, sizeof(r.msix_count));
	for (unsigned q = 1; q <= 2; q++) {
		for (unsigned i = 0; i < 8; i++) {
			sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
			rig_post(&r, q, &sqe);
		}
		rig_ring(&r, q);
	}
	assert_int_equal(r.msix_count[1], 1);
	assert_int_equal(r.msix_count[0], 0);
	for (unsigned i = 0; i < 8; i++)
		assert_true(rig_take(&r, 2, &cqe)); /* no interrupt asked for, yet it is there */
	assert_false(r.intx);
	rig_fini(&r);
}

static void test_intx_level_follows_unread_entries_and_mask(void **state)
{
	struct nvme_sqe sqe = rig_sqe(NVME_ADMIN_GET_FEATURES, 0, 0, 0);
	struct nvme_cqe cqe;
	struct rig r;

	start(&r, NULL);
	r.msix_on = false;
	rig_set(&sqe, 10, NVME_FEATURE_ARBITRATION);
	rig_post(&r, 0, &sqe);
	rig_post(&r, 0, &sqe);
	rig_ring(&r, 0);
	assert_true(r.intx);
	rig_write32(&r, NVME_INTMS, 1);
	assert_false(r.intx);
	rig_write32(&r, NVME_INTMC, 1);
	assert_true(r.intx);
	assert_true(rig_take(&r, 0, &cqe));
	rig_ring_head(&r, 0);
	assert_true(r.intx); /* one is left */
	assert_true(rig_take(&r, 0, &cqe));
	rig_ring_head(&r, 0);
	assert_false(r.intx);
	rig_post(&r, 0, &sqe);
	rig_ring(&r, 0);
	assert_true(r.intx);
	rig_disable(&r);
	assert_false(r.intx);
	rig_fini(&r);
}

/* ---- shadow doorbells ---- */

static void use_shadow(struct rig *r)
{
	struct nvme_sqe sqe;

	r->shadow = rig_alloc(r, RIG_PAGE);
	r->event = rig_alloc(r, RIG_PAGE);
	sqe = rig_sqe(NVME_ADMIN_DOORBELL_BUFFER, 0, r->shadow, r->event);
	assert_int_equal(rig_do(r, 0, &sqe, NULL), 0);
}

static uint32_t shadow_get(struct rig *r, uint64_t base, uint32_t offset)
{
	return ob_le32_load(rig_at(r, base + offset));
}

static void test_shadow_doorbell_rings_only_past_the_event_index(void **state)
{
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	struct rig r;
	uint64_t data;

	start(&r, NULL);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	use_shadow(&r);
	for (unsigned i = 1; i <= 3; i++) {
		sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
		rig_post(&r, 1, &sqe);
		ob_le32_store(rig_at(&r, r.shadow + NVME_SHADOW_SQ(1, 0)), r.q[1].tail);
		rig_ring(&r, 1);
		assert_true(rig_take(&r, 1, &cqe));
		/* Idle again, it asks to be told of the next entry. */
		assert_int_equal(shadow_get(&r, r.event, NVME_SHADOW_SQ(1, 0)), r.q[1].tail);
	}
	/* The register's value is not what counts: the shadow is. */
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
	rig_post(&r, 1, &sqe);
	rig_post(&r, 1, &sqe);
	ob_le32_store(rig_at(&r, r.shadow + NVME_SHADOW_SQ(1, 0)), r.q[1].tail);
	rig_write32(&r, NVME_SQTDBL(1, 0), r.q[1].tail - 1);
	assert_true(rig_take(&r, 1, &cqe));
	assert_true(rig_take(&r, 1, &cqe));
	assert_false(rig_take(&r, 1, &cqe));
	rig_fini(&r);
}

static void test_shadow_head_makes_room_in_a_full_queue(void **state)
{
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	struct rig r;
	uint64_t data;
	unsigned taken = 0;

	start(&r, NULL);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, IO_DEPTH, -1), 0);
	use_shadow(&r);
	for (unsigned i = 0; i < 40; i++) {
		sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
		rig_post(&r, 1, &sqe);
		ob_le32_store(rig_at(&r, r.shadow + NVME_SHADOW_SQ(1, 0)), r.q[1].tail);
		rig_ring(&r, 1);
		while (rig_take(&r, 1, &cqe))
			taken++;
		/* The head is told in memory only. */
		ob_le32_store(rig_at(&r, r.shadow + NVME_SHADOW_CQ(1, 0)), r.q[1].head);
	}
	assert_int_equal(taken, 40);
	rig_fini(&r);
}

/* ---- reset, abort, shutdown ---- */

static uint64_t hang(void *arg, const struct nvme_model_command *command)
{
	return command->sqid != 0 ? MODEL_NEVER : 0;
}

static const struct nvme_model_hooks hang_hooks = {.delay_ns = hang};

static void test_abort_of_a_hanging_command_ends_both(void **state)
{
	struct nvme_sqe sqe, abort;
	struct nvme_cqe cqe;
	struct rig r;
	uint64_t data;
	uint16_t cid;
	uint32_t dw0;

	start(&r, NULL);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	nvme_model_set_hooks(r.n, &hang_hooks);
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
	cid = rig_post(&r, 1, &sqe);
	rig_ring(&r, 1);
	rig_advance(&r, OB_NS_PER_S);
	assert_false(rig_take(&r, 1, &cqe));
	abort = rig_sqe(NVME_ADMIN_ABORT, 0, 0, 0);
	rig_set(&abort, 10, 1 | (uint32_t)cid << 16);
	assert_int_equal(rig_do(&r, 0, &abort, &dw0), 0);
	assert_int_equal(dw0 & NVME_ABORT_NOT_ABORTED, 0);
	assert_true(rig_take(&r, 1, &cqe));
	assert_int_equal(ob_le16_to_cpu(cqe.cid), cid);
	assert_int_equal(rig_status(&cqe), NVME_SC_ABORT_REQUESTED);
	assert_int_equal(rig_do(&r, 0, &abort, &dw0), 0); /* a second time there is nothing */
	assert_int_equal(dw0 & NVME_ABORT_NOT_ABORTED, NVME_ABORT_NOT_ABORTED);
	rig_fini(&r);
}

static void test_reset_with_commands_in_flight_drops_them_untouched(void **state)
{
	struct nvme_model_config config;
	struct nvme_model_stats stats;
	struct nvme_sqe sqe;
	struct rig r;
	uint64_t data;

	nvme_model_config_default(&config);
	config.latency_ns = OB_NS_PER_MS;
	start(&r, &config);
	data = rig_alloc(&r, RIG_PAGE);
	memset(rig_at(&r, data), 0x5a, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, 16, 1), 0);
	for (unsigned i = 0; i < 8; i++) {
		sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 8, data, 0);
		rig_post(&r, 1, &sqe);
	}
	rig_ring(&r, 1);
	rig_disable(&r);
	assert_int_equal(rig_read32(&r, NVME_CSTS), 0);
	memset(rig_at(&r, r.q[1].cq), 0, RIG_PAGE);
	rig_advance(&r, OB_NS_PER_S);
	for (unsigned i = 0; i < RIG_PAGE; i++) {
		assert_int_equal(((uint8_t *)rig_at(&r, data))[i], 0x5a);
		assert_int_equal(((uint8_t *)rig_at(&r, r.q[1].cq))[i], 0);
	}
	nvme_model_stats(r.n, &stats);
	assert_int_equal(stats.in_flight, 0);
	assert_int_equal(rig_enable(&r, 12), NVME_CSTS_RDY);
	assert_int_equal(rig_create(&r, 1, 16, 1), 0); /* the id is free again */
	rig_advance(&r, OB_NS_PER_S);
	assert_int_equal(*(uint8_t *)rig_at(&r, data), 0x5a);
	rig_fini(&r);
}

static void test_delete_sq_with_commands_in_flight_aborts_them_first(void **state)
{
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	struct rig r;
	uint64_t data;

	start(&r, NULL);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	nvme_model_set_hooks(r.n, &hang_hooks);
	for (unsigned i = 0; i < 3; i++) {
		sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
		rig_post(&r, 1, &sqe);
	}
	rig_ring(&r, 1);
	sqe = rig_sqe(NVME_ADMIN_DELETE_SQ, 0, 0, 0);
	rig_set(&sqe, 10, 1);
	assert_int_equal(rig_do(&r, 0, &sqe, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(rig_take(&r, 1, &cqe));
		assert_int_equal(rig_status(&cqe), NVME_SC_ABORTED_SQ_DELETION);
	}
	rig_fini(&r);
}

static void test_shutdown_of_either_kind_reports_complete(void **state)
{
	struct nvme_model_config config;
	struct rig r;

	nvme_model_config_default(&config);
	config.shutdown_ns = OB_NS_PER_MS;
	for (uint32_t kind = NVME_CC_SHN_NORMAL; kind <= NVME_CC_SHN_ABRUPT; kind++) {
		start(&r, &config);
		rig_write32(&r, NVME_CC, rig_read32(&r, NVME_CC) | FIELD_PREP(NVME_CC_SHN, kind));
		assert_int_equal(FIELD_GET(NVME_CSTS_SHST, rig_read32(&r, NVME_CSTS)), NVME_CSTS_SHST_RUNNING);
		rig_advance(&r, 2 * OB_NS_PER_MS);
		assert_int_equal(FIELD_GET(NVME_CSTS_SHST, rig_read32(&r, NVME_CSTS)), NVME_CSTS_SHST_COMPLETE);
		rig_fini(&r);
	}
}

static void test_delays_of_different_length_complete_by_time(void **state)
{
	struct nvme_model_config config;
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	struct rig r;
	uint64_t data;
	uint16_t late, early;

	nvme_model_config_default(&config);
	start(&r, &config);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create(&r, 1, 16, -1), 0);
	nvme_model_set_latency(r.n, 5000);
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 1, data, 0);
	late = rig_post(&r, 1, &sqe);
	rig_ring(&r, 1);
	nvme_model_set_latency(r.n, 1000);
	early = rig_post(&r, 1, &sqe);
	rig_ring(&r, 1);
	rig_advance(&r, 1500);
	assert_true(rig_take(&r, 1, &cqe));
	assert_int_equal(ob_le16_to_cpu(cqe.cid), early);
	assert_false(rig_take(&r, 1, &cqe));
	rig_advance(&r, 5000);
	assert_true(rig_take(&r, 1, &cqe));
	assert_int_equal(ob_le16_to_cpu(cqe.cid), late);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers_at_power_on_read_as_specified),
		cmocka_unit_test(test_enable_with_wrong_setup_sets_fatal_status),
		cmocka_unit_test(test_enable_with_ready_time_waits_for_it),
		cmocka_unit_test(test_admin_queue_registers_when_enabled_keep_their_value),
		cmocka_unit_test(test_queue_over_many_wraps_keeps_order_and_phase),
		cmocka_unit_test(test_full_completion_queue_holds_back_and_goes_on),
		cmocka_unit_test(test_full_completion_queue_with_late_commands_loses_none),
		cmocka_unit_test(test_doorbell_of_no_queue_or_value_raises_an_event),
		cmocka_unit_test(test_queue_memory_that_refuses_access_is_fatal),
		cmocka_unit_test(test_msix_with_vectors_fires_once_for_a_batch),
		cmocka_unit_test(test_intx_level_follows_unread_entries_and_mask),
		cmocka_unit_test(test_shadow_doorbell_rings_only_past_the_event_index),
		cmocka_unit_test(test_shadow_head_makes_room_in_a_full_queue),
		cmocka_unit_test(test_abort_of_a_hanging_command_ends_both),
		cmocka_unit_test(test_reset_with_commands_in_flight_drops_them_untouched),
		cmocka_unit_test(test_delete_sq_with_commands_in_flight_aborts_them_first),
		cmocka_unit_test(test_shutdown_of_either_kind_reports_complete),
		cmocka_unit_test(test_delays_of_different_length_complete_by_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
