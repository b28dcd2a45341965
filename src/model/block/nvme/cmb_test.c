/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller memory buffer by hand. It is mapped over a part of the rig's memory: so each address there has two
 * contents, and the test sees which of them the controller took.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "model/block/nvme/controller.h"
#include "tests/model_rig.h"

#define CMB_BYTES (16 * RIG_PAGE)
#define DEPTH     4u
#define PAGE(i)   (base + (uint64_t)(i)*RIG_PAGE)

static uint64_t base; /* where it is mapped */

static void start(struct rig *r, uint32_t uses, bool legacy)
{
	struct nvme_model_config config;

	nvme_model_config_default(&config);
	config.cmb_bytes = CMB_BYTES;
	config.cmb_uses = uses;
	config.cmb_legacy = legacy;
	rig_init(r, &config);
	rig_alloc(r, RIG_PAGE); /* the host's, before it */
	base = rig_alloc(r, CMB_BYTES);
	assert_int_equal(rig_enable(r, 12), NVME_CSTS_RDY);
}

static void map(struct rig *r)
{
	rig_write64(r, NVME_CMBMSC, base | NVME_CMBMSC_CRE | NVME_CMBMSC_CMSE);
	assert_int_equal(rig_read32(r, NVME_CMBSTS), 0);
}

/* What the host does through the BAR. */
static void to_cmb(struct rig *r, uint64_t iova, size_t len_bytes)
{
	const uint8_t *from = rig_at(r, iova);

	for (size_t i = 0; i < len_bytes; i += 8) {
		uint64_t word;

		memcpy(&word, from + i, 8);
		nvme_model_cmb_store(r->n, iova - base + i, 8, word);
	}
}

static void from_cmb(struct rig *r, uint64_t iova, size_t len_bytes)
{
	uint8_t *to = rig_at(r, iova);

	for (size_t i = 0; i < len_bytes; i++)
		to[i] = (uint8_t)nvme_model_cmb_load(r->n, iova - base + i, 1);
}

/* ---- registers ---- */

static void test_registers_tell_nothing_until_they_are_enabled(void **state)
{
	struct rig r;
	uint32_t size;

	start(&r, NVME_CMBSZ_SQS | NVME_CMBSZ_RDS, false);
	assert_true((nvme_model_read(r.n, NVME_CAP, 8) & NVME_CAP_CMBS) != 0);
	assert_int_equal(rig_read32(&r, NVME_CMBLOC), 0);
	assert_int_equal(rig_read32(&r, NVME_CMBSZ), 0);
	rig_write32(&r, NVME_CMBMSC, (uint32_t)NVME_CMBMSC_CRE);
	size = rig_read32(&r, NVME_CMBSZ);
	assert_int_equal(FIELD_GET(NVME_CMBLOC_BIR, rig_read32(&r, NVME_CMBLOC)), NVME_MODEL_CMB_BAR);
	assert_int_equal(FIELD_GET(NVME_CMBLOC_OFST, rig_read32(&r, NVME_CMBLOC)), 0);
	assert_int_equal((uint64_t)FIELD_GET(NVME_CMBSZ_SZ, size) << (12 + 4 * FIELD_GET(NVME_CMBSZ_SZU, size)),
			 CMB_BYTES);
	assert_int_equal(size & 0x1f, NVME_CMBSZ_SQS | NVME_CMBSZ_RDS);
	/* CC.EN leaves it alone, all other resets do not. */
	map(&r);
	rig_disable(&r);
	assert_int_equal(rig_read32(&r, NVME_CMBSZ), size);
	assert_int_equal(nvme_model_read(r.n, NVME_CMBMSC, 8), base | 3);
	nvme_model_reset(r.n);
	assert_int_equal(rig_read32(&r, NVME_CMBSZ), 0);
	assert_int_equal(nvme_model_read(r.n, NVME_CMBMSC, 8), 0);
	rig_fini(&r);
}

static void test_base_address_beyond_the_end_is_invalid(void **state)
{
	struct rig r;

	start(&r, NVME_CMBSZ_SQS, false);
	rig_write64(&r, NVME_CMBMSC, (UINT64_MAX & ~0xfffull) | NVME_CMBMSC_CRE | NVME_CMBMSC_CMSE);
	assert_int_equal(rig_read32(&r, NVME_CMBSTS), NVME_CMBSTS_CBAI);
	assert_int_equal(nvme_model_cmb_share(r.n, UINT64_MAX & ~0xfffull, 8), NVME_CMB_NONE);
	map(&r);
	rig_fini(&r);
}

static void test_without_one_the_registers_are_reserved(void **state)
{
	struct rig r;

	rig_init(&r, NULL);
	assert_true((nvme_model_read(r.n, NVME_CAP, 8) & NVME_CAP_CMBS) == 0);
	rig_write64(&r, NVME_CMBMSC, UINT64_MAX);
	assert_int_equal(nvme_model_read(r.n, NVME_CMBMSC, 8), 0);
	assert_int_equal(rig_read32(&r, NVME_CMBLOC), 0);
	assert_int_equal(rig_read32(&r, NVME_CMBSZ), 0);
	rig_fini(&r);
	/* As before 1.4: they tell, and there is nothing to control. */
	start(&r, NVME_CMBSZ_SQS, true);
	assert_true((nvme_model_read(r.n, NVME_CAP, 8) & NVME_CAP_CMBS) == 0);
	assert_int_not_equal(rig_read32(&r, NVME_CMBSZ), 0);
	rig_write64(&r, NVME_CMBMSC, base | 3);
	assert_int_equal(nvme_model_read(r.n, NVME_CMBMSC, 8), 0);
	rig_fini(&r);
}

/* ---- the host's way in ---- */

static void test_host_reads_what_it_wrote_in_any_size(void **state)
{
	struct rig r;

	start(&r, NVME_CMBSZ_SQS, false);
	nvme_model_cmb_store(r.n, 8, 8, 0x8877665544332211ull);
	nvme_model_cmb_store(r.n, 9, 1, 0xaa);
	nvme_model_cmb_store(r.n, 12, 2, 0xbbcc);
	assert_int_equal(nvme_model_cmb_load(r.n, 8, 4), 0x4433aa11u);
	assert_int_equal(nvme_model_cmb_load(r.n, 8, 8), 0x8877bbcc4433aa11ull);
	/* Beyond its end there is nothing, whatever the BAR's size. */
	nvme_model_cmb_store(r.n, CMB_BYTES, 8, 0);
	assert_int_equal(nvme_model_cmb_load(r.n, CMB_BYTES, 8), UINT64_MAX);
	assert_int_equal(nvme_model_cmb_load(r.n, CMB_BYTES - 8, 8), 0);
	/* Nor is there across a word's edge. */
	assert_int_equal(nvme_model_cmb_load(r.n, 4, 8), UINT64_MAX);
	assert_int_equal(nvme_model_cmb_load(r.n, UINT64_MAX, 1), UINT64_MAX);
	rig_fini(&r);
}

/* ---- queues ---- */

static void test_queues_in_it_work(void **state)
{
	uint64_t data;
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	struct rig r;

	start(&r, NVME_CMBSZ_SQS | NVME_CMBSZ_CQS, false);
	map(&r);
	data = rig_alloc(&r, RIG_PAGE);
	assert_int_equal(rig_create_at(&r, 1, DEPTH, -1, PAGE(0), PAGE(1)), 0);
	for (unsigned i = 0; i < 3 * DEPTH; i++) {
		sqe = rig_io(&r, NVME_CMD_READ, 1, i, 1, data, 0);
		rig_post(&r, 1, &sqe);
		/* Until it is copied there, the controller knows nothing of it; nor does the host of the answer. */
		to_cmb(&r, PAGE(0), DEPTH * sizeof(sqe));
		rig_ring(&r, 1);
		assert_false(rig_take(&r, 1, &cqe));
		from_cmb(&r, PAGE(1), DEPTH * sizeof(cqe));
		assert_true(rig_take(&r, 1, &cqe));
		assert_int_equal(rig_status(&cqe), 0);
		rig_ring_head(&r, 1);
	}
	rig_fini(&r);
}

static void test_queue_that_it_does_not_take_is_refused(void **state)
{
	uint16_t refused = NVME_SC_INVALID_CMB_USE | RIG_DNR;
	struct rig r;
	uint64_t outside;

	start(&r, NVME_CMBSZ_SQS, false);
	outside = rig_alloc(&r, RIG_PAGE);
	/* Not mapped: then it is the host's memory. */
	assert_int_equal(rig_create_at(&r, 1, DEPTH, -1, PAGE(0), PAGE(1)), 0);
	map(&r);
	assert_int_equal(rig_create_at(&r, 2, DEPTH, -1, PAGE(2), PAGE(3)), refused);
	/* Half inside. */
	assert_int_equal(rig_create_at(&r, 2, 128, -1, PAGE(15), outside), refused);
	assert_int_equal(rig_create_at(&r, 3, DEPTH, -1, PAGE(2), rig_alloc(&r, RIG_PAGE)), 0);
	rig_disable(&r);
	/* The admin queues are asked about, too. */
	rig_write64(&r, NVME_ACQ, PAGE(0));
	rig_write32(&r, NVME_CC, NVME_CC_EN);
	assert_int_equal(rig_read32(&r, NVME_CSTS), NVME_CSTS_CFS);
	rig_fini(&r);
}

/* ---- data ---- */

static void test_data_in_it_is_moved_where_that_is_supported(void **state)
{
	uint16_t refused = NVME_SC_INVALID_CMB_USE | RIG_DNR;
	struct nvme_sqe sqe;
	struct rig r;

	start(&r, NVME_CMBSZ_RDS | NVME_CMBSZ_WDS, false);
	map(&r);
	assert_int_equal(rig_create(&r, 1, DEPTH, -1), 0);
	memset(rig_at(&r, PAGE(2)), 0x5a, RIG_PAGE);
	to_cmb(&r, PAGE(2), RIG_PAGE);
	memset(rig_at(&r, PAGE(2)), 0, RIG_PAGE);
	sqe = rig_io(&r, NVME_CMD_WRITE, 1, 0, 8, PAGE(2), 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 8, PAGE(3), 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	assert_int_equal(*(uint8_t *)rig_at(&r, PAGE(3)), 0);
	from_cmb(&r, PAGE(3), RIG_PAGE);
	assert_int_equal(*(uint8_t *)rig_at(&r, PAGE(3)), 0x5a);
	assert_memory_equal(rig_at(&r, PAGE(3)), (uint8_t *)rig_at(&r, PAGE(3)) + 1, RIG_PAGE - 1);
	/* No lists in it. */
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 32, rig_alloc(&r, RIG_PAGE), PAGE(4));
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), refused);
	/* Mixed with memory of the host it may be. */
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 8, base - 512, PAGE(0));
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	rig_fini(&r);

	start(&r, NVME_CMBSZ_LISTS, false);
	map(&r);
	assert_int_equal(rig_create(&r, 1, DEPTH, -1), 0);
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 8, PAGE(2), 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), refused);
	sqe = rig_io(&r, NVME_CMD_WRITE, 1, 0, 8, PAGE(2), 0);
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), refused);
	/* A list is. */
	for (unsigned i = 0; i < 3; i++)
		nvme_model_cmb_store(r.n, 8ull * i, 8, rig_alloc(&r, RIG_PAGE));
	sqe = rig_io(&r, NVME_CMD_READ, 1, 0, 32, rig_alloc(&r, RIG_PAGE), PAGE(0));
	assert_int_equal(rig_do(&r, 1, &sqe, NULL), 0);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers_tell_nothing_until_they_are_enabled),
		cmocka_unit_test(test_base_address_beyond_the_end_is_invalid),
		cmocka_unit_test(test_without_one_the_registers_are_reserved),
		cmocka_unit_test(test_host_reads_what_it_wrote_in_any_size),
		cmocka_unit_test(test_queues_in_it_work),
		cmocka_unit_test(test_queue_that_it_does_not_take_is_refused),
		cmocka_unit_test(test_data_in_it_is_moved_where_that_is_supported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
