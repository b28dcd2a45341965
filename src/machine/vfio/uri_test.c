/* SPDX-License-Identifier: BSD-2-Clause */
/* "vfio:" URIs, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "machine/vfio/uri.h"

static void test_uri_good_is_understood(void **state)
{
	struct vfio_uri uri;
	char why[160];

	assert_int_equal(vfio_uri_parse("0000:01:00.0", &uri, why, sizeof(why)), 0);
	assert_int_equal(uri.device_count, 1);
	assert_int_equal(uri.device[0].segment, 0);
	assert_int_equal(uri.device[0].bdf, 0x0100);
	assert_int_equal(uri.backend, VFIO_BACKEND_AUTO);
	assert_int_equal(vfio_uri_parse("81:1f.7", &uri, why, sizeof(why)), 0);
	assert_int_equal(uri.device[0].bdf, 0x81ff);
	assert_int_equal(vfio_uri_parse("aBcd:01:00.0,abcd:02:03.4?backend=group", &uri, why, sizeof(why)), 0);
	assert_int_equal(uri.device_count, 2);
	assert_int_equal(uri.device[0].segment, 0xabcd);
	assert_int_equal(uri.device[1].bdf, 0x021c);
	assert_int_equal(uri.backend, VFIO_BACKEND_GROUP);
	assert_int_equal(vfio_uri_parse("01:00.0?backend=iommufd", &uri, why, sizeof(why)), 0);
	assert_int_equal(uri.backend, VFIO_BACKEND_IOMMUFD);
}

static void test_uri_bad_is_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {
		"",
		"1",
		"01:00",
		"01:00.8",
		"01:20.0",
		"01:00.0 ",
		"0:01:00.0",
		"00000:01:00.0",
		"0000:01:00.00",
		"01:00.0,",
		",01:00.0",
		"01:00.0,01:00.0",
		"01:00.0?",
		"01:00.0?backend=",
		"01:00.0?x",
		"0000-01:00.0",
		"0001:01:00.0,0002:01:00.0",
		"01:00.0?backend=group&x",
	};
	struct vfio_uri uri;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char why[160] = "";

		assert_int_equal(vfio_uri_parse(bad[i], &uri, why, sizeof(why)), -EINVAL);
		assert_true(strlen(why) > 0);
	}
}

static void test_uri_devices_have_a_limit(void **state)
{
	char text[VFIO_DEVICES_MAX * 10 + 20] = "", why[160];
	struct vfio_uri uri;

	for (unsigned i = 0; i < VFIO_DEVICES_MAX + 1; i++) {
		char one[] = ",01:00.0";

		one[4] = (char)('0' + i / 8);
		one[7] = (char)('0' + i % 8);
		strcat(text, i == 0 ? one + 1 : one);
		assert_int_equal(vfio_uri_parse(text, &uri, why, sizeof(why)), i < VFIO_DEVICES_MAX ? 0 : -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_good_is_understood),
		cmocka_unit_test(test_uri_bad_is_refused_with_a_reason),
		cmocka_unit_test(test_uri_devices_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
