/* SPDX-License-Identifier: BSD-2-Clause */
/* The controller's model in words: state, queues, what it works on, names of registers and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/model_rig.h"

#define IO_DEPTH 4u

static char text[2048];

static const char *described(struct rig *r)
{
	nvme_model_describe(r->n, text, sizeof(text));
	return text;
}

static void assert_says(const char *said, const char *what)
{
	if (strstr(said, what) == NULL)
		fail_msg("\"%s\" is not in: %s", what, said);
}

static void test_describe_follows_the_controllers_life(void **state)
{
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(strncmp(described(&r), "disabled; CC 0,", 15), 0);
	assert_null(strchr(text, '\n')); /* no queues */
	rig_enable(&r, 12);
	assert_says(described(&r), "ready, no I/O queues, no commands in flight; CC 0x");
	assert_says(text, "\nSQ0: 8 entries, head 0, tail 0; CQ0: 8 entries, head 0, tail 0, phase 1, vector 0");
	assert_int_equal(rig_create(&r, 1, IO_DEPTH, 3), 0);
	assert_says(described(&r), "ready, one I/O queue,");
	assert_says(text, "\nSQ1: 4 entries, head 0, tail 0; CQ1: 4 entries, head 0, tail 0, phase 1, vector 3");
	assert_int_equal(rig_create(&r, 2, IO_DEPTH, -1), 0);
	assert_says(described(&r), "ready, several I/O queues,");
	rig_disable(&r);
	assert_int_equal(strncmp(described(&r), "disabled;", 9), 0);
	rig_write32(&r, NVME_AQA, 0);
	rig_write32(&r, NVME_CC, NVME_CC_EN);
	assert_int_equal(strncmp(described(&r), "fatal,", 6), 0);
	rig_fini(&r);
}

static void test_describe_tells_of_commands_under_way(void **state)
{
	struct nvme_model_config config;
	struct nvme_sqe read;
	struct nvme_cqe cqe;
	uint64_t buffer;
	struct rig r;

	nvme_model_config_default(&config);
	config.latency_ns = 5000;
	rig_init(&r, &config);
	rig_enable(&r, 12);
	assert_int_equal(rig_create(&r, 1, IO_DEPTH, -1), 0);
	buffer = rig_alloc(&r, 4096);
	read = rig_io(&r, NVME_CMD_READ, 1, 0, 1, buffer, 0);
	rig_post(&r, 1, &read);
	rig_post(&r, 1, &read);
	rig_ring(&r, 1);
	rig_run(&r);
	assert_says(described(&r), "several commands in flight");
	assert_says(text, ", read: done in 5000 ns\nworks on SQ1 cid ");
	rig_advance(&r, 5000);
	assert_says(described(&r), "no commands in flight");
	assert_says(text,
		    "\nSQ1: 4 entries, head 2, tail 2; CQ1: 4 entries, head 0, tail 2, phase 1: completions not taken");
	assert_true(rig_take(&r, 1, &cqe));
	rig_fini(&r);
}

static void test_describe_with_little_room_is_cut(void **state)
{
	char small[20];
	struct rig r;

	rig_init(&r, NULL);
	rig_enable(&r, 12);
	memset(small, 'x', sizeof(small));
	nvme_model_describe(r.n, small, 10);
	assert_string_equal(small, "ready, no");
	assert_int_equal(small[10], 'x');
	rig_fini(&r);
}

static void test_names_of_registers(void **state)
{
	static const struct {
		uint64_t offset;
		const char *name; /* NULL: none */
	} cases[] = {
		{NVME_CC, "CC"},
		{NVME_CSTS, "CSTS"},
		{NVME_ASQ + 4, "ASQ high"},
		{NVME_SQTDBL(0, 1), "SQ0 tail"},
		{NVME_CQHDBL(3, 1), "CQ3 head"},
		{NVME_MODEL_MSIX_TABLE + 33, "MSI-X vector 2"},
		{NVME_MODEL_MSIX_PBA, "MSI-X PBA"},
		{0xf00, NULL},
	};
	struct nvme_model_config config;
	struct rig r;

	nvme_model_config_default(&config);
	config.doorbell_stride = 1;
	rig_init(&r, &config);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool has = nvme_model_register_name(r.n, NVME_PCI_BAR, cases[i].offset, text, sizeof(text));

		assert_int_equal(has, cases[i].name != NULL);
		if (has)
			assert_string_equal(text, cases[i].name);
	}
	rig_fini(&r);
}

static void test_names_in_the_controllers_own_memory(void **state)
{
	const uint64_t base = 1ull << 40;
	struct nvme_model_config config;
	struct rig r;

	nvme_model_config_default(&config);
	assert_int_equal(config.cmb_bytes, 0);
	config.cmb_bytes = 64 << 10;
	rig_init(&r, &config);
	assert_true(nvme_model_register_name(r.n, NVME_MODEL_CMB_BAR, 0x50, text, sizeof(text)));
	assert_string_equal(text, "CMB at 0x50");
	assert_false(nvme_model_register_name(r.n, 5, 0x50, text, sizeof(text)));
	rig_write64(&r, NVME_CMBMSC, base | NVME_CMBMSC_CRE | NVME_CMBMSC_CMSE);
	rig_enable(&r, 12);
	assert_int_equal(rig_create_at(&r, 1, IO_DEPTH, -1, base + 0x1000, rig_alloc(&r, 4096)), 0);
	assert_true(nvme_model_register_name(r.n, NVME_MODEL_CMB_BAR, 0x1048, text, sizeof(text)));
	assert_string_equal(text, "SQ1[1]+8");
	rig_fini(&r);
}

static void test_names_of_memory(void **state)
{
	uint64_t sq, cq, elsewhere;
	struct rig r;

	rig_init(&r, NULL);
	rig_enable(&r, 12);
	elsewhere = rig_alloc(&r, 4096);
	assert_int_equal(rig_create(&r, 1, IO_DEPTH, -1), 0);
	sq = r.q[1].sq;
	cq = r.q[1].cq;
	assert_true(nvme_model_memory_name(r.n, r.q[0].sq, text, sizeof(text)));
	assert_string_equal(text, "SQ0[0]");
	assert_true(nvme_model_memory_name(r.n, sq + 2 * sizeof(struct nvme_sqe) + 8, text, sizeof(text)));
	assert_string_equal(text, "SQ1[2]+8");
	assert_true(nvme_model_memory_name(r.n, cq + 3 * sizeof(struct nvme_cqe), text, sizeof(text)));
	assert_string_equal(text, "CQ1[3]");
	assert_false(nvme_model_memory_name(r.n, sq + IO_DEPTH * sizeof(struct nvme_sqe), text, sizeof(text)));
	assert_false(nvme_model_memory_name(r.n, elsewhere, text, sizeof(text)));
	rig_disable(&r); /* what is told of it later is of the time before */
	assert_true(nvme_model_memory_name(r.n, sq, text, sizeof(text)));
	rig_fini(&r);
}

static void test_states_are_small_numbers_with_names(void **state)
{
	unsigned before, now;
	struct rig r;

	rig_init(&r, NULL);
	before = nvme_model_state(r.n);
	nvme_model_state_name(before, text, sizeof(text));
	assert_string_equal(text, "disabled");
	rig_enable(&r, 12);
	now = nvme_model_state(r.n);
	assert_int_not_equal(now, before);
	nvme_model_state_name(now, text, sizeof(text));
	assert_string_equal(text, "ready, no I/O queues, no commands in flight");
	before = now;
	assert_int_equal(rig_create(&r, 1, IO_DEPTH, -1), 0);
	now = nvme_model_state(r.n);
	assert_int_not_equal(now, before);
	assert_true(now < NVME_MODEL_STATES);
	for (unsigned i = 0; i < NVME_MODEL_STATES; i++) {
		nvme_model_state_name(i, text, sizeof(text));
		assert_true(strlen(text) > 0);
	}
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_describe_follows_the_controllers_life),
		cmocka_unit_test(test_describe_tells_of_commands_under_way),
		cmocka_unit_test(test_describe_with_little_room_is_cut),
		cmocka_unit_test(test_names_of_registers),
		cmocka_unit_test(test_names_in_the_controllers_own_memory),
		cmocka_unit_test(test_names_of_memory),
		cmocka_unit_test(test_states_are_small_numbers_with_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
