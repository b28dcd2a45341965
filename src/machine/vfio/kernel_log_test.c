/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines as kernels have written them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bits.h"
#include "machine/vfio/kernel_log.h"

static const struct {
	const char *line;
	bool is_fault;
	struct vfio_fault fault;
} lines[] = {
	{"DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0xdead000 [fault reason 0x05] PTE Write "
	 "access is "
	 "not set",
	 true,
	 {0, 0x0100, 0xdead000, true}},
	{"DMAR: [DMA Read NO_PASID] Request device [81:1f.7] fault addr 0xfffffffff000 [fault reason 0x06] PTE Read "
	 "access "
	 "is not set",
	 true,
	 {0, 0x81ff, 0xfffffffff000, false}},
	{"DMAR: [DMA Write] Request device [02:00.1] PASID ffffffff fault addr fe000000 [fault reason 05] PTE Write "
	 "access "
	 "is not set",
	 true,
	 {0, 0x0201, 0xfe000000, true}},
	{"DMAR: [DMA Read] Request device [0001:02:00.1] fault addr fe000000 [fault reason 06]",
	 true,
	 {1, 0x0201, 0xfe000000, false}},
	{"vfio-pci 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0x10003000 flags=0x0020]",
	 true,
	 {0, 0x0100, 0x10003000, true}},
	{"AMD-Vi: Event logged [IO_PAGE_FAULT device=0002:03:00.2 domain=0x000e address=0x10003000 flags=0x0000]",
	 true,
	 {2, 0x0302, 0x10003000, false}},
	{"DMAR: DRHD: handling fault status reg 2", false, {.bdf = 0}},
	{"DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x20 [fault reason 0x22]", false, {.bdf = 0}},
	{"DMAR: [DMA Write NO_PASID] Request device [01:40.0] fault addr 0x1000 [fault reason 0x05]",
	 false,
	 {.bdf = 0}},
	{"DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr zzz", false, {.bdf = 0}},
	{"nvme nvme0: Request device [01:00.0] fault addr 0x1", false, {.bdf = 0}},
	{"", false, {.bdf = 0}},
};

static void test_kernel_log_lines_are_told_apart(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct vfio_fault fault;

		assert_int_equal(kernel_log_fault(lines[i].line, &fault), lines[i].is_fault);
		if (!lines[i].is_fault)
			continue;
		assert_int_equal(fault.segment, lines[i].fault.segment);
		assert_int_equal(fault.bdf, lines[i].fault.bdf);
		assert_int_equal(fault.address, lines[i].fault.address);
		assert_int_equal(fault.write, lines[i].fault.write);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_log_lines_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
