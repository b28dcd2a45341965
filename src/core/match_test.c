/* SPDX-License-Identifier: BSD-2-Clause */
/* Match tables: every kind, and which row is the more exact. And quirk tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "core/match.h"
#include "core/quirk.h"

static const struct match_ids pci = {
	.vendor = 0x1b36,
	.device = 0x0010,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
	.class_code = 0x010802,
	.pci = true,
};

static unsigned score_pci(uint32_t vendor, uint32_t device, uint32_t subvendor, uint32_t subdevice)
{
	struct ob_match row = {OB_MATCH_PCI_ID, vendor, device, subvendor, subdevice, 0, 0, NULL, 0};

	return match_score(&row, &pci);
}

static unsigned score_class(uint32_t code, uint32_t mask)
{
	struct ob_match row = OB_PCI_CLASS(code, mask);

	return match_score(&row, &pci);
}

static void test_pci_id_that_differs_does_not_fit(void **state)
{
	assert_int_equal(score_pci(0x1b37, 0x0010, OB_ANY, OB_ANY), 0);
	assert_int_equal(score_pci(0x1b36, 0x0011, OB_ANY, OB_ANY), 0);
	assert_int_equal(score_pci(0x1b36, 0x0010, 0x1af5, OB_ANY), 0);
	assert_int_equal(score_pci(0x1b36, 0x0010, 0x1af4, 0x1101), 0);
}

static void test_pci_rows_with_more_ids_score_higher(void **state)
{
	const unsigned in_order[] = {
		score_pci(OB_ANY, OB_ANY, OB_ANY, OB_ANY), score_class(0x010000, 0xff0000),
		score_class(0x010800, 0xffff00),           score_class(0x010802, 0xffffff),
		score_pci(0x1b36, OB_ANY, OB_ANY, OB_ANY), score_pci(0x1b36, 0x0010, OB_ANY, OB_ANY),
		score_pci(0x1b36, 0x0010, 0x1af4, OB_ANY), score_pci(0x1b36, 0x0010, 0x1af4, 0x1100),
	};

	assert_true(in_order[0] > 0);
	for (unsigned i = 1; i < ARRAY_SIZE(in_order); i++)
		assert_true(in_order[i] > in_order[i - 1]);
}

static void test_pci_class_compares_under_its_mask_only(void **state)
{
	assert_true(score_class(0x010803, 0xffff00) > 0);
	assert_int_equal(score_class(0x010803, 0xffffff), 0);
	assert_int_equal(score_class(0x020000, 0xff0000), 0);
}

static void test_rows_of_another_bus_do_not_fit(void **state)
{
	const struct match_ids virtio = {
		.vendor = 0x1af4, .device = 2, .subvendor = OB_ANY, .subdevice = OB_ANY, .virtio = true};
	struct ob_match row = {OB_MATCH_VIRTIO, OB_ANY, 2, OB_ANY, OB_ANY, 0, 0, NULL, 0};
	struct ob_match as_pci = OB_PCI_ID(0x1af4, 2);

	assert_true(match_score(&row, &virtio) > 0);
	assert_int_equal(match_score(&as_pci, &virtio), 0);
	assert_int_equal(match_score(&row, &pci), 0);
	row.device = 3;
	assert_int_equal(match_score(&row, &virtio), 0);
}

static void test_compatible_earlier_string_scores_higher(void **state)
{
	static const char *const strings[] = {"vendor,exact", "vendor,family", "generic", NULL};
	struct match_ids ids = {.compatible = strings, .compatible_kind = OB_MATCH_DT};
	struct ob_match row = {OB_MATCH_DT, OB_ANY, OB_ANY, OB_ANY, OB_ANY, 0, 0, "vendor,exact", 0};
	unsigned exact = match_score(&row, &ids), generic;

	row.compatible = "generic";
	generic = match_score(&row, &ids);
	assert_true(generic > 0 && exact > generic);
	row.compatible = "other";
	assert_int_equal(match_score(&row, &ids), 0);
	row = (struct ob_match){OB_MATCH_ACPI, OB_ANY, OB_ANY, OB_ANY, OB_ANY, 0, 0, "generic", 0};
	assert_int_equal(match_score(&row, &ids), 0);
	ids.compatible_kind = OB_MATCH_ACPI;
	assert_true(match_score(&row, &ids) > 0);
}

static const struct quirk quirks[] = {
	{0x1b36, OB_ANY, OB_ANY, OB_ANY, NULL, 0x1, 0, "all of this vendor"},
	{0x1b36, 0x0010, OB_ANY, OB_ANY, NULL, 0x2, 8, "this device"},
	{0x1b36, 0x0010, OB_ANY, OB_ANY, "7.", 0x4, 4, "firmware 7"},
	{0x1b36, 0x0010, 0x1af4, 0x1100, NULL, 0x8, 0, "this board"},
	{0x8086, OB_ANY, OB_ANY, OB_ANY, NULL, 0x10, 2, "others"},
};

static void test_quirk_lookup_ors_rows_and_takes_the_last_value(void **state)
{
	struct quirk_ids ids = {0x1b36, 0x0010, 0x1af4, 0x1100, "7.2.22"};
	struct quirk_found found;

	quirk_lookup(quirks, ARRAY_SIZE(quirks), &ids, &found);
	assert_int_equal(found.flags, 0xf);
	assert_int_equal(found.value, 4);
	assert_int_equal(found.rows, 4);
	assert_string_equal(found.reason, "this board");
	ids.firmware = "8.0";
	ids.subdevice = 0;
	quirk_lookup(quirks, ARRAY_SIZE(quirks), &ids, &found);
	assert_int_equal(found.flags, 0x3);
	assert_int_equal(found.value, 8);
}

static void test_quirk_lookup_unknown_ids_fit_open_rows_only(void **state)
{
	struct quirk_ids ids = {0x1b36, OB_ANY, OB_ANY, OB_ANY, NULL};
	struct quirk_found found;

	quirk_lookup(quirks, ARRAY_SIZE(quirks), &ids, &found);
	assert_int_equal(found.flags, 0x1);
	ids = (struct quirk_ids){0x1b36, 0x0010, OB_ANY, OB_ANY, NULL};
	quirk_lookup(quirks, ARRAY_SIZE(quirks), &ids, &found);
	assert_int_equal(found.flags, 0x3);
	ids.vendor = 1;
	quirk_lookup(quirks, ARRAY_SIZE(quirks), &ids, &found);
	assert_int_equal(found.rows, 0);
	assert_null(found.reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pci_id_that_differs_does_not_fit),
		cmocka_unit_test(test_pci_rows_with_more_ids_score_higher),
		cmocka_unit_test(test_pci_class_compares_under_its_mask_only),
		cmocka_unit_test(test_rows_of_another_bus_do_not_fit),
		cmocka_unit_test(test_compatible_earlier_string_scores_higher),
		cmocka_unit_test(test_quirk_lookup_ors_rows_and_takes_the_last_value),
		cmocka_unit_test(test_quirk_lookup_unknown_ids_fit_open_rows_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
