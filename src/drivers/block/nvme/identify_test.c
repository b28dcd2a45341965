/* SPDX-License-Identifier: BSD-2-Clause */
/* What a device says of itself, taken apart: sound data, each field that must be refused, and random bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <outboard/nvme.h>
#include <outboard/outboard.h>

#include "drivers/block/nvme/nvme.h"
#include "tests/random.h"

#define ROUNDS 20000u

struct bed {
	struct ob *ob;
	struct nvme n;
	struct nvme_identify_controller controller;
	struct nvme_identify_namespace namespace;
};

static struct bed bed;

static int setup(void **state)
{
	memset(&bed, 0, sizeof(bed));
	assert_int_equal(ob_create(NULL, &bed.ob), 0);
	bed.n.ob = bed.ob;
	strcpy(bed.n.name, "nvme0");
	bed.controller.sqes = 0x66;
	bed.controller.cqes = 0x44;
	bed.controller.mdts = 7;
	bed.controller.nn = ob_cpu_to_le32(4);
	memset(bed.controller.mn, ' ', sizeof(bed.controller.mn));
	memcpy(bed.controller.mn, "A Disk", 6);
	memset(bed.controller.sn, ' ', sizeof(bed.controller.sn));
	memcpy(bed.controller.sn, "S\x01\xffN", 4);
	bed.namespace.nsze = ob_cpu_to_le64(1000);
	bed.namespace.ncap = ob_cpu_to_le64(900);
	bed.namespace.nlbaf = 1;
	bed.namespace.lbaf[0] = ob_cpu_to_le32(FIELD_PREP(NVME_LBAF_LBADS, 9));
	bed.namespace.lbaf[1] = ob_cpu_to_le32(FIELD_PREP(NVME_LBAF_LBADS, 12));
	*state = &bed;
	return 0;
}

static int teardown(void **state)
{
	ob_destroy(bed.ob);
	return 0;
}

static void test_controller_sound_data_is_taken(void **state)
{
	struct nvme_controller_info info;

	bed.controller.sgls = ob_cpu_to_le32(1);
	bed.controller.vwc = 7;
	assert_int_equal(nvme_parse_controller(&bed.n, &bed.controller, &info), 0);
	assert_string_equal(info.model, "A Disk");
	assert_string_equal(info.serial, "S??N");
	assert_string_equal(info.firmware, "");
	assert_int_equal(info.transfer_max_bytes, 512 * 1024);
	assert_int_equal(info.namespace_max, 4);
	assert_true(info.sgl);
	assert_true(info.volatile_cache);
	bed.n.quirks = NVME_QUIRK_NO_SGL;
	assert_int_equal(nvme_parse_controller(&bed.n, &bed.controller, &info), 0);
	assert_false(info.sgl);
}

static void test_controller_transfer_limit_is_clamped(void **state)
{
	static const struct {
		uint8_t mdts;
		uint32_t bytes;
	} cases[] = {{0, 1u << 20}, {1, 8192},      {7, 1u << 19},  {8, 1u << 20},
		     {9, 1u << 20}, {20, 1u << 20}, {255, 1u << 20}};
	struct nvme_controller_info info;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		bed.controller.mdts = cases[i].mdts;
		assert_int_equal(nvme_parse_controller(&bed.n, &bed.controller, &info), 0);
		assert_int_equal(info.transfer_max_bytes, cases[i].bytes);
	}
}

static void test_controller_wrong_entry_sizes_are_refused(void **state)
{
	struct nvme_controller_info info;

	bed.controller.sqes = 0x77;
	assert_int_equal(nvme_parse_controller(&bed.n, &bed.controller, &info), -EOPNOTSUPP);
	bed.controller.sqes = 0x65;
	bed.controller.cqes = 0x33;
	assert_int_equal(nvme_parse_controller(&bed.n, &bed.controller, &info), -EOPNOTSUPP);
	bed.controller.cqes = 0x43;
	assert_int_equal(nvme_parse_controller(&bed.n, &bed.controller, &info), 0);
	bed.controller.cntrltype = 2;
	assert_int_equal(nvme_parse_controller(&bed.n, &bed.controller, &info), -EOPNOTSUPP);
}

static void test_namespace_sound_data_is_taken(void **state)
{
	struct nvme_namespace_info info;

	bed.namespace.flbas = 1;
	bed.namespace.dlfeat = 0x9;
	bed.namespace.nsfeat = NVME_NSFEAT_OPTPERF;
	bed.namespace.npwg = ob_cpu_to_le16(3);
	bed.namespace.nows = ob_cpu_to_le16(31);
	assert_int_equal(nvme_parse_namespace(&bed.n, 1, &bed.namespace, &info), 0);
	assert_int_equal(info.block_bytes, 4096);
	assert_int_equal(info.block_count, 1000);
	assert_int_equal(info.physical_bytes, 16384);
	assert_int_equal(info.optimal_bytes, 131072);
	assert_true(info.reads_zeroes && info.deallocate_zeroes && !info.read_only);
	bed.namespace.npwg = ob_cpu_to_le16(2); /* 3 blocks: no power of two */
	bed.namespace.nsattr = NVME_NSATTR_PROTECTED;
	assert_int_equal(nvme_parse_namespace(&bed.n, 1, &bed.namespace, &info), 0);
	assert_int_equal(info.physical_bytes, 4096);
	assert_true(info.read_only);
}

static void expect_refused(int error, struct nvme_identify_namespace namespace)
{
	struct nvme_namespace_info info;

	assert_int_equal(nvme_parse_namespace(&bed.n, 1, &namespace, &info), error);
}

static void test_namespace_nonsense_is_refused(void **state)
{
	struct nvme_identify_namespace ns = bed.namespace;

	ns.nsze = ob_cpu_to_le64(0);
	expect_refused(-ENOENT, ns);
	ns = bed.namespace;
	ns.ncap = ob_cpu_to_le64(1001);
	expect_refused(-EIO, ns);
	ns = bed.namespace;
	ns.flbas = 2; /* of two formats */
	expect_refused(-EIO, ns);
	ns = bed.namespace;
	ns.lbaf[0] = ob_cpu_to_le32(FIELD_PREP(NVME_LBAF_LBADS, 9) | 8);
	expect_refused(-EOPNOTSUPP, ns);
	ns = bed.namespace;
	ns.lbaf[0] = ob_cpu_to_le32(FIELD_PREP(NVME_LBAF_LBADS, 0));
	expect_refused(-EOPNOTSUPP, ns);
	ns.lbaf[0] = ob_cpu_to_le32(FIELD_PREP(NVME_LBAF_LBADS, 255));
	expect_refused(-EOPNOTSUPP, ns);
	ns = bed.namespace;
	ns.dps = 1;
	expect_refused(-EOPNOTSUPP, ns);
	ns = bed.namespace;
	ns.nsze = ob_cpu_to_le64(1ull << 60);
	expect_refused(-EIO, ns);
}

/* Whatever the bytes: an errno, or limits that make sense. */
static void test_random_bytes_never_make_nonsense(void **state)
{
	struct random random = {.state = 7};
	unsigned controllers = 0, namespaces = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct nvme_controller_info c;
		struct nvme_namespace_info ns;

		random_fill(&random, &bed.controller, sizeof(bed.controller));
		random_fill(&random, &bed.namespace, sizeof(bed.namespace));
		if (random_percent(&random, 70)) {
			bed.controller.sqes = 0x66;
			bed.controller.cqes = 0x44;
			bed.controller.cntrltype &= 1;
			bed.namespace.flbas = 0;
			bed.namespace.dps = 0;
			bed.namespace.lbaf[0] = ob_cpu_to_le32(FIELD_PREP(NVME_LBAF_LBADS, 9));
			bed.namespace.nsze = ob_cpu_to_le64(random_next(&random) >> random_below(&random, 64));
			bed.namespace.ncap = bed.namespace.nsze;
		}
		if (nvme_parse_controller(&bed.n, &bed.controller, &c) == 0) {
			controllers++;
			assert_true(IS_POWER_OF_2(c.transfer_max_bytes));
			assert_true(c.transfer_max_bytes >= 8192 && c.transfer_max_bytes <= NVME_TRANSFER_MAX);
			assert_true(strlen(c.model) <= 40 && strlen(c.serial) <= 20 && strlen(c.firmware) <= 8);
		}
		if (nvme_parse_namespace(&bed.n, 1, &bed.namespace, &ns) == 0) {
			namespaces++;
			assert_true(ns.block_bytes == 512 || ns.block_bytes == 4096);
			assert_true(ns.block_count > 0 && ns.block_count <= (uint64_t)INT64_MAX / ns.block_bytes);
			assert_true(IS_POWER_OF_2(ns.physical_bytes) && ns.physical_bytes >= ns.block_bytes);
			assert_true(ns.optimal_bytes <= NVME_TRANSFER_MAX);
		}
	}
	assert_true(controllers > ROUNDS / 4 && namespaces > ROUNDS / 4);
}

/* ---- quirks ---- */

static void test_quirk_each_has_a_name_of_its_own(void **state)
{
	unsigned count = 0;

	for (unsigned bit = 0; bit < 70; bit++) {
		const char *name = ob_nvme_quirk_name(bit);

		assert_int_equal(name != NULL, bit < 64 && BIT64(bit) <= NVME_QUIRK_CMB_AT_BAR);
		for (unsigned other = 0; name != NULL && other < bit; other++)
			assert_string_not_equal(name, ob_nvme_quirk_name(other));
		count += name != NULL;
	}
	assert_int_equal(count, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_controller_sound_data_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_controller_transfer_limit_is_clamped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_controller_wrong_entry_sizes_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_namespace_sound_data_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_namespace_nonsense_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_bytes_never_make_nonsense, setup, teardown),
		cmocka_unit_test(test_quirk_each_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
