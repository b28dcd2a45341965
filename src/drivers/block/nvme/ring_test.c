/* SPDX-License-Identifier: BSD-2-Clause */
/* Ring arithmetic: phases over many rounds, and when a doorbell behind a shadow must be written; and the status table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"

static void test_phase_over_many_rounds_follows_the_device(void **state)
{
	for (uint32_t entries = 2; entries <= 64; entries *= 2) {
		struct nvme_cqe *cq = calloc(entries, sizeof(*cq));
		struct nvme_ring r = {.cq = cq, .mask = entries - 1};
		uint16_t phase = 1; /* as a device keeps it */
		uint32_t tail = 0;

		/* Near the end of the running count, too. */
		for (unsigned start = 0; start < 2; start++) {
			memset(cq, 0, entries * sizeof(*cq));
			r.cq_pos = start == 0 ? 0 : 0u - 4 * entries;
			phase = 1;
			tail = 0;
			for (unsigned i = 0; i < 10 * entries; i++) {
				assert_false(nvme_ring_pending(&r));
				ob_le16_store(&cq[tail].status, phase);
				assert_true(nvme_ring_pending(&r));
				r.cq_pos++;
				if (++tail == entries) {
					tail = 0;
					phase ^= 1;
				}
			}
		}
		free(cq);
	}
}

/* The reference walks: is the event index among the values told, told + 1, … value - 1? */
static bool passed(uint32_t index, uint32_t told, uint32_t value, uint32_t mask)
{
	for (uint32_t at = told; at != value; at = (at + 1) & mask)
		if (at == index)
			return true;
	return false;
}

static void test_shadow_every_move_rings_when_the_index_is_passed(void **state)
{
	const uint32_t mask = 15;
	ob_le32 shadow, event;

	for (uint32_t told = 0; told <= mask; told++)
		for (uint32_t step = 1; step <= mask; step++)
			for (uint32_t index = 0; index <= mask; index++) {
				uint32_t value = (told + step) & mask;

				ob_le32_store(&event, index);
				assert_int_equal(nvme_shadow_update(&shadow, &event, value, told, mask),
						 passed(index, told, value, mask));
				assert_int_equal(ob_le32_load(&shadow), value);
			}
	/* Whatever a device writes there is only ever masked. */
	ob_le32_store(&event, 0xffffffffu);
	assert_true(nvme_shadow_update(&shadow, &event, 0, 15, mask));
}

/* ---- status ---- */

struct expect {
	uint16_t status;
	int error;
};

static void test_status_known_codes_have_errno_and_text(void **state)
{
	static const struct expect cases[] = {
		{NVME_SC_SUCCESS, 0},
		{NVME_SC_INVALID_OPCODE, -EOPNOTSUPP},
		{NVME_SC_INVALID_FIELD, -EINVAL},
		{NVME_SC_LBA_OUT_OF_RANGE, -ERANGE},
		{NVME_SC_CAPACITY_EXCEEDED, -ENOSPC},
		{NVME_SC_NAMESPACE_WRITE_PROTECTED, -EROFS},
		{NVME_SC_WRITE_FAULT, -EIO},
		{NVME_SC_UNRECOVERED_READ, -EIO},
		{NVME_SC_COMPARE_FAILURE, -EILSEQ},
		{NVME_SC_ABORT_REQUESTED, -ECANCELED},
		{NVME_SC_RESERVATION_CONFLICT, -EACCES},
		{0x7aa, -EIO},
		{0x0ff, -EIO},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(nvme_status_error(cases[i].status), cases[i].error);
	assert_string_equal(ob_nvme_status_text(NVME_SC_INVALID_FIELD), "Invalid Field in Command");
	assert_string_equal(ob_nvme_status_text(0x7aa), "Vendor Specific Status");
	assert_true(nvme_status_transient(NVME_SC_NAMESPACE_NOT_READY));
	assert_false(nvme_status_transient(NVME_SC_UNRECOVERED_READ));
}

/* All 2048 values: a text, no success but one, an errno that is one. */
static void test_status_every_value_is_handled(void **state)
{
	unsigned named = 0;

	for (unsigned status = 0; status < 0x800; status++) {
		const char *text = ob_nvme_status_text((uint16_t)status);
		int error = nvme_status_error((uint16_t)status);

		assert_non_null(text);
		assert_true(strlen(text) > 4);
		assert_true((status == 0) == (error == 0));
		assert_true(error <= 0 && error > -4096);
		named += strncmp(text, "Unknown", 7) != 0 && strncmp(text, "Vendor", 6) != 0 &&
			 strncmp(text, "Reserved", 8) != 0;
	}
	/* Those of NVM Express 1.4: 39 generic, 39 command specific, 8 media, 7 path. */
	assert_int_equal(named, 39 + 39 + 8 + 7);
}

/* Each code that the specification's header has is found in the table: the search relies on its order. */
static void test_status_header_codes_are_all_in_the_table(void **state)
{
	static const uint16_t gaps[] = {0x017, 0x104, 0x117};
	static const struct {
		uint16_t first, last;
	} runs[] = {{0x000, 0x022}, {0x080, 0x084}, {0x100, 0x125}, {0x180, 0x182},
		    {0x280, 0x287}, {0x300, 0x303}, {0x360, 0x360}, {0x370, 0x371}};

	for (unsigned i = 0; i < ARRAY_SIZE(runs); i++)
		for (uint16_t status = runs[i].first; status <= runs[i].last; status++) {
			bool gap = false;

			for (unsigned j = 0; j < ARRAY_SIZE(gaps); j++)
				gap |= gaps[j] == status;
			assert_int_equal(strncmp(ob_nvme_status_text(status), "Unknown", 7) == 0, gap);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phase_over_many_rounds_follows_the_device),
		cmocka_unit_test(test_shadow_every_move_rings_when_the_index_is_passed),
		cmocka_unit_test(test_status_known_codes_have_errno_and_text),
		cmocka_unit_test(test_status_every_value_is_handled),
		cmocka_unit_test(test_status_header_codes_are_all_in_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
