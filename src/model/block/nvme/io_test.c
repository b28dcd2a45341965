/* SPDX-License-Identifier: BSD-2-Clause */
/* I/O commands of the controller's model by hand: data through every shape of PRP and SGL, and each command's errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/model_rig.h"

#define FAILED(sc) ((sc) | RIG_DNR)
#define PAGES      64u

struct io_rig {
	struct rig r;
	uint64_t data, lists; /* PAGES pages each */
};

static void start(struct io_rig *t, unsigned page_shift)
{
	rig_init(&t->r, NULL);
	assert_int_equal(rig_enable(&t->r, page_shift), NVME_CSTS_RDY);
	t->data = rig_alloc(&t->r, PAGES * RIG_PAGE);
	t->lists = rig_alloc(&t->r, PAGES * RIG_PAGE);
	assert_int_equal(rig_create(&t->r, 1, 16, -1), 0);
}

static void stop(struct io_rig *t)
{
	rig_fini(&t->r);
}

/* What block @lba of namespace 1 holds at byte @i. */
static uint8_t pattern(uint64_t lba, unsigned i)
{
	return (uint8_t)(lba * 37 + i * 11 + (i >> 8));
}

static void fill_namespace(struct io_rig *t)
{
	struct backing *b = nvme_model_namespace_backing(t->r.n, 1);

	for (uint64_t lba = 0; lba < RIG_NS_BYTES / 512; lba++)
		for (unsigned i = 0; i < 512; i++)
			b->memory[lba * 512 + i] = pattern(lba, i);
}

static void check_bytes(struct io_rig *t, uint64_t iova, uint64_t lba, uint64_t from, uint64_t count)
{
	const uint8_t *p = rig_at(&t->r, iova);

	for (uint64_t i = 0; i < count; i++)
		if (p[i] != pattern(lba + (from + i) / 512, (unsigned)((from + i) % 512)))
			fail_msg("byte %llu differs", (unsigned long long)(from + i));
}

static uint16_t io(struct io_rig *t, uint8_t opcode, uint64_t lba, uint32_t count, uint64_t prp1, uint64_t prp2)
{
	struct nvme_sqe sqe = rig_io(&t->r, opcode, 1, lba, count, prp1, prp2);

	return rig_do(&t->r, 1, &sqe, NULL);
}

/* ---- PRP ---- */

/* Reads of every length in blocks at every offset in the page, with pages in reverse order and @list_offset. */
static void read_shape(struct io_rig *t, uint32_t page, uint32_t blocks, uint32_t offset, uint32_t list_offset)
{
	uint32_t len_bytes = blocks * 512, first = MIN(len_bytes, page - offset);
	uint32_t rest = DIV_ROUND_UP(len_bytes - first, page);
	ob_le64 *list = rig_at(&t->r, t->lists + list_offset);
	uint64_t prp2 = 0;

	memset(rig_at(&t->r, t->data), 0xee, PAGES * RIG_PAGE);
	for (uint32_t i = 0; i < rest; i++)
		list[i] = ob_cpu_to_le64(t->data + (uint64_t)(rest - i) * page);
	if (rest == 1)
		prp2 = t->data + page;
	else if (rest > 1)
		prp2 = t->lists + list_offset;
	assert_int_equal(io(t, NVME_CMD_READ, 5, blocks, t->data + offset, prp2), 0);
	check_bytes(t, t->data + offset, 5, 0, first);
	for (uint32_t i = 0; i < rest; i++) {
		uint32_t from = first + i * page;

		check_bytes(t, t->data + (uint64_t)(rest - i) * page, 5, from, MIN(page, len_bytes - from));
	}
}

static void test_read_through_prps_of_every_shape_gives_the_data(void **state)
{
	struct io_rig t;

	for (unsigned shift = 12; shift <= 13; shift++) {
		uint32_t page = 1u << shift;

		start(&t, shift);
		fill_namespace(&t);
		for (uint32_t blocks = 1; blocks <= 100; blocks += blocks < 20 ? 1 : 7) {
			read_shape(&t, page, blocks, 0, 0);
			read_shape(&t, page, blocks, 512, 8);
			read_shape(&t, page, blocks, page - 4, 64);
			read_shape(&t, page, blocks, page - 512, page - 8 * 32);
		}
		stop(&t);
	}
}

static void test_read_through_chained_prp_lists_gives_the_data(void **state)
{
	struct io_rig t;
	ob_le64 *list;

	start(&t, 12);
	fill_namespace(&t);
	/* The first list has room for two entries at the end of its page: one page and the link. */
	list = rig_at(&t.r, t.lists + RIG_PAGE - 16);
	list[0] = ob_cpu_to_le64(t.data + RIG_PAGE);
	list[1] = ob_cpu_to_le64(t.lists + 3 * RIG_PAGE);
	list = rig_at(&t.r, t.lists + 3 * RIG_PAGE);
	for (unsigned i = 0; i < 30; i++)
		list[i] = ob_cpu_to_le64(t.data + (2 + i) * RIG_PAGE);
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 32 * 8, t.data, t.lists + RIG_PAGE - 16), 0);
	check_bytes(&t, t.data, 0, 0, 32 * RIG_PAGE);
	/* Two entries left and two pages to come: then the last one is a page, no link. */
	list = rig_at(&t.r, t.lists + RIG_PAGE - 16);
	list[0] = ob_cpu_to_le64(t.data + 40 * RIG_PAGE);
	list[1] = ob_cpu_to_le64(t.data + 41 * RIG_PAGE);
	assert_int_equal(io(&t, NVME_CMD_READ, 8, 3 * 8, t.data, t.lists + RIG_PAGE - 16), 0);
	check_bytes(&t, t.data + 41 * RIG_PAGE, 8, 2 * RIG_PAGE, RIG_PAGE);
	stop(&t);
}

static void test_prps_with_wrong_offsets_or_memory_are_refused(void **state)
{
	const uint16_t offset = FAILED(NVME_SC_INVALID_PRP_OFFSET), transfer = FAILED(NVME_SC_DATA_TRANSFER_ERROR);
	struct io_rig t;
	ob_le64 *list;

	start(&t, 12);
	list = rig_at(&t.r, t.lists);
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 1, t.data + 2, 0), offset);
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 16, t.data, t.data + RIG_PAGE + 512), offset);
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 24, t.data, t.lists + 4), offset);
	list[0] = ob_cpu_to_le64(t.data + 512);
	list[1] = ob_cpu_to_le64(t.data);
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 24, t.data, t.lists), offset);
	list = rig_at(&t.r, t.lists + RIG_PAGE - 8);
	list[0] = ob_cpu_to_le64(t.lists + 8); /* a link must be to a page's start */
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 24, t.data, t.lists + RIG_PAGE - 8), offset);
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 8, RIG_BASE - RIG_PAGE, 0), transfer);
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 24, t.data, RIG_BASE + RIG_BYTES), transfer);
	assert_int_equal(io(&t, NVME_CMD_WRITE, 0, 8, RIG_BASE + RIG_BYTES, 0), transfer);
	stop(&t);
}

/* ---- SGL ---- */

static struct nvme_sgl sgl(unsigned type, uint64_t addr, uint32_t len_bytes)
{
	struct nvme_sgl d = {
		.addr = ob_cpu_to_le64(addr),
		.length = ob_cpu_to_le32(len_bytes),
		.type = (uint8_t)FIELD_PREP(NVME_SGL_TYPE, type),
	};

	return d;
}

static uint16_t io_sgl(struct io_rig *t, uint8_t opcode, uint64_t lba, uint32_t count, struct nvme_sgl first)
{
	struct nvme_sqe sqe = rig_io(&t->r, opcode, 1, lba, count, 0, 0);

	sqe.cdw0 = ob_cpu_to_le32(opcode | FIELD_PREP(NVME_CDW0_PSDT, NVME_PSDT_SGL));
	sqe.sgl1 = first;
	return rig_do(&t->r, 1, &sqe, NULL);
}

static void test_read_through_sgls_of_every_shape_gives_the_data(void **state)
{
	struct nvme_sgl *list, *more;
	struct io_rig t;

	start(&t, 12);
	fill_namespace(&t);
	list = rig_at(&t.r, t.lists);
	more = rig_at(&t.r, t.lists + 8 * RIG_PAGE + 48);
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 3, 9, sgl(NVME_SGL_DATA_BLOCK, t.data + 1, 9 * 512)), 0);
	check_bytes(&t, t.data + 1, 3, 0, 9 * 512);
	/* One segment of many odd pieces, more than are read at once. */
	for (unsigned i = 0; i < 40; i++)
		list[i] = sgl(NVME_SGL_DATA_BLOCK, t.data + i * 1000, i < 39 ? 100 : 2 * 4096 - 3900);
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 7, 16, sgl(NVME_SGL_LAST_SEGMENT, t.lists, 40 * 16)), 0);
	for (unsigned i = 0; i < 39; i++)
		check_bytes(&t, t.data + i * 1000, 7, i * 100, 100);
	check_bytes(&t, t.data + 39 * 1000, 7, 3900, 2 * 4096 - 3900);
	/* Two segments, with a bit bucket that swallows the middle, and an empty piece. */
	list[0] = sgl(NVME_SGL_DATA_BLOCK, t.data, 512);
	list[1] = sgl(NVME_SGL_DATA_BLOCK, t.data, 0);
	list[2] = sgl(NVME_SGL_BIT_BUCKET, 0, 1024);
	list[3] = sgl(NVME_SGL_LAST_SEGMENT, t.lists + 8 * RIG_PAGE + 48, 16);
	more[0] = sgl(NVME_SGL_DATA_BLOCK, t.data + 5000, 512);
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 9, 4, sgl(NVME_SGL_SEGMENT, t.lists, 4 * 16)), 0);
	check_bytes(&t, t.data, 9, 0, 512);
	check_bytes(&t, t.data + 5000, 9, 1536, 512);
	stop(&t);
}

static void test_sgls_with_wrong_descriptors_are_refused(void **state)
{
	struct nvme_sgl *list, d;
	struct io_rig t;

	start(&t, 12);
	list = rig_at(&t.r, t.lists);
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 2, sgl(NVME_SGL_DATA_BLOCK, t.data, 512)),
			 FAILED(NVME_SC_SGL_INVALID_DATA_LENGTH));
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, sgl(NVME_SGL_DATA_BLOCK, t.data, 513)),
			 FAILED(NVME_SC_SGL_INVALID_DATA_LENGTH));
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, sgl(NVME_SGL_KEYED, t.data, 512)),
			 FAILED(NVME_SC_SGL_INVALID_TYPE));
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, sgl(NVME_SGL_LAST_SEGMENT, t.lists, 24)),
			 FAILED(NVME_SC_SGL_INVALID_SEGMENT));
	d = sgl(NVME_SGL_DATA_BLOCK, t.data, 512);
	d.type |= NVME_SGL_SUBTYPE_OFFSET;
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, d), FAILED(NVME_SC_SGL_INVALID_TYPE));
	/* A last segment must not lead on, and a segment must. */
	list[0] = sgl(NVME_SGL_LAST_SEGMENT, t.lists + 64, 16);
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, sgl(NVME_SGL_LAST_SEGMENT, t.lists, 16)),
			 FAILED(NVME_SC_SGL_INVALID_SEGMENT));
	list[0] = sgl(NVME_SGL_DATA_BLOCK, t.data, 512);
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, sgl(NVME_SGL_SEGMENT, t.lists, 16)),
			 FAILED(NVME_SC_SGL_INVALID_COUNT));
	/* A list that leads back to itself ends. */
	list[0] = sgl(NVME_SGL_SEGMENT, t.lists, 16);
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, sgl(NVME_SGL_SEGMENT, t.lists, 16)),
			 FAILED(NVME_SC_SGL_INVALID_COUNT));
	/* Zeroes are empty data blocks; so many of them are too many. */
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, sgl(NVME_SGL_LAST_SEGMENT, RIG_BASE + (2u << 20), 65537 * 16)),
			 FAILED(NVME_SC_SGL_INVALID_COUNT));
	assert_int_equal(io_sgl(&t, NVME_CMD_READ, 0, 1, sgl(NVME_SGL_LAST_SEGMENT, RIG_BASE + RIG_BYTES, 16)),
			 FAILED(NVME_SC_DATA_TRANSFER_ERROR));
	/* A write's bit bucket is as if it were not there, so this one is short. */
	assert_int_equal(io_sgl(&t, NVME_CMD_WRITE, 0, 1, sgl(NVME_SGL_BIT_BUCKET, 0, 512)),
			 FAILED(NVME_SC_SGL_INVALID_DATA_LENGTH));
	stop(&t);
}

/* ---- commands ---- */

static void test_ranges_beyond_the_end_are_refused(void **state)
{
	const uint64_t end = RIG_NS_BYTES / 512;
	static const uint8_t opcodes[] = {NVME_CMD_READ, NVME_CMD_WRITE, NVME_CMD_COMPARE, NVME_CMD_WRITE_ZEROES};
	const uint16_t wanted = FAILED(NVME_SC_LBA_OUT_OF_RANGE);
	struct io_rig t;

	start(&t, 12);
	for (unsigned i = 0; i < sizeof(opcodes); i++) {
		if (opcodes[i] != NVME_CMD_COMPARE)
			assert_int_equal(io(&t, opcodes[i], end - 1, 1, t.data, 0), 0);
		assert_int_equal(io(&t, opcodes[i], end, 1, t.data, 0), wanted);
		assert_int_equal(io(&t, opcodes[i], end - 1, 2, t.data, 0), wanted);
		assert_int_equal(io(&t, opcodes[i], UINT64_MAX, 2, t.data, 0), wanted);
	}
	stop(&t);
}

static void test_transfers_beyond_mdts_and_wrong_namespaces_are_refused(void **state)
{
	struct nvme_sqe sqe;
	struct io_rig t;

	start(&t, 12);
	assert_int_equal(io(&t, NVME_CMD_READ, 0, 1025, t.data, t.lists), FAILED(NVME_SC_INVALID_FIELD));
	sqe = rig_io(&t.r, NVME_CMD_READ, 0, 0, 1, t.data, 0);
	assert_int_equal(rig_do(&t.r, 1, &sqe, NULL), FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT));
	sqe = rig_io(&t.r, NVME_CMD_READ, 9, 0, 1, t.data, 0);
	assert_int_equal(rig_do(&t.r, 1, &sqe, NULL), FAILED(NVME_SC_INVALID_FIELD)); /* valid, inactive */
	sqe = rig_io(&t.r, NVME_CMD_READ, NVME_NSID_ALL, 0, 1, t.data, 0);
	assert_int_equal(rig_do(&t.r, 1, &sqe, NULL), FAILED(NVME_SC_INVALID_NAMESPACE_OR_FORMAT));
	sqe = rig_io(&t.r, 0x7f, 1, 0, 1, t.data, 0);
	assert_int_equal(rig_do(&t.r, 1, &sqe, NULL), FAILED(NVME_SC_INVALID_OPCODE));
	sqe = rig_io(&t.r, NVME_CMD_FLUSH, NVME_NSID_ALL, 0, 1, 0, 0);
	assert_int_equal(rig_do(&t.r, 1, &sqe, NULL), 0);
	stop(&t);
}

static void test_write_compare_zeroes_and_trim_do_what_they_say(void **state)
{
	struct nvme_dsm_range *ranges;
	struct nvme_sqe sqe;
	struct backing *b;
	struct io_rig t;

	start(&t, 12);
	fill_namespace(&t);
	b = nvme_model_namespace_backing(t.r.n, 1);
	memset(rig_at(&t.r, t.data), 0xa5, 2 * RIG_PAGE);
	assert_int_equal(io(&t, NVME_CMD_WRITE, 16, 16, t.data, t.data + RIG_PAGE), 0);
	assert_int_equal(b->memory[16 * 512], 0xa5);
	assert_int_equal(b->memory[32 * 512 - 1], 0xa5);
	assert_int_equal(b->memory[32 * 512], pattern(32, 0));
	assert_int_equal(b->memory[16 * 512 - 1], pattern(15, 511));
	assert_int_equal(io(&t, NVME_CMD_COMPARE, 16, 16, t.data, t.data + RIG_PAGE), 0);
	assert_int_equal(io(&t, NVME_CMD_COMPARE, 17, 16, t.data, t.data + RIG_PAGE), FAILED(NVME_SC_COMPARE_FAILURE));
	assert_int_equal(io(&t, NVME_CMD_WRITE_ZEROES, 20, 2, 0, 0), 0);
	assert_int_equal(b->memory[20 * 512], 0);
	assert_int_equal(b->memory[22 * 512 - 1], 0);
	assert_int_equal(b->memory[22 * 512], 0xa5);
	ranges = rig_at(&t.r, t.data);
	memset(ranges, 0, RIG_PAGE);
	ranges[0].slba = ob_cpu_to_le64(100);
	ranges[0].length = ob_cpu_to_le32(10);
	ranges[1].slba = ob_cpu_to_le64(200);
	ranges[1].length = ob_cpu_to_le32(5);
	sqe = rig_sqe(NVME_CMD_DSM, 1, t.data, 0);
	rig_set(&sqe, 10, 1);
	assert_int_equal(rig_do(&t.r, 1, &sqe, NULL), 0); /* no AD: advice only */
	assert_int_equal(b->memory[100 * 512], pattern(100, 0));
	rig_set(&sqe, 11, NVME_DSM_AD);
	assert_int_equal(rig_do(&t.r, 1, &sqe, NULL), 0);
	assert_int_equal(b->memory[100 * 512], 0);
	assert_int_equal(b->memory[110 * 512 - 1], 0);
	assert_int_equal(b->memory[110 * 512], pattern(110, 0));
	assert_int_equal(b->memory[204 * 512 + 511], 0);
	ranges[1].slba = ob_cpu_to_le64(RIG_NS_BYTES / 512 - 4);
	ranges[0].slba = ob_cpu_to_le64(300);
	assert_int_equal(rig_do(&t.r, 1, &sqe, NULL), FAILED(NVME_SC_LBA_OUT_OF_RANGE));
	assert_int_equal(b->memory[300 * 512], pattern(300, 0)); /* none of it was done */
	stop(&t);
}

static uint16_t fail_reads(void *arg, const struct nvme_model_command *command)
{
	return command->sqid != 0 && command->opcode == NVME_CMD_READ && command->lba == 42 ? NVME_SC_UNRECOVERED_READ
											    : 0;
}

static void test_hook_fails_the_command_that_it_names(void **state)
{
	static const struct nvme_model_hooks hooks = {.fail = fail_reads};
	struct io_rig t;

	start(&t, 12);
	nvme_model_set_hooks(t.r.n, &hooks);
	assert_int_equal(io(&t, NVME_CMD_READ, 41, 1, t.data, 0), 0);
	assert_int_equal(io(&t, NVME_CMD_READ, 42, 1, t.data, 0), NVME_SC_UNRECOVERED_READ);
	assert_int_equal(io(&t, NVME_CMD_WRITE, 42, 1, t.data, 0), 0);
	stop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_through_prps_of_every_shape_gives_the_data),
		cmocka_unit_test(test_read_through_chained_prp_lists_gives_the_data),
		cmocka_unit_test(test_prps_with_wrong_offsets_or_memory_are_refused),
		cmocka_unit_test(test_read_through_sgls_of_every_shape_gives_the_data),
		cmocka_unit_test(test_sgls_with_wrong_descriptors_are_refused),
		cmocka_unit_test(test_ranges_beyond_the_end_are_refused),
		cmocka_unit_test(test_transfers_beyond_mdts_and_wrong_namespaces_are_refused),
		cmocka_unit_test(test_write_compare_zeroes_and_trim_do_what_they_say),
		cmocka_unit_test(test_hook_fails_the_command_that_it_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
